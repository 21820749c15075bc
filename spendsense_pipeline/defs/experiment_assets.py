"""The experiments' assets: who is assigned before drafting, outcomes of later dates, uplift.

The thinking is in ``experiments/``; what was assigned is kept by ``governance.experiment_records``.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from spendsense_pipeline import warehouse
from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.defs import plots
from spendsense_pipeline.defs.documentation import as_of, daily
from spendsense_pipeline.defs.resources import Clock, Files, Governance
from spendsense_pipeline.experiments import summary
from spendsense_pipeline.experiments.arms import deal, eligible, strata
from spendsense_pipeline.experiments.definition import METRICS, Experiment, experiments_in, of_record
from spendsense_pipeline.experiments.outcomes import History, baseline, outcomes
from spendsense_pipeline.experiments.uplift import assignment_faults
from spendsense_pipeline.experiments.uplift import uplift as compared
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import database_frames, experiment_records, topics
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.personas.assignment import followed

FOLLOWED = ("features_180d", "persona_assignments_30d", "persona_assignments_180d")
READ = ("situations", "education_templates", "product_matches", *FOLLOWED)
"""Read where there is an experiment."""
CURRENT_DAYS = 7
"""A date further back is history: computing it again assigns nobody."""


@daily("recommendations", {"sqlalchemy"}, deps=["consent_records", *READ])
def experiment_assignments(
    context: dg.AssetExecutionContext, governance: Governance, clock: Clock, files: Files
) -> dg.MaterializeResult[None]:
    """Who enters which arm of the experiments in `experiments/*.toml`, dealt before anything is drafted: customers with
    consent, an open topic and no hardship. Kept in the governance database and its chain; an arm is for good. A file
    that changed after its first customer fails here: it is another experiment."""
    day, now = as_of(context), clock.now()
    new: dict[str, int] = {}
    current = (now.date() - day).days <= CURRENT_DAYS
    if current and (experiments := experiments_in(Path(files.experiments))):
        read = {table: to_frame(warehouse.load(files.warehouse, table, [f"{day}"])) for table in READ}
        features_180d, shorter, longer = (read[table] for table in FOLLOWED)
        personas = followed(shorter, longer).set_index("user_id")["persona"]
        with reading(governance.engine) as session:
            consents = governance.consents(session, now)
            declined = topics.declined_by(session, personas.index)
        today = History([day], lambda _table, _day: features_180d)
        for experiment in experiments:
            topic = topics.TOPIC_OF_INSIGHT.get(experiment.insight or "")
            may = eligible(
                experiment,
                read["situations"],
                read["education_templates"],
                consents,
                features_180d,
                read["product_matches"],
                {user for user, name in declined if name == topic},
            )
            users = pd.Index(may)
            before = baseline(METRICS[experiment.metric], today, day, users)
            new[experiment.name] = experiment_records.assign(
                governance.engine,
                plan(experiment),
                {str(user): name for user, name in strata(experiment, personas.reindex(users), before).items()},
                partial(_dealt, experiment),
                day,
                now,
            )
    arms = plots.counts(new or {"none": 0}, "Newly assigned")
    return dg.MaterializeResult(metadata={"assigned": sum(new.values()), "by_experiment": arms})


def plan(experiment: Experiment) -> experiment_records.Plan:
    """What the governance database keeps of an experiment."""
    return experiment_records.Plan(
        experiment.name,
        experiment.canonical,
        experiment.hash,
        experiment.insight,
        experiment.horizon,
        experiment.enrolment_days,
        frozenset(arm.name for arm in experiment.arms if arm.withheld),
        {arm.name: arm.template for arm in experiment.arms if arm.template},
    )


def _dealt(
    experiment: Experiment, strata: Mapping[str, str], before: Mapping[str, int]
) -> Iterable[experiment_records.Place]:
    dealt = deal(experiment, pd.Series(dict(strata)), before)
    return [
        experiment_records.Place(*row) for row in dealt[list(experiment_records.Place._fields)].itertuples(index=False)
    ]


@daily(
    "evaluation",
    {"pandas", "parquet"},
    deps=["features_30d", "features_180d", "recurring_streams", "experiment_assignments"],
)
def experiment_outcomes(context: dg.AssetExecutionContext, governance: Governance, files: Files) -> pd.DataFrame:
    """Each assigned customer's outcomes at 30, 60, 90 and 180 days as far as they were reached, under a pseudonym, with
    arm, stratum and baseline: the rows from which `uplift` can be recomputed. Erased customers are in no row. If states
    other than `measured` are many, look at which dates are stored."""
    day = as_of(context)
    stored = (dt.date.fromisoformat(key) for key in warehouse.partitions(files.warehouse, "features_180d"))
    history = History([one for one in stored if one <= day], lru_cache(maxsize=64)(partial(_stored, files.warehouse)))
    found = []
    with reading(governance.engine) as session:
        for row in experiment_records.registered(session):
            assigned = database_frames.assignments(session, row["name"])
            events = pd.DataFrame(
                experiment_records.events(session, row["name"]), columns=["user_id", "kind", "occurred_at"]
            ).astype({"occurred_at": "datetime64[us, UTC]"})
            pseudonym = partial(experiment_records.pseudonym, row["salt"])
            found.append(outcomes(of_record(row["definition"]), assigned, events, history, day, pseudonym))
    rows = _of_contract("experiment_outcomes", found, day)
    context.add_output_metadata({"states": plots.counts(dict(rows["state"].value_counts()), "Rows by state")})
    return rows


@daily("evaluation", {"pandas", "parquet"})
def uplift(
    context: dg.AssetExecutionContext, governance: Governance, experiment_outcomes: pd.DataFrame
) -> pd.DataFrame:
    """Each arm against its control, with its 95 % interval, or why there is no figure yet: `not_due`, `not_enough`,
    `assignment_broken`. Primary, secondary and subgroup comparisons are each corrected by Holm. The sentences in the
    metadata are what may be said; `spendsense experiments show` has them too."""
    day = as_of(context)
    found, said, faults = [], [], []
    with reading(governance.engine) as session:
        records = experiment_records.registered(session)
        people = {row["name"]: database_frames.assignments(session, row["name"]) for row in records}
    for row in records:
        experiment, everybody = of_record(row["definition"]), people[row["name"]]
        assigned = everybody[everybody["as_of"] <= day]
        rows = experiment_outcomes[experiment_outcomes["experiment"] == row["name"]]
        result = compared(experiment, assigned, rows, row["registered_at"].date(), day)
        found.append(result)
        faults += [f"{row['name']}: {fault}" for fault in assignment_faults(experiment, assigned)]
        primary: list[dict[str, Any]] = result[result["family"] == "primary"].to_dict("records")  # type: ignore[assignment] # its keys are column names
        said += [f"- **{row['name']}**: {summary.sentence(one, experiment)}" for one in primary]
    rows = _of_contract("uplift", found, day)
    context.add_output_metadata(
        {
            "sentences": dg.MetadataValue.md("\n".join(said) or "No experiment was started."),
            "assignment_faults": dg.MetadataValue.md("\n".join(f"- {fault}" for fault in faults) or "none"),
            "intervals": dg.MetadataValue.md(intervals(rows)),
        }
    )
    return rows


def _stored(root: str, table: str, day: dt.date) -> pd.DataFrame:
    return to_frame(warehouse.load(root, table, [day.isoformat()]))


def _of_contract(asset: str, found: list[pd.DataFrame], day: dt.date) -> pd.DataFrame:
    """The rows of all experiments with their date, in the types of the contract, also where there are none."""
    columns = CONTRACTS[asset].columns
    some = [rows for rows in found if len(rows)]
    rows = pd.concat(some, ignore_index=True) if some else pd.DataFrame(columns=list(columns))
    rows["as_of"] = pd.Series([day] * len(rows), dtype=object)
    kinds = {name: column.dtype for name, column in columns.items() if column.dtype != "date"}
    return rows[list(columns)].astype(kinds)


def intervals(rows: pd.DataFrame) -> str:
    """The primary comparisons and their subgroups as a picture: a bar for each interval, zero as a line."""
    drawn = rows[rows["family"].isin(["primary", "subgroup"]) & rows["estimate"].notna()]
    named = drawn.assign(label=drawn["arm"] + (", " + drawn["band"]).where(drawn["band"].notna(), ""))
    return "\n\n".join(
        plots.intervals(
            [(a, b, c, d) for a, b, c, d in some[["label", "low", "estimate", "high"]].to_numpy(object).tolist()],
            f"{some['experiment'].iloc[0]}: {METRICS[some['metric'].iloc[0]].label}, difference from the control with "
            "its 95 % interval",
        )
        for _, some in named.groupby(["experiment", "metric"], sort=False)
    )
