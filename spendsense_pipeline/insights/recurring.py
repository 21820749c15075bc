"""What repeats: new services, trials that ended, prices that rose, charges that came twice, two services for one thing.

Candidates as in ``bills.py``. What does not belong here: which of them is told (``choosing.py``).
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from spendsense_pipeline.features.columns import runs
from spendsense_pipeline.features.meanings import KIND_OTHER_OUT, KIND_REFUND, SERVICE_PEER, TO_PERSON
from spendsense_pipeline.features.tables import BILL, INACTIVE, MATURE, SUBSCRIPTION
from spendsense_pipeline.insights.grouped import Groups, matching
from spendsense_pipeline.insights.seen import Array, Columns, Seen, frame_of, pairs_of

PRICE_DAYS = 45
LEAST_RISE = 0.01  # docs/signals.md: a step of more than one percent
LEAST_RISE_BY = 0.50  # US dollars
MOST_FALLS = 0.25  # of the payments before
CENT = 0.01
NEW_DAYS = 100  # three monthly hits
KNOWN_BEFORE = 45  # days of history without it, so that it is new and not only newly seen
TRIAL_DAYS = 35
TRIAL_SHARE = 0.35
MOST_INTRODUCTORY = 3  # docs/signals.md: charges before a price may rise by more than a factor of three
TRIAL_TOLD_DAYS = 75  # a stream takes two charges of the price to be one
DUPLICATE_DAYS = 3
DUPLICATE_TOLD_DAYS = 31
LEAST_DUPLICATE = 5.0  # US dollars; below it people buy the same thing twice
HABIT_DAYS = 180
MIXING = np.int64(0x9E3779B1)  # odd and large, so that products of different payees lie apart
OTHERS = 2  # pairs of other amounts at the payee that make it a habit
AGAIN_DAYS = 14  # a subscription comes again after more, a habit before
HABITS = ("FOOD_AND_DRINK_COFFEE", "FOOD_AND_DRINK_VENDING_MACHINES", "TRANSPORTATION", "BANK_FEES", "TRAVEL")
"""Categories in which equal amounts on neighbouring days are how one buys."""
TICKETS = "ENTERTAINMENT"
"""Likewise, but where the payee is subscribed to: seats and games are bought one by one."""
SENT = "TRANSFER_OUT"
"""Nobody charges what a customer sends."""
PURPOSES = {
    "ENTERTAINMENT_MUSIC_AND_AUDIO": "music",
    "ENTERTAINMENT_TV_AND_MOVIES": "films and series",
    "ENTERTAINMENT_VIDEO_GAMES": "games",
    "PERSONAL_CARE_GYMS_AND_FITNESS_CENTERS": "fitness",
    "GENERAL_MERCHANDISE_BOOKSTORES_AND_NEWSSTANDS": "news and reading",
    "GENERAL_SERVICES_STORAGE": "storage",
}


def price_rise(seen: Seen) -> Columns:
    """A fixed price that stepped up within 45 days, of a payment that hardly ever fell: one that goes up and down is
    metered or in another currency, however little."""
    s = seen.streams
    s = s[s["kind"].isin([SUBSCRIPTION, BILL]) & (s["status"] == MATURE) & s["fixed"] & (s["change"] > LEAST_RISE)]
    s = s[seen.today - s["changed_on"] < PRICE_DAYS]
    before, now = -s["before"], -s["last_amount"]
    rise = now - before
    s = s[(rise >= LEAST_RISE_BY * seen.factor[s["user"]]) & (before > TRIAL_SHARE * now)]  # else a trial ended
    s = s[_falls(seen, s) <= MOST_FALLS]
    before, now, rise = before[s.index], now[s.index], rise[s.index]
    return {
        "user": s["user"],
        "key": s["changed_on"],
        "happened": s["changed_on"],
        "expires": s["changed_on"] + PRICE_DAYS,
        "payee": seen.names(s["merchant"]),
        "amount_before": before,
        "amount": now,
        "difference": rise,
        "change_percent": rise / before,
        "difference_yearly": s["monthly"] * rise / now * 12,
        "happened_on": s["changed_on"],
        "weight": s["monthly"] * rise / now,
        "at_stream": s["stream"],
        "at_row": s["number"],
    }


def _falls(seen: Seen, s: pd.DataFrame) -> Array:
    """Of each stream's payments before its price stepped up, the share that were lower than the one before."""
    counted = seen.evidence.counted
    stream, hit = runs(s["first_hit"].to_numpy(), s["occurrences"].to_numpy())
    stream, hit = (each[counted["day"][hit] < s["changed_on"].to_numpy()[stream]] for each in (stream, hit))
    moved = stream[1:] == stream[:-1]
    fell = moved & (counted["amount"][hit[1:]] - counted["amount"][hit[:-1]] >= CENT / 2)
    moves, falls = (np.bincount(stream[1:][each], minlength=len(s)) for each in (moved, fell))
    return falls / np.maximum(moves, 1)


def new_recurring(seen: Seen) -> Columns:
    """A subscription that began within 100 days, at a payee without an earlier row."""
    s = seen.streams
    s = s[(s["kind"] == SUBSCRIPTION) & (s["status"] != INACTIVE) & (seen.today - s["first"] <= NEW_DAYS)]
    s = s[(s["first"] - seen.began[s["user"]] >= KNOWN_BEFORE) & (seen.today - s["last"] <= 31)]
    if len(s):
        rows = seen.rows("user", "payee", "day", users=s["user"])
        mine = frame_of({"pair": pairs_of(rows), "day": rows["day"]})
        mine = mine[mine["pair"].isin(pairs_of(s))]
        first_row = mine.groupby("pair")["day"].min().reindex(pairs_of(s)).to_numpy()
        s = s[first_row >= s["first"] - TRIAL_DAYS]
    return {
        "user": s["user"],
        "key": s["first"],
        "happened": s["first"],
        "expires": s["first"] + NEW_DAYS,
        "payee": seen.names(s["merchant"]),
        "amount": -s["last_amount"],
        "cost_yearly": s["monthly"] * 12,
        "since_on": s["first"],
        "due_on": s["expected"].where(s["expected"] > seen.today),
        "weight": s["monthly"],
        "at_stream": s["stream"],
    }


def trial_became_paid(seen: Seen) -> Columns:
    """A subscription of which a third of the price or less was paid before its first whole charge: as its first hits,
    or in a row of the payee that is none, in the five weeks before."""
    s = seen.streams
    s = s[(s["kind"] == SUBSCRIPTION) & (s["status"] != INACTIVE)]
    begins, first = s["first_hit"].to_numpy(), s["first"].to_numpy()
    whole = begins + _introductory(seen, s)
    inside = np.flatnonzero(whole > begins)
    began = np.flatnonzero(seen.today - first <= TRIAL_TOLD_DAYS)
    columns, days = ("user", "payee", "day", "amount", "number"), TRIAL_TOLD_DAYS + TRIAL_DAYS + 1
    rows = seen.rows(*columns, days=days, kinds=[KIND_OTHER_OUT], users=s["user"].to_numpy()[began])
    order = np.argsort(pairs_of(rows), kind="stable")
    of, at = matching(pairs_of(s)[began], pairs_of(rows)[order])
    at = order[at]
    ahead = first[began[of]] - rows["day"][at]
    of, at = (each[(ahead > 0) & (ahead <= TRIAL_DAYS)] for each in (of, at))
    beside = began[of]
    counted = seen.evidence.counted
    found = s.take(np.append(inside, beside)).assign(
        trial=-np.append(counted["amount"][whole - 1][inside], rows["amount"][at]),
        trial_number=np.append(counted["number"][whole - 1][inside], rows["number"][at]),
        paid=np.append(counted["day"][whole][inside], first[beside]),
    )
    small = found["trial"] <= TRIAL_SHARE * -found["typical"]
    found = found[small & (seen.today - found["paid"] <= TRIAL_TOLD_DAYS)].drop_duplicates("stream")
    return {
        "user": found["user"],
        "key": found["paid"],
        "happened": found["paid"],
        "expires": found["paid"] + TRIAL_TOLD_DAYS,
        "payee": seen.names(found["merchant"]),
        "amount_before": found["trial"],
        "amount": -found["last_amount"],
        "cost_yearly": found["monthly"] * 12,
        "since_on": found["paid"],
        "weight": found["monthly"],
        "at_stream": found["stream"],
        "at_row": found["trial_number"],
    }


def _introductory(seen: Seen, s: pd.DataFrame) -> Array:
    """Of each stream's hits, how many from the first on were a third of its price or less; not the last."""
    amount, price = seen.evidence.counted["amount"], -s["typical"].to_numpy()
    first, last = s["first_hit"].to_numpy(), (s["first_hit"] + s["occurrences"]).to_numpy() - 1
    small = np.zeros(len(s), "i8")
    for hit in range(MOST_INTRODUCTORY):
        at = np.minimum(first + hit, last)
        small += (small == hit) & (at < last) & (-amount[at] <= TRIAL_SHARE * price)
    return small


def duplicate_charge(seen: Seen) -> Columns:
    """Two charges of one payee within three days, equal to the cent: not a habit there, and not given back."""
    columns = ("user", "day", "cents", "payee", "number")
    rows = seen.rows(*columns, days=DUPLICATE_TOLD_DAYS + DUPLICATE_DAYS, kinds=[KIND_OTHER_OUT])
    pair, cents = pairs_of(rows), rows["cents"]
    large = np.flatnonzero((cents >= LEAST_DUPLICATE * 100 * seen.factor[rows["user"]]) & (rows["payee"] >= 0))
    # Two that are alike have one number, and rarely do others: few are left to be sorted, which tells them apart.
    alike = large[pd.Series(pair[large] * MIXING + cents[large]).duplicated(keep=False).to_numpy()]
    recent = frame_of({name: each[alike] for name, each in {"pair": pair, **rows}.items()})
    recent = recent.sort_values(["pair", "cents", "day", "number"])
    keys = recent[["pair", "cents"]].to_numpy()
    same = np.zeros(len(recent), bool)
    if len(recent):
        same[1:] = (keys[1:] == keys[:-1]).all(axis=1)
    near = same & (recent["day"].diff().fillna(99).to_numpy() <= DUPLICATE_DAYS)
    second = recent[near & (recent["day"].to_numpy() > seen.today - DUPLICATE_TOLD_DAYS)]
    second = second.assign(first_number=recent["number"].shift()[second.index].astype("i8"))
    subscribed = second["pair"].isin(pairs_of(seen.streams[seen.streams["kind"] == SUBSCRIPTION]))
    number = second["number"].to_numpy()
    told, label = seen.told(number), seen.evidence.said.label[seen.said(number)]
    habits, tickets, sent = (seen.labelled(label, each) for each in (HABITS, TICKETS, SENT))
    sent |= told & (TO_PERSON | SERVICE_PEER) != 0
    second = second[~habits & ~(tickets & ~subscribed) & ~sent]
    if len(second):
        kinds, users = [KIND_OTHER_OUT, KIND_REFUND], second["user"]
        rows = seen.rows("user", "day", "cents", "kind", "payee", days=HABIT_DAYS, kinds=kinds, users=users)
        there = frame_of({"pair": pairs_of(rows), **rows})
        there = there[there["pair"].isin(second["pair"])]
        out, back = there[there["kind"] == KIND_OTHER_OUT], there[there["kind"] == KIND_REFUND]
        second = second[~_habits(second, out)]
        second = second[~_given_back(second, back)]
    return {
        "user": second["user"],
        "key": second["day"],
        "happened": second["day"],
        "expires": second["day"] + DUPLICATE_TOLD_DAYS,
        "payee": seen.names(seen.read("merchant", second["number"].to_numpy())),
        "amount": second["cents"] / 100,
        "happened_on": second["day"],
        "weight": second["cents"] / 100,
        "at_row": [list(pair) for pair in zip(second["first_number"], second["number"], strict=True)],
    }


def _habits(second: pd.DataFrame, out: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether equal charges within two weeks are how the customer pays there: the same amount came so on other days
    too, or several others did."""
    out = out.sort_values(["pair", "cents", "day"])
    pair, cents, day = (out[name].to_numpy() for name in ("pair", "cents", "day"))
    again = np.flatnonzero((np.diff(pair) == 0) & (np.diff(cents) == 0) & (np.diff(day) <= AGAIN_DAYS)) + 1
    of, at = matching(second["pair"].to_numpy(), pair[again])
    at = again[at]
    apart = np.abs(second["day"].to_numpy()[of] - day[at]) > DUPLICATE_DAYS
    equal = apart & (second["cents"].to_numpy()[of] == cents[at])
    several, as_much = (np.bincount(of, each, len(second)) for each in (apart, equal))
    return np.asarray((as_much > 0) | (several >= OTHERS))


def _given_back(second: pd.DataFrame, back: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether the payee gave the amount back since."""
    back = back.sort_values("pair")
    of, at = matching(second["pair"].to_numpy(), back["pair"].to_numpy())
    since = back["day"].to_numpy()[at] >= second["day"].to_numpy()[of] - DUPLICATE_DAYS
    equal = back["cents"].to_numpy()[at] == second["cents"].to_numpy()[of]
    return np.asarray(np.bincount(of, since & equal, len(second)) > 0)


def two_of_a_kind(seen: Seen) -> Columns:
    """The two dearest active subscriptions that are for one purpose."""
    s = seen.streams
    s = s[(s["kind"] == SUBSCRIPTION) & (s["status"] == MATURE)]
    purposes = sorted(set(PURPOSES.values()))
    labels = [PURPOSES.get(label or "") for label in seen.evidence.said.labels]
    number = np.array([-1 if each is None else purposes.index(each) for each in labels] + [-1])[s["label"]]
    s = s.assign(purpose=number)[number >= 0]
    s = s.take(np.lexsort([-s["monthly"], -s["purpose"], -s["user"]]))
    s = s.drop_duplicates(["user", "purpose", "payee"])
    of = Groups.by(s["user"].to_numpy(), s["purpose"].to_numpy())
    first = of.begin[of.size > 1]
    pairs, other = (s.take(each).reset_index(drop=True) for each in (first, first + 1))
    names, began = [purposes[each] for each in pairs["purpose"]], np.maximum(pairs["first"], other["first"])
    monthly = pairs["monthly"] + other["monthly"]
    return {
        "user": pairs["user"],
        "key": [f"{name}/{day}" for name, day in zip(names, began, strict=True)],
        "happened": began,
        "expires": seen.today + 31,
        "purpose_name": names,
        "payee": seen.names(pairs["merchant"]),
        "other_payee": seen.names(other["merchant"]),
        "amount": pairs["monthly"],
        "other_amount": other["monthly"],
        "total": monthly,
        "cost_yearly": 12 * monthly,
        "weight": monthly,
        "at_stream": [list(each) for each in zip(pairs["stream"], other["stream"], strict=True)],
    }
