"""Two processes at once: exactly one wins, and the loser is told. Both databases; 200 rounds of each in ``verify``."""

import functools
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select

from spendsense_pipeline.governance import audit, release
from spendsense_pipeline.governance.database import connect, reading
from spendsense_pipeline.governance.models import Decision, Recall, Recommendation, RecommendationText, Release
from spendsense_pipeline_tests.governance import town, verdicts
from spendsense_pipeline_tests.governance.conftest import hasty

ROUNDS = [4, pytest.param(200, marks=pytest.mark.verify)]

starting_line: Barrier


def line_up(barrier: Barrier) -> None:
    global starting_line
    starting_line = barrier


@functools.cache
def door(url: str) -> Engine:
    """A racer's own connection, kept from round to round."""
    engine = connect(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", hasty)
    return engine


def act(url: str, action: str, draft: dict[str, Any]) -> tuple[Any, float, float]:
    """One racer: its own process, off at the same moment as the other. What it was told, when it began and ended."""
    engine = door(url)
    with reading(engine):
        pass
    starting_line.wait(60)
    began = time.monotonic()
    told: Any
    if action == "approve":
        told = town.outcome(town.approve(engine, draft))
    elif action == "reject":
        told = town.outcome(verdicts.reject(engine, [town.seen(draft)], "ben", town.NOW, reason="no"))
    elif action == "revoke":
        told = town.revoke(engine, draft["user_id"], town.NOW)[0]["recalled"]
    elif action == "register":
        done = town.register(engine, draft)
        told = "registered" if done.registered else "unchanged" if done.unchanged else "neither"
    else:
        told = town.gate(engine).released
    return told, began, time.monotonic()


@pytest.fixture(scope="module")
def racers() -> Iterator[Any]:
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2, initializer=line_up, initargs=(spawn.Barrier(2),)) as pool:
        yield pool


class Course:
    """The rounds of a race: who won how often, and how often both were under way at once."""

    def __init__(self, racers: Any, engine: Engine) -> None:
        self.racers, self.engine = racers, engine
        self.rounds = self.together = 0
        self.won: Counter[str] = Counter()

    def race(self, draft: dict[str, Any], first: str, second: str) -> tuple[Any, Any]:
        """What each was told. Who is called first alternates, since that decides many rounds."""
        url = self.engine.url.render_as_string(hide_password=False)
        order = [first, second] if self.rounds % 2 else [second, first]
        told = self.racers.starmap(act, [(url, action, draft) for action in order], chunksize=1)
        self.rounds += 1
        (_, began, ended), (_, other_began, other_ended) = told
        self.together += began < other_ended and other_began < ended
        one, other = told if self.rounds % 2 == 0 else reversed(told)
        return one[0], other[0]

    def was_one(self, *winners: str) -> None:
        """The rounds prove something: the racers met, and none of them wins by its place."""
        with reading(self.engine) as session:
            assert audit.verify(session).ok
            assert release.every_release_had_consent(session).violations == []
        assert sum(self.won.values()) == self.rounds, "exactly one winner in each round"
        if self.rounds >= 200:
            assert self.together > self.rounds / 2, f"{self.together} of {self.rounds} rounds overlapped"
            for winner in winners:
                assert self.won[winner] >= self.rounds / 20, self.won


@pytest.fixture
def course(racers: Any, engine: Engine, record_property: Callable[[str, object], None]) -> Iterator[Course]:
    course = Course(racers, engine)
    yield course
    record_property("rounds", course.rounds)
    record_property("together", course.together)
    record_property("won", dict(course.won))


def decisions_on(engine: Engine, draft: dict[str, Any]) -> int:
    with reading(engine) as session:
        found = select(func.count()).where(Decision.recommendation_id == draft["recommendation_id"])
        return session.scalar(found) or 0


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("other", ["approve", "reject"])
def test_of_two_decisions_one_wins(course: Course, other: str, rounds: int) -> None:
    for number in range(rounds):
        one = town.waiting_draft(course.engine, f"user-{number}")
        told = course.race(one, "approve", other)
        assert told.count("already_decided") == 1
        winner = 0 if told[1] == "already_decided" else 1
        assert told[winner] == {"approve": "approved", "reject": "rejected"}[("approve", other)[winner]]
        assert decisions_on(course.engine, one) == 1
        assert town.status(course.engine, one) == told[winner]
        course.won[("first", "second")[winner]] += 1
    course.was_one("first", "second")


@pytest.mark.parametrize("rounds", ROUNDS)
def test_two_gates_release_once(course: Course, rounds: int) -> None:
    for number in range(rounds):
        one = town.waiting_draft(course.engine, f"user-{number}")
        town.approve(course.engine, one)
        told = course.race(one, "release", "release")
        assert sorted(told) == [[], [one["recommendation_id"]]]
        course.won["first" if told[0] else "second"] += 1
    with reading(course.engine) as session:
        assert session.scalar(select(func.count()).select_from(Release)) == rounds
    course.was_one("first", "second")


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_revocation_and_a_release_leave_nothing_in_the_feed(course: Course, rounds: int) -> None:
    for number in range(rounds):
        one = town.waiting_draft(course.engine, f"user-{number}")
        town.approve(course.engine, one)
        released, recalled = course.race(one, "release", "revoke")
        assert released == recalled, "released first and recalled, or revoked first and never released"
        assert town.feed(course.engine, user_id=one["user_id"]) == []
        course.won["release" if released else "revoke"] += 1
    with reading(course.engine) as session:
        released_ones, recalled_ones = (session.scalars(select(table.release_id)) for table in (Release, Recall))
        assert set(released_ones) == set(recalled_ones)
    course.was_one("release", "revoke")


@pytest.mark.parametrize("rounds", ROUNDS)
def test_two_runs_of_a_day_register_it_once(course: Course, rounds: int) -> None:
    for number in range(rounds):
        user = f"user-{number}"
        one = town.draft(user, town.grant(course.engine, user))
        told = course.race(one, "register", "register")
        assert sorted(told) == ["registered", "unchanged"]
        course.won["first" if told[0] == "registered" else "second"] += 1
    with reading(course.engine) as session:
        for table in (Recommendation, RecommendationText):
            assert session.scalar(select(func.count()).select_from(table)) == rounds
    course.was_one("first", "second")
