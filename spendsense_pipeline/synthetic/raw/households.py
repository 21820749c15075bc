"""What households do with money in raw exports: the arrangements and habits of a country's file, as rows.

Columns of whole numbers as in ``behaviour``; loops run over lines of the file, never over customers. What does not
belong here: balances and truth (``customers``), and text (``printing``).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from spendsense_pipeline.synthetic import trouble
from spendsense_pipeline.synthetic.behaviour import (
    ALWAYS,
    Columns,
    Rows,
    chosen,
    day_within,
    liked_most,
    to_cents,
    together,
)
from spendsense_pipeline.synthetic.cast import IRREGULAR, People, Persona, Place
from spendsense_pipeline.synthetic.raw.country import BY_CARD, Arrangement, Country, RawHabit
from spendsense_pipeline.synthetic.rng import Flags, Floats, Ints, Rng
from spendsense_pipeline.synthetic.schedule import (
    CADENCES,
    MONTHS_APART,
    Cadence,
    Period,
    month_of,
    occurrences,
    open_days,
)

PAY: Final = Arrangement("employer", "income", "by person", "payroll", rise=0.25)
SPLIT_PAY: Final = replace(PAY, group="employer's part for savings")
LENT_STEP: Final = 1000
"""Cents of which what is lent is a multiple; what is paid back beyond one is the tip."""
DAYS_APART: Final = np.array([7, 14, 365.25 / 24, 365.25 / 12, 365.25 / 4, 365.25, 28, 365.25 / 6, 365.25 / 2])


@dataclass(frozen=True)
class Plans(Columns):
    """Arrangements of one block of customers; ``rule`` is a position in ``rules``, money in cents, landing sign."""

    who: Ints
    place: Ints
    payee: Ints
    rule: Ints
    cadence: Ints
    anchor: Ints  # see schedule.occurrences
    cents: Ints  # today's price
    begins: Ints
    ends: Ints


Household = dict[str, Flags]
"""Customers by what decides which lines of the file concern them: ``whose``."""


def household(rng: Rng, who: People) -> Household:
    """Owners and renters, parents, drivers, pensioners, those who work for themselves or have no card here."""
    key, persona = who.index, who.persona
    owner = (persona == Persona.WEALTHY) | ((persona == Persona.SAVER) & rng.chance("raw/owner", 0.4, key))
    retired = ~np.isin(persona, (Persona.WEALTHY, Persona.FREELANCE)) & rng.chance("raw/retired", 0.07, key)
    return {
        "everyone": np.ones(who.count, dtype=np.bool_),
        "owner": owner,
        "renter": ~owner,
        "parent": ~retired & rng.chance("raw/parent", 0.3, key),
        "driver": rng.chance("raw/driver", 0.7, key),
        "retired": retired,
        "freelance": persona == Persona.FREELANCE,
        "cardless": ~who.has_card,
        "short": np.isin(persona, (Persona.CREDIT, Persona.FREELANCE, Persona.SUBSCRIBER)),
    }


def working_days(day: Ints, roll: str, country: Country, period: Period) -> Ints:
    """The day itself where banks are open, else the open day before (``backward``) or after (``forward``)."""
    months = period.months() // 12
    years = range(int(months[0]) + 1969, int(months[-1]) + 1972)
    closed = np.array([f"{year}-{day}" for year in years for day in country.holidays], dtype="datetime64[D]")
    return open_days(day, roll, closed)


def plans_of(
    rng: Rng, who: People, home: Household, country: Country, period: Period
) -> tuple[Plans, list[Arrangement]]:
    """The arrangements of all customers, and the rules that ``Plans.rule`` points at."""
    rules = [*country.arrangements, PAY, SPLIT_PAY]
    made = [_arranged(rng, who, home, country, period, number) for number in range(len(country.arrangements))]
    made += _paid(rng, who, home, country, len(rules) - 2)
    return together(made), rules


def _paid(rng: Rng, who: People, home: Household, country: Country, rule: int) -> list[Plans]:
    """Pay in one sum, or with a part of it sent to savings."""
    paid = np.flatnonzero((who.pay != IRREGULAR) & ~home["retired"])
    key, pay = who.index[paid], who.pay[paid]
    day = np.array(country.paydays)[rng.whole("raw/payday", 0, len(country.paydays) - 1, key)]
    anchor = np.select([pay == Cadence.WEEKLY, pay == Cadence.BIWEEKLY], [1, 1 + 7 * who.friday[paid]], day)
    cents = np.rint(who.income[paid] / who.times_paid[paid]).astype(np.int64)
    splits = np.isin(who.persona[paid], (Persona.SAVER, Persona.WEALTHY)) & rng.chance("raw/split pay", 0.2, key)
    part = np.where(splits, np.rint(cents * 0.15 / 500).astype(np.int64) * 500, 0)
    payee = chosen(rng, "raw/employer", country.codes("employer", "payroll"), key)
    whole = Plans(
        paid, np.full(len(paid), Place.CHECKING), payee, np.full(len(paid), rule), pay, anchor, cents - part,
        np.full(len(paid), -ALWAYS), np.full(len(paid), ALWAYS),
    )  # fmt: skip
    saved = whole.only(splits)
    count = len(saved.who)
    return [whole, replace(saved, place=np.full(count, Place.SAVINGS), rule=saved.rule + 1, cents=part[splits])]


def _arranged(rng: Rng, who: People, home: Household, country: Country, period: Period, number: int) -> Plans:
    rule = country.arrangements[number]
    topic = f"raw/{number}/{rule.group}"
    have = home[rule.whose] & rng.chance(f"{topic}/has", rule.share, who.index)
    have |= (who.persona == Persona.SUBSCRIBER) & rule.keen
    if rule.slot:
        drawn = rng.uniform(f"raw/slot/{rule.slot}", who.index)
        have &= (drawn >= rule.part[0]) & (drawn < rule.part[1])
    plain = country.codes(rule.group, rule.channel, rule)
    at, turn = _holders(rng, who, rule, topic, np.flatnonzero(have), len(plain))
    key = (who.index[at], turn)
    by_card = rng.chance(f"{topic}/by card", rule.by_card, *key)
    by_hand = country.codes(rule.group, "card_online", rule) if rule.by_card else plain
    payee = np.where(by_card, by_hand[turn], plain[turn])
    cadence = CADENCES.index(rule.cadence)
    sign = 1 if rule.kind == "income" else -1
    channel_by_card = by_card | (rule.channel in BY_CARD)
    # Those who revolve keep the card for little; the others let it pay what takes cards.
    place = np.where(
        channel_by_card & who.has_card[at] & (who.persona[at] != Persona.CREDIT), Place.CARD, Place.CHECKING
    )
    begins, ends = _span(rng, who, rule, topic, at, turn, cadence, period)
    menus = [country.payees[code].prices for code in plain.tolist()]
    price = _price(rng, who, rule, topic, at, turn, menus)
    return Plans(
        at, place, payee, np.full(len(at), number), np.full(len(at), cadence),
        _anchor(rng, rule, topic, key, cadence, period), sign * price, begins, ends,
    )  # fmt: skip


def _holders(rng: Rng, who: People, rule: Arrangement, topic: str, have: Ints, offered: int) -> tuple[Ints, Ints]:
    """Each holder as often as he has signed up, and the payee's position in its group, never the same one twice."""
    if rule.few == (1, 1):
        return have, rng.whole(f"{topic}/payee", 0, offered - 1, who.index[have])
    low, high = (
        np.where(who.persona[have] == Persona.SUBSCRIBER, rule.many[end], rule.few[end]) for end in (0, 1)
    )  # fmt: skip
    wanted = rng.whole(f"{topic}/wanted", low, high, who.index[have])
    return liked_most(rng, who, topic, have, wanted, offered)


def _price(
    rng: Rng, who: People, rule: Arrangement, topic: str, at: Ints, turn: Ints, menus: list[tuple[float, ...]]
) -> Ints:
    key = (who.index[at], turn)
    if rule.of_income != (0.0, 0.0):
        dollars = who.income[at] / 100 * rng.between(f"{topic}/part", *rule.of_income, *key)
    elif rule.price != (0.0, 0.0):
        dollars = rng.between(f"{topic}/price", *rule.price, *key)
        dollars = dollars * who.comfort[at] if rule.scales else dollars
    else:
        offers = [rule.prices or prices for prices in menus]
        most = max(map(len, offers))
        menu = np.array([[prices[n % len(prices)] for n in range(most)] for prices in offers])
        dollars = menu[turn, rng.whole(f"{topic}/plan", 0, most - 1, *key)]
    if rule.whole:
        dollars = np.rint(dollars)
    if rule.fives:
        dollars = np.maximum(np.rint(dollars / 5) * 5, 5)
    if rule.nines:
        dollars = np.rint(dollars) - 0.01
    return to_cents(dollars)


def _anchor(rng: Rng, rule: Arrangement, topic: str, key: tuple[Ints, Ints], cadence: int, period: Period) -> Ints:
    if cadence in (Cadence.WEEKLY, Cadence.BIWEEKLY, Cadence.FOUR_WEEKLY):
        return rng.whole(f"{topic}/day", 0, 27, *key)
    if cadence == Cadence.ANNUAL:
        # Where the history allows two renewals, most have had them.
        twice = rng.whole(f"{topic}/ago", 0, max(period.days - 372, 0), *key)
        return np.where(rng.chance(f"{topic}/twice", 0.7, *key), twice, rng.whole(f"{topic}/once", 0, 364, *key))
    day = rng.whole(f"{topic}/day", *rule.days, *key)
    apart = MONTHS_APART.get(cadence, 0)
    return day + 100 * rng.whole(f"{topic}/month", 1, apart, *key) if apart else day


def _span(
    rng: Rng, who: People, rule: Arrangement, topic: str, at: Ints, turn: Ints, cadence: int, period: Period
) -> tuple[Ints, Ints]:
    """From when to when an arrangement is due: sign-ups, cancellations, and instalments that end by themselves."""
    key = (who.index[at], turn)
    begins, ends = np.full(len(at), -ALWAYS), np.full(len(at), ALWAYS)
    when = day_within(rng, f"{topic}/when", period, 0.0, 0.6, *key)
    if rule.instalments:
        return when, when + round(rule.instalments * DAYS_APART[cadence])
    # Those who sign up for everything also keep it.
    less = np.where(who.persona[at] == Persona.SUBSCRIBER, 0.3, 1.0)
    until = day_within(rng, f"{topic}/until", period, 0.45, 1.0, *key)
    begins = np.where(rng.chance(f"{topic}/signup", rule.signup * less, *key), when, begins)
    ends = np.where(rng.chance(f"{topic}/cancel", rule.cancel * less, *key), until, ends)
    return begins, ends


def plan_rows(
    rng: Rng, who: People, plans: Plans, rules: list[Arrangement], country: Country, period: Period
) -> tuple[Rows, Ints, Plans]:
    """The rows of all arrangements, the arrangement of each, and the arrangements at their last price."""
    at, due, ordinal = occurrences(plans.cadence, plans.anchor, period)

    def of(name: str) -> Floats:
        column = np.array([float(getattr(rule, name)) for rule in rules])
        return column[plans.rule]

    key = (who.index[plans.who], plans.payee, plans.rule)
    row_key = (key[0][at], key[1][at], ordinal)
    price = _prices(rng, plans, of, key, at, due, ordinal, period)
    season = np.where(of("seasonal")[at] > 0, np.abs((due % 365) / 182.5 - 1), 0.5) * 0.5 + 0.75
    cents = np.rint(price * (1 + of("varies")[at] * rng.bell("raw/amount", *row_key)) * season).astype(np.int64)

    channel = np.array([payee.channel for payee in country.payees])[plans.payee]
    by_card, income = np.isin(channel, tuple(BY_CARD)), np.isin(channel, ("payroll", "benefit"))
    delay = np.where(
        by_card[at], rng.whole("raw/posted", 0, 2, *row_key), rng.chance("raw/late", 0.15, *row_key).astype(np.int64)
    )
    day = np.where(
        income[at],
        working_days(due, "backward", country, period),
        working_days(due + np.where(income[at], 0, delay), "forward", country, period),
    )
    months_off = np.array([[month in rule.months_off for month in range(1, 13)] for rule in rules], dtype=np.bool_)
    happened = period.covers(day) & (due >= plans.begins[at]) & (due < plans.ends[at])
    happened &= ~months_off[plans.rule[at], month_of(due) % 12]
    kept = np.flatnonzero(happened)
    at, day, cents, price = at[kept], day[kept], cents[kept], price[kept]
    newest = np.argsort(day, kind="stable")
    last = plans.cents.copy()
    paid = newest[cents[newest] != 0]
    last[at[paid]] = price[paid]
    rows = Rows.of(plans.who[at], plans.place[at], day, cents, plans.payee[at])
    return rows, at, replace(plans, cents=last)


def _prices(
    rng: Rng,
    plans: Plans,
    of: Callable[[str], Floats],
    key: tuple[Ints, Ints, Ints],
    at: Ints,
    due: Ints,
    ordinal: Ints,
    period: Period,
) -> Ints:
    """What each arrangement costs on a day: dearer since some day, or at each renewal, or as a currency moves."""
    when = day_within(rng, "raw/rise/when", period, 0.3, 0.65, *key)
    rises = rng.chance("raw/rise", of("rise"), *key)
    before = plans.cents / rng.between("raw/rise/by", 1.03, 1.2, *key)
    price = np.where(rises[at] & (due < when[at]), before[at], plans.cents[at])
    # Annual ordinals count back from the newest; those of months count forward.
    ago = np.where(plans.cadence[at] == Cadence.ANNUAL, ordinal, (month_of(np.full(1, period.last))[0] - ordinal) // 6)
    price = price / (1 + of("step")[at] * rng.uniform("raw/step", *key)[at]) ** np.maximum(ago, 0)
    # An exchange rate goes up and down again within some nine months, and a little to and fro.
    phase = (ordinal + rng.whole("raw/drift/phase", 0, 8, *key)[at]) % 9
    wave = np.abs(phase / 4.5 - 1) * 2 - 1 + 0.15 * rng.bell("raw/drift/daily", key[0][at], ordinal)
    price = price * (1 + of("drift")[at] * wave)
    introduced = rng.chance("raw/intro", of("intro"), *key) & (plans.begins > period.first)
    early = introduced[at] & (due < plans.begins[at] + 31)
    little = np.where(rng.chance("raw/intro/free", 0.4, *key), 0.0, plans.cents * 0.3)
    made: Ints = np.rint(np.where(early, little[at], price)).astype(np.int64)
    return made


def habit_counts(rng: Rng, who: People, home: Household, country: Country, period: Period) -> list[Ints]:
    """How often each customer does each habit of the file in the whole period."""
    counts = []
    for number, habit in enumerate(country.habits):
        topic = f"raw/habit/{number}"
        have = home[habit.whose] & rng.chance(f"{topic}/has", habit.share, who.index)
        apart = rng.between(f"{topic}/gap", *habit.gap, who.index) if not habit.every else float(habit.every)
        counts.append(np.where(have, np.floor(period.days / apart), 0).astype(np.int64))
    return counts


def habit_costs(counts: list[Ints], country: Country, period: Period) -> tuple[Floats, Floats]:
    """What the habits cost a month in cents: what follows the budget, and what does not."""
    months = period.days * 12 / 365.25
    scaling, plain = np.zeros(len(counts[0])), np.zeros(len(counts[0]))
    for habit, often in zip(country.habits, counts, strict=True):
        if habit.channel == "person_in":
            continue
        mean = float(np.mean(habit.menu)) if habit.menu else habit.price[0] + 0.4 * (habit.price[1] - habit.price[0])
        cost = often * mean * 100 / months
        if habit.scales:
            scaling += cost
        else:
            plain += cost
    return scaling, plain


def habit_rows(rng: Rng, who: People, counts: list[Ints], budget: Floats, country: Country, period: Period) -> Rows:
    """All purchases from habit, some not posted yet, and what went back to the shop."""
    parts = []
    for number, (habit, often) in enumerate(zip(country.habits, counts, strict=True)):
        bought = _bought(rng, who, habit, f"raw/habit/{number}", often, budget, country, period)
        parts.append(bought)
        if habit.refund:
            key = (who.index[bought.who], bought.day, -bought.cents)
            back = bought.only(~bought.pending & rng.chance(f"raw/refund/{number}", habit.refund, *key))
            later = rng.whole("raw/refund/after", 3, 12, who.index[back.who], back.day)
            back = replace(back, day=back.day + later, cents=-back.cents, payee=country.twin(back.payee, "refund"))
            parts.append(back.only(period.covers(back.day)))
    return together(parts)


def _bought(
    rng: Rng, who: People, habit: RawHabit, topic: str, often: Ints, budget: Floats, country: Country, period: Period
) -> Rows:
    at = np.repeat(np.arange(who.count), often)
    slot = np.arange(len(at)) - np.repeat(np.cumsum(often) - often, often)
    key = (who.index[at], slot)
    if habit.every:
        day = period.first + slot * habit.every + rng.whole(f"{topic}/weekday", 0, habit.every - 1, who.index)[at]
    else:
        within = np.floor((slot + rng.uniform(f"{topic}/when", *key)) * period.days / np.maximum(often, 1)[at])
        day = period.first + within.astype(np.int64)
    if habit.menu:
        menu = to_cents(np.array(habit.menu))
        usual = rng.whole(f"{topic}/usual", 0, len(menu) - 1, who.index)[at]
        today = rng.whole(f"{topic}/today", 0, len(menu) - 1, *key)
        cents = menu[np.where(rng.chance(f"{topic}/as usual", habit.usual, *key), usual, today)]
    else:
        low, high = habit.price
        u = rng.uniform(f"{topic}/amount", *key)
        cents = to_cents((low + (high - low) * u * (0.4 + 0.6 * u)) * (budget[at] if habit.scales else 1.0))
    codes = country.codes(habit.group, habit.channel)
    first, second = (chosen(rng, f"{topic}/{turn}", codes, who.index)[at] for turn in ("first", "second"))
    loyal = rng.chance(f"{topic}/loyal", habit.loyal, *key)
    elsewhere = chosen(rng, f"{topic}/elsewhere", codes, *key) if habit.group.startswith("person") else second
    payee = np.where(loyal, first, elsewhere)
    share = np.where(who.has_card, np.where(who.persona == Persona.CREDIT, 0.1, 0.6), 0.0)
    by_card = rng.chance(f"{topic}/card", share[at], *key) & (habit.channel in BY_CARD)
    sign = 1 if habit.channel == "person_in" else -1
    rows = Rows.of(at, np.where(by_card, Place.CARD, Place.CHECKING), day, sign * cents, payee)
    if habit.channel in BY_CARD:
        newest = (day == period.last) & rng.chance(f"{topic}/pending", 0.9, *key)
        newest |= (day == period.last - 1) & rng.chance(f"{topic}/pending/before", 0.5, *key)
        rows = replace(rows, pending=newest)
    return rows.only(period.covers(day))


def mishaps(rng: Rng, who: People, rows: Rows, country: Country, period: Period) -> Rows:
    """Debits returned unpaid with a fee, half of them tried again, and some of the fees given back."""
    debit = country.is_in(frozenset({"debit"}))[rows.payee]
    short = np.isin(who.persona, (Persona.CREDIT, Persona.FREELANCE))[rows.who]
    key = (who.index[rows.who], rows.day, rows.payee)
    bad = rows.only(debit & short & rng.chance("raw/returned", 0.015, *key))
    key = (who.index[bad.who], bad.day, bad.payee)
    returned = replace(
        bad, day=working_days(bad.day + 1, "forward", country, period), cents=-bad.cents,
        payee=country.twin(bad.payee, "returned"),
    )  # fmt: skip
    nsf = country.line("nsf", "penalty")
    fee = Rows.of(bad.who, Place.CHECKING, returned.day, -rng.whole("raw/nsf", 5, 34, bad.payee) * 100, nsf)
    back = replace(
        fee, day=working_days(fee.day + rng.whole("raw/nsf/after", 2, 9, *key), "forward", country, period),
        cents=-fee.cents, payee=country.twin(fee.payee, "penalty_back"),
    ).only(rng.chance("raw/nsf/back", 0.3, *key))  # fmt: skip
    again = replace(
        bad, day=working_days(bad.day + rng.whole("raw/again", 4, 7, *key), "forward", country, period)
    ).only(rng.chance("raw/tried again", 0.5, *key))
    made = together([returned, fee, back, again])
    return made.only(period.covers(made.day))


def foreign_fees(rng: Rng, who: People, rows: Rows, country: Country) -> Rows:
    """A fee of the bank beside each charge in another currency, at most banks."""
    abroad = np.isin(rows.payee, country.codes("foreign", "card_online"))
    charged = rows.only(
        abroad & (who.persona != Persona.WEALTHY)[rows.who] & rng.chance("raw/fx", 0.5, who.index)[rows.who]
    )
    cents = np.minimum(np.rint(charged.cents * 0.03).astype(np.int64), -1)
    return Rows.of(charged.who, charged.place, charged.day, cents, country.line("fx_fee", "service_fee"))


def now_and_then(rng: Rng, who: People, home: Household, plans: Plans, country: Country, period: Period) -> Rows:
    """A bonus a year, expenses given back, a tax refund, and advances on pay that are paid back with a tip."""
    wages = np.flatnonzero(country.is_in(frozenset({"payroll"}))[plans.payee] & (plans.place == Place.CHECKING))
    parts = []
    given = wages[rng.chance("raw/bonus", 0.4, who.index[plans.who[wages]])]
    key = who.index[plans.who[given]]
    day = working_days(period.last - rng.whole("raw/bonus/when", 0, 364, key), "forward", country, period)
    cents = np.rint(plans.cents[given] * rng.between("raw/bonus/size", 0.3, 2.5, key)).astype(np.int64)
    parts.append(Rows.of(plans.who[given], Place.CHECKING, day, cents, plans.payee[given]))
    for topic, share, pace, low, high in (("expenses", 0.1, 24, 20, 400), ("tax_refund", 0.35, 365, 200, 2400)):
        have = np.flatnonzero(rng.chance(f"raw/{topic}", share, who.index) & ~home["retired"])
        at, day, cents = trouble.now_and_then(rng, who, f"raw/{topic}", have, pace, period, low, high)
        payee = chosen(rng, f"raw/{topic}/who", country.codes(topic, topic), who.index[at])
        parts.append(Rows.of(at, Place.CHECKING, working_days(day, "forward", country, period), cents, payee))
    # Small sums lent until the next pay, and taken back with a tip.
    short = np.isin(who.persona, (Persona.CREDIT, Persona.FREELANCE)) & rng.chance("raw/advance", 0.12, who.index)
    have = np.flatnonzero(short)
    at, turn = (axis.ravel() for axis in np.meshgrid(have, np.arange(period.days // 21 + 1), indexing="ij"))
    of_turn = (who.index[at], turn)
    day = period.first + turn * 21 + rng.whole("raw/advance/when", 0, 9, *of_turn)
    cents = rng.whole("raw/advance/size", 2, 10, *of_turn) * LENT_STEP
    tip = rng.whole("raw/advance/tip", 0, 4, *of_turn) * 100
    payee = chosen(rng, "raw/advance/who", country.codes("advance", "advance_in"), who.index[at])
    lent = Rows.of(at, Place.CHECKING, working_days(day, "forward", country, period), cents, payee)
    due = working_days(day + rng.whole("raw/advance/after", 7, 10, *of_turn), "forward", country, period)
    back = Rows.of(at, Place.CHECKING, due, -(cents + tip), country.twin(payee, "advance_out"))
    # What is still open on the last day was lent all the same.
    made = together([*parts, lent, back])
    return made.only(period.covers(made.day))
