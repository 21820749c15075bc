"""A real browser: the system's Chromium, driven by Playwright, and what every page is held to.

Screenshots are left in the test's temporary folder: look at them after a change of a page.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""The one without a window of its own first: the others keep theirs up to date, which takes a third of the time."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


expect.set_options(timeout=20_000)  # Dagster's pages ask their server for each part


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window; a machine without one says so for every test."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"NO BROWSER: no page was looked at; install one of {', '.join(NAMES)}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


class Visitor:
    """Opens pages and keeps what they complained about; anything but this machine is out of reach."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.complaints: list[str] = []

    @contextmanager
    def page(self, address: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Page]:
        """The page at an address, closed afterwards."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.route("**/*", self._local)
        page.goto(address)
        try:
            yield page
        finally:
            context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _local(self, route: Any) -> None:
        if route.request.url.startswith(("file://", "data:", "blob:", "http://127.0.0.1:")):
            route.continue_()
        else:
            self.complaints.append(f"asked for {route.request.url}")
            route.abort()


@pytest.fixture
def visitor(browser: Browser) -> Visitor:
    return Visitor(browser)


@pytest.fixture
def shot(tmp_path: Path) -> Callable[..., None]:
    """Keep a screenshot of a page under a name."""

    def keep(page: Page, name: str, **how: Any) -> None:
        page.screenshot(path=tmp_path / f"{name}.png", **how)

    return keep


FAINT = """
() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const over = (top, under) => top.slice(0, 3).map((c, n) => c * (top[3] ?? 1) + under[n] * (1 - (top[3] ?? 1)));
  const behind = (node) => {
    const layers = [];
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      layers.unshift(colour);
      if ((colour[3] ?? 1) === 1) break;
    }
    return layers.reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = walker.nextNode());) {
    const node = text.parentElement, style = getComputedStyle(node);
    if (!text.data.trim() || !node.checkVisibility() || node.closest("[disabled], .out, script, style")) continue;
    const back = behind(node), front = over(parts(style.color), back);
    const [low, high] = [light(front), light(back)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)}: ${text.data.trim().slice(0, 40)}`);
  }
  return [...new Set(found)];
}
"""
"""Texts whose contrast with what is behind them is below WCAG 2.1 AA (4.5, or 3 for large type)."""

NAMELESS = """
() => [...document.querySelectorAll("button, a, input, select, textarea, [role=region], [role=img], dialog")]
  .filter((node) => node.checkVisibility())
  .filter((node) => !node.textContent.trim() && !node.labels?.length)
  .filter((node) => !node.getAttribute("aria-label") && !node.getAttribute("aria-labelledby"))
  .map((node) => node.outerHTML.slice(0, 120))
"""
"""Controls that a screen reader would have no name for."""
