"""``spendsense demo``: the whole way on generated customers, in one process, with a short account of what happened.

Uses only what every user has: the landing zone, the two jobs, the decisions, the gate. May be run again; what was
generated and decided stays. What does not belong here: any step that the pipeline itself does not offer.
"""

import datetime as dt
import json
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from spendsense_pipeline import gate, profiles, synthetic, warehouse
from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.defs import launch
from spendsense_pipeline.durations import DRAFT_LIFE
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import consent, operators, queue, review
from spendsense_pipeline.governance.database import open_or_create, reading, writing
from spendsense_pipeline.governance.lifecycle import SHORTEST_HASH
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.settings import PROJECT_ROOT, Settings

USERS = 75
BATCH = f"demo-{USERS}-customers"
APPOINTED = {"operator_1": "operator", "admin_1": "admin", "auditor_1": "auditor"}
INDENT = " " * 13
WHY_HELD = {
    "rejected": "rejected by the operator",
    "voided": "the customer withdrew consent before the release",
    "expired": f"nobody decided and released it within {DRAFT_LIFE.days} days",
    "superseded": "newer figures took its place",
    "approved": "they had enough texts this week",
    "pending_approval": "waits for an operator",
}
"""Why what has this status was not released."""


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
        _appoint(engine, _now())
        operator_id, waiting = _review(settings, engine, _now())
        released = launch.release(definitions, instance).metadata["released_recommendations"]["released"]
        launch.evaluate(definitions, instance, day)  # the page and the UI tell of the queue as it is left

    with reading(engine) as session:
        deciding = len(operators.listed(session))
    print(
        f"SpendSense on {USERS} generated people, {deciding} of them operators; figures of {day}, "
        f"kept in {_short(settings.data)}"
    )
    _tell_ingest(settings, launch.tallies(ingested))
    _tell_personas(settings, day)
    _tell_review(settings, engine, refreshed, released)
    engine.dispose()
    _tell_next(settings, waiting, operator_id, day)


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


def _appoint(engine: Engine, now: dt.datetime) -> None:
    """One person of each role, for whoever looks at the service; the files bring operators alone."""
    with writing(engine) as session:
        for name, role in APPOINTED.items():
            operators.add(session, name, now, "demo", operators.Standing(role=role))


def _review(settings: Settings, engine: Engine, now: dt.datetime) -> tuple[str, dict[str, Any] | None]:
    """Decide as a generated operator: reject one, approve the rest but one; one customer then changes their mind.

    Only the demo's own people are decided about, and only by its own operators: the folder may hold others. Returns
    the operator and the draft left waiting. On a later run only that one is still there, and stays.
    """
    own = set(warehouse.load(settings.warehouse_root, "raw_users", [BATCH], ["user_id"])["user_id"].to_pylist())
    with reading(engine) as session:
        deciding = [row["operator_id"] for row in operators.listed(session) if row["active"]]
        items = queue.queue(session, now, limit=1000)["queue"]
    operator_id = next((name for name in deciding if name in own), None)
    if operator_id is None:
        raise SpendSenseError(
            f"{_short(settings.data)} has operators of its own and the generated ones may not decide there; give the "
            "demo another folder: SPENDSENSE_DATA=demo make demo",
            code="not_the_demos_folder",
        )
    clean = [row for row in items if row["user_id"] in own and not row["findings"]]
    if len(clean) <= 2:
        return operator_id, clean[-1] if clean else None
    rejected, *approved, waiting = clean
    _decide(engine, "reject", [rejected], operator_id, now, "the operator found the tone wrong for this customer")
    # So that the one left waiting can go out today, its customer gets fewer others than a week allows.
    others = [row for row in approved if row["user_id"] == waiting["user_id"]][max(settings.weekly_cap - 1, 0) :]
    if others and settings.weekly_cap:
        approved = [row for row in approved if row not in others]
        _decide(engine, "reject", others, operator_id, now, "enough for this week")
    _decide(engine, "approve", approved, operator_id, now, "sample review")
    leaving = next((row["user_id"] for row in approved if row["user_id"] != waiting["user_id"]), None)
    if leaving is not None:
        with writing(engine) as session:
            consent.revoke(session, leaving, now, actor="the customer", source="demo", channel="generated")
    return operator_id, waiting


def _decide(
    engine: Engine, action: str, rows: Sequence[dict[str, Any]], operator_id: str, now: dt.datetime, reason: str
) -> None:
    asked = review.requests(action, [_reference(row) for row in rows], operator_id, reason=reason)
    review.decide(engine, asked, now)


def _reference(row: dict[str, Any]) -> str:
    return f"{row['recommendation_id']}@{row['content_hash'][:SHORTEST_HASH]}"


def _tell_ingest(settings: Settings, tallies: dict[str, dict[str, int]]) -> None:
    total = {name: sum(counts[name] for counts in tallies.values()) for name in ("read", "accepted", "rejected")}
    print(f"Read         {total['read']:,} rows, accepted {total['accepted']:,}, quarantined {total['rejected']}:")
    kept_out = warehouse.read(warehouse.connect(), settings.warehouse_root, "quarantined_rows")
    kept_out = kept_out.filter(kept_out.batch == BATCH)
    for row in kept_out.order_by("file", "row").limit(5).to_pyarrow().to_pylist():
        reasons = ", ".join(reason.replace("_", " ") for reason in json.loads(row["reasons"]))
        print(f"{INDENT}{row['file']} row {row['row']}: {row['field']} {row['value']!r}, {reasons}")


def _tell_personas(settings: Settings, day: dt.date) -> None:
    counts: dict[str, Counter[str]] = {}
    for window in profiles.WINDOWS:
        table, columns = f"persona_assignments_{window}d", ["persona", "is_fallback"]
        rows = warehouse.load(settings.warehouse_root, table, [day.isoformat()], columns).to_pylist()
        counts[str(window)] = Counter("(no rule matched)" if row["is_fallback"] else row["persona"] for row in rows)
    print("\nPersonas     last 30 days  last 180 days")
    for persona in sorted({*counts["30"], *counts["180"]}):
        print(f"{INDENT}{counts['30'][persona]:>12}  {counts['180'][persona]:>13}  {persona.replace('_', ' ')}")


def _tell_review(settings: Settings, engine: Engine, refreshed: launch.Ran, released: int) -> None:
    now = _now()
    with reading(engine) as session:
        counts = queue.counts(session, now)["recommendations"]
        feed = gate.feed(settings, engine, now)
        held = list(_held_back(session, now))
    drafted = refreshed.metadata["draft_recommendations"]
    new = refreshed.metadata["approval_queue"]["registered"]
    print(f"\nDrafts       {drafted['dagster/row_count']} for {drafted['customers']} customers who consent")
    print(
        f"Queue        {new} new in this run; in all {counts['approved'] + counts['overridden']} approved, "
        f"{counts['rejected']} rejected, {counts['voided']} voided, {counts['pending_approval']} waiting"
    )
    print(f"Released     {released} in this run; customers may see {len(feed)} now")
    print(f"Held back    {sum(number for number, _, _ in held)}")
    for number, which, reason in held:
        print(f"{INDENT}{number:>3}  {which}: {reason}")


def _held_back(session: Session, now: dt.datetime) -> Iterator[tuple[int, str, str]]:
    """What was not released, by customer and reason: how many, which, and why, as the records say."""
    groups: dict[tuple[str, str], list[str]] = {}
    for status in WHY_HELD:
        for row in queue.queue(session, now, status=status, limit=1000)["queue"]:
            if row["released_at"] is not None:
                continue
            whose = "" if row["status"] in ("approved", "rejected") else row["user_id"]
            groups.setdefault((whose, WHY_HELD[row["status"]]), []).append(row["recommendation_id"])
    for (user_id, reason), names in groups.items():
        of = f"of {user_id}" if user_id else "of several customers"
        yield len(names), names[0] if len(names) == 1 else of, reason


def _tell_next(settings: Settings, waiting: dict[str, Any] | None, operator_id: str, day: dt.date) -> None:
    command, data = _short(Path(sys.executable).with_name("spendsense")), _short(settings.data)
    print()
    if settings.data != Path("data").absolute():
        print(f"For the commands below: export SPENDSENSE_DATA={shlex.quote(data)}")
    if waiting is not None:
        print("Your turn: look at the draft that waits, approve it, let it out")
        print(f"  {command} show {waiting['recommendation_id']}")
        print(f"  {command} approve {_reference(waiting)} --operator {operator_id}")
        print(f"  {command} release")
    print("\nWhere to look")
    print(f"  {data}/reports/{day}.html is the record of the day, {data}/warehouse has every table as Parquet")
    print(f"  {command} users --consent true; then profile, signals, released, why")
    print("  make serve: the desk, http://127.0.0.1:8000/desk; make dev: the graph, http://127.0.0.1:3000/asset-groups")


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
