"""Calendars: where a date lies on a cadence, and which date a place on the calendar is.

A day is turned into one integer, its *position*, on which every cadence is an even ruler: the period is a
constant and the slot number a division. For cadences of weeks the position counts days. For cadences of months it
counts days in months that are all 31 days long, with the last three days of each month laid on 29, 30, 31: so 31
January, 28 February and 31 March are exactly one period apart. All lengths are in half days, because two paydays a
month are 15½ such days apart.

What does not belong here: what repeats on a calendar (``streams.py``), and pay frequency (``income.py``).
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import ibis

from spendsense_pipeline.features.expressions import DAY_ZERO, day_number

MONTH = 31  # days in every month of the month ruler
MOST_MOVED = 3  # days from 28 to 31, by which a date may be moved to the end of its month (27 February is the 30th)


@dataclass(frozen=True)
class Ruler:
    """One cadence; lengths in days of its ruler."""

    name: str
    cadence: str
    of_months: bool
    period: float
    tolerance: int
    reach: int  # how far apart in the period two neighbouring charges of one line may lie
    monthly_factor: float
    least_hits: int
    missable: int  # expected dates that may be missed before the stream is inactive
    consecutive: int  # consecutive hits that make it mature


# Tolerances, least hits, maturity and factors: SIGNALS.md, `recurring_streams`. Our judgement, measured in
# docs/accuracy.md: `reach` is twice the tolerance, two hits that err on different sides, and once for semi-monthly,
# where the 1st and the 11th would meet; and the order of preference, where two fit a line equally well.
RULERS = (
    Ruler("monthly", "monthly", True, MONTH, 3, 6, 1.0, 2, 1, 3),
    Ruler("weekly", "weekly", False, 7, 1, 2, 30 / 7, 2, 1, 3),
    Ruler("biweekly", "biweekly", False, 14, 1, 2, 30 / 14, 2, 1, 3),
    Ruler("semi_monthly", "semi_monthly", True, MONTH / 2, 3, 3, 2.0, 4, 1, 3),
    Ruler("four_weekly", "monthly", False, 28, 1, 2, 1.0, 2, 1, 3),
    Ruler("quarterly", "quarterly", True, 3 * MONTH, 5, 10, 1 / 3, 2, 1, 3),
    Ruler("annual", "annual", True, 12 * MONTH, 10, 20, 1 / 12, 2, 0, 2),
)


def halves(days: float) -> int:
    """Days as whole half days, the unit of positions."""
    return round(2 * days)


def rulers() -> ibis.Table:
    """``RULERS`` as a table, lengths in half days; ``pause`` is how many slots apart two hits of a line may be."""
    return ibis.memtable(
        [
            {
                "ruler": each.name,
                "rank": rank,
                "cadence": each.cadence,
                "of_months": each.of_months,
                "period": halves(each.period),
                "tolerance": halves(each.tolerance),
                "reach": halves(each.reach),
                "monthly_factor": each.monthly_factor,
                "least_hits": each.least_hits,
                "missable": each.missable,
                "pause": each.missable + 2,
                "consecutive": each.consecutive,
            }
            for rank, each in enumerate(RULERS)
        ]
    )


def length_of_month(year: Any, month: Any) -> Any:
    """Days in a month of the Gregorian calendar."""
    leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    return ibis.cases((month == 2, leap.ifelse(29, 28)), (month.isin([4, 6, 9, 11]), 30), else_=31)


def alignment(date: Any) -> Any:
    """Half days by which the last three days of the month are moved, to lie on 29, 30, 31: 27 February is the 30th."""
    day, length = date.day().cast("int64"), length_of_month(date.year(), date.month())
    return 2 * (day >= length - 2).ifelse(MONTH - length, 0).cast("int64")


def month_position(date: Any) -> Any:
    """Half days on the month ruler."""
    months = date.year().cast("int64") * 12 + date.month().cast("int64") - 1
    return 2 * (months * MONTH + date.day().cast("int64") - 1) + alignment(date)


def day_position(date: Any) -> Any:
    """Half days on the day ruler."""
    return 2 * day_number(date)


def position(date: Any, of_months: Any) -> Any:
    """Half days on the ruler of months or of days."""
    return of_months.ifelse(month_position(date), day_position(date))


def date_at(at: Any, of_months: Any) -> Any:
    """The date of a position; a day that the month lacks is the month's last."""
    days = (at / 2).floor().cast("int64")
    months = (days / MONTH).floor().cast("int64")
    year = (months / 12).floor().cast("int64")
    month = months % 12 + 1
    day = ibis.least(days % MONTH + 1, length_of_month(year, month))
    return of_months.ifelse(
        ibis.date(year.cast("int32"), month.cast("int32"), day.cast("int32")),
        (ibis.literal(DAY_ZERO) + days.as_interval("D")).cast("date"),
    )


def position_of(day: dt.date, of_months: Any) -> Any:
    """``position`` of one known day."""
    return position(ibis.literal(day), of_months)
