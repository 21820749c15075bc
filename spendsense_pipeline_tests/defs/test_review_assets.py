"""The operators' two jobs as the Launchpad starts them: what is said is stored, what is wrong is refused by name."""

import datetime as dt
from typing import Any

import dagster as dg
import pytest
import yaml
from sqlalchemy import select

from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.defs import review_assets as room
from spendsense_pipeline.defs.resources import Clock
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import consent, operators, queue
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import Decision, RecommendationText
from spendsense_pipeline_tests.conftest import NOON, Pipeline
from spendsense_pipeline_tests.governance import verdicts

OPERATOR = "op_at_the_desk"


def launched(pipeline: Pipeline, job: str, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return pipeline.definitions.resolve_job_def(job).execute_in_process(run_config=config, instance=instance)


def reviewed(pipeline: Pipeline, **said: Any) -> tuple[dg.AssetCheckEvaluation, dg.ExecuteInProcessResult]:
    """Launch the operators' job with this config and return what its check says, and the run."""
    config = {"ops": {"approval_queue_operator_review": {"config": said}}} if said else None
    result = launched(pipeline, "review_recommendations", config)
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation, result


def changed(pipeline: Pipeline, **said: str) -> dg.ExecuteInProcessResult:
    return launched(pipeline, "record_consent", {"ops": {"change_consent": {"config": said}}})


def waiting(pipeline: Pipeline, now: dt.datetime = NOON) -> list[dict[str, Any]]:
    with reading(pipeline.engine) as session:
        return queue.queue(session, now, limit=1000)["queue"]


def decisions(pipeline: Pipeline) -> list[Decision]:
    with reading(pipeline.engine) as session:
        return list(session.scalars(select(Decision).order_by(Decision.seq)))


def reference(row: dict[str, Any]) -> str:
    return f"{row['recommendation_id']}@{row['content_hash']}"


def metadata(evaluation: dg.AssetCheckEvaluation, name: str) -> Any:
    value = evaluation.metadata[name]
    return [row.data for row in value.records] if isinstance(value, dg.TableMetadataValue) else value.value


@pytest.fixture
def staffed(copy: Pipeline) -> Pipeline:
    """A refreshed pipeline with a registered operator."""
    with writing(copy.engine) as session:
        operators.add(session, OPERATOR, NOON)
    return copy


def test_decisions_from_the_launchpad_are_stored_with_the_run_that_made_them(staffed: Pipeline) -> None:
    first, second, *rest = [row for row in waiting(staffed) if not row["findings"]]
    evaluation, result = reviewed(
        staffed,
        operator=OPERATOR,
        approve=[reference(first)],
        reject=[{"recommendation": second["recommendation_id"], "reason": "not for this customer"}],
        note="seen together",
    )
    assert [
        (one.recommendation_id, one.action, one.operator_id, one.content_hash, one.reason, one.run_id)
        for one in decisions(staffed)
    ] == [
        (first["recommendation_id"], "approve", OPERATOR, first["content_hash"], "seen together", result.run_id),
        (
            second["recommendation_id"],
            "reject",
            OPERATOR,
            second["content_hash"],
            "not for this customer",
            result.run_id,
        ),
    ]
    assert [row["status"] for row in metadata(evaluation, "decisions")] == ["approved", "rejected"]
    left = {row["recommendation_id"] for row in waiting(staffed)}
    assert left.isdisjoint({first["recommendation_id"], second["recommendation_id"]})
    assert left.issuperset(row["recommendation_id"] for row in rest)


def test_the_decisions_show_as_an_observation_of_their_asset(staffed: Pipeline) -> None:
    first, second, *_ = [row for row in waiting(staffed) if not row["findings"]]
    _, result = reviewed(
        staffed, operator=OPERATOR, approve=[reference(first), f"{second['recommendation_id']}@{'0' * 64}"]
    )
    (observation,) = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    assert observation.asset_key == dg.AssetKey("operator_decisions")
    assert {name: value.value for name, value in observation.metadata.items()} == {
        "taken": 1,
        "refused": 1,
        "operator": OPERATOR,
        "dagster/row_count": 1,
    }


def test_a_refused_decision_says_why_and_stores_nothing(staffed: Pipeline) -> None:
    row = waiting(staffed)[0]
    evaluation, result = reviewed(staffed, operator="somebody", approve=[reference(row)])
    assert not evaluation.passed
    (told,) = metadata(evaluation, "decisions")
    assert told["refused"] == "unknown_operator"
    assert "operator add" in told["what_to_do"]
    assert metadata(evaluation, "refused") == 1
    assert decisions(staffed) == []
    assert result.get_asset_observation_events() == []


def test_what_was_refused_stands_first_with_what_to_do(staffed: Pipeline) -> None:
    first, second, *_ = [row for row in waiting(staffed) if not row["findings"]]
    stale = f"{second['recommendation_id']}@{'0' * 64}"
    evaluation, _ = reviewed(
        staffed, operator=OPERATOR, approve=[reference(first), stale], approve_templates=["no/such@wording"]
    )
    told = metadata(evaluation, "decisions")
    assert [row["refused"] for row in told] == ["changed", "unknown_template", None]
    assert f"spendsense show {second['recommendation_id']}" in told[0]["what_to_do"]
    assert "spendsense templates" in told[1]["what_to_do"]
    assert told[2]["what_to_do"] == ""


def test_a_wording_is_approved_from_the_launchpad_once_one_of_its_texts_was_opened(staffed: Pipeline) -> None:
    clean = [row for row in waiting(staffed) if not row["findings"]]
    words = [(row["template_id"], row["template_hash"]) for row in clean]
    most = max(words, key=words.count)
    theirs = [row for row, wording in zip(clean, words, strict=True) if wording == most]
    asked = {"operator": OPERATOR, "approve_templates": ["@".join(most), f"{most[0]}@{'0' * 64}"]}
    evaluation, _ = reviewed(staffed, **asked)
    assert {row["refused"] for row in metadata(evaluation, "decisions")} == {"sample_required", "unknown_template"}
    assert decisions(staffed) == []
    queue.show(staffed.engine, theirs[0]["recommendation_id"], NOON, operator_id=OPERATOR)
    evaluation, result = reviewed(staffed, **asked)
    assert {(one.recommendation_id, one.made, one.run_id) for one in decisions(staffed)} == {
        (row["recommendation_id"], "template", result.run_id) for row in theirs
    }
    assert len(theirs) > 1
    assert metadata(evaluation, "refused") == 1
    assert "@".join(most) not in [row["template"] for row in metadata(evaluation, "templates")]


def test_the_report_counts_the_queue_by_wording(copy: Pipeline) -> None:
    evaluation, _ = reviewed(copy)
    rows = metadata(evaluation, "templates")
    assert sum(row["waiting"] for row in rows) == metadata(evaluation, "waiting")
    assert {row["words"] for row in rows} == {"new"}


def test_findings_and_ages_are_reported(copy: Pipeline) -> None:
    with writing(copy.engine) as session:
        text = session.get_one(
            RecommendationText, (waiting(copy)[0]["recommendation_id"], waiting(copy)[0]["content_hash"])
        )
        text.findings, text.severity = '[{"check": "tone", "severity": "critical", "message": "shames"}]', 2
    copy.now = NOON + dt.timedelta(hours=5)
    evaluation, _ = reviewed(copy)
    rows = metadata(evaluation, "queue")
    assert rows[0]["findings"] == "tone (critical)"
    assert {row["findings"] for row in rows[1:]} == {"none"}
    assert {row["age_hours"] for row in rows} == {5.0}


def test_a_run_that_decides_everything_passes(staffed: Pipeline) -> None:
    *others, last = waiting(staffed)
    verdicts.reject(staffed.engine, [row["recommendation_id"] for row in others], OPERATOR, NOON, reason="cleared")
    evaluation, _ = reviewed(staffed, operator=OPERATOR, approve=[reference(last)])
    assert evaluation.passed
    assert evaluation.description == "0 waiting, 0 about to expire, 1 decided, 0 refused"


def test_without_config_the_job_only_reports_what_waits(copy: Pipeline) -> None:
    before = waiting(copy)
    evaluation, _ = reviewed(copy)
    assert not evaluation.passed
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert metadata(evaluation, "waiting") == len(before)
    assert [row["recommendation"] for row in metadata(evaluation, "queue")] == [reference(row) for row in before[:100]]
    assert decisions(copy) == []
    assert waiting(copy) == before


def test_the_report_shows_neither_texts_nor_customers(copy: Pipeline) -> None:
    evaluation, _ = reviewed(copy)
    shown = {name for row in metadata(evaluation, "queue") for name in row}
    assert shown == {"recommendation", "template", "words", "persona", "age_hours", "findings"}


def test_the_warning_becomes_an_error_when_something_is_about_to_expire(copy: Pipeline) -> None:
    copy.now = NOON + dt.timedelta(days=12)
    evaluation, _ = reviewed(copy)
    assert not evaluation.passed
    assert evaluation.severity == dg.AssetCheckSeverity.ERROR
    assert metadata(evaluation, "near_expiry") == metadata(evaluation, "waiting")


def test_decisions_without_an_operator_are_refused_whole(copy: Pipeline) -> None:
    with pytest.raises(SpendSenseError, match="`operator` is missing") as refused:
        reviewed(copy, approve=[reference(waiting(copy)[0])])
    assert refused.value.code == "operator_missing"
    assert decisions(copy) == []


def test_with_nothing_waiting_the_check_passes(staffed: Pipeline) -> None:
    everything = [row["recommendation_id"] for row in waiting(staffed)]
    verdicts.reject(staffed.engine, everything, OPERATOR, NOON, reason="cleared for the test")
    evaluation, _ = reviewed(staffed)
    assert evaluation.passed
    assert "queue" not in evaluation.metadata


def test_a_revocation_from_the_launchpad_voids_what_waits(copy: Pipeline) -> None:
    user = waiting(copy)[0]["user_id"]
    result = changed(copy, user_id=user, action="revoke", actor=OPERATOR, source="signed paper form")
    assert [row for row in waiting(copy) if row["user_id"] == user] == []
    with reading(copy.engine) as session:
        assert queue.queue(session, NOON, status="voided", user_id=user)["total"] > 0
        said = consent.history(session, user)[-1]["source"]
    assert said == "signed paper form (typed in Dagster's Launchpad, not identified)"
    (observation,) = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    assert observation.asset_key == dg.AssetKey("consent_records")


def test_consent_is_granted_or_revoked_and_nothing_else(copy: Pipeline) -> None:
    before = waiting(copy)
    with pytest.raises(SpendSenseError, match="grant or revoke, not 'forget'") as refused:
        changed(copy, user_id=before[0]["user_id"], action="forget", actor=OPERATOR)
    assert refused.value.code == "unknown_action"
    assert waiting(copy) == before


@pytest.mark.parametrize(
    ("job", "example"), [("review_recommendations", room.EXAMPLE), ("record_consent", room.CONSENT_EXAMPLE)]
)
def test_the_documented_example_is_config_that_its_job_takes(job: str, example: str, refreshed: Pipeline) -> None:
    definition = refreshed.definitions.resolve_job_def(job)
    assert dg.validate_run_config(definition, yaml.safe_load(example))
    assert example in (definition.description or "")


def test_a_launch_by_hand_can_neither_move_the_clock_nor_switch_off_the_four_eyes(refreshed: Pipeline) -> None:
    for resource, config in {"clock": {"fixed": NOON.isoformat()}, "governance": {"four_eyes": False}}.items():
        for job in ("review_recommendations", "release"):
            definition = refreshed.definitions.resolve_job_def(job)
            with pytest.raises(dg.DagsterInvalidConfigError):
                dg.validate_run_config(definition, {"resources": {resource: {"config": config}}})


def test_under_a_prefix_what_people_said_shows_on_the_prefixed_assets(staffed: Pipeline) -> None:
    row = next(row for row in waiting(staffed) if not row["findings"])
    clock = {"clock": Clock(fixed=NOON.isoformat())}
    definitions = build_defs(staffed.settings, resources=clock, key_prefix=["bank", "spendsense"])
    said = {
        "record_consent": {"change_consent": {"user_id": row["user_id"], "action": "grant", "actor": OPERATOR}},
        "review_recommendations": {
            "approval_queue_operator_review": {"operator": OPERATOR, "approve": [reference(row)]}
        },
    }
    shown = []
    for job, ops in said.items():
        with dg.DagsterInstance.ephemeral() as instance:
            config = {"ops": {op: {"config": words} for op, words in ops.items()}}
            result = definitions.resolve_job_def(job).execute_in_process(run_config=config, instance=instance)
        shown += [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    assert [one.asset_key.path for one in shown] == [
        ["bank", "spendsense", "consent_records"],
        ["bank", "spendsense", "operator_decisions"],
    ]
