"""Contracts of the day's metrics, and of how well the detectors find what was planted."""

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


class SignalAccuracy(FrameContract):
    """One row per measure and group of customers whose behaviour is known, because it was generated."""

    as_of: Date = described(frame, "day")
    batch: str = described(frame, "the landed batch whose truth.json was compared")
    measure: str = described(
        frame,
        "stream_precision, stream_recall, subscriptions_that_are_none (for each customer), false_subscriptions (a "
        "count), pay_frequency, regular_income, spending, persona, or what was mistaken for what (…_confusion)",
    )
    of: str = described(frame, "all, or the kind, cadence, frequency, persona or habit it is of")
    value: float = described(frame, "the share of right ones, or the count", null="nothing to measure")
    numerator: float = described(frame, "above the line", null="a count")
    denominator: float = described(frame, "below the line", null="a count")

    class Config:
        strict = True
        unique = ["batch", "measure", "of"]
