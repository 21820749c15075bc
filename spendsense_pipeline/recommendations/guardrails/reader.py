"""Reading: what a text asks or says in words that no list foresaw, by what labelled texts of many authors share.

A paragraph becomes its runs of one to three word stems, the same runs with words read as their subject
(``data/subjects.toml``), and pairs of words that stand near each other in a sentence. Linear models weigh them
(``data/reader.npz``): one tells bad from good, one for each kind of bad texts tells it from all others. The tests'
``train`` fits them to labelled texts and needs scikit-learn, scoring needs NumPy alone. Figures are all read as 0, days
and months as one word each, so that texts of one template are read alike. What rules find exactly (letters, links,
languages, names) is not read here.
"""

import functools
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Final, NamedTuple

import numpy as np

from spendsense_pipeline.recommendations.guardrails.text import (
    WORDS,
    Finding,
    Pattern,
    Text,
    is_figure,
    normalized,
    sentences,
)
from spendsense_pipeline.recommendations.naming import is_well_known
from spendsense_pipeline.recommendations.render import COMPENSATION, EDUCATION_DISCLOSURE, OFFER_DISCLOSURE

KINDS: Final = {
    "credentials": "asks for a secret",
    "gift_cards": "asks for gift cards",
    "couriers": "asks to hand over a card or money",
    "transfers": "asks to send money to somebody",
    "shame": "judges the reader",
    "pressure": "hurries or frightens the reader",
    "securities": "advises or foretells an investment",
    "stop_paying": "advises not to pay what is owed",
    "borrow": "advises to borrow",
    "pension": "advises to take money meant for retirement",
    "sensitive": "says what a payment tells about a person",
    "other_people": "speaks of another person",
    "promise": "promises what nobody can know",
    "discrimination": "judges people by what they are",
    "impersonation": "speaks as a bank or an authority",
    "health_or_law": "gives medical, legal or tax advice",
}
"""What bad texts of each kind do, in words for the person who reviews."""
WINDOW: Final = 3
"""Sentences that are read together of a longer paragraph: the texts that were learned from have one to four."""
ALONE: Final = 2.7
"""Score from which a sentence alone is a finding, in a long paragraph: alone it says less, and is sooner misread."""

RUN: Final = 3
"""Stems in the longest run."""
NEAR: Final = 6
"""Words, small ones left out, within which two make a pair."""
LESSER: Final = 0.7
"""Weight of a pair, and of a run with subjects, beside a run of stems."""
BY_KIND: Final = 0.8
"""Weight of what the kinds' models say together beside the one that tells bad from good: each varies as much then as
left-out authors' texts were told apart best."""
EVIDENCE: Final = 300.0
"""Added to a text's squared length: a short text of few features is little evidence either way."""
DOUBT: Final = -2.7
"""Score from which a sentence may be bad: a rule's words in it make it a finding."""
PLAINLY_GOOD: Final = -5.1
"""The same for words that are rarely innocent, those of shame and haste, where nothing is denied."""
LONGEST: Final = 600
"""Characters that are read as one sentence; what is longer is read in parts, so that nothing hides among many words."""

_FIGURE: Final = re.compile(r"\d[\d,.]*\d|\d")
_WORD: Final = re.compile(r"[a-z]+(?:'[a-z]+)?|\$0|0%|[0?!:\"]")
_END: Final = re.compile(r"(?<=[.!?])\s+|[:;]\s+")
_ENDING: Final = re.compile(r"(?:'s|ings?|ed|e?s|ly|ers?)$")
_DENIES: Final = re.compile(r"n't\b|\b(?:not|nothing|never|no one|if you feel)\b", re.IGNORECASE)
_SMALL: Final = frozenset(WORDS["linking"].split())
_DATES: Final = {word: name for name in ("day", "month") for word in WORDS[f"{name}s"].split()}


def stem(word: str) -> str:
    """A word without its ending: words of one stem are read alike.

    >>> stem("collects"), stem("collecting"), stem("october")
    ('collect', 'collect', '<month>')
    """
    if word in _DATES:
        return f"<{_DATES[word]}>"
    if len(word) > 4:
        word = _ENDING.sub("", word)
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


@functools.cache
def subjects() -> dict[str, list[str]]:
    """The subjects of each stem that has one."""
    path = resources.files("spendsense_pipeline.recommendations").joinpath("data/subjects.toml")
    of: dict[str, list[str]] = {}
    for subject, words in tomllib.loads(path.read_text("ascii")).items():
        for each in dict.fromkeys(map(stem, words.split())):
            of.setdefault(each, []).append(f"#{subject}")
    return of


def features(paragraph: str) -> Counter[str]:
    """Runs of stems, with subjects for words too, and pairs of words of a normalised paragraph, sentence by sentence,
    with how often each stands. A word's further subjects stand alone."""
    known = subjects()
    found: Counter[str] = Counter()
    for sentence in _END.split(_FIGURE.sub("0", paragraph.lower())):
        stems = ["^", *map(stem, _WORD.findall(sentence))]
        found.update(" ".join(stems[at : at + run]) for run in range(1, RUN + 1) for at in range(len(stems) - run + 1))
        read_as = [known[each][0] if each in known else each for each in stems]
        found.update(
            " ".join(read_as[at : at + run])
            for run in range(1, RUN + 1)
            for at in range(len(stems) - run + 1)
            if read_as[at : at + run] != stems[at : at + run]
        )
        found.update(subject for each in stems if each in known for subject in known[each][1:])
        telling = [each for each in stems if each not in _SMALL]
        found.update(f"{first}~{second}" for at, first in enumerate(telling) for second in telling[at + 1 : at + NEAR])
    return found


class Reading(NamedTuple):
    """``score``: how surely a paragraph is bad, from 0 on a finding. ``kind``: of bad texts, that it is most like."""

    score: float
    kind: str


class Model(NamedTuple):
    """Weights of features: ``place`` of each in the arrays. ``weight`` tells bad from good, ``kind_weight`` each of the
    ``kinds``. ``bias`` holds the threshold."""

    place: dict[str, int]
    rarity: np.ndarray[Any, np.dtype[np.float32]]
    weight: np.ndarray[Any, np.dtype[np.float32]]
    kind_weight: np.ndarray[Any, np.dtype[np.float32]]
    kind_bias: np.ndarray[Any, np.dtype[np.float32]]
    kinds: tuple[str, ...]
    bias: float

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> "Model":
        """The model of the arrays as they are shipped."""
        names = bytes(arrays["features"]).decode().split("\n")
        return cls(
            place={name: place for place, name in enumerate(names)},
            rarity=arrays["rarity"].astype(np.float32),
            weight=arrays["weight"].astype(np.float32) * np.float32(arrays["scale"]),
            kind_weight=arrays["kind_weight"].astype(np.float32) * np.float32(arrays["kind_scale"]),
            kind_bias=arrays["kind_bias"],
            kinds=tuple(str(kind) for kind in arrays["kinds"]),
            bias=float(arrays["bias"]),
        )

    def read(self, paragraph: str) -> Reading:
        """The score of a normalised paragraph."""
        known = [(self.place[each], times) for each, times in features(paragraph).items() if each in self.place]
        at = np.array([place for place, _ in known], dtype=np.intp)
        values = self.rarity[at] * (1 + np.log(np.array([times for _, times in known], dtype=np.float32)))
        values /= math.sqrt(float(values @ values) + EVIDENCE)
        by_kind = values @ self.kind_weight[at] + self.kind_bias
        together = float(np.logaddexp.reduce(by_kind))
        score = float(values @ self.weight[at]) + BY_KIND * together + self.bias
        return Reading(score, self.kinds[int(by_kind.argmax())])


@functools.cache
def model() -> Model:
    """The shipped weights."""
    path = resources.files("spendsense_pipeline.recommendations").joinpath("data/reader.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
        return Model.of(data)


@functools.lru_cache(maxsize=65_536)
def read(paragraph: str) -> Reading:
    """What the shipped model says of a normalised paragraph."""
    return model().read(paragraph)


class Doubted(NamedTuple):
    """A pattern of words that good texts hold as well: it counts in sentences that are not plainly good."""

    pattern: Pattern
    least: float = DOUBT

    def search(self, string: str, /) -> re.Match[str] | None:
        """Where the pattern is found in a sentence that may be bad, None where it is not."""
        found = self.pattern.search(string)
        if found is None or len(string) > LONGEST:
            return found
        least = DOUBT if _DENIES.search(string) else self.least
        return found if read(string).score >= least else None


def reading(text: Text) -> list[Finding]:
    """Paragraphs that read like bad texts, each by what it seems to do and its worst sentence."""
    figures = {str(s["shown"]) for name, s in text.slots.items() if is_figure(name, str(s["shown"]))}
    shown = tuple(sorted(figures | _payees(text)))
    written = text.written
    for line in (EDUCATION_DISCLOSURE, OFFER_DISCLOSURE, COMPENSATION):
        written = written.replace(line, "\n")
    found: dict[str, None] = {}
    for unit, least in _units(written):
        masked = [_without_figures(each, shown) for each in unit]
        if (result := read(" ".join(masked))).score >= least:
            worst = max(range(len(unit)), key=lambda at: read(masked[at]).score)
            found[f"seems to be one that {KINDS[result.kind]}: {unit[worst][:200]!r}"] = None
    return [Finding(check="reading", severity="critical", message=message) for message in found]


def _payees(text: Text) -> set[str]:
    """The well-known payees that slots show: what they are called says nothing. Other names are read as words."""
    named = (s["value"] if isinstance(s.get("value"), list) else [s["shown"]] for s in text.slots.values())
    return {str(name) for some in named for name in some if is_well_known(str(name))}


def _units(written: str) -> Iterator[tuple[list[str], float]]:
    """Sentences that are read together, a paragraph's or ``WINDOW`` after each other of a longer one, and the score
    from which they are a finding. In a longer one each sentence is read alone as well."""
    for line in filter(str.strip, written.split("\n")):
        every = [
            sentence[at : at + LONGEST]
            for sentence in sentences(normalized(line))
            for at in range(0, len(sentence), LONGEST)
        ]
        if len(every) <= WINDOW + 1:
            yield every, 0.0
        else:
            yield from ((every[start : start + WINDOW], 0.0) for start in range(0, len(every) - 1, WINDOW - 1))
            yield from (([sentence], ALONE) for sentence in every)


def _without_figures(sentence: str, shown: tuple[str, ...]) -> str:
    """A sentence with every figure in digits and all that is ``shown`` as 0: it is read alike for every customer."""
    for figure in sorted(shown, key=len, reverse=True):
        sentence = sentence.replace(normalized(figure), "$0" if "$" in figure else "0%" if "%" in figure else "0")
    return _FIGURE.sub("0", sentence)
