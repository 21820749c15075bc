"""What comes in: pay that is late or stopped, that changed, and money beyond it.

Candidates as in ``bills.py``. A payer is looked at beside all others, so that an employer under a new name is no pay
that stopped. What does not belong here: which of them is told (``choosing.py``).
"""

import numpy as np
import pandas as pd

from spendsense_pipeline.features.meanings import KIND_OTHER_IN, KIND_PAYCHECK, SAYS_BONUS
from spendsense_pipeline.insights.calendar import SPLIT_DAYS, after_last, paydays, payers, rhythm
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
    days = days.assign(first=days.groupby("payer")["day"].transform("first"))
    both = pay.reset_index().merge(days[["user", "day", "amount", "first"]], on="user", suffixes=("", "_any"))
    ago = both["last"] - both["day"]
    since = both[ago < 0].groupby("index")["amount_any"].sum().reindex(pay.index).fillna(0.0) / pay["open"]
    # Who began to pay only then came in the place of the other.
    inside = (ago >= 0) & (ago < BEFORE_PERIODS * both["period"]) & (both["first"] < both["last"] - both["period"])
    before = both[inside].groupby("index")["amount_any"].sum().reindex(pay.index) / (BEFORE_PERIODS * pay["period"])
    a_day = pay["amount"] / pay["period"]
    return pay[(a_day >= CHANGED * before) & (since <= before - REPLACED * a_day)]


def _next(seen: Seen, pay: pd.DataFrame) -> Array:
    """The payday after the last: of the payer's stream, which knows the day of the month that a weekend moved; where
    there is none a period later, and the same day of the next month where pay is monthly."""
    s = seen.streams[seen.streams["inflow"]].sort_values("last")
    s = s.set_index(pairs_of(s))[["last", "stream"]]
    of = s[~s.index.duplicated(keep="last")].reindex(pairs_of(pay))
    known = np.abs(pay["last"].to_numpy() - of["last"].to_numpy()) <= SPLIT_DAYS
    last, period = pay["last"].to_numpy(), pay["period"].to_numpy()
    day = last.astype("M8[D]")
    month = day.astype("M8[M]")
    length = ((month + 2).astype("M8[D]") - (month + 1).astype("M8[D]")).astype("i8")
    same = (month + 1).astype("M8[D]").astype("i8") + np.minimum((day - month.astype("M8[D]")).astype("i8"), length - 1)
    expected = np.where(period >= MONTHLY, same, np.floor(last + period + 0.5).astype("i8"))
    expected[known] = after_last(seen, of["stream"].to_numpy()[known].astype("i8"), 1)
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
    days = paydays(seen)
    days = days[days["kind"] == KIND_PAYCHECK]
    from_end = days.groupby("payer").cumcount(ascending=False)
    last, former = (days[from_end == back].set_index("payer") for back in (0, 1))
    told = last.index[seen.today - last["day"] < CHANGED_DAYS]
    days = days[(from_end >= 2) & days["payer"].isin(told)]
    before = days.groupby("payer")["amount"]
    found = frame_of({"usual": before.median(), "spread": _spread(days), "count": before.size()})
    last, former = last.loc[found.index], former.loc[found.index]
    found = found.assign(
        user=last["user"], now=last["amount"], former=former["amount"], day=former["day"], last=last["day"],
        number=last["number"], merchant=last["merchant"],
    )  # fmt: skip
    steady = (found["count"] >= LEAST_BEFORE) & (found["spread"] <= STEADY * found["usual"])
    up = found[["now", "former"]].min(axis=1) >= (1 + CHANGED) * found["usual"]
    down = found[["now", "former"]].max(axis=1) <= (1 - CHANGED) * found["usual"]
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


def _spread(days: pd.DataFrame) -> pd.Series:
    """By payer the median distance of amounts from their median."""
    apart = (days["amount"] - days.groupby("payer")["amount"].transform("median")).abs()
    return apart.groupby(days["payer"]).median()


def windfall(seen: Seen) -> Columns:
    """A bonus, a tax refund, or the third payday of a month."""
    found = (pd.DataFrame(each(seen)) for each in (_bonus, _tax_refund, _third_payday))
    return columns_of(pd.concat(found, ignore_index=True))


def _bonus(seen: Seen) -> Columns:
    """A payday above twice the steady payer's usual one, one that came in more parts than usual, one between two
    paydays of the payer's rhythm, or one that calls itself a bonus; at most two of a payer in 190 days, else that is
    how it pays."""
    days = paydays(seen)
    days = days[days["kind"] == KIND_PAYCHECK]
    # Whoever paid nothing for so long has nothing to tell.
    days = days[days["payer"].isin(days.loc[seen.today - days["day"] < WINDFALL_DAYS, "payer"])]
    of = days.groupby("payer")
    days = days.assign(
        usual=of["amount"].transform("median"), count=of["day"].transform("size"),
        parts_usual=of["parts"].transform("median"),
        gap=of["day"].diff(), period=of["day"].diff().groupby(days["payer"]).transform("median"),
    )  # fmt: skip
    spread = days["payer"].map(_spread(days))
    steady = (spread <= STEADY * days["usual"]) & (
        days["count"] > LEAST_BEFORE
    )  # else it is the next of a varying kind
    gaps = days.groupby("payer")["gap"]
    before, after = gaps.shift(1), gaps.shift(-1)
    short = days[["gap"]].assign(after=after).min(axis=1) <= BETWEEN * days["period"]
    off_without = (days["gap"] + after - days["period"]).abs()
    off_before = (before + days["gap"] - days["period"]).abs()  # of the newest payday
    between = short & ((off_without <= OFF_DAYS) | (after.isna() & ~(off_before <= OFF_DAYS)))
    more = (days["parts"] > days["parts_usual"]) & (days["amount"] > (1 + STEADY) * days["usual"])
    called = seen.evidence.said.says[seen.said(days["number"].to_numpy())] & SAYS_BONUS != 0
    alone = (between & steady) | (called & (days["parts"] <= days["parts_usual"]))
    days = days.assign(beyond=days["amount"] - days["usual"].where(~alone, 0.0))
    days = days[called | (steady & (between | more | (days["amount"] > BONUS * days["usual"])))]
    days = days[days["beyond"] >= LEAST_WINDFALL * seen.factor[days["user"]]]
    days = days[days.groupby("payer")["day"].transform("size") <= MOST_BONUSES]
    days = days[seen.today - days["day"] < WINDFALL_DAYS]
    return _came(days, days["beyond"], "bonus", seen)


def _tax_refund(seen: Seen) -> Columns:
    columns = ("user", "day", "amount", "merchant", "label", "number")
    rows = seen.rows(*columns, days=WINDFALL_DAYS, kinds=[KIND_OTHER_IN])
    rows = rows[seen.labelled(rows["label"], TAX_REFUNDS)]
    rows = rows[rows["amount"] >= LEAST_WINDFALL * seen.factor[rows["user"]]]
    return _came(rows, rows["amount"], "tax_refund", seen)


def _came(rows: pd.DataFrame, beyond: pd.Series, fact: str, seen: Seen) -> Columns:
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
