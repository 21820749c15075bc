"""What the descriptors of a range's rows say, as the numbers and bits that kernels read.

Each distinct descriptor is read once (``payees/readings.py``); many say the same, and rows hold the number of what is
said. What does not belong here: how a descriptor is read, and what a row is (``rows.py``).
"""

import functools
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spendsense_pipeline.features.columns import coded
from spendsense_pipeline.features.meanings import CATEGORY_SAYS, TOLD_BITS
from spendsense_pipeline.payees.known import HouseRule
from spendsense_pipeline.payees.readings import DESCRIPTOR, Reader
from spendsense_pipeline.payees.vocabularies import categories

Array = npt.NDArray[Any]
_DELIVERED = ("category", "mcc", "code", "house")
_FROM = dict.fromkeys(("mcc", "code"), "code") | dict.fromkeys(("house", "known_payee"), "known_payee")
_FROM |= dict.fromkeys(("population", "model"), "population") | {"category": "category", "words": "words"}


class Payees(NamedTuple):
    """What is known of payees beside the shipped tables: the house's own lines, and what the population shows by the
    newest day that is not after the date (days since 1970; a table of ``payees.population.POPULATION``)."""

    house: tuple[HouseRule, ...] = ()
    populations: Mapping[int, pa.Table] = {}

    def on(self, date: int) -> pa.Table | None:
        """The population's evidence of a date."""
        days = [day for day in self.populations if day <= date]
        return self.populations[max(days)] if days else None


class Said(NamedTuple):
    """What descriptors say. By number of what is said: ``says``, ``told`` and ``category`` are bits, ``label`` is the
    category's number, ``text`` the payee's, ``display`` its readable name's; -1 where there is none.

    ``of`` is the number of what is said by version and descriptor, ``versions`` the version by date. ``id_text`` and
    ``id_display`` are by id; their last is of no id."""

    says: Array
    told: Array
    category: Array
    label: Array
    text: Array
    display: Array
    of: Array
    versions: list[int]
    id_text: Array
    id_display: Array
    texts: list[str]
    displays: list[str]
    labels: list[str]


@functools.cache
def _categories() -> dict[str, list[str]]:
    text = resources.files("spendsense_pipeline.features").joinpath("data/categories.toml").read_text("utf-8")
    return tomllib.loads(text)


@functools.cache
def category_says(name: str | None, inferred: bool = False) -> int:
    """What a category says, as bits; ``inferred``: nobody delivered it."""
    listed = _categories()
    group = categories()[name] if name else ""
    names = {name, group} if name else set()
    transfer = group in ("TRANSFER", "TRANSFER_IN", "TRANSFER_OUT")
    says = {
        "unknown": not name,
        "inferred": inferred and bool(name),
        "transfer": transfer,
        "transfer_in": group in ("TRANSFER_IN", "TRANSFER"),
        "transfer_out": group in ("TRANSFER_OUT", "TRANSFER"),
        "own_funds": transfer and (name or "").endswith(("_SAVINGS", "_INVESTMENT_AND_RETIREMENT_FUNDS")),
        "from_apps": (name or "").endswith("_FROM_APPS"),
        "withdrawal": name == "TRANSFER_OUT_WITHDRAWAL",
        "deposit": name == "TRANSFER_IN_DEPOSIT",
        "purchase": bool(name) and group not in listed["no_purchase"],
        "income": group == "INCOME",
        "interest_earned": name == "INCOME_INTEREST_EARNED",
        "tax_refund": name == "INCOME_TAX_REFUND",
        "bank_fees": group == "BANK_FEES",
        "interest_charged": name == "BANK_FEES_INTEREST_CHARGE",
        "loan_payments": group == "LOAN_PAYMENTS",
        "card_payment": name == "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT",
        "advance": name in ("TRANSFER_IN_CASH_ADVANCES_AND_LOANS", "LOAN_PAYMENTS_CASH_ADVANCES", "LOAN_PAYMENTS_EWA"),
        **{each: not names.isdisjoint(listed[each]) for each in ("earned", "penalty", "benefit", "habit", "bill")},
        "subscription": not names.isdisjoint(listed["subscription"]) or name in listed["subscription_alone"],
        "goods": not names.isdisjoint(listed["goods"]),
        "transport": group in ("TRANSPORTATION", "TRAVEL"),
        "loose": name in listed["subscription_alone"],
        "unearned": name in listed["unearned"],
    }
    return sum(1 << bit for bit, each in enumerate(CATEGORY_SAYS) if says[each])


@functools.lru_cache(maxsize=4)
def _reader(house: tuple[HouseRule, ...]) -> Reader:
    return Reader(house)


def numbered(transactions: pa.Table, places: Array) -> tuple[Array, pa.Table]:
    """The number of each row's descriptor, for the rows at ``places``, and the descriptors."""
    codes = np.zeros(len(places), "i8")
    first = places[:1]
    for name in DESCRIPTOR:
        if name not in transactions.column_names or transactions[name].null_count == len(transactions):
            continue
        column = coded(transactions[name])
        codes, first = _dense(codes * (len(column.texts) + 1) + column.codes[places] + 1, places)
    there = [name for name in DESCRIPTOR if name in transactions.column_names]
    descriptors = transactions.select(there).take(pa.array(first))
    # As plain texts: a list of a dictionary's values takes Python fifteen times as long.
    plain = [
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in descriptors.schema
    ]
    return codes, descriptors.cast(pa.schema(plain))


def _dense(codes: Array, places: Array) -> tuple[Array, Array]:
    """Numbers without gaps in the order of the codes, and the place where each occurs."""
    most = int(codes.max(initial=-1)) + 1
    if most > 4 * len(codes) + 1000:
        _, first, dense = np.unique(codes, return_index=True, return_inverse=True)
        return dense.astype("i8"), places[first]
    where = np.full(most, -1, "i8")
    where[codes[::-1]] = places[::-1]
    used = where >= 0
    return (np.cumsum(used) - 1)[codes], where[used]


def said(descriptors: pa.Table, ids: list[str], dates: Sequence[int], payees: Payees) -> Said:
    """What the descriptors say on each date, and the ids of merchants."""
    read = _reader(payees.house)
    numbers: dict[tuple[Any, ...], int] = {}
    versions: list[int] = []
    tables: dict[int, int] = {}
    of: list[Array] = []
    for date in dates:
        population = payees.on(date)
        if id(population) not in tables:
            tables[id(population)] = len(of)
            of.append(
                np.array([numbers.setdefault(one, len(numbers)) for one in read.rows(descriptors, population)], "i8")
            )
        versions.append(tables[id(population)])
    rows = list(numbers)
    texts = sorted({row[0] for row in rows if row[0]} | set(ids))
    displays = sorted({row[1] for row in rows if row[1]} | set(map(readable, ids)))
    labels = sorted({row[2] for row in rows if row[2]})
    text, display, label = ({each: place for place, each in enumerate(names)} for names in (texts, displays, labels))
    return Said(
        np.array([row[6] for row in rows], "i8"),
        np.array([_told(row) for row in rows], "i8"),
        np.array([category_says(row[2], row[3] not in _DELIVERED) for row in rows], "i8"),
        np.array([label.get(row[2], -1) for row in rows], "i8"),
        np.array([text.get(row[0], -1) for row in rows], "i8"),
        np.array([display.get(row[1], -1) for row in rows], "i8"),
        np.concatenate(of) if of else np.empty(0, "i8"),
        versions,
        np.array([*(text[each] for each in ids), -1], "i8"),
        np.array([*(display[readable(each)] for each in ids), -1], "i8"),
        texts, displays, labels,
    )  # fmt: skip


def readable(text: str) -> str:
    """An id or a normalised name as people write it; account numbers stay in capitals."""
    return " ".join(word.upper() if "/" in word else word.capitalize() for word in text.split(" "))


def _told(row: tuple[Any, ...]) -> int:
    _, _, _, source, counterparty, service, _, mark, list_priced, own_priced, bare, by_paypal = row
    bits = 0
    for prefix, name in (("to", counterparty), ("service", service), ("mark", mark), ("from", _FROM.get(source))):
        bits |= TOLD_BITS[f"{prefix}_{name}"] if name else 0
    for name, value in (
        ("list_priced", list_priced),
        ("own_priced", own_priced),
        ("bare", bare),
        ("by_paypal", by_paypal),
    ):
        bits |= TOLD_BITS[name] if value else 0
    return bits
