"""The boundary of advice: no guarantee, no approval in advance, no named security, no telling what to buy."""

import re
from typing import Final

from spendsense_pipeline.recommendations.guardrails.text import Finding, Severity, Text, phrases

_NAMED = (
    r"bitcoin|ethereum|dogecoin|solana|shiba inu|S ?& ?P \d+|dow jones|nasdaq(?:-\d+)?|nyse|russell \d+|"
    r"vanguard|ishares|"
    r"blackrock|fidelity|charles schwab|robinhood|wealthfront|betterment|"
    r"tesla|nvidia|gamestop|berkshire hathaway|palantir|coinbase"
)
# Names that are also payees: a security only beside a word that makes them one.
_COMPANY = (
    r"apple|amazon|microsoft|google|alphabet|meta|facebook|netflix|disney|walmart|costco|intel|amd|nike|uber|spotify|"
    r"exxon|chevron|boeing|ford|toyota|visa|mastercard|paypal|jpmorgan|starbucks"
)
_TICKERS = r"VOO|VTI|SPY|QQQ|VTSAX|VXUS|BND|IVV|SCHD|ARKK|TSLA|AAPL|AMZN|MSFT|GOOGL?|NVDA|GME|AMC|BTC|ETH|XRP"
_ANY = re.IGNORECASE

_RULES: Final[tuple[tuple[re.Pattern[str], Severity, str], ...]] = (
    (
        # A text may say that there is no guarantee.
        re.compile(
            r"(?<!\bno )(?<!\bnot a )(?<!\bnot )(?<!\bnever )(?<!n't )\bguarant(?:ee|y)\w*|\brisk[- ]free\b|"
            r"\b(?:no|zero)[- ]risk\b|\bwithout (?:any |the )?risk\b|\bcan(?:'t|not| not) (?:lose|go wrong|fail)\b|"
            r"\bnothing can go wrong\b|\bno downside\b|\bdouble your money\b|\b(?:beat|outperform)(?:s|"
            r"ing)? the market\b|"
            r"\bsure thing\b|\bget rich\b|\bassured (?:return|gain|profit|income)s?\b|"
            r"\b(?:certain|sure|bound|sure-fire|surefire)(?: way)? to (?:gain|profit|rise|grow|make money|pay off)\b|"
            r"\b(?:always|only) goes up\b|\beasy money\b|\bfree money\b|\bsafe bet\b",
            _ANY,
        ),
        "critical",
        "promises an outcome",
    ),
    (
        re.compile(
            r"\b(?:pre-?approved|(?:you(?:'re| are| have been)|already|get|been) (?:pre-?)?approved)\b(?! of)|"
            r"\bpre-?qualif(?:y|ied)\b|\b(?:instant|certain|automatic) approval\b|"
            r"\byou(?:'ll| will)? qualify\b|\byou(?:'ve| have) been (?:selected|accepted|chosen)\b|"
            r"\byou(?:'ll| will) be (?:accepted|approved)\b|\beveryone (?:is|gets) accepted\b|\bno credit check\b",
            _ANY,
        ),
        "critical",
        "speaks of an approval that nobody gave",
    ),
    (
        re.compile(
            rf"(?<![\w$])\$[A-Z]{{2,5}}\b|\b(?:NYSE|NASDAQ)\s*:\s*[A-Z]+|\b(?:{_TICKERS})\b|"
            r"\b(?:[Tt]icker|[Ss]hares? (?:of|in)|[Ss]tocks? (?:of|in|like))\s+\$?[A-Z]\w+"
        ),
        "critical",
        "names a security",
    ),
    (
        re.compile(rf"\b(?:{_NAMED})\b|\b(?:{_COMPANY})(?:'s)? (?:stock|shares?|bonds?|calls|puts|options)\b", _ANY),
        "critical",
        "names an investment",
    ),
    (
        re.compile(
            r"\b(?:we|I|our (?:team|experts?)) (?:strongly )?(?:recommend|advise|urge|"
            r"suggest)s? (?:that )?(?:you )?(?:to )?"
            r"(?:buy|sell|invest|purchas|mov|put|refinanc|consolidat|borrow)\w*|"
            r"\b(?:buy|sell|short|dump) (?:(?:your|more|some|all|these|this|now) )?(?:\w+ )?"
            r"(?:stocks?|shares?|bonds?|funds?|etfs?|crypto\w*|gold|silver|options?)\b|"
            r"\b(?:put|move|shift|transfer) (?:all|everything|your (?:money|savings|cash)) (?:of it )?in(?:to)? "
            r"(?:stocks?|bonds?|crypto\w*|gold|real estate|the market)\b|"
            r"\bas your (?:financial )?advis[eo]r\b|\binvest (?:all|everything)\b|"
            r"\b(?:take out|get|apply for) an? (?:payday |personal |new )?(?:loan|credit card)\b|"
            r"\b(?:file for|declare) bankruptcy\b|\b(?:stop paying|stop making|skip)(?: your| a| the)? (?:loan|card|"
            r"mortgage|payments?)\b|"
            r"\b(?:best|top|perfect|ideal) (?:investment|stock|fund|pick)s?\b|\b(?:good|right|"
            r"perfect) time to (?:buy|sell|invest)\b|"
            r"\bborrow (?:money )?to invest\b|\bcash out your (?:\d+\(?k\)?|retirement|pension|ira)\b",
            _ANY,
        ),
        "critical",
        "advises a transaction",
    ),
)


_found: Final = phrases("advice_boundary", _RULES)


def advice_boundary(text: Text) -> list[Finding]:
    """Guarantees, approvals, named securities and recommended transactions, in any part of the text."""
    return _found(text)
