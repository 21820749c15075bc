"""What is expected when: payments of the coming days, and the next payday.

What does not belong here: what the balance becomes of it (``forecast.py``).
"""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from spendsense_pipeline.features.calendars import CALENDARS, SEMI_MONTHLY, day_at, halves
from spendsense_pipeline.features.columns import runs
from spendsense_pipeline.features.meanings import KIND_BENEFIT, KIND_PAYCHECK
from spendsense_pipeline.features.signals import EPOCH
from spendsense_pipeline.features.tables import INCOME, KINDS, MATURE, REGULAR
from spendsense_pipeline.insights.grouped import Groups, matching
from spendsense_pipeline.insights.seen import Array, Seen, frame_of, pairs_of

DAYS_AHEAD = 31  # that anything looks ahead
MOST_AHEAD = 6  # occurrences of a weekly stream in so many days
LATE_DAYS = 5  # past its date after which a payment is missing, and no longer expected
PAY_DAYS = 190  # evidence for who pays when
GAPS = 3  # between the last four paydays, that must be alike
SPLIT_DAYS = 3  # between the parts of one payday
OF_PERIOD = 5  # gaps, of which the period is the median
SHARE_OFF = 0.2  # of the period: weekends, holidays and months of 28 days
PERIODS = (5.0, 35.0)  # days, from weekly to monthly
PERIOD_OF = {"weekly": 7.0, "biweekly": 14.0, "semi_monthly": 365.25 / 24, "monthly": 365.25 / 12}
_OF_MONTHS = np.array([each.of_months for each in CALENDARS])
_PERIOD = np.array([halves(each.period) for each in CALENDARS])
_DAYS = _PERIOD / 2 * np.where(_OF_MONTHS, 30.44 / 31, 1.0)
EARLY = 0.4  # of the period, up to
MOST_EARLY = 12  # days before its date, in which a payment beside the stream is the one expected then
ALIKE = 2.0  # times the usual amount, or its half


def occurrences(seen: Seen, days: int) -> pd.DataFrame:
    """Every expected date of the mature streams in the coming days, at most 31: the stream's columns, and ``due``."""
    due = seen.once("occurrences", _occurrences)
    return due[due["due"] <= seen.today + days]


def _occurrences(seen: Seen) -> pd.DataFrame:
    streams = seen.streams
    places, of = streams["stream"].to_numpy(), np.flatnonzero(streams["status"] == MATURE)
    found, dates = [], []
    for ahead in range(1, MOST_AHEAD + 1):
        due = after_last(seen, places[of], ahead)
        soon = due <= seen.today + DAYS_AHEAD
        of, due = of[soon], due[soon]
        coming = due > seen.today
        if ahead == 1:
            coming &= ~paid_early(seen, streams.take(of))
        found.append(of[coming])
        dates.append(due[coming])
    return streams.take(np.concatenate(found)).reset_index(drop=True).assign(due=np.concatenate(dates))


def after_last(seen: Seen, places: Array, ahead: int) -> Array:
    """The dates of streams, by place, so many dates after their last one."""
    s = seen.evidence.streams
    slot, calendar = s["last_slot"][places] + ahead, s["calendar"][places]
    second = (calendar == SEMI_MONTHLY) & (slot % 2 == 1)
    at = slot * _PERIOD[calendar] + np.where(second, s["other_anchor"][places], s["anchor"][places])
    return np.asarray(day_at(at, _OF_MONTHS[calendar]))


def paid_early(seen: Seen, streams: pd.DataFrame) -> Array:
    """Of each stream whether what it expects next has come already: an amount like it, of that payee, which no stream
    counts, so shortly before its date."""
    rows = seen.rows("user", "payee", "day", "amount", "number", days=MOST_EARLY, users=streams["user"])
    pairs = pairs_of(rows)
    order = np.argsort(pairs, kind="stable")
    of, at = matching(pairs_of(streams), pairs[order])
    at = order[at]
    last, expected, typical, calendar = (
        streams[name].to_numpy()[of] for name in ("last", "expected", "typical", "calendar")
    )
    day, times = rows["day"][at], rows["amount"][at] / typical
    near = (day > last) & (day < expected) & (expected - day <= EARLY * _DAYS[calendar])
    found = np.flatnonzero(near & (times >= 1 / ALIKE) & (times <= ALIKE))
    of, at = of[found], at[found]
    if len(of):
        every = seen.streams
        every = every[np.isin(pairs_of(every), pairs_of(streams)[of])]
        hit = runs(every["first_hit"].to_numpy(), every["occurrences"].to_numpy())[1]
        of = of[~np.isin(rows["number"][at], seen.evidence.counted["number"][hit])]
    return np.bincount(of, minlength=len(streams)) > 0


def upcoming(seen: Seen, days: int) -> pd.DataFrame:
    """Payments expected in the coming days, at most 31, by customer and day: stream's columns, ``due`` and ``amount``
    (positive).

    Bills, subscriptions, and what is paid at a fixed price for whatever it is; not what should have come already."""
    found = seen.once("upcoming", _upcoming)
    return found[found["due"] <= seen.today + days].reset_index(drop=True)


def _upcoming(seen: Seen) -> pd.DataFrame:
    s = occurrences(seen, DAYS_AHEAD)
    user, due, fixed = (s[name].to_numpy() for name in ("user", "due", "fixed"))
    amount = -np.where(fixed, s["last_amount"], s["typical"])
    late = seen.newest[user] - s["expected"] > LATE_DAYS
    chosen = np.flatnonzero(~late & ~s["inflow"] & ((s["kind"] != REGULAR) | fixed) & (amount > 0))
    chosen = chosen[np.lexsort((due[chosen], user[chosen]))]
    return s.take(chosen).assign(amount=amount[chosen]).reset_index(drop=True)


def expected_dates(seen: Seen, days: int = 30) -> list[dict[str, Any]]:
    """Everything that is expected in the coming days, in and out, by day: date, merchant, kind, amount (positive = in),
    cadence, stream_id."""
    due = occurrences(seen, days).sort_values("due", kind="stable")
    amounts = np.where(due["fixed"], due["last_amount"], due["typical"]).round(2).tolist()
    ids = seen.stream_ids(due["stream"].to_numpy("i8")).to_pylist()
    return [
        {
            "date": EPOCH + dt.timedelta(days=day), "merchant": name, "kind": KINDS[kind], "amount": amount,
            "cadence": CALENDARS[calendar].cadence, "stream_id": stream_id,
        }
        for day, name, kind, amount, calendar, stream_id in zip(
            due["due"].tolist(), seen.names(due["merchant"]), due["kind"].tolist(), amounts,
            due["calendar"].tolist(), ids, strict=True,
        )
    ]  # fmt: skip


def paydays(seen: Seen) -> pd.DataFrame:
    """Days on which pay or a benefit came in the last 190 days, by ``payer`` (a number of customer and payee) and day:
    user, day, amount, payee, merchant, number, kind; the parts of one payer within three days are one, ``parts`` counts
    them, and the largest came on the ``main`` day."""
    return seen.once("paydays", _paydays)


def _paydays(seen: Seen) -> pd.DataFrame:
    columns = ("user", "day", "amount", "kind", "payee", "merchant", "number")
    rows = seen.rows(*columns, days=PAY_DAYS, kinds=[KIND_PAYCHECK, KIND_BENEFIT])
    # They come by customer and day: sorting by customer and payee keeps the days.
    order = np.argsort(pairs_of(rows), kind="stable")
    user, payee, day, amount = (rows[name][order] for name in ("user", "payee", "day", "amount"))
    payer = np.append(True, (np.diff(user) != 0) | (np.diff(payee) != 0))[: len(order)]
    begins = np.flatnonzero(payer | (np.diff(day, prepend=0) > SPLIT_DAYS))
    parts = np.diff(np.append(begins, len(order)))
    group = np.repeat(np.arange(len(begins)), parts)
    largest = begins.copy()
    several = parts > 1
    of_several = np.flatnonzero(several[group])
    by_amount = of_several[np.lexsort((-amount[of_several], group[of_several]))]
    largest[several] = by_amount[(np.cumsum(parts[several]) - parts[several])]
    found = {name: values[order[begins]] for name, values in rows.items()} | {
        "payer": np.cumsum(payer)[begins],
        "amount": np.bincount(group, amount),
        "parts": parts,
        "main": day[largest],
        "number": rows["number"][order[begins + parts - 1]],
    }
    return frame_of(found)


def payers(seen: Seen) -> pd.DataFrame:
    """Who pays by the calendar: user, payee, ``last`` payday, ``period`` in days, usual ``amount``, merchant and number
    of the last.

    Four paydays in the evidence, the last three gaps within a fifth of the period, which is the median of the last
    five. A payday between two of that rhythm is beside it, as a bonus is, and one of the three gaps may have a payday
    missing inside, as it has where a row was not delivered.
    """
    return seen.once("payers", _payers)


def rhythm(seen: Seen) -> pd.DataFrame:
    """Paydays but for those between two of their payer's rhythm, with the ``gap`` before each, their place
    ``from_end``, the payer's ``period`` and how far ``off`` it a gap may be."""
    return seen.once("rhythm", _rhythm)


def _rhythm(seen: Seen) -> pd.DataFrame:
    days = paydays(seen)
    days = _gaps(days.assign(day=days["main"]))  # a bonus may have come just before
    after = np.append(days["gap"].to_numpy()[1:], np.nan)[: len(days)]  # of the next payer: none
    beside = (days["gap"] + after - days["period"]).abs() <= days["off"]
    return _gaps(days[~beside].reset_index(drop=True))


def _payers(seen: Seen) -> pd.DataFrame:
    days = rhythm(seen)
    of = Groups.by(days["payer"].to_numpy())
    gap, period, off = (days[name].to_numpy() for name in ("gap", "period", "off"))
    recent, last = days["from_end"].to_numpy() < GAPS, of.last
    alike = of.total(recent & (np.abs(gap - period) <= off))
    double = of.total(recent & (np.abs(gap - 2 * period) <= off))
    usual = (period[last] >= PERIODS[0]) & (period[last] <= PERIODS[1])
    chosen = (alike + double == GAPS) & (double <= 1) & usual
    found = days.take(last[chosen])
    found = found.assign(amount=of.median(days["amount"].to_numpy())[chosen], last=found["day"].to_numpy())
    return found[["user", "payee", "last", "amount", "merchant", "number", "period"]].reset_index(drop=True)


def _gaps(days: pd.DataFrame) -> pd.DataFrame:
    """Paydays, by payer and day, with ``gap``, ``from_end``, ``period`` and ``off``."""
    payer, day = days["payer"].to_numpy(), days["day"].to_numpy()
    first = np.diff(payer, prepend=-1) != 0
    begins = np.flatnonzero(first)
    times = np.diff(np.append(begins, len(days)))
    ends = np.repeat(begins + times, times)
    gap = np.where(first, np.nan, np.diff(day, prepend=0))
    latest = (begins + times)[:, None] - np.arange(1, OF_PERIOD + 1)
    of_payer = np.where(latest >= begins[:, None], gap[np.maximum(latest, 0)], np.nan)
    period = np.repeat(_median(of_payer), times)
    off = np.maximum(SHARE_OFF * period, 2.0)
    return days.assign(gap=gap, from_end=ends - 1 - np.arange(len(days)), period=period, off=off)


def _median(values: Array) -> Array:
    """By row the median of what is known; NaN where nothing is."""
    ordered, known = np.sort(values, axis=1), (~np.isnan(values)).sum(axis=1)
    at = np.arange(len(values))
    return np.asarray(ordered[at, np.maximum(known - 1, 0) // 2] + ordered[at, known // 2]) / 2


def next_paydays(seen: Seen) -> pd.DataFrame:
    """By customer with a pay calendar: ``last`` payday, ``period`` in days, ``expected`` day after it, maybe past.

    From the income streams where there are some, for they know the day of the month; else from the pay frequency.
    """
    return seen.once("next paydays", _next_paydays)


def _next_paydays(seen: Seen) -> pd.DataFrame:
    s = seen.streams
    income = s[(s["kind"] == INCOME) & (s["status"] == MATURE)]
    second = after_last(seen, income["stream"].to_numpy(), 2)
    income = income.assign(expected=np.where(paid_early(seen, income), second, income["expected"]))
    income = income.take(np.lexsort((income["expected"], income["user"])))
    by_stream = income.take(Groups.by(income["user"].to_numpy()).begin).set_index("user")
    days = paydays(seen).groupby("user")["day"].max()
    frequency = seen.long["pay_frequency"].map(PERIOD_OF).astype("float64")
    known = frequency.dropna().index
    frame = pd.DataFrame(index=known.union(by_stream.index))
    frame["last"] = days.reindex(frame.index)
    frame["period"] = frequency.reindex(frame.index)
    by_period = by_stream["calendar"].map(dict(enumerate(_DAYS)))
    frame["period"] = frame["period"].fillna(by_period.reindex(frame.index))
    after = np.floor(frame["last"] + frame["period"] + 0.5)
    expected = by_stream["expected"].reindex(frame.index)
    # Of several sources the one that comes next; a stream that is overdue is judged by the pay of all.
    frame["expected"] = expected.where(expected.notna() & ((expected > seen.today) | frame["last"].isna()), after)
    frame["last"] = frame["last"].fillna(by_stream["last"].reindex(frame.index))
    return frame.dropna()
