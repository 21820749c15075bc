"""A household about which there is nothing to say, and what is said of it once something happens."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from spendsense_pipeline.features.signals import EPOCH, evidence_of, tables_of
from spendsense_pipeline.insights.of_range import insights_of
from spendsense_pipeline_tests.features.ledger import AS_OF, SCHEMAS, Ledger, every, monthly

PAYDAY = dt.date(2026, 6, 26)  # a Friday, four days before AS_OF
GROCERIES = (61.2, 74.85, 58.4, 69.15, 80.3, 66.7, 71.9)


class Household(Ledger):
    """One customer, ``ann``: pay of 2,000 every other week, rent, power, groceries, a streaming service; enough in
    checking and in savings, and nothing on the card."""

    def __init__(self, as_of: dt.date = AS_OF) -> None:
        super().__init__(as_of)
        self.rows["users"].append({"user_id": "ann"})
        self.checking = self.account("ann", "depository", "checking", balance_current=2_600.0)
        self.savings = self.account("ann", "depository", "savings", balance_current=6_000.0)
        self.pay(PAYDAY)
        for number, day in enumerate(monthly(1, 13)):
            self.row(self.checking, day, -1_100.0, "Juniper Apartments", "RENT_AND_UTILITIES_RENT", rent=None)
            self.row(self.checking, day.replace(day=12), -float(60 + 3 * (number % 3)), "City Power",
                     "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY")  # fmt: skip
            self.row(self.checking, day.replace(day=18), -15.49, "Netflix", "ENTERTAINMENT_TV_AND_MOVIES")
        for number, day in enumerate(every(7, 56, as_of - dt.timedelta(days=1))):
            self.row(self.checking, day, -GROCERIES[number % 7], "Corner Grocery", "FOOD_AND_DRINK_GROCERIES")
        for number, day in enumerate(every(9, 40, as_of - dt.timedelta(days=2))):
            self.row(self.checking, day, -95.0 - number * 37 % 53, "Hardware and Home", "HOME_IMPROVEMENT_HARDWARE")

    def row(self, account: str, when: dt.date | int, amount: float, name: str | None = None, category: str = "",
            **facts: Any) -> str:  # fmt: skip
        """As in the ledger, but never after its date."""
        facts.pop("rent", None)
        date = when if isinstance(when, dt.date) else self.as_of - dt.timedelta(days=when)
        return super().row(account, date, amount, name, category, **facts) if date <= self.as_of else ""

    def pay(self, last: dt.date, count: int = 26, amount: float = 2_000.0) -> None:
        """Pay every other week."""
        for day in every(14, count, last):
            self.row(self.checking, day, amount, "Acme Corp Payroll", "INCOME_WAGES")

    def without(self, name: str, after: int = 0) -> None:
        """Take out a payee's rows of the last ``after`` days, or all."""
        since = self.as_of - dt.timedelta(days=after)
        self.rows["transactions"] = [
            row for row in self.rows["transactions"]
            if row["merchant_name"] != name or (after and row["date"] <= since)
        ]  # fmt: skip

    def holds(self, **balances: float | None) -> None:
        """Set the balances of ``checking`` and ``savings``; None takes the account away."""
        for name, balance in balances.items():
            account = getattr(self, name)
            for row in self.rows["accounts"]:
                if row["account_id"] == account:
                    row["balance_current"] = balance
            if balance is None:
                self.rows["accounts"] = [r for r in self.rows["accounts"] if r["account_id"] != account]
                self.rows["transactions"] = [r for r in self.rows["transactions"] if r["account_id"] != account]

    def card(self, balance: float, last4: str = "4821", **owed: Any) -> str:
        """A card with a liability."""
        account = self.account("ann", "credit", "credit card", balance_current=balance, balance_limit=5_000.0)
        for row in self.rows["accounts"]:
            if row["account_id"] == account:
                row["account_id"] = account = f"{account}_{last4}"
        self.liability(account, liability_type="credit_card", **owed)
        return account

    def insights(self) -> dict[str, dict[str, Any]]:
        """By name the insights, with their figures and evidence read."""
        return {row["insight"]: row for row in self.tables()["insights"]}

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Insights and forecast."""
        evidence = evidence_of(self.customers(), [(self.as_of - EPOCH).days], [30, 180])
        made = {name: table.to_pylist() for name, table in insights_of(evidence, tables_of(evidence)).items()}
        for row in made["insights"]:
            row["figures"], row["evidence"] = json.loads(row["figures"]), json.loads(row["evidence"])
        return made


Happens = Callable[[Household], Any]


def street(happenings: Mapping[str, Happens], as_of: dt.date = AS_OF) -> Ledger:
    """A household for each happening, by its name; the rows of all are looked at in one pass."""
    found = Ledger(as_of)
    for user, happens in happenings.items():
        household = Household()
        happens(household)
        for table, rows in household.rows.items():
            ids = [name for name in ("account_id", "transaction_id", "liability_id") if name in SCHEMAS[table]]
            for row in rows:
                found.rows[table].append(row | {"user_id": user} | {i: f"{user}/{row[i]}" for i in ids if i in row})
    return found


def insights_by_household(happenings: Mapping[str, Happens], as_of: dt.date = AS_OF) -> dict[str, dict[str, Any]]:
    """By name of the happening, and of the insight, its row with figures and evidence read."""
    evidence = evidence_of(street(happenings, as_of).customers(), [(as_of - EPOCH).days], [30, 180])
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in insights_of(evidence, tables_of(evidence))["insights"].to_pylist():
        row["figures"], row["evidence"] = json.loads(row["figures"]), json.loads(row["evidence"])
        found[row["user_id"]][row["insight"]] = row
    return found
