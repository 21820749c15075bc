"""Offers: what makes a product relevant, what rules it out and says so, and that money paid to us never counts."""

import datetime as dt
import json
import pathlib
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.recommendations.offers import (
    HELP,
    REASONS,
    RELEVANCE,
    MixedDays,
    product_matches,
)

DAY = dt.date(2026, 3, 31)
CATALOGUE = pathlib.Path(__file__).parents[2] / "data" / "products.json"
SIGNALS: dict[str, Any] = {
    "avg_monthly_income": 6_000.0,
    "regular_income": 6_000.0,
    "total_spend": 900.0,
    "avg_utilization": 0.4,
    "max_utilization": 0.4,
    "card_count": 1,
    "investment_account_detected": False,
    "currency": "USD",
    "currency_factor": 1.0,
}
UNKNOWN = [
    "net_savings_inflow", "savings_balance", "savings_growth_rate", "emergency_fund_months",
    "interest_charges_present", "income_variability", "cash_flow_buffer_months", "recurring_merchants",
    "subscription_spend_share", "any_overdue", "fees_30d", "monthly_bills",
]  # fmt: skip
PRODUCT: dict[str, Any] = {
    "product_id": "p1",
    "product_type": "financial_coaching",
    "persona_targets": None,
    "min_income": None,
    "max_credit_utilization": None,
    "min_credit_score": None,
    "requires_no_existing_savings": False,
    "requires_no_existing_investment": False,
    "commission_rate": 0.1,
    "priority": 1,
    "active": True,
    "category": "advice",
    "cost_monthly": None,
    "country": None,
    "currency": None,
    "reviewed_on": None,
}


def shelf(*products: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(
        [{"product_id": f"p{n}", **product} for n, product in enumerate(products, start=1)],
        columns=list(PRODUCT),
    )
    for name, default in PRODUCT.items():
        if name != "product_id" and not any(name in product for product in products):
            frame[name] = [default] * len(frame)
    kinds = {
        "min_income": "float64",
        "max_credit_utilization": "float64",
        "commission_rate": "float64",
        "cost_monthly": "float64",
    }
    kinds |= {"min_credit_score": "Int64", "priority": "Int64", "active": "boolean"}
    return frame.astype(kinds)


def matches(
    products: pd.DataFrame,
    *customers: dict[str, Any],
    persona: str = "savings_builder",
    insights: pd.DataFrame | None = None,
) -> pd.DataFrame:
    ids = [f"u{n}" for n in range(len(customers))]
    rows = [dict.fromkeys(UNKNOWN) | SIGNALS | customer for customer in customers]
    features = pd.DataFrame(rows, columns=[*UNKNOWN, *SIGNALS]).astype(
        {name: "float64" for name in [*UNKNOWN, *SIGNALS] if name not in ("interest_charges_present", "currency")}
    )
    features["interest_charges_present"] = features["interest_charges_present"].astype("boolean")
    features["investment_account_detected"] = features["investment_account_detected"].astype("boolean")
    features.insert(0, "user_id", pd.Series(ids, dtype="str"))
    features.insert(1, "as_of", pd.Series([DAY] * len(ids), dtype=object))
    features.insert(2, "window_days", pd.Series([30] * len(ids), dtype="Int64"))
    personas = features[["user_id", "as_of", "window_days"]].assign(
        persona=persona, is_fallback=pd.Series(False, index=features.index, dtype="boolean")
    )
    long_personas, long_features = (
        frame.assign(window_days=pd.Series(180, index=frame.index, dtype="Int64")) for frame in (personas, features)
    )
    return product_matches(personas, long_personas, features, long_features, products, insights)


def only(products: pd.DataFrame, **signals: Any) -> pd.Series:
    return matches(products, signals).iloc[0]


def refusals(products: pd.DataFrame, **signals: Any) -> list[str]:
    return json.loads(only(products, **signals).refused)


@pytest.mark.parametrize(
    ("kind", "signals", "relevance"),
    [
        ("balance_transfer", {"avg_utilization": 0.5}, 0.5),
        ("balance_transfer", {"avg_utilization": 0.51}, 0.8),
        ("balance_transfer", {"avg_utilization": 0.4, "interest_charges_present": True}, 0.7),
        ("balance_transfer", {"avg_utilization": 0.71, "interest_charges_present": True}, 1.0),
        ("savings_hysa", {"net_savings_inflow": 50.0, "emergency_fund_months": 2.9}, 0.4),
        ("savings_hysa", {"net_savings_inflow": 50.0, "emergency_fund_months": 1.0, "savings_growth_rate": 0.03}, 0.6),
        ("savings_hysa", {"net_savings_inflow": 0.0, "emergency_fund_months": 1.0}, 0.0),
        ("savings_hysa", {}, 0.5),
        ("budgeting_app", {"income_variability": 0.31}, 0.8),
        ("budgeting_app", {"income_variability": 0.31, "cash_flow_buffer_months": 0.9}, 1.0),
        ("subscription_manager", {"recurring_merchants": 4}, 0.5),
        ("subscription_manager", {"recurring_merchants": 5}, 0.9),
        ("subscription_manager", {"subscription_spend_share": 0.21}, 0.8),
        ("robo_advisor", {"max_utilization": 0.29}, 0.9),
        ("robo_advisor", {"max_utilization": None, "card_count": 0}, 0.9),
        ("robo_advisor", {"max_utilization": None, "card_count": 1}, 0.5),
        ("robo_advisor", {"regular_income": 5_000.0, "max_utilization": 0.1}, 0.5),
        ("robo_advisor", {"emergency_fund_months": 3.0, "investment_account_detected": True}, 0.4),
        ("insurance_review", {"avg_utilization": 0.9, "recurring_merchants": 9}, 0.5),
    ],
)  # fmt: skip
def test_relevance_gains_and_loses_as_published(kind: str, signals: dict[str, Any], relevance: float):
    row = only(shelf({"product_type": kind}), **signals)
    assert row.relevance == pytest.approx(relevance)
    assert ("low_relevance" in json.loads(row.refused)) == (relevance < 0.5)
    scored = 0.5 + sum(factor["points"] for factor in json.loads(row.factors))
    assert row.relevance == pytest.approx(min(max(scored, 0), 1))


@pytest.mark.parametrize(
    ("product", "signals", "code"),
    [
        ({"min_income": 6_000.01}, {}, "below_min_income"),
        ({"min_income": 1.0}, {"regular_income": None}, "income_unknown"),
        ({"max_credit_utilization": 0.39}, {}, "above_max_utilization"),
        ({"max_credit_utilization": 0.0}, {"max_utilization": 0.01}, "above_max_utilization"),
        ({"max_credit_utilization": 0.5}, {"max_utilization": None}, "utilization_unknown"),
        ({"min_credit_score": 300}, {}, "credit_score_unknown"),
        ({"requires_no_existing_savings": True}, {"savings_balance": 0.0}, "has_savings"),
        ({"requires_no_existing_savings": True}, {"net_savings_inflow": 0.0}, "has_savings"),
        ({"requires_no_existing_savings": True}, {"total_spend": None}, "savings_unknown"),
        ({"requires_no_existing_investment": True}, {"investment_account_detected": True}, "has_investment"),
        ({"active": False}, {}, "inactive"),
        ({"persona_targets": '["wealth_builder"]'}, {}, "not_for_persona"),
        ({"product_type": "balance_transfer"}, {"avg_utilization": 0.29}, "utilization_below_30"),
        ({"product_type": "balance_transfer"}, {"avg_utilization": None}, "utilization_unknown"),
        ({"product_type": "balance_transfer"}, {"avg_utilization": None, "card_count": 0}, "utilization_below_30"),
    ],
)  # fmt: skip
def test_a_product_that_is_not_for_a_customer_says_why(product: dict[str, Any], signals: dict[str, Any], code: str):
    row = only(shelf({**PRODUCT, **product}), **signals)
    assert (json.loads(row.refused), row.eligible, row.shown) == ([code], False, False)
    assert code in REASONS


@pytest.mark.parametrize(
    ("product", "signals"),
    [
        ({"min_income": 6_000.0}, {}),
        ({"min_income": 0.0}, {"regular_income": None}),
        ({"max_credit_utilization": 0.4}, {}),
        ({"max_credit_utilization": 0.0}, {"max_utilization": 0.0}),
        ({"max_credit_utilization": 0.0}, {"max_utilization": None, "card_count": 0}),
        ({"requires_no_existing_savings": True}, {}),
        ({"requires_no_existing_investment": True}, {}),
        ({"persona_targets": "[]"}, {}),
        ({"persona_targets": '["savings_builder"]'}, {}),
        ({"product_type": "balance_transfer"}, {"avg_utilization": 0.3}),
    ],
)
def test_a_criterion_is_met_at_its_limit(product: dict[str, Any], signals: dict[str, Any]):
    row = only(shelf({**PRODUCT, **product}), **signals)
    assert (json.loads(row.refused), row.eligible, row.shown, row["rank"]) == ([], True, True, 1)


def test_every_reason_is_given_not_only_the_first():
    product = PRODUCT | {"min_income": 9_000.0, "active": False, "min_credit_score": 700}
    assert set(refusals(shelf(product))) == {"inactive", "credit_score_unknown", "below_min_income"}


def test_the_two_most_relevant_are_shown_then_by_the_products_own_order():
    products = shelf(
        PRODUCT | {"product_id": "c", "priority": 2},
        PRODUCT | {"product_id": "b", "priority": None},
        PRODUCT | {"product_id": "app", "product_type": "budgeting_app", "priority": 9},
        PRODUCT | {"product_id": "a", "priority": None},
        PRODUCT | {"product_id": "gone", "product_type": "budgeting_app", "priority": 1, "active": False},
    )
    rows = matches(products, {"income_variability": 0.5}).set_index("product_id")
    assert rows["rank"].dropna().to_dict() == {"app": 1, "c": 2, "a": 3, "b": 4}, (
        "whoever is next when history keeps one away"
    )
    assert rows.index[rows["shown"]].tolist() == ["c", "app"]
    assert json.loads(rows.refused["a"]) == ["not_among_best"]
    assert rows.eligible.to_dict() == {"c": True, "b": True, "app": True, "a": True, "gone": False}


def test_a_products_minimum_income_is_in_dollars_and_the_customers_in_their_currency():
    products = shelf(PRODUCT | {"min_income": 1_000.0})
    earned = {"regular_income": 22_999.0}
    rows = matches(products, earned | {"currency_factor": 23.0}, earned)
    assert list(rows.eligible) == [False, True]


def test_a_pension_counts_towards_a_products_minimum_income():
    pensioner = {"avg_monthly_income": None, "regular_income": 2_000.0}
    assert refusals(shelf(PRODUCT | {"min_income": 2_000.0}), **pensioner) == []
    assert refusals(shelf(PRODUCT | {"min_income": 2_000.01}), **pensioner) == ["below_min_income"]


def test_offers_follow_the_longer_window_where_thirty_days_say_nothing():
    short = pd.DataFrame({
        "user_id": ["u"], "as_of": [DAY], "window_days": [30], "persona": ["savings_builder"], "is_fallback": [True],
    })  # fmt: skip
    long = short.assign(window_days=180, persona="subscription_heavy", is_fallback=False)
    few = pd.DataFrame([dict.fromkeys(UNKNOWN) | SIGNALS | {"user_id": "u", "as_of": DAY, "window_days": 30}])
    many = few.assign(window_days=180, recurring_merchants=6)
    row = product_matches(short, long, few, many, shelf(PRODUCT | {"product_type": "subscription_manager"})).iloc[0]
    assert (row.window_days, row.relevance) == (180, 0.9)


def test_tables_of_two_days_are_refused():
    personas = pd.DataFrame({
        "user_id": ["u"], "as_of": [DAY], "window_days": [30], "persona": ["savings_builder"], "is_fallback": [False],
    })  # fmt: skip
    features = pd.DataFrame(
        [dict.fromkeys(UNKNOWN) | SIGNALS | {"user_id": "u", "as_of": dt.date(2026, 3, 30), "window_days": 30}]
    )
    with pytest.raises(MixedDays, match="u"):
        product_matches(personas, personas.iloc[:0], features, features.iloc[:0], shelf(PRODUCT))


def test_no_customer_or_no_product_gives_an_empty_table_that_keeps_the_contract():
    for rows in (matches(shelf(PRODUCT)), matches(shelf(PRODUCT).iloc[:0], {})):
        assert rows.empty
        assert failures(CONTRACTS["product_matches"], rows).empty


def test_relevance_reads_features_only():
    known = {*CONTRACTS["features_30d"].columns, "has_savings"}
    assert {signal for rule in RELEVANCE for signal, _, _ in rule.criteria} <= known


some = st.fixed_dictionaries({
    "avg_utilization": st.sampled_from([None, 0.1, 0.3, 0.6, 0.8]),
    "income_variability": st.sampled_from([None, 0.1, 0.5]),
    "recurring_merchants": st.sampled_from([None, 0, 5]),
    "savings_balance": st.sampled_from([None, 0.0, 500.0]),
    "avg_monthly_income": st.sampled_from([None, 900.0, 7_000.0]),
    "regular_income": st.sampled_from([None, 900.0, 7_000.0]),
})  # fmt: skip
products = st.fixed_dictionaries({
    "product_type": st.sampled_from(["balance_transfer", "budgeting_app", "subscription_manager", "other"]),
    "min_income": st.sampled_from([None, 1_000.0]),
    "priority": st.sampled_from([None, 1, 2]),
    "active": st.booleans(),
})  # fmt: skip


catalogues = st.lists(products, min_size=1, max_size=6)
shoppers = st.lists(some, min_size=1, max_size=3)
paid = st.lists(st.floats(0, 1), min_size=6, max_size=6)


@pytest.mark.parametrize("examples", [15, pytest.param(300, marks=pytest.mark.verify)])
def test_what_we_are_paid_changes_nothing_and_every_row_adds_up(examples: int):
    settings(max_examples=examples)(given(catalogues, shoppers, paid)(commissions_change_nothing))()


def commissions_change_nothing(
    catalogue: list[dict[str, Any]], customers: list[dict[str, Any]], commissions: list[float]
):
    table = shelf(*[{**PRODUCT, **product, "product_id": f"p{n}"} for n, product in enumerate(catalogue)])
    rows = matches(table, *customers)
    paid = matches(table.assign(commission_rate=commissions[: len(table)]), *customers)
    pd.testing.assert_frame_equal(rows, paid)
    pd.testing.assert_frame_equal(rows, matches(table.drop(columns="commission_rate"), *customers))

    assert len(rows) == len(table) * len(customers)
    assert failures(CONTRACTS["product_matches"], rows).empty
    assert (rows["refused"].eq("[]") == rows["shown"]).all()
    assert rows.loc[rows["shown"], "eligible"].all()
    assert rows.groupby("user_id")["shown"].sum().max() <= 2
    for _, of_customer in rows.groupby("user_id"):
        candidates = of_customer[of_customer["eligible"] & of_customer["relevance"].ge(0.5)]
        assert of_customer["shown"].sum() == min(2, len(candidates))
        assert sorted(of_customer["rank"].dropna()) == list(range(1, len(candidates) + 1))
        left = candidates.loc[~candidates["shown"], "relevance"]
        assert left.empty or left.max() <= candidates.loc[candidates["shown"], "relevance"].min()


@pytest.mark.parametrize(
    ("product", "refused"),
    [
        ({"category": "credit", "cost_monthly": 0.0}, True),
        ({"category": "investing", "cost_monthly": 0.0}, True),
        ({"cost_monthly": 4.0}, True),
        ({"cost_monthly": None}, True),
        ({"cost_monthly": 0.0}, False),
        ({"product_type": "credit_counseling", "cost_monthly": 0.0}, False),
    ],
)
def test_in_trouble_only_what_is_free_and_neither_credit_nor_investment_is_shown(
    product: dict[str, Any], refused: bool
) -> None:
    row = matches(shelf(PRODUCT | product), {"any_overdue": 1.0}).iloc[0]
    assert ("in_trouble" in row["refused"]) is refused


@pytest.mark.parametrize(
    ("customer", "trouble"),
    [
        ({"any_overdue": 1.0}, True),
        ({"any_overdue": 0.0}, False),
        ({"cash_flow_buffer_months": -0.01}, True),
        ({"cash_flow_buffer_months": 0.24}, False),
        ({"fees_30d": 45.01}, True),
        ({"fees_30d": 0.0}, False),
        ({"monthly_bills": 3_000.01}, True),
        ({"monthly_bills": 3_000.0}, False),
        ({"monthly_bills": 3_000.01, "regular_income": None}, False),
        ({"monthly_bills": 3_000.01, "cash_flow_buffer_months": 2.99}, True),
        ({"monthly_bills": 3_000.01, "cash_flow_buffer_months": 3.0}, False),
        ({"any_overdue": 1.0, "cash_flow_buffer_months": 3.0}, True),
        ({}, False),
    ],
)
def test_who_is_in_trouble(customer: dict[str, Any], trouble: bool) -> None:
    help_, other = PRODUCT | {"product_type": HELP[0]}, PRODUCT
    rows = matches(shelf(help_, other), customer)
    assert rows["shown"].tolist() == [trouble, not trouble]


def test_fees_alone_ask_for_no_help_where_three_months_of_spending_are_there() -> None:
    rows = matches(
        shelf(PRODUCT | {"product_type": HELP[0]}, PRODUCT), {"fees_30d": 45.01, "cash_flow_buffer_months": 3.0}
    )
    assert [json.loads(refused) for refused in rows["refused"]] == [["help_not_needed"], ["in_trouble"]]


def test_a_single_fee_keeps_away_what_costs_and_asks_for_no_help() -> None:
    rows = matches(shelf(PRODUCT | {"product_type": HELP[0]}, PRODUCT), {"fees_30d": 45.0})
    assert [json.loads(refused) for refused in rows["refused"]] == [["help_not_needed"], ["in_trouble"]]


@pytest.mark.parametrize(
    ("insight", "severity", "shown"),
    [
        ("income_stopped", "urgent", [True, False]),
        ("low_balance_ahead", "urgent", [False, False]),
        ("fixed_costs_high", "notable", [False, False]),
        ("spending_above_income", "notable", [False, False]),
        ("income_late", "notable", [False, False]),
        ("fees_charged", "notable", [False, True]),
    ],
)
def test_urgent_insights_keep_away_what_costs_and_pay_that_stopped_brings_help(
    insight: str, severity: str, shown: list[bool]
) -> None:
    found = pd.DataFrame([{"user_id": "u0", "insight": insight, "severity": severity}])
    rows = matches(shelf(PRODUCT | {"product_type": HELP[0]}, PRODUCT), {}, insights=found)
    assert rows["shown"].tolist() == shown


@pytest.mark.parametrize(
    ("insight", "severity", "short"),
    [
        ("spending_above_income", "notable", True),
        ("bills_before_payday", "notable", True),
        ("fees_charged", "urgent", True),
        ("fees_charged", "notable", False),
        ("thin_cushion", "notable", False),
    ],
)
def test_no_place_for_savings_is_offered_to_whom_an_insight_says_that_money_is_short(
    insight: str, severity: str, short: bool
) -> None:
    found = pd.DataFrame([{"user_id": "u0", "insight": insight, "severity": severity}])
    products = shelf(*(PRODUCT | {"category": category, "cost_monthly": 0.0} for category in ("savings", "budgeting")))
    rows = matches(products, {}, insights=found)
    assert ["money_is_short" in refused for refused in rows["refused"]] == [short, False]


@pytest.mark.parametrize(
    ("customer", "thin"),
    [
        ({"cash_flow_buffer_months": 0.23}, True),
        ({"cash_flow_buffer_months": 0.24}, False),
        ({"cash_flow_buffer_months": 0.13, "savings_balance": 9.0, "emergency_fund_months": 0.1}, True),
        ({"cash_flow_buffer_months": 0.13, "savings_balance": 9.0, "emergency_fund_months": 0.11}, False),
        ({"cash_flow_buffer_months": 0.13, "net_savings_inflow": 9.0}, False),
        ({}, False),
    ],
)
def test_nothing_that_costs_is_shown_beside_a_thin_cushion(customer: dict[str, Any], thin: bool) -> None:
    rows = matches(shelf(PRODUCT | {"cost_monthly": 4.0}, PRODUCT | {"cost_monthly": 0.0}), customer)
    assert ["thin_cushion" in refused for refused in rows["refused"]] == [thin, False]


@pytest.mark.parametrize(("days", "overdue"), [(365, False), (366, True), (-30, False), (None, False)])
def test_a_product_that_nobody_reviewed_for_a_year_is_not_offered(days: int | None, overdue: bool) -> None:
    reviewed = None if days is None else DAY - dt.timedelta(days=days)
    assert ("review_overdue" in refusals(shelf(PRODUCT | {"reviewed_on": reviewed}))) is overdue


def test_an_offer_in_another_currency_is_none() -> None:
    abroad, home, anywhere = ({"currency": "EUR"}, {"currency": "USD"}, {"currency": None})
    rows = matches(shelf(*(PRODUCT | one for one in (abroad, home, anywhere))), {}, {"currency": None})
    assert ["other_country" in refused for refused in rows["refused"]] == [True, False, False, False, False, False]


def test_ties_go_to_what_costs_the_customer_less_whatever_its_place_in_the_catalogue() -> None:
    dear, cheap = {"cost_monthly": 9.0, "priority": 1}, {"cost_monthly": 1.0, "priority": 3}
    unknown = {"cost_monthly": None, "priority": 2}
    rows = matches(shelf(*(PRODUCT | one for one in (dear, cheap, unknown))), {})
    assert rows["rank"].tolist() == [2, 1, 3]


def test_the_catalogue_that_ships_is_plain_and_complete():
    catalogue = json.loads(CATALOGUE.read_text())
    assert len(catalogue) == 27
    assert len({product["product_id"] for product in catalogue}) == 27
    assert {rule.product_type for rule in RELEVANCE} < {product["product_type"] for product in catalogue}
    assert sum(not product["active"] for product in catalogue) == 1
    assert any(product["max_credit_utilization"] == 0 for product in catalogue)
    said = " ".join(json.dumps(product) for product in catalogue).lower()
    for word in ("approved", "guarantee", "risk-free", "best"):
        assert word not in said
    for product in catalogue:
        if product["partner_link"] is None:
            assert product["product_type"] in HELP, "the bank's own"
            continue
        assert product["partner_link"].startswith("https://")
        assert product["partner_link"].split("/")[2].endswith((".example", "example.com"))
        assert product["disclosure"]
        assert product["short_description"].endswith(".")
        assert set(product["persona_targets"] or []) <= set(PERSONAS)
    assert all(dt.date.fromisoformat(product["reviewed_on"]) for product in catalogue)
