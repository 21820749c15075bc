"""Contracts of the landed data: rows as they arrived, the merged and valid tables, and what was kept out."""

import datetime as dt
from typing import Annotated

import ibis.expr.datatypes as types
import pandera.ibis as engine

from spendsense_pipeline.contracts.base import EngineContract, described

EARLIEST = dt.date(1970, 1, 1)
LARGEST = 1e12  # above any private account; catches 1e308 and fixed-point mistakes


class RawRows(EngineContract):
    """Rows of one landed table as read: every known field as text, with where it stood."""

    batch: types.String = described(engine, "landed batch")
    file: types.String = described(engine, "file within the batch")
    row: types.Int64 = described(engine, "row within the file, from 1", "rows", ge=1)
    arrival: types.Int64 = described(engine, "order in which the batch was registered, from 1", ge=1)
    arrived_on: types.Date = described(engine, "UTC day on which the batch was registered")
    page: types.Int64 = described(engine, "order within the batch: a later page corrects an earlier one", ge=0)

    class Config:
        strict = False  # the fields of the landing format follow, as text
        unique = ["file", "row"]


class Users(EngineContract):
    """People: customers and operators. The only table beside the raw one that holds personal data."""

    user_id: types.String = described(engine, "the person")
    full_name: types.String = described(engine, "name; personal data", null="not delivered", personal=True)
    email: types.String = described(engine, "e-mail; personal data", null="not delivered", personal=True)
    created_at: Annotated[types.Timestamp, "UTC", 6, True] = described(
        engine, "since when the person is known", null="not delivered: always known"
    )
    consent_status: types.Boolean = described(
        engine, "consent as the file states it; opens a first period once", null="not stated"
    )
    consent_granted_at: Annotated[types.Timestamp, "UTC", 6, True] = described(engine, "when", null="not stated")
    consent_revoked_at: Annotated[types.Timestamp, "UTC", 6, True] = described(engine, "when", null="not revoked")
    user_type: types.String = described(engine, "role", null="a customer", isin=["customer", "operator"])
    country: types.String = described(engine, "country of residence, ISO 3166-1", null="not delivered", optional=True)
    language: types.String = described(
        engine, "language to be addressed in, BCP 47", null="not delivered", optional=True
    )
    birth_year: types.Int64 = described(
        engine, "year of birth; personal data", "year", null="not delivered", personal=True, optional=True
    )
    batch: types.String = described(engine, "batch of the row that stands")

    class Config:
        strict = True
        unique = ["user_id"]


class Accounts(EngineContract):
    """Accounts with the newest delivered balance; an account of several holders has a row for each of them."""

    account_id: types.String = described(engine, "the account")
    user_id: types.String = described(engine, "its holder, or one of them")
    type: types.String = described(engine, "type as delivered", null="not delivered")
    subtype: types.String = described(engine, "subtype as delivered", null="not delivered")
    balance_available: types.Float64 = described(engine, "available", "money", null="unknown")
    balance_current: types.Float64 = described(
        engine, "balance; on cards and loans what is owed, positive", "money", null="unknown"
    )
    balance_limit: types.Float64 = described(engine, "credit limit", "money", null="unknown", ge=0)
    iso_currency_code: types.String = described(engine, "currency", null="unknown")
    holder_category: types.String = described(engine, "personal or business", null="unknown")
    created_at: Annotated[types.Timestamp, "UTC", 6, True] = described(engine, "opened", null="unknown")
    balance_date: types.Date = described(engine, "day the balance is of")
    account_name: types.String = described(engine, "name as the bank shows it", null="not delivered", optional=True)
    closed_at: types.Date = described(engine, "last day of the account", null="open, or not delivered", optional=True)
    holders: types.Int64 = described(
        engine, "customers who hold the account, this one included", "customers", optional=True, ge=1
    )
    batch: types.String = described(engine, "batch of the row that stands")

    class Config:
        strict = True
        unique = ["account_id", "user_id"]


class Transactions(EngineContract):
    """Transactions, positive = money in; those of a shared account are there for each of its holders."""

    transaction_id: types.String = described(engine, "the transaction")
    account_id: types.String = described(engine, "its account")
    user_id: types.String = described(engine, "the account's holder, or one of them")
    date: types.Date = described(engine, "day as written by the source", ge=EARLIEST)
    amount: types.Float64 = described(
        engine, "positive = money in", "money", in_range={"min_value": -LARGEST, "max_value": LARGEST}
    )
    merchant_name: types.String = described(engine, "payee as written", null="unknown")
    merchant_entity_id: types.String = described(engine, "stable payee id", null="unknown")
    payment_channel: types.String = described(engine, "online, in store, other", null="unknown")
    category_primary: types.String = described(engine, "category as delivered", null="unknown")
    category_detailed: types.String = described(engine, "detailed category as delivered", null="unknown")
    pending: types.Boolean = described(engine, "not posted yet; never counted")
    description_raw: types.String = described(engine, "the bank's whole text", null="not delivered", optional=True)
    mcc: types.String = described(
        engine, "merchant category code, ISO 18245, four digits", null="not delivered", optional=True
    )
    transaction_code: types.String = described(
        engine,
        "what kind of transaction the bank says it is: ISO 20022, NACHA, OFX or SWIFT code as delivered",
        null="not delivered",
        optional=True,
    )
    counterparty_name: types.String = described(
        engine, "who paid or was paid, as the payment names them", null="not delivered", optional=True
    )
    batch: types.String = described(engine, "batch of the row that stands")

    class Config:
        strict = True
        unique = ["transaction_id", "user_id"]


class Liabilities(EngineContract):
    """What is owed on cards and loans; of a shared account, for each of its holders."""

    liability_id: types.String = described(engine, "the liability")
    account_id: types.String = described(engine, "its account")
    user_id: types.String = described(engine, "who owes, or one of them")
    liability_type: types.String = described(
        engine, "kind", isin=["credit_card", "mortgage", "student_loan", "loan", "other"]
    )
    apr_purchase: types.Float64 = described(engine, "APR on purchases", "percent", null="unknown")
    apr_balance_transfer: types.Float64 = described(engine, "APR on transfers", "percent", null="unknown")
    apr_cash_advance: types.Float64 = described(engine, "APR on cash", "percent", null="unknown")
    minimum_payment_amount: types.Float64 = described(engine, "minimum payment", "money", null="unknown")
    last_payment_amount: types.Float64 = described(engine, "last payment, positive", "money", null="unknown")
    is_overdue: types.Boolean = described(engine, "a payment is late", null="unknown")
    next_payment_due_date: types.Date = described(engine, "next due", null="unknown")
    last_statement_balance: types.Float64 = described(engine, "last statement", "money", null="unknown")
    interest_rate: types.Float64 = described(engine, "rate of a loan", "percent", null="unknown")
    balance_date: types.Date = described(engine, "day the figures are of")
    batch: types.String = described(engine, "batch of the row that stands")

    class Config:
        strict = True
        unique = ["liability_id", "user_id"]


class Products(EngineContract):
    """Partner products that may be offered."""

    product_id: types.String = described(engine, "the product")
    product_name: types.String = described(engine, "name")
    product_type: types.String = described(
        engine,
        "what relevance is scored by: balance_transfer, savings_hysa, budgeting_app, subscription_manager, "
        "robo_advisor, or another",
    )
    category: types.String = described(engine, "shelf", null="unknown")
    persona_targets: types.String = described(engine, "JSON list of personas it is meant for", null="all")
    min_income: types.Float64 = described(engine, "minimum monthly income", "money", null="none")
    max_credit_utilization: types.Float64 = described(engine, "highest utilisation", "fraction", null="none")
    min_credit_score: types.Int64 = described(engine, "minimum credit score", null="none")
    requires_no_existing_savings: types.Boolean = described(engine, "only without a savings account")
    requires_no_existing_investment: types.Boolean = described(engine, "only without investments")
    short_description: types.String = described(engine, "one sentence")
    benefits: types.String = described(engine, "JSON list of texts", null="none")
    typical_apy_or_fee: types.String = described(engine, "as advertised", null="unknown")
    partner_link: types.String = described(engine, "https link", null="none")
    partner_name: types.String = described(engine, "partner", null="unknown")
    disclosure: types.String = described(engine, "the partner's own disclosure", null="none")
    commission_rate: types.Float64 = described(engine, "never read by ranking", "fraction", null="unknown")
    priority: types.Int64 = described(engine, "order among equals, lower first", null="last")
    active: types.Boolean = described(engine, "may be offered")
    cost_monthly: types.Float64 = described(
        engine,
        "what it costs the customer a month, about; 0 is free",
        "money",
        null="unknown, so taken for paid",
        optional=True,
        ge=0,
    )
    country: types.String = described(engine, "where it is offered, ISO 3166-1", null="everywhere", optional=True)
    currency: types.String = described(engine, "currency of its terms, ISO 4217", null="any", optional=True)
    reviewed_on: types.Date = described(
        engine,
        "day on which somebody last checked its terms; not delivered, the day its batch arrived. It is not offered "
        "when that is more than a year ago",
        null="never",
        optional=True,
    )
    batch: types.String = described(engine, "batch of the row that stands, or `catalogue`")

    class Config:
        strict = True
        unique = ["product_id"]


class QuarantinedRows(EngineContract):
    """Rows that were read and not accepted, with every reason."""

    batch: types.String = described(engine, "landed batch")
    table: types.String = described(engine, "landed table")
    file: types.String = described(engine, "file within the batch")
    row: types.Int64 = described(engine, "row within the file, from 1", "rows", ge=1)
    field: types.String = described(engine, "field of the first reason", null="the row as a whole")
    value: types.String = described(engine, "its value, cut, masked where personal", null="it was null")
    reasons: types.String = described(engine, "JSON list of codes")

    class Config:
        strict = True
        unique = ["batch", "table", "file", "row"]
