"""The first version of the interface, against one finished run: each test has customers of its own."""

import datetime as dt
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from spendsense_pipeline import warehouse
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import generations, operators, review
from spendsense_pipeline.governance.database import open_or_create, writing
from spendsense_pipeline.recommendations.generation import Generation, Template
from spendsense_pipeline.recommendations.guardrails import review_draft
from spendsense_pipeline.recommendations.library import load_library
from spendsense_pipeline.recommendations.prompts import distinct, fingerprint, load_prompts, request
from spendsense_pipeline.service.app import create_app
from spendsense_pipeline.service.seed import router
from spendsense_pipeline.service.state import Service
from spendsense_pipeline.settings import Settings
from spendsense_pipeline_tests.conftest import DAY, NOON, Pipeline, unopened
from spendsense_pipeline_tests.service.rules_of_routes import rules_of
from spendsense_pipeline_tests.service.seed_client import SHAPES, Client, household

OPERATOR = "operator_1"
SAYS = {"operator_id": OPERATOR}


@dataclass
class World:
    """A running service on a data folder of its own; the clock goes on by a minute whenever it is looked at."""

    service: Service
    client: Client
    taken: set[str] = field(default_factory=set)

    def customer(self, at_least: int = 2) -> tuple[str, list[dict[str, Any]]]:
        """A consenting customer whom no other test has, with what waits of them, oldest first."""
        waiting = self.client("GET /operator/review", status="pending_approval")["recommendations"]
        for user_id in sorted({row["user_id"] for row in waiting} - self.taken):
            mine = [row for row in waiting if row["user_id"] == user_id]
            if len(mine) >= at_least:
                self.taken.add(user_id)
                return user_id, mine
        raise AssertionError("too few customers have drafts for all tests")

    def feed(self, user_id: str) -> list[dict[str, Any]]:
        """What the customer's page shows."""
        shown: list[dict[str, Any]] = self.client("GET /recommendations/{}", user_id, status="approved")[
            "recommendations"
        ]
        return shown


@pytest.fixture(scope="module")
def world(refreshed: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> World:
    data = tmp_path_factory.mktemp("seed") / "data"
    shutil.copytree(unopened(refreshed), data)
    settings = Settings(data=data, weekly_cap=0)
    ticks = iter(range(10**9))
    service = Service(
        settings, open_or_create(settings.governance_url), now=lambda: NOON + dt.timedelta(seconds=next(ticks))
    )
    with writing(service.engine) as session:
        operators.add(session, OPERATOR, NOON)
    web = TestClient(create_app(service), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 1))
    return World(service, Client(web))


def routes() -> list[APIRoute]:
    return [route for room in router.routes for route in room.original_router.routes]  # type: ignore[attr-defined]


def test_the_whole_story_of_a_new_customer(world: World) -> None:
    """Ingest, figures, persona, drafts, review, approval, feed, revocation."""
    client, user_id = world.client, "robin"
    batch = household(user_id, DAY)
    spoilt = [
        batch["transactions"][0] | {"transaction_id": "far", "date": "2999-01-01"},
        batch["transactions"][0] | {"transaction_id": "endless", "amount": "Infinity"},
        batch["transactions"][0] | {"transaction_id": "nobody", "user_id": "nobody", "account_id": "nobody"},
    ]
    sent = batch | {"transactions": [*batch["transactions"], *spoilt]}
    done = client("POST /ingest/", body=sent)
    assert done["ingested"] == {"users": 1, "accounts": 2, "transactions": 120, "liabilities": 1, "products": 0}
    counts = {"read": 123, "accepted": 120, "duplicate": 0, "rejected": 3, "superseded": 0}
    assert done["tables"]["transactions"] == counts

    assert user_id in [row["user_id"] for row in client("GET /users/", limit=100)["users"]]
    figures = client("POST /features/compute/{}", user_id, window_days=30)["features"]
    assert figures["utilization_80_flag"]
    assert figures["payroll_detected"]
    assert figures["net_savings_inflow"] is None, "there is no savings account: unknown, not 0"
    persona = client("POST /personas/{}/assign", user_id)
    assert persona["persona_type"] == "high_utilization"
    assert any("max_utilization" in one for one in json.loads(persona["reasoning"])["matched_criteria"])

    made = client("POST /recommendations/generate/{}", user_id, expect=201)
    assert made["persona"] == "high_utilization"
    assert len(made["recommendations"]) >= 2
    again = client("POST /recommendations/generate/{}", user_id)
    assert again["cached"]
    assert {r["recommendation_id"] for r in again["recommendations"]} == {
        r["recommendation_id"] for r in made["recommendations"]
    }

    in_review = client("GET /operator/review")["recommendations"]
    (mine,) = [one for one in in_review if one["recommendation_id"] == made["recommendations"][0]["recommendation_id"]]
    assert mine["user_name"] == "Robin Vale"
    assert world.feed(user_id) == []
    client("POST /recommendations/{}/approve", mine["recommendation_id"], body=SAYS | {"notes": ""})
    (shown,) = world.feed(user_id)
    assert shown["content"] == mine["content"]
    assert shown["approved_by"] == OPERATOR

    revoked = client("POST /consent/", body={"user_id": user_id, "action": "revoke"})
    assert not revoked["consent_status"]
    assert revoked["consent_granted_at"] is not None, "a revocation keeps it"
    assert world.feed(user_id) == []
    client("POST /recommendations/generate/{}", user_id, expect=403)

    # The same rows again are the same batch, with the same answer, also for whoever does not wait.
    started = client.web.post("/ingest?wait=false", json=sent)
    assert started.status_code == 202
    assert started.json()["batch"] == done["batch"]
    until = time.monotonic() + 120
    while (state := client.web.get(f"/ingest/{done['batch']}").json())["status"] == "started":
        assert time.monotonic() < until
        time.sleep(0.2)
    same = ("status", "ingested", "tables", "batch")
    assert {name: state[name] for name in same} == {name: done[name] for name in same}
    assert not client("GET /consent/{}", user_id)["consent_status"], "a file never grants again what was revoked"


def test_every_route_is_reached_with_and_without_a_final_slash(world: World) -> None:
    both: dict[str, list[bool]] = {}
    for route in routes():
        for method in route.methods:
            both.setdefault(f"{method} {route.path.rstrip('/')}", []).append(route.path.endswith("/"))
    assert all(sorted(forms) == [False, True] for forms in both.values())
    asked = {route.rstrip("/").replace("{}", "*") for route in SHAPES}
    reached = {"/".join("*" if part.startswith("{") else part for part in route.split("/")) for route in both}
    assert asked <= reached
    documented = world.client.web.get("/openapi.json").json()["paths"]
    assert "/users/" in documented
    assert "/users" not in documented
    for path in ("/users", "/users/", "/operator/dashboard/", "/evaluate/history/", "/products"):
        assert world.client.web.get(path, follow_redirects=False).status_code == 200


def test_every_route_has_a_rule_and_nobody_else_gets_in(world: World) -> None:
    assert all(rules_of(route) for route in routes())
    stranger = TestClient(create_app(world.service), base_url="http://192.0.2.7:8000", client=("192.0.2.9", 1))
    assert stranger.get("/users/").status_code == 401
    assert stranger.post("/recommendations/bulk-approve", json=SAYS | {"recommendation_ids": []}).status_code == 401


def test_a_customer_in_figures(world: World) -> None:
    client = world.client
    (first, *_) = client("GET /users/", user_type="customer", limit=2)["users"]
    user_id = first["user_id"]
    profile = client("GET /profile/{}", user_id, window=45)
    assert list(profile["features"]) == ["30d", "45d", "180d"]
    assert {one["window_days"] for one in profile["personas"]} == {30, 45, 180}
    one = client("POST /features/compute/{}", user_id, window_days=45)["features"]
    assert one.items() <= profile["features"]["45d"].items()
    signals = client("GET /operator/users/{}/signals", user_id)
    assert (
        signals["30d_signals"]["income"]["cash_flow_buffer_months"]
        == profile["features"]["30d"]["cash_flow_buffer_months"]
    )
    assert all(len(card["last_four"]) == 4 for card in signals["30d_signals"]["credit"]["cards"])
    assigned = client("POST /personas/{}/assign", user_id, window_days=180)
    assert assigned["persona_id"] == client("POST /personas/{}/assign", user_id, window_days=180)["persona_id"] < 2**31
    assert [one["window_days"] for one in client("GET /personas/{}", user_id)] == [30, 180]
    assert client("GET /users/{}", user_id)["personas"][0]["persona_type"] == first["personas"][0]["persona_type"]


def test_the_list_of_users_pages_in_order_of_id(world: World) -> None:
    client = world.client
    everybody = [row["user_id"] for row in client("GET /users/", limit=100)["users"]]
    assert everybody == sorted(everybody)
    pages = [client("GET /users/", limit=7, offset=at) for at in range(0, len(everybody), 7)]
    assert [row["user_id"] for page in pages for row in page["users"]] == everybody
    agreed = client("GET /users/", consent_status=True, limit=100)
    assert agreed["users"]
    assert all(row["consent_status"] for row in agreed["users"])
    assert client("GET /users/", user_type="martian")["users"] == []
    counted = client("GET /operator/dashboard")
    assert counted["total_users"] == len(everybody)
    assert counted["users_with_consent"] == agreed["total"]
    assert sum(counted["persona_distribution"].values()) <= counted["total_users"]
    assert all(counted["recommendations"].values()), "only statuses that occur"


def test_unknown_ids_are_404_and_bad_parameters_422(world: World) -> None:
    client = world.client
    for route in ("GET /users/{}", "GET /profile/{}", "POST /features/compute/{}", "POST /personas/{}/assign",
                  "GET /personas/{}", "GET /operator/users/{}/signals", "GET /consent/{}", "GET /recommendations/{}",
                  "POST /recommendations/generate/{}", "GET /products/{}"):  # fmt: skip
        assert client(route, "nobody", expect=404)["code"].startswith("unknown_")
    client("POST /recommendations/{}/approve", "rec_none", expect=404, body=SAYS)
    client("POST /consent/", expect=404, body={"user_id": "nobody", "action": "revoke"})
    (first,) = client("GET /users/", limit=1)["users"]
    for wrong in (0, 366, "x"):
        assert isinstance(client("GET /profile/{}", first["user_id"], expect=422, window=wrong)["detail"], list)
    client("GET /users/", expect=422, offset=2**63)
    client("GET /users/", expect=422, limit=101)
    client("GET /operator/review", expect=422, status="maybe")
    client("POST /consent/", expect=422, body={"user_id": first["user_id"], "action": "perhaps"})
    client("POST /ingest/", expect=422, body={"users": [{"user_id": "x"}]})
    client("POST /recommendations/{}/approve", "rec_none", expect=422, body={"operator_id": "  "})


def test_operators_have_no_persona_and_nothing_is_written_for_them(world: World) -> None:
    client = world.client
    (operator, *_) = [row["user_id"] for row in client("GET /users/", user_type="operator")["users"]]
    assert client("GET /profile/{}", operator) | {"features": {}, "personas": []} == client("GET /profile/{}", operator)
    for route in ("POST /features/compute/{}", "POST /personas/{}/assign", "POST /recommendations/generate/{}"):
        assert client(route, operator, expect=400)["code"] == "not_a_customer"


@pytest.mark.parametrize(
    ("code", "days_ago", "merchant", "balance"),
    [
        ("stale_data", 8, "Corner Grocery", 1_900.0),
        ("unexplained", 0, "Qxvelt Brumm", 1_900.0),
        ("without_balances", 0, "Corner Grocery", None),
    ],
)
def test_on_figures_that_say_too_little_nothing_is_written_and_the_reason_is_told(
    world: World, code: str, days_ago: int, merchant: str, balance: float | None
) -> None:
    client, user_id = world.client, f"little-{code}"
    batch = household(user_id, DAY - dt.timedelta(days=days_ago))
    for account in batch["accounts"]:
        account |= {"balance_current": balance, "balance_available": balance}
    for row in batch["transactions"]:
        if row["amount"] < 0:
            row["merchant_name"] = merchant
            if merchant != "Corner Grocery":
                row |= {"category_primary": None, "category_detailed": None}
    client("POST /ingest/", body=batch)
    refused = client("POST /recommendations/generate/{}", user_id, expect=409)
    assert refused["code"] == code
    assert client("POST /personas/{}/assign", user_id)["persona_type"], "the persona is still computed"


def test_drafts_for_one_customer_are_those_of_the_day(world: World) -> None:
    """What the daily run registered is what drafting for this customer alone gives: nothing changes."""
    user_id, waiting = world.customer()
    made = world.client("POST /recommendations/generate/{}", user_id, force_regenerate=True, expect=201)
    before = {row["recommendation_id"]: row["content_hash"] for row in waiting}
    assert {row["recommendation_id"]: row["content_hash"] for row in made["recommendations"]} == before


def test_drafts_of_several_customers_at_once_do_not_mix(world: World) -> None:
    found = dict(world.customer() for _ in range(3))

    def again(user_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = world.client(
            "POST /recommendations/generate/{}", user_id, force_regenerate=True, expect=201
        )
        return answer

    with ThreadPoolExecutor(3) as pool:
        for made in pool.map(again, found):
            expected = {row["content_hash"] for row in found[made["user_id"]]}
            assert {row["content_hash"] for row in made["recommendations"]} == expected


def test_what_a_model_wrote_before_comes_before_the_library(world: World) -> None:
    """Nobody is asked: what is kept is used, the library serves the rest."""
    user_id, _ = world.customer()
    settings = world.service.settings
    rows = to_frame(warehouse.load(settings.warehouse_root, "situations", [str(DAY)]))
    library, prompts, written = load_library(settings.prompts), load_prompts(settings.prompts), []
    for one in distinct(rows[rows["user_id"] == user_id]):
        piece = next(each for each in library if each.fits(one.about, one.facts, one.slots))
        words = Template(piece.topic, piece.title, f"{piece.content} One step at a time.", piece.facts)
        asked = fingerprint(request(one, prompts[one.about], settings.openai_model))
        written.append(Generation(one, asked, "1", settings.openai_model, (words,)))
    with writing(world.service.engine) as session:
        generations.keep(session, written, NOON, None)
    settings.generator = "openai"
    try:
        made = world.client("POST /recommendations/generate/{}", user_id, force_regenerate=True, expect=201)
    finally:
        settings.generator = "library"
    assert any("One step at a time." in row["content"] for row in made["recommendations"])


def test_an_override_goes_out_when_it_is_approved(world: World) -> None:
    client = world.client
    user_id, waiting = world.customer()
    target = next(row for row in waiting if row["content_type"] == "education")
    rec = target["recommendation_id"]
    words = "Small steps add up. Pick a day this week to look at the bill and see whether it still fits."
    done = client(
        "POST /recommendations/{}/override", rec, body=SAYS | {"new_content": words, "reason": "plainer words"}
    )
    assert done["status"] == "overridden"
    assert json.loads(done["original_content"])["original_content"] == target["content"]
    assert done["content"].startswith(words)
    assert "not financial advice" in done["content"], "the disclosure is appended"
    assert rec not in [row["recommendation_id"] for row in world.feed(user_id)]
    (listed,) = [
        row
        for row in client("GET /operator/review", status="overridden")["recommendations"]
        if row["recommendation_id"] == rec
    ]
    assert listed["override_reason"] == "plainer words"
    approved = client("POST /recommendations/{}/approve", rec, body=SAYS | {"notes": ""})
    assert approved["status"] == "approved"
    assert [row["content"] for row in world.feed(user_id) if row["recommendation_id"] == rec] == [done["content"]]
    left = client("GET /operator/review", status="overridden")["recommendations"]
    assert rec not in [row["recommendation_id"] for row in left]
    # A second override neither alters what was approved nor loses the original.
    refused = client(
        "POST /recommendations/{}/override", rec, expect=409, body=SAYS | {"new_title": "X", "reason": "y"}
    )
    assert refused["code"] == review.Refusal.ALREADY_DECIDED


def test_what_an_override_may_not_say(world: World) -> None:
    client = world.client
    _, (first, *_) = world.customer(1)
    rec = first["recommendation_id"]

    def refused(**words: Any) -> dict[str, Any]:
        answer: dict[str, Any] = client("POST /recommendations/{}/override", rec, expect=409, body=SAYS | words)
        return answer

    promise = refused(new_content="This investment is guaranteed to double your money.", reason="better")
    assert promise["code"] == review.Refusal.CRITICAL_FINDING
    assert promise["findings"]
    assert refused(reason="nothing given")["code"] == review.Refusal.NOTHING_CHANGED
    assert refused(new_content="   ", reason="blank")["code"] == review.Refusal.INVALID_TEXT
    assert refused(new_title="A title", reason=" ")["code"] == review.Refusal.REASON_REQUIRED
    (same,) = [r for r in client("GET /operator/review")["recommendations"] if r["recommendation_id"] == rec]
    assert same["content"] == first["content"]


def test_a_rejection_is_final_and_keeps_its_first_reason(world: World) -> None:
    client = world.client
    _, (first, *_) = world.customer(1)
    rec = first["recommendation_id"]
    done = client("POST /recommendations/{}/reject", rec, body=SAYS | {"reason": "does not fit"})
    assert done["status"] == "rejected"
    assert json.loads(done["metadata_json"])["rejection_reason"] == "does not fit"
    client("POST /recommendations/{}/reject", rec, expect=409, body=SAYS | {"reason": "another"})
    client("POST /recommendations/{}/approve", rec, expect=409, body=SAYS)
    client("POST /recommendations/{}/override", rec, expect=409, body=SAYS | {"new_title": "Back", "reason": "no"})
    (listed,) = [
        row
        for row in client("GET /operator/review", status="rejected")["recommendations"]
        if row["recommendation_id"] == rec
    ]
    assert json.loads(listed["metadata_json"])["rejection_reason"] == "does not fit"


def test_several_at_once(world: World) -> None:
    client = world.client
    user_id, (first, second, *_) = world.customer(2)
    ids = [first["recommendation_id"], second["recommendation_id"], first["recommendation_id"], "rec_none"]
    done = client("POST /recommendations/bulk-approve", body=SAYS | {"recommendation_ids": ids})
    assert (done["approved"], done["failed"], len(done["errors"])) == (2, 2, 2)
    assert {first["recommendation_id"], second["recommendation_id"]} <= {
        row["recommendation_id"] for row in world.feed(user_id)
    }
    for nothing in ([], ids):
        refused = client("POST /recommendations/bulk-approve", expect=400, body=SAYS | {"recommendation_ids": nothing})
        assert refused["detail"].keys() == {"message", "approved", "failed", "errors"}
        assert refused["detail"]["approved"] == 0


def test_only_a_registered_operator_decides(world: World) -> None:
    _, (first, *_) = world.customer(1)
    rec = first["recommendation_id"]
    answer = world.client("POST /recommendations/{}/approve", rec, expect=409, body={"operator_id": "anybody"})
    assert answer["code"] == review.Refusal.UNKNOWN_OPERATOR


def test_of_two_decisions_at_once_one_counts(world: World) -> None:
    _, (first, *_) = world.customer(1)
    rec = first["recommendation_id"]
    bodies = [("approve", SAYS), ("reject", SAYS | {"reason": "no"})] * 3

    def decide(ask: tuple[str, dict[str, Any]]) -> int:
        status: int = world.client.web.post(f"/recommendations/{rec}/{ask[0]}", json=ask[1]).status_code
        return status

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(decide, bodies)) == [200, 409, 409, 409, 409, 409]


def test_an_approval_means_the_text_that_was_listed(world: World) -> None:
    """Of a text with several versions: whoever listed the earlier one does not approve the later one."""
    client = world.client
    world.service.settings.four_eyes = True
    try:
        user_id, (first, *_) = world.customer(1)
        rec = first["recommendation_id"]
        other = "operator_2"
        with writing(world.service.engine) as session:
            operators.add(session, other, NOON)
        rewritten = {"action": "override", "title": "Other words", "reason": "plainer"}
        made = review.Request(recommendation_id=rec, operator_id=other, **rewritten)
        (done,) = review.decide(
            world.service.engine, [made], world.service.now(), guardrails=review_draft, four_eyes=True
        )
        assert done["ok"]
        late = client("POST /recommendations/{}/approve", rec, expect=409, body=SAYS)
        assert late["code"] == review.Refusal.CHANGED
        listed = client("GET /operator/review", status="overridden")["recommendations"]
        assert rec in [row["recommendation_id"] for row in listed]
        own = client("POST /recommendations/{}/approve", rec, expect=409, body={"operator_id": other})
        assert own["code"] == review.Refusal.FOUR_EYES
        client("POST /recommendations/{}/approve", rec, body=SAYS)
        assert "Other words" in [row["title"] for row in world.feed(user_id)]
    finally:
        world.service.settings.four_eyes = False


def test_consent_said_again_is_no_new_entry(world: World) -> None:
    client = world.client
    (user_id, *_) = [r["user_id"] for r in client("GET /users/", consent_status=False, user_type="customer")["users"]]
    world.taken.add(user_id)
    before = client("GET /consent/{}", user_id)["history"]
    granted = client("POST /consent/", body={"user_id": user_id, "action": "grant"})
    assert [one["action"] for one in granted["history"]] == ["granted", *(one["action"] for one in before)]
    assert granted["consent_status"]
    assert granted["consent_revoked_at"] is None, "a grant takes it away"
    again = client("POST /consent/", body={"user_id": user_id, "action": "grant"})
    assert again["history"] == granted["history"]
    revoked = client("POST /consent/", body={"user_id": user_id, "action": "revoke"})
    assert revoked["history"][0]["action"] == "revoked"
    assert revoked["history"][1:] == granted["history"]
    assert client("POST /consent/", body={"user_id": user_id, "action": "revoke"})["history"] == revoked["history"]
    assert client("GET /users/{}", user_id)["consent_revoked_at"] == revoked["consent_revoked_at"]


SAVINGS = {
    "product_name": "Plain Savings",
    "product_type": "savings_account",
    "category": "savings",
    "persona_targets": ["savings_builder"],
    "short_description": "A savings account without a minimum.",
    "benefits": ["No fee"],
    "disclosure": "Terms depend on the bank.",
    "partner_name": "Plain Bank",
}


def test_a_product_is_added_changed_and_withdrawn(world: World) -> None:
    client = world.client
    before = client("GET /products/", limit=100)
    made = client("POST /products/", body=SAVINGS, expect=201)
    assert (made["min_income"], made["max_credit_utilization"], made["active"]) == (0, 1, True)
    after = client("GET /products/", limit=100)
    assert {row["product_id"] for row in after["products"]} == {
        made["product_id"],
        *(row["product_id"] for row in before["products"]),
    }, "the others stay"
    changed = client("PUT /products/{}", made["product_id"], body=SAVINGS | {"priority": 4})
    assert changed["priority"] == 4
    assert changed["created_at"] == made["created_at"] < changed["updated_at"]
    for _ in range(2):
        client("DELETE /products/{}", made["product_id"], expect=204)
    assert not client("GET /products/{}", made["product_id"])["active"]
    offered = client("GET /products/", active_only=True, limit=100, persona_type="savings_builder", category="savings")
    assert made["product_id"] not in [row["product_id"] for row in offered["products"]]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("min_income", -5),
        ("min_income", float("inf")),
        ("max_credit_utilization", 900),
        ("persona_targets", ["astronaut"]),
        ("partner_link", "javascript:alert(1)"),
        ("short_description", "{{ user_id }}"),
    ],
)
def test_a_product_that_ingest_would_reject_is_refused_with_field_and_reason(
    world: World, field: str, wrong: Any
) -> None:
    body = json.dumps(SAVINGS | {field: wrong})
    found = world.client.web.post("/products", content=body, headers={"content-type": "application/json"})
    assert found.status_code == 422
    assert found.json()["detail"][0]["loc"][:2] == ["body", field]
    assert found.json()["detail"][0]["msg"]


def test_the_newest_date_is_evaluated(world: World) -> None:
    client = world.client
    done = client("POST /evaluate/", body={"run_id": "audit of july"})
    assert done["run_id"] == done["metrics"]["run_id"] == "audit of july"
    coverage = done["metrics"]["coverage"]
    assert 0 < coverage["coverage_percentage"] <= 100
    assert coverage["users_with_persona"] <= coverage["total_users"]
    assert done["parquet_exports"]
    taken = client("POST /evaluate/", expect=409, body={"run_id": "audit of july"})
    assert taken["code"] == "name_taken"
    latest = client("GET /evaluate/latest")
    assert latest["run_id"] == "audit of july"
    assert latest["coverage"] == coverage
    history = client("GET /evaluate/history")
    assert history["runs"][0]["run_id"] == "audit of july"
    assert history["total"] == len(history["runs"]) >= 2, "the day's own evaluation is one of them"
    files = client("GET /evaluate/exports/latest", limit=3)
    assert files["total"] == len(files["exports"]) == 3
    stranger = TestClient(create_app(world.service), base_url="http://192.0.2.7", client=("192.0.2.9", 1))
    (file, other, *_) = files["exports"]
    path = file["download_url"].removeprefix("http://127.0.0.1:8000")
    assert len(stranger.get(path).content) == file["size"], "the link is enough, for an hour"
    assert stranger.get(path.partition("?")[0]).status_code == 401
    elsewhere = f"/evaluate/exports/{other['key']}?{path.partition('?')[2]}"
    assert stranger.get(elsewhere).status_code == 401, "for its file alone"
