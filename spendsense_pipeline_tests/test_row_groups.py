"""Files cut between customers: each row in one range, each customer whole, and no more opened than needed."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendsense_pipeline import row_groups
from spendsense_pipeline.ranges import Range
from spendsense_pipeline.row_groups import Group, Stored, UnreadableTable

SCHEMA = pa.schema({"user_id": row_groups.TEXTS, "n": pa.int64()})
PLAIN = pa.schema({"user_id": pa.string(), "n": pa.int64()})
CUSTOMERS = st.lists(st.sampled_from(["", "a", "aa", "b", "Z", "é", "zz", "z z"]), max_size=60)


def table(customers: list[str]) -> pa.Table:
    return pa.table({"user_id": customers, "n": range(len(customers))}, schema=PLAIN)


def stored(folder: Path, *files: list[str], rows: int = 3) -> Stored:
    """A file for each list of customers, ``rows`` to a row group."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"part-{number}.parquet" for number in range(len(files))]
    for path, customers in zip(paths, files, strict=True):
        pq.write_table(table(customers), path, row_group_size=rows)
    return Stored(tuple(str(path) for path in paths), SCHEMA)


@given(customers=CUSTOMERS, group=st.integers(1, 7), rows=st.integers(1, 20), parts=st.integers(1, 3))
def test_each_row_lies_in_one_range_and_each_customer_is_whole(
    tmp_path_factory: pytest.TempPathFactory, customers: list[str], group: int, rows: int, parts: int
) -> None:
    customers = sorted(customers)
    size = -(-len(customers) // parts)
    found = stored(
        tmp_path_factory.mktemp("t"), *(customers[size * n : size * (n + 1)] for n in range(parts)), rows=group
    )
    groups = row_groups.groups(found)
    assert groups is not None
    assert row_groups.by_customer(found, most=7)
    cut = row_groups.cut(groups, rows)
    assert cut[0].start is None
    assert cut[-1].end is None
    ranges = [row_groups.rows_of(found, one)["user_id"].to_pylist() for one in cut]
    assert [customer for one in ranges for customer in one] == customers
    whole = [set(one) for one in ranges]
    assert all(not one & other for n, one in enumerate(whole) for other in whole[:n])
    most = max((customers.count(one) for one in customers), default=0)
    assert all(len(one) < rows + 2 * group + most for one in ranges)


@given(months=st.lists(CUSTOMERS, min_size=1, max_size=4), group=st.integers(1, 7), rows=st.integers(1, 20))
def test_files_that_each_hold_all_customers_are_cut_between_the_same_customers(
    tmp_path_factory: pytest.TempPathFactory, months: list[list[str]], group: int, rows: int
) -> None:
    """As those of months are."""
    found = stored(tmp_path_factory.mktemp("t"), *(sorted(one) for one in months), rows=group)
    groups = row_groups.groups(found)
    assert groups is not None
    assert row_groups.by_customer(found, most=7)
    ranges = [row_groups.rows_of(found, one)["user_id"].to_pylist() for one in row_groups.cut(groups, rows)]
    assert sorted(customer for one in ranges for customer in one) == sorted(
        customer for one in months for customer in one
    )
    whole = [set(one) for one in ranges]
    assert all(not one & other for n, one in enumerate(whole) for other in whole[:n])


def test_a_customer_with_more_rows_than_a_range_stays_in_one(tmp_path: Path) -> None:
    found = stored(tmp_path, ["a"] * 2 + ["huge"] * 30 + ["z"] * 4)
    groups = row_groups.groups(found) or []
    (own,) = [
        one for one in row_groups.cut(groups, 5) if "huge" in row_groups.rows_of(found, one)["user_id"].to_pylist()
    ]
    assert row_groups.rows_of(found, own)["user_id"].to_pylist().count("huge") == 30


def test_customers_without_a_row_in_the_table_that_was_cut_are_in_a_range_too(tmp_path: Path) -> None:
    cut = row_groups.cut(row_groups.groups(stored(tmp_path / "rows", ["b"] * 6 + ["d"] * 6)) or [], 6)
    assert len(cut) == 2
    people = stored(tmp_path / "people", ["d", "a", "zz", "c", "b"])  # in no order, as tables of people may be
    assert [row_groups.rows_of(people, one)["user_id"].to_pylist() for one in cut] == [["a", "c", "b"], ["d", "zz"]]


@pytest.mark.parametrize(
    ("files", "most", "holds"),
    [
        ([["a", "a", "b", "b", "c"]], 3, True),
        ([["a", "b"], ["b", "c"]], 3, True),
        ([["b", "c"], ["a", "b"]], 3, True),  # each file by itself, as of months
        ([["a", "b", "c", "a", "b", "c"]], 3, False),
        ([["a", "b", "c"]], 2, False),  # a group that no range could part
        ([["a", "a", "a"]], 2, True),  # a customer whom no range may part
        ([[]], 3, True),
    ],
)
def test_whether_a_table_lies_by_customer_is_read_from_the_bounds(
    files: list[list[str]], most: int, holds: bool, tmp_path: Path
) -> None:
    assert row_groups.by_customer(stored(tmp_path, *files), most) is holds


def test_a_file_without_bounds_cannot_be_cut(tmp_path: Path) -> None:
    pq.write_table(table(["a", "b"]), tmp_path / "t.parquet", write_statistics=False)
    found = Stored((str(tmp_path / "t.parquet"),), SCHEMA)
    assert row_groups.groups(found) is None
    assert not row_groups.by_customer(found, 10)
    assert row_groups.rows_of(found, Range("b", None))["n"].to_pylist() == [1]


def test_only_the_groups_that_may_hold_the_customers_are_opened(tmp_path: Path) -> None:
    found = stored(tmp_path, ["a", "a", "a", "b", "b", "b", "c", "c", "c"])
    intact = Path(found.files[0]).read_bytes()
    middle = pq.read_metadata(found.files[0]).row_group(1).column(0)
    start = middle.dictionary_page_offset or middle.data_page_offset
    damaged = intact[:start] + b"\0" * middle.total_compressed_size + intact[start + middle.total_compressed_size :]
    Path(found.files[0]).write_bytes(damaged)
    assert row_groups.rows_of(found, Range(None, "b"))["user_id"].to_pylist() == ["a"] * 3
    assert row_groups.rows_of(found, Range("c", None))["user_id"].to_pylist() == ["c"] * 3
    with pytest.raises(OSError, match=r"[Pp]age|[Ee]nd|thrift"):
        row_groups.rows_of(found, Range("b", "c"))


def test_a_column_that_is_missing_or_does_not_fit_is_named_with_its_file(tmp_path: Path) -> None:
    pq.write_table(table(["a"]).drop_columns("n"), tmp_path / "short.parquet")
    with pytest.raises(UnreadableTable, match=r"short\.parquet has no column n"):
        row_groups.rows_of(Stored((str(tmp_path / "short.parquet"),), SCHEMA), Range())
    pq.write_table(pa.table({"user_id": ["a"], "n": [0.5]}), tmp_path / "other.parquet")
    with pytest.raises(UnreadableTable, match=r"other\.parquet: .*0\.5"):
        row_groups.rows_of(Stored((str(tmp_path / "other.parquet"),), SCHEMA), Range())


def test_what_is_gathered_shows_nothing_of_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "GROUP_ROWS", 1_000)
    rows = table([f"customer {n // 7}" for n in range(5_432)])
    written = []
    for number, size in enumerate((10_000, 999, 1_000, 3_210, 10)):
        files = [str(tmp_path / f"{number}" / f"{at}.arrow") for at in range(0, len(rows), size)]
        for file, at in zip(files, range(0, len(rows), size), strict=True):
            row_groups.store(rows.slice(at, size).cast(SCHEMA), file)
        row_groups.gather(files, tmp_path / "whole.parquet", PLAIN)
        written.append((tmp_path / "whole.parquet").read_bytes())
    assert pq.read_table(tmp_path / "whole.parquet") == rows
    assert pq.read_metadata(tmp_path / "whole.parquet").num_row_groups == 6
    assert len(set(written)) == 1


def test_nothing_gathered_is_a_table_without_rows(tmp_path: Path) -> None:
    row_groups.store(table([]), str(tmp_path / "part.arrow"))
    row_groups.gather([str(tmp_path / "part.arrow")], tmp_path / "whole.parquet", PLAIN)
    assert pq.read_table(tmp_path / "whole.parquet") == table([])


def test_groups_of_one_customer_are_never_a_place_to_cut() -> None:
    assert row_groups.cut([Group(9, "a", "a"), Group(9, "a", "b"), Group(9, "b", "c")], 5) == [
        Range(None, "b"),
        Range("b", None),
    ]
