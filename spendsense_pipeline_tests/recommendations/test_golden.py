"""Golden situations: households written by hand, and what their texts say and never say."""

import datetime as dt
import functools
import json
import re
from typing import Any, NamedTuple

import pandas as pd
import pytest

from spendsense_pipeline.features.signals import EPOCH, evidence_of, tables_of
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.insights.of_range import insights_of
from spendsense_pipeline.personas.assignment import assign_personas
from spendsense_pipeline.recommendations.drafts import draft_recommendations
from spendsense_pipeline.recommendations.library import education_templates
from spendsense_pipeline.recommendations.offers import product_matches
from spendsense_pipeline.recommendations.situations import situations
from spendsense_pipeline_tests.features.ledger import AS_OF, monthly
from spendsense_pipeline_tests.insights.household import Happens, Household, street
from spendsense_pipeline_tests.insights.test_insights import (
    SAID,
    annual,
    benefit,
    bought,
    cash,
    credited,
    elsewhere,
    falling,
    fee,
    late,
    minimum,
    owing,
    paid,
    paid_on,
    power,
    raised,
    saved,
    second_job,
    service,
    services,
    spent_monthly,
    stores,
)
from spendsense_pipeline_tests.recommendations.customers import LIBRARY
from spendsense_pipeline_tests.recommendations.test_drafts import HISTORY, catalogue, consents

GROWTH = ("your savings grew", "growing", "put aside", "invest")
MORE_ON_A_CARD = ("extra payment", "beyond the minimum")


class Golden(NamedTuple):
    """A household, the insight told first, what its text says, and what no text of the customer may say."""

    happens: Happens
    first: str
    says: tuple[str, ...]
    never: tuple[str, ...] = ()


def in_euros(happens: Happens) -> Happens:
    def changed(h: Household) -> None:
        happens(h)
        for account in h.rows["accounts"]:
            account["iso_currency_code"] = "EUR"

    return changed


def con_edison(h: Household, amount: float) -> None:
    power(h, amount)
    for row in h.rows["transactions"]:
        if row["merchant_name"] == "City Power":
            row["merchant_name"] = "Con Edison"


def outgrown(h: Household) -> None:
    """Savings that grew before pay stopped."""
    paid(h, before=dt.date(2026, 5, 20))
    saved(h, 900.0, 7_000.0)


GOLDEN: dict[str, Golden] = {
    "a card past due that can be paid": Golden(
        lambda h: late(h, is_overdue=True, next_payment_due_date=dt.date(2026, 6, 14)),
        "past_due", ("card ending in 4821", r"\$35", "enough"), (*MORE_ON_A_CARD, "hardship", "$0"),
    ),
    "a card past due that cannot be paid": Golden(
        lambda h: (late(h, is_overdue=True), h.holds(checking=20.0)),
        "past_due", ("card ending in 4821",), (*GROWTH, *MORE_ON_A_CARD, "covers it"),
    ),
    "a benefit that stopped": Golden(
        lambda h: benefit(h, dt.date(2026, 4, 3)), "income_stopped", ("May 3|April 3", ), GROWTH,
    ),
    "pay that stopped after savings grew": Golden(outgrown, "income_stopped", ("June 3|May 20",), GROWTH),
    "one of two jobs that stopped": Golden(
        lambda h: second_job(h, dt.date(2026, 5, 8), 900.0), "income_stopped", ("May 22|May 8",), GROWTH,
    ),
    "a bonus between paydays": Golden(
        lambda h: paid_on(h, dt.date(2026, 6, 22), 1_500.0), "windfall", (r"\$1,500", "June 22"), ("extra payday",),
    ),
    "a higher bill of a known utility": Golden(
        lambda h: con_edison(h, 95.4), "bill_higher_than_usual", ("Con Edison", r"\$95.40", "June 18", r"about \$63"),
    ),
    "a higher bill of a utility by its name": Golden(
        lambda h: power(h, 95.0), "bill_higher_than_usual", ("City Power", r"\$95"),
    ),
    "a higher bill in euros": Golden(
        in_euros(lambda h: power(h, 95.4)), "bill_higher_than_usual", ("€95.40", "18 June"), ("EUR", "June 18"),
    ),
    "two streaming services": Golden(
        lambda h: services(h, "Hulu"), "two_of_a_kind", ("Hulu", "Netflix", "films and series"),
        (r"about \$\d+\.\d\d",),
    ),
    "two music services": Golden(
        SAID["two services for music"][1], "two_of_a_kind", ("Spotify", "Tidal", "music"), (r"about \$\d+\.\d\d",),
    ),
    "a price that rose": Golden(lambda h: raised(h, 17.99), "price_rise", ("Netflix", r"\$2.50|\$15.49"), ("$0 ",)),
    "an annual charge of a payee that few know": Golden(
        lambda h: annual(h, 7, 20), "annual_renewal_ahead", (r"\$640", "July 20"), ("Harbor",),
    ),
    "a charge three times": Golden(lambda h: bought(h, 5, 6, 7), "duplicate_charge", (r"\$84.20",), ("Blue Lamp",)),
    "a trial that became paid": Golden(
        SAID["a trial that ended"][1], "trial_became_paid", ("Audible", r"\$14.95", r"\$1\b")
    ),
    "a service that began": Golden(
        lambda h: service(h, monthly(5, 3)), "new_recurring", ("Spotify", r"\$11.99|about \$12"),
        (r"about \$\d+\.\d\d",),
    ),
    "overdrawn": Golden(
        lambda h: h.holds(checking=-86.4), "overdrawn", (r"\$86.40", "June 30"), (*GROWTH, *MORE_ON_A_CARD),
    ),
    "two fees": Golden(lambda h: (fee(h, 9), fee(h, 4)), "fees_charged", (r"\$70", "2 fees|June 26")),
    "too little before payday": Golden(
        lambda h: h.holds(checking=700.0), "low_balance_ahead", ("July 2|July 1",), GROWTH,
    ),
    "a thin cushion of which little is seen": Golden(
        lambda h: (
            spent_monthly(h, 900.0), h.holds(checking=60.0, savings=None),
            [elsewhere(h, day) for day in (10, 40, 70, 100, 130, 160)],
        ),
        "thin_cushion", ("June 30", r"\$60|July 10"), (*GROWTH, "$0"),
    ),
    "idle cash": Golden(lambda h: h.holds(checking=9_000.0), "idle_cash", (r"\$9,000",)),
    "two cards at different rates": Golden(
        lambda h: owing(h, (400.0, 19.0), (900.0, 27.0)), "dearest_first", ("card ending in 4811",),
    ),
    "the minimum": Golden(lambda h: minimum(h, 40.0), "minimum_only", (r"card ending in 4821|\$40",)),
    "a card balance that falls": Golden(lambda h: falling(h, 150.0), "balance_falling", (r"\$1,000|\$1,150",)),
    "savings that dropped": Golden(lambda h: saved(h, -2_000.0, 4_000.0), "savings_drop", (r"\$2,000|33%",), GROWTH),
    "a large order": Golden(lambda h: stores(h, "Target", 330.0), "unusual_spending", ("Target", r"\$330|\$276")),
    "mostly cash": Golden(lambda h: cash(h, 3_000.0), "cash_withdrawals", (r"\$3,000", "2 withdrawals|75%")),
    "interest from the bank": Golden(
        lambda h: credited(h, 12.5, 5, 35), "interest_earned", (r"\$12\.50", r"\$25|\$150")
    ),
    "interest from the bank below zero": Golden(
        lambda h: (credited(h, 12.5, 5, 35), h.holds(checking=-86.4)), "overdrawn", (r"\$86\.40",), ("bank paid you",)
    ),
    "a card that is not linked": Golden(
        lambda h: elsewhere(h, 9), "card_not_linked", (r"\$410", "June 21|several months")
    ),
}  # fmt: skip


@functools.cache
def drafted() -> pd.DataFrame:
    """The drafts of all households, made in one pass."""
    ledger = street({case: golden.happens for case, golden in GOLDEN.items()})
    evidence = evidence_of(ledger.customers(), [(AS_OF - EPOCH).days], [30, 180])
    signals = tables_of(evidence)
    insights = to_frame(insights_of(evidence, signals)["insights"])
    features = to_frame(signals.features)
    short, long = (features[features["window_days"] == days].reset_index(drop=True) for days in (30, 180))
    frames = assign_personas(short), assign_personas(long), short, long
    where = situations(*frames, to_frame(signals.streams), to_frame(signals.cards), insights)
    return draft_recommendations(
        where, education_templates(where, LIBRARY, AS_OF), product_matches(*frames, catalogue(), insights), catalogue(),
        consents(list(GOLDEN), ("education",)), pd.DataFrame([], columns=HISTORY), AS_OF,
    )  # fmt: skip


def texts(case: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = drafted()[drafted()["user_id"] == case].to_dict("records")
    return [row | {"text": f"{row['title']}\n{row['content']}".split("\n\nFigures as of")[0]} for row in rows]


@pytest.mark.parametrize("case", GOLDEN)
def test_a_golden_situation_reads_as_it_should(case: str) -> None:
    golden, found = GOLDEN[case], texts(case)
    told = {row["insight"]: row["text"] for row in found}
    assert golden.first in told, list(told)
    urgent = INSIGHTS[golden.first].severity == "urgent"
    assert not urgent or found[0]["insight"] == golden.first
    for words in golden.says:
        assert re.search(words, told[golden.first]), told[golden.first]
    for row in found:
        for words in golden.never:
            assert not re.search(words if "\\" in words else re.escape(words), row["text"]), row["text"]


def test_no_amount_after_about_has_cents_and_every_draft_is_clean() -> None:
    assert (
        not drafted()["content"].str.contains(r"\b(?:about|around|roughly|nearly) [$€£]\d[\d,]*\.\d", case=False).any()
    )
    assert set(drafted()["findings"]) == {"[]"}
    assert all("about" not in slot for text in drafted()["slots"] for slot in json.loads(text).values())


def test_every_golden_draft_but_a_welcome_shows_two_figures_of_the_customers_own() -> None:
    welcome = {piece.template_id for piece in LIBRARY if "fallback=yes" in piece.facts}
    for row in drafted().to_dict("records"):
        own = set(json.loads(row["slots"])) - {"as_of", "window"}
        assert len(own) >= 2 or row["template_id"] in welcome, (row["user_id"], row["template_id"])
