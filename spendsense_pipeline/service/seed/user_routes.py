"""Who is there: the list of users, and one of them."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Query, Response

from spendsense_pipeline import warehouse
from spendsense_pipeline.service.seed import wire
from spendsense_pipeline.service.seed.both_forms import WINDOWS, Reader, Routes
from spendsense_pipeline.service.seed.computed import figures, people, person, stored_personas
from spendsense_pipeline.service.state import Here, Offset, Service, answer

router = Routes(tags=["users"])
USERS_AT_MOST: Final = 100


@router.both("GET", "/users/")
def users(
    service: Here,
    _caller: Reader,
    limit: Annotated[int, Query(ge=1, le=USERS_AT_MOST)] = 25,
    offset: Offset = 0,
    user_type: Annotated[str | None, Query(max_length=400)] = None,
    consent_status: bool | None = None,
) -> Response:
    """People in order of their id, with the personas of 30 days."""
    from spendsense_pipeline import profiles

    try:
        page = profiles.users(
            service.settings.warehouse_root,
            service.live_scopes(),
            user_type=user_type,
            consent=consent_status,
            limit=limit,
            offset=offset,
        )
    except warehouse.NotMaterialized:
        page = {"users": [], "total": 0}
    chosen = [row["user_id"] for row in page["users"]]
    known, agreed, assigned = people(service, chosen), _consents(service, chosen), personas_30d(service, chosen)
    shown = [
        {**_user(known[user_id], agreed[user_id]), "personas": [assigned[user_id]] if user_id in assigned else []}
        for user_id in chosen
        if user_id in known
    ]
    return answer({"users": shown, "total": page["total"], "limit": limit, "offset": offset})


@router.both("GET", "/users/{user_id}")
def user(service: Here, user_id: str, _caller: Reader) -> Response:
    """One of them, with the personas of both windows and why."""
    now = service.now()
    who = person(service, user_id)
    found = figures(service, user_id, *WINDOWS).personas.values()
    return answer(
        {
            **_user(who, _consents(service, [user_id])[user_id]),
            "personas": [wire.persona_of(row, now) | {"reasoning": wire.reasoning_of(row, now)} for row in found],
        }
    )


def personas_30d(service: Service, user_ids: list[str]) -> dict[str, dict[str, Any]]:
    """The 30-day personas as lists show them: of the newest day that was run; of those who came later, of now."""
    stored = stored_personas(service)
    found = {}
    for user_id in user_ids:
        if user_id in stored:
            row = stored[user_id]
            run = dt.datetime.combine(row["as_of"], dt.time(), dt.UTC)
            found[user_id] = wire.persona_of(row, run)
        elif now := figures(service, user_id, *WINDOWS).personas.get(30):
            found[user_id] = wire.persona_of(now, service.now())
    return found


def _user(who: Mapping[str, Any], word: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: who[name] for name in ("user_id", "full_name", "email", "created_at")},
        "user_type": who["user_type"] or "customer",
        **word,
    }


def _consents(service: Service, user_ids: list[str]) -> dict[str, dict[str, Any]]:
    return {user_id: wire.consent_of(rows) for user_id, rows in service.periods(*user_ids).items()}
