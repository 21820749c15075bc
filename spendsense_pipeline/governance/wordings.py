"""Wordings: what waits in the same words with different figures, looked at and approved together.

A wording is a template and the hash of its words. Approving one approves each draft that waits with it, one decision
row each; drafts that come later wait for an operator like any other, and the desk says that their words are known.
Belongs here: gathering by wording, deciding by wording. Does not belong here: what a decision needs (``review``).
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, select, true, union
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit
from spendsense_pipeline.governance.database import AnyRow, columns, fields, storable, writing
from spendsense_pipeline.governance.lifecycle import (
    Wording,
    current_text,
    has_wording,
    in_status,
    original_text,
    wording_named,
    wording_of,
)
from spendsense_pipeline.governance.models import OPEN, Recommendation, RecommendationText, TemplateDecision, Viewing
from spendsense_pipeline.governance.queue import figures_together
from spendsense_pipeline.governance.registration import is_figure
from spendsense_pipeline.governance.review import MOST_AT_ONCE, Request, Rules, decide_within

RENDERINGS = 3
"""Texts shown of one wording: those with the lowest and the highest figures come first."""

NAMES = 50
"""Values of a slot that is no figure that are listed; the others are counted."""


def templates(
    session: Session, now: dt.datetime, *, status: str | None = None, limit: int = 50, offset: int = 0
) -> dict[str, Any]:
    """The wordings that wait or were approved: {templates: [row], total, limit, offset}; new ones first.

    ``status`` ``new`` keeps those nobody approved before, ``approved`` the others. Rows: template_id, template_hash,
    reference (T@HASH), status, content_type, generator, model, prompt_version, waiting, with_findings, oldest (first
    registration), next_expiry; figures (slot → {signal, lowest, highest}, each of these {value, shown,
    recommendation_id}), names (slot → {values: [{shown, count}], others} of payees and whatever else is no figure, the
    most frequent first, ``others`` counting the values left out) and renderings ({recommendation_id, content_hash,
    title, content, rationale, findings}) of the drafts that wait, or where none does, of the newest approved; approvals
    ({operator_id, decided_at, approved, sample_id, run_id}, newest first).
    """
    if status not in (None, "new", "approved"):
        raise SpendSenseError(f"unknown status {status!r}; a wording is new or approved", code="unknown_status")
    waiting = _waiting(session, now)
    approved = _approved(session)
    known = {wording: "approved" if wording in approved else "new" for wording in {*waiting, *approved}}
    chosen = [wording for wording in known if status in (None, known[wording])]
    chosen.sort(key=lambda one: (known[one] == "approved", -waiting[one]["waiting"] if one in waiting else 0, one))
    rows = [_row(session, now, one, known[one], waiting.get(one)) for one in chosen[offset : offset + limit]]
    return {"templates": rows, "total": len(chosen), "limit": limit, "offset": offset}


def wording(session: Session, now: dt.datetime, reference: str) -> dict[str, Any]:
    """The row that ``templates`` gives of the wording ``T@HASH``. Raises ``hash_required`` and ``unknown_template``."""
    which = wording_named(session, reference)
    status = "approved" if _approved(session, which) else "new"
    return _row(session, now, which, status, _waiting(session, now, has_wording(which)).get(which))


def _row(
    session: Session, now: dt.datetime, wording: Wording, status: str, waiting: Mapping[str, Any] | None
) -> dict[str, Any]:
    approvals = select(TemplateDecision).where(has_wording(wording, TemplateDecision))
    newest = session.scalars(approvals.order_by(TemplateDecision.ordinal.desc()))
    return {
        **wording._asdict(),
        "reference": wording.reference,
        "status": status,
        **_wording_texts(session, now, wording, waits=waiting is not None),
        **(waiting or {"waiting": 0, "with_findings": 0, "oldest": None, "next_expiry": None}),
        "approvals": [fields(row, "operator_id decided_at approved sample_id run_id") for row in newest],
    }


def sample_opened(session: Session, reference: str, operator_id: str) -> bool:
    """Whether this operator was shown a text in the words ``T@HASH`` that still stands. Raises as ``wording``."""
    return sample(session, wording_named(session, reference), operator_id) is not None


def approve_template(
    engine: Engine,
    reference: str,
    operator_id: str,
    now: dt.datetime,
    *,
    note: str | None = None,
    four_eyes: bool = False,
    run_id: str | None = None,
    known_by: str = "trusted_local",
    report: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Approve what waits in the words ``T@HASH`` without findings: {results, left}.

    ``results`` as of ``review.decide``, one for each draft, with the refusal ``sample_required`` where this operator
    opened none of them (``show`` by name); ``left`` are those that wait on: {recommendation_id, reason}, ``findings``,
    or ``overridden`` where other words than the wording's stand. ``known_by`` as for ``review.decide``. Each
    ``MOST_AT_ONCE`` drafts are one transaction, after which ``report`` hears how many were looked at.
    Raises ``hash_required`` and ``unknown_template``.
    """
    results: list[dict[str, Any]] = []
    left: list[dict[str, Any]] = []
    after = ""
    while True:
        with writing(engine) as session:
            wording = wording_named(session, reference)
            drafts = session.execute(
                select(
                    *columns(Recommendation, "recommendation_id content_hash original_hash"),
                    RecommendationText.severity,
                )
                .join(RecommendationText, current_text())
                .where(
                    has_wording(wording),
                    in_status(now, "pending_approval"),
                    Recommendation.recommendation_id > after,
                )
                .order_by(Recommendation.recommendation_id)
                .limit(MOST_AT_ONCE)
            ).all()
            asked = [
                Request("approve", one.recommendation_id, operator_id, one.content_hash, reason=note)
                for one in drafts
                if one.severity == 0 and one.content_hash == one.original_hash
            ]
            opened = sample(session, wording, operator_id)
            rules = Rules(now, None, four_eyes, "template", run_id, sample_opened=opened is not None, known_by=known_by)
            decided = decide_within(session, asked, rules)
            if approved := sum(row["ok"] for row in decided):
                of_wording = has_wording(wording, TemplateDecision)
                before = session.scalar(select(func.max(TemplateDecision.ordinal)).where(of_wording))
                about = {**wording._asdict(), "ordinal": (before or 0) + 1, "sample_id": opened, "run_id": run_id}
                decision = {"operator_id": operator_id, "approved": approved, "decided_at": now}
                audit.record_one(session, TemplateDecision, now, **about, **decision)
        results += decided
        left += [
            {"recommendation_id": one.recommendation_id, "reason": "findings" if one.severity else "overridden"}
            for one in drafts
            if one.severity or one.content_hash != one.original_hash
        ]
        report(len(results) + len(left))
        if len(drafts) < MOST_AT_ONCE:
            return {"results": results, "left": left}
        after = drafts[-1].recommendation_id


def sample(session: Session, wording: Wording, operator_id: str) -> str | None:
    """A draft in these words, still standing, that ``show`` gave this operator as the pipeline wrote it."""
    if not operator_id or not storable(operator_id):
        return None
    return session.scalars(
        select(Viewing.recommendation_id)
        .join(Recommendation, Recommendation.recommendation_id == Viewing.recommendation_id)
        .where(
            has_wording(wording),
            Recommendation.status.in_(OPEN),
            Viewing.operator_id == operator_id,
            Viewing.content_hash == Recommendation.original_hash,
        )
        .order_by(Viewing.viewed_at.desc(), Viewing.recommendation_id)
    ).first()


def _waiting(session: Session, now: dt.datetime, *which: ColumnElement[bool]) -> dict[Wording, dict[str, Any]]:
    """How many drafts wait in which wording, how many of them with findings, and since and until when."""
    wording = (Recommendation.template_id, Recommendation.template_hash)
    grouped = (
        select(*wording, *figures_together("waiting"))
        .join(RecommendationText, current_text())
        .where(in_status(now, "pending_approval"), *which)
        .group_by(*wording)
    )
    names = "waiting with_findings oldest next_expiry"
    return {wording_of(row): fields(row, names) for row in session.execute(grouped)}


def _approved(session: Session, only: Wording | None = None) -> set[Wording]:
    """As ``queue.wording_approved`` says it of one."""

    def of(row: Any) -> Any:
        return select(row.template_id, row.template_hash).where(has_wording(only, row) if only else true())

    found = union(of(Recommendation).where(Recommendation.status == "approved"), of(TemplateDecision))
    return {Wording(*row) for row in session.execute(found)}


def _wording_texts(session: Session, now: dt.datetime, wording: Wording, *, waits: bool) -> dict[str, Any]:
    """What a wording was written by, the bounds of the figures it shows, and the texts at those bounds."""
    shown = (
        select(
            *columns(Recommendation, "recommendation_id content_type generator model prompt_version"),
            RecommendationText.content_hash,
            RecommendationText.slots,
        )
        .join(RecommendationText, original_text())
        .where(has_wording(wording), in_status(now, "pending_approval" if waits else "approved"))
        .order_by(Recommendation.registered_at.desc(), Recommendation.recommendation_id)
    )
    drafts = session.execute(shown if waits else shown.limit(RENDERINGS)).all()
    figures = _figure_bounds(drafts)
    extremes = [figures[slot][end]["recommendation_id"] for slot in figures for end in ("lowest", "highest")]
    chosen = list(dict.fromkeys([*extremes, *(one.recommendation_id for one in drafts)]))[:RENDERINGS]
    words = session.execute(
        select(*columns(RecommendationText, "recommendation_id content_hash title content rationale findings"))
        .join(Recommendation, original_text())
        .where(RecommendationText.recommendation_id.in_(chosen))
    )
    rendered = {row.recommendation_id: dict(row._mapping) | {"findings": json.loads(row.findings)} for row in words}
    names = ("content_type", "generator", "model", "prompt_version")
    first: Mapping[Any, Any] = drafts[0]._mapping if drafts else {}
    return {
        **{name: first.get(name) for name in names},
        "figures": figures,
        "names": _names(drafts),
        "renderings": [rendered[name] for name in chosen],
    }


def _figure_bounds(drafts: Sequence[AnyRow]) -> dict[str, dict[str, Any]]:
    """Slot → {signal, lowest, highest} over the figures of the drafts; names and dates have no bounds."""
    found: dict[str, dict[str, Any]] = {}
    for draft in drafts:
        for slot, filled in json.loads(draft.slots).items():
            if not is_figure(filled.get("value")):
                continue
            here = {
                "value": filled["value"],
                "shown": filled.get("shown"),
                "recommendation_id": draft.recommendation_id,
            }
            bounds = found.setdefault(slot, {"signal": filled.get("signal"), "lowest": here, "highest": here})
            bounds["lowest"] = min(bounds["lowest"], here, key=lambda one: one["value"])
            bounds["highest"] = max(bounds["highest"], here, key=lambda one: one["value"])
    return found


def _names(drafts: Sequence[AnyRow]) -> dict[str, dict[str, Any]]:
    """Slot → {values, others} of what the drafts show that is no figure: an approval covers each of these words."""
    counted: dict[str, Counter[str]] = {}
    for draft in drafts:
        for slot, filled in json.loads(draft.slots).items():
            if not is_figure(filled.get("value")):
                counted.setdefault(slot, Counter())[str(filled.get("shown"))] += 1
    return {
        slot: {
            "values": [{"shown": shown, "count": count} for shown, count in values.most_common(NAMES)],
            "others": max(len(values) - NAMES, 0),
        }
        for slot, values in counted.items()
    }
