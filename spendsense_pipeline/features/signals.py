"""The signals of whole customers, on one date or many: Arrow tables in, Arrow tables out.

Knows no file, no Dagster, no engine. Definitions: docs/signals.md. What does not belong here: what any signal is
(``rows.py``, ``streams.py``, ``pay.py``, ``tables.py``), and where ranges of customers come from (``by_range.py``).
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.features import customers as kernels
from spendsense_pipeline.features import tables
from spendsense_pipeline.features.accounts import Held, OnDate, accounts_on, held_accounts
from spendsense_pipeline.features.arrays import floats, numbers, readable, records, structured
from spendsense_pipeline.features.calendars import Ruler, ruler_of_months
from spendsense_pipeline.features.columns import READ, Coded, coded, days, doubles, places, plain_texts, runs
from spendsense_pipeline.features.descriptors import Payees, Said, numbered, said
from spendsense_pipeline.features.pay import PAY, PAYDAY, PAYER, PayRoom
from spendsense_pipeline.features.rows import MOST_ROWS, ROW, SPELLING, TEXT, Names, RowRoom
from spendsense_pipeline.features.streams import (
    CHARGE,
    COUNTED,
    HIT,
    LINE,
    MOST_CENTS,
    MOST_CHARGES,
    PAYEE,
    PRICE,
    STREAM,
    PayeeRoom,
)

Array = npt.NDArray[Any]
EPOCH = dt.date(1970, 1, 1)
FAR = 1 << 30
NOBODY = Payees()
DAY_BITS = 22  # of a key that holds customer and day


class SignalsError(ValueError):
    """A customer is beyond what the kernels can hold; the message names customer and limit."""


class Customers(NamedTuple):
    """The canonical tables of whole customers: columns as their contracts name them."""

    transactions: pa.Table
    accounts: pa.Table
    liabilities: pa.Table
    users: pa.Table


class Signals(NamedTuple):
    """``streams`` (the contract ``recurring_streams``), ``features`` and ``cards`` of every date, by
    customer; ``left_out`` counts by date (``as_of``) and ``currency`` the accounts that are not in their customer's."""

    streams: pa.Table
    features: pa.Table
    cards: pa.Table
    left_out: pa.Table


def signals_of(
    customers: Customers, as_of_dates: Sequence[dt.date], windows: Sequence[int] = (30, 180), payees: Payees = NOBODY
) -> Signals:
    """Recurring streams and features of the customers on each date.

    Dates ascend; windows are days from 1 to 365; ``payees`` is what is known of payees beside the shipped tables. Money
    is in the customer's currency, positive = money in.

    >>> signals_of(Customers(transactions, accounts, liabilities, users), [date(2026, 8, 22)]).features
    """
    if not windows or not all(1 <= window <= 365 for window in windows):
        raise ValueError(f"windows are 1 to 365 days, not {list(windows)}")
    if list(as_of_dates) != sorted(set(as_of_dates)) or not as_of_dates:
        raise ValueError("dates must be different and ascend, at least one")
    dates = [(date - EPOCH).days for date in as_of_dates]
    return tables_of(evidence_of(customers, dates, list(dict.fromkeys(windows)), payees))


class Evidence(NamedTuple):
    """What the rows of a range show, and what they come to on each date."""

    dates: list[int]
    windows: list[int]
    users: pa.Array
    there: Array
    """By date and customer: known by then."""
    held: Held
    on: list[OnDate]
    owed: tables.Liabilities
    said: Said
    streams: Array
    order: Array
    """Places of the streams by customer, payee and first charge, whatever dates they were found with."""
    texts: tables.StreamTexts
    counted: Array
    figures: Array
    sums: Array
    pay: Array
    rows: "Rows"
    read: Array
    """By date and row, as ``UNPACKED`` tells it."""
    transaction_ids: pa.ChunkedArray
    rooms: kernels.Rooms
    """As the last customer left them: where there is one customer, the rows and pay of the last date."""
    ruler: Ruler


UNPACKED: Final[Mapping[str, Callable[[Array], Array]]] = {
    "kind": lambda packed: (packed & 31) - 1,
    "payee": lambda packed: (packed >> 7 & (1 << 29) - 1) - 1,
    "merchant": lambda packed: (packed >> 36) - 1,
    "penalty": lambda packed: packed >> 6 & 1 == 1,
    "service_fee": lambda packed: packed >> 5 & 1 == 1,
}
"""What rows are on a date, of ``Evidence.read``: place in ``KINDS``, numbers of payee (``Said.texts``) and readable
name (``Said.displays``), -1 where the row does not count or there is none; and which fees it counts to."""


class Rows(NamedTuple):
    """Posted rows of the range's accounts by column, by customer, day and id; ``place`` is the transaction's."""

    place: Array
    begins: Array
    day: Array
    amount: Array
    account: Array
    descriptor: Array
    identity: Array


# --- what is given, as numbers ---------------------------------------------------------------------------------------


def customers_on(users: pa.Table, dates: Sequence[int]) -> tuple[pa.Array, Array]:
    """The ids of customers, sorted, and by date and customer whether they were known by then; operators are none."""
    role = pc.fill_null(users["user_type"], "customer")
    people = users.filter(pc.equal(role, "customer")).select(["user_id", "created_at"])
    people = people.set_column(0, "user_id", plain_texts(people["user_id"])).sort_by("user_id")
    since = days(people["created_at"], missing=-(1 << 30))
    there = since[None, :] <= np.array(dates)[:, None]
    return plain_texts(people["user_id"]), there


def run_on_nothing() -> Signals:
    """The signals of a customer without a row: calls every kernel."""
    from spendsense_pipeline.features.by_range import columns_of  # whose contracts no worker waits for

    empty = {table: columns_of(table).empty_table() for table in READ}
    nobody = {"user_id": ["nobody"], "user_type": ["customer"], "created_at": [None]}
    users = pa.table(nobody, schema=empty["users"].schema)
    return signals_of(Customers(**(empty | {"users": users})), [EPOCH])


def _account_of(account: Coded, user_id: pa.ChunkedArray, held: Held, users: pa.Array) -> Array:
    """By row the place of its account, -1 where no customer holds it; a shared account has a place for each holder."""
    ids = pc.unique(held.account_id)
    if len(ids) == len(held.account_id):
        return np.append(places(account.texts, held.account_id), -1)[account.codes]
    number, user = np.append(places(account.texts, ids), -1)[account.codes], places(user_id, users)
    keys = held.user * len(ids) + places(held.account_id, ids)
    order = np.argsort(keys)
    wanted = np.where((number < 0) | (user < 0), -1, user * len(ids) + number)
    found = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.asarray(np.where(keys[order][found] == wanted, order[found], -1))


def _liabilities(table: pa.Table, held: Held, users: pa.Array) -> tables.Liabilities:
    account = _account_of(coded(table["account_id"]), table["user_id"], held, users)
    stated = (
        *("last_payment_amount", "minimum_payment_amount", "last_statement_balance", "is_overdue"),
        *("apr_purchase", "interest_rate"),
    )
    kept = account >= 0
    last_payment, minimum, statement, overdue, apr, rate = (doubles(table[name])[kept] for name in stated)
    kind = np.array(plain_texts(table["liability_type"]).to_pylist(), object)[kept]
    due = days(table["next_payment_due_date"], -1)[kept]
    day = days(table["balance_date"], -FAR)[kept]
    return tables.Liabilities(account[kept], day, last_payment, minimum, statement, overdue, apr, rate, due, kind)


class Posted(NamedTuple):
    """Posted rows of the range's accounts, as they come."""

    place: Array
    account: Array
    day: Array
    amount: Array


def _posted(transactions: pa.Table, account: Coded, held: Held, users: pa.Array) -> Posted:
    accounts = _account_of(account, transactions["user_id"], held, users)
    pending = pc.fill_null(transactions["pending"], False).to_numpy()
    kept = np.flatnonzero((accounts >= 0) & ~pending)
    return Posted(kept, accounts[kept], days(transactions["date"])[kept], doubles(transactions["amount"])[kept])


def _account_rows(posted: Posted, held: Held, dates: Sequence[int]) -> tuple[Array, Array, Array]:
    """By date and account: rows by then, what later rows up to the balance's day moved; by account the first day."""
    accounts, width = len(held.user), len(dates) + 1
    after = np.searchsorted(dates, posted.day, side="left")  # how many dates lie before the row's day
    rows = np.bincount(posted.account * width + after, minlength=accounts * width).reshape(accounts, width)
    rows = np.cumsum(rows, axis=1)[:, :-1].T
    moving = np.flatnonzero((posted.day <= held.balance_day[posted.account]) & (after > 0))
    moved = np.bincount(
        posted.account[moving] * width + after[moving], posted.amount[moving], accounts * width
    ).reshape(accounts, width)
    moved = np.cumsum(moved[:, ::-1], axis=1)[:, ::-1][:, 1:].T
    first = np.full(accounts, FAR)
    np.minimum.at(first, posted.account, posted.day)
    return rows, moved, first


def _ordered(transactions: pa.Table, posted: Posted, user: Array, last_day: int) -> Array:
    """Places among the ``posted`` rows up to a day, by customer, day and id."""
    kept = np.flatnonzero(posted.day <= last_day)
    key = (user[kept] << DAY_BITS) + posted.day[kept]
    if (np.diff(key) < 0).any():  # the warehouse stores them in order
        order = np.argsort(key, kind="stable")
        kept, key = kept[order], key[order]
    # Ids decide within a day: few rows have to be compared.
    same = np.flatnonzero(np.diff(key) == 0)
    ids = transactions["transaction_id"]
    first, second = (ids.take(pa.array(posted.place[kept[same + step]])) for step in (0, 1))
    if pc.any(pc.greater(first, second), min_count=0).as_py():
        tied = np.unique(np.concatenate([same, same + 1]))
        table = pa.table({"key": key[tied], "id": ids.take(pa.array(posted.place[kept[tied]]))})
        order = pc.sort_indices(table, [("key", "ascending"), ("id", "ascending")]).to_numpy()
        kept[tied] = kept[tied[order]]
    return kept


# --- what the rows show ----------------------------------------------------------------------------------------------


def evidence_of(customers: Customers, dates: list[int], windows: list[int], payees: Payees = NOBODY) -> Evidence:
    """Run the kernels over the customers; dates are days since 1970."""
    transactions = customers.transactions
    users, there = customers_on(customers.users, dates)
    held = held_accounts(customers.accounts, users)
    account, identity = coded(transactions["account_id"]), coded(transactions["merchant_entity_id"])
    posted = _posted(transactions, account, held, users)
    rows_by, moved, first = _account_rows(posted, held, dates)
    on = [accounts_on(date, held, len(users), rows_by[place], first, moved[place]) for place, date in enumerate(dates)]
    order = _ordered(transactions, posted, held.user[posted.account], dates[-1])
    at = posted.place[order]
    user = held.user[posted.account[order]]
    descriptor, descriptors = numbered(transactions, at)
    rows = Rows(
        at,
        np.searchsorted(user, np.arange(len(users) + 1)).astype("i8"),
        posted.day[order],
        posted.amount[order],
        posted.account[order],
        descriptor,
        identity.codes[at],
    )
    _require_room(rows, users)
    told = said(descriptors, identity.texts.to_pylist(), dates, payees)
    rooms = rooms_of(int(np.diff(rows.begins).max(initial=0)) + 2, len(told.texts))
    first_day = int(rows.day.min()) if len(rows.day) else 0
    ruler = ruler_of(first_day, max(dates[-1], first_day))
    found = _run(rows, held, on, told, len(descriptors), dates, windows, rooms, ruler)
    return Evidence(
        dates, windows, users, there, held, on,
        _liabilities(customers.liabilities, held, users),
        told, found.streams, tables.in_order(found.streams),
        tables.texts_of(found.streams, users.to_pylist(), told), found.counted,
        found.figures.reshape(len(dates), len(users)),
        found.in_window.reshape(len(dates), len(users), len(windows)),
        found.pay.reshape(len(dates), len(users), len(windows)),
        rows, found.read.reshape(len(dates), len(rows.day)), transactions["transaction_id"], rooms, ruler,
    )  # fmt: skip


def _require_room(rows: Rows, users: pa.Array) -> None:
    """Keys are packed into 64 bits; what does not fit there is said, not guessed."""
    counts = np.diff(rows.begins)
    if len(counts) and counts.max() >= min(MOST_ROWS, MOST_CHARGES):
        user = users[int(counts.argmax())].as_py()
        raise SignalsError(
            f"customer {user} has {counts.max():,} transactions; at most {MOST_CHARGES - 1:,} can be read"
        )
    largest = np.abs(rows.amount).max(initial=0.0) * 100
    if largest >= MOST_CENTS:
        place = int(np.searchsorted(rows.begins, np.abs(rows.amount).argmax(), side="right")) - 1
        raise SignalsError(
            f"customer {users[place].as_py()} has a transaction of {largest / 100:,.2f}; amounts of up to "
            f"{MOST_CENTS / 100:,.2f} can be read"
        )


def _run(
    rows: Rows,
    held: Held,
    on: list[OnDate],
    told: Said,
    descriptors: int,
    dates: list[int],
    windows: list[int],
    rooms: kernels.Rooms,
    ruler: Ruler,
) -> kernels.Found:
    """Call the kernels on whole customers, as often as what they find fits into the room for it."""
    users, number = len(rows.begins) - 1, len(rows.day)
    most = int(np.diff(rows.begins).max(initial=0)) + 2
    table = kernels.Table(
        *(readable(each) for each in (
            rows.begins, rows.day, rows.amount, rows.account, rows.descriptor, rows.identity
        ))
    )  # fmt: skip
    of = kernels.Descriptors(readable(told.of), descriptors, readable(np.array(told.versions)))
    accounts = kernels.Accounts(
        readable(held.held_as), readable(held.currency), readable(np.concatenate([each.main_currency for each in on])),
        readable(np.concatenate([each.own_accounts for each in on])),
    )  # fmt: skip
    names = Names(
        *(readable(each) for each in (
            told.says, told.told, told.category, told.label, told.text, told.display, told.id_text, told.id_display
        ))
    )  # fmt: skip
    by_user = len(dates) * users
    figures, in_window = records(by_user, kernels.FIGURES), records(by_user * len(windows), kernels.IN_WINDOW)
    pay = records(by_user * len(windows), PAY)
    room = max(number, most * len(dates))
    found = kernels.Found(
        records(room // 2 + len(dates), STREAM), records(room + len(dates), COUNTED),
        numbers(number * len(dates)), figures,
        in_window, pay,
    )  # fmt: skip
    streams, counted, user, before = [], [], 0, 0
    while user < users:
        user, made, rows_counted = kernels.customers(
            user, readable(np.array(dates)), readable(np.array(windows)), table, of, accounts, names, ruler, rooms,
            found,
        )  # fmt: skip
        part = structured(found.streams, STREAM, made)
        part["first_hit"] += before
        streams.append(part)
        counted.append(structured(found.counted, COUNTED, rows_counted))
        before += rows_counted
    return kernels.Found(
        np.concatenate(streams) if streams else np.empty(0, STREAM),
        np.concatenate(counted) if counted else np.empty(0, COUNTED),
        np.asarray(found.read, "i8"), structured(figures, kernels.FIGURES), structured(in_window, kernels.IN_WINDOW),
        structured(pay, PAY),
    )  # fmt: skip


def rooms_of(most: int, texts: int) -> kernels.Rooms:
    """Room for customers of so many rows at most, and so many texts."""
    return kernels.Rooms(
        records(most, ROW),
        RowRoom(numbers(most), records(most, SPELLING), records(texts + 1, TEXT)),
        PayeeRoom(
            records(1, PAYEE), records(most, CHARGE), records(most, PRICE), records(3 * most, HIT),
            records(2 * most, LINE), numbers(most), numbers(most), numbers(most), numbers(most), floats(most),
        ),
        PayRoom(
            numbers(most), records(most, PAYDAY), numbers(most), records(most, PAYER), numbers(31), numbers(most),
            floats(most), floats(most),
        ),
        numbers(most), records(most, kernels.GROUP), records(most, kernels.GROUP),
    )  # fmt: skip


def ruler_of(first: int, last: int) -> Ruler:
    """Places of the days from first to last, as kernels read them."""
    return Ruler(first, *(readable(each) for each in ruler_of_months(first, last)))


# --- what a date makes of it -----------------------------------------------------------------------------------------


def tables_of(evidence: Evidence) -> Signals:
    """The tables of every date."""
    e = evidence
    streams, features, cards, left_out = [], [], [], []
    for place, today in enumerate(e.dates):
        figures = e.figures[place]
        balances = tables.balances_on(e.held, e.on[place], e.owed, today, len(e.users))
        stand = streams_on(e, place, balances.factor)
        streams.append(tables.streams_table(stand, e.texts, today))
        active = tables.active_subscriptions(stand)
        charged = charged_in(e, stand.s, active, today)
        monthly = tables.monthly_sums(stand, len(e.users))
        for w, window in enumerate(e.windows):
            subscribed = tables.subscriptions(stand, active, charged[:, w], today, window, len(e.users))
            features.append(
                tables.features_table(
                    today, window, e.users, e.there[place], figures, e.sums[place, :, w], e.pay[place, :, w],
                    subscribed, monthly, balances,
                )
            )  # fmt: skip
        cards.append(tables.cards_table(e.held, e.on[place], e.owed, e.users, e.there[place], today))
        left_out.append(_left_out(e, place, today))
    return Signals(*(pa.concat_tables(each) for each in (streams, features, cards, left_out)))


def streams_on(e: Evidence, place: int, factor: Array) -> tables.Standing:
    """The streams that stand on a date, of customers known by then; ``factor`` is units of money per US dollar."""
    valid = (e.streams["since"] <= place) & (place <= e.streams["until"]) & e.there[place][e.streams["user"]]
    found = e.order[valid[e.order]]
    return tables.standing(e.streams, found, e.figures[place]["last_day"], factor, e.said.labels)


def charged_in(e: Evidence, s: Array, chosen: Array, today: int) -> Array:
    """What streams took in each window (positive), NaN without a charge in it."""
    of, row = runs(s["first_hit"][chosen], s["occurrences"][chosen])
    age, amount = today - e.counted["day"][row], e.counted["amount"][row]
    charged = np.empty((len(chosen), len(e.windows)))
    for w, window in enumerate(e.windows):
        inside = age < window
        total = np.bincount(of[inside], -amount[inside], len(chosen))
        charged[:, w] = np.where(np.bincount(of[inside], minlength=len(chosen)) > 0, total, np.nan)
    return charged


def _left_out(e: Evidence, place: int, today: int) -> pa.Table:
    """Accounts in another than their customer's main currency, counted, so that nobody takes the signals for the whole
    of the customers' money."""
    main, held = e.on[place].main_currency, e.held
    other = (held.currency >= 0) & (held.currency != main[held.user]) & e.there[place][held.user]
    counts = np.bincount(held.currency[other], minlength=len(held.currencies))
    kept = np.flatnonzero(counts)
    return pa.table(
        {
            "as_of": tables.dates(np.full(len(kept), today)),
            "currency": pa.array([held.currencies[each] for each in kept], pa.string()),
            "accounts": counts[kept],
        }
    )
