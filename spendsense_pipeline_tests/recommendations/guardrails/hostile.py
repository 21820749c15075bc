"""How well the guardrails stop hostile texts, by kind: a set split before anything was tuned, and what its halves say.

``hostile.tsv`` holds a text a line: its kind, ``bad`` or ``good`` (a near miss), the style that it was written in,
and the text, letters outside ASCII as escapes. How it was written stands in ``docs/guardrails.md``, with the table that
``python -m spendsense_pipeline_tests.recommendations.guardrails.hostile`` writes there.
"""

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

from spendsense_pipeline.recommendations.guardrails import review_text
from spendsense_pipeline.recommendations.naming import sayable
from spendsense_pipeline.recommendations.render import EDUCATION_DISCLOSURE
from spendsense_pipeline_tests.recommendations.guardrails.labelled import DOCUMENT, SLOTS, with_measured

TEXTS = Path(__file__).with_name("hostile.tsv")
MARKS = ("<!-- hostile: begin -->\n", "<!-- hostile: end -->\n")
BLIND_MARKS = ("<!-- blind: begin -->\n", "<!-- blind: end -->\n")
HALVED = "abx"
"""Styles that were split; the later ones, but for ``BLIND``, are material for tuning and training."""
BLIND = "rs"
"""Styles of two authors who saw no rule; their texts were counted and never read, tuned on or learned from."""
OTHER_SETS = {"grounding", "disclosure"}
"""Guardrails that have their own sentences: what they find counts neither for nor against."""


class Hostile(NamedTuple):
    """A text of the set; ``held_out``: nothing was tuned on it or learned from it."""

    kind: str
    bad: bool
    style: str
    text: str
    held_out: bool


class Counts(NamedTuple):
    """How a kind, or all of them, did."""

    kind: str
    bad: int
    found: int
    good: int
    wrongly: int

    @property
    def recall(self) -> float:
        """Of the bad texts, the share that was found."""
        return self.found / max(self.bad, 1)

    @property
    def precision(self) -> float:
        """Of the texts found, the share that is bad."""
        return self.found / max(self.found + self.wrongly, 1)


def hostile() -> list[Hostile]:
    """The texts, in the order of the file."""
    texts = []
    for line in TEXTS.read_text(encoding="ascii").splitlines()[1:]:
        kind, label, style, text = line.split("\t")
        held_out = style in BLIND or (style in HALVED and hashlib.sha256(text.encode()).digest()[0] % 2 == 1)
        texts.append(Hostile(kind, label == "bad", style, text.encode().decode("unicode_escape"), held_out))
    return texts


@functools.cache
def is_found(text: Hostile) -> bool:
    """Whether it would be stopped: a payee's name also by not being named, though it be at list price."""
    sentence, slots = text.text, dict(SLOTS)
    if text.kind == "payee":
        if not sayable(sentence, listed=True):
            return True
        slots["top_subscription"] = {"signal": "recurring_streams", "value": sentence, "shown": sentence}
        sentence = f"You pay {sentence} each month."
    content = f"{sentence}\n\nFigures as of March 5, 2026.\n\n{EDUCATION_DISCLOSURE}"
    found = review_text("A title", content, "You see this because of it.", slots)
    return any(each["severity"] == "critical" and each["check"] not in OTHER_SETS for each in found)


def counted(texts: list[Hostile]) -> list[Counts]:
    """Each kind in the order of the file, and all of them together last."""
    verdicts = [(text, is_found(text)) for text in texts]
    rows = []
    for kind in [*dict.fromkeys(text.kind for text in texts), "all"]:
        mine = [(text.bad, found) for text, found in verdicts if kind in (text.kind, "all")]
        bad, good = ([found for is_bad, found in mine if is_bad is wanted] for wanted in (True, False))
        rows.append(Counts(kind, len(bad), sum(bad), len(good), sum(good)))
    return rows


def half(texts: list[Hostile]) -> list[Hostile]:
    """The half of the split texts that was not tuned on."""
    return [text for text in texts if text.held_out and text.style in HALVED]


def blind_table(texts: list[Hostile]) -> str:
    """What ``docs/guardrails.md`` says of the blind authors' texts, each author in a column, and both."""
    columns = [[text for text in texts if text.style in styles] for styles in (*BLIND, BLIND)]
    counts = [{row.kind: row for row in counted(column)} for column in columns]
    lines = ["| kind | first author | second author | both |", "|---|--:|--:|--:|"]
    for kind in sorted(counts[-1].keys() - {"good", "all"}):
        lines.append(
            f"| {kind.replace('_', ' ')} | " + " | ".join(f"{c[kind].found} of {c[kind].bad}" for c in counts) + " |"
        )
    lines.append(
        "| good, found wrongly | " + " | ".join(f"{c['all'].wrongly} of {c['all'].good}" for c in counts) + " |"
    )
    for share in ("precision", "recall"):
        lines.append(f"| {share} | " + " | ".join(f"{getattr(c['all'], share):.2f}" for c in counts) + " |")
    return "\n".join([*lines, ""])


def table(texts: list[Hostile]) -> str:
    """What ``docs/guardrails.md`` says of the half that was not tuned on."""
    held_out = half(texts)
    lines = [
        "| kind | bad texts | found | good texts | found wrongly | precision | recall |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in counted(held_out):
        shares = f"{row.precision:.2f} | {row.recall:.2f}" if row.bad else "|"
        lines.append(
            f"| {row.kind.replace('_', ' ')} | {row.bad} | {row.found} | {row.good} | {row.wrongly} | {shares} |"
        )
    head = (
        f"{len(texts)} texts, {sum(text.bad for text in texts)} of them bad; the half not tuned on has {len(held_out)}."
    )
    return "\n".join([head, "", *lines, ""])


def main() -> None:
    """Say what is wrong where one may look, and write the tables of the rest into the document."""
    texts = hostile()
    for text in texts:
        if not text.held_out and is_found(text) != text.bad:
            print(f"{'missed' if text.bad else 'wrongly':8}{text.kind}: {text.text}")
    document = with_measured(DOCUMENT.read_text(encoding="utf-8"), table(texts), *MARKS)
    DOCUMENT.write_text(with_measured(document, blind_table(texts), *BLIND_MARKS), encoding="utf-8")


if __name__ == "__main__":
    main()
