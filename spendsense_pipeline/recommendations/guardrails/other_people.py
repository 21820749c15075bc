"""Names in a text: which are people's, and which are those of payees that everybody knows.

A given name is one of ``payees/data/people.toml``; many are words, months, payees or programmes as well, so that one
counts only where nothing says otherwise.
"""

import functools
import re
from typing import Final

from spendsense_pipeline.payees import known, names
from spendsense_pipeline.recommendations.guardrails.text import WORDS
from spendsense_pipeline.recommendations.naming import known_payee

_NAME: Final = re.compile(r"[A-Z][\w]*(?:['’][A-Z]?\w+)?")
_WORDS: Final = frozenset(WORDS["names"].split())
"""Given names that are words or places: a name only where another name, or somebody's kin or office, stands beside."""
_KIN: Final = re.compile(
    r"(?:husband|wife|spouse|partner|ex|ex-wife|ex-husband|neighbou?r|son|daughter|roommate|boss|mom|mum|dad|mother|"
    r"father|brother|sister|aunt|uncle|friend|landlord|landlady|therapist|doctor|lawyer|colleague|cousin|agent|"
    r"adviser|advisor|banker|teacher|nanny)[,:]? $",
    re.IGNORECASE,
)
_THINGS: Final = frozenset(WORDS["things"].split())
"""What follows a name that is no person's: Father's Day, Roth IRA, Fannie Mae."""


def named_like_its_site(name: str) -> bool:
    """Whether a payee goes by its site's name and is well known by it: Audible.com, Booking.com."""
    return known_payee(name) is not None or known_payee(name.rpartition(".")[0]) is not None


@functools.cache
def _given() -> frozenset[str]:
    return frozenset(names.load("people.toml")["given"].split()) - {"don", "van", "san"}  # titles, and saints


@functools.cache
def _brands() -> re.Pattern[str]:
    """Names of well-known payees that begin with or hold a given name, as one pattern."""
    written = {
        each.display for each in known.table() if _given() & set(names.fold(each.display).replace("'s", "").split())
    }
    longest_first = sorted((each for each in written if " " in each or "'" in each), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)


def person_in(sentence: str) -> str | None:
    """A person's name in a sentence of ours, null where there is none.

    >>> person_in("Ask Kevin at the bank."), person_in("Mark the day."), person_in("Your landlord, Grace, called.")
    ('Kevin', None, 'Grace')
    """
    rest = _brands().sub(" ", sentence)
    for match in _NAME.finditer(rest):
        word = re.sub(r"['’]s$", "", match[0])
        folded = names.fold(word)
        if folded not in _given():
            continue
        after = re.match(r"(?:['’]s?)? ([\w']+)", rest[match.start() + len(word) : match.end() + 30])
        following = after[1] if after else ""
        if following.lower() in _THINGS:
            continue
        beside_name = following[:1].isupper() and following.lower() not in _WORDS
        kin = _KIN.search(rest[max(0, match.start() - 20) : match.start()])
        if folded not in _WORDS or beside_name or kin:
            return f"{word} {following}" if following[:1].isupper() else word
    return None
