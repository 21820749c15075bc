"""Who may decide. Belongs here: registering and deactivating; what an operator may do is in ``review``."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance.database import LONGEST_NAME, is_name, quoted, storable
from spendsense_pipeline.governance.models import Operator


def add(session: Session, operator_id: str, now: dt.datetime, source: str = "command") -> str:
    """Register an operator, or let one decide again: ``added``, ``reactivated`` or ``unchanged``."""
    if not is_name(operator_id) or not storable(source):
        raise SpendSenseError(
            f"an operator needs a readable id of 1 to {LONGEST_NAME} characters, not {quoted(operator_id)}",
            code="invalid_operator",
        )
    known = session.get(Operator, operator_id)
    if known is None:
        session.add(Operator(operator_id=operator_id, registered_at=now, source=source))
        session.flush()
        return "added"
    if known.deactivated_at is None:
        return "unchanged"
    known.deactivated_at = None
    session.flush()
    return "reactivated"


def deactivate(session: Session, operator_id: str, now: dt.datetime) -> str:
    """Let an operator decide no more; what was decided stands. ``deactivated`` or ``unchanged``."""
    known = session.get(Operator, operator_id) if storable(operator_id) else None
    if known is None:
        raise SpendSenseError(
            f"there is no operator {quoted(operator_id)}; `spendsense operator list` shows them",
            code="unknown_operator",
        )
    if known.deactivated_at is not None:
        return "unchanged"
    known.deactivated_at = now
    session.flush()
    return "deactivated"


def listed(session: Session) -> list[dict[str, Any]]:
    """All operators: operator_id, active, registered_at, deactivated_at, source."""
    return [
        {
            "operator_id": operator.operator_id,
            "active": operator.deactivated_at is None,
            "registered_at": operator.registered_at,
            "deactivated_at": operator.deactivated_at,
            "source": operator.source,
        }
        for operator in session.scalars(select(Operator).order_by(Operator.operator_id))
    ]


def register_from_files(
    session: Session, operator_ids: Iterable[str], now: dt.datetime, *, source: str, trust: bool = False
) -> int:
    """Register the operators that landed files name; returns how many are new.

    Files add operators only while there are none at all, or when the caller trusts them. They never bring back one
    that was deactivated: whoever can drop a file must not be able to appoint a reviewer.
    """
    if not trust and session.scalar(select(func.count()).select_from(Operator)):
        return 0
    known = set(session.scalars(select(Operator.operator_id)))
    new = sorted({name for name in operator_ids if is_name(name)} - known)
    if new:
        session.execute(
            insert(Operator),
            [{"operator_id": name, "registered_at": now, "source": source} for name in new],
        )
    return len(new)
