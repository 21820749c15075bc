"""A payee's name out of a bank's text: without how it was paid, where, when and under which reference.

Everything is decided from the text alone, in one pass over its words; the phrases, places, months and names of people
it knows are data (``data/boilerplate.toml``, ``places.toml``, ``months.toml``, ``people.toml``). What does not belong
here: what a payee is for (``known.py``, ``vocabularies.py``), and choosing between a row's fields (``readings.py``).
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).with_name("data")
LONGEST: Final = 400
"""Characters of a text that are read; a SEPA remittance has 140, with all fields around it less than this."""
REFERENCE: Final = 5
"""Letters and digits mixed, of this length or more, are a reference and no name."""
PERSON_WORDS: Final = (2, 4)
"""A person's name has at least and at most so many words, initials and `van der` counted."""

FOREIGN_PRICE: Final = (
    r"(?-i:\b[A-Z]{3} ?\d[\d.,/]*|\b\d[\d.,/]* ?[A-Z]{3}\b) ?"
    r"(?:@|(?i:\b(?:visa ?xr|(?:visa|mastercard|fx|exchange|ex)? ?rate|x ?rate|(?:wechsel)?kurs|koers|cours)\b):?)"
    r" ?\d[\d.,]*"
)
"""What a card's bank writes behind the name of what was paid abroad: `USD 39.00 @ 1.2531`."""

_PIECE = re.compile(r"[^\W_]+|\*| {3,}")
_APOSTROPHE = re.compile(r"['’‘`´]")
_INITIALS = re.compile(r"\b([^\W\d_])\.\s?([^\W\d_])\.(?:\s?([^\W\d_])\.)?")
_JOINED = re.compile(r"\b([^\W\d_]{1,2})&([^\W\d_]{1,2})\b")
_PLUS = re.compile(r"([^\W\d_])\+(?!\S)")
_DIGIT = re.compile(r"\d")
_NUMBERS = re.compile(
    rf"{FOREIGN_PRICE}"
    r"|\b\d{1,4}[./-]\d{1,2}[./-]\d{2,4}\b"  # a date
    r"|\b\d{1,2}[./]\d{1,4}\b(?![./-])"  # a day and month, or a month and year
    r"|\b\d{1,2}(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:\d{2}){0,2}\b"  # a day and month in one
    r"|\b\d{1,2}:\d{2}(?::\d{2})?\b"  # a time
    r"|(?<=\S )https\S*"  # where a shop stands in the web
    r"|\+?\(?\b\d{3,5}\)?[-. ]\d{3,4}[-. ]\d{2,6}\b"  # a phone number
    r"|[$€£]\s?\d[\d.,]*"
    # a store's number, with the word before it
    r"|(?<![^\W\d_])(?:store|unit|str|filiale|site|loc|terminal)\b\.? ?[#:]{0,2} ?[a-z*]{0,4}\d+"
    r"|(?<![^\W\d_])(?:ref|no|nbr|nr)\b\.? ?[#:]{0,2} ?[a-z*]{0,4}\d[^\W_]*",
    re.IGNORECASE,
)
_CHANGING = re.compile(r"\d{5,}|\b\d{1,2}[/.]\d{2}\b|\b\d{4}-\d{2}-\d{2}\b")
_CODES = re.compile(
    r"(?<![^\W_])(?:"
    r"(?P<number>(?!19|20)\d{4}|[Xx]{2,}\d{4}"  # a store's, the last four of a card
    r"|\d{1,2}-\d{2}-\d{4}|00/00/\d{2,4}|(?:\d{4}-\d{2}-\d{2}T)?\d{2}:\d{2}(?::\d{2})?)"  # a date, a time
    r"|(?P<code>(?=[A-Za-z]{0,4}\d+[A-Za-z]+\d|[A-Za-z]{1,4}\d{2,}[A-Za-z])[A-Za-z\d]{7,})"
    r"|\d{2} (?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)"
    r")(?![^\W_])"
)
_FIELD = re.compile(r"[\w#]+(?=[:+/])|(?<=/)\w+|einkauf bei")
_HOLDER = re.compile(r"\s\d{6,}\s+([^\W\d_]+(?:[ .][^\W\d_]+){1,3})\s*$")
_ACCOUNT = re.compile(r"(?:^|[ :-])([A-Z]{2,4}/\d{6,})$")
_RAIL = re.compile(r"(?:(?:by|to) transfer ?- ?)?(?:mmt/)?(?:upi|imps|neft|rtgs)(?: (?:cr|dr))?([/-])", re.IGNORECASE)
_NO_PARTY = re.compile(
    r"\s*(?:cr|dr|p2[amp]|[\dx*#]+|payment.*|(?=\S*\d)(?=\S*[a-z])\S{8,}|[a-z]{4}0[a-z\d]{6})?\s*", re.IGNORECASE
)
_BRAND_DIGITS = re.compile(r"\d{1,2}[a-z]{3,}|[a-z]{1,3}\d|\d[a-z]{1,2}\d?")
_NAME_DIGITS = re.compile(r"[a-z]{4,}\d{1,2}")
_GLUED = re.compile(r"([a-z]{3,})[a-z]?\d{3,}")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|e|er|eme|de|ste)")
_UNLIKELY = re.compile(
    r"q[^u]|[bcdfghjklmpqrtvwxz]x|x[bdfgjkmnrvwz]|j[bcfgpqrvwxz]|v[bcfgjkmpqwxz]|z[bdfgjmnqrvx]|w[jqvxz]|[aeiouy]{4}|[^aeiouy]{6}"
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "œ": "oe", "ł": "l"})

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A text without its boilerplate. ``words`` are plain, ``written`` the same words as they stood.

    ``starts`` are the positions at which a payee's name may begin: the front, and behind a processor's code. ``said``
    is how the words around the name speak of it: ``pays`` (wages), ``transfers`` (to or from somebody), ``own``.
    ``account`` is the number under which a bank names the other side, ``raw`` are the words with the boilerplate.
    """

    words: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    starts: tuple[int, ...] = ()
    processed: bool = False
    gaps: tuple[int, ...] = ()
    pays: bool = False
    transfers: bool = False
    own: bool = False
    account: str | None = None
    raw: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Name:
    """What is left of a text: the ``key`` that its spellings share, and how a reader sees it."""

    key: str
    display: str
    words: Words


def fold(text: str) -> str:
    """Lower case without accents; ``ä`` is ``ae``, as bank systems write it.

    >>> fold("Müller"), fold("Crédit")
    ('mueller', 'credit')
    """
    lower = text.lower()
    if lower.isascii():
        return lower
    lower = lower.translate(_UMLAUTS)
    return "".join(each for each in unicodedata.normalize("NFKD", lower) if not unicodedata.combining(each))


def shape(text: str) -> str:
    """A text with zeros for each long number, date and time, and one code for all codes: no name depends on them, and
    rows share shapes, seldom texts.

    >>> shape("SQ *CUP #2811 OAKLAND 06/12 REF IB0AE8570D9")
    'SQ *CUP #0000 OAKLAND 00/00 REF A0A0A0A0'
    """
    return _CODES.sub(_alike, without_numbers(text))


def without_numbers(text: str) -> str:
    """A text with zeros for each long number and day of a month: a name that consists of codes depends on no more."""
    return text if "/" in text and _ACCOUNT.search(text) else _CHANGING.sub(_zeros, text)


def _zeros(match: re.Match[str]) -> str:
    return "00/00" if "/" in match[0] or "." in match[0] else "0000-00-00" if "-" in match[0] else "00000000"


def _alike(match: re.Match[str]) -> str:
    number, code = match["number"], match["code"]
    if code:
        return "0A0A0A0A" if code[0].isdigit() else "A0A0A0A0"  # behind a star it matters
    return _DIGIT.sub("0", number) if number else "00 JAN"


def read(text: str) -> Text:
    """The words of a text that may name its payee, in their order."""
    account = _ACCOUNT.search(text) if "/" in text else None
    holder = _HOLDER.search(text) if _DIGIT.search(text) else None
    if (
        holder is not None
        and _names_somebody(text[: holder.start()])
        and is_person(fold(holder[1]).replace(".", " ").split(), addressed=True)
    ):
        text = text[: holder.start()]  # behind an ACH entry's number stands whose account it is
    pieces = _words_written(_named_field(text[:LONGEST]))
    return _without_phrases(*pieces, account[1] if account else None)


def name_of(text: Text, start: int = 0) -> Name | None:
    """The name in the words from ``start`` on, null where none of them is one.

    >>> name_of(read("POS DEBIT - CORNER CUP #0123 SEATTLE WA")).display
    'Corner Cup'
    """
    words, written = text.words[start:], text.written[start:]
    gaps = [gap - start for gap in text.gaps]
    words, written = _without_numbers(words, written)
    if not words:
        return None
    end, before = len(words), -1
    while end != before:  # a place may stand before a legal form, and a legal form before a place
        before = end
        end = _without_ending(words, max(_without_place(words[:end], written[:end], gaps), 1))
    first = _without_leading(words, end)
    kept: dict[str, str] = {}
    for word, as_written in zip(words[first:end], written[first:end], strict=True):
        if word not in kept:
            kept[word] = as_written
    if not kept or _glue()[0].issuperset(kept):
        return None
    key, display = " ".join(kept), _as_read(list(kept.values()))
    if text.account:
        key, display = f"{key} {text.account.lower()}", f"{display} {text.account}"
    return Name(key, display, tuple(kept))


def plain_name(text: str) -> Name | None:
    """All words of a text, for one of which nothing is left otherwise; null where it has no letter."""
    found = [piece for piece in _PIECE.findall(_APOSTROPHE.sub("", text[:LONGEST])) if piece.strip(" *")]
    found = [piece for piece in found if not piece.isdigit() and not set(fold(piece)) <= {"x"}] or found
    if not any(character.isalpha() for piece in found for character in piece):
        return None
    words = [fold(piece) for piece in found]
    return Name(" ".join(words), _as_read(found), tuple(words))


def is_person(words: Sequence[str], *, addressed: bool = False) -> bool:
    """Whether words look like a person's name: no business's word among them, and a given name, a title or initials.

    ``addressed``: the text says that money goes to, or comes from, somebody, so that two words may do without.

    >>> is_person(["ana", "lima"]), is_person(["corner", "cup"]), is_person(["anna", "bakery"])
    (True, False, False)
    """
    given, titles, business, things = _person_words()
    if not words or len(words) > PERSON_WORDS[1] or not all(word.isalpha() for word in words):
        return False
    if not (business.isdisjoint(words) and things.isdisjoint(words)):
        return False
    if words[0] in titles:
        return len(words) > 1
    if len(words) < PERSON_WORDS[0]:
        return addressed and words[0] in given
    if addressed or words[0] in given:
        return True
    return len(words[-1]) == 1 or (len(words[0]) == 1 and len(words[1]) > 2)  # a single letter is an initial


def may_be_person(words: Sequence[str]) -> bool:
    """The more careful question, for what must not be shown: might a person be called so?

    >>> may_be_person(["oak", "harlan"]), may_be_person(["oak", "bakery"])
    (True, False)
    """
    _, titles, business, things = _person_words()
    letters = [word for word in words if word.isalpha()]
    if not letters or not (business.isdisjoint(words) and things.isdisjoint(words)):
        return False
    return words[0] in titles or PERSON_WORDS[0] <= len(letters) <= PERSON_WORDS[1] or is_person(words, addressed=True)


def is_business(words: Iterable[str]) -> bool:
    """Whether a word among them is one of businesses, offices or clubs."""
    return not _person_words()[2].isdisjoint(words)


def is_company(text: Text) -> bool:
    """Whether a legal form stands in a text, as ``Ltd`` and ``GmbH`` do."""
    return not _legal_forms()[0].isdisjoint(text.raw)


def is_legal_form(name: Name) -> bool:
    """Whether nothing but a legal form is left: `INC` of `REMITLY INC`."""
    return _legal_forms()[0].issuperset(name.words)


# --- fields of a text ------------------------------------------------------------------------------------------


def _named_field(text: str) -> str:
    """The field that names the other side where a text consists of fields, the text up to its first field otherwise."""
    if "//" in text:  # `REWE SAGT DANKE//BERLIN/DE`
        head, _, rest = text.partition("//")
        text = head if any(character.isalpha() for character in head) and "name" not in rest.lower() else text
    rail = _RAIL.match(text)
    if rail is not None:
        return _party(text[rail.end() :].split(rail[1])) or text
    if not (":" in text or "+" in text or "/" in text or "inkauf bei" in text):
        return text
    labels, naming, tails = _field_labels()
    if tails.isdisjoint(_FIELD.findall(text.lower())):
        return text
    found = list(labels.finditer(text))
    if not found:
        return text
    ends = [*(match.start() for match in found[1:]), len(text)]
    for match, end in zip(found, ends, strict=True):
        if match[1].lower() in naming:
            inside = text[match.end() : end]
            if any(character.isalpha() for character in inside):
                return inside
    head = text[: found[0].start()]
    if _names_somebody(head):
        return head
    # No field is named and nothing stands before the first: what it was for has to do.
    for match, end in zip(found, ends, strict=True):
        inside = text[match.end() : end]
        if match[1].lower() in ("svwz+", "omschrijving:", "/remi/", "verwendungszweck:", "des:", "lib/"):
            return inside
    return text


def _party(parts: Sequence[str]) -> str | None:
    """Who is named in the parts of an Indian transfer: `612345678901`, `RAMESH KUMAR`, `ramesh@oksbi`, `RENT`."""
    for part in parts:
        if "@" in part:  # the address that money went to, where no name stood before it
            local = part.partition("@")[0]
            return local if any(character.isalpha() for character in local) else None
        if not _NO_PARTY.fullmatch(part):
            return part
    return None


def _names_somebody(head: str) -> bool:
    return bool(_without_phrases(*_words_written(head), None).words)


def _words_written(text: str) -> tuple[list[str], list[str], int | None, list[int]]:
    """The words of a text, plain and as written, where the first star stands and where columns part."""
    if "'" in text or not text.isascii() or "`" in text:
        text = _APOSTROPHE.sub("", text)
    if "+" in text:
        text = _PLUS.sub(r"\1 plus", text)  # `Walmart+` is no Walmart
    if "&" in text:
        text = _JOINED.sub(r"\1\2", text)
    if "." in text:
        text = _INITIALS.sub(lambda match: "".join(part or "" for part in match.groups()) + " ", text)
    if _DIGIT.search(text) or "HTTPS" in text:
        text = _NUMBERS.sub(" # ", text)
    words: list[str] = []
    written: list[str] = []
    star: int | None = None
    gaps: list[int] = []
    for piece in _PIECE.findall(text):
        if piece[0] == "*":
            if star is None:
                star = len(words)
            continue
        if piece[0] == " ":
            gaps.append(len(words))
            continue
        word = piece.lower() if piece.isascii() else fold(piece)
        if not word.isalpha():
            word = _with_digits(word, first=not words)
            if not word:
                continue
        if "xx" in word:  # what a bank masks
            word = word.strip("x") if not word.startswith("xxx") else ""
            # A single letter is the rest of a masked reference, but for the `M` of `H&M`.
            if not word or (len(word) == 1 and words and len(words[-1]) > 1):
                continue
            piece = word
        elif word == "s" and words and len(words[-1]) > 2:  # MCDONALD S, but SAINSBURYS S/MKTS
            if words[-1][-1] != "s":
                words[-1] += "s"
                written[-1] += piece
            continue
        words.append(word)
        written.append(piece if len(piece) == len(word) or not piece.isascii() else word)
    return words, written, star, gaps


def _with_digits(word: str, *, first: bool) -> str:
    """What is left of a word with digits: a brand's digits stay, references and store numbers go."""
    if word.isdigit():
        return word if len(word) <= 3 or (len(word) == 4 and word[:2] in ("19", "20")) else ""
    if _BRAND_DIGITS.fullmatch(word) and not _ORDINAL.fullmatch(word):
        return word
    if word in _brands_with_digits() and (first or len(word) >= REFERENCE):
        return word
    if _NAME_DIGITS.fullmatch(word) and first:
        return word
    office = _office().fullmatch(word)
    if office is not None:
        return office[1]
    glued = _GLUED.fullmatch(word)
    if glued is not None and first and glued[1] not in _phrases().front:
        return glued[1]
    if len(word) >= REFERENCE or sum(character.isdigit() for character in word) > 1 or _ORDINAL.fullmatch(word):
        return ""
    return word


@cache
def _office() -> re.Pattern[str]:
    """An office in one word with the number of its department: `CAF59`."""
    return re.compile(f"({'|'.join(lines(load('boilerplate.toml')['offices']))})\\d{{2,3}}")


@cache
def _brands_with_digits() -> frozenset[str]:
    """Words with digits that well-known payees are recognised by, as `f45` and `xs4all`."""
    found: set[str] = set()
    for file in (DATA / "known").glob("*.toml"):
        for group in tomllib.loads(file.read_text(encoding="utf-8"))["group"]:
            for line in lines(group["payees"]):
                told = line.partition(":")[2].replace("|", " ").replace("*", " ").replace("$", " ").split()
                found.update(word for word in told if not word.isdigit() and _DIGIT.search(word))
    return frozenset(found)


# --- phrases ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Phrases:
    """Phrases by their first word, the longest first, each with what it does."""

    by_word: dict[str, list[tuple[Words, str]]]
    processors: dict[str, list[Words]]
    need_star: frozenset[str]
    own: frozenset[str]
    front: frozenset[str]


def _without_phrases(
    words: list[str], written: list[str], star: int | None, gaps: list[int], account: str | None
) -> Text:
    phrases = _phrases()
    kept: list[str] = []
    spelled: list[str] = []
    pays = transfers = False
    star_at: int | None = None
    processor: int | None = None
    kept_gaps: list[int] = []
    by_word, lettered = phrases.by_word, False
    at, count = 0, len(words)
    while at < count:
        word = words[at]
        if at == star:
            star_at = len(kept)
        if at in gaps:
            kept_gaps.append(len(kept))
        matched: tuple[int, str] | None = None
        if word in by_word:
            for phrase, does in by_word[word]:
                length = len(phrase)
                if length > 1 and tuple(words[at : at + length]) != phrase:
                    continue
                if lettered and does in ("start", "transfers"):
                    continue
                matched = length, does
                break
        if matched is None:
            kept.append(word)
            spelled.append(written[at])
            lettered = lettered or word.isalpha()
            at += 1
            continue
        length, does = matched
        if does == "keep":
            kept += words[at : at + length]
            spelled += written[at : at + length]
            lettered, at = True, at + length
            continue
        if star is not None and at < star <= at + length and does == "start":
            star_at = len(kept)
        if does == "cut" and any(each.isalpha() and len(each) > 1 for each in kept):
            break
        if does == "transfers" and _own_follows(words, at + length, phrases):
            end = next(n for n in range(at + length, count) if words[n] in phrases.own) + 1
            end += end < count and words[end] in phrases.own
            own = [each for each in words[at:end] if each.isalpha() and len(each) > 1]
            return Text(own, own, (0,), transfers=True, own=True, account=account, raw=words)
        pays, transfers = pays or does == "pays", transfers or does == "transfers"
        if does in ("start", "transfers"):
            kept, spelled = [], []
        if does == "pays" and not kept:  # `DIRECT DEP ACME`: who pays stands behind
            at += length
            continue
        if does == "pays":
            kept += [_PAYS, *words[at : at + length]]
            spelled += [_PAYS, *written[at : at + length]]
            lettered = True
        at += length
    if _PAYS in kept:
        kept, spelled = _employer(kept, spelled)
    if transfers:
        kept, spelled = _addressee(kept, spelled)
    # The code of a processor: up to four characters before a star, or one by name.
    if kept:
        processor = _processor(kept, star_at, phrases)
    starts = [0]
    first = next((n for n, each in enumerate(kept) if each.isalpha()), 0)
    starts += [first] if first else []
    if processor is not None and processor < len(kept):
        starts.append(processor)
    return Text(
        words=kept,
        written=spelled,
        starts=tuple(dict.fromkeys(starts)),
        processed=processor is not None,
        gaps=tuple(kept_gaps),
        pays=pays,
        transfers=transfers,
        account=account,
        raw=words,
    )


_PAYS = "|"


def _employer(kept: list[str], spelled: list[str]) -> tuple[list[str], list[str]]:
    """Who stands before the words for wages, or else behind them."""
    cut = kept.index(_PAYS)
    if any(each.isalpha() for each in kept[:cut]):
        return kept[:cut], spelled[:cut]
    return [each for each in kept if each != _PAYS], [each for each in spelled if each != _PAYS]


def _addressee(kept: list[str], spelled: list[str]) -> tuple[list[str], list[str]]:
    """The person that money goes to, without the day or purpose behind: `TO KEVIN OKORO FOR RENT`."""
    end = next((at for at, word in enumerate(kept) if word in ("for", "on")), 0)
    return (kept[:end], spelled[:end]) if is_person(kept[:end], addressed=True) else (kept, spelled)


def _own_follows(words: list[str], at: int, phrases: _Phrases) -> bool:
    """Whether a transfer goes to one of the customer's own accounts: a word for one, and nobody's name before it."""
    following = [word for word in words[at : at + 3] if word.isalpha() and len(word) > 1]
    return bool(following) and not phrases.own.isdisjoint(following[:2])


def _processor(words: list[str], star: int | None, phrases: _Phrases) -> int | None:
    """Where the name begins behind a processor's code, null without one."""
    for phrase in phrases.processors.get(words[0], ()):
        length = len(phrase)
        if tuple(words[:length]) != phrase or len(words) == length:
            continue
        if star == length or " ".join(phrase) not in phrases.need_star:
            return length
    if star == 1 and len(words) > 1 and len(words[0]) <= 4:
        return 1
    return None


# --- ends ------------------------------------------------------------------------------------------------------


def _without_numbers(words: list[str], written: list[str]) -> tuple[list[str], list[str]]:
    """Without numbers, the months beside them, months at an end, and references of letters behind a star."""
    sure, beside = _month_names()
    last = len(words) - 1
    keep = []
    for at, word in enumerate(words):
        if word.isdigit():
            if (
                at
                or last == 0
                or len(word) > 3
                or len(words[1]) < 3
                or words[1] in sure
                or (len(word) == 1 and words[1].isdigit())
            ):
                continue
        elif word in sure or word in beside:
            near = (at > 0 and words[at - 1].isdigit()) or (at < last and words[at + 1].isdigit())
            if last and (near or (word in sure and at in (0, last))):
                continue
        elif at and _is_reference(word, written[at], last=at == last):
            continue
        keep.append(at)
    if len(keep) == len(words):
        return words, written
    return [words[at] for at in keep], [written[at] for at in keep]


def _is_reference(word: str, written: str, *, last: bool) -> bool:
    """Whether shouted letters are no word of any language here: `ENTHJXJQI`."""
    if len(word) < (6 if last else 8) or not written.isupper():
        return False
    return _UNLIKELY.search(word) is not None and word not in _city_words()


def _without_place(words: list[str], written: list[str], gaps: Sequence[int]) -> int:
    """Where the name ends and its place begins."""
    states, state_names, countries, needs_place, prepositions, cities, abroad = _places()
    end = len(words)
    american = False
    while end > 1:
        word = words[end - 1]
        titled = end == len(words) > 2 and written[end - 1].istitle() and words[end - 2] in _city_words()
        if word in states and (written[end - 1].isupper() or titled):
            american = True
            end -= 1
        elif word in countries and (len(word) > 3 or written[end - 1].isupper()):
            american = american or word in ("us", "usa")
            end -= 1
        elif len(word) in (4, 5) and word[2:] in ("us", "usa") and word[:2] in states:  # CAUS
            american = True
            end -= 1
        else:
            break
    for count in (2, 1) if words[end - 1] in _last_of_places() else ():
        if end - count >= 1 and " ".join(words[end - count : end]) in state_names:
            if _detachable(words[: end - count], needs_place, prepositions):
                end, american = end - count, True
            break
    placed = end < len(words)
    column = max((gap for gap in gaps if 0 < gap < end), default=None)
    if american and column is not None and end - column <= 3:  # a card's descriptor has its city in a column
        return column
    if words[end - 1] not in _last_of_places() and (placed or words[end - 1][-2:] not in states):
        return end
    for count in (4, 3, 2, 1):
        if end - count < 1:
            continue
        place = " ".join(words[end - count : end])
        listed = place in abroad or (american and place in cities)
        glued = not placed and place[-2:] in states and place[:-2] in cities and len(place) > 5
        if (listed or glued) and _detachable(words[: end - count], needs_place, prepositions):
            return end - count
    return end


def _detachable(before: list[str], needs_place: frozenset[str], prepositions: frozenset[str]) -> bool:
    """Whether the place behind these words is where they are, and not part of what they are called."""
    if not before or before[-1] in prepositions:
        return False
    return not (len(before) == 1 and (before[0] in needs_place or len(before[0]) < 3))


def _without_ending(words: list[str], end: int) -> int:
    """Where the name ends without its last legal form, domain, word for paying or single letter."""
    endings, weak, _ = _trimmings()
    for length in (3, 2, 1):
        tail = tuple(words[end - length : end])
        if end > length and (tail in endings or (tail in weak and end > length + 1)):
            return end - length
    return end - 1 if end > 2 and len(words[end - 1]) == 1 and not words[end - 1].isdigit() else end


def _without_leading(words: list[str], end: int) -> int:
    """Where the name begins without the small words before it."""
    *_, leading = _trimmings()
    first = 0
    while end - first > 1 and words[first] in leading:
        first += 1
    return first


def _as_read(written: Sequence[str]) -> str:
    """Words as a reader expects them: an abbreviation keeps its capitals, a shouted word does not."""
    return " ".join(_cased(word, first=at == 0) for at, word in enumerate(written))


def _cased(word: str, *, first: bool) -> str:
    if not word.isupper() and not word.islower():
        return word
    lower = word.lower()
    small, abbreviations = _casing()
    if not first and lower in small:
        return lower
    short = len(word) <= 3 and not any(vowel in lower for vowel in "aeiouy") and lower not in _person_words()[1]
    if word.isupper() and (short or lower in abbreviations):
        return word
    return word.capitalize()


# --- data ------------------------------------------------------------------------------------------------------


@cache
def load(name: str) -> dict[str, Any]:
    """A data file of this room."""
    return tomllib.loads((DATA / name).read_text(encoding="utf-8"))


def lines(block: str) -> list[str]:
    """The entries of a block of text, one a line."""
    return [line.strip() for line in block.splitlines() if line.strip()]


@cache
def _phrases() -> _Phrases:
    told = load("boilerplate.toml")
    by_word: dict[str, list[tuple[Words, str]]] = {}
    for does in ("keep", "pays", "transfers", "start", "cut", "anywhere"):
        for line in lines(told[does]):
            phrase = tuple(line.split())
            by_word.setdefault(phrase[0], []).append((phrase, does))
    for found in by_word.values():
        found.sort(key=lambda entry: -len(entry[0]))  # stable: of one length, in the order above
    processors: dict[str, list[Words]] = {}
    for line in lines(told["processors"]):
        phrase = tuple(line.split())
        processors.setdefault(phrase[0], []).append(phrase)
    for codes in processors.values():
        codes.sort(key=len, reverse=True)
    front = {phrase[0] for kind in by_word.values() for phrase, _ in kind}
    return _Phrases(by_word, processors, frozenset(told["need_star"]), frozenset(lines(told["own"])), frozenset(front))


@cache
def _field_labels() -> tuple[re.Pattern[str], frozenset[str], frozenset[str]]:
    """A pattern for all labels, those before a name, and the last words of all, which are faster to look for."""
    told = load("boilerplate.toml")
    naming = lines(told["name_labels"])
    every = sorted({*naming, *lines(told["other_labels"])}, key=len, reverse=True)
    tails = frozenset(tail for label in every for tail in _FIELD.findall(label))
    spelled = (("" if label[0] == "/" else r"(?<![^\W_])") + re.escape(label) for label in every)
    return re.compile(f"({'|'.join(spelled)})", re.IGNORECASE), frozenset(naming), tails


@cache
def _trimmings() -> tuple[frozenset[Words], frozenset[Words], frozenset[str]]:
    """What goes from a name's end, what goes where two words are left, and what goes from its front."""
    told = load("boilerplate.toml")
    ends = {tuple(line.split()) for part in ("endings", "paying") for line in lines(told[part])}
    weak = {tuple(line.split()) for line in lines(told["weak"])}
    return frozenset(ends), frozenset(weak), frozenset(told["leading"].split())


@cache
def _sets(file: str, *names: str) -> tuple[frozenset[str], ...]:
    """The words of some entries of a data file, each with blanks between them."""
    return tuple(frozenset(load(file)[name].split()) for name in names)


_glue = partial(_sets, "boilerplate.toml", "glue")  # words that hold others together and name nobody
_legal_forms = partial(_sets, "boilerplate.toml", "legal_forms")
_casing = partial(_sets, "boilerplate.toml", "small", "abbreviations")
_month_names = partial(_sets, "months.toml", "sure", "beside_number")
_person_words = partial(_sets, "people.toml", "given", "titles", "business", "things")


@cache
def _places() -> tuple[frozenset[str], ...]:
    """States, their names, countries, what needs its place, prepositions, cities of North America, and all others."""
    told = load("places.toml")
    cities = told["cities"]
    return (
        frozenset(told["states"].split()),
        frozenset(lines(told["state_names"])),
        frozenset(lines(told["countries"])),
        frozenset(lines(told["needs_place"])),
        frozenset(told["prepositions"].split()),
        frozenset(city for country in ("us", "ca") for city in lines(cities[country])),  # a state stands behind them
        frozenset(city for country in ("gb", "de", "fr", "nl", "in", "elsewhere") for city in lines(cities[country])),
    )


@cache
def _city_words() -> frozenset[str]:
    *_, cities, abroad = _places()
    return frozenset(word for city in (*cities, *abroad) for word in city.split())


@cache
def _last_of_places() -> frozenset[str]:
    """The words that a city or the name of a state ends in."""
    _, state_names, *_, cities, abroad = _places()
    return frozenset(place.split()[-1] for place in (*state_names, *cities, *abroad))
