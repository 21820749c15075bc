"""A customer's word: yes to both scopes, no to both, and how it came to be as it is."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Depends, Response
from pydantic import BaseModel, Field

from spendsense_pipeline.governance import consent
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.service.callers import Caller, allow
from spendsense_pipeline.service.seed import wire
from spendsense_pipeline.service.seed.both_forms import Routes
from spendsense_pipeline.service.seed.computed import customer, person
from spendsense_pipeline.service.state import Here, Service, answer

router = Routes(tags=["consent"])


class Word(BaseModel):
    """What a customer said."""

    user_id: str = Field(max_length=400)
    action: Literal["grant", "revoke"]


@router.both("POST", "/consent/")
def say(service: Here, word: Word, caller: Annotated[Caller, Depends(allow("consent:write", "decide"))]) -> Response:
    """Open or close both scopes. A no takes back at once what waits and what was released."""
    user_id = caller.of_customer(word.user_id)
    consent.change(
        *(service.engine, user_id, word.action, service.now()),
        require_arrived=partial(customer, service),
        consent_days=service.settings.consent_days,
        actor=caller.name,
        source="service",
        channel="api",
    )
    return answer(_stands(service, user_id))


@router.both("GET", "/consent/{user_id}")
def heard(service: Here, user_id: str, caller: Annotated[Caller, Depends(allow("consent:write", "read"))]) -> Response:
    """What they said last, and all of it, newest first."""
    person(service, caller.of_customer(user_id))
    return answer(_stands(service, user_id))


def _stands(service: Service, user_id: str) -> dict[str, Any]:
    with reading(service.engine) as session:
        events = consent.history(session, user_id)
    return {
        "user_id": user_id,
        **wire.consent_of(service.periods(user_id)[user_id]),
        "history": wire.consent_history_of(events),
    }
