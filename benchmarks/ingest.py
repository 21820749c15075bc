"""Making customers, and the same transactions in three formats to valid tables, beside a bare DuckDB read of the file.

Ours surveys the files, stores every row as written, judges each field of each row against its owner, and stores the
accepted rows sorted by customer; what Dagster adds is measured in ``whole_way.py``. The bare read takes the file's
word for everything.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import data

FORMATS = {
    "jsonl": ("JSON Lines", "FORMAT json", "read_ndjson_auto"),
    "csv": ("CSV", "FORMAT csv, HEADER", "read_csv_auto"),
    "parquet": ("Parquet", "FORMAT parquet", "read_parquet"),
}


def batches(folder: Path, customers: int) -> Path:
    """A landed batch per format, the transactions in it and all else alike; made once per folder and size."""
    made = folder / f"formats-{customers}"
    if not (made / "_SUCCESS").exists():
        source = data.generated(folder, customers)
        (transactions,) = source.glob("transactions.*")
        for kind, (_, options, _) in FORMATS.items():
            batch = made / kind
            batch.mkdir(parents=True, exist_ok=True)
            duckdb.sql(f"COPY (FROM '{transactions}') TO '{batch}/transactions.{kind}' ({options})")
            for table in ("users", "accounts", "liabilities"):
                shutil.copy(source / f"{table}.json", batch)
        (made / "_SUCCESS").touch()
    return made


def generate(customers: int, out: str) -> dict[str, Any]:
    """Customers of 180 days in memory, then as a batch on disk."""
    from spendsense_pipeline import synthetic

    started = time.perf_counter()
    made = synthetic.generate(customers, as_of=data.AS_OF)
    generated = time.perf_counter()
    synthetic.write(made, Path(out) / "batch")
    return {
        "rows": len(made.tables["transactions"]),
        "making": generated - started,
        "writing": time.perf_counter() - generated,
    }


def ours(batch: str, out: str, memory: str | None = None) -> dict[str, Any]:
    """Files to valid tables by the package's own functions."""
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.ingest import landing

    landing.content_hash(Path(batch))
    raw = Path(out) / "raw"
    raw.mkdir()
    for table, rows in data.judged(warehouse.connect(Path(out), memory), Path(batch), raw, memory).items():
        warehouse.write(rows, table, Path(out) / f"{table}.parquet")
    return {}


def bare(batch: str, out: str, kind: str) -> dict[str, Any]:
    """One read of the transactions, types as DuckDB guesses them, to Parquet."""
    duckdb.sql(f"COPY (FROM {FORMATS[kind][2]}('{batch}/transactions.{kind}')) TO '{out}/transactions.parquet'")
    return {}
