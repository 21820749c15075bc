"""The features of a customer in a window: spending, and the families put together, one row each.

One pass over the rows serves every window: sums are conditional on the window, and only then is each customer
laid out over the windows. What does not belong here: what a row, a stream or a paycheck is.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import ibis

from spendsense_pipeline.features import credit, savings
from spendsense_pipeline.features.accounts import accounts_at, customers
from spendsense_pipeline.features.expressions import each_window, money, per_window, ratio, step
from spendsense_pipeline.features.income import pay
from spendsense_pipeline.features.streams import stream_hits
from spendsense_pipeline.features.subscriptions import LEAST_HISTORY_DAYS, subscription_sums

SPENDING_ACCOUNTS = ("checking", "savings", "credit_card", "other")
SPENDING_KINDS = ("cash_withdrawal", "fee", "interest_charged", "other_out", "refund")
LEAST_MONTH_DAYS = 30  # a history of a week is not extrapolated to a month


RATES = (
    "subscription_spend_share",
    "savings_growth_rate",
    "emergency_fund_months",
    "avg_utilization",
    "max_utilization",
    "income_variability",
    "cash_flow_buffer_months",
)


def customer_features(
    rows: ibis.Table,
    transactions: ibis.Table,
    accounts: ibis.Table,
    liabilities: ibis.Table,
    users: ibis.Table,
    streams: ibis.Table,
    as_of: dt.date,
    windows: Sequence[int] = (30, 180),
    *,
    hits: ibis.Table | None = None,
) -> ibis.Table:
    """One row per customer and window: the contract ``Features``, sorted by nothing.

    ``rows`` are ``rows.classify`` of the same tables and date, ``streams`` their ``recurring_streams``; ``hits``
    (``stream_hits``) are computed from the rows when not given. Windows are days from 1 to 365. Money is in the
    customer's currency; ``currency_factor`` turns a threshold in US dollars into it.

    >>> customer_features(rows, transactions, accounts, liabilities, users, streams, date(2026, 8, 22))
    """
    if not windows or not all(1 <= window <= 365 for window in windows):
        raise ValueError(f"windows are 1 to 365 days, not {list(windows)}")
    windows = list(dict.fromkeys(windows))
    at = step(accounts_at(transactions, accounts, users, as_of), "accounts_on_the_day")
    hits = stream_hits(rows, as_of) if hits is None else hits

    people = customers(users, as_of)
    families = {
        "flows": _flows(rows, as_of, windows),
        "subscriptions": subscription_sums(streams, hits, as_of, windows),
        "holdings": _holdings(at),
        "cards": credit.cards(at),
        "obligations": credit.obligations(at, liabilities, as_of),
    }
    for name, family in families.items():
        people = people.left_join(family, "user_id", rname="{name}_" + name)
    t = each_window(people, windows)
    t = t.left_join(pay(rows, as_of, windows), ["user_id", "window_days"]).drop("user_id_right", "window_days_right")

    any_rows = t.first_row.notnull()
    history = any_rows.ifelse(ibis.literal(as_of).delta(t.first_row, unit="day"), 0).cast("int64")
    t = t.mutate(
        as_of=ibis.literal(as_of),
        any_rows=any_rows,
        history_days=history,
        months=ibis.least(t.window_days, ibis.greatest(history, LEAST_MONTH_DAYS)) / 30.0,
        **{
            name: per_window(t.window_days, {window: t[f"{name}_{window}"] for window in windows})
            for name in ("spent", "savings_moved", "interest", "streams", "monthly", "charged")
        },
    )
    t = t.mutate(total_spend=_known(t, ibis.greatest(t.spent.fill_null(0.0), 0.0)))
    t = t.mutate(avg_monthly_expenses=money(t.total_spend / t.months))
    t = t.mutate(**savings.savings_columns(t))
    found = t.streams.fill_null(0)
    no_saying = ~t.any_rows | ((t.history_days < LEAST_HISTORY_DAYS) & (found == 0))
    signals = t.select(
        "user_id",
        "as_of",
        "window_days",
        "history_days",
        recurring_merchants=no_saying.ifelse(ibis.null("int64"), found.cast("int64")),
        monthly_recurring_spend=no_saying.ifelse(ibis.null("float64"), money(t.monthly.fill_null(0.0))),
        subscription_spend_share=no_saying.ifelse(
            ibis.null("float64"), ratio(money(t.charged.fill_null(0.0)), t.total_spend)
        ),
        total_spend=t.total_spend,
        avg_monthly_expenses=t.avg_monthly_expenses,
        net_savings_inflow=t.net_savings_inflow,
        savings_balance=t.savings_balance,
        savings_growth_rate=t.savings_growth_rate,
        emergency_fund_months=t.emergency_fund_months,
        card_count=t.card_count.fill_null(0).cast("int64"),
        cards_with_unknown_limit=t.cards_with_unknown_limit.fill_null(0).cast("int64"),
        avg_utilization=t.avg_utilization,
        max_utilization=t.max_utilization,
        **{flag: _without(t.card_count, t[flag]) for flag in credit.UTILIZATION_FLAGS},
        minimum_payment_only_flag=_without(t.owes, t.minimum_payment_only_flag),
        interest_charges=_known(t, t.interest.fill_null(0.0)),
        interest_charges_present=_known(t, t.interest.fill_null(0.0)) > 0,
        any_overdue=_without(t.owes, t.any_overdue),
        fees_180d=_known(t, ibis.greatest(t.fees.fill_null(0.0), 0.0)),
        payroll_detected=t.any_rows.ifelse(t.payroll_detected.fill_null(False), ibis.null("boolean")),
        pay_frequency=t.pay_frequency,
        median_pay_gap_days=t.median_pay_gap_days,
        income_variability=t.income_variability,
        avg_monthly_income=money(t.steady_income + t.other_income / t.months),
        cash_flow_buffer_months=ratio(t.checking_balance, t.avg_monthly_expenses),
        investment_account_detected=t.invests.fill_null(False),
        currency=t.currency,
        currency_factor=t.currency_factor.fill_null(1.0),
    )
    # Engines add floats in any order: what is left of that after nine decimals is noise, and the same inputs have
    # to give the same table.
    return signals.mutate(**{name: signals[name].round(9) for name in RATES})


def _known(t: ibis.Table, amount: Any) -> Any:
    """Money in cents, null for a customer without any transaction."""
    return t.any_rows.ifelse(money(amount), ibis.null("float64"))


def _without(there: Any, flag: Any) -> Any:
    """The flag, or false for a customer who has nothing that it could be about."""
    return there.isnull().ifelse(ibis.literal(False), flag)


def _flows(rows: ibis.Table, as_of: dt.date, windows: Sequence[int]) -> ibis.Table:
    """One row per customer with transactions: what flowed in each window, in one pass."""
    spends = rows.account_class.isin(SPENDING_ACCOUNTS) & rows.kind.isin(SPENDING_KINDS)
    sums: dict[str, Any] = {
        "first_row": rows.history_start.min(),
        "fees": credit.penalty_fees(rows, _inside(rows, as_of, credit.FEE_DAYS)),
    }
    for window in windows:
        inside = _inside(rows, as_of, window)
        sums[f"spent_{window}"] = (-rows.amount).sum(where=inside & spends)
        sums[f"savings_moved_{window}"] = savings.savings_flow(rows, inside)
        sums[f"interest_{window}"] = credit.interest_charged(rows, inside)
    # In cents, before anything is divided by them: floats added in another order may end on the other side of half
    # a cent.
    return rows.group_by("user_id").agg(
        **{name: total if name == "first_row" else money(total) for name, total in sums.items()}
    )


def _inside(rows: ibis.Table, as_of: dt.date, window: int) -> Any:
    return rows.date > ibis.literal(as_of - dt.timedelta(days=window))


def _holdings(at: ibis.Table) -> ibis.Table:
    """One row per customer with an account: balances by class, and what there is."""
    return at.group_by("user_id").agg(
        currency=at.currency.max(),
        currency_factor=at.currency_factor.max(),
        savings_accounts=(at.account_class == "savings").sum(),
        savings_balance=savings.balance_sum(at, "savings"),
        checking_balance=savings.balance_sum(at, "checking"),
        invests=(at.account_class == "investment").any(),
    )
