"""The schema that the oldest databases which come along are at; it has nothing to do.

A new database is made as ``models`` has it, at once and without steps (``env``).
"""

revision = "0011"
down_revision = None


def upgrade() -> None:
    """Nothing: whoever is at it has its tables."""
