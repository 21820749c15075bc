"""Contracts of what a customer's money says now: insights, and the forecast of the checking balance."""

import ibis.expr.datatypes as types
import pandera.ibis as engine

from spendsense_pipeline.contracts.base import EngineContract, described

TOPICS = ["bills", "recurring", "income", "debt", "cushion", "spending"]
SEVERITIES = ["urgent", "notable", "good"]


class Insights(EngineContract):
    """One row per customer and insight that holds on the date; of several happenings the largest."""

    insight_id: types.String = described(engine, "the happening; the same from day to day", str_startswith="ins_")
    user_id: types.String = described(engine, "the customer")
    as_of: types.Date = described(engine, "day it was found on")
    insight: types.String = described(engine, "which one (docs/insights.md)")
    topic: types.String = described(engine, "what a customer can switch off", isin=TOPICS)
    severity: types.String = described(engine, "how urgent", isin=SEVERITIES)
    happened_on: types.Date = described(engine, "day it happened, or is expected to")
    expires_on: types.Date = described(engine, "last day on which it is worth saying")
    detail: types.String = described(engine, "which case of the insight", null="it has no cases")
    evidence: types.String = described(
        engine, "JSON: ids of the streams, transactions and accounts it rests on", personal=True
    )
    figures: types.String = described(engine, "JSON: figure to value, of those that are known", personal=True)
    confidence: types.Float64 = described(
        engine, "share of recent rows that are explained", "0-1", in_range={"min_value": 0, "max_value": 1}
    )

    class Config:
        strict = True
        unique = ["user_id", "insight"]


class BalanceForecast(EngineContract):
    """One row per customer with a known checking balance: what it is expected to be in the next 30 days."""

    user_id: types.String = described(engine, "the customer")
    as_of: types.Date = described(engine, "day of the forecast; its first day is the next one")
    balance: types.Float64 = described(engine, "all checking accounts together", "money")
    balance_date: types.Date = described(engine, "day of the oldest of these balances")
    next_payday: types.Date = described(engine, "next expected payday", null="none is known")
    expected: types.String = described(
        engine, "JSON list of 30 balances, day by day", "money", null="no history", personal=True
    )
    low: types.String = described(
        engine, "JSON list of the lower ends of the 80 % interval", "money", null="history below 56 days", personal=True
    )
    high: types.String = described(engine, "JSON list of the upper ends", "money", null="as low", personal=True)

    class Config:
        strict = True
        unique = ["user_id"]
