"""The whole: dashboard, audit, the governance database; how good a date was, and what leaves for analysts."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from spendsense_pipeline.cli import runtime
from spendsense_pipeline.cli.frame import app, as_of_option
from spendsense_pipeline.cli.output import Shown, cell, columns
from spendsense_pipeline.cli.runtime import batches_of, dagster_instance, day_of, governance_of, live_scopes
from spendsense_pipeline.durations import LONGEST
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.settings import Settings


@app.command()
def dashboard() -> Shown:
    """Counts of people, personas and recommendations."""
    from spendsense_pipeline import profiles
    from spendsense_pipeline.governance import evaluation_records
    from spendsense_pipeline.governance import queue as desk

    settings = Settings()
    with runtime.reading(settings) as session:
        counted = desk.counts(session, runtime.now())
        latency = evaluation_records.latency(session)
    payload = {**profiles.counts(settings.warehouse_root, live_scopes(settings)), **counted, "latency_ms": latency}

    def lines() -> Iterable[str]:
        for group, numbers in payload.items():
            yield group.replace("_", " ")
            for name, number in numbers.items():
                if isinstance(number, Mapping):
                    yield f"  {name} days: " + ", ".join(f"{one} {n}" for one, n in number.items())
                else:
                    yield f"  {name.replace('_', ' ')}: {cell(number)}"

    return Shown(payload, lines())


@app.group()
def audit() -> None:
    """The audit chain."""


@audit.command("head")
def audit_head() -> Shown:
    """Length and last hash of the chain, to be kept elsewhere; signed where SPENDSENSE_AUDIT_KEY names a key."""
    from spendsense_pipeline.governance import audit as chain
    from spendsense_pipeline.governance.signing import sign

    settings = Settings()
    with runtime.reading(settings) as session:
        count, final = chain.head(session)
    signature = sign(count, final, settings.audit_key) if settings.audit_key else None
    payload = {"count": count, "hash": final, "signature": signature}
    return Shown(payload, [":".join(str(part) for part in payload.values() if part is not None)])


@audit.command("verify")
@click.option(
    "--head", "heads", multiple=True, metavar="COUNT:HASH[:SIGNATURE]", help="A head that was kept elsewhere."
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Key that kept heads and those of exports must be signed with, PEM.",
)
def audit_verify(heads: tuple[str, ...], key: Path | None) -> Shown:
    """Recompute the chain; exit 1 and name the first broken row where it does not hold.

    Heads that evaluations and exports kept are checked, too.
    """
    from spendsense_pipeline.evaluation.manifests import audit_heads
    from spendsense_pipeline.governance import audit as chain
    from spendsense_pipeline.governance.signing import is_signed

    settings = Settings()
    kept = [_kept_head(text) for text in heads]
    kept += [(one["count"], one["hash"], one.get("signature")) for one in audit_heads(settings.exports_root)]
    for count, final, signature in kept:
        if key is not None and not (signature and is_signed(count, final, signature, key)):
            raise SpendSenseError(f"the head {count}:{final} is not signed with this key", code="not_signed")
    with runtime.reading(settings) as session:
        verdict = chain.verify(session, [(count, final) for count, final, _ in kept])
    if verdict.count == 0 and (stored := batches_of(settings)):
        raise SpendSenseError(
            f"the chain is empty, and there are {len(stored)} batches already: this is not the database that "
            "registered them",
            code="chain_empty",
        )
    payload = {"ok": verdict.ok, "count": verdict.count, "head": verdict.head, "first_broken": verdict.first_broken}
    said = f"{verdict.count} rows, " + ("intact" if verdict.ok else f"broken at {verdict.first_broken}")
    return Shown(payload, [said, f"head {verdict.head}"], failed=not verdict.ok)


def _kept_head(text: str) -> tuple[int, str, str | None]:
    """A head as `audit head` prints it."""
    count, _, rest = text.partition(":")
    final, _, signature = rest.partition(":")
    if not count.isdecimal() or not re.fullmatch("[0-9a-f]{64}", final):
        raise click.BadParameter(f"{text!r} is no head; write COUNT:HASH as `spendsense audit head` prints it")
    return int(count), final, signature or None


@app.command()
@click.option("--four-eyes/--no-four-eyes", default=None, help="Whether another must approve an override.")
@click.option("--consent-days", type=click.IntRange(0, LONGEST), help="Life of a consent, 0 for no limit.")
@click.option("--operator", "operator_id", help="Who decides it.")
@click.option("--reason", help="Why; kept on record.")
def policy(four_eyes: bool | None, consent_days: int | None, operator_id: str | None, reason: str | None) -> Shown:
    """The rules that no process may loosen by its settings; with options, change them."""
    from spendsense_pipeline.governance import policy as rules
    from spendsense_pipeline.governance.database import reading, writing

    engine = governance_of(Settings())
    if four_eyes is None and consent_days is None:
        with reading(engine) as session:
            now = rules.in_force(session)
    else:
        if not operator_id or not reason:
            raise click.UsageError("A change of the rules needs --operator and --reason.")
        with writing(engine) as session:
            before = rules.in_force(session)
            wanted = rules.Rules(
                before.four_eyes if four_eyes is None else four_eyes,
                before.consent_days if consent_days is None else consent_days,
            )
            now = rules.set_policy(session, wanted, operator_id, reason, runtime.now())
    payload = {"four_eyes": now.four_eyes, "consent_days": now.consent_days}
    return Shown(payload, [f"{name.replace('_', ' ')}: {cell(value)}" for name, value in payload.items()])


@app.group()
def db() -> None:
    """The governance database."""


@db.command("upgrade")
def db_upgrade() -> Shown:
    """Create it, or bring it to this version's schema."""
    from spendsense_pipeline.governance import database

    settings = Settings()
    try:
        engine, unseen = governance_of(settings), []
    except SpendSenseError as error:
        if error.code != "database_missing":
            raise
        engine, unseen = database.open_or_create(settings.governance_url), batches_of(settings)
    database.upgrade(engine)
    schema = database.current(engine)
    beside = f"new and empty beside {len(unseen)} batches ({', '.join(unseen[:5])}): nobody in them has consented"
    payload = {"schema": schema, **({"unseen": unseen} if unseen else {})}
    return Shown(payload, [f"schema {schema}", *([beside] if unseen else [])])


@app.command()
@as_of_option
def evaluate(as_of: dt.datetime | None) -> Shown:
    """The metrics of a date that was run (default: the newest), measured now.

    The record of the day is written anew, and the check of the queue in Dagster's UI made again.
    """
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.definitions import build_defs
    from spendsense_pipeline.defs import launch
    from spendsense_pipeline.frames import to_frame

    settings = Settings()
    day = day_of(as_of) or warehouse.newest_run(settings.warehouse_root)
    warehouse.load(settings.warehouse_root, "draft_recommendations", [day.isoformat()])  # or say what is missing
    with dagster_instance(settings) as instance:
        ran = launch.evaluate(build_defs(settings), instance, day)
    rows = to_frame(warehouse.load(settings.warehouse_root, "evaluation_metrics", [day.isoformat()]))
    rows = rows.astype(object).where(rows.notna(), None)
    payload: dict[str, Any] = {
        "as_of": day,
        "metrics": {
            row["metric"]: {name: row[name] for name in ("value", "numerator", "denominator")}
            for row in rows.to_dict("records")
        },
        "audit_head": ran.metadata["evaluation_metrics"]["audit_head"],
    }

    def lines() -> Iterator[str]:
        overall = rows.loc[rows["dimension"].isna(), "metric"]
        listed = [{"metric": name, **payload["metrics"][name]} for name in overall]
        yield from columns(listed, ["metric", "value", "numerator", "denominator"])
        yield f"rates by group are in {ran.metadata['operator_report']['page']} and with --json"
        yield "audit chain: {count} rows, head {hash}".format(**payload["audit_head"])

    return Shown(payload, lines())


@app.command()
@click.option("--to", help="Folder or fsspec URI, e.g. s3://bucket/folder; default SPENDSENSE_EXPORTS.")
@as_of_option
def export(to: str | None, as_of: dt.datetime | None) -> Shown:
    """A date's tables as Parquet with a manifest, of customers who consent now; links for seven days where possible."""
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.evaluation.export import export_of_day, signed_links

    settings = Settings(**({"exports": to} if to else {}))
    day = day_of(as_of) or warehouse.newest_run(settings.warehouse_root)
    root, engine = settings.exports_root, governance_of(settings)
    manifest = export_of_day(
        engine, settings.warehouse_root, root, day, runtime.now(), consent_days=settings.consent_days
    )
    payload = {"to": f"{root.rstrip('/')}/{day}", **manifest, "links": signed_links(manifest, root)}

    def lines() -> Iterator[str]:
        yield f"{manifest['customers']} customers, in {payload['to']}"
        yield from columns(
            [{"table": name, **table} for name, table in manifest["tables"].items()], ["table", "rows", "sha256"]
        )
        yield from (f"{name}  {link}" for name, link in payload["links"].items())

    return Shown(payload, lines())
