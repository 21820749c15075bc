"""What operators see: counts, one customer's signals, everything that has to do with review."""

from collections import Counter
from typing import Any, Final

from fastapi import Response

from spendsense_pipeline import warehouse
from spendsense_pipeline.governance import queue
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.service.seed import wire
from spendsense_pipeline.service.seed.both_forms import WINDOWS, Reader, Routes, Status
from spendsense_pipeline.service.seed.computed import figures, newest_day, people, person, stored_personas
from spendsense_pipeline.service.seed.decision_routes import remember
from spendsense_pipeline.service.seed.figure_routes import no_features
from spendsense_pipeline.service.state import Here, answer

router = Routes(tags=["operator"])
LISTED_AT_MOST: Final = 10_000
ON_THE_SPOT: Final = 200
"""Customers who came since the newest run whose persona is computed for the dashboard; more wait for the next run."""


@router.both("GET", "/operator/dashboard")
def dashboard(service: Here, _caller: Reader) -> Response:
    """People, consent, personas of 30 days, and the statuses that occur."""
    with reading(service.engine) as session:
        found = queue.counts_by_standing(session, service.now())
    try:
        table = warehouse.load(service.settings.warehouse_root, "users", columns=["user_id", "user_type"])
        everybody = dict(zip(table["user_id"].to_pylist(), table["user_type"].to_pylist(), strict=True))
    except warehouse.NotMaterialized:
        everybody = {}
    stored = stored_personas(service)
    personas = Counter(row["persona"] for row in stored.values())
    run = warehouse.newest(service.settings.warehouse_root, "features_30d", ["user_id"])
    known = {*stored, *([] if run is None else run["user_id"].to_pylist())}
    later = [name for name, kind in everybody.items() if kind != "operator" and name not in known]
    for user_id in later[:ON_THE_SPOT]:
        if now := figures(service, user_id, *WINDOWS).personas.get(30):
            personas[now["persona"]] += 1
    return answer(
        {
            "total_users": len(everybody),
            "users_with_consent": len(service.live_scopes()),
            "persona_distribution": dict(sorted(personas.items())),
            "recommendations": found["standings"],
            "metrics": {"avg_latency_ms": round(found["mean_ms"], 2)},
        }
    )


@router.both("GET", "/operator/users/{user_id}/signals")
def signals(service: Here, user_id: str, _caller: Reader) -> Response:
    """The signals of both windows with the payees and cards behind them, all of the newest day."""
    from spendsense_pipeline import profiles

    settings = service.settings
    who = person(service, user_id)
    day = newest_day(service)
    windows = {}
    if day:
        windows = profiles.Customer(settings.warehouse_root, user_id, day, house=settings.payees).signals()["windows"]
    if not all(str(days) in windows for days in WINDOWS):
        raise no_features(user_id)
    personas = figures(service, user_id, *WINDOWS).personas
    return answer(
        {
            "user_id": user_id,
            "user_name": who["full_name"],
            **wire.consent_of(service.periods(user_id)[user_id]),
            "as_of": day,
            **{f"persona_{days}d": personas[days]["persona"] if days in personas else None for days in WINDOWS},
            **{f"{days}d_signals": wire.signals_of(windows[str(days)]) for days in WINDOWS},
        }
    )


@router.both("GET", "/operator/review")
def review_list(service: Here, caller: Reader, status: Status | None = None) -> Response:
    """Everything of a status, oldest first; without one, all but what was approved. Not paged, at most 10,000."""
    wanted = (status,) if status else tuple(one for one in queue.REVIEWED if one != "approved")
    with reading(service.engine) as session:
        found = queue.listed(session, service.now(), standings=wanted, limit=LISTED_AT_MOST)
    rows = found["recommendations"]
    names = people(service, list({row["user_id"] for row in rows}), ("user_id", "full_name")) if rows else {}
    shown: list[dict[str, Any]] = [
        {
            **wire.recommendation_of(row),
            "user_name": names.get(row["user_id"], {}).get("full_name"),
            **wire.override_of(row),
        }
        for row in rows
    ]
    remember(service, caller, rows)
    return answer({"recommendations": shown, "total": found["total"]})
