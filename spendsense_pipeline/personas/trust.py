"""For whom nothing is drafted, and why: figures that say too little of a customer to write on.

What does not belong here: how the signals come about (``features``). Insights, personas and profiles stay computed.
"""

from typing import TYPE_CHECKING, Any, Final

from spendsense_pipeline.personas.rules import EXPLAINED, RULES

if TYPE_CHECKING:
    import pandas as pd

LEAST_EXPLAINED: Final = min(float(rule.threshold) for rule in RULES if rule.clause == EXPLAINED)

REASONS: Final = {
    "stale": "newest transaction older than {stale_days} days",
    "unexplained": f"less than {LEAST_EXPLAINED:.0%} of the transactions of 90 days explained",
    "without_balances": "no account with a known balance",
}
"""Why nothing is drafted for a customer, in words that may be formatted with ``stale_days``. Several may hold."""


def untrusted(features: Any, stale_days: int) -> dict[str, Any]:
    """By reason the flag of each row: a column of features, whether Ibis' or pandas'. Null where a signal is unknown.

    A customer without any row is neither stale nor unexplained: nothing would rest on rows.
    """
    return {
        "stale": features["data_age_days"] > stale_days,
        "unexplained": features["explained_share"] < LEAST_EXPLAINED,
        "without_balances": features["balance_age_days"].isnull(),
    }


def not_drafted(features: "pd.DataFrame", stale_days: int) -> "pd.DataFrame":
    """``untrusted`` as a frame with a column for each reason; an unknown signal is no reason."""
    import pandas as pd

    return pd.DataFrame(untrusted(features, stale_days)).fillna(False).astype(bool)


def trusted(personas: "pd.DataFrame", features: "pd.DataFrame", stale_days: int) -> "pd.DataFrame":
    """The assignments of those customers for whom something may be drafted. ``features`` are of either window of the
    same day."""
    left_out = features.loc[not_drafted(features, stale_days).any(axis=1), "user_id"]
    return personas[~personas["user_id"].isin(left_out)]
