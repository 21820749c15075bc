"""What happens to drafts beside decisions and releases, written down in the audit chain: one way in, one way to close.

Belongs here: recording, and keeping the texts that it is about. Does not belong here: which drafts enter the queue
(``registration``), or why one closes.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, select, tuple_
from sqlalchemy.orm import Session

from spendsense_pipeline.governance import audit
from spendsense_pipeline.governance.database import add_rows, chunks, columns, compare_and_set, matching, set_among
from spendsense_pipeline.governance.encoding import canonical, sha256
from spendsense_pipeline.governance.models import OPEN, DraftEvent, Recommendation, RecommendationText
from spendsense_pipeline.governance.present import EVIDENCE, GIVES, ORIGIN, written

JUDGED = ("findings", "severity")
COPIED = "recommendation_id user_id consent_id as_of template_id template_hash expires_at"


def evidence(text: Mapping[str, Any]) -> str:
    """The hash of a text's row, all columns of ``EVIDENCE``; a missing author is the pipeline."""
    return sha256(canonical([text.get(name) for name in EVIDENCE.split()]))


def record(
    session: Session,
    action: str,
    drafts: Iterable[Mapping[Any, Any]],
    now: dt.datetime,
    *,
    texts: Mapping[str, str] | None = None,
    superseded_by: Mapping[str, str | None] | None = None,
    run_id: str | None = None,
) -> None:
    """Record what happened to drafts (columns ``COPIED``, content_hash and, where it gives them, ``ORIGIN``), in order.

    ``texts`` maps a draft to its text's evidence, where the event is about a text.
    """
    events = [
        {
            **{name: draft[name] for name in COPIED.split()},
            "action": action,
            "content_hash": draft["content_hash"],
            "evidence": (texts or {}).get(draft["recommendation_id"]),
            "superseded_by": (superseded_by or {}).get(draft["recommendation_id"]),
            "run_id": run_id,
            "recorded_at": now,
            "origin": sha256(canonical([draft[name] for name in ORIGIN.split()])) if action in GIVES else None,
        }
        for draft in drafts
    ]
    audit.record(session, DraftEvent, events, now)


def given(session: Session, names: Iterable[str], *, original: bool = True) -> list[Mapping[Any, Any]]:
    """Drafts as an event copies them, with their original text's hash or that of the one that stands."""
    hashed = Recommendation.original_hash if original else Recommendation.content_hash
    query = _copied().add_columns(hashed.label("content_hash"))
    return [row._mapping for row in matching(session, query, Recommendation.recommendation_id, sorted(names))]


def write_texts(session: Session, texts: Sequence[dict[str, Any]]) -> None:
    """Keep these texts, rows of ``RecommendationText``. The words of one that is kept already stand, and the
    guardrails' newer word on them counts.
    """
    key = (RecommendationText.recommendation_id, RecommendationText.content_hash)
    there = {
        (name, hashed)
        for name, hashed in matching(session, select(*key), key[0], [row["recommendation_id"] for row in texts])
    }
    add_rows(
        session,
        RecommendationText,
        [row for row in texts if (row["recommendation_id"], row["content_hash"]) not in there],
    )
    judged = [
        {"of": row["recommendation_id"], "hashed": row["content_hash"], **{name: row[name] for name in JUDGED}}
        for row in texts
        if (row["recommendation_id"], row["content_hash"]) in there
    ]
    compare_and_set(session, RecommendationText, judged, RecommendationText.content_hash == bindparam("hashed"))


def stored_evidence(session: Session, texts: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Draft → evidence of the texts (draft, hash) as they are stored now; one text for each draft."""
    key = tuple_(RecommendationText.recommendation_id, RecommendationText.content_hash)
    return {
        name: sha256(text)
        for some in chunks(texts, 1_000)
        for name, text in session.execute(
            select(RecommendationText.recommendation_id, written()).where(key.in_(list(some)))
        )
    }


def close(session: Session, which: ColumnElement[bool], status: str, now: dt.datetime) -> list[Mapping[Any, Any]]:
    """Give open, unreleased drafts a status that nothing follows, and record it; returns them as they were copied."""
    open_ones = (which, Recommendation.status.in_(OPEN), Recommendation.released_at.is_(None))
    query = _copied().add_columns(Recommendation.content_hash).where(*open_ones)
    rows: list[Mapping[Any, Any]] = [
        row._mapping for row in session.execute(query.order_by(Recommendation.recommendation_id))
    ]
    ids = [row["recommendation_id"] for row in rows]
    set_among(session, Recommendation.recommendation_id, ids, status=status, status_at=now)
    record(session, status, rows, now)
    return rows


def _copied() -> Select[*tuple[Any, ...]]:
    return select(*columns(Recommendation, f"{COPIED} {ORIGIN}"))
