"""Dagster's own UI on a pipeline that ran: the graph and the asset pages say what the person on call needs."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from spendsense_pipeline.settings import PROJECT_ROOT
from spendsense_pipeline_tests.browser.conftest import Visitor
from spendsense_pipeline_tests.conftest import Pipeline

PATIENCE = 90  # seconds

TOLERATED = (
    "Apollo",  # the UI's own client library on its own deprecations
    "apollo.dev",
    "AbortError",
    "ResizeObserver",
    "GPU stall",
    "WebSocket is closed before the connection is established",  # the UI left a page while it was subscribing
)
"""Dagster's own noise. Everything else that its pages complain about is ours to explain."""


@pytest.fixture(scope="module")
def webserver(refreshed: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real webserver on the shared run's data, and its end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = refreshed.settings.data
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
        "SPENDSENSE_DATA": str(data),
        "DAGSTER_HOME": str(data / "dagster"),
    }
    log = tmp_path_factory.mktemp("webserver") / "log.txt"
    command = [sys.executable, "-m", "spendsense_pipeline.webserver", "-h", "127.0.0.1", "-p", str(port)]
    with log.open("w") as written:
        server = subprocess.Popen(
            [*command, "-w", str(PROJECT_ROOT / "workspace.yaml")],
            env=environment,
            cwd=PROJECT_ROOT,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        _await(f"http://127.0.0.1:{port}", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _await(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(PATIENCE * 4):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{address}/server_info")
        except OSError:
            time.sleep(0.25)
        else:
            return
    raise AssertionError(f"no webserver: {log.read_text()[-2000:]}")


def judged(visitor: Visitor) -> list[str]:
    """Complaints that are not Dagster's own noise."""
    return [said for said in visitor.complaints if not any(known in said for known in TOLERATED)]


def test_the_graph_shows_every_room_of_the_lineage(webserver: str, visitor: Visitor, shot: Callable[..., None]):
    with visitor.page(f"{webserver}/asset-groups", width=1500, height=1000) as page:
        for group in ("ingest", "features", "personas", "recommendations", "review", "release", "evaluation"):
            expect(page.get_by_text(group, exact=True).first).to_be_visible()
        shot(page, "graph")
    assert judged(visitor) == []


PAGES = {
    "persona_assignments_30d": (
        "data-science",
        "persona_assets.py",
        ["Share of customers by persona", "wealth builder"],
    ),
    "approval_queue": ("operations", "review_assets.py", ["What waits, by age", "11 days or more"]),
    "evaluation_metrics": ("compliance", "evaluation_assets.py", ["auditability", "180 days → 30 days"]),
}


@pytest.mark.parametrize("asset", PAGES)
def test_an_asset_page_says_who_owns_it_where_it_is_written_and_how_it_went(
    asset: str, webserver: str, visitor: Visitor, shot: Callable[..., None]
):
    owner, source, told = PAGES[asset]
    with visitor.page(f"{webserver}/assets/{asset}", width=1500, height=2600) as page:
        expect(page.get_by_text(owner).first).to_be_visible()
        expect(page.get_by_role("link", name=re.compile(rf"Open .*{re.escape(source)}"))).to_be_visible()
        for said in ("Row count", *told):
            expect(page.get_by_text(said).first).to_be_visible()
        shot(page, asset)
    assert judged(visitor) == []


def test_the_launchpad_of_the_operators_takes_decisions_as_config_and_marks_a_misspelt_field(
    webserver: str, visitor: Visitor, shot: Callable[..., None]
):
    """Pasted into the real editor; the UI itself checks it against the job's schema before it would launch."""
    config = (
        'ops:\n  approval_queue_operator_review:\n    config:\n      operator: "op_1"\n      approve:\n'
        f'        - "rec_1@{"c" * 64}"\n      reject:\n'
        f'        - {{recommendation: "rec_2@{"c" * 64}", reason: "it\'s: \\"no\\""}}\n'
    )
    path = "locations/spendsense/jobs/review_recommendations/playground"
    with visitor.page(f"{webserver}/{path}", width=1500, height=1000) as page:
        page.locator(".CodeMirror").first.wait_for()
        expect(page.get_by_text("No errors")).to_be_visible()
        set_to = "(text) => document.querySelector('.CodeMirror').CodeMirror.setValue(text)"
        page.evaluate(set_to, config.replace("approve:", "aprove:"))
        expect(page.get_by_text("aprove").last).to_be_visible()
        expect(page.get_by_text("No errors")).to_be_hidden()
        page.evaluate(set_to, config)
        expect(page.get_by_text("No errors")).to_be_visible()
        shot(page, "launchpad")
    assert judged(visitor) == []


def test_the_real_webserver_is_behind_the_filter(webserver: str) -> None:
    mutation = "mutation{reportRunlessAssetEvents(eventParams:{}){__typename}}"
    asked = json.dumps({"query": "{version}"}).encode()

    def status(path: str, body: bytes | None = None, **headers: str) -> int:
        request = urllib.request.Request(f"{webserver}{path}", body, headers)
        try:
            return int(urllib.request.urlopen(request).status)
        except urllib.error.HTTPError as error:
            return error.code

    kind = {"Content-Type": "application/json"}
    assert status("/graphql", asked, **kind) == 200
    assert status("/graphql", asked, **kind, Origin="https://elsewhere.example") == 403
    assert status(f"/graphql?query={mutation}") == 405
    assert status("/report_asset_check/released_recommendations", b"{}", **kind) == 403
