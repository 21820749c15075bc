"""What a language model is asked: one request for a situation, the same bytes whenever the situation is the same.

A request holds a persona's prompt from ``prompts/<persona>.md``, the situation's facts as bands, and the names and
meanings of the slots that can be shown. No customer comes near it: what is written here is computed from the key of
a situation alone. What does not belong here: sending (``openai.py``), judging the answer (``generation.py``).
"""

import functools
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.recommendations.facts import ABOUT_FACTS, ABOUT_SLOTS, FACTS, YES_NO, situation_key
from spendsense_pipeline.recommendations.library import Piece, load_library
from spendsense_pipeline.recommendations.render import fill_slots
from spendsense_pipeline.recommendations.shown_figures import GUIDELINES
from spendsense_pipeline.recommendations.slots import SLOTS, Slot
from spendsense_pipeline.recommendations.templates import EXAMPLES

PIECES: Final = 3
"""Pieces in one answer: as many as one customer is drafted at most, so that one request serves a whole situation."""

MOST_TOKENS: Final = 3_000
"""Tokens that an answer may take: three pieces need a third of it, a model that reasons first the rest."""

INSIGHT_PROMPT: Final = "insight.md"

GENERATOR: Final = "2"
"""Version of how answers are read (``generation.py``); a change of it asks about every situation anew."""

LONGEST_REPEATED: Final = 12_000
"""Characters of an answer that are sent back with what was wrong with it; a longer one is only told about."""

LOCALE: Final = "en-US"
LOCALE_MEANS: Final = (
    "American spelling and words (favorite, check, checking account, paycheck), examples from the United States where "
    "one is needed; code writes dates and currencies in slots as each reader is used to"
)
"""The English that texts are written in, as the library is."""

WORKED: Final = 2
"""Worked examples in a prompt: one would be copied, two show what may vary."""


class AnsweredPiece(BaseModel):
    """One piece of education."""

    model_config = ConfigDict(extra="forbid")

    topic: str = Field(description="a few words")
    title: str = Field(description="at most eight words")
    content: str = Field(description="three paragraphs with an empty line between them, figures only as slots")
    facts: list[str] = Field(description="the facts that the text relies on, each as name=band")


class AnsweredPieces(BaseModel):
    """The pieces for one situation."""

    model_config = ConfigDict(extra="forbid")

    pieces: list[AnsweredPiece]


@dataclass(frozen=True)
class Situation:
    """A situation without the customers in it: fact -> band, and the slots that can be shown, in order."""

    key: str
    about: str
    """A persona or an insight."""
    facts: Mapping[str, str]
    slots: tuple[str, ...]


@dataclass(frozen=True)
class Rejected:
    """A text, figures as slots, that an operator rejected, and why; no reason where it may not leave the house."""

    title: str
    content: str
    reason: str | None


@dataclass(frozen=True)
class Prompt:
    """The prompt of a persona, or of an insight. ``version`` names it and its exact words, e.g.
    ``high_utilization-2+1f0a3b7c``."""

    about: str
    version: str
    text: str


class PromptError(SpendSenseError):
    """A prompt file is missing or does not begin as it should."""

    code = "prompt_invalid"


class UnknownSituation(SpendSenseError):
    """No situation has this key."""

    code = "unknown_situation"


def load_prompts(prompts_dir: Path) -> dict[str, Prompt]:
    """The prompt of each persona, from ``<persona>.md``, and of each insight, from ``insight.md`` and what the insight
    is, each with two pieces of the library as worked examples; ``version: NAME`` is a file's first line.

    Raises PromptError with the file and what would be right, and LibraryError as ``load_library`` does.
    """
    written = {persona: _words_of(prompts_dir / f"{persona}.md", persona) for persona in PERSONAS}
    version, words = _words_of(prompts_dir / INSIGHT_PROMPT, "insights")
    for name, insight in INSIGHTS.items():
        about = f"## The insight\n\n`{name}` fires when {insight.fires}. It would be wrong when {insight.wrong_when}."
        written[name] = version, f"{words}\n\n{about}"
    pieces: dict[str, list[Piece]] = {}
    for piece in load_library(prompts_dir):
        pieces.setdefault(piece.about, []).append(piece)
    return {
        about: _prompt(about, version, f"{words}\n\n{_worked(pieces[about])}")
        for about, (version, words) in written.items()
    }


def _worked(pieces: Sequence[Piece]) -> str:
    """The pieces with the most figures, as an answer has them and as a reader would see them, figures invented."""
    parts = ["## Worked examples", "Answers of the right kind, each with how it reads once code has put figures in."]
    best = sorted(pieces, key=lambda one: (-one.own_figures, one.template_id))
    of_topics = {piece.topic: piece for piece in reversed(best)}  # the best of each
    for piece in sorted(of_topics.values(), key=best.index)[:WORKED]:
        facts = [f"{name}={sorted(bands)[0]}" for name, bands in piece.asserted.items()]
        answer = AnsweredPiece(topic=piece.topic, title=piece.title, content=piece.content, facts=facts)
        reads = f"{fill_slots(piece.title, EXAMPLES)}\n\n{fill_slots(piece.content, EXAMPLES)}"
        parts += [answer.model_dump_json(), "> " + reads.replace("\n", "\n> ")]
    return "\n\n".join(parts)


def _words_of(path: Path, of: str) -> tuple[str, str]:
    """Version and words of a prompt's file."""
    if not path.is_file():
        raise PromptError(f"{path}: there is no prompt for {of}")
    first, _, text = path.read_text(encoding="utf-8").partition("\n")
    named = re.fullmatch(r"version: (\S+)", first)
    if named is None or not text.strip():
        raise PromptError(f"{path}: begins with {first[:60]!r}; should be 'version: NAME', then the prompt")
    return named[1], text.strip()


def _prompt(about: str, version: str, words: str) -> Prompt:
    return Prompt(about, f"{version}+{hashlib.sha256(words.encode()).hexdigest()[:8]}", words)


def distinct(situations: pd.DataFrame) -> list[Situation]:
    """The situations that these customers are in, by key; ``situations`` as from ``situations.situations``."""
    rows = situations.drop_duplicates("situation").sort_values("situation")
    return [
        Situation(
            key=row["situation"],
            about=(about := row["situation"].partition("/")[0]),
            facts=json.loads(row["facts"]),
            slots=_own_slots(about, json.loads(row["slots"])),
        )
        for row in rows.to_dict("records")
    ]


def situation_of(key: str) -> Situation:
    """The situation with this key, from the key alone. Raises UnknownSituation.

    A key names its slots by a short digest, so every choice of the persona's slots is tried. Should two have the same
    digest, the key does not tell them apart and is refused.

    >>> situation_of("subscription_heavy/streams=5-7,share=20+,price_rise=no/slots=c48268b0d4").about
    'subscription_heavy'
    """
    about, _, rest = key.partition("/")
    facts = dict(part.partition("=")[::2] for part in rest.rpartition("/")[0].split(",") if part)
    if about not in ABOUT_FACTS:
        raise UnknownSituation(f"{key!r} is no situation: it begins with none of {', '.join(ABOUT_FACTS)}")
    for name in ABOUT_FACTS[about]:
        bands = (*FACTS[name].bands, "unknown")
        if facts.get(name) not in bands:
            raise UnknownSituation(f"{key!r} is no situation: {name} should be one of {', '.join(bands)}")
    every = ABOUT_SLOTS[about]
    choices = itertools.chain.from_iterable(itertools.combinations(every, count) for count in range(len(every) + 1))
    fitting = [slots for slots in choices if situation_key(about, facts, dict.fromkeys(slots)) == key]
    if len(fitting) != 1:
        found = "more than one choice" if fitting else "no choice"
        raise UnknownSituation(f"{key!r} is no situation: {found} of {about}'s slots has that digest")
    return Situation(key, about, facts, fitting[0])


def request(situation: Situation, prompt: Prompt, model: str) -> dict[str, Any]:
    """The body of the request, as ``chat.completions.create`` takes it.

    ``store`` is off: the provider keeps neither request nor answer for anybody's dashboard. The schema, in which every
    field is required and no other allowed, is strict as Pydantic writes it.
    """
    schema = {"name": "pieces", "strict": True, "schema": answer_schema()}
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": prompt.text},
            {"role": "user", "content": _described(situation)},
        ],
        "response_format": {"type": "json_schema", "json_schema": schema},
        "max_completion_tokens": MOST_TOKENS,
        "store": False,
    }


def with_rejected(asked: Mapping[str, Any], rejected: Sequence[Rejected]) -> dict[str, Any]:
    """The request with what operators rejected of its persona or insight. It is left out of the fingerprint: a
    rejection is no reason to ask again about all that was written."""
    if not rejected:
        return dict(asked)
    *before, last = asked["messages"]
    listed = "\n\n".join(
        "> " + f"{one.title}\n\n{one.content}".replace("\n", "\n> ") + f"\n\nWhy: {one.reason or 'not given'}"
        for one in rejected
    )
    said = f"{last['content']}\n\nRejected before by the bank's operators; avoid what they object to:\n\n{listed}"
    return {**asked, "messages": [*before, {**last, "content": said}]}


@functools.cache
def answer_schema() -> dict[str, Any]:
    """The schema of an answer; Pydantic takes longer to write it than a request takes to send."""
    return AnsweredPieces.model_json_schema()


def asked_again(asked: Mapping[str, Any], answer: str | None, problems: Sequence[str]) -> dict[str, Any]:
    """The request once more, with what was wrong with the answer to it."""
    wrong = "\n".join(f"- {problem}" for problem in problems)
    said = [{"role": "assistant", "content": answer}] if answer and len(answer) <= LONGEST_REPEATED else []
    feedback = (
        f"This cannot be used:\n{wrong}\n\nWrite all {PIECES} pieces anew by the same rules, without these faults."
    )
    return {**asked, "messages": [*asked["messages"], *said, {"role": "user", "content": feedback}]}


def fingerprint(asked: Mapping[str, Any]) -> str:
    """Of all that shapes a text: the request (prompt, situation, slots, schema, model, limits) and how it is read."""
    return hashlib.sha256(json.dumps([GENERATOR, asked], sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _own_slots(about: str, available: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in ABOUT_SLOTS[about] if name in available)


def _described(situation: Situation) -> str:
    """The situation in words, for the model: facts that are known, slots, phrases, what is wanted."""
    facts = [f"- {name}={band}: {_told(name, band)}" for name, band in situation.facts.items() if band != "unknown"]
    slots = [f"- {{{{ {name} }}}}: {_read(SLOTS[name])}" for name in (*situation.slots, "window", "as_of")]
    phrases = [f'- "{guideline.phrase}": {guideline.source}' for guideline in GUIDELINES]
    parts = (
        ("Facts", facts or ["- none is known"]),
        ("Slots", slots),
        ("Guideline phrases", phrases),
        ("Locale", [f"- {LOCALE}: {LOCALE_MEANS}"]),
    )
    listed = "\n\n".join("\n".join([f"{head}:", *lines]) for head, lines in parts)
    return f"{listed}\n\nWrite {PIECES} pieces for this situation, each on a topic of its own."


def _told(name: str, band: str) -> str:
    """What a fact says, so that "no" cannot be read as what it denies."""
    meaning = FACTS[name].meaning
    return meaning if FACTS[name].bands != YES_NO else f"it is {'' if band == 'yes' else 'not '}so that {meaning}"


def _read(slot: Slot) -> str:
    sample = json.dumps(EXAMPLES[slot.name]["shown"], ensure_ascii=False)
    return f"{slot.meaning}; it reads like {sample}" + (f", of a single one {slot.noun[0]}" if slot.noun[0] else "")
