"""What goes on at the desk and what became of the texts, on both databases."""

import json

import pytest
from sqlalchemy import Engine

from spendsense_pipeline.durations import LOOKING
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import activity, audit, queue, wordings
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import FeedbackEvent, Release
from spendsense_pipeline_tests.governance import verdicts
from spendsense_pipeline_tests.governance.town import DAY, NOTABLE, NOW, approve, gate, seen, waiting_draft


def test_who_decided_what_is_heard_once_and_counted(engine: Engine) -> None:
    first, second = waiting_draft(engine, "mia"), waiting_draft(engine, "raj", template="other")
    with reading(engine) as session:
        since = audit.head(session)[0]
    approve(engine, first)
    verdicts.reject(engine, [seen(second)], "ben", NOW, reason="tone")
    with reading(engine) as session:
        heard = activity.decisions_since(session, since, NOW)
        assert [(one["operator_id"], one["status"]) for one in heard] == [("ada", "approved"), ("ben", "rejected")]
        assert activity.decisions_since(session, audit.head(session)[0], NOW) == []
        assert [row["reject"] for row in activity.decisions_by_operator(session)] == [0, 1]
        assert [row["template_id"] for row in activity.refused_by_wording(session)] == ["other"]
        assert activity.waiting(session, NOW) == 0


def test_waiting_is_counted_in_bands_of_age_from_their_edges(engine: Engine) -> None:
    waiting_draft(engine)
    second = DAY / DAY.total_seconds()
    for age, band in ((DAY - second, 0), (DAY, 1), (3 * DAY, 2), (7 * DAY - second, 2), (7 * DAY, 3)):
        with reading(engine) as session:
            assert [n for _, n in activity.age_bands(session, NOW + age)].index(1) == band


def test_somebody_looks_for_two_minutes(engine: Engine) -> None:
    one = waiting_draft(engine)
    queue.show(engine, one["recommendation_id"], NOW, operator_id="ada")
    queue.show(engine, one["recommendation_id"], NOW)  # nobody by name
    with reading(engine) as session:
        assert activity.looking(session, NOW) == {one["recommendation_id"]: ["ada"]}
        assert activity.looking(session, NOW, "another") == {}
        assert activity.looking(session, NOW + LOOKING) == {}


def test_a_customers_history_has_the_release_its_feedback_and_the_last_decision(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    verdicts.undo(engine, [seen(one)], "ben", NOW)
    approve(engine, one)
    gate(engine)
    with writing(engine) as session:
        release_id = session.query(Release).one().release_id
        for n, kind in enumerate(("helpful", "helpful", "complaint")):
            session.add(
                FeedbackEvent(
                    event_id=f"e{n}", release_id=release_id, user_id="mia", kind=kind, note=None, source="app",
                    occurred_at=NOW, received_at=NOW,
                )
            )  # fmt: skip
    with reading(engine) as session:
        (row,) = activity.history_of(session, "mia", NOW)
        assert (row["action"], row["decided_by"], row["released_at"]) == ("approve", "ada", NOW)
        assert row["feedback"] == {"complaint": 1, "helpful": 2}
        assert activity.feedback(session) == {"helpful": 2, "complaint": 1}
        assert activity.history_of(session, "\x00", NOW) == []


def test_one_wording_is_as_the_list_has_it_with_its_names(engine: Engine) -> None:
    for n in range(wordings.NAMES + 2):
        slots = {"payee": {"signal": "insights", "value": f"Payee {n:02}", "shown": f"Payee {n:02}"}}
        waiting_draft(engine, f"user_{n}", slots=json.dumps(slots), **({"findings": NOTABLE} if n == 0 else {}))
    with reading(engine) as session:
        (listed,) = wordings.templates(session, NOW)["templates"]
        assert wordings.wording(session, NOW, listed["reference"]) == listed
        assert (len(listed["names"]["payee"]["values"]), listed["names"]["payee"]["others"]) == (wordings.NAMES, 2)
        assert listed["with_findings"] == 1
        assert not wordings.sample_opened(session, listed["reference"], "ada")
        with pytest.raises(SpendSenseError, match="no draft of"):
            wordings.wording(session, NOW, "nothing@0123456789ab")
    queue.show(engine, listed["renderings"][0]["recommendation_id"], NOW, operator_id="ada")
    with reading(engine) as session:
        assert wordings.sample_opened(session, listed["reference"], "ada")
        assert not wordings.sample_opened(session, listed["reference"], "ben")
