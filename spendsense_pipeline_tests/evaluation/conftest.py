"""A small day: four customers, three of them consenting, their personas, drafts, decisions and one release."""

import datetime as dt
import json
from typing import Any

import pandas as pd
import pytest

from spendsense_pipeline.contracts import CONTRACTS, columns
from spendsense_pipeline.evaluation.metrics import decisions_by_operator, evaluation_metrics
from spendsense_pipeline.evaluation.report import ReviewState

DAY = dt.date(2026, 3, 31)
NOON = dt.datetime(2026, 4, 1, 12, tzinfo=dt.UTC)
KINDS = {"int64": "Int64", "boolean": "boolean", "float64": "float64"}


def features(window: int, known: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Features in which everything not given is unknown, or empty where it cannot be."""
    types = {column["name"]: column["type"].split("(")[0].lower() for column in columns(CONTRACTS["features_30d"])}
    rows = []
    for user, signals in known.items():
        row = {"user_id": user, "as_of": DAY, "window_days": window, "history_days": 400, "currency_factor": 1.0}
        rows.append(
            row
            | {"shared_accounts": 0, "card_count": 0, "cards_with_unknown_limit": 0}
            | {"investment_account_detected": False}
            | signals
        )
    frame = pd.DataFrame(rows, columns=list(types))
    for name, kind in types.items():
        if kind in KINDS:
            frame[name] = frame[name].astype(KINDS[kind])
    return frame


def personas(window: int, verdicts: dict[str, tuple[str, bool]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": pd.Series(list(verdicts), dtype="str"),
            "as_of": [DAY] * len(verdicts),
            "window_days": pd.Series([window] * len(verdicts), dtype="Int64"),
            "history_days": pd.Series([400] * len(verdicts), dtype="Int64"),
            "persona": pd.Series([persona for persona, _ in verdicts.values()], dtype="str"),
            "priority": [float("nan") if fallback else 0.7 for _, fallback in verdicts.values()],
            "confidence": [0.2 if fallback else 0.9 for _, fallback in verdicts.values()],
            "is_fallback": pd.Series([fallback for _, fallback in verdicts.values()], dtype="boolean"),
            "matched": pd.Series(["[]"] * len(verdicts), dtype="str"),
            "reasons": pd.Series(["[]"] * len(verdicts), dtype="str"),
            "rules_version": pd.Series(["rules-1"] * len(verdicts), dtype="str"),
        }
    )


def draft(name: str, user: str, **given: Any) -> dict[str, Any]:
    slots = {"max_utilization": {"signal": "max_utilization", "value": 0.85, "shown": "85%"}}
    return {
        "recommendation_id": f"rec_{name}", "user_id": user, "as_of": DAY, "window_days": 30,
        "persona": "high_utilization", "content_type": "education", "title": "Private title", "content": "Private text",
        "rationale": "You see this because a card balance was at 85% of its limit.", "content_hash": "h" * 64,
        "template_id": "t1", "situation": "high_utilization/util=80+", "slots": json.dumps(slots), "reasons": "[]",
        "product_id": None, "findings": "[]", "generator": "library", "model": None, "prompt_version": "1",
        "template_hash": "5e", "generation_ms": float("nan"), "consent_id": f"consent_{user}",
        "insight": None, "insight_id": None,
    } | given  # fmt: skip


@pytest.fixture
def day() -> dict[str, Any]:
    """The arguments of ``evaluation_metrics``; ``d`` did not consent, ``c`` is a fallback in both windows."""
    three = {"total_spend": 900.0, "avg_monthly_expenses": 900.0, "max_utilization": 0.85}
    known = {"a": three, "b": three, "c": three, "d": three}
    offer = {"content_type": "partner_offer", "template_id": "offer", "product_id": "p1"}
    drafts = [draft("1", "a"), draft("2", "a", **offer), draft("3", "b"), draft("4", "b", **offer)]
    return {
        "as_of": DAY,
        "features_30d": features(30, known),
        "features_180d": features(180, known),
        "personas_30d": personas(30, {
            "a": ("high_utilization", False), "b": ("savings_builder", True),
            "c": ("savings_builder", True), "d": ("savings_builder", False),
        }),
        "personas_180d": personas(180, {
            "a": ("high_utilization", False), "b": ("variable_income", False),
            "c": ("savings_builder", True), "d": ("savings_builder", False),
        }),
        "templates": pd.DataFrame({
            "template_id": ["t1", "t1", "t2"], "generation_ms": [float("nan")] * 3,
        }),
        "matches": pd.DataFrame({
            "user_id": ["a", "b"], "product_id": ["p1", "p1"], "eligible": pd.array([True, False], dtype="boolean"),
        }),
        "drafts": pd.DataFrame(drafts),
        "consents": pd.DataFrame({
            "user_id": ["a", "a", "b", "c", "gone"],
            "scope": ["education", "partner_offers", "education", "education", "education"],
        }),
        "decisions": pd.DataFrame(
            [
                ("rec_1", 1, "reject", 2), ("rec_1", 2, "undo", 3), ("rec_1", 3, "approve", 4),
                ("rec_2", 1, "override", 2), ("rec_3", 1, "reject", 6),
                ("rec_4", 1, "approve", 1), ("rec_4", 2, "undo", 2),
            ],
            columns=["recommendation_id", "ordinal", "action", "hours"],
        ).assign(
            registered_at=NOON,
            decided_at=lambda f: NOON + pd.to_timedelta(f["hours"], unit="h"),
            user_id=lambda f: f["recommendation_id"].map({"rec_1": "a", "rec_2": "a", "rec_3": "b", "rec_4": "b"}),
            operator_id=["op_1", "op_2", "op_1", "op_1", "op_2", "op_1", "op_2"],
        ),
        "borne_out": [True],
    }  # fmt: skip


def release(name: str, user: str, **given: Any) -> dict[str, Any]:
    """A release that its stored rows bear out."""
    return {
        "release_id": f"rel_{name}", "recommendation_id": f"rec_{name}", "user_id": user, "content_type": "education",
        "content_hash": "h" * 64, "text_hash": "h" * 64, "released_at": NOON,
        "consent_user_id": user, "consent_scope": "education",
        "consent_opened_at": NOON - dt.timedelta(days=9), "consent_closed_at": pd.NaT,
        "decision_recommendation_id": f"rec_{name}", "decision_action": "approve", "decision_hash": "h" * 64,
        "decided_at": NOON - dt.timedelta(hours=1),
        "title": "A card near its limit", "content": "It stood at 85% of its limit.", "rationale": "A card is at 85%.",
        "slots": json.dumps({"max_utilization": {"signal": "max_utilization", "value": 0.853, "shown": "85%"}}),
        "signals": json.dumps({"features": {"30": {"max_utilization": 0.853}}, "streams": []}), "window_days": 30,
    } | given  # fmt: skip


@pytest.fixture
def facts(day: dict[str, Any]) -> dict[str, Any]:
    """What the record of the small day is made of."""
    refused = ['["has_savings"]', '["has_savings", "below_min_income"]']
    metrics = evaluation_metrics(**day)
    review = ReviewState(
        consents=day["consents"],
        waiting={"waiting": 4, "near_expiry": 1, "with_findings": 2, "oldest_hours": 216.0},
        ages=[("today", 3), ("7 to 10 days", 1)],
        statuses={"pending_approval": 4, "approved": 2, "rejected": 3, "expired": 1},
        released=5,
        recalls={"lapsed": 1, "revoked": 2},
        feedback={"seen": 6, "wrong_figure": 1},
        blocked={"consent_revoked": 2, "expired": 3},
        decisions=decisions_by_operator(day["decisions"]),
        models=[],
        audit_head={"count": 12, "hash": "f" * 64},
    )
    return {
        "generated_at": NOON, "review": review, "matches": day["matches"].assign(refused=refused),
        "templates": day["templates"].assign(generator="library", model=None),
        "metrics": metrics, "history": metrics.iloc[:0],
        **{name: day[name] for name in ("personas_30d", "personas_180d")},
    }  # fmt: skip
