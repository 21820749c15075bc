"""Words, categories and thresholds of the first edition's definitions, for ``in_pandas.py``: constants only.

They do not change with the package's own (``features/data/``), so that the contender stays what was measured.
"""

from typing import NamedTuple

MONTH = 31  # days in every month of the ruler of months
MOST_MOVED = 3  # days from 28 to 31, by which a date may be moved to the end of its month


class Calendar(NamedTuple):
    """One cadence; lengths in days of its ruler."""

    name: str
    cadence: str
    of_months: bool
    period: float
    tolerance: int
    reach: int
    monthly_factor: float
    least_hits: int
    missable: int
    consecutive: int


CALENDARS = (
    Calendar("monthly", "monthly", True, MONTH, 3, 6, 1.0, 2, 1, 3),
    Calendar("weekly", "weekly", False, 7, 1, 2, 30 / 7, 2, 1, 3),
    Calendar("biweekly", "biweekly", False, 14, 1, 2, 30 / 14, 2, 1, 3),
    Calendar("semi_monthly", "semi_monthly", True, MONTH / 2, 3, 3, 2.0, 4, 1, 3),
    Calendar("four_weekly", "monthly", False, 28, 1, 2, 1.0, 2, 1, 3),
    Calendar("quarterly", "quarterly", True, 3 * MONTH, 5, 10, 1 / 3, 2, 1, 3),
    Calendar("annual", "annual", True, 12 * MONTH, 10, 20, 1 / 12, 2, 0, 2),
)

# class: (telling types, subtypes). Flat spellings and Plaid's (plaid.com/docs/api/accounts, account type
# schema). `depository` tells nothing, so its subtype decides; a telling type beats whatever its subtype says.
ACCOUNT_CLASSES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "checking": (
        ("checking", "current", "prepaid", "paypal"),
        ("checking", "current", "prepaid", "paypal", "ebt"),
    ),
    "savings": (
        ("savings", "high yield savings", "money market", "cash management", "cd", "hsa"),
        (
            *("savings", "high yield savings", "high yield", "hysa", "money market", "cash management"),
            *("cd", "certificate of deposit", "hsa", "health savings"),
        ),
    ),
    "credit_card": (
        ("credit", "credit card", "charge card"),
        ("credit card", "charge card"),
    ),
    "investment": (
        ("investment", "brokerage", "retirement"),
        (
            *("brokerage", "non taxable brokerage account", "401a", "401k", "403b", "457b", "529", "ira"),
            *("roth", "roth ira", "roth 401k", "roth 403b", "sep ira", "simple ira", "keogh", "pension"),
            *("retirement", "profit sharing plan", "thrift savings plan", "mutual fund", "stock plan"),
            *("crypto exchange", "non custodial wallet", "trust", "ugma", "utma", "education savings account"),
            *("fixed annuity", "variable annuity", "other annuity", "life insurance", "rrsp", "rrif", "tfsa"),
            *("isa", "cash isa", "sipp", "lif", "lira", "lrif", "lrsp", "prif", "qshr", "rdsp", "resp", "rlif"),
        ),
    ),
    "loan": (
        ("loan", "mortgage", "student loan", "auto loan", "personal loan", "line of credit"),
        (
            *("loan", "mortgage", "student", "student loan", "auto", "auto loan", "personal", "personal loan"),
            *("home equity", "home equity line of credit", "line of credit", "construction", "consumer"),
            *("commercial", "business", "business loan", "overdraft"),
        ),
    ),
}
CURRENCY_FACTORS: dict[str, float] = {
    "USD": 1.0,
    "EUR": 0.85,
    "GBP": 0.73,
    "CHF": 0.80,
    "CAD": 1.36,
    "AUD": 1.53,
    "NZD": 1.65,
    "JPY": 144.0,
    "CZK": 21.0,
    "PLN": 3.6,
    "HUF": 341.0,
    "DKK": 6.4,
    "SEK": 9.5,
    "NOK": 10.1,
    "MXN": 18.8,
    "BRL": 5.5,
    "INR": 85.7,
}

CANDIDATES = ["other_out", "other_in", "paycheck"]  # kinds of rows that may be hits
REFUND_DAYS = 60  # "it cancels the latest equal charge of that payee within 60 days"
SAME_PRICE = 103  # percent; "fixed price: to the cent, or within 3 %"
VARIATION = 3  # "bills may vary (a third to three times)"; income, and the step from an introductory price: ours
LEAST_VARYING = 3  # hits, where no price is charged twice to the cent and vouches for the line; ours
LEAST_VARYING_INCOME = 4  # irregular pay meets a calendar three times by chance; ours
LEAST_VARYING_TRANSFERS = 6  # payments to people meet on a day for a while; a standing one lasts; ours
# "Food, transport, travel and the like are never subscriptions"; "fees are never streams". A visit, to a doctor or a
# salon, is of their kind: it costs the same each time, and nobody comes unless somebody goes.
NEVER = ["FOOD_AND_DRINK", "TRANSPORTATION", "TRAVEL", "BANK_FEES"]
NEVER_DETAILED = [
    *("MEDICAL_DENTAL_CARE", "MEDICAL_EYE_CARE", "MEDICAL_NURSING_CARE", "MEDICAL_PRIMARY_CARE"),
    *("MEDICAL_VETERINARY_SERVICES", "PERSONAL_CARE_HAIR_AND_BEAUTY"),
]
NEVER_WORDS = (
    *("coffee", "cafe", "espresso", "restaurant", "pizza", "grocery", "groceries", "supermarket", "bakery"),
    *("fuel", "gas station", "gasoline", "parking", "taxi", "airlines", "airways", "hotel"),
    *("dental", "dentist", "clinic", "barber", "salon", "veterinary"),
)
# "bill (utilities, rent, insurance, telecom, loan, standing payment)"
BILLS = ["RENT_AND_UTILITIES", "LOAN_PAYMENTS", "TRANSFER_OUT"]
BILLS_DETAILED = ["GENERAL_SERVICES_INSURANCE"]
BILL_WORDS = (
    *("rent", "mortgage", "loan", "insurance", "electric", "electricity", "energy", "power", "water", "sewer"),
    *("utility", "utilities", "internet", "broadband", "telecom", "wireless", "mobile", "phone"),
)
# "Interest, tax refunds and dividends are no income streams"; money that is lent is not earned either.
NO_INCOME = [
    *("INCOME_INTEREST_EARNED", "INCOME_DIVIDENDS", "INCOME_TAX_REFUND"),
    "TRANSFER_IN_CASH_ADVANCES_AND_LOANS",
]
NO_INCOME_WORDS = ("interest", "intrst", "dividend", "dividends", "tax", "irs", "treas")
# How a segment is gathered from the rows of a payee.
ONE_PRICE, NEAR_PRICES, ALL_PRICES, REPEATED_PRICES = range(4)
ONCE = 0  # the number of the segment of prices charged once

FEE_DAYS = 180  # fees_180d, whatever the window
MINIMUM_PAYMENT_SLACK = 5.00  # US dollars above the minimum that still count as paying only the minimum
UTILIZATION_FLAGS = {"utilization_30_flag": 0.30, "utilization_50_flag": 0.50, "utilization_80_flag": 0.80}

EVIDENCE_DAYS = 180  # pay is judged on at least so many days, however short the window
ON_ONE_CALENDAR = 0.75  # share of the paydays that must lie on a calendar for it to be theirs
# Days from one payday to the next.
PERIODS = {"weekly": 7.0, "biweekly": 14.0, "semi_monthly": 365.25 / 24, "monthly": 365.25 / 12}
HALF_MONTH = 31  # half days between two paydays a month, on the month ruler of ``cadence``

KINDS = (
    "card_payment",
    "own_transfer",
    "cash_withdrawal",
    "cash_deposit",
    "refund",
    "fee",
    "interest_charged",
    "interest_earned",
    "paycheck",
    "other_in",
    "other_out",
)
LEG_DAYS = 3  # between the two legs of a transfer: a weekend, or a slow clearing
PAYROLL = ("payroll", "salary", "wage", "wages", "paycheck", "paycheque")
# What a bank prints on any electronic credit, benefits included: payroll unless something speaks against it.
DEPOSITED_PAY = ("direct dep", "direct deposit", "dir dep", "adp", "paychex", "gusto")
GIG = (
    *("uber", "lyft", "doordash", "dasher", "instacart", "grubhub", "postmates", "shipt", "taskrabbit"),
    *("upwork", "fiverr", "amazon flex", "payout", "payouts"),
)
PEER = (
    *("venmo", "zelle", "cash app", "cashapp", "paypal", "popmoney", "apple cash", "square cash", "interac"),
    *("e transfer", "wise", "xoom", "western union", "moneygram", "remitly"),
)
INTEREST = ("interest", "intrst", "finance charge", "finance charges")
REFUND = (
    *("refund", "refunds", "refunded", "refnd", "rfnd", "rfd", "reversal", "reversed", "rvsl", "chargeback"),
    *("returned purchase", "purchase return", "merchandise return", "credit adjustment", "statement credit"),
)
UNEARNED = (
    *("pension", "annuity", "social security", "soc sec", "xxsoc sec", "ssa", "ssi", "unemployment"),
    *("uemploymen", "dol ui", "benefit", "benefits", "benef", "xxva benef", "child support", "alimony"),
    *("disability", "tax", "irs", "expense", "expenses", "reimbursement", "dividend", "dividends"),
    *("insurance", "claim", "lottery", "loan", "cash advance", "gift"),
)
FEE_CAUSE = (*("overdraft", "od", "nsf", "insufficient funds", "courtesy pay", "returned item", "late"),)
FEE = ("fee", "fees", "charge", "charges", "penalty", "penalties")
ISSUERS = (
    "(amex|american express|discover|capital one|credit one|credit one bank|barclaycard|citi|chase|synchrony|"
    "mastercard)"
)
PAYMENT = "(payment|payments|pmt|pymt|pymnt|autopay|auto pay|epay|epayment|e payment|bill pay|crcardpmt)"
CARD_PAYMENT = (
    f"credit (card|crd|cd)( [a-z0-9]+)* {PAYMENT}",
    "(card|cardmember) (payment thank|serv|services)",
    f"{PAYMENT} thank( you)?",
    f"{PAYMENT} to (credit )?card",
    f"{ISSUERS}( card| crd| des ach| ach| online| mobile| credit)* {PAYMENT}",
)
TRANSFER = (
    *("transfer", "transfers", "xfer", "xfr", "trnsfr", "trsf", "tfr"),
    *("to savings", "from savings", "to checking", "from checking", "round up"),
)
CASH_OUT = (
    "atm",
    "cash withdrawal",
    "cash ewithdrawal",
    "cash wd",
    "counter withdrawal",
    "branch withdrawal",
    "teller withdrawal",
)
CASH_IN = ("cash deposit", "check deposit", "counter deposit", "mobile deposit", "atm( [^ ]+)* deposit")
# Flat names, as exports and hand-made files have them, in Plaid's words (plaid.com/documents: personal finance
# category taxonomy, first version; the second renamed WAGES to SALARY and split a few groups, see SAME).
FLAT: dict[str, str] = {
    "PAYROLL": "INCOME_WAGES",
    "SALARY": "INCOME_WAGES",
    "WAGES": "INCOME_WAGES",
    "PAYCHECK": "INCOME_WAGES",
    "DIRECT_DEPOSIT": "INCOME_WAGES",
    "GIG_INCOME": "INCOME_GIG_ECONOMY",
    "GIG_ECONOMY": "INCOME_GIG_ECONOMY",
    "FREELANCE": "INCOME_GIG_ECONOMY",
    "FREELANCE_INCOME": "INCOME_GIG_ECONOMY",
    "INTEREST_EARNED": "INCOME_INTEREST_EARNED",
    "INTEREST_INCOME": "INCOME_INTEREST_EARNED",
    "DIVIDENDS": "INCOME_DIVIDENDS",
    "TAX_REFUND": "INCOME_TAX_REFUND",
    "PENSION": "INCOME_RETIREMENT_PENSION",
    "UNEMPLOYMENT": "INCOME_UNEMPLOYMENT",
    "SAVINGS": "TRANSFER_SAVINGS",
    "SAVINGS_DEPOSIT": "TRANSFER_SAVINGS",
    "SAVINGS_WITHDRAWAL": "TRANSFER_SAVINGS",
    "SAVINGS_TRANSFER": "TRANSFER_SAVINGS",
    "INVESTMENT": "TRANSFER_INVESTMENT_AND_RETIREMENT_FUNDS",
    "INVESTMENT_TRANSFER": "TRANSFER_INVESTMENT_AND_RETIREMENT_FUNDS",
    "CASH_WITHDRAWAL": "TRANSFER_OUT_WITHDRAWAL",
    "ATM_WITHDRAWAL": "TRANSFER_OUT_WITHDRAWAL",
    "ATM": "TRANSFER_OUT_WITHDRAWAL",
    "CASH_DEPOSIT": "TRANSFER_IN_DEPOSIT",
    "CREDIT_CARD_PAYMENT": "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT",
    "CARD_PAYMENT": "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT",
    "LOAN_PAYMENT": "LOAN_PAYMENTS",
    "LOAN": "LOAN_PAYMENTS",
    "MORTGAGE": "LOAN_PAYMENTS_MORTGAGE_PAYMENT",
    "MORTGAGE_PAYMENT": "LOAN_PAYMENTS_MORTGAGE_PAYMENT",
    "STUDENT_LOAN": "LOAN_PAYMENTS_STUDENT_LOAN_PAYMENT",
    "AUTO_LOAN": "LOAN_PAYMENTS_CAR_PAYMENT",
    "INTEREST_CHARGE": "BANK_FEES_INTEREST_CHARGE",
    "INTEREST_CHARGED": "BANK_FEES_INTEREST_CHARGE",
    "FINANCE_CHARGE": "BANK_FEES_INTEREST_CHARGE",
    "OVERDRAFT": "BANK_FEES_OVERDRAFT_FEES",
    "OVERDRAFT_FEE": "BANK_FEES_OVERDRAFT_FEES",
    "NSF_FEE": "BANK_FEES_INSUFFICIENT_FUNDS",
    "LATE_FEE": "BANK_FEES_LATE_FEES",
    "LATE_FEES": "BANK_FEES_LATE_FEES",
    "FEE": "BANK_FEES",
    "FEES": "BANK_FEES",
    "BANK_FEE": "BANK_FEES",
    "ATM_FEE": "BANK_FEES_ATM_FEES",
    "RENT": "RENT_AND_UTILITIES_RENT",
    "UTILITIES": "RENT_AND_UTILITIES_OTHER_UTILITIES",
    "UTILITY": "RENT_AND_UTILITIES_OTHER_UTILITIES",
    "ELECTRICITY": "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY",
    "WATER": "RENT_AND_UTILITIES_WATER",
    "INTERNET": "RENT_AND_UTILITIES_INTERNET_AND_CABLE",
    "PHONE": "RENT_AND_UTILITIES_TELEPHONE",
    "TELECOM": "RENT_AND_UTILITIES_TELEPHONE",
    "INSURANCE": "GENERAL_SERVICES_INSURANCE",
    "SUBSCRIPTION": "ENTERTAINMENT",
    "SUBSCRIPTIONS": "ENTERTAINMENT",
    "STREAMING": "ENTERTAINMENT_TV_AND_MOVIES",
    "MUSIC": "ENTERTAINMENT_MUSIC_AND_AUDIO",
    "GYM": "PERSONAL_CARE_GYMS_AND_FITNESS_CENTERS",
    "FITNESS": "PERSONAL_CARE_GYMS_AND_FITNESS_CENTERS",
    "GROCERIES": "FOOD_AND_DRINK_GROCERIES",
    "GROCERY": "FOOD_AND_DRINK_GROCERIES",
    "RESTAURANT": "FOOD_AND_DRINK_RESTAURANT",
    "RESTAURANTS": "FOOD_AND_DRINK_RESTAURANT",
    "DINING": "FOOD_AND_DRINK_RESTAURANT",
    "COFFEE": "FOOD_AND_DRINK_COFFEE",
    "COFFEE_SHOP": "FOOD_AND_DRINK_COFFEE",
    "FAST_FOOD": "FOOD_AND_DRINK_FAST_FOOD",
    "FOOD": "FOOD_AND_DRINK",
    "GAS": "TRANSPORTATION_GAS",
    "FUEL": "TRANSPORTATION_GAS",
    "TRANSPORT": "TRANSPORTATION",
    "RIDESHARE": "TRANSPORTATION_TAXIS_AND_RIDE_SHARES",
    "SHOPPING": "GENERAL_MERCHANDISE",
    "CLOTHING": "GENERAL_MERCHANDISE_CLOTHING_AND_ACCESSORIES",
    "HEALTHCARE": "MEDICAL",
    "HEALTH": "MEDICAL",
    "TRANSFER": "TRANSFER",
}
# The second version's names, and flat plurals of the first, that mean what an older name means.
SAME: dict[str, str] = {
    "INCOME_SALARY": "INCOME_WAGES",
    "INCOME_PAYROLL": "INCOME_WAGES",
    "INCOME_CONTRACTOR": "INCOME_GIG_ECONOMY",
    "BANK_FEES_LATE_PAYMENT": "BANK_FEES_LATE_FEES",
    "BANK_FEES_OVERDRAFT": "BANK_FEES_OVERDRAFT_FEES",
}
UNTELLING = (
    *("", "OTHER", "OTHER_OTHER", "INCOME", "INCOME_OTHER", "INCOME_OTHER_INCOME", "OTHER_INCOME"),
    *("UNCATEGORIZED", "UNKNOWN"),
)
PRIMARIES = (
    *("INCOME", "LOAN_DISBURSEMENTS", "LOAN_PAYMENTS", "TRANSFER_IN", "TRANSFER_OUT", "TRANSFER", "BANK_FEES"),
    *("ENTERTAINMENT", "FOOD_AND_DRINK", "GENERAL_MERCHANDISE", "HOME_IMPROVEMENT", "MEDICAL"),
    *("PERSONAL_CARE", "GENERAL_SERVICES", "GOVERNMENT_AND_NON_PROFIT", "TRANSPORTATION", "TRAVEL"),
    "RENT_AND_UTILITIES",
)
NO_PURCHASE = (
    *("INCOME", "LOAN_DISBURSEMENTS", "LOAN_PAYMENTS", "TRANSFER_IN", "TRANSFER_OUT", "TRANSFER"),
    "BANK_FEES",
)
EARNED = ("INCOME_WAGES", "INCOME_GIG_ECONOMY", "INCOME_MILITARY")
FEE_CATEGORIES = ("BANK_FEES_OVERDRAFT_FEES", "BANK_FEES_INSUFFICIENT_FUNDS", "BANK_FEES_LATE_FEES")
PROCESSORS = "(paypal|pp|py|sq|gosq|tst|sp|stripe|google|goog|apl|in|bt|fs|zettle|sumup|klarna|wpy|2co|eb|cko)"
BOILERPLATE = (
    "(purchase authorized on|recurring payment authorized on|checkcard|check card|pos purchase|pos debit|"
    "debit card purchase|mobile purchase|recurring payment|visa dda pur|withdrawal debit card|pos)"
)
# How a name says that it pays wages, before or after the employer's: `ACME PAYROLL PPD` pays as `Acme` does.
PAYS = "((des )?(payroll|salary|wages|paycheck|dir(ect)? dep(osit)?|direct pay|ppd|ach credit))"
# One biller for many services: the id and the name say who bills, not what for, so its rows stay apart from
# other rows of that id, and price lines alone tell the services from each other. Looked for in normalised names:
# `PAYPAL *SPOTIFY` says what for.
SHARED_BILLERS = (
    *("apple bill", "google play", "amazon digital", "amzn digital", "paypal"),
    # Sold under the id of a shop or a ride: what is signed up for there goes by its own name.
    *("amazon prime", "amzn prime", "prime video", "amazon music", "kindle unltd", "kindle unlimited", "uber one"),
)
STATES = (
    "(al|ak|az|ar|ca|co|ct|dc|de|fl|ga|hi|ia|id|il|in|ks|ky|la|ma|md|me|mi|mn|mo|ms|mt|nc|nd|ne|nh|nj|nm|nv|ny|oh|ok"
    "|or|pa|ri|sc|sd|tn|tx|ut|va|vt|wa|wi|wv|wy)"
)
PLACE_WORDS = 3  # a card's descriptor ends in its city, of so many words at most, and the state

PRICE_STEP = 0.01  # "last step of more than 1 %"
EXPLAINED = 0.75  # "a line must explain three quarters of the rows at its price in its span"
# And so much of what is left of all of them after one for each line: haircuts at one price meet a calendar four times
# in a row by chance, and another one three times. Ours.
EXPLAINED_EVER = 0.6
NEAR_ITS_DAYS = 0.45  # of the tolerance from the middle; dates by chance lie at 0.57, weekly ones at 0.67; ours
MORE_AMONG_OTHERS = 2  # "where other purchases at the payee exceed half the hits, ask for two more hits"
NEXT_ROWS = (1, 2, 3, 4)  # how far apart among a segment's rows two hits of a line may be, to be seen; ours
LANES = 2  # "two plans at one payee (..., or one price on two days)": lines on one day of the calendar
SEMI_MONTHLY, FOUR_WEEKLY = ([each.name for each in CALENDARS].index(name) for name in ("semi_monthly", "four_weekly"))

EXPECTED_WITHIN_DAYS = 3  # a charge due in the next days is reported before it comes
LEAST_HISTORY_DAYS = 60  # below it, finding no subscription says nothing: two monthly charges may not fit

SPENDING_ACCOUNTS = ("checking", "savings", "credit_card", "other")
SPENDING_KINDS = ("cash_withdrawal", "fee", "interest_charged", "other_out", "refund")
LEAST_MONTH_DAYS = 30  # a history of a week is not extrapolated to a month
RATES = (
    "subscription_spend_share",
    "savings_growth_rate",
    "emergency_fund_months",
    "avg_utilization",
    "max_utilization",
    "income_variability",
    "cash_flow_buffer_months",
)
