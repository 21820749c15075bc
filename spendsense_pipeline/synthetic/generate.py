"""From people and behaviour to tables in the landing format, with the truth about what was planted.

What does not belong here: how people behave (``behaviour``), who they are (``cast``), files (``batch_files``).
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.synthetic import balances, behaviour, payee_pool, trouble
from spendsense_pipeline.synthetic import cast as living
from spendsense_pipeline.synthetic.batch_tables import (
    Names,
    Story,
    account_ids,
    accounts_table,
    as_dates,
    as_frame,
    as_money,
    as_text,
    liabilities_table,
    operators_table,
    users_table,
)
from spendsense_pipeline.synthetic.behaviour import KINDS
from spendsense_pipeline.synthetic.cast import CHECKING, PERSONAS, PLACES, SAVINGS
from spendsense_pipeline.synthetic.rng import Ints, Rng
from spendsense_pipeline.synthetic.schedule import ANNUAL, CADENCES, Period

BLOCK = 10_000
"""Customers are made so many at a time, which bounds the memory that intermediate columns take."""

_SHORTEST, _LONGEST = 30, 3660


@dataclass(frozen=True)
class Synthetic:
    """Generated customers.

    ``tables`` holds ``users``, ``accounts``, ``transactions`` and ``liabilities`` in the landing format (dates
    and times as ISO text, money as numbers, positive = in). ``truth`` says what was planted: ``seed``,
    ``as_of`` and for each customer the ``persona``, the ``pay_frequency`` and the ``streams``, each with
    ``merchant``, ``kind``, ``cadence`` and ``amount`` (landing sign, today's price; the usual amount where it
    varies), and with ``also`` where another kind is right as well. A stream is listed when it occurs three times in the
    rows, two times for an annual one. ``habits`` names the payees at which people spend from habit and nobody signed
    up for anything.
    """

    tables: dict[str, pd.DataFrame]
    truth: dict[str, Any]


def sized(users: int, days: int) -> None:
    """Raise SpendSenseError (``invalid_size``) where so many cannot be made."""
    if users < 2:
        raise SpendSenseError(
            f"{users} users asked for: at least 2 are needed, a customer and an operator.", code="invalid_size"
        )
    if not _SHORTEST <= days <= _LONGEST:
        raise SpendSenseError(
            f"{days} days asked for: between {_SHORTEST} and {_LONGEST} can be made.", code="invalid_size"
        )


def generate(
    users: int = 75,
    seed: int = 7,
    *,
    as_of: dt.date,
    days: int = 180,
    hard: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> Synthetic:
    """Make customers with planted, labelled behaviour over the ``days`` days up to and including ``as_of``.

    One user in twenty (one at least) is an operator, without accounts. Customer number n is the same person
    whatever ``users`` is. ``hard`` adds what real accounts and exports have (``trouble.py``): payees spelled in
    several ways, ids and categories missing, dates that drift, months left out, cancellations, other prices, plans
    and cards, merged employers, bonuses, purchases that come round like subscriptions. Annual charges appear
    from 400 days on, quarterly ones from 300.

    ``report`` hears, after every ten thousand and at the end, how many people are made. Raises SpendSenseError
    (``invalid_size``) below two users or outside 30 to 3660 days.

    >>> made = generate(20, as_of=dt.date(2026, 6, 30))
    >>> sorted(made.tables)
    ['accounts', 'liabilities', 'transactions', 'users']
    """
    sized(users, days)
    rng, period = Rng(seed), Period.ending(as_of, days)
    operators = max(1, (users * 5 + 50) // 100)
    names = Names.drawn(seed)
    parts: dict[str, list[pa.Table]] = {"users": [], "accounts": [], "transactions": [], "liabilities": []}
    truth: dict[str, Any] = {}
    for first in range(0, users - operators, BLOCK):
        index = np.arange(first, min(first + BLOCK, users - operators))
        story = _story(rng, index, seed, period, hard=hard)
        ids = [f"cus_{number + 1:06d}" for number in index]
        parts["users"].append(users_table(rng, story.who, ids, names))
        parts["accounts"].append(accounts_table(rng, story, ids, period))
        parts["transactions"].append(_transactions(rng, story, ids, period, hard=hard))
        parts["liabilities"].append(liabilities_table(rng, story, ids, period))
        truth.update(_truth(story, ids))
        report(first + len(index))
    parts["users"].append(operators_table(rng, operators, names, period))
    report(users)
    return Synthetic(
        tables={name: as_frame(pa.concat_tables(tables)) for name, tables in parts.items()},
        truth={
            "seed": seed,
            "as_of": as_of.isoformat(),
            "users": truth,
            "habits": {habit: sorted({payee.name for payee in group}) for habit, group in payee_pool.ROUTINES.items()},
        },
    )


# ---------------------------------------------------------------- the story


def _story(rng: Rng, index: Ints, seed: int, period: Period, *, hard: bool) -> Story:
    """Let one block of customers live through the period, and see where it leaves their accounts."""
    who = living.people(rng, index, seed, period)
    cards = living.cards(rng, who)
    standing = behaviour.all_standing(
        [
            behaviour.salaries(rng, who),
            behaviour.bills(rng, who, period),
            behaviour.subscriptions(rng, who, period),
        ]
    )
    counts = behaviour.habit_counts(rng, who, standing, cards, period, hard=hard)
    if hard:
        standing = trouble.arrangements(rng, who, standing, period)
        plain, hits, standing = trouble.standing_rows(rng, who, standing, period)
    else:
        plain, hits = behaviour.standing_rows(rng, who, standing, period)
    parts = [plain, behaviour.freelance_pay(rng, who, period)]
    if hard:
        parts += [
            trouble.charged_twice(rng, who, standing, plain, period),
            trouble.bonuses_and_expenses(rng, who, standing, period),
            trouble.errands(rng, who, period),
        ]
    regular = behaviour.together(parts)
    saved, invested, budget = balances.monthly_plan(
        rng, who, regular, cards, behaviour.habit_costs(counts, period), period
    )
    legs = behaviour.standing_transfers(who, saved, invested)
    if hard:
        names = (payee_pool.UNNAMED_OUT, payee_pool.UNNAMED_IN)
        out, into = (trouble.unnamed_transfers(rng, who, leg, name) for leg, name in zip(legs, names, strict=True))
        legs = (out, into)
    moved = [behaviour.standing_rows(rng, who, leg, period)[0] for leg in legs]
    habits, kind = behaviour.habit_rows(rng, who, counts, budget, period, hard=hard)
    refunds = behaviour.refund_rows(rng, who, habits, kind, period)
    spent = behaviour.together([regular, *moved, habits, refunds])
    paid, card_state = behaviour.card_rows(who, cards, spent, period)

    put_by = balances.put_by(rng, who)
    interest = behaviour.savings_interest(rng, who, put_by[:, SAVINGS], period)
    rows = behaviour.together([spent, paid, interest])
    closing, fees = balances.checking_balances(rng, who, rows, period)
    rows = behaviour.together([rows, fees])
    posted = rows.only(~rows.pending)
    flow = np.bincount(posted.who * PLACES + posted.place, posted.cents, minlength=who.count * PLACES)
    held = put_by + np.rint(flow).astype(np.int64).reshape(who.count, PLACES)
    held[:, CHECKING] = closing
    # No row touches a student loan: its payments show in checking, as with most lenders.
    held[cards.holder, cards.place] = card_state.owed
    if hard:
        beside = trouble.left_pending(rng, who, rows)
        rows = behaviour.together([rows, beside.only(period.covers(beside.day))])
    order = np.lexsort((rows.payee, rows.place, -rows.cents, rows.day, rows.who))
    return Story(who, cards, card_state, rows.only(order), held, standing, hits)


# ---------------------------------------------------------------- tables


def _transactions(rng: Rng, story: Story, ids: list[str], period: Period, *, hard: bool) -> pa.Table:
    rows, who = story.rows, story.who
    number = np.arange(len(rows.who)) - np.searchsorted(rows.who, rows.who) + 1
    user = as_text(ids).take(rows.who)
    entity = as_text([payee_pool.entity_id(payee) for payee in payee_pool.ALL]).take(rows.payee)
    primary = as_text([payee.primary for payee in payee_pool.ALL]).take(rows.payee)
    detailed = as_text([payee.detailed for payee in payee_pool.ALL]).take(rows.payee)
    variant = np.zeros(len(rows.who), dtype=np.int64)
    if hard:
        garbled = trouble.feed(rng, who, rows, number)
        variant, nothing = garbled.spelling, pa.scalar(None, pa.string())
        entity = pc.if_else(pa.array(garbled.no_id), nothing, entity)
        primary, detailed = (pc.if_else(pa.array(garbled.no_category), nothing, each) for each in (primary, detailed))
    names = as_text([name for payee in payee_pool.ALL for name in payee_pool.spellings(payee)])
    days = as_dates(np.arange(period.first, period.last + 1))
    return pa.table(
        {
            "transaction_id": pc.binary_join_element_wise(
                user, pc.utf8_lpad(pc.cast(pa.array(number), pa.string()), 5, "0"), "_"
            ),
            "account_id": as_text(account_ids(who, ids)).take(rows.who * PLACES + rows.place),
            "user_id": user,
            "date": days.take(rows.day - period.first),
            "amount": as_money(rows.cents),
            "merchant_name": names.take(rows.payee * payee_pool.SPELLINGS + variant),
            "merchant_entity_id": entity,
            "payment_channel": as_text([payee.channel for payee in payee_pool.ALL]).take(rows.payee),
            "category_primary": primary,
            "category_detailed": detailed,
            "pending": pa.array(rows.pending),
        }
    )


# ---------------------------------------------------------------- the truth


def _truth(story: Story, ids: list[str]) -> dict[str, Any]:
    """What was planted, by customer."""
    who, plan = story.who, story.standing
    made: dict[str, Any] = {
        user: {
            "persona": PERSONAS[persona],
            "pay_frequency": living.PAY_FREQUENCIES.get(int(pay), "irregular"),
            "streams": [],
        }
        for user, persona, pay in zip(ids, who.persona, who.pay, strict=True)
    }
    enough = np.flatnonzero((plan.kind != behaviour.UNSEEN) & (story.hits >= np.where(plan.cadence == ANNUAL, 2, 3)))
    columns = (plan.who, plan.payee, plan.kind, plan.cadence, plan.cents)
    for owner, payee, kind, cadence, cents in zip(*(column[enough].tolist() for column in columns), strict=True):
        made[ids[owner]]["streams"].append(
            {
                "merchant": payee_pool.ALL[payee].name,
                "kind": KINDS[kind],
                "cadence": CADENCES[cadence],
                "amount": cents / 100,
                # Money to a person says of itself only that it is regular.
                **({"also": ["regular"]} if payee_pool.ALL[payee] in payee_pool.ROOMMATES else {}),
            }
        )
    return made
