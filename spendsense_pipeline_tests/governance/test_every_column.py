"""One cell changed past SpendSense is told by the chain, whichever it is, but for the columns that decide nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Date,
    Engine,
    Float,
    Integer,
    Table,
    and_,
    delete,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.schema import DropConstraint

from spendsense_pipeline.erasure import erased_rows
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import (
    audit,
    batches,
    consent,
    credentials,
    endings,
    evaluation_records,
    experiment_records,
    feedback,
    generations,
    holds,
    operators,
    outbox,
    queue,
    standing,
    topics,
)
from spendsense_pipeline.governance.database import writing
from spendsense_pipeline.governance.models import Base, UtcTime
from spendsense_pipeline_tests.governance.conftest import told_once
from spendsense_pipeline_tests.governance.test_audit import story
from spendsense_pipeline_tests.governance.test_experiment_records import ABOUT, FEES, to
from spendsense_pipeline_tests.governance.test_generations import WRITTEN
from spendsense_pipeline_tests.governance.town import (
    DAY,
    HOUR,
    NOW,
    TODAY,
    approve,
    draft,
    feed,
    gate,
    grant,
    register,
    waiting_draft,
)

DECIDES_NOTHING = {
    "access_tokens.last_used_at": "shown to admins",
    "audit_head.head_id": "there is one row",
    "batches.source": "never written",
    "consent_periods.ordinal": "numbers a customer's periods",
    "evaluation_runs.details": "the caller's, given after the evaluation",
    "evaluation_runs.name": "the caller's, given after the evaluation",
    "recommendations.decision_id": "where none stands: the gate asks for the status first, which no decision gave",
    "recommendations.generation_ms": "a model's time, for its statistics",
    "recommendations.status_at": "since when a decision stands; the decision has its time",
    "template_decisions.sample_id": "shown; it goes with its customer",
    "tombstones.erasure_id": "whether an erasure is under way, which is carried out again where rows are left",
    "wording_holds.recommendation_id": "shown; it goes with its customer",
}
"""What the chain does not cover of its own tables and of those held against it."""
NOT_COVERED = {
    "feedback_events": "an app's word, many at a time: it takes texts away or lets one be drafted again, for review",
    "logins": "strangers add to it; it locks a name out, and opens nothing without a signed link or a password",
    "model_generations": "what a model was asked; its texts are judged, and their wording approved, like all others",
    "model_templates": "as model_generations: other words are another wording",
    "slates": "which day's drafts may be registered; each of them is judged and reviewed",
    "viewings": "that an operator opened a text, which they can do at any time",
    "webhook_cursors": "what an app was told of; the feed says what may be seen",
    "webhook_deliveries": "as webhook_cursors",
}


def everything(engine: Engine) -> None:
    """A story after which every table has a row, and every column a value in one."""
    story(engine)
    consent.register_text(engine, "v1", "We use your transactions.", NOW)
    ids = grant(engine, "uma", NOW, text_version="v1")
    experiment_records.assign(engine, FEES, {"uma": "p/low", "tom": "p/low"}, to("nothing"), TODAY, NOW)
    text = replace(FEES, name="words", definition_hash="c" * 64)
    experiment_records.assign(engine, text, {"ulf": "p/low"}, to("text"), TODAY, NOW)
    experiment_records.end(engine, "words", "ada", "enough", NOW)
    register(engine, draft("uma", ids, **ABOUT))
    offer = draft("uma", ids, product="free_counseling", template="offer", model="m", generation_ms=1.5)
    first, second = (draft("uma", ids, template=name) for name in ("wrong", "right"))
    register(engine, offer, first, second, run_id="run-1")
    for one in (offer, first, second):
        queue.show(engine, one["recommendation_id"], NOW, operator_id="ben")
    approve(engine, offer, first, second, by="ben", run_id="run-2")
    approve(engine, waiting_draft(engine, "ula", template="words"))
    gate(engine, run_id="run-3")
    release_of = {row["recommendation_id"]: row["release_id"] for row in feed(engine)}
    event = {"release_id": release_of[first["recommendation_id"]], "kind": "wrong_figure", "note": "No."}
    feedback.record(engine, [event | {"event_id": "e1"}], NOW, source="app")
    endings.clear_hold(engine, f"wrong@{first['template_hash']}", "ben", NOW, note="It was right.")
    feedback.record(engine, [event | {"event_id": "e2"}], NOW, source="app")
    until = NOW + 10 * DAY
    wording = f"right@{second['template_hash']}"
    for _ in range(2):
        standing.approve(engine, wording, "ben", NOW, until=until)
    endings.recall(engine, "product", "free_counseling", NOW, reason="over")
    outbox.enqueue(engine, "https://bank.example/hook", NOW)
    with writing(engine) as session:
        topics.choose(session, "uma", {"debt": False}, NOW, actor="uma", source="app", channel="app")
        credentials.add_token(session, "app", ["feed:read"], NOW, created_by="root", user_id="uma", expires_at=until)
        mine = credentials.add_token(session, "desk", ["review"], NOW, created_by="root", operator_id="ada")
        credentials.revoke_token(session, mine["token_id"], NOW)
        batches.register_batch(session, "2026-11-23", "a" * 64, NOW)
        batches.register_batch(session, "2026-11-24", "b" * 64, NOW)
        batches.forget_batch(session, "2026-11-24", NOW)
        generations.keep(session, [WRITTEN], NOW, "run-4")
        holds.place(session, "uma", "ada", "court", NOW)
        credentials.end_sessions(session, "ben", NOW)
        operators.add(session, "cleo", NOW)
        operators.deactivate(session, "cleo", NOW, actor="ben")
        operators.add(
            session,
            "dora",
            NOW,
            standing=operators.Standing("operator", qualified_until=TODAY + DAY, subject="https://id|7"),
        )
        evaluation_records.record_evaluation(session, TODAY, {}, NOW, run_id="run-5")
    outbox.enqueue(engine, "https://bank.example/hook", NOW)
    credentials.admit(engine, "ben", NOW, means="link", nonce="n")
    with pytest.raises(SpendSenseError, match="legal hold"):
        erased_rows.begin(engine, "uma", [], "ada", "request 2", NOW, known=True)
    erased_rows.finish(engine, "lea", "ada", "request 1", NOW + HOUR)


@pytest.fixture
def told(database: Engine) -> Engine:
    told_once(database, everything)
    return database


def other(column: Column[Any], value: Any) -> object:
    """Another value that the column can have."""
    if isinstance(column.type, Boolean):
        return not value
    if isinstance(column.type, Integer | Float):
        return 77_777 if value is None else value + 77_777
    if isinstance(column.type, UtcTime | Date):
        return (NOW if isinstance(column.type, UtcTime) else TODAY) if value is None else value + DAY
    return "other" if value is None else f"{value}x"


@contextmanager
def without_keys(engine: Engine) -> Iterator[Connection]:
    """As somebody with the whole database in their hands; nothing is kept."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            driver: Any = connection.connection.driver_connection
            driver.execute("PRAGMA foreign_keys = OFF")
            driver.execute("PRAGMA ignore_check_constraints = ON")
        else:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table in Base.metadata.sorted_tables:
                for one in table.constraints:
                    if isinstance(one, CheckConstraint):
                        connection.execute(DropConstraint(one))
        yield connection
        connection.rollback()
        if engine.dialect.name == "sqlite":
            connection.invalidate()  # its settings outlive a transaction


def seen(connection: Connection, change: Any) -> bool:
    """Whether the chain tells of the change, which is then taken back."""
    with connection.begin_nested() as point:
        assert connection.execute(change).rowcount == 1, change
        with Session(connection) as session:
            told = not audit.verify(session).ok
        point.rollback()
    return told


def rows_of(connection: Connection, table: Table) -> list[tuple[dict[str, Any], ColumnElement[bool]]]:
    """The rows of a table, each with the condition that it alone meets."""
    rows = [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
    return [(row, and_(*(key == row[key.name] for key in table.primary_key))) for row in rows]


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=str)
def test_each_cell_that_decides_is_covered(told: Engine, table: Table) -> None:
    """Of each column the first cell with a value and the first without."""
    missed = set()
    with without_keys(told) as connection:
        rows = rows_of(connection, table)
        assert rows
        for column in table.columns:
            for row, this in {row[column.name] is None: (row, this) for row, this in reversed(rows)}.values():
                value = other(column, row[column.name])
                if not seen(connection, update(table).where(this).values({column.name: value})):
                    missed.add(str(column))
    if table.name in NOT_COVERED:
        assert missed == set(map(str, table.columns))
    else:
        assert missed == {name for name in DECIDES_NOTHING if name.startswith(f"{table.name}.")}


WITH_ROWS_TO_MISS = [one for one in Base.metadata.sorted_tables if one.name not in {*NOT_COVERED, "audit_head"}]


@pytest.mark.parametrize("table", WITH_ROWS_TO_MISS, ids=str)
def test_each_row_that_goes_is_missed(told: Engine, table: Table) -> None:
    with without_keys(told) as connection:
        for row, this in rows_of(connection, table):
            assert seen(connection, delete(table).where(this)), row
