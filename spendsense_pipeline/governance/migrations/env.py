"""How Alembic runs here: on the connection that ``database.upgrade`` passes, in one transaction, one at a time.

A new database is made as the models are, and marked as being at the newest step; steps are for those that are there.
"""

import sqlalchemy as sa
from alembic import context

from spendsense_pipeline.governance.models import AuditHead, Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    transactional_ddl=True,  # SQLite's is, though Alembic takes it not to be: a killed upgrade leaves no half
)
with context.begin_transaction():
    if connection.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE already lets only one in
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('spendsense upgrade'))"))
    migrations = context.get_context()
    if migrations.get_current_heads():
        context.run_migrations()
    else:
        Base.metadata.create_all(connection)
        connection.execute(sa.insert(AuditHead).values(head_id=1, count=0, hash="0" * 64))
        migrations.stamp(context.script, "head")
