"""The operators' desk: the live queue, one text to read and decide on, whole wordings, standing approvals.

Each decision goes through ``governance``, as on the command line. Does not belong here: what a text's pane shows
(``pane``), and how it all looks (``pages/desk.html``, ``static/desk.js``).
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from spendsense_pipeline.durations import STANDING_APPROVAL
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import activity, audit, endings, queue, review, standing
from spendsense_pipeline.governance import wordings as templates
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.models import STATUSES
from spendsense_pipeline.governance.review import LONGEST
from spendsense_pipeline.personas.rules import BY_PRIORITY
from spendsense_pipeline.service import pane
from spendsense_pipeline.service.callers import Caller, PageReader, person
from spendsense_pipeline.service.rendering import page
from spendsense_pipeline.service.state import Here, Offset, Place, answer, of, wants_page

router = APIRouter(include_in_schema=False)
Decider = Annotated[Caller, Depends(person("decide"))]

PAGE: Final = 50
"""Rows of the queue that are sent at once."""
DECISIONS: Final = 500
"""Decisions in one request of the page."""

REASONS: Final = ("wrong figures", "tone", "not for this customer", "outdated", "unclear", "duplicate", "other")
"""Why a text is rejected; ``other`` needs words behind it: ``other: …``."""


class DecisionAsked(BaseModel):
    """One decision of the page."""

    action: Literal["approve", "reject", "override", "undo"]
    recommendation_id: str = Field(max_length=400)
    content_hash: str | None = Field(default=None, max_length=64)
    reason: str | None = None
    title: str | None = None
    content: str | None = None


class Words(BaseModel):
    """Words that somebody is typing."""

    recommendation_id: str = Field(max_length=400)
    title: str = Field(max_length=LONGEST["title"])
    content: str = Field(max_length=LONGEST["content"])


class WordingAsked(BaseModel):
    """A wording to approve, ``T@HASH``."""

    reference: str = Field(max_length=600)
    note: str | None = Field(default=None, max_length=LONGEST["reason"])


class StandingAsked(BaseModel):
    """A standing approval to give: through the day ``until``."""

    reference: str = Field(max_length=600)
    until: dt.date
    read_percent: int = Field(default=5, ge=1, le=100)


@router.get("/desk")
def desk(request: Request, caller: PageReader) -> Response:
    """The page; its script asks for the queue."""
    service = of(request)
    with reading(service.engine) as session:
        waiting, (seq, _) = activity.waiting(session, service.now()), audit.head(session)
    return page(
        request,
        "desk.html",
        caller=caller,
        waiting=waiting,
        seq=seq,
        statuses=STATUSES,
        personas=BY_PRIORITY,
        reasons=REASONS,
        longest=LONGEST,
    )


@router.get("/desk/queue")
def queue_page(
    service: Here,
    _caller: PageReader,
    status: str = "pending_approval",
    persona: str | None = None,
    user: str | None = None,
    template: str | None = None,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = PAGE,
) -> Response:
    """A part of the queue in its order: {queue, total, limit, offset, seq}; ``seq`` is where changes go on from."""
    now = service.now()
    with reading(service.engine) as session:
        seq, _ = audit.head(session)
        found = queue.queue(
            session,
            now,
            status=status,
            persona=persona or None,
            user_id=user or None,
            template_id=template or None,
            limit=limit,
            offset=offset,
        )
    return answer(found | {"queue": [pane.queue_row(row, now) for row in found["queue"]], "seq": seq})


@router.get("/desk/item/{recommendation_id}")
def read_item(request: Request, caller: PageReader, recommendation_id: str, prefetch: bool = False) -> Response:
    """One text in full. That it was opened is remembered, except where the page only fetches ahead of its reader."""
    if wants_page(request):
        return RedirectResponse(f"/desk?{urlencode({'item': recommendation_id})}", 303)
    service = of(request)
    now = service.now()
    shown = None
    if not prefetch:
        shown = queue.show(service.engine, recommendation_id, now, operator_id=str(caller.operator_id))
    with reading(service.engine) as session:
        found = pane.item(session, shown or queue.full(session, recommendation_id, now), now)
        looking = activity.looking(session, now, recommendation_id).get(recommendation_id, [])
    return answer(found | {"looking": _others(looking, caller)})


@router.post("/desk/item/{recommendation_id}/opened")
def open_item(service: Here, caller: PageReader, recommendation_id: str) -> Response:
    """Remember that this person has the text before them: {content_hash, status, looking}."""
    now = service.now()
    shown = queue.show(service.engine, recommendation_id, now, operator_id=str(caller.operator_id))
    with reading(service.engine) as session:
        looking = activity.looking(session, now, recommendation_id).get(recommendation_id, [])
    return answer({name: shown[name] for name in ("content_hash", "status")} | {"looking": _others(looking, caller)})


def _others(looking: Sequence[str], caller: Caller) -> list[str]:
    return [operator_id for operator_id in looking if operator_id != caller.operator_id]


@router.post("/desk/decide")
def decide(
    service: Here, caller: Decider, asked: Annotated[list[DecisionAsked], Field(min_length=1, max_length=DECISIONS)]
) -> Response:
    """Decide as whoever is logged in: {results: [{recommendation_id, ok, status, refused, advice, findings?}]}."""
    operator_id = caller.decides_as(None)
    for decision in asked:
        chosen, _, words = (decision.reason or "").partition(": ")
        given = chosen in REASONS and (chosen == "other") == bool(words.strip())
        if decision.action == "reject" and not given:
            raise SpendSenseError(
                f"a rejection's reason is one of: {', '.join(REASONS[:-1])}, or `other: ` and words",
                code="invalid_reason",
            )
    requests = [review.Request(operator_id=operator_id, **decision.model_dump()) for decision in asked]
    results = service.decide(caller.known_by, requests)
    return answer({"results": [row | {"advice": _advice(row)} for row in results]})


def _advice(row: Mapping[str, Any]) -> str:
    return review.advice(row["refused"], row["recommendation_id"], row.get("findings", ()), at_the_desk=True)


@router.post("/desk/check")
def check(service: Here, _caller: Decider, typed: Words) -> Response:
    """What the guardrails find in the words as they are typed: {findings, critical}."""
    with reading(service.engine) as session:
        found = pane.checked(session, typed.recommendation_id, typed.title, typed.content, service.now())
    return answer({"findings": found, "critical": any(one["severity"] == "critical" for one in found)})


@router.get("/desk/changes")
def changes(service: Here, caller: PageReader, since: Place) -> Response:
    """What others did meanwhile: {seq, changes, waiting, looking: {recommendation_id: [operator_id]}}."""
    now = service.now()
    with reading(service.engine) as session:
        found = activity.decisions_since(session, since, now)
        full = len(found) == activity.DECISIONS_AT_ONCE
        seq = found[-1]["seq"] if full else audit.head(session)[0]
        waiting = activity.waiting(session, now)
        looking = activity.looking(session, now)
    others = {name: who for name in looking if (who := _others(looking[name], caller))}
    return answer({"seq": seq, "changes": found, "waiting": waiting, "looking": others})


@router.get("/desk/wordings")
def wordings(request: Request, caller: PageReader, ref: str | None = None) -> Response:
    """All wordings that wait with the standing approvals, or one wording with its texts."""
    service = of(request)
    now = service.now()
    with reading(service.engine) as session:
        given = standing.listed(session, now)
        if ref is None:
            waiting = queue.queue_by_template(session, now)
            held = endings.holds(session)
            return page(request, "wordings.html", caller=caller, wordings=waiting, standing=given, held=held)
        found = templates.wording(session, now, ref)
        opened = templates.sample_opened(session, ref, str(caller.operator_id))
    for text in found["renderings"]:
        text["extremes"] = pane.extremes(found["figures"], text["recommendation_id"])
    names = ("template_id", "template_hash")
    own = [one for one in given if all(one[name] == found[name] for name in names)]
    return page(
        request,
        "wording.html",
        caller=caller,
        wording=found,
        opened=opened,
        standing=own,
        figures=pane.bounds(found["figures"]),
        names=pane.named(found["names"]),
        last_day=(now + STANDING_APPROVAL).date(),
        tomorrow=now.date() + dt.timedelta(days=1),
    )


@router.post("/desk/wordings/approve")
def approve_wording(service: Here, caller: Decider, asked: WordingAsked) -> Response:
    """Approve what waits in these words without findings: {approved, left, refused: [{code, count, advice}]}."""
    done = templates.approve_template(
        service.engine,
        asked.reference,
        caller.decides_as(None),
        service.now(),
        note=asked.note or None,
        four_eyes=service.settings.four_eyes,
        known_by=caller.known_by,
    )
    refused = Counter(row["refused"] for row in done["results"] if not row["ok"])
    advised = [
        {"code": code, "count": count, "advice": _advice({"refused": code, "recommendation_id": ""})}
        for code, count in refused.most_common()
    ]
    approved = sum(row["ok"] for row in done["results"])
    return answer(
        {"approved": approved, "left": dict(Counter(row["reason"] for row in done["left"])), "refused": advised}
    )


@router.post("/desk/wordings/standing")
def approve_standing(service: Here, caller: Decider, asked: StandingAsked) -> Response:
    """Approve these words for later drafts too, until the end of a day."""
    now = service.now()
    last = now + STANDING_APPROVAL
    until = min(dt.datetime.combine(asked.until, dt.time(23, 59, 59), dt.UTC), last)
    if not now < until or asked.until > last.date():
        raise SpendSenseError(
            f"a standing approval reaches at most {STANDING_APPROVAL.days} days ahead, and not back",
            code="invalid_until",
        )
    given = standing.approve(
        service.engine,
        asked.reference,
        caller.decides_as(None),
        now,
        until=until,
        read_percent=asked.read_percent,
        known_by=caller.known_by,
    )
    return answer({"given": given})


@router.post("/desk/standing/end")
def end_standing(
    service: Here, caller: Decider, standing_id: Annotated[str, Body(embed=True, max_length=400)]
) -> Response:
    """End a standing approval now."""
    ended = standing.end(service.engine, standing_id, caller.decides_as(None), service.now())
    return answer({"ended": ended})
