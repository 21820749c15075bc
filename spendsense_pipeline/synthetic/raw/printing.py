"""What a bank prints for a row: its own template, a reference that is new on every row, and the width of its column.

A template holds fields in braces; ``Lines.field`` knows them all. What does not belong here: which rows there are.
"""

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.synthetic.behaviour import Rows
from spendsense_pipeline.synthetic.cast import PLACES, Fourth, People, Place
from spendsense_pipeline.synthetic.raw.country import BY_CARD, Bank, Country
from spendsense_pipeline.synthetic.rng import Ints, Rng
from spendsense_pipeline.synthetic.schedule import Period

TEXT_COLUMNS: Final = ("description_raw", "merchant_name", "counterparty_name", "mcc", "transaction_code")

_DATES: Final = {
    "mmdd": "%m%d", "mm/dd": "%m/%d", "mm-dd": "%m-%d", "yymmdd": "%y%m%d", "dd-mm-yyyy": "%d-%m-%Y",
    "dd mon": "%d %b", "ddmonyy": "%d%b%y", "dd/mm/yy": "%d/%m/%y", "dd.mm.yyyy": "%d.%m.%Y", "dd.mm.": "%d.%m.",
    "mm/yyyy": "%m/%Y", "yyyy-mm-dd": "%Y-%m-%d",
}  # fmt: skip
_FOUR_DIGITS: Final = pa.array([f"{number:04d}" for number in range(10_000)])
_FOUR_SIGNS: Final = pa.array([f"{number:04X}" for number in range(65_536)])
_TWO_DIGITS: Final = pa.array([f"{number:02d}" for number in range(60)])
_DIGITS: Final = re.compile("(ref|id|co)([0-9]+)")
_COUNTERPARTY: Final = 70
"""Signs that a SEPA message has for a name."""


@dataclass(frozen=True)
class Lines:
    """Rows about to be printed, in the end those of one bank and channel."""

    rng: Rng
    country: Country
    period: Period
    who: People
    holders: list[str]  # names by customer
    last4: Ints  # customers by places
    rows: Rows
    number: Ints  # of the row among the customer's
    upper: bool = True

    def printed(self, template: str, bank: Bank) -> pa.Array:
        """The text of each row as the bank's column shows it."""
        # Everything is put into capitals before it is joined: tables of words are short, columns of text are not.
        parts = re.split(r"\{([^}]*)\}", template)
        pieces: list[pa.Array | pa.Scalar] = []
        for position, part in enumerate(parts):
            if position % 2:
                pieces.append(self.field(part, position))
            elif part:
                pieces.append(pa.scalar(part.upper() if bank.upper else part))
        if len(parts) == 1:
            return pa.repeat(pieces[0].as_py()[: bank.width], len(self.rows.who))
        text = pc.binary_join_element_wise(*pieces, "")
        if "entry" in parts or "place" in parts:  # without content they leave two spaces
            text = pc.replace_substring(text, "  ", " ")
        if pc.max(pc.utf8_length(text)).as_py() > bank.width:
            text = pc.utf8_slice_codeunits(text, 0, bank.width)
        return pc.ascii_trim_whitespace(text)

    def field(self, name: str, position: int = 0) -> pa.Array:
        """The content of a template's field, row by row; raises KeyError for a field that nobody knows.

        Two references of one template differ: ``position`` is where in it they stand.
        """
        rows, payees = self.rows, self.country.payees
        if name == "payee":
            printed = self._words([payee.printed for payee in payees], rows.payee)
            tails = np.array([payee.tail for payee in payees], dtype=np.bool_)[rows.payee]
            if not tails.any():
                return printed
            tail = pc.binary_join_element_wise("*", self._signs("tail"), "")
            return pc.binary_join_element_wise(printed, pc.if_else(pa.array(tails), tail, pa.scalar("")), "")
        if name == "entry":
            return self._words([payee.entry for payee in payees], rows.payee)
        if name == "place":
            return self._words([payee.place for payee in payees], rows.payee)
        if name == "city":
            return self._words(self.country.cities, self._city())
        if name == "holder":
            return self._words(self.holders, rows.who)
        if name in _DATES:
            return self._date(_DATES[name])
        if name == "mix8":
            return self._signs("mix")
        if name in ("hh", "mi"):
            low, high = (8, 21) if name == "hh" else (0, 59)
            return _TWO_DIGITS.take(pa.array(self.rng.whole(f"print/{name}", low, high, self._row())))
        if name == "store":
            store = self.rng.whole("print/store", 100, 9999, self.who.index[rows.who], rows.payee)
            return _FOUR_DIGITS.take(pa.array(store))
        if name in ("card4", "own4"):
            place = rows.place if name == "card4" else (rows.place + 1) % PLACES
            return _FOUR_DIGITS.take(pa.array(self.last4[rows.who, place]))
        found = _DIGITS.fullmatch(name)
        if found is None:
            raise KeyError(f"no bank prints a field {name!r}")
        return self._digits(found[1], int(found[2]), position)

    def _words(self, words: list[str], position: Ints) -> pa.Array:
        return pa.array([word.upper() for word in words] if self.upper else words).take(pa.array(position))

    def _row(self) -> Ints:
        return self.who.index[self.rows.who] * 100_000 + self.number

    def _digits(self, kind: str, count: int, position: int) -> pa.Array:
        """``ref``: new on every row; ``id``: of the customer at the payee; ``co``: of the payee."""
        keys = {"ref": (self._row(),), "id": (self.who.index[self.rows.who], self.rows.payee), "co": (self.rows.payee,)}
        topic = f"print/ref/{position}" if kind == "ref" else f"print/{kind}"
        blocks = [
            _FOUR_DIGITS.take(pa.array(self.rng.whole(f"{topic}/{block}", 0, 9999, *keys[kind])))
            for block in range(-(-count // 4))
        ]
        text = blocks[0] if len(blocks) == 1 else pc.binary_join_element_wise(*blocks, "")
        return pc.utf8_slice_codeunits(text, 0, count) if count % 4 else text

    def _signs(self, topic: str) -> pa.Array:
        """Eight letters and digits, new on every row."""
        halves = [
            _FOUR_SIGNS.take(pa.array(self.rng.whole(f"print/{topic}/{half}", 0, 65_535, self._row())))
            for half in range(2)
        ]
        return pc.binary_join_element_wise(*halves, "")

    def _city(self) -> Ints:
        """The customer's city, another now and then; a shop stays where it is."""
        most = len(self.country.cities) - 1
        home = self.rng.whole("print/city", 0, most, self.who.index[self.rows.who])
        away = self.rng.chance("print/away", 0.06, self._row())
        return np.where(away, self.rng.whole("print/where", 0, most, self._row()), home)

    def _date(self, pattern: str) -> pa.Array:
        """The day of purchase, which is the day of booking or the one or two before."""
        first = self.period.first - 3
        days = np.arange(first, self.period.last + 1).astype("datetime64[D]").astype(object)
        texts = [day.strftime(pattern) for day in days.tolist()]
        return self._words(texts, self.rows.day - first - self.rng.whole("print/before", 0, 2, self._row()))


def printed_columns(lines: Lines, evidence: str) -> dict[str, pa.Array]:
    """``TEXT_COLUMNS`` of the rows: description, name fields where the bank has them, and codes where asked for.

    Each customer has one of the country's banks and one card issuer; an account held before was at the next bank.
    """
    rng, who, rows, country = lines.rng, lines.who, lines.rows, lines.country
    channels = sorted({payee.channel for payee in country.payees})
    channel = np.array([channels.index(payee.channel) for payee in country.payees])[rows.payee]
    on_card = (rows.place == Place.CARD) | ((rows.place == Place.OTHER) & (who.other[rows.who] == Fourth.SECOND_CARD))
    home_bank = rng.whole("print/bank", 0, len(country.banks) - 1, who.index)
    issuer = rng.whole("print/issuer", 0, len(country.issuers) - 1, who.index)
    bank = np.where(rows.place == Place.OTHER, home_bank[rows.who] + 1, home_bank[rows.who]) % len(country.banks)
    style = np.where(on_card, len(country.banks) + issuer[rows.who], bank)
    every = [*country.banks, *country.issuers]
    group = style * len(channels) + channel
    order = np.argsort(group, kind="stable")
    edges = np.flatnonzero(np.diff(group[order], prepend=-1, append=-1))
    parts: dict[str, list[pa.Array]] = {name: [] for name in TEXT_COLUMNS}
    for start, stop in pairwise(edges.tolist()):
        chosen = order[start:stop]
        prints, way = every[group[chosen[0]] // len(channels)], channels[group[chosen[0]] % len(channels)]
        some = replace(lines, rows=rows.only(chosen), number=lines.number[chosen], upper=prints.upper)
        for name, column in _of_group(some, prints, way, evidence).items():
            parts[name].append(column)
    back = pa.array(np.argsort(order, kind="stable"))
    return {name: pa.chunked_array(columns).combine_chunks().take(back) for name, columns in parts.items()}


def _of_group(lines: Lines, bank: Bank, channel: str, evidence: str) -> dict[str, pa.Array]:
    count = len(lines.rows.who)
    missing = pa.nulls(count, pa.string())
    payees = lines.country.payees
    code = lines.country.codes_printed.get(channel if channel != "unlinked" else "card_paid")
    if channel not in bank.text:
        raise KeyError(f"no template for {channel!r}: each [[bank]] and [[issuer]] needs the ways its rows come")
    names_side = bank.counterparty and channel not in BY_CARD | {"penalty", "service_fee", "cash", "earned"}
    merchants = bank.merchant and (channel in BY_CARD or not bank.counterparty)
    mcc = pa.array([payee.mcc if payee.channel in BY_CARD else None for payee in payees], pa.string())
    text = lines.printed(bank.text[channel], bank)
    return {
        # An app bank prints only the reference, and nothing where the payer wrote none.
        "description_raw": pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text),
        "merchant_name": _cut(lines.field("payee"), bank.merchant) if merchants else missing,
        "counterparty_name": _cut(lines.field("payee"), _COUNTERPARTY) if names_side else missing,
        "mcc": mcc.take(pa.array(lines.rows.payee)) if evidence == "mcc" else missing,
        "transaction_code": (
            lines.printed(code, Bank({}, 40)) if evidence == "codes" and code is not None else missing
        ),
    }


def _cut(text: pa.Array, width: int) -> pa.Array:
    return pc.ascii_trim_whitespace(pc.utf8_slice_codeunits(text, 0, width))
