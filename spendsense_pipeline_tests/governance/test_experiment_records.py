"""What an experiment withholds is reviewed like any other text and goes out on no path."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.exc import IntegrityError

from spendsense_pipeline.erasure import erased_rows
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, experiment_records, release
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.experiment_records import Place, Plan
from spendsense_pipeline.governance.models import Assignment, Experiment, Ghost, Recommendation
from spendsense_pipeline_tests.governance.town import DAY, NOW, TODAY, approve, draft, feed, gate, grant, register

FEES = Plan("fees", "{}", "a" * 64, "fees_charged", 90, 30, frozenset({"nothing"}), {"text": "plain"})
ALL = replace(FEES, name="all", definition_hash="b" * 64, insight=None, templates={})
ABOUT = {"insight": "fees_charged", "insight_id": "ins_1"}


def to(arm: str) -> Any:
    """A dealer who gives everybody this arm."""

    def deal(strata: Mapping[str, str], free: Mapping[str, int]) -> list[Place]:
        return [Place(user, cell, free.get(cell, 0) + n, arm) for n, (user, cell) in enumerate(sorted(strata.items()))]

    return deal


def assign(engine: Engine, *users: str, arm: str = "nothing", plan: Plan = FEES, now: dt.datetime = NOW) -> int:
    return experiment_records.assign(engine, plan, dict.fromkeys(users, "p/low"), to(arm), TODAY, now)


def approved(engine: Engine, user: str = "mia", **changes: Any) -> dict[str, Any]:
    one = draft(user, grant(engine, user), **changes)
    register(engine, one)
    approve(engine, one)
    return one


def ghosts(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return list(session.scalars(select(Ghost.recommendation_id)))


def test_a_ghost_is_reviewed_is_in_the_chain_and_never_goes_out(engine: Engine) -> None:
    assign(engine, "mia")
    one = approved(engine, **ABOUT)
    assert gate(engine).blocked == {"withheld": 1}
    assert release.propose(engine, NOW).blocked == {"withheld": 1}
    assert feed(engine) == []
    assert ghosts(engine) == [one["recommendation_id"]]
    with reading(engine) as session:
        assert audit.verify(session).ok
        assert session.scalars(select(audit.AuditEntry.kind).where(audit.AuditEntry.kind == "ghost")).all() == ["ghost"]
    late = NOW + dt.timedelta(days=13)
    assert gate(engine, late).released == []


def test_a_draft_that_waited_before_its_customer_was_assigned_is_withheld_too(engine: Engine) -> None:
    approved(engine, **ABOUT)
    assign(engine, "mia")
    assert gate(engine).blocked == {"withheld": 1}


def test_the_gate_refuses_by_the_assignment_where_no_ghost_was_marked(engine: Engine) -> None:
    assign(engine, "mia")
    approved(engine, **ABOUT)
    with writing(engine) as session:
        session.execute(update(Recommendation).values(ghost=False))
    assert gate(engine).blocked == {"withheld": 1}


def test_the_schema_itself_refuses_a_released_ghost(engine: Engine) -> None:
    assign(engine, "mia")
    approved(engine, **ABOUT)
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.execute(update(Recommendation).values(released_at=NOW))


@pytest.mark.parametrize(
    ("plan", "arm", "changes"),
    [
        (FEES, "text", ABOUT),
        (FEES, "nothing", {"insight": "thin_cushion", "insight_id": "ins_2"}),
        (ALL, "nothing", {"insight": "overdrawn", "insight_id": "ins_3"}),
        (ALL, "nothing", {"product": "free_counseling"}),
    ],
    ids=["its_arm_sees_it", "another_insight", "urgent", "an_offer"],
)
def test_nothing_else_is_withheld(engine: Engine, plan: Plan, arm: str, changes: dict[str, Any]) -> None:
    assign(engine, "mia", arm=arm, plan=plan)
    one = approved(engine, **changes)
    assert gate(engine).released == [one["recommendation_id"]]
    assert ghosts(engine) == []


def test_a_holdout_of_everything_withholds_a_personas_piece(engine: Engine) -> None:
    assign(engine, "mia", plan=ALL)
    approved(engine)
    assert gate(engine).blocked == {"withheld": 1}


def test_an_arm_is_for_good(engine: Engine) -> None:
    assert assign(engine, "mia", "noa") == 2
    assert assign(engine, "mia", "noa", "zoe", arm="text") == 1
    with reading(engine) as session:
        found = {
            row["user_id"]: (row["arm"], row["ordinal"]) for row in experiment_records.assignments(session, "fees")
        }
    assert found == {"mia": ("nothing", 0), "noa": ("nothing", 1), "zoe": ("text", 2)}


def test_nobody_enters_after_the_enrolment(engine: Engine) -> None:
    assign(engine, "mia")
    assert assign(engine, "noa", now=NOW + 30 * DAY - dt.timedelta(seconds=1)) == 1
    assert assign(engine, "zoe", now=NOW + 30 * DAY) == 0


def test_a_file_that_changed_after_the_first_assignment_is_refused(engine: Engine) -> None:
    assign(engine, "mia")
    with pytest.raises(SpendSenseError, match="another experiment") as refused:
        assign(engine, "noa", plan=replace(FEES, definition_hash="c" * 64))
    assert refused.value.code == "experiment_changed"


def test_nobody_is_in_two_experiments_about_the_same_texts(engine: Engine) -> None:
    assign(engine, "mia")
    assert assign(engine, "mia", "noa", plan=ALL) == 1
    other = replace(FEES, name="other", definition_hash="d" * 64, insight="thin_cushion")
    assert assign(engine, "mia", "noa", plan=other) == 1
    later = NOW + 91 * DAY
    assert assign(engine, "mia", plan=replace(ALL, name="next", definition_hash="e" * 64), now=later) == 1


def test_the_arms_text_is_asked_for_while_the_experiment_runs(engine: Engine) -> None:
    assign(engine, "mia", arm="text")
    with reading(engine) as session:
        assert experiment_records.wordings(session, NOW) == {("mia", "fees_charged"): "plain"}
        assert experiment_records.wordings(session, NOW, user_id="noa") == {}
        assert experiment_records.wordings(session, NOW + 90 * DAY) == {}


def test_an_ended_experiment_withholds_nothing_new_and_its_ghosts_stay_ghosts(engine: Engine) -> None:
    assign(engine, "mia", "noa")
    approved(engine, **ABOUT)
    experiment_records.end(engine, "fees", "ada", "complaints", NOW)
    fresh = approved(engine, "noa", **ABOUT)
    after = gate(engine)
    assert after.released == [fresh["recommendation_id"]]
    assert after.blocked == {"withheld": 1}
    assert assign(engine, "zoe") == 0
    with pytest.raises(SpendSenseError, match="ended before"):
        experiment_records.end(engine, "fees", "ada", "again", NOW)
    with reading(engine) as session:
        assert audit.verify(session).ok


def test_an_assignment_changed_by_hand_breaks_the_chain(engine: Engine) -> None:
    assign(engine, "mia")
    with writing(engine) as session:
        session.execute(update(Assignment).values(shows="usual"))
    with reading(engine) as session:
        found = audit.verify(session)
    assert not found.ok
    assert found.first_broken is not None
    assert found.first_broken["problem"] == "row_changed"


def test_a_release_of_a_ghost_shows_in_the_proof(engine: Engine) -> None:
    one = approved(engine, **ABOUT)
    gate(engine)
    assign(engine, "noa")
    with writing(engine) as session:
        session.execute(
            text(
                "INSERT INTO ghosts (recommendation_id, seq, assignment_id, marked_at) "
                "SELECT :rec, 999, assignment_id, :now FROM assignments"
            ),
            {"rec": one["recommendation_id"], "now": NOW.replace(tzinfo=None)},
        )
    with reading(engine) as session:
        assert release.every_release_had_consent(session).violations == [one["recommendation_id"]]


def test_an_erased_customer_leaves_the_experiment_and_the_chain_holds(engine: Engine) -> None:
    assign(engine, "mia", "noa")
    approved(engine, **ABOUT)
    erased_rows.begin(engine, "mia", [], "ada", "request 7", NOW, known=True)
    _, counts = erased_rows.finish(engine, "mia", "ada", "request 7", NOW)
    assert (counts["assignments"], counts["ghosts"]) == (1, 1)
    with reading(engine) as session:
        assert [row["user_id"] for row in experiment_records.assignments(session, "fees")] == ["noa"]
        assert audit.verify(session).ok
    assert assign(engine, "zoe") == 1


def test_a_pseudonym_is_an_experiments_own(engine: Engine) -> None:
    assign(engine, "mia")
    assign(engine, "noa", plan=ALL)
    with reading(engine) as session:
        salts = list(session.scalars(select(Experiment.salt)))
        assert len({experiment_records.pseudonym(salt, "mia") for salt in salts}) == 2
        assert experiment_records.pseudonyms(session, "mia") == {
            experiment_records.pseudonym(salt, "mia") for salt in salts
        }
