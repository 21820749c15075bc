"""The cushion: overdrawn, charged, thin, idle, paid interest, falling, growing.

Candidates as in ``bills.py``. What does not belong here: which of them is told (``choosing.py``).
"""

import numpy as np
import pandas as pd

from spendsense_pipeline.features.meanings import CHECKING, KIND_INTEREST_EARNED, SAVINGS
from spendsense_pipeline.insights.calendar import next_paydays
from spendsense_pipeline.insights.in_sight import LEAST_SPENT
from spendsense_pipeline.insights.seen import Columns, Seen, frame_of, lists_of

FEE_DAYS = 31
LEAST_FEES = 1.0
LEAST_EARNED = 5.0  # US dollars in 30 days, as of interest that is paid
INTEREST_DAYS = 180  # interest_earned, total_half_year
INTEREST_EVERY = 100  # days in which an account that bears interest has paid some: by quarters, and a few more
OFTEN = 2  # penalty fees in 31 days that make it urgent
WEEK = 7 / 30
IDLE_MONTHS = 3
LEAST_IDLE = 2_000.0  # US dollars above a month of spending
DROPPED = 0.25
DROPPED_BY = 200.0  # US dollars
MILESTONES = (1, 3, 6)  # months of spending


def overdrawn(seen: Seen) -> Columns:
    """Checking below zero, all such accounts of the customer together."""
    a = seen.accounts
    a = a[(a["held_as"] == CHECKING) & (a["balance"] <= -1)]
    of = a.groupby("user")
    paydays = next_paydays(seen)["expected"]
    users = of["balance"].sum()
    payday = paydays.where(paydays > seen.today).reindex(users.index)
    return {
        "user": users.index,
        "key": of["balance_day"].min().to_numpy() // 14,
        "happened": of["balance_day"].min(),
        "expires": seen.today + 14,
        "amount": -users,
        "balance_on": of["balance_day"].min(),
        "next_payday": payday,
        "days_until": payday - seen.today,
        "at_account": lists_of(a, "account"),
    }


def fees_charged(seen: Seen) -> Columns:
    """Penalty and service fees of 31 days, less what was given back."""
    rows = frame_of(seen.rows("user", "day", "amount", "penalty", "number", days=FEE_DAYS, such=seen.is_fee))
    charged = rows[rows["amount"] < 0]
    of = rows.assign(net=-rows["amount"], penal=np.where(rows["penalty"], -rows["amount"], 0.0)).groupby("user")
    total, penal = of["net"].sum(), of["penal"].sum()
    counts = rows.assign(one=np.sign(-rows["amount"])).groupby("user")["one"].sum()
    users = total.index[(total >= LEAST_FEES * seen.factor[total.index]) & (counts > 0)]
    last = charged.sort_values(["user", "day"]).drop_duplicates("user", keep="last").set_index("user")
    numbers = lists_of(charged, "number")
    half_year = (seen.long["fees_180d"].fillna(0) + seen.long["service_fees_180d"].fillna(0)).reindex(users)
    penalty = penal[users] > 0.005
    often = charged[charged["penalty"]].groupby("user").size().reindex(users).fillna(0) >= OFTEN
    return {
        "user": users,
        "key": last["day"].reindex(users),
        "happened": last["day"].reindex(users),
        "expires": last["day"].reindex(users).to_numpy() + FEE_DAYS,
        "fee_count": counts[users],
        "total": total[users],
        "total_half_year": half_year.where(half_year > total[users] + 0.5),
        "happened_on": last["day"].reindex(users),
        "fact": np.where(penalty, "penalty", "service"),
        "severity": np.where(penalty & often, "urgent", "notable"),
        "at_row": numbers.reindex(users),
    }


def thin_cushion(seen: Seen) -> Columns:
    """Less than a week of usual spending in checking and savings together; none below zero.

    Where a card that is not linked carries a part of the spending it is less still, and how many days is not known.
    """
    checking, savings = seen.balance_of(CHECKING), seen.balance_of(SAVINGS)
    expenses = seen.spending["monthly"]
    has_savings = seen.accounts.loc[seen.accounts["held_as"] == SAVINGS, "user"]
    together = checking["balance"].reindex(expenses.index)
    known = ~expenses.index.isin(has_savings) | expenses.index.isin(savings.index)
    together = (together + savings["balance"].reindex(expenses.index).fillna(0.0))[known]
    expenses = expenses[known]
    enough = expenses >= LEAST_SPENT * seen.factor[expenses.index]
    users = expenses.index[(together >= 0) & (together < WEEK * expenses) & enough]
    in_sight = seen.spending["in_sight"][users]
    payday = next_paydays(seen)["expected"].reindex(users)
    payday = payday.where(payday > seen.today)
    return {
        "user": users,
        "key": str(seen.today // 31),
        "happened": seen.today,
        "expires": seen.today + 14,
        "cushion_total": together[users].where(together[users] > 0),
        "cushion_days": np.floor(together[users] / expenses[users] * 30).where(in_sight),
        "spending_monthly": expenses[users].where(in_sight),
        "balance_on": checking["balance_day"].reindex(users),
        "next_payday": payday,
        "days_until": payday - seen.today,
    }


def _interest(seen: Seen) -> pd.DataFrame:
    """Rows of interest that the bank paid on checking and savings in the last 180 days."""
    columns = ("user", "held_as", "day", "amount", "number")
    of_accounts = [CHECKING, SAVINGS]
    return frame_of(seen.rows(*columns, days=INTEREST_DAYS, kinds=[KIND_INTEREST_EARNED], held_as=of_accounts))


def interest_earned(seen: Seen) -> Columns:
    """Interest of five dollars or more that the bank paid in 30 days."""
    rows = seen.once("interest", _interest)
    recent = rows[seen.today - rows["day"] < 30]
    of = recent.groupby("user")
    total = of["amount"].sum()
    users = total.index[total >= LEAST_EARNED * seen.factor[total.index]]
    half_year = rows.groupby("user")["amount"].sum().reindex(users)
    last = of["day"].max().reindex(users).to_numpy()
    return {
        "user": users,
        "key": str(seen.today // 92),
        "happened": last,
        "expires": last + 31,
        "total": total[users],
        "total_half_year": half_year.where(half_year > total[users] + 0.5),
        "earned_yearly": 12 * total[users],
        "happened_on": last,
        "at_row": lists_of(recent, "number").reindex(users),
    }


def idle_cash(seen: Seen) -> Columns:
    """Three months of spending or more in checking that bears no interest."""
    rows = seen.once("interest", _interest)
    bears = rows.loc[(rows["held_as"] == CHECKING) & (seen.today - rows["day"] < INTEREST_EVERY), "user"]
    checking = seen.balance_of(CHECKING)
    expenses = seen.spending["monthly"][seen.spending["in_sight"]]
    expenses = expenses[~expenses.index.isin(bears)]
    expenses = expenses[seen.began[expenses.index] <= seen.today - 90]
    holds = checking["balance"].reindex(expenses.index)
    idle = holds - expenses
    chosen = (holds >= IDLE_MONTHS * expenses) & (idle >= LEAST_IDLE * seen.factor[expenses.index])
    users = expenses.index[chosen]
    return {
        "user": users,
        "key": str(seen.today // 92),
        "happened": seen.today,
        "expires": seen.today + 31,
        "checking_balance": holds[users],
        "balance_on": checking["balance_day"].reindex(users),
        "months_covered": holds[users] / expenses[users],
        "spending_monthly": expenses[users],
        "idle_amount": idle[users],
        "idle_point_yearly": idle[users] / 100,
    }


def _savings(seen: Seen) -> pd.DataFrame:
    """By customer what savings hold now and held 30 days ago."""
    short = seen.short
    months = np.minimum(30, np.maximum(short["history_days"], 30)) / 30
    frame = frame_of({"now": short["savings_balance"], "saved": short["net_savings_inflow"] * months})
    frame["before"] = frame["now"] - frame["saved"]
    return frame.dropna()


def savings_drop(seen: Seen) -> Columns:
    """Savings a quarter and 200 dollars below those of 30 days ago."""
    s = _savings(seen)
    s = s[(-s["saved"] >= DROPPED * s["before"]) & (-s["saved"] >= DROPPED_BY * seen.factor[s.index])]
    return {
        "user": s.index,
        "key": str(seen.today // 31),
        "happened": seen.today,
        "expires": seen.today + 31,
        "amount_before": s["before"],
        "savings_now": s["now"].where(s["now"] > 0),
        "difference": -s["saved"],
        "change_percent": -s["saved"] / s["before"],
    }


def savings_milestone(seen: Seen) -> Columns:
    """Savings that passed one, three or six months of spending in the last 30 days."""
    s = _savings(seen)
    s["expenses"] = seen.spending["monthly"].where(seen.spending["in_sight"]).reindex(s.index)
    s = s[(s["saved"] > 0) & (s["expenses"] > 0)]
    passed = np.zeros(len(s))
    for months in MILESTONES:
        target = months * s["expenses"].to_numpy()
        passed = np.where((s["now"] >= target) & (s["before"] < target), months, passed)
    s, passed = s[passed > 0], passed[passed > 0]
    return {
        "user": s.index,
        "key": [f"{int(months)}/{seen.today // 183}" for months in passed],
        "happened": seen.today,
        "expires": seen.today + 31,
        "savings_now": s["now"],
        "amount_before": s["before"].where(s["before"] > 0),
        "difference": s["saved"],
        "months_covered": s["now"] / s["expenses"],
        "spending_monthly": s["expenses"],
        "fact": passed.astype("i8").astype(str),
    }
