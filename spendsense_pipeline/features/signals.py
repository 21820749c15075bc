"""Signals of whole customers, Arrow tables in and out."""

import datetime as dt
import gc
from collections.abc import Sequence
from typing import NamedTuple

import ibis
import pyarrow as pa

from spendsense_pipeline.features.accounts import left_out
from spendsense_pipeline.features.day import of_day


class Customers(NamedTuple):
    """Whole customers; columns as in the canonical contracts."""

    transactions: pa.Table
    accounts: pa.Table
    liabilities: pa.Table
    users: pa.Table


class Signals(NamedTuple):
    """Contracts RecurringStreams and Features, rows of every date; ``left_out``: as_of, currency, accounts."""

    streams: pa.Table
    features: pa.Table
    left_out: pa.Table


def signals_of(customers: Customers, as_of_dates: Sequence[dt.date], windows: Sequence[int] = (30, 180)) -> Signals:
    """The signals of the customers on each date."""
    ibis.options.sql.fuse_selects = False
    gc.set_threshold(200_000, 50, 50)
    engine = ibis.duckdb.connect()
    engine.raw_sql("SET TimeZone = 'UTC'")
    plain = {name: _plain(table) for name, table in zip(Customers._fields, customers, strict=True)}
    tables = {name: engine.create_table(name, table) for name, table in plain.items()}
    days, reports = [], []
    for as_of in as_of_dates:
        day = of_day(**tables, as_of=as_of, windows=windows)
        streams = day.streams.to_pyarrow().sort_by([("user_id", "ascending"), ("stream_id", "ascending")])
        features = day.signals.to_pyarrow().sort_by([("user_id", "ascending"), ("window_days", "ascending")])
        out = left_out(tables["transactions"], tables["accounts"], tables["users"], as_of)
        reports.append(out.group_by("currency").agg(accounts=lambda t: t.count()).mutate(as_of=as_of).to_pyarrow())
        days.append((streams, features))
    streams, features = (pa.concat_tables(tables) for tables in zip(*days, strict=True))
    return Signals(streams, features, pa.concat_tables(reports))


def _plain(table: pa.Table) -> pa.Table:
    """Texts as texts: what the engine compares."""
    return table.cast(
        pa.schema(
            [
                field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
                for field in table.schema
            ]
        )
    )
