"""The chain tells any changed, removed, inserted or reordered row, and a tail cut off."""

import datetime as dt
import hashlib
import json
import re

import pytest
from sqlalchemy import Connection, Engine, text

from spendsense_pipeline.erasure import erased_rows
from spendsense_pipeline.governance import (
    audit,
    evaluation_records,
    holds,
    policy,
    queue,
    wordings,
)
from spendsense_pipeline.governance.database import fields, reading, writing
from spendsense_pipeline.governance.models import AuditEntry
from spendsense_pipeline_tests.governance import verdicts
from spendsense_pipeline_tests.governance.conftest import told_once
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


def story(engine: Engine) -> None:
    """A story with most kinds of rows: three customers' grants and drafts, decisions, releases, closings, a recall."""
    ones = [waiting_draft(engine, user) for user in ("mia", "noah", "zoe")]
    approve(engine, *ones[:2])
    verdicts.override(engine, ones[2]["recommendation_id"], "ada", NOW, guardrails=no_findings, title="New", reason="x")
    gate(engine)
    revoke(engine, "mia", NOW + HOUR)
    others(engine)


@pytest.fixture
def told(database: Engine) -> Engine:
    told_once(database, story)
    return database


def others(engine: Engine) -> None:
    """What comes more seldom: a rejected and a voided draft, a wording approved, an erasure, rules, holds."""
    ida, _eva, joe, _lea = (waiting_draft(engine, user) for user in ("ida", "eva", "joe", "lea"))
    verdicts.reject(engine, [ida["recommendation_id"]], "ada", NOW, reason="no")
    revoke(engine, "eva", NOW + HOUR)
    queue.show(engine, joe["recommendation_id"], NOW, operator_id="ada")
    wordings.approve_template(engine, f"{joe['template_id']}@{joe['template_hash']}", "ada", NOW)
    erased_rows.begin(engine, "lea", [], "ada", "request 1", NOW + HOUR, known=False)
    policy.keep(engine, policy.Rules(four_eyes=True), NOW)
    with writing(engine) as session:
        evaluation_records.record_evaluation(session, TODAY, {"coverage": 1.0}, NOW)
        holds.place(session, "joe", "ada", "court", NOW)
        holds.lift(session, "joe", "ben", "over", NOW)


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


def places(engine: Engine) -> dict[str, int]:
    """Names of the links, ``consent0`` the first of its kind, and ``last``."""
    with reading(engine) as session:
        kinds = session.scalars(text("SELECT kind FROM audit_chain ORDER BY seq")).all()
    named = {f"{kind}{kinds[:place].count(kind)}": place + 1 for place, kind in enumerate(kinds)}
    return {**named, "last": len(kinds)}


def verified(engine: Engine, **how: object) -> audit.Verification:
    with reading(engine) as session:
        return audit.verify(session, **how)


def test_an_honest_story_verifies(told: Engine) -> None:
    found = verified(told)
    assert (found.ok, found.first_broken) == (True, None)
    assert found.count == places(told)["last"]
    assert re.fullmatch(r"[0-9a-f]{64}", found.head)


def test_an_empty_chain_verifies(empty: Engine) -> None:
    assert verified(empty) == audit.Verification(True, 0, audit.START, None)


@pytest.mark.parametrize(
    ("statement", "place", "problem"),
    [
        ("UPDATE consent_events SET actor = 'someone' WHERE seq = {consent1}", "consent1", "row_changed"),
        (
            "UPDATE consent_events SET recorded_at = '2026-11-20 09:00:00.000000' WHERE seq = {consent2}",
            "consent2",
            "row_changed",
        ),
        ("UPDATE decisions SET operator_id = 'ben' WHERE seq = {decision0}", "decision0", "row_changed"),
        ("UPDATE decisions SET reason = 'fine' WHERE seq = {decision1}", "decision1", "row_changed"),
        ("UPDATE releases SET run_id = 'other' WHERE seq = {release0}", "release0", "row_changed"),
        ("UPDATE recalls SET cause = 'mistake' WHERE seq = {recall0}", "recall0", "row_changed"),
        ("DELETE FROM consent_events WHERE seq = {consent3}", "consent3", "row_missing"),
        ("DELETE FROM decisions WHERE seq = {decision2}", "decision2", "row_missing"),
        ("DELETE FROM recalls", "recall0", "row_missing"),
        ("DELETE FROM audit_chain WHERE seq = {consent4}", "consent4", "link_missing"),
        ("UPDATE audit_chain SET payload = '{{}}' WHERE seq = {consent5}", "consent5", "link_changed"),
        ("UPDATE audit_chain SET subject_id = 'rel_other' WHERE seq = {release0}", "release0", "link_changed"),
        ("UPDATE audit_chain SET salt = 'ff' WHERE seq = {release1}", "release1", "row_changed"),
        ("UPDATE audit_chain SET commitment = 'ff' WHERE seq = {release1}", "release1", "link_changed"),
        ("DELETE FROM audit_chain WHERE seq = {last}", "last", "tail_missing"),
        ("UPDATE audit_head SET hash = 'ff'", "last", "head_changed"),
        ("UPDATE recommendation_texts SET content = 'Borrow more.'", "decision0", "text_changed"),
        ("UPDATE consent_periods SET closed_at = NULL WHERE user_id = 'mia'", None, "period_changed"),
        ("UPDATE consent_periods SET user_id = 'eve' WHERE user_id = 'zoe'", None, "period_changed"),
        ("UPDATE draft_events SET user_id = 'eve' WHERE seq = {draft0}", "draft0", "row_changed"),
        ("UPDATE recommendations SET user_id = 'eve' WHERE user_id = 'noah'", None, "draft_changed"),
        (
            "UPDATE recommendations SET consent_id = (SELECT max(consent_id) FROM consent_periods)",
            None,
            "draft_changed",
        ),
        ("UPDATE recommendations SET expires_at = '2027-11-20 09:00:00.000000'", None, "draft_changed"),
        ("UPDATE recommendations SET template_hash = 'x' WHERE user_id = 'zoe'", None, "draft_changed"),
        ("UPDATE recommendations SET released_at = NULL WHERE user_id = 'zoe'", None, "draft_changed"),
        ("UPDATE recommendations SET status = 'pending_approval', released_at = NULL", None, "draft_changed"),
        ("UPDATE recommendations SET status = 'approved' WHERE user_id = 'zoe'", None, "status_changed"),
        ("UPDATE recommendations SET status = 'pending_approval' WHERE user_id = 'eva'", None, "status_changed"),
        ("UPDATE recommendations SET status = 'pending_approval' WHERE user_id = 'ida'", None, "status_changed"),
        ("UPDATE recommendations SET status = 'expired' WHERE user_id = 'ida'", None, "status_changed"),
        ("UPDATE recommendation_texts SET severity = 2, findings = 'x'", None, "evidence_changed"),
        ("UPDATE recommendation_texts SET slots = 'x' WHERE author IS NOT NULL", None, "evidence_changed"),
        ("UPDATE recommendation_texts SET signals = 'x' WHERE author IS NULL", None, "evidence_changed"),
        ("UPDATE operators SET role = 'admin' WHERE operator_id = 'ben'", None, "operator_changed"),
        ("UPDATE operators SET deactivated_at = registered_at WHERE operator_id = 'ben'", None, "operator_changed"),
        ("UPDATE operators SET password_hash = 'x' WHERE operator_id = 'ben'", None, "operator_changed"),
        ("UPDATE operators SET qualified_until = '2030-01-01' WHERE operator_id = 'ben'", None, "operator_changed"),
        ("UPDATE operator_events SET scopes = 'education' WHERE seq = {operator0}", "operator0", "row_changed"),
        ("UPDATE policies SET four_eyes = NOT four_eyes", "policy0", "row_changed"),
        ("DELETE FROM policies", "policy0", "row_missing"),
        ("UPDATE template_decisions SET operator_id = 'ben'", "template_decision0", "row_changed"),
        ("UPDATE tombstones SET kind = 'account'", "tombstone0", "row_changed"),
        ("DELETE FROM tombstones", "tombstone0", "row_missing"),
        ("UPDATE evaluation_runs SET metrics = 'x'", "evaluation0", "row_changed"),
        ("UPDATE holds SET reason = 'x'", "hold0", "row_changed"),
        ("DELETE FROM hold_lifts", "hold_lift0", "row_missing"),
    ],
)
def test_every_change_is_found_and_named(told: Engine, statement: str, place: str | None, problem: str) -> None:
    there = places(told)
    tampered(told, statement.format(**there))
    found = verified(told)
    assert not found.ok
    assert found.first_broken is not None
    assert (found.first_broken["seq"], found.first_broken["problem"]) == (place and there[place], problem)


def test_an_inserted_row_is_found(told: Engine) -> None:
    tampered(
        told,
        "INSERT INTO recalls (release_id, seq, recommendation_id, cause, recalled_at) "
        "SELECT release_id, 999, recommendation_id, 'x', released_at FROM releases"
        f" WHERE release_id NOT IN (SELECT release_id FROM recalls) AND seq = {places(told)['release1']}",
    )
    broken = verified(told).first_broken
    assert broken is not None
    assert (broken["seq"], broken["kind"], broken["problem"]) == (999, "recall", "row_not_recorded")


def test_reordered_links_are_found(told: Engine) -> None:
    tampered(
        told, *(f"UPDATE audit_chain SET seq = {new} WHERE seq = {old}" for old, new in [(3, 90), (4, 3), (90, 4)])
    )
    broken = verified(told).first_broken
    assert broken is not None
    assert broken["seq"] == 3


def test_a_tail_cut_off_with_its_head_shows_against_an_evaluation(told: Engine) -> None:
    with writing(told) as session:
        head = evaluation_records.record_evaluation(session, TODAY, {"coverage": 1.0}, NOW)
    assert verified(told).ok
    length = head["count"]
    cut = [
        f"DELETE FROM audit_chain WHERE seq >= {length}",
        "DELETE FROM hold_lifts",
        f"UPDATE audit_head SET count = {length - 1}, hash = (SELECT hash FROM audit_chain WHERE seq = {length - 1})",
    ]
    tampered(told, *cut)
    broken = verified(told).first_broken
    assert broken is not None
    assert (broken["seq"], broken["problem"]) == (length, "known_head_missing")
    tampered(told, f"DELETE FROM evaluation_runs WHERE seq > {length}")
    assert verified(told).ok, "inside the database nothing is left to tell"
    assert not verified(told, known=[(length, head["hash"])]).ok, "the report outside still does"


def test_a_chain_rewritten_in_the_middle_shows_against_an_evaluation(told: Engine) -> None:
    with reading(told) as session:
        rows = audit.head(session)
    broken = verified(told, known=[(5, "f" * 64)]).first_broken
    assert broken is not None
    assert (broken["seq"], broken["problem"]) == (5, "known_head_missing")
    assert verified(told, known=[rows]).ok


def test_no_link_holds_anything_personal(told: Engine) -> None:
    with reading(told) as session:
        payloads = " ".join(session.scalars(text("SELECT payload FROM audit_chain")))
    assert not re.search("mia|noah|zoe|ida|eva|joe|lea|New|court", payloads)


def test_the_same_row_commits_differently_each_time(empty: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    salts = iter(["a", "b"])
    with monkeypatch.context() as patched:
        patched.setattr(audit, "random_salt", lambda: next(salts))
        grant(empty, "mia", scopes=["education"])
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
    erased_rows.begin(told, "noah", [], "ada", "request 1", NOW + HOUR, known=False)
    erased_rows.finish(told, "noah", "ada", "request 1", NOW + HOUR)

    def hashed(parts: object) -> str:
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=written)
        return hashlib.sha256(text.encode()).hexdigest()

    def written(moment: dt.date) -> str:
        if not isinstance(moment, dt.datetime):
            return moment.isoformat()
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
            model = audit.MODELS[link.kind]
            row = session.query(model).filter_by(seq=place).one_or_none()
            assert (row is None) == (link.salt is None) == (place in emptied)
            if row is not None:
                covered = model.audited.committed
                if json.loads(link.payload).get("v") == 2:
                    covered += " " + model.audited.since_0012
                assert link.commitment == hashed([link.salt, place, *fields(row, covered).values()])
        assert audit.head(session) == (len(links), previous)
        assert len(emptied) > 3


def test_an_evaluation_before_the_first_link_accuses_nobody(empty: Engine) -> None:
    with writing(empty) as session:
        assert evaluation_records.record_evaluation(session, TODAY, {}, NOW) == {"count": 0, "hash": audit.START}
    assert verified(empty).ok
    grant(empty, "mia")
    assert verified(empty).ok
    assert not verified(empty, known=[(0, "f" * 64)]).ok
    assert not verified(empty, known=[(9, audit.START)]).ok
