"""Who is paid and who pays: names, Plaid v2 categories and prices, as a person would meet them.

What does not belong here: who pays whom and when. None of these lists is read by detection, and none was
taken from it: the generator must not share the rules it is judged by.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from spendsense_pipeline.synthetic.rng import Ints


@dataclass(frozen=True)
class Payee:
    """One counterparty. ``prices`` are the plans on sale, in dollars, for those who sell at fixed prices."""

    name: str
    primary: str | None  # null where the bank has no word for it
    detailed: str | None
    channel: str
    known: bool = True  # has a stable entity id
    prices: tuple[float, ...] = ()


@dataclass(frozen=True)
class Habit:
    """A way of spending: how often against the others, between which amounts, where."""

    name: str
    weight: float
    low: float
    high: float
    scales: bool  # follows the budget; a coffee costs the rich the same
    card: bool  # may be paid by card
    payees: tuple[Payee, ...]
    menu: tuple[float, ...] = ()  # fixed prices instead of a range


def _several(names: str, primary: str, detailed: str, channel: str, *, known: bool = True) -> tuple[Payee, ...]:
    return tuple(Payee(name.strip(), primary, f"{primary}_{detailed}", channel, known) for name in names.split(";"))


def _service(name: str, primary: str, detailed: str, *prices: float) -> Payee:
    return Payee(name, primary, f"{primary}_{detailed}", "online", True, prices)


FUN, MERCHANDISE, SERVICES = "ENTERTAINMENT", "GENERAL_MERCHANDISE", "GENERAL_SERVICES"

GYMS = (
    _service("Ironside Fitness", "PERSONAL_CARE", "GYMS_AND_FITNESS_CENTERS", 29.99, 39.99, 54.0),
    _service("Harbor Yoga Club", "PERSONAL_CARE", "GYMS_AND_FITNESS_CENTERS", 45.0, 69.0),
    _service("Adobe Creative Cloud", SERVICES, "OTHER_GENERAL_SERVICES", 34.99, 59.99),
    _service("Peloton Membership", "PERSONAL_CARE", "GYMS_AND_FITNESS_CENTERS", 44.0),
)
SERVICES_MONTHLY = (
    _service("Netflix", FUN, "TV_AND_MOVIES", 7.99, 15.49, 22.99),
    _service("Spotify", FUN, "MUSIC_AND_AUDIO", 11.99, 16.99),
    _service("Hulu", FUN, "TV_AND_MOVIES", 9.99, 18.99),
    _service("Disney Plus", FUN, "TV_AND_MOVIES", 9.99, 15.99),
    _service("Max", FUN, "TV_AND_MOVIES", 9.99, 16.99),
    _service("YouTube Premium", FUN, "TV_AND_MOVIES", 13.99, 22.99),
    _service("Audible", FUN, "MUSIC_AND_AUDIO", 14.95),
    _service("PlayStation Network", FUN, "VIDEO_GAMES", 9.99, 17.99),
    _service("Xbox Game Pass", FUN, "VIDEO_GAMES", 11.99, 19.99),
    _service("Dropbox", SERVICES, "OTHER_GENERAL_SERVICES", 11.99),
    _service("Google One", SERVICES, "OTHER_GENERAL_SERVICES", 2.99, 9.99),
    _service("NordVPN", SERVICES, "OTHER_GENERAL_SERVICES", 12.99),
    _service("Duolingo", "GENERAL_SERVICES", "EDUCATION", 12.99),
    _service("New York Times", MERCHANDISE, "BOOKSTORES_AND_NEWSSTANDS", 17.0, 25.0),
    _service("The Lantern Magazine", MERCHANDISE, "BOOKSTORES_AND_NEWSSTANDS", 8.0),
    _service("Headspace", "PERSONAL_CARE", "OTHER_PERSONAL_CARE", 12.99),
    _service("Canva", SERVICES, "OTHER_GENERAL_SERVICES", 14.99),
    _service("Brightbox Toys", MERCHANDISE, "OTHER_GENERAL_MERCHANDISE", 24.0),
    _service("Notion", SERVICES, "OTHER_GENERAL_SERVICES", 10.0, 18.0),
    _service("ChatGPT Plus", SERVICES, "OTHER_GENERAL_SERVICES", 20.0),
)
SERVICES_WEEKLY = (
    _service("Morning Ledger", MERCHANDISE, "BOOKSTORES_AND_NEWSSTANDS", 3.5, 5.0),
    _service("Tempo Workouts", "PERSONAL_CARE", "GYMS_AND_FITNESS_CENTERS", 7.99),
)
SERVICES_QUARTERLY = (
    _service("Fernwood Pest Control", SERVICES, "OTHER_GENERAL_SERVICES", 95.0, 119.0),
    _service("Razor & Comb Club", "PERSONAL_CARE", "OTHER_PERSONAL_CARE", 36.0, 48.0),
)
SERVICES_ANNUAL = (
    _service("Amazon Prime", MERCHANDISE, "ONLINE_MARKETPLACES", 139.0),
    _service("Namesmith Domains", SERVICES, "OTHER_GENERAL_SERVICES", 21.99, 48.0),
    _service("Roadside Auto Club", SERVICES, "AUTOMOTIVE", 64.0, 99.0),
)

LANDLORDS = _several(
    "Oakview Apartments;Maple Court Residences;Harlow Property Management;Riverbend Lofts;Cedar Park Homes;"
    "Juniper Street Apartments;Lakeside Rentals;Stonegate Living;Orchard Hill Apartments;Beacon Row Homes",
    "RENT_AND_UTILITIES", "RENT", "other", known=False,
)  # fmt: skip
MORTGAGES = _several(
    "Keystone Home Loans;Blue Ridge Mortgage;Granite Home Lending", "LOAN_PAYMENTS", "MORTGAGE_PAYMENT", "other"
)
POWER = _several(
    "Tri-County Electric;Pacific Light and Power;Prairie Energy;Metro Gas and Electric;Summit Power",
    "RENT_AND_UTILITIES", "GAS_AND_ELECTRICITY", "other",
)  # fmt: skip
INTERNET = _several(
    "Comcast Xfinity;Spectrum;Skyline Fiber;Cox Communications", "RENT_AND_UTILITIES", "INTERNET_AND_CABLE",
    "online",
)  # fmt: skip
PHONE = _several(
    "Verizon Wireless;T-Mobile;Mint Mobile;Northstar Wireless", "RENT_AND_UTILITIES", "TELEPHONE", "online"
)
WATER = _several("City Water Works;Valley Water District", "RENT_AND_UTILITIES", "WATER", "other")
INSURERS = _several(
    "Geico;Progressive Insurance;Homestead Mutual;State Farm", "GENERAL_SERVICES", "INSURANCE", "online"
)
CAR_LENDERS = _several("Autobahn Finance;Ally Auto;Wheelhouse Credit", "LOAN_PAYMENTS", "CAR_PAYMENT", "other")
HEALTH = _several(
    "Evergreen Health Plan;Unity Health Insurance;Blue Harbor Health", "GENERAL_SERVICES", "INSURANCE", "other"
)
STUDENT_LENDERS = _several("Nelnet;Aidvantage;Campus Loan Servicing", "LOAN_PAYMENTS", "STUDENT_LOAN_PAYMENT", "online")

EMPLOYERS = _several(
    ";".join(
        f"{first} {second}"
        for second in ("Logistics", "Medical Group", "Software", "Foods", "School District")
        for first in (
            "Ashford", "Bellwether", "Crestline", "Dunmore", "Everhart", "Fairmont", "Glenwood", "Hollis",
            "Kingsway", "Larkspur",
        )
    ),
    "INCOME", "WAGES", "other",
)  # fmt: skip
CLIENTS = _several(
    "Studio Marlow;Pinecrest Productions;Hatch and Field Agency;Copperline Design;Bluebird Events;Vantage Media;"
    "Tandem Creative;Rowan Publishing",
    "INCOME", "WAGES", "other",
)  # fmt: skip
PLATFORMS = _several("Upwork;DoorDash Driver;Uber Driver;TaskRabbit;Rover Pay", "INCOME", "GIG_ECONOMY", "other")

HABITS = (
    Habit("groceries", 6.0, 18, 110, True, True, _several(
        "Whole Foods Market;Trader Joe's;Kroger;Safeway;Aldi;Green Basket Market;Corner Pantry;Fresh Fields",
        "FOOD_AND_DRINK", "GROCERIES", "in store")),
    Habit("coffee", 4.0, 3, 9, False, True, _several(
        "Starbucks;Blue Door Coffee;Dunkin;Third Rail Espresso;Kettle and Crumb",
        "FOOD_AND_DRINK", "COFFEE", "in store"), menu=(3.75, 4.95, 5.45, 6.25, 8.9)),
    Habit("restaurants", 3.5, 14, 70, True, True, _several(
        "Luigi's Trattoria;Lotus Garden;The Brass Fork;Taqueria del Sol;Smokehouse 41;Saffron Table",
        "FOOD_AND_DRINK", "RESTAURANT", "in store")),
    Habit("fast food", 3.0, 7, 19, False, True, _several(
        "Chipotle;McDonald's;Burger Barn;Panda Express;Subway", "FOOD_AND_DRINK", "FAST_FOOD", "in store")),
    Habit("fuel", 2.5, 28, 58, False, True, _several(
        "Shell;Chevron;Exxon;QuickStop Fuel;Costco Gas", "TRANSPORTATION", "GAS", "in store")),
    Habit("rides", 1.5, 8, 34, False, True, _several(
        "Uber;Lyft;City Cab", "TRANSPORTATION", "TAXIS_AND_RIDE_SHARES", "online")),
    Habit("marketplace", 2.5, 12, 95, True, True, _several(
        "Amazon;eBay;Etsy", "GENERAL_MERCHANDISE", "ONLINE_MARKETPLACES", "online")),
    Habit("stores", 2.0, 15, 120, True, True, _several(
        "Target;Walmart;Marlowe Department Store;Home Depot;Ridge Outfitters",
        "GENERAL_MERCHANDISE", "SUPERSTORES", "in store")),
    Habit("pharmacy", 1.2, 6, 42, False, True, _several(
        "CVS Pharmacy;Walgreens;Parkside Drugs", "MEDICAL", "PHARMACIES_AND_SUPPLEMENTS", "in store")),
    Habit("outings", 1.0, 12, 60, True, True, _several(
        "AMC Theatres;Lanes Bowling;Ticketmaster;City Museum",
        "ENTERTAINMENT", "SPORTING_EVENTS_AMUSEMENT_PARKS_AND_MUSEUMS", "in store")),
    Habit("larger things", 0.9, 120, 520, False, False, _several(
        "IKEA;Best Buy;Harborview Furniture;Bright Home Appliances",
        "GENERAL_MERCHANDISE", "OTHER_GENERAL_MERCHANDISE", "in store")),
    Habit("friends", 0.7, 10, 60, False, False, _several(
        "Venmo", "TRANSFER_OUT", "ACCOUNT_TRANSFER", "other")),
    Habit("cash", 0.8, 20, 100, False, False, _several(
        "ATM Withdrawal", "TRANSFER_OUT", "WITHDRAWAL", "other", known=False), menu=(20, 40, 60, 80, 100)),
)  # fmt: skip

CARD_PAYMENT = Payee("Card Payment", "LOAN_PAYMENTS", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT", "other", False)
TO_SAVINGS = Payee("Transfer to Savings", "TRANSFER_OUT", "TRANSFER_OUT_SAVINGS", "other", False)
FROM_CHECKING = Payee("Transfer from Checking", "TRANSFER_IN", "TRANSFER_IN_SAVINGS", "other", False)
TO_BROKER = Payee("Meridian Brokerage", "TRANSFER_OUT", "TRANSFER_OUT_INVESTMENT_AND_RETIREMENT_FUNDS", "other", False)
INVESTED = Payee("Funds Received", "TRANSFER_IN", "TRANSFER_IN_INVESTMENT_AND_RETIREMENT_FUNDS", "other", False)
INTEREST_EARNED = Payee("Interest Earned", "INCOME", "INCOME_INTEREST_EARNED", "other", False)
INTEREST_CHARGED = Payee("Interest Charge on Purchases", "BANK_FEES", "BANK_FEES_INTEREST_CHARGE", "other", False)
OVERDRAFT = Payee("Overdraft Fee", "BANK_FEES", "BANK_FEES_OVERDRAFT_FEES", "other", False)
LATE = Payee("Late Payment Fee", "BANK_FEES", "BANK_FEES_OTHER_BANK_FEES", "other", False)

# ---------------------------------------------------------------- only in the hard setting

APPLE = Payee("Apple.com/Bill", FUN, f"{FUN}_OTHER_ENTERTAINMENT", "online", True, (2.99, 10.99))
PRIME = Payee("Amazon Prime", MERCHANDISE, f"{MERCHANDISE}_ONLINE_MARKETPLACES", "online", True, (14.99,))
MERGED = _several(
    "Ashford Dunmore Holdings;Crestline Everhart Group;Hollis Kingsway Partners;Larkspur Fairmont Health",
    "INCOME", "WAGES", "other",
)  # fmt: skip
SECOND_EMPLOYERS = _several(
    "Night Owl Security;Quayside Catering;Maple Tutoring Center;Hillside Garden Works", "INCOME", "WAGES", "other"
)
ROOMMATES = _several(
    "Zelle to Jordan Lee;Zelle to Sam Ortiz;Zelle to Robin Park", "TRANSFER_OUT", "ACCOUNT_TRANSFER", "other",
    known=False,
)  # fmt: skip
BARBERS = _several("Corner Barber;Salon Lumiere;Sharp Cuts", "PERSONAL_CARE", "HAIR_AND_BEAUTY", "in store")
CLINICS = _several("Parkview Clinic;Dr Amara Osei;Northgate Dental", "MEDICAL", "PRIMARY_CARE", "in store")
CAR_WASHES = _several("Sudsy Car Wash;Blue Wave Auto Spa", "GENERAL_SERVICES", "AUTOMOTIVE", "in store")
TRANSIT = _several("Metro Transit Pass;Regional Rail", "TRANSPORTATION", "PUBLIC_TRANSIT", "online")
PARKING = _several("Civic Center Garage;Park and Go", "TRANSPORTATION", "PARKING", "in store")
CANTEENS = _several("Noon Canteen;Bento Corner", "FOOD_AND_DRINK", "FAST_FOOD", "in store")
EXPENSES = Payee("Concur Expense Reimbursement", None, None, "other", False)
TAX_OFFICE = Payee("IRS TREAS 310 TAX REF", "INCOME", "INCOME_TAX_REFUND", "other", False)
FRIEND_PAYS = Payee("Venmo", "TRANSFER_IN", "TRANSFER_IN_ACCOUNT_TRANSFER", "other")
UNNAMED_OUT = Payee("Online Transfer to SAV ...4821", None, None, "other", False)
UNNAMED_IN = Payee("Online Transfer from CHK ...0917", None, None, "other", False)

ALL: tuple[Payee, ...] = (
    *GYMS, *SERVICES_MONTHLY, *SERVICES_WEEKLY, *SERVICES_QUARTERLY, *SERVICES_ANNUAL,
    *LANDLORDS, *MORTGAGES, *POWER, *INTERNET, *PHONE, *WATER, *INSURERS, *CAR_LENDERS, *HEALTH, *STUDENT_LENDERS,
    *EMPLOYERS, *CLIENTS, *PLATFORMS, *(payee for habit in HABITS for payee in habit.payees),
    CARD_PAYMENT, TO_SAVINGS, FROM_CHECKING, TO_BROKER, INVESTED,
    INTEREST_EARNED, INTEREST_CHARGED, OVERDRAFT, LATE,
    APPLE, PRIME, *MERGED, *SECOND_EMPLOYERS, *ROOMMATES, *BARBERS, *CLINICS, *CAR_WASHES, *TRANSIT, *PARKING,
    *CANTEENS, EXPENSES, TAX_OFFICE, FRIEND_PAYS, UNNAMED_OUT, UNNAMED_IN,
)  # fmt: skip
ROUTINES: dict[str, tuple[Payee, ...]] = {
    **{habit.name: habit.payees for habit in HABITS if habit.name not in ("friends", "cash", "marketplace")},
    "transit": TRANSIT,
    "parking": PARKING,
    "lunch": CANTEENS,
    "haircuts": BARBERS,
    "copays": CLINICS,
    "car washes": CAR_WASHES,
}
"""Where people spend from habit and sign up for nothing; at the marketplace there is also Prime."""

_CODES = {payee: code for code, payee in enumerate(ALL)}


def codes(payees: tuple[Payee, ...]) -> Ints:
    """Positions in ``ALL``, by which rows name their payee."""
    return np.array([_CODES[payee] for payee in payees], dtype=np.int64)


def code(payee: Payee) -> int:
    """Position in ``ALL``."""
    return _CODES[payee]


def _digits(text: str, count: int) -> str:
    return str(int(hashlib.blake2b(text.encode(), digest_size=8).hexdigest(), 16))[-count:]


def entity_id(payee: Payee) -> str | None:
    """The payee's stable id, as an aggregator would give it; null for the unknown."""
    seller = "Amazon" if payee is PRIME else payee.name  # the marketplace's id, whatever was bought there
    return f"ent_{hashlib.blake2b(seller.encode(), digest_size=8).hexdigest()}" if payee.known else None


SPELLINGS = 8


def spellings(payee: Payee) -> list[str]:
    """Names as statements show them, the clean one first: store numbers, processors, references, cities."""
    shouted = payee.name.upper()
    store, reference = _digits(payee.name, 4), _digits(payee.name + "/ref", 6)
    if payee.channel == "in store":
        forms = [
            f"{shouted} #{store}",
            f"SQ *{shouted}",
            f"{shouted} {store}",
            f"POS {shouted}",
            f"PURCHASE AUTHORIZED ON 03/12 {shouted} S{reference}{store} CARD {store}",
            f"{shouted} OAKLAND CA",
        ]
    elif payee.channel == "online":
        forms = [
            f"PAYPAL *{shouted}",
            f"{shouted} {reference}",
            f"{shouted} *{reference[::-1]}",
            f"{shouted} 866-555-0{store[:3]}",
            f"RECURRING PAYMENT AUTHORIZED ON 03/12 {shouted} S{reference}{store} CARD {store}",
            f"{shouted} SAN FRANCISCO CA",
        ]
    elif payee.primary == "INCOME" and payee.known:
        forms = [
            f"{shouted} PAYROLL",
            f"{shouted} DIR DEP",
            f"{shouted} PPD {reference}",
            payee.name,
            f"{shouted} DES:PAYROLL ID:{reference} INDN:CUSTOMER",
            f"ACH CREDIT {shouted}",
        ]
    else:
        forms = [shouted, payee.name, shouted, payee.name, shouted, payee.name]
    return [payee.name, shouted, *forms]
