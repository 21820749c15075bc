"""What makes real accounts hard to read: the additions of the hard setting, planted as behaviour.

Banks post on working days, cards a day or two late; a payment that failed is tried again; people sign up, cancel,
change plans and cards, are charged twice and get it back; employers merge, pay bonuses and expenses; small purchases
come round at one price without being anything signed up for. Nothing here knows what a detector looks for.

What does not belong here: the tidy life (``behaviour.py``), and how names are spelled (``payee_pool.py``).
"""

from dataclasses import replace

import numpy as np
from pandas.tseries.holiday import USFederalHolidayCalendar

from spendsense_pipeline.synthetic import payee_pool as pool
from spendsense_pipeline.synthetic.behaviour import Kind, Rows, Standing, day_within, one_of, some, to_cents, together
from spendsense_pipeline.synthetic.cast import People, Persona, Place
from spendsense_pipeline.synthetic.rng import Flags, Ints, Rng
from spendsense_pipeline.synthetic.schedule import Cadence, Period, occurrences, open_days, weekday


def working_day(day: Ints, roll: str, period: Period) -> Ints:
    """The day itself where banks are open, else the open day before (``backward``) or after (``forward``)."""
    first, last = (np.datetime64(period.first - 60, "D"), np.datetime64(period.last + 60, "D"))
    closed = USFederalHolidayCalendar().holidays(str(first), str(last)).to_numpy().astype("datetime64[D]")
    return open_days(day, roll, closed)


def arrangements(rng: Rng, who: People, plan: Standing, period: Period) -> Standing:
    """The tidy arrangements with beginnings and ends, renamed and split pay, and what else comes round."""
    plan = _sometimes_ended(rng, who, plan, period)
    # Pay by the hour with overtime, power by the weather.
    by_the_hour = rng.chance("by the hour", 0.3, *_event_key(who, plan))
    hourly = (plan.kind == Kind.INCOME) & ((plan.cadence == Cadence.WEEKLY) | by_the_hour)
    varies = np.where(hourly, 0.22, plan.varies)
    plan = replace(plan, varies=np.where((plan.kind == Kind.BILL) & (plan.varies > 0), 0.4, varies))
    have, key = some(rng, who, "roommate", 0.1)
    part = -np.rint(who.income[have] * 0.08 / 500).astype(np.int64) * 500
    payee, day = one_of(rng, "roommate/name", "roommates", key), rng.whole("roommate/day", 1, 5, key)
    return together(
        [
            *_employers_merged(rng, who, plan, period),
            _second_jobs(rng, who),
            _of_shared_sellers(rng, who),
            Standing.of(have, Kind.BILL, payee, day, part),  # of the household's costs, sent to somebody
            *_passes_and_routines(rng, who),
        ]
    )


def _event_key(who: People, plan: Standing) -> tuple[Ints, Ints]:
    return who.index[plan.who], plan.payee


def _sometimes_ended(rng: Rng, who: People, plan: Standing, period: Period) -> Standing:
    """Subscriptions are signed up for and cancelled; three in ten begin, two in ten end, while we look."""
    key = _event_key(who, plan)
    may = (plan.kind == Kind.SUBSCRIPTION) & np.isin(plan.cadence, (Cadence.WEEKLY, Cadence.MONTHLY))
    begins = day_within(rng, "signed up/when", period, 0.0, 0.6, *key)
    ends = day_within(rng, "cancelled/when", period, 0.4, 1.0, *key)
    return replace(
        plan,
        begins=np.where(may & rng.chance("signed up", 0.3, *key), begins, plan.begins),
        ends=np.where(may & rng.chance("cancelled", 0.2, *key), ends, plan.ends),
    )


def _employers_merged(rng: Rng, who: People, plan: Standing, period: Period) -> list[Standing]:
    """One employer in ten goes on under another name; one saver in four has a part of the pay sent there."""
    key = _event_key(who, plan)
    pay = plan.kind == Kind.INCOME
    when = day_within(rng, "merger/when", period, 0.3, 0.7, *key)
    merged = pay & rng.chance("merger", 0.1, *key)
    saves = np.isin(who.persona[plan.who], (Persona.SAVER, Persona.WEALTHY))
    split = pay & ~merged & saves & rng.chance("split pay", 0.25, *key)
    aside = np.rint(plan.cents * 0.15 / 500).astype(np.int64) * 500
    before = replace(
        plan,
        ends=np.where(merged, when, plan.ends),
        cents=np.where(split, plan.cents - aside, plan.cents),
    )
    after = plan.only(merged)
    after = replace(
        after, payee=one_of(rng, "merger/name", "merged employers", who.index[after.who]), begins=when[merged]
    )
    put_by = plan.only(split)
    put_by = replace(
        put_by, place=np.full(len(put_by.who), Place.SAVINGS), cents=aside[split], varies=np.zeros(len(put_by.who))
    )
    return [before, after, put_by]


def _second_jobs(rng: Rng, who: People) -> Standing:
    """One salaried person in eight works evenings elsewhere, paid as often, on another weekday or date, by the hour."""
    have = np.flatnonzero((who.persona != Persona.FREELANCE) & rng.chance("second job", 0.12, who.index))
    key, pay = who.index[have], who.pay[have]
    monthly_day = rng.whole("second job/day", 5, 20, key)
    days = np.select([pay == Cadence.WEEKLY, pay == Cadence.BIWEEKLY], [6, 6 + 7 * (1 - who.friday[have])], monthly_day)
    cadence = np.where(np.isin(pay, (Cadence.WEEKLY, Cadence.BIWEEKLY)), pay, Cadence.MONTHLY)
    cents = np.rint(who.income[have] * 0.2 / np.array([4.35, 2.17, 2.0, 1.0])[cadence]).astype(np.int64)
    payee = one_of(rng, "second job/name", "second employers", key)
    return Standing.of(have, Kind.INCOME, payee, days, cents, cadence=cadence, varies=0.18, shift=-1)


def _of_shared_sellers(rng: Rng, who: People) -> Standing:
    """Storage and music billed by Apple under one name, Prime by the marketplace at which people also shop."""
    made = []
    for topic, seller, plan, share in (
        ("apple/storage", "apple", 0, 0.3),
        ("apple/music", "apple", 1, 0.2),
        ("prime", "prime", 0, 0.3),
    ):
        have, key = some(rng, who, topic, share)
        cents = -to_cents(np.full(len(have), pool.ALL[pool.code(seller)].prices[plan]))
        place = np.where(who.has_card[have], Place.CARD, Place.CHECKING)
        day = rng.whole(f"{topic}/day", 1, 28, key)
        made.append(Standing.of(have, Kind.SUBSCRIPTION, pool.code(seller), day, cents, place=place))
    return together(made)


def _passes_and_routines(rng: Rng, who: People) -> list[Standing]:
    """What comes round to the day and is nothing signed up for: transit passes, parking, lunch and fuel."""
    made = []
    for topic, group, share, cadence, low, high, varies in (
        ("pass", "transit", 0.15, Cadence.MONTHLY, 60, 120, 0.0),
        ("parking", "parking", 0.08, Cadence.WEEKLY, 12, 25, 0.0),
        ("lunch", "lunch", 0.2, Cadence.WEEKLY, 9, 14, 0.0),
        ("fill up", "fuel", 0.3, Cadence.BIWEEKLY, 35, 50, 0.23),
    ):
        have, key = some(rng, who, f"{topic}/has", share)
        cents = -to_cents(np.rint(rng.between(f"{topic}/price", low, high, key)) - 0.01)
        day = rng.whole(f"{topic}/day", 1, 28, key)
        payee = one_of(rng, topic, group, key)
        made.append(Standing.of(have, Kind.UNSEEN, payee, day, cents, cadence=cadence, varies=varies))
    return made


def unnamed_transfers(rng: Rng, who: People, plan: Standing, name: str) -> Standing:
    """Half the banks say neither category nor name of a transfer to the customer's own savings."""
    unnamed = rng.chance("unnamed transfer", 0.5, who.index[plan.who])
    to_savings = np.isin(plan.payee, pool.codes("to savings", "into savings"))
    return replace(plan, payee=np.where(unnamed & to_savings, pool.code(name), plan.payee))


def standing_rows(rng: Rng, who: People, plan: Standing, period: Period) -> tuple[Rows, Ints, Standing]:
    """The rows of all arrangements, late, missing, dearer, from another card; how many each has; at the last price."""
    at, due, ordinal = occurrences(plan.cadence, plan.anchor, period)
    key = (who.index[plan.who[at]], plan.payee[at], ordinal)
    base = _price_on(rng, who, plan, at, due, period)
    varying = plan.varies[at] * rng.bell("standing/amount", *key)
    # Twice as much in the middle of winter as in the middle of summer, as far as a bill follows the weather.
    season = (
        np.where((plan.kind[at] == Kind.BILL) & (plan.varies[at] > 0.3), np.abs((due % 365) / 182.5 - 1), 0.5) * 0.5
    )
    cents = np.rint(base * (1 + varying) * (0.75 + season)).astype(np.int64)

    kind = plan.kind[at]
    slow = (
        np.isin(plan.cadence[at], (Cadence.MONTHLY, Cadence.QUARTERLY)) & (kind != Kind.UNSEEN) & (kind != Kind.INCOME)
    )
    drift = np.where(
        kind == Kind.SUBSCRIPTION,
        rng.whole("posted after", 0, 2, *key),
        np.rint(2.4 * rng.bell("standing/drift", *key)).astype(np.int64),
    )
    retried = slow & rng.chance("tried again", 0.02, *key)
    day = due + np.where(slow, drift, 0) + np.where(retried, rng.whole("tried again/after", 4, 9, *key), 0)
    day = np.where(kind == Kind.INCOME, working_day(day, "backward", period), working_day(day, "forward", period))
    happened = period.covers(day) & (due >= plan.begins[at]) & (due < plan.ends[at])
    happened &= ~_rows_left_out(rng, who, plan, at, due, period) & ~(
        (kind == Kind.INCOME) & rng.chance("unpaid leave", 0.02, *key)
    )
    kept = np.flatnonzero(happened)
    at = at[kept]
    place = plan.place[at]
    # Some pay a subscription from the account instead of the card from some day on.
    of_plan = _event_key(who, plan)
    switched = (plan.kind == Kind.SUBSCRIPTION) & (plan.place == Place.CARD)
    switched &= rng.chance("card switched", 0.15, *of_plan)
    since = day_within(rng, "card switched/when", period, 0.3, 0.7, *of_plan)
    place = np.where(switched[at] & (day[kept] >= since[at]), Place.CHECKING, place)
    rows = Rows.of(plan.who[at], place, day[kept], cents[kept], plan.payee[at])
    last = plan.cents.copy()
    last[at[np.argsort(day[kept], kind="stable")]] = base[kept][np.argsort(day[kept], kind="stable")]
    return rows, np.bincount(at, minlength=len(plan.who)), replace(plan, cents=last)


def _price_on(rng: Rng, who: People, plan: Standing, at: Ints, day: Ints, period: Period) -> Ints:
    """What an arrangement costs on a day: less before prices rose, another plan before, little at the beginning."""
    key = _event_key(who, plan)
    fixed = (
        (plan.varies == 0)
        & np.isin(plan.cadence, (Cadence.WEEKLY, Cadence.MONTHLY))
        & np.isin(plan.kind, (Kind.SUBSCRIPTION, Kind.BILL))
    )
    when = day_within(rng, "rise/when", period, 0.35, 0.6, *key)
    rises = fixed & rng.chance("rise", 0.3, *key)
    changes = fixed & ~rises & (plan.kind == Kind.SUBSCRIPTION) & rng.chance("plan change", 0.08, *key)
    before = np.where(
        rises,
        plan.cents / rng.between("rise/by", 1.03, 1.25, *key),
        plan.cents * np.where(rng.chance("plan change/down", 0.5, *key), 1.6, 0.6),
    )
    before = np.where(rises | changes, np.rint(before), plan.cents).astype(np.int64)
    introduced = fixed & (plan.kind == Kind.SUBSCRIPTION) & (plan.begins > period.first)
    introduced &= ~rises & ~changes & rng.chance("introduction", 0.4, *key)
    until = plan.begins + 31 * rng.whole("introduction/months", 1, 2, *key)
    little = np.rint(plan.cents * rng.between("introduction/part", 0.1, 0.6, *key)).astype(np.int64)
    cents = np.where(day < when[at], before[at], plan.cents[at])
    priced: Ints = np.where(introduced[at] & (day < until[at]), np.minimum(little[at], -99), cents)
    return priced


def _rows_left_out(rng: Rng, who: People, plan: Standing, at: Ints, day: Ints, period: Period) -> Flags:
    """One month missing somewhere in the middle, for a fifth of the monthly charges."""
    key = _event_key(who, plan)
    missing = (
        np.isin(plan.kind, (Kind.SUBSCRIPTION, Kind.BILL))
        & (plan.cadence == Cadence.MONTHLY)
        & rng.chance("gap", 0.2, *key)
    )
    hole = day_within(rng, "gap/when", period, 0.3, 0.6, *key)
    left_out: Flags = missing[at] & (day >= hole[at]) & (day < hole[at] + 28)
    return left_out


def charged_twice(rng: Rng, who: People, plan: Standing, rows: Rows, period: Period) -> Rows:
    """Now and then a service charges a second time by mistake and gives it back within ten days."""
    services = plan.payee[plan.kind == Kind.SUBSCRIPTION]
    key = (who.index[rows.who], rows.day, rows.payee, -rows.cents)
    twice = rows.only(np.isin(rows.payee, services) & rng.chance("charged twice", 0.03, *key))
    again = (who.index[twice.who], twice.day, twice.payee)
    second = replace(twice, day=twice.day + rng.whole("charged twice/after", 0, 3, *again))
    back = replace(second, day=second.day + rng.whole("charged twice/back", 2, 10, *again), cents=-second.cents)
    both = second.only(period.covers(back.day))
    return together([both, back.only(period.covers(back.day))])


def bonuses_and_expenses(rng: Rng, who: People, plan: Standing, period: Period) -> Rows:
    """A bonus or two a year beside the salary, expenses given back, a tax refund, friends who pay their share."""
    pay = np.flatnonzero((plan.kind == Kind.INCOME) & (plan.place == Place.CHECKING))
    _, first = np.unique(plan.who[pay], return_index=True)
    pay = pay[first]
    parts = []
    years = np.arange(period.days // 365 + 1)
    at, year = (axis.ravel() for axis in np.meshgrid(pay, years, indexing="ij"))
    key = (who.index[plan.who[at]], year)
    given = rng.chance("bonus", 0.4, *key)
    day = period.last - 365 * year - rng.whole("bonus/when", 0, 364, *key)
    cents = np.rint(plan.cents[at] * rng.between("bonus/size", 0.3, 3.0, *key)).astype(np.int64)
    day = working_day(day, "forward", period)
    given &= period.covers(day) & (day >= plan.begins[at]) & (day < plan.ends[at])
    parts.append(Rows.of(plan.who[at], Place.CHECKING, day, cents, plan.payee[at]).only(given))
    everyone = np.arange(who.count)
    for topic, payee, share, pace, low, high in (
        ("expenses", "expenses", 0.15, 24, 20, 600),
        ("friend pays", "friend pays", 0.5, 17, 8, 70),
        ("tax refund", "tax refund", 0.4, 365, 200, 3200),
    ):
        have = everyone[rng.chance(f"{topic}/has", share, who.index)]
        at, day, cents = now_and_then(rng, who, topic, have, pace, period, low, high)
        rows = Rows.of(at, Place.CHECKING, working_day(day, "forward", period), cents, pool.code(payee))
        parts.append(rows.only(period.covers(rows.day)))
    return together(parts)


def now_and_then(
    rng: Rng, who: People, topic: str, have: Ints, pace: int, period: Period, low: float, high: float
) -> tuple[Ints, Ints, Ints]:
    """Once somewhere in each stretch of ``pace`` days, for any amount: customers, days and cents."""
    at, turn = (axis.ravel() for axis in np.meshgrid(have, np.arange(period.days // pace + 1), indexing="ij"))
    key = (who.index[at], turn)
    day = period.last - turn * pace - np.floor(pace * rng.uniform(f"{topic}/when", *key)).astype(np.int64)
    return at, day, to_cents(rng.between(f"{topic}/size", low, high, *key))


def errands(rng: Rng, who: People, period: Period) -> Rows:
    """Purchases at one price that come when they come: haircuts, copays, car washes, apps, a coffee each workday."""
    parts = []
    for topic, group, share, shortest, longest, prices in (
        ("haircut", "haircuts", 0.4, 26, 47, (28.0, 35.0, 45.0)),
        ("copay", "copays", 0.3, 20, 60, (10.0, 15.0, 25.0)),
        ("car wash", "car washes", 0.25, 12, 50, (12.0, 18.0, 25.0)),
        ("apps", "apple", 0.3, 4, 40, (0.99, 1.99, 4.99, 9.99)),
    ):
        have = np.flatnonzero(rng.chance(f"{topic}/has", share, who.index))
        steps = np.arange(period.days // shortest + 1)
        gaps = rng.whole(f"{topic}/gap", shortest, longest, who.index[have][:, None], steps[None, :])
        before = rng.whole(f"{topic}/first", 1, shortest, who.index[have])
        at, step = np.repeat(have, len(steps)), np.tile(steps, len(have))
        day = (period.first + np.cumsum(gaps, axis=1) - before[:, None]).ravel()
        menu = to_cents(np.array(prices))
        usual = rng.whole(f"{topic}/price", 0, len(menu) - 1, who.index[at])
        today = rng.whole(f"{topic}/today", 0, len(menu) - 1, who.index[at], step)
        price = menu[today if topic == "apps" else usual]
        payee = one_of(rng, topic, group, who.index[at])
        place = np.where(who.has_card[at], Place.CARD, Place.CHECKING)
        parts.append(Rows.of(at, place, day, -price, payee).only(period.covers(day)))
    have = np.flatnonzero(rng.chance("workday coffee", 0.25, who.index))
    days = np.arange(period.first, period.last + 1)
    at, day = np.repeat(have, len(days)), np.tile(days, len(have))
    price = to_cents(np.array(pool.HABITS[1].menu))
    bought = (weekday(day) < 5) & rng.chance("workday coffee/today", 0.8, who.index[at], day)
    order = price[rng.whole("workday coffee/order", 0, len(price) - 1, who.index[at])]
    rows = Rows.of(at, Place.CHECKING, day, -order, one_of(rng, "workday coffee", "coffee", who.index[at]))
    return together([*parts, rows.only(bought)])


def left_pending(rng: Rng, who: People, rows: Rows) -> Rows:
    """Authorisations that some banks leave in the feed beside the row that posted."""
    key = (who.index[rows.who], rows.day, rows.payee, -rows.cents)
    beside = rows.only(~rows.pending & (rows.cents < 0) & rng.chance("left pending", 0.06, *key))
    return replace(beside, day=beside.day - 1, pending=np.ones(len(beside.who), dtype=np.bool_))


def garbled(rng: Rng, who: People, rows: Rows, number: Ints) -> tuple[Ints, Flags, Flags]:
    """The position of each row's spelling, whether its id is missing, and whether its category is.

    Six names in ten are spelled in another way, three ids in ten and one category in eight are missing.
    """
    key = (who.index[rows.who], rows.payee, number)
    messy = rng.chance("spelling/messy", 0.6, *key)
    spelling = np.where(messy, rng.whole("spelling", 1, pool.SPELLINGS - 1, *key), 0)
    paid = np.array([payee.primary == "INCOME" for payee in pool.ALL])[rows.payee]
    # Without its category a wage is only told by words that not every spelling has.
    no_category = ~paid & rng.chance("category/missing", 0.12, *key)
    return spelling, rng.chance("entity/missing", 0.3, *key), no_category
