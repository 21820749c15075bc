"""What people do with money: each function makes the rows of one kind of behaviour, for a block at once.

Rows are columns of whole numbers (cents, days since 1970), positive = money in. Loops run over kinds of
behaviour, never over customers or payments.

What does not belong here: balances and the landing format.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Self, TypeVar

import numpy as np

from spendsense_pipeline.synthetic import payee_pool as pool
from spendsense_pipeline.synthetic.cast import IRREGULAR, PLACES, Cards, Fourth, People, Persona, Place
from spendsense_pipeline.synthetic.rng import Flags, Floats, Ints, Rng
from spendsense_pipeline.synthetic.schedule import (
    SATURDAY,
    TIMES_A_MONTH,
    Cadence,
    Period,
    day_in_month,
    day_of_month,
    month_of,
    occurrences,
    weekday,
    weekday_after,
    weekday_before,
)


class Kind(IntEnum):
    """What an arrangement is."""

    UNSEEN = -1  # left out of truth.json, such as a transfer to one's own savings
    SUBSCRIPTION = 0
    BILL = 1
    INCOME = 2


ALWAYS = 1_000_000  # days: before and after every period

DAYS_FOR_QUARTERLY = 300  # three charges
DAYS_FOR_ANNUAL = 400  # two charges, whatever the day


@dataclass(frozen=True)
class Columns:
    """A table as columns of one length."""

    def only(self, kept: Flags | Ints) -> Self:
        """Some of the rows, or all in another order."""
        return type(self)(*(getattr(self, column.name)[kept] for column in fields(self)))


Table = TypeVar("Table", bound=Columns)


def together(parts: Sequence[Table]) -> Table:
    """All rows of several tables."""
    kind = type(parts[0])
    return kind(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(kind)))


def filled(value: Ints | int, like: Ints) -> Ints:
    """Whole numbers as a column; a single one stands for all."""
    return np.broadcast_to(value, like.shape).astype(np.int64)


@dataclass(frozen=True)
class Rows(Columns):
    """Movements: ``who`` is the position in the block, ``pending`` ones have not posted."""

    who: Ints
    place: Ints
    day: Ints
    cents: Ints
    payee: Ints
    pending: Flags

    @classmethod
    def of(cls, who: Ints, place: Ints | int, day: Ints, cents: Ints, payee: Ints | int) -> "Rows":
        """Posted rows; a single place or payee stands for all."""
        return cls(who, filled(place, who), day, cents, filled(payee, who), np.zeros(who.shape, dtype=np.bool_))


@dataclass(frozen=True)
class Standing(Columns):
    """Arrangements that come round on a calendar: pay, bills, subscriptions, standing transfers."""

    who: Ints
    place: Ints
    payee: Ints
    kind: Ints
    cadence: Ints
    anchor: Ints  # see schedule.occurrences
    cents: Ints  # landing sign; what it costs now
    varies: Floats  # how far a single amount may lie from it, as a fraction
    shift: Ints  # weekends: -1 to the day before, 1 to the day after, 0 stays
    begins: Ints  # the first day on which it may be due
    ends: Ints  # the day from which it no longer is

    @classmethod
    def of(
        cls,
        who: Ints,
        kind: int,
        payee: Ints | int,
        anchor: Ints | int,
        cents: Ints,
        *,
        place: Ints | int = Place.CHECKING,
        cadence: Ints | int = Cadence.MONTHLY,
        varies: Floats | float = 0.0,
        shift: int = 0,
    ) -> "Standing":
        """Single values stand for all; from checking and once a month, unless said otherwise."""
        spread = np.broadcast_to(varies, who.shape).astype(np.float64)
        return cls(
            who, filled(place, who), filled(payee, who), filled(kind, who), filled(cadence, who), filled(anchor, who),
            filled(cents, who), spread, filled(shift, who), filled(-ALWAYS, who), filled(ALWAYS, who),
        )  # fmt: skip


def to_cents(dollars: Floats) -> Ints:
    """Whole cents, never nothing."""
    return np.maximum(np.rint(dollars * 100).astype(np.int64), 1)


def one_of(rng: Rng, topic: str, group: str, key: Ints) -> Ints:
    """The payee each customer has chosen among a group."""
    return chosen(rng, topic, pool.codes(group), key)


def some(rng: Rng, who: People, topic: str, share: float) -> tuple[Ints, Ints]:
    """The positions of a share of the customers, and their numbers."""
    have = np.flatnonzero(rng.chance(topic, share, who.index))
    return have, who.index[have]


def day_within(rng: Rng, topic: str, period: Period, low: float, high: float, *key: Ints) -> Ints:
    """A day between two fractions of the period."""
    day: Ints = period.first + np.rint(period.days * rng.between(topic, low, high, *key)).astype(np.int64)
    return day


def chosen(rng: Rng, topic: str, codes: Ints, *key: Ints) -> Ints:
    """One of the codes for each key, e.g. a customer's number, always the same one."""
    picked: Ints = codes[rng.whole(topic, 0, len(codes) - 1, *key)]
    return picked


def liked_most(rng: Rng, who: People, topic: str, have: Ints, wanted: Ints, offered: int) -> tuple[Ints, Ints]:
    """Each holder as often as ``wanted``, and which of what is ``offered`` it is, never the same one twice."""
    liking = rng.uniform(f"{topic}/liking", who.index[have][:, None], np.arange(offered)[None, :])
    ranked = np.argsort(liking, axis=1, kind="stable")
    holder, rank = np.nonzero(np.arange(offered)[None, :] < wanted[:, None])
    return have[holder], ranked[holder, rank]


def salaries(rng: Rng, who: People) -> Standing:
    """Paychecks: weekly and biweekly on Fridays, the 15th and last, or once a month before the weekend.

    Weekly pay is by the hour and moves a little; a salary is the same to the cent.
    """
    paid = np.flatnonzero(who.pay != IRREGULAR)
    key, pay = who.index[paid], who.pay[paid]
    monthly_day = np.array([1, 25, 28, 31])[rng.whole("payday", 0, 3, key)]
    anchor = np.select([pay == Cadence.WEEKLY, pay == Cadence.BIWEEKLY], [1, 1 + 7 * who.friday[paid]], monthly_day)
    payee = one_of(rng, "employer", "employers", key)
    cents = np.rint(who.income[paid] / who.times_paid[paid]).astype(np.int64)
    varies = np.where(pay == Cadence.WEEKLY, 0.06, 0.0)
    return Standing.of(paid, Kind.INCOME, payee, anchor, cents, cadence=pay, varies=varies, shift=-1)


def bills(rng: Rng, who: People, period: Period) -> Standing:
    """Rent or mortgage, power, internet, phone, insurance, water, a student loan: a home's fixed costs."""
    owns = (who.persona == Persona.WEALTHY) | ((who.persona == Persona.SAVER) & rng.chance("owns home", 0.4, who.index))
    rent = np.rint(who.income * rng.between("rent", 0.25, 0.33, who.index) / 500).astype(np.int64) * 500
    housing = np.where(owns, np.rint(who.income * 0.15).astype(np.int64), rent)
    lender, landlord = one_of(rng, "lender", "mortgages", who.index), one_of(rng, "landlord", "landlords", who.index)
    home, day = np.where(owns, lender, landlord), rng.whole("rent day", 1, 3, who.index)
    made = [Standing.of(np.arange(who.count), Kind.BILL, home, day, -housing, shift=1)]
    for topic, share, low, high, varies in (
        ("power", 1.0, 55, 120, 0.35),
        ("internet", 0.9, 45, 80, 0.0),
        ("phone", 1.0, 30, 85, 0.0),
        ("insurance", 0.8, 70, 150, 0.0),
    ):
        have, key = some(rng, who, f"{topic}/has", share)
        price = to_cents(np.rint(rng.between(f"{topic}/price", low, high, key) * who.comfort[have]) - 0.01)
        # Those who clear their card every month let it pay what takes cards.
        by_card = who.has_card[have] & (who.persona[have] != Persona.CREDIT) & (topic in ("internet", "phone"))
        place, payee = np.where(by_card, Place.CARD, Place.CHECKING), one_of(rng, topic, topic, key)
        day, shift = rng.whole(f"{topic}/day", 4, 27, key), int(topic == "insurance")
        made.append(Standing.of(have, Kind.BILL, payee, day, -price, place=place, varies=varies, shift=shift))
    for topic, group, share, least, most in (
        ("car", "car loans", 0.6, 0.06, 0.10),
        ("health", "health insurance", 0.35, 0.06, 0.12),
    ):
        have, key = some(rng, who, f"{topic}/has", share)
        part = to_cents(np.rint(rng.between(f"{topic}/part", least, most, key) * who.income[have] / 100))
        payee, day = one_of(rng, topic, group, key), rng.whole(f"{topic}/day", 2, 26, key)
        made.append(Standing.of(have, Kind.BILL, payee, day, -part, shift=1))
    if period.days >= DAYS_FOR_QUARTERLY:
        have, key = some(rng, who, "water/has", 0.3)
        day = rng.whole("water/day", 5, 25, key) + 100 * rng.whole("water/month", 1, 3, key)
        payee, volume = one_of(rng, "water", "water", key), to_cents(rng.between("water/price", 60, 140, key))
        made.append(Standing.of(have, Kind.BILL, payee, day, -volume, cadence=Cadence.QUARTERLY, varies=0.2))
    have = np.flatnonzero(who.other == Fourth.STUDENT_LOAN)
    key = who.index[have]
    payee, day = one_of(rng, "lender/student", "student loans", key), rng.whole("student loan/day", 5, 25, key)
    made.append(Standing.of(have, Kind.BILL, payee, day, -student_loan_payment(rng, who, have), shift=1))
    return together(made)


def student_loan_payment(rng: Rng, who: People, holders: Ints) -> Ints:
    """The fixed monthly instalment of a student loan."""
    dollars = rng.between("student loan/price", 120, 260, who.index[holders]) * who.comfort[holders]
    return to_cents(np.rint(dollars))


def subscriptions(rng: Rng, who: People, period: Period) -> Standing:
    """Fixed prices on fixed days: a few for most, half a dozen or more for those who sign up for everything."""
    many = who.persona == Persona.SUBSCRIBER
    gym = np.flatnonzero(many | rng.chance("gym", 0.2, who.index))
    wanted = np.where(many, rng.whole("services/many", 4, 8, who.index), rng.whole("services/few", 0, 2, who.index))
    everyone = np.arange(who.count)
    made = [
        _signed_up(rng, who, period, "gym", "gyms", Cadence.MONTHLY, gym),
        _signed_up(rng, who, period, "services", "monthly services", Cadence.MONTHLY, everyone, wanted),
    ]
    for topic, cadence, share, least_days in (
        ("weekly", Cadence.WEEKLY, 0.12, 0),
        ("quarterly", Cadence.QUARTERLY, 0.25, DAYS_FOR_QUARTERLY),
        ("annual", Cadence.ANNUAL, 0.4, DAYS_FOR_ANNUAL),
    ):
        if period.days >= least_days:
            have, _ = some(rng, who, topic, share)
            made.append(_signed_up(rng, who, period, topic, f"{topic} services", cadence, have))
    return together(made)


def _signed_up(
    rng: Rng, who: People, period: Period, topic: str, group: str, cadence: int, holders: Ints, wanted: Ints | int = 1
) -> Standing:
    """Each holder's own choice of ``wanted`` different services of a group, with a plan and a day."""
    offered = pool.payees(group)
    holder, service = liked_most(rng, who, topic, holders, filled(wanted, holders), len(offered))
    key = who.index[holder]
    plans = max(len(payee.prices) for payee in offered)
    prices = np.array([[payee.prices[n % len(payee.prices)] for n in range(plans)] for payee in offered])
    dollars = prices[service, rng.whole(f"{topic}/plan", 0, plans - 1, key, service)]
    day = rng.whole(f"{topic}/day", 1, 28, key, service)
    if cadence == Cadence.QUARTERLY:
        day = day + 100 * rng.whole(f"{topic}/month", 1, 3, key, service)
    if cadence == Cadence.ANNUAL:
        day = rng.whole(f"{topic}/ago", 0, min(period.days - 380, 360), key, service)
    place = np.where(who.has_card[holder], Place.CARD, Place.CHECKING)
    payee, cents = pool.codes(group)[service], -to_cents(dollars)
    return Standing.of(holder, Kind.SUBSCRIPTION, payee, day, cents, place=place, cadence=cadence)


@dataclass(frozen=True)
class OwnTransfers:
    """Codes of both legs of what customers put aside, in checking and where it arrives."""

    to_savings: int
    into_savings: int
    to_broker: int
    into_broker: int


TIDY_TRANSFERS = OwnTransfers(
    to_savings=pool.code("to savings"),
    into_savings=pool.code("into savings"),
    to_broker=pool.code("to broker"),
    into_broker=pool.code("into broker"),
)


def standing_transfers(
    who: People, saved: Ints, invested: Ints, names: OwnTransfers = TIDY_TRANSFERS
) -> tuple[Standing, Standing]:
    """Monthly amounts set aside, split over paydays, out of checking and into savings and investments."""
    outs, ins = [], []
    for cents, place, away, arrived in (
        (saved, Place.SAVINGS, names.to_savings, names.into_savings),
        (invested, Place.OTHER, names.to_broker, names.into_broker),
    ):
        have = np.flatnonzero(cents > 0)
        # Who is paid once a month still puts money aside twice, at the middle and the end of the month.
        cadence = np.where(who.pay[have] == Cadence.MONTHLY, Cadence.SEMI_MONTHLY, who.pay[have])
        anchor = np.where(cadence == Cadence.BIWEEKLY, 1 + 7 * who.friday[have], 1)
        each = np.rint(cents[have] / TIMES_A_MONTH[cadence] / 500).astype(np.int64) * 500
        outs.append(Standing.of(have, Kind.UNSEEN, away, anchor, -each, cadence=cadence, shift=-1))
        ins.append(Standing.of(have, Kind.UNSEEN, arrived, anchor, each, place=place, cadence=cadence, shift=-1))
    return together(outs), together(ins)


def standing_rows(rng: Rng, who: People, plan: Standing, period: Period) -> tuple[Rows, Ints]:
    """The rows of all arrangements, and how many each has."""
    at, day, ordinal = occurrences(plan.cadence, plan.anchor, period)
    key = (who.index[plan.who[at]], plan.payee[at], ordinal)
    cents = np.rint(plan.cents[at] * (1 + plan.varies[at] * rng.bell("standing/amount", *key))).astype(np.int64)
    day = np.select([plan.shift[at] < 0, plan.shift[at] > 0], [weekday_before(day), weekday_after(day)], day)
    kept = np.flatnonzero(period.covers(day))
    at = at[kept]
    rows = Rows.of(plan.who[at], plan.place[at], day[kept], cents[kept], plan.payee[at])
    return rows, np.bincount(at, minlength=len(plan.who))


@dataclass(frozen=True)
class Payers:
    """Codes of those who pay freelancers: platforms, clients, and clients who order now and then."""

    platforms: Ints
    clients: Ints
    others: Ints


TIDY_PAYERS = Payers(
    pool.codes("platforms"),
    pool.codes("clients"),
    pool.codes("occasional clients"),
)


def freelance_pay(rng: Rng, who: People, period: Period, payers: Payers = TIDY_PAYERS) -> Rows:
    """Pay of freelancers: some jobs pay four times what others do, and weeks may pass in between."""
    paid = np.flatnonzero(who.persona == Persona.FREELANCE)
    pace = rng.whole("jobs/pace", 7, 14, who.index[paid])  # days between jobs
    steps = np.arange(period.days // 7 + 4)
    at, step = (axis.ravel() for axis in np.meshgrid(np.arange(len(paid)), steps, indexing="ij"))
    turn = period.first // pace[at] - 1 + step  # counted from 1970: a longer period only adds older jobs
    key = (who.index[paid[at]], turn)
    day = turn * pace[at] + np.rint(pace[at] * rng.between("jobs/delay", -0.6, 0.6, *key)).astype(np.int64)
    size = np.where(
        turn % 3 == 0, rng.between("jobs/large", 1.7, 2.3, *key), rng.between("jobs/small", 0.35, 0.65, *key)
    )
    typical = who.income[paid[at]] * pace[at] / 30.4375
    group = np.where(
        rng.chance("jobs/platform", 0.4, who.index[paid[at]]),
        chosen(rng, "platform", payers.platforms, who.index[paid[at]]),
        chosen(rng, "client", payers.clients, who.index[paid[at]]),
    )
    second = chosen(rng, "second client", payers.others, who.index[paid[at]])
    payee = np.where(turn % 5 == 4, second, group)
    rows = Rows.of(paid[at], Place.CHECKING, weekday_after(day), np.rint(typical * size).astype(np.int64), payee)
    return rows.only(period.covers(rows.day))


def habit_counts(rng: Rng, who: People, standing: Standing, cards: Cards, period: Period, *, hard: bool) -> Ints:
    """How often each customer does each habit (customers by habits) in the whole period.

    A customer has 190 to 275 rows in 180 days, counting what comes round; habits fill the rest.
    """
    months = period.days * 12 / 365.25
    rounds = np.bincount(standing.who, TIMES_A_MONTH[standing.cadence], minlength=who.count)
    rounds += np.bincount(cards.holder, 2.0 + cards.revolving, minlength=who.count) + who.has_savings
    rounds += np.where(who.persona == Persona.FREELANCE, 1.7, 0.0)
    setting_aside = np.where(who.pay == Cadence.MONTHLY, 2.0, who.times_paid) * 2
    rounds += setting_aside * ((who.persona == Persona.SAVER) + 2.0 * (who.persona == Persona.WEALTHY))
    rows = rng.whole("rows", 190, 275, who.index) * period.days / 180
    habits = np.maximum(rows - rounds * months, 60 * period.days / 180)
    kinds = np.arange(len(pool.HABITS))
    taste = np.array([habit.weight for habit in pool.HABITS]) * rng.between(
        "taste", 0.6, 1.4, who.index[:, None], kinds[None, :]
    )
    exact = habits[:, None] * taste / taste.sum(axis=1, keepdims=True)
    counts: Ints = np.floor(exact + rng.uniform("habit/count", who.index[:, None], kinds[None, :])).astype(np.int64)
    if hard:
        counts[:, 0] = period.days // 7  # the same grocer on the same weekday
    return counts


def habit_costs(counts: Ints, period: Period) -> tuple[Floats, Floats]:
    """What the habits cost a month at plain prices, in cents: what follows the budget, and what does not."""
    mean = np.array([np.mean(h.menu) if h.menu else h.low + 0.4 * (h.high - h.low) for h in pool.HABITS])
    scales = np.array([h.scales for h in pool.HABITS])
    monthly = counts * mean[None, :] * 100 * 365.25 / 12 / period.days
    return monthly[:, scales].sum(axis=1), monthly[:, ~scales].sum(axis=1)


def habit_rows(rng: Rng, who: People, counts: Ints, budget: Floats, period: Period, *, hard: bool) -> tuple[Rows, Ints]:
    """Groceries, coffee, fuel and the rest, and which habit each row is. ``budget`` multiplies the prices."""
    kinds = len(pool.HABITS)
    often = counts.ravel()
    pair = np.repeat(np.arange(len(often)), often)
    slot = np.arange(len(pair)) - np.repeat(np.cumsum(often) - often, often)
    at, kind = pair // kinds, pair % kinds
    key = (who.index[at], kind, slot)
    # One purchase somewhere in each of equally long stretches: habits are loose, but they are habits.
    day = period.first + np.floor((slot + rng.uniform("habit/when", *key)) * period.days / often[pair]).astype(np.int64)
    groceries, coffee = kind == 0, kind == 1
    to_saturday = groceries & rng.chance("habit/weekend", 0.35, *key)
    day = np.where(to_saturday, day + (SATURDAY - weekday(day)) % 7, day)
    day = np.where(coffee & rng.chance("habit/workday", 0.7, *key), weekday_before(day), day)
    if hard:
        usual = rng.whole("habit/weekday", 0, 6, who.index)
        day = np.where(groceries, period.first + slot * 7 + usual[at], day)
    low, high = (np.array([getattr(h, edge) for h in pool.HABITS]) for edge in ("low", "high"))
    scales = np.array([h.scales for h in pool.HABITS])
    u = rng.uniform("habit/amount", *key)
    spread = u * (0.4 + 0.6 * u)  # small amounts are commoner than large ones
    dollars = (low[kind] + (high - low)[kind] * spread) * np.where(scales[kind], budget[at], 1.0)
    cents = to_cents(dollars)
    payee = np.zeros(len(pair), dtype=np.int64)
    for number, habit in enumerate(pool.HABITS):
        mine = np.flatnonzero(kind == number)
        person, turn = who.index[at[mine]], slot[mine]
        favourite = one_of(rng, f"{habit.name}/first", habit.name, person)
        now_and_then = one_of(rng, f"{habit.name}/second", habit.name, person)
        faithful = 1.0 if hard and number == 0 else 0.7
        payee[mine] = np.where(rng.chance(f"{habit.name}/faithful", faithful, person, turn), favourite, now_and_then)
        if habit.menu:
            menu = to_cents(np.array(habit.menu))
            usual_order = rng.whole(f"{habit.name}/order", 0, len(menu) - 1, person)
            today = rng.whole(f"{habit.name}/today", 0, len(menu) - 1, person, turn)
            cents[mine] = menu[np.where(rng.chance(f"{habit.name}/usual", 0.6, person, turn), usual_order, today)]
    may = np.array([h.card for h in pool.HABITS])
    # Those in debt have little room left on the card; the others use it for most things.
    share = np.where(who.has_card, np.where(who.persona == Persona.CREDIT, 0.12, 0.65), 0.0)
    by_card = may[kind] & rng.chance("habit/card", share[at], *key)
    rows = Rows.of(at, np.where(by_card, Place.CARD, Place.CHECKING), day, -cents, payee)
    newest = (day == period.last) & rng.chance("pending/today", 0.9, *key)
    newest |= (day == period.last - 1) & rng.chance("pending/yesterday", 0.5, *key)
    kept = np.flatnonzero(period.covers(day))
    return replace(rows, pending=newest).only(kept), kind[kept]


def refund_rows(rng: Rng, who: People, habits: Rows, kind: Ints, period: Period) -> Rows:
    """Now and then a purchase in a shop goes back, a few days later and in full."""
    shops = np.array([h.name in ("marketplace", "stores") for h in pool.HABITS])
    key = (who.index[habits.who], habits.day, habits.payee, -habits.cents)
    back = np.flatnonzero(shops[kind] & ~habits.pending & rng.chance("refund", 0.04, *key))
    bought = habits.only(back)
    later = rng.whole("refund/after", 3, 12, *(part[back] for part in key))
    returned = replace(bought, day=bought.day + later, cents=-bought.cents)
    return returned.only(period.covers(returned.day))


@dataclass(frozen=True)
class CardState:
    """What the lender would report of each card at the end of the period; cents, days."""

    owed: Ints
    limit: Ints
    statement: Ints
    minimum: Ints
    last_payment: Ints  # -1 where none was made in the period
    due: Ints  # the next due date, or the missed one


@dataclass(frozen=True)
class BankLines:
    """Codes of what a bank itself books: payments of a card in both accounts, interest and fees."""

    card_paid: int  # out of checking
    card_received: int  # on the card
    interest: int
    late: int
    overdraft: int


TIDY_LINES = BankLines(
    card_paid=pool.code("card payment"),
    card_received=pool.code("card payment"),
    interest=pool.code("interest charged"),
    late=pool.code("late"),
    overdraft=pool.code("overdraft"),
)


def card_rows(who: People, cards: Cards, spent: Rows, period: Period, lines: BankLines) -> tuple[Rows, CardState]:
    """Statements, payments in both accounts, interest, and late fees; and the state they leave.

    A statement closes once a month and is due 21 days later. Those who pay in full owe what no payment has
    covered yet; those who revolve owe a share of their limit, pay for interest and most new purchases, and some
    lately only the minimum.
    """
    statements = _statements(who, cards, spent, period)
    owed, limit, interest = statements.owed, statements.limit, statements.interest
    minimum = np.maximum(np.rint(owed[:, None] / 100).astype(np.int64) + interest, 3500)
    position = np.arange(statements.bill.shape[1])[None, :]
    settled = statements.paid_on <= period.last
    newest_settled = np.where(settled, position, -1).max(axis=1)
    lately = position > newest_settled[:, None] - 3
    usual = np.maximum(minimum, interest + np.rint(0.8 * statements.bill).astype(np.int64))
    revolved = np.where(cards.minimum_only[:, None] & lately, minimum, usual)
    payment = np.where(cards.revolving[:, None], revolved, statements.bill)
    missed = cards.overdue[:, None] & (position == newest_settled[:, None])
    made = settled & (statements.paid_on >= period.first) & (payment > 0) & ~missed

    payer, turn = np.nonzero(made)
    paid_on, paid = statements.paid_on[payer, turn], payment[payer, turn]
    debtor, month = np.nonzero((interest > 0) & period.covers(statements.closes))
    late = np.flatnonzero(missed.any(axis=1))
    late_day = statements.paid_on[late, newest_settled[late]] + 3
    late, late_day = late[late_day <= period.last], late_day[late_day <= period.last]
    rows = together(
        [
            Rows.of(cards.holder[payer], Place.CHECKING, paid_on, -paid, lines.card_paid),
            Rows.of(cards.holder[payer], cards.place[payer], paid_on, paid, lines.card_received),
            Rows.of(
                cards.holder[debtor], cards.place[debtor], statements.closes[debtor, month],
                -interest[debtor, month], lines.interest,
            ),
            Rows.of(cards.holder[late], cards.place[late], late_day, np.full(len(late), -2900), lines.late),
        ]
    )  # fmt: skip

    every = np.arange(cards.count)
    newest = np.where(statements.closes <= period.last, position, -1).max(axis=1)
    moved = together([rows.only(rows.place != Place.CHECKING), spent.only(_on_cards(who, cards, spent) >= 0)])
    card = _on_cards(who, cards, moved)
    since = moved.day > statements.closes[every, newest][card]
    change = np.rint(np.bincount(card[since], moved.cents[since], minlength=cards.count)).astype(np.int64)
    statement = np.where(cards.revolving, np.maximum(owed + change, 0), statements.bill[every, newest])
    small = np.minimum(statement, np.maximum(2500, statement // 50))
    last = np.where(made, position, -1).max(axis=1)
    return rows, CardState(
        owed=owed,
        limit=limit,
        statement=statement,
        minimum=np.where(cards.revolving, minimum[every, newest], small),
        last_payment=np.where(last >= 0, payment[every, last], -1),
        due=statements.due[every, (~settled | missed).argmax(axis=1)],
    )


def _on_cards(who: People, cards: Cards, rows: Rows) -> Ints:
    """The card of each row, -1 for what is on no card or has not posted."""
    card_at = np.full((who.count, PLACES), -1)
    card_at[cards.holder, cards.place] = np.arange(cards.count)
    found: Ints = np.where(rows.pending, -1, card_at[rows.who, rows.place])
    return found


@dataclass(frozen=True)
class _Statements:
    """Cards by monthly statements, and what is owed at the end of the period; cents, days."""

    closes: Ints
    due: Ints
    paid_on: Ints
    bill: Ints  # purchases of the month
    interest: Ints
    owed: Ints
    limit: Ints


def _statements(who: People, cards: Cards, spent: Rows, period: Period) -> _Statements:
    """Sum purchases by statement, and settle what is owed at the end."""
    months = np.append(period.months(), period.months()[-1] + 1)
    shape = (cards.count, len(months))
    card = _on_cards(who, cards, spent)
    bought, card = spent.only(card >= 0), card[card >= 0]
    cycle = month_of(bought.day) + (day_of_month(bought.day) > cards.closing_day[card]) - months[0]
    charged = np.bincount(card * shape[1] + cycle, -bought.cents, minlength=shape[0] * shape[1])
    charges = np.rint(charged).astype(np.int64).reshape(shape)

    closes = day_in_month(np.broadcast_to(months, shape), cards.closing_day[:, None])
    opens = day_in_month(np.broadcast_to(months - 1, shape), cards.closing_day[:, None]) + 1
    due = closes + 21
    paid_on = weekday_before(due)
    # Statements that began before the first row also hold purchases nobody sees here, at the usual pace.
    pace = charges.sum(axis=1) / period.days
    unseen = np.clip(np.minimum(closes + 1, period.first) - opens, 0, 31)
    bill = np.maximum(charges + np.rint(pace[:, None] * unseen).astype(np.int64), 0)

    uncovered = np.where(paid_on > period.last, bill, 0).sum(axis=1)
    room = np.maximum(np.rint(uncovered / cards.utilization / 5000) * 5000, 50_000).astype(np.int64)
    limit = np.where(cards.revolving, cards.limit, room)
    owed = np.where(cards.revolving, np.rint(limit * cards.utilization).astype(np.int64), uncovered)
    grown = 0.85 + 0.15 * np.clip((closes - period.first) / period.days, 0, 1)
    interest = np.rint(owed[:, None] * cards.apr[:, None] / 1200 * grown).astype(np.int64)
    return _Statements(closes, due, paid_on, bill, np.where(cards.revolving[:, None], interest, 0), owed, limit)


def savings_interest(rng: Rng, who: People, before: Ints, period: Period, code: int) -> Rows:
    """What a savings account earns at the end of each month, on what lay there ``before`` the period."""
    have = np.flatnonzero(who.has_savings)
    months = period.months()
    days = day_in_month(months, np.full(len(months), 31))
    days = days[period.covers(days)]
    at = np.repeat(have, len(days))
    rate = rng.between("savings/rate", 0.004, 0.035, who.index[at])
    cents = np.maximum(np.rint(before[at] * rate / 12).astype(np.int64), 1)
    return Rows.of(at, Place.SAVINGS, np.tile(days, len(have)), cents, code)


def overdraft_fees(checking: Rows, balance: Ints, code: int) -> Rows:
    """A fee on each day on which an account slips below zero; rows and balances in the order they happened."""
    earlier = np.roll(balance, 1)
    same = np.roll(checking.who, 1) == checking.who
    if len(same):
        same[0] = False
    slipped = np.flatnonzero((balance < 0) & same & (earlier >= 0))
    found = checking.only(slipped)
    return Rows.of(found.who, Place.CHECKING, found.day, np.full(len(slipped), -3400), code)
