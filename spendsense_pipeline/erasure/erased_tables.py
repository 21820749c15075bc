"""What stored tables and exports know of a customer, and taking their rows out, in every partition.

A file is replaced by itself without the rows, whole or not at all, in a folder or in an object store.
"""

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from spendsense_pipeline.erasure.erased import GOES, OWNERS, STAYS, Erased
from spendsense_pipeline.erasure.erased_files import rewritten
from spendsense_pipeline.evaluation import export

RAW = ("raw_users", "raw_accounts", "raw_transactions", "raw_liabilities")
UNFINISHED = (".tmp", ".erasing")
SPOT = ("batch", "file", "row")
"""The place of a landed row, as raw tables and the quarantine name it."""

Mark = Callable[[pa.RecordBatch], pa.BooleanArray]


@dataclass
class Holdings:
    """What stored tables say that a customer holds."""

    known: bool = False
    """Whether any table of people knows the customer."""
    accounts: set[str] = field(default_factory=set)
    delivered: set[str] = field(default_factory=set)
    """Accounts that were delivered as the customer's own."""
    of_others: set[str] = field(default_factory=set)
    """Accounts that a file gave to somebody else."""

    @classmethod
    def read(cls, root: str, user_id: str) -> "Holdings":
        """From the tables of a warehouse."""
        found = cls()
        named_by_others = set()
        for table in ("raw_accounts", "accounts", "raw_users", "users", "raw_transactions"):
            of_accounts = table in ("raw_accounts", "accounts")
            for row in _ids(root, table):
                account, holder = ((row.get(name) or "").strip() for name in ("account_id", "user_id"))
                if holder == user_id:
                    found.known = True
                    found.accounts |= {account} - {""}
                    found.delivered |= {account} - {""} if of_accounts else set()
                elif holder and of_accounts:  # judged or not: their own file may be on its way
                    found.of_others.add(account)
                elif holder and table == "raw_transactions":
                    named_by_others.add(account)
        # What several customers' rows name, and no file gave to this one, is not this one's.
        found.of_others |= named_by_others - found.delivered
        return found


def _ids(root: str, table: str) -> Iterator[dict[str, Any]]:
    """Each pair of ids that a stored table holds."""
    filesystem, folder = fsspec.core.url_to_fs(root)
    for path in _parquet(filesystem, folder):
        if _table(folder, path) == table:
            for batch in _batches(filesystem, path, {*OWNERS}):
                yield from pa.Table.from_batches([batch]).group_by(batch.schema.names).aggregate([]).to_pylist()


def _batches(filesystem: Any, path: str, wanted: Collection[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a stored file, a batch after another, in those of the columns that it has."""
    with filesystem.open(path, "rb") as stored:
        source = pq.ParquetFile(stored)
        yield from source.iter_batches(columns=[name for name in source.schema_arrow.names if name in wanted])


def empty_warehouse(root: str, erased: Erased, pseudonyms: set[str]) -> dict[str, int]:
    """Rows taken out by table, in every partition and former part. Raw rows go last: they say which rows in quarantine
    are theirs. What killed runs left half-written goes whole."""
    filesystem, folder = fsspec.core.url_to_fs(root)
    for path in filesystem.find(folder):
        if path.endswith(UNFINISHED):
            filesystem.rm_file(path)
    paths = _parquet(filesystem, folder)
    raw = [path for path in paths if _table(folder, path) in RAW]
    spots: set[tuple[Any, ...]] = set()  # the places of the landed rows that go
    for path in raw:
        for batch in _batches(filesystem, path, {*SPOT, *OWNERS}):
            fates = erased.fates(batch, _table(folder, path).removeprefix("raw_"))
            spots.update(_spots_of(batch.filter(pc.equal(fates, GOES))))
    marks: dict[str, Mark] = {
        "quarantined_rows": lambda batch: pa.array([row in spots for row in _spots_of(batch)], pa.bool_()),
        "experiment_outcomes": lambda batch: pc.is_in(
            batch.column("pseudonym"), value_set=pa.array(sorted(pseudonyms), pa.string())
        ),
    }
    removed: dict[str, int] = {}
    for path in [*(path for path in paths if path not in raw), *raw]:
        table = _table(folder, path)
        if path in raw:  # what is of accounts that others hold, too, stays without the customer's id
            landed = table.removeprefix("raw_")
            theirs = partial(lambda landed, batch: pc.not_equal(erased.fates(batch, landed), STAYS), landed)
            count = _without(filesystem, path, theirs, partial(erased.released, table=landed))
        else:
            count = _without(filesystem, path, marks.get(table, erased.owns))
        if count:
            removed[table] = removed.get(table, 0) + count
    return removed


def empty_exports(root: str, erased: Erased) -> dict[str, int]:
    """Rows taken out of exports by day; their manifests follow."""
    filesystem, folder = fsspec.core.url_to_fs(root)
    local = isinstance(filesystem, LocalFileSystem)
    if local and filesystem.exists(folder):
        for path in filesystem.ls(folder, detail=False):
            if path.endswith((export.UNFINISHED, export.BEFORE)):
                export.settle(filesystem, path.rsplit(".", 1)[0])
    removed: dict[str, int] = {}
    for path in _parquet(filesystem, folder):
        day = path[len(folder) :].strip("/").split("/")[0]
        removed[day] = removed.get(day, 0) + _marked(filesystem, path, erased.owns)
    for day, count in removed.items():
        place = f"{folder}/{day}"
        # An object store keeps a manifest that does not fit where an erasure was broken off.
        listed = filesystem.exists(f"{place}/{export.MANIFEST}") and (count or not local)
        with export.changed(filesystem, place) if listed else nullcontext(place) as folder_now:
            for path in _parquet(filesystem, folder_now) if listed or count else ():
                _without(filesystem, path, erased.owns)
    return {day: count for day, count in removed.items() if count}


def _parquet(filesystem: Any, folder: str) -> list[str]:
    return sorted(path for path in filesystem.find(folder) if path.endswith(".parquet"))


def _table(folder: str, path: str) -> str:
    """The asset that a stored file belongs to, whatever the layout of its parts."""
    return path[len(folder) :].strip("/").split("/")[0].removesuffix(".parquet")


def _spots_of(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(batch.column(name).to_pylist() for name in SPOT), strict=True)


def _marked(filesystem: Any, path: str, theirs: Mark) -> int:
    return sum(
        pc.sum(theirs(batch)).as_py() or 0 for batch in _batches(filesystem, path, {*SPOT, *OWNERS, "pseudonym"})
    )


def _without(
    filesystem: Any, path: str, theirs: Mark, rest: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None
) -> int:
    """Replace a stored file by itself without the rows marked, or by what ``rest`` leaves of it; returns how many rows
    were marked."""
    count = _marked(filesystem, path, theirs)
    if not count:
        return 0
    local = isinstance(filesystem, LocalFileSystem)
    with tempfile.TemporaryDirectory() as elsewhere:
        beside = Path(f"{path}.erasing") if local else Path(elsewhere) / "table"
        with filesystem.open(path, "rb") as stored, beside.open("wb") as out:
            rewritten(stored, out, rest or (lambda batch: batch.filter(pc.invert(theirs(batch)))))
        if local:
            beside.replace(path)
        else:
            filesystem.put_file(str(beside), path)
    return count
