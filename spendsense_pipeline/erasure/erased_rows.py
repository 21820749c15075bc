"""Erasing a customer from the governance database: at first nothing is visible any more, at the end nothing is left.

``begin`` closes consent, which empties the feed, and sets the tombstones; the files follow; ``finish`` takes the rows
out and leaves one link in the audit chain that says which places it emptied.
Each is one transaction and may be run again. Does not belong here: any file.
"""

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Engine, and_, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from spendsense_pipeline.erasure.erased import Erased
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, consent, holds, models, operators
from spendsense_pipeline.governance.database import chunks, require_reason, writing
from spendsense_pipeline.governance.encoding import identifier
from spendsense_pipeline.governance.models import (
    AccessToken,
    AuditEntry,
    Chained,
    ConsentPeriod,
    FeedbackEvent,
    Recommendation,
    TemplateDecision,
    Tombstone,
    TopicChoice,
    Viewing,
    WordingHold,
)
from spendsense_pipeline.governance.tombstones import digest

OF_RECOMMENDATION: dict[str, Any] = {
    "ghosts": models.Ghost,
    "recalls": models.Recall,
    "releases": models.Release,
    "viewings": models.Viewing,
    "decisions": models.Decision,
    "draft_events": models.DraftEvent,
    "texts": models.RecommendationText,
    "recommendations": models.Recommendation,
}
OF_CUSTOMER: dict[str, Any] = {
    "assignments": models.Assignment,
    "consent_events": models.ConsentEvent,
    "consent_periods": models.ConsentPeriod,
    "topic_choices": models.TopicChoice,
    "access_tokens": models.AccessToken,
    "slates": models.Slate,
    "hold_lifts": models.HoldLift,
    "holds": models.Hold,
    "erasure_requests": models.ErasureRequest,
    "row_states": models.RowState,
}
"""Tables whose rows go with a recommendation or a customer, in the order that the keys allow."""


def remembered(session: Session) -> Erased:
    """Everybody who was erased, or is being erased."""
    stones = session.execute(select(Tombstone.salt, Tombstone.digest)).all()
    return Erased(stones[0].salt if stones else "", [stone.digest for stone in stones])


def begin(
    engine: Engine,
    user_id: str,
    accounts: Iterable[str],
    operator_id: str,
    reason: str,
    now: dt.datetime,
    *,
    known: bool,
) -> list[str]:
    """Close consent and set the tombstones; returns the customer's recommendation ids.

    ``accounts`` are those that the data give to the customer; ``known`` says that the data have rows of theirs. From
    here on nothing is visible, and no file brings the customer back. Raises ``unknown_user``, ``reason_required``,
    ``reason_names_customer``, ``invalid_text``, ``not_a_customer`` for an operator's id; and since who may not decide
    may not erase, ``unknown_operator`` and ``inactive_operator``. Of a customer on legal hold nothing is erased
    (``on_hold``); the request waits for the hold's end.
    """
    require_reason(reason, "an erasure needs its reason, e.g. the request it answers", user_id, operator_id)
    if user_id in reason:
        raise SpendSenseError(
            f"the reason stays on record and must not name {user_id!r}; name the request", code="reason_names_customer"
        )
    with writing(engine) as session:
        operators.require_active(session, operator_id)
        if session.get(models.Operator, user_id) is not None:
            raise SpendSenseError(f"{user_id!r} is an operator: decisions bear that name", code="not_a_customer")
        erased = remembered(session)
        recommendations = _recommendations(session, user_id)
        heard = session.scalar(
            select(or_(*(exists().where(one.user_id == user_id) for one in (ConsentPeriod, TopicChoice, AccessToken))))
        )
        if not (known or recommendations or heard or erased.holds("user", user_id)):
            raise SpendSenseError(f"there is no user {user_id!r}; `spendsense users` lists them", code="unknown_user")
        held = holds.standing(session, user_id)
        if held:
            holds.keep_request(session, user_id, operator_id, reason, now)
        else:
            _begun(session, user_id, accounts, operator_id, now, erased)
    if held:
        holds.refuse(user_id, held)
    return recommendations


def _begun(
    session: Session, user_id: str, accounts: Iterable[str], operator_id: str, now: dt.datetime, erased: Erased
) -> None:
    live = session.scalars(
        select(ConsentPeriod.scope).where(ConsentPeriod.user_id == user_id, ConsentPeriod.closed_at.is_(None))
    ).all()
    if live:
        provenance = {"actor": operator_id, "source": "erasure", "channel": "operator", "reason": "erased"}
        consent.revoke(session, user_id, now, scopes=live, **provenance)
    shared_salt = erased.salt or audit.random_salt()
    owner = digest(shared_salt, "user", user_id)
    stones = {owner: "user"} | {digest(shared_salt, "account", one): "account" for one in accounts}
    there = {
        one
        for some in chunks(stones)
        for one in session.scalars(select(Tombstone.digest).where(Tombstone.digest.in_(some)))
    }
    new = [
        {"digest": stone, "kind": kind, "owner": owner, "salt": shared_salt, "recorded_at": now}
        for stone, kind in stones.items()
        if stone not in there
    ]
    audit.record(session, Tombstone, new, now)


def finish(
    engine: Engine, user_id: str, operator_id: str, reason: str, now: dt.datetime
) -> tuple[str | None, dict[str, int]]:
    """Take every row of the customer out; returns the erasure's id (None where there was nothing left) and counts.

    The chain keeps each place with its public part and its commitment, which nobody can open any more.
    """
    with writing(engine) as session:
        recommendations = _recommendations(session, user_id)
        links = _links(session, user_id, recommendations)
        counts = _taken_out(session, user_id, recommendations)
        for some in chunks(links):
            session.execute(update(AuditEntry).where(AuditEntry.seq.in_(some)).values(salt=None, subject_id=None))
        owner = digest(remembered(session).salt, "user", user_id)
        under_way = and_(Tombstone.owner == owner, Tombstone.erasure_id.is_(None))
        if not session.scalar(select(exists().where(under_way))) and not any(counts.values()):
            return None, counts
        name = json.dumps([now.isoformat(), operator_id, links, audit.random_salt()])
        erasure_id = identifier("era", name)
        said = {"operator_id": operator_id, "reason": reason, "links": json.dumps(links), "erased_at": now}
        audit.record_one(session, models.Erasure, now, erasure_id=erasure_id, **said)
        session.execute(update(Tombstone).where(under_way).values(erasure_id=erasure_id))
    return erasure_id, counts


def _recommendations(session: Session, user_id: str) -> list[str]:
    return list(session.scalars(select(Recommendation.recommendation_id).where(Recommendation.user_id == user_id)))


def _links(session: Session, user_id: str, recommendations: Sequence[str]) -> list[int]:
    """Places in the chain whose rows are about the customer, ascending."""
    found: list[int] = []
    for model in (one for one in OF_CUSTOMER.values() if issubclass(one, Chained)):
        found += session.scalars(select(model.seq).where(model.user_id == user_id))
    for model in (one for one in OF_RECOMMENDATION.values() if issubclass(one, Chained)):
        for some in chunks(recommendations):
            found += session.scalars(select(model.seq).where(model.recommendation_id.in_(some)))
    return sorted(found)


def _taken_out(session: Session, user_id: str, recommendations: Sequence[str]) -> dict[str, int]:
    """Delete in the order that the keys allow; rows deleted by table."""
    counts = dict.fromkeys(("feedback_events", *OF_RECOMMENDATION, *OF_CUSTOMER), 0)

    def without(name: str, model: Any, condition: Any) -> None:
        counts[name] += session.execute(delete(model).where(condition)).rowcount  # type: ignore[attr-defined] # a delete has it

    without("feedback_events", FeedbackEvent, FeedbackEvent.user_id == user_id)
    for some in chunks(recommendations):
        held, sampled = WordingHold.recommendation_id.in_(some), TemplateDecision.sample_id.in_(some)
        session.execute(update(WordingHold).where(held).values(recommendation_id=None))
        session.execute(update(TemplateDecision).where(sampled).values(sample_id=None))
        for name, model in OF_RECOMMENDATION.items():
            without(name, model, model.recommendation_id.in_(some))
    for name, model in OF_CUSTOMER.items():
        without(name, model, model.user_id == user_id)
    without("viewings", Viewing, Viewing.operator_id == user_id)
    return counts
