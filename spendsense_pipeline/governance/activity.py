"""What goes on at the desk, and what became of the texts: who decided and who looks now, what customers got and said.

Only reads. What waits is ``queue``; why one text went out is ``why``.
"""

import datetime as dt
from typing import Any, Final

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from spendsense_pipeline.durations import LOOKING
from spendsense_pipeline.governance.database import columns, counts_by, storable
from spendsense_pipeline.governance.lifecycle import current_text, in_status, status_at
from spendsense_pipeline.governance.models import (
    Decision,
    FeedbackEvent,
    Recall,
    Recommendation,
    RecommendationText,
    Release,
    Viewing,
)

DECISIONS_AT_ONCE: Final = 200
AGES: Final = ((1, "under a day"), (3, "1 to 3 days"), (7, "3 to 7 days"), (None, "7 days or more"))
"""Upper ends of the bands of waiting, in days, and their names."""
WORDINGS: Final = 20
"""Wordings in the list of those that were overridden or rejected most."""


def decisions_since(session: Session, seq: int, now: dt.datetime) -> list[dict[str, Any]]:
    """The decisions behind this place of the audit chain, oldest first, ``DECISIONS_AT_ONCE`` at most: seq,
    recommendation_id, action, operator_id, status (of now, by the clock), content_hash (that stands).
    """
    rows = session.execute(
        select(
            *columns(Decision, "seq recommendation_id action operator_id"),
            status_at(now).label("status"),
            Recommendation.content_hash,
        )
        .join(Recommendation, Recommendation.recommendation_id == Decision.recommendation_id)
        .where(Decision.seq > seq)
        .order_by(Decision.seq)
        .limit(DECISIONS_AT_ONCE)
    )
    return [dict(row._mapping) for row in rows]


def waiting(session: Session, now: dt.datetime) -> int:
    """How many texts wait."""
    return session.scalar(select(func.count()).where(in_status(now, "pending_approval"))) or 0


def looking(session: Session, now: dt.datetime, recommendation_id: str | None = None) -> dict[str, list[str]]:
    """recommendation_id → the operators who opened it within ``LOOKING``; of one, or of all that wait."""
    found: dict[str, list[str]] = {}
    rows = (
        select(Viewing.recommendation_id, Viewing.operator_id)
        .where(Viewing.viewed_at > now - LOOKING, Viewing.operator_id != "")
        .order_by(Viewing.operator_id)
    )
    if recommendation_id is not None:
        rows = rows.where(Viewing.recommendation_id == recommendation_id)
    for name, operator_id in session.execute(rows):
        found.setdefault(name, []).append(operator_id)
    return found


def history_of(session: Session, user_id: str, now: dt.datetime, *, limit: int = 50) -> list[dict[str, Any]]:
    """What one customer was to get, newest first: recommendation_id, as_of, title, content_type, persona, template_id,
    insight, status, registered_at, released_at, expires_at (of the release), ended_at, cause (of its end), decided_by,
    decided_at, action, reason (of the last decision), feedback {kind: n}.
    """
    if not storable(user_id):
        return []
    last = (
        select(Decision.recommendation_id, func.max(Decision.ordinal).label("ordinal"))
        .join(Recommendation, Recommendation.recommendation_id == Decision.recommendation_id)
        .where(Recommendation.user_id == user_id)
        .group_by(Decision.recommendation_id)
        .subquery()
    )
    rows = session.execute(
        select(
            Recommendation.recommendation_id,
            Recommendation.as_of,
            RecommendationText.title,
            *columns(Recommendation, "content_type persona template_id insight"),
            status_at(now).label("status"),
            Recommendation.registered_at,
            *columns(Release, "release_id released_at expires_at"),
            Recall.recalled_at.label("ended_at"),
            Recall.cause,
            Decision.operator_id.label("decided_by"),
            *columns(Decision, "decided_at action reason"),
        )
        .join(RecommendationText, current_text())
        .outerjoin(Release, Release.recommendation_id == Recommendation.recommendation_id)
        .outerjoin(Recall, Recall.release_id == Release.release_id)
        .outerjoin(last, last.c.recommendation_id == Recommendation.recommendation_id)
        .outerjoin(
            Decision,
            and_(Decision.recommendation_id == Recommendation.recommendation_id, Decision.ordinal == last.c.ordinal),
        )
        .where(Recommendation.user_id == user_id)
        .order_by(Recommendation.registered_at.desc(), Recommendation.recommendation_id)
        .limit(limit)
    ).all()
    counted = (
        select(FeedbackEvent.release_id, FeedbackEvent.kind, func.count())
        .where(FeedbackEvent.release_id.in_([row.release_id for row in rows if row.release_id]))
        .group_by(FeedbackEvent.release_id, FeedbackEvent.kind)
        .order_by(FeedbackEvent.kind)
    )
    of_release: dict[str, dict[str, int]] = {}
    for release_id, kind, number in session.execute(counted):
        of_release.setdefault(release_id, {})[kind] = number
    return [dict(row._mapping) | {"feedback": of_release.get(row.release_id, {})} for row in rows]


def age_bands(session: Session, now: dt.datetime) -> list[tuple[str, int]]:
    """How many texts have waited for how long, by the bands of ``AGES``."""
    first = Recommendation.first_registered_at
    whens = [(first > now - dt.timedelta(days=days), name) for days, name in AGES if days is not None]
    band = case(*whens, else_=AGES[-1][1]).label("band")
    found = counts_by(session, band, in_status(now, "pending_approval"))
    return [(name, found.get(name, 0)) for _, name in AGES]


def decisions_by_operator(session: Session) -> list[dict[str, Any]]:
    """Decisions of each operator by action, undone ones too: operator_id, approve, override, reject, undo."""
    return _by_action(session, Decision.operator_id)


def refused_by_wording(session: Session) -> list[dict[str, Any]]:
    """The wordings that were overridden or rejected most: template_id, approve, override, reject, undo."""
    refused = [row for row in _by_action(session, Recommendation.template_id) if row["override"] + row["reject"]]
    return sorted(refused, key=lambda row: (-row["override"] - row["reject"], row["template_id"]))[:WORDINGS]


def _by_action(session: Session, column: Any) -> list[dict[str, Any]]:
    actions = ("approve", "override", "reject", "undo")
    counted = (
        select(column, *(func.count().filter(Decision.action == action).label(action) for action in actions))
        .select_from(Decision)
        .join(Recommendation, Recommendation.recommendation_id == Decision.recommendation_id)
        .group_by(column)
    )
    # Sorted here: a database of its own collation would put names in another order.
    return sorted((dict(row._mapping) for row in session.execute(counted)), key=lambda row: row[column.key])


def feedback(session: Session) -> dict[str, int]:
    """Events that apps reported, by kind."""
    return counts_by(session, FeedbackEvent.kind)
