"""Several dates in one run, and the same files from whoever computes them: processes, Spark, tables kept elsewhere."""

import datetime as dt
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from click.testing import CliRunner
from dagster._cli import cli as dagster_cli

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs import launch
from spendsense_pipeline.features import by_range
from spendsense_pipeline.governance import queue
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.settings import Settings
from spendsense_pipeline_tests.conftest import DAY, NOON, Pipeline

FIRST = DAY - dt.timedelta(days=2)
DATES = [str(FIRST + dt.timedelta(days=number)) for number in range(3)]
TABLES = sorted(launch.OF_A_RANGE)
FEATURES = [table for table in TABLES if not table.startswith("persona")]


def files(pipeline: Pipeline, tables: list[str], dates: list[str]) -> dict[str, bytes]:
    """Each stored partition, as it lies there."""
    root = pipeline.settings.warehouse_root
    return {
        f"{table}/{date}": Path(warehouse.path(root, table, date)).read_bytes() for table in tables for date in dates
    }


def refresh_range(pipeline: Pipeline, first: dt.date, last: dt.date) -> launch.Ran:
    with launch.opened_instance(pipeline.settings) as instance:
        return launch.refresh_range(pipeline.definitions, instance, first, last)


def waiting(pipeline: Pipeline) -> dict[str, int]:
    with reading(pipeline.engine) as session:
        return queue.counts(session, NOON)["recommendations"]


def test_a_range_of_dates_is_one_run_that_stores_what_each_date_by_itself_would(
    copy: Pipeline, spendsense: Callable[..., Any]
) -> None:
    before, queued = files(copy, TABLES, [str(DAY)]), waiting(copy)
    told = spendsense(copy, "run", "--from", str(FIRST), "--to", str(DAY))
    assert {name: told[name] for name in ("from", "to", "dates")} == {
        "from": str(FIRST),
        "to": str(DAY),
        "dates": len(DATES),
    }
    assert set(told) == {"run_id", "from", "to", "dates", "rows"}
    assert set(told["rows"]) == set(TABLES)
    assert files(copy, TABLES, [str(DAY)]) == before
    assert waiting(copy) == queued
    root = copy.settings.warehouse_root
    for table in TABLES:
        stored = warehouse.load(root, table, DATES).to_pandas()
        assert told["rows"][table] == len(stored)
        assert stored.groupby("as_of").size().index.astype(str).tolist() == DATES
    assert warehouse.partitions(root, "draft_recommendations") == [str(DAY)]
    with launch.opened_instance(copy.settings) as instance:
        for table in TABLES:
            event = instance.get_latest_materialization_event(dg.AssetKey(table))
            assert event is not None
            assert event.run_id == told["run_id"]
            filed = instance.get_materialized_partitions(dg.AssetKey(table))
            assert filed == set(DATES)
        rows = {
            record.partition_key: record.asset_materialization.metadata["dagster/row_count"].value
            for record in instance.fetch_materializations(dg.AssetKey("recurring_streams"), limit=5).records
            if record.asset_materialization is not None
        }
    alone = {date: warehouse.load(root, "recurring_streams", [date]).num_rows for date in DATES}
    assert rows == alone


def test_dagsters_own_command_for_a_range_takes_it_as_one_run(
    copy: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It refuses ranges of assets whose dates do not fit one run."""
    monkeypatch.setenv("SPENDSENSE_DATA", str(copy.settings.data))
    monkeypatch.setenv("DAGSTER_HOME", str(copy.settings.home))
    location = tmp_path / "location.py"  # this process has imported ours with other settings
    location.write_text("from spendsense_pipeline.definitions import build_defs\n\ndefs = build_defs()\n")
    command = ["asset", "materialize", "-f", str(location), "--select", ",".join(TABLES)]
    ran = CliRunner().invoke(dagster_cli, [*command, "--partition-range", f"{DATES[0]}...{DATES[1]}"])
    assert ran.exit_code == 0, ran.output
    for table in TABLES:
        assert warehouse.partitions(copy.settings.warehouse_root, table) == DATES


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--from", "2026-06-30"], 2, "--from and --to together"),
        (["--from", "2026-06-01", "--to", "2026-06-30", "--as-of", "2026-06-30"], 2, "without --as-of"),
        (["--from", "2026-06-30", "--to", "2026-06-01"], 1, "2026-06-30 is after 2026-06-01"),
        (["--from", "2019-06-30", "--to", "2026-06-01"], 1, "SPENDSENSE_FIRST_DATE"),
    ],
)
def test_a_range_that_means_nothing_is_refused_with_what_is_right(
    words: list[str], code: int, said: str, refreshed: Pipeline, spendsense: Callable[..., Any]
) -> None:
    assert said in spendsense(refreshed, "run", *words, code=code)["error"]["message"]


def test_a_contract_broken_on_one_of_several_dates_stops_the_run_and_names_the_date(
    copy: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spendsense_pipeline.features import signals

    real = signals.tables_of

    def wrong_on_the_second(evidence: signals.Evidence) -> signals.Signals:
        found = real(evidence)
        frame = found.features.to_pandas()
        frame.loc[frame["as_of"] == FIRST + dt.timedelta(days=1), "max_utilization"] = -1.0
        return found._replace(features=found.features.from_pandas(frame, schema=found.features.schema))

    monkeypatch.setattr(signals, "tables_of", wrong_on_the_second)
    with pytest.raises(launch.RunFailed, match=r"breaks its contract: max_utilization.*-1"):
        refresh_range(copy, FIRST, FIRST + dt.timedelta(days=1))
    with launch.opened_instance(copy.settings) as instance:
        (run,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        found = [
            record.dagster_event.asset_check_evaluation_data
            for record in instance.all_logs(run.run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
            if record.dagster_event
        ]
    broken = {evaluation.asset_key.path[-1]: evaluation for evaluation in found if not evaluation.passed}
    assert {"features_30d", "features_180d"} <= set(broken)
    (row,) = broken["features_30d"].metadata["failures"].records
    assert row.data["as_of"] == DATES[1]
    assert warehouse.partitions(copy.settings.warehouse_root, "persona_assignments_30d") == [str(DAY)]


def test_a_range_that_fails_stores_no_partition_and_clears_what_it_wrote(
    copy: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(copy, FEATURES, [str(DAY)])
    accounts = Path(warehouse.path(copy.settings.warehouse_root, "accounts"))
    pd.read_parquet(accounts).drop(columns="balance_current").to_parquet(accounts, index=False)
    with pytest.raises(launch.RunFailed, match=r"customers from '.+' on .*accounts\.parquet has no column balance"):
        copy.refresh()
    assert files(copy, FEATURES, [str(DAY)]) == before
    assert list(copy.settings.scratch.glob("*")) == []


@pytest.mark.parametrize("kept", ["as a query", "in no order"])
def test_tables_that_do_not_lie_by_customer_are_sorted_first_and_give_the_same(
    kept: str, copy: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(copy, FEATURES, [str(DAY)])
    stored = Path(warehouse.path(copy.settings.warehouse_root, "transactions"))
    shuffled = stored.with_name("elsewhere.parquet") if kept == "as a query" else stored
    pd.read_parquet(stored).sample(frac=1, random_state=7).to_parquet(shuffled, index=False, row_group_size=500)
    if kept == "as a query":
        stored.unlink()
        stored.with_suffix(".sql").write_text(f"SELECT * FROM '{shuffled}'")
    monkeypatch.setattr(by_range, "LEAST_ROWS", 1_000)  # so that there is something to cut
    monkeypatch.setattr(launch, "OF_A_RANGE", FEATURES)
    copy.settings = copy.settings.model_copy(update={"workers": 2 if kept == "as a query" else 1})
    ran = refresh_range(copy, DAY, DAY)
    assert ran.rows["features_30d"] > 0
    assert files(copy, FEATURES, [str(DAY)]) == before
    assert list(copy.settings.scratch.glob("*")) == []


def test_spark_stores_the_same_files_byte_for_byte(copy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("SPARK IS NOT PROVEN HERE: there is no Java (17 or later)")
    before = files(copy, FEATURES, [str(DAY)])
    monkeypatch.setattr(by_range, "LEAST_ROWS", 1_000)
    monkeypatch.setattr(launch, "OF_A_RANGE", FEATURES)
    copy.settings = Settings(data=copy.settings.data, engine="spark", spark_master="local[2]")
    refresh_range(copy, DAY, DAY)
    assert files(copy, FEATURES, [str(DAY)]) == before
    assert list(Path(copy.settings.warehouse_root).glob("_parts*")) == []
