"""The statistics keep their promises on customers whose reaction was planted."""

import math

import numpy as np
import pytest

from spendsense_pipeline.experiments import statistics
from spendsense_pipeline_tests.experiments import reactions
from spendsense_pipeline_tests.experiments.trials import trial, trials


@pytest.mark.verify
@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_a_thousand_experiments_cover_the_truth(effect: float, record_property) -> None:
    ran = trials(range(1_000), effect)
    figures = {
        "coverage": ran.coverage,
        "relative_coverage": ran.relative_coverage,
        "positives": ran.positives,
        "bias": ran.bias,
        "mean_truth": float(ran.truth.mean()),
        "mean_found": float(np.mean([d.estimate for d in ran.found])),
    }
    for name, value in figures.items():
        record_property(name, value)
    assert 0.935 <= ran.coverage <= 0.965
    assert 0.935 <= ran.relative_coverage <= 0.965
    assert abs(ran.bias) < 3
    if effect == 0:
        assert ran.positives <= 0.05


@pytest.mark.verify
def test_any_number_of_looks_finds_nothing_where_nothing_is(record_property) -> None:
    found = {"always_valid": 0, "one_look": 0}
    for seed in range(1_000):
        rng = np.random.default_rng(seed)
        people = reactions.crowd(rng, 1_000)
        after = reactions.fees_after(rng, people, 0.0)
        treated = rng.permutation(1_000) % 2 == 0
        looks = [(treated[:n], after[:n], people.before[:n], people.persona[:n]) for n in range(100, 1_001, 50)]
        found["always_valid"] += any(d.p < 0.05 for look in looks if (d := statistics.difference(*look, planned=1_000)))
        found["one_look"] += any(d.p < 0.05 for look in looks if (d := statistics.difference(*look)))
    record_property("always_valid", found["always_valid"] / 1_000)
    record_property("one_look", found["one_look"] / 1_000)
    assert found["always_valid"] <= 50
    assert found["one_look"] > 100  # the very fault that the wider interval is for


def test_forty_experiments_cover_the_truth_nearly_always() -> None:
    ran = trials(range(40), 0.5, customers=300)
    assert ran.coverage >= 0.85
    assert abs(ran.bias) < 3


def test_a_strong_effect_is_found_and_has_its_sign() -> None:
    found, truth, share = trial(3, 0.9, customers=3_000)
    assert found.p < 0.001
    assert found.low <= truth <= found.high < 0
    assert found.relative_low <= share <= found.relative_high < 0


def test_the_baseline_narrows_the_interval() -> None:
    rng = np.random.default_rng(5)
    people = reactions.crowd(rng, 2_000)
    after = reactions.fees_after(rng, people, 0.0)
    treated, one = rng.random(2_000) < 0.5, np.zeros(2_000, dtype=np.int64)
    plain = statistics.difference(treated, after, np.full(2_000, np.nan), one)
    adjusted = statistics.difference(treated, after, people.before, one)
    assert plain is not None
    assert adjusted is not None
    assert adjusted.error < 0.9 * plain.error


def test_a_plain_difference_is_the_difference_of_means_with_welchs_error() -> None:
    treated = np.array([True] * 4 + [False] * 4)
    outcome = np.array([1.0, 2, 3, 6, 2, 4, 6, 8])
    found = statistics.difference(treated, outcome, np.full(8, np.nan), np.zeros(8, dtype=np.int64))
    assert found is not None
    assert found.estimate == pytest.approx(-2)
    assert found.error == pytest.approx(math.sqrt((outcome[:4].var(ddof=1) + outcome[4:].var(ddof=1)) / 4))
    assert found.mean_control == 5


@pytest.mark.parametrize("outcome", [[], [np.nan] * 6, [1.0, 2, 3, np.nan, np.nan, np.nan]])
def test_where_an_arm_has_no_outcome_there_is_no_difference(outcome: list[float]) -> None:
    number = len(outcome)
    treated = np.arange(number) < 3
    assert statistics.difference(treated, np.array(outcome), np.zeros(number), np.zeros(number, dtype=np.int64)) is None


def test_an_interval_for_any_look_is_wider_than_one_for_one_look() -> None:
    rng = np.random.default_rng(1)
    people = reactions.crowd(rng, 500)
    given = rng.random(500) < 0.5, reactions.fees_after(rng, people, 0.3), people.before, people.persona
    one, many = statistics.difference(*given), statistics.difference(*given, planned=500)
    assert one is not None
    assert many is not None
    assert many.high - many.low > 1.3 * (one.high - one.low)
    assert many.p > one.p


def test_p_and_interval_agree_at_every_look() -> None:
    for error in (0.3, 0.33, 0.34, 0.36, 0.5):
        width, p = statistics._any_look(1.0, error, 400, 500)
        assert (width * error < 1) == (p < statistics.ALPHA)


def test_holm_is_stricter_than_none_and_milder_than_bonferroni() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []


def test_the_sample_ratio_fires_where_assignment_is_broken_by_hand() -> None:
    assert statistics.sample_ratio([500, 500], [1, 1]) == 1
    assert statistics.sample_ratio([430, 570], [1, 1]) < statistics.RATIO_ALARM
    assert statistics.sample_ratio([400, 100], [4, 1]) == 1
    assert statistics.sample_ratio([0, 0], [1, 1]) == 1


def test_the_size_for_a_share_is_the_textbooks() -> None:
    assert statistics.needed_for_shares(0.24, 0.21) == statistics.Plan(3038, 3198)
    assert statistics.needed_for_means(5, 40).measured == pytest.approx(2 * (40 / 5 * 2.8016) ** 2, abs=1)
    halved = statistics.needed_for_means(5, 40, correlation=0.5).measured
    assert halved == pytest.approx(0.75 * statistics.needed_for_means(5, 40).measured, abs=1)
    assert statistics.needed_for_shares(0.24, 0.21, comparisons=2).measured > 3_600
