"""The benchmarks run, and do the same work as what they are measured beside."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from benchmarks import __main__ as command
from benchmarks import data, in_pandas, ingest, insights, measure
from spendsense_pipeline import row_groups, warehouse
from spendsense_pipeline.features import by_range


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


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of benchmarks' data, in which twenty generated customers are enough; they are generated once."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(data, "CUSTOMERS", 20)
        yield tmp_path_factory.mktemp("few")


def test_tables_of_any_size_lie_as_the_warehouse_stores_them(few: Path, tmp_path: Path) -> None:
    made = data.stored(few, 240)  # eleven copies and more: 2 sorts after 10 where numbers are not padded
    for table, order in warehouse.CLUSTERED.items():
        file = f"'{made}/{table}.parquet'"
        by = ", ".join(order)
        (unsorted,) = duckdb.sql(
            f"SELECT count(*) FROM (SELECT ({by}) < lag(({by})) OVER (ORDER BY file_row_number) AS wrong "
            f"FROM read_parquet({file}, file_row_number = true)) WHERE wrong"
        ).fetchone()
        assert unsorted == 0, table
    schema = by_range.columns_of("transactions")
    stored = warehouse.stored_by_customer(str(made), "transactions", schema, "", by_range.MOST_ROWS, scratch=tmp_path)
    assert stored.files == (f"{made}/transactions.parquet",), "a copy would be sorted in the measured run"
    assert row_groups.groups(stored)


@pytest.mark.parametrize("paid", [True, False], ids=["as generated", "where nobody is paid"])
def test_the_pandas_contender_runs_where(paid: bool, few: Path, tmp_path: Path) -> None:
    tables, out = shutil.copytree(data.stored(few, 20), tmp_path / "tables"), tmp_path / "out"
    out.mkdir()
    if not paid:
        file = tables / "transactions.parquet"
        unpaid = duckdb.sql(f"FROM '{file}' WHERE amount < 0").arrow().read_all()
        pq.write_table(unpaid, file)
    told = in_pandas.features(str(tables), str(out))
    found = duckdb.sql(
        f"SELECT count(*), count(avg_monthly_income), bool_or(payroll_detected) FROM '{out}/features_30d.parquet'"
    )
    customers, incomes, payroll = found.fetchone()
    assert customers == told["customers"] > 0
    assert (incomes > 0, payroll) == (paid, paid)


def test_memory_and_processor_time_of_children_count(tmp_path: Path) -> None:
    child = "b = b'x' * 80_000_000; x = sum(range(10**7)); print(flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    started = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    started.stdout.readline()
    watched = measure.Watched(started.pid)
    watched.look()
    started.communicate(b"\n")
    assert watched.peak > 80_000_000
    assert watched.processor > 0.05


@pytest.mark.verify
@pytest.mark.parametrize(
    "words",
    [
        ["features", "--rows", "1000", "--stored", "2000"],
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


def test_the_forecast_is_replayed_and_counts_what_came_true() -> None:
    found = insights.forecast(insights.accepted(insights.SETTINGS["normal"](8, 5)))
    assert 0 < found["coverage"] <= 1
    assert found["came true"] <= found["warned"]
