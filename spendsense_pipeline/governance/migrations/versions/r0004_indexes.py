"""A customer's consent history and the latency of models are found, not searched for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Two indexes; no row changes."""
    op.create_index("ix_consent_events_user_id", "consent_events", ["user_id"])
    op.create_index(
        "ix_recommendations_latency",
        "recommendations",
        ["template_id", "generation_ms"],
        sqlite_where=sa.text("generation_ms IS NOT NULL"),
        postgresql_where=sa.text("generation_ms IS NOT NULL"),
    )
