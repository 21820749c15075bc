"""One contract per table: the check, the column docs and the data dictionary are read from here.

The tables are data, ``tables/*.toml``, a file for each stage of the lineage. ``held_as`` says where rows are held to
them: ``engine`` or ``frame``. A table has what it is ``about``, its ``key``, the ``assets`` that store it (default: one
of its name), and may be ``open``: further columns may follow. A column has a ``type``, its ``meaning`` and ``unit``,
and what ``null`` means (without: it may not be null). ``personal`` columns never appear in a preview, a log line or an
error; a stored table may lack ``optional`` ones. All else is a check of Pandera's by its name.
"""

from pathlib import Path
from typing import Final

from spendsense_pipeline.contracts.base import (
    SEVERITIES,
    Contract,
    absent,
    arrow_schema,
    columns,
    failures,
    holds_on_all,
    is_frame,
    key,
    open_columns,
    read,
)
from spendsense_pipeline.personas.table import PERSONAS

TABLES: Final = Path(__file__).with_name("tables")
STAGES: Final = (
    *("canonical", "payees", "features", "insights", "personas"),
    *("recommendations", "evaluation", "experiments"),
)
CONTRACTS: Final[dict[str, Contract]] = {
    asset: contract for stage in STAGES for asset, contract in read(TABLES / f"{stage}.toml")
}

__all__ = [
    "CONTRACTS",
    "PERSONAS",
    "SEVERITIES",
    "TABLES",
    "Contract",
    "absent",
    "arrow_schema",
    "columns",
    "failures",
    "holds_on_all",
    "is_frame",
    "key",
    "open_columns",
]
