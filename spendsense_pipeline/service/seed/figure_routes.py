"""Features, profile and personas of one customer, computed when they are asked for."""

from fastapi import Response

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.service.seed import wire
from spendsense_pipeline.service.seed.both_forms import WINDOWS, Days, Reader, Routes, Window
from spendsense_pipeline.service.seed.computed import customer, figures, person
from spendsense_pipeline.service.state import Here, answer

router = Routes(tags=["figures"])


@router.both("POST", "/features/compute/{user_id}")
def compute_features(service: Here, user_id: str, _caller: Reader, window_days: Days = 30) -> Response:
    """The signals of a window up to the newest day. What is unknown is null; counts and flags are 0 and false then."""
    customer(service, user_id)
    row = figures(service, user_id, window_days).features.get(window_days)
    if row is None:
        raise no_features(user_id)
    features = wire.features_of(row)
    return answer({"user_id": user_id, "window_days": window_days, "as_of": row["as_of"], "features": features})


@router.both("GET", "/profile/{user_id}")
def profile(service: Here, user_id: str, _caller: Reader, window: Window = None) -> Response:
    """Figures and personas of both standard windows, and of one more where it is asked for."""
    now = service.now()
    who = person(service, user_id)
    found = figures(service, user_id, *WINDOWS, *([window] if window else []))
    return answer(
        {
            **{name: who[name] for name in ("user_id", "full_name", "email")},
            **wire.consent_of(service.periods(user_id)[user_id]),
            "as_of": found.as_of,
            "features": {
                f"{days}d": wire.features_of(row) | {"computed_at": now} for days, row in found.features.items()
            },
            "personas": [
                wire.persona_of(row, now) | {"reasoning": wire.reasoning_of(row, now)}
                for row in found.personas.values()
            ],
        }
    )


@router.both("POST", "/personas/{user_id}/assign")
def assign_persona(service: Here, user_id: str, _caller: Reader, window_days: Days = 30) -> Response:
    """The persona by the signals of a window. Nobody gets one of whom no transaction is known."""
    customer(service, user_id)
    row = figures(service, user_id, window_days).personas.get(window_days)
    if row is None:
        raise no_features(user_id)
    return answer(wire.assignment_of(row, service.now()))


@router.both("GET", "/personas/{user_id}")
def personas(service: Here, user_id: str, _caller: Reader, window: Window = None) -> Response:
    """The personas of both standard windows, or of the one that is asked for."""
    person(service, user_id)
    found = figures(service, user_id, *([window] if window else WINDOWS)).personas
    return answer([wire.assignment_of(row, service.now()) for row in found.values()])


def no_features(user_id: str) -> SpendSenseError:
    """Said where a customer has no figures to go by."""
    return SpendSenseError(
        f"no features are known of {user_id[:80]!r}: no transaction of theirs has arrived", code="no_features"
    )
