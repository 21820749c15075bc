"""Which columns a column is computed from, for Dagster's column lineage. Kept here, in one place, as ``table.column``.

Named is what a figure is made of and what decides which rows it is made of: the columns to look at when it seems
wrong. What does not belong here: how it is computed (``features/``, ``personas/``).
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from spendsense_pipeline.contracts import CONTRACTS, columns
from spendsense_pipeline.ingest.fields import FIELDS, HELD
from spendsense_pipeline.personas.rules import RULES

Lineage = Mapping[str, Sequence[str]]
"""column -> the columns it is computed from, each ``table.column``."""


def _of(table: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{table}.{name}" for name in names)


# Who was paid, and what for: read from the texts and codes of a row (``payees/readings.py``), and from what the day's
# payees show over all customers.
_NAME = _of("transactions", "merchant_name", "description_raw", "counterparty_name")
_PAYEE = (*_NAME, *_of("transactions", "merchant_entity_id"))
_CATEGORY = (
    *_of("transactions", "category_primary", "category_detailed", "mcc", "transaction_code"),
    *_of("payees", "name", "list_priced", "own_priced", "population_category", "population_source"),
)
_CLASS = _of("accounts", "type", "subtype")
_COUNTED = (*_of("transactions", "user_id", "account_id", "date", "pending"), *_of("accounts", "iso_currency_code"))
# What a transaction is (``features/rows.py``): judged on payee, category, account and the sign of the amount.
_KIND = (*_COUNTED, *_of("transactions", "amount"), *_PAYEE, *_CATEGORY, *_CLASS)
# A balance on the day: the delivered one, rolled back by the rows in between (``features/accounts.py``).
_BALANCE = (
    *_of("accounts", "balance_current", "balance_available", "balance_date", "iso_currency_code"),
    *_CLASS,
    *_of("transactions", "account_id", "date", "amount", "pending"),
)
_UTILIZATION = (*_BALANCE, *_of("accounts", "balance_limit"))
_STREAM_COSTS = _of("recurring_streams", "kind", "status", "monthly_cost")
_SUBSCRIPTIONS = _of("recurring_streams", "kind", "status", "expected_next_date")
_LIABILITY = _of("liabilities", "account_id", "balance_date")

_PRICE_LINE = (*_of("transactions", "user_id", "date", "amount"), *_PAYEE)

STREAMS: Lineage = {
    "stream_id": _PRICE_LINE,
    "user_id": _of("transactions", "user_id"),
    "merchant": _PAYEE,
    "category": (*_NAME, *_CATEGORY),
    **dict.fromkeys(("kind", "evidence"), _KIND),
    "cadence": _KIND,
    "status": _KIND,
    **dict.fromkeys(("occurrences", "first_date", "last_date", "expected_next_date"), _KIND),
    **dict.fromkeys(("typical_amount", "last_amount", "monthly_cost", "confidence"), _KIND),
    **dict.fromkeys(("price_change", "price_before", "price_changed_on"), _KIND),
}

FEATURES: Lineage = {
    "user_id": _of("users", "user_id", "user_type", "created_at"),
    **dict.fromkeys(("history_days", "data_age_days"), _COUNTED),
    "balance_age_days": _of("accounts", "balance_date", "balance_current", "balance_available"),
    "explained_share": _KIND,
    "shared_accounts": _of("accounts", "holders"),
    **dict.fromkeys(("unlinked_cards", "unlinked_card_payments"), _KIND),
    "recurring_merchants": (*_SUBSCRIPTIONS, *_of("transactions", "date")),
    "monthly_recurring_spend": (*_SUBSCRIPTIONS, *_of("recurring_streams", "monthly_cost")),
    "subscription_spend_share": (*_SUBSCRIPTIONS, *_KIND),
    **dict.fromkeys(("monthly_bills", "monthly_regular"), _STREAM_COSTS),
    **dict.fromkeys(("total_spend", "avg_monthly_expenses"), _KIND),
    "net_savings_inflow": (*_COUNTED, *_of("transactions", "amount"), *_CLASS),
    "savings_balance": _BALANCE,
    "savings_growth_rate": _BALANCE,
    "emergency_fund_months": (*_BALANCE, *_PAYEE, *_CATEGORY),
    "card_count": _CLASS,
    "cards_with_unknown_limit": (*_CLASS, *_of("accounts", "balance_limit")),
    **dict.fromkeys(("avg_utilization", "max_utilization"), _UTILIZATION),
    **dict.fromkeys(("utilization_30_flag", "utilization_50_flag", "utilization_80_flag"), _UTILIZATION),
    "minimum_payment_only_flag": (
        *_BALANCE,
        *_LIABILITY,
        *_of("liabilities", "last_payment_amount", "minimum_payment_amount", "last_statement_balance"),
    ),
    **dict.fromkeys(("interest_charges", "interest_charges_present"), _KIND),
    **dict.fromkeys(("fees_180d", "fees_30d", "service_fees_180d"), _KIND),
    "any_overdue": (*_CLASS, *_LIABILITY, *_of("liabilities", "is_overdue")),
    **dict.fromkeys(("payroll_detected", "pay_frequency", "median_pay_gap_days"), _KIND),
    **dict.fromkeys(("income_variability", "avg_monthly_income"), _KIND),
    "regular_income": (*_KIND, *_STREAM_COSTS),
    "cash_flow_buffer_months": (*_BALANCE, *_PAYEE, *_CATEGORY),
    "investment_account_detected": _CLASS,
    **dict.fromkeys(("currency", "currency_factor"), (*_of("accounts", "iso_currency_code"), *_COUNTED[:4])),
}


def _personas(features: str) -> Lineage:
    judged_by = _of(features, *dict.fromkeys(rule.signal for rule in RULES), "currency_factor")
    verdict = ("persona", "priority", "confidence", "is_fallback", "matched", "reasons")
    return {
        **{name: _of(features, name) for name in ("user_id", "as_of", "window_days", "history_days")},
        **dict.fromkeys(verdict, judged_by),
    }


def _canonical(table: str) -> Lineage:
    """The field of the same name as it was written, and what stands in where it is missing."""
    kept = [column["name"] for column in columns(CONTRACTS[table])]
    lineage = {name: _of(f"raw_{table}", name) for name in kept}
    if "balance_date" in lineage:
        lineage["balance_date"] += (*_of("raw_transactions", "date"), *_of(f"raw_{table}", "arrived_on"))
    if table in HELD:
        lineage["user_id"] += _of("accounts", "user_id")
    if "holders" in lineage:
        lineage["holders"] = _of(f"raw_{table}", "user_id")
    return lineage


LINEAGE: Mapping[str, Lineage] = {
    **{table: _canonical(table) for table in FIELDS},
    "recurring_streams": STREAMS,
    "features_30d": FEATURES,
    "features_180d": FEATURES,
    "persona_assignments_30d": _personas("features_30d"),
    "persona_assignments_180d": _personas("features_180d"),
}
"""asset -> its columns' sources; an asset that is not here shows none."""


def column_lineage(key: dg.AssetKey) -> dg.TableColumnLineage | None:
    """The lineage of an asset's columns, None where none is kept; sources bear the asset's own key prefix."""
    lineage = LINEAGE.get(key.path[-1])
    if lineage is None:
        return None
    return dg.TableColumnLineage(
        {column: [_dependency(key, source) for source in sources] for column, sources in lineage.items()}
    )


def _dependency(key: dg.AssetKey, source: str) -> dg.TableColumnDep:
    table, _, column = source.partition(".")
    return dg.TableColumnDep(asset_key=dg.AssetKey([*key.path[:-1], table]), column_name=column)
