"""A few customers, drafts and shorthands that the governance tests tell their stories with."""

import datetime as dt
import hashlib
import json
from typing import Any

from sqlalchemy import Engine

from spendsense_pipeline.governance import consent, queue, registration, release
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.recommendations.identity import content_hash, recommendation_id
from spendsense_pipeline_tests.governance import verdicts

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
TODAY = NOW.date()
NOTABLE = '[{"check": "reading_level", "severity": "notable", "message": "long"}]'
CRITICAL = '[{"check": "tone", "severity": "critical", "message": "shames"}]'
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def grant(engine: Engine, user: str, now: dt.datetime = NOW, **how: Any) -> dict[str, str]:
    """Consent in both scopes; returns consent ids by scope."""
    with writing(engine) as session:
        rows = consent.grant(session, user, now, **({"actor": user, "source": "test"} | how))
    return {row["scope"]: row["consent_id"] for row in rows}


def revoke(engine: Engine, user: str, now: dt.datetime = NOW, **how: Any) -> list[dict[str, Any]]:
    with writing(engine) as session:
        return consent.revoke(session, user, now, actor=user, source="test", **how)


def draft(
    user: str,
    consents: dict[str, str],
    *,
    template: str = "pay_down_one_card",
    product: str | None = None,
    figure: float = 0.68,
    as_of: dt.date = TODAY,
    **changes: Any,
) -> dict[str, Any]:
    """One draft as the contract has it: education, or an offer where a product is named."""
    content_type = "partner_offer" if product else "education"
    row: dict[str, Any] = {
        "user_id": user,
        "as_of": as_of,
        "window_days": 30,
        "persona": "high_utilization",
        "content_type": content_type,
        "title": f"Your card is at {figure:.0%}",
        "content": f"You use {figure:.0%} of the limit of one card.",
        "rationale": f"One card is at {figure:.0%}.",
        "template_id": template,
        "template_hash": hashlib.sha256(template.encode()).hexdigest(),
        "situation": "high_utilization/over_50",
        "slots": json.dumps({"utilization": {"signal": "max_utilization", "value": figure, "shown": f"{figure:.0%}"}}),
        "reasons": json.dumps([{"signal": "max_utilization", "value": figure, "met": True}]),
        "product_id": product,
        "findings": "[]",
        "generator": "library",
        "model": None,
        "prompt_version": "1",
        "generation_ms": None,
        "insight": None,
        "insight_id": None,
        "consent_id": consents["partner_offers" if product else "education"],
    } | changes
    row["content_hash"] = content_hash(content_type, row["title"], row["content"], row["rationale"], product)
    row["recommendation_id"] = recommendation_id(user, as_of, content_type, product or template, row["consent_id"])
    return row


def register(
    engine: Engine, *drafts: dict[str, Any], now: dt.datetime = NOW, signals: dict[str, Any] | None = None, **how: Any
) -> registration.Registration:
    as_of = drafts[0]["as_of"]
    return registration.register_drafts(engine, list(drafts), as_of, now, signals=lambda _: signals or {}, **how)


def waiting_draft(engine: Engine, user: str = "mia", **changes: Any) -> dict[str, Any]:
    """A consenting customer with one registered draft."""
    one = draft(user, grant(engine, user), **changes)
    register(engine, one)
    return one


def seen(one: dict[str, Any]) -> str:
    """``REC@HASH`` of a draft."""
    return f"{one['recommendation_id']}@{one['content_hash']}"


def approve(engine: Engine, *drafts: dict[str, Any], by: str = "ada", now: dt.datetime = NOW, **how: Any) -> Any:
    return verdicts.approve(engine, [seen(one) for one in drafts], by, now, **how)


def outcome(results: list[dict[str, Any]]) -> str:
    """What became of a single decision: its refusal, or its status."""
    (row,) = results
    return row["refused"] or row["status"]


def gate(engine: Engine, now: dt.datetime = NOW, **how: Any) -> release.Gate:
    return release.run_gate(engine, now, **how)


def feed(engine: Engine, now: dt.datetime = NOW, **how: Any) -> list[dict[str, Any]]:
    with reading(engine) as session:
        return release.released(session, now, **how)


def status(engine: Engine, one: dict[str, Any], now: dt.datetime = NOW) -> str:
    with reading(engine) as session:
        found: str = queue.full(session, one["recommendation_id"], now)["status"]
        return found


def no_findings(_draft: Any) -> list[dict[str, str]]:
    return []


def critical(_draft: Any) -> list[dict[str, str]]:
    return [{"check": "tone", "severity": "critical", "message": "shames the customer"}]
