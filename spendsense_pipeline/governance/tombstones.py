"""Whether somebody was erased, for those who would write about them. Setting the tombstones is ``erasure``."""

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance.database import quoted
from spendsense_pipeline.governance.models import Tombstone
from spendsense_pipeline.ingest.digests import digest


def require_not_erased(session: Session, user_id: str) -> None:
    """Refuse a customer who was erased, or is being erased: ``unknown_user``."""
    grain = session.scalar(select(Tombstone.salt).where(Tombstone.digest > "").limit(1))  # one for all, by the index
    if grain is None:
        return
    if session.scalar(select(exists().where(Tombstone.digest == digest(grain, "user", user_id)))):
        raise SpendSenseError(
            f"there is no user {quoted(user_id)}; who comes back after an erasure needs a new id", code="unknown_user"
        )
