"""Bills and days: what is due, what is missing, what is higher, and whether it lasts until payday.

Each function gives candidates: one row per customer and happening, with ``user``, ``key`` (what makes it the same
happening tomorrow, beside its stream, row or account), ``happened`` and ``expires`` (days), the figures by name, and
the streams, rows and accounts it rests on (``at_stream``, ``at_row``, ``at_account``). What does not belong here:
which of them is told (``choosing.py``).
"""

import numpy as np
import pandas as pd

from spendsense_pipeline.features.calendars import ANNUAL, CALENDARS, SEMI_ANNUAL
from spendsense_pipeline.features.columns import runs
from spendsense_pipeline.features.meanings import CHECKING
from spendsense_pipeline.features.tables import BILL, MATURE, SUBSCRIPTION
from spendsense_pipeline.insights.calendar import LATE_DAYS, next_paydays, upcoming
from spendsense_pipeline.insights.grouped import matching
from spendsense_pipeline.insights.seen import Columns, Seen, columns_of, frame_of, lists_of

DUE_DAYS = 14
RENEWAL_DAYS = 30
MISSING_DAYS = LATE_DAYS  # past the expected date; weekends and holidays move a bill by three at most
MISSED_AT_MOST = 25  # days; then it is not late but gone, and the stream says so
HIGHER = 1.25
HIGHER_BY = 10.0  # US dollars
LEAST_BEFORE = 3  # bills before it, to know what is usual
HIGHER_DAYS = 14
HALF = 0.5
LEAST_BILLS = 50.0  # US dollars due before payday that are worth a word
KINDS_OF_BILLS = {
    "RENT_AND_UTILITIES_RENT": "rent",
    "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY": "power bill",
    "RENT_AND_UTILITIES_WATER": "water bill",
    "RENT_AND_UTILITIES_TELEPHONE": "phone bill",
    "RENT_AND_UTILITIES_INTERNET_AND_CABLE": "internet bill",
    "RENT_AND_UTILITIES_SEWAGE_AND_WASTE_MANAGEMENT": "waste bill",
    "LOAN_PAYMENTS_MORTGAGE_PAYMENT": "mortgage payment",
    "LOAN_PAYMENTS_CAR_PAYMENT": "car payment",
    "LOAN_PAYMENTS_STUDENT_LOAN_PAYMENT": "student loan payment",
    "GENERAL_SERVICES_INSURANCE": "insurance payment",
    "GENERAL_SERVICES_CHILDCARE": "childcare bill",
}
"""What a bill is called where its payee cannot be named; the others are just bills."""
RARE = np.isin(np.arange(len(CALENDARS)), [ANNUAL, SEMI_ANNUAL])
MONTHLY_OR_RARER = np.array([each.monthly_factor <= 1.08 for each in CALENDARS])


def bill_due_soon(seen: Seen) -> Columns:
    """The largest bill of the next 14 days, and what all payments of those days come to."""
    due = upcoming(seen, DUE_DAYS)
    bills = due[(due["kind"] == BILL) & ~RARE[due["calendar"]]]
    bills = bills.sort_values(["user", "amount", "due"], ascending=[True, False, True])
    bills = bills.drop_duplicates("user")
    of = due.groupby("user")["amount"]
    total, checking = bills["user"].map(of.sum()), seen.balance_of(CHECKING)
    holds = bills["user"].map(checking["balance"])
    return {
        "user": bills["user"],
        "key": bills["due"],
        "happened": bills["due"],
        "expires": bills["due"],
        "payee": seen.names(bills["merchant"]),
        "bill_kind": _kinds(seen, bills["label"]),
        "amount": bills["amount"],
        "due_on": bills["due"],
        "days_until": bills["due"] - seen.today,
        "bill_count": bills["user"].map(of.size()),
        "bills_total": total,
        "checking_balance": holds,
        "balance_on": bills["user"].map(checking["balance_day"]),
        "after_bills": _positive(holds - total),
        "at_stream": bills["stream"],
    }


def bills_before_payday(seen: Seen) -> Columns:
    """What leaves checking before the next payday, where it is at least half of what lies there."""
    paydays, checking = next_paydays(seen), seen.balance_of(CHECKING)
    due = upcoming(seen, 31)
    due = due[due["held_as"] == CHECKING]
    due = due[due["due"] < due["user"].map(paydays["expected"])]
    of = due.groupby("user")
    frame = frame_of({"bills_total": of["amount"].sum(), "bill_count": of.size(), "at_stream": lists_of(due, "stream")})
    frame["user"] = frame.index
    frame["checking_balance"] = frame["user"].map(checking["balance"])
    frame["balance_on"] = frame["user"].map(checking["balance_day"])
    frame["next_payday"] = frame["user"].map(paydays["expected"])
    frame["days_until"] = frame["next_payday"] - seen.today
    known = frame["checking_balance"] >= 0
    frame = frame[
        known
        & (frame["bills_total"] >= HALF * frame["checking_balance"])
        & (frame["bills_total"] >= LEAST_BILLS * seen.factor[frame["user"]])
        & (frame["days_until"] > 0)
    ].copy()
    frame["after_bills"] = _positive(frame["checking_balance"] - frame["bills_total"])
    frame["shortfall"] = _positive(frame["bills_total"] - frame["checking_balance"])
    frame["severity"] = np.where(frame["bills_total"] > frame["checking_balance"], "urgent", "notable")
    frame["key"] = frame["next_payday"]
    frame["happened"], frame["expires"] = seen.today, frame["next_payday"]
    return columns_of(frame)


def bill_higher_than_usual(seen: Seen) -> Columns:
    """The last bill against the median of those before it; a fixed price that stepped is a price rise instead."""
    s = seen.streams
    s = s[(s["kind"] == BILL) & (s["status"] == MATURE) & (seen.today - s["last"] < HIGHER_DAYS)]
    s = s[(s["occurrences"] > LEAST_BEFORE) & ~(s["fixed"] & (s["changed_on"] == s["last"]))].copy()
    counted = seen.evidence.counted
    of, at = runs(s["first_hit"].to_numpy(), s["occurrences"].to_numpy() - 1)
    s["usual"] = pd.Series(-counted["amount"][at]).groupby(of).median().to_numpy()
    s["amount"] = -s["last_amount"]
    s["difference"] = s["amount"] - s["usual"]
    s = s[(s["amount"] >= HIGHER * s["usual"]) & (s["difference"] >= HIGHER_BY * seen.factor[s["user"]])]
    return {
        "user": s["user"],
        "key": s["last"],
        "happened": s["last"],
        "expires": s["last"] + 21,
        "payee": seen.names(s["merchant"]),
        "bill_kind": _kinds(seen, s["label"]),
        "amount": s["amount"],
        "amount_usual": s["usual"],
        "difference": s["difference"],
        "change_percent": s["difference"] / s["usual"],
        "happened_on": s["last"],
        "weight": s["difference"],
        "at_stream": s["stream"],
        "at_row": s["number"],
    }


def bill_missing(seen: Seen) -> Columns:
    """A bill that did not come, though later rows did: not paid to the payee, nor its amount under another name."""
    s = seen.streams
    s = s[(s["kind"] == BILL) & (s["status"] == MATURE) & ~s["inflow"] & MONTHLY_OR_RARER[s["calendar"]]]
    late = (seen.newest[s["user"]] - s["expected"] >= MISSING_DAYS) & (seen.today - s["expected"] <= MISSED_AT_MOST)
    s = s[late]
    if len(s):
        rows = seen.rows("user", "payee", "day", "cents", "amount", days=2 * MISSED_AT_MOST, users=s["user"])
        of, at = matching(s["user"].to_numpy(), rows["user"])
        payee, day, cents, amount = (rows[name][at] for name in ("payee", "day", "cents", "amount"))
        near = (amount < 0) & (day >= s["expected"].to_numpy()[of] - 10)
        same = (payee == s["payee"].to_numpy()[of]) | (cents == np.rint(-100 * s["last_amount"].to_numpy())[of])
        s = s[np.bincount(of, near & same, len(s)) == 0]
    return {
        "user": s["user"],
        "key": s["expected"],
        "happened": s["expected"],
        "expires": s["expected"] + MISSED_AT_MOST,
        "payee": seen.names(s["merchant"]),
        "bill_kind": _kinds(seen, s["label"]),
        "amount": -s["typical"],
        "due_on": s["expected"],
        "days_since": seen.today - s["expected"],
        "weight": -s["typical"],
        "at_stream": s["stream"],
    }


def annual_renewal_ahead(seen: Seen) -> Columns:
    """A yearly or half-yearly charge in the next 30 days."""
    due = upcoming(seen, RENEWAL_DAYS)
    due = due[RARE[due["calendar"]] & due["kind"].isin([BILL, SUBSCRIPTION])]
    return {
        "user": due["user"],
        "key": due["due"],
        "happened": due["due"],
        "expires": due["due"],
        "payee": seen.names(due["merchant"]),
        "amount": due["amount"],
        "due_on": due["due"],
        "days_until": due["due"] - seen.today,
        "weight": due["amount"],
        "at_stream": due["stream"],
    }


def _kinds(seen: Seen, labels: pd.Series) -> list[str | None]:
    return [KINDS_OF_BILLS.get(label or "") for label in seen.labels(labels)]


def _positive(amount: pd.Series) -> pd.Series:
    return amount.where(amount > 0)
