"""The chain tells any changed, removed, inserted or reordered row, and a tail cut off."""

import datetime as dt
import hashlib
import json
import re

import pytest
from sqlalchemy import Connection, Engine, text

from spendsense_pipeline.governance import audit, erasure, records, review
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import AuditEntry
from spendsense_pipeline_tests.governance.town import (
    HOUR,
    NOW,
    TODAY,
    approve,
    gate,
    grant,
    no_findings,
    revoke,
    waiting_draft,
)


@pytest.fixture
def told(engine: Engine) -> Engine:
    """A story with every kind of row: seq 1-6 grants, 7-9 decisions, 10-12 releases, 13-14 closings, 15 a recall."""
    ones = [waiting_draft(engine, user) for user in ("mia", "noah", "zoe")]
    approve(engine, *ones[:2])
    review.override(engine, ones[2]["recommendation_id"], "ada", NOW, guardrails=no_findings, title="New", reason="x")
    gate(engine)
    revoke(engine, "mia", NOW + HOUR)
    return engine


def tampered(engine: Engine, *statements: str) -> None:
    with engine.connect() as connection:
        _without_keys(connection, statements)
        connection.invalidate()


def _without_keys(connection: Connection, statements: tuple[str, ...]) -> None:
    """Change rows as somebody with the whole database in their hands would."""
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            assert driver.execute(statement).rowcount > 0, statement
        return
    connection.execute(text("SET session_replication_role = replica"))
    for statement in statements:
        assert connection.execute(text(statement)).rowcount > 0, statement
    connection.commit()


def verified(engine: Engine, **how: object) -> audit.Verification:
    with reading(engine) as session:
        return audit.verify(session, **how)


def test_an_honest_story_verifies(told: Engine) -> None:
    found = verified(told)
    assert (found.ok, found.first_broken) == (True, None)
    assert found.count == 15
    assert re.fullmatch(r"[0-9a-f]{64}", found.head)


def test_an_empty_chain_verifies(empty: Engine) -> None:
    assert verified(empty) == audit.Verification(True, 0, audit.START, None)


@pytest.mark.parametrize(
    ("statement", "seq", "problem"),
    [
        ("UPDATE consent_events SET actor = 'someone' WHERE seq = 2", 2, "row_changed"),
        ("UPDATE consent_events SET recorded_at = '2026-11-20 09:00:00.000000' WHERE seq = 3", 3, "row_changed"),
        ("UPDATE decisions SET operator_id = 'ben' WHERE seq = 7", 7, "row_changed"),
        ("UPDATE decisions SET reason = 'fine' WHERE seq = 8", 8, "row_changed"),
        ("UPDATE releases SET run_id = 'other' WHERE seq = 10", 10, "row_changed"),
        ("UPDATE recalls SET cause = 'mistake' WHERE seq = 15", 15, "row_changed"),
        ("DELETE FROM consent_events WHERE seq = 4", 4, "row_missing"),
        ("DELETE FROM decisions WHERE seq = 9", 9, "row_missing"),
        ("DELETE FROM recalls", 15, "row_missing"),
        ("DELETE FROM audit_chain WHERE seq = 5", 5, "link_missing"),
        ("UPDATE audit_chain SET payload = '{}' WHERE seq = 6", 6, "link_changed"),
        ("UPDATE audit_chain SET subject_id = 'rel_other' WHERE seq = 10", 10, "link_changed"),
        ("UPDATE audit_chain SET salt = 'ff' WHERE seq = 11", 11, "row_changed"),
        ("UPDATE audit_chain SET commitment = 'ff' WHERE seq = 11", 11, "link_changed"),
        ("DELETE FROM audit_chain WHERE seq = 15", 15, "tail_missing"),
        ("UPDATE audit_head SET hash = 'ff'", 15, "head_changed"),
        ("UPDATE recommendation_texts SET content = 'Borrow more.'", 7, "text_changed"),
        ("UPDATE consent_periods SET closed_at = NULL WHERE user_id = 'mia'", None, "period_changed"),
        ("UPDATE consent_periods SET user_id = 'eve' WHERE user_id = 'zoe'", None, "period_changed"),
    ],
)
def test_every_change_is_found_and_named(told: Engine, statement: str, seq: int | None, problem: str) -> None:
    tampered(told, statement)
    found = verified(told)
    assert not found.ok
    assert found.first_broken is not None
    assert (found.first_broken["seq"], found.first_broken["problem"]) == (seq, problem)


def test_an_inserted_row_is_found(told: Engine) -> None:
    tampered(
        told,
        "INSERT INTO recalls SELECT release_id, 99, recommendation_id, 'x', released_at, NULL FROM releases"
        " WHERE release_id NOT IN (SELECT release_id FROM recalls) AND seq = 11",
    )
    broken = verified(told).first_broken
    assert broken is not None
    assert (broken["seq"], broken["kind"], broken["problem"]) == (99, "recall", "row_not_recorded")


def test_reordered_links_are_found(told: Engine) -> None:
    tampered(
        told, *(f"UPDATE audit_chain SET seq = {new} WHERE seq = {old}" for old, new in [(3, 90), (4, 3), (90, 4)])
    )
    broken = verified(told).first_broken
    assert broken is not None
    assert broken["seq"] == 3


def test_a_tail_cut_off_with_its_head_shows_against_an_evaluation(told: Engine) -> None:
    with writing(told) as session:
        head = records.record_evaluation(session, TODAY, {"coverage": 1.0}, NOW)
    assert verified(told).ok
    cut = [
        "DELETE FROM audit_chain WHERE seq = 15",
        "DELETE FROM recalls",
        "UPDATE audit_head SET count = 14, hash = (SELECT hash FROM audit_chain WHERE seq = 14)",
    ]
    tampered(told, *cut)
    broken = verified(told).first_broken
    assert broken is not None
    assert (broken["seq"], broken["problem"]) == (15, "known_head_missing")
    tampered(told, "DELETE FROM evaluation_runs")
    assert verified(told).ok, "inside the database nothing is left to tell"
    assert not verified(told, known=[(head["count"], head["hash"])]).ok, "the report outside still does"


def test_a_chain_rewritten_in_the_middle_shows_against_an_evaluation(told: Engine) -> None:
    with reading(told) as session:
        rows = audit.head(session)
    assert verified(told, known=[(5, "f" * 64)]).first_broken == {
        "seq": 5,
        "kind": "consent",
        "subject": verified(told, known=[(5, "f" * 64)]).first_broken["subject"],
        "problem": "known_head_missing",
    }
    assert verified(told, known=[rows]).ok


def test_no_link_holds_anything_personal(told: Engine) -> None:
    with reading(told) as session:
        payloads = " ".join(session.scalars(text("SELECT payload FROM audit_chain")))
    assert not re.search("mia|noah|zoe|New", payloads)


def test_the_same_row_commits_differently_each_time(empty: Engine) -> None:
    salts = iter(["a", "b"])

    def salt() -> str:
        return next(salts)

    grant(empty, "mia", scopes=["education"], salt=salt)
    with reading(empty) as session:
        assert session.scalars(text("SELECT salt FROM audit_chain")).all() == ["a"]
    random: set[str] = {audit.random_salt() for _ in range(100)}
    assert len(random) == 100


def test_more_links_than_are_read_at_once(empty: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "CHUNK", 3)
    for number in range(5):
        grant(empty, f"user-{number}")
    assert verified(empty).ok
    tampered(empty, "DELETE FROM consent_events WHERE seq = 7")
    assert verified(empty).first_broken["seq"] == 7


def test_a_stranger_verifies_the_chain_by_the_recipe_in_the_docs(told: Engine) -> None:
    """docs/governance.md, "To verify without SpendSense", with nothing of the package but the names of columns."""
    erasure.begin(told, "noah", [], "ada", "request 1", NOW + HOUR, known=False)
    erasure.finish(told, "noah", "ada", "request 1", NOW + HOUR)

    def hashed(parts: object) -> str:
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=written)
        return hashlib.sha256(text.encode()).hexdigest()

    def written(moment: dt.datetime) -> str:
        return moment.astimezone(dt.UTC).isoformat(timespec="microseconds")

    with reading(told) as session:
        links = session.query(AuditEntry).order_by(AuditEntry.seq).all()
        emptied = {
            place for link in links if link.kind == "erasure" for place in json.loads(json.loads(link.payload)["links"])
        }
        previous = "0" * 64
        for place, link in enumerate(links, start=1):
            assert (link.seq, link.previous_hash) == (place, previous)
            parts = [link.seq, link.kind, link.recorded_at, link.payload, link.commitment, previous]
            previous = hashed(parts)
            assert link.hash == previous
            kind = audit.KINDS[link.kind]
            row = session.query(kind.model).filter_by(seq=place).one_or_none()
            assert (row is None) == (link.salt is None) == (place in emptied)
            if row is not None:
                assert link.commitment == hashed([link.salt, *(getattr(row, name) for name in kind.committed)])
        assert audit.head(session) == (len(links), previous)
        assert len(emptied) > 3


def test_an_evaluation_before_the_first_link_accuses_nobody(empty: Engine) -> None:
    with writing(empty) as session:
        assert records.record_evaluation(session, TODAY, {}, NOW) == {"count": 0, "hash": audit.START}
    assert verified(empty).ok
    grant(empty, "mia")
    assert verified(empty).ok
    assert not verified(empty, known=[(0, "f" * 64)]).ok
    assert not verified(empty, known=[(9, audit.START)]).ok
