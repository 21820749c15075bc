"""The figures that insights carry: their types, what they mean, and how each comes about.

What does not belong here: how a figure is shown (``recommendations/slots.py``), and which insight carries which.
"""

from dataclasses import dataclass
from typing import Final, Literal

Type = Literal["money", "percent", "rate", "count", "months", "date", "payee", "card", "words"]


@dataclass(frozen=True)
class Figure:
    """One figure: ``formula`` is what ``why`` shows beside its value. Money is positive; a rate is percent a year."""

    name: str
    type: Type
    meaning: str
    formula: str
    noun: tuple[str, str] = ("", "")


_ALL: Final = (
    Figure("payee", "payee", "who is paid or pays", "the payee of the stream or row"),
    Figure("other_payee", "payee", "the other of two payees", "the payee of the second stream"),
    Figure("bill_kind", "words", "what kind of bill it is, in plain words", "the category of the stream"),
    Figure("category_name", "words", "a category of spending in plain words", "the category of the rows"),
    Figure("purpose_name", "words", "what two services are both for", "the category of both streams"),
    Figure("card", "card", "the card that is spoken of, by its last four", "last four of the account"),
    Figure("other_card", "card", "the other card, by its last four", "last four of the account"),
    Figure("loan_name", "words", "the loan that is spoken of", "type of the liability"),
    Figure("amount", "money", "the amount that is spoken of", "amount of the row or stream"),
    Figure("amount_before", "money", "the amount before it changed", "amount before the change"),
    Figure("amount_usual", "money", "the usual amount", "median of the earlier amounts"),
    Figure("other_amount", "money", "the amount of the other payee", "monthly cost of the second stream"),
    Figure("difference", "money", "how far two amounts are apart", "the larger less the smaller amount"),
    Figure("difference_yearly", "money", "that difference over 12 months", "difference a month x 12"),
    Figure("cost_yearly", "money", "what it costs in 12 months", "monthly cost x 12"),
    Figure("change_percent", "percent", "by how much it changed", "difference by the amount before"),
    Figure("happened_on", "date", "the day it happened", "date of the row"),
    Figure("since_on", "date", "the day it began", "date of the first row"),
    Figure("due_on", "date", "the day it is expected or due", "next expected date of the stream, or the due date"),
    Figure("days_until", "count", "days until then", "that day less the day of the figures", ("day", "days")),
    Figure("days_since", "count", "days since then", "the day of the figures less that day", ("day", "days")),
    Figure("next_payday", "date", "the next expected payday", "last payday and one period of the pay frequency"),
    Figure("bill_count", "count", "payments expected by then", "expected dates of active streams",
           ("payment", "payments")),
    Figure("bills_total", "money", "what they come to", "sum of the streams' usual amounts"),
    Figure("checking_balance", "money", "what checking holds", "balances of checking accounts"),
    Figure("balance_on", "date", "the day of that balance", "the oldest balance date of those accounts"),
    Figure("after_bills", "money", "what is left of checking after them", "checking balance less bills_total"),
    Figure("shortfall", "money", "what checking lacks for them", "bills_total less checking balance"),
    Figure("low_amount", "money", "how far below zero checking would be at its lowest",
           "lowest day of the expected path of the forecast"),
    Figure("low_on", "date", "the day checking is expected to fall below zero",
           "first day of the forecast's upper end below zero"),
    Figure("fee_count", "count", "fees charged", "rows of fees in 31 days less those given back", ("fee", "fees")),
    Figure("total", "money", "what they come to together", "their sum"),
    Figure("total_half_year", "money", "the same over 180 days",
           "fees_180d, service_fees_180d, or interest charged or earned"),
    Figure("minimum_payment", "money", "the least payment asked for", "minimum_payment_amount of the liability"),
    Figure("last_payment", "money", "the last payment made", "last_payment_amount of the liability"),
    Figure("owed", "money", "what is owed", "balance of the account"),
    Figure("other_owed", "money", "what is owed on the other card", "balance of the account"),
    Figure("yearly_rate", "rate", "its rate a year", "apr_purchase or interest_rate of the liability"),
    Figure("other_rate", "rate", "the other card's rate a year", "apr_purchase of the liability"),
    Figure("interest_month", "money", "interest for a month at that rate", "owed x yearly_rate / 12"),
    Figure("order_saves", "money", "what the smaller of two balances costs more in a year on the dearer card",
           "the smaller balance x the difference of the two rates"),
    Figure("interest_paid", "money", "interest charged in 30 days", "interest_charges of 30 days"),
    Figure("savings_now", "money", "what savings hold", "savings_balance"),
    Figure("spending_monthly", "money", "spending a month, over 180 days", "avg_monthly_expenses of 180 days"),
    Figure("income_monthly", "money", "what comes in a month, over 180 days", "regular_income of 180 days"),
    Figure("income_share", "percent", "its share of what comes in", "fixed costs by regular_income"),
    Figure("fixed_monthly", "money", "bills and least payments a month",
           "monthly_bills and minimum payments of cards"),
    Figure("left_monthly", "money", "what is left a month after them", "regular_income less fixed_monthly"),
    Figure("cushion_days", "count", "days of usual spending that it covers, rounded down",
           "(checking + savings) by avg_monthly_expenses x 30", ("day", "days")),
    Figure("cushion_total", "money", "checking and savings together", "balances of checking and savings accounts"),
    Figure("months_covered", "months", "months of usual spending that it covers", "balance by avg_monthly_expenses"),
    Figure("idle_amount", "money", "what lies in checking above a month of spending",
           "checking balance less avg_monthly_expenses"),
    Figure("idle_point_yearly", "money", "what a percentage point of interest on it is worth in a year",
           "idle_amount x 1 %"),
    Figure("earned_yearly", "money", "what that would come to in 12 months", "interest of 30 days x 12"),
    Figure("withdrawal_count", "count", "withdrawals of cash in 30 days", "rows of cash withdrawals",
           ("withdrawal", "withdrawals")),
    Figure("cash_share", "percent", "the share of cash in what was spent",
           "cash withdrawals by total_spend of 30 days"),
    Figure("payday_count", "count", "paydays in the month", "paydays of the calendar month", ("payday", "paydays")),
)  # fmt: skip
FIGURES: Final[dict[str, Figure]] = {each.name: each for each in _ALL}
