"""Experiments: what was registered, who has which arm, which drafts are withheld."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0007"

LINKS = (
    "kind IN ('consent', 'topic', 'decision', 'standing', 'release', 'recall', 'order', 'erasure', 'experiment', "
    "'assignment', 'ghost', 'experiment_end', 'consent_text')"
)


def upgrade() -> None:
    """Add them; no draft from before is withheld."""
    op.create_table(
        "experiments",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("definition_hash", sa.Text(), nullable=False),
        sa.Column("insight", sa.Text(), nullable=True),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_experiments"),
        sa.UniqueConstraint("definition_hash", name="uq_experiments_definition_hash"),
        sa.UniqueConstraint("seq", name="uq_experiments_seq"),
    )
    op.create_table(
        "experiment_ends",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["name"], ["experiments.name"], name="fk_experiment_ends_name"),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name="fk_experiment_ends_operator_id"),
        sa.PrimaryKeyConstraint("name", name="pk_experiment_ends"),
        sa.UniqueConstraint("seq", name="uq_experiment_ends_seq"),
    )
    op.create_table(
        "assignments",
        sa.Column("assignment_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
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
        sa.CheckConstraint("ordinal >= 0", name="ck_assignments_ordinal"),
        sa.CheckConstraint("shows IN ('nothing', 'usual', 'template')", name="ck_assignments_shows"),
        sa.CheckConstraint("(shows = 'template') = (template_id IS NOT NULL)", name="ck_assignments_template"),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.name"], name="fk_assignments_experiment"),
        sa.PrimaryKeyConstraint("assignment_id", name="pk_assignments"),
        sa.UniqueConstraint("seq", name="uq_assignments_seq"),
        sa.UniqueConstraint("experiment", "user_id", name="uq_assignments_experiment_user_id"),
        sa.UniqueConstraint("experiment", "stratum", "ordinal", name="uq_assignments_experiment_stratum_ordinal"),
    )
    op.create_index("ix_assignments_user_id", "assignments", ["user_id"])
    op.create_table(
        "ghosts",
        sa.Column("recommendation_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("assignment_id", sa.Text(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.assignment_id"], name="fk_ghosts_assignment_id"),
        sa.ForeignKeyConstraint(
            ["recommendation_id"], ["recommendations.recommendation_id"], name="fk_ghosts_recommendation_id"
        ),
        sa.PrimaryKeyConstraint("recommendation_id", name="pk_ghosts"),
        sa.UniqueConstraint("seq", name="uq_ghosts_seq"),
    )
    op.create_index("ix_ghosts_assignment_id", "ghosts", ["assignment_id"])
    op.create_table(
        "consent_texts",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_consent_texts"),
        sa.UniqueConstraint("seq", name="uq_consent_texts_seq"),
    )
    with op.batch_alter_table("recommendations") as recommendations:
        recommendations.add_column(sa.Column("ghost", sa.Boolean(), nullable=False, server_default=sa.false()))
        recommendations.create_check_constraint(
            op.f("ck_recommendations_ghost"), "NOT (ghost AND released_at IS NOT NULL)"
        )
    with op.batch_alter_table("audit_chain") as chain:
        chain.drop_constraint(op.f("ck_audit_chain_kind"), type_="check")
        chain.create_check_constraint(op.f("ck_audit_chain_kind"), LINKS)
