"""Everything the governance database starts with: the steps 0001 to 0011 in one.

It keeps the last step's name, so that a database which went through them all is at it already.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = None


TEXT, MOMENT = sa.Text(), sa.DateTime(timezone=True)
TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "text": TEXT,
    "moment": MOMENT,
    "day": sa.Date(),
    "int": sa.Integer(),
    "bigint": sa.BigInteger(),
    "float": sa.Double(),
    "bool": sa.Boolean(),
}


def columns(named: str) -> Iterator[sa.Column[Any]]:
    """Columns as words, ``name:type``, of text where no type is said; what ends in ? may be null."""
    for word in named.split():
        name, _, kind = word.rstrip("?").partition(":")
        yield sa.Column(name, TYPES[kind or "text"], nullable=word.endswith("?"))


def one_of(column: str, words: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} IN ({', '.join(map(repr, words.split()))})", name=column)


def seq() -> sa.Column[int]:
    """A row's place in the audit chain."""
    return sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False, unique=True)


def partial_index(name: str, table: str, columns: list[str], condition: str, **options: Any) -> None:
    options |= {f"{dialect}_where": sa.text(condition) for dialect in ("sqlite", "postgresql")}
    op.create_index(name, table, columns, **options)


def upgrade() -> None:
    """Create all tables and the one row that writers lock. Forward only: no way back keeps every record."""
    op.create_table(
        "audit_chain",
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        *columns("kind subject_id? recorded_at:moment payload salt? commitment previous_hash"),
        sa.Column("hash", TEXT, nullable=False, unique=True),
        one_of(
            "kind",
            "consent topic draft decision standing template_decision release recall order erasure tombstone "
            "experiment experiment_end assignment ghost consent_text operator policy evaluation hold "
            "hold_lift",
        ),
    )
    op.create_table(
        "audit_head",
        sa.Column("head_id", sa.Integer(), primary_key=True, autoincrement=False),
        *columns("count:bigint hash"),
        sa.CheckConstraint("head_id = 1", name="single"),
    )
    op.create_table(
        "batches",
        sa.Column("batch_id", TEXT, primary_key=True),
        sa.Column("arrival", sa.Integer(), nullable=False, unique=True),
        *columns("content_hash registered_at:moment source?"),
    )
    op.create_table(
        "consent_periods",
        sa.Column("consent_id", TEXT, primary_key=True),
        *columns("user_id scope ordinal:int granted_at:moment? opened_at:moment renewed_at:moment? closed_at:moment?"),
        one_of("scope", "education partner_offers"),
        sa.UniqueConstraint("user_id", "scope", "ordinal"),
    )
    partial_index(
        "uq_consent_periods_one_live", "consent_periods", ["user_id", "scope"], "closed_at IS NULL", unique=True
    )
    op.create_table(
        "consent_texts",
        sa.Column("version", TEXT, primary_key=True),
        seq(),
        *columns("content digest registered_at:moment"),
    )
    op.create_table(
        "evaluation_runs",
        sa.Column("evaluation_id", TEXT, primary_key=True),
        seq(),
        *columns("as_of:day evaluated_at:moment run_id? metrics audit_count:bigint audit_hash"),
        sa.Column("name", TEXT, nullable=True, unique=True),
        *columns("details?"),
    )
    op.create_table(
        "experiments",
        sa.Column("name", TEXT, primary_key=True),
        seq(),
        *columns("definition"),
        sa.Column("definition_hash", TEXT, nullable=False, unique=True),
        *columns("insight? salt registered_at:moment"),
    )
    op.create_table(
        "logins",
        sa.Column("login_id", sa.Integer(), primary_key=True),
        *columns("name_digest operator_id? means outcome"),
        sa.Column("nonce", TEXT, nullable=True, unique=True),
        *columns("attempted_at:moment"),
    )
    op.create_index("ix_logins_name_digest_attempted_at", "logins", ["name_digest", "attempted_at"])
    op.create_table(
        "model_generations",
        sa.Column("generation_id", sa.Integer(), primary_key=True, autoincrement=False),
        *columns("fingerprint situation persona prompt_version model outcome problems requests:int tokens_sent:int"),
        *columns("tokens_received:int cost:float? latency_ms:float asked_at:moment run_id?"),
        one_of("outcome", "written failed"),
    )
    op.create_index("ix_model_generations_fingerprint_outcome", "model_generations", ["fingerprint", "outcome"])
    op.create_table(
        "operators",
        sa.Column("operator_id", TEXT, primary_key=True),
        *columns("registered_at:moment source deactivated_at:moment?"),
        sa.Column("role", TEXT, nullable=False, server_default="operator"),
        sa.Column("scopes", TEXT, nullable=False, server_default="education partner_offers"),
        *columns("qualified_until:day? password_hash?"),
        sa.Column("subject", TEXT, nullable=True, unique=True),
        *columns("sessions_since:moment?"),
        one_of("role", "viewer operator auditor admin"),
    )
    op.create_table(
        "policies",
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        *columns("four_eyes:bool consent_days:int actor reason recorded_at:moment"),
        sa.CheckConstraint("consent_days >= 0", name="consent_days"),
    )
    op.create_table(
        "recall_orders",
        sa.Column("order_id", TEXT, primary_key=True),
        seq(),
        *columns("target subject since:moment? actor reason releases:int digest ordered_at:moment"),
        one_of("target", "recommendation template product operator"),
    )
    op.create_table(
        "slates",
        sa.Column("user_id", TEXT, primary_key=True),
        *columns("as_of:day registered_at:moment"),
    )
    op.create_table(
        "topic_choices",
        sa.Column("choice_id", TEXT, primary_key=True),
        seq(),
        *columns("user_id topic choice actor source channel recorded_at:moment"),
        one_of("choice", "wanted declined"),
    )
    op.create_index("ix_topic_choices_user_id_topic_seq", "topic_choices", ["user_id", "topic", "seq"])
    op.create_table(
        "webhook_cursors",
        sa.Column("address", TEXT, primary_key=True),
        *columns("seq:bigint"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("address", TEXT, primary_key=True),
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        *columns("state attempts:int next_at:moment error?"),
        one_of("state", "waiting delivered dead"),
    )
    op.create_index("ix_webhook_deliveries_state_next_at", "webhook_deliveries", ["state", "next_at"])
    op.create_table(
        "access_tokens",
        sa.Column("token_id", TEXT, primary_key=True),
        sa.Column("digest", TEXT, nullable=False, unique=True),
        *columns("name scopes"),
        sa.Column("user_id", TEXT, nullable=True, index=True),
        sa.Column("operator_id", TEXT, sa.ForeignKey("operators.operator_id"), nullable=True),
        *columns("created_at:moment created_by expires_at:moment? last_used_at:moment? revoked_at:moment?"),
    )
    op.create_table(
        "assignments",
        sa.Column("assignment_id", TEXT, primary_key=True),
        seq(),
        sa.Column("experiment", TEXT, sa.ForeignKey("experiments.name"), nullable=False),
        sa.Column("user_id", TEXT, nullable=False, index=True),
        *columns("arm stratum ordinal:int shows template_id? as_of:day assigned_at:moment until:moment"),
        sa.CheckConstraint("ordinal >= 0", name="ordinal"),
        one_of("shows", "nothing usual template"),
        sa.CheckConstraint("(shows = 'template') = (template_id IS NOT NULL)", name="template"),
        sa.UniqueConstraint("experiment", "stratum", "ordinal"),
        sa.UniqueConstraint("experiment", "user_id"),
    )
    op.create_table(
        "consent_events",
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("consent_id", TEXT, sa.ForeignKey("consent_periods.consent_id"), nullable=False, index=True),
        sa.Column("user_id", TEXT, nullable=False, index=True),
        *columns("scope action granted_at:moment? text_version? channel source actor reason? recorded_at:moment"),
        one_of("action", "opened renewed closed"),
    )
    op.create_table(
        "erasure_requests",
        sa.Column("user_id", TEXT, primary_key=True),
        sa.Column("operator_id", TEXT, sa.ForeignKey("operators.operator_id"), nullable=False),
        *columns("reason requested_at:moment"),
    )
    op.create_table(
        "erasures",
        sa.Column("erasure_id", TEXT, primary_key=True),
        seq(),
        sa.Column("operator_id", TEXT, sa.ForeignKey("operators.operator_id"), nullable=False),
        *columns("reason links erased_at:moment"),
    )
    op.create_table(
        "experiment_ends",
        sa.Column("name", TEXT, sa.ForeignKey("experiments.name"), primary_key=True),
        seq(),
        sa.Column("operator_id", TEXT, sa.ForeignKey("operators.operator_id"), nullable=False),
        *columns("reason ended_at:moment"),
    )
    op.create_table(
        "holds",
        sa.Column("hold_id", TEXT, primary_key=True),
        seq(),
        sa.Column("user_id", TEXT, nullable=False, index=True),
        sa.Column("operator_id", TEXT, sa.ForeignKey("operators.operator_id"), nullable=False),
        *columns("reason placed_at:moment"),
    )
    op.create_table(
        "model_templates",
        sa.Column("generation_id", sa.Integer(), sa.ForeignKey("model_generations.generation_id"), primary_key=True),
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        *columns("topic title content facts slots template_hash"),
    )
    op.create_table(
        "operator_events",
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("operator_id", TEXT, sa.ForeignKey("operators.operator_id"), nullable=False, index=True),
        *columns("action role scopes qualified_until:day? credentials actor source recorded_at:moment"),
        one_of("action", "added changed reactivated deactivated"),
    )
    op.create_table(
        "recommendations",
        sa.Column("recommendation_id", TEXT, primary_key=True),
        *columns("user_id as_of:day window_days:int persona content_type template_id"),
        sa.Column("template_hash", TEXT, nullable=False, server_default=sa.text("''")),
        *columns("situation product_id? generator model? prompt_version generation_ms:float?"),
        sa.Column("consent_id", TEXT, sa.ForeignKey("consent_periods.consent_id"), nullable=False, index=True),
        *columns("original_hash content_hash run_id? registered_at:moment first_registered_at:moment"),
        *columns("expires_at:moment status status_at:moment superseded_by? decision_id? released_at:moment? insight?"),
        *columns("insight_id?"),
        sa.Column("ghost", sa.Boolean(), nullable=False, server_default=sa.false()),
        one_of("content_type", "education partner_offer"),
        sa.CheckConstraint(
            "status NOT IN ('approved', 'overridden', 'rejected') OR decision_id IS NOT NULL", name="decided"
        ),
        sa.CheckConstraint("NOT (ghost AND released_at IS NOT NULL)", name="ghost"),
        sa.CheckConstraint("released_at IS NULL OR status IN ('approved', 'overridden')", name="released"),
        one_of("status", "pending_approval approved overridden rejected superseded expired voided"),
        sa.UniqueConstraint("recommendation_id", "consent_id"),
    )
    partial_index(
        "ix_recommendations_decided",
        "recommendations",
        ["status", "expires_at"],
        "released_at IS NULL AND status IN ('approved', 'overridden')",
    )
    partial_index(
        "ix_recommendations_latency", "recommendations", ["template_id", "generation_ms"], "generation_ms IS NOT NULL"
    )
    partial_index(
        "ix_recommendations_offers",
        "recommendations",
        ["product_id"],
        "product_id IS NOT NULL AND released_at IS NOT NULL",
    )
    op.create_index(
        "ix_recommendations_status_released_at_expires_at", "recommendations", ["status", "released_at", "expires_at"]
    )
    op.create_index(
        "ix_recommendations_template_id_template_hash_status",
        "recommendations",
        ["template_id", "template_hash", "status"],
    )
    op.create_index("ix_recommendations_user_id_status", "recommendations", ["user_id", "status"])
    op.create_table(
        "standing_approvals",
        sa.Column("standing_id", TEXT, primary_key=True),
        seq(),
        *columns("template_id template_hash"),
        sa.Column("operator_id", TEXT, sa.ForeignKey("operators.operator_id"), nullable=False),
        *columns("until:moment read_percent:int bounds known_by given_at:moment ended_at:moment? ended_by?"),
        sa.CheckConstraint("read_percent BETWEEN 1 AND 100", name="read_percent"),
    )
    op.create_index(
        "ix_standing_approvals_template_id_template_hash", "standing_approvals", ["template_id", "template_hash"]
    )
    op.create_table(
        "draft_events",
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("recommendation_id", TEXT, sa.ForeignKey("recommendations.recommendation_id"), nullable=False),
        *columns("action user_id consent_id as_of:day template_id template_hash content_hash evidence?"),
        *columns("expires_at:moment superseded_by? run_id? recorded_at:moment"),
        one_of("action", "registered rewritten judged superseded expired voided"),
    )
    op.create_index("ix_draft_events_recommendation_id_seq", "draft_events", ["recommendation_id", "seq"])
    op.create_table(
        "ghosts",
        sa.Column("recommendation_id", TEXT, sa.ForeignKey("recommendations.recommendation_id"), primary_key=True),
        seq(),
        sa.Column("assignment_id", TEXT, sa.ForeignKey("assignments.assignment_id"), nullable=False, index=True),
        *columns("marked_at:moment"),
    )
    op.create_table(
        "hold_lifts",
        sa.Column("hold_id", TEXT, sa.ForeignKey("holds.hold_id"), primary_key=True),
        seq(),
        sa.Column("user_id", TEXT, nullable=False, index=True),
        sa.Column("operator_id", TEXT, sa.ForeignKey("operators.operator_id"), nullable=False),
        *columns("reason lifted_at:moment"),
    )
    op.create_table(
        "recommendation_texts",
        sa.Column("recommendation_id", TEXT, sa.ForeignKey("recommendations.recommendation_id"), primary_key=True),
        sa.Column("content_hash", TEXT, primary_key=True),
        *columns("title content rationale findings severity:int slots reasons signals?"),
        sa.Column("author", TEXT, sa.ForeignKey("operators.operator_id"), nullable=True),
        *columns("written_at:moment"),
        sa.CheckConstraint("severity BETWEEN 0 AND 2", name="severity"),
    )
    op.create_table(
        "template_decisions",
        sa.Column("template_id", TEXT, primary_key=True),
        sa.Column("template_hash", TEXT, primary_key=True),
        sa.Column("ordinal", sa.Integer(), primary_key=True, autoincrement=False),
        seq(),
        sa.Column("operator_id", TEXT, sa.ForeignKey("operators.operator_id"), nullable=False),
        sa.Column("sample_id", TEXT, sa.ForeignKey("recommendations.recommendation_id"), nullable=True, index=True),
        *columns("approved:int run_id? decided_at:moment"),
    )
    op.create_table(
        "tombstones",
        sa.Column("digest", TEXT, primary_key=True),
        seq(),
        *columns("kind owner salt recorded_at:moment"),
        sa.Column("erasure_id", TEXT, sa.ForeignKey("erasures.erasure_id"), nullable=True),
        one_of("kind", "user account"),
    )
    op.create_table(
        "wording_holds",
        sa.Column("hold_id", TEXT, primary_key=True),
        *columns("template_id template_hash cause"),
        sa.Column(
            "recommendation_id", TEXT, sa.ForeignKey("recommendations.recommendation_id"), nullable=True, index=True
        ),
        *columns("opened_at:moment cleared_at:moment?"),
        sa.Column("cleared_by", TEXT, sa.ForeignKey("operators.operator_id"), nullable=True),
        *columns("note?"),
    )
    partial_index(
        "uq_wording_holds_one_open",
        "wording_holds",
        ["template_id", "template_hash"],
        "cleared_at IS NULL",
        unique=True,
    )
    op.create_table(
        "decisions",
        sa.Column("decision_id", TEXT, primary_key=True),
        seq(),
        *columns("recommendation_id ordinal:int action"),
        sa.Column("operator_id", TEXT, sa.ForeignKey("operators.operator_id"), nullable=False),
        *columns("content_hash reason? made run_id? decided_at:moment"),
        sa.Column("known_by", TEXT, nullable=False, server_default="trusted_local"),
        one_of("action", "approve reject override undo"),
        one_of("known_by", "login token trusted_local"),
        one_of("made", "individual template bulk standing"),
        sa.ForeignKeyConstraint(
            ["recommendation_id", "content_hash"],
            ["recommendation_texts.recommendation_id", "recommendation_texts.content_hash"],
        ),
        sa.UniqueConstraint("decision_id", "recommendation_id", "content_hash"),
        sa.UniqueConstraint("recommendation_id", "ordinal"),
    )
    op.create_table(
        "viewings",
        sa.Column("recommendation_id", TEXT, primary_key=True),
        sa.Column("operator_id", TEXT, primary_key=True),
        *columns("content_hash viewed_at:moment"),
        sa.ForeignKeyConstraint(
            ["recommendation_id", "content_hash"],
            ["recommendation_texts.recommendation_id", "recommendation_texts.content_hash"],
        ),
    )
    op.create_table(
        "releases",
        sa.Column("release_id", TEXT, primary_key=True),
        seq(),
        sa.Column("recommendation_id", TEXT, nullable=False, unique=True),
        sa.Column("consent_id", TEXT, sa.ForeignKey("consent_periods.consent_id"), nullable=False, index=True),
        *columns("decision_id content_hash"),
        sa.Column("consent_days", sa.Integer(), nullable=False, server_default="0"),
        *columns("run_id? released_at:moment expires_at:moment? ended_at:moment?"),
        sa.ForeignKeyConstraint(
            ["decision_id", "recommendation_id", "content_hash"],
            ["decisions.decision_id", "decisions.recommendation_id", "decisions.content_hash"],
        ),
        sa.ForeignKeyConstraint(
            ["recommendation_id", "consent_id"], ["recommendations.recommendation_id", "recommendations.consent_id"]
        ),
    )
    partial_index("ix_releases_standing", "releases", ["expires_at"], "ended_at IS NULL")
    op.create_table(
        "feedback_events",
        sa.Column("event_id", TEXT, primary_key=True),
        sa.Column("release_id", TEXT, sa.ForeignKey("releases.release_id"), nullable=False, index=True),
        *columns("user_id kind note? source occurred_at:moment"),
        sa.Column("received_at", MOMENT, nullable=False, index=True),
        one_of("kind", "delivered seen opened helpful not_helpful dismissed wrong_figure complaint acted"),
    )
    op.create_index("ix_feedback_events_user_id_kind", "feedback_events", ["user_id", "kind"])
    op.create_table(
        "recalls",
        sa.Column("release_id", TEXT, sa.ForeignKey("releases.release_id"), primary_key=True),
        seq(),
        *columns("recommendation_id cause recalled_at:moment"),
        sa.Column("order_id", TEXT, sa.ForeignKey("recall_orders.order_id"), nullable=True),
    )
    op.execute(
        sa.text("INSERT INTO audit_head (head_id, count, hash) VALUES (1, 0, :start)").bindparams(start="0" * 64)
    )
