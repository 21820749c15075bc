"""A run whose process was killed is marked failed by whoever looks next; one that lives is left alone."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.defs import launch, runs, sensors
from spendsense_pipeline.defs.ingest import JOB
from spendsense_pipeline.defs.resources import Clock, sealed
from spendsense_pipeline.settings import Settings

EXECUTING = """
import sys, time
from pathlib import Path
import dagster as dg
from spendsense_pipeline.defs import launch, runs
from spendsense_pipeline.settings import Settings

@dg.op
def hang():
    print("hangs", flush=True)
    time.sleep(600)

@dg.job(name="ingest_batch")
def ingest_batch():
    hang()

with launch.opened_instance(Settings(data=Path(sys.argv[1]))) as instance:
    launch._run(dg.Definitions(jobs=[ingest_batch]), instance, "ingest_batch", None, {})
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with launch.opened_instance(Settings(data=tmp_path)) as opened:
        yield opened


def test_a_killed_run_fails_at_the_next_look_and_the_next_merge_goes_at_once(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", EXECUTING, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        assert runs.fail_dead_runs(instance, {JOB}) == []
        (run,) = instance.get_runs()
        os.kill(process.pid, signal.SIGKILL)
    assert instance.get_runs()[0].status == dg.DagsterRunStatus.STARTED
    with launch._one_merge_at_a_time(instance):
        pass
    assert instance.get_runs()[0].status == dg.DagsterRunStatus.FAILURE
    failure = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records[0]
    assert run.run_id in failure.event_log_entry.message
    assert list((tmp_path / "dagster" / runs.LEASES).glob("*")) == [], sorted(tmp_path.glob("*"))


WITHOUT_A_LEASE = """
import sys, time
from pathlib import Path
import dagster as dg
from spendsense_pipeline.defs import launch
from spendsense_pipeline.settings import Settings

days = dg.StaticPartitionsDefinition(["2026-06-30"])

@dg.op
def hang():
    print("hangs", flush=True)
    time.sleep(600)

@dg.job(name="daily_refresh", partitions_def=days)
def daily_refresh():
    hang()

with launch.opened_instance(Settings(data=Path(sys.argv[1]))) as instance:
    daily_refresh.execute_in_process(instance=instance, partition_key="2026-06-30")
"""


def looked(instance: dg.DagsterInstance, settings: Settings) -> list[dg.RunRequest]:
    """What the sensor of the dead starts."""
    defs = build_defs(settings)
    sensor = defs.resolve_sensor_def("dead_runs")
    resources = {
        name: defs.resources[name].resource_fn(dg.build_init_resource_context()) for name in ("clock", "files")
    }
    answer = sensor(dg.build_sensor_context(instance=instance, resources=resources))
    return answer if isinstance(answer, list) else []


def test_a_days_run_killed_before_it_holds_a_lease_fails_within_a_minute_and_is_run_again(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", WITHOUT_A_LEASE, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        os.kill(process.pid, signal.SIGKILL)
    assert looked(instance, settings) == [], "it may be on its way to its lease"
    (run,) = instance.get_runs()
    assert run.status == dg.DagsterRunStatus.STARTED

    now = time.time()
    monkeypatch.setattr(runs.time, "time", lambda: now + 45)  # with the sensor's 15 seconds a minute
    (again,) = looked(instance, settings)
    assert instance.get_runs()[0].status == dg.DagsterRunStatus.FAILURE
    failure = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records[0]
    assert f"run {run.run_id} of daily_refresh was STARTED" in failure.event_log_entry.message
    assert (again.partition_key, again.run_key) == ("2026-06-30", f"again/{run.run_id}")

    instance.add_run(
        dg.DagsterRun(
            job_name="daily_refresh",
            run_id="later",
            status=dg.DagsterRunStatus.FAILURE,
            tags={"dagster/partition": "2026-06-30", **again.tags},
        )
    )
    (third,) = looked(instance, settings)
    assert (third.run_key, third.tags[sensors.TRIED]) == ("again/later", "2"), "the first is done again already"
    instance.add_run_tags("later", third.tags)
    assert looked(instance, settings) == [], "three times are enough"


@pytest.mark.parametrize(
    ("reason", "ended_by_hand", "again"),
    [(None, False, 1), ("RUN_WORKER_RESTART", False, 1), ("STEP_FAILURE", False, 0), (None, True, 0)],
)
def test_only_a_run_that_died_is_run_again(
    reason: str | None, ended_by_hand: bool, again: int, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    tags = {"dagster/partition": "2026-06-30"} | ({"dagster/failure_reason": reason} if reason else {})
    run = dg.DagsterRun(job_name="daily_refresh", run_id="r", status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.add_run(run)
    if ended_by_hand:
        instance.report_run_canceling(run)
    instance.report_run_failed(run)
    assert len(looked(instance, Settings(data=tmp_path))) == again


def test_a_materialize_killed_before_it_holds_a_lease_does_not_hold_up_a_merge(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    tables = frozenset({dg.AssetKey("transactions")})
    for run_id, tags in (("ours", runs.SHOWN), ("theirs", {})):
        run = dg.DagsterRun(
            job_name=runs.UNNAMED,
            run_id=run_id,
            status=dg.DagsterRunStatus.STARTING,
            asset_selection=tables if run_id == "ours" else None,
            tags=tags,
        )
        instance.add_run(run)
    assert runs.fail_dead_runs(instance, {JOB}) == []
    monkeypatch.setattr(runs.time, "time", lambda: now + 45)
    with launch._one_merge_at_a_time(instance):
        pass
    assert instance.get_run_by_id("ours").status == dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]
    assert instance.get_run_by_id("theirs").status == dg.DagsterRunStatus.STARTING  # type: ignore[union-attr]


def test_a_run_that_was_given_up_takes_no_lease_and_does_nothing(instance: dg.DagsterInstance) -> None:
    run = dg.DagsterRun(job_name="daily_refresh", run_id="slow", status=dg.DagsterRunStatus.FAILURE)
    instance.add_run(run)
    context = dg.build_init_resource_context(instance=instance)
    with pytest.raises(dg.Failure, match="run slow was given up before it began"):
        sealed(Clock()).resource_fn(SimpleNamespace(run=run, instance=instance, log=context.log))
    assert "slow" not in runs._held


def test_a_run_of_another_machine_is_dead_once_its_heartbeat_expired(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs.time, "time", lambda: 1_000_000.0)
    elsewhere = {runs.HOST: "elsewhere"}
    for run_id, beat in (("alive", 1_000_000 - runs.EXPIRES), ("dead", 1_000_000 - runs.EXPIRES - 1)):
        instance.add_run(
            dg.DagsterRun(
                job_name=JOB,
                run_id=run_id,
                status=dg.DagsterRunStatus.STARTED,
                tags=elsewhere | {runs.HEARTBEAT: str(beat)},
            )
        )
    assert runs.fail_dead_runs(instance, {JOB}) == ["dead"]


def test_a_heartbeat_that_could_not_be_written_once_is_written_again(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.add_run(dg.DagsterRun(job_name=JOB, run_id="r", status=dg.DagsterRunStatus.STARTED))
    written, add_run_tags = threading.Event(), instance.add_run_tags
    faults = iter([OSError("no space left on device"), sqlite3.OperationalError("database is locked")])

    def add(run_id: str, tags: dict[str, str]) -> None:
        if fault := next(faults, None):
            raise fault
        add_run_tags(run_id, tags)
        written.set()

    monkeypatch.setattr(runs, "RENEWED", 0.01)
    monkeypatch.setattr(instance, "add_run_tags", add)
    with runs.leased(instance, "r"):
        assert written.wait(10), "or a daemon of another machine takes the run for dead"


def test_a_run_of_somebody_elses_job_is_left_alone(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "EXPIRES", -1.0)
    instance.add_run(dg.DagsterRun(job_name="theirs", run_id="theirs", status=dg.DagsterRunStatus.STARTED))
    assert runs.fail_dead_runs(instance, {JOB}) == []
