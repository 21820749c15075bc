"""What each row of a customer is: its payee, its kind, and the two legs of a transfer.

Texts are numbers here, in the order of the texts, and what they say is bits (``meanings.py``). Rows are those of one
customer up to a day, in order of day and id.

What does not belong here: anything about a window, a pattern in time, or a balance.
"""

from typing import NamedTuple

import numpy as np

from spendsense_pipeline.features.arrays import ZERO, Numbers, Records, sort
from spendsense_pipeline.features.compiled import jit
from spendsense_pipeline.features.meanings import *

LEG_DAYS = 3  # between the two legs of a transfer: a weekend, or a slow clearing
PLACE_WORDS = 3  # a card's descriptor ends in its city, of so many words at most, and the state
NEVER_DAY = 1 << 30
PLACE_BITS = 21
PLACE_MASK = (1 << PLACE_BITS) - 1
MOST_ROWS = 1 << PLACE_BITS  # of a customer: a row's place is packed into a key with the number of a text

ROW = np.dtype(
    [
        # what the transaction says
        ("day", "i8"), ("amount", "f8"), ("account", "i8"), ("held_as", "i8"), ("name", "i8"), ("identity", "i8"),
        ("category", "i8"), ("number", "i8"),
        # what is found
        ("payee", "i8"), ("merchant", "i8"), ("paid_from", "i8"), ("kind", "i8"), ("penalty", "i8"),
        ("spelling", "i8"), ("cents", "i8"), ("may_be_leg", "i8"), ("like_transfer", "i8"), ("refund", "i8"),
        ("partner", "i8"), ("nearness", "i8"),
    ],
    align=True,
)  # fmt: skip
# A name and an id that occur together among the customer's rows.
SPELLING = np.dtype(
    [("name", "i8"), ("identity", "i8"), ("rows", "i8"), ("first_paid", "i8"), ("text", "i8"), ("stable_id", "i8"),
     ("shared", "i8"), ("payee", "i8")],
    align=True,
)  # fmt: skip
# What is known of a text within one customer: a field holds where its stamp is the customer's.
TEXT = np.dtype(
    [("named", "i8"),
     ("as_id", "i8"), ("rows", "i8"), ("only_paypal", "i8"), ("least_name", "i8"), ("most_name", "i8"),
     ("as_name", "i8"), ("usual_id", "i8"), ("usual_rows", "i8"),
     ("as_payee", "i8"), ("merchant", "i8"), ("paid_from", "i8")],
    align=True,
)  # fmt: skip


class Names(NamedTuple):
    """What names and ids say, by their number; the last is of none."""

    says: Numbers
    text: Numbers
    stems: Numbers
    """``PLACE_WORDS`` texts for each name, without one word of a city and the state, without two, …; -1 for none."""
    id_text: Numbers


class RowRoom(NamedTuple):
    """Room for the rows of one customer at a time."""

    keys: Numbers
    spellings: Records
    texts: Records


# --- payees ----------------------------------------------------------------------------------------------------------


@jit
def find_payees(stamp: int, rows: Records, count: int, names: Names, room: RowRoom) -> None:
    """Write payee, merchant and the first day paid to each row: judged on all of the customer's rows.

    An id is a payee where it occurs on two or more rows. A row without id joins the id that its name mostly has. All
    others go by their name.
    """
    found = gather_spellings(stamp, rows, count, names, room)
    drop_places(stamp, found, names, room)
    weigh_ids(stamp, found, names, room)
    weigh_names(stamp, found, room)
    choose_payees(stamp, found, names, room)
    for i in range(count):
        row = rows[i]
        row.payee = room.spellings[row.spelling].payee
        row.merchant, row.paid_from = -1, NEVER_DAY
        if row.payee >= 0:
            row.merchant = room.texts[row.payee].merchant
            row.paid_from = room.texts[row.payee].paid_from


@jit
def gather_spellings(stamp: int, rows: Records, count: int, names: Names, room: RowRoom) -> int:
    """The rows' different pairs of name and id, and how many there are."""
    keys, found = room.keys, 0
    for i in range(count):
        keys[i] = ((rows[i].name + 1) << 2 * PLACE_BITS) | ((rows[i].identity + 1) << PLACE_BITS) | i
    sort(keys, count)
    for k in range(count):
        row = rows[keys[k] & PLACE_MASK]
        if k == 0 or keys[k] >> PLACE_BITS != keys[k - 1] >> PLACE_BITS:
            new = room.spellings[found]
            new.name, new.identity, new.rows, new.first_paid = row.name, names.id_text[row.identity], 0, NEVER_DAY
            new.text = names.text[row.name]
            if new.text >= 0:
                room.texts[new.text].named = stamp
            found += 1
        spelling = room.spellings[found - 1]
        spelling.rows += 1
        row.spelling = found - 1
        # A payment that may be taken back: spending, not a transfer, a fee or a wage.
        if row.amount < 0 and row.category & (UNKNOWN | PURCHASE):
            spelling.first_paid = min(spelling.first_paid, row.day)
    return found


@jit
def drop_places(stamp: int, found: int, names: Names, room: RowRoom) -> None:
    """Take city and state off a name where the customer also knows the payee without: `SPOTIFY NEW YORK NY`.

    Nobody can say of one name alone where the payee ends and the city begins, so the longest other name decides.
    """
    for s in range(found):
        spelling = room.spellings[s]
        if names.says[spelling.name] & PLACED:
            for count in range(PLACE_WORDS):
                stem = names.stems[PLACE_WORDS * spelling.name + count]
                if stem >= 0 and room.texts[stem].named == stamp:
                    spelling.text = stem
                    break


@jit
def weigh_ids(stamp: int, found: int, names: Names, room: RowRoom) -> None:
    """Count each id's rows, and find the ids that a biller shares between services: they tell who bills, not for what.

    An id that only ever comes through PayPal, under several names, is PayPal's own.
    """
    for s in range(found):
        spelling = room.spellings[s]
        if spelling.identity < 0:
            continue
        about = room.texts[spelling.identity]
        if about.as_id != stamp:
            about.as_id, about.rows, about.only_paypal = stamp, 0, 1
            about.least_name, about.most_name = 1 << 40, -1
        about.rows += spelling.rows
        if not names.says[spelling.name] & BY_PAYPAL:
            about.only_paypal = 0
        if spelling.text >= 0:
            about.least_name = min(about.least_name, spelling.text)
            about.most_name = max(about.most_name, spelling.text)
    for s in range(found):
        spelling = room.spellings[s]
        spelling.shared = 1 if names.says[spelling.name] & SHARED else 0
        spelling.stable_id = -1
        if spelling.identity >= 0:
            about = room.texts[spelling.identity]
            if about.only_paypal and about.least_name < about.most_name:
                spelling.shared = 1
            if about.rows >= 2 and not spelling.shared:
                spelling.stable_id = spelling.identity


@jit
def weigh_names(stamp: int, found: int, room: RowRoom) -> None:
    """Find the id that each name mostly has; of two as frequent ones the first."""
    keys, pairs, at = room.keys, ZERO, 0
    for s in range(found):
        spelling = room.spellings[s]
        if spelling.stable_id >= 0 and spelling.text >= 0:
            keys[pairs] = (spelling.text << 2 * PLACE_BITS) | (spelling.stable_id << PLACE_BITS) | s
            pairs += 1
    sort(keys, pairs)
    while at < pairs:
        pair, rows = keys[at] >> PLACE_BITS, 0
        while at < pairs and keys[at] >> PLACE_BITS == pair:
            rows += room.spellings[keys[at] & PLACE_MASK].rows
            at += 1
        about = room.texts[pair >> PLACE_BITS]
        if about.as_name != stamp or rows > about.usual_rows:
            about.as_name, about.usual_id, about.usual_rows = stamp, pair & PLACE_MASK, rows


@jit
def choose_payees(stamp: int, found: int, names: Names, room: RowRoom) -> None:
    """Write each spelling's payee, and to the payee its readable name and when it was first paid."""
    for s in range(found):
        spelling = room.spellings[s]
        readable = spelling.text if spelling.text >= 0 else spelling.identity
        spelling.payee = readable
        if spelling.stable_id >= 0:
            spelling.payee = spelling.stable_id
        elif spelling.identity < 0 and not spelling.shared and spelling.text >= 0:
            about = room.texts[spelling.text]
            if about.as_name == stamp:
                spelling.payee = about.usual_id
        if spelling.payee < 0:
            continue
        payee = room.texts[spelling.payee]
        if payee.as_payee != stamp:
            payee.as_payee, payee.merchant, payee.paid_from = stamp, readable, NEVER_DAY
        payee.merchant = min(payee.merchant, readable)
        if not names.says[spelling.name] & (SAYS_TRANSFER | SAYS_CARD_PAYMENT | SAYS_CASH_OUT | SAYS_FEE):
            payee.paid_from = min(payee.paid_from, spelling.first_paid)


# --- kinds -----------------------------------------------------------------------------------------------------------


@jit
def may_be_paid_to(held_as: int) -> bool:
    """Whether wages may arrive on an account of the class."""
    return held_as != CREDIT_CARD and held_as != LOAN and held_as != INVESTMENT


@jit
def is_payroll(row: Records, says: int) -> bool:
    """ "Payroll words beat" unearned ones; a mere direct deposit does only where the category says wages too."""
    if says & SAYS_PAYROLL:
        return True
    return says & SAYS_DEPOSITED_PAY != 0 and (row.category & EARNED != 0 or says & SAYS_UNEARNED == 0)


@jit
def is_interest(row: Records, says: int) -> bool:
    """Interest that the bank charges, by its category or, where that is silent, by words."""
    return row.category & INTEREST_CHARGED != 0 or (
        row.category & (UNKNOWN | BANK_FEES) != 0 and says & SAYS_INTEREST != 0
    )


@jit
def is_penalty(row: Records, says: int) -> bool:
    """An overdraft, insufficient funds or late fee, or one given back; interest charged on a deposit account."""
    if row.category & PENALTY or (row.category & (UNKNOWN | BANK_FEES) and says & SAYS_PENALTY):
        return True
    return (row.held_as == CHECKING or row.held_as == SAVINGS) and row.amount <= 0 and is_interest(row, says)


@jit
def is_refund(row: Records, says: int) -> bool:
    """Money back: in a purchase category, by words, or from somebody who was paid before."""
    category = row.category
    if row.amount <= 0:
        return False
    if is_payroll(row, says) and may_be_paid_to(row.held_as) and category & PURCHASE == 0:
        return False
    if category & (PURCHASE | BANK_FEES):
        return True
    if says & SAYS_REFUND and not says & SAYS_TAX and not category & (LOAN_PAYMENTS | TAX_REFUND):
        return True
    speaks_against = SAYS_PEER | SAYS_INTEREST | SAYS_UNEARNED | SAYS_TRANSFER
    return category & UNKNOWN != 0 and row.paid_from <= row.day and says & speaks_against == 0


@jit
def is_card_payment(row: Records, says: int) -> bool:
    """A card paid, seen from either account; also all that a card receives and is no refund."""
    if row.category & CARD_PAYMENT:
        return True
    if says & SAYS_CARD_PAYMENT and row.category & (UNKNOWN | TRANSFER | LOAN_PAYMENTS):
        return True
    return row.amount > 0 and row.held_as == CREDIT_CARD and not row.refund


@jit
def is_own_transfer(row: Records, says: int) -> bool:
    """Between the customer's accounts: by its category or, where that is silent, by words that name nobody else."""
    if row.category & OWN_FUNDS:
        return True
    if row.identity >= 0 or says & SAYS_PEER or row.category & FROM_APPS:
        return False
    payroll = is_payroll(row, says)
    if row.category & OTHER_TRANSFER and not (row.amount > 0 and (payroll or says & SAYS_UNEARNED)):
        return True
    return row.category & UNKNOWN != 0 and says & SAYS_TRANSFER != 0 and not payroll


@jit
def is_paycheck(row: Records, says: int) -> bool:
    """Wages, a salary, gig income: unearned words beat the category, payroll words beat those."""
    unearned = says & (SAYS_UNEARNED | SAYS_INTEREST | SAYS_REFUND | SAYS_PEER) != 0
    payroll = is_payroll(row, says)
    if row.amount <= 0 or not may_be_paid_to(row.held_as):
        return False
    if row.category & EARNED and (payroll or not unearned):
        return True
    if row.category & (UNKNOWN | TRANSFER_IN) and payroll:
        return True
    return row.category & UNKNOWN != 0 and says & SAYS_GIG != 0 and row.paid_from > row.day and not unearned


@jit
def kind_of(row: Records, says: int) -> int:
    """What a row is, as far as it can be known without its other leg; the first that matches."""
    category, inflow, outflow = row.category, row.amount > 0, row.amount < 0
    unknown = category & UNKNOWN != 0
    payroll = is_payroll(row, says)
    if is_card_payment(row, says):
        return KIND_CARD_PAYMENT
    if is_own_transfer(row, says):
        return KIND_OWN_TRANSFER
    if outflow and (category & WITHDRAWAL or (unknown and says & SAYS_CASH_OUT)):
        return KIND_CASH_WITHDRAWAL
    if inflow and not payroll and (category & DEPOSIT or (unknown and says & SAYS_CASH_IN)):
        return KIND_CASH_DEPOSIT
    if row.refund:
        return KIND_REFUND
    if outflow and row.penalty:
        return KIND_FEE
    if outflow and row.held_as == CREDIT_CARD and is_interest(row, says):
        return KIND_INTEREST_CHARGED
    if inflow and category & INTEREST_EARNED:
        return KIND_INTEREST_EARNED
    if inflow and category & (UNKNOWN | INCOME) and says & SAYS_INTEREST and not payroll:
        return KIND_INTEREST_EARNED
    if is_paycheck(row, says):
        return KIND_PAYCHECK
    return KIND_OTHER_OUT if outflow else KIND_OTHER_IN


@jit
def find_kinds(rows: Records, count: int, names: Names, own_accounts: int) -> None:
    """Write each row's kind, and by what its other leg is looked for."""
    for i in range(count):
        row, says = rows[i], names.says[rows[i].name]
        row.cents = int(abs(row.amount) * 100 + 0.5)
        row.penalty = 1 if is_penalty(row, says) else 0
        row.refund = 1 if is_refund(row, says) else 0
        row.kind = kind_of(row, says)
        silent = row.category & (UNKNOWN | TRANSFER) != 0
        # What a card received is a payment by its category, and its other half may have none.
        onto_card = row.kind == KIND_CARD_PAYMENT and row.amount > 0 and row.held_as == CREDIT_CARD
        speaks_against = is_payroll(row, says) or says & SAYS_FEE != 0 or row.held_as == LOAN or row.amount == 0
        row.may_be_leg = 1 if (silent or onto_card) and own_accounts > 1 and not speaks_against else 0
        by_words = row.category & UNKNOWN != 0 and says & SAYS_TRANSFER != 0
        row.like_transfer = 1 if row.category & TRANSFER or by_words else 0


# --- legs ------------------------------------------------------------------------------------------------------------


@jit
def match_legs(rows: Records, count: int, room: RowRoom) -> None:
    """Equal and opposite rows on two own accounts within days are a card payment or an own transfer.

    Each row is matched at most once, with the nearest: it counts only where it is its partner's best and its partner
    is its own.
    """
    keys, sides, inflows = room.keys, ZERO, 0
    for i in range(count):
        row = rows[i]
        row.partner, row.nearness = -1, 1 << 40
        if row.may_be_leg and not (row.amount > 0 and row.held_as == CREDIT_CARD and row.refund):
            keys[sides] = (row.cents << PLACE_BITS) | i
            inflows += 1 if row.amount > 0 else 0
            sides += 1
    if inflows == 0 or inflows == sides:
        return
    sort(keys, sides)
    for a in range(sides):
        if rows[keys[a] & PLACE_MASK].amount < 0:
            continue
        for direction in (-1, 1):
            b = a + direction
            while 0 <= b < sides and keys[b] >> PLACE_BITS == keys[a] >> PLACE_BITS:
                i, o = keys[a] & PLACE_MASK, keys[b] & PLACE_MASK
                if abs(rows[o].day - rows[i].day) > LEG_DAYS:
                    break
                consider_legs(rows, i, o)
                b += direction
    for a in range(sides):
        i = keys[a] & PLACE_MASK
        if rows[i].amount > 0 and rows[i].partner >= 0 and rows[rows[i].partner].partner == i:
            join_legs(rows[i], rows[rows[i].partner])


@jit
def consider_legs(rows: Records, i: int, o: int) -> None:
    """Make an inflow and an outflow of the same size each other's partner where neither has a nearer one."""
    into, out = rows[i], rows[o]
    onto_card = into.held_as == CREDIT_CARD
    if out.amount > 0 or out.account == into.account:
        return
    if not (onto_card or into.like_transfer or out.like_transfer):
        return
    apart = out.day - into.day
    nearness = (0 if onto_card else 1000) + 20 * abs(apart) + apart
    if nearness < into.nearness or (nearness == into.nearness and o < into.partner):
        into.nearness, into.partner = nearness, o
    if nearness < out.nearness or (nearness == out.nearness and i < out.partner):
        out.nearness, out.partner = nearness, i


@jit
def join_legs(into: Records, out: Records) -> None:
    """Write what two legs are."""
    if into.held_as == CREDIT_CARD:
        into.kind, out.kind = KIND_CARD_PAYMENT, KIND_CARD_PAYMENT
        return
    if into.kind != KIND_CARD_PAYMENT:
        into.kind = KIND_OWN_TRANSFER
    if out.kind != KIND_CARD_PAYMENT:
        out.kind = KIND_OWN_TRANSFER


@jit
def classify(stamp: int, rows: Records, count: int, names: Names, own_accounts: int, room: RowRoom) -> None:
    """Write what the rows of one customer are; ``own_accounts`` is how many accounts the customer has."""
    find_payees(stamp, rows, count, names, room)
    find_kinds(rows, count, names, own_accounts)
    match_legs(rows, count, room)
