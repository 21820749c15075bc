"""Which payees a text may name: well-known ones of a plain category, and those at list price; no sensitive ones."""

import pytest

from spendsense_pipeline.recommendations.naming import is_well_known, known_payee, sayable


@pytest.mark.parametrize(
    "payee", ["Netflix", "netflix.com", "Planet Fitness", "AT&T", "GEICO", "Trader Joe's", "iCloud+", "Rocket Mortgage"]
)
def test_a_well_known_payee_of_a_plain_category_is_named(payee: str) -> None:
    assert sayable(payee)


@pytest.mark.parametrize(
    "payee",
    [
        "Riverbend Group",
        "Corner Gym",
        "Hollow Oak Apartments",
        "Maria Lopez",
        "Dr Amy Chen",
        "J Miller",
        "Acme Payroll",
    ],
)
def test_a_payee_that_few_know_is_not_named(payee: str) -> None:
    assert not sayable(payee)
    assert not sayable(payee, "GENERAL_SERVICES_OTHER_GENERAL_SERVICES")


@pytest.mark.parametrize("payee", ["Riverbend Group", "Corner Gym", "Stargazer Pro"])
def test_a_payee_at_list_price_is_named(payee: str) -> None:
    assert sayable(payee, listed=True)


@pytest.mark.parametrize(
    "payee",
    [
        *("Maria Lopez", "Ahmed Hassan", "Kevin Smith"),
        *(
            "You Must Pay",
            "Your Password Expired",
            "Call Now Support",
            "Gift Card Desk",
            "Buy Bitcoin",
            "Guaranteed Returns",
        ),
        *(
            "bit.ly/win",
            "free-cash.net",
            "P\u0430yPal",
            "Net\u200bflix",
            "Debes Pagar Tu Deuda",
            "Card 4111111111111111",
        ),
        *("http://x.example", "{{ as_of }}", "<b>Shop</b>", "", None, "x" * 60),
    ],
)
def test_a_list_price_names_no_person_and_no_message(payee: str | None) -> None:
    assert not sayable(payee, listed=True)


@pytest.mark.parametrize(
    "payee",
    [
        *("City Church", "Mercy Health", "CVS Pharmacy", "ActBlue", "BetterHelp", "Tinder Gold", "NY Health Plan"),
        *("DraftKings", "FanDuel", "Bet365", "Ladbrokes", "Paddy Power", "Tipico", "Grindr XTRA", "Parship", "CCBill"),
        *("Weedmaps", "Curaleaf", "Cerebral", "Hims", "Weight Watchers", "Apotheke am Markt", "CVS", "Nurx", "WW"),
        *("Betclic", "Lexa", "American Addiction Centers", "Priory Group", "UK Addiction Treatment", "Jellinek"),
        *("MSI Reproductive Choices", "Pro Familia", "Planning Familial", "Rutgers", "GGZ Nederland", "Mind charity"),
        *("Plan B", "Secours Catholique", "Paroisse Saint-Roch", "GroenLinks", "Die Grünen", "IG BAU", "Creditreform"),
        *("Église Réformée", "Glücksspiel Nord", "Flanderijn", "GGN Incasso", "Cash Converters", "CJIB"),
        *("Amtsgericht Mitte", "Tribunal Judiciaire", "Rechtbank Amsterdam"),
        *("Tithe.ly", "Pushpay", "Masjid Al Noor", "Kirchensteuer", "ActBlue", "WinRed", "NRA", "Labour Party"),
        *("SEIU Local 99", "Teamsters", "IG Metall", "JPay", "Clerk of Courts", "Midland Credit", "Lowell Financial"),
        *("PaddyPower", "Dhamma Vipassana", "Moms for Liberty", "Lowell Portfolio", "Terrence Higgins Trust", "GLAAD"),
        *("Stonewall Equality", "The Trevor Project", "Memorial Sloan Kettering", "MYFREECAMS", "NCO Financial"),
        *(
            "Cheaper Than Dirt Ammo",
            "Palmetto State Armory",
            "Doctolib",
            "PFLAG",
            "Boundless Immigration",
            "Caron Treatment",
        ),
        *("StepChange", "Child Support Svc", "EZ Pawn", "Advance America", "Sierra Club", "Dave", "Coinbase"),
    ],
)
def test_a_sensitive_payee_is_named_nowhere(payee: str) -> None:
    assert not sayable(payee)
    if not known_payee(payee):
        assert not sayable(payee, listed=True)


@pytest.mark.parametrize(
    ("payee", "category", "named"),
    [
        ("City Power", "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY", True),
        ("Stadtwerke Neuburg", "RENT_AND_UTILITIES_WATER", True),
        ("City Power", "GENERAL_MERCHANDISE_OTHER_GENERAL_MERCHANDISE", False),
        ("City Power", None, False),
        ("Harlan Oak", "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY", False),
        ("Maria Power", "RENT_AND_UTILITIES_RENT", False),
        ("Power Bill Overdue Call Now", "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY", False),
    ],
)
def test_a_utility_is_named_where_its_category_and_its_name_both_say_what_it_is(
    payee: str, category: str | None, named: bool
) -> None:
    assert sayable(payee, category) is named


def test_a_payee_of_a_sensitive_category_is_not_named_whatever_it_is_called() -> None:
    for category in (
        "MEDICAL_PRIMARY_CARE",
        "ENTERTAINMENT_CASINOS_AND_GAMBLING",
        "GOVERNMENT_AND_NON_PROFIT_DONATIONS",
        "LOAN_PAYMENTS_PERSONAL_LOAN_PAYMENT",
    ):
        assert not sayable("Amazon", category)
        assert not sayable("Riverbend Group", category, listed=True)
    assert sayable("Amazon", "GENERAL_MERCHANDISE_ONLINE_MARKETPLACES")


@pytest.mark.parametrize("payee", ["Venmo", "Sparkasse", "IRS", "Sezzle", "Fidelity"])
def test_the_table_knows_payees_that_are_of_no_plain_kind(payee: str) -> None:
    assert known_payee(payee) is not None
    assert not is_well_known(payee)
