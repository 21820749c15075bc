"""What is late is seen, whatever was materialized last; a date is run when its data has arrived, or by the clock."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster._core.test_utils import create_run_for_test

from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.defs import freshness, schedules, sensors
from spendsense_pipeline.defs.alerts import Alerts
from spendsense_pipeline.defs.ingest import JOB as INGEST
from spendsense_pipeline.defs.resources import Clock, Files, Governance
from spendsense_pipeline.defs.schedules import Timetable
from spendsense_pipeline.governance.batches import register_batch
from spendsense_pipeline.governance.database import open_or_create, writing

BERLIN = Timetable("Europe/Berlin", dt.date(2026, 1, 1), late_days=4)
NINE = dt.datetime(2026, 7, 1, 7, tzinfo=dt.UTC)  # in Berlin
CHECKED = dg.AssetKey("features_30d")


def test_a_date_is_due_the_morning_after_it_by_local_time() -> None:
    assert BERLIN.due(NINE) == dt.date(2026, 6, 30)
    assert BERLIN.due(NINE - dt.timedelta(seconds=1)) == dt.date(2026, 6, 29)
    assert BERLIN.due(dt.datetime(2026, 6, 30, 22, 30, tzinfo=dt.UTC)) == dt.date(2026, 6, 29), "the 1st, in Berlin"
    assert BERLIN.ended(dt.date(2026, 6, 30)) == dt.datetime(2026, 6, 30, 22, tzinfo=dt.UTC)
    assert schedules.DUE_AT > schedules.STARTS_AT


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A warehouse with one transaction of the 30th, a batch of the same evening, an instance."""
    folders = {"warehouse": str(tmp_path), "landing": str(tmp_path / "landing")}
    files = Files(**dict.fromkeys(set(Files.model_fields), "") | folders)
    governance = Governance(url=f"sqlite:///{tmp_path / 'governance.db'}")
    engine = open_or_create(governance.url)
    with writing(engine) as session:
        register_batch(session, "b1", "0" * 64, NINE - dt.timedelta(hours=12))
    transacted(tmp_path, dt.date(2026, 6, 30))
    with dg.DagsterInstance.ephemeral() as instance:
        yield SimpleNamespace(files=files, governance=governance, instance=instance, root=tmp_path)


def transacted(root: Path, day: dt.date) -> None:
    pq.write_table(pa.table({"transaction_id": ["t1"], "date": [day]}), root / "transactions.parquet")


def found(place: SimpleNamespace, check: str, now: dt.datetime = NINE, timetable: Timetable = BERLIN) -> bool:
    checks = [dg.AssetCheckKey(CHECKED, check)]
    (one,) = freshness.evaluations(place.instance, checks, place.files, place.governance, timetable, now)
    assert one.severity == dg.AssetCheckSeverity.ERROR
    return one.passed


def materialized(place: SimpleNamespace, day: str) -> None:
    place.instance.report_runless_asset_event(dg.AssetMaterialization(CHECKED, partition=day))


def test_a_backfill_of_an_old_date_turns_nothing_green(place: SimpleNamespace) -> None:
    materialized(place, "2026-02-01")
    assert not found(place, freshness.PARTITION)
    materialized(place, "2026-06-30")
    assert found(place, freshness.PARTITION)
    assert not found(place, freshness.PARTITION, NINE + dt.timedelta(days=1)), "the next one is due by then"


def test_what_was_computed_before_its_day_was_over_is_not_there(place: SimpleNamespace) -> None:
    materialized(place, "2099-06-30")
    assert not found(place, freshness.PARTITION, NINE.replace(year=2099))


def test_nothing_is_due_before_the_first_date_or_the_first_transaction(place: SimpleNamespace) -> None:
    assert found(place, freshness.PARTITION, timetable=Timetable("UTC", dt.date(2026, 7, 1), late_days=4))
    (place.root / "transactions.parquet").unlink()
    for check in (freshness.PARTITION, freshness.TRANSACTION, freshness.BATCH):
        assert found(place, check, NINE + dt.timedelta(days=400))


@pytest.mark.parametrize("check", [freshness.TRANSACTION, freshness.BATCH])
def test_a_long_weekend_without_data_is_not_late_and_a_day_more_is(place: SimpleNamespace, check: str) -> None:
    """Both are of the 30th."""
    assert found(place, check, NINE + dt.timedelta(days=3))
    assert not found(place, check, NINE + dt.timedelta(days=4))


def test_a_new_batch_of_old_transactions_is_late_and_so_are_new_transactions_without_a_batch(
    place: SimpleNamespace,
) -> None:
    later = NINE + dt.timedelta(days=5)
    with writing(open_or_create(place.governance.url)) as session:
        register_batch(session, "b2", "1" * 64, later)
    assert found(place, freshness.BATCH, later)
    assert not found(place, freshness.TRANSACTION, later)
    transacted(place.root, later.date())
    assert found(place, freshness.TRANSACTION, later)


def test_every_asset_of_the_daily_job_has_a_due_partition_and_no_job_asks() -> None:
    """In a job the check would be asked of the clock in the middle of a backfill."""
    definitions = build_defs()
    job = definitions.resolve_job_def("daily_refresh")
    graph = definitions.resolve_asset_graph()
    due = {key.asset_key for key in graph.asset_check_keys if key.name == freshness.PARTITION}
    assert due == job.asset_layer.selected_asset_keys
    for key in graph.get_all_asset_keys():
        assert graph.get(key).freshness_policy_or_from_metadata is None, "judges the newest materialization of any date"
    for name in ("daily_refresh", INGEST):
        assert not any("freshness" in node.name for node in definitions.resolve_job_def(name).nodes)


def test_what_has_become_late_is_reported_on_its_tables_and_told_once_until_it_is_there(
    place: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [dg.AssetKey("features_30d"), dg.AssetKey("features_180d")]
    checks = freshness.freshness_checks(keys, dg.AssetKey("transactions"), dg.AssetKey("raw_transactions"), BERLIN)
    cursor = None

    def looked(now: dt.datetime) -> tuple[dict[str, bool], list[str]]:
        """What was reported, by asset, and the lines that were told."""
        nonlocal cursor
        caplog.clear()
        resources = {"files": place.files, "governance": place.governance, "alerts": Alerts()}
        context = dg.build_sensor_context(
            instance=place.instance, cursor=cursor, resources=resources | {"clock": Clock(fixed=now.isoformat())}
        )
        answer = sensors.lateness_sensor(checks, BERLIN)(context)
        assert isinstance(answer, dg.SensorResult)
        cursor = answer.cursor
        return {one.asset_key.path[-1]: one.passed for one in answer.asset_events}, caplog.messages

    fresh, late = {"transactions": True, "raw_transactions": True}, {"features_30d": False, "features_180d": False}
    reported, told = looked(NINE)
    assert reported == fresh | late
    line = "2026-06-30 is not there: late: features_180d, features_30d http://127.0.0.1:3000/assets/features_180d"
    assert told == [line]
    assert looked(NINE + dt.timedelta(minutes=10)) == ({}, [])
    for key in keys:
        place.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="2026-06-30"))
    assert looked(NINE + dt.timedelta(minutes=20)) == ({"features_30d": True, "features_180d": True}, [])
    reported, told = looked(NINE + dt.timedelta(days=4))
    assert reported == late | dict.fromkeys(fresh, False)
    assert [one.partition(":")[0] for one in told] == [
        "2026-07-04 is not there",
        "the newest batch landed on 2026-06-30",
        "the newest transaction is of 2026-06-30",
    ]


# --- Runs that start when data has arrived ---


@dg.op
def nothing() -> None:
    """Succeeds."""


@dg.job(name=INGEST)
def merged() -> None:
    """In place of the job that merges."""
    nothing()


@dg.job(partitions_def=dg.DailyPartitionsDefinition("2026-01-01", end_offset=1))
def refresh() -> None:
    """In place of the daily one."""
    nothing()


UTC = Timetable("UTC", dt.date(2026, 1, 1), late_days=4)


def started(place: SimpleNamespace, now: dt.datetime) -> dg.RunRequest | dg.SkipReason:
    resources = {"files": place.files, "clock": Clock(fixed=now.isoformat())}
    answer = sensors.arrival_sensor(refresh, UTC)(dg.build_sensor_context(instance=place.instance, resources=resources))
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def test_a_date_is_run_once_a_batch_that_came_after_it_is_merged_and_none_waits(place: SimpleNamespace) -> None:
    now = dt.datetime.now(dt.UTC)
    yesterday = UTC.today(now) - dt.timedelta(days=1)
    assert "no batch was merged since the end of" in str(started(place, now))
    merged.execute_in_process(instance=place.instance)
    request = started(place, now)
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.run_key) == (yesterday.isoformat(), f"landed/{yesterday}"), "once a date"
    assert "no batch was merged" in str(started(place, now + dt.timedelta(days=1))), "that day's has yet to come"
    waiting = place.root / "landing" / "b9"
    waiting.mkdir(parents=True)
    (waiting / "_SUCCESS").touch()
    assert "wait to be merged: b9" in str(started(place, now))
    create_run_for_test(place.instance, job_name=INGEST, status=dg.DagsterRunStatus.STARTED)
    assert "is being merged" in str(started(place, now))


def test_the_clock_starts_what_the_arrival_of_data_has_not(tmp_path: Path) -> None:
    schedule, now = schedules.daily_schedule(refresh, UTC), dt.datetime.now(dt.UTC)
    yesterday = (now.date() - dt.timedelta(days=1)).isoformat()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=now)

        tags = {"dagster/partition": yesterday}
        create_run_for_test(instance, job_name=schedules.REFRESH, status=dg.DagsterRunStatus.FAILURE, tags=tags)
        assert schedule(context).partition_key == yesterday
        create_run_for_test(instance, job_name=schedules.REFRESH, status=dg.DagsterRunStatus.STARTED, tags=tags)
        assert isinstance(schedule(context), dg.SkipReason)
