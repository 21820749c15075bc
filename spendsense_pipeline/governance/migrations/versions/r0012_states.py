"""The chain covers what a row became whose table is not added to alone, and all that is fixed of a draft.

What is there already is recorded as it is. Whoever adds the next step writes out here what it takes from the models,
which say something else from then on.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.orm import Session

from spendsense_pipeline.governance import row_states
from spendsense_pipeline.governance.models import AuditEntry, Base, RowState, UtcTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Forward only, as the first."""
    chain_now = Base.metadata.tables[AuditEntry.__tablename__]
    (kinds,) = (one for one in chain_now.constraints if isinstance(one, sa.CheckConstraint))
    with op.batch_alter_table("audit_chain") as chain:
        chain.drop_constraint(op.f("ck_audit_chain_kind"), type_="check")
        chain.create_check_constraint(op.f("ck_audit_chain_kind"), kinds.sqltext)
    op.add_column("draft_events", sa.Column("origin", sa.Text()))
    Base.metadata.tables[RowState.__tablename__].create(op.get_bind())
    with Session(op.get_bind()) as session:
        now = session.scalars(sa.select(sa.type_coerce(sa.func.current_timestamp(), UtcTime()))).one()
        row_states.record_all(session, now)
        session.commit()
