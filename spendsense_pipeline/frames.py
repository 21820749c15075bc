"""How Arrow tables become pandas frames, and those plain rows: one convention for every customer-sized table.

Counts are ``Int64`` and flags ``boolean`` (both nullable, so *unknown* survives), money and rates ``float64``
with NaN for unknown, text ``str``, dates ``datetime.date`` objects, times aware timestamps.
"""

from typing import Any

import pandas as pd
import pyarrow as pa

_NULLABLE = {
    pa.int8(): pd.Int64Dtype(),
    pa.int16(): pd.Int64Dtype(),
    pa.int32(): pd.Int64Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Turn an Arrow table into a frame of our convention; column order is kept."""
    # Parquet written by pandas carries dtype notes that would override the convention.
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas(types_mapper=_NULLABLE.get, date_as_object=True)
    return frame


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain dictionaries, unknown as None."""
    names = rows.columns.tolist()  # an index of texts goes through Arrow each time that it is gone through
    columns = [values(rows[name]) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def values(column: pd.Series) -> list[Any]:
    """A column as plain values, unknown as None."""
    if isinstance(column.dtype, pd.StringDtype):  # pandas makes objects of texts one by one, Arrow all at once
        texts: list[Any] = pa.array(column).to_numpy(zero_copy_only=False).tolist()
        return texts
    values = column.to_numpy(dtype=object, copy=True)
    values[column.isna().to_numpy()] = None
    plain: list[Any] = values.tolist()
    return plain
