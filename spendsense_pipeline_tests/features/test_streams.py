"""Recurring streams. Every case is a customer of one ledger that is looked at once, on ``AS_OF``."""

import datetime as dt
import random
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import ibis
import pytest

from spendsense_pipeline import contracts
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.features.signals import signals_of
from spendsense_pipeline_tests.features import ledger as ledgers
from spendsense_pipeline_tests.features.ledger import Ledger, Row, shared, shifted, streams_by_customer

AS_OF = dt.date(2026, 11, 20)
LEDGER = Ledger(AS_OF)
ACCOUNTS: dict[tuple[str, str], str] = {}


def given(
    customer: str,
    payee: str | None,
    dates: Iterable[dt.date],
    amounts: float | Sequence[float],
    primary: str | None = "ENTERTAINMENT",
    detailed: str = "",
    account: str = "checking",
    **facts: Any,
) -> None:
    """Add rows of a payee to the ledger of this file."""
    dates = list(dates)
    amounts = [amounts] * len(dates) if isinstance(amounts, (int, float)) else amounts
    if all(customer != user for user, _ in ACCOUNTS):
        LEDGER.customer(customer)
    if (customer, account) not in ACCOUNTS:
        ACCOUNTS[customer, account] = LEDGER.account(customer, account.rstrip(" 12"))
    for date, amount in zip(dates, amounts, strict=True):
        LEDGER.row(ACCOUNTS[customer, account], date, amount, payee, detailed, category_primary=primary, **facts)


def without_category(last: int) -> None:
    """Take the category off the last rows."""
    for row in LEDGER.rows["transactions"][-last:]:
        row["category_primary"] = row["category_detailed"] = None


def monthly(day: int, times: int, last: tuple[int, int] = (2026, 11), every: int = 1) -> list[dt.date]:
    """``times`` dates on one day of the month, oldest first; a day the month lacks is its last."""
    return ledgers.monthly(day, times, last, every)


def days(first: dt.date, every: int, times: int) -> list[dt.date]:
    return [first + dt.timedelta(days=every * n) for n in range(times)]


class Found:
    """Streams and occurrences of the ledger, looked up by customer."""

    def __init__(self, ledger: Ledger, as_of: dt.date) -> None:
        self.ledger = ledger
        self.table = signals_of(ledger.customers(), [as_of]).streams
        self.streams: list[Row] = self.table.to_pylist()
        self._by_customer = streams_by_customer(signals_of(ledger.customers(), [as_of]))

    @cached_property
    def occurrences(self) -> list[ledgers.Occurrences]:
        return self.ledger.occurrences()

    def of(self, customer: str) -> list[Row]:
        assert any(customer == user for user, _ in ACCOUNTS), customer
        return self._by_customer[customer]

    def only(self, customer: str) -> Row:
        (stream,) = self.of(customer)
        return stream


@pytest.fixture(scope=shared)
def found() -> Found:
    return Found(LEDGER, AS_OF)


def ahead(day: int) -> dt.date:
    return dt.date(2026, 12, day)


# --- calendars -------------------------------------------------------------------------------------------------

given("plain", "Netflix", monthly(15, 6), -15.49)


def test_a_monthly_charge_is_a_mature_subscription(found: Found) -> None:
    stream = found.only("plain")
    assert stream["kind"] == "subscription"
    assert (stream["cadence"], stream["status"], stream["occurrences"]) == ("monthly", "mature", 6)
    assert (stream["first_date"], stream["last_date"]) == (dt.date(2026, 6, 15), dt.date(2026, 11, 15))
    assert stream["expected_next_date"] == ahead(15)
    assert stream["typical_amount"] == stream["last_amount"] == -15.49
    assert stream["monthly_cost"] == 15.49
    assert stream["price_change"] is None
    assert stream["merchant"] == "Netflix"
    assert 0.9 < stream["confidence"] <= 1


given("month ends", "Gym", monthly(31, 10, (2026, 10)), -30.0)
given("leap day", "Gym", [dt.date(2026, 1, 31), dt.date(2026, 2, 28), dt.date(2026, 3, 31)], -30.0)


def test_month_ends_31_28_31_are_one_calendar(found: Found) -> None:
    stream = found.only("month ends")
    assert (stream["cadence"], stream["occurrences"]) == ("monthly", 10)
    assert stream["expected_next_date"] == dt.date(2026, 11, 30)
    assert found.only("leap day")["occurrences"] == 3


given("weekends", "Spotify", shifted(monthly(14, 9), [0, 2, -1, 3, 0, -3, 1, 2, 0]), -11.99)


def test_weekends_and_holidays_move_a_charge_by_up_to_three_days(found: Found) -> None:
    stream = found.only("weekends")
    assert (stream["cadence"], stream["occurrences"], stream["status"]) == ("monthly", 9, "mature")


given("weekly", "Meal Box", days(dt.date(2026, 9, 4), 7, 11), -49.0)
given("biweekly", "Cleaner", shifted(days(dt.date(2026, 7, 3), 14, 10), [0, 0, 1, 0, 0, -1, 0, 0, 0, 0]), -80.0)
given("four weekly", "Phone Card", days(dt.date(2026, 3, 20), 28, 9), -20.0)
given("annual", "Domain", [dt.date(2025, 3, 2), dt.date(2026, 3, 8)], -120.0)
given("quarterly", "Vitamins", monthly(9, 3, (2026, 10), every=3), -60.0)
given("two-monthly", "Vitamins", monthly(9, 4, (2026, 11), every=2), -60.0)
given("semi-annual", "Car Club", monthly(9, 2, (2026, 10), every=6), -300.0)


@pytest.mark.parametrize(
    ("customer", "cadence", "monthly_cost"),
    [
        ("weekly", "weekly", 49 * 30 / 7),
        ("biweekly", "biweekly", 80 * 30 / 14),
        ("four weekly", "four_weekly", 20 * 30 / 28),
        ("two-monthly", "two_monthly", 30),
        ("semi-annual", "semi_annual", 50),
        ("annual", "annual", 10),
        ("quarterly", "quarterly", 20),
    ],
)
def test_each_cadence_is_named_and_costed(found: Found, customer: str, cadence: str, monthly_cost: float) -> None:
    stream = found.only(customer)
    assert (stream["cadence"], stream["status"]) == (cadence, "mature")
    assert stream["monthly_cost"] == pytest.approx(monthly_cost, abs=0.005)


given("quarterly, five days off", "Vitamins", shifted(monthly(15, 5, (2026, 10), every=3), [0, 5, -5, 0, 5]), -60.0)
given("annual, ten days off", "Domain", [dt.date(2024, 3, 5), dt.date(2025, 3, 15), dt.date(2026, 3, 5)], -120.0)
given("weekly, two days off", "Meal Box", shifted(days(dt.date(2026, 9, 4), 7, 11), [0, 2, -2] * 3 + [2, -2]), -49.0)


def test_a_cadence_tolerates_so_many_days_and_no_more(found: Found) -> None:
    quarterly, annual = found.only("quarterly, five days off"), found.only("annual, ten days off")
    assert (quarterly["cadence"], quarterly["occurrences"]) == ("quarterly", 5)
    assert (annual["cadence"], annual["occurrences"]) == ("annual", 3)
    assert found.of("weekly, two days off") == []


_a_third_missing = [date for number, date in enumerate(monthly(10, 9)) if number % 3 != 1]
given("a third missing", "Hulu", _a_third_missing, -7.99)
_half_missing = [date for date in monthly(10, 10) if date.month in (2, 3, 6, 7, 10, 11)]
given("more than a third missing", "Hulu", _half_missing, -7.99)


def test_at_most_a_third_of_the_dates_is_missing(found: Found) -> None:
    assert found.only("a third missing")["occurrences"] == 6
    assert found.of("more than a third missing") == []


_odd_days = [
    (3, 2),
    (4, 3),
    (4, 24),
    (5, 29),
    (6, 3),
    (6, 25),
    (7, 6),
    (7, 21),
    (8, 4),
    (8, 27),
    (9, 26),
    (10, 3),
    (10, 30),
]
given("one price, any day", "Arcade", [*monthly(14, 8), *(dt.date(2026, m, d) for m, d in _odd_days)], -20.0)


def test_a_line_explains_three_quarters_of_the_rows_at_its_price(found: Found) -> None:
    assert found.of("one price, any day") == []


def test_annual_is_mature_with_two_hits_and_quarterly_with_three(found: Found) -> None:
    assert (found.only("annual")["occurrences"], found.only("quarterly")["occurrences"]) == (2, 3)
    assert found.only("annual")["expected_next_date"] == dt.date(2027, 3, 5)


given("two hits", "Hulu", monthly(3, 2), -7.99)
given("two hits, long ago", "Hulu", monthly(3, 2, (2026, 5)), -7.99)
given("two hits, four months apart", "Hulu", monthly(3, 2, every=4), -7.99)


def test_two_hits_are_early_and_vanish_when_they_stop(found: Found) -> None:
    assert found.only("two hits")["status"] == "early"
    assert found.of("two hits, long ago") == []
    assert found.of("two hits, four months apart") == []


given("skipped one", "Hulu", [d for d in monthly(10, 8) if d.month != 9], -7.99)
given("missed one", "Hulu", monthly(10, 6, (2026, 10)), -7.99)
given("missed two", "Hulu", monthly(10, 6, (2026, 9)), -7.99)
given("missed a year", "Domain", [dt.date(2024, 9, 1), dt.date(2025, 9, 1)], -120.0)
for _customer in ("two hits, long ago", "missed two", "missed a year"):
    given(_customer, "Deli", [AS_OF], -5.0, primary="FOOD_AND_DRINK")  # what is missing is missing up to the newest row


def test_one_skipped_month_stays_active_and_two_end_it(found: Found) -> None:
    assert found.only("skipped one")["status"] == "mature"
    assert found.only("missed one")["status"] == "mature"
    assert found.only("missed one")["expected_next_date"] == dt.date(2026, 11, 10)
    ended = found.only("missed two")
    assert (ended["status"], ended["expected_next_date"]) == ("inactive", None)
    assert found.only("missed a year")["status"] == "inactive"


given(
    "drifted and skipped one",
    "Skyline Fiber",
    [d for d in shifted(monthly(12, 13), [0, 2, -1, 1, -2, 0, 2, 1, -1, 0, -2, 1, 0]) if d.month != 5],
    -74.99,
    primary="RENT_AND_UTILITIES",
)


for parts in (3, 4, 5):
    fortnights = days(AS_OF - dt.timedelta(days=14 * parts - 8), 14, parts)
    given(f"in {parts} parts", "KLARNA* SHOES 844-5527621 OH", fortnights, -37.25, None)
    given(f"leased for {parts} times", "Aarons Sales & Lease", fortnights, -37.25, None)


def test_what_is_paid_in_four_parts_has_ended_with_the_fourth(found: Found) -> None:
    assert [found.of(f"in {parts} parts")[0]["status"] for parts in (3, 4, 5)] == ["mature", "inactive", "mature"]
    assert found.of("in 4 parts")[0]["expected_next_date"] is None
    assert found.of("leased for 4 times")[0]["status"] == "mature"


def test_drift_and_a_skipped_month_leave_one_monthly_stream_and_no_quarterly_one(found: Found) -> None:
    stream = found.only("drifted and skipped one")
    assert (stream["cadence"], stream["occurrences"], stream["status"]) == ("monthly", 12, "mature")


given("came back", "Hulu", [*monthly(10, 5, (2025, 12)), *monthly(10, 4)], -7.99)


def test_a_subscription_that_was_ended_and_taken_again_is_two(found: Found) -> None:
    assert [stream["status"] for stream in found.of("came back")] == ["inactive", "mature"]


# --- prices ----------------------------------------------------------------------------------------------------

given("price rise", "Netflix", monthly(15, 9), [-15.49] * 5 + [-17.99] * 4)


def test_a_price_rise_stays_one_stream_and_is_reported(found: Found) -> None:
    stream = found.only("price rise")
    assert (stream["occurrences"], stream["status"]) == (9, "mature")
    assert (stream["typical_amount"], stream["monthly_cost"]) == (-17.99, 17.99)
    assert stream["price_change"] == pytest.approx(17.99 / 15.49 - 1)


given("introduction", "Audible", monthly(4, 6), [-0.99] + [-14.95] * 5)
given("a year at once", "Strava", monthly(4, 6), [-9.99] * 5 + [-79.99])


def test_a_year_paid_at_once_is_no_month_s_price(found: Found) -> None:
    assert found.only("a year at once")["typical_amount"] == -9.99


def test_an_introductory_price_then_the_full_one_is_one_stream(found: Found) -> None:
    stream = found.only("introduction")
    assert (stream["occurrences"], stream["typical_amount"]) == (6, -14.95)


given("foreign price", "Cloud Host", monthly(7, 8), [-20.0, -20.3, -19.9, -20.2, -20.4, -20.1, -20.0, -20.2])


def test_a_price_that_wobbles_within_three_percent_is_fixed(found: Found) -> None:
    assert found.only("foreign price")["kind"] == "subscription"


given("two plans", "Apple", [*monthly(6, 8), *monthly(6, 8)], [-2.99] * 8 + [-10.99] * 8)
given("two plans, a rise", "Apple", [*monthly(6, 8), *monthly(6, 8)], [-2.99] * 4 + [-3.99] * 4 + [-10.99] * 8)


def test_two_plans_at_one_payee_are_two_streams(found: Found) -> None:
    assert [s["typical_amount"] for s in found.of("two plans")] == [-10.99, -2.99]
    risen = found.of("two plans, a rise")
    assert [(s["typical_amount"], s["occurrences"]) for s in risen] == [(-10.99, 8), (-3.99, 8)]


given("one price, two days", "Apple", [*monthly(6, 8), *monthly(19, 8)], -2.99)
given("one price, near days", "Apple", [*monthly(6, 8), *monthly(10, 8)], -2.99)


def test_one_price_on_two_days_is_two_streams(found: Found) -> None:
    assert [s["last_date"].day for s in found.of("one price, two days")] == [6, 19]
    assert [s["last_date"].day for s in found.of("one price, near days")] == [6, 10]


given("prime", "Amazon", [*monthly(8, 8), dt.date(2026, 7, 21), dt.date(2026, 9, 2)], [-14.99] * 8 + [-63.1, -14.5])
given("odd month", "Spotify", monthly(12, 8), [-9.99] * 4 + [-4.2] + [-9.99] * 3)


def test_a_single_charge_at_another_price_does_not_break_a_line(found: Found) -> None:
    prime = found.only("prime")
    assert (prime["occurrences"], prime["typical_amount"]) == (8, -14.99)
    odd = found.only("odd month")
    assert (odd["status"], odd["typical_amount"], odd["price_change"]) == ("mature", -9.99, None)


given("shopper", "Amazon", days(dt.date(2026, 1, 3), 5, 60), [-(10 + n * 37 % 91) - 0.37 for n in range(60)])
given("shopper", "Amazon", monthly(8, 3), -14.99)
given("shopper with a plan", "Amazon", days(dt.date(2026, 1, 3), 11, 25), [-(20 + n * 37 % 91) for n in range(25)])
given("shopper with a plan", "Amazon", monthly(8, 11), -14.99)


def test_among_many_other_purchases_a_line_needs_two_more_hits(found: Found) -> None:
    assert found.of("shopper") == []
    assert found.only("shopper with a plan")["occurrences"] == 11


# --- bills -----------------------------------------------------------------------------------------------------

UTILITY = [-100, -61, -139, -88, -120, -75, -131, -96]
given("utility", "City Power", monthly(20, 8), UTILITY, primary="RENT_AND_UTILITIES")
given("same, but a shop", "Toy Shop", monthly(20, 8), UTILITY, primary="GENERAL_MERCHANDISE")
given("water", "Waterworks", monthly(20, 5, every=3), [-60, -90, -75, -82, -50], primary="RENT_AND_UTILITIES")


def test_a_utility_that_varies_on_a_fixed_day_is_a_bill(found: Found) -> None:
    stream = found.only("utility")
    assert (stream["kind"], stream["cadence"], stream["occurrences"]) == ("bill", "monthly", 8)
    assert (stream["typical_amount"], stream["last_amount"]) == (-98.0, -96.0)
    assert stream["price_change"] is None
    assert found.only("water")["cadence"] == "quarterly"
    assert found.of("same, but a shop") == []


given(
    "a bill beyond three times",
    "City Power",
    monthly(20, 8),
    [-100, -320, -31, -400, -95, -25, -350, -100],
    primary="RENT_AND_UTILITIES",
)


def test_a_bill_varies_from_a_third_to_three_times(found: Found) -> None:
    assert found.of("a bill beyond three times") == []


given(
    "weekly utility",
    "City Power",
    days(dt.date(2026, 9, 4), 7, 11),
    [*UTILITY, -90, -60, -99],
    primary="RENT_AND_UTILITIES",
)


def test_bills_that_vary_are_monthly_or_quarterly_only(found: Found) -> None:
    assert found.of("weekly utility") == []


_to_somebody = {"primary": "TRANSFER_OUT", "detailed": "TRANSFER_OUT_ACCOUNT_TRANSFER", "merchant_entity_id": "cz_q"}
given("order", "Q", monthly(5, 4), -3372.7, **_to_somebody)
given("insured", "Acme", monthly(5, 4), -80, primary="GENERAL_SERVICES", detailed="GENERAL_SERVICES_INSURANCE")
given("uncategorised loan", "Student Loan Repayment", monthly(5, 4), -250, primary=None)


@pytest.mark.parametrize("customer", ["order", "insured", "uncategorised loan"])
def test_standing_payments_insurance_and_loans_are_bills(found: Found, customer: str) -> None:
    assert found.only(customer)["kind"] == "bill"


# --- what never repeats in this sense --------------------------------------------------------------------------

WILD = [-81.2, -43.7, -120.9, -66.6, -97.1, -54.3, -110.0, -38.8, -71.4, -88.8, -60.1]
given("groceries", "Market", days(dt.date(2026, 9, 4), 7, 11), WILD, primary="FOOD_AND_DRINK")
given("groceries, no category", "Corner Store", days(dt.date(2026, 9, 4), 7, 11), WILD, primary=None)
given("coffee", "Beans", days(dt.date(2026, 8, 1), 1, 110), -4.5, primary="FOOD_AND_DRINK")
given("coffee, no category", "Beans", days(dt.date(2026, 8, 1), 1, 110), -4.5, primary=None)
given(
    "fuel",
    "Shell",
    days(dt.date(2026, 6, 1), 14, 12),
    [-50 * (1 + 0.23 * (-1) ** n * (n % 4) / 3) for n in range(12)],
    primary="TRANSPORTATION",
)
given("fuel, no category", "Pump 9", monthly(5, 8), [-50, -39, -60, -45, -58, -61, -42, -52], primary=None)
given("fixed ticket", "City Transit", monthly(1, 8), -70.0, primary="TRANSPORTATION")
given("travel", "Weekend Airways", monthly(1, 8), -120.0, primary="TRAVEL")


@pytest.mark.parametrize(
    "customer",
    [
        "groceries",
        "groceries, no category",
        "coffee",
        "coffee, no category",
        "fuel",
        "fuel, no category",
        "fixed ticket",
        "travel",
    ],
)
def test_groceries_coffee_fuel_transport_and_travel_are_no_streams(found: Found, customer: str) -> None:
    assert found.of(customer) == []


given("friends", "Venmo", shifted(monthly(10, 5), [0, -3, 2, 1, 25]), [-12, -44, -35, -16, -22], primary="TRANSFER_OUT")
given("nearly one price", "Ticket Office", monthly(10, 2), [-112.1, -113.0])
given("irregular pay", "Studio", monthly(8, 3), [432.7, 1914.9, 563.2], "INCOME", "INCOME_WAGES")


@pytest.mark.parametrize("customer", ["friends", "nearly one price", "irregular pay"])
def test_amounts_that_vary_need_more_than_a_few_lucky_dates(found: Found, customer: str) -> None:
    assert found.of(customer) == []


# what moves each month: (payee, amount, detailed category)
NO_STREAM = {
    "card payment": ("Chase", -25.0, "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT"),
    "own transfer": ("Ally", -25.0, "TRANSFER_OUT_SAVINGS"),
    "cash withdrawal": ("Cash Corner", -25.0, "TRANSFER_OUT_WITHDRAWAL"),
    "cash deposit": ("Branch", 25.0, "TRANSFER_IN_DEPOSIT"),
    "fee": ("Bank", -25.0, "BANK_FEES_OVERDRAFT_FEES"),
    "interest earned": ("Bank", 25.0, "INCOME_INTEREST_EARNED"),
    "refund": ("Outlet", 25.0, "GENERAL_MERCHANDISE_SUPERSTORES"),
    "fee by words": ("LATE FEE", -25.0, ""),
    "transfer by words": ("ONLINE XFER TO SAV", -25.0, ""),
}
for _customer, (_payee, _amount, _category) in NO_STREAM.items():
    given(_customer, _payee, monthly(15, 8), _amount, None, _category)
given("interest charged", "Bank", monthly(15, 8), -25.0, None, "BANK_FEES_INTEREST_CHARGE", "credit card")
given("account fee", "Statement Fee", monthly(15, 8), -2.0, primary="BANK_FEES")
given("a fund bought", "You bought Index Fund", monthly(15, 8), -498.1, None, account="investment")
given("a loan's account", "Autopay Loan Office", monthly(15, 8), 310.0, None, account="loan")


@pytest.mark.parametrize(
    "customer", [*NO_STREAM, "interest charged", "account fee", "a fund bought", "a loan's account"]
)
def test_card_payments_own_transfers_cash_fees_and_rows_of_investments_and_loans_are_never_streams(
    found: Found, customer: str
) -> None:
    assert found.of(customer) == []


# --- rows that are no hits -------------------------------------------------------------------------------------

given("refunded", "Netflix", monthly(15, 6), -15.49)
given("refunded", "Netflix", [dt.date(2026, 11, 18)], 15.49)
given("refunded, late", "Netflix", monthly(15, 6, (2026, 8)), -15.49)
given("refunded, late", "Netflix", [dt.date(2026, 10, 20)], 15.49)
given("charged twice", "Netflix", [*monthly(15, 6), dt.date(2026, 9, 15)], -15.49)
given("charged twice", "Netflix", [dt.date(2026, 9, 19)], 15.49)
given("always returned", "Boutique", monthly(15, 6), -40.0, primary="GENERAL_MERCHANDISE")
given(
    "always returned",
    "Boutique",
    [d + dt.timedelta(days=4) for d in monthly(15, 6)],
    40.0,
    primary="GENERAL_MERCHANDISE",
)


def test_refunds_and_reversals_net_out_and_are_no_hits(found: Found) -> None:
    assert found.only("refunded")["last_date"] == dt.date(2026, 10, 15)  # the latest equal charge
    assert found.only("refunded, late")["occurrences"] == 6  # 66 days later it cancels nothing
    assert found.only("charged twice")["occurrences"] == 6
    assert found.of("always returned") == []


given("trial", "Streamer", monthly(2, 6), [0.0, 0.0, -12.0, -12.0, -12.0, -12.0])
given("always free", "Streamer", monthly(2, 6), 0.0)


def test_free_trials_and_zero_amounts_are_no_hits(found: Found) -> None:
    assert found.only("trial")["occurrences"] == 4
    assert found.only("trial")["first_date"] == dt.date(2026, 8, 2)
    assert found.of("always free") == []


given("not yet", "Netflix", [*monthly(15, 5, (2026, 10)), *monthly(25, 1)], -15.49)


def test_rows_after_as_of_do_not_count(found: Found) -> None:
    assert found.only("not yet")["occurrences"] == 5


given("switched", "Netflix", monthly(15, 4, (2026, 8)), -15.49, account="credit card 1")
given("switched", "Netflix", monthly(15, 3), -15.49, account="credit card 2")


def test_a_card_switched_half_way_is_one_stream(found: Found) -> None:
    assert found.only("switched")["occurrences"] == 7


# --- what looks like a subscription and is none, and the other way round --------------------------------------

HAIRCUTS = [dt.date(2026, 1, 9), dt.date(2026, 2, 10), dt.date(2026, 3, 12), dt.date(2026, 4, 9), dt.date(2026, 5, 18)]
HAIRCUTS += [dt.date(2026, 7, 1), dt.date(2026, 7, 31), dt.date(2026, 9, 11), dt.date(2026, 10, 20)]
given("haircuts", "Sharp Cuts", HAIRCUTS, -35.0, primary="GENERAL_SERVICES", detailed="GENERAL_SERVICES_OTHER")
given("copay", "Parkview", monthly(12, 6), -15.0, primary="MEDICAL", detailed="MEDICAL_PRIMARY_CARE")
given("salon, no category", "Salon Lumiere", monthly(12, 6), -45.0, primary=None)


@pytest.mark.parametrize("customer", ["haircuts", "copay", "salon, no category"])
def test_visits_at_one_price_are_no_subscriptions(found: Found, customer: str) -> None:
    assert found.of(customer) == []  # four haircuts in a row are a month apart, nine are not


given("half uncategorised coffee", "Beans", monthly(12, 6), -4.5, primary="FOOD_AND_DRINK")
without_category(last=4)
for _number, _date in enumerate(monthly(12, 9)):
    _named = "GENERAL_SERVICES_INSURANCE" if _number % 3 == 0 else ""
    given("half uncategorised insurance", "Evergreen", [_date], -402.0, "GENERAL_SERVICES" if _named else None, _named)


def test_the_rows_that_have_a_category_speak_for_those_that_have_none(found: Found) -> None:
    assert found.of("half uncategorised coffee") == []
    assert found.only("half uncategorised insurance")["kind"] == "bill"


APPS = [dt.date(2026, m, d) for m, d in [(3, 3), (4, 28), (5, 9), (6, 30), (8, 2), (9, 29), (11, 11)]]
given("storage and music", "Apple Bill", monthly(6, 10), [-2.49] * 5 + [-2.99] * 5)
given("storage and music", "Apple Bill", monthly(20, 9, (2026, 10)), -10.99)
given("storage and music", "Apple Bill", APPS, [-0.99, -4.99, -1.99, -9.99, -0.49, -5.99, -3.99])


def test_a_price_rise_between_other_plans_and_purchases_stays_one_stream(found: Found) -> None:
    storage, music = found.of("storage and music")
    assert (storage["occurrences"], storage["status"], storage["last_amount"]) == (10, "mature", -2.99)
    assert storage["price_change"] == pytest.approx(2.99 / 2.49 - 1)
    assert (music["occurrences"], music["typical_amount"]) == (9, -10.99)


# --- income ----------------------------------------------------------------------------------------------------

given("salary", "Employer", days(dt.date(2026, 7, 3), 14, 10), 2100.0, "INCOME", "INCOME_WAGES")
given(
    "hourly",
    "Employer",
    days(dt.date(2026, 7, 3), 14, 10),
    [900, 1010, 870, 1200, 640, 980, 1100, 930, 1015, 890],
    "INCOME",
    "INCOME_WAGES",
)
_halves = sorted([*monthly(1, 6), *monthly(15, 6)])
given("semi-monthly", "Employer", _halves, 1900.0, "INCOME", "INCOME_WAGES")
_from_somebody = {"primary": "TRANSFER_IN", "detailed": "TRANSFER_IN_ACCOUNT_TRANSFER", "merchant_entity_id": "j_smith"}
given("lodger", "J Smith", monthly(1, 6), 600.0, **_from_somebody)


def test_paychecks_and_third_party_inflows_are_income(found: Found) -> None:
    for customer, cadence in [
        ("salary", "biweekly"),
        ("hourly", "biweekly"),
        ("semi-monthly", "semi_monthly"),
        ("lodger", "monthly"),
    ]:
        stream = found.only(customer)
        assert (stream["kind"], stream["cadence"], stream["monthly_cost"]) == ("income", cadence, None)
        assert stream["typical_amount"] > 0
    assert found.only("semi-monthly")["expected_next_date"] == ahead(1)


given("semi-monthly, three hits", "Employer", _halves[-3:], 1900.0, "INCOME", "INCOME_WAGES")
given("a raise", "Employer", monthly(28, 8, (2026, 10)), [3000.0] * 4 + [3300.0] * 4, "INCOME", "INCOME_WAGES")


def test_semi_monthly_needs_four_hits(found: Found) -> None:
    assert "semi_monthly" not in {stream["cadence"] for stream in found.of("semi-monthly, three hits")}


def test_a_raise_is_no_price_change(found: Found) -> None:
    raised = found.only("a raise")
    assert (raised["typical_amount"], raised["last_amount"], raised["price_change"]) == (3300.0, 3300.0, None)


HOURS = [1510, 1490, 1720, 1604, 1388, 1555, 1691, 1472, 1533, 1618]
given("part into savings", "Employer", days(dt.date(2026, 7, 3), 14, 10), HOURS, "INCOME", "INCOME_WAGES")
given("part into savings", "Employer", days(dt.date(2026, 7, 3), 14, 10), 200, "INCOME", "INCOME_WAGES")
given("bonus", "Employer", days(dt.date(2026, 7, 3), 14, 10), HOURS, "INCOME", "INCOME_WAGES")
given("bonus", "Employer", [dt.date(2026, 9, 16)], 2750, "INCOME", "INCOME_WAGES")
given("monthly, a bonus", "Employer", monthly(1, 6), 4000.0, "INCOME", "INCOME_WAGES")
given("monthly, a bonus", "Employer", [dt.date(2026, 10, 18)], 6500.0, "INCOME", "INCOME_WAGES")
_paydays = [4, 13, 17, 29, 33, 52, 58, 66, 83, 88, 101, 119, 124]
given(
    "gig",
    "Upwork",
    [AS_OF - dt.timedelta(days=back) for back in _paydays],
    [480, 1310, 655, 905, 512, 1480, 733, 610, 1190, 560, 842, 1330, 701],
    "INCOME",
    "INCOME_GIG_ECONOMY",
)
given("friends pay back", "Venmo", monthly(9, 8), [31, 18, 44, 25, 52, 20, 38, 29], "TRANSFER_IN")


def test_a_fixed_part_of_the_pay_is_a_stream_beside_the_hours(found: Found) -> None:
    fixed, hours = found.of("part into savings")
    assert (fixed["typical_amount"], fixed["cadence"], fixed["occurrences"]) == (200, "biweekly", 10)
    assert (hours["typical_amount"], hours["cadence"], hours["occurrences"]) == (1544, "biweekly", 10)


def test_a_bonus_is_no_payday(found: Found) -> None:
    hours = found.only("bonus")
    assert (hours["cadence"], hours["occurrences"]) == ("biweekly", 10)
    assert hours["expected_next_date"] == hours["last_date"] + dt.timedelta(days=14)
    assert found.only("monthly, a bonus")["cadence"] == "monthly"


def test_gig_pay_and_what_friends_send_is_no_calendar(found: Found) -> None:
    assert found.of("gig") == []
    assert found.of("friends pay back") == []


given("twice a month", "Payee", _halves, -50.0)


def test_only_income_is_semi_monthly(found: Found) -> None:
    assert [stream["cadence"] for stream in found.of("twice a month")] == ["monthly", "monthly"]


for _detail in ["INCOME_INTEREST_EARNED", "INCOME_DIVIDENDS", "INCOME_TAX_REFUND"]:
    given(_detail, "Broker", monthly(1, 6), 12.0, "INCOME", _detail)
given("interest by name", "INTRST PYMNT", monthly(1, 6), 12.0, None)


@pytest.mark.parametrize(
    "customer", ["INCOME_INTEREST_EARNED", "INCOME_DIVIDENDS", "INCOME_TAX_REFUND", "interest by name"]
)
def test_interest_tax_refunds_and_dividends_are_no_income_streams(found: Found, customer: str) -> None:
    assert found.of(customer) == []


# --- the table as a whole --------------------------------------------------------------------------------------

given("null payee", None, monthly(15, 6), -15.49)
given("two fills", "Kangaroo Brunswick", monthly(9, 2, (2026, 10), every=6), [-41.2, -46.8], primary=None)
given("a known shop's name", "Sonic", monthly(6, 9), -72.0, primary="Internet & Cable")
given("a known shop", "Sonic", monthly(6, 9), -72.0, primary="GENERAL_SERVICES")
given("id renewed", "Shelfmark", monthly(15, 9)[:4], -12.0, merchant_entity_id="e1")
given("id renewed", "Shelfmark", monthly(15, 9)[4:], -12.0, merchant_entity_id="e2")


def test_two_purchases_half_a_year_apart_at_two_prices_show_nothing(found: Found) -> None:
    assert found.of("two fills") == []


for _customer, _again in (("renewed dearer beside a plan", -117.0), ("renewed about the same beside a plan", -107.39)):
    given(_customer, "Adobe", monthly(24, 13), -9.99)
    given(_customer, "Adobe", [dt.date(2025, 11, 10), dt.date(2026, 11, 10)], [-106.24, _again])


@pytest.mark.parametrize("customer", ["renewed dearer beside a plan", "renewed about the same beside a plan"])
def test_a_years_plan_at_a_new_price_is_found_beside_a_months_plan(found: Found, customer: str) -> None:
    assert [(row["cadence"], row["typical_amount"]) for row in found.of(customer)] == [
        ("annual", -117.0 if "dearer" in customer else -107.39),
        ("monthly", -9.99),
    ]


AMONG_OTHERS = {
    "a menu": (
        [-11.0, -11.4, -11.2, -11.5, -11.0, -11.4, -11.5, -11.2, -11.0],
        days(dt.date(2026, 5, 6), 13, 16),
        -25.0,
    ),
    "a plan in dollars": (
        [-15.61, -15.44, -15.8, -15.52, -15.44, -15.19, -15.33, -15.05, -14.98, -15.1, -15.22, -15.3],
        [dt.date(2026, 11, 19) - dt.timedelta(days=11 * n + n * n % 5) for n in range(30)],
        -5.0,
    ),
}
for _customer, (_prices, _dates, _other) in AMONG_OTHERS.items():
    given(_customer, "Maple and Stone", monthly(8, len(_prices)), _prices, primary=None)
    given(_customer, "Maple and Stone", _dates, _other, primary=None)


def test_the_prices_of_a_menu_are_no_rate_of_a_currency_although_one_of_a_rate_may_come_again(found: Found) -> None:
    assert found.of("a menu") == []
    stream = found.only("a plan in dollars")
    assert (stream["cadence"], stream["occurrences"], stream["price_change"]) == ("monthly", 12, None)


def test_a_delivered_bill_is_none_of_the_known_shop_of_its_name(found: Found) -> None:
    assert found.only("a known shop's name")["kind"] == "bill"
    assert found.of("a known shop") == []


def test_ids_of_a_name_that_follow_one_another_are_one_payee(found: Found) -> None:
    stream = found.only("id renewed")
    assert (stream["cadence"], stream["occurrences"]) == ("monthly", 9)


given("id only", None, monthly(15, 6), -15.49, merchant_entity_id="cz_IJ_489")


def test_an_unknown_payee_is_no_stream_and_a_nameless_one_shows_its_id(found: Found) -> None:
    assert found.of("null payee") == []
    assert found.only("id only")["merchant"] == "Cz_ij_489"


def test_the_table_keeps_its_contract(found: Found) -> None:
    assert failures(contracts.CONTRACTS["recurring_streams"], ibis.memtable(found.table)).empty


def test_occurrences_belong_to_one_stream(found: Found) -> None:
    counted = [transaction for stream in found.occurrences for transaction in stream.transactions]
    assert len(counted) == len(set(counted))
    by_customer = sorted((stream.user_id, len(stream.transactions)) for stream in found.occurrences)
    shown = sorted((stream["user_id"], stream["occurrences"]) for stream in found.streams)
    assert [each for each in by_customer if each in shown] == shown  # two that stopped are found, and not shown
    dates = {row["transaction_id"]: row["date"] for row in found.ledger.rows["transactions"]}
    for stream in found.occurrences:
        assert stream.transactions == sorted(stream.transactions, key=dates.__getitem__)


def test_row_order_and_reruns_change_nothing(found: Found) -> None:
    shuffled = Ledger(AS_OF)
    rows = LEDGER.rows["transactions"]
    shuffled.rows = {**LEDGER.rows, "transactions": random.Random(7).sample(rows, len(rows))}
    again = Found(shuffled, AS_OF)
    assert again.table.equals(found.table)
    assert sorted(again.occurrences) == sorted(found.occurrences)


@pytest.fixture(scope=shared)
def earlier() -> Found:
    return Found(LEDGER, AS_OF - dt.timedelta(days=33))


def test_every_charge_at_one_price_on_two_days_is_a_hit_in_whatever_order_ties_come(earlier: Found) -> None:
    assert [stream["occurrences"] for stream in earlier.of("twice a month")] == [5, 5]


def test_a_stream_keeps_its_id_as_history_grows(found: Found, earlier: Found) -> None:
    now = {stream["stream_id"] for stream in found.streams}
    assert len(earlier.streams) > 25
    gone = {s["user_id"] for s in earlier.streams if s["stream_id"] not in now}
    assert gone <= {"trial", "two hits, long ago"}, gone


# --- from transactions -----------------------------------------------------------------------------------------


def test_pending_then_posted_counts_once() -> None:
    ledger = Ledger(AS_OF)
    (account,) = ledger.customer("ann", "checking")
    for date in monthly(15, 6):
        ledger.row(account, date, -15.49, "Netflix", "ENTERTAINMENT_TV_AND_MOVIES")
        ledger.row(account, date - dt.timedelta(days=1), -15.49, "Netflix", pending=True)
    (stream,) = ledger.streams()["ann"]
    assert (stream["occurrences"], stream["merchant"]) == (6, "Netflix")
