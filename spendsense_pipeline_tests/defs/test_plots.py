"""Plots in the metadata: what they draw, and that nothing of one person or of somebody's making gets into them."""

import base64
import re

import numpy as np
import pandas as pd

from spendsense_pipeline.defs import plots
from spendsense_pipeline.defs.evaluation_assets import fairness, movements
from spendsense_pipeline.defs.persona_assets import distributions
from spendsense_pipeline.personas.rules import RULES


def test_bars_are_as_long_as_their_numbers():
    drawn = plots.bars([("one", 30, "30"), ("two", 15, "15"), ("three", 0, "0")], "Counts").md_str
    assert drawn.splitlines()[2:] == [f"| one | {'█' * 16} 30 |", f"| two | {'█' * 8} 15 |", "| three |  0 |"]


def test_the_smallest_number_still_shows():
    assert "| few | █ 1 |" in plots.bars([("many", 5000, "5,000"), ("few", 1, "1")], "Counts").md_str


def test_movement_tells_who_stayed_and_who_went_where():
    moved = [("wealth_builder", [3, 0, 1]), ("high_utilization", [2, 5, 0]), ("no persona matched", [0, 0, 4])]
    names = [name for name, _ in moved]
    assert [(label, length) for label, length, _ in movements(moved, names)] == [
        ("12 the same in both", 12),
        ("2 high utilization → wealth builder", 2),
        ("1 wealth builder → no persona matched", 1),
    ]


def test_fairness_is_a_row_for_each_group_that_is_large_enough_for_a_rate():
    measured = pd.DataFrame(
        [
            ("persona_rate_high_utilization", "income_band", "under_2000", 0.25, 8),
            ("offer_rate", "income_band", "under_2000", 1.0, 5),
            ("offer_rate", "income_band", "8000_or_more", 1.0, 4),
            ("persona_rate_high_utilization", "income_band", "unknown", None, 0),
            ("coverage", None, None, 1.0, 8),
        ],
        columns=["measure", "dimension", "band", "value", "denominator"],
    )
    assert fairness(measured).splitlines() == [
        "| group | persona rate high utilization | offer rate |",
        "|---|---|---|",
        "| income band under_2000 | 25.0% of 8 | 100.0% of 5 |",
    ]


def test_thresholds_are_told_with_their_persona():
    told = distributions(pd.DataFrame({rule.signal: [0.0] for rule in RULES} | {"currency_factor": [1.0]}), 30)
    (line,) = [line for line in told.splitlines() if line.startswith("**max_utilization**")]
    assert "high utilization \\>= 0.5" in line
    assert "wealth builder \\<= 0.2" in line


def test_a_plot_of_nothing_is_a_table_too():
    assert plots.bars([], "Nothing").md_str.startswith("| Nothing |")


def test_labels_cannot_leave_their_cell():
    drawn = plots.bars([("<b>|![x](http://x)\n", 1, "1")], "Evil").md_str
    assert len(drawn.splitlines()) == 3
    assert not {"<", "[", "`"} & set(drawn)


def test_a_picture_is_data_and_has_words():
    assert base64.b64decode(plots.picture("<svg/>", "what").partition("base64,")[2].rstrip(")")) == b"<svg/>"


def test_a_distribution_marks_its_thresholds_where_they_are():
    drawn = plots.distribution(pd.Series(np.linspace(0, 1, 1000)), [(0.5, ">= 0.5")])
    (at,) = re.findall(r'<line x1="([\d.]+)"', drawn)
    assert abs(float(at) - 180) < 2  # the middle of 360
    assert "&gt;= 0.5" in drawn


def test_a_threshold_outside_the_values_is_still_drawn():
    drawn = plots.distribution(pd.Series([1.0, 2.0] * 20), [(10.0, "> 10")])
    assert re.findall(r'<line x1="([\d.]+)"', drawn) == ["360.0"]


def test_of_a_handful_of_people_nothing_is_drawn():
    assert plots.distribution(pd.Series([1.0] * 9 + [None] * 50), []) == ""


def test_one_extreme_value_is_not_shown():
    drawn = plots.distribution(pd.Series([*range(1000), 9_999_999.0]), [])
    assert "9999999" not in drawn.replace(",", "")
    assert "e+06" not in drawn
