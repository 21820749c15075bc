"""Expressions that several signals share: division, whole words, cents, three-valued flags.

All are backend-neutral Ibis: the same expression runs on DuckDB and on Spark. Patterns are written without
backslashes, look-arounds and back references, the part of regular expressions that RE2 and Java read alike.
What does not belong here: what a row, a payee or a signal is.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import ibis

DAY_ZERO = dt.date(1970, 1, 1)


def ratio(numerator: Any, denominator: Any) -> Any:
    """``numerator / denominator``, null when the denominator is 0 or either is null.

    The only division of two columns in this package: DuckDB answers 1/0 with infinity, Spark with an error.
    """
    return numerator / denominator.nullif(0)


def money(amount: Any) -> Any:
    """Rounded to cents, so that sums of the same rows in any order compare equal."""
    return amount.round(2)


def cents(amount: Any) -> Any:
    """The amount in whole cents: money as a key that may be joined on."""
    return (amount * 100).round().cast("int64")


def day_number(date: Any) -> Any:
    """Days since 1970-01-01, as an integer that windows and remainders can be taken of."""
    return date.delta(ibis.literal(DAY_ZERO), unit="day").cast("int64")


def plain(text: Any) -> Any:
    """Lower case, punctuation turned into single spaces: the form in which words are looked for."""
    spaced = text.lower().re_replace("[!-/:-@{-~_^•–—’]", " ")
    for bracket in ("[", "]", "`", "\\"):
        spaced = spaced.replace(bracket, " ")
    return spaced.re_replace(" +", " ").strip()


def words(text: Any, *wanted: str) -> Any:
    """Whether ``plain`` text holds one of the wanted words or phrases, as whole words; null text holds none.

    >>> words(plain(t.merchant_name), "fee", "courtesy pay")  # `coffee` is no fee
    """
    return text.re_search("(^| )(" + "|".join(wanted) + ")( |$)").fill_null(False)


def any_of(flag: Any) -> Any:
    """Aggregate a three-valued flag: true if any is true, else null if any is unknown, else false.

    A group without rows never reaches an aggregation; whoever joins the result decides what none means.
    """
    unknown = flag.isnull().any().ifelse(ibis.null("boolean"), ibis.literal(False))
    return flag.any().fill_null(False) | unknown


def per_window(window_days: Any, columns: dict[int, Any]) -> Any:
    """Pick, by the value of ``window_days``, the column that was computed for that window."""
    return ibis.cases(*[(window_days == window, column) for window, column in columns.items()])


def each_window(table: ibis.Table, windows: Sequence[int]) -> ibis.Table:
    """Every row once per window, with ``window_days``: one pass, however many windows."""
    listed = ibis.array([ibis.literal(int(window), type="int64") for window in windows])
    return table.mutate(window_days=listed.unnest())


def keyed(table: ibis.Table, name: str, *columns: str) -> ibis.Table:
    """The table with ``columns``, which are different on every row, also as one narrow key, of the same order.

    A number on DuckDB, which sorts and joins by it several times faster than by texts; on Spark, where numbering would
    bring all rows to one task, the columns in one.
    """
    if table.get_backend().name == "pyspark":
        return table.mutate(**{name: ibis.struct({column: table[column] for column in columns})})
    return table.mutate(**{name: ibis.row_number().over(order_by=columns)})


def step(table: ibis.Table, name: str) -> ibis.Table:
    """The same table as a step of its own: named in DuckDB's query (a common table expression), computed on Spark.

    Ibis fuses a chain of columns into one query, with every expression spelled out wherever it is used: a regular
    expression read by thirty columns would run thirty times, and a join used twice be planned twice. DuckDB computes
    a named step once; Spark would plan and compute it anew for every use, and takes minutes over a long way.
    """
    return table.cache() if table.get_backend().name == "pyspark" else table.alias(name)
