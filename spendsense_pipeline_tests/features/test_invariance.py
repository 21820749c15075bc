"""What must not matter: the order of rows, the unit of money, other customers, what is pending or still to come.

Histories are drawn by chance; a history and its altered copies are customers of one ledger, so that one expression,
which takes seconds to plan however few its rows, judges them all.
"""

import random
from typing import Any

import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.features.rows import classify
from spendsense_pipeline.features.streams import streams_and_hits
from spendsense_pipeline.features.windows import customer_features
from spendsense_pipeline_tests.features.ledger import AS_OF, Ledger

PAYEES = (
    "Netflix",
    "PAYPAL *HULU",
    "Corner Deli",
    "Acme Payroll",
    "Tri-County Electric",
    "Venmo",
    "Transfer to savings",
)
CATEGORIES = (
    *("", "ENTERTAINMENT_TV_AND_MOVIES", "FOOD_AND_DRINK_GROCERIES", "INCOME_WAGES", "TRANSFER_OUT_SAVINGS"),
    *("RENT_AND_UTILITIES_GAS_AND_ELECTRICITY", "BANK_FEES_OVERDRAFT_FEES", "GENERAL_MERCHANDISE_SUPERSTORES"),
)
ACCOUNTS = ("checking", "savings", "credit card")
SCALE = 4  # a power of two: binary fractions scale without rounding
COPIES = ("plain", "shuffled", "scaled", "disturbed")

HISTORIES = 25


def history(chance: random.Random) -> list[dict[str, Any]]:
    """One to six habits of paying or being paid."""
    return [
        {
            "payee": chance.choice(PAYEES),
            "category": chance.choice(CATEGORIES),
            "entity": chance.choice([None, "ent_1", "ent_2"]),
            "account": chance.choice(ACCOUNTS),
            "cents": chance.randint(100, 300_000),
            "wobble": chance.choice([0, 0, 0, 1, 40]),  # percent
            "sign": chance.choice([-1, -1, 1]),
            "every": chance.choice([1, 7, 14, 30, 30, 30, 91]),
            "last": chance.randint(0, 40),  # days ago
            "jitter": [chance.randint(-2, 2) for _ in range(chance.randint(1, 12))],  # one for each time
        }
        for _ in range(chance.randint(1, 6))
    ]


def live(ledger: Ledger, user: str, habits: list[dict[str, Any]], copy: str) -> None:
    """One history as a customer of the ledger."""
    scale = SCALE if copy == "scaled" else 1
    ledger.customer(user)
    own = {
        type_: ledger.account(user, type_, balance_current=1234.56 * scale, balance_limit=8000.0 * scale)
        for type_ in ACCOUNTS
    }
    rows = []
    for number, habit in enumerate(habits):
        for turn, jitter in enumerate(habit["jitter"]):
            cents = habit["sign"] * round(habit["cents"] * (1 + habit["wobble"] / 200 * jitter))
            days = max(habit["last"] + habit["every"] * turn + jitter, 0)
            key = f"{number:02d}-{turn:02d}-{user}"
            rows.append((own[habit["account"]], days, cents * scale / 100, habit, {"transaction_id": key}))
    if copy == "disturbed":
        rows += [(account, days + 1, amount, habit, {"pending": True}) for account, days, amount, habit, _ in rows[::2]]
        rows += [(account, -1 - days, amount, habit, {}) for account, days, amount, habit, _ in rows[::3]]
    if copy == "shuffled":
        random.Random(len(rows)).shuffle(rows)
    for account, days, amount, habit, facts in rows:
        ledger.row(
            account, days, amount, habit["payee"], habit["category"], merchant_entity_id=habit["entity"], **facts
        )


def judged(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Features and streams of each customer, without what names the customer."""
    con = warehouse.connect()
    tables = {name: con.create_table(name, table) for name, table in ledger.tables().items()}
    moved, held, users = tables["transactions"], tables["accounts"], tables["users"]
    rows = classify(moved, held, users, AS_OF).cache()
    streams, hits = streams_and_hits(rows, AS_OF)
    features = customer_features(rows, moved, held, tables["liabilities"], users, streams, AS_OF, hits=hits)
    found: dict[str, list[dict[str, Any]]] = {row["user_id"]: [] for row in ledger.rows["users"]}
    features = features.order_by("user_id", "window_days")
    streams = streams.order_by("user_id", "merchant", "first_date", "last_date", "typical_amount", "cadence")
    for table in (features, streams):
        for row in table.to_pyarrow().to_pylist():
            found[row.pop("user_id")].append({name: value for name, value in row.items() if name != "stream_id"})
    return found


MONEY = {
    *("total_spend", "avg_monthly_expenses", "net_savings_inflow", "savings_balance", "interest_charges"),
    *("fees_180d", "avg_monthly_income", "monthly_recurring_spend"),
    *("typical_amount", "last_amount", "monthly_cost"),
}


def in_units(told: list[dict[str, Any]], scale: int) -> list[dict[str, Any]]:
    """The same with money multiplied, as precise as cents allow."""
    return [
        {
            name: pytest.approx(value * (scale if name in MONEY else 1), rel=1e-3, abs=0.05)
            if isinstance(value, float)
            else value
            for name, value in row.items()
        }
        for row in told
    ]


@pytest.fixture(scope="module")
def histories() -> list[list[dict[str, Any]]]:
    chance = random.Random(20_260_630)
    return [history(chance) for _ in range(HISTORIES)]


@pytest.fixture(scope="module")
def town(histories: list[list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """What is found of every copy of every history."""
    ledger = Ledger()
    for number, habits in enumerate(histories):
        for copy in COPIES:
            live(ledger, f"{number} {copy}", habits, copy)
    return judged(ledger)


Found = dict[str, list[dict[str, Any]]]


def test_the_histories_are_worth_a_comparison(town: Found) -> None:
    kinds = {row["kind"] for told in town.values() for row in told if "kind" in row}
    assert kinds == {"subscription", "bill", "income"}
    assert {row["pay_frequency"] for told in town.values() for row in told if "window_days" in row} > {None, "monthly"}


@pytest.mark.parametrize("copy", ["shuffled", "disturbed"])
def test_order_and_pending_and_future_rows_change_nothing(town: Found, copy: str) -> None:
    for number in range(HISTORIES):
        assert town[f"{number} {copy}"] == town[f"{number} plain"], number


def test_money_in_another_unit_changes_nothing_but_the_unit(town: Found) -> None:
    for number in range(HISTORIES):
        assert town[f"{number} scaled"] == in_units(town[f"{number} plain"], SCALE), number


def test_other_customers_change_nothing(town: Found, histories: list[list[dict[str, Any]]]) -> None:
    alone = Ledger()
    live(alone, "3 plain", histories[3], "plain")
    assert judged(alone)["3 plain"] == town["3 plain"]
