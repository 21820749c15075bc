"""camt.053, ISO 20022's account statement, in any version: booked and pending entries, batches by their details.

An entry's direction is that of the booking, also of a reversal. What is only announced (INFO, FUTR) is no transaction.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from spendsense_pipeline.ingest.files import BatchRefused
from spendsense_pipeline.ingest.statements.statement import (
    CARD,
    Row,
    Statement,
    joined,
    number,
    owed,
    unencoded,
    with_ids,
)

TYPES = {
    "CACC": ("depository", "checking"),
    "TRAN": ("depository", "checking"),
    "SLRY": ("depository", "checking"),
    "SVGS": ("depository", "savings"),
    "MOMA": ("depository", "money market"),
    "CARD": CARD,
    "LOAN": ("loan", "loan"),
    "MGLD": ("loan", "mortgage"),
}
"""ISO 20022 external cash account types; an account of none is a current account, which statements mostly are of."""

CURRENT = ("depository", "checking")
ENTRIES = {"BOOK": False, "PDNG": True}  # whether it is pending; INFO and FUTR move no money
BALANCES = {"CLBD": "current", "CLAV": "available"}
DETAILS_LENGTH = 4_000


def read(content: bytes, name: str, encoding: str | None) -> list[Statement]:
    """The statements of a file; XML says its own encoding, so there is no other.

    Refused: what is no XML or declares entities, another message, and an entry without amount, direction or date.
    """
    unencoded(name, encoding)
    try:
        root = fromstring(content, forbid_dtd=True)
    except ParseError as error:
        line, column = error.position
        raise BatchRefused(
            f"{name}: cannot be read as XML, damaged on line {line}, column {column + 1}; deliver it again"
        ) from None
    except (DefusedXmlException, LookupError, ValueError):
        raise BatchRefused(f"{name}: declares a document type or an encoding of its own, which no bank does") from None
    for element in root.iter():  # one version differs from another in its namespace
        element.tag = str(element.tag).rpartition("}")[2]
    statements = root.findall("BkToCstmrStmt/Stmt")
    if not statements:
        message = next((one.tag for one in root), root.tag)
        raise BatchRefused(
            f"{name}: holds {message[:60]} where camt.053 has BkToCstmrStmt with a Stmt for each account"
        )
    return [_statement(one, name, f"statement {place}") for place, one in enumerate(statements, 1)]


def _statement(statement: Element, name: str, where: str) -> Statement:
    account_id = _of(statement, "Acct/Id/IBAN") or _of(statement, "Acct/Id/Othr/Id")
    if account_id is None:
        raise BatchRefused(f"{name}: {where}: names no account (Acct, Id)")
    account_id = "".join(account_id.split())
    kind = TYPES.get(_of(statement, "Acct/Tp/Cd") or "", CURRENT)
    account: Row = {
        "account_id": account_id,
        "type": kind[0],
        "subtype": kind[1],
        "iso_currency_code": _of(statement, "Acct/Ccy"),
        "account_name": _of(statement, "Acct/Nm"),
    }
    for balance in statement.findall("Bal"):
        which = BALANCES.get(_of(balance, "Tp/CdOrPrtry/Cd") or "")
        if which is None:
            continue
        amount = _money(balance, name, f"{where}, closing balance")
        if which == "current":
            account["balance_date"] = _day(balance, ("Dt/Dt", "Dt/DtTm"), name, f"{where}, closing balance")
            account["iso_currency_code"] = account["iso_currency_code"] or _currency(balance)
            amount = amount if kind[0] == "depository" else owed(amount) or amount
        account[f"balance_{which}"] = str(amount)
    rows = [
        row
        for place, entry in enumerate(statement.findall("Ntry"), 1)
        for row in _entry(entry, name, account_id, f"{where}, entry {place}")
    ]
    return Statement(account, with_ids(account_id, rows))


def _entry(entry: Element, name: str, account_id: str, where: str) -> Iterator[Row]:
    """A row for the entry, or one for each of the payments that it gathers where they add up to it."""
    status = _of(entry, "Sts/Cd") or _of(entry, "Sts") or "BOOK"
    if status not in ENTRIES:
        return
    amount = _money(entry, name, where)
    reverses = _of(entry, "RvslInd") in ("true", "1")
    common: Row = {
        "date": _day(entry, ("BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm"), name, where),
        **({"pending": True} if ENTRIES[status] else {}),
    }
    reference = _of(entry, "AcctSvcrRef")
    details = entry.findall("NtryDtls/TxDtls")
    shares = [_share(one, entry) for one in details]
    if len(details) > 1 and None not in shares and sum(one or 0 for one in shares) == amount:
        for place, (one, share) in enumerate(zip(details, shares, strict=True), 1):
            own = _of(one, "Refs/AcctSvcrRef") or (f"{reference}/{place}" if reference else None)
            yield _row(one, entry, account_id, own, reverses) | common | {"amount": str(share)}
        return
    if len(details) > 1:
        texts = joined(_of(entry, "AddtlNtryInf"), *(joined(*_remittance(one)) for one in details))
        row = _row(None, entry, account_id, reference, reverses) | ({"description_raw": texts} if texts else {})
    else:
        own = _of(details[0], "Refs/AcctSvcrRef") if details else None
        row = _row(details[0] if details else None, entry, account_id, reference or own, reverses)
    if "description_raw" in row:
        row["description_raw"] = row["description_raw"][:DETAILS_LENGTH]
    yield row | common | {"amount": str(amount)}


def _share(details: Element, entry: Element) -> Decimal | None:
    """What one payment of a gathered entry moves, in the entry's currency and direction."""
    for path in ("Amt", "AmtDtls/TxAmt/Amt"):
        found = details.find(path)
        if found is not None and found.get("Ccy") == _currency(entry):
            try:
                share = number(found.text or "")
            except ValueError:
                return None
            way = _of(details, "CdtDbtInd") or _of(entry, "CdtDbtInd")
            return -share if way == "DBIT" else share
    return None


def _row(details: Element | None, entry: Element, account_id: str, reference: str | None, reverses: bool) -> Row:
    """Whatever the details of a payment, or its entry, say beside date and amount."""
    code = _code(details) or _code(entry)
    purpose = _of(details, "Purp/Cd")
    ours = _of(entry, "CdtDbtInd") == "CRDT"
    roles = ("UltmtDbtr", "Dbtr") if ours != reverses else ("UltmtCdtr", "Cdtr")
    party = next(
        (
            named
            for role in roles
            for path in (f"RltdPties/{role}/Nm", f"RltdPties/{role}/Pty/Nm")
            if (named := _of(details, path))
        ),
        None,
    )
    texts = _remittance(details) if details is not None else []
    places = entry if details is None else details
    merchant_codes = [one.text for one in places.iter("MrchntCtgyCd")]
    row = {
        "transaction_id": f"{account_id}:{reference}" if reference and reference != "NOTPROVIDED" else None,
        "merchant_name": party,
        "counterparty_name": party,
        "description_raw": joined(*texts, _of(details, "AddtlTxInf"), _of(entry, "AddtlNtryInf")),
        "transaction_code": "/".join(one for one in (code, purpose) if one) or None,
        "mcc": next(iter(merchant_codes), None),
    }
    return {key: value for key, value in row.items() if value is not None}


def _code(element: Element | None) -> str | None:
    """Domain, family and subfamily, or the bank's own code."""
    domain = [_of(element, f"BkTxCd/Domn/{path}") for path in ("Cd", "Fmly/Cd", "Fmly/SubFmlyCd")]
    return "-".join(one for one in domain if one) or _of(element, "BkTxCd/Prtry/Cd")


def _remittance(details: Element) -> list[str]:
    free = [one.text for one in details.findall("RmtInf/Ustrd")]
    structured = [one.text for one in details.findall("RmtInf/Strd/CdtrRefInf/Ref")]
    structured += [one.text for one in details.findall("RmtInf/Strd/AddtlRmtInf")]
    return [one for one in (*free, *structured) if one and one.strip()]


def _of(element: Element | None, path: str) -> str | None:
    text: Any = element.findtext(path) if element is not None else None
    return text.strip() or None if text else None


def _currency(element: Element) -> str | None:
    amount = element.find("Amt")
    return amount.get("Ccy") if amount is not None else None


def _money(element: Element, name: str, where: str) -> Decimal:
    """The amount, positive = money in, or a balance that is positive unless the account is overdrawn."""
    text, way = _of(element, "Amt"), _of(element, "CdtDbtInd")
    try:
        amount = number(text or "")
    except ValueError:
        raise BatchRefused(f"{name}: {where}: Amt is {text!r}, not a number such as 12.50") from None
    if way not in ("CRDT", "DBIT"):
        raise BatchRefused(f"{name}: {where}: CdtDbtInd is {way!r}; CRDT or DBIT says which way the money went")
    return -amount if way == "DBIT" else amount


def _day(element: Element, paths: tuple[str, ...], name: str, where: str) -> str:
    text = next((found for path in paths if (found := _of(element, path))), "")
    if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise BatchRefused(f"{name}: {where}: {paths[0]} is {text[:40]!r}, not a day such as 2026-01-31")
    return text[:10]
