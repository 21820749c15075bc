"""Which situations each customer is in: a persona or an insight, the facts that matter to it, the figures it can show.

Writing is made once per situation, so a situation must say everything that the wording depends on, and
nothing else: bands instead of amounts, and of the slots only those that the persona's pieces use. Exact
figures stay in ``slots`` and enter the text later. What does not belong here: who the customer is, which facts
there are (``facts.py``), what the pieces say (``library.py``).
"""

import datetime as dt
import functools
import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.features.tables import EXPECTED_WITHIN_DAYS
from spendsense_pipeline.frames import records, to_frame
from spendsense_pipeline.insights.in_sight import spending_in_sight
from spendsense_pipeline.personas.assignment import followed
from spendsense_pipeline.recommendations.choosing import Held, held
from spendsense_pipeline.recommendations.facts import (
    ABOUT_SLOTS,
    FACTS,
    PERSONA_FACTS,
    PERSONA_SLOTS,
    facts_of_insight,
    situation_key,
)
from spendsense_pipeline.recommendations.slots import card_signals, stream_signals, together, written

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
    "insight",
    "insight_id",
    "severity",
    "excluded_tags",
    "excluded_purposes",
]
OF_CUSTOMER: Final = ["user_id", "as_of", "window_days", "persona", "is_fallback", "reasons"]
"""What all rows of a customer have in common ..."""
OF_SITUATION: Final = [name for name in SITUATION_COLUMNS if name not in OF_CUSTOMER]
"""... and what is made of each."""


_json = json.JSONEncoder(ensure_ascii=False).encode


BY_SPENDING: Final = (
    *("avg_monthly_expenses", "emergency_fund_months", "cash_flow_buffer_months", "subscription_spend_share"),
)
"""Signals that rest on spending: no text speaks of them where a part of it is out of sight."""


class SituationError(SpendSenseError):
    """The tables of a day do not belong together."""

    code = "mixed_days"


def situations(
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
    features_30d: pd.DataFrame,
    features_180d: pd.DataFrame,
    streams: pd.DataFrame,
    cards: pd.DataFrame,
    insights: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per customer for the persona that is followed, and one for each insight that may be told, with all that
    the writing depends on.

    The 30-day persona is followed, or the 180-day one where the 30-day one is a fallback (``window_days``
    says which). ``streams`` are recurring_streams of the same day, ``cards`` its cards (``CARD_COLUMNS``).

    Columns: user_id, as_of, window_days, persona, is_fallback, ``situation`` (stable key, such as
    ``high_utilization/util=80+,interest=yes,.../slots=ab12cd``), ``facts`` (JSON: fact -> band), ``slots``
    (JSON: slot -> {signal, value, shown}, only what is available), ``reasons`` (as assigned); ``insight``,
    ``insight_id`` and ``severity`` are null where the row is the persona's, which says in ``excluded_tags`` and
    ``excluded_purposes`` (JSON lists) what its pieces may not do beside the customer's insights.
    Sorted by user_id, insights before the persona and most important first. Raises SituationError when a customer's
    persona has no features of the same window and day.
    """
    assigned = followed(personas_30d, personas_180d)[OF_CUSTOMER]
    features = pd.concat([features_30d, features_180d], ignore_index=True)
    rows = assigned.merge(features, on=["user_id", "as_of", "window_days"], how="inner", validate="one_to_one")
    if len(rows) < len(assigned):
        raise SituationError(
            f"{len(assigned) - len(rows)} customers have a persona and no features of its window and day"
        )
    spent, income, elsewhere, history = (
        rows[name].astype("float64").to_numpy(na_value=float("nan"))
        for name in ("avg_monthly_expenses", "regular_income", "unlinked_card_payments", "history_days")
    )
    months = np.minimum(rows["window_days"].astype("float64"), np.maximum(history, 30)) / 30
    factor = rows["currency_factor"].astype("float64").fillna(1.0)
    out_of_sight = ~spending_in_sight(spent, income, elsewhere / months, factor) & ~np.isnan(spent)
    rows.loc[out_of_sight, list(BY_SPENDING)] = None
    rows = rows.sort_values("user_id", ignore_index=True)
    subscriptions, wallets = _by_customer(_subscriptions(streams)), _by_customer(_wallets(cards))
    told = _by_customer(insights)
    found: list[tuple[Any, ...]] = []
    for place, record in enumerate(records(rows.drop(columns="reasons"))):
        user, persona = record["user_id"], record["persona"]
        signals = (
            record
            | stream_signals(_reported(subscriptions.get(user, []), record))
            | card_signals(wallets.get(user, []))
        )
        late = insights is None or any(one["insight"] == "past_due" for one in told.get(user, ()))
        if signals["any_overdue"] and not late:
            signals["any_overdue"] = None  # the flag is of the figures' day; the insight knows what was paid since
        facts = {name: FACTS[name].band(signals) for name in PERSONA_FACTS[persona]}
        slots = written((*PERSONA_SLOTS[persona], "window", "as_of"), signals)
        mine = held(told.get(user, ()))
        of_all = written(OF_ALL_TEXTS, record)
        base = {each: record[each] for each in ("as_of", "window_days", "currency", "currency_factor")}
        closing = written(("window", "as_of"), base) | of_all
        found.extend((place, *_of_insight(one, base, closing), None, None) for one in mine.told)
        found.append(
            (
                place,
                situation_key(persona, facts, slots),
                _json(facts),
                together(slots | of_all),
                None,
                None,
                None,
                _listed(mine.tags),
                _listed(mine.purposes),
            )
        )
    places, *columns = zip(*found, strict=True) if found else [()] * (len(OF_SITUATION) + 1)
    # What all rows of a customer share is taken from the table: its texts are longer than those made here.
    shared = pa.Table.from_pandas(rows[OF_CUSTOMER], preserve_index=False).take(pa.array(places, pa.int64()))
    made = {name: pa.array(column, pa.string()) for name, column in zip(OF_SITUATION, columns, strict=True)}
    arrays = dict(zip(OF_CUSTOMER, shared.columns, strict=True)) | made
    return to_frame(pa.table({name: arrays[name] for name in SITUATION_COLUMNS}))


OF_ALL_TEXTS: Final = ("shared_account",)
"""The slot that no text is chosen by: it stands in the closing lines of whatever is said."""


def _by_customer(rows: pd.DataFrame | None) -> dict[str, list[dict[str, Any]]]:
    """The rows of each customer."""
    by_customer: dict[str, list[dict[str, Any]]] = {}
    for row in records(rows) if rows is not None else ():
        by_customer.setdefault(row["user_id"], []).append(row)
    return by_customer


def _of_insight(insight: Mapping[str, Any], base: dict[str, Any], closing: dict[str, str]) -> tuple[Any, ...]:
    """Situation, facts, slots and name of an insight of a customer: ``base`` are the signals that its figures
    stand beside, ``closing`` the slots of every text."""
    name = insight["insight"]
    facts, listed = _facts_of_insight(name, insight["detail"])
    slots = written(ABOUT_SLOTS[name], json.loads(insight["figures"]) | base)
    return (
        situation_key(name, facts, slots),
        listed,
        together(slots | closing),
        name,
        insight["insight_id"],
        insight["severity"],
    )


@functools.lru_cache(maxsize=4_096)
def _facts_of_insight(name: str, detail: str | None) -> tuple[dict[str, str], str]:
    """The facts that hold where it fires, and as JSON."""
    facts = facts_of_insight(name, detail)
    return facts, _json(facts)


@functools.lru_cache(maxsize=4_096)
def _listed(names: tuple[str, ...]) -> str:
    """A list that many customers share, as JSON."""
    return _json(names)


@functools.lru_cache(maxsize=4_096)
def taken_of(excluded_tags: str, excluded_purposes: str) -> Held:
    """What the customer's insights leave no room for, as the persona's row says."""
    return Held((), tuple(json.loads(excluded_tags)), tuple(json.loads(excluded_purposes)))


CARD_COLUMNS: Final = ["user_id", "last4", "balance", "credit_limit", "utilization", "apr"]
"""One row per credit card: what is owed and may be owed (money), their ratio, the purchase rate; null is unknown."""


def _wallets(cards: pd.DataFrame) -> pd.DataFrame:
    """The cards of each customer, in an order of their own."""
    return cards[CARD_COLUMNS].sort_values(["user_id", "last4", "balance"])


def _subscriptions(streams: pd.DataFrame) -> pd.DataFrame:
    """Mature subscription streams by customer, dearest first."""
    chosen = streams[(streams["kind"] == "subscription") & (streams["status"] == "mature")]
    columns = ["user_id", "merchant", "category", "evidence", "monthly_cost", "price_change", "last_date"]
    columns += ["expected_next_date", "stream_id"]
    return chosen[columns].sort_values(["user_id", "monthly_cost", "stream_id"], ascending=[True, False, True])


def _reported(streams: list[dict[str, Any]], record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that the window reports, by the sentence that counts ``recurring_merchants``."""
    start = record["as_of"] - dt.timedelta(days=record["window_days"])
    until = record["as_of"] + dt.timedelta(days=EXPECTED_WITHIN_DAYS)
    return [
        s
        for s in streams
        if s["last_date"] > start or (s["expected_next_date"] and start < s["expected_next_date"] <= until)
    ]
