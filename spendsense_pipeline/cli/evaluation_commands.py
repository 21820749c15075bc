"""How good a date was, and what leaves for analysts: evaluate, export."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import click

from spendsense_pipeline.cli import runtime
from spendsense_pipeline.cli.frame import app, as_of_option
from spendsense_pipeline.cli.output import Shown, columns
from spendsense_pipeline.cli.runtime import dagster_instance, day_of, governance_of
from spendsense_pipeline.settings import Settings


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
