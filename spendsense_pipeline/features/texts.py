"""What names and categories say, read once per distinct text, as the numbers and bits that kernels read.

What does not belong here: the words (``data/words.toml``), and what a row is (``rows.py``).
"""

import functools
import re
import tomllib
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spendsense_pipeline.features.columns import Coded
from spendsense_pipeline.features.meanings import CATEGORY_SAYS, NAME_SAYS, TEXT_BILL, TEXT_NEVER, TEXT_NO_INCOME
from spendsense_pipeline.features.rows import PLACE_WORDS

Array = npt.NDArray[Any]


@functools.cache
def _data() -> dict[str, Any]:
    text = resources.files("spendsense_pipeline.features").joinpath("data/words.toml").read_text("utf-8")
    return tomllib.loads(text)


@functools.cache
def _words(name: str) -> re.Pattern[str]:
    return re.compile("(?:^| )(?:" + "|".join(_data()["words"][name]) + ")(?: |$)")


def _hold(text: str, name: str) -> bool:
    return _words(name).search(text) is not None


_PUNCTUATION = re.compile(r"[!-/:-@{-~_^•–—’\[\]`\\]")


def plain(text: str) -> str:
    """Lower case, punctuation turned into single spaces: the form in which words are looked for."""
    return re.sub(" +", " ", _PUNCTUATION.sub(" ", text.lower())).strip()


@functools.cache
def _patterns() -> tuple[list[tuple[re.Pattern[str], str]], list[re.Pattern[str]], re.Pattern[str], re.Pattern[str]]:
    names = _data()["names"]
    processors, boilerplate, pays = names["processors"], names["boilerplate"], names["pays"]
    before = [
        ("^.*merchant name: *", ""),
        (f"^{boilerplate}[ -]+([0-9x]{{4,}} +)?([0-9x]+/[0-9x]+ +)?", ""),
        (f"^{processors} ?[*] ?|^paypal inst xfer ", ""),
        (" (ppd|web|ccd|tel) id.*$| (id|indn):.*$", ""),
        (" (store|card|ref|no|nbr) ?#* *[0-9x]+", " "),
        ("# ?[0-9a-z]+", " "),
        ("(^| )[0-9x]{1,4}[/-][0-9x]{1,2}([/-][0-9x]{2,4})?( |$)", " "),
    ]
    after = [
        *(" [0-9]{2,} ", " [a-z]*[0-9][a-z0-9]*[0-9][a-z0-9]* ", " x{2,} "),
        *(" (com|inc|llc|ltd|corp|www|gmbh) ", "^([0-9]{4,}|x{2,}) ", " +"),
    ]
    return (
        [(re.compile(pattern), instead) for pattern, instead in before],
        [re.compile(pattern) for pattern in after],
        re.compile(f"^({pays} )+((from|deposit) )?|( {pays})+$"),
        re.compile(f"^{pays}$"),
    )


def payee_name(name: str) -> str:
    """The payee's name without what changes from row to row: processors, stores, references, dates.

    >>> payee_name("PAYPAL *SPOTIFY 98765")
    'spotify'
    """
    before, after, pays, only_pays = _patterns()
    text = name.lower()
    for pattern, instead in before:
        text = pattern.sub(instead, text)
    # Each reference is matched with its own two spaces; words beside it keep theirs.
    text = plain(text).replace(" ", "  ") + " "
    for pattern in after:
        text = pattern.sub(" ", text)
    text = text.strip()
    # A bank's letters and an account number name the other side; without the number two would be one.
    account = re.search("[ :-][A-Z]{2,4}(/[0-9]{6,})$", name)
    kept = only_pays.sub("", pays.sub("", text)) or text or plain(name)
    return kept + (account.group(1) if account else "")


def _says(text: str, payee: str) -> int:
    fee = _hold(text, "fee")
    says = {
        name: _hold(text, name)
        for name in (
            *("payroll", "deposited_pay", "gig", "peer", "interest", "refund", "unearned", "tax"),
            *("card_payment", "transfer", "cash_out", "cash_in"),
        )
    }
    says["fee"], says["penalty"] = fee, fee and _hold(text, "fee_cause")
    says["card_payment"] &= not (fee or says["interest"] or says["refund"])
    says["transfer"] &= not fee
    says["cash_out"] = (says["cash_out"] or text == "withdrawal") and not fee
    says["cash_in"] = (says["cash_in"] or text == "deposit") and not says["deposited_pay"]
    says["shared"] = _hold(payee, "shared_billers")
    says["by_paypal"] = text.startswith("paypal ")
    says["placed"] = re.search(f" [a-z]+ {_data()['names']['states']}$", payee) is not None
    return sum(1 << bit for bit, each in enumerate(NAME_SAYS) if says[each])


class Read(NamedTuple):
    """What the names and ids of a range say, by their number; texts are payees' names and ids, in their order."""

    says: Array
    text: Array
    stems: Array
    id_text: Array
    texts: list[str]
    text_says: Array


def read_names(names: list[str], ids: list[str]) -> Read:
    """Read each name once; the last of ``says``, ``text`` and ``stems`` is of no name, of ``id_text`` of no id."""
    payees = [payee_name(name) for name in names]
    texts = sorted({*payees, *ids} - {""})
    number = {text: place for place, text in enumerate(texts)}
    says = [_says(plain(name), payee) for name, payee in zip(names, payees, strict=True)]
    placed = 1 << NAME_SAYS.index("placed")
    stems = np.full((len(names) + 1, PLACE_WORDS), -1, "i8")
    states = _data()["names"]["states"]
    cuts = [re.compile(f"(?: [a-z]+){{{count}}} {states}$") for count in range(1, PLACE_WORDS + 1)]
    for place, (payee, bits) in enumerate(zip(payees, says, strict=True)):
        if bits & placed:
            for count, cut in enumerate(cuts):
                stem = cut.sub("", payee)
                stems[place, count] = number.get(stem, -1) if stem != payee else -1
    text_says = [
        (TEXT_NO_INCOME if _hold(text, "no_income") else 0)
        | (TEXT_NEVER if _hold(text, "never") else 0)
        | (TEXT_BILL if _hold(text, "bill") else 0)
        for text in map(plain, texts)
    ]
    return Read(
        np.array([*says, 0], "i8"),
        np.array([*(number.get(payee, -1) for payee in payees), -1], "i8"),
        stems.ravel(),
        np.array([*(number[identity] for identity in ids), -1], "i8"),
        texts,
        np.array(text_says, "i8"),
    )


def canonical_category(name: str | None) -> str | None:
    """One category name in Plaid's upper-case vocabulary; None when it tells nothing."""
    if name is None:
        return None
    data = _data()["categories"]
    spelled = re.sub("[^A-Z0-9]+", "_", name.upper().strip())
    return None if spelled in data["untelling"] else data["same"].get(spelled, spelled)


def _group(name: str | None, otherwise: str | None) -> str | None:
    if name is not None:
        for primary in _data()["categories"]["primaries"]:
            if name == primary or name.startswith(primary + "_"):
                return str(primary)
    return otherwise


def category_says(primary: str | None, detailed: str | None) -> int:
    """What two category names say together, as bits; the detailed one is the finer word."""
    data = _data()["categories"]
    first, finer = canonical_category(primary), canonical_category(detailed)
    group = (_group(first, first) if finer is None else _group(finer, first or finer)) or ""
    name = finer or first or ""
    transfer = group in ("TRANSFER", "TRANSFER_IN", "TRANSFER_OUT")
    elsewhere = ("TRANSFER_OUT_WITHDRAWAL", "TRANSFER_IN_DEPOSIT", "TRANSFER_IN_CASH_ADVANCES_AND_LOANS")
    says = {
        "unknown": not name,
        "transfer": transfer,
        "transfer_in": group in ("TRANSFER_IN", "TRANSFER"),
        "transfer_out": group == "TRANSFER_OUT",
        "other_transfer": transfer and name not in elsewhere,
        "own_funds": re.search("^TRANSFER_(IN_|OUT_)?(SAVINGS|INVESTMENT_AND_RETIREMENT_FUNDS)$", name) is not None,
        "from_apps": name.endswith("_FROM_APPS"),
        "withdrawal": name == "TRANSFER_OUT_WITHDRAWAL",
        "deposit": name == "TRANSFER_IN_DEPOSIT",
        "purchase": bool(name) and group not in data["no_purchase"],
        "earned": name in data["earned"],
        "income": group == "INCOME",
        "interest_earned": name == "INCOME_INTEREST_EARNED",
        "tax_refund": name == "INCOME_TAX_REFUND",
        "bank_fees": group == "BANK_FEES",
        "interest_charged": name == "BANK_FEES_INTEREST_CHARGE",
        "penalty": name in data["fees"],
        "loan_payments": group == "LOAN_PAYMENTS",
        "card_payment": name == "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT",
        "never": group in data["never"] or name in data["never_detailed"],
        "bill": group in data["bills"] or name in data["bills_detailed"],
        "unearned": name in data["no_income"] or group == "LOAN_DISBURSEMENTS",
    }
    return sum(1 << bit for bit, each in enumerate(CATEGORY_SAYS) if says[each])


def read_categories(primary: Coded, detailed: Coded) -> Array:
    """What the two categories of each row say: every pair of names that occurs is read once."""
    width = len(detailed.texts) + 1
    pair = (primary.codes + 1) * width + detailed.codes + 1
    says = np.zeros((len(primary.texts) + 1) * width, "i8")
    primaries, details = [*primary.texts.to_pylist(), None], [*detailed.texts.to_pylist(), None]
    for place in np.flatnonzero(np.bincount(pair, minlength=len(says))):
        first, finer = int(place) // width - 1, int(place) % width - 1
        says[place] = category_says(primaries[first], details[finer])
    return np.asarray(says[pair])
