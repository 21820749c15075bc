"""Evaluations on record, each with the head of the audit chain at its moment, and how much is on record.

Belongs here: keeping them. Computing metrics is ``evaluation``; checking the heads is ``audit.verify``.
"""

import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, models
from spendsense_pipeline.governance.database import fields, is_name, quoted
from spendsense_pipeline.governance.encoding import identifier
from spendsense_pipeline.governance.models import AuditEntry, EvaluationRun, Recommendation


def record_evaluation(
    session: Session, as_of: dt.date, metrics: Mapping[str, Any], now: dt.datetime, *, run_id: str | None = None
) -> dict[str, Any]:
    """Keep the metrics of a day with the chain's head; returns that head as {count, hash}.

    Whoever cuts the chain's end off later, head row included, is found out by the heads kept here and in reports.
    """
    count, head = audit.head(session)
    named = json.dumps([as_of.isoformat(), now.isoformat(), run_id, count, head])
    about = {"evaluation_id": identifier("eva", named), "as_of": as_of, "evaluated_at": now, "run_id": run_id}
    stored = json.dumps(metrics, ensure_ascii=False, sort_keys=True)
    audit.record_one(session, EvaluationRun, now, **about, metrics=stored, audit_count=count, audit_hash=head)
    return {"count": count, "hash": head}


def describe_evaluation(session: Session, run_id: str, name: str | None, details: Mapping[str, Any]) -> None:
    """Keep ``details`` beside the metrics of a run, and the name that its caller gave it.

    Raises ``name_taken`` where an evaluation has this name already.
    """
    if name is not None:
        require_new_name(session, name)
    row = session.scalars(
        select(EvaluationRun).where(EvaluationRun.run_id == run_id).order_by(EvaluationRun.seq.desc()).limit(1)
    ).one()
    row.name = name
    row.details = json.dumps(details, ensure_ascii=False, sort_keys=True)


def require_new_name(session: Session, name: str) -> None:
    """Raise ``name_taken`` where an evaluation has this name, and ``invalid_name`` where none can."""
    if not is_name(name):
        raise SpendSenseError(f"{quoted(name)} cannot be the name of an evaluation", code="invalid_name")
    if session.scalar(select(exists().where(or_(EvaluationRun.run_id == name, EvaluationRun.name == name)))):
        raise SpendSenseError(f"there is an evaluation {quoted(name)} already; choose another id", code="name_taken")


def evaluations(session: Session, *, limit: int) -> dict[str, Any]:
    """The evaluations on record, newest first: {evaluations: [row], total}.

    Rows: evaluation_id, as_of, evaluated_at, run_id, name (None: nobody named it), metrics (name → value), details.
    """
    newest = select(EvaluationRun).order_by(EvaluationRun.seq.desc()).limit(limit)
    found = []
    for row in session.scalars(newest):
        details = json.loads(row.details) if row.details is not None else None
        copied = fields(row, "evaluation_id as_of evaluated_at run_id name")
        found.append(copied | {"metrics": json.loads(row.metrics), "details": details})
    return {"evaluations": found, "total": rows(session, EvaluationRun)}


def holds_head(session: Session, count: int, head: str) -> bool:
    """Whether the audit chain has this hash at this length, as it had when somebody noted it."""
    return bool(session.scalar(select(func.count()).where(AuditEntry.seq == count, AuditEntry.hash == head)))


def rows(session: Session, model: type[models.Base]) -> int:
    """How many rows a table of the governance database has."""
    return session.scalar(select(func.count()).select_from(model)) or 0


def kept(session: Session) -> list[dict[str, Any]]:
    """How much is on record of each kind, and since when: {what, count, oldest, newest}."""
    dated = {
        "batches": models.Batch.registered_at,
        "consent events": models.ConsentEvent.recorded_at,
        "drafts": models.Recommendation.registered_at,
        "decisions": models.Decision.decided_at,
        "releases": models.Release.released_at,
        "feedback": models.FeedbackEvent.received_at,
        "evaluations": EvaluationRun.evaluated_at,
        "logins": models.Login.attempted_at,
        "erasures": models.Erasure.erased_at,
    }
    found = []
    for what, moment in dated.items():
        count, oldest, newest = session.execute(select(func.count(), func.min(moment), func.max(moment))).one()
        found.append({"what": what, "count": count, "oldest": oldest, "newest": newest})
    return found


def latency(session: Session) -> dict[str, float | None]:
    """{avg, p95} milliseconds that a language model took for the templates in use; None where the library wrote."""
    timed = select(Recommendation.template_id, func.max(Recommendation.generation_ms)).where(
        Recommendation.generation_ms.is_not(None)
    )
    times = sorted(time for _, time in session.execute(timed.group_by(Recommendation.template_id)) if time is not None)
    if not times:
        return {"avg": None, "p95": None}
    return {"avg": sum(times) / len(times), "p95": times[math.ceil(0.95 * len(times)) - 1]}
