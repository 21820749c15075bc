"""Holds, rules and heads of the chain by command, on a pipeline that has run."""

import datetime as dt
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spendsense_pipeline.cli import runtime
from spendsense_pipeline.defs.resources import Governance
from spendsense_pipeline_tests.conftest import NOON, Pipeline

Command = Callable[..., Any]


def test_an_erasure_that_a_hold_stood_in_the_way_of_is_done_when_it_is_lifted(
    copy: Pipeline, spendsense: Command
) -> None:
    spendsense(copy, "operator", "add", "ada")
    user = spendsense(copy, "users")["users"][0]["user_id"]
    spendsense(copy, "holds", "add", "nobody", "--operator", "ada", "--reason", "court", code=1)
    spendsense(copy, "holds", "add", user, "--operator", "ada", "--reason", "court 7 of 26")
    refused = spendsense(copy, "erase", user, "--operator", "ada", "--reason", "request 1", code=1)
    assert refused["error"]["code"] == "on_hold"
    assert "court 7 of 26" in refused["error"]["message"]
    assert spendsense(copy, "holds", "list")["holds"][0]["erasure_waits"]
    assert user in [row["user_id"] for row in spendsense(copy, "users")["users"]], "all of it is there"
    lifted = spendsense(copy, "holds", "lift", user, "--operator", "ada", "--reason", "settled")
    assert lifted["erasure"]["erasure_id"].startswith("era_")
    assert user not in [row["user_id"] for row in spendsense(copy, "users")["users"]]
    assert spendsense(copy, "audit", "verify")["ok"]


def test_the_chain_is_held_against_heads_that_were_kept_elsewhere(
    copy: Pipeline, spendsense: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "audit.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    monkeypatch.setenv("SPENDSENSE_AUDIT_KEY", str(key))
    head = spendsense(copy, "audit", "head")
    kept = f"{head['count']}:{head['hash']}"
    assert spendsense(copy, "audit", "verify", "--head", kept)["ok"]
    other = spendsense(copy, "audit", "verify", "--head", f"{head['count']}:{'f' * 64}", code=1)
    assert other["first_broken"]["problem"] == "known_head_missing"
    manifest = next(copy.settings.data.glob("exports/*/manifest.json"))
    written = json.loads(manifest.read_text())
    unsigned = spendsense(copy, "audit", "verify", "--key", str(key), code=1)
    assert unsigned["error"]["code"] == "not_signed", "the export was made without a key"
    manifest.unlink()
    assert spendsense(copy, "audit", "verify", "--key", str(key), "--head", f"{kept}:{head['signature']}")["ok"]
    written["audit_head"]["count"] += 10**6
    manifest.write_text(json.dumps(written))
    assert not spendsense(copy, "audit", "verify", code=1)["ok"], "a manifest of another database"


def test_a_rule_once_kept_holds_in_every_shell(
    copy: Pipeline, spendsense: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "now", lambda: NOON + dt.timedelta(hours=1))
    for name in ("ada", "ben"):
        spendsense(copy, "operator", "add", name)
    one, other = [row["recommendation_id"] for row in spendsense(copy, "queue", "--limit", "2")["queue"]]
    words = ("--title", "Calmer words", "--reason", "shorter")
    monkeypatch.setenv("SPENDSENSE_FOUR_EYES", "true")
    written = spendsense(copy, "override", one, "--operator", "ada", *words)["results"][0]
    assert written["status"] == "pending_approval"
    monkeypatch.setenv("SPENDSENSE_FOUR_EYES", "false")
    hashed = spendsense(copy, "show", one, "--operator", "ada")["content_hash"]
    own = spendsense(copy, "approve", f"{one}@{hashed}", "--operator", "ada", code=1)["results"][0]
    assert own["refused"] == "four_eyes"
    assert spendsense(copy, "policy") == {"four_eyes": True, "consent_days": 0}
    spendsense(copy, "policy", "--no-four-eyes", "--operator", "ben", "--reason", "only two of us")
    written = spendsense(copy, "override", other, "--operator", "ada", *words)["results"][0]
    assert written["status"] == "overridden"
    spendsense(copy, "operator", "deactivate", "ada", "--by", "ben")
    assert spendsense(copy, "operator", "add", "ada", code=1)["error"]["code"] == "another_required"
    assert spendsense(copy, "operator", "add", "ada", "--by", "ben")["status"] == "reactivated"
    assert spendsense(copy, "audit", "verify")["ok"]


def test_what_a_run_is_stricter_in_becomes_the_rule(copy: Pipeline, spendsense: Command) -> None:
    assert Governance(url=copy.settings.governance_url, four_eyes=True, consent_days=30).engine
    assert spendsense(copy, "policy") == {"four_eyes": True, "consent_days": 30}


def test_the_documents_a_bank_asks_for_are_written_from_the_run(
    copy: Pipeline, spendsense: Command, tmp_path: Path
) -> None:
    spendsense(copy, "operator", "add", "ada")
    user = spendsense(copy, "users")["users"][0]["user_id"]
    held = spendsense(copy, "holds", "add", user, "--operator", "ada", "--reason", "court 7 of 26")["hold_id"]
    words = tmp_path / "words.txt"
    words.write_text("I agree to get financial education.")
    spendsense(copy, "consent", "text", "2026-01", str(words))
    pages = {
        Path(one).name: Path(one).read_text()
        for one in spendsense(copy, "documents", "--to", str(tmp_path / "out"))["written"]
    }
    assert "| features_30d | 1 | 2026-06-30 | 2026-06-30 |" in pages["retention.md"]
    assert f"| {held} |" in pages["retention.md"]
    assert "court 7 of 26" in pages["retention.md"]
    assert "> I agree to get financial education." in pages["consent-texts.md"]
    assert "was never registered" in pages["consent-texts.md"], "the version that the landed files name"
    assert "Not measured" in pages["detectors.md"]
    rows = [line for line in pages["wordings.md"].splitlines() if "| library |" in line]
    drafts = spendsense(copy, "evaluate")["metrics"]
    assert len(rows) > 10, drafts
    assert user not in "".join(pages.values()), "no page names a customer"
