"""Letters: a text holds those of its own script, and nothing that is drawn like them, hidden between them or unseen.

An allow-list, so that no table of look-alikes has to be complete: what Unicode's confusables list beside Latin letters
lies in other scripts, among the compatibility forms (full-width, enclosed, mathematical) or among the phonetic and
small-capital letters, and none of those is on it.
"""

import re
import unicodedata
from typing import Final

from spendsense_pipeline.recommendations.guardrails.text import Finding, Text

_LATIN: Final = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017f\u0218-\u021b\u1e02-\u1ef9"
"""Latin letters of European languages and Vietnamese: no phonetic ones, no ligatures, no African clicks."""
_MARKS: Final = (
    "\u2010\u2011\u2013\u2014\u2018\u2019\u201c\u201d\u2026\u2022\u00b7"
    "\u2212\u2032\u2033\u00d7\u00f7\u00b0\u00a7\u00ab\u00bb\u00a1\u00bf\u2044"
)
"""Typographic punctuation and signs of arithmetic."""
_SIGNS: Final = "\u00a2-\u00a5\u20a0-\u20c0\u00a9\u00ae\u2122\u00bc-\u00be"
"""Currencies, marks of a brand, simple fractions."""
_BLANKS: Final = "\u00a0\u2009\u202f"
"""Spaces that do not break a figure from its unit."""
_FOREIGN: Final = re.compile(rf"[^\n\r\t -~{_LATIN}{_MARKS}{_SIGNS}{_BLANKS}]")


def script(text: Text) -> list[Finding]:
    """Characters that no text in a Latin script needs, each by its name in Unicode.

    An emoji or another picture is notable, everything else critical: it is there to be read as something else.
    """
    composed = unicodedata.normalize("NFC", text.written)
    found: dict[str, Finding] = {}
    for character in _FOREIGN.findall(composed):
        name = unicodedata.name(character, f"U+{ord(character):04X}")
        picture = unicodedata.category(character) == "So" and unicodedata.normalize("NFKC", character) == character
        found[name] = Finding(
            check="script",
            severity="notable" if picture and not _LETTERLIKE.search(name) else "critical",
            message=f"holds {name}, which no text of ours needs",
        )
    return list(found.values())


_LETTERLIKE: Final = re.compile(r"LETTER|DIGIT|NUMBER|BLANK|SQUARED|CIRCLED")
