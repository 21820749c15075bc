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

from spendsense_pipeline.features.meanings import ACCOUNT_CLASSES, CREDIT_CARD, LOAN, OTHER

Array = npt.NDArray[Any]
BEFORE_ALL = -(1 << 40)


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


def to_cents(amount: Array) -> Array:
    """Rounded to cents, half a cent away from zero."""
    return np.asarray(np.trunc(amount * 100 + np.copysign(0.5, amount)) / 100)


class Held(NamedTuple):
    """The accounts of the customers in a range, by account; those that hold for a date are ``counts``."""

    account_id: list[str]
    user: Array
    held_as: Array
    currency: Array
    currencies: list[str]
    opened: Array
    balance_day: Array
    delivered: Array
    limit: Array


def held_accounts(accounts: pa.Table, users: dict[str, int]) -> Held:
    """The accounts of the customers numbered in ``users``."""
    columns = accounts.select(
        ["account_id", "user_id", "type", "subtype", "balance_available", "balance_current", "balance_limit",
         "iso_currency_code", "created_at", "balance_date"]
    ).to_pydict()  # fmt: skip
    user = np.array([users.get(one, -1) for one in columns["user_id"]], "i8")
    kept = np.flatnonzero(user >= 0)
    pick = lambda name: [columns[name][place] for place in kept]  # noqa: E731
    held_as = np.array([account_class(*pair) for pair in zip(pick("type"), pick("subtype"), strict=True)], "i8")
    iso = [one.upper() if one else None for one in pick("iso_currency_code")]
    currencies = sorted({one for one in iso if one})
    number = {one: place for place, one in enumerate(currencies)}
    current, available, limit = (
        np.array([np.nan if one is None else one for one in pick(name)], "f8")
        for name in ("balance_current", "balance_available", "balance_limit")
    )
    epoch = np.datetime64("1970-01-01")
    opened, balance_day = (
        np.array([missing if one is None else int((np.datetime64(str(one)[:10]) - epoch).astype("i8")) for one in pick(name)], "i8")
        for name, missing in (("created_at", BEFORE_ALL), ("balance_date", BEFORE_ALL))
    )
    # The available balance stands in for an unknown current one, except on cards, where it is what may be spent.
    delivered = np.where((held_as != CREDIT_CARD) & np.isnan(current), available, current)
    return Held(
        pick("account_id"), user[kept], held_as, np.array([number[one] if one else -1 for one in iso], "i8"),
        currencies, opened, balance_day, delivered, np.where(limit > 0, limit, np.nan),
    )  # fmt: skip


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
    owed = (held.held_as == CREDIT_CARD) | (held.held_as == LOAN)
    balance = to_cents(held.delivered + np.where(owed, moved, -moved))
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
