"""Every sensor: what lands is ingested, what arrived is refreshed, what may go out is released; what failed or is late
is reported, what is old enough goes.

What does not belong here: finding out (``ingest``, ``freshness``, ``failures``, ``governance.release``), nor runs that
start by the clock (``schedules``).
"""

import datetime as dt
import json
import re
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs.alerts import AT_MOST, EVALUATION, Alerts, Notice, tell
from spendsense_pipeline.defs.failures import runs_ended, summed_up
from spendsense_pipeline.defs.freshness import evaluations
from spendsense_pipeline.defs.ingest import ATTEMPTS, BATCHES, MERGE_LOCK, SETTLED, backlog, merges
from spendsense_pipeline.defs.ingest import JOB as INGEST
from spendsense_pipeline.defs.release_assets import JOB as RELEASE
from spendsense_pipeline.defs.resources import Clock, Files, Governance
from spendsense_pipeline.defs.runs import EXECUTING, HOST, OWN_FAILURES, UNFINISHED, UNNAMED, UNSUCCESSFUL, heal
from spendsense_pipeline.defs.schedules import STARTS_AT, Job, Timetable
from spendsense_pipeline.evaluation.report import ONE_A_DAY
from spendsense_pipeline.gate import reviewed
from spendsense_pipeline.governance import release
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.ingest.files import COMPLETE

FAILURES = 3
FAILURE_WINDOW = dt.timedelta(hours=1)
RUNS_AT_ONCE = 200
"""Runs of a job that one evaluation deletes at most."""
TRIED = "spendsense/tried"
"""Tag of a run that does again what one did not whose process died: how many did not before it."""
RETENTION_TAKES = 30.0
"""Seconds that one evaluation takes at most; Dagster ends one after sixty."""


@dg.sensor(
    job_name=INGEST,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A complete new folder in the landing zone becomes a batch partition and one run: one that holds "
    f"{COMPLETE}, or that was moved into place and did not change for {SETTLED.seconds} s. One merge at a "
    f"time, by name; one that failed {ATTEMPTS} times is left for a person, and so is one that was refused, until its "
    "files change.",
)
def landing_sensor(context: dg.SensorEvaluationContext, files: Files, clock: Clock) -> dg.SensorResult | dg.SkipReason:
    """A complete new folder in the landing zone becomes a batch partition and one run."""
    there = landing.arrivals(Path(files.landing), clock.now(), SETTLED)
    if not any(there):
        return dg.SkipReason(f"no complete folder in {files.landing}")
    try:
        with FileLock(Path(context.instance.root_directory) / MERGE_LOCK, timeout=0):
            pass
    except Timeout:  # a command holds it from before its folder appears to the end of its run
        return dg.SkipReason("a command merges a batch; one at a time")
    heal(context.instance, {INGEST}, Path(files.scratch))
    merging = [run.run_id for run in context.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)) if merges(run)]
    if merging:
        return dg.SkipReason(f"run {merging[0]} merges a batch; one at a time")
    found = backlog(context.instance, files, clock.now())
    if not found.takeable:
        return dg.SkipReason(found.reason())
    return dg.SensorResult(
        run_requests=[dg.RunRequest(partition_key=found.takeable[0])],
        dynamic_partitions_requests=[BATCHES.build_add_request(found.takeable[:1])],
    )


def arrival_sensor(job: Job, timetable: Timetable) -> dg.SensorDefinition:
    """Starts the day before as soon as a batch was merged since its end and none waits."""

    @dg.sensor(
        name="daily_when_landed",
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts `daily_refresh` for the day before once a batch that arrived since has been merged and "
        f"none waits, once a date. Without one the schedule starts it at {STARTS_AT:%H:%M}; data that arrives later "
        "has it run again.",
    )
    def daily_when_landed(
        context: dg.SensorEvaluationContext, files: Files, clock: Clock
    ) -> dg.RunRequest | dg.SkipReason:
        now = clock.now()
        date = timetable.today(now) - dt.timedelta(days=1)
        if date < timetable.first_date:
            return dg.SkipReason(f"the first date is {timetable.first_date}")
        merged = context.instance.get_run_records(
            dg.RunsFilter(job_name=INGEST, statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1
        )
        if not merged or (merged[0].start_time or 0.0) < timetable.ended(date).timestamp():
            return dg.SkipReason(f"no batch was merged since the end of {date}")
        if any(merges(run) for run in context.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))):
            return dg.SkipReason("a batch is being merged")
        if waiting := backlog(context.instance, files, now).takeable:
            return dg.SkipReason(f"batches wait to be merged: {', '.join(waiting)}")
        return dg.RunRequest(run_key=f"landed/{date}", partition_key=date.isoformat())

    return daily_when_landed


def dead_runs_sensor(daily_refresh: Job, jobs: set[str]) -> dg.SensorDefinition:
    """The sensor; ``jobs`` are ours."""

    @dg.sensor(
        job=daily_refresh,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs as failed whose process is gone, whether it held a lease yet or not, and runs a date "
        f"again that died so, {ATTEMPTS} times in all. Batches and releases come again by their own sensors.",
    )
    def dead_runs(
        context: dg.SensorEvaluationContext, clock: Clock, files: Files
    ) -> Sequence[dg.RunRequest] | dg.SkipReason:
        heal(context.instance, jobs, Path(files.scratch))
        failed = context.instance.get_runs(
            dg.RunsFilter(
                job_name=daily_refresh.name,
                statuses=[dg.DagsterRunStatus.FAILURE],
                updated_after=clock.now() - FAILURE_WINDOW,
            )
        )
        again = [_again(run) for run in failed if _is_to_do(context.instance, run)]
        return again or dg.SkipReason("no date's run died that is not done again already")

    return dead_runs


def _is_to_do(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a failed run died and was of a whole date, which no later run did or does, and was not tried too often.

    Dagster's own server marks a run as failed, too, when its process is gone and the server lives.
    """
    if run.tags.get("dagster/failure_reason") in OWN_FAILURES:
        return False
    date = run.tags.get("dagster/partition")
    if not date or run.asset_selection or run.asset_check_selection or int(run.tags.get(TRIED, "0")) + 1 >= ATTEMPTS:
        return False
    newest = instance.get_runs(dg.RunsFilter(job_name=run.job_name, tags={"dagster/partition": date}), limit=1)
    if newest[0].run_id != run.run_id:
        return False
    # Ended on purpose: by a person, or because it took too long.
    return not instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_CANCELING, limit=1).records


def _again(run: dg.DagsterRun) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"again/{run.run_id}",
        partition_key=run.tags["dagster/partition"],
        run_config=run.run_config,
        tags={TRIED: str(int(run.tags.get(TRIED, "0")) + 1)},
    )


def blockers(blocked: dict[str, int]) -> str:
    """`2 pending, 1 without consent`, for a person who asks why nothing moves."""
    return ", ".join(f"{number} {reason.replace('_', ' ')}" for reason, number in blocked.items()) or "nothing waits"


@dg.sensor(
    job_name=RELEASE,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks the governance database what is approved, consented, unexpired and unreleased, and starts "
    "the job release. Holds no cursor: a lost one could lose or repeat a release. Stops after "
    f"{FAILURES} failed runs in an hour.",
)
def release_gate(
    context: dg.SensorEvaluationContext, governance: Governance, clock: Clock, files: Files
) -> dg.RunRequest | dg.SkipReason:
    """The sensor that starts a release run whenever there is something that may go out."""
    now = clock.now()
    heal(context.instance, {RELEASE}, Path(files.scratch))
    active = context.instance.get_runs(
        dg.RunsFilter(job_name=RELEASE, statuses=[dg.DagsterRunStatus.QUEUED, *EXECUTING]), limit=1
    )
    if active:
        return dg.SkipReason(f"a release run is under way: {active[0].run_id}")
    failed = context.instance.get_runs_count(
        dg.RunsFilter(job_name=RELEASE, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - FAILURE_WINDOW)
    )
    if failed >= FAILURES:
        return dg.SkipReason(
            f"stopped: {failed} release runs failed within an hour; see the newest one, then launch `{RELEASE}` by hand"
        )
    proposal = release.propose(governance.engine, now, **governance.terms(files.warehouse), guardrails=reviewed)
    if not proposal.at_least and not proposal.ending:
        unfit = [f"; {one.replace('_', ' ')}: {', '.join(names)}" for one, names in proposal.refused.items()]
        return dg.SkipReason(f"nothing to release: {blockers(proposal.blocked)}{''.join(unfit)}")
    return dg.RunRequest(tags={"spendsense/releasable_at_least": str(proposal.at_least)})


def failure_alerts(jobs: Collection[str]) -> dg.SensorDefinition:
    """The sensor; ``jobs`` are ours. In a Dagster that is shared, other runs count if they ever held a lease."""

    @dg.sensor(
        name="failure_alerts",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells of runs that failed and of checks that found an error, each once and in their order: in the "
        f"log, by e-mail and by webhook as the settings say. {AT_MOST} at a time, the rest summed up; a channel that "
        "is down gets what it missed.",
    )
    def failure_alerts_sensor(context: dg.SensorEvaluationContext, alerts: Alerts, clock: Clock) -> dg.SkipReason:
        until = time.monotonic() + EVALUATION
        delivered: dict[str, int] = json.loads(context.cursor or "{}")
        channels = alerts.channels()
        after = min(delivered.get(name, -1) for name in channels)
        ended, horizon = runs_ended(context.instance, after, jobs, alerts.pages, clock.now())
        new: dict[str, int] = {}
        for name, channel in channels.items():
            missed = [one for one in ended if one.place > delivered.get(name, -1)]
            each, rest = missed[:AT_MOST], missed[AT_MOST:]
            notices = [one.notice for one in each] + ([summed_up(rest, alerts.pages)] if rest else [])
            number = tell(name, channel, notices, until)
            if number == len(notices):
                new[name] = max(horizon, delivered.get(name, -1))
            else:
                new[name] = each[number - 1].place if number else delivered.get(name, -1)
        context.update_cursor(json.dumps(new))
        waiting = {name: sum(one.place > place for one in ended) for name, place in new.items()}
        return dg.SkipReason(
            "; ".join(f"{name} waits for {number}" for name, number in waiting.items() if number)
            or f"{len(ended)} failures delivered"
        )

    return failure_alerts_sensor


def lateness_sensor(checks: dg.AssetChecksDefinition, timetable: Timetable) -> dg.SensorDefinition:
    """Reports the checks as they change, and tells people once of what has become late."""

    @dg.sensor(
        name="lateness",
        minimum_interval_seconds=600,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks every ten minutes what is due and not there, reports it on the tables, and tells of what has "
        "become late: in the log, by e-mail and by webhook as the settings say.",
    )
    def lateness(
        context: dg.SensorEvaluationContext, files: Files, governance: Governance, clock: Clock, alerts: Alerts
    ) -> dg.SensorResult:
        until, before = time.monotonic() + EVALUATION, json.loads(context.cursor or "{}")
        now, asked = clock.now(), sorted(checks.check_keys)
        found = evaluations(context.instance, asked, files, governance, timetable, now)
        states = {
            f"{one.asset_key.to_user_string()} {one.check_name}": f"{one.passed} {one.description}" for one in found
        }
        late: dict[str, list[str]] = {}
        for one in found:
            if not one.passed:
                late.setdefault(str(one.description), []).append(one.asset_key.to_user_string())
        delivered = {}
        for name, channel in alerts.channels().items():
            heard = [one for one in before.get("delivered", {}).get(name, []) if one in late]
            new = [one for one in late if one not in heard]
            notices = [_late_notice(one, late[one], alerts.pages, now) for one in new]
            delivered[name] = heard + new[: tell(name, channel, notices, until)]
        reported = before.get("reported", {})
        return dg.SensorResult(
            skip_reason="; ".join(f"{one}: {', '.join(assets)}" for one, assets in late.items()) or "nothing is late",
            cursor=json.dumps({"reported": states, "delivered": delivered}),
            asset_events=[
                one for one, (name, state) in zip(found, states.items(), strict=True) if reported.get(name) != state
            ],
        )

    return lateness


def _late_notice(what: str, assets: Sequence[str], pages: str, now: dt.datetime) -> Notice:
    return Notice(
        key=re.sub(r"[^a-z0-9]+", "-", f"late {what}"),
        kind="data.late",
        subject=what,
        text=f"late: {', '.join(assets)}",
        link=f"{pages}/assets/{assets[0]}",
        happened=now,
    )


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
        until, oldest = time.monotonic() + RETENTION_TAKES, clock.now() - dt.timedelta(days=keep_days)
        last = oldest.date().isoformat()
        partitions = [(one, key) for one in sorted(tables) for key in warehouse.partitions(files.warehouse, one)]
        old = [(table, key) for table, key in partitions if key < last]
        pages = [page for page in sorted(Path(files.reports).glob(ONE_A_DAY)) if page.stem < last]
        runs = [
            record.dagster_run.run_id
            for job in (*sorted(jobs), UNNAMED)
            for record in context.instance.get_run_records(
                dg.RunsFilter(
                    job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS, *UNSUCCESSFUL], created_before=oldest
                ),
                limit=RUNS_AT_ONCE,
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
            context.instance.compute_log_manager.delete_logs(prefix=[run_id])
        return dg.SkipReason(f"deleted: {len(runs)} runs, {len(old)} partitions, {len(pages)} pages")

    return retention
