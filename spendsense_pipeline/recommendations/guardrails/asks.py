"""What no text may ask: to give away a secret, a card or money, to stop paying, to borrow, to cash out a pension.

The words are data (``data/asks.toml``): things and what is done with them, and what makes a sentence a warning instead.
What does not belong here: what a text may not say whatever it asks (``tone.py``, ``advice.py``).
"""

import functools
import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from spendsense_pipeline.recommendations.guardrails.reader import Doubted
from spendsense_pipeline.recommendations.guardrails.text import AnyCase, Guardrail, Rules, phrases

_FIELDS: Final = ("things", "acts", "always", "unless")
_PART = re.compile(r"[,;:]\s|\s-+\s")


def _alternatives(lines: str) -> AnyCase:
    """Lines of expressions with `` | `` between them, as one pattern of whole words; nothing where there is none."""
    written = [each.strip() for line in lines.splitlines() for each in line.split(" | ") if each.strip()]
    return AnyCase(rf"(?<![\w-])(?:{'|'.join(written) or '(?!)'})(?![\w-])")


@dataclass(frozen=True)
class Ask:
    """A kind of thing that no text may ask, as a pattern for ``phrases``: ``search`` answers for a sentence."""

    things: AnyCase
    acts: AnyCase
    always: AnyCase
    unless: AnyCase
    warns: AnyCase
    warnings: AnyCase

    def search(self, sentence: str) -> re.Match[str] | None:
        """What is asked for in a sentence that neither warns of it nor explains it; None where nothing is.

        A warning reaches as far as its part of the sentence: "do not worry, send us your PIN" asks for the PIN.
        """
        candidates = [self.always]
        if self.things.search(sentence) and not self.unless.search(sentence):
            candidates.append(self.acts)
        for pattern in candidates:
            for found in pattern.finditer(sentence):
                if not self.warns.search(_part_of(sentence, found.start())) or self.warns.search(found[0]):
                    return None if self.warnings.search(sentence) else found
        return None


def _part_of(sentence: str, at: int) -> str:
    """The part of a sentence before ``at``, from the last comma, colon or dash on."""
    return _PART.split(sentence[max(0, at - 300) : at])[-1]


@functools.cache
def asks() -> dict[str, tuple[str, str, Ask]]:
    """Each kind of the data with the guardrail that it belongs to, its message, and what finds it."""
    text = resources.files("spendsense_pipeline.recommendations").joinpath("data/asks.toml").read_text("utf-8")
    data: dict[str, Any] = tomllib.loads(text)
    warns, warnings = _alternatives(data.pop("warns")), _alternatives(data.pop("warnings"))
    return {
        kind: (
            told["check"],
            told["message"],
            Ask(**{name: _alternatives(told.get(name, "")) for name in _FIELDS}, warns=warns, warnings=warnings),
        )
        for kind, told in data.items()
    }


def asking(check: str) -> Rules:
    """The rules of a guardrail among them."""
    return tuple((Doubted(ask), "critical", message) for of, message, ask in asks().values() if of == check)


scams: Final[Guardrail] = phrases("scams", asking("scams"))
"""Asks for codes and passwords, gift cards, cash or cards at the door, money sent to strangers."""
