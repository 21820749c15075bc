"""Contracts of what is derived from transactions: recurring streams and the features of a window."""

import ibis.expr.datatypes as types
import pandera.ibis as engine

from spendsense_pipeline.contracts.base import EngineContract, described

CADENCES = [
    *("weekly", "biweekly", "four_weekly", "semi_monthly", "monthly", "two_monthly", "quarterly", "semi_annual"),
    "annual",
]
EVIDENCE = ["category", "code", "known_payee", "list_price", "card_modest", "words", "pattern"]
TRUST = ("data_age_days", "balance_age_days", "explained_share", "unlinked_cards", "unlinked_card_payments")
"""Features that may be unknown and say how far to trust the others; they are no signal of the customer's money."""
PAY_FREQUENCIES = ["weekly", "biweekly", "semi_monthly", "monthly", "irregular"]


class RecurringStreams(EngineContract):
    """One row per customer, payee and price line that repeats on a calendar."""

    stream_id: types.String = described(engine, "the stream; the same from day to day")
    user_id: types.String = described(engine, "the customer")
    as_of: types.Date = described(engine, "day it was judged on")
    merchant: types.String = described(engine, "the payee, readable")
    category: types.String = described(engine, "what for, in Plaid's names", null="unknown")
    kind: types.String = described(
        engine,
        "subscription (fixed price), bill (owed, may vary), regular (nobody knows what for) or income",
        isin=["subscription", "bill", "regular", "income"],
    )
    evidence: types.String = described(engine, "what shows the kind", null="regular: nothing does", isin=EVIDENCE)
    cadence: types.String = described(engine, "its calendar", isin=CADENCES)
    status: types.String = described(
        engine,
        "early (two hits), mature (three consecutive; two for semi-annual and annual), "
        "inactive (two expected dates missed; one for semi-annual and annual)",
        isin=["early", "mature", "inactive"],
    )
    occurrences: types.Int64 = described(engine, "hits", "charges or deposits", ge=2)
    first_date: types.Date = described(engine, "first hit")
    last_date: types.Date = described(engine, "last hit")
    expected_next_date: types.Date = described(engine, "first expected date after the last", null="inactive")
    typical_amount: types.Float64 = described(engine, "median since the last price step, positive = money in", "money")
    last_amount: types.Float64 = described(engine, "last hit, positive = money in", "money")
    monthly_cost: types.Float64 = described(engine, "cost a month, positive", "money", null="income", ge=0)
    price_change: types.Float64 = described(
        engine, "last step of more than 1 %, as a fraction of the price before", "fraction", null="steady"
    )
    price_before: types.Float64 = described(
        engine, "the amount before that step, positive = money in", "money", null="steady"
    )
    price_changed_on: types.Date = described(engine, "the first charge at the new price", null="steady")
    confidence: types.Float64 = described(
        engine, "how regular dates and amounts are", "0-1", in_range={"min_value": 0, "max_value": 1}
    )

    class Config:
        strict = True
        unique = ["stream_id"]


class Cards(EngineContract):
    """One row per credit card on the date."""

    user_id: types.String = described(engine, "the customer")
    account_id: types.String = described(engine, "the card's account")
    as_of: types.Date = described(engine, "day it is looked at")
    last4: types.String = described(engine, "last four characters of the account's id, its only name on a screen")
    balance: types.Float64 = described(engine, "owed, positive", "money", null="unknown")
    credit_limit: types.Float64 = described(engine, "its limit", "money", null="unknown or not positive", gt=0)
    utilization: types.Float64 = described(
        engine, "balance by limit, a credit balance as 0", "fraction", null="balance or limit unknown", ge=0
    )
    apr: types.Float64 = described(engine, "APR on purchases", "percent", null="no liability gives one")

    class Config:
        strict = True
        unique = ["user_id", "account_id"]


class Features(EngineContract):
    """One row per customer for one window: what the transactions say up to ``as_of``."""

    user_id: types.String = described(engine, "the customer")
    as_of: types.Date = described(engine, "last day of the window, included")
    window_days: types.Int64 = described(engine, "length of the window", "days", ge=1, le=365)
    history_days: types.Int64 = described(
        engine, "first row after the last gap of more than 92 days, to as_of", "days", ge=0
    )
    data_age_days: types.Int64 = described(engine, "newest posted row to as_of", "days", null="no transaction", ge=0)
    balance_age_days: types.Int64 = described(
        engine, "oldest balance used, to as_of", "days", null="no known balance", ge=0
    )
    explained_share: types.Float64 = described(
        engine,
        "rows of the last 90 days of which category, payee or kind is known",
        "fraction",
        null="no row in 90 days",
        in_range={"min_value": 0, "max_value": 1},
    )
    shared_accounts: types.Int64 = described(engine, "accounts of several holders", "accounts", ge=0)
    unlinked_cards: types.Int64 = described(
        engine, "cards paid in 180 days that are not among the accounts", "cards", null="no transaction", ge=0
    )
    unlinked_card_payments: types.Float64 = described(
        engine, "paid to them in the window; no spending", "money", null="no transaction", ge=0
    )
    recurring_merchants: types.Int64 = described(
        engine,
        "mature, active subscription streams charged in the window or expected within three days",
        "streams",
        null="history below 60 days and none found, or no transaction",
        ge=0,
    )
    monthly_recurring_spend: types.Float64 = described(
        engine, "what they cost a month", "money", null="as recurring_merchants", ge=0
    )
    subscription_spend_share: types.Float64 = described(
        engine, "their charges in the window by total_spend", "fraction", null="nothing was spent", ge=0
    )
    monthly_bills: types.Float64 = described(
        engine, "mature, active bills a month", "money", null="history below 60 days and none found", ge=0
    )
    monthly_regular: types.Float64 = described(
        engine,
        "mature, active payments that nobody can name, a month",
        "money",
        null="history below 60 days and none found",
        ge=0,
    )
    total_spend: types.Float64 = described(
        engine, "spending in the window, refunds netted", "money", null="no transaction", ge=0
    )
    avg_monthly_expenses: types.Float64 = described(
        engine, "total_spend a month", "money a month", null="no transaction", ge=0
    )
    net_savings_inflow: types.Float64 = described(
        engine, "inflow less outflow on savings accounts", "money a month", null="no savings account"
    )
    savings_balance: types.Float64 = described(
        engine, "all savings accounts at as_of", "money", null="no savings account, or one unknown"
    )
    savings_growth_rate: types.Float64 = described(
        engine,
        "net inflow in the window by the balance before",
        "fraction",
        null="start unknown or not above 0",
    )
    emergency_fund_months: types.Float64 = described(
        engine, "savings_balance by avg_monthly_expenses", "months", null="unknown, or expenses are 0"
    )
    card_count: types.Int64 = described(engine, "credit cards", "cards", ge=0)
    cards_with_unknown_limit: types.Int64 = described(engine, "cards without a positive limit", "cards", ge=0)
    avg_utilization: types.Float64 = described(
        engine, "all balances by all limits", "fraction", null="no card has a known limit", ge=0
    )
    max_utilization: types.Float64 = described(
        engine, "the highest card", "fraction", null="no card has a known limit", ge=0
    )
    utilization_30_flag: types.Boolean = described(engine, "any card at 30 % or above", null="unknown")
    utilization_50_flag: types.Boolean = described(engine, "any card at 50 % or above", null="unknown")
    utilization_80_flag: types.Boolean = described(engine, "any card at 80 % or above", null="unknown")
    minimum_payment_only_flag: types.Boolean = described(
        engine, "a card with a balance was last paid the minimum (+5.00) and not in full", null="unknown"
    )
    interest_charges: types.Float64 = described(
        engine, "interest charged in the window", "money", null="no transaction", ge=0
    )
    interest_charges_present: types.Boolean = described(engine, "any of it", null="no transaction")
    any_overdue: types.Boolean = described(engine, "any liability overdue", null="a card or loan is not described")
    fees_180d: types.Float64 = described(
        engine,
        "overdraft, insufficient funds and late fees in 180 days, net",
        "money",
        null="no transaction",
        ge=0,
    )
    fees_30d: types.Float64 = described(engine, "the same of the last 30 days", "money", null="no transaction", ge=0)
    service_fees_180d: types.Float64 = described(
        engine, "the bank's other fees in 180 days, net", "money", null="no transaction", ge=0
    )
    payroll_detected: types.Boolean = described(engine, "two or more paychecks", null="no transaction")
    pay_frequency: types.String = described(
        engine, "calendar of the paydays", null="fewer than two paydays", isin=PAY_FREQUENCIES
    )
    median_pay_gap_days: types.Float64 = described(
        engine,
        "median gap of paydays, or the gap open to the newest row if longer",
        "days",
        null="fewer than two paydays",
        ge=0,
    )
    income_variability: types.Float64 = described(
        engine, "SD by mean of paydays without bonuses, per payer, weighted", "fraction", null="no payer with two", ge=0
    )
    avg_monthly_income: types.Float64 = described(
        engine, "earned income a month", "money a month", null="no paycheck", ge=0
    )
    regular_income: types.Float64 = described(
        engine,
        "earned income, benefits, pensions and other mature streams a month",
        "money a month",
        null="none of them known",
        ge=0,
    )
    cash_flow_buffer_months: types.Float64 = described(
        engine, "checking balance by avg_monthly_expenses", "months", null="unknown, or expenses are 0"
    )
    investment_account_detected: types.Boolean = described(engine, "any investment account")
    currency: types.String = described(engine, "currency of the money signals", null="no account names one")
    currency_factor: types.Float64 = described(
        engine, "units of it per US dollar, by which thresholds are multiplied; 1 where none is known", gt=0
    )

    class Config:
        strict = True
        unique = ["user_id", "window_days"]
