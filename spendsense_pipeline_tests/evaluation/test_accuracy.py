"""Measures of the detectors: what is right, what is wrong, and that a name may be spelled in many ways."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from benchmarks import accuracy as report
from spendsense_pipeline import synthetic
from spendsense_pipeline.evaluation import accuracy
from spendsense_pipeline_tests.conftest import BATCH, DAY, USERS, Pipeline

STREAM = {"kind": "subscription", "cadence": "monthly", "occurrences": 6, "status": "mature"}


def streams(*found: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([STREAM | {"user_id": "u"} | one for one in found])


def known(*plants: dict[str, Any], **habits: list[str]) -> dict[str, Any]:
    plan = {"kind": "subscription", "cadence": "monthly"}
    users = {"u": {"persona": "savings_builder", "pay_frequency": "weekly", "streams": [plan | one for one in plants]}}
    return {"seed": 1, "as_of": DAY.isoformat(), "users": users, "habits": habits}


def told(frame: pd.DataFrame) -> dict[tuple[str, str], float]:
    return {(row.measure, row.of): row.value for row in frame.itertuples()}


def test_a_planted_stream_is_found_under_any_spelling_and_price_of_a_plan() -> None:
    plants = accuracy.planted(known({"merchant": "Netflix", "amount": -17.99}, {"merchant": "Hulu", "amount": -9.99}))
    found = streams(
        {"merchant": "Netflix San Francisco Ca", "typical_amount": -15.49},
        {"merchant": "Paypal Hulu", "typical_amount": -9.99},
    )
    assert set(told(accuracy.stream_accuracy(found, plants)).values()) == {1.0}


def test_another_kind_cadence_customer_or_direction_is_wrong_on_both_sides() -> None:
    plants = accuracy.planted(known({"merchant": "Gym", "amount": -30.0}))
    for wrong in ({"kind": "bill"}, {"cadence": "quarterly"}, {"user_id": "v"}, {"typical_amount": 30.0}):
        measured = told(accuracy.stream_accuracy(streams({"merchant": "Gym", "typical_amount": -30.0} | wrong), plants))
        assert measured["stream_precision", "all"] == measured["stream_recall", "all"] == 0, wrong


def test_each_planted_stream_is_found_once_and_the_nearer_amount_first() -> None:
    plants = accuracy.planted(known({"merchant": "Apple", "amount": -2.99}, {"merchant": "Apple", "amount": -3.99}))
    found = streams(*({"merchant": "Apple", "typical_amount": -amount} for amount in (3.99, 2.99, 2.5)))
    pairs = accuracy.matched(found, plants)
    assert sorted(zip(pairs["stream"], pairs["plant"], strict=True)) == [(0, 1), (1, 0)]
    assert told(accuracy.stream_accuracy(found, plants))["stream_precision", "all"] == pytest.approx(2 / 3)


def test_a_young_stream_is_no_error_but_an_invented_one_is() -> None:
    plants = accuracy.planted(known({"merchant": "Gym", "amount": -30.0}))
    found = streams(
        {"merchant": "Gym", "typical_amount": -30.0},
        {"merchant": "New", "typical_amount": -5.0, "occurrences": 2},
        {"merchant": "Shop", "typical_amount": -5.0, "occurrences": 3},
        {"merchant": "Domain", "typical_amount": -5.0, "occurrences": 2, "cadence": "annual"},
    )
    measured = told(accuracy.stream_accuracy(found, plants))
    assert measured["stream_precision", "all"] == pytest.approx(1 / 3)
    assert measured["stream_recall", "all"] == 1


def test_subscriptions_at_payees_of_habit_are_counted() -> None:
    found = streams({"merchant": "Kroger 0042", "typical_amount": -5.0}, {"merchant": "Netflix", "typical_amount": -5})
    measured = told(accuracy.false_subscriptions(found, {"groceries": ["Kroger"], "coffee": ["Dunkin"]}))
    assert (measured["false_subscriptions", "groceries"], measured["false_subscriptions", "coffee"]) == (1, 0)


def test_pay_frequency_and_persona_say_what_is_taken_for_what() -> None:
    truth = known()
    truth["users"]["v"] = {"persona": "variable_income", "pay_frequency": "irregular", "streams": []}
    features = pd.DataFrame({"user_id": ["u", "v"], "pay_frequency": ["weekly", None]})
    measured = told(accuracy.pay_frequency_confusion(features, truth))
    assert measured["pay_frequency", "all"] == 0.5
    assert measured["pay_frequency_confusion", "irregular → unknown"] == 1
    personas = pd.DataFrame(
        {"user_id": ["u", "v"], "persona": ["savings_builder", "variable_income"], "is_fallback": [True, False]}
    )
    measured = told(accuracy.persona_recovery(personas, personas, truth))
    assert measured["persona", "all"] == 0.5  # a fallback's savings_builder was not recovered
    assert measured["persona_confusion", "savings_builder → fallback"] == 1


RAW = {
    "merchant": "Thames Water", "printed": "THAMES WATER", "amount": -31.0, "kind": "bill", "well_known": True,
    "first_date": "2026-01-05", "last_date": "2026-06-05",
}  # fmt: skip
SEEN = {"kind": "bill", "typical_amount": -31.0, "first_date": dt.date(2026, 1, 5), "last_date": dt.date(2026, 6, 5)}


def pairs(detected: dict[str, Any], plant: dict[str, Any]) -> int:
    return len(accuracy.matched(streams(SEEN | detected), accuracy.planted(known(RAW | plant))))


def test_a_raw_stream_is_matched_by_a_word_of_its_name_or_by_its_calendar() -> None:
    day = dt.timedelta(days=1)
    assert pairs({"merchant": "Water Thames Ref 12"}, {}) == 1
    assert pairs({"merchant": "Water", "typical_amount": -40.0}, {}) == 1
    assert pairs({"merchant": "Ddr 0012"}, {}) == 1  # no word is left: the same price on the same days
    for at_the_edge, beyond in (
        ({"typical_amount": -31.0 * 1.05 + 0.001}, {"typical_amount": -31.0 * 1.06}),
        ({"last_date": dt.date(2026, 6, 5) + 5 * day}, {"last_date": dt.date(2026, 6, 5) + 6 * day}),
        ({"first_date": dt.date(2026, 1, 5) + 5 * day}, {"first_date": dt.date(2026, 1, 5) + 6 * day}),
    ):
        assert pairs({"merchant": "Ddr 0012"} | at_the_edge, {}) == 1, at_the_edge
        assert pairs({"merchant": "Ddr 0012"} | beyond, {}) == 0, beyond


def test_no_stream_is_matched_across_spans_numbers_or_directions() -> None:
    later = {"first_date": dt.date(2026, 7, 5), "last_date": dt.date(2026, 9, 5)}
    assert pairs({"merchant": "Thames Water"} | later, {}) == 0
    number = {"merchant": "Pay 123456", "typical_amount": -40.0}
    assert pairs(number, {"merchant": "Loan 123456", "printed": "LOAN 123456"}) == 0
    assert pairs({"merchant": "Thames Water", "typical_amount": 31.0}, {}) == 0
    # Without dates in the truth, as in the tidy settings, only whole names count.
    undated = {"first_date": None, "last_date": None}
    assert pairs({"merchant": "Water Board"}, undated) == 0
    assert pairs({"merchant": "Ddr 0012"}, undated) == 0


def test_what_nothing_names_is_right_as_regular_and_only_where_the_truth_says_so() -> None:
    found = streams(SEEN | {"merchant": "Wexcombe", "kind": "regular"})
    for also, value in ((["regular"], 1.0), ([], 0.0)):
        plant = accuracy.planted(known(RAW | {"merchant": "Wexcombe", "also": also, "well_known": False}))
        measured = told(accuracy.stream_accuracy(found, plant))
        assert measured["stream_recall", "all"] == measured["stream_recall", "invented"] == value
        assert ("stream_recall", "well known") not in measured


def test_a_subscription_that_is_a_bill_or_nothing_is_false_and_one_at_another_cadence_is_not() -> None:
    gym = RAW | {"merchant": "Gym", "printed": "GYM", "kind": "subscription"}
    plants = accuracy.planted(known(RAW, gym))
    found = streams(
        *(
            SEEN | {"kind": "subscription", "merchant": name} | more
            for name, more in (
                ("Gym", {"cadence": "quarterly"}),
                ("Thames Water", {}),
                ("Car Wash", {"typical_amount": -12.0}),
                ("Two Visits", {"typical_amount": -9.0, "occurrences": 2}),
            )
        )
    )
    (row,) = accuracy.subscriptions_that_are_none(found, plants, customers=4).itertuples()
    assert (row.value, row.numerator, row.denominator) == (0.5, 2, 4)


def test_money_is_right_up_to_its_bound_and_absent_columns_are_not_there_yet() -> None:
    wanted = {"u": 1000.0, "v": 1000.0, "w": 0.0, "x": None}
    found = pd.Series({"u": 1030.0, "v": 1031.0, "w": float("nan")})
    (row,) = accuracy.money_accuracy("spending", 0.03, wanted, found, "30 days").itertuples()
    assert (row.numerator, row.denominator) == (2, 3)
    (row,) = accuracy.money_accuracy("regular_income", 0.1, wanted, None, "all").itertuples()
    assert pd.isna(row.value)
    assert pd.isna(row.denominator)
    assert accuracy.money_accuracy("spending", 0.03, {"u": None}, found, "all").empty


def test_a_figure_stands_beside_its_aim_and_is_bold_where_it_misses_it() -> None:
    columns = accuracy.COLUMNS
    rows = [
        ("stream_recall", "all", 0.9, 9.0, 10.0), ("subscriptions_that_are_none", "all", 0.02, 2.0, 100.0),
        ("regular_income", "all", float("nan"), float("nan"), float("nan")),
    ]  # fmt: skip
    tables = {name: pd.DataFrame(rows, columns=columns) for name in report.SETTINGS}
    text = report.document(tables, {}, None, (1,), 10)
    line = next(line for line in text.splitlines() if line.startswith("| streams planted"))
    assert line.split("|")[2].strip() == "**0.9000** (9/10) aim 0.99"
    assert line.split("|")[6].strip() == "0.9000 (9/10) aim 0.85"
    assert "**0.0200** (2/100) aim 0.01" in text
    assert "not there yet aim 0.95" in text


def test_standing_orders_count_when_paid_three_times_to_the_same_side_at_their_amount() -> None:
    orders = pd.DataFrame(
        {
            "user_id": "u",
            "merchant_entity_id": ["a", "b", "c"],
            "amount": [-10.0, -20.0, -5.0],
            "occurrences": [9, 3, 2],
        }
    )
    found = streams(
        {"merchant": "A", "typical_amount": -10.0, "kind": "bill"},
        {"merchant": "B", "typical_amount": -25.0, "kind": "bill"},
        {"merchant": "D", "typical_amount": -25.0, "kind": "bill"},
    )
    measured = report.standing_order_recall(found, pd.Series(["a", "b", "d"]), orders)
    assert measured["value"].tolist() == [0.5, pytest.approx(2 / 3)]


def test_only_the_truth_of_the_day_is_compared(tmp_path: Path) -> None:
    for batch, day in (("old", "2026-01-31"), ("new", "2026-06-30")):
        (tmp_path / batch).mkdir()
        (tmp_path / batch / "truth.json").write_text(json.dumps({"as_of": day, "users": {}}))
    assert list(accuracy.truths(tmp_path.glob("*/truth.json"), DAY)) == ["new"]


def materialized(pipeline: Pipeline, day: dt.date) -> dg.ExecuteInProcessResult:
    job = pipeline.definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        asset_selection=[dg.AssetKey("signal_accuracy")], partition_key=day.isoformat(), raise_on_error=False
    )


def test_the_asset_measures_generated_customers_and_refuses_a_day_without_truth(copy: Pipeline) -> None:
    truth = copy.settings.landing / BATCH / "truth.json"
    truth.write_text(json.dumps(synthetic.generate(USERS, as_of=DAY).truth))
    ran = materialized(copy, DAY)
    assert ran.success
    measured = ran.output_for_node("signal_accuracy")
    overall = measured[measured["of"] == "all"].set_index("measure")["value"]
    assert set(measured["batch"]) == {BATCH}
    assert overall.pop("subscriptions_that_are_none") == 0
    assert (overall > 0.95).all(), overall
    truth.unlink()
    refused = materialized(copy, DAY)
    assert not refused.success
    (failure,) = [event for event in refused.all_events if event.is_step_failure]
    assert "says nothing of" in str(failure.event_specific_data)
