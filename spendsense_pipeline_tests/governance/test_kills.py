"""`kill -9` at every step of a write: after the restart nothing is lost, nothing is half done, nothing comes twice."""

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event

from spendsense_pipeline.governance import audit, consent, release, review
from spendsense_pipeline.governance.consent import _consent_id
from spendsense_pipeline.governance.database import connect, reading, writing
from spendsense_pipeline.governance.models import Base
from spendsense_pipeline_tests.governance import town

LATER = town.NOW + town.HOUR
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload([__name__])


CONSENT = _consent_id("mia", "education", 1)


def slate(figure: float) -> list[dict[str, Any]]:
    """Three drafts of two customers, whose consent ids are the same in every database."""
    consents = {user: {"education": _consent_id(user, "education", 1)} for user in ("mia", "noah")}
    return [
        town.draft("mia", consents["mia"], template="a", figure=figure),
        town.draft("mia", consents["mia"], template="b", figure=figure),
        town.draft("noah", consents["noah"], template="a", figure=figure),
    ]


def register(engine: Engine) -> None:
    town.register(engine, *slate(0.9), now=LATER)


def decide(engine: Engine) -> None:
    first, second, third = slate(0.5)
    asked = [
        review.Request("approve", first["recommendation_id"], "ada", first["content_hash"]),
        review.Request("reject", second["recommendation_id"], "ada", second["content_hash"], reason="no"),
        review.Request("override", third["recommendation_id"], "ben", reason="calmer", title="Calmer"),
    ]
    review.decide(engine, asked, LATER, guardrails=town.no_findings)


def release_all(engine: Engine) -> None:
    town.gate(engine, LATER)


def revoke(engine: Engine) -> None:
    town.revoke(engine, "mia", LATER)


def open_periods(engine: Engine) -> None:
    """As `consent import` does."""
    said = [{"user_id": name, "consent_status": True, "consent_granted_at": None} for name in ("ida", "lea")]
    with writing(engine) as session:
        assert consent.open_first_periods(session, said, LATER, source="consent import: lost") in (4, 0)


ACTIONS: dict[str, Callable[[Engine], None]] = {
    "import": open_periods,
    "registration": register,
    "decision": decide,
    "release": release_all,
    "revocation": revoke,
}


def prepare(engine: Engine, action: str) -> None:
    """The story until then: both customers consent, and what the action needs has happened."""
    for user in ("mia", "noah"):
        town.grant(engine, user)
    drafts = slate(0.5)
    town.register(engine, *drafts)
    if action in ("release", "revocation"):
        town.approve(engine, *drafts[:2])
    if action == "revocation":
        town.gate(engine)
        town.register(engine, *drafts, town.draft("mia", {"education": drafts[0]["consent_id"]}, template="c"))


def happened(engine: Engine, action: str) -> bool:
    """Whether the whole of the action is there."""
    if action == "import":
        with reading(engine) as session:
            return len(consent.live_consents(session, LATER)) == 8
    statuses = [town.status(engine, one, LATER) for one in slate(0.5)]
    if action == "registration":
        with reading(engine) as session:
            return (
                sorted(row.title for row in session.query(town.queue.RecommendationText) if "90%" in row.title)
                == ["Your card is at 90%"] * 3
            )
    if action == "decision":
        return statuses == ["approved", "rejected", "overridden"]
    shown = {row["recommendation_id"] for row in town.feed(engine, LATER)}
    if action == "release":
        return shown == {one["recommendation_id"] for one in slate(0.5)[:2]}
    return (
        shown == set()
        and town.status(engine, town.draft("mia", {"education": CONSENT}, template="c"), LATER) == "voided"
    )


def live_until(url: str, action: str, step: int) -> None:
    """A process that kills itself at that step: before or after any write, before or after the commit."""
    engine, steps = connect(url), itertools.count()

    def die(*_: Any) -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            die()

    event.listen(engine, "before_cursor_execute", write)
    event.listen(engine, "after_cursor_execute", write)
    event.listen(engine, "commit", die)
    ACTIONS[action](engine)
    die()


def everything(engine: Engine) -> dict[str, list[Any]]:
    """Every row of every table, as a process that has just started finds it."""
    engine.dispose()
    with engine.connect() as connection:
        return {
            table.name: connection.execute(table.select().order_by(*table.primary_key.columns)).all()
            for table in Base.metadata.sorted_tables
        }


@pytest.mark.parametrize("action", ACTIONS)
def test_a_killed_process_leaves_all_or_nothing(engine: Engine, action: str) -> None:
    prepare(engine, action)
    before = everything(engine)
    assert not happened(engine, action)
    url = engine.url.render_as_string(hide_password=False)
    left = []
    for step in itertools.count():
        process = FORK.Process(target=live_until, args=(url, action, step))
        process.start()
        process.join(120)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        left.append(everything(engine))
        with reading(engine) as session:
            assert audit.verify(session).ok
            assert release.every_release_had_consent(session).violations == []
    *unfinished, finished = left
    assert len(unfinished) >= 8, "the process was killed at every write"
    assert all(found == before for found in unfinished), "killed before the commit: nothing happened"
    assert finished != before
    assert everything(engine) == finished, "killed after the commit: all is there, and once more adds nothing"
    assert happened(engine, action)
