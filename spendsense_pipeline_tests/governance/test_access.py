"""Who is let in: passwords with a lock-out, links once, tokens with scopes; and what a role may decide."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine, select

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import credentials, operators
from spendsense_pipeline.governance.credentials import AccessRefused
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import AccessToken, Decision, Login, Operator
from spendsense_pipeline_tests.governance import town
from spendsense_pipeline_tests.governance.town import DAY, NOW

PASSWORD = "correct horse battery"
MINUTE = dt.timedelta(minutes=1)


CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
"""As kept, but compared in no time, for tests that count attempts."""


def with_password(engine: Engine, kept: str = CHEAP) -> None:
    with writing(engine) as session:
        operators.add(session, "ada", NOW, standing=operators.Standing(password_hash=kept))


def refusal(engine: Engine, name: str, password: str, now: dt.datetime = NOW) -> str:
    with pytest.raises(AccessRefused) as refused:
        credentials.log_in(engine, name, password, now)
    return refused.value.code


def test_the_right_password_and_nothing_else_lets_in(engine: Engine) -> None:
    with_password(engine, credentials.password_hash(PASSWORD))
    assert credentials.log_in(engine, "ada", PASSWORD, NOW).role == "operator"
    for name, password in (("ada", "wrong"), ("ada", ""), ("ben", PASSWORD), ("nobody", PASSWORD), ("\0", PASSWORD)):
        assert refusal(engine, name, password) == "invalid_credentials"
    with writing(engine) as session:
        kept = session.get_one(Operator, "ada").password_hash
        operators.deactivate(session, "ada", NOW)
    assert kept is not None
    assert PASSWORD not in kept
    assert refusal(engine, "ada", PASSWORD) == "invalid_credentials"


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_five_failures_lock_a_name_for_a_quarter_of_an_hour_whether_or_not_it_exists(engine: Engine, name: str) -> None:
    with_password(engine)
    for n in range(credentials.LOCK_AFTER):
        assert refusal(engine, name, "wrong", NOW + n * MINUTE) == "invalid_credentials"
    assert refusal(engine, name, PASSWORD, NOW + 5 * MINUTE) == "locked"
    assert credentials.log_in(engine, "ada", PASSWORD, NOW + 20 * MINUTE)


def test_a_success_starts_the_count_anew(engine: Engine) -> None:
    with_password(engine)
    for n in range(12):
        at = NOW + n * MINUTE
        if n % 4 == 3:
            credentials.log_in(engine, "ada", PASSWORD, at)
        else:
            assert refusal(engine, "ada", "wrong", at) == "invalid_credentials"


def test_attempts_at_the_same_moment_are_all_counted(engine: Engine) -> None:
    with_password(engine)
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: refusal(engine, "ada", "wrong"), range(16)))
    assert codes.count("invalid_credentials") == credentials.LOCK_AFTER
    assert codes.count("locked") == 16 - credentials.LOCK_AFTER


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "x" * 1_001])
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(SpendSenseError) as refused:
        credentials.password_hash(password)
    assert refused.value.code == "weak_password"


def test_a_link_lets_in_once(engine: Engine) -> None:
    assert credentials.admit(engine, "ada", NOW, means="link", nonce="n1").operator_id == "ada"
    with pytest.raises(AccessRefused, match="used"):
        credentials.admit(engine, "ada", NOW, means="link", nonce="n1")
    with pytest.raises(AccessRefused, match="no active account"):
        credentials.admit(engine, "nobody", NOW, means="link", nonce="n2")
    with reading(engine) as session:
        assert [row["outcome"] for row in credentials.logins(session)] == ["failed", "ok"]
        assert "nobody" not in {row.name_digest for row in session.scalars(select(Login))}


def test_a_token_is_kept_as_a_hash_and_ends_when_it_is_revoked_or_over(engine: Engine) -> None:
    with writing(engine) as session:
        made = credentials.add_token(session, "app", ["feed:read"], NOW, created_by="test", expires_at=NOW + DAY)
        kept = session.get_one(AccessToken, made["token_id"])
        assert made["token"] not in {str(getattr(kept, name)) for name in ("digest", "name", "scopes")}
    with reading(engine) as session:
        found = credentials.bearer(session, made["token"], NOW)
        assert found is not None
        assert found.scopes == ("feed:read",)
        assert credentials.bearer(session, made["token"] + "x", NOW) is None
        assert credentials.bearer(session, made["token"], NOW + DAY) is None
    with writing(engine) as session:
        assert credentials.revoke_token(session, made["token_id"], NOW) == "revoked"
        assert credentials.revoke_token(session, made["token_id"], NOW) == "unchanged"
        assert credentials.bearer(session, made["token"], NOW) is None


@pytest.mark.parametrize(
    ("scopes", "operator_id", "code"),
    [
        (["everything"], None, "invalid_token"),
        ([], None, "invalid_token"),
        (["review"], None, "invalid_token"),
        (["feed:read"], "ada", "invalid_token"),
        (["review"], "nobody", "unknown_operator"),
    ],
)
def test_a_token_without_sense_is_refused(
    engine: Engine, scopes: list[str], operator_id: str | None, code: str
) -> None:
    with pytest.raises(SpendSenseError) as refused, writing(engine) as session:
        credentials.add_token(session, "app", scopes, NOW, created_by="test", operator_id=operator_id)
    assert refused.value.code == code


def test_a_decision_by_command_takes_a_name_only_on_a_trusted_machine_and_a_token_anywhere(engine: Engine) -> None:
    with writing(engine) as session:
        token = credentials.add_token(session, "mine", ["review"], NOW, created_by="test", operator_id="ada")["token"]
        feed = credentials.add_token(session, "app", ["feed:read"], NOW, created_by="test")["token"]
    assert credentials.deciding(engine, "ada", None, NOW, trust_local=True) == ("ada", "trusted_local")
    assert credentials.deciding(engine, None, token, NOW, trust_local=False) == ("ada", "token")
    for typed, given, trusted, code in (
        ("ada", None, False, "token_required"),
        ("ben", token, True, "other_operator"),
        (None, feed, True, "invalid_token"),
        (None, None, True, "operator_missing"),
    ):
        with pytest.raises(SpendSenseError) as refused:
            credentials.deciding(engine, typed, given, NOW, trust_local=trusted)
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("standing", "refused"),
    [
        (operators.Standing(role="viewer"), "not_permitted"),
        (operators.Standing(role="auditor"), "not_permitted"),
        (operators.Standing(role="admin"), "not_permitted"),
        (operators.Standing(scopes=("partner_offers",)), "out_of_scope"),
        (operators.Standing(qualified_until=NOW.date() - DAY), "not_qualified"),
        (operators.Standing(qualified_until=NOW.date()), None),
        (operators.Standing(scopes=("education",)), None),
    ],
)
def test_only_an_operator_qualified_for_the_content_decides(
    engine: Engine, standing: operators.Standing, refused: str | None
) -> None:
    one = town.waiting_draft(engine)
    with writing(engine) as session:
        operators.add(session, "ada", NOW, standing=standing)
    (row,) = town.approve(engine, one)
    assert row["refused"] == refused


def test_a_decision_says_how_its_operator_was_known(engine: Engine) -> None:
    town.approve(engine, town.waiting_draft(engine), known_by="login")
    with reading(engine) as session:
        (decision,) = session.scalars(select(Decision))
    assert decision.known_by == "login"


def test_a_new_role_or_password_ends_the_sessions_that_are_open(engine: Engine) -> None:
    with writing(engine) as session:
        assert operators.add(session, "ada", NOW, standing=operators.Standing(role="operator")) == "unchanged"
        assert session.get_one(Operator, "ada").sessions_since is None
        assert operators.add(session, "ada", NOW, standing=operators.Standing(role="viewer")) == "changed"
        assert session.get_one(Operator, "ada").sessions_since == NOW
