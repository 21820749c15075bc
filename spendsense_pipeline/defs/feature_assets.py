"""The features room: recurring streams and the two feature tables of a date, or of a range of dates in one run.

The thinking is in ``features/``.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs.documentation import documented, tables
from spendsense_pipeline.defs.parts import room_for_parts
from spendsense_pipeline.defs.resources import Files, Workers
from spendsense_pipeline.features import by_range
from spendsense_pipeline.features.accounts import has_factor, is_mapped
from spendsense_pipeline.insights.kinds import FUNCTION, TABLES
from spendsense_pipeline.known_payees import payees_on
from spendsense_pipeline.row_groups import Parts

JOB = "daily_refresh"
WINDOWS = (30, 180)
FEATURES = {f"features_{window}d": window for window in WINDOWS}
SOURCES = {"transactions", "accounts", "users", "payees"}
READ_FOR = {"recurring_streams": SOURCES, "cards": (SOURCES | {"liabilities"}) - {"payees"}}
"""Of the tables that the others do not share."""
TEXTS = {
    "recurring_streams": "What repeats: one row per customer, payee and price line, judged on all history up to the "
    "date. If a customer's subscription is missing, look at the payee's rows in `transactions` first.",
    "cards": "One row per credit card: what is owed on the date, of which limit, at which rate. Null is unknown. If a "
    "balance is off, look at the account's `balance_date`: a later one is rolled back by the rows in between.",
    **{
        table: f"One row per customer: the signals of the {window} days up to and including the date. "
        "Null is unknown, never zero. Both windows come from one pass over the transactions."
        for table, window in FEATURES.items()
    },
    "insights": "What each customer's money says now: bills ahead, prices that rose, income that stopped, fees, a "
    "payment past due. One row per customer and insight, with the figures that a text may show and the ids of what it "
    "rests on; docs/insights.md says when each fires and what would make it wrong.",
    "balance_forecast": "The checking balance of the next 30 days: balance, expected streams on their dates, the usual "
    "rest by weekday, with an 80 % interval from the customer's own past errors.",
}
"""The tables that one reading makes, in this order."""
IN_ONE_RUN = dg.BackfillPolicy.single_run()
"""A range of dates reads each customer once."""


def features_of(dates: dg.DailyPartitionsDefinition, engine: str) -> dg.AssetsDefinition:
    """The streams and features of a date, or of each date of a range, from one reading of the transactions."""
    kinds = {"spark" if engine == "spark" else "python", "parquet"}

    @dg.multi_asset(
        name="features",
        partitions_def=dates,
        backfill_policy=IN_ONE_RUN,
        deps=[*by_range.TABLES, "payees"],
        outs={table: dg.AssetOut(**documented(table, "features", kinds, text)) for table, text in TEXTS.items()},
        internal_asset_deps={
            table: {dg.AssetKey(one) for one in READ_FOR.get(table, SOURCES | {"liabilities", "recurring_streams"})}
            for table in TEXTS
        },
    )
    def features(context: dg.AssetExecutionContext, files: Files, workers: Workers) -> Iterator[dg.Output[Parts]]:
        dates = [dt.date.fromisoformat(key) for key in context.partition_keys]
        shown = f"{dates[0]}" if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        with room_for_parts(files, workers, context.run_id) as folder:
            read = warehouse.state(files.warehouse, "transactions")
            computed = by_range.compute(
                _tasks(files, workers, folder, dates),
                workers.runner(context.log.info),
                lambda done, of: context.log.info("features of %s: range %d of %d", shown, done, of),
            )
            reports = _reports(files)
            for table, parts in computed.parts.items():
                if table in FEATURES:
                    for date in dates:
                        left_out = [row for row in computed.left_out.to_pylist() if row["as_of"] == date]
                        told = {"accounts_left_out": [_without_date(row) for row in left_out], **reports}
                        context.add_asset_metadata(
                            tables({name: rows[:MOST_REPORTED] for name, rows in told.items()})
                            | ({"transactions": read} if read else {}),
                            context.asset_key_for_output(table),
                            str(date),
                        )
                yield dg.Output(parts, output_name=table)

    return features


def _tasks(files: Files, workers: Workers, folder: str, dates: list[dt.date]) -> list[by_range.Task]:
    read = {
        name: warehouse.stored_by_customer(
            files.warehouse,
            name,
            by_range.columns_of(name),
            folder,
            by_range.MOST_ROWS,
            scratch=Path(files.scratch),
            memory=files.memory,
        )
        for name in by_range.TABLES
    }
    payees = payees_on(files.warehouse, files.payees, dates)
    return by_range.tasks_of(
        read, tuple(dates), WINDOWS, folder, workers.number(), workers.compile, workers.kernels, payees,
        by_range.Beside(TABLES, FUNCTION)
    )  # fmt: skip


def _reports(files: Files) -> dict[str, list[dict[str, Any]]]:
    """What is to be known of the accounts beside the signals. Counted: metadata is kept for ever, and no erasure finds
    an account's id there."""
    accounts = warehouse.read(warehouse.connect(Path(files.scratch), files.memory), files.warehouse, "accounts")
    kinds = accounts.group_by("type", "subtype").agg(accounts=accounts.count()).order_by("type", "subtype")
    currencies = accounts.group_by(currency=accounts.iso_currency_code.upper()).agg(accounts=accounts.count())
    return {
        "currencies_without_factor": [
            row
            for row in currencies.order_by("currency").to_pyarrow().to_pylist()
            if row["currency"] is not None and not has_factor(row["currency"])
        ],
        "account_types_unmapped": [
            row for row in kinds.to_pyarrow().to_pylist() if not is_mapped(row["type"], row["subtype"])
        ],
    }


MOST_REPORTED = 50


def _without_date(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "as_of"}
