"""Standing approvals: an operator's word on a wording for later drafts too, until a day.

A draft is approved by one only where it is in exactly these words, without finding, with figures inside the range and
names among those that the operator saw; a share of them is read one by one all the same. Each such approval is a
decision row of its own, made ``standing``. Belongs here: giving, ending and applying them.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Engine, and_, exists, select
from sqlalchemy.orm import Session

from spendsense_pipeline.durations import STANDING_APPROVAL
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, operators, row_states, wordings
from spendsense_pipeline.governance.database import fields, quoted, reading, storable, writing
from spendsense_pipeline.governance.encoding import identifier
from spendsense_pipeline.governance.lifecycle import (
    Wording,
    current_text,
    has_wording,
    in_status,
    wording_held,
    wording_named,
    wording_of,
)
from spendsense_pipeline.governance.models import Recommendation, RecommendationText, StandingApproval
from spendsense_pipeline.governance.registration import is_figure
from spendsense_pipeline.governance.review import MOST_AT_ONCE, Request, Rules, decide_within

READ_PERCENT: Final = 5
"""Of the drafts, read one by one where nothing else is said."""
MOST_NAMES: Final = 200
"""Names of one slot that an approval can be bound to."""


def approve(
    engine: Engine,
    reference: str,
    operator_id: str,
    now: dt.datetime,
    *,
    until: dt.datetime,
    read_percent: int = READ_PERCENT,
    known_by: str = "trusted_local",
) -> dict[str, Any]:
    """Approve the wording ``T@HASH`` for later drafts: {standing_id, template_id, template_hash, until, bounds}.

    The operator must have opened one of its texts. Replaces an earlier standing approval of theirs on the wording.
    Raises ``hash_required``, ``unknown_template``, ``sample_required``, ``invalid_standing``, and what a decision is
    refused for, as ``operators.require_may_decide``.
    """
    if not now < until <= now + STANDING_APPROVAL or not 1 <= read_percent <= 100:
        raise SpendSenseError(
            f"a standing approval lasts at most {STANDING_APPROVAL.days} days and has 1 to 100 per cent read one by "
            "one",
            code="invalid_standing",
        )
    with writing(engine) as session:
        wording = wording_named(session, reference)
        operators.require_may_decide(session, operator_id, wording, now)
        if wordings.sample(session, wording, operator_id) is None:
            raise SpendSenseError(
                "open one text of this wording first; a standing approval is bound to what was seen",
                code="sample_required",
            )
        theirs = (has_wording(wording, StandingApproval), StandingApproval.operator_id == operator_id)
        replaced = session.scalars(select(StandingApproval).where(*theirs, *_live(now))).all()
        for earlier in replaced:
            earlier.ended_at, earlier.ended_by = now, operator_id
        row_states.record(session, now, *replaced)
        count, _ = audit.head(session)
        given: dict[str, Any] = {
            "standing_id": identifier("sta", f"{tuple(wording)} {operator_id} {count}"),
            **wording._asdict(),
            "until": until,
        }
        bounds = _bounds_seen(session, wording)
        said = {"operator_id": operator_id, "read_percent": read_percent, "known_by": known_by, "given_at": now}
        stored = json.dumps(bounds, ensure_ascii=False, sort_keys=True)
        audit.record_one(session, StandingApproval, now, **given, **said, bounds=stored)
        row_states.record(session, now, session.get_one(StandingApproval, given["standing_id"]))
    return given | {"bounds": bounds}


def end(engine: Engine, standing_id: str, actor: str, now: dt.datetime) -> str:
    """End a standing approval: ``ended`` or ``unchanged``. Raises ``unknown_standing``."""
    with writing(engine) as session:
        row = session.get(StandingApproval, standing_id) if storable(standing_id) else None
        if row is None:
            raise SpendSenseError(f"there is no standing approval {quoted(standing_id)}", code="unknown_standing")
        if row.ended_at is not None:
            return "unchanged"
        row.ended_at, row.ended_by = now, actor
        row_states.record(session, now, row)
    return "ended"


def listed(session: Session, now: dt.datetime) -> list[dict[str, Any]]:
    """All standing approvals, newest first: standing_id, reference, template_id, template_hash, operator_id, until,
    read_percent, bounds, given_at, ended_at, ended_by, live.
    """
    names = "standing_id template_id template_hash operator_id until read_percent given_at ended_at ended_by"
    return [
        fields(row, names)
        | {
            "reference": wording_of(row).reference,
            "bounds": json.loads(row.bounds),
            "live": row.ended_at is None and row.until > now,
        }
        for row in session.scalars(select(StandingApproval).order_by(StandingApproval.seq.desc()))
    ]


def apply(engine: Engine, now: dt.datetime, *, four_eyes: bool = False, run_id: str | None = None) -> list[str]:
    """Approve what came in since under standing approvals; returns the recommendation ids.

    What an approval does not cover waits for an operator like everything else.
    """
    with reading(engine) as session:
        if not session.scalar(select(exists().where(*_live(now)))):
            return []
    approved: list[str] = []
    with writing(engine) as session:
        for standing in session.scalars(select(StandingApproval).where(*_live(now)).order_by(StandingApproval.seq)):
            bounds = json.loads(standing.bounds)
            drafts = session.execute(
                select(Recommendation.recommendation_id, Recommendation.content_hash, RecommendationText.slots)
                .join(RecommendationText, current_text())
                .where(
                    has_wording(wording_of(standing)),
                    in_status(now, "pending_approval"),
                    Recommendation.registered_at > standing.given_at,
                    Recommendation.content_hash == Recommendation.original_hash,
                    RecommendationText.severity == 0,
                    ~wording_held(),
                )
                .order_by(Recommendation.recommendation_id)
                .limit(MOST_AT_ONCE)
            ).all()
            asked = [
                Request(
                    "approve",
                    one.recommendation_id,
                    standing.operator_id,
                    one.content_hash,
                    reason=f"standing approval {standing.standing_id}",
                )
                for one in drafts
                if within(json.loads(one.slots), bounds)
                and not read_alone(one.recommendation_id, standing.standing_id, standing.read_percent)
            ]
            rules = Rules(now, None, four_eyes, "standing", run_id, known_by=standing.known_by)
            approved += [row["recommendation_id"] for row in decide_within(session, asked, rules) if row["ok"]]
    return approved


def within(slots: Mapping[str, Mapping[str, Any]], bounds: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether every figure lies in the range that was seen, and every name is one of those.

    >>> within({"rent": {"value": 900}}, {"rent": {"lowest": 700, "highest": 1000}})
    True
    """
    for slot, filled in slots.items():
        value, seen = filled.get("value"), bounds.get(slot)
        if value is None or _is_day(value):
            continue
        if seen is None:
            return False
        if not is_figure(value):
            if value not in seen.get("values", ()):
                return False
        elif not seen.get("lowest", 1) <= value <= seen.get("highest", 0):
            return False
    return True


def read_alone(recommendation_id: str, standing_id: str, percent: int) -> bool:
    """Whether this draft is of the share that an operator reads one by one; the same answer each time."""
    drawn = hashlib.sha256(f"{standing_id} {recommendation_id}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") % 10_000 < percent * 100


def _bounds_seen(session: Session, wording: Wording) -> dict[str, dict[str, Any]]:
    """slot → {lowest, highest} or {values}, over all texts of the wording that wait or were approved."""
    found: dict[str, dict[str, Any]] = {}
    rows = session.scalars(
        select(RecommendationText.slots)
        .join(Recommendation, and_(current_text(), Recommendation.content_hash == Recommendation.original_hash))
        .where(has_wording(wording), Recommendation.status.in_(("pending_approval", "approved")))
    )
    for text in rows:
        for slot, filled in json.loads(text).items():
            value = filled.get("value")
            if value is None or _is_day(value):
                continue
            seen = found.setdefault(slot, {})
            if not is_figure(value):
                if value not in seen.setdefault("values", []) and len(seen["values"]) < MOST_NAMES:
                    seen["values"].append(value)
            else:
                seen["lowest"] = min(seen.get("lowest", value), value)
                seen["highest"] = max(seen.get("highest", value), value)
    return found


def _is_day(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _live(now: dt.datetime) -> tuple[Any, ...]:
    return StandingApproval.ended_at.is_(None), StandingApproval.until > now
