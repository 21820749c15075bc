"""What a guardrail looks at, what it finds, and the normalisation that is applied before any of them looks."""

import functools
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

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
    None for education.
    """

    content_type: str
    title: str
    content: str
    rationale: str
    slots: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    eligible: bool | None = None

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
        return cls(content_type, normalized(title), normalized(content), normalized(rationale), slots, eligible)

    @property
    def whole(self) -> str:
        """All that the customer would read."""
        return f"{self.title}\n{self.content}\n{self.rationale}"


Guardrail = Callable[[Text], list[Finding]]


Rules = tuple[tuple[re.Pattern[str], Severity, str], ...]


def phrase_findings(check: str, text: Text, rules: Rules) -> list[Finding]:
    """A finding for each rule whose pattern occurs in a part of the text, naming the words found.

    Patterns must not depend on which digits stand in the text.
    """
    found = [hit for part in (text.title, text.content, text.rationale) for hit in _hits(_DIGITS.sub("0", part), rules)]
    return [Finding(check=check, severity=severity, message=message) for severity, message in dict.fromkeys(found)]


_DIGITS = re.compile(r"\d+")


@functools.lru_cache(maxsize=16_384)
def _hits(part: str, rules: Rules) -> tuple[tuple[Severity, str], ...]:
    """What the rules find; remembered, since the texts of one template differ in little but their digits."""
    return tuple(
        (severity, f"{what}: {match[0].strip()!r}")
        for pattern, severity, what in rules
        if (match := pattern.search(part))
    )
