"""Which insight a draft tells, and which happening of it, so that it is told once."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Two columns; earlier drafts told none."""
    for name in ("insight", "insight_id"):
        op.add_column("recommendations", sa.Column(name, sa.Text(), nullable=True))
