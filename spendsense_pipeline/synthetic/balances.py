"""What lies in the accounts: what people set aside, what was there before, and how often they run dry.

What does not belong here: single payments (``behaviour``) and the landing format (``batch_tables``).
"""

import numpy as np

from spendsense_pipeline.synthetic import behaviour
from spendsense_pipeline.synthetic.behaviour import BankLines, CardState, Rows
from spendsense_pipeline.synthetic.cast import PLACES, Cards, Fourth, People, Persona, Place
from spendsense_pipeline.synthetic.rng import Floats, Ints, Rng
from spendsense_pipeline.synthetic.schedule import Period


def monthly_plan(
    rng: Rng, who: People, regular: Rows, cards: Cards, habits: tuple[Floats, Floats], period: Period
) -> tuple[Ints, Ints, Floats]:
    """Monthly cents to save and to invest, and what habits may cost as a multiple of plain prices.

    ``habits`` says what they cost a month at plain prices: what follows the budget, and what does not. Everybody
    spends about what income and ``regular`` costs leave, so accounts neither swell nor run dry.
    """
    months = period.days * 12 / 365.25
    earned = np.bincount(regular.who, np.maximum(regular.cents, 0), minlength=who.count) / months
    fixed = np.bincount(regular.who, -np.minimum(regular.cents, 0), minlength=who.count) / months
    interest = np.where(cards.revolving, cards.limit * cards.utilization * (cards.apr / 1200 + 0.002), 0.0)
    debt = np.bincount(cards.holder, interest, minlength=who.count)
    scaling, plain = habits
    part = rng.uniform("save/part", who.index)
    saved = np.select(
        [who.persona == Persona.SAVER, who.persona == Persona.WEALTHY],
        [np.maximum(who.income * (0.12 + 0.13 * part), 50_000), who.income * (0.06 + 0.06 * part)],
        0.0,
    )
    left = earned * 0.98 - fixed - debt - saved
    # The wealthy invest what they do not know how to spend.
    wealthy_investing = np.maximum(who.income * 0.12, left - plain - 3.5 * scaling)
    invested = np.where(who.persona == Persona.WEALTHY, wealthy_investing, 0.0)
    budget = np.clip((left - invested - plain) / scaling, 0.4, 9.0)
    return saved.astype(np.int64), invested.astype(np.int64), budget


def put_by(rng: Rng, who: People) -> Ints:
    """What lay in each place before the first row (owed on student loans); checking and cards stay 0."""
    months_of_income = rng.between("put by/saver", 0.8, 4.0, who.index)
    savings = np.select(
        [who.persona == Persona.SAVER, who.persona == Persona.WEALTHY],
        [who.income * months_of_income, rng.between("put by/wealthy", 3e6, 9e6, who.index)],
        rng.between("put by/little", 2e4, 2.5e5, who.index),
    )
    other = np.select(
        [who.other == Fourth.INVESTMENT, who.other == Fourth.STUDENT_LOAN],
        [rng.between("put by/invested", 2e6, 3e7, who.index), rng.between("put by/studied", 6e5, 4e6, who.index)],
        0.0,
    )
    made = np.zeros((who.count, PLACES), dtype=np.int64)
    made[:, Place.SAVINGS] = np.where(who.has_savings, np.rint(savings), 0)
    made[:, Place.OTHER] = np.rint(other)
    return made


def checking_balances(rng: Rng, who: People, rows: Rows, period: Period, overdraft: int) -> tuple[Ints, Rows]:
    """The checking balances at the end, and the overdraft fees on the way there.

    People keep a cushion of some months' outflow. It is enlarged until the account never ran dry, except for
    those who live from payment to payment: they keep little, and slip below zero now and then. ``overdraft`` is the
    code of what the bank then charges.
    """
    checking = rows.only((rows.place == Place.CHECKING) & ~rows.pending)
    checking = checking.only(np.lexsort((-checking.cents, checking.day, checking.who)))
    running = np.cumsum(checking.cents)
    first = np.searchsorted(checking.who, np.arange(who.count))
    total = np.rint(np.bincount(checking.who, checking.cents, minlength=who.count)).astype(np.int64)
    before = np.concatenate([[0], running])[first]
    so_far = running - before[checking.who]
    lowest = np.zeros(who.count, dtype=np.int64)
    np.minimum.at(lowest, checking.who, so_far)

    outflow = np.bincount(checking.who, np.minimum(checking.cents, 0), minlength=who.count) * -30 / period.days
    low = np.array([0.1, 0.12, 0.4, 0.8, 1.2])[who.persona]
    high = np.array([0.4, 0.5, 1.2, 2.0, 3.0])[who.persona]
    wished = outflow * rng.between("cushion", low, high, who.index)
    needed = (total - lowest).astype(np.float64) + 5_000
    room = np.where(who.persona == Persona.FREELANCE, 0.6, 1.0)
    short = np.isin(who.persona, (Persona.CREDIT, Persona.FREELANCE))
    closing = np.maximum(wished, np.where(short, np.minimum(needed, room * outflow), needed))
    closing = np.rint(closing).astype(np.int64)
    balance = (closing - total)[checking.who] + so_far
    fees = behaviour.overdraft_fees(checking, balance, overdraft)
    charged = np.bincount(fees.who, fees.cents, minlength=who.count)
    return closing + np.rint(charged).astype(np.int64), fees


def flow(who: People, rows: Rows) -> Ints:
    """What rows move, customers by places."""
    moved = np.bincount(rows.who * PLACES + rows.place, rows.cents, minlength=who.count * PLACES)
    summed: Ints = np.rint(moved).astype(np.int64).reshape(who.count, PLACES)
    return summed


def settled(
    rng: Rng, who: People, cards: Cards, spent: Rows, period: Period, lines: BankLines, earned: int
) -> tuple[Rows, CardState, Ints]:
    """What was spent with what the banks then book; what lenders report of cards; what lies in each place at the end.

    ``earned`` is the code of interest on savings. No row touches a student loan: its payments show in checking, as with
    most lenders.
    """
    paid, card_state = behaviour.card_rows(who, cards, spent, period, lines)
    before = put_by(rng, who)
    interest = behaviour.savings_interest(rng, who, before[:, Place.SAVINGS], period, earned)
    rows = behaviour.together([spent, paid, interest])
    closing, fees = checking_balances(rng, who, rows, period, lines.overdraft)
    rows = behaviour.together([rows, fees])
    held = before + flow(who, rows.only(~rows.pending))
    held[:, Place.CHECKING] = closing
    held[cards.holder, cards.place] = card_state.owed
    return rows, card_state, held
