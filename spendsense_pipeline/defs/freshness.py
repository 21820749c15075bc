"""What is late.

No table's age is that of its newest materialization: a backfill of an old date would make it look fresh. Asked are the
daily partition that is due, the newest transaction's date and the newest landed batch. What does not belong here: how
fresh a single customer's data is, which features say (``data_age_days``).
"""

import datetime as dt
from collections.abc import Iterator, Sequence

import dagster as dg
from sqlalchemy import func, select

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs.resources import Clock, Files, Governance
from spendsense_pipeline.defs.schedules import Timetable
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.models import Batch

PARTITION, TRANSACTION, BATCH = "due_partition", "newest_transaction", "newest_batch"


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
