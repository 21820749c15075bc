"""The commands as other programs see them: names, nesting, exit codes, errors; and one recommendation's whole life."""

import datetime as dt
import io
import json
import os
import re
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import click
import pytest

from spendsense_pipeline import cli, profiles
from spendsense_pipeline.cli import frame, runtime
from spendsense_pipeline.cli.output import Shown, print_out
from spendsense_pipeline.features import compilation, compiled
from spendsense_pipeline.governance import queue
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.ingest import plan
from spendsense_pipeline.recommendations import guardrails
from spendsense_pipeline.settings import PROJECT_ROOT, Settings
from spendsense_pipeline_tests.conftest import BATCH, DAY, NOON, USERS, Pipeline

PAGED = {"total", "limit", "offset"}
CONSENT = {"education", "partner_offers"}
QUEUE_ROW = {
    *("recommendation_id", "user_id", "as_of", "persona", "content_type", "title", "status", "content_hash"),
    *("template_id", "findings", "registered_at", "age_hours"),
}
SHOWN = {"content", "rationale", "slots", "reasons", "original", "decisions", "consent"}


@pytest.fixture(autouse=True)
def afternoon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are called an hour after the shared pipeline ran: its drafts still wait."""
    monkeypatch.setattr(runtime, "now", lambda: NOON + dt.timedelta(hours=1))


@pytest.fixture
def operator_id(copy: Pipeline, spendsense) -> str:
    """An operator who came with the generated files."""
    return next(row["operator_id"] for row in spendsense(copy, "operator", "list")["operators"] if row["active"])


@pytest.fixture
def nothing(tmp_path: Path) -> Pipeline:
    """A data folder that does not exist yet."""
    return Pipeline(Settings(data=tmp_path / "nothing"))


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call a command without ``--json``: exit code, what it printed, what it complained."""

    def call(pipeline: Pipeline, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("SPENDSENSE_DATA", str(pipeline.settings.data))
        monkeypatch.setattr(sys, "argv", ["spendsense", *words])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def reference(row: dict) -> str:
    return f"{row['recommendation_id']}@{row['content_hash']}"


# --- Shapes ---


def test_users_lists_people_with_consent_and_personas(refreshed: Pipeline, spendsense) -> None:
    found = spendsense(refreshed, "users", "--limit", "5", "--offset", "1")
    assert set(found) == {"users"} | PAGED
    assert (found["total"], found["limit"], found["offset"], len(found["users"])) == (USERS, 5, 1, 5)
    for row in found["users"]:
        assert set(row) == {"user_id", "user_type", "consent", "personas"}
        assert set(row["consent"]) == CONSENT
        assert set(row["personas"]) == {"30", "180"}
    operators = spendsense(refreshed, "users", "--type", "operator")
    assert 0 < operators["total"] < USERS
    agreed = spendsense(refreshed, "users", "--consent", "true")
    assert all(any(row["consent"].values()) for row in agreed["users"])
    assert agreed["total"] + spendsense(refreshed, "users", "--consent", "false")["total"] == USERS
    builders = spendsense(refreshed, "users", "--persona", "savings_builder")["users"]
    assert builders
    assert all("savings_builder" in row["personas"].values() for row in builders)


def test_a_profile_says_of_one_customer_what_the_list_says_of_everybody(refreshed: Pipeline, spendsense) -> None:
    people = spendsense(refreshed, "users", "--type", "customer")["users"]
    some = {json.dumps(one["consent"]): one for one in people}  # one of each kind of consent
    assert len(some) > 1
    for one in some.values():
        assert spendsense(refreshed, "profile", one["user_id"])["consent"] == one["consent"]


def test_profile_has_both_windows_or_any_single_one(refreshed: Pipeline, spendsense) -> None:
    listed = spendsense(refreshed, "users", "--type", "customer", "--limit", "1", "--offset", "3")["users"][0]
    user_id = listed["user_id"]
    found = spendsense(refreshed, "profile", user_id)
    assert set(found) == {"user_id", "as_of", "consent", "features", "personas"}
    assert (found["user_id"], found["as_of"]) == (user_id, DAY.isoformat())
    assert set(found["features"]) == set(found["personas"]) == {"30", "180"}
    assert set(found["personas"]["30"]) == {"persona", "confidence", "is_fallback", "matched", "reasons"}
    features = found["features"]["180"]
    assert isinstance(features["total_spend"], float)
    assert features["window_days"] == 180
    assert "user_id" not in features
    # What is computed on the spot is what the day's run stored.
    assert {window: verdict["persona"] for window, verdict in found["personas"].items()} == listed["personas"]
    other = spendsense(refreshed, "profile", user_id, "--window", "90", "--as-of", "2026-06-01")
    assert (set(other["features"]), set(other["personas"]), other["as_of"]) == ({"90"}, {"90"}, "2026-06-01")


def test_signals_shows_the_rows_behind_the_figures(refreshed: Pipeline, spendsense) -> None:
    holders = spendsense(refreshed, "users", "--persona", "high_utilization")["users"]
    found = spendsense(refreshed, "signals", holders[0]["user_id"])
    assert set(found) == {"user_id", "as_of", "windows"}
    assert set(found["windows"]) == {"30", "180"}
    for window in found["windows"].values():
        assert set(window) == {"trust", "subscriptions", "savings", "credit", "income"}
        assert {"merchant", "kind", "cadence", "status"} <= set(window["subscriptions"]["streams"][0])
        assert {"last4", "utilization"} <= set(window["credit"]["cards"][0])
        assert isinstance(window["income"]["paychecks"], list)
    cards = found["windows"]["30"]["credit"]["cards"]
    assert all(len(card["last4"]) == 4 for card in cards)


def test_quarantine_names_file_row_field_and_reasons(copy: Pipeline, spendsense) -> None:
    assert spendsense(copy, "quarantine") == {"quarantine": []}
    assert spendsense(copy, "quarantine", "--batch", BATCH) == {"quarantine": []}
    refused = spendsense(copy, "quarantine", "--batch", "mistyped", code=1)
    assert refused["error"]["code"] == "unknown_batch"


def test_the_queue_lists_and_show_tells_all(copy: Pipeline, spendsense) -> None:
    found = spendsense(copy, "queue", "--limit", "2")
    assert set(found) == {"queue"} | PAGED
    assert len(found["queue"]) == 2 < found["total"]
    for row in found["queue"]:
        assert set(row) >= QUEUE_ROW
        assert row["status"] == "pending_approval"
        assert row["registered_at"].endswith("Z")
        assert isinstance(row["findings"], list)
    first = found["queue"][0]
    shown = spendsense(copy, "show", first["recommendation_id"])
    assert set(shown) >= QUEUE_ROW | SHOWN
    assert shown["consent"]["scope"] in CONSENT
    assert shown["decisions"] == []
    assert shown["original"] is None
    one = spendsense(copy, "queue", "--user", first["user_id"], "--template", first["template_id"])
    assert first["recommendation_id"] in {row["recommendation_id"] for row in one["queue"]}
    pieces = spendsense(copy, "queue", "--by", "template", "--limit", "1000")
    assert sum(row["count"] for row in pieces["queue"]) == found["total"]
    assert spendsense(copy, "queue", "--status", "rejected")["total"] == 0


def test_the_dashboard_counts(refreshed: Pipeline, spendsense) -> None:
    found = spendsense(refreshed, "dashboard")
    assert {"users", "personas", "recommendations", "latency_ms"} <= set(found)
    assert set(found["users"]) == {"customers", "operators", "with_consent"}
    assert found["users"]["customers"] + found["users"]["operators"] == USERS
    assert sum(found["personas"]["30"].values()) == sum(found["personas"]["180"].values())
    assert found["recommendations"]["pending_approval"] > 0
    assert set(found["latency_ms"]) == {"avg", "p95"}


def test_audit_and_database_answer(copy: Pipeline, spendsense) -> None:
    verdict = spendsense(copy, "audit", "verify")
    assert set(verdict) == {"ok", "count", "head", "first_broken"}
    assert (verdict["ok"], verdict["first_broken"]) == (True, None)
    assert verdict["count"] > 0
    assert set(spendsense(copy, "db", "upgrade")) == {"schema"}


def test_generate_raw_prints_what_banks_print_and_its_options_exclude_each_other(
    nothing: Pipeline, spendsense, tmp_path: Path
) -> None:
    words = ("generate", "--users", "6", "--as-of", "2026-06-30", "--days", "60")
    spendsense(nothing, *words, "--raw", "uk", "--evidence", "codes", "--out", str(tmp_path / "uk"))
    truth = json.loads((tmp_path / "uk" / "truth.json").read_text())
    assert (truth["country"], truth["evidence"]) == ("GB", "codes")
    for wrong in (("--raw", "us", "--hard"), ("--evidence", "mcc"), ("--raw", "fr")):
        spendsense(nothing, *words, *wrong, "--out", str(tmp_path / "none"), code=2)
    assert not (tmp_path / "none").exists()


def test_generate_writes_a_landing_folder_with_its_truth(nothing: Pipeline, spendsense, tmp_path: Path) -> None:
    words = ("generate", "--users", "6", "--seed", "3", "--as-of", "2026-06-30", "--days", "60", "--out")
    made = spendsense(nothing, *words, str(tmp_path / "made"))
    assert set(made) == {"path", "seed", "as_of", "rows"}
    assert (made["seed"], made["as_of"], made["rows"]["users"]) == (3, "2026-06-30", 6)
    truth = json.loads((tmp_path / "made" / "truth.json").read_text())
    assert set(truth) >= {"seed", "as_of", "users"}
    again = spendsense(nothing, *words, str(tmp_path / "made"), code=1)
    assert again["error"]["code"] == "target_exists"


def test_from_a_banks_export_to_a_profile_in_three_commands(
    nothing: Pipeline, spendsense, printed, tmp_path: Path
) -> None:
    (tmp_path / "january" / "ole").mkdir(parents=True)
    samples = PROJECT_ROOT / "spendsense_pipeline_tests" / "ingest" / "statements"
    (tmp_path / "january" / "german-giro.sta").write_bytes((samples / "german-giro.sta").read_bytes())
    in_december = re.sub(r"2601(\d\d)01", r"2512\g<1>12", (samples / "dutch-current.940").read_text())
    (tmp_path / "january" / "ole" / "december.940").write_text(in_december.replace("2601", "2512"))
    words = ("ingest", str(tmp_path / "january"), "--format", "mt940")
    assert spendsense(nothing, *words, code=1)["error"]["code"] == "batch_refused"
    assert not nothing.settings.landing.exists(), "nothing half landed"
    landed = spendsense(nothing, *words, "--user", "mia")
    assert set(landed) == {"batch", "run_id", "tables"}
    assert landed["batch"].startswith("january-")
    for counts in landed["tables"].values():
        assert set(counts) == {"read", "accepted", "duplicate", "rejected", "superseded"}
        assert counts["read"] == counts["accepted"] + counts["duplicate"] + counts["rejected"]
    assert landed["tables"]["transactions"] == {
        "read": 8,
        "accepted": 8,
        "duplicate": 0,
        "rejected": 0,
        "superseded": 0,
    }
    assert spendsense(nothing, *words, "--user", "mia")["batch"] == landed["batch"], "the same again is no change"
    assert spendsense(nothing, "run", "--as-of", "1996-01-01", code=1)["error"]["code"] == "unknown_date"
    ran = spendsense(nothing, "run")
    assert {"run_id", "as_of", "rows", "registered", "replaced", "suppressed"} <= set(ran)
    assert ran["as_of"] == "2026-01-08"
    assert ran["rows"]["features_30d"] == ran["rows"]["features_180d"] == 2
    assert ran["stale"] == 1, "nothing of ole's has come since December"
    assert (ran["not_drafted"], ran["unexplained"], ran["without_balances"]) == (1, 0, 0)
    _, told, _ = printed(nothing, "run")
    assert "nothing drafted for 1 customers\n        1 newest transaction older than 7 days\n" in told
    assert spendsense(nothing, "profile", "mia")["user_id"] == "mia"


def test_ids_by_content_are_asked_for_on_the_command_line(nothing: Pipeline, spendsense, tmp_path: Path) -> None:
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "users.csv").write_text("user_id\nmia\n")
    (tmp_path / "bank" / "accounts.csv").write_text("account_id,user_id,type\ngiro,mia,checking\n")
    (tmp_path / "bank" / "transactions.csv").write_text("account_id,date,amount\ngiro,2026-06-01,-5\n")
    told = spendsense(nothing, "ingest", str(tmp_path / "bank"), "--batch", "first")
    assert told["batch"] == "first"
    first = told["tables"]["transactions"]
    assert (first["accepted"], first["rejected"]) == (0, 1)
    again = spendsense(nothing, "ingest", str(tmp_path / "bank"), "--ids", "content")["tables"]["transactions"]
    assert (again["accepted"], again["rejected"]) == (1, 0)


@pytest.mark.parametrize("words", [("--user", "mia"), ("--ids", "content", "--format", "ofx")])
def test_options_that_mean_nothing_are_wrong_usage(nothing: Pipeline, spendsense, words: tuple[str, ...]) -> None:
    spendsense(nothing, "ingest", str(nothing.settings.data), *words, code=2)


def options_of(command: click.Command) -> list[click.Parameter]:
    """All options of a command and of those beneath it."""
    beneath = command.commands.values() if isinstance(command, click.Group) else ()
    return [*command.params, *(option for one in beneath for option in options_of(one))]


NUMBERS = [
    option
    for option in options_of(frame.app)
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)
]
DATES = [option for option in options_of(frame.app) if isinstance(option.type, click.DateTime)]


@pytest.mark.parametrize("option", [*NUMBERS, *DATES], ids=lambda option: option.name)
def test_no_option_takes_what_leaves_the_calendar_or_a_database(option: click.Parameter) -> None:
    wrong = ("0001-01-01",) if option in DATES else ("9" * 30, "-" + "9" * 30, "nan", "inf", "-inf")
    for value in (*wrong, *(["1000000"] if str(option.name).endswith("days") else [])):
        with pytest.raises(click.BadParameter):
            option.type.convert(value, option, None)


def test_both_kinds_of_options_are_found() -> None:
    assert {"limit", "offset", "consent_days", "change", "seed"} <= {option.name for option in NUMBERS}
    assert {"as_of", "first", "qualified_until", "since"} <= {option.name for option in DATES}


@pytest.mark.parametrize(
    "words", ["--from 24 --to 24.00000000001", "--change 1e-300 --deviation 3", "--change 1 --deviation 1e9"]
)
def test_a_difference_past_showing_is_wrong_usage(nothing: Pipeline, spendsense, words: str) -> None:
    refused = spendsense(nothing, "experiments", "power", *words.split(), code=2)
    assert refused["error"]["code"] == "usage"


# --- The life of a recommendation ---


def test_from_the_queue_to_the_feed_and_out_of_it_again(copy: Pipeline, spendsense, operator_id: str) -> None:
    row = spendsense(copy, "queue")["queue"][0]
    name, user_id = row["recommendation_id"], row["user_id"]
    shown = spendsense(copy, "show", name)
    done = spendsense(copy, "approve", reference(shown), "--operator", operator_id)
    assert done == {"results": [{"recommendation_id": name, "ok": True, "status": "approved", "refused": None}]}
    gate = spendsense(copy, "release")
    assert set(gate) == {"released", "recalled", "blocked"}
    assert (gate["released"], gate["recalled"]) == ([name], [])
    assert gate["blocked"]["pending"] > 0
    assert spendsense(copy, "release")["released"] == []

    (seen,) = spendsense(copy, "released", "--user", user_id)["released"]
    assert set(seen) == {
        *("release_id", "recommendation_id", "user_id", "title", "content", "content_hash", "consent_id"),
        *("decision_id", "released_at", "content_type", "product_id", "persona", "insight", "as_of", "rationale"),
        *("expires_at", "slots"),
    }
    assert seen["content_hash"] == shown["content_hash"]
    told = spendsense(copy, "why", name)
    assert told["release"]["release_id"] == seen["release_id"]
    assert told["decision"]["operator_id"] == operator_id
    assert told["decision"]["decision_id"] == seen["decision_id"]
    assert told["consent"]["consent_id"] == seen["consent_id"]
    assert {"text_version", "channel", "source"} <= set(told["consent"])
    assert told["recall"] is None

    revoked = spendsense(copy, "consent", "revoke", user_id)
    assert set(revoked) == {"user_id", "consent"}
    assert name in [gone for scope in revoked["consent"] for gone in scope["recalled"]]
    assert spendsense(copy, "released", "--user", user_id) == {"released": []}
    assert spendsense(copy, "queue", "--user", user_id)["total"] == 0

    granted = spendsense(copy, "consent", "grant", user_id)
    assert {row["status"] for row in granted["consent"]} == {"granted"}
    spendsense(copy, "release")
    assert spendsense(copy, "released", "--user", user_id) == {"released": []}
    assert spendsense(copy, "why", name)["recall"]["cause"] == "revoked"
    history = spendsense(copy, "consent", "history", user_id)["history"]
    assert [event["action"] for event in history if event["scope"] == "education"] == ["opened", "closed", "opened"]
    assert spendsense(copy, "audit", "verify")["ok"]


def test_a_release_asks_the_guardrails_again(
    copy: Pipeline, spendsense, operator_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(row for row in spendsense(copy, "queue")["queue"] if not row["findings"])
    spendsense(copy, "approve", row["recommendation_id"], "--operator", operator_id)
    found = [{"check": "tone", "severity": "critical", "message": "shames the reader"}]
    monkeypatch.setattr(guardrails, "review_draft", lambda draft: found)
    done = spendsense(copy, "release")
    assert (done["released"], done["blocked"]["critical_finding"]) == ([], 1)


def test_consent_of_one_scope_leaves_the_other(copy: Pipeline, spendsense) -> None:
    user_id = spendsense(copy, "users", "--consent", "true")["users"][0]["user_id"]
    revoked = spendsense(copy, "consent", "revoke", user_id, "--scope", "partner_offers", "--source", "phone")
    assert [row["scope"] for row in revoked["consent"]] == ["partner_offers"]
    (row,) = (row for row in spendsense(copy, "users", "--limit", "100")["users"] if row["user_id"] == user_id)
    assert row["consent"] == {"education": True, "partner_offers": False}
    again = spendsense(copy, "consent", "revoke", user_id, "--scope", "partner_offers")
    assert again["consent"][0]["status"] == "not_live"
    closed = next(
        one for one in spendsense(copy, "consent", "history", user_id)["history"] if one["action"] == "closed"
    )
    assert closed["source"] == "phone (typed on a command line, not identified)"


def test_an_approval_without_hash_means_the_only_text_there_ever_was(
    copy: Pipeline, spendsense, operator_id: str
) -> None:
    first = spendsense(copy, "queue", "--limit", "1")["queue"][0]["recommendation_id"]
    assert spendsense(copy, "approve", first, "--operator", operator_id)["results"][0]["ok"]


def json_of_queue(pipeline: Pipeline) -> list[dict]:
    """The queue as the domain gives it, which nobody has been shown."""
    with reading(pipeline.engine) as session:
        return queue.queue(session, NOON, limit=1000)["queue"]


def test_decisions_are_taken_item_by_item(copy: Pipeline, spendsense, operator_id: str) -> None:
    one, two, three = spendsense(copy, "queue", "--limit", "3")["queue"]
    wrong = f"{two['recommendation_id']}@{'0' * 64}"
    results = spendsense(copy, "approve", reference(one), wrong, "rec_none", "--operator", operator_id, code=1)
    assert [row["refused"] for row in results["results"]] == [None, "changed", "unknown_recommendation"]
    prefix = f"{two['recommendation_id']}@{two['content_hash'][:12]}"
    rejected = spendsense(copy, "reject", prefix, "--operator", operator_id, "--reason", "too long")["results"]
    assert [(row["ok"], row["status"]) for row in rejected] == [(True, "rejected")]
    assert spendsense(copy, "undo", one["recommendation_id"], "--operator", operator_id)["results"][0]["status"] == (
        "pending_approval"
    )
    words = ("--title", "Calmer words", "--reason", "tone")
    other = spendsense(copy, "override", reference(three), "--operator", operator_id, *words)["results"]
    assert [(row["ok"], row["status"]) for row in other] == [(True, "overridden")]
    shown = spendsense(copy, "show", three["recommendation_id"])
    assert (shown["title"], shown["original"]["title"]) == ("Calmer words", three["title"])
    assert [one["action"] for one in shown["decisions"]] == ["override"]
    stranger = spendsense(copy, "approve", reference(one), "--operator", "nobody", code=1)["results"][0]
    assert stranger["refused"] == "unknown_operator"


def test_operators_come_and_go(copy: Pipeline, spendsense) -> None:
    assert spendsense(copy, "operator", "add", "ada") == {"operator_id": "ada", "status": "added"}
    assert spendsense(copy, "operator", "add", "ada")["status"] == "unchanged"
    row = spendsense(copy, "queue", "--limit", "1")["queue"][0]
    assert spendsense(copy, "operator", "deactivate", "ada")["status"] == "deactivated"
    refused = spendsense(copy, "approve", reference(row), "--operator", "ada", code=1)["results"][0]["refused"]
    assert refused == "inactive_operator"
    listed = {one["operator_id"]: one["active"] for one in spendsense(copy, "operator", "list")["operators"]}
    assert listed["ada"] is False
    assert spendsense(copy, "operator", "deactivate", "bob", code=1)["error"]["code"] == "unknown_operator"


# --- What is refused, and how ---


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("users",), "not_materialized"),
        (("profile", "anna"), "not_materialized"),
        (("signals", "anna"), "not_materialized"),
        (("run",), "not_materialized"),
        (("quarantine",), "not_materialized"),
        (("dashboard",), "not_materialized"),
        (("consent", "grant", "anna"), "not_materialized"),
        (("consent", "revoke", "anna"), "not_materialized"),
        (("show", "rec_none"), "unknown_recommendation"),
        (("why", "rec_none"), "unknown_recommendation"),
        (("ingest", "nowhere"), "batch_refused"),
    ],
)
def test_before_anything_arrived_a_command_says_so(nothing: Pipeline, spendsense, words, error: str) -> None:
    refused = spendsense(nothing, *words, code=1)
    assert set(refused) == {"error"}
    assert set(refused["error"]) == {"code", "message"}
    assert refused["error"]["code"] == error


def test_before_anything_arrived_lists_are_empty(nothing: Pipeline, spendsense) -> None:
    assert spendsense(nothing, "queue") == {"queue": [], "total": 0, "limit": 50, "offset": 0}
    assert spendsense(nothing, "released") == {"released": []}
    assert spendsense(nothing, "operator", "list") == {"operators": []}
    assert spendsense(nothing, "release") == {"released": [], "recalled": [], "blocked": {}}
    assert spendsense(nothing, "audit", "verify")["count"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("profile",),
        ("profile", "anna", "--window", "0"),
        ("profile", "anna", "--window", "366"),
        ("profile", "anna", "--as-of", "2026-02-30"),
        ("run", "--as-of", "yesterday"),
        ("users", "--limit", "-1"),
        ("users", "--consent", "maybe"),
        ("queue", "--status", "lost"),
        ("queue", "--by", "template", "--user", "anna"),
        ("approve", "rec_none"),
        ("reject", "rec_none", "--operator", "ada"),
        ("consent", "grant", "anna", "--scope", "everything"),
        ("ingest", "somewhere", "--format", "tape"),
        ("ingest", ""),
        ("generate", "--users", "0"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_where_help_is(nothing: Pipeline, spendsense, printed, words) -> None:
    refused = spendsense(nothing, *words, code=2)
    assert refused["error"]["code"] == "usage"
    assert "--help" in refused["error"]["message"]
    code, out, err = printed(nothing, *words)
    assert (code, out) == (2, "")
    assert err.startswith("spendsense: ")
    assert not nothing.settings.data.exists()


def test_an_unknown_person_is_refused_by_every_command_that_names_one(copy: Pipeline, spendsense) -> None:
    for name in ("nobody", "Zoë", "a\tb", "\x1b[31m", ""):
        for words in (("profile", name), ("signals", name), ("consent", "grant", name)):
            assert spendsense(copy, *words, code=1)["error"]["code"] == "unknown_user"
        # Nobody may believe that a mistyped id was revoked.
        assert spendsense(copy, "consent", "revoke", name, code=1)["error"]["code"] == "unknown_user"
        assert spendsense(copy, "consent", "history", name)["history"] == []
        assert spendsense(copy, "released", "--user", name) == {"released": []}


def test_an_operator_is_no_customer(copy: Pipeline, spendsense, operator_id: str) -> None:
    for words in (("profile", operator_id), ("signals", operator_id), ("consent", "grant", operator_id)):
        assert spendsense(copy, *words, code=1)["error"]["code"] == "not_a_customer"


def test_before_a_customer_was_known_there_is_nothing_to_say(
    refreshed: Pipeline, spendsense, printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = spendsense(refreshed, "users", "--type", "customer", "--limit", "1")["users"][0]["user_id"]
    found = spendsense(refreshed, "profile", user_id, "--as-of", "1990-01-01", "--window", "30")
    assert (found["features"], found["personas"]) == ({}, {})
    monkeypatch.setattr(profiles.Customer, "profile", lambda *_: found)
    assert "not known yet" in printed(refreshed, "profile", user_id, "--as-of", "1990-01-01")[1]


def test_a_damaged_database_is_one_line_not_a_traceback(nothing: Pipeline, spendsense) -> None:
    nothing.settings.data.mkdir()
    (nothing.settings.data / "spendsense.db").write_text("this was a database once, and long enough to be one" * 50)
    for words in (("queue",), ("release",), ("audit", "verify"), ("db", "upgrade")):
        assert spendsense(nothing, *words, code=1)["error"]["code"] == "database_error"


def test_a_damaged_table_is_one_line_not_a_traceback(nothing: Pipeline, spendsense) -> None:
    (nothing.settings.data / "warehouse").mkdir(parents=True)
    (nothing.settings.data / "warehouse" / "users.parquet").write_text("no parquet")
    assert spendsense(nothing, "users", code=1)["error"]["code"] == "unreadable_table"


@pytest.mark.parametrize(
    ("table", "commands"),
    [
        ("transactions.parquet", ("profile", "signals", "insights", "calendar")),
        ("users.parquet", ("users", "profile", "dashboard")),
        ("products.parquet", ("catalog list",)),
        (f"persona_assignments_30d/{DAY}.parquet", ("users", "dashboard", "export")),
        (f"draft_recommendations/{DAY}.parquet", ("evaluate", "export")),
        (f"payees/{DAY}.parquet", ("payees", "profile")),
    ],
)
def test_whichever_table_is_damaged_the_commands_that_read_it_say_so(
    copy: Pipeline, spendsense, table: str, commands: tuple[str, ...]
) -> None:
    user_id = spendsense(copy, "users", "--type", "customer", "--limit", "1")["users"][0]["user_id"]
    (copy.settings.data / "warehouse" / table).write_bytes(b"PAR1 cut off PAR1")
    for command in commands:
        of_one = [user_id] if command in ("profile", "signals", "insights", "calendar") else []
        error = spendsense(copy, *command.split(), *of_one, code=1)["error"]
        assert error["code"] == "unreadable_table"


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path, spendsense) -> None:
    (tmp_path / "file").write_text("")
    refused = spendsense(Pipeline(Settings(data=tmp_path / "file")), "queue", code=1)
    assert refused["error"]["code"] == "file_system"
    assert str(tmp_path / "file") in refused["error"]["message"]


def test_a_dagster_home_that_is_not_there_is_refused(
    refreshed: Pipeline, spendsense, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "nowhere"))
    refused = spendsense(refreshed, "run", code=1)
    assert refused["error"]["code"] == "invalid_settings"
    assert "DAGSTER_HOME" in refused["error"]["message"]


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), cli.reported_errors():
        _ = 1 / 0


# --- For people ---


@pytest.mark.parametrize(
    "words",
    [
        *(("users",), ("quarantine",), ("queue",), ("queue", "--by", "template"), ("release",), ("released",)),
        *(("dashboard",), ("audit", "verify"), ("db", "upgrade"), ("operator", "list")),
    ],
)
def test_every_list_reads_as_lines_too(copy: Pipeline, printed, words) -> None:
    code, out, err = printed(copy, *words)
    assert (code, err) == (0, "")
    assert out.strip()
    assert not out.lstrip().startswith("{")


def test_no_text_can_rewrite_the_terminal(copy: Pipeline, printed, operator_id: str, spendsense) -> None:
    row = spendsense(copy, "queue", "--limit", "1")["queue"][0]
    spendsense(copy, "reject", reference(row), "--operator", operator_id, "--reason", "calm\x1b[2J down\x07")
    for command, hostile in (("show", "calm"), ("why", row["title"])):
        out = printed(copy, command, row["recommendation_id"])[1]
        assert hostile in out
        assert all(character.isprintable() or character == "\n" for character in out)


def test_a_refusal_says_what_to_do(copy: Pipeline, printed, operator_id: str) -> None:
    name = json_of_queue(copy)[0]["recommendation_id"]
    code, out, _ = printed(copy, "approve", f"{name}@{'0' * 64}", "--operator", operator_id)
    assert (code, out) == (
        1,
        f"{name}: refused, changed: its text is another one now; look again with `spendsense show {name}`\n",
    )


def test_text_that_the_terminal_cannot_show_is_still_json(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    print_out(Shown({"title": "Your card’s rate", "odd": "\udcff"}, []), True)
    narrow.flush()
    assert json.loads(narrow.buffer.getvalue()) == {"title": "Your card’s rate", "odd": "\udcff"}


def in_a_process(data: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT_ROOT), "SPENDSENSE_DATA": str(data)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_commands_on_the_governance_database_load_no_engine_and_no_frames(tmp_path: Path) -> None:
    """What makes them answer in a second: importing Dagster, pandas or Ibis alone takes longer."""
    ran = in_a_process(
        tmp_path / "data",
        "import sys\n"
        "from spendsense_pipeline import cli\n"
        "for words in (['queue'], ['released'], ['release'], ['operator', 'add', 'ada'], ['operator', 'list'],\n"
        "              ['approve', 'rec_x', '--operator', 'ada'], ['consent', 'history', 'x'], ['audit', 'verify']):\n"
        "    sys.argv = ['spendsense', *words, '--json']\n"
        "    try:\n"
        "        cli.main()\n"
        "    except SystemExit:\n"
        "        pass\n"
        "print(sorted({'dagster', 'pandas', 'ibis', 'duckdb', 'pandera', 'pyarrow'} & set(sys.modules)))",
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"
    assert not (tmp_path / "data" / "spendsense.db-wal").exists(), "all is in the file that an operator would copy"


def test_a_profile_is_computed_without_an_engine_a_compiler_or_a_contract(refreshed: Pipeline) -> None:
    """Each of them takes as long to load as the whole command."""
    ran = in_a_process(
        refreshed.settings.data,
        "import sys\n"
        "from spendsense_pipeline import cli\n"
        "sys.argv = ['spendsense', 'profile', 'cus_000001', '--window', '77', '--json']\n"
        "cli.main()\n"
        "heavy = {'alembic', 'dagster', 'duckdb', 'ibis', 'jinja2', 'numba', 'openai', 'pandera', 'scipy', 'sqlglot'}\n"
        "print(sorted(heavy & set(sys.modules)))",
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"


def test_a_reader_who_stops_reading_is_no_error_worth_a_traceback(tmp_path: Path) -> None:
    ran = in_a_process(
        tmp_path / "data",
        "import os, sys\n"
        "from spendsense_pipeline import cli\n"
        "read, write = os.pipe()\n"
        "os.close(read)\n"
        "os.dup2(write, 1)\n"
        "sys.argv = ['spendsense', 'operator', 'list']\n"
        "cli.main()",
    )
    assert (ran.returncode, ran.stderr) == (1, "")


def test_a_terminal_is_told_how_far_generating_is_and_a_program_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("SPENDSENSE_DATA", str(tmp_path))
    said = {}
    for name, flags in (("people", []), ("programs", ["--json"])):
        monkeypatch.setattr(
            sys, "argv", ["spendsense", "generate", "--users", "3", "--out", str(tmp_path / name), *flags]
        )
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        cli.main()
        said[name] = capsys.readouterr().err
    made = "[#############.......] 2 of 3 people made\n[####################] 3 of 3 people made\n"
    assert said == {"people": made, "programs": ""}


def test_compile_makes_the_kernels_ready_once(
    nothing: Pipeline, spendsense, printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    monkeypatch.setattr(compilation, "ProcessPoolExecutor", Inline)
    monkeypatch.setattr(compilation, "run_kernels", lambda cache: made.append(touched(cache)))
    code, out, err = printed(nothing, "compile")
    assert code == 0
    assert len(made) == 1
    assert "once per version" in err
    assert f"in {nothing.settings.kernels_folder}" in out
    again = spendsense(nothing, "compile")
    assert again.pop("seconds") >= 0
    assert again == {
        "path": str(nothing.settings.kernels_folder),
        "version": compiled.version(),
        "compiled": False,
    }
    assert len(made) == 1


def test_compile_makes_the_rest_ready_without_kernels(nothing: Pipeline, printed) -> None:
    plan.steps.cache_clear()
    code, out, err = printed(nothing, "compile", "--no-kernels")
    folder = nothing.settings.kernels_folder
    assert (code, err) == (0, "")
    assert f"in {folder}" in out
    assert sorted(file.name.partition("-")[0] for file in folder.iterdir()) == ["library", "plan"]


class Inline:
    """A pool that does the work here."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> "Inline":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work, *arguments: object) -> Future:
        done: Future = Future()
        done.set_result(work(*arguments))
        return done


def touched(cache: Path) -> Path:
    """What the compiler leaves."""
    file = compiled.place_of(cache, compiled.GENERIC, "")
    compiled.Code("kernel", "()", 0, b"").store(file)
    return file


@pytest.mark.verify
def test_compiled_ahead_a_run_compiles_nothing(nothing: Pipeline, spendsense) -> None:
    """For real: the kernels, and a run that finds them."""
    assert spendsense(nothing, "compile")["compiled"]
    assert compiled.ready(nothing.settings.kernels_folder)
    (kept,) = nothing.settings.kernels_folder.rglob("*.kernels")
    made = kept.stat().st_mtime_ns
    heard: list[str] = []
    compilation.make_ready(nothing.settings.kernels_folder, heard.append)
    assert heard == []
    assert list(nothing.settings.kernels_folder.rglob("*.kernels")) == [kept]
    assert made == kept.stat().st_mtime_ns
