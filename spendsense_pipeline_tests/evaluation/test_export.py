"""The export: who is in it, what is not, and that a reader never sees half of it."""

import datetime as dt
import hashlib
import itertools
import json
import pathlib
import shutil
from typing import Any

import fsspec
import pandas as pd
import pyarrow.parquet as pq
import pytest

from spendsense_pipeline.evaluation import export
from spendsense_pipeline.evaluation.export import EXPORTED, ExportRefused, analytics_export
from spendsense_pipeline.evaluation.metrics import evaluation_metrics
from spendsense_pipeline_tests.evaluation.conftest import DAY
from spendsense_pipeline_tests.test_simulation import Death, Mishap, listening

HEAD = {"count": 7, "hash": "ab" * 32}
CONSENTING = ["a", "b", "c"]


@pytest.fixture
def tables(day: dict[str, Any]) -> dict[str, pd.DataFrame]:
    return {
        "features_30d": day["features_30d"],
        "features_180d": day["features_180d"],
        "persona_assignments_30d": day["personas_30d"],
        "persona_assignments_180d": day["personas_180d"],
        "draft_recommendations": day["drafts"],
        "evaluation_metrics": evaluation_metrics(**day),
        "users": pd.DataFrame({"user_id": ["a"], "full_name": ["Ada Private"], "as_of": [DAY]}),
    }


def test_customers_without_consent_are_in_no_table(tables: dict[str, pd.DataFrame], tmp_path: pathlib.Path):
    manifest = analytics_export(tables, str(tmp_path), DAY, CONSENTING, HEAD)
    for name in EXPORTED:
        rows = pq.read_table(tmp_path / str(DAY) / f"{name}.parquet").to_pandas()
        assert manifest["tables"][name]["rows"] == len(rows)
        if "user_id" in rows:
            assert set(rows["user_id"]) <= set(CONSENTING)
    assert manifest["customers"] == 3
    assert manifest["tables"]["features_30d"]["rows"] == 3


def test_neither_texts_nor_their_figures_nor_names_leave(tables: dict[str, pd.DataFrame], tmp_path: pathlib.Path):
    analytics_export(tables, str(tmp_path), DAY, CONSENTING, HEAD)
    drafts = pq.read_table(tmp_path / str(DAY) / "draft_recommendations.parquet")
    assert not {"title", "content", "rationale", "slots"} & set(drafts.column_names)
    assert sorted(path.name for path in (tmp_path / str(DAY)).iterdir()) == sorted(
        [*(f"{name}.parquet" for name in EXPORTED), "manifest.json"]
    )
    assert b"Private" not in b"".join(path.read_bytes() for path in (tmp_path / str(DAY)).iterdir())


def test_a_column_that_no_contract_knows_stays_here(tables: dict[str, pd.DataFrame], tmp_path: pathlib.Path):
    tables["features_30d"] = tables["features_30d"].assign(full_name="Ada Private")
    analytics_export(tables, str(tmp_path), DAY, CONSENTING, HEAD)
    assert "full_name" not in pq.read_table(tmp_path / str(DAY) / "features_30d.parquet").column_names


def test_the_manifest_is_true_and_the_same_tables_give_the_same_files(
    tables: dict[str, pd.DataFrame], tmp_path: pathlib.Path
):
    first = analytics_export(tables, str(tmp_path / "one"), DAY, CONSENTING, HEAD)
    shuffled = {name: table.sample(frac=1, random_state=3) for name, table in tables.items()}
    assert analytics_export(shuffled, str(tmp_path / "two"), DAY, reversed(CONSENTING), HEAD) == first
    stored = json.loads((tmp_path / "one" / str(DAY) / "manifest.json").read_text())
    assert stored == first
    assert (stored["as_of"], stored["audit_head"], stored["schema_version"]) == (str(DAY), HEAD, "2")
    for table in stored["tables"].values():
        content = (tmp_path / "one" / str(DAY) / table["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == table["sha256"]


def test_stored_tables_are_read_from_their_path_and_a_revocation_shrinks_the_next_export(
    tables: dict[str, pd.DataFrame], tmp_path: pathlib.Path
):
    path = tmp_path / "features.parquet"
    tables["features_30d"].to_parquet(path)
    stored = tables | {"features_30d": str(path)}
    analytics_export(stored, str(tmp_path / "out"), DAY, CONSENTING, HEAD)
    manifest = analytics_export(stored, str(tmp_path / "out"), DAY, ["a"], HEAD)
    assert manifest["customers"] == 1
    assert list(pq.read_table(tmp_path / "out" / str(DAY) / "features_30d.parquet").to_pandas()["user_id"]) == ["a"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [str(DAY)]


def test_an_export_that_fails_leaves_the_earlier_one_whole(
    tables: dict[str, pd.DataFrame], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    analytics_export(tables, str(tmp_path), DAY, CONSENTING, HEAD)
    before = {path.name: path.read_bytes() for path in (tmp_path / str(DAY)).iterdir()}
    with pytest.raises(ExportRefused, match="features_180d"):
        analytics_export({**tables, "features_180d": tables["features_180d"].assign(as_of=dt.date(2026, 3, 1))},
                         str(tmp_path), DAY, ["a"], HEAD)  # fmt: skip
    with pytest.raises(ExportRefused, match="evaluation_metrics"):
        analytics_export(
            {n: t for n, t in tables.items() if n != "evaluation_metrics"}, str(tmp_path), DAY, ["a"], HEAD
        )

    def dies(*_: object) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr(export, "_parquet_bytes", dies)
    with pytest.raises(OSError, match="disk full"):
        analytics_export(tables, str(tmp_path), DAY, ["a"], HEAD)
    assert {path.name: path.read_bytes() for path in (tmp_path / str(DAY)).iterdir()} == before


def test_a_run_that_died_between_the_renames_is_put_right(tables: dict[str, pd.DataFrame], tmp_path: pathlib.Path):
    analytics_export(tables, str(tmp_path), DAY, CONSENTING, HEAD)
    (tmp_path / str(DAY)).rename(tmp_path / f"{DAY}.before")
    (tmp_path / f"{DAY}.partial").mkdir()
    analytics_export(tables, str(tmp_path), DAY, CONSENTING, HEAD)
    assert [path.name for path in tmp_path.iterdir()] == [str(DAY)]


@pytest.mark.parametrize("kind", ["death", "full disk"])
def test_a_run_that_ends_at_any_write_leaves_the_old_export_or_the_new_and_the_next_one_succeeds(
    tables: dict[str, pd.DataFrame], tmp_path: pathlib.Path, kind: str
):
    def content(folder: pathlib.Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    listening()
    analytics_export(tables, str(tmp_path / "new"), DAY, ["a"], HEAD)
    analytics_export(tables, str(tmp_path / "old"), DAY, CONSENTING, HEAD)
    new, old = content(tmp_path / "new" / str(DAY)), content(tmp_path / "old" / str(DAY))
    for writes in itertools.count():
        shutil.copytree(tmp_path / "old", tmp_path / f"{writes}")
        folder = tmp_path / f"{writes}" / str(DAY)
        Mishap.now = mishap = Mishap(kind, writes, folder.parent)
        try:
            analytics_export(tables, str(folder.parent), DAY, ["a"], HEAD)
        except (Death, OSError):
            assert mishap.happened
        finally:
            Mishap.now = None
        if folder.exists():  # or it ended between two renames
            assert content(folder) in (old, new)
        if not mishap.happened:
            break
        analytics_export(tables, str(folder.parent), DAY, ["a"], HEAD)
        assert content(folder) == new
        assert [path.name for path in folder.parent.iterdir()] == [str(DAY)]
    assert writes > 8


def test_on_an_object_store_the_manifest_is_written_last(
    tables: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
):
    store = fsspec.filesystem("memory")
    store.rm("/export", recursive=True) if store.exists("/export") else None
    analytics_export(tables, "memory://export", DAY, CONSENTING, HEAD)
    written: list[str] = []
    put = type(store).pipe_file

    def listening(self: Any, path: str, value: bytes, **options: Any) -> None:
        assert not store.exists(f"/export/{DAY}/manifest.json")
        written.append(path.rsplit("/", 1)[-1])
        put(self, path, value, **options)

    monkeypatch.setattr(type(store), "pipe_file", listening)
    analytics_export(tables, "memory://export", DAY, ["a"], HEAD)
    assert written[-1] == "manifest.json"
    assert json.loads(store.cat(f"/export/{DAY}/manifest.json"))["customers"] == 1


def test_a_day_without_customers_exports_typed_empty_tables(tables: dict[str, pd.DataFrame], tmp_path: pathlib.Path):
    analytics_export(tables, str(tmp_path), DAY, [], HEAD)
    schema = pq.read_schema(tmp_path / str(DAY) / "draft_recommendations.parquet")
    assert str(schema.field("user_id").type) in ("string", "large_string")
    assert str(schema.field("as_of").type).startswith("date32")
