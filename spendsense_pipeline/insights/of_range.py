"""The insights and forecasts of a range of customers on its dates, as tables.

What does not belong here: what any insight is (``bills.py`` and its neighbours), and who is told what
(``recommendations/``).
"""

import datetime as dt
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice, repeat
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.features import tables
from spendsense_pipeline.features.signals import EPOCH, Evidence, Signals
from spendsense_pipeline.insights import bills, cushion, debt, income, recurring, spending
from spendsense_pipeline.insights.figures import FIGURES
from spendsense_pipeline.insights.forecast import Forecast, balance_forecast, low_balance_ahead
from spendsense_pipeline.insights.kinds import IMPORTANCE, INSIGHTS
from spendsense_pipeline.insights.seen import Array, Seen

DETECTORS: dict[str, Callable[[Seen], pd.DataFrame]] = {
    detector.__name__: detector
    for detector in (
        *(bills.bill_due_soon, bills.bills_before_payday, bills.bill_higher_than_usual, bills.bill_missing),
        *(bills.annual_renewal_ahead, recurring.price_rise, recurring.new_recurring, recurring.trial_became_paid),
        *(recurring.duplicate_charge, recurring.two_of_a_kind, income.income_late, income.income_stopped),
        *(income.income_changed, income.windfall, debt.past_due, debt.dearest_first, debt.minimum_only),
        *(debt.interest_paid, debt.balance_falling, cushion.overdrawn, cushion.fees_charged, cushion.thin_cushion),
        *(cushion.idle_cash, cushion.savings_drop, cushion.savings_milestone, spending.unusual_spending),
        *(spending.fixed_costs_high, spending.spending_above_income, spending.card_not_linked),
        *(spending.cash_withdrawals, cushion.interest_earned),
    )
}
INSIGHTS_SCHEMA = pa.schema(
    [
        ("insight_id", pa.string()), ("user_id", pa.string()), ("as_of", pa.date32()), ("insight", pa.string()),
        ("topic", pa.string()), ("severity", pa.string()), ("happened_on", pa.date32()), ("expires_on", pa.date32()),
        ("detail", pa.string()), ("evidence", pa.string()), ("figures", pa.string()), ("confidence", pa.float64()),
    ]
)  # fmt: skip
FORECAST_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()), ("as_of", pa.date32()), ("balance", pa.float64()), ("balance_date", pa.date32()),
        ("next_payday", pa.date32()), ("expected", pa.string()), ("low", pa.string()), ("high", pa.string()),
    ]
)  # fmt: skip


def insights_of(evidence: Evidence, signals: Signals) -> dict[str, pa.Table]:
    """``insights`` and ``balance_forecast`` of every date of the range, by customer."""
    found, forecasts = [], []
    for place in range(len(evidence.dates)):
        seen = Seen(evidence, place, signals)
        forecast = balance_forecast(seen)
        candidates = {name: detector(seen) for name, detector in DETECTORS.items()}
        candidates["low_balance_ahead"] = low_balance_ahead(seen, forecast)
        found.append(_insights(seen, candidates))
        forecasts.append(_forecasts(seen, forecast))
    return {"insights": pa.concat_tables(found), "balance_forecast": pa.concat_tables(forecasts)}


def _insights(seen: Seen, candidates: dict[str, pd.DataFrame]) -> pa.Table:
    parts, order = [INSIGHTS_SCHEMA.empty_table()], [np.empty(0, "i8")]
    for name, frame in candidates.items():
        if len(frame):
            frame = _strongest(frame.reset_index(drop=True))
            parts.append(_told(seen, name, frame))
            order.append(frame["user"].to_numpy("i8") * len(IMPORTANCE) + IMPORTANCE[name])
    # In one piece first: of many, taking rows costs several times as much.
    return pa.concat_tables(parts).combine_chunks().take(pa.array(np.argsort(np.concatenate(order), kind="stable")))


def _strongest(frame: pd.DataFrame) -> pd.DataFrame:
    """One a customer and insight: that of the largest amount."""
    if frame["user"].is_unique:
        return frame
    weight = frame["weight"] if "weight" in frame else pd.Series(0.0, frame.index)
    order = frame.assign(weight=weight, at=np.arange(len(frame))).sort_values(
        ["user", "weight", "at"], ascending=[True, False, True]
    )
    return order.drop_duplicates("user").reset_index(drop=True)


def _told(seen: Seen, name: str, frame: pd.DataFrame) -> pa.Table:
    """Rows of the table, of the candidates for one insight."""
    about, count = INSIGHTS[name], len(frame)
    users = seen.evidence.users.take(pa.array(frame["user"].to_numpy("i8")))
    evidence, alone = _rests_on(seen, frame)
    explained = seen.long["explained_share"].reindex(frame["user"]).fillna(0.0).to_numpy()
    return pa.table(
        [
            list(map(_identity, users.to_pylist(), repeat(name), alone, frame["key"].tolist())),
            users,
            tables.dates(np.full(count, seen.today)),
            [name] * count,
            [about.topic] * count,
            frame["severity"].tolist() if "severity" in frame else [about.severity] * count,
            tables.dates(frame["happened"].to_numpy("i8")),
            tables.dates(np.maximum(frame["expires"].to_numpy("i8"), seen.today)),
            pa.array(frame["fact"].tolist() if "fact" in frame else [None] * count, pa.string()),
            evidence,
            _objects(count, *_about_payees(seen, frame), *_figures(frame)),
            np.round(np.clip(explained, 0.5, 1.0), 6),
        ],
        schema=INSIGHTS_SCHEMA,
    )


def _identity(user: str, name: str, alone: str, key: Any) -> str:
    """What names the happening: the customer, the insight, the one stream, row or account it rests on, and its key."""
    # A day is a whole number, whatever the rows beside it made of the column.
    key = int(key) if isinstance(key, float) else key
    return "ins_" + hashlib.sha256(f"{user}|{name}{alone}|{key}".encode()).hexdigest()[:20]


def _objects(count: int, *members: Iterable[str]) -> list[str]:
    """By row the JSON object of its members, each written already (``"name": value``), or empty where it has it not."""
    written = map(", ".join, map(partial(filter, None), zip(*members, strict=True))) if members else [""] * count
    return ["{" + each + "}" for each in written]


@functools.lru_cache(maxsize=4096)
def _iso(day: int) -> str:
    return (EPOCH + dt.timedelta(days=day)).isoformat()


def _rests_on(seen: Seen, frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """By row the ids of the streams, transactions and accounts it rests on, as JSON, and those that are the only one
    of their sort, each after a bar."""
    members, alone = [], [""] * len(frame)
    accounts = seen.evidence.held.account_id
    for column, name, ids_of in (
        ("at_stream", "streams", seen.stream_ids),
        ("at_row", "transactions", seen.transaction_ids),
        ("at_account", "accounts", lambda places: accounts.take(pa.array(places)).to_pylist()),
    ):
        if column in frame:
            if frame[column].dtype != object:
                only = ids_of(frame[column].to_numpy("i8"))
                members.append([f'"{name}": [{_TEXT(each)}]' for each in only])
                alone = [f"{before}|{each}" for before, each in zip(alone, only, strict=True)]
                continue
            several = frame[column].tolist()
            flat = iter(ids_of(np.fromiter(chain.from_iterable(several), "i8")))
            of = [list(islice(flat, len(each))) for each in several]
            members.append([f'"{name}": [{", ".join(map(_TEXT, ids))}]' for ids in of])
            alone = [f"{before}|{ids[0]}" if len(ids) == 1 else before for before, ids in zip(alone, of, strict=True)]
    return _objects(len(frame), *members), alone


def _about_payees(seen: Seen, frame: pd.DataFrame) -> Iterator[list[str]]:
    """What decides whether payees may be named: ``payee_category``, of the first stream or row that it rests on (else
    of ``payee_row``), and ``payee_listed`` and ``other_payee_listed`` where one is known by a list price."""
    if "payee" not in frame:
        return
    of_stream = "at_stream" in frame
    rests_on = frame[next(name for name in ("at_stream", "at_row", "payee_row") if name in frame)].tolist()
    streams = seen.evidence.streams
    for place, name in enumerate(("payee", "other_payee")):
        if name not in frame:
            continue
        at = np.array([each[place] if isinstance(each, list) else each for each in rests_on], "i8")
        rows = seen.evidence.counted["number"][streams["first_hit"][at]] if of_stream else at
        if name == "payee":
            label = streams["label"][at] if of_stream else seen.evidence.said.label[seen.said(at)]
            yield [f'"payee_category": {_TEXT(each)}' if each else "" for each in seen.labels(label)]
        yield [f'"{name}_listed": true' if each else "" for each in seen.listed(rows).tolist()]


def _figures(frame: pd.DataFrame) -> Iterator[list[str]]:
    """The figures that are known: money to the cent, dates as ISO text."""
    for name, figure in FIGURES.items():
        if name in frame:
            start = f'"{name}": '
            if figure.type in ("payee", "card", "words"):
                yield [start + _TEXT(each) if isinstance(each, str) else "" for each in frame[name].tolist()]
                continue
            values = frame[name].to_numpy("f8", na_value=np.nan)
            known, write = np.isfinite(values), _WRITTEN.get(figure.type, repr)
            texts = map(write, _rounded(values[known], _DIGITS.get(figure.type, 6)).tolist())
            if known.all():
                yield [start + text for text in texts]
            else:
                yield [start + next(texts) if each else "" for each in known.tolist()]


def _rounded(values: Array, digits: int) -> Array:
    """As ``round`` rounds each of them: of a half in decimals it knows which side the number lies on."""
    rounded = np.round(values, digits)
    halves = np.flatnonzero(np.abs(np.abs(values * 10**digits) % 1 - 0.5) < 1e-3)
    rounded[halves] = [round(each, digits) for each in values[halves].tolist()]
    return rounded


_TEXT = json.encoder.encode_basestring
_DIGITS = {"date": 0, "count": 0, "money": 2}
_WRITTEN: dict[str, Callable[[float], str]] = {
    "date": lambda day: f'"{_iso(int(day))}"',
    "count": lambda value: str(int(value)),
}


def _forecasts(seen: Seen, forecast: Forecast) -> pa.Table:
    return pa.table(
        [
            seen.evidence.users.take(pa.array(forecast.user)),
            tables.dates(np.full(len(forecast.user), seen.today)),
            pa.array(forecast.balance),
            tables.dates(forecast.balance_day),
            tables.dates(forecast.next_payday, forecast.next_payday < 0),
            *map(_written, (forecast.expected, forecast.low, forecast.high)),
        ],
        schema=FORECAST_SCHEMA,
    )


def _written(matrix: Array) -> pa.Array:
    """By row whole amounts as a JSON list; more would claim to know them better."""
    unknown = np.isnan(matrix).any(axis=1)
    whole = pa.array(np.rint(np.nan_to_num(matrix)).astype("i8").ravel()).cast(pa.string())
    ends = pa.array(np.arange(len(matrix) + 1) * matrix.shape[1], pa.int32())
    joined = pc.binary_join(pa.ListArray.from_arrays(ends, whole), ", ")
    return pc.if_else(pa.array(unknown), None, pc.binary_join_element_wise("[", joined, "]", ""))
