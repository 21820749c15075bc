"""A text's life: its status by the clock, which of its texts stands, and whether its release does.

Belongs here: statuses, and the SQL conditions that ask for them. Does not belong here: what moves a text on
(``registration``, ``review``, ``release``, ``endings``), nor how long it lives (``durations``).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, exists, select
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance.database import storable
from spendsense_pipeline.governance.models import OPEN, Recall, Recommendation, RecommendationText, Release, WordingHold
from spendsense_pipeline.recommendations.identity import content_hash

SHORTEST_HASH = 12
"""Characters of a hash that name a text or a wording: what `spendsense queue` and `templates` print."""


class Wording(NamedTuple):
    """A piece or an offer's form in one exact version."""

    template_id: str
    template_hash: str

    @property
    def reference(self) -> str:
        """How people name it: T@HASH, of the hash as much as names it."""
        return f"{self.template_id}@{self.template_hash[:SHORTEST_HASH]}"


def wording_of(row: Any) -> Wording:
    """The wording that a row is about."""
    return Wording(row.template_id, row.template_hash)


def wording_named(session: Session, reference: str) -> Wording:
    """The wording that ``T@HASH`` means, among all that were ever registered.

    Raises ``hash_required`` and ``unknown_template``.
    """
    template_id, _, seen = reference.rpartition("@")
    if not template_id:
        raise SpendSenseError(
            f"{reference!r} names no wording; write T@HASH as `spendsense templates` shows it", code="hash_required"
        )
    hashes: Sequence[str] = []
    if storable(reference):
        hashes = session.scalars(
            select(Recommendation.template_hash).where(Recommendation.template_id == template_id).distinct()
        ).all()
    meant = [one for one in hashes if names_hash(seen, one)]
    if len(meant) != 1:
        known = ", ".join(f"@{one[:SHORTEST_HASH]}" for one in hashes) or "none"
        raise SpendSenseError(
            f"no draft of {template_id!r} has the words @{seen[:64]} (known: {known}); `spendsense templates` shows "
            "what waits",
            code="unknown_template",
        )
    return Wording(template_id, meant[0])


def names_hash(seen: str, whole: str) -> bool:
    """Whether what an operator wrote behind the @ is this hash, or enough of its beginning."""
    return seen == whole or (len(seen) >= SHORTEST_HASH and whole.startswith(seen))


DECIDED = ("approved", "overridden")
"""The statuses that an operator gives to what may go out."""
CLOSED = ("superseded", "expired", "voided")
"""The statuses that nothing follows and that no decision gives."""


def status_at(now: dt.datetime) -> ColumnElement[str]:
    """The SQL status by the clock: what is open, unreleased and past its time has expired, written down or not."""
    late = and_(Recommendation.status.in_(OPEN), Recommendation.released_at.is_(None), Recommendation.expires_at <= now)
    return case((late, "expired"), else_=Recommendation.status)


def status_of(row: Mapping[str, Any], now: dt.datetime) -> str:
    """The same of a row of ``Recommendation`` that was read."""
    late = row["status"] in OPEN and row["released_at"] is None and row["expires_at"] <= now
    return "expired" if late else row["status"]


def in_status(now: dt.datetime, status: str) -> ColumnElement[bool]:
    """The SQL condition that a recommendation has this status by the clock."""
    # The stored status narrows through the index what the clock then judges.
    stored = ("expired", *OPEN) if status == "expired" else (status,)
    return and_(Recommendation.status.in_(stored), status_at(now) == status)


def current_text() -> ColumnElement[bool]:
    """The SQL condition that joins a recommendation with the text that stands."""
    return text_is(RecommendationText, Recommendation, Recommendation.content_hash)


def original_text(text: Any = RecommendationText) -> ColumnElement[bool]:
    """The SQL condition that joins a recommendation with the pipeline's own text."""
    return text_is(text, Recommendation, Recommendation.original_hash)


def text_is(text: Any, row: Any, content_hash: Any) -> ColumnElement[bool]:
    """The SQL condition that joins a row about a recommendation with its text of this hash."""
    return and_(text.recommendation_id == row.recommendation_id, text.content_hash == content_hash)


def hash_of(text: Mapping[Any, Any]) -> str:
    """The content hash of a text's words as they stand in a row."""
    return content_hash(*(text[name] for name in ("content_type", "title", "content", "rationale", "product_id")))


def has_wording(wording: Wording, row: Any = Recommendation) -> ColumnElement[bool]:
    """The SQL condition that a row is about this wording."""
    return and_(row.template_id == wording.template_id, row.template_hash == wording.template_hash)


def wording_held() -> ColumnElement[bool]:
    """The SQL condition that the recommendation's wording is held until an operator looked."""
    return exists().where(
        WordingHold.template_id == Recommendation.template_id,
        WordingHold.template_hash == Recommendation.template_hash,
        WordingHold.cleared_at.is_(None),
    )


def release_stands() -> ColumnElement[bool]:
    """The SQL condition that a release has not ended."""
    return ~exists().where(Recall.release_id == Release.release_id)
