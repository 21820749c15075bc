"""A merge of further batches equals judging everything, whatever is merged first and whatever later batches change.

A history is four hundred small worlds of three customers and two accounts, whose ids never meet, delivered in the same
batches: as good as four hundred histories, for little more than the price of one.
"""

import json
import random
from typing import Any

import ibis
import pytest

from spendsense_pipeline.ingest import landing, merge, plan
from spendsense_pipeline_tests.ingest.conftest import ACCOUNT, LIABILITY, TRANSACTION, Row, Zone

WORLDS = 400
TABLES = ("users", "accounts", "transactions", "liabilities")
Delivery = dict[str, list[Row]]


def world(rng: random.Random, batches: int) -> list[Delivery]:
    """What each batch brings of one world: late owners, shared accounts, corrections, removals, moves, conflicts, bad
    rows; postings, which in every other world are most rows and lead in chains and circles."""
    prefix = f"w{rng.getrandbits(60)}"
    changes = [None, None, None, "removed", "removed there", "posts", "posts", "under", "blank", "nameless"]
    changes += rng.choice([[], ["posts"] * 24])

    def name(kind: str, most: int) -> str:
        return f"{prefix}{kind}{rng.randint(1, most)}"

    def transaction() -> Row:
        row = {**TRANSACTION, "transaction_id": name("t", 6), "account_id": name("a", 2)}
        row["amount"] = rng.choice([-1, -2, -2, "much"])
        row["date"] = rng.choice(["2026-01-09", "2026-01-10", "2026-02-01"])
        change = rng.choice(changes)
        if change == "removed":
            return {"transaction_id": row["transaction_id"], "removed": True}
        if change == "removed there":
            row |= {"removed": True, "user_id": name("u", 3)}
        if change == "posts":
            row |= {"pending_transaction_id": rng.choice(["", " "]) + name("t", 6), "account_id": f"{prefix}a1"}
            row["amount"] = -1
        if change == "under":
            row["user_id"] = name("u", 3)
        if change == "blank":
            row["transaction_id"] = f" {row['transaction_id']} "
        if change == "nameless":
            row["transaction_id"] = None
        return row

    def user() -> Row:
        return {"user_id": name("u", 3), "email": rng.choice([None, None, None, "nowhere"])}

    def account() -> Row:
        told = {"subtype": rng.choice(["checking"] * 5 + ["savings"]), "balance_date": rng.choice([None, "2026-02-01"])}
        return {**ACCOUNT, **told, "account_id": name("a", 2), "user_id": name("u", 3)}

    def some(rows: Any, most: int) -> list[Row]:
        return [rows() for _ in range(rng.randint(0, most))]

    return [
        {
            "users": some(user, 2),
            "accounts": some(account, 2),
            "transactions": some(transaction, 4),
            "liabilities": some(lambda: {**LIABILITY, "liability_id": name("l", 2), "account_id": name("a", 2)}, 1),
        }
        for _ in range(batches)
    ]


def ring(rng: random.Random, batches: int) -> list[Delivery]:
    """Postings that lead on from one to the next, and every other time back to the first; each comes at any time."""
    prefix = f"r{rng.getrandbits(60)}"
    names = [f"{prefix}t{number}" for number in range(rng.randint(3, 7))]
    pending = [*names[1:], rng.choice([None, names[0]])]
    deliveries: list[Delivery] = [{table: [] for table in TABLES} for _ in range(batches)]
    rng.choice(deliveries)["users"].append({"user_id": f"{prefix}u"})
    rng.choice(deliveries)["accounts"].append({**ACCOUNT, "account_id": f"{prefix}a", "user_id": f"{prefix}u"})
    for name, posts in zip(names, pending, strict=True):
        row = {**TRANSACTION, "transaction_id": name, "account_id": f"{prefix}a", "pending_transaction_id": posts}
        rng.choice(deliveries)["transactions"].append(row)
    return deliveries


class History:
    """Batches of many worlds, each with its place in the order of arrival, stored in any order."""

    def __init__(self, zone: Zone, seed: int, steps: int, batches: int = 5) -> None:
        rng = random.Random(seed)
        worlds = [rng.choice([world, world, ring])(rng, batches) for _ in range(WORLDS)]
        for number in range(batches):
            of_batch = [one[number] for one in worlds]
            files: dict[str, Any] = {
                f"{table}_json": [row for one in of_batch for row in one[table]] for table in TABLES
            }
            zone.arrive(f"b{number}", **files)
        self.names = [name for name, *_ in zone.batches]
        self.raw = {table: zone.raw(table).cache() for table in landing.TABLES}
        order = rng.sample(self.names, batches)
        # By the last batches most accounts have their owners: what changes an owner judges all of an account again.
        cuts = range(batches - 2 * (steps - 1), batches + 1, 2)
        self.steps = [order[:cut] for cut in cuts]
        self.people = [order[: cut + 1] for cut in cuts]  # those of a further batch are stored before the rest of it

    def stored(self, number: int) -> tuple[dict[str, ibis.Table], dict[str, dict[str, str]]]:
        """The raw tables at a step, and stamps of them."""
        names, people = self.steps[number], self.people[number]
        there = {table: people if table in ("users", "accounts") else names for table in self.raw}
        raw = {table: rows.filter(rows.batch.isin(there[table])) for table, rows in self.raw.items()}
        return raw, {table: dict.fromkeys(there[table], "as it was") for table in TABLES}


def stored_of(found: merge.Merge) -> tuple[ibis.Table, ibis.Table]:
    """What a further merge goes on from; the next merge replaces the tables of this one."""
    return plan.put_aside(found.accepted["transactions"], None), plan.put_aside(found.quarantined, None)


def contents(found: merge.Merge) -> Any:
    """What is stored of a merge, in one order."""
    return [
        sorted(json.dumps(row, default=str) for row in table.to_pyarrow().to_pylist())
        for table in (found.accepted["transactions"], found.quarantined)
    ]


def outside(found: merge.Merge, transactions: ibis.Table) -> list[str]:
    """The transactions of the months that a further merge says it left alone."""
    assert found.months is not None
    rows = transactions.select("user_id", "transaction_id", "date", "amount").to_pyarrow().to_pylist()
    return sorted(json.dumps(row, default=str) for row in rows if f"{row['date']:%Y-%m}" not in found.months)


@pytest.fixture(autouse=True)
def unfused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `warehouse.connect` has it: composing our queries takes longer than running them."""
    monkeypatch.setattr(ibis.options.sql, "fuse_selects", False)


@pytest.mark.parametrize(
    ("seed", "steps"), [(1, 2), *(pytest.param(seed, 3, marks=pytest.mark.verify) for seed in range(2, 102))]
)
def test_a_merge_of_further_batches_equals_judging_everything(zone: Zone, seed: int, steps: int) -> None:
    history = History(zone, seed, steps)
    raw, stamps = history.stored(0)
    found = merge.full(raw)
    for number, names in enumerate(history.steps[1:], 1):
        note = merge.Note.of(found.note(stamps).text())
        raw, stamps = history.stored(number)
        assert note.extends_to(stamps)
        transactions, quarantined = stored_of(found)
        found = merge.further(raw, note, transactions, quarantined)
        assert outside(found, transactions) == outside(found, found.accepted["transactions"])
        merged, noted, taken = contents(found), found.note(stamps), found.superseded
        found = merge.full(raw)
        assert merged == contents(found)
        assert noted == found.note(stamps)
        new = {batch for batch in names if batch not in note.batches}
        assert {by: n for by, n in taken.items() if by[1] in new} == {
            by: n for by, n in found.superseded.items() if by[1] in new
        }


def test_the_months_that_a_merge_changes_are_those_of_what_comes_and_of_what_goes(zone: Zone) -> None:
    days = {"corrected": "2025-09-05", "moved": "2025-10-05", "gone": "2025-11-05", "untouched": "2025-12-05"}
    rows = [{**TRANSACTION, "transaction_id": name, "date": day} for name, day in days.items()]
    zone.arrive("b1", users_json=[{"user_id": "u1"}], accounts_json=[ACCOUNT], transactions_json=rows)
    before = merge.full({table: zone.raw(table).cache() for table in landing.TABLES})
    assert before.months is None
    stored = stored_of(before)
    later = [rows[0] | {"amount": -1}, rows[1] | {"date": "2026-01-05"}, {"transaction_id": "gone", "removed": True}]
    zone.arrive("b2", users_json=[], accounts_json=[], transactions_json=later)
    note = before.note({table: {"b1": ""} for table in TABLES})
    after = merge.further({table: zone.raw(table).cache() for table in landing.TABLES}, note, *stored)
    assert after.months == {"2025-09", "2025-10", "2025-11", "2026-01"}


def test_only_what_a_batch_changes_is_judged_again(zone: Zone) -> None:
    zone.arrive(
        "b1",
        users_json=[{"user_id": "u1"}, {"user_id": "u2"}],
        accounts_json=[ACCOUNT, {**ACCOUNT, "account_id": "a2"}],
        transactions_json=[
            {**TRANSACTION, "transaction_id": "corrected"},
            {**TRANSACTION, "transaction_id": "pending"},
            {**TRANSACTION, "transaction_id": "untouched"},
            {**TRANSACTION, "transaction_id": "shared", "account_id": "a2"},
            {**TRANSACTION, "transaction_id": "waiting", "account_id": "a3"},
            {**TRANSACTION, "transaction_id": "still waiting", "account_id": "a4"},
        ],
    )
    before = merge.full({table: zone.raw(table).cache() for table in landing.TABLES})
    transactions, quarantined = stored_of(before)
    zone.arrive(
        "b2",
        users_json=[],
        accounts_json=[{**ACCOUNT, "account_id": "a2", "user_id": "u2"}, {**ACCOUNT, "account_id": "a3"}],
        transactions_json=[
            {**TRANSACTION, "transaction_id": "corrected", "amount": -1},
            {**TRANSACTION, "transaction_id": "posted", "pending_transaction_id": "pending"},
        ],
    )
    note = before.note({table: {"b1": ""} for table in TABLES})
    raw = {table: zone.raw(table).cache() for table in landing.TABLES}
    after = merge.further(raw, note, transactions, quarantined)
    judged = after.judged["transactions"].select("batch", "transaction_id").to_pyarrow().to_pylist()
    assert sorted((row["batch"], row["transaction_id"]) for row in judged) == [
        ("b1", "corrected"),
        ("b1", "pending"),
        ("b1", "shared"),
        ("b1", "waiting"),
        ("b2", "corrected"),
        ("b2", "posted"),
    ]


def equals_judging_everything(zone: Zone, people: set[str]) -> None:
    """A merge of b2 into b1, when the users and accounts of ``people`` were there with b1, and what it changes."""
    raw = {table: zone.raw(table).cache() for table in landing.TABLES}
    there = {table: people if table in ("users", "accounts") else {"b1"} for table in raw}
    before = merge.full({table: rows.filter(rows.batch.isin(there[table])) for table, rows in raw.items()})
    note = before.note({table: dict.fromkeys(there[table], "") for table in TABLES})
    first, stored = contents(before), stored_of(before)
    merged = contents(merge.further(raw, note, *stored))
    assert merged == contents(merge.full(raw))
    assert merged != first


def test_who_claims_an_account_changes_what_is_stored_on_it_even_where_the_claim_is_refused(zone: Zone) -> None:
    zone.arrive(
        "b1",
        users_json=[{"user_id": "u1"}],
        accounts_json=[ACCOUNT],
        transactions_json=[{**TRANSACTION, "user_id": "a stranger"}],
    )
    zone.arrive("b2", users_json=[], accounts_json=[{**ACCOUNT, "user_id": "a stranger"}], transactions_json=[])
    equals_judging_everything(zone, {"b1"})


def test_owners_stored_before_the_transactions_of_their_batch_are_judged_by_the_date_they_had_then(zone: Zone) -> None:
    """Two rows of an account say the same once the balance without a date is of the newest transaction's day."""
    zone.arrive("b1", users_json=[{"user_id": "u1"}], accounts_json=[ACCOUNT], transactions_json=[TRANSACTION])
    theirs = {**ACCOUNT, "user_id": "u2"}
    zone.arrive(
        "b2",
        users_json=[{"user_id": "u2"}],
        accounts_json=[theirs, {**theirs, "balance_date": "2026-02-03"}],
        transactions_json=[{**TRANSACTION, "transaction_id": "t2", "account_id": "another", "date": "2026-02-03"}],
    )
    equals_judging_everything(zone, {"b1", "b2"})


@pytest.mark.parametrize(
    ("stamps", "extends"),
    [
        ({"b1": "x"}, True),
        ({"b1": "x", "b2": "y"}, True),
        ({"b1": "rewritten"}, False),
        ({"b2": "y"}, False),
    ],
)
def test_a_merge_goes_on_only_from_raw_files_that_are_as_they_were(stamps: dict[str, str], extends: bool) -> None:
    note = merge.Note(plan.rules(), {table: {"b1": "x"} for table in merge.READ}, {})
    for table in merge.READ:
        others = {one: {"b1": "x"} for one in merge.READ}
        assert note.extends_to({**others, table: stamps}) is extends
    assert not merge.Note("other rules", note.stamps, {}).extends_to({table: {"b1": "x"} for table in merge.READ})
