"""What moves into and out of savings, and what lies there: the savings family of the features."""

from typing import Any

import ibis

from spendsense_pipeline.features.expressions import money, ratio


def savings_flow(rows: ibis.Table, inside: Any) -> Any:
    """Aggregate: inflow less outflow on savings accounts, of the rows ``inside`` the window."""
    return rows.amount.sum(where=inside & (rows.account_class == "savings"))


def balance_sum(at: ibis.Table, account_class: str) -> Any:
    """Aggregate over ``accounts_at``: what lies on accounts of a class; null without one or with one unknown."""
    mine = at.account_class == account_class
    unknown = (mine & at.balance.isnull()).any()
    return unknown.ifelse(ibis.null("float64"), money(at.balance.sum(where=mine)))


def savings_columns(t: ibis.Table) -> dict[str, Any]:
    """The savings columns, from ``savings_accounts, savings_moved, savings_balance, months`` and expenses."""
    moved = (t.savings_accounts > 0).ifelse(t.savings_moved.fill_null(0.0), ibis.null("float64"))
    moved = t.any_rows.ifelse(moved, ibis.null("float64"))
    start = money(t.savings_balance - moved)
    return {
        "net_savings_inflow": money(moved / t.months),
        "savings_growth_rate": (start > 0).ifelse(ratio(moved, start), ibis.null("float64")),
        "emergency_fund_months": ratio(t.savings_balance, t.avg_monthly_expenses),
    }
