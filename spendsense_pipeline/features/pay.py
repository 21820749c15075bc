"""Who pays a customer, how often, and how much a month.

A *payday* is what one payer paid within three days: a split pay reaches two accounts on two days. What does not belong
here: which row is a paycheck by what it says (``rows.py``), and income that repeats without being pay (``streams.py``).
"""

import math
from typing import NamedTuple

import numpy as np

from spendsense_pipeline.features.arrays import ZERO, Numbers, Records, constant, median_of, sort
from spendsense_pipeline.features.calendars import Ruler
from spendsense_pipeline.features.compiled import jit
from spendsense_pipeline.features.meanings import *
from spendsense_pipeline.features.rows import is_unearned, may_be_paid_to

EVIDENCE_DAYS = 180  # pay is judged on at least so many days, however short the window
ON_ONE_CALENDAR = 0.75  # share of the paydays that must lie on a calendar for it to be theirs
NEAR_THE_GAP = 0.2  # of the period: a day for weeks, three for half months, six for months
STILL_PAID = 2  # periods from the last payday to the newest row
ONE_PAYDAY_DAYS = 3  # "paychecks of one payer within 3 days are one payday"
LEAST_BY_PATTERN = 3  # "an inflow stream with three hits"
LEAST_OF_USUAL, MOST_OF_USUAL = 0.5, 1.5  # "each amount within half to one and a half of its median"
BONUS = 2  # "a payday above twice the payer's median …"
BONUSES, BONUS_DAYS = 2, 365  # "… at most twice a year, is a bonus and left out"
# docs/signals.md, avg_monthly_income: days from one payday to the next.
PERIODS = {"weekly": 7.0, "biweekly": 14.0, "semi_monthly": 365.25 / 24, "monthly": 365.25 / 12}
FOUR_WEEKS = 28.0  # thirteen a year, which counts as monthly ...
LEAST_FOUR_WEEKLY = 5  # ... and after so many paydays is a week off it
FREQUENCIES = (*PERIODS, "irregular")
WEEKLY, BIWEEKLY, SEMI_MONTHLY, MONTHLY, IRREGULAR = range(5)
UNKNOWN_FREQUENCY = -1  # fewer than two paydays
DAYS_OF_PERIOD = constant(list(PERIODS.values()))
# Days between neighbouring paydays: the least and the most. Half a month is 13 to 18 days, and weekends move both ends.
# Of fortnights two days either way: what is due the day after a holiday comes the day before it.
LEAST_APART, MOST_APART = constant([6, 12, 11, 26]), constant([8, 16, 19, 35])
HALF_MONTH = 31  # half days between two paydays a month, on the ruler of months
CYCLE = constant([7, 14, HALF_MONTH])
OFF_ITS_PLACE = constant([1, 1, 6])  # days, and half days on the ruler of months: three days for a weekend
PLACE_BITS = 21
PLACE_MASK = (1 << PLACE_BITS) - 1

PAYDAY = np.dtype(
    [("payer", "i8"), ("day", "i8"), ("amount", "f8"), ("begins", "i8"), ("largest", "f8"), ("says_bonus", "i8")],
    align=True,
)  # fmt: skip
PAYER = np.dtype(
    [("code", "i8"), ("first_payday", "i8"), ("paydays", "i8"), ("first", "i8"), ("last", "i8"), ("usual", "f8"),
     ("gap", "f8"), ("origin", "i8"), ("before", "i8"), ("heir", "i8"),
     # on the evidence of a date
     ("in_evidence", "i8"), ("frequency", "i8"), ("steady", "f8"), ("total", "f8"), ("variability", "f8")],
    align=True,
)  # fmt: skip
# What pay comes to on a date, in a window.
PAY = np.dtype(
    [("paychecks", "i8"), ("frequency", "i8"), ("steady", "f8"), ("other", "f8"), ("variability", "f8"),
     ("gap", "f8")],
    align=True,
)  # fmt: skip


class PayRoom(NamedTuple):
    """Room for the pay of one customer at a time."""

    keys: Numbers
    paydays: Records
    """By payer and day."""
    days: Numbers
    """The days on which anybody paid, ascending."""
    payers: Records
    counts: Numbers
    numbers: Numbers
    floats: Numbers
    largest: Numbers


@jit
def to_cents(amount: float) -> float:
    """Rounded to cents, half a cent away from zero."""
    return math.trunc(amount * 100 + math.copysign(0.5, amount)) / 100


# --- pay that nothing names ------------------------------------------------------------------------------------------


@jit
def may_be_pay(row: Records) -> bool:
    """Whether an inflow may be pay by its pattern alone: "from a payer that is neither person nor own nor state, and no
    loan, refund, interest or advance"."""
    if row.kind != KIND_OTHER_IN or row.payee < 0 or row.purpose == NO_STREAM or not may_be_paid_to(row.held_as):
        return False
    if row.category & (PURCHASE | INCOME) and not row.category & INFERRED:
        return False
    if row.told & SERVICE_PEER and not row.told & TO_MERCHANT:
        return False
    somebody_else = TO_PERSON | TO_OWN | TO_STATE | TO_BANK | SERVICE_BROKERAGE | SERVICE_SHARED_BILLER | BARE
    return row.told & somebody_else == 0 and not is_unearned(row)


@jit
def find_pay_by_pattern(rows: Records, count: int, ruler: Ruler, room: PayRoom) -> None:
    """Make paychecks of the inflows that keep a calendar from weekly to monthly and are all of about one amount."""
    keys, found = room.keys, ZERO
    for i in range(count):
        if may_be_pay(rows[i]):
            keys[found] = (rows[i].payee << PLACE_BITS) | i
            found += 1
    if found < LEAST_BY_PATTERN:
        return
    sort(keys, found)
    at = ZERO
    while at < found:
        end = at + 1
        while end < found and keys[end] >> PLACE_BITS == keys[at] >> PLACE_BITS:
            end += 1
        if end - at >= LEAST_BY_PATTERN and keeps_pattern(rows, at, end, ruler, room):
            for k in range(at, end):
                rows[keys[k] & PLACE_MASK].kind = KIND_PAYCHECK
        at = end


@jit
def keeps_pattern(rows: Records, begin: int, end: int, ruler: Ruler, room: PayRoom) -> bool:
    """Whether a payer's inflows are like pay: on one calendar, none of another size."""
    days, amounts = ZERO, ZERO
    for k in range(begin, end):
        row = rows[room.keys[k] & PLACE_MASK]
        if days == 0 or room.numbers[days - 1] != row.day:
            room.numbers[days] = row.day
            days += 1
        room.floats[amounts] = row.amount
        amounts += 1
    if days < LEAST_BY_PATTERN:
        return False
    frequency = frequency_of(room.numbers, ZERO, days, ruler, room.counts)
    if frequency == UNKNOWN_FREQUENCY or frequency == IRREGULAR:
        return False
    usual = median_of(room.floats, amounts)  # sorts them
    return bool(room.floats[0] >= LEAST_OF_USUAL * usual and room.floats[amounts - 1] <= MOST_OF_USUAL * usual)


# --- paydays ---------------------------------------------------------------------------------------------------------


@jit
def find_paydays(rows: Records, count: int, room: PayRoom) -> tuple[int, int, int]:
    """Write the customer's paydays, payers and days: how many payers, paydays and days.

    An employer that changes its name on an unbroken calendar is one payer.
    """
    keys, found = room.keys, ZERO
    for i in range(count):
        if rows[i].kind == KIND_PAYCHECK:
            keys[found] = ((rows[i].payee + 1) << PLACE_BITS) | i
            found += 1
    if found == 0:
        return ZERO, ZERO, ZERO
    sort(keys, found)
    payers, paydays = ZERO, ZERO
    for k in range(found):
        row = rows[keys[k] & PLACE_MASK]
        if k == 0 or keys[k] >> PLACE_BITS != keys[k - 1] >> PLACE_BITS:
            room.payers[payers].code, room.payers[payers].first_payday = row.payee, paydays
            payers += 1
        elif row.day - room.paydays[paydays - 1].begins <= ONE_PAYDAY_DAYS:
            join_payday(room.paydays[paydays - 1], row.day, row.amount, row.amount, row.says & SAYS_BONUS)
            continue
        payday = room.paydays[paydays]
        payday.payer, payday.day, payday.amount = payers - 1, row.day, row.amount
        payday.begins, payday.largest, payday.says_bonus = row.day, row.amount, row.says & SAYS_BONUS
        paydays += 1
    for p in range(payers):
        end = room.payers[p + 1].first_payday if p + 1 < payers else paydays
        room.payers[p].paydays, room.payers[p].origin = end - room.payers[p].first_payday, p
    if payers > 1:
        join_renamed(payers, room)
        paydays = regroup(paydays, payers, room)
    for k in range(paydays):
        room.paydays[k].amount = to_cents(room.paydays[k].amount)
        room.days[k] = room.paydays[k].day
    sort(room.days, paydays)
    days = 0
    for k in range(paydays):
        if k == 0 or room.days[k] != room.days[days - 1]:
            room.days[days] = room.days[k]
            days += 1
    return payers, paydays, days


@jit
def join_payday(payday: Records, day: int, amount: float, largest: float, says_bonus: int) -> None:
    """Add what the payer paid some days later; the payday is the day of the largest part."""
    payday.amount += amount
    payday.says_bonus |= says_bonus
    if largest > payday.largest:
        payday.day, payday.largest = day, largest


@jit
def goes_on(before: Records, after: Records) -> bool:
    """Whether one payer went on where another stopped, one period later.

    The gap is the usual one of both (of the one that has a usual gap, if the other paid once), and the usual amount
    neither halves nor doubles.
    """
    apart = after.first - before.last
    if apart <= 0 or (before.paydays < 2 and after.paydays < 2):
        return False
    if before.paydays > 1 and abs(apart - before.gap) > before.gap * NEAR_THE_GAP:
        return False
    if after.paydays > 1 and abs(apart - after.gap) > after.gap * NEAR_THE_GAP:
        return False
    return after.usual <= before.usual * 2 and after.usual * 2 >= before.usual


@jit
def join_renamed(payers: int, room: PayRoom) -> None:
    """Write to each payer its ``origin``, the payer that it goes on from; three changes in a row are followed."""
    for p in range(payers):
        payer = room.payers[p]
        count = payer.paydays
        for k in range(count):
            room.floats[k] = room.paydays[payer.first_payday + k].amount
            room.numbers[k] = room.paydays[payer.first_payday + k].day
        payer.first, payer.last = room.numbers[0], room.numbers[count - 1]
        for k in range(count - 1):
            room.numbers[k] = room.numbers[k + 1] - room.numbers[k]
        payer.usual = median_of(room.floats, count)
        payer.gap = median_of(room.numbers, count - 1) if count > 1 else 0.0
        payer.before, payer.heir = -1, -1
    for p in range(payers):
        payer, least_before, least_after = room.payers[p], 0, 0
        for q in range(payers):
            other = room.payers[q]
            apart = payer.first - other.last
            if goes_on(other, payer) and (payer.before < 0 or apart < least_before):
                payer.before, least_before = q, apart
            apart = other.first - payer.last
            if goes_on(payer, other) and (payer.heir < 0 or apart < least_after):
                payer.heir, least_after = q, apart
    for p in range(payers):
        before = room.payers[p].before
        if before >= 0 and room.payers[before].heir == p:
            room.payers[p].origin = before
    for _ in range(2):  # each turn doubles the length of the chains that are followed
        for p in range(payers):
            room.payers[p].heir = room.payers[room.payers[p].origin].origin
        for p in range(payers):
            room.payers[p].origin = room.payers[p].heir


@jit
def regroup(paydays: int, payers: int, room: PayRoom) -> int:
    """Put the paydays of payers that are one next to one another; how many are left."""
    for k in range(paydays):
        payday = room.paydays[k]
        room.keys[k] = (room.payers[payday.payer].origin << 2 * PLACE_BITS) | (payday.day << PLACE_BITS) | k
        room.floats[k], room.largest[k], room.numbers[k] = payday.amount, payday.largest, payday.says_bonus
    sort(room.keys, paydays)
    for p in range(payers):
        room.payers[p].paydays = 0
    left = 0
    for k in range(paydays):
        key = room.keys[k]
        payer, day = room.payers[key >> 2 * PLACE_BITS], (key >> PLACE_BITS) & PLACE_MASK
        amount, largest = room.floats[key & PLACE_MASK], room.largest[key & PLACE_MASK]
        says_bonus = room.numbers[key & PLACE_MASK]
        same = k > 0 and key >> 2 * PLACE_BITS == room.keys[k - 1] >> 2 * PLACE_BITS
        if same and day - room.paydays[left - 1].begins <= ONE_PAYDAY_DAYS:
            join_payday(room.paydays[left - 1], day, amount, largest, says_bonus)
            continue
        if payer.paydays == 0:
            payer.first_payday = left
        payer.paydays += 1
        payday = room.paydays[left]
        payday.payer, payday.day, payday.amount = key >> 2 * PLACE_BITS, day, amount
        payday.begins, payday.largest, payday.says_bonus = day, largest, says_bonus
        left += 1
    return left


# --- frequency -------------------------------------------------------------------------------------------------------


@jit
def place_in_cycle(frequency: int, day: int, ruler: Ruler) -> int:
    """Where a day lies in the week, the fortnight, or the half month."""
    if frequency == SEMI_MONTHLY:
        return int(ruler.place[day - ruler.first_day] % HALF_MONTH)
    return int(day % CYCLE[frequency])


@jit
def usual_place(frequency: int, days: Numbers, begin: int, end: int, ruler: Ruler, counts: Numbers) -> int:
    """The place in a cycle where most days are; of equal ones the first."""
    for place in range(CYCLE[frequency]):
        counts[place] = 0
    for k in range(begin, end):
        counts[place_in_cycle(frequency, days[k], ruler)] += 1
    usual = 0
    for place in range(CYCLE[frequency]):
        if counts[place] > counts[usual]:
            usual = place
    return usual


@jit
def has_neighbour(frequency: int, days: Numbers, begin: int, end: int, k: int) -> bool:
    """Whether another payday lies one period before or after."""
    least, most = LEAST_APART[frequency], MOST_APART[frequency]
    j = k - 1
    while j >= begin and days[k] - days[j] <= most:
        if days[k] - days[j] >= least:
            return True
        j -= 1
    j = k + 1
    while j < end and days[j] - days[k] <= most:
        if days[j] - days[k] >= least:
            return True
        j += 1
    return False


@jit
def frequency_of(days: Numbers, begin: int, end: int, ruler: Ruler, counts: Numbers) -> int:
    """The calendar that three quarters of the paydays lie on, ``IRREGULAR``, or unknown with fewer than two.

    A payday lies on a calendar when another one is a period away, and it keeps the calendar's place: the same weekday
    (weekly), the same day of a fortnight (biweekly), the same two days of the month (semi-monthly). A fortnight moves
    through the month and half a month through the weekdays, so only one of them keeps its place.
    """
    count = end - begin
    if count < 2:
        return UNKNOWN_FREQUENCY
    for frequency in range(IRREGULAR):
        if frequency == MONTHLY and (count - 1) * 30 * ON_ONE_CALENDAR > days[end - 1] - days[begin] + 7:
            # Pay on most days has a payday a month away from each; there are too many for a monthly calendar.
            continue
        if lie_on(frequency, days, begin, end, ruler, counts):
            return frequency
        if frequency == WEEKLY or frequency == BIWEEKLY:
            moved = place_moved(frequency, days, begin, end)
            if (
                min(moved - begin, end - moved) >= LEAST_BY_PATTERN
                and lie_on(frequency, days, begin, moved, ruler, counts)
                and lie_on(frequency, days, moved, end, ruler, counts)
            ):
                return frequency
    return IRREGULAR


@jit
def lie_on(frequency: int, days: Numbers, begin: int, end: int, ruler: Ruler, counts: Numbers) -> bool:
    """Whether three quarters of the paydays lie on a calendar."""
    count, usual, on = end - begin, 0, 0
    if frequency != MONTHLY:
        usual = usual_place(frequency, days, begin, end, ruler, counts)
    for k in range(begin, end):
        if has_neighbour(frequency, days, begin, end, k) and (
            frequency == MONTHLY or keeps_place(frequency, days[k], usual, count, ruler)
        ):
            on += 1
    return bool(on >= count * ON_ONE_CALENDAR)


@jit
def place_moved(frequency: int, days: Numbers, begin: int, end: int) -> int:
    """The payday from which pay comes on another weekday, of a bank that passes it on earlier; the first where it never
    does or does so twice."""
    moved = begin
    for k in range(begin + 1, end):
        past = (days[k] - days[k - 1]) % CYCLE[frequency]
        if min(past, CYCLE[frequency] - past) > OFF_ITS_PLACE[frequency]:
            if moved > begin:
                return begin
            moved = k
    return moved


@jit
def keeps_place(frequency: int, day: int, usual: int, count: int, ruler: Ruler) -> bool:
    """Whether a payday lies where most do, either way round the cycle.

    With two paydays a fortnight is 14 days to the day; with more, a holiday may move one by a day.
    """
    apart = abs(place_in_cycle(frequency, day, ruler) - usual)
    off = min(apart, CYCLE[frequency] - apart)
    if frequency == BIWEEKLY and count == 2:
        return bool(off == 0)
    return bool(off <= OFF_ITS_PLACE[frequency])


# --- what a date makes of it -----------------------------------------------------------------------------------------


@jit
def judge_payers(payers: int, today: int, newest: int, days: int, ruler: Ruler, room: PayRoom) -> None:
    """Write to each payer what its paydays of the last ``days`` come to; ``newest`` is the day of the newest row."""
    for p in range(payers):
        payer, count = room.payers[p], ZERO
        payer.total, payer.steady, payer.variability, payer.frequency = 0.0, 0.0, 0.0, UNKNOWN_FREQUENCY
        for k in range(payer.first_payday, payer.first_payday + payer.paydays):
            payday = room.paydays[k]
            if payer.origin == p and today - payday.day < days:
                room.numbers[count], room.floats[count] = payday.day, payday.amount
                payer.total += payday.amount
                count += 1
        payer.in_evidence = count
        if count == 0:
            continue
        payer.frequency = frequency_of(room.numbers, ZERO, count, ruler, room.counts)
        last = room.numbers[count - 1]
        moved = last - room.numbers[0] - FOUR_WEEKS * (count - 1)
        four_weeks_apart = payer.frequency == MONTHLY and count >= LEAST_FOUR_WEEKLY and abs(moved) <= ONE_PAYDAY_DAYS
        usual = median_of(room.floats, count)  # sorts them
        payer.variability = variability_of(leave_out_bonuses(payer, today, days, usual, count, room), room.floats)
        if payer.frequency >= 0 and payer.frequency < IRREGULAR:
            period = FOUR_WEEKS if four_weeks_apart else DAYS_OF_PERIOD[payer.frequency]
            if newest - last <= STILL_PAID * period:
                payer.steady = usual * 30 / period


@jit
def is_bonus(payday: Records, usual: float) -> bool:
    """Whether a payday is above twice the usual one, or above it and a part of it calls itself a bonus."""
    return bool(payday.amount > (usual if payday.says_bonus != 0 else BONUS * usual))


@jit
def leave_out_bonuses(payer: Records, today: int, days: int, usual: float, count: int, room: PayRoom) -> int:
    """Leave the amounts that are no bonus of the ``count`` of the last ``days``, all where there were more bonuses in a
    year; how many are left."""
    in_a_year, left = 0, ZERO
    for k in range(payer.first_payday, payer.first_payday + payer.paydays):
        payday = room.paydays[k]
        in_a_year += 1 if today - payday.day < BONUS_DAYS and is_bonus(payday, usual) else 0
    if in_a_year == 0 or in_a_year > BONUSES:
        return count
    for k in range(payer.first_payday, payer.first_payday + payer.paydays):
        payday = room.paydays[k]
        if today - payday.day < days and not is_bonus(payday, usual):
            room.floats[left] = payday.amount
            left += 1
    sort(room.floats, left)
    return left


@jit
def variability_of(count: int, amounts: Numbers) -> float:
    """Sample standard deviation by mean of the first amounts, 0 of fewer than two."""
    total, squares = 0.0, 0.0
    for k in range(count):
        total += amounts[k]
    if count < 2 or total == 0:
        return 0.0
    for k in range(count):
        squares += (amounts[k] - total / count) ** 2
    return math.sqrt(squares / (count - 1)) * count / total


@jit
def sum_payers(payers: int, pay: Records, room: PayRoom) -> int:
    """Write what all payers come to, and the largest one's frequency is returned."""
    largest, frequency, varied = 0.0, UNKNOWN_FREQUENCY, 0.0
    pay.paychecks, pay.steady, pay.variability = 0, 0.0, 0.0
    for p in range(payers):
        payer = room.payers[p]
        if payer.in_evidence == 0:
            continue
        if pay.paychecks == 0 or payer.total > largest:
            largest, frequency = payer.total, payer.frequency
        pay.paychecks += payer.in_evidence
        pay.steady += payer.steady
        if payer.in_evidence > 1:
            varied += payer.total
            pay.variability += payer.variability * payer.total
    pay.variability = pay.variability / varied if varied != 0 else math.nan
    return int(frequency)


@jit
def gap_in_window(today: int, newest: int, window: int, begin: int, days: int, room: PayRoom) -> float:
    """Median gap of the paydays in the window, or the gap that is open to the newest row, whichever is longer.

    The gap before the first payday of the evidence reaches back beyond it.
    """
    gaps, still_open = ZERO, float(newest - room.days[days - 1])
    for k in range(max(begin, 1), days):
        if today - room.days[k] < window:
            room.numbers[gaps] = room.days[k] - room.days[k - 1]
            gaps += 1
    return max(median_of(room.numbers, gaps), still_open) if gaps else still_open


@jit
def write_no_pay(pay: Records) -> None:
    """Write that nobody pays."""
    pay.paychecks, pay.frequency, pay.steady, pay.other = 0, UNKNOWN_FREQUENCY, math.nan, math.nan
    pay.variability, pay.gap = math.nan, math.nan


@jit
def pay_on(
    today: int, since: int, newest: int, window: int, payers: int, paydays: int, days: int, ruler: Ruler,
    pay: Records, room: PayRoom,
) -> None:  # fmt: skip
    """Write what pay comes to on a date in a window: of the last ``max(window, 180)`` days; NaN where nothing does.

    The history begins on the day ``since``, its newest row is of ``newest``."""
    evidence = max(window, EVIDENCE_DAYS)
    write_no_pay(pay)
    begin = ZERO
    while begin < days and today - room.days[begin] >= evidence:
        begin += 1
    if begin == days:
        return
    judge_payers(payers, today, newest, evidence, ruler, room)
    largest = sum_payers(payers, pay, room)
    pay.other = 0.0
    for k in range(paydays):
        payday = room.paydays[k]
        if today - payday.day < window and payday.day >= since and room.payers[payday.payer].steady == 0:
            pay.other += payday.amount
    pay.frequency = frequency_of(room.days, begin, days, ruler, room.counts)
    if pay.frequency == IRREGULAR and largest != UNKNOWN_FREQUENCY:
        pay.frequency = largest
    if days - begin >= 2:
        pay.gap = gap_in_window(today, newest, window, begin, days, room)
