"""Language: a text is in its template's language from the first sentence to the last.

Most sentences are seen to be English by their small words. Others are read by py3langid's model (97 languages, shipped
within the package, no network): word lists of our own knew thirty languages and lost short sentences; larger models
take hundreds of megabytes. What a slot shows is no part of a sentence here: payees have names of many languages.
"""

import functools
import re
import unicodedata
from typing import Any, Final

from spendsense_pipeline.recommendations.guardrails.text import WORDS, Finding, Text, sentences

LANGUAGE: Final = "en"
"""That of every template that ships."""
SURE: Final = 0.05
"""The model's probability of ``LANGUAGE`` below which words are foreign. Of 77 foreign sentences that it was set by
none has more, most 0.00; of 1,800 English ones none has less."""
FEWEST_WORDS: Final = 3
"""Names and headings are shorter, and a model can say nothing of them."""
LONGEST: Final = 400
"""Characters that the model reads of a sentence; no sentence of ours is longer."""
SMALL_WORDS: Final = frozenset(WORDS["small"].split())
"""Of these a third of an English sentence is made; ``SHARE`` of them is enough."""
SHARE: Final = 0.3

LOANS: Final = re.compile(rf"\b(?:{'|'.join(WORDS['loans'])})\b", re.IGNORECASE)
"""Words that English has from other languages, which no language is known by."""

_WORD: Final = re.compile(r"[^\W\d_]{2,}(?:'[^\W\d_]+)*")
_HOST: Final = re.compile(r"\w[.:/]+\w|\d")
"""What makes a word an address or a figure, which are of no language."""
_MARKUP: Final = re.compile(r"<[^<>]{0,40}>|[*_#|<>]")
_NAME: Final = re.compile(r"(?<=\S )[A-Z][\w'-]*")
"""A name, behind another word; where a sentence is made of such words they stay."""
_CLAUSE: Final = re.compile(r"[,;:()]\s|\s-+\s|\s[\"']|[\"']\s")


def language(text: Text) -> list[Finding]:
    """Sentences, and parts of them, in another language than the template's."""
    whole = text.written
    for shown in filter(None, (str(slot["shown"]) for slot in text.slots.values())):
        whole = whole.replace(shown, " ")
    found = dict.fromkeys(each for each in sentences(_kept(whole)) if foreign(each))
    return [
        Finding(check="language", severity="critical", message=f"is not in the template's language: {each[:80]!r}")
        for each in found
    ]


def _kept(text: str) -> str:
    """The text with spellings made one where they hide a letter, and accents kept: they tell of a language."""
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    return "\n".join(" ".join(line.split()) for line in composed.split("\n"))


_PLAIN: Final = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u00ad": "", "\u200b": ""})


@functools.lru_cache(maxsize=65_536)
def foreign(sentence: str) -> bool:
    """Whether a sentence, or a part of one, is surely in another language than ``LANGUAGE``."""
    clauses = _CLAUSE.split(sentence)
    return _foreign(sentence, SHARE, FEWEST_WORDS) or (
        len(clauses) > 1 and any(_foreign(clause, 0.0, FEWEST_WORDS + 1) for clause in clauses)
    )


def _foreign(words: str, share: float, fewest: int) -> bool:
    """Whether ``fewest`` words or more, no more than ``share`` of them English small words, are surely foreign."""
    words = " ".join(word for word in _MARKUP.sub(" ", LOANS.sub(" ", words)).split() if not _HOST.search(word))
    each = _WORD.findall(words.lower())
    without_names = " ".join(_NAME.sub(" ", words).split())
    if len(bare := _WORD.findall(without_names.lower())) >= fewest:
        words, each = without_names, bare
    if len(each) < fewest or sum(word in SMALL_WORDS for word in each) > share * len(each):
        return False
    return bool(dict(_identifier().rank(words[:LONGEST]))[LANGUAGE] < SURE)


@functools.cache
def _identifier() -> Any:
    """The model, loaded when the first sentence needs it: that takes a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
