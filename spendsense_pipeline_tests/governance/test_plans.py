"""What concerns one customer, one page or the gate is found through an index, however much the database holds."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event

from spendsense_pipeline.governance import consent, evaluation_records, operators, queue, release, why
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline_tests.governance import town, verdicts
from spendsense_pipeline_tests.governance.conftest import wipe

SMALL = (
    "alembic_version",
    "audit_head",
    "CONSTANT ROW",
    "(subquery-1)",
    "recommendations USING COVERING INDEX ix_recommendations_latency",
    "(subquery",  # of the page that was found, not of the table
)
"""One row for ever, none at all, or no more than there is to answer."""


def plans(engine: Engine, action: Callable[[], Any]) -> list[tuple[str, str]]:
    """Each statement of the action with the steps of SQLite's plan for it."""
    seen: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            seen.append((statement, parameters[0] if many else parameters))

    event.listen(engine, "before_cursor_execute", remember)
    try:
        action()
    finally:
        event.remove(engine, "before_cursor_execute", remember)
    with engine.connect() as connection:
        asked = connection.connection.driver_connection
        return [
            (statement, row[3])
            for statement, bound in seen
            for row in asked.execute(f"EXPLAIN QUERY PLAN {statement}", bound)
        ]


def read(ask: Callable[..., Any], *given: Any, **how: Any) -> Callable[[Engine], Any]:
    def action(engine: Engine) -> Any:
        with reading(engine) as session:
            return ask(session, *given, **how)

    return action


NAME = town.draft("mia", {"education": consent._consent_id("mia", "education", 1)})["recommendation_id"]

ACTIONS: dict[str, Callable[[Engine], Any]] = {
    "the gate's question": lambda engine: release.propose(engine, town.NOW, consent_days=30),
    "a release": lambda engine: release.run_gate(engine, town.NOW),
    "a customer's feed": read(release.released, town.NOW, user_id="mia"),
    "a customer's consent": read(consent.history, "mia"),
    "a page of the queue": read(queue.queue, town.NOW),
    "the queue of a customer": read(queue.queue, town.NOW, user_id="mia"),
    "the queue in figures": read(queue.waiting, town.NOW),
    "the queue by template": read(queue.queue_by_template, town.NOW),
    "the latency of models": read(evaluation_records.latency),
    "a grant": lambda engine: town.grant(engine, "mia", consent_days=30),
    "a revocation": lambda engine: town.revoke(engine, "mia"),
    "an approval": lambda engine: verdicts.approve(engine, [NAME], "ada", town.NOW),
    "an undoing": lambda engine: verdicts.undo(engine, [NAME], "ada", town.NOW),
    "a registration": lambda engine: town.register(engine, town.draft("mia", town.grant(engine, "mia"), figure=0.9)),
    "all of one recommendation": read(why.why, NAME, town.NOW),
}


@pytest.fixture
def told(sqlite: Engine) -> Engine:
    wipe(sqlite)
    with writing(sqlite) as session:
        operators.add(session, "ada", town.NOW)
    town.approve(sqlite, town.waiting_draft(sqlite))
    return sqlite


@pytest.mark.parametrize("what", ACTIONS)
def test_nothing_reads_a_whole_table(told: Engine, what: str) -> None:
    steps = plans(told, lambda: ACTIONS[what](told))
    assert steps
    small = tuple(f"SCAN {name}" for name in SMALL)
    assert [
        (step, statement) for statement, step in steps if step.startswith("SCAN") and not step.startswith(small)
    ] == []


def test_whether_words_are_known_is_looked_up_and_not_listed(told: Engine) -> None:
    steps = [step for _, step in plans(told, lambda: read(queue.full, NAME, town.NOW)(told))]
    assert any("template_id=? AND template_hash=? AND status=?" in step for step in steps)
    assert not any("LIST SUBQUERY" in step or "(status=?)" in step for step in steps)
