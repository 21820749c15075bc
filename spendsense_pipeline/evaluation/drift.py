"""What is unusual today beside the dates before: a share that moved further than it ever does by itself.

Belongs here: the judgement. Which figures are watched, and what a warning says, is in ``defs/checks.py``.
"""

from typing import Final

import pandas as pd

DATES: Final = 14
DATES_NEEDED: Final = 7
"""Earlier dates that are looked at, the newest ones; with fewer than seven nothing is called unusual."""
DEVIATIONS: Final = 3
"""Median absolute deviations from the median: robust against the odd date among the fourteen."""
LEAST: Final = 0.02
"""A move of two percentage points or less is never unusual: a share that hardly moves has next to no deviation."""

COLUMNS: Final = ("name", "value", "median", "lowest", "highest")


def unusual(shares: pd.DataFrame, day: str) -> pd.DataFrame:
    """The shares of ``day`` that lie outside what the dates before allow (``COLUMNS``), furthest first.

    ``shares`` holds ``as_of`` (ISO dates), ``name`` and ``value`` of several dates; a name that a date lacks is a share
    of 0 there. Allowed is median ± max(3 × median absolute deviation, 0.02), given as ``lowest`` and ``highest``. Empty
    where fewer than seven earlier dates are known.
    """
    table = shares.pivot_table(index="as_of", columns="name", values="value", aggfunc="first").fillna(0.0).sort_index()
    before = table[table.index < day].tail(DATES)
    if day not in table.index or len(before) < DATES_NEEDED:
        return pd.DataFrame(columns=list(COLUMNS))
    median = before.median()
    allowed = (DEVIATIONS * (before - median).abs().median()).clip(lower=LEAST)
    found = pd.DataFrame(
        {"value": table.loc[day], "median": median, "lowest": median - allowed, "highest": median + allowed}
    )
    away = (found["value"] - found["median"]).abs()
    # Sums of shares carry binary noise: a move of exactly the allowed size is no news.
    outside = away > allowed + 1e-9
    order = away[outside].sort_values(ascending=False).index
    return found.loc[order].rename_axis("name").reset_index()[list(COLUMNS)]
