"""What is kept beside the texts of a day: the figures that they rest on, as they were.

Apart because pandas takes its time to load. What does not belong here: storing it (``registration``).
"""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pandas as pd

from spendsense_pipeline.frames import records


def evidence(
    features_30d: pd.DataFrame, features_180d: pd.DataFrame, streams: pd.DataFrame
) -> Callable[[Collection[str]], dict[str, dict[str, Any]]]:
    """What texts rest on, for whichever customers are asked about: the signals of both windows and the recurring
    streams of each.

    Stored with the texts, so that a correction of the data later cannot rewrite why something was said. Composed only
    for those who get a new text; most days that is one customer in eight.
    """
    known = [_as_json_holds_it(frame) for frame in (features_30d, features_180d, streams)]
    tables = [(frame, frame.groupby("user_id").indices) for frame in known]

    def of(customers: Collection[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {user_id: {"features": {}, "streams": []} for user_id in customers}
        short, longer, repeated = (_rows_of_customers(*table, customers) for table in tables)
        for row in [*short, *longer]:
            found[row.pop("user_id")]["features"][str(row.pop("window_days"))] = row
        for row in repeated:
            found[row.pop("user_id")]["streams"].append(row)
        return found

    return of


def _as_json_holds_it(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that are kept, days as text."""
    kept = frame.drop(columns="as_of")
    return kept.astype({name: "str" for name in kept if kept[name].dtype == object})


def _rows_of_customers(frame: pd.DataFrame, places: dict[Any, Any], customers: Collection[str]) -> list[dict[str, Any]]:
    mine = [places[user_id] for user_id in customers if user_id in places]
    return records(frame.take(np.concatenate(mine) if mine else []))
