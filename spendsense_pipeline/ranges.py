"""A large table by ranges of one column, each of about as many rows as fit into memory at once.

What does not belong here: which column, how many rows, and what is done with a range.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import ibis


class Range(NamedTuple):
    """From ``start`` up to, and without, ``end``; None is open. Null comes after all else."""

    start: Any = None
    end: Any = None

    def of(self, table: "ibis.Table", column: str) -> "ibis.Table":
        """The rows of a table, the one that was cut or another, whose ``column`` lies in the range."""
        if self.end is not None:
            table = table.filter(table[column] < self.end)
        if self.start is None:
            return table
        since = table[column] >= self.start
        return table.filter(since if self.end is not None else since | table[column].isnull())


def ranges(table: "ibis.Table", column: str, rows: int) -> list[Range]:
    """Ranges in ascending order that leave out nothing, of about ``rows`` rows each; more where one value has more, and
    nulls on top of the last."""
    import ibis  # whoever only passes a range on need not wait for it
    from ibis import _

    counted = table.filter(_[column].notnull()).group_by(column).aggregate(rows=_.count())
    before = counted["rows"].sum().over(ibis.cumulative_window(order_by=column)) - counted["rows"]
    parts = counted.mutate(part=before // rows).group_by("part")
    starts = parts.aggregate(start=_[column].min()).order_by("part").to_pyarrow()["start"].to_pylist()[1:]
    return [Range(*bounds) for bounds in zip([None, *starts], [*starts, None], strict=True)]
