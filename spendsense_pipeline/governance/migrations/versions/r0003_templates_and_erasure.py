"""Decisions on templates, the consent limit that a release was made under, erasures and their tombstones."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

LINKS = "kind IN ('consent', 'decision', 'release', 'recall', 'erasure')"


def upgrade() -> None:
    """Add them; what was registered before names its wording by the version of its piece."""
    wording = sa.Column("template_hash", sa.Text(), nullable=False, server_default=sa.text("''"))
    op.add_column("recommendations", wording)
    op.execute("UPDATE recommendations SET template_hash = prompt_version")
    op.drop_index("ix_recommendations_template_id_status", "recommendations")
    op.create_index(
        "ix_recommendations_template_id_template_hash_status",
        "recommendations",
        ["template_id", "template_hash", "status"],
    )
    op.add_column("releases", sa.Column("consent_days", sa.Integer(), nullable=False, server_default="0"))
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
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name="fk_template_decisions_operator_id"),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["recommendations.recommendation_id"], name="fk_template_decisions_sample_id"
        ),
        sa.PrimaryKeyConstraint("template_id", "template_hash", "ordinal", name="pk_template_decisions"),
    )
    op.create_index("ix_template_decisions_sample_id", "template_decisions", ["sample_id"])
    op.create_table(
        "erasures",
        sa.Column("erasure_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("links", sa.Text(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name="fk_erasures_operator_id"),
        sa.PrimaryKeyConstraint("erasure_id", name="pk_erasures"),
        sa.UniqueConstraint("seq", name="uq_erasures_seq"),
    )
    op.create_table(
        "tombstones",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erasure_id", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('user', 'account')", name="ck_tombstones_kind"),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.erasure_id"], name="fk_tombstones_erasure_id"),
        sa.PrimaryKeyConstraint("digest", name="pk_tombstones"),
    )
    with op.batch_alter_table("audit_chain") as chain:
        chain.drop_constraint(op.f("ck_audit_chain_kind"), type_="check")
        chain.create_check_constraint(op.f("ck_audit_chain_kind"), LINKS)
