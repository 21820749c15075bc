"""A run whose process was killed is marked failed by whoever looks next; one that lives is left alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from spendsense_pipeline.defs import launch, runs
from spendsense_pipeline.defs.ingest import JOB
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


def test_a_run_of_somebody_elses_job_is_left_alone(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "EXPIRES", -1.0)
    instance.add_run(dg.DagsterRun(job_name="theirs", run_id="theirs", status=dg.DagsterRunStatus.STARTED))
    assert runs.fail_dead_runs(instance, {JOB}) == []
