"""What keeps a template from being used, whoever wrote it."""

import doctest
from typing import Any

import pytest

from spendsense_pipeline.recommendations import templates
from spendsense_pipeline.recommendations.slots import SLOTS
from spendsense_pipeline.recommendations.templates import EXAMPLES, check_template

GOOD: dict[str, Any] = {
    "about": "high_utilization",
    "title": "Your fullest card",
    "content": "It was at {{ max_utilization }} of its limit, and interest came to {{ interest_charges }}.",
    "facts": ["util=50-79|80+", "interest=yes"],
    "slots": ["max_utilization", "interest_charges"],
    "holds": {"util": "80+", "interest": "yes", "overdue": "unknown"},
    "available": ["max_utilization", "interest_charges", "card_balance"],
}


def codes(**changes: Any) -> set[str]:
    return {problem.code for problem in check_template(**(GOOD | changes))}


def saying(sentence: str) -> set[str]:
    return codes(content=f"{GOOD['content']} {sentence}")


def test_a_sound_template_has_no_problem_with_or_without_a_situation() -> None:
    assert check_template(**GOOD) == []
    assert codes(holds=None, available=None) == set()


@pytest.mark.parametrize(
    ("sentence", "code"),
    [
        ("It is 3 times as much.", "figure"),
        ("It is twice as much.", "figure"),
        ("About {{ nonsense }}.", "unknown_slot"),
        ("About {{ fund_target }}.", "unknown_slot"),
        ("About {{ card_balance }}.", "slots_declared"),
        ("About {{interest_charges}}.", "braces"),
        ("About {{ interest_charges | round }}.", "braces"),
        ("At {{ max_utilization }}%.", "unit"),
        ("At {{ max_utilization }} percent.", "unit"),
        ("That is ${{ interest_charges }}.", "unit"),
        ("You must pay it.", "tone"),
        ("You\u2019re  overspending.", "tone"),
        ("Results are guaranteed.", "advice_boundary"),
        ("Buy shares of Apple.", "advice_boundary"),
        ("See [this](https://bank.example).", "links"),
        ("Open javascript:alert(x).", "links"),
        ("This is <b>bold</b>.", "links"),
        ("**Look** at it.", "markdown"),
        ("\n\n# Cards", "markdown"),
        ("\n\n- a card", "markdown"),
        ("word " * 200_000, "too_long"),
    ],
)
def test_what_a_template_may_not_say(sentence: str, code: str) -> None:
    assert code in saying(sentence)


UNDECLARED = [
    ("One of your payments is past due.", "overdue=yes"),
    ("A payment shows as past due.", "overdue=yes"),
    ("You have been paying only the minimum.", "minimum=yes"),
    ("Your last payment on a card was close to the minimum.", "minimum=yes"),
    ("You pay a lot of interest on it.", "interest=yes"),
    ("Card interest came to more than that.", "interest=yes"),
    ("Your cards charged you a good deal in interest.", "interest=yes"),
    ("The price of it went up.", "price_rise=yes"),
    ("It costs more now.", "price_rise=yes"),
    ("Your account is overdrawn.", "buffer=overdrawn"),
    ("Your checking is below zero.", "buffer=overdrawn"),
    ("Your savings grew nicely.", "growth=2+"),
    ("You spent more than you earned.", "margin=minus"),
    ("More went out than came in.", "margin=minus"),
]


@pytest.mark.parametrize(("sentence", "fact"), UNDECLARED)
def test_what_a_text_says_without_asserting_it_must_be_known(sentence: str, fact: str) -> None:
    name, _, band = fact.partition("=")
    plain = {"facts": [], "content": f"At {{{{ max_utilization }}}}, with {{{{ card_balance }}}} owed. {sentence}"}
    plain |= {"slots": ["max_utilization", "card_balance"]}
    assert codes(**plain, holds=None, available=None) == {"false_claim"}
    assert codes(**plain, holds={name: "unknown"}) == {"false_claim"}
    assert codes(**plain, holds={name: band}) == set()


@pytest.mark.parametrize(
    ("facts", "borne"),
    [(["overdue=yes"], True), (["overdue=yes|no"], False), (["overdue=no"], False), (["interest=yes"], False)],
)
def test_a_piece_of_the_library_bears_a_claim_by_asserting_it_without_alternative(
    facts: list[str], borne: bool
) -> None:
    content = "At {{ max_utilization }}, with {{ card_balance }} owed, a payment shows as past due."
    slots = ["max_utilization", "card_balance"]
    found = codes(content=content, facts=facts, slots=slots, holds=None, available=None)
    assert found == (set() if borne else {"false_claim"})


@pytest.mark.parametrize(
    "sentence",
    [
        "Whoever pays in full will pay no interest.",
        "Interest is worked out day by day.",
        "Autopay covers the minimum.",
        "Prices of subscriptions tend to rise in small steps.",
    ],
)
def test_what_is_true_of_anybody_is_no_claim(sentence: str) -> None:
    assert saying(sentence) == set()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"content": " "}, "empty"),
        ({"title": ""}, "empty"),
        ({"title": "t" * 121}, "too_long"),
        ({"slots": ["max_utilization"]}, "slots_declared"),
        ({"slots": ["max_utilization", "interest_charges", "interest_charges"]}, "slots_declared"),
        ({"available": ["max_utilization"]}, "slot_unavailable"),
        ({"facts": ["util=30-49"]}, "false_claim"),
        ({"facts": ["overdue=yes"]}, "false_claim"),
        ({"facts": ["fund=6+"]}, "unknown_fact"),
        ({"facts": ["util=high"]}, "unknown_fact"),
        ({"facts": ["util"]}, "unknown_fact"),
        ({"facts": ["util=80+", "util=50-79|80+"]}, "unknown_fact"),
        ({"content": "It was at {{ max_utilization }}.", "slots": ["max_utilization"]}, "too_few_figures"),
        ({"content": "A figure of nobody, on {{ as_of }}.", "slots": ["as_of"]}, "too_few_figures"),
    ],
)
def test_what_a_template_must_declare_and_rest_on(changes: dict[str, Any], code: str) -> None:
    assert code in codes(**changes)


def test_where_one_figure_is_available_one_is_enough() -> None:
    only = {"content": "It was at {{ max_utilization }}.", "slots": ["max_utilization"], "facts": []}
    assert codes(**only, available=["max_utilization"]) == set()


def test_every_slot_has_an_example_that_it_could_show() -> None:
    assert set(EXAMPLES) == set(SLOTS)
    assert all(example["shown"] for example in EXAMPLES.values())


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(templates).failed == 0
