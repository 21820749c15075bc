"""Drafts for one customer at once: the day's pipeline for this customer alone, by its own functions.

What does not belong here: how anything is drafted (``recommendations``) or registered (``governance.registration``).
"""

import datetime as dt
import functools
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Response

from spendsense_pipeline import warehouse
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import queue, registration
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.service.callers import Caller, allow
from spendsense_pipeline.service.seed import wire
from spendsense_pipeline.service.seed.both_forms import WINDOWS, Days, Routes
from spendsense_pipeline.service.seed.computed import customer, newest_day
from spendsense_pipeline.service.seed.decision_routes import remember
from spendsense_pipeline.service.state import Here, Service, answer

if TYPE_CHECKING:
    import pandas as pd

router = Routes(tags=["recommendations"])
PENDING_AT_MOST = 1_000


@router.both("POST", "/recommendations/generate/{user_id}", status_code=201)
def generate(
    service: Here,
    user_id: str,
    caller: Annotated[Caller, Depends(allow("decide", "review", "ingest:write"))],
    window_days: Days = 30,
    force_regenerate: bool = False,
) -> Response:
    """Draft by the figures of the newest day and register for review; 200 where what waits says it all already.

    The drafts follow the persona of the window or, where no criteria are met in a shorter one, that of 180 days. A
    customer has one slate: what waits and is not in the new one is superseded.
    """
    started = time.perf_counter()
    customer(service, caller.of_customer(user_id))
    live = [one for one in service.periods(user_id)[user_id] if one["live"]]
    if not live:
        raise SpendSenseError(f"{user_id!r} has not agreed to get recommendations", code="without_consent")
    waiting = _waiting(service, user_id, window_days)
    if waiting and not force_regenerate:
        return _answered(service, caller, user_id, waiting, 0, cached=True)
    drafts = draft(service, user_id, window_days, live)
    outcome = registration.register_drafts(
        service.engine,
        drafts.rows,
        drafts.as_of,
        service.now(),
        consent_days=service.settings.consent_days,
        customers=[user_id],
        signals=drafts.evidence,
    )
    waiting = _waiting(service, user_id, None)
    unchanged = bool(waiting) and not (outcome.registered or outcome.replaced) and not force_regenerate
    elapsed = round((time.perf_counter() - started) * 1000)
    return _answered(service, caller, user_id, waiting, elapsed, cached=unchanged, persona=drafts.persona)


def _answered(
    service: Service,
    caller: Caller,
    user_id: str,
    rows: list[dict[str, Any]],
    elapsed: int,
    *,
    cached: bool,
    persona: str | None = None,
) -> Response:
    remember(service, caller, rows)
    payload = {
        "user_id": user_id,
        "persona": persona or rows[0]["persona"],
        "recommendations": [wire.recommendation_of(row) for row in rows],
        "generation_time_ms": elapsed,
    }
    return answer(payload | ({"cached": True} if cached else {}), 200 if cached else 201)


def _waiting(service: Service, user_id: str, window_days: int | None) -> list[dict[str, Any]]:
    with reading(service.engine) as session:
        found = queue.listed(
            session,
            service.now(),
            standings=("pending_approval",),
            user_id=user_id,
            window_days=window_days,
            limit=PENDING_AT_MOST,
        )
    rows: list[dict[str, Any]] = found["recommendations"]
    return rows


@dataclass(frozen=True)
class Drafted:
    """The drafts (``draft_recommendations``) of one customer, the persona that they follow, what they rest on."""

    as_of: dt.date
    persona: str
    rows: "pd.DataFrame"
    evidence: Callable[[Collection[str]], dict[str, dict[str, Any]]]


def draft(service: Service, user_id: str, window: int, live: list[dict[str, Any]]) -> Drafted:
    """The assets of a day from features to drafts, of one customer on the newest day; nothing is stored.

    ``live`` are the customer's live periods. Raises ``no_persona`` where nothing is known to go by, and the reason of
    ``personas.trust`` (``stale_data`` for ``stale``) where nothing is drafted for the customer.
    """
    import pandas as pd

    from spendsense_pipeline import profiles
    from spendsense_pipeline.governance import database_frames, experiment_records
    from spendsense_pipeline.governance.database_frames import evidence
    from spendsense_pipeline.insights.of_range import insights_of
    from spendsense_pipeline.personas.assignment import assign_personas, followed
    from spendsense_pipeline.personas.trust import REASONS, not_drafted
    from spendsense_pipeline.recommendations.drafts import draft_recommendations
    from spendsense_pipeline.recommendations.offers import product_matches
    from spendsense_pipeline.recommendations.situations import situations

    settings, root = service.settings, service.settings.warehouse_root
    day = newest_day(service)
    if day is None:
        raise _no_persona(user_id)
    seen = profiles.Customer(root, user_id, day, house=settings.payees).seen
    signals = seen.signals
    features = to_frame(signals.features)
    if window not in WINDOWS:
        own = profiles.Customer(root, user_id, day, (window,), settings.payees).features()
        features = pd.concat([own, features], ignore_index=True)
    first, longer = features[features["window_days"] == window], features[features["window_days"] == WINDOWS[1]]
    longer = longer if window < WINDOWS[1] else longer.iloc[:0]
    if first.empty or first["data_age_days"].isna().all():
        raise _no_persona(user_id)
    for reason, holds in not_drafted(first, settings.stale_days).iloc[0].items():
        if holds:
            words = REASONS[str(reason)].format(stale_days=settings.stale_days)
            code = "stale_data" if reason == "stale" else str(reason)
            raise SpendSenseError(f"nothing is drafted for {user_id!r} on figures of {day}: {words}", code=code)
    personas, personas_longer = assign_personas(first), assign_personas(longer)
    streams, cards = to_frame(signals.streams), to_frame(signals.cards)
    told = to_frame(insights_of(seen.evidence, signals)["insights"])
    found = situations(personas, personas_longer, first, longer, streams, cards, told)
    products = to_frame(warehouse.load(root, "products"))
    matches = product_matches(personas, personas_longer, first, longer, products, told)
    agreed = pd.DataFrame(
        [{"user_id": user_id, "scope": one["scope"], "consent_id": one["consent_id"]} for one in live], dtype="str"
    )
    with reading(service.engine) as session:
        history = database_frames.history(session, day, service.now(), user_id=user_id)
        known_until = registration.first_registered(session, day) or service.now()
        wordings = experiment_records.wordings(session, service.now(), user_id=user_id)
    pieces = _pieces(service, found, day)
    rows = draft_recommendations(
        found, pieces, matches, products, agreed, history, day, known_until=known_until, wordings=wordings
    )
    persona = str(followed(personas, personas_longer)["persona"].iloc[0])
    return Drafted(day, persona, rows, evidence(first, longer, streams))


def _pieces(service: Service, found: "pd.DataFrame", day: dt.date) -> "pd.DataFrame":
    """The library's pieces for these situations and, where a language model writes, what it wrote for them before.

    Nobody waits for a model here: of what it did not write yet, the next run asks.
    """
    from spendsense_pipeline.governance import generations
    from spendsense_pipeline.recommendations.generation import with_generated
    from spendsense_pipeline.recommendations.library import education_templates
    from spendsense_pipeline.recommendations.prompts import distinct, fingerprint, load_prompts, request

    settings = service.settings
    pieces = education_templates(found, _library(settings.prompts), day)
    if settings.generator != "openai":
        return pieces
    prompts = load_prompts(settings.prompts)
    wanted = {fingerprint(request(one, prompts[one.about], settings.openai_model)): one for one in distinct(found)}
    with reading(service.engine) as session:
        kept = generations.still_standing(session, wanted)
    return with_generated(pieces, kept.values(), day)


def _no_persona(user_id: str) -> SpendSenseError:
    return SpendSenseError(f"{user_id[:80]!r} has no persona: no transaction of theirs has arrived", code="no_persona")


def warm_up(service: Service) -> None:
    """Load what drafting needs, so that the first customer does not wait for it."""
    from spendsense_pipeline.insights import of_range  # noqa: F401 - loading is the point
    from spendsense_pipeline.recommendations import drafts, offers  # noqa: F401 - as above

    _library(service.settings.prompts)


@functools.cache
def _library(prompts: Path) -> list[Any]:
    """The library, read once."""
    from spendsense_pipeline.recommendations.library import load_library

    return load_library(prompts)
