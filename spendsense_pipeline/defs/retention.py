"""What is kept for so many days and then goes: runs with their events, daily partitions, pages of the days.

What does not belong here: decisions, consents and the audit chain, which stay, and people's data (``erasure.py``).
"""

import datetime as dt
import time
from collections.abc import Collection
from pathlib import Path

import dagster as dg

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs.resources import Clock, Files
from spendsense_pipeline.defs.runs import HOST, UNSUCCESSFUL

AT_ONCE = 200
"""Runs of a job that one evaluation deletes at most."""
UNNAMED = "__ASSET_JOB"
"""What Dagster calls the job of a "Materialize" from the graph, anybody's; ours held a lease."""
EVALUATION = 30.0
"""Seconds that one evaluation takes at most; Dagster ends one after sixty."""


def retention_sensor(tables: Collection[str], jobs: Collection[str], keep_days: int) -> dg.SensorDefinition:
    """The sensor; ``tables`` are daily ones, ``jobs`` ours."""

    @dg.sensor(
        name="retention",
        minimum_interval_seconds=3600,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Deletes what is older than {keep_days} days (`SPENDSENSE_KEEP_DAYS`): ended runs with their "
        "events, partitions of the daily tables, pages of the days. Governance and what landed stay.",
    )
    def retention(context: dg.SensorEvaluationContext, files: Files, clock: Clock) -> dg.SkipReason:
        until, oldest = time.monotonic() + EVALUATION, clock.now() - dt.timedelta(days=keep_days)
        last = oldest.date().isoformat()
        partitions = [(one, key) for one in sorted(tables) for key in warehouse.partitions(files.warehouse, one)]
        old = [(table, key) for table, key in partitions if key < last]
        pages = [page for page in sorted(Path(files.reports).glob("????-??-??.html")) if page.stem < last]
        runs = [
            record.dagster_run.run_id
            for job in (*sorted(jobs), UNNAMED)
            for record in context.instance.get_run_records(
                dg.RunsFilter(
                    job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS, *UNSUCCESSFUL], created_before=oldest
                ),
                limit=AT_ONCE,
                ascending=True,
            )
            if job != UNNAMED or HOST in record.dagster_run.tags
        ]
        for page in pages:
            page.unlink()
        for number, (table, key) in enumerate(old):
            if time.monotonic() > until:
                return dg.SkipReason(f"{len(old) - number} partitions and {len(runs)} runs wait for the next hour")
            warehouse.discard(files.warehouse, table, key)
        for number, run_id in enumerate(runs):
            if time.monotonic() > until:
                return dg.SkipReason(f"{len(runs) - number} runs wait for the next hour")
            context.instance.delete_run(run_id)
        return dg.SkipReason(f"deleted: {len(runs)} runs, {len(old)} partitions, {len(pages)} pages")

    return retention
