"""Rows held to their contract: by one question to the engine where they lie there, else by Pandera, on the engine or in
a frame, as the contract says.

What does not belong here: what a contract is (the files of ``tables/``), and which are checked where
(``defs/checks.py``).
"""

import datetime as dt
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import ibis
import pandas as pd
import pandera.ibis as engine
import pandera.pandas as frame
from ibis import udf
from pandera.engines.pandas_engine import Date
from pandera.errors import SchemaErrors

from spendsense_pipeline.contracts import TYPES, Contract, is_frame, open_columns
from spendsense_pipeline.frames import to_frame

FAILURE_COLUMNS = ["column", "check", "failure_case", "failures"]
Schema: TypeAlias = engine.DataFrameSchema | frame.DataFrameSchema
_ON_ENGINE = {name: ibis.dtype(each.engine) for name, each in TYPES.items()}
_IN_FRAME = {name: Date if name == "date" else each.frame for name, each in TYPES.items()}


@functools.cache
def schema(contract: Contract) -> Schema:
    """The contract as a schema of Pandera's."""
    kind, of = (engine, _ON_ENGINE) if contract.held_as == "engine" else (frame, _IN_FRAME)
    return kind.DataFrameSchema(
        {
            name: kind.Column(
                of[column.type],
                [_check(kind.Check, check, limit) for check, limit in column.checks.items()],
                nullable=column.nullable,
            )
            for name, column in contract.columns.items()
        },
        unique=list(contract.key),
        strict=not contract.is_open,
        name=contract.name,
    )


def _check(checks: Any, name: str, limit: Any) -> Any:
    if name == "isin":
        return checks.isin(limit)
    check = getattr(checks, name)
    return check(**limit) if isinstance(limit, dict) else check(*(limit if isinstance(limit, list) else [limit]))


def holds_on_all(contract: Contract, table: ibis.Table, dates: Sequence[str]) -> bool:
    """Whether a table of several dates (column ``as_of``) holds its contract on each and has no row of another date.

    Asked in one pass over the rows. False may also mean that this cannot tell: ask ``failures`` date by date.
    """
    inside = table.as_of.isin([dt.date.fromisoformat(date) for date in dates]).fill_null(False)
    return _holds_at_a_glance(contract, table, also=[~inside], within=["as_of"])


def failures(contract: Contract, table: ibis.Table | pd.DataFrame) -> pd.DataFrame:
    """What breaks the contract: one row per column and check (``FAILURE_COLUMNS``), empty when it holds.

    ``failure_case`` is one example, ``failures`` counts the rows that fail. A check on the table as a
    whole, such as a repeated key, stands under the columns of the key. Rows on the engine become a frame, where the
    contract asks for one, once they cannot be cleared there.
    """
    if isinstance(table, ibis.Table):
        if _holds_at_a_glance(contract, table):
            return pd.DataFrame(columns=FAILURE_COLUMNS)
        table = to_frame(table.to_pyarrow()) if is_frame(contract) else table
    try:
        schema(contract).validate(table, lazy=True)
    except SchemaErrors as error:
        found: list[dict[str, Any]] = []
        for (column, check), cases in error.failure_cases.groupby(["column", "check"], dropna=False, sort=False):
            example, count = cases["failure_case"].iloc[0], len(cases)
            if isinstance(example, ibis.Table):  # nulls and repeated keys come back as the expression of their rows
                count = int(example.count().to_pyarrow().as_py())
                if count == 0:  # on a table without rows pandera takes "any null?", which is null, for yes
                    continue
                if check == "multiple_fields_uniqueness":
                    column = ", ".join(contract.key)
                    example = example.select(*contract.key)
                example = example.limit(1).to_pyarrow().to_pylist()[0]
            elif isinstance(example, dict):  # the Ibis backend names the column inside the case
                column, example = next(iter(example.items()))
            if not set(str(column).split(", ")) <= set(open_columns(contract)):
                example = "(personal)"
            found.append({"column": str(column), "check": str(check), "failure_case": str(example), "failures": count})
        return pd.DataFrame(found, columns=FAILURE_COLUMNS)
    return pd.DataFrame(columns=FAILURE_COLUMNS)


def _lengths(min_value: int = 0, max_value: int = 2**31) -> tuple[int, int]:
    return min_value, max_value


_AT_A_GLANCE: dict[str, Callable[[Any, Any], Any]] = {
    "isin": lambda column, values: column.isin(values),
    "gt": lambda column, limit: column > limit,
    "ge": lambda column, limit: column >= limit,
    "le": lambda column, limit: column <= limit,
    "in_range": lambda column, bounds: column.between(*bounds),
    "str_startswith": lambda column, beginning: column.startswith(beginning),
    "str_length": lambda column, bounds: column.length().between(
        *_lengths(**bounds) if isinstance(bounds, dict) else bounds
    ),
}
"""The checks that contracts use, as conditions on a column."""


@udf.scalar.builtin(name="hash", signature=(("struct<>",), "uint64"))  # type: ignore[untyped-decorator]
def _hash(row: Any) -> Any:
    """Of a key: to count different ones takes the engine three quarters of the time, and eight bytes for each. Should
    two meet, Pandera is asked."""


def _holds_at_a_glance(
    contract: Contract, table: ibis.Table, also: Sequence[Any] = (), within: Sequence[str] = ()
) -> bool:
    """Whether all columns are there, of their types, and one pass over the rows finds nothing against them.

    ``also``: further conditions that no row may meet. ``within``: columns in whose values the key is unique.

    Pandera asks the engine about each column and check by itself, which on a large table is dozens of scans. This
    asks once; whatever it cannot clear goes to Pandera, which says what is wrong and where.
    """
    described, columns = table.schema(), contract.columns
    if any(name not in described or described[name] != _ON_ENGINE[column.type] for name, column in columns.items()):
        return False
    if not contract.is_open and len(described) != len(columns):
        return False
    if not {check for column in columns.values() for check in column.checks} <= {*_AT_A_GLANCE}:
        return False
    broken = [*also] + [
        condition
        for name, column in columns.items()
        for condition in (
            *([] if column.nullable else [table[name].isnull()]),
            *([table[name].isnan()] if column.type == "number" and not column.nullable else []),  # null, in a frame
            *(~_AT_A_GLANCE[check](table[name], limit) for check, limit in column.checks.items()),
        )
    ]
    found = table.aggregate(
        rows=table.count(),
        keys=_hash(ibis.struct({name: table[name] for name in {*contract.key, *within}})).nunique(),
        **{f"broken_{n}": condition.sum() for n, condition in enumerate(broken)},
    )
    counted = found.to_pyarrow().to_pylist()[0]
    return counted.pop("rows") == counted.pop("keys") and not any(counted.values())
