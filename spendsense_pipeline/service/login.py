"""Logging in and out: a password, a link that opens once, or an identity provider by OpenID Connect."""

import asyncio
import datetime as dt
import secrets
from typing import Annotated, Any, Final

from authlib.integrations.starlette_client import OAuth, OAuthError
from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from spendsense_pipeline.governance import access
from spendsense_pipeline.governance.database import writing
from spendsense_pipeline.service.access import COOKIE, Caller, begin_session, person, public
from spendsense_pipeline.service.context import Service, of
from spendsense_pipeline.service.rendering import page

router = APIRouter(include_in_schema=False)
LINK: Final = dt.timedelta(minutes=15)
"""How long a login link opens."""
FORM: Final = dt.timedelta(hours=1)
"""How long a login form may stand open; it is signed, so that no other site can log a browser in."""


def login_link(service: Service, operator_id: str, address: str) -> str:
    """A link that logs this person in, once, within ``LINK``."""
    payload = {"operator": operator_id, "nonce": secrets.token_hex(16)}
    return f"{address.rstrip('/')}/login/link?token=" + service.sign("login-link", payload)


@router.get("/", dependencies=[Depends(public)])
def home(request: Request) -> Response:
    """A browser goes to the desk; a program gets a word."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/desk", 303)
    from spendsense_pipeline.service.context import answer

    return answer({"message": "SpendSense", "docs": "/docs"})


@router.get("/login", dependencies=[Depends(public)])
def login_form(request: Request, next: str = "/desk") -> Response:  # noqa: A002 - the parameter's name in the address
    """The form, and the way to the identity provider where there is one."""
    return _form(request, next)


def _form(request: Request, goes_to: str, problem: str = "", status: int = 200) -> Response:
    service = of(request)
    return page(
        request,
        "login.html",
        status=status,
        problem=problem,
        next=_own_path(goes_to),
        form=service.sign("login-form", {}),
        issuer=service.settings.oidc_issuer,
    )


@router.post("/login", dependencies=[Depends(public)])
def log_in(
    request: Request,
    operator_id: Annotated[str, Form(max_length=400)],
    password: Annotated[str, Form(max_length=1000)],
    form: Annotated[str, Form(max_length=400)],
    next: Annotated[str, Form(max_length=400)] = "/desk",  # noqa: A002 - as above
) -> Response:
    """Begin a session, or show the form again with the reason."""
    service = of(request)
    if service.signed("login-form", form, FORM) is None:
        return _form(request, next, "the form stood open for too long; try again", 400)
    try:
        who = access.log_in(service.engine, operator_id.strip(), password, service.now())
    except access.AccessRefused as refused:
        return _form(request, next, str(refused), 429 if refused.code == "locked" else 401)
    response = RedirectResponse(_own_path(next), 303)
    begin_session(service, who, response)
    return response


@router.get("/login/link", dependencies=[Depends(public)])
def from_link(request: Request, token: str) -> Response:
    """Begin the session of whom the link names. It opens once."""
    service = of(request)
    payload = service.signed("login-link", token, LINK)
    if payload is None:
        raise HTTPException(403, "this link is not valid any more; `spendsense serve` prints a new one")
    try:
        who = access.admit(
            service.engine, payload["operator"], service.now(), means="link", nonce=access.digest(payload["nonce"])
        )
    except access.AccessRefused as refused:
        raise HTTPException(403, str(refused)) from None
    response = RedirectResponse("/desk", 303)
    begin_session(service, who, response)
    return response


@router.post("/logout")
def log_out(request: Request, caller: Annotated[Caller, Depends(person("read"))]) -> Response:
    """End all sessions of this person."""
    service = of(request)
    with writing(service.engine) as session:
        access.end_sessions(session, str(caller.operator_id), service.now())
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response


@router.get("/login/issuer", dependencies=[Depends(public)])
async def to_issuer(request: Request) -> Response:
    """Send the browser to the identity provider."""
    client = _issuer(of(request))
    response: Response = await client.authorize_redirect(request, _callback(request))
    return response


@router.get("/login/callback", dependencies=[Depends(public)])
async def from_issuer(request: Request) -> Response:
    """Begin the session of whom the identity provider vouches for."""
    service = of(request)
    client = _issuer(service)
    try:
        token = await client.authorize_access_token(request)
    except OAuthError as error:
        raise HTTPException(403, f"the identity provider refused: {error.error}") from None
    claims = token.get("userinfo") or {}
    subject = f"{claims.get('iss')}|{claims.get('sub')}"

    def admitted() -> access.Person:
        operator_id = access.person_of_subject(service.engine, subject)
        if operator_id is None:
            raise HTTPException(403, "nobody here is registered under this account; an admin adds people")
        return access.admit(service.engine, operator_id, service.now(), means="issuer")

    try:
        who = await asyncio.to_thread(admitted)
    except access.AccessRefused as refused:
        raise HTTPException(403, str(refused)) from None
    response = RedirectResponse("/desk", 303)
    begin_session(service, who, response)
    return response


def _issuer(service: Service) -> Any:
    settings = service.settings
    if not settings.oidc_issuer:
        raise HTTPException(404, "no identity provider is set: SPENDSENSE_OIDC_ISSUER")
    oauth = OAuth()
    return oauth.register(
        "issuer",
        server_metadata_url=settings.oidc_issuer.rstrip("/") + "/.well-known/openid-configuration",
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else None,
        client_kwargs={"scope": "openid", "code_challenge_method": "S256"},
    )


def _callback(request: Request) -> str:
    base = of(request).settings.public_url or str(request.base_url)
    return base.rstrip("/") + "/login/callback"


def _own_path(path: str) -> str:
    """A path of ours to go on to; anything that leads elsewhere becomes the desk."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/desk"
