"""What other systems are told: releases, their ends, changes of consent; each at least once, signed by the sender.

The audit chain is the outbox: its links are written in the deciding transaction, in order, and nothing has to be
written twice. An address has a cursor in it and a row for each message that is on its way. Does not belong here:
sending (``service.webhooks``).
"""

import datetime as dt
from typing import Any, Final

from sqlalchemy import Engine, Select, and_, func, select, update
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance.database import add_rows, adding, columns, fields, reading
from spendsense_pipeline.governance.models import (
    DELIVERY_STATES,
    AuditEntry,
    AuditHead,
    ConsentEvent,
    Recall,
    Recommendation,
    Release,
    TopicChoice,
    WebhookCursor,
    WebhookDelivery,
)

TYPES: Final = {"release": "released", "recall": "recalled", "consent": "consent_changed", "topic": "consent_changed"}
"""Kinds of links that are told of, and the type of their message."""
PAUSES: Final = tuple(dt.timedelta(seconds=one) for one in (5, 30, 120, 600, 3_600, 6 * 3_600, 24 * 3_600))
"""Between attempts; after the last one a message is dead until it is replayed."""
AT_ONCE: Final = 500


def enqueue(engine: Engine, address: str, now: dt.datetime) -> int:
    """Put what happened since the address was last told on its way; how many messages.

    An address hears of what comes after it was first seen.
    """
    with reading(engine) as session:  # nothing new is the rule, and should keep no writer waiting
        if session.scalar(select(AuditHead.count)) == session.scalar(_cursor(address)):
            return 0
    with adding(engine) as session:
        cursor = session.scalar(_cursor(address).with_for_update())
        head = session.scalar(select(AuditHead.count)) or 0
        if cursor is None:
            session.add(WebhookCursor(address=address, seq=head))
            return 0
        if head <= cursor:
            return 0
        upto = min(head, cursor + 10 * AT_ONCE)
        seqs = session.scalars(
            select(AuditEntry.seq)
            .where(AuditEntry.seq > cursor, AuditEntry.seq <= upto, AuditEntry.kind.in_(list(TYPES)))
            .order_by(AuditEntry.seq)
        ).all()
        rows = [{"address": address, "seq": seq, "state": "waiting", "attempts": 0, "next_at": now} for seq in seqs]
        add_rows(session, WebhookDelivery, rows)
        session.execute(update(WebhookCursor).where(WebhookCursor.address == address).values(seq=upto))
    return len(rows)


def _cursor(address: str) -> Select[int]:
    return select(WebhookCursor.seq).where(WebhookCursor.address == address)


def due(session: Session, address: str, now: dt.datetime) -> list[dict[str, Any]]:
    """The messages whose time has come, oldest first: {id, seq, attempts, payload}; payload None where the customer
    was erased since.
    """
    rows = session.execute(
        select(WebhookDelivery.seq, WebhookDelivery.attempts, AuditEntry.kind, AuditEntry.recorded_at)
        .join(AuditEntry, AuditEntry.seq == WebhookDelivery.seq)
        .where(WebhookDelivery.address == address, WebhookDelivery.state == "waiting", WebhookDelivery.next_at <= now)
        .order_by(WebhookDelivery.seq)
        .limit(AT_ONCE)
    ).all()
    return [
        {"id": f"msg_{row.seq}", "seq": row.seq, "attempts": row.attempts, "payload": _payload(session, row)}
        for row in rows
    ]


def _payload(session: Session, link: Any) -> dict[str, Any] | None:
    """What a message says: ids and what happened, never the text; the receiver asks for the feed."""
    seq = link.seq
    queries = {
        "release": select(
            Recommendation.user_id,
            *columns(Release, "release_id recommendation_id"),
            Recommendation.content_type,
            Release.expires_at,
        )
        .join(Recommendation, Recommendation.recommendation_id == Release.recommendation_id)
        .where(Release.seq == seq),
        "recall": select(Recommendation.user_id, *columns(Recall, "release_id recommendation_id cause"))
        .join(Recommendation, Recommendation.recommendation_id == Recall.recommendation_id)
        .where(Recall.seq == seq),
        "consent": select(*columns(ConsentEvent, "user_id scope action")).where(ConsentEvent.seq == seq),
        "topic": select(*columns(TopicChoice, "user_id topic choice")).where(TopicChoice.seq == seq),
    }
    found = session.execute(queries[link.kind]).first()
    if found is None:
        return None
    return {"type": TYPES[link.kind], "timestamp": link.recorded_at, "data": dict(found._mapping)}


def attempted(engine: Engine, address: str, seq: int, attempts: int, problem: str | None, now: dt.datetime) -> str:
    """Note an attempt: ``delivered`` where there was no problem, ``waiting`` for the next one, or ``dead``."""
    values: dict[str, Any] = {"state": "delivered", "error": None}
    if problem is not None:
        pause = PAUSES[min(attempts, len(PAUSES) - 1)]
        values = {"state": "waiting" if attempts < len(PAUSES) else "dead", "error": problem[:500]}
        values |= {"attempts": attempts + 1, "next_at": now + pause}
    of = and_(WebhookDelivery.address == address, WebhookDelivery.seq == seq)
    with adding(engine) as session:
        session.execute(update(WebhookDelivery).where(of).values(**values))
    return str(values["state"])


def replay(engine: Engine, now: dt.datetime, *, since: int | None = None) -> int:
    """Send dead messages again, or with ``since`` everything from that place in the chain on; how many."""
    again = WebhookDelivery.state == "dead" if since is None else WebhookDelivery.seq >= since
    if since is not None and not 1 <= since < 2**63:
        raise SpendSenseError(f"a place in the audit chain is 1 or more, not {since}", code="invalid_seq")
    with adding(engine) as session:
        changed = session.execute(
            update(WebhookDelivery)
            .where(again)
            .values(state="waiting", attempts=0, next_at=now, error=None)
            .returning(WebhookDelivery.seq)
        ).all()
    return len(changed)


def states(engine: Engine) -> dict[str, dict[str, int]]:
    """address → {waiting, delivered, dead}."""
    each = (func.count().filter(WebhookDelivery.state == state).label(state) for state in DELIVERY_STATES)
    with reading(engine) as session:
        rows = session.execute(select(WebhookDelivery.address, *each).group_by(WebhookDelivery.address))
        return {row.address: fields(row, " ".join(DELIVERY_STATES)) for row in rows}
