"""The stages from personas to drafts, for a range of whole customers, each with what a run says of it.

Called by name where ranges are computed (``frame_ranges.py``). What does not belong here: any decision.
"""

import datetime as dt
import functools
import json
from collections import Counter
from collections.abc import Mapping

import pandas as pd

from spendsense_pipeline.personas.assignment import assign_personas
from spendsense_pipeline.personas.trust import not_drafted, trusted
from spendsense_pipeline.recommendations import drafts, offers
from spendsense_pipeline.recommendations import situations as found
from spendsense_pipeline.recommendations.guardrails import Judged

Told = tuple[pd.DataFrame, dict[str, Counter[str]]]


def persona_assignments_30d(features_30d: pd.DataFrame) -> Told:
    """``assignment.assign_personas``; told are customers by ``persona``, those of a ``fallback`` apart."""
    return _assigned(features_30d)


def persona_assignments_180d(features_180d: pd.DataFrame) -> Told:
    """The same for the longer window."""
    return _assigned(features_180d)


def _assigned(features: pd.DataFrame) -> Told:
    rows = assign_personas(features)
    fallback = rows["is_fallback"].astype(bool)
    personas = {"persona": rows.loc[~fallback, "persona"], "fallback": rows.loc[fallback, "persona"]}
    return rows, {name: Counter(persona.tolist()) for name, persona in personas.items()}


def situations(
    persona_assignments_30d: pd.DataFrame,
    persona_assignments_180d: pd.DataFrame,
    features_30d: pd.DataFrame,
    features_180d: pd.DataFrame,
    recurring_streams: pd.DataFrame,
    cards: pd.DataFrame,
    insights: pd.DataFrame,
    stale_days: int,
) -> Told:
    """``situations.situations`` of those who may be written to; told are rows by ``situation`` and by ``kind``, and the
    customers ``not_drafted``, by reason too."""
    current = trusted(persona_assignments_30d, features_30d, stale_days)
    rows = found.situations(
        current, persona_assignments_180d, features_30d, features_180d, recurring_streams, cards, insights
    )
    kinds = Counter(
        customers=int(rows["insight"].isna().sum()),
        insights=int(rows["insight"].notna().sum()),
        not_drafted=len(persona_assignments_30d) - len(current),
        **{str(reason): int(n) for reason, n in not_drafted(features_30d, stale_days).sum().items()},
    )
    return rows, {"kind": kinds, "situation": Counter(rows["situation"].tolist())}


def product_matches(
    persona_assignments_30d: pd.DataFrame,
    persona_assignments_180d: pd.DataFrame,
    features_30d: pd.DataFrame,
    features_180d: pd.DataFrame,
    insights: pd.DataFrame,
    products: pd.DataFrame,
    stale_days: int,
) -> Told:
    """``offers.product_matches`` of those who may be written to; told is how many are ``shown``."""
    current = trusted(persona_assignments_30d, features_30d, stale_days)
    rows = offers.product_matches(current, persona_assignments_180d, features_30d, features_180d, products, insights)
    return rows, {"shown": Counter(all=int(rows["shown"].sum()))}


def draft_recommendations(
    situations: pd.DataFrame,
    product_matches: pd.DataFrame,
    consents: pd.DataFrame,
    history: pd.DataFrame,
    education_templates: pd.DataFrame,
    products: pd.DataFrame,
    day: dt.date,
    known_until: dt.datetime,
    wordings: Mapping[tuple[str, str], str],
) -> Told:
    """``drafts.draft_recommendations``; told are customers, drafts with findings, and each ``finding``."""
    rows = drafts.draft_recommendations(
        situations,
        education_templates,
        product_matches,
        products,
        consents,
        history,
        day,
        known_until=known_until,
        wordings=wordings,
        judged=_judged(),
    )
    each = [json.loads(found) for found in rows.loc[rows["findings"] != "[]", "findings"]]
    findings = Counter(f"{one['check'].replace('_', ' ')}, {one['severity']}" for some in each for one in some)
    kinds = Counter(customers=int(rows["user_id"].nunique()), with_findings=len(each))
    return rows, {"kind": kinds, "finding": findings}


@functools.cache
def _judged() -> Judged:
    """The wordings that this process has judged: the ranges that it computes share most of them."""
    return {}
