"""Recurring streams of one payee: which of its charges keep a calendar, at which price.

For each way to gather charges into price lines, and for each price line, the calendar that explains most of its charges
with the fewest streams is kept; the way of gathering that explains most of the payee wins. Quoted sentences are those
of docs/signals.md on `recurring_streams`; "ours" is our judgement, measured in docs/accuracy.md.

What does not belong here: what a row is (``rows.py``), and what a date makes of a stream (``tables.py``).
"""

import math
from typing import NamedTuple

import numpy as np

from spendsense_pipeline.features.arrays import ONE, ZERO, Numbers, Records, copy_record, median_of, sort
from spendsense_pipeline.features.calendars import (
    ANNUAL,
    CALENDARS,
    FOUR_WEEKLY,
    LEAST_HITS,
    MONTHLY,
    MOST_MOVED,
    OF_MONTHS,
    PAUSE,
    PERIOD,
    REACH,
    SEMI_ANNUAL,
    SEMI_MONTHLY,
    TOLERANCE,
    TWO_MONTHLY,
)
from spendsense_pipeline.features.compiled import jit
from spendsense_pipeline.features.meanings import BY_LIST_PRICE, BY_PATTERN, FOR_BILL, FOR_SUBSCRIPTION, NO_PURPOSE

REFUND_DAYS = 60  # "a refund cancels the latest equal charge of that payee within 60 days"
SAME_PRICE = 103  # percent; "fixed price: to the cent, within 3 %"
VARIATION = 3  # "bills may vary (a third to three times)"; income, and the step from an introductory price: ours
NEXT_DRIFTED = 105  # percent; "drifting with a currency: each within 5 % of its neighbour"
ALL_DRIFTED = 125  # percent; "and all within a quarter"
LEAST_DRIFTING = 4  # hits; three purchases of about a price meet a calendar by chance; ours
RENEWED = 125  # percent; "at each renewal of a semi-annual or annual line the price may step by up to a quarter"
LEAST_VARYING = 3  # hits, where no price is charged twice to the cent and vouches for the line; ours
LEAST_OF_GOODS = 6  # hits, where a shop's charges are but near one another: three of many baskets often are; ours
MOST_OFFERED = 3  # hits at an introductory price, from which the full one may be any leap away; ours
PRICE_STEP = 0.01  # "last step of more than 1 %"
EXPLAINED = 0.75  # "a line must explain three quarters of the rows at its price in its span"
# And so much of what is left of all of them after one for each line: haircuts at one price meet a calendar four times
# in a row by chance, and another one three times. Ours.
EXPLAINED_EVER = 0.6
NEAR_ITS_DAYS = 0.45  # of the tolerance, on average: pay of any amount that keeps its days; ours
MORE_AMONG_OTHERS = 2  # "where other purchases at the payee exceed half the hits, ask for two more hits"
PLANS = 2  # at one payee on neighbouring days: "two plans at one payee are two streams"
ROWS_BACK = 4  # a charge one period before is one of so many before; ours

# The ways to gather charges into price lines.
ONE_PRICE, NEAR_PRICES, ALL_PRICES, REPEATED_PRICES, DRIFTING_PRICES = range(5)
WAYS = 5
PLACE_BITS = 20
PLACE_MASK = (1 << PLACE_BITS) - 1
MOST_CHARGES = 1 << PLACE_BITS  # of a payee: a charge's place is packed into a key with its price
MOST_CENTS = 1 << 42
LOWEST_SLOT = 1 << 18  # added to slots where they are packed, so that none is negative
CHARGED, GIVEN_BACK, CANCELLED = 0, 1, 2

CHARGE = np.dtype(
    [("row", "i8"), ("day", "i8"), ("months", "i8"), ("moved", "i8"), ("price", "i8"), ("amount", "f8"),
     ("least_varying", "i8"), ("purpose", "i8"), ("evidence", "i8"), ("may_vary", "i8"), ("earned", "i8"),
     ("by_card", "i8"), ("goods", "i8"), ("silent", "i8"), ("to_somebody", "i8"), ("label", "i8"),
     ("state", "i8"), ("stream", "i8"),
     # on the calendar that is being tried
     ("place", "i8"), ("slot", "i8"), ("offset", "i8"), ("group", "i8"), ("plan", "i8")],
    align=True,
)  # fmt: skip
PAYEE = np.dtype(
    [("charges", "i8"), ("inflow", "i8"), ("may_vary", "i8"), ("prices", "i8"), ("repeated", "i8"),
     ("repeated_charges", "i8"), ("near", "i8"), ("drift", "i8"), ("middle", "f8"), ("middle_of_once", "f8")],
    align=True,
)  # fmt: skip
PRICE = np.dtype(
    [("cents", "i8"), ("charges", "i8"), ("first", "i8"), ("near", "i8"), ("drift", "i8")], align=True
)  # fmt: skip
# A charge on an expected date: the number of the date, and how far from it the charge lies.
HIT = np.dtype(
    [("charge", "i8"), ("seen", "i8"), ("slot", "i8"), ("half", "i8"), ("line", "i8"), ("anchor", "f8"),
     ("middle", "f8"), ("off", "f8"), ("distance", "f8")],
    align=True,
)  # fmt: skip
# Hits of one price line on one calendar, with no pause longer than makes a stream inactive.
LINE = np.dtype(
    [("calendar", "i8"), ("first_hit", "i8"), ("hits", "i8"), ("least", "i8"), ("fixed", "i8"), ("first_slot", "i8"),
     ("drifts", "i8"),
     ("last_slot", "i8"), ("first_seen", "i8"), ("last_seen", "i8"), ("error", "f8"), ("origin", "i8"),
     ("heir", "i8"), ("before", "i8")],
    align=True,
)  # fmt: skip
# What a customer's rows show of a stream; what a date makes of it is not here.
STREAM = np.dtype(
    [("user", "i8"), ("payee", "i8"), ("merchant", "i8"), ("inflow", "i8"), ("calendar", "i8"), ("purpose", "i8"),
     ("evidence", "i8"), ("fixed", "i8"), ("by_card", "i8"), ("earned", "i8"), ("label", "i8"),
     ("price_before", "f8"), ("changed_on", "i8"), ("occurrences", "i8"),
     ("first_day", "i8"), ("first_price", "i8"), ("first_date", "i8"), ("last_date", "i8"),
     ("typical_amount", "f8"), ("last_amount", "f8"), ("price_change", "f8"), ("first_slot", "i8"),
     ("last_slot", "i8"), ("in_a_row", "i8"), ("anchor", "f8"), ("other_anchor", "f8"), ("error", "f8"),
     ("spread", "f8"), ("ordinal", "i8"), ("first_hit", "i8"), ("since", "i8"), ("until", "i8")],
    align=True,
)  # fmt: skip
# Which row a stream counts; those of a stream follow one another.
COUNTED = np.dtype([("number", "i8"), ("day", "i8"), ("amount", "f8")], align=True)


class PayeeRoom(NamedTuple):
    """Room for the charges of one payee at a time."""

    payee: Records
    charges: Records
    prices: Records
    hits: Records
    lines: Records
    keys: Numbers
    order: Numbers
    """Charges by price, then by date."""
    line: Numbers
    """The charges of the price line that is being tried, by date."""
    numbers: Numbers
    floats: Numbers


@jit
def near(lower: int, higher: int) -> bool:
    """Whether two prices count as one."""
    return higher * 100 <= lower * SAME_PRICE


@jit
def alike(cents: int, middle: float) -> bool:
    """Whether a bill of that amount may be one of those around ``middle``."""
    return cents * VARIATION >= middle and cents <= middle * VARIATION


# --- charges that stand ----------------------------------------------------------------------------------------------


@jit
def drop_refunded(room: PayeeRoom, count: int) -> int:
    """Keep the charges that no refund cancels; how many are left.

    A refund closes the latest equal charge still open, as a bracket does; on one day charges come first.
    """
    charges, keys, still_open = room.charges, room.keys, room.numbers
    refunds = 0
    for i in range(count):
        keys[i] = (charges[i].price << PLACE_BITS) | i  # charges are in order of their days
        refunds += 1 if charges[i].state == GIVEN_BACK else 0
    if refunds == 0:
        return count
    sort(keys, count)
    at, depth = 0, 0
    while at < count:
        day, end = charges[keys[at] & PLACE_MASK].day, at
        if at and keys[at] >> PLACE_BITS != keys[at - 1] >> PLACE_BITS:
            depth = 0
        while (
            end < count
            and keys[end] >> PLACE_BITS == keys[at] >> PLACE_BITS
            and charges[keys[end] & PLACE_MASK].day == day
        ):
            end += 1
        for k in range(at, end):
            if charges[keys[k] & PLACE_MASK].state != GIVEN_BACK:
                still_open[depth] = keys[k] & PLACE_MASK
                depth += 1
        for k in range(at, end):
            if charges[keys[k] & PLACE_MASK].state == GIVEN_BACK and depth:
                depth -= 1
                closed = charges[still_open[depth]]
                if day - closed.day <= REFUND_DAYS:
                    closed.state = CANCELLED
        at = end
    left = ZERO
    for i in range(count):
        if charges[i].state == CHARGED:
            if left < i:
                copy_record(charges, left, charges, i)
            left += 1
    return left


# --- price lines -----------------------------------------------------------------------------------------------------


@jit
def list_prices(room: PayeeRoom, count: int, inflow: bool) -> None:
    """Write the payee's prices, ascending, and what they say together."""
    payee, charges, prices, keys = room.payee[0], room.charges, room.prices, room.keys
    known, varying, earned = 0, 0, 0
    for i in range(count):
        keys[i] = (charges[i].price << PLACE_BITS) | i
        known += 1 if charges[i].purpose != NO_PURPOSE else 0
        varying += charges[i].may_vary
        earned += charges[i].earned
    sort(keys, count)
    found, groups, drifts = 0, 0, 0
    for k in range(count):
        room.order[k] = keys[k] & PLACE_MASK
        cents = keys[k] >> PLACE_BITS
        if k == 0 or cents != prices[found - 1].cents:
            if k and not near(prices[found - 1].cents, cents):
                groups += 1
            if k and cents * 100 > prices[found - 1].cents * RENEWED:
                drifts += 1
            new = prices[found]
            new.cents, new.charges, new.first, new.near, new.drift = cents, 0, k, groups, drifts
            found += 1
        prices[found - 1].charges += 1
    payee.charges, payee.prices, payee.inflow = count, found, 1 if inflow else 0
    payee.may_vary = 1 if (varying and 2 * varying >= known) or 2 * earned >= count else 0
    upper = charges[room.order[count // 2]].price
    payee.middle = upper if count % 2 else (charges[room.order[count // 2 - 1]].price + upper) / 2
    once, begin = ZERO, ZERO
    payee.repeated, payee.repeated_charges = 0, 0
    payee.near, payee.drift = 1 if groups + 1 < found else 0, 1 if found > 1 and found * 3 > count else 0
    for p in range(found):
        if p + 1 == found or prices[p + 1].drift != prices[p].drift:
            # Beside other purchases: a plan at another price each time, of which one may come again by chance; the
            # prices of a menu come again and again.
            if p > begin and (p + 1 - begin) * 3 > 2 * (prices[p].first + prices[p].charges - prices[begin].first):
                payee.drift = 1
            begin = p + 1
        if prices[p].charges == 1:
            room.numbers[once] = prices[p].cents
            once += 1
        else:
            payee.repeated += 1
            payee.repeated_charges += prices[p].charges
    payee.middle_of_once = median_of(room.numbers, once) if once else 0.0


@jit
def may_gather(way: int, payee: Records) -> bool:
    """Whether a way to gather charges can bring anything."""
    if way == ALL_PRICES:
        return payee.prices > 1 and payee.charges > 2
    if way == REPEATED_PRICES:
        steps = payee.repeated - 1
        return steps > 0 and payee.repeated_charges < payee.charges and steps * 3 <= payee.repeated_charges
    if way == DRIFTING_PRICES:
        return payee.drift != 0 and not payee.may_vary and not payee.inflow
    if way == NEAR_PRICES:
        return payee.near != 0
    return True


@jit
def end_of_line(way: int, first: int, payee: Records, prices: Records) -> int:
    """The price after the last that may be in the line beginning at ``first``."""
    if way == ONE_PRICE and first >= 0:
        return first + 1
    end = first
    if way == NEAR_PRICES:
        while end < payee.prices and prices[end].near == prices[first].near:
            end += 1
        return end
    if way == DRIFTING_PRICES:
        while end < payee.prices and prices[end].drift == prices[first].drift:
            end += 1
        return end
    return int(payee.prices)


@jit
def in_line(way: int, first: int, price: Records, payee: Records) -> bool:
    """Whether a price is part of the price line beginning at ``first``.

    One price; prices within 3 %; all prices, as steps of one; the prices charged more than once; prices of which each
    may be the next one's renewal. What was charged once (``first`` is -1) is one line beside those of one price, where
    amounts may vary: pay by the hour beside a fixed part into savings.
    """
    if way == ONE_PRICE:
        if first >= 0:
            return price.charges > 1
        return price.charges == 1 and payee.may_vary != 0 and alike(price.cents, payee.middle_of_once)
    if way == NEAR_PRICES or way == DRIFTING_PRICES:
        return True
    if way == ALL_PRICES:
        if payee.may_vary:
            return alike(price.cents, payee.middle)
        return (payee.prices - 1) * 3 <= payee.charges
    return price.charges > 1


@jit
def gather_line(way: int, first: int, end: int, room: PayeeRoom) -> int:
    """Write the charges of a price line, by date; how many, 0 where they can be no line."""
    prices, count, gathered = room.prices, ZERO, 0
    if way == NEAR_PRICES and not near(prices[first].cents, prices[end - 1].cents):
        return 0
    for p in range(max(first, 0), end):
        price = prices[p]
        if in_line(way, first, price, room.payee[0]):
            gathered += 1
            for k in range(price.first, price.first + price.charges):
                room.line[count] = room.order[k]
                count += 1
    if gathered > 1:
        sort(room.line, count)
    return count if count > 1 else 0


# --- calendars -------------------------------------------------------------------------------------------------------


@jit
def may_fit(calendar: int, count: int, room: PayeeRoom) -> bool:
    """Whether a calendar can explain the line at all: enough of its charges lie one period apart."""
    charges, line, period, tolerance = room.charges, room.line, PERIOD[calendar], TOLERANCE[calendar]
    if calendar == SEMI_MONTHLY and not room.payee[0].inflow:
        return False
    span = charges[line[count - 1]].day - charges[line[0]].day
    if 2 * (span + 3) < period - 2 * tolerance:
        return False
    if count > (2 * span / period + 2) * PLANS / EXPLAINED:
        return False
    apart = 2 * period if calendar == SEMI_MONTHLY else period
    slack = 2 * tolerance + (2 * MOST_MOVED if OF_MONTHS[calendar] else 0)
    pairs = 0
    for k in range(1, count):
        for back in range(1, min(k, ROWS_BACK) + 1):
            now, before = charges[line[k]], charges[line[k - back]]
            between = now.months - before.months if OF_MONTHS[calendar] else 2 * (now.day - before.day)
            if abs(between - apart) <= slack:
                pairs += 1
                break
    return pairs >= 1 and pairs * 8 >= (count - 1) * EXPLAINED_EVER


@jit
def place_on(calendar: int, count: int, room: PayeeRoom) -> None:
    """Write slot and offset of the line's charges, and which offsets lie close together: those are one group.

    The period is a circle: the first group may be the end of the last.
    """
    charges, line, keys, period = room.charges, room.line, room.keys, PERIOD[calendar]
    for k in range(count):
        charge = charges[line[k]]
        place = charge.months if OF_MONTHS[calendar] else 2 * charge.day
        charge.slot, charge.offset = place // period, place % period
        keys[k] = (charge.offset << PLACE_BITS) | k
    sort(keys, count)
    group = 0
    for k in range(count):
        charge = charges[line[keys[k] & PLACE_MASK]]
        if k and charge.offset - (keys[k - 1] >> PLACE_BITS) > REACH[calendar]:
            group += 1
        charge.group = group
    if group and (keys[0] >> PLACE_BITS) + period - (keys[count - 1] >> PLACE_BITS) <= REACH[calendar]:
        for k in range(count):
            charge = charges[line[k]]
            if charge.group == 0:
                charge.group, charge.offset, charge.slot = group, charge.offset + period, charge.slot - 1


@jit
def share_slots(count: int, by_price: bool, room: PayeeRoom) -> None:
    """Sort the line's charges by group and slot, and tell plans on neighbouring days apart, which share the slots.

    By price, the higher first, or where the line has one price by date.
    """
    charges, line, keys = room.charges, room.line, room.keys
    for k in range(count):
        charge = charges[line[k]]
        keys[k] = (charge.group << 52) | ((charge.slot + LOWEST_SLOT) << 32) | k
    sort(keys, count)
    at = 0
    while at < count:
        end = at + 1
        while end < count and keys[end] >> 32 == keys[at] >> 32:
            end += 1
        if by_price:
            for i in range(at + 1, end):
                moving, j = keys[i], i
                price = charges[line[moving & 0xFFFFFFFF]].price
                while j > at and charges[line[keys[j - 1] & 0xFFFFFFFF]].price < price:
                    keys[j] = keys[j - 1]
                    j -= 1
                keys[j] = moving
        for i in range(at, end):
            charges[line[keys[i] & 0xFFFFFFFF]].plan = i - at
        at = end


@jit
def lines_on(
    calendar: int, count: int, by_price: bool, room: PayeeRoom, first_line: int, first_hit: int
) -> tuple[int, int]:
    """Write the lines that charges make on a calendar, one for each day of the period that several of them keep.

    After ``first_line`` and ``first_hit``; how many lines and hits. Only what is regular enough is kept.
    """
    place_on(calendar, count, room)
    share_slots(count, by_price, room)
    keys, at = room.keys, ZERO
    lines, used = first_line, first_hit
    while at < count:
        end = at
        while end < count and keys[end] >> 52 == keys[at] >> 52:
            end += 1
        for plan in range(PLANS):
            found = hits_on_time(calendar, at, end, plan, room, used)
            lines, used = regular_runs(calendar, room, used, used + found, lines)
        at = end
    return lines - first_line, used - first_hit


@jit
def hits_on_time(calendar: int, at: int, end: int, plan: int, room: PayeeRoom, first_hit: int) -> int:
    """Write the hits of one plan, by slot: its charges within the tolerance of their usual day; how many."""
    found = ZERO
    for half in range(2 if calendar == SEMI_MONTHLY else 1):
        found += hits_of_half(calendar, at, end, plan, half, room, first_hit, found)
    return found


@jit
def hits_of_half(
    calendar: int, at: int, end: int, plan: int, half: int, room: PayeeRoom, first_hit: int, found: int
) -> int:
    """The hits of ``hits_on_time`` in one half of a month, or all where a calendar has no halves."""
    charges, line, keys, hits = room.charges, room.line, room.keys, room.hits
    tolerance, halved = TOLERANCE[calendar], calendar == SEMI_MONTHLY
    count, earliest, latest, added = ZERO, 0, 0, 0
    for i in range(at, end):
        charge = charges[line[keys[i] & 0xFFFFFFFF]]
        if charge.plan == plan and not (halved and charge.slot % 2 != half):
            earliest = min(earliest, charge.offset) if count else charge.offset
            latest = max(latest, charge.offset) if count else charge.offset
            room.numbers[count] = charge.offset
            count += 1
    if count == 0 or (count == 1 and not halved):
        return 0
    middle = median_of(room.numbers, count)
    anchor = middle
    if latest - earliest <= 2 * tolerance:
        anchor = max(min(middle, float(earliest + tolerance)), float(latest - tolerance))
    for i in range(at, end):
        k = keys[i] & 0xFFFFFFFF
        charge = charges[line[k]]
        if charge.plan != plan or (halved and charge.slot % 2 != half):
            continue
        moved = charge.moved if OF_MONTHS[calendar] else 0
        distance = min(abs(charge.offset - anchor), abs(charge.offset - moved - anchor))
        if distance > tolerance:
            continue
        j = first_hit + found + added  # the two halves are merged by slot
        while j > first_hit and hits[j - 1].slot > charge.slot:
            copy_record(hits, j, hits, j - 1)
            j -= 1
        hit = hits[j]
        hit.charge, hit.seen, hit.slot, hit.half = line[k], k, charge.slot, half
        hit.anchor, hit.middle, hit.off, hit.distance = anchor, middle, abs(charge.offset - middle), distance
        added += 1
    return added


@jit
def regular_runs(calendar: int, room: PayeeRoom, begin: int, end: int, lines: int) -> tuple[int, int]:
    """Keep the runs of hits that are regular enough, as lines; the numbers of the next line and hit.

    A line that paused for longer than makes it inactive is another line when it comes back.
    """
    hits, kept, at = room.hits, begin, begin
    while at < end:
        after = at + 1
        while after < end and hits[after].slot - hits[after - 1].slot <= PAUSE[calendar]:
            after += 1
        if is_regular(calendar, room, at, after, room.lines[lines]):
            room.lines[lines].first_hit = kept
            for j in range(at, after):
                if kept < j:
                    copy_record(hits, kept, hits, j)
                hits[kept].line = lines
                kept += 1
            lines += 1
        at = after
    return lines, kept


# --- which lines are streams -----------------------------------------------------------------------------------------


@jit
def longest_in_a_row(hits: Records, begin: int, end: int) -> int:
    """How many hits lie on expected dates one after another, up to three."""
    longest = 1
    for i in range(begin + 1, end):
        if hits[i].slot - hits[i - 1].slot == 1:
            longest = max(longest, 2)
            if i > begin + 1 and hits[i].slot - hits[i - 2].slot == 2:
                return 3
    return longest


@jit
def may_vary_on(calendar: int, inflow: bool) -> bool:
    """Whether amounts may vary on a calendar: bills monthly or rarer, income up to monthly. Ours."""
    if inflow:
        return PERIOD[calendar] <= PERIOD[MONTHLY]
    return PERIOD[calendar] >= PERIOD[FOUR_WEEKLY]


@jit
def is_renewed(calendar: int, before: int, now: int) -> bool:
    """Whether a price may be another one at the next renewal."""
    if calendar != ANNUAL and calendar != SEMI_ANNUAL:
        return False
    return max(before, now) * 100 <= min(before, now) * RENEWED


@jit
def drifted(before: int, now: int) -> bool:
    """Whether a price may be another one at the currency's next rate."""
    return max(before, now) * 100 <= min(before, now) * NEXT_DRIFTED


@jit
def is_regular(calendar: int, room: PayeeRoom, begin: int, end: int, line: Records) -> bool:
    """Whether hits one after another are regular enough for a stream; writes what they are to ``line``."""
    hits, charges, payee, count = room.hits, room.charges, room.payee[0], end - begin
    slots = hits[end - 1].slot - hits[begin].slot + 1
    if count * 3 < slots * 2 or count < 2 or (count == 2 and slots != 2):
        return False
    error, off, changes, second_half, least_varying, known, against, goods = 0.0, 0.0, 0, 0, 0, 0, 0, 0
    renewed, drifts, leaps = True, PERIOD[calendar] >= PERIOD[FOUR_WEEKLY], False
    line.first_seen, line.last_seen = hits[begin].seen, hits[begin].seen
    for i in range(begin, end):
        hit, charge = hits[i], charges[hits[i].charge]
        error += hit.distance / TOLERANCE[calendar]
        off += hit.off / TOLERANCE[calendar]
        second_half += hit.half
        least_varying = max(least_varying, charge.least_varying)
        line.first_seen, line.last_seen = min(line.first_seen, hit.seen), max(line.last_seen, hit.seen)
        known += 1 if charge.purpose != NO_PURPOSE and charge.evidence != BY_PATTERN else 0
        against += 1 if charge.goods or charge.to_somebody else 0
        goods += 1 if charge.goods and not charge.to_somebody else 0
        if i > begin:
            before = charges[hits[i - 1].charge].price
            changes += 1 if charge.price != before else 0
            # A leap is a step once it is charged again, or after an offer: a year paid at once is no month's price.
            leaps = leaps or (begin + MOST_OFFERED < i == end - 1 and not alike(charge.price, float(before)))
            renewed = renewed and is_renewed(calendar, before, charge.price)
            drifts = drifts and drifted(before, charge.price)
        room.numbers[i - begin] = charge.price
    if calendar == SEMI_MONTHLY and min(second_half, count - second_half) * 3 < count:
        return False
    sort(room.numbers, count)
    prices = 1
    for i in range(1, count):
        prices += 1 if room.numbers[i] != room.numbers[i - 1] else 0
    drifts = drifts and room.numbers[count - 1] * 100 <= room.numbers[0] * ALL_DRIFTED and not payee.inflow
    steps = changes + 1 == prices and changes * 3 <= count and not leaps
    steady = near(room.numbers[0], room.numbers[count - 1]) or steps
    fixed = steady or renewed or drifts
    least = LEAST_HITS[calendar]
    rare = calendar == SEMI_ANNUAL or calendar == ANNUAL
    # Two purchases so long apart show nothing, unless it is known what for or there is nothing else at the payee; two
    # fills of a tank half a year apart are that as well.
    alone = payee.charges == count and against == 0 and (steady or calendar == ANNUAL)
    vouched = 2 * known >= count or alone
    if rare and not (vouched and (renewed or (steady and prices < count))):
        least = max(least, LEAST_VARYING)
    if not (steady and prices < count) and not (rare and renewed):
        least = max(least, LEAST_VARYING if steady else LEAST_DRIFTING if drifts else least_varying)
        if 2 * goods > count and 2 * known < count:
            least = max(least, LEAST_OF_GOODS)
    if count < least:
        return False
    if not fixed:
        long_enough = longest_in_a_row(hits, begin, end) >= LEAST_VARYING or count > LEAST_VARYING
        if not (payee.may_vary and may_vary_on(calendar, payee.inflow != 0) and long_enough):
            return False
        if payee.inflow and off / count > NEAR_ITS_DAYS:
            return False
    line.calendar, line.hits, line.least, line.fixed, line.error = (
        calendar,
        count,
        least,
        1 if fixed else 0,
        error / count,
    )
    line.first_slot, line.last_slot = hits[begin].slot, hits[end - 1].slot
    line.drifts = 1 if drifts and not steady and not renewed else 0
    return True


@jit
def explains(count: int, room: PayeeRoom, first_line: int, found: int, explained: int) -> bool:
    """Whether lines explain enough of a price line: of its charges in their span, and of all of them."""
    lines = room.lines
    first_slot, last_slot, first_seen, last_seen = lines[first_line].first_slot, lines[first_line].last_slot, count, 0
    for i in range(first_line, first_line + found):
        line = lines[i]
        first_slot, last_slot = min(first_slot, line.first_slot), max(last_slot, line.last_slot)
        first_seen, last_seen = min(first_seen, line.first_seen), max(last_seen, line.last_seen)
    return (
        explained >= (last_seen - first_seen + 1) * EXPLAINED
        and explained - found >= (count - 1) * EXPLAINED_EVER
        and explained <= (last_slot - first_slot + 1) * PLANS
    )


@jit
def mean_error(lines: Records, first: int, count: int) -> int:
    """How far lines lie from their days, in billionths of the tolerance: whole, so that equal ones compare equal."""
    error = 0.0
    for i in range(first, first + count):
        error += lines[i].error
    return round(error / count * 1e9)


@jit
def move_down(room: PayeeRoom, line: int, lines: int, hit: int, hits: int, to_line: int, to_hit: int) -> None:
    """Move lines and their hits over others that are given up."""
    for i in range(lines):
        copy_record(room.lines, to_line + i, room.lines, line + i)
        room.lines[to_line + i].first_hit += to_hit - hit
    for i in range(hits):
        copy_record(room.hits, to_hit + i, room.hits, hit + i)
        room.hits[to_hit + i].line += to_line - line


@jit
def best_calendar(count: int, by_price: bool, room: PayeeRoom, first_line: int, first_hit: int) -> tuple[int, int]:
    """Write the lines of the calendar that explains most of the charges; how many lines and hits.

    One more line is worth two more hits; of calendars that explain as much the one nearer the charges, and of equal
    ones the first.
    """
    kept, kept_hits, kept_four_weekly, kept_error = ZERO, ZERO, False, 0
    for calendar in range(len(CALENDARS)):
        if not may_fit(calendar, count, room):
            continue
        line, hit = first_line + kept, first_hit + kept_hits
        found, explained = lines_on(calendar, count, by_price, room, line, hit)
        if found == 0 or not explains(count, room, line, found, explained):
            continue
        if found > 1 and (calendar == FOUR_WEEKLY or calendar == TWO_MONTHLY or calendar == SEMI_ANNUAL):
            continue  # every second of a line on a shorter calendar
        four_weekly, error = calendar == FOUR_WEEKLY, mean_error(room.lines, line, found)
        better = (found - explained, found, four_weekly, error) < (kept - kept_hits, kept, kept_four_weekly, kept_error)
        if kept == 0 or better:
            move_down(room, line, found, hit, explained, first_line, first_hit)
            kept, kept_hits, kept_four_weekly, kept_error = found, explained, four_weekly, error
    return kept, kept_hits


@jit
def best_way(room: PayeeRoom) -> tuple[int, int]:
    """Write the lines of the way to gather charges that explains most of the payee; how many lines and hits."""
    payee, kept, kept_hits = room.payee[0], ZERO, ZERO
    for way in range(WAYS):
        if not may_gather(way, payee):
            continue
        lines, hits, first = ZERO, ZERO, ZERO - 1 if way == ONE_PRICE else ZERO
        while first < payee.prices:
            end = end_of_line(way, first, payee, room.prices)
            count = gather_line(way, first, end, room)
            if count:
                by_price = way >= ALL_PRICES or first < 0
                found, explained = best_calendar(count, by_price, room, kept + lines, kept_hits + hits)
                lines, hits = lines + found, hits + explained
            first = end if first >= 0 else ZERO
        if lines and (kept == 0 or (lines - hits, lines) < (kept - kept_hits, kept)):
            move_down(room, kept, lines, kept_hits, hits, ZERO, ZERO)
            kept, kept_hits = lines, hits
    return kept, kept_hits


# --- streams ---------------------------------------------------------------------------------------------------------


@jit
def goes_on(room: PayeeRoom, before: Records, after: Records) -> tuple[bool, float, float]:
    """Whether a line goes on, one expected date later, where another stopped; how far apart, and by which rise.

    Where other plans and purchases lie between, the two prices of one plan are two lines.
    """
    hits, period = room.hits, PERIOD[before.calendar]
    if before.calendar != after.calendar or not before.fixed or not after.fixed:
        return False, 0.0, 0.0
    last, first = hits[before.first_hit + before.hits - 1], hits[after.first_hit]
    apart = (first.slot - last.slot) * period + first.anchor - last.anchor
    slots = int(apart / period + 0.5) if apart > 0 else 0
    old, new = room.charges[last.charge].price, room.charges[first.charge].price
    if slots < 1 or slots > PAUSE[before.calendar] or abs(apart - slots * period) > TOLERANCE[before.calendar]:
        return False, 0.0, 0.0
    return alike(new, float(old)), apart, max(new / old, old / new)


@jit
def join_lines(room: PayeeRoom, count: int) -> None:
    """Write to each line its ``origin``, the line that it goes on from, itself where there is none.

    The nearest in time, and where two are as near, in price; three such steps in a row are followed.
    """
    lines = room.lines
    for i in range(count):
        lines[i].origin, lines[i].before, lines[i].heir = i, -1, -1
    for i in range(count if count > 1 else 0):
        least_before, least_after = (0.0, 0.0), (0.0, 0.0)
        for j in range(count):
            if i != j:
                yes, apart, rise = goes_on(room, lines[j], lines[i])
                if yes and (lines[i].before < 0 or (apart, rise) < least_before):
                    lines[i].before, least_before = j, (apart, rise)
                yes, apart, rise = goes_on(room, lines[i], lines[j])
                if yes and (lines[i].heir < 0 or (apart, rise) < least_after):
                    lines[i].heir, least_after = j, (apart, rise)
    for i in range(count):
        if lines[i].before >= 0 and lines[lines[i].before].heir == i:
            lines[i].origin = lines[i].before
    for _ in range(2):  # each turn doubles the length of the chains that are followed
        for i in range(count):
            lines[i].heir = lines[lines[i].origin].origin
        for i in range(count):
            lines[i].origin = lines[i].heir


@jit
def hits_of_stream(room: PayeeRoom, origin: int, all_hits: int) -> int:
    """Write the hits of the lines that go on from ``origin`` to ``room.line``, by slot; how many.

    The slots of a line that was counted from the other end of the circle are turned into those of its first line.
    """
    hits, index, period, count = room.hits, room.line, PERIOD[room.lines[origin].calendar], ZERO
    for i in range(all_hits):
        if room.lines[hits[i].line].origin == origin:
            place, j = hits[i].slot * period + hits[i].anchor, count
            while j > 0 and hits[index[j - 1]].slot * period + hits[index[j - 1]].anchor > place:
                index[j] = index[j - 1]
                j -= 1
            index[j] = i
            count += 1
    if count == 0:
        return 0
    anchor = hits[index[0]].anchor
    for k in range(count):
        hit = hits[index[k]]
        turns = math.floor((hit.anchor - anchor) / period + 0.5)
        hit.slot += turns
        hit.middle -= turns * period
    for k in range(1, count):
        moving, j = index[k], k
        while j > 0 and hits[index[j - 1]].slot > hits[moving].slot:
            index[j] = index[j - 1]
            j -= 1
        index[j] = moving
    return count


@jit
def describe_dates(room: PayeeRoom, count: int, stream: Records) -> None:
    """Write to a stream when its hits were, how many in a row, and on which day of the period they lie."""
    hits, charges, index = room.hits, room.charges, room.line
    tolerance = TOLERANCE[stream.calendar]
    first, last = hits[index[0]], hits[index[count - 1]]
    stream.first_slot, stream.last_slot = first.slot, last.slot
    stream.first_day, stream.first_price = charges[first.charge].day, charges[first.charge].price
    stream.first_date, stream.last_date, stream.in_a_row = stream.first_day, stream.first_day, 1
    error = 0.0
    for k in range(count):
        hit = hits[index[k]]
        stream.first_date = min(stream.first_date, charges[hit.charge].day)
        stream.last_date = max(stream.last_date, charges[hit.charge].day)
        error += hit.distance / tolerance
        if k > 1 and hit.slot - hits[index[k - 2]].slot == 2:
            stream.in_a_row = 3
        elif k and hit.slot - hits[index[k - 1]].slot == 1:
            stream.in_a_row = max(stream.in_a_row, 2)
    stream.error = error / count
    stream.anchor, stream.other_anchor = usual_day(room, count, ZERO), usual_day(room, count, ONE)


@jit
def usual_day(room: PayeeRoom, count: int, half: int) -> float:
    """The median of the hits' usual days in one half of the month; NaN where none is in it."""
    found = ZERO
    for k in range(count):
        hit = room.hits[room.line[k]]
        if hit.half == half:
            room.floats[found] = hit.middle
            found += 1
    return median_of(room.floats, found) if found else math.nan


@jit
def describe_amounts(room: PayeeRoom, count: int, steps: bool, stream: Records) -> None:
    """Write to a stream what it costs since its last price step, what that step was, and how amounts spread.

    ``steps``: whether another price is a step at all; those of a currency's rate are none."""
    hits, charges, index, newest = room.hits, room.charges, room.line, 0
    stream.price_change, stream.price_before, stream.changed_on = math.nan, math.nan, 0
    for k in range(1, count):
        before, now = charges[hits[index[k - 1]].charge].price, charges[hits[index[k]].charge].price
        if steps and abs(now - before) > before * PRICE_STEP:  # of the ratio, 1 % would be more than 1 %
            newest, stream.price_change = k, now / before - 1
            stream.price_before = charges[hits[index[k - 1]].charge].amount
            stream.changed_on = charges[hits[index[k]].charge].day
    mean, squares = 0.0, 0.0
    for k in range(newest, count):
        charge = charges[hits[index[k]].charge]
        room.floats[k - newest] = charge.amount
        mean += charge.price / (count - newest)
    stream.last_amount = charges[hits[index[count - 1]].charge].amount
    stream.typical_amount = median_of(room.floats, count - newest)
    for k in range(newest, count):
        squares += (charges[hits[index[k]].charge].price - mean) ** 2
    stream.spread = math.sqrt(squares / (count - newest)) / mean


@jit
def describe_kind(room: PayeeRoom, count: int, others: int, stream: Records) -> None:
    """Write to a stream what most of its hits are for that say it, what shows it, and whether they are by card.

    By card is what may be a service: beside at most few other purchases."""
    hits, charges, index = room.hits, room.charges, room.line
    bills, subscriptions, speaking, cards, earned, goods, labels = 0, 0, 0, 0, 0, 0, ZERO
    to_somebody, often = False, PERIOD[stream.calendar] < PERIOD[FOUR_WEEKLY]  # at list prices one has lunch, too
    for k in range(count):
        charge = charges[hits[index[k]].charge]
        bills += 1 if charge.purpose == FOR_BILL else 0
        sold = charge.evidence != BY_LIST_PRICE or not often
        subscriptions += 1 if charge.purpose == FOR_SUBSCRIPTION and sold else 0
        speaking += 1 - charge.silent
        to_somebody = to_somebody or (charge.to_somebody != 0 and charge.evidence == BY_PATTERN)
        cards += charge.by_card
        earned += charge.earned
        goods += charge.goods
        if charge.label >= 0:
            room.numbers[labels] = charge.label
            labels += 1
    stream.purpose = NO_PURPOSE
    # What goes to a person every week or two is for work, nobody knows which; rent goes every month.
    if to_somebody and often:
        bills = 0
    if bills and 2 * bills >= speaking and bills >= subscriptions:
        stream.purpose = FOR_BILL
    elif subscriptions and 2 * subscriptions >= speaking and stream.fixed:
        stream.purpose = FOR_SUBSCRIPTION
    stream.evidence = BY_PATTERN
    for k in range(count):
        charge = charges[hits[index[k]].charge]
        if charge.purpose == stream.purpose or stream.inflow:
            stream.evidence = min(stream.evidence, charge.evidence)
    stream.by_card = 1 if 2 * cards >= count and 2 * goods < count and 3 * others <= count and stream.fixed else 0
    stream.earned = 1 if 2 * earned >= count else 0
    stream.label = most_frequent(room.numbers, labels)


@jit
def is_habit(room: PayeeRoom, count: int, stream: Records) -> bool:
    """Whether a line is what somebody buys with a card every week or two: nobody sells by such a calendar what nobody
    can name."""
    cards = 0
    for k in range(count):
        cards += room.charges[room.hits[room.line[k]].charge].by_card
    often = PERIOD[stream.calendar] < PERIOD[FOUR_WEEKLY]
    return stream.inflow == 0 and stream.purpose == NO_PURPOSE and often and 2 * cards >= count


@jit
def most_frequent(values: Numbers, count: int) -> int:
    """The value that occurs most often, of equal ones the least; -1 of none."""
    sort(values, count)
    best, most, run = -1, 0, 0
    for k in range(count):
        run = run + 1 if k and values[k] == values[k - 1] else 1
        if run > most:
            best, most = values[k], run
    return int(best)


@jit
def write_streams(room: PayeeRoom, lines: int, all_hits: int, out: Records, first: int) -> int:
    """Write the lines that stand, each with those that go on from it, as streams; the number after the last.

    Among many other purchases, a line whose amounts vary as theirs do cannot be told from them.
    """
    hits, charges, payee, made = room.hits, room.charges, room.payee[0], first
    others = payee.charges - all_hits
    for origin in range(lines):
        least = 0
        for i in range(lines):
            if room.lines[i].origin == origin:
                least = room.lines[i].least if least == 0 else min(least, room.lines[i].least)
        if least == 0:
            continue
        count, fixed = hits_of_stream(room, origin, all_hits), room.lines[origin].fixed != 0
        if others * 2 > count and not (fixed and count >= least + MORE_AMONG_OTHERS):
            continue
        stream = out[made]
        stream.inflow, stream.calendar, stream.occurrences = payee.inflow, room.lines[origin].calendar, count
        describe_dates(room, count, stream)
        describe_amounts(room, count, fixed and not room.lines[origin].drifts, stream)
        stream.ordinal, stream.fixed = 0, 1 if fixed else 0
        describe_kind(room, count, others, stream)
        if is_habit(room, count, stream):
            continue
        for k in range(count):
            charges[hits[room.line[k]].charge].stream = made
        for other in range(first, made):  # two equal plans on one day, by their order
            if out[other].first_day == stream.first_day and out[other].first_price == stream.first_price:
                stream.ordinal += 1
        made += 1
    return made


@jit
def streams_of_payee(room: PayeeRoom, count: int, inflow: bool, out: Records, first: int) -> int:
    """Write the streams of a payee's charges to ``out``, and to each charge its stream; the number after the last."""
    for i in range(count):
        room.charges[i].stream = -1
    if count < 2:
        return first
    list_prices(room, count, inflow)
    lines, hits = best_way(room)
    if lines == 0:
        return first
    join_lines(room, lines)
    return write_streams(room, lines, hits, out, first)
