"""The auditor's question, answered from stored rows alone: why was this text made available to this customer?

Features may have been recomputed since; nothing here looks at them. Belongs here: gathering. Not: judging (``audit``).
"""

import datetime as dt
import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from spendsense_pipeline.governance.consent import event_row
from spendsense_pipeline.governance.database import fields
from spendsense_pipeline.governance.models import ConsentEvent, Recall, Recommendation, RecommendationText, Release
from spendsense_pipeline.governance.queue import full, text_row


def why(session: Session, recommendation_id: str, now: dt.datetime) -> dict[str, Any]:
    """Everything on record about one recommendation.

    What ``show`` gives, and: window_days, generator, model, prompt_version, run_id (the run that registered
    it), first_registered_at, superseded_by; texts (every version); signals (what was registered with the text);
    decision (the one that stands or that the release cites); consent with text_version, channel, source, actor of the
    grant and all events of the period; release {release_id, seq, content_hash, run_id, released_at} and recall.
    Raises ``unknown_recommendation``.
    """
    found = full(session, recommendation_id, now)
    recommendation = session.get_one(Recommendation, recommendation_id)
    text = session.get_one(RecommendationText, (recommendation_id, recommendation.content_hash))
    release = session.scalars(select(Release).where(Release.recommendation_id == recommendation_id)).one_or_none()
    recall = session.get(Recall, release.release_id) if release else None
    cited = release.decision_id if release else recommendation.decision_id
    happened = select(ConsentEvent).where(ConsentEvent.consent_id == recommendation.consent_id)
    events = [event_row(event) for event in session.scalars(happened.order_by(ConsentEvent.seq))]
    return found | {
        **fields(recommendation, "window_days generator model prompt_version run_id first_registered_at superseded_by"),
        "signals": json.loads(text.signals) if text.signals else None,
        "texts": [
            text_row(version)
            for version in session.scalars(
                select(RecommendationText)
                .where(RecommendationText.recommendation_id == recommendation_id)
                .order_by(RecommendationText.written_at, RecommendationText.content_hash)
            )
        ],
        "decision": next((one for one in found["decisions"] if one["decision_id"] == cited), None),
        "consent": found["consent"]
        | {name: events[0][name] for name in ("text_version", "channel", "source", "actor")}
        | {"events": events},
        "release": fields(release, "release_id seq content_hash run_id released_at") if release else None,
        "recall": fields(recall, "cause seq recalled_at") if recall else None,
    }
