"""What counts as a figure in a text, and the few general figures that may stand without being a customer's.

Digits and number words alike: "half", "twice" and "three months" claim as much as "50%". The library
refuses pieces that hold one, the grounding guardrail refuses texts with one that no slot showed. How a
customer's own figure is shown belongs in ``slots.py``.
"""

import functools
import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Guideline:
    """A general rule of thumb that a text may quote word for word, and who says so: author, title, address, and the
    day on which it was read."""

    phrase: str
    says: str
    author: str
    title: str
    url: str
    read_on: str

    @property
    def source(self) -> str:
        """Who says so, in one line."""
        return f"{self.author}, {self.title}: {self.says}"


GUIDELINES: Final[tuple[Guideline, ...]] = (
    Guideline(
        "30 percent",
        "use no more than that of the total credit limit",
        "Consumer Financial Protection Bureau",
        "How do I get and keep a good credit score?",
        "https://www.consumerfinance.gov/ask-cfpb/how-do-i-get-and-keep-a-good-credit-score-en-318/",
        "2026-11-27",
    ),
    Guideline(
        "three to six months",
        "living expenses to set aside; how much depends on one's situation",
        "FINRA Investor Education Foundation",
        "Start an Emergency Fund",
        "https://www.finra.org/investors/personal-finance/start-emergency-fund",
        "2026-11-27",
    ),
    Guideline(
        "three months",
        "the lower end of the guideline for emergency funds; the fund slots count towards it",
        "FINRA Investor Education Foundation",
        "Start an Emergency Fund",
        "https://www.finra.org/investors/personal-finance/start-emergency-fund",
        "2026-11-27",
    ),
    Guideline(
        "30 days past due",
        "a payment is reported late to the credit bureaus from then on, not before",
        "Consumer Data Industry Association, as told by John Ulzheimer",
        "Credit Reporting Resource Guide",
        "https://johnulzheimer.com/2014/10/credit-scoring-myth-of-the-day-you-can-be-reported-as-being-late-to-the-"
        "credit-bureaus-even-if-youre-just-one-day-late/",
        "2026-11-27",
    ),
)

_UNIT = r"(?:day|week|month|year|dollar|cent|percent|card|account|subscription|payment|paycheck|bill|time)s?"
_WORDS = (
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|"
    "nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?|dozens?|"
    "half|halves|halved?|halving|halfway|twice|thrice|doubled?|doubles|doubling|tripled?|triples|tripling|quadrupled?|"
    "quadruples|twofold|threefold|fourfold|fivefold|tenfold|hundredfold|percent"
)
_ORDINALS = (
    "third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|"
    "eleventh|twelfth|twentieth|hundredth|thirds|quarters|fifths|tenths"
)
_FIGURE = re.compile(
    rf"[$€£]?\d[\d.,:/%]*(?<![.,:/])|\b(?:{_WORDS})\b(?!-check)|\b(?:one|zero)[\s-]+{_UNIT}\b"
    rf"|\b(?:a|an|one)\s+(?:third|quarter|fifth|tenth)\b(?!(?:\s+|-)part(?:y|ies)\b)|\b(?:{_ORDINALS})\b(?!(?:\s+|-)part(?:y|ies)\b)",
    re.IGNORECASE,
)
_CLUES: Final = frozenset(
    word.replace(ending, kept)
    for word in (*_WORDS.split("|"), *_ORDINALS.split("|"), "one", "zero", "quarter")
    for ending in ("s?", "d?")
    for kept in ("", ending[0])
)
"""Words without which no number word stands in a text."""
# Named for paragraphs of the tax code; nobody's figure.
_ACCOUNT_NAMES = re.compile(r"\b(?:401|403|457)(?:\([a-z]\)|[a-z])(?!\w)|\b529 plans?\b", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[a-z]+")
_GUIDELINE = re.compile(
    "|".join(re.escape(g.phrase) for g in sorted(GUIDELINES, key=lambda g: -len(g.phrase))), re.IGNORECASE
)


@functools.lru_cache(maxsize=65_536)  # of one wording, what is left without the customer's figures is always the same
def figures(text: str) -> tuple[str, ...]:
    """The figures in a text, as written, without the guidelines.

    >>> figures("Your 3 cards cost twice as much; staying below 30 percent helps.")
    ('3', 'twice')
    """
    bare = _ACCOUNT_NAMES.sub(" ", _GUIDELINE.sub(" ", text))
    if not _DIGIT.search(bare) and _CLUES.isdisjoint(_WORD.findall(bare.lower())):
        return ()  # most texts: far cheaper than the pattern below
    return tuple(_FIGURE.findall(bare))
