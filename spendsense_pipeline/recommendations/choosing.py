"""Which insights of a customer may be told, in which order, and what may not stand beside them.

What does not belong here: finding insights (``insights/``), the words (``library.py``), and what was said before
(``drafts.py``).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from spendsense_pipeline.insights.kinds import IMPORTANCE, INSIGHTS, SEVERITIES

TAGS: Final = {
    "growth": "praises savings that grow, or a cushion that is there",
    "falling_debt": "praises what is owed for going down",
    "left_over": "says that something is left once the bills are paid",
    "extra_payment": "speaks of paying more than is asked on a card",
    "spare_money": "presumes money that is not needed: to put aside, to lock up, to invest",
    "small_start": "speaks as if nothing were put aside yet",
}
"""What a text may do that is wrong beside some insights, or beside another text."""

SHORT: Final = ("growth", "falling_debt", "left_over", "extra_payment", "spare_money")
"""What contradicts an insight that is urgent: money is short, or owed."""
CHARGED: Final = ("growth", "falling_debt")
"""What contradicts fees that are urgent, which may have come with money at hand."""
EXCLUDED_TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "income_late": ("growth", "falling_debt", "spare_money"),
    "bills_before_payday": ("left_over", "spare_money"),
    "thin_cushion": ("growth", "falling_debt", "left_over"),
    "savings_drop": ("growth",),
    "fixed_costs_high": ("growth", "falling_debt", "spare_money"),
    "spending_above_income": ("growth", "falling_debt", "spare_money"),
    "idle_cash": ("small_start",),
    "savings_milestone": ("small_start",),
}
"""By insight what else contradicts it, wherever it holds, told or not: in other insights and in texts of any kind."""
BESIDE_HELP: Final = ("growth", "falling_debt", "spare_money")
"""What contradicts an offer of free help."""

SAME_FIGURE: Final[Mapping[str, str]] = {
    "monthly_income": "income_monthly",
    "monthly_expenses": "spending_monthly",
    "fund_months": "months_covered",
}
"""Slots of a persona that are called as one of an insight is, over another window: where both would be shown and are
not the same, the persona's piece contradicts the insight's text."""
CARDS: Final = ("card", "fullest_card", "highest_rate_card")
"""Slots for the card that a text speaks of paying down: one on a slate."""

PURPOSE_OF_FACT: Final[Mapping[str, str]] = {
    "overdue=yes": "late",
    "minimum=yes": "cards",
    "interest=yes": "interest",
    "price_rise=yes": "price",
    "buffer=overdrawn": "short",
    "margin=minus": "margin",
    "cards_owing=2+": "cards",
}
"""What a persona's piece is for, by what it asserts: beside an insight of that purpose it says the same again."""


class Held(NamedTuple):
    """The insights of a customer that may be told, most important first; tags and purposes that are taken by them."""

    told: tuple[dict[str, Any], ...]
    tags: tuple[str, ...]
    purposes: tuple[str, ...]


def forbidden_by(insight: Mapping[str, Any]) -> tuple[str, ...]:
    """What nothing else may do that a customer with this insight (a row of the table) reads."""
    if insight["severity"] == "urgent":
        return CHARGED if insight["insight"] == "fees_charged" else SHORT
    return EXCLUDED_TAGS.get(insight["insight"], ())


def held(insights: Iterable[Mapping[str, Any]]) -> Held:
    """Judge one customer's insights (rows of the table): of one purpose the first, none that does what another forbids,
    and of two that exclude one another the first. By severity, then by importance of the kind."""
    order = sorted(insights, key=lambda row: (SEVERITIES.index(row["severity"]), IMPORTANCE[row["insight"]]))
    tags = {tag for row in order for tag in forbidden_by(row)}
    told: list[dict[str, Any]] = []
    for row in order:
        kind, before = INSIGHTS[row["insight"]], [INSIGHTS[one["insight"]] for one in told]
        if tags.isdisjoint(kind.tags) and not any(
            kind.purpose == one.purpose or kind.name in one.excludes or one.name in kind.excludes for one in before
        ):
            told.append(dict(row))
    return Held(tuple(told), tuple(sorted(tags)), tuple(sorted({INSIGHTS[one["insight"]].purpose for one in told})))


USES: Final = frozenset({"extra_payment", "spare_money"})
"""Tags of texts that put money to a use."""


class Asks(NamedTuple):
    """What a text asks for: its tags, and the card it names."""

    tags: frozenset[str]
    card: str | None


def ask_for_the_same(one: Asks, other: Asks) -> bool:
    """Whether one of two texts puts on a card what the other puts aside or on another card; one that weighs putting
    aside against paying down asks for neither."""
    uses = [USES & each.tags for each in (one, other)]
    if len(uses[0]) == len(uses[1]) == 1 and uses[0] != uses[1]:
        return True
    both_pay = "extra_payment" in one.tags & other.tags
    return both_pay and None not in (one.card, other.card) and one.card != other.card
