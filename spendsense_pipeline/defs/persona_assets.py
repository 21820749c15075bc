"""The personas room: one verdict per customer and window. The thinking is in ``personas/``."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs import plots
from spendsense_pipeline.defs.documentation import documented, unwarned
from spendsense_pipeline.defs.feature_assets import IN_ONE_RUN, WINDOWS
from spendsense_pipeline.defs.parts import computed_by_range, room_for_parts
from spendsense_pipeline.defs.resources import Files, Workers
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.personas.rules import BY_PRIORITY, RULES
from spendsense_pipeline.row_groups import Parts

NONE_MATCHED = "none matched"
RULED = [*dict.fromkeys(rule.signal for rule in RULES), "currency_factor"]
"""What the rules read of features ..."""
READ = ("user_id", "as_of", "window_days", "history_days", *RULED)
"""... and what is said beside it."""


def persona_assets(dates: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """One asset per window."""
    return [_persona_asset(dates, window) for window in WINDOWS]


@unwarned()
def _persona_asset(dates: dg.DailyPartitionsDefinition, window: int) -> dg.AssetsDefinition:
    name = f"persona_assignments_{window}d"

    @dg.asset(
        name=name,
        partitions_def=dates,
        backfill_policy=IN_ONE_RUN,
        deps=[f"features_{window}d"],
        **documented(
            name,
            "personas",
            {"pandas", "parquet"},
            f"Which situation each customer is in by the {window}-day signals, with every clause and its value: the "
            "verdict can be recomputed from the row alone. A sudden shift of shares points at `features_*`.",
        ),
    )
    def assignments(context: dg.AssetExecutionContext, files: Files, workers: Workers) -> Iterator[dg.Output[Parts]]:
        features = f"features_{window}d"
        parts: dict[str, Sequence[str]] = {}
        with room_for_parts(files, workers, context.run_id) as folder:
            for day in context.partition_keys:
                of_day, told = computed_by_range(
                    *(context, files, workers, name, {features: READ}, {}, f"{folder}/{day}"),
                    light=True,
                    day=day,
                    customers=features,
                )
                parts |= of_day.of
                ruled = to_frame(warehouse.load(files.warehouse, features, [day], RULED))
                described = _described(told, ruled, window, _shares_before(files.warehouse, name, day))
                context.add_asset_metadata(described, partition_key=day)
            yield dg.Output(Parts(parts))

    return assignments


def _shares_before(root: str, table: str, day: str) -> tuple[str, dict[str, float]] | None:
    """The newest stored date before ``day`` and its shares."""
    earlier = [key for key in warehouse.partitions(root, table) if key < day][-1:]
    if not earlier:
        return None
    return earlier[0], shares(labels(to_frame(warehouse.load(root, table, earlier, ["persona", "is_fallback"]))))


def _described(
    told: Mapping[str, Counter[str]], features: pd.DataFrame, window: int, before: tuple[str, dict[str, float]] | None
) -> dict[str, Any]:
    """What a date's assignments show of themselves in the UI."""
    fallback = told["fallback"].total()
    counted = told["persona"] + Counter({NONE_MATCHED: fallback})
    bars = [
        (
            persona.replace("_", " "),
            share,
            f"{share:.1%}" + (f" ({share - before[1].get(persona, 0):+.1%})" if before else ""),
        )
        for persona, share in shares(counted).items()
    ]
    since = f", change since {before[0]}" if before else ""
    return {
        "customers": counted.total(),
        "fallback": fallback,
        "shares": plots.bars(bars, f"Share of customers by persona{since}"),
        "signals": dg.MetadataValue.md(distributions(features, window)),
    }


def labels(assigned: pd.DataFrame) -> Counter[str]:
    """How many customers have each persona, fallbacks apart as ``none matched``."""
    return Counter(assigned["persona"].where(~assigned["is_fallback"].astype(bool), NONE_MATCHED).tolist())


def shares(counted: Mapping[str, int]) -> dict[str, float]:
    """Persona to its share of the customers, in the order of the rules."""
    customers = max(sum(counted.values()), 1)
    return {persona: counted.get(persona, 0) / customers for persona in (*BY_PRIORITY, NONE_MATCHED)}


def distributions(features: pd.DataFrame, window: int) -> str:
    """How each signal of the rules is distributed, with the thresholds that the rules set.

    Money in dollars by the currency's factor, as the rules compare it.
    """
    marks: dict[str, dict[float, str]] = {}
    rules: dict[str, list[str]] = {}
    money: set[str] = set()
    for rule in RULES:
        if isinstance(rule.threshold, bool):
            continue
        at = rule.threshold * (window / 30 if rule.per_month else 1)
        mark = f"{rule.operator} {at:,.6g}"
        marks.setdefault(rule.signal, {})[at] = mark
        rules.setdefault(rule.signal, []).append(f"{rule.persona.replace('_', ' ')} {mark}")
        money |= {rule.signal} if rule.money else set()
    lines = []
    for signal, thresholds in marks.items():
        values = features[signal] / features["currency_factor"] if signal in money else features[signal]
        drawn = plots.distribution(values, sorted(thresholds.items()))
        known = int(features[signal].notna().sum())
        asked = ", ".join(dict.fromkeys(rules[signal])).replace("<", "\\<").replace(">", "\\>")
        said = f"**{signal}**, known of {known:,} of {len(features):,}; {asked}"
        lines.append(f"{said}\n\n{plots.picture(drawn, signal)}" if drawn else f"{said}: too few to draw")
    return "\n\n".join(lines)
