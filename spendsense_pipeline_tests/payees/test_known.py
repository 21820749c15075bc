"""The table of known payees is sound, and each is recognised in its texts and in no other's."""

from pathlib import Path

import pytest

from spendsense_pipeline.payees import known, names
from spendsense_pipeline.payees.readings import Identifier

identify = Identifier()


def test_the_table_is_large_and_speaks_the_vocabulary() -> None:
    table = known.table()
    assert len(table) > 1_000
    assert {payee.country for payee in table} == {None, "us", "gb", "de", "fr", "nl", "au", "ca", "ie", "in", "nz"}
    for payee in table:
        assert payee.category is None or known.is_target(payee.category), payee
        assert payee.service is None or payee.service in known.SERVICES, payee
        assert payee.counterparty in known.COUNTERPARTIES, payee
        assert payee.key, payee


def test_no_phrase_stands_for_two_payees_and_no_name_for_two() -> None:
    known.phrases()  # raises for a phrase that two payees share
    assert len({payee.display for payee in known.table()}) == len(known.table())


def test_no_display_name_ends_in_a_state() -> None:
    states = set(names.lines(names.load("places.toml")["state_names"]))
    called_so = {"Covered California"}
    for payee in known.table():
        if payee.country in (None, "us") and payee.display not in called_so:
            assert names.fold(payee.display).split()[-1] not in states, payee.display


@pytest.mark.parametrize(
    ("text", "display"),
    [
        ("HELP.MAX.COM", "HBO Max"),
        ("Max Burgers", "Max Burgers"),
        ("DAVE.COM 0123456789 CA", "Dave"),
        ("DAVES HOT CHICKEN", "Daves Hot Chicken"),
        ("WISE AND SONS PLUMBING", "Wise and Sons Plumbing"),
        ("WISE.COM LONDON GB", "Wise"),
        ("SKY ZONE TRAMPOLINE PARK", "Sky Zone Trampoline Park"),
        ("SKY DIGITAL 0123", "Sky"),
        ("TARGET 00012345 PLANO TX", "Target"),
        ("TARGETED MARKETING LLC", "Targeted Marketing"),
        ("APPLE.COM/BILL 866-712-7753 CA", "Apple"),
        ("APPLE VALLEY DENTAL", "Apple Valley Dental"),
        ("SHELL GAS STATION", "Shell"),
        ("SHELLEYS BAKERY", "Shelleys Bakery"),
        ("UBER *EATS", "Uber Eats"),
        ("AMAZON PRIME*2K4RT8 AMZN.COM/BILL WA", "Amazon Prime"),
        ("PAYPAL INST XFER SPOTIFY WEB ID: PAYPALSI01", "Spotify"),
        ("KLARNA*H&M", "Klarna"),
        ("SO ENERGY 123", "So Energy"),  # begins like a standing order
        ("IDEAL IMAGE BRAINTREE MA", "Ideal Image"),  # and like a Dutch way to pay
        ("BVG BERLIN", "BVG"),
        ("FINANZAMT ULMENAU", "Finanzamt Ulmenau"),  # there are many: each keeps its name
        ("Walmart+", "Walmart+"),  # a plus makes another service of it
        ("AMC+ 800-123-4567 NY", "AMC+"),
        ("AMC 0123 DENVER CO", "AMC Theatres"),
        ("PAYPAL *SPOTIFYUK 35314369001", "Spotify"),
        ("NETFLIXUK", "Netflix"),
        ("LIFE TIME FITNES CLUB DUES", "Life Time"),
        ("ACORNS SUBSCRIPTION 855-739-2859 CA", "Acorns Subscription"),
        ("ACORNS INVEST ROUND-UPS", "Acorns"),
        ("RENT-A-CENTER 02214 TAMPA FL", "Rent-A-Center"),
        ("DFAS-CLEVELAND ACT NAVY", "Military Pay"),
        ("DFAS-CLEVELAND RET NET", "DFAS Retired"),
        ("VIR CAF59 RSA 06/2026", "CAF"),
        ("PAYPAL *PAYIN3", "PayPal Pay in 4"),
        ("BETTER LEISURE GLL DD", "Better Gym"),
        ("PROCARE *LITTLE SPROUTS 800-338-3884 OR", "Procare"),
        ("KOHLS CARD PAYMENT", "Kohl's Card"),
        ("PATHE THUIS", "Pathé Thuis"),
        ("BEST BUY AUTO PYMT", "Best Buy Card"),  # what else is boilerplate says what is paid
        ("CAPITAL ONE MOBILE PMT 3ML", "Capital One Card"),
        ("BEST BUY 00012 TAMPA FL", "Best Buy"),
        ("SAINSBURYS S/MKTS CLAPHAM", "Sainsbury's"),
        ("LOBLAWS #1029 TORONTO ON", "Loblaws"),
        ("REAL CDN SUPERSTORE 1512 CALGARY AB", "Real Canadian Superstore"),
        ("UPI/P2M/612345678901/CHAI POINT/paytmqr28100@paytm", "Chai Point"),
        ("BIL/ONL/000123/AIRTEL POSTPAID/9845012345", "Airtel"),
    ],
)
def test_short_and_common_words_need_their_context(text: str, display: str) -> None:
    assert identify(text, None, None).display == display


def test_all_phrases_are_found_in_their_own_words() -> None:
    found = known.phrases()
    for payee, phrases in known.payees_and_phrases():
        for phrase in phrases:
            words, _, _ = known.parsed(phrase)
            matches = found.in_words(words)
            assert any(match.entry == payee for match in matches), (payee.display, phrase)


def test_what_gives_way_gives_way_and_what_begins_the_name_comes_first() -> None:
    def best(text: str) -> str | None:
        read = names.read(text)
        match = known.best(known.phrases().in_words(read.words, read.starts), read.starts)
        return match.entry.display if match else None

    assert best("PAYPAL *NETFLIX") == "Netflix"
    assert best("PAYPAL *SOMETHING ELSE") == "PayPal"
    assert best("STARBUCKS AMAZON BUILDING") == "Starbucks"
    assert best("CORNER CUP") is None


# --- the house's file ------------------------------------------------------------------------------------------


def house(tmp_path: Path, text: str) -> tuple[known.HouseRule, ...]:
    file = tmp_path / "payees.toml"
    file.write_text(text, encoding="utf-8")
    return known.house_rules(file)


def test_a_line_of_the_house_s_file_is_a_phrase_and_a_category(tmp_path: Path) -> None:
    rules = house(
        tmp_path,
        '[payees]\n"blue door" = "FOOD_AND_DRINK_COFFEE"\n'
        '"acorn$" = { service = "bill", display = "Acorn Housing", overrides_delivered = true }\n',
    )
    assert rules == (
        known.HouseRule("blue door", "FOOD_AND_DRINK_COFFEE"),
        known.HouseRule("acorn$", None, "bill", "Acorn Housing", None, True),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[payees]\n"blue door" = "COFFEE_PLACES"', "line 2, 'blue door': category is 'COFFEE_PLACES'"),
        ('[payees]\n\n"Blue-Door" = "FOOD_AND_DRINK"', "line 3, 'Blue-Door'"),
        ('[payees]\n"blue door" = { service = "coffee" }', "service is 'coffee', should be one of subscription"),
        ('[payees]\n"blue door" = { servce = "bill" }', "servce is no field; there are category"),
        ('[payees]\n"blue door" = { overrides_delivered = "yes" }', "should be true or false"),
        ('[payees]\n"blue door" = 7', "should be a category's name, or a table"),
        ('[payees]\n"blue door" = {}', "should be a category's name, or a table"),
        ('[payee]\n"blue door" = "FOOD_AND_DRINK"', "should hold one table, [payees]"),
        ('[payees]\n"blue door" = ', "payees.toml: "),
        ('[payees]\n"a" = "TRAVEL"\n"a" = "TRAVEL"', "payees.toml: "),
    ],
)
def test_a_fault_in_the_house_s_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(known.InvalidHouseFile) as error:
        house(tmp_path, text)
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value)
