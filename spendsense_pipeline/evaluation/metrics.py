"""The metrics of a day, each one a ratio or a count that anybody can recompute from the tables.

Frames in, one frame out. What the governance database knows comes in as plain frames (shapes below), so that
this room needs no database. How the metrics are shown belongs in ``report.py``.

Frames of governance facts:

- consents: ``user_id``, ``scope``; one row per live period.
- decisions: ``recommendation_id``, ``user_id``, ``operator_id``, ``ordinal``, ``action`` (``approve``, ``reject``,
  ``override``, ``undo``), ``decided_at``, ``registered_at`` (when the text first entered the queue); all of them, in
  any order.
"""

import datetime as dt
import functools
import json
import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.frames import values
from spendsense_pipeline.governance.models import SCOPE_OF
from spendsense_pipeline.personas.assignment import followed
from spendsense_pipeline.personas.rules import BY_PRIORITY
from spendsense_pipeline.recommendations.guardrails import MARK, wording
from spendsense_pipeline.recommendations.guardrails.grounding import grounding
from spendsense_pipeline.recommendations.guardrails.text import Text
from spendsense_pipeline.recommendations.shown_figures import figures
from spendsense_pipeline.recommendations.slots import UNCHANGED

TRUST: Final = ("data_age_days", "balance_age_days", "explained_share", "unlinked_cards", "unlinked_card_payments")
"""Features that may be unknown and say how far to trust the others; they are no signal of the customer's money."""
SIGNALS: Final = [
    name
    for name, column in CONTRACTS["features_30d"].columns.items()
    if column.nullable and name not in ("currency", *TRUST)
]
"""The features that can be unknown; a customer of whom three are known has been seen."""
SIGNALS_NEEDED: Final = 3

VERIFIED_DAYS: Final = 30
"""How far back a day's evaluation verifies releases, figure by figure: a day's cost must not grow with all history.
Of all releases `audit verify` holds texts and decisions against the chain, and the gate's check their consent."""

DEFINITIONS: Final = tomllib.loads(Path(__file__).with_name("metrics.toml").read_text(encoding="utf-8"))
OF_PERSONAS: Final[dict[str, str]] = DEFINITIONS.pop("persona")
"""What each metric measures, by its name; of a persona's by window."""


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
    borne_out: Sequence[bool],
) -> pd.DataFrame:
    """The metrics of ``as_of`` (contract ``EvaluationMetrics``), always the same rows in the same order.

    ``value`` is null where there was nothing to measure; ratios carry numerator and denominator, counts do
    not. Each metric's meaning stands in ``definition``; the shapes of the last two frames in this module's
    docstring. ``borne_out`` says of each release whether its stored rows bear it out (``verified``).
    """
    consenting = features_30d["user_id"].isin(consents["user_id"])
    covered = _covered(personas_30d, personas_180d, features_30d, features_180d)
    timed = templates.drop_duplicates("template_id")["generation_ms"].dropna().astype(float)
    offers = drafts[drafts["content_type"] == "partner_offer"]
    education = drafts[drafts["content_type"] == "education"]
    eligible = matches.loc[matches["eligible"].astype(bool), ["user_id", "product_id"]]
    standing = standing_decisions(decisions)
    waited = _hours_waited(standing)

    def decided(action: str) -> tuple[float, float]:
        return _sum(standing["action"] == action), len(standing)

    rows: dict[str, tuple[float | None, float | None, float | None]] = {
        "customers": (len(features_30d), None, None),
        "customers_with_consent": (_sum(consenting), None, None),
        "coverage": _ratio(_sum(covered.isin(consents["user_id"])), _sum(consenting)),
        "explainability": _ratio(_sum(explained(drafts)), len(drafts)),
        "auditability": _ratio(float(sum(borne_out)), len(borne_out)),
        "latency_ms_avg": _ratio(float(timed.sum()), len(timed)),
        "latency_ms_p95": (float(timed.quantile(0.95)) if len(timed) else None, None, None),
        "offer_share": _ratio(len(offers), len(drafts)),
        "offer_eligibility_rate": _ratio(len(offers.merge(eligible, on=["user_id", "product_id"])), len(offers)),
        "education_to_offer_ratio": _ratio(len(education), len(offers)),
        "operator_agreement": _ratio(*decided("approve")),
        "override_rate": _ratio(*decided("override")),
        "rejection_rate": _ratio(*decided("reject")),
        "hours_to_decision_avg": _ratio(round(float(waited.sum()), 6), len(standing)),
        "hours_to_decision_median": (float(waited.median()) if len(waited) else None, None, None),
    }
    definitions = {name: said.format(verified_days=VERIFIED_DAYS) for name, said in DEFINITIONS.items()}
    for window, personas in ((30, personas_30d), (180, personas_180d)):
        fallback = personas["is_fallback"].astype(bool)
        counts = personas.loc[~fallback, "persona"].value_counts()
        for persona in BY_PRIORITY:
            name = f"persona_{window}d_{persona}"
            rows[name] = (float(counts.get(persona, 0)), None, None)
            definitions[name] = OF_PERSONAS["matched"].format(window=window, persona=persona)
        rows[f"persona_{window}d_fallback"] = (_sum(fallback), None, None)
        definitions[f"persona_{window}d_fallback"] = OF_PERSONAS["fallback"].format(window=window)
    groups = list(fairness(followed(personas_30d, personas_180d), features_180d, drafts, consents, standing))
    metrics = [*rows, *(f"{g.measure}_by_{g.dimension}_{g.band.replace(' ', '_')}" for g in groups)]
    values = [*rows.values(), *(_ratio(g.numerator, g.denominator) for g in groups)]
    of_everybody = [None] * len(rows)
    return pd.DataFrame(
        {
            "as_of": pd.Series([as_of] * len(metrics), dtype=object),
            "metric": pd.Series(metrics, dtype="str"),
            "value": pd.Series([value for value, _, _ in values], dtype=float),
            "numerator": pd.Series([above for _, above, _ in values], dtype=float),
            "denominator": pd.Series([below for _, _, below in values], dtype=float),
            "measure": pd.Series([*of_everybody, *(g.measure for g in groups)], dtype="str"),
            "dimension": pd.Series([*of_everybody, *(g.dimension for g in groups)], dtype="str"),
            "band": pd.Series([*of_everybody, *(g.band for g in groups)], dtype="str"),
            "definition": pd.Series(
                [*(definitions[name] for name in rows), *(g.definition for g in groups)], dtype="str"
            ),
        }
    )


@dataclass(frozen=True)
class GroupRate:
    """One cell of the fairness table: ``numerator`` of ``denominator`` in one band of one dimension."""

    measure: str
    dimension: str
    band: str
    numerator: float
    denominator: float
    definition: str


INCOME_BANDS: Final = ((0, "under 2000"), (2_000, "2000 to 4000"), (4_000, "4000 to 8000"), (8_000, "8000 or more"))
"""Earned income a month in US dollars: around a half, one and two times the median of US full-time wages."""
HISTORY_BANDS: Final = ((0, "under 60 days"), (60, "60 to 179 days"), (180, "180 to 364 days"), (365, "365 or more"))
"""Known history: below 60 days no subscription can be denied, below 180 the long window is not full."""
UNKNOWN: Final = "unknown"


def fairness(
    personas: pd.DataFrame,
    features: pd.DataFrame,
    drafts: pd.DataFrame,
    consents: pd.DataFrame,
    standing: pd.DataFrame,
) -> Iterator[GroupRate]:
    """Persona, offer and rejection rates by income band and by history length, every cell with its counts.

    ``personas`` are those that drafts follow, ``features`` the 180-day ones, ``standing`` the decisions that stand. A
    difference between bands is a question, not yet a fault: personas are about money and so differ by income.
    """
    customers = fairness_bands(features)
    followed_by = customers.merge(personas[["user_id", "persona", "is_fallback"]], on="user_id")
    label = followed_by["persona"].where(~followed_by["is_fallback"].astype(bool), "fallback")
    agreed = customers[customers["user_id"].isin(consents.loc[consents["scope"] == "partner_offers", "user_id"])]
    offered = agreed["user_id"].isin(drafts.loc[drafts["content_type"] == "partner_offer", "user_id"])
    decided = standing[["user_id", "action"]].merge(customers, on="user_id")
    names = [*BY_PRIORITY, "fallback"]
    measures: list[tuple[str, pd.DataFrame, pd.Series, str]] = [
        (f"persona_rate_{name}", followed_by, label == name, f"customers who follow {name}, by customers")
        for name in names
    ]
    measures += [
        ("offer_rate", agreed, offered, "customers with a drafted offer, by customers who agreed to offers"),
        ("rejection_rate", decided, decided["action"] == "reject", "texts that were rejected, by decided texts"),
    ]
    for dimension, bands in (("income_band", INCOME_BANDS), ("history_band", HISTORY_BANDS)):
        for measure, whole, met, definition in measures:
            above, below = whole.loc[met, dimension].value_counts(), whole[dimension].value_counts()
            for band in [*(name for _, name in bands), *([UNKNOWN] if dimension == "income_band" else [])]:
                counted = (float(above.get(band, 0)), float(below.get(band, 0)))
                said = f"{definition}, {dimension.replace('_', ' ')} {band}"
                yield GroupRate(measure, dimension, band, *counted, said)


def fairness_bands(features: pd.DataFrame) -> pd.DataFrame:
    """The groups that fairness is looked at by: user_id, income_band, history_band; ``features`` the 180-day ones."""
    return features[["user_id"]].assign(
        income_band=_band_of(features["avg_monthly_income"] / features["currency_factor"], INCOME_BANDS),
        history_band=_band_of(features["history_days"], HISTORY_BANDS),
    )


def _band_of(values: pd.Series, bands: tuple[tuple[int, str], ...]) -> pd.Series:
    """The band that each value falls into, its lower edge included."""
    edges = [edge for edge, _ in bands]
    cut = pd.cut(values.astype(float), [*edges, math.inf], right=False, labels=[name for _, name in bands])
    return cut.astype(object).where(cut.notna(), UNKNOWN)


def decisions_by_operator(decisions: pd.DataFrame) -> pd.DataFrame:
    """How each operator decided: operator_id, approve, override, reject (standing), undone, hours (median wait)."""
    standing = standing_decisions(decisions)
    waited = _hours_waited(standing)
    counted = pd.crosstab(standing["operator_id"], standing["action"])
    counted = counted.reindex(columns=["approve", "override", "reject"], fill_value=0)
    counted["undone"] = decisions[decisions["action"] == "undo"].groupby("operator_id").size()
    counted["hours"] = waited.groupby(standing["operator_id"]).median()
    return counted.fillna({"undone": 0}).astype({"undone": int}).rename_axis("operator_id").reset_index()


def explained(drafts: pd.DataFrame) -> pd.Series:
    """For each draft, whether its rationale says something and every figure in it comes from the draft's slots."""
    said = [figures(rationale) for rationale in values(drafts["rationale"])]
    grounded = [
        not claimed
        or set(claimed) <= {one for slot in json.loads(slots).values() for one in figures(str(slot.get("shown", "")))}
        for claimed, slots in zip(said, values(drafts["slots"]), strict=True)
    ]
    return pd.Series(grounded, index=drafts.index, dtype=bool) & (drafts["rationale"].str.strip() != "")


def verified(releases: pd.DataFrame) -> pd.Series:
    """For each release (``governance.database_frames.releases``), whether the stored rows bear it out.

    The text still has the hash that was decided on and released; the decision approves or overrides that very
    recommendation and came before; the consent is the customer's own, in the scope of the content, and was
    live at the moment of release; the figures in the text are the stored signals (``grounded``). A fact that is
    missing bears out nothing.
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
    # By customer, whose texts rest on the same signals: they are read once.
    texts = r.sort_values("user_id")[list(_TEXT_COLUMNS)]
    clean: set[tuple[str, ...]] = set()
    figured = pd.Series([grounded(row, clean) for row in texts.to_dict("records")], index=texts.index, dtype=bool)
    return (text & decision & consent & figured).fillna(False).astype(bool)


_SIDE_BY_SIDE: Final = 2 * MARK
"""Two slots without anything between them, in a wording: whether they make one figure depends on what they show."""
_TEXT_COLUMNS: Final = ("content_type", "title", "content", "rationale", "slots", "signals", "window_days")


def grounded(release: dict[Any, Any], clean: set[tuple[str, ...]]) -> bool:
    """Whether each figure of a released text is what a stored slot shows, and that slot what the stored signals say.

    ``clean``: the wordings of which it is known that no figure stands in them beside those of the slots; what is new
    is added. Slots that show a signal itself are held against it; those that are computed from signals, and those
    filled from streams, are taken at their stored value. ``signals``: {features: {window: {signal: value}}, streams:
    […]}.
    """
    if not isinstance(release["slots"], str) or not isinstance(release["signals"], str):
        return False
    slots, words = json.loads(release["slots"]), (release["title"], release["content"], release["rationale"])
    said = wording(words, slots)
    if said not in clean:
        if grounding(Text.of(release["content_type"], *words, slots)):
            return False
        if _SIDE_BY_SIDE not in said[0]:
            clean.add(said)
    known = _signals(release["signals"]).get(str(release["window_days"]), {})
    return all(
        _same_figure(slot["value"], known[slot["signal"]])
        for name, slot in slots.items()
        if name in UNCHANGED and slot["signal"] in known
    )


@functools.lru_cache(maxsize=256)
def _signals(stored: str) -> dict[str, dict[str, Any]]:
    """The signals by window, not to be changed: the releases of a customer rest on the same."""
    signals: dict[str, dict[str, Any]] = json.loads(stored)["features"]
    return signals


def _same_figure(value: Any, other: Any) -> bool:
    if isinstance(value, int | float) and isinstance(other, int | float):
        return math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-6)  # slots keep six decimals
    return bool(value == other)


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


def _hours_waited(decisions: pd.DataFrame) -> pd.Series:
    """From entering the queue to the decision."""
    return (_moments(decisions["decided_at"]) - _moments(decisions["registered_at"])).dt.total_seconds() / 3600


def _moments(times: pd.Series) -> pd.Series:
    """Aware times, also where a frame without rows brought no type."""
    return pd.to_datetime(times, utc=True)


def _sum(flags: pd.Series) -> float:
    return float(flags.astype(bool).sum())


def _ratio(above: float, below: float) -> tuple[float | None, float | None, float | None]:
    """Value, numerator, denominator; no value where the denominator is 0."""
    return (above / below if below else None, above, below)
