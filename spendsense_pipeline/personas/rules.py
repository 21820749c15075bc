"""The rules by which a customer gets a persona, as one table.

Here stands every criterion with its threshold and where the threshold comes from; nothing is computed here
(``assignment.py`` does that). Adding a persona is adding rows here and a prompt in ``prompts/``.

How to read the table: rows of a persona with the same ``clause`` are alternatives, one of them suffices; a
persona matches when each of its clauses is met. Its priority is the highest among its rows that are met, so a
row with a higher priority lifts the persona when it holds. Personas of equal priority keep the order of the
table.
"""

import hashlib
from dataclasses import astuple, dataclass, replace
from typing import Final, Literal

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


_SPEC = "persona's definition in the programme's specification"
_BANDS = "persona's definition; 30, 50 and 80 % are the bands in which utilisation is reported"
_URGENT = "persona's definition: arrears and cards near their limit come before everything but wealth_builder"

_TRUST = "ours: with less than half of the rows explained, what a persona rests on is mostly unknown"

EXPLAINED: Final = "explained"
"""The clause that asks how much of a customer's rows is explained, of personas that rest on them. Balances need not be:
``high_utilization`` does not ask."""

RULES: Final[tuple[Rule, ...]] = (
    Rule("wealth_builder", 1.00, "income", "avg_monthly_income", ">", 10_000, _SPEC, money=True),
    Rule("wealth_builder", 1.00, "savings", "savings_balance", ">", 25_000, _SPEC, money=True),
    Rule("wealth_builder", 1.00, "low_utilization", "max_utilization", "<=", 0.20, _SPEC),
    Rule("wealth_builder", 1.00, "low_utilization", "card_count", "==", 0, _SPEC),
    Rule("wealth_builder", 1.00, "no_fees", "fees_180d", "==", 0, _SPEC, money=True),
    Rule("wealth_builder", 1.00, "invests", "investment_account_detected", "==", True, _SPEC),
    Rule("wealth_builder", 1.00, EXPLAINED, "explained_share", ">=", 0.50, _TRUST),
    Rule("high_utilization", 0.80, "strain", "max_utilization", ">=", 0.50, _BANDS),
    Rule("high_utilization", 0.80, "strain", "interest_charges_present", "==", True, _SPEC),
    Rule("high_utilization", 0.80, "strain", "minimum_payment_only_flag", "==", True, _SPEC),
    Rule("high_utilization", 0.95, "strain", "any_overdue", "==", True, _URGENT),
    Rule("high_utilization", 0.95, "strain", "max_utilization", ">=", 0.80, _URGENT),
    Rule("savings_builder", 0.70, "saves", "savings_growth_rate", ">=", 0.02, _SPEC, per_month=True),
    Rule("savings_builder", 0.70, "saves", "net_savings_inflow", ">=", 200, _SPEC, money=True),
    Rule("savings_builder", 0.70, "no_card_strain", "utilization_30_flag", "==", False, _BANDS),
    Rule("savings_builder", 0.70, EXPLAINED, "explained_share", ">=", 0.50, _TRUST),
    Rule("variable_income", 0.60, "uneven", "median_pay_gap_days", ">", 45, _SPEC),
    Rule("variable_income", 0.60, "uneven", "income_variability", ">=", 0.30, _SPEC),
    Rule("variable_income", 0.60, "thin_buffer", "cash_flow_buffer_months", "<", 1, _SPEC),
    Rule("variable_income", 0.60, EXPLAINED, "explained_share", ">=", 0.50, _TRUST),
    Rule("subscription_heavy", 0.50, "many", "recurring_merchants", ">=", 3, _SPEC),
    Rule("subscription_heavy", 0.50, "weight", "monthly_recurring_spend", ">=", 50, _SPEC, money=True),
    Rule("subscription_heavy", 0.50, "weight", "subscription_spend_share", ">=", 0.10, _SPEC),
    Rule("subscription_heavy", 0.50, EXPLAINED, "explained_share", ">=", 0.50, _TRUST),
)


def rules_version(rules: tuple[Rule, ...]) -> str:
    """The version of a table of rules: derived from what it says, so nobody can forget to raise it."""
    said = [astuple(replace(rule, source="")) for rule in rules]
    return "rules-" + hashlib.sha256(repr(said).encode()).hexdigest()[:12]


RULES_VERSION: Final = rules_version(RULES)
