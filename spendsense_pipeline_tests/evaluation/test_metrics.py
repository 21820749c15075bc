"""The metrics: what each counts, that it can be recomputed, and that nothing to measure is not zero."""

import datetime as dt
import json
from typing import Any

import pandas as pd
import pytest

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.evaluation.metrics import evaluation_metrics, explained, verified
from spendsense_pipeline.personas.table import PERSONAS
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
        "offer_share": 1 / 2,
        "offer_eligibility_rate": 1 / 2,
        "education_to_offer_ratio": 1,
        "operator_agreement": 1 / 3,  # an undone decision does not count, nor the one before it
        "override_rate": 1 / 3,
        "rejection_rate": 1 / 3,
        "hours_to_decision_avg": 4,
        "hours_to_decision_median": 4,
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
    empty["borne_out"] = []
    empty["decisions"] = pd.DataFrame(columns=[*day["decisions"]])
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
        {"content": "It stood at 86% of its limit."},
        {"title": "A card at 85% and twice as dear"},
        {"slots": "{}"},
        {"slots": None},
        {"signals": None},
        {"signals": json.dumps({"features": {"30": {"max_utilization": 0.61}}, "streams": []})},
    ],
)
def test_one_broken_link_is_enough_to_leave_a_release_unproven(broken: dict[str, Any]):
    releases = pd.DataFrame([release("1", "a"), release("2", "a", **broken)])
    assert list(verified(releases)) == [True, False]


@pytest.mark.parametrize(
    ("content", "shown", "proven"),
    [
        ("It stood at 41% of its limit.", "41%", True),
        ("It stood at 41% of its limit.", "42%", False),
        ("It stood at 411% of its limit.", "41%", False),
        ("It stood at 41% of its limit, 2 times.", "41%", False),
    ],
)
def test_a_wording_proven_before_proves_no_other_figure(content: str, shown: str, proven: bool):
    slots = {"max_utilization": {"signal": "max_utilization", "value": 0.41, "shown": shown}}
    signals = {"features": {"30": {"max_utilization": 0.41}}, "streams": []}
    other = {"content": content, "rationale": "A card.", "slots": json.dumps(slots), "signals": json.dumps(signals)}
    known = release("1", "a", rationale="A card.")
    assert list(verified(pd.DataFrame([known, release("2", "b", **other)]))) == [True, proven]


def test_figures_side_by_side_are_proven_each_time():
    signals = json.dumps({"features": {}, "streams": []})
    window = {"signal": "window_days", "value": "last 30 days", "shown": "last 30 days"}
    releases = []
    for interest in ("$8", "CZK 8"):
        slots = {"window": window, "interest_charges": {"signal": "interest_charges", "value": 8.0, "shown": interest}}
        words = {"content": f"Of the last 30 days{interest}.", "rationale": "A card.", "slots": json.dumps(slots)}
        releases.append(release(interest, "a", signals=signals, **words))
    assert list(verified(pd.DataFrame(releases))) == [True, False]


def test_a_consent_that_ended_after_the_release_still_bears_it_out():
    assert list(verified(pd.DataFrame([release("1", "a", consent_closed_at=NOON + HOUR)]))) == [True]


def test_a_figure_that_is_computed_from_signals_is_taken_as_stored():
    slots = {"interest_yearly": {"signal": "interest_charges", "value": 240.0, "shown": "$240"}}
    signals = {"features": {"30": {"interest_charges": 20.0}}, "streams": []}
    row = release("1", "a", content="About $240 a year.", rationale="A card.", slots=json.dumps(slots),
                  signals=json.dumps(signals))  # fmt: skip
    assert list(verified(pd.DataFrame([row]))) == [True]


def test_a_slot_that_keeps_six_decimals_of_its_signal_agrees_with_it():
    signals = {"features": {"30": {"max_utilization": 0.85300049}}, "streams": []}
    assert list(verified(pd.DataFrame([release("1", "a", signals=json.dumps(signals))]))) == [True]


def rates(day: dict[str, Any], measure: str, dimension: str) -> dict[str, tuple[float, float]]:
    rows = evaluation_metrics(**day)
    rows = rows[(rows["measure"] == measure) & (rows["dimension"] == dimension)]
    return {row["band"]: (row["numerator"], row["denominator"]) for row in rows.to_dict("records")}


def test_rates_by_group_come_with_their_counts(day: dict[str, Any]):
    incomes = {"a": 1999.99, "b": 2000.0, "c": None, "d": 9000.0}
    day["features_180d"] = features(180, {user: {"avg_monthly_income": income} for user, income in incomes.items()})
    day["features_180d"].loc[day["features_180d"]["user_id"] == "d", "history_days"] = 59
    assert rates(day, "persona_rate_high_utilization", "income_band") == {
        "under 2000": (1, 1), "2000 to 4000": (0, 1), "4000 to 8000": (0, 0), "8000 or more": (0, 1), "unknown": (0, 1),
    }  # fmt: skip
    assert rates(day, "persona_rate_fallback", "income_band")["unknown"] == (1, 1)
    assert rates(day, "offer_rate", "income_band")["under 2000"] == (1, 1)  # only a agreed to offers
    assert rates(day, "offer_rate", "income_band")["2000 to 4000"] == (0, 0)
    assert rates(day, "rejection_rate", "income_band")["2000 to 4000"] == (1, 1)
    assert rates(day, "rejection_rate", "income_band")["under 2000"] == (0, 2)
    assert rates(day, "persona_rate_savings_builder", "history_band") == {
        "under 60 days": (1, 1), "60 to 179 days": (0, 0), "180 to 364 days": (0, 0), "365 or more": (0, 3),
    }  # fmt: skip


def test_income_bands_are_dollars(day: dict[str, Any]):
    day["features_180d"] = features(180, {user: {"avg_monthly_income": 30_000.0} for user in "abcd"})
    day["features_180d"]["currency_factor"] = 20.0  # crowns
    assert rates(day, "persona_rate_fallback", "income_band")["under 2000"] == (1, 4)


def test_every_customer_is_in_one_band_of_each_dimension(day: dict[str, Any]):
    for dimension in ("income_band", "history_band"):
        cells = [rates(day, f"persona_rate_{name}", dimension) for name in (*PERSONAS, "fallback")]
        assert sum(above for cell in cells for above, _ in cell.values()) == 4
        assert sum(below for _, below in cells[0].values()) == 4
