"""The door to the governance database: connecting, migrating, and the two ways to be inside it.

``writing`` is the one order that everything happens in: it locks the audit head before it reads anything.
``reading`` gives one unmoving picture. Belongs here: engines, transactions, what the database's own errors mean to
a person. Does not belong here: any table's rules.

>>> engine = connect("sqlite:///governance.db")
>>> upgrade(engine)
>>> with writing(engine) as session: ...
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance.models import AuditHead

SCHEMA = "0012"
"""The migration this code needs; kept here so that no command has to load Alembic to ask."""

OLDEST = "0011"
"""The schema that the first migration makes; databases from before it are not upgraded any more."""

CHUNK = 5_000
"""Values in one IN list: far below what SQLite (32,766) and PostgreSQL (65,535) allow in one statement."""

LOOKS_AGAIN = 0.1
"""Seconds after which a writer of SQLite that waits looks again at the latest (``sqliteDefaultBusyCallback``)."""

LONGEST_NAME = 400
"""Characters of an id: longer than anybody's, short enough for an index entry of PostgreSQL (2,704 bytes)."""

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]

_REVISION = "SELECT version_num FROM alembic_version"
_TO_WRITE = {"sqlite_begin": "IMMEDIATE"}
_TO_READ = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""For PostgreSQL; SQLite in WAL mode gives every transaction an unmoving picture by itself."""
_HEAD = select(AuditHead.count).with_for_update()


def connect(url: str, *, lock_timeout: float = 30.0) -> Engine:
    """An engine for ``sqlite:///…`` or ``postgresql://…`` (psycopg 3). Opens nothing yet.

    ``lock_timeout`` is how many seconds a writer waits for another before ``database_locked``.
    """
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        engine = create_engine(address, connect_args={"timeout": lock_timeout}, hide_parameters=True)
        event.listen(engine, "connect", _open_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if address.drivername in ("postgres", "postgresql"):
        address = address.set(drivername="postgresql+psycopg")
    options = f"-c lock_timeout={int(lock_timeout * 1000)} -c timezone=UTC"
    return create_engine(
        address,
        isolation_level="READ COMMITTED",  # after the lock, every statement must see what others committed
        pool_pre_ping=True,
        hide_parameters=True,  # errors end up in logs, and customers stand in parameters
        connect_args={"options": options},
    )


def _open_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN would come late and never be IMMEDIATE
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a revocation survives a power cut, not only a crash
    connection.execute("PRAGMA cache_size = -65536")  # 64 MB: names are hashes, so their indexes are read at random


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest schema; on one that is there already this changes nothing.

    Raises ``no_way_to_upgrade`` where it is at a schema that no step of this version starts from.
    """
    from alembic import command  # Alembic takes its time to load and only migrations need it
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with engine.connect().execution_options(sqlite_begin="IMMEDIATE") as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise SpendSenseError(
            f"the governance database {_address(engine)} is at schema {current(engine)}, and this version upgrades "
            f"from {OLDEST} on; nothing was changed. An earlier version of SpendSense brings an older database to "
            f"{OLDEST}; a newer database needs the newer version",
            code="no_way_to_upgrade",
        ) from error
    except DBAPIError as error:
        raise _explained(error) from error


def open_or_create(url: str, stored: Callable[[], Sequence[str]] = tuple) -> Engine:
    """The database at ``url``, made first where there is none: the folder of an SQLite file, and all tables.

    ``stored`` lists the batches that the warehouse or the landing zone knows, asked only where there is no database:
    beside them none is made (``database_missing``), since each was registered in one, with what people said since.
    One that has tables of another schema is left as it is; ``writing`` and ``reading`` then say what to do.
    """
    file = make_url(url).database
    if url.startswith("sqlite") and file and file != ":memory:":
        if not Path(file).exists():  # before a file is left where a name was mistyped
            _require_no_batches(url, stored())
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    engine = connect(url)
    if current(engine) is None:
        _require_no_batches(url, stored())
        upgrade(engine)
    return engine


def _require_no_batches(url: str, stored: Sequence[str]) -> None:
    if stored:
        where = make_url(url).render_as_string(hide_password=True)
        raise SpendSenseError(
            f"there is no governance database at {where}, and there are {len(stored)} batches already ({stored[0]}, "
            "…): consents, decisions and releases of theirs are kept in another. Name it in SPENDSENSE_DATABASE_URL, "
            "or bring it back from a backup; where it is lost, `spendsense db upgrade` makes an empty one, in which "
            "nobody has consented to anything",
            code="database_missing",
        )


def reclaim(engine: Engine) -> bool:
    """Give deleted rows' space back, so that their bytes are no longer in the database's files; False where it is busy.

    PostgreSQL overwrites it in its own time, and its log and backups keep what they hold.
    """
    connection = engine.raw_connection()
    try:
        if engine.dialect.name == "sqlite":
            connection.execute("VACUUM")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
        connection.driver_connection.autocommit = True  # type: ignore[union-attr] # psycopg's own
        connection.cursor().execute("VACUUM")
        return True
    except sqlite3.OperationalError:
        return False
    finally:
        connection.invalidate()


def current(engine: Engine) -> str | None:
    """The schema revision the database is at, None before the first migration."""
    try:
        with engine.connect() as connection:
            if not engine.dialect.has_table(connection, "alembic_version"):
                return None
            revision: str | None = connection.exec_driver_sql(_REVISION).scalar()
            return revision
    except DBAPIError as error:
        raise _explained(error) from error


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A transaction that holds the write order: one writer at a time, committed whole or not at all.

    Locks the audit head first, so whatever is read afterwards cannot be changed by anybody until the end.
    Raises ``database_locked``, ``database_not_migrated``, ``database_unreachable`` or ``disk_full``.
    """
    with adding(engine) as session:
        session.execute(_HEAD).one()
        yield session


def give_way(engine: Engine) -> None:
    """Between two transactions of one writer: let another that waits go first.

    PostgreSQL serves those who wait in their order. SQLite has no order: the lock must be free when one of them looks.
    """
    if engine.dialect.name == "sqlite":
        time.sleep(1.1 * LOOKS_AGAIN)


@contextmanager
def adding(engine: Engine) -> Iterator[Session]:
    """A transaction for rows that nothing else rests on, outside the order of ``writing``: many at the same time.

    Raises as ``writing`` does.
    """
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            _require_schema(session.connection(execution_options=_TO_WRITE), engine)
            yield session
    except DBAPIError as error:
        raise _explained(error) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session whose queries all see the same moment. Nothing it changes is kept; PostgreSQL refuses the attempt."""
    server = engine.dialect.name == "postgresql"
    try:
        with Session(engine, expire_on_commit=False) as session:
            _require_schema(session.connection(execution_options=_TO_READ if server else None), engine)
            yield session
            if server:
                session.commit()  # of nothing; at a ROLLBACK psycopg forgets the statements that it has prepared
    except DBAPIError as error:
        raise _explained(error) from error


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """The values in pieces that fit into one statement."""
    everything = list(values)
    for start in range(0, len(everything), size):
        yield everything[start : start + size]


def matching(session: Session, query: AnySelect, column: Any, values: Iterable[Any]) -> Iterator[Any]:
    """The rows of a query in which the column has one of the values, however many these are."""
    for some in chunks(values):
        yield from session.execute(query.where(column.in_(some)))


def counts_by(session: Session, column: Any, *conditions: Any) -> dict[Any, int]:
    """How many rows that meet the conditions have which value, in the order of the values."""
    counted = select(column, func.count()).where(*conditions).group_by(column).order_by(column)
    return dict(session.execute(counted).tuples().all())


def storable(value: str) -> bool:
    """Whether both databases can keep the text: no NUL character, no half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def is_name(value: str) -> bool:
    """Whether the text can be the id of something: not blank, storable, at most ``LONGEST_NAME`` characters."""
    return bool(value.strip()) and len(value) <= LONGEST_NAME and storable(value)


def quoted(value: str) -> str:
    """The value as an error names it: enough to recognise it by, however much was given."""
    return f"{value[:80]!r}" + ("…" if len(value) > 80 else "")


def columns(model: Any, names: str) -> list[Any]:
    """The named columns of a table, to select them; ``names`` as in ``fields``."""
    return [getattr(model, name) for name in names.split()]


def fields(row: object, names: str) -> dict[str, Any]:
    """The named attributes of a row; ``names`` are words with blanks between them."""
    return {name: getattr(row, name) for name in names.split()}


def require_reason(reason: str, missing: str, *others: str) -> None:
    """Refuse a blank reason (``reason_required``, with this message) and what cannot be stored (``invalid_text``)."""
    if not reason.strip():
        raise SpendSenseError(missing, code="reason_required")
    if not all(storable(text) for text in (reason, *others)):
        raise SpendSenseError("the reason, or a name beside it, cannot be stored", code="invalid_text")


def add_rows(session: Session, model: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows, if there are any."""
    if rows:
        session.execute(insert(model.__table__), rows)


def set_among(session: Session, column: Any, values: Iterable[Any], **changes: Any) -> None:
    """Change the rows in which the column has one of the values, however many these are."""
    for some in chunks(values):
        statement = update(column.class_).where(column.in_(some)).values(**changes)
        session.execute(statement, execution_options={"synchronize_session": False})


def compare_and_set(
    session: Session, model: Any, rows: list[dict[str, Any]], *as_read: ColumnElement[bool], **changes: Any
) -> None:
    """Change the row of each recommendation ``of``, which must be as it was read.

    ``rows`` hold ``of``, the parameters of the conditions, and the columns that change to something else in each.
    """
    if not rows:
        return
    statement = update(model.__table__).where(model.recommendation_id == bindparam("of"), *as_read).values(**changes)
    changed: int = session.connection().execute(statement, rows).rowcount
    if changed != len(rows):
        raise SpendSenseError(
            f"{len(rows) - changed} rows were not as they had been read under the write lock; nothing was changed. "
            "Something writes to the governance database past SpendSense",
            code="lost_race",
        )


def _require_schema(connection: Connection, engine: Engine) -> None:
    try:
        found = connection.exec_driver_sql(_REVISION).scalar()  # asked by every transaction: nothing to compile
    except DBAPIError as error:
        if "no such table" not in str(error.orig) and getattr(error.orig, "sqlstate", None) != "42P01":
            raise
        found = None
    if found == SCHEMA:
        return
    problem = "has no tables yet; run `spendsense db upgrade`"
    if found is not None:
        problem = (
            f"is at schema {found}, this version needs {SCHEMA}; run `spendsense db upgrade` (or, if the database is "
            "newer, the newer version of SpendSense)"
        )
    raise SpendSenseError(f"the governance database {_address(engine)} {problem}", code="database_not_migrated")


def _address(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _explained(error: DBAPIError) -> SpendSenseError | DBAPIError:
    """The error as the person who must act reads it; one we have no advice on stays as it is."""
    message = str(error.orig)
    state = getattr(error.orig, "sqlstate", None)
    if "database is locked" in message or state == "55P03":
        return SpendSenseError(
            "another writer holds the governance database; nothing was changed, try again", code="database_locked"
        )
    if "disk is full" in message or state == "53100":
        return SpendSenseError(
            "the disk of the governance database is full; nothing was changed, make room and try again",
            code="disk_full",
        )
    if "unable to open database file" in message or (state is None and "connection" in message.lower()):
        return SpendSenseError(
            f"the governance database cannot be reached: {message.strip()}", code="database_unreachable"
        )
    return error
