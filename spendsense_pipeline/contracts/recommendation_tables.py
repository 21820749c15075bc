"""Contracts of what is written for customers: templates by situation, product matches, drafts."""

import pandas as pd
import pandera.pandas as frame
from pandera.engines.pandas_engine import Date

from spendsense_pipeline.contracts.base import FrameContract, described
from spendsense_pipeline.contracts.insight_tables import SEVERITIES
from spendsense_pipeline.contracts.persona_tables import PERSONAS, SHARE

CONTENT_TYPES = ["education", "partner_offer"]


class Situations(FrameContract):
    """One row per customer for the persona that is followed and for each insight that may be told, with all that the
    writing for it may rest on."""

    user_id: str = described(frame, "the customer")
    as_of: Date = described(frame, "day")
    window_days: pd.Int64Dtype = described(frame, "window of the persona that is followed", "days")
    persona: str = described(frame, "that persona", isin=PERSONAS)
    is_fallback: pd.BooleanDtype = described(frame, "no persona's criteria were met")
    situation: str = described(
        frame, "persona or insight, banded facts and a hash of the available slots: a stable key"
    )
    facts: str = described(frame, "JSON: fact to band")
    slots: str = described(frame, "JSON: slot to {signal, value, shown}, only what can be shown", personal=True)
    reasons: str = described(frame, "JSON list of the persona's reasons", personal=True)
    insight: str = described(frame, "the insight that is told", null="the persona's row")
    insight_id: str = described(frame, "its happening", null="the persona's row")
    severity: str = described(frame, "how urgent", null="the persona's row", isin=SEVERITIES)
    excluded_tags: str = described(
        frame,
        "JSON list: what pieces of the persona may not do beside the customer's insights",
        null="an insight's row",
    )
    excluded_purposes: str = described(
        frame, "JSON list: what its insights are for, said by them alone", null="an insight's row"
    )

    class Config:
        strict = True
        unique = ["user_id", "situation"]


class EducationTemplates(FrameContract):
    """One row per situation of the day and piece that fits it; figures stand as ``{{ slots }}``."""

    as_of: Date = described(frame, "day")
    situation: str = described(frame, "persona or insight and banded facts, a stable key")
    persona: str = described(frame, "persona of the situation", null="it is an insight's", isin=PERSONAS)
    template_id: str = described(frame, "the piece")
    rank: pd.Int64Dtype = described(frame, "how well it fits, 1 first", ge=1)
    title: str = described(frame, "title, may hold slots")
    content: str = described(frame, "text, figures only as slots")
    facts: str = described(frame, "JSON list of the facts the piece asserts")
    slots: str = described(frame, "JSON list of the slots it needs")
    tags: str = described(frame, "JSON list: what it does that is wrong beside some insights")
    template_hash: str = described(frame, "of title, content, facts")
    generator: str = described(frame, "library or openai", isin=["library", "openai"])
    model: str = described(frame, "model that wrote it", null="the library")
    prompt_version: str = described(frame, "version of the persona prompt, or of the library's piece")
    generation_ms: float = described(frame, "time the writing took", "ms", null="library", ge=0)

    class Config:
        strict = True
        unique = ["situation", "template_id"]


class ProductMatches(FrameContract):
    """One row per customer and product that was considered: shown or refused, and why."""

    user_id: str = described(frame, "the customer")
    as_of: Date = described(frame, "day")
    window_days: pd.Int64Dtype = described(frame, "window of the features used", "days")
    product_id: str = described(frame, "the product")
    product_type: str = described(frame, "its type")
    relevance: float = described(frame, "score", "0-1", in_range=SHARE)
    eligible: pd.BooleanDtype = described(frame, "meets the published criteria")
    shown: pd.BooleanDtype = described(frame, "eligible, relevant and among the best two")
    rank: pd.Int64Dtype = described(frame, "among the eligible and relevant, 1 first", null="no candidate", ge=1)
    refused: str = described(frame, "JSON list of reason codes, empty when shown")
    factors: str = described(
        frame, "JSON list of {signal, value, operator, threshold, points} that scored", personal=True
    )

    class Config:
        strict = True
        unique = ["user_id", "product_id"]


class DraftRecommendations(FrameContract):
    """One row per text that may be shown to one customer, once approved."""

    recommendation_id: str = described(frame, "the draft", str_startswith="rec_")
    user_id: str = described(frame, "for whom")
    as_of: Date = described(frame, "day of its figures")
    window_days: pd.Int64Dtype = described(frame, "window of the persona it follows", "days")
    persona: str = described(frame, "persona it follows", isin=PERSONAS)
    content_type: str = described(frame, "kind", isin=CONTENT_TYPES)
    title: str = described(frame, "title as shown", personal=True, str_length={"min_value": 1, "max_value": 200})
    content: str = described(frame, "text as shown", personal=True, str_length={"min_value": 1, "max_value": 8000})
    rationale: str = described(
        frame, "why this customer sees it, written by code", personal=True, str_length={"min_value": 1}
    )
    content_hash: str = described(frame, "sha256 of type, title, content, rationale, product")
    template_id: str = described(frame, "piece or offer form it was rendered from")
    template_hash: str = described(frame, "of its wording: the piece's words and facts, or the product's words")
    situation: str = described(frame, "persona or insight and banded facts")
    slots: str = described(frame, "JSON: slot to {signal, value, shown}", personal=True)
    reasons: str = described(frame, "JSON list of the persona's reasons", personal=True)
    product_id: str = described(frame, "product of an offer", null="education")
    findings: str = described(frame, "JSON list of {check, severity, message}")
    generator: str = described(frame, "library or openai", isin=["library", "openai"])
    model: str = described(frame, "model that wrote the template", null="the library")
    prompt_version: str = described(frame, "version of the prompt, piece or offer form")
    generation_ms: float = described(frame, "time the template took", "ms", null="library", ge=0)
    consent_id: str = described(frame, "consent period the draft was made under")
    insight: str = described(frame, "the insight it tells", null="a persona's piece, or an offer")
    insight_id: str = described(frame, "its happening: told once", null="as insight")

    class Config:
        strict = True
        unique = ["recommendation_id"]
