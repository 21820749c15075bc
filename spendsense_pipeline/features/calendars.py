"""Calendars: where a day lies on a cadence, and which day a place on the calendar is.

A day is turned into one whole number, its *place*, on which every cadence is an even ruler: the period is a constant
and the slot a division. For cadences of weeks the place counts days. For cadences of months it counts days in months
that are all 31 days long, with the last three days of each month on 29, 30, 31: so 31 January, 28 February and 31 March
are exactly one period apart. All lengths are in half days, because two paydays a month are 15½ such days apart.

What does not belong here: what repeats on a calendar (``streams.py``), and pay frequency (``pay.py``).
"""

from typing import Any, NamedTuple

import numpy as np

from spendsense_pipeline.features.arrays import constant

MONTH = 31  # days in every month of the ruler of months
MOST_MOVED = 3  # days from 28 to 31, by which a day may be moved to the end of its month (27 February is the 30th)


class Calendar(NamedTuple):
    """One cadence; lengths in days of its ruler."""

    cadence: str
    of_months: bool
    period: float
    tolerance: int
    reach: int  # how far apart in the period two neighbouring charges of one line may lie
    monthly_factor: float
    least_hits: int
    missable: int  # expected dates that may be missed before the stream is inactive
    consecutive: int  # consecutive hits that make it mature


# Tolerances, least hits, maturity and factors: docs/signals.md, `recurring_streams`. Our judgement, measured in
# docs/accuracy.md: `reach` is twice the tolerance, two hits that err on different sides, and once for semi-monthly,
# where the 1st and the 11th would meet; and the order of preference, where two fit a line equally well.
CALENDARS = (
    Calendar("monthly", True, MONTH, 3, 6, 1.0, 2, 1, 3),
    Calendar("weekly", False, 7, 1, 2, 30 / 7, 2, 1, 3),
    Calendar("biweekly", False, 14, 1, 2, 30 / 14, 2, 1, 3),
    Calendar("semi_monthly", True, MONTH / 2, 3, 3, 2.0, 4, 1, 3),
    Calendar("four_weekly", False, 28, 3, 6, 30 / 28, 5, 1, 3),
    Calendar("two_monthly", True, 2 * MONTH, 4, 8, 1 / 2, 2, 1, 3),
    Calendar("quarterly", True, 3 * MONTH, 5, 10, 1 / 3, 2, 1, 3),
    Calendar("semi_annual", True, 6 * MONTH, 8, 16, 1 / 6, 2, 0, 2),
    Calendar("annual", True, 12 * MONTH, 10, 20, 1 / 12, 2, 0, 2),
)
(
    MONTHLY, WEEKLY, BIWEEKLY, SEMI_MONTHLY, FOUR_WEEKLY, TWO_MONTHLY, QUARTERLY, SEMI_ANNUAL, ANNUAL,
) = range(len(CALENDARS))  # fmt: skip


def halves(days: float) -> int:
    """Days as whole half days, the unit of places."""
    return round(2 * days)


# By calendar, as kernels read them; lengths in half days.
OF_MONTHS = constant([each.of_months for each in CALENDARS])
PERIOD = constant([halves(each.period) for each in CALENDARS])
TOLERANCE = constant([halves(each.tolerance) for each in CALENDARS])
REACH = constant([halves(each.reach) for each in CALENDARS])
LEAST_HITS = constant([each.least_hits for each in CALENDARS])
PAUSE = constant([each.missable + 2 for each in CALENDARS])  # slots from one hit of a line to the next, at most


class Ruler(NamedTuple):
    """By day, from ``first_day`` on: its place on the ruler of months, and by how much its month's end was moved."""

    first_day: int
    place: Any
    moved: Any


def ruler_of_months(first: int, last: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Place and move in half days of each day from first to last (days since 1970)."""
    day = np.arange(first, last + 1).astype("datetime64[D]")
    month = day.astype("datetime64[M]")
    at = (day - month.astype("datetime64[D]")).astype("i8")
    length = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype("i8")
    moved = np.where(at + 1 >= length - 2, 2 * (MONTH - length), 0)
    return 2 * ((month.astype("i8") + 1970 * 12) * MONTH + at) + moved, moved


def places_of(days: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Places in half days of days (since 1970) on the ruler of months."""
    if not len(days):
        return np.empty(0, "i8")
    first = int(days.min())
    return ruler_of_months(first, int(days.max()))[0][days - first]


def day_at(place: np.ndarray[Any, Any], of_months: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The day of a place; a day that the month lacks is the month's last."""
    days = np.floor(place / 2).astype("i8")
    month = days // MONTH
    low, high = int(month.min(initial=0)), int(month.max(initial=0))
    months = np.arange(low - 1970 * 12, high + 2 - 1970 * 12).astype("datetime64[M]")
    begins = months.astype("datetime64[D]").astype("i8")  # each month once: turning it into a day is what costs
    first, after = begins[month - low], begins[month - low + 1]
    return np.where(of_months, first + np.minimum(days % MONTH, after - first - 1), days)
