"""A table by months: a merge rewrites those that it changes, and everybody reads one whole state of it."""

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import ibis
import pandas as pd
import pyarrow as pa
import pytest

from spendsense_pipeline import months, row_groups, warehouse
from spendsense_pipeline.defs.io import Noted, ParquetWarehouse
from spendsense_pipeline.ranges import Range

Row = tuple[str, str, str]
SCHEMA = pa.schema({"user_id": row_groups.TEXTS, "date": pa.date32(), "transaction_id": pa.string()})
FIRST = [
    ("mia", "2026-03-31", "t1"),
    ("noah", "2026-04-01", "t2"),
    ("mia", "2026-04-30", "t3"),
    ("mia", "2026-05-02", "t4"),
]
SECOND = [
    ("mia", "2026-03-31", "t1"),
    ("mia", "2026-04-30", "t3"),
    ("mia", "2026-05-02", "t4"),
    ("noah", "2026-05-02", "t2"),
]


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a few rows are not by themselves."""
    monkeypatch.setattr(warehouse, "BY_MONTH_FROM", 0)


def table(rows: list[Row]) -> ibis.Table:
    columns = {name: pa.array([row[n] for row in rows], pa.string()) for n, name in enumerate(SCHEMA.names)}
    columns["date"] = columns["date"].cast(pa.date32())
    return warehouse.connect().create_table("rows", pa.table(columns), temp=True)


def store(root: str, rows: list[Row], changed: set[str] | None = None, note: str = "", keep_days: int = 0) -> None:
    context = dg.build_output_context(asset_key=dg.AssetKey("transactions"), run_id="run", name="result")
    stored = Noted(table(rows), note, changed)
    ParquetWarehouse(root=root, keep_days=keep_days).handle_output(context, stored)


def read(root: str) -> list[Row]:
    rows = warehouse.read(warehouse.connect(), root, "transactions").select(*SCHEMA.names).to_pyarrow().to_pylist()
    assert rows == warehouse.load(root, "transactions").to_pylist(), "with the engine or without"
    return [(row["user_id"], str(row["date"]), row["transaction_id"]) for row in rows]


def by_month(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row[1][:7], *row))


def parts(folder: Path) -> dict[str, str]:
    return {path.name[:7]: path.name for path in folder.glob("*.parquet")}


@pytest.mark.parametrize("root", ["here", "memory://by-month"])
def test_a_merge_leaves_the_months_alone_that_it_does_not_change(root: str, tmp_path: Path) -> None:
    place = str(tmp_path) if root == "here" else root
    store(place, FIRST, note="one")
    assert read(place) == by_month(FIRST)
    found = warehouse.files(place, "transactions").files
    assert [path.rsplit("/", 1)[-1][:7] for path in found] == ["2026-03", "2026-04", "2026-05"]
    store(place, SECOND, {"2026-04", "2026-05"}, note="two")
    assert read(place) == by_month(SECOND)
    assert warehouse.note(place, "transactions") == "two"
    assert warehouse.files(place, "transactions").files[0] == found[0]
    assert [
        row["date"].day for row in warehouse.rows_of_customer(place, "transactions", "noah", ["date"]).to_pylist()
    ] == [2]
    store(place, FIRST[:1], {"2026-04", "2026-05"})
    assert read(place) == FIRST[:1]
    store(place, [], None)
    assert read(place) == []
    store(place, FIRST, None)
    assert read(place) == by_month(FIRST)


def test_what_changed_is_all_that_is_looked_at(tmp_path: Path) -> None:
    store(str(tmp_path), FIRST)
    store(str(tmp_path), SECOND[:1], {"2026-05"})
    assert read(str(tmp_path)) == by_month(FIRST[:3])


def test_a_program_that_knows_no_manifest_reads_the_current_rows_alone(tmp_path: Path) -> None:
    store(str(tmp_path), FIRST)
    store(str(tmp_path), SECOND, {"2026-04", "2026-05"}, keep_days=365)
    frame = pd.read_parquet(tmp_path / "transactions.parquet")
    assert sorted(frame["transaction_id"]) == ["t1", "t2", "t3", "t4"]
    assert len(list((tmp_path / "transactions" / "former").glob("*.parquet"))) == 2


def test_who_began_to_read_before_a_merge_reads_on_in_the_rows_that_were_there(tmp_path: Path) -> None:
    store(str(tmp_path), FIRST)
    asked: dict[str, Any] = {"scratch": tmp_path / "scratch", "memory": None}
    began = warehouse.stored_by_customer(str(tmp_path), "transactions", SCHEMA, str(tmp_path / "copy"), 9, **asked)
    assert not (tmp_path / "copy").exists(), "months can be cut between customers as they lie"
    store(str(tmp_path), SECOND, {"2026-04", "2026-05"})
    dates = [row["date"].isoformat() for row in row_groups.rows_of(began, Range("noah", None)).to_pylist()]
    assert dates == ["2026-04-01"]


def test_a_former_state_is_read_again_by_its_manifest_for_as_long_as_it_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "transactions.parquet"
    store(str(tmp_path), FIRST, keep_days=90)
    read_then = (folder / months.MANIFEST).read_bytes()
    store(str(tmp_path), SECOND, {"2026-04", "2026-05"}, keep_days=90)
    store(str(tmp_path), FIRST[:1], None, keep_days=90)
    former = {path.read_bytes(): path for path in (tmp_path / "transactions" / "former").glob("*.json")}
    assert former[read_then].stem == months.Manifest(**json.loads(read_then)).id
    shutil.copy(former[read_then], folder / months.MANIFEST)
    assert read(str(tmp_path)) == by_month(FIRST)
    store(str(tmp_path), SECOND, None, keep_days=0)
    assert [path.read_bytes() for path in (tmp_path / "transactions" / "former").glob("*.json")] == [read_then], (
        "what has just been replaced may still be read"
    )


def test_what_a_killed_merge_left_goes_with_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "transactions.parquet"
    store(str(tmp_path), FIRST)
    manifest = (folder / months.MANIFEST).read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(months, "_set_aside", killed)
        with pytest.raises(KeyboardInterrupt):
            store(str(tmp_path), SECOND, {"2026-04", "2026-05"})
    assert read(str(tmp_path)) == by_month(SECOND), "the manifest was in its place"
    (folder / months.MANIFEST).write_bytes(manifest)
    (folder / "2026-05.1.parquet.tmp").write_bytes(b"half")
    assert read(str(tmp_path)) == by_month(FIRST), "it was not: the parts of before are all there"
    store(str(tmp_path), SECOND, {"2026-04", "2026-05"})
    assert read(str(tmp_path)) == by_month(SECOND)
    assert set(parts(folder).values()) == {
        Path(one).name for one in warehouse.files(str(tmp_path), "transactions").files
    }


def test_a_table_that_has_grown_large_becomes_one_by_months(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as small:
        small.setattr(warehouse, "BY_MONTH_FROM", 5)
        store(str(tmp_path), FIRST, note="one")
        assert (tmp_path / "transactions.parquet").is_file()
        assert warehouse.note(str(tmp_path), "transactions") == "one"
    store(str(tmp_path), SECOND, {"2026-04", "2026-05"}, note="two")
    assert set(parts(tmp_path / "transactions.parquet")) == {"2026-03", "2026-04", "2026-05"}
    assert read(str(tmp_path)) == by_month(SECOND)
    assert [path.name for path in tmp_path.glob("*tmp*")] == []
    monkeypatch.setattr(warehouse, "BY_MONTH_FROM", 5)
    store(str(tmp_path), FIRST, {"2026-04", "2026-05"})
    assert read(str(tmp_path)) == by_month(FIRST), "and stays one"


def test_a_merge_that_fails_leaves_the_rows_as_they_were(tmp_path: Path) -> None:
    store(str(tmp_path), FIRST)
    broken = table(SECOND).mutate(more=lambda rows: rows.transaction_id.cast("int64"))
    context = dg.build_output_context(asset_key=dg.AssetKey("transactions"), run_id="run", name="result")
    with pytest.raises(Exception, match="Could not convert"):
        ParquetWarehouse(root=str(tmp_path)).handle_output(context, Noted(broken, "", {"2026-04", "2026-05"}))
    assert read(str(tmp_path)) == by_month(FIRST)


def test_the_days_of_a_month() -> None:
    assert months.bounds("2026-12") == (dt.date(2026, 12, 1), dt.date(2027, 1, 1))
    assert months.bounds("2028-02") == (dt.date(2028, 2, 1), dt.date(2028, 3, 1))
