"""Does it help, and whom: experiments list, show, power, verify, end; fairness; documents."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from spendsense_pipeline.cli import runtime
from spendsense_pipeline.cli.frame import Finite, Folder, app, decider_option
from spendsense_pipeline.cli.output import Shown, columns
from spendsense_pipeline.cli.runtime import decider
from spendsense_pipeline.durations import LONGEST
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.settings import Settings

LARGEST = 1e12
"""Of a change and a deviation, in the metric's unit."""
SMALLEST = 1e-6
"""Of a change, as a part of the deviation: below it the customers that show it are past counting."""


@app.group()
def experiments() -> None:
    """Experiments: plan them, see what may be said, verify it."""


def _all(settings: Settings) -> list[dict[str, Any]]:
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.experiments.summary import listing

    with runtime.reading(settings) as session:
        return listing(session, settings.experiments, warehouse.newest_frame(settings.warehouse_root, "uplift"))


@experiments.command("list")
def list_() -> Shown:
    """Every experiment: the files in experiments/ of the data folder, and what is on record."""
    rows = [{name: value for name, value in row.items() if name != "rows"} for row in _all(Settings())]
    shown = [row | {"customers": sum(arm["customers"] for arm in row["arms"])} for row in rows]
    return Shown(
        {"experiments": rows}, columns(shown, ["name", "state", "metric", "horizon_days", "customers", "hypothesis"])
    )


@experiments.command()
@click.argument("name")
def show(name: str) -> Shown:
    """One experiment: its arms, faults of its assignment, and what may be said of it by the newest date."""
    found = next((row for row in _all(Settings()) if row["name"] == name), None)
    if found is None:
        raise SpendSenseError(
            f"there is no experiment {name!r}; `spendsense experiments list` shows them", code="unknown_experiment"
        )
    rows = [{key: None if value != value else value for key, value in row.items()} for row in found["rows"]]

    def lines() -> Iterator[str]:
        yield f"{found['name']} ({found['state']}): {found['hypothesis']}"
        yield f"{found['metric']} at {found['horizon_days']} days, hash {found['hash'][:12]}"
        if found["file_changed"]:
            yield "the file has changed since its first customer: it is another experiment and needs another name"
        yield from columns(found["arms"], ["arm", "weight", "shows", "customers"])
        yield from (f"FAULT: {fault}" for fault in found["faults"])
        yield from found["sentences"]

    return Shown(found | {"rows": rows}, lines())


@experiments.command()
@click.option("--from", "before", type=Finite(0, 100, min_open=True, max_open=True), help="Share now, %.")
@click.option("--to", "after", type=Finite(0, 100, min_open=True, max_open=True), help="Share hoped for, %.")
@click.option("--change", type=Finite(-LARGEST, LARGEST), help="Of a mean: the change to see, in the metric's unit.")
@click.option("--deviation", type=Finite(0, LARGEST, min_open=True), help="Of a mean: standard deviation of customers.")
@click.option("--correlation", type=Finite(0, 1, max_open=True), default=0.0, help="Of baseline and outcome.")
@click.option(
    "--comparisons", type=click.IntRange(1, 1_000), default=1, show_default=True, help="Arms beside the control."
)
@click.option("--lost", type=Finite(0, 100, max_open=True), default=5.0, show_default=True, help="% lost.")
@click.option("--power", type=Finite(50, 100, max_open=True), default=80.0, show_default=True, help="%.")
def power(
    before: float | None,
    after: float | None,
    change: float | None,
    deviation: float | None,
    correlation: float,
    comparisons: int,
    lost: float,
    power: float,
) -> Shown:
    """Customers that an experiment needs, before it starts: --from 24 --to 21, or --change 5 --deviation 40."""
    from spendsense_pipeline.experiments.statistics import ALPHA, needed_for_means, needed_for_shares

    terms = {"power": power / 100, "correlation": correlation, "comparisons": comparisons, "lost": lost / 100}
    if (
        before is not None
        and after is not None
        and abs(before - after) > 100 * SMALLEST
        and change is deviation is None
    ):
        plan, about = needed_for_shares(before / 100, after / 100, **terms), f"{before:g} → {after:g} %"
    elif change and deviation is not None and abs(change) > SMALLEST * deviation and before is after is None:
        plan, about = needed_for_means(change, deviation, **terms), f"a mean moving by {change:g}"
    else:
        raise click.UsageError("Give two different shares, --from and --to, or --change (not 0) and --deviation.")
    said = (
        f"{plan.assigned:,} customers an arm for {about}: {plan.measured:,} with an outcome show it in {power:g} % of "
        f"experiments at a two-sided error of {ALPHA:.0%}; {lost:g} % more are assigned, for they will be lost. "
        "With stop_rule always_valid plan about twice as many."
    )
    return Shown({"measured": plan.measured, "assigned": plan.assigned}, [said])


@experiments.command()
def verify() -> Shown:
    """Recompute every arm and every figure of the newest date from record and stored rows; exit 1 on a difference."""
    import numpy as np

    from spendsense_pipeline import warehouse
    from spendsense_pipeline.experiments.definition import of_record
    from spendsense_pipeline.experiments.uplift import COLUMNS, assignment_faults, uplift
    from spendsense_pipeline.governance import database_frames
    from spendsense_pipeline.governance import experiment_records as record

    settings = Settings()
    outcomes, stored = (
        warehouse.newest_frame(settings.warehouse_root, one) for one in ("experiment_outcomes", "uplift")
    )
    differences: list[str] = []
    checked = 0
    with runtime.reading(settings) as session:
        for row in record.registered(session):
            experiment = of_record(row["definition"])
            assigned = database_frames.assignments(session, experiment.name)
            differences += [f"{experiment.name}: {fault}" for fault in assignment_faults(experiment, assigned)]
            then = None if stored is None else stored[stored["experiment"] == experiment.name]
            if outcomes is None or then is None or then.empty:
                continue
            day: dt.date = then["as_of"].iloc[0]
            rows = outcomes[outcomes["experiment"] == experiment.name]
            known = assigned[assigned["as_of"] <= day]
            again = uplift(experiment, known, rows, row["registered_at"].date(), day)
            numbers = ["measured_arm", "measured_control", *COLUMNS[13:]]
            was, now = (
                rows.sort_values(list(COLUMNS[:7]), ignore_index=True)[numbers].astype(float).to_numpy()
                for rows in (then, again)
            )
            checked += was.size
            if was.shape != now.shape or not np.allclose(was, now, rtol=1e-9, atol=1e-12, equal_nan=True):
                differences.append(
                    f"{experiment.name}: the stored figures of {day} are not those of the stored rows; after an "
                    f"erasure run the date again (`spendsense run --as-of {day}`)"
                )
    said = f"{checked} figures recomputed, {len(differences)} differences"
    payload = {"figures": checked, "differences": differences}
    return Shown(payload, [*differences, said], failed=bool(differences))


@experiments.command()
@click.argument("name")
@decider_option
@click.option("--reason", required=True, help="Why, for the record.")
def end(name: str, operator_id: str | None, reason: str) -> Shown:
    """End an experiment before its time: nothing is withheld or worded by it any more."""
    from spendsense_pipeline.governance import experiment_records as record

    engine, who, _ = decider(Settings(), operator_id)
    record.end(engine, name, who, reason, runtime.now())
    return Shown({"ended": name}, [f"{name} ended"])


@app.command()
@click.option("--groups", type=click.Path(exists=True, dir_okay=False), help="CSV: user_id, and a column a group.")
@click.option("--days", type=click.IntRange(1, LONGEST), default=90, show_default=True, help="Texts registered since.")
def fairness(groups: str | None, days: int) -> Shown:
    """Offers, releases, holds, complaints and outcomes by band and by protected group; the groups are kept nowhere."""
    import pandas as pd

    from spendsense_pipeline import warehouse
    from spendsense_pipeline.evaluation.metrics import fairness_bands
    from spendsense_pipeline.evaluation.report import SMALLEST_GROUP
    from spendsense_pipeline.experiments import fairness as measures
    from spendsense_pipeline.governance import database_frames
    from spendsense_pipeline.governance import experiment_records as record

    settings = Settings()
    root = settings.warehouse_root
    features, outcomes = (warehouse.newest_frame(root, one) for one in ("features_180d", "experiment_outcomes"))
    if features is None:
        raise warehouse.NotMaterialized("no date was run yet: `spendsense run` computes one")
    dimensions = fairness_bands(features)
    if groups is not None:
        dimensions = dimensions.merge(measures.groups_in(Path(groups)), on="user_id", how="outer").fillna("unknown")
    with runtime.reading(settings) as session:
        texts = database_frames.texts(session, runtime.now() - dt.timedelta(days=days))
        consents = database_frames.consents(session, runtime.now(), consent_days=settings.consent_days)
        names = {
            record.pseudonym(row["salt"], one["user_id"]): one["user_id"]
            for row in record.registered(session)
            for one in record.assignments(session, row["name"])
        }
    agreed = pd.Index(consents.loc[consents["scope"] == "partner_offers", "user_id"])
    rows, untested = measures.compared(measures.facts(texts, agreed), dimensions)
    means = [] if outcomes is None or outcomes.empty else measures.outcome_means(outcomes, names, dimensions)
    if not means:
        untested.append(f"outcomes: no arm has {SMALLEST_GROUP} customers of a group with one yet")

    def lines() -> Iterator[str]:
        for row in rows:
            yield f"{row['measure']} by {row['dimension']}: {measures.MEASURES[row['measure']]}"
            yield from (f"  {one['group']}: {one['rate']:.1%} of {one['of']:,}" for one in row["groups"])
            ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}"
            look = "  LOOK AT IT" if row["look"] else ""
            yield f"  difference {row['difference']:.1%}, ratio {ratio}, p {row['p']:.3g}{look}"
        for one in means:
            yield (
                f"{one['experiment']}, {one['metric']} at {one['horizon_days']} days, {one['arm']}, {one['dimension']} "
                f"{one['group']}: mean {one['mean']:.4g} of {one['of']:,}"
            )
        yield from (f"not tested: {one}" for one in untested)

    return Shown({"measures": rows, "outcomes": means, "not_tested": untested}, lines())


@app.command()
@click.option("--to", "folder", type=Folder(), required=True, help="Folder for the Markdown files.")
def documents(folder: Path) -> Shown:
    """Model cards of detectors and wordings, record of consent texts, retention: from what is stored now."""
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.contracts import CONTRACTS
    from spendsense_pipeline.erasure import everywhere
    from spendsense_pipeline.experiments import documents as written
    from spendsense_pipeline.governance import consent, database_frames, evaluation_records, holds

    settings, now = Settings(), runtime.now()
    root = settings.warehouse_root
    with runtime.reading(settings) as session:
        texts = database_frames.texts(session, dt.datetime.min.replace(year=1970, tzinfo=dt.UTC))
        record = consent.texts(session)
        kept, held = evaluation_records.kept(session), holds.listed(session)
    tables = {name: warehouse.partitions(root, name) for name in sorted(CONTRACTS)}
    sentences = {row["name"]: row["sentences"] for row in _all(settings) if row["state"] != "planned"}
    accuracy, metrics = (warehouse.newest_frame(root, one) for one in ("signal_accuracy", "evaluation_metrics"))
    thresholds = "docs/signals.md, docs/insights.md and the rules of the personas"
    pages = {
        "detectors.md": written.detectors(accuracy, metrics, thresholds, now.date()),
        "wordings.md": written.wordings(texts, sentences, now.date()),
        "consent-texts.md": written.consent_texts(record, now.date()),
        "retention.md": written.retention(tables, kept, held, everywhere.REMAINS, now.date()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in pages.items():
        (folder / name).write_text(page, encoding="utf-8")
    paths = [str(folder / name) for name in pages]
    return Shown({"written": paths}, paths)
