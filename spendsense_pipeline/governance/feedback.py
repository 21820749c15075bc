"""What came back about what was released: events of apps, and what they change.

An event is recorded once, under the id that the app gave it, however often and in whatever order it arrives. A wrong
figure or a complaint holds the wording. Belongs here: taking events in and adding them up. Ending releases is
``endings``; what a dismissal keeps away is ``registration``.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import Engine, and_, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from spendsense_pipeline.durations import EVENT_AHEAD
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import endings
from spendsense_pipeline.governance.database import adding, columns, counts_by, is_name, matching, storable, writing
from spendsense_pipeline.governance.lifecycle import original_text, wording_of
from spendsense_pipeline.governance.models import EVENTS, FeedbackEvent, Recommendation, RecommendationText, Release

MOST_AT_ONCE: Final = 1_000
LONGEST_NOTE: Final = 1_000
HOLDING: Final = ("wrong_figure", "complaint")
"""Events after which no text of the wording goes out until an operator looked."""


class _Event(BaseModel):
    """What an app saw a customer do with one released text, in its own words and by its own clock."""

    event_id: str
    release_id: str
    kind: Literal[*EVENTS]  # type: ignore[valid-type] # one list of them
    occurred_at: AwareDatetime | None = None
    note: str | None = Field(default=None, max_length=LONGEST_NOTE)


_OF_RELEASE: Final = select(
    *columns(Release, "release_id recommendation_id"), *columns(Recommendation, "user_id template_id template_hash")
).join(Recommendation, Recommendation.recommendation_id == Release.recommendation_id)


def record(
    engine: Engine, events: Sequence[Mapping[str, Any]], now: dt.datetime, *, source: str, user_id: str | None = None
) -> dict[str, Any]:
    """Record events {event_id, release_id, kind, occurred_at (aware; None: now), note}, each at most once.

    {accepted, duplicate, refused: [{event_id, code, message}], held: [T@HASH]}. With ``user_id`` events on other
    customers' releases are refused as unknown. Refusals by item: ``invalid_event``, ``unknown_release``,
    ``conflicting_event`` (the id was used for something else). Raises ``too_many``.
    """
    if len(events) > MOST_AT_ONCE:
        raise SpendSenseError(f"{len(events):,} events at once; at most {MOST_AT_ONCE:,}", code="too_many")
    refused: list[dict[str, str]] = []
    valid: dict[str, dict[str, Any]] = {}
    duplicate = 0
    for event in events:
        try:
            row = _Event.model_validate(event).model_dump()
            occurred_at = (row["occurred_at"] or now).astimezone(dt.UTC)
        except (ValueError, OverflowError):  # no event, or a time beyond the years 1 to 9999 in UTC
            refused.append(_refusal(event, "invalid_event"))
            continue
        readable = is_name(row["event_id"]) and is_name(row["release_id"]) and storable(row["note"] or "")
        if not readable or occurred_at > now + EVENT_AHEAD:
            refused.append(_refusal(event, "invalid_event"))
            continue
        row |= {"source": source, "occurred_at": occurred_at, "received_at": now}
        before = valid.setdefault(row["event_id"], row)
        if before is not row and _same_event(before, row):
            duplicate += 1
        elif before is not row:
            refused.append(_refusal(event, "conflicting_event"))
    # Only what holds a wording concerns the gate, and has to wait for its turn in the one order of writes.
    way_in = writing if any(row["kind"] in HOLDING for row in valid.values()) else adding
    with way_in(engine) as session:
        named = {row["release_id"] for row in valid.values()}
        releases = {row.release_id: row for row in matching(session, _OF_RELEASE, Release.release_id, sorted(named))}
        for event_id, row in list(valid.items()):
            release = releases.get(row["release_id"])
            if release is None or user_id not in (None, release.user_id):
                refused.append(_refusal(row, "unknown_release"))
                del valid[event_id]
            else:
                row["user_id"] = release.user_id
        known = select(*columns(FeedbackEvent, "event_id release_id kind note"))
        there = {row.event_id: row for row in matching(session, known, FeedbackEvent.event_id, list(valid))}
        new = _inserted(session, [row for name, row in sorted(valid.items()) if name not in there])
        for event_id, row in valid.items():
            if event_id in new:
                continue
            if event_id in there and not _same_event(there[event_id]._mapping, row):
                refused.append(_refusal(row, "conflicting_event"))
            else:
                duplicate += 1
        held = []
        for event_id in sorted(new):
            row = valid[event_id]
            if row["kind"] in HOLDING:
                release = releases[row["release_id"]]
                wording = wording_of(release)
                if endings.hold(session, wording, row["kind"], release.recommendation_id, now):
                    held.append(wording.reference)
    return {"accepted": len(new), "duplicate": duplicate, "refused": refused, "held": held}


def by_wording(session: Session, *, template_id: str | None = None) -> list[dict[str, Any]]:
    """What came back, by wording: template_id, template_hash, content_type, released, and a count of each kind."""
    wording = (Recommendation.template_id, Recommendation.template_hash, Recommendation.content_type)
    counted = (
        select(
            *wording,
            func.count(Release.release_id.distinct()).label("released"),
            *(func.count().filter(FeedbackEvent.kind == kind).label(kind) for kind in EVENTS),
        )
        .join(Release, Release.recommendation_id == Recommendation.recommendation_id)
        .outerjoin(FeedbackEvent, FeedbackEvent.release_id == Release.release_id)
        .group_by(*wording)
    )
    if template_id is not None:
        counted = counted.where(Recommendation.template_id == (template_id if storable(template_id) else None))
    # Sorted here: a database of its own collation would put names in another order.
    return [dict(row._mapping) for row in sorted(session.execute(counted), key=lambda row: tuple(row)[:2])]


def counts(session: Session) -> dict[str, int]:
    """kind → events, every kind named."""
    found = counts_by(session, FeedbackEvent.kind)
    return {kind: found.get(kind, 0) for kind in EVENTS}


def _same_event(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    return all(one[name] == other[name] for name in ("release_id", "kind", "note"))


MESSAGES: Final = {
    "invalid_event": f"an event has an id, a release, one of {', '.join(EVENTS)}, a time with its zone that is not in "
    f"the future, and a note of at most {LONGEST_NOTE} characters",
    "unknown_release": "there is no such release for this customer",
    "conflicting_event": "this id was used for another event",
}


def _refusal(event: Mapping[str, Any], code: str) -> dict[str, str]:
    return {"event_id": str(event.get("event_id"))[:400], "code": code, "message": MESSAGES[code]}


def _inserted(session: Session, rows: list[dict[str, Any]]) -> set[str]:
    """The ids that were really new: another client may send the same event at this moment."""
    if not rows:
        return set()
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    added = dialect.insert(FeedbackEvent).on_conflict_do_nothing().returning(FeedbackEvent.event_id)
    return set(session.scalars(added, rows))


def dismissed(session: Session, user_ids: Iterable[str]) -> Iterator[Any]:
    """The recommendations that these customers dismissed, as rows of ``Recommendation`` with ``slots``."""
    rows = (
        select(Recommendation.__table__, RecommendationText.slots)
        .join(Release, Release.recommendation_id == Recommendation.recommendation_id)
        .join(FeedbackEvent, and_(FeedbackEvent.release_id == Release.release_id, FeedbackEvent.kind == "dismissed"))
        .join(RecommendationText, original_text())
        .order_by(Recommendation.as_of)
    )
    return matching(session, rows, FeedbackEvent.user_id, user_ids)
