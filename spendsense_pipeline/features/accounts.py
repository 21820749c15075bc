"""What an account is: its class, its currency, whether it counts for its customer, its balance at ``as_of``.

One table maps (type, subtype) to a class; one dated table holds what a US dollar threshold is worth in other
currencies. What does not belong here: what is said about cards and savings (``credit.py``, ``savings.py``).
"""

import datetime as dt
from typing import Any

import ibis

from spendsense_pipeline.features.expressions import ratio

CLASSES = ("checking", "savings", "credit_card", "investment", "loan", "other")

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

# Units of a currency that are worth one US dollar. A threshold in dollars is multiplied by it. Rounded from the
# European Central Bank's euro reference rates of mid 2025: thresholds of judgement, not prices, need no more,
# and a table that moved every day would make yesterday's persona unrepeatable.
FACTORS_AS_OF = dt.date(2025, 6, 30)
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


def _spelling(text: Any) -> Any:
    return text.lower().re_replace("[_ -]+", " ").replace("(", "").replace(")", "").strip()


def account_class(type_: Any, subtype: Any) -> Any:
    """Class of an account, one of ``CLASSES``; case, underscores, hyphens and spaces do not matter."""
    type_, subtype = _spelling(type_), _spelling(subtype)
    telling = [(type_.isin(types), name) for name, (types, _) in ACCOUNT_CLASSES.items()]
    otherwise = [(subtype.isin(subtypes), name) for name, (_, subtypes) in ACCOUNT_CLASSES.items()]
    return ibis.cases(*telling, *otherwise, else_="other")


def unmapped(accounts: ibis.Table) -> ibis.Table:
    """(type, subtype) pairs that no row of the table knows, with how many accounts have them: to be reported.

    A pair that calls itself `other` is known to be other.
    """
    return (
        accounts.filter(
            (account_class(accounts.type, accounts.subtype) == "other")
            & ~_spelling(accounts.type).fill_null("").isin(["other"])
        )
        .group_by("type", "subtype")
        .agg(accounts=lambda t: t.count())
    )


def currency_factor(currency: Any) -> Any:
    """Units of the currency per US dollar at ``FACTORS_AS_OF``; 1 for a currency without a factor."""
    return currency.upper().cases(*CURRENCY_FACTORS.items(), else_=1.0).cast("float64").fill_null(1.0)


def customers(users: ibis.Table, as_of: dt.date) -> ibis.Table:
    """``user_id`` of everyone who gets features: no operators, nobody who came after ``as_of``."""
    known = users.created_at.isnull() | (users.created_at.date() <= ibis.literal(as_of))
    role = users.user_type.isnull() | (users.user_type == "customer")
    return users.filter(known & role).select("user_id")


def posted(transactions: ibis.Table, as_of: dt.date) -> ibis.Table:
    """The transactions that count: not pending, on or before ``as_of``."""
    return transactions.filter(~transactions.pending.fill_null(False) & (transactions.date <= ibis.literal(as_of)))


def held_accounts(transactions: ibis.Table, accounts: ibis.Table, users: ibis.Table, as_of: dt.date) -> ibis.Table:
    """The accounts that count, one row each: those of customers, in their main currency, opened by ``as_of``.

    Columns: those of ``accounts``, with ``account_class, currency, currency_factor`` (of the customer),
    ``account_rows`` and ``first_row`` (posted rows by ``as_of`` and the first one's date). An account without a
    currency is taken to be in its customer's. One that claims to be opened later counts if it has rows by now.
    """
    activity = _activity(transactions, accounts, as_of)
    return _in_main_currency(activity, users, as_of).filter(
        lambda t: t.created_at.isnull() | (t.created_at.date() <= ibis.literal(as_of)) | (t.account_rows > 0)
    )


def left_out(transactions: ibis.Table, accounts: ibis.Table, users: ibis.Table, as_of: dt.date) -> ibis.Table:
    """Accounts of customers in another than their main currency, in no signal: ``user_id, account_id, currency``.

    Reported beside the features, so that nobody takes the signals for the whole of the customer's money.
    """
    activity = _activity(transactions, accounts, as_of)
    main = _main_currencies(activity)
    return (
        activity.semi_join(customers(users, as_of), "user_id")
        .join(main, "user_id")
        .filter(lambda t: t.iso_currency_code.upper() != t.currency)
        .select("user_id", "account_id", currency=lambda t: t.iso_currency_code.upper())
    )


def without_factor(accounts: ibis.Table) -> ibis.Table:
    """Currencies that have no factor, whose thresholds are therefore the numbers in US dollars: to be reported.

    ``currency, accounts``.
    """
    currency = accounts.iso_currency_code.upper()
    return (
        accounts.filter(~currency.isin([*CURRENCY_FACTORS]))
        .group_by(currency=currency)
        .agg(accounts=lambda t: t.count())
        .order_by("currency")
    )


def accounts_at(transactions: ibis.Table, accounts: ibis.Table, users: ibis.Table, as_of: dt.date) -> ibis.Table:
    """``held_accounts`` with ``balance`` and ``credit_limit`` as they were on ``as_of``.

    ``balance`` is what is held, on cards and loans what is owed (positive). A balance of a later day is rolled
    back by the rows posted in between; one of an earlier day stands. The available balance stands in for an
    unknown current one, except on cards, where it is what may still be spent.
    """
    held = held_accounts(transactions, accounts, users, as_of)
    dated = held.select("account_id", "balance_date").filter(lambda t: t.balance_date > ibis.literal(as_of))
    since = (
        transactions.filter(~transactions.pending.fill_null(False) & (transactions.date > ibis.literal(as_of)))
        .select("account_id", "date", "amount")
        .join(dated, "account_id")
        .filter(lambda t: t.date <= t.balance_date)
        .group_by("account_id")
        .agg(moved=lambda t: t.amount.sum())
    )
    rolled = held.left_join(since, "account_id").drop("account_id_right")
    owed = rolled.account_class.isin(["credit_card", "loan"])
    delivered = (rolled.account_class == "credit_card").ifelse(
        rolled.balance_current, rolled.balance_current.coalesce(rolled.balance_available)
    )
    moved = rolled.moved.fill_null(0.0)
    return rolled.mutate(
        balance=owed.ifelse(delivered + moved, delivered - moved).round(2),
        credit_limit=(rolled.balance_limit > 0).ifelse(rolled.balance_limit, ibis.null("float64")),
    ).drop("moved")


def card_details(at: ibis.Table) -> ibis.Table:
    """One row per card of ``accounts_at``: ``user_id, account_id, last4, balance, credit_limit, utilization``.

    ``last4`` are the last four characters of the account id, the only name of a card that an operator is shown.
    A credit balance counts as 0; ``utilization`` is null where balance or limit is unknown.
    """
    cards = at.filter(at.account_class == "credit_card")
    owed = ibis.greatest(cards.balance, 0.0)
    return cards.select(
        "user_id",
        "account_id",
        "balance",
        "credit_limit",
        last4=cards.account_id.right(4),
        # greatest() skips nulls on some engines: an unknown balance must stay unknown
        utilization=cards.balance.isnull().ifelse(ibis.null("float64"), ratio(owed, cards.credit_limit)),
    )


def _activity(transactions: ibis.Table, accounts: ibis.Table, as_of: dt.date) -> ibis.Table:
    """Accounts with the number and first date of their posted rows."""
    rows = (
        posted(transactions.select("account_id", "date", "pending"), as_of)
        .group_by("account_id")
        .agg(account_rows=lambda t: t.count(), first_row=lambda t: t.date.min())
    )
    return (
        accounts.left_join(rows, "account_id")
        .drop("account_id_right")
        .mutate(
            account_rows=lambda t: t.account_rows.fill_null(0),
            account_class=account_class(accounts.type, accounts.subtype),
        )
    )


def _main_currencies(activity: ibis.Table) -> ibis.Table:
    """``user_id, currency, currency_factor``: the currency of most posted rows, then of most accounts, then by name."""
    counted = (
        activity.filter(activity.iso_currency_code.notnull())
        .group_by("user_id", currency=activity.iso_currency_code.upper())
        .agg(rows=lambda t: t.account_rows.sum(), accounts=lambda t: t.count())
    )
    best = ibis.window(group_by="user_id", order_by=[ibis.desc("rows"), ibis.desc("accounts"), ibis.asc("currency")])
    return (
        counted.mutate(place=ibis.row_number().over(best))
        .filter(lambda t: t.place == 0)
        .select("user_id", "currency", currency_factor=lambda t: currency_factor(t.currency))
    )


def _in_main_currency(activity: ibis.Table, users: ibis.Table, as_of: dt.date) -> ibis.Table:
    joined = (
        activity.semi_join(customers(users, as_of), "user_id")
        .left_join(_main_currencies(activity), "user_id")
        .drop("user_id_right")
        .mutate(currency_factor=lambda t: t.currency_factor.fill_null(1.0))
    )
    return joined.filter(joined.iso_currency_code.isnull() | (joined.iso_currency_code.upper() == joined.currency))
