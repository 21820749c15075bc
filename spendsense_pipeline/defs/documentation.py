"""What the UI says about an asset: group, owners, kinds, description, columns.

What does not belong here: what an asset does, which its own room says in its description.
"""

import datetime as dt
from typing import Any

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


def documented(asset: str, group: str, kinds: set[str], description: str) -> dict[str, Any]:
    """Keyword arguments that ``dg.asset`` and ``dg.AssetOut`` share, the columns' docs among them."""
    metadata = {"dagster/column_schema": column_schema(asset)} if asset in CONTRACTS else {}
    return {
        "group_name": group,
        "owners": OWNERS[group],
        "kinds": kinds,
        "description": description,
        "metadata": metadata,
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
