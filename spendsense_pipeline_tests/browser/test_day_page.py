"""The record of a day in a browser: read in light and dark, on a phone and on paper, with nothing to complain about."""

import itertools
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from spendsense_pipeline_tests.browser.conftest import FAINT, NAMELESS, Visitor
from spendsense_pipeline_tests.conftest import DAY, Pipeline

A4 = 700  # CSS pixels between a printer's margins


@pytest.fixture(scope="module")
def record(refreshed: Pipeline) -> str:
    """The address of the page that the shared run wrote."""
    return (refreshed.settings.reports / f"{DAY}.html").as_uri()


def sideways(page: Page) -> int:
    """How many pixels one would have to scroll to the right."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320], ids=["wide", "phone", "narrow"])
def test_the_record_can_be_read(width: int, dark: bool, record: str, visitor: Visitor, shot: Callable[..., None]):
    with visitor.page(record, width=width, dark=dark) as page:
        shot(page, "record", full_page=True)
        assert page.evaluate(FAINT) == []
        assert page.evaluate(NAMELESS) == []
        assert sideways(page) <= 0
    assert visitor.complaints == []


def test_the_headings_are_in_order_and_the_contents_lead_to_them(record: str, visitor: Visitor):
    with visitor.page(record) as page:
        headings = page.locator("h1, h2, h3, h4, h5, h6")
        levels = [int(heading.evaluate("node => node.tagName")[1]) for heading in headings.all()]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        links = page.get_by_role("navigation").get_by_role("link")
        titles = page.get_by_role("heading", level=2)
        assert links.all_inner_texts() == titles.all_inner_texts()
        for link, title in zip(links.all(), titles.all(), strict=True):
            link.click()
            expect(title).to_be_in_viewport()
    assert visitor.complaints == []


def test_the_record_prints_dark_on_white_without_cut_tables(record: str, visitor: Visitor, shot: Callable[..., None]):
    with visitor.page(record, width=A4, dark=True) as page:
        page.emulate_media(media="print")
        shot(page, "printed", full_page=True)
        assert sideways(page) <= 0
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate(FAINT) == []
        expect(page.get_by_role("navigation")).to_be_hidden()
    assert visitor.complaints == []


def test_wide_tables_are_scrolled_with_the_keyboard(record: str, visitor: Visitor):
    with visitor.page(record, width=390) as page:
        region = page.get_by_role("region", name="Movement").locator(".scroll")
        region.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("node => node.scrollLeft > 0", arg=region.element_handle())
    assert visitor.complaints == []
