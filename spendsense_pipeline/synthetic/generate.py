"""From people and behaviour to tables in the landing format, with the truth about what was planted.

What does not belong here: how people behave (``behaviour``), who they are (``cast``), files (``batch_files``).
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.synthetic import balances, batch_tables, behaviour, payee_pool, trouble
from spendsense_pipeline.synthetic import cast as living
from spendsense_pipeline.synthetic.batch_tables import Names, Story, as_text
from spendsense_pipeline.synthetic.behaviour import Kind
from spendsense_pipeline.synthetic.cast import PERSONAS
from spendsense_pipeline.synthetic.rng import Ints, Rng
from spendsense_pipeline.synthetic.schedule import CADENCES, Cadence, Period

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
    rng, period, names = Rng(seed), Period.ending(as_of, days), Names.drawn(seed)

    def block(index: Ints, ids: list[str]) -> Block:
        story = _story(rng, index, seed, period, hard=hard)
        return Block(
            batch_tables.users_table(rng, story.who, ids, names),
            batch_tables.accounts_table(rng, story, ids, period),
            _transactions(rng, story, ids, period, hard=hard),
            batch_tables.liabilities_table(rng, story, ids, period),
            _truth(story, ids),
        )

    tables, truth = in_blocks(
        users, "cus", block, batch_tables.operators_table(rng, operators(users), names, period), report
    )
    habits = {habit: sorted({payee.name for payee in payee_pool.payees(habit)}) for habit in payee_pool.ROUTINES}
    return Synthetic(tables, {"seed": seed, "as_of": as_of.isoformat(), "users": truth, "habits": habits})


class Block(NamedTuple):
    """Tables of one block of customers, and what was planted, by customer."""

    users: pa.Table
    accounts: pa.Table
    transactions: pa.Table
    liabilities: pa.Table
    truth: dict[str, Any]


def operators(users: int) -> int:
    """How many of so many users are operators."""
    return max(1, (users * 5 + 50) // 100)


def in_blocks(
    users: int,
    prefix: str,
    block: Callable[[Ints, list[str]], Block],
    operators_made: pa.Table,
    report: Callable[[int], None],
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """The tables of all users and the truth, made ``BLOCK`` customers at a time by their numbers and ids."""
    customers = users - operators_made.num_rows
    made = []
    for first in range(0, customers, BLOCK):
        index = np.arange(first, min(first + BLOCK, customers))
        made.append(block(index, [f"{prefix}_{number + 1:06d}" for number in index]))
        report(first + len(index))
    report(users)
    parts = {name: [getattr(each, name) for each in made] for name in Block._fields[:-1]}
    parts["users"].append(operators_made)
    truth = {user: planted for each in made for user, planted in each.truth.items()}
    text = {pa.string(): pd.StringDtype(na_value=np.nan)}
    frames = {name: pa.concat_tables(tables).to_pandas(types_mapper=text.get) for name, tables in parts.items()}
    return frames, truth


def _story(rng: Rng, index: Ints, seed: int, period: Period, *, hard: bool) -> Story:
    """Let one block of customers live through the period, and see where it leaves their accounts."""
    who = living.people(rng, index, seed, period)
    cards = living.cards(rng, who)
    standing = behaviour.together(
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
        names = ("unnamed out", "unnamed in")
        out, into = (trouble.unnamed_transfers(rng, who, leg, name) for leg, name in zip(legs, names, strict=True))
        legs = (out, into)
    moved = [behaviour.standing_rows(rng, who, leg, period)[0] for leg in legs]
    habits, kind = behaviour.habit_rows(rng, who, counts, budget, period, hard=hard)
    refunds = behaviour.refund_rows(rng, who, habits, kind, period)
    spent = behaviour.together([regular, *moved, habits, refunds])
    rows, card_state, held = balances.settled(
        rng, who, cards, spent, period, behaviour.TIDY_LINES, payee_pool.code("interest earned")
    )
    if hard:
        beside = trouble.left_pending(rng, who, rows)
        rows = behaviour.together([rows, beside.only(period.covers(beside.day))])
    order = np.lexsort((rows.payee, rows.place, -rows.cents, rows.day, rows.who))
    return Story(who, cards, card_state, rows.only(order), held, standing, hits)


def _transactions(rng: Rng, story: Story, ids: list[str], period: Period, *, hard: bool) -> pa.Table:
    rows, who = story.rows, story.who
    number = np.arange(len(rows.who)) - np.searchsorted(rows.who, rows.who) + 1
    entity = as_text([payee_pool.entity_id(payee) for payee in payee_pool.ALL]).take(rows.payee)
    primary = as_text([payee.primary for payee in payee_pool.ALL]).take(rows.payee)
    detailed = as_text([payee.detailed for payee in payee_pool.ALL]).take(rows.payee)
    variant = np.zeros(len(rows.who), dtype=np.int64)
    if hard:
        variant, no_id, no_category = trouble.garbled(rng, who, rows, number)
        nothing = pa.scalar(None, pa.string())
        entity = pc.if_else(pa.array(no_id), nothing, entity)
        primary, detailed = (pc.if_else(pa.array(no_category), nothing, each) for each in (primary, detailed))
    names = as_text([name for payee in payee_pool.ALL for name in payee_pool.spellings(payee)])
    return batch_tables.transactions_table(
        rows, who, ids, number, period,
        merchant_name=names.take(rows.payee * payee_pool.SPELLINGS + variant),
        merchant_entity_id=entity,
        payment_channel=as_text([payee.channel for payee in payee_pool.ALL]).take(rows.payee),
        category_primary=primary,
        category_detailed=detailed,
        pending=pa.array(rows.pending),
    )  # fmt: skip


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
    enough = np.flatnonzero((plan.kind != Kind.UNSEEN) & (story.hits >= np.where(plan.cadence == Cadence.ANNUAL, 2, 3)))
    columns = (plan.who, plan.payee, plan.kind, plan.cadence, plan.cents)
    for owner, payee, kind, cadence, cents in zip(*(column[enough].tolist() for column in columns), strict=True):
        made[ids[owner]]["streams"].append(
            {
                "merchant": payee_pool.ALL[payee].name,
                "kind": Kind(kind).name.lower(),
                "cadence": CADENCES[cadence],
                "amount": cents / 100,
                # Money to a person says of itself only that it is regular.
                **({"also": ["regular"]} if payee_pool.ALL[payee].group == "roommates" else {}),
            }
        )
    return made
