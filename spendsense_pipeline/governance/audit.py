"""The audit chain: consents, drafts, decisions, releases, their ends, erasures, operators, rules; each link hashes
the one before.

``record`` is the only way a row enters the tables of ``KINDS``: it gives the row its place (``seq``) in it. A link
carries a public payload and a salted commitment to the whole row, so that a customer can be erased without breaking
the chain: row, salt and subject go, the commitment stays, and a link of its own lists the places that an erasure
emptied. ``verify`` recomputes it all from stored rows.
Does not belong here: deciding anything.
"""

import datetime as dt
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from json.encoder import encode_basestring
from typing import Any

from sqlalchemy import bindparam, exists, func, insert, select, update
from sqlalchemy.orm import Session

from spendsense_pipeline.governance.database import CHUNK, AnyRow, AnySelect
from spendsense_pipeline.governance.encoding import as_json, canonical, sha256
from spendsense_pipeline.governance.lifecycle import text_is
from spendsense_pipeline.governance.models import (
    Assignment,
    AuditEntry,
    AuditHead,
    Base,
    ConsentEvent,
    ConsentText,
    Decision,
    DraftEvent,
    Erasure,
    EvaluationRun,
    Experiment,
    ExperimentEnd,
    Ghost,
    Hold,
    HoldLift,
    OperatorEvent,
    Policy,
    Recall,
    RecallOrder,
    Recommendation,
    RecommendationText,
    Release,
    StandingApproval,
    TemplateDecision,
    Tombstone,
    TopicChoice,
)
from spendsense_pipeline.governance.present import unlike_their_events
from spendsense_pipeline.recommendations.identity import content_hash

START = "0" * 64
"""The hash before the first link."""


def random_salt() -> str:
    """128 random bits. The one source of chance in this package: a guessable salt would undo an erasure."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Kind:
    """What one kind of row puts into the chain: what the link names, commits to, and keeps readable.

    ``committed`` is written down, not read off the model: a column added later must not change old commitments.
    """

    name: str
    model: type[Any]
    subject: str
    committed: tuple[str, ...]
    public: tuple[str, ...]

    @classmethod
    def of(cls, name: str, model: type[Any], subject: str, committed: str, *, public: str) -> "Kind":
        """With the columns as words in one text."""
        return cls(name, model, subject, tuple(committed.split()), tuple(public.split()))


KINDS = {
    kind.name: kind
    for kind in (
        Kind.of(
            "consent",
            ConsentEvent,
            "consent_id",
            "seq consent_id user_id scope action granted_at text_version channel source actor reason recorded_at",
            public="scope action text_version channel",
        ),
        Kind.of(
            "topic",
            TopicChoice,
            "choice_id",
            "seq choice_id user_id topic choice actor source channel recorded_at",
            public="channel",
        ),
        Kind.of(
            "draft",
            DraftEvent,
            "recommendation_id",
            "seq recommendation_id action user_id consent_id as_of template_id template_hash content_hash "
            "evidence expires_at superseded_by run_id recorded_at",
            public="action run_id",
        ),
        Kind.of(
            "decision",
            Decision,
            "decision_id",
            "seq decision_id recommendation_id ordinal action operator_id content_hash reason made run_id decided_at",
            public="action operator_id made run_id known_by",
        ),
        Kind.of(
            "standing",
            StandingApproval,
            "standing_id",
            "seq standing_id template_id template_hash operator_id until read_percent bounds known_by given_at",
            public="template_id template_hash operator_id known_by",
        ),
        Kind.of(
            "template_decision",
            TemplateDecision,
            "template_id",
            # sample_id goes with its customer
            "seq template_id template_hash ordinal operator_id approved run_id decided_at",
            public="template_id template_hash operator_id approved",
        ),
        Kind.of(
            "release",
            Release,
            "release_id",
            "seq release_id recommendation_id consent_id decision_id content_hash run_id released_at",
            public="run_id consent_days",
        ),
        Kind.of("recall", Recall, "release_id", "seq release_id recommendation_id cause recalled_at", public="cause"),
        Kind.of(
            "order",
            RecallOrder,
            "order_id",
            "seq order_id target subject since actor reason releases digest ordered_at",
            public="target actor releases",
        ),
        Kind.of(
            "erasure",
            Erasure,
            "erasure_id",
            "seq erasure_id operator_id reason links erased_at",
            public="operator_id links",
        ),
        Kind.of(
            "tombstone",
            Tombstone,
            "digest",
            "seq digest kind owner salt recorded_at",  # not erasure_id, which comes last
            public="kind",
        ),
        Kind.of(
            "experiment",
            Experiment,
            "name",
            "seq name definition definition_hash insight salt registered_at",
            public="name definition_hash",
        ),
        Kind.of(
            "experiment_end", ExperimentEnd, "name", "seq name operator_id reason ended_at", public="name operator_id"
        ),
        Kind.of(
            "assignment",
            Assignment,
            "assignment_id",
            "seq assignment_id experiment user_id arm stratum ordinal shows template_id as_of assigned_at until",
            public="experiment",
        ),
        Kind.of("ghost", Ghost, "recommendation_id", "seq recommendation_id assignment_id marked_at", public=""),
        Kind.of(
            "consent_text", ConsentText, "version", "seq version content digest registered_at", public="version digest"
        ),
        Kind.of(
            "operator",
            OperatorEvent,
            "operator_id",
            "seq operator_id action role scopes qualified_until credentials actor source recorded_at",
            public="operator_id action actor",
        ),
        Kind.of(
            "policy",
            Policy,
            "actor",
            "seq four_eyes consent_days actor reason recorded_at",
            public="four_eyes consent_days actor",
        ),
        Kind.of(
            "evaluation",
            EvaluationRun,
            "evaluation_id",
            "seq evaluation_id as_of evaluated_at run_id metrics audit_count audit_hash",  # the name comes later
            public="as_of audit_count audit_hash",
        ),
        Kind.of("hold", Hold, "hold_id", "seq hold_id user_id operator_id reason placed_at", public="operator_id"),
        Kind.of(
            "hold_lift", HoldLift, "hold_id", "seq hold_id user_id operator_id reason lifted_at", public="operator_id"
        ),
    )
}
_KIND_OF = {kind.model: kind for kind in KINDS.values()}

CHAINED = ("seq", "kind", "recorded_at", "payload", "commitment", "previous_hash")
"""What the hash of a link covers."""


def record(session: Session, model: type[Base], rows: Sequence[dict[str, Any]], now: dt.datetime) -> None:
    """Add the rows to their table and to the chain, in this order. Gives each row its ``seq``.

    To be called inside ``database.writing``, which holds the head that is moved here.
    """
    if not rows:
        return
    kind = _KIND_OF[model]
    count, previous = head(session)
    links = []
    for row in rows:
        count += 1
        row["seq"] = count
        salt = random_salt()
        entry = {
            "seq": count,
            "kind": kind.name,
            "subject_id": row[kind.subject],
            "recorded_at": now,
            "payload": canonical({name: row[name] for name in kind.public}),
            "salt": salt,
            "commitment": sha256(canonical([salt, *(row[name] for name in kind.committed)])),
            "previous_hash": previous,
        }
        previous = entry["hash"] = sha256(canonical([entry[name] for name in CHAINED]))
        links.append(entry)
    session.execute(update(AuditHead).values(count=count, hash=previous))
    session.execute(insert(model.__table__), list(rows))  # type: ignore[arg-type] # a Table, typed wider
    session.execute(insert(AuditEntry.__table__), links)  # type: ignore[arg-type] # as above


def head(session: Session) -> tuple[int, str]:
    """Length and last hash of the chain: what an evaluation takes away with it."""
    count, final = session.execute(select(AuditHead.count, AuditHead.hash)).one()
    return count, final


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found. ``first_broken`` is {seq, kind, subject, problem}, or None when all holds.

    Problems: ``link_missing``, ``link_changed``, ``link_misplaced`` (in the chain); ``row_missing``, ``row_changed``,
    ``row_not_recorded``, ``row_not_erased``, ``text_changed`` (in what it covers); ``period_changed``,
    ``draft_changed``, ``status_changed``, ``evidence_changed``, ``operator_changed`` (in what follows from it);
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
    stored = session.execute(select(EvaluationRun.audit_count, EvaluationRun.audit_hash).distinct())
    for length, hash_then in [*((length, hash_then) for length, hash_then in stored), *known]:
        heads.setdefault(length, set()).add(hash_then)

    erased = _erased_links(session)
    previous, seq = START, 0
    seen = dict.fromkeys(KINDS, 0)
    while some := session.execute(_links_after(), {"seq": seq, "chunk": CHUNK}).all():
        covered = _covered_rows(session, some[0].seq, some[-1].seq)
        for one in some:
            seq += 1
            if problem := _link_problem(one, seq, previous, covered, erased):
                yield _finding(seq, one.subject_id, kind=one.kind, problem=problem)
            seq, kind, *_, previous, _ = one
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
    for kind in KINDS.values():
        # Every link found its own row or was emptied by an erasure, so a row without link is one too many.
        if session.scalar(select(func.count()).select_from(kind.model)) != seen[kind.name]:
            row = session.execute(_unrecorded(kind)).first()
            yield _finding(*(row or (None, None)), problem="row_not_recorded", kind=kind.name)
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
    named = (link[name] for name in ("seq", "kind", "subject_id", "salt", "commitment", "previous_hash", "hash"))
    return (
        select(*named, as_json(*(link[name] for name in CHAINED)).label("json"))
        .where(link.seq > bindparam("seq"))
        .order_by(link.seq)
        .limit(bindparam("chunk"))
    )


def _link_problem(
    link: AnyRow,
    expected_seq: int,
    previous: str,
    covered: Mapping[str, Mapping[int, AnyRow]],
    erased: Set[int],
) -> str | None:
    seq, name, subject, salt, commitment, previous_hash, hash_then, written = link
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
    _, row_subject, row_written, *decided_on = row
    if salt is None or sha256(f"[{encode_basestring(salt)},{row_written[1:]}") != commitment:
        return "row_changed"
    if subject != row_subject:
        return "link_changed"
    if decided_on and content_hash(*decided_on[1:]) != decided_on[0]:
        return "text_changed"
    return None


def _covered_rows(session: Session, first: int, last: int) -> dict[str, dict[int, AnyRow]]:
    """The rows that the links from ``first`` to ``last`` speak of, by their place in the chain."""
    return {
        name: {row.seq: row for row in session.execute(_covered_by(kind), {"first": first, "last": last})}
        for name, kind in KINDS.items()
    }


@cache
def _covered_by(kind: Kind) -> AnySelect:
    """seq, subject, json, and of a decision the hash and the text that it decided on."""
    columns = kind.model.__table__.c
    query: AnySelect = select(
        columns.seq,
        columns[kind.subject].label("subject"),
        as_json(*(columns[name] for name in kind.committed)).label("json"),
    ).where(columns.seq.between(bindparam("first"), bindparam("last")))
    if kind.model is not Decision:
        return query
    return (
        query.add_columns(
            Decision.content_hash,
            Recommendation.content_type,
            RecommendationText.title,
            RecommendationText.content,
            RecommendationText.rationale,
            Recommendation.product_id,
        )
        .join(Recommendation, Recommendation.recommendation_id == Decision.recommendation_id)
        .join(RecommendationText, text_is(RecommendationText, Decision, Decision.content_hash))
    )


def _unrecorded(kind: Kind) -> AnySelect:
    linked = exists().where(AuditEntry.seq == kind.model.seq, AuditEntry.kind == kind.name)
    subject = getattr(kind.model, kind.subject).label("subject")
    return select(kind.model.seq, subject).where(~linked).order_by(kind.model.seq).limit(1)


def _finding(seq: int | None, subject: str | None, *, kind: str | None, problem: str) -> dict[str, Any]:
    return {"seq": seq, "kind": kind, "subject": subject, "problem": problem}
