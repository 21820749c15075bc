"""How Arrow tables become pandas frames: one convention for every customer-sized table.

Counts are ``Int64`` and flags ``boolean`` (both nullable, so *unknown* survives), money and rates ``float64``
with NaN for unknown, text ``str``, dates ``datetime.date`` objects, times aware timestamps.
"""

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
