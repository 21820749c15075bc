"""What every table is held to: the check, the column docs and the data dictionary are read from one contract.

A contract is a Pandera schema: of the engine for what is as large as the transactions, of pandas for what is as large
as the customers. The tables are data, ``tables/*.toml``, a file for each stage of the lineage. ``held_as`` says where
rows are held to them: ``engine`` or ``frame``. A table has what it is ``about``, its ``key``, the ``assets`` that store
it (default: one of its name), and may be ``open``: further columns may follow. A column has a ``type``, its ``meaning``
and ``unit``, and what ``null`` means (without: it may not be null). ``personal`` columns never appear in a preview, a
log line or an error; a stored table may lack ``optional`` ones. All else is a check of Pandera's by its name.
What does not belong here: how a check is shown in Dagster (``defs/checks.py``).
"""

import datetime as dt
import tomllib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import ibis
import ibis.expr.datatypes as types
import pandas as pd
import pandera.ibis as engine
import pandera.pandas as frame
import pyarrow as pa
from pandera.engines.pandas_engine import Date
from pandera.errors import SchemaErrors

from spendsense_pipeline.personas.table import PERSONAS

FAILURE_COLUMNS = ["column", "check", "failure_case", "failures"]

Contract: TypeAlias = engine.DataFrameSchema | frame.DataFrameSchema


class _Type(NamedTuple):
    """What a ``type`` of the files is on the engine, in a frame, and as stored from a frame."""

    engine: types.DataType
    frame: Any
    arrow: pa.DataType


_TYPES = {
    "text": _Type(types.string, str, pa.string()),
    "integer": _Type(types.int64, pd.Int64Dtype, pa.int64()),
    "number": _Type(types.float64, float, pa.float64()),
    "flag": _Type(types.boolean, pd.BooleanDtype, pa.bool_()),
    "date": _Type(types.date, Date, pa.date32()),
    "moment": _Type(types.Timestamp("UTC", 6), pd.DatetimeTZDtype("us", "UTC"), pa.timestamp("us", "UTC")),
}
_LISTS = {"personas": list(PERSONAS)}
"""What ``isin`` may name, because code reads it too."""


def read(file: Path) -> Iterator[tuple[str, Contract]]:
    """The contracts of a file by asset, in order. The room says what a file holds."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    kind = {"engine": engine, "frame": frame}[content.pop("held_as")]
    for name, table in content.items():
        contract = kind.DataFrameSchema(
            {column: _column(kind, **said) for column, said in table["columns"].items()},
            unique=table["key"],
            strict=not table.get("open", False),
            name=name,
            description=table["about"],
        )
        yield from ((asset, contract) for asset in table.get("assets", [name]))


def _column(
    kind: Any,
    type: str,  # noqa: A002 # as the files call it
    meaning: str,
    unit: str = "",
    null: str | None = None,
    *,
    personal: bool = False,
    optional: bool = False,
    **checks: Any,
) -> Any:
    return kind.Column(
        _TYPES[type].engine if kind is engine else _TYPES[type].frame,
        [_check(kind.Check, name, limit) for name, limit in checks.items()],
        nullable=null is not None,
        description=meaning,
        metadata={"type": type, "unit": unit, "null": null or "", "personal": personal, "optional": optional},
    )


def _check(checks: Any, name: str, limit: Any) -> Any:
    if name == "isin":
        return checks.isin(_LISTS[limit] if isinstance(limit, str) else limit)
    check = getattr(checks, name)
    return check(**limit) if isinstance(limit, dict) else check(*(limit if isinstance(limit, list) else [limit]))


TABLES: Final = Path(__file__).with_name("tables")
STAGES: Final = (
    *("canonical", "payees", "features", "insights", "personas"),
    *("recommendations", "evaluation", "experiments"),
)
CONTRACTS: Final[dict[str, Contract]] = {
    asset: contract for stage in STAGES for asset, contract in read(TABLES / f"{stage}.toml")
}


def is_frame(contract: Contract) -> bool:
    """Whether rows are held to it as a frame, and not on the engine."""
    return type(contract) is frame.DataFrameSchema


def key(contract: Contract) -> list[str]:
    """The columns that identify one row of the table."""
    return list(contract.unique)


def columns(contract: Contract) -> list[dict[str, str]]:
    """Name, type, unit, meaning and meaning of null of each column, in order: the data dictionary."""
    return [
        {
            "name": name,
            "type": "str" if str(column.dtype).startswith("string") else str(column.dtype),
            "unit": column.metadata["unit"],
            "meaning": column.description,
            "null": column.metadata["null"] if column.nullable else "never null",
        }
        for name, column in contract.columns.items()
    ]


def open_columns(contract: Contract) -> list[str]:
    """The columns that may be shown to whoever looks at a run: all but the personal ones."""
    return [name for name, column in contract.columns.items() if not column.metadata["personal"]]


def absent(contract: Contract, present: Collection[str]) -> dict[str, Any]:
    """The optional columns, with their types, that a table of these columns lacks; none where it lacks others."""
    lacking = {name: column for name, column in contract.columns.items() if name not in present}
    if not all(column.metadata["optional"] for column in lacking.values()):
        return {}
    return {name: column.dtype.type for name, column in lacking.items()}


def arrow_schema(contract: Contract) -> pa.Schema:
    """The Arrow types of a table's columns, so that an empty or all-null column is stored as what it is."""
    return pa.schema([(name, _TYPES[column.metadata["type"]].arrow) for name, column in contract.columns.items()])


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
    described = table.schema()
    if any(name not in described or described[name] != column.dtype.type for name, column in contract.columns.items()):
        return False
    if contract.strict and len(described) != len(contract.columns):
        return False
    if any(check.name not in _AT_A_GLANCE for column in contract.columns.values() for check in column.checks):
        return False
    broken = [*also] + [
        condition
        for name, column in contract.columns.items()
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
