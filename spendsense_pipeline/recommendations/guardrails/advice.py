"""The boundary of advice: no guarantee, no approval in advance, no named security, no telling what to buy."""

import re
from typing import Final

from spendsense_pipeline.recommendations.guardrails.text import Finding, Severity, Text, phrase_findings

_NAMED = (
    r"bitcoin|ethereum|dogecoin|solana|S ?& ?P \d+|dow jones|nasdaq|nyse|russell \d+|vanguard|ishares|"
    r"tesla|nvidia|gamestop|berkshire hathaway|palantir|coinbase"
)
_RULES: Final[tuple[tuple[re.Pattern[str], Severity, str], ...]] = (
    (
        re.compile(
            r"\bguarant(?:ee|y)\w*|\brisk[- ]free\b|\bno[- ]risk\b|\bwithout (?:any )?risk\b|\bcan(?:'t|not) lose\b|"
            r"\bdouble your money\b|\bbeat(?:s|ing)? the market\b|\bsure thing\b|\bget rich\b",
            re.IGNORECASE,
        ),
        "critical",
        "promises an outcome",
    ),
    (
        re.compile(
            r"\b(?:pre-?)?approved\b|\bpre-?qualified\b|"
            r"\b(?:instant|certain) approval\b|\byou qualify\b",
            re.IGNORECASE,
        ),
        "critical",
        "speaks of an approval that nobody gave",
    ),
    (
        re.compile(
            rf"\b(?:{_NAMED})\b|(?<![\w$])\$[A-Z]{{2,5}}\b|\((?:[A-Z]{{3,5}})\)|"
            r"\b(?:[Tt]icker|[Ss]hares? (?:of|in)|[Ss]tocks? (?:of|in))\s+\$?[A-Z]\w+",
        ),
        "critical",
        "names a security",
    ),
    (
        re.compile(rf"\b(?:{_NAMED})\b", re.IGNORECASE),
        "critical",
        "names an investment",
    ),
    (
        re.compile(
            r"\b(?:we|I) (?:recommend|advise|urge|suggest) (?:that )?(?:you )?(?:to )?"
            r"(?:buy|sell|invest|purchas|mov|put)\w*|"
            r"\b(?:buy|sell|short|dump) (?:\w+ )?(?:stocks?|shares?|bonds?|crypto\w*|gold|options?)\b|"
            r"\bas your (?:financial )?advis[eo]r\b|\binvest (?:all|everything)\b|\btake out a (?:payday )?loan\b",
            re.IGNORECASE,
        ),
        "critical",
        "advises a transaction",
    ),
)


def advice_boundary(text: Text) -> list[Finding]:
    """Guarantees, approvals, named securities and recommended transactions, in any part of the text."""
    return phrase_findings("advice_boundary", text, _RULES)
