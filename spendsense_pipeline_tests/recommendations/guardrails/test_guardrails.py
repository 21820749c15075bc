"""Guardrails: sentences that must be found, sentences that must pass, and findings on drafts."""

import itertools
import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spendsense_pipeline.payees import known
from spendsense_pipeline.recommendations.guardrails import (
    GUARDRAILS,
    Text,
    critical,
    findings,
    normalized,
    reader,
    release_candidates_clean,
    review_draft,
    review_text,
    wording,
)
from spendsense_pipeline.recommendations.guardrails.language import language
from spendsense_pipeline.recommendations.guardrails.script import script
from spendsense_pipeline.recommendations.naming import is_well_known
from spendsense_pipeline.recommendations.render import EDUCATION_DISCLOSURE, OFFER_DISCLOSURE, render_education
from spendsense_pipeline.recommendations.slots import SLOTS as SLOTS_OF_TEXTS
from spendsense_pipeline.recommendations.slots import payee_list
from spendsense_pipeline.recommendations.templates import EXAMPLES
from spendsense_pipeline_tests.recommendations.customers import LIBRARY
from spendsense_pipeline_tests.recommendations.guardrails import hostile, labelled, train
from spendsense_pipeline_tests.recommendations.guardrails.labelled import (
    DOCUMENT,
    SLOTS,
    between_marks,
    found_in,
    measured,
    table,
)

LABELLED = labelled.labelled()
BLIND_PRECISION, BLIND_RECALL = 0.97, 0.87
"""What was measured when the weights were fitted, rounded down; no aim, but what may not be lost."""


def test_the_table_in_the_document_is_what_the_labelled_set_says_today() -> None:
    assert between_marks(DOCUMENT.read_text(encoding="utf-8")) == table(LABELLED), f"run python -m {labelled.__name__}"


def test_the_labelled_set_is_large_and_has_both_kinds() -> None:
    assert len(LABELLED) >= 200
    assert len({one.sentence for one in LABELLED}) == len(LABELLED)
    assert sum(not one.expected for one in LABELLED) >= 100
    # Eligibility reads no words; the others have the set by kind.
    assert {row.guardrail for row in measured(LABELLED)} == set(GUARDRAILS) - {
        "eligibility",
        "scams",
        "reading",
        "language",
    }


@pytest.mark.parametrize("sentence", [one.sentence for one in LABELLED if not one.expected])
def test_a_sound_sentence_passes(sentence: str) -> None:
    assert found_in(sentence) == set()


def test_each_guardrail_finds_most_of_what_it_must_and_little_else() -> None:
    for row in measured(LABELLED):
        assert row.recall >= 0.75, row
        assert row.precision >= 0.95, row


HOSTILE = hostile.hostile()


def test_the_hostile_set_has_bad_texts_and_near_misses_of_each_kind_and_two_halves() -> None:
    assert len({text.text for text in HOSTILE}) == len(HOSTILE)
    split = [text for text in HOSTILE if text.style in hostile.HALVED]
    learned = {each.words for each in train.examples()}
    assert not any(normalized(t.text) in learned for t in HOSTILE if t.held_out and t.kind not in train.BY_RULE)
    assert len(split) >= 600
    assert sum(not text.bad for text in split) >= 200
    for held_out in (True, False):
        half = [text for text in split if text.held_out is held_out]
        assert 0.4 < len(half) / len(split) < 0.6
        for kind in {text.kind for text in split if text.kind != "good"}:
            assert sum(text.bad for text in half if text.kind == kind) >= 10, kind
            assert sum(not text.bad for text in half if text.kind == kind) >= 4, kind


def test_hostile_texts_are_stopped_and_near_misses_pass_in_the_half_that_nothing_was_tuned_on() -> None:
    *kinds, whole = hostile.counted(hostile.half(HOSTILE))
    assert whole.recall >= 0.95, whole
    assert whole.precision >= 0.98, whole
    for row in kinds:
        assert row.wrongly <= 1, row
        assert row.found >= 0.75 * row.bad, row
    *kinds, _ = hostile.counted([text for text in hostile.half(HOSTILE) if text.style in "ab"])
    for row in kinds:
        assert row.bad - row.found <= 1, row
    assert between_marks(DOCUMENT.read_text(encoding="utf-8"), *hostile.MARKS) == hostile.table(HOSTILE), (
        f"run python -m {hostile.__name__}"
    )


def test_texts_of_authors_who_saw_no_rule_are_stopped_as_often_as_the_document_says() -> None:
    table = hostile.blind_table(HOSTILE)
    assert between_marks(DOCUMENT.read_text(encoding="utf-8"), *hostile.BLIND_MARKS) == table, (
        f"run python -m {hostile.__name__}"
    )
    whole = hostile.counted([text for text in HOSTILE if text.style in hostile.BLIND])[-1]
    assert whole.precision >= BLIND_PRECISION
    assert whole.recall >= BLIND_RECALL


def test_the_weights_were_fitted_to_the_texts_that_ship() -> None:
    with np.load(train.WEIGHTS) as arrays:
        assert str(arrays["learned"]) == train.fingerprint(train.examples()), f"run python -m {train.__name__}"


@pytest.mark.verify
def test_fitting_again_reads_alike() -> None:
    again = reader.Model.of(train.fitted(train.examples()))
    for text in hostile.half(HOSTILE):
        words = normalized(text.text)
        assert again.read(words).score == pytest.approx(reader.model().read(words).score, abs=0.3)


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        ("Let our agent have the code that just arrived.", "Nobody from your bank wants the code that just arrived."),
        ("Anyone your age has savings by now.", "Savings at your age differ from one household to the next."),
        ("Take a cash advance to cover the rent.", "A cash advance costs interest from the first day."),
        ("Empty your 401(k) and clear the card.", "Taking money out of a 401(k) early usually costs a penalty."),
        ("Let the card go to collections.", "A bill that goes to collections can stay on a report for years."),
    ],
)
def test_what_a_text_means_is_read_in_words_of_no_list(bad: str, good: str) -> None:
    assert "reading" in found_in(bad)
    assert found_in(good) == set()


def test_a_bad_sentence_is_found_within_a_long_paragraph_and_quoted() -> None:
    bad = "Reply with your PIN and the code we texted you, so our agent can unlock it."
    long = f"You paid a bill. It was on time. The next is due soon. {bad} All is well."
    [finding] = reader.reading(Text.of("education", "T", long, "R.", {}))
    assert bad in finding["message"]
    assert not reader.reading(Text.of("education", "T", long.replace(bad, "It is the water bill."), "R.", {}))


def test_texts_that_differ_in_figures_alone_are_read_alike() -> None:
    def messages(shown: str) -> list[str]:
        text = Text.of(
            "education", "T", f"Pay {shown} with gift cards and send us the codes.", "R.", {"amount": {"shown": shown}}
        )
        return [finding["message"].replace(shown, "") for finding in reader.reading(text)]

    assert messages("$82") == messages("$1,240.50") != []


@pytest.mark.parametrize(
    ("asked", "warned"),
    [
        ("Do not worry, send us your PIN.", "Do not send anybody your PIN."),
        ("It is no scam: pay the fee with a gift card.", "It is a scam if they say to pay the fee with a gift card."),
        ("Never fear, hand your card to our driver.", "Never hand your card to a driver."),
        ("Do not tell the cashier what the gift cards are for.", "Tell the cashier it is a scam."),
    ],
)
def test_a_warning_reaches_as_far_as_its_part_of_the_sentence(asked: str, warned: str) -> None:
    assert "scams" in found_in(asked) <= {"scams", "reading"}
    assert found_in(warned) == set()


@pytest.mark.parametrize(
    "character",
    ["\u0430", "\u03bf", "\u0585", "\u13a0", "\uff41", "\u24d0", "\U0001d41a", "\u0251", "\ufb01", "\u0669", "\u200b",
     "\u202e", "\u2066", "\u3164", "\u2800", "\u00ad", "\U000e0041", "\u034f", "\u4e00", "\u0337", "\x07"],
)  # fmt: skip
def test_no_character_outside_the_allow_list_passes(character: str) -> None:
    found = review_text("T", f"A st{character}ep to try. {EDUCATION_DISCLOSURE}", "R.", {})
    assert ("script", "critical") in {(finding["check"], finding["severity"]) for finding in found}


@pytest.mark.parametrize(
    "written", ["Caf\u00e9 \u2013 \u201cna\u00efve\u201d \u2026 30\u00a0% \u20ac \u0141\u00f3d\u017a", "Cafe\u0301"]
)
def test_letters_of_the_script_and_typography_pass(written: str) -> None:
    assert script(Text.of("education", "T", written, "R.", {})) == []


def test_an_emoji_is_notable_and_no_more() -> None:
    assert [each["severity"] for each in script(Text.of("education", "T", "Well done \U0001f389.", "R.", {}))] == [
        "notable"
    ]


def test_a_foreign_name_in_a_slot_is_no_foreign_sentence_and_a_foreign_sentence_between_english_ones_is() -> None:
    slots = {"payee": {"shown": "La Banque Postale du Midi"}}
    assert language(Text.of("education", "T", "At La Banque Postale du Midi, it rose.", "R.", slots)) == []
    mixed = "This is your bill. Debes pagar tu deuda hoy mismo. It may wait."
    assert [each["check"] for each in language(Text.of("education", "T", mixed, "R.", {}))] == ["language"]


@pytest.mark.parametrize(
    ("host", "found"),
    [("a.zip", True), ("x.y.travel", True), ("bank.co.uk/pay", True), ("e.g. this", False), ("U.S. banks", False),
     ("9 a.m. or so", False)],
)  # fmt: skip
def test_every_bare_host_is_a_link_whatever_its_ending(host: str, found: bool) -> None:
    assert ("links" in found_in(f"Look at {host}.")) is found


def test_a_payees_name_is_judged_as_the_text_is() -> None:
    for name, check in (
        ("Act Now", "tone"),
        ("bit.ly/win", "links"),
        ("Maria Lopez", "privacy"),
        ("P\u0430yPal", "script"),
    ):
        slots = {"payee": {"shown": name}}
        assert check in {
            each["check"] for each in review_text("T", f"It went to {name}. {EDUCATION_DISCLOSURE}", "R.", slots)
        }


@pytest.mark.parametrize(
    ("said", "found"),
    [("AMC Theatres charged $17.49 twice.", False), ("Buy AMC while it is cheap.", True), ("AMC stock fell.", True)],
)
def test_a_chain_of_cinemas_is_a_security_only_beside_words_of_one(said: str, found: bool) -> None:
    assert ("advice_boundary" in found_in(said)) is found


def test_what_a_well_known_payee_is_called_says_nothing_of_a_piece_that_names_it() -> None:
    """Found: a piece about two services was taken for one about an investment, as they were Netflix and Disney+."""
    called = sorted({name for payee in known.table() if is_well_known(name := payee.display)})
    named = [name for name, slot in SLOTS_OF_TEXTS.items() if slot.kind == "payee"]
    read = 0
    for names in map(itertools.cycle, (["Netflix", "Disney+"], ["Disney+", "Netflix"], called[::7])):
        for piece in LIBRARY:
            three = [next(names) for _ in range(3)]
            filled = EXAMPLES | {name: EXAMPLES[name] | {"shown": next(names)} for name in named}
            filled["subscription_payees"] = {"signal": "", "value": three, "shown": payee_list(three)}
            shown = {name: filled[name] for name in {*piece.slots, "as_of", "window"}}
            title, content = render_education(piece.title, piece.content, "", shown)
            found = [one for one in review_text(title, content, "", shown) if one["check"] == "reading"]
            assert not found, piece.template_id
            read += not {*piece.slots}.isdisjoint({*named, "subscription_payees"})
    assert read > 50


@pytest.mark.parametrize("field", ["title", "content", "rationale"])
def test_every_part_of_a_text_is_looked_at(field: str) -> None:
    text = {"title": "T", "content": f"C. {EDUCATION_DISCLOSURE}", "rationale": "R."}
    text[field] += " Yo\u200bu mu\u0455t pay $77."
    found = {f["check"] for f in review_text(text["title"], text["content"], text["rationale"], SLOTS)}
    assert found - {"reading"} == {"tone", "grounding", "script"}


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


def draft(content: str, *, slots: dict[str, Any] = SLOTS, **changes: object) -> dict[str, Any]:
    return {
        "recommendation_id": "rec_1", "template_id": "a/b", "user_id": "u1", "content_type": "education", "title": "T",
        "content": content, "rationale": "R.", "slots": json.dumps(slots), "product_id": None,
        "wording": wording(("T", content, "R."), slots),
    } | changes  # fmt: skip


MATCHES = pd.DataFrame({"user_id": ["u1"], "product_id": ["p1"], "rank": [1]})


def test_findings_stand_on_their_draft_and_clean_drafts_have_none() -> None:
    offer = f"Text. {EDUCATION_DISCLOSURE} {OFFER_DISCLOSURE}"
    drafts = [
        draft(f"Fine. {EDUCATION_DISCLOSURE}"),
        draft(f"You must pay $5. {EDUCATION_DISCLOSURE}"),
        draft(offer, content_type="partner_offer", product_id="p1"),
        draft(offer, content_type="partner_offer", product_id="p2"),
    ]
    found = findings(drafts, MATCHES)
    assert [{f["check"] for f in json.loads(text)} for text in found] == [
        set(), {"tone", "reading", "grounding"}, set(), {"eligibility"}
    ]  # fmt: skip
    assert all(set(f) == {"check", "severity", "message"} for f in json.loads(found[1]))
    blocked = release_candidates_clean(pd.DataFrame(drafts).assign(findings=found))
    assert len(blocked) == 2


FIGURED = {
    "amount": ["$82", "$820", "$8", "$1,240"],
    "days_until": ["1 day", "12 days"],
    "payee": ["Hulu", "You must act now", "guaranteed.example"],
}


def test_a_wording_judged_once_is_judged_as_each_of_its_texts_would_be() -> None:
    sentences = ["Pay {amount} in {days_until} to {payee}.", "It is {amount}0, no more than {amount}.", "You must pay.",
                 "A day costs {amount}; $82 is less.", "In {days_until} it is 12 days."]  # fmt: skip
    drafts = []
    for sentence, amount, days, payee in itertools.product(sentences, *FIGURED.values()):
        shown = {"amount": amount, "days_until": days, "payee": payee}
        slots = {name: {"signal": "insights", "value": None, "shown": text} for name, text in shown.items()}
        drafts.append(draft(sentence.format(**shown), slots=slots))
    together = findings(drafts, MATCHES)
    alone = [found for one in drafts for found in findings([one], MATCHES)]
    assert together == alone
    assert 2 < len(set(alone)) < len(alone)


def test_no_drafts_have_no_findings() -> None:
    assert findings([], MATCHES) == []


def test_an_enormous_text_is_judged_in_a_moment() -> None:
    import time

    begin = time.process_time()  # a busy machine is none of its business
    review_text("T", "a" * 100_000 + " www" * 25_000, "R.", SLOTS)
    assert time.process_time() - begin < 5


def test_every_guardrail_of_the_document_is_asked() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("Before any of them looks")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(GUARDRAILS)


def test_each_guardrail_is_named_as_its_findings_are() -> None:
    written = "You must buy $VOO with 5% at http://a.example, cus_000123. Send us your PIN\u200b. "
    written += "Debes pagar tu deuda hoy mismo.\nReply with your PIN and the code that we texted you."
    bad = Text.of("partner_offer", "T", written, "R.", {})
    for name, guardrail in GUARDRAILS.items():
        assert {finding["check"] for finding in guardrail(bad)} == {name}


@pytest.mark.parametrize(
    "wallet",
    [
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
    ],
)
def test_the_address_of_a_wallet_is_critical(wallet: str) -> None:
    found = GUARDRAILS["privacy"](Text.of("education", "T", f"It is {wallet}.", "R.", {}))
    assert any(one["message"].startswith("the address of a wallet") for one in found)


def test_an_offer_may_link_to_its_partner_and_to_nobody_else() -> None:
    link = {"product_link": {"signal": "products", "value": None, "shown": "https://bank.example/card"}}

    def linked(url: str) -> list[str]:
        content = f"Read {url} for more. {EDUCATION_DISCLOSURE} {OFFER_DISCLOSURE}"
        found = review_text("T", content, "R.", link, content_type="partner_offer", eligible=True)
        return [finding["check"] for finding in found]

    assert linked("https://bank.example/card") == []
    assert linked("https://help.consumerfinance.gov/a") == []
    assert linked("https://other.example/card") == ["links"]
    assert linked("https://bank.example.evil.example/card") == ["links"]


@pytest.mark.parametrize(
    "scheme",
    ["http", "ftp", "file", "javascript", "data", "vbscript", "mailto", "tel", "sms", "ws", "blob", "gopher://"],
)
def test_no_scheme_but_https_is_a_link(scheme: str) -> None:
    found = review_text("T", f"See {scheme.removesuffix('://')}://x. {EDUCATION_DISCLOSURE}", "R.", {})
    assert [finding["check"] for finding in found] == ["links"]
    if "://" not in scheme:
        assert review_text("T", f"See {scheme}:x. {EDUCATION_DISCLOSURE}", "R.", {}) != []


def test_a_payee_called_like_its_site_is_no_link() -> None:
    slots = {"top_subscription": {"signal": "recurring_streams", "value": "Audible.com", "shown": "Audible.com"}}
    assert review_text("T", f"You pay Audible.com. {EDUCATION_DISCLOSURE}", "R.", slots) == []
    assert review_text("T", f"You pay Audible.com. {EDUCATION_DISCLOSURE}", "R.", {}) != []


@pytest.mark.parametrize("slot", ["{{ amount }}", "{{amount}}", "{amount}", "{", "}"])
def test_a_slot_that_nobody_fills_any_more_is_critical(slot: str) -> None:
    slots = {"amount": {"signal": "insights", "value": 9.99, "shown": "$9.99"}}
    found = review_text("T", f"You pay {slot} for it. {EDUCATION_DISCLOSURE}", "R.", slots)
    assert [(one["check"], one["severity"]) for one in found] == [("grounding", "critical")]
    assert repr(slot) in found[0]["message"]


def test_a_card_may_be_named_by_its_last_four_and_only_as_the_slot_shows_it() -> None:
    slots = {"fullest_card": {"signal": "cards", "value": "4821", "shown": "card ending in 4821"}}

    def said(sentence: str) -> set[str]:
        found = review_text("T", f"{sentence} {EDUCATION_DISCLOSURE}", "R.", slots)
        return {finding["check"] for finding in found}

    assert said("Your card ending in 4821 is full.") == set()
    assert said("Your card ending in 4822 is full.") == {"grounding"}
    assert said("Your card 5500 0000 0000 4821 is full.") == {"grounding", "privacy"}


@pytest.mark.parametrize(
    ("sentence", "ungrounded"),
    [
        *(
            (text, False)
            for text in ("It is 12.", "12, or more", "12 and 12", "12 12", "(12)", "12, 12.", "12-day", "It’s “12”")
        ),
        *(
            (text, True)
            for text in ("$12", "12%", "x12", "_12", ".12", ",12", "12.5", "12,5", "12x", "12 $12", "$12 12")
        ),
    ],
)
def test_a_slot_grounds_its_figure_where_it_stands_by_itself(sentence: str, ungrounded: bool) -> None:
    found = review_text("T", f"{sentence} {EDUCATION_DISCLOSURE}", "R.", {"n": {"shown": "12"}})
    assert [finding["check"] for finding in found] == ["grounding"] * ungrounded


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Don’t\u200b  “wait”\u00a0–\tnow", 'Don\'t "wait" - now'),
        ("Ｙｏｕ ｍｕｓｔ", "You must"),
        ("уоu muѕt", "you must"),
        ("g u a r a n t e e d", "guaranteed"),
        ("y-o-u m.u.s.t", "you must"),
        ("you mu\u0301st", "you must"),
        ("½ of ③", "1⁄2 of 3"),
        ("Café", "Cafe"),
        ("1\u20102\u20113\u20134\u20145\u22126", "1-2-3-4-5-6"),
        ("\u2018a\u2019b\u02bcc\u2032 \u201cd\u201d", "'a'b'c' \"d\""),
        ("from A to B in 3 - 5 days", "from A to B in 3 - 5 days"),
        ("a well-known T-shirt", "a well-known T-shirt"),
    ],
)
def test_spelling_tricks_are_one_spelling(written: str, read: str) -> None:
    assert normalized(written) == read


def test_a_slot_that_shows_nothing_grounds_nothing_and_ends() -> None:
    empty = {"subscription_payees": {"signal": "streams", "value": "", "shown": ""}}
    told = review_text("A title", f"You have 3 plans. {EDUCATION_DISCLOSURE}", "", empty)
    assert [one["check"] for one in told] == ["grounding"]


def test_a_slot_that_shows_a_number_word_grounds_it_and_no_other() -> None:
    slots = {"pay": {"signal": "pay_frequency", "value": "biweekly", "shown": "every two weeks"}}
    told = {
        text: [one["message"] for one in review_text("T", f"{text} {EDUCATION_DISCLOSURE}", "", slots)]
        for text in ("You are paid every two weeks.", "You are paid every two weeks, and two more times.")
    }
    assert [len(found) for found in told.values()] == [0, 1], told


def test_a_colon_without_a_space_is_no_link() -> None:
    assert review_text("T", f"Step:try it. Note:this. {EDUCATION_DISCLOSURE}", "", {}) == []


def test_a_draft_as_the_desk_holds_it_is_reviewed_like_its_text() -> None:
    draft = {
        "content_type": "education",
        "title": "You must pay",
        "content": f"Act now. {EDUCATION_DISCLOSURE}",
        "rationale": "",
        "slots": "{}",
    }
    assert review_draft(draft) == review_text(draft["title"], draft["content"], "", {})
    assert "tone" in {one["check"] for one in review_draft(draft)} <= {"tone", "reading"}


@pytest.mark.parametrize("sentence", ["It was $1,200 $1,200 before.", "It was 12 of 30 days, and 12 before."])
def test_a_figure_shown_again_or_within_another_is_grounded(sentence: str) -> None:
    slots = {name: {"shown": shown} for name, shown in (("a", "$1,200"), ("b", "12"), ("c", "12 of 30 days"))}
    assert review_text("T", f"{sentence} {EDUCATION_DISCLOSURE}", "", slots) == []


def test_an_operator_s_words_for_an_offer_are_not_asked_about_its_criteria_again() -> None:
    content = f"A free app. {EDUCATION_DISCLOSURE} {OFFER_DISCLOSURE}"
    draft = {"content_type": "partner_offer", "title": "T", "content": content, "rationale": "", "slots": "{}"}
    assert review_draft(draft) == []
