"""Two processes at once: exactly one wins, and the loser is told. A few rounds of each race; both databases."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from spendsense_pipeline.governance import audit, release, review
from spendsense_pipeline.governance.database import connect, reading
from spendsense_pipeline.governance.models import Recall, Release
from spendsense_pipeline_tests.governance import town
from spendsense_pipeline_tests.governance.conftest import hasty

ROUNDS = 4

starting_line: Barrier


def line_up(barrier: Barrier) -> None:
    global starting_line
    starting_line = barrier


def act(url: str, action: str, draft: dict[str, Any]) -> Any:
    """One racer: its own process, its own connection, off at the same moment as the other."""
    engine = connect(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", hasty)
    with reading(engine):
        pass
    starting_line.wait(60)
    try:
        if action == "approve":
            return town.outcome(town.approve(engine, draft))
        if action == "reject":
            return town.outcome(review.reject(engine, [town.seen(draft)], "ben", town.NOW, reason="no"))
        if action == "revoke":
            return town.revoke(engine, draft["user_id"], town.NOW)[0]["recalled"]
        if action == "register":
            done = town.register(engine, draft)
            return done.registered, done.unchanged
        return town.gate(engine).released
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def racers() -> Iterator[Any]:
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2, initializer=line_up, initargs=(spawn.Barrier(2),)) as pool:
        yield pool


def race(racers: Any, engine: Engine, draft: dict[str, Any], *actions: str) -> list[Any]:
    url = engine.url.render_as_string(hide_password=False)
    results: list[Any] = racers.starmap(act, [(url, action, draft) for action in actions], chunksize=1)
    return results


def all_is_well(engine: Engine) -> None:
    with reading(engine) as session:
        assert audit.verify(session).ok
        assert release.every_release_had_consent(session).violations == []


def test_of_two_decisions_one_wins(engine: Engine, racers: Any) -> None:
    for number in range(ROUNDS):
        one = town.waiting_draft(engine, f"user-{number}")
        other = ("approve", "reject")[number % 2]
        told = race(racers, engine, one, "approve", other)
        assert sorted(told) in [["already_decided", "approved"], ["already_decided", "rejected"]]
        with reading(engine) as session:
            decisions = session.query(town.review.Decision).filter_by(recommendation_id=one["recommendation_id"])
            assert decisions.count() == 1
    all_is_well(engine)


def test_two_gates_release_once(engine: Engine, racers: Any) -> None:
    for number in range(ROUNDS):
        one = town.waiting_draft(engine, f"user-{number}")
        town.approve(engine, one)
        told = race(racers, engine, one, "release", "release")
        assert sorted(told) == [[], [one["recommendation_id"]]]
    all_is_well(engine)


def test_a_revocation_and_a_release_leave_nothing_in_the_feed(engine: Engine, racers: Any) -> None:
    for number in range(ROUNDS):
        one = town.waiting_draft(engine, f"user-{number}")
        town.approve(engine, one)
        released, recalled = race(racers, engine, one, "release", "revoke")
        assert released == recalled, "released first and recalled, or revoked first and never released"
        assert town.feed(engine) == []
    with reading(engine) as session:
        assert len(session.scalars(select(Release.seq)).all()) == len(session.scalars(select(Recall.seq)).all())
    all_is_well(engine)


def test_two_runs_of_a_day_register_it_once(engine: Engine, racers: Any) -> None:
    for number in range(ROUNDS):
        user = f"user-{number}"
        one = town.draft(user, town.grant(engine, user))
        assert sorted(race(racers, engine, one, "register", "register")) == [(0, 1), (1, 0)]
    all_is_well(engine)
