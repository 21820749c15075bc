"""Rows that lie group by group, by place of the row: what each group comes to.

A detector asks for a few figures of a few groups; pandas' groupby takes a millisecond to say which rows are together,
each time. What does not belong here: what any group is.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spendsense_pipeline.features.columns import runs

Array = npt.NDArray[Any]


def matching(wanted: Array, keys: Array) -> tuple[Array, Array]:
    """Every pair of places at which the same stands in both; keys ascend. By place of what is wanted."""
    begin, end = (np.searchsorted(keys, wanted, side) for side in ("left", "right"))
    return runs(begin, end - begin)


class Groups(NamedTuple):
    """Groups in the order of the rows: ``of`` is each row's, and a group's rows are ``size`` from ``begin`` on."""

    of: Array
    begin: Array
    size: Array

    @classmethod
    def by(cls, *keys: Array) -> "Groups":
        """Rows next to each other that are equal in every key are a group."""
        count = len(keys[0])
        new = np.zeros(count, bool)
        new[:1] = True
        for key in keys:
            new[1:] |= key[1:] != key[:-1]
        begin = np.flatnonzero(new)
        return cls(np.cumsum(new) - 1, begin, np.diff(np.append(begin, count)))

    @property
    def last(self) -> Array:
        """By group the place of its last row."""
        return self.begin + self.size - 1

    def within(self) -> Array:
        """By row its place in the group."""
        return np.arange(len(self.of)) - self.begin[self.of]

    def total(self, values: Array) -> Array:
        """By group the sum; of flags how many are set."""
        return np.bincount(self.of, values, len(self.size))

    def median(self, values: Array) -> Array:
        """By group the median of what is known, NaN where nothing is."""
        middle = np.full(len(self.size), np.nan)
        for size in np.unique(self.size):  # those of one size are sorted at once
            alike = np.flatnonzero(self.size == size)
            ordered = np.sort(values[self.begin[alike, None] + np.arange(size)], axis=1)  # the unknown comes last
            known, row = (~np.isnan(ordered)).sum(axis=1), np.arange(len(alike))
            middle[alike] = (ordered[row, np.maximum(known - 1, 0) // 2] + ordered[row, known // 2]) / 2
        return middle

    def beside(self, values: Array, ahead: int) -> Array:
        """By row the value of the row so many ahead in the group (behind where negative), NaN where there is none."""
        at = np.arange(len(self.of)) + ahead
        there = np.flatnonzero((at >= 0) & (at < len(self.of)))
        there = there[self.of[at[there]] == self.of[there]]
        beside = np.full(len(self.of), np.nan)
        beside[there] = values[at[there]]
        return beside
