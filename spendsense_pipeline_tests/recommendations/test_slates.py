"""What one customer reads on one day does not contradict itself; looked for by other rules than those that chose it."""

from typing import Any

import pandas as pd
import pytest

from benchmarks import figures, slates
from benchmarks.insights import SETTINGS, accepted
from spendsense_pipeline_tests.recommendations.test_golden import drafted

PRODUCTS: dict[str, dict[str, Any]] = {
    "card": {"category": "credit", "cost_monthly": None},
    "app": {"category": "budgeting", "cost_monthly": 0.0},
    "help": {"category": "help", "cost_monthly": 0.0},
}


def text(about: str, content: str, slots: str = "{}") -> dict[str, Any]:
    return {"content_type": "education", "template_id": about, "insight": about, "title": "", "content": content,
            "slots": slots, "product_id": None}  # fmt: skip


def offer(product: str) -> dict[str, Any]:
    return {"content_type": "partner_offer", "template_id": f"offer/{product}", "insight": None, "title": "",
            "content": "", "slots": "{}", "product_id": product}  # fmt: skip


CASH, LATE = text("idle_cash", ""), text("past_due", "Pay $35 now.")
PAY_MORE = text("minimum_only", "An extra payment of $40 on your 4821.", '{"card": {"shown": "4821"}}')
SPENDS = text("thin_cushion", "You spend $900.", '{"spending_monthly": {"shown": "$900"}}')


@pytest.mark.parametrize(
    ("slate", "contradicts"),
    [
        ([LATE, CASH], True),
        ([LATE, offer("card")], True),
        ([LATE, offer("app")], False),
        ([CASH, offer("help")], True),
        ([PAY_MORE, text("savings_drop", "A small transfer for each payday.")], True),
        ([PAY_MORE, text("interest_paid", "Your 9159.", '{"card": {"shown": "9159"}}')], True),
        ([PAY_MORE, text("interest_paid", "Your 4821.", '{"card": {"shown": "4821"}}')], False),
        ([SPENDS, text("x", "About $950 goes out.", '{"monthly_expenses": {"shown": "$950"}}')], True),
        ([SPENDS, text("x", "About $900 goes out.", '{"monthly_expenses": {"shown": "$900"}}')], False),
        ([text("x", "Nothing in the last 30 days stood out."), LATE], True),
    ],
)
def test_opposites_are_found(slate: list[dict[str, Any]], contradicts: bool) -> None:
    assert bool(slates.contradictions(slate, PRODUCTS)) is contradicts
    assert bool(slates.contradictions(slate[::-1], PRODUCTS)) is contradicts


def test_no_golden_slate_contradicts_itself() -> None:
    made = {"drafts": drafted(), "products": pd.DataFrame(columns=["product_id"])}
    assert not slates.of_day(made)


@pytest.mark.verify
@pytest.mark.parametrize("setting", SETTINGS)
def test_no_slate_of_generated_customers_contradicts_itself(setting: str) -> None:
    made = figures.drafted(accepted(SETTINGS[setting](600, 23)))
    assert made["drafts"]["user_id"].nunique() > 500
    assert not slates.of_day(made)
