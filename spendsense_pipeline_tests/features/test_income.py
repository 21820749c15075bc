"""Pay: calendars, gaps, variability and monthly income, from paychecks alone."""

import datetime as dt
import random
import statistics
from typing import Any

import pytest

from spendsense_pipeline.features.income import pay, paychecks
from spendsense_pipeline_tests.features.ledger import AS_OF, DAY, MONEY, TEXT, every, table

SCHEMA = {
    "transaction_id": TEXT,
    "user_id": TEXT,
    "date": DAY,
    "amount": MONEY,
    "payee": TEXT,
    "merchant": TEXT,
    "kind": TEXT,
}
LAST = dt.date(2026, 6, 19)  # a Friday, eleven days before AS_OF


def months(day: int, times: int) -> list[dt.date]:
    """A day of the months up to June 2026; 31 is the last day of each."""
    firsts = [dt.date(2026 + (5 - back) // 12, (5 - back) % 12 + 1, 1) for back in range(times)]
    ends = [(first.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1) for first in firsts]
    return [min(first.replace(day=min(day, end.day)), end) for first, end in zip(firsts, ends, strict=True)]


def friday_before(date: dt.date) -> dt.date:
    return date - dt.timedelta(days=max(0, date.weekday() - 4))


def checks(payer: str, dates: list[dt.date], *amounts: float) -> list[tuple[str, dt.date, float]]:
    return [(payer, date, amounts[number % len(amounts)]) for number, date in enumerate(dates)]


SCENARIOS: dict[str, list[tuple[str, dt.date, float]]] = {
    "weekly": checks("acme", every(7, 26, LAST), 700),
    "biweekly": checks("acme", every(14, 13, LAST), 2000),
    "biweekly, one holiday": checks(
        "acme",
        [
            LAST,
            *[d - dt.timedelta(days=d == dt.date(2026, 5, 22)) for d in every(14, 12, LAST - dt.timedelta(days=14))],
        ],
        2000,
    ),
    "semi-monthly": checks("acme", [d for d in months(15, 6) + months(31, 7) if d <= AS_OF], 2000),
    "semi-monthly, weekends before": checks(
        "acme", [friday_before(d) for d in months(15, 6) + months(31, 7) if d <= AS_OF], 2000
    ),
    "first and fifteenth": checks("acme", months(1, 6) + months(15, 6), 2000),
    "monthly": checks("acme", months(31, 6), 4000),
    "four-weekly": checks("acme", every(28, 6, LAST), 4000),
    "monthly with a bonus": checks("acme", months(28, 6), 4000) + checks("acme", [dt.date(2026, 3, 10)], 9000),
    "two paydays a fortnight apart": checks("acme", every(14, 2, LAST), 2000),
    "two jobs": checks("acme", every(14, 13, LAST), 2000) + checks("cafe", months(3, 6), 600),
    "gig": checks(
        "dash", [AS_OF - dt.timedelta(days=d) for d in (3, 4, 9, 17, 19, 30, 52, 60, 61, 88, 120)], 90, 200, 40
    ),
    "daily": checks("dash", every(1, 150, AS_OF), 80, 120),
    "renamed": checks("acme inc", every(14, 13, LAST)[6:], 2000) + checks("newco llc", every(14, 6, LAST), 2100),
    "changed job after a pause": checks("acme inc", every(14, 13, LAST)[8:], 2000)
    + checks("newco", every(14, 4, LAST), 2100),
    "stopped": checks("acme", every(14, 9, AS_OF - dt.timedelta(days=60)), 2000),
    "long ago": checks("acme", every(14, 9, AS_OF - dt.timedelta(days=200)), 2000),
    "one": checks("acme", [LAST], 2000),
    "every fifty days": checks("acme", every(50, 4, LAST), 5000),
    "one steady, one wild": checks("acme", every(14, 13, LAST), 2000)
    + checks("studio", every(30, 4, LAST - dt.timedelta(days=3)), 500, 1500),
    "split over two accounts": checks("acme", every(14, 13, LAST), 1500) + checks("acme", every(14, 13, LAST), 500),
}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    made = [
        {"user_id": user, "payee": payer, "date": date, "amount": amount, "kind": "paycheck", "merchant": payer}
        for user, paid in SCENARIOS.items()
        for payer, date, amount in paid
    ]
    made.append({"user_id": "weekly", "payee": "acme", "date": AS_OF, "amount": 5.0, "kind": "refund"})
    return [{"transaction_id": f"t{number}", **row} for number, row in enumerate(made)]


@pytest.fixture(scope="module")
def found(rows: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    listed = pay(table(rows, SCHEMA), AS_OF, [30, 180, 365]).to_pyarrow().to_pylist()
    assert len(listed) == len({(row["user_id"], row["window_days"]) for row in listed})
    return {(row["user_id"], row["window_days"]): row for row in listed}


@pytest.mark.parametrize(
    ("scenario", "frequency"),
    [
        ("weekly", "weekly"),
        ("biweekly", "biweekly"),
        ("biweekly, one holiday", "biweekly"),
        ("two paydays a fortnight apart", "biweekly"),
        ("semi-monthly", "semi_monthly"),
        ("semi-monthly, weekends before", "semi_monthly"),
        ("first and fifteenth", "semi_monthly"),
        ("monthly", "monthly"),
        ("four-weekly", "monthly"),
        ("monthly with a bonus", "monthly"),
        ("two jobs", "biweekly"),
        ("renamed", "biweekly"),
        ("split over two accounts", "biweekly"),
        ("gig", "irregular"),
        ("daily", "irregular"),
        ("every fifty days", "irregular"),
        ("one", None),
    ],
)
def test_pay_frequency(found: dict[tuple[str, int], dict[str, Any]], scenario: str, frequency: str | None) -> None:
    assert found[scenario, 30]["pay_frequency"] == frequency
    assert found[scenario, 180]["pay_frequency"] == frequency


def test_a_short_window_sees_a_gap_that_is_longer_than_itself(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert found["every fifty days", 30]["median_pay_gap_days"] == 50


def test_an_open_gap_counts_when_it_is_longer(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert found["stopped", 30]["median_pay_gap_days"] == 60
    assert found["biweekly", 30]["median_pay_gap_days"] == 14


def test_one_payday_has_no_gap_and_is_no_payroll(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert found["one", 180]["median_pay_gap_days"] is None
    assert found["one", 180]["payroll_detected"] is False
    assert found["biweekly", 30]["payroll_detected"] is True


def test_pay_before_the_evidence_is_not_looked_at(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert ("long ago", 30) not in found
    assert ("long ago", 180) not in found
    assert found["long ago", 365]["pay_frequency"] == "biweekly"  # a longer window looks further back


@pytest.mark.parametrize("scenario", ["biweekly", "two jobs", "semi-monthly", "split over two accounts"])
def test_steady_jobs_do_not_vary(found: dict[tuple[str, int], dict[str, Any]], scenario: str) -> None:
    assert found[scenario, 180]["income_variability"] == pytest.approx(0)


def test_gig_pay_varies_and_a_single_check_says_nothing(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert found["gig", 180]["income_variability"] > 0.3
    assert found["one", 180]["income_variability"] is None


def test_variability_is_per_payer_and_weighted_by_amount(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    wild = statistics.stdev([500, 1500, 500, 1500]) / 1000
    assert found["one steady, one wild", 180]["income_variability"] == pytest.approx(wild * 4_000 / (4_000 + 26_000))


def monthly_income(row: dict[str, Any], months: float) -> float:
    return row["steady_income"] + row["other_income"] / months


def test_a_biweekly_salary_is_the_same_a_month_in_every_window(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    # three paychecks fell into the calendar month, two into most: the month does not matter
    assert monthly_income(found["biweekly", 30], 1) == pytest.approx(2000 * 30 / 14)
    assert monthly_income(found["biweekly", 180], 6) == pytest.approx(2000 * 30 / 14)


def test_a_bonus_is_not_multiplied(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert monthly_income(found["monthly with a bonus", 180], 6) == pytest.approx(4000 * 30 / (365.25 / 12))


def test_two_jobs_add_up(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert monthly_income(found["two jobs", 30], 1) == pytest.approx(2000 * 30 / 14 + 600 * 30 / (365.25 / 12))


def test_an_employer_renamed_on_an_unbroken_calendar_is_one_payer(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert monthly_income(found["renamed", 30], 1) == pytest.approx(2000 * 30 / 14)  # median of 7 × 2000, 6 × 2100
    assert found["renamed", 30]["income_variability"] > 0  # one payer, whose pay rose


def test_a_new_job_after_a_pause_is_another_payer(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert found["changed job after a pause", 180]["income_variability"] == pytest.approx(0)
    assert monthly_income(found["changed job after a pause", 30], 1) == pytest.approx(2100 * 30 / 14)


def test_who_no_longer_pays_is_no_monthly_income(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert found["stopped", 180]["steady_income"] == 0
    assert monthly_income(found["stopped", 30], 1) == 0
    # what it paid in the window is other pay, as pay without a calendar is
    assert found["stopped", 180]["other_income"] == 9 * 2000


def test_who_is_two_periods_late_still_pays_and_a_day_later_no_longer(rows: list[dict[str, Any]]) -> None:
    table_ = table([row for row in rows if row["user_id"] == "biweekly"], SCHEMA)
    for late, income in ((28, 2000 * 30 / 14), (29, 0)):
        (row,) = pay(table_, LAST + dt.timedelta(days=late), [30]).to_pyarrow().to_pylist()
        assert row["steady_income"] == pytest.approx(income, abs=1e-6)


def test_pay_without_a_calendar_is_what_came_in_the_window(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    inside = [amount for _, date, amount in SCENARIOS["gig"] if (AS_OF - date).days < 30]
    assert found["gig", 30]["other_income"] == pytest.approx(sum(inside))
    assert found["gig", 30]["steady_income"] == 0


def test_the_paychecks_themselves_can_be_named(rows: list[dict[str, Any]]) -> None:
    named = paychecks(table(rows, SCHEMA), AS_OF, 30).to_pandas()
    weekly = named[named.user_id == "weekly"]
    assert len(weekly) == 25  # of the last 180 days
    assert weekly.in_window.sum() == 3
    assert set(weekly.payer) == {"acme"}


def test_the_order_of_rows_does_not_matter(
    rows: list[dict[str, Any]], found: dict[tuple[str, int], dict[str, Any]]
) -> None:
    shuffled = random.Random(3).sample(rows, len(rows))
    again = pay(table(shuffled, SCHEMA), AS_OF, [30, 180, 365]).to_pyarrow().to_pylist()
    assert {(row["user_id"], row["window_days"]): rounded(row) for row in again} == {
        key: rounded(row) for key, row in found.items()
    }


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 9) if isinstance(value, float) else value for name, value in row.items()}
