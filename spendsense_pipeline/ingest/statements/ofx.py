"""OFX and QFX: bank and card statements of version 1 (SGML) and 2 (XML), as US and Canadian banks export them.

Amounts are from the customer's point of view, positive = money in. An account's id is the bank's routing number and the
account's; of a card the issuer's own number never lands, but a digest of it and its last four digits.
"""

import hashlib
import html
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from xml.etree.ElementTree import Element

from ofxtools.header import OFXHeaderError
from ofxtools.Parser import OFXTree, ParseError, TreeBuilder

from spendsense_pipeline.ingest.files import BatchRefused
from spendsense_pipeline.ingest.statements.statement import CARD, Row, Statement, joined, number, owed, unencoded

TYPES = {
    "CHECKING": ("depository", "checking"),
    "SAVINGS": ("depository", "savings"),
    "MONEYMRKT": ("depository", "money market"),
    "CD": ("depository", "cd"),
    "CREDITLINE": ("loan", "line of credit"),
}
"""ACCTTYPE of OFX 2.3, section 11.3.1.1."""


def read(content: bytes, name: str, encoding: str | None) -> list[Statement]:
    """The statements of a file, each an account; the file's own header says its encoding, so there is no other.

    Refused: what is no OFX or cut off, a response that is an error, and a statement without account or with a
    transaction that lacks id, date or amount.
    """
    unencoded(name, encoding)
    root = _tree(content, name)
    for status in root.iter("STATUS"):
        if (status.findtext("SEVERITY") or "").strip() == "ERROR":
            raise BatchRefused(f"{name}: the bank answered with the error {_of(status, 'CODE')}; download it again")
    found = [_bank(one, name) for one in root.iter("STMTRS")] + [_card(one, name) for one in root.iter("CCSTMTRS")]
    if not found:
        raise BatchRefused(f"{name}: holds no statement of a bank account (STMTRS) or a card (CCSTMTRS)")
    return found


class _Nested(TreeBuilder):
    """The library's parser, which by itself takes any end for that of whatever is open, and a part for the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self.opened.append(tag)
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        if not self.opened or self.opened.pop() != tag:
            raise ParseError(f"</{tag}> closes what is not open")
        return super().end(tag)


def _tree(content: bytes, name: str) -> Element:
    begin = content.find(b"<OFX>")
    if begin < 0:
        raise BatchRefused(f"{name}: cannot be read as OFX, it has no <OFX>; download it again")
    parser = _Nested()
    try:
        root: Element = OFXTree().parse(io.BytesIO(content), parser)
    except (OFXHeaderError, ParseError, ValueError) as error:
        place = re.search(r"position=\[(\d+):", str(error))
        line = content.count(b"\n", 0, begin + int(place.group(1)) if place else 0) + 1
        raise BatchRefused(f"{name}: cannot be read as OFX, damaged on line {line}; download it again") from None
    except AssertionError:  # the tree is asked for while something is open
        root = Element("")
    if parser.opened or root.tag != "OFX":
        last = content.rstrip().count(b"\n") + 1
        raise BatchRefused(
            f"{name}: is cut off on line {last}, within {'/'.join(parser.opened[-2:])}; download it again"
        )
    return root


def _bank(statement: Element, name: str) -> Statement:
    account = statement.find("BANKACCTFROM")
    number_of = _of(account, "ACCTID")
    if number_of is None:
        raise BatchRefused(f"{name}: a statement names no account (BANKACCTFROM, ACCTID)")
    bank = _of(account, "BANKID")
    kind = _of(account, "ACCTTYPE") or ""
    if kind not in TYPES:
        raise BatchRefused(f"{name}: ACCTTYPE is {kind[:40]!r}; there are {', '.join(TYPES)}")
    return _statement(statement, name, "-".join(one for one in (bank, number_of) if one), TYPES[kind])


def _card(statement: Element, name: str) -> Statement:
    card = _of(statement.find("CCACCTFROM"), "ACCTID")
    if card is None:
        raise BatchRefused(f"{name}: a statement names no card (CCACCTFROM, ACCTID)")
    shown = "".join(card.split())
    if re.fullmatch(r"[0-9]{12,19}", shown):
        shown = f"card-{hashlib.sha256(shown.encode()).hexdigest()[:16]}-{shown[-4:]}"
    return _statement(statement, name, shown, CARD)


def _statement(statement: Element, name: str, account_id: str, kind: tuple[str, str]) -> Statement:
    ledger, available = statement.find("LEDGERBAL"), statement.find("AVAILBAL")
    where = f"account …{account_id[-4:]}"
    current = _money(ledger, "BALAMT", name, where) if ledger is not None else None
    free = _money(available, "BALAMT", name, where) if available is not None else None
    day = _day(ledger, "DTASOF", name, where) if ledger is not None else None
    if kind == CARD or kind[0] == "loan":
        current = owed(current)
    account = {
        "account_id": account_id,
        "type": kind[0],
        "subtype": kind[1],
        "balance_current": None if current is None else str(current),
        "balance_available": None if free is None else str(free),
        "balance_date": day,
        "iso_currency_code": _of(statement, "CURDEF"),
    }
    rows = [row for one in _transactions(statement, name, account_id) for row in one]
    return Statement(account, rows)


def _transactions(statement: Element, name: str, account_id: str) -> Iterator[list[Row]]:
    for place, one in enumerate(statement.iter("STMTTRN"), 1):
        yield _transaction(one, name, account_id, f"account …{account_id[-4:]}, transaction {place}")
    for place, one in enumerate(statement.iter("STMTTRNP"), 1):
        where = f"account …{account_id[-4:]}, pending transaction {place}"
        yield [row | {"pending": True} for row in _transaction(one, name, account_id, where)]


def _transaction(one: Element, name: str, account_id: str, where: str) -> list[Row]:
    """The row of a transaction, behind the removal of the one that it corrects."""
    fitid = _of(one, "FITID")
    if fitid is None:
        raise BatchRefused(f"{name}: {where}: has no FITID, the id that a bank gives it")
    removed = _of(one, "CORRECTFITID")
    rows: list[Row] = [{"transaction_id": f"{account_id}:{removed}", "removed": True}] if removed else []
    if _of(one, "CORRECTACTION") == "DELETE":
        return rows
    payee = _of(one.find("PAYEE"), "NAME")
    first = payee or _of(one, "NAME")
    check = _of(one, "CHECKNUM")
    code = _of(one, "SIC")
    text = joined(first, _of(one, "EXTDNAME"), _of(one, "MEMO"))
    row = {
        "transaction_id": f"{account_id}:{fitid}",
        "date": _day(one, "DTPOSTED" if one.tag == "STMTTRN" else "DTTRAN", name, where),
        "amount": str(_money(one, "TRNAMT", name, where) * _rate(one, name, where)),
        "merchant_name": first,
        "counterparty_name": payee,
        "description_raw": text or (f"CHECK {check}" if check else None),
        "transaction_code": _of(one, "TRNTYPE"),
        "mcc": code.zfill(4) if code and code.strip("0") else None,
    }
    return [*rows, {key: value for key, value in row.items() if value is not None}]


def _rate(one: Element, name: str, where: str) -> Decimal:
    """What an amount in another currency is multiplied by: 1 where it is in the account's."""
    currency = one.find("CURRENCY")
    return Decimal(1) if currency is None else _money(currency, "CURRATE", name, where)


def _of(element: Element | None, tag: str) -> str | None:
    """The text of a child, None where it is not there or empty."""
    text: Any = element.findtext(tag) if element is not None else None
    return html.unescape(text).strip() or None if text else None


def _money(element: Element, tag: str, name: str, where: str) -> Decimal:
    text = _of(element, tag)
    try:
        return number(text or "")
    except ValueError:
        raise BatchRefused(f"{name}: {where}: {tag} is {text!r}, not a number such as -12.50") from None


def _day(element: Element, tag: str, name: str, where: str) -> str:
    """The day as the bank wrote it: an offset does not move it to another day."""
    text = _of(element, tag) or ""
    found = re.match(r"([0-9]{4})([0-9]{2})([0-9]{2})", text)
    if found is None:
        raise BatchRefused(f"{name}: {where}: {tag} is {text[:40]!r}, not a day such as 20260131")
    return "-".join(found.groups())
