"""What a category, a name and a text say, as bits; and the kinds of rows, by number.

Each is read once per distinct text, outside the kernels (``texts.py``). What does not belong here: the words.
"""

# What a category says.
CATEGORY_SAYS = (
    *("unknown", "transfer", "transfer_in", "transfer_out", "other_transfer", "own_funds", "from_apps"),
    *("withdrawal", "deposit", "purchase", "earned", "income", "interest_earned", "tax_refund", "bank_fees"),
    *("interest_charged", "penalty", "loan_payments", "card_payment", "never", "bill", "unearned"),
)
(
    UNKNOWN, TRANSFER, TRANSFER_IN, TRANSFER_OUT, OTHER_TRANSFER, OWN_FUNDS, FROM_APPS,
    WITHDRAWAL, DEPOSIT, PURCHASE, EARNED, INCOME, INTEREST_EARNED, TAX_REFUND, BANK_FEES,
    INTEREST_CHARGED, PENALTY, LOAN_PAYMENTS, CARD_PAYMENT, NEVER, BILL, UNEARNED,
) = (1 << bit for bit in range(len(CATEGORY_SAYS)))  # fmt: skip

# What a name says.
NAME_SAYS = (
    *("payroll", "deposited_pay", "gig", "peer", "interest", "refund", "unearned", "tax", "fee", "penalty"),
    *("card_payment", "transfer", "cash_out", "cash_in", "shared", "by_paypal", "placed"),
)
(
    SAYS_PAYROLL, SAYS_DEPOSITED_PAY, SAYS_GIG, SAYS_PEER, SAYS_INTEREST, SAYS_REFUND, SAYS_UNEARNED, SAYS_TAX,
    SAYS_FEE, SAYS_PENALTY, SAYS_CARD_PAYMENT, SAYS_TRANSFER, SAYS_CASH_OUT, SAYS_CASH_IN, SHARED, BY_PAYPAL, PLACED,
) = (1 << bit for bit in range(len(NAME_SAYS)))  # fmt: skip

# What a payee's readable text says of its streams.
TEXT_NO_INCOME, TEXT_NEVER, TEXT_BILL = 1, 2, 4

KINDS = (
    *("card_payment", "own_transfer", "cash_withdrawal", "cash_deposit", "refund", "fee", "interest_charged"),
    *("interest_earned", "paycheck", "other_in", "other_out"),
)
(
    KIND_CARD_PAYMENT, KIND_OWN_TRANSFER, KIND_CASH_WITHDRAWAL, KIND_CASH_DEPOSIT, KIND_REFUND, KIND_FEE,
    KIND_INTEREST_CHARGED, KIND_INTEREST_EARNED, KIND_PAYCHECK, KIND_OTHER_IN, KIND_OTHER_OUT,
) = range(len(KINDS))  # fmt: skip

ACCOUNT_CLASSES = ("checking", "savings", "credit_card", "investment", "loan", "other")
CHECKING, SAVINGS, CREDIT_CARD, INVESTMENT, LOAN, OTHER = range(len(ACCOUNT_CLASSES))
