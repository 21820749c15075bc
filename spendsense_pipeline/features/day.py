"""A date's streams and features of some customers, as tables of the engine."""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import ibis

from spendsense_pipeline.features.rows import classify
from spendsense_pipeline.features.streams import streams_and_hits
from spendsense_pipeline.features.windows import customer_features


class Day(NamedTuple):
    """``streams``: the contract RecurringStreams. ``signals``: the contract Features, one row per customer and window.
    Both are tables of the engine, sorted by nothing."""

    streams: ibis.Table
    signals: ibis.Table


def of_day(
    transactions: ibis.Table,
    accounts: ibis.Table,
    liabilities: ibis.Table,
    users: ibis.Table,
    as_of: dt.date,
    windows: Sequence[int] = (30, 180),
) -> Day:
    """Classify the rows of the canonical tables, find their streams, compute every window's features.

    >>> of_day(transactions, accounts, liabilities, users, date(2026, 8, 22)).signals
    """
    rows = classify(transactions, accounts, users, as_of).cache()  # read by several expressions below
    streams, hits = streams_and_hits(rows, as_of)
    signals = customer_features(rows, transactions, accounts, liabilities, users, streams, as_of, windows, hits=hits)
    return Day(streams, signals.cache())
