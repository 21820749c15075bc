"""What every request passes before a route sees it: its rate, headers of the answer, one log line.

Pure ASGI. Log lines and metrics name the route, never the address asked for: ids and tokens stand in it.
"""

import logging
import time
import traceback
from collections import OrderedDict
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spendsense_pipeline.service.rendering import page
from spendsense_pipeline.service.state import answer, wants_page

LOG: Final = logging.getLogger("spendsense.service")
LARGEST_BODY: Final = 2 * 2**20
LARGEST_BATCH: Final = 256 * 2**20
"""Bytes of a body, and of a batch for ``/ingest/``; above them it is 413."""
_TOO_LARGE: Final = answer(
    {
        "detail": f"the body is larger than {LARGEST_BODY >> 20} MB, or {LARGEST_BATCH >> 20} MB for a batch",
        "code": "too_large",
    }
)
"""Said in the place of the framework's plain text."""
_OF_A_BODY: Final = (b"content-type", b"content-length")
CALLERS_REMEMBERED: Final = 10_000
LOGINS_A_MINUTE: Final = 20
"""Attempts from one address; the lock-out counts by name."""

_TOO_FAST: Final = answer(
    {"detail": "too many requests; slow down", "code": "too_fast"}, status=429, headers={"retry-after": "1"}
)
METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")

CONTENT_SECURITY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
)
HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Metrics:
    """Counters for ``/metrics``, one registry for each service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "spendsense_requests",
            "Requests by route, method and status",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "spendsense_request_seconds", "Seconds that a request took, by route", ["route"], registry=self.registry
        )


class Rates:
    """A bucket for each caller that fills at ``rate`` a second and holds ``burst``."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def has(self, caller: str, now: float) -> bool:
        """Whether there is one left in the caller's bucket; ``now`` in seconds of any steady clock."""
        return self._level(caller, now) >= 1

    def _level(self, caller: str, now: float) -> float:
        level, at = self._buckets.get(caller, (self.burst, now))
        return min(self.burst, level + (now - at) * self.rate)

    def allows(self, caller: str, now: float) -> bool:
        """Take one from the caller's bucket, if there is one; ``now`` as for ``has``."""
        level = self._level(caller, now)
        self._buckets.pop(caller, None)
        allowed = level >= 1
        self._buckets[caller] = (level - 1 if allowed else level, now)
        while len(self._buckets) > CALLERS_REMEMBERED:
            self._buckets.popitem(last=False)
        return allowed


class Guard:
    """The middleware around all routes."""

    def __init__(self, app: ASGIApp, *, rate: int, metrics: Metrics, ancestors: str) -> None:
        self.app, self.metrics, self.ancestors = app, metrics, ancestors
        self.rates = Rates(rate, 2 * rate)
        self.guesses = Rates(rate, 2 * rate)
        self.logins = Rates(LOGINS_A_MINUTE / 60, LOGINS_A_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 429 and, where a route breaks, 500 ourselves; pass the rest on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = message.get("headers", [])
                if status == 413:
                    own = [*(one for one in own if one[0].lower() not in _OF_A_BODY), *_TOO_LARGE.raw_headers]
                named = {name.lower() for name, _ in own}  # a route's own headers stand
                message["headers"] = [*own, *(header for header in self._headers(scope) if header[0] not in named)]
            elif status == 413:
                message = {"type": "http.response.body", "body": _TOO_LARGE.body}
            await send(message)

        address = scope["client"][0] if scope.get("client") else ""
        token = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if not self._in_time(scope, address, token, started):
            await _TOO_FAST(scope, receive, with_headers)
        else:
            try:
                await self.app(scope, receive, with_headers)
            except Exception as error:  # noqa: BLE001 - the last door: it is logged, and the caller gets an answer
                # Where it went wrong; not the error's own words, in which a customer or a token may stand.
                frames = "".join(traceback.format_tb(error.__traceback__))
                LOG.error("%s %s: %s\n%s", scope["method"], _route(scope), type(error).__name__, frames)
                if not status:
                    await _broken(Request(scope))(scope, receive, with_headers)
        if token and status == 401:
            self.guesses.allows(address, started)
        self._note(scope, status or 500, time.perf_counter() - started)

    def _in_time(self, scope: Scope, address: str, token: str, now: float) -> bool:
        """Whether the caller has not had enough: by its token, or by its address, which answers for false tokens."""
        if scope["path"] == "/login" and scope["method"] == "POST" and not self.logins.allows(address, now):
            return False
        if token and not self.guesses.has(address, now):
            return False
        return self.rates.allows(token or address, now)

    def _headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        ancestors = self.ancestors if scope["path"].startswith("/me") else "'none'"
        policy = CONTENT_SECURITY.format(ancestors=ancestors)
        headers = HEADERS | {"content-security-policy": policy}
        if not scope["path"].startswith("/static/"):  # all else may be about a customer
            headers["cache-control"] = "no-store"
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route, method = _route(scope), scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.requests.labels(route, method, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        LOG.info("%s %s %d %.1f ms", method, route, status, seconds * 1000)


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "none")


def _broken(request: Request) -> Response:
    said = "an error of ours; it is in the log"
    if wants_page(request):
        return page(request, "error.html", status=500, detail=said)
    return answer({"detail": said, "code": "internal"}, 500)
