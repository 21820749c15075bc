"""The IO manager alone: whole files or none, the partitions that exist, the type the reader asks for."""

import datetime as dt
from pathlib import Path

import dagster as dg
import ibis
import pandas as pd
import pyarrow.parquet as pq
import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs.io import ParquetWarehouse
from spendsense_pipeline_tests.contracts.test_contracts import persona_row

DAILY = dg.DailyPartitionsDefinition("2026-01-01")


def written(io: ParquetWarehouse, asset: str, obj: object, partition: str | None = None) -> dg.OutputContext:
    context = dg.build_output_context(
        asset_key=dg.AssetKey(asset),
        partition_key=partition,
        asset_partitions_def=DAILY if partition else None,
        run_id="run",
        name="result",
    )
    io.handle_output(context, obj)  # type: ignore[arg-type]  # the wrong type is what one test gives it
    return context


def loaded(io: ParquetWarehouse, asset: str, kind: type, partitions: list[str] | None = None) -> object:
    context = dg.build_input_context(
        asset_key=dg.AssetKey(asset),
        dagster_type=dg.DagsterType(lambda _, __: True, name="Any", typing_type=kind),
        asset_partitions_def=DAILY if partitions else None,
        asset_partition_key_range=dg.PartitionKeyRange(partitions[0], partitions[-1]) if partitions else None,
        instance=dg.DagsterInstance.ephemeral(),
    )
    return io.load_input(context)


def table(days: list[dt.date]) -> ibis.Table:
    return ibis.memtable(pd.DataFrame({"day": days, "n": range(len(days))}))


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    io = ParquetWarehouse(root=str(tmp_path))
    written(io, "products", table([dt.date(2026, 1, 1), dt.date(2026, 1, 2)]))
    assert (tmp_path / "products.parquet").is_file()
    back = loaded(io, "products", ibis.Table)
    assert isinstance(back, ibis.Table)
    assert back.count().to_pyarrow().as_py() == 2


def test_a_reader_annotated_as_frame_gets_nullable_types(tmp_path: Path) -> None:
    io = ParquetWarehouse(root=str(tmp_path))
    written(io, "persona_assignments_30d", persona_row(priority=None, is_fallback=pd.NA), "2026-01-05")
    back = loaded(io, "persona_assignments_30d", pd.DataFrame, ["2026-01-05"])
    assert isinstance(back, pd.DataFrame)
    assert str(back["window_days"].dtype) == "Int64"
    assert str(back["is_fallback"].dtype) == "boolean"
    assert back["as_of"].tolist() == [dt.date(2026, 6, 30)]
    assert back["priority"].isna().all()


def test_an_empty_frame_keeps_its_types(tmp_path: Path) -> None:
    io = ParquetWarehouse(root=str(tmp_path))
    written(io, "persona_assignments_30d", persona_row().head(0), "2026-01-05")
    stored = warehouse.read(warehouse.connect(), str(tmp_path), "persona_assignments_30d", ["2026-01-05"])
    assert str(stored.schema()["as_of"]) == "date"
    assert str(stored.schema()["is_fallback"]) == "boolean"


def test_reading_many_partitions_takes_those_that_exist(tmp_path: Path) -> None:
    io = ParquetWarehouse(root=str(tmp_path))
    for day in ("2026-01-02", "2026-01-04"):
        written(io, "features_30d", table([dt.date.fromisoformat(day)]), day)
    back = loaded(io, "features_30d", ibis.Table, ["2026-01-01", "2026-01-09"])
    assert isinstance(back, ibis.Table)
    assert back.count().to_pyarrow().as_py() == 2


def test_a_failing_write_leaves_the_former_table_and_no_temporary(tmp_path: Path) -> None:
    io = ParquetWarehouse(root=str(tmp_path))
    written(io, "products", table([dt.date(2026, 1, 1)]))
    broken = table([dt.date(2026, 1, 1)]).mutate(n=lambda t: t.day.cast("string").cast("int64"))
    with pytest.raises(Exception, match="Could not convert"):
        written(io, "products", broken)
    assert [path.name for path in tmp_path.iterdir()] == ["products.parquet"]
    back = loaded(io, "products", ibis.Table)
    assert isinstance(back, ibis.Table)
    assert back.count().to_pyarrow().as_py() == 1


def test_a_table_that_was_never_stored_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(warehouse.NotMaterialized, match="transactions is not stored"):
        loaded(ParquetWarehouse(root=str(tmp_path)), "transactions", ibis.Table)


def preview(context: dg.OutputContext) -> list[dict[str, object]]:
    table = context.consume_logged_metadata()["preview"]
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(row.data) for row in table.records]


def test_a_table_about_people_is_previewed_by_its_columns_and_never_by_a_row(tmp_path: Path) -> None:
    rows = warehouse.connect().sql(
        "SELECT * FROM (VALUES ('u1', 'a1', DATE '2026-01-05', -32.12, 'Clinic'), "
        "('u2', 'a2', DATE '2026-01-09', 7.5, NULL)) AS t (user_id, account_id, date, amount, merchant_name)"
    )
    shown = preview(written(ParquetWarehouse(root=str(tmp_path)), "accounts", rows))
    assert shown == [
        {"column": "user_id", "known": 2, "lowest": "", "highest": ""},
        {"column": "account_id", "known": 2, "lowest": "", "highest": ""},
        {"column": "date", "known": 2, "lowest": "2026-01-05", "highest": "2026-01-09"},
        {"column": "amount", "known": 2, "lowest": "", "highest": ""},
        {"column": "merchant_name", "known": 1, "lowest": "", "highest": ""},
    ]


def test_a_table_about_nobody_is_previewed_by_its_first_rows(tmp_path: Path) -> None:
    products = warehouse.connect().sql("SELECT 'p1' AS product_id, 'Harbor Card' AS product_name")
    shown = preview(written(ParquetWarehouse(root=str(tmp_path)), "products", products))
    assert shown == [{"product_id": "p1", "product_name": "Harbor Card"}]


def test_a_long_text_does_not_push_the_other_columns_out_of_the_preview(tmp_path: Path) -> None:
    products = warehouse.connect().sql(f"SELECT 'p1' AS product_id, '{'word ' * 50}' AS disclosure")
    ((_, shown),) = [
        row.values() for row in preview(written(ParquetWarehouse(root=str(tmp_path)), "products", products))
    ]
    assert isinstance(shown, str)
    assert (len(shown), shown[-1]) == (61, "…")


def test_a_warehouse_on_another_store_works_through_the_same_path() -> None:
    root = "memory://spendsense-warehouse"
    io = ParquetWarehouse(root=root)
    written(io, "features_30d", table([dt.date(2026, 1, 2)]), "2026-01-02")
    assert warehouse.partitions(root, "features_30d") == ["2026-01-02"]
    back = loaded(io, "features_30d", ibis.Table, ["2026-01-02"])
    assert isinstance(back, ibis.Table)
    assert back.count().to_pyarrow().as_py() == 1


def test_one_customers_rows_lie_in_a_twentieth_of_the_row_groups_at_most(tmp_path: Path) -> None:
    """So a profile on the spot reads little of a large table, whatever order the rows arrived in."""
    rows = warehouse.connect().sql(
        """
        SELECT format('cus_{:06d}', n % 2000) AS user_id, DATE '2026-01-01' + CAST(n // 2000 AS INTEGER) AS date,
               'txn_' || n AS transaction_id, -1.5 AS amount
        FROM range(400000) AS t (n) ORDER BY hash(n)
        """
    )
    written(ParquetWarehouse(root=str(tmp_path)), "transactions", rows)
    stored = pq.ParquetFile(tmp_path / "transactions.parquet").metadata
    assert stored.num_rows == 400_000
    position = [stored.schema.column(n).name for n in range(stored.num_columns)].index("user_id")
    bounds = [stored.row_group(n).column(position).statistics for n in range(stored.num_row_groups)]
    for customer in ("cus_000000", "cus_000777", "cus_001999"):
        opened = sum(one.min <= customer <= one.max for one in bounds)
        assert 1 <= opened <= 0.05 * len(bounds), f"{opened} of {len(bounds)} groups"


@pytest.mark.parametrize("at_once", [1, 7_000, 10**9])
def test_a_table_sorted_a_part_at_a_time_is_the_one_sorted_at_once(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warehouse, "SORTED_AT_ONCE", at_once)
    engine = warehouse.connect(in_order=False)
    rows = engine.sql(
        """
        SELECT CASE WHEN n % 13 > 0 THEN format('cus_{}', n % 12) END AS user_id,
               DATE '2026-01-01' + CAST(n % 40 AS INTEGER) AS date, 'txn_' || n AS transaction_id
        FROM range(20000) AS t (n) ORDER BY hash(n)
        """
    )
    warehouse.write(rows, "transactions", tmp_path / "transactions.parquet", tmp_path / "scratch")
    stored = pq.read_table(tmp_path / "transactions.parquet").to_pylist()
    assert stored == sorted(
        rows.to_pyarrow().to_pylist(), key=lambda row: (row["user_id"] is None, *(str(value) for value in row.values()))
    )
    assert list((tmp_path / "scratch").glob("*")) == []
    (setting,) = engine.sql("SELECT current_setting('preserve_insertion_order') AS kept").to_pyarrow().to_pylist()
    assert setting == {"kept": False}


def test_a_folder_of_parts_is_a_table_like_any_other(tmp_path: Path) -> None:
    folder = tmp_path / "transactions.parquet"
    folder.mkdir()
    for part, day in enumerate((dt.date(2026, 1, 1), dt.date(2026, 1, 2))):
        table([day]).to_parquet(folder / f"part-{part:05d}.parquet")
    back = loaded(ParquetWarehouse(root=str(tmp_path)), "transactions", ibis.Table)
    assert isinstance(back, ibis.Table)
    assert sorted(back.day.to_pyarrow().to_pylist()) == [dt.date(2026, 1, 1), dt.date(2026, 1, 2)]
    assert warehouse.load(str(tmp_path), "transactions").num_rows == 2
