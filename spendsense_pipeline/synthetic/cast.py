"""Who the customers are: how they live, what they earn, which accounts they hold, whether they consented.

A persona here is a way of living, told in money: someone who lives on credit, a freelancer with good months
and bad, someone who signs up for everything, a saver, someone with plenty. Whether the definitions of the
signals find them is for the signals to show.

What does not belong here: single payments.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from spendsense_pipeline.synthetic.rng import Flags, Floats, Ints, Rng
from spendsense_pipeline.synthetic.schedule import TIMES_A_MONTH, Cadence, Period

PERSONAS = ("high_utilization", "variable_income", "subscription_heavy", "savings_builder", "wealth_builder")
Persona = IntEnum("Persona", "CREDIT FREELANCE SUBSCRIBER SAVER WEALTHY", start=0)
"""The same ways of living, as numbers."""

# Customers take turns, so even a small batch has everybody; eleven and ten have no common divisor, so every
# way of living also occurs among those with consent.
_TURNS = np.array(
    [
        *(Persona.CREDIT, Persona.SAVER, Persona.SUBSCRIBER, Persona.FREELANCE, Persona.WEALTHY, Persona.CREDIT),
        *(Persona.SUBSCRIBER, Persona.SAVER, Persona.FREELANCE, Persona.WEALTHY, Persona.CREDIT),
    ]
)
_CONSENTING = (0, 4, 7)  # of every ten

IRREGULAR = -1
SALARIED = (Cadence.WEEKLY, Cadence.BIWEEKLY, Cadence.SEMI_MONTHLY, Cadence.MONTHLY)
PAY_FREQUENCIES = {int(cadence): cadence.name.lower() for cadence in SALARIED}

# Places for accounts; an account's key is customer * 4 + place.
Place = IntEnum("Place", "CHECKING SAVINGS CARD OTHER", start=0)
PLACES = len(Place)
Fourth = IntEnum("Fourth", "NOTHING SECOND_CARD STUDENT_LOAN INVESTMENT FORMER_ACCOUNT", start=0)
"""What is in the fourth place."""

# Per persona: monthly income from and to (dollars), shares with a card and with savings.
_INCOME = np.array([[2000, 7000], [2200, 6800], [2600, 7200], [3800, 8800], [11200, 14900]])
_HAS_CARD = np.array([1.0, 0.75, 0.9, 0.75, 0.85])
_HAS_SAVINGS = np.array([0.35, 0.3, 0.5, 1.0, 1.0])


@dataclass(frozen=True)
class People:
    """One block of customers as columns; money in cents."""

    index: Ints  # number of the customer, from 0, the key of every draw
    persona: Ints
    income: Ints  # a month
    pay: Ints  # a cadence, or IRREGULAR
    friday: Ints  # which Friday of two
    has_card: Flags
    has_savings: Flags
    other: Ints  # what is in the fourth place: Fourth.NOTHING, Fourth.SECOND_CARD and so on
    comfort: Floats  # size of bills, 1 = a monthly income of 4,500
    known_since: Ints  # day
    consented_on: Ints  # day, 0 without consent
    times_paid: Floats  # paychecks a month, 0 for irregular pay

    @property
    def count(self) -> int:
        """Customers in the block."""
        return len(self.index)


def people(rng: Rng, index: Ints, seed: int, period: Period) -> People:
    """The customers of these numbers."""
    persona = _TURNS[(index + seed) % len(_TURNS)]
    low, high = _INCOME[persona, 0], _INCOME[persona, 1]
    income = rng.whole("income", low, high, index) * 100
    salaried = np.array(SALARIED)
    pay = np.where(persona == Persona.FREELANCE, IRREGULAR, salaried[rng.pick("pay", [0.15, 0.4, 0.25, 0.2], index)])
    has_card = rng.chance("card", _HAS_CARD[persona], index)
    has_savings = rng.chance("savings", _HAS_SAVINGS[persona], index) | ~has_card  # two accounts at least
    borrower = np.isin(persona, (Persona.SUBSCRIBER, Persona.SAVER, Persona.CREDIT))
    other = np.select(
        [
            persona == Persona.WEALTHY,
            (persona == Persona.CREDIT) & rng.chance("second card", 0.5, index),
            borrower & rng.chance("studied", 0.3, index),
        ],
        [Fourth.INVESTMENT, Fourth.SECOND_CARD, Fourth.STUDENT_LOAN],
        Fourth.NOTHING,
    )
    known_since = period.first - rng.whole("known", 30, 730, index)
    consented = np.isin(index % 10, _CONSENTING)
    return People(
        index=index,
        persona=persona,
        income=income,
        pay=pay,
        friday=rng.whole("friday", 0, 1, index),
        has_card=has_card,
        has_savings=has_savings,
        other=other,
        comfort=np.clip(income / 450_000, 0.55, 1.4),
        known_since=known_since,
        consented_on=np.where(consented, period.last - rng.whole("consented", 2, 28, index), 0),
        times_paid=np.where(pay == IRREGULAR, 0.0, TIMES_A_MONTH[np.maximum(pay, 0)]),
    )


@dataclass(frozen=True)
class Cards:
    """Credit cards of one block; money in cents."""

    holder: Ints  # position in the block
    place: Ints
    revolving: Flags  # carries a balance from month to month
    minimum_only: Flags  # lately pays no more than asked
    overdue: Flags  # missed the newest due date
    closing_day: Ints  # of the month, on which the statement closes
    apr: Floats  # percent
    limit: Ints  # of revolving cards; the others' follows what is spent on them
    utilization: Floats  # at the end of the period

    @property
    def count(self) -> int:
        """Cards in the block."""
        return len(self.holder)


def cards(rng: Rng, who: People) -> Cards:
    """First and second cards: those who live on credit owe half to nearly all of a limit, others little."""
    first = np.flatnonzero(who.has_card)
    second = np.flatnonzero(who.other == Fourth.SECOND_CARD)
    holder = np.concatenate([first, second])
    place = np.concatenate([np.full(len(first), Place.CARD), np.full(len(second), Place.OTHER)])
    persona, keys = who.persona[holder], (who.index[holder], place)
    revolving = persona == Persona.CREDIT
    # Nearly every fifth of those in debt is at the very top of the limit.
    full = np.where(
        rng.chance("card/maxed", 0.3, *keys),
        rng.between("card/top", 0.82, 0.95, *keys),
        rng.between("card/high", 0.54, 0.82, *keys),
    )
    spare = np.where(persona == Persona.WEALTHY, 0.17, 0.26)
    low = rng.between("card/low", 0.11, spare, *keys)
    months_of_income = rng.between("card/limit", 0.6, 1.4, *keys)
    limit = np.maximum(np.rint(who.income[holder] * months_of_income / 50_000).astype(np.int64) * 50_000, 200_000)
    return Cards(
        holder=holder,
        place=place,
        revolving=revolving,
        minimum_only=revolving & rng.chance("card/minimum", 0.55, *keys),
        overdue=revolving & (place == Place.CARD) & rng.chance("card/overdue", 0.15, *keys),
        closing_day=rng.whole("card/closing", 1, 28, *keys),
        apr=np.rint(rng.between("card/apr", 1699, 2999, *keys)) / 100,
        limit=limit,
        utilization=np.where(revolving, full, low),
    )
