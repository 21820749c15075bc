"""Leases of runs, so that a run whose process was killed does not stand in the way of the next.

A process holds a file lock for each run it executes; the kernel releases it however the process ends. For other
machines, which cannot see the lock, it renews a tag of the run. What does not belong here: what a run does.
"""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

from spendsense_pipeline import warehouse

LOG = logging.getLogger(__name__)
HOST = "spendsense/host"
HEARTBEAT = "spendsense/heartbeat"  # seconds since 1970, renewed every `RENEWED` seconds
RENEWED = 20.0
EXPIRES = 60.0  # seconds without a heartbeat after which a run counts as dead
STARTS_WITHIN = 40.0  # seconds after its last change of status that a run without a lease counts as alive
OWN_FAILURES = frozenset({"STEP_FAILURE", "RUN_EXCEPTION", "JOB_INITIALIZATION_FAILURE"})
"""What Dagster gives as the reason where a run failed by itself; one that was found dead has another, or none."""
LEASES = "leases"  # folder in Dagster's home
LOCATION = ".dagster/repository"
SHOWN = {LOCATION: "__repository__@spendsense"}
"""The code location of ``workspace.yaml``: with it, the UI counts a command's run among those of its job."""
UNNAMED = "__ASSET_JOB"
"""What Dagster calls the job of a "Materialize" from the graph, anybody's; ours held a lease or is of our location."""
EXECUTING = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Unfinished and no longer queued: a process must be behind each."""

UNSUCCESSFUL = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
UNFINISHED = [one for one in dg.DagsterRunStatus if one not in (dg.DagsterRunStatus.SUCCESS, *UNSUCCESSFUL)]

_held: dict[str, FileLock] = {}


def lease_tags() -> dict[str, str]:
    """Who executes a run and when it was last alive, as tags."""
    return {HOST: socket.gethostname(), HEARTBEAT: f"{time.time():.0f}"}


def take_lease(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Hold the run's lease until ``release_lease`` or the end of this process; False if it is held already."""
    if run_id in _held:
        return False
    lock = _lock(instance, run_id)
    lock.acquire(timeout=0)
    _held[run_id] = lock

    def renew() -> None:
        while run_id in _held:
            time.sleep(RENEWED)
            try:
                if run_id in _held and instance.has_run(run_id):
                    instance.add_run_tags(run_id, lease_tags())
            except Exception as error:  # noqa: BLE001 - a disk or database that fails once must not end the heartbeat
                LOG.warning("the heartbeat of run %s was not written: %s", run_id, type(error).__name__)

    if not instance.is_ephemeral:
        threading.Thread(target=renew, name=f"lease of {run_id}", daemon=True).start()
    return True


def release_lease(run_id: str) -> None:
    """Let go of a lease that this process holds."""
    lock = _held.pop(run_id)
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)


@contextmanager
def leased(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the run's lease while the block lasts."""
    take_lease(instance, run_id)
    try:
        yield
    finally:
        release_lease(run_id)


def fail_dead_runs(instance: dg.DagsterInstance, jobs: set[str]) -> list[str]:
    """Mark runs as failed whose process is gone; returns their ids. ``jobs`` are ours: a run of another job counts
    only if it ever held a lease, or is a "Materialize" of our code location, for the instance may be shared."""
    dead = []
    records = instance.get_run_records(dg.RunsFilter(statuses=EXECUTING))
    for record in records:
        run = record.dagster_run
        if _is_ours(run, jobs) and _is_dead(instance, record):
            instance.report_run_failed(
                run,
                f"run {run.run_id} of {run.job_name} was {run.status.value} and its process is gone (killed, or the "
                "machine stopped); what it had not finished is done by the next run",
            )
            dead.append(run.run_id)
    unfinished = {record.dagster_run.run_id for record in records} - set(dead)
    for path in (Path(instance.root_directory) / LEASES).glob("*"):
        if path.name not in unfinished and path.name not in _held and _is_free(path):
            path.unlink(missing_ok=True)
    return dead


def heal(instance: dg.DagsterInstance, jobs: set[str], scratch: Path) -> None:
    """Mark dead runs as failed, and take away what killed ones left in the scratch space while no run uses it."""
    fail_dead_runs(instance, jobs)
    if not instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED)):
        warehouse.clear(scratch, before=time.time() - EXPIRES)


def _is_ours(run: dg.DagsterRun, jobs: set[str]) -> bool:
    if HOST in run.tags or run.job_name in jobs:
        return True
    return run.job_name == UNNAMED and run.tags_for_storage().get(LOCATION) == SHOWN[LOCATION]


def _is_dead(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    run = record.dagster_run
    if run.run_id in _held:
        return False
    path = Path(instance.root_directory) / LEASES / run.run_id
    if path.exists() and run.tags.get(HOST, socket.gethostname()) == socket.gethostname():
        return _is_free(path)
    if HEARTBEAT in run.tags:
        return time.time() - float(run.tags[HEARTBEAT]) > EXPIRES
    return time.time() - record.update_timestamp.timestamp() > STARTS_WITHIN


def _is_free(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return True
    except Timeout:
        return False


def _lock(instance: dg.DagsterInstance, run_id: str) -> FileLock:
    folder = Path(instance.root_directory) / LEASES
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / run_id, thread_local=False)
