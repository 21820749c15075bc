"""What is late, and the run of a date that starts when its data has arrived.

No table's age is that of its newest materialization: a backfill of an old date would make it look fresh. Asked are the
daily partition that is due, the newest transaction's date and the newest landed batch. What does not belong here: how
fresh a single customer's data is, which features say (``data_age_days``).
"""

import datetime as dt
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
from sqlalchemy import func, select

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs.alerts import EVALUATION, Alerts, Notice, tell
from spendsense_pipeline.defs.features import JOB as REFRESH
from spendsense_pipeline.defs.ingest import JOB as INGEST
from spendsense_pipeline.defs.ingest import backlog, merges
from spendsense_pipeline.defs.resources import Clock, Files, Governance
from spendsense_pipeline.defs.runs import UNFINISHED, UNSUCCESSFUL
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.models import Batch

Job = Any
"""A job that selects assets; Dagster exports no type of it."""
STARTS_AT = dt.time(6)
"""When a date's run starts at the latest, whatever has arrived; local time."""
DUE_AT = dt.time(9)
"""When the tables of the day before have to be there: `STARTS_AT` and three hours, ours."""
PARTITION, TRANSACTION, BATCH = "due_partition", "newest_transaction", "newest_batch"


@dataclass(frozen=True)
class Timetable:
    """A deployment's timezone, its first daily partition, and the days that may pass without a newer transaction or
    batch."""

    timezone: str
    first_date: dt.date
    late_days: int

    def today(self, now: dt.datetime) -> dt.date:
        """The local date."""
        return now.astimezone(ZoneInfo(self.timezone)).date()

    def due(self, now: dt.datetime) -> dt.date:
        """The newest date that has to be there: yesterday from `DUE_AT` on, until then the day before."""
        waiting = now.astimezone(ZoneInfo(self.timezone)).time() < DUE_AT
        return self.today(now) - dt.timedelta(days=2 if waiting else 1)

    def ended(self, date: dt.date) -> dt.datetime:
        """When this date was over."""
        return dt.datetime.combine(date + dt.timedelta(days=1), dt.time(), ZoneInfo(self.timezone))


def freshness_checks(
    keys: Sequence[dg.AssetKey], transactions: dg.AssetKey, batches: dg.AssetKey | None, timetable: Timetable
) -> dg.AssetChecksDefinition:
    """The checks, in no job: the sensor `lateness` reports them by the clock, and anybody may execute them.

    ``keys`` are of all daily assets; ``batches`` is the asset that a landed batch becomes, None where nothing lands.
    """
    due = "The partition of the newest date that is due, by the daily schedule, is there; no other makes up for it."
    specs = [dg.AssetCheckSpec(PARTITION, asset=key, description=due) for key in keys]
    newest = f"The newest transaction is at most {timetable.late_days} days old (`SPENDSENSE_LATE_DAYS`)."
    specs.append(dg.AssetCheckSpec(TRANSACTION, asset=transactions, description=newest))
    if batches is not None:
        landed = f"The newest batch landed at most {timetable.late_days} days ago (`SPENDSENSE_LATE_DAYS`)."
        specs.append(dg.AssetCheckSpec(BATCH, asset=batches, description=landed))

    @dg.multi_asset_check(name="freshness", specs=specs, can_subset=True)
    def freshness(
        context: dg.AssetCheckExecutionContext, files: Files, governance: Governance, clock: Clock
    ) -> Iterator[dg.AssetCheckResult]:
        asked = context.op_execution_context.selected_asset_check_keys
        for one in evaluations(context.instance, sorted(asked), files, governance, timetable, clock.now()):
            yield dg.AssetCheckResult(
                asset_key=one.asset_key, check_name=one.check_name, passed=one.passed, description=one.description
            )

    return freshness


def evaluations(
    instance: dg.DagsterInstance,
    checks: Sequence[dg.AssetCheckKey],
    files: Files,
    governance: Governance,
    timetable: Timetable,
    now: dt.datetime,
) -> list[dg.AssetCheckEvaluation]:
    """What the checks find now. Before the first transactions nothing is late."""
    newest, due, today = _newest_date(files.warehouse), timetable.due(now), timetable.today(now)
    found = []
    for check in checks:
        if newest is None:
            late, description = False, "no transactions yet"
        elif check.name == TRANSACTION:
            late, description = (today - newest).days > timetable.late_days, f"the newest transaction is of {newest}"
        elif check.name == BATCH:
            with reading(governance.engine) as session:
                landed = session.scalar(select(func.max(Batch.registered_at)))
            late = landed is not None and (today - timetable.today(landed)).days > timetable.late_days
            description = (
                f"the newest batch landed on {timetable.today(landed)}" if landed else "no batch is registered"
            )
        elif due < timetable.first_date:
            late, description = False, f"nothing is due before {timetable.first_date}"
        else:
            wanted = dg.AssetRecordsFilter(check.asset_key, asset_partitions=[due.isoformat()])
            made = instance.fetch_materializations(wanted, limit=1).records
            late = not made or made[0].timestamp < timetable.ended(due).timestamp()  # of a day that was not over
            description = f"{due} is {'not ' if late else ''}there"
        found.append(
            dg.AssetCheckEvaluation(
                asset_key=check.asset_key, check_name=check.name, passed=not late, description=description, metadata={}
            )
        )
    return found


def _newest_date(root: str) -> dt.date | None:
    try:
        rows = warehouse.read(warehouse.connect(), root, "transactions")
    except warehouse.NotMaterialized:
        return None
    newest: dt.date | None = rows.date.max().to_pyarrow().as_py()
    return newest


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


# --- Runs that start when data has arrived ---


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


def daily_schedule(job: Job, timetable: Timetable) -> dg.ScheduleDefinition:
    """Starts the day before at `STARTS_AT`, unless it was started since its end."""

    @dg.schedule(
        name=REFRESH,
        job=job,
        cron_schedule=f"{STARTS_AT.minute} {STARTS_AT.hour} * * *",
        execution_timezone=timetable.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every morning, the day before: the newest one that is complete, unless the arrival of its data "
        "has started it.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        date = context.scheduled_execution_time.date() - dt.timedelta(days=1)
        since = dg.RunsFilter(
            job_name=REFRESH,
            tags={"dagster/partition": date.isoformat()},
            statuses=[one for one in dg.DagsterRunStatus if one not in UNSUCCESSFUL],
            created_after=timetable.ended(date),
        )
        if started := context.instance.get_runs(since, limit=1):
            return dg.SkipReason(f"run {started[0].run_id} has begun since the end of {date}")
        return dg.RunRequest(partition_key=date.isoformat())

    return schedule
