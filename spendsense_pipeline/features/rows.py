"""What a transaction is: its payee, its category in one vocabulary, and its kind.

Every signal reads these rows, so that a card payment is the same thing to streams, savings and spending. What
does not belong here: anything about a window, a pattern in time, or a balance.
"""

import datetime as dt
from typing import Any

import ibis

from spendsense_pipeline.features.accounts import held_accounts, posted
from spendsense_pipeline.features.expressions import cents, keyed, plain, step, words

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

# --- words, looked for as whole words in the plain payee -------------------------------------------------------

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

# --- categories ------------------------------------------------------------------------------------------------

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

# --- payees ----------------------------------------------------------------------------------------------------

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


ROW = (
    *("transaction_id", "user_id", "account_id", "account_class", "date", "amount", "payee", "merchant"),
    *("category_primary", "category_detailed", "history_start", "currency_factor", "penalty"),
)


def classify(transactions: ibis.Table, accounts: ibis.Table, users: ibis.Table, as_of: dt.date) -> ibis.Table:
    """One row per posted transaction up to ``as_of``, of customers, in their main currency.

    Columns: ``transaction_id, user_id, account_id, account_class, date, amount`` (positive = in), ``payee`` (key
    within the customer, null if unknown), ``merchant`` (readable), ``category_primary, category_detailed``
    (Plaid's upper-case names, null when they tell nothing), ``history_start`` (first known row of the customer),
    ``currency_factor`` (units per US dollar), ``penalty`` (an overdraft, insufficient funds or late fee, or one
    given back) and ``kind``, exactly one of ``KINDS``: the first that matches, in that order.
    """
    rows = _with_categories(_counted(transactions, accounts, users, as_of), transactions)
    rows = step(_with_payees(rows, transactions), "rows_with_payees")
    rows = _with_legs(step(_judged(rows.mutate(**_facts(rows))), "rows_judged"))
    return rows.select(
        *ROW,
        kind=ibis.cases(
            (rows.card_payment | rows.card_leg, "card_payment"),
            (rows.own_transfer | rows.transfer_leg, "own_transfer"),
            else_=rows.otherwise,
        ),
    )


def _counted(transactions: ibis.Table, accounts: ibis.Table, users: ibis.Table, as_of: dt.date) -> ibis.Table:
    """The posted rows of the accounts that count, with what is known of account and customer."""
    held = held_accounts(transactions, accounts, users, as_of)
    whole = ibis.window(group_by="user_id")
    holders = step(keyed(held.select("user_id").distinct(), "user_no", "user_id"), "holders")
    held = held.select(
        "account_id",
        "user_id",
        "account_class",
        "currency_factor",
        history_start=held.first_row.min().over(whole),
        own_accounts=held.account_id.count().over(whole),
    )
    held = held.inner_join(holders, "user_id")
    counted = posted(transactions, as_of).select(
        "transaction_id",
        "account_id",
        "date",
        "amount",
        "merchant_name",
        "merchant_entity_id",
        "category_primary",
        "category_detailed",
    )
    return counted.join(held, "account_id")


def canonical_category(category: Any) -> Any:
    """One category name in Plaid's upper-case vocabulary; null when it tells nothing."""
    name = category.upper().strip().re_replace("[^A-Z0-9]+", "_")
    nothing = ibis.null("string")
    return name.cases(*FLAT.items(), *SAME.items(), *[(each, nothing) for each in UNTELLING], else_=name)


def _with_categories(rows: ibis.Table, transactions: ibis.Table) -> ibis.Table:
    """Detailed first: it is the finer word; the primary speaks where the detailed one tells nothing.

    Every name in the ``transactions`` is read once, and looked up for the rows.
    """
    names = ibis.union(
        *(transactions.select(raw=name) for name in ("category_primary", "category_detailed")), distinct=True
    )
    names = step(names.mutate(name=canonical_category(names.raw)), "categories_in_one_vocabulary")
    group = ibis.cases(
        *[((names.name == name) | names.name.startswith(name + "_"), name) for name in PRIMARIES],
        else_=ibis.null("string"),
    )
    # A table of its own: of a step the engine does not know how few rows it has, and may hash the transactions instead.
    names = names.mutate(group=group).cache()
    rows = rows.rename(told_primary="category_primary", told_detailed="category_detailed")
    for told in ("primary", "detailed"):
        known = names.select(**{f"raw_{told}": "raw", told: "name", f"group_{told}": "group"})
        rows = rows.left_join(known, rows[f"told_{told}"] == known[f"raw_{told}"]).drop(f"told_{told}", f"raw_{told}")
    by_primary = rows.group_primary.coalesce(rows.primary)
    by_detailed = rows.group_detailed.coalesce(rows.primary, rows.detailed)
    return rows.mutate(
        category_detailed=rows.detailed.coalesce(rows.primary),
        category_primary=rows.detailed.isnull().ifelse(by_primary, by_detailed),
    ).drop("primary", "detailed", "group_primary", "group_detailed")


def payee_name(name: Any) -> Any:
    """The payee's name without what changes from row to row: processors, stores, references, dates.

    >>> # `PAYPAL *SPOTIFY 98765` and `Spotify P3E460` are both `spotify`
    """
    text = name.lower().re_replace("^.*merchant name: *", "")
    text = text.re_replace(f"^{BOILERPLATE}[ -]+([0-9x]{{4,}} +)?([0-9x]+/[0-9x]+ +)?", "")
    text = text.re_replace(f"^{PROCESSORS} ?[*] ?|^paypal inst xfer ", "")
    text = text.re_replace(" (ppd|web|ccd|tel) id.*$| (id|indn):.*$", "")
    text = text.re_replace(" (store|card|ref|no|nbr) ?#* *[0-9x]+", " ").re_replace("# ?[0-9a-z]+", " ")
    text = text.re_replace("(^| )[0-9x]{1,4}[/-][0-9x]{1,2}([/-][0-9x]{2,4})?( |$)", " ")
    # Each reference is matched with its own two spaces; words beside it keep theirs.
    text = plain(text).replace(" ", "  ").concat(" ")
    text = text.re_replace(" [0-9]{2,} ", " ")
    text = text.re_replace(" [a-z]*[0-9][a-z0-9]*[0-9][a-z0-9]* ", " ")
    text = text.re_replace(" x{2,} ", " ").re_replace(" (com|inc|llc|ltd|corp|www|gmbh) ", " ")
    text = text.re_replace("^([0-9]{4,}|x{2,}) ", " ").re_replace(" +", " ").strip()
    employer = text.re_replace(f"^({PAYS} )+((from|deposit) )?|( {PAYS})+$", "").re_replace(f"^{PAYS}$", "")
    # A bank's letters and an account number name the other side; without the number two would be one.
    account = name.re_extract("[ :-][A-Z]{2,4}(/[0-9]{6,})$", 1)
    return employer.nullif("").coalesce(text.nullif(""), plain(name).nullif("")).concat(account.fill_null(""))


def _with_payees(rows: ibis.Table, transactions: ibis.Table) -> ibis.Table:
    """Who was paid, judged on all of a customer's rows, and what the payee's words say.

    An id is a payee when it occurs on two or more of the customer's rows. A row without id joins the id that its
    name mostly has. All other rows go by their normalised name. Words are read once per distinct name, and rows know
    names and ids by number.
    """
    named = step(_names(transactions), "names_read")
    ids = transactions.filter(transactions.merchant_entity_id.notnull()).select("merchant_entity_id").distinct()
    ids = step(keyed(ids, "id_no", "merchant_entity_id"), "ids")
    rows = rows.left_join(named.select("merchant_name", "name_no"), "merchant_name").drop("merchant_name_right")
    rows = rows.left_join(ids, "merchant_entity_id").drop("merchant_entity_id_right", "merchant_name")
    rows = step(rows, "rows_with_names")

    said = ["user_no", "name_no", "id_no"]
    seen = rows.group_by(said).agg(
        seen=lambda t: t.count(),
        # A payment that may be taken back: spending, not a transfer, a fee or a wage.
        first_paid=rows.date.min(
            where=(rows.amount < 0) & (rows.category_primary.isnull() | ~rows.category_primary.isin(NO_PURCHASE))
        ),
    )
    seen = seen.left_join(named.drop("merchant_name"), "name_no").drop("name_no_right")
    seen = step(_without_places(seen), "names_seen")
    under_id = seen.filter(seen.id_no.notnull())
    under_id = under_id.group_by("user_no", "id_no").agg(
        # An id that only ever comes through PayPal, under several names, is PayPal's own.
        paypal=under_id.by_paypal.fill_null(False).all() & (under_id.name.min() < under_id.name.max()).fill_null(False),
        id_rows=under_id.seen.sum(),
    )
    seen = seen.left_join(under_id, ["user_no", "id_no"]).drop("user_no_right", "id_no_right")
    seen = seen.left_join(ids, "id_no").drop("id_no_right")
    seen = seen.mutate(shared=seen.shared.fill_null(False) | seen.paypal.fill_null(False))
    seen = seen.mutate(
        stable_id=((seen.id_rows >= 2) & ~seen.shared).ifelse(seen.merchant_entity_id, ibis.null("string"))
    )
    usual = (
        seen.filter(seen.stable_id.notnull() & seen.name.notnull())
        .group_by("user_no", "name", "stable_id")
        .agg(often=lambda t: t.seen.sum())
    )
    most = ibis.window(group_by=["user_no", "name"], order_by=[ibis.desc("often"), ibis.asc("stable_id")])
    usual = (
        usual.mutate(place=ibis.row_number().over(most))
        .filter(lambda t: t.place == 0)
        .select("user_no", "name", usual_id="stable_id")
    )
    payees = seen.left_join(usual, ["user_no", "name"]).drop("user_no_right", "name_right")
    joins = payees.id_no.isnull() & ~payees.shared
    spending = ~(payees.says_transfer | payees.says_card_payment | payees.says_cash_out | payees.says_fee)
    payees = payees.mutate(
        payee=payees.stable_id.coalesce(
            joins.ifelse(payees.usual_id, ibis.null("string")), payees.name, payees.merchant_entity_id
        ),
        readable=payees.name.coalesce(payees.merchant_entity_id),
        paid=spending.fill_null(True).ifelse(payees.first_paid, ibis.null("date")),
    )
    payees = step(payees, "spellings")
    one = payees.filter(payees.payee.notnull()).group_by("user_no", "payee")
    one = one.agg(readable=lambda t: t.readable.min(), paid_from=lambda t: t.paid.min())
    capitals = one.readable.split(" ").map(lambda word: word.contains("/").ifelse(word.upper(), word.capitalize()))
    payees = payees.left_join(
        one.select("user_no", "payee", "paid_from", merchant=capitals.join(" ")), ["user_no", "payee"]
    )
    payees = payees.select(
        *said,
        "payee",
        "merchant",
        "paid_from",
        *[name for name in payees.columns if name.startswith("says_")],
    )
    same = [rows.user_no == payees.user_no, *(rows[name].identical_to(payees[name]) for name in said[1:])]
    return rows.left_join(payees, same).drop(*(f"{name}_right" for name in said))


def _names(transactions: ibis.Table) -> ibis.Table:
    """What each distinct ``merchant_name`` says: its number ``name_no``, its normalised ``name``, and its words."""
    names = transactions.filter(transactions.merchant_name.notnull()).select("merchant_name").distinct()
    read = step(names.mutate(text=plain(names.merchant_name), name=payee_name(names.merchant_name)), "names")
    return keyed(
        read.mutate(
            shared=words(read.name, *SHARED_BILLERS),
            by_paypal=read.text.startswith("paypal "),
            placed=read.name.re_search(f" [a-z]+ {STATES}$"),
            **_says(read),
        ).drop("text"),
        "name_no",
        "merchant_name",
    )


def _without_places(seen: ibis.Table) -> ibis.Table:
    """Take the city and state off a name where the customer also knows the payee without: `SPOTIFY NEW YORK NY`.

    Nobody can say of one name alone where the payee ends and the city begins, so the longest other name decides.
    """
    placed = seen.filter(seen.placed.fill_null(False)).select("user_no", "name").distinct()
    placed = placed.mutate(
        stem=ibis.array(
            [placed.name.re_replace(f"( [a-z]+){{{count}}} {STATES}$", "") for count in range(1, PLACE_WORDS + 1)]
        ).unnest()
    )
    known = seen.filter(seen.name.notnull()).select("user_no", stem="name").distinct()
    bare = placed.filter(placed.stem != placed.name).semi_join(known, ["user_no", "stem"])
    bare = bare.group_by("user_no", "name").agg(stem=bare.stem.argmax(bare.stem.length()))
    seen = seen.left_join(bare, ["user_no", "name"]).drop("user_no_right", "name_right")
    return seen.mutate(name=seen.stem.coalesce(seen.name)).drop("stem", "placed")


def _says(named: ibis.Table) -> dict[str, Any]:
    """What the words of a payee's plain ``text`` say; each is true or false."""
    text = named.text
    fee = words(text, *FEE)
    return {
        "says_payroll": words(text, *PAYROLL),
        "says_deposited_pay": words(text, *DEPOSITED_PAY),
        "says_gig": words(text, *GIG),
        "says_peer": words(text, *PEER),
        "says_interest": words(text, *INTEREST),
        "says_refund": words(text, *REFUND),
        "says_unearned": words(text, *UNEARNED),
        "says_tax": words(text, "tax", "irs"),
        "says_fee": fee,
        "says_penalty": fee & words(text, *FEE_CAUSE),
        "says_card_payment": words(text, *CARD_PAYMENT) & ~fee & ~words(text, *INTEREST, *REFUND),
        "says_transfer": words(text, *TRANSFER) & ~fee,
        "says_cash_out": (words(text, *CASH_OUT) | (text == "withdrawal")) & ~fee,
        "says_cash_in": (words(text, *CASH_IN) | (text == "deposit")) & ~words(text, *DEPOSITED_PAY),
    }


def _facts(rows: ibis.Table) -> dict[str, Any]:
    """Sentences that several kinds share, as columns."""
    said = {name: rows[name].fill_null(False) for name in rows.columns if name.startswith("says_")}
    detailed = rows.category_detailed
    primary = rows.category_primary.fill_null("")
    unknown = detailed.isnull()
    transfer = primary.isin(["TRANSFER", "TRANSFER_IN", "TRANSFER_OUT"])
    inflow = rows.amount > 0
    earned = detailed.isin(EARNED).fill_null(False)
    # "Payroll words beat" unearned ones; a mere direct deposit does only where the category says wages too.
    payroll = said["says_payroll"] | (said["says_deposited_pay"] & (earned | ~said["says_unearned"]))
    fee_words = ((primary == "BANK_FEES") | unknown) & said["says_penalty"]
    interest = (detailed == "BANK_FEES_INTEREST_CHARGE").fill_null(False) | (
        ((primary == "BANK_FEES") | unknown) & said["says_interest"]
    )
    deposit = rows.account_class.isin(["checking", "savings"])
    return {
        **said,
        "unknown": unknown,
        "transfer": transfer,
        "earned": earned,
        "payroll": payroll,
        "purchase": ~unknown & ~primary.isin(NO_PURCHASE),
        "interest": interest,
        "penalty": detailed.isin(FEE_CATEGORIES).fill_null(False) | fee_words | (deposit & interest & ~inflow),
        "named_third": rows.merchant_entity_id.notnull()
        | said["says_peer"]
        | (detailed.fill_null("").endswith("_FROM_APPS")),
    }


def _is_refund(rows: ibis.Table) -> Any:
    words_say = rows.says_refund & ~rows.says_tax & (rows.category_primary.fill_null("") != "LOAN_PAYMENTS")
    tax = (rows.category_detailed == "INCOME_TAX_REFUND").fill_null(False)
    from_paid = (
        rows.unknown
        & (rows.paid_from <= rows.date).fill_null(False)
        & ~(rows.says_peer | rows.says_interest | rows.says_unearned | rows.says_transfer)
    )
    bank_fees = (rows.category_primary == "BANK_FEES").fill_null(False)
    payable = ~rows.account_class.isin(["credit_card", "loan", "investment"])
    return (
        (rows.amount > 0)
        & (rows.purchase | bank_fees | (words_say & ~tax) | from_paid)
        & ~(rows.payroll & payable & ~rows.purchase)
    )


def _with_legs(rows: ibis.Table) -> ibis.Table:
    """Find equal and opposite rows on two own accounts within ``LEG_DAYS``: ``card_leg`` and ``transfer_leg``.

    Each row is matched at most once, with the nearest: a row counts only where it is its partner's best and its
    partner is its own. The inflows are laid out over the days on which their outflow may be, so that the join is
    on equal keys and stays linear for a customer who pays the same amount every day.
    """
    sides = rows.filter(rows.leg & (rows.amount != 0)).select(
        *("transaction_id", "user_id", "account_id", "account_class", "date", "amount", "like_transfer", "refund"),
        size=cents(rows.amount.abs()),
    )
    outs = sides.filter(
        (sides.amount < 0) & sides.account_class.isin(["checking", "savings", "credit_card", "investment", "other"])
    ).select("user_id", "size", "date", out_id="transaction_id", out_account="account_id", out_like="like_transfer")
    onto_card = sides.account_class == "credit_card"
    ins = sides.filter((sides.amount > 0) & (sides.account_class != "loan") & ~(onto_card & sides.refund)).select(
        "user_id",
        "size",
        "account_id",
        "like_transfer",
        in_id="transaction_id",
        onto_card=onto_card,
        apart=ibis.array(list(range(-LEG_DAYS, LEG_DAYS + 1))).unnest(),
        in_date="date",
    )
    ins = ins.mutate(date=ins.in_date + ins.apart.as_interval("D"))
    pairs = ins.join(outs, ["user_id", "size", "date"])
    pairs = pairs.filter(
        (pairs.account_id != pairs.out_account) & (pairs.onto_card | pairs.like_transfer | pairs.out_like)
    )
    nearness = [pairs.onto_card.desc(), pairs.apart.abs(), pairs.apart]
    pairs = pairs.mutate(
        in_place=ibis.row_number().over(group_by="in_id", order_by=[*nearness, pairs.out_id]),
        out_place=ibis.row_number().over(group_by="out_id", order_by=[*nearness, pairs.in_id]),
    ).filter(lambda t: (t.in_place == 0) & (t.out_place == 0))
    pairs = step(pairs, "legs_found")
    legs = pairs.select(leg_id="in_id", onto_card="onto_card").union(
        pairs.select(leg_id="out_id", onto_card="onto_card")
    )
    joined = rows.left_join(legs, rows.transaction_id == legs.leg_id)
    return joined.mutate(card_leg=joined.onto_card.fill_null(False), transfer_leg=(~joined.onto_card).fill_null(False))


def _judged(rows: ibis.Table) -> ibis.Table:
    """The sentences of the specification, in its order, as far as a row can be judged without its other leg.

    ``ROW``, and ``card_payment``, ``own_transfer``, what it is ``otherwise``, and whether it may be a ``leg``.
    """
    inflow, outflow = rows.amount > 0, rows.amount < 0
    detailed = rows.category_detailed.fill_null("")
    primary = rows.category_primary.fill_null("")
    card = rows.account_class == "credit_card"
    refund = _is_refund(rows)
    wordy = rows.unknown | rows.transfer | (primary == "LOAN_PAYMENTS")

    card_payment = (
        (detailed == "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT") | (rows.says_card_payment & wordy) | (inflow & card & ~refund)
    )
    to_own_funds = detailed.re_search("^TRANSFER_(IN_|OUT_)?(SAVINGS|INVESTMENT_AND_RETIREMENT_FUNDS)$")
    other_transfer = rows.transfer & ~detailed.isin(
        ["TRANSFER_OUT_WITHDRAWAL", "TRANSFER_IN_DEPOSIT", "TRANSFER_IN_CASH_ADVANCES_AND_LOANS"]
    )
    own_transfer = (
        to_own_funds
        | (other_transfer & ~rows.named_third & ~(inflow & (rows.payroll | rows.says_unearned)))
        | (rows.unknown & rows.says_transfer & ~rows.named_third & ~rows.payroll)
    )
    cash_withdrawal = outflow & ((detailed == "TRANSFER_OUT_WITHDRAWAL") | (rows.unknown & rows.says_cash_out))
    cash_deposit = inflow & ~rows.payroll & ((detailed == "TRANSFER_IN_DEPOSIT") | (rows.unknown & rows.says_cash_in))
    interest_charged = outflow & card & rows.interest
    interest_earned = inflow & (
        (detailed == "INCOME_INTEREST_EARNED")
        | ((rows.unknown | (primary == "INCOME")) & rows.says_interest & ~rows.payroll)
    )
    payable = ~rows.account_class.isin(["credit_card", "loan", "investment"])
    unearned = rows.says_unearned | rows.says_interest | rows.says_refund | rows.says_peer
    never_paid = rows.paid_from.isnull() | (rows.paid_from > rows.date)
    paycheck = (
        inflow
        & payable
        & (
            (rows.earned & (~unearned | rows.payroll))
            | ((rows.unknown | primary.isin(["TRANSFER_IN", "TRANSFER"])) & rows.payroll)
            | (rows.unknown & rows.says_gig & never_paid & ~unearned)
        )
    )
    return rows.select(
        *ROW,
        card_payment=card_payment,
        own_transfer=own_transfer,
        otherwise=ibis.cases(
            (cash_withdrawal, "cash_withdrawal"),
            (cash_deposit, "cash_deposit"),
            (refund, "refund"),
            (outflow & rows.penalty, "fee"),
            (interest_charged, "interest_charged"),
            (interest_earned, "interest_earned"),
            (paycheck, "paycheck"),
            else_=outflow.ifelse("other_out", "other_in"),
        ),
        refund=refund,
        # What a card received is a payment by its category, and its other half may have none.
        leg=(rows.unknown | rows.transfer | (card_payment & inflow & card))
        & ~rows.payroll
        & ~rows.says_fee
        & (rows.own_accounts > 1),
        like_transfer=rows.transfer | (rows.unknown & rows.says_transfer),
    )
