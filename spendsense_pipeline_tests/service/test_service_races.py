"""Many at once over HTTP, on either database: one winner each, nothing lost or counted twice, nothing shown late."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from spendsense_pipeline.governance import audit, operators
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import Decision, FeedbackEvent, Recommendation
from spendsense_pipeline_tests.governance import town
from spendsense_pipeline_tests.governance.conftest import postgresql, sqlite, wipe
from spendsense_pipeline_tests.service.conftest import Town

__all__ = ["postgresql", "sqlite"]  # fixtures
OPERATORS, DRAFTS = 8, 16
APPS, EVENTS = 8, 120


@pytest.fixture(params=["sqlite", "postgresql"])
def busy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Town]:
    """A service of whose callers none is slowed down."""
    engine: Engine = request.getfixturevalue(request.param)
    wipe(engine)
    yield Town(tmp_path, engine, rate_limit=100_000)
    with reading(engine) as session:
        assert audit.verify(session).first_broken is None


def test_eight_operators_decide_the_same_texts_at_once_and_each_has_one_winner(busy: Town) -> None:
    names = [f"op_{number}" for number in range(OPERATORS)]
    with writing(busy.engine) as session:
        for name in names:
            operators.add(session, name, busy.now)
    drafts = [town.waiting_draft(busy.engine, f"user_{number:02}") for number in range(DRAFTS)]

    def decide_all(name: str) -> list[tuple[str, str, str]]:
        client, order = busy.person(name), random.Random(name)
        results = []
        for draft in order.sample(drafts, len(drafts)):
            asked = {
                "action": order.choice(["approve", "reject"]),
                "recommendation_id": draft["recommendation_id"],
                "content_hash": draft["content_hash"],
                "reason": "not for this customer",
            }
            (row,) = client.post("/desk/decide", json=[asked]).json()["results"]
            results.append((draft["recommendation_id"], name, "ok" if row["ok"] else row["refused"]))
        return results

    with ThreadPoolExecutor(OPERATORS) as people:
        results = [one for of_person in people.map(decide_all, names) for one in of_person]
    won = {recommendation: name for recommendation, name, outcome in results if outcome == "ok"}
    assert len(won) == DRAFTS
    assert Counter(outcome for _, _, outcome in results) == {"ok": DRAFTS, "already_decided": DRAFTS * (OPERATORS - 1)}
    with reading(busy.engine) as session:
        recorded = session.execute(select(Decision.recommendation_id, Decision.operator_id)).all()
        waiting = session.scalar(
            select(func.count()).where(Recommendation.status == "pending_approval").select_from(Recommendation)
        )
    assert sorted(map(tuple, recorded)) == sorted(won.items())
    assert waiting == 0


def test_events_of_many_apps_twice_and_in_any_order_count_once(busy: Town) -> None:
    release = busy.released()["release_id"]
    kinds = ("delivered", "seen", "opened", "helpful")
    events = [
        {"event_id": f"e{number}", "release_id": release, "kind": kinds[number % len(kinds)]}
        for number in range(EVENTS)
    ]

    def send_all(number: int) -> Counter[str]:
        client = busy.token("events:write")
        mine = random.Random(number).sample(events, EVENTS * 2 // 3)
        counted: Counter[str] = Counter()
        for start in range(0, len(mine), 20):
            answer = client.post("/v1/events", json={"events": mine[start : start + 20]}).json()
            counted.update({name: answer[name] for name in ("accepted", "duplicate")})
            counted["refused"] += len(answer["refused"])
        return counted

    with ThreadPoolExecutor(APPS) as apps:
        counted = sum(apps.map(send_all, range(APPS)), Counter[str]())
    sent = {name for number in range(APPS) for name in _names(random.Random(number).sample(events, EVENTS * 2 // 3))}
    assert counted["refused"] == 0
    assert counted["accepted"] == len(sent)
    assert counted["accepted"] + counted["duplicate"] == APPS * (EVENTS * 2 // 3)
    with reading(busy.engine) as session:
        assert session.scalar(select(func.count()).select_from(FeedbackEvent)) == len(sent)


def _names(events: list[dict[str, Any]]) -> list[str]:
    return [one["event_id"] for one in events]


def test_no_feed_shows_what_was_revoked_before_it_was_asked_for_while_gates_run(busy: Town) -> None:
    users = [f"user_{number}" for number in range(6)]
    for user in users:
        draft = town.waiting_draft(busy.engine, user)
        (row,) = town.approve(busy.engine, draft, now=busy.now)
        assert row["ok"], row
    reader = busy.token("feed:read", "consent:write")
    off = {"scopes": {"education": False, "partner_offers": False}}

    def revoke_and_look(user: str) -> list[Any]:
        assert reader.put(f"/v1/customers/{user}/consent", json=off).status_code == 200
        return [reader.get(f"/v1/customers/{user}/feed").json()["items"] for _ in range(5)]

    def release_what_may_go(_: int) -> None:
        town.gate(busy.engine, busy.now)

    with ThreadPoolExecutor(6) as at_once:
        gates = [at_once.submit(release_what_may_go, number) for number in range(6)]
        looks = [at_once.submit(revoke_and_look, user) for user in users[:4]]
        for gate in gates:
            gate.result()
        assert all(items == [] for look in looks for items in look.result())
    town.gate(busy.engine, busy.now)
    assert {row["user_id"] for row in town.feed(busy.engine, busy.now)} == set(users[4:])
