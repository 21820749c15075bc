"""The names and fingerprints of what is written for customers: the same text has the same hash, anywhere.

Decisions are bound to these hashes, so nothing here may depend on a clock, an order or a machine.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from json.encoder import encode_basestring as _text


def _digest(written: str) -> str:
    """Of JSON without spaces, its keys sorted: written by hand, for an encoder takes as long as all the rest."""
    return hashlib.sha256(written.encode()).hexdigest()


def _listed(texts: Sequence[str]) -> str:
    return f"[{','.join(map(_text, texts))}]"


def content_hash(content_type: str, title: str, content: str, rationale: str, product_id: str | None) -> str:
    """Fingerprint (64 hex) of everything a customer would see; an approval holds for exactly this."""
    product = "null" if product_id is None else _text(product_id)
    return _digest(
        f'{{"content":{_text(content)},"content_type":{_text(content_type)},"product_id":{product},'
        f'"rationale":{_text(rationale)},"title":{_text(title)}}}'
    )


def recommendation_id(user_id: str, as_of: dt.date, content_type: str, subject: str, consent_id: str) -> str:
    """Name of a draft. ``subject`` is the template of education, the product of an offer.

    The consent period is part of it: after a revocation and a new grant, the same text is a new draft.
    """
    return "rec_" + _digest(_listed([user_id, as_of.isoformat(), content_type, subject, consent_id]))[:20]


def template_hash(title: str, content: str, facts: Sequence[str]) -> str:
    """Fingerprint (64 hex) of a template: its words and what it asserts. An operator approves exactly this."""
    return _digest(f"[{_text(title)},{_text(content)},{_listed(sorted(facts))}]")
