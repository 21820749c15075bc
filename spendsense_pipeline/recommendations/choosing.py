"""Which insights of a customer may be told, in which order, and what may not stand beside them.

What does not belong here: finding insights (``insights/``), the words (``library.py``), and what was said before
(``drafts.py``).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from spendsense_pipeline.contracts import SEVERITIES
from spendsense_pipeline.insights.kinds import IMPORTANCE, INSIGHTS

TAGS: Final = {
    "growth": "praises savings that grow, or a cushion that is there",
    "extra_payment": "speaks of paying more than is asked on a card",
    "spare_money": "presumes money that is not needed: to put aside, to lock up, to invest",
    "small_start": "speaks as if nothing were put aside yet",
}
"""What a piece of the library may do that is wrong beside some insights."""

EXCLUDED_TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "past_due": ("growth", "extra_payment", "spare_money"),
    "overdrawn": ("growth", "extra_payment", "spare_money"),
    "low_balance_ahead": ("growth", "extra_payment", "spare_money"),
    "income_stopped": ("growth", "extra_payment", "spare_money"),
    "income_late": ("growth", "spare_money"),
    "bills_before_payday": ("spare_money",),
    "thin_cushion": ("growth",),
    "savings_drop": ("growth",),
    "fixed_costs_high": ("spare_money",),
    "spending_above_income": ("growth", "spare_money"),
    "idle_cash": ("small_start",),
    "savings_milestone": ("small_start",),
}
"""By insight the pieces that contradict it, wherever it holds, told or not."""

PURPOSE_OF_FACT: Final[Mapping[str, str]] = {
    "overdue=yes": "late",
    "minimum=yes": "cards",
    "interest=yes": "interest",
    "price_rise=yes": "price",
    "buffer=overdrawn": "short",
    "margin=minus": "margin",
}
"""What a persona's piece is for, by what it asserts: beside an insight of that purpose it says the same again."""


class Held(NamedTuple):
    """The insights of a customer that may be told, most important first; tags and purposes that are taken by them."""

    told: tuple[dict[str, Any], ...]
    tags: tuple[str, ...]
    purposes: tuple[str, ...]


def held(insights: Iterable[Mapping[str, Any]]) -> Held:
    """Judge one customer's insights (rows of the table): of one purpose the first, none that a more important one
    excludes. By severity, then by importance of the kind."""
    order = sorted(insights, key=lambda row: (SEVERITIES.index(row["severity"]), IMPORTANCE[row["insight"]]))
    told: list[dict[str, Any]] = []
    excluded: set[str] = set()
    for row in order:
        kind = INSIGHTS[row["insight"]]
        if row["insight"] in excluded or any(INSIGHTS[one["insight"]].purpose == kind.purpose for one in told):
            continue
        told.append(dict(row))
        excluded.update(kind.excludes)
    tags = {tag for row in order for tag in EXCLUDED_TAGS.get(row["insight"], ())}
    return Held(tuple(told), tuple(sorted(tags)), tuple(sorted({INSIGHTS[one["insight"]].purpose for one in told})))


def may_stand_beside(tags: Sequence[str], facts: Sequence[str], taken: Held) -> bool:
    """Whether a persona's piece contradicts none of the customer's insights and says none of them again."""
    return not set(tags) & set(taken.tags) and not {PURPOSE_OF_FACT.get(fact) for fact in facts} & set(taken.purposes)
