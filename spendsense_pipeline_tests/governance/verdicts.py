"""Decisions of one action, as tests make them: ``review.decide`` of what is referred to."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from spendsense_pipeline.governance import review

Results = list[dict[str, Any]]


def approve(
    engine: Engine, references: Sequence[str], by: str, now: dt.datetime, *, note: str | None = None, **how: Any
) -> Results:
    return review.decide(engine, review.requests("approve", references, by, reason=note), now, **how)


def reject(engine: Engine, references: Sequence[str], by: str, now: dt.datetime, *, reason: str, **how: Any) -> Results:
    return review.decide(engine, review.requests("reject", references, by, reason=reason), now, **how)


def override(
    engine: Engine,
    text: str,
    by: str,
    now: dt.datetime,
    *,
    reason: str,
    title: str | None = None,
    content: str | None = None,
    **how: Any,
) -> Results:
    asked = review.requests("override", [text], by, reason=reason, title=title, content=content)
    return review.decide(engine, asked, now, **how)


def undo(
    engine: Engine, references: Sequence[str], by: str, now: dt.datetime, *, reason: str | None = None, **how: Any
) -> Results:
    return review.decide(engine, review.requests("undo", references, by, reason=reason), now, **how)
