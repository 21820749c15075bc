"""Contracts of what experiments measure: each customer's outcomes, and the arms compared."""

import pandas as pd
import pandera.pandas as frame
from pandera.engines.pandas_engine import Date

from spendsense_pipeline.contracts.base import FrameContract, described


class ExperimentOutcomes(FrameContract):
    """One row per experiment, customer, metric and horizon that was reached: what an auditor recomputes from."""

    as_of: Date = described(frame, "day of the analysis")
    experiment: str = described(frame, "the experiment")
    pseudonym: str = described(frame, "the customer, by a keyed hash of this experiment", str_startswith="sub_")
    arm: str = described(frame, "the arm that the customer was dealt, whatever was shown")
    stratum: str = described(frame, "persona and third of the baseline at assignment")
    ordinal: pd.Int64Dtype = described(frame, "place in the stratum, from which the arm can be recomputed", ge=0)
    assigned_on: Date = described(frame, "day of the figures at assignment")
    persona: str = described(frame, "persona at assignment")
    income_band: str = described(frame, "earned income at assignment, in bands")
    history_band: str = described(frame, "length of history at assignment, in bands")
    metric: str = described(frame, "what is measured (docs/experiments.md)")
    horizon_days: pd.Int64Dtype = described(frame, "after assignment", "days", isin=[30, 60, 90, 180])
    baseline: float = described(frame, "the metric before, in its unit", null="unknown, or the metric has none")
    value: float = described(frame, "the metric at the horizon, in its unit", null="not measured, see state")
    state: str = described(
        frame,
        "measured; left the bank; figure unknown; no table stored at the horizon; not shown, so no event is possible",
        isin=["measured", "left", "unknown", "no_table", "not_shown"],
    )

    class Config:
        strict = True
        unique = ["experiment", "pseudonym", "metric", "horizon_days"]


class Uplift(FrameContract):
    """One row per comparison of an arm with the control; figures are null until they may be looked at."""

    as_of: Date = described(frame, "day of the analysis")
    experiment: str = described(frame, "the experiment")
    metric: str = described(frame, "what is compared")
    horizon_days: pd.Int64Dtype = described(frame, "after assignment", "days")
    arm: str = described(frame, "the arm")
    control: str = described(frame, "the arm it is compared with")
    dimension: str = described(frame, "persona, income_band or history_band", null="of everybody")
    band: str = described(frame, "the subgroup", null="of everybody")
    family: str = described(frame, "comparisons that Holm corrects together", isin=["primary", "secondary", "subgroup"])
    status: str = described(
        frame,
        "measured; measured with unequal loss; not due; not enough customers; assignment broken",
        isin=["measured", "unequal_loss", "not_due", "not_enough", "assignment_broken"],
    )
    assigned_arm: pd.Int64Dtype = described(
        frame, "dealt to the arm; of a subgroup, those whose horizon was reached", "customers", ge=0
    )
    assigned_control: pd.Int64Dtype = described(frame, "the same of the control", "customers", ge=0)
    measured_arm: pd.Int64Dtype = described(frame, "of them with an outcome", "customers", ge=0)
    measured_control: pd.Int64Dtype = described(frame, "the same of the control", "customers", ge=0)
    mean_control: float = described(frame, "the control's adjusted mean, in the metric's unit", null="no figure yet")
    estimate: float = described(frame, "arm less control, adjusted, in the metric's unit", null="no figure yet")
    low: float = described(frame, "lower end of its 95 % interval", null="no figure yet")
    high: float = described(frame, "upper end", null="no figure yet")
    relative: float = described(
        frame, "estimate by the control's mean", "fraction", null="no figure, or the mean is not surely above 0"
    )
    relative_low: float = described(frame, "lower end of its 95 % interval", "fraction", null="as relative")
    relative_high: float = described(frame, "upper end", "fraction", null="as relative")
    p: float = described(
        frame, "of no difference, two-sided", null="no figure yet", in_range={"min_value": 0, "max_value": 1}
    )
    p_adjusted: float = described(
        frame, "by Holm within the family", null="no figure yet", in_range={"min_value": 0, "max_value": 1}
    )

    class Config:
        strict = True
        unique = ["experiment", "metric", "horizon_days", "arm", "dimension", "band"]
