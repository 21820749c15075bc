"""What is kept beside the texts of a day: the figures that they rest on, as they were.

Apart because pandas takes its time to load. What does not belong here: storing it (``registration``).
"""

from typing import Any

import pandas as pd


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
        for row in frame[frame["user_id"].isin(found)].to_dict("records"):
            found[row["user_id"]]["features"][str(row["window_days"])] = _plain_row(row)
    for row in streams[streams["user_id"].isin(found)].to_dict("records"):
        found[row["user_id"]]["streams"].append(_plain_row(row))
    return found


def _plain_row(row: dict[Any, Any]) -> dict[str, Any]:
    """A row as JSON holds it: unknown as None, days as text, without the key that it is filed under."""
    plain = {}
    for name, value in row.items():
        if name not in ("user_id", "as_of", "window_days"):
            plain[name] = None if pd.isna(value) else str(value) if hasattr(value, "isoformat") else value
    return plain
