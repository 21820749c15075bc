"""How what was released ends: its time, a newer text of the same piece, a product that is gone, an admin's order.

Each end is a row in the audit chain, written by ``end``; the feed leaves it out from the same transaction on.
A wording that a customer found wrong is held until an operator looked. Does not belong here: consent's own end
(``consent``), and what a topic switched off ends (``topics``).
"""

import datetime as dt
from collections.abc import Container, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, exists, func, select
from sqlalchemy.orm import Session, aliased

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, credentials, draft_events, operators, row_states
from spendsense_pipeline.governance.database import (
    AnyRow,
    AnySelect,
    counts_by,
    fields,
    is_name,
    matching,
    quoted,
    require_reason,
    set_among,
    writing,
)
from spendsense_pipeline.governance.encoding import identifier, sha256
from spendsense_pipeline.governance.lifecycle import Wording, has_wording, release_stands, wording_named, wording_of
from spendsense_pipeline.governance.models import (
    OPEN,
    RECALL_TARGETS,
    Decision,
    FeedbackEvent,
    Recall,
    RecallOrder,
    Recommendation,
    Release,
    StandingApproval,
    WordingHold,
)
from spendsense_pipeline.governance.operators import LOCAL


def due(session: Session, now: dt.datetime, withdrawn: Container[str], *, limit: int | None = None) -> list[AnyRow]:
    """The standing releases that are over by the clock or by their product.

    (release_id, recommendation_id, product_id). Two questions, for each has an index of its own.
    """
    late = _standing().where(Release.expires_at <= now)
    products = [one for one in _released_products(session) if one in withdrawn] if withdrawn != () else []
    gone = _standing().where(Recommendation.product_id.in_(products), Recommendation.released_at.is_not(None))
    found: dict[str, AnyRow] = {}
    for query in (late, gone) if products else (late,):
        rows = session.execute(query.add_columns(Recommendation.product_id).limit(limit))
        found |= {row.release_id: row for row in rows}
    return [found[name] for name in sorted(found)]


def _released_products(session: Session) -> Iterator[str]:
    """The products of all offers that were ever released, each by a look into the index: they are few, offers many."""
    next_one = select(func.min(Recommendation.product_id)).where(
        Recommendation.product_id.is_not(None), Recommendation.released_at.is_not(None)
    )
    found = session.scalar(next_one)
    while found is not None:
        yield found
        found = session.scalar(next_one.where(Recommendation.product_id > found))


def offers_stand(session: Session) -> bool:
    """Whether any released offer has not ended, so that it matters which products are gone."""
    offers = _standing().where(Recommendation.product_id.is_not(None), Recommendation.released_at.is_not(None))
    return session.execute(offers.limit(1)).first() is not None


def end_due(session: Session, now: dt.datetime, withdrawn: Container[str]) -> dict[str, list[str]]:
    """Write down what the clock and the catalogue have ended: cause → recommendation ids."""
    over: dict[str, list[AnyRow]] = {}
    for row in due(session, now, withdrawn):
        over.setdefault("product_withdrawn" if row.product_id in withdrawn else "expired", []).append(row)
    for cause, releases in over.items():
        end(session, releases, cause, now)
    return {cause: [row.recommendation_id for row in releases] for cause, releases in over.items()}


def standing(session: Session, which: ColumnElement[bool]) -> Sequence[AnyRow]:
    """The releases that stand and meet the condition, oldest first: release_id, recommendation_id, consent_id."""
    return session.execute(_released().where(release_stands(), which).order_by(Release.seq)).all()


def end(
    session: Session, releases: Sequence[AnyRow], cause: str, now: dt.datetime, order_id: str | None = None
) -> None:
    """Write down that these releases ended: the one way that a release ends."""
    said = {"cause": cause, "recalled_at": now, "order_id": order_id}
    ends = [fields(row, "release_id recommendation_id") | said for row in releases]
    audit.record(session, Recall, ends, now)
    set_among(session, Release.release_id, [row.release_id for row in releases], ended_at=now)


def end_replaced(session: Session, user_ids: Sequence[str], now: dt.datetime) -> list[str]:
    """Of each piece of these customers only the newest release stays; returns the recommendations that ended."""
    newer, other = aliased(Release), aliased(Recommendation)
    same_piece = and_(
        other.user_id == Recommendation.user_id,
        other.content_type == Recommendation.content_type,
        func.coalesce(other.product_id, other.template_id)
        == func.coalesce(Recommendation.product_id, Recommendation.template_id),
    )
    replaced = (
        exists()
        .where(newer.recommendation_id == other.recommendation_id, same_piece, newer.seq > Release.seq)
        .correlate(Release, Recommendation)
    )
    newest_only = _standing().where(replaced).order_by(Release.seq)
    over = [*matching(session, newest_only, Recommendation.user_id, sorted(set(user_ids)))]
    end(session, over, "replaced", now)
    return [row.recommendation_id for row in over]


def recall(
    engine: Engine,
    target: str,
    subject: str,
    now: dt.datetime,
    *,
    reason: str,
    actor: str = LOCAL,
    since: dt.datetime | None = None,
) -> dict[str, Any]:
    """Take back what was released, and take out what waits: {order_id, recalled, voided}, recommendation ids.

    ``target`` and ``subject``: a ``recommendation``, a ``template`` (T@HASH), a ``product``, or what an ``operator``
    decided since ``since``. Standing approvals of the wordings, or that the operator gave since, end too. ``actor`` is
    an active admin, or ``local``.
    Raises ``reason_required``, ``unknown_operator``, ``not_permitted``, ``invalid_recall``, ``unknown_template`` and
    ``nothing_to_recall``.
    """
    require_reason(reason, "a recall needs its reason; it stays on record")
    if target not in RECALL_TARGETS or not is_name(subject) or (target == "operator") != (since is not None):
        raise SpendSenseError(
            f"a recall names one of {', '.join(RECALL_TARGETS)}, an operator with the moment since when",
            code="invalid_recall",
        )
    with writing(engine) as session:
        if actor != LOCAL:
            admin = credentials.person(session, actor)
            if admin is None:
                raise SpendSenseError(f"there is no active operator {quoted(actor)}", code="unknown_operator")
            if admin.role != "admin":
                raise SpendSenseError(f"an admin recalls; {quoted(actor)} is {admin.role}", code="not_permitted")
        chosen = _texts_meant(session, target, subject, since)
        released = standing(session, chosen)
        open_ones = and_(chosen, Recommendation.status.in_(OPEN), Recommendation.released_at.is_(None))
        waits = session.scalar(select(exists().where(open_ones)))
        approvals = _standing_meant(session, target, subject, since, chosen)
        if not (released or waits or approvals):
            raise SpendSenseError(
                f"nothing of {target} {quoted(subject)} is released or waits", code="nothing_to_recall"
            )
        ids = [row.release_id for row in released]
        count, _ = audit.head(session)
        order_id = identifier("ord", f"{target} {subject} {count}")
        said = {"target": target, "subject": subject, "since": since, "actor": actor, "reason": reason}
        counted = {"releases": len(ids), "digest": sha256("\n".join(ids))}
        audit.record_one(session, RecallOrder, now, order_id=order_id, **said, **counted, ordered_at=now)
        end(session, released, "recalled", now, order_id)
        voided = draft_events.close(session, chosen, "voided", now)
        for given in approvals:
            given.ended_at, given.ended_by = now, actor
        row_states.record(session, now, *approvals)
    return {
        "order_id": order_id,
        "recalled": [row.recommendation_id for row in released],
        "voided": [row["recommendation_id"] for row in voided],
    }


def hold(session: Session, wording: Wording, cause: str, recommendation_id: str, now: dt.datetime) -> bool:
    """Hold a wording until an operator looked; False where it is held already."""
    of_it = has_wording(wording, WordingHold)
    if session.scalar(select(exists().where(of_it, WordingHold.cleared_at.is_(None)))):
        return False
    before = session.scalar(select(func.count()).select_from(WordingHold).where(of_it))
    said = {"cause": cause, "recommendation_id": recommendation_id, "opened_at": now}
    hold_id = identifier("hld", f"{tuple(wording)} {before}")
    held = WordingHold(hold_id=hold_id, **wording._asdict(), **said)
    session.add(held)
    row_states.record(session, now, held)
    return True


def clear_hold(engine: Engine, reference: str, operator_id: str, now: dt.datetime, *, note: str) -> dict[str, Any]:
    """An operator looked at a held wording (T@HASH) and lets it go on: {hold_id, template_id, template_hash}.

    An admin may, too. Raises ``not_held``, ``reason_required`` and as ``operators.require_may_decide``.
    """
    require_reason(note, "say what you found; the note stays with the hold")
    template_id, _, seen = reference.rpartition("@")
    with writing(engine) as session:
        held = session.scalars(
            select(WordingHold).where(
                WordingHold.template_id == template_id,
                WordingHold.template_hash.startswith(seen, autoescape=True),
                WordingHold.cleared_at.is_(None),
            )
        ).all()
        if len(held) != 1 or not seen:
            raise SpendSenseError(f"no single wording {quoted(reference)} is held", code="not_held")
        (one,) = held
        operators.require_may_decide(session, operator_id, wording_of(one), now, besides="admin")
        one.cleared_at, one.cleared_by, one.note = now, operator_id, note
        row_states.record(session, now, one)
        return fields(one, "hold_id template_id template_hash")


def holds(session: Session) -> list[dict[str, Any]]:
    """The wordings that are held: hold_id, template_id, template_hash, reference, cause, recommendation_id,
    opened_at, cleared_at, cleared_by, note, said (the customer's own words, if there were any); newest first.
    """
    names = "hold_id template_id template_hash cause recommendation_id opened_at cleared_at cleared_by note"
    held = select(WordingHold).where(WordingHold.cleared_at.is_(None)).order_by(WordingHold.opened_at.desc())
    return [
        fields(row, names) | {"reference": wording_of(row).reference, "said": _customer_words(session, row)}
        for row in session.scalars(held)
    ]


def _customer_words(session: Session, held: WordingHold) -> str | None:
    return session.scalars(
        select(FeedbackEvent.note)
        .join(Release, Release.release_id == FeedbackEvent.release_id)
        .where(
            Release.recommendation_id == held.recommendation_id,
            FeedbackEvent.kind == held.cause,
            FeedbackEvent.note.is_not(None),
        )
        .order_by(FeedbackEvent.received_at.desc())
    ).first()


def causes(session: Session) -> dict[str, int]:
    """cause → releases that ended by it."""
    return counts_by(session, Recall.cause)


def _released() -> AnySelect:
    return select(Release.release_id, Release.recommendation_id, Release.consent_id).join(
        Recommendation, Recommendation.recommendation_id == Release.recommendation_id
    )


def _standing() -> AnySelect:
    """The releases that stand, by the index that has no others."""
    return _released().where(Release.ended_at.is_(None), release_stands())


def _standing_meant(
    session: Session, target: str, subject: str, since: dt.datetime | None, chosen: ColumnElement[bool]
) -> Sequence[StandingApproval]:
    """The standing approvals that would bring back what a recall takes back: of its wordings, or of its operator."""
    if target == "recommendation":
        return ()
    of_wording = exists().where(
        chosen,
        Recommendation.template_id == StandingApproval.template_id,
        Recommendation.template_hash == StandingApproval.template_hash,
    )
    meant: ColumnElement[bool] = of_wording
    if target == "operator":
        meant = and_(StandingApproval.operator_id == subject, StandingApproval.given_at >= since)
    return session.scalars(select(StandingApproval).where(StandingApproval.ended_at.is_(None), meant)).all()


def _texts_meant(session: Session, target: str, subject: str, since: dt.datetime | None) -> ColumnElement[bool]:
    if target == "recommendation":
        return Recommendation.recommendation_id == subject
    if target == "product":
        return Recommendation.product_id == subject
    if target == "template":
        return has_wording(wording_named(session, subject if "@" in subject else f"{subject}@"))
    decided = select(Decision.decision_id).where(
        Decision.operator_id == subject, Decision.decided_at >= since, Decision.action.in_(("approve", "override"))
    )
    return Recommendation.decision_id.in_(decided)
