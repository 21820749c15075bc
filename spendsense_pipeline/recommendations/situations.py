"""Which situation each customer is in: a persona, the banded facts that matter to it, the figures it can show.

Writing is made once per situation, so a situation must say everything that the wording depends on, and
nothing else: bands instead of amounts, and of the slots only those that the persona's pieces use. Exact
figures stay in ``slots`` and enter the text later. What does not belong here: who the customer is, what the
pieces say (``library.py``), thresholds of the personas themselves (``personas/rules.py``).
"""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.features.subscriptions import EXPECTED_WITHIN_DAYS
from spendsense_pipeline.personas.assignment import followed
from spendsense_pipeline.recommendations.slots import Signals, fill, stream_signals

SITUATION_COLUMNS: Final = [
    "user_id",
    "as_of",
    "window_days",
    "persona",
    "is_fallback",
    "situation",
    "facts",
    "slots",
    "reasons",
]


class SituationError(SpendSenseError):
    """The tables of a day do not belong together."""

    code = "mixed_days"


@dataclass(frozen=True)
class Fact:
    """Something banded that wording may depend on; ``unknown`` is a band of its own and asserts nothing.

    ``weight`` says how much a piece that asserts it is preferred.
    """

    name: str
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


def _margin(s: Signals) -> str:
    income, expenses = s.get("avg_monthly_income"), s.get("avg_monthly_expenses")
    return "unknown" if income is None or expenses is None else "plus" if income > expenses else "minus"


def _saving_while_paying_interest(s: Signals) -> str:
    return _yes(bool(s.get("interest_charges_present")) and (s.get("net_savings_inflow") or 0) > 0)


def _long_gaps(s: Signals) -> str:
    days = s.get("median_pay_gap_days")
    return "unknown" if days is None else _yes(days > 45)


def _positive(value: float | None) -> str:
    return "unknown" if value is None else _yes(value > 0)


YES_NO: Final = ("yes", "no")

FACTS: Final[dict[str, Fact]] = {
    fact.name: fact
    for fact in (
        Fact(
            "util",
            ("below-30", "30-49", "50-79", "80+"),
            _banded("max_utilization", (0.3, "below-30"), (0.5, "30-49"), (0.8, "50-79"), last="80+"),
        ),
        Fact("interest", YES_NO, _flag("interest_charges_present")),
        # A payment past due comes before anything else that could be said about a card.
        Fact("overdue", YES_NO, _flag("any_overdue"), weight=4),
        Fact("minimum", YES_NO, _flag("minimum_payment_only_flag")),
        Fact("saving_with_interest", YES_NO, _saving_while_paying_interest),
        Fact(
            "buffer",
            ("overdrawn", "below-half", "half-1", "1+"),
            _banded("cash_flow_buffer_months", (0, "overdrawn"), (0.5, "below-half"), (1, "half-1"), last="1+"),
        ),
        Fact(
            "variability",
            ("below-30", "30-59", "60+"),
            _banded("income_variability", (0.3, "below-30"), (0.6, "30-59"), last="60+"),
        ),
        Fact("long_gaps", YES_NO, _long_gaps),
        # The income band is income against spending, not an amount: it holds in every currency.
        Fact("margin", ("plus", "minus"), _margin),
        Fact(
            "streams",
            ("below-3", "3-4", "5-7", "8+"),
            _banded("recurring_merchants", (3, "below-3"), (5, "3-4"), (8, "5-7"), last="8+"),
        ),
        Fact(
            "share",
            ("below-10", "10-19", "20+"),
            _banded("subscription_spend_share", (0.1, "below-10"), (0.2, "10-19"), last="20+"),
        ),
        Fact("price_rise", YES_NO, lambda s: _yes((s.get("price_rises") or 0) > 0)),
        Fact(
            "fund",
            ("below-1", "1-2", "3-5", "6+"),
            _banded("emergency_fund_months", (1, "below-1"), (3, "1-2"), (6, "3-5"), last="6+"),
        ),
        Fact(
            "growth",
            ("below-2", "2+"),
            _banded("savings_growth_rate", (0.02, "below-2"), last="2+"),
        ),
        Fact("saving", YES_NO, lambda s: _positive(s.get("net_savings_inflow"))),
        Fact("cards", YES_NO, lambda s: _positive(s.get("card_count"))),
        Fact("fallback", YES_NO, lambda s: _yes(bool(s.get("is_fallback")))),
    )
}


PERSONA_FACTS: Final[dict[str, tuple[str, ...]]] = {
    "high_utilization": ("util", "interest", "overdue", "minimum", "saving_with_interest"),
    "variable_income": ("buffer", "variability", "long_gaps", "margin"),
    "subscription_heavy": ("streams", "share", "price_rise"),
    "savings_builder": ("fallback", "fund", "growth", "saving"),
    "wealth_builder": ("fund", "saving", "cards"),
}
"""The facts that each persona's wording may depend on, in the order of the key."""

PERSONA_SLOTS: Final[dict[str, tuple[str, ...]]] = {
    "high_utilization": (
        "max_utilization",
        "card_count",
        "interest_charges",
        "interest_monthly",
        "interest_yearly",
        "savings_inflow",
    ),
    "variable_income": (
        "monthly_income",
        "monthly_expenses",
        "pay_gap",
        "income_variability",
        "buffer_days",
        "buffer_gap",
        "small_step",
    ),
    "subscription_heavy": (
        "subscription_count",
        "subscription_monthly",
        "subscription_yearly",
        "subscription_share",
        "subscription_payees",
        "top_subscription",
        "top_subscription_yearly",
        "price_rise_payee",
        "price_rise",
        "price_rise_yearly",
    ),
    "savings_builder": (
        "savings_balance",
        "savings_inflow",
        "savings_yearly",
        "savings_growth",
        "fund_months",
        "fund_target",
        "fund_gap",
        "months_to_fund",
        "monthly_expenses",
        "small_step",
    ),
    "wealth_builder": (
        "monthly_income",
        "monthly_margin",
        "savings_balance",
        "savings_inflow",
        "fund_months",
        "fund_target",
    ),
}
"""The figures that each persona's pieces may show; which of them are available is part of the situation."""


def situations(
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
    features_30d: pd.DataFrame,
    features_180d: pd.DataFrame,
    streams: pd.DataFrame,
) -> pd.DataFrame:
    """One row per customer: the persona that is followed and all that the writing depends on.

    The 30-day persona is followed, or the 180-day one where the 30-day one is a fallback (``window_days``
    says which). ``streams`` are recurring_streams of the same day.

    Columns: user_id, as_of, window_days, persona, is_fallback, ``situation`` (stable key, such as
    ``high_utilization/util=80+,interest=yes,.../slots=ab12cd``), ``facts`` (JSON: fact -> band), ``slots``
    (JSON: slot -> {signal, value, shown}, only what is available), ``reasons`` (as assigned).
    Sorted by user_id. Raises SituationError when a customer's persona has no features of the same window
    and day.
    """
    assigned = followed(personas_30d, personas_180d)[
        ["user_id", "as_of", "window_days", "persona", "is_fallback", "reasons"]
    ]
    features = pd.concat([features_30d, features_180d], ignore_index=True)
    rows = assigned.merge(features, on=["user_id", "as_of", "window_days"], how="inner", validate="one_to_one")
    if len(rows) < len(assigned):
        raise SituationError(
            f"{len(assigned) - len(rows)} customers have a persona and no features of its window and day"
        )
    subscriptions = _subscriptions(streams)
    found: list[tuple[Any, ...]] = []
    for record in records(rows):
        user, persona = record["user_id"], record["persona"]
        signals = record | stream_signals(_reported(subscriptions.get(user, []), record))
        facts = {name: FACTS[name].band(signals) for name in PERSONA_FACTS[persona]}
        slots = fill(
            (*PERSONA_SLOTS[persona], "window", "as_of"),
            signals,
        )
        found.append(
            (
                user,
                record["as_of"],
                record["window_days"],
                persona,
                record["is_fallback"],
                situation_key(persona, facts, slots),
                json.dumps(facts),
                json.dumps(slots, ensure_ascii=False),
                record["reasons"],
            )
        )
    frame = pd.DataFrame(found, columns=SITUATION_COLUMNS)
    text = ["user_id", "persona", "situation", "facts", "slots", "reasons"]
    types = {"window_days": "Int64", "is_fallback": "boolean", **dict.fromkeys(text, "str")}
    return frame.astype(types).sort_values("user_id", ignore_index=True)


def situation_key(persona: str, facts: Mapping[str, str], slots: Mapping[str, Any]) -> str:
    """The stable, readable name of a situation: persona, bands, and which of the persona's slots are available.

    >>> situation_key("subscription_heavy", {"streams": "5-7"}, {"subscription_count": {}})
    'subscription_heavy/streams=5-7/slots=d1a40b'
    """
    bands = ",".join(f"{name}={band}" for name, band in facts.items())
    available = [name for name in PERSONA_SLOTS[persona] if name in slots]
    return f"{persona}/{bands}/slots={hashlib.sha256(','.join(available).encode()).hexdigest()[:6]}"


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain dictionaries, unknown as None."""
    columns = []
    for name in rows.columns:
        values = rows[name].to_numpy(dtype=object, copy=True)
        values[rows[name].isna().to_numpy()] = None
        columns.append(values.tolist())
    return [dict(zip(rows.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _subscriptions(streams: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Mature subscription streams by customer, dearest first."""
    chosen = streams[(streams["kind"] == "subscription") & (streams["status"] == "mature")]
    chosen = chosen.sort_values(["user_id", "monthly_cost", "stream_id"], ascending=[True, False, True])
    columns = ["user_id", "merchant", "monthly_cost", "price_change", "last_date", "expected_next_date"]
    by_customer: dict[str, list[dict[str, Any]]] = {}
    for row in records(chosen[columns]):
        by_customer.setdefault(row["user_id"], []).append(row)
    return by_customer


def _reported(streams: list[dict[str, Any]], record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that the window reports, by the sentence that counts ``recurring_merchants``."""
    start = record["as_of"] - dt.timedelta(days=record["window_days"])
    until = record["as_of"] + dt.timedelta(days=EXPECTED_WITHIN_DAYS)
    return [
        s
        for s in streams
        if s["last_date"] > start or (s["expected_next_date"] and start < s["expected_next_date"] <= until)
    ]
