"""Customers to measure on, generated once per folder and size, and what the package makes of them."""

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb

AS_OF = dt.date(2026, 6, 30)
CUSTOMERS = 2_000
TABLES = ("users", "accounts", "transactions", "liabilities")
KEYS = {"user_id", "account_id", "transaction_id", "liability_id"}


def canonical(folder: Path, transactions: int) -> Path:
    """The four canonical tables with about so many transactions, stored as the warehouse stores them; made once per
    folder and size.

    Two thousand generated customers (the hard setting) are ingested by the package itself, then copied under other
    ids until there are enough.
    """
    base = _base(folder)
    (rows,) = duckdb.sql(f"SELECT count(*) FROM '{base}/transactions.parquet'").fetchone()
    return _copied(folder, f"{transactions}", max(1, round(transactions / rows)))


def stored(folder: Path, customers: int) -> Path:
    """The same tables with so many customers, in whole copies of the two thousand."""
    return _copied(folder, f"{customers}-customers", max(1, round(customers / CUSTOMERS)))


def _copied(folder: Path, name: str, copies: int) -> Path:
    made = folder / name
    if (made / "_SUCCESS").exists():
        return made
    from spendsense_pipeline import warehouse

    base = _base(folder)
    made.mkdir(parents=True, exist_ok=True)
    con = warehouse.connect(made)
    for table in TABLES:
        columns = con.read_parquet(base / f"{table}.parquet").columns
        # Padded, so that ids sort as the copies were made: what is sorted then lies nearly in order.
        shown = ", ".join(
            f"lpad(copy::VARCHAR, 6, '0') || '_' || {column} AS {column}" if column in KEYS else column
            for column in columns
        )
        unsorted = made / "unsorted.parquet"
        con.raw_sql(
            f"COPY (SELECT {shown} FROM (SELECT unnest(range({copies})) AS copy), '{base}/{table}.parquet') "
            f"TO '{unsorted}'"
        )
        warehouse.write(con.read_parquet(unsorted), table, made / f"{table}.parquet", made)
        unsorted.unlink()
    (made / "_SUCCESS").touch()
    return made


def _base(folder: Path) -> Path:
    """The generated customers, judged and merged by the package's own ingest."""
    base = folder / "base"
    if (base / "_SUCCESS").exists():
        return base
    from spendsense_pipeline import warehouse

    base.mkdir(parents=True, exist_ok=True)
    for table, rows in judged(warehouse.connect(), generated(folder, CUSTOMERS, hard=True)).items():
        rows.to_parquet(base / f"{table}.parquet")
    (base / "_SUCCESS").touch()
    return base


def generated(folder: Path, customers: int, *, hard: bool = False) -> Path:
    """A batch of so many generated customers as it lands, ``AS_OF`` its last day; made once per folder and size."""
    from spendsense_pipeline import synthetic

    landed = folder / f"generated-{customers}{'-hard' if hard else ''}"
    if not landed.exists():
        synthetic.write(synthetic.generate(customers, as_of=AS_OF, hard=hard), landed)
    return landed


def judged(con: Any, landed: Path, raw: Path | None = None, memory: str | None = None) -> dict[str, Any]:
    """The accepted rows of a landed batch by table, as the package's own ingest reads and judges them.

    With ``raw``, the rows as written are stored there first, as the pipeline does, and judged from there by an engine
    of their own, which may take ``memory``.
    """
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.ingest import landing, merge

    surveyed = landing.survey(con, landed)
    read = {
        table: landing.read_raw(
            con, landed, table, batch_id="benchmark", arrival=1, arrived_on=AS_OF, surveyed=surveyed
        )
        for table in landing.TABLES
    }
    if raw is not None:
        for table, rows in read.items():
            rows.to_parquet(raw / f"{table}.parquet")
        merging = warehouse.connect(raw, memory, in_order=False)
        read = {table: merging.read_parquet(raw / f"{table}.parquet") for table in read}
    return merge.full(read, raw).accepted
