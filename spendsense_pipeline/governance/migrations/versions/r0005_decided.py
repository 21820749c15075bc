"""What was decided and may go out is found by its own small index, whatever a planner thinks of it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

DECIDED = sa.text("released_at IS NULL AND status IN ('approved', 'overridden')")


def upgrade() -> None:
    """One index; no row changes."""
    op.create_index(
        "ix_recommendations_decided",
        "recommendations",
        ["status", "expires_at"],
        sqlite_where=DECIDED,
        postgresql_where=DECIDED,
    )
