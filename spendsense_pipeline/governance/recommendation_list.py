"""Recommendations in a row: each with the text that stands, where it came from and what was decided, in one query.

Only reads. The queue in its own order is ``queue``; one recommendation in full is ``queue.show`` and ``why``.
"""

import datetime as dt
import json
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, func, select, true
from sqlalchemy.orm import Session, aliased

from spendsense_pipeline.governance.database import columns, counts_by, storable
from spendsense_pipeline.governance.lifecycle import current_text, original_text, status_at
from spendsense_pipeline.governance.models import OPEN, Decision, Recommendation, RecommendationText

REVIEWED: Final = ("pending_approval", "approved", "overridden", "rejected")
"""The standings of what an operator has to do with; the others ended without one."""


_STORED: Final = {
    "approved": ("approved", "overridden"),
    "overridden": ("overridden", "pending_approval"),
    "expired": ("expired", *OPEN),
}
"""The stored statuses that a standing can have, for the index; of the others it is the one of its name."""


def standing(now: dt.datetime) -> ColumnElement[str]:
    """The SQL status as whoever waits for the customer to see it counts: an override waits until it went out.

    An override that was released is ``approved``; one that another operator must approve is ``overridden`` already.
    """
    current = status_at(now)
    rewritten = Recommendation.content_hash != Recommendation.original_hash
    return case(
        (and_(current == "overridden", Recommendation.released_at.is_not(None)), "approved"),
        (and_(current == "pending_approval", rewritten), "overridden"),
        else_=current,
    )


def listed(
    session: Session,
    now: dt.datetime,
    *,
    standings: Collection[str] = REVIEWED,
    user_id: str | None = None,
    window_days: int | None = None,
    ids: Collection[str] | None = None,
    newest_first: bool = False,
    limit: int,
) -> dict[str, Any]:
    """{recommendations: [row], total}, the oldest first by registration; ``total`` counts those beyond ``limit`` too.

    Rows: recommendation_id, user_id, persona, window_days, content_type, product_id, insight, generation_ms, status (as
    ``queue``), standing, content_hash, registered_at, released_at, title, content, rationale, findings, slots,
    original_title and original_content (None where the pipeline's own words stand), action, operator_id, decided_at,
    reason (of the decision that stands, or None), override_reason and overridden_at (of the words that stand).
    """
    if not all(storable(name) for name in [*(ids or ()), *([user_id] if user_id is not None else [])]):
        return {"recommendations": [], "total": 0}
    stored = {status for name in standings for status in _STORED.get(name, (name,))}
    wanted = and_(
        Recommendation.status.in_(stored),
        standing(now).in_(standings),
        Recommendation.user_id == user_id if user_id is not None else true(),
        Recommendation.window_days == window_days if window_days is not None else true(),
        Recommendation.recommendation_id.in_(ids) if ids is not None else true(),
    )
    original, rewriting, earlier = aliased(RecommendationText), aliased(Decision), aliased(Decision)
    last_override = (
        select(func.max(earlier.seq))
        .where(
            earlier.recommendation_id == Recommendation.recommendation_id,
            earlier.action == "override",
            earlier.content_hash == Recommendation.content_hash,
        )
        .correlate(Recommendation)
        .scalar_subquery()
    )
    rewritten = Recommendation.content_hash != Recommendation.original_hash
    order = (Recommendation.registered_at, Recommendation.recommendation_id)
    query = (
        select(
            *columns(Recommendation, "recommendation_id user_id persona window_days content_type product_id insight"),
            *columns(Recommendation, "generation_ms content_hash"),
            status_at(now).label("status"),
            standing(now).label("standing"),
            Recommendation.registered_at,
            Recommendation.released_at,
            *columns(RecommendationText, "title content rationale findings slots"),
            case((rewritten, original.title)).label("original_title"),
            case((rewritten, original.content)).label("original_content"),
            *columns(Decision, "action operator_id decided_at reason"),
            rewriting.reason.label("override_reason"),
            rewriting.decided_at.label("overridden_at"),
        )
        .join(RecommendationText, current_text())
        .join(original, original_text(original))
        .outerjoin(Decision, Decision.decision_id == Recommendation.decision_id)
        .outerjoin(rewriting, and_(rewritten, rewriting.seq == last_override))
        .where(wanted)
        .order_by(*(column.desc() for column in order) if newest_first else order)
        .limit(limit)
    )
    found = [dict(row._mapping) for row in session.execute(query)]
    for row in found:
        row |= {name: json.loads(row[name]) for name in ("findings", "slots")}
    total = session.scalar(select(func.count()).select_from(Recommendation).where(wanted)) or 0
    return {"recommendations": found, "total": total}


def counted(session: Session, now: dt.datetime) -> dict[str, Any]:
    """{standings: {standing: n}, those that occur; mean_ms: mean time that writing took, 0 where the library wrote}."""
    written = func.avg(func.coalesce(Recommendation.generation_ms, 0.0))
    return {
        "standings": counts_by(session, standing(now).label("standing")),
        "mean_ms": session.scalar(select(written)) or 0.0,
    }
