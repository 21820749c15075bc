"""Customers, accounts and transactions for the tests of features, written one line each, and what is found of them.

The scenarios of a file share one ledger: customers do not see each other, and who reads a failure sees the neighbours.
"""

import datetime as dt
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from spendsense_pipeline.features.meanings import KINDS
from spendsense_pipeline.features.signals import UNPACKED, Customers, Signals, evidence_of, signals_of

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
        "closed_at": DAY,
        "holders": pa.int64(),
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
        **dict.fromkeys(("description_raw", "counterparty_name", "mcc", "transaction_code"), TEXT),
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
        "next_payment_due_date": DAY,
        "interest_rate": MONEY,
        "balance_date": DAY,
    },
}
AS_OF = dt.date(2026, 6, 30)
EPOCH = dt.date(1970, 1, 1)
Row = dict[str, Any]


def shared(fixture_name: str, config: object) -> str:
    """The scope of what the tests of a file look at together: each computes its own while mutmut asks which test
    reaches which function."""
    return "function" if os.environ.get("MUTANT_UNDER_TEST") == "stats" else "module"


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

    def customers(self) -> Customers:
        """The tables, as the pipeline hands them over."""
        made = {
            name: pa.Table.from_pylist(self.rows[name], pa.schema(list(columns.items())))
            for name, columns in SCHEMAS.items()
        }
        return Customers(**made)

    def signals(self, windows: Sequence[int] = (30, 180), as_of: dt.date | None = None) -> Signals:
        """What is found on a date, by default that of the ledger."""
        return signals_of(self.customers(), [as_of or self.as_of], windows)

    def features(self, windows: Sequence[int] = (30, 180)) -> dict[tuple[str, int], Row]:
        """The features by customer and window."""
        return {(row["user_id"], row["window_days"]): row for row in self.signals(windows).features.to_pylist()}

    def streams(self, as_of: dt.date | None = None) -> dict[str, list[Row]]:
        """The streams by customer, by their first date and amount."""
        return streams_by_customer(self.signals((30,), as_of))

    def kinds(self) -> dict[str, str]:
        """By transaction what its row is; nothing of a row that does not count."""
        return self.kinds_on(0)[0]

    def kinds_on(self, *days_before: int) -> list[dict[str, str]]:
        """The same of several dates at once, each so many days before ``as_of``; they ascend."""
        customers = self.customers()
        evidence = evidence_of(customers, [(self.as_of - EPOCH).days - days for days in days_before], [30])
        ids = [customers.transactions["transaction_id"][place].as_py() for place in evidence.rows.place.tolist()]
        return [
            {key: KINDS[kind] for key, kind in zip(ids, UNPACKED["kind"](read).tolist(), strict=True) if kind >= 0}
            for read in evidence.read
        ]

    def occurrences(self) -> list["Occurrences"]:
        """By stream the transactions that it counts."""
        customers = self.customers()
        evidence = evidence_of(customers, [(self.as_of - EPOCH).days], [30])
        ids, users = customers.transactions["transaction_id"].to_pylist(), evidence.users.to_pylist()
        places = evidence.rows.place[evidence.counted["number"]].tolist()
        return [
            Occurrences(users[stream["user"]], [ids[place] for place in places[first : first + stream["occurrences"]]])
            for stream in evidence.streams
            for first in [int(stream["first_hit"])]
        ]


class Occurrences(NamedTuple):
    """The transactions of one stream, by date."""

    user_id: str
    transactions: list[str]


def streams_by_customer(signals: Signals) -> dict[str, list[Row]]:
    """The streams of one date by customer, by their first date and amount; an empty list of who has none."""
    found: dict[str, list[Row]] = defaultdict(list)
    for stream in sorted(signals.streams.to_pylist(), key=lambda row: (row["first_date"], row["typical_amount"])):
        found[stream["user_id"]].append(stream)
    return found


def every(days: int, times: int, last: dt.date) -> list[dt.date]:
    """Dates a fixed number of days apart, from the last back."""
    return [last - dt.timedelta(days=days * back) for back in range(times)]


def monthly(day: int, times: int, last: tuple[int, int] = (2026, 6), apart: int = 1) -> list[dt.date]:
    """``times`` dates on one day of the month, oldest first; a day that the month lacks is its last."""
    found = []
    for back in range(times - 1, -1, -1):
        year, month = divmod(last[0] * 12 + last[1] - 1 - back * apart, 12)
        end = (dt.date(year + (month == 11), (month + 1) % 12 + 1, 1) - dt.timedelta(days=1)).day
        found.append(dt.date(year, month + 1, min(day, end)))
    return found


def shifted(dates: Iterable[dt.date], by: Sequence[int]) -> list[dt.date]:
    """Each date moved by its number of days."""
    return [date + dt.timedelta(days=days) for date, days in zip(dates, by, strict=True)]
