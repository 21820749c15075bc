"""Everything the governance database starts with: the tables as ``models`` has them.

It keeps the name of the last of eleven steps that it replaced, so that a database which went through them all is at it
already. Whoever adds the next step writes these tables out here as they are before (`alembic revision --autogenerate`
on an empty database does): from then on the models say something else.
"""

import sqlalchemy as sa
from alembic import op

from spendsense_pipeline.governance.models import AuditHead, Base

revision = "0011"
down_revision = None


def upgrade() -> None:
    """Create all tables and the one row that writers lock. Forward only: no way back keeps every record."""
    Base.metadata.create_all(op.get_bind())
    op.execute(sa.insert(AuditHead).values(head_id=1, count=0, hash="0" * 64))
