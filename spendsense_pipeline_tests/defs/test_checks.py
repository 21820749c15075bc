"""A contract that does not hold stops the run, and says where it broke."""

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from spendsense_pipeline.defs.checks import contract_checks
from spendsense_pipeline.defs.documentation import documented
from spendsense_pipeline.defs.io import ParquetWarehouse
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
