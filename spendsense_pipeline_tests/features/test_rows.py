"""What a row is: kinds, categories and payees, one named example per sentence."""

import datetime as dt
import itertools
import random
from typing import Any

import pytest

from spendsense_pipeline.payees.readings import Identifier
from spendsense_pipeline_tests.features.ledger import Ledger, Row, monthly, shared

identify = Identifier()

ACCOUNTS = ("checking", "savings", "credit card", "brokerage", "loan")

# sentence: (rows as (account, days ago, amount, name, category, entity id), kind of the last one)
EXAMPLES: dict[str, tuple[list[tuple[Any, ...]], str]] = {
    "a category says card payment on the paying side": (
        [("checking", 3, -250, "Chase", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT")],
        "card_payment",
    ),
    "a category says card payment on the card": (
        [("credit card", 3, 250, "Chase", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT")],
        "card_payment",
    ),
    "words say card payment": ([("checking", 3, -250, "AMERICAN EXPRESS ACH PMT M1234", "")], "card_payment"),
    "a debit card autopay is no card payment": ([("checking", 3, -250, "DEBIT CRD AUTOPAY 98712", "")], "other_out"),
    "an outflow with an equal inflow on an own card within five days": (
        [("credit card", 3, 250.1, "Thank you", ""), ("checking", 8, -250.1, "Web pay 1", "")],
        "card_payment",
    ),
    "an equal inflow on a card six days away proves nothing": (
        [("credit card", 3, 250.1, "Thank you", ""), ("checking", 9, -250.1, "Web pay 1", "")],
        "other_out",
    ),
    "an outflow without category whose other half the card calls a payment": (
        [
            ("credit card", 3, 250.7, "Thank you", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT"),
            ("checking", 3, -250.7, "Pay", ""),
        ],
        "card_payment",
    ),
    "any inflow on a card that is no refund": ([("credit card", 3, 250, "Received", "")], "card_payment"),
    "an inflow on a card in a purchase category is a refund": (
        [("credit card", 3, 250, "Macys", "GENERAL_MERCHANDISE_DEPARTMENT_STORES")],
        "refund",
    ),
    "money put into savings": ([("checking", 3, -250, "Ally", "TRANSFER_OUT_SAVINGS")], "own_transfer"),
    "flat savings_deposit": ([("savings", 3, 250, None, "savings_deposit")], "own_transfer"),
    "money put into investments, even at a named broker": (
        [("checking", 3, -250, "Vanguard", "TRANSFER_OUT_INVESTMENT_AND_RETIREMENT_FUNDS", "ent_v")],
        "own_transfer",
    ),
    "a transfer, by its category, to a bank": (
        [("checking", 3, -250, "Ally", "TRANSFER_OUT_ACCOUNT_TRANSFER")],
        "own_transfer",
    ),
    "a loan paid to a bank, whatever its category": (
        [("checking", 3, -250, "Ally loan payment", "TRANSFER_OUT_ACCOUNT_TRANSFER")],
        "other_out",
    ),
    "a card payment that bounced is owed again": (
        [("credit card", 9, 240, "Internet payment thank you", ""), ("credit card", 5, -240, "Returned payment", "")],
        "card_payment",
    ),
    "a purchase of what was paid to a card": (
        [("credit card", 9, 240, "Internet payment thank you", ""), ("credit card", 5, -240, "Corner Tyres", "")],
        "other_out",
    ),
    "a fee waived again and again": (
        [("checking", days, 12, "Monthly service fee waived", "") for days in (93, 62, 31)],
        "refund",
    ),
    "a pension whose name reads like a business": (
        [("checking", days, 727.67, "Old age security", "") for days in (93, 62, 31)],
        "benefit",
    ),
    "what a school pays out of financial aid": (
        [("checking", 9, 3000, "State Univ fin aid refund", "")],
        "other_in",
    ),
    "an account filled from the customer's own card": (
        [("checking", 9, 400, "Apple Pay Top-Up by *4417", "")],
        "own_transfer",
    ),
    "cashback that is paid out again and again": (
        [("checking", days, 21.5, "TopCashback USA Inc payout", "") for days in (80, 62, 31)],
        "other_in",
    ),
    "a purchase in instalments under the name of the card's issuer": (
        [("credit card", 3, -41.62, "APPLE CARD MONTHLY INSTALLMENTS (7 OF 24)", "")],
        "other_out",
    ),
    "a person who sends to themselves through a peer service": (
        [
            ("savings", 3, 400, "Zelle payment from Jordan Lee Conf# A1B2C3", ""),
            ("checking", 3, -400, "Zelle payment to Jordan Lee JPM99AB12", ""),
        ],
        "own_transfer",
    ),
    "two persons through a peer service, however often": (
        [
            row
            for back in (90, 60, 30, 3)
            for row in (
                ("savings", back, 400, "Zelle payment from Aisha Khan", ""),
                ("checking", back, -400, "Zelle payment to Jordan Lee", ""),
            )
        ],
        "other_out",
    ),
    "an account with a peer service that is topped up again and again": (
        [
            row
            for back in (90, 60, 3)
            for row in (
                ("savings", back, 50 + back, "Top-Up by *2091", ""),
                ("checking", back, -50 - back, "REVOLUT**4417*", ""),
            )
        ],
        "own_transfer",
    ),
    "what fills PayPal for a purchase that PayPal pays": (
        [
            ("savings", 3, 64.2, "Bank Deposit to PP Account", ""),
            ("checking", 3, -64.2, "PAYPAL INST XFER EBAY INC", ""),
        ],
        "own_transfer",
    ),
    "a payment by PayPal beside an equal inflow": (
        [("savings", 3, 64.2, "Incoming", ""), ("checking", 3, -64.2, "PAYPAL INST XFER EBAY INC", "")],
        "other_out",
    ),
    "a payment by PayPal is not the payment of a card": (
        [
            ("checking", 4, -64.2, "Web pay 1", ""),
            ("credit card", 3, 64.2, "Thank you", ""),
            ("checking", 3, -64.2, "PAYPAL INST XFER EBAY INC", ""),
        ],
        "other_out",
    ),
    "opposite legs on two own accounts, one transfer-like": (
        [("checking", 4, -300, "Online transfer 1", ""), ("savings", 3, 300, "Deposit", "")],
        "own_transfer",
    ),
    "opposite legs of which none is transfer-like": (
        [("checking", 4, -300, "Landlord", ""), ("savings", 3, 300, "Incoming", "")],
        "other_in",
    ),
    "opposite legs four days apart": (
        [("checking", 7, -300, "Online transfer 1", "TRANSFER_OUT"), ("savings", 3, 300, "Incoming", "")],
        "other_in",
    ),
    "a row of a purchase category is no leg": (
        [("savings", 4, 80, "Transfer", ""), ("checking", 4, -80, "Shell", "TRANSPORTATION_GAS")],
        "other_out",
    ),
    "only the nearest of two equal outflows is the leg": (
        [
            ("savings", 4, 500, "Transfer from checking", ""),
            ("checking", 4, -500, "Online transfer", ""),
            ("checking", 2, -500, "Landlord", ""),
        ],
        "other_out",
    ),
    "another transfer that names nobody": (
        [("checking", 3, -90, None, "TRANSFER_OUT_ACCOUNT_TRANSFER")],
        "own_transfer",
    ),
    "a standing payment to a third party is no own transfer": (
        [("checking", 3, -90, "Payment AB/798", "TRANSFER_OUT_ACCOUNT_TRANSFER", "cz_AB_798")],
        "other_out",
    ),
    "a peer service is a third party": (
        [("checking", 3, -90, "Zelle to Ann", "TRANSFER_OUT_ACCOUNT_TRANSFER")],
        "other_out",
    ),
    "transfer words without category": ([("checking", 3, -90, "ONLINE XFER TO SAV X1234", "")], "own_transfer"),
    "cash is spending": ([("checking", 3, -90, None, "TRANSFER_OUT_WITHDRAWAL")], "cash_withdrawal"),
    "cash by words": ([("checking", 3, -103.5, "NON-TD ATM W/D", "")], "cash_withdrawal"),
    "a debit card withdrawal is a purchase": (
        [("checking", 3, -18.75, "Withdrawal Debit Card STARBUCKS", "")],
        "other_out",
    ),
    "the fee of a cash machine is no cash": ([("checking", 3, -3, "NONTD ATM FEE", "")], "service_fee"),
    "a cash deposit is no pay": ([("checking", 3, 900, "Mobile Deposit", "")], "cash_deposit"),
    "a cash deposit by category": ([("checking", 3, 900, None, "TRANSFER_IN_DEPOSIT")], "cash_deposit"),
    "an inflow in a purchase category": ([("checking", 3, 20, "Target", "GENERAL_MERCHANDISE_SUPERSTORES")], "refund"),
    "a fee given back": ([("checking", 3, 29, "COURTESY NSF FEE RFND", "BANK_FEES_INSUFFICIENT_FUNDS")], "refund"),
    "refund words": ([("checking", 3, 500, "United Airlines **** REFUND ****", "")], "refund"),
    "refund words beside words of a purchase": (
        [("checking", 3, 231, "Hausverwaltung Brandt KG Guthaben Nebenkostenabrechnung", "")],
        "refund",
    ),
    "a tax refund is no refund": ([("checking", 3, 500, "IRS TAX REFUND", "INCOME_TAX_REFUND")], "other_in"),
    "null category from a payee paid before": (
        [("checking", 9, -40, "Etsy", ""), ("checking", 3, 40, "ETSY", "")],
        "refund",
    ),
    "null category from a payee paid only later": (
        [("checking", 3, -40, "Oddments", ""), ("checking", 9, 40, "ODDMENTS", "")],
        "other_in",
    ),
    "a peer pays back through the same service": (
        [("checking", 9, -40, "Venmo", ""), ("checking", 3, 40, "Venmo", "")],
        "other_in",
    ),
    "an overdraft fee by category": ([("checking", 3, -35, "Bank", "BANK_FEES_OVERDRAFT_FEES")], "fee"),
    "a late fee by words": ([("credit card", 3, -29, "LATE PAYMENT FEE", "")], "fee"),
    "nsf charge": ([("checking", 3, -17, "NSF/OD CHARGE PAID", "BANK_FEES_OTHER_BANK_FEES")], "fee"),
    "a late fee by category": ([("credit card", 3, -29, "Bank", "BANK_FEES_LATE_FEES")], "fee"),
    "courtesy pay": ([("checking", 3, -30, "COURTESY PAY FEE", "")], "fee"),
    "a returned item": ([("checking", 3, -30, "RETURNED ITEM CHARGE", "BANK_FEES")], "fee"),
    "insufficient funds": ([("checking", 3, -30, "INSUFFICIENT FUNDS PENALTY", "")], "fee"),
    "an od fee": ([("checking", 3, -30, "OD FEE", "")], "fee"),
    "coffee is no fee": ([("checking", 3, -5, "LATE COFFEE", "")], "other_out"),
    "chocolate is not late": ([("checking", 3, -5, "CHOCOLATE FEE", "")], "other_out"),
    "a monthly fee is none of these fees": (
        [("checking", 3, -5, "MONTHLY FEE", "BANK_FEES_OTHER_BANK_FEES")],
        "service_fee",
    ),
    "words do not overrule a purchase category": (
        [("checking", 3, -5, "Late charge bistro", "FOOD_AND_DRINK_RESTAURANT")],
        "other_out",
    ),
    "interest charged on a deposit account is a fee": (
        [("checking", 3, -1.2, "Penalty interest", "BANK_FEES_INTEREST_CHARGE")],
        "fee",
    ),
    "interest charged on a card": ([("credit card", 3, -31, "PURCHASE INTEREST CHARGE", "")], "interest_charged"),
    "interest charged by category": (
        [("credit card", 3, -31, "Bank", "BANK_FEES_INTEREST_CHARGE")],
        "interest_charged",
    ),
    "an interest refund is no debt": ([("credit card", 3, 31, "INTEREST CHARGE REFUND", "")], "refund"),
    "interest earned is not interest charged": ([("savings", 3, 4.2, "INTRST PYMNT", "")], "interest_earned"),
    "interest that Plaid labels as wages": ([("checking", 3, 4.2, "INTRST PYMNT", "INCOME_WAGES")], "interest_earned"),
    "wages": ([("checking", 3, 2000, "Acme", "INCOME_WAGES")], "paycheck"),
    "salary, as the second version calls wages": ([("checking", 3, 2000, "Acme", "INCOME_SALARY")], "paycheck"),
    "gig pay by category into savings": ([("savings", 3, 200, "Doordash", "INCOME_GIG_ECONOMY")], "paycheck"),
    "what an employer pays beside the salary, by its name": (
        [("checking", 3, 1950, "MUELLER MASCHINENBAU GMBH WEIHNACHTSGELD 2025", "")],
        "paycheck",
    ),
    "flat payroll": ([("checking", 3, 2000, None, "payroll")], "paycheck"),
    "payroll words without category": ([("checking", 3, 2000, "ACME INC PAYROLL 0426", "")], "paycheck"),
    "payroll words in a transfer category": (
        [("checking", 3, 2000, "ACME DIRECT DEP", "TRANSFER_IN_DEPOSIT")],
        "paycheck",
    ),
    "payroll words with OTHER_INCOME, which tells nothing": (
        [("checking", 3, 2000, "ACME SALARY", "INCOME_OTHER_INCOME")],
        "paycheck",
    ),
    "wages on a card are no pay": ([("credit card", 3, 2000, "Acme", "INCOME_WAGES")], "card_payment"),
    "wages on a brokerage account are no pay": ([("brokerage", 3, 2000, "Acme", "INCOME_WAGES")], "other_in"),
    "wages on a loan account are no pay": ([("loan", 3, 2000, "Acme", "INCOME_WAGES")], "other_in"),
    "expenses paid back are no pay": ([("checking", 3, 300, "ACME EXPENSE REIMBURSEMENT", "INCOME_WAGES")], "other_in"),
    "a peer's money is no pay": ([("checking", 3, 300, "Venmo", "INCOME_WAGES")], "other_in"),
    "a tax refund labelled as wages is no pay": ([("checking", 3, 300, "IRS TREAS TAX", "INCOME_WAGES")], "other_in"),
    "gig words from a payee never paid": ([("checking", 3, 300, "Lyft Payout", "")], "paycheck"),
    "gig words from a payee paid before": (
        [("checking", 9, -30, "Uber", ""), ("checking", 3, 30, "Uber", "")],
        "refund",
    ),
    "unearned words beat the category": ([("checking", 3, 900, "State pension", "INCOME_WAGES")], "other_in"),
    "payroll words beat unearned ones": (
        [("checking", 3, 900, "TAX ADVISERS LLC PAYROLL", "INCOME_WAGES")],
        "paycheck",
    ),
    "benefits are no pay": ([("checking", 3, 900, "Unemployment Benefits", "")], "benefit"),
    "bare INCOME tells nothing": ([("checking", 3, 900, "Acme", "INCOME")], "other_in"),
    "an ordinary purchase": ([("checking", 3, -12, "Deli", "FOOD_AND_DRINK_RESTAURANT")], "other_out"),
    "some cents of interest": ([("savings", 3, 0.42, "Interest paid", "INCOME_INTEREST_EARNED")], "interest_earned"),
    "some cents of interest, by words": ([("savings", 3, 0.42, "INTRST PYMNT", "")], "interest_earned"),
    "some cents of interest charged": (
        [("credit card", 3, -0.42, "Bank", "BANK_FEES_INTEREST_CHARGE")],
        "interest_charged",
    ),
    "some cents given back": ([("checking", 3, 0.42, "Target", "GENERAL_MERCHANDISE_SUPERSTORES")], "refund"),
    "some cents of wages": ([("checking", 3, 0.42, "Acme", "INCOME_WAGES")], "paycheck"),
    "some cents onto a card": ([("credit card", 3, 0.42, "Received", "")], "card_payment"),
    "some cents paid in": ([("checking", 3, 0.42, None, "TRANSFER_IN_DEPOSIT")], "cash_deposit"),
    "some cents drawn": ([("checking", 3, -0.42, None, "TRANSFER_OUT_WITHDRAWAL")], "cash_withdrawal"),
    "some cents of a fee": ([("checking", 3, -0.42, "Bank", "BANK_FEES_OVERDRAFT_FEES")], "fee"),
    "some cents moved": (
        [("checking", 3, -0.42, "Round up transfer", ""), ("savings", 3, 0.42, "Deposit", "")],
        "own_transfer",
    ),
    "a refund on a card is no leg": (
        [("checking", 4, -25, "Online transfer 1", ""), ("credit card", 3, 25, "MACYS REFUND", "")],
        "refund",
    ),
    "some cents refunded on a card are no leg": (
        [("checking", 4, -0.42, "Online transfer 1", ""), ("credit card", 3, 0.42, "MACYS REFUND", "")],
        "refund",
    ),
    "a zero amount is nothing": ([("checking", 3, 0, "AIRBNB", "")], "other_in"),
}


@pytest.fixture(scope=shared)
def kinds() -> dict[str, str]:
    """By sentence, the kind of the last row that it writes."""
    ledger, last = Ledger(), {}
    for sentence, (rows, _) in EXAMPLES.items():
        own = dict(zip(ACCOUNTS, ledger.customer(sentence, *ACCOUNTS), strict=True))
        for account, days, amount, name, category, *entity in rows:
            entity_id = entity[0] if entity else None
            last[sentence] = ledger.row(own[account], days, amount, name, category, merchant_entity_id=entity_id)
    random.Random(7).shuffle(ledger.rows["transactions"])
    found = ledger.kinds()
    return {sentence: found[transaction] for sentence, transaction in last.items()}


@pytest.mark.parametrize("sentence", EXAMPLES)
def test_the_first_kind_that_matches(kinds: dict[str, str], sentence: str) -> None:
    assert kinds[sentence] == EXAMPLES[sentence][1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PAYPAL *SPOTIFY 98765", "Spotify P3E460"),
        ("SQ *BLUE BOTTLE 0042", "Blue Bottle"),
        ("TST* Corner Deli", "CORNER DELI"),
        ("McDonalds #3322", "MCDONALDS #17"),
        ("NETFLIX.COM", "Netflix"),
        ("Starbucks Store 01 03/14", "STARBUCKS STORE 99 12/24"),
        ("PURCHASE AUTHORIZED ON 03/12 Chewy S012345678901234 CARD 0123", "Chewy"),
        ("LinkedIn 65238914", "LinkedIn 8212938636"),
        ("PAYPAL *PROGRESSIVE INSURANCE", "Progressive Insurance"),
        ("ACME CORP PAYROLL PPD 123456", "Acme"),
        ("DIRECT DEP ACME", "ACME DIR DEP"),
        ("ACME DES:PAYROLL ID:4711 INDN:ANN LEE", "Direct Deposit - Acme"),
    ],
)
def test_a_payee_is_its_name_without_processor_store_reference_and_date(one: str, other: str) -> None:
    assert identify(one, None, None).name == identify(other, None, None).name


@pytest.mark.parametrize("name", ["7-Eleven", "24 Hour Fitness", "1Password", "H&M", "Forever21", "PAYROLL"])
def test_a_name_that_is_a_number_or_a_wage_is_still_a_name(name: str) -> None:
    assert identify(name, None, None).name


Spelling = tuple[str | None, str | None]
"""A name and an id."""


def streams_of(*spellings: Spelling, amount: float = -9.99, category: str = "") -> list[Row]:
    """What a customer pays each month, spelled in turn one way and another: one stream where they are one payee."""
    ledger = Ledger()
    (account,) = ledger.customer("ann", "checking")
    for number, date in enumerate(monthly(15, 12)):
        name, entity = spellings[number % len(spellings)]
        ledger.row(account, date, amount, name, category, merchant_entity_id=entity)
    return ledger.streams()["ann"]


def merchants(*spellings: Spelling) -> list[tuple[str, int]]:
    """Each spelling is paid on a day and at a price of its own: payees with how many of them were theirs, by name."""
    ledger = Ledger()
    (account,) = ledger.customer("ann", "checking")
    for number, (name, entity) in enumerate(spellings):
        for date in monthly(3 + 7 * number, 4):
            ledger.row(account, date, -9.99 - 10 * number, name, merchant_entity_id=entity)
    found = [stream["merchant"] for stream in ledger.streams()["ann"]]
    return sorted((merchant, found.count(merchant)) for merchant in set(found))


def test_an_id_on_two_rows_is_the_payee() -> None:
    (stream,) = streams_of(("SPOTIFY USA", "ent_s"), ("Spotify AB", "ent_s"))
    assert stream["occurrences"] == 12
    assert streams_of(("Kiosk", None), ("Deli", None)) == []


def test_a_name_joins_the_id_it_mostly_has() -> None:
    (stream,) = streams_of(("SPOTIFY USA", "ent_s"), ("Spotify AB", "ent_s"), ("SPOTIFY USA", None))
    assert stream["occurrences"] == 12
    often, seldom = ("Gym", "ent_often"), ("Gym", "ent_seldom")
    assert [stream["occurrences"] for stream in streams_of(often, seldom, often, ("Gym", None))] == [9]
    assert [stream["occurrences"] for stream in streams_of(seldom, often, seldom, ("Gym", None))] == [9]


def test_ids_of_a_name_that_overlap_in_time_are_payees_of_their_own() -> None:
    assert len(streams_of(("Gym", "ent_one"), ("Gym", "ent_two"))) == 2


def test_an_id_that_occurs_once_joins_the_one_that_its_name_has() -> None:
    ledger = Ledger()
    (account,) = ledger.customer("ann", "checking")
    for date in monthly(15, 6):
        ledger.row(account, date, -9.99, "Deezer", merchant_entity_id="ent_new" if date.month == 6 else "ent_one")
    assert [each["occurrences"] for each in ledger.streams()["ann"]] == [6]


def test_an_id_on_one_row_is_no_payee() -> None:
    ledger = Ledger()
    (account,) = ledger.customer("ann", "checking")
    for number, date in enumerate(monthly(15, 6)):
        ledger.row(account, date, -9.99, "Oddments", merchant_entity_id=f"ent_{number}")
    (stream,) = ledger.streams()["ann"]
    assert (stream["merchant"], stream["occurrences"]) == ("Oddments", 6)


def test_a_row_without_name_and_id_has_no_payee() -> None:
    assert streams_of((None, None)) == []


def test_the_shown_name_is_one_per_payee() -> None:
    assert merchants(("SPOTIFY USA", "ent_s"), ("Spotify AB", "ent_s")) == [("Spotify", 2)]


def test_one_biller_of_many_services_is_not_the_shop_of_the_same_id() -> None:
    bill, shop = ("APPLE.COM/BILL", "ent_a"), ("Apple Store", "ent_a")
    assert merchants(bill, shop) == [("Apple", 1), ("Apple Store", 1)]


def test_a_city_is_no_part_of_a_payee_that_is_known_without() -> None:
    assert merchants(("Spotify", None), ("SPOTIFY NEW YORK NY", None)) == [("Spotify", 2)]
    apart = [("Roadside Club Reno NV", None), ("Roadside Help", None)]
    assert merchants(*apart) == [("Roadside Club", 1), ("Roadside Help", 1)]


def test_a_service_sold_under_a_shops_id_is_not_the_shop() -> None:
    shop = [("Amazon", "ent_amazon"), ("AMAZON MKTPL", "ent_amazon")]
    prime = [("Amazon Prime", "ent_amazon"), ("AMAZON PRIME *2K4", "ent_amazon")]
    assert merchants(shop[0], prime[0], prime[1]) == [("Amazon", 1), ("Amazon Prime", 2)]
    assert merchants(*shop, prime[0]) == [("Amazon", 2), ("Amazon Prime", 1)]


def test_a_payment_through_paypal_is_to_whom_it_names() -> None:
    insured = [("PAYPAL *PROGRESSIVE INSURANCE", "ent_p"), ("Progressive Insurance", "ent_p")]
    assert streams_of(*insured, (insured[0][0], None))[0]["occurrences"] == 12
    assert merchants(("PAYPAL *HULU", "ent_paypal"), ("PAYPAL *NOTION", "ent_paypal")) == [("Hulu", 1), ("Notion", 1)]


def test_an_employer_is_one_payer_however_the_bank_calls_the_deposit() -> None:
    spellings = [("Acme PAYROLL", "ent_a"), ("ACME DIR DEP", "ent_a"), ("Acme", None)]
    (stream,) = streams_of(*spellings, amount=1000, category="INCOME_WAGES")
    assert (stream["merchant"], stream["occurrences"], stream["kind"]) == ("Acme", 12, "income")


def test_the_account_of_the_other_side_is_part_of_its_name() -> None:
    found = merchants(("Payment AB/79838293", None), ("Payment AB/10200300", None))
    assert found == [("Payment AB/10200300", 1), ("Payment AB/79838293", 1)]


def test_the_detailed_category_speaks_before_the_primary_one() -> None:
    def kind_of_inflow(primary: str, detailed: str) -> str:
        ledger = Ledger()
        (account,) = ledger.customer("ann", "checking")
        transaction = ledger.row(account, 9, 5, "x", detailed, category_primary=primary)
        return ledger.kinds()[transaction]

    assert kind_of_inflow("FOOD_AND_DRINK", "OTHER") == "refund"
    assert kind_of_inflow("FOOD_AND_DRINK", "INCOME_WAGES") == "paycheck"
    assert kind_of_inflow("INCOME", "TRANSPORTATION_GAS") == "refund"


def steady(ledger: Ledger, user: str) -> list[str]:
    checking, savings = ledger.customer(user, "checking", "savings")
    rows = []
    for days in range(60, 0, -15):
        rows.append(ledger.row(checking, days, -200, "Transfer to savings"))
        rows.append(ledger.row(savings, days - 1, 200, "Deposit from checking"))
        rows.append(ledger.row(checking, days, -9.99, "PAYPAL *SPOTIFY 12345"))
    return rows


def test_order_pending_and_future_rows_change_nothing() -> None:
    ledger = Ledger()
    quiet, noisy = steady(ledger, "quiet"), steady(ledger, "noisy")
    checking, savings = (each["account_id"] for each in ledger.rows["accounts"][-2:])
    pending = ledger.row(checking, 4, -200, "Transfer to savings", pending=True)
    future = ledger.row(savings, -1, 9.99, "Spotify")
    random.Random(7).shuffle(ledger.rows["transactions"])
    kinds = ledger.kinds()
    assert not {pending, future} & set(kinds)
    assert [kinds[row] for row in noisy] == [kinds[row] for row in quiet]
    assert {kinds[row] for row in quiet} == {"own_transfer", "other_out"}


def test_operators_and_people_of_after_the_day_have_no_signals() -> None:
    ledger = Ledger()
    ledger.row(ledger.customer("staff", "checking", user_type="operator")[0], 3, -1)
    ledger.row(ledger.customer("later", "checking", created_at=dt.datetime(2026, 7, 1, tzinfo=dt.UTC))[0], 3, -1)
    ledger.row(ledger.customer("today", "checking", created_at=dt.datetime(2026, 6, 30, 23, tzinfo=dt.UTC))[0], 3, -1)
    assert {user for user, _ in ledger.features()} == {"today"}


def test_what_later_rows_make_of_earlier_ones_is_the_same_with_all_dates_at_once() -> None:
    ledger = Ledger()
    checking = {name: ledger.customer(name, "checking")[0] for name in ("gig", "client", "renamed", "mover")}
    for ago, amount in ((60, -100.0), (50, 20.0), (45, 20.0), (40, 20.0), (20, 60.0)):
        ledger.row(checking["gig"], ago, amount, "Uber")
    for ago in (60, 45, 30):
        ledger.row(checking["client"], ago, 900.0, "Hollis Interiors LLC")
    ledger.row(checking["renamed"], 50, -30.0, merchant_entity_id="e1")
    ledger.row(checking["renamed"], 45, 100.0, "Blue Lamp")
    ledger.row(checking["renamed"], 20, -31.0, "Blue Lamp", merchant_entity_id="e1")
    ledger.row(checking["mover"], 40, -200.0, "Quillon Partners", "TRANSFER_OUT_OTHER_TRANSFER_OUT")
    savings = ledger.account("mover", "savings", created_at=dt.datetime(2026, 5, 22, tzinfo=dt.UTC))
    ledger.row(savings, 38, 200.0, "Hartley Group", "TRANSFER_IN_OTHER_TRANSFER_IN")

    dates = (48, 40, 35, 28, 22, 15, 0)
    together = ledger.kinds_on(*dates)
    assert together == [ledger.kinds_on(date)[0] for date in dates]
    changed = {key for before, after in itertools.pairwise(together) for key in before if after[key] != before[key]}
    owners = {row["transaction_id"]: row["user_id"] for row in ledger.rows["transactions"]}
    assert {owners[key] for key in changed} == set(checking)
