"""Features of a window: spending, savings, cards, subscriptions, and what is unknown."""

import datetime as dt
from typing import Any

import ibis
import pytest

from spendsense_pipeline import contracts
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.features.signals import signals_of
from spendsense_pipeline_tests.features.ledger import AS_OF, Ledger, Row, every, monthly, shared

WINDOWS = [1, 30, 180, 365]
OLD = 200  # days of history, so that no window is short of it


def spending(ledger: Ledger) -> None:
    checking, savings, card, broker = ledger.customer("spender", "checking", "savings", "credit card", "brokerage")
    ledger.row(checking, OLD, -600, "Deli", "FOOD_AND_DRINK_RESTAURANT")
    for days in range(OLD, 30, -90):
        ledger.row(checking, days, 0, "Deli", "FOOD_AND_DRINK_RESTAURANT")  # no gap of more than 92 days
    ledger.row(checking, 29, -100, "Deli", "FOOD_AND_DRINK_RESTAURANT")  # the first day of 30
    ledger.row(checking, 30, -40, "Deli", "FOOD_AND_DRINK_RESTAURANT")  # the day before
    ledger.row(card, 5, -50, "Shop", "GENERAL_MERCHANDISE")
    ledger.row(card, 4, 20, "Shop", "GENERAL_MERCHANDISE")
    ledger.row(checking, 3, -300, "Amex", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT")
    ledger.row(checking, 3, -500, None, "TRANSFER_OUT_SAVINGS")
    ledger.row(savings, 3, 500, None, "TRANSFER_IN_SAVINGS")
    ledger.row(savings, 2, -60, "Transfer", "TRANSFER_OUT_SAVINGS")
    ledger.row(checking, 2, -10, None, "TRANSFER_OUT_WITHDRAWAL")
    ledger.row(broker, 2, -900, "Fund", "GENERAL_SERVICES")
    (checking,) = ledger.customer("refunded", "checking")
    ledger.row(checking, 2, 20, "Shop", "GENERAL_MERCHANDISE")
    (checking,) = ledger.customer("new", "checking")
    ledger.row(checking, 9, -90, "Shop", "GENERAL_MERCHANDISE")
    (checking,) = ledger.customer("two months", "checking")
    ledger.row(checking, 60, -90, "Shop", "GENERAL_MERCHANDISE")
    ledger.customer("silent", "checking")
    ledger.customer("no account")


def fees(ledger: Ledger) -> None:
    checking, card = ledger.customer("fees", "checking", "credit card")
    ledger.row(checking, 170, -35, "Overdraft fee", "BANK_FEES_OVERDRAFT_FEES")
    ledger.row(checking, 160, -29, "NSF fee", "")
    ledger.row(checking, 150, 29, "NSF fee reversal", "")
    ledger.row(checking, 150, 5, "Monthly fee reversal", "")
    ledger.row(card, 20, -12.5, "INTEREST CHARGE ON PURCHASES", "")
    ledger.row(card, 10, 99, "INTEREST CHARGE REFUND", "")
    ledger.row(checking, 9, 3, "Interest paid", "INCOME_INTEREST_EARNED")


def balances(ledger: Ledger) -> None:
    ledger.customer("saver")
    checking = ledger.account("saver", "checking", balance_current=3000.0)
    savings = ledger.account("saver", "savings", balance_current=1100.0)
    ledger.row(savings, 20, 100, "Transfer in", "TRANSFER_IN_SAVINGS")
    ledger.row(savings, 20, 500, "Acme", "INCOME_WAGES")
    ledger.row(checking, 20, -1500, "Rent", "RENT_AND_UTILITIES_RENT")
    ledger.customer("half known")
    ledger.account("half known", "savings", balance_current=1100.0)
    ledger.row(ledger.account("half known", "savings"), 20, 600, "In", "TRANSFER_IN_SAVINGS")
    ledger.customer("two pots")
    for lies, moved in ((300.0, 200), (900.0, -100)):
        ledger.row(
            ledger.account("two pots", "savings", balance_current=lies), 20, moved, "Move", "TRANSFER_IN_SAVINGS"
        )
    ledger.customer("from nothing")
    ledger.account("from nothing", "checking", balance_current=600.0)
    savings = ledger.account("from nothing", "savings", balance_current=600.0)
    ledger.row(savings, 20, 600, "In", "TRANSFER_IN_SAVINGS")


def cards(ledger: Ledger) -> None:
    for user, held in {
        "two cards": [(300.0, 1000.0), (450.0, 500.0)],
        "credit balance": [(-50.0, 1000.0)],
        "no limit": [(300.0, None)],
        "one without limit, one high": [(300.0, None), (900.0, 1000.0)],
        "one without limit, one low": [(300.0, None), (10.0, 1000.0)],
        "exactly thirty": [(300.0, 1000.0)],
        "limit of zero": [(300.0, 0.0)],
        "balance unknown": [(None, 1000.0)],
    }.items():
        ledger.customer(user)
        for owed, limit in held:
            ledger.account(user, "credit card", balance_current=owed, balance_limit=limit)

    minimum = {"minimum_payment_amount": 35.0, "is_overdue": False, "last_statement_balance": 900.0}
    for user, currency, paid, owed, facts in [
        ("minimum payer", "USD", 40.0, 800.0, {}),
        ("a dollar above", "USD", 40.01, 800.0, {}),
        ("koruna payer", "CZK", 140.0, 800.0, {}),
        ("paid in full", "USD", 35.0, 800.0, {"last_statement_balance": 35.0}),
        ("nothing owed", "USD", 35.0, 0.0, {}),
        ("owes nobody knows", "USD", 35.0, None, {}),
        ("whole statement paid", "USD", 30.0, 800.0, {"last_statement_balance": 30.0}),
        ("no minimum known", "USD", 35.0, 800.0, {"minimum_payment_amount": None}),
        ("paid nothing", "USD", 0.0, 800.0, {}),
        ("no statement", "USD", 35.0, 800.0, {"last_statement_balance": None}),
        ("later statement", "USD", 35.0, 800.0, {"balance_date": AS_OF + dt.timedelta(days=1), "is_overdue": True}),
        ("overdue", "USD", 100.0, 800.0, {"is_overdue": True}),
    ]:
        ledger.customer(user)
        card = ledger.account(
            user, "credit card", balance_current=owed, balance_limit=1000.0, iso_currency_code=currency
        )
        ledger.liability(card, liability_type="credit_card", last_payment_amount=paid, **{**minimum, **facts})
    ledger.account("overdue", "loan", balance_current=5.0)
    ledger.customer("undescribed loan", "loan")


def abroad(ledger: Ledger) -> None:
    """Two customers with the same dollars; one has accounts in euros beside them."""
    for user in ("at home", "abroad"):
        checking, card = ledger.customer(user, "checking", "credit card")
        for days in (50, 40, 20):
            ledger.row(checking, days, -30, "Deli", "FOOD_AND_DRINK_RESTAURANT")
        ledger.row(card, 10, -5, "Deli", "FOOD_AND_DRINK_RESTAURANT")
    euros = {"iso_currency_code": "EUR", "balance_current": 900.0}
    checking = ledger.account("abroad", "checking", **euros)
    ledger.row(checking, 20, -35, "Overdraft fee", "BANK_FEES_OVERDRAFT_FEES")
    ledger.row(checking, 10, 3000, "Acme", "INCOME_WAGES")
    ledger.account("abroad", "savings", **euros)
    ledger.account("abroad", "brokerage", **euros)
    card = ledger.account("abroad", "credit card", balance_limit=1000.0, **euros)
    ledger.row(card, 5, -44, "Interest charge", "BANK_FEES_INTEREST_CHARGE")
    ledger.liability(card, liability_type="credit_card", is_overdue=True)


def subscribers(ledger: Ledger) -> None:
    """Subscriptions beside 100 of other spending, of which the first day is the history's."""

    def subscriber(user: str, history: int = OLD, **charges: tuple[list[dt.date], float, str]) -> None:
        (account,) = ledger.customer(user, "checking")
        ledger.row(account, history, -1, "Deli", "FOOD_AND_DRINK")
        ledger.row(account, 10, -100, "Deli", "FOOD_AND_DRINK")
        for payee, (dates, cost, category) in charges.items():
            for date in dates:
                ledger.row(account, date, -cost, payee, category)

    shows = "ENTERTAINMENT"
    subscriber(
        "subscriber",
        charged_in_both=(monthly(15, 3), 10.0, shows),
        due_and_charged_before=(monthly(31, 3, (2026, 5)), 20.0, shows),  # 30 days ago, and again today
        neither_charged_nor_due=(monthly(20, 3, (2026, 5), apart=3), 15.0, shows),  # not in 30 days
        early=(monthly(12, 2), 7.0, shows),
        inactive=(monthly(3, 3, (2026, 4)), 7.0, shows),
        a_bill=(monthly(8, 3), 90.0, "GENERAL_SERVICES_INSURANCE"),
    )
    ledger.customer("overdue stream")
    account = ledger.account("overdue stream", "checking")
    for date in monthly(10, 3, (2026, 2), apart=3):
        ledger.row(account, date, -10, "Vitamins", shows)
    subscriber("due in three days", a=(monthly(3, 3), 10.0, shows))
    subscriber("due in four days", a=(monthly(4, 3), 10.0, shows))
    subscriber("young", 59, early=(monthly(12, 2), 7.0, shows))
    subscriber("old enough", 60, early=(monthly(12, 2), 7.0, shows))
    subscriber("young finder", 45, weekly=(every(7, 3, AS_OF - dt.timedelta(days=5)), 7.0, shows))


@pytest.fixture(scope=shared)
def found() -> dict[tuple[str, int], Row]:
    ledger = Ledger()
    spending(ledger)
    fees(ledger)
    balances(ledger)
    cards(ledger)
    subscribers(ledger)
    abroad(ledger)
    ledger.customer("staff", "checking", user_type="operator")
    ledger.customer("named a customer", "checking", user_type="customer")
    ledger.customer("came today", "checking", created_at=dt.datetime(2026, 6, 30, 23, tzinfo=dt.UTC))
    ledger.customer("came later", "checking", created_at=dt.datetime(2026, 7, 1, tzinfo=dt.UTC))
    assert failures(contracts.CONTRACTS["features_30d"], ibis.memtable(ledger.signals(WINDOWS).features)).empty
    return ledger.features(WINDOWS)


Found = dict[tuple[str, int], Row]


def test_every_customer_has_a_row_for_every_window_and_operators_none(found: Found) -> None:
    users = {user for user, _ in found}
    assert set(found) == {(user, window) for user in users for window in WINDOWS}
    assert {"silent", "no account", "named a customer", "came today"} <= users
    assert not {"staff", "came later"} & users


def test_accounts_in_another_currency_are_in_no_signal(found: Found) -> None:
    for window in WINDOWS:
        assert {**found["abroad", window], "user_id": None} == {**found["at home", window], "user_id": None}


def test_a_window_begins_after_as_of_less_its_days(found: Found) -> None:
    assert found["spender", 30]["total_spend"] == 100 + 50 - 20 + 10
    assert found["spender", 180]["total_spend"] == 100 + 40 + 50 - 20 + 10
    assert found["spender", 365]["total_spend"] == 600 + 100 + 40 + 50 - 20 + 10
    assert found["spender", 1]["total_spend"] == 0


def test_spending_is_never_below_zero(found: Found) -> None:
    assert found["refunded", 30]["total_spend"] == 0


def test_expenses_are_divided_by_the_months_that_are_known(found: Found) -> None:
    assert found["new", 180]["avg_monthly_expenses"] == 90  # nine days of history count as a month
    assert found["two months", 180]["avg_monthly_expenses"] == 45
    assert found["spender", 180]["avg_monthly_expenses"] == 180 / 6


def test_without_any_transaction_money_is_unknown(found: Found) -> None:
    for user in ("silent", "no account"):
        row = found[user, 30]
        assert row["history_days"] == 0
        unknown = ["total_spend", "avg_monthly_expenses", "net_savings_inflow", "interest_charges", "fees_180d"]
        unknown += ["recurring_merchants", "payroll_detected", "avg_monthly_income", "interest_charges_present"]
        assert [row[name] for name in unknown] == [None] * len(unknown)


def test_fees_are_netted_over_180_days_whatever_the_window(found: Found) -> None:
    assert {found["fees", window]["fees_180d"] for window in WINDOWS} == {35.0}


def test_an_interest_refund_and_interest_earned_are_no_interest_charged(found: Found) -> None:
    assert found["fees", 30]["interest_charges"] == 12.5
    assert found["fees", 30]["interest_charges_present"] is True
    assert found["fees", 1]["interest_charges_present"] is False


def test_savings_are_what_flowed_and_what_lies_there(found: Found) -> None:
    row = found["saver", 30]
    assert row["net_savings_inflow"] == 600
    assert row["savings_balance"] == 1100
    assert row["savings_growth_rate"] == pytest.approx(600 / 500)
    assert row["emergency_fund_months"] == pytest.approx(1100 / 1500)
    assert row["cash_flow_buffer_months"] == pytest.approx(2)
    assert found["spender", 30]["net_savings_inflow"] == 440
    assert found["spender", 180]["net_savings_inflow"] == pytest.approx(440 / 6, abs=0.005)


def test_all_savings_accounts_are_taken_together(found: Found) -> None:
    assert found["two pots", 30]["savings_balance"] == 1200
    assert found["two pots", 30]["savings_growth_rate"] == pytest.approx(100 / 1100)


def test_a_sum_over_accounts_that_are_not_there_is_unknown(found: Found) -> None:
    for name in ("net_savings_inflow", "savings_balance", "savings_growth_rate", "emergency_fund_months"):
        assert found["new", 30][name] is None, name
    assert found["two pots", 30]["cash_flow_buffer_months"] is None


def test_one_unknown_balance_makes_the_sum_unknown(found: Found) -> None:
    assert found["half known", 30]["savings_balance"] is None
    assert found["half known", 30]["net_savings_inflow"] == 600


def test_growth_from_nothing_is_unknown(found: Found) -> None:
    assert found["from nothing", 30]["savings_growth_rate"] is None
    assert found["from nothing", 30]["savings_balance"] == 600


def test_months_of_expenses_are_unknown_where_nothing_was_spent(found: Found) -> None:
    row = found["from nothing", 30]
    assert row["avg_monthly_expenses"] == 0
    assert (row["emergency_fund_months"], row["cash_flow_buffer_months"]) == (None, None)


def test_pay_is_unknown_without_a_paycheck_and_detected_with_two(found: Found) -> None:
    row = found["spender", 180]
    assert (row["avg_monthly_income"], row["income_variability"], row["median_pay_gap_days"]) == (None, None, None)
    assert (row["pay_frequency"], row["payroll_detected"]) == (None, False)
    row = found["saver", 180]  # a single one
    assert (row["avg_monthly_income"], row["payroll_detected"], row["pay_frequency"]) == (500, False, None)


@pytest.mark.parametrize(
    ("user", "average", "highest", "flags", "unknown_limits"),
    [
        ("two cards", 0.5, 0.9, (True, True, True), 0),
        ("credit balance", 0.0, 0.0, (False, False, False), 0),
        ("no limit", None, None, (None, None, None), 1),
        ("one without limit, one high", 0.9, 0.9, (True, True, True), 1),
        ("one without limit, one low", 0.01, 0.01, (None, None, None), 1),
        ("exactly thirty", 0.3, 0.3, (True, False, False), 0),
        ("limit of zero", None, None, (None, None, None), 1),
        ("balance unknown", None, None, (None, None, None), 0),
        ("new", None, None, (False, False, False), 0),
    ],
)
def test_utilization(
    found: Found, user: str, average: float | None, highest: float | None, flags: tuple[Any, ...], unknown_limits: int
) -> None:
    row = found[user, 30]
    assert (row["avg_utilization"], row["max_utilization"]) == (average, highest)
    assert tuple(row[f"utilization_{share}_flag"] for share in (30, 50, 80)) == flags
    assert row["cards_with_unknown_limit"] == unknown_limits


def test_every_card_is_counted_also_without_a_limit(found: Found) -> None:
    assert found["one without limit, one high", 30]["card_count"] == 2
    assert found["new", 30]["card_count"] == 0


@pytest.mark.parametrize(
    ("user", "minimum_only", "overdue"),
    [
        ("minimum payer", True, False),
        ("a dollar above", False, False),
        ("koruna payer", True, False),  # five dollars are 105 koruna
        ("paid in full", False, False),
        ("nothing owed", False, False),
        ("owes nobody knows", None, False),
        ("whole statement paid", False, False),
        ("no minimum known", None, False),
        ("paid nothing", False, False),
        ("no statement", None, False),
        ("later statement", None, None),
        ("overdue", None, True),  # the loan is not described, the card is enough
        ("undescribed loan", False, None),
        ("two cards", None, None),
        ("new", False, False),
    ],
)
def test_what_liabilities_say(found: Found, user: str, minimum_only: bool | None, overdue: bool | None) -> None:
    row = found[user, 30]
    assert row["any_overdue"] is overdue
    if user != "overdue":
        assert row["minimum_payment_only_flag"] is minimum_only


def test_subscriptions_charged_in_the_window_or_due_are_reported(found: Found) -> None:
    row = found["subscriber", 30]
    assert (row["recurring_merchants"], row["monthly_recurring_spend"]) == (2, 30)
    assert row["subscription_spend_share"] == pytest.approx(10 / row["total_spend"])
    row = found["subscriber", 180]
    assert (row["recurring_merchants"], row["monthly_recurring_spend"]) == (3, 35)
    assert row["subscription_spend_share"] == pytest.approx((3 * 10 + 3 * 20 + 2 * 15) / row["total_spend"])
    assert found["overdue stream", 30]["recurring_merchants"] == 0
    assert found["overdue stream", 180]["recurring_merchants"] == 1


def test_a_charge_due_within_three_days_is_reported_before_it_comes(found: Found) -> None:
    assert found["due in three days", 1]["recurring_merchants"] == 1
    assert found["due in four days", 1]["recurring_merchants"] == 0


def test_the_share_of_subscriptions_is_unknown_where_nothing_was_spent(found: Found) -> None:
    row = found["due in three days", 1]
    assert (row["recurring_merchants"], row["total_spend"], row["subscription_spend_share"]) == (1, 0, None)


def test_finding_none_in_a_short_history_says_nothing(found: Found) -> None:
    assert found["young", 30]["recurring_merchants"] is None
    assert found["young", 30]["monthly_recurring_spend"] is None
    assert found["young", 30]["subscription_spend_share"] is None
    assert found["old enough", 30]["recurring_merchants"] == 0
    assert found["young finder", 30]["recurring_merchants"] == 1


def test_investments_are_any_account_of_that_class(found: Found) -> None:
    assert found["spender", 30]["investment_account_detected"] is True
    assert found["new", 30]["investment_account_detected"] is False


def test_the_currency_stands_beside_the_money(found: Found) -> None:
    assert (found["koruna payer", 30]["currency"], found["koruna payer", 30]["currency_factor"]) == ("CZK", 21.0)
    assert (found["no account", 30]["currency"], found["no account", 30]["currency_factor"]) == (None, 1.0)


@pytest.mark.parametrize("windows", [[], [0], [30, 366]])
def test_a_window_is_1_to_365_days(windows: list[int]) -> None:
    with pytest.raises(ValueError, match="1 to 365"):
        signals_of(Ledger().customers(), [AS_OF], windows)


@pytest.mark.parametrize("dates", [[], [AS_OF, AS_OF], [AS_OF, AS_OF - dt.timedelta(days=1)]])
def test_dates_ascend(dates: list[dt.date]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        signals_of(Ledger().customers(), dates)


def test_without_customers_there_are_tables_without_rows() -> None:
    nobody = Ledger().signals()
    assert (nobody.streams.num_rows, nobody.features.num_rows, nobody.left_out.num_rows) == (0, 0, 0)
    ledger = Ledger()
    ledger.customer("ann")
    assert nobody.streams.schema == ledger.signals().streams.schema
    assert nobody.features.schema == ledger.signals().features.schema


def test_a_window_of_30_days_shows_a_monthly_subscription_and_a_salary_of_the_whole_history() -> None:
    ledger = Ledger()
    (checking,) = ledger.customer("whole", "checking")
    for date in every(30, 6, AS_OF - dt.timedelta(days=12)):
        ledger.row(checking, date, -15.49, "NETFLIX.COM", "ENTERTAINMENT_TV_AND_MOVIES")
    for date in every(14, 12, AS_OF - dt.timedelta(days=3)):
        ledger.row(checking, date, 1500, "ACME PAYROLL", "")
    row = ledger.features((30,))["whole", 30]
    assert (row["recurring_merchants"], row["monthly_recurring_spend"]) == (1, 15.49)
    assert row["subscription_spend_share"] == 1
    assert row["pay_frequency"] == "biweekly"
    assert row["avg_monthly_income"] == pytest.approx(1500 * 30 / 14, abs=0.01)


def test_what_was_before_a_long_gap_is_in_no_sum() -> None:
    ledger = Ledger(AS_OF)
    (checking,) = ledger.customer("came back", "checking")
    for days in (179, 170, 154):
        ledger.row(checking, days, -1000, "Deli", "FOOD_AND_DRINK_RESTAURANT")
    for days in (61, 30, 1):
        ledger.row(checking, days, -10, "Deli", "FOOD_AND_DRINK_RESTAURANT")
    assert ledger.features()["came back", 180]["history_days"] == 61  # the gap is of 93 days
    assert ledger.features()["came back", 180]["avg_monthly_expenses"] == pytest.approx(30 / 61 * 30, abs=0.005)
