"""What a text may rest on: figures from slots, disclosures once, safe links, nobody's data, an offer still eligible."""

import functools
import re
from collections.abc import Collection
from typing import Final

from spendsense_pipeline.recommendations.guardrails.other_people import named_like_its_site, person_in
from spendsense_pipeline.recommendations.guardrails.text import Finding, Text, normalized, sentences
from spendsense_pipeline.recommendations.naming import known_payee
from spendsense_pipeline.recommendations.render import COMPENSATION, EDUCATION_DISCLOSURE, OFFER_DISCLOSURE
from spendsense_pipeline.recommendations.shown_figures import figures

_LINK = re.compile(r"\b([a-z][a-z0-9+.-]{1,20}):(?://)?(?=[^\s\d])\S*", re.IGNORECASE)
_HTTPS = re.compile(r"https://([a-z0-9-]+(?:\.[a-z0-9-]+)+)(?=[/?#.,;:)]|$)", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_UNFILLED = re.compile(r"\{\{[^{}]*\}\}|\{[^{}]*\}|[{}]")
_GOES_ON = re.compile(r"[\w%]|[.,]\d")
_BARE_LINK = re.compile(
    r"(?<![\w/.@-])(?:www\.\S+|[a-z0-9-]*[a-z0-9](?:\.[a-z0-9-]+)*\.[a-z]{2,}\b(?![\w@])(?:/\S*)?|"
    r"[a-z0-9-]+ ?(?:\[\.\]|\(\.\)|\[dot\]|\(dot\)) ?[a-z]{2,}|[a-z0-9-]+ dot (?:com|net|org|io|co|app|info|me|biz|"
    r"xyz|shop|club|online|gov|edu)\b)",
    re.IGNORECASE,
)
"""A host by itself, whatever its ending: an ending that nobody has heard of is as good for a trap as another one."""
_MARKUP = re.compile(r"\]\s*\(|<\s*[a-z/!]|&(?:#\d+|#x[0-9a-f]+|[a-z]+);", re.IGNORECASE | re.MULTILINE)
_SCHEMES: Final = frozenset(
    {"http", "hxxp", "hxxps", "ftp", "file", "javascript", "data", "vbscript", "mailto", "tel", "sms", "ws", "blob"}
)
PUBLIC_HOSTS: Final = frozenset(
    {"consumerfinance.gov", "fdic.gov", "ncua.gov", "ftc.gov", "irs.gov", "investor.gov", "sec.gov", "finra.org",
     "usa.gov", "studentaid.gov", "annualcreditreport.com"}
)  # fmt: skip
"""Public sources on money that any text may point to, subdomains included. An offer may also link to its partner."""

_SPOKEN: Final = "zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple"
_PRIVATE: Final = (
    (
        re.compile(r"(?<![\w.+-])[\w.+-]{1,64} ?(?:@|\(at\)|\[at\]) ?[\w-]+(?:\.| ?\(dot\) ?)[a-z]{2,}", re.IGNORECASE),
        "an e-mail address",
    ),
    (re.compile(r"(?<![\w$,.])\d(?:[ -]?\d){6,}(?![\w%]|[.,]\d)"), "a long number, as of an account or telephone"),
    (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b"), "an IBAN"),
    (re.compile(r"\b\d{3}-\d{2}-\d{4}\b|\b\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b"), "a social security or telephone number"),
    (re.compile(r"\b(?:text|sms)\b[^.!?]{0,40}\bto \d{5,6}\b", re.IGNORECASE), "a short code"),
    (
        re.compile(rf"\b(?:{_SPOKEN})(?:[ ,-]+(?:{_SPOKEN}|hundred|thousand)){{5,}}\b", re.IGNORECASE),
        "a number spelled out, as of a telephone",
    ),
    (re.compile(r"\b(?:cus|user|usr|acc|acct|account|txn|op)_\w{2,}\b", re.IGNORECASE), "an internal identifier"),
    (
        re.compile(r"\b(?:[x*•]{2,}[ -]?){2,}\d{4}\b", re.IGNORECASE),
        "a masked card number; a card is named by its last four",
    ),
    (
        re.compile(
            r"\b[Yy]our (?:husband|wife|spouse|partner|ex|neighbou?r|son|daughter|roommate|boss|mother|father|"
            r"brother|sister)"
            r"(?:'s)? (?:owes?|earns?|spends?|saved?|account|card|balance|debt|salary|income)\b|"
            r"\b(?:customers?|people|somebody|someone) (?:named|called) [A-Z]\w+|"
            r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Aunt|Auntie|Uncle|Grandma|Grandpa|Cousin)\.? [A-Z]['\w]+",
        ),
        "another person's affairs",
    ),
    (
        re.compile(
            r"\b(?:bc1[a-z0-9]{20,}|0x[0-9a-f]{24,}|(?-i:[13](?=[A-Za-z]*\d)[1-9A-HJ-NP-Za-km-z]{25,34}))\b", re.I
        ),
        "the address of a wallet",
    ),
)


def _found(check: str, message: str) -> Finding:
    return Finding(check=check, severity="critical", message=message)


def disclosures(content_type: str, slots: Collection[str]) -> list[str]:
    """The sentences that a text must hold."""
    if content_type != "partner_offer":
        return [EDUCATION_DISCLOSURE]
    return [EDUCATION_DISCLOSURE, OFFER_DISCLOSURE, *([COMPENSATION] if "product_compensation" in slots else [])]


def disclosure(text: Text) -> list[Finding]:
    """The educational disclosure stands in the content exactly once, in an offer the partner ones too."""
    found = []
    whole = text.whole.casefold()
    for sentence in disclosures(text.content_type, text.slots):
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

    A slot is matched with its noun and unit: "3 subscriptions" does not ground "3 loans", "$82" not "82%". A slot's
    name in braces is no figure: code fills slots before anybody reads or overrides.
    """
    shown = sorted({normalized(str(s["shown"])) for s in text.slots.values()}, key=len, reverse=True)
    claimed = text.whole
    for part in shown:
        if _DIGIT.search(part) or figures(part):
            claimed = _without(claimed, part)
    unfilled = [f"{one[:80]!r} is filled by nobody; write what is to be read" for one in _UNFILLED.findall(text.whole)]
    ungrounded = [f"no slot shows {figure!r}" for figure in figures(claimed)]
    return [_found("grounding", message) for message in dict.fromkeys((*ungrounded, *unfilled))]


def links(text: Text) -> list[Finding]:
    """Links are plain https to a host on the list, or to the partner of the offer; no other scheme, no markup."""
    found = []
    hosts = {*PUBLIC_HOSTS, *(m[1].casefold() for s in text.slots.values() if (m := _HTTPS.match(str(s["shown"]))))}
    shown = [normalized(str(slot["shown"])) for slot in text.slots.values()]
    rest = text.whole
    for match in _LINK.finditer(text.whole):
        scheme, whole = match[1].casefold(), match[0]
        if scheme == "https":
            rest = rest.replace(whole, " ")
            host = _HTTPS.match(whole)
            if whole.rstrip(".,;:)?") in shown:
                continue
            if not host:
                found.append(_found("links", f"is no plain https link: {whole[:80]!r}"))
            elif not any(host[1].casefold() == one or host[1].casefold().endswith(f".{one}") for one in hosts):
                found.append(_found("links", f"links to {host[1][:80]}, which is not on the list of hosts"))
            elif re.search(r"[?#@%\\]", whole.rstrip(".,;:)?")):
                found.append(_found("links", f"carries more than a page's address: {whole[:80]!r}"))
        elif scheme in _SCHEMES or "://" in whole:
            rest = rest.replace(whole, " ")
            found.append(_found("links", f"only https links are allowed: {whole[:80]!r}"))
    for name in shown:  # a payee may be called like its site
        if named_like_its_site(name):
            rest = rest.replace(name, " ")
    for pattern, what in ((_BARE_LINK, "a link without https://"), (_MARKUP, "a Markdown link or markup")):
        if hit := pattern.search(rest):
            found.append(_found("links", f"{what}: {hit[0][:80]!r}"))
    return found


def privacy(text: Text) -> list[Finding]:
    """Nothing that names a person or an account: of the customer's cards the last four, of other people nothing."""
    whole = text.whole
    for slot in text.slots.values():
        if known_payee(name := normalized(str(slot["shown"]))):
            whole = whole.replace(name, " ")
    found = dict.fromkeys(hit for sentence in sentences(whole) for hit in _private(sentence))
    return [_found("privacy", message) for message in found]


@functools.lru_cache(maxsize=65_536)
def _private(sentence: str) -> tuple[str, ...]:
    for link in _LINK.finditer(sentence):
        if link[1].casefold() == "https":  # judged by ``links``
            sentence = sentence.replace(link[0], " ")
    found = [f"{what}: {hit[0][:4]}…" for pattern, what in _PRIVATE if (hit := pattern.search(sentence))]
    if name := person_in(sentence):
        found.append(f"a person's name: {name[:4]}…")
    return tuple(found)


def eligibility(text: Text) -> list[Finding]:
    """An offer's match is still eligible; education has no such question."""
    if text.content_type == "partner_offer" and text.eligible is not True:
        return [_found("eligibility", "the customer does not meet the product's published criteria (any more)")]
    return []
