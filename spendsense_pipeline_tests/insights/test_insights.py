"""Each insight on both sides of what makes it fire, in a household about which there is otherwise nothing to say."""

import datetime as dt
import functools
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spendsense_pipeline.features.signals import EPOCH, Customers, evidence_of, tables_of
from spendsense_pipeline.insights.figures import FIGURES
from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.insights.of_range import DETECTORS, _money, _objects, _quoted, _rounded, insights_of
from spendsense_pipeline_tests.features.ledger import AS_OF, every, monthly
from spendsense_pipeline_tests.insights.household import PAYDAY, Happens, Household, insights_by_household

ALWAYS = {"bill_due_soon"}


def told(happens: Happens) -> dict[str, dict[str, Any]]:
    household = Household()
    happens(household)
    return household.insights()


def bought(h: Household, *days: int, amount: float = -84.2, name: str = "Blue Lamp") -> None:
    for day in days:
        h.row(h.checking, day, amount, name, "GENERAL_MERCHANDISE_CLOTHING_AND_ACCESSORIES")


def service(h: Household, dates: list[dt.date], amount: float = -11.99, name: str = "Spotify") -> None:
    for date in dates:
        h.row(h.checking, date, amount, name, "ENTERTAINMENT_MUSIC_AND_AUDIO")


def raised(h: Household, price: float, last: int = 1) -> None:
    h.without("Netflix")
    for number, day in enumerate(monthly(18, 12)):
        h.row(h.checking, day, -(15.49 if number < 12 - last else price), "Netflix", "ENTERTAINMENT_TV_AND_MOVIES")


def power(h: Household, amount: float) -> None:
    h.without("City Power", 25)
    h.row(h.checking, dt.date(2026, 6, 18), -amount, "City Power", "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY")


def paid(h: Household, *last: tuple[dt.date, float], before: dt.date = PAYDAY - dt.timedelta(days=28)) -> None:
    h.without("Acme Corp Payroll")
    h.pay(before)
    for date, amount in last:
        h.row(h.checking, date, amount, "Acme Corp Payroll", "INCOME_WAGES")


def fee(h: Household, day: int, amount: float = -35.0, name: str = "Overdraft Fee",
        category: str = "BANK_FEES_OVERDRAFT_FEES") -> None:  # fmt: skip
    h.row(h.checking, day, amount, name, category)


def annual(h: Household, month: int, day: int) -> None:
    for year in (2024, 2025):
        h.row(h.checking, dt.date(year, month, day), -119.0, "Costco Membership", "GENERAL_MERCHANDISE_SUPERSTORES")
        h.row(h.checking, dt.date(year, month, day), -640.0, "Harbor Home Insurance", "GENERAL_SERVICES_INSURANCE")


def next_missing(h: Household, day: int) -> None:
    next_power(h, day)
    h.without("City Power", 20)


def owing(h: Household, *cards: tuple[float, float | None]) -> None:
    for number, (balance, apr) in enumerate(cards):
        h.card(balance, f"48{number}1", apr_purchase=apr, minimum_payment_amount=35.0, last_payment_amount=balance,
               last_statement_balance=balance, is_overdue=False)  # fmt: skip


def minimum(h: Household, payment: float, statement: float = 900.0) -> None:
    h.card(900.0, minimum_payment_amount=35.0, last_payment_amount=payment, last_statement_balance=statement,
           apr_purchase=24.0, is_overdue=False)  # fmt: skip


def falling(h: Household, by: float, now: float = 1_000.0) -> None:
    card = h.card(now, is_overdue=False)
    h.row(card, 200, -30.0, "Corner Grocery", "FOOD_AND_DRINK_GROCERIES")
    for day in (80, 50, 20):
        h.row(card, day, by / 3, "Card Payment", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT")
        h.row(h.checking, day, -by / 3, "Card Payment", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT")


def saved(h: Household, amount: float, balance: float) -> None:
    h.holds(savings=balance)
    h.row(h.savings, 10, amount, "Transfer", "TRANSFER_IN_SAVINGS")


def linked(h: Household) -> None:
    card = h.card(400.0, is_overdue=False)
    h.row(card, 8, 410.0, "Payment Thank You", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT")
    for day in (5, 35, 65):
        h.row(card, day, -150.0 - day, "Blue Lamp", "GENERAL_MERCHANDISE_CLOTHING_AND_ACCESSORIES")


def interest(h: Household, amount: float) -> None:
    card = h.card(900.0, apr_purchase=24.0, is_overdue=False)
    h.row(card, 4, -amount, "Interest Charge", "BANK_FEES_INTEREST_CHARGE")


def cash(h: Household, amount: float, day: int = 6) -> None:
    """Two withdrawals, and nothing else spent lately but 1,000 at a store."""
    h.rows["transactions"] = [row for row in h.rows["transactions"] if row["date"] <= AS_OF - dt.timedelta(days=30)
                              or row["amount"] > 0]  # fmt: skip
    bought(h, 4, amount=-1_000.0)
    for ago in (day, day + 9):
        h.row(h.checking, ago, -amount / 2, "ATM", "TRANSFER_OUT_WITHDRAWAL")


def sent(h: Household, category: str = "") -> None:
    for day in (5, 6):
        h.row(h.checking, day, -45.0, "ZELLE TO DAN OKAFOR", category)


def tickets(h: Household, name: str, category: str) -> None:
    for _ in range(2):
        h.row(h.checking, 8, -17.49, name, category)


def by_the_month(h: Household, last: dt.date, newest: int) -> None:
    """Pay on the 24th, or the weekday before, up to a day; no row for some days."""
    h.without("Acme Corp Payroll")
    for day in monthly(24, 12):
        before = day - dt.timedelta(days=max(0, day.weekday() - 4))
        if before <= last:
            h.row(h.checking, before, 3_250.0, "Acme Corp Payroll", "INCOME_WAGES")
    h.rows["transactions"] = [r for r in h.rows["transactions"] if r["date"] <= AS_OF - dt.timedelta(days=newest)]


def rent_early(h: Household, day: dt.date) -> None:
    """July's rent on a day of June; no other bill is due."""
    h.without("City Power")
    h.row(h.checking, day, -1_100.0, "Juniper Apartments", "RENT_AND_UTILITIES_RENT")


def early_once(h: Household, *last: dt.date) -> None:
    """Pay on the last of each month but these."""
    h.without("Acme Corp Payroll")
    for day in [*monthly(31, 12, (2026, 4)), *last]:
        h.row(h.checking, day, 3_250.0, "Acme Corp Payroll", "INCOME_WAGES")


def paid_since(h: Household, amount: float, day: int = 10) -> None:
    card = h.card(820.0, is_overdue=True, minimum_payment_amount=35.0, balance_date=AS_OF - dt.timedelta(days=16))
    h.row(card, day, amount, "Payment Thank You", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT")


def credited(h: Household, amount: float, *days: int, to_checking: bool = True) -> None:
    for day in days:
        h.row(h.checking if to_checking else h.savings, day, amount, "Interest Credit", "INCOME_INTEREST_EARNED")


def elsewhere(h: Household, day: int) -> None:
    h.row(h.checking, day, -410.0, "Capital One Card Payment", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT")


QUIET: dict[str, Happens] = {
    "nothing": lambda h: None,
    # duplicate_charge: four days apart; given back; a habit; small; another amount
    "equal charges four days apart": lambda h: bought(h, 5, 9),
    "a double charge that was given back": lambda h: (bought(h, 5, 6), bought(h, 2, amount=84.2)),
    "equal charges again and again": lambda h: bought(h, 5, 6, 40, 41, 80, 81),
    "equal charges of four dollars": lambda h: bought(h, 5, 6, amount=-4.5),
    "two charges a cent apart": lambda h: (bought(h, 5), bought(h, 6, amount=-84.21)),
    "a double charge long ago": lambda h: bought(h, 50, 51),
    "one sum sent twice by an app": lambda h: [h.row(h.checking, d, -25.0, "VENMO PAYMENT 103044") for d in (5, 6)],
    "the same sent twice to a friend": lambda h: sent(h, "TRANSFER_OUT_ACCOUNT_TRANSFER"),
    "the same sent twice to a friend, without a category": lambda h: sent(h),
    "two seats at a cinema": lambda h: tickets(h, "AMC 0412 ONLINE", "ENTERTAINMENT_TV_AND_MOVIES"),
    "two seats at a stadium": lambda h: tickets(
        h, "Harbor Arena", "ENTERTAINMENT_SPORTING_EVENTS_AMUSEMENT_PARKS_AND_MUSEUMS"),
    # price_rise: a cent; a lower price; long ago
    "a price that rose by a tenth of a dollar": lambda h: raised(h, 15.60),
    "a lower price": lambda h: raised(h, 12.99),
    "a price that rose three months ago": lambda h: raised(h, 17.99, last=3),
    "a telephone bill that varies by a percent": lambda h: [
        h.row(h.checking, day, -amount, "Verizon Wireless", "RENT_AND_UTILITIES_TELEPHONE")
        for day, amount in zip(
            monthly(9, 12), (73.94, 75.26, 74.16, 75.24, 75.04, 75.39, 74.89, 75.19, 75.34, 74.25, 74.09, 75.1),
            strict=True,
        )
    ],
    # bills
    "a bill a fifth above": lambda h: power(h, 75.0),
    "a bill that is two days late": lambda h: h.without("City Power"),
    "a bill paid under another name": lambda h: (
        h.without("City Power", 25),
        h.row(h.checking, dt.date(2026, 6, 14), -66.0, "Grid Services", "RENT_AND_UTILITIES_OTHER_UTILITIES"),
    ),
    # income
    "pay three days late": lambda h: paid(h, (dt.date(2026, 6, 13), 2_000.0)),
    "pay that was higher once": lambda h: paid(h, (dt.date(2026, 6, 12), 2_000.0), (PAYDAY, 2_700.0)),
    "pay a tenth higher": lambda h: paid(h, (dt.date(2026, 6, 12), 2_200.0), (PAYDAY, 2_200.0)),
    "an employer under a new name": lambda h: (
        h.without("Acme Corp Payroll", 60),
        [h.row(h.checking, d, 2_000.0, "Newco Payroll", "INCOME_WAGES") for d in every(14, 5, PAYDAY)],
    ),
    # debt
    "cards that are paid in full": lambda h: owing(h, (400.0, 24.0)),
    "cards at one rate": lambda h: owing(h, (400.0, 24.0), (900.0, 24.5)),
    "cards of which a rate is unknown": lambda h: owing(h, (400.0, 24.0), (900.0, None)),
    "more than the minimum": lambda h: minimum(h, 40.01),
    "the whole statement": lambda h: minimum(h, 35.0, statement=35.0),
    "interest of four dollars": lambda h: interest(h, 4.99),
    "a balance that fell by ninety": lambda h: falling(h, 90.0, now=600.0),
    "a balance that fell by less than a tenth": lambda h: falling(h, 120.0, now=1_200.0),
    # cushion
    "a fee long ago": lambda h: fee(h, 40),
    "a fee that was given back": lambda h: (fee(h, 9), fee(h, 5, 35.0, "Overdraft Fee Reversal")),
    "two and a half months in checking": lambda h: h.holds(checking=5_000.0),
    "savings a fifth lower": lambda h: saved(h, -1_200.0, 4_800.0),
    "savings lower by a hundred": lambda h: saved(h, -100.0, 150.0),
    "an account that is hardly used": lambda h: (
        h.holds(checking=2_600.0), h.without("Juniper Apartments"), h.without("Hardware and Home"),
        h.without("Corner Grocery"),
    ),
    "cash beside a card that is not linked": lambda h: (
        h.holds(checking=9_000.0), elsewhere(h, 60), elsewhere(h, 90), elsewhere(h, 120), elsewhere(h, 150),
        elsewhere(h, 170),
    ),
    # spending
    "a card paid that is linked": lambda h: (
        linked(h), elsewhere(h, 9)
    ),
    "a card paid two months ago": lambda h: elsewhere(h, 60),
    "an old subscription": lambda h: service(h, monthly(5, 12)),
    "a habit that began": lambda h: [
        h.row(h.checking, d, -5.25, "Bean Coffee", "FOOD_AND_DRINK_COFFEE") for d in every(2, 20, AS_OF)
    ],
    "a renewal in two months": lambda h: annual(h, 9, 1),
}  # fmt: skip


def benefit(h: Household, last: dt.date, amount: float = 2_400.0) -> None:
    h.without("Acme Corp Payroll")
    for day in monthly(3, 13):
        if day <= last:
            h.row(h.checking, day, amount, "SSA Treas 310 XXSOC SEC", "INCOME_RETIREMENT_PENSION")


def undelivered(h: Household, *missing: dt.date) -> None:
    """Pay until the 8th of May, of which rows are missing."""
    paid(h, before=dt.date(2026, 5, 8))
    h.rows["transactions"] = [
        row for row in h.rows["transactions"]
        if row["merchant_name"] != "Acme Corp Payroll" or row["date"] not in missing
    ]  # fmt: skip


def second_job(h: Household, last: dt.date, amount: float) -> None:
    for day in every(14, 20, last):
        h.row(h.checking, day, amount, "Beta Llc Payroll", "INCOME_WAGES")


def paid_on(h: Household, day: dt.date, amount: float, name: str = "Acme Corp Payroll") -> None:
    h.row(h.checking, day, amount, name, "INCOME_WAGES")


def stores(h: Household, name: str, now: float, usual: float = 54.0) -> None:
    for day in (40, 70, 100, 130, 160):
        h.row(h.checking, day, -usual, name, "GENERAL_MERCHANDISE_SUPERSTORES")
        h.row(h.checking, day, -400.0 - day % 7, "Walmart", "GENERAL_MERCHANDISE_SUPERSTORES")
    h.row(h.checking, 12, -403.0, "Walmart", "GENERAL_MERCHANDISE_SUPERSTORES")
    h.row(h.checking, 9, -now, name, "GENERAL_MERCHANDISE_SUPERSTORES")


def spent_monthly(h: Household, amount: float) -> None:
    """Nothing but this goes out, and savings do not count."""
    h.without("Juniper Apartments"), h.without("City Power"), h.without("Netflix")
    h.without("Corner Grocery"), h.without("Hardware and Home")
    for back in range(13):
        h.row(h.checking, 20 + 30 * back, -amount, "Corner Grocery", "FOOD_AND_DRINK_GROCERIES")


def services(h: Household, name: str, last: tuple[int, int] = (2026, 6)) -> None:
    for day in monthly(9, 12, last):
        h.row(h.checking, day, -12.0, name, "ENTERTAINMENT_TV_AND_MOVIES")


def next_power(h: Household, day: int) -> None:
    """Power is the only bill, on this day of the month."""
    h.without("Juniper Apartments"), h.without("City Power")
    for date in monthly(day, 12):
        h.row(h.checking, date, -63.0, "City Power", "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY")


def late(h: Household, **owed: Any) -> None:
    h.card(820.0, minimum_payment_amount=35.0, **owed)


BOTH_SIDES: dict[str, tuple[str, Happens, Happens]] = {
    # what it is about: the insight, just not, and just so
    "a bill due in 14 days": ("bill_due_soon", lambda h: next_power(h, 15), lambda h: next_power(h, 14)),
    "half of checking is due": (
        "bills_before_payday", lambda h: h.holds(checking=2_201.0), lambda h: h.holds(checking=2_200.0)),
    "a bill a quarter above": ("bill_higher_than_usual", lambda h: power(h, 78.7), lambda h: power(h, 78.75)),
    "a bill five days past": ("bill_missing", lambda h: next_missing(h, 25), lambda h: next_missing(h, 24)),
    "a renewal in 30 days": ("annual_renewal_ahead", lambda h: annual(h, 7, 31), lambda h: annual(h, 7, 30)),
    "a price up by half a dollar": ("price_rise", lambda h: raised(h, 15.98), lambda h: raised(h, 15.99)),
    "a price that rose six weeks ago": (
        "price_rise", lambda h: raised(h, 17.99, last=3), lambda h: raised(h, 17.99, 2)),
    "a service that was there before": (
        "new_recurring", lambda h: service(h, monthly(5, 5)), lambda h: service(h, monthly(5, 3))),
    "a first charge of a third": (
        "trial_became_paid",
        lambda h: (service(h, [dt.date(2026, 3, 25)], -5.24, "Audible"), service(h, monthly(24, 3), -14.95, "Audible")),
        lambda h: (service(h, [dt.date(2026, 3, 25)], -5.23, "Audible"), service(h, monthly(24, 3), -14.95, "Audible")),
    ),
    "charges three days apart": ("duplicate_charge", lambda h: bought(h, 5, 9), lambda h: bought(h, 5, 8)),
    "charges of five dollars": (
        "duplicate_charge", lambda h: bought(h, 5, 6, amount=-4.99), lambda h: bought(h, 5, 6, amount=-5.0)),
    "three equal charges in a row": (
        "duplicate_charge", lambda h: bought(h, 5, 6, 7, 30, 31), lambda h: bought(h, 5, 6, 7)),
    "another streaming service": (
        "two_of_a_kind", lambda h: services(h, "Hulu", (2026, 2)), lambda h: services(h, "Hulu")),
    "a payday four days past": (
        "income_late", lambda h: paid(h, before=dt.date(2026, 6, 12)), lambda h: paid(h, before=dt.date(2026, 6, 11))),
    "two paydays that did not come": (
        "income_stopped", lambda h: paid(h, before=dt.date(2026, 5, 29)),
        lambda h: paid(h, before=dt.date(2026, 5, 28))),
    "pay that stopped, of which a row before is missing": (
        "income_stopped", lambda h: undelivered(h, dt.date(2026, 4, 24), dt.date(2026, 3, 27)),
        lambda h: undelivered(h, dt.date(2026, 4, 24))),
    "pay that stopped after a bonus": (
        "income_stopped", lambda h: (paid(h, before=dt.date(2026, 5, 29)), paid_on(h, dt.date(2026, 5, 6), 750.0)),
        lambda h: (paid(h, before=dt.date(2026, 5, 28)), paid_on(h, dt.date(2026, 5, 6), 750.0))),
    "pay that stopped after a bonus on the days before a payday": (
        "income_stopped", lambda h: (paid(h, before=dt.date(2026, 5, 29)), paid_on(h, dt.date(2026, 5, 12), 750.0)),
        lambda h: (paid(h, before=dt.date(2026, 5, 28)), paid_on(h, dt.date(2026, 5, 11), 750.0))),
    "a benefit that stopped": (
        "income_stopped", lambda h: benefit(h, dt.date(2026, 5, 3)), lambda h: benefit(h, dt.date(2026, 4, 3))),
    "one of two jobs that stopped": (
        "income_stopped", lambda h: second_job(h, dt.date(2026, 5, 8), 400.0),
        lambda h: second_job(h, dt.date(2026, 5, 8), 600.0)),
    "pay a fifth above, twice": (
        "income_changed", lambda h: paid(h, (dt.date(2026, 6, 12), 2_399.0), (PAYDAY, 2_399.0)),
        lambda h: paid(h, (dt.date(2026, 6, 12), 2_400.0), (PAYDAY, 2_400.0))),
    "a payday above twice the usual": (
        "windfall", lambda h: paid(h, (dt.date(2026, 6, 12), 2_000.0), (PAYDAY, 4_000.0)),
        lambda h: paid(h, (dt.date(2026, 6, 12), 2_000.0), (PAYDAY, 4_001.0))),
    "extra pay between paydays": (
        "windfall", lambda h: paid_on(h, dt.date(2026, 6, 22), 99.0),
        lambda h: paid_on(h, dt.date(2026, 6, 22), 100.0)),
    "pay in more parts than usual": (
        "windfall", lambda h: paid_on(h, PAYDAY, 99.0), lambda h: paid_on(h, PAYDAY, 500.0)),
    "a bonus by its name": (
        "windfall", lambda h: paid_on(h, dt.date(2026, 6, 10), 90.0, "Acme Corp Bonus"),
        lambda h: paid_on(h, dt.date(2026, 6, 10), 750.0, "Acme Corp Bonus")),
    "a tax refund of a hundred": (
        "windfall", lambda h: h.row(h.checking, 6, 99.0, "IRS Treas 310", "INCOME_TAX_REFUND"),
        lambda h: h.row(h.checking, 6, 100.0, "IRS Treas 310", "INCOME_TAX_REFUND")),
    "a payment past due": (
        "past_due", lambda h: late(h, is_overdue=False, next_payment_due_date=dt.date(2026, 6, 14)),
        lambda h: late(h, is_overdue=True)),
    "the minimum paid after the figures' day": (
        "past_due", lambda h: paid_since(h, 35.0), lambda h: paid_since(h, 34.99)),
    "the minimum paid before the figures' day": (
        "past_due", lambda h: paid_since(h, 35.0, 15), lambda h: paid_since(h, 35.0, 16)),
    "monthly pay that a weekend moved to the 22nd": (
        "income_late", lambda h: by_the_month(h, dt.date(2026, 5, 22), 4),
        lambda h: by_the_month(h, dt.date(2026, 5, 22), 2)),
    "rent that was paid a week early": (
        "bill_due_soon", lambda h: rent_early(h, dt.date(2026, 6, 24)), lambda h: rent_early(h, dt.date(2026, 6, 17))),
    "monthly pay that came early for a holiday": (
        "income_late", lambda h: early_once(h, dt.date(2026, 5, 24)), lambda h: early_once(h)),
    "the minimum and five dollars": ("minimum_only", lambda h: minimum(h, 40.01), lambda h: minimum(h, 40.0)),
    "rates a point apart": (
        "dearest_first", lambda h: owing(h, (400.0, 24.0), (900.0, 24.99)),
        lambda h: owing(h, (400.0, 24.0), (900.0, 25.0))),
    "two cards that owe fifty": (
        "dearest_first", lambda h: owing(h, (49.0, 19.0), (900.0, 27.0)),
        lambda h: owing(h, (50.0, 19.0), (900.0, 27.0))),
    "five dollars of interest": ("interest_paid", lambda h: interest(h, 4.99), lambda h: interest(h, 5.0)),
    "cards a tenth lower": ("balance_falling", lambda h: falling(h, 111.0), lambda h: falling(h, 112.0)),
    "a dollar below zero": ("overdrawn", lambda h: h.holds(checking=-0.99), lambda h: h.holds(checking=-1.0)),
    "a fee 30 days ago": ("fees_charged", lambda h: fee(h, 31), lambda h: fee(h, 30)),
    "a week of spending": (
        "thin_cushion", lambda h: (spent_monthly(h, 900.0), h.holds(checking=140.0, savings=71.0)),
        lambda h: (spent_monthly(h, 900.0), h.holds(checking=140.0, savings=69.0))),
    "three months of spending": (
        "idle_cash", lambda h: (spent_monthly(h, 1_200.0), h.holds(checking=3_599.0)),
        lambda h: (spent_monthly(h, 1_200.0), h.holds(checking=3_600.0))),
    "savings a quarter lower": (
        "savings_drop", lambda h: saved(h, -1_199.0, 3_601.0), lambda h: saved(h, -1_200.0, 3_600.0)),
    "savings that pass a month": (
        "savings_milestone", lambda h: (spent_monthly(h, 1_200.0), saved(h, 300.0, 1_199.0)),
        lambda h: (spent_monthly(h, 1_200.0), saved(h, 300.0, 1_200.0))),
    "twice the usual at a payee": (
        "unusual_spending", lambda h: stores(h, "Target", 153.0), lambda h: stores(h, "Target", 154.0)),
    "half of spending in cash": (
        "cash_withdrawals", lambda h: cash(h, 998.0), lambda h: cash(h, 1_000.0)),
    "cash without a card that is not linked": (
        "cash_withdrawals", lambda h: (cash(h, 3_000.0), elsewhere(h, 9)), lambda h: cash(h, 3_000.0)),
    "five dollars of interest from the bank": (
        "interest_earned", lambda h: credited(h, 4.99, 29), lambda h: credited(h, 5.0, 29)),
    "interest in the last 30 days": (
        "interest_earned", lambda h: credited(h, 9.0, 30), lambda h: credited(h, 9.0, 29)),
    "three months in checking that bore interest": (
        "idle_cash", lambda h: (h.holds(checking=9_000.0), credited(h, 0.4, 99)),
        lambda h: (h.holds(checking=9_000.0), credited(h, 0.4, 100))),
    "a card paid in the last 30 days": ("card_not_linked", lambda h: elsewhere(h, 30), lambda h: elsewhere(h, 29)),
}  # fmt: skip
SIDES = {f"{case}: {'at' if at else 'below'}": row[2 if at else 1]
         for case, row in BOTH_SIDES.items() for at in (False, True)}  # fmt: skip


@pytest.mark.parametrize("case", BOTH_SIDES)
def test_each_insight_begins_where_it_is_said_to(case: str) -> None:
    name = BOTH_SIDES[case][0]
    assert [name in everybody()[f"{case}: {side}"] for side in ("below", "at")] == [False, True]


def test_what_happens_besides_pay_is_no_third_payday() -> None:
    for case in (
        "extra pay between paydays: below",
        "pay in more parts than usual: below",
        "a bonus by its name: below",
    ):
        assert "windfall" not in everybody()[case]
    extra = everybody()["extra pay between paydays: at"]["windfall"]
    assert (extra["detail"], extra["figures"]["amount"], extra["figures"]["happened_on"]) == (
        "bonus", 100.0, "2026-06-22"
    )  # fmt: skip


@functools.cache
def everybody() -> dict[str, dict[str, Any]]:
    """What is found of each household of the tables here, by its name."""
    return insights_by_household(QUIET | {case: happens for case, (_, happens, _) in SAID.items()} | SIDES)


@pytest.mark.parametrize("case", QUIET)
def test_nothing_more_is_said_than_there_is(case: str) -> None:
    extra = {"savings_drop", "idle_cash", "two_of_a_kind"} if case == "an old subscription" else set()
    assert set(everybody()[case]) - ALWAYS - extra == set()


SAID: dict[str, tuple[str, Happens, dict[str, Any]]] = {
    "a charge that came twice": (
        "duplicate_charge", lambda h: bought(h, 5, 6),
        {"payee": "Blue Lamp", "amount": 84.2, "happened_on": "2026-06-25"},
    ),
    "a subscription charged twice": (
        "duplicate_charge", lambda h: h.row(h.checking, dt.date(2026, 6, 20), -15.49, "Netflix",
                                            "ENTERTAINMENT_TV_AND_MOVIES"),
        {"payee": "Netflix", "amount": 15.49},
    ),
    "a price that rose": (
        "price_rise", lambda h: raised(h, 17.99),
        {"payee": "Netflix", "amount_before": 15.49, "amount": 17.99, "difference": 2.5, "difference_yearly": 30.0,
         "happened_on": "2026-06-18"},
    ),
    "a service that began": (
        "new_recurring", lambda h: service(h, monthly(5, 3)),
        {"payee": "Spotify", "amount": 11.99, "cost_yearly": 143.88, "since_on": "2026-04-05", "due_on": "2026-07-05"},
    ),
    "a trial that ended": (
        "trial_became_paid", lambda h: (
            service(h, [dt.date(2026, 3, 25)], -1.0, "Audible"), service(h, monthly(24, 3), -14.95, "Audible")
        ),
        {"payee": "Audible", "amount_before": 1.0, "amount": 14.95, "since_on": "2026-04-24"},
    ),
    "an offer of three months that ended": (
        "trial_became_paid", lambda h: (
            service(h, monthly(24, 3, (2026, 4)), -0.99, "Audible"), service(h, monthly(24, 2), -14.95, "Audible")
        ),
        {"payee": "Audible", "amount_before": 0.99, "amount": 14.95, "since_on": "2026-05-24"},
    ),
    "an annual charge ahead": (
        "annual_renewal_ahead", lambda h: annual(h, 7, 20),
        {"payee": "Harbor Home Insurance", "amount": 640.0, "due_on": "2026-07-20", "days_until": 20},
    ),
    "two services for music": (
        "two_of_a_kind", lambda h: (service(h, monthly(5, 12)), service(h, monthly(9, 12), -10.99, "Tidal")),
        {"purpose_name": "music", "payee": "Spotify", "other_payee": "Tidal", "total": 22.98, "cost_yearly": 275.76},
    ),
    "a bill that is higher": (
        "bill_higher_than_usual", lambda h: power(h, 95.0),
        {"payee": "City Power", "amount": 95.0, "amount_usual": 63.0, "difference": 32.0, "happened_on": "2026-06-18"},
    ),
    "a bill that did not come": (
        "bill_missing", lambda h: h.without("City Power", 25),
        {"payee": "City Power", "amount": 63.0, "due_on": "2026-06-12", "days_since": 18},
    ),
    "pay that is late": (
        "income_late", lambda h: paid(h, before=dt.date(2026, 6, 11)),
        {"amount": 2_000.0, "due_on": "2026-06-25", "days_since": 5},
    ),
    "pay that stopped": (
        "income_stopped", lambda h: paid(h, before=dt.date(2026, 5, 20)),
        {"amount": 2_000.0, "since_on": "2026-05-20", "due_on": "2026-06-03", "days_since": 27},
    ),
    "pay that rose twice": (
        "income_changed", lambda h: paid(h, (dt.date(2026, 6, 12), 2_500.0), (PAYDAY, 2_500.0)),
        {"amount_before": 2_000.0, "amount": 2_500.0, "difference": 500.0, "change_percent": 0.25,
         "since_on": "2026-06-12"},
    ),
    "a bonus": (
        "windfall", lambda h: paid(h, (dt.date(2026, 6, 12), 2_000.0), (PAYDAY, 5_000.0)),
        {"amount": 3_000.0, "happened_on": "2026-06-26"},
    ),
    "a tax refund": (
        "windfall", lambda h: h.row(h.checking, 6, 1_240.0, "IRS Treas 310", "INCOME_TAX_REFUND"),
        {"amount": 1_240.0, "happened_on": "2026-06-24"},
    ),
    "what a tax office gives back, by its name alone": (
        "windfall", lambda h: h.row(h.checking, 6, 911.0, "Finanzamt Ulmenau Erstattung ESt 2025"),
        {"amount": 911.0, "happened_on": "2026-06-24"},
    ),
    "a card past due": (
        "past_due", lambda h: h.card(
            820.0, is_overdue=True, minimum_payment_amount=35.0, next_payment_due_date=dt.date(2026, 6, 14)
        ),
        {"card": "4821", "minimum_payment": 35.0, "owed": 820.0, "due_on": "2026-06-14", "checking_balance": 2_600.0,
         "balance_on": "2026-06-30"},
    ),
    "two cards, one dearer": (
        "dearest_first", lambda h: owing(h, (400.0, 19.0), (900.0, 27.0)),
        {"card": "4811", "owed": 900.0, "yearly_rate": 27.0, "other_card": "4801", "other_owed": 400.0,
         "other_rate": 19.0, "interest_month": 20.25},
    ),
    "the minimum": (
        "minimum_only", lambda h: minimum(h, 40.0),
        {"card": "4821", "owed": 900.0, "last_payment": 40.0, "minimum_payment": 35.0, "interest_month": 18.0},
    ),
    "interest": (
        "interest_paid", lambda h: interest(h, 18.4),
        {"interest_paid": 18.4, "cost_yearly": 220.8},
    ),
    "a balance that falls": (
        "balance_falling", lambda h: falling(h, 150.0),
        {"owed": 1_000.0, "amount_before": 1_150.0, "difference": 150.0},
    ),
    "overdrawn": (
        "overdrawn", lambda h: h.holds(checking=-86.4),
        {"amount": 86.4, "balance_on": "2026-06-30", "next_payday": "2026-07-10", "days_until": 10},
    ),
    "a penalty fee": (
        "fees_charged", lambda h: fee(h, 9), {"fee_count": 1, "total": 35.0, "happened_on": "2026-06-21"},
    ),
    "a week is not covered": (
        "thin_cushion", lambda h: (h.holds(checking=90.0, savings=None), h.without("Juniper Apartments")),
        {"cushion_total": 90.0, "balance_on": "2026-06-30"},
    ),
    "three months in checking": (
        "idle_cash", lambda h: h.holds(checking=9_000.0), {"checking_balance": 9_000.0, "balance_on": "2026-06-30"},
    ),
    "savings a third lower": (
        "savings_drop", lambda h: saved(h, -2_000.0, 4_000.0),
        {"amount_before": 6_000.0, "savings_now": 4_000.0, "difference": 2_000.0},
    ),
    "a milestone": (
        "savings_milestone", lambda h: saved(h, 900.0, 2_200.0),
        {"savings_now": 2_200.0, "amount_before": 1_300.0, "difference": 900.0},
    ),
    "a category far above": (
        "unusual_spending", lambda h: bought(h, 3, amount=-900.0) or bought(
            h, 35, 66, 95, 125, 155, amount=-61.0, name="Lamps Beyond"
        ),
        {"category_name": "shopping", "amount": 900.0, "amount_usual": 61.0, "difference": 839.0},
    ),
    "bills above half": (
        "fixed_costs_high", lambda h: [
            h.row(h.checking, d, -1_200.0, "Green Loan Servicing", "LOAN_PAYMENTS_CAR_PAYMENT") for d in monthly(7, 12)
        ],
        {},
    ),
    "more out than in": (
        "spending_above_income", lambda h: [
            h.row(h.checking, d, -1_180.0 - n * 37 % 53, "Hardware and Home", "HOME_IMPROVEMENT_HARDWARE")
            for n, d in enumerate(every(6, 31, AS_OF))
        ],
        {},
    ),
    "a card that is not linked": ("card_not_linked", lambda h: elsewhere(h, 9), {"amount": 410.0}),
    "mostly cash": (
        "cash_withdrawals", lambda h: cash(h, 3_000.0),
        {"amount": 3_000.0, "withdrawal_count": 2, "cash_share": 0.75, "happened_on": "2026-06-24"},
    ),
    "interest month after month": (
        "interest_earned", lambda h: credited(h, 12.5, 5, 35, 65, 200, to_checking=False),
        {"total": 12.5, "total_half_year": 37.5, "earned_yearly": 150.0, "happened_on": "2026-06-25"},
    ),
    "little until payday": (
        "bills_before_payday", lambda h: (h.holds(checking=2_100.0)),
        {"bills_total": 1_100.0, "bill_count": 1, "next_payday": "2026-07-10", "days_until": 10,
         "checking_balance": 2_100.0, "after_bills": 1_000.0},
    ),
    "not enough until payday": (
        "low_balance_ahead", lambda h: h.holds(checking=700.0),
        {"checking_balance": 700.0, "low_on": "2026-07-02", "days_until": 2},
    ),
    "a bill ahead": ("bill_due_soon", lambda h: None, {"payee": "Juniper Apartments", "amount": 1_100.0}),
}  # fmt: skip


def said(case: str) -> dict[str, dict[str, Any]]:
    return everybody()[case]


@pytest.mark.parametrize("case", SAID)
def test_what_happens_is_said_with_its_figures(case: str) -> None:
    name, _, figures = SAID[case]
    found = said(case)
    assert name in found, sorted(found)
    row, about = found[name], INSIGHTS[name]
    assert row["figures"].items() >= figures.items()
    assert (
        set(row["figures"]) - {"payee_category", "payee_listed", "other_payee_listed"}
        <= set(about.figures)
        <= set(FIGURES)
    )
    assert (row["detail"] in about.details) == bool(about.details)
    assert row["topic"] == about.topic
    assert row["expires_on"] >= AS_OF


def test_every_insight_is_tried() -> None:
    assert {name for name, _, _ in SAID.values()} == set(INSIGHTS) == {*DETECTORS, "low_balance_ahead"}


def test_a_happening_is_the_same_the_next_day() -> None:
    after = insights_by_household({case: SAID[case][1] for case in SAID}, AS_OF + dt.timedelta(days=1))
    still = {case for case, (name, _, _) in SAID.items() if name in after[case]}
    assert len(still) >= len(SAID) - 4
    for case in still:
        name = SAID[case][0]
        if name == "bill_due_soon":
            continue  # the rent was due on that day; the next bill is another
        assert after[case][name]["insight_id"] == said(case)[name]["insight_id"], case


def test_another_payment_missed_on_the_same_card_is_another_happening() -> None:
    def late(due: dt.date | None) -> str:
        said = told(lambda h: h.card(820.0, is_overdue=True, minimum_payment_amount=35.0, next_payment_due_date=due))
        return str(said["past_due"]["insight_id"])

    assert late(dt.date(2026, 6, 14)) == late(dt.date(2026, 6, 14)) != late(dt.date(2026, 3, 14))
    assert late(None) == late(None)


def test_other_rates_are_another_order_of_cards() -> None:
    ids = {
        told(lambda h, rates=rates: owing(h, (400.0, rates[0]), (900.0, rates[1])))["dearest_first"]["insight_id"]
        for rates in ((19.0, 27.0), (19.0, 27.0), (21.0, 27.0), (19.0, 24.0))
    }
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("case", "severity"),
    [("not enough until payday", "urgent"), ("little until payday", "notable"), ("a penalty fee", "notable")],
)
def test_how_urgent_it_is_goes_by_the_figures(case: str, severity: str) -> None:
    assert said(case)[SAID[case][0]]["severity"] == severity


def test_a_second_fee_and_an_empty_account_are_urgent() -> None:
    assert told(lambda h: (fee(h, 9), fee(h, 4)))["fees_charged"]["severity"] == "urgent"
    assert told(lambda h: h.holds(checking=700.0))["bills_before_payday"]["severity"] == "urgent"


@pytest.mark.parametrize(
    ("balance", "detail"), [(2_600.0, "can_pay"), (35.0, "can_pay"), (34.0, "cannot_pay"), (None, "unknown")]
)
def test_whether_the_minimum_can_be_paid_goes_by_what_checking_holds(balance: float | None, detail: str) -> None:
    def late(h: Household) -> None:
        h.card(820.0, is_overdue=True, minimum_payment_amount=35.0)
        for row in h.rows["accounts"]:
            if row["account_id"] == h.checking:
                row["balance_current"] = balance

    assert told(late)["past_due"]["detail"] == detail


def test_nothing_is_said_to_a_dormant_customer() -> None:
    later = Household()
    later.card(820.0, is_overdue=True)
    later.as_of = AS_OF + dt.timedelta(days=58)
    assert "past_due" in later.insights()
    later.as_of = AS_OF + dt.timedelta(days=59)
    assert later.tables() == {"insights": [], "balance_forecast": []}


def test_amounts_are_meant_in_the_customers_currency() -> None:
    def in_crowns(h: Household, amount: float) -> None:
        for account in h.rows["accounts"]:
            account["iso_currency_code"] = "CZK"
        bought(h, 5, 6, amount=-amount)

    assert "duplicate_charge" not in told(lambda h: in_crowns(h, 84.2))
    assert "duplicate_charge" in told(lambda h: in_crowns(h, 1_840.0))


def test_several_dates_at_once_say_what_each_says_alone() -> None:
    household = Household()
    for name in ("a charge that came twice", "a price that rose", "a card past due", "a trial that ended"):
        SAID[name][1](household)
    dates = [AS_OF - dt.timedelta(days=days) for days in (40, 9, 1, 0)]

    def tables(*of: dt.date) -> dict[str, list[dict[str, Any]]]:
        evidence = evidence_of(household.customers(), [(date - EPOCH).days for date in of], [30, 180])
        made = insights_of(evidence, tables_of(evidence))
        return {name: table.to_pylist() for name, table in made.items()}

    at_once = tables(*dates)
    for date in dates:
        alone = tables(date)
        for name, rows in alone.items():
            assert rows
            assert [row for row in at_once[name] if row["as_of"] == date] == rows


def test_customers_together_are_told_what_each_is_told_alone() -> None:
    """Somebody of whom little is known among them."""

    def barely(h: Household) -> None:
        h.rows["transactions"] = [row for row in h.rows["transactions"] if row["merchant_name"] == "Acme Corp Payroll"][
            :2
        ]

    every_case = [happens for _, happens, _ in SAID.values()] + [barely]
    each = [_named(place, happens) for place, happens in enumerate(every_case)]
    together = _told([pa.concat_tables(tables) for tables in zip(*each, strict=True)])
    assert len(set(together["insights"]["insight"].to_pylist())) > 25
    for place, tables in enumerate(each):
        for name, rows in _told(tables).items():
            mine = pc.starts_with(together[name]["user_id"], f"{place:03}")
            assert together[name].filter(mine).to_pylist() == rows.to_pylist()


def _named(place: int, happens: Happens) -> list[pa.Table]:
    household = Household()
    happens(household)
    tables = []
    for table in household.customers():
        for at, name in enumerate(table.column_names):
            if name in ("user_id", "account_id", "transaction_id"):
                ids = pc.binary_join_element_wise(f"{place:03}", table[name].cast(pa.string()), "")
                table = table.set_column(at, table.field(at), ids.cast(table.field(at).type))
        tables.append(table)
    return tables


def _told(tables: list[pa.Table]) -> dict[str, pa.Table]:
    evidence = evidence_of(Customers(*tables), [(AS_OF - EPOCH).days], [30, 180])
    return insights_of(evidence, tables_of(evidence))


def test_a_forecast_follows_what_repeats_and_widens() -> None:
    household = Household()
    (ahead,) = household.tables()["balance_forecast"]
    expected, low, high = (json.loads(ahead[name]) for name in ("expected", "low", "high"))
    assert len(expected) == len(low) == len(high) == 30
    assert all(a <= b <= c for a, b, c in zip(low, expected, high, strict=True))
    rent, payday = expected[0] - 2_600, expected[9] - expected[8]
    assert -1_200 < rent < -1_000
    assert 1_700 < payday < 2_000, "less the usual rest of a day"
    assert ahead["next_payday"] == dt.date(2026, 7, 10)
    assert high[-1] - low[-1] > high[1] - low[1]


def test_what_was_before_a_long_gap_is_no_part_of_the_forecast() -> None:
    def forecast(*before: float) -> dict[str, Any]:
        household = Household()
        for amount in before:
            household.row(household.checking, 166, amount, "Harbor Furniture", "GENERAL_MERCHANDISE_OTHER")
        ages = {id(row): (AS_OF - row["date"]).days for row in household.rows["transactions"]}
        household.rows["transactions"] = [r for r in household.rows["transactions"] if not 65 < ages[id(r)] < 165]
        (ahead,) = household.tables()["balance_forecast"]
        return ahead

    assert forecast(-9_000.0) == forecast(-20.0)


def test_without_a_known_balance_there_is_no_forecast_and_with_a_short_history_no_interval() -> None:
    unknown = Household()
    unknown.holds(checking=None)
    assert unknown.tables()["balance_forecast"] == []
    for days, known in ((55, True), (54, False)):
        short = Household()
        first = AS_OF - dt.timedelta(days=days)
        rows = short.rows["transactions"]
        short.rows["transactions"] = [row for row in rows if row["date"] >= first]
        bought(short, days)
        (ahead,) = short.tables()["balance_forecast"]
        assert (ahead["low"] is not None) is known
        assert ahead["expected"] is not None


@given(st.lists(st.floats(-1e7, 1e7).map(lambda each: round(each, 3)), min_size=1), st.sampled_from([0, 2, 6]))
@example([1.005, 2.675, 1.115, 0.285, -0.125, 0.5, 1.5, 2346.945], 2)
def test_figures_are_rounded_as_python_rounds_each(values: list[float], digits: int) -> None:
    assert _rounded(np.array(values), digits).tolist() == [round(each, digits) for each in values]


@given(st.lists(st.floats(-1e16, 1e16), min_size=1))
@example([0.0, -0.0, 0.004, -0.004, 12.0, 12.5, 12.05, 0.1, -3.999, 9_999_999_999_999.99, 1e13, 1e15])
def test_money_is_written_as_python_writes_it(values: list[float]) -> None:
    assert _money(np.array(values)).to_pylist() == [repr(round(each, 2)) for each in values]


@given(st.lists(st.text() | st.none(), min_size=1), st.data())
@example(['Joe\'s "Grill"', None, "back\\slash", "\x1f", "", "Café ☕"], None)
def test_texts_are_written_as_json_writes_them(texts: list[str | None], data: st.DataObject | None) -> None:
    first = 0 if data is None else data.draw(st.integers(0, len(texts) - 1))
    written = _quoted(pa.array(texts, pa.string()).slice(first))
    assert written.to_pylist() == [
        each if each is None else json.dumps(each, ensure_ascii=False) for each in texts[first:]
    ]


def test_an_object_has_the_members_that_are_known() -> None:
    one, other = pa.array(["1", None, "2", None]), pa.array([None, None, '"{, "', '"x"'])
    written = _objects([("one", one), ("other", other)]).to_pylist()
    assert written == ['{"one": 1}', "{}", '{"one": 2, "other": "{, "}', '{"other": "x"}']
