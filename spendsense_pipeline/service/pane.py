"""What the reading pane shows of one recommendation: the text, where its figures come from, and what is on record.

Gathering for people, from stored rows alone. Does not belong here: routes (``desk``), and any definition of a figure.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy.orm import Session

from spendsense_pipeline.durations import NEAR_EXPIRY
from spendsense_pipeline.governance import activity, queue
from spendsense_pipeline.governance.models import RecommendationText
from spendsense_pipeline.governance.registration import severity
from spendsense_pipeline.insights.figures import FIGURES
from spendsense_pipeline.recommendations.guardrails import review_draft
from spendsense_pipeline.recommendations.guardrails.text import located
from spendsense_pipeline.recommendations.slots import SLOTS
from spendsense_pipeline.service.rendering import day, words

SIGNS: Final = {">=": "≥", "<=": "≤", "==": "=", ">": ">", "<": "<"}
PARTS: Final = ("title", "content", "rationale")
LISTED: Final = (
    *("recommendation_id", "user_id", "persona", "content_type", "title", "status", "content_hash"),
    *("template_id", "wording_approved", "age_hours", "expires_at"),
)
EARLIER: Final = 20
"""Earlier texts of the same customer beside a text."""


def queue_row(row: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    """A row of ``governance.queue`` as the list shows it: its findings are the gravest one's rank, 0 to 2."""
    return {name: row[name] for name in LISTED} | {
        "severity": severity(row["findings"]),
        "near_expiry": row["expires_at"] <= now + NEAR_EXPIRY,
    }


def item(session: Session, shown: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    """What ``queue.full`` or ``queue.show`` gave, made ready to read.

    A queue row and content, rationale, reference (of the wording), as_of, product_id, insight; figures [{name, shown,
    meaning, inputs [{name, value}]}]; reasons and situation, lines of text; findings with ``where`` and ``sentence``;
    author; original {title, content} where an operator's words stand; decisions; consent; earlier, what this customer
    was to get besides (``activity.history_of``).
    """
    names = ("content", "rationale", "as_of", "product_id", "insight", "decisions", "consent", "released_at")
    text = {part: shown[part] for part in PARTS}
    original = shown["original"]
    stored = session.get_one(RecommendationText, (shown["recommendation_id"], shown["content_hash"]))
    return {
        **queue_row(shown, now),
        **{name: shown[name] for name in names},
        "reference": f"{shown['template_id']}@{shown['template_hash'][:12]}",
        "figures": figures(shown["slots"]),
        "reasons": reasons_met(shown["reasons"], shown["persona"]),
        "situation": [
            f"{one['meaning'] or words(one['fact'])}{': ' if one['band'] else ''}{words(one['band'])}"
            for one in shown["situation_facts"]
        ],
        "findings": [located(one, **text) for one in shown["findings"]],
        "author": stored.author,
        "original": original and {name: original[name] for name in ("title", "content")},
        "earlier": [
            one
            for one in activity.history_of(session, shown["user_id"], now, limit=EARLIER + 1)
            if one["recommendation_id"] != shown["recommendation_id"]
        ],
    }


def figures(slots: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The figures of a text with what they mean and what they were computed from."""
    return [
        {
            "name": words(name),
            "shown": str(slot["shown"]),
            "meaning": meaning_of(name, slot.get("signal", "")),
            "inputs": [
                {"name": words(signal), "value": figure(value, signal)}
                for signal, value in (slot.get("inputs") or {}).items()
            ],
        }
        for name, slot in slots.items()
    ]


def meaning_of(slot: str, otherwise: str | None = None) -> str:
    """What a slot's figure means; of a slot of former texts its name, or what is said instead, as words."""
    return SLOTS[slot].meaning if slot in SLOTS else words(slot if otherwise is None else str(otherwise))


def reasons_met(reasons: Sequence[Mapping[str, Any]], persona: str) -> list[str]:
    """The criteria of the persona that were met: ``max utilization 85.3 % (≥ 50 %)``."""
    return [
        f"{words(one['signal'])} {figure(one['value'], one['signal'])}"
        + (f" ({SIGNS[one['operator']]} {figure(one['threshold'], one['signal'])})" if "operator" in one else "")
        for one in reasons
        if one["met"] and str(one.get("clause", persona)).startswith(persona)
    ]


def figure(value: Any, signal: str = "") -> str:
    """A signal's value in its unit: shares in per cent, money with two decimals, unknown as a dash.

    >>> figure(0.853, "max_utilization"), figure(True), figure(None)
    ('85.3 %', 'yes', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "; ".join(figure(one, signal) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{words(str(name))} {figure(one, str(name))}" for name, one in value.items())
    if not isinstance(value, int | float):
        return str(value)
    return _in_unit(_kinds().get(signal, ""), value)


def _in_unit(kind: str, value: float) -> str:
    """A number by its kind: a percentage is kept as a fraction, a rate is percent a year already."""
    if kind in ("percent", "rate"):
        return f"{number(value * 100, 1) if kind == 'percent' else number(value, 2)} %"
    return f"{value:,.2f}" if kind == "money" else number(value, 2)


def insight_lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures of an insight as people read them: (what it means, the figure)."""
    return [
        (FIGURES[name].meaning, _of_insight(FIGURES[name].type, value))
        for name, value in found.items()
        if name in FIGURES
    ]


def _of_insight(kind: str, value: Any) -> str:
    if kind == "date":
        return day(value)
    return _in_unit(kind, value) if isinstance(value, int | float) else figure(value)


def number(value: float, decimals: int) -> str:
    """A number with at most so many decimals.

    >>> number(1234.50, 2), number(3.0, 2)
    ('1,234.5', '3')
    """
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@cache
def _kinds() -> dict[str, str]:
    """The kind of figure that shows a signal as it is."""
    return {slot.signal: slot.kind for slot in reversed(SLOTS.values())}


def checked(session: Session, recommendation_id: str, title: str, content: str, now: dt.datetime) -> list[Any]:
    """What the guardrails find in these words, were they to stand in this text's place; with where they stand.

    The same guardrails that judge an override. Raises ``unknown_recommendation``.
    """
    shown = queue.full(session, recommendation_id, now)
    draft = {
        **{name: shown[name] for name in ("content_type", "rationale", "product_id", "persona", "template_id")},
        **{name: json.dumps(shown[name]) for name in ("slots", "reasons")},
        "title": title,
        "content": content,
    }
    found = review_draft(draft)
    return [located(one, title=title, content=content, rationale=shown["rationale"]) for one in found]


def bounds(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The figures of a wording with the lowest and the highest that anybody is shown."""
    return [
        {
            "name": words(slot),
            "meaning": meaning_of(slot, one["signal"]),
            **{end: one[end]["shown"] for end in ("lowest", "highest")},
        }
        for slot, one in found.items()
    ]


def extremes(found: Mapping[str, Mapping[str, Any]], recommendation_id: str) -> list[str]:
    """Which of a wording's lowest and highest figures this text shows: ``lowest amount: $590``."""
    return [
        f"{end} {words(slot)}: {one[end]['shown']}"
        for slot, one in found.items()
        for end in ("lowest", "highest")
        if one[end]["recommendation_id"] == recommendation_id
    ]


def named(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The names, dates and other words of a wording's texts, with what they mean."""
    return [{"name": words(slot), "meaning": meaning_of(slot, ""), **one} for slot, one in found.items()]
