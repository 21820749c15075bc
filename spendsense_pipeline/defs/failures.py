"""What failed in a run, in words for people.

What does not belong here: how they are reached (``alerts.py``).
"""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import dagster as dg

from spendsense_pipeline.defs.alerts import Notice
from spendsense_pipeline.defs.runs import HOST
from spendsense_pipeline.errors import SpendSenseError

LOOKED_AT = 500
"""Ended runs of either kind in one evaluation; more wait for the next."""
FIRST_LOOK = dt.timedelta(days=1)
"""How far back a new channel begins."""


def what_failed(events: Sequence[dg.DagsterEvent]) -> str:
    """What the first failed step says of its cause, or the blocking check that did not pass."""
    for evaluation in _failed_checks(events):
        return f"{evaluation.asset_key.to_user_string()} breaks its contract: {_contract_broken(evaluation)}"
    for error in _step_errors(events):
        causes = list(_causes(error))
        return (_ours(causes) or causes[-1:])[0].message.strip() if causes else "no error was recorded"
    return "no step failed; see the run's log"


def _failed_checks(events: Sequence[dg.DagsterEvent]) -> Iterator[dg.AssetCheckEvaluation]:
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR:
                yield evaluation


def _step_errors(events: Sequence[dg.DagsterEvent]) -> Iterator[Any]:
    return (event.step_failure_data.error for event in events if event.is_step_failure)


def _causes(error: Any) -> Iterator[Any]:
    """An error as Dagster recorded it, then what it came from: the outermost of ours is meant for people."""
    while error is not None:
        yield error
        error = error.cause


def _ours(causes: Iterable[Any]) -> list[Any]:
    return [error for error in causes if error.cls_name in _names_of(SpendSenseError)]


def _names_of(kind: type[Exception]) -> set[str]:
    return {kind.__name__}.union(*(_names_of(one) for one in kind.__subclasses__()))


def _contract_broken(evaluation: dg.AssetCheckEvaluation) -> str:
    """What a failed contract check found, as one sentence."""
    found = evaluation.metadata.get("failures")
    rows = [row.data for row in found.records] if isinstance(found, dg.TableMetadataValue) else []
    return "; ".join("{column}, {check}: {failure_case} ({failures} rows)".format(**row) for row in rows)


class Ended(NamedTuple):
    """A run that failed, or in which a check did, by its place in the event log."""

    place: int
    job: str
    notice: Notice


def runs_ended(
    instance: dg.DagsterInstance, after: int, jobs: Collection[str], pages: str, now: dt.datetime
) -> tuple[list[Ended], int]:
    """Our runs with something to tell after this place in the event log, in their order, and how far was looked."""
    since = None if after >= 0 else (now - FIRST_LOOK).timestamp()
    records, horizons = [], []
    for kind in (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_SUCCESS):
        wanted = dg.RunStatusChangeRecordsFilter(kind, after_storage_id=after, after_timestamp=since)
        found = list(instance.fetch_run_status_changes(wanted, LOOKED_AT, ascending=True).records)
        records += found
        if len(found) == LOOKED_AT:
            horizons.append(found[-1].storage_id)
    horizon = min(horizons, default=max((one.storage_id for one in records), default=after))
    ended = []
    for record in sorted(records, key=lambda one: one.storage_id):
        run = instance.get_run_by_id(record.run_id)
        if record.storage_id > horizon or run is None or not (HOST in run.tags or run.job_name in jobs):
            continue
        text = _message_of(instance, record.event_log_entry)
        if text:
            ended.append(Ended(record.storage_id, run.job_name, _notice(run, record, text, pages)))
    return ended, horizon


def _message_of(instance: dg.DagsterInstance, entry: dg.EventLogEntry) -> str:
    """What to tell of an ended run; empty if nothing.

    Of an error that is not ours only the kind: what others write may hold a row, and stays on the run's page.
    """
    kinds = {dg.DagsterEventType.ASSET_CHECK_EVALUATION, dg.DagsterEventType.STEP_FAILURE}
    logged = instance.get_records_for_run(entry.run_id, of_type=kinds).records
    events = [one.event_log_entry.get_dagster_event() for one in logged]
    lines = []
    for check in _failed_checks(events):
        why = f" ({check.description})" if check.description else ""
        lines.append(f"{check.asset_key.to_user_string()}: {check.check_name} did not pass{why}")
    for error in _step_errors(events):
        causes = list(_causes(error))
        if ours := _ours(causes):
            lines.append(ours[0].message.strip().partition(": ")[2])
        elif causes:
            lines.append(f"{causes[-1].cls_name}; what it says is on the run's page")
    failed = entry.get_dagster_event().event_type == dg.DagsterEventType.RUN_FAILURE
    return "; ".join(dict.fromkeys(lines)) or (entry.message if failed else "")


def _notice(run: dg.DagsterRun, record: dg.EventLogRecord, text: str, pages: str) -> Notice:
    failed = record.event_log_entry.get_dagster_event().event_type == dg.DagsterEventType.RUN_FAILURE
    partition = run.tags.get("dagster/partition")
    what = f"{run.job_name} of {partition}" if partition else run.job_name
    return Notice(
        key=run.run_id,
        kind="run.failed" if failed else "check.failed",
        subject=f"{what} failed" if failed else f"a check of {what} found an error",
        text=text,
        link=f"{pages}/runs/{run.run_id}",
        happened=dt.datetime.fromtimestamp(record.timestamp, dt.UTC),
    )


def summed_up(rest: Sequence[Ended], pages: str) -> Notice:
    """One notice for many."""
    by_job = ", ".join(f"{number} of {job}" for job, number in Counter(one.job for one in rest).most_common())
    last = rest[-1].notice
    return Notice(
        key=f"{last.key}-and-before",
        kind="runs.failed",
        subject=f"{len(rest)} more failures",
        text=f"{by_job}; the newest: {last.subject}, {last.text}",
        link=f"{pages}/runs",
        happened=last.happened,
    )
