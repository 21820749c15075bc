"""Words: whole words only, in five languages, from both sides."""

import re
import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendsense_pipeline.payees.vocabularies import categories
from spendsense_pipeline.payees.words import (
    BITS,
    CLASSES,
    LANGUAGES,
    plain,
    says,
    word_category,
)


def classes_said(text: str) -> set[str]:
    """The names of the classes that ``says`` answers in bits."""
    return {name for name in CLASSES if says(text) & BITS[name]}


FOLDER = files("spendsense_pipeline.payees") / "data" / "words"
KEYS = {*LANGUAGES, "whole", "patterns", "when", "not", "needs", "unless", "of"}


def read(name: str) -> dict:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def test_every_class_has_a_file_and_every_file_is_read() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.toml" for name in (*CLASSES, "masked", "categories")}
    assert len(set(CLASSES)) == len(CLASSES) < 63  # as bits of one signed 64-bit number


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_only_fields_that_are_read(name: str) -> None:
    entry = read(name)
    assert set(entry) <= KEYS
    for rule in ("needs", "unless", "of"):
        assert set(entry.get(rule, ())) <= set(CLASSES)
    assert ("patterns" in entry) <= ("when" in entry)
    for pattern in entry.get("patterns", ()):
        re.compile(pattern)


# Of the American clearing house, and of services that pay American wages.
ENGLISH_ONLY = ("prearranged", "deposited_pay")


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in ENGLISH_ONLY])
def test_a_class_speaks_every_language(name: str) -> None:
    assert set(LANGUAGES) <= set(read(name))


@pytest.mark.parametrize("name", [*CLASSES, "masked"])
def test_no_word_is_listed_twice_in_a_language(name: str) -> None:
    for key, words in read(name).items():
        if key != "patterns":
            spellings = [("*" if word.startswith("*") else "") + plain(word) for word in words]
            assert sorted(spellings) == sorted(set(spellings)), key
            assert all(spellings), key


def test_every_word_category_is_a_category_and_stands_once() -> None:
    listed = read("categories")
    names = [entry["name"] for entry in listed["category"]]
    assert set(listed["silenced_by"]) <= set(CLASSES)
    assert set(names) <= set(categories())
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", CLASSES)
def test_every_listed_word_says_its_class_unless_a_rule_of_the_class_speaks_against_it(name: str) -> None:
    entry = read(name)
    ruled = "needs" in entry or "unless" in entry
    for word in (word for language in LANGUAGES for word in entry.get(language, ())):
        text = ("be" if word.startswith("*") else "") + plain(word)
        if not ruled and not any(f" {plain(phrase)} " in f" {text} " for phrase in entry.get("not", ())):
            assert says(text) & BITS[name], word


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CAFÉ  Müller*Straße #12", "cafe muller strasse 12"),
        ("Œuvre d’Art", "oeuvre d art"),
        ("AT&T*BILL", "at t bill"),
        ("a_b-c.d", "a b c d"),
        ("", ""),
        ("***", ""),
    ],
)
def test_plain_text(text: str, expected: str) -> None:
    assert plain(text) == expected


@given(st.text())
def test_plain_text_is_plain_already(text: str) -> None:
    assert plain(plain(text)) == plain(text)


BOTH_SIDES = [
    # text, classes it says, classes it does not say
    ("MONTHLY SERVICE FEE", "fee service_fee", "penalty"),
    ("CORNER COFFEE", "habit", "fee"),
    ("OVERDRAFT FEE", "penalty", "service_fee"),
    ("OVERDRAFT TRANSFER", "transfer", "penalty fee"),
    ("LATE PAYMENT PENALTY", "penalty", ""),
    ("CHOCOLATE FEE", "fee", "penalty"),
    ("RETURN ITEM CHARGE", "penalty", "return"),
    ("PAST DUE CHG", "penalty", ""),
    ("Mahngebühr", "penalty fee", ""),
    ("MAHNGEBUEHR", "penalty fee", ""),
    ("COMMISSION D'INTERVENTION", "penalty fee", ""),
    ("Comisión por descubierto", "penalty fee", ""),
    ("Kosten aanmaning", "penalty fee", ""),
    ("FEE REVERSAL", "fee_reversal", "penalty"),
    ("REVERSAL OF OVERDRAFT FEE", "fee_reversal", ""),
    ("ANNUAL FEE", "service_fee", ""),
    ("PLANET FIT ANNUAL FEE", "fee", "service_fee"),
    ("Kontoführungsentgelt", "service_fee", "penalty"),
    ("FRAIS DE TENUE DE COMPTE", "service_fee", "penalty"),
    ("Bijdrage betaalpakket", "service_fee", ""),
    ("Comisión de mantenimiento", "service_fee", ""),
    ("ACH RETURN OAKVIEW APTS", "return", "fee"),
    ("IRS TAX RETURN PREP", "tax", "return"),
    ("Rücklastschrift Stadtwerke", "return", ""),
    ("RUECKLASTSCHRIFT STADTWERKE", "return", ""),
    ("REJET DE PRELEVEMENT EDF", "return", "fee"),
    ("Stornering incasso KPN", "return", ""),
    ("DEVOLUCION RECIBO ENDESA", "return", ""),
    ("CEDAR CARE PAYROLL", "payroll", "peer unearned"),
    ("FENWICK LTD SALARY", "payroll", ""),
    ("SALARYO LUNCH", "", "payroll"),
    ("LOHN/GEHALT 09/2025", "payroll employer_mark", ""),
    ("VIREMENT SALAIRE DUPONT SA", "payroll", ""),
    ("Salaris september", "payroll", ""),
    ("NÓMINA SEPTIEMBRE", "payroll", ""),
    ("LOON MOUNTAIN SKI", "", "payroll"),
    ("NORTHWIND MFG DES:PR PAYMENT PPD", "employer_mark prearranged", ""),
    ("AGRI TREAS 310 FED SAL", "employer_mark", "benefit"),
    ("SALAMI SHOP", "", "employer_mark"),
    ("GUSTO PAY", "deposited_pay", ""),
    ("WEIHNACHTSGELD", "bonus", ""),
    ("SSA TREAS 310 XXSOC SEC", "benefit unearned", "no_income payroll"),
    ("IRS TREAS 310 TAX REF", "no_income tax", "benefit"),
    ("Kindergeld Familienkasse", "benefit", ""),
    ("CAF DE PARIS", "benefit", ""),
    ("CAFE DE PARIS", "habit", "benefit"),
    ("KINDERBIJSLAG 1e KWART", "benefit", ""),
    ("DWP UC", "benefit", ""),
    ("PRESTACIÓN DESEMPLEO SEPE", "benefit", ""),
    ("Deutsche Rentenversicherung Rente", "pension", "interest"),
    ("AGIRC ARRCO", "pension", ""),
    ("SVB AOW", "pension", ""),
    ("PENSION CONTRIBUTION", "", "pension"),
    ("EMPOWER RETIREMENT CONTRIBUTION", "", "pension cash_advance"),
    ("EARNIN ADVANCE", "cash_advance", ""),
    ("DAVE INC", "cash_advance", ""),
    ("Dave Miller", "", "cash_advance"),
    ("ZELLE TO CLEO ROSS", "peer", "cash_advance"),
    ("CLEO AI SUBSCRIPTION", "cash_advance", ""),
    ("KLARNA*SHOES", "instalment bill", ""),
    ("AUTO LOAN PYMT", "loan bill", ""),
    ("STATEMENT CREDIT", "refund", "loan"),
    ("CRÉDIT IMMOBILIER", "loan", ""),
    ("TRANSFER TO SAVINGS", "own_account transfer", ""),
    ("EMIGRANT SAVINGS BANK", "", "own_account"),
    ("HOME DEPOT 1234", "", "own_account"),
    ("SPARPLAN ETF", "own_account", ""),
    ("VIREMENT VERS LIVRET A", "own_account transfer", ""),
    ("Naar spaarrekening", "own_account", ""),
    ("TRASPASO CUENTA AHORRO", "own_account transfer", ""),
    ("ISA TRANSFER", "own_account", ""),
    ("ISA LOPEZ", "", "own_account"),
    ("ONLINE TRANSFER FROM ROTH", "transfer", "own_account"),
    ("Überweisung", "credit_transfer", "transfer own_account"),
    ("CITI CARD ONLINE PAYMENT", "card_payment", ""),
    ("CREDIT CRD AUTOPAY", "card_payment", ""),
    ("CHASE CREDIT CRD EPAY", "card_payment", ""),
    ("PAYMENT THANK YOU", "card_payment", ""),
    ("CAPITAL ONE MOBILE PMT", "card_payment", "telecom"),
    ("CAPITAL ONE DES:MOBILE PMT ID:3ML INDN:DOE JANE CO ID:9279744380 CCD", "card_payment", "telecom"),
    ("CAPITAL ONE DD 4412", "card_payment", ""),
    ("CAPITAL ONE AUTO CARPAY", "", "card_payment"),
    ("CAPITAL ONE AUTO DES:PAYMENT", "", "card_payment"),
    ("CITI CARD LATE FEE PAYMENT", "penalty", "card_payment"),
    ("KREDITKARTENABRECHNUNG", "card_payment", ""),
    ("ATM WITHDRAWAL 12 MAIN", "cash_out", "cash_in"),
    ("ATM FEE", "service_fee", "cash_out"),
    ("ATM CASH DEPOSIT", "cash_in", "cash_out"),
    ("ATM 1234 MAIN ST DEPOSIT", "cash_in", "cash_out"),
    ("WITHDRAWAL", "cash_out", ""),
    ("WITHDRAWAL ACME", "", "cash_out"),
    ("DIRECT DEPOSIT", "deposited_pay", "cash_in"),
    ("Geldautomat Köln", "cash_out", ""),
    ("NWD-416021XXXXXX1234-00012345-PUNE", "cash_out", ""),
    ("OVERDRAFT PROTECTION TRANSFER", "own_account transfer", "penalty"),
    ("OVERDRAFT PROTECTION TRANSFER FEE", "penalty", "transfer"),
    ("POS RETURN 06/12 TAMPA FL", "refund", ""),
    ("AMB CHRG INCL GST", "service_fee", ""),
    ("INT.PD:01-04-2026 TO 30-06-2026", "interest", ""),
    ("HOME LOAN EMI 642211877", "loan bill", ""),
    ("EMI 642211877 CHQ S6422118773", "loan bill", ""),
    ("EMI TANAKA", "", "loan bill"),
    ("RETRAIT DAB", "cash_out", ""),
    ("Geldopname", "cash_out", ""),
    ("Reintegro cajero", "cash_out", ""),
    ("MOBILE DEPOSIT", "cash_in", "telecom"),
    ("MINT MOBILE", "telecom bill", ""),
    ("Dauerauftrag Miete", "rent standing_order bill", ""),
    ("Garagenmiete Oktober", "rent", ""),
    ("RENT THE RUNWAY", "", "rent bill"),
    ("Rent-A-Center 0123", "", "rent bill"),
    ("ENTERPRISE RENT-A-CAR", "", "rent bill"),
    ("RENT MAIN ST", "rent bill", ""),
    ("IAA INSURANCE AUTO AUCTIONS", "", "insurance bill"),
    ("WATER STREET COFFEE", "", "utility bill"),
    ("WATER DEPT", "utility", ""),
    ("POWER YOGA", "", "utility"),
    ("THE PHONE HOUSE", "", "telecom"),
    ("WAGE WORKS", "", "payroll"),
    ("WEEKLY WAGE", "payroll", ""),
    ("PRÊT A MANGER", "", "loan"),
    ("SCHOOL OF ROCK", "", "education"),
    ("KFZ-VERSICHERUNG", "insurance bill", ""),
    ("Kraftfahrtversicherung", "insurance", ""),
    ("APPLE.COM/BILL", "", "bill"),
    ("SPOTIFY PREMIUM", "subscription", "insurance"),
    ("INS PREMIUM", "insurance", "subscription"),
    ("PETRO PLUS 4421", "", "subscription"),
    ("Trailhead Membership", "subscription", ""),
    ("GIFT CARDS ONLINE", "", "gift"),
    ("Willow Creek HOA", "rent bill", "habit"),
    ("PEST CONTROL", "bill", "utility"),
    ("DISHONOUR FEE DIRECT DEBIT", "penalty", "return"),
    ("ACCOUNT KEEPING FEE", "service_fee", "penalty"),
    ("INTERNATIONAL SERVICE ASSESSMENT 1%", "service_fee", ""),
    ("INTERAC E-TRANSFER FEE", "service_fee", "transfer"),
    ("RENEWAL MEMBERSHIP FEE", "service_fee", ""),
    ("TRAILHEAD MEMBERSHIP FEE", "fee", "service_fee"),
    ("COTISATION OFFRE COMPTE A COMPOSER", "service_fee", "dues bill"),
    ("COTISATION CLUB DE TENNIS", "dues", "service_fee"),
    ("CANADA CCB/PTE", "benefit", ""),
    ("EI CANADA", "benefit", ""),
    ("GST/HST CREDIT CANADA FPT", "benefit", ""),
    ("CANADA RIT", "tax no_income", "benefit"),
    ("ECS RTN CHGS 080626-MIR2612345678", "penalty", "return"),
    ("TFR-TO C/C", "card_payment", ""),
    ("CIBC VISA PAYMENT", "card_payment", ""),
    ("VISA DEBIT PAYMENT TO TD BIKES", "", "card_payment"),
    ("SEND E-TFR ***aBc", "peer", ""),
    ("ABM WITHDRAWAL 1021 BLOOR", "cash_out", ""),
    ("CENTRELINK JOBSEEKER", "benefit", ""),
    ("STATE UNIV FIN AID REFUND", "unearned", "refund"),
    ("STATE UNIV TUITION REFUND", "refund", ""),
    ("NY529 DIRECT PLAN CONTRIB", "own_account", ""),
    ("KROGER 529", "", "own_account"),
    ("Apple Pay Top-Up by *4417", "own_account", ""),
    ("GIFFGAFF TOP UP", "", "own_account"),
    ("pot_0000AbCdEf", "own_account", ""),
    ("THE FLOWER POT", "", "own_account"),
    ("To pocket GBP Holiday from GBP", "own_account", ""),
    ("RENTA DEPTO JUNIO", "rent bill", ""),
    ("DECLARACION DE LA RENTA", "", "rent"),
    ("TOPCASHBACK USA INC PAYOUT", "no_income", ""),
]


@pytest.mark.parametrize(("text", "said", "unsaid"), BOTH_SIDES)
def test_what_a_text_says_and_what_it_does_not(text: str, said: str, unsaid: str) -> None:
    names = classes_said(plain(text))
    assert set(said.split()) <= names
    assert not set(unsaid.split()) & names


def test_a_word_inside_another_says_nothing() -> None:
    for text in (
        "coffee",
        "chocolate",
        "parentage",
        "waterloo",
        "feed",
        "currently",
        "atmosphere",
        "abode",
        "taxidermy",
    ):
        assert not classes_said(text) & {"fee", "penalty", "rent", "utility", "cash_out", "subscription", "tax"}, text


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_is_read(text: str) -> None:
    assert 0 <= says(plain(text)) < 1 << len(CLASSES)
    category = word_category(plain(text))
    assert category is None or category in categories()


IN_FIVE_LANGUAGES = {
    "RENT_AND_UTILITIES_RENT": "rent payment; Miete Oktober; Loyer octobre; Huur oktober; Alquiler piso",
    "LOAN_PAYMENTS_MORTGAGE_PAYMENT": "Mortgage; Baufinanzierung; Prêt immobilier; Hypotheek; Hipoteca",
    "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY": "Electric Co; Stromabschlag; EDF électricité; Stroom; Recibo luz",
    "RENT_AND_UTILITIES_WATER": "City Water Dept; Wasserwerke; Régie des eaux; Waterleiding; Canal de Isabel II",
    "RENT_AND_UTILITIES_INTERNET_AND_CABLE": "Broadband; Internet DSL; Box internet; Glasvezel; Fibra óptica",
    "RENT_AND_UTILITIES_TELEPHONE": "Wireless; Mobilfunk; Forfait mobile; Telefonie; Telefonía móvil",
    "GENERAL_SERVICES_INSURANCE": "Insurance Co; Haftpflicht; Assurance auto; Zorgverzekering; Seguro hogar",
    "PERSONAL_CARE_GYMS_AND_FITNESS_CENTERS": "Gym; Fitnessstudio; Salle de sport; Sportschool; Gimnasio",
    "GENERAL_SERVICES_EDUCATION": "School tuition; Musikschule; École Pasteur; Schoolgeld; Colegio",
    "GENERAL_SERVICES_CHILDCARE": "Kindergarten; Kita; Crèche; Kinderopvang; Guardería",
    "MEDICAL_PRIMARY_CARE": "Family Medicine; Hausarzt; Médecin; Huisarts; Centro médico",
    "MEDICAL_DENTAL_CARE": "Dentist; Zahnarzt; Cabinet dentaire; Tandarts; Clínica dental",
    "MEDICAL_PHARMACIES_AND_SUPPLEMENTS": "Pharmacy; Apotheke; Pharmacie; Apotheek; Farmacia",
    "FOOD_AND_DRINK_GROCERIES": "Supermarket; Lebensmittel; Épicerie; Levensmiddelen; Supermercado",
    "FOOD_AND_DRINK_RESTAURANT": "Restaurant; Gasthaus; Brasserie; Eetcafé; Mesón",
    "FOOD_AND_DRINK_COFFEE": "Coffee; Kaffeehaus; Salon de thé; Koffiehuis; Cafetería",
    "TRANSPORTATION_GAS": "Fuel; Tankstelle; Station service; Benzine; Gasolinera",
    "TRANSPORTATION_PARKING": "Parking; Parkhaus; Stationnement; Parkeergarage; Aparcamiento",
    "TRANSPORTATION_PUBLIC_TRANSIT": "Transit; Verkehrsbetriebe; SNCF; Openbaar vervoer; Renfe",
    "TRANSPORTATION_TAXIS_AND_RIDE_SHARES": "Taxi; Taxizentrale; Taxi Paris; Taxicentrale; Radio taxi",
    "TRAVEL_LODGING": "Hotel; Ferienwohnung; Hôtel; Vakantiepark; Hostal",
    "TRAVEL_FLIGHTS": "Airlines; Fluggesellschaft; Billet d'avion; Vliegticket; Aerolínea",
    "GOVERNMENT_AND_NON_PROFIT_TAX_PAYMENT": "Tax Collector; Finanzamt; Impôts; Belastingdienst; Agencia Tributaria",
    "GOVERNMENT_AND_NON_PROFIT_DONATIONS": "Donation; Spende; Paroisse; Donatie; Donativo",
    "LOAN_PAYMENTS_BNPL": "Afterpay; Ratenkauf; Paiement en 3 fois; Gespreid betalen; Pago aplazado",
}


@pytest.mark.parametrize("category", IN_FIVE_LANGUAGES)
def test_a_category_in_five_languages(category: str) -> None:
    texts = IN_FIVE_LANGUAGES[category].split("; ")
    assert len(texts) == len(LANGUAGES)
    assert {text: word_category(plain(text)) for text in texts} == dict.fromkeys(texts, category)


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("DENTAL INSURANCE PLAN", "GENERAL_SERVICES_INSURANCE"),
        ("MORTGAGE INSURANCE CO", "GENERAL_SERVICES_INSURANCE"),
        ("UNIVERSITY PARKING", "TRANSPORTATION_PARKING"),
        ("HOTEL PARKING", "TRANSPORTATION_PARKING"),
        ("GAS STATION COFFEE", "TRANSPORTATION_GAS"),
        ("STILL WATER GRILL", "FOOD_AND_DRINK_RESTAURANT"),
        ("INTERNET CAFE", "FOOD_AND_DRINK_COFFEE"),
        ("WATER BILL", "RENT_AND_UTILITIES_WATER"),
        ("SCHOOL CANTEEN", "FOOD_AND_DRINK_RESTAURANT"),
        ("Stadtwerke Parkhaus", "TRANSPORTATION_PARKING"),
        ("Stadtwerke Ulm", "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY"),
        ("Stadtbäckerei Schmidt", "FOOD_AND_DRINK_GROCERIES"),
        ("STADTBAECKEREI SCHMIDT", "FOOD_AND_DRINK_GROCERIES"),
        ("Willow Creek HOA", "RENT_AND_UTILITIES_OTHER_UTILITIES"),
        ("HAUSGELD WEG LINDENSTR", "RENT_AND_UTILITIES_OTHER_UTILITIES"),
        ("Wohnungsgenossenschaft Nord", "RENT_AND_UTILITIES_RENT"),
        ("STUDENT LOAN", "LOAN_PAYMENTS_STUDENT_LOAN_PAYMENT"),
        ("AUTO LOAN", "LOAN_PAYMENTS_CAR_PAYMENT"),
        ("PERSONAL LOAN", "LOAN_PAYMENTS"),
        ("BAR LA PLAZA", "FOOD_AND_DRINK_RESTAURANT"),
        ("POWER FITNESS STUDIO", "PERSONAL_CARE_GYMS_AND_FITNESS_CENTERS"),
        # Who pays in, cash and the bank's fees are no purchase, wherever they come from.
        ("CITY SCHOOL DISTRICT PAYROLL", None),
        ("BELASTINGDIENST ZORGTOESLAG", None),
        ("ATM WITHDRAWAL GRAND HOTEL", None),
        ("MONTHLY SERVICE FEE UNIVERSITY BRANCH", None),
        ("INTERNET TRANSFER 000000123456", None),
        # A misleading name says nothing, and neither do words of no kind.
        ("RENT THE RUNWAY", None),
        ("WATER STREET COFFEE", None),
        ("ACME STAFFING", None),
        ("J MCDONALD ROSS", None),
        ("DOORDASH", None),  # pays too: for the table of known payees
        ("", None),
    ],
)
def test_the_order_of_categories_is_deliberate(text: str, category: str | None) -> None:
    assert word_category(plain(text)) == category
