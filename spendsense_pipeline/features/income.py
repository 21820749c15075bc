"""Who pays a customer, how often, and how much a month: the income family of the features.

What does not belong here: which row is a paycheck (``rows.py``), and income that repeats without being pay
(``streams.py``).
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import ibis

from spendsense_pipeline.features.cadence import month_position
from spendsense_pipeline.features.expressions import day_number, each_window, money, ratio

EVIDENCE_DAYS = 180  # pay is judged on at least so many days, however short the window
ON_ONE_CALENDAR = 0.75  # share of the paydays that must lie on a calendar for it to be theirs
# SIGNALS.md, avg_monthly_income: days from one payday to the next.
PERIODS = {"weekly": 7.0, "biweekly": 14.0, "semi_monthly": 365.25 / 24, "monthly": 365.25 / 12}
HALF_MONTH = 31  # half days between two paydays a month, on the month ruler of ``cadence``


def paychecks(rows: ibis.Table, as_of: dt.date, window: int) -> ibis.Table:
    """The paychecks that pay is judged on: ``user_id, transaction_id, date, amount, payer, merchant, in_window``.

    Those of the last ``max(window, 180)`` days. ``payer`` is the payee's key, empty where it is unknown.
    """
    paid = rows.filter(
        (rows.kind == "paycheck") & (rows.date > ibis.literal(_start(as_of, max(window, EVIDENCE_DAYS))))
    )
    return paid.select(
        "user_id",
        "transaction_id",
        "date",
        "amount",
        "merchant",
        payer=paid.payee.fill_null(""),
        in_window=paid.date > ibis.literal(_start(as_of, window)),
    )


def pay(rows: ibis.Table, as_of: dt.date, windows: Sequence[int]) -> ibis.Table:
    """One row per customer and window with a paycheck in its evidence.

    Columns: ``user_id, window_days, payroll_detected, pay_frequency, median_pay_gap_days, income_variability,
    steady_income`` (a month, of payers on a calendar who still pay) and ``other_income`` (in the window, of others).
    """
    evidence = _evidence(rows, as_of, windows)
    calendars = _calendars(evidence)
    together = calendars.filter(calendars.payer.isnull()).drop("payer")
    return (
        _by_customer(_by_payer(evidence, calendars), together)
        .join(_gaps(evidence), ["user_id", "window_days"], how="left")
        .drop("user_id_right", "window_days_right")
    )


def payers(rows: ibis.Table, as_of: dt.date, windows: Sequence[int]) -> ibis.Table:
    """What ``pay`` adds up, one row per customer, window and payer; an employer that was renamed is one.

    Columns: ``user_id, window_days, payer`` (the first name's key), ``paydays, frequency`` (null for a single payday),
    ``usual`` (median payday), ``days_open`` (since the last one), ``in_window`` (money), ``variability`` (null for a
    single payday) and ``monthly`` (steady income a month, null without a calendar or when no longer paid).
    """
    evidence = _evidence(rows, as_of, windows)
    each = _by_payer(evidence, _calendars(evidence))
    return each.select(
        *("user_id", "window_days", "payer", "paydays", "frequency", "usual", "in_window"),
        days_open=each.open,
        variability=ratio(each.deviation, each["mean"]),
        monthly=_still_paid(each).ifelse(each.usual * 30 / each.period, ibis.null("float64")),
    )


def _evidence(rows: ibis.Table, as_of: dt.date, windows: Sequence[int]) -> ibis.Table:
    """Paydays, once per window in whose evidence they lie: ``open`` days ago, ``gap`` days after the one before."""
    paydays = _paydays(rows)
    paydays = paydays.mutate(day=day_number(paydays.date), open=_age(paydays.date, as_of))
    earlier = ibis.window(group_by="user_id", order_by="day", range=(None, -1))
    paydays = paydays.mutate(gap=paydays.day - paydays.day.max().over(earlier))
    evidence = each_window(paydays, windows)
    return evidence.filter(evidence.open < ibis.greatest(evidence.window_days, EVIDENCE_DAYS))


def _start(as_of: dt.date, window: int) -> dt.date:
    return as_of - dt.timedelta(days=window)


def _age(date: Any, as_of: dt.date) -> Any:
    return ibis.literal((as_of - dt.date(1970, 1, 1)).days) - day_number(date)


def _paydays(rows: ibis.Table) -> ibis.Table:
    """``user_id, payer, date, amount``: one row per payer and day; a pay split over two accounts is one."""
    paid = rows.filter(rows.kind == "paycheck")
    days = paid.group_by("user_id", "date", payer=paid.payee.fill_null("")).agg(amount=paid.amount.sum())
    heirs = _renamed(days)
    days = days.left_join(heirs, ["user_id", "payer"]).drop("user_id_right", "payer_right")
    return days.group_by("user_id", "date", payer=days.origin.coalesce(days.payer)).agg(
        amount=lambda t: money(t.amount.sum())
    )


def _renamed(days: ibis.Table) -> ibis.Table:
    """``user_id, payer, origin``: payers who went on where another stopped, one period later, and that other.

    Only an unbroken calendar counts: the gap between the last payday under one name and the first under the next is
    the usual gap of both (of the one that has a usual gap, if the other was seen once), and the usual amount neither
    halves nor doubles. Three changes of name in a row are followed.
    """
    by_payer = ibis.window(group_by=["user_id", "payer"], order_by="date")
    gapped = days.mutate(gap=day_number(days.date) - day_number(days.date).lag().over(by_payer))
    payers = gapped.group_by("user_id", "payer").agg(
        first=gapped.date.min(), last=gapped.date.max(), gap=gapped.gap.median(), usual=gapped.amount.median()
    )
    before, after = payers, payers.view()
    linked = before.join(
        after, [before.user_id == after.user_id, before.last < after.first], lname="{name}", rname="{name}_after"
    )
    gap = (day_number(linked.first_after) - day_number(linked.last)).cast("float64")

    def usual(period: Any) -> Any:
        # a fifth of the period: a day for weeks, three for half months, six for months
        return ((gap - period).abs() <= period * 0.2).fill_null(True)

    fits = (
        usual(linked.gap)
        & usual(linked.gap_after)
        & (linked.gap.notnull() | linked.gap_after.notnull())
        & (linked.usual_after <= linked.usual * 2)
        & (linked.usual_after * 2 >= linked.usual)
    )
    linked = linked.filter(fits).select("user_id", payer="payer_after", origin="payer", gap=gap)
    linked = linked.mutate(
        one_origin=ibis.row_number().over(group_by=["user_id", "payer"], order_by=["gap", "origin"]),
        one_heir=ibis.row_number().over(group_by=["user_id", "origin"], order_by=["gap", "payer"]),
    )
    heirs = linked.filter((linked.one_origin == 0) & (linked.one_heir == 0)).select("user_id", "payer", "origin")
    for _ in range(2):  # each turn doubles the length of the chains that are followed
        further = heirs.select(heir_user="user_id", heir="payer", older="origin")
        heirs = heirs.left_join(further, [heirs.user_id == further.heir_user, heirs.origin == further.heir]).select(
            "user_id", "payer", origin=lambda t: t.older.coalesce(t.origin)
        )
    return heirs


def _calendars(evidence: ibis.Table) -> ibis.Table:
    """The calendar of each payer, and, where ``payer`` is null, of all paydays of a customer together.

    One row per customer, window and payer: ``paydays`` and the calendar, ``frequency``, that three quarters of
    them lie on. A payday lies on a calendar when another one is a period away, and it keeps the calendar's place:
    the same weekday (weekly), the same day of a fortnight (biweekly), the same two days of the month (semi-monthly,
    weekends allowed for). A fortnight moves through the month and half a month through the weekdays, so only one
    of them keeps its place. Null with fewer than two paydays, `irregular` when no calendar holds.
    """
    key = ["user_id", "window_days", "payer"]
    each = evidence.select(*key, "date", "day")
    paydays = each.union(each.mutate(payer=ibis.null("string")).distinct())

    def beside(nearest: int, farthest: int) -> Any:
        """Whether another payday lies that many days before or after."""
        before = ibis.window(group_by=key, order_by="day", range=(-farthest, -nearest))
        after = ibis.window(group_by=key, order_by="day", range=(nearest, farthest))
        return (ibis._.day.count().over(before) + ibis._.day.count().over(after)) > 0

    placed = paydays.mutate(
        week=paydays.day % 7, fortnight=paydays.day % 14, half_month=month_position(paydays.date) % HALF_MONTH
    )
    cycles = {"week": 7, "fortnight": 14, "half_month": HALF_MONTH}
    placed = placed.mutate(
        **{f"{name}_rows": ibis._.day.count().over(group_by=[*key, name]) for name in cycles},
        by_week=beside(6, 8),
        by_fortnight=beside(13, 15),
        by_half_month=beside(11, 19),
        by_month=beside(26, 35),
    )
    placed = placed.mutate(
        **{
            f"{name}_usual": placed[name]
            .first()
            .over(group_by=key, order_by=[ibis.desc(f"{name}_rows"), ibis.asc(name)])
            for name in cycles
        }
    )

    def off(name: str) -> Any:
        """How far a payday lies from the usual place in the cycle, either way round."""
        apart = (placed[name] - placed[f"{name}_usual"]).abs()
        return ibis.least(apart, cycles[name] - apart)

    found = placed.group_by(key).agg(
        paydays=placed.count(),
        span=placed.day.max() - placed.day.min(),
        weekly=(placed.by_week & (off("week") <= 1)).cast("float64").mean(),
        biweekly=(placed.by_fortnight & (off("fortnight") <= 1)).cast("float64").mean(),
        biweekly_to_the_day=(placed.by_fortnight & (off("fortnight") == 0)).cast("float64").mean(),
        semi_monthly=(placed.by_half_month & (off("half_month") <= 6)).cast("float64").mean(),
        monthly=placed.by_month.cast("float64").mean(),
    )
    # With two paydays a fortnight is 14 days to the day; with more, a holiday may move one by a day.
    fortnight = (found.paydays > 2).ifelse(found.biweekly, found.biweekly_to_the_day)
    # Pay on most days has a payday a month away from each; there are too many for a monthly calendar.
    sparse = (found.paydays - 1) * 30 * ON_ONE_CALENDAR <= found.span + 7
    return found.select(
        *key,
        "paydays",
        frequency=ibis.cases(
            (found.paydays < 2, ibis.null("string")),
            (found.weekly >= ON_ONE_CALENDAR, "weekly"),
            (fortnight >= ON_ONE_CALENDAR, "biweekly"),
            (found.semi_monthly >= ON_ONE_CALENDAR, "semi_monthly"),
            ((found.monthly >= ON_ONE_CALENDAR) & sparse, "monthly"),
            else_="irregular",
        ),
    )


def _by_payer(evidence: ibis.Table, calendars: ibis.Table) -> ibis.Table:
    key = ["user_id", "window_days", "payer"]
    amounts = evidence.group_by(key).agg(
        usual=evidence.amount.median(),
        total=evidence.amount.sum(),
        mean=evidence.amount.mean(),
        deviation=evidence.amount.std(how="sample"),
        open=evidence.open.min(),
        in_window=evidence.amount.sum(where=evidence.open < evidence.window_days).fill_null(0.0),
    )
    payers = amounts.join(calendars, key)
    period = payers.frequency.cases(*PERIODS.items(), else_=ibis.null("float64"))
    return payers.mutate(period=period)


def _by_customer(payers: ibis.Table, together: ibis.Table) -> ibis.Table:
    key = ["user_id", "window_days"]
    largest = ibis.window(group_by=key, order_by=[ibis.desc("total"), ibis.asc("payer")])
    payers = payers.mutate(largest_frequency=payers.frequency.first().over(largest))
    still_paid = _still_paid(payers)
    varied = payers.paydays >= 2
    summed = payers.group_by(key).agg(
        checks=payers.paydays.sum(),
        largest_frequency=payers.largest_frequency.max(),
        income_variability=ratio(
            (ratio(payers.deviation, payers["mean"]) * payers.total).sum(where=varied), payers.total.sum(where=varied)
        ),
        # rounded before they are divided or added up: the order in which floats were added must not show
        steady_income=(payers.usual * 30 / payers.period).sum(where=still_paid).fill_null(0.0).round(6),
        other_income=money(payers.in_window.sum(where=~still_paid).fill_null(0.0)),
    )
    joined = summed.join(together, key)
    regular = joined.frequency != "irregular"
    return joined.select(
        *key,
        "income_variability",
        "steady_income",
        "other_income",
        payroll_detected=joined.checks >= 2,
        pay_frequency=ibis.cases(
            (joined.paydays < 2, ibis.null("string")),
            (regular, joined.frequency),
            else_=joined.largest_frequency.coalesce("irregular"),
        ),
    )


def _still_paid(payers: ibis.Table) -> Any:
    """Whether a payer with a calendar has paid within its last two periods."""
    return (payers.open <= 2 * payers.period).fill_null(False)


def _gaps(evidence: ibis.Table) -> ibis.Table:
    """Median gap of the paydays in the window, or the gap that is open, whichever is longer."""
    key = ["user_id", "window_days"]
    # The gap before the first payday of the evidence reaches back beyond it: it was measured on all history.
    days = evidence.select(*key, "open", "gap").distinct()
    found = days.group_by(key).agg(
        days=days.count(),
        median=days.gap.median(where=days.open < days.window_days).cast("float64"),
        open=days.open.min().cast("float64"),
    )
    longer = ibis.greatest(found["median"].fill_null(found.open), found.open)
    return found.select(*key, median_pay_gap_days=(found.days >= 2).ifelse(longer, ibis.null("float64")))
