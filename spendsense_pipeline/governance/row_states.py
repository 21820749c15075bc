"""What a row became whose table is not added to alone, on record in the audit chain (``present.STATES``).

Whoever adds, changes or removes such a row calls ``record`` in the same transaction. Does not belong here: holding the
rows against what was recorded (``present``).
"""

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from spendsense_pipeline.governance import audit
from spendsense_pipeline.governance.models import Base, RowState
from spendsense_pipeline.governance.present import STATES, key_of, state


def record(session: Session, now: dt.datetime, *rows: Base, gone: bool = False) -> None:
    """Record what these rows are from now on; ``gone``: that they are no more."""
    session.flush()
    states = [
        {
            "table_name": row.__tablename__,
            "row_key": key_of(row),
            "user_id": getattr(row, "user_id", None),
            "digest": None if gone else state(row),
            "recorded_at": now,
        }
        for row in rows
    ]
    audit.record(session, RowState, states, now)


def record_all(session: Session, now: dt.datetime) -> None:
    """Record every row there is: for a database in which none was."""
    for model in STATES:
        rows: Sequence[Base] = session.scalars(select(model)).all()
        record(session, now, *rows)
