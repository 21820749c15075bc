"""Every insight there is: how urgent, in which topic, for which purpose, when it fires and when it comes back.

The thresholds beside a trigger stand in the module that finds it, named for what they are; docs/insights.md holds the
definitions. What does not belong here: finding them (``bills.py`` and its neighbours), and words (``prompts/library``).
"""

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["urgent", "notable", "good"]
TABLES: Final = ("insights", "balance_forecast")
FUNCTION: Final = "spendsense_pipeline.insights.of_range:insights_of"
"""What gives them; named, for it loads the kernels."""
SEVERITIES: Final = ("urgent", "notable", "good")
TOPICS: Final = ("bills", "recurring", "income", "debt", "cushion", "spending")
"""What a customer can switch off without withdrawing consent."""


@dataclass(frozen=True)
class Insight:
    """One kind of insight. Of one ``purpose`` a slate shows one; ``excludes`` are kinds not to stand beside it."""

    name: str
    topic: str
    severity: Severity
    purpose: str
    fires: str
    source: str
    wrong_when: str
    excludes: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    """What it carries where it is known (``figures.FIGURES``)."""
    details: tuple[str, ...] = ()
    """Cases that a text must tell apart."""
    holds: tuple[str, ...] = ()
    """Facts of ``recommendations/facts.py`` that hold wherever it fires."""


OURS: Final = "our judgement, measured in docs/accuracy.md"
AS_OTHERS: Final = "31 days, as Yodlee and MX have it for duplicate charges"
GROWTH: Final = ("balance_falling", "savings_milestone", "idle_cash")
"""What speaks of room to spare: never beside an account in trouble."""

_ALL: Final = (
    # The order is the order of importance among equals.
    Insight(
        "past_due",
        "debt",
        "urgent",
        "late",
        "a card or loan is reported overdue",
        "the servicer's own flag",
        "the payment was made after the figures were delivered",
        excludes=("dearest_first", "minimum_only", "interest_paid", "windfall", *GROWTH),
        figures=("card", "loan_name", "minimum_payment", "owed", "due_on", "checking_balance", "balance_on"),
        details=("can_pay", "cannot_pay", "unknown"),
        holds=("overdue=yes",),
    ),
    Insight(
        "overdrawn",
        "cushion",
        "urgent",
        "short",
        "a checking balance below zero",
        "the balance delivered",
        "a deposit came in after the balance's day",
        excludes=("thin_cushion", "low_balance_ahead", "bills_before_payday", *GROWTH),
        figures=("amount", "balance_on", "next_payday", "days_until"),
        holds=("buffer=overdrawn",),
    ),
    Insight(
        "low_balance_ahead",
        "bills",
        "urgent",
        "short",
        "even the upper end of the forecast's interval falls below zero before the next payday",
        "80 % interval from the customer's own past errors",
        "money comes in that never came before, or a bill is paid from elsewhere",
        excludes=("thin_cushion", "bills_before_payday", *GROWTH),
        figures=("checking_balance", "balance_on", "low_amount", "low_on", "days_until", "next_payday"),
    ),
    Insight(
        "income_stopped",
        "income",
        "urgent",
        "income",
        "two expected paydays without pay or benefit, while other rows keep coming",
        OURS,
        "pay goes to an account that is not linked",
        excludes=("income_late", "income_changed", "windfall", "spending_above_income", *GROWTH),
        figures=("payee", "amount", "due_on", "days_since", "since_on"),
    ),
    Insight(
        "income_late",
        "income",
        "notable",
        "income",
        "an expected payday is four days past, while other rows keep coming",
        OURS,
        "the employer moved its payday",
        excludes=("windfall", *GROWTH),
        figures=("payee", "amount", "due_on", "days_since", "since_on"),
    ),
    Insight(
        "bills_before_payday",
        "bills",
        "notable",
        "short",
        "what is due before the next payday is at least half of what checking holds; urgent when it is more",
        OURS,
        "a bill is paid from another account",
        excludes=("idle_cash",),
        figures=(
            "bills_total",
            "bill_count",
            "next_payday",
            "days_until",
            "checking_balance",
            "balance_on",
            "after_bills",
            "shortfall",
        ),
    ),
    Insight(
        "fees_charged",
        "cushion",
        "notable",
        "fees",
        "the bank charged penalty or service fees in 31 days, net",
        OURS,
        "a fee was given back under another name",
        excludes=(),
        figures=("fee_count", "total", "total_half_year", "happened_on"),
        details=("penalty", "service"),
    ),
    Insight(
        "duplicate_charge",
        "recurring",
        "notable",
        "duplicate",
        "two charges of one payee, equal to the cent, within 3 days, not a habit, not reversed",
        AS_OTHERS,
        "both were meant",
        figures=("payee", "amount", "happened_on"),
    ),
    Insight(
        "trial_became_paid",
        "recurring",
        "notable",
        "new service",
        "a service whose first charge was a third of its price or less and that now charges the price",
        OURS,
        "the first charge was for something else",
        excludes=("new_recurring",),
        figures=("payee", "amount_before", "amount", "cost_yearly", "since_on"),
        holds=("price_rise=yes",),
    ),
    Insight(
        "price_rise",
        "recurring",
        "notable",
        "price",
        "a subscription or fixed bill costs more than one percent more than before",
        "docs/signals.md, price_change",
        "more was ordered",
        figures=(
            "payee",
            "amount_before",
            "amount",
            "difference",
            "change_percent",
            "difference_yearly",
            "happened_on",
        ),
        holds=("price_rise=yes",),
    ),
    Insight(
        "bill_missing",
        "bills",
        "notable",
        "missing",
        "a bill is five days past its expected date, while other rows keep coming",
        OURS,
        "it was paid from an account that is not linked",
        figures=("payee", "amount", "due_on", "days_since"),
    ),
    Insight(
        "bill_higher_than_usual",
        "bills",
        "notable",
        "higher bill",
        "a bill is a quarter and ten dollars above the median of those before",
        OURS,
        "it covers a longer time",
        figures=("payee", "amount", "amount_usual", "difference", "change_percent", "happened_on"),
    ),
    Insight(
        "bill_due_soon",
        "bills",
        "notable",
        "due",
        "a bill is expected within 14 days",
        OURS,
        "the biller was paid another way",
        figures=(
            "payee",
            "amount",
            "due_on",
            "days_until",
            "bill_count",
            "bills_total",
            "checking_balance",
            "balance_on",
            "after_bills",
        ),
    ),
    Insight(
        "annual_renewal_ahead",
        "recurring",
        "notable",
        "renewal",
        "an annual or half-yearly charge is expected within 30 days",
        OURS,
        "it was cancelled",
        figures=("payee", "amount", "due_on", "days_until"),
    ),
    Insight(
        "minimum_only",
        "debt",
        "notable",
        "cards",
        "a card with a balance was last paid its minimum and not the whole",
        "docs/signals.md",
        "a further payment is on its way",
        excludes=("balance_falling",),
        figures=("card", "owed", "last_payment", "minimum_payment", "yearly_rate", "interest_month"),
        holds=("minimum=yes",),
    ),
    Insight(
        "dearest_first",
        "debt",
        "notable",
        "cards",
        "two or more cards owe, and their rates are a point or more apart",
        OURS,
        "a promotional rate applies",
        figures=(
            "card",
            "owed",
            "yearly_rate",
            "other_card",
            "other_owed",
            "other_rate",
            "interest_month",
        ),
    ),
    Insight(
        "interest_paid",
        "debt",
        "notable",
        "interest",
        "interest of five dollars or more was charged in 30 days",
        OURS,
        "it was given back",
        figures=("interest_paid", "total_half_year", "cost_yearly", "card", "yearly_rate"),
        holds=("interest=yes",),
    ),
    Insight(
        "income_changed",
        "income",
        "notable",
        "income",
        "the last two paydays of a steady payer are a fifth or more above or below those before",
        OURS,
        "unusual hours in both",
        figures=("payee", "amount_before", "amount", "difference", "change_percent", "since_on"),
        details=("up", "down"),
    ),
    Insight(
        "windfall",
        "income",
        "good",
        "windfall",
        "a bonus, a tax refund, or a third payday in one month",
        OURS,
        "the money is owed to somebody else",
        excludes=("spending_above_income",),
        figures=("payee", "amount", "happened_on", "due_on", "payday_count"),
        details=("bonus", "tax_refund", "third_payday"),
    ),
    Insight(
        "thin_cushion",
        "cushion",
        "notable",
        "short",
        "checking and savings together cover less than a week of usual spending",
        OURS,
        "savings lie where nobody linked them",
        excludes=GROWTH,
        figures=("cushion_total", "cushion_days", "spending_monthly", "balance_on"),
    ),
    Insight(
        "savings_drop",
        "cushion",
        "notable",
        "savings",
        "savings fell by a quarter and 200 dollars or more in 30 days",
        OURS,
        "money moved to an account not linked",
        excludes=("savings_milestone",),
        figures=("amount_before", "savings_now", "difference", "change_percent"),
    ),
    Insight(
        "unusual_spending",
        "spending",
        "notable",
        "spending",
        "30 days of a category are twice its median of five such months before, and above all of them",
        OURS,
        "a purchase for somebody else",
        figures=("category_name", "amount", "amount_usual", "difference"),
    ),
    Insight(
        "fixed_costs_high",
        "spending",
        "notable",
        "fixed costs",
        "bills and least payments on debt take above half of what comes in",
        "Consumer Financial Protection Bureau and 50/30/20 budgets put needs at half",
        "a bill is shared",
        excludes=("idle_cash",),
        figures=("fixed_monthly", "income_monthly", "income_share", "left_monthly"),
    ),
    Insight(
        "spending_above_income",
        "spending",
        "notable",
        "margin",
        "over 180 days a twentieth more went out than came in",
        OURS,
        "income reaches an account that is not linked",
        excludes=("idle_cash", "savings_milestone"),
        figures=("spending_monthly", "income_monthly", "difference", "total_half_year"),
        holds=("margin=minus",),
    ),
    Insight(
        "card_not_linked",
        "spending",
        "notable",
        "unlinked",
        "a card is paid that is not among the accounts",
        "docs/signals.md, unlinked_cards",
        "the card is somebody else's",
        figures=("amount",),
    ),
    Insight(
        "new_recurring",
        "recurring",
        "notable",
        "new service",
        "a subscription began within 100 days, after 45 days of history without it",
        OURS,
        "it is an old one renamed",
        figures=("payee", "amount", "cost_yearly", "since_on", "due_on"),
    ),
    Insight(
        "two_of_a_kind",
        "recurring",
        "notable",
        "two services",
        "two active subscriptions for one purpose",
        OURS,
        "they are for different people",
        figures=("purpose_name", "payee", "other_payee", "amount", "other_amount", "total", "cost_yearly"),
    ),
    Insight(
        "idle_cash",
        "cushion",
        "notable",
        "idle",
        "checking holds three months of spending or more",
        OURS,
        "a large bill is about to be paid",
        figures=(
            "checking_balance",
            "balance_on",
            "months_covered",
            "spending_monthly",
            "idle_amount",
            "idle_point_yearly",
        ),
    ),
    Insight(
        "balance_falling",
        "debt",
        "good",
        "cards",
        "card balances are a tenth and 100 dollars or more below those of 90 days ago",
        OURS,
        "a balance moved to a card that is not linked",
        figures=("owed", "amount_before", "difference", "change_percent", "balance_on"),
    ),
    Insight(
        "savings_milestone",
        "cushion",
        "good",
        "savings",
        "savings passed one, three or six months of spending in 30 days",
        "three to six months, FINRA Investor Education Foundation",
        "spending fell, and savings did not grow",
        figures=("savings_now", "amount_before", "difference", "months_covered", "spending_monthly"),
        details=("1", "3", "6"),
        holds=("saving=yes", "growth=2+"),
    ),
)
INSIGHTS: Final[dict[str, Insight]] = {each.name: each for each in _ALL}
IMPORTANCE: Final[dict[str, int]] = {each.name: place for place, each in enumerate(_ALL)}
