"""What is kept beside the texts of a day: the figures that they rest on, as they were.

Apart because pandas takes its time to load. What does not belong here: storing it (``registration``).
"""

from typing import Any

import pandas as pd

from spendsense_pipeline.recommendations.situations import records


def evidence(
    drafts: pd.DataFrame, features_30d: pd.DataFrame, features_180d: pd.DataFrame, streams: pd.DataFrame
) -> dict[str, dict[str, Any]]:
    """What the drafts rest on, by customer: the signals of both windows and the recurring streams.

    Stored with the texts, so that a correction of the data later cannot rewrite why something was said.
    """
    found: dict[str, dict[str, Any]] = {
        user_id: {"features": {}, "streams": []} for user_id in drafts["user_id"].unique()
    }
    for frame in (features_30d, features_180d):
        own = frame[frame["user_id"].isin(found)]
        for user_id, window, row in zip(own["user_id"], own["window_days"], _plain(own), strict=True):
            found[user_id]["features"][str(window)] = row
    own = streams[streams["user_id"].isin(found)]
    for user_id, row in zip(own["user_id"], _plain(own), strict=True):
        found[user_id]["streams"].append(row)
    return found


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON holds them: unknown as None, days as text, without the key that they are filed under."""
    rows = frame.drop(columns=["user_id", "as_of", "window_days"], errors="ignore")
    days = [name for name, column in rows.items() if any(hasattr(value, "isoformat") for value in column.dropna()[:1])]
    return records(rows.assign(**{name: rows[name].map(str, na_action="ignore") for name in days}))
