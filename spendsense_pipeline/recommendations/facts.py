"""The banded facts that a wording may depend on, each with what it means, and the name of a situation made of them.

Exact figures are no facts: they stay in the slots. What does not belong here: whose situation is which
(``situations.py``), thresholds of the personas themselves (``personas/rules.py``).
"""

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.recommendations.slots import TELLING, Signals


@dataclass(frozen=True)
class Fact:
    """Something banded that wording may depend on; ``unknown`` is a band of its own and asserts nothing.

    ``meaning`` explains it to whoever reads a draft, ``weight`` says how much a piece that asserts it is preferred.
    """

    name: str
    meaning: str
    bands: tuple[str, ...]
    band: Callable[[Signals], str]
    weight: int = 1


def _banded(signal: str, *bands: tuple[float, str], last: str) -> Callable[[Signals], str]:
    """Band of a number: the first whose upper end (excluded) is above it."""

    def band(signals: Signals) -> str:
        value = signals.get(signal)
        if value is None:
            return "unknown"
        return next((name for below, name in bands if value < below), last)

    return band


def _flag(signal: str) -> Callable[[Signals], str]:
    return lambda s: {True: "yes", False: "no", None: "unknown"}[s.get(signal)]


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _telling(more: float | None, less: float | None, signals: Signals) -> float | None:
    """By how much one amount is more than another; 0 where a text would show them as nearly the same."""
    if more is None or less is None:
        return None
    difference = more - less
    return difference if abs(difference) >= TELLING * (signals.get("currency_factor") or 1.0) else 0.0


def _margin(s: Signals) -> str:
    room = _telling(s.get("regular_income"), s.get("avg_monthly_expenses"), s)
    return "unknown" if room is None else "plus" if room > 0 else "minus" if room < 0 else "even"


def _savings_above_cards(s: Signals) -> str:
    above = _telling(s.get("savings_balance"), s.get("card_balance"), s)
    return "unknown" if above is None else _yes(above > 0 and s["card_balance"] > 0)


def _saving_while_paying_interest(s: Signals) -> str:
    interest, inflow = s.get("interest_charges_present"), _telling(s.get("net_savings_inflow"), 0.0, s)
    if interest is False or (inflow is not None and inflow <= 0):
        return "no"
    return "unknown" if interest is None or inflow is None else "yes"


def _long_gaps(s: Signals) -> str:
    days = s.get("median_pay_gap_days")
    return "unknown" if days is None else _yes(days > 45)


def _positive(value: float | None) -> str:
    return "unknown" if value is None else _yes(value > 0)


YES_NO: Final = ("yes", "no")
DETAILS: Final = tuple(dict.fromkeys(each for insight in INSIGHTS.values() for each in insight.details))

FACTS: Final[dict[str, Fact]] = {
    fact.name: fact
    for fact in (
        Fact(
            "util",
            "balance of the fullest card by its limit, in percent",
            ("below-30", "30-49", "50-79", "80+"),
            _banded("max_utilization", (0.3, "below-30"), (0.5, "30-49"), (0.8, "50-79"), last="80+"),
        ),
        Fact("interest", "card interest was charged in the window", YES_NO, _flag("interest_charges_present")),
        # A payment past due comes before anything else that could be said about a card.
        Fact("overdue", "a payment on a card or loan is past due", YES_NO, _flag("any_overdue"), weight=6),
        Fact(
            "minimum",
            "the last payment on a card was about its minimum and not the whole",
            YES_NO,
            _flag("minimum_payment_only_flag"),
        ),
        Fact(
            "cards_owing",
            "credit cards on which something is owed",
            ("0", "1", "2+"),
            _banded("cards_owing", (1, "0"), (2, "1"), last="2+"),
        ),
        Fact(
            "saving_with_interest",
            "money goes into savings while card interest is paid",
            YES_NO,
            _saving_while_paying_interest,
        ),
        Fact(
            "savings_above_cards",
            "savings hold more than is owed on all cards together",
            YES_NO,
            _savings_above_cards,
        ),
        Fact(
            "buffer",
            "months of usual spending that checking covers",
            ("overdrawn", "below-half", "half-1", "1+"),
            _banded("cash_flow_buffer_months", (0, "overdrawn"), (0.5, "below-half"), (1, "half-1"), last="1+"),
        ),
        Fact(
            "variability",
            "spread of paychecks by their mean, in percent",
            ("below-30", "30-59", "60+"),
            _banded("income_variability", (0.3, "below-30"), (0.6, "30-59"), last="60+"),
        ),
        Fact("long_gaps", "usually more than 45 days between paydays", YES_NO, _long_gaps),
        # The income band is income against spending, not an amount: it holds in every currency.
        Fact("margin", "what comes in against spending", ("plus", "even", "minus"), _margin),
        Fact(
            "streams",
            "active subscriptions",
            ("below-3", "3-4", "5-7", "8+"),
            _banded("recurring_merchants", (3, "below-3"), (5, "3-4"), (8, "5-7"), last="8+"),
        ),
        Fact(
            "share",
            "subscriptions by all spending, in percent",
            ("below-10", "10-19", "20+"),
            _banded("subscription_spend_share", (0.1, "below-10"), (0.2, "10-19"), last="20+"),
        ),
        Fact(
            "price_rise",
            "a subscription costs more than before",
            YES_NO,
            lambda s: _yes((s.get("price_rises") or 0) > 0),
        ),
        Fact(
            "fund",
            "months of usual spending that savings cover",
            ("below-1", "1-2", "3-5", "6+"),
            _banded("emergency_fund_months", (1, "below-1"), (3, "1-2"), (6, "3-5"), last="6+"),
        ),
        Fact(
            "growth",
            "growth of savings in the window, in percent",
            ("below-2", "2+"),
            _banded("savings_growth_rate", (0.02, "below-2"), last="2+"),
        ),
        Fact(
            "saving",
            "more goes into savings than out",
            YES_NO,
            lambda s: _positive(s.get("net_savings_inflow")),
        ),
        Fact("detail", "which case of the insight it is", DETAILS, lambda s: s.get("detail") or "unknown"),
        Fact("fallback", "no persona's criteria were met", YES_NO, lambda s: _yes(bool(s.get("is_fallback")))),
    )
}


PERSONA_FACTS: Final = {name: persona.facts for name, persona in PERSONAS.items()}
"""The facts that each persona's wording may depend on, in the order of the key."""
PERSONA_SLOTS: Final = {name: persona.slots for name, persona in PERSONAS.items()}
"""The figures that each persona's pieces may show; which of them are available is part of the situation."""

ABOUT_FACTS: Final[dict[str, tuple[str, ...]]] = PERSONA_FACTS | {
    name: (*(fact.partition("=")[0] for fact in insight.holds), *(("detail",) if insight.details else ()))
    for name, insight in INSIGHTS.items()
}
ABOUT_SLOTS: Final[dict[str, tuple[str, ...]]] = PERSONA_SLOTS | {
    name: insight.figures for name, insight in INSIGHTS.items()
}
"""A text is about a persona or about an insight: the facts it may rest on, and the figures it may show."""


def facts_of_insight(name: str, detail: str | None) -> dict[str, str]:
    """The facts that hold where an insight fires.

    >>> facts_of_insight("past_due", "can_pay")
    {'overdue': 'yes', 'detail': 'can_pay'}
    """
    insight = INSIGHTS[name]
    facts = {fact.partition("=")[0]: fact.partition("=")[2] for fact in insight.holds}
    return facts | ({"detail": detail or "unknown"} if insight.details else {})


def explained(situation: str) -> dict[str, Any]:
    """What a situation's key says, for people: ``{persona, facts: [{fact, meaning, band}]}``.

    >>> explained("subscription_heavy/streams=5-7/slots=e0016b45be")["facts"]
    [{'fact': 'streams', 'meaning': 'active subscriptions', 'band': '5-7'}]
    """
    persona, _, rest = situation.partition("/")
    pairs = [fact.partition("=") for fact in rest.partition("/")[0].split(",") if fact]
    return {
        "persona": persona,
        "facts": [
            {"fact": name, "meaning": FACTS[name].meaning if name in FACTS else "", "band": band}
            for name, _, band in pairs
        ],
    }


SLOTS_DIGITS: Final = 10
"""Hex digits that name a choice of slots: 17 slots have 131,072 choices, of which no two may share a name (at six
digits some 500 pairs did). A test tries them all."""


def situation_key(about: str, facts: Mapping[str, str], slots: Mapping[str, Any]) -> str:
    """The stable, readable name of a situation: persona or insight, bands, and which of its slots are available.

    >>> situation_key("subscription_heavy", {"streams": "5-7"}, {"subscription_count": {}})
    'subscription_heavy/streams=5-7/slots=e0016b45be'
    """
    bands = ",".join([f"{name}={band}" for name, band in facts.items()])
    return f"{about}/{bands}/slots={_choice(tuple([name for name in ABOUT_SLOTS[about] if name in slots]))}"


@functools.lru_cache(maxsize=65_536)
def _choice(available: tuple[str, ...]) -> str:
    """The name of a choice of slots."""
    return hashlib.sha256(",".join(available).encode()).hexdigest()[:SLOTS_DIGITS]
