"""What a guardrail looks at, what it finds, and the normalisation that is applied before any of them looks."""

import functools
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final, Literal, Protocol, TypedDict

from spendsense_pipeline.recommendations.slots import SLOTS

WORDS: Final[dict[str, Any]] = tomllib.loads(
    resources.files("spendsense_pipeline.recommendations").joinpath("data/words.toml").read_text("utf-8")
)
"""Words of English that guardrails read."""

Severity = Literal["critical", "notable"]


class Finding(TypedDict):
    """One thing a reviewer must know. ``critical`` cannot be approved, ``notable`` is shown beside the text."""

    check: str
    severity: Severity
    message: str


_STRAIGHT = str.maketrans(
    {"‘": "'", "’": "'", "ʼ": "'", "′": "'", "“": '"', "”": '"', "‐": "-", "‑": "-", "–": "-", "—": "-", "−": "-"}
)
# Letters of other scripts that are drawn like a Latin one; texts here are English, so they are meant as that one.
_LOOKS_LIKE = str.maketrans(
    "аеорсухіјѕһԁԛԝӏАВЕКМНОРСТУХІЈЅαορνικτυΑΒΕΖΗΙΚΜΝΟΡΤΥΧᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢıɑɡ",
    "aeopcyxijshdqwlABEKMHOPCTYXIJSaopviktuABEZHIKMNOPTYXabcdeghijklmnoprtuvwyziag",
)
_SPELLED_OUT = re.compile(r"(?<!\S)[^\W\d_](?P<apart>[ .*_-])[^\W\d_](?:(?P=apart)[^\W\d_])+(?![^\s.,;:!?])")


def normalized(text: str) -> str:
    """One spelling for what looks alike: compatibility forms, letters of other scripts, accents, quotes, dashes,
    invisible characters, spaced-out words, spacing.

    >>> normalized("You’re  in\\u200b trоuble, g u a r a n t e e d")
    "You're in trouble, guaranteed"
    """
    if not text.isascii():
        composed = unicodedata.normalize("NFKC", text).translate(_STRAIGHT).translate(_LOOKS_LIKE)
        apart = unicodedata.normalize("NFD", composed)
        visible = "".join(c for c in apart if unicodedata.category(c) not in ("Cf", "Mn", "Me"))
        text = unicodedata.normalize("NFC", visible)
    if _SPELLED_OUT.search(text):
        text = _SPELLED_OUT.sub(lambda word: word[0].replace(word["apart"], ""), text)
    return " ".join(text.split())


@dataclass(frozen=True)
class Text:
    """A text under review: title, content and rationale, normalised, with what it may rest on.

    ``slots``: slot -> {signal, value, shown}. ``eligible``: for an offer, whether its match still stands;
    None for education. ``written``: all of it as it was before it was normalised.
    """

    content_type: str
    title: str
    content: str
    rationale: str
    slots: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    eligible: bool | None = None
    written: str = ""

    @classmethod
    def of(
        cls,
        content_type: str,
        title: str,
        content: str,
        rationale: str,
        slots: Mapping[str, Mapping[str, Any]],
        eligible: bool | None = None,
    ) -> "Text":
        """The text with each part normalised."""
        written = f"{title}\n{content}\n{rationale}"
        return cls(
            content_type, normalized(title), normalized(content), normalized(rationale), slots, eligible, written
        )

    @property
    def whole(self) -> str:
        """All that the customer would read."""
        return f"{self.title}\n{self.content}\n{self.rationale}"


FIGURES: Final = frozenset({"money", "percent", "rate", "months", "count", "date", "day", "period", "card"})
"""Kinds of slots that show a figure and nothing that somebody else wrote; of a card its last four digits."""
_SHOW_FIGURES: Final = frozenset(name for name, slot in SLOTS.items() if slot.kind in FIGURES)
_PLAIN: Final = re.compile(r"[\w$€£,.% ]{1,48}")


def is_figure(slot: str, shown: str) -> bool:
    """Whether a slot by its kind and its words shows a figure and nothing else."""
    return slot in _SHOW_FIGURES and _PLAIN.fullmatch(shown) is not None


Guardrail = Callable[[Text], list[Finding]]


class Pattern(Protocol):
    """What finds words in a sentence: a regular expression, or several that must agree."""

    def search(self, string: str, /) -> re.Match[str] | None:
        """Where it is found, None where it is not."""


@dataclass(frozen=True)
class AnyCase:
    """An expression that is found in whatever case. Python reads one that ignores case at a third of the speed, and
    most sentences hold nothing: those of ASCII are first read in small letters, and that decides.
    """

    pattern: str

    @functools.cached_property
    def _small(self) -> re.Pattern[str]:
        return re.compile(_UNESCAPED.sub(lambda each: each[0] if each[0][0] == "\\" else each[0].lower(), self.pattern))

    @functools.cached_property
    def _is_ascii(self) -> bool:
        return self.pattern.isascii()

    @functools.cached_property
    def _any(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE)

    def search(self, string: str, /) -> re.Match[str] | None:
        """Where it is found first, None where it is not."""
        return None if self._is_not_in(string) else self._any.search(string)

    def finditer(self, string: str, /) -> Iterator[re.Match[str]]:
        """Where it is found."""
        return iter(()) if self._is_not_in(string) else self._any.finditer(string)

    def _is_not_in(self, string: str) -> bool:
        return self._is_ascii and string.isascii() and not self._small.search(string.lower())


_UNESCAPED = re.compile(r"\\.|[A-Z]")

Rules = Sequence[tuple[Pattern, Severity, str]]


def sentences(text: str) -> list[str]:
    """The sentences of a normalised text: those of one template are the same for everybody but for their figures."""
    return _SENTENCE_END.split(text)


_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bMrs\.)(?<!\bProf\.) |\n")


def phrases(check: str, rules: Rules) -> Guardrail:
    """A guardrail that finds each rule whose pattern occurs in a sentence of the text, naming the words found.

    Patterns must not depend on which digits stand in the text. What was found in a sentence is remembered, since most
    sentences are said to many customers.
    """

    @functools.lru_cache(maxsize=65_536)
    def hits(sentence: str) -> tuple[tuple[Severity, str], ...]:
        return tuple(
            (severity, f"{what}: {match[0].strip()!r}")
            for pattern, severity, what in rules
            if (match := pattern.search(sentence))
        )

    def found(text: Text) -> list[Finding]:
        every = dict.fromkeys(hit for sentence in sentences(_DIGITS.sub("0", text.whole)) for hit in hits(sentence))
        return [Finding(check=check, severity=severity, message=message) for severity, message in every]

    return found


_DIGITS = re.compile(r"\d+")


def located(finding: Mapping[str, Any], **parts: str) -> dict[str, Any]:
    """The finding with ``where``, the part of the text whose words it quotes, and the ``sentence``; None for neither.

    >>> located({"check": "tone", "message": "urges: 'act now'"}, title="Rent", content="It is due. Act now.")["where"]
    'content'
    """
    quoted = _QUOTED.search(str(finding["message"]))
    words = _DIGITS.sub("0", normalized(quoted[2])).casefold() if quoted else ""
    for part, text in parts.items() if words else ():
        for sentence in sentences(normalized(text)):
            if words in _DIGITS.sub("0", sentence).casefold():
                return {**finding, "where": part, "sentence": sentence}
    return {**finding, "where": None, "sentence": None}


_QUOTED = re.compile(r"(['\"])(.+)\1")
