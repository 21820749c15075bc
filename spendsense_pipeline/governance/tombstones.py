"""Whether somebody was erased, for those who would write about them. Setting the tombstones is ``erased_rows``."""

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance.database import quoted
from spendsense_pipeline.governance.models import Tombstone
from spendsense_pipeline.ingest.digests import digest


def require_not_erased(session: Session, user_id: str) -> None:
    """Refuse a customer who was erased, or is being erased: ``unknown_user``."""
    salt = session.scalar(select(Tombstone.salt).where(Tombstone.digest > "").limit(1))  # one for all, by the index
    if salt is None:
        return
    if session.scalar(select(exists().where(Tombstone.digest == digest(salt, "user", user_id)))):
        raise SpendSenseError(
            f"there is no user {quoted(user_id)}; who comes back after an erasure needs a new id", code="unknown_user"
        )
