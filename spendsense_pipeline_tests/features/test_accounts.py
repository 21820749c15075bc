"""Accounts: classes, currencies, and balances on an earlier day."""

import datetime as dt
from typing import Any

import ibis
import pytest

from spendsense_pipeline.features.accounts import (
    CLASSES,
    account_class,
    accounts_at,
    card_details,
    currency_factor,
    left_out,
    unmapped,
    without_factor,
)
from spendsense_pipeline_tests.features.ledger import AS_OF, TEXT, Ledger, table

BACK = 10  # the balances are of AS_OF, and are asked for ten days before
THEN = AS_OF - dt.timedelta(days=BACK)

CLASS_OF = {
    ("depository", "checking"): "checking",
    ("checking", None): "checking",
    ("depository", "PayPal"): "checking",
    ("depository", "prepaid"): "checking",
    ("depository", "money market"): "savings",
    ("depository", "money_market"): "savings",
    ("HSA", "hsa"): "savings",
    ("depository", "cd"): "savings",
    ("high_yield_savings", None): "savings",
    ("cash management", "cash management"): "savings",
    ("credit", "credit card"): "credit_card",
    ("credit card", "credit card"): "credit_card",
    ("Credit_Card", None): "credit_card",
    ("credit", "paypal"): "credit_card",
    ("investment", "brokerage"): "investment",
    ("investment", "hsa"): "investment",
    ("brokerage", None): "investment",
    (None, "roth ira"): "investment",
    ("investment", "401k"): "investment",
    ("loan", "student"): "loan",
    ("mortgage", None): "loan",
    ("loan", "line of credit"): "loan",
    ("checking", "savings"): "checking",
    ("other", "other"): "other",
    ("depository", "piggy bank"): "other",
    (None, None): "other",
}


@pytest.fixture(scope="module")
def pairs() -> ibis.Table:
    rows = [{"type": type_, "subtype": subtype} for type_, subtype in CLASS_OF]
    return table(rows, {"type": TEXT, "subtype": TEXT})


def test_types_and_subtypes_of_either_spelling_have_a_class(pairs: ibis.Table) -> None:
    found = pairs.mutate(kind=account_class(pairs.type, pairs.subtype)).to_pyarrow().to_pylist()
    assert {(row["type"], row["subtype"]): row["kind"] for row in found} == CLASS_OF
    assert set(CLASS_OF.values()) == set(CLASSES)


def test_an_unmapped_pair_is_reported(pairs: ibis.Table) -> None:
    reported = unmapped(pairs).to_pyarrow().to_pylist()
    assert {(row["type"], row["subtype"]) for row in reported} == {("depository", "piggy bank"), (None, None)}


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.customer("eu")
    for currency, count in (("EUR", 2), ("USD", 3), (None, 1)):
        account = ledger.account("eu", "checking", iso_currency_code=currency)
        for number in range(count):
            ledger.row(account, BACK + number, -1)
    ledger.customer("tie")
    for currency in ("USD", "CZK"):
        ledger.row(ledger.account("tie", "checking", iso_currency_code=currency), BACK, -1)
    ledger.customer("quiet")
    for currency in ("GBP", "GBP", "EUR"):
        ledger.account("quiet", "checking", iso_currency_code=currency)

    ledger.customer("then")
    checking = ledger.account("then", "checking", balance_current=1000.0)
    ledger.row(checking, BACK, -7)  # on the day: already in
    ledger.row(checking, BACK - 1, -300)
    ledger.row(checking, 0, 50)
    ledger.row(checking, 0, -999, pending=True)
    card = ledger.account("then", "credit card", balance_current=400.0, balance_limit=1000.0)
    ledger.row(card, 5, -150)
    ledger.row(card, 4, 100)
    ledger.account("then", "savings", balance_available=77.0)
    ledger.account("then", "loan", balance_current=900.0, balance_date=THEN - dt.timedelta(days=9))
    mortgage = ledger.account("then", "mortgage", balance_current=5000.0)
    ledger.row(mortgage, 3, 700)
    ledger.account("then", "brokerage", balance_current=9.0, created_at=dt.datetime(2026, 6, 25, tzinfo=dt.UTC))

    ledger.customer("cards")
    ledger.account("cards", "credit card", balance_available=500.0, balance_limit=500.0)
    ledger.account("cards", "credit card", balance_current=-20.0, balance_limit=500.0)
    ledger.account("cards", "credit card", balance_current=20.0, balance_limit=0.0)
    return ledger


@pytest.fixture(scope="module")
def at(ledger: Ledger) -> dict[str, dict[str, Any]]:
    tables = ledger.tables()
    found = accounts_at(tables["transactions"], tables["accounts"], tables["users"], THEN).to_pyarrow().to_pylist()
    return {row["account_id"]: row for row in found}


def balance(at: dict[str, dict[str, Any]], user: str, type_: str) -> float | None:
    (row,) = [row for row in at.values() if row["user_id"] == user and row["type"] == type_]
    return row["balance"]


def test_a_balance_is_rolled_back_by_the_rows_posted_since(at: dict[str, dict[str, Any]]) -> None:
    assert balance(at, "then", "checking") == 1000 + 300 - 50


def test_what_a_card_owed_is_rolled_back_the_other_way(at: dict[str, dict[str, Any]]) -> None:
    assert balance(at, "then", "credit card") == 400 - 150 + 100
    assert balance(at, "then", "mortgage") == 5000 + 700


def test_a_balance_of_an_earlier_day_stands(at: dict[str, dict[str, Any]]) -> None:
    assert balance(at, "then", "loan") == 900


def test_the_available_balance_stands_in_except_on_cards(at: dict[str, dict[str, Any]]) -> None:
    assert balance(at, "then", "savings") == 77
    assert [row["balance"] for key, row in sorted(at.items()) if row["user_id"] == "cards"] == [None, -20, 20]


def test_an_account_that_is_not_open_yet_does_not_count(at: dict[str, dict[str, Any]]) -> None:
    assert not [row for row in at.values() if row["type"] == "brokerage"]


def test_the_currency_is_that_of_most_rows_then_of_most_accounts_then_by_name(at: dict[str, dict[str, Any]]) -> None:
    assert {row["user_id"]: row["currency"] for row in at.values() if row["user_id"] in ("eu", "tie", "quiet")} == {
        "eu": "USD",
        "tie": "CZK",
        "quiet": "GBP",
    }


def test_accounts_in_another_currency_are_left_out_and_named(ledger: Ledger, at: dict[str, dict[str, Any]]) -> None:
    tables = ledger.tables()
    out = left_out(tables["transactions"], tables["accounts"], tables["users"], THEN).to_pyarrow().to_pylist()
    assert sorted((row["user_id"], row["currency"]) for row in out) == [("eu", "EUR"), ("quiet", "EUR"), ("tie", "USD")]
    assert len([row for row in at.values() if row["user_id"] == "eu"]) == 2  # USD, and the one that names none


def test_a_factor_is_units_per_dollar_and_one_where_unknown() -> None:
    assert currency_factor(ibis.literal("czk")).execute() == 21.0
    assert currency_factor(ibis.literal("XTS")).execute() == 1.0


def test_a_credit_balance_is_no_debt_and_unknown_is_unknown(ledger: Ledger) -> None:
    tables = ledger.tables()
    cards = card_details(accounts_at(tables["transactions"], tables["accounts"], tables["users"], AS_OF))
    found = cards.filter(cards.user_id == "cards").order_by("account_id").to_pyarrow().to_pylist()
    assert [card["utilization"] for card in found] == [None, 0.0, None]
    assert all(len(card["last4"]) == 4 for card in found)


def test_a_currency_without_a_factor_is_reported() -> None:
    codes = ["USD", "XTS", "xts", "EUR", None]
    accounts = ibis.memtable({"account_id": list("abcde"), "iso_currency_code": codes})
    assert without_factor(accounts).to_pyarrow().to_pylist() == [{"currency": "XTS", "accounts": 2}]
