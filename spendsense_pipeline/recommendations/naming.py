"""Which payees a text may name: an allow-list, since what a name says of its customer cannot be listed whole.

A payee is named where everybody knows it and its category is plain, where many customers pay its list price, or where
category and name both say that it is a utility. The
others are left unnamed: their slots cannot be filled, and pieces that speak of "a payment of $14.99" fit instead.
What does not belong here: how names are made of texts (``payees``), and what a whole text may say (``guardrails``).
"""

import functools
import re
import tomllib
from importlib import resources
from typing import Final

from spendsense_pipeline.payees import known, names, words

UTILITIES: Final = tuple(
    f"RENT_AND_UTILITIES_{kind}"
    for kind in ("GAS_AND_ELECTRICITY", "INTERNET_AND_CABLE", "SEWAGE_AND_WASTE_MANAGEMENT", "TELEPHONE", "WATER")
)
_READABLE: Final = re.compile(r"[^\W_][\w&.'’+!, -]{0,38}[\w.!+'’]", re.UNICODE)
_SITE: Final = re.compile(r"(?<=\w)\.(?:com|net|org|tv|io|de|fr|nl|co\.uk)$", re.IGNORECASE)
_NEVER: Final = re.compile(r"\d{4,}|https?|www\.")


@functools.lru_cache(maxsize=65_536)
def sayable(payee: str | None, category: str | None = None, *, listed: bool = False) -> bool:
    """Whether a payee may be named.

    ``category`` is that of its rows or stream, in Plaid's names. ``listed``: it is known by a list price that many
    customers pay (``payees.population``), whoever it is.

    >>> sayable("Netflix"), sayable("Maria Lopez"), sayable("Corner Gym"), sayable("Corner Gym", listed=True)
    (True, False, False, True)
    >>> sayable("City Power"), sayable("City Power", "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY")
    (False, True)
    """
    if not payee or not _READABLE.fullmatch(payee) or _NEVER.search(payee):
        return False
    _, categories = _plain_and_sensitive_categories()
    if (category or "").startswith(categories) or any(map(_words("sensitive").search, (payee, names.fold(payee)))):
        return False
    return is_well_known(payee) or ((listed or _is_utility(payee, category)) and not _speaks(payee))


def _is_utility(payee: str, category: str | None) -> bool:
    """Whether a payee's category is power, water, telephone or the like, and its name says so, as `City Power` does."""
    said = words.BITS["utility"] | words.BITS["telecom"]
    return (category or "").startswith(UTILITIES) and bool(words.says(words.plain(payee)) & said)


@functools.cache
def known_payee(name: str) -> known.KnownPayee | None:
    """The payee of the shipped table that a whole name stands for, in whatever case and accents; null for others."""
    for whole in (name, name := _SITE.sub("", name)):
        if found := _by_name().get(names.fold(whole).strip()):
            return found
    parts = re.findall(r"[^\W_]+", names.fold(name).replace("'", ""))
    matches = [match for match in known.phrases().in_words(parts) if match.start == 0 and match.end == len(parts)]
    return matches[0].entry if matches else None


@functools.cache
def is_well_known(payee: str) -> bool:
    """Whether a payee of this name is in the shipped table, one of its kind and of a plain category."""
    found, (plain, sensitive) = known_payee(payee), _plain_and_sensitive_categories()
    if found is None or found.generic or found.category is None or found.counterparty == "state":
        return False
    return found.category.startswith(plain) and not found.category.startswith(sensitive)


@functools.cache
def _speaks(payee: str) -> bool:
    """Whether a name is a person's, or a message to whoever reads it: it is held to what holds for texts."""
    from spendsense_pipeline.recommendations.guardrails import review_text  # which reads names itself, by this module
    from spendsense_pipeline.recommendations.guardrails.language import foreign

    parts = names.fold(payee).split()
    if names.is_person(parts) or _words("messages").search(payee) or foreign(payee):
        return True
    return any(finding["check"] != "disclosure" for finding in review_text("", f"You pay {payee}.", "", {}))


@functools.cache
def _by_name() -> dict[str, known.KnownPayee]:
    return {names.fold(payee.display): payee for payee in known.table()}


@functools.cache
def _data() -> dict[str, list[str]]:
    text = resources.files("spendsense_pipeline.recommendations").joinpath("data/sensitive.toml").read_text("utf-8")
    return tomllib.loads(text)


def _plain_and_sensitive_categories() -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(_data()["plain"]), tuple(_data()["categories"])


@functools.cache
def _words(of: str) -> re.Pattern[str]:
    """The ``messages``, or the names of all ``sensitive`` kinds, as one pattern."""
    data = _data()
    kinds = (
        ["messages"] if of == "messages" else [kind for kind in data if kind not in ("plain", "categories", "messages")]
    )
    listed = sorted({name for kind in kinds for name in data[kind]}, key=lambda name: (-len(name), name))
    either = "|".join(re.escape(name).replace(r"\*", r"\w*").replace(r"\ ", r"[\W_]*") for name in listed)
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)
