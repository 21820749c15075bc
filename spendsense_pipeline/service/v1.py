"""``/v1``, for apps: the feed, consent and topics, events, links to the customer's page.

Thin: reads a request, calls the domain, writes the answer. Does not belong here: the seed's routes (``seed``).
"""

import datetime as dt
import hashlib
import html
import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from spendsense_pipeline.durations import CUSTOMER_LINK
from spendsense_pipeline.governance import consent, feedback, release, topics
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import SCOPES
from spendsense_pipeline.service.callers import Caller, allow
from spendsense_pipeline.service.pane import meaning_of
from spendsense_pipeline.service.products import products
from spendsense_pipeline.service.state import Here, Moment, Offset, Service, answer, base_address, of

router = APIRouter(prefix="/v1", tags=["apps"])
PAGE: Final = 200
ITEM: Final = (
    *("release_id", "content_type", "title", "content", "rationale", "persona", "insight"),
    *("as_of", "released_at", "expires_at", "product_id"),
)
"""What an item of the feed has of its row."""
OF_PRODUCT: Final = {
    "product_name": "product_name",
    "partner_name": "product_partner",
    "link": "product_link",
    "disclosure": "product_disclosure",
}
"""What an offer says of its product, and the slot that it is shown in."""
_LINK: Final = re.compile(r"(https://[^\s<>\"']+[^\s<>\"'.,;:!?)])")


@router.get("/customers/{user_id}/feed")
def feed(
    request: Request,
    user_id: str,
    caller: Annotated[Caller, Depends(allow("feed:read", "read"))],
    since: Moment | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 50,
    offset: Offset = 0,
) -> Response:
    """What this customer may see now, newest first; with an ETag, so that an unchanged feed is 304.

    ``since`` keeps what was released after that moment. Nothing is an answer too: a customer nobody knows and one
    without consent look alike.
    """
    items = of_customer(of(request), caller.of_customer(user_id), since)
    shown = {"items": items[offset : offset + limit], "total": len(items), "limit": limit, "offset": offset}
    response = answer(shown, headers={"cache-control": "private, no-cache", "vary": "authorization"})
    response.headers["etag"] = tag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    if _is_among(tag, request.headers.getlist("if-none-match")):
        kept = {name: response.headers[name] for name in ("cache-control", "vary", "etag")}
        return Response(status_code=304, headers=kept)
    return response


def _is_among(tag: str, known: list[str]) -> bool:
    """Whether the client has it, as ``If-None-Match`` says: a list, weak where a proxy packed the answer, or ``*``."""
    tags = {one.strip().removeprefix("W/") for header in known for one in header.split(",")}
    return tag in tags or "*" in tags


def of_customer(service: Service, user_id: str, since: dt.datetime | None = None) -> list[dict[str, Any]]:
    """The feed's items as apps and the customer's page show them, newest first."""
    catalogue = products(service)
    active = frozenset(name for name, product in (catalogue or {}).items() if product["active"])
    with reading(service.engine) as session:
        rows = release.released(
            session,
            service.now(),
            user_id=user_id,
            consent_days=service.settings.consent_days,
            withdrawn=release.AllBut(active) if catalogue is not None else (),
        )
    kinds = {name: product["product_type"] for name, product in (catalogue or {}).items()}
    return [_item(row, kinds) for row in reversed(rows) if since is None or row["released_at"] > since]


def _item(row: dict[str, Any], kinds: dict[str, str]) -> dict[str, Any]:
    product: dict[str, Any] | None = None
    if row["content_type"] == "partner_offer":
        # As the operator who approved the text saw it, whatever the catalogue says since.
        product = {name: row["slots"].get(slot, {}).get("shown") for name, slot in OF_PRODUCT.items()}
        if not str(product["link"]).startswith("https://"):
            product["link"] = None
        product["product_type"] = kinds.get(row["product_id"])
    return {
        **{name: row[name] for name in ITEM},
        "content_html": as_html(row["content"]),
        "figures": [
            {"name": name, "shown": slot.get("shown"), "value": slot.get("value"), "meaning": meaning_of(name)}
            for name, slot in row["slots"].items()
        ],
        "topic": topics.topic_of(row) or None,
        "product": product,
        "link": product and product.pop("link"),
        "disclosure": product and product.pop("disclosure"),
    }


def as_html(text: str) -> str:
    """The text as HTML that is safe to show: paragraphs, and https links; everything else escaped.

    >>> as_html("Rent & food.\\n\\nSee https://consumer.gov.")
    '<p>Rent &amp; food.</p><p>See <a href="https://consumer.gov" rel="noopener noreferrer">https://consumer.gov</a>.</p>'
    """
    return "".join(f"<p>{_linked(part.strip())}</p>" for part in re.split(r"\n\s*\n", text) if part.strip())


def _linked(text: str) -> str:
    pieces = [html.escape(part) for part in _LINK.split(text)]  # every other one is an address
    pieces[1::2] = [f'<a href="{address}" rel="noopener noreferrer">{address}</a>' for address in pieces[1::2]]
    return "".join(pieces).replace("\n", "<br>")


class ConsentChoice(BaseModel):
    """What the customer wants: scopes and topics that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid")

    scopes: dict[str, bool] = Field(default={}, description=f"some of {', '.join(SCOPES)}: granted or not")
    topics: dict[str, bool] = Field(default={}, description=f"some of {', '.join(topics.TOPICS)}: wanted or not")
    text_version: str = Field(default=consent.UNSTATED, max_length=200, description="version of the text agreed to")
    channel: str = Field(default="app", min_length=1, max_length=200, description="how it reached you")


@router.get("/customers/{user_id}/consent")
def consent_of(
    service: Here, user_id: str, caller: Annotated[Caller, Depends(allow("consent:write", "feed:read", "read"))]
) -> Response:
    """Consent by scope and by topic, and all that happened to it, oldest first."""
    return answer(consents(service, caller.of_customer(user_id)))


def consents(service: Service, user_id: str) -> dict[str, Any]:
    """A customer's consent as ``GET /v1/customers/{id}/consent`` answers it."""
    with reading(service.engine) as session:
        periods = consent.periods(session, user_id, service.now(), service.settings.consent_days)
        return {
            "user_id": user_id,
            "scopes": {scope: any(one["live"] for one in periods if one["scope"] == scope) for scope in SCOPES},
            "topics": topics.choices(session, user_id),
            "history": consent.history(session, user_id),
            "topic_history": topics.history(session, user_id),
        }


@router.put("/customers/{user_id}/consent")
def change_consent(
    service: Here, user_id: str, choice: ConsentChoice, caller: Annotated[Caller, Depends(allow("consent:write"))]
) -> Response:
    """Grant or revoke scopes, switch topics; a repeat changes nothing and leaves no entry."""
    change(service, caller.of_customer(user_id), choice, actor=user_id, source=f"/v1 ({caller.name})")
    return answer(consents(service, user_id))


def change(service: Service, user_id: str, choice: ConsentChoice, *, actor: str, source: str) -> None:
    """Record a customer's word. Who never arrived is refused: ``unknown_user``."""
    unknown = sorted(set(choice.scopes) - set(SCOPES))
    if unknown:
        raise HTTPException(422, f"scopes are {', '.join(SCOPES)}, not {unknown[0][:80]!r}")
    require_customer(service, user_id)
    now = service.now()
    said: dict[str, Any] = {"actor": actor, "source": source, "channel": choice.channel}
    with writing(service.engine) as session:
        periods = consent.periods(session, user_id, now, service.settings.consent_days)
        live = {one["scope"] for one in periods if one["live"]}
        granted = [scope for scope in SCOPES if choice.scopes.get(scope) is True and scope not in live]
        revoked = [scope for scope in SCOPES if choice.scopes.get(scope) is False]
        ever = {one["scope"] for one in periods}
        revoked = [scope for scope in revoked if scope in live or scope not in ever]
        if revoked:
            consent.revoke(session, user_id, now, scopes=revoked, **said)
        if granted:
            consent.grant(
                session,
                user_id,
                now,
                scopes=granted,
                text_version=choice.text_version,
                consent_days=service.settings.consent_days,
                **said,
            )
        topics.choose(session, user_id, choice.topics, now, **said)


def require_customer(service: Service, user_id: str) -> None:
    """Refuse an id that never arrived: consent for it would wait there for its owner."""
    with reading(service.engine) as session:
        if consent.history(session, user_id):
            return
    from spendsense_pipeline import profiles  # only for those whom governance never heard of

    profiles.require_customer(service.settings.warehouse_root, user_id)


class Events(BaseModel):
    """Up to 1,000 events, in any order."""

    events: list[dict[str, Any]] = Field(max_length=feedback.MOST_AT_ONCE)


@router.post("/events")
def events(service: Here, body: Events, caller: Annotated[Caller, Depends(allow("events:write"))]) -> Response:
    """Record events: {accepted, duplicate, refused, held}. One that is refused keeps none of the others out."""
    source = f"/v1 ({caller.name})"
    return answer(feedback.record(service.engine, body.events, service.now(), source=source, user_id=caller.user_id))


@router.post("/customers/{user_id}/link")
def customer_link(
    request: Request, user_id: str, caller: Annotated[Caller, Depends(allow("consent:write"))]
) -> Response:
    """A link to the customer's own page, for half an hour, to open or to embed; who has it is the customer."""
    service = of(request)
    require_customer(service, caller.of_customer(user_id))
    token = service.sign("me", {"user_id": user_id})
    link = f"{base_address(request)}/me?token={token}"
    return answer({"link": link, "expires_at": service.now() + CUSTOMER_LINK}, 201)
