"""Evaluations on record, each with the head of the audit chain at its moment, and how much is on record.

Belongs here: keeping them. Computing metrics is ``evaluation``; checking the heads is ``audit.verify``.
"""

import datetime as dt
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from spendsense_pipeline.governance import audit
from spendsense_pipeline.governance.models import Base, EvaluationRun, Recommendation


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


def known_heads(session: Session) -> list[tuple[int, str]]:
    """Every head that an evaluation kept, for ``audit.verify`` to hold the chain against."""
    kept = select(EvaluationRun.audit_count, EvaluationRun.audit_hash).order_by(EvaluationRun.audit_count)
    return [(count, head) for count, head in session.execute(kept)]


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
