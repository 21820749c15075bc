"""What every request passes before a route sees it: its rate, headers of the answer, one log line.

Pure ASGI. Log lines and metrics name the route, never the address asked for: ids and tokens stand in it.
"""

import logging
import time
from collections import OrderedDict
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spendsense_pipeline.service.context import as_json

LOG: Final = logging.getLogger("spendsense.service")
LARGEST_BODY: Final = 2 * 2**20
LARGEST_BATCH: Final = 256 * 2**20
"""Bytes of a body, and of a batch for ``/ingest/``; the framework answers 413 above them."""
CALLERS_REMEMBERED: Final = 10_000
LOGINS_A_MINUTE: Final = 20
"""Attempts from one address; the lock-out counts by name."""

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

    def allows(self, caller: str, now: float) -> bool:
        """Take one from the caller's bucket, if there is one; ``now`` in seconds of any steady clock."""
        level, at = self._buckets.pop(caller, (self.burst, now))
        level = min(self.burst, level + (now - at) * self.rate)
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
        self.logins = Rates(LOGINS_A_MINUTE / 60, LOGINS_A_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 429 ourselves, pass the rest on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        headers = dict(scope["headers"])

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *self._headers(scope)]
            await send(message)

        if self._in_time(scope, headers, started):
            await self.app(scope, receive, with_headers)
        else:
            await _refuse(with_headers)
        self._note(scope, status, time.perf_counter() - started)

    def _in_time(self, scope: Scope, headers: dict[bytes, bytes], now: float) -> bool:
        address = scope["client"][0] if scope.get("client") else ""
        if scope["path"] == "/login" and scope["method"] == "POST" and not self.logins.allows(address, now):
            return False
        return self.rates.allows(headers.get(b"authorization", b"").decode("latin-1") or address, now)

    def _headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        ancestors = self.ancestors if scope["path"].startswith("/me") else "'none'"
        policy = CONTENT_SECURITY.format(ancestors=ancestors)
        own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        return [*own, (b"content-security-policy", policy.encode())]

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self.metrics.requests.labels(route, scope["method"], str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        LOG.info("%s %s %d %.1f ms", scope["method"], route, status, seconds * 1000)


async def _refuse(send: Send) -> None:
    body = as_json({"detail": "too many requests; slow down", "code": "too_fast"}).encode()
    named = {"content-type": "application/json", "content-length": str(len(body)), "retry-after": "1"}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": 429, "headers": raw})
    await send({"type": "http.response.body", "body": body})
