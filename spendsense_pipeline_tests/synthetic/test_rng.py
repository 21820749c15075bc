"""Chance that repeats: draws depend on seed, topic and keys, and are spread as they claim."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from spendsense_pipeline.synthetic.rng import Rng

MANY = np.arange(20_000)


@given(seed=some.integers(0, 2**40), at=some.integers(0, 19_999))
def test_a_draw_depends_on_its_own_key_only(seed: int, at: int) -> None:
    rng = Rng(seed)
    assert rng.uniform("topic", np.array([at]))[0] == rng.uniform("topic", np.arange(at, at + 5))[0]


def test_seeds_topics_and_keys_all_matter() -> None:
    drawn = Rng(1).uniform("a", MANY)
    for other in (Rng(2).uniform("a", MANY), Rng(1).uniform("b", MANY), Rng(1).uniform("a", MANY, 1)):
        assert abs(np.corrcoef(drawn, other)[0, 1]) < 0.03


def test_draws_are_spread_evenly() -> None:
    drawn = Rng(7).uniform("even", MANY)
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    assert counts.min() > 850
    assert counts.max() < 1150
    assert set(Rng(7).whole("six", 1, 6, MANY)) == {1, 2, 3, 4, 5, 6}
    assert abs(Rng(7).bell("bell", MANY).mean()) < 0.01
    picked = np.bincount(Rng(7).pick("weights", [1, 0, 3], MANY))
    assert picked[1] == 0
    assert abs(picked[2] / picked[0] - 3) < 0.3
