"""What counts as a figure."""

import pytest

from spendsense_pipeline.recommendations.shown_figures import GUIDELINES, figures


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("You saved $1,234.50 so far.", ["$1,234.50"]),
        ("At 82%.", ["82%"]),
        ("Twice as much, or half.", ["Twice", "half"]),
        ("It takes one month.", ["one month"]),
        ("A third of it went to rent.", ["A third"]),
        ("Seven cards", ["Seven"]),
        ("٣ cards", ["٣"]),
        ("no one knows; the second account; once a year", []),
        ("someone at the window often lost weight", []),
        ("below 30 percent, three to six months, three months", []),
        ("35 percent", ["35", "percent"]),
    ],
)
def test_digits_and_number_words_are_figures_and_guidelines_are_not(text: str, found: list[str]) -> None:
    assert [*figures(text)] == found


def test_guidelines_are_unique() -> None:
    assert len({guideline.phrase for guideline in GUIDELINES}) == len(GUIDELINES)
