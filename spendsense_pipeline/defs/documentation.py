"""What the UI says about an asset: group, owners, kinds, description, columns.

What does not belong here: what an asset does, which its own room says in its description.
"""

import datetime as dt
import warnings
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import dagster as dg

from spendsense_pipeline.contracts import CONTRACTS, columns

OWNERS = {
    "ingest": ["team:data-engineering"],
    "features": ["team:data-engineering"],
    "personas": ["team:data-science"],
    "recommendations": ["team:education"],
    "review": ["team:operations"],
    "release": ["team:operations"],
    "evaluation": ["team:compliance"],
}


DAILY = {"features", "personas", "recommendations", "review", "evaluation"}
FRESH = dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(days=3), warn_window=dt.timedelta(hours=30))
"""For what `daily_refresh` computes each morning: a warning after a day that was missed, red after three. Tables that
move only when a batch lands or a text may go out have no due date."""
ON_REQUEST = {"signal_accuracy"}  # in no job


def documented(asset: str, group: str, kinds: set[str], description: str) -> dict[str, Any]:
    """Keyword arguments that ``dg.asset`` and ``dg.AssetOut`` share, the columns' docs among them."""
    metadata = {"dagster/column_schema": column_schema(asset)} if asset in CONTRACTS else {}
    return {
        "group_name": group,
        "owners": OWNERS[group],
        "kinds": kinds,
        "description": description,
        "metadata": metadata,
        "freshness_policy": FRESH if group in DAILY and asset not in ON_REQUEST else None,
    }


def column_schema(asset: str) -> dg.TableSchema:
    """Names, types and meanings of a table's columns as the UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column["name"],
                type=column["type"],
                description="; ".join(
                    part
                    for part in (
                        column["meaning"],
                        column["unit"],
                        f"null: {column['null']}" if column["null"] not in ("", "never null") else "",
                    )
                    if part
                ),
                constraints=dg.TableColumnConstraints(nullable=column["null"] != "never null"),
            )
            for column in columns(CONTRACTS[asset])
        ]
    )


def as_of(context: dg.AssetExecutionContext) -> dt.date:
    """The date of a daily partition: the last day its tables know."""
    return dt.date.fromisoformat(context.partition_key)


Assets = TypeVar("Assets", bound=dg.AssetsDefinition | dg.AssetSpec)


def with_sources(assets: Sequence[Assets]) -> Sequence[Assets]:
    """The assets with a link from the UI to where they are defined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # Dagster's word for these links
        return cast("Sequence[Assets]", dg.with_source_code_references(list(assets)))
