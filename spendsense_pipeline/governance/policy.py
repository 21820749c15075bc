"""Rules that a deployment decided on and that no process may loosen by its own settings: four eyes, life of consent.

They are kept in the database, each change a link of the audit chain. A process whose settings are stricter has its
way, and ``keep`` makes that the rule; less strict settings change nothing. Loosening is ``set_policy``, by a person.
"""

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from spendsense_pipeline.durations import LONGEST
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, operators
from spendsense_pipeline.governance.database import reading, require_reason, writing
from spendsense_pipeline.governance.models import Policy

SETTINGS = "settings"
"""The actor where stricter settings of a process became the rule."""


@dataclass(frozen=True)
class Rules:
    """``consent_days`` 0 sets no limit to the life of a consent."""

    four_eyes: bool = False
    consent_days: int = 0

    def and_(self, other: "Rules") -> "Rules":
        """The stricter of both in each.

        >>> Rules(True, 0).and_(Rules(False, 365))
        Rules(four_eyes=True, consent_days=365)
        """
        limits = [days for days in (self.consent_days, other.consent_days) if days]
        return Rules(self.four_eyes or other.four_eyes, min(limits, default=0))


def in_force(session: Session) -> Rules:
    """What the database holds everybody to; nothing where nothing was decided."""
    newest = select(func.max(Policy.seq)).scalar_subquery()
    row = session.execute(select(Policy.four_eyes, Policy.consent_days).where(Policy.seq == newest)).first()
    return Rules(*row) if row else Rules()


def limit(session: Session, consent_days: int) -> int:
    """The life of a consent that holds where a process says ``consent_days``; days, 0 for none."""
    return in_force(session).and_(Rules(consent_days=consent_days)).consent_days


def keep(engine: Engine, settings: Rules, now: dt.datetime) -> None:
    """Where a process' settings are stricter than the rule, they become it."""
    if settings == Rules():
        return
    with reading(engine) as session:
        rule = in_force(session)
    if settings.and_(rule) == rule:
        return
    with writing(engine) as session:
        rule = in_force(session)
        strict = settings.and_(rule)
        if strict != rule:
            _record_policy(session, strict, SETTINGS, "stricter settings of a process", now)


def set_policy(session: Session, wanted: Rules, operator_id: str, reason: str, now: dt.datetime) -> Rules:
    """Make these the rules, stricter or not. Raises ``reason_required``, ``invalid_text``, ``invalid_days``,
    ``unknown_operator``, ``inactive_operator`` and ``unchanged``.
    """
    if not 0 <= wanted.consent_days <= LONGEST:
        raise SpendSenseError(f"a consent lives at most {LONGEST:,} days, or 0 for no limit", code="invalid_days")
    require_reason(reason, "a change of the rules needs its reason", operator_id)
    operators.require_active(session, operator_id)
    if wanted == in_force(session):
        raise SpendSenseError("these are the rules already", code="unchanged")
    _record_policy(session, wanted, operator_id, reason, now)
    return wanted


def _record_policy(session: Session, rules: Rules, actor: str, reason: str, now: dt.datetime) -> None:
    audit.record_one(session, Policy, now, **vars(rules), actor=actor, reason=reason, recorded_at=now)
