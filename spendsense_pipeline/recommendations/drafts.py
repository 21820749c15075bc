"""Who gets which texts today: the drafts of one day, for customers with live consent.

Pure and aware of history: what was drafted before this day decides what is not drafted again; the same
inputs give the same frame. What does not belong here: the words (``library.py``, ``render.py``), and what
becomes of a draft (``governance``): registration replaces, approval and release are decided there.
"""

import datetime as dt
import functools
import itertools
import json
import operator
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import pandas as pd
import pyarrow as pa

from spendsense_pipeline.durations import NOT_REPEATED, REJECTION, REPEATED_LATER
from spendsense_pipeline.frames import records, to_frame
from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.recommendations.choosing import (
    BESIDE_HELP,
    CARDS,
    PURPOSE_OF_FACT,
    SAME_FIGURE,
    USES,
    Asks,
    ask_for_the_same,
)
from spendsense_pipeline.recommendations.guardrails import Judged, findings, wording
from spendsense_pipeline.recommendations.identity import content_hash, recommendation_id, template_hash
from spendsense_pipeline.recommendations.offers import HELP
from spendsense_pipeline.recommendations.render import (
    EDUCATION_DISCLOSURE,
    RenderError,
    Slots,
    about_product,
    as_spoken_of,
    closed,
    fill_slots,
    help_rationale,
    insight_rationale,
    offer_rationale,
    product_slots,
    rationale,
    read,
    render_offer,
)
from spendsense_pipeline.recommendations.situations import BY_SPENDING, taken_of
from spendsense_pipeline.recommendations.slots import SLOT, SLOTS, fill

EDUCATION_AT_MOST: Final = 3
EDUCATION_AT_LEAST: Final = 2
OFFERS_AT_MOST: Final = 2
"""Three to five drafts a customer, by the programme's specification."""
REJECTED_DAYS: Final = REJECTION.days
RECENT_DAYS: Final = REPEATED_LATER.days
SAID_DAYS: Final = NOT_REPEATED.days
"""Without it, a daily run would go through the whole library, three pieces a day. It is the earliest repetition, too,
when nothing else fits."""
NAMES: Final = (frozenset({"payee", "card"}), frozenset({"words"}))
"""Kinds of slots that say of whom a text speaks, and those that say it where no payee and no card can be named."""
VARIETY: Final = 3
"""Texts of an insight among which the happening chooses."""
LONGEST_TITLE: Final = 200
LONGEST_CONTENT: Final = 8_000
"""Characters, as in the contract of drafts."""
ROOM_FOR_RATIONALE: Final = 1_000
"""Characters of them that an offer leaves for why it is shown."""
OFFER_VERSION: Final = "offer-2"
"""Version of the words around a product (``render.render_offer``)."""

_USED: Final = frozenset({"approved", "overridden"})


@dataclass
class _Past:
    """What one customer's history says about each template, insight or product of one content type."""

    pending: set[str] = field(default_factory=set)
    rejected: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    """Days since the newest record that was rejected or used, by subject: an insight's happening with its text's
    template, a template or a product."""
    said: dict[str, int] = field(default_factory=dict)
    """Days since each text that was used, by what it was about, whether it fits today or not."""

    def add(self, subject: str, days: int, outcome: str) -> None:
        """Write down what became of a record of so many days ago."""
        if outcome == "pending":
            self.pending.add(subject)
        else:
            since = self.rejected if outcome == "rejected" else self.used
            since[subject] = min(days, since.get(subject, days))


def draft_recommendations(
    situations: pd.DataFrame,
    templates: pd.DataFrame,
    matches: pd.DataFrame,
    products: pd.DataFrame,
    consents: pd.DataFrame,
    history: pd.DataFrame,
    as_of: dt.date,
    *,
    known_until: dt.datetime | None = None,
    wordings: Mapping[tuple[str, str], str] | None = None,
    judged: Judged | None = None,
) -> pd.DataFrame:
    """The day's drafts with their findings (contract ``draft_recommendations``), sorted by customer, kind and rank.

    ``situations`` from ``situations.situations``, ``templates`` as EducationTemplates, ``matches`` as
    ProductMatches, ``products`` as the frame of Products. ``consents``: live periods only (user_id, scope,
    consent_id). ``history``: recommendation_id, user_id, consent_id, as_of, content_type, template_id,
    product_id, status, decided_at, released_at, insight_id. So that a second run of a day is the same day, rows of
    ``as_of`` or later are ignored, and a decision or release made from ``known_until`` on is not known yet:
    its record still waits. That is when the day was first registered (``registration.first_registered``); by default
    the day's own beginning, UTC. ``wordings`` is (user_id, insight) → template_id where an experiment decides which
    text tells an insight. ``judged``: the wordings of which it is known whether they are clean
    (``guardrails.findings``).

    Education needs consent in the scope ``education``, offers in ``partner_offers``. Up to three pieces and
    two offers stand for a customer: urgent insights that were not told yet, what still waits for a decision, other
    insights, then the persona's pieces by rank that contradict none of the customer's insights. An insight is told
    once for the same happening, whatever became of it. Of the others, not what was rejected
    within 90 days, nor what was approved or released 14 to 30 days ago. What was approved or released less than 14
    days ago keeps its place and is not drafted again. Where fewer than two pieces stand, those used longest ago
    fill up to two, at the earliest after 14 days. Days count from the record's own ``as_of``. Rejections count for
    ever, what waits or was used only under the consent period that is live.

    An offer whose reasons show no figure of the customer's own is not made, but for free help. One that cannot be shown
    whole is left out and the next best takes its place: its product is not in
    ``products``, lacks its name or description, holds braces, or makes a text longer than the contract allows.
    """
    consent = {(c["user_id"], c["scope"]): c["consent_id"] for c in records(consents)}
    past = _past(history, consent, as_of, known_until or pd.Timestamp(as_of, tz="UTC"))
    pieces = _Pieces(templates)
    # Rows become dictionaries for those alone who get drafts. Any product with a rank may be drafted once history keeps
    # the best two away, so each of them is a match that stands.
    situations = situations[situations["user_id"].isin(consents["user_id"])]
    asking = consents.loc[consents["scope"] == "partner_offers", "user_id"]
    matches = matches[matches["rank"].notna() & matches["user_id"].isin(asking)]
    catalogue = _offerable(products, as_of)
    offers: dict[str, list[dict[str, Any]]] = {}
    for match in records(matches[["user_id", "product_id", "product_type", "rank", "factors"]]):
        if match["product_id"] in catalogue:
            offers.setdefault(match["user_id"], []).append(match)

    rows: list[dict[str, Any]] = []
    by_customer = operator.itemgetter("user_id")
    for user, mine in itertools.groupby(sorted(records(situations), key=by_customer), key=by_customer):
        *insights, situation = mine
        if agreed := consent.get((user, "education")):
            before = past.get((user, "education"), _Past())
            taken = taken_of(situation["excluded_tags"], situation["excluded_purposes"])
            told = list[dict[str, Any]]()
            if any(match["product_type"] in HELP for match in offers.get(user, ())):
                taken = taken._replace(tags=(*taken.tags, *BESIDE_HELP))
            for one in insights:
                fitting = pieces.beside(one["situation"], taken.tags)
                if wordings and (template := wordings.get((user, one["insight"]))):
                    fitting = [c for c in fitting if c["template_id"] == template]
                text = _insight(one, fitting, before, told)
                told += [] if text is None else [text]
            # What no piece of an insight can say with the figures there are, the persona's may.
            spoken_of = {INSIGHTS[one["insight"]].purpose for one in insights if one["situation"] in pieces.of}
            purposes = tuple(each for each in taken.purposes if each in spoken_of)
            fitting = _beside(situation, pieces.beside(situation["situation"], taken.tags, purposes), told)
            chosen = _slate(told, fitting, before)
            rows.extend(_education(chosen, situation, agreed, as_of, any_insight=bool(insights)))
        if agreed := consent.get((user, "partner_offers")):
            before = past.get((user, "partner_offer"), _Past())
            best = sorted(offers.get(user, []), key=operator.itemgetter("rank"))
            explained = functools.partial(_explained, situation)
            chosen = _chosen(best, "product_id", before, OFFERS_AT_MOST, shown=explained)
            rows.extend(_offer(situation, match, catalogue[match["product_id"]], agreed, as_of) for match in chosen)
    for row, found in zip(rows, findings(rows, matches, judged), strict=True):
        row["findings"] = found
    return _frame(rows)


class _Pieces:
    """The templates of a day by situation, the best first."""

    def __init__(self, templates: pd.DataFrame) -> None:
        self.of: dict[str, list[dict[str, Any]]] = {}
        for template in records(templates.sort_values(["situation", "rank"])):
            self.of.setdefault(str(template["situation"]), []).append(_piece(template))
        self.beside = functools.cache(self._beside)

    def _beside(self, situation: str, tags: tuple[str, ...], purposes: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """The pieces for a situation that contradict none of a customer's insights, and say none of them again, by what
        these leave no room for."""
        return [
            c for c in self.of.get(situation, []) if c["tags"].isdisjoint(tags) and c["purposes"].isdisjoint(purposes)
        ]


def _piece(template: dict[str, Any]) -> dict[str, Any]:
    """A template with its lists read, and what it is chosen by: the ``purposes`` of its facts, the ``uses`` it has for
    money, the slot for the ``card`` that it names, and which of ``NAMES`` its slots have."""
    slots, tags = frozenset(json.loads(template["slots"])), frozenset(json.loads(template["tags"]))
    kinds = {SLOTS[name].kind for name in slots}
    return template | {
        "slots": slots,
        "tags": tags,
        "purposes": {PURPOSE_OF_FACT[fact] for fact in json.loads(template["facts"]) if fact in PURPOSE_OF_FACT},
        "uses": tags & USES,
        "card": next((name for name in CARDS if name in slots), None),
        "names": next((place for place, names in enumerate(NAMES) if kinds & names), None),
    }


def _past(
    history: pd.DataFrame, consent: Mapping[tuple[str, str], str], as_of: dt.date, known_until: dt.datetime
) -> dict[tuple[str, str], _Past]:
    """History by customer and content type, from the records of earlier days."""
    found: dict[tuple[str, str], _Past] = {}
    history = history.assign(
        decided_before=history["decided_at"] < known_until,
        released_before=history["released_at"] < known_until,
    ).drop(columns=["decided_at", "released_at"])
    for row in records(history):
        if row["as_of"] >= as_of:
            continue
        education = row["content_type"] == "education"
        past = found.setdefault((row["user_id"], row["content_type"]), _Past())
        subjects = [row["template_id"] if education else row["product_id"], *_told(row)]
        days = (as_of - row["as_of"]).days
        decided = row["status"] == "rejected" or row["status"] in _USED
        known = decided and row["decided_before"]
        for subject in subjects:
            if row["status"] == "rejected" and known:
                past.add(subject, days, "rejected")
        if row["consent_id"] != consent.get((row["user_id"], "education" if education else "partner_offers")):
            continue
        if row["status"] in _USED and (known or row["released_before"]):
            outcome = "used"
        elif row["status"] == "pending_approval" or (decided and not known):
            outcome = "pending"
        else:
            continue
        for subject in subjects:
            past.add(subject, days, outcome)
        if outcome == "used":
            past.said[subjects[-1]] = min(days, past.said.get(subjects[-1], days))
    return found


def _told(row: Mapping[str, Any]) -> list[str]:
    """What a record of an insight is remembered by beside its template: the happening, and with which text."""
    insight_id = row.get("insight_id")
    return [] if insight_id is None else [insight_id, f"{insight_id}/{row['template_id']}"]


def _chosen(
    candidates: Sequence[dict[str, Any]],
    subject: str,
    past: _Past,
    at_most: int,
    *,
    at_least: int = 0,
    shown: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda candidate: candidate,
) -> list[dict[str, Any]]:
    """What is drafted out of the candidates, which come best first; what was used comes again up to ``at_least``.
    ``shown`` is asked of those alone that would be, and gives None where one cannot be."""
    allowed = [c for c in candidates if past.rejected.get(c[subject], REJECTED_DAYS) >= REJECTED_DAYS]
    ago = {c[subject]: past.used.get(c[subject], RECENT_DAYS) for c in allowed}
    fitting = [c for c in allowed if not SAID_DAYS <= ago[c[subject]] < RECENT_DAYS]
    fitting.sort(key=lambda c: c[subject] not in past.pending)
    slate = [*itertools.islice(filter(None, map(shown, fitting)), at_most)]
    again = [c for c in allowed if SAID_DAYS <= ago[c[subject]] < RECENT_DAYS]
    again.sort(key=lambda c: (c[subject] not in past.pending, -ago[c[subject]]))
    slate += again[: max(0, at_least - len(slate))]
    return [c for c in slate if ago[c[subject]] >= SAID_DAYS]


def _insight(
    insight: Mapping[str, Any], pieces: Sequence[dict[str, Any]], past: _Past, told: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """The text that tells an insight: the one that waits, else one of the three best that were not used lately and not
    rejected; none where the happening was rejected, or where each contradicts the texts ``told`` before it. What can be
    named is named. Which of the three goes by the happening, so that neighbours with the same insight do not read the
    same text."""
    fitting = [c for c in pieces if c["template_id"] not in past.rejected and not _crosses(c, insight, told)]
    if not fitting or insight["insight_id"] in past.rejected:
        return None
    waiting = [c for c in fitting if f"{insight['insight_id']}/{c['template_id']}" in past.pending]
    fresh = [c for c in fitting if past.used.get(c["template_id"], RECENT_DAYS) >= RECENT_DAYS]
    likely = fresh or fitting
    likely = [c for c in likely if c["generator"] == "openai"] or likely  # the library stands behind what was written
    naming = ([c for c in likely if c["names"] == place] for place in range(len(NAMES)))
    best = waiting[:1] or next(filter(None, naming), likely)[:VARIETY]
    return {**best[zlib.crc32(insight["insight_id"].encode()) % len(best)], "about": insight}


def _beside(
    situation: Mapping[str, Any], pieces: Sequence[dict[str, Any]], told: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The persona's pieces that contradict none of the texts ``told``."""
    shown = {
        name: read(text["about"]["slots"])[name]["shown"]
        for text in told
        for name in SAME_FIGURE.values()
        if name in text["slots"]
    }
    own = read(situation["slots"]) if shown else {}
    other = {
        name for name, same in SAME_FIGURE.items() if same in shown and own.get(name, {}).get("shown") != shown[same]
    }
    return [c for c in pieces if other.isdisjoint(c["slots"]) and not _crosses(c, situation, told)]


def _crosses(piece: Mapping[str, Any], about: Mapping[str, Any], told: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a text puts the money to another use than one of those told before it."""
    if not piece["uses"]:
        return False
    return any(ask_for_the_same(_asks(piece, about), _asks(text, text["about"])) for text in told if text["uses"])


def _asks(piece: Mapping[str, Any], about: Mapping[str, Any]) -> Asks:
    named = piece["card"]
    return Asks(piece["tags"], named and read(about["slots"])[named]["shown"])


def _slate(told: Sequence[dict[str, Any]], pieces: Sequence[dict[str, Any]], past: _Past) -> list[dict[str, Any]]:
    """What is drafted: at most three, of which what was said in the last 14 days takes its places but for insights
    that are urgent and new."""
    new = [c for c in told if c["about"]["insight_id"] not in past.used]
    urgent = [c for c in new if c["about"]["severity"] == "urgent"][:EDUCATION_AT_MOST]
    others = sorted((c for c in new if c not in urgent), key=lambda c: c["about"]["insight_id"] not in past.pending)
    fitting = {c["template_id"] for c in pieces}
    # The persona's pieces that fit still are weighed by rank against new ones; what does not fit any more has been
    # read all the same.
    standing = sum(days < SAID_DAYS for about, days in past.said.items() if about not in fitting)
    room = max(0, EDUCATION_AT_MOST - len(urgent) - standing)
    chosen = [*urgent, *others[:room]]
    room -= len(others[:room])
    least = max(0, EDUCATION_AT_LEAST - len(chosen) - standing)
    return [*chosen, *_chosen(pieces, "template_id", past, room, at_least=least)]


class _Product(NamedTuple):
    """What an offer says and shows of a product, which is the same for everybody: that is its wording."""

    title: str
    text: str
    terms: str
    slots: str
    template: dict[str, Any]


def _offerable(products: pd.DataFrame, as_of: dt.date) -> dict[str, _Product]:
    """The slots of each product whose offer can be shown whole; one row of a catalogue must not stop a day."""
    day = fill(["as_of"], {"as_of": as_of})
    found: dict[str, _Product] = {}
    for product in records(products):
        slots = product_slots(product)
        if any(brace in slot["shown"] for slot in slots.values() for brace in "{}"):
            continue
        try:
            title, content = render_offer("", slots | day)
        except RenderError:
            continue  # without a name or a description there is nothing to offer
        if len(title) <= LONGEST_TITLE and len(content) <= LONGEST_CONTENT - ROOM_FOR_RATIONALE:
            written = _json(slots)
            template = {
                "template_id": f"offer/{product['product_type']}",
                "template_hash": template_hash(OFFER_VERSION, written, ()),
                "generator": "library",
                "model": None,
                "prompt_version": OFFER_VERSION,
                "generation_ms": float("nan"),
            }
            found[product["product_id"]] = _Product(*about_product(slots), written, template)
    return found


def _education(
    chosen: Sequence[Mapping[str, Any]],
    situation: Mapping[str, Any],
    consent_id: str,
    as_of: dt.date,
    *,
    any_insight: bool,
) -> Iterable[dict[str, Any]]:
    """Drafts of the chosen pieces: of insights (``about``), and of the customer's persona."""
    of_persona: tuple[dict[str, Any], str] | None = None
    for template in chosen:
        about = template.get("about", situation)
        if about["insight"] is not None:
            slots, why = read(about["slots"]), insight_rationale(about["insight"])
        else:
            of_persona = of_persona or _of_persona(situation, any_insight)
            slots, why = of_persona
        words = closed(template["content"], why, "shared_account" in slots, EDUCATION_DISCLOSURE)
        yield _draft(about, as_of, None, consent_id, template, (template["title"], words, why), slots)


def _of_persona(situation: Mapping[str, Any], any_insight: bool) -> tuple[dict[str, Any], str]:
    """The figures of a customer's persona, and why its pieces are shown: the same for each of them."""
    slots = read(situation["slots"])
    return slots, rationale(
        situation["reasons"], situation["persona"], slots,
        is_fallback=bool(situation["is_fallback"]), any_insight=any_insight,
    )  # fmt: skip


def _explained(situation: Mapping[str, Any], match: dict[str, Any]) -> dict[str, Any] | None:
    """An offer with why a customer sees it, figures still as slots, and the slots that it may show; None where it would
    show no figure of the customer's own and is no help."""
    kind, figures = match["product_type"], read(situation["slots"]) | _factor_slots(match["factors"])
    if kind in HELP:
        return match | {"why": help_rationale(kind), "figures": figures}
    reasons = "[]" if situation["is_fallback"] else situation["reasons"]
    why = offer_rationale(match["factors"], figures, kind, reasons, situation["persona"])
    return match | {"why": why, "figures": figures} if SLOT.search(why) else None


def _offer(
    situation: Mapping[str, Any],
    match: Mapping[str, Any],
    product: _Product,
    consent_id: str,
    as_of: dt.date,
) -> dict[str, Any]:
    why, figures = match["why"], match["figures"]
    words = closed(product.text, why, "shared_account" in figures, EDUCATION_DISCLOSURE, product.terms)
    texts = (product.title, words, why)
    return _draft(situation, as_of, match["product_id"], consent_id, product.template, texts, figures, product.slots)


@functools.lru_cache(maxsize=256)
def _factor_slots(factors: str) -> dict[str, dict[str, Any]]:
    """The figures that a match was scored by, where an offer's reasons may show them beside the situation's.

    Those that rest on spending are the situation's alone, which knows whether all of it is in sight.
    """
    known = {
        f["signal"]: f["value"]
        for f in read(factors)
        if not isinstance(f["value"], bool) and f["signal"] not in BY_SPENDING
    }
    return fill([name for signal in known for name in _RATES.get(signal, ())], known)


_RATES: Final = {
    signal: tuple(name for name, slot in SLOTS.items() if slot.signal == signal and slot.kind in ("percent", "months"))
    for signal in {slot.signal for slot in SLOTS.values()}
}
"""The slots of each signal that can be filled from it alone, whatever the currency."""


def _draft(
    situation: Mapping[str, Any],
    as_of: dt.date,
    product_id: str | None,
    consent_id: str,
    template: Mapping[str, Any],
    texts: tuple[str, str, str],
    slots: Slots,
    of_product: str = "{}",
) -> dict[str, Any]:
    """A draft: ``texts``, which are title, content and rationale, with their ``slots`` filled in, and what they are
    about. Slots ``of_product`` (JSON) are filled in already; they belong to the template."""
    slots = as_spoken_of(texts, slots)
    title, content, because = (fill_slots(text, slots) for text in texts)
    content_type = "education" if product_id is None else "partner_offer"
    subject = product_id or situation["insight_id"] or template["template_id"]
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
        "consent_id": consent_id,
        "title": title,
        "content": content,
        "rationale": because,
        "content_hash": content_hash(content_type, title, content, because, product_id),
        "slots": _json(slots) if of_product == "{}" else f"{of_product[:-1]}, {_json(slots)[1:]}",
        "wording": (template["template_hash"], *wording((title, content, because), slots)),
        "template_id": template["template_id"],
        "template_hash": template["template_hash"],
        "generator": template["generator"],
        "model": template["model"],
        "prompt_version": template["prompt_version"],
        "generation_ms": template["generation_ms"],
        "insight": situation["insight"],
        "insight_id": situation["insight_id"],
    }


_json = json.JSONEncoder(ensure_ascii=False).encode


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows in their columns and types."""
    return to_frame(pa.table({name: [row[name] for row in rows] for name in DRAFTS.names}, schema=DRAFTS))


DRAFTS: Final = pa.schema(
    [
        (name, {"as_of": pa.date32(), "window_days": pa.int64(), "generation_ms": pa.float64()}.get(name, pa.string()))
        for name in (
            *("recommendation_id", "user_id", "as_of", "window_days", "persona", "content_type", "title", "content"),
            *("rationale", "content_hash", "template_id", "template_hash", "situation", "slots", "reasons"),
            *("product_id", "findings", "generator", "model", "prompt_version", "generation_ms", "consent_id"),
            *("insight", "insight_id"),
        )
    ]
)
"""As the contract has it, without the time that loading contracts takes a worker."""
