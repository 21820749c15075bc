"""What the detectors are held to, on generated customers of seeds that the document does not use."""

import os
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import accuracy

MUST_BE_NONE = ("groceries", "fuel", "rides", "transit", "parking", "coffee", "restaurants", "fast food", "lunch")
SEED = 21


def share(measured: pd.DataFrame, measure: str) -> float:
    (value,) = measured.loc[(measured["measure"] == measure) & (measured["of"] == "all"), "value"]
    return float(value)


@pytest.mark.verify
@pytest.mark.parametrize(
    ("days", "hard", "streams", "pay", "personas"),
    [(180, False, 0.98, 0.98, 0.97), (180, True, 0.95, 0.97, 0.95), (400, True, 0.95, 0.97, 0.95)],
)
def test_the_detectors_reach_their_aims(days: int, hard: bool, streams: float, pay: float, personas: float) -> None:
    measured = accuracy.generated(SEED, days, hard)
    assert share(measured, "stream_precision") >= streams
    assert share(measured, "stream_recall") >= streams
    assert share(measured, "pay_frequency") >= pay
    assert share(measured, "persona") >= personas
    false = measured[measured["measure"] == "false_subscriptions"].set_index("of")["value"]
    assert set(MUST_BE_NONE) <= set(false.index)
    assert false[list(MUST_BE_NONE)].sum() == 0, false


@pytest.mark.verify
@pytest.mark.skipif("BANK" not in os.environ, reason="BANK names no folder with a batch and its standing_orders.json")
def test_a_banks_standing_orders_are_found() -> None:
    recall = accuracy.standing_orders(Path(os.environ["BANK"]))
    assert recall.loc[recall["measure"] == "standing_orders", "value"].item() >= 0.98


def test_figures_of_several_seeds_are_added_up_and_written_as_a_table() -> None:
    one = pd.DataFrame(
        [("stream_recall", "all", 0.5, 1.0, 2.0), ("false_subscriptions", "coffee", 1.0, None, None)],
        columns=["measure", "of", "value", "numerator", "denominator"],
    )
    both = accuracy.pooled([one, one.assign(numerator=[2.0, None])])
    text = accuracy.document(dict.fromkeys(accuracy.SETTINGS, both), {}, None, (1, 2), 10)
    assert "0.7500 (3/4)" in text
    assert "| coffee | 2 |" in text
