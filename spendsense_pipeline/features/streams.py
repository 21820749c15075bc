"""Recurring streams: which payees charge or pay on a calendar, judged on the whole history up to ``as_of``.

The rows of a payee are first gathered into *price lines* (one price, prices within 3 %, prices that follow one
another, or a bill that varies), each line is laid on the rulers of ``cadence.py``, and the ruler that explains most
of it with the fewest lines stays. Everything is windows and aggregations over sets of rows: no customer is looked
at alone, and a payee without two like charges is dropped before the work begins.

What does not belong here: what a row is (``rows.py``), and what a window reports about streams (``windows.py``).
"""

import datetime as dt
import functools
import operator
from typing import Any

import ibis

from spendsense_pipeline.features.cadence import (
    MOST_MOVED,
    RULERS,
    Ruler,
    alignment,
    date_at,
    day_position,
    halves,
    month_position,
    position,
    position_of,
    rulers,
)
from spendsense_pipeline.features.expressions import cents, day_number, plain, ratio, step, words

CANDIDATES = ["other_out", "other_in", "paycheck"]  # kinds of rows that may be hits

# Words in quotes are SIGNALS.md's on `recurring_streams`. "Ours" is our judgement, measured in docs/accuracy.md.
REFUND_DAYS = 60  # "it cancels the latest equal charge of that payee within 60 days"
SAME_PRICE = 103  # percent; "fixed price: to the cent, or within 3 %"
PRICE_STEP = 0.01  # "last step of more than 1 %"
VARIATION = 3  # "bills may vary (a third to three times)"; income, and the step from an introductory price: ours
EXPLAINED = 0.75  # "a line must explain three quarters of the rows at its price in its span"
# And so much of what is left of all of them after one for each line: haircuts at one price meet a calendar four times
# in a row by chance, and another one three times. Ours.
EXPLAINED_EVER = 0.6
LEAST_VARYING = 3  # hits, where no price is charged twice to the cent and vouches for the line; ours
LEAST_VARYING_INCOME = 4  # irregular pay meets a calendar three times by chance; ours
NEAR_ITS_DAYS = 0.45  # of the tolerance from the middle; dates by chance lie at 0.57, weekly ones at 0.67; ours
LEAST_VARYING_TRANSFERS = 6  # payments to people meet on a day for a while; a standing one lasts; ours
MORE_AMONG_OTHERS = 2  # "where other purchases at the payee exceed half the hits, ask for two more hits"
NEXT_ROWS = (1, 2, 3, 4)  # how far apart among a segment's rows two hits of a line may be, to be seen; ours
LANES = 2  # "two plans at one payee (..., or one price on two days)": lines on one day of the calendar

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

# How a price line is gathered from the rows of a payee.
ONE_PRICE, NEAR_PRICES, ALL_PRICES, REPEATED_PRICES = range(4)
ONCE = 0  # the number of the line of prices charged once

PAYEE = ["user_id", "payee", "inflow"]
SEGMENT = [*PAYEE, "basis", "price_no"]
LANE = [*SEGMENT, "ruler", "day_group", "lane"]
LINE = [*LANE, "run"]
STREAM = [*PAYEE, "line"]


# What the lines are judged by, of each row. A wide table costs planning time at every step: steps name what they
# hand on.
ROW = ["transaction_id", "date", "amount", "merchant", "price", "bill", "may_vary", "least_varying", "payee_rows"]


def _over(value: Any, by: list[str], *order: Any) -> Any:
    """A window function or aggregate over all rows of the group."""
    return value.over(ibis.window(group_by=by, order_by=order or None))


def _share(flag: Any, by: list[str]) -> Any:
    """How many of the group's rows that say something say yes; 0 where none says anything."""
    return _over(flag.cast("float64").mean(), by).fill_null(0.0)


def _running(value: Any, by: list[str], *order: Any) -> Any:
    """An aggregate over the group's rows up to and with this one."""
    return value.over(ibis.cumulative_window(group_by=by, order_by=order))


def _near(lower: Any, higher: Any) -> Any:
    """Whether two prices count as one. In whole numbers: at the boundary engines differ by how they read `1.03`."""
    return higher * 100 <= lower * SAME_PRICE


def _charges(rows: ibis.Table, as_of: dt.date) -> ibis.Table:
    """Candidate rows that no refund cancels, with ``inflow``, ``price`` (cents), ``bill``.

    A refund closes the latest equal charge still open, as a bracket does: with charges +1 and refunds −1, the pair
    stands next to one another among the rows of the same depth.
    """
    refund = rows.kind == "refund"
    told = ibis.coalesce(rows.merchant, rows.payee)
    text = plain(told)
    unknown = rows.category_primary.isnull()
    inflow = (rows.amount > 0) & ~refund
    never = unknown.ifelse(
        words(text, *NEVER_WORDS).nullif(False),
        rows.category_primary.isin(NEVER) | rows.category_detailed.isin(NEVER_DETAILED),
    )
    unearned = rows.category_detailed.isin(NO_INCOME).fill_null(False) | (
        (rows.category_primary == "LOAN_DISBURSEMENTS").fill_null(False)
        | ((rows.kind == "other_in") & unknown & words(text, *NO_INCOME_WORDS))
    )
    rows = rows.select(
        *("transaction_id", "user_id", "payee", "date", "amount"),
        merchant=told,
        inflow=inflow,
        refund=refund,
        price=cents(rows.amount.abs()),
        # Null where neither category nor words tell: half the rows of a payee may lack a category, and the others
        # speak for them.
        bill=unknown.ifelse(
            words(text, *BILL_WORDS).nullif(False),
            rows.category_primary.isin(BILLS) | rows.category_detailed.isin(BILLS_DETAILED),
        ),
        earned=rows.kind == "paycheck",
        least_varying=ibis.cases(
            (inflow, LEAST_VARYING_INCOME),
            ((rows.category_primary == "TRANSFER_OUT").fill_null(False), LEAST_VARYING_TRANSFERS),
            else_=LEAST_VARYING,
        ),
        never=inflow.ifelse(unearned, never),
        candidate=(refund | rows.kind.isin(CANDIDATES)) & (rows.date <= as_of) & rows.payee.notnull(),
    )
    rows = rows.filter(rows.candidate, rows.price > 0)
    rows = rows.mutate(shunned=_share(rows.never, PAYEE), size=_over(rows.count(), PAYEE))
    rows = rows.filter(~rows.never.fill_null(False), rows.shunned < 0.5, rows["size"] > 1)

    equal = [*PAYEE, "price"]
    order = [rows.date, rows.refund, rows.transaction_id]
    depth = _running(rows.refund.ifelse(-1, 1).sum(), equal, *order) + rows.refund.ifelse(1, 0)
    rows = rows.mutate(depth=depth)
    order = [rows.date, rows.refund, rows.transaction_id]
    rows = rows.mutate(
        refunded_on=_over(rows.refund.ifelse(rows.date, ibis.null("date")).lead(), [*equal, "depth"], *order)
    )
    cancelled = rows.refunded_on.notnull() & (
        day_number(rows.refunded_on) - day_number(rows.date) <= REFUND_DAYS
    ).fill_null(False)
    return rows.filter(~rows.refund, ~cancelled).drop(
        "refund", "never", "shunned", "size", "candidate", "depth", "refunded_on"
    )


def _segments(charges: ibis.Table) -> ibis.Table:
    """Each charge once per price line it may belong to: ``basis`` (how gathered) and ``price_no`` (which one).

    A basis is left out where it can bring nothing: a price charged once, a payee with so many prices that they
    cannot be the steps of one.
    """
    t = charges.mutate(
        payee_rows=_over(charges.count(), PAYEE),
        price_rows=_over(charges.count(), [*PAYEE, "price"]),
        price_rank=_over(ibis.dense_rank(), PAYEE, charges.price),
        price_below=_over(charges.price.lag(), PAYEE, charges.price, charges.transaction_id),
        middle=_over(charges.price.median(), PAYEE),
        bill=_share(charges.bill, PAYEE) >= 0.5,
        earned=_share(charges.earned, PAYEE) >= 0.5,
    )
    repeated = t.price_rows > 1
    t = t.mutate(
        may_vary=t.earned | t.bill,
        middle_of_once=_over(t.price.median(where=t.price_rows == 1), PAYEE),
        prices=_over(t.price_rank.max(), PAYEE) + 1,
        # In the order of `price_below`, to the row: equal prices in another one would not all get one number.
        near_no=_running(
            (~_near(t.price_below, t.price)).fill_null(False).cast("int64").sum(), PAYEE, t.price, t.transaction_id
        ),
        repeated_rows=_over(repeated.cast("int64").sum(), PAYEE),
        # each price counts once, however many rows it has
        repeated_prices=_over(ratio(repeated.cast("float64"), t.price_rows).sum(), PAYEE).round().cast("int64"),
    )
    near = [*PAYEE, "near_no"]
    t = t.mutate(
        near_rows=_over(t.count(), near), lowest=_over(t.price.min(), near), highest=_over(t.price.max(), near)
    )
    t = t.mutate(basis=ibis.array([ibis.literal(b, type="int64") for b in range(4)]).unnest())

    def about(middle: Any) -> Any:
        return t.may_vary & (t.price * VARIATION >= middle) & (t.price <= middle * VARIATION)

    # What was charged once is one line beside those of one price: pay by the hour beside a fixed part into savings.
    once = t.price_rows == 1
    bases = {
        ONE_PRICE: (~once | about(t.middle_of_once).fill_null(False), once.ifelse(ONCE, t.price)),
        NEAR_PRICES: ((t.near_rows > t.price_rows) & _near(t.lowest, t.highest), t.near_no),
        ALL_PRICES: (
            (t.prices > 1)
            & (t.payee_rows > 2)
            & (about(t.middle) | (~t.may_vary & ((t.prices - 1) * 3 <= t.payee_rows))),
            ibis.literal(0, type="int64"),
        ),
        REPEATED_PRICES: (
            (t.price_rows > 1)
            & (t.repeated_prices > 1)
            & (t.repeated_rows < t.payee_rows)
            & ((t.repeated_prices - 1) * 3 <= t.repeated_rows),
            ibis.literal(0, type="int64"),
        ),
    }
    t = t.mutate(
        wanted=ibis.cases(*[(t.basis == basis, wanted) for basis, (wanted, _) in bases.items()]),
        price_no=ibis.cases(*[(t.basis == basis, number.cast("int64")) for basis, (_, number) in bases.items()]),
    )
    t = t.filter(t.wanted)
    t = t.select(*SEGMENT, *ROW)
    return t.mutate(
        segment_row=_over(ibis.row_number(), SEGMENT, t.date, t.transaction_id),
        segment_rows=_over(t.count(), SEGMENT),
        span=day_number(_over(t.date.max(), SEGMENT)) - day_number(_over(t.date.min(), SEGMENT)),
    ).filter(lambda t: t.segment_rows > 1)


def _fitting(segments: ibis.Table) -> ibis.Table:
    """The rulers that may explain a segment: one row per ``SEGMENT`` and ruler.

    A line that is kept hits two of three slots, so some of its hits are one slot apart; and as no more than two lines
    and a few other rows share a segment, they are among the next four rows. Where too few are, no ruler is laid on,
    which spares a quarter of the time (measured on a million rows).
    """
    t = segments.select(
        *SEGMENT,
        "segment_row",
        "segment_rows",
        "span",
        days=day_position(segments.date),
        months=month_position(segments.date),
    )
    t = t.mutate(
        **{
            f"{unit}_{back}": t[unit] - _over(t[unit].lag(back), SEGMENT, t.segment_row)
            for unit in ("days", "months")
            for back in NEXT_ROWS
        }
    )

    def one_slot_apart(ruler: Ruler) -> Any:
        # Each of two paydays a month keeps its own day: the next on the same day is two slots away.
        period = halves(ruler.period * (2 if ruler.name == "semi_monthly" else 1))
        slack = 2 * halves(ruler.tolerance) + (halves(MOST_MOVED) if ruler.of_months else 0)
        unit = "months" if ruler.of_months else "days"
        near = [((t[f"{unit}_{back}"] - period).abs() <= slack).fill_null(False) for back in NEXT_ROWS]
        return functools.reduce(operator.or_, near).cast("int64").sum()

    t = t.group_by([*SEGMENT, "segment_rows", "span"]).aggregate(**{one.name: one_slot_apart(one) for one in RULERS})
    t = t.cross_join(rulers().select("ruler", "of_months", "period", "tolerance", "reach", "pause"))
    pairs = ibis.cases(*[(t.ruler == one.name, t[one.name]) for one in RULERS])
    t = t.filter(
        t.inflow | (t.ruler != "semi_monthly"),
        # A segment shorter than a period, or with more rows than its lines could explain, needs no ruler laid on.
        2 * (t.span + 3) >= t.period - 2 * t.tolerance,
        t.segment_rows <= (ratio(2 * t.span, t.period) + 2) * LANES / EXPLAINED,
        # a line of n hits has at least n/4 such pairs
        pairs >= 1,
        pairs * 8 >= (t.segment_rows - 1) * EXPLAINED_EVER,
    )
    return t.select(*SEGMENT, "ruler", "of_months", "period", "tolerance", "reach", "pause")


def _hits(segments: ibis.Table) -> ibis.Table:
    """Rows that lie on a ruler within its tolerance, with ``LINE`` (which line), ``slot`` and ``distance``."""
    t = segments.inner_join(_fitting(segments), SEGMENT)
    circle = [*SEGMENT, "ruler"]
    row = [*circle, *ROW, "segment_row", "segment_rows", "period", "tolerance", "pause"]
    t = t.select(*row, "reach", place=position(t.date, t.of_months), moved=alignment(t.date, t.of_months))

    # Days of the period that lie close together are one group; the period is a circle, so the first group may be
    # the end of the last.
    t = t.mutate(phase=t.place % t.period)
    # Both windows in one order to the row: else a row of the same phase may be counted before the step to it.
    t = t.mutate(before=_over(t.phase.lag(), circle, t.phase, t.segment_row))
    apart = (t.phase - t.before > t.reach).fill_null(False)
    t = t.mutate(day_group=_running(apart.cast("int64").sum(), circle, t.phase, t.segment_row))
    first, last = _over(t.phase.min(), circle), _over(t.phase.max(), circle)
    t = t.mutate(groups=_over(t.day_group.max(), circle), around=first + t.period - last)
    wrapped = (t.day_group == 0) & (t.groups > 0) & (t.around <= t.reach)
    t = t.select(
        *row,
        "moved",
        day_group=wrapped.ifelse(t.groups, t.day_group),
        offset=t.phase + wrapped.ifelse(t.period, 0),
        slot=ratio(t.place, t.period).floor().cast("int64") - wrapped.cast("int64"),
    )

    # Two plans on neighbouring days share the slots: by price where prices differ, else by date.
    by_price = ((t.basis >= ALL_PRICES) | (t.price_no == ONCE)).ifelse(-t.price, 0)
    t = t.mutate(
        lane=_over(ibis.row_number(), [*circle, "day_group", "slot"], by_price, t.date, t.transaction_id),
        # the two paydays of a semi-monthly calendar are anchored each for itself
        half=(t.ruler == "semi_monthly").ifelse(t.slot % 2, 0),
    )
    t = t.filter(t.lane < LANES)
    lane = [*LANE, "half"]
    t = t.mutate(
        anchor=_over(t.offset.median(), lane), earliest=_over(t.offset.min(), lane), latest=_over(t.offset.max(), lane)
    )
    # Where all dates fit within the tolerance of some day, that day may be half a day beside the median.
    t = t.mutate(middle=t.anchor, off=(t.offset - t.anchor).abs())
    inside = ibis.greatest(ibis.least(t.anchor, t.earliest + t.tolerance), t.latest - t.tolerance)
    t = t.mutate(anchor=(t.latest - t.earliest <= 2 * t.tolerance).ifelse(inside, t.anchor))
    # 27 February is three days from the 24th, and as the last day but one no further from the 30th.
    distance = ibis.least((t.offset - t.anchor).abs(), (t.offset - t.moved - t.anchor).abs())
    t = t.select(*row, "day_group", "lane", "half", "slot", "anchor", "middle", "off", distance=distance)
    t = t.filter(t.distance <= t.tolerance)

    # A line that paused for longer than makes it inactive is another line when it comes back.
    t = t.mutate(slot_before=_over(t.slot.lag(), LANE, t.slot))
    continues = (t.slot - t.slot_before <= t.pause).fill_null(False)
    t = t.mutate(run=_running((~continues).cast("int64").sum(), LANE, t.slot))
    hit = [*LINE, *ROW, "segment_row", "segment_rows", "period", "tolerance", "pause"]
    return _one_after_another(t.select(*hit, "half", "slot", "anchor", "middle", "off", "distance"), LINE)


def _one_after_another(t: ibis.Table, line: list[str]) -> ibis.Table:
    """Hits with ``change`` (of the price since the one before) and ``in_a_row`` (expected dates hit, up to three)."""
    t = t.mutate(
        slot_before=_over(t.slot.lag(), line, t.slot),
        slot_before_that=_over(t.slot.lag(2), line, t.slot),
        price_before=_over(t.price.lag(), line, t.slot),
    )
    in_a_row = ibis.cases(
        ((t.slot - t.slot_before_that == 2).fill_null(False), 3),
        ((t.slot - t.slot_before == 1).fill_null(False), 2),
        else_=1,
    )
    change = ratio(t.price, t.price_before.cast("float64")) - 1
    return t.mutate(in_a_row=in_a_row, change=change).drop("slot_before", "slot_before_that", "price_before")


def _lines(hits: ibis.Table) -> ibis.Table:
    """Lines regular enough to be streams: one row per ``LINE`` of the ruler and the basis that explain most."""
    t = hits.group_by(LINE).aggregate(
        hits=hits.count(),
        first_slot=hits.slot.min(),
        last_slot=hits.slot.max(),
        error=ratio(hits.distance, hits.tolerance.cast("float64")).mean(),
        off=ratio(hits.off.cast("float64"), hits.tolerance).mean(),
        lowest=hits.price.min(),
        highest=hits.price.max(),
        prices=hits.price.nunique(),
        changes=(hits.change != 0).fill_null(False).cast("int64").sum(),
        may_vary=hits.may_vary.any(),
        least_varying=hits.least_varying.max(),
        second_half=hits.half.sum(),
        in_a_row=hits.in_a_row.max(),
        from_row=hits.segment_row.min(),
        to_row=hits.segment_row.max(),
        segment_rows=hits.segment_rows.max(),
        payee_rows=hits.payee_rows.max(),
    )
    t = t.mutate(slots=t.last_slot - t.first_slot + 1)
    # Prices that follow one another and never return; a price is charged three times on average.
    stepped = (t.changes + 1 == t.prices) & (t.changes * 3 <= t.hits)
    fixed = _near(t.lowest, t.highest) | stepped
    t = t.mutate(fixed=fixed).inner_join(rulers().select("ruler", "rank", "cadence", "least_hits"), "ruler")
    often_enough = t.inflow.ifelse(~t.cadence.isin(["quarterly", "annual"]), t.cadence.isin(["monthly", "quarterly"]))
    varies = t.may_vary & often_enough & ((t.in_a_row >= LEAST_VARYING) | (t.hits > LEAST_VARYING))
    least = t.fixed.ifelse(LEAST_VARYING, t.least_varying)
    vouched = t.fixed & (t.prices < t.hits)
    t = t.mutate(least=vouched.ifelse(t.least_hits, ibis.greatest(t.least_hits, least)))
    # Half of all days are near one of two paydays a month: each has to be kept by itself, and pay that varies has to
    # keep its days better than chance would.
    lesser = ibis.least(t.second_half, t.hits - t.second_half)
    t = t.filter(
        t.fixed | (varies & (~t.inflow | (t.off <= NEAR_ITS_DAYS))),
        (t.ruler != "semi_monthly") | (lesser * 3 >= t.hits),
        t.hits >= t.least,
        t.hits * 3 >= t.slots * 2,  # "at most a third of the dates missing"
        (t.hits > 2) | (t.slots == 2),
    )

    best_ruler = t.group_by([*SEGMENT, "ruler"]).aggregate(
        explained=t.hits.sum(),
        lines=t.count(),
        slots=t.last_slot.max() - t.first_slot.min() + 1,
        error=t.error.mean(),
        rank=t["rank"].max(),
        rows=t.to_row.max() - t.from_row.min() + 1,
        all_rows=t.segment_rows.max(),
    )
    best_ruler = best_ruler.filter(
        best_ruler.explained >= best_ruler.rows * EXPLAINED,
        best_ruler.explained - best_ruler.lines >= (best_ruler.all_rows - 1) * EXPLAINED_EVER,
        # four charges a month are no four plans
        best_ruler.explained <= best_ruler.slots * LANES,
    )
    # One more line is worth it only where it explains two more rows.
    best_ruler = best_ruler.mutate(gain=best_ruler.explained - best_ruler.lines)
    best_ruler = best_ruler.mutate(
        place=_over(
            ibis.row_number(),
            SEGMENT,
            best_ruler.gain.desc(),
            best_ruler.lines,
            best_ruler.ruler == "four_weekly",  # three months cannot tell it from monthly
            best_ruler.error.round(9),  # floats added in another order must not decide
            best_ruler["rank"],
        )
    )
    best_ruler = best_ruler.filter(best_ruler.place == 0)
    best_basis = best_ruler.group_by([*PAYEE, "basis"]).aggregate(
        explained=best_ruler.explained.sum(), lines=best_ruler.lines.sum()
    )
    best_basis = best_basis.mutate(gain=best_basis.explained - best_basis.lines)
    best_basis = best_basis.mutate(
        place=_over(ibis.row_number(), PAYEE, best_basis.gain.desc(), best_basis.lines, best_basis.basis)
    )
    best_basis = best_basis.filter(best_basis.place == 0).select(*PAYEE, "basis", payee_hits="explained")

    t = t.semi_join(best_ruler, [*SEGMENT, "ruler"]).inner_join(best_basis, [*PAYEE, "basis"])
    return t.select(*LINE, "fixed", "least", "payee_hits")


def _stream_rows(rows: ibis.Table, as_of: dt.date) -> ibis.Table:
    """The hits of every stream: a row per hit with its ``stream_id`` and what the stream is judged by."""
    charges = step(_charges(rows, as_of), "charges")
    hits = step(_hits(step(_segments(charges), "segments")), "hits_on_rulers")
    t = _continued(hits.inner_join(_lines(hits), LINE))
    many_others = (t.payee_rows - t.payee_hits) * 2 > _over(t.count(), STREAM)
    # among many others, a line whose amounts vary as theirs do cannot be told from them
    enough = t.fixed & (_over(t.count(), STREAM) >= _over(t.least.min(), STREAM) + MORE_AMONG_OTHERS)
    t = _one_after_another(t.mutate(kept=~many_others | enough).filter(lambda t: t.kept), STREAM)
    hit = ["transaction_id", "date", "amount", "merchant", "price", "bill", "slot", "half", "middle", "distance"]
    hit = [*hit, "in_a_row", "change", "period", "tolerance"]
    # What a stream is called must outlive a new price, a better fitting cadence and a longer history: its first hit
    # does. The ordinal tells two equal plans on one day apart.
    t = t.select(
        *STREAM,
        "ruler",
        *hit,
        step=(t.change.abs() > PRICE_STEP).fill_null(False) & t.fixed,
        first_price=_over(t.price.first(), STREAM, t.slot),
        first_date=_over(t.date.first(), STREAM, t.slot),
    )
    t = t.mutate(
        ordinal=_over(ibis.dense_rank(), [*PAYEE, "first_date", "first_price"], t.line),
        level=_running(t.step.cast("int64").sum(), STREAM, t.slot),
    )
    name = ibis.literal("|").join(
        [
            t.user_id,
            t.payee,
            t.inflow.ifelse("in", "out"),
            t.first_date.cast("string"),
            t.first_price.cast("string"),
            t.ordinal.cast("string"),
        ]
    )
    return t.select(
        *PAYEE,
        "ruler",
        *hit,
        "step",
        "level",
        stream_id=ibis.literal("str_").concat(name.hexdigest("sha256").left(20)),
        newest_level=_over(t.level.max(), STREAM),
    )


def _continued(hits: ibis.Table) -> ibis.Table:
    """Hits with ``line``, their stream: a line that goes on where another of the payee stopped is one with it.

    Where other plans and purchases of a payee lie between, the two prices of one plan are two lines. That the second
    begins on an expected date of the first, at up to three times or a third of its price, makes them one; three such
    steps in a row are followed.
    """
    line = [name for name in LINE if name not in PAYEE]
    t = hits.mutate(
        place=hits.slot * hits.period + hits.anchor,
        line=ibis.literal("/").join([hits[name].cast("string") for name in line]),
    )
    lines = t.group_by([*STREAM, "ruler", "period", "tolerance", "pause"]).aggregate(
        first=t.place.min(),
        last=t.place.max(),
        first_price=t.price.argmin(t.place),
        last_price=t.price.argmax(t.place),
        fixed=t.fixed.all(),
    )
    lines = lines.filter(lines.fixed)
    linked = lines.join(lines.view(), [*PAYEE, "ruler"], lname="{name}", rname="{name}_after")
    apart = linked.first_after - linked["last"]
    slots = ratio(apart.cast("float64"), linked.period).round()
    linked = linked.filter(
        slots >= 1,
        slots <= linked.pause,
        (apart - slots * linked.period).abs() <= linked.tolerance,
        linked.first_price_after <= linked.last_price * VARIATION,
        linked.first_price_after * VARIATION >= linked.last_price,
    )
    linked = linked.select(*PAYEE, line="line_after", origin="line", apart=linked.first_after - linked["last"])
    linked = linked.mutate(
        one_origin=ibis.row_number().over(group_by=STREAM, order_by=["apart", "origin"]),
        one_heir=ibis.row_number().over(group_by=[*PAYEE, "origin"], order_by=["apart", "line"]),
    )
    heirs = linked.filter((linked.one_origin == 0) & (linked.one_heir == 0)).select(*STREAM, "origin")
    for _ in range(2):  # each turn doubles the length of the chains that are followed
        further = heirs.select(**{f"its_{name}": name for name in STREAM}, older="origin")
        same = [*(heirs[name] == further[f"its_{name}"] for name in PAYEE), heirs.origin == further.its_line]
        heirs = heirs.left_join(further, same).select(*STREAM, origin=lambda t: t.older.coalesce(t.origin))
    t = t.left_join(heirs, STREAM)
    t = t.mutate(line=t.origin.coalesce(t.line)).select(*hits.columns, "line", "place")
    # The slots of a line that was counted from the other end of the circle are those of its first line.
    turns = ratio((t.anchor - _over(t.anchor.first(), STREAM, t.place)).cast("float64"), t.period).round()
    turns = turns.cast("int64")
    back = turns * t.period
    return t.mutate(slot=t.slot + turns, anchor=t.anchor - back, middle=t.middle - back).drop("place")


def _judged(t: ibis.Table, as_of: dt.date) -> ibis.Table:
    """One row per stream that stands at ``as_of``, from the rows of ``_stream_rows``."""
    newest = t.level == t.newest_level
    t = t.group_by(["stream_id", "user_id", "payee", "inflow", "ruler", "period", "tolerance"]).aggregate(
        merchant=t.merchant.argmax(t.slot),
        bill=t.bill.any(),
        occurrences=t.count(),
        first_date=t.date.min(),
        last_date=t.date.max(),
        typical_amount=t.amount.median(where=newest),
        last_amount=t.amount.argmax(t.slot),
        price_change=t.change.max(where=newest & t.step),
        last_slot=t.slot.max(),
        slots=t.slot.max() - t.slot.min() + 1,
        in_a_row=t.in_a_row.max(),
        anchor=t.middle.median(where=t.half == 0),
        other_anchor=t.middle.median(where=t.half == 1),
        error=ratio(t.distance, t.tolerance.cast("float64")).mean(),
        spread=ratio(t.price.std(how="pop", where=newest), t.price.mean(where=newest)),
    )
    t = t.inner_join(
        rulers().select("ruler", "cadence", "of_months", "monthly_factor", "missable", "consecutive"), "ruler"
    )
    next_slot = t.last_slot + 1
    anchor = ((t.ruler == "semi_monthly") & (next_slot % 2 == 1)).ifelse(t.other_anchor, t.anchor)
    expected = next_slot * t.period + anchor
    # an expected date is missed once its tolerance has passed
    late = position_of(as_of, t.of_months) - t.tolerance - expected
    missed = ibis.greatest(ratio(late, t.period).ceil(), 0)
    inactive = missed > t.missable
    mature = t.in_a_row >= t.consecutive
    kind = t.inflow.ifelse("income", t.bill.ifelse("bill", "subscription"))
    cost = t.typical_amount.abs() * t.monthly_factor
    regular_dates = ratio(t.occurrences.cast("float64"), t.slots) * (1 - t.error / 2)
    t = t.mutate(
        as_of=ibis.literal(as_of),
        kind=kind,
        status=ibis.cases((inactive, "inactive"), (mature, "mature"), else_="early"),
        expected_next_date=inactive.ifelse(ibis.null("date"), date_at(expected, t.of_months)),
        typical_amount=t.typical_amount.round(2),
        monthly_cost=t.inflow.ifelse(ibis.null("float64"), cost.round(2)),
        price_change=t.inflow.ifelse(ibis.null("float64"), t.price_change.round(9)),
        # Share of expected dates hit, less up to half for dates at the edge of the tolerance; less the spread of
        # the amounts; and what the number of hits is worth: 0.75 of it for two, 0.88 for three, 0.94 for four.
        confidence=(regular_dates * ibis.greatest(1 - t.spread.fill_null(0), 0) * (1 - 0.5**t.occurrences))
        .clip(lower=0.0, upper=1.0)
        .round(6),
    )
    return t.filter((t.status != "inactive") | (t.occurrences > 2) | (t.cadence == "annual"))


def recurring_streams(rows: ibis.Table, as_of: dt.date) -> ibis.Table:
    """Who is paid, and who pays, on a calendar: one row per customer, payee and price line (``RecurringStreams``).

    ``rows`` are classified rows (``rows.classify``). Streams are judged on the whole history up to ``as_of``, so a
    window of 30 days can show what repeats each quarter. Amounts in the customer's currency, positive = money in.
    Thresholds: SIGNALS.md, `recurring_streams`; the calendars stand in ``cadence.RULERS``.

    >>> recurring_streams(classify(transactions, accounts, users, as_of), as_of)
    """
    return _standing(_stream_rows(rows, as_of), as_of)


def stream_hits(rows: ibis.Table, as_of: dt.date) -> ibis.Table:
    """The rows that ``recurring_streams`` counted: ``stream_id``, ``transaction_id``, ``date``, ``amount``.

    A row belongs to at most one stream; a refunded charge, an extra purchase and a zero amount to none.
    """
    t = _stream_rows(rows, as_of)
    return _counted(t, _standing(t, as_of))


def streams_and_hits(rows: ibis.Table, as_of: dt.date) -> tuple[ibis.Table, ibis.Table]:
    """``recurring_streams`` and ``stream_hits`` from one detection; what they share is cached on the engine."""
    t = _stream_rows(rows, as_of).cache()
    streams = _standing(t, as_of).cache()
    return streams, _counted(t, streams)


def _standing(t: ibis.Table, as_of: dt.date) -> ibis.Table:
    return _judged(t, as_of).select(
        *("stream_id", "user_id", "as_of", "merchant", "kind", "cadence", "status", "occurrences"),
        *("first_date", "last_date", "expected_next_date", "typical_amount", "last_amount"),
        *("monthly_cost", "price_change", "confidence"),
    )


def _counted(t: ibis.Table, standing: ibis.Table) -> ibis.Table:
    return t.select("stream_id", "transaction_id", "date", "amount").semi_join(standing, "stream_id")
