"""Who gets which texts today: the drafts of one day, for customers with live consent.

Pure and aware of history: what was drafted before this day decides what is not drafted again; the same
inputs give the same frame. What does not belong here: the words (``library.py``, ``render.py``), and what
becomes of a draft (``governance``): registration replaces, approval and release are decided there.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pandas as pd

from spendsense_pipeline.contracts.recommendations import DraftRecommendations
from spendsense_pipeline.recommendations.guardrails import findings
from spendsense_pipeline.recommendations.identity import content_hash, recommendation_id, template_hash
from spendsense_pipeline.recommendations.render import (
    RenderError,
    fill_slots,
    offer_rationale,
    product_slots,
    rationale,
    render_education,
    render_offer,
)
from spendsense_pipeline.recommendations.situations import records
from spendsense_pipeline.recommendations.slots import SLOT, SLOTS, fill

EDUCATION_AT_MOST: Final = 3
EDUCATION_AT_LEAST: Final = 2
OFFERS_AT_MOST: Final = 2
"""Three to five drafts a customer, by the programme's specification."""
REJECTED_DAYS: Final = 90
"""A rejection keeps the template (or product) from that customer this long."""
RECENT_DAYS: Final = 30
"""The same piece is not shown twice within this time unless nothing else fits."""
SAID_DAYS: Final = 14
"""So long, the life of a draft, what was approved or released keeps its place among the three pieces and two offers:
there is nothing new to say. Without it, a daily run would go through the whole library, three pieces a day. It is the
earliest repetition, too, when nothing else fits."""
LONGEST_TITLE: Final = 200
LONGEST_CONTENT: Final = 8_000
"""Characters, as in the contract of drafts."""
ROOM_FOR_RATIONALE: Final = 1_000
"""Characters of them that an offer leaves for why it is shown."""
OFFER_VERSION: Final = "offer-1"
"""Version of the words around a product (``render.render_offer``)."""

_USED: Final = frozenset({"approved", "overridden"})


@dataclass
class _Past:
    """What one customer's history says about each template or product of one content type."""

    pending: set[str] = field(default_factory=set)
    rejected: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    """Days since the newest record that was rejected or used, by template or product."""


def draft_recommendations(
    situations: pd.DataFrame,
    templates: pd.DataFrame,
    matches: pd.DataFrame,
    products: pd.DataFrame,
    consents: pd.DataFrame,
    history: pd.DataFrame,
    as_of: dt.date,
) -> pd.DataFrame:
    """The day's drafts with their findings (contract DraftRecommendations), sorted by customer, kind and rank.

    ``situations`` from ``situations.situations``, ``templates`` as EducationTemplates, ``matches`` as
    ProductMatches, ``products`` as the frame of Products. ``consents``: live periods only (user_id, scope,
    consent_id). ``history``: recommendation_id, user_id, consent_id, as_of, content_type, template_id,
    product_id, status, decided_at, released_at. So that a second run of a day is the same day, rows of
    ``as_of`` or later are ignored, and a decision or release made on ``as_of`` or later is not known yet:
    its record still waits.

    Education needs consent in the scope ``education``, offers in ``partner_offers``. Up to three pieces and
    two offers stand for a customer: what still waits for a decision first, then by rank; not what was rejected
    within 90 days, nor what was approved or released 14 to 30 days ago. What was approved or released less than 14
    days ago keeps its place and is not drafted again. Where fewer than two pieces stand, those used longest ago
    fill up to two, at the earliest after 14 days. Days count from the record's own ``as_of``. Rejections count for
    ever, what waits or was used only under the consent period that is live.

    An offer that cannot be shown whole is left out and the next best takes its place: its product is not in
    ``products``, lacks its name or description, holds braces, or makes a text longer than the contract allows.
    """
    consent = {(c["user_id"], c["scope"]): c["consent_id"] for c in records(consents)}
    past = _past(history, consent, as_of)
    pieces: dict[str, list[dict[str, Any]]] = {}
    for template in records(templates.sort_values(["situation", "rank"])):
        pieces.setdefault(str(template["situation"]), []).append(template)
    # Rows become dictionaries for those alone who get drafts.
    situations, matches = (frame[frame["user_id"].isin(consents["user_id"])] for frame in (situations, matches))
    candidates = matches[matches["rank"].notna()]
    catalogue = _offerable(products, as_of)
    offers: dict[str, list[dict[str, Any]]] = {}
    for match in records(candidates.sort_values(["user_id", "rank"])):
        if match["product_id"] in catalogue:
            offers.setdefault(match["user_id"], []).append(match)

    rows: list[dict[str, Any]] = []
    for situation in records(situations.sort_values("user_id")):
        user = situation["user_id"]
        if agreed := consent.get((user, "education")):
            before = past.get((user, "education"), _Past())
            fitting = pieces.get(situation["situation"], [])
            chosen = _chosen(fitting, "template_id", before, EDUCATION_AT_MOST, at_least=EDUCATION_AT_LEAST)
            rows.extend(_education(situation, chosen, agreed, as_of))
        if agreed := consent.get((user, "partner_offers")):
            before = past.get((user, "partner_offer"), _Past())
            chosen = _chosen(offers.get(user, []), "product_id", before, OFFERS_AT_MOST)
            rows.extend(_offer(situation, match, catalogue[match["product_id"]], agreed, as_of) for match in chosen)
    drafts = _frame(rows)
    # Any candidate may be drafted once history keeps the best two away, so each of them is a match that stands.
    drafts["findings"] = findings(drafts, matches)
    return drafts


def _past(
    history: pd.DataFrame, consent: Mapping[tuple[str, str], str], as_of: dt.date
) -> dict[tuple[str, str], _Past]:
    """History by customer and content type, from the records of earlier days."""
    found: dict[tuple[str, str], _Past] = {}
    for row in records(history):
        if row["as_of"] >= as_of:
            continue
        education = row["content_type"] == "education"
        past = found.setdefault((row["user_id"], row["content_type"]), _Past())
        subject = row["template_id"] if education else row["product_id"]
        days = (as_of - row["as_of"]).days
        decided = row["status"] == "rejected" or row["status"] in _USED
        known = decided and _before(row["decided_at"], as_of)
        if row["status"] == "rejected" and known:
            past.rejected[subject] = min(days, past.rejected.get(subject, days))
        if row["consent_id"] != consent.get((row["user_id"], "education" if education else "partner_offers")):
            continue
        if row["status"] in _USED and (known or _before(row["released_at"], as_of)):
            past.used[subject] = min(days, past.used.get(subject, days))
        elif row["status"] == "pending_approval" or (decided and not known):
            past.pending.add(subject)
    return found


def _before(moment: Any, as_of: dt.date) -> bool:
    """Whether it happened on a day before, by UTC: only then can no second run of the day see it otherwise."""
    return not pd.isna(moment) and moment.date() < as_of


def _chosen(
    candidates: Sequence[dict[str, Any]], subject: str, past: _Past, at_most: int, *, at_least: int = 0
) -> list[dict[str, Any]]:
    """What is drafted out of the candidates, which come best first; what was used comes again up to ``at_least``."""
    allowed = [c for c in candidates if past.rejected.get(c[subject], REJECTED_DAYS) >= REJECTED_DAYS]
    ago = {c[subject]: past.used.get(c[subject], RECENT_DAYS) for c in allowed}
    fitting = [c for c in allowed if not SAID_DAYS <= ago[c[subject]] < RECENT_DAYS]
    slate = sorted(fitting, key=lambda c: c[subject] not in past.pending)[:at_most]
    again = [c for c in allowed if SAID_DAYS <= ago[c[subject]] < RECENT_DAYS]
    again.sort(key=lambda c: (c[subject] not in past.pending, -ago[c[subject]]))
    slate += again[: max(0, at_least - len(slate))]
    return [c for c in slate if ago[c[subject]] >= SAID_DAYS]


def _offerable(products: pd.DataFrame, as_of: dt.date) -> dict[str, dict[str, dict[str, Any]]]:
    """The slots of each product whose offer can be shown whole; one row of a catalogue must not stop a day."""
    day = fill(["as_of"], {"as_of": as_of})
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for product in records(products):
        slots = product_slots(product)
        if any(brace in slot["shown"] for slot in slots.values() for brace in "{}"):
            continue
        try:
            title, content = render_offer("", slots | day)
        except RenderError:
            continue  # without a name or a description there is nothing to offer
        if len(title) <= LONGEST_TITLE and len(content) <= LONGEST_CONTENT - ROOM_FOR_RATIONALE:
            found[product["product_id"]] = slots
    return found


def _education(
    situation: Mapping[str, Any], chosen: Sequence[Mapping[str, Any]], consent_id: str, as_of: dt.date
) -> Iterable[dict[str, Any]]:
    if not chosen:
        return
    slots = json.loads(situation["slots"])
    why = rationale(situation["reasons"], situation["persona"], slots, is_fallback=bool(situation["is_fallback"]))
    because = fill_slots(why, slots)
    for template in chosen:
        title, content = render_education(template["title"], template["content"], because, slots)
        used = {*SLOT.findall(template["title"] + template["content"] + why), "as_of"}
        yield {
            **_common(situation, as_of, "education", template["template_id"], consent_id, None),
            "title": title,
            "content": content,
            "rationale": because,
            "content_hash": content_hash("education", title, content, because, None),
            "template_id": template["template_id"],
            "template_hash": template["template_hash"],
            "slots": _json({name: slots[name] for name in slots if name in used}),
            "generator": template["generator"],
            "model": template["model"],
            "prompt_version": template["prompt_version"],
            "generation_ms": template["generation_ms"],
        }


def _offer(
    situation: Mapping[str, Any],
    match: Mapping[str, Any],
    product: Mapping[str, Mapping[str, Any]],
    consent_id: str,
    as_of: dt.date,
) -> dict[str, Any]:
    figures = _factor_slots(match["factors"], situation)
    why = offer_rationale(match["factors"], figures)
    because = fill_slots(why, figures)
    slots = {**product, **{name: figures[name] for name in figures if name in {*SLOT.findall(why), "as_of"}}}
    title, content = render_offer(because, slots)
    product_id = match["product_id"]
    return {
        **_common(situation, as_of, "partner_offer", product_id, consent_id, product_id),
        "title": title,
        "content": content,
        "rationale": because,
        "content_hash": content_hash("partner_offer", title, content, because, product_id),
        "template_id": f"offer/{match['product_type']}",
        # What an offer says of a product is the same for everybody: that is its wording.
        "template_hash": template_hash(OFFER_VERSION, _json(product), ()),
        "slots": _json(slots),
        "generator": "library",
        "model": None,
        "prompt_version": OFFER_VERSION,
        "generation_ms": float("nan"),
    }


def _factor_slots(factors: str, situation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The figures that an offer's reasons may show: those that the match itself was scored by, and the situation's."""
    known = {f["signal"]: f["value"] for f in json.loads(factors) if not isinstance(f["value"], bool)}
    own = [name for name, slot in SLOTS.items() if slot.signal in known and slot.kind in ("percent", "months")]
    available = json.loads(situation["slots"])
    return {**available, **fill(own, known)}


def _common(
    situation: Mapping[str, Any],
    as_of: dt.date,
    content_type: str,
    subject: str,
    consent_id: str,
    product_id: str | None,
) -> dict[str, Any]:
    return {
        "recommendation_id": recommendation_id(situation["user_id"], as_of, content_type, subject, consent_id),
        "user_id": situation["user_id"],
        "as_of": as_of,
        "window_days": situation["window_days"],
        "persona": situation["persona"],
        "content_type": content_type,
        "situation": situation["situation"],
        "reasons": situation["reasons"],
        "product_id": product_id,
        "findings": "[]",
        "consent_id": consent_id,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows in the columns and types of the contract."""
    columns = list(DraftRecommendations.to_schema().columns)
    frame = pd.DataFrame(rows, columns=columns)
    types = {"window_days": "Int64", "generation_ms": "float64"}
    text = [c for c in columns if c not in types and c != "as_of"]
    return frame.astype({**types, **dict.fromkeys(text, "str")})
