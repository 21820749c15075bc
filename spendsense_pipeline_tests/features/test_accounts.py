"""Accounts: classes, currencies, and balances on an earlier day."""

import datetime as dt

import pytest

from spendsense_pipeline.features.accounts import account_class, currency_factor, is_mapped
from spendsense_pipeline.features.meanings import ACCOUNT_CLASSES
from spendsense_pipeline.features.signals import evidence_of
from spendsense_pipeline_tests.features.ledger import AS_OF, EPOCH, Ledger, shared

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


@pytest.mark.parametrize(("type_", "subtype"), CLASS_OF)
def test_types_and_subtypes_of_either_spelling_have_a_class(type_: str | None, subtype: str | None) -> None:
    assert ACCOUNT_CLASSES[account_class(type_, subtype)] == CLASS_OF[type_, subtype]


def test_every_class_has_a_spelling() -> None:
    assert set(CLASS_OF.values()) == set(ACCOUNT_CLASSES)


def test_an_unmapped_pair_is_reported() -> None:
    assert {pair for pair in CLASS_OF if not is_mapped(*pair)} == {("depository", "piggy bank"), (None, None)}


@pytest.fixture(scope=shared)
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


Then = dict[str, tuple[str, float | None]]
"""By account that counts, its customer and its balance."""


def accounts_on(ledger: Ledger, date: dt.date) -> Then:
    evidence = evidence_of(ledger.customers(), [(date - EPOCH).days], [30])
    held, (on,), users = evidence.held, evidence.on, evidence.users.to_pylist()
    return {
        account: (users[user], None if balance != balance else balance)
        for account, user, balance, counts in zip(
            held.account_id.to_pylist(), held.user.tolist(), on.balance.tolist(), on.counts.tolist(), strict=True
        )
        if counts
    }


@pytest.fixture(scope=shared)
def then(ledger: Ledger) -> Then:
    return accounts_on(ledger, THEN)


def balance(accounts: Then, user: str, type_: str) -> float | None:
    (found,) = [balance for key, (owner, balance) in accounts.items() if owner == user and f"/{type_}/" in key]
    return found


def test_a_balance_is_rolled_back_by_the_rows_posted_since(then: Then) -> None:
    assert balance(then, "then", "checking") == 1000 + 300 - 50


def test_what_a_card_owed_is_rolled_back_the_other_way(then: Then) -> None:
    assert balance(then, "then", "credit card") == 400 - 150 + 100
    assert balance(then, "then", "mortgage") == 5000 + 700


def test_a_balance_of_an_earlier_day_stands(then: Then) -> None:
    assert balance(then, "then", "loan") == 900


def test_rows_after_a_balance_are_not_taken_off_it() -> None:
    ledger = Ledger()
    ledger.customer("ann")
    account = ledger.account("ann", "checking", balance_current=1000.0, balance_date=AS_OF - dt.timedelta(days=4))
    ledger.row(account, 4, -300)  # in the balance already, and after THEN
    ledger.row(account, 3, -70)  # not in it
    assert balance(accounts_on(ledger, THEN), "ann", "checking") == 1300


def test_the_available_balance_stands_in_except_on_cards(then: Then) -> None:
    assert balance(then, "then", "savings") == 77
    assert [held for _, (user, held) in sorted(then.items()) if user == "cards"] == [None, -20, 20]


def test_an_account_that_is_not_open_yet_does_not_count(then: Then) -> None:
    assert not [key for key in then if "/brokerage/" in key]


def test_an_account_with_rows_is_open_whatever_its_date_of_opening() -> None:
    ledger = Ledger()
    ledger.customer("ann")
    late = dt.datetime(2026, 6, 25, tzinfo=dt.UTC)
    ledger.row(ledger.account("ann", "checking", created_at=late), BACK, -1)
    ledger.row(ledger.account("ann", "savings", created_at=late), BACK - 1, 1)
    assert [key.split("/")[1] for key in accounts_on(ledger, THEN)] == ["checking"]


def test_the_currency_is_that_of_most_rows_then_of_most_accounts_then_by_name(ledger: Ledger) -> None:
    found = {row["user_id"]: row["currency"] for row in ledger.signals(as_of=THEN).features.to_pylist()}
    assert {user: found[user] for user in ("eu", "tie", "quiet")} == {"eu": "USD", "tie": "CZK", "quiet": "GBP"}


def test_accounts_in_another_currency_are_left_out_and_named(ledger: Ledger, then: Then) -> None:
    left_out = ledger.signals(as_of=THEN).left_out.to_pylist()
    assert [(row["as_of"], row["currency"], row["accounts"]) for row in left_out] == [
        (THEN, "EUR", 2),
        (THEN, "USD", 1),
    ]
    assert len([key for key, (user, _) in then.items() if user == "eu"]) == 2  # USD, and the one that names none


def test_a_factor_is_units_per_dollar_and_one_where_unknown() -> None:
    assert currency_factor("czk") == 21.0
    assert currency_factor("XTS") == currency_factor(None) == 1.0


def test_a_credit_balance_is_no_debt_and_unknown_is_unknown(ledger: Ledger) -> None:
    row = ledger.features()["cards", 30]
    assert (row["card_count"], row["cards_with_unknown_limit"]) == (3, 1)
    assert (row["max_utilization"], row["utilization_30_flag"]) == (0.0, None)
