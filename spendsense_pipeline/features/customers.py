"""Whole customers, one after another: rows, streams, pay and sums, for each date. The kernel that Python calls.

What a customer's rows show does not know a date: the streams of a payee whose charges did not change from one date to
the next are those of the date before. What does not belong here: what any of it means.
"""

from typing import NamedTuple

import numpy as np

from spendsense_pipeline.features.arrays import ZERO, Numbers, Records, sort
from spendsense_pipeline.features.calendars import Ruler
from spendsense_pipeline.features.compiled import jit, kernel
from spendsense_pipeline.features.meanings import *
from spendsense_pipeline.features.pay import PayRoom, find_pay_by_pattern, find_paydays, pay_on, write_no_pay
from spendsense_pipeline.features.rows import Names, RowRoom, classify
from spendsense_pipeline.features.streams import (
    CHARGED,
    GIVEN_BACK,
    LEAST_VARYING,
    PayeeRoom,
    drop_refunded,
    streams_of_payee,
)

LEAST_VARYING_INCOME = 4  # hits; irregular pay meets a calendar three times by chance; ours
LEAST_VARYING_TRANSFERS = 6  # payments to people meet on a day for a while; a standing one lasts; ours
ROW_MASK = (1 << 31) - 1  # of a key that holds payee, direction and row
FEE_DAYS = 180  # fees_180d and service_fees_180d, whatever the window
RECENT_FEE_DAYS = 30  # fees_30d: what keeps products away from somebody in trouble
EXPLAINED_DAYS = 90  # "share of the last 90 days' rows of which category, known payee or kind is known"
LONG_GAP_DAYS = 92  # "from the first row after the last gap of more than 92 days without any row"

# What a customer's rows come to on a date. The history begins after the last long gap.
FIGURES = np.dtype(
    [("rows", "i8"), ("first_day", "i8"), ("last_day", "i8"), ("fees", "f8"), ("service_fees", "f8"),
     ("recent_fees", "f8"),
     ("recent", "i8"), ("explained", "i8"), ("unlinked", "i8")],
    align=True,
)  # fmt: skip
# And in a window.
IN_WINDOW = np.dtype([("spent", "f8"), ("interest", "f8"), ("saved", "f8"), ("unlinked", "f8")], align=True)
# The charges of a payee on the date before: the same ones have the same streams.
GROUP = np.dtype([("key", "i8"), ("hash", "i8"), ("first_stream", "i8"), ("streams", "i8")], align=True)


class Table(NamedTuple):
    """Posted transactions by column: those of a customer next to one another, in order of day and id."""

    begins: Numbers
    """Where each customer's rows begin; one more number than customers."""
    day: Numbers
    amount: Numbers
    account: Numbers
    descriptor: Numbers
    identity: Numbers


class Descriptors(NamedTuple):
    """The number of what a descriptor says, ``of`` version and descriptor; the version of each date."""

    of: Numbers
    width: int
    versions: Numbers


class Accounts(NamedTuple):
    """By account, and by date and customer."""

    held_as: Numbers
    currency: Numbers
    """A number for each currency; -1 where none is named."""
    main_currency: Numbers
    """By date and customer, one after another."""
    own_accounts: Numbers
    """By date and customer: how many accounts they have."""


class Rooms(NamedTuple):
    """Room to work in, and what was found of the date before."""

    rows: Records
    row_room: RowRoom
    payee_room: PayeeRoom
    pay_room: PayRoom
    candidates: Numbers
    groups: Records
    before: Records


class Found(NamedTuple):
    """What is written: streams with the rows that they count, and figures by date and customer (and window)."""

    streams: Records
    counted: Records
    read: Numbers
    """By date and row of the table what the row is (``packed``), 0 where it does not count."""
    figures: Records
    in_window: Records
    pay: Records


@jit
def rows_on(
    today: int, user: int, place: int, version: int, table: Table, said: Descriptors, names: Names,
    accounts: Accounts, rows: Records, kept: int,
) -> int:  # fmt: skip
    """Gather the customer's rows that count on a date, those in the main currency, behind the ``kept`` ones of the date
    before; how many."""
    count = kept
    first = rows[kept - 1].number + 1 if kept else table.begins[user]
    for i in range(first, table.begins[user + 1]):
        if table.day[i] > today:
            break
        account = table.account[i]
        currency = accounts.currency[account]
        if currency >= 0 and currency != accounts.main_currency[place]:
            continue
        row = rows[count]
        row.number, row.day, row.amount, row.account = i, table.day[i], table.amount[i], account
        row.held_as, row.identity = accounts.held_as[account], table.identity[i]
        row.said = said.of[version * said.width + table.descriptor[i]]
        row.category, row.says, row.told = names.category[row.said], names.says[row.said], names.told[row.said]
        row.judged = 0
        count += 1
    return count


@jit
def candidates_of(rows: Records, count: int, keys: Numbers) -> int:
    """The rows that may repeat, and refunds, by payee, inflows after outflows; how many."""
    found = ZERO
    for i in range(count):
        row = rows[i]
        may_repeat = (
            row.kind == KIND_REFUND or row.kind == KIND_OTHER_OUT or row.kind == KIND_OTHER_IN
            or row.kind == KIND_PAYCHECK or row.kind == KIND_BENEFIT
        )  # fmt: skip
        if row.kind == KIND_OTHER_IN and row.told & BARE:
            continue  # nobody is named who might pay regularly
        if row.held_as == INVESTMENT or row.held_as == LOAN:
            continue  # what is bought and credited there is neither spent nor earned
        if may_repeat and row.payee >= 0 and row.cents > 0:
            inflow = 1 if row.amount > 0 and row.kind != KIND_REFUND else 0
            keys[found] = (row.payee << 32) | (inflow << 31) | i
            found += 1
    sort(keys, found)
    return found


@jit
def charges_of(rows: Records, keys: Numbers, begin: int, end: int, ruler: Ruler, room: PayeeRoom) -> int:
    """Write a payee's charges; how many, 0 for a payee shunned for what it is: by the rows that say it."""
    inflow = (keys[begin] >> 31) & 1 == 1
    shunned, speaking, count = 0, 0, ZERO
    for k in range(begin, end):
        i = keys[k] & ROW_MASK
        row = rows[i]
        refund = row.kind == KIND_REFUND
        silent = row.purpose == NO_PURPOSE and row.category & UNSAID != 0 and not inflow
        speaking += 0 if silent else 1
        if row.purpose == NO_STREAM and not refund:
            shunned += 1
            continue
        charge = room.charges[count]
        charge.row, charge.day, charge.amount, charge.price = i, row.day, row.amount, row.cents
        charge.months, charge.moved = ruler.place[row.day - ruler.first_day], ruler.moved[row.day - ruler.first_day]
        charge.purpose, charge.evidence, charge.label = row.purpose, row.evidence, row.label
        by_transfer = row.category & TRANSFER_OUT != 0
        charge.least_varying = LEAST_VARYING
        if inflow:
            charge.least_varying = LEAST_VARYING_INCOME
        elif by_transfer or row.told & (TO_PERSON | SERVICE_PEER):
            charge.least_varying = LEAST_VARYING_TRANSFERS
        vouched = row.purpose == FOR_BILL and (row.evidence != BY_PATTERN or by_transfer)
        charge.may_vary = 1 if vouched or row.kind == KIND_BENEFIT else 0
        charge.earned = 1 if row.kind == KIND_PAYCHECK else 0
        charge.by_card = 1 if row.held_as == CREDIT_CARD or row.told & MARK_CARD or row.says & SAYS_CARD else 0
        against = row.category & (GOODS | LOAN_PAYMENTS) or row.told & (TO_PERSON | SERVICE_PEER)
        charge.goods, charge.silent = 1 if against else 0, 1 if silent else 0
        charge.to_somebody = 1 if row.told & (TO_PERSON | SERVICE_PEER) else 0
        charge.state = GIVEN_BACK if refund else CHARGED
        count += 1
    if shunned and 2 * shunned >= speaking:
        return 0
    return drop_refunded(room, count)


@jit
def fingerprint(rows: Records, keys: Numbers, begin: int, end: int) -> int:
    """A number that differs where what a payee's streams are found from does."""
    mixed = end - begin + rows[keys[begin] & ROW_MASK].merchant
    for k in range(begin, end):
        i = keys[k] & ROW_MASK
        mixed = ((mixed * 1_000_003) ^ (i * len(KINDS) + rows[i].kind)) & 0x3FFFFFFFFFFF
        mixed = ((mixed * 1_000_003) ^ rows[i].said) & 0x3FFFFFFFFFFF
    return int(mixed)


@jit
def streams_on(
    date: int, user: int, count: int, ruler: Ruler, rooms: Rooms, before: int, made: int, counted: int, found: Found,
) -> tuple[int, int, int]:  # fmt: skip
    """Write the customer's streams on a date: the numbers after the last stream and row, and how many payees.

    A payee whose rows are those of the date before keeps its streams.
    """
    keys, rows, groups = rooms.candidates, rooms.rows, ZERO
    candidates, at, other = candidates_of(rows, count, keys), ZERO, 0
    while at < candidates:
        key, end = keys[at] >> 31, at + 1
        while end < candidates and keys[end] >> 31 == key:
            end += 1
        if end - at > 1:
            group = rooms.groups[groups]
            group.key, group.hash, group.first_stream = key, fingerprint(rows, keys, at, end), made
            while other < before and rooms.before[other].key < key:
                other += 1
            if other < before and rooms.before[other].key == key and rooms.before[other].hash == group.hash:
                group.first_stream, group.streams = rooms.before[other].first_stream, rooms.before[other].streams
                extend_streams(group, date, found)
            else:
                made, counted = payee_on(date, user, at, end, ruler, rooms, made, counted, found)
                group.streams = made - group.first_stream
            groups += 1
        at = end
    return made, counted, groups


@jit
def extend_streams(group: Records, date: int, found: Found) -> None:
    """Say of a payee's streams that they stand on another date as they are."""
    for s in range(group.first_stream, group.first_stream + group.streams):
        found.streams[s].until = date


@jit
def payee_on(
    date: int, user: int, begin: int, end: int, ruler: Ruler, rooms: Rooms, made: int, counted: int, found: Found,
) -> tuple[int, int]:  # fmt: skip
    """Write a payee's streams on a date; the numbers after the last stream and row."""
    keys, rows, room = rooms.candidates, rooms.rows, rooms.payee_room
    charges = charges_of(rows, keys, begin, end, ruler, room)
    key = keys[begin] >> 31
    after = streams_of_payee(room, charges, key & 1 == 1, found.streams, made)
    counted = write_counted(room, rows, charges, made, after, counted, found)
    for s in range(made, after):
        stream = found.streams[s]
        stream.user, stream.payee, stream.merchant = user, key >> 1, rows[keys[begin] & ROW_MASK].merchant
        stream.since, stream.until = date, date
    return after, counted


@jit
def write_counted(
    room: PayeeRoom, rows: Records, charges: int, first: int, after: int, counted: int, found: Found
) -> int:
    """Write which rows the streams from ``first`` on count, by date; the number after the last."""
    for s in range(first, after):
        found.streams[s].first_hit = counted
        for i in range(charges):
            if room.charges[i].stream == s:
                row = found.counted[counted]
                row.number, row.day = rows[room.charges[i].row].number, room.charges[i].day
                row.amount = room.charges[i].amount
                counted += 1
    return counted


@jit
def is_spending(kind: int, held_as: int) -> bool:
    """Outflows from checking, savings, card and other accounts less own transfers and card payments; refunds."""
    if held_as == INVESTMENT or held_as == LOAN:
        return False
    return (
        kind == KIND_OTHER_OUT or kind == KIND_CASH_WITHDRAWAL or kind == KIND_REFUND or kind == KIND_FEE
        or kind == KIND_SERVICE_FEE or kind == KIND_INTEREST_CHARGED or kind == KIND_ADVANCE
    )  # fmt: skip


@jit
def is_explained(row: Records) -> bool:
    """Whether it is known what a row is: by its category, by who was paid, or by its kind."""
    if row.kind != KIND_OTHER_OUT and row.kind != KIND_OTHER_IN:
        return True
    known = TO_EMPLOYER | TO_STATE | TO_OWN | TO_BANK | ANY_SERVICE
    return row.category & UNKNOWN == 0 or row.told & known != 0 or row.purpose >= FOR_BILL


@jit
def history_of(rows: Records, count: int) -> int:
    """The first day of the history: after the last long gap."""
    i = count - 1
    while i > 0 and rows[i].day - rows[i - 1].day <= LONG_GAP_DAYS:
        i -= 1
    return int(rows[i].day)


@jit
def sum_rows(
    rows: Records,
    count: int,
    today: int,
    windows: Numbers,
    figures: Records,
    first: int,
    in_window: Records,
    room: RowRoom,
) -> None:
    """Write what a customer spent, saved and was charged on a date, in each window, and how far it is explained."""
    longest = FEE_DAYS
    for w in range(len(windows)):
        longest = max(longest, windows[w])
    figures.rows, figures.first_day, figures.last_day = count, history_of(rows, count), rows[count - 1].day
    unlinked = ZERO
    for i in range(count - 1, -1, -1):
        row = rows[i]
        age = today - row.day
        if age >= longest:
            break
        if age < EXPLAINED_DAYS:
            figures.recent += 1
            figures.explained += 1 if is_explained(row) else 0
        if age < FEE_DAYS:
            if row.penalty and (row.kind == KIND_FEE or row.kind == KIND_REFUND):
                figures.fees -= row.amount
                if age < RECENT_FEE_DAYS:
                    figures.recent_fees -= row.amount
            if row.service_fee and (row.kind == KIND_SERVICE_FEE or row.kind == KIND_REFUND):
                figures.service_fees -= row.amount
            if row.unlinked == 1:
                room.keys[unlinked] = row.payee
                unlinked += 1
        spending = is_spending(row.kind, row.held_as)
        for w in range(len(windows)):
            # What was before a long gap is no part of the months that sums are divided by.
            if age < windows[w] and row.day >= figures.first_day:
                sums = in_window[first + w]
                if spending:
                    sums.spent -= row.spent
                if row.kind == KIND_INTEREST_CHARGED:
                    sums.interest -= row.amount
                if row.held_as == SAVINGS:
                    sums.saved += row.amount
                if row.unlinked == 1:
                    sums.unlinked -= row.amount
    sort(room.keys, unlinked)
    for k in range(unlinked):
        figures.unlinked += 1 if k == 0 or room.keys[k] != room.keys[k - 1] else 0


@kernel
def customers(
    first_user: int, dates: Numbers, windows: Numbers, table: Table, said: Descriptors, accounts: Accounts,
    names: Names, ruler: Ruler, rooms: Rooms, found: Found,
) -> tuple[int, int, int]:  # fmt: skip
    """Write figures and streams of the customers from ``first_user`` on; the next customer, and how many streams and
    counted rows. The next is none of them where what is found might not fit any more."""
    users, made, counted = len(table.begins) - 1, ZERO, ZERO
    for user in range(first_user, users):
        all_rows = table.begins[user + 1] - table.begins[user]
        if made + all_rows * len(dates) > 2 * len(found.streams) or counted + all_rows * len(dates) > len(
            found.counted
        ):
            return user, made, counted
        seen, own_accounts, currency, version, before = -1, -1, -1, -1, ZERO
        payers, paydays, days = ZERO, ZERO, ZERO
        for date in range(len(dates)):
            today, place = dates[date], date * users + user
            same = version == said.versions[date] and currency == accounts.main_currency[place]
            kept = seen if same else ZERO
            count = rows_on(today, user, place, said.versions[date], table, said, names, accounts, rooms.rows, kept)
            if count == 0:
                for w in range(len(windows)):
                    write_no_pay(found.pay[place * len(windows) + w])
                continue
            changed = not same or count != seen or own_accounts != accounts.own_accounts[place]
            if currency != accounts.main_currency[place]:
                before = ZERO  # other rows under the same numbers
            seen, own_accounts, currency = count, accounts.own_accounts[place], accounts.main_currency[place]
            version = said.versions[date]
            if changed:
                stamp = user * (len(dates) + 1) + date + 1
                classify(stamp, rooms.rows, count, names, own_accounts, rooms.row_room)
                find_pay_by_pattern(rooms.rows, count, ruler, rooms.pay_room)
                payers, paydays, days = find_paydays(rooms.rows, count, rooms.pay_room)
                made, counted, groups = streams_on(date, user, count, ruler, rooms, before, made, counted, found)
                for g in range(groups):
                    keep_group(rooms, g)
                before = groups
            else:
                for g in range(before):
                    extend_streams(rooms.before[g], date, found)
            figures = found.figures[place]
            sum_rows(rooms.rows, count, today, windows, figures, place * len(windows), found.in_window, rooms.row_room)
            for w in range(len(windows)):
                pay = found.pay[place * len(windows) + w]
                pay_on(
                    today, figures.first_day, figures.last_day, windows[w], payers, paydays, days, ruler, pay,
                    rooms.pay_room,
                )  # fmt: skip
            for i in range(count):
                found.read[date * len(table.day) + rooms.rows[i].number] = packed(rooms.rows[i])
    return users, made, counted


@jit
def packed(row: Records) -> int:
    """What a row is, in one number: kind, whether it counts to penalty or service fees, payee, readable name."""
    fees = (1 if row.service_fee else 0) | (2 if row.penalty else 0)
    return ((row.merchant + 1) << 36) | ((row.payee + 1) << 7) | (fees << 5) | (row.kind + 1)


@jit
def keep_group(rooms: Rooms, place: int) -> None:
    """Remember a payee's charges for the next date."""
    now, kept = rooms.groups[place], rooms.before[place]
    kept.key, kept.hash = now.key, now.hash
    kept.first_stream, kept.streams = now.first_stream, now.streams
