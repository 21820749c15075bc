"""Arms come from the seed alone, are balanced within every stratum, and go to nobody who must not be tried on."""

import pandas as pd
import pytest

from spendsense_pipeline.experiments.arms import arm_at, deal, eligible, strata
from spendsense_pipeline.experiments.definition import Arm
from spendsense_pipeline_tests.experiments.trials import experiment

THREE = experiment(
    arms=[
        {"name": "text_a", "weight": 2, "template": "a"},
        {"name": "text_b", "weight": 2, "template": "b"},
        {"name": "nothing", "weight": 1, "withheld": True},
    ]
)


def crowd(number: int, cells: int = 3) -> pd.Series:
    return pd.Series([f"s{n % cells}" for n in range(number)], index=[f"cus_{n:05d}" for n in range(number)])


def test_each_block_of_a_stratum_holds_every_arm_by_its_weight() -> None:
    dealt = deal(THREE, crowd(1_000), {})
    for _, rows in dealt.groupby("stratum"):
        for _, block in rows.groupby(rows["ordinal"] // 5):
            if len(block) == 5:
                assert block["arm"].value_counts().to_dict() == {"text_a": 2, "text_b": 2, "nothing": 1}


def test_an_auditor_can_recompute_every_arm() -> None:
    dealt = deal(THREE, crowd(50), {"s1": 12})
    assert dealt.loc[dealt["stratum"] == "s1", "ordinal"].min() == 12
    for row in dealt.itertuples():
        assert arm_at(THREE, row.stratum, row.ordinal) == row.arm


def test_neither_file_order_nor_who_else_came_decides_the_order_in_a_stratum() -> None:
    people = crowd(60)
    assert deal(THREE, people, {}).equals(deal(THREE, people[::-1], {}))
    assert set(deal(experiment(2), people, {})["arm"]) == {"text", "nothing"}
    assert not deal(experiment(2), people, {})["arm"].equals(deal(experiment(3), people, {})["arm"])


def test_strata_are_persona_and_third_of_the_baseline() -> None:
    baseline = pd.Series([0.0, 0, 35, 70, None], index=list("abcde"))
    found = strata(experiment(), pd.Series(["p"] * 5, index=list("abcde")), baseline)
    assert found.tolist() == ["p/low", "p/low", "p/middle", "p/high", "p/unknown"]


def eligible_with(**changes: list[object]) -> list[str]:
    users = ["ann", "bob"]
    frames = {
        "situations": pd.DataFrame(
            {"user_id": users, "situation": "fees/x", "insight": "fees_charged", "severity": "notable"}
        ),
        "templates": pd.DataFrame({"situation": ["fees/x"] * 2, "template_id": ["a", "b"]}),
        "consents": pd.DataFrame({"user_id": users, "scope": "education", "consent_id": "c"}),
        "features": pd.DataFrame({"user_id": users, "any_overdue": pd.array([False, pd.NA], "boolean")}),
        "matches": pd.DataFrame({"user_id": users, "product_type": "hardship_program", "shown": False}),
    }
    for name, values in changes.items():
        frame, _, column = name.partition("__")
        frames[frame][column] = values
    return eligible(THREE, declined={"zoe"}, **frames)


def test_whoever_consents_and_has_the_insight_may_enter() -> None:
    assert eligible_with() == ["ann", "bob"]


@pytest.mark.parametrize(
    "change",
    [
        {"consents__scope": ["partner_offers", "education"]},
        {"consents__user_id": ["zoe", "bob"]},
        {"situations__severity": ["urgent", "notable"]},
        {"situations__insight": ["thin_cushion", "fees_charged"]},
        {"situations__insight": [None, "fees_charged"]},
        {"situations__situation": ["fees/y", "fees/x"]},
        {"features__any_overdue": [True, False]},
        {"matches__shown": [True, False]},
    ],
    ids=str,
)
def test_consent_hardship_and_a_text_that_fits_come_first(change: dict[str, list[object]]) -> None:
    assert eligible_with(**change) == ["bob"]


def test_a_declined_topic_comes_first() -> None:
    users = eligible_with()
    assert "ann" in users
    assert eligible_with(
        situations__user_id=["zoe", "bob"], consents__user_id=["zoe", "bob"], features__user_id=["zoe", "bob"]
    ) == ["bob"]


def test_where_one_arms_text_does_not_fit_nobody_is_assigned() -> None:
    assert eligible_with(templates__template_id=["a", "c"]) == []
    assert Arm(name="x", weight=1).template is None
