"""Two databases, one behaviour: migrated forward, keys enforced, one writer at a time, errors one can act on."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Date, Engine, event, func, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, batches, database, operators
from spendsense_pipeline.governance.database import SCHEMA, connect, current, reading, upgrade, writing
from spendsense_pipeline.governance.models import (
    AuditEntry,
    Base,
    Batch,
    ConsentPeriod,
    Operator,
    Recall,
    RowState,
    UtcTime,
)
from spendsense_pipeline.governance.present import STATES
from spendsense_pipeline_tests.governance.town import DAY, NOW, grant


def test_the_migrations_make_what_the_models_say(empty: Engine) -> None:
    with empty.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    assert current(empty) == SCHEMA


def test_an_upgrade_that_is_killed_leaves_nothing_half_done(tmp_path: Path) -> None:
    """All migrations are committed together: a command killed while it made the database kept every later one out."""
    engine = connect(f"sqlite:///{tmp_path / 'new.db'}")
    committed: list[str | None] = []
    event.listen(engine, "commit", lambda _: committed.append(current(connect(str(engine.url)))))
    upgrade(engine)
    assert committed == [None], "what others saw before each commit"
    assert current(engine) == SCHEMA


def test_the_schema_this_code_asks_for_is_the_newest_migration() -> None:
    folder = Path(database.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_heads() == [SCHEMA]


def test_a_database_older_than_the_first_migration_is_refused(empty: Engine) -> None:
    """The first migration keeps the name of the last step of those it replaced."""
    grant(empty, "mia")
    for schema in ("0010", "0001", "9999"):
        with empty.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :schema"), {"schema": schema})
        with pytest.raises(SpendSenseError, match=f"schema {schema}, and .* upgrades from 0011") as refused:
            upgrade(empty)
        assert refused.value.code == "no_way_to_upgrade"
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :back"), {"back": SCHEMA})
    upgrade(empty)
    with reading(empty) as session:
        assert session.query(ConsentPeriod).count() == 2


@pytest.fixture(params=["sqlite", "postgresql"])
def at_0011(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database as the last version of schema 0011 left it, every table with rows (``test_every_column``)."""
    engine = connect(f"sqlite:///{tmp_path / 'old.db'}")
    if request.param == "postgresql":
        server: Engine = request.getfixturevalue("postgresql")
        with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("DROP DATABASE IF EXISTS at_0011 WITH (FORCE)"))
            connection.execute(text("CREATE DATABASE at_0011"))
        engine = connect(server.url.set(database="at_0011").render_as_string(hide_password=False))
    upgrade(engine)
    with engine.begin() as connection:  # what 0012 did, undone
        undo = Operations(MigrationContext.configure(connection))
        RowState.__table__.drop(connection)
        undo.drop_column("draft_events", "origin")
        (kinds,) = (str(one.sqltext) for one in AuditEntry.__table__.constraints if isinstance(one, CheckConstraint))
        with undo.batch_alter_table("audit_chain") as chain:
            chain.drop_constraint(undo.f("ck_audit_chain_kind"), type_="check")
            chain.create_check_constraint(undo.f("ck_audit_chain_kind"), text(kinds.replace(", 'state'", "")))
        undo.execute("UPDATE alembic_version SET version_num = '0011'")
    kept = json.loads(Path(__file__).with_name("at_0011.json").read_text(encoding="utf-8"))
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            read = {UtcTime: dt.datetime.fromisoformat, Date: dt.date.fromisoformat}
            times = {one.name: read[type(one.type)] for one in table.columns if type(one.type) in read}
            rows = kept.get(table.name, [])
            for row in rows:
                row |= {name: parsed(row[name]) for name, parsed in times.items() if row.get(name)}
            if rows:
                connection.execute(table.insert(), rows)
        last = "(SELECT {0} FROM audit_chain ORDER BY seq DESC LIMIT 1)"
        head = f"UPDATE audit_head SET count = {last.format('seq')}, hash = {last.format('hash')}"
        connection.execute(text(head))
    yield engine
    engine.dispose()


def content(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }


def test_a_database_at_schema_0011_comes_along(at_0011: Engine) -> None:
    committed: list[str | None] = []
    event.listen(at_0011, "commit", lambda _: committed.append(current(connect(at_0011.url.render_as_string(False)))))
    upgrade(at_0011)
    assert committed == ["0011"], "what others saw before each commit: a kill leaves nothing half done"
    after = content(at_0011)
    states = sum(after[model.__tablename__] for model in STATES)
    assert after["row_states"] == states > 10
    with reading(at_0011) as session:
        assert audit.verify(session).ok
        assert session.scalar(select(func.count()).where(AuditEntry.kind == "state")) == states
    upgrade(at_0011)
    assert content(at_0011) == after
    grant(at_0011, "new")
    with reading(at_0011) as session:
        assert audit.verify(session).ok


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE access_tokens SET revoked_at = NULL WHERE revoked_at IS NOT NULL",
        "UPDATE wording_holds SET cleared_at = opened_at WHERE cleared_at IS NULL",
        "UPDATE standing_approvals SET ended_at = NULL",
        "UPDATE batches SET content_hash = 'x'",
        "UPDATE decisions SET known_by = 'login'",
        "UPDATE releases SET consent_days = 9",
    ],
)
def test_what_was_there_before_is_covered_from_then_on(at_0011: Engine, change: str) -> None:
    upgrade(at_0011)
    with at_0011.begin() as connection:
        assert connection.execute(text(change)).rowcount
    with reading(at_0011) as session:
        assert not audit.verify(session).ok


def test_a_database_without_tables_names_the_command_that_makes_them(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'new.db'}")
    assert current(engine) is None
    for door in (writing, reading):
        with pytest.raises(SpendSenseError, match="spendsense db upgrade") as refused, door(engine):
            pass
        assert refused.value.code == "database_not_migrated"


def test_a_database_of_another_version_is_left_alone(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SpendSenseError, match="9999"), writing(empty):
        pass
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :back"), {"back": SCHEMA})


def test_a_missing_folder_is_said_so(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'nowhere' / 'governance.db'}")
    with pytest.raises(SpendSenseError) as refused, writing(engine):
        pass
    assert refused.value.code == "database_unreachable"


def test_a_server_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    engine = connect(f"postgresql://someone:secret@/none?host={tmp_path}")
    with pytest.raises(SpendSenseError) as refused, writing(engine):
        pass
    assert refused.value.code == "database_unreachable"
    assert "secret" not in str(refused.value)


def test_a_second_writer_waits_and_then_is_told(empty: Engine) -> None:
    impatient = connect(empty.url.render_as_string(hide_password=False), lock_timeout=0.2)
    with writing(empty), pytest.raises(SpendSenseError) as refused, writing(impatient) as session:
        operators.add(session, "late", NOW)
    assert refused.value.code == "database_locked"
    with writing(impatient) as session:
        assert operators.listed(session) == []
    impatient.dispose()


def test_readers_do_not_wait_for_a_writer_and_see_one_moment(empty: Engine) -> None:
    with reading(empty) as reader:
        assert reader.query(Operator).count() == 0
        with writing(empty) as session:
            operators.add(session, "ada", NOW)
        assert reader.query(Operator).count() == 0
    with reading(empty) as reader:
        assert reader.query(Operator).count() == 1


def test_an_error_inside_leaves_nothing_behind(empty: Engine) -> None:
    def add_and_fail() -> None:
        with writing(empty) as session:
            operators.add(session, "ada", NOW)
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError):
        add_and_fail()
    with reading(empty) as session:
        assert operators.listed(session) == []


def test_foreign_keys_hold_and_only_one_period_lives(empty: Engine) -> None:
    orphan = {"release_id": "rel_none", "seq": 1, "recommendation_id": "rec", "cause": "x", "recalled_at": NOW}
    with pytest.raises(IntegrityError), writing(empty) as session:
        session.execute(Recall.__table__.insert(), [orphan])
    grant(empty, "mia")
    second = {"consent_id": "con_2", "user_id": "mia", "scope": "education", "ordinal": 2, "opened_at": NOW}
    with pytest.raises(IntegrityError), writing(empty) as session:
        session.execute(ConsentPeriod.__table__.insert(), [second])


def test_moments_come_back_as_they_went_in_and_naive_ones_are_refused(empty: Engine) -> None:
    elsewhere = NOW.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))
    with writing(empty) as session:
        operators.add(session, "ada", elsewhere)
    with reading(empty) as session:
        kept = operators.listed(session)[0]["registered_at"]
        assert (kept, kept.tzinfo) == (NOW, dt.UTC)
    with pytest.raises(StatementError, match="time zone"), writing(empty) as session:
        operators.add(session, "ben", NOW.replace(tzinfo=None))


def test_sqlite_is_in_the_mode_that_survives(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'new.db'}")
    upgrade(engine)
    with engine.connect() as connection:
        told = [connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "foreign_keys", "synchronous")]
    assert told == ["wal", 1, 2]


def test_batches_keep_their_place(empty: Engine) -> None:
    with writing(empty) as session:
        first = batches.register_batch(session, "b1", "hash-1", NOW)
        second = batches.register_batch(session, "b2", "hash-2", NOW)
        again = batches.register_batch(session, "b1", "hash-1", NOW + DAY)
    assert (first.arrival, second.arrival, first.new) == (1, 2, True)
    assert again == batches.Arrival(1, NOW.date(), new=False)
    with pytest.raises(SpendSenseError) as refused, writing(empty) as session:
        batches.register_batch(session, "b1", "other", NOW)
    assert refused.value.code == "batch_changed"
    with reading(empty) as session:
        assert list(batches.registered(session)) == ["b1", "b2"]
        assert session.query(Batch).count() == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Ada", "in capitals alone"),
        (" ada", "write 'ada'"),
        ("ada\u200b", "only look"),
        ("\uff41da", "write 'ada'"),
        ("\u0430da", "cyrillic and latin"),
        ("a\u202eda", "only look"),
        ("ada\ufe0f", "write 'ada'"),
        ("a\u034fda", "write 'ada'"),
        ("ada\u2800", "write 'ada'"),
        ("ada  b", "write 'ada b'"),
        ("\u0430\u0501\u0430", "is in letters of cyrillic, and 'ada' in those of latin"),
        ("op\u2010001", "holds HYPHEN"),
        ("op_\u0660\u0661", "holds ARABIC-INDIC DIGIT ZERO"),
        ("\u0130da", "in capitals alone"),
        ("ada\u0332", "holds COMBINING LOW LINE"),
    ],
)
def test_no_operator_is_mistaken_for_another(engine: Engine, name: str, said: str) -> None:
    with writing(engine) as session:
        operators.add(session, "ida", NOW)
    with pytest.raises(SpendSenseError, match=said) as refused, writing(engine) as session:
        operators.add(session, name, NOW)
    assert refused.value.code == "invalid_operator"
    with writing(engine) as session:
        assert operators.register_from_files(session, [name], NOW, source="b", trust=True) == 0


def test_people_who_write_another_script_have_ids_in_it(empty: Engine) -> None:
    cyrillic, others = (
        ("\u0435\u043b\u0435\u043d\u0430", "\u0438\u0432\u0430\u043d 7"),
        ("\u0906\u0936\u093e_1", "\u5c71\u7530", "\u3055\u304f"),
    )
    with writing(empty) as session:
        assert {operators.add(session, name, NOW) for name in (*cyrillic, *others)} == {"added"}


def test_files_name_operators_only_while_there_are_none_or_when_trusted(empty: Engine) -> None:
    def from_file(*names: str, trust: bool = False) -> int:
        with writing(empty) as session:
            return operators.register_from_files(session, names, NOW, source="batch-1", trust=trust)

    assert from_file("ada", "ben", "ada", "", "a\0b") == 2
    assert from_file("eve") == 0
    assert from_file("eve", trust=True) == 1
    with writing(empty) as session:
        assert operators.deactivate(session, "eve", NOW) == "deactivated"
        assert operators.deactivate(session, "eve", NOW) == "unchanged"
    assert from_file("eve", trust=True) == 0, "a file does not bring a deactivated operator back"
    with writing(empty) as session:
        active = {row["operator_id"]: row["active"] for row in operators.listed(session)}
        assert active == {"ada": True, "ben": True, "eve": False}
        assert [operators.add(session, name, NOW, actor="ben") for name in ("eve", "eve", "zoe")] == [
            "reactivated",
            "unchanged",
            "added",
        ]
        with pytest.raises(SpendSenseError):
            operators.deactivate(session, "nobody", NOW)


def test_commands_on_the_database_load_nothing_heavy() -> None:
    rooms = ", ".join(
        f"spendsense_pipeline.governance.{name}"
        for name in (
            "audit",
            "batches",
            "consent",
            "operators",
            "queue",
            "evaluation_records",
            "registration",
            "release",
            "review",
            "why",
        )
    )
    heavy = "[m for m in ('pandas', 'ibis', 'pandera', 'alembic', 'dagster') if m in sys.modules]"
    found = subprocess.run(
        [sys.executable, "-c", f"import sys, {rooms}; print({heavy})"], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
