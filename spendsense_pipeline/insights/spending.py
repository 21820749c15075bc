"""Spending: a category far above its own usual, fixed costs, more out than in, a card that is not linked, cash.

Candidates as in ``bills.py``. What does not belong here: which of them is told (``choosing.py``).
"""

import numpy as np
import pandas as pd

from spendsense_pipeline.features.meanings import (
    CHECKING,
    CREDIT_CARD,
    KIND_CARD_PAYMENT,
    KIND_CASH_WITHDRAWAL,
    KIND_OTHER_OUT,
    KIND_REFUND,
    OTHER,
    SAVINGS,
)
from spendsense_pipeline.insights.seen import Array, Columns, Seen, frame_of, lists_of

BLOCK = 30  # days
BLOCKS = 5  # before the last one
ABOVE_USUAL = 2.0
ABOVE_ALL = 1.25
ABOVE_BY = 100.0  # US dollars
MONTHS_AT_PAYEE = 4  # of the five before, in which something was spent there
HALF = 0.5
LEAST_CASH = 100.0  # US dollars in 30 days
ABOVE_INCOME = 1.05
LEAST_SHORT = 25.0  # US dollars a month
DAYS = 180
HALF_YEAR = 150  # days of history that speak for 180
SPENT = (KIND_OTHER_OUT, KIND_REFUND)
FROM = (CHECKING, SAVINGS, CREDIT_CARD, OTHER)
GROUPS = {
    "FOOD_AND_DRINK_GROCERIES": "groceries",
    "FOOD_AND_DRINK": "eating and drinking out",
    "GENERAL_MERCHANDISE": "shopping",
    "ENTERTAINMENT": "entertainment",
    "TRANSPORTATION": "getting around",
    "TRAVEL": "travel",
    "HOME_IMPROVEMENT": "the home",
    "PERSONAL_CARE": "personal care",
    "GENERAL_SERVICES_AUTOMOTIVE": "the car",
    "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY": "energy",
}
"""Plain words by category, the longest prefix first; what is owed by date, moved or private is not spoken of."""


def _group(label: str | None) -> str | None:
    return next((name for prefix, name in GROUPS.items() if (label or "").startswith(prefix)), None)


def unusual_spending(seen: Seen) -> Columns:
    """The last 30 days of a category beside the five such months before; where none stands out, of a payee, unless the
    money only went there instead of to others of its category."""
    groups = list(dict.fromkeys(GROUPS.values()))
    labels = seen.evidence.said.labels
    number = np.array([groups.index(name) if (name := _group(label)) else -1 for label in labels] + [-1], "i8")
    known = np.flatnonzero(_long_enough(seen))
    if not len(known):
        return {"user": known}
    columns, days = ("user", "day", "amount", "label", "number"), BLOCK * (BLOCKS + 1)
    rows = frame_of(seen.rows(*columns, days=days, kinds=SPENT, held_as=FROM, users=known))
    rows = rows.assign(group=number[rows.pop("label").to_numpy()])
    rows = rows[rows["group"] >= 0]
    of_group = rows["user"].to_numpy() * len(groups) + rows["group"].to_numpy()
    every = _blocks(seen, rows, of_group, len(seen.users) * len(groups))
    category = every[_far_above(seen, every)]
    payee = _blocks(seen, *_much_of_late(seen, rows, category["user"]))
    payee = payee[_far_above(seen, payee) & (payee["months"] >= MONTHS_AT_PAYEE)]
    more = every["difference"].to_numpy()[payee["user"] * len(groups) + payee["group"]]
    payee = payee[more >= HALF * payee["difference"]]
    named = np.array(seen.names(seen.read("merchant", payee["payee_row"].to_numpy())), object)
    payee = payee.assign(payee=pd.Series(named, payee.index, dtype="object"), fact="payee")
    found = pd.concat([category.assign(payee=None, fact="category"), payee], ignore_index=True)
    names = [groups[each] for each in found["group"]]
    return {
        **found,
        "category_name": names,
        "key": [
            f"{payee if isinstance(payee, str) else name}/{seen.today // 31}"
            for payee, name in zip(found["payee"], names, strict=True)
        ],
        "happened": seen.today,
        "expires": seen.today + 31,
        "weight": found["difference"],
    }


def _blocks(seen: Seen, rows: pd.DataFrame, place: Array, places: int) -> pd.DataFrame:
    """By place, of so many: ``user``, ``group`` and ``payee_row`` of its newest row; ``amount`` of the last 30 days,
    ``amount_usual`` and ``most`` of the five such months before, in how many ``months`` of them there was any, and the
    ``difference`` to the usual. Without a row there all amounts are 0; without any there are no places."""
    places = places if len(rows) else 0
    block = (seen.today - rows["day"].to_numpy()) // BLOCK
    spent = np.bincount(place * (BLOCKS + 1) + block, -rows["amount"].to_numpy(), places * (BLOCKS + 1))
    now, before = np.split(spent.reshape(places, BLOCKS + 1), [1], axis=1)
    ordered = np.sort(before, axis=1)
    last = np.zeros(places, "i8")
    last[place] = np.arange(len(rows))  # of several the last stays
    of_last = rows[["user", "group", "number"]].take(last)
    return of_last.reset_index(drop=True).rename(columns={"number": "payee_row"}).assign(
        amount=now[:, 0], amount_usual=ordered[:, BLOCKS // 2], most=ordered[:, -1],
        months=(before > 0).sum(axis=1), difference=now[:, 0] - ordered[:, BLOCKS // 2],
    )  # fmt: skip


def _much_of_late(seen: Seen, rows: pd.DataFrame, told: pd.Series) -> tuple[pd.DataFrame, Array, int]:
    """The rows of payees at whom so much was spent in the last 30 days as can stand out, of customers who are not
    ``told`` of a category; and by row the place of its customer and payee, and how many places there are."""
    rows = rows[~np.isin(np.arange(len(seen.users)), told)[rows["user"]]]
    payee, amount = seen.read("payee", rows["number"].to_numpy()), rows["amount"].to_numpy()
    pair = rows["user"].to_numpy() << 32 | payee
    late = (seen.today - rows["day"].to_numpy() < BLOCK) & (payee >= 0)
    place, pairs = pd.factorize(pair[late])
    spent = np.bincount(place, -amount[late], len(pairs))
    much = np.sort(pairs[spent >= ABOVE_BY * seen.factor[pairs >> 32]])
    place = pd.Index(much).get_indexer(pair)
    return rows[place >= 0], place[place >= 0], len(much)


def _long_enough(seen: Seen) -> Array:
    """By customer whether there is a last month and five before."""
    return np.asarray(seen.there & (seen.began <= seen.today - BLOCK * (BLOCKS + 1)))


def _far_above(seen: Seen, blocks: pd.DataFrame) -> pd.Series:
    """Which of them are twice their usual and above all months, of customers with a history that long."""
    user = blocks["user"].to_numpy("i8")
    return pd.Series(
        _long_enough(seen)[user]
        & (blocks["amount_usual"] > 0)
        & (blocks["amount"] >= ABOVE_USUAL * blocks["amount_usual"])
        & (blocks["amount"] >= ABOVE_ALL * blocks["most"])
        & (blocks["difference"] >= ABOVE_BY * seen.factor[user])
    )


def fixed_costs_high(seen: Seen) -> Columns:
    """Bills, and least payments on cards, above half of what comes in."""
    long = seen.long
    o = seen.owed
    o = o[(o["held_as"] == CREDIT_CARD) & (o["balance"] > 0)]
    least = o.groupby("user")["minimum"].sum().reindex(long.index).fillna(0.0)
    fixed, income = long["monthly_bills"] + least, long["regular_income"]
    users = long.index[(fixed > HALF * income) & (income > 0) & (long["history_days"] >= 90)]
    left = (income - fixed)[users]
    return {
        "user": users,
        "key": str(seen.today // 92),
        "happened": seen.today,
        "expires": seen.today + 31,
        "fixed_monthly": fixed[users],
        "income_monthly": income[users],
        "income_share": (fixed / income)[users],
        "left_monthly": left.where(left > 0),
    }


def spending_above_income(seen: Seen) -> Columns:
    """A twentieth more out than in, a month, over 180 days; never over 30, for pay may be irregular.

    What lies in checking and savings, less what cards owe, must have gone down by half of that at least: where it did
    not, money came in that is no regular income.
    """
    long = seen.long
    income, spent = long["regular_income"], long["avg_monthly_expenses"]
    short = spent - income
    users = long.index[
        (spent >= ABOVE_INCOME * income)
        & (short >= LEAST_SHORT * seen.factor[long.index])
        & (income > 0)
        & (long["history_days"] >= HALF_YEAR)
    ]
    moved = seen.rows("user", "amount", days=DAYS, held_as=[CHECKING, SAVINGS, CREDIT_CARD], users=users)
    gone = -np.bincount(moved["user"], moved["amount"], len(seen.there))[users]
    users = users[gone >= HALF * DAYS / 30 * short[users]]
    return {
        "user": users,
        "key": str(seen.today // 92),
        "happened": seen.today,
        "expires": seen.today + 31,
        "spending_monthly": spent[users],
        "income_monthly": income[users],
        "difference": short[users],
        "total_half_year": 6 * short[users],
    }


def card_not_linked(seen: Seen) -> Columns:
    """A card that was paid in the last 30 days and is not among the accounts."""
    short = seen.short
    paid = short["unlinked_card_payments"]
    users = short.index[(short["unlinked_cards"] > 0) & (paid > 0)]
    rows = frame_of(seen.rows("user", "day", "amount", days=BLOCK, kinds=[KIND_CARD_PAYMENT]))
    of = rows[rows["amount"] < 0].groupby("user")
    # Which payment went to which card is known where all of them went to cards that are not linked.
    alone = (of["amount"].sum().reindex(users) + paid[users]).abs() < 0.005
    return {
        "user": users,
        "key": str(seen.today // 92),
        "happened": seen.today,
        "expires": seen.today + 31,
        "amount": paid[users],
        "total_half_year": seen.long["unlinked_card_payments"].reindex(users),
        "happened_on": of["day"].max().reindex(users).where(alone),
    }


def cash_withdrawals(seen: Seen) -> Columns:
    """Half of what was spent in 30 days, or more, was taken out in cash; where a card that is not linked was paid, what
    was spent is not known."""
    short = seen.short
    short = short[short["unlinked_card_payments"].fillna(0.0) == 0]
    rows = frame_of(seen.rows("user", "day", "amount", "number", days=BLOCK, kinds=[KIND_CASH_WITHDRAWAL]))
    of = rows.groupby("user")
    cash = -of["amount"].sum()
    spent = short["total_spend"].reindex(cash.index)
    users = cash.index[(cash >= HALF * spent) & (cash >= LEAST_CASH * seen.factor[cash.index])]
    last = of["day"].max().reindex(users).to_numpy()
    return {
        "user": users,
        "key": str(seen.today // 92),
        "happened": last,
        "expires": last + 31,
        "amount": cash[users],
        "withdrawal_count": of.size().reindex(users),
        "cash_share": (cash / spent).clip(upper=1.0)[users],
        "happened_on": last,
        "at_row": lists_of(rows, "number").reindex(users),
    }
