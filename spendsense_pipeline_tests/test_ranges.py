"""A table cut into ranges: each row in one of them, each value whole, none too large."""

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendsense_pipeline.ranges import Range, ranges

CON = ibis.duckdb.connect()


def table(values: list[str | None]) -> ibis.Table:
    return ibis.memtable({"key": values, "n": list(range(len(values)))}, schema={"key": "string", "n": "int64"})


KEYS = st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "aa", "b", "Z", "é", "zz", "z z"])), max_size=40)


@pytest.mark.parametrize("examples", [25, pytest.param(500, marks=pytest.mark.verify)])
def test_each_row_lies_in_one_range_and_each_value_is_whole(examples: int) -> None:
    settings(max_examples=examples)(given(KEYS, st.integers(1, 9))(ranges_cover_the_table))()


def ranges_cover_the_table(values: list[str | None], size: int) -> None:
    cut = ranges(table(values), "key", size)
    found = [CON.to_pyarrow(one.of(table(values), "key")).to_pylist() for one in cut]
    assert sorted(row["n"] for part in found for row in part) == list(range(len(values)))
    known = [{row["key"] for row in part} for part in found]
    assert all(not one & other for n, one in enumerate(known) for other in known[:n])
    most = max((values.count(value) for value in values), default=0)
    assert all(len([row for row in part if row["key"] is not None]) < size + most for part in found)


@pytest.mark.parametrize("values", [[], ["a"], ["a", "a"], [None]])
def test_what_fits_is_one_open_range(values: list[str | None]) -> None:
    assert ranges(table(values), "key", 2) == [Range(None, None)]


def test_values_that_the_table_lacks_lie_in_a_range_too() -> None:
    cut = ranges(table(["b", "b", "d", "d"]), "key", 2)
    others = table(["a", "c", "e"])
    assert [CON.to_pyarrow(one.of(others, "key"))["key"].to_pylist() for one in cut] == [["a", "c"], ["e"]]
