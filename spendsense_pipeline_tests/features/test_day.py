"""A day's features in parts: the same as in one go, whoever falls between two parts."""

import itertools

import ibis
import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.features.day import Day, of_day
from spendsense_pipeline_tests.features.ledger import AS_OF, Ledger

ROWS = 12  # of each customer who has any


def customers() -> Ledger:
    """Five who pay two payees each month, between them and around them some without a row or an account."""
    ledger = Ledger()
    for name in ("a silent", "b", "c", "d silent", "e", "f", "g", "zz silent"):
        (checking,) = ledger.customer(name, "checking")
        for month in range(0 if "silent" in name else ROWS // 2):
            ledger.row(checking, 5 + 30 * month, -9.99, "Spotify", "ENTERTAINMENT_MUSIC_AND_AUDIO")
            ledger.row(checking, 9 + 30 * month, -ord(name[0]) - month, f"Shop {month}", "GENERAL_MERCHANDISE")
    ledger.customer("d without an account")
    return ledger


def day(part_rows: int) -> tuple[Day, list[tuple[int, int]]]:
    con = warehouse.connect()
    tables = {name: con.create_table(name, table) for name, table in customers().tables().items()}
    told: list[tuple[int, int]] = []
    names = ("transactions", "accounts", "liabilities", "users")
    found = of_day(
        *(tables[name] for name in names), AS_OF, part_rows=part_rows, progress=lambda *done: told.append(done)
    )
    return found, told


def rows(table: ibis.Table) -> list[dict[str, object]]:
    return table.order_by("user_id", *{"window_days", "merchant"}.intersection(table.columns)).to_pyarrow().to_pylist()


@pytest.mark.parametrize(("part_rows", "parts"), [(1, 5), (ROWS, 5), (2 * ROWS, 3), (1_000, 1)])
def test_parts_give_what_one_pass_gives(part_rows: int, parts: int) -> None:
    whole, _ = day(1_000_000)
    in_parts, told = day(part_rows)
    assert told[-1] == (len(told), len(told))
    assert len(told) >= parts if part_rows < 1_000 else len(told) == 1
    assert rows(in_parts.streams) == rows(whole.streams)
    assert rows(in_parts.signals) == rows(whole.signals)
    assert len(rows(whole.signals)) == 2 * 9
    assert len(rows(whole.streams)) == 5


def test_a_part_leaves_nothing_but_its_result() -> None:
    con = warehouse.connect()
    given = {name: con.create_table(name, table) for name, table in customers().tables().items()}
    counted = []

    def count(_done: int, _parts: int) -> None:
        counted.append(con.raw_sql("SELECT count(*) FROM duckdb_tables()").fetchone()[0])

    names = ("transactions", "accounts", "liabilities", "users")
    of_day(*(given[name] for name in names), AS_OF, part_rows=ROWS, progress=count)
    assert [after - before for before, after in itertools.pairwise(counted)] == [2] * (len(counted) - 1)


def test_no_customers_are_one_empty_part() -> None:
    con = warehouse.connect()
    tables = {name: con.create_table(name, table).limit(0) for name, table in customers().tables().items()}
    found = of_day(*(tables[name] for name in ("transactions", "accounts", "liabilities", "users")), AS_OF)
    assert rows(found.signals) == []
    assert rows(found.streams) == []
