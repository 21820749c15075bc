"""What is checked in every text before anyone may approve it: each guardrail a function with its own findings.

``findings`` applies them as the row checks of a Pandera schema, validated lazily: a draft that fails a
check is not dropped, the failure becomes a finding on it. ``review_text`` is for a single text, such as an
operator's override. ``release_candidates_clean`` is the blocking question. What does not belong here: who
may approve (``governance``).
"""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from spendsense_pipeline.frames import values
from spendsense_pipeline.recommendations.guardrails.advice import advice_boundary
from spendsense_pipeline.recommendations.guardrails.asks import scams
from spendsense_pipeline.recommendations.guardrails.grounding import disclosure, eligibility, grounding, links, privacy
from spendsense_pipeline.recommendations.guardrails.language import language
from spendsense_pipeline.recommendations.guardrails.reader import reading
from spendsense_pipeline.recommendations.guardrails.script import script
from spendsense_pipeline.recommendations.guardrails.text import Finding, Guardrail, Text, is_figure, normalized
from spendsense_pipeline.recommendations.guardrails.tone import tone

GUARDRAILS: Final[dict[str, Guardrail]] = {
    "tone": tone,
    "advice_boundary": advice_boundary,
    "scams": scams,
    "reading": reading,
    "script": script,
    "language": language,
    "disclosure": disclosure,
    "grounding": grounding,
    "eligibility": eligibility,
    "links": links,
    "privacy": privacy,
}


def _passes(guardrail: Guardrail) -> Any:
    return lambda texts: texts.map(lambda text: not guardrail(text)).astype(bool)


@functools.cache
def contract() -> Any:
    """A pandera schema: one row per text, one check per guardrail."""
    import pandera.pandas as pa  # half a second, which whoever judges a single text does not wait for

    checks = [pa.Check(_passes(rule), name=name, error=name) for name, rule in GUARDRAILS.items()]
    return pa.DataFrameSchema({"text": pa.Column(object, checks)})


Judged = dict[tuple[Any, ...], bool]
"""Wordings, and whether each is clean."""


def findings(drafts: Sequence[Mapping[str, Any]], matches: pd.DataFrame, judged: Judged | None = None) -> list[str]:
    """Findings of each draft, as JSON lists of {check, severity, message}.

    ``drafts`` have user_id, content_type, title, content, rationale, slots, product_id, and their ``wording``;
    ``matches`` is the day's product_matches, by which an offer's eligibility is judged again. A wording that is clean
    is judged once, whatever figures stand in it: what code shows of a figure's type holds nothing else. Others are
    judged text by text. What is in ``judged`` is not judged again; what is new is added.
    """
    stand = matches[matches["rank"].notna()]
    standing = set(zip(values(stand["user_id"]), values(stand["product_id"]), strict=True))
    judged = {} if judged is None else judged
    new: dict[tuple[Any, ...], Text] = {}
    each: list[tuple[Any, ...]] = []
    for draft in drafts:
        kind = draft["content_type"]
        eligible = (draft["user_id"], draft["product_id"]) in standing if kind == "partner_offer" else None
        each.append((kind, eligible, *draft["wording"]))
        if each[-1] not in judged and each[-1] not in new:
            new[each[-1]] = _text(draft, eligible)
    faulty = _faulty([*new.values()]) if new else set()
    judged.update((key, place not in faulty) for place, key in enumerate(new))
    return [
        "[]" if judged[key] else json.dumps(_found(_text(draft, key[1])), ensure_ascii=False)
        for key, draft in zip(each, drafts, strict=True)
    ]


def _text(draft: Mapping[str, Any], eligible: bool | None) -> Text:
    words = (draft["title"], draft["content"], draft["rationale"])
    return Text.of(draft["content_type"], *words, json.loads(draft["slots"]), eligible)


def _faulty(texts: list[Text]) -> set[int]:
    """The places of the texts that break the contract."""
    from pandera.errors import SchemaErrors

    try:
        contract().validate(pd.DataFrame({"text": pd.Series(texts, dtype=object)}), lazy=True)
    except SchemaErrors as error:
        return set(error.failure_cases["index"])
    return set()


def _found(text: Text) -> list[Finding]:
    return [finding for rule in GUARDRAILS.values() for finding in rule(text)]


MARK: Final = "\x01"
"""What stands in a wording on both sides of a slot's name."""


def wording(words: Sequence[str], slots: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """What two texts have in common that differ in figures alone: the words with figures taken out, and whatever else
    their slots show."""
    whole, others = "\x00".join(words), []
    shown = [(str(slot["shown"]), name) for name, slot in slots.items()]
    for text, name in sorted(shown, key=lambda one: (-len(one[0]), one)):
        if is_figure(name, text):
            whole = whole.replace(text, f"{MARK}{name}{MARK}")
        else:
            others.append(f"{name}={text}")
    return whole, *others


def review_text(
    title: str,
    content: str,
    rationale: str,
    slots: Mapping[str, Mapping[str, Any]],
    *,
    content_type: str = "education",
    eligible: bool | None = None,
) -> list[Finding]:
    """Findings of one text, such as an operator's override, against the slots registered with the draft.

    For an offer, ``eligible`` says whether its match still stands; unknown counts as no.
    """
    return _found(Text.of(content_type, title, content, rationale, slots, eligible))


def review_draft(draft: Mapping[str, Any], /) -> list[Finding]:
    """``review_text`` for a stored draft: content_type, title, content, rationale, slots (JSON).

    An operator's words do not change whether an offer's criteria were met, and the gate asks nothing that this could
    answer better: eligibility stays as it was found when the offer was drafted.
    """
    return review_text(
        draft["title"],
        draft["content"],
        draft["rationale"],
        json.loads(draft["slots"]),
        content_type=draft["content_type"],
        eligible=True,
    )


def critical(found: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any finding forbids approval."""
    return any(finding["severity"] == "critical" for finding in found)


def release_candidates_clean(drafts: pd.DataFrame) -> pd.DataFrame:
    """The drafts that have a critical finding and so are no release candidates; empty is clean.

    Columns recommendation_id, template_id, findings.
    """
    flagged = drafts["findings"].map(lambda text: critical(json.loads(text))).astype(bool)
    return drafts.loc[flagged, ["recommendation_id", "template_id", "findings"]].reset_index(drop=True)


__all__ = [
    "GUARDRAILS",
    "Finding",
    "Guardrail",
    "Judged",
    "Text",
    "contract",
    "critical",
    "findings",
    "normalized",
    "release_candidates_clean",
    "review_draft",
    "review_text",
    "wording",
]
