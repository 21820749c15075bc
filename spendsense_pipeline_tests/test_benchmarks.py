"""The benchmarks run, and do the same work as what they are measured beside."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from benchmarks import __main__ as command
from benchmarks import ingest


def test_ours_and_the_bare_read_take_in_the_same_transactions(tmp_path: Path) -> None:
    batch = ingest.batches(tmp_path, 10) / "csv"
    sums = []
    for contender, options in ((ingest.ours, {}), (ingest.bare, {"kind": "csv"})):
        out = tmp_path / contender.__name__
        out.mkdir()
        contender(str(batch), str(out), **options)
        sums.append(duckdb.sql(f"SELECT count(*), sum(amount)::DECIMAL(18, 2) FROM '{out}/transactions.parquet'"))
    ours, bare = (one.fetchone() for one in sums)
    assert ours == bare
    assert ours[0] > 0


def test_a_section_measured_again_replaces_itself_alone(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    for title, line in (("Drafts", "slow"), ("Features", "kept"), ("Drafts", "fast\\1")):
        command.write(document, title, [line])
    assert document.read_text() == "# Benchmarks\n\n## Drafts\n\nfast\\1\n\n## Features\n\nkept\n"


@pytest.mark.verify
@pytest.mark.parametrize(
    "words",
    [
        ["ingest", "--customers", "20"],
        ["drafts", "--customers", "10", "20"],
        ["governance", "--rows", "1000", "--open", "100"],
        ["whole-way", "--customers", "20"],
        ["daily", "--customers", "20"],
    ],
    ids=lambda words: words[0],
)
def test_every_benchmark_runs(words: list[str], tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    options = ["--repeats", "1", "--folder", str(tmp_path / "made"), "--write", str(document)]
    subprocess.run([sys.executable, "-m", "benchmarks", *words, *options], check=True)
    assert "failed" not in document.read_text()
    assert document.read_text().count("\n|") > 3
