"""The interface for apps: what a customer may see, consent and topics, words back, the customer's own page."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from spendsense_pipeline.governance import endings
from spendsense_pipeline.governance import feedback as events
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.models import FeedbackEvent
from spendsense_pipeline.service.v1 import as_html
from spendsense_pipeline_tests.governance import town
from spendsense_pipeline_tests.governance.town import DAY
from spendsense_pipeline_tests.service.conftest import ADDRESS, Town

FEED = "/v1/customers/mia/feed"
CONSENT = "/v1/customers/mia/consent"


def test_the_feed_tells_an_app_all_it_needs_to_show_a_text(place: Town) -> None:
    row = place.released()
    answer = place.token("feed:read").get(FEED)
    (item,) = answer.json()["items"]
    assert answer.json()["total"] == 1
    assert item["release_id"] == row["release_id"]
    assert (item["content_type"], item["title"]) == ("education", row["title"])
    assert item["content_html"] == "<p>You use 68% of the limit of one card.</p>"
    assert item["expires_at"] == "2026-12-23T09:00:00Z"
    assert [figure["shown"] for figure in item["figures"]] == ["68%"]
    assert item["topic"] == "debt"
    assert item["link"] is None


def test_an_unchanged_feed_is_not_sent_again(place: Town) -> None:
    place.released()
    client = place.token("feed:read")
    first = client.get(FEED)
    assert client.get(FEED, headers={"if-none-match": first.headers["etag"]}).status_code == 304
    town.revoke(place.engine, "mia", place.now)
    gone = client.get(FEED, headers={"if-none-match": first.headers["etag"]})
    assert (gone.status_code, gone.json()["items"]) == (200, [])


@pytest.mark.parametrize("known", ["{tag}", "W/{tag}", '"other", W/{tag}', '"other",{tag}', "*"])
def test_an_unchanged_feed_is_known_however_the_client_names_it_and_kept_as_before(place: Town, known: str) -> None:
    place.released()
    client = place.token("feed:read")
    whole = client.get(FEED)
    again = client.get(FEED, headers={"if-none-match": known.format(tag=whole.headers["etag"])})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("etag", "cache-control", "vary"):
        assert again.headers[name] == whole.headers[name]
    other = whole.headers["etag"].replace('"', '"x', 1)
    assert client.get(FEED, headers={"if-none-match": other}).status_code == 200


def test_the_feed_is_paged_and_cut_by_time(place: Town) -> None:
    place.released()
    place.now += DAY
    place.released(template="other", as_of=place.now.date())
    client = place.token("feed:read")
    assert [one["title"] for one in client.get(FEED, params={"limit": 1, "offset": 1}).json()["items"]]
    since = client.get(FEED, params={"since": "2026-11-23T12:00:00Z"}).json()
    assert since["total"] == 1
    for wrong in ({"limit": 0}, {"limit": 201}, {"offset": -1}, {"offset": 2**63}, {"since": "2026-11-23T12:00:00"}):
        assert client.get(FEED, params=wrong).status_code == 422


def test_a_token_for_one_customer_reads_no_other_and_cannot_tell_whether_there_is_one(place: Town) -> None:
    place.released("noah")
    client = place.token("feed:read", "consent:write", "events:write", user_id="mia")
    assert client.get(FEED).status_code == 200
    for user in ("noah", "nobody"):
        refused = client.get(f"/v1/customers/{user}/feed")
        assert (refused.status_code, refused.json()["detail"]) == (403, "this token is for another customer")
        assert client.put(f"/v1/customers/{user}/consent", json={}).status_code == 403
        assert client.post(f"/v1/customers/{user}/link").status_code == 403
    (theirs,) = town.feed(place.engine, place.now, user_id="noah")
    sent = {"events": [{"event_id": "e1", "release_id": theirs["release_id"], "kind": "seen"}]}
    assert client.post("/v1/events", json=sent).json()["refused"][0]["code"] == "unknown_release"


def test_a_token_for_one_customer_has_no_scope_that_concerns_all(place: Town) -> None:
    for scopes, owner in ((["ingest:write"], None), (["feed:read", "ingest:write"], None), (["review"], "ada")):
        body = {"name": "app", "scopes": scopes, "user_id": "mia", "operator_id": owner}
        answer = place.person("root").post("/admin/tokens", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_token")
    assert place.token("feed:read", user_id="mia").get("/metrics").status_code == 403
    assert place.token("feed:read").get("/metrics").status_code == 200


def test_an_account_at_the_identity_provider_is_one_person_s(place: Town) -> None:
    client = place.person("root")
    body = {"operator_id": "ada", "subject": "https://login.example.org|1"}
    assert client.post("/admin/people", json=body).status_code == 200
    taken = client.post("/admin/people", json=body | {"operator_id": "ben"})
    assert (taken.status_code, taken.json()["code"]) == (409, "subject_taken")
    assert client.post("/admin/people", json=body).status_code == 200
    assert client.post("/admin/people", json=body | {"subject": "no issuer"}).status_code == 422


def test_an_offer_in_the_feed_links_where_the_approved_text_says_whatever_the_catalogue_says_since(place: Town) -> None:
    shown = {"product_name": "Card", "product_link": "https://bank.example/card", "product_disclosure": "An advert."}
    slots = {name: {"signal": "products", "value": text, "shown": text} for name, text in shown.items()}
    row = place.released(product="p1", slots=json.dumps(slots))
    (item,) = place.token("feed:read").get(f"/v1/customers/{row['user_id']}/feed").json()["items"]
    assert (item["link"], item["disclosure"]) == (shown["product_link"], shown["product_disclosure"])
    assert item["product"]["product_name"] == "Card"


def test_consent_is_by_scope_and_topic_and_a_repeat_leaves_no_entry(place: Town) -> None:
    place.released()
    client = place.token("consent:write", "feed:read")
    before = client.get(CONSENT).json()
    assert before["scopes"] == {"education": True, "partner_offers": True}
    off = client.put(CONSENT, json={"scopes": {"partner_offers": False}, "topics": {"debt": False}}).json()
    assert off["scopes"] == {"education": True, "partner_offers": False}
    assert off["topics"]["debt"] is False
    assert client.get(FEED).json()["items"] == []
    again = client.put(CONSENT, json={"scopes": {"partner_offers": False}, "topics": {"debt": False}}).json()
    assert (again["history"], again["topic_history"]) == (off["history"], off["topic_history"])
    for wrong in (
        {"scopes": {"astrology": True}},
        {"topics": {"astrology": True}},
        {"scopes": {"education": 7}},
        {"x": 1},
    ):
        assert client.put(CONSENT, json=wrong).status_code == 422


def test_nobody_opens_consent_for_an_id_that_never_arrived(place: Town) -> None:
    answer = place.token("consent:write").put("/v1/customers/typo/consent", json={"scopes": {"education": True}})
    assert answer.status_code in (404, 409)
    assert town.feed(place.engine, place.now) == []


def test_events_are_taken_one_by_one(place: Town) -> None:
    row = place.released()
    client = place.token("events:write")
    sent: list[dict[str, Any]] = [
        {"event_id": "e1", "release_id": row["release_id"], "kind": "seen", "occurred_at": "2026-11-23T08:00:00Z"},
        {"event_id": "e1", "release_id": row["release_id"], "kind": "seen", "occurred_at": "2026-11-23T08:00:00Z"},
        {"event_id": "e2", "release_id": row["release_id"], "kind": "seen", "occurred_at": "yesterday"},
        {"event_id": "e3", "kind": "seen"},
        {"event_id": "e4", "release_id": row["release_id"], "kind": "wrong_figure", "note": "I have no card"},
    ]
    answer = client.post("/v1/events", json={"events": sent}).json()
    assert (answer["accepted"], answer["duplicate"]) == (2, 1)
    assert {one["event_id"] for one in answer["refused"]} == {"e2", "e3"}
    assert len(answer["held"]) == 1
    assert town.feed(place.engine, place.now) == []
    assert client.post("/v1/events", json={"events": sent * 400}).status_code == 422


def test_text_becomes_html_in_which_nothing_runs() -> None:
    for text in (
        "<script>alert(1)</script>",
        '<img src=x onerror="x">',
        "https://a.example/\"onmouseover='x'",
        "javascript:x",
    ):
        shown = as_html(text)
        assert "<script" not in shown
        assert "<img" not in shown
        assert 'href="javascript' not in shown
        assert "onmouseover='" not in shown
    assert as_html("one\n\ntwo\nthree") == "<p>one</p><p>two<br>three</p>"


class TestOwnPage:
    """`/me`, reached by a link that an app asks for."""

    def link(self, place: Town) -> str:
        answer = place.token("consent:write").post("/v1/customers/mia/link")
        assert answer.status_code == 201
        found: str = answer.json()["link"]
        assert found.startswith(f"{ADDRESS}/me?token=")
        return found

    def test_it_shows_the_feed_and_the_switches(self, place: Town) -> None:
        row = place.released()
        text = place.client().get(self.link(place)).text
        for part in (row["title"], "Why am I seeing this?", "Cards and loans", 'data-scope="partner_offers" checked'):
            assert part in text

    def test_a_switch_and_a_word_back(self, place: Town) -> None:
        row = place.released()
        token = self.link(place).partition("token=")[2]
        client = place.client(**{"x-customer-token": token})
        word = {"event_id": "0123456789", "release_id": row["release_id"], "kind": "helpful"}
        assert client.post("/me/events", json=word).json() == {"accepted": 1, "duplicate": 0}
        assert client.post("/me/events", json=word).json() == {"accepted": 0, "duplicate": 1}
        assert client.post("/me/events", json=word | {"kind": "delivered"}).status_code == 422
        assert client.post("/me/consent", json={"scopes": {"education": False}}).json()["scopes"]["education"] is False
        assert town.feed(place.engine, place.now) == []
        with reading(place.engine) as session:
            assert list(session.scalars(select(FeedbackEvent.kind))) == ["helpful"]

    def test_it_is_over_after_half_an_hour_and_nobody_forges_it(self, place: Town) -> None:
        place.released()
        for link in ("/me", "/me?token=forged", "/me?token=" + place.service.sign("session", {"user_id": "mia"})):
            assert place.client().get(link).status_code == 403
        page = place.client(accept="text/html").get("/me?token=forged").text
        assert "this link is over" in page
        assert 'href="/desk' not in page


def test_admins_manage_people_tokens_recalls_and_nobody_raises_themselves(place: Town) -> None:
    row = place.released()
    client = place.person("root")
    assert client.post("/admin/people", json={"operator_id": "new", "role": "viewer"}).json()["status"] == "added"
    assert client.post("/admin/people", json={"operator_id": "root", "role": "operator"}).status_code == 403
    assert client.post("/admin/people", json={"operator_id": "x", "role": "king"}).status_code == 422
    assert client.post("/admin/people/deactivate", json={"name": "root"}).status_code == 403
    made = client.post("/admin/tokens", json={"name": "app", "scopes": ["feed:read"]}).json()
    app = place.client(authorization=f"Bearer {made['token']}")
    assert app.get(FEED).json()["total"] == 1
    assert client.post("/admin/tokens/revoke", json={"name": made["token_id"]}).json()["status"] == "revoked"
    assert app.get(FEED).status_code == 401
    order = {"target": "recommendation", "subject": row["recommendation_id"], "reason": "a wrong rate"}
    assert client.post("/admin/recalls", json=order).json()["recalled"] == [row["recommendation_id"]]
    page = client.get("/desk/admin")
    assert page.status_code == 200
    assert made["token"] not in page.text
    with reading(place.engine) as session:
        assert endings.causes(session) == {"recalled": 1}


def test_an_operator_clears_a_hold_under_their_own_name(place: Town) -> None:
    row = place.released()
    sent = [{"event_id": "e1", "release_id": row["release_id"], "kind": "complaint", "occurred_at": None, "note": None}]
    events.record(place.engine, sent, place.now, source="test")
    client = place.person("ada")
    (held,) = client.get("/holds").json()["holds"]
    body = {"reference": held["reference"], "note": "looked at it"}
    assert client.post("/holds/clear", json=body | {"operator_id": "ben"}).status_code == 403
    assert client.post("/holds/clear", json=body).status_code == 200
    assert len(town.feed(place.engine, place.now)) == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
def test_it_says_how_it_is(trusting: Town, path: str) -> None:
    assert trusting.client().get(path).status_code == 200


def test_a_database_of_another_version_is_not_ready(place: Town) -> None:
    with place.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    answer = place.client().get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_not_migrated")
