"""Recurring streams. Every case is a customer of one table that is judged once, on ``AS_OF``."""

import datetime as dt
import random
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import count
from typing import Any

import ibis
import pandas as pd
import pytest

from spendsense_pipeline import contracts
from spendsense_pipeline.contracts.base import failures
from spendsense_pipeline.features.rows import classify
from spendsense_pipeline.features.streams import recurring_streams, stream_hits

AS_OF = dt.date(2026, 11, 20)

SCHEMA = {
    "transaction_id": "string",
    "user_id": "string",
    "account_id": "string",
    "account_class": "string",
    "date": "date",
    "amount": "float64",
    "payee": "string",
    "merchant": "string",
    "category_primary": "string",
    "category_detailed": "string",
    "history_start": "date",
    "currency_factor": "float64",
    "kind": "string",
}
ROWS: list[dict[str, Any]] = []
_numbers = count()


def given(
    customer: str,
    payee: str,
    dates: Iterable[dt.date],
    amounts: float | Sequence[float],
    kind: str = "other_out",
    primary: str | None = "ENTERTAINMENT",
    detailed: str | None = None,
    account: str = "checking_1",
) -> None:
    """Add classified rows to the table that the module is judged on."""
    dates = list(dates)
    amounts = [amounts] * len(dates) if isinstance(amounts, (int, float)) else amounts
    for date, amount in zip(dates, amounts, strict=True):
        ROWS.append(
            {
                "transaction_id": f"tx_{next(_numbers):05d}",
                "user_id": customer,
                "account_id": account,
                "account_class": "credit_card" if account.startswith("card") else "checking",
                "date": date,
                "amount": amount,
                "payee": payee.lower(),
                "merchant": payee,
                "category_primary": primary,
                "category_detailed": detailed,
                "history_start": dt.date(2024, 1, 1),
                "currency_factor": 1.0,
                "kind": kind,
            }
        )


def monthly(day: int, times: int, last: tuple[int, int] = (2026, 11), every: int = 1) -> list[dt.date]:
    """``times`` dates on one day of the month, oldest first; a day the month lacks is its last."""
    found = []
    for back in range(times - 1, -1, -1):
        year, month = divmod(last[0] * 12 + last[1] - 1 - back * every, 12)
        end = (dt.date(year + (month == 11), (month + 1) % 12 + 1, 1) - dt.timedelta(days=1)).day
        found.append(dt.date(year, month + 1, min(day, end)))
    return found


def days(first: dt.date, every: int, times: int) -> list[dt.date]:
    return [first + dt.timedelta(days=every * n) for n in range(times)]


def shifted(dates: list[dt.date], by: Sequence[int]) -> list[dt.date]:
    return [date + dt.timedelta(days=n) for date, n in zip(dates, by, strict=True)]


class Judged:
    """Streams and hits of the table, looked up by customer."""

    def __init__(self, rows: list[dict[str, Any]], as_of: dt.date) -> None:
        con = ibis.duckdb.connect()
        frame = pd.DataFrame(rows)
        table = con.create_table("rows", ibis.memtable(frame, schema=SCHEMA))
        self.expression = con.create_table("streams", recurring_streams(table, as_of))
        self.streams: list[dict[str, Any]] = self.expression.to_pyarrow().to_pylist()
        self._hits = lambda: con.to_pyarrow(stream_hits(table, as_of)).to_pylist()

    @cached_property
    def hits(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._hits()
        return found

    def of(self, customer: str) -> list[dict[str, Any]]:
        found = [stream for stream in self.streams if stream["user_id"] == customer]
        return sorted(found, key=lambda stream: (stream["first_date"], stream["typical_amount"]))

    def only(self, customer: str) -> dict[str, Any]:
        (stream,) = self.of(customer)
        return stream

    def dates(self, stream: dict[str, Any]) -> list[dt.date]:
        return sorted(hit["date"] for hit in self.hits if hit["stream_id"] == stream["stream_id"])


@pytest.fixture(scope="module")
def judged() -> Judged:
    return Judged(ROWS, AS_OF)


def ahead(day: int) -> dt.date:
    return dt.date(2026, 12, day)


# --- calendars -------------------------------------------------------------------------------------------------

given("plain", "Netflix", monthly(15, 6), -15.49)


def test_a_monthly_charge_is_a_mature_subscription(judged: Judged) -> None:
    stream = judged.only("plain")
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


def test_month_ends_31_28_31_are_one_calendar(judged: Judged) -> None:
    stream = judged.only("month ends")
    assert (stream["cadence"], stream["occurrences"]) == ("monthly", 10)
    assert stream["expected_next_date"] == dt.date(2026, 11, 30)
    assert judged.only("leap day")["occurrences"] == 3


given("weekends", "Spotify", shifted(monthly(14, 9), [0, 2, -1, 3, 0, -3, 1, 2, 0]), -11.99)


def test_weekends_and_holidays_move_a_charge_by_up_to_three_days(judged: Judged) -> None:
    stream = judged.only("weekends")
    assert (stream["cadence"], stream["occurrences"], stream["status"]) == ("monthly", 9, "mature")


given("weekly", "Meal Box", days(dt.date(2026, 9, 4), 7, 11), -49.0)
given("biweekly", "Cleaner", shifted(days(dt.date(2026, 7, 3), 14, 10), [0, 0, 1, 0, 0, -1, 0, 0, 0, 0]), -80.0)
given("four weekly", "Phone Card", days(dt.date(2026, 3, 20), 28, 9), -20.0)
given("annual", "Domain", [dt.date(2025, 3, 2), dt.date(2026, 3, 8)], -120.0)
given("quarterly", "Vitamins", monthly(9, 3, (2026, 10), every=3), -60.0)


@pytest.mark.parametrize(
    ("customer", "cadence", "monthly_cost"),
    [
        ("weekly", "weekly", 49 * 30 / 7),
        ("biweekly", "biweekly", 80 * 30 / 14),
        ("four weekly", "monthly", 20),
        ("annual", "annual", 10),
        ("quarterly", "quarterly", 20),
    ],
)
def test_each_cadence_is_named_and_costed(judged: Judged, customer: str, cadence: str, monthly_cost: float) -> None:
    stream = judged.only(customer)
    assert (stream["cadence"], stream["status"]) == (cadence, "mature")
    assert stream["monthly_cost"] == pytest.approx(monthly_cost, abs=0.005)


given("quarterly, five days off", "Vitamins", shifted(monthly(15, 5, (2026, 10), every=3), [0, 5, -5, 0, 5]), -60.0)
given("annual, ten days off", "Domain", [dt.date(2024, 3, 5), dt.date(2025, 3, 15), dt.date(2026, 3, 5)], -120.0)
given("weekly, two days off", "Meal Box", shifted(days(dt.date(2026, 9, 4), 7, 11), [0, 2, -2] * 3 + [2, -2]), -49.0)


def test_a_cadence_tolerates_so_many_days_and_no_more(judged: Judged) -> None:
    quarterly, annual = judged.only("quarterly, five days off"), judged.only("annual, ten days off")
    assert (quarterly["cadence"], quarterly["occurrences"]) == ("quarterly", 5)
    assert (annual["cadence"], annual["occurrences"]) == ("annual", 3)
    assert judged.of("weekly, two days off") == []


_a_third_missing = [date for number, date in enumerate(monthly(10, 9)) if number % 3 != 1]
given("a third missing", "Hulu", _a_third_missing, -7.99)
given("more than a third missing", "Hulu", monthly(10, 6, every=2), -7.99)


def test_at_most_a_third_of_the_dates_is_missing(judged: Judged) -> None:
    assert judged.only("a third missing")["occurrences"] == 6
    assert judged.of("more than a third missing") == []


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


def test_a_line_explains_three_quarters_of_the_rows_at_its_price(judged: Judged) -> None:
    assert judged.of("one price, any day") == []


def test_annual_is_mature_with_two_hits_and_quarterly_with_three(judged: Judged) -> None:
    assert (judged.only("annual")["occurrences"], judged.only("quarterly")["occurrences"]) == (2, 3)
    assert judged.only("annual")["expected_next_date"] == dt.date(2027, 3, 5)


given("two hits", "Hulu", monthly(3, 2), -7.99)
given("two hits, long ago", "Hulu", monthly(3, 2, (2026, 5)), -7.99)
given("two hits, two months apart", "Hulu", monthly(3, 2, every=2), -7.99)


def test_two_hits_are_early_and_vanish_when_they_stop(judged: Judged) -> None:
    assert judged.only("two hits")["status"] == "early"
    assert judged.of("two hits, long ago") == []
    assert judged.of("two hits, two months apart") == []


given("skipped one", "Hulu", [d for d in monthly(10, 8) if d.month != 9], -7.99)
given("missed one", "Hulu", monthly(10, 6, (2026, 10)), -7.99)
given("missed two", "Hulu", monthly(10, 6, (2026, 9)), -7.99)
given("missed a year", "Domain", [dt.date(2024, 9, 1), dt.date(2025, 9, 1)], -120.0)


def test_one_skipped_month_stays_active_and_two_end_it(judged: Judged) -> None:
    assert judged.only("skipped one")["status"] == "mature"
    assert judged.only("missed one")["status"] == "mature"
    assert judged.only("missed one")["expected_next_date"] == dt.date(2026, 11, 10)
    ended = judged.only("missed two")
    assert (ended["status"], ended["expected_next_date"]) == ("inactive", None)
    assert judged.only("missed a year")["status"] == "inactive"


given(
    "drifted and skipped one",
    "Skyline Fiber",
    [d for d in shifted(monthly(12, 13), [0, 2, -1, 1, -2, 0, 2, 1, -1, 0, -2, 1, 0]) if d.month != 5],
    -74.99,
    primary="RENT_AND_UTILITIES",
)


def test_drift_and_a_skipped_month_leave_one_monthly_stream_and_no_quarterly_one(judged: Judged) -> None:
    stream = judged.only("drifted and skipped one")
    assert (stream["cadence"], stream["occurrences"], stream["status"]) == ("monthly", 12, "mature")


given("came back", "Hulu", [*monthly(10, 5, (2025, 12)), *monthly(10, 4)], -7.99)


def test_a_subscription_that_was_ended_and_taken_again_is_two(judged: Judged) -> None:
    assert [stream["status"] for stream in judged.of("came back")] == ["inactive", "mature"]


# --- prices ----------------------------------------------------------------------------------------------------

given("price rise", "Netflix", monthly(15, 9), [-15.49] * 5 + [-17.99] * 4)


def test_a_price_rise_stays_one_stream_and_is_reported(judged: Judged) -> None:
    stream = judged.only("price rise")
    assert (stream["occurrences"], stream["status"]) == (9, "mature")
    assert (stream["typical_amount"], stream["monthly_cost"]) == (-17.99, 17.99)
    assert stream["price_change"] == pytest.approx(17.99 / 15.49 - 1)


given("introduction", "Audible", monthly(4, 6), [-0.99] + [-14.95] * 5)


def test_an_introductory_price_then_the_full_one_is_one_stream(judged: Judged) -> None:
    stream = judged.only("introduction")
    assert (stream["occurrences"], stream["typical_amount"]) == (6, -14.95)


given("foreign price", "Cloud Host", monthly(7, 8), [-20.0, -20.3, -19.9, -20.2, -20.4, -20.1, -20.0, -20.2])


def test_a_price_that_wobbles_within_three_percent_is_fixed(judged: Judged) -> None:
    assert judged.only("foreign price")["kind"] == "subscription"


given("two plans", "Apple", [*monthly(6, 8), *monthly(6, 8)], [-2.99] * 8 + [-10.99] * 8)
given("two plans, a rise", "Apple", [*monthly(6, 8), *monthly(6, 8)], [-2.99] * 4 + [-3.99] * 4 + [-10.99] * 8)


def test_two_plans_at_one_payee_are_two_streams(judged: Judged) -> None:
    assert [s["typical_amount"] for s in judged.of("two plans")] == [-10.99, -2.99]
    risen = judged.of("two plans, a rise")
    assert [(s["typical_amount"], s["occurrences"]) for s in risen] == [(-10.99, 8), (-3.99, 8)]


given("one price, two days", "Apple", [*monthly(6, 8), *monthly(19, 8)], -2.99)
given("one price, near days", "Apple", [*monthly(6, 8), *monthly(10, 8)], -2.99)


def test_one_price_on_two_days_is_two_streams(judged: Judged) -> None:
    assert [s["last_date"].day for s in judged.of("one price, two days")] == [6, 19]
    assert [s["last_date"].day for s in judged.of("one price, near days")] == [6, 10]


given("prime", "Amazon", [*monthly(8, 8), dt.date(2026, 7, 21), dt.date(2026, 9, 2)], [-14.99] * 8 + [-63.1, -14.5])
given("odd month", "Spotify", monthly(12, 8), [-9.99] * 4 + [-4.2] + [-9.99] * 3)


def test_a_single_charge_at_another_price_does_not_break_a_line(judged: Judged) -> None:
    prime = judged.only("prime")
    assert (prime["occurrences"], prime["typical_amount"]) == (8, -14.99)
    odd = judged.only("odd month")
    assert (odd["status"], odd["typical_amount"], odd["price_change"]) == ("mature", -9.99, None)


given("shopper", "Amazon", days(dt.date(2026, 1, 3), 5, 60), [-(10 + n * 37 % 91) - 0.37 for n in range(60)])
given("shopper", "Amazon", monthly(8, 3), -14.99)
given("shopper with a plan", "Amazon", days(dt.date(2026, 1, 3), 11, 25), [-(20 + n * 37 % 91) for n in range(25)])
given("shopper with a plan", "Amazon", monthly(8, 11), -14.99)


def test_among_many_other_purchases_a_line_needs_two_more_hits(judged: Judged) -> None:
    assert judged.of("shopper") == []
    assert judged.only("shopper with a plan")["occurrences"] == 11


# --- bills -----------------------------------------------------------------------------------------------------

UTILITY = [-100, -61, -139, -88, -120, -75, -131, -96]
given("utility", "City Power", monthly(20, 8), UTILITY, primary="RENT_AND_UTILITIES")
given("same, but a shop", "Toy Shop", monthly(20, 8), UTILITY, primary="GENERAL_MERCHANDISE")
given("water", "Waterworks", monthly(20, 5, every=3), [-60, -90, -75, -82, -50], primary="RENT_AND_UTILITIES")


def test_a_utility_that_varies_on_a_fixed_day_is_a_bill(judged: Judged) -> None:
    stream = judged.only("utility")
    assert (stream["kind"], stream["cadence"], stream["occurrences"]) == ("bill", "monthly", 8)
    assert (stream["typical_amount"], stream["last_amount"]) == (-98.0, -96.0)
    assert stream["price_change"] is None
    assert judged.only("water")["cadence"] == "quarterly"
    assert judged.of("same, but a shop") == []


given(
    "a bill beyond three times",
    "City Power",
    monthly(20, 8),
    [-100, -320, -31, -400, -95, -25, -350, -100],
    primary="RENT_AND_UTILITIES",
)


def test_a_bill_varies_from_a_third_to_three_times(judged: Judged) -> None:
    assert judged.of("a bill beyond three times") == []


given(
    "weekly utility",
    "City Power",
    days(dt.date(2026, 9, 4), 7, 11),
    [*UTILITY, -90, -60, -99],
    primary="RENT_AND_UTILITIES",
)


def test_bills_that_vary_are_monthly_or_quarterly_only(judged: Judged) -> None:
    assert judged.of("weekly utility") == []


given("order", "Q", monthly(5, 4), -3372.7, primary="TRANSFER_OUT", detailed="TRANSFER_OUT_ACCOUNT_TRANSFER")
given("insured", "Acme", monthly(5, 4), -80, primary="GENERAL_SERVICES", detailed="GENERAL_SERVICES_INSURANCE")
given("uncategorised loan", "Student Loan Repayment", monthly(5, 4), -250, primary=None)


@pytest.mark.parametrize("customer", ["order", "insured", "uncategorised loan"])
def test_standing_payments_insurance_and_loans_are_bills(judged: Judged, customer: str) -> None:
    assert judged.only(customer)["kind"] == "bill"


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
def test_groceries_coffee_fuel_transport_and_travel_are_no_streams(judged: Judged, customer: str) -> None:
    assert judged.of(customer) == []


given("friends", "Venmo", shifted(monthly(10, 5), [0, -3, 2, 1, 25]), [-12, -44, -35, -16, -22], primary="TRANSFER_OUT")
given("nearly one price", "Ticket Office", monthly(10, 2), [-112.1, -113.0])
given("irregular pay", "Studio", monthly(8, 3), [432.7, 1914.9, 563.2], "paycheck", "INCOME", "INCOME_WAGES")


@pytest.mark.parametrize("customer", ["friends", "nearly one price", "irregular pay"])
def test_amounts_that_vary_need_more_than_a_few_lucky_dates(judged: Judged, customer: str) -> None:
    assert judged.of(customer) == []


NO_STREAM = [
    "card_payment",
    "own_transfer",
    "cash_withdrawal",
    "cash_deposit",
    "fee",
    "interest_charged",
    "interest_earned",
    "refund",
]
for _kind in NO_STREAM:
    given(
        _kind,
        "Bank",
        monthly(15, 8),
        -25.0 if _kind not in ("cash_deposit", "interest_earned", "refund") else 25.0,
        _kind,
        None,
    )
given("account fee", "Statement Fee", monthly(15, 8), -2.0, primary="BANK_FEES")


@pytest.mark.parametrize("customer", [*NO_STREAM, "account fee"])
def test_card_payments_own_transfers_cash_and_fees_are_never_streams(judged: Judged, customer: str) -> None:
    assert judged.of(customer) == []


# --- rows that are no hits -------------------------------------------------------------------------------------

given("refunded", "Netflix", monthly(15, 6), -15.49)
given("refunded", "Netflix", [dt.date(2026, 11, 18)], 15.49, "refund")
given("refunded, late", "Netflix", monthly(15, 6, (2026, 8)), -15.49)
given("refunded, late", "Netflix", [dt.date(2026, 10, 20)], 15.49, "refund")
given("charged twice", "Netflix", [*monthly(15, 6), dt.date(2026, 9, 15)], -15.49)
given("charged twice", "Netflix", [dt.date(2026, 9, 19)], 15.49, "refund")
given("always returned", "Boutique", monthly(15, 6), -40.0, primary="GENERAL_MERCHANDISE")
given("always returned", "Boutique", [d + dt.timedelta(days=4) for d in monthly(15, 6)], 40.0, "refund")


def test_refunds_and_reversals_net_out_and_are_no_hits(judged: Judged) -> None:
    assert judged.only("refunded")["last_date"] == dt.date(2026, 10, 15)  # the latest equal charge
    assert judged.only("refunded, late")["occurrences"] == 6  # 66 days later it cancels nothing
    assert judged.only("charged twice")["occurrences"] == 6
    assert judged.of("always returned") == []


given("trial", "Streamer", monthly(2, 6), [0.0, 0.0, -12.0, -12.0, -12.0, -12.0])
given("always free", "Streamer", monthly(2, 6), 0.0)


def test_free_trials_and_zero_amounts_are_no_hits(judged: Judged) -> None:
    assert judged.only("trial")["occurrences"] == 4
    assert judged.only("trial")["first_date"] == dt.date(2026, 8, 2)
    assert judged.of("always free") == []


given("not yet", "Netflix", [*monthly(15, 5, (2026, 10)), *monthly(25, 1)], -15.49)


def test_rows_after_as_of_do_not_count(judged: Judged) -> None:
    assert judged.only("not yet")["occurrences"] == 5


given("switched", "Netflix", monthly(15, 4, (2026, 8)), -15.49, account="card_1")
given("switched", "Netflix", monthly(15, 3), -15.49, account="card_2")


def test_a_card_switched_half_way_is_one_stream(judged: Judged) -> None:
    assert judged.only("switched")["occurrences"] == 7


# --- what looks like a subscription and is none, and the other way round --------------------------------------

HAIRCUTS = [dt.date(2026, 1, 9), dt.date(2026, 2, 10), dt.date(2026, 3, 12), dt.date(2026, 4, 9), dt.date(2026, 5, 18)]
HAIRCUTS += [dt.date(2026, 7, 1), dt.date(2026, 7, 31), dt.date(2026, 9, 11), dt.date(2026, 10, 20)]
given("haircuts", "Sharp Cuts", HAIRCUTS, -35.0, primary="GENERAL_SERVICES", detailed="GENERAL_SERVICES_OTHER")
given("copay", "Parkview", monthly(12, 6), -15.0, primary="MEDICAL", detailed="MEDICAL_PRIMARY_CARE")
given("salon, no category", "Salon Lumiere", monthly(12, 6), -45.0, primary=None)


@pytest.mark.parametrize("customer", ["haircuts", "copay", "salon, no category"])
def test_visits_at_one_price_are_no_subscriptions(judged: Judged, customer: str) -> None:
    assert judged.of(customer) == []  # four haircuts in a row are a month apart, nine are not


given("half uncategorised coffee", "Beans", monthly(12, 6), -4.5, primary="FOOD_AND_DRINK")
for _row in ROWS[-4:]:
    _row["category_primary"] = None
given("half uncategorised insurance", "Evergreen", monthly(12, 9), -402.0, primary="GENERAL_SERVICES")
for _number, _row in enumerate(ROWS[-9:]):
    _row["category_primary"], _row["category_detailed"] = (
        ("GENERAL_SERVICES", "GENERAL_SERVICES_INSURANCE") if _number % 3 == 0 else (None, None)
    )


def test_the_rows_that_have_a_category_speak_for_those_that_have_none(judged: Judged) -> None:
    assert judged.of("half uncategorised coffee") == []
    assert judged.only("half uncategorised insurance")["kind"] == "bill"


APPS = [dt.date(2026, m, d) for m, d in [(3, 3), (4, 28), (5, 9), (6, 30), (8, 2), (9, 29), (11, 11)]]
given("storage and music", "Apple Bill", monthly(6, 10), [-2.49] * 5 + [-2.99] * 5)
given("storage and music", "Apple Bill", monthly(20, 9, (2026, 10)), -10.99)
given("storage and music", "Apple Bill", APPS, [-0.99, -4.99, -1.99, -9.99, -0.49, -5.99, -3.99])


def test_a_price_rise_between_other_plans_and_purchases_stays_one_stream(judged: Judged) -> None:
    storage, music = judged.of("storage and music")
    assert (storage["occurrences"], storage["status"], storage["last_amount"]) == (10, "mature", -2.99)
    assert storage["price_change"] == pytest.approx(2.99 / 2.49 - 1)
    assert (music["occurrences"], music["typical_amount"]) == (9, -10.99)


# --- income ----------------------------------------------------------------------------------------------------

given("salary", "Employer", days(dt.date(2026, 7, 3), 14, 10), 2100.0, "paycheck", "INCOME", "INCOME_WAGES")
given(
    "hourly",
    "Employer",
    days(dt.date(2026, 7, 3), 14, 10),
    [900, 1010, 870, 1200, 640, 980, 1100, 930, 1015, 890],
    "paycheck",
    "INCOME",
    "INCOME_WAGES",
)
_halves = sorted([*monthly(1, 6), *monthly(15, 6)])
given("semi-monthly", "Employer", _halves, 1900.0, "paycheck", "INCOME", "INCOME_WAGES")
given("lodger", "J Smith", monthly(1, 6), 600.0, "other_in", "TRANSFER_IN", "TRANSFER_IN_ACCOUNT_TRANSFER")


def test_paychecks_and_third_party_inflows_are_income(judged: Judged) -> None:
    for customer, cadence in [
        ("salary", "biweekly"),
        ("hourly", "biweekly"),
        ("semi-monthly", "semi_monthly"),
        ("lodger", "monthly"),
    ]:
        stream = judged.only(customer)
        assert (stream["kind"], stream["cadence"], stream["monthly_cost"]) == ("income", cadence, None)
        assert stream["typical_amount"] > 0
    assert judged.only("semi-monthly")["expected_next_date"] == ahead(1)


given("semi-monthly, three hits", "Employer", _halves[-3:], 1900.0, "paycheck", "INCOME", "INCOME_WAGES")
given("a raise", "Employer", monthly(28, 8, (2026, 10)), [3000.0] * 4 + [3300.0] * 4, "paycheck", "INCOME")


def test_semi_monthly_needs_four_hits(judged: Judged) -> None:
    assert "semi_monthly" not in {stream["cadence"] for stream in judged.of("semi-monthly, three hits")}


def test_a_raise_is_no_price_change(judged: Judged) -> None:
    raised = judged.only("a raise")
    assert (raised["typical_amount"], raised["last_amount"], raised["price_change"]) == (3300.0, 3300.0, None)


HOURS = [1510, 1490, 1720, 1604, 1388, 1555, 1691, 1472, 1533, 1618]
given("part into savings", "Employer", days(dt.date(2026, 7, 3), 14, 10), HOURS, "paycheck", "INCOME", "INCOME_WAGES")
given("part into savings", "Employer", days(dt.date(2026, 7, 3), 14, 10), 200, "paycheck", "INCOME", "INCOME_WAGES")
given("bonus", "Employer", days(dt.date(2026, 7, 3), 14, 10), HOURS, "paycheck", "INCOME", "INCOME_WAGES")
given("bonus", "Employer", [dt.date(2026, 9, 16)], 2750, "paycheck", "INCOME", "INCOME_WAGES")
given("monthly, a bonus", "Employer", monthly(1, 6), 4000.0, "paycheck", "INCOME", "INCOME_WAGES")
given("monthly, a bonus", "Employer", [dt.date(2026, 10, 18)], 6500.0, "paycheck", "INCOME", "INCOME_WAGES")
_paydays = [4, 13, 17, 29, 33, 52, 58, 66, 83, 88, 101, 119, 124]
given(
    "gig",
    "Upwork",
    [AS_OF - dt.timedelta(days=back) for back in _paydays],
    [480, 1310, 655, 905, 512, 1480, 733, 610, 1190, 560, 842, 1330, 701],
    "paycheck",
    "INCOME",
    "INCOME_GIG_ECONOMY",
)
given("friends pay back", "Venmo", monthly(9, 8), [31, 18, 44, 25, 52, 20, 38, 29], "other_in", "TRANSFER_IN")


def test_a_fixed_part_of_the_pay_is_a_stream_beside_the_hours(judged: Judged) -> None:
    fixed, hours = judged.of("part into savings")
    assert (fixed["typical_amount"], fixed["cadence"], fixed["occurrences"]) == (200, "biweekly", 10)
    assert (hours["typical_amount"], hours["cadence"], hours["occurrences"]) == (1544, "biweekly", 10)


def test_a_bonus_is_no_payday(judged: Judged) -> None:
    hours = judged.only("bonus")
    assert (hours["cadence"], hours["occurrences"]) == ("biweekly", 10)
    assert hours["expected_next_date"] == hours["last_date"] + dt.timedelta(days=14)
    assert judged.only("monthly, a bonus")["cadence"] == "monthly"


def test_gig_pay_and_what_friends_send_is_no_calendar(judged: Judged) -> None:
    assert judged.of("gig") == []
    assert judged.of("friends pay back") == []


given("twice a month", "Payee", _halves, -50.0)


def test_only_income_is_semi_monthly(judged: Judged) -> None:
    assert [stream["cadence"] for stream in judged.of("twice a month")] == ["monthly", "monthly"]


for _detail in ["INCOME_INTEREST_EARNED", "INCOME_DIVIDENDS", "INCOME_TAX_REFUND"]:
    given(_detail, "Broker", monthly(1, 6), 12.0, "other_in", "INCOME", _detail)
given("interest by name", "INTRST PYMNT", monthly(1, 6), 12.0, "other_in", None)


@pytest.mark.parametrize(
    "customer", ["INCOME_INTEREST_EARNED", "INCOME_DIVIDENDS", "INCOME_TAX_REFUND", "interest by name"]
)
def test_interest_tax_refunds_and_dividends_are_no_income_streams(judged: Judged, customer: str) -> None:
    assert judged.of(customer) == []


# --- the table as a whole --------------------------------------------------------------------------------------

given("null payee", "Netflix", monthly(15, 6), -15.49)
for _row in ROWS[-6:]:
    _row["payee"] = _row["merchant"] = None
given("id only", "Cz_IJ_489", monthly(15, 6), -15.49)
for _row in ROWS[-6:]:
    _row["merchant"] = None


def test_an_unknown_payee_is_no_stream_and_a_nameless_one_shows_its_id(judged: Judged) -> None:
    assert judged.of("null payee") == []
    assert judged.only("id only")["merchant"] == "cz_ij_489"


def test_the_table_keeps_its_contract(judged: Judged) -> None:
    assert failures(contracts.CONTRACTS["recurring_streams"], judged.expression).empty


def test_hits_are_the_occurrences_and_belong_to_one_stream(judged: Judged) -> None:
    for stream in judged.streams:
        assert len(judged.dates(stream)) == stream["occurrences"], stream
    ids = [hit["transaction_id"] for hit in judged.hits]
    assert len(ids) == len(set(ids))
    assert {hit["stream_id"] for hit in judged.hits} == {stream["stream_id"] for stream in judged.streams}


def test_row_order_and_reruns_change_nothing(judged: Judged) -> None:
    again = Judged(random.Random(7).sample(ROWS, len(ROWS)), AS_OF)

    def sort(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(found, key=lambda row: (row["stream_id"], str(row.get("transaction_id"))))

    assert sort(again.streams) == sort(judged.streams)
    assert sort(again.hits) == sort(judged.hits)


@pytest.fixture(scope="module")
def earlier() -> Judged:
    return Judged(ROWS, AS_OF - dt.timedelta(days=33))


def test_every_charge_at_one_price_on_two_days_is_a_hit_in_whatever_order_ties_come(earlier: Judged) -> None:
    assert [stream["occurrences"] for stream in earlier.of("twice a month")] == [5, 5]


def test_a_stream_keeps_its_id_as_history_grows(judged: Judged, earlier: Judged) -> None:
    now = {stream["stream_id"] for stream in judged.streams}
    assert len(earlier.streams) > 25
    gone = {s["user_id"] for s in earlier.streams if s["stream_id"] not in now}
    assert gone <= {"trial"}, gone


# --- from transactions -----------------------------------------------------------------------------------------


def test_pending_then_posted_counts_once() -> None:
    con = ibis.duckdb.connect()
    rows = [
        {"transaction_id": f"{name}_{number}", "date": date - dt.timedelta(days=early), "pending": pending}
        for number, date in enumerate(monthly(15, 6))
        for name, early, pending in (("posted", 0, False), ("pending", 1, True))
    ]
    whole = {
        "account_id": "a1",
        "user_id": "u1",
        "amount": -15.49,
        "merchant_name": "Netflix",
        "merchant_entity_id": None,
        "payment_channel": "online",
        "category_primary": "ENTERTAINMENT",
        "category_detailed": "ENTERTAINMENT_TV_AND_MOVIES",
        "batch": "b",
    }
    account = {"account_id": "a1", "user_id": "u1", "type": "checking", "iso_currency_code": "USD", "batch": "b"}

    def table(name: str, found: list[dict[str, Any]]) -> ibis.Table:
        schema = contracts.CONTRACTS[name].to_schema()
        typed = {column: str(spec.dtype) for column, spec in schema.columns.items()}
        full = [{column: row.get(column) for column in typed} for row in found]
        return con.create_table(name, ibis.memtable(pd.DataFrame(full).astype(object), schema=typed))

    table("transactions", [{**whole, **row} for row in rows])
    table("accounts", [{**account, "balance_date": AS_OF}])
    table("users", [{"user_id": "u1", "user_type": "customer", "batch": "b"}])
    classified = classify(con.table("transactions"), con.table("accounts"), con.table("users"), AS_OF)
    (stream,) = con.to_pyarrow(recurring_streams(classified, AS_OF)).to_pylist()
    assert (stream["occurrences"], stream["merchant"]) == (6, "Netflix")
