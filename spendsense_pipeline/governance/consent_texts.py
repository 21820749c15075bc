"""The words that customers agree to, by version: kept in the chain, never changed.

Does not belong here: who agreed to which version (``consent``).
"""

import datetime as dt
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit
from spendsense_pipeline.governance.database import is_name, quoted, storable, writing
from spendsense_pipeline.governance.encoding import sha256
from spendsense_pipeline.governance.models import ConsentEvent, ConsentText


def register(engine: Engine, version: str, content: str, now: dt.datetime) -> str:
    """Keep the text of a version; returns its SHA-256. The same text again changes nothing.

    Raises ``consent_text_changed`` where the version has another text, ``invalid_text`` where one cannot be stored.
    """
    if not (is_name(version) and content.strip() and storable(content)):
        raise SpendSenseError("a consent text needs a version's name and words that can be stored", code="invalid_text")
    digest = sha256(content)
    with writing(engine) as session:
        known = session.get(ConsentText, version)
        if known is not None and known.digest != digest:
            raise SpendSenseError(
                f"version {quoted(version)} was registered with other words on {known.registered_at:%Y-%m-%d}; "
                "customers agreed to those: give the new text a new version",
                code="consent_text_changed",
            )
        if known is None:
            said = {"content": content, "digest": digest, "registered_at": now}
            audit.record_one(session, ConsentText, now, version=version, **said)
    return digest


def record(session: Session) -> list[dict[str, Any]]:
    """Every version that anybody agreed to or that has a text: version, agreements, first, last (moments), content and
    digest (None where no text was registered)."""
    agreed = ConsentEvent.action.in_(("opened", "renewed"))
    version = func.coalesce(ConsentEvent.text_version, "unstated")
    counted = select(
        version, func.count(), func.min(ConsentEvent.recorded_at), func.max(ConsentEvent.recorded_at)
    ).where(agreed)
    uses = {name: rest for name, *rest in session.execute(counted.group_by(version)).tuples()}
    texts = {one.version: one for one in session.scalars(select(ConsentText))}
    return [
        {
            "version": name,
            **dict(zip(("agreements", "first", "last"), uses.get(name, (0, None, None)), strict=True)),
            "content": texts[name].content if name in texts else None,
            "digest": texts[name].digest if name in texts else None,
        }
        for name in sorted({*uses, *texts})
    ]
