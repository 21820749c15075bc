"""The tables of the governance database. What must never be wrong is a constraint here, not a habit of callers.

Belongs here: columns, keys, checks, indexes. Does not belong here: rules that need a clock or more than one row
(``consent``, ``review``, ``release``), nor the way tables come into being (``migrations``).

Into a ``Chained`` table ``audit.record`` is the one way in, and an erasure the one way out.
"""

import datetime as dt
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCOPES = ("education", "partner_offers")
SCOPE_OF = {"education": "education", "partner_offer": "partner_offers"}
"""The consent scope that a content type needs."""

STATUSES = ("pending_approval", "approved", "overridden", "rejected", "superseded", "expired", "voided")
OPEN = ("pending_approval", "approved", "overridden")
"""Statuses that can still lead to a release."""

ROLES = ("viewer", "operator", "auditor", "admin")
"""What a person may do here: read; decide; read everything with the audit chain; manage people, tokens and recalls."""

TOKEN_SCOPES = ("feed:read", "consent:write", "events:write", "ingest:write", "review")
"""What a program may do with its token."""

KNOWN_BY = ("login", "token", "trusted_local")
"""How the person behind a decision was known: a session of theirs, a token of theirs, a name typed on the machine."""

EVENTS = (
    *("delivered", "seen", "opened", "helpful", "not_helpful", "dismissed", "wrong_figure", "complaint", "acted"),
)
"""What an app may report about a released text."""

DELIVERY_STATES = ("waiting", "delivered", "dead")
RECALL_TARGETS = ("recommendation", "template", "product", "operator")


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """A column holds one of our own fixed words."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=column)


def partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows that meet the condition."""
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


class UtcTime(TypeDecorator[dt.datetime]):
    """A moment in UTC. SQLite keeps no zone, so it is taken off on the way in and put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; moments are aware datetimes")
        moment = value.astimezone(dt.UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: dt.datetime | None, _dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class Base(DeclarativeBase):
    """All tables of the governance database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as written
        str: Text,
        dt.datetime: UtcTime,
        dt.date: Date,
        int: Integer,
    }


def sequence() -> Mapped[int]:
    """A place in the audit chain that is the row's key."""
    return mapped_column(BigInteger, autoincrement=False, primary_key=True)


class Audited(NamedTuple):
    """What a row puts into the audit chain: what its link names, commits to (``seq`` besides), and keeps readable.

    Names of columns are words in one text. ``committed`` is written down, not read off the table: a column added later
    must not change old commitments. ``since_0012`` are committed to after these by links whose payload has ``"v":2``.
    """

    kind: str
    subject: str
    committed: str
    public: str
    since_0012: str = ""


class Chained(Base):
    """A table whose rows are only ever added, each with its place (``seq``) in the audit chain."""

    __abstract__ = True

    audited: ClassVar[Audited]
    seq: Mapped[int] = mapped_column(BigInteger, autoincrement=False, unique=True, doc="its place in the audit chain")


class Operator(Base):
    """A person at work here: what they may do, for which content, and how they log in.

    ``scopes`` are the consent scopes whose texts they may decide on, separated by spaces; ``qualified_until`` is the
    last day on which they may. ``subject`` is the identity provider's name for them. Sessions that began before
    ``sessions_since`` are over.
    """

    __tablename__ = "operators"
    __table_args__ = (one_of("role", ROLES),)

    operator_id: Mapped[str] = mapped_column(primary_key=True)
    registered_at: Mapped[dt.datetime]
    source: Mapped[str]
    deactivated_at: Mapped[dt.datetime | None]
    role: Mapped[str] = mapped_column(server_default="operator")
    scopes: Mapped[str] = mapped_column(server_default=" ".join(SCOPES))
    qualified_until: Mapped[dt.date | None]
    password_hash: Mapped[str | None]
    subject: Mapped[str | None] = mapped_column(unique=True)
    sessions_since: Mapped[dt.datetime | None]


class OperatorEvent(Chained):
    """What happened to a person's standing: ``added``, ``changed``, ``reactivated``, ``deactivated``.

    role, scopes and qualified_until as they were from then on; ``credentials`` is the SHA-256 of password hash and
    subject. ``actor`` is who did it, an operator where one is named, or ``local`` on a trusted machine.
    """

    __tablename__ = "operator_events"
    audited = Audited(
        "operator",
        "operator_id",
        "operator_id action role scopes qualified_until credentials actor source recorded_at",
        "operator_id action actor",
    )
    __table_args__ = (one_of("action", ("added", "changed", "reactivated", "deactivated")),)

    seq: Mapped[int] = sequence()
    operator_id: Mapped[str] = mapped_column(ForeignKey(Operator.operator_id), index=True)
    action: Mapped[str]
    role: Mapped[str]
    scopes: Mapped[str]
    qualified_until: Mapped[dt.date | None]
    credentials: Mapped[str]
    actor: Mapped[str]
    source: Mapped[str]
    recorded_at: Mapped[dt.datetime]


class Policy(Chained):
    """Rules that every decision and release is held to, whatever the settings of the process; the last row counts."""

    __tablename__ = "policies"
    audited = Audited(
        "policy", "actor", "four_eyes consent_days actor reason recorded_at", "four_eyes consent_days actor"
    )
    __table_args__ = (CheckConstraint("consent_days >= 0", name="consent_days"),)

    seq: Mapped[int] = sequence()
    four_eyes: Mapped[bool]
    consent_days: Mapped[int]
    actor: Mapped[str]
    reason: Mapped[str]
    recorded_at: Mapped[dt.datetime]


class Login(Base):
    """One attempt to log in, for the lock-out and the audit of logins.

    ``name_digest`` is a hash of the name that was typed, so that attempts on a name that nobody has are counted alike;
    ``nonce`` is of a login link, which opens once.
    """

    __tablename__ = "logins"
    __table_args__ = (Index(None, "name_digest", "attempted_at"),)

    login_id: Mapped[int] = mapped_column(primary_key=True)
    name_digest: Mapped[str]
    operator_id: Mapped[str | None]
    means: Mapped[str]
    outcome: Mapped[str]
    nonce: Mapped[str | None] = mapped_column(unique=True)
    attempted_at: Mapped[dt.datetime]


class AccessToken(Base):
    """A program's or a person's token; the token itself is not kept. ``user_id`` limits it to one customer.

    A token with the scope ``review`` belongs to an operator, who decides with it.
    """

    __tablename__ = "access_tokens"

    token_id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    scopes: Mapped[str]
    user_id: Mapped[str | None] = mapped_column(index=True)
    operator_id: Mapped[str | None] = mapped_column(ForeignKey(Operator.operator_id))
    created_at: Mapped[dt.datetime]
    created_by: Mapped[str]
    expires_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]


class Batch(Base):
    """A landed batch and its place in the order of arrival."""

    __tablename__ = "batches"

    batch_id: Mapped[str] = mapped_column(primary_key=True)
    arrival: Mapped[int] = mapped_column(unique=True)
    content_hash: Mapped[str]
    registered_at: Mapped[dt.datetime]
    source: Mapped[str | None]


class ConsentPeriod(Base):
    """One stretch of consent of one customer in one scope: the present state that its events add up to.

    ``granted_at`` is when the customer agreed and null where the source did not say; ``opened_at`` is when this
    database learned of it.
    """

    __tablename__ = "consent_periods"
    __table_args__ = (
        UniqueConstraint("user_id", "scope", "ordinal"),
        one_of("scope", SCOPES),
        partial("uq_consent_periods_one_live", "user_id", "scope", where="closed_at IS NULL", unique=True),
    )

    consent_id: Mapped[str] = mapped_column(primary_key=True, doc="the period; drafts, releases and recalls name it")
    user_id: Mapped[str] = mapped_column(doc="the customer")
    scope: Mapped[str] = mapped_column(doc="education or partner_offers")
    ordinal: Mapped[int] = mapped_column(doc="the customer's periods in this scope, counted from 1")
    granted_at: Mapped[dt.datetime | None] = mapped_column(doc="when the customer agreed; null: the source did not say")
    opened_at: Mapped[dt.datetime] = mapped_column(doc="when this database learned of it")
    renewed_at: Mapped[dt.datetime | None] = mapped_column(doc="last grant while it was live; null: none")
    closed_at: Mapped[dt.datetime | None] = mapped_column(doc="when it was revoked; null: live")


class ConsentEvent(Chained):
    """What happened to a consent period: opened, renewed, closed; by whom, through which channel, on which text."""

    __tablename__ = "consent_events"
    audited = Audited(
        "consent",
        "consent_id",
        "consent_id user_id scope action granted_at text_version channel source actor reason recorded_at",
        "scope action text_version channel",
    )
    __table_args__ = (one_of("action", ("opened", "renewed", "closed")),)

    seq: Mapped[int] = sequence()
    consent_id: Mapped[str] = mapped_column(ForeignKey(ConsentPeriod.consent_id), index=True)
    user_id: Mapped[str] = mapped_column(index=True)
    scope: Mapped[str]
    action: Mapped[str]
    granted_at: Mapped[dt.datetime | None]
    text_version: Mapped[str | None]
    channel: Mapped[str]
    source: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str | None]
    recorded_at: Mapped[dt.datetime]


class ConsentText(Chained):
    """The words of one version of a consent; ``ConsentEvent.text_version`` names it. A version never changes."""

    __tablename__ = "consent_texts"
    audited = Audited("consent_text", "version", "version content digest registered_at", "version digest")

    version: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[str]
    digest: Mapped[str]
    registered_at: Mapped[dt.datetime]


class TopicChoice(Chained):
    """A customer's word on one topic: ``wanted`` or ``declined``; the last one counts, and without one it is wanted."""

    __tablename__ = "topic_choices"
    audited = Audited(
        "topic", "choice_id", "choice_id user_id topic choice actor source channel recorded_at", "channel"
    )
    __table_args__ = (one_of("choice", ("wanted", "declined")), Index(None, "user_id", "topic", "seq"))

    choice_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str]
    topic: Mapped[str]
    choice: Mapped[str]
    actor: Mapped[str]
    source: Mapped[str]
    channel: Mapped[str]
    recorded_at: Mapped[dt.datetime]


class Recommendation(Base):
    """A draft registered for review, and what became of it.

    ``original_hash`` names the pipeline's own text, ``content_hash`` the text that stands now; ``decision_id`` the
    decision that stands (no foreign key: decisions point here, and a release points at both). ``released_at``
    repeats the release row so that the gate finds what is still open through an index. ``template_id`` and
    ``template_hash`` name the wording that the pipeline's text was rendered from.
    """

    __tablename__ = "recommendations"
    __table_args__ = (
        UniqueConstraint("recommendation_id", "consent_id"),
        one_of("status", STATUSES),
        one_of("content_type", tuple(SCOPE_OF)),
        CheckConstraint(
            "status NOT IN ('approved', 'overridden', 'rejected') OR decision_id IS NOT NULL", name="decided"
        ),
        CheckConstraint("released_at IS NULL OR status IN ('approved', 'overridden')", name="released"),
        CheckConstraint("NOT (ghost AND released_at IS NOT NULL)", name="ghost"),
        Index(None, "status", "released_at", "expires_at"),
        Index(None, "user_id", "status"),
        Index(None, "template_id", "template_hash", "status"),
        Index(None, "consent_id"),
        # PostgreSQL multiplies the shares of columns that go together, takes what may go out for much, and reads the
        # whole table for the gate; the size of this index tells it better.
        partial(
            "ix_recommendations_decided",
            "status",
            "expires_at",
            where="released_at IS NULL AND status IN ('approved', 'overridden')",
        ),
        partial("ix_recommendations_offers", "product_id", where="product_id IS NOT NULL AND released_at IS NOT NULL"),
        # Only texts that a language model wrote have a time; where the library writes, this index is empty.
        partial("ix_recommendations_latency", "template_id", "generation_ms", where="generation_ms IS NOT NULL"),
    )

    recommendation_id: Mapped[str] = mapped_column(primary_key=True, doc="the draft")
    user_id: Mapped[str] = mapped_column(doc="for whom")
    as_of: Mapped[dt.date] = mapped_column(doc="day of its figures")
    window_days: Mapped[int] = mapped_column(doc="window of the persona it follows; days")
    persona: Mapped[str] = mapped_column(doc="persona it follows")
    content_type: Mapped[str] = mapped_column(doc="education or partner_offer")
    template_id: Mapped[str] = mapped_column(doc="piece or offer form of the pipeline's text")
    template_hash: Mapped[str] = mapped_column(server_default=text("''"), doc="of that wording")
    situation: Mapped[str] = mapped_column(doc="persona and banded facts")
    product_id: Mapped[str | None] = mapped_column(doc="product of an offer; null: education")
    generator: Mapped[str] = mapped_column(doc="library or openai")
    model: Mapped[str | None] = mapped_column(doc="model that wrote the template; null: the library")
    prompt_version: Mapped[str] = mapped_column(doc="version of the prompt, piece or offer form")
    generation_ms: Mapped[float | None] = mapped_column(doc="time the template took; ms; null: library")
    consent_id: Mapped[str] = mapped_column(
        ForeignKey(ConsentPeriod.consent_id), doc="consent period it was made under"
    )
    original_hash: Mapped[str] = mapped_column(doc="the pipeline's own text")
    content_hash: Mapped[str] = mapped_column(doc="the text that stands now; decisions bind to it")
    run_id: Mapped[str | None] = mapped_column(doc="Dagster run that registered it; null: none")
    registered_at: Mapped[dt.datetime] = mapped_column(doc="when it entered the queue")
    first_registered_at: Mapped[dt.datetime] = mapped_column(
        doc="when it, or the draft whose place it took, entered first; its age counts from here"
    )
    expires_at: Mapped[dt.datetime] = mapped_column(doc="after this it is not released")
    status: Mapped[str] = mapped_column(
        doc="pending_approval, approved, overridden, rejected, superseded, expired or voided"
    )
    status_at: Mapped[dt.datetime] = mapped_column(doc="since when")
    superseded_by: Mapped[str | None] = mapped_column(doc="draft that took its place; null: none")
    decision_id: Mapped[str | None] = mapped_column(doc="the decision that stands; null: none")
    released_at: Mapped[dt.datetime | None] = mapped_column(doc="when it was released; null: not released")
    insight: Mapped[str | None] = mapped_column(doc="the insight it tells; null: a persona's piece, or an offer")
    insight_id: Mapped[str | None] = mapped_column(doc="its happening, told once; null: as insight")
    ghost: Mapped[bool] = mapped_column(
        server_default=false(), doc="withheld by an experiment: reviewed like any other, never released"
    )


class DraftEvent(Chained):
    """What happened to a draft outside of decisions and releases, which have rows of their own.

    ``registered`` and ``rewritten`` give it owner, consent, text and expiry; ``judged`` is the guardrails' word on one
    of its texts; ``superseded``, ``expired`` and ``voided`` close it. ``evidence`` is the SHA-256 of the text's row
    (``draft_events.evidence``), null where the event is about no text; ``origin`` that of what else is fixed of the
    draft (``present.ORIGIN``), null where the event does not give it or is from before schema 0012.
    """

    __tablename__ = "draft_events"
    audited = Audited(
        "draft",
        "recommendation_id",
        "recommendation_id action user_id consent_id as_of template_id template_hash content_hash evidence expires_at "
        "superseded_by run_id recorded_at",
        "action run_id",
        "origin",
    )
    __table_args__ = (
        one_of("action", ("registered", "rewritten", "judged", "superseded", "expired", "voided")),
        Index(None, "recommendation_id", "seq"),
    )

    seq: Mapped[int] = sequence()
    recommendation_id: Mapped[str] = mapped_column(ForeignKey(Recommendation.recommendation_id))
    action: Mapped[str]
    user_id: Mapped[str]
    consent_id: Mapped[str]
    as_of: Mapped[dt.date]
    template_id: Mapped[str]
    template_hash: Mapped[str]
    content_hash: Mapped[str]
    evidence: Mapped[str | None]
    expires_at: Mapped[dt.datetime]
    superseded_by: Mapped[str | None]
    run_id: Mapped[str | None]
    recorded_at: Mapped[dt.datetime]
    origin: Mapped[str | None]


class RecommendationText(Base):
    """One text of a recommendation with the evidence it was written from; never changed, only joined by others.

    ``severity`` sums up the findings: 0 none, 1 notable, 2 critical. ``author`` is the operator who wrote it, null
    for the pipeline.
    """

    __tablename__ = "recommendation_texts"
    __table_args__ = (CheckConstraint("severity BETWEEN 0 AND 2", name="severity"),)

    recommendation_id: Mapped[str] = mapped_column(ForeignKey(Recommendation.recommendation_id), primary_key=True)
    content_hash: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    content: Mapped[str]
    rationale: Mapped[str]
    findings: Mapped[str]
    severity: Mapped[int]
    slots: Mapped[str]
    reasons: Mapped[str]
    signals: Mapped[str | None]
    author: Mapped[str | None] = mapped_column(ForeignKey(Operator.operator_id))
    written_at: Mapped[dt.datetime]


class Decision(Chained):
    """An operator's word on one exact text."""

    __tablename__ = "decisions"
    audited = Audited(
        "decision",
        "decision_id",
        "decision_id recommendation_id ordinal action operator_id content_hash reason made run_id decided_at",
        "action operator_id made run_id known_by",
        "known_by",
    )
    __table_args__ = (
        UniqueConstraint("recommendation_id", "ordinal"),
        UniqueConstraint("decision_id", "recommendation_id", "content_hash"),
        ForeignKeyConstraint(
            ["recommendation_id", "content_hash"],
            [RecommendationText.recommendation_id, RecommendationText.content_hash],
        ),
        one_of("action", ("approve", "reject", "override", "undo")),
        one_of("made", ("individual", "template", "bulk", "standing")),
        one_of("known_by", KNOWN_BY),
    )

    decision_id: Mapped[str] = mapped_column(primary_key=True, doc="the decision")
    recommendation_id: Mapped[str] = mapped_column(doc="what was decided about")
    ordinal: Mapped[int] = mapped_column(doc="the decisions about it, counted from 1; the last one stands")
    action: Mapped[str] = mapped_column(doc="approve, reject, override or undo")
    operator_id: Mapped[str] = mapped_column(ForeignKey(Operator.operator_id), doc="who decided")
    content_hash: Mapped[str] = mapped_column(doc="the exact text decided about; of an override, the new one")
    reason: Mapped[str | None] = mapped_column(doc="why, or an approval's note; null: none given")
    made: Mapped[str] = mapped_column(doc="individual, template, bulk or standing")
    run_id: Mapped[str | None] = mapped_column(doc="Dagster run it came with; null: the command line")
    decided_at: Mapped[dt.datetime] = mapped_column(doc="when")
    known_by: Mapped[str] = mapped_column(
        server_default="trusted_local", doc="how the operator was known: login, token or trusted_local"
    )


class TemplateDecision(Chained):
    """An operator's word on a wording, once for all the drafts that waited with it; each of them has its ``Decision``.

    ``sample_id`` is the draft that the operator had opened, null once its customer was erased; ``approved`` counts the
    drafts that this approved.
    """

    __tablename__ = "template_decisions"
    audited = Audited(
        "template_decision",
        "template_id",
        "template_id template_hash ordinal operator_id approved run_id decided_at",  # sample_id goes with its customer
        "template_id template_hash operator_id approved",
    )

    template_id: Mapped[str] = mapped_column(primary_key=True)
    template_hash: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    operator_id: Mapped[str] = mapped_column(ForeignKey(Operator.operator_id))
    sample_id: Mapped[str | None] = mapped_column(ForeignKey(Recommendation.recommendation_id), index=True)
    approved: Mapped[int]
    run_id: Mapped[str | None]
    decided_at: Mapped[dt.datetime]


class StandingApproval(Chained):
    """An operator's word on a wording for later drafts too, until a moment.

    ``bounds`` is JSON, slot → {lowest, highest} of the figures that were seen, or {values} of the names;
    ``read_percent`` of the drafts are read one by one all the same. It ends at ``until``, or when somebody ends it.
    """

    __tablename__ = "standing_approvals"
    audited = Audited(
        "standing",
        "standing_id",
        "standing_id template_id template_hash operator_id until read_percent bounds known_by given_at",
        "template_id template_hash operator_id known_by",
    )
    __table_args__ = (
        CheckConstraint("read_percent BETWEEN 1 AND 100", name="read_percent"),
        Index(None, "template_id", "template_hash"),
    )

    standing_id: Mapped[str] = mapped_column(primary_key=True)
    template_id: Mapped[str]
    template_hash: Mapped[str]
    operator_id: Mapped[str] = mapped_column(ForeignKey(Operator.operator_id))
    until: Mapped[dt.datetime]
    read_percent: Mapped[int]
    bounds: Mapped[str]
    known_by: Mapped[str]
    given_at: Mapped[dt.datetime]
    ended_at: Mapped[dt.datetime | None]
    ended_by: Mapped[str | None]


class Release(Chained):
    """A text made available. Its keys bind it to its own consent period and to the decision on its exact text.

    ``consent_days`` is the limit to a consent's life that was in force, 0 for none: a later change of the setting must
    not make an old release look wrong.
    """

    __tablename__ = "releases"
    audited = Audited(
        "release",
        "release_id",
        "release_id recommendation_id consent_id decision_id content_hash run_id released_at",
        "run_id consent_days",
        "consent_days expires_at",
    )
    __table_args__ = (
        ForeignKeyConstraint(
            ["recommendation_id", "consent_id"], [Recommendation.recommendation_id, Recommendation.consent_id]
        ),
        ForeignKeyConstraint(
            ["decision_id", "recommendation_id", "content_hash"],
            [Decision.decision_id, Decision.recommendation_id, Decision.content_hash],
        ),
        partial("ix_releases_standing", "expires_at", where="ended_at IS NULL"),
    )

    release_id: Mapped[str] = mapped_column(primary_key=True, doc="the release")
    recommendation_id: Mapped[str] = mapped_column(unique=True, doc="what was made available, once")
    consent_id: Mapped[str] = mapped_column(
        ForeignKey(ConsentPeriod.consent_id), index=True, doc="the live consent period that allowed it"
    )
    decision_id: Mapped[str] = mapped_column(doc="the standing decision that allowed it")
    content_hash: Mapped[str] = mapped_column(doc="the exact text")
    consent_days: Mapped[int] = mapped_column(
        server_default="0", doc="limit to a consent's life in force then, 0 for none; days"
    )
    run_id: Mapped[str | None] = mapped_column(doc="Dagster run of the gate; null: none")
    released_at: Mapped[dt.datetime] = mapped_column(doc="when")
    expires_at: Mapped[dt.datetime | None] = mapped_column(
        doc="when it leaves the feed by itself; null: released before texts had an end"
    )
    ended_at: Mapped[dt.datetime | None] = mapped_column(doc="when it ended, as its recall says; null: it stands")


class RecallOrder(Chained):
    """An admin's word that what was released is taken back: one text, a wording, a product, an operator's decisions.

    ``releases`` counts what was taken back, ``digest`` is the SHA-256 of their ids, one a line, in order.
    ``actor`` is the admin, or ``local`` where nobody was named on a trusted machine.
    """

    __tablename__ = "recall_orders"
    audited = Audited(
        "order",
        "order_id",
        "order_id target subject since actor reason releases digest ordered_at",
        "target actor releases",
    )
    __table_args__ = (one_of("target", RECALL_TARGETS),)

    order_id: Mapped[str] = mapped_column(primary_key=True)
    target: Mapped[str]
    subject: Mapped[str]
    since: Mapped[dt.datetime | None]
    actor: Mapped[str]
    reason: Mapped[str]
    releases: Mapped[int]
    digest: Mapped[str]
    ordered_at: Mapped[dt.datetime]


class Recall(Chained):
    """The end of a release, by its cause.

    ``revoked``, ``lapsed`` or ``erased``: its consent period ended. ``expired``: its time was over. ``replaced``: a
    newer text of the same piece went out. ``product_withdrawn``: its product is not offered any more.
    ``topic_declined``: the customer wants nothing of that topic. ``recalled``: an admin took it back by ``order_id``.
    """

    __tablename__ = "recalls"
    audited = Audited("recall", "release_id", "release_id recommendation_id cause recalled_at", "cause", "order_id")

    release_id: Mapped[str] = mapped_column(ForeignKey(Release.release_id), primary_key=True)
    recommendation_id: Mapped[str]
    cause: Mapped[str]
    recalled_at: Mapped[dt.datetime]
    order_id: Mapped[str | None] = mapped_column(ForeignKey(RecallOrder.order_id))


class FeedbackEvent(Base):
    """What came back about a release: an app reports it once under an id of its own.

    ``occurred_at`` is the app's clock, ``received_at`` ours.
    """

    __tablename__ = "feedback_events"
    __table_args__ = (
        one_of("kind", EVENTS),
        Index(None, "user_id", "kind"),
        Index(None, "release_id"),
        Index(None, "received_at"),
    )

    event_id: Mapped[str] = mapped_column(primary_key=True)
    release_id: Mapped[str] = mapped_column(ForeignKey(Release.release_id))
    user_id: Mapped[str]
    kind: Mapped[str]
    note: Mapped[str | None]
    source: Mapped[str]
    occurred_at: Mapped[dt.datetime]
    received_at: Mapped[dt.datetime]


class WordingHold(Base):
    """A wording that a customer found wrong: none of its texts goes out or stays visible until an operator looked."""

    __tablename__ = "wording_holds"
    __table_args__ = (
        partial("uq_wording_holds_one_open", "template_id", "template_hash", where="cleared_at IS NULL", unique=True),
    )

    hold_id: Mapped[str] = mapped_column(primary_key=True)
    template_id: Mapped[str]
    template_hash: Mapped[str]
    cause: Mapped[str]
    recommendation_id: Mapped[str | None] = mapped_column(ForeignKey(Recommendation.recommendation_id), index=True)
    opened_at: Mapped[dt.datetime]
    cleared_at: Mapped[dt.datetime | None]
    cleared_by: Mapped[str | None] = mapped_column(ForeignKey(Operator.operator_id))
    note: Mapped[str | None]


class WebhookDelivery(Base):
    """One message to one address: the link of the audit chain that it tells of is its number."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (one_of("state", DELIVERY_STATES), Index(None, "state", "next_at"))

    address: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = sequence()
    state: Mapped[str]
    attempts: Mapped[int]
    next_at: Mapped[dt.datetime]
    error: Mapped[str | None]


class WebhookCursor(Base):
    """How far in the audit chain an address was told; it hears of what comes after it was first seen."""

    __tablename__ = "webhook_cursors"

    address: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)


class Viewing(Base):
    """The text that an operator was last shown; ``operator_id`` is empty where ``show`` was not told who looks."""

    __tablename__ = "viewings"
    __table_args__ = (
        ForeignKeyConstraint(
            ["recommendation_id", "content_hash"],
            [RecommendationText.recommendation_id, RecommendationText.content_hash],
        ),
    )

    recommendation_id: Mapped[str] = mapped_column(primary_key=True)
    operator_id: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[str]
    viewed_at: Mapped[dt.datetime]


class Slate(Base):
    """The newest day that was registered for a customer, whether or not anything new came of it, and when first."""

    __tablename__ = "slates"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    as_of: Mapped[dt.date]
    registered_at: Mapped[dt.datetime]


class Erasure(Chained):
    """What was known of one customer left the database; ``links`` lists the places in the chain whose rows went."""

    __tablename__ = "erasures"
    audited = Audited("erasure", "erasure_id", "erasure_id operator_id reason links erased_at", "operator_id links")

    erasure_id: Mapped[str] = mapped_column(primary_key=True)
    operator_id: Mapped[str] = mapped_column(ForeignKey(Operator.operator_id))
    reason: Mapped[str]
    links: Mapped[str]
    erased_at: Mapped[dt.datetime]


class Tombstone(Chained):
    """A customer or account that was erased, so that a file delivered again does not bring it back.

    ``digest`` is ``tombstones.digest`` under ``salt``, which is one for all; ``owner`` is the digest of the
    account's customer; ``erasure_id`` is null while the erasure is under way.
    """

    __tablename__ = "tombstones"
    audited = Audited("tombstone", "digest", "digest kind owner salt recorded_at", "kind")  # erasure_id comes last
    __table_args__ = (one_of("kind", ("user", "account")),)

    digest: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    owner: Mapped[str]
    salt: Mapped[str]
    recorded_at: Mapped[dt.datetime]
    erasure_id: Mapped[str | None] = mapped_column(ForeignKey(Erasure.erasure_id))


class Hold(Chained):
    """A legal hold: nothing of the customer is erased until it is lifted."""

    __tablename__ = "holds"
    audited = Audited("hold", "hold_id", "hold_id user_id operator_id reason placed_at", "operator_id")

    hold_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(index=True)
    operator_id: Mapped[str] = mapped_column(ForeignKey(Operator.operator_id))
    reason: Mapped[str]
    placed_at: Mapped[dt.datetime]


class HoldLift(Chained):
    """The end of a legal hold: by whom and why."""

    __tablename__ = "hold_lifts"
    audited = Audited("hold_lift", "hold_id", "hold_id user_id operator_id reason lifted_at", "operator_id")

    hold_id: Mapped[str] = mapped_column(ForeignKey(Hold.hold_id), primary_key=True)
    user_id: Mapped[str] = mapped_column(index=True)
    operator_id: Mapped[str] = mapped_column(ForeignKey(Operator.operator_id))
    reason: Mapped[str]
    lifted_at: Mapped[dt.datetime]


class ErasureRequest(Base):
    """An erasure that waits until the customer's last legal hold is lifted."""

    __tablename__ = "erasure_requests"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    operator_id: Mapped[str] = mapped_column(ForeignKey(Operator.operator_id))
    reason: Mapped[str]
    requested_at: Mapped[dt.datetime]


class ModelGeneration(Base):
    """What a language model was asked about one situation in one run, what that took, and what was wrong.

    ``fingerprint`` is of all that shapes the text; the written row of a fingerprint that was added last is used. Token
    counts are the server's own; ``cost`` is in US dollars, null where the model's prices are not known.
    """

    __tablename__ = "model_generations"
    __table_args__ = (one_of("outcome", ("written", "failed")), Index(None, "fingerprint", "outcome"))

    generation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    fingerprint: Mapped[str]
    situation: Mapped[str]
    persona: Mapped[str]
    prompt_version: Mapped[str]
    model: Mapped[str]
    outcome: Mapped[str]
    problems: Mapped[str]
    requests: Mapped[int]
    tokens_sent: Mapped[int]
    tokens_received: Mapped[int]
    cost: Mapped[float | None]
    latency_ms: Mapped[float]
    asked_at: Mapped[dt.datetime]
    run_id: Mapped[str | None]


class ModelTemplate(Base):
    """One piece that the model wrote and that passed; ``facts`` and ``slots`` are JSON lists."""

    __tablename__ = "model_templates"

    generation_id: Mapped[int] = mapped_column(ForeignKey(ModelGeneration.generation_id), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    topic: Mapped[str]
    title: Mapped[str]
    content: Mapped[str]
    facts: Mapped[str]
    slots: Mapped[str]
    template_hash: Mapped[str]


class Experiment(Chained):
    """An experiment as it stood when its first customer was assigned; ``definition`` is its canonical JSON.

    ``salt`` is behind the pseudonyms of its customers. Its end is a row of ``ExperimentEnd``.
    """

    __tablename__ = "experiments"
    audited = Audited(
        "experiment", "name", "name definition definition_hash insight salt registered_at", "name definition_hash"
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    definition: Mapped[str]
    definition_hash: Mapped[str] = mapped_column(unique=True)
    insight: Mapped[str | None]
    salt: Mapped[str]
    registered_at: Mapped[dt.datetime]


class ExperimentEnd(Chained):
    """An experiment was ended before its time, by whom and why; nothing is withheld or worded by it any more."""

    __tablename__ = "experiment_ends"
    audited = Audited("experiment_end", "name", "name operator_id reason ended_at", "name operator_id")

    name: Mapped[str] = mapped_column(ForeignKey(Experiment.name), primary_key=True)
    operator_id: Mapped[str] = mapped_column(ForeignKey(Operator.operator_id))
    reason: Mapped[str]
    ended_at: Mapped[dt.datetime]


class Assignment(Chained):
    """The arm of one customer in one experiment, for good. ``ordinal`` is the place in the stratum, counted from 0,
    from which the arm can be recomputed. ``shows`` is what it sees: ``nothing``, one ``template``, or the ``usual``;
    ``until`` ends what the arm does to drafts and releases."""

    __tablename__ = "assignments"
    audited = Audited(
        "assignment",
        "assignment_id",
        "assignment_id experiment user_id arm stratum ordinal shows template_id as_of assigned_at until",
        "experiment",
    )
    __table_args__ = (
        UniqueConstraint("experiment", "user_id"),
        UniqueConstraint("experiment", "stratum", "ordinal"),
        CheckConstraint("ordinal >= 0", name="ordinal"),
        one_of("shows", ("nothing", "usual", "template")),
        CheckConstraint("(shows = 'template') = (template_id IS NOT NULL)", name="template"),
        Index(None, "user_id"),
    )

    assignment_id: Mapped[str] = mapped_column(primary_key=True, doc="name of the assignment")
    experiment: Mapped[str] = mapped_column(ForeignKey(Experiment.name), doc="name of the experiment")
    user_id: Mapped[str] = mapped_column(doc="the customer")
    arm: Mapped[str] = mapped_column(doc="arm of the experiment, for good")
    stratum: Mapped[str] = mapped_column(doc="persona and third of the baseline within which arms are dealt")
    ordinal: Mapped[int] = mapped_column(doc="place in the stratum, from 0")
    shows: Mapped[str] = mapped_column(doc="what the arm sees: nothing, the usual, or one template")
    template_id: Mapped[str | None] = mapped_column(doc="that template; null: the arm sees none in particular")
    as_of: Mapped[dt.date] = mapped_column(doc="date that was drafted when the arm was dealt")
    assigned_at: Mapped[dt.datetime] = mapped_column(doc="when it was dealt")
    until: Mapped[dt.datetime] = mapped_column(doc="when what the arm does to drafts and releases ends")


class Ghost(Chained):
    """A draft that an experiment withholds: its release is refused for ever."""

    __tablename__ = "ghosts"
    audited = Audited("ghost", "recommendation_id", "recommendation_id assignment_id marked_at", "")

    recommendation_id: Mapped[str] = mapped_column(ForeignKey(Recommendation.recommendation_id), primary_key=True)
    assignment_id: Mapped[str] = mapped_column(ForeignKey(Assignment.assignment_id), index=True)
    marked_at: Mapped[dt.datetime]


class EvaluationRun(Chained):
    """An evaluation with the head of the audit chain at that moment, so that a cut-off tail shows later.

    ``name`` and ``details`` (JSON) are its caller's, given after it was made; null where nobody named it.
    """

    __tablename__ = "evaluation_runs"
    audited = Audited(
        "evaluation",
        "evaluation_id",
        "evaluation_id as_of evaluated_at run_id metrics audit_count audit_hash",
        "as_of audit_count audit_hash",  # the name comes later
    )

    evaluation_id: Mapped[str] = mapped_column(primary_key=True)
    as_of: Mapped[dt.date]
    evaluated_at: Mapped[dt.datetime]
    run_id: Mapped[str | None]
    metrics: Mapped[str]
    audit_count: Mapped[int] = mapped_column(BigInteger)
    audit_hash: Mapped[str]
    name: Mapped[str | None] = mapped_column(unique=True)
    details: Mapped[str | None]


class RowState(Chained):
    """What a row was from then on whose table is not added to alone (``present.STATES``): a token, a held wording.

    ``digest`` is the SHA-256 of the row's columns, null where the row went; ``user_id`` is the customer's whose it is.
    """

    __tablename__ = "row_states"
    audited = Audited("state", "row_key", "table_name row_key user_id digest recorded_at", "table_name")
    __table_args__ = (Index(None, "table_name", "row_key", "seq"), Index(None, "user_id"))

    seq: Mapped[int] = sequence()
    table_name: Mapped[str]
    row_key: Mapped[str]
    user_id: Mapped[str | None]
    digest: Mapped[str | None]
    recorded_at: Mapped[dt.datetime]


class AuditEntry(Base):
    """One link of the chain. ``payload`` holds nothing personal; ``commitment`` is salted and covers the whole row.

    After an erasure ``salt`` and ``subject_id`` are null, and nobody can tell any more what was committed to.
    """

    __tablename__ = "audit_chain"
    __table_args__ = (one_of("kind", (table.audited.kind for table in Chained.__subclasses__())),)

    seq: Mapped[int] = sequence()
    kind: Mapped[str]
    subject_id: Mapped[str | None]
    recorded_at: Mapped[dt.datetime]
    payload: Mapped[str]
    salt: Mapped[str | None]
    commitment: Mapped[str]
    previous_hash: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)


class AuditHead(Base):
    """The single row that every writer locks first: length and last hash of the chain."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("head_id = 1", name="single"),)

    head_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str]
