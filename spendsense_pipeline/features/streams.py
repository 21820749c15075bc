"""Recurring streams: which payees charge or pay on a calendar, judged on the whole history up to ``as_of``.

The segments of ``charges.py`` are laid on the rulers of ``cadence.py``, and the ruler that explains most of a segment
with the fewest lines stays. Everything is windows and aggregations over sets of rows: no customer is looked at alone.

What does not belong here: which charges may be one line (``charges.py``), and what a window reports about streams
(``windows.py``).
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
    date_at,
    halves,
    position_of,
    rulers,
)
from spendsense_pipeline.features.charges import (
    LEAST_VARYING,
    PAYEE,
    VARIATION,
    Segments,
    charges,
    near,
    segments,
)
from spendsense_pipeline.features.expressions import keyed, ratio, step

# Words in quotes are SIGNALS.md's on `recurring_streams`. "Ours" is our judgement, measured in docs/accuracy.md.
PRICE_STEP = 0.01  # "last step of more than 1 %"
EXPLAINED = 0.75  # "a line must explain three quarters of the rows at its price in its span"
# And so much of what is left of all of them after one for each line: haircuts at one price meet a calendar four times
# in a row by chance, and another one three times. Ours.
EXPLAINED_EVER = 0.6
NEAR_ITS_DAYS = 0.45  # of the tolerance from the middle; dates by chance lie at 0.57, weekly ones at 0.67; ours
MORE_AMONG_OTHERS = 2  # "where other purchases at the payee exceed half the hits, ask for two more hits"
NEXT_ROWS = (1, 2, 3, 4)  # how far apart among a segment's rows two hits of a line may be, to be seen; ours
LANES = 2  # "two plans at one payee (..., or one price on two days)": lines on one day of the calendar

SEMI_MONTHLY, FOUR_WEEKLY = ([one.name for one in RULERS].index(name) for name in ("semi_monthly", "four_weekly"))
CALENDAR = ["rank", "of_months", "period", "tolerance", "reach", "pause"]  # a ruler, by its place among ``RULERS``

# A row that lies on a ruler belongs to a line by its segment, the ruler, the day of the period, the lane of two plans
# on one day, and the run between two pauses. Steps hand on no more than the next ones ask for: width costs time.
LANE = ["segment_no", "rank", "day_group", "lane"]
LINE = [*LANE, "run"]
STREAM = ["payee_no", "line"]


def _over(value: Any, by: list[str], *order: Any) -> Any:
    """A window function or aggregate over all rows of the group."""
    return value.over(ibis.window(group_by=by, order_by=order or None))


def _running(value: Any, by: list[str], *order: Any) -> Any:
    """An aggregate over the group's rows up to and with this one."""
    return value.over(ibis.cumulative_window(group_by=by, order_by=order))


def _fitting(segments: Segments) -> ibis.Table:
    """The rulers that may explain a segment: ``segment_no`` and the ruler's ``CALENDAR``.

    A line that is kept hits two of three slots, so some of its hits are one slot apart; and as no more than two lines
    and a few other rows share a segment, they are among the next four rows. Where too few are, no ruler is laid on,
    which spares most of the time.
    """
    t = segments.rows.select("segment_no", "segment_row", "days", "months")
    t = t.mutate(
        **{
            f"{unit}_{back}": t[unit] - _over(t[unit].lag(back), ["segment_no"], t.segment_row)
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

    t = t.group_by("segment_no").aggregate(
        span=(t.days.max() - t.days.min()) // 2, **{one.name: one_slot_apart(one) for one in RULERS}
    )
    t = t.inner_join(segments.each.select("segment_no", "inflow", "segment_rows"), "segment_no")
    t = t.cross_join(rulers().select("ruler", *CALENDAR))
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
    return t.select("segment_no", *CALENDAR)


def _hits(segments: Segments) -> ibis.Table:
    """Rows that lie on a ruler within its tolerance: ``LINE`` (which line), ``slot``, ``distance`` and what else
    lines are judged by. A quarter of the time of all features goes into its windows: each carries numbers only."""
    t = segments.rows.inner_join(_fitting(segments), "segment_no")
    circle = ["segment_no", "rank"]
    row = [*circle, "payee_no", "row_no", "segment_row", "price", "least_varying", "period", "tolerance", "pause"]
    t = t.select(
        *row, "reach", "by_price", place=t.of_months.ifelse(t.months, t.days), moved=t.of_months.ifelse(t.moved, 0)
    )

    # Days of the period that lie close together are one group; the period is a circle, so the first group may be
    # the end of the last.
    t = t.mutate(phase=t.place % t.period)
    # Both windows in one order to the row: else a row of the same phase may be counted before the step to it.
    t = t.mutate(
        before=_over(t.phase.lag(), circle, t.phase, t.segment_row),
        first=_over(t.phase.min(), circle),
        last=_over(t.phase.max(), circle),
    )
    t = t.mutate(apart=(t.phase - t.before > t.reach).fill_null(False).cast("int64"))
    t = t.mutate(day_group=_running(t.apart.sum(), circle, t.phase, t.segment_row), groups=_over(t.apart.sum(), circle))
    wrapped = (t.day_group == 0) & (t.groups > 0) & (t["first"] + t.period - t["last"] <= t.reach)
    t = t.select(
        *row,
        "by_price",
        "moved",
        day_group=wrapped.ifelse(t.groups, t.day_group),
        offset=t.phase + wrapped.ifelse(t.period, 0),
        slot=t.place // t.period - wrapped.cast("int64"),
    )

    # Two plans on neighbouring days share the slots: by price where prices differ, else by date.
    by_price = t.by_price.ifelse(-t.price, 0)
    t = t.mutate(
        lane=_over(ibis.row_number(), [*circle, "day_group", "slot"], by_price, t.row_no),
        # the two paydays of a semi-monthly calendar are anchored each for itself
        half=(t["rank"] == SEMI_MONTHLY).ifelse(t.slot % 2, 0),
    )
    t = step(t.filter(t.lane < LANES), "rows_on_lanes")
    lane = [*LANE, "half"]
    lanes = t.group_by(lane).aggregate(
        rows=t.count(), anchor=t.offset.median(), earliest=t.offset.min(), latest=t.offset.max()
    )
    # a line has two hits, and on each of its two days one
    t = t.inner_join(lanes.filter((lanes["rows"] > 1) | (lanes["rank"] == SEMI_MONTHLY)).drop("rows"), lane)
    # Where all dates fit within the tolerance of some day, that day may be half a day beside the median.
    t = t.mutate(middle=t.anchor, off=(t.offset - t.anchor).abs())
    inside = ibis.greatest(ibis.least(t.anchor, t.earliest + t.tolerance), t.latest - t.tolerance)
    t = t.mutate(anchor=(t.latest - t.earliest <= 2 * t.tolerance).ifelse(inside, t.anchor))
    # 27 February is three days from the 24th, and as the last day but one no further from the 30th.
    distance = ibis.least((t.offset - t.anchor).abs(), (t.offset - t.moved - t.anchor).abs())
    t = t.select(*row, "day_group", "lane", "half", "slot", "anchor", "middle", "off", distance=distance)
    t = t.filter(t.distance <= t.tolerance)

    # A line that paused for longer than makes it inactive is another line when it comes back.
    t = _one_after_another(t, LANE)
    t = t.mutate(run=_running((~t.continues).cast("int64").sum(), LANE, t.slot))
    return t.mutate(change=t.continues.ifelse(t.change, ibis.null("float64"))).drop("continues")


def _one_after_another(t: ibis.Table, line: list[str]) -> ibis.Table:
    """Hits with ``continues`` (no longer after the one before than a pause), ``change`` (of the price since then) and
    ``in_a_row`` (expected dates hit, up to three)."""
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
    return t.mutate(
        in_a_row=in_a_row,
        change=ratio(t.price, t.price_before.cast("float64")) - 1,
        continues=(t.slot - t.slot_before <= t.pause).fill_null(False),
    ).drop("slot_before", "slot_before_that", "price_before")


def _lines(hits: ibis.Table, segments: ibis.Table) -> ibis.Table:
    """Lines regular enough to be streams: one row per ``LINE`` of the ruler and the basis that explain most.

    With its key ``line``, whether its price is ``fixed``, the ``least`` hits asked of it and ``others``, the payee's
    rows that are no hits.
    """
    t = hits.group_by(LINE).aggregate(
        hits=hits.count(),
        first_slot=hits.slot.min(),
        last_slot=hits.slot.max(),
        error=ratio(hits.distance, hits.tolerance.cast("float64")).mean(),
        off=ratio(hits.off.cast("float64"), hits.tolerance).mean(),
        lowest=hits.price.min(),
        highest=hits.price.max(),
        changes=(hits.change != 0).fill_null(False).cast("int64").sum(),
        least_varying=hits.least_varying.max(),
        second_half=hits.half.sum(),
        in_a_row=hits.in_a_row.max(),
        from_row=hits.segment_row.min(),
        to_row=hits.segment_row.max(),
    )
    t = t.mutate(slots=t.last_slot - t.first_slot + 1)
    # Half of all days are near one of two paydays a month: each has to be kept by itself.
    lesser = ibis.least(t.second_half, t.hits - t.second_half)
    t = t.filter(
        (t["rank"] != SEMI_MONTHLY) | (lesser * 3 >= t.hits),
        t.hits * 3 >= t.slots * 2,  # "at most a third of the dates missing"
        (t.hits > 2) | ((t.hits == 2) & (t.slots == 2)),
    )
    t = step(t, "lines_without_gaps")
    prices = hits.semi_join(t, LINE).group_by(LINE).aggregate(prices=lambda t: t.price.nunique())
    t = t.inner_join(prices, LINE).inner_join(rulers().select("rank", "cadence", "least_hits"), "rank")
    t = t.inner_join(segments.drop("price_no"), "segment_no")
    # Prices that follow one another and never return; a price is charged three times on average.
    stepped = (t.changes + 1 == t.prices) & (t.changes * 3 <= t.hits)
    t = t.mutate(fixed=near(t.lowest, t.highest) | stepped)
    often_enough = t.inflow.ifelse(~t.cadence.isin(["quarterly", "annual"]), t.cadence.isin(["monthly", "quarterly"]))
    varies = t.may_vary & often_enough & ((t.in_a_row >= LEAST_VARYING) | (t.hits > LEAST_VARYING))
    least = t.fixed.ifelse(LEAST_VARYING, t.least_varying)
    vouched = t.fixed & (t.prices < t.hits)
    t = t.mutate(least=vouched.ifelse(t.least_hits, ibis.greatest(t.least_hits, least)))
    t = t.filter(
        # pay that varies has to keep its days better than chance would
        t.fixed | (varies & (~t.inflow | (t.off <= NEAR_ITS_DAYS))),
        t.hits >= t.least,
    )
    t = step(t, "regular_lines")

    best_ruler = t.group_by("payee_no", "basis", "segment_no", "rank").aggregate(
        explained=t.hits.sum(),
        lines=t.count(),
        slots=t.last_slot.max() - t.first_slot.min() + 1,
        error=t.error.mean(),
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
            ["segment_no"],
            best_ruler.gain.desc(),
            best_ruler.lines,
            best_ruler["rank"] == FOUR_WEEKLY,  # three months cannot tell it from monthly
            best_ruler.error.round(9),  # floats added in another order must not decide
            best_ruler["rank"],
        )
    )
    best_ruler = best_ruler.filter(best_ruler.place == 0)
    best_basis = best_ruler.group_by(["payee_no", "basis"]).aggregate(
        explained=best_ruler.explained.sum(), lines=best_ruler.lines.sum()
    )
    best_basis = best_basis.mutate(gain=best_basis.explained - best_basis.lines)
    best_basis = best_basis.mutate(
        place=_over(ibis.row_number(), ["payee_no"], best_basis.gain.desc(), best_basis.lines, best_basis.basis)
    )
    best_basis = best_basis.filter(best_basis.place == 0).select("payee_no", "basis", payee_hits="explained")

    t = t.semi_join(best_ruler, ["segment_no", "rank"]).inner_join(best_basis, ["payee_no", "basis"])
    t = keyed(t, "line", *LINE)
    return t.select(*LINE, "line", "fixed", "least", others=t.payee_rows - t.payee_hits)


def _stream_rows(rows: ibis.Table, as_of: dt.date) -> ibis.Table:
    """The hits of every stream: a row per hit with its ``stream_id`` and what the stream is judged by."""
    charged = step(charges(rows, as_of), "charges")
    parts = segments(charged)
    hits = step(_hits(parts), "hits_on_rulers")
    t = step(_continued(hits.inner_join(_lines(hits, parts.each), LINE)), "hits_of_streams")
    # among many others, a line whose amounts vary as theirs do cannot be told from them
    hits_of_line = _over(t.count(), STREAM)
    enough = t.fixed & (hits_of_line >= _over(t.least.min(), STREAM) + MORE_AMONG_OTHERS)
    t = t.mutate(kept=(t.others * 2 <= hits_of_line) | enough).filter(lambda t: t.kept)
    t = _one_after_another(t, STREAM)
    judged_by = ["rank", "period", "tolerance", "slot", "half", "middle", "distance", "in_a_row", "change", "fixed"]
    t = t.select(*STREAM, "row_no", *judged_by)
    t = t.inner_join(charged.drop("days", "months", "moved", "earned", "least_varying"), ["payee_no", "row_no"])
    # What a stream is called must outlive a new price, a better fitting cadence and a longer history: its first hit
    # does. The ordinal tells two equal plans on one day apart.
    t = t.mutate(
        step=(t.change.abs() > PRICE_STEP).fill_null(False) & t.fixed,
        first_price=_over(t.price.first(), STREAM, t.slot),
        first_date=_over(t.date.first(), STREAM, t.slot),
    )
    t = t.mutate(
        ordinal=_over(ibis.dense_rank(), ["payee_no", "first_date", "first_price"], t.line),
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
        *("transaction_id", "date", "amount", "merchant", "price", "bill", *judged_by, "step", "level"),
        stream_id=ibis.literal("str_").concat(name.hexdigest("sha256").left(20)),
        newest_level=_over(t.level.max(), STREAM),
    )


def _continued(hits: ibis.Table) -> ibis.Table:
    """Hits whose ``line`` is their stream: a line that goes on where another of the payee stopped is one with it.

    Where other plans and purchases of a payee lie between, the two prices of one plan are two lines. That the second
    begins on an expected date of the first, at up to three times or a third of its price, makes them one; three such
    steps in a row are followed.
    """
    t = step(hits.mutate(place=hits.slot * hits.period + hits.anchor), "hits_of_lines")
    lines = t.group_by([*STREAM, "rank", "period", "tolerance", "pause"]).aggregate(
        first=t.place.min(),
        last=t.place.max(),
        first_price=t.price.argmin(t.place),
        last_price=t.price.argmax(t.place),
        fixed=t.fixed.all(),
    )
    lines = lines.filter(lines.fixed)
    linked = lines.join(lines.view(), ["payee_no", "rank"], lname="{name}", rname="{name}_after")
    linked = linked.mutate(apart=linked.first_after - linked["last"])
    slots = ratio(linked.apart.cast("float64"), linked.period).round()
    linked = linked.filter(
        slots >= 1,
        slots <= linked.pause,
        (linked.apart - slots * linked.period).abs() <= linked.tolerance,
        linked.first_price_after <= linked.last_price * VARIATION,
        linked.first_price_after * VARIATION >= linked.last_price,
    )
    # The nearest in time, and where two are as near, in price.
    step_up = ratio(linked.first_price_after, linked.last_price.cast("float64"))
    linked = linked.select(
        *("payee_no", "apart"), line="line_after", origin="line", price_step=ibis.greatest(step_up, 1 / step_up)
    )
    linked = linked.mutate(
        one_origin=ibis.row_number().over(group_by=STREAM, order_by=["apart", "price_step", "origin"]),
        one_heir=ibis.row_number().over(group_by=["payee_no", "origin"], order_by=["apart", "price_step", "line"]),
    )
    heirs = linked.filter((linked.one_origin == 0) & (linked.one_heir == 0)).select("line", "origin")
    for _ in range(2):  # each turn doubles the length of the chains that are followed
        further = heirs.select(its_line="line", older="origin")
        heirs = heirs.left_join(further, heirs.origin == further.its_line).select(
            "line", origin=lambda t: t.older.coalesce(t.origin)
        )
    t = t.left_join(heirs, "line").drop("line_right")
    t = t.mutate(line=t.origin.coalesce(t.line)).drop("origin")
    # The slots of a line that was counted from the other end of the circle are those of its first line.
    turns = ratio((t.anchor - _over(t.anchor.first(), STREAM, t.place)).cast("float64"), t.period).round()
    turns = turns.cast("int64")
    back = turns * t.period
    return t.mutate(slot=t.slot + turns, anchor=t.anchor - back, middle=t.middle - back).drop("place")


def _judged(t: ibis.Table, as_of: dt.date) -> ibis.Table:
    """One row per stream that stands at ``as_of``, from the rows of ``_stream_rows``."""
    newest = t.level == t.newest_level
    t = t.group_by(["stream_id", "user_id", "payee", "inflow", "rank", "period", "tolerance"]).aggregate(
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
        rulers().select("rank", "cadence", "of_months", "monthly_factor", "missable", "consecutive"), "rank"
    )
    next_slot = t.last_slot + 1
    anchor = ((t["rank"] == SEMI_MONTHLY) & (next_slot % 2 == 1)).ifelse(t.other_anchor, t.anchor)
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
