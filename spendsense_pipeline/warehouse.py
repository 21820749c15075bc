"""Where tables are stored and how they are read, with Dagster or without.

``<root>/<asset>/<partition>.parquet``, or ``<root>/<asset>.parquet`` for an asset without partitions; the root is
a folder or any fsspec URI, and each path may be a folder of parts, those of the months that a manifest names
(``months.py``) or whatever lies in it. A table that is kept elsewhere is a query instead,
``<root>/<asset>.sql``, run by the engine where it is read. What does not belong here: putting a file in its place,
which is the IO manager's alone (``defs/io.py``), and any meaning of a table (``contracts/``).
"""

import base64
import datetime as dt
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from spendsense_pipeline import months, row_groups
from spendsense_pipeline.contracts import CONTRACTS, absent
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.ranges import ranges

if TYPE_CHECKING:
    import ibis
    import pandas as pd

CLUSTERED = {
    "transactions": ("user_id", "date", "transaction_id"),
    "accounts": ("user_id", "account_id"),
    "liabilities": ("user_id", "liability_id"),
    "users": ("user_id",),
}
"""Tables whose rows are stored in this order, so that one customer's lie together."""
BY_MONTH = {"transactions"}
BY_MONTH_FROM = 500_000
"""Rows from which on a table is kept by month; fewer are written anew in the time that looking at the parts takes."""
NO_MONTH = "0001-01"
LARGEST_GROUP, SMALLEST_GROUP, GROUPS = 122_880, 2_048, 100  # rows, rows, as many groups as a table is parted into
NOTE = "spendsense.note"
SORTED_AT_ONCE = 5_000_000
"""Rows, about: five parts of that many are sorted in half the time of all, and in half the memory."""


class NotMaterialized(SpendSenseError):
    """A table was asked for that no run has stored yet."""

    code = "not_materialized"


def connect(scratch: Path | None = None, memory: str | None = None, *, in_order: bool = True) -> "ibis.BaseBackend":
    """An in-memory DuckDB whose times are UTC; it spills to ``scratch`` what outgrows ``memory`` (``4GB``; by default
    half of the machine's or the container's).

    ``in_order``: files are read and tables written row after row, which whoever counts the rows of a file needs. For
    others it is a quarter of the time, and memory.
    """
    import ibis  # takes a second to load, and many commands read no table

    # Fusing selects costs half of the planning time of our expressions and saves the engine nothing, which flattens
    # nested projections itself.
    ibis.options.sql.fuse_selects = False
    backend = ibis.duckdb.connect()
    backend.raw_sql("SET TimeZone = 'UTC'")
    # DuckDB takes a process that another one began, as Dagster begins those of its steps, for somebody at a terminal.
    backend.raw_sql("SET enable_progress_bar = false")
    if scratch is not None:
        backend.raw_sql(f"SET temp_directory = '{str(scratch).replace(chr(39), chr(39) * 2)}'")
    if memory is None:
        # Four fifths is what DuckDB takes by itself, as if nothing else were there: Python's frames are, and while a
        # batch lands a second engine.
        ((size, unit),) = [
            row[0].split() for row in backend.raw_sql("SELECT current_setting('memory_limit')").fetchall()
        ]
        memory = f"{float(size) * 5 / 8} {unit}"
    backend.raw_sql(f"SET memory_limit = '{memory}'")
    if not in_order:
        backend.raw_sql("SET preserve_insertion_order = false")
    return backend


@contextmanager
def aside(scratch: Path) -> Iterator[Path]:
    """A folder for what is needed while the block lasts, in the scratch space; `clear` removes it after a crash."""
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="aside-") as folder:
        yield Path(folder)


def clear(scratch: Path, before: float | None = None) -> None:
    """Take away what killed runs left in the scratch space, ours and the engine's; only while no run is under way.

    ``before``: alone what has not changed since (seconds since 1970), for a run may be about to begin.
    """
    for left in [*scratch.glob("aside-*"), *scratch.glob("duckdb_temp*")]:
        if before is not None and left.stat().st_mtime >= before:
            continue
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def path(root: str, asset: str, partition: str | None = None) -> str:
    """Where a table, or one partition of it, is stored."""
    return f"{root.rstrip('/')}/{asset}{f'/{partition}' if partition else ''}.parquet"


def partitions(root: str, asset: str) -> list[str]:
    """Keys of the stored partitions of an asset, ascending; empty when there are none."""
    filesystem, folder = fsspec.core.url_to_fs(f"{root.rstrip('/')}/{asset}")
    if not filesystem.isdir(folder):
        return []
    names = [name.rstrip("/").rsplit("/", 1)[-1] for name in filesystem.ls(folder, detail=False)]
    return sorted(name.removesuffix(".parquet") for name in names if name.endswith(".parquet"))


def newest_run(root: str) -> dt.date:
    """The newest date whose drafts are stored. Raises ``NotMaterialized`` before the first."""
    stored = partitions(root, "draft_recommendations")
    if not stored:
        raise NotMaterialized("no date was run yet: `spendsense run` computes one")
    return dt.date.fromisoformat(stored[-1])


def discard(root: str, asset: str, partition: str) -> None:
    """Take away one stored partition, if it is there."""
    filesystem, target = fsspec.core.url_to_fs(path(root, asset, partition))
    if filesystem.exists(target):
        filesystem.rm(target)


def stamps(root: str, asset: str) -> dict[str, str]:
    """For each stored partition of an asset, a text that changes when its files do."""
    found = {}
    for key in partitions(root, asset):
        filesystem, (place,) = _stored(root, asset, [key])
        files = sorted(filesystem.find(place)) if filesystem.isdir(place) else [place]
        found[key] = " ".join(str(filesystem.ukey(file)) for file in files)
    return found


def note(root: str, asset: str) -> str | None:
    """The note that was stored in the file of a table, None where there is no such file or no note in it."""
    filesystem, target = fsspec.core.url_to_fs(path(root, asset))
    by_month = months.manifest(filesystem, target)
    if by_month is not None:
        return by_month.note
    if not filesystem.isfile(target):
        return None
    found = (pq.read_metadata(target, filesystem=filesystem).metadata or {}).get(NOTE.encode())
    return None if found is None else base64.b64decode(found).decode()


def state(root: str, asset: str) -> str | None:
    """Stands for the present rows of a table by months, as its manifest is called among the former; else None."""
    filesystem, target = fsspec.core.url_to_fs(path(root, asset))
    by_month = months.manifest(filesystem, target)
    return None if by_month is None else by_month.id


def read(backend: "ibis.BaseBackend", root: str, asset: str, keys: list[str] | None = None) -> "ibis.Table":
    """The rows of a table on the engine: of the whole one, or of the partitions named.

    Of a table that is a query, the statements before the last (``ATTACH`` and the like) run first. Optional columns of
    the contract that the stored table lacks are null; the holders of accounts are counted. Raises ``NotMaterialized``
    where nothing is stored, naming the table and the command that makes it.
    """
    table = _read(backend, root, asset, keys)
    lacking = absent(CONTRACTS[asset], table.columns) if asset in CONTRACTS else {}
    import ibis

    columns = {name: ibis.null(kind) for name, kind in lacking.items()}
    if asset == "accounts" and "holders" in columns:
        columns["holders"] = table.user_id.count().over(group_by="account_id")
    return table.mutate(**columns) if columns else table


def _read(backend: "ibis.BaseBackend", root: str, asset: str, keys: list[str] | None) -> "ibis.Table":
    query = _query(root, asset) if keys is None else None
    if query is not None:
        *before, last = [one.query for one in backend.con.extract_statements(query)]
        for statement in before:
            backend.raw_sql(statement)
        return backend.sql(last.strip().rstrip(";"))
    filesystem, paths = _stored(root, asset, keys)
    if not isinstance(filesystem, LocalFileSystem):
        backend.con.register_filesystem(filesystem)
    files = [f"{one}/*.parquet" if filesystem.isdir(one) else filesystem.unstrip_protocol(one) for one in paths]
    return backend.read_parquet([name.removeprefix("file://") for name in files], union_by_name=len(files) > 1)


def write(table: "ibis.Table", asset: str, target: Path, scratch: Path | None = None, note: str | None = None) -> None:
    """Store the rows as one local Parquet file; parts of it lie in ``scratch`` meanwhile, or in the system's own.

    A ``note`` is stored in the file itself, so that whoever reads it knows that it is of these rows.

    Of a clustered table a reader who wants one customer opens the row groups whose bounds hold them: two at most, so
    a table is parted into a hundred of them, as far as a group is then neither tiny nor larger than usual.
    """
    order = CLUSTERED.get(asset)
    # Base64, because the engine takes the text as a literal.
    noted = {} if note is None else {"kv_metadata": {NOTE: base64.b64encode(note.encode()).decode()}}
    if order is None:
        table.to_parquet(target, **noted)
        return
    rows = _count(table)
    group = min(max(rows // GROUPS, SMALLEST_GROUP), LARGEST_GROUP)
    parts = ranges(table, order[0], SORTED_AT_ONCE) if rows > SORTED_AT_ONCE else []
    if len(parts) < 2:
        table.order_by(*order).to_parquet(target, row_group_size=group, **noted)
        return
    with aside(scratch or Path(tempfile.gettempdir())) as folder:
        files = [folder / f"{number:06}.parquet" for number in range(len(parts))]
        for file, part in zip(files, parts, strict=True):
            part.of(table, order[0]).order_by(*order).to_parquet(file)
        backend: Any = table.get_backend()
        ((before,),) = backend.raw_sql("SELECT current_setting('preserve_insertion_order')").fetchall()
        backend.raw_sql("SET preserve_insertion_order = true")
        try:
            backend.read_parquet(files).to_parquet(target, row_group_size=group, **noted)
        finally:
            backend.raw_sql(f"SET preserve_insertion_order = {before}")


def is_by_month(table: "ibis.Table", root: str, asset: str) -> bool:
    """Whether the rows of a table are stored, or to be stored, as parts by month."""
    filesystem, folder = fsspec.core.url_to_fs(path(root, asset))
    return asset in BY_MONTH and (months.manifest(filesystem, folder) is not None or _count(table) >= BY_MONTH_FROM)


def write_by_month(
    table: "ibis.Table",
    root: str,
    asset: str,
    scratch: Path,
    note: str | None,
    changed: Collection[str] | None,
    kept_since: dt.datetime,
) -> None:
    """Store the rows by month, each sorted as the table is; former months as ``months.place`` keeps them.

    ``changed`` are the months whose rows may differ from those stored, None all.
    """
    filesystem, folder = fsspec.core.url_to_fs(path(root, asset))
    before = months.manifest(filesystem, folder)
    with aside(scratch) as beside:
        if changed is None or before is None:
            by_month = _parted(table, beside / "whole")
            parts = {month: by_month.get(month) for month in {*by_month, *(before.parts if before else ())}}
        else:
            spans = {month: months.bounds(month) for month in changed}
            parts = {
                month: table.filter(table.date >= first, table.date < end) for month, (first, end) in spans.items()
            }
        files = {}
        for month, rows in sorted(parts.items()):
            files[month] = beside / f"{month}.parquet"
            if rows is not None:
                write(rows, asset, files[month], scratch)
                if not pq.read_metadata(files[month]).num_rows:
                    files[month].unlink()
        if not any(file.exists() for file in files.values()) and not {*(before.parts if before else ())} - {*files}:
            files[NO_MONTH] = beside / f"{NO_MONTH}.parquet"  # a table of no rows has columns all the same
            write(table.limit(0), asset, files[NO_MONTH], scratch)
        months.place(filesystem, folder, files, note, kept_since)


def _parted(table: "ibis.Table", folder: Path) -> dict[str, "ibis.Table"]:
    """The rows by month, computed once and put into the folder."""
    table.mutate(month=table.date.strftime("%Y-%m")).to_parquet(folder, partition_by="month")
    engine = table.get_backend()
    return {
        one.name.removeprefix("month="): engine.read_parquet(f"{one}/*.parquet").select(*table.columns)
        for one in folder.glob("month=*")
    }


def _count(table: "ibis.Table") -> int:
    return int(table.count().to_pyarrow().as_py())


def load(root: str, asset: str, keys: list[str] | None = None, columns: list[str] | None = None) -> pa.Table:
    """The rows of a table in memory, as ``read`` finds them, all ``columns`` or these; for customer-sized tables."""
    if keys is None and _query(root, asset) is not None:
        rows = read(connect(), root, asset)
        return (rows if columns is None else rows.select(columns)).to_pyarrow()
    filesystem, paths = _stored(root, asset, keys)
    found = [rows_of_file(filesystem, one, columns=columns) for one in paths]
    return pa.concat_tables(found, promote_options="default")


def rows_of_file(filesystem: Any, file: str, **chosen: Any) -> pa.Table:
    """The rows of a stored file or folder of parts, ``chosen`` as for ``read_table``. Raises ``unreadable_table``."""
    try:
        return pq.read_table(file, filesystem=filesystem, **chosen)
    except pa.ArrowInvalid as error:
        # Without the folder and the error's own words, which name it: clients of the service read this too.
        named = "/".join(file.rsplit("/", 2)[1:])
        raise SpendSenseError(f"a stored table cannot be read: {named} is damaged", code="unreadable_table") from error


def newest(root: str, asset: str, columns: list[str] | None = None) -> pa.Table | None:
    """The rows of the newest partition that is stored, as ``load``; None before the first."""
    keys = partitions(root, asset)[-1:]
    return load(root, asset, keys, columns) if keys else None


def newest_frame(root: str, asset: str, columns: list[str] | None = None) -> "pd.DataFrame | None":
    """The same as a frame of our convention."""
    from spendsense_pipeline.frames import to_frame  # loads pandas, which few readers of tables need

    table = newest(root, asset, columns)
    return None if table is None else to_frame(table)


def stored_by_customer(
    root: str, asset: str, schema: pa.Schema, folder: str, most: int, *, scratch: Path, memory: str | None = None
) -> row_groups.Stored:
    """A table as files that can be cut between customers, and the columns that are wanted of it.

    Those in the warehouse, where they are Parquet and, of transactions, lie customer after customer in groups of
    ``most`` rows or fewer. Otherwise a copy in ``folder`` (a path or URI), which the engine writes in that order.
    """
    if _query(root, asset) is None:
        found = stored(root, asset, None, schema)
        if asset != "transactions" or row_groups.by_customer(found, most):
            return found
    engine = connect(scratch, memory, in_order=False)
    filesystem, place = fsspec.core.url_to_fs(f"{folder}/{asset}.parquet")
    with aside(scratch) as beside:
        file = beside / "sorted.parquet"
        write(read(engine, root, asset).select(*schema.names), asset, file, scratch)
        filesystem.makedirs(filesystem._parent(place), exist_ok=True)
        filesystem.put_file(str(file), place)
    return row_groups.Stored((_address(filesystem, place),), schema)


def stored(root: str, asset: str, key: str | None, schema: pa.Schema) -> row_groups.Stored:
    """A table, or one partition of it, as the files that it is, with the columns of ``schema``. Raises
    ``NotMaterialized``."""
    return row_groups.Stored(_files(root, asset, key), schema)


def files(root: str, asset: str, key: str | None = None) -> row_groups.Stored:
    """A table, or one partition of it, as the files that it is, with all columns. Raises ``NotMaterialized``."""
    found = _files(root, asset, key)
    return row_groups.Stored(found, row_groups.metadata(found[0]).schema.to_arrow_schema())


def _files(root: str, asset: str, key: str | None) -> tuple[str, ...]:
    filesystem, places = _stored(root, asset, None if key is None else [key])
    return tuple(
        _address(filesystem, file)
        for place in places
        for file in (sorted(filesystem.glob(f"{place}/*.parquet")) if filesystem.isdir(place) else [place])
    )


def _address(filesystem: Any, path: str) -> str:
    """What leads to a path from another process: itself on a disk, a URI elsewhere."""
    return path if isinstance(filesystem, LocalFileSystem) else str(filesystem.unstrip_protocol(path))


def rows_of_customer(root: str, asset: str, user_id: str, columns: Sequence[str]) -> pa.Table:
    """The rows of one customer: only the row groups that can hold them are read, and no engine is started.

    Raises ``NotMaterialized`` as ``read`` does.
    """
    if _query(root, asset) is not None:
        table = read(connect(), root, asset)
        return table.filter(table.user_id == user_id).select(*columns).to_pyarrow()
    filesystem, paths = _stored(root, asset, None)
    wanted = [("user_id", "=", user_id)]
    parts = [rows_of_file(filesystem, path, columns=[*columns], filters=wanted) for path in paths]
    return pa.concat_tables(parts)


def _query(root: str, asset: str) -> str | None:
    """The query that stands for a table, None where it is stored as Parquet or not at all."""
    filesystem, target = fsspec.core.url_to_fs(f"{root.rstrip('/')}/{asset}.sql")
    if not filesystem.exists(target):
        return None
    if filesystem.exists(path(root, asset)):
        raise SpendSenseError(
            f"{asset} is there twice, as {asset}.sql and as {asset}.parquet in {root}; take away the one that is not "
            "meant",
            code="ambiguous_table",
        )
    text: str = filesystem.cat_file(target).decode()
    return text


def _stored(root: str, asset: str, keys: list[str] | None) -> tuple[Any, list[str]]:
    """The file system and the paths on it; each is there."""
    filesystem, _ = fsspec.core.url_to_fs(root)
    wanted = [path(root, asset, key) for key in keys] if keys is not None else [path(root, asset)]
    paths = [filesystem._strip_protocol(one) for one in wanted]
    by_month = months.manifest(filesystem, paths[0]) if keys is None else None
    if by_month is not None:
        return filesystem, months.files(filesystem, paths[0], by_month)
    missing = [one for one in paths if not filesystem.exists(one)]
    if missing or not paths:
        where = f"no {', '.join(keys)}" if keys else "nowhere in the warehouse"
        raise NotMaterialized(
            f"{asset} is not stored ({where}): `spendsense ingest` (the job ingest_batch) makes the landed tables, "
            "`spendsense run` (the job daily_refresh) those of a date"
        )
    return filesystem, paths
