"""Rows that detectors ask for: picked by customer or kind where they are few, sifted where they are many."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spendsense_pipeline.insights.seen import SORTS, View

CUSTOMERS = 12
KINDS = [0, 3, 8, 117]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(50, 300),
    st.sets(st.sampled_from([*KINDS, 255])),
    st.none() | st.sets(st.integers(0, CUSTOMERS - 1), max_size=4),
    st.integers(-1, 9),
)
def test_rows_are_those_that_a_look_at_each_would_find(
    seed: int, count: int, sorts: set[int], users: set[int] | None, since: int
) -> None:
    rng = np.random.default_rng(seed)
    user = np.sort(np.minimum(rng.geometric(0.3, count) - 1, CUSTOMERS - 1))  # some have many rows, some few
    day, sort = rng.integers(0, 10, count), rng.choice(KINDS, count, p=[0.85, 0.1, 0.03, 0.02])
    order = np.lexsort((day, user))
    day, sort = day[order], sort[order].astype("u1")
    view = View.over(np.arange(count), day, user, sort, np.bincount(user, minlength=CUSTOMERS))
    found = view.of(np.isin(SORTS, list(sorts)), None if users is None else np.array(sorted(users), "i8"), since)
    wanted = np.isin(sort, list(sorts)) & (day > since) & (True if users is None else np.isin(user, list(users)))
    assert found.tolist() == np.flatnonzero(wanted).tolist()
