"""The audit chain: consents, drafts, decisions, releases, their ends, erasures, operators, rules; each link hashes
the one before.

``record`` is the only way a row enters a ``Chained`` table: it gives the row its place (``seq``) in it. A link carries
a public payload and a salted commitment to the whole row, so that a customer can be erased without breaking the chain:
row, salt and subject go, the commitment stays, and a link of its own lists the places that an erasure emptied.
``verify`` recomputes it all from stored rows.
Does not belong here: deciding anything.
"""

import datetime as dt
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from json.encoder import encode_basestring
from typing import Any, Final

from sqlalchemy import bindparam, exists, func, null, select, update
from sqlalchemy.orm import Session

from spendsense_pipeline.governance.database import CHUNK, AnyRow, AnySelect, add_rows, columns
from spendsense_pipeline.governance.encoding import as_json, canonical, sha256
from spendsense_pipeline.governance.lifecycle import text_is
from spendsense_pipeline.governance.models import (
    AuditEntry,
    AuditHead,
    Chained,
    Decision,
    EvaluationRun,
    Recommendation,
    RecommendationText,
)
from spendsense_pipeline.governance.present import unlike_their_events
from spendsense_pipeline.recommendations.identity import content_hash

START = "0" * 64
"""The hash before the first link."""


def random_salt() -> str:
    """128 random bits. The one source of chance in this package: a guessable salt would undo an erasure."""
    return secrets.token_hex(16)


MODELS: Final = {model.audited.kind: model for model in Chained.__subclasses__()}
"""Kind of link → the table whose rows it is of."""

CHAINED = ("seq", "kind", "recorded_at", "payload", "commitment", "previous_hash")
"""What the hash of a link covers."""


def record(session: Session, model: type[Chained], rows: Sequence[dict[str, Any]], now: dt.datetime) -> None:
    """Add the rows to their table and to the chain, in this order. Gives each row its ``seq``.

    To be called inside ``database.writing``, which holds the head that is moved here.
    """
    if not rows:
        return
    kind, subject, committed, public, since_0012 = model.audited
    covered, version = f"{committed} {since_0012}".split(), {"v": 2} if since_0012 else {}
    count, previous = head(session)
    links = []
    for row in rows:
        count += 1
        row["seq"] = count
        salt = random_salt()
        entry = {
            "seq": count,
            "kind": kind,
            "subject_id": row[subject],
            "recorded_at": now,
            "payload": canonical({name: row[name] for name in public.split()} | version),
            "salt": salt,
            "commitment": sha256(canonical([salt, count, *(row[name] for name in covered)])),
            "previous_hash": previous,
        }
        previous = entry["hash"] = sha256(canonical([entry[name] for name in CHAINED]))
        links.append(entry)
    session.execute(update(AuditHead).values(count=count, hash=previous))
    add_rows(session, model, rows)
    add_rows(session, AuditEntry, links)


def record_one(session: Session, model: type[Chained], now: dt.datetime, **row: Any) -> None:
    """``record`` for a single row, its columns by name."""
    record(session, model, [row], now)


def head(session: Session) -> tuple[int, str]:
    """Length and last hash of the chain: what an evaluation takes away with it."""
    count, final = session.execute(select(AuditHead.count, AuditHead.hash)).one()
    return count, final


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found. ``first_broken`` is {seq, kind, subject, problem}, or None when all holds.

    Problems: ``link_missing``, ``link_changed``, ``link_misplaced`` (in the chain); ``row_missing``, ``row_changed``,
    ``row_not_recorded``, ``row_not_erased``, ``text_changed`` (in what it covers); ``period_changed``,
    ``draft_changed``, ``status_changed``, ``evidence_changed``, ``operator_changed``, ``release_changed``,
    ``state_changed`` (in what follows from it);
    ``tail_missing``, ``head_changed``, ``known_head_missing`` (cut off).
    """

    ok: bool
    count: int
    head: str
    first_broken: dict[str, Any] | None


def verify(session: Session, known: Sequence[tuple[int, str]] = ()) -> Verification:
    """Recompute the chain from the stored rows and name the first thing that does not hold.

    ``known`` are heads (count, hash) that were kept elsewhere; those of stored evaluations are checked as well.
    """
    count, final = head(session)
    broken = next(_broken(session, count, final, known), None)
    return Verification(ok=broken is None, count=count, head=final, first_broken=broken)


def _broken(session: Session, count: int, final: str, known: Sequence[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    heads: dict[int, set[str]] = {}
    stored = session.execute(select(EvaluationRun.audit_count, EvaluationRun.audit_hash).distinct()).tuples()
    for length, hash_then in [*stored, *known]:
        heads.setdefault(length, set()).add(hash_then)

    erased = _erased_links(session)
    previous, seq = START, 0
    seen = dict.fromkeys(MODELS, 0)
    while some := session.execute(_links_after(), {"seq": seq, "chunk": CHUNK}).all():
        between = {"first": some[0].seq, "last": some[-1].seq}
        covered = {
            kind: {row.seq: row for row in session.execute(_covered_by(model), between)}
            for kind, model in MODELS.items()
        }
        for one in some:
            seq += 1
            if problem := _link_problem(one, seq, previous, covered, erased):
                yield _finding(seq, one.subject_id, kind=one.kind, problem=problem)
            seq, kind, *_, previous, _, _ = one
            seen[kind] += seq not in erased
            if heads and heads.pop(seq, {previous}) != {previous}:
                yield _finding(seq, one.subject_id, kind=one.kind, problem="known_head_missing")

    if seq < count:
        yield _finding(seq + 1, None, kind=None, problem="tail_missing")
    if (seq, previous) != (count, final):
        yield _finding(seq, None, kind=None, problem="head_changed")
    for length, expected in sorted(heads.items()):
        if length > 0 or expected != {START}:
            yield _finding(length, None, kind=None, problem="known_head_missing")
    for kind, model in MODELS.items():
        # Every link found its own row or was emptied by an erasure, so a row without link is one too many.
        if session.scalar(select(func.count()).select_from(model)) != seen[kind]:
            linked = exists().where(AuditEntry.seq == model.seq, AuditEntry.kind == kind)
            unrecorded = select(model.seq, getattr(model, model.audited.subject)).where(~linked).order_by(model.seq)
            row = session.execute(unrecorded.limit(1)).first()
            yield _finding(*(row or (None, None)), problem="row_not_recorded", kind=kind)
    for problem, kind_name, subjects in unlike_their_events(session):
        yield from (_finding(None, one, kind=kind_name, problem=problem) for one in subjects)


def _erased_links(session: Session) -> set[int]:
    """Places in the chain that erasures say they emptied; the links that say so are checked with all the others."""
    payloads = session.execute(select(AuditEntry.seq, AuditEntry.payload).where(AuditEntry.kind == "erasure"))
    return {
        place
        for seq, payload in payloads
        for place in json.loads(json.loads(payload).get("links", "[]"))
        if place < seq
    }


@cache
def _links_after() -> AnySelect:
    link = AuditEntry.__table__.c
    names = ("seq", "kind", "subject_id", "salt", "commitment", "previous_hash", "hash", "payload")
    named = (link[name] for name in names)
    return (
        select(*named, as_json(*(link[name] for name in CHAINED)).label("json"))
        .where(link.seq > bindparam("seq"))
        .order_by(link.seq)
        .limit(bindparam("chunk"))
    )


def _link_problem(
    link: AnyRow, expected_seq: int, previous: str, covered: Mapping[str, Mapping[int, AnyRow]], erased: Set[int]
) -> str | None:
    seq, name, subject, salt, commitment, previous_hash, hash_then, payload, written = link
    if seq != expected_seq:
        return "link_missing"
    if sha256(written) != hash_then:
        return "link_changed"
    if previous_hash != previous:
        return "link_misplaced"
    row = covered[name].get(seq)
    if seq in erased:
        return None if (row, salt, subject) == (None, None, None) else "row_not_erased"
    if row is None:
        return "row_missing"
    _, row_subject, row_written, added, *decided_on = row
    if _VERSION_2 in payload:
        row_written = f"{row_written[:-1]},{added[1:]}"
    elif added is not None and not _says(payload, added, name):
        return "row_changed"
    if salt is None or sha256(f"[{encode_basestring(salt)},{row_written[1:]}") != commitment:
        return "row_changed"
    if subject != row_subject:
        return "link_changed"
    if decided_on and content_hash(*decided_on[1:]) != decided_on[0]:
        return "text_changed"
    return None


_VERSION_2: Final = '"v":2'
"""In the payload of a link that commits to ``since_0012`` too; inside a value the quotes would be escaped."""


def _says(payload: str, added: str, kind: str) -> bool:
    """Whether the payload of an older link agrees with the columns that it did not commit to, as far as it has them."""
    said = json.loads(payload)
    names = MODELS[kind].audited.since_0012.split()
    return all(said.get(name, value) == value for name, value in zip(names, json.loads(added), strict=True))


@cache
def _covered_by(model: type[Chained]) -> AnySelect:
    """The rows from place ``first`` to ``last``: seq, subject, their committed columns as JSON, those since schema 0012
    apart (null: none), and of a decision the hash and text decided on.
    """
    added = model.audited.since_0012
    query: AnySelect = select(
        model.seq,
        getattr(model, model.audited.subject).label("subject"),
        as_json(model.seq, *columns(model, model.audited.committed)).label("json"),
        (as_json(*columns(model, added)) if added else null()).label("added"),
    ).where(model.seq.between(bindparam("first"), bindparam("last")))
    if model is not Decision:
        return query
    return (
        query.add_columns(
            Decision.content_hash,
            Recommendation.content_type,
            *columns(RecommendationText, "title content rationale"),
            Recommendation.product_id,
        )
        .join(Recommendation, Recommendation.recommendation_id == Decision.recommendation_id)
        .join(RecommendationText, text_is(RecommendationText, Decision, Decision.content_hash))
    )


def _finding(seq: int | None, subject: str | None, *, kind: str | None, problem: str) -> dict[str, Any]:
    return {"seq": seq, "kind": kind, "subject": subject, "problem": problem}
