"""Judging every row as the SQL that the engine runs, step by step.

The expressions of ``canonical.py`` are the same whatever the batches hold, and to compose their SQL takes several times
as long as to run it on a small batch. So it is composed once, over tables of the landing format that nothing is in.

What does not belong here: what the steps mean (``canonical.py``), and which of them a merge needs (``merge.py``).
"""

import functools
import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb
import ibis
from ibis.backends.duckdb import Backend

from spendsense_pipeline.contracts import TABLES
from spendsense_pipeline.ingest import canonical, fields
from spendsense_pipeline.ingest.files import literal, quoted
from spendsense_pipeline.once import made_once

STAMPS = {
    "batch": "string",
    "arrival": "int64",
    "arrived_on": "date",
    "page": "int64",
    "file": "string",
    "row": "int64",
}
"""What raw rows have beside the fields of their table, which are texts."""


class Step(NamedTuple):
    """A query, the names of the raw tables and steps that it reads, and whether its rows are computed once because
    several steps read them; of others each reader computes what it needs."""

    query: str
    reads: list[str]
    kept: bool


def rules() -> str:
    """Stands for all that judges, as sha256 in hex: our code and lists, and the engine."""
    ours = [
        Path(__file__).with_name(name)
        for name in ("canonical.py", "countries.txt", "fields.py", "fields.toml", "merge.py")
    ]
    sources = [*ours, Path(__file__), TABLES / "canonical.toml"]
    engine = f"{duckdb.__version__} {ibis.__version__}".encode()
    return hashlib.sha256(b"".join([*(source.read_bytes() for source in sources), engine])).hexdigest()


@functools.cache
def steps(folder: Path | None = None) -> dict[str, Step]:
    """The steps in order, by name: for each table ``judged_``, ``accepted_`` and ``tally_``; ``newest_dates`` and
    ``holders``; ``taking``, ``superseded`` and ``untaken`` (`canonical.accepted` where none is taking) of transactions;
    ``quarantined``.

    With a ``folder`` they are kept there for the next process, as long as `rules` stay the same.
    """
    if folder is None:
        return _composed()
    return {name: Step(*step) for name, step in made_once(folder, "plan", rules(), steps).items()}


def lay_out(raw: Mapping[str, ibis.Table]) -> None:
    """Show the engine the raw rows under the names that the steps read."""
    for table, rows in raw.items():
        shown = completed(table, rows).select(*STAMPS, *fields.names(table))
        rows.get_backend().create_view(f"raw_{table}", shown, overwrite=True)


def completed(table: str, rows: ibis.Table) -> ibis.Table:
    """Raw rows with every field; one that no batch has is null."""
    return rows.mutate(**{name: ibis.null("string") for name in fields.names(table) if name not in rows.columns})


def reads(wanted: Collection[str], plan: dict[str, Step]) -> set[str]:
    """The steps, and the raw tables and steps that they read, directly and through others."""
    found = set(wanted)
    for name, step in reversed(plan.items()):
        found |= set(step.reads) if name in found else set()
    return found


def run(con: Backend, wanted: Collection[str], folder: Path | None = None, plan: dict[str, Step] | None = None) -> None:
    """Run what the ``wanted`` steps need, each as a table or view of its name.

    Rows that are computed once are put into the ``folder`` as Parquet, without one into the engine's memory.
    """
    plan = plan or steps()
    needed = reads(wanted, plan)
    for name, step in plan.items():
        if name not in needed:
            continue
        if folder is not None and step.kept:
            file = literal(str(folder / f"{ibis.util.gen_name(name)}.parquet"))  # a step may run again on other rows
            con.raw_sql(f"COPY ({step.query}) TO {file} (FORMAT PARQUET)")
            con.raw_sql(f"CREATE OR REPLACE VIEW {quoted(name)} AS FROM read_parquet({file})")
        else:
            kind = "TABLE" if step.kept else "VIEW"
            con.raw_sql(f"CREATE OR REPLACE {kind} {quoted(name)} AS {step.query}")


def put_aside(rows: ibis.Table, folder: Path | None) -> ibis.Table:
    """The rows, computed once, as Parquet in the ``folder``: a tenth of what the engine's memory needs for them, where
    they are so many that it would write most of them to its scratch space and read them back for each reader. Without
    a folder they stay in memory."""
    con, name = rows.get_backend(), ibis.util.gen_name("aside")
    if folder is None:  # Ibis's own cache would know a step's table by its name, whatever it has come to hold
        return con.create_table(name, rows)
    file = folder / f"{name}.parquet"
    rows.to_parquet(file)
    return con.read_parquet(file)


def given(name: str, table: str) -> dict[str, Step]:
    """The step of that name, as the rows of a table that is there."""
    return {name: Step(f"SELECT * FROM {quoted(table)}", [], kept=True)}


@functools.cache
def _composed() -> dict[str, Step]:
    con = ibis.duckdb.connect()
    found: dict[str, Step] = {}

    def add(rows: ibis.Table, name: str, *, kept: bool = False) -> ibis.Table:
        reads = rows.op().find(ibis.expr.operations.UnboundTable)
        found[name] = Step(con.compile(rows), sorted({table.name for table in reads}), kept)
        return ibis.table(rows.schema(), name=name)

    def keep(rows: ibis.Table, name: str) -> ibis.Table:
        return add(rows, name, kept=True)

    raw = {
        table: ibis.table(STAMPS | dict.fromkeys(fields.names(table), "string"), name=f"raw_{table}")
        for table in fields.TABLES
    }
    judged = {table: add(rows, f"judged_{table}") for table, rows in canonical.judge(raw, keep).items()}
    for table, rows in judged.items():
        add(canonical.accepted(rows), f"accepted_{table}")
        add(canonical.tally(rows), f"tally_{table}")
    add(canonical.taking(judged["transactions"]), "taking")
    add(canonical.superseded(judged["transactions"]), "superseded")
    add(canonical.accepted(judged["transactions"], takes=False), "untaken")
    add(canonical.quarantined(judged), "quarantined")
    return found
