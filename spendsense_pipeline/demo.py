"""``make demo``: the whole way on generated customers, in one process, with a short account of what happened.

Uses only what every user has: the landing zone, the two jobs, the decisions, the gate. May be run again; what was
generated and decided stays. What does not belong here: any step that the pipeline itself does not offer.
"""

import datetime as dt
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from spendsense_pipeline import profiles, synthetic, warehouse
from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.defs import launch
from spendsense_pipeline.governance import consent, operators, queue, release, review
from spendsense_pipeline.governance.database import open_or_create, reading, writing
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.settings import PROJECT_ROOT, Settings

USERS = 75
BATCH = f"demo-{USERS}-customers"
COMMAND = ".venv/bin/spendsense"
REJECTION = "the operator found the tone wrong for this customer"


def main() -> None:
    """Run the demo and print its account."""
    settings = Settings()
    _land(settings, _now().date())
    definitions = build_defs(settings)
    with launch.opened_instance(settings) as instance:
        ingested = launch.ingest_batch(definitions, instance, BATCH)
        day = profiles.newest_transaction_date(settings.warehouse_root)
        refreshed = launch.daily_refresh(definitions, instance, day)
    engine = open_or_create(settings.governance_url)
    operator_id, waiting = _review(engine, _now())
    gate = release.run_gate(engine, _now(), consent_days=settings.consent_days)

    print(f"SpendSense on {USERS} generated people, figures of {day}, everything under {_short(settings.data)}\n")
    _tell_ingest(settings, launch.tallies(ingested))
    _tell_personas(settings, day)
    _tell_review(engine, refreshed, operator_id, gate, _now())
    _tell_waiting(waiting, operator_id)
    _tell_where(settings, day)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _land(settings: Settings, as_of: dt.date) -> None:
    """Land the demo's batch once: generated customers, and a file of rows that must not get in."""
    if (settings.landing / BATCH).exists():
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "demo"
        synthetic.write(synthetic.generate(USERS, as_of=as_of), folder)
        shutil.copy(PROJECT_ROOT / "data" / "examples" / "rejected" / "transactions.csv", folder)
        landing.land(folder, settings.landing, BATCH)


def _review(engine: Engine, now: dt.datetime) -> tuple[str, dict[str, Any] | None]:
    """Decide as a generated operator: reject one, approve the rest but one; one customer then changes their mind.

    Returns the operator and the draft left waiting. On a later run only that one is still there, and stays.
    """
    with reading(engine) as session:
        operator_id = next(row["operator_id"] for row in operators.listed(session) if row["active"])
        items = queue.queue(session, now, limit=1000)["queue"]
    clean = [row for row in items if not row["findings"]]
    if len(clean) > 2:
        rejected, *approved, waiting = clean
        review.reject(engine, [_reference(rejected)], operator_id, now, reason=REJECTION)
        review.approve(engine, [_reference(row) for row in approved], operator_id, now, note="sample review")
        with writing(engine) as session:
            consent.revoke(
                session, approved[0]["user_id"], now, actor="the customer", source="demo", channel="generated"
            )
        with reading(engine) as session:
            items = queue.queue(session, now, limit=1000)["queue"]
        return operator_id, next((row for row in items if row["user_id"] == waiting["user_id"]), None)
    return operator_id, clean[-1] if clean else None


def _reference(row: dict[str, Any]) -> str:
    return f"{row['recommendation_id']}@{row['content_hash']}"


def _tell_ingest(settings: Settings, tallies: dict[str, dict[str, int]]) -> None:
    total = {name: sum(counts[name] for counts in tallies.values()) for name in ("read", "accepted", "rejected")}
    print(f"Read         {total['read']:,} rows, accepted {total['accepted']:,}, quarantined {total['rejected']}")
    kept_out = warehouse.read(warehouse.connect(), settings.warehouse_root, "quarantined_rows")
    for row in kept_out.order_by("batch", "file", "row").limit(5).to_pyarrow().to_pylist():
        print(f"             {row['file']} row {row['row']}: {row['field']} = {row['value']!r}, {row['reasons']}")


def _tell_personas(settings: Settings, day: dt.date) -> None:
    counts: dict[str, Counter[str]] = {}
    for window in profiles.WINDOWS:
        stored = warehouse.read(
            warehouse.connect(), settings.warehouse_root, f"persona_assignments_{window}d", [day.isoformat()]
        )
        rows = stored.select("persona", "is_fallback").to_pyarrow().to_pylist()
        counts[str(window)] = Counter("nothing matched" if row["is_fallback"] else row["persona"] for row in rows)
    print("\nPersonas     30 days  180 days")
    for persona in sorted({*counts["30"], *counts["180"]}):
        print(f"             {counts['30'][persona]:>7}  {counts['180'][persona]:>8}  {persona.replace('_', ' ')}")


def _tell_review(engine: Engine, refreshed: launch.Ran, operator_id: str, gate: release.Gate, now: dt.datetime) -> None:
    with reading(engine) as session:
        statuses = queue.counts(session, now)["recommendations"]
        feed = release.released(session, now)
        held = [
            row
            for status in ("rejected", "voided", "expired", "superseded")
            for row in queue.queue(session, now, status=status, limit=5)["queue"]
        ]
    drafted = refreshed.metadata["draft_recommendations"]
    print(f"\nDrafts       {drafted['dagster/row_count']} for {drafted['customers']} customers whose consent is live")
    print(
        f"Queue        {refreshed.metadata['approval_queue']['registered']} registered in this run; decided by "
        f"{operator_id}: {statuses['approved']} approved, {statuses['rejected']} rejected"
    )
    print(f"Released     {len(gate.released)} in this run; {len(feed)} may be seen at this moment")
    reasons = {
        "rejected": REJECTION,
        "voided": "the customer revoked consent after the approval",
        "expired": "nobody released it within 14 days",
        "superseded": "newer figures took its place",
    }
    print(f"Held back    {sum(statuses[name] for name in reasons) + statuses['pending_approval']}")
    for row in held:
        print(f"             {row['recommendation_id']} {row['status']}: {reasons[row['status']]}")


def _tell_waiting(waiting: dict[str, Any] | None, operator_id: str) -> None:
    if waiting is None:
        return
    print(f"             {waiting['recommendation_id']} pending: waits for an operator, e.g. for you:\n")
    print(f"  {COMMAND} show {waiting['recommendation_id']} --operator {operator_id}")
    print(f"  {COMMAND} approve {_reference(waiting)} --operator {operator_id}")
    print(f"  {COMMAND} release")


def _tell_where(settings: Settings, day: dt.date) -> None:
    data = _short(settings.data)
    print("\nWhere to look")
    print(f"  {data}/reports/{day}.html   the operators' page of the day")
    print(f"  {data}/warehouse            every table as Parquet")
    print(f"  {COMMAND} users --consent true   then: profile, signals, released, why")
    print("  make dev                         the graph in Dagster's UI, http://127.0.0.1:3000")


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    main()
