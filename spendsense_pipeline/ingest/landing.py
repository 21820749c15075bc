"""From a folder of files to raw rows: what is taken, what is refused, and each field as it was written.

A batch is refused as a whole (`BatchRefused`) when one of its files cannot be read as what its name says, since
nobody can then tell what it held. A single bad row refuses nothing: it is read with what could be read of it, and
`canonical.py` judges it. What does not belong here: whether a value makes sense, and what becomes of it.

Files are read by DuckDB as a stream, so memory does not grow with them; names and sizes are Python's.
"""

import codecs
import csv
import dataclasses
import datetime as dt
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.ingest import declaration, plaid
from spendsense_pipeline.ingest.fields import FIELDS, TABLES, names
from spendsense_pipeline.ingest.files import (
    BLOCK,
    COMPLETE,
    PLAID,
    BatchRefused,
    FileSurvey,
    LandedFile,
    about_the_file,
    blocks,
    damage,
    entries,
    erasure_note,
    literal,
    nearest,
    pattern,
    quoted,
    readable,
)

SUFFIXES = {
    ".json": "json",
    ".json.gz": "json",
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".parquet": "parquet",
}
ARRIVING = ".arriving-"  # begins the name of a folder that is being copied into the landing zone
CHANGING = "changed_while_read"
REGISTERED_OTHERWISE = ("batch_changed", "invalid_batch")
"""What the governance database refuses a batch for."""
BATCH_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
NAMED = 1_000  # field names that a report counts: a file that uses ids as names must not fill the memory
UNCHOSEN = ".tmp"  # where DuckDB would spill in the working directory, unless it is given a folder
ROW_NUMBER = "file_row_number"
DIGITS = 38
"""Of a decimal, at most: the engine reads wider ones as other numbers."""
NAMES_ONCE = "len(json_keys(json)) IS NOT DISTINCT FROM len(list_distinct(json_keys(json)))"
"""Whether an object has each name once; of two values nobody can tell which is meant."""
_OFFSET = re.compile(r"Z|(?:UTC|GMT)?([+-])(0[0-9]|1[0-4]):?([0-5][0-9])")
"""A zone that is a distance from UTC, as Arrow writes it; the engine knows zones by their names alone."""
_KNOWN_ZONES = "SELECT count(*) FROM pg_timezone_names()"
SURPLUS = 16  # columns beyond the header that a CSV row may have and still be told apart as a bad row


# --- Which files ---


def discover(batch_dir: Path) -> list[LandedFile]:
    """The table files of a batch, by name.

    Refused: a folder that is none or cannot be read, a symbolic link in it, a name that is nearly a table's, a
    format that is not read, no table at all. Other names are left alone, see `strangers`.
    """
    found: list[LandedFile] = []
    paths = entries(batch_dir)
    declared = declaration.read(batch_dir)
    for path in paths:
        stem, suffix = _split(path.name)
        if stem in FIELDS:
            if suffix not in SUFFIXES:
                raise BatchRefused(f"{path.name}: this format is not read; use one of {', '.join(SUFFIXES)}")
            file = readable(path, path.name)
            found.append(LandedFile(stem, file, SUFFIXES[suffix], path.name, declared[stem]))
        elif near := nearest(stem, TABLES):
            raise BatchRefused(f"{path.name}: no table of this name; did you mean {near}?")
    if not found and not erasure_note(batch_dir).is_file():
        raise BatchRefused(f"{batch_dir.name}: no table in this folder; expected e.g. transactions.jsonl")
    return found


def strangers(batch_dir: Path) -> list[str]:
    """Names in the folder that belong to no table and are left out (``truth.json``, notes, folders)."""
    if plaid.marked(batch_dir):
        return []
    return [
        path.name for path in entries(batch_dir) if _split(path.name)[0] not in FIELDS and path.name != declaration.NAME
    ]


def _split(name: str) -> tuple[str, str]:
    stem, dot, rest = name.partition(".")
    return stem, dot + rest


# --- Into the landing zone ---


def content_hash(batch_dir: Path) -> str:
    """sha256 over names, sizes and bytes of the batch's files: the same whatever else lies in the folder.

    A batch that lost rows to an erasure keeps the hash that it arrived with.
    """
    return _identity(batch_dir, _hash(_named(batch_dir, plaid.marked(batch_dir))))


def stamps(batch_dir: Path) -> dict[str, tuple[int, int]]:
    """Size in bytes and time of the last change in nanoseconds of each file of a batch, by its name in it."""
    found = {name: path.stat() for name, path in _named(batch_dir, plaid.marked(batch_dir))}
    return {name: (one.st_size, one.st_mtime_ns) for name, one in found.items()}


def require_unchanged(batch_dir: Path, seen: Mapping[str, tuple[int, int]]) -> None:
    """Refuse a batch whose files are no longer those that `stamps` saw."""
    found = stamps(batch_dir)
    if changed := sorted(name for name in {*found, *seen} if found.get(name) != seen.get(name)):
        raise BatchRefused(
            f"{', '.join(changed)}: changed while the batch was read; put `{COMPLETE}` into a folder once all is there",
            code=CHANGING,
        )


def is_final(error: SpendSenseError) -> bool:
    """Whether the batch can never succeed as it lies: it is refused, and not for changing while it was read."""
    return (isinstance(error, BatchRefused) or error.code in REGISTERED_OTHERWISE) and error.code != CHANGING


def note_erasure(batch_dir: Path, lighter: Mapping[Path, Path | None]) -> None:
    """Note that the batch will be the same batch once each file of ``lighter`` is replaced by the other, or gone."""
    try:
        files = _named(batch_dir, plaid.marked(batch_dir))
    except BatchRefused:
        return  # it never was a batch
    left = [(name, other) for name, path in files if (other := lighter.get(path, path)) is not None]
    noted = _noted(batch_dir)
    note = {"delivered": noted["delivered"] or _hash(files), "since": sorted({*noted["since"], _hash(left)})}
    path = erasure_note(batch_dir)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(note), encoding="utf-8")
    temporary.replace(path)


def _identity(batch_dir: Path, found: str) -> str:
    """The hash that a batch arrived with, from the one found now."""
    noted = _noted(batch_dir)
    arrived_as: str = noted["delivered"] if found in noted["since"] else found
    return arrived_as


def _noted(batch_dir: Path) -> dict[str, Any]:
    path = erasure_note(batch_dir)
    noted: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"delivered": None, "since": []}
    return noted


def _named(batch_dir: Path, responses: bool) -> list[tuple[str, Path]]:
    """The files of a batch by their names in it: of Plaid's responses, or of tables and what is declared of them."""
    said = batch_dir / declaration.NAME
    if responses:
        if said.is_file():
            raise BatchRefused(f"{declaration.NAME}: there is nothing to declare about Plaid's responses; take it away")
        return [(one.name, one.path) for one in plaid.discover(batch_dir)]
    declared = [(said.name, readable(said, said.name))] if said.is_file() else []
    return [*declared, *((one.name, one.path) for one in discover(batch_dir))]


def _hash(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(f"{name}\n{path.stat().st_size}\n".encode())
        for block in blocks(path):
            digest.update(block)
    return digest.hexdigest()


def land(
    source: Path,
    landing: Path,
    batch_id: str | None,
    *,
    responses: bool = False,
    ids: str | None = None,
    name: str | None = None,
) -> Path:
    """Copy the files of ``source`` to ``landing/<batch>/``, whole or not at all, and return that folder.

    ``responses``: the folder holds Plaid's responses, not tables. ``ids``: what the batch is to declare of its
    transactions' ids. ``batch_id`` defaults to the folder's ``name`` and the beginning of its content hash. The same id
    with the same content is a no-op, with other content refused. A folder that already lies in the landing zone stays
    there.
    """
    with tempfile.TemporaryDirectory() as made:
        said = Path(made) / declaration.NAME
        if ids is not None:
            said.write_bytes(declaration.with_ids(source, ids))
        return _landed(source, landing, batch_id, responses, said if ids is not None else None, name)


def _landed(
    source: Path, landing: Path, batch_id: str | None, responses: bool, said: Path | None, name: str | None
) -> Path:
    resident = source.resolve().parent == landing.resolve()
    if resident and responses and not plaid.marked(source):
        raise BatchRefused(f"{source.name}: lies in the landing zone already; put an empty file {PLAID} into it")
    responses = responses or plaid.marked(source)
    files = _named(source, responses)
    if said is not None:
        if responses:
            raise BatchRefused("Plaid's responses have ids of their own", code="ids_of_their_own")
        if resident and declaration.read(source)["transactions"].ids is None:
            raise BatchRefused(
                f'{source.name}: lies in the landing zone already; say ids = "content" in its {said.name}'
            )
        files = [(said.name, said), *(file for file in files if file[0] != said.name)]
    digest = _identity(source, _hash(files))
    if batch_id is None:
        if resident:
            batch_id = source.resolve().name
        else:
            slug = re.sub(r"[^A-Za-z0-9_-]+", "-", name or source.resolve().name).strip("-")[:80] or "batch"
            batch_id = f"{slug}-{digest[:8]}"
    if not BATCH_ID.fullmatch(batch_id):
        raise BatchRefused(
            f"batch id {batch_id[:100]!r}: use 1 to 100 of letters, digits, '.', '_', '-', not beginning with "
            "a dot and without '..'",
            code="bad_batch_id",
        )
    target = landing / batch_id
    if target.exists():
        return _same(target, digest)
    landing.mkdir(parents=True, exist_ok=True)
    # A hidden sibling on the same disk: whoever watches the landing zone sees the batch whole or not at all.
    arriving = Path(tempfile.mkdtemp(prefix=ARRIVING, dir=landing))
    try:
        if responses:
            (arriving / PLAID).touch()
        for file, path in files:
            (arriving / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, arriving / file)
        if content_hash(arriving) != digest:
            raise BatchRefused(f"{source.name}: the files changed while they were copied; try again")
        arriving.chmod(0o755)  # mkdtemp's 0700 would hide the batch from other accounts
        made = source.stat()  # older than its arrival, as is what is moved into place
        os.utime(arriving, ns=(made.st_atime_ns, made.st_mtime_ns))
        try:
            arriving.rename(target)
        except OSError:
            if not target.exists():
                raise
            return _same(target, digest)  # someone landed the same id meanwhile
    finally:
        shutil.rmtree(arriving, ignore_errors=True)
    return target


def clear_arriving(landing: Path, before: dt.datetime) -> None:
    """Take away what killed `land`s left half copied: what has not changed since ``before``."""
    for left in landing.glob(f"{ARRIVING}*"):
        if last_change(left) < before.timestamp() * 1e9:
            shutil.rmtree(left)


def _same(target: Path, digest: str) -> Path:
    if content_hash(target) != digest:
        raise BatchRefused(
            f"batch {target.name} has already landed with other content; choose another id", code="batch_exists"
        )
    return target


# --- What has arrived ---


class Arrivals(NamedTuple):
    """Folders of the landing zone by name, ascending: those wholly there, and those that wait for ``_SUCCESS``."""

    complete: list[str]
    unmarked: list[str]


def arrivals(landing_zone: Path, now: dt.datetime, settled: dt.timedelta) -> Arrivals:
    """What of the landing zone has wholly arrived; nothing where there is no landing zone.

    Complete is what holds a file ``_SUCCESS``, and what was moved into place and nothing in changed for the time
    ``settled`` since. A folder that is copied file by file may stall at any point, so however quiet, it waits for its
    mark. One that changes while it is looked at, holds a link to nothing, or cannot be looked through is neither, and
    keeps no other from being found. Names that are no batch id (a leading dot is somebody's work in progress) and links
    to folders are passed over.
    """
    found = Arrivals([], [])
    listed = os.listdir(landing_zone) if landing_zone.is_dir() else []
    for name in sorted(one for one in listed if BATCH_ID.fullmatch(one)):
        folder = landing_zone / name
        try:
            if not stat.S_ISDIR(folder.lstat().st_mode):
                continue
            changes = list(_changes(folder))
            marked = COMPLETE in os.listdir(folder) and stat.S_ISREG((folder / COMPLETE).lstat().st_mode)
        except OSError:
            continue  # the next look will tell
        if marked:
            found.complete.append(name)
        elif not _moved(folder, changes):
            found.unmarked.append(name)
        elif max(changes) <= (now - settled).timestamp() * 1e9:
            found.complete.append(name)
    return found


def last_change(batch_dir: Path) -> int:
    """When a batch or anything in it last changed, in nanoseconds since 1970; 0 if it cannot be looked through."""
    try:
        return max(_changes(batch_dir))
    except OSError:
        return 0


def _moved(folder: Path, changes: Sequence[int]) -> bool:
    """Whether the folder came into place with all that is in it; in doubt it did not.

    A rename, and a copy that keeps times (``cp -a``, ``mv`` from another disk, ``tar``), touch the folder itself last
    and leave it older than its last change of status. A copy file by file touches a file last, or makes an entry, which
    sets both times of the folder to the same moment.
    """
    own = folder.lstat()
    return len(changes) > 1 and own.st_mtime_ns != own.st_ctime_ns and max(changes) == own.st_ctime_ns


def _changes(path: Path) -> Iterator[int]:
    """When this and all beneath it last changed, in nanoseconds since 1970. Raises OSError for a link to nothing."""
    found = path.lstat()
    yield found.st_ctime_ns
    if stat.S_ISLNK(found.st_mode):
        path.stat()
    elif stat.S_ISDIR(found.st_mode):
        for one in os.listdir(path):
            yield from _changes(path / one)


# --- A first look ---


def survey(con: Backend, batch_dir: Path, tables: Iterable[str] = TABLES) -> list[FileSurvey]:
    """Read through the files of these tables once, and refuse the batch if one cannot be read as it is named.

    Also refused: a required field that no row has while an unknown one is spelt nearly so. Rows that cannot be
    read within a readable file are counted with the others; `canonical.py` rejects them one by one.
    """
    if plaid.marked(batch_dir):
        return plaid.survey(con, batch_dir, tuple(tables))
    wanted = set(tables)
    return [_survey(con, landed) for landed in discover(batch_dir) if landed.table in wanted]


def _survey(con: Backend, landed: LandedFile) -> FileSurvey:
    try:
        return _surveyed(con, landed)
    except BatchRefused:
        if landed.format != "csv" or not _mixes_line_ends(landed):
            raise
    # The engine takes one kind alone, not even another within quotes, as spreadsheets write it.
    return _surveyed(con, _in_utf8(con, landed, one_line_end=True))


def _mixes_line_ends(landed: LandedFile) -> bool:
    decoder = codecs.getincrementaldecoder(_declared(landed).encoding)("replace")
    seen = io.IncrementalNewlineDecoder(decoder, translate=False)
    try:
        with _opened(landed) as stream:
            while block := stream.read(BLOCK):
                seen.decode(block)
    except (UnicodeError, EOFError, zlib.error, gzip.BadGzipFile):  # which is what the file was refused for
        return False
    return isinstance(seen.newlines, tuple)


def _surveyed(con: Backend, landed: LandedFile) -> FileSurvey:
    name, delivered = landed.name, landed
    if landed.path.stat().st_size == 0:
        raise BatchRefused(f"{name}: the file is empty; a table without rows is [] or a header alone")
    if landed.compressed:
        _check_gzip(landed)
    try:
        landed = _in_utf8(con, landed)
        if landed.format == "parquet":
            rows, present = _survey_parquet(con, landed)
        elif landed.format == "csv":
            rows, present = _survey_csv(con, landed)
        else:
            rows, present = _survey_json(con, landed)
    except (duckdb.Error, pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if not about_the_file(error):
            raise
        encoding = ""
        if landed.format == "csv" and re.search(r"unicode|not utf-8", str(error), re.IGNORECASE):
            encoding = f"; it is not UTF-8: write it so, or say which encoding it has in {declaration.NAME}"
        raise BatchRefused(f"{name}: cannot be read as {landed.format}{damage(error)}{encoding}") from None
    _check_declared(con, landed, present)
    declared = _declared(landed)
    present = {declared.field_of(one): count for one, count in present.items()}
    known = declaration.parts(declared)
    unknown = {one: count for one, count in present.items() if one not in known}
    meant = {one: near for one in unknown if (near := nearest(one, (k for k in known if k not in present)))}
    for required in (f.name for f in FIELDS[landed.table] if f.required):
        misspelt = next((one for one, near in meant.items() if near == required), None)
        if rows and required not in present and misspelt is not None:
            raise BatchRefused(
                f"{name}: no row has the field {required}, but there is {misspelt[:100]!r}; did you mean {required}?"
            )
    return FileSurvey(delivered, rows, unknown, meant)


def _declared(landed: LandedFile) -> declaration.Declaration:
    return landed.declared or declaration.Declaration(landed.table)


def _in_utf8(con: Backend, landed: LandedFile, *, one_line_end: bool = False) -> LandedFile:
    """The file as the engine reads it: one in another encoding, or where all lines are to end the same way, is written
    anew, for as long as the engine is there."""
    declared = _declared(landed)
    encoding = declared.encoding
    if landed.format != "csv" or (encoding == "utf-8" and not one_line_end):
        return landed
    ((scratch,),) = con.raw_sql("SELECT current_setting('temp_directory')").fetchall()
    if scratch in ("", UNCHOSEN):
        scratch = None
    else:
        Path(scratch).mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="aside-", dir=scratch)
    weakref.finalize(con, shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "table.csv"
    read, decoder = 0, io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=one_line_end)
    with _opened(landed) as stream, path.open("w", encoding="utf-8", newline="") as out:
        while block := stream.read(BLOCK):
            try:
                out.write(decoder.decode(block))
            except UnicodeError as error:  # UTF-16 without its mark has no place
                raise _not_encoded(landed, read + getattr(error, "start", 0)) from None
            read += len(block)
        try:
            out.write(decoder.decode(b"", final=True))
        except UnicodeError:
            raise _not_encoded(landed, read) from None
    return dataclasses.replace(landed, path=path, declared=dataclasses.replace(declared, encoding="utf-8"))


def _not_encoded(landed: LandedFile, place: int) -> BatchRefused:
    return BatchRefused(
        f"{landed.name}: byte {place} is none of {_declared(landed).encoding}; mend encoding in {declaration.NAME}"
    )


def _check_declared(con: Backend, landed: LandedFile, present: Mapping[str, int]) -> None:
    """Refuse a file that contradicts what is declared of it: a column that is not there, values of another form.

    It does where a value fits the contrary form alone (day and month, or the separators, exchanged), and where more
    values do not fit than do.
    """
    declared, name = _declared(landed), landed.name
    for column, meant in declared.columns.items():
        if present and column not in present:
            there = ", ".join(repr(one[:100]) for one in present)
            raise BatchRefused(
                f"{name}: has no column {column!r}, which {declaration.NAME} says is {meant}; it has {there}"
            )
    checked = _written_as_text(con, landed, declaration.dated(declared))
    checked += declaration.numbers(declared) if landed.format == "csv" else []
    for one in (one for one in checked if declared.column_of(one) in present):
        fits, contrary, right = declaration.misfits(declared, one)
        text = f"nullif(trim({quoted(one)}), '')"
        found = con.raw_sql(
            f"SELECT count(*) FILTER (WHERE fits), count(*) FILTER (WHERE NOT fits), min(row) FILTER (WHERE NOT fits), "
            f"arg_min(text, row) FILTER (WHERE NOT fits), min(row) FILTER (WHERE NOT fits AND contrary), "
            f"arg_min(text, row) FILTER (WHERE NOT fits AND contrary) FROM (SELECT row, {text} AS text, "
            f"coalesce({fits}, false) AS fits, coalesce({contrary}, false) AS contrary "
            f"FROM ({_texts(con, landed)}) WHERE {text} IS NOT NULL)"
        ).fetchone()
        fitting, misfitting, row, value, contrary_row, contrary_value = found
        if contrary_row is not None or misfitting > fitting:
            row, value = (row, value) if contrary_row is None else (contrary_row, contrary_value)
            shown = repr(value[:100]) if landed.table != "users" else "***"  # a shifted row may hold a name
            raise BatchRefused(
                f"{name}: row {row}, {one}: {shown} is not what {declaration.NAME} declares, {right}; mend the "
                "declaration, or the file"
            )


def _check_gzip(landed: LandedFile) -> None:
    # The engine takes a truncated gzip for the end of the file and would lose the rest without a word.
    read = 0
    try:
        with gzip.open(landed.path) as stream:
            while block := stream.read(BLOCK):
                read += len(block)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BatchRefused(
            f"{landed.name}: not a whole gzip file, damaged after {read} unpacked bytes; deliver it again"
        ) from None


def _survey_json(con: Backend, landed: LandedFile) -> tuple[int, dict[str, int]]:
    name, first = landed.name, _beginning(landed)
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BatchRefused(f"{name}: UTF-16; write it as UTF-8")
    if landed.format == "jsonl" and first.startswith(b"\xef\xbb\xbf"):
        raise BatchRefused(f"{name}: begins with a byte-order mark; write it as UTF-8 without one")
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise BatchRefused(f"{name}: the file is empty; a table without rows is []")
    if landed.format == "json" and not text.startswith(b"["):
        raise BatchRefused(
            f"{name}: begins with {chr(text[0])!r} where an array '[' of objects should be; one object a line is .jsonl"
        )
    if landed.format == "jsonl" and text.startswith(b"["):
        raise BatchRefused(f"{name}: begins with '[' where one object a line should be; an array is .json")
    rows, objects = _one(
        con, f"SELECT count(*), count(*) FILTER (WHERE json_type(json) = 'OBJECT') FROM {_json_objects(landed)}"
    )
    if rows and not objects:
        raise BatchRefused(f"{name}: none of its {rows} rows is a JSON object")
    present = con.raw_sql(
        f"SELECT name, count(*) FROM (SELECT unnest(json_keys(json)) AS name FROM {_json_objects(landed)}) "
        f"GROUP BY name ORDER BY count(*) DESC, name LIMIT {NAMED}"
    ).fetchall()
    return rows, dict(present)


def _survey_csv(con: Backend, landed: LandedFile) -> tuple[int, dict[str, int]]:
    header = _header(landed)
    # Only values that are asked for are read, and a broken one is found only where it is read.
    counted = ", ".join(f"count({quoted(_column(i))})" for i in range(len(header)))
    (rows, *_) = _one(con, f"SELECT count(*), {counted} FROM {_csv(landed, header)}")
    # The engine ends the file at a quote that is never closed, and says nothing of the rows behind it.
    with _opened(landed) as stream:
        if sum(block.count(b'"') for block in iter(lambda: stream.read(BLOCK), b"")) % 2:
            raise BatchRefused(
                f"{landed.name}: a quote is not closed, probably on row {rows}; quote the whole value and "
                "double each quote within it"
            )
    return rows, dict.fromkeys(header, rows)


def _survey_parquet(con: Backend, landed: LandedFile) -> tuple[int, dict[str, int]]:
    schema = pq.read_schema(landed.path)
    called = [one.lower() for one in schema.names]  # as the engine tells them apart
    if repeated := sorted({one for one in called if called.count(one) > 1}):
        raise BatchRefused(f"{landed.name}: two columns are called {repeated[0][:100]!r}, capitals aside")
    if ROW_NUMBER in called:
        raise BatchRefused(
            f"{landed.name}: a column is called {ROW_NUMBER!r}, which the reader counts rows by; rename it"
        )
    for field in schema:
        if pa.types.is_decimal(field.type) and field.type.precision > DIGITS:
            raise BatchRefused(
                f"{landed.name}: the column {field.name[:100]!r} holds decimals of {field.type.precision} digits; "
                f"write at most {DIGITS}, or floats"
            )
    for column, zone in _zones(landed).items():
        if not _OFFSET.fullmatch(zone) and not _one(con, f"{_KNOWN_ZONES} WHERE name = {literal(zone)}")[0]:
            raise BatchRefused(
                f"{landed.name}: the column {column[:100]!r} is in the time zone {zone[:100]!r}, which nobody knows; "
                "write one as America/New_York, or an offset as -05:00"
            )
    columns = _parquet_columns(con, landed)
    # A damaged page shows only where its values are looked at, which counting them does not: here, and not half-way
    # through the table.
    known = {_declared(landed).column_of(one) for one in declaration.parts(_declared(landed))}
    looked_at = [f"bit_xor(hash({quoted(one)}))" for one in columns if one in known]
    (rows, *_) = _one(con, f"SELECT count(*), {', '.join(looked_at) or '0'} FROM {_parquet(landed)}")
    return rows, dict.fromkeys(columns, rows)


def _opened(landed: LandedFile) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(landed.path) if landed.compressed else landed.path.open("rb")


def _beginning(landed: LandedFile) -> bytes:
    with _opened(landed) as stream:
        return stream.read(4096)


def _header(landed: LandedFile) -> list[str]:
    """The field names in the first record of a CSV file."""
    name, declared = landed.name, _declared(landed)
    try:
        # Bytes are decoded ahead of the line: a bad one further down is the engine's to find.
        with io.TextIOWrapper(_opened(landed), "utf-8-sig", errors="replace", newline="") as stream:
            for _ in range(declared.skip_lines):
                stream.readline()
            read = csv.reader(stream, strict=True, delimiter=declared.delimiter)
            header = [one.strip() for one in next(read, [])]
    except csv.Error:
        raise BatchRefused(f"{name}: the header is no line of names separated by {declared.delimiter!r}") from None
    while header and not header[-1] and declared.columns:
        header.pop()  # a separator at the end of each line, as some banks write
    if any("\N{REPLACEMENT CHARACTER}" in one for one in header):
        raise BatchRefused(
            f"{name}: the header cannot be read; write the file as UTF-8, or say which encoding it has in "
            f"{declaration.NAME}"
        )
    if len(header) == 1 and (other := re.search(r"[;,\t|]", header[0])):
        raise BatchRefused(
            f"{name}: fields are separated by {other.group()!r}; separate them by {declared.delimiter!r}, or say "
            f"delimiter in {declaration.NAME}"
        )
    if repeated := sorted({one for one in header if header.count(one) > 1} - ({""} if declared.columns else set())):
        raise BatchRefused(f"{name}: the header names {repeated[0][:100]!r} twice")
    if not {declared.field_of(one) for one in header} & set(declaration.parts(declared)):
        raise BatchRefused(f"{name}: the first line names no field of {landed.table}; it should be a header")
    return header


# --- Raw rows ---


def read_raw(
    con: Backend,
    batch_dir: Path,
    table: str,
    *,
    batch_id: str,
    arrival: int,
    arrived_on: dt.date,
    surveyed: Sequence[FileSurvey] | None = None,
) -> ibis.Table:
    """The rows of one table in a batch, as written: contract ``raw_…`` and every known field as text.

    A field that a file or a row lacks is null; a row that is no record at all is null in every field. ``row``
    counts from 1 within the file; ``page`` orders the pages of Plaid's responses and is 0 elsewhere. Pass what
    `survey` found to save a second look; without it the look is taken here, so a file that cannot be read always
    refuses the batch before a row is stored.
    """
    if surveyed is None:
        surveyed = survey(con, batch_dir, [table])
    files = [one.file for one in surveyed if one.file.table == table]
    if files and plaid.marked(batch_dir):
        rows = plaid.rows(batch_dir, table)
        return con.sql(f"SELECT {_stamp(batch_id, arrival, arrived_on)}, * FROM ({rows})")
    return read_files(con, files, table, batch_id=batch_id, arrival=arrival, arrived_on=arrived_on)


def read_files(
    con: Backend, files: Sequence[LandedFile], table: str, *, batch_id: str, arrival: int, arrived_on: dt.date
) -> ibis.Table:
    """`read_raw` without the first look, for files that are known to be whole."""
    parts = [_rows(con, one) for one in files]
    if not parts:
        empty = ", ".join(f"CAST(NULL AS VARCHAR) AS {quoted(one)}" for one in names(table))
        parts = [f"SELECT CAST('' AS VARCHAR) AS file, CAST(1 AS BIGINT) AS row, {empty} WHERE false"]
    return con.sql(
        f"SELECT {_stamp(batch_id, arrival, arrived_on)}, CAST(0 AS BIGINT) AS page, * "
        f"FROM ({' UNION ALL '.join(parts)})"
    )


def _stamp(batch_id: str, arrival: int, arrived_on: dt.date) -> str:
    return (
        f"{literal(batch_id)} AS batch, CAST({int(arrival)} AS BIGINT) AS arrival, "
        f"CAST({literal(arrived_on.isoformat())} AS DATE) AS arrived_on"
    )


def _rows(con: Backend, landed: LandedFile) -> str:
    """SQL for file, row and the known fields of one file, as they are declared to be meant."""
    landed = _in_utf8(con, landed)
    declared = _declared(landed)
    if declared.plain:
        return _texts(con, landed)
    dates = _written_as_text(con, landed, declaration.dated(declared))
    return declaration.converted(_texts(con, landed), declared, texts=landed.format == "csv", dates=dates)


def _written_as_text(con: Backend, landed: LandedFile, fields: Sequence[str]) -> list[str]:
    """Of these fields those that the file holds as text, and not as days and times of a type."""
    if landed.format != "parquet" or not fields:
        return list(fields)
    columns = _parquet_columns(con, landed)
    return [one for one in fields if columns.get(_declared(landed).column_of(one)) == "VARCHAR"]


def _texts(con: Backend, landed: LandedFile) -> str:
    """SQL for file, row and the known fields of one file (`declaration.parts`), as they are written."""
    declared = _declared(landed)
    known, file = declaration.parts(declared), f"{literal(landed.name)} AS file"
    if landed.format == "parquet":
        columns = _parquet_columns(con, landed)
        inside = {one: declared.column_of(one) for one in known}
        zones = _zones(landed)
        shown = ", ".join(
            f"{_written(inside[one], columns.get(inside[one]), zones.get(inside[one]))} AS {quoted(one)}"
            for one in known
        )
        return f"SELECT {file}, file_row_number + 1 AS row, {shown} FROM {_parquet(landed)}"
    if landed.format == "csv":
        header = [declared.field_of(one) for one in _header(landed)]
        # Too few or too many values: nobody can tell which field each belongs to, so the row is read as none.
        last, behind = quoted(_column(len(header) - 1)), quoted(_column(len(header)))
        if declared.columns:  # a separator at the end of each line, as some banks write
            behind = f"nullif({behind}, '')"
        whole = f"({last} IS NOT NULL AND {behind} IS NULL)"
        shown = ", ".join(
            f"CASE WHEN {whole} THEN {quoted(_column(header.index(one)))} END AS {quoted(one)}"
            if one in header
            else f"CAST(NULL AS VARCHAR) AS {quoted(one)}"
            for one in known
        )
        return f"SELECT {file}, row_number() OVER () AS row, {shown} FROM {_csv(landed, header)}"
    inside = {one: declared.column_of(one) for one in known}
    shape = json.dumps(dict.fromkeys(inside.values(), "VARCHAR"), ensure_ascii=False)
    shown = ", ".join(f"record.{quoted(inside[one])} AS {quoted(one)}" for one in known)
    return (
        f"SELECT {file}, row, {shown} FROM (SELECT row_number() OVER () AS row, "
        f"json_transform(CASE WHEN {NAMES_ONCE} THEN json END, {literal(shape)}) AS record "
        f"FROM {_json_objects(landed)})"
    )


def _json_objects(landed: LandedFile) -> str:
    # A line that is no JSON becomes a null row; a broken array has no rows to speak of and is an error.
    how = "'newline_delimited', ignore_errors = true" if landed.format == "jsonl" else "'array'"
    return f"read_json_objects({pattern(landed.path)}, format = {how}, compression = {_compression(landed)})"


def _csv(landed: LandedFile, header: Sequence[str]) -> str:
    columns = ", ".join(f"{literal(_column(i))}: 'VARCHAR'" for i in range(len(header) + SURPLUS))
    # Nothing is guessed. No text stands for null, so that a missing value (null) differs from an empty one.
    declared = _declared(landed)
    skipped = f"skip = {declared.skip_lines}, " if declared.skip_lines else ""
    return (
        f"read_csv({pattern(landed.path)}, auto_detect = false, header = true, delim = {literal(declared.delimiter)}, "
        f"{skipped}"
        f"quote = '\"', escape = '\"', nullstr = '\x01', null_padding = true, parallel = false, "
        f"max_line_size = {16 * BLOCK}, "
        f"compression = {_compression(landed)}, columns = {{{columns}}})"
    )


def _parquet(landed: LandedFile) -> str:
    return f"read_parquet({pattern(landed.path)}, file_row_number = true)"


def _parquet_columns(con: Backend, landed: LandedFile) -> dict[str, str]:
    described = con.raw_sql(f"DESCRIBE SELECT * FROM read_parquet({pattern(landed.path)})").fetchall()
    return {one[0]: one[1] for one in described}


def _zones(landed: LandedFile) -> dict[str, str]:
    """Of the columns that hold days, those written as moments in a zone: their day is that of the zone."""
    days = {field.name for field in FIELDS[landed.table] if field.kind == "date"}
    columns = {_declared(landed).column_of(one) for one in days}
    return {
        field.name: field.type.tz
        for field in pq.read_schema(landed.path)
        if field.name in columns and pa.types.is_timestamp(field.type) and field.type.tz
    }


def _written(column: str, kind: str | None, zone: str | None = None) -> str:
    if kind is None:
        return "CAST(NULL AS VARCHAR)"
    if zone is not None:
        if offset := _OFFSET.fullmatch(zone):
            sign, hours, minutes = offset[1] or "+", int(offset[2] or 0), int(offset[3] or 0)
            behind = f"INTERVAL ({sign}{60 * hours + minutes}) MINUTE"
            return f"CAST(({quoted(column)} AT TIME ZONE 'UTC') + {behind} AS VARCHAR)"
        return f"CAST({quoted(column)} AT TIME ZONE {literal(zone)} AS VARCHAR)"
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP")):
        return f"CAST(to_json({quoted(column)}) AS VARCHAR)"
    return f"CAST({quoted(column)} AS VARCHAR)"


def _column(position: int) -> str:
    return f"c{position}"


def _compression(landed: LandedFile) -> str:
    return "'gzip'" if landed.compressed else "'uncompressed'"


def _one(con: Backend, query: str) -> tuple[int, ...]:
    row: tuple[int, ...] = con.raw_sql(query).fetchone()
    return row
