"""Features of both windows, Parquet to Parquet: ours, on Spark, pandas twice, a bare pass, a loop per customer.

``pandas_same`` gives what the first edition of the package gave. The other peers do less than the package does, never
more: ``pandas`` finds streams by gaps alone, knows no refunds, legs or rolled-back balances, and the loop leaves out
streams that vary. Where ours is slower, it is slower than that.
"""

import datetime as dt
import itertools
from pathlib import Path
from typing import Any

from benchmarks.data import AS_OF

WINDOWS = (30, 180)
FOOD = ("FOOD_AND_DRINK", "TRANSPORTATION", "TRAVEL", "BANK_FEES")
BILLS = ("RENT_AND_UTILITIES", "LOAN_PAYMENTS", "TRANSFER_OUT")


def compiling(cache: str) -> dict[str, Any]:
    """Compiles the package's kernels into a folder, as happens once per version of their source."""
    from spendsense_pipeline.features.compilation import make_ready

    make_ready(Path(cache))
    return {}


def ours(tables: str, out: str, cache: str, workers: int | None = None, dates: int = 1) -> dict[str, Any]:
    """The package's ranges of customers on so many dates up to ``AS_OF``, in so many processes (default: one for each
    core), by the kernels that were compiled into ``cache``."""
    import os

    from spendsense_pipeline.runners import in_processes

    workers = workers or os.cpu_count() or 1
    return _write(tables, out, cache, workers, in_processes(workers), dates)


def warm(tables: str, out: str, cache: str, threads: int = 1) -> dict[str, Any]:
    """The ranges in so many threads of a process that did the same before: its imports, word lists and kernels are
    there, and memory is."""
    import time
    from concurrent.futures import ThreadPoolExecutor

    from spendsense_pipeline.runners import do

    def ready_here(tasks: Any) -> Any:
        tasks[0].set_up()
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(do, tasks)

    _write(tables, out, cache, threads, ready_here)
    started = time.perf_counter()
    return _write(tables, out, cache, threads, ready_here) | {"seconds": time.perf_counter() - started}


def warm_threads(tables: str, out: str, cache: str) -> dict[str, Any]:
    """A thread for each core."""
    import os

    return warm(tables, out, cache, os.cpu_count() or 1)


def insights(tables: str, out: str, cache: str) -> dict[str, Any]:
    """What the asset of features does: insights and the forecast of the balance beside them."""
    import os

    from spendsense_pipeline.insights.kinds import FUNCTION, TABLES
    from spendsense_pipeline.runners import in_processes

    workers = os.cpu_count() or 1
    return _write(tables, out, cache, workers, in_processes(workers), beside=(TABLES, FUNCTION))


def many_dates(tables: str, out: str, cache: str) -> dict[str, Any]:
    """Thirty dates in one run."""
    return ours(tables, out, cache, dates=30)


def spark(tables: str, out: str, cache: str) -> dict[str, Any]:
    """The same ranges as tasks of Spark ``local[2]``; starting Spark is part of it."""
    from spendsense_pipeline.runners import on_spark
    from spendsense_pipeline.spark import context

    opened = context("local[2]")
    return _write(tables, out, cache, opened.defaultParallelism, on_spark(opened))


def _write(
    tables: str, out: str, cache: str, workers: int, runner: Any, dates: int = 1, beside: Any = None
) -> dict[str, Any]:
    import pyarrow.parquet as pq

    from spendsense_pipeline import row_groups, warehouse
    from spendsense_pipeline.contracts import CONTRACTS, arrow_schema
    from spendsense_pipeline.features import by_range

    scratch = Path(out) / "scratch"
    stored = {
        name: warehouse.stored_by_customer(
            tables, name, by_range.columns_of(name), str(scratch), by_range.MOST_ROWS, scratch=scratch
        )
        for name in by_range.TABLES
    }
    days = [AS_OF - dt.timedelta(days=back) for back in reversed(range(dates))]
    more = by_range.Beside(*beside) if beside else None
    tasks = by_range.tasks_of(stored, days, WINDOWS, str(scratch), workers, "always", cache, beside=more)
    for table, parts in by_range.compute(tasks, runner).parts.items():
        for day in days:
            target = Path(out) / (f"{table}.parquet" if day == AS_OF else f"{table}-{day}.parquet")
            row_groups.gather(parts.of[str(day)], target, arrow_schema(CONTRACTS[table]))
    return {"customers": pq.read_metadata(f"{out}/features_30d.parquet").num_rows, "ranges": len(tasks)}


def profile(tables: str, out: str, window: int = 77) -> dict[str, Any]:
    """``spendsense profile USER --window 77`` as typed, of the customer in the middle of what is stored."""
    import os
    import resource
    import subprocess
    import sys

    import duckdb

    found = duckdb.sql(
        f"SELECT count(*), quantile_disc(user_id, 0.5) FROM '{tables}/users.parquet' "
        "WHERE coalesce(user_type, 'customer') = 'customer'"
    )
    customers, user = found.fetchone()
    environment = os.environ | {"SPENDSENSE_DATA": out, "SPENDSENSE_WAREHOUSE": tables}
    command = [sys.executable, "-m", "spendsense_pipeline.cli", "profile", user, "--window", f"{window}", "--json"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"customers": customers, "command": used.ru_utime + used.ru_stime}


def bare(tables: str, out: str) -> dict[str, Any]:
    """The floor: one hash aggregation by customer and payee, the least that any answer has to do."""
    import duckdb

    duckdb.sql(
        "COPY (SELECT user_id, coalesce(merchant_entity_id, merchant_name) AS payee, count(*) AS charges, "
        f"sum(amount) AS total, min(date) AS first, max(date) AS last FROM '{tables}/transactions.parquet' "
        f"GROUP BY ALL) TO '{out}/payees.parquet'"
    )
    return {}


def pandas(tables: str, out: str) -> dict[str, Any]:
    """The same signals as an analyst writes them in pandas: whole columns, group-bys, merges."""
    import numpy as np
    import pandas as pd

    rows = pd.read_parquet(f"{tables}/transactions.parquet")
    accounts = pd.read_parquet(f"{tables}/accounts.parquet")
    liabilities = pd.read_parquet(f"{tables}/liabilities.parquet")
    people = pd.read_parquet(f"{tables}/users.parquet", columns=["user_id", "user_type"])
    as_of = pd.Timestamp(AS_OF)

    rows["date"] = pd.to_datetime(rows["date"])
    rows = rows[~rows["pending"] & (rows["date"] <= as_of)].merge(
        accounts[["account_id", "type", "subtype"]], on="account_id"
    )
    rows["payee"] = rows["merchant_entity_id"].fillna(
        rows["merchant_name"].str.lower().str.replace(r"[0-9#*]+", " ", regex=True).str.strip()
    )
    primary, detailed = rows["category_primary"].fillna(""), rows["category_detailed"].fillna("")
    rows["cents"] = (rows["amount"].abs() * 100).round().astype("int64")
    own = detailed.str.contains("SAVINGS|INVESTMENT|CREDIT_CARD_PAYMENT") | primary.str.startswith("TRANSFER")
    rows["paycheck"] = (rows["amount"] > 0) & detailed.str.contains("WAGES|SALARY|GIG")
    rows["spends"] = ~own & ~rows["paycheck"] & ~primary.eq("INCOME") & ~rows["type"].isin(["loan", "investment"])
    rows["fee"] = detailed.isin(["BANK_FEES_OVERDRAFT_FEES", "BANK_FEES_INSUFFICIENT_FUNDS", "BANK_FEES_LATE_FEES"])
    rows["interest"] = detailed.eq("BANK_FEES_INTEREST_CHARGE") & (rows["amount"] < 0)
    rows["saved"] = rows["amount"].where(rows["subtype"].fillna("").str.contains("savings"), 0.0)

    charges = rows[(rows["amount"] < 0) & ~own & rows["payee"].notna() & ~primary.isin(FOOD)]
    charges = charges[charges.groupby(["user_id", "payee", "cents"])["cents"].transform("size") > 1]
    charges = charges.sort_values(["user_id", "payee", "cents", "date"])
    line = ["user_id", "payee", "cents"]
    charges["gap"] = charges.groupby(line)["date"].diff().dt.days
    streams = charges.groupby(line).agg(
        occurrences=("date", "size"),
        first_date=("date", "min"),
        last_date=("date", "max"),
        gap=("gap", "median"),
        irregular=("gap", "std"),
        category=("category_primary", "first"),
    )
    cadence = [streams["gap"].between(*ends) for ends in ((6, 8), (13, 15), (27, 34), (85, 97), (350, 380))]
    streams["period"] = np.select(cadence, [7, 14, 30, 91, 365], 0)
    streams = streams[(streams["period"] > 0) & (streams["occurrences"] >= 3) & ~(streams["irregular"] > 4)]
    streams["monthly_cost"] = streams.index.get_level_values("cents") / 100 * 30 / streams["period"]
    streams["subscription"] = ~streams["category"].isin(BILLS)
    live = (as_of - streams["last_date"]).dt.days <= streams["period"] * 2
    streams.reset_index().to_parquet(f"{out}/recurring_streams.parquet")

    pays = rows[rows["paycheck"]].sort_values(["user_id", "date"])
    pays["gap"] = pays.groupby("user_id")["date"].diff().dt.days
    cards = accounts[accounts["type"].eq("credit") | accounts["subtype"].fillna("").str.contains("credit")].copy()
    cards["utilization"] = cards["balance_current"].clip(lower=0) / cards["balance_limit"].replace(0, np.nan)
    by_card = cards.groupby("user_id").agg(
        card_count=("account_id", "size"),
        balance=("balance_current", "sum"),
        limit=("balance_limit", "sum"),
        max_utilization=("utilization", "max"),
    )
    owes = liabilities.assign(
        minimum=(liabilities["last_payment_amount"] > 0)
        & (liabilities["last_payment_amount"] <= liabilities["minimum_payment_amount"] + 5)
    )
    owed = owes.groupby("user_id").agg(any_overdue=("is_overdue", "max"), minimum_payment_only_flag=("minimum", "max"))
    kinds = accounts.assign(kind=np.where(accounts["subtype"].fillna("").str.contains("savings"), "savings", "other"))
    kinds.loc[kinds["subtype"].fillna("").str.contains("checking"), "kind"] = "checking"
    balances = kinds.pivot_table(index="user_id", columns="kind", values="balance_current", aggfunc="sum")
    history = (as_of - rows.groupby("user_id")["date"].min()).dt.days

    customers = people[people["user_type"].fillna("customer") == "customer"].set_index("user_id")
    for window in WINDOWS:
        inside = rows[rows["date"] > as_of - pd.Timedelta(days=window)]
        months = window / 30
        flows = inside.assign(spent=inside["amount"].where(inside["spends"], 0.0).mul(-1)).groupby("user_id")
        table = customers.join(flows.agg(total_spend=("spent", "sum"), saved=("saved", "sum")))
        table["history_days"] = history
        current = streams[live & streams["subscription"] & (streams["last_date"] > as_of - pd.Timedelta(days=window))]
        table = table.join(
            current.groupby("user_id").agg(
                recurring_merchants=("occurrences", "size"), monthly_recurring_spend=("monthly_cost", "sum")
            )
        )
        table = table.join(by_card).join(owed).join(balances)
        table["avg_monthly_expenses"] = table["total_spend"] / months
        table["net_savings_inflow"] = table["saved"] / months
        table["savings_growth_rate"] = table["saved"] / (table["savings"] - table["saved"]).where(lambda s: s > 0)
        table["emergency_fund_months"] = table["savings"] / table["avg_monthly_expenses"].replace(0, np.nan)
        table["cash_flow_buffer_months"] = table["checking"] / table["avg_monthly_expenses"].replace(0, np.nan)
        table["avg_utilization"] = table["balance"] / table["limit"].replace(0, np.nan)
        table["subscription_spend_share"] = table["monthly_recurring_spend"] * months / table["total_spend"]
        charged = inside[inside["interest"]].groupby("user_id")["amount"].sum().mul(-1)
        table["interest_charges"] = charged.reindex(table.index).fillna(0.0)
        table["fees_180d"] = rows[rows["fee"]].groupby("user_id")["amount"].sum().mul(-1).reindex(table.index)
        paid = pays[pays["date"] > as_of - pd.Timedelta(days=max(window, 180))]
        table["median_pay_gap_days"] = paid.groupby("user_id")["gap"].median()
        by_payer = paid.groupby(["user_id", "payee"])["amount"].agg(["mean", "std", "size", "sum"])
        table["income_variability"] = (by_payer["std"] / by_payer["mean"]).groupby("user_id").mean()
        table["avg_monthly_income"] = by_payer["sum"].groupby("user_id").sum() / (max(window, 180) / 30)
        table["payroll_detected"] = paid.groupby("user_id").size().reindex(table.index).fillna(0) >= 2
        table.reset_index().to_parquet(f"{out}/features_{window}d.parquet")
    return {"customers": len(customers)}


def pandas_same(tables: str, out: str) -> dict[str, Any]:
    """The signals by the first edition's definitions in pandas."""
    from benchmarks import in_pandas

    return in_pandas.features(tables, out)


def loop(tables: str, out: str, budget: float = 60.0) -> dict[str, Any]:
    """A query and a Python loop for each customer through SQLAlchemy on SQLite, for as many as ``budget`` seconds
    allow; ``seconds_per_customer`` is what counts. Filling the database is not measured."""
    import statistics
    import time
    from collections import defaultdict

    import duckdb
    from sqlalchemy import Date, Float, String, create_engine, insert, select
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

    class Base(DeclarativeBase):
        pass

    class Row(Base):
        __tablename__ = "transactions"
        transaction_id: Mapped[str] = mapped_column(String, primary_key=True)
        user_id: Mapped[str] = mapped_column(String, index=True)
        date: Mapped[dt.date] = mapped_column(Date, index=True)
        amount: Mapped[float] = mapped_column(Float)
        merchant_name: Mapped[str | None]
        category_detailed: Mapped[str | None]

    class Account(Base):
        __tablename__ = "accounts"
        account_id: Mapped[str] = mapped_column(String, primary_key=True)
        user_id: Mapped[str] = mapped_column(String, index=True)
        subtype: Mapped[str | None]
        balance_current: Mapped[float | None]
        balance_limit: Mapped[float | None]

    engine = create_engine(f"sqlite:///{out}/loop.db")
    Base.metadata.create_all(engine)
    some = f"(SELECT DISTINCT user_id FROM '{tables}/transactions.parquet' ORDER BY user_id LIMIT 10000)"
    with Session(engine) as session:
        for model in (Row, Account):
            table = model.__table__
            cursor = duckdb.sql(
                f"SELECT {', '.join(table.c.keys())} FROM '{tables}/{table.name}.parquet' WHERE user_id IN {some}"
            )
            while chunk := cursor.fetchmany(50_000):
                session.execute(insert(model), [dict(zip(table.c.keys(), row, strict=True)) for row in chunk])
        session.commit()
        users = list(session.scalars(select(Account.user_id).distinct()))

    started, done = time.perf_counter(), 0
    with Session(engine) as session:
        for user_id in users:
            for window in WINDOWS:
                since = AS_OF - dt.timedelta(days=window)
                rows = session.scalars(
                    select(Row).where(Row.user_id == user_id, Row.date > since, Row.date <= AS_OF).order_by(Row.date)
                ).all()
                accounts = session.scalars(select(Account).where(Account.user_id == user_id)).all()
                by_payee = defaultdict(list)
                for row in rows:
                    if row.amount < 0 and row.merchant_name:
                        by_payee[row.merchant_name].append(row)
                recurring = 0
                for charges in by_payee.values():
                    gaps = [(b.date - a.date).days for a, b in itertools.pairwise(charges)]
                    if len(charges) >= 3 and 5 <= statistics.median(gaps) <= 35:
                        recurring += 1
                spend = -sum(row.amount for row in rows if row.amount < 0)
                pays = [row for row in rows if row.amount > 0 and "WAGES" in (row.category_detailed or "")]
                gaps = [(b.date - a.date).days for a, b in itertools.pairwise(pays)]
                limits = [one for one in accounts if one.balance_limit]
                _ = (
                    recurring,
                    spend / (window / 30),
                    statistics.median(gaps) if gaps else None,
                    max((one.balance_current or 0) / one.balance_limit for one in limits) if limits else None,
                    sum(one.balance_current or 0 for one in accounts if "savings" in (one.subtype or "")),
                )
            session.expunge_all()
            done += 1
            if time.perf_counter() - started > budget:
                break
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "customers": done, "seconds_per_customer": seconds / done}
