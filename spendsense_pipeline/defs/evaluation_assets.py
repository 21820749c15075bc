"""The evaluation room: metrics, the record and the export of a day. The thinking is in ``evaluation/``."""

import datetime as dt
from pathlib import Path

import dagster as dg
import pandas as pd
from pydantic import Field

from spendsense_pipeline import warehouse
from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.defs import plots
from spendsense_pipeline.defs.documentation import as_of, daily
from spendsense_pipeline.defs.resources import Clock, Files, Governance
from spendsense_pipeline.defs.review_assets import by_age
from spendsense_pipeline.evaluation import accuracy, export, metrics, remembered, report
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import (
    audit,
    database_frames,
    endings,
    evaluation_records,
    feedback,
    generations,
    queue,
    release,
)
from spendsense_pipeline.governance.database import reading, writing


class Truth(dg.Config):
    """Where the truth about generated customers is."""

    truth: str = Field(default="", description="A truth.json; without, those beside the tables in the landing zone.")


@daily("evaluation", {"pandas", "parquet"})
def signal_accuracy(
    context: dg.AssetExecutionContext,
    config: Truth,
    files: Files,
    recurring_streams: pd.DataFrame,
    features_180d: pd.DataFrame,
    persona_assignments_30d: pd.DataFrame,
    persona_assignments_180d: pd.DataFrame,
) -> pd.DataFrame:
    """How well the day's streams, pay frequencies and personas match what was planted in generated customers. In no
    job, since nobody else has a truth: materialize it for the `--as-of` of `spendsense generate` and name its
    truth.json in the config, unless it lies in the batch's landing folder."""
    day = as_of(context)
    paths = [Path(config.truth)] if config.truth else sorted(Path(files.landing).glob("*/truth.json"))
    truths = accuracy.truths(paths, day)
    if not truths:
        looked = config.truth or f"{files.landing}/*/truth.json"
        raise dg.Failure(f"{looked} says nothing of {day}: `spendsense generate --as-of {day}` makes one that does")
    measured = pd.concat(
        [
            accuracy.signal_accuracy(
                truth, recurring_streams, features_180d, persona_assignments_30d, persona_assignments_180d
            ).assign(as_of=day, batch=batch)
            for batch, truth in truths.items()
        ],
        ignore_index=True,
    )
    overall = measured[measured["of"] == "all"]
    context.add_output_metadata(
        {
            f"{batch}: {measure}": round(value, 4)
            for batch, measure, value in zip(overall["batch"], overall["measure"], overall["value"], strict=True)
        }
    )
    return measured[list(CONTRACTS["signal_accuracy"].columns)]


def _only(*columns: str) -> dg.AssetIn:
    """Of a large table what is looked at."""
    return dg.AssetIn(metadata={"columns": [*columns]})


PERSONAS = {
    name: _only("user_id", "window_days", "persona", "is_fallback")
    for name in ("persona_assignments_30d", "persona_assignments_180d")
}
"""Without the reasons, which are nine tenths of the tables."""


@daily(
    "evaluation",
    {"pandas", "parquet"},
    deps=["approval_queue"],
    ins={
        **PERSONAS,
        "product_matches": _only("user_id", "product_id", "eligible"),
        "draft_recommendations": _only("user_id", "content_type", "product_id", "rationale", "slots"),
    },
)
def evaluation_metrics(
    context: dg.AssetExecutionContext,
    governance: Governance,
    clock: Clock,
    files: Files,
    persona_assignments_30d: pd.DataFrame,
    persona_assignments_180d: pd.DataFrame,
    features_30d: pd.DataFrame,
    features_180d: pd.DataFrame,
    education_templates: pd.DataFrame,
    product_matches: pd.DataFrame,
    draft_recommendations: pd.DataFrame,
) -> pd.DataFrame:
    """Coverage, explainability, auditability, agreement and the rest, each with numerator, denominator and definition;
    null where there was nothing to measure. Counts what was decided and released so far. The head of the audit chain is
    recorded with it."""
    now = clock.now()
    with reading(governance.engine) as session:
        consents = governance.consents(session, now)
        decisions = database_frames.decisions(session)
        borne_out = remembered.borne_out(session, f"{files.warehouse.rstrip('/')}/verified_releases", now)
    measured = metrics.evaluation_metrics(
        as_of(context),
        personas_30d=persona_assignments_30d,
        personas_180d=persona_assignments_180d,
        features_30d=features_30d,
        features_180d=features_180d,
        templates=education_templates,
        matches=product_matches,
        drafts=draft_recommendations,
        consents=consents,
        decisions=decisions,
        borne_out=borne_out,
    )
    known = measured[measured["value"].notna()]
    values = dict(zip(known["metric"], known["value"], strict=True))
    with writing(governance.engine) as session:
        head = evaluation_records.record_evaluation(session, as_of(context), values, now, run_id=context.run_id)
    overall = known.loc[known["dimension"].isna(), "metric"]
    moved = report.movement(persona_assignments_30d, persona_assignments_180d)
    context.add_output_metadata(
        {
            **{name: values[name] for name in overall},
            "audit_head": head,
            "movement": plots.bars(
                movements(moved, report.persona_names()), "Customers by persona: 180 days → 30 days"
            ),
            "fairness": dg.MetadataValue.md(fairness(measured)),
        }
    )
    return measured


@daily("evaluation", {"html"}, ins={**PERSONAS, "product_matches": _only("user_id", "product_id", "refused")})
def operator_report(
    context: dg.AssetExecutionContext,
    governance: Governance,
    clock: Clock,
    files: Files,
    persona_assignments_30d: pd.DataFrame,
    persona_assignments_180d: pd.DataFrame,
    product_matches: pd.DataFrame,
    education_templates: pd.DataFrame,
    evaluation_metrics: pd.DataFrame,
) -> dg.MaterializeResult[None]:
    """The record of the day as one page: metrics with their history, fairness, personas, the queue in figures,
    decisions, refusals, the head of the audit chain. Figures of groups, no customer. Open the file named in the
    metadata in a browser; `spendsense evaluate`, or materializing this again, writes it anew. Texts are decided on
    elsewhere: `spendsense serve`, the commands, the job `review_recommendations`."""
    now, day = clock.now(), as_of(context)
    state = _review_state(governance, files, now)
    page = report.operator_report(
        day,
        now,
        state,
        personas_30d=persona_assignments_30d,
        personas_180d=persona_assignments_180d,
        matches=product_matches,
        templates=education_templates,
        metrics=evaluation_metrics,
        history=_earlier(files.warehouse, "evaluation_metrics", day),
    )
    path = Path(files.reports) / f"{day}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)
    return dg.MaterializeResult(metadata={"page": dg.MetadataValue.path(path), "waiting": state.waiting["waiting"]})


@daily("evaluation", {"parquet"}, deps=["consent_records", *export.EXPORTED])
def analytics_export(
    context: dg.AssetExecutionContext, governance: Governance, clock: Clock, files: Files
) -> dg.MaterializeResult[None]:
    """The day's tables for analysts, customers with live consent only and without the texts' personal slots, with a
    manifest of rows and hashes. The metadata names the folder; `spendsense export` prints links that open the files on
    an object store without an account."""
    manifest = export.export_of_day(
        governance.engine,
        files.warehouse,
        files.exports,
        as_of(context),
        clock.now(),
        consent_days=governance.consent_days,
        signed=governance.signed,
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(table["rows"] for table in manifest["tables"].values()),
            "folder": dg.MetadataValue.path(f"{files.exports.rstrip('/')}/{as_of(context)}"),
            "customers": manifest["customers"],
            "manifest": dg.MetadataValue.json(manifest),
        }
    )


def _review_state(governance: Governance, files: Files, now: dt.datetime) -> report.ReviewState:
    """What the governance database says at ``now``."""
    gate = release.propose(governance.engine, now, **governance.terms(files.warehouse))
    with reading(governance.engine) as session:
        counted = queue.counts(session, now)
        count, head = audit.head(session)
        return report.ReviewState(
            consents=governance.consents(session, now),
            waiting=queue.waiting(session, now),
            ages=by_age(queue.ages(session, now)),
            statuses=counted["recommendations"],
            released=counted["releases"]["released"],
            recalls=endings.causes(session),
            feedback=feedback.counts(session),
            blocked=gate.blocked,
            decisions=metrics.decisions_by_operator(database_frames.decisions(session)),
            models=generations.spent(session),
            audit_head={"count": count, "hash": head},
        )


def _earlier(root: str, asset: str, day: dt.date) -> pd.DataFrame:
    """The rows of the newest dates before the day that are stored; of the day itself, none, where there are none."""
    keys = [key for key in warehouse.partitions(root, asset) if key < day.isoformat()][-report.HISTORY :]
    rows = to_frame(warehouse.load(root, asset, keys or [day.isoformat()]))
    return rows if keys else rows.iloc[:0]


def movements(moved: list[tuple[str, list[int]]], names: list[str]) -> list[tuple[str, float, str]]:
    """Bars of customers whose persona of 30 days is that of 180 days, then of those who moved, the most first."""
    stayed = sum(counts[names.index(long)] for long, counts in moved)
    went = {
        (long, short): count
        for long, counts in moved
        for short, count in zip(names, counts, strict=True)
        if short != long and count
    }
    told = [("the same in both", stayed)]
    for (long, short), count in sorted(went.items(), key=lambda one: -one[1]):
        told.append((f"{long.replace('_', ' ')} → {short.replace('_', ' ')}", count))
    # The number in front: a wide table further down the page pushes the bars out of sight.
    return [(f"{count:,} {label}", count, "") for label, count in told]


def fairness(measured: pd.DataFrame) -> str:
    """Each measure by group, with the size of the group, as a Markdown table; without groups too small for a rate."""
    groups = measured[measured["dimension"].notna() & (measured["denominator"] >= report.SMALLEST_GROUP)]
    told = groups.assign(
        group=groups["dimension"].str.replace("_", " ") + " " + groups["band"],
        said=[
            f"{value:.1%} of {size:,.0f}" for value, size in zip(groups["value"], groups["denominator"], strict=True)
        ],
    ).pivot_table(index="group", columns="measure", values="said", aggfunc="first", sort=False)
    heads = [str(measure).replace("_", " ") for measure in told.columns]
    lines = [f"| group | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    lines += [
        f"| {group} | {' | '.join(row)} |" for group, row in zip(told.index, told.fillna("–").values, strict=True)
    ]
    return "\n".join(lines)
