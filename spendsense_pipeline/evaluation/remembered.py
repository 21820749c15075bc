"""Releases that were verified on an earlier day, so that none is verified twice.

Remembered is a fingerprint of all that verifying looks at (``database_frames.releases``), and only of releases that
their rows bear out: what is changed later has another fingerprint and is verified anew. Everything is, too, once a
source file of this package has changed, or the audit chain does not hold its head of that day any more. What verifying
is does not belong here (``metrics.verified``).
"""

import datetime as dt
import itertools
from collections.abc import Iterable

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy.orm import Session

from spendsense_pipeline.evaluation.metrics import VERIFIED_DAYS, verified
from spendsense_pipeline.governance import audit, database_frames, evaluation_records
from spendsense_pipeline.once import package_version

FINGERPRINT = "fingerprint"


def borne_out(session: Session, path: str, now: dt.datetime) -> list[bool]:
    """Of each release of the last ``VERIFIED_DAYS``, whether its stored rows bear it out. Those that do are remembered
    at ``path`` (file or URI), and no others."""
    releases = database_frames.releases(session, now - dt.timedelta(days=VERIFIED_DAYS), _recalled(session, path))
    found = verified(releases.rows).tolist()
    _remember(session, path, [*releases.known, *itertools.compress(releases.fingerprints, found)])
    return [True] * len(releases.known) + found


def _recalled(session: Session, path: str) -> frozenset[bytes]:
    """The fingerprints that count today."""
    filesystem, file = fsspec.core.url_to_fs(path)
    if not filesystem.exists(file):
        return frozenset()
    stored = pq.read_table(file, filesystem=filesystem)
    sources, count, head = (stored.schema.metadata[name].decode() for name in (b"sources", b"count", b"head"))
    if sources != package_version() or not evaluation_records.holds_head(session, int(count), head):
        return frozenset()
    return frozenset(stored[FINGERPRINT].to_pylist())


def _remember(session: Session, path: str, fingerprints: Iterable[bytes]) -> None:
    count, head = audit.head(session)
    table = pa.table({FINGERPRINT: pa.array(fingerprints, pa.binary(32))})
    written = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({"sources": package_version(), "count": str(count), "head": head}), written
    )
    filesystem, file = fsspec.core.url_to_fs(path)
    filesystem.makedirs(filesystem._parent(file), exist_ok=True)
    filesystem.pipe_file(f"{file}.tmp", written.getvalue().to_pybytes())
    filesystem.mv(f"{file}.tmp", file)
