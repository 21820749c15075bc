"""Situations: whose persona is followed, which facts and figures the writing may rest on."""

import json

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from spendsense_pipeline.recommendations.situations import (
    FACTS,
    PERSONA_FACTS,
    SituationError,
    situations,
)
from spendsense_pipeline_tests.recommendations.customers import (
    AS_OF,
    EVERYONE,
    NOTHING_KNOWN,
    QUIET,
    SAVING,
    STRAINED,
    SUBSCRIPTIONS,
    day,
    features,
    streams,
)


def test_every_customer_is_in_one_situation_of_their_persona() -> None:
    frame = situations(*day(EVERYONE), streams(SUBSCRIPTIONS)).set_index("user_id")
    for user in EVERYONE:
        assert frame.at[user, "persona"] == ("savings_builder" if user == "fallback" else user)
    assert frame["situation"].nunique() == len(EVERYONE)


def test_the_key_of_a_situation_is_readable_and_stable() -> None:
    frame = situations(*day({"a": STRAINED}), streams([]))
    expected = "high_utilization/util=80+,interest=yes,overdue=no,minimum=yes,saving_with_interest=no/slots="
    assert frame.at[0, "situation"].startswith(expected)
    assert (
        situations(*day({"b": STRAINED | {"max_utilization": 0.91}}), streams([])).at[0, "situation"]
        == frame.at[0, "situation"]
    )


def test_the_long_window_is_followed_where_the_short_one_is_a_fallback() -> None:
    from spendsense_pipeline.personas.assignment import assign_personas

    short, long = features({"a": QUIET}, 30), features({"a": STRAINED | {"interest_charges": 277.2}}, 180)
    frame = situations(assign_personas(short), assign_personas(long), short, long, streams([]))
    assert (frame.at[0, "persona"], frame.at[0, "window_days"]) == ("high_utilization", 180)
    assert json.loads(frame.at[0, "slots"])["interest_monthly"]["shown"] == "$46.20"


def test_a_persona_without_features_of_its_day_is_refused() -> None:
    short_personas, long_personas, short, long = day(EVERYONE)
    with pytest.raises(SituationError):
        situations(short_personas, long_personas, short.iloc[1:], long.iloc[1:], streams([]))


def test_what_is_unknown_stays_unknown_in_the_facts() -> None:
    frame = situations(*day({"a": NOTHING_KNOWN}), streams([]))
    assert json.loads(frame.at[0, "facts"]) == {
        "fallback": "yes", "fund": "unknown", "growth": "unknown", "saving": "unknown",
    }  # fmt: skip


def test_available_slots_are_part_of_the_situation() -> None:
    known = situations(*day({"a": SAVING}), streams([])).at[0, "situation"]
    unknown = situations(*day({"a": SAVING | {"avg_monthly_expenses": None}}), streams([])).at[0, "situation"]
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
    named = json.loads(situations(*day(chosen), streams(rows)).at[0, "slots"])["subscription_payees"]["shown"]
    assert named == "Planet Fitness, Netflix and Adobe"


def test_saving_while_paying_interest_is_seen() -> None:
    frame = situations(*day({"a": STRAINED | {"net_savings_inflow": 120.0}}), streams([]))
    assert json.loads(frame.at[0, "facts"])["saving_with_interest"] == "yes"


def test_the_order_of_the_tables_changes_nothing() -> None:
    frames = day(EVERYONE)
    turned = [frame.iloc[::-1].reset_index(drop=True) for frame in frames]
    one = situations(*frames, streams(SUBSCRIPTIONS))
    two = situations(*turned, streams(SUBSCRIPTIONS[::-1]))  # type: ignore[call-arg, arg-type]
    assert one.drop(columns="reasons").equals(two.drop(columns="reasons"))


def test_thousands_of_customers_fall_into_few_situations() -> None:
    customers = {
        f"u{n}": EVERYONE[who] | {"avg_monthly_expenses": 1500.0 + n} for n, who in enumerate(list(EVERYONE) * 100)
    }
    assert situations(*day(customers), streams([]))["situation"].nunique() <= 12


NUMBERS = st.one_of(st.none(), st.floats(-2, 3), st.floats(0, 20_000))


ROW = st.fixed_dictionaries(
    dict.fromkeys([k for k, v in QUIET.items() if isinstance(v, float) and k != "currency_factor"], NUMBERS)
    | dict.fromkeys([k for k, v in QUIET.items() if isinstance(v, bool)], st.sampled_from([None, True, False]))
)


@settings(max_examples=8, deadline=None, phases=[Phase.generate])  # shrinking twenty customers takes minutes
@given(st.lists(ROW, min_size=10, max_size=20))
def test_whatever_is_known_or_not_facts_have_declared_bands_and_nothing_unfit_is_shown(rows: list) -> None:  # type: ignore[type-arg]
    customers = {f"u{n}": QUIET | row | {"investment_account_detected": False} for n, row in enumerate(rows)}
    for one in situations(*day(customers), streams([])).to_dict("records"):
        facts = json.loads(one["facts"])
        assert tuple(facts) == PERSONA_FACTS[one["persona"]]
        for name, band in facts.items():
            assert band in {*FACTS[name].bands, "unknown"}
        for slot in json.loads(one["slots"]).values():
            assert not slot["shown"].startswith(("$-", "-", "0%", "$0", "0 "))
            assert "nan" not in slot["shown"].lower()
            assert "None" not in slot["shown"]
