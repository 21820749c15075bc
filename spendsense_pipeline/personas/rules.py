"""The rules by which a customer gets a persona: the criteria of ``personas.toml``, in one list.

Nothing is computed here (``assignment.py`` does that).

How to read the table: rows of a persona with the same ``clause`` are alternatives, one of them suffices; a
persona matches when each of its clauses is met. Its priority is the highest among its rows that are met, so a
row with a higher priority lifts the persona when it holds. Personas of equal priority keep the order of the
table.
"""

import hashlib
from dataclasses import astuple, dataclass, replace
from typing import Final, Literal

from spendsense_pipeline.personas.table import PERSONAS

Operator = Literal[">", ">=", "<", "<=", "=="]

FALLBACK: Final = "savings_builder"
"""What a customer gets whom nothing matched; the row says so in ``is_fallback``."""


@dataclass(frozen=True)
class Rule:
    """One criterion: ``signal operator threshold``, as one alternative of a clause of a persona.

    ``signal`` is a column of the features. A ``per_month`` threshold is for 30 days and scales with the
    window; a ``money`` threshold is in US dollars and scales with the customer's currency factor. ``source``
    says where the threshold comes from.
    """

    persona: str
    priority: float
    clause: str
    signal: str
    operator: Operator
    threshold: float | bool
    source: str
    per_month: bool = False
    money: bool = False


EXPLAINED: Final = "explained"
"""The clause that asks how much of a customer's rows is explained, of personas that rest on them. Balances need not be:
``high_utilization`` does not ask."""

RULES: Final = tuple(
    Rule(name, **rule)
    for name, persona in sorted(PERSONAS.items(), key=lambda one: -max(rule["priority"] for rule in one[1].rules))
    for rule in persona.rules
)
"""The criteria of all personas, those of the highest priority first."""

BY_PRIORITY: Final = tuple(dict.fromkeys(rule.persona for rule in RULES))
"""The personas in the order of their rules."""


def rules_version(rules: tuple[Rule, ...]) -> str:
    """The version of a table of rules: derived from what it says, so nobody can forget to raise it."""
    said = [astuple(replace(rule, source="")) for rule in rules]
    return "rules-" + hashlib.sha256(repr(said).encode()).hexdigest()[:12]
