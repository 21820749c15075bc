"""Experiments as commands and pages show them: what the file says, who was assigned, what may be said so far.

Only a difference whose interval leaves out zero, after the correction for the other comparisons, in arms that lost
customers alike, gets a verb of cause, and never without its interval. Does not belong here: any figure (``uplift``).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy.orm import Session

from spendsense_pipeline.experiments.definition import METRICS, Experiment, experiments_in, of_record
from spendsense_pipeline.experiments.statistics import ALPHA
from spendsense_pipeline.experiments.uplift import SMALLEST_SUBGROUP, assignment_faults
from spendsense_pipeline.governance import database_frames, experiment_records


def listing(session: Session, folder: Path, uplift: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Experiments on record, then those that are only files of the ``folder``; ``uplift`` is the newest analysis, None
    before any.

    {name, hypothesis, metric, horizon_days, stop_rule, minimum_size, hash, state (planned, enrolling or ended),
    registered_at, ended_at, file_changed, arms: [{arm, weight, shows, customers}], faults, as_of, sentences (primary
    and subgroups), rows (of uplift)}.
    """
    by_name = {experiment.name: experiment for experiment in experiments_in(folder)}
    found = []
    for row in experiment_records.registered(session):
        experiment = of_record(row["definition"])
        file = by_name.pop(experiment.name, None)
        assigned = database_frames.assignments(session, experiment.name)
        analysed: list[dict[str, Any]] = []
        if uplift is not None:
            analysed = uplift[uplift["experiment"] == experiment.name].to_dict("records")  # type: ignore[assignment]
        worth_saying = [one for one in analysed if one["family"] != "secondary" or shown(one)]
        found.append(
            _described_arms(experiment, assigned["arm"])
            | {
                "state": "ended" if row["ended_at"] else "running",
                "registered_at": row["registered_at"],
                "ended_at": row["ended_at"],
                "file_changed": file is not None and file.hash != row["definition_hash"],
                "faults": assignment_faults(experiment, assigned),
                "as_of": analysed[0]["as_of"] if analysed else None,
                "sentences": [sentence(one, experiment) for one in worth_saying],
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


def shown(row: Mapping[str, Any]) -> bool:
    """Whether the row may be said to show an effect."""
    clear = row["status"] == "measured" and row["p_adjusted"] < ALPHA
    return bool(clear and (row["low"] > 0 or row["high"] < 0))


def sentence(row: Mapping[str, Any], experiment: Experiment) -> str:
    """A row of ``uplift`` in words.

    >>> sentence(row, experiment)
    'text lowered penalty fees by 11 % (3 to 19) over 90 days, compared with nothing: 3,200 and 3,190 customers.'
    """
    metric = METRICS[row["metric"]]
    of = f"{metric.label} over {row['horizon_days']} days, {row['arm']} compared with {row['control']}"
    if row["family"] == "subgroup":
        of += f", {row['dimension'].replace('_', ' ')} {row['band']}"
    if row["status"] == "assignment_broken":
        return f"No figure for {of}: the assignment is broken, see `spendsense experiments show {experiment.name}`."
    if row["status"] == "not_due":
        return f"No figure yet for {of}: its stop rule refuses a look before everybody's horizon has passed."
    if row["status"] == "not_enough":
        needed = experiment.minimum_size if row["family"] != "subgroup" else SMALLEST_SUBGROUP
        return (
            f"Not enough yet for {of}: {row['measured_arm']:,} and {row['measured_control']:,} customers with an "
            f"outcome, {needed} an arm are needed."
        )
    sizes = f"{row['measured_arm']:,} and {row['measured_control']:,} customers"
    if not shown(row):
        low, high = (_amount(row[end], metric.unit, sign=True) for end in ("low", "high"))
        lost = " The arms lost customers unequally, so nothing follows from it." if row["status"] != "measured" else ""
        return f"No difference shown in {of}: between {low} and {high}; {sizes}.{lost}"
    verb = "lowered" if row["estimate"] < 0 else "raised"
    where = f" ({of.rsplit(', ', 1)[1]})" if row["family"] == "subgroup" else ""
    return (
        f"{row['arm']} {verb} {metric.label} by {_size(row, metric.unit)} over {row['horizon_days']} days, compared "
        f"with {row['control']}{where}: {sizes}."
    )


def _size(row: Mapping[str, Any], unit: str) -> str:
    """The effect with its interval, both without sign: the verb has it. Per cent where the control's mean is known."""
    if not math.isnan(row["relative"]) and row["relative_low"] * row["relative_high"] > 0:
        low, high = sorted(abs(row[end]) * 100 for end in ("relative_low", "relative_high"))
        return f"{abs(row['relative']) * 100:.0f} % ({low:.0f} to {high:.0f})"
    low, high = sorted(abs(row[end]) for end in ("low", "high"))
    return f"{_amount(abs(row['estimate']), unit)} ({_amount(low, unit)} to {_amount(high, unit)})"


def _amount(value: float, unit: str, *, sign: bool = False) -> str:
    form = "+,.2f" if sign else ",.2f"
    if unit == "fraction":
        return f"{value * 100:{form}} percentage points"
    return f"{value:{form}}" + ("" if unit == "money" else f" {unit}")
