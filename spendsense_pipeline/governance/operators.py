"""The people at work here: registering, roles, content they are qualified for, deactivating.

What a decision asks of an operator is in ``review``, how they log in in ``credentials``.
"""

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, row_states
from spendsense_pipeline.governance.database import LONGEST_NAME, fields, is_name, quoted, storable
from spendsense_pipeline.governance.lifecycle import Wording, has_wording
from spendsense_pipeline.governance.models import ROLES, SCOPE_OF, SCOPES, Operator, OperatorEvent, Recommendation
from spendsense_pipeline.governance.present import credentials

LOCAL = "local"
"""Who acts where nobody is named on a trusted machine."""


@dataclass(frozen=True)
class Standing:
    """What a person may do here, for which content, and until which day; None leaves a field as it is."""

    role: str | None = None
    scopes: tuple[str, ...] | None = None
    qualified_until: dt.date | None = None
    password_hash: str | None = None
    subject: str | None = None


AS_BEFORE = Standing()


def add(
    session: Session,
    operator_id: str,
    now: dt.datetime,
    source: str = "command",
    standing: Standing = AS_BEFORE,
    *,
    actor: str | None = None,
) -> str:
    """Register a person, let one decide again or change their standing; each is a link of the audit chain.

    ``added``, ``reactivated``, ``changed`` or ``unchanged``. A new password, role or content logs them out everywhere.
    ``actor`` is the operator who does it; whoever was deactivated is brought back by another who is named.
    Raises ``invalid_operator``, ``subject_taken``, ``another_required``, and of an actor ``unknown_operator`` and
    ``inactive_operator``.
    """
    if not is_name(operator_id) or not storable(source):
        raise SpendSenseError(
            f"an operator needs a readable id of 1 to {LONGEST_NAME} characters, not {quoted(operator_id)}",
            code="invalid_operator",
        )
    if standing.role not in (None, *ROLES) or not set(standing.scopes or SCOPES) <= set(SCOPES):
        raise SpendSenseError(
            f"a role is one of {', '.join(ROLES)}, and content some of {', '.join(SCOPES)}", code="invalid_operator"
        )
    scopes = " ".join(scope for scope in SCOPES if scope in standing.scopes) if standing.scopes else None
    wanted = {name: value for name, value in (vars(standing) | {"scopes": scopes}).items() if value is not None}
    if standing.subject is not None:
        _require_own_subject(session, operator_id, standing.subject)
    if actor is not None:
        require_active(session, actor)
    known = session.get(Operator, operator_id)
    if known is None:
        if mistakable := _mistakable(
            operator_id, session.scalars(select(Operator.operator_id).order_by(Operator.operator_id))
        ):
            raise SpendSenseError(f"{quoted(operator_id)} {mistakable}", code="invalid_operator")
        known = Operator(operator_id=operator_id, registered_at=now, source=source, **wanted)
        session.add(known)
        session.flush()
        session.refresh(known)
        _record_people(session, [known], "added", now, actor, source)
        return "added"
    changed = any(getattr(known, name) != value for name, value in wanted.items())
    reactivated = known.deactivated_at is not None
    if reactivated and actor in (None, operator_id):
        raise SpendSenseError(
            f"{quoted(operator_id)} was deactivated; another operator, who is named, lets them decide again "
            "(`spendsense operator add OP --by ANOTHER`)",
            code="another_required",
        )
    for name, value in wanted.items():
        setattr(known, name, value)
    known.deactivated_at = None
    if changed or reactivated:
        known.sessions_since = now
    session.flush()
    status = "reactivated" if reactivated else "changed" if changed else "unchanged"
    if status != "unchanged":
        _record_people(session, [known], status, now, actor, source)
    return status


def _record_people(
    session: Session, people: Sequence[Operator], action: str, now: dt.datetime, actor: str | None, source: str
) -> None:
    events = [
        {
            **fields(one, "operator_id role scopes qualified_until"),
            "action": action,
            "credentials": credentials(one),
            "actor": actor or LOCAL,
            "source": source,
            "recorded_at": now,
        }
        for one in people
    ]
    audit.record(session, OperatorEvent, events, now)
    row_states.record(session, now, *people)


def require_active(session: Session, operator_id: str) -> Operator:
    """The active operator of this name. Raises ``unknown_operator`` and ``inactive_operator``."""
    operator = registered(session, operator_id)
    if operator.deactivated_at is not None:
        raise SpendSenseError(f"operator {quoted(operator_id)} is deactivated", code="inactive_operator")
    return operator


def registered(session: Session, operator_id: str) -> Operator:
    """The operator of this name, active or not. Raises ``unknown_operator``."""
    operator = session.get(Operator, operator_id) if storable(operator_id) else None
    if operator is None:
        raise SpendSenseError(
            f"there is no operator {quoted(operator_id)}; `spendsense operator list` shows them",
            code="unknown_operator",
        )
    return operator


def _mistakable(operator_id: str, others: Iterable[str]) -> str | None:
    """Why an id could pass for another's on a page or in the record; None where it could not."""
    whole = unicodedata.normalize("NFKC", operator_id)
    drawn = "".join(
        letter
        for letter in whole
        if unicodedata.category(letter) not in ("Cf", "Cc", "Zl", "Zp")
        and not _UNSEEN.search(unicodedata.name(letter, ""))
    )
    plain = " ".join(drawn.split())  # as a page draws them, two blanks are one
    if plain != operator_id:
        return f"has blanks around it, or letters that only look as they do; write {quoted(plain)}"
    scripts = _scripts(operator_id)
    if len(scripts) > 1:
        return f"mixes letters of {' and '.join(sorted(scripts)).lower()}"
    for sign in operator_id:
        category = unicodedata.category(sign)
        if not (sign.isascii() or category[0] == "L" or (category[0] == "M" and not scripts & _COMPOSED)):
            return f"holds {unicodedata.name(sign, ascii(sign))}; write letters, and digits and signs of ASCII"
    for other in others:
        if _folded(other) == _folded(operator_id):
            return f"differs from {quoted(other)} in capitals alone"
        theirs = _scripts(other)
        if scripts != theirs and scripts | theirs <= _ALIKE and scripts and theirs:
            return f"is in letters of {min(scripts).lower()}, and {quoted(other)} in those of {min(theirs).lower()}"
    return None


def _folded(name: str) -> str:
    """The name without capitals; of the two letters i of Turkish each stands for the other."""
    return name.casefold().replace("i\u0307", "i").replace("\u0131", "i")


def _scripts(name: str) -> set[str]:
    return {unicodedata.name(letter, "?").split()[0] for letter in name if letter.isalpha()}


_COMPOSED: Final = {"LATIN", "CYRILLIC", "GREEK"}
"""Scripts whose letters have a sign of their own with each mark: another mark is there to be overlooked."""
_ALIKE: Final = {*_COMPOSED, "ARMENIAN", "CHEROKEE", "COPTIC", "DESERET", "GOTHIC", "LISU"}
"""Scripts in which whole words can be written that look like words of another of them."""

_UNSEEN: Final = re.compile(r"VARIATION SELECTOR|GRAPHEME JOINER|FILLER|BLANK|VOWEL INHERENT|NULL")
"""In the names of characters that are marks or signs by their category and draw nothing."""


def _require_own_subject(session: Session, operator_id: str, subject: str) -> None:
    """Refuse an account of the identity provider that cannot be one, or is somebody else's here."""
    if not is_name(subject) or "|" not in subject:
        raise SpendSenseError(
            "an account at the identity provider is its address and its name for them, ISSUER|SUB, not "
            f"{quoted(subject)}",
            code="invalid_operator",
        )
    other = session.scalar(select(Operator.operator_id).where(Operator.subject == subject))
    if other not in (None, operator_id):
        raise SpendSenseError(f"this account belongs to {quoted(str(other))} already", code="subject_taken")


def require_may_decide(
    session: Session, operator_id: str, wording: Wording, now: dt.datetime, *, besides: str | None = None
) -> None:
    """Refuse who may not decide on texts in these words; somebody of the role ``besides`` may.

    Raises what a decision is refused for: ``unknown_operator``, ``inactive_operator``, ``not_permitted``,
    ``not_qualified``, ``out_of_scope``.
    """
    operator = require_active(session, operator_id)
    if operator.role == besides:
        return
    if operator.role != "operator":
        raise SpendSenseError(f"{quoted(operator_id)} does not decide", code="not_permitted")
    if operator.qualified_until is not None and operator.qualified_until < now.date():
        raise SpendSenseError(f"the qualification of {quoted(operator_id)} is over", code="not_qualified")
    kinds = session.scalars(select(Recommendation.content_type).where(has_wording(wording)).distinct())
    if not {SCOPE_OF[kind] for kind in kinds} <= set(operator.scopes.split()):
        raise SpendSenseError(f"{quoted(operator_id)} does not decide on such content", code="out_of_scope")


def deactivate(
    session: Session, operator_id: str, now: dt.datetime, *, actor: str | None = None, source: str = "command"
) -> str:
    """Let an operator decide no more; what was decided stands. ``deactivated`` or ``unchanged``."""
    if actor is not None:
        require_active(session, actor)
    known = registered(session, operator_id)
    if known.deactivated_at is not None:
        return "unchanged"
    known.deactivated_at = now
    session.flush()
    _record_people(session, [known], "deactivated", now, actor, source)
    return "deactivated"


def listed(session: Session) -> list[dict[str, Any]]:
    """All people: operator_id, active, role, scopes, qualified_until, logs_in (by ``password``, ``issuer``, or None),
    registered_at, deactivated_at, source.
    """
    return [
        {
            **fields(operator, "operator_id role qualified_until registered_at deactivated_at source"),
            "active": operator.deactivated_at is None,
            "scopes": operator.scopes.split(),
            "logs_in": "issuer" if operator.subject else "password" if operator.password_hash else None,
        }
        for operator in session.scalars(select(Operator).order_by(Operator.operator_id))
    ]


def register_from_files(
    session: Session, operator_ids: Iterable[str], now: dt.datetime, *, source: str, trust: bool = False
) -> int:
    """Register the operators that landed files name; returns how many are new.

    Files add operators only while there are none at all, or when the caller trusts them. They never bring back one
    that was deactivated: whoever can drop a file must not be able to appoint a reviewer.
    """
    if not trust and session.scalar(select(func.count()).select_from(Operator)):
        return 0
    known = set(session.scalars(select(Operator.operator_id)))
    new: list[str] = []
    for name in sorted({name for name in operator_ids if is_name(name)} - known):
        if not _mistakable(name, sorted({*known, *new})):
            new.append(name)
    if new:
        session.execute(
            insert(Operator), [{"operator_id": name, "registered_at": now, "source": source} for name in new]
        )
        added = select(Operator).where(Operator.operator_id.in_(new)).order_by(Operator.operator_id)
        people = session.scalars(added).all()
        _record_people(session, people, "added", now, None, source)
    return len(new)
