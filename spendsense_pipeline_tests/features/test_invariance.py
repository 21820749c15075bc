"""What must not matter: the order of rows, the unit of money, other customers, whole weeks, pending and future rows.

Histories are drawn by Hypothesis; a history and its altered copies are customers of one ledger, and many histories are
drawn at once, so that one expression, which takes seconds to plan however few its rows, judges them all.
"""

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spendsense_pipeline import synthetic, warehouse
from spendsense_pipeline.features.day import of_day
from spendsense_pipeline.ingest import canonical, landing
from spendsense_pipeline.synthetic import Synthetic
from spendsense_pipeline_tests.features.ledger import AS_OF, Ledger

PAYEES = (
    "Netflix",
    "PAYPAL *HULU",
    "HULU SAN JOSE CA",
    "APPLE.COM/BILL",
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
AT_ONCE = 12

habit = st.fixed_dictionaries(
    {
        "payee": st.sampled_from(PAYEES),
        "category": st.sampled_from(CATEGORIES),
        "entity": st.sampled_from([None, "ent_1", "ent_2"]),
        "account": st.sampled_from(ACCOUNTS),
        "cents": st.integers(100, 300_000),
        "wobble": st.sampled_from([0, 0, 0, 1, 40]),  # percent
        "sign": st.sampled_from([-1, -1, 1]),
        "every": st.sampled_from([1, 7, 14, 30, 30, 30, 91]),
        "last": st.integers(0, 40),  # days ago
        "jitter": st.lists(st.integers(-2, 2), min_size=1, max_size=12),  # one for each time
    }
)
towns = st.lists(st.lists(habit, min_size=1, max_size=6), min_size=AT_ONCE, max_size=AT_ONCE)
"""Customers with one to six habits of paying or being paid each."""

# An example takes seconds, whatever it holds; `make verify` draws more.
few = settings(max_examples=1, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
many = settings(few, max_examples=25, derandomize=False)


def live(
    ledger: Ledger, user: str, habits: list[dict[str, Any]], copy: str = "plain", *, scale: int = SCALE, ago: int = 0
) -> None:
    """One history as a customer of the ledger; everything happened ``ago`` days earlier."""
    scale = scale if copy == "scaled" else 1
    ledger.customer(user)
    own = {
        type_: ledger.account(user, type_, balance_current=1234.56 * scale, balance_limit=8000.0 * scale)
        for type_ in ACCOUNTS
    }
    rows = []
    for number, habit in enumerate(habits):
        for turn, jitter in enumerate(habit["jitter"]):
            cents = habit["sign"] * round(habit["cents"] * (1 + habit["wobble"] / 200 * jitter))
            days = max(habit["last"] + habit["every"] * turn + jitter, 0) + ago
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


def judged(ledger: Ledger, as_of: dt.date = AS_OF) -> dict[str, list[dict[str, Any]]]:
    """Features and streams of each customer, without what names the customer."""
    con = warehouse.connect()
    tables = {name: con.create_table(name, table) for name, table in ledger.tables().items()}
    moved, held, users = tables["transactions"], tables["accounts"], tables["users"]
    streams, features = of_day(moved, held, tables["liabilities"], users, as_of)
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
    """The same with money multiplied, as precise as cents allow: half a cent is much of what is small itself."""

    def precision(row: dict[str, Any]) -> float:
        return 1e-3 + 0.005 / (row.get("avg_monthly_expenses") or 1e9)

    return [
        {
            name: pytest.approx(value * (scale if name in MONEY else 1), rel=precision(row), abs=0.05)
            if isinstance(value, float)
            else value
            for name, value in row.items()
        }
        for row in told
    ]


Found = dict[str, list[dict[str, Any]]]


def town(histories: list[list[dict[str, Any]]]) -> Found:
    """What is found of every copy of every history."""
    ledger = Ledger()
    for number, habits in enumerate(histories):
        for copy in COPIES:
            live(ledger, f"{number} {copy}", habits, copy)
    return judged(ledger)


def order_pending_future_units_and_others_change_nothing(histories: list[list[dict[str, Any]]]) -> None:
    found, alone = town(histories), Ledger()
    for number in range(len(histories)):
        plain = found[f"{number} plain"]
        assert found[f"{number} shuffled"] == plain, number
        assert found[f"{number} disturbed"] == plain, number
        assert found[f"{number} scaled"] == in_units(plain, SCALE), number
    live(alone, "0", histories[0])
    assert judged(alone)["0"] == found["0 plain"]


ANCHORED_TO_MONTHS = {"monthly", "quarterly", "annual", "semi_monthly"}


def whole_weeks_change_nothing_but_what_months_anchor(histories: list[list[dict[str, Any]]]) -> None:
    """The same lives 28 weeks earlier, judged 28 weeks earlier; habits of weeks only, since months differ."""
    weekly = [[habit | {"every": 7 * (1 + habit["every"] % 2)} for habit in habits] for habits in histories]
    now, then = Ledger(), Ledger(AS_OF - dt.timedelta(weeks=28))
    for number, habits in enumerate(weekly):
        live(now, str(number), habits)
        live(then, str(number), habits)
    found, before = judged(now), judged(then, then.as_of)
    shift = dt.timedelta(weeks=28)
    for user, rows in found.items():
        # Where a month explains a payee's dates in one half of the year, weeks may explain them in the other.
        of_months = {row["merchant"] for row in rows + before[user] if row.get("cadence") in ANCHORED_TO_MONTHS}
        pairs = (without_months(rows, of_months), without_months(before[user], of_months))
        for row, other in zip(*pairs, strict=True):
            moved = {name: value + shift if isinstance(value, dt.date) else value for name, value in other.items()}
            assert moved == row, user


def without_months(rows: list[dict[str, Any]], of_months: set[str]) -> list[dict[str, Any]]:
    """What no calendar month anchors: everything but payees of months and what a window makes of them and of pay."""
    of_streams = {"recurring_merchants", "monthly_recurring_spend", "subscription_spend_share"}
    of_pay = {"pay_frequency", "avg_monthly_income"}
    return [
        {name: value for name, value in row.items() if name not in of_streams | of_pay}
        for row in rows
        if row.get("merchant") not in of_months
    ]


def test_the_histories_are_worth_a_comparison() -> None:
    chance = random.Random(20_260_630)
    ledger = Ledger()
    for number in range(20):
        live(ledger, str(number), [drawn(chance) for _ in range(4)])
    found = judged(ledger)
    kinds = {row["kind"] for told in found.values() for row in told if "kind" in row}
    assert kinds == {"subscription", "bill", "income"}
    frequencies = {row["pay_frequency"] for told in found.values() for row in told if "window_days" in row}
    assert len(frequencies) > 1


def drawn(chance: random.Random) -> dict[str, Any]:
    """A habit of the same space, long enough to be told."""
    return {
        "payee": chance.choice(PAYEES),
        "category": chance.choice(CATEGORIES),
        "entity": chance.choice([None, "ent_1", "ent_2"]),
        "account": chance.choice(ACCOUNTS),
        "cents": chance.randint(100, 300_000),
        "wobble": chance.choice([0, 0, 0, 1, 40]),
        "sign": chance.choice([-1, -1, 1]),
        "every": chance.choice([7, 14, 30, 30, 30, 91]),
        "last": chance.randint(0, 20),
        "jitter": [chance.randint(-2, 2) for _ in range(chance.randint(4, 12))],
    }


@few
@given(towns)
def test_order_pending_and_future_rows_the_unit_of_money_and_others_change_nothing(histories: Any) -> None:
    order_pending_future_units_and_others_change_nothing(histories)


@few
@given(towns)
def test_whole_weeks_change_nothing_that_no_month_anchors(histories: Any) -> None:
    whole_weeks_change_nothing_but_what_months_anchor(histories)


@pytest.mark.verify
def test_splitting_into_batches_changes_nothing(tmp_path: Path) -> None:
    """Generated customers landed at once, and in three batches of which each repeats rows of the one before."""
    made = synthetic.generate(8, as_of=AS_OF, hard=True)
    whole = tmp_path / "whole"
    synthetic.write(made, whole)
    rows = made.tables["transactions"].sample(frac=1.0, random_state=3)
    parts = []
    for part in range(3):
        parts.append(tmp_path / f"part{part}")
        again = rows.iloc[part - 1 :: 3].head(100) if part else rows.head(0)
        tables = {**made.tables, "transactions": pd.concat([rows.iloc[part::3], again])}
        synthetic.write(Synthetic(tables, made.truth), parts[-1])
    one, several = landed([whole]), landed(parts)
    assert len(one) > 50
    assert several == one
    assert landed([whole]) == one  # the same batches and the same day give the same table


def landed(batches: list[Path]) -> list[dict[str, Any]]:
    """Streams and features of batches that arrived in this order."""
    con = warehouse.connect()
    raw = {}
    for table in ("users", "accounts", "transactions", "liabilities"):
        arrived = [
            landing.read_raw(con, batch, table, batch_id=batch.name, arrival=number, arrived_on=AS_OF)
            for number, batch in enumerate(batches, start=1)
        ]
        raw[table] = arrived[0].union(*arrived[1:]) if len(arrived) > 1 else arrived[0]
    accepted = {table: canonical.accepted(judged).cache() for table, judged in canonical.judge(raw).items()}
    streams, features = of_day(**accepted, as_of=AS_OF)
    found = streams.order_by("stream_id").to_pyarrow().to_pylist()
    return found + features.order_by("user_id", "window_days").to_pyarrow().to_pylist()


@pytest.mark.verify
@many
@given(towns)
def test_none_of_it_matters_for_many_histories(histories: Any) -> None:
    order_pending_future_units_and_others_change_nothing(histories)
    whole_weeks_change_nothing_but_what_months_anchor(histories)
