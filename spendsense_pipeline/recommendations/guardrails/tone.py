"""Tone: nobody is shamed, ordered about, hurried, or promised what nobody can know."""

import re
from typing import Final

from spendsense_pipeline.recommendations.guardrails.asks import asking
from spendsense_pipeline.recommendations.guardrails.reader import PLAINLY_GOOD, Doubted
from spendsense_pipeline.recommendations.guardrails.text import AnyCase, Finding, Rules, Text, phrases


def _words(alternatives: str) -> AnyCase:
    return AnyCase(rf"(?<!\w)(?:{alternatives})(?!\w)")


_IMPERATIVE = (
    r"(?:pay|call|act|stop|apply|cancel|move|switch|start|buy|sign up|do (?:it|this)|fix (?:it|this)|open|join)"
)

_RULES: Final[Rules] = (
    (
        Doubted(
            _words(
                r"irresponsibl[ey]|reckless(?:ly)?|lazy|careless(?:ly)?|foolish(?:ly)?|stupid(?:ly)?|dumb|naive|"
                r"clueless|idiot\w*|"
                r"(?<!nothing to be )(?<!no reason to be )(?<!no need to be )ashamed|(?:a |no |such a )?sham(?:e on|"
                r"eful|efully)|(?:should|ought to) feel (?:bad|guilty)|"
                r"(?:what )?a shame|disgrace\w*|pathetic|guilty|undisciplined|immature|grow up|"
                r"bad (?:with|at) money|(?<!not )(?:your|it's your|is your) (?:own )?fault|blame yourself|"
                r"only yourself to blame|"
                r"should(?:n't| not)? have (?:known|saved|paid|been|spent|bought|thought)|know better|"
                r"(?:bad|poor|terrible|awful|dumb|wrong) (?:habits?|choices?|decisions?|spending|behaviou?r)|"
                r"wast(?:e|ed|ing) (?:your |of |so much |too much |all )?(?:money|cash|pay|it)|wasteful (?:habits?|"
                r"spending|ways)|"
                r"overspen(?:d|ds|t|ding)|(?:spending|habit|debt)s? (?:is|are) out of control|"
                r"you(?:'ve| have)? fail(?:ed)?|you(?:'re| are) failing|you(?:'re| are) a failure|"
                r"(?:blow|throw)(?:n|ing)? (?:away )?(?:your |all your )?money(?: away)?|living beyond your means|"
                r"mess(?:ed)? (?:up|you)|in a mess|splurg\w+|(?:shopping |spending )addict(?:ed|ion)?|squander\w*|"
                r"spendthrift|"
                r"you can't control|no (?:self-control|discipline|willpower)|(?:no|your|making) excuses|like an adult|"
                r"(?:everyone|everybody|anyone) else (?:can|manages|does|your age|has|is)|(?:unlike|look at|"
                r"compared (?:to|with)) (?:other|responsible|"
                r"your (?:neighbou?rs?|friends?|peers?|siblings?|colleagues?)|people)|disappoint(?:ing|ed)|"
                r"people like you|grow a (?:spine|pair|backbone)|losers?|(?:nobody|no one) with (?:any )?(?:sense|"
                r"brains?|pride)|(?:man|toughen|wise) up|get a grip|"
                r"get your act together|(?<!no )shame|sloppy|spoiled|childish|hopeless|useless|a joke|"
                r"(?:any|every) (?:sane|"
                r"sensible|normal|decent|smart) (?:person|adult|one)|you(?:'re| are) the only one|(?:quit|stop) being|"
                r"how could you|what(?:'s| is) wrong with you|(?:so|too) (?:weak|lazy|greedy|careless|proud|vain|dim)|"
                r"feel sorry for you|for once|"
                r"your (?:wallet|bank|card|account|budget) is (?:crying|laughing|begging|ashamed)|can(?:'t|"
                r"not) be trusted|let (?:yourself|everyone|them|us) down|"
                r"(?:other )?people your age|(?:you )?(?:have )?no one (?:else )?to blame|what a (?:mess|waste|pity)|"
                r"(?:you(?:'re| are) )?falling behind|(?:the )?(?:smart|sensible|clever) (?:ones|people|money)|"
                r"only (?:a )?fools?|"
                r"(?:a |any )?(?:responsible|real|sensible|mature|decent) (?:adult|person|people|parent|grown-?up)s?|"
                r"a grown-?up|grown-?ups|"
                r"what were you thinking|embarrass\w*|humiliat\w*|you(?:'ve| have)? (?:blew|blown)|come on(?=[.!,])|"
                r"(?:really|seriously), another|if you (?:really |truly )?cared|no excuses?|"
                r"your (?:children|kids|parents|family|mother|father|mom|dad|spouse|partner|friends)(?: \w+)? (?:will|"
                r"would|deserves?|"
                r"pays?|suffers?|(?:be )?ashamed)|they deserve|do it for your (?:family|kids|children)|you(?:'ll|"
                r" will) (?:regret|be sorry)"
            ),
            PLAINLY_GOOD,
        ),
        "critical",
        "shames the reader",
    ),
    (
        Doubted(
            _words(
                r"you must(?: not|n't)?|you(?:'ve| have)(?: got)? to(?! (?:do )?nothing)|you ought to|you(?:'d|"
                r" had) better|"
                r"you are required to|(?:stop|quit) (?:spending|buying|wasting|using|eating|shopping|ordering)|"
                r"don't you dare|under no circumstances|never (?:again )?(?:buy|spend|use)|cut up your cards?|"
                r"it is mandatory|no exceptions|we (?:expect|demand|require) you to|you have no choice"
            ),
            PLAINLY_GOOD,
        ),
        "critical",
        "commands",
    ),
    (
        _words(
            r"you need to|you should(?:n't| not)?|you can't afford|be sure to|make sure (?:you|to)|"
            r"you are expected to"
        ),
        "notable",
        "reads like a command",
    ),
    (
        Doubted(
            _words(
                r"act (?:now|fast|today|quickly)|(?<!no need to )(?<!not )(?<!without )(?<!may )hurry(?: up)?|"
                r"last chance|"
                r"limited[- ]time|before it(?:'s| is) too late|"
                rf"urgent(?:ly)?(?! or)|{_IMPERATIVE}\b[^.!?]{{0,40}}? (?:immediately|"
                rf"right (?:now|away)|this (?:instant|"
                rf"minute))|"
                rf"{_IMPERATIVE}(?: (?:it|this|them|us|your \w+|the \w+))? (?:now(?!,? pay later|,? if| or)|today)|"
                r"tick,? ?tock|(?:last|final) (?:warning|call|reminder)|(?:decide|choose|pay|act|answer|"
                r"reply) (?:in )?th(?:is|e) (?:very )?"
                r"(?:minute|second|instant|moment|hour)|miss(?:es|ing)? out|or else|(?:face|suffer|"
                r"bear) the consequences|"
                r"before (?:things|it) gets? |there(?:'s| is) no time|no time to (?:think|lose|waste)|too late|"
                r"foolish to leave|"
                r"(?:immediately|right now|right away),? (?:pay|call|stop|cancel|apply|move)|"
                r"(?<!you )don't (?:wait|delay|hesitate|miss(?: out)?)|"
                r"(?:offer |deal |it )?(?:ends|expires) (?:soon|today|tonight|at midnight)|today only|only today|"
                r"(?:time is |are )?running out|asap|final (?:notice|warning)|while (?:supplies|stocks?) lasts?|"
                r"once in a lifetime|without delay|every (?:minute|second) counts|the clock is ticking|now or never|"
                r"(?:decide|choose|act|do it|answer) (?:before|by) (?:the day|tonight|midnight|noon|today|it)|"
                r"live with it|move fast|(?:nearly|almost) gone|"
                r"closing fast|(?:spots|seats|places|offers?) (?:are|is) (?:nearly|almost|running)|"
                r"you have (?:until|till) (?:tonight|midnight|noon|tomorrow|today|the end)|(?:only|"
                r"just) (?:\w+ )?(?:hours|minutes) (?:left|remain)|"
                r"there is no time to lose|time-sensitive|as soon as (?:possible|humanly possible)"
            ),
            PLAINLY_GOOD,
        ),
        "critical",
        "urges",
    ),
    (
        Doubted(
            _words(
                r"will (?:definitely|certainly|surely|always|never(?! (?:ask|call|text|e-?mail|request|want)))|"
                r"definitely|undoubtedly|without (?:a |any )?doubt|"
                r"(?:there is )?no doubt|will (?:raise|improve|boost|increase|fix|repair|"
                r"lift) your (?:credit )?(?:score|rating)|"
                r"your (?:credit )?(?:score|rating) will (?:rise|improve|go up|recover|jump)|"
                r"you(?:'ll| will) (?:save|earn|gain|become|get rich|be debt[- ]free|never (?:worry|pay))|"
                r"always works|never fails|"
                r"(?:is|are|you're) bound to (?:rise|fall|grow|work|save|improve|pay|lose|win)\w*|proven to|"
                r"for sure|it is certain|we promise|i promise|works every time|"
                r"the only (?:way|thing) (?:to|that)"
            ),
            PLAINLY_GOOD,
        ),
        "critical",
        "claims certainty",
    ),
    (re.compile(r"!|(?<![A-Z])[A-Z]{4,} [A-Z]{3,}"), "notable", "shouts"),
)


_found: Final = phrases("tone", (*_RULES, *asking("tone")))


def tone(text: Text) -> list[Finding]:
    """Shame, command, urgency and certainty, in any part of the text.

    >>> tone(Text("education", "Hurry", "You must pay.", ""))[0]["message"]
    "commands: 'You must'"
    """
    return _found(text)
