"""Legal holds: what is known of a customer must not go while one stands.

An erasure is refused meanwhile and remembered; whoever lifts the last hold carries it out. Belongs here: placing,
lifting, listing. Does not belong here: erasing (``erasure``).
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NoReturn

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, operators, row_states
from spendsense_pipeline.governance.database import fields, quoted, require_reason
from spendsense_pipeline.governance.encoding import identifier
from spendsense_pipeline.governance.models import ErasureRequest, Hold, HoldLift
from spendsense_pipeline.governance.tombstones import require_not_erased

NO_REASON = "a hold needs its reason, e.g. the matter it is for"


def place(session: Session, user_id: str, operator_id: str, reason: str, now: dt.datetime) -> str:
    """Put a customer on hold; returns the hold's id. Each matter has a hold of its own.

    That there is such a customer is the caller's to know. Raises ``reason_required``, ``invalid_text``,
    ``unknown_user`` for one who was erased, ``unknown_operator`` and ``inactive_operator``.
    """
    require_reason(reason, NO_REASON, operator_id, user_id)
    operators.require_active(session, operator_id)
    require_not_erased(session, user_id)
    count, _ = audit.head(session)
    hold_id = identifier("hol", f"{user_id} {count}")
    said = {"operator_id": operator_id, "reason": reason, "placed_at": now}
    audit.record_one(session, Hold, now, hold_id=hold_id, user_id=user_id, **said)
    return hold_id


def lift(session: Session, which: str, operator_id: str, reason: str, now: dt.datetime) -> dict[str, Any]:
    """Lift a hold by its id, or a customer's only one: {hold_id, user_id, waiting}.

    ``waiting`` is the erasure that can be carried out now, {reason, operator_id, requested_at}, None where none waits
    or another hold stands. Raises ``unknown_hold``, ``several_holds``, and as ``place``.
    """
    require_reason(reason, NO_REASON, operator_id, which)
    operators.require_active(session, operator_id)
    found = session.scalars(select(Hold).where((Hold.hold_id == which) | (Hold.user_id == which), _hold_stands())).all()
    if not found:
        raise SpendSenseError(f"no hold stands on {quoted(which)}; `spendsense holds list`", code="unknown_hold")
    if len(found) > 1:
        raise SpendSenseError(
            f"{len(found)} holds stand on {quoted(which)}: name one, {', '.join(one.hold_id for one in found)}",
            code="several_holds",
        )
    hold = found[0]
    said = {"operator_id": operator_id, "reason": reason, "lifted_at": now}
    audit.record_one(session, HoldLift, now, **fields(hold, "hold_id user_id"), **said)
    held, request = standing(session, hold.user_id), session.get(ErasureRequest, hold.user_id)
    waiting = fields(request, "reason operator_id requested_at") if request and not held else None
    return fields(hold, "hold_id user_id") | {"waiting": waiting}


def standing(session: Session, user_id: str) -> Sequence[Hold]:
    """The holds that stand on a customer, oldest first."""
    return session.scalars(select(Hold).where(Hold.user_id == user_id, _hold_stands()).order_by(Hold.seq)).all()


def listed(session: Session) -> list[dict[str, Any]]:
    """All holds, newest first: hold_id, user_id, reason, operator_id, placed_at, lifted_at, lifted_by, lift_reason,
    erasure_waits.
    """
    waiting = set(session.scalars(select(ErasureRequest.user_id)))
    query = select(Hold, HoldLift).outerjoin(HoldLift, HoldLift.hold_id == Hold.hold_id).order_by(Hold.seq.desc())
    return [
        {
            **fields(hold, "hold_id user_id reason operator_id placed_at"),
            "lifted_at": end.lifted_at if end else None,
            "lifted_by": end.operator_id if end else None,
            "lift_reason": end.reason if end else None,
            "erasure_waits": hold.user_id in waiting,
        }
        for hold, end in session.execute(query)
    ]


def refuse(user_id: str, held: Sequence[Hold]) -> NoReturn:
    """Raise ``on_hold`` with the reasons."""
    reasons = "; ".join(f"since {hold.placed_at:%Y-%m-%d}: {hold.reason}" for hold in held)
    raise SpendSenseError(
        f"{quoted(user_id)} is on legal hold ({reasons}); nothing was erased. The erasure is kept and carried out when "
        "the hold is lifted: `spendsense holds lift`",
        code="on_hold",
    )


def keep_request(session: Session, user_id: str, operator_id: str, reason: str, now: dt.datetime) -> None:
    """Remember an erasure that a hold stands in the way of; the first one stays."""
    if session.get(ErasureRequest, user_id) is None:
        request = ErasureRequest(user_id=user_id, operator_id=operator_id, reason=reason, requested_at=now)
        session.add(request)
        row_states.record(session, now, request)


def _hold_stands() -> Any:
    return ~exists().where(HoldLift.hold_id == Hold.hold_id)
