"""What operators see first, and what an auditor is told."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import Engine

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import queue
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.why import why
from spendsense_pipeline_tests.governance import verdicts
from spendsense_pipeline_tests.governance.town import (
    DAY,
    HOUR,
    NOW,
    approve,
    draft,
    gate,
    grant,
    no_findings,
    register,
    revoke,
    waiting_draft,
)

NOTABLE = '[{"check": "reading_level", "severity": "notable", "message": "long"}]'
CRITICAL = '[{"check": "tone", "severity": "critical", "message": "shames"}]'


def listed(engine: Engine, now: dt.datetime = NOW, **how: Any) -> dict[str, Any]:
    with reading(engine) as session:
        return queue.queue(session, now, **how)


def test_the_queue_puts_findings_then_new_templates_then_near_expiry_then_age_first(engine: Engine) -> None:
    approve(engine, waiting_draft(engine, "ann", template="known"))
    order = ["critical", "notable", "new", "late", "old", "young"]
    drafts = {
        "late": (NOW - 12 * DAY, {"template": "known"}),
        "young": (NOW, {"template": "known"}),
        "old": (NOW - 2 * DAY, {"template": "known"}),
        "new": (NOW, {"template": "unseen"}),
        "notable": (NOW, {"template": "known", "findings": NOTABLE}),
        "critical": (NOW, {"template": "known", "findings": CRITICAL}),
    }
    for user, (at, changes) in drafts.items():
        register(engine, draft(user, grant(engine, user, NOW - 20 * DAY), **changes), now=at)
    assert [row["user_id"] for row in listed(engine)["queue"]] == order


def test_a_queue_row_says_what_the_interface_promises(engine: Engine) -> None:
    one = waiting_draft(engine, findings=NOTABLE)
    (row,) = listed(engine, NOW + 90 * dt.timedelta(minutes=1))["queue"]
    assert {name: row[name] for name in ("recommendation_id", "content_hash", "title", "status", "age_hours")} == {
        "recommendation_id": one["recommendation_id"],
        "content_hash": one["content_hash"],
        "title": one["title"],
        "status": "pending_approval",
        "age_hours": 1.5,
    }
    assert row["findings"] == [{"check": "reading_level", "severity": "notable", "message": "long"}]
    assert row["registered_at"] == NOW


def test_the_queue_filters_and_pages(engine: Engine) -> None:
    for number in range(5):
        waiting_draft(engine, f"user-{number}", template=f"t{number % 2}")
    page = listed(engine, limit=2, offset=4)
    assert (len(page["queue"]), page["total"], page["limit"], page["offset"]) == (1, 5, 2, 4)
    assert listed(engine, template_id="t1")["total"] == 2
    assert listed(engine, user_id="user-3")["total"] == 1
    assert listed(engine, persona="wealth_builder")["total"] == 0
    assert listed(engine, user_id="a\0b")["total"] == 0
    assert listed(engine, NOW + 14 * DAY)["total"] == 0
    assert listed(engine, NOW + 14 * DAY, status="expired")["total"] == 5
    with pytest.raises(SpendSenseError):
        listed(engine, status="mislaid")
    with reading(engine) as session:
        grouped = queue.queue_by_template(session, NOW)
        assert [(row["template_id"], row["count"]) for row in grouped] == [("t0", 3), ("t1", 2)]
        assert queue.waiting(session, NOW + 12 * DAY) == {
            "waiting": 5,
            "near_expiry": 5,
            "with_findings": 0,
            "oldest_hours": 288.0,
        }


def test_counts_name_every_status(engine: Engine) -> None:
    approve(engine, waiting_draft(engine))
    waiting_draft(engine, "noah")
    gate(engine)
    revoke(engine, "mia")
    with reading(engine) as session:
        found = queue.counts(session, NOW)
    assert found["recommendations"] == {
        "pending_approval": 1,
        "approved": 1,
        "overridden": 0,
        "rejected": 0,
        "superseded": 0,
        "expired": 0,
        "voided": 0,
    }
    assert found["releases"] == {"released": 1, "recalled": 1}


def test_why_tells_all_of_it_from_stored_rows(engine: Engine) -> None:
    consents = grant(engine, "mia", text_version="2026-10", channel="app")
    one = draft("mia", consents)
    register(engine, one, run_id="daily-1", signals={"mia": {"streams": []}})
    verdicts.override(
        engine,
        one["recommendation_id"],
        "ada",
        NOW,
        guardrails=no_findings,
        title="Calmer",
        reason="tone",
        run_id="r-2",
    )
    gate(engine, NOW + HOUR, run_id="gate-3")
    revoke(engine, "mia", NOW + DAY)
    with reading(engine) as session:
        told = why(session, one["recommendation_id"], NOW + DAY)
    assert (told["title"], told["original"]["title"]) == ("Calmer", one["title"])
    assert (told["decision"]["operator_id"], told["decision"]["made"]) == ("ada", "individual")
    assert (told["decision"]["run_id"], told["release"]["run_id"], told["run_id"]) == ("r-2", "gate-3", "daily-1")
    assert told["release"]["content_hash"] == told["decision"]["content_hash"] == told["content_hash"]
    assert (told["consent"]["text_version"], told["consent"]["channel"]) == ("2026-10", "app")
    assert [event["action"] for event in told["consent"]["events"]] == ["opened", "closed"]
    assert told["recall"]["cause"] == "revoked"
    assert told["slots"]["utilization"]["value"] == 0.68


def test_what_nobody_registered_is_unknown(engine: Engine) -> None:
    for name in ("rec_none", "a\0b"):
        with pytest.raises(SpendSenseError) as refused:
            queue.show(engine, name, NOW)
        assert refused.value.code == "unknown_recommendation"


def test_the_ages_of_what_waits_are_hours_oldest_first(engine: Engine) -> None:
    for user, days in {"young": 1, "old": 9}.items():
        register(engine, draft(user, grant(engine, user, NOW - 20 * DAY)), now=NOW - days * DAY)
    with reading(engine) as session:
        assert queue.ages(session, NOW) == [9 * 24, 24]
        assert queue.ages(session, NOW + 13 * DAY) == []  # by then both expired
