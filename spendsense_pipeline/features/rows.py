"""What each row of a customer is: its payee, its kind, what it may be part of, and the two legs of a transfer.

What the texts and codes of a row say is bits (``meanings.py``). Rows are those of one customer up to a day, in order of
day and id. Quoted sentences are those of docs/signals.md on what a row is.

What does not belong here: anything about a window, a pattern in time, or a balance.
"""

from typing import NamedTuple

import numpy as np

from spendsense_pipeline.features.arrays import ZERO, Numbers, Records, sort
from spendsense_pipeline.features.compiled import jit
from spendsense_pipeline.features.meanings import *

LEAST_REPEATED = 3  # times that equal legs between the same two names meet, for them to be the customer's own; ours
LEG_DAYS = 3  # between the two legs of a transfer: a weekend, or a slow clearing
CARD_LEG_DAYS = 5  # between the two legs of a card payment, which banks post later
RETURN_DAYS = 60  # from a debit to its return: a consumer has that long to dispute one (NACHA)
REVERSAL_DAYS = 10  # "an outflow to an employer within 10 days cancels the paycheck it repeats"
LEAST_EARNED = 3  # inflows of a payee that pays more than it is paid: a customer of it gets refunds, less than that
NEVER_DAY = 1 << 30
PLACE_BITS = 21
PLACE_MASK = (1 << PLACE_BITS) - 1
MOST_ROWS = 1 << PLACE_BITS  # of a customer: a row's place is packed into a key with the number of a text

ROW = np.dtype(
    [
        # what the transaction says
        ("number", "i8"), ("day", "i8"), ("amount", "f8"), ("account", "i8"), ("held_as", "i8"), ("said", "i8"),
        ("identity", "i8"), ("category", "i8"), ("says", "i8"), ("told", "i8"), ("label", "i8"),
        # what is found
        ("payee", "i8"), ("merchant", "i8"), ("paid_before", "i8"), ("earns", "i8"), ("comes_in", "i8"),
        ("kind", "i8"), ("penalty", "i8"), ("service_fee", "i8"), ("purpose", "i8"), ("evidence", "i8"),
        ("spent", "f8"), ("spelling", "i8"), ("cents", "i8"), ("may_be_leg", "i8"), ("like_transfer", "i8"),
        ("refund", "i8"), ("taken_back", "i8"), ("unlinked", "i8"), ("partner", "i8"), ("nearness", "i8"),
        # what it is by itself, and of what that was judged (``depends_on``)
        ("judged", "i8"), ("own_kind", "i8"), ("own_penalty", "i8"), ("own_service_fee", "i8"),
    ],
    align=True,
)  # fmt: skip
# What is said and an id that occur together among the customer's rows.
SPELLING = np.dtype(
    [("said", "i8"), ("identity", "i8"), ("rows", "i8"), ("text", "i8"), ("display", "i8"), ("stable_id", "i8"),
     ("shared", "i8"), ("payee", "i8"), ("first", "i8"), ("last", "i8")],
    align=True,
)  # fmt: skip
# What is known of a text within one customer: a field holds where its stamp is the customer's.
TEXT = np.dtype(
    [("as_id", "i8"), ("rows", "i8"), ("only_paypal", "i8"), ("least_name", "i8"), ("most_name", "i8"),
     ("first", "i8"), ("last", "i8"),
     ("as_name", "i8"), ("usual_id", "i8"), ("usual_rows", "i8"),
     ("as_payee", "i8"), ("merchant", "i8"), ("paid_from", "i8"), ("paid_out", "f8"), ("paid_in", "f8"),
     ("inflows", "i8"), ("owed", "f8"), ("matched", "i8"), ("unmatched", "i8")],
    align=True,
)  # fmt: skip


class Names(NamedTuple):
    """What descriptors say (``descriptors.Said``), as kernels read it."""

    says: Numbers
    told: Numbers
    category: Numbers
    label: Numbers
    text: Numbers
    display: Numbers
    id_text: Numbers
    id_display: Numbers


class RowRoom(NamedTuple):
    """Room for the rows of one customer at a time."""

    keys: Numbers
    spellings: Records
    texts: Records


# --- payees ----------------------------------------------------------------------------------------------------------


@jit
def find_payees(stamp: int, rows: Records, count: int, names: Names, room: RowRoom) -> None:
    """Write to each row its payee, the payee's readable name and what passed between both, judged on all rows.

    An id is a payee where it occurs on two or more rows; ids of one name that follow one another are one. A row without
    id, or of one that occurs once, joins the id that its name mostly has. All others go by their name.
    """
    found = gather_spellings(rows, count, names, room)
    weigh_ids(stamp, found, names, room)
    weigh_names(stamp, found, room)
    join_ids(found, room)
    choose_payees(stamp, found, room)
    for i in range(count):
        row = rows[i]
        row.payee = room.spellings[row.spelling].payee
        if row.payee >= 0:
            add_to_payee(row, room.texts[row.payee])
    for i in range(count):
        row = rows[i]
        row.merchant, row.paid_before, row.earns, row.comes_in = -1, 0, 0, 0
        row.label = names.label[row.said]
        if row.payee >= 0:
            payee = room.texts[row.payee]
            row.merchant, row.comes_in = payee.merchant, payee.inflows
            row.paid_before = 1 if payee.paid_from <= row.day else 0
            row.earns = 1 if payee.paid_in > payee.paid_out else 0


@jit
def add_to_payee(row: Records, payee: Records) -> None:
    """Add a row to what passed between customer and payee."""
    if row.amount > 0:
        payee.paid_in += row.amount
        payee.inflows += 1
    # A payment that may be taken back: spending, not a transfer, a fee or a wage.
    elif (row.category & (UNKNOWN | PURCHASE) or row.told & SERVICE_INSTALMENTS) and not row.says & (
        SAYS_TRANSFER | SAYS_CARD_PAYMENT | SAYS_CASH_OUT | SAYS_FEE
    ):
        payee.paid_from = min(payee.paid_from, row.day)
        payee.paid_out -= row.amount


@jit
def gather_spellings(rows: Records, count: int, names: Names, room: RowRoom) -> int:
    """The rows' different pairs of what is said and id, and how many there are."""
    keys, found = room.keys, 0
    for i in range(count):
        keys[i] = ((rows[i].said + 1) << 2 * PLACE_BITS) | ((rows[i].identity + 1) << PLACE_BITS) | i
    sort(keys, count)
    for k in range(count):
        row = rows[keys[k] & PLACE_MASK]
        if k == 0 or keys[k] >> PLACE_BITS != keys[k - 1] >> PLACE_BITS:
            new = room.spellings[found]
            new.said, new.identity, new.rows = row.said, names.id_text[row.identity], 0
            new.first, new.last = row.day, row.day
            new.text, new.display = names.text[row.said], names.display[row.said]
            if new.text < 0:
                new.display = names.id_display[row.identity]
            found += 1
        room.spellings[found - 1].rows += 1
        room.spellings[found - 1].last = row.day  # rows of one spelling are in order of day
        row.spelling = found - 1
    return found


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
            about.first, about.last = spelling.first, spelling.last
        about.rows += spelling.rows
        about.first, about.last = min(about.first, spelling.first), max(about.last, spelling.last)
        if not names.told[spelling.said] & BY_PAYPAL:
            about.only_paypal = 0
        if spelling.text >= 0:
            about.least_name = min(about.least_name, spelling.text)
            about.most_name = max(about.most_name, spelling.text)
    for s in range(found):
        spelling = room.spellings[s]
        spelling.shared = 1 if names.told[spelling.said] & SERVICE_SHARED_BILLER else 0
        spelling.stable_id = -1
        if spelling.identity >= 0:
            about = room.texts[spelling.identity]
            several = about.least_name < about.most_name
            if several and (about.only_paypal or names.told[spelling.said] & SERVICE_SUBSCRIPTION):
                spelling.shared = 1  # a service sold under its shop's id is not the shop
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
def join_ids(found: int, room: RowRoom) -> None:
    """Make the first of the ids of a name that follow one another in time, each under no other name: the source gave
    its payee a new id. Ids of a name that overlap in time are different payees."""
    keys, pairs, at = room.keys, ZERO, 0
    for s in range(found):
        spelling = room.spellings[s]
        if spelling.stable_id >= 0 and spelling.text >= 0:
            first = room.texts[spelling.stable_id].first
            keys[pairs] = (spelling.text << 2 * PLACE_BITS) | (first << PLACE_BITS) | s
            pairs += 1
    sort(keys, pairs)
    while at < pairs:
        text, end, one_by_one, before = keys[at] >> 2 * PLACE_BITS, at, True, ZERO - 1
        while end < pairs and keys[end] >> 2 * PLACE_BITS == text:
            now = room.spellings[keys[end] & PLACE_MASK].stable_id
            about = room.texts[now]
            if about.least_name < about.most_name or (
                before >= 0 and before != now and about.first <= room.texts[before].last
            ):
                one_by_one = False
            before = now
            end += 1
        if one_by_one:
            first_id = room.spellings[keys[at] & PLACE_MASK].stable_id
            room.texts[text].usual_id = first_id
            for k in range(at, end):
                room.spellings[keys[k] & PLACE_MASK].stable_id = first_id
        at = end


@jit
def choose_payees(stamp: int, found: int, room: RowRoom) -> None:
    """Write each spelling's payee, and to the payee its readable name; nothing passed between both yet."""
    for s in range(found):
        spelling = room.spellings[s]
        spelling.payee = spelling.text if spelling.text >= 0 else spelling.identity
        if spelling.stable_id >= 0:
            spelling.payee = spelling.stable_id
        elif not spelling.shared and spelling.text >= 0:
            about = room.texts[spelling.text]
            if about.as_name == stamp:
                spelling.payee = about.usual_id
        if spelling.payee < 0:
            continue
        payee = room.texts[spelling.payee]
        if payee.as_payee != stamp:
            payee.as_payee, payee.merchant, payee.paid_from = stamp, spelling.display, NEVER_DAY
            payee.paid_out, payee.paid_in, payee.inflows, payee.owed = 0.0, 0.0, 0, 0.0
            payee.matched, payee.unmatched = 0, 0
        payee.merchant = min(payee.merchant, spelling.display)


# --- kinds -----------------------------------------------------------------------------------------------------------


@jit
def may_be_paid_to(held_as: int) -> bool:
    """Whether wages may arrive on an account of the class."""
    return held_as != CREDIT_CARD and held_as != LOAN and held_as != INVESTMENT


@jit
def lends(row: Records) -> bool:
    """Whether a row is of a cash-advance app: they lend, and what they take back is a loan's."""
    return (
        row.category & ADVANCE != 0
        or row.told & SERVICE_CASH_ADVANCE != 0
        or (row.category & UNSAID != 0 and row.says & SAYS_CASH_ADVANCE != 0)
    )


@jit
def is_payroll(row: Records) -> bool:
    """ "Payroll words beat" unearned ones; a mere direct deposit does only where the category says wages too."""
    if row.says & SAYS_CASH_ADVANCE or row.told & SERVICE_CASH_ADVANCE:
        return False
    if row.says & (SAYS_PAYROLL | SAYS_EMPLOYER_MARK):
        return True
    if row.told & MARK_PAYROLL and not row.says & (SAYS_BENEFIT | SAYS_PENSION):
        return True
    return row.says & SAYS_DEPOSITED_PAY != 0 and (row.category & EARNED != 0 or row.says & SAYS_UNEARNED == 0)


@jit
def is_interest(row: Records) -> bool:
    """Interest that the bank charges, by its category or, where that is silent, by words."""
    return row.category & INTEREST_CHARGED != 0 or (
        row.category & (UNSAID | BANK_FEES) != 0 and (row.says & SAYS_INTEREST != 0 or row.told & MARK_INTEREST != 0)
    )


@jit
def is_penalty(row: Records) -> bool:
    """An overdraft, insufficient funds or late fee, or one given back; interest charged on a deposit account, but for
    a loan's or a mortgage's, which is what one pays for it."""
    if row.category & PENALTY or (row.category & (UNSAID | BANK_FEES) and row.says & SAYS_PENALTY):
        return True
    charged = (row.held_as == CHECKING or row.held_as == SAVINGS) and row.amount <= 0 and is_interest(row)
    return charged and not row.category & LOAN_PAYMENTS


@jit
def is_service_fee(row: Records) -> bool:
    """Another fee of the bank: a month's, a cash machine's, for paying abroad; no penalty."""
    if row.category & BANK_FEES:
        return row.category & INTEREST_CHARGED == 0
    if not row.category & UNSAID:
        return False
    if row.says & SAYS_SERVICE_FEE and not row.told & ANY_SERVICE:
        return True
    return row.category & UNKNOWN != 0 and (
        row.told & MARK_FEE != 0 or (row.told & TO_BANK != 0 and row.says & SAYS_FEE != 0)
    )


@jit
def pays_for_work(row: Records) -> bool:
    """Whether the payer is one of whom one also buys, and from whom more comes in than goes out."""
    if row.says & (SAYS_REFUND | SAYS_FEE_REVERSAL) or row.told & MARK_REFUND or not row.earns:
        return False
    if row.told & (SERVICE_GIG | TO_EMPLOYER) or (row.category & UNSAID and row.says & SAYS_GIG):
        return True
    return row.comes_in >= LEAST_EARNED and row.category & UNSAID != 0


@jit
def is_refund(row: Records) -> bool:
    """Money back: in a purchase category, by words, or from somebody who was paid before."""
    category, says = row.category, row.says
    if row.amount <= 0 or lends(row):
        return False
    if is_payroll(row) and may_be_paid_to(row.held_as) and not (category & PURCHASE and not category & INFERRED):
        return False
    if may_be_paid_to(row.held_as) and pays_for_work(row):
        return False
    if row.told & (TO_STATE | MARK_TAX) or says & SAYS_TAX:
        return row.told & MARK_REFUND != 0 and category & (PURCHASE | TAX_REFUND) == 0
    if category & (PURCHASE | BANK_FEES) and (
        row.paid_before or not category & INFERRED or row.told & FROM_KNOWN_PAYEE
    ):
        return True
    if (
        (says & SAYS_REFUND or row.told & MARK_REFUND)
        and not says & SAYS_TAX
        and not category & (LOAN_PAYMENTS | TAX_REFUND)
    ):
        return True
    if says & SAYS_FEE_REVERSAL and category & UNKNOWN:
        return True
    if row.told & SERVICE_INSTALMENTS and row.paid_before and category & UNSAID:
        return True  # what was bought on a plan was sent back
    speaks_against = SAYS_PEER | SAYS_INTEREST | SAYS_UNEARNED | SAYS_TRANSFER
    somebody_else = TO_PERSON | TO_OWN | TO_STATE | TO_EMPLOYER | SERVICE_PEER
    return (
        category & UNKNOWN != 0 and row.paid_before != 0 and says & speaks_against == 0
        and row.told & somebody_else == 0
    )  # fmt: skip


@jit
def is_card_payment(row: Records) -> bool:
    """A card paid, seen from either account; also all that a card receives and is no refund."""
    if row.category & INFERRED and row.says & SAYS_INSTALMENT and row.amount < 0 and row.held_as == CREDIT_CARD:
        return False  # a purchase paid in parts by the card, under the name of its issuer
    if row.category & CARD_PAYMENT:
        return True
    if row.says & SAYS_CARD_PAYMENT and row.category & (UNSAID | TRANSFER | LOAN_PAYMENTS):
        return True
    return row.amount > 0 and row.held_as == CREDIT_CARD and not row.refund


@jit
def is_own_transfer(row: Records) -> bool:
    """Between the customer's accounts, by its category or by words for an own account; or transfer words and nothing
    else left of the name. "Any other transfer is a payment to, or money from, somebody"."""
    category, says, told = row.category, row.says, row.told
    if category & OWN_FUNDS:
        return True
    if category & PURCHASE and not category & INFERRED:
        return False
    if row.amount > 0 and says & (SAYS_PENSION | SAYS_BENEFIT):
        return False
    put_by = row.amount < 0 and says & SAYS_OWN_ACCOUNT != 0  # what an employer adds, as in Germany
    if is_payroll(row) and not put_by:
        return False
    if says & (SAYS_PEER | SAYS_FEE | SAYS_NO_INCOME | SAYS_INTEREST) or category & FROM_APPS:
        return False
    if not category & (UNSAID | TRANSFER) or category & ADVANCE:
        return False
    if told & SERVICE_BROKERAGE or told & (TO_OWN | MARK_INVESTMENT):
        return True
    if told & (TO_PERSON | TO_EMPLOYER | TO_STATE | ANY_SERVICE) or row.identity >= 0:
        return False
    by_category = category & TRANSFER != 0 and not category & (WITHDRAWAL | DEPOSIT)
    if says & SAYS_OWN_ACCOUNT or (told & TO_BANK and (says & SAYS_TRANSFER or (by_category and not says & SAYS_BILL))):
        return True
    if not told & BARE or (row.amount > 0 and says & SAYS_UNEARNED):
        return False
    return by_category or says & SAYS_TRANSFER != 0 or told & MARK_TRANSFER != 0


@jit
def lends_money(row: Records) -> bool:
    """Whether a payer is a lender, who pays out loans. Words alone say little: a mortgage bank pays wages, too."""
    return row.category & LOAN_PAYMENTS != 0 and row.told & FROM_WORDS == 0


@jit
def is_unearned(row: Records) -> bool:
    """Whether words or the code speak against a wage."""
    return (
        row.says & (SAYS_UNEARNED | SAYS_BENEFIT | SAYS_PENSION | SAYS_INTEREST | SAYS_REFUND | SAYS_NO_INCOME) != 0
        or lends_money(row)
        or row.told & (MARK_INTEREST | MARK_DIVIDEND | MARK_TAX | MARK_LOAN | MARK_REFUND | MARK_RETURN) != 0
    )


@jit
def is_business_client(row: Records) -> bool:
    """Whether the payer is a business that pays again and again and is never paid: who works for oneself is paid so."""
    if row.comes_in < LEAST_EARNED or row.paid_before or row.says & SAYS_PEER:
        return False
    return row.told & TO_MERCHANT != 0 and row.told & (FROM_KNOWN_PAYEE | ANY_SERVICE | BARE) == 0


@jit
def is_paycheck(row: Records) -> bool:
    """Wages, a salary, gig income: unearned words beat the category, payroll words beat those."""
    category, says, told = row.category, row.says, row.told
    if row.amount <= 0 or not may_be_paid_to(row.held_as) or lends(row):
        return False
    if is_payroll(row):
        return category & (EARNED | UNSAID | TRANSFER_IN) != 0
    if is_unearned(row):
        return False
    if category & EARNED:
        return says & SAYS_PEER == 0
    if not category & UNSAID:
        return False
    if told & TO_EMPLOYER:
        return True
    somebody_else = TO_PERSON | TO_OWN | TO_STATE | TO_BANK | SERVICE_PEER | SERVICE_BROKERAGE | SERVICE_SHARED_BILLER
    if (told & SERVICE_GIG or (says & SAYS_GIG and not category & BENEFIT)) and says & SAYS_PEER == 0:
        return not row.paid_before or row.earns != 0
    if is_business_client(row):
        return True
    prearranged = told & MARK_PREARRANGED != 0 or says & SAYS_PREARRANGED != 0
    return prearranged and row.comes_in >= 2 and told & (somebody_else | BARE) == 0 and says & SAYS_PEER == 0


@jit
def is_benefit(row: Records) -> bool:
    """What the state or a pension pays: "regular income, no pay"; tax given back is neither."""
    if row.amount <= 0 or not may_be_paid_to(row.held_as):
        return False
    if row.category & BENEFIT:
        return True
    if not row.category & (UNSAID | TRANSFER_IN) or row.says & SAYS_REFUND or row.category & TAX_REFUND:
        return False
    if row.says & SAYS_TAX and not row.says & SAYS_PENSION:  # a tax office may pay the state's pensions, as in France
        return False
    return row.says & (SAYS_BENEFIT | SAYS_PENSION) != 0 or row.told & (MARK_BENEFIT | MARK_PENSION | TO_STATE) != 0


@jit
def kind_of(row: Records) -> int:
    """What a row is, as far as it can be known without another row; the first that matches."""
    category, says, inflow, outflow = row.category, row.says, row.amount > 0, row.amount < 0
    silent, payroll = category & UNSAID != 0, is_payroll(row)
    if is_card_payment(row):
        return KIND_CARD_PAYMENT
    if is_own_transfer(row):
        return KIND_OWN_TRANSFER
    drawn = silent and not row.told & FROM_KNOWN_PAYEE and (says & SAYS_CASH_OUT != 0 or row.told & MARK_CASH != 0)
    if outflow and (category & WITHDRAWAL or drawn):
        return KIND_CASH_WITHDRAWAL
    cash_in = says & SAYS_CASH_IN or row.told & (MARK_CASH | MARK_DEPOSIT)
    if inflow and not payroll and (category & DEPOSIT or (silent and cash_in)):
        return KIND_CASH_DEPOSIT
    if row.refund:
        return KIND_REFUND
    if outflow and row.penalty:
        return KIND_FEE
    if outflow and row.held_as == CREDIT_CARD and is_interest(row):
        return KIND_INTEREST_CHARGED
    if outflow and row.service_fee:
        return KIND_SERVICE_FEE
    earned = says & SAYS_INTEREST or row.told & MARK_INTEREST
    if inflow and (category & INTEREST_EARNED or (category & (UNSAID | INCOME) and earned and not payroll)):
        return KIND_INTEREST_EARNED
    if lends(row):
        return KIND_ADVANCE
    if is_paycheck(row):
        return KIND_PAYCHECK
    if is_benefit(row):
        return KIND_BENEFIT
    return KIND_OTHER_OUT if outflow else KIND_OTHER_IN


@jit
def who_knows(told: int) -> int:
    """The evidence of what a row's category says."""
    if told & FROM_CATEGORY:
        return BY_CATEGORY
    if told & FROM_CODE:
        return BY_CODE
    if told & FROM_KNOWN_PAYEE:
        return BY_KNOWN_PAYEE
    if told & FROM_WORDS:
        return BY_WORDS
    return BY_PATTERN


@jit
def write_purpose(row: Records) -> None:
    """Write what an outflow may be part of, and what shows it: the payee, the category, words, the population."""
    category, says, told = row.category, row.says, row.told
    row.purpose, row.evidence = NO_PURPOSE, BY_PATTERN
    telling = category & (BILL | SUBSCRIPTION) != 0 and category & HABIT == 0
    # A code knows the shop, not what it sells: `4899` is cable and streaming; words that say more go before it.
    # So do they at a known shop, `EUROPEAN WAX CTR MEMBERSHIP`, unless it is one that everybody visits.
    by_shop = told & FROM_KNOWN_PAYEE != 0 and category & HABIT != 0 and told & SERVICE_HABIT == 0
    subscribed = says & SAYS_SUBSCRIPTION != 0 and (told & (FROM_CODE | FROM_WORDS) != 0 or by_shop)
    if told & SERVICE_SUBSCRIPTION:
        row.purpose, row.evidence = FOR_SUBSCRIPTION, BY_KNOWN_PAYEE
    elif told & (SERVICE_BILL | SERVICE_INSTALMENTS):
        row.purpose, row.evidence = FOR_BILL, BY_KNOWN_PAYEE
    elif subscribed and (category & (HABIT | BILL) or says & SAYS_HABIT) and not category & TRANSPORT:
        row.purpose, row.evidence = FOR_SUBSCRIPTION, BY_WORDS
    elif (
        category & HABIT
        or (told & SERVICE_HABIT and not (telling and told & FROM_CATEGORY))  # another payee of a known shop's name
        or (says & SAYS_HABIT and told & (FROM_CODE | FROM_WORDS))
    ):
        row.purpose = NO_STREAM
    elif category & LOOSE and says & SAYS_HABIT:
        row.purpose = NO_STREAM  # `Fun Money` is a plan's category as much as a coffee's
    elif telling:
        row.purpose = FOR_BILL if category & BILL else FOR_SUBSCRIPTION
        row.evidence = who_knows(told)
    elif category & UNSAID and says & SAYS_HABIT and not says & SAYS_PLAN:
        row.purpose = NO_STREAM
    elif says & (SAYS_BILL | SAYS_INSTALMENT):
        row.purpose, row.evidence = FOR_BILL, BY_WORDS
    elif says & SAYS_SUBSCRIPTION:
        row.purpose, row.evidence = FOR_SUBSCRIPTION, BY_WORDS
    elif told & LIST_PRICED:
        row.purpose, row.evidence = FOR_SUBSCRIPTION, BY_LIST_PRICE
    elif told & (TO_STATE | TO_BANK) or category & INCOME:
        row.purpose, row.evidence = FOR_BILL, BY_KNOWN_PAYEE
    elif told & OWN_PRICED or is_standing(row):
        row.purpose = FOR_BILL


@jit
def is_standing(row: Records) -> bool:
    """Whether a payment would be a standing one, if it recurs: to a person, or to anybody by transfer."""
    to_somebody = TO_PERSON | SERVICE_PEER | MARK_STANDING_ORDER
    return row.told & to_somebody != 0 or row.category & TRANSFER_OUT != 0 or row.says & SAYS_STANDING_ORDER != 0


@jit
def write_source(row: Records) -> None:
    """Write whether an inflow may be part of a stream, and what shows it: "interest, tax refunds and dividends are no
    income streams"."""
    row.purpose, row.evidence = NO_PURPOSE, BY_PATTERN
    regular = row.kind == KIND_PAYCHECK or row.kind == KIND_BENEFIT
    unearned = row.told & (MARK_INTEREST | MARK_DIVIDEND | MARK_TAX | MARK_LOAN) != 0
    lent = lends_money(row) and not regular
    if (
        row.category & UNEARNED
        or unearned
        or lent
        or (row.category & UNSAID and row.says & SAYS_NO_INCOME and not regular)
    ):
        row.purpose = NO_STREAM
    elif row.category & (EARNED | INCOME) and row.told & (FROM_CATEGORY | FROM_CODE | FROM_KNOWN_PAYEE):
        row.evidence = who_knows(row.told)
    elif row.told & (MARK_PAYROLL | MARK_BENEFIT | MARK_PENSION | MARK_PREARRANGED):
        row.evidence = BY_CODE
    elif regular and row.says & (
        SAYS_PAYROLL | SAYS_DEPOSITED_PAY | SAYS_EMPLOYER_MARK | SAYS_PREARRANGED | SAYS_BENEFIT | SAYS_PENSION
    ):
        row.evidence = BY_WORDS
    elif regular and row.told & (ANY_SERVICE | TO_STATE | TO_EMPLOYER):
        row.evidence = BY_KNOWN_PAYEE


@jit
def find_kinds(rows: Records, count: int, own_accounts: int) -> None:
    """Write to each row its kind by itself, and what else it is so; most rows are what they were on the date before."""
    for i in range(count):
        row = rows[i]
        judged = depends_on(row, own_accounts)
        if row.judged != judged:
            judge(row, own_accounts)
            row.judged = judged
            row.own_kind, row.own_penalty, row.own_service_fee = row.kind, row.penalty, row.service_fee
        row.kind, row.penalty, row.service_fee = row.own_kind, row.own_penalty, row.own_service_fee
        row.spent, row.taken_back, row.unlinked = row.amount, 0, 0


@jit
def depends_on(row: Records, own_accounts: int) -> int:
    """What ``judge`` reads of a row that another date may tell otherwise, as a number that is not 0."""
    inflows = min(row.comes_in, LEAST_EARNED)
    return 1 | (2 if own_accounts > 1 else 0) | row.paid_before << 2 | row.earns << 3 | inflows << 4


@jit
def judge(row: Records, own_accounts: int) -> None:
    """Write what a row is by itself, and whether it may be a leg of a transfer: 2 where only of a card payment."""
    row.cents = int(abs(row.amount) * 100 + 0.5)
    row.penalty = 1 if is_penalty(row) else 0
    row.service_fee = 1 if not row.penalty and is_service_fee(row) else 0
    row.refund = 1 if is_refund(row) else 0
    row.kind = kind_of(row)
    if row.amount > 0:
        write_source(row)
    else:
        write_purpose(row)
    by_words = row.category & UNSAID != 0 and row.says & (SAYS_TRANSFER | SAYS_OWN_ACCOUNT) != 0
    marked = row.told & (TO_OWN | MARK_TRANSFER) != 0
    row.like_transfer = 1 if row.category & TRANSFER or by_words or marked else 0
    row.may_be_leg = leg_of(row) if own_accounts > 1 else 0


@jit
def leg_of(row: Records) -> int:
    """Whether a row may be a leg: 1 of any, 2 where it names somebody, who may be the customer, 3 where that is a
    person or a peer service, 4 of a row that it must know (``know_each_other``). "A leg never matches a row that names
    a third party, nor a purchase"."""
    if row.amount < 0 and row.told & BY_PAYPAL:
        return 4
    # What a card received is a payment by its category, and its other half may have none; the other way round, too.
    onto_card = row.kind == KIND_CARD_PAYMENT and row.amount > 0 and row.held_as == CREDIT_CARD
    of_card = row.kind == KIND_CARD_PAYMENT and row.amount < 0
    if not row.category & (UNSAID | TRANSFER) and not onto_card and not of_card:
        return 0
    if (
        (row.amount > 0 and is_payroll(row))
        or row.says & SAYS_FEE
        or row.held_as == LOAN
        or row.amount == 0
        or lends(row)
    ):
        return 0
    if (row.category & PURCHASE or row.refund) and row.amount < 0:
        return 0
    if row.told & TO_STATE or (row.amount > 0 and row.told & TO_EMPLOYER):
        return 0
    if row.says & SAYS_PEER:
        return 4 if row.told & TO_PERSON else 0
    if row.told & (TO_PERSON | SERVICE_PEER):
        return 3
    if of_card:
        return 2
    own = row.like_transfer or onto_card or row.told & (BARE | TO_BANK | SERVICE_BROKERAGE)
    return 1 if own or row.says & (SAYS_CARD_PAYMENT | SAYS_CASH_IN) else 2


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
                if abs(rows[o].day - rows[i].day) > CARD_LEG_DAYS:
                    break
                consider_legs(rows, i, o)
                b += direction
    pairs = ZERO
    for a in range(sides):
        i = keys[a] & PLACE_MASK
        if rows[i].amount > 0 and rows[i].partner >= 0 and rows[rows[i].partner].partner == i:
            keys[pairs] = (
                ((rows[i].payee + 1) << 2 * PLACE_BITS) | ((rows[rows[i].partner].payee + 1) << PLACE_BITS) | i
            )
            pairs += 1
    sort(keys, pairs)
    at = ZERO
    while at < pairs:
        end = at
        while end < pairs and keys[end] >> PLACE_BITS == keys[at] >> PLACE_BITS:
            end += 1
        for k in range(at, end):
            into = rows[keys[k] & PLACE_MASK]
            out = rows[into.partner]
            if are_legs(into, out, end - at):
                join_legs(into, out)
                into.taken_back, out.taken_back = -1, -1
        at = end


@jit
def are_legs(into: Records, out: Records, times: int) -> bool:
    """Whether two rows that match are legs: of rows that name somebody only where both name the same, or where the two
    names meet again and again. Nobody else's payments do."""
    if max(into.may_be_leg, out.may_be_leg) == 4 or (into.held_as == CREDIT_CARD and out.may_be_leg < 3):
        return True
    if into.may_be_leg == 1 and out.may_be_leg == 1 and (into.like_transfer or out.like_transfer):
        return True
    return (into.payee == out.payee and into.payee >= 0) or times >= LEAST_REPEATED


@jit
def know_each_other(into: Records, out: Records) -> bool:
    """Whether two rows name the same person, who sends to themselves, or one fills PayPal for what the other says was
    bought by it."""
    if out.told & BY_PAYPAL:
        return into.kind == KIND_OWN_TRANSFER and into.says & SAYS_OWN_ACCOUNT != 0
    return into.payee == out.payee and into.payee >= 0


@jit
def consider_legs(rows: Records, i: int, o: int) -> None:
    """Make an inflow and an outflow of the same size each other's partner where neither has a nearer one."""
    into, out = rows[i], rows[o]
    onto_card = into.held_as == CREDIT_CARD
    if out.amount > 0 or out.account == into.account:
        return
    if max(into.may_be_leg, out.may_be_leg) == 4 and not know_each_other(into, out):
        return
    apart = out.day - into.day
    if not onto_card and (abs(apart) > LEG_DAYS or out.kind == KIND_CARD_PAYMENT):
        return
    sure = into.may_be_leg == 1 and out.may_be_leg == 1 and (into.like_transfer or out.like_transfer)
    nearness = (0 if onto_card else 1000 if sure else 2000) + 20 * abs(apart) + apart
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


# --- rows that undo others -------------------------------------------------------------------------------------------


@jit
def undo(rows: Records, count: int) -> None:
    """Find what was returned, reversed or given back, and write what both rows are then."""
    for i in range(count):
        row = rows[i]
        returns = row.says & SAYS_RETURN != 0 or row.told & (MARK_RETURN | MARK_REVERSAL) != 0
        if row.taken_back != 0 or row.kind == KIND_CARD_PAYMENT or row.kind == KIND_OWN_TRANSFER:
            continue
        if row.amount > 0 and row.says & SAYS_FEE_REVERSAL and row.kind == KIND_REFUND:
            give_back_fee(rows, i)
        elif row.amount > 0 and returns and row.kind != KIND_PAYCHECK and row.kind != KIND_BENEFIT:
            return_debit(rows, i)
        elif row.amount < 0 and (returns or row.comes_in > 0):
            reverse_credit(rows, i, returns)


@jit
def give_back_fee(rows: Records, i: int) -> None:
    """A fee given back is of the kind of the latest equal fee, "whatever name it carries"."""
    row, k = rows[i], i - 1
    while k >= 0 and row.day - rows[k].day <= RETURN_DAYS:
        fee = rows[k]
        if (fee.kind == KIND_FEE or fee.kind == KIND_SERVICE_FEE) and fee.cents == row.cents and not fee.taken_back:
            fee.taken_back = 1
            row.penalty, row.service_fee = fee.penalty, fee.service_fee
            return
        k -= 1
    row.service_fee = 0 if row.penalty else 1


@jit
def return_debit(rows: Records, i: int) -> None:
    """ "A returned or reversed debit cancels the debit it repeats, whatever name it carries": that payee's latest, or
    else the account's."""
    row, k, found = rows[i], i - 1, -1
    while k >= 0 and row.day - rows[k].day <= RETURN_DAYS:
        debit = rows[k]
        if debit.amount < 0 and debit.cents == row.cents and debit.taken_back <= 0:
            if debit.payee == row.payee and row.payee >= 0:
                found = k
                break
            if found < 0 and debit.account == row.account:
                found = k
        k -= 1
    if found < 0:
        return
    debit = rows[found]
    debit.taken_back = 1
    row.payee, row.merchant, row.label = debit.payee, debit.merchant, debit.label
    row.penalty, row.service_fee = debit.penalty, debit.service_fee
    row.kind = KIND_REFUND
    if debit.kind == KIND_CARD_PAYMENT or debit.kind == KIND_OWN_TRANSFER or debit.kind == KIND_ADVANCE:
        row.kind, debit.unlinked = debit.kind, -1


@jit
def reverse_credit(rows: Records, i: int, returns: bool) -> None:
    """An outflow within days that repeats what the payee had paid takes it back: neither came in nor was spent."""
    row, k = rows[i], i - 1
    while k >= 0 and row.day - rows[k].day <= REVERSAL_DAYS:
        credit = rows[k]
        may = credit.kind == KIND_PAYCHECK or credit.kind == KIND_BENEFIT
        if returns or row.comes_in >= LEAST_EARNED:  # who may turn out to pay by the pattern
            may = may or credit.kind == KIND_OTHER_IN or (returns and credit.kind == KIND_CASH_DEPOSIT)
        same = (credit.payee == row.payee and row.payee >= 0) or (returns and credit.account == row.account)
        onto_card = credit.kind == KIND_CARD_PAYMENT and row.held_as == CREDIT_CARD
        if returns and onto_card and credit.account == row.account and credit.amount > 0 and credit.cents == row.cents:
            row.taken_back, row.kind = (
                1,
                KIND_CARD_PAYMENT,
            )  # a payment that bounced is owed again, and nothing is bought
            return
        if credit.amount > 0 and credit.cents == row.cents and may and same and not credit.taken_back:
            credit.taken_back, row.taken_back = 1, 1
            credit.kind, row.kind = KIND_CANCELLED, KIND_CANCELLED
            return
        k -= 1


@jit
def settle_advances(rows: Records, count: int, room: RowRoom) -> None:
    """What an advance's app takes back is spending only beyond what it lent."""
    for i in range(count):
        row = rows[i]
        if row.kind == KIND_ADVANCE and row.payee >= 0:
            payee = room.texts[row.payee]
            payee.owed += max(row.amount, 0.0)
            repaid = min(payee.owed, max(-row.amount, 0.0))
            payee.owed -= repaid
            row.spent = min(row.amount + repaid, 0.0)


@jit
def mark_unlinked(rows: Records, count: int, room: RowRoom) -> None:
    """Mark the payments of cards that are not among the customer's accounts: of an issuer, none of whose payments met
    its other half. A card that shows no payment at all may be the one that is paid."""
    keys, cards, paid, unmatched = room.keys, ZERO, 0, 0
    for i in range(count):
        row = rows[i]
        if row.held_as == CREDIT_CARD:
            keys[cards] = (row.account << 1) | (1 if row.kind == KIND_CARD_PAYMENT and row.amount > 0 else 0)
            cards += 1
        elif row.kind == KIND_CARD_PAYMENT and row.amount < 0 and row.payee >= 0 and row.unlinked == 0:
            payee = room.texts[row.payee]
            if row.taken_back == -1:
                payee.matched = 1
            elif payee.unmatched == 0:
                payee.unmatched = 1
                unmatched += 1
    if unmatched == 0:
        return
    sort(keys, cards)
    for k in range(cards):
        if k + 1 == cards or keys[k + 1] >> 1 != keys[k] >> 1:
            paid += 1 if keys[k] & 1 == 0 else 0
    for i in range(count):
        row = rows[i]
        if row.kind == KIND_CARD_PAYMENT and row.amount < 0 and row.payee >= 0 and row.held_as != CREDIT_CARD:
            payee = room.texts[row.payee]
            if payee.unmatched == 1 and payee.matched == 0:
                if paid > 0:
                    paid -= 1
                    payee.matched = 1
                elif row.unlinked == 0:
                    row.unlinked = 1


@jit
def classify(stamp: int, rows: Records, count: int, names: Names, own_accounts: int, room: RowRoom) -> None:
    """Write what the rows of one customer are; ``own_accounts`` is how many accounts the customer has."""
    find_payees(stamp, rows, count, names, room)
    find_kinds(rows, count, own_accounts)
    match_legs(rows, count, room)
    undo(rows, count)
    settle_advances(rows, count, room)
    mark_unlinked(rows, count, room)
