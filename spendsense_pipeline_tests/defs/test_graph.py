"""The graph as a whole: what it is, that it loads without touching anything, that a day is a function of its inputs."""

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from spendsense_pipeline import dictionary, warehouse
from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.governance import queue, release
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.why import why
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.settings import PROJECT_ROOT, Settings
from spendsense_pipeline_tests.conftest import DAY, NOON, USERS, Pipeline
from spendsense_pipeline_tests.governance import verdicts

SNAPSHOT = Path(__file__).with_name("graph.json")


def described() -> dict[str, object]:
    definitions = build_defs(Settings())
    graph = definitions.resolve_asset_graph()
    assets = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        assets[key.to_user_string()] = {
            "group": node.group_name,
            "partitions": type(node.partitions_def).__name__ if node.partitions_def else None,
            "after": sorted(parent.to_user_string() for parent in node.parent_keys),
            "checks": sorted(check.name for check in graph.get_check_keys_for_assets({key})),
        }
    return {
        "assets": assets,
        "jobs": sorted(job.name for job in definitions.jobs or []),
        "sensors": sorted(sensor.name for sensor in definitions.sensors or []),
        "schedules": sorted(schedule.name for schedule in definitions.schedules or []),
    }


def test_the_graph_is_the_one_that_was_reviewed() -> None:
    """A change of the graph shows as a change of graph.json; `UPDATE_SNAPSHOT=1 pytest -k reviewed` writes it."""
    found = described()
    if os.environ.get("UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(SNAPSHOT.read_text())


def test_one_unbroken_path_runs_from_transactions_to_releases() -> None:
    graph = build_defs(Settings()).resolve_asset_graph()
    upstream = graph.get_ancestor_asset_keys(dg.AssetKey("released_recommendations"))
    for asset in ("raw_transactions", "transactions", "recurring_streams", "features_30d", "persona_assignments_180d"):
        assert dg.AssetKey(asset) in upstream
    assert dg.AssetKey("evaluation_metrics") not in upstream


def test_every_asset_is_described_owned_and_grouped() -> None:
    graph = build_defs(Settings()).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert len(node.description) > 40, key
        assert node.owners, key
        assert node.group_name != "default", key
        assert node.kinds, key
        assert "dagster/code_references" in node.metadata, key
        assert ("dagster/column_schema" in node.metadata) == (key.path[-1] not in FILES), key


FILES = {"operator_report", "analytics_export"}


@pytest.mark.parametrize("ingest", [True, False])
def test_every_asset_says_whether_it_is_about_people(ingest: bool) -> None:
    """What an erasure has to reach is found in the catalogue by a tag."""
    graph = build_defs(Settings(), ingest=ingest).resolve_asset_graph()
    told = {key.path[-1]: graph.get(key).tags["personal_data"] for key in graph.get_all_asset_keys()}
    columns = {asset: {column["name"] for column in dictionary.described(asset)} for asset in told}
    for asset, said in told.items():
        if {"full_name", "email"} & columns[asset]:
            assert said == "names", asset
        elif "user_id" in columns[asset]:
            assert said == "by-id", asset
    assert {asset for asset, said in told.items() if said == "names"} <= {"raw_users", "users"}


def test_the_code_location_loads_in_a_fresh_process_without_environment_or_side_effect(tmp_path: Path) -> None:
    before = _written()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    loaded = subprocess.run(
        [sys.executable, "-c", "from spendsense_pipeline.definitions import defs; print(len(list(defs.assets)))"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert int(loaded.stdout) > 0
    assert list(tmp_path.iterdir()) == []
    assert _written() == before


def _written() -> dict[Path, int]:
    """When each file of the project was written; caches and hidden folders are what tests beside this one write."""
    found = {}
    for folder, folders, files in os.walk(PROJECT_ROOT):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        paths = [Path(folder, name) for name in files if not name.startswith((".", "__pycache__"))]
        found |= {path: path.stat().st_mtime_ns for path in paths}
    return found


def test_a_run_leads_from_a_batch_to_a_queue(refreshed: Pipeline) -> None:
    with reading(refreshed.engine) as session:
        counts = queue.counts(session, NOON)["recommendations"]
    assert counts["pending_approval"] > 0
    root = refreshed.settings.warehouse_root
    backend = warehouse.connect()
    drafted = warehouse.read(backend, root, "draft_recommendations", [DAY.isoformat()])
    assert counts["pending_approval"] == drafted.count().to_pyarrow().as_py()
    people = warehouse.read(backend, root, "users").count().to_pyarrow().as_py()
    assert people == USERS
    assert (refreshed.settings.reports / f"{DAY}.html").is_file()
    assert (refreshed.settings.data / "exports" / DAY.isoformat() / "manifest.json").is_file()


def test_everything_a_run_writes_lies_under_the_data_folder(refreshed: Pipeline) -> None:
    around = {path.name for path in refreshed.settings.data.parent.iterdir()}
    assert around == {"data", "made"}


def test_drafts_are_made_for_consenting_customers_only(refreshed: Pipeline) -> None:
    backend, root = warehouse.connect(), refreshed.settings.warehouse_root
    drafted = warehouse.read(backend, root, "draft_recommendations", [DAY.isoformat()])
    asked = set(drafted.user_id.to_pyarrow().to_pylist())
    users = warehouse.read(backend, root, "users")
    agreed = set(users.filter(users.consent_status).user_id.to_pyarrow().to_pylist())
    assert asked
    assert asked <= agreed


def test_the_same_day_again_changes_nothing(copy: Pipeline) -> None:
    before = _tables(copy)
    again = copy.refresh()
    assert {
        name: again.metadata["approval_queue"][name]
        for name in ("registered", "replaced", "suppressed", "refused", "withdrawn")
    } == dict.fromkeys(("registered", "replaced", "suppressed", "refused", "withdrawn"), 0)
    assert _tables(copy) == before


def test_the_same_batch_again_changes_nothing(copy: Pipeline) -> None:
    before = _tables(copy)
    copy.ingest()
    assert _tables(copy) == before


def test_the_next_day_knows_what_was_decided_and_run_again_is_the_same_day(
    copy: Pipeline, spendsense: Callable[..., Any]
) -> None:
    hour, next_day = dt.timedelta(hours=1), DAY + dt.timedelta(days=1)
    spendsense(copy, "operator", "add", "op")

    def drafted(day: dt.date) -> duckdb.DuckDBPyRelation:
        of_day = f"{copy.settings.warehouse_root}/draft_recommendations/{day}.parquet"
        subject = "coalesce(product_id, insight_id, template_id) AS subject"
        return duckdb.sql(
            f"SELECT user_id, {subject}, * EXCLUDE generation_ms FROM '{of_day}' ORDER BY recommendation_id"
        )

    def approved(day: dt.date, every: int) -> set[tuple[Any, ...]]:
        """The pieces of the day that were approved now: each so many-th of what waits."""
        with reading(copy.engine) as session:
            waiting = queue.queue(session, copy.now, limit=10_000)["queue"]
        references = [f"{row['recommendation_id']}@{row['content_hash']}" for row in waiting][::every]
        done = verdicts.approve(copy.engine, references, "op", copy.now)
        approved = {row["recommendation_id"] for row in done if row["ok"]}
        rows = drafted(day).select("user_id, subject, recommendation_id").fetchall()
        return {tuple(piece) for *piece, name in rows if name in approved}

    copy.now += hour
    decided = approved(DAY, every=2)
    copy.now = NOON + dt.timedelta(days=1)
    copy.refresh(next_day)
    first = drafted(next_day).fetchall()
    assert decided
    assert first
    assert not decided & {row[:2] for row in first}
    copy.now += hour
    assert approved(DAY, every=1)
    copy.now += hour
    copy.refresh(next_day)
    assert drafted(next_day).fetchall() == first


def _tables(pipeline: Pipeline) -> dict[str, tuple[Any, ...]]:
    """A fingerprint of each stored table: its columns, and its rows whatever their order in the file."""
    root = Path(pipeline.settings.warehouse_root)
    return {
        str(path.relative_to(root)): (
            duckdb.sql(f"DESCRIBE FROM '{path}'").fetchall(),
            *duckdb.sql(f"SELECT count(*), sum(hash(stored)::HUGEINT) FROM '{path}' AS stored").fetchall(),
        )
        for path in sorted(root.rglob("*.parquet"))
    }


def test_a_backfill_fills_tables_and_never_the_queue(copy: Pipeline) -> None:
    earlier = DAY - dt.timedelta(days=5)
    ran = copy.refresh(earlier)
    assert ran.metadata["approval_queue"]["registered"] == 0
    assert ran.metadata["features_30d"]["dagster/row_count"] > 0


def test_an_unknown_date_is_refused_with_what_to_set(copy: Pipeline) -> None:
    with pytest.raises(Exception, match="SPENDSENSE_FIRST_DATE"):
        copy.refresh(dt.date(2019, 1, 1))


def test_why_tells_what_was_known_then_after_the_data_were_corrected(
    copy: Pipeline, spendsense: Callable[..., Any], tmp_path: Path
) -> None:
    """A corrected balance changes the day's features and not one word of what was said and why."""
    spendsense(copy, "operator", "add", "op")
    with reading(copy.engine) as session:
        waiting = queue.queue(session, NOON, persona="high_utilization", limit=100)["queue"]
    card = next(row for row in waiting if row["template_id"].startswith("high_utilization/"))
    reference = f"{card['recommendation_id']}@{card['content_hash']}"
    verdicts.approve(copy.engine, [reference], "op", NOON)
    release.run_gate(copy.engine, NOON)
    before = _told(copy, card["recommendation_id"])
    assert before["release"]["content_hash"] == card["content_hash"]

    backend, root = warehouse.connect(), copy.settings.warehouse_root
    accounts = warehouse.read(backend, root, "accounts").to_pyarrow().to_pylist()
    corrected = tmp_path / "corrected"
    corrected.mkdir()
    rows = [
        {**{name: row[name] for name in ("account_id", "user_id", "type", "subtype")}, "balance_current": 0.0}
        | {"balance_limit": row["balance_limit"], "balance_date": row["balance_date"], "iso_currency_code": "USD"}
        for row in accounts
        if row["user_id"] == card["user_id"] and row["type"] == "credit"
    ]
    (corrected / "accounts.json").write_text(json.dumps(rows, default=str))
    used = _utilization(copy, card["user_id"])
    landing.land(corrected, copy.settings.landing, "corrected")
    copy.ingest("corrected")
    copy.refresh()
    assert used
    assert used > 0.3
    assert _utilization(copy, card["user_id"]) == 0
    assert _told(copy, card["recommendation_id"]) == before
    shown = before["slots"]["max_utilization"]
    assert shown["value"] == pytest.approx(used)
    assert before["signals"]["features"]["30"]["max_utilization"] == pytest.approx(used)


def _told(pipeline: Pipeline, recommendation_id: str) -> dict[str, Any]:
    with reading(pipeline.engine) as session:
        return why(session, recommendation_id, NOON)


def _utilization(pipeline: Pipeline, user_id: str) -> float | None:
    features = warehouse.read(warehouse.connect(), pipeline.settings.warehouse_root, "features_30d", [DAY.isoformat()])
    (row,) = features.filter(features.user_id == user_id).to_pyarrow().to_pylist()
    value: float | None = row["max_utilization"]
    return value
