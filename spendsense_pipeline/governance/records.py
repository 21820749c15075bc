"""Evaluations on record, each with the head of the audit chain at its moment, and how much is on record.

Belongs here: keeping them. Computing metrics is ``evaluation``; checking the heads is ``audit.verify``.
"""

import datetime as dt
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit
from spendsense_pipeline.governance.database import is_name, quoted, storable
from spendsense_pipeline.governance.models import AuditEntry, Base, EvaluationRun, Recommendation

NAMED = "named"
"""Beside the metrics of an evaluation, what its caller called it and asked to be kept with it."""


def record_evaluation(
    session: Session, as_of: dt.date, metrics: Mapping[str, Any], now: dt.datetime, *, run_id: str | None = None
) -> dict[str, Any]:
    """Keep the metrics of a day with the chain's head; returns that head as {count, hash}.

    Whoever cuts the chain's end off later, head row included, is found out by the heads kept here and in reports.
    """
    count, head = audit.head(session)
    named = json.dumps([as_of.isoformat(), now.isoformat(), run_id, count, head])
    session.merge(
        EvaluationRun(
            evaluation_id="eva_" + hashlib.sha256(named.encode()).hexdigest()[:20],
            as_of=as_of,
            evaluated_at=now,
            run_id=run_id,
            metrics=json.dumps(metrics, ensure_ascii=False, sort_keys=True),
            audit_count=count,
            audit_hash=head,
        )
    )
    return {"count": count, "hash": head}


def describe_evaluation(session: Session, run_id: str, name: str | None, details: Mapping[str, Any]) -> str:
    """Keep ``details`` beside the metrics of a run, and the name that its caller gave it; returns the evaluation's id.

    Raises ``name_taken`` where an evaluation has this name already.
    """
    if name is not None:
        require_new_name(session, name)
    row = session.scalars(
        select(EvaluationRun).where(EvaluationRun.run_id == run_id).order_by(EvaluationRun.evaluated_at.desc()).limit(1)
    ).one()
    metrics = json.loads(row.metrics) | {NAMED: {"name": name, "details": details}}
    row.metrics = json.dumps(metrics, ensure_ascii=False, sort_keys=True)
    return row.evaluation_id


def require_new_name(session: Session, name: str) -> None:
    """Raise ``name_taken`` where an evaluation has this name, and ``invalid_name`` where none can."""
    if not is_name(name):
        raise SpendSenseError(f"{quoted(name)} cannot be the name of an evaluation", code="invalid_name")
    if evaluation_named(session, name) is not None:
        raise SpendSenseError(f"there is an evaluation {quoted(name)} already; choose another id", code="name_taken")


def evaluation_named(session: Session, name: str) -> str | None:
    """The id of the evaluation of this name, or of the run of this id."""
    if not storable(name):
        return None
    marked = EvaluationRun.metrics.contains(json.dumps(name, ensure_ascii=False), autoescape=True)
    for row in session.scalars(select(EvaluationRun).where(or_(EvaluationRun.run_id == name, marked))):
        if name in (row.run_id, json.loads(row.metrics).get(NAMED, {}).get("name")):
            return row.evaluation_id
    return None


def evaluations(session: Session, *, limit: int) -> dict[str, Any]:
    """The evaluations on record, newest first: {evaluations: [row], total}.

    Rows: evaluation_id, as_of, evaluated_at, run_id, name (None: nobody named it), metrics (name → value), details.
    """
    newest = select(EvaluationRun).order_by(EvaluationRun.evaluated_at.desc(), EvaluationRun.evaluation_id).limit(limit)
    found = []
    for row in session.scalars(newest):
        metrics = json.loads(row.metrics)
        named = metrics.pop(NAMED, {"name": None, "details": None})
        copied = ("evaluation_id", "as_of", "evaluated_at", "run_id")
        found.append({name: getattr(row, name) for name in copied} | {"metrics": metrics, **named})
    return {"evaluations": found, "total": rows(session, EvaluationRun)}


def known_heads(session: Session) -> list[tuple[int, str]]:
    """Every head that an evaluation kept, for ``audit.verify`` to hold the chain against."""
    kept = select(EvaluationRun.audit_count, EvaluationRun.audit_hash).order_by(EvaluationRun.audit_count)
    return [(count, head) for count, head in session.execute(kept)]


def holds_head(session: Session, count: int, head: str) -> bool:
    """Whether the audit chain has this hash at this length, as it had when somebody noted it."""
    return bool(session.scalar(select(func.count()).where(AuditEntry.seq == count, AuditEntry.hash == head)))


def rows(session: Session, model: type[Base]) -> int:
    """How many rows a table of the governance database has."""
    return session.scalar(select(func.count()).select_from(model)) or 0


def latency(session: Session) -> dict[str, float | None]:
    """{avg, p95} milliseconds that a language model took for the templates in use; None where the library wrote."""
    timed = select(Recommendation.template_id, func.max(Recommendation.generation_ms)).where(
        Recommendation.generation_ms.is_not(None)
    )
    times = sorted(time for _, time in session.execute(timed.group_by(Recommendation.template_id)) if time is not None)
    if not times:
        return {"avg": None, "p95": None}
    return {"avg": sum(times) / len(times), "p95": times[math.ceil(0.95 * len(times)) - 1]}
