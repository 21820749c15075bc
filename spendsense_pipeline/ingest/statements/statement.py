"""What every statement format is read into, and the ids of transactions that a bank gives none."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from spendsense_pipeline.ingest.files import BatchRefused

Row = dict[str, Any]
"""A row of the landing format, by its fields."""

CARD = ("credit", "credit card")


@dataclass
class Statement:
    """One account of a file: its row without the customer, and its transactions without account and customer."""

    account: Row
    transactions: list[Row] = field(default_factory=list)


def number(text: str) -> Decimal:
    """The number with a decimal comma or point; ValueError for anything else, separators of thousands included."""
    try:
        found = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        raise ValueError(text) from None
    if not found.is_finite():
        raise ValueError(text)
    return found


def joined(*texts: str | None) -> str | None:
    """The texts as one, without what another already holds; None where there is none.

    >>> joined("NETFLIX.COM", "NETFLIX.COM LOS GATOS CA", None)
    'NETFLIX.COM LOS GATOS CA'
    """
    kept: list[str] = []
    for text in (" ".join(one.split()) for one in texts if one):
        if any(text.lower() in one.lower() for one in kept):
            continue
        kept = [one for one in kept if one.lower() not in text.lower()] + [text]
    return " ".join(kept) or None


def with_ids(account_id: str, rows: Iterable[Row]) -> list[Row]:
    """The rows with an id each: where they have none, or another row has the same, their content and a number among
    the equal ones of the statement. ``reference`` is content only."""
    rows = list(rows)
    given = Counter(row.get("transaction_id") for row in rows)
    seen: Counter[str] = Counter()
    found = []
    for row in rows:
        content = "\x1f".join(f"{name}={value}" for name, value in sorted(row.items()) if name != "pending")
        seen[content] += 1
        row = {name: value for name, value in row.items() if name != "reference"}
        if row.get("transaction_id") is None or given[row["transaction_id"]] > 1:
            digest = hashlib.sha256(f"{account_id}\x1f{content}".encode()).hexdigest()[:24]
            row["transaction_id"] = f"{digest}-{seen[content]}"
        found.append(row)
    return found


def unencoded(name: str, encoding: str | None) -> None:
    """Refuse an encoding for a format whose files say their own."""
    if encoding is not None:
        raise BatchRefused(f"{name}: says itself which encoding it is in; take encoding out of batch.toml")


def owed(balance: Decimal | None) -> Decimal | None:
    """What is owed on a card or a loan, positive, from a balance that is negative then."""
    return None if balance is None else abs(balance) if balance == 0 else -balance
