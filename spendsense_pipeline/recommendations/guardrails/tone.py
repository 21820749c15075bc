"""Tone: nobody is shamed, ordered about, hurried, or promised what nobody can know."""

import re
from typing import Final

from spendsense_pipeline.recommendations.guardrails.text import Finding, Severity, Text, phrase_findings


def _words(alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE)


_RULES: Final[tuple[tuple[re.Pattern[str], Severity, str], ...]] = (
    (
        _words(
            r"irresponsibl[ey]|reckless(?:ly)?|lazy|careless(?:ly)?|foolish(?:ly)?|stupid(?:ly)?|dumb|"
            r"sham(?:e|ed|eful|efully)|ashamed|embarrass\w*|disgrace\w*|pathetic|guilty|undisciplined|"
            r"bad with money|(?:your|it's|is) (?:own )?fault|"
            r"should(?:n't)? have (?:known|saved|paid|been|spent)|"
            r"(?:bad|poor|terrible|awful) (?:habits?|choices?|decisions?|spending|behaviou?r)|"
            r"wast(?:e|ed|eful|ing)|overspen(?:d|ds|t|ding)|out of control|you(?:'ve| have)? fail(?:ed)?|"
            r"failure|blow(?:n|ing)? (?:your )?money|living beyond your means|mess(?:ed)? up|splurg\w+|"
            r"addict(?:ed|ion)?|squander\w*|spendthrift|can't control|no self-control|excuses?"
        ),
        "critical",
        "shames the reader",
    ),
    (
        _words(
            r"you must(?: not|n't)?|you(?:'ve| have)(?: got)? to|you ought to|you(?:'d| had) better|"
            r"you are required to|(?:stop|quit) (?:spending|buying|wasting|using|eating|shopping)|"
            r"don't you dare|under no circumstances|never (?:again )?(?:buy|spend|use)|cut up your cards?|"
            r"do it now|it is mandatory"
        ),
        "critical",
        "commands",
    ),
    (_words(r"you need to|you should(?:n't| not)?|you can't afford|be sure to"), "notable", "reads like a command"),
    (
        _words(
            r"act (?:now|fast|today|quickly)|hurry|last chance|limited[- ]time|before it's too late|"
            r"urgent(?:ly)?|immediately|right (?:now|away)|don't (?:wait|delay|miss(?: out)?)|"
            r"(?:offer )?(?:ends|expires) (?:soon|today|tonight)|today only|only today|"
            r"(?:time is )?running out|asap|final (?:notice|warning)|while supplies last|once in a lifetime|"
            r"without delay"
        ),
        "critical",
        "urges",
    ),
    (
        _words(
            r"will (?:definitely|certainly|surely|always|never)|definitely|undoubtedly|without (?:a )?doubt|"
            r"no doubt|will (?:raise|improve|boost|increase|fix|repair) your (?:credit )?(?:score|rating)|"
            r"you will (?:save|earn|gain|become|get rich)|always works|never fails|bound to|proven to|"
            r"for sure"
        ),
        "critical",
        "claims certainty",
    ),
)


def tone(text: Text) -> list[Finding]:
    """Shame, command, urgency and certainty, in any part of the text.

    >>> tone(Text("education", "Hurry", "You must pay.", ""))[0]["message"]
    "commands: 'You must'"
    """
    return phrase_findings("tone", text, _RULES)
