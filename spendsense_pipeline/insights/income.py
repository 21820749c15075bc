"""What comes in: pay that is late or stopped, that changed, and money beyond it.

Candidates as in ``bills.py``. A payer is looked at beside all others, so that an employer under a new name is no pay
that stopped. What does not belong here: which of them is told (``choosing.py``).
"""

import numpy as np
import pandas as pd

from spendsense_pipeline.features.meanings import KIND_OTHER_IN, KIND_PAYCHECK, SAYS_BONUS
from spendsense_pipeline.insights.calendar import SPLIT_DAYS, after_last, paydays, payers, rhythm
from spendsense_pipeline.insights.grouped import Groups, matching
from spendsense_pipeline.insights.seen import Array, Columns, Seen, columns_of, frame_of, pairs_of

LATE_DAYS = 4
MISSED = 2  # paydays that did not come
STOPPED_TOLD_DAYS = 70  # as long as four monthly paydays before it stand in the evidence
CHANGED = 0.20
REPLACED = 0.5  # of a payer's pay
BEFORE_PERIODS = 3  # of a payer, in which its pay is measured beside that of others
STEADY = 0.10  # median deviation of the paydays before by their median
LEAST_BEFORE = 3
CHANGED_DAYS = 45
BONUS = 2.0
MOST_BONUSES = 2  # of a payer in 190 days
BETWEEN = 0.65  # of the period: a payday so soon after another is not moved by a weekend
OFF_DAYS = 3
BIWEEKLY_DAYS = 14
MONTHLY = 28.5  # days of a period from which on pay goes by the month
WINDFALL_DAYS = 21
TAX_REFUNDS = ("INCOME_TAX_REFUND", "GOVERNMENT_AND_NON_PROFIT_TAX_PAYMENT")
"""Of an inflow: where nobody delivered a category, what a tax office gives back is filed as what it is paid."""
LEAST_WINDFALL = 100.0  # US dollars


def _waiting(seen: Seen) -> pd.DataFrame:
    """Payers by the calendar whose payday is past: ``payers``, ``expected`` and how long it is ``open`` to the newest
    row. They paid a fifth of all pay at least, and no more than half of theirs comes from others now: an employer under
    a new name did not stop paying."""
    return seen.once("waiting", _found_waiting)


def _found_waiting(seen: Seen) -> pd.DataFrame:
    pay, days = payers(seen), paydays(seen)
    pay = pay.assign(expected=_next(seen, pay), open=seen.newest[pay["user"]] - pay["last"])
    pay = pay.assign(past=seen.newest[pay["user"]] - pay["expected"])
    pay = pay[pay["past"] >= LATE_DAYS].reset_index(drop=True)
    user, day, amount, payer = (days[name].to_numpy() for name in ("user", "day", "amount", "payer"))
    first = day[Groups.by(payer).begin]
    last, period = pay["last"].to_numpy(), pay["period"].to_numpy()
    of, at = matching(pay["user"].to_numpy(), user)
    ago = last[of] - day[at]
    # Who began to pay only then came in the place of the other.
    inside = (ago >= 0) & (ago < BEFORE_PERIODS * period[of]) & (first[payer[at] - 1] < (last - period)[of])
    since, before = (np.bincount(of[rows], amount[at[rows]], len(pay)) for rows in (ago < 0, inside))
    since, before = since / pay["open"].to_numpy(), before / (BEFORE_PERIODS * period)
    a_day = pay["amount"].to_numpy() / period
    found = (a_day >= CHANGED * before) & (since <= before - REPLACED * a_day) & (before > 0)
    return pay.take(np.flatnonzero(found))


def _next(seen: Seen, pay: pd.DataFrame) -> Array:
    """The payday after the last: of the payer's stream, which knows the day of the month that a weekend moved; where
    there is none a period later, and the same day of the next month where pay is monthly. Of a last payday that lies
    beside the stream (December's is early) the later of the two."""
    s = seen.streams
    s = s.take(np.flatnonzero(s["inflow"].to_numpy()))
    s = s.take(np.lexsort((s["last"].to_numpy(), pairs_of(s))))
    s = s.take(Groups.by(pairs_of(s)).last)
    at = pd.Index(pairs_of(s)).get_indexer(pd.Index(pairs_of(pay)))
    last, period = pay["last"].to_numpy(), pay["period"].to_numpy()
    known = np.flatnonzero(at >= 0)
    on_time = np.abs(last[known] - s["last"].to_numpy()[at[known]]) <= SPLIT_DAYS
    beside, known = known[~on_time], known[on_time]
    day = last.astype("M8[D]")
    month = day.astype("M8[M]")
    length = ((month + 2).astype("M8[D]") - (month + 1).astype("M8[D]")).astype("i8")
    same = (month + 1).astype("M8[D]").astype("i8") + np.minimum((day - month.astype("M8[D]")).astype("i8"), length - 1)
    expected = np.where(period >= MONTHLY, same, np.floor(last + period + 0.5).astype("i8"))
    streams = s["stream"].to_numpy()[at]
    expected[known] = after_last(seen, streams[known], 1)
    for ahead in (1, 2):
        due = after_last(seen, streams[beside], ahead)
        near = np.abs(due - last[beside] - period[beside]) < period[beside] / 2
        expected[beside] = np.where(near, np.maximum(expected[beside], due), expected[beside])
    return np.asarray(expected)


def income_late(seen: Seen) -> Columns:
    """A payday that is four days past, and not yet two of them."""
    pay = _waiting(seen)
    pay = pay[pay["past"] < (MISSED - 1) * pay["period"] + LATE_DAYS]
    return _missed(seen, pay, 14)


def income_stopped(seen: Seen) -> Columns:
    """Two paydays that did not come, told for 70 days."""
    pay = _waiting(seen)
    pay = pay[pay["past"] >= (MISSED - 1) * pay["period"] + LATE_DAYS]
    pay = pay[seen.today - pay["expected"] <= STOPPED_TOLD_DAYS]
    return _missed(seen, pay, STOPPED_TOLD_DAYS)


def _missed(seen: Seen, pay: pd.DataFrame, lasts: int) -> Columns:
    return {
        "user": pay["user"],
        "key": pay["last"],
        "happened": pay["expected"],
        "expires": pay["expected"] + lasts,
        "payee": seen.names(pay["merchant"].astype("i8")),
        "amount": pay["amount"],
        "due_on": pay["expected"],
        "days_since": seen.today - pay["expected"],
        "since_on": pay["last"],
        "weight": pay["amount"] / pay["period"],
        "at_row": pay["number"].astype("i8"),
    }


def income_changed(seen: Seen) -> Columns:
    """The last two paydays of a payer a fifth or more above, or below, the steady ones before."""
    days = _paychecks(seen)
    of = Groups.by(days["payer"].to_numpy())
    told = (of.size > 2) & (seen.today - days["day"].to_numpy()[of.last] < CHANGED_DAYS)
    last, former = (days.take((of.last - back)[told]).reset_index(drop=True) for back in (0, 1))
    earlier = days.take(np.flatnonzero(told[of.of] & (of.within() < (of.size - 2)[of.of])))
    before, amount = Groups.by(earlier["payer"].to_numpy()), earlier["amount"].to_numpy()
    usual = before.median(amount)
    found = last.assign(
        usual=usual, spread=_spread(before, amount, usual), count=before.size,
        now=last["amount"], former=former["amount"], day=former["day"], last=last["day"],
    )  # fmt: skip
    steady = (found["count"] >= LEAST_BEFORE) & (found["spread"] <= STEADY * found["usual"])
    up = np.minimum(found["now"], found["former"]) >= (1 + CHANGED) * found["usual"]
    down = np.maximum(found["now"], found["former"]) <= (1 - CHANGED) * found["usual"]
    found = found[steady & (up | down)].reset_index(drop=True)
    difference = found["now"] - found["usual"]
    return {
        "user": found["user"],
        "key": found["day"],
        "happened": found["day"],
        "expires": found["last"] + CHANGED_DAYS,
        "payee": seen.names(found["merchant"]),
        "amount_before": found["usual"],
        "amount": found["now"],
        "difference": difference.abs(),
        "change_percent": difference.abs() / found["usual"],
        "since_on": found["day"],
        "fact": np.where(difference > 0, "up", "down"),
        "weight": difference.abs(),
        "at_row": found["number"],
    }


def _paychecks(seen: Seen) -> pd.DataFrame:
    days = paydays(seen)
    return days.take(np.flatnonzero(days["kind"].to_numpy() == KIND_PAYCHECK))


def _spread(of: Groups, amount: Array, usual: Array) -> Array:
    """By group the median distance of amounts from their median."""
    return of.median(np.abs(amount - usual[of.of]))


def windfall(seen: Seen) -> Columns:
    """A bonus, a tax refund, or the third payday of a month."""
    found = (pd.DataFrame(each(seen)) for each in (_bonus, _tax_refund, _third_payday))
    return columns_of(pd.concat(found, ignore_index=True))


def _bonus(seen: Seen) -> Columns:
    """A payday above twice the steady payer's usual one, one that came in more parts than usual, one between two
    paydays of the payer's rhythm, or one that calls itself a bonus; at most two of a payer in 190 days, else that is
    how it pays."""
    days = _paychecks(seen)
    of = Groups.by(days["payer"].to_numpy())
    # Whoever paid nothing for so long has nothing to tell.
    days = days.take(np.flatnonzero((seen.today - days["day"].to_numpy()[of.last] < WINDFALL_DAYS)[of.of]))
    of = Groups.by(days["payer"].to_numpy())
    user, day, amount, parts = (days[name].to_numpy() for name in ("user", "day", "amount", "parts"))
    median, usual_parts = of.median(amount), of.median(parts)[of.of]
    gap = day - of.beside(day, -1)
    period, after = of.median(gap)[of.of], of.beside(gap, 1)
    # Else it is the next of a varying kind.
    steady = ((_spread(of, amount, median) <= STEADY * median) & (of.size > LEAST_BEFORE))[of.of]
    usual = median[of.of]
    short = np.fmin(gap, after) <= BETWEEN * period
    off_without = np.abs(gap + after - period)
    off_before = np.abs(of.beside(gap, -1) + gap - period)  # of the newest payday
    between = short & ((off_without <= OFF_DAYS) | (np.isnan(after) & ~(off_before <= OFF_DAYS)))
    more = (parts > usual_parts) & (amount > (1 + STEADY) * usual)
    called = seen.evidence.said.says[seen.said(days["number"].to_numpy())] & SAYS_BONUS != 0
    alone = (between & steady) | (called & (parts <= usual_parts))
    beyond = np.where(alone, amount, amount - usual)
    found = (called | (steady & (between | more | (amount > BONUS * usual)))) & (
        beyond >= LEAST_WINDFALL * seen.factor[user]
    )
    told = found & (of.total(found) <= MOST_BONUSES)[of.of] & (seen.today - day < WINDFALL_DAYS)
    return _came(days[told], beyond[told], "bonus", seen)


def _tax_refund(seen: Seen) -> Columns:
    columns = ("user", "day", "amount", "merchant", "label", "number")
    rows = frame_of(seen.rows(*columns, days=WINDFALL_DAYS, kinds=[KIND_OTHER_IN]))
    rows = rows[seen.labelled(rows["label"], TAX_REFUNDS)]
    rows = rows[rows["amount"] >= LEAST_WINDFALL * seen.factor[rows["user"]]]
    return _came(rows, rows["amount"].to_numpy(), "tax_refund", seen)


def _came(rows: pd.DataFrame, beyond: Array, fact: str, seen: Seen) -> Columns:
    return {
        "user": rows["user"],
        "key": rows["day"],
        "happened": rows["day"],
        "expires": rows["day"] + WINDFALL_DAYS,
        "payee": seen.names(rows["merchant"]),
        "amount": beyond,
        "happened_on": rows["day"],
        "fact": fact,
        "weight": beyond,
        "at_row": rows["number"],
    }


def _third_payday(seen: Seen) -> Columns:
    """A payer who pays every other week has paid twice in the calendar month and pays again in it, or has paid the
    third time within two weeks."""
    days, pay = rhythm(seen), payers(seen)
    pay = pay[(pay["period"] - BIWEEKLY_DAYS).abs() <= 1].reset_index(drop=True)
    month = np.datetime64(seen.today, "D").astype("M8[M]")
    first, after = (int((month + ahead).astype("M8[D]").astype("i8")) for ahead in (0, 1))
    of_month = days[days["day"] >= first]
    inside = of_month["day"].groupby(pairs_of(of_month)).nunique()
    count = inside.reindex(pairs_of(pay)).fillna(0).to_numpy()
    expected = pay["last"] + BIWEEKLY_DAYS
    ahead = (count == 2) & (expected > seen.today) & (expected < after)
    came = (count == 3) & (seen.today - pay["last"] < BIWEEKLY_DAYS)
    day = pay["last"].where(came, expected)
    pay, day = pay[ahead | came], day[ahead | came].astype("i8")
    return {
        "user": pay["user"],
        "key": day,
        "happened": day,
        "expires": day + 14,
        "payee": seen.names(pay["merchant"].astype("i8")),
        "amount": pay["amount"],
        "due_on": day,
        "payday_count": 3,
        "fact": "third_payday",
        "weight": 0.0,
        "at_row": pay["number"].astype("i8"),
    }
