"""What every contract shares: how a column is declared and how a table is held to its contract.

A contract is a Pandera model. Engine tables (transaction-sized) use ``pandera.ibis``, frames (customer-sized)
``pandera.pandas``. Each column says what it means, in which unit, and what null means: the blocking check,
the column documentation in the UI and the data dictionary all read it from here.
What does not belong here: how a check is shown in Dagster (``defs/checks.py``).
"""

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from typing import Any

import ibis
import pandas as pd
import pandera.ibis as engine
import pandera.pandas as frame
import pyarrow as pa
from pandera.errors import SchemaErrors

FAILURE_COLUMNS = ["column", "check", "failure_case", "failures"]


_ARROW = {
    "str": pa.string(),
    "Int64": pa.int64(),
    "float64": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}


def described(
    kind: Any,
    meaning: str,
    unit: str = "",
    null: str | None = None,
    *,
    personal: bool = False,
    optional: bool = False,
    **checks: Any,
) -> Any:
    """A Pandera field that carries its description, unit and meaning of null; ``null=None`` forbids null.

    ``personal`` columns never appear in a preview, a log line or an error. A stored table may lack ``optional`` ones.
    """
    metadata = {"unit": unit, "null": null or "", "personal": personal, "optional": optional}
    return kind.Field(nullable=null is not None, description=meaning, metadata=metadata, **checks)


class EngineContract(engine.DataFrameModel):
    """A contract on an Ibis table. ``Config.unique`` names the columns that identify a row."""

    class Config:
        strict = True


class FrameContract(frame.DataFrameModel):
    """A contract on a pandas frame. ``Config.unique`` names the columns that identify a row."""

    class Config:
        strict = True


Contract = type[EngineContract] | type[FrameContract]


def key(contract: Contract) -> list[str]:
    """The columns that identify one row of the table."""
    unique = contract.to_schema().unique
    return list(unique or [])


def columns(contract: Contract) -> list[dict[str, str]]:
    """Name, type, unit, meaning and meaning of null of each column, in order: the data dictionary."""
    return [
        {
            "name": name,
            "type": _type_name(column.dtype),
            "unit": (column.metadata or {}).get("unit", ""),
            "meaning": column.description or "",
            "null": (column.metadata or {}).get("null", "") if column.nullable else "never null",
        }
        for name, column in contract.to_schema().columns.items()
    ]


def open_columns(contract: Contract) -> list[str]:
    """The columns that may be shown to whoever looks at a run: all but the personal ones."""
    return [
        name
        for name, column in contract.to_schema().columns.items()
        if not (column.metadata or {}).get("personal", False)
    ]


def absent(contract: Contract, present: Collection[str]) -> dict[str, Any]:
    """The optional columns, with their types, that a table of these columns lacks; none where it lacks others."""
    lacking = {name: column for name, column in contract.to_schema().columns.items() if name not in present}
    if not all((column.metadata or {}).get("optional", False) for column in lacking.values()):
        return {}
    return {name: column.dtype.type for name, column in lacking.items()}


def arrow_schema(contract: Contract) -> pa.Schema:
    """The Arrow types of a table's columns, so that an empty or all-null column is stored as what it is."""
    columns = contract.to_schema().columns
    if issubclass(contract, EngineContract):
        return pa.schema([(name, column.dtype.type.to_pyarrow()) for name, column in columns.items()])
    return pa.schema([(name, _ARROW[_type_name(column.dtype)]) for name, column in columns.items()])


def _type_name(dtype: Any) -> str:
    """A type as a reader names it: pandas calls text by its storage."""
    name = str(dtype)
    return "str" if name.startswith("string") else name


def holds_on_all(contract: Contract, table: ibis.Table, dates: Sequence[str]) -> bool:
    """Whether a table of several dates (column ``as_of``) holds its contract on each and has no row of another date.

    Asked in one pass over the rows. False may also mean that this cannot tell: ask ``failures`` date by date.
    """
    inside = table.as_of.isin([dt.date.fromisoformat(date) for date in dates]).fill_null(False)
    return _holds_at_a_glance(contract, table, also=[~inside], within=["as_of"])


def failures(contract: Contract, table: ibis.Table | pd.DataFrame) -> pd.DataFrame:
    """What breaks the contract: one row per column and check (``FAILURE_COLUMNS``), empty when it holds.

    ``failure_case`` is one example, ``failures`` counts the rows that fail. A check on the table as a
    whole, such as a repeated key, stands under the columns of the key.
    """
    if isinstance(table, ibis.Table) and _holds_at_a_glance(contract, table):
        return pd.DataFrame(columns=FAILURE_COLUMNS)
    try:
        contract.validate(table, lazy=True)
    except SchemaErrors as error:
        found: list[dict[str, Any]] = []
        for (column, check), cases in error.failure_cases.groupby(["column", "check"], dropna=False, sort=False):
            example, count = cases["failure_case"].iloc[0], len(cases)
            if isinstance(example, ibis.Table):  # nulls and repeated keys come back as the expression of their rows
                count = int(example.count().to_pyarrow().as_py())
                if count == 0:  # on a table without rows pandera takes "any null?", which is null, for yes
                    continue
                if check == "multiple_fields_uniqueness":
                    column = ", ".join(key(contract))
                    example = example.select(*key(contract))
                example = example.limit(1).to_pyarrow().to_pylist()[0]
            elif isinstance(example, dict):  # the Ibis backend names the column inside the case
                column, example = next(iter(example.items()))
            if not set(str(column).split(", ")) <= set(open_columns(contract)):
                example = "(personal)"
            found.append({"column": str(column), "check": str(check), "failure_case": str(example), "failures": count})
        return pd.DataFrame(found, columns=FAILURE_COLUMNS)
    return pd.DataFrame(columns=FAILURE_COLUMNS)


_AT_A_GLANCE: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "isin": lambda column, said: column.isin(list(said["allowed_values"])),
    "greater_than": lambda column, said: column > said["min_value"],
    "greater_than_or_equal_to": lambda column, said: column >= said["min_value"],
    "less_than_or_equal_to": lambda column, said: column <= said["max_value"],
    "in_range": lambda column, said: column.between(said["min_value"], said["max_value"]),
}
"""The checks that engine contracts use, as conditions on a column."""


def _holds_at_a_glance(
    contract: Contract, table: ibis.Table, also: Sequence[Any] = (), within: Sequence[str] = ()
) -> bool:
    """Whether all columns are there, of their types, and one pass over the rows finds nothing against them.

    ``also``: further conditions that no row may meet. ``within``: columns in whose values the key is unique.

    Pandera asks the engine about each column and check by itself, which on a large table is dozens of scans. This
    asks once; whatever it cannot clear goes to Pandera, which says what is wrong and where.
    """
    schema, described = contract.to_schema(), table.schema()
    if any(name not in described or described[name] != column.dtype.type for name, column in schema.columns.items()):
        return False
    if schema.strict and len(described) != len(schema.columns):
        return False
    if any(check.name not in _AT_A_GLANCE for column in schema.columns.values() for check in column.checks):
        return False
    broken = [*also] + [
        condition
        for name, column in schema.columns.items()
        for condition in (
            *([] if column.nullable else [table[name].isnull()]),
            *(~_AT_A_GLANCE[check.name](table[name], check.statistics) for check in column.checks),
        )
    ]
    found = table.aggregate(
        rows=table.count(),
        keys=ibis.struct({name: table[name] for name in {*key(contract), *within}}).nunique(),
        **{f"broken_{n}": condition.sum() for n, condition in enumerate(broken)},
    )
    counted = found.to_pyarrow().to_pylist()[0]
    return counted.pop("rows") == counted.pop("keys") and not any(counted.values())
