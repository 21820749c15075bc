"""Slots: what can be shown, how, and what is never shown."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendsense_pipeline.recommendations.facts import FACTS
from spendsense_pipeline.recommendations.slots import SLOTS, card_signals, fill, money, shown, stream_signals
from spendsense_pipeline_tests.recommendations.customers import (
    AS_OF,
    CARDS,
    NOTHING_KNOWN,
    QUIET,
    SAVING,
    STRAINED,
    UNEVEN,
)

FRAME = {"as_of": AS_OF, "window_days": 30}
CARDS_OF_ONE = [{**card, "utilization": card["balance"] / card["credit_limit"]} for card in CARDS]


def test_what_is_unknown_fills_no_slot() -> None:
    assert set(fill(list(SLOTS), NOTHING_KNOWN | FRAME)) == {"window", "as_of"}


@pytest.mark.parametrize(
    ("signal", "value", "slot"),
    [
        ("net_savings_inflow", -35.0, "savings_inflow"),
        ("net_savings_inflow", 0.0, "savings_inflow"),
        ("interest_charges", 0.0, "interest_charges"),
        ("interest_charges", 0.4, "interest_charges"),
        ("recurring_merchants", 0, "subscription_count"),
        ("savings_growth_rate", -0.2, "savings_growth"),
        ("max_utilization", 0.004, "max_utilization"),
        ("max_utilization", math.nan, "max_utilization"),
        ("cash_flow_buffer_months", -0.3, "buffer_days"),
        ("cash_flow_buffer_months", -0.3, "buffer_gap"),
        ("cash_flow_buffer_months", 0.01, "buffer_days"),
    ],
)
def test_a_figure_of_the_wrong_sign_or_too_small_to_say_is_not_shown(signal: str, value: float, slot: str) -> None:
    assert slot not in fill([slot], QUIET | FRAME | {signal: value})


def test_counts_carry_their_noun_in_the_right_number() -> None:
    assert shown(SLOTS["subscription_count"], 1) == "1 subscription"
    assert shown(SLOTS["subscription_count"], 3) == "3 subscriptions"
    assert shown(SLOTS["fund_months"], 1.0) == "1 month"
    assert shown(SLOTS["fund_months"], 1.4) == "1.4 months"


@pytest.mark.parametrize(
    ("slot", "value", "text"),
    [
        ("income_variability", 0.5999, "59%"),
        ("pay_gap", 45.0, "45 days"),
        ("pay_gap", 45.2, "46 days"),
        ("spending_share", 0.9999, "99%"),
        ("max_utilization", 0.496, "49%"),
        ("max_utilization", 0.5, "50%"),
        ("max_utilization", 0.7999, "79%"),
        ("fund_months", 2.96, "2.9 months"),
        ("fund_months", 3.0, "3 months"),
        ("subscription_share", 0.0999, "9%"),
        ("savings_growth", 0.0199, "1%"),
    ],
)
def test_rounding_stays_on_its_side_of_a_band(slot: str, value: float, text: str) -> None:
    assert shown(SLOTS[slot], value) == text


@given(st.sampled_from([s for s in SLOTS.values() if s.edges and s.kind == "percent"]), st.floats(0.01, 0.99))
def test_no_percentage_is_shown_in_another_band_than_it_is_in(slot, value: float) -> None:  # type: ignore[no-untyped-def]
    text = shown(slot, value)
    if text is not None:
        assert [value >= edge for edge in slot.edges] == [int(text[:-1]) >= round(edge * 100) for edge in slot.edges]


def test_money_is_shown_with_the_customers_currency() -> None:
    crowns = SAVING | FRAME | {"currency": "CZK", "currency_factor": 22.0}
    assert fill(["savings_balance"], crowns)["savings_balance"]["shown"] == "CZK 5,000"
    assert "savings_balance" not in fill(["savings_balance"], crowns | {"savings_balance": 20.0})  # below a dollar
    spending = {"avg_monthly_expenses": 20_000.0, "regular_income": 30_000.0}
    assert fill(["small_step"], crowns | spending)["small_step"]["shown"] == "CZK 400"
    assert money(99.999) == "$100"
    assert (money(890, "EUR"), money(12.5, "GBP"), money(40, "CAD")) == ("€890", "£12.50", "CA$40")
    euros = FRAME | {"currency": "EUR", "due_on": "2026-07-14"}
    assert {name: slot["shown"] for name, slot in fill(["as_of", "due_on"], euros).items()} == {
        "as_of": "5 March 2026",
        "due_on": "14 July",
    }
    assert money(15.9) == "$15.90"


def test_projections_follow_their_written_formula() -> None:
    figures = fill(list(SLOTS), STRAINED | SAVING | FRAME | {"interest_charges": 46.2, "max_utilization": 0.8})
    assert figures["interest_yearly"]["shown"] == "$554"  # 46.20 in 30 days, times 12
    assert figures["savings_yearly"]["shown"] == "$4,200"  # 350 a month, times 12
    assert figures["fund_target"]["shown"] == "$7,200"  # 3 x 2400
    assert figures["fund_gap"]["shown"] == "$2,200"  # less 5000 saved
    assert figures["months_to_fund"]["shown"] == "7 months"  # 2200 / 350 = 6.3, rounded up
    assert figures["small_step"]["shown"] == "$45"  # 2 % of 2400 = 48, down to 45


def test_projections_of_spending_and_pay_follow_their_written_formula() -> None:
    figures = fill(list(SLOTS), UNEVEN | FRAME | {"savings_balance": 20_000.0})
    assert figures["weekly_expenses"]["shown"] == "$560"  # 2400 x 7 / 30
    assert figures["gap_expenses"]["shown"] == "$4,160"  # 2400 x 52 / 30
    assert figures["spending_share"]["shown"] == "80%"  # 2400 / 3000
    assert figures["monthly_margin"]["shown"] == "$600"  # 3000 - 2400
    assert figures["pay_point_yearly"]["shown"] == "$360"  # 3000 x 12 / 100
    assert figures["buffer_days"]["shown"] == "13 days"  # 0.44 x 30 = 13.2
    assert figures["buffer_gap"]["shown"] == "$1,344"  # (1 - 0.44) x 2400
    assert figures["bridge_gap"]["shown"] == "$3,104"  # (52 / 30 - 0.44) x 2400
    assert figures["small_step_yearly"]["shown"] == "$540"  # 45 x 12
    assert figures["beyond_fund"]["shown"] == "$5,600"  # 20000 - 6 x 2400
    assert figures["savings_point_yearly"]["shown"] == "$200"  # 20000 / 100


def test_cards_are_named_by_their_last_four_and_what_they_owe() -> None:
    figures = fill(list(SLOTS), STRAINED | FRAME | card_signals(CARDS_OF_ONE))
    assert {name: figures[name]["shown"] for name in figures if "card" in name or name in ("over_guide",)} == {
        "card_balance": "$4,880",
        "cards_owing": "2 cards with a balance",
        "fullest_card": "card ending in 4821",
        "over_guide": "$2,620",  # 4120 - 0.3 x 5000
        "smallest_card": "card ending in 0937",
        "highest_rate_card": "card ending in 4821",
    }
    assert figures["fullest_balance"]["shown"] == "$4,120"
    assert figures["smallest_balance"]["shown"] == "$760"


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ([{"last4": "xW3q"}, {}], {"fullest_card", "highest_rate_card"}),
        ([{"last4": "0937"}, {}], {"fullest_card", "smallest_card", "highest_rate_card"}),
        ([{}, {"apr": None}], {"highest_rate_card"}),
        ([{}, {"apr": 26.4}], {"highest_rate_card"}),
        ([{}, {"apr": 29.9}], {"highest_rate_card"}),
        ([{}, {"balance": 0.0}], {"smallest_card", "smallest_balance", "highest_rate_card"}),
        ([{}, {"balance": -20.0}], {"smallest_card", "smallest_balance", "highest_rate_card"}),
        ([{"balance": 760.0, "utilization": 0.152}, {}], {"smallest_card", "smallest_balance", "over_guide"}),
        ([{"utilization": None}, {"utilization": None}], {"fullest_card", "fullest_balance", "over_guide"}),
        ([{"balance": None}, {}], {"card_balance", "cards_owing", "fullest_card", "fullest_balance", "over_guide",
                                   "smallest_card", "smallest_balance", "highest_rate_card"}),
    ],
)  # fmt: skip
def test_a_card_is_named_only_where_it_is_the_one_that_is_meant(changes: list[dict[str, Any]], gone: set[str]) -> None:
    names = ["card_balance", "cards_owing", "fullest_card", "fullest_balance", "over_guide", "smallest_card",
             "smallest_balance", "highest_rate_card"]  # fmt: skip
    changed = [card | change for card, change in zip(CARDS_OF_ONE, changes, strict=True)]
    assert set(names) - set(fill(names, STRAINED | FRAME | card_signals(changed))) == gone


def test_a_list_of_payees_names_at_least_two_so_that_the_sentence_around_it_holds() -> None:
    assert "subscription_payees" not in fill(["subscription_payees"], FRAME | {"subscription_payees": ["Hulu"]})


def test_interest_of_a_long_window_is_spread_over_its_months() -> None:
    figures = fill(["interest_monthly"], STRAINED | {"as_of": AS_OF, "window_days": 180, "interest_charges": 60})
    assert figures["interest_monthly"]["shown"] == "$10"


def test_a_goal_too_far_away_is_no_projection() -> None:
    assert "months_to_fund" not in fill(["months_to_fund"], SAVING | FRAME | {"net_savings_inflow": 5.0})


def test_from_a_year_on_a_fund_is_told_in_whole_months() -> None:
    assert fill(["fund_months"], FRAME | {"emergency_fund_months": 105.1})["fund_months"]["shown"] == "105 months"
    assert fill(["fund_months"], FRAME | {"emergency_fund_months": 11.93})["fund_months"]["shown"] == "11.9 months"


def test_what_comes_in_is_more_than_pay() -> None:
    pensioner = QUIET | FRAME | {"avg_monthly_income": 600.0, "regular_income": 3_000.0}
    figures = fill(["monthly_income", "monthly_pay", "monthly_margin", "spending_share", "pay_point_yearly"], pensioner)
    assert [figure["shown"] for figure in figures.values()] == ["$3,000", "$600", "$600", "80%", "$72"]
    assert FACTS["margin"].band(pensioner) == "plus"


def test_a_small_step_is_small_beside_what_comes_in() -> None:
    known = QUIET | FRAME | {"avg_monthly_expenses": 30_000.0, "regular_income": 3_500.0}
    assert fill(["small_step"], known)["small_step"]["shown"] == "$70"


def test_spending_that_the_bank_hardly_sees_is_no_measure_of_a_fund() -> None:
    assert "fund_target" not in fill(["fund_target"], FRAME | {"avg_monthly_expenses": 9.0})


def test_the_days_looked_at_are_no_more_than_the_history_has() -> None:
    frame = {"as_of": AS_OF, "window_days": 180}
    shown = [fill(["window"], frame | {"history_days": days})["window"]["shown"] for days in (12, 70, 400)]
    assert shown == ["last 30 days", "last 70 days", "last 180 days"]


def test_a_single_payment_is_not_counted_and_an_estimate_has_no_cents() -> None:
    assert "bill_count" not in fill(["bill_count"], {"bill_count": 1})
    assert fill(["bill_count"], {"bill_count": 2})["bill_count"]["shown"] == "2 payments"
    assert fill(["idle_point_yearly"], {"idle_point_yearly": 24.91})["idle_point_yearly"]["shown"] == "$25"


def test_a_goal_all_but_reached_is_no_plan_in_months() -> None:
    assert "months_to_fund" not in fill(["months_to_fund"], SAVING | FRAME | {"net_savings_inflow": 2200.0})


@pytest.mark.parametrize(("gap", "buffer", "lacks"), [(6, 0.5, False), (14, 0.47, False), (14.4, 0.45, True)])
def test_a_cushion_that_reaches_the_next_payday_lacks_nothing(gap: float, buffer: float, lacks: bool) -> None:
    known = UNEVEN | FRAME | {"median_pay_gap_days": gap, "cash_flow_buffer_months": buffer}
    shown = fill(["bridge_gap", "pay_gap", "buffer_days"], known)
    assert ("bridge_gap" in shown) is lacks
    if lacks:
        assert shown["buffer_days"]["value"] < shown["pay_gap"]["value"]


def test_an_insights_payee_is_shown_only_where_it_may_be_named() -> None:
    assert "payee" not in fill(["payee"], {"payee": "Riverbend Group"})
    assert fill(["payee"], {"payee": "Riverbend Group", "payee_listed": True})["payee"]["shown"] == "Riverbend Group"
    assert "payee" not in fill(["payee"], {"payee": "Spotify", "payee_category": "MEDICAL_PRIMARY_CARE"})


def test_the_payee_list_names_the_dearest_three_and_skips_the_sensitive() -> None:
    rows = [
        {"merchant": name, "monthly_cost": cost, "price_change": None}
        for name, cost in [
            ("City Church", 90.0),
            ("Equinox", 40.0),
            ("Corner Gym", 30.0),
            ("Hulu", 20.0),
            ("Spotify", 12.0),
            ("iCloud", 3.0),
        ]
    ]
    signals = QUIET | FRAME | stream_signals(rows)
    assert fill(["subscription_payees"], signals)["subscription_payees"]["shown"] == "Equinox, Hulu and Spotify"


def test_a_price_rise_is_shown_with_what_it_adds_in_a_year() -> None:
    signals = QUIET | FRAME | stream_signals([{"merchant": "Hulu", "monthly_cost": 11.0, "price_change": 0.1}])
    figures = fill(["price_rise_payee", "price_rise", "price_rise_yearly"], signals)
    assert [figure["shown"] for figure in figures.values()] == ["Hulu", "10%", "$12"]


def test_a_price_that_fell_is_no_rise() -> None:
    signals = QUIET | FRAME | stream_signals([{"merchant": "Hulu", "monthly_cost": 11.0, "price_change": -0.1}])
    assert not fill(["price_rise_payee", "price_rise", "price_rise_yearly"], signals)
