"""Which insights may stand beside one another, and which texts ask for the same money."""

import itertools
from typing import Any

import pytest

from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.recommendations.choosing import SHORT, Asks, ask_for_the_same, forbidden_by, held


def told(*names: str, **severities: str) -> list[str]:
    rows = [{"insight": name, "severity": severities.get(name, INSIGHTS[name].severity)} for name in names]
    return [row["insight"] for row in held(rows).told]


@pytest.mark.parametrize("praise", ["balance_falling", "savings_milestone", "interest_earned", "idle_cash"])
@pytest.mark.parametrize(
    "trouble", ["past_due", "overdrawn", "income_stopped", "fixed_costs_high", "spending_above_income"]
)
def test_nothing_is_praised_and_no_money_is_idle_beside_trouble(trouble: str, praise: str) -> None:
    assert told(praise, trouble) == [trouble]


@pytest.mark.parametrize("name", ["balance_falling", "minimum_only", "dearest_first"])
def test_what_an_insight_forbids_goes_by_how_urgent_it_is(name: str) -> None:
    assert told(name, "bills_before_payday", bills_before_payday="urgent") == ["bills_before_payday"]
    assert set(told(name, "bills_before_payday")) == {name, "bills_before_payday"}


def test_fees_again_and_again_leave_room_for_what_is_no_praise() -> None:
    assert told("minimum_only", "balance_falling", "fees_charged", fees_charged="urgent") == [
        "fees_charged", "minimum_only"
    ]  # fmt: skip


def test_what_excludes_does_so_in_either_order() -> None:
    for kind in INSIGHTS.values():
        for other, first in itertools.product(kind.excludes, ("urgent", "good")):
            last = "good" if first == "urgent" else "urgent"
            assert len(told(kind.name, other, **{kind.name: first, other: last})) == 1


def test_where_pay_stopped_no_share_of_it_is_told() -> None:
    assert told("fixed_costs_high", "income_stopped") == ["income_stopped"]


def test_the_dearest_card_comes_before_one_that_is_paid_its_minimum() -> None:
    assert told("minimum_only", "dearest_first") == ["dearest_first"]


def test_customers_with_insights_of_the_same_kinds_are_told_their_own_in_one_order() -> None:
    for user in ("mia", "noah"):
        rows = [
            {"insight": name, "severity": INSIGHTS[name].severity, "user_id": user}
            for name in ("savings_milestone", "bill_due_soon", "minimum_only")
        ]
        for given in itertools.permutations(rows):
            assert held(given).told == held(rows).told
            assert {row["user_id"] for row in held(given).told} == {user}
        assert len(held(rows).told) > 1


def test_no_insight_forbids_what_each_of_its_own_texts_does() -> None:
    for name, kind in INSIGHTS.items():
        assert not set(kind.tags) & set(forbidden_by({"insight": name, "severity": kind.severity}))
    assert set(SHORT) >= {tag for name in INSIGHTS for tag in forbidden_by({"insight": name, "severity": "urgent"})}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("extra_payment", "4821"), ("spare_money", None), True),
        (("extra_payment", "4821"), ("extra_payment", "9159"), True),
        (("extra_payment", "4821"), ("extra_payment", "4821"), False),
        (("extra_payment", "4821"), ("extra_payment", None), False),
        (("extra_payment", "4821"), ("extra_payment spare_money", None), False),
        (("spare_money", None), ("spare_money", None), False),
        (("growth", None), ("extra_payment", "4821"), False),
    ],
)
def test_two_texts_do_not_put_the_same_money_to_two_uses(one: Any, other: Any, same: bool) -> None:
    asks = [Asks(frozenset(tags.split()), card) for tags, card in (one, other)]
    assert ask_for_the_same(*asks) is ask_for_the_same(*reversed(asks)) is same
