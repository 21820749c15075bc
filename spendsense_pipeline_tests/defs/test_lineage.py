"""Column lineage names columns that exist, on assets that the graph knows to be upstream, and reaches Dagster."""

import dagster as dg
import pytest

from spendsense_pipeline.contracts import CONTRACTS, columns
from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.defs.lineage import LINEAGE, column_lineage
from spendsense_pipeline.ingest.fields import FIELDS
from spendsense_pipeline.settings import Settings
from spendsense_pipeline_tests.conftest import Pipeline

OF_THE_RUN = {"as_of", "window_days", "rules_version"}
"""Columns that are of no other column: they say which run it was."""


def known(table: str) -> set[str]:
    """The columns of a table; raw rows have the fields of the landing format beside those of their contract."""
    fields = FIELDS[table.removeprefix("raw_")] if table.startswith("raw_") else ()
    return {column["name"] for column in columns(CONTRACTS[table])} | {field.name for field in fields}


@pytest.mark.parametrize("asset", sorted(LINEAGE))
def test_both_sides_of_the_lineage_exist_and_no_column_is_forgotten(asset: str) -> None:
    lineage = LINEAGE[asset]
    assert set(lineage) | OF_THE_RUN >= known(asset) >= set(lineage)
    for column, sources in lineage.items():
        assert sources, column
        for source in sources:
            table, _, name = source.partition(".")
            assert name in known(table), f"{asset}.{column} <- {source}"


def test_columns_come_from_where_the_graph_says_the_asset_comes_from() -> None:
    graph = build_defs(Settings()).resolve_asset_graph()
    for asset, lineage in LINEAGE.items():
        parents = {key.path[-1] for key in graph.get(dg.AssetKey(asset)).parent_keys}
        used = {source.partition(".")[0] for sources in lineage.values() for source in sources}
        assert used <= parents, asset


def test_sources_bear_the_prefix_of_the_asset() -> None:
    lineage = column_lineage(dg.AssetKey(["bank", "features_30d"]))
    assert lineage is not None
    assert {dep.asset_key.path[0] for deps in lineage.deps_by_column.values() for dep in deps} == {"bank"}
    assert column_lineage(dg.AssetKey("operator_report")) is None


def test_a_run_tells_dagster_where_each_column_came_from(refreshed: Pipeline) -> None:
    from spendsense_pipeline.defs import launch

    with launch.opened_instance(refreshed.settings) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("features_30d"))
    assert event is not None
    assert event.asset_materialization is not None
    told = event.asset_materialization.metadata["dagster/column_lineage"].value
    assert isinstance(told, dg.TableColumnLineage)
    sources = {(dep.asset_key.to_user_string(), dep.column_name) for dep in told.deps_by_column["max_utilization"]}
    assert ("accounts", "balance_limit") in sources
