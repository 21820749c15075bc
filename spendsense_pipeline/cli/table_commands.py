"""Data in, tables out: generate, ingest, quarantine, run."""

import datetime as dt
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from spendsense_pipeline.cli import runtime
from spendsense_pipeline.cli.frame import MOST, Day, Folder, app, as_of_option
from spendsense_pipeline.cli.output import Shown, columns, progress, wants_json
from spendsense_pipeline.cli.runtime import dagster_instance, day_of
from spendsense_pipeline.durations import LONGEST
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.personas.trust import REASONS
from spendsense_pipeline.settings import Settings

STATEMENTS = ("ofx", "camt053", "mt940")
"""The formats of `ingest.statements`, which is loaded where one is asked for."""

REGISTERED = ("registered", "replaced", "unchanged", "suppressed", "refused", "withdrawn")
"""What `run` says of the drafts of a date."""

GENERATION = (
    *("model", "situations_asked_for", "situations_kept_before", "situations_written", "situations_failed"),
    *("situations_served_by_library", "requests", "tokens_sent", "tokens_received", "cost_usd", "seconds"),
    *("stopped", "problems"),
)
"""What `run` repeats of the metadata where a language model writes."""


@app.command()
@click.option("--users", type=click.IntRange(1, MOST), default=75, show_default=True)
@click.option("--seed", type=click.IntRange(-MOST, MOST), default=7, show_default=True)
@as_of_option
@click.option("--days", type=click.IntRange(1, LONGEST), default=180, show_default=True)
@click.option("--hard", is_flag=True, help="Noise, skips, messy payees, price rises.")
@click.option("--raw", type=click.Choice(["us", "uk", "de"]), help="Descriptors as this country's banks print them.")
@click.option(
    "--evidence",
    type=click.Choice(["mcc", "codes", "bare"]),
    help="With --raw: what stands beside the text; default bare.",
)
@click.option("--out", type=Folder(), help="Folder to write; default in the data folder.")
def generate(
    users: int,
    seed: int,
    as_of: dt.datetime | None,
    days: int,
    hard: bool,
    raw: str | None,
    evidence: str | None,
    out: Path | None,
) -> Shown:
    """Synthetic customers as a folder to ingest, with truth.json of what was planted."""
    from spendsense_pipeline import synthetic

    if hard and raw:
        raise click.UsageError("--hard and --raw are two settings: choose one")
    if evidence and not raw:
        raise click.UsageError("--evidence goes with --raw us|uk|de")
    day = day_of(as_of) or runtime.now().date()
    setting = f"-raw-{raw}-{evidence or 'bare'}" if raw else "-hard" if hard else ""
    folder = out or Settings().data / "generated" / f"{users}-users-seed-{seed}-{day}{setting}"

    how: dict[str, Any] = {"as_of": day, "days": days, "report": lambda made: progress(made, users, "people made")}
    if raw:
        batch = synthetic.generate_raw(users, seed, country=raw, evidence=evidence or "bare", **how)
    else:
        batch = synthetic.generate(users, seed, hard=hard, **how)
    synthetic.write(batch, folder)
    rows = {name: len(table) for name, table in batch.tables.items()}
    payload = {"path": str(folder), "seed": seed, "as_of": day, "rows": rows}
    return Shown(payload, [*(f"{n:>9,} {name}" for name, n in rows.items()), f"in {folder}"])


@app.command()
@click.argument("path", type=Folder())
@click.option(
    "--format",
    "kind",
    type=click.Choice(["spendsense", "plaid", *STATEMENTS]),
    default="spendsense",
    show_default=True,
    help="Table files, saved responses of Plaid's in a folder per customer, or a bank's statements.",
)
@click.option(
    "--user", help="Whose the statements right in the folder are; those in a folder of it are its customer's."
)
@click.option("--ids", type=click.Choice(["content"]), help="Make ids of the content of transactions that have none.")
@click.option("--batch", "batch_id", help="Batch id; default from the folder's name and content.")
@click.option("--trust-operators", is_flag=True, help="Let the files add operators although there are some.")
@click.option("--full", is_flag=True, help="Judge every stored row, not only those that the batch touches.")
def ingest(
    path: Path, kind: str, user: str | None, ids: str | None, batch_id: str | None, trust_operators: bool, full: bool
) -> Shown:
    """Land a folder of files as a batch and merge it into the tables."""
    if user is not None and kind not in STATEMENTS:
        raise click.UsageError("--user is for statements; tables and responses name their customers")
    if ids is not None and kind != "spendsense":
        raise click.UsageError("--ids is for tables; responses and statements have ids")
    from spendsense_pipeline.definitions import build_defs
    from spendsense_pipeline.defs import launch

    settings = Settings()
    with dagster_instance(settings) as instance:
        batch, ran = launch.ingest_folder(
            build_defs(settings),
            instance,
            settings,
            path,
            batch_id,
            responses=kind == "plaid",
            statements=kind if kind in STATEMENTS else None,
            user=user,
            ids=ids,
            full=full,
        )
    if trust_operators:
        appoint_named(settings, f"batch {batch}")
    payload: dict[str, Any] = {"batch": batch, "run_id": ran.run_id, "tables": launch.tallies(ran)}
    return Shown(
        payload,
        [
            f"batch {batch}, run {ran.run_id}",
            *columns(
                [{"table": name, **counts} for name, counts in payload["tables"].items()],
                ["table", "read", "accepted", "duplicate", "rejected", "superseded"],
            ),
        ],
    )


def appoint_named(settings: Settings, source: str) -> None:
    """Register the operators that files ever named; no run does, so that nobody can ask it of one."""
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.governance import operators

    users = warehouse.load(settings.warehouse_root, "users", columns=["user_id", "user_type"]).to_pylist()
    named = [row["user_id"] for row in users if row["user_type"] == "operator"]
    with runtime.writing(settings) as session:
        operators.register_from_files(session, named, runtime.now(), source=source, trust=True)


@app.command()
@click.option("--batch", "batch_id", help="Only this batch.")
def quarantine(batch_id: str | None) -> Shown:
    """Rows that were read and not accepted, with their reasons."""
    from spendsense_pipeline import warehouse

    settings = Settings()
    table = warehouse.read(warehouse.connect(), settings.warehouse_root, "quarantined_rows")
    if batch_id is not None:
        if batch_id not in {folder.name for folder in settings.landing.iterdir()}:
            raise SpendSenseError(f"no batch {batch_id!r} has landed in {settings.landing}", code="unknown_batch")
        table = table.filter(table.batch == batch_id)
    rows = table.order_by("batch", "file", "row").to_pyarrow().to_pylist()
    for row in rows:
        row["reasons"] = json.loads(row["reasons"])
    names = ["batch", "table", "file", "row", "field", "value", "reasons"]
    return Shown({"quarantine": rows}, columns(rows, names, "nothing in quarantine"))


@app.command()
@as_of_option
@click.option("--unknown", is_flag=True, help="Only payees of which nobody knows what they are for.")
@click.option("--limit", type=click.IntRange(1, MOST), default=50, show_default=True)
def payees(as_of: dt.datetime | None, unknown: bool, limit: int) -> Shown:
    """Who is paid and what for, on one date (default: the newest stored), the most frequent first."""
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.frames import to_frame
    from spendsense_pipeline.payees.census import listed

    root = Settings().warehouse_root
    day = day_of(as_of)
    newest = warehouse.partitions(root, "payees")[-1:]
    keys = [day.isoformat()] if day else newest
    rows = listed(to_frame(warehouse.load(root, "payees", keys)), limit, unknown=unknown)
    names = ["name", "category", "category_source", "counterparty", "service", "rows", "customers"]
    payload = {"as_of": dt.date.fromisoformat(keys[0]), "payees": rows}
    return Shown(payload, columns(rows, names, "no such payee"))


@app.command(cls=click.Command)
def demo() -> None:
    """The whole way on 75 generated people, with a short account of what happened; may be run again."""
    from spendsense_pipeline import demo

    demo.main()


@app.command()
@as_of_option
@click.option("--from", "first", type=Day(), help="First of several dates; see above.")
@click.option("--to", "last", type=Day(), help="Last of them, included.")
@click.option("--regenerate", is_flag=True, help="Ask the language model again about situations it has written for.")
def run(as_of: dt.datetime | None, first: dt.datetime | None, last: dt.datetime | None, regenerate: bool) -> Shown:
    """Features to approval queue for one date (default: the newest accepted transaction's).

    With --from and --to: streams, features and personas of each date of a range, in one run. A range fills these tables
    only; it drafts nothing and never touches the queue.

    With --json, of a date: {run_id, as_of, rows: {asset: n}, not_drafted, stale, unexplained, without_balances,
    registered, replaced, unchanged, suppressed, refused, withdrawn}, ``not_drafted`` the customers for whom nothing is
    drafted, then how many of them for each reason; of a range: {run_id, from, to, dates: n, rows: {asset: n}}, rows
    over all dates.
    """
    if first or last:
        if not (first and last) or as_of or regenerate:
            raise click.UsageError("a range is --from and --to together, without --as-of or --regenerate.")
        return _run_range(first.date(), last.date())
    from spendsense_pipeline.definitions import build_defs
    from spendsense_pipeline.defs import launch
    from spendsense_pipeline.profiles import newest_transaction_date

    settings = Settings()
    day = day_of(as_of) or newest_transaction_date(settings.warehouse_root)
    with dagster_instance(settings) as instance:
        ran = launch.daily_refresh(build_defs(settings), instance, day, regenerate=regenerate)
    queue = ran.metadata["approval_queue"]
    payload = {
        "run_id": ran.run_id,
        "as_of": day,
        "rows": ran.rows,
        **{name: ran.metadata["situations"].get(name, 0) for name in ("not_drafted", *REASONS)},
        **{name: queue[name] for name in REGISTERED},
    }
    if settings.generator == "openai":
        payload["generation"] = {
            name: value for name, value in ran.metadata["education_templates"].items() if name in GENERATION
        }

    def lines() -> Iterator[str]:
        yield f"{day}, run {ran.run_id}"
        yield from (f"{n:>9,} {name}" for name, n in ran.rows.items())
        yield ", ".join(f"{name} {queue[name]}" for name in REGISTERED)
        if payload["not_drafted"]:  # a customer may be counted under several reasons
            yield f"nothing drafted for {payload['not_drafted']:,} customers"
            for reason, words in REASONS.items():
                if payload[reason]:
                    yield f"{payload[reason]:>9,} {words.format(stale_days=settings.stale_days)}"
        if "generation" in payload:
            yield from _model_lines(payload["generation"])

    return Shown(payload, lines())


def _run_range(first: dt.date, last: dt.date) -> Shown:
    from spendsense_pipeline.definitions import build_defs
    from spendsense_pipeline.defs import launch

    settings = Settings()
    with dagster_instance(settings) as instance:
        ran = launch.refresh_range(build_defs(settings), instance, first, last)
    dates = (last - first).days + 1
    rows = [f"{n:>9,} {name}" for name, n in ran.rows.items()]
    return Shown(
        {"run_id": ran.run_id, "from": first, "to": last, "dates": dates, "rows": ran.rows},
        [f"{first} to {last}, {dates} dates, run {ran.run_id}", *rows],
    )


def _model_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What the language model did, and loudly what it did not."""
    yield (
        f"{found['model']}: {found['situations_asked_for']} situations, {found['situations_kept_before']} kept before, "
        f"{found['situations_written']} written, {found['requests']} requests, "
        f"{found['tokens_sent'] + found['tokens_received']:,} tokens, cost in USD {found['cost_usd']}"
    )
    if "stopped" in found:
        yield f"STOPPED ASKING: {found['stopped']}"
    if found["situations_served_by_library"]:
        yield f"{found['situations_served_by_library']} situations are served by the library; the next run asks again"
    yield from (f"  {one['situation']}: {one['problem']}" for one in found.get("problems", []))


@app.command("compile")
@click.option("--no-kernels", is_flag=True, help="Where data is too small for them.")
def compile_ahead(no_kernels: bool) -> Shown:
    """Make ahead what is made once per version, or the first run that needs it makes it: the SQL that ingest
    runs and the judgement of the library of texts (seconds), and the kernels of the signals (half a minute).

    They are kept in $SPENDSENSE_KERNELS, by default `kernels` in the data folder.

    With --json: {path, version, compiled, seconds}; compiled is whether kernels were, which may be there already.
    """
    from spendsense_pipeline.features import compilation, compiled
    from spendsense_pipeline.ingest import plan
    from spendsense_pipeline.recommendations import library

    def report(message: str) -> None:
        if not wants_json():
            sys.stderr.write(f"{message}\n")

    settings, started = Settings(), time.monotonic()
    folder = settings.kernels_folder
    plan.steps(folder)
    library.load_library(settings.prompts, folder)
    compiling = not no_kernels and compiled.ready(folder) is None
    if compiling:
        compilation.make_ready(folder, report)
    payload = {
        "path": str(folder),
        "version": compiled.version(),
        "compiled": compiling,
        "seconds": round(time.monotonic() - started, 1),
    }
    if no_kernels:
        return Shown(payload, [f"all but kernels was made, in {folder}"])
    done = f"compiled in {payload['seconds']:.0f} s" if compiling else "were there already"
    return Shown(payload, [f"kernels of version {payload['version']} {done}, in {folder}"])
