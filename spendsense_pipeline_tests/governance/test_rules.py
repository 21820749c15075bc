"""Rules that no process loosens, operators brought back by another, legal holds, signed heads."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, select

from spendsense_pipeline.erasure import erased_rows
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import (
    audit,
    consent,
    holds,
    operators,
    policy,
    release,
    signing,
)
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import Erasure, OperatorEvent, Recommendation
from spendsense_pipeline_tests.governance import verdicts
from spendsense_pipeline_tests.governance.town import HOUR, NOW, approve, gate, grant, no_findings, waiting_draft

DAYS = dt.timedelta(days=1)


def refusal(code: str) -> pytest.RaisesExc[SpendSenseError]:
    return pytest.RaisesExc(SpendSenseError, check=lambda error: error.code == code)


def whole(engine: Engine) -> bool:
    with reading(engine) as session:
        return audit.verify(session).ok


# --- Rules ---


def test_four_eyes_hold_for_a_process_that_does_not_set_them(engine: Engine) -> None:
    policy.keep(engine, policy.Rules(four_eyes=True), NOW)
    name = waiting_draft(engine, "mia")["recommendation_id"]
    (row,) = verdicts.override(engine, name, "ada", NOW, guardrails=no_findings, title="New", reason="x")
    assert (row["ok"], row["status"]) == (True, "pending_approval")
    with reading(engine) as session:
        hashed = session.get_one(Recommendation, name).content_hash
    (own,) = verdicts.approve(engine, [f"{name}@{hashed}"], "ada", NOW)
    assert own["refused"] == "four_eyes"
    (other,) = verdicts.approve(engine, [f"{name}@{hashed}"], "ben", NOW)
    assert other["ok"]
    assert whole(engine)


def test_the_life_of_a_consent_holds_for_a_process_that_does_not_limit_it(engine: Engine) -> None:
    name = waiting_draft(engine, "mia")
    approve(engine, name)
    gate(engine)
    later = NOW + 20 * DAYS
    with reading(engine) as session:
        assert release.released(session, later)
    policy.keep(engine, policy.Rules(consent_days=10), NOW)
    with reading(engine) as session:
        assert not release.released(session, later)
        assert not consent.live_consents(session, later)
        assert release.released(session, NOW + 5 * DAYS)
    assert gate(engine, later).ended["lapsed"]


@pytest.mark.parametrize(
    ("kept", "then", "rule"),
    [
        (policy.Rules(True, 30), policy.Rules(False, 60), policy.Rules(True, 30)),
        (policy.Rules(False, 30), policy.Rules(True, 0), policy.Rules(True, 30)),
        (policy.Rules(False, 30), policy.Rules(False, 29), policy.Rules(False, 29)),
        (policy.Rules(False, 0), policy.Rules(False, 0), policy.Rules(False, 0)),
    ],
)
def test_what_is_stricter_becomes_the_rule(
    engine: Engine, kept: policy.Rules, then: policy.Rules, rule: policy.Rules
) -> None:
    policy.keep(engine, kept, NOW)
    policy.keep(engine, then, NOW)
    with reading(engine) as session:
        assert policy.in_force(session) == rule


def test_only_a_person_with_a_reason_loosens_a_rule(engine: Engine) -> None:
    policy.keep(engine, policy.Rules(four_eyes=True), NOW)
    with writing(engine) as session:
        with refusal("reason_required"):
            policy.set_policy(session, policy.Rules(), "ada", " ", NOW)
        with refusal("unknown_operator"):
            policy.set_policy(session, policy.Rules(), "eve", "too few of us", NOW)
        with refusal("unchanged"):
            policy.set_policy(session, policy.Rules(four_eyes=True), "ada", "too few of us", NOW)
        with refusal("invalid_days"):
            policy.set_policy(session, policy.Rules(consent_days=1_000_000), "ada", "for ever", NOW)
        policy.set_policy(session, policy.Rules(), "ada", "too few of us", NOW)
    with reading(engine) as session:
        assert policy.in_force(session) == policy.Rules()
    assert whole(engine)


# --- Operators ---


def test_whoever_was_deactivated_is_brought_back_by_another_who_is_named(engine: Engine) -> None:
    with writing(engine) as session:
        operators.deactivate(session, "ada", NOW, actor="ben")
        for actor in (None, "ada"):
            with refusal("another_required" if actor is None else "inactive_operator"):
                operators.add(session, "ada", NOW, actor=actor)
        with refusal("unknown_operator"):
            operators.add(session, "ada", NOW, actor="eve")
        assert operators.add(session, "ada", NOW, actor="ben") == "reactivated"
        events = session.execute(select(OperatorEvent.action, OperatorEvent.actor).order_by(OperatorEvent.seq)).all()
    assert [tuple(event) for event in events[2:]] == [("deactivated", "ben"), ("reactivated", "ben")]
    assert whole(engine)


def test_what_changes_nothing_about_a_person_leaves_no_link(engine: Engine) -> None:
    with writing(engine) as session:
        before = audit.head(session)
        assert operators.add(session, "ada", NOW) == "unchanged"
        assert audit.head(session) == before
        assert operators.add(session, "ada", NOW, standing=operators.Standing(role="admin")) == "changed"
        assert audit.head(session)[0] == before[0] + 2, "the event, and the state"
    assert whole(engine)


# --- Legal holds ---


def test_an_erasure_waits_for_the_end_of_the_last_hold(engine: Engine) -> None:
    grant(engine, "mia")
    with writing(engine) as session:
        first = holds.place(session, "mia", "ada", "court 1", NOW)
        second = holds.place(session, "mia", "ada", "court 2", NOW)
    for request in ("request 1", "request 2"):
        with refusal("on_hold") as refused:
            erased_rows.begin(engine, "mia", [], "ben", request, NOW, known=False)
        assert "court 1" in str(refused.value)
        assert "court 2" in str(refused.value)
    with reading(engine) as session:
        assert len(consent.live_consents(session, NOW)) == 2, "nothing was begun"
    with writing(engine) as session:
        with refusal("several_holds"):
            holds.lift(session, "mia", "ben", "over", NOW)
        assert holds.lift(session, first, "ben", "over", NOW)["waiting"] is None
    with refusal("on_hold"):
        erased_rows.begin(engine, "mia", [], "ben", "request 1", NOW, known=False)
    with writing(engine) as session:
        lifted = holds.lift(session, "mia", "ben", "over", NOW)
    assert lifted["hold_id"] == second
    assert lifted["waiting"] == {"reason": "request 1", "operator_id": "ben", "requested_at": NOW}
    erased_rows.begin(engine, "mia", [], "ben", "request 1", NOW + HOUR, known=False)
    erased_rows.finish(engine, "mia", "ben", "request 1", NOW + HOUR)
    with reading(engine) as session:
        assert holds.listed(session) == []
        assert session.query(Erasure).count() == 1
    assert whole(engine)
    with writing(engine) as session, refusal("unknown_user"):
        holds.place(session, "mia", "ada", "court 3", NOW)


def test_a_hold_says_who_and_why(engine: Engine) -> None:
    with writing(engine) as session:
        for operator, reason, code in (("eve", "court", "unknown_operator"), ("ada", " ", "reason_required")):
            with refusal(code):
                holds.place(session, "mia", operator, reason, NOW)
        with refusal("invalid_text"):
            holds.place(session, "mia", "ada", "nul\0", NOW)
        with refusal("unknown_hold"):
            holds.lift(session, "mia", "ada", "over", NOW)
        held = holds.place(session, "mia", "ada", "court", NOW)
    with reading(engine) as session:
        (row,) = holds.listed(session)
    assert row == {
        "hold_id": held,
        "user_id": "mia",
        "reason": "court",
        "operator_id": "ada",
        "placed_at": NOW,
        "lifted_at": None,
        "lifted_by": None,
        "lift_reason": None,
        "erasure_waits": False,
    }


# --- Signed heads ---


def pem(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def test_a_head_is_signed_by_one_key_and_for_one_chain(tmp_path: Path) -> None:
    def private(name: str) -> tuple[Path, Path]:
        key = Ed25519PrivateKey.generate()
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return pem(tmp_path / name, secret), pem(tmp_path / f"{name}.pub", public)

    (key, public), (_, foreign) = private("ours"), private("theirs")
    signature = signing.sign(7, "a" * 64, key)
    assert signing.is_signed(7, "a" * 64, signature, public)
    assert signing.is_signed(7, "a" * 64, signature, key)
    assert not signing.is_signed(8, "a" * 64, signature, public)
    assert not signing.is_signed(7, "b" * 64, signature, public)
    assert not signing.is_signed(7, "a" * 64, signature, foreign)
    assert not signing.is_signed(7, "a" * 64, "not Base64", public)
    for file in (tmp_path / "missing", pem(tmp_path / "words", b"no key")):
        with refusal("invalid_key"):
            signing.sign(7, "a" * 64, file)
    with refusal("invalid_key"):
        signing.sign(7, "a" * 64, public)
