"""Places on a calendar: every day has one, and every place is a day."""

import datetime as dt

import numpy as np
import pytest

from spendsense_pipeline.features.calendars import MONTH, day_at, halves, ruler_of_months
from spendsense_pipeline_tests.features.ledger import shared

EPOCH = dt.date(1970, 1, 1)
FIRST = (dt.date(2023, 12, 1) - EPOCH).days
DAYS = np.arange(FIRST, FIRST + 1200)  # holds a leap year


def date_of(day: int) -> dt.date:
    return EPOCH + dt.timedelta(days=int(day))


@pytest.fixture(scope=shared)
def places() -> np.ndarray:
    """By day, its place on the ruler of months."""
    return ruler_of_months(int(DAYS[0]), int(DAYS[-1]))[0]


def test_a_day_of_the_week_ruler_comes_back() -> None:
    assert (day_at(2 * DAYS, np.zeros(len(DAYS), bool)) == DAYS).all()


def test_places_never_go_back_in_time(places: np.ndarray) -> None:
    assert (np.diff(places) > 0).all()


def test_month_ends_are_one_period_apart(places: np.ndarray) -> None:
    ends = [place for day, place in zip(DAYS, places, strict=True) if date_of(day + 1).day == 1]
    assert set(np.diff(ends).tolist()) == {halves(MONTH)}


def test_only_the_last_days_of_a_short_month_are_laid_elsewhere(places: np.ndarray) -> None:
    back = day_at(places, np.ones(len(DAYS), bool))
    moved = [(date_of(day), date_of(later)) for day, later in zip(DAYS, back, strict=True) if day != later]
    assert {day.month for day, _ in moved} == {later.month for _, later in moved} == {2, 4, 6, 9, 11}
    assert all((later - day).days in (1, 2) for day, later in moved)


def test_a_day_the_month_lacks_is_its_last() -> None:
    january_31 = (dt.date(2026, 1, 31) - EPOCH).days
    place = ruler_of_months(january_31, january_31)[0] + halves(MONTH)  # the same day, a month later
    assert date_of(day_at(place, np.array([True]))[0]) == dt.date(2026, 2, 28)
