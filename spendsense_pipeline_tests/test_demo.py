"""The demo tells the truth: its account agrees with the records, and the lines that it prints work when typed."""

import re
import shlex
from pathlib import Path

import dagster as dg
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spendsense_pipeline import demo, warehouse
from spendsense_pipeline.defs import launch
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import operators, queue
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.settings import PROJECT_ROOT, Settings
from spendsense_pipeline_tests.conftest import BATCH, NOON, Pipeline


def account(capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    demo.main()
    return capsys.readouterr().out


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, text
    return int(found.group(1).replace(",", ""))


def held_back(text: str) -> list[tuple[int, str]]:
    """How many and why, of the lines below "Held back"."""
    below = text.split("Held back")[1].split("\n\n")[0].splitlines()[1:]
    return [(int(line.split()[0]), line.split(": ", 1)[1]) for line in below]


def of_customers(pipeline: Pipeline, day: str) -> set[str]:
    """Ids, names and addresses of all customers, ids of their accounts and of what was drafted for them on the day."""
    root = pipeline.settings.warehouse_root
    users = [row for row in warehouse.load(root, "users").to_pylist() if row["user_type"] != "operator"]
    found = {row[name] for row in users for name in ("user_id", "full_name", "email") if row[name]}
    found |= set(warehouse.load(root, "accounts").column("account_id").to_pylist())
    found |= set(warehouse.load(root, "draft_recommendations", [day]).column("recommendation_id").to_pylist())
    assert len(found) > 100
    return found


def test_the_demo_goes_the_whole_way_and_may_be_run_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, spendsense
) -> None:
    monkeypatch.setattr(demo, "USERS", 20)
    monkeypatch.chdir(tmp_path)
    folder = Pipeline(Settings(data=tmp_path / "demo"))
    monkeypatch.setenv("SPENDSENSE_DATA", str(folder.settings.data))
    first = account(capsys)
    assert len(first.splitlines()) <= 32  # two more than where the data folder is the usual one
    assert max(len(line) for line in first.splitlines()) <= 120

    kept_out = spendsense(folder, "quarantine")["quarantine"]
    assert [row["reasons"] for row in kept_out] == [["not_a_number"], ["not_a_date"], ["unknown_account"]]
    assert number(r"quarantined (\d+)", first) == 3

    counts = spendsense(folder, "dashboard")["recommendations"]
    feed = spendsense(folder, "released")["released"]
    assert number(r"Released +(\d+)", first) == len(feed) > 0
    assert counts["rejected"] >= 1
    assert counts["pending_approval"] == 1
    assert counts["voided"] > 0
    capped = counts["approved"] - len(feed)  # more than a week allows a customer
    assert number(r"Held back +(\d+)", first) == counts["rejected"] + counts["voided"] + capped + 1
    assert sum(many for many, _ in held_back(first)) == number(r"Held back +(\d+)", first)
    assert list(dict.fromkeys(why.split()[0] for _, why in held_back(first))) == ["rejected", "the", "they", "waits"]

    (path,) = (folder.settings.reports).iterdir()
    page = path.read_text()
    assert "Waiting</dt><dd>1</dd>" in page  # the queue as the demo leaves it, not as the day found it
    assert {one for one in of_customers(folder, path.stem) if one in page} == set()
    with launch.opened_instance(folder.settings) as instance:
        key = dg.AssetCheckKey(dg.AssetKey("approval_queue"), "operator_review")
        (checked,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert checked.evaluation.description.startswith("1 waiting")

    again = account(capsys)
    assert number(r"customers may see (\d+)", again) == len(feed)
    assert held_back(again) == held_back(first)
    assert spendsense(folder, "dashboard")["recommendations"] == counts

    printed = [shlex.split(line)[1:] for line in again.splitlines() if re.search(r"^  \S*spendsense ", line)]
    show, approve, release = (words for words in printed if words[0] in ("show", "approve", "release"))
    assert spendsense(folder, *show)["status"] == "pending_approval"
    assert spendsense(folder, *approve)["results"][0]["ok"]
    assert len(spendsense(folder, *release)["released"]) == 1
    assert spendsense(folder, "audit", "verify")["ok"]


def test_the_demo_decides_about_its_own_people_only(copy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with real customers in it: none of their drafts may be approved by a sample review."""
    raw = Path(copy.settings.warehouse_root) / "raw_users"
    people = pq.read_table(raw / f"{BATCH}.parquet")
    with reading(copy.engine) as session:
        waiting = {row["user_id"] for row in queue.queue(session, NOON, limit=1000)["queue"]}
        deciding = {row["operator_id"] for row in operators.listed(session)}
    own = sorted(waiting)[:2]
    pq.write_table(people.filter(pc.field("user_id").isin([*own, *deciding])), raw / "demo.parquet")
    monkeypatch.setattr(demo, "BATCH", "demo")
    demo._review(copy.settings, copy.engine, NOON)
    with reading(copy.engine) as session:
        left = {row["user_id"] for row in queue.queue(session, NOON, limit=1000)["queue"]}
        decided = {row["user_id"] for row in queue.queue(session, NOON, status="approved", limit=1000)["queue"]}
    assert decided
    assert decided <= set(own)
    assert left >= waiting - set(own)


def test_the_demo_decides_in_nobody_elses_name(copy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(copy.engine) as session:
        for row in operators.listed(session):
            operators.deactivate(session, row["operator_id"], NOON)
        operators.add(session, "a real operator", NOON)
    monkeypatch.setattr(demo, "BATCH", BATCH)
    with pytest.raises(SpendSenseError) as refused:
        demo._review(copy.settings, copy.engine, NOON)
    assert refused.value.code == "not_the_demos_folder"


def test_the_demos_bad_rows_ship_with_the_project() -> None:
    assert (PROJECT_ROOT / "data" / "examples" / "rejected" / "transactions.csv").is_file()
