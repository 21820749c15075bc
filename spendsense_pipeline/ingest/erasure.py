"""Taking erased customers out of landed files, whatever their format, and keeping them out.

Who was erased is known by tombstones alone: salted digests of the ids of customers and their accounts. A landed file
loses the rows that belong to them and keeps every other byte for byte (Parquet: value for value). What does not belong
here: deciding to erase (``governance.erasure``), and the tables made from the files.
"""

import csv
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spendsense_pipeline.ingest import landing, plaid

BLOCK = 1 << 20
PEOPLE = ("users", "accounts", "transactions", "liabilities")
"""The landed tables whose rows belong to somebody."""

OWNERS = {"user_id": "user", "account_id": "account"}
"""The columns that say whose a row is, and the kind of tombstone that their ids are looked up under."""

Row = Mapping[str, Any]


class NotReadable(Exception):
    """A file whose rows nobody can tell apart."""


NOT_A_TABLE = (NotReadable, gzip.BadGzipFile, EOFError, zlib.error, pa.ArrowInvalid, csv.Error)


def digest(salt: str, kind: str, name: str) -> str:
    """How an erased ``user`` or ``account`` is remembered: sha256 in hex, over the id without the blanks around it."""
    return hashlib.sha256(f"{salt} {kind} {name.strip()}".encode(errors="surrogatepass")).hexdigest()


class Erased:
    """The erased customers and accounts, by their digests. Ids are digested once each.

    >>> Erased("salt", [digest("salt", "user", "mia")]).owns({"user_id": " mia", "amount": 3})
    True
    """

    def __init__(self, salt: str, digests: Iterable[str]) -> None:
        self.salt, self._digests = salt, frozenset(digests)
        self._known: dict[tuple[str, str], bool] = {}

    def __bool__(self) -> bool:
        return bool(self._digests)

    def holds(self, kind: str, name: Any) -> bool:
        """Whether this id was erased."""
        if name is None:
            return False
        key = (kind, name if isinstance(name, str) else json.dumps(name, default=str))
        if key not in self._known:
            self._known[key] = digest(self.salt, *key) in self._digests
        return self._known[key]

    def owns(self, row: Row) -> bool:
        """Whether a row is an erased customer's, by its ``user_id`` or by its ``account_id``."""
        return self.holds("user", row.get("user_id")) or self.holds("account", row.get("account_id"))


@dataclass(frozen=True)
class _File:
    """A landed file about people; ``customer`` is whom the folder of a saved response names."""

    path: Path
    name: str
    format: str
    customer: str | None = None


def accounts_of(user_id: str, folders: Iterable[Path]) -> tuple[set[str], bool]:
    """The accounts that landed files give to a customer, and whether any row of the files is theirs."""
    accounts: set[str] = set()
    found = False
    for file in (file for folder in folders for file in _files(folder)):
        try:
            for row in _rows(file):
                if _text(row.get("user_id")) == user_id:
                    found = True
                    accounts.update(_text(one) for one in row.get("accounts", [row.get("account_id")]))
        except NOT_A_TABLE:
            continue  # `scrub` names it
    return accounts - {""}, found


def scrub(folder: Path, erased: Erased, user_id: str | None = None) -> tuple[dict[str, int], list[str]]:
    """Take the rows of the erased out of a landed batch: rows taken out by file, and the files nobody can read.

    Of saved responses the whole response goes. A line that is no row is taken out where it names ``user_id``. The batch
    keeps the identity that it arrived with: what the folder holds from now on is noted beside the batches, so that the
    same files landed again are recognised (``landing.content_hash``). Each file is replaced whole or, with nothing left
    in it, deleted; a run that dies half-way may be run again.
    """
    removed: dict[str, int] = {}
    unreadable: list[str] = []
    lighter: dict[Path, Path | None] = {}
    for file in _files(folder):
        try:
            gone, left = _counted(file, erased, user_id)
            if gone:
                removed[file.name] = gone
                emptied = not left and file.format in ("jsonl", "plaid")  # in which nothing is no table
                lighter[file.path] = None if emptied else _written_without(file, erased, user_id)
        except NOT_A_TABLE:
            unreadable.append(file.name)
    if lighter:
        landing.note_erasure(folder, lighter)
    for path, beside in lighter.items():
        if beside is not None:
            beside.replace(path)
            continue
        path.unlink()
        if path.parent != folder and not any(path.parent.iterdir()):
            path.parent.rmdir()  # a folder of responses bears the customer's id
    return removed, unreadable


def _files(folder: Path) -> Iterator[_File]:
    """Each file about people, also in a folder that never became a batch."""
    if plaid.marked(folder):
        with suppress(landing.BatchRefused):
            yield from (_File(one.path, one.name, "plaid", one.folder) for one in plaid.discover(folder))
        return
    for path in sorted(folder.iterdir()):
        table, dot, suffix = path.name.partition(".")
        if table in PEOPLE and dot + suffix in landing.SUFFIXES and path.is_file() and not path.is_symlink():
            yield _File(path, path.name, landing.SUFFIXES[dot + suffix])


def _text(value: Any) -> str:
    return "" if value is None else value.strip() if isinstance(value, str) else json.dumps(value, default=str)


# --- One file ---


def _rows(file: _File) -> Iterator[Row]:
    """The rows of a file, ids at least."""
    if file.format == "parquet":
        for batch in _batches(pq.ParquetFile(file.path), [*OWNERS]):
            yield from batch.to_pylist()
    else:
        yield from (row for row, _ in _pieces(file) if row is not None)


def _counted(file: _File, erased: Erased, user_id: str | None) -> tuple[int, int]:
    """How many rows of a file are to go, and how many stay."""
    gone = total = 0
    if file.format == "parquet":
        for batch in _batches(pq.ParquetFile(file.path), [*OWNERS]):
            gone += pc.sum(owned(batch, erased)).as_py() or 0
            total += batch.num_rows
    else:
        for row, raw in _pieces(file):
            gone += _goes(row, raw, erased, user_id)
            total += 1
    return gone, total - gone


def _goes(row: Row | None, raw: str, erased: Erased, user_id: str | None) -> bool:
    return erased.owns(row) if row is not None else user_id is not None and user_id in raw


def _written_without(file: _File, erased: Erased, user_id: str | None) -> Path:
    """A hidden file beside the file, on disk, without the rows of the erased."""
    beside = file.path.with_name(f".{file.path.name}.erasing")
    with beside.open("wb") as stream:
        if file.format == "parquet":
            without_rows(file.path, stream, lambda batch: owned(batch, erased))
        else:
            packed = gzip.GzipFile("", "wb", fileobj=stream, mtime=0) if file.path.suffix == ".gz" else stream
            out = io.TextIOWrapper(packed, "utf-8", errors="surrogateescape", newline="")
            kept: Iterable[str] = (raw for row, raw in _pieces(file) if not _goes(row, raw, erased, user_id))
            if file.format in ("json", "plaid"):
                kept = itertools.chain(["["], (f"{',' * bool(n)}\n{raw}" for n, raw in enumerate(kept)), ["\n]\n"])
            out.writelines(kept)
            out.detach()
            if packed is not stream:
                packed.close()
        stream.flush()
        os.fsync(stream.fileno())
    return beside


def _pieces(file: _File) -> Iterator[tuple[Row | None, str]]:
    """The rows of a text file, each beside itself as written; None where it is no row. A CSV header is an empty row."""
    opened = gzip.open if file.path.suffix == ".gz" else open
    with opened(file.path, "rt", encoding="utf-8", errors="surrogateescape", newline="") as text:
        if file.format == "plaid":
            yield from _responses(text, file.customer)
        else:
            yield from PIECES[file.format](text)


def _responses(text: IO[str], customer: str | None) -> Iterator[tuple[Row | None, str]]:
    """A saved response, or those of an array, each as a row of the customer it is about and of their accounts."""
    written = text.read()
    several = written.lstrip("\ufeff \t\r\n").startswith("[")
    try:
        pieces = _json_pieces(io.StringIO(written)) if several else iter([(json.loads(written), written)])
    except ValueError:
        raise NotReadable("no JSON") from None
    for said, raw in pieces:
        if not isinstance(said, dict):
            yield None, raw
            continue
        told = said.get("response", said)
        accounts = told.get("accounts") if isinstance(told, dict) else None
        ids = [one.get("account_id") for one in accounts or [] if isinstance(one, dict)]
        yield {"user_id": _text(said.get("user_id")) or customer, "accounts": ids}, raw


def _json_pieces(text: IO[str]) -> Iterator[tuple[Row | None, str]]:
    decoder, blank = json.JSONDecoder(), re.compile(r"[\s,]*")
    held = text.read(BLOCK).lstrip("\ufeff \t\r\n")
    if not held.startswith("["):
        raise NotReadable("no array")
    at = 1
    while True:
        at = blank.match(held, at).end()  # type: ignore[union-attr] # it matches nothing, too
        if held.startswith("]", at):
            return
        try:
            value, end = decoder.raw_decode(held, at)
            yield (value if isinstance(value, dict) else None), held[at:end]
            at = end
        except ValueError:
            more = text.read(BLOCK)
            if not more:
                raise NotReadable("the array does not end") from None
            held, at = held[at:] + more, 0


def _jsonl_pieces(text: IO[str]) -> Iterator[tuple[Row | None, str]]:
    for line in text:
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        yield (value if isinstance(value, dict) else None), line


def _csv_pieces(text: IO[str]) -> Iterator[tuple[Row | None, str]]:
    lines: list[str] = []

    def read() -> Iterator[str]:
        for line in text:
            lines.append(line)
            yield line

    csv.field_size_limit(max(csv.field_size_limit(), 16 * BLOCK))
    header: list[str] | None = None
    for record in csv.reader(read()):
        raw = "".join(lines)
        lines.clear()
        if header is None:
            header = [name.strip("\ufeff \t") for name in record]
            yield {}, raw
        else:
            yield (dict(zip(header, record, strict=True)) if len(record) == len(header) else None), raw


PIECES: Mapping[str, Callable[[IO[str]], Iterator[tuple[Row | None, str]]]] = {
    "json": _json_pieces,
    "jsonl": _jsonl_pieces,
    "csv": _csv_pieces,
}


# --- Parquet, landed or of the warehouse ---


def owned(batch: pa.RecordBatch, erased: Erased) -> pa.BooleanArray:
    """Which rows are an erased customer's, by ``user_id`` and ``account_id`` where the table has them."""
    theirs = pa.array(np.zeros(batch.num_rows, dtype=bool))
    for column, kind in OWNERS.items():
        if column in batch.schema.names:
            ids = batch.column(column).cast(pa.string())
            gone = [name for name in ids.unique().to_pylist() if erased.holds(kind, name)]
            if gone:
                theirs = pc.or_(theirs, pc.is_in(ids, value_set=pa.array(gone, pa.string())))
    return theirs


def without_rows(source: Any, out: Any, gone: Callable[[pa.RecordBatch], pa.BooleanArray]) -> None:
    """Copy a Parquet file (path or open file) into ``out`` without the rows that ``gone`` marks."""
    stored = pq.ParquetFile(source)
    with pq.ParquetWriter(out, stored.schema_arrow) as writer:
        for batch in stored.iter_batches():
            writer.write_batch(batch.filter(pc.invert(gone(batch))))


def _batches(stored: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    yield from stored.iter_batches(columns=[name for name in columns if name in stored.schema_arrow.names])
