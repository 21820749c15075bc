"""One word for many drafts: what an operator sees of a wording, and what approving it does and does not do."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import operators, queue, wordings
from spendsense_pipeline.governance.audit import verify
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline_tests.governance import verdicts
from spendsense_pipeline_tests.governance.town import (
    CRITICAL,
    DAY,
    NOTABLE,
    NOW,
    approve,
    draft,
    feed,
    gate,
    grant,
    no_findings,
    register,
    revoke,
    status,
    waiting_draft,
)


def named(one: dict[str, Any]) -> str:
    """``T@HASH`` of a draft's wording."""
    return f"{one['template_id']}@{one['template_hash']}"


def listed(engine: Engine, **how: Any) -> list[dict[str, Any]]:
    with reading(engine) as session:
        rows: list[dict[str, Any]] = wordings.templates(session, NOW, **how)["templates"]
        return rows


def together(engine: Engine, one: dict[str, Any], by: str = "ada", **how: Any) -> dict[str, Any]:
    return wordings.approve_template(engine, named(one), by, NOW, **how)


def opened(engine: Engine, one: dict[str, Any], by: str = "ada") -> None:
    queue.show(engine, one["recommendation_id"], NOW, operator_id=by)


def test_approving_a_wording_approves_what_waits_with_it_one_decision_each(engine: Engine) -> None:
    ones = [waiting_draft(engine, user, figure=figure) for user, figure in (("mia", 0.6), ("noah", 0.7), ("zoe", 0.8))]
    other = waiting_draft(engine, "kim", template="another")
    opened(engine, ones[1])
    done = together(engine, ones[0], note="reads well", run_id="run-7")
    assert sorted(row["recommendation_id"] for row in done["results"]) == sorted(
        one["recommendation_id"] for one in ones
    )
    assert all(row["ok"] for row in done["results"])
    for one in ones:
        with reading(engine) as session:
            (decision,) = queue.full(session, one["recommendation_id"], NOW)["decisions"]
        assert (decision["made"], decision["content_hash"]) == ("template", one["content_hash"])
        assert (decision["operator_id"], decision["reason"], decision["run_id"]) == ("ada", "reads well", "run-7")
    assert status(engine, other) == "pending_approval"
    gate(engine)
    assert len(feed(engine)) == 3
    (row,) = listed(engine, status="approved")
    assert row["approvals"] == [
        {
            "operator_id": "ada",
            "decided_at": NOW,
            "approved": 3,
            "sample_id": ones[1]["recommendation_id"],
            "run_id": "run-7",
        }
    ]
    with reading(engine) as session:
        assert verify(session).ok


def test_nobody_approves_a_wording_of_which_they_opened_no_text(engine: Engine) -> None:
    one, other = waiting_draft(engine), waiting_draft(engine, "noah", template="another")
    queue.show(engine, one["recommendation_id"], NOW)  # anybody
    opened(engine, one, by="ben")
    opened(engine, other)
    (row,) = together(engine, one)["results"]
    assert (row["ok"], row["refused"]) == (False, "sample_required")
    assert listed(engine, status="approved") == []
    assert [row["ok"] for row in together(engine, one, by="ben")["results"]] == [True]


def test_an_override_is_no_sample_of_the_wording_and_is_not_approved_with_it(engine: Engine) -> None:
    one, other = waiting_draft(engine), waiting_draft(engine, "noah")
    verdicts.override(
        engine,
        one["recommendation_id"],
        "ben",
        NOW,
        guardrails=no_findings,
        title="Mine",
        reason="calmer",
        four_eyes=True,
    )
    opened(engine, one)
    assert [row["refused"] for row in together(engine, other)["results"]] == ["sample_required"]
    opened(engine, other)
    done = together(engine, other, four_eyes=True)
    assert [row["recommendation_id"] for row in done["results"]] == [other["recommendation_id"]]
    assert done["left"] == [{"recommendation_id": one["recommendation_id"], "reason": "overridden"}]
    assert status(engine, one) == "pending_approval"


def test_what_has_a_finding_of_any_severity_waits_on(engine: Engine) -> None:
    ones = [
        waiting_draft(engine, user, findings=found)
        for user, found in (("mia", "[]"), ("noah", NOTABLE), ("zoe", CRITICAL))
    ]
    opened(engine, ones[0])
    done = together(engine, ones[0])
    assert [row["recommendation_id"] for row in done["results"]] == [ones[0]["recommendation_id"]]
    assert {row["recommendation_id"] for row in done["left"]} == {one["recommendation_id"] for one in ones[1:]}
    assert {row["reason"] for row in done["left"]} == {"findings"}
    assert [status(engine, one) for one in ones] == ["approved", "pending_approval", "pending_approval"]


def test_other_words_of_the_same_template_are_another_wording(engine: Engine) -> None:
    one = waiting_draft(engine)
    changed = waiting_draft(engine, "noah", template_hash="f" * 64)
    opened(engine, one)
    together(engine, one)
    assert status(engine, changed) == "pending_approval"
    assert [row["status"] for row in listed(engine)] == ["new", "approved"]
    with pytest.raises(SpendSenseError, match="known: @") as refused:
        wordings.approve_template(engine, f"{one['template_id']}@{'0' * 64}", "ada", NOW)
    assert refused.value.code == "unknown_template"


@pytest.mark.parametrize("text", ["nothing", "@" + "f" * 64, "a\0b@" + "f" * 64, "\ud800@x"])
def test_what_names_no_wording_is_refused(engine: Engine, text: str) -> None:
    waiting_draft(engine)
    with pytest.raises(SpendSenseError) as refused:
        wordings.approve_template(engine, text, "ada", NOW)
    assert refused.value.code in ("hash_required", "unknown_template")


def test_twelve_characters_of_the_hash_name_a_wording(engine: Engine) -> None:
    one = waiting_draft(engine)
    opened(engine, one)
    with pytest.raises(SpendSenseError):
        wordings.approve_template(engine, named(one)[: -64 + 11], "ada", NOW)
    assert wordings.approve_template(engine, named(one)[: -64 + 12], "ada", NOW)["results"][0]["ok"]


def test_who_may_not_decide_may_not_by_template(engine: Engine) -> None:
    one, own = waiting_draft(engine), waiting_draft(engine, "ben")
    with writing(engine) as session:
        operators.add(session, "gone", NOW)
        operators.deactivate(session, "gone", NOW)
    for operator, code in (("eve", "unknown_operator"), ("gone", "inactive_operator"), ("mia", "operator_is_customer")):
        opened(engine, one, by=operator)
        assert {row["refused"] for row in together(engine, one, by=operator)["results"]} == {code}
    opened(engine, one, by="ben")
    refused = {row["recommendation_id"]: row["refused"] for row in together(engine, one, by="ben")["results"]}
    assert refused == {one["recommendation_id"]: None, own["recommendation_id"]: "own_recommendation"}


def test_later_drafts_of_an_approved_wording_wait_and_the_desk_says_that_it_is_known(engine: Engine) -> None:
    one = waiting_draft(engine)
    opened(engine, one)
    together(engine, one)
    later, fresh = waiting_draft(engine, "noah"), waiting_draft(engine, "zoe", template="another")
    assert status(engine, later) == "pending_approval"
    with reading(engine) as session:
        rows = {row["recommendation_id"]: row["wording_approved"] for row in queue.queue(session, NOW)["queue"]}
        by_template = queue.queue_by_template(session, NOW)
        assert queue.full(session, later["recommendation_id"], NOW)["wording_approved"] is True
    assert rows == {later["recommendation_id"]: True, fresh["recommendation_id"]: False}
    assert [(row["template_id"], row["wording_approved"], row["count"]) for row in by_template] == [
        ("another", False, 1),
        (one["template_id"], True, 1),
    ]


def test_a_wording_stays_known_after_what_was_approved_with_it_is_gone(engine: Engine) -> None:
    one = waiting_draft(engine)
    opened(engine, one)
    together(engine, one)
    revoke(engine, "mia")
    assert [row["status"] for row in listed(engine)] == ["approved"]
    assert listed(engine)[0]["waiting"] == 0


def test_one_text_approved_as_it_stood_makes_its_words_known_and_an_override_does_not(engine: Engine) -> None:
    one, other = waiting_draft(engine), waiting_draft(engine, "noah", template="another")
    approve(engine, one)
    verdicts.override(engine, other["recommendation_id"], "ada", NOW, guardrails=no_findings, title="Mine", reason="x")
    waiting_draft(engine, "zoe"), waiting_draft(engine, "kim", template="another")
    assert {row["template_id"]: row["status"] for row in listed(engine)} == {
        one["template_id"]: "approved",
        "another": "new",
    }


def test_a_wording_is_shown_with_the_lowest_and_the_highest_figure_and_the_texts_that_show_them(engine: Engine) -> None:
    ones = {figure: waiting_draft(engine, f"user-{figure}", figure=figure) for figure in (0.55, 0.60, 0.65, 0.91, 0.70)}
    (row,) = listed(engine)
    figure = row["figures"]["utilization"]
    assert (figure["signal"], figure["lowest"]["shown"], figure["highest"]["shown"]) == (
        "max_utilization",
        "55%",
        "91%",
    )
    assert figure["lowest"]["recommendation_id"] == ones[0.55]["recommendation_id"]
    assert [text["title"] for text in row["renderings"]][:2] == [ones[0.55]["title"], ones[0.91]["title"]]
    assert len(row["renderings"]) == wordings.RENDERINGS
    assert (row["status"], row["waiting"], row["with_findings"]) == ("new", 5, 0)
    assert row["reference"] == named(ones[0.55])[: -64 + 12]


def test_words_and_flags_are_no_figures(engine: Engine) -> None:
    slots = {"name": {"value": "Fit", "shown": "Fit"}, "flag": {"value": True, "shown": "yes"}}
    waiting_draft(engine, slots=json.dumps(slots))
    (row,) = listed(engine)
    assert row["figures"] == {}
    assert len(row["renderings"]) == 1


def test_wordings_are_filtered_and_paged(engine: Engine) -> None:
    for number in range(5):
        waiting_draft(engine, f"user-{number}", template=f"t{number}")
    with reading(engine) as session:
        page = wordings.templates(session, NOW, limit=2, offset=4)
        assert (len(page["templates"]), page["total"], page["limit"], page["offset"]) == (1, 5, 2, 4)
        with pytest.raises(SpendSenseError):
            wordings.templates(session, NOW, status="mislaid")
    assert len(listed(engine, status="new")) == 5
    assert listed(engine, status="approved") == []


def test_what_expired_is_neither_listed_nor_approved(engine: Engine) -> None:
    one = draft("mia", grant(engine, "mia", NOW - 20 * DAY))
    register(engine, one, now=NOW - 15 * DAY)
    assert listed(engine) == []
    opened(engine, one)
    assert together(engine, one)["results"] == []


def test_more_than_one_round_holds_is_approved_in_rounds(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordings, "MOST_AT_ONCE", 2)
    ones = [waiting_draft(engine, f"user-{number}") for number in range(5)]
    opened(engine, ones[0])
    assert len(together(engine, ones[0])["results"]) == 5
    (row,) = listed(engine)
    assert [one["approved"] for one in row["approvals"]] == [1, 2, 2]
    assert together(engine, ones[0]) == {"results": [], "left": []}, "once more finds nothing left to approve"
