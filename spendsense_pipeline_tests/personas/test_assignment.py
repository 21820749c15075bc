"""The personas of SIGNALS: which rule wins, what null means, and that a stored row explains its own verdict."""

import datetime as dt
import json
import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.personas.assignment import (
    UnreadableReasons,
    assign_personas,
    followed,
    verdict,
)
from spendsense_pipeline.personas.rules import RULES, Rule, rules_version

DAY = dt.date(2026, 3, 31)
FLAGS = {
    "utilization_30_flag",
    "interest_charges_present",
    "minimum_payment_only_flag",
    "any_overdue",
    "investment_account_detected",
}
COUNTS = {"recurring_merchants", "card_count"}

WEALTHY = {
    "avg_monthly_income": 10_000.01,
    "savings_balance": 25_000.01,
    "max_utilization": 0.20,
    "card_count": 1,
    "fees_180d": 0.0,
    "investment_account_detected": True,
    "utilization_30_flag": False,
    "explained_share": 1.0,
}
EXPLAINED = {"explained_share": 1.0}
SAVING = EXPLAINED | {"net_savings_inflow": 200.0, "utilization_30_flag": False}
UNEVEN = EXPLAINED | {"median_pay_gap_days": 45.5, "cash_flow_buffer_months": 0.99}
SUBSCRIBED = EXPLAINED | {"recurring_merchants": 3, "monthly_recurring_spend": 50.0}


def features(*customers: dict[str, Any], window: int = 30, history: int = 400) -> pd.DataFrame:
    """Rows of features in which everything not given is unknown."""
    signals = sorted({rule.signal for rule in RULES})
    rows = []
    for number, given_signals in enumerate(customers):
        row = {"user_id": f"u{number}", "as_of": DAY, "window_days": window, "history_days": history}
        row["currency_factor"] = 1.0
        rows.append(row | dict.fromkeys(signals) | given_signals)
    frame = pd.DataFrame(rows, columns=["user_id", "as_of", "window_days", "history_days", "currency_factor", *signals])
    for name in signals:
        kind = "boolean" if name in FLAGS else "Int64" if name in COUNTS else "float64"
        frame[name] = frame[name].astype(kind)
    return frame


def assigned(signals: dict[str, Any], **of_window: int) -> pd.Series:
    return assign_personas(features(signals, **of_window)).iloc[0]


def named(row: pd.Series) -> tuple[str, float | None, list[str], bool]:
    priority = None if math.isnan(row.priority) else row.priority
    return row.persona, priority, json.loads(row.matched), bool(row.is_fallback)


@pytest.mark.parametrize(
    ("signals", "persona", "priority"),
    [
        (WEALTHY, "wealth_builder", 1.0),
        (WEALTHY | {"max_utilization": None, "card_count": 0}, "wealth_builder", 1.0),
        ({"max_utilization": 0.50}, "high_utilization", 0.80),
        ({"interest_charges_present": True}, "high_utilization", 0.80),
        ({"minimum_payment_only_flag": True}, "high_utilization", 0.80),
        ({"max_utilization": 0.80}, "high_utilization", 0.95),
        ({"any_overdue": True}, "high_utilization", 0.95),
        (SAVING, "savings_builder", 0.70),
        (EXPLAINED | {"savings_growth_rate": 0.02, "utilization_30_flag": False}, "savings_builder", 0.70),
        (UNEVEN, "variable_income", 0.60),
        (EXPLAINED | {"income_variability": 0.30, "cash_flow_buffer_months": 0.99}, "variable_income", 0.60),
        (SUBSCRIBED, "subscription_heavy", 0.50),
        (EXPLAINED | {"recurring_merchants": 3, "subscription_spend_share": 0.10}, "subscription_heavy", 0.50),
        *[(signals | {"explained_share": 0.50}, persona, priority) for signals, persona, priority in (
            (WEALTHY, "wealth_builder", 1.0), (SAVING, "savings_builder", 0.70), (UNEVEN, "variable_income", 0.60),
            (SUBSCRIBED, "subscription_heavy", 0.50),
        )],
    ],
)  # fmt: skip
def test_a_persona_begins_exactly_at_its_threshold(signals: dict[str, Any], persona: str, priority: float):
    assert named(assigned(signals)) == (persona, priority, [persona], False)


@pytest.mark.parametrize(
    "signals",
    [
        *[WEALTHY | missed for missed in (
            {"avg_monthly_income": 10_000.0}, {"savings_balance": 25_000.0}, {"max_utilization": 0.21},
            {"fees_180d": 0.01}, {"investment_account_detected": False}, {"fees_180d": None},
            {"max_utilization": None},
        )],
        {"max_utilization": 0.4999},
        {"interest_charges_present": False, "minimum_payment_only_flag": False, "any_overdue": False},
        SAVING | {"net_savings_inflow": 199.99},
        SAVING | {"utilization_30_flag": True},
        SAVING | {"utilization_30_flag": None},
        UNEVEN | {"median_pay_gap_days": 45.0},
        UNEVEN | {"cash_flow_buffer_months": 1.0},
        UNEVEN | {"cash_flow_buffer_months": None},
        SUBSCRIBED | {"recurring_merchants": 2},
        SUBSCRIBED | {"monthly_recurring_spend": 49.99},
        *[each | {"explained_share": 0.49} for each in (WEALTHY, SAVING, UNEVEN, SUBSCRIBED)],
        *[each | {"explained_share": None} for each in (WEALTHY, SAVING, UNEVEN, SUBSCRIBED)],
    ],
)  # fmt: skip
def test_just_short_of_a_threshold_or_unknown_is_no_match_but_a_fallback(signals: dict[str, Any]):
    row = assigned(signals)
    assert named(row) == ("savings_builder", None, [], True)
    assert row.confidence <= 0.2


def test_the_highest_priority_wins_and_every_match_is_kept_best_first():
    row = assigned(SUBSCRIBED | UNEVEN | SAVING | {"interest_charges_present": True})
    assert named(row)[:3] == (
        "high_utilization",
        0.80,
        ["high_utilization", "savings_builder", "variable_income", "subscription_heavy"],
    )


def test_equal_priorities_keep_the_order_of_the_table():
    rules = (Rule("b", 0.5, "c", "fees_180d", "==", 0, "-"), Rule("a", 0.5, "c", "fees_180d", "==", 0, "-"))
    row = assign_personas(features({"fees_180d": 0.0}), rules=rules).iloc[0]
    assert json.loads(row.matched) == ["b", "a"]


def test_savings_growth_is_measured_against_the_length_of_the_window():
    saver = EXPLAINED | {"savings_growth_rate": 0.11, "utilization_30_flag": False}
    assert assigned(saver, window=30).is_fallback == False  # noqa: E712 - numpy's and pandas' own booleans
    assert assigned(saver, window=180).is_fallback == True  # noqa: E712
    assert assigned(saver | {"savings_growth_rate": 0.12}, window=180).is_fallback == False  # noqa: E712


def test_money_thresholds_follow_the_customers_currency_and_rates_do_not():
    in_koruna = SAVING | {"currency_factor": 23.0}
    rows = assign_personas(features(in_koruna | {"net_savings_inflow": 4599.0}, SAVING))
    assert list(rows.is_fallback) == [True, False]
    thresholds = {r["signal"]: r["threshold"] for r in json.loads(rows.reasons[0])}
    assert thresholds["net_savings_inflow"] == 4600
    assert thresholds["savings_growth_rate"] == 0.02


def test_binary_noise_below_a_millionth_decides_nothing():
    assert assigned(SAVING | {"net_savings_inflow": 0.1 + 0.2 + 199.7 - 1e-10}).persona == "savings_builder"
    assert not assigned(SAVING | {"net_savings_inflow": 199.999999999}).is_fallback
    assert assigned(WEALTHY | {"fees_180d": 7.1e-15}).persona == "wealth_builder"


def test_confidence_grows_with_history_and_with_distance_from_the_thresholds():
    on_it, beyond = assigned({"max_utilization": 0.5}), assigned({"max_utilization": 0.75})
    assert (on_it.confidence, beyond.confidence) == (0.5, 0.75)
    assert assigned({"max_utilization": 0.75}, window=180, history=90).confidence == 0.375
    # a persona is as sure as its weakest clause
    assert assigned(UNEVEN | {"cash_flow_buffer_months": 0.0}).confidence == pytest.approx(0.5056, abs=1e-4)


def test_a_persona_is_no_surer_than_the_rows_it_rests_on_are_explained():
    sure = SUBSCRIBED | {"recurring_merchants": 9, "monthly_recurring_spend": 150.0}
    assert [assigned(sure | {"explained_share": share}).confidence for share in (1.0, 0.7)] == [1.0, 0.7]
    # balances need no explanation
    assert assigned({"max_utilization": 1.0, "explained_share": 0.1}).confidence == 1.0


def test_a_fallback_is_a_fifth_sure_at_most_and_less_where_less_is_known():
    harmless = {rule.signal: False if rule.signal in FLAGS else 1 if rule.signal in COUNTS else 0.0 for rule in RULES}
    harmless |= {"cash_flow_buffer_months": 3.0, "fees_180d": 5.0}
    assert assigned(harmless).confidence == 0.2
    assert assigned(harmless, window=180, history=45).confidence == 0.05
    assert assigned(harmless | {"max_utilization": None}).confidence == 0.175  # 3 of the 24 criteria read it


def test_a_customer_without_any_history_is_a_fallback_without_confidence():
    row = assigned({}, history=0)
    assert (row.persona, bool(row.is_fallback), row.confidence) == ("savings_builder", True, 0.0)


def test_the_frame_keeps_its_contract_also_when_there_is_no_customer():
    for table in (features(WEALTHY, {}, UNEVEN), features()):
        assert failures(CONTRACTS["persona_assignments_30d"], assign_personas(table)).empty


def test_every_rule_reads_a_feature_and_says_where_its_threshold_comes_from():
    assert {rule.signal for rule in RULES} <= set(CONTRACTS["features_30d"].columns)
    assert all(rule.source for rule in RULES)


def test_reasons_cover_every_criterion_in_order_with_unknown_as_null():
    reasons = json.loads(assigned({"max_utilization": 0.85, "any_overdue": False}).reasons)
    assert [(r["clause"], r["signal"], r["operator"]) for r in reasons] == [
        (f"{rule.persona}.{rule.clause}", rule.signal, rule.operator) for rule in RULES
    ]
    by_signal = {(r["signal"], r["threshold"]): (r["value"], r["met"]) for r in reasons}
    assert by_signal["max_utilization", 0.8] == (0.85, True)
    assert by_signal["any_overdue", True] == (False, False)
    assert by_signal["income_variability", 0.3] == (None, False)


def test_the_version_changes_with_a_threshold_and_not_with_a_remark():
    first, *rest = RULES
    assert rules_version((first, *rest)) == rules_version(RULES)
    moved = Rule(first.persona, first.priority, first.clause, first.signal, first.operator, 9_000, first.source)
    assert rules_version((moved, *rest)) != rules_version(RULES)
    remarked = Rule(**(vars(first) | {"source": "another remark"}))
    assert rules_version((remarked, *rest)) == rules_version(RULES)


def test_reasons_of_other_rules_are_refused_and_not_misread():
    row = assigned(SAVING)
    with pytest.raises(UnreadableReasons, match="rules-000"):
        verdict(row.reasons, "rules-000")
    with pytest.raises(UnreadableReasons):
        verdict(json.loads(row.reasons)[1:], rules_version(RULES))


def test_a_recorded_met_that_its_figures_deny_is_not_believed():
    reasons = json.loads(assigned({}).reasons)
    for reason in reasons:
        reason["met"] = True
    assert verdict(reasons, rules_version(RULES)) == ("savings_builder", None, [], True)


def test_drafts_follow_thirty_days_unless_that_is_a_fallback():
    short = assign_personas(features(SAVING, {}, {}))
    long = assign_personas(features(UNEVEN, SUBSCRIBED, window=180))  # the third has no 180-day row
    chosen = followed(short, long)
    assert list(chosen.user_id) == ["u0", "u1", "u2"]
    assert list(chosen.window_days) == [30, 180, 30]
    assert list(chosen.persona) == ["savings_builder", "subscription_heavy", "savings_builder"]
    assert chosen.dtypes.equals(short.dtypes)


def signal_values(name: str) -> st.SearchStrategy[Any]:
    """Values about the rules' thresholds, and unknown."""
    if name in FLAGS:
        return st.one_of(st.none(), st.booleans())
    limits = [float(rule.threshold) for rule in RULES if rule.signal == name]
    if name in COUNTS:
        return st.one_of(st.none(), st.integers(0, 6))
    about = st.sampled_from([limit + step for limit in limits for step in (-0.01, 0, 0.01)])
    return st.one_of(st.none(), about, st.floats(-10, 2 * max(limits) + 1).map(lambda x: round(x, 4)))


customers = st.fixed_dictionaries({name: signal_values(name) for name in {rule.signal for rule in RULES}})


def by_the_specification(f: dict[str, Any], window: int) -> tuple[str, float | None, list[str], bool]:
    """The table of SIGNALS written out as a person would, without the rules' table."""

    def at_least(name: str, limit: float) -> bool:
        return f[name] is not None and f[name] >= limit - 1e-9

    def above(name: str, limit: float) -> bool:
        return f[name] is not None and f[name] > limit + 1e-9

    found = []
    if (
        above("avg_monthly_income", 10_000)
        and above("savings_balance", 25_000)
        and ((f["max_utilization"] is not None and f["max_utilization"] <= 0.2 + 1e-9) or f["card_count"] == 0)
        and f["fees_180d"] == 0
        and f["investment_account_detected"]
        and at_least("explained_share", 0.5)
    ):
        found.append((1.0, "wealth_builder"))
    urgent = at_least("max_utilization", 0.8) or f["any_overdue"]
    if urgent or at_least("max_utilization", 0.5) or f["interest_charges_present"] or f["minimum_payment_only_flag"]:
        found.append((0.95 if urgent else 0.8, "high_utilization"))
    explained = at_least("explained_share", 0.5)
    grows = at_least("savings_growth_rate", 0.02 * window / 30) or at_least("net_savings_inflow", 200)
    if explained and grows and f["utilization_30_flag"] is False:
        found.append((0.7, "savings_builder"))
    uneven = above("median_pay_gap_days", 45) or at_least("income_variability", 0.3)
    thin = f["cash_flow_buffer_months"] is not None and f["cash_flow_buffer_months"] < 1 - 1e-9
    if explained and uneven and thin:
        found.append((0.6, "variable_income"))
    heavy = at_least("monthly_recurring_spend", 50) or at_least("subscription_spend_share", 0.1)
    if explained and at_least("recurring_merchants", 3) and heavy:
        found.append((0.5, "subscription_heavy"))
    if not found:
        return "savings_builder", None, [], True
    return found[0][1], found[0][0], [name for _, name in found], False


@pytest.mark.parametrize("examples", [25, pytest.param(500, marks=pytest.mark.verify)])
def test_every_row_follows_the_specification_and_recomputes_from_its_own_reasons(examples: int):
    drawn = given(st.lists(customers, min_size=1, max_size=8), st.sampled_from([30, 90, 180]), st.integers(0, 400))
    settings(max_examples=examples)(drawn(every_row_follows_the_specification))()


def every_row_follows_the_specification(many: list[dict[str, Any]], window: int, history: int):
    rows = assign_personas(features(*many, window=window, history=history))
    for signals, (_, row) in zip(many, rows.iterrows(), strict=True):
        assert named(row) == by_the_specification(signals, window)
        assert verdict(row.reasons, row.rules_version) == named(row)
        assert 0 <= row.confidence <= (0.2 if row.is_fallback else 1)
        # every recorded verdict on a criterion is what its own figures say
        assert all(not reason["met"] for reason in json.loads(row.reasons) if reason["value"] is None)
