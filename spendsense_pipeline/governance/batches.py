"""Landed batches in their order of arrival. What is in them belongs to ``ingest``."""

import datetime as dt
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import row_states
from spendsense_pipeline.governance.database import LONGEST_NAME, is_name, matching, quoted
from spendsense_pipeline.governance.models import Batch

NOTES = ".registered"
"""Folder of the landing zone with a note of each batch: when it was first registered, which no other database says."""


class Arrival(NamedTuple):
    """A batch's place in the order of arrival, the UTC day it was registered, and whether it is new."""

    arrival: int
    arrived_on: dt.date
    new: bool


def register_batch(session: Session, batch_id: str, content_hash: str, now: dt.datetime) -> Arrival:
    """Give a batch its place; the same batch again keeps it. Other content under a known id is refused."""
    if not is_name(batch_id):
        raise SpendSenseError(
            f"a batch needs a readable id of 1 to {LONGEST_NAME} characters, not {quoted(batch_id)}",
            code="invalid_batch",
        )
    known = session.get(Batch, batch_id)
    if known is None:
        arrival = 1 + (session.scalar(select(func.max(Batch.arrival))) or 0)
        batch = Batch(batch_id=batch_id, arrival=arrival, content_hash=content_hash, registered_at=now)
        session.add(batch)
        row_states.record(session, now, batch)
        return Arrival(arrival, now.astimezone(dt.UTC).date(), new=True)
    if known.content_hash != content_hash:
        raise SpendSenseError(
            f"batch {batch_id!r} was registered on {known.registered_at:%Y-%m-%d} with other content; "
            "a batch never changes, land the new files under another id",
            code="batch_changed",
        )
    return _arrival(known)


def forget_batch(session: Session, batch_id: str, now: dt.datetime) -> None:
    """Take back the place of a batch of which nothing was kept, so that it may come with other content."""
    batch = session.get_one(Batch, batch_id)
    session.delete(batch)
    row_states.record(session, now, batch, gone=True)


def note_registration(landing: Path, batch_id: str, at: dt.datetime | None) -> None:
    """Note beside the landed batch when it was registered, unless that is noted; None: by another database before."""
    note = landing / NOTES / batch_id
    if at is None or not note.exists():
        note.parent.mkdir(exist_ok=True)
        temporary = note.with_name(f".{batch_id}")
        temporary.write_text(at.isoformat() if at else "in another database", encoding="utf-8")
        temporary.replace(note)


def noted(landing: Path) -> dict[str, str]:
    """What the notes of landed batches say, by batch."""
    return {note.name: note.read_text(encoding="utf-8") for note in sorted((landing / NOTES).glob("[!.]*"))}


def registered_elsewhere(session: Session, stored: Collection[str], landing: Path) -> list[str]:
    """Of the stored batches those that this database did not register first: what people said since is in another."""
    known = registered_at(session, stored)
    notes = noted(landing)
    return sorted(
        one for one in stored if one not in known or notes.get(one, known[one].isoformat()) != known[one].isoformat()
    )


def registered(session: Session) -> dict[str, Arrival]:
    """All batches by id, in order of arrival."""
    return {batch.batch_id: _arrival(batch) for batch in session.scalars(select(Batch).order_by(Batch.arrival))}


def registered_at(session: Session, batch_ids: Collection[str]) -> dict[str, dt.datetime]:
    """When these batches were registered, by id; those that never were are left out."""
    return dict(matching(session, select(Batch.batch_id, Batch.registered_at), Batch.batch_id, batch_ids))


def _arrival(batch: Batch) -> Arrival:
    return Arrival(batch.arrival, batch.registered_at.date(), new=False)
