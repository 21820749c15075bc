"""A client of the first version of the interface: what it sends, and which fields of which types it reads.

Written from the interface's side alone; it imports nothing of the service. Answers may hold more than is named here.
"""

import datetime as dt
import json
from typing import Any

NUMBER, NONE = (int, float), type(None)
TIME = "a time in UTC"
JSON = "JSON text"


class Maybe:
    """The shape, or null."""

    def __init__(self, shape: Any) -> None:
        self.shape = shape


class Each:
    """An object whose values have the shape, whatever their names."""

    def __init__(self, shape: Any) -> None:
        self.shape = shape


def misfits(value: Any, shape: Any, at: str = "answer") -> list[str]:
    """Where the value is not of the shape; empty if it fits."""
    if isinstance(shape, Maybe):
        return [] if value is None else misfits(value, shape.shape, at)
    if isinstance(shape, Each):
        if not isinstance(value, dict):
            return [f"{at}: {value!r} is no object"]
        return [fault for name, one in value.items() for fault in misfits(one, shape.shape, f"{at}.{name}")]
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{at}: {value!r} is no object"]
        lacking = [f"{at}.{name}: missing" for name in shape if name not in value]
        return lacking + [
            fault for name in shape.keys() & value.keys() for fault in misfits(value[name], shape[name], f"{at}.{name}")
        ]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{at}: {value!r} is no list"]
        return [fault for place, one in enumerate(value) for fault in misfits(one, shape[0], f"{at}[{place}]")]
    if shape is TIME:
        fits = isinstance(value, str) and value.endswith("Z") and dt.datetime.fromisoformat(value).tzinfo is not None
    elif shape is JSON:
        fits = isinstance(value, str) and json.loads(value) is not None
    elif shape is bool:
        fits = isinstance(value, bool)
    elif isinstance(shape, set):
        fits = value in shape
    else:
        fits = isinstance(value, shape) and not isinstance(value, bool)
    return [] if fits else [f"{at}: {value!r} is not {shape}"]


PERSONA = {"high_utilization", "variable_income", "subscription_heavy", "savings_builder", "wealth_builder"}
STATUS = {"pending_approval", "approved", "overridden", "rejected"}
FIGURES = {
    "recurring_merchants": int,
    **dict.fromkeys(
        ("monthly_recurring_spend", "subscription_spend_share", "net_savings_inflow", "savings_growth_rate",
         "emergency_fund_months", "avg_utilization", "max_utilization", "cash_flow_buffer_months", "avg_monthly_income",
         "income_variability"), Maybe(NUMBER)),
    **dict.fromkeys(
        ("utilization_30_flag", "utilization_50_flag", "utilization_80_flag", "minimum_payment_only_flag",
         "interest_charges_present", "any_overdue", "payroll_detected", "investment_account_detected"), bool),
    "median_pay_gap_days": Maybe(int),
}  # fmt: skip
CONSENT = {"consent_status": bool, "consent_granted_at": Maybe(TIME), "consent_revoked_at": Maybe(TIME)}
ASSIGNED = {"persona_type": PERSONA, "confidence_score": NUMBER, "assigned_at": TIME, "window_days": int}
REASONED = {**ASSIGNED, "reasoning": JSON}
USER = {"user_id": str, "full_name": str, "email": str, "user_type": str, **CONSENT, "created_at": TIME}
SIGNALS = {
    "subscriptions": {"recurring_merchants": [str], "monthly_spend": Maybe(NUMBER), "spend_share": Maybe(NUMBER)},
    "savings": dict.fromkeys(("net_inflow", "growth_rate", "emergency_fund_months"), Maybe(NUMBER)),
    "credit": {
        "cards": [{"last_four": str, **dict.fromkeys(("utilization", "balance", "limit"), Maybe(NUMBER))}],
    },
    "income": {
        "payroll_detected": bool,
        "frequency": {"biweekly", "monthly", "unknown"},
        **dict.fromkeys(
            ("avg_monthly", "median_pay_gap_days", "income_variability", "cash_flow_buffer_months"), Maybe(NUMBER)
        ),
    },
}
RECOMMENDATION = {
    "recommendation_id": str,
    "title": str,
    "content": Maybe(str),
    "rationale": str,
    "status": STATUS,
    "persona_type": PERSONA,
    "content_type": {"education", "partner_offer"},
    "generated_at": TIME,
}
OFFER = {
    "product_id": str,
    "product_name": str,
    "short_description": str,
    "benefits": [str],
    "partner_link": Maybe(str),
    "disclosure": str,
    "typical_apy_or_fee": Maybe(str),
    "partner_name": Maybe(str),
}
SHOWN = {**RECOMMENDATION, "approved_by": Maybe(str), "approved_at": Maybe(TIME)}
GENERATED = {**RECOMMENDATION, "window_days": int, "generation_time_ms": int, "metadata_json": JSON}
IN_REVIEW = {
    **SHOWN,
    **GENERATED,
    "user_id": str,
    "user_name": str,
    "override_reason": Maybe(str),
    "original_content": Maybe(JSON),
}
DECIDED = {
    name: RECOMMENDATION[name]
    for name in ("recommendation_id", "title", "content", "rationale", "status", "persona_type", "generated_at")
}
APPROVED = {**DECIDED, "approved_by": str, "approved_at": TIME}
COUNTS = Each(int)
GROUPS = {
    "coverage": {
        "total_users": int,
        "users_with_persona": int,
        "users_with_behaviors": int,
        "coverage_percentage": NUMBER,
    },
    "explainability": {
        "total_recommendations": int,
        "recommendations_with_rationale": int,
        "explainability_percentage": NUMBER,
    },
    "latency": {"avg_recommendation_latency_ms": NUMBER, "p95_recommendation_latency_ms": NUMBER},
    "auditability": {"recommendations_with_traces": int, "auditability_percentage": NUMBER},
}
DETAILS = {
    "persona_distribution_30d": COUNTS,
    "persona_distribution_180d": COUNTS,
    "recommendation_status_breakdown": COUNTS,
}
PRODUCT = {
    "product_id": str,
    "product_name": str,
    "product_type": str,
    "category": str,
    "persona_targets": [PERSONA],
    "min_income": NUMBER,
    "max_credit_utilization": NUMBER,
    "requires_no_existing_savings": bool,
    "requires_no_existing_investment": bool,
    "min_credit_score": Maybe(int),
    "short_description": str,
    "benefits": [str],
    "typical_apy_or_fee": Maybe(str),
    "partner_link": Maybe(str),
    "disclosure": str,
    "partner_name": str,
    "commission_rate": NUMBER,
    "priority": int,
    "active": bool,
    "created_at": Maybe(TIME),
    "updated_at": Maybe(TIME),
}
SHAPES: dict[str, Any] = {
    "POST /ingest/": {"status": {"success"}, "ingested": COUNTS, "duration_ms": int},
    "POST /features/compute/{}": {"user_id": str, "window_days": int, "features": FIGURES},
    "GET /profile/{}": {
        "user_id": str,
        "full_name": str,
        "email": str,
        "consent_status": bool,
        "features": Each({**FIGURES, "computed_at": TIME}),
        "personas": [REASONED],
    },
    "POST /personas/{}/assign": {"persona_id": int, "user_id": str, **REASONED},
    "GET /personas/{}": [{"persona_id": int, "user_id": str, **REASONED}],
    "GET /users/": {"users": [{**USER, "personas": [ASSIGNED]}], "total": int, "limit": int, "offset": int},
    "GET /users/{}": {**USER, "personas": [REASONED]},
    "GET /operator/dashboard": {
        "total_users": int,
        "users_with_consent": int,
        "persona_distribution": COUNTS,
        "recommendations": COUNTS,
        "metrics": {"avg_latency_ms": NUMBER},
    },
    "GET /operator/users/{}/signals": {
        "user_id": str,
        "user_name": str,
        "consent_status": bool,
        "persona_30d": Maybe(PERSONA),
        "persona_180d": Maybe(PERSONA),
        "30d_signals": SIGNALS,
        "180d_signals": SIGNALS,
    },
    "GET /operator/review": {"recommendations": [IN_REVIEW], "total": int},
    "POST /recommendations/generate/{}": {
        "user_id": str,
        "persona": PERSONA,
        "recommendations": [GENERATED],
        "generation_time_ms": int,
    },
    "GET /recommendations/{}": {"recommendations": [SHOWN], "total": int},
    "POST /recommendations/{}/approve": APPROVED,
    "POST /recommendations/{}/reject": {**DECIDED, "metadata_json": JSON},
    "POST /recommendations/{}/override": {**APPROVED, "original_content": JSON, "override_reason": str},
    "POST /recommendations/bulk-approve": {"approved": int, "failed": int, "errors": [str]},
    "POST /consent/": {"user_id": str, **CONSENT, "history": [{"action": {"granted", "revoked"}, "timestamp": TIME}]},
    "GET /consent/{}": {"user_id": str, **CONSENT, "history": [{"action": {"granted", "revoked"}, "timestamp": TIME}]},
    "GET /products/": {"products": [PRODUCT], "total": int, "skip": int, "limit": int},
    "GET /products/{}": PRODUCT,
    "POST /products/": PRODUCT,
    "PUT /products/{}": PRODUCT,
    "POST /evaluate/": {
        "run_id": str,
        "metrics": {"run_id": str, "timestamp": TIME, **GROUPS, **DETAILS},
        "parquet_exports": Each(str),
        "download_urls": Each(str),
    },
    "GET /evaluate/latest": {"metric_id": int, "run_id": str, "timestamp": TIME, "details": DETAILS, **GROUPS},
    "GET /evaluate/history": {
        "total": int,
        "runs": [
            {
                "metric_id": int,
                "run_id": str,
                "timestamp": TIME,
                **dict.fromkeys(
                    ("coverage_percentage", "explainability_percentage", "avg_recommendation_latency_ms",
                     "auditability_percentage"), NUMBER),
                "details": DETAILS,
            }
        ],
    },
    "GET /evaluate/exports/latest": {
        "total": int,
        "exports": [{"key": str, "size": int, "last_modified": TIME, "prefix": str, "download_url": Maybe(str)}],
    },
}  # fmt: skip
"""By method and path what a success answers."""


class Client:
    """Calls routes as an app does and holds each answer against its shape. ``web`` is an HTTP client."""

    def __init__(self, web: Any) -> None:
        self.web = web
        self.called: set[str] = set()

    def __call__(self, route: str, *ids: str, expect: int = 200, body: Any = None, **query: Any) -> Any:
        """The answer of a route, ``{}`` in its path filled with the ids; ``expect`` is the status."""
        method, path = route.split(" ")
        content = {} if body is None else {"json": body}
        found = self.web.request(method, path.format(*ids), params=query, follow_redirects=False, **content)
        assert found.status_code == expect, f"{route} {ids}: {found.status_code} {found.text[:1000]}"
        answer = found.json() if found.content else None
        if expect in (200, 201):
            faults = misfits(answer, SHAPES[route])
            assert not faults, f"{route}: {faults[:10]}"
            for offer in _offers(answer):
                assert not misfits(offer, OFFER), misfits(offer, OFFER)
            self.called.add(route)
        elif expect in (400, 403, 404, 409) and route != "POST /recommendations/bulk-approve":
            assert isinstance(answer["detail"], str), "pages print it"
        return answer


def _offers(answer: Any) -> list[dict[str, Any]]:
    rows = answer.get("recommendations") if isinstance(answer, dict) else None
    return [row for row in rows if row["content_type"] == "partner_offer"] if isinstance(rows, list) else []


def household(user_id: str, until: dt.date, days: int = 120) -> dict[str, list[dict[str, Any]]]:
    """A customer with consent, a checking account, a card near its limit, pay every two weeks and groceries."""
    user = {
        "user_id": user_id,
        "full_name": "Robin Vale",
        "email": f"{user_id}@example.com",
        "consent_status": True,
        "consent_granted_at": "2026-06-01T08:00:00",
        "created_at": "2025-06-01T08:00:00",
        "favourite_colour": "green",
    }
    checking = {
        "account_id": f"{user_id}_checking",
        "user_id": user_id,
        "type": "depository",
        "subtype": "checking",
        "balance_current": 1_900.0,
        "balance_available": 1_900.0,
    }
    card = {
        "account_id": f"{user_id}_card",
        "user_id": user_id,
        "type": "credit",
        "subtype": "credit card",
        "balance_current": 4_100.0,
        "balance_limit": 5_000.0,
    }
    rows = []
    for ago in range(days):
        pay = ago % 14 == 3
        rows.append(
            {
                "transaction_id": f"{user_id}_{ago}",
                "account_id": checking["account_id"],
                "user_id": user_id,
                "date": f"{until - dt.timedelta(days=ago)}T10:15:00",
                "amount": 2_150.0 if pay else -31.4,
                "merchant_name": "Brightwell Payroll" if pay else "Corner Grocery",
                "category_primary": "INCOME" if pay else "FOOD_AND_DRINK",
                "category_detailed": "INCOME_WAGES" if pay else "FOOD_AND_DRINK_GROCERIES",
                "payment_channel": "other",
            }
        )
    owed = {
        "liability_id": f"{user_id}_owed",
        "account_id": card["account_id"],
        "user_id": user_id,
        "liability_type": "credit_card",
        "minimum_payment_amount": 80.0,
        "last_payment_amount": 400.0,
        "is_overdue": False,
    }
    return {"users": [user], "accounts": [checking, card], "transactions": rows, "liabilities": [owed]}
