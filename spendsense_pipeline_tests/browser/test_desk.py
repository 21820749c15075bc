"""The operators' desk in a browser: worked by keyboard, searched, read in light and dark, and believed by a launch."""

import datetime as dt
import json
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from playwright.sync_api import Page, expect
from sqlalchemy import select

from spendsense_pipeline.evaluation.report import operator_report
from spendsense_pipeline.governance import operators, queue
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import Decision
from spendsense_pipeline_tests.browser.conftest import FAINT, NAMELESS, Visitor
from spendsense_pipeline_tests.conftest import DAY, NOON, Pipeline
from spendsense_pipeline_tests.evaluation.conftest import DAY as SMALL_DAY
from spendsense_pipeline_tests.evaluation.conftest import day, facts, waiting

__all__ = ["day", "facts"]

CRITICAL = [{"check": "tone", "severity": "critical", "message": "It blames."}]
NOTABLE = [{"check": "reading_level", "severity": "notable", "message": "A long sentence."}]


@pytest.fixture
def desk(facts: dict[str, Any], tmp_path: Path) -> str:
    """A page with six texts in three wordings: one critical, one notable, four clean."""
    facts["queue"] = [
        waiting(1, findings=CRITICAL, user_id="b"),
        waiting(2, findings=NOTABLE, template_id="t2", title="Two"),
        *(waiting(n, findings=[], template_id="t3", title=f"Text {n}", user_id="abcd"[n - 3]) for n in (3, 4, 5, 6)),
    ]
    facts["statuses"] = {"pending_approval": 6}
    path = tmp_path / "desk.html"
    path.write_text(operator_report(SMALL_DAY, **facts), encoding="utf-8")
    return path.as_uri()


def config(page: Page) -> dict[str, Any]:
    """What stands in the field that is copied, read as the Launchpad would."""
    written = yaml.safe_load(page.locator("#config").input_value())
    return written["ops"]["approval_queue_operator_review"]["config"] if written else {}


def current(page: Page) -> str:
    return page.locator("#reader h3").inner_text()


def test_the_whole_queue_is_decided_with_the_keyboard_alone(desk: str, visitor: Visitor, shot: Callable[..., None]):
    with visitor.page(desk) as page:
        assert current(page) == "Lowering a card balance 1"
        page.keyboard.press("a")  # a critical finding: nothing happens
        assert config(page) == {}
        page.keyboard.press("o")
        page.keyboard.press("Tab")
        page.keyboard.press("Control+A")
        page.keyboard.type("Other words.")
        assert page.locator(".write .diff del").all_inner_texts() != []
        assert page.locator(".write .diff ins").all_inner_texts() == ["Other words."]
        shot(page, "override")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.type('It "blamed": why?')
        page.keyboard.press("Enter")
        assert current(page) == "Two"
        page.keyboard.press("r")
        page.keyboard.type("not for this customer")
        page.keyboard.press("Enter")
        assert current(page) == "Text 3"
        page.keyboard.press("t")  # the rest by template
        page.keyboard.press("j")
        page.keyboard.press("k")
        assert current(page) == "Text 3"
        page.keyboard.press("a")
        page.keyboard.press("c")
        expect(page.locator("#operator")).to_be_focused()  # nothing is copied without saying who decides
        page.keyboard.type("op_1")
        shot(page, "decided")
        hashed = "c" * 64
        assert config(page) == {
            "operator": "op_1",
            "approve": [f"rec_{n}@{hashed}" for n in (3, 4, 5, 6)],
            "reject": [{"recommendation": f"rec_2@{hashed}", "reason": "not for this customer"}],
            "override": [
                {"recommendation": f"rec_1@{hashed}", "reason": 'It "blamed": why?', "content": "Other words."}
            ],
        }
        commands = [shlex.split(line) for line in page.locator("#commands").input_value().splitlines()]
        assert [line[1] for line in commands] == ["approve", "reject", "override"]
        assert commands[2][-4:] == ["--reason", 'It "blamed": why?', "--content", "Other words."]
    assert visitor.complaints == []


def test_moving_is_by_keys_and_arrows_and_says_where_one_is(desk: str, visitor: Visitor):
    with visitor.page(desk) as page:
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert current(page) == "Text 3"
        assert page.locator("#said").inner_text() == "3 of 6: Text 3"
        page.keyboard.press("ArrowUp")
        assert current(page) == "Two"
        expect(page.locator("#list button[aria-current=true]")).to_be_focused()
        assert page.locator("#list button[tabindex='0']").count() == 1  # one stop for Tab, not one for each text


def test_single_keys_can_be_switched_off_and_never_act_while_one_writes(desk: str, visitor: Visitor):
    with visitor.page(desk) as page:
        page.keyboard.press("/")
        page.keyboard.type("raj")
        assert page.locator("#find").input_value() == "raj"
        page.fill("#find", "")
        page.keyboard.press("Escape")
        page.locator("#keys-open").click()
        page.locator("#keys-on").uncheck()
        page.keyboard.press("Escape")
        page.locator("#reader").focus()
        page.keyboard.press("j")
        assert current(page) == "Lowering a card balance 1"


def test_a_decision_is_taken_back_and_survives_a_reload(desk: str, visitor: Visitor):
    with visitor.page(desk) as page:
        page.locator("#list button").nth(2).click()
        page.keyboard.press("a")
        page.keyboard.press("a")
        page.on("dialog", lambda dialog: dialog.accept())  # leaving with decisions that were not copied asks first
        page.reload()
        assert "2 approved; 4 left" in page.locator("#tally").inner_text()
        page.locator("#only").select_option("decided")
        assert page.locator("#list button").count() == 2
        page.locator("#reader").focus()
        page.keyboard.press("u")
        assert "1 approved; 5 left" in page.locator("#tally").inner_text()


def test_queue_and_customers_are_searched(desk: str, visitor: Visitor, shot: Callable[..., None]):
    with visitor.page(desk) as page:
        page.fill("#find", "REC_5 education")
        assert page.locator("#list button").count() == 1
        assert current(page) == "Text 5"
        page.fill("#find", "nothing like it")
        assert "choose another filter" in page.locator("#reader").inner_text()
        page.fill("#find", "")
        page.locator("#only").select_option("findings")
        assert page.locator("#list button").count() == 2
        page.locator("nav a", has_text="Customers").click()
        assert page.locator("#people tbody tr").count() == 4
        page.fill("#who", "video box")
        assert page.locator("#people tbody tr").count() == 1
        page.locator("#people tbody button").click()
        assert page.get_by_role("cell", name="Video Box").or_(page.get_by_role("rowheader", name="Video Box")).count()
        shot(page, "customers")
        page.locator(".more a").first.click()  # what waits for this customer leads back to the queue
        expect(page.locator("#reader")).to_be_focused()
    assert visitor.complaints == []


def test_a_template_shows_its_figures_lowest_and_highest(desk: str, visitor: Visitor, shot: Callable[..., None]):
    with visitor.page(desk) as page:
        page.locator("#by-template").click()
        assert page.locator("#list b").all_inner_texts() == ["1 × Lowering a card balance 1", "1 × Two", "4 × Text 3"]
        page.locator("#list button").nth(2).click()
        assert "never approved before" in page.locator("#reader").inner_text()
        assert page.locator("#reader table tbody th").all_inner_texts() == ["interest"]
        assert page.locator("#reader .text mark").first.inner_text() == "$1,234.50"
        shot(page, "template")


def test_hostile_words_are_shown_as_they_are_and_come_out_as_they_went_in(
    facts: dict[str, Any], tmp_path: Path, visitor: Visitor
):
    evil = "</script><img src=x onerror=alert(1)> it's #: [a, {b}] \u2028 & 'so' \\ ☂ 😀"
    facts["queue"] = [waiting(1, findings=[], title=evil, content=evil, rationale=evil, user_id=evil, template_id=evil)]
    path = tmp_path / "evil.html"
    path.write_text(operator_report(SMALL_DAY, **facts), encoding="utf-8")
    with visitor.page(path.as_uri()) as page:
        assert page.locator("#reader .text").first.text_content() == evil
        assert page.locator("img").count() == 0
        page.keyboard.press("o")
        page.fill("#new-title", f"{evil}!")
        page.fill("#reason", evil)
        page.keyboard.press("Enter")
        page.fill("#operator", evil)
        (override,) = config(page)["override"]
        assert override["reason"] == evil
        assert override["title"] == f"{evil}!"
        assert config(page)["operator"] == evil
        (line,) = page.locator("#commands").input_value().strip().split("\n")
        assert shlex.split(line)[-1] == f"{evil}!"
    assert visitor.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["wide", "phone"])
def test_every_view_can_be_read(width: int, dark: bool, desk: str, visitor: Visitor, shot: Callable[..., None]):
    with visitor.page(desk, width=width, dark=dark) as page:
        page.keyboard.press("r")
        page.fill("#reason", "why")
        page.keyboard.press("Enter")
        page.keyboard.press("o")
        page.fill("#new-title", "Other")
        page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
        for view in ("queue", "day", "customers", "how"):
            page.evaluate(f"location.hash = '#{view}'")
            page.locator(f"#{view}").wait_for(state="visible")
            if view == "customers":
                page.locator("#people tbody button").first.click()
            page.wait_for_timeout(200)  # colours of buttons change over a tenth of a second
            shot(page, view, full_page=True)
            assert page.evaluate(FAINT) == [], view
            assert page.evaluate(NAMELESS) == [], view
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert overflow <= 0, view
        page.locator("nav a").first.click()
        page.locator("#only").focus()
    assert visitor.complaints == []


def test_without_script_the_day_is_still_there_and_the_queue_says_what_to_do(desk: str, browser: Any):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(desk)
    assert "spendsense queue" in page.locator("#queue").inner_text()
    assert page.get_by_role("heading", name="From draft to release").is_visible()
    context.close()


def test_what_was_ticked_in_the_page_is_what_a_launch_decides(
    copy: Pipeline, visitor: Visitor, shot: Callable[..., None]
):
    """The page that a real run wrote; its config goes to the real job as text, as out of the clipboard."""
    with writing(copy.engine) as session:
        operators.add(session, "op_at_the_desk", NOON)
    with reading(copy.engine) as session:
        before = queue.to_read(session, NOON, limit=1000)
    page_of_the_day = copy.settings.data / "reports" / f"{DAY}.html"
    with visitor.page(page_of_the_day.as_uri()) as page:
        shot(page, "real")
        page.fill("#operator", "op_at_the_desk")
        page.fill("#note", "read: all")
        page.locator("#reader").focus()
        page.keyboard.press("a")
        page.keyboard.press("r")
        page.fill("#reason", 'the customer\'s own: "no"')
        page.keyboard.press("Enter")
        page.keyboard.press("o")
        page.fill("#new-title", "Plainer: a title")
        page.fill("#reason", "plainer words")
        page.keyboard.press("Enter")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.locator("#copy-config").click()
        expect(page.locator("#copied")).to_have_text("Config copied.")
        pasted = page.evaluate("navigator.clipboard.readText()")
        shot(page, "real-decided")
    assert visitor.complaints == []

    def launched() -> dg.ExecuteInProcessResult:
        job = copy.definitions.resolve_job_def("review_recommendations")
        with dg.DagsterInstance.ephemeral() as instance:
            return job.execute_in_process(run_config=yaml.safe_load(pasted), instance=instance)

    # Playwright's loop runs in this thread, and Dagster wants one of its own.
    with ThreadPoolExecutor(1) as elsewhere:
        (evaluation,) = elsewhere.submit(launched).result().get_asset_check_evaluations()
    assert "3 decided, 0 refused" in (evaluation.description or "")
    with reading(copy.engine) as session:
        made = {row.recommendation_id: row for row in session.scalars(select(Decision))}
        title = queue.full(session, before[2]["recommendation_id"], NOON)["title"]
    assert [(made[row["recommendation_id"]].action, made[row["recommendation_id"]].reason) for row in before[:3]] == [
        ("approve", "read: all"),
        ("reject", 'the customer\'s own: "no"'),
        ("override", "plainer words"),
    ]
    assert title == "Plainer: a title"
    assert made[before[0]["recommendation_id"]].content_hash == before[0]["content_hash"]
    assert len(made) == 3


@pytest.mark.parametrize("number", [2000])
def test_two_thousand_waiting_texts_are_worked_through(
    number: int, facts: dict[str, Any], tmp_path: Path, visitor: Visitor
):
    facts["queue"] = [
        waiting(n, findings=[], template_id=f"t{n % 30}", expires_at=NOON + dt.timedelta(days=9)) for n in range(number)
    ]
    path = tmp_path / "long.html"
    path.write_text(operator_report(SMALL_DAY, **facts), encoding="utf-8")
    with visitor.page(path.as_uri()) as page:
        page.keyboard.press("t")
        for _ in range(30):
            page.keyboard.press("a")
        assert "2000 approved; 0 left" in page.locator("#tally").inner_text()
        page.fill("#operator", "op_1")
        assert len(config(page)["approve"]) == number
        assert len(json.dumps(config(page)["approve"])) > number * 64
    assert visitor.complaints == []
