"""How our rows look to a client of the first version: names, ids and nesting, no decision.

What does not belong here: reading anything.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from spendsense_pipeline.service.state import utc_text

COUNTS: Final = ("recurring_merchants",)
FLAGS: Final = (
    *("utilization_30_flag", "utilization_50_flag", "utilization_80_flag", "minimum_payment_only_flag"),
    *("interest_charges_present", "any_overdue", "payroll_detected", "investment_account_detected"),
)
FIGURES: Final = (
    *("monthly_recurring_spend", "subscription_spend_share", "net_savings_inflow", "savings_growth_rate"),
    *("emergency_fund_months", "avg_utilization", "max_utilization", "income_variability", "cash_flow_buffer_months"),
    "avg_monthly_income",
)
TEXT: Final = (
    *("recommendation_id", "user_id", "title", "content", "rationale", "window_days", "content_type", "content_hash"),
)
"""What a recommendation is called as with us."""
PAY: Final = ("pay_frequency", "median_pay_gap_days", "income_variability", "cash_flow_buffer_months")
FREQUENCIES: Final = {"biweekly": "biweekly", "monthly": "monthly"}
"""Of our pay frequencies those that clients know; any other is ``unknown`` to them."""


def number_of(*parts: object) -> int:
    """A number that is the same for the same things, for clients whose ids are numbers."""
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()
    return int.from_bytes(digest[:4], "big") % (2**31 - 1) + 1


def features_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A feature row: unknown figures null, unknown counts 0, unknown flags false."""
    gap = row["median_pay_gap_days"]
    return {
        **{name: int(row[name] or 0) for name in COUNTS},
        **{name: row[name] for name in FIGURES},
        **{name: bool(row[name]) for name in FLAGS},
        "median_pay_gap_days": None if gap is None else round(gap),
    }


def persona_of(row: Mapping[str, Any], assigned_at: dt.datetime) -> dict[str, Any]:
    """A row of the personas, as lists of users show it."""
    return {
        "persona_type": row["persona"],
        "window_days": row["window_days"],
        "confidence_score": row["confidence"],
        "assigned_at": assigned_at,
    }


def assignment_of(row: Mapping[str, Any], assigned_at: dt.datetime) -> dict[str, Any]:
    """A row of the personas with its id and its reasons."""
    return {
        "persona_id": number_of(row["user_id"], row["window_days"], row["as_of"], row["persona"]),
        "user_id": row["user_id"],
        **persona_of(row, assigned_at),
        "reasoning": reasoning_of(row, assigned_at),
        "is_fallback": bool(row["is_fallback"]),
    }


def reasoning_of(row: Mapping[str, Any], assigned_at: dt.datetime) -> str:
    """Why this persona, as JSON text."""
    own = [one for one in json.loads(row["reasons"]) if one["clause"].startswith(f"{row['persona']}.")]
    fallback = bool(row["is_fallback"])
    said: dict[str, Any] = {
        "matched_criteria": [
            f"{one['signal']} {one['operator']} {json.dumps(one['threshold'])}"
            for one in own
            if one["met"] and not fallback
        ],
        "feature_values": {one["signal"]: one["value"] for one in own},
        "timestamp": utc_text(assigned_at),
    }
    if fallback:
        said["reason"] = "the criteria of no persona are met"
    else:
        said |= {"priority": row["priority"], "all_matched_personas": json.loads(row["matched"])}
    return json.dumps(said)


def signals_of(window: Mapping[str, Any]) -> dict[str, Any]:
    """One window of ``profiles.Customer.signals``."""
    subscriptions, savings, income = window["subscriptions"], window["savings"], window["income"]
    return {
        "subscriptions": {
            "recurring_merchants": [stream["merchant"] for stream in subscriptions["streams"] if stream["counted"]],
            "monthly_spend": subscriptions["monthly_recurring_spend"],
            "spend_share": subscriptions["subscription_spend_share"],
        },
        "savings": {
            "net_inflow": savings["net_savings_inflow"],
            "growth_rate": savings["savings_growth_rate"],
            "emergency_fund_months": savings["emergency_fund_months"],
        },
        "credit": {
            "cards": [
                {
                    "last_four": card["last4"].rjust(4, "*"),
                    "utilization": card["utilization"],
                    "balance": card["balance"],
                    "limit": card["credit_limit"],
                }
                for card in window["credit"]["cards"]
            ]
        },
        "income": {
            "payroll_detected": bool(income["payroll_detected"]),
            "avg_monthly": income["avg_monthly_income"],
            "frequency": FREQUENCIES.get(income["pay_frequency"], "unknown"),
            **{name: income[name] for name in PAY},
        },
    }


def recommendation_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of ``governance.queue.listed``: what every list shows of it, and of an offer its product."""
    decided = row["standing"] in ("approved", "overridden") and row["action"] in ("approve", "override")
    return {
        **{name: row[name] for name in TEXT},
        "status": row["standing"],
        "persona_type": row["persona"],
        "generated_at": row["registered_at"],
        "generation_time_ms": round(row["generation_ms"] or 0),
        "approved_by": row["operator_id"] if decided else None,
        "approved_at": row["decided_at"] if decided else None,
        "metadata_json": metadata_of(row),
        **product_of(row),
    }


def override_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Of an operator's words the reason and what stood before; nulls where the pipeline's own stand."""
    if row["original_title"] is None:
        return {"override_reason": None, "original_content": None}
    before = {"original_title": row["original_title"], "original_content": row["original_content"]}
    before["overridden_at"] = utc_text(row["overridden_at"])
    return {"override_reason": row["override_reason"], "original_content": json.dumps(before, ensure_ascii=False)}


def metadata_of(row: Mapping[str, Any]) -> str:
    """What clients read beside a text, as JSON text."""
    warnings = [
        {"severity": one["severity"], "type": one["check"], "message": one["message"]} for one in row["findings"]
    ]
    if row["content_type"] == "education":
        about = [row["persona"], *([row["insight"]] if row["insight"] else [])]
        said: dict[str, Any] = {"priority": "high" if row["insight"] else "medium", "tags": about, "links": []}
    else:
        said = {"product_data": product_of(row)}
    said["validation_warnings"] = warnings
    if row["standing"] == "rejected":
        said |= {
            "rejection_reason": row["reason"],
            "rejected_by": row["operator_id"],
            "rejected_at": utc_text(row["decided_at"]),
        }
    return json.dumps(said, ensure_ascii=False)


def product_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The product as the text was written with it, whatever the catalogue says since; nothing of education."""
    if row["content_type"] != "partner_offer":
        return {}
    shown = {name: slot["shown"] for name, slot in row["slots"].items() if name.startswith("product_")}
    link = shown.get("product_link")
    return {
        "product_id": row["product_id"],
        "product_name": shown.get("product_name", row["title"]),
        "short_description": shown.get("product_description", ""),
        "benefits": [one for one in shown.get("product_benefits", "").split("; ") if one],
        "partner_link": link if link and link.startswith("https://") else None,
        "disclosure": shown.get("product_disclosure", ""),
        "typical_apy_or_fee": shown.get("product_terms"),
        "partner_name": shown.get("product_partner"),
    }


def consent_of(periods: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A customer's periods of consent (as ``governance.consent.periods``) as one word with its two times.

    A revocation keeps the time of the grant, a grant takes away that of the revocation. With one scope live of two,
    the word is yes; ``consent`` tells them apart.
    """
    known = list(periods)
    live = [one for one in known if one["live"]]
    agreed = [moment for one in live or known if (moment := one["renewed_at"] or one["granted_at"]) is not None]
    closed = [one["closed_at"] for one in known if one["closed_at"] is not None]
    scopes = {one["scope"] for one in live}
    return {
        "consent_status": bool(live),
        "consent_granted_at": max(agreed, default=None),
        "consent_revoked_at": None if live else max(closed, default=None),
        "consent": {scope: scope in scopes for scope in ("education", "partner_offers")},
    }


def consent_history_of(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry for what happened at one moment in whichever scopes, newest first; a repeated grant is none."""
    moments: dict[tuple[dt.datetime, str], None] = {}
    for event in events:
        if event["action"] == "closed":
            moments[event["at"], "revoked"] = None
        elif event["action"] == "opened" and event["reason"] != "refused":
            moments[event["at"], "granted"] = None
    return [{"action": action, "timestamp": at} for at, action in reversed(moments)]
