"""What leaves for analysts: Parquet files of one day, only of customers who agreed, with a manifest.

Belongs here: which columns may leave, and how a folder of files appears whole or not at all. Does not belong
here: the feed that customers see (that is the governance database's), nor any text written for a customer.
"""

import datetime as dt
import hashlib
import io
import json
import posixpath
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import Engine

from spendsense_pipeline import warehouse
from spendsense_pipeline.contracts import CONTRACTS, arrow_schema, columns, is_frame
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.evaluation.manifests import MANIFEST as MANIFEST
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import audit, consent
from spendsense_pipeline.governance.database import reading

SCHEMA_VERSION: Final = "2"
"""Raised when a file or column of the export is renamed, removed or changes its meaning."""

ALL: Final = None

UNFINISHED, BEFORE = ".partial", ".before"
"""What the folder of a local export is called while a new one is made beside it, and the old one while they change."""

EXPORTED: Final[dict[str, tuple[str, ...] | None]] = {
    "features_30d": ALL,
    "features_180d": ALL,
    "persona_assignments_30d": ALL,
    "persona_assignments_180d": ALL,
    # Named one by one: neither the text nor the figures shown in it leave, whatever columns drafts gain.
    "draft_recommendations": (
        *("recommendation_id", "user_id", "as_of", "window_days", "persona", "content_type", "content_hash"),
        *("template_id", "template_hash", "situation", "product_id", "generator", "model", "prompt_version"),
        *("generation_ms", "consent_id", "insight", "insight_id"),
    ),
    "evaluation_metrics": ALL,
}
"""Tables that may leave, and their columns."""

LINKS_LIVE: Final = dt.timedelta(days=7)
"""How long a signed link opens a file: the longest that Amazon's S3 allows."""


class ExportRefused(SpendSenseError):
    """The export was refused; an earlier export of the day is as it was."""

    code = "export_refused"


def analytics_export(
    tables: Mapping[str, pd.DataFrame | str],
    to: str,
    as_of: dt.date,
    consenting: Iterable[str],
    audit_head: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the tables of ``EXPORTED`` to ``<to>/<as_of>/<table>.parquet`` and return the manifest.

    ``tables`` maps a table's name to its frame or to the Parquet path or URI it is stored under; ``to`` is a
    folder or any fsspec URI. Customers not in ``consenting`` are left out of every table. Rows are sorted by
    their key, and nothing reads a clock: the same tables give the same files.

    On a local file system the folder is written beside its place and then renamed, so that a reader sees the
    old export or the new one. An object store has no rename: there ``manifest.json`` is taken away first and
    written last, and a folder without it is not an export.

    The manifest: ``as_of``, ``schema_version``, ``customers``, ``audit_head`` ({count, hash}, as given) and
    ``tables``: name → {file, rows, columns, sha256}. Raises ``ExportRefused`` when a table is missing, or of
    another day.
    """
    missing = [name for name in EXPORTED if name not in tables]
    if missing:
        raise ExportRefused(f"the export needs {', '.join(EXPORTED)}; not given: {', '.join(missing)}")
    agreed = set(consenting)
    files: dict[str, bytes] = {}
    described: dict[str, dict[str, Any]] = {}
    for name, allowed in EXPORTED.items():
        table = tables[name]
        if isinstance(table, str):
            filesystem, target = fsspec.core.url_to_fs(table)
            table = to_frame(warehouse.rows_of_file(filesystem, target))  # the path may be a folder of parts
        frame = _leaving(name, table, allowed, as_of, agreed)
        files[f"{name}.parquet"] = content = _parquet_bytes(name, frame)
        described[name] = {
            "file": f"{name}.parquet",
            "rows": len(frame),
            "columns": list(frame.columns),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    manifest = {
        "as_of": as_of.isoformat(),
        "schema_version": SCHEMA_VERSION,
        "customers": described["features_30d"]["rows"],
        "audit_head": dict(audit_head),
        "tables": described,
    }
    files[MANIFEST] = _encoded_text(manifest)
    _publish(files, to, as_of)
    return manifest


def export_of_day(
    engine: Engine,
    root: str,
    to: str,
    day: dt.date,
    now: dt.datetime,
    *,
    consent_days: int,
    signed: Callable[[dict[str, Any]], Mapping[str, Any]] = dict,
) -> dict[str, Any]:
    """``analytics_export`` of a date's stored tables, of customers who consent now, with the head of the audit chain.

    ``signed`` adds a signature to the head. Raises ``NotMaterialized`` for a date that was not run.
    """
    tables = {name: to_frame(warehouse.load(root, name, [day.isoformat()])) for name in EXPORTED}
    with reading(engine) as session:
        agreed = consent.live_scopes(session, now, consent_days)
        count, head = audit.head(session)
    return analytics_export(tables, to, day, agreed, signed({"count": count, "hash": head}))


@contextmanager
def changed(filesystem: Any, folder: str) -> Iterator[str]:
    """The folder in which to change the files of an export; its manifest then says what they are now.

    A local export is changed as a copy that takes its place whole. An object store exchanges no folders: until the
    manifest follows, it does not fit the files, and changing the same export again mends that.
    """
    if not isinstance(filesystem, LocalFileSystem):
        yield folder
        _describe(filesystem, folder)
        return
    settle(filesystem, folder)
    beside = f"{folder}{UNFINISHED}"
    shutil.copytree(folder, beside)
    yield beside
    _describe(filesystem, beside)
    _exchange(filesystem, folder)


def _describe(filesystem: Any, folder: str) -> None:
    """Bring the manifest of an export in line with its files."""
    path = posixpath.join(folder, MANIFEST)
    manifest = json.loads(filesystem.cat_file(path))
    for table in manifest["tables"].values():
        content = filesystem.cat_file(posixpath.join(folder, table["file"]))
        table["rows"] = pq.ParquetFile(io.BytesIO(content)).metadata.num_rows
        table["sha256"] = hashlib.sha256(content).hexdigest()
    manifest["customers"] = manifest["tables"]["features_30d"]["rows"]
    filesystem.pipe_file(path, _encoded_text(manifest))


def _encoded_text(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()


def signed_links(manifest: Mapping[str, Any], to: str) -> dict[str, str]:
    """File → link that opens it for seven days without an account; empty where the store cannot sign.

    Whoever has a link can read the file: links are for the person who asked and are stored nowhere.
    """
    filesystem, root = fsspec.core.url_to_fs(to)
    folder = posixpath.join(root, str(manifest["as_of"]))
    files = [*(table["file"] for table in manifest["tables"].values()), MANIFEST]
    try:
        return {
            name: str(filesystem.sign(posixpath.join(folder, name), expiration=int(LINKS_LIVE.total_seconds())))
            for name in files
        }
    except NotImplementedError:
        return {}


def _leaving(
    name: str, frame: pd.DataFrame, allowed: tuple[str, ...] | None, as_of: dt.date, agreed: set[str]
) -> pd.DataFrame:
    """The rows and columns of a table that may leave."""
    others = sorted({str(day) for day in frame["as_of"] if day != as_of})
    if others:
        raise ExportRefused(f"{name} holds rows of {', '.join(others)}; the export is of {as_of}")
    # A column that the contract does not know has not been judged fit to leave.
    known = [column["name"] for column in columns(CONTRACTS[name])]
    kept = frame[[column for column in known if allowed is None or column in allowed]]
    if "user_id" in kept:
        kept = kept[kept["user_id"].isin(agreed)]
    by = next(key for key in ("recommendation_id", "user_id", "metric") if key in kept)
    return kept.sort_values(by, kind="stable", ignore_index=True)


def _parquet_bytes(name: str, frame: pd.DataFrame) -> bytes:
    contract = CONTRACTS[name]
    schema = None
    if is_frame(contract):
        # an empty or all-null column keeps its type
        schema = pa.schema([field for field in arrow_schema(contract) if field.name in frame])
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False), buffer)
    return buffer.getvalue()


def _publish(files: Mapping[str, bytes], to: str, as_of: dt.date) -> None:
    """Put the files in their place, as whole as the file system allows."""
    filesystem, root = fsspec.core.url_to_fs(to)
    folder = posixpath.join(root, as_of.isoformat())
    protocols = (filesystem.protocol,) if isinstance(filesystem.protocol, str) else filesystem.protocol
    if "file" not in protocols:
        if filesystem.exists(posixpath.join(folder, MANIFEST)):
            filesystem.rm(posixpath.join(folder, MANIFEST))
        for name, content in files.items():  # the manifest is the last of them
            filesystem.pipe_file(posixpath.join(folder, name), content)
        return
    settle(filesystem, folder)
    beside = f"{folder}{UNFINISHED}"
    filesystem.makedirs(beside)
    for name, content in files.items():
        filesystem.pipe_file(posixpath.join(beside, name), content)
    _exchange(filesystem, folder)


def settle(filesystem: Any, folder: str) -> None:
    """Clear away what a run that died left of a local export: the old one stands again, half of a new one goes."""
    beside, before = f"{folder}{UNFINISHED}", f"{folder}{BEFORE}"
    if filesystem.exists(before) and not filesystem.exists(folder):
        filesystem.mv(before, folder)  # it died between the two renames
    for leftover in (beside, before):
        if filesystem.exists(leftover):
            filesystem.rm(leftover, recursive=True)


def _exchange(filesystem: Any, folder: str) -> None:
    """Put what was made beside a local export in its place."""
    beside, before = f"{folder}{UNFINISHED}", f"{folder}{BEFORE}"
    if filesystem.exists(folder):
        filesystem.mv(folder, before)
    filesystem.mv(beside, folder)
    if filesystem.exists(before):
        filesystem.rm(before, recursive=True)
