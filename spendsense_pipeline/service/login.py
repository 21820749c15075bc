"""Logging in and out: a password, a link that opens once, or an identity provider by OpenID Connect."""

import asyncio
import datetime as dt
import hmac
import logging
import secrets
from typing import Annotated, Any, Final

import httpx2
from authlib.integrations.starlette_client import OAuth, OAuthError
from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from joserfc.errors import JoseError

from spendsense_pipeline.durations import LOGIN_FORM, LOGIN_LINK
from spendsense_pipeline.governance import credentials
from spendsense_pipeline.governance.database import writing
from spendsense_pipeline.service.callers import COOKIE, PageReader, begin_session, keep, public
from spendsense_pipeline.service.rendering import page
from spendsense_pipeline.service.state import Here, Service, answer, base_address, of, wants_page
from spendsense_pipeline.settings import is_safe_address

router = APIRouter(include_in_schema=False)
LOG: Final = logging.getLogger("spendsense.login")
FORM_COOKIE: Final = "spendsense_form"
"""A login form is signed for the browser that it was shown to, which has this cookie for it, so that no other site can
log a browser in."""
ISSUER_COOKIE: Final = "spendsense_issuer"
AT_ISSUER: Final = dt.timedelta(minutes=10)
"""How long somebody may take at the identity provider."""
PATIENCE: Final = 10.0
"""Seconds that the identity provider may take to answer us."""
SIGNATURES: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Made with a key of the identity provider's own. Many list `none` besides, and Authlib would believe it."""


def login_link(service: Service, operator_id: str, address: str) -> str:
    """A link that logs this person in, once, within ``LOGIN_LINK``."""
    payload = {"operator": operator_id, "nonce": secrets.token_hex(16)}
    return f"{address.rstrip('/')}/login/link?token=" + service.sign("login-link", payload)


@router.get("/", dependencies=[Depends(public)])
def home(request: Request) -> Response:
    """A browser goes to the desk; a program gets a word."""
    if wants_page(request):
        return RedirectResponse("/desk", 303)
    return answer({"message": "SpendSense", "docs": "/docs"})


@router.get("/login", dependencies=[Depends(public)])
def login_form(request: Request, next: str = "/desk") -> Response:  # noqa: A002 - the parameter's name in the address
    """The form, and the way to the identity provider where there is one."""
    return _form(request, next)


def _form(request: Request, goes_to: str, problem: str = "", status: int = 200) -> Response:
    service = of(request)
    nonce = request.cookies.get(FORM_COOKIE) or secrets.token_hex(16)  # one browser may have several forms open
    response = page(
        request,
        "login.html",
        status=status,
        problem=problem,
        next=_own_path(goes_to),
        form=service.sign("login-form", {"browser": service.mark("login-form", nonce)}),
        issuer=service.settings.oidc_issuer,
    )
    keep(response, service, FORM_COOKIE, nonce, LOGIN_FORM, path="/login")
    return response


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
    shown, nonce = service.signed("login-form", form, LOGIN_FORM), request.cookies.get(FORM_COOKIE, "")
    own = service.mark("login-form", nonce)
    if shown is None or not hmac.compare_digest(str(shown.get("browser")), own):
        return _form(
            request, next, "the form stood open for too long, or this browser keeps no cookies; try again", 400
        )
    try:
        who = credentials.log_in(service.engine, operator_id.strip(), password, service.now())
    except credentials.AccessRefused as refused:
        return _form(request, next, str(refused), 429 if refused.code == "locked" else 401)
    return begin_session(service, who, _own_path(next))


@router.get("/login/link", dependencies=[Depends(public)])
def from_link(service: Here, token: str) -> Response:
    """Begin the session of whom the link names. It opens once."""
    payload = service.signed("login-link", token, LOGIN_LINK)
    if payload is None:
        raise HTTPException(403, "this link is not valid any more; `spendsense serve` prints a new one")
    return _admitted(service, payload["operator"], means="link", nonce=credentials.digest(payload["nonce"]))


def _admitted(service: Service, operator_id: str, **vouched: str) -> Response:
    try:
        who = credentials.admit(service.engine, operator_id, service.now(), **vouched)
    except credentials.AccessRefused as refused:
        raise HTTPException(403, str(refused)) from None
    return begin_session(service, who)


@router.post("/logout")
def log_out(service: Here, caller: PageReader) -> Response:
    """End all sessions of this person."""
    with writing(service.engine) as session:
        credentials.end_sessions(session, str(caller.operator_id), service.now())
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response


@router.get("/login/issuer", dependencies=[Depends(public)])
async def to_issuer(request: Request) -> Response:
    """Send the browser to the identity provider. What its answer must match is kept in a signed cookie."""
    service = of(request)
    request.scope["session"] = kept = dict[str, Any]()  # where Authlib puts state, nonce and the verifier of the code
    try:
        client = await _issuer(service)
        response: Response = await client.authorize_redirect(request, f"{base_address(request)}/login/callback")
    except (httpx2.HTTPError, httpx2.InvalidURL, OAuthError, ValueError) as error:
        raise _unreachable(error) from None
    keep(response, service, ISSUER_COOKIE, service.sign("issuer", kept), AT_ISSUER, path="/login")
    return response


@router.get("/login/callback", dependencies=[Depends(public)])
async def from_issuer(request: Request) -> Response:
    """Begin the session of whom the identity provider vouches for."""
    service = of(request)
    request.scope["session"] = service.signed("issuer", request.cookies.get(ISSUER_COOKIE), AT_ISSUER) or {}
    try:
        client = await _issuer(service)
        token = await client.authorize_access_token(
            request,
            claims_options={
                "iss": {"essential": True, "value": client.server_metadata["issuer"]},
                "aud": {"essential": True, "value": service.settings.oidc_client_id},
            },
        )
    except OAuthError as error:
        raise HTTPException(403, f"the identity provider refused, or this is not its answer: {error.error}") from None
    except JoseError as error:
        raise HTTPException(403, f"the identity provider's word does not hold: {error.error}") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise _unreachable(error) from None
    claims = token.get("userinfo")
    if not claims:
        raise HTTPException(403, "the identity provider did not say who this is")
    subject = f"{claims['iss']}|{claims['sub']}"

    operator_id = await asyncio.to_thread(credentials.person_of_subject, service.engine, subject)
    if operator_id is None:
        raise HTTPException(403, "nobody here is registered under this account; an admin adds people")
    response = await asyncio.to_thread(_admitted, service, operator_id, means="issuer")
    response.delete_cookie(ISSUER_COOKIE, path="/login")
    return response


async def _issuer(service: Service) -> Any:
    """Authlib's client of the identity provider, with what it says of itself. Raises ``ValueError`` where that is not
    what is set here, or not safe."""
    settings = service.settings
    if not settings.oidc_issuer:
        raise HTTPException(404, "no identity provider is set: SPENDSENSE_OIDC_ISSUER")
    oauth = OAuth()
    client = oauth.register(
        "issuer",
        server_metadata_url=settings.oidc_issuer.rstrip("/") + "/.well-known/openid-configuration",
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else None,
        client_kwargs={"scope": "openid", "code_challenge_method": "S256", "timeout": PATIENCE},
    )
    about = await client.load_server_metadata()
    if str(about.get("issuer")).rstrip("/") != settings.oidc_issuer.rstrip("/"):
        raise ValueError(f"it calls itself {str(about.get('issuer'))[:200]!r}, not {settings.oidc_issuer!r}")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not is_safe_address(str(about.get(name))):
            raise ValueError(f"its {name} is not an https address")
    offered = about.get("id_token_signing_alg_values_supported") or ["RS256"]
    about["id_token_signing_alg_values_supported"] = [one for one in offered if one in SIGNATURES] or ["RS256"]
    return client


def _unreachable(error: Exception) -> HTTPException:
    LOG.warning("identity provider: %s", error)
    return HTTPException(502, "the identity provider cannot be asked at the moment; the log says why")


def _own_path(path: str) -> str:
    """A path of ours to go on to; anything that leads elsewhere becomes the desk."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/desk"
