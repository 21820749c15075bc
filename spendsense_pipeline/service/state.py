"""What a route works with: the settings, the governance database, the clock, and what is signed with our secret.

And the parameters that several routes have, with the bounds of what the databases can hold. Does not belong here:
routes, and who may call them (``callers``).
"""

import datetime as dt
import hashlib
import json
import math
import os
import secrets
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer
from pydantic import AfterValidator, AwareDatetime
from sqlalchemy import Engine

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.gate import reviewed
from spendsense_pipeline.governance import consent, review
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.settings import SHORTEST_SECRET, Settings

DEEPEST: Final = 8
"""Levels of what a client sent that are read, or repeated: nothing that the pipeline reads lies deeper."""
Now = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """This moment, in UTC: the only clock that the service reads."""
    return dt.datetime.now(dt.UTC)


@dataclass
class Service:
    """One running service. ``local`` says that only this machine reaches it, directly."""

    settings: Settings
    engine: Engine
    now: Now = utc_now
    local: bool = True
    secure: bool = False
    """Whether browsers reach it over TLS, so that cookies say so."""
    secret: str = field(default_factory=lambda: secrets.token_hex(32))
    tokens_used: dict[str, dt.datetime] = field(default_factory=dict)
    """When the use of a token was noted last."""
    seen_texts: OrderedDict[tuple[str, str], str] = field(default_factory=OrderedDict)
    """Caller and recommendation -> hash of the text that the caller was shown last (``decision_routes.remember``)."""
    batches_started: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What became of the batches that nobody waited for, since this service started."""

    @property
    def trusts_local(self) -> bool:
        """Whether a request from this machine counts as the machine's owner."""
        return self.local and self.settings.trust_local

    @cached_property
    def origins(self) -> tuple[str, ...]:
        """Origins of web apps that may call us; while the machine is trusted, the seed's two local ones as well."""
        local = ("http://localhost:5173", "http://localhost:3000") if self.trusts_local else ()
        return (*self.settings.cors_origins, *local)

    def live_scopes(self, user_id: str | None = None) -> dict[str, dict[str, bool]]:
        """Of everybody with live consent, or of one customer: user_id -> scope -> whether it lives."""
        with reading(self.engine) as session:
            return consent.live_scopes(session, self.now(), self.settings.consent_days, user_id)

    def periods(self, *user_ids: str) -> dict[str, list[dict[str, Any]]]:
        """The periods of consent of these customers, by id."""
        with reading(self.engine) as session:
            return consent.periods_of(session, user_ids, self.now(), self.settings.consent_days)

    def decide(self, known_by: str, asked: Sequence[review.Request]) -> list[dict[str, Any]]:
        """What becomes of these decisions (``review.decide``); ``known_by`` says how who decides is known."""
        return review.decide(
            self.engine,
            asked,
            self.now(),
            guardrails=reviewed,
            four_eyes=self.settings.four_eyes,
            known_by=known_by,
        )

    def sign(self, purpose: str, payload: dict[str, Any]) -> str:
        """The payload as text that nobody else can make."""
        signed: str = URLSafeTimedSerializer(self.secret, salt=purpose).dumps(payload)
        return signed

    def signed(self, purpose: str, text: str | None, max_age: dt.timedelta) -> dict[str, Any] | None:
        """What ``sign`` was given, if the text is its and not older than ``max_age``."""
        if not text:
            return None
        try:
            payload = URLSafeTimedSerializer(self.secret, salt=purpose).loads(
                text, max_age=int(max_age.total_seconds())
            )
        except BadSignature:
            return None
        return payload if isinstance(payload, dict) else None

    def mark(self, purpose: str, text: str) -> str:
        """A short keyed digest of the text, e.g. the CSRF token of a session."""
        return hashlib.blake2b(
            text.encode(),
            key=hashlib.sha256(self.secret.encode()).digest(),
            person=purpose.encode()[:16],
            digest_size=20,
        ).hexdigest()


def opened(settings: Settings, engine: Engine, *, local: bool = True, secure: bool = False) -> Service:
    """The service of these settings, which signs with the secret that they name or the one in the data folder."""
    secret = settings.secret.get_secret_value() if settings.secret else kept_secret(Path(settings.data))
    return Service(settings, engine, local=local, secure=secure, secret=secret)


def kept_secret(folder: Path) -> str:
    """The secret in the data folder, made at the first start; readable by its owner alone.

    It appears whole or not at all, also where two start at once. Raises ``invalid_settings`` for one that was cut off:
    anybody could sign with it.
    """
    file = folder / "service.secret"
    folder.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        descriptor, made = tempfile.mkstemp(prefix="service.secret.", dir=folder)  # for its owner alone
        try:
            with os.fdopen(descriptor, "w") as opened:
                opened.write(secrets.token_hex(32))
            with suppress(FileExistsError):  # somebody was first: theirs counts
                os.link(made, file)
        finally:
            Path(made).unlink()
    secret = file.read_text().strip()
    if len(secret) < SHORTEST_SECRET:
        raise SpendSenseError(
            f"{file} holds no secret to sign with; remove it, and the next start makes one", code="invalid_settings"
        )
    return secret


def of(request: Request) -> Service:
    """The service that this request came to."""
    service: Service = request.app.state.service
    return service


def base_address(request: Request) -> str:
    """Under which address browsers reach the service, without a final slash."""
    return (of(request).settings.public_url or str(request.base_url)).rstrip("/")


def wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


async def _here(request: Request) -> Service:
    return of(request)


Here = Annotated[Service, Depends(_here)]
"""The same as a parameter of a route."""


def answer(payload: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The payload as JSON: times in UTC with ``Z``, unknown numbers as null."""
    text = as_json(payload)
    # Half a surrogate pair, as a client may send it: JSON has it as an escape, UTF-8 has not.
    return Response(text.encode(errors="backslashreplace"), status, headers, "application/json")


def as_json(payload: Any) -> str:
    """The payload as JSON text."""
    try:
        return _ENCODER.encode(payload)
    except ValueError:  # a number that JSON cannot hold: rare enough to look for it only now
        return _ENCODER.encode(_finite(payload))


def spelled(value: Any, levels: int = DEEPEST, most: int | None = None) -> Any:
    """What JSON can hold of what a client sent, so many levels deep: other numbers, days and things as text.

    ``most``: members of a list."""
    if isinstance(value, dict | list | tuple) and not levels:
        return "…"
    if isinstance(value, dict):
        return {str(name): spelled(one, levels - 1, most) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [spelled(one, levels - 1, most) for one in value[:most]]
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def utc_text(moment: dt.datetime) -> str:
    """`2026-11-24T09:05:00Z`"""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _plain(value: object) -> Any:
    if isinstance(value, dt.datetime):
        return utc_text(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "item"):  # a numpy scalar
        return _finite(value.item())
    raise TypeError(f"JSON cannot hold {value!r}")


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, default=_plain, separators=(",", ":"), allow_nan=False)


def _in_utc(moment: dt.datetime) -> dt.datetime:
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("is outside of the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with its zone, turned to UTC."""
Offset = Annotated[int, Query(ge=0, lt=2**31)]
"""How many rows to leave out."""
Place = Annotated[int, Query(ge=0, lt=2**63)]
"""A place in the audit chain."""
