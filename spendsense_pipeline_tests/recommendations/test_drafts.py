"""Drafts: who gets what, under whose consent, and what history keeps from coming again."""

import datetime as dt
import functools
import json
from typing import Any

import pandas as pd
import pytest

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.recommendations.choosing import forbidden_by
from spendsense_pipeline.recommendations.drafts import draft_recommendations
from spendsense_pipeline.recommendations.identity import content_hash
from spendsense_pipeline.recommendations.library import education_templates
from spendsense_pipeline.recommendations.offers import product_matches
from spendsense_pipeline.recommendations.render import COMPENSATION, EDUCATION_DISCLOSURE, OFFER_DISCLOSURE
from spendsense_pipeline.recommendations.situations import situations
from spendsense_pipeline_tests.recommendations.customers import (
    AS_OF,
    EVERYONE,
    LIBRARY,
    NOTHING_KNOWN,
    SUBSCRIPTIONS,
    cards,
    day,
    streams,
)

HISTORY = [
    "recommendation_id", "user_id", "consent_id", "as_of", "content_type", "template_id", "product_id", "status",
    "decided_at", "released_at", "insight_id",
]  # fmt: skip
BOTH = ("education", "partner_offers")


def catalogue() -> pd.DataFrame:
    """Three products that anyone may have, in the order of their priority."""
    common: dict[str, Any] = {
        "product_type": "coaching", "category": "savings", "persona_targets": None, "min_income": None,
        "max_credit_utilization": None, "min_credit_score": None, "requires_no_existing_savings": False,
        "requires_no_existing_investment": False, "short_description": "A savings account.",
        "benefits": json.dumps(["No fee", "Opened in 5 minutes"]), "typical_apy_or_fee": "3.9 % APY",
        "partner_link": "https://clearwater.example", "partner_name": "Clearwater", "disclosure": None,
        "commission_rate": 0.1, "active": True,
        "cost_monthly": None, "country": None, "currency": None, "reviewed_on": None, "batch": "catalogue",
    }  # fmt: skip
    rows = [
        common | {"product_id": f"p{n}", "product_name": f"Account {name}", "priority": n}
        for n, name in enumerate(["Blue", "Green", "Red"], start=1)
    ]
    return pd.DataFrame(rows)


def consents(users: list[str], scopes: tuple[str, ...] = BOTH, period: str = "1") -> pd.DataFrame:
    rows = [(user, scope, f"{user}-{scope}-{period}", None) for user in users for scope in scopes]
    return pd.DataFrame(rows, columns=["user_id", "scope", "consent_id", "granted_at"])


def past(user: str, subject: str, status: str, days: int, *, offer: bool = False, **changes: Any) -> dict[str, Any]:
    on = AS_OF - dt.timedelta(days=days)
    decided = None if status == "pending_approval" else pd.Timestamp(on, tz="UTC")
    return {
        "recommendation_id": f"rec_{subject}_{days}", "user_id": user, "as_of": on,
        "consent_id": f"{user}-{'partner_offers' if offer else 'education'}-1",
        "content_type": "partner_offer" if offer else "education",
        "template_id": "offer/coaching" if offer else subject, "product_id": subject if offer else None,
        "status": status, "decided_at": decided, "released_at": None, "insight_id": None,
    } | changes  # fmt: skip


CUSTOMERS = EVERYONE | {"unknown": NOTHING_KNOWN}
ONE = ("savings_builder",)


@functools.cache
def prepared(users: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Situations, templates and matches of these customers; made once, since nothing changes its inputs."""
    frames = day({user: CUSTOMERS[user] for user in users})
    where = situations(*frames, streams([s for s in SUBSCRIPTIONS if s["user_id"] in users]), cards())
    return where, education_templates(where, LIBRARY, AS_OF), product_matches(*frames, catalogue())


def draw(
    users: tuple[str, ...] = tuple(CUSTOMERS),
    granted: pd.DataFrame | None = None,
    history: list[dict[str, Any]] | None = None,
    shelf: pd.DataFrame | None = None,
    known_until: dt.datetime | None = None,
) -> pd.DataFrame:
    """The day's drafts of made-up customers, everyone by default."""
    return draft_recommendations(
        *prepared(users),
        catalogue() if shelf is None else shelf,
        consents(list(users)) if granted is None else granted,
        pd.DataFrame(history or [], columns=HISTORY),
        AS_OF,
        known_until=known_until,
    )


def pieces(drafts: pd.DataFrame) -> list[str]:
    return drafts.loc[drafts["content_type"] == "education", "template_id"].tolist()


def products(drafts: pd.DataFrame) -> list[str]:
    return drafts["product_id"].dropna().tolist()


def test_drafts_keep_their_contract_and_carry_no_finding() -> None:
    drafts = draw()
    assert failures(CONTRACTS["draft_recommendations"], drafts).empty
    assert set(drafts["findings"]) == {"[]"}


@pytest.mark.parametrize(
    ("several", "said"), [(0, ""), (1, ", your shared account included"), (2, ", your shared accounts included")]
)
def test_a_text_says_that_a_shared_account_is_in_its_figures(several: int, said: str) -> None:
    alone = prepared(("high_utilization",))
    frames = day({"high_utilization": CUSTOMERS["high_utilization"] | {"shared_accounts": several}})
    where = situations(*frames, streams([s for s in SUBSCRIPTIONS if s["user_id"] == "high_utilization"]), cards())
    assert where["situation"].tolist() == alone[0]["situation"].tolist(), "no text is chosen by it"
    drafts = draft_recommendations(
        where, *alone[1:], catalogue(), consents(["high_utilization"]), pd.DataFrame([], columns=HISTORY), AS_OF
    )
    assert set(drafts["content_type"]) == {"education", "partner_offer"}
    assert set(drafts["findings"]) == {"[]"}
    closings = drafts["content"].str.extract(r"Figures as of March 5, 2026(.*?)\. You see this")[0]
    assert set(closings) == {said}


def test_everyone_gets_three_to_five_and_at_most_two_offers() -> None:
    for _, own in draw().groupby("user_id"):
        assert 3 <= len(own) <= 5
        assert 2 <= len(pieces(own)) <= 3
        assert len(products(own)) <= 2


def test_a_customer_without_consent_gets_nothing() -> None:
    assert draw(granted=consents([])).empty
    assert failures(CONTRACTS["draft_recommendations"], draw(granted=consents([]))).empty


@pytest.mark.parametrize(("scope", "kind"), [("education", "education"), ("partner_offers", "partner_offer")])
def test_consent_in_one_scope_brings_only_that_kind(scope: str, kind: str) -> None:
    drafts = draw(granted=consents(["savings_builder"], (scope,)))
    assert set(drafts["user_id"]) == {"savings_builder"}
    assert set(drafts["content_type"]) == {kind}
    assert set(drafts["consent_id"]) == {f"savings_builder-{scope}-1"}


def test_the_same_inputs_give_the_same_drafts_in_any_order() -> None:
    pd.testing.assert_frame_equal(draw(), draw(tuple(reversed(CUSTOMERS))))


def test_a_new_consent_period_makes_new_drafts_of_the_same_text() -> None:
    first, second = draw(ONE), draw(ONE, consents(list(ONE), period="2"))
    assert first["content_hash"].tolist() == second["content_hash"].tolist()
    assert not set(first["recommendation_id"]) & set(second["recommendation_id"])


def test_every_text_ends_with_its_day_and_has_each_disclosure_once() -> None:
    for row in draw().to_dict("records"):
        assert row["content"].count(EDUCATION_DISCLOSURE) == 1
        assert row["content"].count(OFFER_DISCLOSURE) == (row["content_type"] == "partner_offer")
        assert row["content"].count(COMPENSATION) == (row["content_type"] == "partner_offer")
        assert "Figures as of March 5, 2026." in row["content"]
        assert row["content_hash"] == content_hash(
            row["content_type"], row["title"], row["content"], row["rationale"],
            row["product_id"] if row["content_type"] == "partner_offer" else None,
        )  # fmt: skip


def test_slots_hold_exactly_what_is_shown() -> None:
    for row in draw().to_dict("records"):
        for slot in json.loads(row["slots"]).values():
            assert set(slot) - {"inputs"} == {"signal", "value", "shown"}
            assert slot["shown"] in row["title"] + row["content"] + row["rationale"]


def test_people_with_figures_read_at_least_two_of_their_own() -> None:
    for _, own in draw(tuple(user for user in EVERYONE if user != "fallback")).groupby("user_id"):
        best = json.loads(own["slots"].iloc[0])
        assert len(set(best) - {"as_of", "window"}) >= 2


def test_a_customer_about_whom_nothing_is_known_still_gets_sound_pieces() -> None:
    drafts = draw(("unknown",))
    assert len(pieces(drafts)) == 3
    for text in drafts["content"] + drafts["rationale"]:
        assert not any(word in text for word in ("None", "NaN", "{{", "your savings hold"))


def test_a_rejected_piece_stays_away_for_ninety_days() -> None:
    first = pieces(draw(ONE))[0]
    for days, back in [(1, False), (89, False), (90, True)]:
        drafts = draw(ONE, history=[past("savings_builder", first, "rejected", days)])
        assert (first in pieces(drafts)) is back


def test_a_rejection_concerns_only_that_customer() -> None:
    first = pieces(draw(ONE))[0]
    assert first in pieces(draw(ONE, history=[past("somebody else", first, "rejected", 1)]))


@pytest.mark.parametrize("status", ["rejected", "approved", "overridden"])
@pytest.mark.parametrize("days_later", [0, 1, 1000])
def test_what_was_decided_that_day_or_later_still_waits_for_a_second_run_of_the_day(
    status: str, days_later: int
) -> None:
    chosen = "savings_builder/what-a-better-rate-is-worth"
    when = pd.Timestamp(AS_OF + dt.timedelta(days=days_later), tz="UTC")
    waiting = draw(ONE, history=[past("savings_builder", chosen, "pending_approval", 1)])
    changes = {"decided_at": when, "released_at": when if status == "approved" else None}
    decided = draw(ONE, history=[past("savings_builder", chosen, status, 1, **changes)])
    pd.testing.assert_frame_equal(waiting, decided)
    assert chosen in pieces(waiting)


@pytest.mark.parametrize("status", ["rejected", "approved", "overridden"])
def test_what_was_decided_before_the_day_was_registered_is_known(status: str) -> None:
    chosen = "savings_builder/what-a-better-rate-is-worth"
    registered = dt.datetime.combine(AS_OF + dt.timedelta(days=1), dt.time(12), dt.UTC)
    for decided, known in ((registered - dt.timedelta(seconds=1), True), (registered, False)):
        record = past("savings_builder", chosen, status, 1, decided_at=pd.Timestamp(decided))
        assert (chosen not in pieces(draw(ONE, history=[record], known_until=registered))) is known


def test_days_count_from_the_day_of_the_draft_and_not_of_the_decision() -> None:
    yesterday = pd.Timestamp(AS_OF - dt.timedelta(days=1), tz="UTC")
    first = pieces(draw(ONE))[0]
    for status, days in [("approved", 30), ("rejected", 90)]:
        assert first in pieces(draw(ONE, history=[past("savings_builder", first, status, days, decided_at=yesterday)]))


def test_a_new_consent_period_starts_with_a_clean_slate_except_for_rejections() -> None:
    again = consents(list(ONE), period="2")
    before = pieces(draw(ONE))
    used = [past("savings_builder", piece, "approved", 3) for piece in before]
    offers = [past("savings_builder", product, "approved", 3, offer=True) for product in ("p1", "p2")]
    waits = past("savings_builder", "savings_builder/what-a-better-rate-is-worth", "pending_approval", 1)
    drafts = draw(ONE, again, [*used, *offers, waits])
    assert (pieces(drafts), products(drafts)) == (before, ["p1", "p2"])
    assert before[0] not in pieces(draw(ONE, again, [past("savings_builder", before[0], "rejected", 3)]))


@pytest.mark.parametrize("status", ["approved", "overridden"])
def test_a_piece_shown_within_thirty_days_gives_way_to_another(status: str) -> None:
    before = pieces(draw(ONE))
    drafts = draw(ONE, history=[past("savings_builder", before[0], status, 29)])
    assert before[0] not in pieces(drafts)
    assert len(pieces(drafts)) == 3
    assert before[0] in pieces(draw(ONE, history=[past("savings_builder", before[0], status, 30)]))


def test_what_was_said_within_fourteen_days_keeps_its_place_so_that_nothing_new_comes_for_it() -> None:
    before = pieces(draw(ONE))

    def drawn(days: int, said: list[str]) -> list[str]:
        return pieces(draw(ONE, history=[past("savings_builder", piece, "approved", days) for piece in said]))

    assert drawn(1, before) == drawn(13, before) == []
    assert drawn(13, before[:1]) == before[1:]
    later = drawn(14, before)
    assert len(later) == 3
    assert not set(later) & set(before)


def insight(user: str, name: str, **changes: Any) -> dict[str, Any]:
    """A row of insights."""
    figures = {"card": "4821", "minimum_payment": 35.0, "owed": 820.0, "checking_balance": 900.0,
               "balance_on": "2026-03-04", "payee": "Hulu", "amount_before": 15.99, "amount": 17.99, "difference": 2.0,
               "difference_yearly": 24.0, "happened_on": "2026-03-01", "change_percent": 0.125,
               "cost_yearly": 554.4, "yearly_rate": 24.9, "total": 34.0,
               "fee_count": 1, "interest_paid": 46.2}  # fmt: skip
    about = INSIGHTS[name]
    return {
        "insight_id": f"ins_{name}", "user_id": user, "as_of": AS_OF, "insight": name, "topic": about.topic,
        "severity": about.severity, "happened_on": AS_OF, "expires_on": AS_OF, "evidence": "{}",
        "detail": about.details[0] if about.details else None, "figures": json.dumps(figures), "confidence": 1.0,
    } | changes  # fmt: skip


@functools.cache
def day_and_matches(*users: str, **known: Any) -> tuple[Any, pd.DataFrame]:
    """What is the same whatever stood out and was said before."""
    frames = day({user: CUSTOMERS[user] | known for user in users})
    return frames, product_matches(*frames, catalogue())


def told(
    *insights: dict[str, Any], user: str = "high_utilization", history: list[dict[str, Any]] | None = None,
    **known: Any,
) -> pd.DataFrame:  # fmt: skip
    """The day's drafts of one customer with these insights."""
    frames, matches = day_and_matches(user, **known)
    where = situations(*frames, streams([]), cards(), pd.DataFrame(insights))
    return draft_recommendations(
        where, education_templates(where, LIBRARY, AS_OF), matches, catalogue(),
        consents([user], ("education",)), pd.DataFrame(history or [], columns=HISTORY), AS_OF,
    )  # fmt: skip


def abouts(drafts: pd.DataFrame) -> list[str]:
    return [piece.partition("/")[0] for piece in pieces(drafts)]


def test_insights_come_before_the_persona_urgent_ones_first() -> None:
    drafts = told(insight("high_utilization", "price_rise"), insight("high_utilization", "fees_charged"),
                  insight("high_utilization", "past_due"))  # fmt: skip
    assert abouts(drafts) == ["past_due", "fees_charged", "price_rise"]
    assert drafts["insight"].tolist() == abouts(drafts)
    assert drafts["insight_id"].tolist() == [f"ins_{name}" for name in abouts(drafts)]
    assert failures(CONTRACTS["draft_recommendations"], drafts).empty
    assert all(json.loads(text) == [] for text in drafts["findings"])


def test_an_urgent_insight_does_not_wait_for_what_was_said() -> None:
    before = pieces(told())
    said = [past("high_utilization", piece, "approved", 2) for piece in before]
    assert pieces(told(history=said)) == []
    assert abouts(told(insight("high_utilization", "past_due"), history=said)) == ["past_due"]
    assert abouts(told(insight("high_utilization", "price_rise"), history=said)) == ["price_rise"]


@pytest.mark.parametrize("status", ["approved", "overridden", "rejected"])
@pytest.mark.parametrize("days", [1, 20, 400])
def test_an_insight_is_told_once_for_the_same_happening(status: str, days: int) -> None:
    row = insight("high_utilization", "past_due")
    first = pieces(told(row))[0]
    before = past("high_utilization", first, status, days, insight_id="ins_past_due")
    assert "past_due" not in abouts(told(row, history=[before]))
    again = abouts(told(row | {"insight_id": "ins_another"}, history=[before]))
    assert again[0] == "past_due", "a new happening is a new insight"


@pytest.mark.parametrize("happening", range(12))
def test_what_can_be_named_is_named(happening: int) -> None:
    rows = (insight("high_utilization", name, insight_id=f"ins_{happening}") for name in ("past_due", "price_rise"))
    late, dearer = told(*rows)["content"].iloc[:2]
    assert "card ending in 4821" in late
    assert "Hulu" in dearer


def test_an_insight_that_waits_keeps_its_text() -> None:
    row = insight("high_utilization", "price_rise")
    for piece in (p.template_id for p in LIBRARY if p.about == "price_rise"):
        waits = past("high_utilization", piece, "pending_approval", 1, insight_id="ins_price_rise")
        assert pieces(told(row, history=[waits]))[0] == piece


TROUBLES = [name for name in INSIGHTS if forbidden_by(insight("x", name))]


@pytest.mark.parametrize("name", TROUBLES)
def test_no_piece_of_the_persona_contradicts_an_insight_told_or_not(name: str) -> None:
    users = tuple(user for user in EVERYONE if user != "fallback")
    tags = {piece.template_id: set(piece.tags) for piece in LIBRARY}
    frames, matches = day_and_matches(*users)
    where = situations(*frames, streams([]), cards(), pd.DataFrame([insight(user, name) for user in users]))
    templates, granted = education_templates(where, LIBRARY, AS_OF), consents(list(users), ("education",))
    waiting = [past(user, piece, "pending_approval", 1) for user in users for piece in tags]
    once = [past(user, "x", "approved", 1, insight_id=f"ins_{name}") for user in users]
    for history in ([], waiting, once):
        before = pd.DataFrame(history, columns=HISTORY)
        drafts = draft_recommendations(where, templates, matches, catalogue(), granted, before, AS_OF)
        assert history or drafts["user_id"].nunique() >= 4, "some troubles leave the savings builder without a piece"
        for piece in pieces(drafts):
            assert not tags[piece] & set(forbidden_by(insight("x", name)))


def test_an_insight_has_a_text_that_fits_beside_the_others() -> None:
    raise_ = insight("high_utilization", "income_changed", detail="up")
    assert "income_changed/a-share-of-the-raise" in {
        p for n in range(9) for p in pieces(told(raise_ | {"insight_id": str(n)}))
    }
    short = insight("high_utilization", "overdrawn")
    for n in range(9):
        assert "income_changed/a-share-of-the-raise" not in pieces(told(raise_ | {"insight_id": str(n)}, short))


def test_what_goes_out_a_month_is_one_figure_on_a_slate(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"spending_monthly": 4_321.0, "income_monthly": 4_000.0, "difference": 321.0}
    row = insight("high_utilization", "spending_above_income", figures=json.dumps(figures))
    others = [p.template_id for p in LIBRARY if p.about == "high_utilization" and "monthly_expenses" not in p.slots]
    history = [past("high_utilization", piece, "rejected", 1) for piece in others]

    def months() -> set[str]:
        found = told(row, history=history)
        assert "$4,321" in found["content"].iloc[0]
        own = found[found["insight"].isna()].to_dict("records")
        shown = [slot["shown"] for draft in own for name, slot in json.loads(draft["slots"]).items()
                 if name == "monthly_expenses" and slot["shown"] in draft["content"]]  # fmt: skip
        return {*shown}

    assert not months()
    monkeypatch.setattr("spendsense_pipeline.recommendations.drafts.SAME_FIGURE", {})
    assert months()


def test_how_many_months_savings_cover_is_one_figure_on_a_slate() -> None:
    figures = {"savings_now": 5_000.0, "months_covered": 3.03, "spending_monthly": 1_650.0}
    slots = {piece.template_id: piece.slots for piece in LIBRARY}
    said = set()
    for n in range(9):
        row = insight("savings_builder", "savings_milestone", detail="3", figures=json.dumps(figures))
        drafts = told(row | {"insight_id": str(n)}, user="savings_builder")
        assert "savings_milestone" in abouts(drafts)
        said |= {piece for piece in pieces(drafts) if piece.startswith("savings_builder")}
    assert said
    assert not any("fund_months" in slots[piece] for piece in said)


def test_what_is_left_of_income_is_not_told_beside_what_is_due() -> None:
    costs = {"fixed_monthly": 1_400.0, "income_monthly": 2_500.0, "income_share": 0.56, "left_monthly": 1_100.0}
    high = insight("high_utilization", "fixed_costs_high", figures=json.dumps(costs))
    due = insight("high_utilization", "bills_before_payday")
    left = "fixed_costs_high/living-on-what-is-left"
    assert left in {p for n in range(9) for p in pieces(told(high | {"insight_id": str(n)}))}
    assert left not in {p for n in range(9) for p in pieces(told(high | {"insight_id": str(n)}, due))}


def test_which_card_first_is_said_once() -> None:
    owed = {"card": "4821", "owed": 820.0, "yearly_rate": 24.9, "interest_month": 17.0, "other_card": "7003",
            "other_owed": 300.0, "other_rate": 18.0, "order_saves": 20.7}  # fmt: skip
    dearest = insight("high_utilization", "dearest_first", figures=json.dumps(owed))
    for n in range(9):
        found = pieces(told(dearest | {"insight_id": str(n)}))
        assert any(piece.startswith("dearest_first") for piece in found)
        assert not {"high_utilization/which-card-first", "high_utilization/avalanche-or-snowball"} & set(found)


def test_nothing_is_praised_beside_an_offer_of_help() -> None:
    tags = {piece.template_id: piece.tags for piece in LIBRARY}
    drafts = in_trouble(fees_30d=70.0)
    assert products(drafts) == ["help"]
    assert not any({"growth", "falling_debt", "spare_money"} & set(tags[piece]) for piece in pieces(drafts))


def test_what_an_insight_says_the_persona_does_not_say_again() -> None:
    drafts = told(insight("high_utilization", "interest_paid"))
    facts = {piece.template_id: piece.facts for piece in LIBRARY}
    assert "interest_paid" in abouts(drafts)
    assert not any("interest=yes" in facts[piece] for piece in pieces(drafts) if piece.startswith("high_utilization"))


def test_nothing_stood_out_is_said_only_where_nothing_did() -> None:
    assert any("stood out" in why for why in told(user="fallback")["rationale"])
    beside = told(insight("fallback", "price_rise"), user="fallback")
    assert len(beside) >= 2
    assert not any("stood out" in why for why in beside["rationale"])


def test_where_fewer_than_two_are_left_those_used_longest_ago_fill_up_but_not_at_once() -> None:
    fitting = [p.template_id for p in LIBRARY if p.about == "savings_builder"]
    days = dict.fromkeys(fitting, 15)

    def drawn(**changes: str) -> list[str]:
        history = [past("savings_builder", piece, "approved", ago) for piece, ago in days.items()]
        return pieces(draw(ONE, history=[h | changes for h in history]))

    days |= {"savings_builder/growing-nicely": 20, "savings_builder/what-a-better-rate-is-worth": 16}
    assert drawn() == ["savings_builder/growing-nicely", "savings_builder/what-a-better-rate-is-worth"]
    days["savings_builder/let-it-run-by-itself"] = 13
    assert drawn() == ["savings_builder/growing-nicely"], "one stands, one again"
    days["savings_builder/growing-nicely"] = 30
    assert drawn() == ["savings_builder/growing-nicely"], "one stands, one fresh"
    days |= dict.fromkeys(fitting, 13)
    assert drawn() == []
    assert drawn(status="rejected") == []


def test_a_piece_that_came_again_and_waits_is_not_exchanged_for_another() -> None:
    fitting = [p.template_id for p in LIBRARY if p.about == "savings_builder"]
    used = [past("savings_builder", piece, "approved", 20) for piece in fitting]
    waits = past("savings_builder", "savings_builder/what-a-better-rate-is-worth", "pending_approval", 1)
    assert "savings_builder/what-a-better-rate-is-worth" in pieces(draw(ONE, history=[*used, waits]))


def test_what_still_waits_is_drafted_again_before_anything_new() -> None:
    waiting = "savings_builder/what-a-better-rate-is-worth"
    assert waiting not in pieces(draw(ONE))
    assert pieces(draw(ONE, history=[past("savings_builder", waiting, "pending_approval", 1)]))[0] == waiting


def test_records_of_the_day_itself_and_later_change_nothing() -> None:
    first = pieces(draw(ONE))[0]
    for days in (0, -3):
        pd.testing.assert_frame_equal(draw(ONE, history=[past("savings_builder", first, "rejected", days)]), draw(ONE))


def test_offers_follow_history_by_product() -> None:
    assert products(draw(ONE)) == ["p1", "p2"]
    assert products(draw(ONE, history=[past("savings_builder", "p1", "approved", 13, offer=True)])) == ["p2"]
    for status, days in [("rejected", 80), ("approved", 14)]:
        drafts = draw(ONE, history=[past("savings_builder", "p1", status, days, offer=True)])
        assert products(drafts) == ["p2", "p3"], "the next best comes in its place"
        assert set(drafts["findings"]) == {"[]"}


@pytest.mark.parametrize(
    "broken",
    [
        {"product_name": "N" * 190},
        {"disclosure": "d" * 9000},
        {"short_description": "Save {{ big }}."},
        {"product_name": "The {best} account"},
        {"short_description": None},
        {"product_id": "unknown"},
    ],
)
def test_one_bad_product_is_left_out_and_the_day_goes_on(broken: dict[str, str | None]) -> None:
    shelf = catalogue().astype(object)
    for column, value in broken.items():
        shelf.loc[0, column] = value
    drafts = draw(ONE, shelf=shelf)
    assert products(drafts) == ["p2", "p3"]
    assert failures(CONTRACTS["draft_recommendations"], drafts).empty


def test_an_offer_without_a_figure_of_the_customers_own_is_not_made() -> None:
    drafts = draw()
    offers = drafts[drafts["content_type"] == "partner_offer"]
    assert not set(offers["user_id"]) & {"unknown", "fallback"}
    for row in offers.to_dict("records"):
        own = set(json.loads(row["slots"])) - {"as_of", "window"}
        assert {name for name in own if not name.startswith("product_")}
        assert "What speaks against it: " in row["rationale"]


def in_trouble(**changes: Any) -> pd.DataFrame:
    users = {"high_utilization": CUSTOMERS["high_utilization"] | changes}
    frames = day(users)
    where = situations(*frames, streams([]), cards())
    free = {"product_id": "help", "product_type": "credit_counseling", "product_name": "A counselor"}
    free |= {"category": "help", "cost_monthly": 0.0}
    shelf = pd.concat([catalogue(), catalogue().head(1).assign(**free)], ignore_index=True)
    return draft_recommendations(
        where, education_templates(where, LIBRARY, AS_OF), product_matches(*frames, shelf), shelf,
        consents(list(users)), pd.DataFrame([], columns=HISTORY), AS_OF,
    )  # fmt: skip


@pytest.mark.parametrize(
    "trouble",
    [{"any_overdue": True}, {"cash_flow_buffer_months": -0.1}, {"fees_30d": 70.0},
     {"monthly_bills": 1501.0, "regular_income": 3000.0}],
)  # fmt: skip
def test_somebody_in_trouble_is_shown_free_help_and_nothing_that_costs(trouble: dict[str, Any]) -> None:
    drafts = in_trouble(**trouble)
    assert products(drafts) == ["help"]
    offer = drafts[drafts["product_id"] == "help"].iloc[0]
    assert offer["title"].startswith("Free help: ")
    assert "money looks tight" in offer["rationale"]


def test_help_is_for_those_alone_who_need_it() -> None:
    assert products(in_trouble(monthly_bills=1499.0, regular_income=3000.0)) == ["p1", "p2"]


def test_an_offer_whose_product_promises_approval_is_a_critical_finding() -> None:
    drafts = draw(ONE, shelf=catalogue().assign(short_description="You are pre-approved."))
    offers = drafts[drafts["content_type"] == "partner_offer"]
    assert all("advice_boundary" in text and "critical" in text for text in offers["findings"])
    assert set(drafts.loc[drafts["content_type"] == "education", "findings"]) == {"[]"}
