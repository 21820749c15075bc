"""What a customer wants to hear about: topics of education as switches, each on until it is switched off.

Switching one off takes out, in the same transaction, what waits in it and ends what was released. Belongs here: the
topics and a customer's word on them. Consent itself is ``consent``.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, exists, null, select
from sqlalchemy.orm import Session, aliased

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, draft_events, endings
from spendsense_pipeline.governance.database import fields, is_name, matching, quoted, storable
from spendsense_pipeline.governance.encoding import identifier
from spendsense_pipeline.governance.models import Recommendation, TopicChoice
from spendsense_pipeline.governance.tombstones import require_not_erased
from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.personas.table import PERSONAS

TOPIC_OF_INSIGHT: Final = {name: kind.topic for name, kind in INSIGHTS.items()}
TOPIC_OF_PERSONA: Final = {name: persona.topic for name, persona in PERSONAS.items()}
"""What a persona's own pieces are about."""
TOPICS: Final = tuple(sorted({*TOPIC_OF_INSIGHT.values(), *TOPIC_OF_PERSONA.values()}))


def topic() -> ColumnElement[str | None]:
    """The SQL topic of a recommendation; offers have none, their switch is the consent to them."""
    of_persona = case(TOPIC_OF_PERSONA, value=Recommendation.persona, else_=null())
    of_insight = case(TOPIC_OF_INSIGHT, value=Recommendation.insight, else_=of_persona)
    return case((Recommendation.content_type == "education", of_insight), else_=null())


def topic_of(draft: Mapping[str, Any]) -> str:
    """What a draft is about; empty for an offer."""
    if draft["content_type"] != "education":
        return ""
    return TOPIC_OF_INSIGHT.get(draft["insight"] or "") or TOPIC_OF_PERSONA.get(draft["persona"], "")


def declined() -> ColumnElement[bool]:
    """The SQL condition that the customer switched the recommendation's topic off."""
    later = aliased(TopicChoice)
    overtaken = exists().where(
        later.user_id == TopicChoice.user_id, later.topic == TopicChoice.topic, later.seq > TopicChoice.seq
    )
    return exists().where(
        TopicChoice.user_id == Recommendation.user_id,
        TopicChoice.topic == topic(),
        TopicChoice.choice == "declined",
        ~overtaken.correlate(TopicChoice),
    )


def choices(session: Session, user_id: str) -> dict[str, bool]:
    """topic → wanted, for every topic."""
    wanted = dict.fromkeys(TOPICS, True)
    if storable(user_id):
        rows = select(TopicChoice.topic, TopicChoice.choice).where(TopicChoice.user_id == user_id)
        wanted |= {row.topic: row.choice == "wanted" for row in session.execute(rows.order_by(TopicChoice.seq))}
    return {name: wanted[name] for name in TOPICS}


def declined_by(session: Session, user_ids: Iterable[str]) -> set[tuple[str, str]]:
    """(user_id, topic) of what these customers switched off."""
    last: dict[tuple[str, str], str] = {}
    rows = select(TopicChoice.user_id, TopicChoice.topic, TopicChoice.choice).order_by(TopicChoice.seq)
    for row in matching(session, rows, TopicChoice.user_id, user_ids):
        last[row.user_id, row.topic] = row.choice
    return {of for of, choice in last.items() if choice == "declined"}


def history(session: Session, user_id: str) -> list[dict[str, Any]]:
    """A customer's choices, oldest first: topic, choice, actor, source, channel, at."""
    if not storable(user_id):
        return []
    rows = session.scalars(select(TopicChoice).where(TopicChoice.user_id == user_id).order_by(TopicChoice.seq))
    return [fields(row, "topic choice actor source channel") | {"at": row.recorded_at} for row in rows]


def choose(
    session: Session, user_id: str, wanted: dict[str, bool], now: dt.datetime, *, actor: str, source: str, channel: str
) -> dict[str, bool]:
    """Record what changed, with all that switching off means; returns ``choices`` afterwards.

    To be called inside ``database.writing``. Raises ``invalid_topic``, and ``unknown_user`` for who was erased.
    """
    unknown = sorted(set(wanted) - set(TOPICS))
    if unknown or not all(is_name(text) for text in (user_id, actor, source, channel)):
        raise SpendSenseError(
            f"topics are {', '.join(TOPICS)}, not {', '.join(quoted(one) for one in unknown) or 'with such names'}",
            code="invalid_topic",
        )
    require_not_erased(session, user_id)
    before = choices(session, user_id)
    changed = {name: value for name, value in wanted.items() if before[name] != value}
    count, _ = audit.head(session)
    rows: list[dict[str, Any]] = [
        {
            "choice_id": identifier("top", f"{user_id} {name} {count}"),
            "user_id": user_id,
            "topic": name,
            "choice": "wanted" if value else "declined",
            "actor": actor,
            "source": source,
            "channel": channel,
            "recorded_at": now,
        }
        for name, value in sorted(changed.items())
    ]
    audit.record(session, TopicChoice, rows, now)
    off = [name for name, value in changed.items() if not value]
    if off:
        theirs = and_(Recommendation.user_id == user_id, topic().in_(off))
        draft_events.close(session, theirs, "voided", now)
        endings.end(session, endings.standing(session, theirs), "topic_declined", now)
    return before | changed
