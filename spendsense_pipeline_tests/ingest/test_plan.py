"""The SQL of a merge is composed once and serves as long as nothing that judges has changed."""

from pathlib import Path

import pytest

from spendsense_pipeline.ingest import plan


def test_a_process_goes_on_with_the_plan_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composed = plan.steps()
    assert plan.steps(tmp_path) == composed
    plan.steps.cache_clear()
    monkeypatch.setattr(plan, "_composed", lambda: pytest.fail("composed again"))
    assert plan.steps(tmp_path) == composed


def test_a_plan_of_other_rules_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "rules", lambda: "0" * 64)
    (tmp_path / "plan-of-before.json").touch()
    plan.steps.cache_clear()
    plan.steps(tmp_path)
    plan.steps.cache_clear()
    assert [file.name for file in tmp_path.iterdir()] == ["plan-0000000000000000.json"]


def test_a_step_comes_after_those_that_it_reads() -> None:
    steps = plan.steps()
    before: set[str] = {f"raw_{table}" for table in plan.fields.TABLES}
    for name, step in steps.items():
        assert set(step.reads) <= before, name
        before.add(name)
    assert plan.reads(["judged_users"], steps) >= {"raw_users", "read_users", "judged_users"}
    assert "raw_transactions" not in plan.reads(["judged_users"], steps)
