"""Customers of one country from people to tables and truth, as a bank without categories would deliver them.

What does not belong here: how households behave (``households``), what banks print (``printing``).
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.synthetic import balances, batch_tables, behaviour, trouble
from spendsense_pipeline.synthetic import cast as living
from spendsense_pipeline.synthetic.batch_tables import Story, as_dates, as_text, changed
from spendsense_pipeline.synthetic.behaviour import Rows, day_within
from spendsense_pipeline.synthetic.cast import IRREGULAR, PERSONAS, PLACES, Fourth, People, Persona, Place
from spendsense_pipeline.synthetic.generate import Block, Synthetic, in_blocks, operators, sized
from spendsense_pipeline.synthetic.raw import households
from spendsense_pipeline.synthetic.raw.country import (
    BY_CARD,
    COUNTRIES,
    GIVEN_BACK,
    OWN,
    PAID_WORK,
    SPENT,
    Arrangement,
    Country,
    RawPayee,
)
from spendsense_pipeline.synthetic.raw.households import DAYS_APART, LENT_STEP, Household, Plans, household
from spendsense_pipeline.synthetic.raw.printing import Lines, printed_columns
from spendsense_pipeline.synthetic.rng import Floats, Ints, Rng
from spendsense_pipeline.synthetic.schedule import CADENCES, TIMES_A_MONTH, Cadence, Period

EVIDENCE: Final = ("mcc", "codes", "bare")
"""What stands beside the text: merchant category codes on card rows, the bank's transaction codes, or nothing."""

RECENT: Final = 180
"""Days on which the truth about money rests; ``spend_30d`` has its own."""


@dataclass(frozen=True)
class _Lives:
    """One block of customers in raw mode; ``plan`` is the arrangement of each row, -1 without one."""

    rng: Rng
    land: Country
    period: Period
    evidence: str
    ids: list[str]
    story: Story
    plans: Plans
    rules: list[Arrangement]
    plan: Ints
    home: Household
    until: Ints  # the last day that the feed shows, by customer
    closed: Ints  # the day on which the former account was closed, 0 without one
    partner: Ints  # position of the customer whose accounts are shared, -1 for nobody's


def generate_raw(
    users: int = 75,
    seed: int = 7,
    *,
    as_of: dt.date,
    country: str,
    evidence: str = "bare",
    days: int = 180,
    report: Callable[[int], None] = lambda _: None,
) -> Synthetic:
    """Make customers of a country (``us``, ``uk``, ``de``) as raw bank exports show them, with the same kind of truth.

    Categories, entity ids and clean names are missing; ``description_raw`` is what one of several banks prints, and
    ``evidence`` (``mcc``, ``codes``, ``bare``) what stands beside it. ``truth.json`` also says of each stream its
    ``first_date``, ``last_date``, ``occurrences``, ``printed``, whether the payee is ``well_known``, and in ``also``
    the kinds that are right as well because nothing in the rows says what for; of each customer ``regular_income``,
    ``monthly_pay`` and ``benefits`` (a month of 30 days), ``spend_30d``, ``spend_180d``, and in 180 days
    ``own_transfers``, ``penalty_fees`` and ``service_fees``, all positive.

    Raises SpendSenseError (``invalid_size``, ``unknown_country``, ``unknown_evidence``).
    """
    sized(users, days)
    if country not in COUNTRIES:
        raise SpendSenseError(f"no country {country!r}: one of {', '.join(COUNTRIES)}", code="unknown_country")
    if evidence not in EVIDENCE:
        raise SpendSenseError(f"no evidence {evidence!r}: one of {', '.join(EVIDENCE)}", code="unknown_evidence")
    rng, period, land = Rng(seed), Period.ending(as_of, days), Country(country, seed)

    def block(index: Ints, ids: list[str]) -> Block:
        lives = _lives(rng, index, seed, land, period, evidence, ids)
        owed = batch_tables.liabilities_table(rng, lives.story, ids, period)
        with_partner = np.isin(np.array(owed["user_id"].to_pylist()), np.array(ids)[lives.partner >= 0])
        return Block(
            _localised(batch_tables.users_table(rng, lives.story.who, ids, land.names), land),
            _raw_accounts(lives),
            _raw_transactions(lives),
            owed.filter(pa.array(~with_partner)),
            _raw_truth(lives),
        )

    staff = _localised(batch_tables.operators_table(rng, operators(users), land.names, period), land)
    tables, truth = in_blocks(users, country, block, staff, report)
    habits = {
        habit.group: sorted({land.payees[code].name for code in land.codes(habit.group, habit.channel).tolist()})
        for habit in land.habits
        if not habit.group.startswith(("person:", "bank:"))
    }
    about = {"seed": seed, "as_of": as_of.isoformat(), "country": land.country, "evidence": evidence}
    return Synthetic(tables, {**about, "users": truth, "habits": habits})


def _raw_people(rng: Rng, index: Ints, seed: int, land: Country, period: Period) -> tuple[People, Household]:
    """The same ways of living as elsewhere, paid as the country pays; loans show only in their payments."""
    who = living.people(rng, index, seed, period)
    home = household(rng, who)
    drawn = np.array(list(land.pay))[rng.pick("raw/pay", list(land.pay.values()), index)]
    # Pensioners save at the middle and the end of the month, as those do who are paid once a month.
    pay = np.select([home["retired"], who.pay == IRREGULAR], [Cadence.MONTHLY, IRREGULAR], drawn)
    other = np.where(who.other == Fourth.STUDENT_LOAN, Fourth.NOTHING, who.other)
    moved = (other == Fourth.NOTHING) & (who.persona != Persona.CREDIT) & rng.chance("raw/changed banks", 0.06, index)
    times_paid = np.where(pay == IRREGULAR, 0.0, TIMES_A_MONTH[np.maximum(pay, 0)])
    who = replace(who, pay=pay, times_paid=times_paid, other=np.where(moved, Fourth.FORMER_ACCOUNT, other))
    return who, home


def _lives(rng: Rng, index: Ints, seed: int, land: Country, period: Period, evidence: str, ids: list[str]) -> _Lives:
    """Let one block of customers live through the period, and see what their banks would deliver of it."""
    who, home = _raw_people(rng, index, seed, land, period)
    cards = living.cards(rng, who)
    plans, rules = households.plans_of(rng, who, home, land, period)
    planned, plan, plans = households.plan_rows(rng, who, plans, rules, land, period)
    parts = [
        planned,
        behaviour.freelance_pay(rng, who, period, land.payers),
        households.mishaps(rng, who, planned, land, period),
        households.foreign_fees(rng, who, planned, land),
        households.now_and_then(rng, who, home, plans, land, period),
    ]
    regular = behaviour.together(parts)
    counts = households.habit_counts(rng, who, home, land, period)
    costs = households.habit_costs(counts, land, period)
    saved, invested, budget = balances.monthly_plan(rng, who, regular, cards, costs, period)
    legs = behaviour.standing_transfers(who, saved, invested, land.transfers)
    moved = [behaviour.standing_rows(rng, who, leg, period)[0] for leg in legs]
    spent = behaviour.together([regular, *moved, households.habit_rows(rng, who, counts, budget, land, period)])
    rows, card_state, held = balances.settled(rng, who, cards, spent, period, land.lines, land.line("earned", "earned"))
    rows, held, closed = _former_accounts(rng, who, rows, held, land, period)
    beside = trouble.left_pending(rng, who, rows.only(land.is_in(BY_CARD)[rows.payee]))
    rows = behaviour.together([rows, beside.only(period.covers(beside.day))])
    # Planned rows come first in every table made so far.
    numbers = np.concatenate([plan, np.full(len(rows.who) - len(plan), -1)])

    shared = _partners(who)
    stale = (who.persona != Persona.CREDIT) & (shared < 0) & rng.chance("raw/stale", 0.03, who.index)
    until = np.where(stale, period.last - rng.whole("raw/stale/days", 10, 40, who.index), period.last)
    unseen = rows.only((rows.day > until[rows.who]) & ~rows.pending)
    on_card = np.zeros((who.count, PLACES), dtype=np.bool_)
    on_card[cards.holder, cards.place] = True
    later = balances.flow(who, unseen)
    held = np.where(on_card, held + later, held - later)
    kept = (rows.day <= until[rows.who]) & (shared[rows.who] < 0)
    rows, numbers = rows.only(kept), numbers[kept]
    # One key instead of four: sorting is what takes longest here. Rows of one payee on one day keep their order.
    key = ((rows.who * period.days + rows.day - period.first) * PLACES + rows.place) * len(land.payees) + rows.payee
    order = np.argsort(key, kind="stable")
    story = Story(who, cards, card_state, rows.only(order), held, legs[0], np.zeros(0, dtype=np.int64))
    return _Lives(
        rng, land, period, evidence, ids, story, plans, rules, numbers[order], home, until, closed, shared
    )  # fmt: skip


def _former_accounts(
    rng: Rng, who: People, rows: Rows, held: Ints, land: Country, period: Period
) -> tuple[Rows, Ints, Ints]:
    """Those who changed banks: what went through checking before that day went through an account now closed."""
    changed = who.other == Fourth.FORMER_ACCOUNT
    when = np.where(changed, day_within(rng, "raw/changed/when", period, 0.3, 0.7, who.index), 0)
    there = changed[rows.who] & (rows.place == Place.CHECKING) & (rows.day < when[rows.who])
    rows = replace(rows, place=np.where(there, Place.OTHER, rows.place))
    brought = held[:, Place.CHECKING] - balances.flow(who, rows.only(~rows.pending))[:, Place.CHECKING]
    movers = np.flatnonzero(changed & (brought > 0))
    rows = behaviour.together(
        [
            rows,
            Rows.of(movers, Place.OTHER, when[movers], -brought[movers], land.transfers.to_savings),
            Rows.of(movers, Place.CHECKING, when[movers], brought[movers], land.transfers.into_savings),
        ]
    )
    held[changed, Place.OTHER] = 0
    return rows, held, np.where(changed, when + 7, 0)


def _partners(who: People) -> Ints:
    """One customer in 25 has nothing but the accounts of the customer before, without the cards."""
    shared = np.full(who.count, -1)
    may = (
        np.isin(who.persona, (Persona.SAVER, Persona.WEALTHY, Persona.FREELANCE))
        & (who.other != Fourth.FORMER_ACCOUNT)
        & (who.other != Fourth.SECOND_CARD)
    )
    second = np.flatnonzero((who.index % 25 == 7) & np.roll(may, 1))
    second = second[second > 0]
    shared[second] = second - 1
    return shared


def _localised(made: pa.Table, land: Country) -> pa.Table:
    """Users with country and language, and with addresses that their names' umlauts do not spoil."""
    ids = made["user_id"].to_pylist()
    return changed(
        made,
        email=as_text([f"{user.replace('_', '.')}@example.com" for user in ids]),
        country=as_text([land.country] * len(ids)),
        language=as_text([land.language] * len(ids)),
    )


def _holdings(lives: _Lives, made: pa.Table) -> pa.Table:
    """A partner's own rows make way for those of the shared accounts, under the partner's id."""
    partner, ids = lives.partner, lives.ids
    users = np.array(made.column("user_id").to_pylist())
    second = np.flatnonzero(partner >= 0)
    kept = made.filter(pa.array(~np.isin(users, np.array(ids)[second])))
    names = np.array(kept["user_id"].to_pylist())
    of = {ids[first]: ids[user] for user, first in zip(second.tolist(), partner[second].tolist(), strict=True)}
    wanted = np.isin(names, list(of)) & pc.not_equal(kept["type"], "credit").to_numpy(zero_copy_only=False)
    holder = as_text([of[name] for name in names[wanted].tolist()])
    return pa.concat_tables([kept, changed(kept.filter(pa.array(wanted)), user_id=holder)])


def _raw_accounts(lives: _Lives) -> pa.Table:
    ids = lives.ids
    made = batch_tables.accounts_table(lives.rng, lives.story, ids, lives.period)
    position = {user: number for number, user in enumerate(ids)}
    owner = np.array([position[user] for user in made["user_id"].to_pylist()], dtype=np.int64)
    kind = np.array([account.split("_")[2] for account in made["account_id"].to_pylist()])
    former = pa.array(kind == "former")
    names = {"checking": "Everyday Account", "savings": "Savings", "card": "Rewards Card", "former": "Old Account"}
    unknown = pa.scalar(None, pa.float64())
    made = changed(
        made,
        iso_currency_code=as_text([lives.land.currency] * len(owner)),
        balance_date=as_dates(lives.until[owner]),
        balance_current=pc.if_else(former, unknown, made["balance_current"]),
        balance_available=pc.if_else(former, unknown, made["balance_available"]),
        account_name=as_text([names.get(name, name.title()) for name in kind.tolist()]),
        closed_at=pc.if_else(former, as_dates(lives.closed[owner]), pa.scalar(None, pa.string())),
    )
    return _holdings(lives, made)


def _raw_transactions(lives: _Lives) -> pa.Table:
    rng, land, period, ids = lives.rng, lives.land, lives.period, lives.ids
    rows, who = lives.story.rows, lives.story.who
    number = np.arange(len(rows.who)) - np.searchsorted(rows.who, rows.who) + 1
    accounts = batch_tables.account_ids(who, ids)
    last4 = np.array([int(account[-4:]) for account in accounts]).reshape(who.count, PLACES)
    holders = [" ".join(name) for name in land.names.people(rng, "customer", who.index)]
    printed = printed_columns(Lines(rng, land, period, who, holders, last4, rows, number), lives.evidence)
    present = land.is_in(frozenset({"card_store", "cash"}))[rows.payee]
    nothing = pa.nulls(len(rows.who), pa.string())
    return batch_tables.transactions_table(
        rows, who, ids, number, period,
        merchant_name=printed["merchant_name"],
        merchant_entity_id=nothing,
        payment_channel=pc.if_else(pa.array(present), pa.scalar("in store"), pa.scalar("other")),
        category_primary=nothing,
        category_detailed=nothing,
        pending=pa.array(rows.pending),
        **{name: printed[name] for name in ("description_raw", "mcc", "transaction_code", "counterparty_name")},
    )  # fmt: skip


@dataclass(frozen=True)
class _Seen:
    """What the delivered rows show of each arrangement, of all its rows or of those in checking and savings."""

    hits: Ints
    first: Ints
    last: Ints
    typical: Floats  # median of the last 180 days, in cents

    @classmethod
    def of(cls, rows: Rows, plan: Ints, count: int, since: int) -> "_Seen":
        shown = (plan >= 0) & ~rows.pending & (rows.cents != 0)
        frame = pd.DataFrame({"plan": plan[shown], "day": rows.day[shown], "cents": rows.cents[shown]})
        found = frame.groupby("plan")["day"].agg(["size", "min", "max"]).reindex(range(count), fill_value=0)
        typical = frame[frame["day"] > since].groupby("plan")["cents"].median().reindex(range(count), fill_value=0.0)
        size, first, last = (found[name].to_numpy() for name in ("size", "min", "max"))
        return cls(size, first, last, typical.to_numpy())


def _raw_truth(lives: _Lives) -> dict[str, Any]:
    """What was planted, by customer; a partner's is what the shared accounts show."""
    who = lives.story.who
    both, ids = lives.story.rows, lives.ids
    made = _truth_of(lives, both, lives.plan, np.arange(who.count))
    second = np.flatnonzero(lives.partner >= 0)
    if len(second):
        theirs = np.isin(both.who, lives.partner[second]) & (both.place != Place.CARD)
        shared = _truth_of(lives, both.only(theirs), lives.plan[theirs], lives.partner[second])
        for user, first in zip(second.tolist(), lives.partner[second].tolist(), strict=True):
            made[ids[user]] = {**shared[ids[first]], "shared_with": ids[first]}
            made[ids[first]]["shared_with"] = ids[user]
    return made


def _truth_of(lives: _Lives, rows: Rows, plan: Ints, wanted: Ints) -> dict[str, Any]:
    who, plans, home, ids, land, period = lives.story.who, lives.plans, lives.home, lives.ids, lives.land, lives.period
    seen = _Seen.of(rows, plan, len(plans.who), period.last - RECENT)
    money = _money_written(lives, rows, seen)
    chosen = np.isin(np.arange(who.count), wanted)
    made: dict[str, Any] = {}
    for number in wanted.tolist():
        pay = living.PAY_FREQUENCIES.get(int(who.pay[number]), "irregular")
        made[ids[number]] = {
            "persona": PERSONAS[who.persona[number]],
            "pay_frequency": None if home["retired"][number] else pay,
            "streams": [],
            "stale": bool(lives.until[number] < period.last),
            **{name: round(float(column[number]) / 100, 2) for name, column in money.items()},
        }
    kinds = np.array([rule.kind != "unseen" for rule in lives.rules])[plans.rule]
    enough = seen.hits >= np.where(np.isin(plans.cadence, (Cadence.ANNUAL, Cadence.SEMI_ANNUAL)), 2, 3)
    planted = np.flatnonzero(kinds & enough & chosen[plans.who])
    days = np.datetime_as_string(np.arange(period.first, period.last + 1).astype("datetime64[D]")).tolist()
    columns = (plans.who, plans.rule, plans.payee, plans.cadence, plans.cents, seen.hits)
    spans = (seen.first - period.first, seen.last - period.first)
    for owner, number, code, cadence, cents, hits, first, last in zip(
        *(column[planted].tolist() for column in (*columns, *spans)), strict=True
    ):
        rule, payee = lives.rules[number], land.payees[code]
        made[ids[owner]]["streams"].append(
            {
                "merchant": payee.name,
                "kind": rule.kind,
                "cadence": CADENCES[cadence],
                "amount": cents / 100,
                "well_known": payee.well_known,
                "also": _also(rule, payee, lives.evidence),
                "purpose": rule.group,
                "printed": payee.printed,
                "occurrences": hits,
                "first_date": days[first],
                "last_date": days[last],
            }
        )
    return made


def _money_written(lives: _Lives, rows: Rows, seen: _Seen) -> dict[str, Floats]:
    """Sums of each customer in cents, positive; a month is 30 days."""
    who, plans, land, period = lives.story.who, lives.plans, lives.land, lives.period
    # Each channel's sums at once, so that what is added below costs nothing by row.
    channels = sorted({payee.channel for payee in land.payees})
    channel = np.array([channels.index(payee.channel) for payee in land.payees])[rows.payee]
    cell = rows.who * len(channels) + channel
    # A loan given back is no spending, its tip is.
    repaid = land.is_in(frozenset({"advance_out"}))[rows.payee]
    cents = np.where(repaid, -(np.abs(rows.cents) % LENT_STEP), rows.cents)
    shape = (who.count, len(channels))
    sums = {
        days: np.bincount(
            cell, np.where(~rows.pending & (rows.day > period.last - days), cents, 0), minlength=np.prod(shape)
        ).reshape(shape)
        for days in (30, RECENT)
    }

    def summed(wanted: frozenset[str], days: int) -> Floats:
        total: Floats = sums[days][:, [name in wanted for name in channels]].sum(axis=1)
        return total

    still = seen.last + 2 * DAYS_APART[plans.cadence] + 5 >= lives.until[plans.who]
    income = np.array([rule.kind == "income" for rule in lives.rules])[plans.rule]
    monthly = np.where(income & still & (seen.hits >= 2), seen.typical * 30 / DAYS_APART[plans.cadence], 0.0)
    worked = land.is_in(frozenset({"payroll"}))[plans.payee]
    pay = np.bincount(plans.who, monthly * worked, minlength=who.count)
    months = min(RECENT, max(period.days, 30)) / 30
    pay = pay + np.where(who.pay == IRREGULAR, summed(PAID_WORK, RECENT) / months, 0.0)
    benefits = np.bincount(plans.who, monthly * ~worked, minlength=who.count)
    penalties, services = frozenset({"penalty", "penalty_back"}), frozenset({"service_fee"})
    return {
        "regular_income": pay + benefits,
        "monthly_pay": pay,
        "benefits": benefits,
        "spend_30d": np.maximum(-summed(SPENT | GIVEN_BACK, 30), 0),
        "spend_180d": np.maximum(-summed(SPENT | GIVEN_BACK, RECENT), 0),
        "own_transfers": -summed(OWN, RECENT),
        "penalty_fees": -summed(penalties, RECENT),
        "service_fees": -summed(services, RECENT),
    }


def _also(rule: Arrangement, payee: RawPayee, evidence: str) -> list[str]:
    """Kinds that are right beside the planted one: ``regular`` where nothing that is delivered says what for.

    A standing order says that it is one, a merchant category code says what is sold, and a small price paid by card
    is evidence of its own.
    """
    coded = evidence == "mcc" and payee.mcc is not None and payee.channel in BY_CARD
    small_by_card = rule.kind == "subscription" and payee.channel in BY_CARD
    says = payee.telling or coded or small_by_card or payee.channel == "standing"
    return [*rule.also, *([] if says or rule.kind in ("income", "regular") else ["regular"])]
