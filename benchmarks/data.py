"""Tables to measure on: generated customers, and as many copies of them as a size asks for."""

import datetime as dt
from pathlib import Path

import duckdb

AS_OF = dt.date(2026, 6, 30)
CUSTOMERS = 2_000
TABLES = ("users", "accounts", "transactions", "liabilities")
KEYS = {"user_id", "account_id", "transaction_id", "liability_id"}


def canonical(folder: Path, transactions: int) -> Path:
    """The four canonical tables with about so many transactions, sorted by customer; made once per folder and size.

    Two thousand generated customers (the hard setting) are ingested by the package itself, then copied under other
    ids until there are enough.
    """
    made = folder / f"{transactions}"
    if (made / "_SUCCESS").exists():
        return made
    base = _base(folder)
    made.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect()
    (rows,) = con.execute(f"SELECT count(*) FROM '{base}/transactions.parquet'").fetchone()
    copies = max(1, round(transactions / rows))
    for table in TABLES:
        columns = [one[0] for one in con.execute(f"DESCRIBE SELECT * FROM '{base}/{table}.parquet'").fetchall()]
        shown = ", ".join(f"copy || '_' || {name} AS {name}" if name in KEYS else name for name in columns)
        con.execute(
            f"COPY (SELECT {shown} FROM (SELECT unnest(range({copies})) AS copy), '{base}/{table}.parquet' "
            f"{'ORDER BY user_id' if table != 'transactions' or copies < 30 else ''}) "
            f"TO '{made}/{table}.parquet'"
        )
    (made / "_SUCCESS").touch()
    return made


def _base(folder: Path) -> Path:
    """The generated customers, judged and merged by the package's own ingest."""
    base = folder / "base"
    if (base / "_SUCCESS").exists():
        return base
    from spendsense_pipeline import synthetic, warehouse
    from spendsense_pipeline.ingest import canonical as judging
    from spendsense_pipeline.ingest import landing

    base.mkdir(parents=True, exist_ok=True)
    landed = folder / "landed"
    if not landed.exists():
        synthetic.write(synthetic.generate(CUSTOMERS, as_of=AS_OF, hard=True), landed)
    con = warehouse.connect()
    raw = {
        table: landing.read_raw(con, landed, table, batch_id="base", arrival=1, arrived_on=AS_OF) for table in TABLES
    }
    users = judging.judge_users(raw["users"]).cache()
    accounts = judging.judge_accounts(raw["accounts"], judging.accepted(users), raw["transactions"]).cache()
    holders = judging.accepted(accounts)
    judged = {
        "users": users,
        "accounts": accounts,
        "transactions": judging.judge_transactions(raw["transactions"], holders),
        "liabilities": judging.judge_liabilities(raw["liabilities"], holders, raw["transactions"]),
    }
    for table, rows in judged.items():
        judging.accepted(rows).order_by("user_id").to_parquet(base / f"{table}.parquet")
    (base / "_SUCCESS").touch()
    return base
