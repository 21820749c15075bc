"""The merge of further batches at the cost of what they change, with the result of judging everything.

What is stored of a transaction depends on the raw rows of its id, on the holders of the accounts that these name, and
on the postings that lead to it or from it, as far as these are followed to tell a circle. So the ids to *replace* are
those that arrive, those on an account whose holders changed, and those linked to them by postings. Rows of the ids
linked to these are judged beside them. Every row of a judged id is read, from whichever batch, so nothing depends on
which batch was merged first. Users, accounts, liabilities and products are few, and judged whole.

What does not belong here: how a row is judged (``canonical.py``), and where tables and notes are stored.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ibis
from ibis import _
from ibis.backends.duckdb import Backend

from spendsense_pipeline.ingest import canonical, plan
from spendsense_pipeline.ingest.canonical import OUTCOMES
from spendsense_pipeline.ingest.fields import TABLES

COUNTS = ("read", *OUTCOMES)
READ = ("users", "accounts", "transactions")
"""The raw tables on which stored transactions depend."""
KEY = "transaction_id"
LINKS = 2**canonical.CIRCLE - 1
"""Postings between a change and the farthest transaction that it concerns, at most: the one that takes it away is the
first of those in which a circle is looked for."""

Tally = list[dict[str, Any]]


@dataclass(frozen=True)
class Note:
    """What a merge of transactions was made of, kept with its result; it names batches and nobody.

    ``rules`` stands for what judged. ``stamps`` are those of the raw files, by table and batch. Of each batch
    with transactions, ``batches`` has ``arrival``, ``newest`` (ISO date or None) and how many rows had which outcome.
    """

    rules: str
    stamps: dict[str, dict[str, str]]
    batches: dict[str, dict[str, Any]]

    def text(self) -> str:
        """As JSON; equal notes are equal texts."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, text: str) -> "Note":
        """The note that ``text`` gave."""
        return cls(**json.loads(text))

    def extends_to(self, stamps: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether the raw files of the note are all there as they were, and the rules are today's."""
        return self.rules == plan.rules() and all(
            stamps[table].get(batch) == stamp for table in READ for batch, stamp in self.stamps[table].items()
        )


class Merge(NamedTuple):
    """``judged`` holds every row of the batches that arrived, and of transactions that were merged before those that
    had to be judged again; ``tallies`` count all rows by table, without a file where none was judged for it.
    ``superseded`` counts, by table, batch and file, the accepted rows that those of an arrived batch took away.

    The tables are the engine's, and the next merge on the same engine replaces them."""

    judged: dict[str, ibis.Table]
    accepted: dict[str, ibis.Table]
    quarantined: ibis.Table
    tallies: dict[str, Tally]
    superseded: dict[tuple[str, str, str], int]
    newest: dict[str, dt.date]
    months: set[str] | None = None
    """Those (``2026-05``) in which accepted transactions may differ from the ones stored; None all."""

    def note(self, stamps: Mapping[str, Mapping[str, str]]) -> Note:
        """What to keep with the result for the next merge."""
        batches: dict[str, dict[str, Any]] = {}
        for file in self.tallies["transactions"]:
            newest = self.newest.get(file["batch"])
            start = {"arrival": file["arrival"], "newest": newest and newest.isoformat(), **dict.fromkeys(COUNTS, 0)}
            batch = batches.setdefault(file["batch"], start)
            for name in COUNTS:
                batch[name] += file[name]
        return Note(plan.rules(), {table: dict(stamps[table]) for table in READ}, batches)


def full(raw: Mapping[str, ibis.Table], folder: Path | None = None, plans: Path | None = None) -> Merge:
    """Judge every row of every batch.

    Rows that several steps read are put into the ``folder``, without one they stay in the engine's memory. The SQL is
    kept in ``plans`` for the next process.
    """
    con = raw["transactions"].get_backend()
    steps = plan.steps(plans)
    plan.lay_out(raw)
    plan.run(con, steps, folder, steps)
    return _merge(con)


def further(
    raw: Mapping[str, ibis.Table],
    note: Note,
    stored: ibis.Table,
    quarantined: ibis.Table,
    folder: Path | None = None,
    plans: Path | None = None,
) -> Merge:
    """Merge the batches that the ``note`` does not know into the ``stored`` transactions and ``quarantined`` rows that
    it was kept with; equal to `full` of the same rows. For ``folder`` and ``plans`` see there."""
    transactions = plan.completed("transactions", raw["transactions"])
    con, steps = transactions.get_backend(), plan.steps(plans)
    arrived = ~transactions.batch.isin([*note.stamps["transactions"]])

    # Dated as they were then: an accounts file may have been stored before the transactions file of its batch.
    con.create_table("newest_before", _newest(note), overwrite=True)
    plan.lay_out({table: raw[table].filter(_.batch.isin([*note.stamps[table]])) for table in ("users", "accounts")})
    plan.run(con, ["holders"], folder, steps | plan.given("newest_dates", "newest_before"))
    held_before = con.create_table("held_before", con.table("holders"), overwrite=True)

    newest = con.table("newest_before").union(canonical.newest_dates(transactions.filter(arrived)))
    con.create_table("newest_now", newest, overwrite=True)
    steps = steps | plan.given("newest_dates", "newest_now")
    plan.lay_out({table: rows for table, rows in raw.items() if table != "transactions"})
    others = [name for name in steps if "raw_transactions" not in plan.reads([name], steps)]
    plan.run(con, others, folder, steps)
    held = con.create_table("held_now", con.table("holders"), overwrite=True)
    changed = held.difference(held_before).union(held_before.difference(held)).select(account_id="held_account")
    changed = plan.put_aside(changed, folder)

    def named_by(rows: ibis.Table) -> ibis.Table:
        names = (KEY, "pending_transaction_id", "account_id")
        return rows.select(**{name: canonical.text_of(rows, name) for name in names})

    # Put aside before texts are looked at: most rows are no postings, and where none is the files' statistics say so.
    postings = named_by(transactions.filter(transactions.pending_transaction_id.notnull()))
    postings = plan.put_aside(postings.select(KEY, linked="pending_transaction_id"), folder).drop_null()
    links = postings.union(postings.select(transaction_id="linked", linked=KEY)).distinct()
    links = plan.put_aside(links, folder)
    first = named_by(transactions.filter(arrived)).select(KEY)
    if _count(changed):  # else their accounts need not be read
        first = first.union(named_by(transactions).semi_join(changed, "account_id").select(KEY))
    first = first.filter(first[KEY].notnull()).distinct()
    replaced = _linked(plan.put_aside(first, folder), links, folder)
    read = _linked(replaced, links, folder)
    # A row without an id is stored nowhere, but why it was rejected depends on its account.
    rows = transactions.mutate(looked_up=canonical.text_of(transactions, KEY))
    batches = rows.semi_join(read, rows.looked_up == read[KEY]).union(rows.filter(rows.looked_up.isnull()))
    found = batches.select("batch").distinct().to_pyarrow()["batch"].to_pylist()
    rows = rows.filter(rows.batch.isin(found))
    rows = rows.semi_join(read, rows.looked_up == read[KEY]).union(rows.filter(rows.looked_up.isnull()))
    rows = plan.put_aside(rows.drop("looked_up"), folder)

    # What was counted of these rows before comes first: the steps that run last are those that the result reads.
    rest = {name: step for name, step in steps.items() if name not in others}
    plan.lay_out({"transactions": rows.filter(_.batch.isin([*note.stamps["transactions"]]))})
    plan.run(con, ["tally_transactions"], folder, plan.given("holders", "held_before") | rest)
    was = _rows(con.table("tally_transactions"))
    plan.lay_out({"transactions": rows})
    rest = plan.given("holders", "held_now") | rest
    plan.run(con, rest, folder, rest)
    judged = _merge(con)
    fresh = plan.put_aside(judged.accepted["transactions"].semi_join(replaced, KEY), folder)
    again = rows.select("batch", "file", "row")
    left = quarantined.filter(quarantined.table == "transactions").anti_join(again, ("batch", "file", "row"))
    merged = stored.anti_join(replaced, KEY).select(*fresh.columns).cast(fresh.schema()).union(fresh)
    rejected = judged.quarantined
    dates = stored.semi_join(replaced, KEY).select("date").union(fresh.select("date"))
    return judged._replace(
        months={row["month"] for row in _rows(dates.select(month=dates.date.strftime("%Y-%m")).distinct())},
        accepted=judged.accepted | {"transactions": merged},
        quarantined=left.select(*rejected.columns).cast(rejected.schema()).union(rejected),
        tallies=judged.tallies | {"transactions": _tally(note, was, judged.tallies["transactions"])},
    )


def _merge(con: Backend) -> Merge:
    """What the steps that were run found."""
    superseded = None
    if con.table("taking").limit(1).to_pyarrow().num_rows:
        gone = _rows(con.table("superseded"))
        superseded = {("transactions", row["batch"], row["file"]): row["superseded"] for row in gone}
    accepted = {table: con.table(f"accepted_{table}") for table in TABLES}
    return Merge(
        {table: con.table(f"judged_{table}") for table in TABLES},
        accepted if superseded is not None else accepted | {"transactions": con.table("untaken")},
        con.table("quarantined"),
        {table: _rows(con.table(f"tally_{table}")) for table in TABLES},
        superseded or {},
        {row["dated_batch"]: row["newest"] for row in _rows(con.table("newest_dates"))},
    )


def _linked(ids: ibis.Table, links: ibis.Table, folder: Path | None) -> ibis.Table:
    """The ids and those that up to `LINKS` postings lead to from them, or to them from those."""
    before = _count(ids)
    for _step in range(LINKS):
        further = links.semi_join(ids, KEY).select(transaction_id="linked")
        ids = plan.put_aside(ids.union(further).distinct(), folder)
        if before == (before := _count(ids)):
            break
    return ids


def _tally(note: Note, was: Tally, now: Tally) -> Tally:
    """The counts of the note, less those of the rows that are judged again as they were, and the new ones."""
    tally = [file for file in now if file["batch"] not in note.batches]
    for batch, counted in note.batches.items():
        change = dict.fromkeys(COUNTS, 0)
        for sign, files in ((-1, was), (1, now)):
            for file in (file for file in files if file["batch"] == batch):
                change = {name: change[name] + sign * file[name] for name in COUNTS}
        counts = {name: counted[name] + change[name] for name in COUNTS}
        tally.append({"batch": batch, "arrival": counted["arrival"], "file": "", **counts})
    return tally


def _newest(note: Note) -> ibis.Table:
    rows = [
        {"dated_batch": batch, "newest": dt.date.fromisoformat(counted["newest"])}
        for batch, counted in note.batches.items()
        if counted["newest"]
    ]
    return ibis.memtable(rows, schema={"dated_batch": "string", "newest": "date"})


def _count(table: ibis.Table) -> int:
    return int(table.count().to_pyarrow().as_py())


def _rows(table: ibis.Table) -> Tally:
    rows: Tally = table.to_pyarrow().to_pylist()
    return rows
