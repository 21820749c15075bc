"""How Alembic runs here: on the connection that ``database.upgrade`` passes, in one transaction, one at a time."""

from alembic import context
from sqlalchemy import text

from spendsense_pipeline.governance.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    transactional_ddl=True,  # SQLite's is, though Alembic takes it not to be: a killed upgrade leaves no half
)
with context.begin_transaction():
    if connection.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE already lets only one in
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('spendsense upgrade'))"))
    context.run_migrations()
