"""Cards, what is owed on them, interest and fees: the credit family of the features.

What does not belong here: which row is interest or a fee (``rows.py``) and balances at a date (``accounts.py``).
"""

import datetime as dt
from typing import Any

import ibis

from spendsense_pipeline.features.accounts import accounts_at, card_details
from spendsense_pipeline.features.expressions import any_of, ratio

FEE_DAYS = 180  # fees_180d, whatever the window
MINIMUM_PAYMENT_SLACK = 5.00  # US dollars above the minimum that still count as paying only the minimum
UTILIZATION_FLAGS = {"utilization_30_flag": 0.30, "utilization_50_flag": 0.50, "utilization_80_flag": 0.80}


def interest_charged(rows: ibis.Table, inside: Any) -> Any:
    """Aggregate: interest charged on cards by the rows ``inside`` the window, positive."""
    return (-rows.amount).sum(where=inside & (rows.kind == "interest_charged"))


def penalty_fees(rows: ibis.Table, inside: Any) -> Any:
    """Aggregate: overdraft, insufficient funds and late fees less those given back, positive."""
    counted = rows.kind.isin(["fee", "refund"]) & rows.penalty
    return (-rows.amount).sum(where=inside & counted)


def cards(at: ibis.Table) -> ibis.Table:
    """One row per customer with a card: count, limits, utilization and its flags."""
    each = card_details(at)
    known = each.credit_limit.notnull()
    owed = ibis.greatest(each.balance, 0.0)
    unknown_balance = (known & each.balance.isnull()).any()
    return each.group_by("user_id").agg(
        card_count=each.count(),
        cards_with_unknown_limit=(~known).sum(),
        avg_utilization=unknown_balance.ifelse(
            ibis.null("float64"), ratio(owed.sum(where=known), each.credit_limit.sum(where=known))
        ),
        max_utilization=each.utilization.max(),
        **{flag: any_of(each.utilization >= share) for flag, share in UTILIZATION_FLAGS.items()},
    )


def described(liabilities: ibis.Table, as_of: dt.date) -> ibis.Table:
    """``account_id, liability_id`` and what a liability says on the day; what it says of a later day is null."""
    dated = (liabilities.balance_date <= ibis.literal(as_of)).fill_null(True)
    said = ("last_payment_amount", "minimum_payment_amount", "last_statement_balance", "is_overdue")
    return liabilities.select(
        "account_id",
        "liability_id",
        **{name: dated.ifelse(liabilities[name], ibis.null(liabilities[name].type())) for name in said},
    )


def obligations(at: ibis.Table, liabilities: ibis.Table, as_of: dt.date) -> ibis.Table:
    """One row per customer with a card or loan: ``owes`` (how many), ``minimum_payment_only_flag, any_overdue``.

    Both flags are three-valued. A liability of after ``as_of`` is unknown, and so is a card or loan without one.
    """
    said = described(liabilities, as_of)
    owing = at.select("account_id", "user_id", "account_class", "balance", "currency_factor").left_join(
        said, "account_id"
    )
    owing = owing.filter(owing.account_class.isin(["credit_card", "loan"]) | owing.liability_id.notnull())
    paid_minimum_only = (
        (owing.balance > 0)
        & (owing.last_payment_amount > 0)
        & (owing.last_payment_amount <= owing.minimum_payment_amount + MINIMUM_PAYMENT_SLACK * owing.currency_factor)
        & (owing.last_payment_amount < owing.last_statement_balance)
    )
    # On other accounts there is nothing to pay a minimum of.
    paid_minimum_only = (owing.account_class == "credit_card").ifelse(paid_minimum_only, False)
    return owing.group_by("user_id").agg(
        owes=owing.account_id.count(),
        minimum_payment_only_flag=any_of(paid_minimum_only),
        any_overdue=any_of(owing.is_overdue),
    )


def cards_at(
    transactions: ibis.Table, accounts: ibis.Table, liabilities: ibis.Table, users: ibis.Table, as_of: dt.date
) -> ibis.Table:
    """One row per card on the day: ``user_id, last4, balance, credit_limit, utilization, apr`` (of purchases).

    ``apr`` is null where no liability of ``as_of`` or before gives one.
    """
    dated = (liabilities.balance_date <= ibis.literal(as_of)).fill_null(True)
    rates = liabilities.filter(dated).group_by("account_id").agg(apr=lambda t: t.apr_purchase.max())
    each = card_details(accounts_at(transactions, accounts, users, as_of)).left_join(rates, "account_id")
    return each.select("user_id", "last4", "balance", "credit_limit", "utilization", "apr")
