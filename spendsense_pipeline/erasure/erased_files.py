"""Taking erased customers out of landed files, whatever their format, and keeping them out.

A landed file loses the rows that belong to them and keeps every other byte for byte (Parquet: value for value). Does
not belong here: whose a row is (``erased``).
"""

import csv
import gzip
import io
import itertools
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from spendsense_pipeline.erasure.erased import GOES, OWNERS, RELEASED, STAYS, Erased, Row
from spendsense_pipeline.ingest import declaration, landing, plaid
from spendsense_pipeline.ingest.declaration import DEFAULTS, Declaration
from spendsense_pipeline.ingest.files import BatchRefused

BLOCK = 1 << 20
PEOPLE = ("users", "accounts", "transactions", "liabilities")
"""The landed tables whose rows belong to somebody."""


class NotReadable(Exception):
    """A file whose rows nobody can tell apart."""


NOT_A_TABLE = (NotReadable, gzip.BadGzipFile, EOFError, zlib.error, UnicodeError, pa.ArrowInvalid, csv.Error)


@dataclass(frozen=True)
class _File:
    """A landed file about people; ``customer`` is whom the folder of a saved response names."""

    path: Path
    name: str
    format: str
    table: str
    declared: Declaration
    customer: str | None = None

    def fields(self, row: Row) -> Row:
        """A row of the file by the fields that its columns are declared to be, with what stands in for missing ones."""
        named = {self.declared.field_of(column): value for column, value in row.items()}
        return named | {name: one for name, one in self.declared.defaults.items() if not _text(named.get(name))}


def accounts_of(user_id: str, folders: Iterable[Path]) -> tuple[set[str], bool, set[str]]:
    """The accounts that landed files give to a customer, whether any row of the files is theirs, and the accounts that
    files of accounts, and saved responses, give to somebody else."""
    accounts: set[str] = set()
    of_others: set[str] = set()
    found = False
    for file in (file for folder in folders for file in _files(folder)[0]):
        with suppress(*NOT_A_TABLE):  # `scrub` names it
            for row in _rows(file):
                holder = _text(row.get("user_id"))
                named = {_text(account) for account in row.get("accounts", [row.get("account_id")])}
                if holder == user_id:
                    found = True
                    accounts |= named
                elif holder and (file.table == "accounts" or file.format == "plaid"):
                    of_others |= named
    return accounts - {""}, found, of_others - {""}


def scrub(folder: Path, erased: Erased, user_id: str | None = None) -> tuple[dict[str, int], list[str]]:
    """Take the erased out of a landed batch: how many of a file's rows were theirs, and the files nobody can read.

    Of saved responses the whole response goes. A line that is no row is taken out where it names ``user_id``. The batch
    keeps the identity that it arrived with: what the folder holds from now on is noted beside the batches, so that the
    same files landed again are recognised (``landing.content_hash``). Each file is replaced whole or, with nothing left
    in it, deleted; a run that dies half-way may be run again.
    """
    removed: dict[str, int] = {}
    lighter: dict[Path, Path | None] = {}
    files, unreadable = _files(folder)
    for file in files:
        try:
            counted = _counted(file, erased, user_id)
            if counted[GOES] or counted[RELEASED]:
                removed[file.name] = counted[GOES] + counted[RELEASED]
                # JSON Lines and responses without any are no table.
                emptied = counted[GOES] == counted.total() and file.format in ("jsonl", "plaid")
                lighter[file.path] = None if emptied else _written_without(file, erased, user_id)
        except NOT_A_TABLE:
            unreadable.append(file.name)
    if beside := _declaration_without(erased, folder, files):
        lighter[folder / declaration.NAME] = beside
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


def _files(folder: Path) -> tuple[list[_File], list[str]]:
    """Each file about people, also in a folder that never became a batch; and the declaration that cannot be read."""
    if plaid.marked(folder):
        with suppress(BatchRefused):
            plain = Declaration("")
            return [_File(one.path, one.name, "plaid", "", plain, one.folder) for one in plaid.discover(folder)], []
        return [], []
    unreadable = []
    try:
        declared = declaration.read(folder)
    except BatchRefused:
        declared, unreadable = {}, [declaration.NAME]
    files = []
    for path in sorted(folder.iterdir()):
        table, dot, suffix = path.name.partition(".")
        if table in PEOPLE and dot + suffix in landing.SUFFIXES and path.is_file() and not path.is_symlink():
            declaration_of = declared.get(table, Declaration(table))
            files.append(_File(path, path.name, landing.SUFFIXES[dot + suffix], table, declaration_of))
    return files, unreadable


def _declaration_without(erased: Erased, folder: Path, files: Iterable[_File]) -> Path | None:
    """The declaration without an erased customer or account that stands in for missing ones; None: it names none."""
    defaults = {name: value for file in files for name, value in file.declared.defaults.items()}
    keys = [key for key, name in DEFAULTS.items() if name in OWNERS and erased.holds(OWNERS[name], defaults.get(name))]
    if not keys:
        return None
    path = folder / declaration.NAME
    beside = path.with_name(f".{path.name}.erasing")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    named = re.compile(rf"""\s*["']?({"|".join(keys)})["']?\s*=""")
    beside.write_text("".join(line for line in lines if not named.match(line)), encoding="utf-8")
    return beside


def _text(value: Any) -> str:
    return "" if value is None else value.strip() if isinstance(value, str) else json.dumps(value, default=str)


# --- One file ---


def _rows(file: _File) -> Iterator[Row]:
    """The rows of a file, ids at least."""
    if file.format == "parquet":
        for batch in _ids_by_batch(file):
            yield from (file.fields(row) for row in batch.to_pylist())
    else:
        yield from (row for row, _ in _pieces(file) if row is not None)


def _counted(file: _File, erased: Erased, user_id: str | None) -> Counter[int]:
    """How many rows of a file meet which fate."""
    counted: Counter[int] = Counter()
    if file.format == "parquet":
        for batch in _ids_by_batch(file):
            counted.update(erased.fates(batch, file.table, file.declared).to_pylist())
    else:
        counted.update(_fate(file, row, raw, erased, user_id) for row, raw in _pieces(file))
    return counted


def _fate(file: _File, row: Row | None, raw: str, erased: Erased, user_id: str | None) -> int:
    if row is not None:
        return erased.fate(file.table, row)
    return GOES if user_id is not None and user_id in raw else STAYS


def _written_without(file: _File, erased: Erased, user_id: str | None) -> Path:
    """A hidden file beside the file, on disk, without the rows of the erased."""
    beside = file.path.with_name(f".{file.path.name}.erasing")
    with beside.open("wb") as stream:
        if file.format == "parquet":
            rewritten(file.path, stream, lambda batch: erased.released(batch, file.table, file.declared))
        else:
            packed = gzip.GzipFile("", "wb", fileobj=stream, mtime=0) if file.path.suffix == ".gz" else stream
            out = io.TextIOWrapper(packed, _encoding(file), errors="surrogateescape", newline="")
            kept: Iterable[str] = _kept(file, erased, user_id)
            if file.format in ("json", "plaid"):
                kept = itertools.chain(["["], (f"{',' * bool(n)}\n{raw}" for n, raw in enumerate(kept)), ["\n]\n"])
            out.writelines(kept)
            out.detach()
            if packed is not stream:
                packed.close()
        stream.flush()
        os.fsync(stream.fileno())
    return beside


def _kept(file: _File, erased: Erased, user_id: str | None) -> Iterator[str]:
    """The rows of a text file that stay, as written; those that are released, without the customer's id."""
    column = file.declared.column_of("user_id")
    header: list[str] = []
    for place, (row, raw) in enumerate(_pieces(file)):
        if file.format == "csv" and place == 0:
            (header,) = _records("".join(raw.splitlines(keepends=True)[file.declared.skip_lines :]), file.declared)
        fate = _fate(file, row, raw, erased, user_id)
        if fate == STAYS:
            yield raw
        elif fate == RELEASED:
            yield _without_id(raw, file, column, header)


def _without_id(raw: str, file: _File, column: str, header: Sequence[str]) -> str:
    end = raw[len(raw.rstrip("\r\n")) :]
    if file.format != "csv":
        record = json.loads(raw)
        return json.dumps(record | ({column: None} if column in record else {}), ensure_ascii=False) + end
    (values,) = _records(raw, file.declared)
    out = io.StringIO()
    named = dict(zip(header, values, strict=False)) | ({column: ""} if column in header else {})
    writer = csv.writer(out, delimiter=file.declared.delimiter, lineterminator=end)
    writer.writerow([*named.values(), *values[len(header) :]])
    return out.getvalue()


def _records(raw: str, declared: Declaration) -> list[list[str]]:
    read = csv.reader(io.StringIO(raw, newline=""), delimiter=declared.delimiter)
    return [[one.strip("\ufeff \t") for one in record] for record in read if record]


def _encoding(file: _File) -> str:
    return file.declared.encoding if file.format == "csv" else "utf-8"


def _pieces(file: _File) -> Iterator[tuple[Row | None, str]]:
    """The rows of a text file, each beside itself as written; None where it is no row. A CSV header is an empty row."""
    opened = gzip.open if file.path.suffix == ".gz" else open
    with opened(file.path, "rt", encoding=_encoding(file), errors="surrogateescape", newline="") as text:
        if file.format == "plaid":
            yield from _responses(text, file.customer)
        else:
            if file.format == "csv":
                pieces = _csv_pieces(text, file.declared)
            else:
                pieces = _json_pieces(text) if file.format == "json" else _jsonl_pieces(text)
            yield from ((row and file.fields(row), raw) for row, raw in pieces)


def _responses(text: IO[str], customer: str | None) -> Iterator[tuple[Row | None, str]]:
    """A saved response, or those of an array, each as a row of the customer it is about and of their accounts."""
    written = text.read()
    several = written.lstrip("\ufeff \t\r\n").startswith("[")
    try:
        pieces = _json_pieces(io.StringIO(written)) if several else iter([(json.loads(written), written)])
    except ValueError:
        raise NotReadable("no JSON") from None
    for saved, raw in pieces:
        if not isinstance(saved, dict):
            yield None, raw
            continue
        response = saved.get("response", saved)
        accounts = response.get("accounts") if isinstance(response, dict) else None
        ids = [account.get("account_id") for account in accounts or [] if isinstance(account, dict)]
        yield {"user_id": _text(saved.get("user_id")) or customer, "accounts": ids}, raw


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


def _csv_pieces(text: IO[str], declared: Declaration) -> Iterator[tuple[Row | None, str]]:
    lines = [text.readline() for _ in range(declared.skip_lines)]

    def read() -> Iterator[str]:
        for line in text:
            lines.append(line)
            yield line

    csv.field_size_limit(max(csv.field_size_limit(), 16 * BLOCK))
    header: list[str] | None = None
    for record in csv.reader(read(), delimiter=declared.delimiter):
        raw = "".join(lines)
        lines.clear()
        if header is None:
            header = [name.strip("\ufeff \t") for name in record]
            yield {}, raw
        else:
            yield (dict(zip(header, record, strict=True)) if len(record) == len(header) else None), raw


def rewritten(source: Any, out: Any, lighter: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
    """Copy a Parquet file (path or open file) into ``out``, each batch of rows as ``lighter`` leaves it."""
    stored = pq.ParquetFile(source)
    with pq.ParquetWriter(out, stored.schema_arrow) as writer:
        for batch in stored.iter_batches():
            writer.write_batch(lighter(batch))


def _ids_by_batch(file: _File) -> Iterator[pa.RecordBatch]:
    stored = pq.ParquetFile(file.path)
    columns = [file.declared.column_of(name) for name in OWNERS]
    yield from stored.iter_batches(columns=[name for name in columns if name in stored.schema_arrow.names])
