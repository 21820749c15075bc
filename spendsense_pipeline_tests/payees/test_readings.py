"""What a descriptor says: the order of the sources, counterparty, service and words, row for row."""

import pyarrow as pa
import pytest

from spendsense_pipeline.payees import words
from spendsense_pipeline.payees.known import HouseRule
from spendsense_pipeline.payees.population import POPULATION
from spendsense_pipeline.payees.readings import SCHEMA, Reader

BLUE = "BLUE DOOR BAKERY"


def read(
    text: str | None, house: tuple[HouseRule, ...] = (), population: pa.Table | None = None, **columns: str
) -> dict:
    table = pa.table(
        {"merchant_name": pa.array([text], pa.string()), **{name: [told] for name, told in columns.items()}}
    )
    return Reader(house)(table, population).to_pylist()[0]


def shown(name: str, **told: object) -> pa.Table:
    row = {"name": name, "list_priced": False, "own_priced": False, "category": None, "category_source": None} | told
    return pa.Table.from_pylist([row], schema=POPULATION)


def test_the_first_source_that_knows_gives_the_category() -> None:
    rule = (HouseRule("blue door", "MEDICAL"),)
    crowd = shown("blue door bakery", category="TRAVEL", category_source="population")
    everything = {"category_detailed": "ENTERTAINMENT_MUSIC_AND_AUDIO", "mcc": "5814", "transaction_code": "SALA"}
    found = read(BLUE, rule, crowd, **everything)
    assert (found["category"], found["category_source"]) == ("ENTERTAINMENT_MUSIC_AND_AUDIO", "category")
    for source, name in (("mcc", "category_detailed"), ("code", "mcc"), ("house", "transaction_code")):
        del everything[name]
        assert read(BLUE, rule, crowd, **everything)["category_source"] == source
    assert read(BLUE, (), crowd)["category_source"] == "population"
    assert read("NETFLIX", (), shown("netflix", category="TRAVEL", category_source="model"))["category_source"] == (
        "known_payee"
    )
    assert read(BLUE)["category_source"] == "words"
    assert read("NORTHWIND")["category_source"] is None


def test_a_name_in_no_vocabulary_silences_nothing() -> None:
    assert read("NETFLIX", category_primary="Mum's things")["category_source"] == "known_payee"
    assert read("NETFLIX", category_primary="OTHER")["category_source"] == "known_payee"


def test_a_service_is_told_whatever_gave_the_category() -> None:
    found = read("NETFLIX", category_detailed="GENERAL_SERVICES_OTHER_GENERAL_SERVICES")
    assert (found["category_source"], found["service"]) == ("category", "subscription")


def test_a_line_of_the_house_may_override_what_was_delivered() -> None:
    rule = HouseRule("blue door", "MEDICAL", service="bill", display="The Blue Door", overrides_delivered=True)
    found = read(BLUE, (rule,), category_detailed="TRAVEL_FLIGHTS")
    assert (found["category"], found["category_source"], found["service"]) == ("MEDICAL", "house", "bill")
    assert (found["name"], found["display"]) == ("the blue door", "The Blue Door")


@pytest.mark.parametrize(
    ("text", "columns", "counterparty"),
    [
        ("NETFLIX", {}, "merchant"),
        ("BLUE DOOR BAKERY", {}, "merchant"),
        ("Online Transfer to J MCDONALD ROSS", {}, "person"),
        ("Zelle from Ana Lima", {}, "person"),
        ("Ana Lima", {"category_detailed": "FOOD_AND_DRINK_RESTAURANT"}, "merchant"),
        ("ACME PAYROLL PPD ID: 1", {}, "employer"),
        ("Acme", {"category_detailed": "INCOME_WAGES"}, "employer"),
        ("Acme", {"transaction_code": "SALA"}, "employer"),
        ("FENWICK LTD SALARY", {}, "employer"),  # whose shop is known
        ("SSA TREAS XXSOC SEC", {}, "state"),
        ("SVB Breda", {}, "state"),
        ("Sparkasse Ulmenau", {}, "bank"),
        ("Overdraft fee", {"category_detailed": "BANK_FEES_OVERDRAFT_FEES"}, "bank"),
        ("Online transfer to savings ...1234", {}, "own"),
        ("Internet Banking Transfer Withdrawal To Account 8812", {}, "own"),
        ("VENMO PAYMENT 1233467470", {}, None),
        ("NORTHWIND", {}, None),
    ],
)
def test_who_the_other_side_is(text: str, columns: dict[str, str], counterparty: str | None) -> None:
    assert read(text, **columns)["counterparty"] == counterparty


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("SPOTIFY P3E460", "subscription"),
        ("THAMES WATER", "bill"),
        ("LYFT *RIDE SUN", "gig"),
        ("EARNIN REPAYMENT", "cash_advance"),
        ("ROBINHOOD FUNDS", "brokerage"),
        ("Zelle from Ana Lima", "peer"),
        ("Tikkie van Sanne de Vries", "peer"),
        ("AFTERPAY", "instalments"),
        ("APPLE.COM/BILL", "shared_biller"),
        ("PAYPAL XXX-XXX-XXXX CA", "shared_biller"),
        ("PAYPAL *JOHNSGUITARS", None),
        ("STARBUCKS 0123", "habit"),
        (BLUE, None),
    ],
)
def test_what_the_known_payee_says_beyond_a_category(text: str, service: str | None) -> None:
    assert read(text)["service"] == service


def test_a_lender_that_pays_out_is_no_employer() -> None:
    found = read("FLAGSHIP CREDIT DES:DIRECT DEP ID:1 INDN:X CO ID:2 PPD")
    assert (found["counterparty"], found["service"]) == ("merchant", "bill")


def says(text: str, word_class: str) -> bool:
    return bool(read(text)["says"] & words.BITS[word_class])


def test_words_inside_a_known_brand_say_nothing() -> None:
    assert not says("RENT THE RUNWAY", "rent")
    assert says("RENT MAPLE COURT", "rent")
    assert says("ACME PAYROLL", "payroll")


def test_words_of_all_fields_count() -> None:
    table = pa.table({"merchant_name": ["Anna Schmidt"], "description_raw": ["Miete Mai"]})
    assert Reader()(table).to_pylist()[0]["says"] & words.BITS["rent"]


def test_what_the_population_shows_is_passed_on() -> None:
    found = read(BLUE, (), shown("blue door bakery", list_priced=True))
    assert (found["list_priced"], found["own_priced"]) == (True, False)
    assert read(BLUE)["list_priced"] is None


def test_a_code_s_mark_is_told() -> None:
    assert read("Acme", transaction_code="SALA")["mark"] == "payroll"
    assert read("Acme", transaction_code="no code")["mark"] is None
    assert read("To EUR", transaction_code="EXCHANGE")["category"] == "TRANSFER_SAVINGS"


def test_nothing_says_nothing() -> None:
    assert read(None) == dict.fromkeys(SCHEMA.names) | {"says": 0, "bare": True, "by_paypal": False}
    assert len(Reader()(pa.table({"merchant_name": pa.array([], pa.string())}))) == 0


def test_rows_come_back_in_their_order_and_a_reader_may_read_again() -> None:
    texts = ["NETFLIX", None, "Ana Lima", "NETFLIX", "CORNER CUP 1234567", "CORNER CUP 7654321"]
    reader, table = Reader(), pa.table({"merchant_name": texts})
    first = reader(table)
    assert first["name"].to_pylist() == ["netflix", None, "ana lima", "netflix", "corner cup", "corner cup"]
    assert first.equals(reader(table))
    assert first.schema == SCHEMA


@pytest.mark.parametrize(
    "text", ["LOOPDESK *PRO", "MSFT * E0300ABC", "QUILL PRESS 888-905-7888 CA", "QUILL 888-9057888 CA"]
)
def test_a_star_or_a_telephone_and_a_state_show_a_card(text: str) -> None:
    assert read(text)["says"] & words.BITS["card"]


@pytest.mark.parametrize("text", ["TRANSFER TO ****4411", "QUILL PRESS WEB ID: 1234567890", "AMEX *PAYMENT THANK YOU"])
def test_a_masked_number_shows_no_card(text: str) -> None:
    assert not read(text)["says"] & words.BITS["card"]


@pytest.mark.parametrize(
    ("text", "display", "counterparty"),
    [
        ("ZELLE PAYMENT TO KEVIN OKORO FOR RENT CONF# AB12CD34E", "Kevin Okoro", "person"),
        ("ZELLE TO OKORO KEVIN ON 06/01 REF # RP0ABCDEFG", "Okoro Kevin", "person"),
        ("REMITLY INC. 888-736-6786 WA", "Remitly", None),
        ("VIREMENT VERS LIVRET A", "Livret A", None),
        ("WWW TRF DDA - 4412", "WWW TRF Dda", None),
        ("ZELLE PAYMENT TO GREENFIELD RENTALS 8812", "Greenfield Rentals", "merchant"),
        ("ZELLE INSTANT PAYMENT", "Zelle", None),
        ("UPI-PRIYA SHARMA-PRIYA@OKICICI-ICIC0000001-612345678901-DINNER", "Priya Sharma", "person"),
        ("AMAZON PAYMENTS EUROPE S.C.A. D01-1234567-1234567 AMZNPrime DE ABDJ947DKEL9", "Amazon Prime", "merchant"),
    ],
)
def test_whom_a_text_names(text: str, display: str, counterparty: str | None) -> None:
    found = read(text)
    assert (found["display"], found["counterparty"]) == (display, counterparty)


def test_another_field_names_whom_a_peer_service_paid() -> None:
    for columns in ({"description_raw": "ZELLE PAYMENT TO JOHN SMITH 1234"}, {"counterparty_name": "John Smith"}):
        found = read("Zelle", **columns)
        assert (found["display"], found["counterparty"], found["service"]) == ("John Smith", "person", "peer")
    assert (
        read("Venmo", description_raw="VENMO PAYMENT 1029384 JOHN SMITH")["display"] == "Venmo"
    )  # whose account it is


def test_a_heading_of_pay_or_pension_leaves_a_pension_one() -> None:
    pension = read("Gutschrift Lohn/Gehalt/Rente Pensionskasse Ulm Pension 05/2026")["says"]
    wage = read("Gutschrift Lohn/Gehalt/Rente Nordwerk GmbH")["says"]
    assert pension & words.BITS["pension"]
    assert not pension & words.BITS["payroll"]
    assert wage & words.BITS["payroll"]


@pytest.mark.parametrize(
    ("text", "display", "shop"),
    [
        ("CIRCLE K SIP & SAVE SUBSCRIPTION 855-276-1947", "Circle K plan", "Circle K"),
        ("SQ *BLUE BOTTLE COFFEE SUBSCRIPTION", "Blue Bottle Coffee plan", "Blue Bottle Coffee"),
    ],
)
def test_what_a_shop_of_habits_sells_by_the_month_is_a_payee_of_its_own(text: str, display: str, shop: str) -> None:
    plan, other = read(text), read(text.split(" S")[0])
    assert (plan["display"], plan["service"], plan["category"]) == (display, None, None)
    assert (other["display"], other["service"]) == (shop, "habit")
    assert plan["says"] & words.BITS["subscription"]
    assert plan["name"] != other["name"]


def test_a_pass_for_trains_is_no_plan() -> None:
    assert read("BVG BERLINER VERKEHRSBETRIEBE MONATSABO")["display"] == "BVG"


def test_a_known_plan_goes_before_the_house_of_habits_that_sells_it() -> None:
    assert read("BVG BERLINER VERKEHRSBETRIEBE DEUTSCHLANDTICKET MREF+11")["display"] == "Deutschlandticket"
    assert read("LYFT *LYFT PINK LYFT.COM CA")["display"] == "Lyft Pink"


@pytest.mark.parametrize(
    ("merchant", "raw", "display"),
    [
        ("Apple", "APPLE.COM/BILL 866-712-7753 CA", "Apple"),
        ("Apple", "APPLE STORE #R123 COLUMBUS OH", "Apple Store"),
        ("Uber", "UBER *ONE MEMBERSHIP HELP.UBER.COM", "Uber One"),
        ("Uber", "UBER *TRIP HELP.UBER.COM", "Uber"),
        ("Hulu", "NETFLIX.COM", "Hulu"),
    ],
)
def test_of_two_texts_of_one_house_the_one_that_says_more_tells_what_was_bought(
    merchant: str, raw: str, display: str
) -> None:
    assert read(merchant, description_raw=raw)["display"] == display
