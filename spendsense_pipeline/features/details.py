"""What stands behind one customer's figures on a date, for a person who asks.

The rows, payers and accounts that ``signals.py`` looked at, by the same functions. What does not belong here: any
definition of a signal.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from spendsense_pipeline.features import tables
from spendsense_pipeline.features.compiled import is_compiled
from spendsense_pipeline.features.customers import FEE_DAYS
from spendsense_pipeline.features.descriptors import Payees
from spendsense_pipeline.features.meanings import (
    ACCOUNT_CLASSES,
    CREDIT_CARD,
    KIND_FEE,
    KIND_INTEREST_CHARGED,
    KIND_PAYCHECK,
    KIND_REFUND,
    KINDS,
)
from spendsense_pipeline.features.pay import EVIDENCE_DAYS, FREQUENCIES, find_paydays, judge_payers
from spendsense_pipeline.features.signals import (
    EPOCH,
    NOBODY,
    Customers,
    Evidence,
    Signals,
    charged_in,
    evidence_of,
    streams_on,
    tables_of,
)

Record = dict[str, Any]


class Details(NamedTuple):
    """``signals`` of the date, and what they rest on; each a list of records, amounts positive = money in.

    ``begins``: by window the day before its first one. ``rows``: transaction_id, account_id, date, amount,
    merchant, kind, penalty · ``subscriptions``: stream_id, monthly_cost and, by window, charged_30 … and counted_30
    … · ``accounts``: last4, account_class, balance, credit_limit, utilization, moved_30 … and what a liability
    states · ``payers``: payer, window_days, paydays, frequency, usual, days_open, in_window, variability, monthly ·
    ``paychecks``: window_days, date, amount, merchant, payer, in_window.
    """

    signals: Signals
    begins: dict[int, dt.date]
    rows: list[Record]
    subscriptions: list[Record]
    accounts: list[Record]
    payers: list[Record]
    paychecks: list[Record]


def details_of(customer: Customers, as_of: dt.date, windows: Sequence[int], payees: Payees = NOBODY) -> Details:
    """Look at one customer's tables. Only where kernels run as plain Python: they leave what they found lying."""
    if is_compiled():
        raise RuntimeError("details are read from kernels that run as plain Python")
    e = evidence_of(customer, [(as_of - EPOCH).days], list(dict.fromkeys(windows)), payees)
    rows = _rows(e, customer)
    payers = [one for window in e.windows for one in _payers(e, len(rows), window)]
    begins = {window: window_begins(e, window) for window in e.windows}
    return Details(
        tables_of(e), begins, rows, _subscriptions(e), _accounts(e, customer, rows), payers, _paychecks(e, rows)
    )


def _date(day: int) -> dt.date:
    return EPOCH + dt.timedelta(days=int(day))


def window_begins(e: Evidence, window: int) -> dt.date:
    """The day before the first one of a window: of the history, where that is shorter."""
    first = int(e.figures[0]["first_day"][0]) if len(e.users) else 0
    return _date(max(e.dates[0] - window, first - 1))


def _rows(e: Evidence, customer: Customers) -> list[Record]:
    count = int(e.figures[0]["rows"][0]) if len(e.users) else 0
    ids = customer.transactions["transaction_id"]
    return [
        {
            "transaction_id": ids[int(e.rows.place[row.number])].as_py(),
            "account_id": e.held.account_id[row.account].as_py(),
            "date": _date(row.day),
            "amount": row.amount,
            "payee": e.said.texts[row.payee] if row.payee >= 0 else "",
            "merchant": e.said.displays[row.merchant] if row.merchant >= 0 else None,
            "kind": KINDS[row.kind],
            "penalty": bool(row.penalty),
        }
        for row in e.rooms.rows[:count]
    ]


def penalties(rows: Sequence[Record], as_of: dt.date) -> list[Record]:
    """Rows of interest charged (``interest``), and of fees, given back or not, in 180 days (``fee``)."""
    since = as_of - dt.timedelta(days=FEE_DAYS)
    fees = (KINDS[KIND_FEE], KINDS[KIND_REFUND])
    marked = [
        {
            **row,
            "interest": row["kind"] == KINDS[KIND_INTEREST_CHARGED],
            "fee": row["penalty"] and row["kind"] in fees and row["date"] > since,
        }
        for row in rows
    ]
    return [row for row in marked if row["interest"] or row["fee"]]


def _subscriptions(e: Evidence) -> list[Record]:
    stand = streams_on(e, 0, tables.factors_of(e.held, e.on[0]))
    active = tables.active_subscriptions(stand)
    stream_ids = e.texts.stream_id.take(pa.array(stand.place[active]))
    cost, lines = tables.monthly_cost(stand.s, active), []
    charged = charged_in(e, stand.s, active, e.dates[0])
    reported = {
        window: (charged[:, w], tables.is_reported(stand, active, charged[:, w], e.dates[0], window))
        for w, window in enumerate(e.windows)
    }
    for place, stream_id in enumerate(stream_ids.to_pylist()):
        line: Record = {"stream_id": stream_id, "monthly_cost": float(cost[place])}
        for window, (charges, counted) in reported.items():
            line[f"charged_{window}"] = None if np.isnan(charges[place]) else float(charges[place])
            line[f"counted_{window}"] = bool(counted[place])
        lines.append(line)
    return lines


def _accounts(e: Evidence, customer: Customers, rows: Sequence[Record]) -> list[Record]:
    on, today = e.on[0], e.dates[0]
    stated = {
        row["account_id"]: row
        for row in customer.liabilities.to_pylist()
        if row["balance_date"] is None or (row["balance_date"] - EPOCH).days <= today
    }
    names = ("minimum_payment_amount", "last_payment_amount", "last_statement_balance", "is_overdue")
    accounts = []
    for place in np.flatnonzero(on.counts):
        account, balance, limit = e.held.account_id[place].as_py(), float(on.balance[place]), float(e.held.limit[place])
        card = e.held.held_as[place] == CREDIT_CARD and not np.isnan(balance) and not np.isnan(limit)
        one: Record = {
            "last4": account[-4:],
            "account_class": ACCOUNT_CLASSES[e.held.held_as[place]],
            "balance": None if np.isnan(balance) else balance,
            "credit_limit": None if np.isnan(limit) else limit,
            "utilization": max(balance, 0.0) / limit if card else None,
            **{name: stated.get(account, {}).get(name) for name in names},
        }
        own = [row for row in rows if row["account_id"] == account]
        for window in e.windows:
            since = window_begins(e, window)
            moved = [row["amount"] for row in own if row["date"] > since]
            one[f"moved_{window}"] = sum(moved) if own and moved else None
        accounts.append(one)
    return sorted(accounts, key=lambda one: str(one["last4"]))


def _payers(e: Evidence, count: int, window: int) -> list[Record]:
    room, today = e.rooms.pay_room, e.dates[0]
    payers, _, _ = find_paydays(e.rooms.rows, count, room)
    judge_payers(payers, today, e.figures[0]["last_day"][0], max(window, EVIDENCE_DAYS), e.ruler, room)
    found = []
    for payer in room.payers[:payers]:
        paydays = [
            one
            for one in room.paydays[payer.first_payday : payer.first_payday + payer.paydays]
            if today - one.day < max(window, EVIDENCE_DAYS)
        ]
        if payer.in_evidence:
            found.append(
                {
                    "payer": e.said.texts[payer.code] if payer.code >= 0 else "",
                    "window_days": window,
                    "paydays": payer.in_evidence,
                    "frequency": FREQUENCIES[payer.frequency] if payer.frequency >= 0 else None,
                    "usual": float(np.median([one.amount for one in paydays])),
                    "days_open": today - paydays[-1].day,
                    "in_window": sum(one.amount for one in paydays if _date(one.day) > window_begins(e, window)),
                    "variability": payer.variability if payer.in_evidence > 1 else None,
                    "monthly": payer.steady or None,
                }
            )
    return sorted(found, key=lambda one: str(one["payer"]))


def _paychecks(e: Evidence, rows: Sequence[Record]) -> list[Record]:
    """The paychecks that pay is judged on: those of the last ``max(window, 180)`` days."""
    today = e.dates[0]
    return [
        {
            "window_days": window,
            "date": row["date"],
            "amount": row["amount"],
            "merchant": row["merchant"],
            "payer": row["payee"],
            "in_window": row["date"] > window_begins(e, window),
        }
        for window in e.windows
        for row in rows
        if row["kind"] == KINDS[KIND_PAYCHECK] and row["date"] > _date(today - max(window, EVIDENCE_DAYS))
    ]
