"""The gate: what may be released, releasing it, and the feed of what a customer may see at this moment.

``release_decision`` is the whole rule, a pure function that denies by default. ``propose`` asks it, ``run_gate`` asks
it again inside the releasing transaction and acts. Does not belong here: consent (``consent``) and decisions
(``review``) themselves, nor who runs the gate and when.
"""

import datetime as dt
import json
import logging
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Engine, Select, and_, bindparam, exists, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from spendsense_pipeline.durations import CAPPED
from spendsense_pipeline.governance import audit, consent, endings, experiment_records, policy, topics
from spendsense_pipeline.governance.database import (
    AnySelect,
    columns,
    compare_and_set,
    fields,
    matching,
    reading,
    storable,
    writing,
)
from spendsense_pipeline.governance.encoding import identifier
from spendsense_pipeline.governance.lifecycle import (
    DECIDED,
    current_text,
    hash_of,
    release_stands,
    text_is,
    wording_held,
)
from spendsense_pipeline.governance.models import (
    OPEN,
    SCOPE_OF,
    ConsentEvent,
    ConsentPeriod,
    Decision,
    Ghost,
    Recommendation,
    RecommendationText,
    Release,
    UtcTime,
)
from spendsense_pipeline.governance.present import evidence_recorded, is_as_recorded, written
from spendsense_pipeline.governance.registration import expire, severity
from spendsense_pipeline.governance.review import Guardrails

LOG = logging.getLogger(__name__)

ENOUGH = 20
"""So many that may go out are enough to know that a release is worth a run; counting all takes as long as releasing."""

Withdrawn = Callable[[], Container[str]]
"""Asks for the products that are not offered any more; called inside the transaction, and only where offers wait."""


@dataclass(frozen=True)
class AllBut(Container[str]):
    """Every product but those that are offered: one that left the catalogue is withdrawn like one marked so."""

    offered: frozenset[str]

    def __contains__(self, product_id: object) -> bool:
        return product_id is not None and product_id not in self.offered


def no_guardrails(_draft: Mapping[str, Any], /) -> Sequence[Mapping[str, Any]]:
    """Finds nothing: for whoever judges by what was found when the text was written."""
    return ()


class ReleaseFacts(NamedTuple):
    """All that a release depends on, as read from the rows; None where a row is missing."""

    recommendation_id: str
    user_id: str
    content_type: str
    status: str
    content_hash: str
    expires_at: dt.datetime
    consent_id: str | None
    consent_user: str | None
    consent_scope: str | None
    consent_opened_at: dt.datetime | None
    consent_agreed_at: dt.datetime | None
    consent_closed_at: dt.datetime | None
    decision_id: str | None
    decision_action: str | None
    decision_hash: str | None
    decision_overtaken: bool
    severity: int | None
    release_id: str | None
    product_id: str | None = None
    insight: str | None = None
    topic_declined: bool = False
    wording_held: bool = False
    withheld: bool = False


class Allow(NamedTuple):
    """May be released, citing exactly these."""

    consent_id: str
    decision_id: str


class Deny(NamedTuple):
    """May not be released; ``reasons`` are codes, the most telling first."""

    reasons: tuple[str, ...]


def release_decision(
    facts: ReleaseFacts, now: dt.datetime, consent_days: int = 0, withdrawn: Container[str] = ()
) -> Allow | Deny:
    """Whether a text may be made available at ``now``. Whatever is missing or unknown denies.

    ``withdrawn`` are the products that are not offered any more.

    Reasons: ``already_released``, ``pending``, ``rejected``, ``superseded``, ``expired``, ``voided``,
    ``without_consent``, ``consent_lapsed``, ``without_decision``, ``text_changed``, ``critical_finding``,
    ``product_withdrawn``, ``topic_declined``, ``wording_held``, ``withheld`` by an experiment. What else holds a text
    back is not the text's own: ``weekly_cap``, where the customer had enough this week.
    """
    reasons: list[str] = []
    if facts.release_id is not None:
        reasons.append("already_released")
    if facts.status not in DECIDED:
        reasons.append({"pending_approval": "pending"}.get(facts.status, facts.status))
    if facts.expires_at <= now and "expired" not in reasons:
        reasons.insert(0, "expired")
    reasons += _consent_reasons(facts, now, consent_days)
    if facts.status in DECIDED:
        standing = facts.decision_id is not None and not facts.decision_overtaken
        if not standing or facts.decision_action not in ("approve", "override"):
            reasons.append("without_decision")
        elif facts.decision_hash is None or facts.decision_hash != facts.content_hash:
            reasons.append("text_changed")
    if facts.severity is None or facts.severity >= 2:
        reasons.append("critical_finding")
    if facts.product_id in withdrawn:
        reasons.append("product_withdrawn")
    if facts.topic_declined:
        reasons.append("topic_declined")
    if facts.wording_held:
        reasons.append("wording_held")
    if facts.withheld:
        reasons.append("withheld")
    if reasons or facts.consent_id is None or facts.decision_id is None:
        return Deny(tuple(reasons))
    return Allow(facts.consent_id, facts.decision_id)


def _consent_reasons(facts: ReleaseFacts, now: dt.datetime, consent_days: int) -> list[str]:
    opened = facts.consent_opened_at
    needed = facts.user_id, SCOPE_OF.get(facts.content_type)
    fits = None not in needed and (facts.consent_user, facts.consent_scope) == needed
    if facts.consent_id is None or not fits or opened is None or opened > now or facts.consent_closed_at is not None:
        return ["without_consent"]
    limit = dt.timedelta(days=consent_days)
    if consent_days and (facts.consent_agreed_at is None or facts.consent_agreed_at + limit <= now):
        return ["consent_lapsed"]
    return []


def facts_query(now: dt.datetime) -> AnySelect:
    """``ReleaseFacts`` of everything that was decided for release, is in time and not released; in no order."""
    later = aliased(Decision)
    overtaken = exists().where(later.recommendation_id == Decision.recommendation_id, later.ordinal > Decision.ordinal)
    return (
        select(
            *columns(Recommendation, "recommendation_id user_id content_type status content_hash expires_at"),
            *columns(ConsentPeriod, "consent_id user_id scope opened_at"),
            consent.agreed_at(),
            ConsentPeriod.closed_at,
            *columns(Decision, "decision_id action content_hash"),
            overtaken,
            RecommendationText.severity,
            Release.release_id,
            Recommendation.product_id,
            Recommendation.insight,
            topics.declined(),
            wording_held(),
            experiment_records.withheld(now),
        )
        .outerjoin(ConsentPeriod, ConsentPeriod.consent_id == Recommendation.consent_id)
        .outerjoin(
            Decision,
            and_(
                Decision.decision_id == Recommendation.decision_id,
                Decision.recommendation_id == Recommendation.recommendation_id,
            ),
        )
        .outerjoin(RecommendationText, current_text())
        .outerjoin(Release, Release.recommendation_id == Recommendation.recommendation_id)
        .where(
            Recommendation.status.in_(DECIDED), Recommendation.released_at.is_(None), Recommendation.expires_at > now
        )
    )


@dataclass(frozen=True)
class Proposal:
    """What the gate would do now: how many it would release at least, and why others wait.

    Counted to the end only where there are fewer than ``ENOUGH`` decided ones, or none that may go out: then
    ``at_least`` is all of them.
    """

    at_least: int
    blocked: dict[str, int]
    ending: bool = False
    """Whether something released is over by the clock or by its product, and not yet on record as ended."""
    refused: dict[str, list[str]] = field(default_factory=dict)
    """The texts that were decided and are not fit to go out, as far as they were looked at: reason → ids."""


@dataclass(frozen=True)
class Gate:
    """What the gate did: recommendation ids, and the first reason of each open one that it left.

    ``recalled`` were taken back because their consent lapsed or their product is gone, ``ended`` counts all that
    ended, by cause. ``refused`` names the texts that were decided and are not fit to go out: reason → ids.
    """

    released: list[str]
    recalled: list[str]
    blocked: dict[str, int]
    ended: dict[str, int] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)


def propose(
    engine: Engine,
    now: dt.datetime,
    *,
    consent_days: int = 0,
    withdrawn: Withdrawn = tuple,
    weekly_cap: int = 0,
    guardrails: Guardrails = no_guardrails,
) -> Proposal:
    """Ask the gate without moving anything: for a sensor to decide whether a release is worth a run. What the gate
    would not let out for its words is none, or it would be asked for again and again."""
    with reading(engine) as session:
        terms = Terms(now, policy.limit(session, consent_days), withdrawn, weekly_cap, guardrails)
        allowed, blocked, refused = _going_now(session, facts_query(now).limit(ENOUGH), terms)
        if not allowed and sum(blocked.values()) >= ENOUGH:
            allowed, blocked, refused = _going_now(session, facts_query(now), terms)
        blocked += _waiting_counts(session, now)
        ending = bool(endings.due(session, now, _products(session, withdrawn), limit=1))
    return Proposal(len(allowed), _occurring(blocked), ending, _by_reason(refused))


@dataclass(frozen=True)
class Terms:
    """What holds for one pass of the gate; the arguments of ``run_gate``."""

    now: dt.datetime
    consent_days: int
    withdrawn: Withdrawn
    weekly_cap: int
    guardrails: Guardrails


def _products(session: Session, withdrawn: Withdrawn) -> Container[str]:
    """The products that are not offered any more, asked for only where an offer stands released."""
    return withdrawn() if endings.offers_stand(session) else ()


def run_gate(
    engine: Engine,
    now: dt.datetime,
    *,
    consent_days: int = 0,
    withdrawn: Withdrawn = tuple,
    weekly_cap: int = 0,
    release_days: int = 30,
    guardrails: Guardrails = no_guardrails,
    run_id: str | None = None,
) -> Gate:
    """Release what may be released, and write down what has ended: expired drafts, lapsed consent, releases whose time
    is over, whose product is gone, or of whose piece a newer text goes out now.

    ``weekly_cap`` is how many texts a customer gets in seven days (0: no limit), what is urgent first;
    ``release_days`` how long a text stays in the feed. What stands to be released is read once more: its words must
    have the hash that was decided, and its figures and findings be as they were recorded (``text_changed``), and
    ``guardrails`` must find nothing critical in them (``critical_finding``).

    One transaction under the write lock: what it reads holds until its releases are written. Running it again
    releases nothing twice.
    """
    in_turn = facts_query(now).order_by(Recommendation.registered_at, Recommendation.recommendation_id)
    with writing(engine) as session:
        terms = Terms(now, policy.limit(session, consent_days), withdrawn, weekly_cap, guardrails)
        # Judged before lapsed periods are closed, so that the count still says what became of them.
        allowed, blocked, refused = _going_now(session, in_turn, terms)
        blocked += _waiting_counts(session, now)
        recalled = consent.close_lapsed(session, now, terms.consent_days)
        ended = {"lapsed": recalled} | endings.end_due(session, now, _products(session, withdrawn))
        expire(session, now)
        expires_at = now + dt.timedelta(days=release_days)
        said = {"consent_days": terms.consent_days, "run_id": run_id, "released_at": now, "expires_at": expires_at}
        releases: list[dict[str, Any]] = [
            {
                "release_id": identifier("rel", facts.recommendation_id),
                **fields(facts, "recommendation_id content_hash"),
                **cited._asdict(),
                **said,
            }
            for facts, cited in allowed
        ]
        audit.record(session, Release, releases, now)
        if releases:
            of_each = [{"of": row["recommendation_id"], "hashed": row["content_hash"]} for row in releases]
            as_decided = (Recommendation.content_hash == bindparam("hashed"), Recommendation.released_at.is_(None))
            compare_and_set(session, Recommendation, of_each, *as_decided, released_at=now)
            ended["replaced"] = endings.end_replaced(session, [facts.user_id for facts, _ in allowed], now)
    return Gate(
        [row["recommendation_id"] for row in releases],
        sorted([*recalled, *ended.get("product_withdrawn", [])]),
        _occurring(blocked),
        {cause: len(names) for cause, names in sorted(ended.items()) if names},
        _by_reason(refused),
    )


def _by_reason(refused: Mapping[str, str]) -> dict[str, list[str]]:
    return {one: sorted(name for name, why in refused.items() if why == one) for one in sorted({*refused.values()})}


def _unfit_texts(session: Session, candidates: Sequence[ReleaseFacts], guardrails: Guardrails) -> dict[str, str]:
    """Recommendation id → reason, of those whose words are not the ones that were decided, or not fit to be sent."""
    hashed = {facts.recommendation_id: facts.content_hash for facts in candidates}
    words = select(
        *columns(RecommendationText, "recommendation_id title content rationale slots"),
        *columns(Recommendation, "content_type product_id persona template_id"),
        written().label("written"),
        evidence_recorded().label("evidence"),
    ).join(Recommendation, current_text())
    unfit: dict[str, str] = {}
    for row in matching(session, words, RecommendationText.recommendation_id, hashed):
        text = dict(row._mapping)
        as_recorded = is_as_recorded(text.pop("written"), text.pop("evidence"))
        if not as_recorded or hash_of(text) != hashed[row.recommendation_id]:
            unfit[row.recommendation_id] = "text_changed"
        elif severity(guardrails(text)) >= 2:
            unfit[row.recommendation_id] = "critical_finding"
    return unfit


def _decided_now(
    session: Session, query: AnySelect, terms: Terms
) -> tuple[list[tuple[ReleaseFacts, Allow]], Counter[str]]:
    """What may go out, in the query's order, and how many may not by the first reason."""
    allowed: list[tuple[ReleaseFacts, Allow]] = []
    blocked: Counter[str] = Counter()
    candidates = [ReleaseFacts(*row) for row in session.execute(query)]
    products = terms.withdrawn() if any(facts.product_id is not None for facts in candidates) else ()
    for facts in candidates:
        verdict = release_decision(facts, terms.now, terms.consent_days, products)
        if isinstance(verdict, Allow):
            allowed.append((facts, verdict))
        else:
            blocked[verdict.reasons[0] if verdict.reasons else "unknown"] += 1
    return allowed, blocked


def _going_now(
    session: Session, query: AnySelect, terms: Terms
) -> tuple[list[tuple[ReleaseFacts, Allow]], Counter[str], dict[str, str]]:
    """What may go out within the weekly cap, in the query's order, how many may not by the first reason, and of those
    whose words are not fit to go out the reason by recommendation id."""
    candidates, blocked = _decided_now(session, query, terms)
    refused: dict[str, str] = {}
    judged: set[str] = set()
    allowed = _within_cap(session, candidates, terms)
    # What is not fit to go out takes nobody's place in the week.
    while fresh := [facts for facts, _ in allowed if facts.recommendation_id not in judged]:
        judged |= {facts.recommendation_id for facts in fresh}
        refused |= _unfit_texts(session, fresh, terms.guardrails)
        candidates = [one for one in candidates if one[0].recommendation_id not in refused]
        allowed = _within_cap(session, candidates, terms)
    blocked["weekly_cap"] = len(candidates) - len(allowed)
    return allowed, blocked + Counter(refused.values()), refused


def _within_cap(
    session: Session, allowed: list[tuple[ReleaseFacts, Allow]], terms: Terms
) -> list[tuple[ReleaseFacts, Allow]]:
    """Those that the week still has room for, what is urgent before the others."""
    if not terms.weekly_cap or not allowed:
        return allowed
    left = {facts.user_id: terms.weekly_cap for facts, _ in allowed}
    # Whatever became of what went out to them.
    had = (
        select(Recommendation.user_id, func.count())
        .where(Recommendation.released_at > terms.now - CAPPED)
        .group_by(Recommendation.user_id)
    )
    for user_id, number in matching(session, had, Recommendation.user_id, sorted(left)):
        left[user_id] -= number
    within: set[str] = set()
    for facts, _ in sorted(allowed, key=lambda one: one[0].insight not in experiment_records.URGENT):
        if left[facts.user_id] > 0:
            left[facts.user_id] -= 1
            within.add(facts.recommendation_id)
    return [one for one in allowed if one[0].recommendation_id in within]


def _waiting_counts(session: Session, now: dt.datetime) -> Counter[str]:
    """What waits for an operator or is past its time, under the reason that ``release_decision`` would give first.

    Nothing else about it can matter yet, so the index counts it.
    """
    late = Recommendation.expires_at <= now
    counted = select(
        func.count().filter(Recommendation.status == "pending_approval", ~late), func.count().filter(late)
    ).where(Recommendation.status.in_(OPEN), Recommendation.released_at.is_(None))
    pending, expired = session.execute(counted).one()
    return Counter(pending=pending, expired=expired)


def _occurring(blocked: Counter[str]) -> dict[str, int]:
    return {reason: number for reason, number in sorted(blocked.items()) if number}


def released(
    session: Session,
    now: dt.datetime,
    *,
    user_id: str | None = None,
    consent_days: int = 0,
    withdrawn: Container[str] = (),
) -> list[dict[str, Any]]:
    """The feed: released texts whose cited consent period is live at ``now`` and that have not ended.

    A text on which the guardrails found something critical since its release is held back as long as they do, and one
    of a wording that is held until an operator looked. Words that do not have the hash that was decided, and figures
    that are not as they were recorded with them, are not shown, and logged. ``withdrawn`` are the products that are not
    offered any more.

    Rows: release_id, recommendation_id, user_id, title, content, content_hash, consent_id, decision_id, released_at,
    expires_at, content_type, product_id, persona, insight, as_of, rationale, slots (slot → {signal, value, shown, …});
    oldest release first. The text is the one that the release cites, whatever happened since.
    """
    if user_id is not None and not storable(user_id):
        return []
    consent_days = policy.limit(session, consent_days)
    feed = _feed(limited=bool(consent_days), of_one=user_id is not None)
    given = {"now": now, "agreed_after": now - dt.timedelta(days=consent_days), "of": user_id}
    rows = [dict(row._mapping) for row in session.execute(feed, given)]
    shown = [row for row in rows if row["product_id"] is None or row["product_id"] not in withdrawn]
    as_recorded = {row["release_id"] for row in shown if is_as_recorded(row.pop("written"), row.pop("evidence"))}
    whole = [row for row in shown if row["release_id"] in as_recorded and hash_of(row) == row["content_hash"]]
    if len(whole) < len(shown):
        changed = [row["release_id"] for row in shown if row not in whole]
        LOG.error("not shown, they are not as they were decided: %s", ", ".join(changed))
    return [row | {"slots": json.loads(row["slots"])} for row in whole]


@cache
def _feed(*, limited: bool, of_one: bool) -> AnySelect:
    """The feed's statement, with the parameters ``now``, ``agreed_after`` and ``of``; it is asked a hundred times a
    second, and building it takes longer than its answer.
    """
    now, agreed_after = (bindparam(name, type_=UtcTime) for name in ("now", "agreed_after"))
    return (
        select(
            *columns(Release, "release_id recommendation_id"),
            Recommendation.user_id,
            *columns(RecommendationText, "title content"),
            *columns(Release, "content_hash consent_id decision_id released_at expires_at"),
            *columns(Recommendation, "content_type product_id persona insight as_of"),
            *columns(RecommendationText, "rationale slots"),
            written().label("written"),
            evidence_recorded().label("evidence"),
        )
        .join(Recommendation, Recommendation.recommendation_id == Release.recommendation_id)
        .join(RecommendationText, text_is(RecommendationText, Release, Release.content_hash))
        .join(ConsentPeriod, ConsentPeriod.consent_id == Release.consent_id)
        .where(
            consent.lives(now, agreed_after if limited else None),
            RecommendationText.severity < 2,
            release_stands(),
            ~wording_held(),
            or_(Release.expires_at.is_(None), Release.expires_at > now),
            Recommendation.user_id == bindparam("of") if of_one else true(),
        )
        .order_by(Release.seq)
    )


class ConsentProof(NamedTuple):
    """How many releases there are, and which were made without what a release needs."""

    violations: list[str]
    total: int


def every_release_had_consent(session: Session) -> ConsentProof:
    """Recompute from the append-only rows whether each release had live consent and a standing decision.

    Order is the order of the audit chain, not of clocks: the cited period was opened before the release and not
    closed before it, for this customer and this scope; where a consent's life was limited, the last word before the
    release was not older than that; the cited decision approves or overrides to exactly the released text, came before
    the release, and no other decision came between.
    """
    violations = {row.seq: row.recommendation_id for row in session.execute(_unproved())}
    violations |= _released_after_consent_lapsed(session)
    total = session.scalar(select(func.count()).select_from(Release)) or 0
    return ConsentProof([violations[seq] for seq in sorted(violations)], total)


@cache
def _unproved() -> Select[int, str]:
    opened, closed, between = aliased(ConsentEvent), aliased(ConsentEvent), aliased(Decision)
    scope = func.replace(Recommendation.content_type, "partner_offer", "partner_offers")
    had_consent = exists().where(
        opened.consent_id == Release.consent_id,
        opened.user_id == Recommendation.user_id,
        opened.scope == scope,
        opened.action == "opened",
        opened.seq < Release.seq,
    )
    ended_before = exists().where(
        closed.consent_id == Release.consent_id, closed.action == "closed", closed.seq < Release.seq
    )
    was_decided = exists().where(
        Decision.decision_id == Release.decision_id,
        Decision.recommendation_id == Release.recommendation_id,
        Decision.content_hash == Release.content_hash,
        Decision.action.in_(("approve", "override")),
        Decision.seq < Release.seq,
        ~exists()
        .where(
            between.recommendation_id == Release.recommendation_id,
            between.seq > Decision.seq,
            between.seq < Release.seq,
        )
        .correlate(Release, Decision),  # two levels up is not found by itself
    )
    was_withheld = exists().where(Ghost.recommendation_id == Release.recommendation_id)
    return (
        select(Release.seq, Release.recommendation_id)
        .outerjoin(Recommendation, Recommendation.recommendation_id == Release.recommendation_id)
        .where(or_(~had_consent, ended_before, ~was_decided, was_withheld))
    )


def _released_after_consent_lapsed(session: Session) -> dict[int, str]:
    """seq → recommendation of the releases whose last grant or renewal before was as old as the limit then in force."""
    word = aliased(ConsentEvent)
    last = select(func.max(func.coalesce(word.granted_at, word.recorded_at))).where(
        word.consent_id == Release.consent_id, word.action.in_(("opened", "renewed")), word.seq < Release.seq
    )
    limited = select(
        Release.seq, Release.recommendation_id, Release.released_at, Release.consent_days, last.scalar_subquery()
    ).where(Release.consent_days > 0)
    return {
        seq: name
        for seq, name, released_at, days, agreed_at in session.execute(limited)
        if agreed_at is None or agreed_at + dt.timedelta(days=days) <= released_at
    }
