"""What a date makes of the evidence: the tables of streams and of features, by column.

Status, next dates, ages, windows and balances belong here; what the rows show (``streams.py``, ``pay.py``) does not.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.features.accounts import Held, OnDate, currency_factor, to_cents
from spendsense_pipeline.features.calendars import (
    ANNUAL,
    BIWEEKLY,
    CALENDARS,
    FOUR_WEEKLY,
    MONTHLY,
    SEMI_MONTHLY,
    day_at,
    halves,
    places_of,
)
from spendsense_pipeline.features.descriptors import Said
from spendsense_pipeline.features.meanings import (
    BY_CARD_MODEST,
    CHECKING,
    CREDIT_CARD,
    EVIDENCE,
    FOR_BILL,
    FOR_SUBSCRIPTION,
    INVESTMENT,
    LOAN,
    SAVINGS,
)
from spendsense_pipeline.features.pay import FREQUENCIES

Array = npt.NDArray[Any]
Records: TypeAlias = Any  # an array of records: their fields have no static types, and overloads cost mypy seconds
EXPECTED_WITHIN_DAYS = 3  # a charge due in the next days is reported before it comes
FAR = 1 << 30
LEAST_HISTORY_DAYS = 60  # below it, finding no subscription says nothing: two monthly charges may not fit
LEAST_MONTH_DAYS = 30  # a history of a week is not extrapolated to a month
MINIMUM_PAYMENT_SLACK = 5.00  # US dollars above the minimum that still count as paying only the minimum
UTILIZATION_FLAGS = {"utilization_30_flag": 0.30, "utilization_50_flag": 0.50, "utilization_80_flag": 0.80}
IN_PARTS, PARTS = "LOAN_PAYMENTS_BNPL", 4  # what is paid every two weeks is paid off with the fourth part
MODEST = 75.00  # US dollars a month; "paid by card at no more than 75 USD a month and nothing against it"
LEAST_MODEST = 4  # hits of a month's price; three visits at one price meet a month by chance; ours
KINDS = ("subscription", "bill", "regular", "income")
SUBSCRIPTION, BILL, REGULAR, INCOME = range(4)
STATUS = ("early", "mature", "inactive")
EARLY, MATURE, INACTIVE = range(3)

_CADENCES = [each.cadence for each in CALENDARS]
_OF_MONTHS, _PERIOD, _TOLERANCE, _MISSABLE, _CONSECUTIVE, _FACTOR = (
    np.array(values)
    for values in zip(
        *(
            (each.of_months, halves(each.period), halves(each.tolerance), each.missable, each.consecutive,
             each.monthly_factor)
            for each in CALENDARS
        ),
        strict=True,
    )
)  # fmt: skip


# By which calendars services are sold whose name nobody knows; by others, people go to the hairdresser. Ours.
_SOLD_BY = np.isin(np.arange(len(CALENDARS)), [MONTHLY, FOUR_WEEKLY, ANNUAL])


def dates(days: Array, null: Array | None = None) -> pa.Array:
    """Days since 1970 as dates, null where ``null``."""
    return pa.array(days.astype("i4"), pa.int32(), mask=null).cast(pa.date32())


def _chosen(names: Sequence[str | None], place: Array) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(place.astype("i8")))


def _numbers(values: Array) -> pa.Array:
    """Floats, NaN as null."""
    return pa.array(values, mask=np.isnan(values))


def _flags(values: Array) -> pa.Array:
    """Three-valued flags: 1, 0 and NaN."""
    return pa.array(values == 1, mask=np.isnan(values))


# --- streams ---------------------------------------------------------------------------------------------------------


class Standing(NamedTuple):
    """The streams that stand on a date, by customer, payee and first charge."""

    place: Array
    """Of each among all streams of the evidence."""
    s: Records
    status: Array
    expected: Array
    """Day of the first expected date after the last hit."""
    kind: Array
    """Place in ``KINDS``."""
    evidence: Array
    """Place in ``EVIDENCE``, -1 for none."""


def standing(streams: Records, found: Array, newest: Array, factor: Array, labels: Sequence[str]) -> Standing:
    """Of the streams at the places ``found``, those that stand on a date: two hits that stop vanish, but of a
    semi-annual or annual stream.

    ``newest`` is the day of each customer's newest row: what is missing after it may only not have arrived; ``factor``
    is each customer's units of money per US dollar; ``labels`` are the names of categories."""
    s = streams.take(found)  # of records several times faster than brackets
    calendar, of_months = s["calendar"], _OF_MONTHS[s["calendar"]]
    next_slot = s["last_slot"] + 1
    second_half = (calendar == SEMI_MONTHLY) & (next_slot % 2 == 1)
    expected = next_slot * _PERIOD[calendar] + np.where(second_half, s["other_anchor"], s["anchor"])
    seen = newest[s["user"]].astype("i8")
    now = np.where(of_months, places_of(newest.astype("i8"))[s["user"]], 2 * seen)
    # An expected date is missed once its tolerance has passed.
    missed = np.maximum(np.ceil((now - _TOLERANCE[calendar] - expected) / _PERIOD[calendar]), 0)
    in_parts = s["label"] == (labels.index(IN_PARTS) if IN_PARTS in labels else len(labels))
    paid_off = in_parts & (calendar == BIWEEKLY) & (s["occurrences"] == PARTS)
    inactive = (missed > _MISSABLE[calendar]) | paid_off
    status = np.where(inactive, INACTIVE, np.where(s["in_a_row"] >= _CONSECUTIVE[calendar], MATURE, EARLY))
    rare = _CONSECUTIVE[calendar] == 2
    stands = np.flatnonzero(~inactive | (s["occurrences"] > 2) | rare)
    expected = day_at(expected[stands], of_months[stands])
    s = s.take(stands)
    return Standing(found[stands], s, status[stands], expected, *_kinds_of(s, factor))


def _kinds_of(s: Records, factor: Array) -> tuple[Array, Array]:
    """The kind of each stream and what shows it."""
    by_card = (s["by_card"] == 1) & (s["inflow"] == 0) & _SOLD_BY[s["calendar"]]
    by_card &= s["occurrences"] >= np.where(s["calendar"] == ANNUAL, 2, LEAST_MODEST)
    modest = by_card & (s["purpose"] < FOR_BILL) & (monthly_cost(s) <= MODEST * factor[s["user"]])
    kind = np.select(
        [s["inflow"] == 1, s["purpose"] == FOR_BILL, (s["purpose"] == FOR_SUBSCRIPTION) | modest],
        [INCOME, BILL, SUBSCRIPTION],
        REGULAR,
    )
    return kind, np.where(kind == REGULAR, -1, np.where(modest, BY_CARD_MODEST, s["evidence"]))


def stream_ids(s: Records, users: Sequence[str], texts: Sequence[str]) -> list[str]:
    """What each stream is called: its first hit outlives a new price, a better fitting cadence and a longer history.

    The ordinal tells two equal plans on one day apart.
    """
    first = np.datetime_as_string(s["first_day"].astype("datetime64[D]"))
    return [
        "str_" + hashlib.sha256(f"{users[u]}|{texts[p]}|{'in' if i else 'out'}|{d}|{c}|{o}".encode()).hexdigest()[:20]
        for u, p, i, d, c, o in zip(
            s["user"].tolist(), s["payee"].tolist(), s["inflow"].tolist(), first.tolist(), s["first_price"].tolist(),
            s["ordinal"].tolist(), strict=True,
        )
    ]  # fmt: skip


def monthly_cost(s: Records, at: Array | slice = slice(None)) -> Array:
    """What streams, or those at some places, cost a month, positive."""
    return to_cents(np.abs(s["typical_amount"][at]) * _FACTOR[s["calendar"][at]])


class StreamTexts(NamedTuple):
    """Texts of streams, made once for all dates: by stream, and by text."""

    stream_id: pa.Array
    user_id: pa.Array
    merchant: pa.Array
    category: pa.Array


def texts_of(s: Records, users: Sequence[str], said: Said) -> StreamTexts:
    """The texts of streams."""
    return StreamTexts(
        pa.array(stream_ids(s, users, said.texts), pa.string()),
        pa.array(users, pa.string()).take(pa.array(s["user"])),
        _chosen(said.displays, s["merchant"]),
        _chosen([*said.labels, None], s["label"] % (len(said.labels) + 1)),
    )


def streams_table(stand: Standing, texts: StreamTexts, today: int) -> pa.Table:
    """``recurring_streams`` of a date."""
    s, calendar, inflow = stand.s, stand.s["calendar"], stand.s["inflow"] == 1
    regular = s["occurrences"] / (s["last_slot"] - s["first_slot"] + 1) * (1 - s["error"] / 2)
    # Share of expected dates hit, less up to half for dates at the edge of the tolerance; less the spread of the
    # amounts; and what the number of hits is worth: 0.75 of it for two, 0.88 for three, 0.94 for four.
    confidence = regular * np.maximum(1 - np.nan_to_num(s["spread"]), 0) * (1 - 0.5 ** s["occurrences"])
    at, steady = pa.array(stand.place), inflow | np.isnan(s["price_change"])
    return pa.table(
        {
            "stream_id": texts.stream_id.take(at),
            "user_id": texts.user_id.take(at),
            "as_of": dates(np.full(len(s), today)),
            "merchant": texts.merchant.take(at),
            "category": texts.category.take(at),
            "kind": _chosen(KINDS, stand.kind),
            "evidence": _chosen([*EVIDENCE, None], stand.evidence % (len(EVIDENCE) + 1)),
            "cadence": _chosen(_CADENCES, calendar),
            "status": _chosen(STATUS, stand.status),
            "occurrences": s["occurrences"],
            "first_date": dates(s["first_date"]),
            "last_date": dates(s["last_date"]),
            "expected_next_date": dates(stand.expected, stand.status == INACTIVE),
            "typical_amount": to_cents(s["typical_amount"]),
            "last_amount": s["last_amount"],
            "monthly_cost": pa.array(monthly_cost(s), mask=inflow),
            "price_change": pa.array(np.round(s["price_change"], 9), mask=steady),
            "price_before": pa.array(s["price_before"], mask=steady),
            "price_changed_on": dates(s["changed_on"], steady),
            "confidence": np.round(np.clip(confidence, 0, 1), 6),
        }
    )


class Subscriptions(NamedTuple):
    """What a window reports of subscriptions: by customer."""

    streams: Records
    monthly: Array
    charged: Array


def subscriptions(stand: Standing, active: Array, charged: Array, today: int, window: int, users: int) -> Subscriptions:
    """The mature, active subscriptions (places ``active``) charged in a window, or due in it or within three days."""
    user, counted = stand.s["user"][active], is_reported(stand, active, charged, today, window)
    cost = np.where(counted, monthly_cost(stand.s, active), 0.0)
    return Subscriptions(
        np.bincount(user, counted, users), np.bincount(user, cost, users),
        np.bincount(user, np.nan_to_num(charged), users),
    )  # fmt: skip


def is_reported(stand: Standing, active: Array, charged: Array, today: int, window: int) -> Array:
    """Which subscriptions a window reports: charged in it, or expected in it or within three days."""
    expected = stand.expected[active]
    due = (expected > today - window) & (expected <= today + EXPECTED_WITHIN_DAYS)
    return np.asarray(~np.isnan(charged) | due)


def in_order(s: Records) -> Array:
    """The places of streams by customer, payee and first charge."""
    names = ("ordinal", "first_price", "first_day", "inflow", "payee", "user")  # the last decides first
    return np.lexsort([s[name] for name in names])


def active_subscriptions(stand: Standing) -> Array:
    """Places of the subscriptions that are mature and active."""
    return np.flatnonzero((stand.kind == SUBSCRIPTION) & (stand.status == MATURE))


class Monthly(NamedTuple):
    """What mature, active streams come to a month, by customer: bills, what nobody knows, what comes in beside pay."""

    bills: Array
    regular: Array
    unearned: Array
    sources: Array
    """How many streams come in beside pay."""


def monthly_sums(stand: Standing, users: int) -> Monthly:
    """Sum mature, active streams by kind."""
    s, mature = stand.s, np.flatnonzero(stand.status == MATURE)
    user, cost, kind = s["user"][mature], monthly_cost(s, mature), stand.kind[mature]
    beside_pay = (kind == INCOME) & (s["earned"][mature] == 0)
    return Monthly(
        np.bincount(user, np.where(kind == BILL, cost, 0.0), users),
        np.bincount(user, np.where(kind == REGULAR, cost, 0.0), users),
        np.bincount(user, np.where(beside_pay, cost, 0.0), users),
        np.bincount(user, beside_pay, users),
    )


# --- features --------------------------------------------------------------------------------------------------------


def any_of(user: Array, flag: Array, users: int) -> Array:
    """By customer: 1 if any flag is, else NaN if any is unknown, else 0."""
    yes = np.bincount(user, flag == 1, users) > 0
    unknown = np.bincount(user, np.isnan(flag), users) > 0
    return np.where(yes, 1.0, np.where(unknown, np.nan, 0.0))


def all_of(*flags: tuple[Array, Array]) -> Array:
    """By place: 0 if any flag is false, else NaN if any is unknown, else 1; a flag is (value, known)."""
    no = np.zeros(len(flags[0][0]), bool)
    unknown = no.copy()
    for value, known in flags:
        no |= known & ~value
        unknown |= ~known
    return np.where(no, 0.0, np.where(unknown, np.nan, 1.0))


def ratio(numerator: Array, denominator: Array) -> Array:
    """NaN where the denominator is 0 or either is NaN."""
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator != 0)


def balance_sum(held: Held, on: OnDate, held_as: int, users: int) -> Array:
    """By customer what lies on accounts of a class; NaN without one or with one unknown."""
    mine = on.counts & (held.held_as == held_as)
    user, balance = held.user[mine], on.balance[mine]
    total = np.bincount(user, balance, users)  # NaN where one is
    return np.where(np.bincount(user, minlength=users) > 0, to_cents(total), np.nan)


class Cards(NamedTuple):
    """What is said of a customer's cards: by customer, NaN where unknown."""

    cards: Array
    unknown_limit: Array
    average: Array
    highest: Array
    flags: dict[str, Array]


def cards_of(held: Held, on: OnDate, users: int) -> Cards:
    """Count, limits, utilization and its flags; a credit balance counts as 0."""
    card = on.counts & (held.held_as == CREDIT_CARD)
    user, balance, limit = held.user[card], on.balance[card], held.limit[card]
    owed, known = np.maximum(balance, 0.0), ~np.isnan(limit)
    utilization = np.round(owed / limit, 9)  # as it is shown: 962.40 of 1203.00 is 80 %
    count = np.bincount(user, minlength=users)
    average = ratio(np.bincount(user[known], owed[known], users), np.bincount(user[known], limit[known], users))
    highest = np.full(users, -np.inf)
    np.maximum.at(highest, user, np.nan_to_num(utilization, nan=-np.inf))
    flags = {}
    for name, share in UTILIZATION_FLAGS.items():
        reached = np.where(np.isnan(utilization), np.nan, utilization >= share)
        flags[name] = np.where(count > 0, any_of(user, reached, users), 0.0)
    return Cards(
        count, np.bincount(user[~known], minlength=users), average,
        np.where(np.isinf(highest), np.nan, highest), flags,
    )  # fmt: skip


class Liabilities(NamedTuple):
    """Liabilities of the accounts in a range, by place; ``account`` is the account's place."""

    account: Array
    day: Array
    last_payment: Array
    minimum: Array
    statement: Array
    overdue: Array
    apr: Array
    rate: Array
    """Of a loan, percent."""
    due: Array
    """Day of the next payment, -1 where none is stated."""
    kind: Array
    """Type of the liability, a text."""


class Obligations(NamedTuple):
    """By customer: 1, 0 or NaN."""

    minimum_only: Array
    overdue: Array


def obligations_of(held: Held, on: OnDate, owed: Liabilities, factor: Array, today: int, users: int) -> Obligations:
    """Whether a customer pays only the minimum, and is late; false without a card, a loan or a liability.

    A liability of after the date is unknown, and so is a card or loan without one. On other accounts there is nothing
    to pay a minimum of.
    """
    described = np.bincount(owed.account, minlength=len(held.user)) > 0
    silent = np.flatnonzero(on.counts & ~described & ((held.held_as == CREDIT_CARD) | (held.held_as == LOAN)))
    stated = on.counts[owed.account]
    known = owed.day[stated] <= today
    account = np.concatenate([owed.account[stated], silent])
    last, minimum, statement, overdue = (
        np.concatenate([np.where(known, column[stated], np.nan), np.full(len(silent), np.nan)])
        for column in (owed.last_payment, owed.minimum, owed.statement, owed.overdue)
    )
    user, balance = held.user[account], on.balance[account]
    slack = MINIMUM_PAYMENT_SLACK * factor[user]
    minimum_only = all_of(
        (balance > 0, ~np.isnan(balance)), (last > 0, ~np.isnan(last)),
        (last <= to_cents(minimum + slack), ~np.isnan(last) & ~np.isnan(minimum)),
        (last < statement, ~np.isnan(last) & ~np.isnan(statement)),
    )  # fmt: skip
    minimum_only = np.where(held.held_as[account] == CREDIT_CARD, minimum_only, 0.0)
    return Obligations(any_of(user, minimum_only, users), any_of(user, overdue, users))


def cards_table(held: Held, on: OnDate, owed: Liabilities, users: pa.Array, there: Array, today: int) -> pa.Table:
    """``cards`` of a date: one row per card; ``apr`` is null where no liability of the date or before gives one."""
    card = np.flatnonzero(on.counts & (held.held_as == CREDIT_CARD) & there[held.user])
    apr = np.full(len(held.user), -np.inf)
    stated = owed.day <= today
    np.maximum.at(apr, owed.account[stated], np.nan_to_num(owed.apr[stated], nan=-np.inf))
    balance, limit = on.balance[card], held.limit[card]
    ids = held.account_id.take(pa.array(card))
    cards = pa.table(
        {
            "user_id": users.take(pa.array(held.user[card])),
            "account_id": ids,
            "as_of": dates(np.full(len(card), today)),
            "last4": pc.utf8_slice_codeunits(ids, -4),
            "balance": _numbers(balance),
            "credit_limit": _numbers(limit),
            "utilization": _numbers(np.round(np.maximum(balance, 0.0) / limit, 9)),
            "apr": pa.array(apr[card], mask=np.isinf(apr[card])),
        }
    )
    return cards.sort_by([("user_id", "ascending"), ("account_id", "ascending")])


class Balances(NamedTuple):
    """What does not depend on the window, on one date, by customer."""

    currency: pa.Array
    factor: Array
    oldest: Array
    """Day of the oldest balance used, -1 where none is known."""
    shared_accounts: Array
    savings_accounts: Array
    savings: Array
    checking: Array
    invests: Array
    cards: Cards
    obligations: Obligations


def factors_of(held: Held, on: OnDate) -> Array:
    """By customer units of money per US dollar."""
    return np.array([*(currency_factor(each) for each in held.currencies), 1.0])[on.main_currency]


def balances_on(held: Held, on: OnDate, owed: Liabilities, today: int, users: int) -> Balances:
    """Balances, cards and what is owed on a date."""
    factor = factors_of(held, on)

    def has(held_as: int) -> Array:
        return np.bincount(held.user[on.counts & (held.held_as == held_as)], minlength=users) > 0

    any_account = on.own_accounts > 0
    oldest = np.full(users, FAR)
    known = on.counts & ~np.isnan(on.balance) & (held.balance_day > -FAR)
    np.minimum.at(oldest, held.user[known], np.minimum(held.balance_day[known], today))
    return Balances(
        _chosen([*held.currencies, None], np.where(any_account, on.main_currency, -1) % (len(held.currencies) + 1)),
        factor,
        np.where(oldest == FAR, -1, oldest),
        np.bincount(held.user[on.counts & held.shared], minlength=users),
        has(SAVINGS),
        balance_sum(held, on, SAVINGS, users),
        balance_sum(held, on, CHECKING, users),
        has(INVESTMENT),
        cards_of(held, on, users),
        obligations_of(held, on, owed, factor, today, users),
    )


def features_table(
    today: int, window: int, users: pa.Array, there: Array, figures: Array, sums: Array, pay: Array,
    subscribed: Subscriptions, monthly: Monthly, held: Balances,
) -> pa.Table:  # fmt: skip
    """``features`` of one window on a date: a row for each customer at the places ``there``."""
    any_rows = figures["rows"] > 0

    def known(amount: Array) -> Array:
        return np.where(any_rows, amount, np.nan)

    history = np.where(any_rows, today - figures["first_day"], 0)
    months = np.minimum(window, np.maximum(history, LEAST_MONTH_DAYS)) / 30
    spend = known(np.maximum(to_cents(sums["spent"]), 0.0))
    expenses = to_cents(spend / months)
    interest = known(to_cents(sums["interest"]))
    saved = known(np.where(held.savings_accounts, to_cents(sums["saved"]), np.nan))
    start = to_cents(held.savings - saved)
    says_nothing = ~any_rows | ((history < LEAST_HISTORY_DAYS) & (subscribed.streams == 0))
    short = ~any_rows | (history < LEAST_HISTORY_DAYS)
    no_bill, no_regular = short & (monthly.bills == 0), short & (monthly.regular == 0)
    share = np.where(says_nothing, np.nan, ratio(to_cents(subscribed.charged), spend))

    def rate(values: Array) -> pa.Array:
        return _numbers(np.round(values, 9))  # what is left after nine decimals is the order in which floats were added

    income = to_cents(np.round(pay["steady"], 6) + to_cents(pay["other"]) / months)
    some_income = ~np.isnan(income) | (monthly.sources > 0)
    regular = np.where(some_income, to_cents(np.nan_to_num(income) + monthly.unearned), np.nan)
    cards, owed = held.cards, held.obligations
    table = pa.table(
        {
            "user_id": users,
            "as_of": dates(np.full(len(users), today)),
            "window_days": np.full(len(users), window, "i8"),
            "history_days": history,
            "data_age_days": pa.array(np.where(any_rows, today - figures["last_day"], 0), mask=~any_rows),
            "balance_age_days": pa.array(np.maximum(today - held.oldest, 0), mask=held.oldest < 0),
            "explained_share": rate(ratio(figures["explained"].astype(float), figures["recent"].astype(float))),
            "shared_accounts": held.shared_accounts,
            "unlinked_cards": pa.array(figures["unlinked"], mask=~any_rows),
            "unlinked_card_payments": _numbers(known(to_cents(sums["unlinked"]))),
            "recurring_merchants": pa.array(subscribed.streams.astype("i8"), mask=says_nothing),
            "monthly_recurring_spend": pa.array(to_cents(subscribed.monthly), mask=says_nothing),
            "subscription_spend_share": rate(share),
            "monthly_bills": pa.array(to_cents(monthly.bills), mask=no_bill),
            "monthly_regular": pa.array(to_cents(monthly.regular), mask=no_regular),
            "total_spend": _numbers(spend),
            "avg_monthly_expenses": _numbers(expenses),
            "net_savings_inflow": _numbers(to_cents(saved / months)),
            "savings_balance": _numbers(held.savings),
            "savings_growth_rate": rate(np.where(start > 0, ratio(saved, start), np.nan)),
            "emergency_fund_months": rate(ratio(held.savings, expenses)),
            "card_count": cards.cards,
            "cards_with_unknown_limit": cards.unknown_limit,
            "avg_utilization": rate(cards.average),
            "max_utilization": rate(cards.highest),
            **{name: _flags(flag) for name, flag in cards.flags.items()},
            "minimum_payment_only_flag": _flags(owed.minimum_only),
            "interest_charges": _numbers(interest),
            "interest_charges_present": _flags(np.where(any_rows, interest > 0, np.nan)),
            "any_overdue": _flags(owed.overdue),
            "fees_180d": _numbers(known(np.maximum(to_cents(figures["fees"]), 0.0))),
            "fees_30d": _numbers(known(np.maximum(to_cents(figures["recent_fees"]), 0.0))),
            "service_fees_180d": _numbers(known(np.maximum(to_cents(figures["service_fees"]), 0.0))),
            "payroll_detected": _flags(known(pay["paychecks"] >= 2)),
            "pay_frequency": _chosen([*FREQUENCIES, None], pay["frequency"] % (len(FREQUENCIES) + 1)),
            "median_pay_gap_days": _numbers(pay["gap"]),
            "income_variability": rate(pay["variability"]),
            "avg_monthly_income": _numbers(income),
            "regular_income": _numbers(regular),
            "cash_flow_buffer_months": rate(ratio(held.checking, expenses)),
            "investment_account_detected": held.invests,
            "currency": held.currency,
            "currency_factor": held.factor,
        }
    )
    return table if there.all() else table.filter(pa.array(there))
