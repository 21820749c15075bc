"""Customers, accounts and transactions for the tests of features, written one line each.

All scenarios of a test file share one ledger and are computed once: an expression costs seconds to plan however
few its rows, and customers do not see each other.
"""

import datetime as dt
from typing import Any

import ibis
import pyarrow as pa

TEXT, MONEY, FLAG, DAY, TIME = pa.string(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us", "UTC")
SCHEMAS = {
    "users": {"user_id": TEXT, "user_type": TEXT, "created_at": TIME},
    "accounts": {
        "account_id": TEXT,
        "user_id": TEXT,
        "type": TEXT,
        "subtype": TEXT,
        "balance_available": MONEY,
        "balance_current": MONEY,
        "balance_limit": MONEY,
        "iso_currency_code": TEXT,
        "created_at": TIME,
        "balance_date": DAY,
    },
    "transactions": {
        "transaction_id": TEXT,
        "account_id": TEXT,
        "user_id": TEXT,
        "date": DAY,
        "amount": MONEY,
        "merchant_name": TEXT,
        "merchant_entity_id": TEXT,
        "category_primary": TEXT,
        "category_detailed": TEXT,
        "pending": FLAG,
    },
    "liabilities": {
        "liability_id": TEXT,
        "account_id": TEXT,
        "user_id": TEXT,
        "liability_type": TEXT,
        "apr_purchase": MONEY,
        "minimum_payment_amount": MONEY,
        "last_payment_amount": MONEY,
        "is_overdue": FLAG,
        "last_statement_balance": MONEY,
        "balance_date": DAY,
    },
}
AS_OF = dt.date(2026, 6, 30)


class Ledger:
    """Tables in the making; ids are given out in order."""

    def __init__(self, as_of: dt.date = AS_OF) -> None:
        self.as_of = as_of
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SCHEMAS}

    def customer(self, user: str, *types: str, **facts: Any) -> list[str]:
        """A customer with an account of each type (`checking`, `credit card`, …); the accounts' ids."""
        self.rows["users"].append({"user_id": user, **facts})
        return [self.account(user, type_) for type_ in types]

    def account(self, user: str, type_: str, subtype: str | None = None, **facts: Any) -> str:
        account = f"{user}/{type_}/{len(self.rows['accounts'])}"
        self.rows["accounts"].append(
            {
                "account_id": account,
                "user_id": user,
                "type": type_,
                "subtype": subtype,
                "iso_currency_code": "USD",
                "balance_date": self.as_of,
                **facts,
            }
        )
        return account

    def row(
        self,
        account: str,
        when: dt.date | int,
        amount: float,
        name: str | None = None,
        category: str = "",
        **facts: Any,
    ) -> str:
        """A posted row on a date, or so many days before ``as_of``; a category is the detailed one."""
        date = when if isinstance(when, dt.date) else self.as_of - dt.timedelta(days=when)
        key = f"t{len(self.rows['transactions'])}"
        self.rows["transactions"].append(
            {
                "transaction_id": key,
                "account_id": account,
                "user_id": account.split("/")[0],
                "date": date,
                "amount": amount,
                "merchant_name": name,
                "pending": False,
                "category_detailed": category or None,
                **facts,
            }
        )
        return key

    def liability(self, account: str, **facts: Any) -> None:
        self.rows["liabilities"].append(
            {
                "liability_id": f"l{len(self.rows['liabilities'])}",
                "account_id": account,
                "user_id": account.split("/")[0],
                "balance_date": self.as_of,
                **facts,
            }
        )

    def tables(self) -> dict[str, ibis.Table]:
        return {name: table(self.rows[name], schema) for name, schema in SCHEMAS.items()}


def table(rows: list[dict[str, Any]], schema: dict[str, Any]) -> ibis.Table:
    """Rows as an Ibis table; what a row does not say is null."""
    return ibis.memtable(pa.Table.from_pylist(rows, schema=pa.schema(list(schema.items()))))


def every(days: int, times: int, last: dt.date) -> list[dt.date]:
    """Dates a fixed number of days apart, up to the last."""
    return [last - dt.timedelta(days=days * back) for back in range(times)]
