"""Users, accounts and liabilities in the landing format, and how columns become text.

What does not belong here: how people behave (``behaviour``), who they are (``cast``), files (``batch_files``).
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from faker import Faker

from spendsense_pipeline.synthetic import behaviour, payee_pool, schedule
from spendsense_pipeline.synthetic.behaviour import Rows, Standing
from spendsense_pipeline.synthetic.cast import PLACES, Cards, Fourth, People, Place
from spendsense_pipeline.synthetic.rng import Flags, Ints, Rng
from spendsense_pipeline.synthetic.schedule import Period


@dataclass(frozen=True)
class Story:
    """Everything about one block of customers before it becomes text; money in cents."""

    who: People
    cards: Cards
    card_state: behaviour.CardState
    rows: Rows
    balances: Ints  # customers by places; owed on cards and loans
    standing: Standing
    hits: Ints  # rows of each arrangement


@dataclass(frozen=True)
class Names:
    """A few hundred first and last names, to be combined."""

    first: list[str]
    last: list[str]

    @classmethod
    def drawn(cls, seed: int, locale: str = "en_US") -> "Names":
        fake = Faker(locale)
        fake.seed_instance(seed)
        return cls([fake.first_name() for _ in range(400)], [fake.last_name() for _ in range(600)])

    def people(self, rng: Rng, topic: str, index: Ints) -> list[tuple[str, str]]:
        """First and last name of each."""
        first = rng.whole(f"{topic}/first", 0, len(self.first) - 1, index)
        last = rng.whole(f"{topic}/last", 0, len(self.last) - 1, index)
        return [(self.first[a], self.last[b]) for a, b in zip(first, last, strict=True)]


def as_text(values: list[str] | list[str | None]) -> pa.Array:
    return pa.array(values, pa.string())


def as_times(rng: Rng, topic: str, day: Ints, key: Ints, missing: Flags | None = None) -> pa.Array:
    """ISO times at some second of a day, null where missing."""
    second = day * 86_400 + rng.whole(topic, 7 * 3600, 21 * 3600, key)
    text = np.char.add(np.datetime_as_string(second.astype("datetime64[s]")), "Z")
    return pa.array(text.tolist(), pa.string(), mask=missing)


def as_dates(day: Ints) -> pa.Array:
    return as_text(np.datetime_as_string(day.astype("datetime64[D]")).tolist())


def as_money(cents: Ints, missing: Flags | None = None) -> pa.Array:
    return pa.array(cents / 100, pa.float64(), mask=missing)


def changed(table: pa.Table, **columns: pa.Array) -> pa.Table:
    """The table with some columns in place of its own, or behind them."""
    return pa.table({name: table[name] for name in table.column_names} | columns)


def users_table(rng: Rng, who: People, ids: list[str], names: Names) -> pa.Table:
    consented = who.consented_on > 0
    return changed(
        _people_table(names.people(rng, "customer", who.index), ids, who.index, "", "customer"),
        created_at=as_times(rng, "created", who.known_since, who.index),
        consent_status=pa.array(consented),
        consent_granted_at=as_times(rng, "consent/time", who.consented_on, who.index, ~consented),
    )


def operators_table(rng: Rng, count: int, names: Names, period: Period) -> pa.Table:
    index = np.arange(count)
    ids = [f"op_{number + 1:03d}" for number in index]
    made = _people_table(names.people(rng, "operator", index), ids, index, "op", "operator")
    return changed(made, created_at=as_times(rng, "operator/time", np.full(count, period.first - 365), index))


def _people_table(named: list[tuple[str, str]], ids: list[str], index: Ints, mark: str, user_type: str) -> pa.Table:
    """People who have not consented; ``mark`` and number keep two of one name apart in their addresses."""
    emails = [f"{first}.{last}.{mark}{n + 1}@example.com" for (first, last), n in zip(named, index, strict=True)]
    unknown = pa.nulls(len(ids), pa.string())
    return pa.table(
        {
            "user_id": as_text(ids),
            "full_name": as_text([f"{first} {last}" for first, last in named]),
            "email": as_text([email.lower() for email in emails]),
            "created_at": unknown,
            "consent_status": pa.array(np.zeros(len(ids), dtype=np.bool_)),
            "consent_granted_at": unknown,
            "consent_revoked_at": unknown,
            "user_type": as_text([user_type] * len(ids)),
        }
    )


OTHER_KINDS: dict[int, tuple[str, str, str]] = {
    Fourth.SECOND_CARD: ("second_card", "credit", "credit card"),
    Fourth.STUDENT_LOAN: ("student_loan", "loan", "student"),
    Fourth.INVESTMENT: ("brokerage", "investment", "brokerage"),
    Fourth.FORMER_ACCOUNT: ("former", "depository", "checking"),
}


def account_ids(who: People, ids: list[str]) -> list[str]:
    """The ids of all places, also of those without an account, by customer * 4 + place.

    They end in four digits, as account numbers do, by which people tell two cards apart. The digits do not depend
    on the seed: the step has no divisor in common with 9000, so no two of 2,250 customers' accounts share them.
    """
    last = [OTHER_KINDS[int(kind)][0] if kind else "none" for kind in who.other]
    digits = 1000 + (3821 + 2741 * (who.index[:, None] * PLACES + np.arange(PLACES))) % 9000
    return [
        f"{user}_{name}_{number}"
        for user, other, numbers in zip(ids, last, digits.tolist(), strict=True)
        for name, number in zip(("checking", "savings", "card", other), numbers, strict=True)
    ]


def accounts_table(rng: Rng, story: Story, ids: list[str], period: Period) -> pa.Table:
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
    unavailable = (who.other == Fourth.INVESTMENT) | (who.other == Fourth.STUDENT_LOAN)

    owner, place = np.nonzero(held)
    kinds = [
        (("", "depository", "checking"), ("", "depository", "savings"), ("", "credit", "credit card"))[p]
        if p < Place.OTHER
        else OTHER_KINDS[int(who.other[o])]
        for o, p in zip(owner, place, strict=True)
    ]
    opened = who.known_since[owner] - rng.whole("account/age", 10, 2500, who.index[owner], place)
    return pa.table(
        {
            "account_id": as_text(account_ids(who, ids)).take(owner * PLACES + place),
            "user_id": as_text(ids).take(owner),
            "type": as_text([kind[1] for kind in kinds]),
            "subtype": as_text([kind[2] for kind in kinds]),
            "balance_available": as_money(available[owner, place], (place == Place.OTHER) & unavailable[owner]),
            "balance_current": as_money(story.balances[owner, place]),
            "balance_limit": as_money(limit[owner, place], ~is_card[owner, place]),
            "iso_currency_code": as_text(["USD"] * len(owner)),
            "holder_category": as_text(["personal"] * len(owner)),
            "created_at": as_times(rng, "account/time", opened, owner * PLACES + place),
            "balance_date": as_dates(np.full(len(owner), period.last)),
        }
    )


def liabilities_table(rng: Rng, story: Story, ids: list[str], period: Period) -> pa.Table:
    who, cards, state = story.who, story.cards, story.card_state
    loans = np.flatnonzero(who.other == Fourth.STUDENT_LOAN)
    instalment = behaviour.student_loan_payment(rng, who, loans)
    plan = story.standing
    loan_day = np.zeros(who.count, dtype=np.int64)
    lenders = np.isin(plan.payee, payee_pool.codes("student loans"))
    loan_day[plan.who[lenders]] = plan.anchor[lenders]
    month = schedule.month_of(np.full(len(loans), period.last))
    due = schedule.day_in_month(month, loan_day[loans])
    due = np.where(due > period.last, due, schedule.day_in_month(month + 1, loan_day[loans]))

    owner, place = (
        np.concatenate([cards.holder, loans]),
        np.concatenate([cards.place, np.full(len(loans), Place.OTHER)]),
    )
    only_cards = np.concatenate([np.zeros(cards.count, dtype=np.bool_), np.ones(len(loans), dtype=np.bool_)])
    none = np.zeros(len(loans), dtype=np.int64)
    apr = np.concatenate([cards.apr, none])
    last_payment = np.concatenate([state.last_payment, instalment])
    account = as_text(account_ids(who, ids)).take(owner * PLACES + place)
    rate = np.rint(rng.between("loan/rate", 350, 750, who.index[owner])) / 100
    table = pa.table(
        {
            "liability_id": pc.binary_join_element_wise("liab", account, "_"),
            "account_id": account,
            "user_id": as_text(ids).take(owner),
            "liability_type": as_text(["credit_card"] * cards.count + ["student_loan"] * len(loans)),
            "apr_purchase": pa.array(apr, mask=only_cards),
            "apr_balance_transfer": pa.array(np.round(apr + 2, 2), mask=only_cards),
            "apr_cash_advance": pa.array(np.full(len(owner), 29.99), mask=only_cards),
            "minimum_payment_amount": as_money(np.concatenate([state.minimum, instalment])),
            "last_payment_amount": as_money(last_payment, last_payment < 0),
            "is_overdue": pa.array(np.concatenate([cards.overdue, none.astype(np.bool_)])),
            "next_payment_due_date": as_dates(np.concatenate([state.due, due])),
            "last_statement_balance": as_money(np.concatenate([state.statement, none]), only_cards),
            "interest_rate": pa.array(rate, mask=~only_cards),
            "balance_date": as_dates(np.full(len(owner), period.last)),
        }
    )
    return table.take(pa.array(np.lexsort((place, owner))))


def transactions_table(
    rows: Rows, who: People, ids: list[str], number: Ints, period: Period, **said: pa.Array
) -> pa.Table:
    """Rows by ``number`` within their customer, with what else is ``said`` of them, by column."""
    user = as_text(ids).take(rows.who)
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
            **said,
        }
    )
