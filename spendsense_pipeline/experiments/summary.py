"""Experiments as commands and pages show them: what the file says, who was assigned, what may be said so far.

Belongs here: putting the record beside the newest analysis. Does not belong here: any new figure.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy.orm import Session

from spendsense_pipeline.experiments import sentences
from spendsense_pipeline.experiments.definition import Experiment, of_record
from spendsense_pipeline.experiments.uplift import assignment_faults
from spendsense_pipeline.governance import database_frames, experiment_records


def listing(session: Session, files: Sequence[Experiment], uplift: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Experiments on record, then those that are only files; ``uplift`` is the newest analysis, None before any.

    {name, hypothesis, metric, horizon_days, stop_rule, minimum_size, hash, state (planned, enrolling or ended),
    registered_at, ended_at, file_changed, arms: [{arm, weight, shows, customers}], faults, as_of, sentences (primary
    and subgroups), rows (of uplift)}.
    """
    by_name = {experiment.name: experiment for experiment in files}
    found = []
    for row in experiment_records.registered(session):
        experiment = of_record(row["definition"])
        file = by_name.pop(experiment.name, None)
        assigned = database_frames.assignments(session, experiment.name)
        analysed = _uplift_rows(uplift, experiment.name)
        told = [one for one in analysed if one["family"] != "secondary" or sentences.shown(one)]
        found.append(
            _described_arms(experiment, assigned["arm"])
            | {
                "state": "ended" if row["ended_at"] else "running",
                "registered_at": row["registered_at"],
                "ended_at": row["ended_at"],
                "file_changed": file is not None and file.hash != row["definition_hash"],
                "faults": assignment_faults(experiment, assigned),
                "as_of": analysed[0]["as_of"] if analysed else None,
                "sentences": [sentences.sentence(one, experiment) for one in told],
                "rows": analysed,
            }
        )
    nothing: dict[str, Any] = {"state": "planned", "registered_at": None, "ended_at": None, "file_changed": False}
    nothing |= {"faults": [], "as_of": None, "sentences": [], "rows": []}
    return found + [_described_arms(experiment, pd.Series(dtype=str)) | nothing for experiment in by_name.values()]


def _described_arms(experiment: Experiment, dealt: pd.Series) -> dict[str, Any]:
    said = experiment.model_dump(include={"name", "hypothesis", "metric", "stop_rule", "minimum_size", "insight"})
    customers = dealt.value_counts()
    arms = [
        {
            "arm": arm.name,
            "weight": arm.weight,
            "shows": "nothing" if arm.withheld else arm.template or "the usual",
            "customers": int(customers.get(arm.name, 0)),
        }
        for arm in experiment.arms
    ]
    return {**said, "horizon_days": experiment.horizon, "hash": experiment.hash, "arms": arms}


def _uplift_rows(uplift: pd.DataFrame | None, name: str) -> list[dict[str, Any]]:
    if uplift is None:
        return []
    rows: list[dict[str, Any]] = uplift[uplift["experiment"] == name].to_dict("records")  # type: ignore[assignment]
    return rows
