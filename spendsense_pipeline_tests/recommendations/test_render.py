"""Rendering: strict slots, closing lines once, and a rationale in plain words."""

import json

import pytest

from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.recommendations.render import (
    COMPENSATION,
    EDUCATION_DISCLOSURE,
    HOW_TO_STOP,
    OFFER_DISCLOSURE,
    RenderError,
    fill_slots,
    insight_rationale,
    offer_rationale,
    product_slots,
    rationale,
    render_education,
    render_offer,
)

SLOTS = {
    "as_of": {"signal": "as_of", "value": "2026-03-05", "shown": "March 5, 2026"},
    "window": {"signal": "window_days", "value": 30, "shown": "last 30 days"},
    "max_utilization": {"signal": "max_utilization", "value": 0.82, "shown": "82%"},
}
PRODUCT = {
    "product_type": "balance_transfer",
    "product_name": "Harbor Card",
    "partner_name": "Harborline Bank",
    "short_description": "A card for moving a balance.",
    "benefits": json.dumps(["0 % for 15 months", "No annual fee."]),
    "typical_apy_or_fee": "3 % fee",
    "partner_link": "https://harborline.example/card",
    "disclosure": "A fee applies.",
}


def reason(clause: str, signal: str, value: object, *, met: bool = True, operator: str = ">=") -> dict[str, object]:
    return {"clause": clause, "signal": signal, "value": value, "operator": operator, "threshold": 0.5, "met": met}


@pytest.mark.parametrize("template", ["{{ unknown }}", "{{max_utilization}}", "{{ max_utilization | upper }}", "a }}"])
def test_a_slot_that_cannot_be_filled_stops_the_rendering(template: str) -> None:
    with pytest.raises(RenderError):
        fill_slots(template, SLOTS)


def test_an_empty_figure_stops_the_rendering() -> None:
    with pytest.raises(RenderError):
        fill_slots("{{ window }}", {"window": {"shown": ""}})


def test_what_a_slot_shows_is_never_read_as_a_template() -> None:
    with pytest.raises(RenderError):
        fill_slots("{{ window }}", {"window": {"shown": "{{ as_of }}"}})


def test_education_ends_with_its_day_why_it_is_seen_how_to_stop_and_the_disclosure_once() -> None:
    title, content = render_education("Card at {{ max_utilization }}", "Text.", "You see this because of it.", SLOTS)
    assert title == "Card at 82%"
    closing = f"Figures as of March 5, 2026. You see this because of it. {HOW_TO_STOP}"
    assert content == f"Text.\n\n{closing}\n\n{EDUCATION_DISCLOSURE}"
    assert content.count(EDUCATION_DISCLOSURE) == 1
    assert OFFER_DISCLOSURE not in content


def test_an_offer_shows_the_product_and_both_disclosures_once() -> None:
    title, content = render_offer("You see this because of it.", product_slots(PRODUCT) | SLOTS)
    assert title == "A partner offer: Harbor Card from Harborline Bank"
    assert "What it offers: 0 % for 15 months; No annual fee." in content
    assert content.count(EDUCATION_DISCLOSURE) == content.count(OFFER_DISCLOSURE) == 1
    assert COMPENSATION not in content, "nobody pays"
    _, paid = render_offer("You see this because of it.", product_slots(PRODUCT | {"commission_rate": 0.1}) | SLOTS)
    assert paid.endswith(f"{OFFER_DISCLOSURE} {COMPENSATION}")
    assert "match the published criteria" in content
    assert "approved" not in content


def test_free_help_is_no_partner_s_offer() -> None:
    help_ = PRODUCT | {"product_type": "hardship_program", "partner_name": None, "partner_link": None}
    title, content = render_offer("You see this because of it.", product_slots(help_) | SLOTS)
    assert title == "Free help: Harbor Card"
    assert "Good to know: A fee applies." in content
    assert "partner" not in content.replace(OFFER_DISCLOSURE, "")


def test_an_offer_leaves_out_what_the_catalogue_does_not_know() -> None:
    bare = PRODUCT | dict.fromkeys(["partner_name", "benefits", "typical_apy_or_fee", "partner_link", "disclosure"])
    title, content = render_offer("You see this because of it.", product_slots(bare) | SLOTS)
    assert title == "A partner offer: Harbor Card"
    assert "None" not in content
    assert "As advertised" not in content


def test_the_rationale_says_the_reasons_that_were_met_with_their_figures() -> None:
    reasons = json.dumps(
        [
            reason("wealth_builder.income", "avg_monthly_income", 12_000),
            reason("high_utilization.strain", "max_utilization", 0.82),
            reason("high_utilization.strain", "max_utilization", 0.82),
            reason("high_utilization.strain", "interest_charges_present", False, met=False),
            reason("high_utilization.strain", "any_overdue", True),
        ]
    )
    said = fill_slots(rationale(reasons, "high_utilization", SLOTS, is_fallback=False), SLOTS)
    assert said == "You see this because a card stands at 82% of its limit and a payment shows as past due."


def test_a_figure_that_cannot_be_shown_is_left_out_of_the_rationale() -> None:
    reasons = json.dumps([reason("variable_income.thin_buffer", "cash_flow_buffer_months", -0.2)])
    said = rationale(reasons, "variable_income", SLOTS, is_fallback=False)
    assert said == "You see this because your checking covers little of your usual spending."


def test_of_many_reasons_the_three_most_telling_are_said() -> None:
    met = [
        reason("wealth_builder.no_fees", "fees_180d", 0, operator="=="),
        reason("wealth_builder.low_utilization", "max_utilization", 0.1, operator="<="),
        reason("wealth_builder.invests", "investment_account_detected", True, operator="=="),
        reason("wealth_builder.savings", "savings_balance", 61_000, operator=">"),
        reason("wealth_builder.income", "avg_monthly_income", 14_000, operator=">"),
    ]
    said = rationale(json.dumps(met), "wealth_builder", {}, is_fallback=False)
    assert (
        said == "You see this because you have a steady income, you hold savings, and you have an investment account."
    )


def test_how_sure_we_are_is_no_reason_that_a_customer_reads() -> None:
    met = [
        reason("subscription_heavy.explained", "explained_share", 0.9),
        reason("subscription_heavy.many", "recurring_merchants", 4),
    ]
    said = rationale(json.dumps(met), "subscription_heavy", {}, is_fallback=False)
    assert said == "You see this because your payments show subscriptions."


def test_a_payment_past_due_is_among_the_reasons_that_are_said() -> None:
    signals = ["max_utilization", "interest_charges_present", "minimum_payment_only_flag", "any_overdue"]
    met = [reason("high_utilization.strain", signal, True) for signal in signals]
    assert "past due" in rationale(json.dumps(met), "high_utilization", SLOTS, is_fallback=False)


def test_the_fallback_claims_no_reason() -> None:
    said = fill_slots(rationale("[]", "savings_builder", SLOTS, is_fallback=True), SLOTS)
    assert said == ("You see this because nothing in the last 30 days stood out. It is a general starting point.")


def test_nothing_stood_out_is_not_said_of_rows_that_nobody_can_explain() -> None:
    unknown = json.dumps([reason("wealth_builder.known", "explained_share", 0.3) | {"met": False}])
    assert "stood out" not in rationale(unknown, "savings_builder", SLOTS, is_fallback=True)


def test_low_card_balances_are_not_told_as_high_ones() -> None:
    reasons = json.dumps([reason("wealth_builder.low", "max_utilization", 0.1, operator="<=")])
    assert "low beside their limits" in rationale(reasons, "wealth_builder", SLOTS, is_fallback=False)


def test_an_offer_is_not_explained_by_what_spoke_against_it() -> None:
    for_it = {"signal": "max_utilization", "value": 0.82, "operator": ">", "threshold": 0.5, "points": 0.3}
    against = {"signal": "investment_account_detected", "value": True, "operator": "==", "threshold": True}
    factors = json.dumps([for_it, against | {"points": -0.4}])
    said = fill_slots(offer_rationale(factors, SLOTS, "robo_advisor"), SLOTS)
    assert said.startswith("You see this because a card stands at 82% of its limit and your accounts match")
    assert "you have an investment" not in said
    assert said.endswith("What speaks against it: investments can lose value, and the fee is charged either way.")


def test_somebody_with_an_insight_is_not_told_that_nothing_stood_out() -> None:
    said = rationale("[]", "savings_builder", SLOTS, is_fallback=True, any_insight=True)
    assert "stood out" not in said


def test_every_insight_has_words_for_why_it_is_told() -> None:
    assert len({insight_rationale(name) for name in INSIGHTS}) == len(INSIGHTS)
