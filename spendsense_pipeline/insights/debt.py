"""Debt: what is past due, which card is dearest, minimum payments, interest, balances that fall.

Candidates as in ``bills.py``. What does not belong here: which of them is told (``choosing.py``).
"""

import numpy as np
import pandas as pd

from spendsense_pipeline.features.meanings import CHECKING, CREDIT_CARD
from spendsense_pipeline.features.tables import MINIMUM_PAYMENT_SLACK
from spendsense_pipeline.insights.grouped import Groups
from spendsense_pipeline.insights.seen import Columns, Seen

POINT = 1.0  # percentage points between two rates that are worth an order
LEAST_OWED = 50.0  # US dollars; less is paid off before an order matters
LEAST_INTEREST = 5.0  # US dollars in 30 days
FALL_DAYS = 90
FALLEN = 0.10
FALLEN_BY = 100.0  # US dollars
LOAN_NAMES = {"mortgage": "mortgage", "student_loan": "student loan", "loan": "loan", "other": "loan"}


def past_due(seen: Seen) -> Columns:
    """The overdue card or loan that owes the most at once, unless its minimum was paid after the figures' day."""
    o = seen.owed
    o = o[o["overdue"]]
    came = seen.rows("account", "day", "amount", users=o["user"])
    at = pd.Index(o["account"]).get_indexer(came["account"])
    since = (at >= 0) & (came["amount"] > 0) & (came["day"] > o["stated"].to_numpy()[at] if len(o) else False)
    paid = np.bincount(at[since], came["amount"][since], len(o))
    o = o[~((paid > 0) & (paid >= o["minimum"]))]
    checking = seen.balance_of(CHECKING)
    card = o["held_as"] == CREDIT_CARD
    due = o["due"].where(o["due"] >= 0)
    holds = o["user"].map(checking["balance"])
    minimum = o["minimum"].where(o["minimum"] > 0)
    return {
        "user": o["user"],
        # Another payment that is missed is another happening; where no due date says which, each month is one.
        "key": due.fillna(seen.today // 31).astype("i8"),
        "happened": due.where(due <= seen.today).fillna(seen.today).astype("i8"),
        "expires": seen.today + 14,
        "card": o["last4"].where(card),
        "loan_name": o["liability"].map(LOAN_NAMES).where(~card),
        "minimum_payment": minimum,
        "owed": o["balance"].where(o["balance"] > 0),
        "due_on": due,
        "checking_balance": holds,
        "balance_on": o["user"].map(checking["balance_day"]),
        "fact": np.select([holds >= minimum, holds < minimum], ["can_pay", "cannot_pay"], "unknown"),
        "weight": minimum.fillna(0.0),
        "at_account": o["account"],
    }


def _owing(seen: Seen) -> pd.DataFrame:
    """Cards that owe, with a known rate."""
    o = seen.owed
    return o[(o["held_as"] == CREDIT_CARD) & (o["balance"] >= LEAST_OWED * seen.factor[o["user"]])]


def dearest_first(seen: Seen) -> Columns:
    """The card with the highest rate, beside the one that owes least."""
    o = _owing(seen)
    o = o.take(np.lexsort([o["account"], -o["balance"], -o["apr"], o["user"]]))
    of, apr = Groups.by(o["user"].to_numpy()), o["apr"].to_numpy()
    chosen = (of.size >= 2) & (of.total(np.isnan(apr)) == 0) & (apr[of.begin] - apr[of.last] >= POINT)
    behind = np.lexsort([o["account"], o["balance"], of.within() == 0, of.of])
    pairs, other = (o.take(each[chosen]).reset_index(drop=True) for each in (of.begin, behind[of.begin]))
    apart = (pairs["apr"] - other["apr"] >= POINT) & (pairs["last4"] != other["last4"])
    pairs, other = pairs[apart], other[apart]
    return {
        "user": pairs["user"],
        # Another order, or other rates.
        "key": ["/".join(map(str, each)) for each in zip(other["last4"], pairs["apr"], other["apr"], strict=True)],
        "happened": seen.today,
        "expires": seen.today + 31,
        "card": pairs["last4"],
        "owed": pairs["balance"],
        "yearly_rate": pairs["apr"],
        "other_card": other["last4"],
        "other_owed": other["balance"],
        "other_rate": other["apr"],
        "interest_month": pairs["balance"] * pairs["apr"] / 1200,
        "order_saves": np.minimum(pairs["balance"], other["balance"]) * (pairs["apr"] - other["apr"]) / 100,
        "at_account": pairs["account"],
    }


def minimum_only(seen: Seen) -> Columns:
    """The card with the largest balance that was last paid its minimum and not its statement."""
    o = seen.owed
    o = o[(o["held_as"] == CREDIT_CARD) & (o["balance"] > 0) & (o["paid"] > 0) & ~o["overdue"]]
    slack = MINIMUM_PAYMENT_SLACK * seen.factor[o["user"]]
    o = o[(o["paid"] <= o["minimum"] + slack + 1e-9) & (o["paid"] < o["statement"])]
    return {
        "user": o["user"],
        "key": o["paid"].round(2).astype(str),
        "happened": seen.today,
        "expires": seen.today + 31,
        "card": o["last4"],
        "owed": o["balance"],
        "last_payment": o["paid"],
        "minimum_payment": o["minimum"],
        "yearly_rate": o["apr"],
        "interest_month": o["balance"] * o["apr"] / 1200,
        "weight": o["balance"],
        "at_account": o["account"],
    }


def interest_paid(seen: Seen) -> Columns:
    """Interest of five dollars or more in 30 days."""
    short, long = seen.short, seen.long
    interest = short["interest_charges"]
    users = interest.index[interest >= LEAST_INTEREST * seen.factor[interest.index]]
    dearest = _owing(seen).sort_values(["user", "apr"], ascending=[True, False]).drop_duplicates("user")
    dearest = dearest[dearest["apr"].notna()].set_index("user")
    return {
        "user": users,
        "key": str(seen.today // 31),
        "happened": seen.today,
        "expires": seen.today + 31,
        "interest_paid": interest[users],
        "total_half_year": long["interest_charges"].reindex(users),
        "cost_yearly": interest[users].to_numpy() * 12,
        "card": dearest["last4"].reindex(users),
        "yearly_rate": dearest["apr"].reindex(users),
    }


def balance_falling(seen: Seen) -> Columns:
    """What all cards owe now against 90 days ago, by the rows in between."""
    cards = seen.balance_of(CREDIT_CARD)
    rows = seen.rows("user", "amount", days=FALL_DAYS, held_as=[CREDIT_CARD])
    moved = np.bincount(rows["user"], rows["amount"], len(seen.there))[cards.index]
    long_enough = seen.began[cards.index] <= seen.today - FALL_DAYS
    now = cards["balance"]
    before = now + moved
    chosen = long_enough & (moved >= FALLEN * before) & (moved >= FALLEN_BY * seen.factor[cards.index]) & (now >= 0)
    users = cards.index[chosen]
    return {
        "user": users,
        "key": str(seen.today // 31),
        "happened": seen.today,
        "expires": seen.today + 31,
        "owed": now[users].where(now[users] > 0),
        "amount_before": before[users],
        "difference": moved[chosen],
        "change_percent": moved[chosen] / before[users],
        "balance_on": cards["balance_day"][users],
    }
