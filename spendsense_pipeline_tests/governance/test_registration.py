"""A day's drafts enter the queue once, replace only what changed, and never the other way round in time."""

import datetime as dt
import json
import threading
import time
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import database, queue, registration, why
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.database_frames import history
from spendsense_pipeline.governance.models import Recommendation
from spendsense_pipeline.governance.registration import is_replaced_by, register_drafts, severity
from spendsense_pipeline_tests.governance import verdicts
from spendsense_pipeline_tests.governance.town import (
    DAY,
    HOUR,
    NOW,
    TODAY,
    approve,
    draft,
    gate,
    grant,
    outcome,
    register,
    revoke,
    seen,
    status,
    waiting_draft,
)

NOTABLE = '[{"check": "reading_level", "severity": "notable", "message": "long"}]'
TOMORROW = TODAY + dt.timedelta(days=1)


def statuses(engine: Engine) -> dict[str, str]:
    with reading(engine) as session:
        rows = session.execute(select(Recommendation.recommendation_id, Recommendation.status))
        return {row.recommendation_id: row.status for row in rows}


def test_the_same_day_again_changes_nothing(engine: Engine) -> None:
    consents = grant(engine, "mia")
    slate = [draft("mia", consents), draft("mia", consents, template="other"), draft("mia", consents, product="card")]
    first = register(engine, *slate)
    assert (first.registered, first.unchanged) == (3, 0)
    before = statuses(engine)
    again = register(engine, *slate, now=NOW + HOUR)
    assert (again.registered, again.replaced, again.unchanged, again.withdrawn) == (0, 0, 3, 0)
    assert statuses(engine) == before


def test_the_same_day_again_leaves_decisions_and_releases_alone(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    assert register(engine, one).unchanged == 1
    gate(engine)
    assert register(engine, one, now=NOW + HOUR).unchanged == 1
    assert gate(engine, NOW + HOUR).released == []


def test_a_frame_of_the_contract_registers_like_rows(engine: Engine) -> None:
    consents = grant(engine, "mia")
    frame = pd.DataFrame([draft("mia", consents), draft("mia", consents, product="card")]).astype(
        {"window_days": "Int64", "generation_ms": float, "model": "str", "product_id": "str"}
    )
    assert register_drafts(engine, frame, TODAY, NOW).registered == 2
    with reading(engine) as session:
        kept = history(session, TOMORROW, NOW)
    assert list(kept.columns) == [
        *("recommendation_id", "user_id", "consent_id", "content_type", "template_id", "product_id"),
        *("insight_id", "status"),
        *("as_of", "decided_at", "released_at"),
    ]
    assert kept["product_id"].isna().sum() == 1
    assert set(kept["as_of"]) == {TODAY}
    with reading(engine) as session:
        assert history(session, TODAY, NOW).empty


def test_the_next_day_keeps_a_waiting_draft_that_says_the_same(engine: Engine) -> None:
    one = waiting_draft(engine, figure=0.68)
    consents = {"education": one["consent_id"]}
    next_day = register(engine, draft("mia", consents, as_of=TOMORROW, figure=0.70), now=NOW + DAY)
    assert (next_day.suppressed, next_day.registered, next_day.replaced) == (1, 0, 0)
    assert statuses(engine) == {one["recommendation_id"]: "pending_approval"}


@pytest.mark.parametrize(
    "changed", [{"figure": 0.80}, {"situation": "other"}, {"prompt_version": "2"}, {"template_hash": "f" * 64}]
)
def test_a_waiting_draft_that_changed_is_replaced_and_its_age_inherited(
    engine: Engine, changed: dict[str, Any]
) -> None:
    one = waiting_draft(engine, figure=0.68)
    newer = draft("mia", {"education": one["consent_id"]}, as_of=TOMORROW, **({"figure": 0.68} | changed))
    assert register(engine, newer, now=NOW + DAY).replaced == 1
    assert statuses(engine) == {
        one["recommendation_id"]: "superseded",
        newer["recommendation_id"]: "pending_approval",
    }
    assert outcome(approve(engine, one, now=NOW + DAY)) == "superseded"
    with reading(engine) as session:
        kept = session.get_one(Recommendation, newer["recommendation_id"])
        assert (kept.first_registered_at, kept.registered_at) == (NOW, NOW + DAY)


def test_what_the_new_slate_no_longer_holds_is_withdrawn(engine: Engine) -> None:
    consents = grant(engine, "mia")
    offer, kept = draft("mia", consents, product="card"), draft("mia", consents, template="a")
    register(engine, offer, kept)
    slate = [draft("mia", consents, template=name, as_of=TOMORROW) for name in "ab"]
    done = register(engine, *slate, now=NOW + DAY)
    assert (done.suppressed, done.registered, done.withdrawn) == (1, 1, 1), "no piece takes an offer's place"
    assert (status(engine, offer), status(engine, kept)) == ("superseded", "pending_approval")


def test_new_drafts_of_the_same_kind_inherit_the_age_of_what_is_withdrawn_the_oldest_first(engine: Engine) -> None:
    consents = grant(engine, "mia", NOW - DAY)
    old = draft("mia", consents, template="a", as_of=TODAY - dt.timedelta(days=1))
    register(engine, old, now=NOW - DAY)
    middle = [old | {"as_of": TODAY}, *(draft("mia", consents, template=name) for name in "bc")]
    register(engine, *middle)
    newer = [draft("mia", consents, template=name, as_of=TOMORROW) for name in "xy"]
    offer = draft("mia", consents, product="card", as_of=TOMORROW)
    done = register(engine, *newer, offer, now=NOW + DAY)
    assert (done.registered, done.replaced, done.withdrawn) == (1, 2, 1)
    with reading(engine) as session:
        x, y, card = (session.get_one(Recommendation, one["recommendation_id"]) for one in (*newer, offer))
        gone = session.get_one(Recommendation, old["recommendation_id"])
        assert (x.first_registered_at, y.first_registered_at) == (NOW - DAY, NOW)
        assert card.first_registered_at == NOW + DAY, "an offer takes no piece's place"
        assert (gone.status, gone.superseded_by) == ("superseded", x.recommendation_id)


def test_a_slate_without_a_draft_is_a_slate(engine: Engine) -> None:
    one, other = waiting_draft(engine, "mia"), waiting_draft(engine, "noah")
    empty: list[dict[str, Any]] = []
    done = register_drafts(engine, empty, TOMORROW, NOW + DAY, customers=["mia", "somebody new"])
    assert (done.withdrawn, status(engine, one), status(engine, other)) == (1, "superseded", "pending_approval")
    late = register(engine, one)
    assert (late.refused, late.why_refused) == (1, {"older_than_newest": 1})
    earlier = register_drafts(engine, empty, TODAY - dt.timedelta(days=1), NOW + DAY, customers=["noah"])
    assert (earlier.withdrawn, status(engine, other)) == (0, "pending_approval")


@pytest.mark.parametrize("product", [None, "card"])
def test_a_rejection_is_heeded_at_registration_by_the_clock_and_in_any_period(
    engine: Engine, product: str | None
) -> None:
    one = waiting_draft(engine, product=product, as_of=TODAY)
    tables_made_before = draft("mia", grant(engine, "mia"), product=product, as_of=TOMORROW)
    assert outcome(verdicts.reject(engine, [seen(one)], "ada", NOW, reason="no")) == "rejected"
    assert register(engine, tables_made_before, now=NOW + HOUR).suppressed == 1
    revoke(engine, "mia", NOW + HOUR)
    consents = grant(engine, "mia", NOW + HOUR)
    for days, registered in [(89, 0), (90, 1)]:
        later = draft("mia", consents, product=product, as_of=TODAY + dt.timedelta(days=days))
        assert register(engine, later, now=NOW + days * DAY).registered == registered
    other = draft("noah", grant(engine, "noah"), product=product)
    assert register(engine, other).registered == 1


def test_what_the_day_s_own_drafts_replaced_still_waits_for_a_second_run_of_that_day(engine: Engine) -> None:
    one = waiting_draft(engine)
    consents = {"education": one["consent_id"]}
    register(engine, draft("mia", consents, as_of=TOMORROW, figure=0.9), now=NOW + DAY)
    with reading(engine) as session:
        again = history(session, TOMORROW, NOW + DAY)
        next_day = history(session, TOMORROW + dt.timedelta(days=1), NOW + DAY)
    assert again["status"].tolist() == ["pending_approval"]
    assert next_day["status"].tolist() == ["superseded", "pending_approval"]
    assert set(again["consent_id"]) == {one["consent_id"]}


def test_a_released_piece_may_come_again_after_fourteen_days(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    gate(engine)
    for days, registered in [(13, 0), (14, 1)]:
        later = draft("mia", {"education": one["consent_id"]}, as_of=TODAY + dt.timedelta(days=days))
        assert register(engine, later, now=NOW + days * DAY).registered == registered


def test_a_draft_withdrawn_by_a_mistaken_run_comes_back_with_the_right_one(engine: Engine) -> None:
    one = waiting_draft(engine, template="a")
    register(engine, draft("mia", {"education": one["consent_id"]}, template="b"))
    assert status(engine, one) == "superseded"
    late = NOW + 13 * DAY
    register(engine, one | {"findings": NOTABLE}, now=late)
    assert status(engine, one, late + 13 * DAY) == "pending_approval", "it has its full time again"
    with reading(engine) as session:
        assert queue.full(session, one["recommendation_id"], late)["findings"] == json.loads(NOTABLE)


def test_other_customers_are_left_alone(engine: Engine) -> None:
    one = waiting_draft(engine, "mia")
    register(engine, draft("noah", grant(engine, "noah"), as_of=TOMORROW), now=NOW + DAY)
    assert status(engine, one) == "pending_approval"


def test_an_older_day_fills_tables_and_never_the_queue(engine: Engine) -> None:
    one = waiting_draft(engine)
    older = draft("mia", {"education": one["consent_id"]}, as_of=TODAY - dt.timedelta(days=1), figure=0.1)
    done = register(engine, older, now=NOW + DAY)
    assert (done.refused, done.why_refused) == (1, {"older_than_newest": 1})
    assert statuses(engine) == {one["recommendation_id"]: "pending_approval"}


def test_a_day_that_brought_nothing_new_still_counts_as_the_newest(engine: Engine) -> None:
    one = waiting_draft(engine)
    consents = {"education": one["consent_id"]}
    register(engine, draft("mia", consents, as_of=TODAY + dt.timedelta(days=5)))
    between = draft("mia", consents, as_of=TOMORROW, figure=0.1)
    assert register(engine, between).refused == 1


def test_without_live_consent_nothing_is_registered(engine: Engine) -> None:
    consents = grant(engine, "mia")
    revoke(engine, "mia")
    crossed = draft("mia", {"education": grant(engine, "noah")["education"]})
    wrong_scope = draft("zoe", {"education": grant(engine, "zoe")["partner_offers"]})
    done = register(engine, draft("mia", consents, template="x"), crossed, wrong_scope)
    assert (done.registered, done.why_refused) == (0, {"without_consent": 3})
    assert statuses(engine) == {}


def test_released_and_approved_pieces_are_not_drafted_again_while_they_say_the_same(engine: Engine) -> None:
    one = waiting_draft(engine)
    consents = {"education": one["consent_id"]}
    same, moved = (draft("mia", consents, as_of=TOMORROW, figure=figure) for figure in (0.68, 0.2))
    approve(engine, one)
    assert register(engine, moved, now=NOW + HOUR).suppressed == 1, "approved, on its way out"
    gate(engine)
    assert register(engine, same, now=NOW + HOUR).suppressed == 1
    assert register(engine, moved, now=NOW + HOUR).registered == 1


def test_corrected_data_of_the_same_day_replace_a_waiting_text_and_bind_decisions_to_it(engine: Engine) -> None:
    one = waiting_draft(engine, figure=0.68)
    corrected = draft("mia", {"education": one["consent_id"]}, figure=0.55)
    assert corrected["recommendation_id"] == one["recommendation_id"]
    assert register(engine, corrected, now=NOW + HOUR).replaced == 1
    assert outcome(approve(engine, one)) == "changed"
    assert outcome(approve(engine, corrected)) == "approved"
    assert register(engine, one, now=NOW + HOUR).suppressed == 1, "a decision keeps the text it is bound to"
    with reading(engine) as session:
        told = why.why(session, one["recommendation_id"], NOW)
    assert [version["title"] for version in told["texts"]] == [one["title"], corrected["title"]]


def test_a_whole_slate_may_be_corrected_at_once(engine: Engine) -> None:
    consents = grant(engine, "mia")
    register(engine, *(draft("mia", consents, template=name, figure=0.5) for name in "abc"))
    corrected = [draft("mia", consents, template=name, figure=0.9, findings=NOTABLE) for name in "abc"]
    assert register(engine, *corrected).replaced == 3
    again = register(engine, *(one | {"findings": "[]"} for one in corrected))
    assert again.unchanged == 3
    assert {row["recommendation_id"] for row in approve(engine, *corrected) if row["ok"]} == set(statuses(engine))


def test_the_evidence_is_copied_in(engine: Engine) -> None:
    one = draft("mia", grant(engine, "mia"))
    register(engine, one, signals={"mia": {"streams": [{"merchant": "Gym", "amount": 30.0}]}}, run_id="run-7")
    with reading(engine) as session:
        told = why.why(session, one["recommendation_id"], NOW)
    assert told["signals"] == {"streams": [{"merchant": "Gym", "amount": 30.0}]}
    assert told["slots"] == json.loads(one["slots"])
    assert told["reasons"] == json.loads(one["reasons"])
    assert told["run_id"] == "run-7"


def test_an_expired_draft_makes_room_for_the_same_piece(engine: Engine) -> None:
    one = waiting_draft(engine)
    later = draft("mia", {"education": one["consent_id"]}, as_of=TODAY + dt.timedelta(days=15))
    assert register(engine, later, now=NOW + 15 * DAY).registered == 1
    assert statuses(engine)[one["recommendation_id"]] == "expired"


@pytest.mark.parametrize("bad", [{"title": "a\0b"}, {"content": "\ud800"}])
def test_a_text_that_cannot_be_kept_registers_nothing(engine: Engine, bad: dict[str, str]) -> None:
    consents = grant(engine, "mia")
    with pytest.raises(SpendSenseError) as refused:
        register(engine, draft("mia", consents, template="fine"), draft("mia", consents) | bad)
    assert refused.value.code == "invalid_text"
    assert statuses(engine) == {}


def test_a_decision_waits_for_at_most_one_turn_of_a_registration(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "TURN", 2)
    monkeypatch.setattr(database, "LOOKS_AGAIN", 0.5)  # SQLite's waiter looks each tenth: also where cores are short
    waits = waiting_draft(engine, "zoe")
    day = [draft(user, grant(engine, user)) for user in (f"user-{number}" for number in range(8))]
    found: list[str | None] = []
    locked, asks = threading.Event(), threading.Event()
    write = registration._write_drafts
    named = Recommendation.recommendation_id == waits["recommendation_id"]
    waiting = select(Recommendation.status).where(named)

    def turn(session: Session, *args: Any) -> None:
        found.append(session.scalar(waiting))
        locked.set()
        assert asks.wait(30)
        until = time.monotonic() + 30
        while len(found) == 1 and not stands_before_the_lock() and time.monotonic() < until:
            time.sleep(0.02)
        write(session, *args)

    def stands_before_the_lock() -> bool:
        if engine.dialect.name == "sqlite":  # which tells nobody who waits
            time.sleep(0.2)
            return True
        with engine.connect() as beside:
            return bool(beside.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    def decide() -> None:
        assert locked.wait(30)
        asks.set()
        assert outcome(approve(engine, waits)) == "approved"

    monkeypatch.setattr(registration, "_write_drafts", turn)
    operator = threading.Thread(target=decide)
    operator.start()
    assert register(engine, *day).registered == 8
    operator.join()
    assert found == ["pending_approval", *["approved"] * 3]  # as each turn finds the text


def test_a_registration_that_breaks_off_keeps_whole_customers_and_is_completed_by_the_next(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "TURN", 1)
    day = [
        draft(user, consents, template=template)
        for user in ("ann", "bob")
        for consents in [grant(engine, user)]
        for template in ("first", "second")
    ]
    write, turns = registration._write_drafts, iter([registration._write_drafts])

    def once(*args: Any) -> None:
        next(turns)(*args)

    monkeypatch.setattr(registration, "_write_drafts", once)
    with pytest.raises(StopIteration):
        register(engine, *day)
    assert statuses(engine).keys() == {one["recommendation_id"] for one in day[:2]}
    monkeypatch.setattr(registration, "_write_drafts", write)
    again = register(engine, *day, now=NOW + HOUR)
    assert (again.registered, again.unchanged) == (2, 2)


def test_a_hash_that_is_not_its_text_s_registers_nothing(engine: Engine) -> None:
    forged = draft("mia", grant(engine, "mia")) | {"content": "Borrow more."}
    with pytest.raises(SpendSenseError) as refused:
        register(engine, forged)
    assert refused.value.code == "hash_mismatch"
    assert seen(forged)


def piece(value: object) -> dict[str, Any]:
    slots = json.dumps({"figure": {"value": value}})
    return {"situation": "s", "template_id": "t", "template_hash": "h", "prompt_version": "1", "slots": slots}


@given(st.integers(1, 10**9), st.integers(-(10**9), 10**9))
def test_more_than_a_tenth_is_exactly_that(before: int, after: int) -> None:
    assert is_replaced_by(piece(before), piece(after)) == (10 * abs(after - before) > before)


def test_a_tenth_is_judged_as_written_and_zero_notices_anything() -> None:
    assert not is_replaced_by(piece(0.6), piece(0.66))
    assert is_replaced_by(piece(0.6), piece(0.6601))
    assert is_replaced_by(piece(0), piece(1))
    assert not is_replaced_by(piece("Gym"), piece("Gym Ltd"))
    assert is_replaced_by(piece(12.5), piece(None))


@pytest.mark.parametrize(
    ("found", "gravest"),
    [([], 0), (["notable"], 1), (["critical", "notable"], 2), (["notable", "a word of later days"], 2), ([None], 2)],
)
def test_a_text_is_as_grave_as_its_gravest_finding(found: list[str | None], gravest: int) -> None:
    assert severity([{"severity": one} if one else {} for one in found]) == gravest
