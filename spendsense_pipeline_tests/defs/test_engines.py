"""DuckDB and Spark fill the features of a day with the same tables: every row, every column, floats to 1e-9."""

import datetime as dt
import math
import os
import shutil
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from spendsense_pipeline import synthetic, warehouse
from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.ingest import canonical, landing
from spendsense_pipeline.settings import Settings

DAY = dt.date(2026, 6, 30)
TABLES = {
    "recurring_streams": ["stream_id"],
    "features_30d": ["user_id"],
    "features_180d": ["user_id"],
}
# Folders of landed batches with a day each, e.g. REAL_BATCHES="/data/berka@1998-06-30 /data/plaid@2025-12-31".
REAL = [tuple(one.rsplit("@", 1)) for one in os.environ.get("REAL_BATCHES", "").split()]


@pytest.fixture(scope="module", autouse=True)
def session():
    """Spark, set up for tables this small: what it would compile takes longer than it runs."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("SPARK IS NOT PROVEN HERE: there is no Java (17 or later), so the two engines were not compared")
    from spendsense_pipeline import spark

    small = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    engine = spark.connect("local[2]", **small)
    yield
    engine.disconnect()


def land(folder: Path, users: int) -> None:
    """Generated customers, half of them of the hard kind, as one batch."""
    kinds = [synthetic.generate(users // 2, as_of=DAY, days=200, hard=hard).tables for hard in (False, True)]
    folder.mkdir()
    for name in kinds[0]:
        normal, hard = (made[name].copy() for made in kinds)
        for key in [column for column in hard.columns if column.endswith("_id") and column != "merchant_entity_id"]:
            hard[key] = "hard_" + hard[key]
        pd.concat([normal, hard]).to_parquet(folder / f"{name}.parquet")


def accept(folder: Path, root: Path) -> None:
    """The canonical tables of one batch, as a warehouse."""
    con = warehouse.connect()
    told = {"batch_id": "b", "arrival": 1, "arrived_on": dt.date(2027, 1, 1), "surveyed": landing.survey(con, folder)}
    raw = {
        name: landing.read_raw(con, folder, name, **told).cache()
        for name in ("users", "accounts", "transactions", "liabilities")
    }
    root.mkdir(parents=True)
    for name, judged in canonical.judge(raw).items():
        warehouse.write(canonical.accepted(judged), name, root / f"{name}.parquet")


def computed(data: Path, engine: str, day: dt.date) -> dict[str, pd.DataFrame]:
    """The features of a day as the graph stores them, contracts checked, on the engine named."""
    settings = Settings(data=data, engine=engine, spark_master="local[2]", first_date=day)
    with dg.DagsterInstance.ephemeral() as instance:
        build_defs(settings).resolve_job_def("daily_refresh").execute_in_process(
            asset_selection=[dg.AssetKey(name) for name in TABLES], partition_key=day.isoformat(), instance=instance
        )
    return {
        name: warehouse.load(settings.warehouse_root, name, [day.isoformat()]).to_pandas().set_index(key).sort_index()
        for name, key in TABLES.items()
    }


def differences(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, list[object]]:
    """Columns whose values differ, with the first three rows and both values."""
    found: dict[str, list[object]] = {}
    for column in one.columns:
        pairs = zip(one.index, one[column], other[column], strict=True)
        apart = [(key, a, b) for key, a, b in pairs if not _same(a, b)]
        if apart:
            found[column] = apart[:3]
    return found


def _same(one: object, other: object) -> bool:
    if pd.isna(one) or pd.isna(other):
        return bool(pd.isna(one) and pd.isna(other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other


def compare(batch: Path, day: dt.date, tmp_path: Path) -> dict[str, pd.DataFrame]:
    """Both engines on one batch; what DuckDB found, after it was found to be what Spark found."""
    accept(batch, tmp_path / "duckdb" / "warehouse")
    shutil.copytree(tmp_path / "duckdb", tmp_path / "spark")
    found = {engine: computed(tmp_path / engine, engine, day) for engine in ("duckdb", "spark")}
    for name in TABLES:
        one, other = found["duckdb"][name], found["spark"][name]
        assert list(one.columns) == list(other.columns)
        assert one.dtypes.tolist() == other.dtypes.tolist()
        assert one.index.tolist() == other.index.tolist(), name
        assert differences(one, other) == {}, name
    assert not list((tmp_path / "spark" / "warehouse").glob("*.parts*"))
    return found["duckdb"]


@pytest.mark.parametrize("users", [60, pytest.param(300, marks=pytest.mark.verify)])
def test_both_engines_fill_the_same_tables(users: int, tmp_path: Path) -> None:
    land(tmp_path / "batch", users)
    found = compare(tmp_path / "batch", DAY, tmp_path)
    assert set(found["recurring_streams"]["kind"]) == {"subscription", "bill", "income"}
    assert len(found["features_30d"]) == users - 2 * max(1, (users // 2 * 5 + 50) // 100)
    assert found["features_30d"].notna().any().all(), "a column that is never known was not compared"


@pytest.mark.verify
def test_letters_are_lowered_and_raised_alike(tmp_path: Path) -> None:
    """Of every script; but for the few that were given their other case after the engines' tables were made."""
    from spendsense_pipeline import spark

    letters = [chr(code) for code in range(0x20, 0x2_0000) if not 0xD800 <= code < 0xE000]
    pd.DataFrame({"letter": letters}).to_parquet(tmp_path / "letters.parquet")
    found = []
    for engine in (warehouse.connect(), spark.connect("local[2]")):
        t = engine.read_parquet(str(tmp_path / "letters.parquet"))
        word = "A" + t.letter
        told = t.select("letter", low=word.lower(), high=word.upper(), first=(t.letter + "B").capitalize())
        found.append(told.to_pyarrow().to_pandas().set_index("letter").sort_index())
    apart = found[0][(found[0] != found[1]).any(axis=1)].index.tolist()
    assert "ß" not in apart
    assert len(apart) < 60
    assert all(ord(letter) in (0x264, 0x19B) or ord(letter) >= 0x1C89 for letter in apart), apart


@pytest.mark.verify
@pytest.mark.parametrize(("folder", "day"), REAL or [("", "")])
def test_both_engines_fill_the_same_tables_of_real_batches(folder: str, day: str, tmp_path: Path) -> None:
    if not folder:
        pytest.skip("no real batch was named: REAL_BATCHES='folder@day folder@day'")
    found = compare(Path(folder), dt.date.fromisoformat(day), tmp_path)
    assert len(found["features_30d"])
