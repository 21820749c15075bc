"""Whether somebody was erased, for those who would write about them. Setting the tombstones is ``erasure``'s."""

import hashlib

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance.database import quoted
from spendsense_pipeline.governance.models import Tombstone


def digest(salt: str, kind: str, name: str) -> str:
    """How an erased ``user`` or ``account`` is remembered: sha256 in hex, over the id without the blanks around it."""
    return hashlib.sha256(f"{salt} {kind} {name.strip()}".encode(errors="surrogatepass")).hexdigest()


def require_not_erased(session: Session, user_id: str) -> None:
    """Refuse a customer who was erased, or is being erased: ``unknown_user``."""
    salt = session.scalar(select(Tombstone.salt).where(Tombstone.digest > "").limit(1))  # one for all, by the index
    if salt is None:
        return
    if session.scalar(select(exists().where(Tombstone.digest == digest(salt, "user", user_id)))):
        raise SpendSenseError(
            f"there is no user {quoted(user_id)}; who comes back after an erasure needs a new id", code="unknown_user"
        )
