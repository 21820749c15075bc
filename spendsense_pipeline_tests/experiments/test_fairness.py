"""Groups are compared where there are enough of them, and what was not tested is said."""

from pathlib import Path

import pandas as pd
import pytest

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.experiments import fairness


def groups(**dimensions: list[str]) -> pd.DataFrame:
    number = len(next(iter(dimensions.values())))
    return pd.DataFrame({"user_id": [f"u{n}" for n in range(number)]} | dimensions)


def met(values: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"user_id": [f"u{n}" for n in range(len(values))], "met": values})


def test_a_difference_is_measured_with_both_sizes_and_named_for_a_look() -> None:
    people = groups(sex=["f"] * 50 + ["m"] * 100)
    (row,), untested = fairness.compared({"offer": met([1] * 10 + [0] * 40 + [1] * 60 + [0] * 40)}, people)
    assert row["groups"] == [{"group": "f", "rate": 0.2, "of": 50}, {"group": "m", "rate": 0.6, "of": 100}]
    assert row["difference"] == pytest.approx(0.4)
    assert row["ratio"] == pytest.approx(1 / 3)
    assert row["p"] < 0.001
    assert row["look"]
    assert untested == ["not delivered, so not tested: age, ethnicity, disability, marital_status"]


@pytest.mark.parametrize(("some", "look"), [(4, False), (3, True)])
def test_four_fifths_is_the_bound(some: int, look: bool) -> None:
    people = groups(sex=["f"] * 5 + ["m"] * 5)
    (row,), _ = fairness.compared({"offer": met([1] * some + [0] * (5 - some) + [1] * 5)}, people)
    assert row["p"] > 0.05  # of so few, no difference is beyond luck: the bound alone decides
    assert row["ratio"] == some / 5
    assert row["look"] is look


def test_small_and_unknown_groups_are_not_tested_and_named() -> None:
    people = groups(sex=["f"] * 5 + ["m"] * 5 + ["x"] * 4 + ["unknown"] * 2)
    (row,), untested = fairness.compared({"hold": met([0] * 17)}, people)
    assert [one["group"] for one in row["groups"]] == ["f", "m"]
    assert row["p"] == 1
    assert row["ratio"] is None
    assert not row["look"]
    assert "hold by sex: x (fewer than 5)" in untested
    assert "hold by sex: 3 whose group is unknown" in untested


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sex\nf\n", "user_id and at least one group are needed"),
        ("user_id\nu1\n", "at least one group"),
        ("user_id,sex\nu1,f\nu1,m\n", "row 3: this user_id was there before"),
        ("", "no CSV file"),
    ],
)
def test_a_file_that_holds_no_groups_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises(SpendSenseError, match=complaint):
        fairness.groups_in(path)


def test_an_empty_field_is_an_unknown_group(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("user_id,sex\nu1,\n007,f\n")
    assert fairness.groups_in(path).to_dict("list") == {"user_id": ["u1", "007"], "sex": ["unknown", "f"]}


def test_outcomes_have_means_by_arm_and_group_of_five_or_more() -> None:
    outcomes = pd.DataFrame(
        {
            "experiment": "fees",
            "metric": "penalty_fees",
            "horizon_days": 90,
            "arm": ["text"] * 6 + ["nothing"] * 5,
            "pseudonym": [f"sub_{n}" for n in range(11)],
            "income_band": "unknown",
            "value": [float(n) for n in range(11)],
            "state": ["measured"] * 5 + ["left"] + ["measured"] * 5,
        }
    )
    names = {f"sub_{n}": f"u{n}" for n in range(11)}
    found = fairness.outcome_means(outcomes, names, groups(sex=["f"] * 10 + ["m"]))
    assert [(one["arm"], one["group"], one["mean"], one["of"]) for one in found] == [("text", "f", 2.0, 5)]
