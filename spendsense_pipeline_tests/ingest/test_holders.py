"""An account delivered under several customers is each holder's, and so is all that belongs to it."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spendsense_pipeline import warehouse
from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.ingest import canonical
from spendsense_pipeline_tests.ingest.conftest import ACCOUNT, LIABILITY, TRANSACTION, USER, Row, Zone, rows

PEOPLE = [{**USER, "user_id": name, "email": f"{name}@example.org"} for name in ("u1", "u2", "u3")]
SHARED = [{**ACCOUNT, "user_id": "u2"}, {**ACCOUNT, "user_id": "u1"}]


def shared(zone: Zone, **files: list[Row]) -> Zone:
    """The joint account a1 of u1 and u2, with whatever else the first batch holds."""
    return zone.arrive("b1", **{"users_json": PEOPLE, "accounts_json": SHARED, **files})


def copies(zone: Zone, table: str = "transactions") -> list[tuple[str, str]]:
    return [(next(iter(row.values())), row["user_id"]) for row in zone.accepted(table)]


def test_each_holder_has_a_row_of_the_account_that_says_how_many_they_are(zone: Zone) -> None:
    alone = {**ACCOUNT, "account_id": "a2", "user_id": "u3"}
    shared(zone, accounts_json=[*SHARED, alone])
    assert [(row["account_id"], row["user_id"], row["holders"]) for row in zone.accepted("accounts")] == [
        ("a1", "u1", 2),
        ("a1", "u2", 2),
        ("a2", "u3", 1),
    ]
    assert zone.outcomes("accounts") == ["accepted"] * 3


@pytest.mark.parametrize("under", [{}, {"user_id": "u1"}, {"user_id": "u2"}])
def test_what_is_delivered_once_is_there_for_each_holder(zone: Zone, under: Row) -> None:
    shared(zone, transactions_json=[{**TRANSACTION, **under}], liabilities_json=[{**LIABILITY, **under}])
    assert copies(zone) == [("t1", "u1"), ("t1", "u2")]
    assert copies(zone, "liabilities") == [("l1", "u1"), ("l1", "u2")]
    assert zone.outcomes("transactions") == ["accepted"], "the count is of rows read"


def test_what_is_delivered_under_each_holder_is_the_same_row_again(zone: Zone) -> None:
    both = [{**TRANSACTION, "user_id": name} for name in ("u1", "u2")]
    shared(zone, transactions_json=both)
    assert copies(zone) == [("t1", "u1"), ("t1", "u2")]
    assert zone.outcomes("transactions") == ["accepted", "duplicate"]


def test_holders_who_contradict_each_other_in_one_batch_are_both_rejected(zone: Zone) -> None:
    shared(zone, transactions_json=[{**TRANSACTION, "user_id": "u1"}, {**TRANSACTION, "user_id": "u2", "amount": 1}])
    assert zone.outcomes("transactions") == ["rejected", "rejected"]
    assert {row["reasons"][0] for row in zone.quarantine()} == {"conflicting_id"}


def test_a_stranger_to_the_account_is_still_another_user(zone: Zone) -> None:
    shared(zone, transactions_json=[{**TRANSACTION, "user_id": "u3"}])
    (found,) = zone.quarantine()
    assert (found["field"], found["value"], found["reasons"]) == ("user_id", "u3", ["account_of_another_user"])


def test_a_later_file_for_one_holder_replaces_that_holders_account_alone(zone: Zone) -> None:
    shared(zone).arrive("b2", accounts_json=[{**ACCOUNT, "user_id": "u2", "account_name": "Household"}])
    assert [(row["user_id"], row["account_name"], row["batch"]) for row in zone.accepted("accounts")] == [
        ("u1", None, "b1"),
        ("u2", "Household", "b2"),
    ]


def test_a_correction_under_one_holder_corrects_the_transaction_of_both(zone: Zone) -> None:
    shared(zone, transactions_json=[{**TRANSACTION, "user_id": name} for name in ("u1", "u2")])
    zone.arrive("b2", transactions_json=[{**TRANSACTION, "user_id": "u2", "amount": -99}])
    assert [(row["user_id"], row["amount"], row["batch"]) for row in zone.accepted("transactions")] == [
        ("u1", -99, "b2"),
        ("u2", -99, "b2"),
    ]


def test_a_removal_under_one_holder_takes_the_transaction_from_both(zone: Zone) -> None:
    shared(zone, transactions_json=[{**TRANSACTION, "user_id": "u1"}])
    zone.arrive("b2", transactions_json=[{"transaction_id": "t1", "user_id": "u2", "removed": True}])
    assert zone.accepted("transactions") == []


def test_a_posting_under_one_holder_takes_the_pending_row_from_both(zone: Zone) -> None:
    shared(zone, transactions_json=[{**TRANSACTION, "user_id": "u1", "pending": True}])
    posted = {**TRANSACTION, "transaction_id": "t2", "user_id": "u2", "pending_transaction_id": "t1"}
    zone.arrive("b2", transactions_json=[posted])
    assert copies(zone) == [("t2", "u1"), ("t2", "u2")]


def test_a_holder_who_comes_later_gets_what_was_there(zone: Zone) -> None:
    zone.arrive("b1", users_json=PEOPLE, accounts_json=[ACCOUNT], transactions_json=[TRANSACTION])
    waiting = {**TRANSACTION, "transaction_id": "t2", "user_id": "u2"}
    zone.arrive("b2", transactions_json=[waiting])
    assert copies(zone) == [("t1", "u1")]
    zone.arrive("b3", accounts_json=[{**ACCOUNT, "user_id": "u2"}])
    assert copies(zone) == [("t1", "u1"), ("t1", "u2"), ("t2", "u1"), ("t2", "u2")]


@pytest.mark.parametrize(
    ("people", "reason"),
    [(PEOPLE[:1], "unknown_user"), ([PEOPLE[0], {**PEOPLE[1], "email": "none"}], "unknown_user")],
    ids=["never delivered", "rejected"],
)
def test_one_holder_keeps_what_was_delivered_under_another_who_is_unknown(
    zone: Zone, people: list[Row], reason: str
) -> None:
    shared(
        zone,
        users_json=people,
        transactions_json=[
            {**TRANSACTION, "user_id": "u2"},
            {**TRANSACTION, "transaction_id": "t2", "user_id": "u1"},
        ],
    )
    assert copies(zone) == [("t1", "u1"), ("t2", "u1")]
    assert [row["holders"] for row in zone.accepted("accounts")] == [1]
    assert [(one["table"], one["reasons"]) for one in zone.quarantine() if one["table"] != "users"] == [
        ("accounts", [reason])
    ]


def test_an_account_whose_holders_are_all_unknown_is_unknown(zone: Zone) -> None:
    shared(zone, users_json=[], transactions_json=[{**TRANSACTION, "user_id": "u2"}])
    assert zone.accepted("transactions") == []
    assert {(one["table"], *one["reasons"]) for one in zone.quarantine()} == {
        ("accounts", "unknown_user"),
        ("transactions", "unknown_account"),
    }


def test_an_account_of_three_holders_is_each_ones(zone: Zone) -> None:
    shared(zone, accounts_json=[{**ACCOUNT, "user_id": name} for name in ("u3", "u1", "u2")])
    zone.arrive("b2", transactions_json=[TRANSACTION])
    assert copies(zone) == [("t1", "u1"), ("t1", "u2"), ("t1", "u3")]
    assert [row["holders"] for row in zone.accepted("accounts")] == [3, 3, 3]


def test_a_table_stored_before_there_were_holders_is_read_with_them(tmp_path: Path) -> None:
    con = warehouse.connect()
    old = "'{}' AS account_id, '{}' AS user_id, NULL::VARCHAR AS type, NULL::VARCHAR AS subtype, NULL::DOUBLE AS "
    old += "balance_available, NULL::DOUBLE AS balance_current, NULL::DOUBLE AS balance_limit, NULL::VARCHAR AS "
    old += "iso_currency_code, NULL::VARCHAR AS holder_category, NULL::TIMESTAMPTZ AS created_at, DATE '2026-02-01' AS "
    old += "balance_date, 'b1' AS batch"
    pairs = [("a1", "u1"), ("a1", "u2"), ("a2", "u1")]
    query = " UNION ALL ".join(f"SELECT {old.format(*pair)}" for pair in pairs)
    con.raw_sql(f"COPY ({query}) TO '{tmp_path}/accounts.parquet'")
    table = warehouse.read(con, str(tmp_path), "accounts")
    assert failures(CONTRACTS["accounts"], table).empty
    found = rows(table.order_by("account_id", "user_id"))
    assert [(row["holders"], row["closed_at"], row["account_name"]) for row in found] == [
        (2, None, None),
        (2, None, None),
        (1, None, None),
    ]


# --- Order ---

NAMES = ("u1", "u2", "u3")
HELD = {"t1": "a1", "t2": "a1", "t3": "a2", "t4": "a2"}
Batch = tuple[list[Row], list[Row]]


@st.composite
def accounts(draw: st.DrawFn) -> Row:
    held = {"account_id": draw(st.sampled_from(["a1", "a2"])), "user_id": draw(st.sampled_from(NAMES))}
    return {**ACCOUNT, **held, "balance_date": "2026-01-01"}


@st.composite
def transactions(draw: st.DrawFn) -> Row:
    """A transaction of its account, under some customer or none."""
    number = draw(st.sampled_from([*HELD]))
    user_id = draw(st.sampled_from([*NAMES, None]))
    return {**TRANSACTION, "transaction_id": number, "account_id": HELD[number], "user_id": user_id}


@st.composite
def corrections(draw: st.DrawFn) -> Row:
    """A transaction that may correct, post or remove another, or move to another account."""
    row = draw(transactions()) | {"amount": draw(st.sampled_from([-1, -2]))}
    change = draw(st.sampled_from([None, None, "removed", "posts", "moves"]))
    if change == "removed":
        return {"transaction_id": row["transaction_id"], "removed": True}
    if change == "posts":
        row["pending_transaction_id"] = draw(st.sampled_from([*HELD]))
    if change == "moves":
        row["account_id"] = draw(st.sampled_from(["a1", "a2"]))
    return row


def batches(rows_of: st.SearchStrategy[Row]) -> st.SearchStrategy[list[Batch]]:
    one = st.tuples(st.lists(accounts(), max_size=3), st.lists(rows_of, max_size=4))
    return st.lists(one, min_size=1, max_size=4)


def arrived(zone: Zone, delivered: list[Batch]) -> Zone:
    zone.arrive("people", users_json=PEOPLE)
    for number, (held, moved) in enumerate(delivered):
        zone.arrive(f"b{number}", accounts_json=held, transactions_json=moved)
    return zone


def standing(zone: Zone) -> tuple[list[Row], list[Row]]:
    """The accepted accounts and transactions; every row read is counted once, and each holder has a whole copy."""
    for table in ("accounts", "transactions"):
        for file in rows(canonical.tally(zone.judged(table))):
            assert file["read"] == file["accepted"] + file["duplicate"] + file["rejected"]
    held, moved = zone.accepted("accounts"), zone.accepted("transactions")
    holders: dict[str, set[str]] = {}
    for row in held:
        holders.setdefault(row["account_id"], set()).add(row["user_id"])
    assert all(row["holders"] == len(holders[row["account_id"]]) for row in held)
    for _, copied in itertools.groupby(moved, key=lambda row: row["transaction_id"]):
        each = list(copied)
        assert {row["user_id"] for row in each} == holders[each[0]["account_id"]]
        assert all(row | {"user_id": None} == each[0] | {"user_id": None} for row in each)
    return held, moved


def the_order_of_materialising_changes_nothing(zone: Zone, delivered: list[Batch]) -> None:
    before = standing(arrived(zone, delivered)), zone.quarantine()
    zone.batches = zone.batches[::-1]
    assert (standing(zone), zone.quarantine()) == before


def the_order_of_arrival_changes_nothing_where_nothing_is_corrected(zone: Zone, delivered: list[Batch]) -> None:
    def without_batch(zone: Zone) -> list[list[Row]]:
        return [[{**row, "batch": None} for row in table] for table in standing(zone)]

    backwards = arrived(Zone(zone.root / "backwards"), delivered[::-1])
    assert without_batch(backwards) == without_batch(arrived(zone, delivered))


PROPERTIES = [
    (the_order_of_materialising_changes_nothing, batches(corrections())),
    (the_order_of_arrival_changes_nothing_where_nothing_is_corrected, batches(transactions())),
]


@pytest.mark.parametrize(("holds", "inputs"), PROPERTIES)
@pytest.mark.parametrize("examples", [3, pytest.param(100, marks=pytest.mark.verify)])
def test_holders_do_not_depend_on_order(
    tmp_path_factory: pytest.TempPathFactory, holds: Callable[..., None], inputs: st.SearchStrategy[Any], examples: int
) -> None:
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def run(delivered: list[Batch]) -> None:
        holds(Zone(tmp_path_factory.mktemp("zone")), delivered)

    run()
