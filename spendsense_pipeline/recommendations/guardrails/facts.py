"""What a text may rest on: figures from slots, disclosures once, safe links, an offer still eligible."""

import re
from typing import Final

from spendsense_pipeline.recommendations.figures import figures
from spendsense_pipeline.recommendations.guardrails.text import Finding, Text, normalized
from spendsense_pipeline.recommendations.render import EDUCATION_DISCLOSURE, OFFER_DISCLOSURE

_LINK = re.compile(r"\b([a-z][a-z0-9+.-]{1,20}):(?://)?(?=[^\s\d])\S*", re.IGNORECASE)
_GOES_ON = re.compile(r"[\w%]|[.,]\d")
_BARE_LINK = re.compile(r"(?<![\w/.@])www\.\S+", re.IGNORECASE)
_MARKUP = re.compile(r"\]\s*\(|<\s*[a-z/!]|&(?:#\d+|#x[0-9a-f]+|[a-z]+);", re.IGNORECASE)
_SCHEMES: Final = frozenset(
    {"http", "ftp", "file", "javascript", "data", "vbscript", "mailto", "tel", "sms", "ws", "blob"}
)


def _found(check: str, message: str) -> Finding:
    return Finding(check=check, severity="critical", message=message)


def disclosure(text: Text) -> list[Finding]:
    """The educational disclosure stands in the content exactly once, in an offer the partner one too."""
    expected = [EDUCATION_DISCLOSURE]
    if text.content_type == "partner_offer":
        expected.append(OFFER_DISCLOSURE)
    found = []
    whole = text.whole.casefold()
    for sentence in expected:
        times = whole.count(sentence.casefold())
        if times != 1 or sentence.casefold() not in text.content.casefold():
            found.append(_found("disclosure", f"stands {times} times, must stand once: {sentence!r}"))
    return found


def _without(text: str, part: str) -> str:
    """The text without ``part`` where it stands by itself, not inside a longer figure ("$82" in "$820")."""
    start = text.find(part)
    while start >= 0:
        before, after = text[start - 1 : start], text[start + len(part) :]
        inside = before.isalnum() or before in ("_", "$", ".", ",")
        inside = (bool(before) and inside) or bool(_GOES_ON.match(after))
        if not inside:
            text = f"{text[:start]} {after}"
        start = text.find(part, start + (len(part) if inside else 1))
    return text


def grounding(text: Text) -> list[Finding]:
    """Every figure, in digits or words, stands in the text as one of the slots showed it, or is a guideline.

    A slot is matched with its noun and unit: "3 subscriptions" does not ground "3 loans", "$82" not "82%".
    """
    shown = sorted({normalized(str(s["shown"])) for s in text.slots.values()}, key=len, reverse=True)
    claimed = text.whole
    for part in shown:
        if any(c.isdigit() for c in part) or figures(part):
            claimed = _without(claimed, part)
    return [_found("grounding", f"no slot shows {figure!r}") for figure in dict.fromkeys(figures(claimed))]


def links(text: Text) -> list[Finding]:
    """Links are plain https; no other scheme, no Markdown link, no markup."""
    found = []
    for match in _LINK.finditer(text.whole):
        scheme, whole = match[1].casefold(), match[0]
        if scheme == "https":
            if not re.match(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(?=[/?#.,;:)]|$)", whole, re.IGNORECASE):
                found.append(_found("links", f"is no plain https link: {whole[:80]!r}"))
        elif scheme in _SCHEMES or "://" in whole:
            found.append(_found("links", f"only https links are allowed: {whole[:80]!r}"))
    for pattern, what in ((_BARE_LINK, "a link without https://"), (_MARKUP, "a Markdown link or markup")):
        if hit := pattern.search(text.whole):
            found.append(_found("links", f"{what}: {hit[0][:80]!r}"))
    return found


def eligibility(text: Text) -> list[Finding]:
    """An offer's match is still eligible; education has no such question."""
    if text.content_type == "partner_offer" and text.eligible is not True:
        return [_found("eligibility", "the customer does not meet the product's published criteria (any more)")]
    return []
