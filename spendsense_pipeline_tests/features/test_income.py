"""Pay: calendars, gaps, variability and monthly income, from paychecks alone."""

import datetime as dt
import random
import statistics
from typing import Any

import pytest

from spendsense_pipeline_tests.features.ledger import AS_OF, Ledger, Row, every, monthly, shared

LAST = dt.date(2026, 6, 19)  # a Friday, eleven days before AS_OF


MID_AND_END = monthly(15, 6) + monthly(31, 7)


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
    "biweekly, two days early for two holidays": checks(
        "acme", [day - dt.timedelta(days=2 * (n in (1, 3))) for n, day in enumerate(every(14, 13, LAST))], 2000
    ),
    "weekly, two days earlier since spring": checks(
        "acme", [day - dt.timedelta(days=2 * (n >= 13)) for n, day in enumerate(every(7, 26, LAST))], 700
    ),
    "semi-monthly": checks("acme", MID_AND_END, 2000),
    "semi-monthly, weekends before": checks("acme", [friday_before(date) for date in MID_AND_END], 2000),
    "first and fifteenth": checks("acme", monthly(1, 6) + monthly(15, 6), 2000),
    "monthly": checks("acme", monthly(31, 6), 4000),
    "four-weekly": checks("acme", every(28, 6, LAST), 4000),
    "some four weeks apart": checks("acme", every(28, 4, LAST), 4000),
    "monthly with a bonus": checks("acme", monthly(28, 6), 4000) + checks("acme", [dt.date(2026, 3, 10)], 9000),
    "two paydays a fortnight apart": checks("acme", every(14, 2, LAST), 2000),
    "two jobs": checks("acme", every(14, 13, LAST), 2000) + checks("cafe", monthly(3, 6), 600),
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


def paid(scenario: str) -> Ledger:
    """A ledger of the one customer of a scenario."""
    ledger = Ledger()
    (account,) = ledger.customer(scenario, "checking")
    for payer, date, amount in SCENARIOS[scenario]:
        ledger.row(account, date, amount, payer, "INCOME_WAGES")
    ledger.row(account, AS_OF, -9, "Deli", "FOOD_AND_DRINK")  # the newest row, up to which a gap is open
    return ledger


def everybody() -> Ledger:
    """A ledger of all scenarios."""
    ledger = Ledger()
    for scenario in SCENARIOS:
        alone = paid(scenario)
        for name, rows in alone.rows.items():
            ledger.rows[name] += [{**row, "transaction_id": f"{scenario} {number}"} for number, row in enumerate(rows)]
    return ledger


Found = dict[tuple[str, int], Row]


@pytest.fixture(scope=shared)
def found() -> Found:
    return everybody().features((30, 180, 365))


@pytest.mark.parametrize(
    ("scenario", "frequency"),
    [
        ("weekly", "weekly"),
        ("biweekly", "biweekly"),
        ("biweekly, one holiday", "biweekly"),
        ("biweekly, two days early for two holidays", "biweekly"),
        ("weekly, two days earlier since spring", "weekly"),
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
def test_pay_frequency(found: Found, scenario: str, frequency: str | None) -> None:
    assert found[scenario, 30]["pay_frequency"] == frequency
    assert found[scenario, 180]["pay_frequency"] == frequency


def test_a_short_window_sees_a_gap_that_is_longer_than_itself(found: Found) -> None:
    assert found["every fifty days", 30]["median_pay_gap_days"] == 50


def test_an_open_gap_counts_when_it_is_longer(found: Found) -> None:
    assert found["stopped", 30]["median_pay_gap_days"] == 60
    assert found["biweekly", 30]["median_pay_gap_days"] == 14


def test_one_payday_has_no_gap_and_is_no_payroll(found: Found) -> None:
    assert found["one", 180]["median_pay_gap_days"] is None
    assert found["one", 180]["payroll_detected"] is False
    assert found["biweekly", 30]["payroll_detected"] is True


def test_pay_before_the_evidence_is_not_looked_at(found: Found) -> None:
    for window in (30, 180):
        row = found["long ago", window]
        assert (row["payroll_detected"], row["pay_frequency"], row["avg_monthly_income"]) == (False, None, None)
    assert found["long ago", 365]["pay_frequency"] == "biweekly"  # a longer window looks further back


@pytest.mark.parametrize("scenario", ["biweekly", "two jobs", "semi-monthly", "split over two accounts"])
def test_steady_jobs_do_not_vary(found: Found, scenario: str) -> None:
    assert found[scenario, 180]["income_variability"] == pytest.approx(0)


def test_gig_pay_varies_and_a_single_check_says_nothing(found: Found) -> None:
    assert found["gig", 180]["income_variability"] > 0.3
    assert found["one", 180]["income_variability"] is None


def test_variability_is_per_payer_and_weighted_by_amount(found: Found) -> None:
    wild = statistics.stdev([500, 1500, 500, 1500]) / 1000
    assert found["one steady, one wild", 180]["income_variability"] == pytest.approx(wild * 4_000 / (4_000 + 26_000))


def cents(amount: float) -> Any:
    return pytest.approx(amount, abs=0.0051)


def test_a_biweekly_salary_is_the_same_a_month_in_every_window(found: Found) -> None:
    # three paychecks fell into the calendar month, two into most: the month does not matter
    assert found["biweekly", 30]["avg_monthly_income"] == cents(2000 * 30 / 14)
    assert found["biweekly", 180]["avg_monthly_income"] == cents(2000 * 30 / 14)


def test_a_bonus_is_not_multiplied(found: Found) -> None:
    assert found["four-weekly", 180]["avg_monthly_income"] == cents(4000 * 30 / 28)
    assert found["some four weeks apart", 180]["avg_monthly_income"] == cents(4000 * 30 / (365.25 / 12))
    assert found["monthly with a bonus", 180]["avg_monthly_income"] == cents(4000 * 30 / (365.25 / 12))


def test_two_jobs_add_up(found: Found) -> None:
    assert found["two jobs", 30]["avg_monthly_income"] == cents(2000 * 30 / 14 + 600 * 30 / (365.25 / 12))


def test_an_employer_renamed_on_an_unbroken_calendar_is_one_payer(found: Found) -> None:
    assert found["renamed", 30]["avg_monthly_income"] == cents(2000 * 30 / 14)  # median of 7 × 2000, 6 × 2100
    assert found["renamed", 30]["income_variability"] > 0  # one payer, whose pay rose


def test_a_new_job_after_a_pause_is_another_payer(found: Found) -> None:
    assert found["changed job after a pause", 180]["income_variability"] == pytest.approx(0)
    assert found["changed job after a pause", 30]["avg_monthly_income"] == cents(2100 * 30 / 14)


def test_who_no_longer_pays_is_no_monthly_income(found: Found) -> None:
    assert found["stopped", 30]["avg_monthly_income"] == 0
    # what it paid in the window is other pay, as pay without a calendar is
    assert found["stopped", 180]["avg_monthly_income"] == cents(9 * 2000 / (172 / 30))


def test_who_is_two_periods_late_still_pays_and_a_day_later_no_longer() -> None:
    for late, income in ((28, 2000 * 30 / 14), (29, 2000)):  # the paycheck of 29 days ago is other pay
        ledger, day = paid("biweekly"), LAST + dt.timedelta(days=late)
        ledger.row(ledger.rows["accounts"][0]["account_id"], day, -9, "Deli", "FOOD_AND_DRINK")
        (row,) = ledger.signals((30,), day).features.to_pylist()
        assert row["avg_monthly_income"] == cents(income)


def test_pay_without_a_calendar_is_what_came_in_the_window(found: Found) -> None:
    inside = [amount for _, date, amount in SCENARIOS["gig"] if (AS_OF - date).days < 30]
    assert found["gig", 30]["avg_monthly_income"] == cents(sum(inside))


def test_the_paychecks_themselves_can_be_named() -> None:
    ledger = paid("weekly")
    (account,) = (row["account_id"] for row in ledger.rows["accounts"])
    refund = ledger.row(account, AS_OF, 5, "acme", "GENERAL_MERCHANDISE")
    kinds = ledger.kinds()
    assert kinds.pop(refund) == "refund"
    assert list(kinds.values()) == ["paycheck"] * 26 + ["other_out"]


def test_the_order_of_rows_does_not_matter(found: Found) -> None:
    ledger = everybody()
    random.Random(3).shuffle(ledger.rows["transactions"])
    assert ledger.features((30, 180, 365)) == found


def test_deposits_that_name_nobody_leave_income_unknown_however_regular() -> None:
    ledger = Ledger()
    (account,) = ledger.customer("nameless", "checking")
    for date in monthly(14, 12):
        ledger.row(account, date, 18642, None, "TRANSFER_IN_DEPOSIT", category_primary="TRANSFER_IN")
    signals = ledger.signals()
    assert signals.streams.num_rows == 0
    for row in signals.features.to_pylist():
        assert (row["avg_monthly_income"], row["regular_income"], row["payroll_detected"]) == (None, None, False)
