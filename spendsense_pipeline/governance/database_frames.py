"""What drafting and evaluation read from the governance database, as pandas frames; and from frames what is kept in it
beside the texts of a day.

Kept apart because pandas takes its time to load: commands on the database alone never come here.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Date, Integer, String, and_, case, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from spendsense_pipeline.frames import records, values
from spendsense_pipeline.governance import consent, experiment_records
from spendsense_pipeline.governance.database import CHUNK, AnyRow, AnySelect, columns
from spendsense_pipeline.governance.lifecycle import hash_of, status_at, text_is, wording_held
from spendsense_pipeline.governance.models import (
    ConsentPeriod,
    Decision,
    FeedbackEvent,
    Recommendation,
    RecommendationText,
    Release,
    UtcTime,
)

DTYPES: Final = {UtcTime: "datetime64[us, UTC]", Date: "object", Integer: "Int64", String: "str"}
"""What a column of the database is in a frame."""
LONG: Final = "title content rationale slots signals"
"""Texts that are read one by one, and stay the objects that they are."""


def consents(session: Session, now: dt.datetime, *, consent_days: int = 0) -> pd.DataFrame:
    """The consent periods live at ``now``: user_id, scope, consent_id, granted_at (UTC, NaT where not stated)."""
    kinds = dict.fromkeys(("user_id", "scope", "consent_id"), "str") | {"granted_at": DTYPES[UtcTime]}
    return _frame_of(consent.live_consents(session, now, consent_days), kinds)


def history(session: Session, before: dt.date, now: dt.datetime, *, user_id: str | None = None) -> pd.DataFrame:
    """What was registered for days before ``before``, for drafting to know what was said already; of one customer, or
    of all.

    Columns: recommendation_id, user_id, consent_id, as_of (date), content_type, template_id, product_id (null for
    education), status, decided_at, released_at (UTC, NaT). ``status`` is by the clock at ``now``, except that what a
    draft of ``before`` or later took the place of still waits: that day, run again, must find what it found first.
    """
    newer = aliased(Recommendation)
    replaced_since = and_(Recommendation.status == "superseded", newer.as_of >= before)
    return _frame(
        session,
        select(
            *columns(Recommendation, "recommendation_id user_id consent_id content_type"),
            *columns(Recommendation, "template_id product_id insight_id"),
            case((replaced_since, "pending_approval"), else_=status_at(now)).label("status"),
            Recommendation.as_of,
            Decision.decided_at,
            Recommendation.released_at,
        )
        .outerjoin(Decision, Decision.decision_id == Recommendation.decision_id)
        .outerjoin(newer, newer.recommendation_id == Recommendation.superseded_by)
        .where(Recommendation.as_of < before, Recommendation.user_id == user_id if user_id is not None else true())
        .order_by(Recommendation.as_of, Recommendation.recommendation_id),
    )


def decisions(session: Session) -> pd.DataFrame:
    """All decisions, undone ones too.

    Columns: recommendation_id, user_id, action, operator_id, ordinal, decided_at, registered_at (first) (UTC).
    """
    return _frame(
        session,
        select(
            Decision.recommendation_id,
            Recommendation.user_id,
            *columns(Decision, "action operator_id ordinal decided_at"),
            Recommendation.first_registered_at.label("registered_at"),
        )
        .join(Recommendation, Recommendation.recommendation_id == Decision.recommendation_id)
        .order_by(Decision.seq),
    )


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
    query = (
        select(
            *columns(Release, "release_id recommendation_id content_hash released_at"),
            *columns(Recommendation, "user_id content_type product_id window_days"),
            *columns(RecommendationText, LONG),
            *(
                column.label(f"consent_{column.name}")
                for column in columns(ConsentPeriod, "user_id scope opened_at closed_at")
            ),
            Decision.recommendation_id.label("decision_recommendation_id"),
            Decision.action.label("decision_action"),
            Decision.content_hash.label("decision_hash"),
            Decision.decided_at,
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
    frame = _frame_of(rows, _kinds(query) | dict.fromkeys(LONG.split(), "object"))
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
    return _frame(
        session,
        select(
            *columns(Recommendation, "user_id content_type template_id template_hash generator status"),
            case((or_(Recommendation.ghost, wording_held()), 1), else_=0).label("held"),
            complaints.scalar_subquery().label("complaints"),
            Recommendation.released_at,
        ).where(Recommendation.registered_at >= since),
    )


def _frame(session: Session, query: AnySelect) -> pd.DataFrame:
    return _frame_of(session.execute(query).all(), _kinds(query))


def _kinds(query: AnySelect) -> dict[str, str]:
    """The type in frames of each column, by its type in the database."""
    return {
        column.name: next(dtype for kind, dtype in DTYPES.items() if isinstance(column.type, kind))
        for column in query.selected_columns
    }


def _frame_of(rows: Sequence[AnyRow], kinds: Mapping[str, str]) -> pd.DataFrame:
    """Rows in the order of ``kinds``, with the types that frames have everywhere, also when empty."""
    found = list(zip(*rows, strict=True)) or [()] * len(kinds)
    return pd.DataFrame(
        {name: pd.Series(column, dtype=kind) for (name, kind), column in zip(kinds.items(), found, strict=True)}
    )


def evidence(
    features_30d: pd.DataFrame, features_180d: pd.DataFrame, streams: pd.DataFrame
) -> Callable[[Collection[str]], dict[str, dict[str, Any]]]:
    """What texts rest on, for whichever customers are asked about: the signals of both windows and the recurring
    streams of each.

    Stored with the texts, so that a correction of the data later cannot rewrite why something was said. Composed only
    for those who get a new text; most days that is one customer in eight.
    """
    tables = [(frame, values(frame["user_id"])) for frame in (features_30d, features_180d, streams)]

    def of(customers: Collection[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {user_id: {"features": {}, "streams": []} for user_id in customers}
        kept = [
            frame[np.array([user_id in found for user_id in owners], dtype=bool)].drop(columns="as_of")
            for frame, owners in tables
        ]
        # As JSON holds it, days are text.
        short, longer, repeated = (
            records(frame.astype({name: "str" for name in frame if frame[name].dtype == object})) for frame in kept
        )
        for row in [*short, *longer]:
            found[row.pop("user_id")]["features"][str(row.pop("window_days"))] = row
        for row in repeated:
            found[row.pop("user_id")]["streams"].append(row)
        return found

    return of
