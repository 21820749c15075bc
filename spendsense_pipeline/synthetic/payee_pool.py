"""Who is paid and who pays: names, Plaid v2 categories and prices, as a person would meet them.

The lists are data, ``data/tidy.csv`` and ``tidy.toml``. What does not belong here: who pays whom and when. None of the
lists is read by detection, and none was taken from it: the generator must not share the rules it is judged by.
"""

import csv
import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from spendsense_pipeline.synthetic.rng import Ints

DATA: Final = Path(__file__).with_name("data")


@dataclass(frozen=True)
class Payee:
    """One counterparty. ``prices`` are the plans on sale, in dollars, for those who sell at fixed prices."""

    group: str
    name: str
    primary: str | None  # null where the bank has no word for it
    detailed: str | None
    channel: str
    known: bool  # has a stable entity id
    prices: tuple[float, ...]


@dataclass(frozen=True)
class Habit:
    """A way of spending: how often against the others, between which amounts, where."""

    name: str
    weight: float
    low: float
    high: float
    scales: bool = False  # follows the budget
    card: bool = False
    menu: tuple[float, ...] = ()  # fixed prices instead of a range


def _payee(line: dict[str, str]) -> Payee:
    return Payee(
        line["group"],
        line["name"],
        line["primary"] or None,
        line["detailed"] or None,
        line["channel"],
        line["known"] == "1",
        tuple(float(price) for price in line["prices"].split()),
    )


with (DATA / "tidy.csv").open(encoding="utf-8", newline="") as _file:
    ALL: Final = tuple(_payee(line) for line in csv.DictReader(_file))
_TABLES: Final[dict[str, Any]] = tomllib.loads((DATA / "tidy.toml").read_text(encoding="utf-8"))
HABITS: Final = tuple(Habit(**habit) for habit in _TABLES["habit"])
ROUTINES: Final = tuple(_TABLES["routines"])
"""Groups of payees where people spend from habit and sign up for nothing."""


def codes(*groups: str) -> Ints:
    """Positions in ``ALL``, by which rows name their payee, of the payees of some groups."""
    return np.array([code for code, payee in enumerate(ALL) if payee.group in groups], dtype=np.int64)


def payees(group: str) -> list[Payee]:
    """The payees of a group."""
    return [payee for payee in ALL if payee.group == group]


def code(group: str) -> int:
    """Position in ``ALL`` of the only payee of a group."""
    (found,) = codes(group)
    return int(found)


def _digits(text: str, count: int) -> str:
    return str(int(hashlib.blake2b(text.encode(), digest_size=8).hexdigest(), 16))[-count:]


def entity_id(payee: Payee) -> str | None:
    """The payee's stable id, as an aggregator would give it; null for the unknown."""
    seller = "Amazon" if payee.group == "prime" else payee.name  # the marketplace's id, whatever was bought there
    return f"ent_{hashlib.blake2b(seller.encode(), digest_size=8).hexdigest()}" if payee.known else None


SPELLINGS: Final = 8


def spellings(payee: Payee) -> list[str]:
    """Names as statements show them, the clean one first: store numbers, processors, references, cities."""
    written = "payroll" if payee.primary == "INCOME" and payee.known else "other"
    forms = _TABLES["spellings"].get(payee.channel if payee.channel != "other" else written)
    reference = _digits(payee.name + "/ref", 6)
    said = {"name": payee.name, "loud": payee.name.upper(), "store": _digits(payee.name, 4), "reference": reference}
    return [form.format(**said, tail=reference[::-1]) for form in forms]
