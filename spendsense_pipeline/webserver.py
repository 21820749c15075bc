"""Dagster's webserver with a filter before it: what changes anything comes from its own pages alone.

By itself it takes mutations from any page that a browser shows, by GET too, and reports of materialisations from
whoever sends them; a page of somebody else could launch a run that grants consent. It also asks nobody who they are:
where ``SPENDSENSE_DAGSTER_LOGIN`` is set, they log in at the service. What does not belong here: logging in itself
(``service/login.py``).
"""

import re
import sys
from collections.abc import Iterable
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from dagster_webserver import cli
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from spendsense_pipeline.settings import THIS_MACHINE, Settings

if TYPE_CHECKING:
    from spendsense_pipeline.service.state import Service

READS: Final = ("GET", "HEAD")
CLOSED: Final = "report_asset_"
"""Begins the paths by which anybody could say that an asset was made or a check passed; nothing here needs them."""
ASKED_FOR: Final = ("host", "origin", "sec-fetch-site", "sec-fetch-mode", "content-type")
"""Headers by which the filter decides."""
HOST: Final = re.compile(r"(\[[\da-f:]+\]|[\w.-]+)(:\d+)?", re.ASCII | re.IGNORECASE)
LARGEST_BODY: Final = 2 * 2**20
"""Bytes of a request: of a launch with its configuration, many times over."""
HEALTH: Final = "/server_info"
"""Versions alone: a health check has no login."""


class OwnPagesOnly:
    """ASGI middleware. Refused with 403: a ``Host`` that is none of ours, an ``Origin`` or ``Sec-Fetch-Site`` of
    another page, reports of assets; with 405 and 415: changes, and GraphQL, that are no POST of JSON; with 400: a
    header that is asked for here and comes twice, of which the next in line may believe the other.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()) -> None:
        self.app, self.hosts = app, {*THIS_MACHINE, *hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope["type"], scope.get("method", "GET"), scope["path"], Headers(scope=scope))
        if refused is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refused[1]})
        else:
            await JSONResponse({"detail": refused[1]}, refused[0])(scope, receive, send)

    def _refused(self, kind: str, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        if any(len(headers.getlist(name)) > 1 for name in ASKED_FOR):
            return 400, "a header comes twice"
        host, origin = headers.get("host", ""), headers.get("origin")
        named = HOST.fullmatch(host)
        if named is None or named[1].strip("[]").lower() not in self.hosts:
            return 403, "this name of the machine is not one of SPENDSENSE_DAGSTER_HOSTS"
        if origin not in (None, f"http://{host}", f"https://{host}"):
            return 403, "another page may not ask this"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return 403, "another page may not ask this"
        if any(part.startswith(CLOSED) for part in path.split("/")):
            return 403, "assets are made by runs; nobody reports them"
        if kind == "websocket":
            return None
        if path.rstrip("/").endswith("/graphql") and method != "POST":
            return 405, "GraphQL is asked by POST"
        if method not in READS and headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return 415, "send JSON"
        return None


def filters(hosts: Iterable[str]) -> list[Middleware]:
    """What every request passes first; ``hosts`` are names of the machine."""
    return [
        Middleware(OwnPagesOnly, hosts=[one.lower() for one in hosts]),
        Middleware(RequestBodyLimitMiddleware, max_body_size=LARGEST_BODY),
    ]


PARSER: Final = "h11"
"""Stops at 64 KB of headers; the one that uvicorn takes by itself keeps any number of bytes."""


class LoggedIn:
    """ASGI middleware: for people whose role manages, by their session at the ``service``; whoever launches a run here
    can grant consent and decide. Others are refused with 401 or 403, and a browser without a session is sent to log in.
    """

    def __init__(self, app: ASGIApp, service: "Service") -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        from spendsense_pipeline.service.callers import COOKIE, ROLE_PERMISSIONS, logged_in

        if scope["type"] not in ("http", "websocket") or scope["path"] == HEALTH:
            await self.app(scope, receive, send)
            return
        asked = HTTPConnection(scope)
        who = await run_in_threadpool(logged_in, self.service, asked.cookies.get(COOKIE))
        if who is not None and "manage" in ROLE_PERMISSIONS[who.role]:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "log in at the service"})
        else:
            await self._refusal(asked, known=who is not None)(scope, receive, send)

    def _refusal(self, asked: HTTPConnection, *, known: bool) -> Response:
        if known:
            return JSONResponse({"detail": "your role does not include Dagster's pages"}, 403)
        settings = self.service.settings
        if "text/html" not in asked.headers.get("accept", ""):
            return JSONResponse({"detail": "log in at the service"}, 401)
        return RedirectResponse(f"{(settings.public_url or SERVICE).rstrip('/')}/login", 303)


SERVICE: Final = "http://127.0.0.1:8000"
"""Where `spendsense serve` is reached when nothing else is said."""


def main() -> None:
    """``python -m spendsense_pipeline.webserver``: ``dagster-webserver`` with its own words, behind the filter."""
    settings = Settings()
    before = filters(settings.dagster_hosts)
    if settings.dagster_login:
        from spendsense_pipeline.governance.database import (
            connect,  # a second to load, and not asked for on one machine
        )
        from spendsense_pipeline.service.state import opened

        before.append(Middleware(LoggedIn, service=opened(settings, connect(settings.governance_url))))

    def filtered(*words: Any, **more: Any) -> Starlette:
        app = create_app_from_workspace_process_context(*words, **more)
        app.user_middleware[:0] = before
        return app

    vars(cli)["create_app_from_workspace_process_context"] = filtered  # its command asks for it by this name
    vars(cli)["uvicorn"] = SimpleNamespace(run=partial(uvicorn.run, http=PARSER))
    sys.exit(cli.main())  # type: ignore[no-untyped-call] # Dagster's own


if __name__ == "__main__":
    main()
