"""When a date's run starts by the clock, and when its tables have to be there.

What does not belong here: runs that something else starts (``sensors``).
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from spendsense_pipeline.defs.feature_assets import JOB as REFRESH
from spendsense_pipeline.defs.runs import UNSUCCESSFUL

Job = Any
"""A job that selects assets; Dagster exports no type of it."""
STARTS_AT = dt.time(6)
"""When a date's run starts at the latest, whatever has arrived; local time."""
DUE_AT = dt.time(9)
"""When the tables of the day before have to be there: `STARTS_AT` and three hours, ours."""


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
