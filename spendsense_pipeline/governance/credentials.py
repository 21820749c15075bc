"""Who is there: passwords with lock-out, links that open once, tokens of programs; and the record of every attempt.

Belongs here: telling whether somebody is who they say. What they may do is ``operators`` and ``review``; cookies and
headers are ``service``. Passwords are kept as argon2 hashes, tokens as SHA-256 of 256 random bits.
"""

import datetime as dt
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, bindparam, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from spendsense_pipeline.durations import LOCK_OUT
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import operators, row_states
from spendsense_pipeline.governance.database import columns, fields, is_name, quoted, reading, storable, writing
from spendsense_pipeline.governance.models import TOKEN_SCOPES, AccessToken, Login, Operator
from spendsense_pipeline.governance.tombstones import require_not_erased

LOCK_AFTER = 5
"""Failed attempts on one name that lock it."""
SHORTEST_PASSWORD = 12
"""Characters; NIST SP 800-63B asks for at least eight, and fifteen where nothing else is asked for."""
LONGEST_PASSWORD = 1_000
PREFIX = "sps_"
"""What a token begins with, so that scanners of repositories find one that was published."""
OF_ONE_CUSTOMER = ("feed:read", "consent:write", "events:write")
"""Scopes of a token that is limited to one customer."""
_NO_PASSWORD = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$QnSc4jUPgI0tbMhbvI7sNfLZ4v3sJx0S9cLWbXyXbVw"  # noqa: S105
"""A hash of nothing: what a name that nobody has is checked against, so that it takes as long."""


# Asked by every request: kept, for building a statement takes longer than its answer.
_BY_DIGEST = select(*columns(AccessToken, "token_id scopes user_id operator_id expires_at revoked_at")).where(
    AccessToken.digest == bindparam("digest")
)
_BY_ID = select(Operator.role, Operator.sessions_since).where(
    Operator.operator_id == bindparam("name"), Operator.deactivated_at.is_(None)
)


class AccessRefused(SpendSenseError):
    """Not let in. The message is the same whether the name, the password or both were wrong."""

    code = "invalid_credentials"


@dataclass(frozen=True)
class Person:
    """An active person as the service knows them."""

    operator_id: str
    role: str
    sessions_since: dt.datetime | None


@dataclass(frozen=True)
class Bearer:
    """What a token allows: its scopes, the one customer it is limited to, the operator it decides as."""

    token_id: str
    scopes: tuple[str, ...]
    user_id: str | None
    operator_id: str | None


def password_hash(password: str) -> str:
    """The argon2id hash to keep. Raises ``weak_password``."""
    from argon2 import PasswordHasher  # only those who set or check a password wait for it

    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD or len(set(password)) < 5:
        raise SpendSenseError(
            f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, at least five of them different",
            code="weak_password",
        )
    return PasswordHasher().hash(password)


def log_in(engine: Engine, operator_id: str, password: str, now: dt.datetime) -> Person:
    """The person whose password this is. Raises ``AccessRefused``: ``invalid_credentials`` or ``locked``.

    Each attempt is on record as failed before the password is looked at, so that attempts at the same moment count.
    """
    from argon2 import PasswordHasher
    from argon2.exceptions import Argon2Error, InvalidHashError

    attempt, locked, kept = _attempt(engine, operator_id, now)
    if locked:
        raise AccessRefused(f"too many attempts; try again in {LOCK_OUT.seconds // 60} minutes", code="locked")
    try:
        PasswordHasher().verify(kept or _NO_PASSWORD, password[: LONGEST_PASSWORD + 1])
        right = kept is not None
    except (Argon2Error, InvalidHashError):
        right = False
    person = active_person(engine, operator_id) if right else None
    if person is None:
        raise AccessRefused("the name or the password is wrong")
    with writing(engine) as session:
        session.execute(update(Login).where(Login.login_id == attempt).values(outcome="ok", operator_id=operator_id))
    return person


def _attempt(engine: Engine, operator_id: str, now: dt.datetime) -> tuple[int, bool, str | None]:
    """Record an attempt as failed; its number, whether the name is locked, and the hash kept of its password."""
    name = digest(operator_id)
    with writing(engine) as session:
        last = select(func.max(Login.attempted_at)).where(Login.name_digest == name, Login.outcome == "ok")
        since = max(session.scalar(last) or dt.datetime.min.replace(tzinfo=dt.UTC), now - LOCK_OUT)
        failures = session.scalar(
            select(func.count()).where(Login.name_digest == name, Login.outcome == "failed", Login.attempted_at > since)
        )
        locked = (failures or 0) >= LOCK_AFTER
        outcome = "locked" if locked else "failed"
        row = Login(name_digest=name, means="password", outcome=outcome, attempted_at=now)
        session.add(row)
        session.flush()
        operator = session.get(Operator, operator_id) if storable(operator_id) else None
        return row.login_id, locked, operator.password_hash if operator else None


def admit(engine: Engine, operator_id: str, now: dt.datetime, *, means: str, nonce: str | None = None) -> Person:
    """Let in somebody whom a login link or the identity provider vouched for, and record it.

    ``nonce`` is a link's own: it opens once. Raises ``AccessRefused``.
    """
    person = active_person(engine, operator_id)
    row = Login(
        name_digest=digest(operator_id),
        operator_id=operator_id if person else None,
        means=means,
        outcome="ok" if person else "failed",
        nonce=nonce,
        attempted_at=now,
    )
    try:
        with writing(engine) as session:
            session.add(row)
    except IntegrityError:
        raise AccessRefused("this link was used; ask for another") from None
    if person is None:
        raise AccessRefused("there is no active account of this name")
    return person


def person_of_subject(engine: Engine, subject: str) -> str | None:
    """The operator that an identity provider's ``issuer|sub`` belongs to."""
    with reading(engine) as session:
        return session.scalar(select(Operator.operator_id).where(Operator.subject == subject))


def active_person(engine: Engine, operator_id: str) -> Person | None:
    """The operator, if there is one of this id who was not deactivated."""
    with reading(engine) as session:
        return person(session, operator_id)


def person(session: Session, operator_id: str) -> Person | None:
    """As ``active_person``, inside a transaction."""
    found = session.execute(_BY_ID, {"name": operator_id}).one_or_none() if storable(operator_id) else None
    return Person(operator_id, found.role, found.sessions_since) if found else None


def end_sessions(session: Session, operator_id: str, now: dt.datetime) -> None:
    """Log a person out everywhere."""
    known = operators.registered(session, operator_id)
    known.sessions_since = now
    row_states.record(session, now, known)


def logins(session: Session, *, limit: int = 100) -> list[dict[str, Any]]:
    """The newest attempts to log in: {operator_id (None where nobody was let in), means, outcome, attempted_at}."""
    rows = session.execute(
        select(*columns(Login, "operator_id means outcome attempted_at")).order_by(Login.login_id.desc()).limit(limit)
    )
    return [dict(row._mapping) for row in rows]


def add_token(
    session: Session,
    name: str,
    scopes: Sequence[str],
    now: dt.datetime,
    *,
    created_by: str,
    user_id: str | None = None,
    operator_id: str | None = None,
    expires_at: dt.datetime | None = None,
) -> dict[str, Any]:
    """A new token: {token_id, token, name, scopes}; ``token`` is shown this once.

    ``user_id`` limits it to one customer. Raises ``invalid_token`` where a scope is unknown or is not of one customer,
    or where the scope ``review`` and an operator do not come together.
    """
    unknown = sorted(set(scopes) - set(TOKEN_SCOPES))
    if unknown or not scopes or not is_name(name):
        raise SpendSenseError(
            f"a token has a name and scopes of {', '.join(TOKEN_SCOPES)}, not {', '.join(unknown) or 'none'}",
            code="invalid_token",
        )
    if user_id is not None and (not is_name(user_id) or not set(scopes) <= set(OF_ONE_CUSTOMER)):
        raise SpendSenseError(
            f"a token for one customer has scopes of {', '.join(OF_ONE_CUSTOMER)}: the others concern everybody",
            code="invalid_token",
        )
    if user_id is not None:
        require_not_erased(session, user_id)
    if ("review" in scopes) != (operator_id is not None):
        raise SpendSenseError(
            "a token that reviews belongs to an operator, and only such a token does: --scope review --operator OP",
            code="invalid_token",
        )
    if operator_id is not None:
        operators.registered(session, operator_id)
    secret = PREFIX + secrets.token_urlsafe(32)
    token = AccessToken(
        token_id="tok_" + secrets.token_hex(8),
        digest=digest(secret),
        name=name,
        scopes=" ".join(scope for scope in TOKEN_SCOPES if scope in scopes),
        user_id=user_id,
        operator_id=operator_id,
        created_at=now,
        created_by=created_by,
        expires_at=expires_at,
    )
    session.add(token)
    row_states.record(session, now, token)
    return {"token_id": token.token_id, "token": secret, "name": name, "scopes": token.scopes.split()}


def bearer(session: Session, secret: str, now: dt.datetime) -> Bearer | None:
    """What this token allows now; None for one that is unknown, revoked or over."""
    token = session.execute(_BY_DIGEST, {"digest": digest(secret)}).one_or_none()
    if token is None or token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= now):
        return None
    return Bearer(token.token_id, tuple(token.scopes.split()), token.user_id, token.operator_id)


def deciding(
    engine: Engine, typed: str | None, token: str | None, now: dt.datetime, *, trust_local: bool
) -> tuple[str, str]:
    """Under whose name a command or a job decides, and how that person is known.

    A token says it, and then a typed name must be the same; without one the machine must be trusted. Raises
    ``AccessRefused``: ``invalid_token``, ``other_operator``, ``token_required``; and ``operator_missing``.
    """
    if token:
        with reading(engine) as session:
            found = bearer(session, token, now)
        if found is None or found.operator_id is None or "review" not in found.scopes:
            raise AccessRefused("this token is not one to decide with", code="invalid_token")
        if typed not in (None, "", found.operator_id):
            raise AccessRefused(
                f"the token is {found.operator_id!r} and cannot decide as {quoted(str(typed))}", code="other_operator"
            )
        return found.operator_id, "token"
    if not trust_local:
        raise AccessRefused(
            "a typed name is not enough here: set SPENDSENSE_TOKEN to a token of yours (`spendsense token add NAME "
            "--scope review --operator OP`)",
            code="token_required",
        )
    if not typed:
        raise SpendSenseError("a decision carries the name of who decides: --operator OP", code="operator_missing")
    return typed, "trusted_local"


def used(session: Session, token_id: str, now: dt.datetime) -> None:
    """Note when a token was last used."""
    session.execute(update(AccessToken).where(AccessToken.token_id == token_id).values(last_used_at=now))


def revoke_token(session: Session, token_id: str, now: dt.datetime) -> str:
    """End a token: ``revoked`` or ``unchanged``. Raises ``unknown_token``."""
    token = session.get(AccessToken, token_id) if storable(token_id) else None
    if token is None:
        raise SpendSenseError(
            f"there is no token {quoted(token_id)}; `spendsense token list` shows them", code="unknown_token"
        )
    if token.revoked_at is not None:
        return "unchanged"
    token.revoked_at = now
    row_states.record(session, now, token)
    return "revoked"


def tokens(session: Session) -> list[dict[str, Any]]:
    """All tokens without their secrets: token_id, name, scopes, user_id, operator_id, created_at, created_by,
    expires_at, last_used_at, revoked_at.
    """
    names = "token_id name user_id operator_id created_at created_by expires_at last_used_at revoked_at"
    return [
        fields(token, names) | {"scopes": token.scopes.split()}
        for token in session.scalars(select(AccessToken).order_by(AccessToken.created_at, AccessToken.token_id))
    ]


def digest(text: str) -> str:
    """SHA-256 of a name or a token as hexadecimal digits."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
