"""Well-known payees: what they are called, what they are for, and how a text is recognised as theirs.

The table is data, ``data/known/*.toml``: a file for payees of several countries and one for each country. A group says
what its payees share (``category``, ``service``, ``counterparty``). Each line of it is a payee: a display name, then
the phrases that it is recognised by, its own name by default. A phrase of one word must stand where a name begins, or
anywhere with ``*`` before it; one of several words may stand anywhere; ``$`` behind a phrase asks that nothing else is
left of the name, so that `max$` is no `Max Burgers`. ``~`` before a display name: there are many such payees
(`~Finanzamt`), and each goes by its own name. The house's own file (``house_rules``) writes phrases the same way.
What does not belong here: cleaning a text (``names.py``), and which source of a category leads (``readings.py``).
"""

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.payees import names, vocabularies

SERVICES: Final = (
    "subscription",
    "bill",
    "gig",  # pays whoever works for it
    "cash_advance",
    "brokerage",
    "peer",  # moves money between people
    "instalments",  # a plan that ends by itself
    "shared_biller",  # one biller for many services
    "habit",  # bought often, on no calendar
)
COUNTERPARTIES: Final = ("merchant", "person", "employer", "state", "own", "bank")
YIELDS: Final = frozenset({"shared_biller"})
"""Services whose name gives way to another payee in the same text: `PAYPAL *SPOTIFY` is Spotify."""
_GLUED: Final = ("uk", "usa", "ab", "inc", "ltd", "gmbh", "bv")
"""What PayPal writes in one word with a name: `SPOTIFYUK`."""
_LEAST_GLUED: Final = 6
"""Letters of a name that is itself in one word with something else; `UBERBV` may be another word."""


@dataclass(frozen=True, slots=True)
class KnownPayee:
    """A payee of the table. ``key`` is its normalised name; a null category or service says nothing of it.

    ``generic``: there are many of the kind (tax offices, municipal utilities), so that each keeps its own name.
    """

    key: str
    display: str
    category: str | None
    service: str | None
    counterparty: str
    country: str | None
    generic: bool = False


@dataclass(frozen=True, slots=True)
class HouseRule:
    """A line of the house's own file: names in which ``pattern`` is found are of this category.

    ``overrides_delivered``: also where the row came with a category or a code of its own.
    """

    pattern: str
    category: str | None
    service: str | None = None
    display: str | None = None
    counterparty: str | None = None
    overrides_delivered: bool = False


class InvalidHouseFile(SpendSenseError):
    """The house's file of payees says something that means nothing; the message names the line, the field and what
    would be right."""

    code = "invalid_payees_file"


Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Match(Generic[Entry]):
    """What was found in a text's words, by which phrase, and where: from ``start`` to before ``end``."""

    entry: Entry
    phrase: names.Words
    start: int
    end: int


class Phrases(Generic[Entry]):
    """Phrases to look for, by their first word: a look-up for each word of a text, however many phrases there are."""

    def __init__(self, phrases: Iterable[tuple[str, Entry]]) -> None:
        self._by_word: dict[str, list[tuple[names.Words, bool, bool, Entry]]] = {}
        for phrase, entry in phrases:
            words, anywhere, whole = parsed(phrase)
            self._by_word.setdefault(words[0], []).append((words, anywhere, whole, entry))
        for found in self._by_word.values():
            found.sort(key=lambda each: -len(each[0]))

    def in_words(self, words: Sequence[str], starts: Sequence[int] = (0,)) -> list[Match[Entry]]:
        """All phrases found, at most one at each word, the longest."""
        found = []
        for at, word in enumerate(words):
            for phrase, anywhere, whole, entry in self._by_word.get(word, ()):
                end = at + len(phrase)
                if end - at > 1 and tuple(words[at:end]) != phrase:
                    continue
                if at not in starts and (whole or not anywhere):
                    continue
                if whole and not _nothing_left(words, end):
                    continue
                found.append(Match(entry, phrase, at, end))
                break
        return found


@cache
def parsed(phrase: str) -> tuple[names.Words, bool, bool]:
    """The words of a phrase, whether it may stand anywhere, and whether it must be all there is."""
    text = phrase.strip()
    whole = text.endswith("$")
    starred = text.startswith("*")
    words = tuple(text.strip("*$ ").split())
    if not words or any(word != names.fold(word) or not word.isalnum() for word in words):
        raise ValueError(f"{phrase!r} is no phrase of plain words: lower case, no accents, no punctuation")
    return words, starred or len(words) > 1, whole


def _nothing_left(words: Sequence[str], end: int) -> bool:
    """Whether the words behind a phrase name nothing further: legal forms, places, numbers."""
    if len(words) == end:
        return True
    rest = ["brand", *words[end:]]
    name = names.name_of(names.Text(rest, [word.upper() for word in rest], (0,)))
    return name is not None and len(name.words) == 1


def best(found: Sequence[Match[KnownPayee]], starts: Sequence[int]) -> Match[KnownPayee] | None:
    """Of several the one that is meant: what a house sells before the house (`AMAZON PAYMENTS … AMZNPRIME`), none that
    gives way, a plan before the shop that sells it (`BVG … DEUTSCHLANDTICKET`), then one that begins the name, then the
    longest."""
    if len(found) < 2:
        return found[0] if found else None
    displays = [each.entry.display for each in found]
    found = [each for each in found if not any(other.startswith(f"{each.entry.display} ") for other in displays)]
    return min(
        found,
        key=lambda each: (
            each.entry.service in YIELDS,
            each.entry.service == "habit" and any(other.entry.service == "subscription" for other in found),
            each.start not in starts,
            each.start - each.end,
            each.start,
        ),
    )


@cache
def table() -> tuple[KnownPayee, ...]:
    """Every payee of the shipped table, in the order of its files."""
    return tuple(payee for payee, _ in payees_and_phrases())


@cache
def phrases() -> Phrases[KnownPayee]:
    """What the payees of the table are recognised by. Raises ``ValueError`` for a phrase that two payees share."""
    owner: dict[tuple[names.Words, bool], str] = {}
    entries = []
    for payee, told in payees_and_phrases():
        for phrase in told:
            words, _, whole = parsed(phrase)
            before = owner.setdefault((words, whole), payee.display)
            if before != payee.display:
                raise ValueError(f"{phrase!r} stands for {before} and for {payee.display}")
            entries.append((phrase, payee))
    glued = [
        (f"*{words[0]}{ending}", payee)
        for phrase, payee in entries
        for words, anywhere, whole in [parsed(phrase)]
        if anywhere and not whole and len(words) == 1 and len(words[0]) >= _LEAST_GLUED
        for ending in _GLUED
    ]
    return Phrases([*entries, *glued])


def payees_and_phrases() -> Iterator[tuple[KnownPayee, list[str]]]:
    """Each payee of the table with the phrases that it is recognised by, as they are written."""
    for file in sorted((names.DATA / "known").glob("*.toml")):
        country = None if file.stem == "international" else file.stem
        for group in tomllib.loads(file.read_text(encoding="utf-8"))["group"]:
            for line in names.lines(group["payees"]):
                display, _, told = line.partition(":")
                generic, display = display.startswith("~"), display.lstrip("~")
                written = [phrase.strip() for phrase in told.split("|") if phrase.strip()]
                yield (
                    KnownPayee(
                        key=" ".join(_own_phrase(display).split()),
                        display=display,
                        category=group.get("category"),
                        service=group.get("service"),
                        counterparty=group.get("counterparty", "merchant"),
                        country=country,
                        generic=generic,
                    ),
                    written or [_own_phrase(display)],
                )


def _own_phrase(display: str) -> str:
    text = names.fold(display).replace("'", "").replace("’", "")
    return " ".join("".join(each if each.isalnum() else " " for each in text.replace("+", " plus ")).split())


# --- the house's own file --------------------------------------------------------------------------------------

FIELDS: Final = ("category", "service", "display", "counterparty", "overrides_delivered")


def house_rules(path: Path) -> tuple[HouseRule, ...]:
    """The lines of a house's file, ``[payees]`` with a line ``"phrase" = "CATEGORY"`` for each payee, or
    ``"phrase" = {category = ..., service = ..., display = ..., counterparty = ..., overrides_delivered = true}``.

    Raises ``InvalidHouseFile``, and for a file that is not there ``OSError``.
    """
    text = path.read_text(encoding="utf-8")
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidHouseFile(f"{path}: {error}") from None
    if set(told) != {"payees"} or not isinstance(told["payees"], dict):
        raise InvalidHouseFile(
            f'{path}: should hold one table, [payees], with lines such as "blue door" = "FOOD_AND_DRINK"'
        )
    written = text.splitlines()
    return tuple(_house_rule(path, written, phrase, value) for phrase, value in told["payees"].items())


def _house_rule(path: Path, written: Sequence[str], phrase: str, value: Any) -> HouseRule:
    number = next((n for n, line in enumerate(written, 1) if line.lstrip().strip("\"'").startswith(phrase)), 0)
    where = f"{path}, line {number}, {phrase!r}"
    try:
        parsed(phrase)
    except ValueError as error:
        raise InvalidHouseFile(f"{where}: {error}") from None
    fields = {"category": value} if isinstance(value, str) else value
    if not isinstance(fields, dict) or not fields:
        raise InvalidHouseFile(f"{where}: should be a category's name, or a table of {', '.join(FIELDS)}")
    for name, content in fields.items():
        problem = _problem(name, content)
        if problem:
            raise InvalidHouseFile(f"{where}: {name} {problem}")
    return HouseRule(pattern=phrase, **{"category": None, **fields})


def _problem(name: str, content: Any) -> str | None:
    """What is wrong with a field of a house's line, null where nothing is."""
    if name not in FIELDS:
        return f"is no field; there are {', '.join(FIELDS)}"
    if name == "overrides_delivered":
        return None if isinstance(content, bool) else f"is {content!r}, should be true or false"
    if not isinstance(content, str) or not content.strip():
        return f"is {content!r}, should be a text"
    if name == "category" and not is_target(content):
        return f"is {content!r}, should be one of Plaid's names, e.g. RENT_AND_UTILITIES_RENT"
    allowed = {"service": SERVICES, "counterparty": COUNTERPARTIES}.get(name)
    if allowed and content not in allowed:
        return f"is {content!r}, should be one of {', '.join(allowed)}"
    return None


def is_target(category: str) -> bool:
    """Whether a category is a name of the vocabulary that everything here is told in."""
    return vocabularies.known_name(category) and vocabularies.delivered_category(None, category) == category
