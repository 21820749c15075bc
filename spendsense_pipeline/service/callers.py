"""Who calls, and what they may do: every route names its rule here, and nothing is open that does not say so.

A person has a session (``/login``), a program a bearer token; on a trusted machine a request without either counts as
the machine's owner, who types the operator's name as on the command line. Does not belong here: passwords, tokens and
the lock-out themselves (``governance.credentials``).
"""

import datetime as dt
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from spendsense_pipeline.durations import SESSION
from spendsense_pipeline.governance import credentials
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import TOKEN_SCOPES
from spendsense_pipeline.service.state import Service, of
from spendsense_pipeline.settings import THIS_MACHINE

COOKIE: Final = "spendsense_session"
USED_EVERY: Final = dt.timedelta(minutes=5)
"""How closely a token's last use is noted."""

ROLE_PERMISSIONS: Final = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "decide"}),
    "auditor": frozenset({"read", "audit"}),
    "admin": frozenset({"read", "audit", "manage"}),
}
"""``read`` what waits, ``decide`` on it, ``audit``: why and the chain, ``manage`` people, tokens and recalls."""
EVERYTHING: Final = frozenset({"read", "decide", "audit", "manage", *TOKEN_SCOPES})
SAFE: Final = ("GET", "HEAD", "OPTIONS")
PASSED_ON: Final = ("forwarded", "via", "x-real-ip", "x-original-host")
PROXY_ENDS: Final = ("-client-ip", "-connecting-ip")
"""Headers by which proxies say for whom they ask; any ``x-forwarded…`` besides."""


class NotLoggedIn(Exception):
    """A page wants a person; the handler sends the browser to ``/login``."""


@dataclass(frozen=True)
class Caller:
    """Who made a request. ``operator_id`` is None for a program without one, and on a trusted machine."""

    known_by: str
    permissions: frozenset[str]
    operator_id: str | None = None
    role: str | None = None
    user_id: str | None = None
    csrf: str = ""

    def decides_as(self, typed: str | None) -> str:
        """The operator that a decision is recorded under. A typed name that is somebody else's is refused."""
        if self.operator_id is None:
            if self.known_by != "trusted_local":
                raise HTTPException(403, "this token belongs to no operator and decides nothing")
            return typed or ""
        if typed not in (None, "", self.operator_id):
            raise HTTPException(403, f"you are {self.operator_id!r} and cannot decide as {str(typed)[:80]!r}")
        return self.operator_id

    def of_customer(self, user_id: str) -> str:
        """The customer, unless the token is limited to another one."""
        if self.user_id not in (None, user_id):
            raise HTTPException(403, "this token is for another customer")
        return user_id

    @property
    def name(self) -> str:
        """How the record names who passed something on."""
        return self.operator_id or self.known_by


Rule = Callable[[Request], Caller]


def allow(*permissions: str) -> Rule:
    """The rule of a route for programs and people: any of the permissions will do."""

    def rule(request: Request) -> Caller:
        caller = _bearer(request) if "authorization" in request.headers else _session(request) or _owner(request)
        if caller is None:
            raise HTTPException(
                401, "log in, or send a token: Authorization: Bearer sps_…", {"WWW-Authenticate": "Bearer"}
            )
        if not caller.permissions & frozenset(permissions):
            raise HTTPException(403, f"needs one of: {', '.join(permissions)}")
        return caller

    rule.permissions = permissions  # type: ignore[attr-defined] # the test of all routes reads it
    return rule


def person(permission: str) -> Rule:
    """The rule of a page: somebody logged in with this permission; a browser without a session goes to ``/login``."""

    def rule(request: Request) -> Caller:
        caller = _session(request)
        if caller is None:
            raise NotLoggedIn
        if permission not in caller.permissions:
            raise HTTPException(403, f"your role, {caller.role}, does not include this")
        return caller

    rule.permissions = (permission,)  # type: ignore[attr-defined] # as above
    rule.person = True  # type: ignore[attr-defined] # as above
    return rule


PageReader = Annotated[Caller, Depends(person("read"))]


def public(request: Request) -> None:
    """The rule of a route that is open to everybody; it must not show anything of anybody."""


public.permissions = ("public",)  # type: ignore[attr-defined] # as above


def _bearer(request: Request) -> Caller | None:
    service, now = of(request), of(request).now()
    kind, _, secret = request.headers["authorization"].partition(" ")
    if kind.lower() != "bearer" or not secret.startswith(credentials.PREFIX) or len(secret) > 200:
        return None
    with reading(service.engine) as session:
        token = credentials.bearer(session, secret, now)
        if token is None:
            return None
        operator = credentials.person(session, token.operator_id) if token.operator_id is not None else None
    used_before = service.tokens_used.get(token.token_id)
    if used_before is None or now - used_before >= USED_EVERY:
        service.tokens_used[token.token_id] = now
        with writing(service.engine) as session:
            credentials.used(session, token.token_id, now)
    permissions = frozenset(token.scopes)
    if token.user_id is not None:  # whatever else it was given before such tokens were refused
        return Caller("token", permissions & frozenset(credentials.OF_ONE_CUSTOMER), user_id=token.user_id)
    if token.operator_id is None:
        return Caller("token", permissions)
    if operator is None:
        return None
    permissions |= ROLE_PERMISSIONS[operator.role] & {"read", "decide"}
    return Caller("token", permissions, operator.operator_id, operator.role)


def logged_in(service: Service, kept: str | None) -> credentials.Person | None:
    """Whose session this cookie is, while it lasts and the person is an active operator."""
    payload = service.signed("session", kept, SESSION)
    if payload is None:
        return None
    operator = credentials.active_person(service.engine, str(payload["operator"]))
    if operator is None:
        return None
    begun = dt.datetime.fromtimestamp(payload["at"], dt.UTC)
    return None if operator.sessions_since is not None and begun < operator.sessions_since else operator


def _session(request: Request) -> Caller | None:
    service = of(request)
    kept = request.cookies.get(COOKIE)
    operator = logged_in(service, kept)
    if operator is None:
        return None
    csrf = service.mark("csrf", str(kept))
    if request.method not in SAFE:
        _require_own_origin(request, service)
        given = request.headers.get("x-csrf-token", "")
        if not hmac.compare_digest(given.encode(), csrf.encode()):
            raise HTTPException(403, "the page is out of date; load it again")
    return Caller("login", ROLE_PERMISSIONS[operator.role], operator.operator_id, operator.role, csrf=csrf)


def _owner(request: Request) -> Caller | None:
    """The owner of a trusted machine: a direct request from it, not sent by a web page of somebody else."""
    service = of(request)
    client = request.client.host if request.client else ""
    if (
        not service.trusts_local
        or client not in THIS_MACHINE
        or _host(request) not in THIS_MACHINE
        or _was_passed_on(request)
    ):
        return None
    _require_own_origin(request, service)
    return Caller("trusted_local", EVERYTHING)


def _host(request: Request) -> str | None:
    """The host that the request names, without its port."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:  # brackets that do not close
        return None


def _was_passed_on(request: Request) -> bool:
    """Whether a proxy left a trace: a header, or HTTP 1.0, which is what nginx speaks where nobody says otherwise."""
    if request.scope.get("http_version") == "1.0":
        return True
    return any(
        name in PASSED_ON or name.startswith("x-forwarded") or name.endswith(PROXY_ENDS) for name in request.headers
    )


def _require_own_origin(request: Request, service: Service) -> None:
    """Refuse what a web page of somebody else made a browser send."""
    origin = request.headers.get("origin")
    own = {f"{request.url.scheme}://{request.headers.get('host')}", *service.origins}
    if service.settings.public_url:
        own.add("{0.scheme}://{0.netloc}".format(urlsplit(service.settings.public_url.lower())))
    if origin is not None and origin not in own:
        raise HTTPException(403, "this page may not call the service; SPENDSENSE_CORS_ORIGINS lists those that may")
    if origin is None and request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise HTTPException(403, "another site made this request")


def begin_session(service: Service, operator: credentials.Person, goes_to: str = "/desk") -> Response:
    """Give the browser a session of this person, and send it on."""
    payload = {"operator": operator.operator_id, "at": service.now().timestamp(), "id": secrets.token_hex(8)}
    response = RedirectResponse(goes_to, 303)
    keep(response, service, COOKIE, service.sign("session", payload), SESSION)
    return response


def keep(
    response: Response, service: Service, name: str, value: str, lifetime: dt.timedelta, *, path: str = "/"
) -> None:
    """Give the browser a cookie that no script reads and other sites' forms do not send."""
    response.set_cookie(
        name,
        value,
        max_age=int(lifetime.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=service.secure,
        path=path,
    )
