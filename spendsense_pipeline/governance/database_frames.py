"""What drafting and evaluation read from the governance database, as pandas frames.

Kept apart because pandas takes its time to load: commands on the database alone never come here.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence, Set
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import and_, case, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from spendsense_pipeline.governance import consent, experiment_records
from spendsense_pipeline.governance.database import CHUNK, AnyRow, columns
from spendsense_pipeline.governance.lifecycle import hash_of, status_at, text_is, wording_held
from spendsense_pipeline.governance.models import (
    ConsentPeriod,
    Decision,
    FeedbackEvent,
    Recommendation,
    RecommendationText,
    Release,
)


def consents(session: Session, now: dt.datetime, *, consent_days: int = 0) -> pd.DataFrame:
    """The consent periods live at ``now``: user_id, scope, consent_id, granted_at (UTC, NaT where not stated)."""
    return _typed_frame(
        consent.live_consents(session, now, consent_days), ["user_id", "scope", "consent_id"], moments=["granted_at"]
    )


def history(session: Session, before: dt.date, now: dt.datetime, *, user_id: str | None = None) -> pd.DataFrame:
    """What was registered for days before ``before``, for drafting to know what was said already; of one customer, or
    of all.

    Columns: recommendation_id, user_id, consent_id, as_of (date), content_type, template_id, product_id (null for
    education), status, decided_at, released_at (UTC, NaT). ``status`` is by the clock at ``now``, except that what a
    draft of ``before`` or later took the place of still waits: that day, run again, must find what it found first.
    """
    newer = aliased(Recommendation)
    copied = "recommendation_id user_id consent_id content_type template_id product_id insight_id"
    replaced_since = and_(Recommendation.status == "superseded", newer.as_of >= before)
    rows = session.execute(
        select(
            *columns(Recommendation, copied),
            case((replaced_since, "pending_approval"), else_=status_at(now)).label("status"),
            Recommendation.as_of,
            Decision.decided_at,
            Recommendation.released_at,
        )
        .outerjoin(Decision, Decision.decision_id == Recommendation.decision_id)
        .outerjoin(newer, newer.recommendation_id == Recommendation.superseded_by)
        .where(Recommendation.as_of < before, Recommendation.user_id == user_id if user_id is not None else true())
        .order_by(Recommendation.as_of, Recommendation.recommendation_id)
    ).all()
    return _typed_frame(rows, [*copied.split(), "status"], dates=["as_of"], moments=["decided_at", "released_at"])


def decisions(session: Session) -> pd.DataFrame:
    """All decisions, undone ones too.

    Columns: recommendation_id, user_id, action, operator_id, ordinal, decided_at, registered_at (first) (UTC).
    """
    rows = session.execute(
        select(
            Decision.recommendation_id,
            Recommendation.user_id,
            *columns(Decision, "action operator_id ordinal decided_at"),
            Recommendation.first_registered_at,
        )
        .join(Recommendation, Recommendation.recommendation_id == Decision.recommendation_id)
        .order_by(Decision.seq)
    ).all()
    texts = ["recommendation_id", "user_id", "action", "operator_id"]
    return _typed_frame(rows, texts, numbers=["ordinal"], moments=["decided_at", "registered_at"])


class Releases(NamedTuple):
    """``rows``: the releases that are not known, each beside the rows it cites, and their ``fingerprints``; ``known``:
    the fingerprints of the others."""

    rows: pd.DataFrame
    fingerprints: list[bytes]
    known: list[bytes]


def releases(session: Session, since: dt.datetime, known: Set[bytes] = frozenset()) -> Releases:
    """The releases from ``since`` on, joined by their own keys to what they cite, null where a join finds nothing.

    Columns: release_id, recommendation_id, user_id, content_type, content_hash, title, content, rationale, slots,
    signals, product_id, window_days, released_at; consent_user_id, consent_scope, consent_opened_at, consent_closed_at;
    decision_recommendation_id, decision_action, decision_hash, decided_at; text_hash.
    ``text_hash`` is computed from the stored text, not copied, so that a changed text shows. ``slots`` and ``signals``
    are the evidence that was registered with the text, as JSON. A fingerprint (SHA-256) is
    of all that a row holds.
    """
    texts = {
        "release_id": Release.release_id,
        "recommendation_id": Release.recommendation_id,
        "user_id": Recommendation.user_id,
        "content_type": Recommendation.content_type,
        "content_hash": Release.content_hash,
        "consent_user_id": ConsentPeriod.user_id,
        "consent_scope": ConsentPeriod.scope,
        "decision_recommendation_id": Decision.recommendation_id,
        "decision_action": Decision.action,
        "decision_hash": Decision.content_hash,
        "title": RecommendationText.title,
        "content": RecommendationText.content,
        "rationale": RecommendationText.rationale,
        "slots": RecommendationText.slots,
        "signals": RecommendationText.signals,
        "product_id": Recommendation.product_id,
    }
    moments = {
        "released_at": Release.released_at,
        "consent_opened_at": ConsentPeriod.opened_at,
        "consent_closed_at": ConsentPeriod.closed_at,
        "decided_at": Decision.decided_at,
    }
    query = (
        select(
            *(column.label(name) for name, column in texts.items()),
            Recommendation.window_days,
            *(column.label(name) for name, column in moments.items()),
        )
        .outerjoin(Recommendation, Recommendation.recommendation_id == Release.recommendation_id)
        .outerjoin(ConsentPeriod, ConsentPeriod.consent_id == Release.consent_id)
        .outerjoin(Decision, Decision.decision_id == Release.decision_id)
        .outerjoin(RecommendationText, text_is(RecommendationText, Release, Release.content_hash))
        .where(Release.released_at >= since)
        .order_by(Release.seq)
    )
    rows, fingerprints, met = [], [], []
    for row in session.execute(query, execution_options={"yield_per": CHUNK}):
        fingerprint = hashlib.sha256(repr(tuple(row)).encode(errors="surrogatepass")).digest()
        if fingerprint in known:
            met.append(fingerprint)
        else:
            rows.append(row)
            fingerprints.append(fingerprint)
    long = ("title", "content", "rationale", "slots", "signals")
    frame = _typed_frame(rows, [*texts], numbers=["window_days"], moments=[*moments], long=long)
    frame["text_hash"] = pd.Series(
        [hash_of(row._mapping) if row.title is not None else None for row in rows], dtype="str"
    )
    return Releases(frame, fingerprints, met)


def assignments(session: Session, experiment: str) -> pd.DataFrame:
    """Who has which arm, in their order: user_id, arm, stratum, ordinal, as_of (date), assigned_at (UTC)."""
    names = ["user_id", "arm", "stratum", "ordinal", "as_of", "assigned_at"]
    rows = pd.DataFrame(experiment_records.assignments(session, experiment), columns=names)
    return rows.astype({"assigned_at": "datetime64[us, UTC]", "ordinal": "int64"})


def texts(session: Session, since: dt.datetime) -> pd.DataFrame:
    """What became of each text that was registered from ``since`` on, for comparing groups: user_id, content_type,
    template_id, template_hash, generator, status, released_at (UTC, NaT), held (an experiment withholds it, or its
    wording is held), complaints (complaint or wrong_figure)."""
    copied = "user_id content_type template_id template_hash generator status"
    complaints = (
        select(func.count())
        .select_from(FeedbackEvent)
        .join(Release, Release.release_id == FeedbackEvent.release_id)
        .where(
            Release.recommendation_id == Recommendation.recommendation_id,
            FeedbackEvent.kind.in_(("complaint", "wrong_figure")),
        )
        .correlate(Recommendation)
    )
    rows = session.execute(
        select(
            *columns(Recommendation, copied),
            case((or_(Recommendation.ghost, wording_held()), 1), else_=0).label("held"),
            complaints.scalar_subquery().label("complaints"),
            Recommendation.released_at,
        ).where(Recommendation.registered_at >= since)
    ).all()
    return _typed_frame(rows, copied.split(), numbers=["held", "complaints"], moments=["released_at"])


def _typed_frame(
    rows: Sequence[AnyRow] | Sequence[Any],
    texts: list[str],
    *,
    numbers: Sequence[str] = (),
    dates: Sequence[str] = (),
    moments: Sequence[str],
    long: Sequence[str] = (),
) -> pd.DataFrame:
    """Rows in the order texts, numbers, dates, moments, with the types that frames have everywhere, also when empty;
    ``long`` are texts that are read one by one, and stay the objects that they are."""
    names = [*texts, *numbers, *dates, *moments]
    kinds = dict.fromkeys(texts, "str") | dict.fromkeys(numbers, "Int64") | dict.fromkeys([*dates, *long], "object")
    kinds |= dict.fromkeys(moments, "datetime64[us, UTC]")
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pd.DataFrame(
        {name: pd.Series(column, dtype=kinds[name]) for name, column in zip(names, columns, strict=True)}
    )
