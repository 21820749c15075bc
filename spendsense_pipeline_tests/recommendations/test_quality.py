"""What makes a wording hard to read, or one too many; and that none that ships is."""

import doctest
from typing import Any

import pytest

from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.recommendations import quality
from spendsense_pipeline.recommendations.facts import facts_of_insight
from spendsense_pipeline.recommendations.library import Piece
from spendsense_pipeline.recommendations.quality import faults_of_reading, template_quality
from spendsense_pipeline_tests.recommendations.customers import LIBRARY


def wording(piece: Piece, **changes: Any) -> dict[str, Any]:
    """A piece as the check reads it, where all that it asserts holds."""
    asserted = {name: sorted(bands)[0] for name, bands in piece.asserted.items()}
    always = facts_of_insight(piece.about, None) if piece.about in INSIGHTS else {}
    return {"template_id": piece.template_id, "title": piece.title, "content": piece.content, "facts": piece.facts,
            "slots": piece.slots, "holds": always | asserted} | changes  # fmt: skip


PIECE = next(one for one in LIBRARY if one.template_id == "variable_income/days-of-cushion")


def codes(**changes: Any) -> set[str]:
    found = template_quality([wording(PIECE, **changes)])
    return {problem.partition(":")[0] for problems in found.values() for problem in problems}


def test_no_wording_that_ships_has_a_fault_and_no_two_say_the_same() -> None:
    assert template_quality(map(wording, LIBRARY)) == {}


def test_a_second_piece_in_nearly_the_same_words_is_named_with_the_first() -> None:
    again = wording(PIECE, template_id="variable_income/again", content=PIECE.content.replace("about", "around"))
    (problem,) = template_quality([wording(PIECE), again])[PIECE.template_id]
    assert "variable_income/again" in problem


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"content": PIECE.content + " It adds up over time." * 20}, "too_long"),
        ({"content": PIECE.content.partition("\n\n")[0] + "\n\nA step to try: wait."}, "too_short"),
        ({"content": PIECE.content.replace("\n\n", " ")}, "paragraphs"),
        ({"content": "\n\n".join(reversed(PIECE.content.split("\n\n")))}, "steps"),
        ({"holds": {"buffer": "overdrawn"}}, "false_claim"),
    ],
)
def test_what_is_wrong_with_a_wording_is_named(changes: dict[str, Any], code: str) -> None:
    assert codes() == set()
    assert code in codes(**changes)


def test_a_text_of_long_words_in_long_sentences_is_hard_to_read() -> None:
    hard = (
        "Considerable deterioration of discretionary expenditure necessitates immediate reconsideration of priorities"
    )
    assert [problem.partition(":")[0] for problem in faults_of_reading(hard)] == ["hard_to_read"]
    assert faults_of_reading(PIECE.content) == []


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(quality).failed == 0
