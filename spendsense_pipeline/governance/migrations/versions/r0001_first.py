"""Everything the governance database starts with."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
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
        sa.CheckConstraint("kind IN ('consent', 'decision', 'release', 'recall')", name=op.f("ck_audit_chain_kind")),
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
        "evaluation_runs",
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("audit_count", sa.BigInteger(), nullable=False),
        sa.Column("audit_hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", name=op.f("pk_evaluation_runs")),
    )
    op.create_table(
        "operators",
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("deactivated_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("operator_id", name=op.f("pk_operators")),
    )
    op.create_table(
        "slates",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_slates")),
    )
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
    op.create_table(
        "recommendations",
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("window_days", sa.Integer(), nullable=False),
        sa.Column("persona", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("template_id", sa.Text(), nullable=False),
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
        op.f("ix_recommendations_status_released_at_expires_at"),
        "recommendations",
        ["status", "released_at", "expires_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_recommendations_template_id_status"), "recommendations", ["template_id", "status"], unique=False
    )
    op.create_index(op.f("ix_recommendations_user_id_status"), "recommendations", ["user_id", "status"], unique=False)
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
        "decisions",
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("made", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("action IN ('approve', 'reject', 'override', 'undo')", name=op.f("ck_decisions_action")),
        sa.CheckConstraint("made IN ('individual', 'template', 'bulk')", name=op.f("ck_decisions_made")),
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
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
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
    op.create_table(
        "recalls",
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("recalled_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["releases.release_id"], name=op.f("fk_recalls_release_id")),
        sa.PrimaryKeyConstraint("release_id", name=op.f("pk_recalls")),
        sa.UniqueConstraint("seq", name=op.f("uq_recalls_seq")),
    )
    op.execute(
        sa.text("INSERT INTO audit_head (head_id, count, hash) VALUES (1, 0, :start)").bindparams(start="0" * 64)
    )
