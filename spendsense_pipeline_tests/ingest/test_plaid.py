"""Saved Plaid responses become rows of the landing format: sign turned, pages in order, nothing lost on the way."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from spendsense_pipeline.ingest import landing, plaid
from spendsense_pipeline.ingest.files import PLAID, BatchRefused
from spendsense_pipeline.settings import PROJECT_ROOT
from spendsense_pipeline_tests.ingest.conftest import ARRIVED_ON, Row, Zone

EXAMPLE = PROJECT_ROOT / "data" / "examples" / "plaid"
ACCOUNT: Row = {
    "account_id": "a1",
    "type": "depository",
    "subtype": "checking",
    "balances": {"available": 1, "current": 2, "limit": None},
}


def bought(key: str, amount: Any = 12.5, **more: Any) -> Row:
    return {"transaction_id": key, "account_id": "a1", "amount": amount, "date": "2026-02-01", **more}


def page(added: list[Any] | None = None, **more: Any) -> Row:
    return {"accounts": [ACCOUNT], "added": added or [], "modified": [], "removed": [], "has_more": False, **more}


def saved(root: Path, responses: dict[str, Any], marked: bool = True) -> Path:
    """A folder of responses, each as an object or as the bytes of its file."""
    for name, response in responses.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(response if isinstance(response, bytes) else json.dumps(response).encode())
    if marked:
        (root / PLAID).touch()
    return root


def pulled(zone: Zone, name: str = "b1", **responses: Any) -> Zone:
    """A batch of one customer's responses arrives; ``sync_1`` names ada/sync_1.json."""
    saved(zone.root / name, {f"ada/{file}.json": response for file, response in responses.items()})
    zone.batches.append((name, len(zone.batches) + 1, ARRIVED_ON))
    return zone


def amounts(zone: Zone) -> dict[str, float]:
    return {row["transaction_id"]: row["amount"] for row in zone.accepted("transactions")}


# --- The example that ships ---


def test_the_example_becomes_users_accounts_transactions_and_liabilities(zone: Zone, tmp_path: Path) -> None:
    landed = landing.land(EXAMPLE, zone.root, "example", responses=True)
    zone.batches.append((landed.name, 1, dt.date(2026, 9, 1)))
    assert [row["user_id"] for row in zone.accepted("users")] == ["plaid_ada", "plaid_ben"]
    assert zone.quarantine() == []
    rows = zone.accepted("transactions")
    pay = {row["category_detailed"]: row["amount"] for row in rows if row["amount"] > 0}
    assert pay == {"INCOME_SALARY": 2150.0, "INCOME_WAGES": 5200.0}, "both versions of the category, money in"
    assert not {"plaid_ada_0050", "plaid_ada_0052"} & {row["transaction_id"] for row in rows}, "pending, removed"
    corrected = next(row for row in rows if row["transaction_id"] == "plaid_ada_0015")
    assert corrected["merchant_name"] == "Netflix"
    cards = {row["account_id"]: row["balance_limit"] for row in zone.accepted("accounts") if row["type"] == "credit"}
    assert cards == {"ada_card": 4000.0, "ada_old_card": None}


def test_the_three_kinds_of_liabilities_tell_what_they_know(zone: Zone) -> None:
    landed = landing.land(EXAMPLE, zone.root, "example", responses=True)
    zone.batches.append((landed.name, 1, dt.date(2026, 9, 1)))
    by_kind = {row["liability_type"]: row for row in zone.accepted("liabilities")}
    house, student, card = (by_kind[kind] for kind in ("mortgage", "student_loan", "credit_card"))
    assert (card["apr_purchase"], card["apr_balance_transfer"], card["apr_cash_advance"]) == (22.99, 12.5, 27.99)
    assert (card["minimum_payment_amount"], card["last_statement_balance"], card["is_overdue"]) == (105, 3580, False)
    assert (student["interest_rate"], student["minimum_payment_amount"]) == (5.25, 210)
    assert (house["interest_rate"], house["minimum_payment_amount"], house["is_overdue"]) == (3.99, 1612.4, False)
    assert house["next_payment_due_date"] == dt.date(2026, 9, 3)


# --- Pages, corrections, removals ---


def test_later_pages_correct_and_remove_what_earlier_ones_added(zone: Zone) -> None:
    pulled(
        zone,
        page_1=page([bought("t1"), bought("t2"), bought("t3")]),
        page_2=page(modified=[bought("t2", 20)], removed=[{"transaction_id": "t3"}]),
        page_10=page(modified=[bought("t2", 30)], removed=[{"transaction_id": "never seen", "account_id": "a1"}]),
    )
    assert amounts(zone) == {"t1": -12.5, "t2": -30}
    assert zone.quarantine() == []


def test_within_a_page_removed_comes_after_modified_after_added(zone: Zone) -> None:
    pulled(
        zone,
        sync=page(
            [bought("t1"), bought("t2")],
            modified=[bought("t1", 5), bought("t2", 5)],
            removed=[{"transaction_id": "t2"}],
        ),
    )
    assert amounts(zone) == {"t1": -5}


def test_a_later_batch_removes_whatever_the_order_of_materialising_and_a_still_later_one_restores(zone: Zone) -> None:
    pulled(zone, sync=page([bought("t1"), bought("t2")]))
    pulled(zone, "b2", sync=page(removed=[{"transaction_id": "t1"}]))
    assert amounts(zone) == {"t2": -12.5}
    zone.batches.reverse()
    assert amounts(zone) == {"t2": -12.5}
    zone.batches.reverse()
    assert amounts(pulled(zone, "b3", sync=page([bought("t1", 9)]))) == {"t1": -9, "t2": -12.5}


def test_a_posted_row_replaces_its_pending_one_in_any_order_of_arrival(zone: Zone) -> None:
    pending = bought("p1", 40, pending=True, pending_transaction_id=None)
    posted = bought("t1", 46, pending=False, pending_transaction_id="p1")
    pulled(zone, sync=page([pending]))
    assert amounts(zone) == {"p1": -40}
    pulled(zone, "b2", get={"accounts": [ACCOUNT], "transactions": [posted], "total_transactions": 1})
    assert amounts(zone) == {"t1": -46}
    pulled(zone, "b3", sync=page([pending]))
    assert amounts(zone) == {"t1": -46}


def test_removal_serves_the_landing_format_too(zone: Zone) -> None:
    zone.arrive(
        users_json=[{"user_id": "u1"}],
        accounts_json=[{"account_id": "a1", "user_id": "u1"}],
        transactions_json=[bought("t1"), bought("t2"), bought("t3")],
    )
    zone.arrive("b2", transactions_csv="transaction_id,removed\nt1,true\nt2,perhaps\n,true\n")
    assert set(amounts(zone)) == {"t2", "t3"}
    found = {(row["row"], row["field"], *row["reasons"]) for row in zone.quarantine()}
    assert {(2, "account_id", "missing", "not_a_flag"), (3, "transaction_id", "missing")} == found


def test_accounts_told_by_several_responses_stand_as_the_last_one_says(zone: Zone) -> None:
    later = {**ACCOUNT, "balances": {"available": 5, "current": 6, "limit": None}}
    pulled(zone, accounts={"accounts": [ACCOUNT]}, sync=page([bought("t1")]), zz={"accounts": [later]})
    assert [row["balance_current"] for row in zone.accepted("accounts")] == [6]
    assert zone.outcomes("accounts") == ["accepted", "duplicate", "accepted"]


# --- Fields ---


@pytest.mark.parametrize(
    ("plaid_says", "read"),
    [(12.5, "-12.5"), (-12.5, "12.5"), (0, "0"), (-0.0, "0.0"), ("+3", "-3"), (".5", "-.5"), (1e308, "-1e308")],
)
def test_the_sign_is_turned_and_nothing_else(zone: Zone, plaid_says: Any, read: str) -> None:
    raw = pulled(zone, sync=page([bought("t1", plaid_says)])).raw("transactions").to_pyarrow().to_pylist()
    assert [row["amount"] for row in raw] == [read]


def test_what_is_no_number_or_no_object_is_rejected_where_it_stands(zone: Zone) -> None:
    odd = [bought("t1"), 5, bought("t2", "ten"), bought("t3", None), bought("t4", date="2026-02-30"), None]
    found = pulled(zone, sync_1=page(odd)).quarantine()
    assert [(row["file"], row["row"], row["field"], row["value"], *row["reasons"]) for row in found] == [
        ("ada/sync_1.json", 2, None, None, "unreadable_row"),
        ("ada/sync_1.json", 3, "amount", "ten", "not_a_number"),
        ("ada/sync_1.json", 4, "amount", None, "missing"),
        ("ada/sync_1.json", 5, "date", "2026-02-30", "not_a_date"),
        ("ada/sync_1.json", 6, None, None, "unreadable_row"),
    ]


def test_the_name_stands_in_for_a_payee_that_plaid_does_not_know(zone: Zone) -> None:
    pulled(zone, sync=page([bought("t1", name="SQ *CAFE", merchant_name=None), bought("t2", merchant_name="Cafe")]))
    assert [row["merchant_name"] for row in zone.accepted("transactions")] == ["SQ *CAFE", "Cafe"]


def test_a_mortgage_with_something_past_due_is_overdue(zone: Zone) -> None:
    due = [{"account_id": "a1", "past_due_amount": amount} for amount in (12.0, None)]
    for name, one in zip(("b1", "b2"), due, strict=True):
        pulled(zone, name, get={"accounts": [ACCOUNT], "liabilities": {"mortgage": [one]}})
    assert [row["is_overdue"] for row in zone.accepted("liabilities")] == [None]
    assert zone.judged("liabilities").order_by("arrival").is_overdue.to_pyarrow().to_pylist() == [True, None]


# --- Whose it is ---


def test_the_customer_is_named_by_the_folder_or_beside_the_response(zone: Zone) -> None:
    def of(account: str) -> Row:
        return {"accounts": [{**ACCOUNT, "account_id": account}]}

    saved(
        zone.root / "b1",
        {
            "ada/accounts.json": of("a1"),
            "ada/item_2/accounts.json": of("a2"),
            "ben.json": {"user_id": "ben", **of("a3")},
            "several.json": [{"user_id": "cy", "response": of("a4")}, {"user_id": "dee", "response": of("a5")}],
        },
    )
    zone.batches.append(("b1", 1, ARRIVED_ON))
    assert [(row["account_id"], row["user_id"]) for row in zone.accepted("accounts")] == [
        ("a1", "ada"),
        ("a2", "ada"),
        ("a3", "ben"),
        ("a4", "cy"),
        ("a5", "dee"),
    ]
    assert [row["user_id"] for row in zone.accepted("users")] == ["ada", "ben", "cy", "dee"]


def test_naming_a_customer_takes_nothing_from_what_is_known_of_them(zone: Zone) -> None:
    zone.arrive("known", users_json=[{"user_id": "ada", "full_name": "Ada Example", "consent_status": True}])
    pulled(zone, sync=page([bought("t1")]))
    (user,) = zone.accepted("users")
    assert (user["full_name"], user["consent_status"], user["batch"]) == ("Ada Example", True, "known")


def test_an_account_that_another_customer_holds_is_rejected(zone: Zone) -> None:
    saved(zone.root / "b1", {"ada/a.json": page([bought("t1")]), "ben/b.json": {"added": [bought("t2")]}})
    zone.batches.append(("b1", 1, ARRIVED_ON))
    (found,) = zone.quarantine()
    assert (found["file"], found["reasons"]) == ("ben/b.json", ["account_of_another_user"])


# --- What is refused ---


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("ada/sync.json", b"", "ada/sync.json: the file is empty"),
        ("ada/sync.json", b'{"added": [', "ada/sync.json: cannot be read as JSON, damaged at byte 12"),
        ("ada/sync.json", b'{"added": ["\xff"]}', "damaged at byte"),
        ("ada/sync.json", b"5", "no response of Plaid's"),
        ("ada/sync.json", {"added": {"transaction_id": "t1"}}, "its added is no list"),
        ("ada/owed.json", {"liabilities": {"credit": {}}}, "its liabilities.credit is no list"),
        ("ada/owed.json", {"liabilities": []}, "its liabilities is no list"),
        ("ada/item.json", {"item": {}, "request_id": "r"}, "none of accounts, transactions"),
        ("ada/error.json", {"error_code": "ITEM_LOGIN_REQUIRED"}, "the error ITEM_LOGIN_REQUIRED"),
        ("sync.json", page(), "sync.json: whose is it?"),
        ("ada@example.org/sync.json", page(), "never by name or e-mail"),
        ("readme.txt", b"", "no saved response"),
    ],
)
def test_a_file_that_is_no_response_refuses_the_batch(zone: Zone, name: str, content: Any, said: str) -> None:
    folder = saved(zone.root / "b1", {name: content})
    with pytest.raises(BatchRefused, match=r".") as refused:
        landing.survey(zone.con, folder)
    assert said in str(refused.value)
    assert "ada@" not in str(refused.value)


def test_a_symbolic_link_below_a_customer_is_refused(zone: Zone) -> None:
    folder = saved(zone.root / "b1", {"ada/sync.json": page()})
    (folder / "ada" / "more.json").symlink_to(folder / "ada" / "sync.json")
    with pytest.raises(BatchRefused, match="symbolic link"):
        plaid.discover(folder)


# --- Landing ---


def test_responses_land_once_as_they_are_and_files_at_the_top_under_their_folders_name(zone: Zone) -> None:
    source = saved(zone.root / "elsewhere" / "ada", {"sync.json": page([bought("t1")])}, marked=False)
    landed = landing.land(source, zone.root / "landing", None, responses=True)
    assert (landed / "ada" / "sync.json").read_bytes() == (source / "sync.json").read_bytes()
    assert plaid.marked(landed)
    assert landing.land(source, zone.root / "landing", None, responses=True) == landed
    (source / "sync.json").write_text("{}")
    with pytest.raises(BatchRefused, match="other content"):
        landing.land(source, zone.root / "landing", landed.name, responses=True)


def test_a_folder_in_the_landing_zone_says_itself_what_it_holds(zone: Zone) -> None:
    folder = saved(zone.root / "b1", {"ada/sync.json": page()}, marked=False)
    with pytest.raises(BatchRefused, match=f"empty file {PLAID}"):
        landing.land(folder, zone.root, None, responses=True)
    (folder / PLAID).touch()
    assert landing.land(folder, zone.root, None) == folder
