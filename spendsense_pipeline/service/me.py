"""The customer's own page: the feed, why they see it, consent and topics as switches, and a word back.

Reached by a short-lived signed link, so that an app can open or embed it. The link is the only key: it stands in the
address once, and the page's script sends it as a header; there is no cookie, so no other site can use it.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, Field

from spendsense_pipeline.durations import CUSTOMER_LINK
from spendsense_pipeline.governance import feedback
from spendsense_pipeline.service import v1
from spendsense_pipeline.service.rendering import page
from spendsense_pipeline.service.state import Here, answer, of

router = APIRouter(include_in_schema=False)

KINDS: Final = ("seen", "opened", "helpful", "not_helpful", "dismissed", "wrong_figure", "complaint", "acted")


def customer(request: Request) -> str:
    """The customer that the link is for."""
    service = of(request)
    token = request.headers.get("x-customer-token") or request.query_params.get("token")
    payload = service.signed("me", token, CUSTOMER_LINK)
    if payload is None:
        raise HTTPException(403, "this link is over; open it again from the app")
    return str(payload["user_id"])


customer.permissions = ("customer",)  # type: ignore[attr-defined] # the test of all routes reads it

Customer = Annotated[str, Depends(customer)]


@router.get("/me")
def me(request: Request, user_id: Customer) -> Response:
    """The page, with what the customer may see now."""
    service = of(request)
    consents = v1.consents(service, user_id)
    return page(
        request,
        "me.html",
        items=v1.of_customer(service, user_id),
        scopes=consents["scopes"].items(),
        topics=consents["topics"].items(),
        token=request.query_params.get("token") or request.headers.get("x-customer-token"),
    )


class Switch(BaseModel):
    """One switch of the page."""

    scopes: dict[str, bool] = {}
    topics: dict[str, bool] = {}


@router.post("/me/consent")
def switch(service: Here, choice: Switch, user_id: Customer) -> Response:
    """Record what the customer switched."""
    word = v1.ConsentChoice(scopes=choice.scopes, topics=choice.topics, channel="customer's page")
    v1.change(service, user_id, word, actor=user_id, source="/me")
    consents = v1.consents(service, user_id)
    return answer({name: consents[name] for name in ("scopes", "topics")})


class Word(BaseModel):
    """What the customer says about one text."""

    event_id: str = Field(min_length=8, max_length=100)
    release_id: str = Field(max_length=400)
    kind: str = Field(max_length=40)
    note: str | None = Field(default=None, max_length=feedback.LONGEST_NOTE)


@router.post("/me/events")
def word(service: Here, said: Word, user_id: Customer) -> Response:
    """Record a word back on a text of theirs."""
    if said.kind not in KINDS:
        raise HTTPException(422, f"one of {', '.join(KINDS)}")
    event = said.model_dump() | {"event_id": f"me_{user_id}_{said.event_id}"}
    done = feedback.record(service.engine, [event], service.now(), source="/me", user_id=user_id)
    if done["refused"]:
        raise HTTPException(409, done["refused"][0]["message"])
    return answer({"accepted": done["accepted"], "duplicate": done["duplicate"]})
