"""How well a wording reads, whoever wrote it: its length, its grade, its step, and whether another says the same.

What a template must be to be used at all is ``templates.check_template``; this is for those who look after the texts.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, Final

from spendsense_pipeline.recommendations.render import fill_slots
from spendsense_pipeline.recommendations.templates import EXAMPLES, check_template

WORDS: Final = (60, 130)
HIGHEST_GRADE: Final = 9.0
PARAGRAPHS: Final = (2, 3)
STEPS: Final = ("A step to ", "An idea: ", "A calm next step: ")
"""How a paragraph opens that suggests a step by name; there is one, and it comes last."""
SHINGLE: Final = 5
"""Words in a row that two texts are compared by."""
MOST_ALIKE: Final = 0.4
"""Share of such rows that two texts may have in common."""

_WORD: Final = re.compile(r"[A-Za-z0-9$€£%][\w$€£%.,'’-]*")
_SENTENCE: Final = re.compile(r"[.!?:]+(?:\s|$)")
_SOUND: Final = re.compile(r"[aeiouy]+")


def grade(text: str) -> float:
    """The school year in which a text is read, by Flesch and Kincaid; syllables are counted by groups of vowels.

    >>> round(grade("The cat sat on the mat. It was a good cat."), 1)
    -1.6
    """
    words = _WORD.findall(text)
    if not words:
        return 0.0
    sentences = max(len(_SENTENCE.findall(text)), 1)
    return 0.39 * len(words) / sentences + 11.8 * sum(map(_syllables, words)) / len(words) - 15.59


def _syllables(word: str) -> int:
    word = re.sub(r"[^a-z]", "", word.lower())
    silent = (word.endswith("e") and not word.endswith(("le", "ee"))) or re.search(r"[^td]ed$", word) is not None
    return max(len(_SOUND.findall(word)) - bool(silent), 1)


def faults_of_reading(content: str) -> list[str]:
    """What makes a wording too long or too hard to read, with a plausible figure in every slot."""
    read = fill_slots(content, EXAMPLES)
    words, level = len(read.split()), grade(read)
    found = []
    if words > WORDS[1]:
        found.append(f"too_long: content: has {words} words; at most {WORDS[1]}")
    if level > HIGHEST_GRADE:
        found.append(f"hard_to_read: content: reads at grade {level:.1f}; at most {HIGHEST_GRADE:g}")
    return found


def template_quality(templates: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """By template_id what is wrong with it, of those with which something is.

    ``templates``: template_id, title, content, ``facts`` and ``slots`` (sequences), and ``holds``, the facts of a
    situation that it is used in, by name.
    """
    found: dict[str, list[str]] = {}
    shingles: dict[str, frozenset[tuple[str, ...]]] = {}
    for one in templates:
        name, content = one["template_id"], one["content"]
        wrong = faults_of_reading(content)
        words = len(fill_slots(content, EXAMPLES).split())
        if words < WORDS[0]:
            wrong.append(f"too_short: content: has {words} words; at least {WORDS[0]}")
        paragraphs = content.split("\n\n")
        if not PARAGRAPHS[0] <= len(paragraphs) <= PARAGRAPHS[1]:
            wrong.append(f"paragraphs: content: has {len(paragraphs)}; two or three")
        if any(paragraph.startswith(STEPS) for paragraph in paragraphs[:-1]):
            wrong.append("steps: content: suggests a step before its last paragraph")
        checked = check_template(
            name.partition("/")[0], one["title"], content, one["facts"], one["slots"], holds=one["holds"]
        )
        wrong += [f"{problem.code}: {problem.field}: {problem.message}" for problem in checked]
        if wrong:
            found[name] = wrong
        said = re.findall(r"[a-z_]+", content.lower())
        shingles[name] = frozenset(zip(*(said[at:] for at in range(SHINGLE)), strict=False))
    for (name, mine), (other, theirs) in combinations(shingles.items(), 2):
        least = min(len(mine), len(theirs))
        if least and len(mine & theirs) > MOST_ALIKE * least:
            found.setdefault(name, []).append(f"near_duplicate: content: says much of what {other} says")
    return found
