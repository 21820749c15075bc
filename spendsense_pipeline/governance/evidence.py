"""What is kept beside the texts of a day: the figures that they rest on, as they were.

Apart because pandas takes its time to load. What does not belong here: storing it (``registration``).
"""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pandas as pd

from spendsense_pipeline.frames import records, values


def evidence(
    features_30d: pd.DataFrame, features_180d: pd.DataFrame, streams: pd.DataFrame
) -> Callable[[Collection[str]], dict[str, dict[str, Any]]]:
    """What texts rest on, for whichever customers are asked about: the signals of both windows and the recurring
    streams of each.

    Stored with the texts, so that a correction of the data later cannot rewrite why something was said. Composed only
    for those who get a new text; most days that is one customer in eight.
    """
    tables = [(frame, values(frame["user_id"])) for frame in (features_30d, features_180d, streams)]

    def of(customers: Collection[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {user_id: {"features": {}, "streams": []} for user_id in customers}
        short, longer, repeated = (
            _as_json_holds_it(frame[np.array([user_id in found for user_id in owners], dtype=bool)])
            for frame, owners in tables
        )
        for row in [*short, *longer]:
            found[row.pop("user_id")]["features"][str(row.pop("window_days"))] = row
        for row in repeated:
            found[row.pop("user_id")]["streams"].append(row)
        return found

    return of


def _as_json_holds_it(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows in the columns that are kept, days as text."""
    kept = frame.drop(columns="as_of")
    return records(kept.astype({name: "str" for name in kept if kept[name].dtype == object}))
