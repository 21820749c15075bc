"""The service: people's roles and logins, tokens, topics, standing approvals, how releases end, what comes back."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

LINKS = "kind IN ('consent', 'topic', 'decision', 'standing', 'release', 'recall', 'order', 'erasure')"


def upgrade() -> None:
    """Add them; whoever decided before was an operator for all content, known by the name typed on the machine."""
    op.create_table(
        "logins",
        sa.Column("login_id", sa.Integer(), nullable=False),
        sa.Column("name_digest", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=True),
        sa.Column("means", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=True),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("login_id", name="pk_logins"),
        sa.UniqueConstraint("nonce", name="uq_logins_nonce"),
    )
    op.create_index("ix_logins_name_digest_attempted_at", "logins", ["name_digest", "attempted_at"])
    op.create_table(
        "recall_orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("releases", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "target IN ('recommendation', 'template', 'product', 'operator')", name="ck_recall_orders_target"
        ),
        sa.PrimaryKeyConstraint("order_id", name="pk_recall_orders"),
        sa.UniqueConstraint("seq", name="uq_recall_orders_seq"),
    )
    op.create_table(
        "topic_choices",
        sa.Column("choice_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("choice IN ('wanted', 'declined')", name="ck_topic_choices_choice"),
        sa.PrimaryKeyConstraint("choice_id", name="pk_topic_choices"),
        sa.UniqueConstraint("seq", name="uq_topic_choices_seq"),
    )
    op.create_index("ix_topic_choices_user_id_topic_seq", "topic_choices", ["user_id", "topic", "seq"])
    op.create_table(
        "webhook_cursors",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_webhook_cursors"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'dead')", name="ck_webhook_deliveries_state"),
        sa.PrimaryKeyConstraint("address", "seq", name="pk_webhook_deliveries"),
    )
    op.create_index("ix_webhook_deliveries_state_next_at", "webhook_deliveries", ["state", "next_at"])
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
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name="fk_access_tokens_operator_id"),
        sa.PrimaryKeyConstraint("token_id", name="pk_access_tokens"),
        sa.UniqueConstraint("digest", name="uq_access_tokens_digest"),
    )
    op.create_index("ix_access_tokens_user_id", "access_tokens", ["user_id"])
    op.create_table(
        "standing_approvals",
        sa.Column("standing_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
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
        sa.CheckConstraint("read_percent BETWEEN 1 AND 100", name="ck_standing_approvals_read_percent"),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name="fk_standing_approvals_operator_id"),
        sa.PrimaryKeyConstraint("standing_id", name="pk_standing_approvals"),
        sa.UniqueConstraint("seq", name="uq_standing_approvals_seq"),
    )
    op.create_index(
        "ix_standing_approvals_template_id_template_hash", "standing_approvals", ["template_id", "template_hash"]
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
        sa.ForeignKeyConstraint(["cleared_by"], ["operators.operator_id"], name="fk_wording_holds_cleared_by"),
        sa.ForeignKeyConstraint(
            ["recommendation_id"], ["recommendations.recommendation_id"], name="fk_wording_holds_recommendation_id"
        ),
        sa.PrimaryKeyConstraint("hold_id", name="pk_wording_holds"),
    )
    op.create_index("ix_wording_holds_recommendation_id", "wording_holds", ["recommendation_id"])
    op.create_index(
        "uq_wording_holds_one_open",
        "wording_holds",
        ["template_id", "template_hash"],
        unique=True,
        sqlite_where=sa.text("cleared_at IS NULL"),
        postgresql_where=sa.text("cleared_at IS NULL"),
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
            "kind IN ('delivered', 'seen', 'opened', 'helpful', 'not_helpful', 'dismissed', 'wrong_figure', "
            "'complaint', 'acted')",
            name="ck_feedback_events_kind",
        ),
        sa.ForeignKeyConstraint(["release_id"], ["releases.release_id"], name="fk_feedback_events_release_id"),
        sa.PrimaryKeyConstraint("event_id", name="pk_feedback_events"),
    )
    op.create_index("ix_feedback_events_received_at", "feedback_events", ["received_at"])
    op.create_index("ix_feedback_events_release_id", "feedback_events", ["release_id"])
    op.create_index("ix_feedback_events_user_id_kind", "feedback_events", ["user_id", "kind"])
    with op.batch_alter_table("operators") as operators:
        operators.add_column(sa.Column("role", sa.Text(), nullable=False, server_default="operator"))
        operators.add_column(sa.Column("scopes", sa.Text(), nullable=False, server_default="education partner_offers"))
        operators.add_column(sa.Column("qualified_until", sa.Date(), nullable=True))
        operators.add_column(sa.Column("password_hash", sa.Text(), nullable=True))
        operators.add_column(sa.Column("subject", sa.Text(), nullable=True))
        operators.add_column(sa.Column("sessions_since", sa.DateTime(timezone=True), nullable=True))
        operators.create_unique_constraint(op.f("uq_operators_subject"), ["subject"])
        operators.create_check_constraint(
            op.f("ck_operators_role"), "role IN ('viewer', 'operator', 'auditor', 'admin')"
        )
    with op.batch_alter_table("decisions") as decisions:
        decisions.add_column(sa.Column("known_by", sa.Text(), nullable=False, server_default="trusted_local"))
        decisions.drop_constraint(op.f("ck_decisions_made"), type_="check")
        decisions.create_check_constraint(
            op.f("ck_decisions_made"), "made IN ('individual', 'template', 'bulk', 'standing')"
        )
        decisions.create_check_constraint(
            op.f("ck_decisions_known_by"), "known_by IN ('login', 'token', 'trusted_local')"
        )
    for name in ("expires_at", "ended_at"):
        op.add_column("releases", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE releases SET ended_at = "
        "(SELECT recalled_at FROM recalls WHERE recalls.release_id = releases.release_id)"
    )
    standing, offers = sa.text("ended_at IS NULL"), sa.text("product_id IS NOT NULL AND released_at IS NOT NULL")
    op.create_index(
        "ix_releases_standing", "releases", ["expires_at"], sqlite_where=standing, postgresql_where=standing
    )
    op.create_index(
        "ix_recommendations_offers",
        "recommendations",
        ["product_id"],
        sqlite_where=offers,
        postgresql_where=offers,
    )
    with op.batch_alter_table("recalls") as recalls:
        recalls.add_column(sa.Column("order_id", sa.Text(), nullable=True))
        recalls.create_foreign_key(op.f("fk_recalls_order_id"), "recall_orders", ["order_id"], ["order_id"])
    with op.batch_alter_table("audit_chain") as chain:
        chain.drop_constraint(op.f("ck_audit_chain_kind"), type_="check")
        chain.create_check_constraint(op.f("ck_audit_chain_kind"), LINKS)
