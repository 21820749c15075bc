"""From people and behaviour to tables in the landing format, with the truth about what was planted.

What does not belong here: how people behave (``behaviour``), who they are (``people``), files (``landing``).
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from faker import Faker

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.synthetic import behaviour, payees, schedule, trouble
from spendsense_pipeline.synthetic import people as living
from spendsense_pipeline.synthetic.behaviour import KINDS, Rows, Standing
from spendsense_pipeline.synthetic.dice import Dice, Flags, Floats, Ints
from spendsense_pipeline.synthetic.people import (
    CHECKING,
    CREDIT,
    FREELANCE,
    INVESTMENT,
    OTHER,
    PERSONAS,
    PLACES,
    SAVER,
    SAVINGS,
    SECOND_CARD,
    STUDENT_LOAN,
    WEALTHY,
    Cards,
    People,
)
from spendsense_pipeline.synthetic.schedule import ANNUAL, CADENCES, Period

# Customers are made so many at a time, which bounds the memory that intermediate columns take.
_BLOCK = 10_000
_SHORTEST, _LONGEST = 30, 3660


@dataclass(frozen=True)
class Synthetic:
    """Generated customers.

    ``tables`` holds ``users``, ``accounts``, ``transactions`` and ``liabilities`` in the landing format (dates
    and times as ISO text, money as numbers, positive = in). ``truth`` says what was planted: ``seed``,
    ``as_of`` and for each customer the ``persona``, the ``pay_frequency`` and the ``streams``, each with
    ``merchant``, ``kind``, ``cadence`` and ``amount`` (landing sign, today's price; the usual amount where it
    varies). A stream is listed when it occurs three times in the rows, two times for an annual one. ``habits``
    names the payees at which people spend from habit and nobody signed up for anything.
    """

    tables: dict[str, pd.DataFrame]
    truth: dict[str, Any]


@dataclass(frozen=True)
class _Story:
    """Everything about one block of customers before it becomes text; money in cents."""

    who: People
    cards: Cards
    card_state: behaviour.CardState
    rows: Rows
    balances: Ints  # customers by places; owed on cards and loans
    standing: Standing
    hits: Ints  # rows of each arrangement


def generate(
    users: int = 75,
    seed: int = 7,
    *,
    as_of: dt.date,
    days: int = 180,
    hard: bool = False,
    told: Callable[[int], None] = lambda _: None,
) -> Synthetic:
    """Make customers with planted, labelled behaviour over the ``days`` days up to and including ``as_of``.

    One user in twenty (one at least) is an operator, without accounts. Customer number n is the same person
    whatever ``users`` is. ``hard`` adds what real accounts and exports have (``trouble.py``): payees spelled in
    several ways, ids and categories missing, dates that drift, months left out, cancellations, other prices, plans
    and cards, merged employers, bonuses, purchases that come round like subscriptions. Annual charges appear
    from 400 days on, quarterly ones from 300.

    ``told`` hears, after every ten thousand and at the end, how many people are made. Raises SpendSenseError
    (``invalid_size``) below two users or outside 30 to 3660 days.

    >>> made = generate(20, as_of=dt.date(2026, 6, 30))
    >>> sorted(made.tables)
    ['accounts', 'liabilities', 'transactions', 'users']
    """
    if users < 2:
        raise SpendSenseError(
            f"{users} users asked for: at least 2 are needed, a customer and an operator.", code="invalid_size"
        )
    if not _SHORTEST <= days <= _LONGEST:
        raise SpendSenseError(
            f"{days} days asked for: between {_SHORTEST} and {_LONGEST} can be made.", code="invalid_size"
        )
    dice, period = Dice(seed), Period.ending(as_of, days)
    operators = max(1, (users * 5 + 50) // 100)
    names = _Names.drawn(seed)
    parts: dict[str, list[pa.Table]] = {"users": [], "accounts": [], "transactions": [], "liabilities": []}
    truth: dict[str, Any] = {}
    for first in range(0, users - operators, _BLOCK):
        index = np.arange(first, min(first + _BLOCK, users - operators))
        story = _story(dice, index, seed, period, hard=hard)
        ids = [f"cus_{number + 1:06d}" for number in index]
        parts["users"].append(_users(dice, story.who, ids, names))
        parts["accounts"].append(_accounts(dice, story, ids, period))
        parts["transactions"].append(_transactions(dice, story, ids, period, hard=hard))
        parts["liabilities"].append(_liabilities(dice, story, ids, period))
        truth.update(_truth(story, ids))
        told(first + len(index))
    parts["users"].append(_operators(dice, operators, names, period))
    told(users)
    return Synthetic(
        tables={name: _frame(pa.concat_tables(tables)) for name, tables in parts.items()},
        truth={
            "seed": seed,
            "as_of": as_of.isoformat(),
            "users": truth,
            "habits": {habit: sorted({payee.name for payee in group}) for habit, group in payees.ROUTINES.items()},
        },
    )


# ---------------------------------------------------------------- the story


def _story(dice: Dice, index: Ints, seed: int, period: Period, *, hard: bool) -> _Story:
    """Let one block of customers live through the period, and see where it leaves their accounts."""
    who = living.people(dice, index, seed, period)
    cards = living.cards(dice, who)
    standing = behaviour.all_standing(
        [
            behaviour.salaries(dice, who),
            behaviour.bills(dice, who, period),
            behaviour.subscriptions(dice, who, period),
        ]
    )
    counts = behaviour.habit_counts(dice, who, standing, cards, period, hard=hard)
    if hard:
        standing = trouble.arrangements(dice, who, standing, period)
        plain, hits, standing = trouble.standing_rows(dice, who, standing, period)
    else:
        plain, hits = behaviour.standing_rows(dice, who, standing, period)
    parts = [plain, behaviour.freelance_pay(dice, who, period)]
    if hard:
        parts += [
            trouble.charged_twice(dice, who, standing, plain, period),
            trouble.bonuses_and_expenses(dice, who, standing, period),
            trouble.errands(dice, who, period),
        ]
    regular = behaviour.together(parts)
    saved, invested, budget = _plan(dice, who, regular, cards, counts, period)
    legs = behaviour.standing_transfers(who, saved, invested)
    if hard:
        names = (payees.UNNAMED_OUT, payees.UNNAMED_IN)
        out, into = (trouble.unnamed_transfers(dice, who, leg, name) for leg, name in zip(legs, names, strict=True))
        legs = (out, into)
    moved = [behaviour.standing_rows(dice, who, leg, period)[0] for leg in legs]
    habits, kind = behaviour.habit_rows(dice, who, counts, budget, period, hard=hard)
    refunds = behaviour.refund_rows(dice, who, habits, kind, period)
    spent = behaviour.together([regular, *moved, habits, refunds])
    paid, card_state = behaviour.card_rows(who, cards, spent, period)

    put_by = _put_by(dice, who)
    interest = behaviour.savings_interest(dice, who, put_by[:, SAVINGS], period)
    rows = behaviour.together([spent, paid, interest])
    closing, fees = _checking(dice, who, rows, period)
    rows = behaviour.together([rows, fees])
    posted = rows.only(~rows.pending)
    flow = np.bincount(posted.who * PLACES + posted.place, posted.cents, minlength=who.count * PLACES)
    balances = put_by + np.rint(flow).astype(np.int64).reshape(who.count, PLACES)
    balances[:, CHECKING] = closing
    # No row touches a student loan: its payments show in checking, as with most lenders.
    balances[cards.holder, cards.place] = card_state.owed
    if hard:
        beside = trouble.left_pending(dice, who, rows)
        rows = behaviour.together([rows, beside.only(period.covers(beside.day))])
    order = np.lexsort((rows.payee, rows.place, -rows.cents, rows.day, rows.who))
    return _Story(who, cards, card_state, rows.only(order), balances, standing, hits)


def _plan(
    dice: Dice, who: People, regular: Rows, cards: Cards, counts: Ints, period: Period
) -> tuple[Ints, Ints, Floats]:
    """Monthly cents to save and to invest, and what habits may cost as a multiple of plain prices.

    Everybody spends about what income and ``regular`` costs leave, so accounts neither swell nor run dry.
    """
    months = period.days * 12 / 365.25
    earned = np.bincount(regular.who, np.maximum(regular.cents, 0), minlength=who.count) / months
    fixed = np.bincount(regular.who, -np.minimum(regular.cents, 0), minlength=who.count) / months
    interest = np.where(cards.revolving, cards.limit * cards.utilization * (cards.apr / 1200 + 0.002), 0.0)
    debt = np.bincount(cards.holder, interest, minlength=who.count)
    scaling, plain = behaviour.habit_costs(counts, period)
    part = dice.uniform("save/part", who.index)
    saved = np.select(
        [who.persona == SAVER, who.persona == WEALTHY],
        [np.maximum(who.income * (0.12 + 0.13 * part), 50_000), who.income * (0.06 + 0.06 * part)],
        0.0,
    )
    left = earned * 0.98 - fixed - debt - saved
    # The wealthy invest what they do not know how to spend.
    wealthy_investing = np.maximum(who.income * 0.12, left - plain - 3.5 * scaling)
    invested = np.where(who.persona == WEALTHY, wealthy_investing, 0.0)
    budget = np.clip((left - invested - plain) / scaling, 0.4, 9.0)
    return saved.astype(np.int64), invested.astype(np.int64), budget


def _put_by(dice: Dice, who: People) -> Ints:
    """What lay in each place before the first row (owed on student loans); checking and cards stay 0."""
    months_of_income = dice.between("put by/saver", 0.8, 4.0, who.index)
    savings = np.select(
        [who.persona == SAVER, who.persona == WEALTHY],
        [who.income * months_of_income, dice.between("put by/wealthy", 3e6, 9e6, who.index)],
        dice.between("put by/little", 2e4, 2.5e5, who.index),
    )
    other = np.select(
        [who.other == INVESTMENT, who.other == STUDENT_LOAN],
        [dice.between("put by/invested", 2e6, 3e7, who.index), dice.between("put by/studied", 6e5, 4e6, who.index)],
        0.0,
    )
    made = np.zeros((who.count, PLACES), dtype=np.int64)
    made[:, SAVINGS] = np.where(who.has_savings, np.rint(savings), 0)
    made[:, OTHER] = np.rint(other)
    return made


def _checking(dice: Dice, who: People, rows: Rows, period: Period) -> tuple[Ints, Rows]:
    """The checking balances at the end, and the overdraft fees on the way there.

    People keep a cushion of some months' outflow. It is enlarged until the account never ran dry, except for
    those who live from payment to payment: they keep little, and slip below zero now and then.
    """
    checking = rows.only((rows.place == CHECKING) & ~rows.pending)
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
    wished = outflow * dice.between("cushion", low, high, who.index)
    needed = (total - lowest).astype(np.float64) + 5_000
    room = np.where(who.persona == FREELANCE, 0.6, 1.0)
    short = np.isin(who.persona, (CREDIT, FREELANCE))
    closing = np.maximum(wished, np.where(short, np.minimum(needed, room * outflow), needed))
    closing = np.rint(closing).astype(np.int64)
    balance = (closing - total)[checking.who] + so_far
    fees = behaviour.overdraft_fees(checking, balance)
    charged = np.bincount(fees.who, fees.cents, minlength=who.count)
    return closing + np.rint(charged).astype(np.int64), fees


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class _Names:
    """A few hundred first and last names, to be combined."""

    first: list[str]
    last: list[str]

    @classmethod
    def drawn(cls, seed: int) -> "_Names":
        fake = Faker("en_US")
        fake.seed_instance(seed)
        return cls([fake.first_name() for _ in range(400)], [fake.last_name() for _ in range(600)])

    def people(self, dice: Dice, topic: str, index: Ints) -> list[tuple[str, str]]:
        """First and last name of each."""
        first = dice.whole(f"{topic}/first", 0, len(self.first) - 1, index)
        last = dice.whole(f"{topic}/last", 0, len(self.last) - 1, index)
        return [(self.first[a], self.last[b]) for a, b in zip(first, last, strict=True)]


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.string(): pd.StringDtype(na_value=np.nan)}.get)
    return frame


def _text(values: list[str] | list[str | None]) -> pa.Array:
    return pa.array(values, pa.string())


def _times(dice: Dice, topic: str, day: Ints, key: Ints, missing: Flags | None = None) -> pa.Array:
    """ISO times at some second of a day, null where missing."""
    second = day * 86_400 + dice.whole(topic, 7 * 3600, 21 * 3600, key)
    text = np.char.add(np.datetime_as_string(second.astype("datetime64[s]")), "Z")
    return pa.array(text.tolist(), pa.string(), mask=missing)


def _dates(day: Ints) -> pa.Array:
    return _text(np.datetime_as_string(day.astype("datetime64[D]")).tolist())


def _money(cents: Ints, missing: Flags | None = None) -> pa.Array:
    return pa.array(cents / 100, pa.float64(), mask=missing)


def _users(dice: Dice, who: People, ids: list[str], names: _Names) -> pa.Table:
    named = names.people(dice, "customer", who.index)
    consented = who.consented_on > 0
    return pa.table(
        {
            "user_id": _text(ids),
            "full_name": _text([f"{first} {last}" for first, last in named]),
            "email": _text(
                [
                    f"{first}.{last}.{number + 1}@example.com".lower()
                    for (first, last), number in zip(named, who.index, strict=True)
                ]
            ),
            "created_at": _times(dice, "created", who.known_since, who.index),
            "consent_status": pa.array(consented),
            "consent_granted_at": _times(dice, "consent/time", who.consented_on, who.index, ~consented),
            "consent_revoked_at": pa.nulls(who.count, pa.string()),
            "user_type": _text(["customer"] * who.count),
        }
    )


def _operators(dice: Dice, count: int, names: _Names, period: Period) -> pa.Table:
    index = np.arange(count)
    named = names.people(dice, "operator", index)
    return pa.table(
        {
            "user_id": _text([f"op_{number + 1:03d}" for number in index]),
            "full_name": _text([f"{first} {last}" for first, last in named]),
            "email": _text([f"{first}.{last}.op{n + 1}@example.com".lower() for n, (first, last) in enumerate(named)]),
            "created_at": _times(dice, "operator/time", np.full(count, period.first - 365), index),
            "consent_status": pa.array(np.zeros(count, dtype=np.bool_)),
            "consent_granted_at": pa.nulls(count, pa.string()),
            "consent_revoked_at": pa.nulls(count, pa.string()),
            "user_type": _text(["operator"] * count),
        }
    )


_OTHER_KINDS = {
    SECOND_CARD: ("second_card", "credit", "credit card"),
    STUDENT_LOAN: ("student_loan", "loan", "student"),
    INVESTMENT: ("brokerage", "investment", "brokerage"),
}


def _account_ids(who: People, ids: list[str]) -> list[str]:
    """The ids of all places, also of those without an account, by customer * 4 + place.

    They end in four digits, as account numbers do, by which people tell two cards apart. The digits do not depend
    on the seed: the step has no divisor in common with 9000, so no two of 2,250 customers' accounts share them.
    """
    last = [_OTHER_KINDS.get(int(kind), ("none",))[0] for kind in who.other]
    digits = 1000 + (3821 + 2741 * (who.index[:, None] * PLACES + np.arange(PLACES))) % 9000
    return [
        f"{user}_{name}_{number}"
        for user, other, numbers in zip(ids, last, digits.tolist(), strict=True)
        for name, number in zip(("checking", "savings", "card", other), numbers, strict=True)
    ]


def _accounts(dice: Dice, story: _Story, ids: list[str], period: Period) -> pa.Table:
    who, state = story.who, story.card_state
    held = np.stack([np.ones(who.count, dtype=np.bool_), who.has_savings, who.has_card, who.other > 0], axis=1)
    limit = np.zeros((who.count, PLACES), dtype=np.int64)
    limit[story.cards.holder, story.cards.place] = state.limit
    waiting = story.rows.only(story.rows.pending)
    reserved = np.bincount(waiting.who * PLACES + waiting.place, waiting.cents, minlength=who.count * PLACES).reshape(
        who.count, PLACES
    )
    is_card = limit > 0
    available = np.where(is_card, np.maximum(limit - story.balances, 0), story.balances) + np.rint(reserved)
    unavailable = (who.other == INVESTMENT) | (who.other == STUDENT_LOAN)

    owner, place = np.nonzero(held)
    kinds = [
        (("", "depository", "checking"), ("", "depository", "savings"), ("", "credit", "credit card"))[p]
        if p < OTHER
        else _OTHER_KINDS[int(who.other[o])]
        for o, p in zip(owner, place, strict=True)
    ]
    opened = who.known_since[owner] - dice.whole("account/age", 10, 2500, who.index[owner], place)
    return pa.table(
        {
            "account_id": _text(_account_ids(who, ids)).take(owner * PLACES + place),
            "user_id": _text(ids).take(owner),
            "type": _text([kind[1] for kind in kinds]),
            "subtype": _text([kind[2] for kind in kinds]),
            "balance_available": _money(available[owner, place], (place == OTHER) & unavailable[owner]),
            "balance_current": _money(story.balances[owner, place]),
            "balance_limit": _money(limit[owner, place], ~is_card[owner, place]),
            "iso_currency_code": _text(["USD"] * len(owner)),
            "holder_category": _text(["personal"] * len(owner)),
            "created_at": _times(dice, "account/time", opened, owner * PLACES + place),
            "balance_date": _dates(np.full(len(owner), period.last)),
        }
    )


def _transactions(dice: Dice, story: _Story, ids: list[str], period: Period, *, hard: bool) -> pa.Table:
    rows, who = story.rows, story.who
    number = np.arange(len(rows.who)) - np.searchsorted(rows.who, rows.who) + 1
    user = _text(ids).take(rows.who)
    entity = _text([payees.entity_id(payee) for payee in payees.ALL]).take(rows.payee)
    primary = _text([payee.primary for payee in payees.ALL]).take(rows.payee)
    detailed = _text([payee.detailed for payee in payees.ALL]).take(rows.payee)
    variant = np.zeros(len(rows.who), dtype=np.int64)
    if hard:
        garbled = trouble.feed(dice, who, rows, number)
        variant, nothing = garbled.spelling, pa.scalar(None, pa.string())
        entity = pc.if_else(pa.array(garbled.no_id), nothing, entity)
        primary, detailed = (pc.if_else(pa.array(garbled.no_category), nothing, each) for each in (primary, detailed))
    names = _text([name for payee in payees.ALL for name in payees.spellings(payee)])
    days = _dates(np.arange(period.first, period.last + 1))
    return pa.table(
        {
            "transaction_id": pc.binary_join_element_wise(
                user, pc.utf8_lpad(pc.cast(pa.array(number), pa.string()), 5, "0"), "_"
            ),
            "account_id": _text(_account_ids(who, ids)).take(rows.who * PLACES + rows.place),
            "user_id": user,
            "date": days.take(rows.day - period.first),
            "amount": _money(rows.cents),
            "merchant_name": names.take(rows.payee * payees.SPELLINGS + variant),
            "merchant_entity_id": entity,
            "payment_channel": _text([payee.channel for payee in payees.ALL]).take(rows.payee),
            "category_primary": primary,
            "category_detailed": detailed,
            "pending": pa.array(rows.pending),
        }
    )


def _liabilities(dice: Dice, story: _Story, ids: list[str], period: Period) -> pa.Table:
    who, cards, state = story.who, story.cards, story.card_state
    loans = np.flatnonzero(who.other == STUDENT_LOAN)
    instalment = behaviour.student_loan_payment(dice, who, loans)
    plan = story.standing
    loan_day = np.zeros(who.count, dtype=np.int64)
    lenders = np.isin(plan.payee, payees.codes(payees.STUDENT_LENDERS))
    loan_day[plan.who[lenders]] = plan.anchor[lenders]
    month = schedule.month_of(np.full(len(loans), period.last))
    due = schedule.day_in_month(month, loan_day[loans])
    due = np.where(due > period.last, due, schedule.day_in_month(month + 1, loan_day[loans]))

    owner, place = np.concatenate([cards.holder, loans]), np.concatenate([cards.place, np.full(len(loans), OTHER)])
    only_cards = np.concatenate([np.zeros(cards.count, dtype=np.bool_), np.ones(len(loans), dtype=np.bool_)])
    none = np.zeros(len(loans), dtype=np.int64)
    apr = np.concatenate([cards.apr, none])
    last_payment = np.concatenate([state.last_payment, instalment])
    account = _text(_account_ids(who, ids)).take(owner * PLACES + place)
    rate = np.rint(dice.between("loan/rate", 350, 750, who.index[owner])) / 100
    table = pa.table(
        {
            "liability_id": pc.binary_join_element_wise("liab", account, "_"),
            "account_id": account,
            "user_id": _text(ids).take(owner),
            "liability_type": _text(["credit_card"] * cards.count + ["student_loan"] * len(loans)),
            "apr_purchase": pa.array(apr, mask=only_cards),
            "apr_balance_transfer": pa.array(np.round(apr + 2, 2), mask=only_cards),
            "apr_cash_advance": pa.array(np.full(len(owner), 29.99), mask=only_cards),
            "minimum_payment_amount": _money(np.concatenate([state.minimum, instalment])),
            "last_payment_amount": _money(last_payment, last_payment < 0),
            "is_overdue": pa.array(np.concatenate([cards.overdue, none.astype(np.bool_)])),
            "next_payment_due_date": _dates(np.concatenate([state.due, due])),
            "last_statement_balance": _money(np.concatenate([state.statement, none]), only_cards),
            "interest_rate": pa.array(rate, mask=~only_cards),
            "balance_date": _dates(np.full(len(owner), period.last)),
        }
    )
    return table.take(pa.array(np.lexsort((place, owner))))


# ---------------------------------------------------------------- the truth


def _truth(story: _Story, ids: list[str]) -> dict[str, Any]:
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
                "merchant": payees.ALL[payee].name,
                "kind": KINDS[kind],
                "cadence": CADENCES[cadence],
                "amount": cents / 100,
            }
        )
    return made
