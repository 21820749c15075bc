"""The written batch: its files, its bytes, and that nothing is ever overwritten or left half done."""

import datetime as dt
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.synthetic import Synthetic, batch_files, generate, write

AS_OF = dt.date(2026, 11, 20)
FILES = {"users.json", "accounts.json", "transactions.jsonl.gz", "liabilities.json", "truth.json"}


@pytest.fixture(scope="module")
def few() -> Synthetic:
    return generate(12, as_of=AS_OF)


def test_the_batch_reads_back_as_it_was_made(few: Synthetic, tmp_path: Path) -> None:
    write(few, tmp_path / "batch")
    assert {file.name for file in (tmp_path / "batch").iterdir()} == FILES
    with gzip.open(tmp_path / "batch" / "transactions.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    assert [row["amount"] for row in rows] == few.tables["transactions"]["amount"].tolist()
    assert set(rows[0]) == set(few.tables["transactions"].columns)
    assert any(row["merchant_entity_id"] is None for row in rows)
    users = json.loads((tmp_path / "batch" / "users.json").read_text())
    assert users[0]["consent_status"] is True
    assert users[0]["consent_revoked_at"] is None
    assert json.loads((tmp_path / "batch" / "truth.json").read_text()) == few.truth


def test_the_same_seed_and_date_write_the_same_bytes_in_another_process(few: Synthetic, tmp_path: Path) -> None:
    write(few, tmp_path / "here")
    code = (
        "import datetime as dt, pathlib, sys; from spendsense_pipeline.synthetic import generate, write;"
        "write(generate(12, as_of=dt.date(2026, 11, 20)), pathlib.Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, env=environment)
    for name in FILES:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_a_folder_with_something_in_it_is_refused_and_untouched(few: Synthetic, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(SpendSenseError) as refused:
        write(few, tmp_path)
    assert refused.value.code == "target_exists"
    assert [file.name for file in tmp_path.iterdir()] == ["kept.txt"]


def test_an_empty_folder_is_taken(few: Synthetic, tmp_path: Path) -> None:
    (tmp_path / "batch").mkdir()
    write(few, tmp_path / "batch")
    assert {file.name for file in (tmp_path / "batch").iterdir()} == FILES


def test_a_write_that_fails_leaves_nothing(few: Synthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(batch_files, "_write_lines", full)
    with pytest.raises(OSError, match="disk full"):
        write(few, tmp_path / "batch")
    assert not list(tmp_path.iterdir())


def test_very_many_users_get_their_transactions_as_parquet(
    few: Synthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_files, "MOST_USERS_AS_TEXT", 5)
    write(few, tmp_path / "batch")
    rows = pd.read_parquet(tmp_path / "batch" / "transactions.parquet")
    pd.testing.assert_frame_equal(rows, few.tables["transactions"])
