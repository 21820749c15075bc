"""The personas room: one verdict per customer and window. The thinking is in ``personas/``."""

import dagster as dg
import pandas as pd

from spendsense_pipeline.defs.documentation import documented
from spendsense_pipeline.defs.features import WINDOWS
from spendsense_pipeline.personas.assignment import assign_personas


def persona_assets(daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """One asset per window."""
    return [_persona_asset(daily, window) for window in WINDOWS]


def _persona_asset(daily: dg.DailyPartitionsDefinition, window: int) -> dg.AssetsDefinition:
    name = f"persona_assignments_{window}d"

    @dg.asset(
        name=name,
        partitions_def=daily,
        ins={"features": dg.AssetIn(f"features_{window}d")},
        **documented(
            name,
            "personas",
            {"pandas", "parquet"},
            f"Which situation each customer is in by the {window}-day signals, with every clause and its value: the "
            "verdict can be recomputed from the row alone. A sudden shift of shares points at `features_*`.",
        ),
    )
    def assignments(context: dg.AssetExecutionContext, features: pd.DataFrame) -> pd.DataFrame:
        assigned = assign_personas(features)
        counts = assigned["persona"].value_counts()
        context.add_output_metadata(
            {
                "customers": len(assigned),
                "fallback": int(assigned["is_fallback"].sum()),
                "shares": dg.MetadataValue.table(
                    [
                        dg.TableRecord(
                            {"persona": str(persona), "customers": int(n), "share": round(n / len(assigned), 4)}
                        )
                        for persona, n in counts.items()
                    ]
                )
                if len(assigned)
                else dg.MetadataValue.text("no customer on this date"),
            }
        )
        return assigned

    return assignments
