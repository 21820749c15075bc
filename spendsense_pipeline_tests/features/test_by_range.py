"""Customers a range at a time: the same files whoever computes which range, and nothing half done."""

import ast
import datetime as dt
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import s3fs
from filelock import FileLock, Timeout
from moto.server import ThreadedMotoServer

from spendsense_pipeline import row_groups, runners
from spendsense_pipeline.contracts import CONTRACTS, arrow_schema
from spendsense_pipeline.features import by_range
from spendsense_pipeline.features.by_range import Task
from spendsense_pipeline.features.signals import Customers, signals_of
from spendsense_pipeline.ranges import Range
from spendsense_pipeline.row_groups import Stored
from spendsense_pipeline.runners import RangeFailed, in_processes
from spendsense_pipeline_tests.features.ledger import AS_OF, Ledger
from spendsense_pipeline_tests.recommendations.test_stages import Stages, cut_small

DATES = (AS_OF - dt.timedelta(days=1), AS_OF)
WINDOWS = (30, 180)
PAYING = ("b", "c", "e", "f", "g")
CUSTOMERS = sorted((*PAYING, "a silent", "d silent", "d without an account", "zz silent"))


def canonical() -> dict[str, pa.Table]:
    """Five who pay two payees each month, one of them much; between and around them some without rows or accounts."""
    ledger = Ledger()
    for name in CUSTOMERS:
        accounts = ledger.customer(name, *([] if "without" in name else ["checking"]))
        for month in range(6 if name in PAYING else 0):
            ledger.row(accounts[0], 5 + 30 * month, -9.99, "Spotify", "ENTERTAINMENT_MUSIC_AND_AUDIO")
            for shop in range(40 if name == "e" else 1):
                ledger.row(accounts[0], 9 + 30 * month, -ord(name) - month, f"Shop {shop}", "GENERAL_MERCHANDISE")
        if name == "c":
            ledger.account(name, "savings", iso_currency_code="EUR")
    return {
        name: pa.Table.from_pylist(rows, schema=arrow_schema(CONTRACTS[name])).sort_by("user_id")
        for name, rows in ledger.rows.items()
    }


def stored(root: str, *, parts: int = 1) -> dict[str, Stored]:
    """The canonical tables at a path or URI; transactions as a folder of parts where there are several."""
    tables = {}
    for name, rows in canonical().items():
        size = -(-len(rows) // (parts if name == "transactions" else 1)) or 1
        files = [f"{root}/{name}-{at:03}.parquet" for at in range(0, max(len(rows), 1), size)]
        for number, file in enumerate(files):
            filesystem, path = row_groups.fsspec.core.url_to_fs(file)
            filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            pq.write_table(rows.slice(number * size, size), path, filesystem=filesystem, row_group_size=5)
        tables[name] = Stored(tuple(files), by_range.columns_of(name))
    return tables


def tasks(tables: dict[str, Stored], folder: str, rows: int) -> list[Task]:
    """Ranges of about so many rows."""
    groups = row_groups.groups(tables["transactions"]) or []
    (whole,) = by_range.tasks_of(tables, DATES, WINDOWS, folder, workers=2)  # so few rows are one range
    return [
        Task(whole.request, number, one, one.start or "b") for number, one in enumerate(row_groups.cut(groups, rows))
    ]


def partitions(computed: by_range.Computed, folder: Path) -> dict[str, bytes]:
    """Each partition as its file would be, and the report."""
    found = {"left_out": str(computed.left_out.to_pylist()).encode()}
    for table, parts in computed.parts.items():
        for date, files in parts.of.items():
            row_groups.gather(files, folder / "whole.parquet", arrow_schema(CONTRACTS[table]))
            found[f"{table}/{date}"] = (folder / "whole.parquet").read_bytes()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one range in this process makes of the tables."""
    folder = tmp_path_factory.mktemp("whole")
    one = tasks(stored(f"{folder}/tables"), f"{folder}/parts", 1_000)
    assert len(one) == 1
    return partitions(by_range.compute(one, runners.here), folder)


def table(content: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(content))


def test_every_customer_has_a_row_for_each_date_and_window_in_the_order_of_their_ids(whole: dict[str, bytes]) -> None:
    assert {name for name in whole if "features" in name} == {
        f"features_{window}d/{date}" for window in WINDOWS for date in DATES
    }
    for name, content in whole.items():
        if name.startswith("features"):
            rows = table(content)
            assert rows["user_id"].to_pylist() == CUSTOMERS
            assert {
                f"features_{days}d/{date}"
                for days, date in zip(rows["window_days"].to_pylist(), rows["as_of"].to_pylist(), strict=True)
            } == {name}
    streams = table(whole[f"recurring_streams/{AS_OF}"])
    assert set(streams["user_id"].to_pylist()) == set(PAYING)
    assert streams["user_id"].to_pylist() == sorted(streams["user_id"].to_pylist())
    assert set(streams["as_of"].to_pylist()) == {AS_OF}
    assert whole["left_out"] == str([{"as_of": date, "currency": "EUR", "accounts": 1} for date in DATES]).encode()


@pytest.mark.parametrize(("rows", "ranges", "workers", "parts"), [(100, 3, 2, 1), (5, 5, 1, 1), (5, 5, 2, 3)])
def test_ranges_workers_and_parts_change_no_byte(
    rows: int, ranges: int, workers: int, parts: int, whole: dict[str, bytes], tmp_path: Path
) -> None:
    some = tasks(stored(f"{tmp_path}/tables", parts=parts), f"{tmp_path}/parts", rows)
    assert len(some) == ranges
    progress: list[tuple[int, int]] = []
    computed = by_range.compute(some, in_processes(workers), lambda *done: progress.append(done))
    assert partitions(computed, tmp_path) == whole
    assert progress == [(number, ranges) for number in range(1, ranges + 1)]


def test_ranges_in_threads_of_one_process_change_no_byte(whole: dict[str, bytes], tmp_path: Path) -> None:
    some = tasks(stored(f"{tmp_path}/tables"), f"{tmp_path}/parts", 5)
    with ThreadPoolExecutor(4) as pool:
        assert partitions(by_range.compute(some, lambda each: pool.map(runners.do, each)), tmp_path) == whole


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on a server that speaks S3, set up in the environment as a deployment does."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    boto3.client("s3").create_bucket(Bucket="lake")
    yield "s3://lake/spendsense"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_tables_and_parts_on_an_object_store_change_no_byte(
    whole: dict[str, bytes], bucket: str, tmp_path: Path
) -> None:
    some = tasks(stored(f"{bucket}/tables", parts=2), f"{bucket}/parts", 100)
    assert partitions(by_range.compute(some, in_processes(2)), tmp_path) == whole


@pytest.fixture(scope="module")
def spark():
    """Spark on this machine."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("SPARK IS NOT PROVEN HERE: there is no Java (17 or later)")
    from spendsense_pipeline.spark import context

    opened = context("local[2]")
    yield opened
    opened.stop()


def test_spark_changes_no_byte(whole: dict[str, bytes], spark, tmp_path: Path) -> None:
    some = tasks(stored(f"{tmp_path}/tables"), f"{tmp_path}/parts", 5)
    assert partitions(by_range.compute(some, runners.on_spark(spark)), tmp_path) == whole


def broken(folder: Path) -> list[Task]:
    """Five ranges of which the fourth, from customer f on, cannot be read."""
    tables = stored(f"{folder}/tables", parts=1)
    rows = canonical()["transactions"]
    files = []
    for name in PAYING:
        part = rows.filter(pc.equal(rows["user_id"], name))
        files.append(f"{folder}/tables/{name}.parquet")
        pq.write_table(part.drop_columns("amount") if name == "f" else part, files[-1])
    tables["transactions"] = Stored(tuple(files), by_range.columns_of("transactions"))
    some = tasks(tables, f"{folder}/parts", 1)
    assert [task.customers for task in some][3] == Range("f", "g")
    return some


@pytest.fixture
def started() -> Callable[[], set[BaseProcess]]:
    """Asks for the living processes that were started since; those of other tests' fixtures live beside them."""
    before = set(multiprocessing.active_children())
    return lambda: set(multiprocessing.active_children()) - before


@pytest.mark.parametrize("workers", [1, 2])
def test_a_range_that_fails_ends_the_run_and_names_its_first_customer(
    workers: int, started: Callable[[], set[BaseProcess]], tmp_path: Path
) -> None:
    with pytest.raises(RangeFailed, match=r"customers from 'f' on .*f\.parquet has no column amount") as failed:
        by_range.compute(broken(tmp_path), in_processes(workers))
    assert failed.value.code == "range_failed"
    assert started() == set()


def test_on_spark_situations_matches_and_drafts_are_those_of_the_pool(
    spark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Stages(tmp_path / "pool", runners.here).all()
    cut_small(monkeypatch)
    for name, table in Stages(tmp_path / "spark", runners.on_spark(spark)).all().items():
        pd.testing.assert_frame_equal(table, pool[name])


def test_on_spark_a_range_that_fails_says_the_same(spark, tmp_path: Path) -> None:
    with pytest.raises(RangeFailed, match=r"^customers from 'f' on .*f\.parquet has no column amount; [a-z ]+$"):
        by_range.compute(broken(tmp_path), runners.on_spark(spark))


def test_a_worker_that_is_killed_ends_the_run_and_says_what_helps(
    started: Callable[[], set[BaseProcess]], tmp_path: Path
) -> None:
    def kill(_done: int, _of: int) -> None:
        workers = started()
        assert workers
        for worker in workers:
            worker.kill()

    some = tasks(stored(f"{tmp_path}/tables"), f"{tmp_path}/parts", 5)
    with pytest.raises(RangeFailed, match=r"killed.*customers from '[a-z]' on.*SPENDSENSE_WORKERS=1"):
        by_range.compute(some, in_processes(2), kill)
    assert started() == set()


def test_what_starts_a_worker_is_light() -> None:
    """A worker that imported Dagster or the engine would start seconds later, and hold their memory."""
    code = (
        "import spendsense_pipeline.features.by_range, sys; print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"dagster", "ibis", "pandera", "pandas", "duckdb", "sqlalchemy"} & set(ast.literal_eval(loaded))


KILLED = """
import sys, time
from filelock import FileLock
from spendsense_pipeline.runners import Task, in_processes

held = []  # until the process ends

class Holds(Task):
    def compute(self):
        held.append(FileLock(self.request))
        held[-1].acquire()
        time.sleep(1 if self.number else 0)

if __name__ == "__main__":
    tasks = [Holds(path, number, None, "") for number, path in enumerate(sys.argv[1:])]
    for one in in_processes(2)(tasks):
        print("done", flush=True)
        time.sleep(60)
"""


def test_processes_end_where_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(KILLED)
    locks = [tmp_path / "one.lock", tmp_path / "other.lock"]
    with subprocess.Popen([sys.executable, tmp_path / "killed.py", *locks], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"done\n"
        with pytest.raises(Timeout):
            FileLock(locks[0]).acquire(timeout=0)
        starter.kill()
    for lock in locks:
        FileLock(lock).acquire(timeout=20)


def test_no_customers_are_one_empty_range(tmp_path: Path) -> None:
    tables = {}
    for name in by_range.TABLES:
        pq.write_table(arrow_schema(CONTRACTS[name]).empty_table(), f"{tmp_path}/{name}.parquet")
        tables[name] = Stored((f"{tmp_path}/{name}.parquet",), by_range.columns_of(name))
    some = by_range.tasks_of(tables, DATES, WINDOWS, f"{tmp_path}/parts", workers=4)
    assert [task.customers for task in some] == [Range()]
    found = partitions(by_range.compute(some, in_processes(4)), tmp_path)
    assert all(table(content).num_rows == 0 for name, content in found.items() if name != "left_out")


@pytest.mark.parametrize(
    ("least", "most", "workers", "ranges"),
    [(201, 400, 1, 1), (200, 400, 1, 1), (10, 400, 1, 1), (10, 400, 2, 2), (10, 150, 2, 4), (50, 400, 10, 8)],
)
def test_small_tables_are_one_range_and_others_as_many_for_each_worker_within_bounds(
    least: int, most: int, workers: int, ranges: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = pa.table({"user_id": [f"{customer:02}" for customer in range(40) for _ in range(10)]})
    pq.write_table(rows, tmp_path / "transactions.parquet", row_group_size=10)
    tables = {"transactions": Stored((f"{tmp_path}/transactions.parquet",), rows.schema)}
    monkeypatch.setattr(by_range, "LEAST_ROWS", least)
    monkeypatch.setattr(by_range, "MOST_ROWS", most)
    assert len(by_range.tasks_of(tables, DATES, WINDOWS, "parts", workers)) == ranges


@pytest.mark.parametrize(
    ("setting", "rows", "compiled"),
    [
        ("always", 1, True),
        ("never", 10**9, False),
        ("auto", by_range.COMPILE_FROM, True),
        ("auto", by_range.COMPILE_FROM - 1, False),
    ],
)
def test_kernels_are_compiled_where_it_is_quicker_or_as_set(
    setting: by_range.Compile, rows: int, compiled: bool
) -> None:
    assert by_range.choose(setting, rows) is compiled


def test_what_a_range_reads_is_what_the_whole_reads(tmp_path: Path) -> None:
    """The customers of a range, computed by themselves, are those customers of the whole."""
    tables = stored(str(tmp_path))
    some = Customers(**{name: row_groups.rows_of(tables[name], Range("c", "e")) for name in by_range.TABLES})
    assert some.users["user_id"].to_pylist() == ["c", "d silent", "d without an account"]
    assert set(signals_of(some, [AS_OF]).features["user_id"].to_pylist()) == set(some.users["user_id"].to_pylist())
