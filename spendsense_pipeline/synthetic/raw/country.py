"""A country as data: who is paid and for what, what households arrange, and what its banks print.

The files are ``synthetic/data/<country>.toml`` and ``.csv``. What does not belong here: who pays whom and when
(``households``), and how a template becomes text (``printing``).
"""

import csv
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from spendsense_pipeline.synthetic.batch_tables import Names
from spendsense_pipeline.synthetic.behaviour import BankLines, OwnTransfers, Payers
from spendsense_pipeline.synthetic.rng import Flags, Ints, Rng
from spendsense_pipeline.synthetic.schedule import CADENCES

COUNTRIES: Final = ("us", "uk", "de")
DATA: Final = Path(__file__).parent.parent / "data"

PERSONS: Final = 60
"""Different people in each part that people play: landlords, cleaners, friends."""

SPENT: Final = frozenset(
    {"debit", "standing", "card_online", "card_store", "person_out", "cash", "penalty", "service_fee", "interest"}
    | {"advance_out"}
)
GIVEN_BACK: Final = frozenset({"refund", "returned", "penalty_back"})
PAID_WORK: Final = frozenset({"payroll", "client", "gig"})
OWN: Final = frozenset({"own_out", "broker"})
BY_CARD: Final = frozenset({"card_online", "card_store", "refund"})


@dataclass(frozen=True)
class RawPayee:
    """A counterparty together with the way money reaches it, which decides what the bank prints."""

    name: str
    printed: str
    channel: str
    well_known: bool
    telling: bool  # the text says what for, or the name is well known
    mcc: str | None = None
    entry: str = ""  # what the ACH entry, the reference or the purpose says
    tail: bool = False  # a reference after an asterisk, different on every row
    place: str = ""
    prices: tuple[float, ...] = ()


@dataclass(frozen=True)
class Arrangement:
    """One way of paying or being paid on a calendar; a line of the country's file."""

    group: str
    kind: str
    cadence: str
    channel: str
    share: float = 1.0
    whose: str = "everyone"
    slot: str = ""  # choices that exclude each other, with `part` of the slot's [0, 1)
    part: tuple[float, float] = (0.0, 1.0)
    also: tuple[str, ...] = ()  # kinds that are right as well
    price: tuple[float, float] = (0.0, 0.0)
    prices: tuple[float, ...] = ()  # instead of the payee's own
    of_income: tuple[float, float] = (0.0, 0.0)
    few: tuple[int, int] = (1, 1)  # how many different payees most have
    many: tuple[int, int] = (1, 1)  # and those who sign up for everything
    keen: bool = False  # those who sign up for everything all have it
    days: tuple[int, int] = (3, 27)  # of the month
    whole: bool = False  # whole units
    fives: bool = False  # multiples of five
    nines: bool = False  # ends in .99
    scales: bool = False  # with the size of the household
    varies: float = 0.0
    seasonal: bool = False
    by_card: float = 0.0  # share that pays by card instead
    rise: float = 0.0  # share whose price rose once
    step: float = 0.0  # up to so much more at each renewal
    drift: float = 0.0  # with an exchange rate, as a fraction
    intro: float = 0.0  # share that began with a trial or a low price
    signup: float = 0.0  # share that began while we look
    cancel: float = 0.0  # share that ended while we look
    instalments: int = 0
    months_off: tuple[int, ...] = ()
    entry: str = ""  # what the payer writes
    telling: bool = True


@dataclass(frozen=True)
class RawHabit:
    """One way of spending without any arrangement."""

    group: str
    channel: str
    share: float = 1.0
    whose: str = "everyone"
    gap: tuple[float, float] = (7.0, 7.0)
    every: int = 0
    price: tuple[float, float] = (0.0, 0.0)
    menu: tuple[float, ...] = ()
    usual: float = 0.0  # how often it is the usual price of the menu
    scales: bool = False
    loyal: float = 0.6
    refund: float = 0.0


@dataclass(frozen=True)
class Bank:
    """What one bank prints: a template per channel, cut at ``width``; ``merchant`` is the width of a name field."""

    text: dict[str, str]
    width: int
    upper: bool = True
    merchant: int = 0
    counterparty: bool = False


class Country:
    """Everything of one country, with its payees as one list: rows name a payee by its position there."""

    def __init__(self, code: str, seed: int) -> None:
        with (DATA / f"{code}.toml").open("rb") as file:
            said: dict[str, Any] = tomllib.load(file)
        with (DATA / f"{code}.csv").open(encoding="utf-8", newline="") as file:
            self._lines = list(csv.DictReader(file))
        self.country: str = said["country"]
        self.language: str = said["language"]
        self.currency: str = said["currency"]
        self.holidays: list[str] = said["holidays"]
        self.cities: list[str] = said["cities"]
        self.paydays: list[int] = said["paydays"]
        self.codes_printed: dict[str, str] = said["codes"]
        self.names = Names.drawn(seed, said["locale"])
        self.pay = {CADENCES.index(name): float(share) for name, share in said["pay"].items()}
        self.banks = [Bank(**bank) for bank in said["bank"]]
        self.issuers = [Bank(**issuer) for issuer in said["issuer"]]
        self.arrangements = [_with_tuples(Arrangement, line) for line in said["arrangement"]]
        self.habits = [_with_tuples(RawHabit, line) for line in said["habit"]]
        self.payees: list[RawPayee] = []
        self._places: dict[tuple[str, str, str], Ints] = {}
        self._twins: dict[tuple[int, str], int] = {}
        self._bank_lines: dict[str, str] = said["bank_lines"]
        self._employers(said)
        for plan in self.arrangements:
            self.codes(plan.group, plan.channel, plan)
            if plan.by_card:
                self.codes(plan.group, "card_online", plan)
        for habit in self.habits:
            self.codes(habit.group, habit.channel)
        self.lines = BankLines(
            card_paid=self.line("card_paid", "card_paid"),
            card_received=self.line("card_received", "card_received"),
            interest=self.line("interest", "interest"),
            late=self.line("late", "penalty"),
            overdraft=self.line("overdraft", "penalty"),
        )
        self.transfers = OwnTransfers(
            to_savings=self.line("own_out", "own_out"),
            into_savings=self.line("own_in", "own_in"),
            to_broker=int(self.codes("broker", "broker")[0]),
            into_broker=self.line("own_in", "own_in"),
        )
        self.payers = Payers(
            self.codes("platform", "gig"), self.codes("client", "client"), self.codes("client_rare", "client")
        )

    def codes(self, group: str, channel: str, plan: Arrangement | None = None) -> Ints:
        """Positions of a group's payees, paid in this way; raises KeyError where the files have no such group."""
        key = (group, channel, plan.entry if plan else "")
        if key not in self._places:
            self._places[key] = self._added(self._group(group, channel, plan))
        return self._places[key]

    def line(self, name: str, channel: str) -> int:
        """The position of something the bank itself books."""
        return int(self.codes(f"bank:{name}", channel)[0])

    def twin(self, codes: Ints, channel: str) -> Ints:
        """The same payees with money going the other way: refunds, returned debits, fees given back."""
        wanted = np.unique(codes)
        for code in wanted.tolist():
            if (code, channel) not in self._twins:
                (self._twins[code, channel],) = self._added([replace(self.payees[code], channel=channel)]).tolist()
        twins = np.array([self._twins[code, channel] for code in wanted.tolist()], dtype=np.int64)
        return twins[np.searchsorted(wanted, codes)] if len(codes) else codes

    def is_in(self, channels: frozenset[str]) -> Flags:
        """Which payees are reached in one of these ways, by position."""
        return np.array([payee.channel in channels for payee in self.payees], dtype=np.bool_)

    def _added(self, found: list[RawPayee]) -> Ints:
        first = len(self.payees)
        self.payees += found
        return np.arange(first, len(self.payees), dtype=np.int64)

    def _group(self, group: str, channel: str, plan: Arrangement | None) -> list[RawPayee]:
        part, _, name = group.partition(":")
        if part == "bank":
            text = self._bank_lines[name]
            return [RawPayee(text.capitalize(), text, channel, True, True)]
        if part == "person":
            entry, telling = (plan.entry, plan.telling) if plan else ("", False)
            people = self.names.people(Rng(len(name)), name, np.arange(PERSONS))
            return [
                RawPayee(f"{first} {last}", f"{first} {last}", channel, False, telling, entry=entry)
                for first, last in people
            ]
        found = [_payee(line, channel) for line in self._lines if line["group"] == group]
        if not found:
            raise KeyError(f"no payee of the group {group!r}")
        return found

    def _employers(self, said: dict[str, Any]) -> None:
        names = [(f"{a} {b}", False) for a in said["employer_first"] for b in said["employer_second"]]
        names += [(name, True) for name in said["known_employers"]]
        entries = said["payroll_entries"]
        self._places["employer", "payroll", ""] = self._added(
            [
                RawPayee(name, name, "payroll", well_known, True, entry=entries[number % len(entries)])
                for number, (name, well_known) in enumerate(names)
            ]
        )


def _payee(line: dict[str, str], channel: str) -> RawPayee:
    return RawPayee(
        name=line["name"],
        printed=line["printed"],
        channel=channel,
        well_known=line["known"] == "1",
        telling=line["known"] == "1" or line["telling"] == "1",
        mcc=line["mcc"] or None,
        entry=line["entry"],
        tail=line["tail"] == "x",
        place=line["place"],
        prices=tuple(float(price) for price in line["prices"].split()),
    )


def _with_tuples(kind: Any, line: dict[str, Any]) -> Any:
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in line.items()})
