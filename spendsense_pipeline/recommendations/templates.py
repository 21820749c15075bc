"""What a template must be before a figure is put into it, whoever wrote it: one set of rules, one function.

The library is held to it on load, a language model's answer before it is kept. What does not belong here: where
templates come from (``library.py`` and the generator), what a customer's figures are (``slots.py``).
"""

import datetime as dt
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from spendsense_pipeline.insights.kinds import INSIGHTS
from spendsense_pipeline.recommendations.facts import ABOUT_FACTS, ABOUT_SLOTS, FACTS, facts_of_insight
from spendsense_pipeline.recommendations.guardrails import review_text
from spendsense_pipeline.recommendations.render import render_education
from spendsense_pipeline.recommendations.shown_figures import figures
from spendsense_pipeline.recommendations.slots import SLOT, SLOTS, Slot, shown

FRAME_SLOTS: Final = frozenset({"window", "as_of"})
"""Slots that every customer has; they are no figure of the customer's own."""

LONGEST_TITLE: Final = 120
LONGEST_CONTENT: Final = 2_500
"""Characters of a template: three short paragraphs need a fifth of it."""

OWN_FIGURES: Final = 2
"""A text written for a situation shows at least so many of the customer's own figures, where they are available."""

# A slot brings its unit: "$82", "12%", "3 subscriptions". A second one beside it makes another claim of it.
_UNIT_AFTER: Final = re.compile(
    r"\{\{ [a-z_]+ \}\}\s*(?:%|(?:percent|dollars?|cents?|(?:credit )?cards?|subscriptions?|days?|months)\b)",
    re.IGNORECASE,
)
_UNIT_BEFORE: Final = re.compile(r"[$€£]\s*\{\{")
_MARKDOWN: Final = re.compile(r"^#+ |^[-*•]\s|\*\*|`", re.MULTILINE)


def _claim(pattern: str, *bearing: str) -> tuple[re.Pattern[str], frozenset[str]]:
    return re.compile(pattern, re.IGNORECASE), frozenset(bearing)


CLAIMS: Final = (
    _claim(r"\byour?\b[^.?!\n]{0,60}\b(?:past due|overdue|missed|behind on)\b", "overdue=yes"),
    _claim(r"\b(?:is|are|was|shows as) (?:past due|overdue)\b", "overdue=yes"),
    _claim(
        r"\byou(?:'ve| have| are|'re)? (?:been )?(?:pay|paid|paying|made|make|making) (?:only |just )?the minimum\b",
        "minimum=yes",
    ),
    _claim(r"\blast payment\b[^.?!\n]{0,30}\bminimum\b", "minimum=yes"),
    _claim(
        r"\byou(?:'ve| have| are|'re| were)? (?:been )?(?:pay|paid|paying|charged)\b"
        r"(?: (?!no\b|less\b|off\b)[^\s.,]+){0,4} interest\b",
        "interest=yes",
        "saving_with_interest=yes",
    ),
    _claim(
        r"\binterest (?:charges? )?(?:came to|was charged|is being charged)\b",
        "interest=yes",
        "saving_with_interest=yes",
    ),
    _claim(r"\b(?:charged|costs?) you\b[^.?!\n]{0,40}\bin interest\b", "interest=yes", "saving_with_interest=yes"),
    _claim(r"\b(?:price|cost)s?\b[^.\n]{0,40}\b(?:rose|went up|has risen|have risen|increased)\b", "price_rise=yes"),
    _claim(r"\bcosts? more (?:now|than before)\b", "price_rise=yes"),
    _claim(r"\b(?:you are|you're|you were|account (?:is|was)) overdrawn\b", "buffer=overdrawn"),
    _claim(r"\byour (?:checking|account|balance)(?: account)? (?:is|was|fell|went) below zero\b", "buffer=overdrawn"),
    _claim(r"\byour savings (?:grew|are growing|have grown|rose|went up)\b", "growth=2+", "saving=yes"),
    _claim(r"\byou (?:spend|spent) more than you (?:earn|earned|make|made)\b", "margin=minus"),
    _claim(r"\bmore (?:goes|went) out than (?:comes|came) in\b", "margin=minus"),
)
"""How a text says what only readers of whom it is known may be told, and the facts of which one must bear it.

A text can say so without declaring it. Conditions ("if a payment is past due") are not told apart from statements: a
text on it belongs to those whom it concerns.
"""


class Problem(NamedTuple):
    """One rule that a template breaks: where (title, content, facts, slots), which (a code), and in words.

    Codes: ``empty`` ``too_long`` ``braces`` ``markdown`` ``figure`` ``unit`` ``unknown_slot`` ``slots_declared``
    ``slot_unavailable`` ``too_few_figures`` ``unknown_fact`` ``false_claim`` and, per guardrail, its name
    (``tone``, ``advice_boundary``, ``links``, ...).
    """

    field: str
    code: str
    message: str


def check_template(
    about: str,
    title: str,
    content: str,
    facts: Sequence[str],
    slots: Sequence[str],
    *,
    holds: Mapping[str, str] | None = None,
    available: Collection[str] | None = None,
) -> list[Problem]:
    """All that keeps a template from being used for ``about``, a persona or an insight; empty when it is fit.

    ``facts`` are what it asserts, ``name=band`` or ``name=band|band``; ``slots`` the names that stand in title and
    content as ``{{ name }}``, without the closing lines, which code adds. With a situation, ``holds`` (fact -> band)
    and ``available`` (slot names) must bear every assertion and every figure; without one only the form is judged.
    What ``CLAIMS`` find in the words must be asserted or hold.

    >>> found = check_template("wealth_builder", "Room", "{{ monthly_margin }}, twice.", [], ["monthly_margin"])
    >>> found[0].field, found[0].code
    ('content', 'figure')
    """
    found = [
        *_wording("title", title, LONGEST_TITLE),
        *_wording("content", content, LONGEST_CONTENT),
        *_slots(about, title + "\n" + content, slots, available),
        *_facts(about, facts, holds),
        *_claims(title + "\n" + content, facts, holds or _always(about)),
    ]
    if not found:  # only what can be rendered is read as the customer would
        found = _read_as_rendered(title, content)
    return found


def _wording(field: str, text: str, longest: int) -> list[Problem]:
    if not text.strip():
        return [Problem(field, "empty", "is empty")]
    if len(text) > longest:
        return [Problem(field, "too_long", f"has {len(text):,} characters; at most {longest:,}")]
    found = []
    bare = SLOT.sub(" ", text)
    if "{" in bare or "}" in bare:
        found.append(Problem(field, "braces", "has braces that are no slot; a slot is written {{ name }}"))
    if hit := _MARKDOWN.search(bare):
        found.append(Problem(field, "markdown", f"says {hit[0].strip()!r}; plain paragraphs are wanted"))
    for figure in figures(bare):
        message = f"says {figure!r}; figures stand in slots, or word for word in GUIDELINES"
        found.append(Problem(field, "figure", message))
    for hit in (_UNIT_AFTER.search(text), _UNIT_BEFORE.search(text)):
        if hit:
            found.append(Problem(field, "unit", f"says {hit[0]!r}; a slot brings its own unit"))
    return found


def _slots(about: str, text: str, declared: Sequence[str], available: Collection[str] | None) -> list[Problem]:
    found = []
    allowed = {*ABOUT_SLOTS[about], *FRAME_SLOTS}
    used = set(SLOT.findall(text))
    for slot in sorted(used | set(declared)):
        if slot not in SLOTS:
            found.append(Problem("slots", "unknown_slot", f"{slot} is no slot"))
        elif slot not in allowed:
            found.append(
                Problem("slots", "unknown_slot", f"{slot} is none of {about}'s slots ({', '.join(sorted(allowed))})")
            )
        elif available is not None and slot not in {*available, *FRAME_SLOTS}:
            found.append(Problem("slots", "slot_unavailable", f"{slot} cannot be shown in this situation"))
    if used != set(declared) or len(set(declared)) != len(declared):
        found.append(Problem("slots", "slots_declared", f"names {sorted(declared)}, the text shows {sorted(used)}"))
    if available is not None:
        own = len(set(available) & set(ABOUT_SLOTS[about]))
        if len(used - FRAME_SLOTS) < min(OWN_FIGURES, own):
            message = f"shows {len(used - FRAME_SLOTS)} of the customer's own figures; {min(OWN_FIGURES, own)} can be"
            found.append(Problem("slots", "too_few_figures", message))
    return found


def _facts(about: str, asserted: Sequence[str], holds: Mapping[str, str] | None) -> list[Problem]:
    found = []
    for fact in asserted:
        name, _, written = fact.partition("=")
        bands = written.split("|")
        if name not in ABOUT_FACTS[about]:
            known = ", ".join(ABOUT_FACTS[about])
            found.append(Problem("facts", "unknown_fact", f"{name} is no fact of {about} (one of {known})"))
        elif unknown := set(bands) - {*FACTS[name].bands, "unknown"}:
            known = ", ".join(FACTS[name].bands)
            found.append(Problem("facts", "unknown_fact", f"{name} has no band {sorted(unknown)} (one of {known})"))
        elif holds is not None and holds.get(name) not in bands:
            found.append(Problem("facts", "false_claim", f"asserts {fact}; here {name} is {holds.get(name)}"))
    if len({fact.partition("=")[0] for fact in asserted}) != len(asserted):
        found.append(Problem("facts", "unknown_fact", "names a fact twice; alternatives are written a|b"))
    return found


def _claims(text: str, asserted: Sequence[str], holds: Mapping[str, str]) -> list[Problem]:
    borne = {f"{name}={band}" for name, band in holds.items()} | {fact for fact in asserted if "|" not in fact}
    return [
        Problem(
            "content", "false_claim", f"says {hit[0]!r}; neither asserted nor known: {' or '.join(sorted(bearing))}"
        )
        for pattern, bearing in CLAIMS
        if not bearing & borne and (hit := pattern.search(text))
    ]


def _always(about: str) -> dict[str, str]:
    """What holds of everybody whom a text about an insight reaches."""
    return facts_of_insight(about, None) if about in INSIGHTS else {}


def _read_as_rendered(title: str, content: str) -> list[Problem]:
    """What the guardrails find in the text with a plausible figure in every slot."""
    slots = {name: EXAMPLES[name] for name in {*SLOT.findall(title + content), *FRAME_SLOTS}}
    whole_title, whole_content = render_education(title, content, "", slots)
    found = review_text(whole_title, whole_content, "", slots)
    return [Problem("content", finding["check"], finding["message"]) for finding in found]


_PLAUSIBLE: Final[dict[str, Any]] = {
    "money": 420.0,
    "percent": 0.42,
    "months": 2.4,
    "count": 12,
    "payee": "Sample Music",
    "card": "4821",
    "payee_list": ["Sample Music", "Sample Video", "Sample Cloud"],
    "period": "last 30 days",
    "date": dt.date(2026, 3, 5),
    "day": dt.date(2026, 3, 5),
    "rate": 24.9,
    "words": "groceries",
}


_PLAUSIBLE_WORDS: Final[dict[str, str]] = {"loan_name": "car loan", "bill_kind": "phone bill"}


def _example(place: int, slot: Slot) -> dict[str, Any]:
    value = _PLAUSIBLE_WORDS.get(slot.name, _PLAUSIBLE[slot.kind])
    if slot.kind == "money":
        value += 37.0 * (place % 11)  # two amounts in one text are not the same
    return {"signal": slot.signal, "value": None, "shown": shown(slot, value)}


EXAMPLES: Final = {name: _example(place, slot) for place, (name, slot) in enumerate(SLOTS.items())}
"""Every slot with a plausible text in it, nobody's: to read a template as a customer would."""
