"""MT940, SWIFT's customer statement, with the texts of field 86 as German and Dutch banks structure them, or free.

A statement is whole when it has its account, an opening and a closing balance, and the entries between add up.
"""

import datetime as dt
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import mt940

from spendsense_pipeline.ingest.files import BatchRefused
from spendsense_pipeline.ingest.statements.statement import Row, Statement, joined, number, with_ids

# The library logs the line that it cannot read, which may hold a name.
logging.getLogger("mt940").addHandler(logging.NullHandler())
logging.getLogger("mt940").propagate = False

TAG = re.compile(r":([0-9]{2}[A-Z]?):(.*)")
ENTRY = re.compile(r"[0-9]{6}([0-9]{4}| {4})?R?[DC][A-Z]?[0-9]{1,12},[0-9]{0,2}[A-Z][A-Z0-9 ]{3}.*")
BALANCE = re.compile(r"([DC])([0-9]{6})([A-Z]{3})([0-9]{1,15},[0-9]{0,3})")
SHAPES = {"61": ENTRY} | dict.fromkeys(("60F", "60M", "62F", "62M", "64"), BALANCE)
RIGHT = {"61": "value date, entry date, C or D, amount, type, e.g. 2601310131D12,50NTRFNONREF"}
WORDS = re.compile(
    r"/(TRTP|TRCD|CSID|MARF|EREF|PREF|RTRN|IBAN|BIC|NAME|CNTP|ADDR|ORDP|BENM|ULTD|ULTB|REMI|ISDT|PURP|BUSP|SVCL|ID)/"
)
"""The words of the Dutch banks' field 86."""
NOTHING = ("NONREF", "NOTPROVIDED")


@dataclass(frozen=True)
class Field:
    """A field of the file: its tag, its text with the lines that continue it, and the line it begins on."""

    tag: str
    text: str
    line: int


def read(content: bytes, name: str, encoding: str | None) -> list[Statement]:
    """The statements of a file in their order.

    ``encoding`` is UTF-8 unless said otherwise. Refused: what is in another, or no MT940, a field that cannot be read,
    and a statement that is cut off or whose entries do not add up.
    """
    encoding = encoding or "utf-8"
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BatchRefused(
            f'{name}: byte {error.start} is none of {encoding}; say e.g. encoding = "iso-8859-1" in batch.toml'
        ) from None
    fields = list(_fields(text, name))
    starts = [place for place, one in enumerate(fields) if one.tag == "20"]
    if not starts or starts[0] != 0:
        raise BatchRefused(f"{name}: no MT940, which begins a statement with the field :20:")
    ends = [*starts[1:], len(fields)]
    return [_statement(fields[start:end], name) for start, end in zip(starts, ends, strict=True)]


def _fields(text: str, name: str) -> Iterator[Field]:
    found: Field | None = None
    for line, written in enumerate(text.splitlines(), 1):
        tag = TAG.match(written)
        if tag:
            if found is not None:
                yield _checked(found, name)
            found = Field(tag.group(1), tag.group(2).rstrip(), line)
        elif written.strip() in ("-", "-}", "") or written.startswith(("{", "-}")):
            continue  # the end of a statement, or SWIFT's envelope around it
        elif found is None:
            raise BatchRefused(f"{name}: line {line}: no MT940, which begins a statement with the field :20:")
        else:
            found = Field(found.tag, f"{found.text}\n{written.rstrip()}", found.line)
    if found is not None:
        yield _checked(found, name)


def _checked(found: Field, name: str) -> Field:
    shape = SHAPES.get(found.tag)
    if shape is not None and not shape.fullmatch(found.text.partition("\n")[0]):
        right = RIGHT.get(found.tag, "C or D, date, currency, amount, e.g. C260131EUR1234,56")
        raise BatchRefused(f"{name}: line {found.line}: the field :{found.tag}: cannot be read; it is {right}")
    return found


def _statement(fields: Sequence[Field], name: str) -> Statement:
    first = fields[0].line
    account = _required(fields, ("25",), "account, :25:", name)
    opening = _required(fields, ("60F", "60M"), "opening balance, :60F:", name)
    closing = _required(fields[::-1], ("62F", "62M"), "closing balance, :62F:", name)
    begun, _, _ = _balance(opening, name)
    ended, day, currency = _balance(closing, name)
    rows = list(_rows(fields, name))
    moved = sum((Decimal(row["amount"]) for row in rows), Decimal(0))
    if begun + moved != ended:
        raise BatchRefused(
            f"{name}: line {first}: the entries of the statement that begins here add up to {begun + moved}, and its "
            f"closing balance on line {closing.line} is {ended}; some are missing, deliver it again"
        )
    account_id = "".join(account.text.split())
    if re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{8,30}" + currency, account_id):
        account_id = account_id.removesuffix(currency)
    available = next((one for one in fields if one.tag == "64"), None)
    return Statement(
        {
            "account_id": account_id,
            "type": "depository",
            "subtype": "checking",
            "balance_current": str(ended),
            "balance_available": str(_balance(available, name)[0]) if available else None,
            "balance_date": day,
            "iso_currency_code": currency,
        },
        with_ids(account_id, rows),
    )


def _required(fields: Sequence[Field], tags: Sequence[str], what: str, name: str) -> Field:
    for one in fields:
        if one.tag in tags and one.text:
            return one
    line = min(one.line for one in fields)
    raise BatchRefused(f"{name}: line {line}: the statement that begins here has no {what}; it is cut off")


def _balance(field: Field, name: str) -> tuple[Decimal, str, str]:
    """Amount (negative when overdrawn), day and currency of a balance."""
    way, day, currency, amount = BALANCE.findall(field.text)[0]  # `_checked` has seen it
    try:
        on = dt.date(2000 + int(day[:2]), int(day[2:4]), int(day[4:])).isoformat()
    except ValueError:
        raise BatchRefused(
            f"{name}: line {field.line}: the field :{field.tag}: has no existing day, {day}; it is year, month, day"
        ) from None
    return (number(amount) if way == "C" else -number(amount)), on, currency


def _rows(fields: Sequence[Field], name: str) -> Iterator[Row]:
    for place, one in enumerate(fields):
        if one.tag != "61":
            continue
        following = fields[place + 1] if place + 1 < len(fields) else None
        details = following.text if following is not None and following.tag == "86" else ""
        yield _row(one, details, name)


def _row(entry: Field, details: str, name: str) -> Row:
    text = f":20:X\n:61:{entry.text}\n" + (f":86:{details}\n" if details else "")
    try:
        (found,) = mt940.parse(text, options=mt940.Options.all())
    except (RuntimeError, ValueError):
        raise BatchRefused(f"{name}: line {entry.line}: the field :61: cannot be read; it is {RIGHT['61']}") from None
    said: dict[str, Any] = found.data
    reference = said.get("bank_reference")
    row = {
        "date": (said.get("entry_date") or said["date"]).isoformat(),
        "amount": str(said["amount"].amount),
        "reference": reference if reference not in NOTHING else None,
        **_details(details, said),
    }
    kind = said.get("id")
    code = "+".join(one for one in (kind, row.pop("code", None)) if one)
    row["transaction_code"] = code or None
    row["description_raw"] = row.get("description_raw") or joined(said.get("extra_details"))
    return {key: value for key, value in row.items() if value}


def _details(details: str, said: dict[str, Any]) -> Row:
    """Texts of field 86: German banks' by its ?-subfields, Dutch ones' by words between slashes, else all of it."""
    if re.match(r"[0-9]{3}(\?|@|~)", details):
        name = " ".join((said.get("applicant_name") or "").split()) or None
        return {
            "merchant_name": name,
            "counterparty_name": name,
            "description_raw": joined(said.get("posting_text"), said.get("purpose"), said.get("additional_purpose")),
            "code": details[:3],
        }
    whole = "".join(details.split("\n"))
    if len(WORDS.findall(whole)) > 1:
        return _dutch(whole)
    return {"description_raw": joined(details)}


def _dutch(text: str) -> Row:
    _, *pairs = WORDS.split(text)
    said: dict[str, str] = {}
    for word, value in zip(pairs[::2], pairs[1::2], strict=True):
        said.setdefault(word, value.strip("/ "))
    counterparty = said.get("CNTP", "").split("/")
    name = said.get("NAME") or (counterparty[2].strip() if len(counterparty) > 2 else None) or None
    remittance = re.sub(r"^(USTD|STRD)/+", "", said.get("REMI", ""))
    return {
        "merchant_name": name,
        "counterparty_name": name,
        "description_raw": joined(said.get("TRTP"), remittance),
        "code": said.get("PURP"),
    }
