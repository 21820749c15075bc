"""The two sensors: what they start, and the reason they give when they start nothing."""

import datetime as dt
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from spendsense_pipeline import gate, warehouse
from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.defs import ingest, launch, release_assets, sensors
from spendsense_pipeline.defs.resources import Clock, Files, Governance
from spendsense_pipeline.governance import consent, operators, queue, release
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import ConsentPeriod, Recommendation, RecommendationText
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.recommendations import guardrails
from spendsense_pipeline.settings import PROJECT_ROOT
from spendsense_pipeline_tests.conftest import NOON, Pipeline
from spendsense_pipeline_tests.governance import verdicts


def asked(pipeline: Pipeline, instance: dg.DagsterInstance, now: dt.datetime = NOON) -> object:
    context = dg.build_sensor_context(
        instance=instance,
        resources={
            "governance": Governance(url=pipeline.settings.governance_url),
            "clock": Clock(fixed=now.isoformat()),
            "files": files(pipeline),
        },
    )
    return sensors.release_gate(context)


def files(pipeline: Pipeline) -> Files:
    """The folders of this pipeline that the gate needs."""
    others = dict.fromkeys(set(Files.model_fields) - {"warehouse", "scratch"}, "")
    return Files(warehouse=pipeline.settings.warehouse_root, scratch=str(pipeline.settings.scratch), **others)


def approved(pipeline: Pipeline, number: int) -> list[dict[str, object]]:
    """Approve the first so many clean drafts as a registered operator."""
    with writing(pipeline.engine) as session:
        operators.add(session, "op", NOON)
    with reading(pipeline.engine) as session:
        clean = [row for row in queue.queue(session, NOON, limit=500)["queue"] if not row["findings"]]
    chosen = clean[:number]
    references = [f"{row['recommendation_id']}@{row['content_hash']}" for row in chosen]
    results = verdicts.approve(pipeline.engine, references, "op", NOON)
    assert all(row["ok"] for row in results)
    return chosen


def reason(answer: object) -> str:
    assert isinstance(answer, dg.SkipReason)
    return answer.skip_message or ""


def run_of(instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus, **tags: str) -> str:
    from dagster._core.test_utils import create_run_for_test

    return create_run_for_test(instance, job_name=job, status=status, tags=tags).run_id


def test_with_nothing_approved_the_gate_says_what_waits(copy: Pipeline) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert "pending" in reason(asked(copy, instance))


def test_an_approval_makes_the_gate_ask_for_one_run(copy: Pipeline) -> None:
    approved(copy, 2)
    with dg.DagsterInstance.ephemeral() as instance:
        answer = asked(copy, instance)
        assert isinstance(answer, dg.RunRequest)
        assert answer.run_key is None
        assert answer.tags["spendsense/releasable_at_least"] == "2"


def test_a_product_made_inactive_stops_its_approved_offers_and_nothing_else(
    copy: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    copy.settings = copy.settings.model_copy(update={"weekly_cap": 0})
    chosen = approved(copy, 400)
    offers = Counter(row["product_id"] for row in chosen if row["product_id"])
    product, number = offers.most_common(1)[0]
    stored = Path(copy.settings.warehouse_root) / "products.parquet"
    rows = pq.read_table(stored)
    active = [row["active"] and row["product_id"] != product for row in rows.to_pylist()]
    position = rows.schema.get_field_index("active")
    pq.write_table(rows.set_column(position, rows.schema.field(position), pa.array(active)), stored)
    with dg.DagsterInstance.ephemeral() as instance:
        answer = asked(copy, instance)
        assert isinstance(answer, dg.RunRequest)
    with launch.opened_instance(copy.settings) as instance, caplog.at_level(logging.INFO, launch.PROGRESS.name):
        done = launch.release(copy.definitions, instance)
        run = instance.get_runs()[0]
    assert done.metadata["released_recommendations"]["released"] == len(chosen) - number
    assert done.metadata["released_recommendations"]["blocked"]["product_withdrawn"] == number
    assert caplog.messages[0] == "[#.] 1 of 2: released_recommendations"
    # The UI finds a job's runs by this tag, of the location that workspace.yaml names.
    (location,) = re.findall(r"location_name: (\w+)", (PROJECT_ROOT / "workspace.yaml").read_text())
    assert run.tags[".dagster/repository"] == f"__repository__@{location}"


def test_while_a_release_runs_the_gate_waits(copy: Pipeline) -> None:
    approved(copy, 1)
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = run_of(instance, "release", dg.DagsterRunStatus.STARTED)
        assert f"under way: {run_id}" in reason(asked(copy, instance))


def test_after_a_failed_run_the_gate_tries_again_and_stops_after_three(copy: Pipeline) -> None:
    approved(copy, 1)
    with dg.DagsterInstance.ephemeral() as instance:
        run_of(instance, "release", dg.DagsterRunStatus.FAILURE)
        run_of(instance, "release", dg.DagsterRunStatus.FAILURE)
        soon = NOON + dt.timedelta(minutes=1)
        assert isinstance(asked(copy, instance, soon), dg.RunRequest)
        run_of(instance, "release", dg.DagsterRunStatus.FAILURE)
        assert "3 release runs failed" in reason(asked(copy, instance, soon))


def test_failures_older_than_an_hour_no_longer_stop_the_gate(copy: Pipeline) -> None:
    approved(copy, 1)
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(4):
            run_of(instance, "release", dg.DagsterRunStatus.FAILURE)
        happened = max(record.update_timestamp for record in instance.get_run_records())
        assert "4 release runs failed" in reason(asked(copy, instance, happened + dt.timedelta(minutes=59)))
        later = happened + sensors.FAILURE_WINDOW + dt.timedelta(seconds=1)
        assert reason(asked(copy, instance, later)).startswith("nothing to release")  # by then it has expired


def test_what_holds_the_rest_back_is_counted_by_reason(copy: Pipeline) -> None:
    with reading(copy.engine) as session:
        found = queue.queue(session, NOON, limit=500)["queue"]
    people = {row["user_id"]: row for row in found if not row["findings"]}
    names = [row["recommendation_id"] for row in list(people.values())[:3]]
    with writing(copy.engine) as session:
        operators.add(session, "op", NOON)
    assert all(row["ok"] for row in verdicts.approve(copy.engine, names, "op", NOON))
    with writing(copy.engine) as session:  # past the rules that would have voided them: the gate looks for itself
        without, late, sharp = (session.get_one(Recommendation, name) for name in names)
        session.get_one(ConsentPeriod, without.consent_id).closed_at = NOON
        late.expires_at = NOON
        session.get_one(RecommendationText, (sharp.recommendation_id, sharp.content_hash)).severity = 2
    with dg.DagsterInstance.ephemeral() as instance:
        told = reason(asked(copy, instance))
    assert told == f"nothing to release: 1 critical finding, 1 expired, {len(found) - 3} pending, 1 without consent"


def test_what_expired_is_counted_and_not_released(copy: Pipeline) -> None:
    approved(copy, 1)
    with dg.DagsterInstance.ephemeral() as instance:
        assert "expired" in reason(asked(copy, instance, NOON + dt.timedelta(days=15)))


def test_a_revocation_between_approval_and_release_stops_the_release(copy: Pipeline) -> None:
    chosen = approved(copy, 1)
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(asked(copy, instance), dg.RunRequest)
        with writing(copy.engine) as session:
            consent.revoke(session, str(chosen[0]["user_id"]), NOON, actor="customer", source="test")
        job = copy.definitions.resolve_job_def("release")
        result = job.execute_in_process(instance=instance)
        assert result.success
        (event,) = result.get_asset_materialization_events()
        assert event.materialization.metadata["released"].value == 0
    with reading(copy.engine) as session:
        assert release.released(session, NOON) == []
        status = queue.full(session, str(chosen[0]["recommendation_id"]), NOON)["status"]
    assert status == "voided"


def test_a_release_run_passes_its_own_proof(copy: Pipeline) -> None:
    chosen = approved(copy, 3)
    with dg.DagsterInstance.ephemeral() as instance:
        result = copy.definitions.resolve_job_def("release").execute_in_process(instance=instance)
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.passed
    assert evaluation.description == "0 of 3 without"
    (observed,) = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    assert observed.asset_key == dg.AssetKey("operator_decisions")
    assert observed.metadata["approved"].value == 3
    with reading(copy.engine) as session:
        feed = {row["recommendation_id"] for row in release.released(session, NOON)}
    assert feed == {row["recommendation_id"] for row in chosen}


def test_a_release_run_asks_the_guardrails_again(copy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    approved(copy, 1)
    found = [{"check": "tone", "severity": "critical", "message": "shames the reader"}]
    monkeypatch.setattr(release_assets, "review_draft", lambda draft: found)
    with dg.DagsterInstance.ephemeral() as instance:
        assert copy.definitions.resolve_job_def("release").execute_in_process(instance=instance).success
    with reading(copy.engine) as session:
        assert release.released(session, NOON) == []


def test_what_only_its_words_keep_from_going_out_starts_no_run(copy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ", ".join(sorted(one["recommendation_id"] for one in approved(copy, 2)))
    found = [{"check": "tone", "severity": "critical", "message": "shames the reader"}]
    monkeypatch.setattr(sensors, "reviewed", lambda draft: found)
    with dg.DagsterInstance.ephemeral() as instance:
        said = reason(asked(copy, instance))  # a run would be asked for every half minute
    assert "2 critical finding" in said
    assert said.endswith(f"; critical finding: {names}")


def test_the_same_words_are_judged_once_and_others_anew(copy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = approved(copy, 2)
    judged: list[str] = []

    def critical(draft: Mapping[str, Any]) -> list[dict[str, str]]:
        judged.append(draft["title"])
        return [{"check": "tone", "severity": "critical", "message": "shames the reader"}]

    monkeypatch.setattr(guardrails, "review_draft", critical)
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            assert "2 critical finding" in reason(asked(copy, instance))
        assert len(judged) == 2
        with writing(copy.engine) as session:
            session.get_one(Recommendation, chosen[0]["recommendation_id"]).content_hash = "x"
        assert "1 critical finding" in reason(asked(copy, instance))
    for name in gate.JUDGED:
        gate.reviewed({**dict.fromkeys(gate.JUDGED, "{}"), name: f"{name}, changed"})
    assert len(judged) == 2 + len(gate.JUDGED)


def test_rows_that_killed_runs_of_any_job_left_go_once_no_run_is_under_way(copy: Pipeline) -> None:
    """The gate looks wherever the pipeline runs, also where nothing lands."""
    copy.settings.scratch.mkdir(exist_ok=True)
    left, new = copy.settings.scratch / "aside-left", copy.settings.scratch / "aside-new"
    for folder in (left, new):
        folder.mkdir()
        (folder / "judged.parquet").touch()
    engines = copy.settings.scratch / "duckdb_temp_storage-0.tmp"
    engines.touch()
    for one in (left, engines):
        os.utime(one, (0, 0))
    with dg.DagsterInstance.ephemeral() as instance:
        run_of(instance, "daily_refresh", dg.DagsterRunStatus.STARTED)
        asked(copy, instance)
        assert left.is_dir(), "a run may be using it"
    with dg.DagsterInstance.ephemeral() as instance:
        asked(copy, instance)
    assert (left.exists(), engines.exists(), new.exists()) == (False, False, True), (
        "the newest may be of one that begins"
    )


# --- Landing ---


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    """A landing zone with one settled batch."""
    batch = tmp_path / "landing" / "b1"
    batch.mkdir(parents=True)
    (batch / "users.json").write_text("[]")
    settled(batch)
    return tmp_path / "landing"


def settled(batch: Path) -> None:
    """As if the folder had been made beside the landing zone a while ago and moved into it."""
    os.utime(batch, (0, 0))
    beside = batch.parent.with_name("beside")
    batch.rename(beside)
    beside.rename(batch)


def landed(zone: Path, instance: dg.DagsterInstance, seconds_later: float = 120) -> object:
    now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds_later)
    files = Files(
        warehouse=str(zone.parent / "warehouse"),
        landing=str(zone),
        scratch=str(zone.parent / "scratch"),
        exports="",
        reports="",
        prompts="",
        catalogue="",
    )
    context = dg.build_sensor_context(
        instance=instance,
        resources={"files": files, "clock": Clock(fixed=now.isoformat())},
        definitions=build_defs(),
    )
    return sensors.landing_sensor(context)


def test_a_complete_folder_becomes_a_partition_and_one_run(zone: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        answer = landed(zone, instance)
    assert isinstance(answer, dg.SensorResult)
    assert [request.partition_key for request in answer.run_requests or []] == ["b1"]
    assert answer.dynamic_partitions_requests[0].partition_keys == ["b1"]


def test_a_folder_that_was_just_moved_is_left_until_it_settles_or_is_marked(zone: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert "no complete folder" in reason(landed(zone, instance, 5))
        (zone / "b1" / "_SUCCESS").touch()
        assert isinstance(landed(zone, instance, 5), dg.SensorResult)


def test_a_folder_that_was_copied_waits_for_its_mark_and_is_named(zone: Path) -> None:
    (zone / "b1" / "accounts.json").write_text("[]")
    with dg.DagsterInstance.ephemeral() as instance:
        assert reason(landed(zone, instance, 3600)).endswith("waiting for a file _SUCCESS: b1")
        (zone / "b1" / "_SUCCESS").touch()
        assert isinstance(landed(zone, instance), dg.SensorResult)


def test_a_batch_that_failed_is_tried_again_even_if_an_erasure_rewrote_its_files(zone: Path) -> None:
    (zone / "b1" / "users.json").write_text("[ ]")
    (zone / "b1" / "other").touch()
    with dg.DagsterInstance.ephemeral() as instance:
        run_of(instance, ingest.JOB, dg.DagsterRunStatus.FAILURE, **{"dagster/partition": "b1"})
        assert isinstance(landed(zone, instance), dg.SensorResult)


def test_while_a_command_merges_the_sensor_waits(zone: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        with FileLock(Path(instance.root_directory) / ingest.MERGE_LOCK):
            assert "one at a time" in reason(landed(zone, instance))
        assert isinstance(landed(zone, instance), dg.SensorResult)


def test_a_batch_that_was_merged_is_not_taken_again(zone: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run_of(instance, ingest.JOB, dg.DagsterRunStatus.SUCCESS, **{"dagster/partition": "b1"})
        assert "1 batches merged" in reason(landed(zone, instance))


def stored(zone: Path, batch: str) -> None:
    """The batch's last raw table lies in the warehouse."""
    path = Path(warehouse.path(str(zone.parent / "warehouse"), ingest.LAST, batch))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_a_batch_that_is_stored_is_not_taken_again_whatever_became_of_dagsters_own_records(zone: Path) -> None:
    stored(zone, "b1")
    with dg.DagsterInstance.ephemeral() as instance:
        assert "1 batches merged" in reason(landed(zone, instance))


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_a_batch_whose_merge_did_not_end_well_after_its_rows_were_stored_is_taken_again(
    zone: Path, status: dg.DagsterRunStatus
) -> None:
    stored(zone, "b1")
    with dg.DagsterInstance.ephemeral() as instance:
        run_of(instance, ingest.JOB, status, **{"dagster/partition": "b1"})
        assert isinstance(landed(zone, instance), dg.SensorResult)


def test_one_merge_at_a_time(zone: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = run_of(instance, ingest.JOB, dg.DagsterRunStatus.STARTED, **{"dagster/partition": "b0"})
        assert f"run {run_id} merges a batch; one at a time" in reason(landed(zone, instance))


def test_a_batch_that_failed_three_times_is_left_for_a_person_and_the_next_one_goes_on(zone: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            run_of(instance, ingest.JOB, dg.DagsterRunStatus.FAILURE, **{"dagster/partition": "b1"})
        assert "left for a person: b1" in reason(landed(zone, instance))
        (zone / "b2").mkdir()
        (zone / "b2" / "users.json").write_text("[]")
        settled(zone / "b2")
        assert requested(landed(zone, instance)) == ["b2"]


def requested(answer: object) -> list[str | None]:
    assert isinstance(answer, dg.SensorResult), answer
    return [request.partition_key for request in answer.run_requests or []]


def test_a_refused_batch_is_not_tried_again_until_its_files_change_and_holds_up_nothing(zone: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        refused = {"dagster/partition": "b1", ingest.REFUSED: str(landing.last_change(zone / "b1"))}
        run_of(instance, ingest.JOB, dg.DagsterRunStatus.FAILURE, **refused)
        assert "refused, see their runs: b1" in reason(landed(zone, instance))
        (zone / "b2").mkdir()
        (zone / "b2" / "_SUCCESS").touch()
        assert requested(landed(zone, instance)) == ["b2"]
        (zone / "b1" / "users.json").write_text('[{"user_id": "u1"}]')
        (zone / "b1" / "_SUCCESS").touch()
        assert requested(landed(zone, instance)) == ["b1"]


def test_a_batch_that_failed_for_a_while_keeps_its_place_before_later_ones(zone: Path) -> None:
    (zone / "b2").mkdir()
    (zone / "b2" / "_SUCCESS").touch()
    with dg.DagsterInstance.ephemeral() as instance:
        run_of(instance, ingest.JOB, dg.DagsterRunStatus.FAILURE, **{"dagster/partition": "b1"})
        assert requested(landed(zone, instance)) == ["b1"]
