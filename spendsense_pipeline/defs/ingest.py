"""The ingest room: landed batches become raw rows, raw rows become the merged, valid tables and a quarantine.

Consent arrives with the people: the first periods open here, before anything is computed for anybody. The thinking
is in ``ingest/`` and ``governance/``. What does not belong here: any later word on consent (``defs/review_assets.py``).
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import ibis
from sqlalchemy.orm import Session

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs.documentation import asset, documented, tables
from spendsense_pipeline.defs.io import Noted
from spendsense_pipeline.defs.resources import Clock, Files, Governance
from spendsense_pipeline.defs.runs import UNFINISHED, UNSUCCESSFUL, fail_dead_runs
from spendsense_pipeline.erasure.erased_files import scrub
from spendsense_pipeline.erasure.erased_rows import remembered
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import consent, operators
from spendsense_pipeline.governance import evaluation_records as records
from spendsense_pipeline.governance.batches import (
    NOTES,
    forget_batch,
    note_registration,
    noted,
    register_batch,
    registered_at,
    registered_elsewhere,
)
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import ConsentPeriod
from spendsense_pipeline.ingest import canonical, landing, merge, rejections
from spendsense_pipeline.ingest.files import COMPLETE, BatchRefused, FileSurvey

BATCHES = dg.DynamicPartitionsDefinition(name="batch")
JOB = "ingest_batch"
MERGE_LOCK = "merge.lock"  # in Dagster's home, held by a command while it merges
ATTEMPTS = 3
REFUSED = "spendsense/refused"
"""Tag of a run whose batch can never succeed as it lies: when the batch had last changed, in nanoseconds since 1970."""
NEWEST = 500  # runs looked at by the sensor; what is older is told by the stored partitions
SETTLED = dt.timedelta(seconds=30)  # without `_SUCCESS`, a folder moved into place is complete once so long unchanged

COUNTED = ("read", "accepted", "duplicate", "rejected", "superseded")
"""Of each file: what was read and became of it, and the transactions accepted before that its rows took away."""
KINDS = {"duckdb", "parquet"}
RAW = {
    "users": "People of each landed batch as written. Holds personal data: never preview or export it.",
    "accounts": "Accounts of each landed batch as written.",
    "transactions": "Transactions of each landed batch as written.",
    "liabilities": "What is owed, of each landed batch, as written.",
    "products": "Partner products of each landed batch as written.",
}
LAST = f"raw_{tuple(RAW)[-1]}"  # stored last: a batch that has it is stored whole
TABLES = {
    "users": "People, newest valid row of each. Only this, `raw_users` and the landed files hold names and e-mails.",
    "accounts": "Accounts with the newest delivered balance and the day that balance is of.",
    "transactions": "All valid transactions, positive = money in, newest delivery of each id.",
    "liabilities": "What is owed on cards and loans, newest valid row of each.",
    "products": "Products that may be offered: those of the batches, or the shipped catalogue while none brought any.",
    "quarantined_rows": "Every row that was read and not accepted: file, row, field, value (masked where personal), "
    "all reasons. Nothing good is lost with it: mend the row at the source and land it in a later batch.",
}
NOTED = ("transactions", "quarantined_rows")  # stored with the note of their merge, which the next one goes on from
JUDGED_WHOLE = 500_000  # transactions; judging fewer takes no longer than finding out which a batch touches
NEW_SHARE = 4  # with more than a quarter of the rows new, judging all of them is quicker
MISSING = "What you miss here stands in `quarantined_rows` with its reasons, or never arrived in `raw_*`."
SOURCES = {
    "users": {"raw_users"},
    "accounts": {"raw_accounts", "users", "raw_transactions"},
    "transactions": {"raw_transactions", "accounts"},
    "liabilities": {"raw_liabilities", "accounts", "raw_transactions"},
    "products": {"raw_products"},
    "quarantined_rows": {f"raw_{table}" for table in RAW},
}


@dg.multi_asset(
    name="raw_tables",
    partitions_def=BATCHES,
    outs={
        f"raw_{table}": dg.AssetOut(
            **documented(
                f"raw_{table}",
                "ingest",
                KINDS,
                f"{meaning} If a batch is refused, the error names the file and what would be right: mend it at the "
                "source and land it under a new batch id.",
            )
        )
        for table, meaning in RAW.items()
    },
)
def raw_tables(
    context: dg.AssetExecutionContext, files: Files, governance: Governance, clock: Clock
) -> Iterator[dg.Output[ibis.Table]]:
    """Give the batch its place in the order of arrival and read its files as they were written."""
    batch_id = context.partition_key
    _require_held_by_nobody(context, batch_id)
    # The merge reads what the store holds only of partitions that Dagster lists: a lost home must lose no batch.
    context.instance.add_dynamic_partitions(str(BATCHES.name), warehouse.partitions(files.warehouse, LAST))
    folder = files.batch(batch_id)
    with _refused_for_good(context, folder):
        yield from _as_written(context, folder, files, governance, clock)


def _as_written(
    context: dg.AssetExecutionContext, folder: Path, files: Files, governance: Governance, clock: Clock
) -> Iterator[dg.Output[ibis.Table]]:
    """The tables of a batch, registered; nothing of it stays registered or stored if its files change meanwhile."""
    batch_id = context.partition_key
    with reading(governance.engine) as session:
        erased = remembered(session)
    if erased:  # files delivered again must not bring back who was erased
        gone, _ = scrub(folder, erased)
        context.log.info("%d rows of erased customers were taken out of %s", sum(gone.values()), batch_id)
    seen = landing.stamps(folder)
    digest = landing.content_hash(folder)
    backend = warehouse.connect(Path(files.scratch), files.memory)
    surveyed = landing.survey(backend, folder)
    landing.require_unchanged(folder, seen)
    landed, stored = Path(files.landing), batch_id in warehouse.partitions(files.warehouse, LAST)
    with writing(governance.engine) as session:
        arrival = register_batch(session, batch_id, digest, clock.now())
        at = registered_at(session, [batch_id])[batch_id]
    first = arrival.new and not stored and batch_id not in noted(landed)
    note_registration(landed, batch_id, None if arrival.new and not first else at)
    for table in RAW:
        rows = landing.read_raw(
            backend,
            folder,
            table,
            batch_id=batch_id,
            arrival=arrival.arrival,
            arrived_on=arrival.arrived_on,
            surveyed=surveyed,
        )
        unknown = _unknown_fields(one for one in surveyed if one.file.table == table)
        yield dg.Output(rows, output_name=f"raw_{table}", metadata={"unknown_fields": unknown} if unknown else {})
    try:
        landing.require_unchanged(folder, seen)
    except BatchRefused:
        # Nothing merges a half, and nothing keeps the whole from being the batch of this id later.
        for table in RAW:
            warehouse.discard(files.warehouse, f"raw_{table}", batch_id)
        if arrival.new:
            with writing(governance.engine) as session:
                forget_batch(session, batch_id, clock.now())
        if first:
            (landed / NOTES / batch_id).unlink()
        raise
    left_out = landing.strangers(folder)
    if left_out:
        context.log.info("left out, being no table of ours: %s", ", ".join(left_out))


def _unknown_fields(surveyed: Iterable[FileSurvey]) -> dict[str, int]:
    """By file how many names nobody knows, and how many rows have one that is nearly a field's; others are not told:
    a file may use ids or e-mail addresses as names, and Dagster keeps what it is told for ever."""
    found: Counter[str] = Counter()
    for one in surveyed:
        file = _without_customer(one.file.name)
        found.update({f"{file}: names that nobody knows": len(one.unknown) - len(one.meant)})
        found.update({f"{file}: {name}, perhaps {one.meant[name]}": one.unknown[name] for name in one.meant})
    return {name: number for name, number in found.items() if number}


@contextmanager
def _refused_for_good(context: dg.AssetExecutionContext, folder: Path) -> Iterator[None]:
    """What the batch is refused for comes first on the run's page, and nobody tries again until its files change."""
    try:
        yield
    except SpendSenseError as error:
        if not landing.is_final(error):
            raise
        context.instance.add_run_tags(context.run_id, {REFUSED: str(landing.last_change(folder))})
        raise dg.Failure(str(error), allow_retries=False) from error


class Merging(dg.Config):
    """How much of the raw rows is judged."""

    full: bool = False
    """Every row of every batch, whatever was merged before."""


@dg.multi_asset(
    name="canonical_tables",
    outs={
        table: dg.AssetOut(
            **documented(table, "ingest", KINDS, meaning if table == "quarantined_rows" else f"{meaning} {MISSING}")
        )
        for table, meaning in TABLES.items()
    },
    internal_asset_deps={table: {dg.AssetKey(source) for source in sources} for table, sources in SOURCES.items()},
    check_specs=[
        dg.AssetCheckSpec(
            "rejection_rate",
            asset="quarantined_rows",
            description=f"The batch's share of rejected rows lies within {rejections.DEVIATIONS} median absolute "
            f"deviations of the last {rejections.BEFORE} batches (from {rejections.ENOUGH} on). If not, the source has "
            "changed: `spendsense quarantine --batch ID` shows the rows, their reasons and values.",
        )
    ],
)
def canonical_tables(
    context: dg.AssetExecutionContext,
    config: Merging,
    files: Files,
    raw_users: ibis.Table,
    raw_accounts: ibis.Table,
    raw_transactions: ibis.Table,
    raw_liabilities: ibis.Table,
    raw_products: ibis.Table,
) -> Iterator[dg.Output[ibis.Table | Noted] | dg.AssetCheckResult]:
    """Keep, of each id of every stored batch, the newest valid row by order of arrival.

    Of transactions only what the new batches change is judged, where the stored table can be gone on from. The outputs
     read what is put aside while this lasts: an IO manager stores each as it is yielded.
    """
    if not raw_products.count().to_pyarrow().as_py():
        raw_products = canonical.catalogue(Path(files.catalogue), raw_products.get_backend())
    plans = Path(files.kernels) if files.kernels else None
    with warehouse.aside(Path(files.scratch)) as folder:
        given = (raw_users, raw_accounts, raw_transactions, raw_liabilities, raw_products)
        raw = dict(zip(RAW, given, strict=True))
        # Before anything is read: a file that changes from here on no longer has the stamp that the note names.
        stamps = {
            table: _of_batches(raw[table], warehouse.stamps(files.warehouse, f"raw_{table}")) for table in merge.READ
        }
        note = None if config.full else _continued(context, files.warehouse, raw, stamps)
        if note is None:
            found = merge.full(raw, folder, plans)
        else:
            backend = raw_transactions.get_backend()
            transactions, quarantined = (warehouse.read(backend, files.warehouse, table) for table in NOTED)
            found = merge.further(raw, note, transactions, quarantined, folder, plans)
        yield from _merged(context, files, found, found.note(stamps).text())


def _of_batches(rows: ibis.Table, stamps: Mapping[str, str]) -> dict[str, str]:
    """The stamps of the batches whose rows were loaded; others may have been stored since."""
    batches = rows.select("batch").distinct().to_pyarrow()["batch"].to_pylist()
    return {batch: stamps.get(batch, "") for batch in batches}


def _continued(
    context: dg.AssetExecutionContext, root: str, raw: Mapping[str, ibis.Table], stamps: Mapping[str, Mapping[str, str]]
) -> merge.Note | None:
    """The note of the stored tables, where they can be gone on from and that is worth it; the log says why not."""
    rows = int(raw["transactions"].count().to_pyarrow().as_py())
    if rows < JUDGED_WHOLE:
        return None
    texts = {warehouse.note(root, table) for table in NOTED}
    text = texts.pop()
    if texts or text is None:
        context.log.info("merging all batches: the stored tables are not of one merge")
        return None
    note = merge.Note.of(text)
    new = set(stamps["transactions"]) - set(note.stamps["transactions"])
    if not note.extends_to(stamps):
        context.log.info("merging all batches: rows that were merged before, or what judges them, have changed")
    elif context.run.tags.get("dagster/partition") not in new:
        context.log.info("merging all batches: the run's own was merged before, or brought no transactions")
    elif (rows - sum(batch["read"] for batch in note.batches.values())) * NEW_SHARE > rows:
        context.log.info("merging all batches: too much is new")
    else:
        context.log.info("merging %s into %d batches", ", ".join(sorted(new)), len(note.batches))
        return note
    return None


def _merged(
    context: dg.AssetExecutionContext, files: Files, found: merge.Merge, note: str
) -> Iterator[dg.Output[ibis.Table | Noted] | dg.AssetCheckResult]:
    """The outputs of the merge, what was read of the run's batch beside them, and whether its rejections are usual."""
    batch_id = context.run.tags.get("dagster/partition")
    tallies = found.tallies
    for table, rows in found.judged.items():
        of_batch = _by_name(
            [
                file | {"superseded": found.superseded.get((table, file["batch"], file["file"]), 0)}
                for file in tallies[table]
                if file["batch"] == batch_id
            ]
        )
        accepted = found.accepted[table]
        yield dg.Output(
            Noted(accepted, note, found.months) if table in NOTED else accepted,
            output_name=table,
            metadata=_told(rows, of_batch, batch_id),
        )
        for file in of_batch:
            context.log.info(
                "%s/%s: read %d, accepted %d, duplicate %d, rejected %d, superseded %d",
                *(batch_id, *(file[name] for name in ("file", *COUNTED))),
            )
    yield dg.Output(Noted(found.quarantined, note), output_name="quarantined_rows")
    yield _rejection_rate(tallies, batch_id)
    overtaken = _stored_meanwhile(files.warehouse, {file["batch"] for told in tallies.values() for file in told})
    if overtaken:
        # Another run stored a batch while this one merged without it, and may have written its tables before ours.
        context.log.info("stored meanwhile: %s; merging again", ", ".join(overtaken))
        context.instance.add_dynamic_partitions(str(BATCHES.name), overtaken)
        raise dg.RetryRequested(max_retries=ATTEMPTS)


def _told(rows: ibis.Table, tally: list[dict[str, Any]], batch_id: str | None) -> dict[str, dg.TableMetadataValue]:
    """What was read of the run's batch, by file, and what was rejected, by reason, as two tables."""
    reasons = canonical.reasons(rows).filter(lambda t: t.batch == batch_id).order_by(ibis.desc("rejected"), "reason")
    why = [
        {"reason": row["reason"], "rejected": row["rejected"], "expected": canonical.REASONS[row["reason"]]}
        for row in (reasons.to_pyarrow().to_pylist() if any(file["rejected"] for file in tally) else [])
    ]
    return tables({"tally": tally, "rejected_by_reason": why})


def _by_name(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was read by the name of the file; the files of that name in customers' folders count as one."""
    counted: dict[str, Counter[str]] = {}
    for file in files:
        numbers = {name: file[name] for name in COUNTED}
        counted.setdefault(_without_customer(file["file"]), Counter()).update(numbers)
    return [{"file": name, **numbers} for name, numbers in counted.items()]


def _without_customer(file: str) -> str:
    """A file's name without the folder, which bears a customer's id: Dagster keeps what it is told for ever."""
    folder, _, name = file.rpartition("/")
    return f"*/{name}" if folder else name


def _rejection_rate(tallies: Mapping[str, list[dict[str, Any]]], batch_id: str | None) -> dg.AssetCheckResult:
    """The rejected share of the run's batch (the newest where the run has none) against those that arrived before."""
    read: Counter[tuple[int, str]] = Counter()
    rejected: Counter[tuple[int, str]] = Counter()
    for file in (one for told in tallies.values() for one in told):
        read[file["arrival"], file["batch"]] += file["read"]
        rejected[file["arrival"], file["batch"]] += file["rejected"]
    arrived = sorted(read)
    names = [batch for _, batch in arrived]
    until = names.index(batch_id) + 1 if batch_id in names else len(names)
    if not arrived:
        return dg.AssetCheckResult(check_name="rejection_rate", passed=True)
    found = rejections.compared([Fraction(rejected[one], read[one]) for one in arrived[:until]])
    return dg.AssetCheckResult(
        check_name="rejection_rate",
        passed=not found.unusual,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{names[until - 1]}: {found.rate:.2%} rejected"
        + (f", usually {found.usual:.2%} ± {found.deviation:.2%}" if found.usual is not None else ""),
        metadata={name: value for name, value in found._asdict().items() if value is not None},
    )


def _stored_meanwhile(root: str, merged: set[str]) -> list[str]:
    """Batches whose rows are stored by now and were not among those merged."""
    return [
        batch
        for batch in sorted(set(warehouse.partitions(root, LAST)) - merged)
        if any(warehouse.load(root, f"raw_{table}", [batch]).num_rows for table in RAW)
    ]


def own_tables() -> list[dg.AssetSpec]:
    """The canonical tables of a deployment that has its own: nothing here makes them."""
    return [
        dg.AssetSpec(
            table,
            **documented(
                table,
                "ingest",
                set(),
                f"{meaning} Kept by yourselves; read where `{table}.parquet` or `{table}.sql` in the warehouse says.",
                source=__file__,
            ),
        )
        for table, meaning in TABLES.items()
        if table in RAW
    ]


@asset("ingest", {"sqlalchemy"})
def consent_records(
    context: dg.AssetExecutionContext, governance: Governance, clock: Clock, files: Files, users: ibis.Table
) -> dg.MaterializeResult[None]:
    """Periods of consent, kept in the governance database alone. Opens the first period of people who arrive with
    consent, once, and registers the first operators; what was revoked since is never re-granted by a file. If somebody
    gets no drafts, look at `spendsense consent history USER` first."""
    batch_id = context.run.tags.get("dagster/partition", "")
    landed = context.instance.has_dynamic_partition(str(BATCHES.name), batch_id)
    people = users.select("user_id", "user_type", "consent_status", "consent_granted_at", "consent_revoked_at")
    said = people.consent_status | people.consent_revoked_at.notnull() | (people.user_type == "operator")
    rows = people.filter(said.fill_null(False)).to_pyarrow().to_pylist()
    customers = [row for row in rows if row["user_type"] != "operator"]
    source = f"batch {batch_id}" if landed else "table users"
    with writing(governance.engine) as session:
        closed = consent.close_revoked_by_files(session, customers, clock.now(), source=source)
        told_before = _of_batches_unseen(session, files) if governance.warehouse else set()
        new = [row for row in customers if row["user_id"] not in told_before]
        opened = consent.open_first_periods(session, new, clock.now(), source=source)
        registered = operators.register_from_files(
            session, [row["user_id"] for row in rows if row["user_type"] == "operator"], clock.now(), source=source
        )
        live = len({row.user_id for row in consent.live_consents(session, clock.now(), governance.consent_days)})
        kept = records.rows(session, ConsentPeriod)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": kept,
            "periods_opened": opened,
            "left_closed_for_want_of_the_former_record": len(customers) - len(new),
            "periods_closed": closed,
            "operators_registered": registered,
            "customers_with_consent": live,
        }
    )


def _of_batches_unseen(session: Session, files: Files) -> set[str]:
    """People of stored batches that another governance database registered: it is newer than they are, and what they
    said since in the one before it is not known. Their files open nothing; `spendsense consent import` does."""
    stored = warehouse.partitions(files.warehouse, LAST)
    unseen = registered_elsewhere(session, stored, Path(files.landing))
    if not unseen:
        return set()
    return set(warehouse.load(files.warehouse, "raw_users", unseen, ["user_id"])["user_id"].to_pylist())


class Backlog(NamedTuple):
    """Folders of the landing zone by what is to become of them, each list ascending."""

    takeable: list[str]
    merged: list[str]
    refused: list[str]
    failed: list[str]
    unmarked: list[str]

    def reason(self) -> str:
        """Why nothing is taken."""
        left = f"; refused, see their runs: {', '.join(self.refused)}" if self.refused else ""
        if self.failed:
            left += f"; failed {ATTEMPTS} times and left for a person: {', '.join(self.failed)}"
        if self.unmarked:
            left += f"; not moved into place and waiting for a file {COMPLETE}: {', '.join(self.unmarked)}"
        return f"{len(self.merged)} batches merged, none new{left}"


def backlog(instance: dg.DagsterInstance, files: Files, now: dt.datetime) -> Backlog:
    """What of the landing zone waits to be merged, in its order, and what does not."""
    there = landing.arrivals(Path(files.landing), now, SETTLED)
    # A batch whose rows are stored is done, unless the run that stored them failed on the way to the merged tables.
    # The warehouse knows, whatever became of Dagster's own records.
    stored = set(warehouse.partitions(files.warehouse, LAST))
    # One that somebody cancelled was not merged either, and is tried again like a failed one.
    unsuccessful = _newest_runs(instance, *UNSUCCESSFUL)
    failures = Counter(_batch_of(run) for run in unsuccessful if REFUSED not in run.tags)
    refusals = {(_batch_of(run), run.tags[REFUSED]) for run in unsuccessful if REFUSED in run.tags}
    done = (stored - set(failures)) | set(map(_batch_of, _newest_runs(instance, dg.DagsterRunStatus.SUCCESS)))
    found = Backlog([], [], [], [], [])
    for batch in sorted(there.complete + there.unmarked):
        if batch in done:
            found.merged.append(batch)
        # What was taken once had arrived, even if an erasure has rewritten its files since.
        elif batch in there.unmarked and not failures[batch]:
            found.unmarked.append(batch)
        elif (batch, str(landing.last_change(Path(files.landing) / batch))) in refusals:
            found.refused.append(batch)
        elif failures[batch] >= ATTEMPTS:
            found.failed.append(batch)
        else:
            found.takeable.append(batch)
    return found


def _newest_runs(instance: dg.DagsterInstance, *statuses: dg.DagsterRunStatus) -> Sequence[dg.DagsterRun]:
    """The newest runs of the job that ended so."""
    return instance.get_runs(dg.RunsFilter(job_name=JOB, statuses=list(statuses)), limit=NEWEST)


def _batch_of(run: dg.DagsterRun) -> str:
    return run.tags.get("dagster/partition", "")


def _require_held_by_nobody(context: dg.AssetExecutionContext, batch_id: str) -> None:
    """Give way to an earlier run of the same batch.

    Whoever starts runs looks first, but between a sensor's answer and its run a command may have looked as well.
    """
    fail_dead_runs(context.instance, {JOB})
    unfinished = dg.RunsFilter(tags={"dagster/partition": batch_id}, statuses=UNFINISHED)
    records = context.instance.get_run_records(unfinished, ascending=True)
    first = next((one.dagster_run.run_id for one in records if merges(one.dagster_run)), context.run_id)
    if first != context.run_id:
        raise BatchRefused(f"{batch_id}: run {first} ingests this batch already; look there")


def merges(run: dg.DagsterRun) -> bool:
    """Whether the run writes the merged tables: the job, or a "Materialize" from the asset graph, which has no job."""
    return run.job_name == JOB or any(key.path[-1] == "transactions" for key in run.asset_selection or ())
