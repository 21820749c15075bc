"""Decisions of operators, and what of a customer's texts may be seen.

Each decision is ``governance.review.decide``; what was approved goes through the gate before the answer. Clients of the
first version name a recommendation and nothing else: an approval without a hash means the text that the caller was
shown last. That is kept in memory: after a restart whoever approves a text that has several versions must have listed
it again.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, HTTPException, Response
from pydantic import BaseModel, Field

from spendsense_pipeline import gate
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import queue, review
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.models import STATUSES
from spendsense_pipeline.service.callers import Caller, allow
from spendsense_pipeline.service.seed import wire
from spendsense_pipeline.service.seed.both_forms import Routes, Status, Window
from spendsense_pipeline.service.seed.computed import person
from spendsense_pipeline.service.state import Here, Service, answer

router = Routes(tags=["recommendations"])
Decider = Annotated[Caller, Depends(allow("decide", "review"))]
SHOWN_AT_MOST: Final = 50
REMEMBERED: Final = 100_000
_LOCK: Final = threading.Lock()
DECIDED: Final = ("recommendation_id", "title", "content", "rationale", "status", "persona_type", "generated_at")


class Signed(BaseModel):
    """Who decides."""

    operator_id: str | None = Field(default=None, max_length=400)


class Approval(Signed):
    """Who approves. ``content_hash``: the text that was seen; without, the one that lists showed this caller last."""

    notes: str | None = None
    content_hash: str | None = None


class Rejection(Signed):
    """Who rejects, and why."""

    reason: str


class Override(Signed):
    """Who puts which other words in place, and why."""

    new_title: str | None = None
    new_content: str | None = None
    reason: str


class Together(Signed):
    """Who approves which texts."""

    recommendation_ids: list[str] = Field(max_length=review.MOST_AT_ONCE)


@router.both("POST", "/recommendations/bulk-approve")
def bulk_approve(service: Here, body: Together, caller: Decider) -> Response:
    """Approve each that waits and say why others were not. 400 where none went through."""
    asked = [_approval(service, caller, body.operator_id, name) for name in body.recommendation_ids]
    results = service.decide(caller.known_by, asked)
    approved = sum(row["ok"] for row in results)
    errors = [f"{row['recommendation_id']}: {_why(row)}" for row in results if not row["ok"]]
    counted = {"approved": approved, "failed": len(errors), "errors": errors}
    if not approved:
        said = "none of them was approved" if asked else "no recommendation is named"
        return answer({"detail": {"message": said, **counted}, "code": "none_approved"}, 400)
    gate.run(service.settings, service.engine, service.now())
    return answer(counted)


@router.both("POST", "/recommendations/{recommendation_id}/approve")
def approve(service: Here, recommendation_id: str, body: Approval, caller: Decider) -> Response:
    """Approve a text that waits. What an operator wrote and nobody released goes to the customer by this, too.

    ``released`` says whether the gate let it out: it may have to wait, for the customer's weekly limit or a hold.
    """
    asked = _approval(service, caller, body.operator_id, recommendation_id, body.content_hash, body.notes or None)
    (result,) = service.decide(caller.known_by, [asked])
    # An override stands approved already, by whoever wrote it; only the gate is between it and the customer.
    stands = result["refused"] == review.Refusal.ALREADY_DECIDED and result["status"] == "overridden"
    if not result["ok"] and not stands:
        return _refused(result)
    gate.run(service.settings, service.engine, service.now())
    row = _found(service, recommendation_id)
    shown = _decided(row | {"standing": "approved"}) | _decision_of(row)
    return answer(shown | {"released": row["released_at"] is not None})


@router.both("POST", "/recommendations/{recommendation_id}/reject")
def reject(service: Here, recommendation_id: str, body: Rejection, caller: Decider) -> Response:
    """Reject a text that waits, for good."""
    operator = _operator(caller, body.operator_id)
    asked = review.Request("reject", recommendation_id, operator, reason=body.reason)
    (result,) = service.decide(caller.known_by, [asked])
    if not result["ok"]:
        return _refused(result)
    row = _found(service, recommendation_id)
    return answer(_decided(row) | {"metadata_json": wire.metadata_of(row)})


@router.both("POST", "/recommendations/{recommendation_id}/override")
def override(service: Here, recommendation_id: str, body: Override, caller: Decider) -> Response:
    """Put other words in the place of a text that waits; the guardrails judge them, the first ones are kept.

    The disclosures that a text must hold are put at its end where they are left out. The words wait under
    ``overridden`` for somebody to approve them, or for the next run of the gate.
    """
    operator = _operator(caller, body.operator_id)
    content = _disclosed(service, recommendation_id, body.new_content) if body.new_content else body.new_content
    asked = review.Request(
        "override", recommendation_id, operator, reason=body.reason, title=body.new_title, content=content
    )
    (result,) = service.decide(caller.known_by, [asked])
    if not result["ok"]:
        return _refused(result)
    row = _found(service, recommendation_id)
    remember(service, caller, [row])
    return answer(_decided(row) | _decision_of(row) | wire.override_of(row))


@router.both("GET", "/recommendations/{user_id}")
def recommendations(
    service: Here,
    user_id: str,
    caller: Annotated[Caller, Depends(allow("read", "feed:read"))],
    status: Status | None = None,
    window_days: Window = None,
) -> Response:
    """A customer's texts, newest first, at most 50. ``approved`` is what they may see at this moment, and all that a
    token of the feed reads."""
    if "read" not in caller.permissions:
        status = status or "approved"
        if status != "approved":
            raise HTTPException(403, "this token reads what the customer may see: status=approved")
    person(service, caller.of_customer(user_id))
    if status == "approved":
        shown = [one for one in visible(service, user_id) if window_days in (None, one["window_days"])]
        return answer({"recommendations": shown[:SHOWN_AT_MOST], "total": len(shown)})
    with reading(service.engine) as session:
        found = queue.listed(
            session,
            service.now(),
            standings=(status,) if status else queue.REVIEWED,
            user_id=user_id,
            window_days=window_days,
            newest_first=True,
            limit=SHOWN_AT_MOST,
        )
    remember(service, caller, found["recommendations"])
    rows = [wire.recommendation_of(row) for row in found["recommendations"]]
    return answer({"recommendations": rows, "total": found["total"]})


def visible(service: Service, user_id: str) -> list[dict[str, Any]]:
    """What the customer may see at this moment, newest first; of a product that is withdrawn, nothing."""
    feed = gate.feed(service.settings, service.engine, service.now(), user_id)
    ids = [row["recommendation_id"] for row in feed]
    with reading(service.engine) as session:
        known = queue.listed(session, service.now(), standings=STATUSES, ids=ids, limit=len(ids))["recommendations"]
    about = {row["recommendation_id"]: row for row in known}
    text = ("title", "content", "rationale", "content_hash")
    rows = [
        about[row["recommendation_id"]] | {name: row[name] for name in text} | {"standing": "approved"}
        for row in feed
        if row["recommendation_id"] in about
    ]
    rows.sort(key=lambda row: (row["registered_at"], row["recommendation_id"]), reverse=True)
    return [wire.recommendation_of(row) for row in rows]


def _approval(
    service: Service, caller: Caller, typed: str | None, name: str, seen: str | None = None, note: str | None = None
) -> review.Request:
    seen = seen or last_seen(service, caller, name)
    return review.Request("approve", name, _operator(caller, typed), seen, reason=note)


def _operator(caller: Caller, typed: str | None) -> str:
    """Who decides: whoever logged in, or on a trusted machine the name that is typed."""
    operator = caller.decides_as(typed)
    if not operator.strip():
        raise SpendSenseError("operator_id: say who decides", code="invalid_operator")
    return operator


def _refused(result: Mapping[str, Any]) -> Response:
    """A refusal: 404 for a recommendation that nobody knows, otherwise 409, with what to do about it."""
    unknown = result["refused"] == review.Refusal.UNKNOWN_RECOMMENDATION
    said: dict[str, Any] = {"detail": _why(result), "code": result["refused"], "status": result["status"]}
    return answer(said | ({"findings": result["findings"]} if "findings" in result else {}), 404 if unknown else 409)


def _why(result: Mapping[str, Any]) -> str:
    advice = review.advice(result["refused"], result["recommendation_id"], result.get("findings", ()))
    return f"{result['refused'].replace('_', ' ')}: {advice}"


def _disclosed(service: Service, recommendation_id: str, content: str) -> str:
    """The words with the disclosures that they lack; blank ones stay blank, to be refused."""
    from spendsense_pipeline.recommendations.guardrails.grounding import disclosures

    row = _found(service, recommendation_id)
    if not row or not content.strip():
        return content
    needed = disclosures(row["content_type"], row["slots"])
    lacking = [sentence for sentence in needed if sentence.casefold() not in content.casefold()]
    return f"{content.rstrip()}\n\n{' '.join(lacking)}" if lacking else content


def _found(service: Service, recommendation_id: str) -> dict[str, Any]:
    """The recommendation's row; empty where there is none."""
    with reading(service.engine) as session:
        found = queue.listed(session, service.now(), standings=STATUSES, ids=[recommendation_id], limit=1)
    return next(iter(found["recommendations"]), {})


def _decided(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = wire.recommendation_of(row)
    return {name: shown[name] for name in DECIDED}


def _decision_of(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"approved_by": row["operator_id"], "approved_at": row["decided_at"]}


def remember(service: Service, caller: Caller, rows: Iterable[Mapping[str, Any]]) -> None:
    """The caller was shown these rows, each with its recommendation_id and content_hash."""
    seen = service.seen_texts
    with _LOCK:
        for row in rows:
            key = caller.name, row["recommendation_id"]
            seen[key] = row["content_hash"]
            seen.move_to_end(key)
        while len(seen) > REMEMBERED:
            seen.popitem(last=False)


def last_seen(service: Service, caller: Caller, recommendation_id: str) -> str | None:
    """The hash of the text that this caller was shown last, if there was one."""
    with _LOCK:
        return service.seen_texts.get((caller.name, recommendation_id))
