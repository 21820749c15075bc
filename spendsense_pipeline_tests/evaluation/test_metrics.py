"""The metrics: what each counts, that it can be recomputed, and that nothing to measure is not zero."""

import datetime as dt
import json
from typing import Any

import pandas as pd
import pytest

from spendsense_pipeline.contracts import CONTRACTS, failures
from spendsense_pipeline.evaluation.metrics import RELEASE_COLUMNS, evaluation_metrics, explained, verified
from spendsense_pipeline_tests.evaluation.conftest import NOON, draft, features, release


def measured(day: dict[str, Any]) -> pd.DataFrame:
    return evaluation_metrics(**day).set_index("metric")


def test_the_day_measures_what_its_tables_say(day: dict[str, Any]):
    rows = measured(day)
    figures = {
        "customers": 4,
        "customers_with_consent": 3,  # two scopes of one customer are one, a customer who left is none
        "coverage": 2 / 3,  # b by the 180-day persona; c is a fallback in both, d did not consent
        "explainability": 1,
        "auditability": 1,
        "offer_eligibility_rate": 1 / 2,
        "education_to_offer_ratio": 1,
        "operator_agreement": 1 / 3,  # an undone decision does not count, nor the one before it
        "override_rate": 1 / 3,
        "rejection_rate": 1 / 3,
        "hours_to_decision_avg": 4,
        "persona_30d_high_utilization": 1,
        "persona_30d_savings_builder": 1,
        "persona_30d_fallback": 2,
        "persona_180d_variable_income": 1,
        "persona_180d_wealth_builder": 0,
    }
    assert rows.loc[list(figures), "value"].to_dict() == pytest.approx(figures)
    ratios = rows[rows["denominator"].gt(0)]
    assert (ratios["value"] - ratios["numerator"] / ratios["denominator"]).abs().max() < 1e-12


def test_the_frame_keeps_its_contract_and_defines_every_metric(day: dict[str, Any]):
    rows = evaluation_metrics(**day)
    assert failures(CONTRACTS["evaluation_metrics"], rows).empty
    assert rows["definition"].str.len().gt(10).all()


def test_a_day_without_anybody_has_the_same_rows_and_no_ratio(day: dict[str, Any]):
    empty = {name: value.iloc[:0] if isinstance(value, pd.DataFrame) else value for name, value in day.items()}
    empty["releases"] = pd.DataFrame(columns=list(RELEASE_COLUMNS))
    empty["decisions"] = pd.DataFrame(columns=["recommendation_id", "ordinal", "action", "decided_at", "registered_at"])
    rows = evaluation_metrics(**empty)
    assert list(rows["metric"]) == list(evaluation_metrics(**day)["metric"])
    assert rows.set_index("metric").loc["coverage":"hours_to_decision_avg", "value"].isna().all()
    assert failures(CONTRACTS["evaluation_metrics"], rows).empty


def test_a_customer_of_whom_too_little_is_known_is_not_covered(day: dict[str, Any]):
    two = {"total_spend": 900.0, "max_utilization": 0.85}
    day["features_30d"] = features(30, {"a": two, "b": {}, "c": {}, "d": {}})
    assert measured(day).loc["coverage", "numerator"] == 1  # b's 180 days


def test_latency_is_the_models_and_each_template_counts_once(day: dict[str, Any]):
    assert measured(day).loc[["latency_ms_avg", "latency_ms_p95"], "value"].isna().all()
    day["templates"] = pd.DataFrame(
        {"template_id": ["t1", "t1", "t2", "t3"], "generation_ms": [900.0, 900.0, 100.0, None]}
    )
    assert measured(day).loc["latency_ms_avg", "value"] == 500
    assert measured(day).loc["latency_ms_p95", "value"] == pytest.approx(860)


@pytest.mark.parametrize(
    ("given", "grounded"),
    [
        ({}, True),
        ({"rationale": "You see this because a card is close to its limit.", "slots": "{}"}, True),
        ({"rationale": "  "}, False),
        ({"rationale": "You see this because a card balance was at 86% of its limit."}, False),
        ({"slots": "{}"}, False),
        ({"slots": json.dumps({"x": {"signal": "x", "value": 85, "shown": "$85"}})}, False),
    ],
)
def test_a_rationale_is_explained_when_every_figure_is_a_slots(given: dict[str, Any], grounded: bool):
    assert list(explained(pd.DataFrame([draft("1", "a", **given)]))) == [grounded]


HOUR = dt.timedelta(hours=1)


@pytest.mark.parametrize(
    "broken",
    [
        {"text_hash": "x" * 64},
        {"decision_hash": "x" * 64},
        {"text_hash": None},
        {"decision_recommendation_id": "rec_other"},
        {"decision_action": "reject"},
        {"decided_at": NOON + HOUR},
        {"decided_at": pd.NaT},
        {"consent_user_id": "b"},
        {"consent_user_id": None},
        {"consent_scope": "partner_offers"},
        {"content_type": "partner_offer"},
        {"consent_opened_at": NOON + HOUR},
        {"consent_closed_at": NOON},
        {"consent_closed_at": NOON - HOUR},
    ],
)
def test_one_broken_link_is_enough_to_leave_a_release_unproven(broken: dict[str, Any]):
    releases = pd.DataFrame([release("1", "a"), release("2", "a", **broken)])
    assert list(verified(releases)) == [True, False]


def test_a_consent_that_ended_after_the_release_still_bears_it_out():
    assert list(verified(pd.DataFrame([release("1", "a", consent_closed_at=NOON + HOUR)]))) == [True]
