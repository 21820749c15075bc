"""A day's streams and features of all customers, a part of them at a time.

Nothing in a customer's signals depends on another customer, so what does not fit into memory is cut between customers:
the time stays in proportion to the rows, and the memory that of one part. Transactions are stored by customer, so
each part reads its own row groups.
"""

import datetime as dt
import functools
import gc
from collections.abc import Callable, Sequence
from typing import NamedTuple

import ibis

from spendsense_pipeline.features.rows import classify
from spendsense_pipeline.features.streams import streams_and_hits
from spendsense_pipeline.features.windows import customer_features
from spendsense_pipeline.ranges import Range, ranges

PART_ROWS = 2_000_000
"""Transactions of a part, about: some four gigabytes of memory, and a tenth of the time for planning it."""


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
    *,
    part_rows: int = PART_ROWS,
    progress: Callable[[int, int], None] | None = None,
) -> Day:
    """Classify the rows of the canonical tables, find their streams, compute every window's features.

    On DuckDB in parts of about ``part_rows`` transactions; Spark has partitions of its own. ``progress`` is told how
    many parts are done, of how many.

    >>> of_day(transactions, accounts, liabilities, users, date(2026, 8, 22)).signals
    """
    on_spark = transactions.get_backend().name == "pyspark"
    customers = [Range()] if on_spark else ranges(transactions, "user_id", part_rows)
    parts: list[Day] = []
    for number, some in enumerate(customers, start=1):
        of = functools.partial(some.of, column="user_id")
        part = _of_part(of(transactions), of(accounts), of(liabilities), of(users), as_of, windows)
        parts.append(part if len(customers) == 1 else Day(*(_by_itself(table) for table in part)))
        del part
        gc.collect()  # the part's tables are dropped with the expressions that read them, which refer to one another
        if progress is not None:
            progress(number, len(customers))
    if len(parts) == 1:
        return parts[0]
    return Day(ibis.union(*(part.streams for part in parts)), ibis.union(*(part.signals for part in parts)))


def _by_itself(table: ibis.Table) -> ibis.Table:
    """The rows as a table that refers to nothing: one that is cached keeps alive what it was computed from."""
    return table.get_backend().create_table(ibis.util.gen_name("part"), table, temp=True)


def _of_part(
    transactions: ibis.Table,
    accounts: ibis.Table,
    liabilities: ibis.Table,
    users: ibis.Table,
    as_of: dt.date,
    windows: Sequence[int],
) -> Day:
    rows = classify(transactions, accounts, users, as_of).cache()  # read by several expressions below
    streams, hits = streams_and_hits(rows, as_of)
    signals = customer_features(rows, transactions, accounts, liabilities, users, streams, as_of, windows, hits=hits)
    return Day(streams, signals.cache())
