"""How rows are written down before they are hashed: by Python when they enter, by the database to verify them."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from spendsense_pipeline.governance.models import UtcTime


class as_json(FunctionElement[str]):  # noqa: N801 - reads as the SQL function that it is
    """Columns as ``canonical`` writes a list of them, by the database: no object is made of what is only hashed."""

    type = Text()
    name = "json"
    inherit_cache = True

    def fields(self, compiler: SQLCompiler, shapes: Mapping[Any, str], how: Any) -> list[str]:
        """The columns in SQL, in the shape given for their type."""
        return [shapes.get(type(column.type), "{}").format(compiler.process(column, **how)) for column in self.clauses]


@compiles(as_json, "sqlite")
def _on_sqlite(row: as_json, compiler: SQLCompiler, **how: Any) -> str:
    shapes = {UtcTime: "replace({}, ' ', 'T') || '+00:00'", Boolean: "json(iif({}, 'true', 'false'))"}
    fields = row.fields(compiler, shapes, how)
    return f"json_array({', '.join(fields)})"


@compiles(as_json, "postgresql")
def _on_postgresql(row: as_json, compiler: SQLCompiler, **how: Any) -> str:
    moment = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""
    fields = [f"coalesce(to_json({field})::text, 'null')" for field in row.fields(compiler, {UtcTime: moment}, how)]
    return "'[' || " + " || ',' || ".join(fields) + " || ']'"


def sha256(text: str) -> str:
    """Of the text in UTF-8, as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def identifier(kind: str, named: str) -> str:
    """The id of something of this kind, three letters, derived from all that names it: the same in any database."""
    return f"{kind}_{sha256(named)[:20]}"


def _text_of(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="microseconds")
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(f"a link cannot hold {value!r}")


canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=_text_of).encode
"""JSON without blanks, keys in order, moments in UTC with microseconds."""
