"""Guardrails: sentences that must be found, sentences that must pass, and findings on drafts."""

import json

import pandas as pd
import pytest

from spendsense_pipeline.recommendations.guardrails import (
    GUARDRAILS,
    critical,
    findings,
    normalized,
    release_candidates_clean,
    review_text,
)
from spendsense_pipeline.recommendations.render import EDUCATION_DISCLOSURE, OFFER_DISCLOSURE

SLOTS = {
    "subscription_count": {"signal": "recurring_merchants", "value": 3, "shown": "3 subscriptions"},
    "monthly": {"signal": "monthly_recurring_spend", "value": 82, "shown": "$82"},
    "yearly": {"signal": "monthly_recurring_spend", "value": 984, "shown": "$984"},
    "share": {"signal": "subscription_spend_share", "value": 0.12, "shown": "12%"},
    "window": {"signal": "window_days", "value": 30, "shown": "last 30 days"},
    "as_of": {"signal": "as_of", "value": "2026-03-05", "shown": "March 5, 2026"},
}


def checks(sentence: str, **changes: object) -> set[str]:
    """The guardrails that a sentence trips, in an otherwise sound piece."""
    content = f"{sentence}\n\nFigures as of March 5, 2026.\n\n{EDUCATION_DISCLOSURE}"
    found = review_text("A title", content, "You see this because of it.", SLOTS, **changes)  # type: ignore[arg-type]
    return {finding["check"] for finding in found}


BAD = {
    "tone": [
        "You have been irresponsible with your cards.",
        "Your reckless habits cost you a lot.",
        "It is your fault that interest piles up.",
        "You should have saved more.",
        "You are bad with money, but that can change.",
        "Stop wasting money on coffee.",
        "You’re  overspending   on shows.",
        "Your spending is out of control.",
        "You must pay this card first.",
        "You have to cancel them all.",
        "You need to act like an adult.",
        "You'd better pay more.",
        "Stop spending on streaming.",
        "Act now and save.",
        "Hurry, the month is almost over.",
        "This is your last chance to catch up.",
        "Call them immediately.",
        "Don’t wait to fix it.",
        "This will definitely lower your costs.",
        "Paying early will improve your credit score.",
        "You\u200b must\u00a0pay.",
        "ＹＯＵ ＭＵＳＴ pay.",
    ],
    "advice_boundary": [
        "Your savings are guaranteed to grow.",
        "This is a risk-free way to save.",
        "You cannot lose with this account.",
        "You are pre-approved for a card.",
        "You qualify for a better rate.",
        "Move your savings into Tesla.",
        "Consider an index such as the S&P 500.",
        "Bitcoin has done well.",
        "Shares of Apple may suit you.",
        "Look at $VOO for the long run.",
        "We recommend that you buy more of it.",
        "It may be time to sell stocks.",
    ],
    "grounding": [
        "You pay for 4 subscriptions.",
        "You have 3 loans.",
        "They cost $83 a month.",
        "They cost 82% of your pay.",
        "They cost $9840 a year.",
        "You could save half of it.",
        "It costs twice as much.",
        "In three weeks you are done.",
        "Keep it below 25 percent.",
        "A third of it goes to shows.",
    ],
    "links": [
        "Read http://example.com/page today.",
        "Open javascript:alert(document) there.",
        "See [our page](https://example.com).",
        "Visit www.example.com for it.",
        "Use <b>bold</b> steps.",
        "Write to mailto:someone@example.com now and then.",
        "See https://user:pass@example.com for it.",
    ],
}
GOOD = [
    "You pay for 3 subscriptions, about $82 a month.",
    "Over a year, that is about $984, or 12% of your spending.",
    "In the last 30 days, little has changed.",
    "A common guide is to stay below 30 percent of the limit.",
    "A common guide is three to six months of spending.",
    "A step to try: look up the rate on your statement.",
    "Some people find it easier to save on payday.",
    "There is no rush to get there.",
    "If a month is tight, you can pause it.",
    "It can often be sorted out with a short call.",
    "The mix of stocks, bonds and cash is called the allocation.",
    "No one else sees these figures.",
    "Your waste collection bill may be due.".replace("waste ", "garden "),
    "Paying early may lower the interest that is charged.",
    "Read more: https://example.com/savings",
    "Have you shared an account with anyone?",
    "The card company may ask why a payment was late.",
    "Autopay is a safety net, not a rule.",
    "A will says who gets what.",
    "You might use a second account for it.",
]


@pytest.mark.parametrize(("check", "sentence"), [(c, s) for c, all_of in BAD.items() for s in all_of])
def test_a_sentence_that_must_not_go_out_is_found(check: str, sentence: str) -> None:
    assert check in checks(sentence)


@pytest.mark.parametrize("sentence", GOOD)
def test_a_sound_sentence_passes(sentence: str) -> None:
    assert checks(sentence) == set()


@pytest.mark.parametrize("field", ["title", "content", "rationale"])
def test_every_part_of_a_text_is_looked_at(field: str) -> None:
    text = {"title": "T", "content": f"C. {EDUCATION_DISCLOSURE}", "rationale": "R."}
    text[field] += " You must pay $77."
    found = {f["check"] for f in review_text(text["title"], text["content"], text["rationale"], SLOTS)}
    assert found == {"tone", "grounding"}


def test_a_softer_command_is_notable_and_shame_is_critical() -> None:
    soft = review_text("T", f"You should look. {EDUCATION_DISCLOSURE}", "R.", SLOTS)
    hard = review_text("T", f"You are lazy. {EDUCATION_DISCLOSURE}", "R.", SLOTS)
    assert [f["severity"] for f in soft] == ["notable"]
    assert not critical(soft)
    assert critical(hard)


def test_the_disclosure_stands_exactly_once() -> None:
    none = review_text("T", "Text.", "R.", SLOTS)
    double = review_text("T", f"{EDUCATION_DISCLOSURE} {EDUCATION_DISCLOSURE}", "R.", SLOTS)
    elsewhere = review_text("T", "Text.", EDUCATION_DISCLOSURE, SLOTS)
    for found in (none, double, elsewhere):
        assert [f["check"] for f in found] == ["disclosure"]


def test_an_offer_needs_both_disclosures_and_a_match_that_stands() -> None:
    both = f"Text. {EDUCATION_DISCLOSURE} {OFFER_DISCLOSURE}"
    sound = {"content_type": "partner_offer", "eligible": True}
    assert review_text("T", both, "R.", SLOTS, **sound) == []  # type: ignore[arg-type]
    assert {f["check"] for f in review_text("T", f"T. {EDUCATION_DISCLOSURE}", "R.", SLOTS, **sound)} == {"disclosure"}  # type: ignore[arg-type]
    for eligible in (False, None):
        found = review_text("T", both, "R.", SLOTS, content_type="partner_offer", eligible=eligible)
        assert [(f["check"], f["severity"]) for f in found] == [("eligibility", "critical")]


def test_spelling_tricks_are_one_spelling() -> None:
    assert normalized("Don’t\u200b  “wait”\u00a0–\tnow") == 'Don\'t "wait" - now'


def draft(content: str, **changes: object) -> dict[str, object]:
    return {
        "recommendation_id": "rec_1", "template_id": "a/b", "user_id": "u1", "content_type": "education", "title": "T",
        "content": content, "rationale": "R.", "slots": json.dumps(SLOTS), "product_id": None,
    } | changes  # fmt: skip


MATCHES = pd.DataFrame({"user_id": ["u1"], "product_id": ["p1"], "rank": [1]})


def test_findings_stand_on_their_draft_and_clean_drafts_have_none() -> None:
    offer = f"Text. {EDUCATION_DISCLOSURE} {OFFER_DISCLOSURE}"
    drafts = pd.DataFrame(
        [
            draft(f"Fine. {EDUCATION_DISCLOSURE}"),
            draft(f"You must pay $5. {EDUCATION_DISCLOSURE}"),
            draft(offer, content_type="partner_offer", product_id="p1"),
            draft(offer, content_type="partner_offer", product_id="p2"),
        ],
        index=[10, 20, 30, 40],
    )
    found = findings(drafts, MATCHES)
    named = {position: {f["check"] for f in json.loads(text)} for position, text in found.items()}
    assert named == {10: set(), 20: {"tone", "grounding"}, 30: set(), 40: {"eligibility"}}
    assert all(set(f) == {"check", "severity", "message"} for f in json.loads(found[20]))
    blocked = release_candidates_clean(drafts.assign(findings=found))
    assert len(blocked) == 2


def test_no_drafts_have_no_findings() -> None:
    assert findings(pd.DataFrame([draft("x")]).iloc[:0], MATCHES).empty


def test_an_enormous_text_is_judged_in_a_moment() -> None:
    import time

    begin = time.perf_counter()
    review_text("T", "a" * 100_000 + " www" * 25_000, "R.", SLOTS)
    assert time.perf_counter() - begin < 5


def test_each_guardrail_is_named_as_its_findings_are() -> None:
    for check, sentences in BAD.items():
        assert check in GUARDRAILS
        assert len(sentences) >= 5
