"""Erasing one customer everywhere: landed files, tables, export, reports, governance database.

The order is that of what a crash may leave: consent closes first, so nothing is visible any more; the rows that know
which files and texts are the customer's go last, so that the same command finds them again. Belongs here: the order,
and what remains. Does not belong here: how a file (``ingest.erased_files``) or the database
(``governance.erased_rows``) is emptied, and waiting for runs (``defs.erase_run``).
"""

import datetime as dt
import html
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Engine

from spendsense_pipeline import warehouse
from spendsense_pipeline.evaluation import export
from spendsense_pipeline.governance import erased_rows, experiment_records
from spendsense_pipeline.governance.database import reading, reclaim
from spendsense_pipeline.ingest.digests import holding
from spendsense_pipeline.ingest.erased_files import (
    Erased,
    accounts_of,
    affected,
    gone,
    owned,
    released,
    rewritten,
    scrub,
)

RAW = ("raw_users", "raw_accounts", "raw_transactions", "raw_liabilities")
SEARCHABLE = 6
"""Characters of an id from which on it is looked for in whatever else lies in the data folder."""

STAYS = (
    ("audit chain", "proof that nothing was removed otherwise: kind, time, operator, run of each step, no subject"),
    ("erasure record and tombstones", "who erased and why, and salted digests that keep the data from coming back"),
    ("evaluation metrics", "counts and rates over all customers"),
    ("runs in Dagster", "metadata of past runs names recommendations by id, without customer, text or figure"),
    ("names in other customers' payments", "they are those customers' data"),
    ("backups, the source's own files, copies of an export", "out of reach of SpendSense"),
)
"""What an erasure leaves on purpose, and why."""

Spot = tuple[str, str, int]
"""Batch, file and row of a landed row."""


@dataclass(frozen=True)
class Places:
    """Where a deployment keeps what it knows; ``data`` is looked through for what nobody thought of."""

    data: Path
    landing: Path
    warehouse: str
    exports: str
    reports: Path
    scratch: Path


def erase(
    engine: Engine,
    places: Places,
    user_id: str,
    operator_id: str,
    reason: str,
    now: dt.datetime,
    *,
    forget_runs: Callable[[Sequence[str]], int],
) -> dict[str, Any]:
    """Erase a customer; may be run again, and must be after a crash.

    {user_id, erasure_id, erased: {landing, warehouse, exports, reports, runs, database}, remains: [{what, reason}]}.
    ``erasure_id`` is None where nothing was left to erase. ``forget_runs`` gets words and takes the runs out of
    Dagster whose config says one of them. Raises what ``governance.erased_rows.begin`` raises.
    """
    folders = [one for one in places.landing.glob("*") if one.is_dir() and one.name != ".erased"]
    accounts, landed = accounts_of(user_id, folders)
    stored, known = _stored_accounts(places.warehouse, user_id)
    others = _held_by_others(places.warehouse, user_id)
    shared = {holding(user_id, one) for one in _held(places.warehouse, user_id) & others}
    theirs = (accounts | stored) - others
    names = erased_rows.begin(engine, user_id, theirs | shared, operator_id, reason, now, known=landed or known)
    with reading(engine) as session:
        erased = erased_rows.remembered(session)
        pseudonyms = experiment_records.pseudonyms(session, user_id)
    warehouse.clear(places.scratch)
    files, unreadable = _landing(folders, erased, user_id)
    done: dict[str, Any] = {
        "landing": files,
        "warehouse": _warehouse(places.warehouse, erased, pseudonyms),
        "exports": _exports(places.exports, erased),
        "reports": _reports(places.reports, user_id),
        "runs": forget_runs([user_id, *names]),
    }
    erasure_id, done["database"] = erased_rows.finish(engine, user_id, operator_id, reason, now)
    remains = [{"what": what, "reason": why} for what, why in STAYS]
    remains += [{"what": str(path), "reason": "cannot be read as what its name says"} for path in unreadable]
    if not reclaim(engine):
        remains.append(
            {"what": "free space of the database", "reason": "the database was busy, or its disk full; erase once more"}
        )
    remains += [
        {"what": str(path), "reason": "names the customer and is no file of the pipeline's tables; look at it"}
        for path in _mentions(places, user_id)
    ]
    return {"user_id": user_id, "erasure_id": erasure_id, "erased": done, "remains": remains}


def _landing(folders: Sequence[Path], erased: Erased, user_id: str) -> tuple[dict[str, int], list[Path]]:
    """Rows taken out by file, and the files that nobody can read."""
    removed: dict[str, int] = {}
    unreadable: list[Path] = []
    for folder in folders:
        gone, broken = scrub(folder, erased, user_id)
        removed |= {f"{folder.name}/{name}": count for name, count in gone.items()}
        unreadable += [folder / name for name in broken]
    return removed, unreadable


# --- Tables ---


def _warehouse(root: str, erased: Erased, pseudonyms: set[str]) -> dict[str, int]:
    """Rows taken out by table, in every partition. Raw rows go last: they say which rows in quarantine are theirs."""
    filesystem, folder = fsspec.core.url_to_fs(root)
    paths = _parquet(filesystem, folder)
    spots = {spot for path in paths if _table(folder, path) in RAW for spot in _spots(filesystem, folder, path, erased)}
    removed: dict[str, int] = {}
    for path in sorted(paths, key=lambda path: _table(folder, path) in RAW):
        table = _table(folder, path)
        cut = (
            _without_rows(_quarantined(spots))
            if table == "quarantined_rows"
            else _without_rows(_pseudonymous(pseudonyms))
            if table == "experiment_outcomes"
            else _landed(table.removeprefix("raw_"), erased)
            if table in RAW
            else _without_rows(_owned(erased))
        )
        if count := _without(filesystem, path, cut):
            removed[table] = removed.get(table, 0) + count
    return removed


def _parquet(filesystem: Any, folder: str) -> list[str]:
    return sorted(path for path in filesystem.find(folder) if path.endswith(".parquet"))


def _table(folder: str, path: str) -> str:
    """The asset that a stored file belongs to, whatever the layout of its parts."""
    return path[len(folder) :].strip("/").split("/")[0].removesuffix(".parquet")


def _spots(filesystem: Any, folder: str, path: str, erased: Erased) -> Iterator[Spot]:
    with filesystem.open(path, "rb") as stored:
        columns = [
            name for name in pq.ParquetFile(stored).schema_arrow.names if name in (*_SPOT, "user_id", "account_id")
        ]
        for batch in pq.ParquetFile(stored).iter_batches(columns=columns):
            table = _table(folder, path).removeprefix("raw_")
            for row in batch.filter(gone(batch, table, erased)).to_pylist():
                yield row["batch"], row["file"], row["row"]


_SPOT = ("batch", "file", "row")

Mark = Callable[[pa.RecordBatch], pa.BooleanArray]


@dataclass(frozen=True)
class _Cut:
    """Which rows of a table are the customer's, and what a batch of rows is without them."""

    theirs: Mark
    rest: Callable[[pa.RecordBatch], pa.RecordBatch]


def _without_rows(theirs: Mark) -> _Cut:
    return _Cut(theirs, lambda batch: batch.filter(pc.invert(theirs(batch))))


def _landed(table: str, erased: Erased) -> _Cut:
    """Rows as landed: those of accounts that others hold, too, stay without the customer's id."""
    return _Cut(lambda batch: affected(batch, table, erased), lambda batch: released(batch, table, erased))


def _owned(erased: Erased) -> Mark:
    return lambda batch: owned(batch, erased)


def _pseudonymous(names: set[str]) -> Mark:
    return lambda batch: pc.is_in(batch.column("pseudonym"), value_set=pa.array(sorted(names), pa.string()))


def _quarantined(spots: set[Spot]) -> Mark:
    def theirs(batch: pa.RecordBatch) -> pa.BooleanArray:
        rows = zip(*(batch.column(name).to_pylist() for name in _SPOT), strict=True)
        return pa.array([row in spots for row in rows], pa.bool_())

    return theirs


def _without(filesystem: Any, path: str, cut: _Cut) -> int:
    """Replace a stored file by itself without the rows marked, whole or not at all; returns how many went."""
    with filesystem.open(path, "rb") as stored:
        wanted = {*_SPOT, "user_id", "account_id", "pseudonym"}
        source = pq.ParquetFile(stored)
        columns = [name for name in source.schema_arrow.names if name in wanted]
        count = 0
        if columns:
            count = sum(pc.sum(cut.theirs(batch)).as_py() or 0 for batch in source.iter_batches(columns=columns))
        if not count:
            return 0
        local = "file" in (filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,))
        with tempfile.TemporaryDirectory() as elsewhere:
            beside = Path(f"{path}.erasing") if local else Path(elsewhere) / "table"
            with beside.open("wb") as out:
                rewritten(stored, out, cut.rest)
            if local:
                beside.replace(path)
            else:
                filesystem.put_file(str(beside), path)
    return count


def _stored_accounts(root: str, user_id: str) -> tuple[set[str], bool]:
    """The accounts that stored tables give to a customer, and whether any table of people knows them."""
    accounts: set[str] = set()
    known = False
    for table in ("raw_accounts", "accounts", "raw_users", "users", "raw_transactions"):
        for row in _people(root, table):
            if row["user_id"] is not None and row["user_id"].strip() == user_id:
                known = True
                if row.get("account_id"):
                    accounts.add(row["account_id"].strip())
    return accounts, known


def _held_by_others(root: str, user_id: str) -> set[str]:
    """Accounts that are somebody else's by now."""
    return {row["account_id"] for row in _people(root, "accounts") if row["user_id"] != user_id}


def _held(root: str, user_id: str) -> set[str]:
    """Accounts that were delivered as the customer's own."""
    rows = (row for table in ("raw_accounts", "accounts") for row in _people(root, table))
    return {
        row["account_id"].strip() for row in rows if (row["user_id"] or "").strip() == user_id and row["account_id"]
    }


def _people(root: str, table: str) -> Iterator[dict[str, Any]]:
    """Each pair of ids that a stored table holds."""
    filesystem, folder = fsspec.core.url_to_fs(root)
    for path in _parquet(filesystem, folder):
        if _table(folder, path) == table:
            with filesystem.open(path, "rb") as stored:
                source = pq.ParquetFile(stored)
                columns = [name for name in ("user_id", "account_id") if name in source.schema_arrow.names]
                for batch in source.iter_batches(columns=columns):
                    yield from pa.Table.from_batches([batch]).group_by(columns).aggregate([]).to_pylist()


# --- What was made of them ---


def _exports(root: str, erased: Erased) -> dict[str, int]:
    """Rows taken out of exports by day; their manifests follow."""
    filesystem, folder = fsspec.core.url_to_fs(root)
    removed: dict[str, int] = {}
    for path in _parquet(filesystem, folder):
        day = path[len(folder) :].strip("/").split("/")[0]
        removed[day] = removed.get(day, 0) + _without(filesystem, path, _without_rows(_owned(erased)))
    for day in removed:
        place = f"{folder}/{day}"
        if filesystem.exists(f"{place}/{export.MANIFEST}"):
            export.described_again(filesystem.unstrip_protocol(place))
    return {day: count for day, count in removed.items() if count}


def _reports(folder: Path, user_id: str) -> list[str]:
    """Pages that name them go; `spendsense run --as-of DAY` writes the day's again.

    A day's page names operators alone, who may be erased too. Those of earlier versions showed customers by their id.
    """
    gone = []
    for page in sorted([*folder.glob("*.html"), *folder.glob("*.tmp")]):
        if html.escape(user_id) in page.read_text(encoding="utf-8"):
            page.unlink()
            gone.append(page.name)
    return gone


def _mentions(places: Places, user_id: str) -> list[Path]:
    """Files of the data folder that still name the customer, by what they hold or by how they are called.

    What is packed, Parquet too, was read as what it is before.
    """
    if len(user_id) < SEARCHABLE:
        return []
    name = re.compile(rb"(?<![A-Za-z0-9])" + re.escape(user_id.encode(errors="replace")) + rb"(?![A-Za-z0-9])")
    return [
        path
        for path in sorted(places.data.rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and (name.search(str(path.relative_to(places.data)).encode(errors="replace")) or _says(path, name))
    ]


def _says(path: Path, name: re.Pattern[bytes]) -> bool:
    with path.open("rb") as stream:
        tail = b""
        while block := stream.read(1 << 20):
            if name.search(tail + block):
                return True
            tail = block[-512:]
    return False
