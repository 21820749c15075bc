"""What an experiment found: each arm against the control, with its interval, or why there is no figure yet.

Belongs here: which comparisons are made, when they may be looked at, which family of comparisons each is in. Does not
belong here: the estimate itself (``statistics``) and the words about it (``summary``).
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from spendsense_pipeline.experiments import statistics
from spendsense_pipeline.experiments.arms import arm_at
from spendsense_pipeline.experiments.definition import HORIZONS, METRICS, Experiment
from spendsense_pipeline.experiments.outcomes import MEASURED, NOT_SHOWN

SMALLEST_SUBGROUP: Final = 30
"""Customers an arm below which a subgroup gets no figure: fewer, and a mean is far from normal."""
LOSS_ALARM: Final = 0.01
"""Arms that lose customers this unlikely differently are not comparable any more; nothing causal is said."""
DIMENSIONS: Final = ("persona", "income_band", "history_band")
COLUMNS: Final = (
    *("experiment", "metric", "horizon_days", "arm", "control", "dimension", "band", "family", "status"),
    *("assigned_arm", "assigned_control", "measured_arm", "measured_control", "mean_control", "estimate"),
    *("low", "high", "relative", "relative_low", "relative_high", "p", "p_adjusted"),
)
_FIGURES: Final = COLUMNS[13:]


def assignment_faults(experiment: Experiment, assigned: pd.DataFrame) -> list[str]:
    """What is wrong with who got which arm (``assigned``: arm, stratum, ordinal); empty where all is as dealt.

    Each arm is recomputed from seed, stratum and place, and the arms' sizes are held against their weights.
    """
    faults = []
    other = sum(
        arm_at(experiment, stratum, ordinal) != arm
        for stratum, ordinal, arm in assigned[["stratum", "ordinal", "arm"]].to_numpy(object).tolist()
    )
    if other:
        faults.append(f"{other} of {len(assigned)} customers have another arm than their place gives")
    counts = assigned["arm"].value_counts()
    sizes = [int(counts.get(arm.name, 0)) for arm in experiment.arms]
    if (p := statistics.sample_ratio(sizes, [arm.weight for arm in experiment.arms])) < statistics.RATIO_ALARM:
        said = ", ".join(f"{arm.name} {size}" for arm, size in zip(experiment.arms, sizes, strict=True))
        faults.append(f"sample ratio mismatch ({said}; p = {p:.1g})")
    return faults


def uplift(
    experiment: Experiment, assigned: pd.DataFrame, outcomes: pd.DataFrame, registered_on: dt.date, as_of: dt.date
) -> pd.DataFrame:
    """Every comparison of the experiment (``COLUMNS``; contract Uplift without its date).

    ``assigned`` is the arm, stratum and ordinal of everybody assigned up to ``as_of``; ``outcomes`` as from
    ``outcomes.outcomes``. The registered metric and horizon are the primary family; other metrics and horizons the
    secondary one; persona and fairness bands, of the primary figure, the third. Holm corrects within each.
    """
    broken = bool(assignment_faults(experiment, assigned))
    closed = as_of >= registered_on + dt.timedelta(days=experiment.enrolment_days)
    rows = []
    for question in _questions(experiment, outcomes):
        reached = (outcomes["metric"] == question["metric"]) & (outcomes["horizon_days"] == question["horizon_days"])
        everybody = closed and int(reached.sum()) >= len(assigned)
        rows.append(_compared(experiment, assigned, outcomes, question, everybody=everybody, broken=broken))
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    for _, family in found[found["p"].notna()].groupby("family"):
        found.loc[family.index, "p_adjusted"] = statistics.holm(family["p"].tolist())
    return found


def _questions(experiment: Experiment, outcomes: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for arm in (arm for arm in experiment.arms if arm.name != experiment.control):
        blind = arm.withheld or experiment.arm(experiment.control).withheld
        said = {"experiment": experiment.name, "arm": arm.name, "control": experiment.control}
        for metric in METRICS.values():
            for horizon in HORIZONS if not (metric.of_texts and blind) else ():
                primary = (metric.name, horizon) == (experiment.metric, experiment.horizon)
                family = "primary" if primary else "secondary"
                about = {"metric": metric.name, "horizon_days": horizon}
                yield {**said, **about, "dimension": None, "band": None, "family": family}
                for dimension in DIMENSIONS if primary else ():
                    for band in sorted(set(outcomes[dimension])):
                        yield {**said, **about, "dimension": dimension, "band": band, "family": "subgroup"}


def _compared(
    experiment: Experiment,
    assigned: pd.DataFrame,
    outcomes: pd.DataFrame,
    question: dict[str, Any],
    *,
    everybody: bool,
    broken: bool,
) -> dict[str, Any]:
    arms = [question["arm"], question["control"]]
    wanted = (
        (outcomes["metric"] == question["metric"])
        & (outcomes["horizon_days"] == question["horizon_days"])
        & outcomes["arm"].isin(arms)
        & (outcomes["state"] != NOT_SHOWN)
    )
    if question["dimension"]:
        wanted &= outcomes[question["dimension"]] == question["band"]
    rows = outcomes[wanted]
    seen = rows[rows["state"] == MEASURED]
    of_all = assigned if question["dimension"] is None else rows
    sizes = [[int((frame["arm"] == arm).sum()) for arm in arms] for frame in (of_all, seen, rows)]
    least = experiment.minimum_size if question["dimension"] is None else SMALLEST_SUBGROUP
    row = {
        **question,
        **dict(zip(("assigned_arm", "assigned_control"), sizes[0], strict=True)),
        **dict(zip(("measured_arm", "measured_control"), sizes[1], strict=True)),
        **dict.fromkeys(_FIGURES, np.nan),
    }
    if broken:
        return row | {"status": "assignment_broken"}
    if experiment.stop_rule == "horizon" and not everybody:
        return row | {"status": "not_due"}
    found = None
    if min(sizes[1]) >= least:
        found = statistics.difference(
            (seen["arm"] == arms[0]).to_numpy(),
            seen["value"].to_numpy(dtype=float),
            seen["baseline"].to_numpy(dtype=float),
            pd.factorize(seen["stratum"])[0].astype(np.int64),
            planned=experiment.planned if experiment.stop_rule == "always_valid" else None,
        )
    if found is None:
        return row | {"status": "not_enough"}
    lost = [(due - measured, due) for due, measured in zip(sizes[2], sizes[1], strict=True)]
    unequal = statistics.same_share(*lost) < LOSS_ALARM
    figures = {name: getattr(found, name) for name in _FIGURES if name != "p_adjusted"}
    return row | figures | {"status": "unequal_loss" if unequal else "measured"}
