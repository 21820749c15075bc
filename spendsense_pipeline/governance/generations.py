"""What a language model wrote before: kept so that a situation is never asked about twice, and what it took.

Rows are only added. What does not belong here: asking and judging (``recommendations/generation.py``), and an
operator's word on a template (``review``).
"""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from filelock import FileLock
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from spendsense_pipeline.governance.database import add_rows, fields, matching
from spendsense_pipeline.governance.models import Decision, ModelGeneration, ModelTemplate, Recommendation
from spendsense_pipeline.recommendations.generation import Generation, Template, faults
from spendsense_pipeline.recommendations.guardrails import review_text
from spendsense_pipeline.recommendations.library import Piece
from spendsense_pipeline.recommendations.prompts import Rejected, Situation

REJECTED = 3
"""Rejected texts of a persona or insight that a model is shown, the newest."""
LONGEST_REASON = 300
"""Characters of a reason that are passed on."""
COPIED = "fingerprint prompt_version model requests cost latency_ms"
"""What a row has of a generation under the same name."""
KEPT_IN_HOUSE = ("privacy", "grounding", "links")
"""What the guardrails may find in a reason that then stays with the bank: it may speak of the customer."""


def written_before(session: Session, wanted: Mapping[str, Situation]) -> dict[str, Generation]:
    """What was written for these fingerprints, the newest of each; ``wanted``: fingerprint -> its situation."""
    written = (
        select(ModelGeneration).where(ModelGeneration.outcome == "written").order_by(ModelGeneration.generation_id)
    )
    newest: dict[str, ModelGeneration] = {
        row.fingerprint: row for (row,) in matching(session, written, ModelGeneration.fingerprint, wanted)
    }
    pieces: defaultdict[int, list[Template]] = defaultdict(list)
    templates = select(ModelTemplate).order_by(ModelTemplate.place)
    ids = [row.generation_id for row in newest.values()]
    for (one,) in matching(session, templates, ModelTemplate.generation_id, ids):
        pieces[one.generation_id].append(Template(one.topic, one.title, one.content, tuple(json.loads(one.facts))))
    return {
        fingerprint: Generation(
            situation=wanted[fingerprint],
            templates=tuple(pieces[row.generation_id]),
            problems=tuple(json.loads(row.problems)),
            sent=row.tokens_sent,
            received=row.tokens_received,
            **fields(row, COPIED),
        )
        for fingerprint, row in newest.items()
    }


def still_standing(session: Session, wanted: Mapping[str, Situation]) -> dict[str, Generation]:
    """What was written before for these fingerprints and holds by the rules of today, piece by piece."""
    found = {
        key: replace(one, templates=tuple(each for each in one.templates if not faults(each, one.situation)))
        for key, one in written_before(session, wanted).items()
    }
    return {key: one for key, one in found.items() if one.written}


def rejected(session: Session, library: Sequence[Piece]) -> dict[str, list[Rejected]]:
    """By persona or insight the newest texts whose rejection stands, as templates, each once, and why.

    No customer is in it: figures are slots, and a reason that may speak of somebody is left out.
    """
    words = {piece.hash: (piece.title, piece.content) for piece in library}
    rows = session.execute(
        select(Recommendation.situation, Recommendation.template_hash, Decision.reason)
        .join(Decision, Decision.decision_id == Recommendation.decision_id)
        .where(Recommendation.status == "rejected", Recommendation.content_type == "education")
        .order_by(Decision.seq.desc())
    ).all()
    written = select(ModelTemplate.template_hash, ModelTemplate.title, ModelTemplate.content)
    unknown = {template for _, template, _ in rows} - set(words)
    for template, title, content in matching(session, written, ModelTemplate.template_hash, unknown):
        words[template] = title, content
    found: dict[str, dict[str, Rejected]] = {}
    for situation, template, reason in rows:
        mine = found.setdefault(situation.partition("/")[0], {})
        if template in words and template not in mine and len(mine) < REJECTED:
            mine[template] = Rejected(*words[template], _passed_on(reason))
    return {about: list(mine.values()) for about, mine in found.items() if mine}


def _passed_on(reason: str | None) -> str | None:
    said = " ".join((reason or "").split())[:LONGEST_REASON]
    spoken_of = any(finding["check"] in KEPT_IN_HOUSE for finding in review_text("", said, "", {}))
    return None if not said or spoken_of else said


def keep(session: Session, generations: Sequence[Generation], now: dt.datetime, run_id: str | None) -> None:
    """Add what was asked about, answered or not, in this order; needs the write lock."""
    rows, pieces = [], []
    first = 1 + (session.scalar(select(func.max(ModelGeneration.generation_id))) or 0)
    for generation_id, one in enumerate(generations, start=first):
        rows.append(
            {
                **fields(one, COPIED),
                "generation_id": generation_id,
                "situation": one.situation.key,
                "persona": one.situation.about,
                "outcome": "written" if one.written else "failed",
                "problems": json.dumps(one.problems),
                "tokens_sent": one.sent,
                "tokens_received": one.received,
                "asked_at": now,
                "run_id": run_id,
            }
        )
        pieces += [
            {
                **fields(template, "topic title content"),
                "generation_id": generation_id,
                "place": place,
                "facts": json.dumps(template.facts),
                "slots": json.dumps(template.slots),
                "template_hash": template.hash,
            }
            for place, template in enumerate(one.templates, start=1)
        ]
    add_rows(session, ModelGeneration, rows)
    add_rows(session, ModelTemplate, pieces)


@contextmanager
def one_run_asks(engine: Engine) -> Iterator[None]:
    """Hold the right to ask; another run waits here, and then finds the answers kept.

    Without it, ten dates of a backfill would each ask about the same situations. Ends with the process that held it.
    """
    if engine.dialect.name == "sqlite":
        with FileLock(f"{engine.url.database}.asking.lock"):
            yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET lock_timeout = 0"))  # however long the other run takes
        connection.execute(text("SELECT pg_advisory_lock(hashtext('spendsense asks'))"))
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(hashtext('spendsense asks'))"))
            connection.execute(text("RESET lock_timeout"))


def spent(session: Session) -> list[dict[str, Any]]:
    """What each model took on all days: model, written, failed (situations), requests, tokens, cost, latency_ms.

    ``cost`` is in US dollars, None where a price is not known; ``latency_ms`` lists the time of each that was written.
    """
    rows: dict[str, list[ModelGeneration]] = {}
    for one in session.scalars(select(ModelGeneration).order_by(ModelGeneration.model)):
        rows.setdefault(one.model, []).append(one)
    return [
        {
            "model": model,
            "written": sum(one.outcome == "written" for one in asked),
            "failed": sum(one.outcome == "failed" for one in asked),
            "requests": sum(one.requests for one in asked),
            "tokens": sum(one.tokens_sent + one.tokens_received for one in asked),
            "cost": None if any(one.cost is None for one in asked) else sum(one.cost or 0 for one in asked),
            "latency_ms": [one.latency_ms for one in asked if one.outcome == "written"],
        }
        for model, asked in rows.items()
    ]
