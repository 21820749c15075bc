"""Erasing one customer everywhere: landed files, tables, export, reports, governance database.

The order is that of what a crash may leave: consent closes first, so nothing is visible any more; the rows that know
which files and texts are the customer's go last, so that the same command finds them again. Belongs here: the order,
what remains, and whatever else may name the customer.
"""

import datetime as dt
import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from spendsense_pipeline import warehouse
from spendsense_pipeline.erasure import erased_rows
from spendsense_pipeline.erasure.erased import Erased, holding
from spendsense_pipeline.erasure.erased_files import accounts_of, scrub
from spendsense_pipeline.erasure.erased_tables import Holdings, empty_exports, empty_warehouse
from spendsense_pipeline.governance import experiment_records
from spendsense_pipeline.governance.batches import NOTES
from spendsense_pipeline.governance.database import reading, reclaim

SEARCHABLE = 6
"""Characters of an id from which on it is looked for in whatever else lies in the data folder."""

REMAINS = (
    ("audit chain", "proof that nothing was removed otherwise: kind, time, operator, run of each step, no subject"),
    ("erasure record and tombstones", "who erased and why, and salted digests that keep the data from coming back"),
    ("evaluation metrics", "counts and rates over all customers"),
    ("runs in Dagster", "metadata of past runs names recommendations by id, without customer, text or figure"),
    ("names in other customers' payments", "they are those customers' data"),
    ("backups, the source's own files, copies of an export", "out of reach of SpendSense"),
)
"""What an erasure leaves on purpose, and why."""


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
    Dagster whose config says one of them. Raises what ``erased_rows.begin`` raises.
    """
    folders = [one for one in places.landing.glob("*") if one.is_dir() and one.name not in (".erased", NOTES)]
    accounts, landed, given_to_others = accounts_of(user_id, folders)
    stored = Holdings.read(places.warehouse, user_id)
    of_others = stored.of_others | given_to_others
    shared = {holding(user_id, one) for one in stored.delivered & of_others}
    theirs = (accounts | stored.accounts) - of_others
    known = landed or stored.known
    names = erased_rows.begin(engine, user_id, theirs | shared, operator_id, reason, now, known=known)
    with reading(engine) as session:
        erased = erased_rows.remembered(session)
        pseudonyms = experiment_records.pseudonyms(session, user_id)
    warehouse.clear(places.scratch)
    files, unreadable = _landing(folders, erased, user_id)
    done: dict[str, Any] = {
        "landing": files,
        "warehouse": empty_warehouse(places.warehouse, erased, pseudonyms),
        "exports": empty_exports(places.exports, erased),
        "reports": _reports(places.reports, user_id),
        "runs": forget_runs([user_id, *names]),
    }
    erasure_id, done["database"] = erased_rows.finish(engine, user_id, operator_id, reason, now)
    remains = [{"what": what, "reason": why} for what, why in REMAINS]
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
    written = user_id.encode(errors="replace")
    name = re.compile(rb"(?<![A-Za-z0-9])" + re.escape(written) + rb"(?![A-Za-z0-9])")
    return [
        path
        for path in sorted(places.data.rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and (name.search(str(path.relative_to(places.data)).encode(errors="replace")) or _says(path, written, name))
    ]


def _says(path: Path, written: bytes, name: re.Pattern[bytes]) -> bool:
    """Whether a file holds the name; to find its bytes first is much faster than to look behind each byte."""
    with path.open("rb") as stream:
        tail = b""
        while block := stream.read(1 << 20):
            if written in (read := tail + block) and name.search(read):
                return True
            tail = block[-512:]
    return False
