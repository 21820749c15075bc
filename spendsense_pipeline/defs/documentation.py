"""What the UI says about an asset: group, owners, kinds, tags, description, columns, where it is written.

What does not belong here: what an asset does, which its own room says in its description.
"""

import datetime as dt
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import dagster as dg

from spendsense_pipeline import dictionary
from spendsense_pipeline.ingest.fields import FIELDS

OWNERS = {
    "ingest": ["team:data-engineering"],
    "features": ["team:data-engineering"],
    "personas": ["team:data-science"],
    "recommendations": ["team:education"],
    "review": ["team:operations"],
    "release": ["team:operations"],
    "evaluation": ["team:compliance"],
}

NAMES = {"raw_users", "users"}
NOBODY = {
    *("raw_products", "products", "payees", "education_templates", "evaluation_metrics", "signal_accuracy", "uplift")
}
"""What is about no single person; all other assets hold rows, figures or texts of people by their id."""


def documented(
    asset: str, group: str, kinds: set[str], description: str, *, source: str | None = None
) -> dict[str, Any]:
    """Keyword arguments that ``dg.asset``, ``dg.AssetOut`` and ``dg.AssetSpec`` share, the columns' docs among them.

    ``source`` is the file of an asset that nothing here makes; the others are found by their function.
    """
    metadata: dict[str, Any] = {"dagster/column_schema": column_schema(asset)} if dictionary.described(asset) else {}
    if source is not None:
        metadata["dagster/code_references"] = _written_in(source)
    return {
        "group_name": group,
        "owners": OWNERS[group],
        "kinds": kinds,
        "tags": {"personal_data": "names" if asset in NAMES else "none" if asset in NOBODY else "by-id"},
        "description": description,
        "metadata": metadata,
    }


Body: TypeAlias = Callable[..., Any]
Daily: TypeAlias = Callable[[dg.DailyPartitionsDefinition], dg.AssetsDefinition]
"""An asset with a partition for each date, once it is known which dates there are."""


def asset(group: str, kinds: set[str], **options: Any) -> Callable[[Body], dg.AssetsDefinition]:
    """``dg.asset`` under the function's name; its docstring is what the UI says of the asset."""

    def decorate(body: Body) -> dg.AssetsDefinition:
        described = " ".join((inspect.getdoc(body) or "").split())
        return dg.asset(**documented(body.__name__, group, kinds, described), **options)(body)

    return decorate


def daily(group: str, kinds: set[str], **options: Any) -> Callable[[Body], Daily]:
    """The same of an asset with a partition for each date."""

    def decorate(body: Body) -> Daily:
        return unwarned()(lambda dates: asset(group, kinds, partitions_def=dates, **options)(body))

    return decorate


@contextmanager
def unwarned() -> Iterator[None]:
    """Without Dagster's words on what it calls beta or a preview: backfill policies, partitions of checks, links to
    the source."""
    with warnings.catch_warnings():
        for kind in (dg.BetaWarning, dg.PreviewWarning):
            warnings.simplefilter("ignore", kind)
        yield


@unwarned()
def _written_in(path: str) -> dg.CodeReferencesMetadataValue:
    return dg.CodeReferencesMetadataValue(code_references=[dg.LocalFileCodeReference(file_path=path)])


ONLY_LANDED = {
    "pending_transaction_id": "id of the pending row that this one posts and takes away",
    "removed": "true: takes the row of this id away",
}
"""Fields of the landing format that no accepted table has."""


def column_schema(asset: str) -> dg.TableSchema:
    """Names, types and meanings of a table's columns as the UI shows them; of rows as landed, each field as well."""
    described = dictionary.described(asset)
    landed = asset.removeprefix("raw_")
    if landed != asset:
        accepted = {column["name"]: column["meaning"] for column in dictionary.described(landed)} | ONLY_LANDED
        described = described + [
            {
                "name": field.name,
                "type": "str",
                "unit": "",
                "meaning": f"as written: {accepted[field.name]}",
                "null": "",
            }
            for field in FIELDS[landed]
        ]
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
            for column in described
        ]
    )


def tables(rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, dg.TableMetadataValue]:
    """Rows as tables of a run's metadata, by name; without rows no table."""
    records = {name: [dg.TableRecord(dict(row)) for row in some] for name, some in rows.items()}
    return {name: dg.MetadataValue.table(some) for name, some in records.items() if some}


def as_of(context: dg.AssetExecutionContext) -> dt.date:
    """The date of a daily partition: the last day its tables know."""
    return dt.date.fromisoformat(context.partition_key)


Assets: TypeAlias = Sequence[dg.AssetsDefinition | dg.AssetSpec]


@unwarned()
def with_sources(assets: Assets) -> Assets:
    """The assets with a link from the UI to where they are defined."""
    return cast("Assets", dg.with_source_code_references(list(assets)))
