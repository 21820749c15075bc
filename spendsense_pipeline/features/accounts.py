"""What an account is: its class, its currency, whether it counts for its customer, its balance on a date.

Numbers by account, in NumPy, for a range of customers. What does not belong here: what a text is worth
(``data/accounts.toml`` holds the classes of accounts and the factors of currencies), and what is said of cards and
savings (``tables.py``).
"""

import functools
import re
import tomllib
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spendsense_pipeline.features.columns import coded, days, doubles, places, plain_texts
from spendsense_pipeline.features.meanings import ACCOUNT_CLASSES, CREDIT_CARD, LOAN, OTHER

Array = npt.NDArray[Any]
BEFORE_ALL = -(1 << 30)


class Definitions(NamedTuple):
    """The tables of ``data/accounts.toml``."""

    class_of_type: dict[str, int]
    class_of_subtype: dict[str, int]
    units_per_dollar: dict[str, float]


@functools.cache
def definitions() -> Definitions:
    """What the shipped file says of account types and currencies."""
    text = resources.files("spendsense_pipeline.features").joinpath("data/accounts.toml").read_text("utf-8")
    data = tomllib.loads(text)
    types: dict[str, int] = {}
    subtypes: dict[str, int] = {}
    for name, spellings in data["classes"].items():
        types |= dict.fromkeys(spellings["types"], ACCOUNT_CLASSES.index(name))
        subtypes |= dict.fromkeys(spellings["subtypes"], ACCOUNT_CLASSES.index(name))
    return Definitions(types, subtypes, data["units_per_dollar"])


def _spelling(text: str | None) -> str:
    return re.sub("[_ -]+", " ", (text or "").lower()).replace("(", "").replace(")", "").strip()


@functools.cache
def account_class(type_: str | None, subtype: str | None) -> int:
    """Class of an account, its place in ``ACCOUNT_CLASSES``; case, underscores, hyphens and spaces do not matter."""
    known = definitions()
    by_subtype = known.class_of_subtype.get(_spelling(subtype), OTHER)
    return known.class_of_type.get(_spelling(type_), by_subtype)


def is_mapped(type_: str | None, subtype: str | None) -> bool:
    """Whether a (type, subtype) is in the table, or calls itself other."""
    return account_class(type_, subtype) != OTHER or _spelling(type_) == "other"


def currency_factor(currency: str | None) -> float:
    """Units of the currency per US dollar; 1 for a currency without a factor."""
    return definitions().units_per_dollar.get((currency or "").upper(), 1.0)


def has_factor(currency: str) -> bool:
    """Whether thresholds in US dollars are turned into the currency."""
    return currency.upper() in definitions().units_per_dollar


def to_cents(amount: Array) -> Array:
    """Rounded to cents, half a cent away from zero."""
    return np.asarray(np.trunc(amount * 100 + np.copysign(0.5, amount)) / 100)


class Held(NamedTuple):
    """The accounts of the customers in a range, by account; those that hold for a date are ``counts``."""

    account_id: pa.Array
    user: Array
    held_as: Array
    currency: Array
    currencies: list[str]
    opened: Array
    closed: Array
    """Day on which it was closed, far away where it was not."""
    shared: Array
    """Whether it has several holders."""
    balance_day: Array
    delivered: Array
    limit: Array


def held_accounts(accounts: pa.Table, users: pa.Array) -> Held:
    """The accounts of the customers ``users``."""
    user = places(accounts["user_id"], users)
    table, user = accounts.filter(pa.array(user >= 0)), user[user >= 0]
    type_, subtype, iso = (coded(table[name]) for name in ("type", "subtype", "iso_currency_code"))
    types, subtypes = [*type_.texts.to_pylist(), None], [*subtype.texts.to_pylist(), None]
    classes = np.array([[account_class(one, other) for other in subtypes] for one in types])
    held_as = classes[type_.codes, subtype.codes]
    named = [one.upper() for one in iso.texts.to_pylist()]
    currencies = sorted({one for one in named if one})
    current, available, limit = (
        doubles(table[name]) for name in ("balance_current", "balance_available", "balance_limit")
    )
    return Held(
        plain_texts(table["account_id"]),
        user,
        held_as,
        np.array([*(currencies.index(one) if one else -1 for one in named), -1], "i8")[iso.codes],
        currencies,
        days(table["created_at"], BEFORE_ALL),
        days(table["closed_at"], -BEFORE_ALL)
        if "closed_at" in table.column_names
        else np.full(len(table), -BEFORE_ALL),
        doubles(table["holders"]) > 1,
        days(table["balance_date"], BEFORE_ALL),
        # The available balance stands in for an unknown current one, except on cards, where it is what may be spent.
        np.where((held_as != CREDIT_CARD) & np.isnan(current), available, current),
        np.where(limit > 0, limit, np.nan),
    )


class OnDate(NamedTuple):
    """Accounts and customers on one date."""

    counts: Array
    """By account: in its customer's main currency, and opened by the date or with rows by then."""
    balance: Array
    """By account: what is held, on cards and loans what is owed; NaN where unknown."""
    main_currency: Array
    """By customer, -1 where no account names one."""
    own_accounts: Array
    """By customer."""


def accounts_on(date: int, held: Held, users: int, rows: Array, first_row: Array, moved: Array) -> OnDate:
    """The accounts as they were on a date.

    ``rows`` are the posted rows of each account by the date, ``first_row`` the day of the first, ``moved`` the sum of
    its rows after the date and up to the day of its balance, by which a later balance is rolled back.
    """
    main = _main_currency(held, users, rows)
    counts = (held.currency < 0) | (held.currency == main[held.user])
    counts &= (held.opened <= date) | (first_row <= date)
    counts &= date <= held.closed
    # A closed account's unknown balance spoils no sum.
    unknown = np.isnan(held.delivered) & (held.closed < -BEFORE_ALL)
    owed = (held.held_as == CREDIT_CARD) | (held.held_as == LOAN)
    balance = to_cents(np.where(unknown, 0.0, held.delivered + np.where(owed, moved, -moved)))
    return OnDate(counts, balance, main, np.bincount(held.user[counts], minlength=users))


def _main_currency(held: Held, users: int, rows: Array) -> Array:
    """By customer the currency of most posted rows, then of most accounts, then by name."""
    named = np.flatnonzero(held.currency >= 0)
    width = max(len(held.currencies), 1)
    pair = held.user[named] * width + held.currency[named]
    pairs, place, accounts = np.unique(pair, return_inverse=True, return_counts=True)
    posted = np.bincount(place, rows[named], len(pairs))
    best = np.lexsort((pairs % width, -accounts, -posted, pairs // width))
    main = np.full(users, -1, "i8")
    # Written from the last to the first, the best of each customer stays.
    main[(pairs // width)[best][::-1]] = (pairs % width)[best][::-1]
    return main
