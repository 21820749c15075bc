"""Contract of the day's metrics."""

import pandera.pandas as frame
from pandera.engines.pandas_engine import Date

from spendsense_pipeline.contracts.base import FrameContract, described


class EvaluationMetrics(FrameContract):
    """One row per metric; each is a ratio or a count that can be recomputed from the tables."""

    as_of: Date = described(frame, "day")
    metric: str = described(frame, "name")
    value: float = described(frame, "the figure", null="nothing to measure")
    numerator: float = described(frame, "above the line", null="not a ratio")
    denominator: float = described(frame, "below the line", null="not a ratio")
    measure: str = described(frame, "what is compared between groups", null="of everybody")
    dimension: str = described(frame, "by what they are told apart: income_band or history_band", null="of everybody")
    band: str = described(frame, "the group", null="of everybody")
    definition: str = described(frame, "what it says, in one sentence")

    class Config:
        strict = True
        unique = ["metric"]
