"""Vocabularies: the files hold together, and names, merchant codes and transaction codes mean what their owners say."""

import csv
from importlib.resources import files
from itertools import pairwise

import iso18245
import pytest

from spendsense_pipeline.payees import vocabularies
from spendsense_pipeline.payees.vocabularies import (
    CODES,
    MARKS,
    MERCHANT_CODES,
    NAMES,
    TARGETS,
    Code,
    categories,
    code_meaning,
    delivered_category,
    known_name,
    mcc_category,
)

FOLDER = files("spendsense_pipeline.payees") / "data" / "vocabularies"


def read(file: str) -> list[dict[str, str]]:
    lines = (FOLDER / file).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def test_every_file_is_read_and_every_file_says_where_it_comes_from() -> None:
    on_disk = {path.name for path in FOLDER.iterdir()}
    assert on_disk == {*TARGETS, *NAMES, *CODES, MERCHANT_CODES}
    for file in on_disk:
        assert (FOLDER / file).read_text(encoding="utf-8").startswith("# "), file


def test_the_first_version_of_plaids_taxonomy_is_whole() -> None:
    rows = read("plaid_v1.csv")
    assert len(rows) == 104
    assert len({row["primary"] for row in rows}) == 16
    assert all(row["name"].startswith(row["primary"] + "_") for row in rows)


@pytest.mark.parametrize("file", NAMES + CODES + (MERCHANT_CODES,))
def test_every_target_is_a_category(file: str) -> None:
    rows = read(file)
    assert rows
    assert [row for row in rows if row["category"] and row["category"] not in categories()] == []


@pytest.mark.parametrize("file", CODES)
def test_every_mark_is_of_the_closed_list(file: str) -> None:
    assert [row for row in read(file) if row["mark"] and row["mark"] not in MARKS] == []


@pytest.mark.parametrize("file", NAMES)
def test_every_listed_name_is_known_and_means_what_the_file_says(file: str) -> None:
    for row in read(file):
        assert known_name(row["name"]), row
        untelling = row["category"] in vocabularies.UNTELLING
        assert delivered_category(None, row["name"]) == (None if untelling else row["category"]), row


@pytest.mark.parametrize("file", CODES)
def test_every_listed_code_means_what_the_file_says(file: str) -> None:
    for row in read(file):
        if not row["code"].startswith("*"):
            assert code_meaning(row["code"]) == Code(row["category"] or None, row["mark"] or None), row


def test_a_name_listed_twice_is_refused_with_its_file_and_line(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"one.csv": [(2, {"name": "Fees", "category": "BANK_FEES"}), (3, {"name": "fee", "category": "BANK_FEES"})]}
    known = vocabularies._rows
    monkeypatch.setattr(vocabularies, "_rows", lambda file: iter(rows[file]) if file in rows else known(file))
    monkeypatch.setattr(vocabularies, "NAMES", ("one.csv",))
    with pytest.raises(ValueError, match=r"one\.csv, line 3: 'fee' is listed twice"):
        vocabularies._known_names.__wrapped__()


def test_one_name_with_two_meanings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"one.csv": [(2, {"name": "Gas", "category": "TRANSPORTATION_GAS"})]}
    rows["two.csv"] = [(2, {"name": "gas", "category": "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY"})]
    known = vocabularies._rows
    monkeypatch.setattr(vocabularies, "_rows", lambda file: iter(rows[file]) if file in rows else known(file))
    monkeypatch.setattr(vocabularies, "NAMES", ("one.csv", "two.csv"))
    with pytest.raises(ValueError, match=r"two\.csv, line 2: 'gas' means .* one name needs one meaning"):
        vocabularies._known_names.__wrapped__()


@pytest.mark.parametrize(
    ("primary", "detailed", "category"),
    [
        ("FOOD_AND_DRINK", "FOOD_AND_DRINK_COFFEE", "FOOD_AND_DRINK_COFFEE"),
        ("FOOD_AND_DRINK", None, "FOOD_AND_DRINK"),
        ("INCOME", "INCOME_SALARY", "INCOME_WAGES"),
        ("INCOME", "INCOME_GIG_ECONOMY", "INCOME_GIG_ECONOMY"),
        ("LOAN_DISBURSEMENTS", "LOAN_DISBURSEMENTS_EWA", "TRANSFER_IN_CASH_ADVANCES_AND_LOANS"),
        ("LOAN_PAYMENTS", "LOAN_PAYMENTS_EWA", "LOAN_PAYMENTS_EWA"),
        ("Food and Drink", "Food and Drink, Restaurants, Coffee Shop", "FOOD_AND_DRINK_COFFEE"),
        ("Food and Drink, Restaurants, Thai", None, "FOOD_AND_DRINK_RESTAURANT"),
        ("Service, Utilities, Electric", None, "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY"),
        ("Coffee Shops", None, "FOOD_AND_DRINK_COFFEE"),
        ("coffee_shop", None, "FOOD_AND_DRINK_COFFEE"),
        ("Food & Drink", None, "FOOD_AND_DRINK"),
        ("Bills & Utilities", None, "RENT_AND_UTILITIES"),
        ("Gas", None, "TRANSPORTATION_GAS"),
        ("Auto & Transport", "Gas & Fuel", "TRANSPORTATION_GAS"),
        ("Merchandise & Supplies-Groceries", None, "FOOD_AND_DRINK_GROCERIES"),
        ("Restaurant-Bar & Café", None, "FOOD_AND_DRINK_RESTAURANT"),
        ("Phone/Cable", None, "RENT_AND_UTILITIES_INTERNET_AND_CABLE"),
        ("EATING_OUT", None, "FOOD_AND_DRINK_RESTAURANT"),
        ("Household & Utilities", None, "RENT_AND_UTILITIES"),  # N26 has no other for power and rent
        ("dining", None, "FOOD_AND_DRINK_RESTAURANT"),
        ("Services & Parts", None, "GENERAL_SERVICES_AUTOMOTIVE"),
        ("Expenses:Groceries", None, "FOOD_AND_DRINK_GROCERIES"),
        ("5814", None, "FOOD_AND_DRINK_FAST_FOOD"),
        (None, "742", "MEDICAL_VETERINARY_SERVICES"),
        # The finer name tells nothing, the group does.
        ("RENT_AND_UTILITIES", "OTHER", "RENT_AND_UTILITIES"),
        ("RENT_AND_UTILITIES", "a name of nobody's", "RENT_AND_UTILITIES"),
        # Names that tell nothing, and names of no vocabulary.
        ("INCOME", "INCOME_OTHER_INCOME", None),
        ("Uncategorized", None, None),
        ("Transfer, Check", None, None),
        ("Zorgkosten overig", None, None),
        ("9", None, None),
        ("", "", None),
        (None, None, None),
    ],
)
def test_a_delivered_category_in_plaids_words(primary: str | None, detailed: str | None, category: str | None) -> None:
    assert delivered_category(primary, detailed) == category


@pytest.mark.parametrize("name", ["Uncategorized", "OTHER", "Income", "6012", "Payment/Credit"])
def test_a_name_that_tells_nothing_is_known(name: str) -> None:
    assert known_name(name)
    assert delivered_category(name, None) is None


@pytest.mark.parametrize("name", ["", "Zorgkosten overig", "1234", "12345", "GENERAL_NONSENSE"])
def test_a_name_of_no_vocabulary_is_unknown(name: str) -> None:
    assert not known_name(name)


def test_every_merchant_category_code_in_use_has_a_category_or_tells_nothing_on_purpose() -> None:
    codes = [code.mcc for code in iso18245.get_all_mccs()]
    assert len(codes) > 900
    assert [code for code in codes if not known_name(code)] == []
    assert [code for code in codes if mcc_category(code) is None] == ["6012"]


def test_the_ranges_of_merchant_codes_do_not_overlap() -> None:
    ranges = [(int(row["first"]), int(row["last"])) for row in read(MERCHANT_CODES)]
    assert all(first <= last for first, last in ranges)
    assert all(earlier[1] < later[0] for earlier, later in pairwise(ranges))


@pytest.mark.parametrize(
    ("mcc", "category"),
    [
        ("3000", "TRAVEL_FLIGHTS"),
        ("3350", "TRAVEL_FLIGHTS"),
        ("3351", "TRAVEL_RENTAL_CARS"),
        ("3500", "TRAVEL_RENTAL_CARS"),
        ("3501", "TRAVEL_LODGING"),
        ("3999", "TRAVEL_LODGING"),
        ("4900", "RENT_AND_UTILITIES_OTHER_UTILITIES"),
        ("5411", "FOOD_AND_DRINK_GROCERIES"),
        ("5812", "FOOD_AND_DRINK_RESTAURANT"),
        ("5816", "ENTERTAINMENT_VIDEO_GAMES"),
        ("5960", "GENERAL_SERVICES_INSURANCE"),
        ("6011", "TRANSFER_OUT_WITHDRAWAL"),
        ("6300", "GENERAL_SERVICES_INSURANCE"),
        ("7995", "ENTERTAINMENT_CASINOS_AND_GAMBLING"),
        ("7997", "PERSONAL_CARE_GYMS_AND_FITNESS_CENTERS"),
        ("8220", "GENERAL_SERVICES_EDUCATION"),
        ("8351", "GENERAL_SERVICES_CHILDCARE"),
        ("8398", "GOVERNMENT_AND_NON_PROFIT_DONATIONS"),
        ("9311", "GOVERNMENT_AND_NON_PROFIT_TAX_PAYMENT"),
        (" 5814 ", "FOOD_AND_DRINK_FAST_FOOD"),
        ("0001", None),
        ("58", None),
        ("５８１４", None),
        ("fast food", None),
        (None, None),
    ],
)
def test_a_merchant_category_code(mcc: str | None, category: str | None) -> None:
    assert mcc_category(mcc) == category


@pytest.mark.parametrize(
    ("code", "category", "mark"),
    [
        # Nacha
        ("PPD", None, "prearranged"),
        ("PAYROLL", "INCOME_WAGES", "payroll"),
        ("DIR DEP", "INCOME_WAGES", "payroll"),
        ("FED SAL", "INCOME_WAGES", "payroll"),
        ("XXSOC SEC", "INCOME_RETIREMENT_PENSION", "benefit"),
        ("XXVA BENEF", "INCOME_MILITARY", "benefit"),
        ("TAX REF", "INCOME_TAX_REFUND", "tax"),
        ("RETURN", None, "return"),
        ("REVERSAL", None, "reversal"),
        ("ACH PPD PAYROLL", "INCOME_WAGES", "payroll"),
        ("PPD REVERSAL PAYROLL", None, "reversal"),
        # ISO 20022
        ("SALA", "INCOME_WAGES", "payroll"),
        ("PENS", "INCOME_RETIREMENT_PENSION", "pension"),
        ("BECH", "INCOME_GOVERNMENT_BENEFITS", "benefit"),
        ("ELEC", "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY", None),
        ("PHON", "RENT_AND_UTILITIES_TELEPHONE", None),
        ("TELI", None, None),  # ordered by telephone, not a telephone bill
        ("LOAN", None, "loan"),
        ("LOAR", "LOAN_PAYMENTS", "loan"),
        ("PMNT-RCDT-SALA", "INCOME_WAGES", "payroll"),
        ("PMNT/RDDT/ESDD", None, "direct_debit"),
        ("PMNTICDTSTDO", None, "standing_order"),
        ("RCDT-SALA", "INCOME_WAGES", "payroll"),
        ("PMNT-CCRD-POSD", None, "card"),
        ("PMNT-CCRD-CWDL", "TRANSFER_OUT_WITHDRAWAL", "cash"),
        ("PMNT-RDDT-UPDD", None, "return"),
        ("PMNT-RDDT-PRDD", None, "reversal"),
        ("ACMT-MDOP-CHRG", "BANK_FEES_OTHER_BANK_FEES", "fee"),
        # German business transaction codes
        ("005", None, "direct_debit"),
        ("105", None, "direct_debit"),
        ("117", None, "standing_order"),
        ("153", None, "payroll"),
        ("109", None, "return"),
        ("808", "BANK_FEES_OTHER_BANK_FEES", "fee"),
        ("NTRF+105", None, "direct_debit"),
        # SWIFT, OFX
        ("NDDT", None, "direct_debit"),
        ("DIRECTDEP", "INCOME_WAGES", "payroll"),
        ("SRVCHG", "BANK_FEES_OTHER_BANK_FEES", "fee"),
        ("XFER", None, "transfer"),
        # United Kingdom
        ("DD", None, "direct_debit"),
        ("D/D", None, "direct_debit"),
        ("SO", None, "standing_order"),
        ("BGC", None, "credit_transfer"),
        (")))", None, "card"),
        ("U1", None, "return"),
        # Interfaces
        ("bank charge", "BANK_FEES_OTHER_BANK_FEES", "fee"),
        ("standing_order", None, "standing_order"),
        ("Pot transfer", "TRANSFER_SAVINGS", "transfer"),
    ],
)
def test_a_transaction_code(code: str, category: str | None, mark: str | None) -> None:
    assert code_meaning(code) == Code(category, mark)


@pytest.mark.parametrize("code", [None, "", "QQQQ", "PMNT", "a text of somebody", "4711"])
def test_a_code_of_no_vocabulary_means_nothing(code: str | None) -> None:
    assert code_meaning(code) is None


def test_the_group_of_a_category() -> None:
    assert categories()["FOOD_AND_DRINK_COFFEE"] == "FOOD_AND_DRINK"
    assert categories()["TRANSFER_SAVINGS"] == "TRANSFER"
    assert categories()["FOOD_AND_DRINK"] == "FOOD_AND_DRINK"
    with pytest.raises(KeyError):
        categories()["Coffee Shops"]
