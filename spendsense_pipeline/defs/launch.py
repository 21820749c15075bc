"""Running the graph from a command: Dagster's home, the instance, one job to its end.

Runs go through the same instance as the UI's, so what a command did shows there. What does not belong here: what
the jobs do, and anything printed.
"""

import datetime as dt
import functools
import gc
import itertools
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.event import listen

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs.failures import what_failed
from spendsense_pipeline.defs.feature_assets import JOB as REFRESH
from spendsense_pipeline.defs.feature_assets import WINDOWS
from spendsense_pipeline.defs.ingest import BATCHES, COUNTED, LAST, MERGE_LOCK, merges
from spendsense_pipeline.defs.ingest import JOB as INGEST
from spendsense_pipeline.defs.release_assets import JOB as RELEASE
from spendsense_pipeline.defs.runs import EXPIRES, SHOWN, UNFINISHED, fail_dead_runs, lease_tags, leased
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.ingest.statements import converted
from spendsense_pipeline.insights.kinds import TABLES
from spendsense_pipeline.settings import PROJECT_ROOT, Settings

PATIENCE = 600  # seconds
PATIENCE_WITH_FILES = 60.0  # seconds that a writer of Dagster's event log waits for another
PROGRESS = logging.getLogger("spendsense.progress")
"""Each step of a command's run as it starts, and what steps say of their counts; nobody listens unless asked to."""

EVALUATED = {"evaluation_metrics", "operator_report", "operator_review"}
"""What tells of the queue as it is now: two assets, and the check of the operators."""

OF_A_RANGE = {
    "payees",
    "recurring_streams",
    "cards",
    *TABLES,
    *(f"{table}_{window}d" for table in ("features", "persona_assignments") for window in WINDOWS),
}
"""What a run over several dates computes. Drafts and the queue go date by date: a draft knows of those before it."""
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
"""Tags of a run over all partitions from one to another, as Dagster's own backfills set them."""

HOME = """\
# Written once by SpendSense; edit freely, it is not written again.
telemetry:
  enabled: false
nux:
  # No sign-up dialog before the graph.
  enabled: false
concurrency:
  runs:
    # One merge of a batch into the tables at a time.
    tag_concurrency_limits:
      - key: spendsense/merge
        limit: 1
"""


class RunFailed(SpendSenseError):
    """A run ended without success; the message is that of the first step that failed."""

    code = "run_failed"


@dataclass(frozen=True)
class Ran:
    """A finished run: its id, the materialisation metadata of each asset by name (of several dates, the last), and
    the rows stored of each, over all its dates."""

    run_id: str
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


def prepare_home(settings: Settings) -> None:
    """Create Dagster's home once, with telemetry off; a home that the user brought is left as it is."""
    if settings.brings_own_home:
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    configuration = settings.home / "dagster.yaml"
    if not configuration.exists():
        configuration.write_text(HOME)


@contextmanager
def opened_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance of ``settings.home``, closed at the end; the first to open it creates its storage."""
    prepare_home(settings)
    with dg.DagsterInstance.from_config(str(settings.home)) as instance, _event_log_kept_open(instance):
        yield instance


@contextmanager
def _event_log_kept_open(instance: dg.DagsterInstance) -> Iterator[None]:
    """Open each file of Dagster's SQLite event log once, while the block lasts.

    By itself it makes an engine, opens a file, compiles its statement, waits for the disk and closes the file again for
    each of a run's thousand events: on a busy machine a third of a small run's time. Here the disk is waited for at
    SQLite's checkpoints; only a power failure can take the last events, and the run with them. Of Dagster's storage
    this uses and replaces public methods alone; one that has no files for each run is left as it is.
    """
    storage: Any = instance.event_log_storage
    if not hasattr(storage, "conn_string_for_shard"):
        yield
        return
    engines: dict[str, Engine] = {}
    lock, first = threading.Lock(), {"run": storage.run_connection, "index": storage.index_connection}

    @contextmanager
    def connected(shard: str, create: Callable[[], AbstractContextManager[Any]]) -> Iterator[Connection]:
        with lock:
            if shard not in engines:
                with create():  # the file, or bring it up to date
                    pass
                address = storage.conn_string_for_shard(shard)
                engines[shard] = create_engine(address, connect_args={"timeout": PATIENCE_WITH_FILES})
                listen(engines[shard], "connect", lambda file, _: file.execute("PRAGMA synchronous = NORMAL"))
            with engines[shard].begin() as connection:
                yield connection

    storage.run_connection = lambda run_id=None: connected(run_id, lambda: first["run"](run_id))
    storage.index_connection = lambda: connected("index", first["index"])
    # It is asked before every event of an asset or a check, by itself over a connection of its own.
    storage.has_table = functools.cache(storage.has_table)
    try:
        yield
    finally:
        for engine in engines.values():
            engine.dispose()


def ingest_folder(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    source: Path,
    batch_id: str | None = None,
    *,
    responses: bool = False,
    statements: str | None = None,
    user: str | None = None,
    ids: str | None = None,
    full: bool = False,
) -> tuple[str, Ran]:
    """Land a folder (of tables, or of Plaid's ``responses``) and ingest it; returns the batch's id and the run.

    ``statements`` is the format of a bank's files in it, those of ``user`` where no folder names the customer. ``ids``
    is what the batch is to declare of its transactions' ids; ``full`` judges every stored row. The folder appears in
    the landing zone only when nothing else is merging and this run starts, so no sensor takes it. A batch that is
    refused leaves nothing behind: mended, it may come again under the same id. What killed commands left behind is
    ingested first.
    """
    if not settings.ingest:
        raise SpendSenseError(
            "SPENDSENSE_INGEST is false: this deployment reads tables of its own and nothing lands",
            code="nothing_lands",
        )
    with ExitStack() as stack:
        folder = stack.enter_context(converted(source, statements, user)) if statements else source
        dead = stack.enter_context(_one_merge_at_a_time(instance))
        landing.clear_arriving(settings.landing, dt.datetime.now(dt.UTC) - dt.timedelta(seconds=EXPIRES))
        if not instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED)):  # what killed runs left
            warehouse.clear(settings.scratch)
        known = {landed.name for landed in settings.landing.iterdir()} if settings.landing.is_dir() else set()
        name = source.resolve().name
        batch = landing.land(folder, settings.landing, batch_id, responses=responses, ids=ids, name=name).name
        for left in _left_behind(instance, settings, dead, batch):
            try:
                _ingest(definitions, instance, left)
            except RunFailed as error:  # its own run says so; it is not what this command was asked for
                PROGRESS.warning("%s", error)
        try:
            return batch, _ingest(definitions, instance, batch, full=full)
        except RunFailed:
            if batch not in known and batch not in warehouse.partitions(settings.warehouse_root, "raw_users"):
                shutil.rmtree(settings.landing / batch)
                instance.delete_dynamic_partition(str(BATCHES.name), batch)
            raise


def _left_behind(instance: dg.DagsterInstance, settings: Settings, dead: Sequence[str], own: str) -> list[str]:
    """Landed batches that killed commands began: those of ``dead`` runs, and those whose run was not even recorded."""
    stored = {*warehouse.partitions(settings.warehouse_root, LAST), *dead, own}
    listed = [one for one in instance.get_dynamic_partitions(str(BATCHES.name)) if one not in stored]
    runs = (dg.RunsFilter(job_name=INGEST, tags={"dagster/partition": one}) for one in listed)
    begun = [one for one, run in zip(listed, runs, strict=True) if not instance.get_runs_count(run)]
    return [one for one in sorted({*dead, *begun} - {own}) if (settings.landing / one).is_dir()]


def ingest_batch(definitions: dg.Definitions, instance: dg.DagsterInstance, batch_id: str) -> Ran:
    """Make the landed folder a partition and run it through to the merged tables."""
    with _one_merge_at_a_time(instance):
        return _ingest(definitions, instance, batch_id)


def _ingest(definitions: dg.Definitions, instance: dg.DagsterInstance, batch_id: str, *, full: bool = False) -> Ran:
    instance.add_dynamic_partitions(str(BATCHES.name), [batch_id])
    return _run(definitions, instance, INGEST, batch_id, {"ops": {"canonical_tables": {"config": {"full": full}}}})


@contextmanager
def _one_merge_at_a_time(instance: dg.DagsterInstance) -> Iterator[list[str]]:
    """Wait for the merges of other commands, of the UI and of the sensor; two at once would do the work twice.

    Yields the batches of runs that were found dead.
    """
    with FileLock(Path(instance.root_directory) / MERGE_LOCK):
        yield _await_merges(instance)


def _await_merges(instance: dg.DagsterInstance) -> list[str]:
    """Wait until no run of the UI or the sensor merges a batch; give up after ``PATIENCE``."""
    dead: list[str] = []
    for _ in range(PATIENCE):
        dead += fail_dead_runs(instance, {INGEST})
        merging = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)) if merges(run)]
        if not merging:
            found = (
                instance.get_run_records(dg.RunsFilter(run_ids=dead, job_name=INGEST), ascending=True) if dead else []
            )
            batches = [one.dagster_run.tags.get("dagster/partition") for one in found]
            return [batch for batch in batches if batch]
        time.sleep(1)
    raise SpendSenseError(
        f"run {merging[0]} has been merging a batch for more than {PATIENCE} seconds; look at it in the UI and end it "
        "if it hangs, then try again",
        code="merge_under_way",
    )


def release(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Ran:
    """Run the gate once, as a run that shows in the UI."""
    return _run(definitions, instance, RELEASE, None, {})


def evaluate(definitions: dg.Definitions, instance: dg.DagsterInstance, as_of: dt.date) -> Ran:
    """The metrics of a date that was run, its page for the operators and the check of the queue, as they are now."""
    return _run(definitions, instance, REFRESH, as_of.isoformat(), {}, only=EVALUATED)


def daily_refresh(
    definitions: dg.Definitions, instance: dg.DagsterInstance, as_of: dt.date, *, regenerate: bool = False
) -> Ran:
    """Features to approval queue for one date; ``regenerate`` asks the language model about every situation anew."""
    _require_partition(definitions.resolve_job_def(REFRESH).partitions_def, as_of)
    config = {"ops": {"education_templates": {"config": {"regenerate": regenerate}}}}
    return _run(definitions, instance, REFRESH, as_of.isoformat(), config)


def refresh_range(definitions: dg.Definitions, instance: dg.DagsterInstance, first: dt.date, last: dt.date) -> Ran:
    """Streams, features and personas of each date from ``first`` to ``last`` in one run; nothing is drafted, nothing
    enters the queue."""
    if first > last:
        raise SpendSenseError(f"{first} is after {last}: give the earlier date first", code="unknown_date")
    partitions = definitions.resolve_job_def(REFRESH).partitions_def
    for day in (first, last):
        _require_partition(partitions, day)
    return _run(definitions, instance, REFRESH, (first.isoformat(), last.isoformat()), {}, only=OF_A_RANGE)


def _require_partition(partitions: dg.PartitionsDefinition | None, day: dt.date) -> None:
    if partitions is None or not partitions.has_partition_key(day.isoformat()):
        raise SpendSenseError(
            f"{day} is no partition: dates run from SPENDSENSE_FIRST_DATE (default 2026-01-01) to today",
            code="unknown_date",
        )


def _run(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    partition: str | tuple[str, str] | None,
    config: Mapping[str, Any],
    *,
    only: Collection[str] | None = None,
) -> Ran:
    """Run a job to its end, of one ``partition`` or of all from one to another; ``only`` leaves the assets of these
    names with their checks, and the checks of these."""
    # Planning an expression makes millions of small objects that live until it is planned; at the usual threshold
    # the collector would walk them over and over (a quarter of a small run's time).
    gc.freeze()
    gc.set_threshold(200_000, 50, 50)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    definition = definitions.resolve_job_def(job)
    if only:
        keys = {key for key in definition.asset_layer.selected_asset_keys if key.path[-1] in only}
        checks = {
            key
            for key in definition.asset_layer.asset_graph.asset_check_keys
            if key.asset_key in keys or key.name in only
        }
        definition = definition.get_subset(asset_selection=keys, asset_check_selection=checks)
    run_id = str(uuid.uuid4())
    if PROGRESS.isEnabledFor(logging.INFO):
        instance.add_event_listener(run_id, _told(len(definition.graph.node_dict)))
    with leased(instance, run_id):
        result = definition.execute_in_process(
            run_id=run_id,
            run_config={**quiet, **config},
            instance=instance,
            partition_key=partition if isinstance(partition, str) else None,
            raise_on_error=False,
            tags=SHOWN
            | lease_tags()
            | (dict(zip(RANGE, partition, strict=True)) if isinstance(partition, tuple) else {}),
        )
    if not result.success:
        dates = " to ".join(partition) if isinstance(partition, tuple) else partition
        what = f"{job} of {dates}" if dates else job
        raise RunFailed(f"{what} failed in run {result.run_id}: {what_failed(result.all_events)}")
    metadata: dict[str, dict[str, Any]] = {}
    rows: Counter[str] = Counter()
    for event in result.get_asset_materialization_events():
        materialization = event.materialization
        asset = materialization.asset_key.path[-1]
        metadata[asset] = {
            name: [row.data for row in value.records] if isinstance(value, dg.TableMetadataValue) else value.value
            for name, value in materialization.metadata.items()
        }
        if "dagster/row_count" in metadata[asset]:
            rows[asset] += metadata[asset]["dagster/row_count"]
    return Ran(result.run_id, metadata, dict(rows))


def _told(steps: int) -> Callable[[dg.EventLogEntry], None]:
    """Passes on a run's events as lines of progress: a bar as a step starts, or the counts that a step logs."""
    started = itertools.count(1)

    def tell(event: dg.EventLogEntry) -> None:
        if event.dagster_event is None:
            PROGRESS.info("%s: %s", event.step_key, event.user_message)
        elif event.dagster_event.is_step_start:
            at = next(started)
            PROGRESS.info("[%s] %d of %d: %s", ("#" * at).ljust(steps, "."), at, steps, event.step_key)

    return tell


def tallies(ran: Ran) -> dict[str, dict[str, int]]:
    """What an ingest run read and what became of it, by table: read = accepted + duplicate + rejected; and how many
    accepted before it took away (superseded)."""
    counted: dict[str, dict[str, int]] = {}
    for table, metadata in ran.metadata.items():
        files = metadata.get("tally", [])
        if files:
            counted[table] = {name: sum(int(file[name]) for file in files) for name in COUNTED}
    return counted


def main() -> None:
    """``make dev``: prepare the home, then Dagster's webserver on 127.0.0.1:3000 and its daemon, until either ends.

    Words on the command line go to the webserver: ``-p 3001``. Not ``dagster dev``: it starts a webserver of its own,
    which answers any page that the browser shows.
    """
    try:
        settings = Settings()
    except SpendSenseError as error:
        sys.exit(f"spendsense: {error}")
    with opened_instance(settings):
        pass
    places = {
        name: getattr(settings, name) for name in ("data", "warehouse", "exports", "kernels", "payees", "audit_key")
    }
    own = {
        **os.environ,
        # From another working directory a relative one would be another place.
        **{f"SPENDSENSE_{name.upper()}": str(place) for name, place in places.items() if place is not None},
        "SPENDSENSE_DATABASE_URL": settings.governance_url,
        "DAGSTER_HOME": str(settings.home),
    }
    workspace = ["-w", str(PROJECT_ROOT / "workspace.yaml")]
    webserver = [sys.executable, "-m", "spendsense_pipeline.webserver", *workspace]
    daemon = [str(Path(sys.executable).with_name("dagster-daemon")), "run", *workspace]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as running:
        started = []
        for command in ([*webserver, "-h", "127.0.0.1", "-p", "3000", *sys.argv[1:]], daemon):
            started.append(subprocess.Popen(command, env=own, cwd=PROJECT_ROOT))  # noqa: S603 - our own interpreter
            running.callback(_ended, started[-1])
        with suppress(KeyboardInterrupt):
            while all(one.poll() is None for one in started):
                time.sleep(0.5)
    sys.exit(next((one.returncode for one in started if one.returncode), 0))


def _ended(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process to end, and wait for it; a second Ctrl-C does not leave it behind."""
    process.terminate()
    try:
        process.wait(30)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
