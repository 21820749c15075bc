"""A contract that does not hold stops the run, and says where it broke."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from spendsense_pipeline.defs.checks import contract_checks
from spendsense_pipeline.defs.documentation import documented
from spendsense_pipeline.defs.io import ParquetWarehouse
from spendsense_pipeline_tests.conftest import DAY, Pipeline
from spendsense_pipeline_tests.contracts.test_contracts import persona_row

DAILY = dg.DailyPartitionsDefinition("2026-01-01")


def ran(tmp_path: Path, confidence: float) -> dg.ExecuteInProcessResult:
    @dg.asset(partitions_def=DAILY)
    def persona_assignments_30d() -> pd.DataFrame:
        return persona_row(confidence=confidence)

    @dg.asset(partitions_def=DAILY)
    def after(persona_assignments_30d: pd.DataFrame) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"rows": len(persona_assignments_30d)})

    assets = [persona_assignments_30d, after]
    definitions = dg.Definitions(
        assets=assets,
        asset_checks=contract_checks("personas", [persona_assignments_30d.key], DAILY),
        jobs=[dg.define_asset_job("day", selection=dg.AssetSelection.assets(*assets), partitions_def=DAILY)],
        resources={"io_manager": ParquetWarehouse(root=str(tmp_path))},
    )
    job = definitions.resolve_job_def("day")
    return job.execute_in_process(partition_key="2026-01-05", raise_on_error=False)


def test_a_table_that_holds_its_contract_passes(tmp_path: Path) -> None:
    assert ran(tmp_path, confidence=0.5).success


def test_a_broken_contract_stops_what_comes_after_and_names_column_check_and_example(tmp_path: Path) -> None:
    result = ran(tmp_path, confidence=7.0)
    assert not result.success
    assert [event.asset_key.to_user_string() for event in result.get_asset_materialization_events()] == [
        "persona_assignments_30d"
    ]
    (evaluation,) = result.get_asset_check_evaluations()
    rows = evaluation.metadata["failures"]
    assert isinstance(rows, dg.TableMetadataValue)
    assert [(row.data["column"], row.data["failure_case"]) for row in rows.records] == [("confidence", "7.0")]


@pytest.mark.parametrize("asset", ["transactions", "draft_recommendations"])
def test_the_documentation_of_an_asset_carries_its_columns(asset: str) -> None:
    schema = documented(asset, "ingest", {"parquet"}, "What it is.")["metadata"]["dagster/column_schema"]
    assert all(column.description for column in schema.columns)
    assert {column.name for column in schema.columns} >= {"user_id"}


def drifted(pipeline: Pipeline, table: str, check: str, change: Callable[[pd.DataFrame], pd.DataFrame], dates: int = 7):
    """What the check says of the day once ``dates`` earlier ones are stored as the day was, and the day is changed."""
    folder = Path(pipeline.settings.warehouse_root) / table
    today = pd.read_parquet(folder / f"{DAY}.parquet")
    for before in range(1, dates + 1):
        day = DAY - dt.timedelta(days=before)
        today.assign(as_of=day).to_parquet(folder / f"{day}.parquet", index=False)
    change(today).to_parquet(folder / f"{DAY}.parquet", index=False)
    job = pipeline.definitions.resolve_job_def("daily_refresh")
    alone = job.get_subset(asset_check_selection={dg.AssetCheckKey(dg.AssetKey(table), check)}, asset_selection=set())
    with dg.DagsterInstance.ephemeral() as instance:
        (said,) = alone.execute_in_process(instance=instance, partition_key=str(DAY)).get_asset_check_evaluations()
    return said


def half_savers(assigned: pd.DataFrame) -> pd.DataFrame:
    return assigned.assign(persona=["savings_builder" if n % 2 else old for n, old in enumerate(assigned["persona"])])


def test_a_persona_whose_share_jumped_is_a_warning_and_stops_nothing(copy: Pipeline) -> None:
    said = drifted(copy, "persona_assignments_30d", "usual_shares", half_savers)
    assert not said.passed
    assert said.severity == dg.AssetCheckSeverity.WARN
    assert not said.blocking
    names = [row.data["name"] for row in said.metadata["unusual"].records]
    assert names[0] == "savings_builder"


def test_a_signal_that_became_unknown_is_a_warning(copy: Pipeline) -> None:
    said = drifted(copy, "features_30d", "usual_nulls", lambda features: features.assign(savings_balance=None))
    assert not said.passed
    assert [row.data["name"] for row in said.metadata["unusual"].records] == ["savings_balance"]


def test_a_day_like_those_before_is_quiet_and_so_is_one_with_too_few_before(copy: Pipeline) -> None:
    assert drifted(copy, "persona_assignments_30d", "usual_shares", lambda same: same).passed
    quiet = drifted(copy, "persona_assignments_180d", "usual_shares", half_savers, dates=6)
    assert quiet.passed
    assert quiet.description == "6 earlier dates are stored; from 7 on this is judged"


def of_the_first(features: pd.DataFrame, customers: int, **told: object) -> pd.DataFrame:
    """The features with other values for the first customers."""
    first = [number < customers for number in range(len(features))]
    return features.assign(**{name: features[name].mask(first, value) for name, value in told.items()})


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ({"data_age_days": 8}, "stale"),
        ({"explained_share": 0.49}, "unexplained"),
        ({"balance_age_days": None}, "without_balances"),
    ],
)
def test_many_customers_who_cannot_be_trusted_are_a_warning(
    copy: Pipeline, told: dict[str, object], counted: str
) -> None:
    said = drifted(copy, "features_30d", "trust", lambda features: of_the_first(features, 2, **told))
    assert (said.passed, said.severity, said.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert said.metadata[counted].value == 2
    assert [row.data["as_of"] for row in said.metadata["dates"].records] == [str(DAY)]


def test_fewer_than_one_in_twenty_are_no_warning(copy: Pipeline) -> None:
    edge = {"data_age_days": 7, "explained_share": 0.5}
    quiet = drifted(copy, "features_30d", "trust", lambda features: of_the_first(features, len(features), **edge))
    assert (quiet.passed, quiet.metadata["customers"].value, quiet.metadata["stale"].value) == (True, 38, 0)
    few = drifted(copy, "features_30d", "trust", lambda features: of_the_first(features, 1, data_age_days=8))
    assert (few.passed, few.metadata["stale"].value) == (True, 1)
