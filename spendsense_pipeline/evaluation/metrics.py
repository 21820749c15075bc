"""The metrics of a day, each one a ratio or a count that anybody can recompute from the tables.

Frames in, one frame out. What the governance database knows comes in as plain frames (shapes below), so that
this room needs no database. How the metrics are shown belongs in ``report.py``.

Frames of governance facts:

- consents: ``user_id``, ``scope``; one row per live period.
- decisions: ``recommendation_id``, ``ordinal``, ``action`` (``approve``, ``reject``, ``override``, ``undo``),
  ``decided_at``, ``registered_at`` (when the text first entered the queue); all of them, in any order.
- releases: ``RELEASE_COLUMNS``; one row per release, joined by its own keys to what it cites, null where a
  join finds nothing. ``text_hash`` is recomputed from the stored text, not copied.
"""

import datetime as dt
import json
from typing import Any, Final

import pandas as pd

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.personas.assignment import followed
from spendsense_pipeline.personas.rules import RULES
from spendsense_pipeline.recommendations.figures import figures

RELEASE_COLUMNS: Final = (
    "release_id",
    "recommendation_id",
    "user_id",
    "content_type",
    "content_hash",
    "text_hash",
    "released_at",
    "consent_user_id",
    "consent_scope",
    "consent_opened_at",
    "consent_closed_at",
    "decision_recommendation_id",
    "decision_action",
    "decision_hash",
    "decided_at",
)

SIGNALS: Final = [
    name
    for name, column in CONTRACTS["features_30d"].to_schema().columns.items()
    if column.nullable and name != "currency"
]
"""The features that can be unknown; a customer of whom three are known has been seen."""
SIGNALS_NEEDED: Final = 3

SCOPE_OF: Final = {"education": "education", "partner_offer": "partner_offers"}

DEFINITIONS: Final[dict[str, str]] = {
    "customers": "customers with features on the day",
    "customers_with_consent": "of them, those with live consent in at least one scope",
    "coverage": "customers with live consent whose followed persona is no fallback and of whom at least three signals "
    "are known, by customers with live consent",
    "explainability": "drafts with a rationale whose every figure is the text of one of the draft's slots, by drafts",
    "auditability": "releases whose stored consent, decision and text hash agree with the release, by releases",
    "latency_ms_avg": "mean time a language model took for a template, milliseconds; null where the library wrote",
    "latency_ms_p95": "95th percentile of the time a language model took for a template, milliseconds",
    "offer_eligibility_rate": "drafted offers whose customer meets the product's published criteria, by drafted offers",
    "education_to_offer_ratio": "drafted pieces of education by drafted offers",
    "operator_agreement": "texts whose standing decision approves them unchanged, by decided texts",
    "override_rate": "texts whose standing decision replaced them, by decided texts",
    "rejection_rate": "texts whose standing decision rejects them, by decided texts",
    "hours_to_decision_avg": "mean hours from entering the queue to the standing decision",
}
_WINDOW_DEFINITIONS: Final = {
    "matched": "customers whose persona by the {window}-day signals is {persona}, fallbacks left out",
    "fallback": "customers whom no persona matched by the {window}-day signals",
}


def evaluation_metrics(
    as_of: dt.date,
    *,
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
    features_30d: pd.DataFrame,
    features_180d: pd.DataFrame,
    templates: pd.DataFrame,
    matches: pd.DataFrame,
    drafts: pd.DataFrame,
    consents: pd.DataFrame,
    decisions: pd.DataFrame,
    releases: pd.DataFrame,
) -> pd.DataFrame:
    """The metrics of ``as_of`` (contract ``EvaluationMetrics``), always the same rows in the same order.

    ``value`` is null where there was nothing to measure; ratios carry numerator and denominator, counts do
    not. Each metric's meaning stands in ``definition``; the shapes of the last three frames in this module's
    docstring.
    """
    consenting = features_30d["user_id"].isin(consents["user_id"])
    covered = _covered(personas_30d, personas_180d, features_30d, features_180d)
    timed = templates.drop_duplicates("template_id")["generation_ms"].dropna().astype(float)
    offers = drafts[drafts["content_type"] == "partner_offer"]
    education = drafts[drafts["content_type"] == "education"]
    standing = standing_decisions(decisions)
    waited = (_moments(standing["decided_at"]) - _moments(standing["registered_at"])).dt.total_seconds() / 3600

    def decided(action: str) -> tuple[float, float]:
        return _sum(standing["action"] == action), len(standing)

    rows: dict[str, tuple[float | None, float | None, float | None]] = {
        "customers": (len(features_30d), None, None),
        "customers_with_consent": (_sum(consenting), None, None),
        "coverage": _ratio(_sum(covered.isin(consents["user_id"])), _sum(consenting)),
        "explainability": _ratio(_sum(explained(drafts)), len(drafts)),
        "auditability": _ratio(_sum(verified(releases)), len(releases)),
        "latency_ms_avg": _ratio(float(timed.sum()), len(timed)),
        "latency_ms_p95": (float(timed.quantile(0.95)) if len(timed) else None, None, None),
        "offer_eligibility_rate": _ratio(_eligible(offers, matches), len(offers)),
        "education_to_offer_ratio": _ratio(len(education), len(offers)),
        "operator_agreement": _ratio(*decided("approve")),
        "override_rate": _ratio(*decided("override")),
        "rejection_rate": _ratio(*decided("reject")),
        "hours_to_decision_avg": _ratio(round(float(waited.sum()), 6), len(standing)),
    }
    definitions = dict(DEFINITIONS)
    for window, personas in ((30, personas_30d), (180, personas_180d)):
        fallback = personas["is_fallback"].astype(bool)
        counts = personas.loc[~fallback, "persona"].value_counts()
        for persona in dict.fromkeys(rule.persona for rule in RULES):
            name = f"persona_{window}d_{persona}"
            rows[name] = (float(counts.get(persona, 0)), None, None)
            definitions[name] = _WINDOW_DEFINITIONS["matched"].format(window=window, persona=persona)
        rows[f"persona_{window}d_fallback"] = (_sum(fallback), None, None)
        definitions[f"persona_{window}d_fallback"] = _WINDOW_DEFINITIONS["fallback"].format(window=window)
    return pd.DataFrame(
        {
            "as_of": pd.Series([as_of] * len(rows), dtype=object),
            "metric": pd.Series(list(rows), dtype="str"),
            "value": pd.Series([value for value, _, _ in rows.values()], dtype=float),
            "numerator": pd.Series([above for _, above, _ in rows.values()], dtype=float),
            "denominator": pd.Series([below for _, _, below in rows.values()], dtype=float),
            "definition": pd.Series([definitions[name] for name in rows], dtype="str"),
        }
    )


def explained(drafts: pd.DataFrame) -> pd.Series:
    """For each draft, whether its rationale says something and every figure in it comes from the draft's slots."""
    grounded = [
        bool(rationale.strip()) and set(figures(rationale)) <= _shown(slots)
        for rationale, slots in zip(drafts["rationale"], drafts["slots"], strict=True)
    ]
    return pd.Series(grounded, index=drafts.index, dtype=bool)


def verified(releases: pd.DataFrame) -> pd.Series:
    """For each release (``RELEASE_COLUMNS``), whether the stored rows bear it out.

    The text still has the hash that was decided on and released; the decision approves or overrides that very
    recommendation and came before; the consent is the customer's own, in the scope of the content, and was
    live at the moment of release. A fact that is missing bears out nothing.
    """
    r = releases
    released_at, closed_at = _moments(r["released_at"]), _moments(r["consent_closed_at"])
    text = (r["text_hash"] == r["content_hash"]) & (r["decision_hash"] == r["content_hash"])
    decision = (
        (r["decision_recommendation_id"] == r["recommendation_id"])
        & r["decision_action"].isin(["approve", "override"])
        & (_moments(r["decided_at"]) <= released_at)
    )
    consent = (
        (r["consent_user_id"] == r["user_id"])
        & (r["consent_scope"] == r["content_type"].map(SCOPE_OF))
        & (_moments(r["consent_opened_at"]) <= released_at)
        & (closed_at.isna() | (closed_at > released_at))
    )
    return (text & decision & consent).fillna(False).astype(bool)


def standing_decisions(decisions: pd.DataFrame) -> pd.DataFrame:
    """The last decision on each recommendation, without those that were undone."""
    last = decisions.sort_values(["recommendation_id", "ordinal"]).drop_duplicates("recommendation_id", keep="last")
    return last[last["action"] != "undo"]


def _covered(
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
    features_30d: pd.DataFrame,
    features_180d: pd.DataFrame,
) -> pd.Series:
    """Ids of the customers with a persona of their own and enough known signals in the window it is of."""
    features = pd.concat([features_30d, features_180d])
    known = features[["user_id", "window_days"]].assign(known=features[SIGNALS].notna().sum(axis=1))
    chosen = followed(personas_30d, personas_180d).merge(known, on=["user_id", "window_days"])
    return chosen.loc[~chosen["is_fallback"].astype(bool) & (chosen["known"] >= SIGNALS_NEEDED), "user_id"]


def _eligible(offers: pd.DataFrame, matches: pd.DataFrame) -> float:
    """How many offers were drafted for a customer who meets the product's criteria."""
    criteria = matches.loc[matches["eligible"].astype(bool), ["user_id", "product_id"]]
    return float(len(offers.merge(criteria, on=["user_id", "product_id"])))


def _shown(slots: str) -> set[str]:
    """The figures that a draft's slots show: slots are JSON, slot → {signal, value, shown}."""
    filled: dict[str, dict[str, Any]] = json.loads(slots)
    return {figure for slot in filled.values() for figure in figures(str(slot.get("shown", "")))}


def _moments(times: pd.Series) -> pd.Series:
    """Aware times, also where a frame without rows brought no type."""
    return pd.to_datetime(times, utc=True)


def _sum(flags: pd.Series) -> float:
    return float(flags.astype(bool).sum())


def _ratio(above: float, below: float) -> tuple[float | None, float | None, float | None]:
    """Value, numerator, denominator; no value where the denominator is 0."""
    return (above / below if below else None, above, below)
