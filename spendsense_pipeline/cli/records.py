"""The whole: dashboard, audit, the governance database."""

import sys
from collections.abc import Iterable, Mapping

from spendsense_pipeline.cli import context
from spendsense_pipeline.cli.context import batches_of, governance_of, live_scopes
from spendsense_pipeline.cli.frame import app, as_json
from spendsense_pipeline.cli.output import cell, printed
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.settings import Settings


@app.command()
@as_json
def dashboard(as_json: bool) -> None:
    """Counts of people, personas and recommendations."""
    from spendsense_pipeline import profiles
    from spendsense_pipeline.governance import queue as desk
    from spendsense_pipeline.governance import records
    from spendsense_pipeline.governance.database import reading

    settings = Settings()
    with reading(governance_of(settings)) as session:
        counted = desk.counts(session, context.now())
        latency = records.latency(session)
    payload = {**profiles.counts(settings.warehouse_root, live_scopes(settings)), **counted, "latency_ms": latency}

    def told() -> Iterable[str]:
        for group, numbers in payload.items():
            yield group.replace("_", " ")
            for name, number in numbers.items():
                if isinstance(number, Mapping):
                    yield f"  {name} days: " + ", ".join(f"{one} {n}" for one, n in number.items())
                else:
                    yield f"  {name.replace('_', ' ')}: {cell(number)}"

    printed(payload, as_json, told)


@app.group()
def audit() -> None:
    """The audit chain."""


@audit.command("verify")
@as_json
def audit_verify(as_json: bool) -> None:
    """Recompute the chain; exit 1 and name the first broken row where it does not hold."""
    from spendsense_pipeline.governance import audit as chain
    from spendsense_pipeline.governance import records
    from spendsense_pipeline.governance.database import reading

    settings = Settings()
    with reading(governance_of(settings)) as session:
        verdict = chain.verify(session, records.known_heads(session))
    if verdict.count == 0 and (stored := batches_of(settings)):
        raise SpendSenseError(
            f"the chain is empty, and the warehouse holds {len(stored)} batches: this is not the database that "
            "registered them",
            code="chain_empty",
        )
    payload = {
        "ok": verdict.ok,
        "count": verdict.count,
        "head": verdict.head,
        "first_broken": verdict.first_broken,
    }
    said = f"{verdict.count} rows, " + ("intact" if verdict.ok else f"broken at {verdict.first_broken}")
    printed(payload, as_json, lambda: [said, f"head {verdict.head}"])
    if not verdict.ok:
        sys.exit(1)


@app.group()
def db() -> None:
    """The governance database."""


@db.command("upgrade")
@as_json
def db_upgrade(as_json: bool) -> None:
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
    beside = (
        f"new and empty beside {len(unseen)} stored batches ({', '.join(unseen[:5])}): nobody in them has consented"
    )
    payload = {"schema": schema, **({"unseen": unseen} if unseen else {})}
    printed(payload, as_json, lambda: [f"schema {schema}", *([beside] if unseen else [])])
