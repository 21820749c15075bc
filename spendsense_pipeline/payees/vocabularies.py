"""What a delivered category, merchant category code or transaction code means.

Every source names things its own way; here each name is looked up in the published vocabularies and answered in one:
the names of Plaid's personal finance categories, version 1, and a few that it lacks (``beyond_v1.csv`` says why).
A name that stands in no vocabulary means nothing here, whatever it looks like: to guess is for ``words.py``.

The vocabularies are CSV files under ``data/vocabularies``, with their source and date in the first lines. What does
not belong here: payees, and anything about a customer's rows.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple, TypeVar

from spendsense_pipeline.payees.words import plain

TARGETS = ("plaid_v1.csv", "beyond_v1.csv")
NAMES = (
    *("plaid_v2.csv", "plaid_legacy.csv", "flat.csv", "mint_mx.csv", "finicity.csv", "teller.csv"),
    *("card_issuers.csv", "app_banks.csv", "yodlee.csv", "budget_apps.csv"),
)
CODES = (
    *("codes_nacha.csv", "codes_iso20022_purpose.csv", "codes_iso20022_btc.csv", "codes_gvc.csv"),
    *("codes_swift_ofx.csv", "codes_uk.csv", "codes_apis.csv"),
)
MERCHANT_CODES = "mcc.csv"

# What a transaction code may say, the more telling first: of a code made of several, the first in this order counts.
MARKS = (
    "return",  # a debit or credit sent back unpaid: it cancels what it repeats
    "reversal",  # an entry undone or corrected
    "refund",  # a purchase or an expense given back
    "fee",  # a charge of the bank
    "interest",  # charged or earned: the sign tells
    "dividend",
    "payroll",
    "pension",
    "benefit",  # from the state
    "tax",  # paid or given back: the sign tells
    "loan",  # paid out or back: the sign tells
    "cash",  # withdrawn or paid in: the sign tells
    "transfer",  # own money from one account to another, or so the source says
    "investment",
    # How it was paid, which says nothing of what for.
    "card",
    "direct_debit",
    "standing_order",
    "check",
    "deposit",
    "prearranged",  # an ACH entry: wages and benefits where money comes in, a debit where it goes out
    "credit_transfer",  # to or from somebody
)

UNTELLING = ("", "INCOME", "INCOME_OTHER_INCOME")  # of income, that it came in is all they tell
Meaning = TypeVar("Meaning")
_LEVELS = re.compile(r"[,>:|;/-]")


@dataclass(frozen=True)
class Code:
    """What a transaction code says: a category, where it is for one thing, and one of ``MARKS``; either may be null."""

    category: str | None
    mark: str | None


class MerchantCodes(NamedTuple):
    """A range of merchant category codes, both ends included, and its category (null: it tells nothing)."""

    first: int
    last: int
    category: str | None


@lru_cache(maxsize=1 << 14)
def delivered_category(primary: str | None, detailed: str | None) -> str | None:
    """Plaid's name for the category that a source delivered; null where its names tell nothing or are unknown.

    The detailed name speaks first, the primary where it does not. Case, spaces, punctuation, plurals and ``&`` make
    no difference, a path means what its nearest known parent means, and a number is a merchant category code.

    >>> delivered_category("Food & Drink", None)
    'FOOD_AND_DRINK'
    >>> delivered_category("Food and Drink", "Food and Drink, Restaurants, Coffee Shop")
    'FOOD_AND_DRINK_COFFEE'
    >>> delivered_category("5814", None)
    'FOOD_AND_DRINK_FAST_FOOD'
    """
    return _category(detailed) or _category(primary)


def known_name(name: str) -> bool:
    """Whether a category's name is in any vocabulary, be it one that tells nothing (``Uncategorized``).

    >>> known_name("OTHER"), known_name("Zorgkosten overig")
    (True, False)
    """
    return _looked_up(name) is not None


@lru_cache(maxsize=1 << 14)
def mcc_category(mcc: str | None) -> str | None:
    """Plaid's name for a merchant category code of up to four digits; null for none, and for a code of anything.

    >>> mcc_category("7997")
    'PERSONAL_CARE_GYMS_AND_FITNESS_CENTERS'
    """
    merchants = _merchants(mcc)
    return merchants.category if merchants else None


@lru_cache(maxsize=1 << 14)
def code_meaning(code: str | None) -> Code | None:
    """What a transaction code or entry description says; null where it is in no vocabulary.

    Read as a whole first, then by its levels (``PMNT-RDDT-ESDD`` is of the family ``PMNT-RDDT``), then by the words
    in it, of which the most telling counts (``ACH PPD PAYROLL`` is ``PAYROLL``).

    >>> code_meaning("SALA")
    Code(category='INCOME_WAGES', mark='payroll')
    >>> code_meaning("109").mark  # German: a returned direct debit
    'return'
    """
    if not code:
        return None
    known = _known_codes()
    whole = known.get(_squeezed(code))
    if whole is not None:
        return whole
    parts = [part for part in re.split(r"[\s/.,:;_+-]+", code.upper()) if part]
    if len(parts) == 1 and len(parts[0]) == 12:
        parts = [parts[0][at : at + 4] for at in (0, 4, 8)]
    if len(parts) > 1 or len(code) > 4:
        levels = ["".join(parts), "*" + parts[-1], "PMNT" + "".join(parts), "".join(parts[:2]), "PMNT" + parts[0]]
        by_level = next((known[level] for level in levels if level in known), None)
        if by_level is not None:
            return by_level
    spans = ["".join(parts[first:last]) for first in range(len(parts)) for last in range(first + 1, len(parts) + 1)]
    found = [known[span] for span in spans if span in known]
    return min(found, key=_telling, default=None)


@cache
def categories() -> dict[str, str]:
    """Every category that this module may answer, and its group; a group is a category where nothing finer is known."""
    targets = {row["name"]: row["primary"] for file in TARGETS for _, row in _rows(file)}
    return targets | {primary: primary for primary in targets.values()}


@lru_cache(maxsize=1 << 14)
def _looked_up(name: str) -> tuple[str | None] | None:
    """The category of a name, in a tuple; a tuple of null where the name tells nothing, null where it is unknown."""
    if name.strip().isdigit():
        merchants = _merchants(name)
        return (merchants.category,) if merchants else None
    known = _known_names()
    levels = [level for level in _LEVELS.split(name) if level.strip()]
    # A shop's `Food:Coffee` is no path of a vocabulary, but its last level is a name of its own.
    paths = [name, *(",".join(levels[:depth]) for depth in range(len(levels) - 1, 1, -1)), *levels[-1:], *levels[:1]]
    keys = [key for key in map(_key, paths) if key in known]
    if not keys:
        return None
    # What is listed whole means what the list says, nothing too; of a path's parts the first that tells counts.
    telling = None if keys[0] == _key(name) else next((known[key] for key in keys if known[key]), None)
    return (telling or known[keys[0]],)


def _category(name: str | None) -> str | None:
    found = _looked_up(name) if name else None
    return found[0] if found else None


def _merchants(mcc: str | None) -> MerchantCodes | None:
    digits = (mcc or "").strip()
    if not (digits.isascii() and digits.isdigit() and 3 <= len(digits) <= 4):
        return None
    return next((codes for codes in _merchant_codes() if codes.first <= int(digits) <= codes.last), None)


def _telling(code: Code) -> int:
    return MARKS.index(code.mark) if code.mark else len(MARKS)


def _key(name: str) -> str:
    """A name without case, spaces, punctuation and plurals: `Coffee Shops` and `coffee_shop` are one."""
    return "_".join(_singular(word) for word in plain(name.replace("&", " and ")).upper().split())


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("IES"):
        return word[:-3] + "Y"
    return word[:-1] if len(word) > 3 and word.endswith("S") and not word.endswith("SS") else word


def _squeezed(code: str) -> str:
    """A code without case, spaces and punctuation; `)))`, a bank's sign for contactless, is nothing else."""
    return re.sub(r"[^A-Z0-9*]", "", code.upper()) or code.strip()


@cache
def _known_names() -> dict[str, str | None]:
    names = {_key(name): _target(name) for name in categories()}
    return _merged(names, NAMES, "name", _key, lambda row, file, line: _target(row["category"], file, line))


@cache
def _known_codes() -> dict[str, Code]:
    def meaning(row: dict[str, str], file: str, line: int) -> Code:
        if row["mark"] and row["mark"] not in MARKS:
            raise ValueError(f"{file}, line {line}: {row['mark']!r} is no mark; one of {', '.join(MARKS)}")
        return Code(_target(row["category"], file, line), row["mark"] or None)

    return _merged({}, CODES, "code", _squeezed, meaning)


def _merged(
    known: dict[str, Meaning],
    vocabularies: Sequence[str],
    column: str,
    key: Callable[[str], str],
    meaning: Callable[[dict[str, str], str, int], Meaning],
) -> dict[str, Meaning]:
    """What several vocabularies list, in which one name or code has one meaning, by its key."""
    for file in vocabularies:
        seen: set[str] = set()
        for line, row in _rows(file):
            word, found = key(row[column]), meaning(row, file, line)
            if word in seen:
                raise ValueError(f"{file}, line {line}: {row[column]!r} is listed twice; keep one")
            if known.setdefault(word, found) != found:
                raise ValueError(
                    f"{file}, line {line}: {row[column]!r} means {found} here and {known[word]} in another "
                    f"vocabulary; one {column} needs one meaning"
                )
            seen.add(word)
    return known


@cache
def _merchant_codes() -> tuple[MerchantCodes, ...]:
    return tuple(
        MerchantCodes(int(row["first"]), int(row["last"]), _target(row["category"], MERCHANT_CODES, line))
        for line, row in _rows(MERCHANT_CODES)
    )


def _target(name: str, file: str = "", line: int = 0) -> str | None:
    """The category, checked against the target vocabulary; an empty one tells nothing."""
    if name and name not in categories():
        raise ValueError(f"{file}, line {line}: {name!r} is no category of plaid_v1.csv or beyond_v1.csv")
    return None if name in UNTELLING else name


def _rows(file: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a vocabulary with their line numbers, without the comment on its first lines."""
    text = (files("spendsense_pipeline.payees") / "data" / "vocabularies" / file).read_text(encoding="utf-8")
    lines = text.splitlines()
    comment = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    yield from enumerate(csv.DictReader(lines[comment:]), start=comment + 2)
