"""The checking balance of the next 30 days, with an interval from the customer's own past errors.

Expected are active streams on their dates, card payments and own transfers that keep a rhythm, and the usual rest by
weekday. The interval is what the same forecast missed by on the customer's past days: by horizon the 10th and 90th
percentile of the past sums of what was not expected. What does not belong here: what is said of it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spendsense_pipeline.features.meanings import CHECKING, KIND_CARD_PAYMENT, KIND_OWN_TRANSFER
from spendsense_pipeline.features.tables import MATURE
from spendsense_pipeline.insights.calendar import next_paydays, occurrences
from spendsense_pipeline.insights.seen import Seen

Array = npt.NDArray[Any]
DAYS = 30
PAST = 168  # days: 24 whole weeks, as many as fit into the evidence of 180
LEAST_PAST = 56  # days of history, without which there is no interval
HORIZONS = np.array([1, 2, 3, 5, 7, 10, 14, 21, 30])
LOW, HIGH = 0.10, 0.90
WIDER = np.array([1.0, 1.0, 1.02, 1.05, 1.08, 1.12, 1.18, 1.28, 1.4])
SURE = 1.5  # times the upper half of the interval that must stay below zero for a warning; measured likewise
EARLY = 3  # days by which pay may come before its day: a weekend and a holiday

"""By horizon: past sums over many days overlap, and know less than their number. Measured in docs/accuracy.md."""
RHYTHM = 3  # gaps in a row, to expect another payment of the same kind
OFF_RHYTHM = 0.15


def balance_forecast(seen: Seen) -> pd.DataFrame:
    """By customer with a known checking balance: ``balance``, ``balance_day``, ``next_payday`` (-1 unknown), and arrays
    of 30 days ``expected``, ``low``, ``high``. Without 56 days of history low and high are NaN."""
    checking = seen.balance_of(CHECKING)
    users = checking.index.to_numpy()
    place = np.full(len(seen.users), -1)
    place[users] = np.arange(len(users))
    rows = seen.rows("user", "day", "amount", "kind", "payee", days=PAST, held_as=[CHECKING])
    rows = rows[place[rows["user"]] >= 0]
    flow = _by_day(place[rows["user"]], seen.today - rows["day"].to_numpy(), rows["amount"].to_numpy(), len(users))
    coming = np.zeros((len(users), DAYS))
    _take_streams(seen, place, flow, coming)
    _take_rhythms(seen, rows, place, flow, coming)
    history = np.minimum(seen.today - seen.began[users] + 1, PAST)
    usual = _usual(flow, history, seen.today)
    ahead = (seen.today + 1 + np.arange(DAYS)) % 7
    expected = checking["balance"].to_numpy()[:, None] + np.cumsum(coming + usual[:, ahead], axis=1)
    low, high = _interval(flow - usual[:, (seen.today - np.arange(PAST)) % 7], history)
    early, late = _a_day_off(np.minimum(coming, 0)), _a_day_off(np.maximum(coming, 0))
    low, high = low + early[0] + late[1], high + early[1] + late[0]
    payday = next_paydays(seen)["expected"].reindex(users)
    return pd.DataFrame(
        {
            "user": users,
            "balance": checking["balance"].to_numpy(),
            "balance_day": checking["balance_day"].to_numpy(),
            "next_payday": payday.where(payday > seen.today).fillna(-1).astype("i8").to_numpy(),
            "expected": list(expected),
            "low": list(expected + low),
            "high": list(expected + high),
        }
    )


def _by_day(place: Array, age: Array, amount: Array, users: int) -> Array:
    return np.bincount(place * PAST + age, amount, users * PAST).reshape(users, PAST)


def _take_streams(seen: Seen, place: Array, flow: Array, coming: Array) -> None:
    """Move what streams explain out of the past flow, and what they bring into the coming days."""
    s = seen.streams
    s = s[(s["held_as"] == CHECKING) & (s["status"] == MATURE) & (place[s["user"]] >= 0)]
    counted = seen.evidence.counted
    hits = s["occurrences"].to_numpy()
    at = np.repeat(s["first_hit"].to_numpy() - np.append(0, np.cumsum(hits)[:-1]), hits) + np.arange(hits.sum())
    of = np.repeat(np.arange(len(s)), hits)
    usual = np.where(s["fixed"], s["last_amount"], s["typical"])
    age = seen.today - counted["day"][at]
    known = (age < PAST) & (age >= 0)
    amount = counted["amount"][at]
    # A hit is as expected but for what it differs from the usual one; an old price was expected as the old price.
    taken = np.where(s["fixed"].to_numpy()[of], amount, usual[of])
    np.subtract.at(flow, (place[s["user"].to_numpy()][of[known]], age[known]), taken[known])
    due = occurrences(seen, DAYS)
    due = due[(due["held_as"] == CHECKING) & (place[due["user"]] >= 0)]
    usual = np.where(due["fixed"], due["last_amount"], due["typical"])
    np.add.at(coming, (place[due["user"]], due["due"].to_numpy() - seen.today - 1), usual)


def _take_rhythms(seen: Seen, rows: pd.DataFrame, place: Array, flow: Array, coming: Array) -> None:
    """The same for card payments and own transfers whose last gaps are alike."""
    rows = rows[rows["kind"].isin([KIND_CARD_PAYMENT, KIND_OWN_TRANSFER])]
    if not len(rows):
        return
    rows = rows.assign(inflow=rows["amount"] > 0).sort_values(["user", "kind", "inflow", "payee", "day"])
    group = rows.groupby(["user", "kind", "inflow", "payee"], sort=False)
    from_end = group.cumcount(ascending=False)
    gaps = rows.assign(gap=group["day"].diff())[from_end < RHYTHM]
    of = gaps.groupby(["user", "kind", "inflow", "payee"], sort=False)
    found = of.agg(
        least=("gap", "min"), most=("gap", "max"), gap=("gap", "median"), number=("gap", "count"),
        last=("day", "max"), amount=("amount", "median"),
    ).reset_index()  # fmt: skip
    alike = (found["number"] == RHYTHM) & (found["gap"] >= 6) & (found["gap"] <= 35)
    alike &= found["most"] - found["least"] <= np.maximum(2 * OFF_RHYTHM * found["gap"], 2)
    alike &= seen.newest[found["user"]] - found["last"] <= 1.5 * found["gap"]
    found = found[alike]
    for ahead in range(1, 6):
        due = (found["last"] + np.rint(ahead * found["gap"])).to_numpy().astype("i8") - seen.today - 1
        soon = (due >= 0) & (due < DAYS)
        np.add.at(coming, (place[found["user"]][soon], due[soon]), found["amount"].to_numpy()[soon])
    past = rows.merge(found[["user", "kind", "inflow", "payee", "amount"]], on=["user", "kind", "inflow", "payee"])
    np.subtract.at(flow, (place[past["user"]], seen.today - past["day"].to_numpy()), past["amount_y"].to_numpy())


def _usual(flow: Array, history: Array, today: int) -> Array:
    """By customer and weekday (day modulo 7) the mean of what is left, over the days of the history."""
    inside = np.arange(PAST)[None, :] < history[:, None]
    weeks = np.where(inside, flow, 0.0).reshape(-1, PAST // 7, 7).sum(axis=1)
    days = inside.reshape(-1, PAST // 7, 7).sum(axis=1)
    usual = np.zeros((len(flow), 7))
    usual[:, (today - np.arange(7)) % 7] = weeks / np.maximum(days, 1)
    return usual


def _interval(missed: Array, history: Array) -> tuple[Array, Array]:
    """By customer and day what past sums of the unexpected came to, 10th and 90th percentile; NaN with too short a
    history."""
    users = len(missed)
    inside = np.arange(PAST)[None, :] < history[:, None]
    sums = np.concatenate([np.zeros((users, 1)), np.cumsum(np.where(inside, missed, 0.0), axis=1)], axis=1)
    low, high = np.zeros((users, len(HORIZONS))), np.zeros((users, len(HORIZONS)))
    for length in np.unique(history[history >= LEAST_PAST]):
        alike = history == length
        of_these = sums[alike, : length + 1]
        for place, days in enumerate(HORIZONS):
            low[alike, place], high[alike, place] = _tails(of_these[:, days:] - of_these[:, :-days])
    low, high = np.minimum(low, 0.0) * WIDER, np.maximum(high, 0.0) * WIDER
    short = history < LEAST_PAST
    low[short], high[short] = np.nan, np.nan
    return _between(low), _between(high)


def _a_day_off(coming: Array) -> tuple[Array, Array]:
    """What is there earlier, and what is missing, by day, if all of it comes a day before, or after, its date."""
    total = np.cumsum(coming, axis=1)
    before = np.concatenate([total[:, 1:], total[:, -1:]], axis=1)
    after = np.concatenate([np.zeros((len(total), 1)), total[:, :-1]], axis=1)
    return before - total, after - total


def _tails(past: Array) -> tuple[Array, Array]:
    at = [int(LOW * (past.shape[1] - 1)), int(np.ceil(HIGH * (past.shape[1] - 1)))]
    ordered = np.partition(past, at, axis=1)
    return ordered[:, at[0]], ordered[:, at[1]]


def _between(at_horizons: Array) -> Array:
    """Of every day, between the horizons in proportion."""
    days = np.arange(1, DAYS + 1)
    after = np.searchsorted(HORIZONS, days)
    before = np.maximum(after - 1, 0)
    apart = np.where(after == before, 1, HORIZONS[after] - HORIZONS[before])
    share = np.where(after == before, 1.0, (days - HORIZONS[before]) / apart)
    return np.asarray(at_horizons[:, before] * (1 - share) + at_horizons[:, after] * share)


def low_balance_ahead(seen: Seen, forecast: pd.DataFrame) -> pd.DataFrame:
    """Customers of whom even half above the upper end falls below zero before the next payday: nine in ten will be
    short. Three days before payday it may have come.

    Without a known payday the next 14 days are looked at. Whoever is overdrawn already is told that instead.
    """
    if not len(forecast):
        return forecast.assign(key="", happened=0, expires=0)[["user", "key", "happened", "expires"]]
    high, expected = np.stack(forecast["high"].to_list()), np.stack(forecast["expected"].to_list())
    days = np.arange(1, DAYS + 1)[None, :]
    payday = forecast["next_payday"].to_numpy()
    until = np.where(payday > 0, payday - seen.today, 15)
    before = days < np.where(payday > 0, until - EARLY, until)[:, None]
    short = (expected + SURE * (high - expected) < 0) & before
    chosen = short.any(axis=1) & (forecast["balance"].to_numpy() >= 0)
    first = short.argmax(axis=1)
    lowest = np.where(before, expected, np.inf).min(axis=1)
    f = forecast[chosen]
    return pd.DataFrame(
        {
            "user": f["user"],
            "key": np.where(payday[chosen] > 0, payday[chosen], (seen.today + first[chosen]) // 14),
            "happened": seen.today + 1 + first[chosen],
            "expires": seen.today + 1 + first[chosen],
            "checking_balance": f["balance"],
            "balance_on": f["balance_day"],
            "low_amount": -lowest[chosen],
            "low_on": seen.today + 1 + first[chosen],
            "days_until": 1 + first[chosen],
            "next_payday": f["next_payday"].where(f["next_payday"] > 0),
        }
    )
