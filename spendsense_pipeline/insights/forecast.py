"""The checking balance of the next 30 days, with an interval from the customer's own past errors.

Expected are active streams on their dates, card payments and own transfers that keep a rhythm, and the usual rest by
weekday. The interval is what the same forecast missed by on the customer's past days: by horizon the 10th and 90th
percentile of the past sums of what was not expected. What does not belong here: what is said of it.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spendsense_pipeline.features.columns import runs
from spendsense_pipeline.features.meanings import CHECKING, KIND_CARD_PAYMENT, KIND_OWN_TRANSFER
from spendsense_pipeline.features.tables import MATURE
from spendsense_pipeline.insights.calendar import next_paydays, occurrences
from spendsense_pipeline.insights.seen import Columns, Seen

Array = npt.NDArray[Any]
DAYS = 30
PAST = 168  # days: 24 whole weeks, as many as fit into the evidence of 180
LEAST_PAST = 56  # days of history, without which there is no interval
HORIZONS = np.array([1, 2, 3, 5, 7, 10, 14, 21, 30])
LOW, HIGH = 0.10, 0.90
WIDER = np.array([1.0, 1.0, 1.02, 1.05, 1.08, 1.12, 1.18, 1.28, 1.4])
"""By horizon: past sums over many days overlap, and know less than their number. Measured in docs/accuracy.md."""
SURE = 1.5  # times the upper half of the interval that must stay below zero for a warning; measured likewise
EARLY = 3  # days by which pay may come before its day: a weekend and a holiday
RHYTHM = 3  # gaps in a row, to expect another payment of the same kind
OFF_RHYTHM = 0.15
AT_ONCE = 256  # customers whose past sums fit into the processor's own memory
_OF_RHYTHMS = ("user", "kind", "payee", "day", "amount")


class Forecast(NamedTuple):
    """By customer with a known checking balance, in one order: ``balance``, ``balance_day``, ``next_payday`` (-1
    unknown); and by customer and day ahead ``expected``, ``low`` and ``high``, the last two NaN without 56 days of
    history."""

    user: Array
    balance: Array
    balance_day: Array
    next_payday: Array
    expected: Array
    low: Array
    high: Array


def balance_forecast(seen: Seen) -> Forecast:
    """The checking balance of the 30 days after ``seen.today``."""
    checking = seen.balance_of(CHECKING)
    users = checking.index.to_numpy()
    place = np.full(len(seen.users), -1)
    place[users] = np.arange(len(users))
    rows = seen.rows("user", "day", "amount", days=PAST, held_as=[CHECKING], users=users)
    at = place[rows["user"]] * PAST + seen.today - rows["day"]
    flow = np.bincount(at, rows["amount"], len(users) * PAST).reshape(len(users), PAST)
    coming = np.zeros((len(users), DAYS))
    _take_streams(seen, place, flow, coming)
    _take_rhythms(seen, place, flow, coming)
    history = np.minimum(seen.today - seen.began[users] + 1, PAST)
    young = np.flatnonzero(history < PAST)
    flow[young] *= np.arange(PAST) < history[young, None]  # what was before a long gap is no part of it
    weeks = flow.reshape(len(users), PAST // 7, 7)
    usual = _usual(weeks, history)
    daily = coming + usual[:, -np.arange(1, DAYS + 1) % 7]
    expected = checking["balance"].to_numpy()[:, None] + np.cumsum(daily, axis=1)
    low, high = _interval((weeks - usual[:, None, :]).reshape(flow.shape), history)
    early, late = _a_day_off(np.minimum(coming, 0)), _a_day_off(np.maximum(coming, 0))
    low, high = low + early[0] + late[1], high + early[1] + late[0]
    expected_on = next_paydays(seen)["expected"].reindex(users)
    payday = expected_on.where(expected_on > seen.today).fillna(-1).to_numpy("i8")
    balance, balance_day = checking["balance"].to_numpy(), checking["balance_day"].to_numpy()
    return Forecast(users, balance, balance_day, payday, expected, expected + low, expected + high)


def _take_streams(seen: Seen, place: Array, flow: Array, coming: Array) -> None:
    """Move what streams explain out of the past flow, and what they bring into the coming days."""
    s = seen.streams
    mine = ((s["held_as"] == CHECKING) & (s["status"] == MATURE)).to_numpy() & (place[s["user"]] >= 0)
    user, first, hits, fixed, last, typical = (
        s[name].to_numpy()[mine] for name in ("user", "first_hit", "occurrences", "fixed", "last_amount", "typical")
    )
    counted = seen.evidence.counted
    of, at = runs(first, hits)
    age = seen.today - counted["day"][at]
    known = (age < PAST) & (age >= 0)
    of, at, age = of[known], at[known], age[known]
    # A hit is as expected but for what it differs from the usual one; an old price was expected as the old price.
    taken = np.where(fixed[of], counted["amount"][at], np.where(fixed, last, typical)[of])
    np.subtract.at(flow.reshape(-1), place[user[of]] * PAST + age, taken)
    due = occurrences(seen, DAYS)
    due = due[(due["held_as"] == CHECKING) & (place[due["user"]] >= 0)]
    usual = np.where(due["fixed"], due["last_amount"], due["typical"])
    np.add.at(coming.reshape(-1), place[due["user"]] * DAYS + due["due"].to_numpy() - seen.today - 1, usual)


def _take_rhythms(seen: Seen, place: Array, flow: Array, coming: Array) -> None:
    """The same for card payments and own transfers whose last gaps are alike."""
    kinds, users = [KIND_CARD_PAYMENT, KIND_OWN_TRANSFER], np.flatnonzero(place >= 0)
    rows = seen.rows(*_OF_RHYTHMS, days=PAST, kinds=kinds, held_as=[CHECKING], users=users)
    user, kind, payee, day, amount = rows.values()
    order = np.lexsort((payee, amount > 0, kind, user))  # they come by customer and day
    user, day, amount = user[order], day[order], amount[order]
    keys = np.stack([user, kind[order], amount > 0, payee[order]])
    begins = np.flatnonzero(np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0))[: len(order)])
    times = np.diff(np.append(begins, len(order)))
    begins, times = begins[times > RHYTHM], times[times > RHYTHM]
    latest = (begins + times)[:, None] - np.arange(1, RHYTHM + 2)
    last, gaps = day[latest[:, 0]], np.sort(day[latest[:, :-1]] - day[latest[:, 1:]], axis=1)
    gap, usual = np.median(gaps, axis=1), np.median(amount[latest[:, :-1]], axis=1)
    alike = (gap >= 6) & (gap <= 35) & (gaps[:, -1] - gaps[:, 0] <= np.maximum(2 * OFF_RHYTHM * gap, 2))
    alike &= seen.newest[user[begins]] - last <= 1.5 * gap
    begins, times, last, gap, usual = begins[alike], times[alike], last[alike], gap[alike], usual[alike]
    for ahead in range(1, 6):
        due = last + np.rint(ahead * gap).astype("i8") - seen.today - 1
        soon = (due >= 0) & (due < DAYS)
        np.add.at(coming.reshape(-1), place[user[begins[soon]]] * DAYS + due[soon], usual[soon])
    of, at = runs(begins, times)
    np.subtract.at(flow.reshape(-1), place[user[at]] * PAST + seen.today - day[at], usual[of])


def _usual(weeks: Array, history: Array) -> Array:
    """By customer and weekday, today's first and back from there, the mean of what is left, over the days of the
    history; what was before it is 0."""
    days = (history[:, None] - np.arange(7) + 6) // 7
    return np.asarray(weeks.sum(axis=1) / np.maximum(days, 1))


def _interval(missed: Array, history: Array) -> tuple[Array, Array]:
    """By customer and day what past sums of the unexpected came to, 10th and 90th percentile; NaN with too short a
    history."""
    low, high = np.zeros((len(missed), len(HORIZONS))), np.zeros((len(missed), len(HORIZONS)))
    for length in np.unique(history[history >= LEAST_PAST]):
        alike = np.flatnonzero(history == length)
        for some in np.split(alike, range(AT_ONCE, len(alike), AT_ONCE)):
            sums = np.zeros((len(some), length + 1))
            np.cumsum(missed[some, :length], axis=1, out=sums[:, 1:])
            for place, days in enumerate(HORIZONS):
                past = np.empty((len(some), length + 1 - days), "f4")  # half as much to sort
                np.subtract(sums[:, days:], sums[:, :-days], out=past, casting="same_kind")
                low[some, place], high[some, place] = _tails(past)
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
    past.sort(axis=1)  # several times faster than a partition: numpy sorts with vector instructions
    most = past.shape[1] - 1
    return past[:, int(LOW * most)], past[:, int(np.ceil(HIGH * most))]


def _between(at_horizons: Array) -> Array:
    """Of every day, between the horizons in proportion."""
    days = np.arange(1, DAYS + 1)
    after = np.searchsorted(HORIZONS, days)
    before = np.maximum(after - 1, 0)
    apart = np.where(after == before, 1, HORIZONS[after] - HORIZONS[before])
    share = np.where(after == before, 1.0, (days - HORIZONS[before]) / apart)
    return np.asarray(at_horizons[:, before] * (1 - share) + at_horizons[:, after] * share)


def low_balance_ahead(seen: Seen, forecast: Forecast) -> Columns:
    """Customers of whom even half above the upper end falls below zero before the next payday: nine in ten will be
    short. Three days before payday it may have come.

    Without a known payday the next 14 days are looked at. Whoever is overdrawn already is told that instead.
    """
    days = np.arange(1, DAYS + 1)[None, :]
    payday, expected = forecast.next_payday, forecast.expected
    until = np.where(payday > 0, payday - seen.today, 15)
    before = days < np.where(payday > 0, until - EARLY, until)[:, None]
    short = (expected + SURE * (forecast.high - expected) < 0) & before
    chosen = short.any(axis=1) & (forecast.balance >= 0)
    first, payday = 1 + short.argmax(axis=1)[chosen], payday[chosen]
    return {
        "user": forecast.user[chosen],
        "key": np.where(payday > 0, payday, (seen.today + first - 1) // 14),
        "happened": seen.today + first,
        "expires": seen.today + first,
        "checking_balance": forecast.balance[chosen],
        "balance_on": forecast.balance_day[chosen],
        "low_amount": -np.where(before, expected, np.inf)[chosen].min(axis=1),
        "low_on": seen.today + first,
        "days_until": first,
        "next_payday": np.where(payday > 0, payday, np.nan),
    }
