"""What may repeat: the charges of each payee, and the price lines that they may belong to.

The rows of a payee are gathered into *segments* (one price, prices within 3 %, prices that follow one another, or a
bill that varies); ``streams.py`` lays each on its calendars. A payee without two like charges is dropped here. Payees
and segments are known by narrow keys: everything after this sorts and joins by them, and names are read once each.

What does not belong here: what a row is (``rows.py``), and anything about a calendar.
"""

import datetime as dt
from typing import Any, NamedTuple

import ibis

from spendsense_pipeline.features.cadence import alignment, day_position, month_position
from spendsense_pipeline.features.expressions import cents, day_number, keyed, plain, step, words

CANDIDATES = ["other_out", "other_in", "paycheck"]  # kinds of rows that may be hits

# Words in quotes are SIGNALS.md's on `recurring_streams`. "Ours" is our judgement, measured in docs/accuracy.md.
REFUND_DAYS = 60  # "it cancels the latest equal charge of that payee within 60 days"
SAME_PRICE = 103  # percent; "fixed price: to the cent, or within 3 %"
VARIATION = 3  # "bills may vary (a third to three times)"; income, and the step from an introductory price: ours
LEAST_VARYING = 3  # hits, where no price is charged twice to the cent and vouches for the line; ours
LEAST_VARYING_INCOME = 4  # irregular pay meets a calendar three times by chance; ours
LEAST_VARYING_TRANSFERS = 6  # payments to people meet on a day for a while; a standing one lasts; ours

# "Food, transport, travel and the like are never subscriptions"; "fees are never streams". A visit, to a doctor or a
# salon, is of their kind: it costs the same each time, and nobody comes unless somebody goes.
NEVER = ["FOOD_AND_DRINK", "TRANSPORTATION", "TRAVEL", "BANK_FEES"]
NEVER_DETAILED = [
    *("MEDICAL_DENTAL_CARE", "MEDICAL_EYE_CARE", "MEDICAL_NURSING_CARE", "MEDICAL_PRIMARY_CARE"),
    *("MEDICAL_VETERINARY_SERVICES", "PERSONAL_CARE_HAIR_AND_BEAUTY"),
]
NEVER_WORDS = (
    *("coffee", "cafe", "espresso", "restaurant", "pizza", "grocery", "groceries", "supermarket", "bakery"),
    *("fuel", "gas station", "gasoline", "parking", "taxi", "airlines", "airways", "hotel"),
    *("dental", "dentist", "clinic", "barber", "salon", "veterinary"),
)
# "bill (utilities, rent, insurance, telecom, loan, standing payment)"
BILLS = ["RENT_AND_UTILITIES", "LOAN_PAYMENTS", "TRANSFER_OUT"]
BILLS_DETAILED = ["GENERAL_SERVICES_INSURANCE"]
BILL_WORDS = (
    *("rent", "mortgage", "loan", "insurance", "electric", "electricity", "energy", "power", "water", "sewer"),
    *("utility", "utilities", "internet", "broadband", "telecom", "wireless", "mobile", "phone"),
)
# "Interest, tax refunds and dividends are no income streams"; money that is lent is not earned either.
NO_INCOME = [
    *("INCOME_INTEREST_EARNED", "INCOME_DIVIDENDS", "INCOME_TAX_REFUND"),
    "TRANSFER_IN_CASH_ADVANCES_AND_LOANS",
]
NO_INCOME_WORDS = ("interest", "intrst", "dividend", "dividends", "tax", "irs", "treas")

# How a segment is gathered from the rows of a payee.
ONE_PRICE, NEAR_PRICES, ALL_PRICES, REPEATED_PRICES = range(4)
ONCE = 0  # the number of the segment of prices charged once

PAYEE = ["user_id", "payee", "inflow"]
SEGMENT = ["payee_no", "basis", "price_no"]


def near(lower: Any, higher: Any) -> Any:
    """Whether two prices count as one. In whole numbers: at the boundary engines differ by how they read `1.03`."""
    return higher * 100 <= lower * SAME_PRICE


def charges(rows: ibis.Table, as_of: dt.date) -> ibis.Table:
    """Candidate rows that no refund cancels.

    Columns: ``PAYEE``, its key ``payee_no``, ``row_no`` (within the payee, by date), ``transaction_id, date, amount,
    merchant``, ``price`` (cents), ``bill`` (null where nothing tells), ``earned``, ``least_varying``, and where the
    date lies: ``days``, ``months`` and ``moved`` (half days, ``cadence.py``).
    """
    candidates = step(_candidates(rows, as_of), "candidates")
    payees = step(_payees(candidates), "payees")
    t = candidates.inner_join(payees, PAYEE)
    # Null where neither category nor words tell: half the rows of a payee may lack a category, and the others speak
    # for them.
    never = t.unnamed.ifelse(t.says_never, t.never)
    t = t.filter(~never.fill_null(False)).mutate(bill=t.unnamed_bill.ifelse(t.says_bill.nullif(False), t.bill))
    t = step(_not_refunded(step(t, "charges_and_refunds")), "charges_that_stand")
    return t.select(
        *PAYEE,
        *("payee_no", "transaction_id", "date", "amount", "merchant", "price", "bill", "earned", "least_varying"),
        row_no=ibis.row_number().over(group_by="payee_no", order_by=[t.date, t.transaction_id]),
        days=day_position(t.date),
        months=month_position(t.date),
        moved=alignment(t.date),
    )


def _candidates(rows: ibis.Table, as_of: dt.date) -> ibis.Table:
    """Rows that may repeat, and refunds, with what their categories say. ``unnamed`` rows ask the payee's words."""
    refund = rows.kind == "refund"
    inflow = (rows.amount > 0) & ~refund
    unknown = rows.category_primary.isnull()
    unearned = rows.category_detailed.isin(NO_INCOME).fill_null(False) | (
        (rows.category_primary == "LOAN_DISBURSEMENTS").fill_null(False)
    )
    t = rows.select(
        *("transaction_id", "user_id", "payee", "date", "amount"),
        merchant=ibis.coalesce(rows.merchant, rows.payee),
        inflow=inflow,
        refund=refund,
        price=cents(rows.amount.abs()),
        unnamed=inflow.ifelse((rows.kind == "other_in") & unknown & ~unearned, unknown),
        never=inflow.ifelse(unearned, rows.category_primary.isin(NEVER) | rows.category_detailed.isin(NEVER_DETAILED)),
        unnamed_bill=unknown,
        bill=rows.category_primary.isin(BILLS) | rows.category_detailed.isin(BILLS_DETAILED),
        earned=rows.kind == "paycheck",
        least_varying=ibis.cases(
            (inflow, LEAST_VARYING_INCOME),
            ((rows.category_primary == "TRANSFER_OUT").fill_null(False), LEAST_VARYING_TRANSFERS),
            else_=LEAST_VARYING,
        ),
        candidate=(refund | rows.kind.isin(CANDIDATES)) & (rows.date <= as_of) & rows.payee.notnull(),
    )
    return t.filter(t.candidate, t.price > 0).drop("candidate")


def _payees(candidates: ibis.Table) -> ibis.Table:
    """``PAYEE``, ``payee_no`` and what the name says, of payees with two rows that are not shunned for what they are.

    Words are read once per name. They speak for the rows without a category, and only where they say yes; that a
    name does not say interest makes an unexplained inflow income.
    """
    t = candidates.group_by(PAYEE).aggregate(
        told=candidates.merchant.max(),
        rows=candidates.count(),
        unnamed=candidates.unnamed.cast("int64").sum(),
        known=candidates.never.count(where=~candidates.unnamed),
        shunned=candidates.never.cast("int64").sum(where=~candidates.unnamed).fill_null(0),
    )
    t = step(t.filter(t.rows > 1), "payees_with_two_rows")
    names = t.select("told").distinct()
    text = plain(names.told)
    names = names.mutate(
        no_income=words(text, *NO_INCOME_WORDS), no_stream=words(text, *NEVER_WORDS), says_bill=words(text, *BILL_WORDS)
    )
    t = t.inner_join(names, "told")
    t = t.mutate(says_never=t.inflow.ifelse(t.no_income, t.no_stream))
    shunned = t.shunned + t.says_never.ifelse(t.unnamed, 0)
    told = t.known + (t.inflow | t.says_never).ifelse(t.unnamed, 0)
    t = t.filter((2 * shunned < told) | (told == 0))
    return keyed(t.select(*PAYEE, "says_never", "says_bill"), "payee_no", *PAYEE)


def _not_refunded(t: ibis.Table) -> ibis.Table:
    """Charges without those that a refund cancels.

    A refund closes the latest equal charge still open, as a bracket does: with charges +1 and refunds −1, the pair
    stands next to one another among the rows of the same depth. Only prices that were ever refunded are looked at.
    """
    equal = ["payee_no", "price"]
    refunded = t.filter(t.refund).select(*equal).distinct()
    doubtful = t.semi_join(refunded, equal).select(*equal, "transaction_id", "date", "refund")
    order = [doubtful.date, doubtful.refund, doubtful.transaction_id]
    so_far = doubtful.refund.ifelse(-1, 1).sum().over(ibis.cumulative_window(group_by=equal, order_by=order))
    doubtful = doubtful.mutate(depth=so_far + doubtful.refund.ifelse(1, 0))
    refund_date = doubtful.refund.ifelse(doubtful.date, ibis.null("date"))
    doubtful = doubtful.mutate(
        refunded_on=refund_date.lead().over(
            group_by=[*equal, "depth"], order_by=[doubtful.date, doubtful.refund, doubtful.transaction_id]
        )
    )
    cancelled = doubtful.filter(
        ~doubtful.refund,
        doubtful.refunded_on.notnull(),
        day_number(doubtful.refunded_on) - day_number(doubtful.date) <= REFUND_DAYS,
    )
    return t.filter(~t.refund).anti_join(cancelled, "transaction_id")


class Segments(NamedTuple):
    """``each``: one row per segment, its key ``segment_no``, ``SEGMENT``, ``inflow, may_vary, payee_rows,
    segment_rows``. ``rows``: ``segment_no, segment_row`` (its place by date), ``by_price`` (whether two on one day are
    told apart by price) and of each charge what it is judged by."""

    each: ibis.Table
    rows: ibis.Table


def segments(t: ibis.Table) -> Segments:
    """Each of the ``charges`` once per price line it may belong to: ``basis`` (how gathered) and ``price_no``.

    A basis is left out where it can bring nothing: a price charged once, a payee with so many prices that they
    cannot be the steps of one. All of that is judged on prices; the charges follow.
    """
    prices = step(_prices(t), "prices")
    laid = step(_bases(prices), "prices_in_segments")
    each = laid.group_by(SEGMENT).aggregate(
        segment_rows=laid.price_rows.sum(),
        payee_rows=laid.payee_rows.max(),
        inflow=laid.inflow.any(),
        may_vary=laid.may_vary.any(),
    )
    each = step(keyed(each.filter(each.segment_rows > 1), "segment_no", *SEGMENT), "segments")
    laid = laid.inner_join(each, SEGMENT)
    by_price = (laid.basis >= ALL_PRICES) | (laid.price_no == ONCE)
    laid = laid.select("payee_no", "price", "segment_no", by_price=by_price)
    rows = t.select("payee_no", "row_no", "price", "least_varying", "days", "months", "moved")
    rows = rows.inner_join(laid, ["payee_no", "price"])
    rows = rows.mutate(segment_row=ibis.row_number().over(group_by="segment_no", order_by="row_no"))
    return Segments(each, step(rows, "rows_of_segments"))


def _prices(t: ibis.Table) -> ibis.Table:
    """One row per payee and price, with what the payee's other prices make of it."""
    payees = t.group_by("payee_no", "inflow").aggregate(
        payee_rows=t.count(),
        middle=t.price.median(),
        bill=t.bill.cast("float64").mean().fill_null(0.0) >= 0.5,
        earned=t.earned.cast("float64").mean().fill_null(0.0) >= 0.5,
    )
    prices = t.group_by("payee_no", "price").aggregate(price_rows=t.count())
    below = prices.price.lag().over(group_by="payee_no", order_by="price")
    prices = prices.mutate(apart=(~near(below, prices.price)).fill_null(False).cast("int64"))
    prices = prices.mutate(
        near_no=prices.apart.sum().over(ibis.cumulative_window(group_by="payee_no", order_by="price"))
    )
    of_payee = prices.group_by("payee_no").aggregate(
        prices=prices.count(),
        repeated_prices=(prices.price_rows > 1).cast("int64").sum(),
        repeated_rows=prices.price_rows.sum(where=prices.price_rows > 1).fill_null(0),
        middle_of_once=prices.price.median(where=prices.price_rows == 1),
    )
    of_near = prices.group_by("payee_no", "near_no").aggregate(
        near_rows=prices.price_rows.sum(), lowest=prices.price.min(), highest=prices.price.max()
    )
    of_payee = of_payee.inner_join(payees, "payee_no").filter(lambda t: t.payee_rows > 1)
    return prices.inner_join(of_near, ["payee_no", "near_no"]).inner_join(of_payee, "payee_no")


def _bases(t: ibis.Table) -> ibis.Table:
    """Each price once per segment that it is part of."""
    t = t.mutate(
        may_vary=t.earned | t.bill, basis=ibis.array([ibis.literal(b, type="int64") for b in range(4)]).unnest()
    )

    def about(middle: Any) -> Any:
        return t.may_vary & (t.price * VARIATION >= middle) & (t.price <= middle * VARIATION)

    # What was charged once is one line beside those of one price: pay by the hour beside a fixed part into savings.
    once = t.price_rows == 1
    nothing = ibis.literal(0, type="int64")
    bases = {
        ONE_PRICE: (~once | about(t.middle_of_once).fill_null(False), once.ifelse(ONCE, t.price)),
        NEAR_PRICES: ((t.near_rows > t.price_rows) & near(t.lowest, t.highest), t.near_no),
        ALL_PRICES: (
            (t.prices > 1)
            & (t.payee_rows > 2)
            & (about(t.middle) | (~t.may_vary & ((t.prices - 1) * 3 <= t.payee_rows))),
            nothing,
        ),
        REPEATED_PRICES: (
            (t.price_rows > 1)
            & (t.repeated_prices > 1)
            & (t.repeated_rows < t.payee_rows)
            & ((t.repeated_prices - 1) * 3 <= t.repeated_rows),
            nothing,
        ),
    }
    t = t.mutate(
        wanted=ibis.cases(*[(t.basis == basis, wanted) for basis, (wanted, _) in bases.items()]),
        price_no=ibis.cases(*[(t.basis == basis, number.cast("int64")) for basis, (_, number) in bases.items()]),
    )
    return t.filter(t.wanted).select(*SEGMENT, "price", "price_rows", "payee_rows", "inflow", "may_vary")
