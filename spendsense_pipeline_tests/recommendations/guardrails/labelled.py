"""How well the guardrails tell good sentences from bad ones: our labelled set, and what it says about each of them.

``labelled.tsv`` holds a sentence a line with the guardrails that must find it, or ``-``; it was labelled by what a
reviewer would say, before the rules were run on it. Letters outside ASCII are written as escapes, so that an
invisible one can be seen. ``python -m spendsense_pipeline_tests.recommendations.guardrails.labelled`` prints what is
missed and what is found wrongly, and writes the table in ``docs/guardrails.md``.
"""

from pathlib import Path
from typing import NamedTuple

from spendsense_pipeline.recommendations.guardrails import GUARDRAILS, review_text
from spendsense_pipeline.recommendations.render import EDUCATION_DISCLOSURE

SENTENCES = Path(__file__).with_name("labelled.tsv")
DOCUMENT = Path(__file__).parents[3] / "docs" / "guardrails.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
SLOTS = {
    "subscription_count": {"signal": "recurring_merchants", "value": 3, "shown": "3 subscriptions"},
    "monthly": {"signal": "monthly_recurring_spend", "value": 82, "shown": "$82"},
    "yearly": {"signal": "monthly_recurring_spend", "value": 984, "shown": "$984"},
    "share": {"signal": "subscription_spend_share", "value": 0.12, "shown": "12%"},
    "window": {"signal": "window_days", "value": 30, "shown": "last 30 days"},
    "as_of": {"signal": "as_of", "value": "2026-03-05", "shown": "March 5, 2026"},
}
"""The figures that a sentence of the set may show."""


class Labelled(NamedTuple):
    """A sentence and the guardrails that must find it."""

    sentence: str
    expected: frozenset[str]


class Measured(NamedTuple):
    """How a guardrail did: sentences it must find, those it found of them, and those it found besides."""

    guardrail: str
    bad: int
    found: int
    wrongly: int

    @property
    def precision(self) -> float:
        """Of the sentences it found, the share that it had to find."""
        return self.found / (self.found + self.wrongly)

    @property
    def recall(self) -> float:
        """Of the sentences it had to find, the share that it found."""
        return self.found / self.bad


def labelled() -> list[Labelled]:
    """The labelled sentences, in the order of the file."""
    _, *lines = SENTENCES.read_text(encoding="ascii").splitlines()
    pairs = [line.partition("\t") for line in lines]
    return [
        Labelled(text.encode().decode("unicode_escape") if "\\" in text else text, frozenset(label.split(",")) - {"-"})
        for label, _, text in pairs
    ]


def found_in(sentence: str) -> frozenset[str]:
    """The guardrails that a sentence trips in an otherwise sound piece."""
    content = f"{sentence}\n\nFigures as of March 5, 2026.\n\n{EDUCATION_DISCLOSURE}"
    return frozenset(f["check"] for f in review_text("A title", content, "You see this because of it.", SLOTS))


def measured(sentences: list[Labelled]) -> list[Measured]:
    """Each guardrail that the set has sentences for, in the order in which they are applied."""
    verdicts = [(one.expected, found_in(one.sentence)) for one in sentences]
    rows = []
    for name in GUARDRAILS:
        bad = sum(name in expected for expected, _ in verdicts)
        if bad:
            found = sum(name in expected & given for expected, given in verdicts)
            rows.append(Measured(name, bad, found, sum(name in given - expected for expected, given in verdicts)))
    return rows


def table(sentences: list[Labelled]) -> str:
    """What ``docs/guardrails.md`` says between its two marks."""
    lines = [
        "| guardrail | sentences to find | found | found wrongly | precision | recall |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in measured(sentences):
        shares = f"{row.precision:.2f} | {row.recall:.2f}"
        lines.append(f"| `{row.guardrail}` | {row.bad} | {row.found} | {row.wrongly} | {shares} |")
    good = sum(not one.expected for one in sentences)
    passed = sum(not one.expected and not found_in(one.sentence) for one in sentences)
    return "\n".join(
        [f"{len(sentences)} sentences, {good} of them sound; {passed} of the sound ones pass.", "", *lines, ""]
    )


def between_marks(document: str, begin: str = BEGIN, end: str = END) -> str:
    """The measured part of the document."""
    return document.partition(begin)[2].partition(end)[0]


def with_measured(document: str, measured_part: str, begin: str = BEGIN, end: str = END) -> str:
    """The document with another measured part."""
    before, _, rest = document.partition(begin)
    return before + begin + measured_part + end + rest.partition(end)[2]


def main() -> None:
    """Say what is missed and what is found wrongly, and write the table into the document."""
    sentences = labelled()
    for one in sentences:
        given = found_in(one.sentence)
        for what, names in (("missed", one.expected - given), ("wrongly", given - one.expected)):
            if names:
                print(f"{what:8}{', '.join(sorted(names))}: {one.sentence}")
    document = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(with_measured(document, table(sentences)), encoding="utf-8")


if __name__ == "__main__":
    main()
