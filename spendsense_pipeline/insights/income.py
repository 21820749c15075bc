"""What comes in: pay that is late or stopped, that changed, and money beyond it.

Candidates as in ``bills.py``. All payers are looked at together, so that an employer under a new name is no pay that
stopped. What does not belong here: which of them is told (``choosing.py``).
"""

import numpy as np
import pandas as pd

from spendsense_pipeline.features.calendars import BIWEEKLY
from spendsense_pipeline.features.meanings import KIND_OTHER_IN, KIND_PAYCHECK
from spendsense_pipeline.features.tables import INCOME
from spendsense_pipeline.insights.calendar import next_paydays, paydays
from spendsense_pipeline.insights.seen import Seen

LATE_DAYS = 4
MISSED = 2  # paydays that did not come
STOPPED_TOLD_DAYS = 60
CHANGED = 0.20
STEADY = 0.10  # median deviation of the paydays before by their median
LEAST_BEFORE = 3
CHANGED_DAYS = 45
BONUS = 2.0
WINDFALL_DAYS = 21
TAX_REFUND = "INCOME_TAX_REFUND"
LEAST_WINDFALL = 100.0  # US dollars


def _waiting(seen: Seen) -> pd.DataFrame:
    """Customers whose payday is past: ``last``, ``period``, ``expected`` and how long it is ``open`` to the newest row.

    Only regular pay: three paydays in the evidence, the last three within a fifth of the period of one another.
    """
    pay = next_paydays(seen)
    days = paydays(seen)
    once = days[["user", "day"]].drop_duplicates().sort_values(["user", "day"])
    gap = once.groupby("user")["day"].diff()
    off = (gap - once["user"].map(pay["period"])).abs() <= once["user"].map((0.2 * pay["period"]).clip(lower=2.0))
    last_gaps = once.groupby("user").cumcount(ascending=False) < LEAST_BEFORE
    kept = off[last_gaps].groupby(once["user"][last_gaps]).sum()
    pay = pay[kept.reindex(pay.index).fillna(0) == LEAST_BEFORE].copy()
    pay["expected"] = np.floor(pay["last"] + pay["period"] + 0.5)
    pay["open"] = seen.newest[pay.index] - pay["last"]
    usual = days.groupby("user")["amount"].median()
    pay["amount"] = usual.reindex(pay.index)
    final = days.sort_values(["user", "day"]).drop_duplicates("user", keep="last").set_index("user")
    pay["merchant"], pay["number"] = final["merchant"].reindex(pay.index), final["number"].reindex(pay.index)
    return pay


def income_late(seen: Seen) -> pd.DataFrame:
    """A payday that is four days past, and not yet two of them."""
    pay = _waiting(seen)
    pay = pay[(pay["open"] >= pay["period"] + LATE_DAYS) & (pay["open"] < MISSED * pay["period"] + LATE_DAYS)]
    return _missed(seen, pay, 14)


def income_stopped(seen: Seen) -> pd.DataFrame:
    """Two paydays that did not come, told for 60 days."""
    pay = _waiting(seen)
    pay = pay[pay["open"] >= MISSED * pay["period"] + LATE_DAYS]
    pay = pay[seen.today - pay["expected"] <= STOPPED_TOLD_DAYS]
    return _missed(seen, pay, STOPPED_TOLD_DAYS)


def _missed(seen: Seen, pay: pd.DataFrame, lasts: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user": pay.index,
            "key": pay["last"],
            "happened": pay["expected"],
            "expires": pay["expected"] + lasts,
            "payee": seen.names(pay["merchant"].astype("i8")),
            "amount": pay["amount"],
            "due_on": pay["expected"],
            "days_since": seen.today - pay["expected"],
            "since_on": pay["last"],
            "at_row": pay["number"].astype("i8"),
        }
    )


def income_changed(seen: Seen) -> pd.DataFrame:
    """The last two paydays of a payer a fifth or more above, or below, the steady ones before."""
    days = paydays(seen)
    days = days[days["kind"] == KIND_PAYCHECK].sort_values(["user", "payee", "day"])
    from_end = days.groupby(["user", "payee"]).cumcount(ascending=False)
    before = days[from_end >= 2].groupby(["user", "payee"])["amount"]
    usual = before.median()
    spread = _spread(days[from_end >= 2])
    last = days[from_end == 0].set_index(["user", "payee"])
    former = days[from_end == 1].set_index(["user", "payee"])
    found = pd.DataFrame(
        {
            "usual": usual, "spread": spread, "count": before.size(), "now": last["amount"],
            "former": former["amount"], "day": former["day"], "last": last["day"], "number": last["number"],
            "merchant": last["merchant"],
        }
    ).dropna()  # fmt: skip
    steady = (found["count"] >= LEAST_BEFORE) & (found["spread"] <= STEADY * found["usual"])
    up = found[["now", "former"]].min(axis=1) >= (1 + CHANGED) * found["usual"]
    down = found[["now", "former"]].max(axis=1) <= (1 - CHANGED) * found["usual"]
    found = found[steady & (up | down) & (seen.today - found["last"] < CHANGED_DAYS)].reset_index()
    difference = found["now"] - found["usual"]
    return pd.DataFrame(
        {
            "user": found["user"],
            "key": found["day"].astype("i8"),
            "happened": found["day"].astype("i8"),
            "expires": found["last"].astype("i8") + CHANGED_DAYS,
            "payee": seen.names(found["merchant"].astype("i8")),
            "amount_before": found["usual"],
            "amount": found["now"],
            "difference": difference.abs(),
            "change_percent": difference.abs() / found["usual"],
            "since_on": found["day"].astype("i8"),
            "fact": np.where(difference > 0, "up", "down"),
            "weight": difference.abs(),
            "at_row": found["number"].astype("i8"),
        }
    )


def _spread(days: pd.DataFrame) -> pd.Series:
    """By customer and payer the median distance of amounts from their median."""
    keys = [days["user"], days["payee"]]
    apart = (days["amount"] - days.groupby(["user", "payee"])["amount"].transform("median")).abs()
    return apart.groupby(keys).median()


def windfall(seen: Seen) -> pd.DataFrame:
    """A bonus, a tax refund, or the third payday of a month."""
    return pd.concat([_bonus(seen), _tax_refund(seen), _third_payday(seen)], ignore_index=True)


def _bonus(seen: Seen) -> pd.DataFrame:
    days = paydays(seen)
    days = days[days["kind"] == KIND_PAYCHECK]
    of = days.groupby(["user", "payee"])["amount"]
    days = days.assign(usual=of.transform("median"), count=of.transform("size"))
    spread = days.join(_spread(days).rename("spread"), on=["user", "payee"])["spread"]
    steady = spread <= STEADY * days["usual"]  # else a large payment is only the next of a varying kind
    days = days[steady & (days["count"] > LEAST_BEFORE) & (days["amount"] > BONUS * days["usual"])]
    days = days[seen.today - days["day"] < WINDFALL_DAYS]
    return _came(days, days["amount"] - days["usual"], "bonus", seen)


def _tax_refund(seen: Seen) -> pd.DataFrame:
    rows = seen.rows
    rows = rows[(rows["kind"] == KIND_OTHER_IN) & (seen.today - rows["day"] < WINDFALL_DAYS)]
    labels = pd.Series(seen.labels(rows["label"]), index=rows.index, dtype="object")
    rows = rows[labels == TAX_REFUND]
    rows = rows[rows["amount"] >= LEAST_WINDFALL * seen.factor[rows["user"]]]
    return _came(rows, rows["amount"], "tax_refund", seen)


def _came(rows: pd.DataFrame, beyond: pd.Series, fact: str, seen: Seen) -> pd.DataFrame:
    return pd.DataFrame(
        {
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
    )


def _third_payday(seen: Seen) -> pd.DataFrame:
    """Two paydays of the calendar month are there and a third is expected in it, or came within two weeks."""
    days = paydays(seen)
    s = seen.streams
    every_other_week = s[(s["kind"] == INCOME) & s["earned"] & (s["calendar"] == BIWEEKLY)]["user"]
    biweekly = {*seen.long.index[seen.long["pay_frequency"] == "biweekly"], *every_other_week}
    pay = next_paydays(seen)
    pay = pay[pay.index.isin(biweekly)]
    month = np.datetime64(seen.today, "D").astype("M8[M]")
    first, after = (int((month + ahead).astype("M8[D]").astype("i8")) for ahead in (0, 1))
    mine = days[days["user"].isin(pay.index) & (days["day"] >= first)].sort_values(["user", "day"])
    count = mine.groupby("user")["day"].nunique()
    third_came = mine.groupby("user")["day"].max()
    expected = pay["expected"].reindex(count.index)
    ahead = (count == 2) & (expected > seen.today) & (expected < after)
    came = (count == 3) & (seen.today - third_came < 14)
    users = count.index[ahead | came]
    day = third_came.where(came, expected).reindex(users).astype("i8")
    usual = days.groupby("user")["amount"].median().reindex(users)
    last = mine.drop_duplicates("user", keep="last").set_index("user").reindex(users)
    return pd.DataFrame(
        {
            "user": users,
            "key": day,
            "happened": day,
            "expires": day + 14,
            "payee": seen.names(last["merchant"].astype("i8")),
            "amount": usual,
            "due_on": day,
            "payday_count": 3,
            "fact": "third_payday",
            "weight": 0.0,
            "at_row": last["number"].astype("i8"),
        }
    ).reset_index(drop=True)
