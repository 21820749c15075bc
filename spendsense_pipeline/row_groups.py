"""Parquet files whose rows lie customer after customer: where they can be cut, and the rows of some customers.

A row group's footer says between which customers it lies, so a reader of some customers opens the groups that can hold
them. Knows Parquet and file systems, no engine and no Dagster: the processes that compute signals import this and
start at once. What does not belong here: which table lies where (``warehouse.py``).
"""

import itertools
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spendsense_pipeline import months
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.ranges import Range

CUSTOMER = "user_id"
TEXTS = pa.dictionary(pa.int32(), pa.string())
"""How texts that repeat are read: as numbers and the distinct texts."""
GROUP_ROWS = 4_096
"""Rows of a group in a file by customer, so that a range of a few thousand customers opens little more than its own."""


class UnreadableTable(SpendSenseError):
    """A stored table has not the columns that its contract names; the message says which file and column."""

    code = "unreadable_table"


@dataclass(frozen=True)
class Stored:
    """A table's ``files`` (paths or URIs, in order), and the columns and types that a reader gets of it."""

    files: tuple[str, ...]
    schema: pa.Schema


class Parts(NamedTuple):
    """The files that make up each partition of a table, in the order of the customers: partition to paths or URIs."""

    of: Mapping[str, Sequence[str]]


class Group(NamedTuple):
    """A row group: how many rows, and between which customers they lie (both included)."""

    rows: int
    lowest: str
    highest: str


def groups(stored: Stored) -> list[Group] | None:
    """The row groups of all files by customer; None where a file does not say between which customers they lie."""
    by_file = [_groups(file) for file in stored.files]
    found = [group for groups in by_file if groups is not None for group in groups]
    return None if None in by_file else sorted(found, key=operator.attrgetter("lowest"))


def by_customer(stored: Stored, most: int) -> bool:
    """Whether the groups of each file follow one another by customer, none of them larger than ``most`` rows and
    several customers: what can be cut into ranges of about that size."""
    return all(_by_customer(_groups(file), most) for file in stored.files)


def _by_customer(found: Sequence[Group] | None, most: int) -> bool:
    if found is None or any(group.rows > most and group.lowest != group.highest for group in found):
        return False
    return all(one.highest <= other.lowest for one, other in itertools.pairwise(found))


def _groups(file: str) -> list[Group] | None:
    found = []
    for rows, bounds in _bounds(metadata(file)):
        if bounds is not None:
            found.append(Group(rows, *bounds))
        elif rows:
            return None
    return found


def cut(found: Sequence[Group], rows: int) -> list[Range]:
    """Ranges of whole customers, ascending, of about ``rows`` rows each: more where one customer has more.

    The first range is open below and the last above, so customers without a row are in one of them too.
    """
    starts: list[str] = []
    inside = 0
    for before, group in itertools.pairwise(found):
        inside += before.rows
        if inside >= rows and group.lowest > (starts[-1] if starts else found[0].lowest):
            starts.append(group.lowest)
            inside = 0
    return [Range(*bounds) for bounds in zip([None, *starts], [*starts, None], strict=True)]


def rows_of(stored: Stored, customers: Range) -> pa.Table:
    """The rows of the customers in the range, in the order of the files, one dictionary for each column of texts.

    Raises ``UnreadableTable`` where a file lacks a column or its values do not fit the type.
    """
    found = [rows for file in stored.files for rows in _rows_of_file(file, stored.schema, customers)]
    return pa.concat_tables(found).unify_dictionaries() if found else stored.schema.empty_table()


def _rows_of_file(file: str, schema: pa.Schema, customers: Range) -> Iterator[pa.Table]:
    footer = metadata(file)
    wanted = [(number, bounds) for number, (_, bounds) in enumerate(_bounds(footer)) if _may_hold(customers, bounds)]
    if not wanted:
        return
    texts = [field.name for field in schema if field.type == TEXTS]
    filesystem, path = _place(file)
    with pq.ParquetFile(path, metadata=footer, read_dictionary=texts, filesystem=filesystem) as opened:
        missing = [name for name in schema.names if name not in opened.schema_arrow.names]
        if missing:
            raise UnreadableTable(f"{file} has no column {', '.join(missing)}; its contract names it")
        # Together they are read in two thirds of the time that it takes one by one.
        for inside, groups in itertools.groupby(wanted, lambda group: _lies_in(customers, group[1])):
            numbers = [number for number, _ in groups]
            rows = opened.read_row_groups(numbers, columns=schema.names, use_threads=False).select(schema.names)
            try:
                rows = rows.cast(schema)
            except pa.ArrowInvalid as error:
                raise UnreadableTable(f"{file}: {error}") from error
            yield rows if inside else _filtered(rows, customers)


def head(stored: Stored, columns: Sequence[str], rows: int) -> list[dict[str, Any]]:
    """The first rows of the first file, those columns of them."""
    filesystem, path = _place(stored.files[0])
    with pq.ParquetFile(path, filesystem=filesystem) as opened:
        first: list[dict[str, Any]] = next(opened.iter_batches(batch_size=rows, columns=[*columns])).to_pylist()
    return first


def _filtered(rows: pa.Table, customers: Range) -> pa.Table:
    ids = rows[CUSTOMER].cast(pa.string())
    for bound, compare in ((customers.start, pc.greater_equal), (customers.end, pc.less)):
        if bound is not None:
            mask = compare(ids, bound)
            rows, ids = rows.filter(mask), ids.filter(mask)
    return rows


def _may_hold(customers: Range, bounds: tuple[str, str] | None) -> bool:
    if bounds is None:
        return True
    lowest, highest = bounds
    return (customers.start is None or highest >= customers.start) and (customers.end is None or lowest < customers.end)


def _lies_in(customers: Range, bounds: tuple[str, str] | None) -> bool:
    if bounds is None:
        return customers == Range()
    lowest, highest = bounds
    return (customers.start is None or lowest >= customers.start) and (customers.end is None or highest < customers.end)


def metadata(file: str) -> pq.FileMetaData:
    """The footer of a file (path or URI)."""
    filesystem, path = _place(file)
    return pq.read_metadata(path, filesystem=filesystem)


def _place(file: str) -> tuple[Any, str]:
    """The file system and the path on it, of a part of a month also where a merge has replaced it meanwhile."""
    filesystem, path = fsspec.core.url_to_fs(file)
    return filesystem, months.current_or_former(filesystem, path)


def _bounds(metadata: pq.FileMetaData) -> Iterator[tuple[int, tuple[str, str] | None]]:
    """Rows of each group, and its lowest and highest customer as far as the footer says."""
    names = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        said = group.column(names.index(CUSTOMER)).statistics if CUSTOMER in names else None
        if said is None or not said.has_min_max or not isinstance(said.min, str):
            yield group.num_rows, None
        else:
            yield group.num_rows, (said.min, said.max)


def gather(files: Sequence[str], target: Path, schema: pa.Schema) -> None:
    """Put the rows of the files together as one local file, in order, texts as plain texts.

    The file depends on the rows alone: where one part ended and the next began does not show, byte for byte. No more
    than a part and a row group are in memory.
    """
    with pq.ParquetWriter(target, schema, compression="snappy") as writer:
        held = schema.empty_table()
        for file in files:
            filesystem, path = fsspec.core.url_to_fs(file)
            with filesystem.open(path, "rb") as opened:
                part = pa.ipc.open_file(opened).read_all()
            held = pa.concat_tables([held, part.cast(schema)])
            while held.num_rows >= GROUP_ROWS:
                writer.write_table(held.slice(0, GROUP_ROWS).combine_chunks(), row_group_size=GROUP_ROWS)
                held = held.slice(GROUP_ROWS)
        if held.num_rows:
            writer.write_table(held.combine_chunks(), row_group_size=GROUP_ROWS)


def store(table: pa.Table, file: str) -> None:
    """Write a part to a path or URI, whose folder is made where there is none; as Arrow, for it is read once and
    written in half the time of Parquet."""
    filesystem, path = fsspec.core.url_to_fs(file)
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    whole = pa.BufferOutputStream()  # a file takes a hundred small writes by as many calls of Python
    with pa.ipc.new_file(whole, table.schema, options=options) as writer:
        writer.write_table(table)
    with filesystem.open(path, "wb") as opened:
        opened.write(whole.getvalue())


def keep(table: pa.Table, file: str) -> Stored:
    """Write rows to a path or URI as Parquet, sorted by customer, so that ranges of it can be read."""
    filesystem, path = fsspec.core.url_to_fs(file)
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    table = table.replace_schema_metadata(None)
    with filesystem.open(path, "wb") as opened:
        pq.write_table(table.take(pc.sort_indices(table[CUSTOMER])), opened, row_group_size=GROUP_ROWS)
    return Stored((file,), table.schema)
