"""Customers for those who may read of them: the list, one customer whole, why a text went out, the audit chain.

Does not belong here: how a signal is computed (``profiles`` asks the pipeline's own functions).
"""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request, Response

from spendsense_pipeline import profiles
from spendsense_pipeline.governance import activity, audit, consent, credentials
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.why import why as on_record
from spendsense_pipeline.personas.rules import BY_PRIORITY
from spendsense_pipeline.personas.trust import REASONS, not_drafted
from spendsense_pipeline.service import charts, pane
from spendsense_pipeline.service.callers import Caller, PageReader, person
from spendsense_pipeline.service.rendering import page
from spendsense_pipeline.service.state import Offset, of

router = APIRouter(include_in_schema=False)
Auditor = Annotated[Caller, Depends(person("audit"))]

PAGE: Final = 50
"""Customers on one page of the list."""
VERIFIED_AT_ONCE: Final = 50_000
"""Links of the chain that are recomputed without being asked: about two seconds."""
LOGINS: Final = 50
FAMILIES: Final = ("income", "credit", "savings", "subscriptions", "trust")
"""In the order of the page."""


@router.get("/desk/customers")
def customers(
    request: Request, caller: PageReader, consent: Literal["", "yes", "no"] = "", persona: str = "", offset: Offset = 0
) -> Response:
    """The list, with filters and pages."""
    service = of(request)
    found = profiles.users(
        service.settings.warehouse_root,
        service.live_scopes(),
        user_type="customer",
        consent={"yes": True, "no": False}.get(consent),
        persona=persona or None,
        limit=PAGE,
        offset=offset,
    )
    return page(
        request, "customers.html", caller=caller, found=found, consent=consent, persona=persona, personas=BY_PRIORITY
    )


@router.get("/desk/customers/{user_id}")
def customer(request: Request, caller: PageReader, user_id: str) -> Response:
    """One customer: who they are by their figures, what is ahead, what they were told, what they agreed to."""
    service = of(request)
    with reading(service.engine) as session:
        events = consent.history(session, user_id)
        texts = activity.history_of(session, user_id, service.now())
    customer = profiles.Customer(service.settings.warehouse_root, user_id, house=service.settings.payees)
    known, ahead = customer.profile(service.live_scopes(user_id)), customer.calendar()
    windows = customer.signals()["windows"]
    stale_days = service.settings.stale_days
    not_drafted_for = not_drafted(customer.features(), stale_days).any()
    return page(
        request,
        "customer.html",
        caller=caller,
        user_id=user_id,
        as_of=known["as_of"],
        consents=known["consent"],
        not_drafted=[
            words.format(stale_days=stale_days) for reason, words in REASONS.items() if not_drafted_for[reason]
        ],
        personas=[
            one
            | {
                "window": window,
                "persona": None if one["is_fallback"] else one["persona"],
                "reasons": [] if one["is_fallback"] else pane.reasons_met(one["reasons"], one["persona"]),
            }
            for window, one in known["personas"].items()
        ],
        signals=_signals_by_family(windows),
        windows=list(windows),
        behind=next(iter(windows.values()), None),
        insights=[one | {"lines": pane.insight_lines(one["figures"])} for one in customer.insights()["insights"]],
        calendar=ahead,
        plot=charts.forecast(ahead),
        texts=texts,
        periods=service.periods(user_id)[user_id],
        events=events,
    )


def _signals_by_family(windows: dict[str, Any]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """By family: each plain signal with its figure in every window; lists stand in tables of their own."""
    if not windows:
        return []
    first = next(iter(windows.values()))
    return [
        (
            family,
            [
                (name, [pane.figure(one[family][name], name) for one in windows.values()])
                for name, value in first[family].items()
                if not isinstance(value, list)
            ],
        )
        for family in FAMILIES
    ]


@router.get("/desk/why/{recommendation_id}")
def why(request: Request, caller: Auditor, recommendation_id: str) -> Response:
    """All that is on record about one text."""
    service = of(request)
    now = service.now()
    with reading(service.engine) as session:
        found = on_record(session, recommendation_id, now)
    return page(
        request,
        "why.html",
        caller=caller,
        found=found,
        figures=pane.figures(found["slots"]),
        reasons=pane.reasons_met(found["reasons"], found["persona"]),
        signals=[(name, pane.figure(value, name)) for name, value in sorted((found["signals"] or {}).items())],
    )


@router.get("/desk/audit")
def chain(request: Request, caller: Auditor, verify: bool = False) -> Response:
    """Whether the audit chain holds, and who logged in. A long chain is recomputed when asked."""
    service = of(request)
    with reading(service.engine) as session:
        count, final = audit.head(session)
        state = audit.verify(session) if verify or count <= VERIFIED_AT_ONCE else None
        logins = credentials.logins(session, limit=LOGINS)
    return page(request, "audit.html", caller=caller, count=count, final=final, state=state, logins=logins)
