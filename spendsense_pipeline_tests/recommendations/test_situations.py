"""Situations: whose persona is followed, which facts and figures the writing may rest on."""

import itertools
import json
import re
from typing import Any

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from spendsense_pipeline.personas.trust import not_drafted, trusted
from spendsense_pipeline.recommendations.facts import FACTS, PERSONA_FACTS, PERSONA_SLOTS, explained, situation_key
from spendsense_pipeline.recommendations.situations import SituationError, situations
from spendsense_pipeline.recommendations.slots import fill
from spendsense_pipeline_tests.recommendations.customers import (
    AS_OF,
    CARDS,
    EVERYONE,
    NOTHING_KNOWN,
    QUIET,
    SAVING,
    STRAINED,
    SUBSCRIPTIONS,
    UNEVEN,
    cards,
    day,
    features,
    streams,
)


def test_every_customer_is_in_one_situation_of_their_persona() -> None:
    frame = situations(*day(EVERYONE), streams(SUBSCRIPTIONS), cards()).set_index("user_id")
    for user in EVERYONE:
        assert frame.at[user, "persona"] == ("savings_builder" if user == "fallback" else user)
    assert frame["situation"].nunique() == len(EVERYONE)


@pytest.mark.parametrize(
    ("reason", "enough", "too_little"),
    [
        ("stale", {"data_age_days": 7}, {"data_age_days": 8}),
        ("unexplained", {"explained_share": 0.5}, {"explained_share": 0.49}),
        ("without_balances", {"balance_age_days": 400}, {"balance_age_days": None}),
    ],
)
def test_whose_figures_say_too_little_is_in_no_situation(
    reason: str, enough: dict[str, Any], too_little: dict[str, Any]
) -> None:
    strained = STRAINED | too_little
    customers = {"fine": QUIET | enough, "left out": QUIET | too_little, "strained": strained}
    customers["no rows"] = NOTHING_KNOWN | {"balance_age_days": 1}
    short, long, features_30d, features_180d = day(customers)
    current = trusted(short, features_30d, 7)
    frame = situations(current, long, features_30d, features_180d, streams([]), cards())
    assert list(frame["user_id"]) == ["fine", "no rows"]
    counted = not_drafted(features_30d, 7).sum().to_dict()
    assert counted == dict.fromkeys(("stale", "unexplained", "without_balances"), 0) | {reason: 2}
    assert list(trusted(short, features_30d, 8)["user_id"]).count("left out") == (reason == "stale")


@pytest.mark.parametrize(("insight", "band"), [("past_due", "yes"), ("bill_due_soon", "unknown")])
def test_a_payment_is_past_due_where_its_insight_holds(insight: str, band: str) -> None:
    held = pd.DataFrame([{"user_id": "a", "insight": insight, "severity": "notable", "topic": "debt", "detail": None,
                          "figures": "{}", "insight_id": "x"}])  # fmt: skip
    frame = situations(*day({"a": STRAINED | {"any_overdue": True}}), streams([]), cards(), held)
    (facts,) = frame["facts"][frame["insight"].isna()]
    assert json.loads(facts)["overdue"] == band


@pytest.mark.parametrize("persona", PERSONA_SLOTS)
def test_no_two_choices_of_slots_share_a_name(persona: str) -> None:
    every = PERSONA_SLOTS[persona]
    choices = [chosen for count in range(len(every) + 1) for chosen in itertools.combinations(every, count)]
    assert len({situation_key(persona, {}, dict.fromkeys(chosen)) for chosen in choices}) == len(choices)


def test_the_key_of_a_situation_is_readable_and_stable() -> None:
    frame = situations(*day({"a": STRAINED}), streams([]), cards())
    expected = (
        "high_utilization/util=80+,interest=yes,overdue=no,minimum=yes,cards_owing=unknown,"
        "saving_with_interest=unknown,savings_above_cards=unknown/slots="
    )
    assert frame.at[0, "situation"].startswith(expected)
    assert (
        situations(*day({"b": STRAINED | {"max_utilization": 0.91}}), streams([]), cards()).at[0, "situation"]
        == frame.at[0, "situation"]
    )


@pytest.mark.parametrize(
    ("customer", "spoken_of"),
    [
        ({"avg_monthly_expenses": 600.0}, True),
        ({"avg_monthly_expenses": 599.0}, False),  # below a fifth of what comes in
        ({"avg_monthly_expenses": 200.0, "regular_income": None, "avg_monthly_income": None}, True),
        ({"avg_monthly_expenses": 199.0, "regular_income": None, "avg_monthly_income": None}, False),
        ({"unlinked_cards": 1, "unlinked_card_payments": 480.0}, True),
        ({"unlinked_cards": 1, "unlinked_card_payments": 481.0}, False),  # above a fifth of what is seen
    ],
)
def test_no_text_speaks_of_spending_where_a_part_of_it_is_out_of_sight(
    customer: dict[str, Any], spoken_of: bool
) -> None:
    rows = situations(*day({"a": SAVING | {"regular_income": 3_000.0} | customer}), streams([]), cards())
    slots, facts = json.loads(rows.at[0, "slots"]), json.loads(rows.at[0, "facts"])
    assert ({"monthly_expenses", "fund_months", "fund_target"} <= set(slots)) is spoken_of
    assert (facts["fund"] != "unknown") is spoken_of


def test_the_long_window_is_followed_where_the_short_one_is_a_fallback() -> None:
    from spendsense_pipeline.personas.assignment import assign_personas

    short, long = features({"a": QUIET}, 30), features({"a": STRAINED | {"interest_charges": 277.2}}, 180)
    frame = situations(assign_personas(short), assign_personas(long), short, long, streams([]), cards())
    assert (frame.at[0, "persona"], frame.at[0, "window_days"]) == ("high_utilization", 180)
    assert json.loads(frame.at[0, "slots"])["interest_monthly"]["shown"] == "$46.20"


def test_a_persona_without_features_of_its_day_is_refused() -> None:
    short_personas, long_personas, short, long = day(EVERYONE)
    with pytest.raises(SituationError):
        situations(short_personas, long_personas, short.iloc[1:], long.iloc[1:], streams([]), cards())


def test_what_is_unknown_stays_unknown_in_the_facts() -> None:
    frame = situations(*day({"a": NOTHING_KNOWN}), streams([]), cards())
    assert json.loads(frame.at[0, "facts"]) == {
        "fallback": "yes", "fund": "unknown", "growth": "unknown", "saving": "unknown",
    }  # fmt: skip


def test_available_slots_are_part_of_the_situation() -> None:
    known = situations(*day({"a": SAVING}), streams([]), cards()).at[0, "situation"]
    unknown = situations(*day({"a": SAVING | {"avg_monthly_expenses": None}}), streams([]), cards()).at[0, "situation"]
    assert known.rpartition("/")[0] == unknown.rpartition("/")[0]
    assert known != unknown


def test_only_the_streams_that_the_window_reports_are_named() -> None:
    import datetime as dt

    long_ago = {"last_date": AS_OF - dt.timedelta(days=40), "expected_next_date": AS_OF + dt.timedelta(days=300)}
    rows = [
        *SUBSCRIPTIONS,
        {"user_id": "subscription_heavy", "merchant": "Dropbox", "monthly_cost": 99.0, **long_ago},
        {"user_id": "subscription_heavy", "merchant": "Canceled", "monthly_cost": 99.0, "status": "inactive"},
    ]
    chosen = {"subscription_heavy": EVERYONE["subscription_heavy"]}
    named = json.loads(situations(*day(chosen), streams(rows), cards()).at[0, "slots"])["subscription_payees"]["shown"]
    assert named == "Planet Fitness, Netflix and Adobe"


def facts_of(**changes: Any) -> dict[str, str]:
    """Facts of the strained customer, who owes 4,880 on two cards, with some signals changed."""
    customer = {"high_utilization": STRAINED | changes}
    found: dict[str, str] = json.loads(situations(*day(customer), streams([]), cards()).at[0, "facts"])
    return found


@pytest.mark.parametrize(
    ("inflow", "interest", "band"),
    [(120.0, True, "yes"), (9.99, True, "no"), (-50.0, True, "no"), (120.0, False, "no"), (None, True, "unknown")],
)
def test_saving_while_paying_interest_is_seen(inflow: float | None, interest: bool, band: str) -> None:
    assert facts_of(net_savings_inflow=inflow, interest_charges_present=interest)["saving_with_interest"] == band


@pytest.mark.parametrize(
    ("savings", "band"),
    [(4890.0, "yes"), (4889.0, "no"), (4870.0, "no"), (0.0, "no"), (None, "unknown")],
)
def test_savings_above_the_card_balance_are_seen(savings: float | None, band: str) -> None:
    assert facts_of(savings_balance=savings)["savings_above_cards"] == band


def test_a_card_whose_balance_is_unknown_leaves_all_that_is_owed_unknown() -> None:
    rows = [*CARDS, {"user_id": "high_utilization", "last4": "1111", "balance": None, "credit_limit": 500.0}]
    customer = {"high_utilization": STRAINED | {"savings_balance": 9000.0}}
    frame = situations(*day(customer), streams([]), cards(rows))
    facts, slots = json.loads(frame.at[0, "facts"]), json.loads(frame.at[0, "slots"])
    assert (facts["cards_owing"], facts["savings_above_cards"]) == ("unknown", "unknown")
    assert not {"card_balance", "fullest_card", "over_guide"} & set(slots)


@pytest.mark.parametrize(
    ("income", "band"), [(3000.0, "plus"), (2409.0, "even"), (2391.0, "even"), (2000.0, "minus"), (None, "unknown")]
)
def test_income_and_spending_that_a_text_would_show_as_the_same_are_even(income: float | None, band: str) -> None:
    customer = {"a": UNEVEN | {"regular_income": income}}
    assert json.loads(situations(*day(customer), streams([]), cards()).at[0, "facts"])["margin"] == band


SHOWN_BY = {
    "util": ("max_utilization", "max_utilization"),
    "variability": ("income_variability", "income_variability"),
    "buffer": ("buffer_days", "cash_flow_buffer_months"),
    "long_gaps": ("pay_gap", "median_pay_gap_days"),
    "streams": ("subscription_count", "recurring_merchants"),
    "share": ("subscription_share", "subscription_spend_share"),
    "fund": ("fund_months", "emergency_fund_months"),
    "growth": ("savings_growth", "savings_growth_rate"),
}
"""Fact -> the slot that shows its figure, and the signal of both."""


def as_number(text: str, fact: str) -> float:
    """A shown figure as the value that the fact is judged by."""
    number = float(re.sub(r"[^0-9.]", "", text.split()[0]))
    return number / 30 if fact == "buffer" else number / 100 if "%" in text else number


@pytest.mark.parametrize("fact", sorted(SHOWN_BY))
@given(st.data())
def test_a_shown_figure_is_never_in_another_band_than_the_text_speaks_of(fact: str, data: st.DataObject) -> None:
    slot, signal = SHOWN_BY[fact]
    most = 60.0 if fact in ("long_gaps",) else 12.0 if fact in ("fund", "streams") else 1.5
    near = st.sampled_from([0.02, 0.1, 0.2, 0.3, 0.5, 0.6, 0.8, 1.0, 3.0, 6.0, 45.0]).flatmap(
        lambda edge: st.floats(edge * 0.98, edge * 1.02)
    )
    value = data.draw(st.one_of(st.floats(0.0, most), near))
    if fact == "streams":
        value = int(value)
    shown = fill([slot], {signal: value, "as_of": AS_OF, "window_days": 30})
    if slot in shown:
        again = as_number(shown[slot]["shown"], fact)
        assert FACTS[fact].band({signal: again}) == FACTS[fact].band({signal: value}), shown[slot]


@given(st.floats(0, 20_000), st.floats(-200, 200))
def test_amounts_that_a_text_compares_never_look_the_other_way_round(amount: float, apart: float) -> None:
    signals = {
        "regular_income": amount + apart, "avg_monthly_expenses": amount, "savings_balance": amount + apart,
        "card_balance": amount, "as_of": AS_OF, "window_days": 30,
    }  # fmt: skip
    shown = fill(["monthly_income", "monthly_expenses", "savings_balance", "card_balance"], signals)
    number = {name: as_number(slot["shown"], name) for name, slot in shown.items()}
    if len(number) < 4:
        return
    margin = FACTS["margin"].band(signals)
    if margin != "even":
        assert (number["monthly_income"] > number["monthly_expenses"]) == (margin == "plus")
    if FACTS["savings_above_cards"].band(signals) == "yes":
        assert number["savings_balance"] > number["card_balance"]


def test_a_situation_explains_itself_in_words() -> None:
    told = explained(situations(*day({"a": STRAINED}), streams([]), cards()).at[0, "situation"])
    assert told["persona"] == "high_utilization"
    assert [f["fact"] for f in told["facts"]] == list(PERSONA_FACTS["high_utilization"])
    assert all(f["meaning"] for f in told["facts"])
    assert told["facts"][0]["band"] == "80+"


def test_the_order_of_the_tables_changes_nothing() -> None:
    frames = day(EVERYONE)
    turned = [frame.iloc[::-1].reset_index(drop=True) for frame in frames]
    one = situations(*frames, streams(SUBSCRIPTIONS), cards())
    two = situations(*turned, streams(SUBSCRIPTIONS[::-1]), cards())  # type: ignore[call-arg, arg-type]
    assert one.drop(columns="reasons").equals(two.drop(columns="reasons"))


def test_thousands_of_customers_fall_into_few_situations() -> None:
    customers = {
        f"u{n}": EVERYONE[who] | {"avg_monthly_expenses": 1500.0 + n} for n, who in enumerate(list(EVERYONE) * 100)
    }
    assert situations(*day(customers), streams([]), cards())["situation"].nunique() <= 14


NUMBERS = st.one_of(st.none(), st.floats(-2, 3), st.floats(0, 20_000))


ROW = st.fixed_dictionaries(
    dict.fromkeys([k for k, v in QUIET.items() if isinstance(v, float) and k != "currency_factor"], NUMBERS)
    | dict.fromkeys([k for k, v in QUIET.items() if isinstance(v, bool)], st.sampled_from([None, True, False]))
)


@pytest.mark.parametrize("examples", [4, pytest.param(60, marks=pytest.mark.verify)])
def test_whatever_is_known_or_not_facts_have_declared_bands_and_nothing_unfit_is_shown(examples: int) -> None:
    few = settings(max_examples=examples, phases=[Phase.generate])  # shrinking twenty takes minutes
    few(given(st.lists(ROW, min_size=10, max_size=20))(facts_and_slots_are_fit))()


def facts_and_slots_are_fit(rows: list) -> None:  # type: ignore[type-arg]
    customers = {f"u{n}": QUIET | row | {"investment_account_detected": False} for n, row in enumerate(rows)}
    for one in situations(*day(customers), streams([]), cards()).to_dict("records"):
        facts = json.loads(one["facts"])
        assert tuple(facts) == PERSONA_FACTS[one["persona"]]
        for name, band in facts.items():
            assert band in {*FACTS[name].bands, "unknown"}
        for slot in json.loads(one["slots"]).values():
            assert not slot["shown"].startswith(("$-", "-", "0%", "$0", "0 "))
            assert "nan" not in slot["shown"].lower()
            assert "None" not in slot["shown"]
