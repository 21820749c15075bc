"""Two databases, one behaviour: migrated forward, keys enforced, one writer at a time, errors one can act on."""

import datetime as dt
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import IntegrityError, StatementError

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, batches, database, operators, records
from spendsense_pipeline.governance.database import SCHEMA, connect, current, reading, upgrade, writing
from spendsense_pipeline.governance.models import Base, Batch, ConsentPeriod, Operator, Recommendation
from spendsense_pipeline_tests.governance.town import DAY, NOW, grant

CONSENT, AT = "con_70d8da13d35fb737f4b0", "2026-11-23 09:00:00.000000+00:00"
LINK = "dd75cc6d2b5ac0652ba93783c203830095d489ca0d0282b9e1b50c6e58590aec"
PAYLOAD = '{"action":"opened","channel":"unstated","scope":"education","text_version":"unstated"}'
NAMED = '{"coverage": 1.0, "named": {"name": "november", "details": null}}'
FIRST_VERSION = [
    f"INSERT INTO consent_periods VALUES ('{CONSENT}', 'mia', 'education', 1, '{AT}', '{AT}', NULL, NULL)",
    f"INSERT INTO consent_events VALUES (1, '{CONSENT}', 'mia', 'education', 'opened', '{AT}', 'unstated', 'unstated',"
    f" 'test', 'mia', NULL, '{AT}')",
    f"INSERT INTO audit_chain VALUES (1, 'consent', '{CONSENT}', '{AT}', '{PAYLOAD}', '5a',"
    f" '8f788b18ecab2274ab8337d31dba42e9d664ca07a32279612948b185afa2172a', '{'0' * 64}', '{LINK}')",
    f"UPDATE audit_head SET count = 1, hash = '{LINK}'",
    "INSERT INTO recommendations (recommendation_id, user_id, as_of, window_days, persona, content_type, template_id,"
    " situation, generator, prompt_version, consent_id, original_hash, content_hash, registered_at,"
    " first_registered_at, expires_at, status, status_at) VALUES ('rec_1', 'mia', '2026-11-23', 30, 'savings_builder',"
    f" 'education', 'savings_builder/a', 's', 'library', 'library-0123456789ab', '{CONSENT}', 'h', 'h', '{AT}', '{AT}',"
    f" '{AT}', 'pending_approval', '{AT}')",
    *(
        "INSERT INTO recommendation_texts (recommendation_id, content_hash, title, content, rationale, findings,"
        " severity, slots, reasons, written_at)"
        f" VALUES ('rec_1', '{hashed}', 'T', 'C', 'R', '[]', 0, '{{}}', '[]', '{AT}')"
        for hashed in ("h", "other words")
    ),
    "INSERT INTO recommendations SELECT 'rec_2', user_id, as_of, window_days, persona, content_type, template_id,"
    " situation, product_id, generator, model, prompt_version, generation_ms, consent_id, original_hash, content_hash,"
    " run_id, registered_at, first_registered_at, expires_at, 'expired', status_at, superseded_by, decision_id,"
    " released_at FROM recommendations",
    f"INSERT INTO operators (operator_id, registered_at, source, deactivated_at) VALUES ('ada', '{AT}', 'test', NULL),"
    f" ('ben', '{AT}', 'test', '{AT}')",
    "INSERT INTO evaluation_runs (evaluation_id, as_of, evaluated_at, metrics, audit_count, audit_hash) VALUES"
    f" ('eva_1', '2026-11-23', '{AT}', '{NAMED}', 1, '{LINK}')",
]
"""A database as version 0001 left it."""


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


def test_upgrading_twice_changes_nothing(empty: Engine) -> None:
    grant(empty, "mia")
    upgrade(empty)
    with reading(empty) as session:
        assert session.query(ConsentPeriod).count() == 2


def test_a_database_of_the_first_version_moves_on_with_all_that_it_holds(tmp_path: Path, postgresql: Engine) -> None:
    """Rows as version 0001 wrote them: a consent, its link in the chain, a draft that names its piece by version."""
    with postgresql.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE IF EXISTS first"))
        connection.execute(text("CREATE DATABASE first"))
    for url in (f"sqlite:///{tmp_path / 'first.db'}", postgresql.url.set(database="first")):
        engine = connect(url if isinstance(url, str) else url.render_as_string(hide_password=False))
        upgrade(engine, "0001")
        with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
            for statement in FIRST_VERSION:
                connection.exec_driver_sql(
                    statement if engine.dialect.name != "sqlite" else statement.replace("+00:00", "")
                )
        with pytest.raises(SpendSenseError, match="at schema 0001"), reading(engine):
            pass
        upgrade(engine)
        with reading(engine) as session:
            assert audit.verify(session).ok
            one = session.get_one(Recommendation, "rec_1")
            assert (one.template_hash, one.status) == ("library-0123456789ab", "pending_approval")
            (evaluated,) = records.evaluations(session, limit=2)["evaluations"]
            assert (evaluated["name"], evaluated["metrics"]) == ("november", {"coverage": 1.0})
        grant(engine, "noah")
        with reading(engine) as session:
            kinds = Counter(session.scalars(text("SELECT kind FROM audit_chain")))
            assert kinds == {"consent": 3, "evaluation": 1, "operator": 3, "draft": 4}
            assert audit.verify(session).ok
        with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
            connection.execute(text("UPDATE recommendations SET status = 'pending_approval' WHERE status = 'expired'"))
        with reading(engine) as session:
            assert audit.verify(session).first_broken["problem"] == "status_changed"
        engine.dispose()


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
    with pytest.raises(IntegrityError), writing(empty) as session:
        session.execute(text("INSERT INTO recalls VALUES ('rel_none', 1, 'rec', 'x', '2026-01-01 00:00:00', NULL)"))
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
    ],
)
def test_no_operator_is_mistaken_for_another(engine: Engine, name: str, said: str) -> None:
    with pytest.raises(SpendSenseError, match=said) as refused, writing(engine) as session:
        operators.add(session, name, NOW)
    assert refused.value.code == "invalid_operator"
    with writing(engine) as session:
        assert operators.register_from_files(session, [name], NOW, source="b", trust=True) == 0


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
            "records",
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
