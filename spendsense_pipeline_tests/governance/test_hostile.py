"""Hostile words, hostile numbers, a held lock, a full disk: said clearly, and nothing half done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, inspect, select

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, batches, consent, operators, queue, release, review, why
from spendsense_pipeline.governance.database import connect, reading, storable, upgrade, writing
from spendsense_pipeline.governance.models import Decision, Operator, Recommendation, RecommendationText, Release
from spendsense_pipeline.governance.registration import register_drafts
from spendsense_pipeline_tests.governance import town, verdicts
from spendsense_pipeline_tests.governance.conftest import hasty
from spendsense_pipeline_tests.governance.test_kills import ACTIONS, CONSENT, everything, prepare

HOSTILE = {
    "NUL": "a\0b",
    "half a surrogate": "a\ud800b",
    "right to left": "\u202egnp.exe\u202c \u2066\u2069",
    "SQL": "'; DROP TABLE releases; --",
    "HTML": "<script>alert(1)</script>&lt;",
    "format": "{0} %s %(x)s :name ${x} \\u0000 \\",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "beyond the plane": "🦆\U0010ffff\ufeff\ufffe e\u0301",
    "quotes": "\"'`“\u2028\u2029",
    "nothing": "",
    "blank": " \t\n",
    "5 MB": "".join(chr(0x4E00 + number * number % 20_000) for number in range(20_000)) * 85,
}


def session_of(action: Callable[..., Any], *given: Any, **how: Any) -> Callable[[Engine], Any]:
    def act(engine: Engine) -> Any:
        with writing(engine) as session:
            return action(session, *given, **how)

    return act


def draft_with(**changes: str) -> Callable[[Engine], Any]:
    def act(engine: Engine) -> Any:
        one = town.draft("mia", {"education": town.grant(engine, "mia")["education"]}, template="new") | changes
        one["content_hash"] = _hash(one)
        return register_drafts(engine, [one], town.TODAY, town.NOW)

    return act


def _hash(one: dict[str, Any]) -> str:
    said = [one[name] for name in ("content_type", "title", "content", "rationale", "product_id")]
    try:
        return town.content_hash(*said)
    except UnicodeEncodeError:
        return "0" * 64


def deciding(action: str, **fields: str) -> Callable[[Engine], Any]:
    def act(engine: Engine) -> Any:
        one = town.draft("mia", {"education": town.grant(engine, "mia")["education"]})
        named = {"recommendation_id": one["recommendation_id"], "operator_id": "ada"} | fields
        if action == "override":
            named = {"reason": "calmer", "title": "Calmer"} | named
        return review.decide(
            engine, [review.Request(**{"action": action} | named)], town.NOW, guardrails=town.no_findings
        )

    return act


FIELDS: dict[str, Callable[[str], Callable[[Engine], Any]]] = {
    "grant, customer": lambda bad: session_of(consent.grant, bad, town.NOW, actor="mia", source="x"),
    "grant, actor": lambda bad: session_of(consent.grant, "mia", town.NOW, actor=bad, source="x"),
    "grant, source": lambda bad: session_of(consent.grant, "mia", town.NOW, actor="mia", source=bad),
    "grant, channel": lambda bad: session_of(consent.grant, "mia", town.NOW, actor="m", source="x", channel=bad),
    "grant, text": lambda bad: session_of(consent.grant, "mia", town.NOW, actor="m", source="x", text_version=bad),
    "grant, scope": lambda bad: session_of(consent.grant, "mia", town.NOW, actor="m", source="x", scopes=[bad]),
    "revoke, customer": lambda bad: session_of(consent.revoke, bad, town.NOW, actor="mia", source="x"),
    "revoke, reason": lambda bad: session_of(consent.revoke, "mia", town.NOW, actor="mia", source="x", reason=bad),
    "file, customer": lambda bad: session_of(
        consent.open_first_periods, [{"user_id": bad, "consent_status": True}], town.NOW, source="x"
    ),
    "operator": lambda bad: session_of(operators.add, bad, town.NOW),
    "operator from a file": lambda bad: session_of(
        operators.register_from_files, [bad], town.NOW, source="x", trust=True
    ),
    "operator gone": lambda bad: session_of(operators.deactivate, bad, town.NOW),
    "batch": lambda bad: session_of(batches.register_batch, bad, "hash", town.NOW),
    "approve, id": lambda bad: deciding("approve", recommendation_id=bad),
    "approve, operator": lambda bad: deciding("approve", operator_id=bad),
    "approve, hash": lambda bad: deciding("approve", content_hash=bad),
    "approve, note": lambda bad: deciding("approve", reason=bad),
    "reject, reason": lambda bad: deciding("reject", reason=bad),
    "override, title": lambda bad: deciding("override", title=bad),
    "override, content": lambda bad: deciding("override", content=bad),
    "override, reason": lambda bad: deciding("override", reason=bad),
    "action": lambda bad: deciding(bad),
    "reference": lambda bad: lambda engine: verdicts.approve(engine, [bad], "ada", town.NOW),
    "draft, title": lambda bad: draft_with(title=bad),
    "draft, content": lambda bad: draft_with(content=bad),
    "draft, rationale": lambda bad: draft_with(rationale=bad),
    "draft, template": lambda bad: draft_with(template_id=bad),
    "draft, id": lambda bad: draft_with(recommendation_id=bad),
    "draft, customer": lambda bad: draft_with(user_id=bad),
    "draft, consent": lambda bad: draft_with(consent_id=bad),
    "show": lambda bad: lambda engine: queue.show(engine, bad, town.NOW),
    "show, operator": lambda bad: (
        lambda engine: queue.show(
            engine, town.draft("mia", town.grant(engine, "mia"))["recommendation_id"], town.NOW, operator_id=bad
        )
    ),
    "why": lambda bad: session_of(why.why, bad, town.NOW),
    "feed": lambda bad: session_of(release.released, town.NOW, user_id=bad),
    "history": lambda bad: session_of(consent.history, bad),
    "queue, customer": lambda bad: session_of(queue.queue, town.NOW, user_id=bad),
    "queue, status": lambda bad: session_of(queue.queue, town.NOW, status=bad),
}


def decided(engine: Engine) -> dict[str, list[Any]]:
    """What a refused word may not have touched; a draft in which it stands may have had its consent granted."""
    with engine.connect() as connection:
        return {
            table.__tablename__: connection.execute(select(table.__table__).order_by(*inspect(table).primary_key)).all()
            for table in (Decision, Recommendation, RecommendationText, Release, Operator)
        }


@pytest.mark.parametrize("field", FIELDS)
def test_hostile_words_are_kept_as_they_are_or_refused(engine: Engine, field: str) -> None:
    town.waiting_draft(engine)
    before = decided(engine)
    for kind, bad in HOSTILE.items():
        try:
            FIELDS[field](bad)(engine)
            before = decided(engine)
        except SpendSenseError as error:
            said = str(error)
            assert len(said) < 1_000, f"{kind}: an error is for people"
            assert decided(engine) == before, kind
    with reading(engine) as session:
        found = audit.verify(session)
    assert found.ok, found.first_broken  # what broke the chain of these kinds stays in it


def test_what_is_kept_is_kept_to_the_letter(engine: Engine) -> None:
    kept = [words for words in HOSTILE.values() if storable(words) and words.strip() and len(words) < 1_000]
    for number, words in enumerate(kept):
        one = town.waiting_draft(engine, f"user-{number}", title=words, content=words, rationale=words)
        assert town.approve(engine, one, note=words)[0]["ok"]
        with reading(engine) as session:
            told = why.why(session, one["recommendation_id"], town.NOW)
        assert [told[name] for name in ("title", "content", "rationale")] == [words] * 3
        assert told["decisions"][0]["reason"] == words
    town.gate(engine)
    assert sorted(row["content"] for row in town.feed(engine)) == sorted(kept)
    with reading(engine) as session:
        assert audit.verify(session).ok


def test_twenty_thousand_unknown_ids_are_too_many_and_ten_thousand_are_each_told(engine: Engine) -> None:
    one = town.waiting_draft(engine)
    unknown = [f"rec_{number}" for number in range(20_000)]
    before = everything(engine)
    with pytest.raises(SpendSenseError, match="20,000") as refused:
        verdicts.approve(engine, unknown, "ada", town.NOW)
    assert refused.value.code == "too_many"
    assert everything(engine) == before
    told = verdicts.approve(engine, [*unknown[: review.MOST_AT_ONCE - 1], town.seen(one)], "ada", town.NOW)
    assert [row["refused"] for row in told] == ["unknown_recommendation"] * (review.MOST_AT_ONCE - 1) + [None]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_held_lock_is_said_and_nothing_done(engine: Engine, action: str) -> None:
    prepare(engine, action)
    before = everything(engine)
    impatient = connect(engine.url.render_as_string(hide_password=False), lock_timeout=0.2)
    with writing(engine):
        with pytest.raises(SpendSenseError) as refused:
            ACTIONS[action](impatient)
        assert refused.value.code == "database_locked"
    impatient.dispose()
    assert everything(engine) == before


MANY = [town.draft("mia", {"education": CONSENT}, template=f"piece {number}") for number in range(150)]

LARGE: dict[str, Callable[[Engine], Any]] = {
    "consent": lambda engine: [town.grant(engine, "mia")],
    "registration": lambda engine: town.register(engine, *MANY),
    "decision": lambda engine: town.approve(engine, *MANY),
    "release": town.gate,
    "revocation": lambda engine: town.revoke(engine, "mia"),
}
"""One after the other, each far larger than the free space in the pages of an SQLite file."""


def test_a_full_disk_is_said_and_nothing_done(tmp_path: Path) -> None:
    """The disk has room for no more pages, for one, for two, and so on, by a tenth more from ten on, until what is to
    be done fits."""
    engine = connect(f"sqlite:///{tmp_path / 'governance.db'}")
    most = [0]
    event.listen(engine, "connect", hasty)
    event.listen(engine, "connect", lambda driver, _: driver.execute(f"PRAGMA max_page_count = {most[0] or 10**6}"))
    upgrade(engine)
    with writing(engine) as session:
        operators.add(session, "ada", town.NOW)
    for number in range(10):
        town.grant(engine, f"user-{number}")
    for name, action in LARGE.items():
        before, refused, room = everything(engine), 0, 0
        with engine.connect() as connection:
            pages = connection.connection.driver_connection.execute("PRAGMA page_count").fetchone()[0]
        while room < 1_000:
            most[0] = pages + room
            engine.dispose()
            try:
                action(engine)
                break
            except SpendSenseError as error:
                full = error
            assert full.code == "disk_full"
            refused += 1
            room += 1 + room // 10
            assert everything(engine) == before
        assert refused or name == "consent", f"{name}: the disk was never full"
        most[0] = 0
        engine.dispose()
        assert everything(engine) != before
    with reading(engine) as session:
        assert audit.verify(session).ok
    engine.dispose()
