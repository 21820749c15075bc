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


def accounts_of(user_id: str, folders: Iterable[Path]) -> tuple[set[str], bool]:
    """The accounts that landed files give to a customer, and whether any row of the files is theirs."""
    folders = list(folders)
    accounts: set[str] = set()
    found = False
    for path in _files(folders):
        try:
            for row in _rows(path):
                if _text(row.get("user_id")) == user_id:
                    found = True
                    accounts.add(_text(row.get("account_id")))
        except NOT_A_TABLE:
            continue  # `scrub` names it
    for _, parts in (one for folder in folders if plaid.marked(folder) for one in _responses(folder)):
        for owner, part in parts:
            if owner == user_id:
                found = True
                told = (part.get("response") or part).get("accounts") or []
                accounts |= {_text(one.get("account_id")) for one in told if isinstance(one, dict)}
    return accounts - {""}, found


def scrub(folder: Path, erased: Erased, user_id: str | None = None) -> tuple[dict[str, int], list[str]]:
    """Take the rows of the erased out of a landed batch: rows taken out by file, and the files nobody can read.

    A line that is no row is taken out where it names ``user_id``. The batch keeps the identity that it arrived with:
    what the folder holds from now on is noted beside the batches, so that the same files landed again are recognised
    (``landing.content_hash``). Each file is replaced whole, and a run that dies half-way may be run again.
    """
    removed: dict[str, int] = {}
    unreadable: list[str] = []
    lighter: dict[Path, Path] = {}
    for response, parts in _responses(folder) if plaid.marked(folder) else ():
        # A response is one customer's, whole; a file of none is an empty array.
        kept = [part for owner, part in parts if not erased.holds("user", owner)]
        if len(kept) < len(parts):
            removed[response.name] = len(parts) - len(kept)
            lighter[response.path] = response.path.with_name(f".{response.path.name}.erasing")
            lighter[response.path].write_text(json.dumps(kept), encoding="utf-8")
    for path in _files([folder]):
        try:
            if count := _theirs(path, erased, user_id):
                removed[path.name], lighter[path] = count, _written_without(path, erased, user_id)
        except NOT_A_TABLE:
            unreadable.append(path.name)
    if lighter:
        for beside in lighter.values():
            with beside.open("rb") as written:
                os.fsync(written.fileno())
        landing.note_erasure(folder, lighter)
        for path, beside in lighter.items():
            beside.replace(path)
    return removed, unreadable


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    """Each file about people, also in folders that never became a batch."""
    for folder in folders:
        for path in sorted(folder.iterdir()):
            table, dot, suffix = path.name.partition(".")
            if table in PEOPLE and dot + suffix in landing.SUFFIXES and path.is_file() and not path.is_symlink():
                yield path


def _responses(folder: Path) -> Iterator[tuple[plaid.Response, list[tuple[str | None, Any]]]]:
    """Plaid's responses in a batch: what each file holds, and whose each part of it is.

    Unreadable ones are passed over, as is a batch that never was one.
    """
    try:
        responses = plaid.discover(folder)
    except landing.BatchRefused:
        return
    for response in responses:
        try:
            said = json.loads(response.path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        except ValueError:
            continue  # refused when it arrived: no table holds anything of it
        parts = [part for part in (said if isinstance(said, list) else [said]) if isinstance(part, dict)]
        yield response, [(_text(part.get("user_id")) or response.folder, part) for part in parts]


def _text(value: Any) -> str:
    return "" if value is None else value.strip() if isinstance(value, str) else json.dumps(value, default=str)


# --- One file ---


def _rows(path: Path) -> Iterator[Row]:
    """The rows of a file, ids at least."""
    if path.suffix == ".parquet":
        for batch in _batches(pq.ParquetFile(path), [*OWNERS]):
            yield from batch.to_pylist()
    else:
        yield from (row for row, _ in _pieces(path) if row is not None)


def _theirs(path: Path, erased: Erased, user_id: str | None) -> int:
    """How many rows of a file are to go."""
    if path.suffix == ".parquet":
        return sum(pc.sum(owned(batch, erased)).as_py() or 0 for batch in _batches(pq.ParquetFile(path), [*OWNERS]))
    return sum(_gone(row, raw, erased, user_id) for row, raw in _pieces(path))


def _gone(row: Row | None, raw: str, erased: Erased, user_id: str | None) -> bool:
    return erased.owns(row) if row is not None else user_id is not None and user_id in raw


def _written_without(path: Path, erased: Erased, user_id: str | None) -> Path:
    """A hidden file beside the file, without the rows of the erased."""
    beside = path.with_name(f".{path.name}.erasing")
    if path.suffix == ".parquet":
        with beside.open("wb") as out:
            without_rows(path, out, lambda batch: owned(batch, erased))
        return beside
    kept: Iterable[str] = (raw for row, raw in _pieces(path) if not _gone(row, raw, erased, user_id))
    if landing.SUFFIXES["".join(path.suffixes)] == "json":
        kept = itertools.chain(["["], (f"{',' if place else ''}\n{raw}" for place, raw in enumerate(kept)), ["\n]\n"])
    with beside.open("wb") as stream:
        packed = gzip.GzipFile("", "wb", fileobj=stream, mtime=0) if path.suffix == ".gz" else stream
        with io.TextIOWrapper(packed, "utf-8", errors="surrogateescape", newline="") as out:
            out.writelines(kept)
    return beside


def _pieces(path: Path) -> Iterator[tuple[Row | None, str]]:
    """The rows of a text file, each beside itself as written; None where it is no row. A CSV header is an empty row."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", errors="surrogateescape", newline="") as text:
        yield from PIECES[landing.SUFFIXES["".join(path.suffixes)]](text)


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
