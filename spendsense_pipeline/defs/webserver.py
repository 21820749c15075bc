"""Dagster's webserver with a filter before it: what changes anything comes from its own pages alone.

By itself it takes mutations from any page that a browser shows, by GET too, and reports of materialisations from
whoever sends them; a page of somebody else could launch a run that grants consent. What does not belong here: who may
log in, which a proxy before it decides (docs/production.md).
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from dagster_webserver import cli
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from spendsense_pipeline.settings import THIS_MACHINE, Settings

READS: Final = ("GET", "HEAD")
CLOSED: Final = "report_asset_"
"""Begins the paths by which anybody could say that an asset was made or a check passed; nothing here needs them."""


class OwnPagesOnly:
    """ASGI middleware. Refused with 403: a ``Host`` that is none of ours, an ``Origin`` or ``Sec-Fetch-Site`` of
    another page, reports of assets; with 405 and 415: changes, and GraphQL, that are no POST of JSON.
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

    def _refused(self, kind: str, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if _name(f"//{host}") not in self.hosts:
            return 403, "this name of the machine is not one of SPENDSENSE_DAGSTER_HOSTS"
        if origin is not None and origin.partition("://")[2] != host:
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


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # brackets that do not close
        return None


def main() -> None:
    """``python -m spendsense_pipeline.defs.webserver``: ``dagster-webserver`` with its own words, behind the filter."""
    hosts = Settings().dagster_host_names

    def filtered(*words: Any, **more: Any) -> Starlette:
        app = create_app_from_workspace_process_context(*words, **more)
        app.user_middleware.insert(0, Middleware(OwnPagesOnly, hosts=hosts))
        return app

    vars(cli)["create_app_from_workspace_process_context"] = filtered  # its command asks for it by this name
    sys.exit(cli.main())  # type: ignore[no-untyped-call] # Dagster's own


if __name__ == "__main__":
    main()
