"""What a row's texts and codes say, as bits; and the kinds of rows, by number.

Each is read once per distinct descriptor, outside the kernels (``descriptors.py``). What does not belong here: the
words, payees and vocabularies (``payees/``).
"""

from spendsense_pipeline.payees.known import COUNTERPARTIES, SERVICES
from spendsense_pipeline.payees.vocabularies import MARKS
from spendsense_pipeline.payees.words import BITS

# What a category says. It is unsaid where nobody delivered one: then words and payees speak.
CATEGORY_SAYS = (
    *("unknown", "inferred", "transfer", "transfer_in", "transfer_out", "own_funds", "from_apps", "withdrawal"),
    *("deposit", "purchase", "earned", "income", "interest_earned", "tax_refund", "benefit", "bank_fees"),
    *("interest_charged", "penalty", "loan_payments", "card_payment", "advance", "habit", "goods", "bill"),
    *("subscription", "unearned", "transport", "loose"),
)
(
    UNKNOWN, INFERRED, TRANSFER, TRANSFER_IN, TRANSFER_OUT, OWN_FUNDS, FROM_APPS, WITHDRAWAL,
    DEPOSIT, PURCHASE, EARNED, INCOME, INTEREST_EARNED, TAX_REFUND, BENEFIT, BANK_FEES,
    INTEREST_CHARGED, PENALTY, LOAN_PAYMENTS, CARD_PAYMENT, ADVANCE, HABIT, GOODS, BILL,
    SUBSCRIPTION, UNEARNED, TRANSPORT, LOOSE,
) = (1 << bit for bit in range(len(CATEGORY_SAYS)))  # fmt: skip
UNSAID = UNKNOWN | INFERRED

# What words say.
SAYS_PAYROLL, SAYS_DEPOSITED_PAY, SAYS_EMPLOYER_MARK = BITS["payroll"], BITS["deposited_pay"], BITS["employer_mark"]
SAYS_PREARRANGED, SAYS_GIG, SAYS_PEER = BITS["prearranged"], BITS["gig"], BITS["peer"]
SAYS_BONUS = BITS["bonus"]
SAYS_INTEREST, SAYS_REFUND, SAYS_UNEARNED, SAYS_TAX = (
    BITS["interest"], BITS["refund"], BITS["unearned"], BITS["tax"],
)  # fmt: skip
SAYS_FEE, SAYS_PENALTY, SAYS_FEE_REVERSAL, SAYS_SERVICE_FEE = (
    BITS["fee"], BITS["penalty"], BITS["fee_reversal"], BITS["service_fee"],
)  # fmt: skip
SAYS_RETURN, SAYS_CARD_PAYMENT, SAYS_TRANSFER, SAYS_OWN_ACCOUNT = (
    BITS["return"], BITS["card_payment"], BITS["transfer"], BITS["own_account"],
)  # fmt: skip
SAYS_CASH_OUT, SAYS_CASH_IN, SAYS_HABIT, SAYS_BILL = (
    BITS["cash_out"], BITS["cash_in"], BITS["habit"], BITS["bill"],
)  # fmt: skip
SAYS_SUBSCRIPTION, SAYS_NO_INCOME, SAYS_BENEFIT, SAYS_PENSION = (
    BITS["subscription"], BITS["no_income"], BITS["benefit"], BITS["pension"],
)  # fmt: skip
SAYS_CASH_ADVANCE, SAYS_INSTALMENT, SAYS_STANDING_ORDER, SAYS_CARD, SAYS_PLAN = (
    BITS["cash_advance"], BITS["instalment"], BITS["standing_order"], BITS["card"], BITS["plan"],
)  # fmt: skip

# What else is told of a row: whom it names, what is known of them, what its code marks, who knows its category.
CATEGORY_FROM = ("category", "code", "known_payee", "population", "words")
TOLD = (
    *(f"to_{name}" for name in COUNTERPARTIES),
    *(f"service_{name}" for name in SERVICES),
    *(f"mark_{name}" for name in MARKS),
    *(f"from_{name}" for name in CATEGORY_FROM),
    *("list_priced", "own_priced", "bare", "by_paypal"),
)
TOLD_BITS = {name: 1 << bit for bit, name in enumerate(TOLD)}
TO_MERCHANT, TO_PERSON, TO_EMPLOYER, TO_STATE, TO_OWN, TO_BANK = (
    TOLD_BITS[f"to_{name}"] for name in ("merchant", "person", "employer", "state", "own", "bank")
)
SERVICE_SUBSCRIPTION, SERVICE_BILL, SERVICE_GIG, SERVICE_CASH_ADVANCE, SERVICE_BROKERAGE = (
    TOLD_BITS[f"service_{name}"] for name in ("subscription", "bill", "gig", "cash_advance", "brokerage")
)
SERVICE_PEER, SERVICE_INSTALMENTS, SERVICE_SHARED_BILLER, SERVICE_HABIT = (
    TOLD_BITS[f"service_{name}"] for name in ("peer", "instalments", "shared_biller", "habit")
)
ANY_SERVICE = sum(TOLD_BITS[f"service_{name}"] for name in SERVICES)
MARK_RETURN, MARK_REVERSAL, MARK_REFUND, MARK_FEE, MARK_INTEREST, MARK_DIVIDEND = (
    TOLD_BITS[f"mark_{name}"] for name in ("return", "reversal", "refund", "fee", "interest", "dividend")
)
MARK_PAYROLL, MARK_PENSION, MARK_BENEFIT, MARK_TAX, MARK_LOAN, MARK_CASH, MARK_TRANSFER, MARK_INVESTMENT = (
    TOLD_BITS[f"mark_{name}"]
    for name in ("payroll", "pension", "benefit", "tax", "loan", "cash", "transfer", "investment")
)
MARK_CARD, MARK_STANDING_ORDER, MARK_DEPOSIT, MARK_PREARRANGED = (
    TOLD_BITS[f"mark_{name}"] for name in ("card", "standing_order", "deposit", "prearranged")
)
FROM_CATEGORY, FROM_CODE, FROM_KNOWN_PAYEE, FROM_WORDS = (
    TOLD_BITS[f"from_{name}"] for name in ("category", "code", "known_payee", "words")
)
LIST_PRICED, OWN_PRICED, BARE, BY_PAYPAL = (
    TOLD_BITS[name] for name in ("list_priced", "own_priced", "bare", "by_paypal")
)

# What a row may be part of, and what shows it: the evidence of a stream's kind.
NO_PURPOSE, NO_STREAM, FOR_BILL, FOR_SUBSCRIPTION = range(4)
EVIDENCE = ("category", "code", "known_payee", "list_price", "card_modest", "words", "pattern")
BY_CATEGORY, BY_CODE, BY_KNOWN_PAYEE, BY_LIST_PRICE, BY_CARD_MODEST, BY_WORDS, BY_PATTERN = range(len(EVIDENCE))

KINDS = (
    *("card_payment", "own_transfer", "cash_withdrawal", "cash_deposit", "refund", "fee", "service_fee"),
    *("interest_charged", "interest_earned", "paycheck", "benefit", "advance", "cancelled", "other_in", "other_out"),
)
(
    KIND_CARD_PAYMENT, KIND_OWN_TRANSFER, KIND_CASH_WITHDRAWAL, KIND_CASH_DEPOSIT, KIND_REFUND, KIND_FEE,
    KIND_SERVICE_FEE, KIND_INTEREST_CHARGED, KIND_INTEREST_EARNED, KIND_PAYCHECK, KIND_BENEFIT, KIND_ADVANCE,
    KIND_CANCELLED, KIND_OTHER_IN, KIND_OTHER_OUT,
) = range(len(KINDS))  # fmt: skip

ACCOUNT_CLASSES = ("checking", "savings", "credit_card", "investment", "loan", "other")
CHECKING, SAVINGS, CREDIT_CARD, INVESTMENT, LOAN, OTHER = range(len(ACCOUNT_CLASSES))
