"""The operator's view explains itself: every figure follows from the streams, accounts, cards and pay named with it."""

from typing import Any

import pandas as pd
import pytest

from spendsense_pipeline import profiles, warehouse
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.personas.assignment import verdict
from spendsense_pipeline_tests.conftest import DAY, Pipeline

HISTORY = 179  # days from the first generated row to the day
SHOWN = 6  # one customer of each way of living, and one more


@pytest.fixture(scope="module")
def views(refreshed: Pipeline) -> list[dict[str, Any]]:
    root = refreshed.settings.warehouse_root
    users = sorted(user["user_id"] for user in profiles.users(root, {}, user_type="customer")["users"])
    return [profiles.Customer(root, user, DAY).signals() for user in users[:SHOWN]]


def windows(views: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    found = [(int(days), families) for view in views for days, families in view["windows"].items()]
    assert len(found) == 2 * SHOWN
    return found


def months(days: int) -> float:
    return min(days, HISTORY) / 30


def test_the_subscription_figures_are_those_of_the_streams_counted(views: list[dict[str, Any]]) -> None:
    for _, families in windows(views):
        told = families["subscriptions"]
        counted = [stream for stream in told["streams"] if stream["counted"]]
        assert told["recurring_merchants"] == len(counted)
        assert told["monthly_recurring_spend"] == pytest.approx(sum(s["monthly_cost"] for s in counted), abs=0.01)
        charged = sum(stream["charged"] or 0 for stream in told["streams"])
        assert told["subscription_spend_share"] == pytest.approx(charged / told["total_spend"], abs=1e-6)
    assert any(stream["counted"] for _, f in windows(views) for stream in f["subscriptions"]["streams"])


def test_the_savings_figures_are_those_of_the_accounts(views: list[dict[str, Any]]) -> None:
    for days, families in windows(views):
        told = families["savings"]
        if told["savings_balance"] is None:
            assert not told["accounts"]
            continue
        moved = sum(one["moved"] or 0 for one in told["accounts"])
        assert told["savings_balance"] == pytest.approx(sum(one["balance"] for one in told["accounts"]))
        assert told["net_savings_inflow"] == pytest.approx(moved / months(days), abs=0.01)
        assert told["savings_growth_rate"] == pytest.approx(moved / (told["savings_balance"] - moved), abs=1e-6)
        spent = families["subscriptions"]["total_spend"]
        assert told["avg_monthly_expenses"] == pytest.approx(spent / months(days), abs=0.01)
        assert told["emergency_fund_months"] == pytest.approx(told["savings_balance"] / told["avg_monthly_expenses"])


def test_the_credit_figures_are_those_of_the_cards_interest_and_fees(views: list[dict[str, Any]]) -> None:
    for _, families in windows(views):
        told = families["credit"]
        assert told["card_count"] == len(told["cards"])
        used = [card["utilization"] for card in told["cards"] if card["utilization"] is not None]
        assert told["max_utilization"] == (pytest.approx(max(used)) if used else None)
        assert told["interest_charges"] == pytest.approx(-sum(row["amount"] for row in told["interest"]))
        assert told["fees_180d"] == pytest.approx(max(-sum(row["amount"] for row in told["fees"]), 0))
        late = [card["is_overdue"] for card in told["cards"]]
        assert told["any_overdue"] or not any(late)
    assert any(families["credit"]["interest"] for _, families in windows(views))


def test_the_income_figures_are_those_of_the_payers_and_paychecks(views: list[dict[str, Any]]) -> None:
    for days, families in windows(views):
        told = families["income"]
        steady = sum(payer["monthly"] or 0 for payer in told["payers"])
        other = sum(payer["in_window"] for payer in told["payers"] if payer["monthly"] is None)
        assert told["avg_monthly_income"] == pytest.approx(steady + other / months(days), abs=0.01)
        held = sum(account["balance"] for account in told["accounts"])
        assert told["cash_flow_buffer_months"] == pytest.approx(held / told["avg_monthly_expenses"])
        inside = sum(check["amount"] for check in told["paychecks"] if check["in_window"])
        assert inside == pytest.approx(sum(payer["in_window"] for payer in told["payers"]))
        assert {payer["merchant"] for payer in told["payers"]} <= {check["merchant"] for check in told["paychecks"]}


@pytest.mark.parametrize("window", [30, 180])
def test_every_stored_persona_recomputes_from_its_row_alone(refreshed: Pipeline, window: int) -> None:
    root = refreshed.settings.warehouse_root
    rows = to_frame(warehouse.load(root, f"persona_assignments_{window}d", [DAY.isoformat()]))
    assert len(rows) > 30
    for row in rows.to_dict("records"):
        persona, priority, matched, fallback = verdict(row["reasons"], row["rules_version"])
        assert (persona, fallback) == (row["persona"], row["is_fallback"])
        assert priority == (None if pd.isna(row["priority"]) else row["priority"])
        assert str(matched).replace("'", '"') == row["matched"]
