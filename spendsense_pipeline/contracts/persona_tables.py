"""Contract of the persona assignments: the verdict of the rules with everything needed to recompute it."""

import pandas as pd
import pandera.pandas as frame
from pandera.engines.pandas_engine import Date

from spendsense_pipeline.contracts.base import FrameContract, described
from spendsense_pipeline.personas.table import PERSONAS as TABLE

PERSONAS = list(TABLE)
SHARE = {"min_value": 0, "max_value": 1}


class PersonaAssignments(FrameContract):
    """One row per customer for one window."""

    user_id: str = described(frame, "the customer")
    as_of: Date = described(frame, "day of the features")
    window_days: pd.Int64Dtype = described(frame, "window of the features", "days")
    history_days: pd.Int64Dtype = described(frame, "first known row to as_of", "days")
    persona: str = described(frame, "highest priority that matched, else savings_builder", isin=PERSONAS)
    priority: float = described(frame, "orders the personas", "0-1", null="fallback", in_range=SHARE)
    confidence: float = described(frame, "how sure: coverage and distance from thresholds", "0-1", in_range=SHARE)
    is_fallback: pd.BooleanDtype = described(frame, "nothing matched")
    matched: str = described(frame, "JSON list of all personas that matched, best first")
    reasons: str = described(frame, "JSON list of {clause, signal, value, operator, threshold, met}", personal=True)
    rules_version: str = described(frame, "version of the rules' table")

    class Config:
        strict = True
        unique = ["user_id", "window_days"]
