"""The landing format as a table: which fields each landed table has and what each may hold.

Reading (`landing.py`) knows fields by their names, judging (`canonical.py`) by their kinds; a field is described
here once, for both. What does not belong here: how a kind is read or judged, and what the accepted tables look
like (``contracts/canonical.py``).
"""

from dataclasses import dataclass
from pathlib import Path

NAME_LENGTH = 1_000  # payees and categories; a real one stays under a hundred
DESCRIPTION_LENGTH = 4_000  # a bank's whole text; SEPA's remittance lines may repeat
LIST_LENGTH = 2_000  # a whole list as written; `longest` bounds each of its texts


@dataclass(frozen=True)
class Field:
    """One field of a landed table.

    ``kind``: ``id`` ``text`` ``choice`` ``email`` ``currency`` ``country`` ``language`` ``mcc`` ``link`` ``list`` (of
    texts) ``number`` ``whole`` ``year`` ``flag`` ``date`` ``moment``. ``required`` fields may not be null. ``default``
    stands in for a null. ``lowest``/``highest`` bound numbers, ``longest`` texts. ``past`` dates and years may not lie
    after the batch's arrival.
    ``rendered`` texts of partners are put into texts to customers, so they may hold nothing that reads as a template.
    """

    name: str
    kind: str = "text"
    required: bool = False
    personal: bool = False
    choices: tuple[str, ...] = ()
    lowest: float | None = None
    highest: float | None = None
    longest: int = NAME_LENGTH
    past: bool = False
    rendered: bool = False
    default: bool | None = None


FIELDS: dict[str, tuple[Field, ...]] = {
    "users": (
        Field("user_id", "id", required=True),
        Field("full_name", personal=True),
        Field("email", "email", personal=True),
        Field("created_at", "moment", past=True),
        Field("consent_status", "flag"),
        Field("consent_granted_at", "moment", past=True),
        Field("consent_revoked_at", "moment", past=True),
        Field("user_type", "choice", choices=("customer", "operator")),
        Field("country", "country"),
        Field("language", "language"),
        Field("birth_year", "year", personal=True, lowest=1900, past=True),
    ),
    "accounts": (
        Field("account_id", "id", required=True),
        Field("user_id", "id", required=True),
        Field("type"),
        Field("subtype"),
        Field("balance_available", "number"),
        Field("balance_current", "number"),
        Field("balance_limit", "number", lowest=0),
        Field("iso_currency_code", "currency"),
        Field("holder_category"),
        Field("created_at", "moment", past=True),
        Field("balance_date", "date", past=True),
        Field("account_name"),
        Field("closed_at", "date"),
    ),
    "transactions": (
        Field("transaction_id", "id", required=True),
        Field("account_id", "id", required=True),
        Field("user_id", "id"),
        Field("date", "date", required=True, past=True),
        Field("amount", "number", required=True),
        Field("merchant_name"),
        Field("merchant_entity_id"),
        Field("payment_channel"),
        Field("category_primary"),
        Field("category_detailed"),
        Field("pending", "flag", default=False),
        Field("description_raw", longest=DESCRIPTION_LENGTH),
        Field("mcc", "mcc"),
        Field("transaction_code"),
        Field("counterparty_name"),
        # Two fields that only say what becomes of rows; the accepted table has neither.
        Field("pending_transaction_id", "id"),  # the pending row that this one posts: it disappears
        Field("removed", "flag", default=False),  # the row of this id disappears; nothing but the id is needed
    ),
    "liabilities": (
        Field("liability_id", "id", required=True),
        Field("account_id", "id", required=True),
        Field("user_id", "id"),
        Field(
            "liability_type",
            "choice",
            required=True,
            choices=("credit_card", "mortgage", "student_loan", "loan", "other"),
        ),
        Field("apr_purchase", "number"),
        Field("apr_balance_transfer", "number"),
        Field("apr_cash_advance", "number"),
        Field("minimum_payment_amount", "number"),
        Field("last_payment_amount", "number"),
        Field("is_overdue", "flag"),
        Field("next_payment_due_date", "date"),
        Field("last_statement_balance", "number"),
        Field("interest_rate", "number"),
        Field("balance_date", "date", past=True),
    ),
    "products": (
        Field("product_id", "id", required=True),
        Field("product_name", required=True, longest=120, rendered=True),
        Field("product_type", required=True, longest=60),
        Field("category", longest=60),
        Field("persona_targets", "list", longest=60),
        Field("min_income", "number", lowest=0),
        Field("max_credit_utilization", "number", lowest=0, highest=1),
        Field("min_credit_score", "whole"),
        Field("requires_no_existing_savings", "flag", default=False),
        Field("requires_no_existing_investment", "flag", default=False),
        Field("short_description", required=True, longest=300, rendered=True),
        Field("benefits", "list", longest=200, rendered=True),
        Field("typical_apy_or_fee", longest=200, rendered=True),
        Field("partner_link", "link", longest=500, rendered=True),
        Field("partner_name", longest=60, rendered=True),
        Field("disclosure", longest=2_000, rendered=True),
        Field("commission_rate", "number"),
        Field("priority", "whole"),
        Field("active", "flag", default=True),
        Field("cost_monthly", "number", lowest=0),
        Field("country", "country"),
        Field("currency", "currency"),
        Field("reviewed_on", "date"),
    ),
}

TABLES = tuple(FIELDS)
HELD = ("transactions", "liabilities")
"""Tables whose rows belong to an account, and so to each of its holders."""

COUNTRIES = frozenset(Path(__file__).with_name("countries.txt").read_text(encoding="utf-8").split())
"""The country codes of ISO 3166-1 alpha-2."""


def key(table: str) -> tuple[str, ...]:
    """The fields that identify a landed row: an account has a row for each of its holders."""
    return ("account_id", "user_id") if table == "accounts" else (FIELDS[table][0].name,)


def names(table: str) -> list[str]:
    """The known fields of a landed table, in order."""
    return [field.name for field in FIELDS[table]]


PERSONAL = frozenset(field.name for fields in FIELDS.values() for field in fields if field.personal)
