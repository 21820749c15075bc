"""Whether the present state is what the recorded events add up to: consent periods, drafts, their texts, operators,
ends, and what else decides.

The chain proves the events; here the rows that repeat what they said are held against them. Does not belong here: the
chain itself (``audit``), nor changing anything.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from operator import eq
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from spendsense_pipeline.governance.database import columns, fields
from spendsense_pipeline.governance.encoding import as_json, canonical, sha256
from spendsense_pipeline.governance.lifecycle import CLOSED
from spendsense_pipeline.governance.models import (
    AccessToken,
    Base,
    Batch,
    ConsentEvent,
    ConsentPeriod,
    Decision,
    DraftEvent,
    ErasureRequest,
    Ghost,
    Operator,
    OperatorEvent,
    Recall,
    Recommendation,
    RecommendationText,
    Release,
    RowState,
    StandingApproval,
    WordingHold,
)

EVIDENCE = (
    "recommendation_id content_hash title content rationale findings severity slots reasons signals author written_at"
)
"""Columns of a text that its evidence is the hash of."""

STANDING = "role scopes qualified_until"
"""Columns of a person's standing that its events repeat."""

ORIGIN = (
    "content_type product_id window_days persona situation generator model prompt_version insight insight_id "
    "original_hash run_id registered_at first_registered_at"
)
"""Columns of a draft that the event which gives it is the hash of, besides those that it repeats."""

STATES: Final[Mapping[type[Base], str]] = {
    AccessToken: "token_id digest name scopes user_id operator_id created_at created_by expires_at revoked_at",
    Batch: "batch_id arrival content_hash registered_at",
    ErasureRequest: "user_id operator_id reason requested_at",
    Operator: "operator_id registered_at source sessions_since",
    StandingApproval: "standing_id ended_at ended_by",
    WordingHold: "hold_id template_id template_hash cause opened_at cleared_at cleared_by note",
}
"""Tables whose rows are on record each time that one of these columns changes, the key first. Others that change are
held against events (drafts, periods, people's standing), or decide nothing that an operator, the guardrails or consent
does not decide again."""

GIVES = ("registered", "rewritten")
"""Events that give a draft its owner, consent, wording, text and expiry."""


def unlike_their_events(session: Session) -> Iterator[tuple[str, str, Iterable[str]]]:
    """What is not as its events say: problem, kind, and the first subject, if any."""
    yield "period_changed", "consent", session.scalars(_periods_unlike().limit(1)).all()
    yield "draft_changed", "draft", session.scalars(_drafts_unlike().limit(1)).all()
    yield "status_changed", "draft", session.scalars(_statuses_unlike().limit(1)).all()
    yield "evidence_changed", "draft", _texts_unlike(session)
    yield "evidence_changed", "draft", _origins_unlike(session)
    yield "operator_changed", "operator", _operators_unlike(session)
    for kind, query in _without_row().items():
        yield "row_missing", kind, session.scalars(query.limit(1)).all()
    yield "release_changed", "release", session.scalars(_ends_unlike().limit(1)).all()
    for model in STATES:
        yield "state_changed", model.__tablename__, _states_unlike(session, model)


@cache
def _periods_unlike() -> Select[str]:
    def recorded(action: str, at: Any) -> Any:
        return exists().where(
            _same(ConsentEvent, ConsentPeriod, "consent_id user_id scope"),
            ConsentEvent.action == action,
            ConsentEvent.recorded_at == at,
            ConsentEvent.granted_at.is_not_distinct_from(ConsentPeriod.granted_at) if action == "opened" else true(),
        )

    closed = exists().where(ConsentEvent.consent_id == ConsentPeriod.consent_id, ConsentEvent.action == "closed")
    return (
        select(ConsentPeriod.consent_id)
        .where(
            or_(
                ~recorded("opened", ConsentPeriod.opened_at),
                and_(ConsentPeriod.renewed_at.is_not(None), ~recorded("renewed", ConsentPeriod.renewed_at)),
                and_(ConsentPeriod.closed_at.is_(None), closed),
                and_(ConsentPeriod.closed_at.is_not(None), ~recorded("closed", ConsentPeriod.closed_at)),
            )
        )
        .order_by(ConsentPeriod.consent_id)
    )


def _same(one: Any, other: Any, names: str) -> ColumnElement[bool]:
    """The SQL condition that two rows have the same in these columns."""
    return and_(*map(eq, columns(one, names), columns(other, names)))


def _is_event_of(event: Any, actions: Iterable[str]) -> ColumnElement[bool]:
    return and_(event.recommendation_id == Recommendation.recommendation_id, event.action.in_(list(actions)))


def _last(actions: Iterable[str]) -> ColumnElement[int]:
    """The place of the draft's last event of these; null where there is none."""
    event = aliased(DraftEvent)
    return select(func.max(event.seq)).where(_is_event_of(event, actions)).correlate(Recommendation).scalar_subquery()


@cache
def _drafts_unlike() -> Select[str]:
    given = exists().where(
        DraftEvent.seq == _last(GIVES),
        _same(DraftEvent, Recommendation, "user_id consent_id as_of template_id template_hash expires_at"),
        DraftEvent.content_hash == Recommendation.original_hash,
    )
    withheld = exists().where(Ghost.recommendation_id == Recommendation.recommendation_id)
    released = exists().where(_same(Release, Recommendation, "recommendation_id released_at"))
    any_release = exists().where(Release.recommendation_id == Recommendation.recommendation_id)
    return (
        select(Recommendation.recommendation_id)
        .where(
            or_(
                ~given,
                Recommendation.ghost != withheld,
                and_(Recommendation.released_at.is_not(None), ~released),
                and_(Recommendation.released_at.is_(None), any_release),
            )
        )
        .order_by(Recommendation.recommendation_id)
    )


@cache
def _statuses_unlike() -> Select[str]:
    """Drafts whose status neither a decision nor a closing event gave them."""
    closing = exists().where(
        _is_event_of(DraftEvent, CLOSED),
        DraftEvent.action == Recommendation.status,
        DraftEvent.recorded_at == Recommendation.status_at,
        DraftEvent.superseded_by.is_not_distinct_from(Recommendation.superseded_by),
    )
    opened_after = func.coalesce(_last(CLOSED), 0) < _last(GIVES)
    last = (
        select(func.max(Decision.ordinal))
        .where(Decision.recommendation_id == Recommendation.recommendation_id)
        .correlate(Recommendation)
        .scalar_subquery()
    )
    standing = and_(Decision.recommendation_id == Recommendation.recommendation_id, Decision.ordinal == last)
    decided = exists().where(
        standing,
        _same(Decision, Recommendation, "decision_id content_hash"),
        Decision.action
        == case({"approved": "approve", "overridden": "override", "rejected": "reject"}, value=Recommendation.status),
    )
    settled = exists().where(standing, Decision.action.in_(("approve", "reject")), Decision.seq > _last(GIVES))
    return (
        select(Recommendation.recommendation_id)
        .where(
            case(
                (Recommendation.status.in_(CLOSED), ~closing),
                (Recommendation.superseded_by.is_not(None), true()),
                (Recommendation.status == "pending_approval", or_(~opened_after, settled)),
                else_=or_(~opened_after, ~decided),
            )
        )
        .order_by(Recommendation.recommendation_id)
    )


@cache
def _without_row() -> dict[str, Select[str]]:
    """What events speak of and is not there: periods, drafts, and texts."""
    period = exists().where(ConsentPeriod.consent_id == ConsentEvent.consent_id)
    draft = (
        exists()
        .where(_same(RecommendationText, DraftEvent, "recommendation_id content_hash"))
        .where(Recommendation.recommendation_id == DraftEvent.recommendation_id)
    )
    return {
        "consent": select(ConsentEvent.consent_id).where(~period).order_by(ConsentEvent.seq),
        "draft": select(DraftEvent.recommendation_id).where(~draft).order_by(DraftEvent.seq),
    }


@cache
def _ends_unlike() -> Select[str]:
    """Releases that do not end when their recall says."""
    recalled = select(Recall.recalled_at).where(Recall.release_id == Release.release_id).scalar_subquery()
    return select(Release.release_id).where(Release.ended_at.is_distinct_from(recalled)).order_by(Release.release_id)


def state(row: Base) -> str:
    """The digest of a row of ``STATES`` as it is now."""
    return sha256(canonical([*fields(row, STATES[type(row)]).values()]))


def _states_unlike(session: Session, model: type[Base]) -> Iterator[str]:
    """The first row that is not what was last recorded of it, was never recorded, or is gone."""
    newest = select(func.max(RowState.seq)).where(RowState.table_name == model.__tablename__).group_by(RowState.row_key)
    recorded = session.execute(select(RowState.row_key, RowState.digest).where(RowState.seq.in_(newest)))
    expected = {key: digest for key, digest in recorded if digest is not None}
    found = {key: state(row) for row in session.scalars(select(model)) for key in [key_of(row)]}
    yield from sorted(key for key, _ in expected.items() ^ found.items())[:1]


def key_of(row: Base) -> str:
    """The key of a row of ``STATES``."""
    key: str = getattr(row, STATES[type(row)].split()[0])
    return key


def _origins_unlike(session: Session) -> Iterator[str]:
    """The first draft that is not what the event which gave it is the hash of."""
    origin = as_json(*columns(Recommendation, ORIGIN))
    given = and_(DraftEvent.recommendation_id == Recommendation.recommendation_id, DraftEvent.seq == _last(GIVES))
    query = (
        select(Recommendation.recommendation_id, origin, DraftEvent.origin)
        .join(DraftEvent, given)
        .where(DraftEvent.origin.is_not(None))
    )
    for name, text, recorded in session.execute(query, execution_options={"yield_per": 5_000}):
        if sha256(text) != recorded:
            yield name
            return


def written() -> as_json:
    """A text's row as its evidence is the hash of."""
    return as_json(*columns(RecommendationText, EVIDENCE))


def evidence_recorded() -> ColumnElement[str | None]:
    """The evidence that the last event about a text gave; null where there is none."""
    event = aliased(DraftEvent)
    return (
        select(event.evidence)
        .where(_same(event, RecommendationText, "recommendation_id content_hash"), event.evidence.is_not(None))
        .order_by(event.seq.desc())
        .limit(1)
        .correlate(RecommendationText)
        .scalar_subquery()
    )


def is_as_recorded(text: str, evidence: str | None) -> bool:
    """Whether a text's row (``written``) is what was recorded of it (``evidence_recorded``)."""
    return evidence is not None and sha256(text) == evidence


def _texts_unlike(session: Session) -> Iterator[str]:
    """The first text that is not what its last event is the hash of."""
    query = select(RecommendationText.recommendation_id, written(), evidence_recorded())
    for name, text, evidence in session.execute(query, execution_options={"yield_per": 5_000}):
        if not is_as_recorded(text, evidence):
            yield name
            return


def credentials(operator: Operator) -> str:
    """What an operator logs in with, as its events keep it."""
    return sha256(canonical([operator.password_hash, operator.subject]))


def _operators_unlike(session: Session) -> Iterator[str]:
    """The first person whose standing is not what was last recorded of it."""
    newest = select(func.max(OperatorEvent.seq)).group_by(OperatorEvent.operator_id)
    events = {
        event.operator_id: event
        for event in session.scalars(select(OperatorEvent).where(OperatorEvent.seq.in_(newest)))
    }
    for one in session.scalars(select(Operator).order_by(Operator.operator_id)):
        event = events.get(one.operator_id)
        left = event.recorded_at if event and event.action == "deactivated" else None
        recorded = event and (fields(event, STANDING), event.credentials, left)
        if recorded != (fields(one, STANDING), credentials(one), one.deactivated_at):
            yield one.operator_id
            return
