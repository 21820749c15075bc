"""Places on a calendar: every day has one, and every place is a day."""

import datetime as dt

import ibis
import pandas as pd
import pytest

from spendsense_pipeline.features.cadence import date_at, month_position, position


@pytest.fixture(scope="module")
def days() -> pd.DataFrame:
    every = [dt.date(2023, 12, 1) + dt.timedelta(days=n) for n in range(1200)]  # holds a leap year
    t = ibis.memtable({"date": every}, schema={"date": "date"})
    t = t.mutate(weeks=position(t.date, ibis.literal(False)), months=month_position(t.date))
    t = t.mutate(of_weeks=date_at(t.weeks, ibis.literal(False)), of_months=date_at(t.months, ibis.literal(True)))
    return ibis.duckdb.connect().to_pyarrow(t).to_pandas()


def test_a_day_of_the_week_ruler_comes_back(days: pd.DataFrame) -> None:
    assert (days.of_weeks == days.date).all()


def test_positions_never_go_back_in_time(days: pd.DataFrame) -> None:
    assert (days.sort_values("date").months.diff().dropna() > 0).all()


def test_month_ends_are_one_period_apart(days: pd.DataFrame) -> None:
    ends = days[[(day + dt.timedelta(days=1)).day == 1 for day in days.date]]
    assert set(ends.months.diff().dropna()) == {62}


def test_only_the_last_days_of_a_short_month_are_laid_elsewhere(days: pd.DataFrame) -> None:
    moved = days[days.of_months != days.date]
    assert {day.month for day in moved.date} == {2, 4, 6, 9, 11}
    assert {day.month for day in moved.of_months} == {2, 4, 6, 9, 11}
    assert all((later - day).days in (1, 2) for day, later in zip(moved.date, moved.of_months, strict=True))


def test_a_day_the_month_lacks_is_its_last() -> None:
    con = ibis.duckdb.connect()
    place = month_position(ibis.literal(dt.date(2026, 1, 31))) + 62  # the same day, a month later
    assert con.to_pyarrow(date_at(place, ibis.literal(True))).as_py() == dt.date(2026, 2, 28)
