"""The service in a browser: decided by keyboard, by two at once, on a phone, in both themes, without a complaint."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Page, expect
from sqlalchemy import select

from spendsense_pipeline.governance import credentials, feedback, operators
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import Decision, FeedbackEvent
from spendsense_pipeline.service.login import login_link
from spendsense_pipeline_tests.browser.conftest import FAINT, NAMELESS, Visitor
from spendsense_pipeline_tests.conftest import Pipeline
from spendsense_pipeline_tests.governance import town
from spendsense_pipeline_tests.governance.town import CRITICAL, NOTABLE
from spendsense_pipeline_tests.service.conftest import PASSWORD, Town, place

__all__ = ["place"]

DISCLOSURE = "This is educational content, not financial advice. Consult a licensed advisor for personalized guidance."
SIDEWAYS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
CURRENT = "#list button[aria-current]"


@pytest.fixture
def address(place: Town) -> Iterator[str]:
    """Where the service answers: a real server on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(place.app, host="127.0.0.1", port=0, log_level="warning"))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def fill(place: Town, number: int, **changes: Any) -> list[dict[str, Any]]:
    """So many waiting texts, each of a customer of its own, in one wording."""
    drafts = []
    for n in range(number):
        user = f"user_{n:03}"
        words = {"rationale": "Your fullest card is at 68% of its limit.", "title": f"Your card, {n}"}
        drafts.append(town.draft(user, town.grant(place.engine, user), **(words | changes)))
    town.register(place.engine, *drafts)
    return drafts


@contextmanager
def desk(visitor: Visitor, place: Town, address: str, name: str = "ada", **how: Any) -> Iterator[Page]:
    """The desk of somebody who logged in by a link, with the first text open."""
    with visitor.page(login_link(place.service, name, address), **how) as page:
        page.wait_for_selector("#pane .pane-head h2", state="attached")
        yield page


def title(page: Page) -> str:
    return page.locator("#pane h2").inner_text()


def next_one(page: Page, act: Callable[[], None]) -> None:
    """Do something that decides, and wait until another text is open."""
    before = page.locator(CURRENT).get_attribute("data-id")
    act()
    page.wait_for_function(
        "before => { const now = document.querySelector('#list button[aria-current]');"
        " return (!now || now.dataset.id !== before) && !document.querySelector('#pane').hasAttribute('aria-busy'); }",
        arg=before,
    )


def decisions(place: Town) -> list[tuple[str, str, str | None]]:
    with reading(place.engine) as session:
        return [(one.action, one.operator_id, one.reason) for one in session.query(Decision).order_by(Decision.seq)]


def test_a_password_leads_to_the_desk_and_the_button_out_again(place: Town, address: str, visitor: Visitor) -> None:
    with writing(place.engine) as session:
        operators.add(
            session, "ada", place.now, standing=operators.Standing(password_hash=credentials.password_hash(PASSWORD))
        )
    place.now += town.HOUR
    with visitor.page(f"{address}/desk") as page:
        page.keyboard.type("ada")  # the field has the focus
        page.keyboard.press("Tab")
        page.keyboard.type("wrong horse battery")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("the name or the password is wrong")
        visitor.complaints.clear()  # the browser remarks on the 401
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="All read")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        page.goto(f"{address}/desk")
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert visitor.complaints == []


def test_a_hundred_decisions_by_keyboard_without_a_reload(place: Town, address: str, visitor: Visitor) -> None:
    fill(place, 102)
    with desk(visitor, place, address) as page:
        page.evaluate("window.sameDocument = true")
        started = time.monotonic()
        for n in range(100):
            if n % 10 == 9:
                page.keyboard.press("r")
                next_one(page, lambda: page.keyboard.press("4"))
            else:
                next_one(page, lambda: page.keyboard.press("a"))
        took = time.monotonic() - started
        assert page.evaluate("window.sameDocument")
        expect(page.locator("#waiting")).to_have_text("2")
        assert page.locator("#list li").count() == 2
    made = decisions(place)
    assert [action for action, _, _ in made].count("approve") == 90
    assert {(who, why) for action, who, why in made if action == "reject"} == {("ada", "outdated")}
    assert took < 60
    assert visitor.complaints == []


def test_moving_undoing_and_a_reason_in_words(place: Town, address: str, visitor: Visitor) -> None:
    fill(place, 3)
    with desk(visitor, place, address) as page:
        first = title(page)
        page.keyboard.press("j")
        expect(page.locator("#pane h2")).not_to_have_text(first)
        second = title(page)
        page.keyboard.press("ArrowUp")
        expect(page.locator("#pane h2")).to_have_text(first)
        assert page.locator("#list button[tabindex='0']").count() == 1  # one stop for Tab, not one for each text
        next_one(page, lambda: page.keyboard.press("a"))
        expect(page.locator("#pane h2")).to_have_text(second)
        page.keyboard.press("u")
        expect(page.locator("#pane h2")).to_have_text(first)
        expect(page.locator("#waiting")).to_have_text("3")
        page.keyboard.press("r")
        page.keyboard.press("7")
        page.keyboard.type("a, r and j are letters here")
        next_one(page, lambda: page.keyboard.press("Enter"))
        page.keyboard.press("u")
        expect(page.locator("#toast")).to_contain_text("A rejection is final")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        page.get_by_label("Single keys decide and move").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.press("a")
        page.wait_for_timeout(200)
    assert [(action, why) for action, _, why in decisions(place)] == [
        ("approve", None),
        ("undo", None),
        ("reject", "other: a, r and j are letters here"),
    ]
    assert visitor.complaints == []


def test_an_override_shows_what_the_guardrails_find_while_one_types(
    place: Town, address: str, visitor: Visitor, shot: Callable[..., None]
) -> None:
    fill(place, 1, findings=CRITICAL, title="Your fullest card")
    with desk(visitor, place, address) as page:
        page.keyboard.press("a")
        expect(page.locator("#toast")).to_contain_text("critical finding")
        page.keyboard.press("o")
        save = page.get_by_role("button", name="Save your words")
        text = page.get_by_role("textbox", name="Text")
        text.fill(f"Act now! Your fullest card is at 68% of its limit. {DISCLOSURE}")
        page.get_by_role("textbox", name="Why").fill("says it calmly")
        expect(page.locator("#own-findings")).to_contain_text("urges")
        expect(page.locator("#own-findings")).to_contain_text("content: “Act now!”")
        expect(text).to_have_attribute("aria-invalid", "true")
        expect(save).to_be_disabled()
        shot(page, "override")
        text.fill(f"Your fullest card is at 68% of its limit. {DISCLOSURE}")
        expect(page.locator("#own-findings")).to_contain_text("The guardrails find nothing")
        expect(save).to_be_enabled()
        next_one(page, lambda: page.keyboard.press("Control+Enter"))
        expect(page.get_by_role("heading", name="All read")).to_be_visible()
    assert decisions(place) == [("override", "ada", "says it calmly")]
    assert visitor.complaints == []


def test_two_operators_see_one_another_within_two_seconds(place: Town, address: str, visitor: Visitor) -> None:
    fill(place, 3)
    with desk(visitor, place, address) as ada, desk(visitor, place, address, "ben") as ben:
        reads = title(ben)
        assert title(ada) == reads
        expect(ben.locator("#notices")).to_contain_text("ada has this text open", timeout=3_000)
        other = ben.locator("#list button").nth(1)
        name = other.locator(".title").inner_text()
        started = time.monotonic()
        next_one(ada, lambda: ada.keyboard.press("a"))
        expect(ben.locator("#notices")).to_contain_text("ada decided while you read: approved", timeout=2_500)
        assert time.monotonic() - started < 2.5  # two seconds, and the time that the key took
        assert title(ben) == reads, "what is being read does not go away"
        assert ben.locator("#pane").get_by_role("button", name="Approve").count() == 0
        assert title(ada) == name
        next_one(ada, lambda: ada.keyboard.press("a"))
        expect(other).to_contain_text("approved by ada", timeout=2_500)
        expect(ben.locator("#waiting")).to_have_text("1")
        ben.keyboard.press("j")
        expect(ben.locator("#pane h2")).to_have_text(title(ada))
    assert visitor.complaints == []


def test_a_decision_that_comes_too_late_says_so(place: Town, address: str, visitor: Visitor) -> None:
    drafts = {one["recommendation_id"]: one for one in fill(place, 2)}
    with desk(visitor, place, address) as page:
        first = drafts[str(page.locator(CURRENT).get_attribute("data-id"))]
        page.route("**/desk/changes*", lambda route: route.abort())  # somebody else's decision is not heard of
        town.approve(place.engine, first, by="ben")
        page.keyboard.press("a")
        expect(page.locator("#toast")).to_contain_text("somebody decided on it")
        expect(page.locator("#pane .pane-head")).to_contain_text("approved")
    assert decisions(place) == [("approve", "ben", None)]


def test_texts_are_text_whatever_stands_in_them(place: Town, address: str, visitor: Visitor) -> None:
    nasty = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    fill(place, 1, title=nasty, content=f"{nasty} 68%", findings=NOTABLE)
    with desk(visitor, place, address) as page:
        assert title(page) == nasty
        assert nasty in page.locator("#pane .text").inner_text()
        assert page.locator("main img, #pane script").count() == 0
    assert visitor.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_reads_and_decides_without_scrolling_sideways(
    place: Town, address: str, visitor: Visitor, shot: Callable[..., None], dark: bool
) -> None:
    fill(place, 3, content="A long word: " + "x" * 120, findings=NOTABLE)
    with desk(visitor, place, address, width=360, height=740, dark=dark) as page:
        assert not page.evaluate(SIDEWAYS)
        expect(page.locator("#pane")).to_be_hidden()
        page.locator("#list button").first.click()
        expect(page.locator("#list")).to_be_hidden()
        assert not page.evaluate(SIDEWAYS)
        shot(page, f"phone-{'dark' if dark else 'light'}")
        assert page.evaluate(FAINT) == []
        first = title(page)
        next_one(page, lambda: page.get_by_role("button", name="Approve").click())
        assert title(page) != first
        page.get_by_role("button", name="Queue").click()
        expect(page.locator("#list")).to_be_visible()
        expect(page.locator("#list li")).to_have_count(2)
    assert visitor.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_is_readable_and_names_its_controls(
    refreshed: Pipeline, place: Town, address: str, visitor: Visitor, dark: bool
) -> None:
    place.settings.warehouse = refreshed.settings.warehouse_root
    fill(place, 2, findings=CRITICAL)
    released = place.released("mia", template="released")
    user = place.person("vera").get("/desk/customers").text.partition('href="/desk/customers/')[2].partition('"')[0]
    pages = [
        "/desk",
        "/desk/overview",
        "/desk/experiments",
        "/desk/customers",
        f"/desk/customers/{user}",
        "/desk/audit",
        "/docs",
    ]
    pages.append(f"/desk/why/{released['recommendation_id']}")
    with desk(visitor, place, address, "otto", dark=dark) as page:
        for path in pages:
            page.goto(address + path)
            page.wait_for_load_state("networkidle" if path != "/desk" else "load")
            expect(page.locator("h1").first).to_be_visible()
            assert page.evaluate(FAINT) == [], path
            assert page.evaluate(NAMELESS) == [], path
            assert page.locator("h1").count() == 1, path
            assert page.get_by_role("main").count() == 1
            page.set_viewport_size({"width": 360, "height": 740})
            assert not page.evaluate(SIDEWAYS), path
            page.set_viewport_size({"width": 1280, "height": 900})
        assert page.locator("#pane").get_by_role("button", name="Approve").count() == 0  # an auditor reads
    assert visitor.complaints == []


def test_the_desk_is_worked_with_tab_and_enter_alone(place: Town, address: str, visitor: Visitor) -> None:
    fill(place, 2)
    with desk(visitor, place, address) as page:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="To the content")).to_be_focused()
        seen = []
        for _ in range(30):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("document.activeElement.textContent.trim().slice(0, 12)"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", seen
            if seen[-1].startswith("Reject"):
                break
        assert seen[-1].startswith("Reject"), seen
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")  # from the first reason to the second
        next_one(page, lambda: page.keyboard.press("Enter"))
    assert decisions(place) == [("reject", "ada", "tone")]
    assert visitor.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_a_customer_reads_answers_and_switches_a_topic_off(
    place: Town, address: str, visitor: Visitor, dark: bool
) -> None:
    row = place.released()
    link = f"{address}/me?token=" + place.service.sign("me", {"user_id": "mia"})
    with visitor.page(link, width=360, dark=dark) as page:
        expect(page.get_by_role("heading", name=row["title"])).to_be_visible()
        assert "token" not in page.url
        assert not page.evaluate(SIDEWAYS)
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(FAINT) == []
        page.get_by_text("Why am I seeing this?").click()
        expect(page.get_by_text(row["rationale"])).to_be_visible()
        page.get_by_role("button", name="Helpful", exact=True).click()
        expect(page.get_by_role("status")).to_have_text("Thank you.")
        page.get_by_role("switch", name="Cards and loans").uncheck()
        expect(page.get_by_role("heading", name=row["title"])).to_be_hidden()
    assert town.feed(place.engine, place.now) == []
    with reading(place.engine) as session:
        assert {*session.scalars(select(FeedbackEvent.kind))} == {"seen", "opened", "helpful"}
    assert visitor.complaints == []


def test_what_a_customer_found_wrong_is_held_until_an_operator_writes_what_they_found(
    place: Town, address: str, visitor: Visitor
) -> None:
    row = place.released()
    event = {"event_id": "e1", "release_id": row["release_id"], "kind": "wrong_figure", "note": "I have no card"}
    feedback.record(place.engine, [event], place.now, source="test")
    with visitor.page(login_link(place.service, "ada", address)) as page:
        page.goto(f"{address}/desk/wordings")
        expect(page.get_by_text("I have no card")).to_be_visible()
        page.get_by_label("What you found").fill("the card was closed last week")
        page.get_by_role("button", name="Let it go on").click()
        expect(page.locator("#notice")).to_contain_text("Saved")
        assert page.evaluate(NAMELESS) == []
    assert len(town.feed(place.engine, place.now)) == 1
    assert visitor.complaints == []


def test_an_admin_makes_a_token_and_recalls_a_text(place: Town, address: str, visitor: Visitor) -> None:
    row = place.released()
    with visitor.page(login_link(place.service, "root", address)) as page:
        page.goto(f"{address}/desk/admin")
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(FAINT) == []
        assert not page.evaluate(SIDEWAYS)
        tokens = page.get_by_role("region", name="Tokens", exact=True).first
        tokens.get_by_label("Name").fill("app")
        tokens.get_by_label("feed:read").check()
        tokens.get_by_role("button", name="Make the token").click()
        expect(page.locator("#made code")).to_contain_text("sps_")
        recall = page.get_by_role("region", name="Recall")
        recall.get_by_label("Its id").fill(row["recommendation_id"])
        recall.get_by_label("Reason").fill("a wrong rate")
        recall.get_by_role("button", name="Recall").click()
        expect(page.locator("#notice")).to_contain_text("Recalled 1")
    assert town.feed(place.engine, place.now) == []
    assert visitor.complaints == []
