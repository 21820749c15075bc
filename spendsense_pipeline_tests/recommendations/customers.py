"""Made-up customers for the tests here: features and streams of one day, judged by the real rules."""

import datetime as dt
from typing import Any

import pandas as pd

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.personas.assignment import assign_personas
from spendsense_pipeline.recommendations.library import load_library
from spendsense_pipeline.recommendations.situations import CARD_COLUMNS
from spendsense_pipeline.settings import PROJECT_ROOT

AS_OF = dt.date(2026, 3, 5)
LIBRARY = load_library(PROJECT_ROOT / "prompts")

QUIET: dict[str, Any] = {
    "history_days": 365,
    "data_age_days": 1,
    "balance_age_days": 1,
    "explained_share": 1.0,
    "shared_accounts": 0,
    "unlinked_cards": 0,
    "unlinked_card_payments": 0.0,
    "recurring_merchants": 1,
    "monthly_recurring_spend": 12.0,
    "subscription_spend_share": 0.01,
    "monthly_bills": 900.0,
    "monthly_regular": 0.0,
    "total_spend": 2400.0,
    "avg_monthly_expenses": 2400.0,
    "card_count": 1,
    "cards_with_unknown_limit": 0,
    "avg_utilization": 0.1,
    "max_utilization": 0.1,
    "utilization_30_flag": False,
    "utilization_50_flag": False,
    "utilization_80_flag": False,
    "minimum_payment_only_flag": False,
    "interest_charges": 0.0,
    "interest_charges_present": False,
    "any_overdue": False,
    "fees_180d": 0.0,
    "fees_30d": 0.0,
    "service_fees_180d": 0.0,
    "payroll_detected": True,
    "pay_frequency": "biweekly",
    "median_pay_gap_days": 14.0,
    "income_variability": 0.02,
    "avg_monthly_income": 3000.0,
    "regular_income": 3000.0,
    "cash_flow_buffer_months": 1.2,
    "investment_account_detected": False,
    "currency": "USD",
    "currency_factor": 1.0,
}
"""A customer about whom no rule says anything."""

STRAINED = QUIET | {
    "card_count": 2,
    "avg_utilization": 0.61,
    "max_utilization": 0.824,
    "utilization_30_flag": True,
    "utilization_50_flag": True,
    "utilization_80_flag": True,
    "interest_charges": 46.2,
    "interest_charges_present": True,
    "minimum_payment_only_flag": True,
}
UNEVEN = QUIET | {
    "income_variability": 0.41,
    "median_pay_gap_days": 52.0,
    "pay_frequency": "irregular",
    "cash_flow_buffer_months": 0.44,
}
SUBSCRIBED = QUIET | {
    "recurring_merchants": 5,
    "monthly_recurring_spend": 86.95,
    "subscription_spend_share": 0.12,
}
SAVING = QUIET | {
    "net_savings_inflow": 350.0,
    "savings_balance": 5000.0,
    "savings_growth_rate": 0.075,
    "emergency_fund_months": 2.083,
}
WEALTHY = QUIET | {
    "avg_monthly_income": 14000.0,
    "regular_income": 14000.0,
    "avg_monthly_expenses": 7000.0,
    "savings_balance": 61000.0,
    "net_savings_inflow": 1500.0,
    "emergency_fund_months": 8.7,
    "investment_account_detected": True,
}
EVERYONE = {
    "high_utilization": STRAINED,
    "variable_income": UNEVEN,
    "subscription_heavy": SUBSCRIBED,
    "savings_builder": SAVING,
    "wealth_builder": WEALTHY,
    "fallback": QUIET,
}
NOTHING_KNOWN: dict[str, Any] = {
    "history_days": 0,
    "shared_accounts": 0,
    "card_count": 0,
    "cards_with_unknown_limit": 0,
    "investment_account_detected": False,
    "currency_factor": 1.0,
}


def features(customers: dict[str, dict[str, Any]], window_days: int = 30) -> pd.DataFrame:
    """Rows of the contract ``features_30d``, one per customer."""
    columns = CONTRACTS["features_30d"].columns
    rows = [{"user_id": user, "as_of": AS_OF, "window_days": window_days} | row for user, row in customers.items()]
    frame = pd.DataFrame(rows, columns=list(columns))
    kinds = {"integer": "Int64", "flag": "boolean", "number": "float64", "text": "str"}
    return frame.astype({name: kinds[column.type] for name, column in columns.items() if column.type in kinds})


def streams(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Monthly subscriptions: rows need user_id, merchant and monthly_cost."""
    made = [
        {
            "stream_id": f"{row['user_id']}-{number}",
            "as_of": AS_OF,
            "category": "ENTERTAINMENT_TV_AND_MOVIES",
            "kind": "subscription",
            "evidence": "known_payee",
            "cadence": "monthly",
            "status": "mature",
            "occurrences": 6,
            "first_date": AS_OF - dt.timedelta(days=170),
            "last_date": AS_OF - dt.timedelta(days=10),
            "expected_next_date": AS_OF + dt.timedelta(days=20),
            "typical_amount": -row["monthly_cost"],
            "last_amount": -row["monthly_cost"],
            "price_change": None,
            "confidence": 0.9,
        }
        | row
        for number, row in enumerate(rows)
    ]
    frame = pd.DataFrame(made, columns=list(CONTRACTS["recurring_streams"].columns))
    return frame.astype({"price_change": "float64", "monthly_cost": "float64"})


CARDS = [
    {"user_id": "high_utilization", "last4": "4821", "balance": 4120.0, "credit_limit": 5000.0, "apr": 26.4},
    {"user_id": "high_utilization", "last4": "0937", "balance": 760.0, "credit_limit": 3000.0, "apr": 21.9},
]


def cards(rows: list[dict[str, Any]] | None = None) -> pd.DataFrame:
    """Cards as the table ``cards`` has them; the strained customer's two by default."""
    frame = pd.DataFrame(CARDS if rows is None else rows, columns=CARD_COLUMNS)
    money = {name: "float64" for name in CARD_COLUMNS if name not in ("user_id", "last4")}
    frame = frame.astype(money | {"user_id": "str", "last4": "str"})
    return frame.assign(utilization=frame["balance"] / frame["credit_limit"])


def day(customers: dict[str, dict[str, Any]]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Personas and features of both windows, in the order in which ``situations`` takes them."""
    short, long = features(customers, 30), features(customers, 180)
    return assign_personas(short), assign_personas(long), short, long


SUBSCRIPTIONS = [
    {"user_id": "subscription_heavy", "merchant": "Netflix", "monthly_cost": 22.99, "price_change": 0.12},
    {"user_id": "subscription_heavy", "merchant": "Spotify", "monthly_cost": 11.99},
    {"user_id": "subscription_heavy", "merchant": "Planet Fitness", "monthly_cost": 24.99},
    {"user_id": "subscription_heavy", "merchant": "Adobe", "monthly_cost": 19.99},
    {"user_id": "subscription_heavy", "merchant": "iCloud", "monthly_cost": 6.99},
]
