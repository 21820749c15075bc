"""What admins do: people, tokens, recalls, messages to other systems; and operators: wordings that are held."""

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Request, Response
from pydantic import BaseModel, Field

from spendsense_pipeline.governance import credentials, endings, operators, outbox
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import ROLES, SCOPES, TOKEN_SCOPES
from spendsense_pipeline.service.callers import Caller, allow, person
from spendsense_pipeline.service.rendering import page
from spendsense_pipeline.service.state import Here, Moment, Place, answer, of

router = APIRouter(tags=["admin"])
Admin = Annotated[Caller, Depends(allow("manage"))]
Name = Annotated[str, Body(embed=True, min_length=1, max_length=400)]
"""Whom or what it is about."""


@router.get("/desk/admin", include_in_schema=False)
def admin(request: Request, caller: Annotated[Caller, Depends(person("manage"))]) -> Response:
    """People, tokens, held wordings, recalls, messages."""
    service = of(request)
    with reading(service.engine) as session:
        shown: dict[str, Any] = {
            "people": operators.listed(session),
            "tokens": credentials.tokens(session),
            "held": endings.holds(session),
            "causes": endings.causes(session),
        }
    return page(
        request,
        "admin.html",
        caller=caller,
        roles=ROLES,
        scopes=SCOPES,
        token_scopes=TOKEN_SCOPES,
        messages=outbox.states(service.engine),
        **shown,
    )


class NewPerson(BaseModel):
    """Somebody who works here; what is left out stays as it is."""

    operator_id: str = Field(min_length=1, max_length=400)
    role: str | None = None
    scopes: tuple[str, ...] | None = None
    qualified_until: dt.date | None = None
    password: str | None = Field(default=None, max_length=credentials.LONGEST_PASSWORD)
    subject: str | None = Field(default=None, max_length=400)


@router.post("/admin/people")
def add_person(service: Here, new: NewPerson, caller: Admin) -> Response:
    """Register somebody, or change what they may do: {operator_id, status}. Nobody changes their own role."""
    if new.operator_id == caller.operator_id and new.role not in (None, caller.role):
        raise HTTPException(403, "another admin changes your role")
    standing = operators.Standing(
        **new.model_dump(include={"role", "scopes", "qualified_until", "subject"}),
        password_hash=credentials.password_hash(new.password) if new.password else None,
    )
    with writing(service.engine) as session:
        status = operators.add(
            session, new.operator_id, service.now(), f"admin {caller.name}", standing, actor=caller.operator_id
        )
    return answer({"operator_id": new.operator_id, "status": status})


@router.post("/admin/people/deactivate")
def deactivate(service: Here, name: Name, caller: Admin) -> Response:
    """Let somebody in no more; what they decided stands."""
    if name == caller.operator_id:
        raise HTTPException(403, "another admin deactivates you")
    with writing(service.engine) as session:
        status = operators.deactivate(
            session, name, service.now(), actor=caller.operator_id, source=f"admin {caller.name}"
        )
    return answer({"operator_id": name, "status": status})


class NewToken(BaseModel):
    """A token for a program or an operator."""

    name: str = Field(min_length=1, max_length=400)
    scopes: list[str]
    user_id: str | None = Field(default=None, max_length=400)
    operator_id: str | None = Field(default=None, max_length=400)
    expires_at: Moment | None = None


@router.post("/admin/tokens")
def add_token(service: Here, new: NewToken, caller: Admin) -> Response:
    """Make a token; the answer shows it this once."""
    with writing(service.engine) as session:
        made = credentials.add_token(session, now=service.now(), created_by=caller.name, **new.model_dump())
    return answer(made, 201)


@router.post("/admin/tokens/revoke")
def revoke_token(service: Here, name: Name, caller: Admin) -> Response:  # noqa: ARG001 - the rule
    """End a token."""
    with writing(service.engine) as session:
        status = credentials.revoke_token(session, name, service.now())
    return answer({"token_id": name, "status": status})


class Order(BaseModel):
    """What is taken back, and why."""

    target: str
    subject: str = Field(min_length=1, max_length=800)
    reason: str = Field(min_length=1, max_length=2_000)
    since: Moment | None = None


@router.post("/admin/recalls")
def recall(service: Here, order: Order, caller: Admin) -> Response:
    """Take back one text, a wording, a product's offers, or what an operator decided since a moment."""
    actor = caller.operator_id or operators.LOCAL
    return answer(endings.recall(service.engine, now=service.now(), actor=actor, **order.model_dump()))


@router.post("/admin/messages/replay")
def replay(service: Here, caller: Admin, since: Place | None = None) -> Response:  # noqa: ARG001 - the rule
    """Send dead messages again, or with ``since`` all from that place in the audit chain on."""
    return answer({"replayed": outbox.replay(service.engine, service.now(), since=since)})


@router.get("/admin/people")
def people(service: Here, caller: Admin) -> Response:  # noqa: ARG001 - the rule
    """Who works here."""
    with reading(service.engine) as session:
        return answer({"people": operators.listed(session)})


class Cleared(BaseModel):
    """A held wording that somebody looked at."""

    reference: str = Field(max_length=800)
    note: str = Field(min_length=1, max_length=2_000)
    operator_id: str | None = Field(default=None, max_length=400)


@router.get("/holds")
def holds(service: Here, caller: Annotated[Caller, Depends(allow("read"))]) -> Response:  # noqa: ARG001 - the rule
    """The wordings that are held because a customer found one of their texts wrong."""
    with reading(service.engine) as session:
        return answer({"holds": endings.holds(session)})


@router.post("/holds/clear")
def clear_hold(service: Here, cleared: Cleared, caller: Annotated[Caller, Depends(allow("decide"))]) -> Response:
    """Let a held wording go on, after somebody looked."""
    who = caller.decides_as(cleared.operator_id)
    return answer(endings.clear_hold(service.engine, cleared.reference, who, service.now(), note=cleared.note))
