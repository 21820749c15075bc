"""The pieces that ship in ``prompts/library/``: read, held to the house rules, and chosen by situation.

A piece is a Markdown-free text with TOML front matter between two lines ``+++``: ``title``, ``topic``,
``facts`` that it asserts (``"util=50-79|80+"``: the fact is in one of these bands) and ``slots`` it shows.
A piece that would not be fit to send fails on load, with its file and field: the library is code, not data.
What does not belong here: filling the slots (``render.py``), choosing for one customer (``drafts.py``).
"""

import datetime as dt
import functools
import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.once import made_once, package_version
from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.recommendations.choosing import TAGS
from spendsense_pipeline.recommendations.facts import ABOUT_FACTS, FACTS
from spendsense_pipeline.recommendations.identity import template_hash
from spendsense_pipeline.recommendations.templates import FRAME_SLOTS, OWN_FIGURES, Problem, check_template

ENOUGH: Final = 3
"""Pieces that stand for a customer; where so many show the customer's own figures, none without them is needed."""

_FIELDS: Final = {"title": str, "topic": str, "facts": list, "slots": list}


class LibraryError(SpendSenseError):
    """A piece of the library breaks a rule; the message names file, field, and what would be right."""

    code = "library_invalid"


@dataclass(frozen=True)
class Piece:
    """One text of the library. ``facts`` as written; ``content`` holds the slots."""

    template_id: str
    about: str
    """A persona or an insight."""
    title: str
    topic: str
    facts: tuple[str, ...]
    slots: tuple[str, ...]
    content: str
    tags: tuple[str, ...] = ()
    """What it does that is wrong beside some insights (``choosing.TAGS``)."""

    @property
    def hash(self) -> str:
        """Of title, content and facts: what an operator approves."""
        return template_hash(self.title, self.content, self.facts)

    @property
    def version(self) -> str:
        """Of this piece alone: editing one leaves the waiting drafts of all others as they are."""
        return f"library-{self.hash[:12]}"

    @property
    def asserted(self) -> dict[str, frozenset[str]]:
        """Fact -> the bands of which one must hold."""
        return {name: frozenset(bands.split("|")) for name, _, bands in (f.partition("=") for f in self.facts)}

    def fits(self, about: str, facts: dict[str, str], available: Sequence[str]) -> bool:
        """Whether all that the piece asserts holds and all that it shows is available."""
        return (
            about == self.about
            and all(facts.get(name) in bands for name, bands in self.asserted.items())
            and set(self.slots) <= {*available, *FRAME_SLOTS}
        )

    @property
    def specificity(self) -> int:
        """Facts asserted (by weight) and figures shown: the more, the more the piece is about this customer."""
        # What weighs more does so where it is so; leave for it to be otherwise tells nothing of the customer.
        weights = (FACTS[name].weight if bands == {"yes"} else 1 for name, bands in self.asserted.items())
        return sum(weights) + self.own_figures

    @property
    def own_figures(self) -> int:
        """How many of the customer's own figures it shows."""
        return len(set(self.slots) - FRAME_SLOTS)


def load_library(prompts_dir: Path, kept: Path | None = None) -> list[Piece]:
    """All pieces in ``prompts_dir/library/<about>/<piece>.md``, by template_id (``<about>/<piece>``).

    Raises LibraryError on the first piece that breaks a rule, and when a persona or an insight has none. With a folder
    ``kept``, a library that is fit is held to the rules by one process and not by each, as long as neither changes.
    """
    paths = sorted((prompts_dir / "library").glob("*/*.md"))
    texts = [(path.parent.name, path.stem, path.read_text(encoding="utf-8")) for path in paths]
    pieces = [_read(*each) for each in texts]
    if kept is None:
        _hold(pieces)
    else:
        judged = hashlib.sha256(json.dumps([package_version(), texts]).encode()).hexdigest()
        made_once(kept, "library", judged, lambda: _hold(pieces))
    missing = sorted({*PERSONAS, *INSIGHTS} - {piece.about for piece in pieces})
    if missing:
        raise LibraryError(f"{prompts_dir / 'library'}: no piece for {', '.join(missing)}")
    return pieces


def education_templates(situations: pd.DataFrame, library: Sequence[Piece], as_of: dt.date) -> pd.DataFrame:
    """The pieces that fit each situation of the day, best first (contract ``education_templates``).

    ``situations`` as from ``situations.situations``. ``rank`` orders by how many facts a piece asserts and
    how many of the customer's figures it shows, but a second piece on a topic comes after the first of every
    other; ties by name. All pieces that fit are kept, so that the choice can vary over time, but those with fewer
    than two own figures only where fewer than three with them fit, or where no other says what they say.
    """
    rows = []
    for one in situations.drop_duplicates("situation").sort_values("situation").to_dict("records"):
        facts, available = json.loads(one["facts"]), list(json.loads(one["slots"]))
        about = one["situation"].partition("/")[0]
        fitting = [piece for piece in library if piece.fits(about, facts, available)]
        for rank, piece in enumerate(_best_first(_about_the_customer(fitting)), start=1):
            rows.append(
                {
                    "as_of": as_of,
                    "situation": one["situation"],
                    "persona": about if about in PERSONAS else None,
                    "template_id": piece.template_id,
                    "rank": rank,
                    "title": piece.title,
                    "content": piece.content,
                    "facts": json.dumps(piece.facts),
                    "slots": json.dumps(piece.slots),
                    "tags": json.dumps(piece.tags),
                    "template_hash": piece.hash,
                    "generator": "library",
                    "model": None,
                    "prompt_version": piece.version,
                    "generation_ms": float("nan"),
                }
            )
    frame = pd.DataFrame(rows, columns=TEMPLATE_COLUMNS)
    text = [c for c in TEMPLATE_COLUMNS if c not in ("as_of", "rank", "generation_ms")]
    return frame.astype({"rank": "Int64", "generation_ms": "float64", **dict.fromkeys(text, "str")})


def _about_the_customer(fitting: Sequence[Piece]) -> Sequence[Piece]:
    """Without the pieces that show too few own figures, unless they are needed or alone in what they assert."""
    figured = [piece for piece in fitting if piece.own_figures >= OWN_FIGURES]
    if len(figured) < ENOUGH:
        return fitting
    return [one for one in fitting if one in figured or not any(set(one.facts) <= set(f.facts) for f in figured)]


def _best_first(pieces: Sequence[Piece]) -> list[Piece]:
    ordered = sorted(pieces, key=lambda piece: (-piece.specificity, piece.template_id))
    said: Counter[str] = Counter()
    turns = []
    for piece in ordered:
        turns.append(said[piece.topic])
        said[piece.topic] += 1
    return [piece for _, piece in sorted(zip(turns, ordered, strict=True), key=lambda pair: pair[0])]


TEMPLATE_COLUMNS: Final = [
    "as_of",
    "situation",
    "persona",
    "template_id",
    "rank",
    "title",
    "content",
    "facts",
    "slots",
    "tags",
    "template_hash",
    "generator",
    "model",
    "prompt_version",
    "generation_ms",
]


def _hold(pieces: Sequence[Piece]) -> None:
    """Hold pieces to the rules for texts. Raises LibraryError on the first that breaks one."""
    for piece in pieces:
        for problem in _problems(piece):
            raise LibraryError(f"{piece.template_id}.md: {problem.field}: {problem.message}")


@functools.lru_cache(maxsize=1_024)
def _problems(piece: Piece) -> list[Problem]:
    """Each is judged once in a process, however often it is loaded."""
    return check_template(piece.about, piece.title, piece.content, piece.facts, piece.slots)


@functools.lru_cache(maxsize=1_024)
def _read(about: str, stem: str, text: str) -> Piece:
    """A piece from its text."""
    name = f"{about}/{stem}.md"
    if about not in ABOUT_FACTS:
        raise LibraryError(f"{name}: folder: {about} is no persona and no insight (one of {', '.join(ABOUT_FACTS)})")
    parts = text.split("+++\n", 2)
    if len(parts) != 3 or parts[0]:
        raise LibraryError(f"{name}: front matter: must stand between two lines +++ at the top")
    try:
        front = tomllib.loads(parts[1])
    except tomllib.TOMLDecodeError as error:
        raise LibraryError(f"{name}: front matter: {error}") from error
    tags = front.pop("tags", [])
    if set(front) != set(_FIELDS) or not all(isinstance(front[f], kind) for f, kind in _FIELDS.items()):
        raise LibraryError(
            f"{name}: front matter: has {sorted(front)}, needs title and topic as text, facts and slots as lists, "
            "and may have tags"
        )
    if not isinstance(tags, list) or not set(tags) <= set(TAGS):
        raise LibraryError(f"{name}: tags: has {tags}, may have {', '.join(TAGS)}")
    piece = Piece(
        template_id=f"{about}/{stem}",
        about=about,
        title=front["title"],
        topic=front["topic"],
        facts=tuple(front["facts"]),
        slots=tuple(front["slots"]),
        content=parts[2].strip(),
        tags=tuple(tags),
    )
    if not piece.topic.strip():
        raise LibraryError(f"{name}: topic: is empty; pieces on the same topic do not come together")
    return piece
