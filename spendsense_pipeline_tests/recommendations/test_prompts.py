"""What a model is asked: the same bytes for the same situation, from its key alone, and a schema that is strict."""

import json
import shutil
from pathlib import Path

import openai
import pytest

from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.recommendations import prompts
from spendsense_pipeline.recommendations.library import load_library
from spendsense_pipeline.recommendations.prompts import (
    PromptError,
    UnknownSituation,
    distinct,
    fingerprint,
    load_prompts,
    request,
    situation_of,
)
from spendsense_pipeline.recommendations.situations import situations
from spendsense_pipeline_tests.recommendations.customers import EVERYONE, SUBSCRIPTIONS, cards, day, streams

FOLDER = Path(__file__).parents[2] / "prompts"
PROMPTS = load_prompts(FOLDER)
SITUATIONS = distinct(situations(*day(EVERYONE), streams(SUBSCRIPTIONS), cards()))

each_situation = pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.key)


@each_situation
def test_a_situation_is_read_back_from_its_key(situation: prompts.Situation) -> None:
    assert situation_of(situation.key) == situation


@each_situation
def test_a_request_names_known_facts_and_available_slots_and_no_others(situation: prompts.Situation) -> None:
    said = request(situation, PROMPTS[situation.about], "m")["messages"][1]["content"]
    for name, band in situation.facts.items():
        assert (f"- {name}={band}:" in said) == (band != "unknown")
    offered = {line[5 : line.index(" }}")] for line in said.splitlines() if line.startswith("- {{")}
    assert offered == {*situation.slots, "window", "as_of"}


def test_the_request_is_strict_is_not_stored_and_carries_the_personas_prompt() -> None:
    asked = request(SITUATIONS[0], PROMPTS[SITUATIONS[0].about], "gpt-4o-mini")
    assert asked["store"] is False
    assert asked["model"] == "gpt-4o-mini"
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert asked["messages"][0]["content"] == PROMPTS[SITUATIONS[0].about].text
    # The SDK makes a schema strict where it is not; ours already is.
    strict = openai.pydantic_function_tool(prompts.AnsweredPieces)["function"]["parameters"]
    assert asked["response_format"]["json_schema"]["schema"] == strict


def test_everything_that_shapes_the_text_changes_the_fingerprint(tmp_path: Path, monkeypatch) -> None:
    one, other = SITUATIONS[0], SITUATIONS[1]
    prompt = PROMPTS[one.about]

    def of(situation=one, prompt=prompt, model="m") -> str:
        return fingerprint(request(situation, prompt, model))

    shutil.copytree(FOLDER / "library", tmp_path / "library")
    for persona in (*PERSONAS, "insight"):
        words = (FOLDER / f"{persona}.md").read_text().replace("Warm, calm", "Warm and calm")
        (tmp_path / f"{persona}.md").write_text(words)
    reworded = load_prompts(tmp_path)[one.about]
    fewer = prompts.Situation(one.key, one.about, one.facts, one.slots[:-1])
    assert of() == of()
    assert reworded.version != prompt.version
    known = [of(), of(model="n"), of(situation=other), of(prompt=reworded), of(situation=fewer)]
    monkeypatch.setattr(prompts, "GENERATOR", "another")
    known.append(of())
    monkeypatch.setattr(prompts, "answer_schema", lambda: {"another": "schema"})
    known.append(of())
    monkeypatch.undo()
    assert len(set(known)) == len(known)
    assert of() == known[0]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("nobody/util=80+/slots=000000", "begins with none of"),
        ("subscription_heavy/streams=many/slots=000000", "streams should be one of"),
        ("subscription_heavy/streams=5-7,share=20+,price_rise=no/slots=000000", "no choice of"),
        ("", "begins with none of"),
    ],
)
def test_a_key_of_no_situation_is_refused_with_what_is_wrong(key: str, said: str) -> None:
    with pytest.raises(UnknownSituation, match=said):
        situation_of(key)


@pytest.mark.parametrize(("text", "said"), [(None, "no prompt for"), ("# Title\n\nWords\n", "version: NAME")])
def test_a_prompt_that_is_missing_or_unversioned_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / f"{next(iter(PERSONAS))}.md").write_text(text)
    with pytest.raises(PromptError, match=said):
        load_prompts(tmp_path)


def test_a_prompt_has_two_pieces_of_its_own_as_examples_and_no_slot_is_left_unread() -> None:
    pieces = load_library(FOLDER)
    for about, prompt in PROMPTS.items():
        _, _, examples = prompt.text.partition("## Worked examples")
        own = [one for one in pieces if one.about == about and json.dumps(one.title, ensure_ascii=False) in examples]
        assert len(own) == prompts.WORKED, about
        read = [line for line in examples.splitlines() if line.startswith("> ")]
        assert read, about
        assert not any("{{" in line or "None" in line for line in read), about


def test_a_slot_comes_with_a_sample_of_how_it_reads() -> None:
    said = request(SITUATIONS[0], PROMPTS[SITUATIONS[0].about], "m")["messages"][1]["content"]
    slots = [line for line in said.splitlines() if line.startswith("- {{")]
    assert slots
    assert all('reads like "' in line for line in slots)


def test_a_request_says_which_english_is_meant() -> None:
    assert (
        f"\nLocale:\n- {prompts.LOCALE}: American"
        in request(SITUATIONS[0], PROMPTS[SITUATIONS[0].about], "m")["messages"][1]["content"]
    )


def test_prompts_speak_of_the_output_that_the_schema_asks_for() -> None:
    for prompt in PROMPTS.values():
        for field in prompts.AnsweredPiece.model_fields:
            assert f"`{field}`" in prompt.text, prompt.version
