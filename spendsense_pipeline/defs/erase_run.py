"""Erasing while the graph stands still: no run may write what is being taken out, and no run's config may keep it.

What does not belong here: what is erased (``spendsense_pipeline.erasure``).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock, Timeout

from spendsense_pipeline.defs.feature_assets import JOB as REFRESH
from spendsense_pipeline.defs.ingest import JOB as INGEST
from spendsense_pipeline.defs.ingest import MERGE_LOCK
from spendsense_pipeline.defs.release_assets import JOB as RELEASE
from spendsense_pipeline.defs.resources import Clock, batches_known
from spendsense_pipeline.defs.runs import UNFINISHED, fail_dead_runs
from spendsense_pipeline.erasure import everywhere
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance.database import open_or_create
from spendsense_pipeline.settings import Settings

TYPED = ("record_consent", "review_recommendations")
"""Jobs whose config people type: ids of customers and recommendations, and other words for a text."""


def erase(
    settings: Settings, instance: dg.DagsterInstance, user_id: str, operator_id: str, reason: str, clock: Clock
) -> dict[str, Any]:
    """``everywhere.erase`` of a deployment. Raises ``run_under_way`` where a run could bring back what is taken out."""
    places = everywhere.Places(
        data=settings.data,
        landing=settings.landing,
        warehouse=settings.warehouse_root,
        exports=settings.exports_root,
        reports=settings.reports,
        scratch=settings.scratch,
    )
    try:
        with FileLock(Path(instance.root_directory) / MERGE_LOCK, timeout=0):
            _require_quiet(instance, "nothing was erased yet")
            done = everywhere.erase(
                open_or_create(
                    settings.governance_url, lambda: batches_known(settings.warehouse_root, settings.landing)
                ),
                places,
                user_id,
                operator_id,
                reason,
                clock.now(),
                forget_runs=lambda words: forget_runs(instance, words),
            )
            _require_quiet(instance, "it may have stored again what was erased")
    except Timeout:
        raise SpendSenseError(
            "a batch is being merged; nothing was erased yet, erase when it has ended", code="run_under_way"
        ) from None
    return done


def _require_quiet(instance: dg.DagsterInstance, what: str) -> None:
    fail_dead_runs(instance, {INGEST, REFRESH, RELEASE, *TYPED})
    active = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))]
    if active:
        raise SpendSenseError(
            f"run {active[0]} is under way; {what}, erase (again) when it has ended", code="run_under_way"
        )


def forget_runs(instance: dg.DagsterInstance, words: Sequence[str]) -> int:
    """Delete the runs of people's own jobs whose config names one of the words; returns how many."""
    names = set(words)
    named = [
        run.run_id
        for job in TYPED
        for run in instance.get_runs(dg.RunsFilter(job_name=job))
        if not names.isdisjoint(_said(run.run_config))
    ]
    for run_id in named:
        instance.delete_run(run_id)
    return len(named)


def _said(config: Any) -> Iterator[str]:
    """Every value of a config, a text without the hash it may carry."""
    if isinstance(config, str):
        yield config.partition("@")[0]
    elif isinstance(config, dict | list):
        for value in config.values() if isinstance(config, dict) else config:
            yield from _said(value)
