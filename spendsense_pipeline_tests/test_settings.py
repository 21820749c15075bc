"""What the environment may say, and what is refused with a sentence."""

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spendsense_pipeline.settings import PROJECT_ROOT, InvalidSettings, Settings
from spendsense_pipeline_tests.conftest import Pipeline


def test_without_any_setting_everything_lies_in_the_folder_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert settings.data == tmp_path / "data"
    assert settings.warehouse_root == str(tmp_path / "data" / "warehouse")
    assert settings.governance_url == f"sqlite:///{tmp_path / 'data' / 'spendsense.db'}"
    assert settings.landing == tmp_path / "data" / "landing"
    assert settings.home == tmp_path / "data" / "dagster"
    assert settings.kernels_folder == tmp_path / "data" / "kernels"
    assert (settings.engine, settings.generator) == ("duckdb", "library")
    assert (settings.first_date, settings.timezone) == (dt.date(2026, 1, 1), "UTC")
    assert (settings.consent_days, settings.four_eyes) == (0, False)
    assert not settings.brings_own_home
    assert list(tmp_path.iterdir()) == []


def test_the_variables_of_the_interface_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = {
        "SPENDSENSE_DATA": str(tmp_path / "elsewhere"),
        "SPENDSENSE_WAREHOUSE": "memory://lake",
        "SPENDSENSE_DATABASE_URL": "postgresql://reader@db/spend",
        "SPENDSENSE_ENGINE": "spark",
        "SPENDSENSE_KERNELS": str(tmp_path / "kernels"),
        "SPENDSENSE_SPARK_MASTER": "spark://cluster:7077",
        "SPENDSENSE_WORKERS": "3",
        "SPENDSENSE_COMPILE": "never",
        "SPENDSENSE_GENERATOR": "openai",
        "OPENAI_API_KEY": "sk-not-told",
        "OPENAI_BASE_URL": "http://127.0.0.1:8000/v1",
        "SPENDSENSE_OPENAI_MODEL": "another",
        "SPENDSENSE_OPENAI_IN_FLIGHT": "32",
        "SPENDSENSE_OPENAI_PRICES": "0.2,0.8",
        "SPENDSENSE_FIRST_DATE": "1997-01-01",
        "SPENDSENSE_TIMEZONE": "Europe/Berlin",
        "SPENDSENSE_CONSENT_DAYS": "365",
        "SPENDSENSE_FOUR_EYES": "true",
        "DAGSTER_HOME": str(tmp_path / "home"),
    }
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.data == tmp_path / "elsewhere"
    assert settings.warehouse_root == "memory://lake"
    assert settings.kernels_folder == tmp_path / "kernels"
    assert (settings.engine, settings.spark_master) == ("spark", "spark://cluster:7077")
    assert (settings.workers, settings.compile) == (3, "never")
    assert settings.governance_url == "postgresql://reader@db/spend"
    assert (settings.first_date, settings.timezone) == (dt.date(1997, 1, 1), "Europe/Berlin")
    assert (settings.consent_days, settings.four_eyes) == (365, True)
    assert settings.home == tmp_path / "home"
    assert settings.brings_own_home
    assert (settings.generator, settings.openai_model) == ("openai", "another")
    assert (settings.openai_base_url, settings.openai_in_flight) == ("http://127.0.0.1:8000/v1", 32)
    assert settings.prices == (0.2, 0.8)
    assert "sk-not-told" not in repr(settings)


def test_relative_folders_mean_those_of_the_process_that_reads_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPENDSENSE_DATA", "here")
    monkeypatch.setenv("SPENDSENSE_WAREHOUSE", "lake")
    monkeypatch.setenv("SPENDSENSE_DATABASE_URL", "sqlite:///governance.db?timeout=5")
    settings = Settings()
    monkeypatch.chdir("/")
    assert settings.governance_url == f"sqlite:///{tmp_path}/governance.db?timeout=5"
    assert settings.landing == tmp_path / "here" / "landing"
    assert settings.warehouse_root == str(tmp_path / "lake")


def test_a_variable_set_to_nothing_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SPENDSENSE_DATA", "SPENDSENSE_WAREHOUSE", "SPENDSENSE_CONSENT_DAYS", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    assert Settings() == Settings(data=tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SPENDSENSE_ENGINE", "polars", "only 'duckdb' or 'spark'"),
        ("SPENDSENSE_WORKERS", "0", "greater than or equal to 1"),
        ("SPENDSENSE_COMPILE", "sometimes", "only 'auto', 'always' or 'never'"),
        ("SPENDSENSE_GENERATOR", "a-poet", "only 'library' or 'openai'"),
        ("SPENDSENSE_OPENAI_IN_FLIGHT", "0", "greater than or equal to 1"),
        ("SPENDSENSE_OPENAI_MAX_COST", "cheap", "number"),
        ("SPENDSENSE_OPENAI_PRICES", "0.15", "two numbers"),
        ("SPENDSENSE_CONSENT_DAYS", "a year", "integer"),
        ("SPENDSENSE_CONSENT_DAYS", "-1", "greater than or equal to 0"),
        ("SPENDSENSE_FIRST_DATE", "soon", "date"),
        ("SPENDSENSE_TIMEZONE", "Mars/Olympus", "timezone"),
        ("SPENDSENSE_TIMEZONE", "../../etc/passwd", "timezone"),
        ("SPENDSENSE_FOUR_EYES", "perhaps", "boolean"),
        ("SPENDSENSE_WAREHOUSE", "pigeon://loft", "pigeon"),
    ],
)
def test_what_means_nothing_is_refused_by_name_and_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as refused:
        Settings()
    assert refused.value.code == "invalid_settings"
    assert str(refused.value).startswith(f"{name} is {value!r}: ")
    assert said in str(refused.value)


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.endswith("_days")])
def test_no_number_of_days_leaves_the_calendar(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SPENDSENSE_{name.upper()}", "1000000")
    with pytest.raises(InvalidSettings, match="less than or equal to"):
        Settings()


def test_a_refused_database_address_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDSENSE_DATABASE_URL", "mysql://root:secret@db/spend")
    with pytest.raises(InvalidSettings) as refused:
        Settings()
    assert "SPENDSENSE_DATABASE_URL should begin with sqlite:/// or postgresql://" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_bad_setting_ends_a_command_with_one_line(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT_ROOT),
        "SPENDSENSE_DATA": str(tmp_path / "data"),
        "SPENDSENSE_ENGINE": "polars",
    }
    command = [sys.executable, "-m", "spendsense_pipeline.cli", "queue", "--json"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert json.loads(ended.stderr)["error"]["code"] == "invalid_settings"


def test_two_data_folders_never_touch(copy: Pipeline, spendsense, tmp_path: Path) -> None:
    other = Pipeline(Settings(data=tmp_path / "other"))
    before = {path: path.stat().st_mtime_ns for path in copy.settings.data.rglob("*")}
    assert spendsense(other, "operator", "add", "ada")["status"] == "added"
    assert spendsense(other, "queue")["total"] == 0
    assert spendsense(other, "users", code=1)["error"]["code"] == "not_materialized"
    made = spendsense(other, "generate", "--users", "5", "--as-of", "2026-06-30")
    assert Path(made["path"]).is_relative_to(tmp_path / "other")
    assert {path: path.stat().st_mtime_ns for path in copy.settings.data.rglob("*")} == before
    assert "ada" not in {row["operator_id"] for row in spendsense(copy, "operator", "list")["operators"]}
