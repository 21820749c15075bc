"""The merge of further batches at the cost of what they change, with the result of judging everything.

What is stored of a transaction depends on the raw rows of its id, on the holders of the accounts that these name, and
on the rows that name it as pending. So the ids to *replace* are those that arrive, those on an account whose holders
changed, and those that any row of these names as pending. Rows of further ids are judged beside them where they name
one of these. Every row of a judged id is read, from whichever batch, so nothing depends on which batch was merged
first. Users, accounts, liabilities and products are few, and judged whole.

What does not belong here: how a row is judged (``canonical.py``), and where tables and notes are stored.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ibis
from ibis import _

from spendsense_pipeline.contracts import canonical as contracts
from spendsense_pipeline.ingest import canonical, fields
from spendsense_pipeline.ingest.canonical import OUTCOMES, Keep

COUNTS = ("read", *OUTCOMES)
READ = ("users", "accounts", "transactions")
"""The raw tables on which stored transactions depend."""
KEY = "transaction_id"

Tally = list[dict[str, Any]]


@dataclass(frozen=True)
class Note:
    """What a merge of transactions was made of, kept with its result; it names batches and nobody.

    ``rules`` stands for the code that judged. ``stamps`` are those of the raw files, by table and batch. Of each batch
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
        return self.rules == rules() and all(
            stamps[table].get(batch) == stamp for table in READ for batch, stamp in self.stamps[table].items()
        )


class Merge(NamedTuple):
    """``judged`` holds every row of the batches that arrived, and of transactions that were merged before those that
    had to be judged again; ``tallies`` count all rows by table, without a file where none was judged for it."""

    judged: dict[str, ibis.Table]
    transactions: ibis.Table
    quarantined: ibis.Table
    tallies: dict[str, Tally]
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
        return Note(rules(), {table: dict(stamps[table]) for table in READ}, batches)


def rules() -> str:
    """Stands for the code that judges: a merge goes on only from one that the same code made."""
    sources = [Path(str(module.__file__)).read_bytes() for module in (canonical, fields, contracts)]
    return hashlib.sha256(b"".join([*sources, Path(__file__).read_bytes()])).hexdigest()


def full(raw: Mapping[str, ibis.Table], keep: Keep = canonical.in_memory) -> Merge:
    """Judge every row of every batch."""
    newest = canonical.newest_dates(raw["transactions"]).cache()
    judged = canonical.judge(raw, keep, newest)
    return Merge(
        judged,
        canonical.accepted(judged["transactions"]),
        canonical.quarantined(judged),
        {table: _rows(canonical.tally(rows)) for table, rows in judged.items()},
        _by_batch(newest),
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
    held_before = canonical.holders(canonical.judge_owners(earlier, newest, keep)["accounts"]).cache()
    changed = held.difference(held_before).union(held_before.difference(held)).select(account_id="held_account")

    named = ("transaction_id", "pending_transaction_id", "account_id")
    ids = transactions.select("batch", **{name: canonical.text_of(transactions, name) for name in named})
    arriving = ids.filter(arrived).select(KEY)
    first = keep(arriving.union(ids.semi_join(changed, "account_id").select(KEY)).distinct(), "changed_ids")
    pending = ids.semi_join(first, KEY).select(transaction_id="pending_transaction_id")
    replaced = keep(first.union(pending).filter(_[KEY].notnull()).distinct(), "replaced_ids")
    posting = ids.semi_join(replaced, ids.pending_transaction_id == replaced[KEY]).select(KEY)
    read = keep(replaced.union(posting).distinct(), "read_ids")
    # A row without an id is stored nowhere, but why it was rejected depends on its account.
    rows = transactions.mutate(looked_up=canonical.text_of(transactions, KEY))
    batches = rows.semi_join(read, rows.looked_up == read[KEY]).union(rows.filter(rows.looked_up.isnull()))
    found = batches.select("batch").distinct().to_pyarrow()["batch"].to_pylist()
    rows = rows.filter(rows.batch.isin(found))
    rows = rows.semi_join(read, rows.looked_up == read[KEY]).union(rows.filter(rows.looked_up.isnull()))
    rows = keep(rows.drop("looked_up"), "rows_again")

    judged = owners | canonical.judge_owned({**raw, "transactions": rows}, held, newest, keep)
    fresh = canonical.accepted(judged["transactions"]).semi_join(replaced, KEY)
    fresh = keep(fresh, "fresh_transactions")
    before = rows.filter(rows.batch.isin([*note.stamps["transactions"]]))
    tallies = {table: _rows(canonical.tally(of_table)) for table, of_table in judged.items()}
    was = _rows(canonical.tally(canonical.judge_transactions(before, held_before, keep)))
    tallies["transactions"] = _tally(note, was, tallies["transactions"])
    again = rows.select("batch", "file", "row")
    left = quarantined.filter(quarantined.table == "transactions").anti_join(again, ("batch", "file", "row"))
    rejected = canonical.quarantined(judged)
    return Merge(
        judged,
        stored.anti_join(replaced, KEY).select(*fresh.columns).cast(fresh.schema()).union(fresh),
        left.select(*rejected.columns).cast(rejected.schema()).union(rejected),
        tallies,
        _by_batch(newest),
    )


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


def _rows(table: ibis.Table) -> Tally:
    rows: Tally = table.to_pyarrow().to_pylist()
    return rows
