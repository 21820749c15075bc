"""What the words of a payee's name or a descriptor say, in English, German, French, Dutch and Spanish.

A word is looked for whole, in ``plain`` text: `coffee` is no fee and `chocolate` is not late. Inside a name that is
known to mislead (`masked.toml`: Rent the Runway) no word is looked for. The words are TOML files under
``data/words``, one for each of ``CLASSES``, and ``categories.toml`` for ``word_category``:

- ``en``, ``de``, ``fr``, ``nl``, ``es``: words and phrases; `*miete` is any word that ends so, for German and Dutch
  write in one word what others write in two;
- ``whole``: texts that say it where nothing else stands in them;
- ``patterns``: regular expressions, tried where one of the words in ``when`` occurs;
- ``not``: phrases in whose presence the class says nothing;
- ``needs``, ``unless``: classes of which one, or none, must be said too;
- ``of``: classes that say this one as well.

What does not belong here: what a row is. Words are evidence; sign, category and account decide with them.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

# The order is the position of the bit that a class sets: new classes go to the end.
CLASSES: tuple[str, ...] = (
    *("payroll", "deposited_pay", "employer_mark", "prearranged", "bonus", "gig", "peer", "interest", "refund"),
    *("unearned", "tax", "fee", "penalty", "fee_reversal", "service_fee", "return", "card_payment", "transfer"),
    *("credit_transfer", "own_account", "cash_out", "cash_in", "habit", "rent", "loan", "insurance", "utility"),
    *("telecom", "childcare", "education", "donation", "dues", "standing_order", "direct_debit", "bill"),
    *("subscription", "no_income", "benefit", "pension", "cash_advance", "instalment", "gift", "card", "plan"),
)
BITS: dict[str, int] = {name: 1 << place for place, name in enumerate(CLASSES)}
LANGUAGES = ("en", "de", "fr", "nl", "es")

# What Unicode does not take apart into a letter and its accent.
_UNSPLIT = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ı": "i"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_PUNCTUATION = re.compile(r"[\W_]+")


def plain(text: str) -> str:
    """Lower case, no accents, punctuation turned into single spaces: the form in which words are looked for.

    >>> plain("Café-Müller*Straße  12")
    'cafe muller strasse 12'
    """
    lower = text.lower()
    if not lower.isascii():
        # Folded between two decompositions: mathematical and other styled letters become capitals by the first.
        folded = unicodedata.normalize("NFKD", text).casefold().translate(_UNSPLIT)
        lower = "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
    return _PUNCTUATION.sub(" ", lower).strip()


def says(*plain_texts: str) -> int:
    """The bits of every class that the words of a row's plain texts say; ``BITS`` names them. What one text says may
    be denied by another: `BELASTINGDIENST` and `HUURTOESLAG` are no tax.

    >>> bool(says("overdraft item fee") & BITS["penalty"]), bool(says("corner coffee") & BITS["fee"])
    (True, False)
    """
    if len(plain_texts) == 1:
        return _reading(plain_texts[0])[0]
    said = denied = 0
    for text in plain_texts:
        found = _reading(text)
        said |= found[2]
        denied |= found[3]
    return _by_rules(said & ~denied)[0]


def word_category(plain_text: str) -> str | None:
    """Plaid's name for what the words of a payee's name stand for; null where they say nothing of it.

    The first in the order of ``categories.toml``. Null also beside words of pay, benefits, cash or the bank's own
    fees: `CITY SCHOOL DISTRICT PAYROLL` pays no tuition.

    >>> word_category("stadtbackerei schmidt")
    'FOOD_AND_DRINK_GROCERIES'
    """
    return _reading(plain_text)[1]


@dataclass
class Phrase:
    """What a word or phrase stands for: classes it says and denies, patterns worth trying, its rank as a category."""

    says: int = 0
    denies: int = 0
    tries: int = 0
    rank: int | None = None

    def join(self, other: "Phrase") -> None:
        self.says |= other.says
        self.denies |= other.denies
        self.tries |= other.tries
        ranks = [rank for rank in (self.rank, other.rank) if rank is not None]
        self.rank = min(ranks, default=None)


# Of the phrases that a word begins: their second word, and for each the words after it with what the phrase stands for.
Phrases = dict[str, list[tuple[list[str], Phrase]]]


@dataclass
class Lexicon:
    """Every word list, laid out by the first word of each phrase."""

    words: dict[str, Phrase] = field(default_factory=dict)
    phrases: dict[str, Phrases] = field(default_factory=dict)
    endings: dict[str, Phrase] = field(default_factory=dict)
    whole: dict[str, int] = field(default_factory=dict)
    brands: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    patterns: list[tuple[int, re.Pattern[str]]] = field(default_factory=list)
    rules: list[tuple[int, int, int]] = field(default_factory=list)  # class, needs, unless
    wholes_of_parts: list[tuple[int, int]] = field(default_factory=list)  # class, its parts
    categories: list[str] = field(default_factory=list)
    category_unless: list[int] = field(default_factory=list)  # by rank, classes beside which it is not meant
    rank_of_class: list[tuple[int, int]] = field(default_factory=list)  # class, rank
    silence: int = 0  # classes beside which no category is read

    def add(self, text: str, meaning: Phrase) -> None:
        """Enter a word, a phrase or an `*ending`, also as it is spelled without umlauts: `Gebuehr`."""
        for spelling in _spellings(text):
            first, *rest = spelling.split()
            if text.startswith("*"):
                self.endings.setdefault(spelling, Phrase()).join(meaning)
            elif not rest:
                self.words.setdefault(spelling, Phrase()).join(meaning)
            else:
                self.phrases.setdefault(first, {}).setdefault(rest[0], []).append((rest[1:], meaning))


@lru_cache(maxsize=1 << 12)
def _reading(text: str) -> tuple[int, str | None, int, int]:
    """What a text says and its category, and what its words say and deny before the rules: all of one pass."""
    lexicon = _lexicon()
    tokens = text.split(" ")
    if not lexicon.brands.keys().isdisjoint(tokens):
        tokens = _without_brands(tokens, lexicon.brands)
    said = lexicon.whole.get(text, 0)
    denied = tried = 0
    ranks: list[int] = []
    last = len(tokens) - 1
    found: list[Phrase] = []
    for place, token in enumerate(tokens):
        meaning, phrases = _meanings(token)
        if meaning is not None:
            found.append(meaning)
        if phrases is not None and place < last:
            for rest, phrase_meaning in phrases.get(tokens[place + 1], ()):
                if tokens[place + 2 : place + 2 + len(rest)] == rest:
                    found.append(phrase_meaning)
    for meaning in found:
        said |= meaning.says
        denied |= meaning.denies
        tried |= meaning.tries
        if meaning.rank is not None:
            ranks.append(meaning.rank)
    if tried:
        read = " ".join(tokens)
        for bit, pattern in lexicon.patterns:
            if tried & bit and pattern.search(read):
                said |= bit
    kept, class_rank = _by_rules(said & ~denied)
    rank = min((each for each in ranks if not kept & lexicon.category_unless[each]), default=class_rank)
    rank = min(rank, class_rank)
    silent = kept & lexicon.silence or rank == len(lexicon.categories)
    return kept, None if silent else lexicon.categories[rank], said, denied


@lru_cache(maxsize=1 << 12)
def _by_rules(said: int) -> tuple[int, int]:
    """Without the classes that need another, or that another speaks against; with those that are made of parts.

    And the rank of the first category that a class stands for.
    """
    lexicon = _lexicon()
    ranks = [rank for bit, rank in lexicon.rank_of_class if said & bit]
    kept = said
    for bit, needs, _ in lexicon.rules:
        if needs and not said & needs:
            kept &= ~bit
    raw = kept
    for bit, _, unless in lexicon.rules:
        if raw & unless:
            kept &= ~bit
    for bit, parts in lexicon.wholes_of_parts:
        if kept & parts:
            kept |= bit
    return kept, min(ranks, default=len(lexicon.categories))


def _without_brands(tokens: list[str], brands: dict[str, list[tuple[str, ...]]]) -> list[str]:
    """The words of a text, with those of a misleading name left blank."""
    place = 0
    while place < len(tokens):
        for brand in brands.get(tokens[place], ()):
            if tuple(tokens[place : place + len(brand)]) == brand:
                tokens[place : place + len(brand)] = [""] * len(brand)
                place += len(brand) - 1
                break
        place += 1
    return tokens


@lru_cache(maxsize=1 << 16)
def _meanings(token: str) -> tuple[Phrase | None, Phrases | None]:
    """What a word stands for, alone or by its ending; and the phrases that it begins, by their second word."""
    lexicon = _lexicon()
    alone = [lexicon.words[token]] if token in lexicon.words else []
    alone += [lexicon.endings[token[at:]] for at in range(1, len(token) - 1) if token[at:] in lexicon.endings]
    meaning = None
    if alone:
        meaning = Phrase()
        for each in alone:
            meaning.join(each)
    return meaning, lexicon.phrases.get(token)


@cache
def _lexicon() -> Lexicon:
    lexicon = Lexicon()
    for name in CLASSES:
        _enter_class(lexicon, name, _words_of(name))
    for brand in _words_of("masked")["brands"]:
        tokens = tuple(plain(brand).split())
        lexicon.brands.setdefault(tokens[0], []).append(tokens)
    for same_start in lexicon.brands.values():
        same_start.sort(key=len, reverse=True)
    listed = _words_of("categories")
    lexicon.silence = _bits(listed["silenced_by"])
    for rank, entry in enumerate(listed["category"]):
        lexicon.categories.append(entry["name"])
        lexicon.category_unless.append(_bits(entry.get("unless", ())))
        if "class" in entry:
            lexicon.rank_of_class.append((BITS[entry["class"]], rank))
        for word in _in_all_languages(entry):
            lexicon.add(word, Phrase(rank=rank))
    return lexicon


def _enter_class(lexicon: Lexicon, name: str, entry: dict[str, Any]) -> None:
    bit = BITS[name]
    for word in _in_all_languages(entry):
        lexicon.add(word, Phrase(says=bit))
    for word in entry.get("not", ()):
        lexicon.add(word, Phrase(denies=bit))
    for word in entry.get("when", ()):
        lexicon.add(word, Phrase(tries=bit))
    for text in entry.get("whole", ()):
        for spelling in _spellings(text):
            lexicon.whole[spelling] = lexicon.whole.get(spelling, 0) | bit
    lexicon.patterns += [(bit, re.compile(f"(?:^| )(?:{pattern})(?: |$)")) for pattern in entry.get("patterns", ())]
    needs, unless, parts = (_bits(entry.get(rule, ())) for rule in ("needs", "unless", "of"))
    if needs or unless:
        lexicon.rules.append((bit, needs, unless))
    if parts:
        lexicon.wholes_of_parts.append((bit, parts))


def _spellings(text: str) -> set[str]:
    return {plain(text)} if text.isascii() else {plain(text), plain(text.translate(_UMLAUTS))}


def _in_all_languages(entry: dict[str, Any]) -> Iterator[str]:
    for language in LANGUAGES:
        yield from entry.get(language, ())


def _bits(names: Iterable[str]) -> int:
    return sum(BITS[name] for name in names)


def _words_of(name: str) -> dict[str, Any]:
    """The word lists of a class. A file that is no TOML raises ``tomllib.TOMLDecodeError``."""
    path = files("spendsense_pipeline.payees") / "data" / "words" / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))
