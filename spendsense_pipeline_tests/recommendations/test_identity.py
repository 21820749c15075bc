"""Names and fingerprints: the same for the same, different for anything a decision could depend on."""

import datetime as dt
import hashlib
import json

from spendsense_pipeline.recommendations.identity import content_hash, recommendation_id, template_hash

DAY = dt.date(2026, 3, 5)


def test_the_content_hash_is_over_canonical_json_of_all_that_is_shown() -> None:
    said = {"content_type": "education", "title": "T", "content": "é", "rationale": "R", "product_id": None}
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    assert content_hash("education", "T", "é", "R", None) == hashlib.sha256(text.encode()).hexdigest()


def test_any_change_of_what_is_shown_changes_the_hash() -> None:
    parts = ["education", "T", "C", "R", "p1"]
    hashes = {content_hash(*parts)}
    for position in range(5):
        hashes.add(content_hash(*[part + "x" if i == position else part for i, part in enumerate(parts)]))
    assert len(hashes) == 6


def test_a_recommendation_is_named_by_customer_day_kind_subject_and_consent_period() -> None:
    ids = {
        recommendation_id("u1", DAY, "education", "a/b", "c1"),
        recommendation_id("u2", DAY, "education", "a/b", "c1"),
        recommendation_id("u1", DAY + dt.timedelta(1), "education", "a/b", "c1"),
        recommendation_id("u1", DAY, "partner_offer", "a/b", "c1"),
        recommendation_id("u1", DAY, "education", "a/c", "c1"),
        recommendation_id("u1", DAY, "education", "a/b", "c2"),
    }
    assert len(ids) == 6
    assert all(len(one) == 24 and one.startswith("rec_") for one in ids)


def test_parts_cannot_run_into_each_other() -> None:
    assert recommendation_id("u", DAY, "education", "a", "bc") != recommendation_id("u", DAY, "education", "ab", "c")


def test_the_order_of_facts_does_not_make_another_template() -> None:
    assert template_hash("T", "C", ["a=1", "b=2"]) == template_hash("T", "C", ["b=2", "a=1"])
    assert template_hash("T", "C", ["a=1"]) != template_hash("T", "C", ["a=2"])
