"""What waits for operators and how they see it: the queue, one recommendation in full, lists of them, the counts.

Only reads (``show`` also remembers what it showed to whom). Deciding is ``review``; the auditor's view is ``why``.
"""

import datetime as dt
import json
from collections.abc import Collection
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Engine, Select, and_, case, false, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from spendsense_pipeline.durations import NEAR_EXPIRY
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance.database import (
    AnyRow,
    AnySelect,
    columns,
    counts_by,
    fields,
    is_name,
    quoted,
    storable,
    writing,
)
from spendsense_pipeline.governance.lifecycle import current_text, in_status, original_text, status_at
from spendsense_pipeline.governance.models import (
    OPEN,
    STATUSES,
    ConsentPeriod,
    Decision,
    Recall,
    Recommendation,
    RecommendationText,
    Release,
    TemplateDecision,
    Viewing,
)
from spendsense_pipeline.recommendations.facts import explained

REVIEWED: Final = ("pending_approval", "approved", "overridden", "rejected")
"""The standings of what an operator has to do with; the others ended without one."""


_STORED: Final = {
    "approved": ("approved", "overridden"),
    "overridden": ("overridden", "pending_approval"),
    "expired": ("expired", *OPEN),
}
"""The stored statuses that a standing can have, for the index; of the others it is the one of its name."""

S = TypeVar("S", bound=Select[Any])


def wording_approved() -> ColumnElement[bool]:
    """The SQL condition that an operator approved this wording before: as a template, or one text of it as it stood.

    It says how closely to read and approves nothing.
    """
    other = aliased(Recommendation)
    # Each looked up by itself: a list of all that was ever approved would be read for every page.
    single = select(other.template_id).where(same_wording(other, Recommendation), other.status == "approved")
    whole = select(TemplateDecision.template_id).where(same_wording(TemplateDecision, Recommendation))
    return or_(whole.exists(), single.exists())


def same_wording(one: Any, other: Any) -> ColumnElement[bool]:
    """The SQL condition that rows of two tables are of one wording."""
    return and_(one.template_id == other.template_id, one.template_hash == other.template_hash)


def queue(
    session: Session,
    now: dt.datetime,
    *,
    status: str = "pending_approval",
    user_id: str | None = None,
    persona: str | None = None,
    template_id: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> dict[str, Any]:
    """The items of one status, most urgent first: {queue: [row], total, limit, offset}.

    Order: gravest findings, wordings nobody approved before, near expiry, age. Rows: recommendation_id, user_id, as_of,
    persona, content_type, title, status, content_hash, template_id, template_hash, wording_approved (whether an
    operator approved these words before, with other figures), product_id, findings, registered_at, expires_at,
    released_at, age_hours (since the first draft that this one replaces).
    """
    if status not in STATUSES:
        raise SpendSenseError(
            f"unknown status {quoted(status)}; statuses are {', '.join(STATUSES)}", code="unknown_status"
        )
    wanted = in_status(now, status)
    for name, value in {"user_id": user_id, "persona": persona, "template_id": template_id}.items():
        if value is not None:
            wanted = and_(wanted, getattr(Recommendation, name) == value if storable(value) else false())
    ids = select(Recommendation.recommendation_id).join(RecommendationText, current_text()).where(wanted)
    page = session.scalars(_urgent_first(ids, now).limit(limit).offset(offset)).all()
    # Only what is shown is read in full: sorted with their findings, all rows would pass through memory.
    rows = session.execute(_urgent_first(_queue_rows(now).where(Recommendation.recommendation_id.in_(page)), now))
    total = session.scalar(select(func.count()).select_from(Recommendation).where(wanted))
    return {"queue": [_queue_row(row, now) for row in rows], "total": total or 0, "limit": limit, "offset": offset}


def figures_together(count: str) -> tuple[ColumnElement[Any], ...]:
    """What is said of texts that wait together: how many (named ``count``), with_findings, oldest, next_expiry."""
    return (
        func.count().label(count),
        func.count().filter(RecommendationText.severity > 0).label("with_findings"),
        func.min(Recommendation.first_registered_at).label("oldest"),
        func.min(Recommendation.expires_at).label("next_expiry"),
    )


def queue_by_template(session: Session, now: dt.datetime, *, status: str = "pending_approval") -> list[dict[str, Any]]:
    """The queue as pieces of writing: words nobody approved before first, then those that most wait with.

    Rows: template_id, template_hash, content_type, wording_approved, count, with_findings, oldest (first
    registration), next_expiry.
    """
    wording = (Recommendation.template_id, Recommendation.template_hash, Recommendation.content_type)
    approved = func.max(case((wording_approved(), 1), else_=0))
    grouped = (
        select(*wording, approved.label("wording_approved"), *figures_together("count"))
        .join(RecommendationText, current_text())
        .where(in_status(now, status))
        .group_by(*wording)
        .order_by(approved, func.count().desc(), *wording)
    )
    return [dict(row._mapping) | {"wording_approved": bool(row.wording_approved)} for row in session.execute(grouped)]


def waiting(session: Session, now: dt.datetime) -> dict[str, Any]:
    """The queue in figures: {waiting, near_expiry, with_findings, oldest_hours}; what the operators' check shows."""
    figures = (
        select(
            *figures_together("waiting"),
            func.count().filter(Recommendation.expires_at <= now + NEAR_EXPIRY).label("near_expiry"),
        )
        .join(RecommendationText, current_text())
        .where(in_status(now, "pending_approval"))
    )
    found = session.execute(figures).one()
    oldest = _hours(now - found.oldest) if found.oldest else None
    return fields(found, "waiting near_expiry with_findings") | {"oldest_hours": oldest}


def ages(session: Session, now: dt.datetime) -> list[float]:
    """Hours that each waiting item has waited, oldest first."""
    first = select(Recommendation.first_registered_at).where(in_status(now, "pending_approval"))
    return [_hours(now - one) for one in session.scalars(first.order_by(Recommendation.first_registered_at))]


def counts(session: Session, now: dt.datetime) -> dict[str, dict[str, int]]:
    """{recommendations: {status: n}, releases: {released, recalled}}, every status named."""
    found = counts_by(session, status_at(now).label("status"))
    return {
        "recommendations": {name: found.get(name, 0) for name in STATUSES},
        "releases": {
            "released": session.scalar(select(func.count()).select_from(Release)) or 0,
            "recalled": session.scalar(select(func.count()).select_from(Recall)) or 0,
        },
    }


def show(engine: Engine, recommendation_id: str, now: dt.datetime, *, operator_id: str = "") -> dict[str, Any]:
    """One recommendation in full, and remember that this operator was shown exactly this text.

    A queue row and content, rationale, slots, reasons, original (the pipeline's text where an operator's stands),
    decisions (oldest first), consent {consent_id, scope, granted_at, opened_at, closed_at}.
    Raises ``unknown_recommendation``.
    """
    with writing(engine) as session:
        shown = full(session, recommendation_id, now)
        if not operator_id or is_name(operator_id):
            seen = {"operator_id": operator_id, "content_hash": shown["content_hash"], "viewed_at": now}
            session.merge(Viewing(recommendation_id=recommendation_id, **seen))
    return shown


def full(session: Session, recommendation_id: str, now: dt.datetime) -> dict[str, Any]:
    """As ``show``, without remembering that it was shown."""
    row = None
    if storable(recommendation_id):
        row = session.execute(_queue_rows(now).where(Recommendation.recommendation_id == recommendation_id)).first()
    if row is None:
        raise SpendSenseError(
            f"there is no recommendation {quoted(recommendation_id)}; `spendsense queue` shows those that wait",
            code="unknown_recommendation",
        )
    recommendation = session.get_one(Recommendation, recommendation_id)
    text = session.get_one(RecommendationText, (recommendation_id, recommendation.content_hash))
    original = session.get_one(RecommendationText, (recommendation_id, recommendation.original_hash))
    period = session.get_one(ConsentPeriod, recommendation.consent_id)
    decisions = session.scalars(
        select(Decision).where(Decision.recommendation_id == recommendation_id).order_by(Decision.ordinal)
    )
    return _queue_row(row, now) | {
        **fields(text, "content rationale"),
        **fields(recommendation, "situation insight insight_id"),
        "situation_facts": explained(recommendation.situation)["facts"],
        "slots": json.loads(text.slots),
        "reasons": json.loads(text.reasons),
        "original": None if original is text else text_row(original),
        "decisions": [
            fields(decision, "decision_id action operator_id content_hash reason made run_id decided_at")
            for decision in decisions
        ],
        "consent": {
            **fields(period, "consent_id scope granted_at opened_at closed_at"),
            "granted_at": period.renewed_at or period.granted_at,
        },
    }


def text_row(text: RecommendationText) -> dict[str, Any]:
    """A stored text as people read it; ``author`` None is the pipeline."""
    row = fields(text, "content_hash title content rationale findings author written_at")
    return row | {"findings": json.loads(text.findings)}


def _queue_rows(now: dt.datetime) -> AnySelect:
    return select(
        *columns(Recommendation, "recommendation_id user_id as_of persona content_type"),
        RecommendationText.title,
        status_at(now).label("status"),
        *columns(Recommendation, "content_hash template_id template_hash"),
        wording_approved().label("wording_approved"),
        Recommendation.product_id,
        RecommendationText.findings,
        *columns(Recommendation, "registered_at expires_at released_at first_registered_at"),
    ).join(RecommendationText, current_text())


def _urgent_first(chosen: S, now: dt.datetime) -> S:
    """Gravest findings, wordings nobody approved before, near expiry, age."""
    near = Recommendation.expires_at <= now + NEAR_EXPIRY
    return chosen.order_by(
        RecommendationText.severity.desc(),
        case((wording_approved(), 1), else_=0),
        case((near, 0), else_=1),
        Recommendation.first_registered_at,
        Recommendation.recommendation_id,
    )


def _queue_row(row: AnyRow, now: dt.datetime) -> dict[str, Any]:
    shown = dict(row._mapping)
    first = shown.pop("first_registered_at")
    return shown | {"findings": json.loads(shown["findings"]), "age_hours": _hours(now - first)}


def _hours(age: dt.timedelta) -> float:
    return round(age / dt.timedelta(hours=1), 1)


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


def counts_by_standing(session: Session, now: dt.datetime) -> dict[str, Any]:
    """{standings: {standing: n}, those that occur; mean_ms: mean time that writing took, 0 where the library wrote}."""
    written = func.avg(func.coalesce(Recommendation.generation_ms, 0.0))
    return {
        "standings": counts_by(session, standing(now).label("standing")),
        "mean_ms": session.scalar(select(written)) or 0.0,
    }
