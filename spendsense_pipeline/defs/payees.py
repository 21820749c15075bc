"""The payees of a day: who was paid and what for, to be looked at and corrected. The thinking is in ``payees/``."""

from pathlib import Path
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from spendsense_pipeline.defs.documentation import as_of, documented
from spendsense_pipeline.defs.resources import Files, LanguageModel
from spendsense_pipeline.payees.census import Ask, Census, census
from spendsense_pipeline.payees.known import house_rules


def payees_asset(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset ``payees``, from the canonical tables."""

    @dg.asset(
        partitions_def=daily,
        ins={name: dg.AssetIn() for name in ("transactions", "accounts")},
        **documented(
            "payees",
            "ingest",
            {"ibis", "duckdb", "parquet"},
            "Who is paid and what for: one row per normalised name and what was delivered with it, over all customers "
            "and with none in it. Names that may be a person's, or that one customer alone has, are counted and left "
            "out. A wrong category is corrected by a line in the house's file (docs/payees.md); what nobody knows, the "
            "most frequent first, is in the metadata and in `spendsense payees --unknown`.",
        ),
    )
    def payees(
        context: dg.AssetExecutionContext,
        files: Files,
        language_model: LanguageModel,
        transactions: ibis.Table,
        accounts: ibis.Table,
    ) -> dg.Output[pd.DataFrame]:
        house = house_rules(Path(files.payees)) if files.payees else ()
        found = census(transactions, accounts, as_of(context), house, _ask(context, language_model, files))
        return dg.Output(found.payees, metadata=told(found))

    return payees


def told(found: Census) -> dict[str, Any]:
    """What the metadata of a day's payees says; names only that at least five customers have and that are nobody's."""
    metadata: dict[str, Any] = {
        "rows_read": found.rows,
        "names_withheld": found.names_withheld,
        "rows_withheld": found.rows_withheld,
    }
    if found.explained_share is not None:
        metadata["explained_share"] = found.explained_share
    for name, rows in (("unknown_names", found.unknown), ("unmapped_categories", found.unmapped)):
        if rows:
            metadata[name] = dg.MetadataValue.table([dg.TableRecord(row) for row in rows])
    return metadata


def _ask(context: dg.AssetExecutionContext, model: LanguageModel, files: Files) -> Ask | None:
    """How to ask about unknown names; null where nobody is to be asked."""
    return None
