"""Days in a row: all of a history on the first, one more day of the same customers on the second, none on the third.

A scripted model on 127.0.0.1 writes the education, so that its requests can be counted. Told is what each day
did anew and what it took over from the one before; tables of the third day are held against those of a data folder in
which the same batches were judged as a whole.
"""

import datetime as dt
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import data

DAY = dt.timedelta(days=1)


def batches(folder: Path, customers: int) -> tuple[Path, Path]:
    """The batch of all days but the last, with balances of that evening, and that of the last; made once per size."""
    first, second = (folder / f"daily-{customers}" / name for name in ("first", "second"))
    if (second.parent / "_SUCCESS").exists():
        return first, second
    source = data.generated(folder, customers)
    (transactions,) = source.glob("transactions.*")
    for batch, days in ((first, "<"), (second, "=")):
        batch.mkdir(parents=True, exist_ok=True)
        duckdb.sql(
            f"COPY (FROM '{transactions}' WHERE CAST(date AS DATE) {days} DATE '{data.AS_OF}') "
            f"TO '{batch}/transactions.parquet'"
        )
    (first / "users.json").write_bytes((source / "users.json").read_bytes())
    moved = duckdb.sql(f"SELECT account_id, sum(amount) FROM '{second}/transactions.parquet' GROUP BY account_id")
    by_account = dict(moved.fetchall())
    for table in ("accounts", "liabilities"):
        rows = json.loads((source / f"{table}.json").read_text(encoding="utf-8"))
        (second / f"{table}.json").write_text(json.dumps(rows), encoding="utf-8")
        for row in rows:
            row["balance_date"] = f"{data.AS_OF - DAY}"
            if row.get("balance_current") is not None:  # what is owed is positive, and spending adds to it
                owed = row["type"] in ("credit", "loan")
                change = by_account.get(row["account_id"], 0.0) * (-1 if owed else 1)
                row["balance_current"] = round(row["balance_current"] - change, 2)
        (first / f"{table}.json").write_text(json.dumps(rows), encoding="utf-8")
    (second.parent / "_SUCCESS").touch()
    return first, second


def three_days(first: str, second: str, out: str, day: str, memory: str | None = None) -> dict[str, Any]:
    """Seconds by stage of each day, and what became of it. By the third, the decisions on the first day's drafts are
    known to the drafts; it brings no batch."""
    from benchmarks.whole_way import Way
    from spendsense_pipeline_tests.recommendations.model_server import serving

    os.environ["NO_PROXY"] = "127.0.0.1"
    last = dt.date.fromisoformat(day)
    told: dict[str, Any] = {}
    with serving() as server, counted_judgements() as judged:
        for name, batch, date in (
            ("first", Path(first), last - DAY),
            ("second", Path(second), last),
            ("third", None, last + DAY),
        ):
            way = Way(
                Path(out) / "data",
                memory=memory,
                generator="openai",
                OPENAI_BASE_URL=server.url,
                OPENAI_API_KEY="sk-benchmark",
                openai_max_requests=10**6,
                openai_max_tokens=10**12,
                openai_max_cost=10**6,
            )
            asked, judged_before, rows_before = len(server.requests), len(judged), rows(way.settings.governance_url)
            way.run(batch, date)
            queue, education = way.metadata["approval_queue"], way.metadata["education_templates"]
            written = Counter(rows(way.settings.governance_url))
            written.subtract(rows_before)
            told[name] = {
                "stages": way.stages,
                "processor": way.processor,
                "figures": {
                    "transactions in the batch": way.metadata["raw_transactions"]["dagster/row_count"] if batch else 0,
                    "transactions judged": sum(judged[judged_before:]),
                    "customers whose features were computed": way.metadata["features_30d"]["dagster/row_count"],
                    "situations": education["situations_asked_for"],
                    "situations kept from before": education["situations_kept_before"],
                    "requests to the model": len(server.requests) - asked,
                    "drafts": way.metadata["draft_recommendations"]["dagster/row_count"],
                    **{
                        f"drafts {fate}": queue[fate]
                        for fate in ("registered", "replaced", "unchanged", "suppressed", "withdrawn")
                    },
                    "released": way.metadata["released_recommendations"]["released"],
                    **{f"rows written to {table}": number for table, number in written.items() if number},
                },
            }
        told["third"]["tables"] = contents(way.settings, last + DAY)
    return told


def recomputed(first: str, second: str, out: str, day: str, memory: str | None = None) -> dict[str, Any]:
    """Seconds by stage of the third day as from nothing: both batches ingested by judging all rows, then the day."""
    from benchmarks.whole_way import Way

    last = dt.date.fromisoformat(day)
    way = Way(Path(out) / "data", memory=memory)
    batches = {f"day-{last - DAY}": Path(first), f"day-{last}": Path(second)}
    way.run(None, last + DAY, review=False, before=batches)
    return {"stages": way.stages, "processor": way.processor, "tables": contents(way.settings, last + DAY)}


def contents(settings: Any, day: dt.date) -> dict[str, list[int]]:
    """What tables hold that rest on no decision: rows, and a sum of the hashes of the rows."""
    import ibis

    from spendsense_pipeline import warehouse

    con, found = ibis.duckdb.connect(), {}
    for table, keys in ((table, keys) for tables, keys in COMPARED.items() for table in tables):
        rows = warehouse.read(con, settings.warehouse_root, table, [f"{day}"] if keys == "day" else None)
        query = f"SELECT count(*), sum(hash(rows)) FROM ({ibis.to_sql(rows)}) AS rows"
        found[table] = [int(each or 0) for each in con.raw_sql(query).fetchone()]
    con.disconnect()
    return found


COMPARED = {
    ("users", "accounts", "transactions", "liabilities", "quarantined_rows"): "all",
    (
        *("payees", "recurring_streams", "cards", "features_30d", "features_180d", "insights", "balance_forecast"),
        *("persona_assignments_30d", "persona_assignments_180d", "situations", "product_matches"),
    ): "day",
}


def rows(url: str) -> dict[str, int]:
    """Rows of each table of the governance database."""
    from sqlalchemy import func, select

    from spendsense_pipeline.governance.database import open_or_create, reading
    from spendsense_pipeline.governance.models import Base

    engine = open_or_create(url)
    with reading(engine) as session:
        found = {
            table.name: session.scalar(select(func.count()).select_from(table)) for table in Base.metadata.sorted_tables
        }
    engine.dispose()
    return found


@contextmanager
def counted_judgements() -> Iterator[list[int]]:
    """Notes how many transactions ingest judges, each time it does."""
    from spendsense_pipeline.ingest import plan

    judged: list[int] = []
    lay_out = plan.lay_out

    def counting(raw: Any) -> None:
        if "transactions" in raw:
            judged.append(int(raw["transactions"].count().to_pyarrow().as_py()))
        lay_out(raw)

    plan.lay_out = counting
    try:
        yield judged
    finally:
        plan.lay_out = lay_out
