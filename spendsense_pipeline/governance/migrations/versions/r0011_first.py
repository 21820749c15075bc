# ruff: noqa: E501 - as Alembic writes it
"""The tables as schema 0011 had them.

It keeps the name of the last of eleven steps that it replaced, so that a database which went through them all is at it
already.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = None


def upgrade() -> None:
    """Create all tables and the one row that writers lock. Forward only: no way back keeps every record."""
    op.create_table(
        "audit_chain",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=True),
        sa.Column("commitment", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('operator', 'policy', 'consent', 'consent_text', 'topic', 'draft', 'decision', 'template_decision', 'standing', 'release', 'order', 'recall', 'erasure', 'tombstone', 'hold', 'hold_lift', 'experiment', 'experiment_end', 'assignment', 'ghost', 'evaluation')",
            name=op.f("ck_audit_chain_kind"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_chain")),
        sa.UniqueConstraint("hash", name=op.f("uq_audit_chain_hash")),
    )
    op.create_table(
        "audit_head",
        sa.Column("head_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.CheckConstraint("head_id = 1", name=op.f("ck_audit_head_single")),
        sa.PrimaryKeyConstraint("head_id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "batches",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("arrival", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_batches")),
        sa.UniqueConstraint("arrival", name=op.f("uq_batches_arrival")),
    )
    op.create_table(
        "consent_periods",
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("scope IN ('education', 'partner_offers')", name=op.f("ck_consent_periods_scope")),
        sa.PrimaryKeyConstraint("consent_id", name=op.f("pk_consent_periods")),
        sa.UniqueConstraint("user_id", "scope", "ordinal", name=op.f("uq_consent_periods_user_id_scope_ordinal")),
    )
    op.create_index(
        "uq_consent_periods_one_live",
        "consent_periods",
        ["user_id", "scope"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "consent_texts",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_consent_texts")),
        sa.UniqueConstraint("seq", name=op.f("uq_consent_texts_seq")),
    )
    op.create_table(
        "evaluation_runs",
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("audit_count", sa.BigInteger(), nullable=False),
        sa.Column("audit_hash", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("details", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", name=op.f("pk_evaluation_runs")),
        sa.UniqueConstraint("name", name=op.f("uq_evaluation_runs_name")),
        sa.UniqueConstraint("seq", name=op.f("uq_evaluation_runs_seq")),
    )
    op.create_table(
        "experiments",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("definition_hash", sa.Text(), nullable=False),
        sa.Column("insight", sa.Text(), nullable=True),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_experiments")),
        sa.UniqueConstraint("definition_hash", name=op.f("uq_experiments_definition_hash")),
        sa.UniqueConstraint("seq", name=op.f("uq_experiments_seq")),
    )
    op.create_table(
        "logins",
        sa.Column("login_id", sa.Integer(), nullable=False),
        sa.Column("name_digest", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=True),
        sa.Column("means", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=True),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("login_id", name=op.f("pk_logins")),
        sa.UniqueConstraint("nonce", name=op.f("uq_logins_nonce")),
    )
    op.create_index(op.f("ix_logins_name_digest_attempted_at"), "logins", ["name_digest", "attempted_at"], unique=False)
    op.create_table(
        "model_generations",
        sa.Column("generation_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("situation", sa.Text(), nullable=False),
        sa.Column("persona", sa.Text(), nullable=False),
        sa.Column("prompt_version", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("problems", sa.Text(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("tokens_sent", sa.Integer(), nullable=False),
        sa.Column("tokens_received", sa.Integer(), nullable=False),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.CheckConstraint("outcome IN ('written', 'failed')", name=op.f("ck_model_generations_outcome")),
        sa.PrimaryKeyConstraint("generation_id", name=op.f("pk_model_generations")),
    )
    op.create_index(
        op.f("ix_model_generations_fingerprint_outcome"), "model_generations", ["fingerprint", "outcome"], unique=False
    )
    op.create_table(
        "operators",
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("deactivated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("role", sa.Text(), server_default="operator", nullable=False),
        sa.Column("scopes", sa.Text(), server_default="education partner_offers", nullable=False),
        sa.Column("qualified_until", sa.Date(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("sessions_since", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'auditor', 'admin')", name=op.f("ck_operators_role")),
        sa.PrimaryKeyConstraint("operator_id", name=op.f("pk_operators")),
        sa.UniqueConstraint("subject", name=op.f("uq_operators_subject")),
    )
    op.create_table(
        "policies",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("four_eyes", sa.Boolean(), nullable=False),
        sa.Column("consent_days", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("consent_days >= 0", name=op.f("ck_policies_consent_days")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_policies")),
    )
    op.create_table(
        "recall_orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("releases", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.CheckConstraint(
            "target IN ('recommendation', 'template', 'product', 'operator')", name=op.f("ck_recall_orders_target")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_recall_orders")),
        sa.UniqueConstraint("seq", name=op.f("uq_recall_orders_seq")),
    )
    op.create_table(
        "slates",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_slates")),
    )
    op.create_table(
        "topic_choices",
        sa.Column("choice_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.CheckConstraint("choice IN ('wanted', 'declined')", name=op.f("ck_topic_choices_choice")),
        sa.PrimaryKeyConstraint("choice_id", name=op.f("pk_topic_choices")),
        sa.UniqueConstraint("seq", name=op.f("uq_topic_choices_seq")),
    )
    op.create_index(
        op.f("ix_topic_choices_user_id_topic_seq"), "topic_choices", ["user_id", "topic", "seq"], unique=False
    )
    op.create_table(
        "webhook_cursors",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_webhook_cursors")),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'dead')", name=op.f("ck_webhook_deliveries_state")),
        sa.PrimaryKeyConstraint("address", "seq", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        op.f("ix_webhook_deliveries_state_next_at"), "webhook_deliveries", ["state", "next_at"], unique=False
    )
    op.create_table(
        "access_tokens",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("operator_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name=op.f("fk_access_tokens_operator_id")),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_access_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_access_tokens_digest")),
    )
    op.create_index(op.f("ix_access_tokens_user_id"), "access_tokens", ["user_id"], unique=False)
    op.create_table(
        "assignments",
        sa.Column("assignment_id", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("stratum", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("shows", sa.Text(), nullable=False),
        sa.Column("template_id", sa.Text(), nullable=True),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.CheckConstraint("(shows = 'template') = (template_id IS NOT NULL)", name=op.f("ck_assignments_template")),
        sa.CheckConstraint("shows IN ('nothing', 'usual', 'template')", name=op.f("ck_assignments_shows")),
        sa.CheckConstraint("ordinal >= 0", name=op.f("ck_assignments_ordinal")),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.name"], name=op.f("fk_assignments_experiment")),
        sa.PrimaryKeyConstraint("assignment_id", name=op.f("pk_assignments")),
        sa.UniqueConstraint("experiment", "stratum", "ordinal", name=op.f("uq_assignments_experiment_stratum_ordinal")),
        sa.UniqueConstraint("experiment", "user_id", name=op.f("uq_assignments_experiment_user_id")),
        sa.UniqueConstraint("seq", name=op.f("uq_assignments_seq")),
    )
    op.create_index(op.f("ix_assignments_user_id"), "assignments", ["user_id"], unique=False)
    op.create_table(
        "consent_events",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("text_version", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("action IN ('opened', 'renewed', 'closed')", name=op.f("ck_consent_events_action")),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consent_periods.consent_id"], name=op.f("fk_consent_events_consent_id")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_consent_events")),
    )
    op.create_index(op.f("ix_consent_events_consent_id"), "consent_events", ["consent_id"], unique=False)
    op.create_index(op.f("ix_consent_events_user_id"), "consent_events", ["user_id"], unique=False)
    op.create_table(
        "erasure_requests",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operators.operator_id"], name=op.f("fk_erasure_requests_operator_id")
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_erasure_requests")),
    )
    op.create_table(
        "erasures",
        sa.Column("erasure_id", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("links", sa.Text(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name=op.f("fk_erasures_operator_id")),
        sa.PrimaryKeyConstraint("erasure_id", name=op.f("pk_erasures")),
        sa.UniqueConstraint("seq", name=op.f("uq_erasures_seq")),
    )
    op.create_table(
        "experiment_ends",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["name"], ["experiments.name"], name=op.f("fk_experiment_ends_name")),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operators.operator_id"], name=op.f("fk_experiment_ends_operator_id")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_experiment_ends")),
        sa.UniqueConstraint("seq", name=op.f("uq_experiment_ends_seq")),
    )
    op.create_table(
        "holds",
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name=op.f("fk_holds_operator_id")),
        sa.PrimaryKeyConstraint("hold_id", name=op.f("pk_holds")),
        sa.UniqueConstraint("seq", name=op.f("uq_holds_seq")),
    )
    op.create_index(op.f("ix_holds_user_id"), "holds", ["user_id"], unique=False)
    op.create_table(
        "model_templates",
        sa.Column("generation_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("slots", sa.Text(), nullable=False),
        sa.Column("template_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation_id"], ["model_generations.generation_id"], name=op.f("fk_model_templates_generation_id")
        ),
        sa.PrimaryKeyConstraint("generation_id", "place", name=op.f("pk_model_templates")),
    )
    op.create_table(
        "operator_events",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("qualified_until", sa.Date(), nullable=True),
        sa.Column("credentials", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "action IN ('added', 'changed', 'reactivated', 'deactivated')", name=op.f("ck_operator_events_action")
        ),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operators.operator_id"], name=op.f("fk_operator_events_operator_id")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_operator_events")),
    )
    op.create_index(op.f("ix_operator_events_operator_id"), "operator_events", ["operator_id"], unique=False)
    op.create_table(
        "recommendations",
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("window_days", sa.Integer(), nullable=False),
        sa.Column("persona", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("template_id", sa.Text(), nullable=False),
        sa.Column("template_hash", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("situation", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=True),
        sa.Column("generator", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("prompt_version", sa.Text(), nullable=False),
        sa.Column("generation_ms", sa.Double(), nullable=True),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("original_hash", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("superseded_by", sa.Text(), nullable=True),
        sa.Column("decision_id", sa.Text(), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("insight", sa.Text(), nullable=True),
        sa.Column("insight_id", sa.Text(), nullable=True),
        sa.Column("ghost", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint(
            "content_type IN ('education', 'partner_offer')", name=op.f("ck_recommendations_content_type")
        ),
        sa.CheckConstraint(
            "released_at IS NULL OR status IN ('approved', 'overridden')", name=op.f("ck_recommendations_released")
        ),
        sa.CheckConstraint(
            "status IN ('pending_approval', 'approved', 'overridden', 'rejected', 'superseded', 'expired', 'voided')",
            name=op.f("ck_recommendations_status"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('approved', 'overridden', 'rejected') OR decision_id IS NOT NULL",
            name=op.f("ck_recommendations_decided"),
        ),
        sa.CheckConstraint("NOT (ghost AND released_at IS NOT NULL)", name=op.f("ck_recommendations_ghost")),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consent_periods.consent_id"], name=op.f("fk_recommendations_consent_id")
        ),
        sa.PrimaryKeyConstraint("recommendation_id", name=op.f("pk_recommendations")),
        sa.UniqueConstraint(
            "recommendation_id", "consent_id", name=op.f("uq_recommendations_recommendation_id_consent_id")
        ),
    )
    op.create_index(op.f("ix_recommendations_consent_id"), "recommendations", ["consent_id"], unique=False)
    op.create_index(
        "ix_recommendations_decided",
        "recommendations",
        ["status", "expires_at"],
        unique=False,
        sqlite_where=sa.text("released_at IS NULL AND status IN ('approved', 'overridden')"),
        postgresql_where=sa.text("released_at IS NULL AND status IN ('approved', 'overridden')"),
    )
    op.create_index(
        "ix_recommendations_latency",
        "recommendations",
        ["template_id", "generation_ms"],
        unique=False,
        sqlite_where=sa.text("generation_ms IS NOT NULL"),
        postgresql_where=sa.text("generation_ms IS NOT NULL"),
    )
    op.create_index(
        "ix_recommendations_offers",
        "recommendations",
        ["product_id"],
        unique=False,
        sqlite_where=sa.text("product_id IS NOT NULL AND released_at IS NOT NULL"),
        postgresql_where=sa.text("product_id IS NOT NULL AND released_at IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_recommendations_status_released_at_expires_at"),
        "recommendations",
        ["status", "released_at", "expires_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_recommendations_template_id_template_hash_status"),
        "recommendations",
        ["template_id", "template_hash", "status"],
        unique=False,
    )
    op.create_index(op.f("ix_recommendations_user_id_status"), "recommendations", ["user_id", "status"], unique=False)
    op.create_table(
        "standing_approvals",
        sa.Column("standing_id", sa.Text(), nullable=False),
        sa.Column("template_id", sa.Text(), nullable=False),
        sa.Column("template_hash", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_percent", sa.Integer(), nullable=False),
        sa.Column("bounds", sa.Text(), nullable=False),
        sa.Column("known_by", sa.Text(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.CheckConstraint("read_percent BETWEEN 1 AND 100", name=op.f("ck_standing_approvals_read_percent")),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operators.operator_id"], name=op.f("fk_standing_approvals_operator_id")
        ),
        sa.PrimaryKeyConstraint("standing_id", name=op.f("pk_standing_approvals")),
        sa.UniqueConstraint("seq", name=op.f("uq_standing_approvals_seq")),
    )
    op.create_index(
        op.f("ix_standing_approvals_template_id_template_hash"),
        "standing_approvals",
        ["template_id", "template_hash"],
        unique=False,
    )
    op.create_table(
        "draft_events",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("template_id", sa.Text(), nullable=False),
        sa.Column("template_hash", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("superseded_by", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "action IN ('registered', 'rewritten', 'judged', 'superseded', 'expired', 'voided')",
            name=op.f("ck_draft_events_action"),
        ),
        sa.ForeignKeyConstraint(
            ["recommendation_id"], ["recommendations.recommendation_id"], name=op.f("fk_draft_events_recommendation_id")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_draft_events")),
    )
    op.create_index(
        op.f("ix_draft_events_recommendation_id_seq"), "draft_events", ["recommendation_id", "seq"], unique=False
    )
    op.create_table(
        "ghosts",
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("assignment_id", sa.Text(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.assignment_id"], name=op.f("fk_ghosts_assignment_id")),
        sa.ForeignKeyConstraint(
            ["recommendation_id"], ["recommendations.recommendation_id"], name=op.f("fk_ghosts_recommendation_id")
        ),
        sa.PrimaryKeyConstraint("recommendation_id", name=op.f("pk_ghosts")),
        sa.UniqueConstraint("seq", name=op.f("uq_ghosts_seq")),
    )
    op.create_index(op.f("ix_ghosts_assignment_id"), "ghosts", ["assignment_id"], unique=False)
    op.create_table(
        "hold_lifts",
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["hold_id"], ["holds.hold_id"], name=op.f("fk_hold_lifts_hold_id")),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name=op.f("fk_hold_lifts_operator_id")),
        sa.PrimaryKeyConstraint("hold_id", name=op.f("pk_hold_lifts")),
        sa.UniqueConstraint("seq", name=op.f("uq_hold_lifts_seq")),
    )
    op.create_index(op.f("ix_hold_lifts_user_id"), "hold_lifts", ["user_id"], unique=False)
    op.create_table(
        "recommendation_texts",
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("slots", sa.Text(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("signals", sa.Text(), nullable=True),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("severity BETWEEN 0 AND 2", name=op.f("ck_recommendation_texts_severity")),
        sa.ForeignKeyConstraint(["author"], ["operators.operator_id"], name=op.f("fk_recommendation_texts_author")),
        sa.ForeignKeyConstraint(
            ["recommendation_id"],
            ["recommendations.recommendation_id"],
            name=op.f("fk_recommendation_texts_recommendation_id"),
        ),
        sa.PrimaryKeyConstraint("recommendation_id", "content_hash", name=op.f("pk_recommendation_texts")),
    )
    op.create_table(
        "template_decisions",
        sa.Column("template_id", sa.Text(), nullable=False),
        sa.Column("template_hash", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=True),
        sa.Column("approved", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operators.operator_id"], name=op.f("fk_template_decisions_operator_id")
        ),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["recommendations.recommendation_id"], name=op.f("fk_template_decisions_sample_id")
        ),
        sa.PrimaryKeyConstraint("template_id", "template_hash", "ordinal", name=op.f("pk_template_decisions")),
        sa.UniqueConstraint("seq", name=op.f("uq_template_decisions_seq")),
    )
    op.create_index(op.f("ix_template_decisions_sample_id"), "template_decisions", ["sample_id"], unique=False)
    op.create_table(
        "tombstones",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erasure_id", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.CheckConstraint("kind IN ('user', 'account')", name=op.f("ck_tombstones_kind")),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.erasure_id"], name=op.f("fk_tombstones_erasure_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_tombstones")),
        sa.UniqueConstraint("seq", name=op.f("uq_tombstones_seq")),
    )
    op.create_table(
        "wording_holds",
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("template_id", sa.Text(), nullable=False),
        sa.Column("template_hash", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("recommendation_id", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["cleared_by"], ["operators.operator_id"], name=op.f("fk_wording_holds_cleared_by")),
        sa.ForeignKeyConstraint(
            ["recommendation_id"],
            ["recommendations.recommendation_id"],
            name=op.f("fk_wording_holds_recommendation_id"),
        ),
        sa.PrimaryKeyConstraint("hold_id", name=op.f("pk_wording_holds")),
    )
    op.create_index(op.f("ix_wording_holds_recommendation_id"), "wording_holds", ["recommendation_id"], unique=False)
    op.create_index(
        "uq_wording_holds_one_open",
        "wording_holds",
        ["template_id", "template_hash"],
        unique=True,
        sqlite_where=sa.text("cleared_at IS NULL"),
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("made", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("known_by", sa.Text(), server_default="trusted_local", nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.CheckConstraint("action IN ('approve', 'reject', 'override', 'undo')", name=op.f("ck_decisions_action")),
        sa.CheckConstraint("known_by IN ('login', 'token', 'trusted_local')", name=op.f("ck_decisions_known_by")),
        sa.CheckConstraint("made IN ('individual', 'template', 'bulk', 'standing')", name=op.f("ck_decisions_made")),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name=op.f("fk_decisions_operator_id")),
        sa.ForeignKeyConstraint(
            ["recommendation_id", "content_hash"],
            ["recommendation_texts.recommendation_id", "recommendation_texts.content_hash"],
            name=op.f("fk_decisions_recommendation_id_content_hash"),
        ),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_decisions")),
        sa.UniqueConstraint(
            "decision_id",
            "recommendation_id",
            "content_hash",
            name=op.f("uq_decisions_decision_id_recommendation_id_content_hash"),
        ),
        sa.UniqueConstraint("recommendation_id", "ordinal", name=op.f("uq_decisions_recommendation_id_ordinal")),
        sa.UniqueConstraint("seq", name=op.f("uq_decisions_seq")),
    )
    op.create_table(
        "viewings",
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("viewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["recommendation_id", "content_hash"],
            ["recommendation_texts.recommendation_id", "recommendation_texts.content_hash"],
            name=op.f("fk_viewings_recommendation_id_content_hash"),
        ),
        sa.PrimaryKeyConstraint("recommendation_id", "operator_id", name=op.f("pk_viewings")),
    )
    op.create_table(
        "releases",
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("consent_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consent_periods.consent_id"], name=op.f("fk_releases_consent_id")),
        sa.ForeignKeyConstraint(
            ["decision_id", "recommendation_id", "content_hash"],
            ["decisions.decision_id", "decisions.recommendation_id", "decisions.content_hash"],
            name=op.f("fk_releases_decision_id_recommendation_id_content_hash"),
        ),
        sa.ForeignKeyConstraint(
            ["recommendation_id", "consent_id"],
            ["recommendations.recommendation_id", "recommendations.consent_id"],
            name=op.f("fk_releases_recommendation_id_consent_id"),
        ),
        sa.PrimaryKeyConstraint("release_id", name=op.f("pk_releases")),
        sa.UniqueConstraint("recommendation_id", name=op.f("uq_releases_recommendation_id")),
        sa.UniqueConstraint("seq", name=op.f("uq_releases_seq")),
    )
    op.create_index(op.f("ix_releases_consent_id"), "releases", ["consent_id"], unique=False)
    op.create_index(
        "ix_releases_standing",
        "releases",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "feedback_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('delivered', 'seen', 'opened', 'helpful', 'not_helpful', 'dismissed', 'wrong_figure', 'complaint', 'acted')",
            name=op.f("ck_feedback_events_kind"),
        ),
        sa.ForeignKeyConstraint(["release_id"], ["releases.release_id"], name=op.f("fk_feedback_events_release_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_feedback_events")),
    )
    op.create_index(op.f("ix_feedback_events_received_at"), "feedback_events", ["received_at"], unique=False)
    op.create_index(op.f("ix_feedback_events_release_id"), "feedback_events", ["release_id"], unique=False)
    op.create_index(op.f("ix_feedback_events_user_id_kind"), "feedback_events", ["user_id", "kind"], unique=False)
    op.create_table(
        "recalls",
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("recalled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["recall_orders.order_id"], name=op.f("fk_recalls_order_id")),
        sa.ForeignKeyConstraint(["release_id"], ["releases.release_id"], name=op.f("fk_recalls_release_id")),
        sa.PrimaryKeyConstraint("release_id", name=op.f("pk_recalls")),
        sa.UniqueConstraint("seq", name=op.f("uq_recalls_seq")),
    )
    head = sa.table("audit_head", *map(sa.column, ("head_id", "count", "hash")))
    op.execute(sa.insert(head).values(head_id=1, count=0, hash="0" * 64))
