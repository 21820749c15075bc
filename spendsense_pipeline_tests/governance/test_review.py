"""Decisions hold for the exact text that the operator saw, are taken by whom may take them, and say why not."""

from typing import Any

import pytest
from sqlalchemy import Engine

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import operators, queue, review
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.review import MOST_AT_ONCE, Refusal, Request
from spendsense_pipeline_tests.governance import verdicts
from spendsense_pipeline_tests.governance.town import (
    DAY,
    HOUR,
    NOW,
    approve,
    critical,
    draft,
    feed,
    gate,
    no_findings,
    outcome,
    register,
    revoke,
    seen,
    status,
    waiting_draft,
)

CRITICAL = '[{"check": "tone", "severity": "critical", "message": "shames"}]'


def override(engine: Engine, one: dict[str, Any], by: str = "ada", **how: Any) -> str:
    words = {"title": "A calmer title", "reason": "too sharp", "guardrails": no_findings} | how
    return outcome(verdicts.override(engine, one["recommendation_id"], by, NOW, **words))


def shown(engine: Engine, one: dict[str, Any]) -> dict[str, Any]:
    with reading(engine) as session:
        return queue.full(session, one["recommendation_id"], NOW)


def test_an_approval_holds_for_the_text_that_was_seen(engine: Engine) -> None:
    one = waiting_draft(engine)
    assert outcome(verdicts.approve(engine, [f"{one['recommendation_id']}@{'b' * 64}"], "ada", NOW)) == "changed"
    assert status(engine, one) == "pending_approval"
    (row,) = approve(engine, one, note="reads well", run_id="run-3")
    assert row == {
        "recommendation_id": one["recommendation_id"],
        "ok": True,
        "status": "approved",
        "refused": None,
    }
    (decision,) = shown(engine, one)["decisions"]
    assert (decision["operator_id"], decision["reason"], decision["run_id"]) == ("ada", "reads well", "run-3")
    assert (decision["made"], decision["content_hash"]) == ("individual", one["content_hash"])


def test_without_a_hash_it_is_the_text_that_was_shown_last(engine: Engine) -> None:
    one = waiting_draft(engine, figure=0.68)
    name = [one["recommendation_id"]]
    queue.show(engine, name[0], NOW, operator_id="ada")
    register(engine, draft("mia", {"education": one["consent_id"]}, figure=0.5), now=NOW + HOUR)
    assert outcome(verdicts.approve(engine, name, "ada", NOW)) == "changed"
    assert outcome(verdicts.approve(engine, name, "ben", NOW)) == "hash_required", "ada looked, ben did not"
    queue.show(engine, name[0], NOW)
    assert outcome(verdicts.approve(engine, name, "ben", NOW)) == "hash_required", "that was anybody"
    assert outcome(verdicts.approve(engine, name, "ada", NOW)) == "changed"
    queue.show(engine, name[0], NOW, operator_id="ada")
    assert outcome(verdicts.approve(engine, name, "ada", NOW)) == "approved"


def test_where_there_was_only_ever_one_text_no_hash_is_needed(engine: Engine) -> None:
    one = waiting_draft(engine)
    assert outcome(verdicts.approve(engine, [one["recommendation_id"]], "ada", NOW)) == "approved"
    other = waiting_draft(engine, "noah")
    override(engine, other)
    verdicts.undo(engine, [other["recommendation_id"]], "ada", NOW)
    assert outcome(verdicts.approve(engine, [other["recommendation_id"]], "ben", NOW)) == "hash_required"


def test_twelve_characters_of_a_hash_name_a_text_and_eleven_do_not(engine: Engine) -> None:
    one = waiting_draft(engine)
    name, _, hashed = seen(one).partition("@")
    assert outcome(verdicts.approve(engine, [f"{name}@{hashed[:11]}"], "ada", NOW)) == "changed"
    assert outcome(verdicts.approve(engine, [f"{name}@{hashed[:12]}"], "ada", NOW)) == "approved"


def test_the_second_decision_loses_and_is_told(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    assert outcome(approve(engine, one, by="ben")) == "already_decided"
    assert outcome(verdicts.reject(engine, [seen(one)], "ben", NOW, reason="no")) == "already_decided"
    assert override(engine, one) == "already_decided"


def test_a_rejection_is_final_and_needs_its_reason(engine: Engine) -> None:
    one = waiting_draft(engine)
    assert outcome(verdicts.reject(engine, [seen(one)], "ada", NOW, reason=" ")) == "reason_required"
    assert outcome(verdicts.reject(engine, [one["recommendation_id"]], "ada", NOW, reason="no")) == "rejected"
    assert outcome(verdicts.undo(engine, [seen(one)], "ada", NOW)) == "already_decided"
    assert gate(engine).released == []


def test_an_approval_may_be_undone_until_release(engine: Engine) -> None:
    one = waiting_draft(engine)
    assert outcome(verdicts.undo(engine, [seen(one)], "ada", NOW)) == "nothing_to_undo"
    approve(engine, one)
    assert outcome(verdicts.undo(engine, [seen(one)], "ben", NOW)) == "pending_approval"
    approve(engine, one)
    gate(engine)
    assert outcome(verdicts.undo(engine, [seen(one)], "ada", NOW)) == "already_released"
    assert len(feed(engine)) == 1


def test_only_registered_active_operators_decide_and_never_about_themselves(engine: Engine) -> None:
    one, own = waiting_draft(engine), waiting_draft(engine, "ben")
    assert outcome(approve(engine, one, by="eve")) == "unknown_operator"
    assert outcome(approve(engine, one, by="mia")) == "operator_is_customer"
    assert outcome(approve(engine, own, by="ben")) == "own_recommendation"
    with writing(engine) as session:
        operators.deactivate(session, "ada", NOW)
    assert outcome(approve(engine, one, by="ada")) == "inactive_operator"
    assert {status(engine, one), status(engine, own)} == {"pending_approval"}


def test_what_ended_says_how(engine: Engine) -> None:
    one, voided = waiting_draft(engine), waiting_draft(engine, "noah")
    revoke(engine, "noah")
    assert outcome(approve(engine, voided)) == "voided"
    assert outcome(approve(engine, one, now=NOW + 14 * DAY)) == "expired"
    assert outcome(verdicts.approve(engine, ["rec_none@abc"], "ada", NOW)) == "unknown_recommendation"


def test_a_critical_finding_cannot_be_approved_but_overridden(engine: Engine) -> None:
    one = waiting_draft(engine, findings=CRITICAL)
    assert outcome(approve(engine, one)) == "critical_finding"
    assert override(engine, one, guardrails=critical) == "critical_finding"
    assert status(engine, one) == "pending_approval"
    assert override(engine, one) == "overridden"
    assert gate(engine).released == [one["recommendation_id"]]


def test_an_unknown_severity_counts_as_critical(engine: Engine) -> None:
    one = waiting_draft(engine, findings=CRITICAL.replace("critical", "catastrophic"))
    assert outcome(approve(engine, one)) == "critical_finding"


def test_an_override_is_what_goes_out_and_the_first_original_stays(engine: Engine) -> None:
    one = waiting_draft(engine)
    assert override(engine, one, content="Calmer words.") == "overridden"
    assert outcome(verdicts.undo(engine, [one["recommendation_id"]], "ada", NOW)) == "pending_approval"
    assert shown(engine, one)["title"] == one["title"]
    assert override(engine, one, title="Second thoughts") == "overridden"
    assert shown(engine, one)["original"]["title"] == one["title"]
    gate(engine)
    (out,) = feed(engine)
    assert (out["title"], out["content"]) == ("Second thoughts", one["content"])
    assert out["content_hash"] != one["content_hash"]


def test_the_guardrails_see_the_text_that_would_stand(engine: Engine) -> None:
    seen_by_guardrails: list[dict[str, Any]] = []

    def listening(text: Any) -> list[dict[str, str]]:
        seen_by_guardrails.append(dict(text))
        return [{"check": "length", "severity": "notable", "message": "short"}]

    one = waiting_draft(engine)
    override(engine, one, guardrails=listening)
    (text,) = seen_by_guardrails
    assert (text["title"], text["content"]) == ("A calmer title", one["content"])
    assert shown(engine, one)["findings"][0]["severity"] == "notable"


def test_the_same_override_may_be_made_again(engine: Engine) -> None:
    one = waiting_draft(engine)
    override(engine, one)
    verdicts.undo(engine, [one["recommendation_id"]], "ada", NOW)
    assert override(engine, one, by="ben") == "overridden"
    assert override(engine, waiting_draft(engine, "noah"), title=None) == "nothing_changed"


def test_with_four_eyes_an_override_waits_for_somebody_else(engine: Engine) -> None:
    one = waiting_draft(engine)
    assert override(engine, one, four_eyes=True) == "pending_approval"
    changed = one | {"content_hash": shown(engine, one)["content_hash"]}
    assert gate(engine).released == []
    assert outcome(approve(engine, one, by="ben", four_eyes=True)) == "changed"
    assert outcome(approve(engine, changed, by="ada", four_eyes=True)) == "four_eyes"
    assert outcome(approve(engine, changed, by="ben", four_eyes=True)) == "approved"
    gate(engine)
    assert feed(engine)[0]["title"] == "A calmer title"


def test_with_four_eyes_nobody_approves_their_own_words_after_undoing_another_s_approval(engine: Engine) -> None:
    one = waiting_draft(engine)
    override(engine, one, four_eyes=True)
    changed = one | {"content_hash": shown(engine, one)["content_hash"]}
    assert outcome(approve(engine, changed, by="ben", four_eyes=True)) == "approved"
    assert outcome(verdicts.undo(engine, [seen(changed)], "ada", NOW, four_eyes=True)) == "pending_approval"
    assert outcome(approve(engine, changed, by="ada", four_eyes=True)) == "four_eyes"
    assert outcome(approve(engine, changed, by="ben", four_eyes=True)) == "approved"


def test_with_four_eyes_whoever_repeats_an_override_is_its_author(engine: Engine) -> None:
    one = waiting_draft(engine)
    override(engine, one, four_eyes=True)
    assert outcome(verdicts.undo(engine, [one["recommendation_id"]], "ada", NOW)) == "pending_approval"
    assert override(engine, one, by="ben", four_eyes=True) == "pending_approval"
    changed = one | {"content_hash": shown(engine, one)["content_hash"]}
    assert outcome(approve(engine, changed, by="ben", four_eyes=True)) == "four_eyes"
    assert outcome(approve(engine, changed, by="ada", four_eyes=True)) == "approved"


def test_a_bulk_does_each_item_whole_and_reports_each(engine: Engine) -> None:
    ones = [waiting_draft(engine, user) for user in ("mia", "noah", "zoe")]
    approve(engine, ones[1])
    rows = approve(engine, *ones, ones[0], {"recommendation_id": "rec_none", "content_hash": "x"})
    assert [row["refused"] for row in rows] == [
        None,
        "already_decided",
        None,
        "named_twice",
        "unknown_recommendation",
    ]
    assert shown(engine, ones[0])["decisions"][0]["made"] == "bulk"


def test_a_mixed_round_is_one_call(engine: Engine) -> None:
    ones = [waiting_draft(engine, user) for user in ("mia", "noah", "zoe")]
    asked = [
        Request("approve", ones[0]["recommendation_id"], "ada", ones[0]["content_hash"]),
        Request("reject", ones[1]["recommendation_id"], "ada", reason="wrong tone"),
        Request("override", ones[2]["recommendation_id"], "ben", title="Better", reason="clearer"),
        Request("praise", ones[2]["recommendation_id"], "ben"),
    ]
    rows = review.decide(engine, asked, NOW, guardrails=no_findings, run_id="run-1")
    assert [row["status"] for row in rows] == ["approved", "rejected", "overridden", "overridden"]
    assert rows[3]["refused"] == "named_twice"


def test_thousands_of_unknown_ids_are_told_so_and_too_many_are_refused(engine: Engine) -> None:
    rows = verdicts.approve(engine, [f"rec_{number}" for number in range(MOST_AT_ONCE)], "ada", NOW)
    assert {row["refused"] for row in rows} == {"unknown_recommendation"}
    with pytest.raises(SpendSenseError) as refused:
        verdicts.approve(engine, ["rec_x"] * (MOST_AT_ONCE + 1), "ada", NOW)
    assert refused.value.code == "too_many"


HOSTILE = ["a\0b", "\ud800", "'; DROP TABLE decisions; --", "x" * 100_000, "‮live", "{{ slots }}", "\N{PILE OF POO}"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_are_kept_as_they_are_or_refused_whole(engine: Engine, text: str) -> None:
    one = waiting_draft(engine)
    assert outcome(verdicts.approve(engine, [text], "ada", NOW)) == "unknown_recommendation"
    assert outcome(approve(engine, one, by=text)) == "unknown_operator"
    said = override(engine, one, title=text, content=text, reason=text)
    if said == "overridden":
        assert (shown(engine, one)["title"], shown(engine, one)["decisions"][0]["reason"]) == (text, text)
    else:
        assert said == "invalid_text"
        assert status(engine, one) == "pending_approval"


def test_the_list_of_refusals_is_closed() -> None:
    assert {str(code) for code in Refusal} >= {"changed", "expired", "critical_finding", "own_recommendation"}
    assert all(code == code.lower() for code in Refusal)


def test_an_override_without_guardrails_is_a_mistake_of_the_caller(engine: Engine) -> None:
    one = waiting_draft(engine)
    with pytest.raises(ValueError, match="guardrails"):
        review.decide(engine, [review.Request("override", one["recommendation_id"], "ada", reason="x", title="y")], NOW)
    assert status(engine, one) == "pending_approval"
