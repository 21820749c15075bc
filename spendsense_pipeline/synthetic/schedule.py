"""The calendar on which money moves: months, paydays, weekends. Days are whole numbers since 1970-01-01.

What does not belong here: amounts, payees, and chance.
"""

import datetime as dt
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from spendsense_pipeline.synthetic.rng import Ints

Cadence = IntEnum(
    "Cadence", "WEEKLY BIWEEKLY SEMI_MONTHLY MONTHLY QUARTERLY ANNUAL FOUR_WEEKLY TWO_MONTHLY SEMI_ANNUAL", start=0
)
CADENCES = tuple(cadence.name.lower() for cadence in Cadence)

# How many times a month each cadence comes round; a month is a twelfth of a year.
TIMES_A_MONTH = np.array([365.25 / 84, 365.25 / 168, 2.0, 1.0, 1 / 3, 1 / 12, 365.25 / 336, 1 / 2, 1 / 6])

_WEEKS_APART = {Cadence.WEEKLY: 7, Cadence.BIWEEKLY: 14, Cadence.FOUR_WEEKLY: 28}
MONTHS_APART: dict[int, int] = {Cadence.TWO_MONTHLY: 2, Cadence.QUARTERLY: 3, Cadence.SEMI_ANNUAL: 6}

SATURDAY, SUNDAY = 5, 6
_EPOCH = dt.date(1970, 1, 1)


def weekday(day: Ints) -> Ints:
    """Monday is 0, as in Python."""
    return (day + 3) % 7


def weekday_before(day: Ints) -> Ints:
    """Saturday and Sunday become the Friday before: how payrolls avoid the weekend."""
    return day - np.maximum(weekday(day) - 4, 0)


def weekday_after(day: Ints) -> Ints:
    """Saturday and Sunday become the Monday after: how debits avoid the weekend."""
    return day + np.where(weekday(day) >= SATURDAY, 7 - weekday(day), 0)


def open_days(day: Ints, roll: str, closed: Any) -> Ints:
    """The day itself where banks are open, else the open day before (``backward``) or after (``forward``); ``closed``
    are the bank holidays."""
    rolled = np.busday_offset(day.astype("datetime64[D]"), 0, roll=roll, holidays=closed)  # type: ignore[call-overload] # roll is a literal there
    found: Ints = rolled.astype(np.int64)
    return found


@dataclass(frozen=True)
class Period:
    """The days for which rows are made, first and last included, with their months."""

    first: int
    last: int

    @classmethod
    def ending(cls, as_of: dt.date, days: int) -> "Period":
        """``days`` days up to and including ``as_of``."""
        last = (as_of - _EPOCH).days
        return cls(first=last - days + 1, last=last)

    @property
    def days(self) -> int:
        """Length in days."""
        return self.last - self.first + 1

    def covers(self, day: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Which days lie within."""
        return (day >= self.first) & (day <= self.last)

    def months(self) -> Ints:
        """Month numbers (since January 1970) from one before the first day's to one after the last day's."""
        return np.arange(month_of(np.array([self.first]))[0] - 1, month_of(np.array([self.last]))[0] + 2)


def month_of(day: Ints) -> Ints:
    """The number of a day's month since January 1970."""
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def month_start(month: Ints) -> Ints:
    """The first day of a month."""
    return month.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def day_of_month(day: Ints) -> Ints:
    """1 to 31."""
    return day - month_start(month_of(day)) + 1


def day_in_month(month: Ints, wanted: Ints) -> Ints:
    """The wanted day of a month, or its last day where the month is shorter."""
    day: Ints = np.minimum(month_start(month) + wanted - 1, month_start(month + 1) - 1)
    return day


def occurrences(cadence: Ints, anchor: Ints, period: Period) -> tuple[Ints, Ints, Ints]:
    """Every date of many standing arrangements, before any shift for weekends.

    ``anchor`` is a day of the month for monthly and rarer cadences of whole months (a quarterly one adds 100, 200 or
    300 for its month in the quarter; two-monthly and semi-annual likewise), the number of days since 1970 modulo 7,
    14 or 28 for weekly, biweekly and four-weekly, how many days before the period's end the newest annual date lies,
    and nothing for semi-monthly, which is the 15th and the last day. Dates may stick out of the period by a month:
    callers shift first and cut afterwards.

    Returns the position of the arrangement, the day, and the ordinal of the date on the calendar.
    """
    found: list[tuple[Ints, Ints, Ints]] = []
    months = period.months()
    for name in np.unique(cadence):
        chosen = np.flatnonzero(cadence == name)
        if name in _WEEKS_APART:
            step = _WEEKS_APART[name]
            turns = np.arange(period.first // step - 1, period.last // step + 2)
            days = turns[None, :] * step + anchor[chosen, None] % step
            ordinals = np.broadcast_to(turns, days.shape)
        elif name == Cadence.ANNUAL:
            turns = np.arange(period.days // 365 + 1)
            days = period.last - anchor[chosen, None] - 365 * turns[None, :]
            ordinals = np.broadcast_to(turns, days.shape)
        elif name == Cadence.SEMI_MONTHLY:
            halves = np.tile(np.array([15, 31]), len(months))
            days = np.broadcast_to(day_in_month(np.repeat(months, 2), halves), (len(chosen), 2 * len(months)))
            ordinals = np.broadcast_to(np.repeat(months, 2) * 2 + (halves == 31), days.shape)
        else:
            days = day_in_month(np.broadcast_to(months, (len(chosen), len(months))), anchor[chosen, None] % 100)
            ordinals = np.broadcast_to(months, days.shape)
        kept = (days >= period.first - 31) & (days <= period.last + 31)
        if name in MONTHS_APART:
            apart = MONTHS_APART[name]
            kept &= ordinals % apart == (anchor[chosen, None] // 100) % apart
        where = np.nonzero(kept)
        found.append((chosen[where[0]], days[where], ordinals[where]))
    if not found:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    at, day, ordinal = (np.concatenate(column) for column in zip(*found, strict=True))
    return at, day, ordinal
