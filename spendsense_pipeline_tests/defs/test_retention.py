"""What is older than is kept goes, and nothing else."""

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from spendsense_pipeline import warehouse
from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.defs import sensors
from spendsense_pipeline.defs.resources import Clock, Files
from spendsense_pipeline.settings import InvalidSettings, Settings

KEPT, GONE = "2026-03-01", "2026-02-28"
NOW = dt.datetime(2026, 5, 30, 12, tzinfo=dt.UTC)  # 90 days after the first


def looked(instance: dg.DagsterInstance, root: Path, now: dt.datetime = NOW) -> str:
    folders = {"warehouse": str(root / "warehouse"), "reports": str(root / "reports")}
    files = Files(**dict.fromkeys(set(Files.model_fields), "") | folders)
    resources = {"files": files, "clock": Clock(fixed=now.isoformat())}
    sensor = sensors.retention_sensor(["features_30d"], {"daily_refresh"}, 90)
    answer = sensor(dg.build_sensor_context(instance=instance, resources=resources))
    assert isinstance(answer, dg.SkipReason)
    return str(answer.skip_message)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    for table in ("features_30d", "raw_transactions"):
        for key in (KEPT, GONE):
            path = Path(warehouse.path(str(tmp_path / "warehouse"), table, key))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "reports").mkdir()
    for name in (f"{KEPT}.html", f"{GONE}.html", "a-page-of-yours.html"):
        (tmp_path / "reports" / name).touch()
    return tmp_path


def test_partitions_and_pages_older_than_is_kept_go_and_no_other_file(filled: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert looked(instance, filled) == "deleted: 0 runs, 1 partitions, 1 pages"
        assert looked(instance, filled) == "deleted: 0 runs, 0 partitions, 0 pages"
    assert warehouse.partitions(str(filled / "warehouse"), "features_30d") == [KEPT]
    assert warehouse.partitions(str(filled / "warehouse"), "raw_transactions") == [GONE, KEPT], "what landed stays"
    assert {page.name for page in (filled / "reports").iterdir()} == {f"{KEPT}.html", "a-page-of-yours.html"}


def test_ended_runs_of_ours_go_with_their_events_and_logs_once_they_are_old(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        for job, status in (("daily_refresh", "SUCCESS"), ("daily_refresh", "STARTED"), ("theirs", "SUCCESS")):
            run = create_run_for_test(instance, job_name=job, status=dg.DagsterRunStatus(status))
            log = Path(instance.storage_directory()) / run.run_id / "compute_logs" / "step.err"
            log.parent.mkdir(parents=True)
            log.touch()
        made = dt.datetime.now(dt.UTC)
        assert looked(instance, tmp_path, made + dt.timedelta(days=89)).startswith("deleted: 0 runs")
        assert looked(instance, tmp_path, made + dt.timedelta(days=91)).startswith("deleted: 1 runs")
        left = {(run.job_name, run.status.value) for run in instance.get_runs()}
        logs = {path.parts[-3] for path in Path(instance.storage_directory()).rglob("step.err")}
        assert logs == {run.run_id for run in instance.get_runs()}
    assert left == {("daily_refresh", "STARTED"), ("theirs", "SUCCESS")}


def test_nothing_is_deleted_unless_somebody_says_so_and_not_what_checks_look_back_on() -> None:
    def sensors(**said: int) -> set[str]:
        return {sensor.name for sensor in build_defs(Settings(**said)).sensors or []}

    assert sensors(keep_days=90) - sensors() == {"retention"}
    with pytest.raises(InvalidSettings, match="0 or at least 90"):
        Settings(keep_days=89)
