"""Rows that detectors ask for: picked by customer or kind where they are few, sifted where they are many."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spendsense_pipeline.insights.seen import SORTS, View

CUSTOMERS = 6


@given(
    st.lists(st.tuples(st.integers(0, CUSTOMERS - 1), st.integers(0, 9), st.sampled_from([0, 3, 8, 117])), max_size=60),
    st.sets(st.sampled_from([0, 3, 8, 117, 255])),
    st.none() | st.sets(st.integers(0, CUSTOMERS - 1)),
    st.integers(-1, 9),
)
def test_rows_are_those_that_a_look_at_each_would_find(
    rows: list[tuple[int, int, int]], sorts: set[int], users: set[int] | None, since: int
) -> None:
    rows = sorted(rows, key=lambda row: row[:2])
    user, day, sort = np.array(rows, "i4").reshape(-1, 3).T
    view = View.over(np.arange(len(rows)), day, user, sort.astype("u1"), user, CUSTOMERS)
    found = view.of(np.isin(SORTS, list(sorts)), None if users is None else np.array(sorted(users), "i8"), since)
    expected = [
        place
        for place, (who, when, kind) in enumerate(rows)
        if kind in sorts and when > since and (users is None or who in users)
    ]
    assert found.tolist() == expected
