"""The names and fingerprints of what is written for customers: the same text has the same hash, anywhere.

Decisions are bound to these hashes, so nothing here may depend on a clock, an order or a machine.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Sequence

_canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def _digest(*parts: object) -> str:
    return hashlib.sha256(_canonical(parts).encode()).hexdigest()


def content_hash(content_type: str, title: str, content: str, rationale: str, product_id: str | None) -> str:
    """Fingerprint (64 hex) of everything a customer would see; an approval holds for exactly this."""
    said = {
        "content_type": content_type,
        "title": title,
        "content": content,
        "rationale": rationale,
        "product_id": product_id,
    }
    return hashlib.sha256(_canonical(said).encode()).hexdigest()


def recommendation_id(user_id: str, as_of: dt.date, content_type: str, subject: str, consent_id: str) -> str:
    """Name of a draft. ``subject`` is the template of education, the product of an offer.

    The consent period is part of it: after a revocation and a new grant, the same text is a new draft.
    """
    return "rec_" + _digest(user_id, as_of.isoformat(), content_type, subject, consent_id)[:20]


def template_hash(title: str, content: str, facts: Sequence[str]) -> str:
    """Fingerprint (64 hex) of a template: its words and what it asserts. An operator approves exactly this."""
    return _digest(title, content, sorted(facts))
