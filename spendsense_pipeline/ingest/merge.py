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

from spendsense_pipeline.ingest import canonical, plan
from spendsense_pipeline.ingest.canonical import OUTCOMES, Keep

COUNTS = ("read", *OUTCOMES)
READ = ("users", "accounts", "transactions")
"""The raw tables on which stored transactions depend."""
KEY = "transaction_id"
LINKS = 2**canonical.CIRCLE
"""Postings between a change and the farthest transaction that it concerns, at most: so far a circle is looked for."""

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
    ``superseded`` counts, by batch and file, the accepted transactions that the rows of an arrived batch took away."""

    judged: dict[str, ibis.Table]
    accepted: dict[str, ibis.Table]
    quarantined: ibis.Table
    tallies: dict[str, Tally]
    superseded: dict[tuple[str, str], int]
    newest: dict[str, dt.date]

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


def full(raw: Mapping[str, ibis.Table], folder: Path | None = None, scratch: Path | None = None) -> Merge:
    """Judge every row of every batch.

    Rows that several steps read are put into the ``folder``, without one they stay in the engine's memory. The SQL is
    kept in ``scratch`` for the next process.
    """
    con = raw["transactions"].get_backend()
    steps = plan.steps(scratch)
    plan.lay_out(raw)
    plan.run(con, steps, folder, steps)
    superseded = _superseded(con.table("taking"), con.table("superseded"))
    accepted = {table: con.table(f"accepted_{table}") for table in raw}
    return Merge(
        {table: con.table(f"judged_{table}") for table in raw},
        accepted if superseded is not None else accepted | {"transactions": con.table("untaken")},
        con.table("quarantined"),
        {table: _rows(con.table(f"tally_{table}")) for table in raw},
        superseded or {},
        _by_batch(con.table("newest_dates")),
    )


def further(
    raw: Mapping[str, ibis.Table],
    note: Note,
    stored: ibis.Table,
    quarantined: ibis.Table,
    keep: Keep = canonical.in_memory,
) -> Merge:
    """Merge the batches that the ``note`` does not know into the ``stored`` transactions and ``quarantined`` rows that
    it was kept with; equal to `full` of the same rows."""
    transactions = raw["transactions"]
    earlier = {table: raw[table].filter(raw[table].batch.isin([*note.stamps[table]])) for table in READ}
    arrived = ~transactions.batch.isin([*note.stamps["transactions"]])
    newest = _newest(note).union(canonical.newest_dates(transactions.filter(arrived))).cache()
    owners = canonical.judge_owners(raw, newest, keep)
    held = canonical.holders(owners["accounts"]).cache()
    # Dated as they were then: an accounts file may have been stored before the transactions file of its batch.
    owners_before = canonical.judge_owners(earlier, _newest(note), keep)
    held_before = canonical.holders(owners_before["accounts"]).cache()
    changed = held.difference(held_before).union(held_before.difference(held)).select(account_id="held_account")

    named = (KEY, "pending_transaction_id", "account_id")
    ids = transactions.select("batch", **{name: canonical.text_of(transactions, name) for name in named})
    ids = ids.filter(ids[KEY].notnull())
    postings = ids.filter(_.pending_transaction_id.notnull()).select(KEY, linked="pending_transaction_id")
    links = keep(postings.union(postings.select(transaction_id="linked", linked=KEY)).distinct(), "links")
    first = ids.filter(arrived).select(KEY).union(ids.semi_join(changed, "account_id").select(KEY)).distinct()
    replaced = _linked(keep(first, "changed_ids"), links, keep)
    read = _linked(replaced, links, keep)
    # A row without an id is stored nowhere, but why it was rejected depends on its account.
    rows = transactions.mutate(looked_up=canonical.text_of(transactions, KEY))
    batches = rows.semi_join(read, rows.looked_up == read[KEY]).union(rows.filter(rows.looked_up.isnull()))
    found = batches.select("batch").distinct().to_pyarrow()["batch"].to_pylist()
    rows = rows.filter(rows.batch.isin(found))
    rows = rows.semi_join(read, rows.looked_up == read[KEY]).union(rows.filter(rows.looked_up.isnull()))
    rows = keep(rows.drop("looked_up"), "rows_again")

    judged = owners | canonical.judge_owned({**raw, "transactions": rows}, held, newest, keep)
    taken = judged["transactions"]
    superseded = _superseded(canonical.taking(taken), canonical.superseded(taken))
    fresh = canonical.accepted(judged["transactions"], takes=superseded is not None)
    fresh = keep(fresh.semi_join(replaced, KEY), "fresh_transactions")
    before = rows.filter(rows.batch.isin([*note.stamps["transactions"]]))
    tallies = {table: _rows(canonical.tally(of_table)) for table, of_table in judged.items()}
    was = _rows(canonical.tally(canonical.judge_transactions(before, held_before, keep)))
    tallies["transactions"] = _tally(note, was, tallies["transactions"])
    again = rows.select("batch", "file", "row")
    left = quarantined.filter(quarantined.table == "transactions").anti_join(again, ("batch", "file", "row"))
    rejected = canonical.quarantined(judged)
    transactions = stored.anti_join(replaced, KEY).select(*fresh.columns).cast(fresh.schema()).union(fresh)
    return Merge(
        judged,
        {table: canonical.accepted(of_table) for table, of_table in judged.items()} | {"transactions": transactions},
        left.select(*rejected.columns).cast(rejected.schema()).union(rejected),
        tallies,
        superseded or {},
        _by_batch(newest),
    )


def _linked(ids: ibis.Table, links: ibis.Table, keep: Keep) -> ibis.Table:
    """The ids and those that up to `LINKS` postings lead to from them, or to them from those."""
    before = _count(ids)
    for _step in range(LINKS):
        further = links.semi_join(ids, KEY).select(transaction_id="linked")
        ids = keep(ids.union(further).distinct(), "linked_ids")
        if before == (before := _count(ids)):
            break
    return ids


def _superseded(taking: ibis.Table, superseded: ibis.Table) -> dict[tuple[str, str], int] | None:
    """By batch and file, the accepted transactions that its rows took away; None where no row is `taking` any."""
    if not taking.limit(1).to_pyarrow().num_rows:
        return None
    return {(row["batch"], row["file"]): row["superseded"] for row in _rows(superseded)}


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


def _by_batch(newest: ibis.Table) -> dict[str, dt.date]:
    return {row["dated_batch"]: row["newest"] for row in _rows(newest)}


def _count(table: ibis.Table) -> int:
    return int(table.count().to_pyarrow().as_py())


def _rows(table: ibis.Table) -> Tally:
    rows: Tally = table.to_pyarrow().to_pylist()
    return rows
