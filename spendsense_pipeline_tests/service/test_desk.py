"""The desk over HTTP: what waits, what may be decided and by whom, what is refused and why, what others see of it."""

import datetime as dt
import json
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from starlette.testclient import TestClient

from spendsense_pipeline.durations import LOOKING
from spendsense_pipeline.governance import activity
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import FeedbackEvent, Viewing
from spendsense_pipeline.personas import trust
from spendsense_pipeline.service import charts, customer_pages, desk, overview, pane
from spendsense_pipeline_tests.conftest import DAY, Pipeline
from spendsense_pipeline_tests.governance import town
from spendsense_pipeline_tests.governance.town import CRITICAL, HOUR, NOTABLE, NOW
from spendsense_pipeline_tests.service.conftest import ADDRESS, Town
from spendsense_pipeline_tests.service.rules_of_routes import rules_of

PAGE = {"accept": "text/html"}
DISCLOSURE = "This is educational content, not financial advice. Consult a licensed advisor for personalized guidance."
CLEAN = f"Your fullest card is at 68% of its limit. {DISCLOSURE}"
URGENT = f"Act now! {CLEAN}"
GROUNDED = {"rationale": "Your fullest card is at 68% of its limit."}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the pages asked of standing approvals, which are another room's to prove."""
    calls: list[tuple[Any, ...]] = []
    standing = ModuleType("standing")
    standing.listed = lambda _session, _now: []  # type: ignore[attr-defined]
    standing.approve = lambda _engine, *words, **how: calls.append(("approve", *words, how))  # type: ignore[attr-defined]
    standing.end = lambda _engine, *words: calls.append(("end", *words))  # type: ignore[attr-defined]
    monkeypatch.setattr(desk, "standing", standing)
    return calls


def waiting(place: Town, *users: str, **changes: Any) -> list[dict[str, Any]]:
    return [town.waiting_draft(place.engine, user, **changes) for user in users or ("mia",)]


def decide(client: TestClient, action: str, draft: dict[str, Any], **more: Any) -> dict[str, Any]:
    asked = {"action": action, "recommendation_id": draft["recommendation_id"], "content_hash": draft["content_hash"]}
    answer = client.post("/desk/decide", json=[asked | more])
    assert answer.status_code == 200, answer.text
    (row,) = answer.json()["results"]
    return dict(row)


# ---- the queue


def test_the_queue_comes_in_its_order_a_page_at_a_time_and_filtered(place: Town) -> None:
    waiting(place, "a", "b", template="t1")
    waiting(place, "c", template="t2", findings=NOTABLE)
    waiting(place, "d", template="t3", findings=CRITICAL)
    ada = place.person("ada")
    first = ada.get("/desk/queue", params={"limit": 3}).json()
    assert [row["user_id"] for row in first["queue"]][:2] == ["d", "c"]
    assert (first["total"], len(first["queue"])) == (4, 3)
    assert [row["severity"] for row in first["queue"]] == [2, 1, 0]
    rest = ada.get("/desk/queue", params={"limit": 3, "offset": 3}).json()
    assert not {row["recommendation_id"] for row in rest["queue"]} & {r["recommendation_id"] for r in first["queue"]}
    assert ada.get("/desk/queue", params={"template": "t2"}).json()["total"] == 1
    assert ada.get("/desk/queue", params={"user": "a"}).json()["queue"][0]["user_id"] == "a"
    assert ada.get("/desk/queue", params={"persona": "wealth_builder"}).json()["total"] == 0
    assert ada.get("/desk/queue", params={"status": "approved"}).json()["total"] == 0
    assert ada.get("/desk/queue", params={"status": "nonsense"}).status_code == 404
    assert ada.get("/desk/queue", params={"limit": 201}).status_code == 422


def test_the_page_holds_no_text_of_the_queue_whatever_waits(place: Town) -> None:
    waiting(place, *"abcdefgh")
    page = place.person("ada").get("/desk", headers=PAGE)
    assert page.status_code == 200
    assert "Your card is at" not in page.text
    assert len(page.content) < 10_000


def test_a_text_is_shown_with_its_figures_its_reasons_and_what_the_customer_got_before(place: Town) -> None:
    before = place.released("mia", template="first")
    with writing(place.engine) as session:
        event = FeedbackEvent(
            event_id="e1", release_id=before["release_id"], user_id="mia", kind="helpful", note=None, source="app",
            occurred_at=NOW, received_at=NOW,
        )  # fmt: skip
        session.add(event)
    slots = {"card_balance": {"signal": "cards", "value": 70.0, "shown": "$70", "inputs": {"max_utilization": 0.7}}}
    reasons = [
        {"clause": f"{name}.strain", "signal": "max_utilization", "value": 0.7, "operator": ">=", "threshold": 0.5,
         "met": True}
        for name in ("high_utilization", "wealth_builder")
    ]  # fmt: skip
    draft = town.draft(
        "mia", town.grant(place.engine, "mia"), template="second", slots=json.dumps(slots), reasons=json.dumps(reasons)
    )
    town.register(place.engine, draft)
    shown = place.person("ada").get(f"/desk/item/{draft['recommendation_id']}").json()
    assert shown["figures"] == [
        {
            "name": "card balance",
            "shown": "$70",
            "meaning": "owed on all cards together",
            "inputs": [{"name": "max utilization", "value": "70 %"}],
        }
    ]
    assert shown["reasons"] == ["max utilization 70 % (≥ 50 %)"]
    (earlier,) = shown["earlier"]
    assert earlier["title"] == before["title"]
    assert earlier["released_at"] is not None
    assert earlier["feedback"] == {"helpful": 1}
    assert shown["consent"]["scope"] == "education"


def test_a_finding_says_where_in_the_text_it_stands(place: Town) -> None:
    content = "Act now. Your card is at 68%."
    found = '[{"check": "tone", "severity": "critical", "message": "urges: \'Act now\'"}]'
    (draft,) = waiting(place, content=content, findings=found)
    (finding,) = place.person("ada").get(f"/desk/item/{draft['recommendation_id']}").json()["findings"]
    assert (finding["where"], finding["sentence"]) == ("content", "Act now.")


# ---- looking


def test_opening_is_remembered_fetching_ahead_is_not(place: Town) -> None:
    (draft,) = waiting(place)
    ada = place.person("ada")
    address = f"/desk/item/{draft['recommendation_id']}"

    def viewings() -> list[str]:
        with reading(place.engine) as session:
            return [one.operator_id for one in session.query(Viewing)]

    assert ada.get(address, params={"prefetch": "true"}).status_code == 200
    assert viewings() == []
    answer = ada.post(f"{address}/opened", json={}).json()
    assert answer == {"content_hash": draft["content_hash"], "status": "pending_approval", "looking": []}
    assert viewings() == ["ada"]
    assert place.person("ben").get(address).json()["looking"] == ["ada"]
    assert viewings() == ["ada", "ben"]


def test_the_lease_is_soft_and_ends_after_two_minutes(place: Town) -> None:
    (draft,) = waiting(place)
    ada, ben = place.person("ada"), place.person("ben")
    ada.get(f"/desk/item/{draft['recommendation_id']}")
    changes = {"since": 0}
    assert ben.get("/desk/changes", params=changes).json()["looking"] == {draft["recommendation_id"]: ["ada"]}
    assert ada.get("/desk/changes", params=changes).json()["looking"] == {}
    assert decide(ben, "approve", draft)["ok"], "a lease keeps nobody from deciding"
    place.now += LOOKING
    assert ben.get("/desk/changes", params=changes).json()["looking"] == {}


def test_a_browser_that_follows_the_address_of_a_text_comes_to_the_desk(place: Town) -> None:
    answer = place.person("ada").get("/desk/item/rec_1", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk?item=rec_1")


# ---- deciding


def test_a_decision_is_of_whoever_is_logged_in_and_says_how_they_were_known(place: Town) -> None:
    (draft,) = waiting(place)
    result = decide(place.person("ada"), "approve", draft, operator_id="ben")
    assert (result["ok"], result["status"], result["advice"]) == (True, "approved", "")
    with reading(place.engine) as session:
        (change,) = activity.decisions_since(session, 0, NOW)
        assert change["operator_id"] == "ada"
        (known_by,) = session.connection().exec_driver_sql("SELECT known_by FROM decisions").one()
    assert known_by == "login"


def test_another_text_than_the_one_that_was_read_is_not_approved(place: Town) -> None:
    (draft,) = waiting(place)
    result = decide(place.person("ada"), "approve", draft | {"content_hash": "0" * 64})
    assert (result["ok"], result["refused"]) == (False, "changed")
    assert "loaded again" in result["advice"]


def test_what_was_decided_is_refused_to_the_second_operator(place: Town) -> None:
    (draft,) = waiting(place)
    assert decide(place.person("ada"), "reject", draft, reason="tone")["ok"]
    second = decide(place.person("ben"), "approve", draft)
    assert (second["refused"], second["status"]) == ("already_decided", "rejected")


@pytest.mark.parametrize("reason", [None, "", "because", "other", "other: ", "tone: and more"])
def test_a_rejection_needs_one_of_the_reasons(place: Town, reason: str | None) -> None:
    (draft,) = waiting(place)
    asked = {"action": "reject", "recommendation_id": draft["recommendation_id"], "reason": reason}
    answer = place.person("ada").post("/desk/decide", json=[asked])
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_reason")
    assert town.status(place.engine, draft) == "pending_approval"


@pytest.mark.parametrize("reason", [*desk.REASONS[:-1], "other: it is Sunday"])
def test_each_reason_of_the_list_rejects(place: Town, reason: str) -> None:
    (draft,) = waiting(place)
    assert decide(place.person("ada"), "reject", draft, reason=reason)["status"] == "rejected"


def test_a_refused_override_says_what_was_found_and_where_in_its_own_words(place: Town) -> None:
    (draft,) = waiting(place, **GROUNDED)
    words = {"title": "Your card", "content": URGENT, "reason": "clearer"}
    result = decide(place.person("ada"), "override", draft, **words)
    assert (result["ok"], result["refused"]) == (False, "critical_finding")
    found = next(one for one in result["findings"] if one["check"] == "tone")
    assert found["severity"] == "critical"
    assert (found["where"], found["sentence"]) == ("content", "Act now!")
    assert "Act now" in result["advice"]


def test_checking_while_typing_finds_what_saving_would_refuse(place: Town) -> None:
    (draft,) = waiting(place, **GROUNDED)
    ada = place.person("ada")
    typed = {"recommendation_id": draft["recommendation_id"], "title": "Your card"}
    bad = ada.post("/desk/check", json=typed | {"content": URGENT}).json()
    refused = decide(ada, "override", draft, title="Your card", content=URGENT, reason="x")
    assert bad["critical"]
    assert bad["findings"] == refused["findings"]
    good = ada.post("/desk/check", json=typed | {"content": CLEAN}).json()
    assert not good["critical"]
    result = decide(ada, "override", draft, title="Your card", content=CLEAN, reason="x")
    assert result["status"] == "overridden"


def test_an_operators_words_stand_beside_the_pipelines(place: Town) -> None:
    (draft,) = waiting(place, **GROUNDED)
    ada = place.person("ada")
    result = decide(ada, "override", draft, content=CLEAN, reason="clearer")
    assert result["ok"], result
    shown = ada.get(f"/desk/item/{draft['recommendation_id']}").json()
    assert shown["author"] == "ada"
    assert shown["original"] == {"title": draft["title"], "content": draft["content"]}
    assert shown["decisions"][0]["reason"] == "clearer"


def test_four_eyes_leave_an_override_to_somebody_else(place: Town) -> None:
    place.settings.four_eyes = True
    (draft,) = waiting(place, **GROUNDED)
    ada = place.person("ada")
    words = {"content": CLEAN, "reason": "clearer"}
    assert decide(ada, "override", draft, **words)["status"] == "pending_approval"
    standing = ada.get(f"/desk/item/{draft['recommendation_id']}").json()
    assert decide(ada, "approve", standing)["refused"] == "four_eyes"
    assert decide(place.person("ben"), "approve", standing)["status"] == "approved"


def test_undo_takes_back_until_the_release(place: Town) -> None:
    (draft,) = waiting(place)
    ada = place.person("ada")
    decide(ada, "approve", draft)
    assert decide(ada, "undo", draft)["status"] == "pending_approval"
    decide(ada, "approve", draft)
    town.gate(place.engine)
    late = decide(ada, "undo", draft)
    assert (late["refused"], late["advice"]) == ("already_released", "it was released; an admin can recall it")


@pytest.mark.parametrize(
    ("body", "where"),
    [([], "[]"), ([{"action": "praise", "recommendation_id": "x"}], "action"), ([{"action": "approve"}], "recommend")],
)
def test_a_decision_that_makes_no_sense_is_refused_with_the_field(place: Town, body: Any, where: str) -> None:
    answer = place.person("ada").post("/desk/decide", json=body)
    assert answer.status_code == 422
    assert where in json.dumps(answer.json())


# ---- what others did


def test_changes_are_told_once_in_order_and_say_by_whom(place: Town) -> None:
    first, second = waiting(place, "a", "b")
    ada, ben = place.person("ada"), place.person("ben")
    since = ben.get("/desk/queue").json()["seq"]
    decide(ada, "approve", first)
    decide(ada, "reject", second, reason="outdated")
    told = ben.get("/desk/changes", params={"since": since}).json()
    assert [
        (one["recommendation_id"], one["action"], one["operator_id"], one["status"]) for one in told["changes"]
    ] == [
        (first["recommendation_id"], "approve", "ada", "approved"),
        (second["recommendation_id"], "reject", "ada", "rejected"),
    ]
    assert told["waiting"] == 0
    assert ben.get("/desk/changes", params={"since": told["seq"]}).json()["changes"] == []


def test_more_changes_than_one_answer_holds_come_with_the_next(place: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "DECISIONS_AT_ONCE", 2)
    drafts, ada = waiting(place, "a", "b", "c"), place.person("ada")
    since = ada.get("/desk/queue").json()["seq"]
    for draft in drafts:
        decide(ada, "approve", draft)
    first = ada.get("/desk/changes", params={"since": since}).json()
    second = ada.get("/desk/changes", params={"since": first["seq"]}).json()
    assert [len(one["changes"]) for one in (first, second)] == [2, 1]


# ---- wordings


def test_a_wording_shows_the_range_of_its_figures_and_its_names_before_it_is_approved(
    place: Town, given: list[Any]
) -> None:
    for n, payee in enumerate(("Rent & Co", "Rent & Co", "<b>Gym</b>")):
        slots = {
            "utilization": {"signal": "max_utilization", "value": n, "shown": f"{n}%"},
            "payee": {"signal": "insights", "value": payee, "shown": payee},
        }
        waiting(place, f"user_{n}", slots=json.dumps(slots))
    ada = place.person("ada")
    ref = _reference(ada)
    page = ada.get("/desk/wordings", params={"ref": ref}, headers=PAGE).text
    assert "Rent &amp; Co × 2" in page
    assert "&lt;b&gt;Gym&lt;/b&gt;" in page
    assert "<b>Gym" not in page
    assert "lowest utilization: 0%" in page
    assert "highest utilization: 2%" in page
    assert ref in ada.get("/desk/wordings", headers=PAGE).text.replace("%40", "@")


def test_a_wording_is_approved_only_by_who_opened_one_of_its_texts(place: Town, given: list[Any]) -> None:
    first, second = waiting(place, "a", "b")
    waiting(place, "c", findings=NOTABLE)
    ada, ben = place.person("ada"), place.person("ben")
    ref = _reference(ada)
    ben.post(f"/desk/item/{first['recommendation_id']}/opened", json={})
    refused = ada.post("/desk/wordings/approve", json={"reference": ref}).json()
    assert refused["approved"] == 0
    assert refused["refused"] == [{"code": "sample_required", "count": 2, "advice": "open one of its texts first"}]
    assert 'data-opened="no"' in ada.get("/desk/wordings", params={"ref": ref}, headers=PAGE).text
    ada.post(f"/desk/item/{second['recommendation_id']}/opened", json={})
    assert 'data-opened="yes"' in ada.get("/desk/wordings", params={"ref": ref}, headers=PAGE).text
    done = ada.post("/desk/wordings/approve", json={"reference": ref, "note": "read"}).json()
    assert done == {"approved": 2, "left": {"findings": 1}, "refused": []}
    assert town.status(place.engine, first) == "approved"


def test_a_wording_that_nobody_wrote_is_not_found(place: Town, given: list[Any]) -> None:
    answer = place.person("ada").get("/desk/wordings", params={"ref": "nothing@0123456789ab"}, headers=PAGE)
    assert answer.status_code == 404
    assert "no draft of" in answer.text


def test_a_standing_approval_reaches_ninety_days_and_is_of_whoever_is_logged_in(place: Town, given: list[Any]) -> None:
    ada = place.person("ada")
    asked = {"reference": "t@0123456789ab", "read_percent": 10}
    last = NOW.date() + dt.timedelta(days=90)
    for day in (last + dt.timedelta(days=1), NOW.date() - dt.timedelta(days=1)):
        answer = ada.post("/desk/wordings/standing", json=asked | {"until": day.isoformat()})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_until")
    assert given == []
    assert ada.post("/desk/wordings/standing", json=asked | {"until": last.isoformat()}).status_code == 200
    ((what, reference, who, now, how),) = given
    assert (what, reference, who, now) == ("approve", "t@0123456789ab", "ada", NOW)
    assert how["until"] == NOW + dt.timedelta(days=90), "the last day is over when ninety days are"
    assert (how["read_percent"], how["known_by"]) == (10, "login")
    ada.post("/desk/wordings/standing", json=asked | {"until": (last - dt.timedelta(days=1)).isoformat()})
    assert given[-1][-1]["until"] == dt.datetime.combine(last - dt.timedelta(days=1), dt.time(23, 59, 59), dt.UTC)
    ada.post("/desk/standing/end", json={"standing_id": "sta_1"})
    assert given[-1] == ("end", "sta_1", "ada", NOW)


def _reference(client: TestClient) -> str:
    (row, *_) = client.get("/desk/queue").json()["queue"]
    return str(client.get(f"/desk/item/{row['recommendation_id']}", params={"prefetch": "true"}).json()["reference"])


# ---- who may what

READ = ("/desk", "/desk/queue", "/desk/changes?since=0", "/desk/wordings", "/desk/overview", "/desk/experiments")
AUDIT = ("/desk/audit",)
CHANGES = {
    "/desk/decide": [{"action": "approve", "recommendation_id": "x"}],
    "/desk/check": {"recommendation_id": "x", "title": "t", "content": "c"},
    "/desk/wordings/approve": {"reference": "t@0123456789ab"},
    "/desk/wordings/standing": {"reference": "t@0123456789ab", "until": "2026-12-01"},
    "/desk/standing/end": {"standing_id": "x"},
}


def test_roles_open_what_they_should_and_nothing_else(place: Town, given: list[Any]) -> None:
    for name, role in {"vera": "viewer", "ada": "operator", "otto": "auditor", "root": "admin"}.items():
        client = place.person(name)
        assert {client.get(address, headers=PAGE).status_code for address in READ} == {200}, role
        audits = {client.get(address, headers=PAGE).status_code for address in AUDIT}
        assert audits == ({200} if role in ("auditor", "admin") else {403}), role
        refused = {client.post(address, json=body).status_code == 403 for address, body in CHANGES.items()}
        assert refused == {role != "operator"}, role


def test_nobody_gets_in_without_a_session(place: Town) -> None:
    client = place.client()
    for address in (*READ, *AUDIT):
        answer = client.get(address, headers=PAGE)
        assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/login")
        assert client.get(address).status_code == 401
    for address, body in CHANGES.items():
        assert client.post(address, json=body).status_code == 401


def test_a_change_without_the_pages_mark_is_refused(place: Town) -> None:
    (draft,) = waiting(place)
    client = place.person("ada")
    del client.headers["x-csrf-token"]
    asked = [{"action": "approve", "recommendation_id": draft["recommendation_id"]}]
    assert client.post("/desk/decide", json=asked).status_code == 403
    assert town.status(place.engine, draft) == "pending_approval"


def test_deciding_is_offered_to_operators_alone(place: Town) -> None:
    assert 'data-decides="yes"' in place.person("ada").get("/desk", headers=PAGE).text
    for name in ("vera", "otto", "root"):
        assert 'data-decides="no"' in place.person(name).get("/desk", headers=PAGE).text


def test_every_route_of_the_pages_has_a_rule() -> None:
    routes = [route for room in (desk, overview, customer_pages) for route in room.router.routes]
    assert len(routes) > 14
    assert [route for route in routes if not rules_of(route)] == []


# ---- overview, customers, audit


def test_the_overview_counts_before_anything_was_run(place: Town) -> None:
    waiting(place, "a")
    place.now += 30 * HOUR
    later = town.draft("b", town.grant(place.engine, "b", place.now), as_of=place.now.date())
    town.register(place.engine, later, now=place.now)
    place.released("c", template="told")
    with writing(place.engine) as session:
        assert activity.age_bands(session, place.now)[:2] == [("under a day", 1), ("1 to 3 days", 1)]
    page = place.person("vera").get("/desk/overview", headers=PAGE)
    assert page.status_code == 200
    assert "No date was run yet" in page.text
    assert '<th scope="row">1 to 3 days</th>' in page.text
    assert "style=" not in page.text


def test_the_pages_of_a_whole_run(refreshed: Pipeline, place: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    place.settings.warehouse = refreshed.settings.warehouse_root
    client = place.person("otto")
    page = client.get("/desk/overview", headers=PAGE).text
    assert "Fairness by income band" in page
    assert "Insights of the newest day" in page
    everybody = client.get("/desk/customers", headers=PAGE).text
    some = client.get("/desk/customers", params={"persona": "high_utilization"}, headers=PAGE).text
    assert some.count("/desk/customers/") < everybody.count("/desk/customers/")
    assert "Nobody fits" in client.get("/desk/customers", params={"consent": "yes"}, headers=PAGE).text
    user = everybody.partition('href="/desk/customers/')[2].partition('"')[0]
    one = client.get(f"/desk/customers/{user}", headers=PAGE)
    assert one.status_code == 200
    for heading in ("The coming 30 days", "Insights", "What was said, and what came back", "Signals", "Consent"):
        assert heading in one.text
    assert "never agreed to anything" in one.text
    assert "Nothing is drafted" not in one.text
    monkeypatch.setattr(trust, "LEAST_EXPLAINED", 1.1)
    unexplained = client.get(f"/desk/customers/{user}", headers=PAGE).text
    assert f"Nothing is drafted for this customer: {trust.REASONS['unexplained']}." in unexplained
    assert client.get("/desk/customers/nobody", headers=PAGE).status_code == 404


def test_the_page_of_a_day_is_served_as_it_was_written_to_those_who_may_read(refreshed: Pipeline, place: Town) -> None:
    address = f"/desk/days/{DAY}"
    place.settings.reports.mkdir()
    assert place.person("vera").get(address).status_code == 404
    written = (refreshed.settings.reports / f"{DAY}.html").read_text()
    (place.settings.reports / f"{DAY}.html").write_text(written)
    assert place.client().get(address).status_code == 401
    client = place.person("vera")
    assert f'href="{address}"' in client.get("/desk/overview", headers=PAGE).text
    page = client.get(address, headers=PAGE)
    assert page.text == written
    assert page.headers.get_list("content-security-policy") == [overview.PAGE_OF_DAY], "else its style is blocked"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert client.get("/desk/days/..%2F..%2Fspendsense.db").status_code in (404, 422)


def test_why_tells_the_auditor_all_and_the_operator_nothing(place: Town) -> None:
    release = place.released("mia")
    address = f"/desk/why/{release['recommendation_id']}"
    otto = place.person("otto")
    page = otto.get(address, headers=PAGE).text
    assert "approve by ada" in page
    assert "of the chain" in page
    assert place.person("ada").get(address, headers=PAGE).status_code == 403
    assert otto.get("/desk/why/rec_none", headers=PAGE).status_code == 404


def test_the_audit_page_says_where_the_chain_breaks(place: Town) -> None:
    place.released("mia")
    otto = place.person("otto")
    assert "The chain holds" in otto.get("/desk/audit", headers=PAGE).text
    with writing(place.engine) as session:
        session.connection().exec_driver_sql("UPDATE decisions SET operator_id = 'ben'")
    assert "The chain is broken at link" in otto.get("/desk/audit", headers=PAGE).text


def test_a_page_that_is_not_there_is_a_page_all_the_same(place: Town) -> None:
    answer = place.client().get("/nowhere", headers=PAGE)
    assert answer.status_code == 404
    assert "There is no page at this address" in answer.text
    assert place.client().get("/nowhere").json() == {"detail": "Not Found"}


def test_an_address_with_a_wrong_parameter_is_a_page_all_the_same(place: Town) -> None:
    ada = place.person("ada")
    for address in ("/desk/customers?offset=abc", "/desk/customers?consent=perhaps", "/desk/days/soon"):
        answer = ada.get(address, headers=PAGE)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
        assert "That does not fit" in answer.text
        assert ada.get(address).json()["detail"][0]["loc"]
    assert "offset: Input should be a valid integer" in ada.get("/desk/customers?offset=abc", headers=PAGE).text


def test_no_page_asks_for_anything_from_elsewhere(place: Town, given: list[Any]) -> None:
    waiting(place)
    client = place.person("otto")
    for address in (*READ, *AUDIT, "/login", "/docs"):
        page = client.get(address, headers=PAGE)
        assert "style=" not in page.text, address
        assert "//" not in page.text.replace(ADDRESS, "").replace("http://www.w3.org", ""), address
        assert "<script>" not in page.text, address
        assert "script-src 'self'" in page.headers["content-security-policy"]


# ---- plots


@pytest.mark.parametrize(("low", "high"), [(-120, 980), (0, 0), (5, 5), (-3, -1), (1, 1e6), (0.1, 0.2)])
def test_ticks_are_round_even_and_hold_all(low: float, high: float) -> None:
    found = charts.ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert 2 <= len(found) <= 7
    steps = {round(after - before, 6) for before, after in pairwise(found)}
    assert len(steps) == 1


def test_a_forecast_without_a_range_is_a_line_alone() -> None:
    days = [dt.date(2026, 7, n) for n in (1, 2, 3)]
    rows = [{"date": day, "expected": n * 100, "low": None, "high": None} for n, day in enumerate(days)]
    plot = charts.forecast({"forecast": rows, "dates": [{"date": days[1], "amount": -5}]})
    assert plot is not None
    assert plot["band"] == ""
    assert plot["line"].split()[0] == "0.0,1000.0"
    assert plot["marks"] == [{"x": 500.0, "kind": "bill"}]
    assert charts.forecast({"forecast": [], "dates": []}) is None


@pytest.mark.parametrize(
    ("value", "signal", "shown"),
    [(0.853, "max_utilization", "85.3 %"), (1234.5, "avg_monthly_income", "1,234.50"), (None, "", "–"),
     (True, "", "yes"),
     ([1, 2], "", "1; 2"), ("weekly", "pay_frequency", "weekly"), (3.0, "", "3")],
)  # fmt: skip
def test_a_figure_is_written_in_its_unit(value: Any, signal: str, shown: str) -> None:
    assert pane.figure(value, signal) == shown
