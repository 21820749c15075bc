"""The features room: recurring streams and the two feature tables of a day. The thinking is in ``features/``."""

from collections.abc import Iterator

import dagster as dg
import ibis

from spendsense_pipeline.defs.documentation import as_of, documented
from spendsense_pipeline.features.accounts import left_out, unmapped, without_factor
from spendsense_pipeline.features.day import of_day

JOB = "daily_refresh"
WINDOWS = (30, 180)
ENGINE = "engine"
"""Key of the resource that loads what the features are computed from, onto the engine that computes them."""
SOURCES = {dg.AssetKey(name) for name in ("transactions", "accounts", "users")}


def feature_assets(daily: dg.DailyPartitionsDefinition, engine: str = "duckdb") -> list[dg.AssetsDefinition]:
    """One day's streams and features, from one pass over the transactions, on ``duckdb`` or ``spark``."""
    kinds = {"ibis", engine, "parquet"}
    streams = dg.AssetOut(
        **documented(
            "recurring_streams",
            "features",
            kinds,
            "What repeats: one row per customer, payee and price line, judged on all history up to the date. If a "
            "customer's subscription is missing, look at the payee's rows in `transactions` first.",
        )
    )
    windows = {
        f"features_{window}d": dg.AssetOut(
            **documented(
                f"features_{window}d",
                "features",
                kinds,
                f"One row per customer: the signals of the {window} days up to and including the date. Null is "
                "unknown, never zero. Both windows come from one pass over the transactions.",
            )
        )
        for window in WINDOWS
    }

    @dg.multi_asset(
        name="features",
        partitions_def=daily,
        ins={
            name: dg.AssetIn(input_manager_key=ENGINE) for name in ("transactions", "accounts", "liabilities", "users")
        },
        outs={"recurring_streams": streams, **windows},
        internal_asset_deps={
            "recurring_streams": SOURCES,
            **{name: {*SOURCES, dg.AssetKey("liabilities"), dg.AssetKey("recurring_streams")} for name in windows},
        },
    )
    def features(
        context: dg.AssetExecutionContext,
        transactions: ibis.Table,
        accounts: ibis.Table,
        liabilities: ibis.Table,
        users: ibis.Table,
    ) -> Iterator[dg.Output[ibis.Table]]:
        day = as_of(context)
        streams, signals = of_day(
            transactions,
            accounts,
            liabilities,
            users,
            day,
            WINDOWS,
            progress=lambda done, parts: context.log.info("features of %s: part %d of %d", day, done, parts),
        )
        yield dg.Output(streams, output_name="recurring_streams")
        told = {
            # Counted: metadata is kept for ever, and no erasure finds an account's id there.
            "accounts_left_out": _rows(
                left_out(transactions, accounts, users, day).group_by("currency").agg(accounts=lambda t: t.count())
            ),
            "currencies_without_factor": _rows(without_factor(accounts)),
            "account_types_unmapped": _rows(unmapped(accounts)),
        }
        for window in WINDOWS:
            yield dg.Output(
                signals.filter(signals.window_days == window),
                output_name=f"features_{window}d",
                metadata={name: value for name, value in told.items() if value is not None},
            )

    return [features]


def _rows(table: ibis.Table) -> dg.TableMetadataValue | None:
    """The first rows of a short report as metadata, None when there is nothing to report."""
    rows = table.limit(50).to_pyarrow().to_pylist()
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows]) if rows else None
