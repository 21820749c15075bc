"""What every table is held to: the check, the column docs and the data dictionary are read from one contract.

The tables are data, ``tables/*.toml``, a file for each stage of the lineage. ``held_as`` says where rows are held to
them: on the ``engine`` what is as large as the transactions, in a ``frame`` what is as large as the customers. A table
has what it is ``about``, its ``key``, the ``assets`` that store it (default: one of its name), and may be ``open``:
further columns may follow. A column has a ``type``, its ``meaning`` and ``unit``, and what ``null`` means (without: it
may not be null). ``personal`` columns never appear in a preview, a log line or an error; a stored table may lack
``optional`` ones. All else is a check of Pandera's by its name. What does not belong here: how rows are held to it
(``schemas.py``), and how a check is shown in Dagster (``defs/checks.py``).
"""

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import pyarrow as pa

from spendsense_pipeline.personas.table import PERSONAS


class Type(NamedTuple):
    """What a ``type`` of the files is as stored from a frame, and what Ibis and Pandera call it on the engine and in a
    frame."""

    arrow: pa.DataType
    engine: str
    frame: str


TYPES: Final = {
    "text": Type(pa.string(), "string", "str"),
    "integer": Type(pa.int64(), "int64", "Int64"),
    "number": Type(pa.float64(), "float64", "float64"),
    "flag": Type(pa.bool_(), "boolean", "boolean"),
    "date": Type(pa.date32(), "date", "date"),
    "moment": Type(pa.timestamp("us", "UTC"), "timestamp('UTC', 6)", "datetime64[us, UTC]"),
}
_LISTS = {"personas": list(PERSONAS)}
"""What ``isin`` may name, because code reads it too."""


@dataclass(frozen=True)
class Column:
    """A column; ``dtype`` is its type where rows are held to it, ``checks`` are by name what each is given."""

    type: str
    dtype: str
    meaning: str
    unit: str
    null: str | None
    personal: bool
    optional: bool
    checks: Mapping[str, Any]

    @property
    def nullable(self) -> bool:
        """Whether null means something in it."""
        return self.null is not None


@dataclass(frozen=True, eq=False)
class Contract:
    """A table as its file has it, columns in order."""

    name: str
    about: str
    key: tuple[str, ...]
    """The columns that identify one row of the table."""
    held_as: Literal["engine", "frame"]
    is_open: bool
    columns: Mapping[str, Column]


def read(file: Path) -> Iterator[tuple[str, Contract]]:
    """The contracts of a file by asset, in order. The room says what a file holds."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    held_as = content.pop("held_as")
    for name, table in content.items():
        columns = {column: _column(held_as, **said) for column, said in table["columns"].items()}
        contract = Contract(name, table["about"], tuple(table["key"]), held_as, table.get("open", False), columns)
        yield from ((asset, contract) for asset in table.get("assets", [name]))


def _column(
    held_as: str,
    type: str,  # noqa: A002 # as the files call it
    meaning: str,
    unit: str = "",
    null: str | None = None,
    *,
    personal: bool = False,
    optional: bool = False,
    **checks: Any,
) -> Column:
    if isinstance(checks.get("isin"), str):
        checks["isin"] = _LISTS[checks["isin"]]
    return Column(type, getattr(TYPES[type], held_as), meaning, unit, null, personal, optional, checks)


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
    return contract.held_as == "frame"


def columns(contract: Contract) -> list[dict[str, str]]:
    """Name, type, unit, meaning and meaning of null of each column, in order: the data dictionary."""
    return [
        {
            "name": name,
            "type": "str" if column.type == "text" else column.dtype,
            "unit": column.unit,
            "meaning": column.meaning,
            "null": "never null" if column.null is None else column.null,
        }
        for name, column in contract.columns.items()
    ]


def open_columns(contract: Contract) -> list[str]:
    """The columns that may be shown to whoever looks at a run: all but the personal ones."""
    return [name for name, column in contract.columns.items() if not column.personal]


def absent(contract: Contract, present: Collection[str]) -> dict[str, str]:
    """The optional columns, with their types on the engine, that a table of these columns lacks; none where it lacks
    others."""
    lacking = {name: column for name, column in contract.columns.items() if name not in present}
    if not all(column.optional for column in lacking.values()):
        return {}
    return {name: TYPES[column.type].engine for name, column in lacking.items()}


def arrow_schema(contract: Contract) -> pa.Schema:
    """The Arrow types of a table's columns, so that an empty or all-null column is stored as what it is."""
    return pa.schema([(name, TYPES[column.type].arrow) for name, column in contract.columns.items()])
