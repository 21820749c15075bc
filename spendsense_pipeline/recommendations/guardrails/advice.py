"""The boundary of advice: no guarantee, no approval in advance, no named security, no telling what to buy.

Names of securities are data (``data/securities.toml``).
"""

import re
import tomllib
from importlib import resources
from typing import Final

from spendsense_pipeline.recommendations.guardrails.asks import asking
from spendsense_pipeline.recommendations.guardrails.reader import PLAINLY_GOOD, Doubted
from spendsense_pipeline.recommendations.guardrails.text import AnyCase, Finding, Rules, Text, phrases

_DATA: Final[dict[str, str]] = {
    name: "|".join(re.escape(each).replace(r"\ ", " ?") for each in listed)
    for name, listed in tomllib.loads(
        resources.files("spendsense_pipeline.recommendations").joinpath("data/securities.toml").read_text("utf-8")
    ).items()
}
_INVEST: Final = (
    r"(?:(?:buy|own)(?:ing)?|load(?:ing)? up on|go(?:ing)? long|happy in|swap\b.{0,40}? for|sell(?:ing)?|trad(?:e|"
    r"ing)|hold(?:ing)?|stak(?:e|ing)|pick(?:ing)? up|grab(?:bing)?|invest(?:ing)?(?: in| into)?|"
    r"(?:put|move|shift|swap|place)(?:ting|ping)?\b.{0,40}? (?:in|into|to|for))"
)
_NO_WARNING: Final = (
    r"^(?!.*\b(?:warnings?|anyone|anybody|nobody|no one|such thing|isn't|wary|avoid|scams?|honest)\b).*?"
)

_RULES: Final[Rules] = (
    *(
        (pattern, "critical", "promises an outcome")
        for pattern in (
            # A text may say that there is no guarantee, and how one that the law gives works.
            Doubted(
                AnyCase(
                    rf"{_NO_WARNING}(?:(?<!\bno )(?<!\bnot a )(?<!\bnot )(?<!\bnever )(?<!n't )\bguarant(?:ee|y)\w*)"
                ),
                PLAINLY_GOOD,
            ),
            Doubted(
                AnyCase(
                    r"\bas good as (?:won|done|yours|paid|settled|approved)\b|\b(?:is|are) yours by\b|"
                    r"\b(?:fee|mark|debt|charge)s? (?:vanish|disappear|come off|comes off)\w*\b|"
                    r"\byou can count on (?:it|that)\b|\bno question(?: about it)?[.!]?$|"
                    r"\bno way (?:\w+ ){1,5}fails?\b|\bwith(?:out fail| certainty)\b|\bnot subject to any\b|"
                    r"\bat no time exposed\b|"
                    r"\bmeets? with success\b|\bwhatever (?:your|the) (?:score|history|record)\b"
                )
            ),
            AnyCase(
                rf"{_NO_WARNING}(?:\brisk[- ]free\b|"
                r"\b(?:no|zero)[- ]risk\b|\bwithout (?:any |the )?risk\b|"
                r"\bcan(?:'t|not| not) (?:lose|go wrong|fail)\b|"
                r"\bnothing can go wrong\b|\bno downside\b|\bdouble your money\b|\b(?:beat|outperform)(?:s|"
                r"ing)? the market\b|"
                r"\bsure thing\b|\bget rich\b|\bassured (?:return|gain|profit|income)s?\b|"
                r"\b(?:certain|sure|bound|sure-fire|surefire)(?: way)? to (?:gain|profit|rise|grow|make money|"
                r"pay off)\b|"
                r"\b(?:always|only) goes up\b|\beasy money\b|\bfree money\b|\bsafe bet\b)"
            ),
        )
    ),
    (
        Doubted(
            AnyCase(
                r"\b(?:you(?:'re| are| have been)|already|get|been) pre-?approved\b|pre-?approved for\b|"
                r"\b(?:you(?:'re| are| have been)|already|get|been) approved\b(?! of)|"
                r"\byou(?:'re| are| have) (?:been )?pre-?qualified\b|\b(?:instant|certain|automatic) approval\b|"
                r"\byou(?:'re| are|'ll be| will be) (?:certain|sure|bound|going|guaranteed) to "
                r"(?:be (?:approved|accepted)|qualify|get (?:the|this|that|a) (?:card|loan|offer))\b|"
                r"\b(?:bank|lender|issuer|card|landlord)s? (?:always says?|(?:has|have) to say|will say) yes\b|"
                r"\b(?:bank|lender|issuer|creditor|bureau)s? "
                r"(?:(?:has|have) no choice|must waive|can(?:no|')t refuse)\b|"
                r"\byou(?:'ll| will)? qualify\b|\byou(?:'ve| have) been (?:selected|accepted|chosen)\b|"
                r"\byou(?:'ll| will) be (?:accepted|approved)\b|\beveryone (?:is|gets) accepted\b"
            ),
            PLAINLY_GOOD,
        ),
        "critical",
        "speaks of an approval that nobody gave",
    ),
    (
        re.compile(
            rf"(?<![\w$])\$[A-Za-z]{{2,5}}\b|\b(?:NYSE|NASDAQ)\s*:\s*[A-Za-z]+|(?i:\b(?:{_DATA['tickers']}|"
            rf"{_DATA['coins']})\b)|"
            rf"\b(?i:{_INVEST} (?:some |a bit of |a little |more |index |a few )*(?:{_DATA['words']}))\b|\bSPY\b|"
            r"\b(?:[Tt]icker|[Ss]hares? (?:of|in)|[Ss]tocks? (?:of|in|like)|[Bb]onds? (?:of|from)|"
            r"[Ii]nvest(?:ing)? in)\s+\$?[A-Z]\w+"
        ),
        "critical",
        "names a security",
    ),
    (
        AnyCase(
            rf"\b(?:{_DATA['funds']})\b|\b(?:{_DATA['companies']})(?:'s)? (?:stock|shares?|bonds?|calls|puts|"
            rf"options)\b|"
            rf"\b(?:stock|shares?|bonds?|stake) (?:of|in|from) (?:{_DATA['companies']})\b"
        ),
        "critical",
        "names an investment",
    ),
    (
        Doubted(
            AnyCase(
                r"\b(?:we|I|our (?:team|experts?)) (?:strongly )?(?:recommend|advise|urge|"
                r"suggest)s? (?:that )?(?:you )?(?:to )?"
                r"(?:buy|sell|invest|purchas|mov|put|refinanc|consolidat|borrow)\w*|"
                r"\b(?:buy|sell|short|dump) (?:(?:your|more|some|all|these|this|now) )?(?:\w+ )?"
                r"(?:stocks?|shares?|bonds?|funds?|etfs?|crypto\w*|gold|silver|options?)\b|"
                r"\b(?:put|move|shift|transfer) (?:all|everything|your (?:money|savings|cash)) (?:of it )?in(?:to)? "
                r"(?:stocks?|bonds?|crypto\w*|gold|real estate|the market)\b|"
                r"\bbuy(?:ing)? the dip\b|\b(?:crypto|gold|silver|real estate) is (?:where|the|a|how)\b|\b(?:coins?|"
                r"stocks?|shares?|bonds?) (?:while|now that) (?:they|it) (?:are|is) cheap|"
                r"\b[Bb]uy (?:\w+ )?(?:i|t|treasury|savings|corporate) bonds\b|"
                r"\b(?:good|fine|great|smart|solid) (?:buy|investment|pick)\b|"
                r"\bgold is (?:the|a) (?:best|safest|good)\b|"
                r"\b(?:trade|buy|sell) (?:\w+ )?options\b|"
                r"\bas your (?:financial )?advis[eo]r\b|\binvest (?:all|everything)\b|"
                r"\b(?:best|top|perfect|ideal) (?:investment|stock|fund|pick)s?\b|\b(?:good|right|"
                r"perfect) time to (?:buy|sell|invest)\b|"
                r"\bborrow (?:money )?to invest\b"
            ),
            PLAINLY_GOOD,
        ),
        "critical",
        "advises a transaction",
    ),
)


_found: Final = phrases("advice_boundary", (*_RULES, *asking("advice_boundary")))


def advice_boundary(text: Text) -> list[Finding]:
    """Guarantees, approvals, named securities and recommended transactions, in any part of the text."""
    return _found(text)
