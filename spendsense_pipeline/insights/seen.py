"""What the customers of a range look like on a date, as frames that detectors read.

Built from the evidence of the signals, without reading anything again. Customers are places in the range, days are
since 1970, money is positive = in. What does not belong here: any insight.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.features import tables
from spendsense_pipeline.features.columns import runs
from spendsense_pipeline.features.meanings import CREDIT_CARD, LIST_PRICED, LOAN
from spendsense_pipeline.features.signals import EPOCH, UNPACKED, Evidence, Signals, streams_on
from spendsense_pipeline.insights.in_sight import spending_in_sight

Array = npt.NDArray[Any]
Columns = dict[str, Any]
"""What a detector gives: values by name, one a candidate in one order, or one for all of them."""
ROW_DAYS = 400
"""Rows older than this tell nothing that an insight asks for: an annual charge and its tolerance."""
CLASS_BITS = 3  # of a class of accounts, beside which lies the kind of a row
SORTS = np.arange(256)
SIFTED = 8  # rows, of which one is wanted, from which on each is looked at
DORMANT_DAYS = 60
"""Nothing is said to a customer without a row in so many days."""


@dataclass(frozen=True)
class Seen:
    """A range on the date ``today``. ``users`` are the ids by place; ``evidence`` is what all of it comes from."""

    evidence: Evidence
    place: int
    signals: Signals

    @cached_property
    def _kept(self) -> dict[str, pd.DataFrame]:
        return {}

    def once(self, name: str, of: Callable[["Seen"], pd.DataFrame]) -> pd.DataFrame:
        """What several detectors ask for, computed once."""
        if name not in self._kept:
            self._kept[name] = of(self)
        return self._kept[name]

    @cached_property
    def today(self) -> int:
        return self.evidence.dates[self.place]

    @cached_property
    def users(self) -> list[str]:
        return list(self.evidence.users.to_pylist())

    @cached_property
    def newest(self) -> Array:
        """By customer the day of the newest row; long ago where there is none."""
        figures = self.evidence.figures[self.place]
        return np.where(figures["rows"] > 0, figures["last_day"], self.today - 100_000)

    @cached_property
    def began(self) -> Array:
        """By customer the first day of the history."""
        return np.asarray(self.evidence.figures[self.place]["first_day"])

    @cached_property
    def factor(self) -> Array:
        """By customer units of money per US dollar."""
        return tables.factors_of(self.evidence.held, self.evidence.on[self.place])

    @cached_property
    def there(self) -> Array:
        """By customer: known, and with a row in the last 60 days."""
        return np.asarray(self.evidence.there[self.place] & (self.newest > self.today - DORMANT_DAYS))

    def of_window(self, days: int) -> pd.DataFrame:
        """The features of a window by customer who is there."""
        features = self.signals.features
        date = EPOCH + dt.timedelta(days=self.today)
        mine = features.filter((pc.field("window_days") == days) & (pc.field("as_of") == date))
        there = np.flatnonzero(self.evidence.there[self.place])
        known = self.there[there]
        columns = {
            name: mine[name]
            .cast(pa.float64() if name in NUMBERS else pa.string())
            .to_numpy(zero_copy_only=False)[known]
            for name in FEATURES
        }
        return frame_of(columns).set_index(there[known])

    @cached_property
    def short(self) -> pd.DataFrame:
        """Features of 30 days."""
        return self.of_window(min(self.evidence.windows))

    @cached_property
    def long(self) -> pd.DataFrame:
        """Features of 180 days."""
        return self.of_window(max(self.evidence.windows))

    @cached_property
    def spending(self) -> pd.DataFrame:
        """By customer who is there ``monthly``, spending a month over 180 days where it is known, and ``in_sight``."""
        long = self.long[self.long["avg_monthly_expenses"].notna()]
        months = np.minimum(max(self.evidence.windows), np.maximum(long["history_days"], 30)) / 30
        spent, elsewhere = long["avg_monthly_expenses"], long["unlinked_card_payments"] / months
        in_sight = spending_in_sight(spent, long["regular_income"], elsewhere, self.factor[long.index])
        return frame_of({"monthly": spent, "in_sight": in_sight})

    @cached_property
    def _in_view(self) -> "View":
        e, rows = self.evidence, self.evidence.rows
        left_out = 1 << CLASS_BITS
        class_of = np.where(self.there[e.held.user], e.held.held_as, left_out).astype("u1")[rows.account]
        number = UNPACKED["kind"](e.read[self.place]).astype("i1")
        chosen = np.flatnonzero(
            (number >= 0) & (class_of < left_out) & (rows.day <= self.today) & (rows.day > self.today - ROW_DAYS)
        )
        sort = number[chosen].view("u1") << CLASS_BITS | class_of[chosen]
        of_user = np.diff(np.searchsorted(chosen, rows.begins))
        return View.over(chosen, rows.day[chosen], rows.account[chosen], sort, of_user)

    def rows(
        self,
        *columns: str,
        days: int = ROW_DAYS,
        kinds: Sequence[int] = (),
        held_as: Sequence[int] = (),
        users: npt.ArrayLike | None = None,
        such: Callable[[Array], Array] | None = None,
    ) -> dict[str, Array]:
        """Rows of so many days up to today that count, of these kinds, classes of accounts and customers, or of all,
        and ``such`` by their numbers: ``columns`` of user, account, held_as, day, amount, cents, kind, payee, merchant
        (numbers of texts), label (number of the category, -1), penalty, number. By customer and day."""
        e, view = self.evidence, self._in_view
        number, day, account, sort = view[:4]
        of_kind = np.isin(SORTS >> CLASS_BITS, kinds) | (len(kinds) == 0)
        of_class = np.isin(SORTS & (1 << CLASS_BITS) - 1, held_as) | (len(held_as) == 0)
        at = view.of(of_kind & of_class, None if users is None else np.unique(users), self.today - days)
        numbers = number[at].astype("i8")
        if such is not None:
            kept = np.flatnonzero(such(numbers))
            at, numbers = at[kept], numbers[kept]
        of: dict[str, Callable[[], Array]] = {
            "user": lambda: e.held.user[account[at]],
            "account": lambda: account[at].astype("i8"),
            "held_as": lambda: e.held.held_as[account[at]],
            "day": lambda: day[at].astype("i8"),
            "kind": lambda: sort[at].astype("i8") >> CLASS_BITS,
            "amount": lambda: e.rows.amount[numbers],
            "cents": lambda: np.rint(np.abs(e.rows.amount[numbers]) * 100).astype("i8"),
            "label": lambda: e.said.label[self.said(numbers)],
            "number": lambda: numbers,
        }
        return {each: of.get(each, partial(self.read, each, numbers))() for each in columns}

    def read(self, name: str, number: Array) -> Array:
        """What rows, by number, are on the date (``signals.UNPACKED``)."""
        return UNPACKED[name](self.evidence.read[self.place][number])

    def is_fee(self, number: Array) -> Array:
        """Whether rows, by number, count to penalty or service fees."""
        return np.asarray(self.read("penalty", number) | self.read("service_fee", number))

    @cached_property
    def streams(self) -> pd.DataFrame:
        """The streams of the date: stream (its place in the evidence), user, payee, merchant and label (numbers), kind,
        status, calendar, inflow, earned, fixed, occurrences, first, last, expected (days), typical, last_amount,
        monthly, change, before, changed_on, first_hit, and of the last hit number, account and held_as."""
        e = self.evidence
        stand = streams_on(e, self.place, self.factor)
        chosen = np.flatnonzero(self.there[stand.s["user"]])
        s = stand.s.take(chosen)
        number = e.counted["number"][s["first_hit"] + s["occurrences"] - 1]
        account = e.rows.account[number]
        return frame_of(
            {
                "stream": stand.place[chosen],
                "user": s["user"],
                "payee": s["payee"],
                "merchant": s["merchant"],
                "label": s["label"],
                "kind": stand.kind[chosen],
                "status": stand.status[chosen],
                "calendar": s["calendar"],
                "inflow": s["inflow"] == 1,
                "earned": s["earned"] == 1,
                "fixed": s["fixed"] == 1,
                "occurrences": s["occurrences"],
                "first": s["first_date"],
                "last": s["last_date"],
                "expected": stand.expected[chosen],
                "typical": s["typical_amount"],
                "last_amount": s["last_amount"],
                "monthly": tables.monthly_cost(s),
                "change": np.where(s["inflow"] == 1, np.nan, s["price_change"]),
                "before": s["price_before"],
                "changed_on": s["changed_on"],
                "first_hit": s["first_hit"],
                "number": number,
                "account": account,
                "held_as": e.held.held_as[account],
            }
        )

    @cached_property
    def accounts(self) -> pd.DataFrame:
        """Accounts that count: account, user, held_as, balance, limit, balance_day, last4."""
        held, on = self.evidence.held, self.evidence.on[self.place]
        mine = np.flatnonzero(on.counts & self.there[held.user])
        ids = held.account_id.take(pa.array(mine))
        return frame_of(
            {
                "account": mine,
                "user": held.user[mine],
                "held_as": held.held_as[mine],
                "balance": on.balance[mine],
                "limit": held.limit[mine],
                "balance_day": np.minimum(held.balance_day[mine], self.today),
                "last4": pc.utf8_slice_codeunits(ids, -4).to_pylist(),
            }
        )

    @cached_property
    def owed(self) -> pd.DataFrame:
        """What liabilities of the date or before say of cards and loans that count, beside their account's columns."""
        owed = self.evidence.owed
        stated = np.flatnonzero(owed.day <= self.today)
        frame = frame_of(
            {
                "account": owed.account[stated],
                "stated": owed.day[stated],
                "overdue": owed.overdue[stated] == 1,
                "minimum": owed.minimum[stated],
                "due": owed.due[stated],
                "apr": owed.apr[stated],
                "rate": owed.rate[stated],
                "paid": owed.last_payment[stated],
                "statement": owed.statement[stated],
                "liability": owed.kind[stated],
            }
        ).drop_duplicates("account")
        accounts = self.accounts
        return frame.merge(accounts[accounts["held_as"].isin([CREDIT_CARD, LOAN])], on="account")

    def balance_of(self, held_as: int) -> pd.DataFrame:
        """By customer ``balance`` and the oldest ``balance_day`` of a class; none with an unknown one."""
        return self.once(f"balance of {held_as}", lambda seen: seen._balances(held_as))

    def _balances(self, held_as: int) -> pd.DataFrame:
        mine = self.accounts[self.accounts["held_as"] == held_as]
        user, balance = mine["user"].to_numpy(), mine["balance"].to_numpy()
        total = np.bincount(user, balance, len(self.there))  # not known where one is not
        oldest = np.full(len(self.there), self.today)
        np.minimum.at(oldest, user, mine["balance_day"].to_numpy())
        known = np.flatnonzero((np.bincount(user, minlength=len(self.there)) > 0) & ~np.isnan(total))
        return frame_of({"balance": total[known], "balance_day": oldest[known]}).set_axis(known)

    def names(self, merchants: pd.Series | Array) -> list[str | None]:
        """Readable names by number."""
        displays = self.evidence.said.displays
        return [displays[each] if each >= 0 else None for each in merchants.tolist()]

    def said(self, rows: Array) -> Array:
        """What rows, by number, say: their places in the arrays of ``Said``."""
        e = self.evidence
        descriptors = len(e.said.of) // (max(e.said.versions, default=0) + 1)
        return np.asarray(e.said.of[e.said.versions[self.place] * descriptors + e.rows.descriptor[rows]])

    def told(self, rows: Array) -> Array:
        """What is known of the payees of rows, by number, as bits (``meanings.TOLD``)."""
        return np.asarray(self.evidence.said.told[self.said(rows)])

    def listed(self, rows: Array) -> Array:
        """Whether the payees of rows, by number, are known by a list price that many customers pay."""
        return np.asarray(self.told(rows) & LIST_PRICED != 0)

    def labels(self, numbers: pd.Series | Array) -> list[str | None]:
        """Categories by number."""
        labels = self.evidence.said.labels
        return [labels[each] if each >= 0 else None for each in numbers.tolist()]

    def labelled(self, numbers: pd.Series | Array, prefixes: str | tuple[str, ...]) -> Array:
        """Whether categories, by number, begin so; of none it is false."""
        begin = np.array([*(label.startswith(prefixes) for label in self.evidence.said.labels), False])
        return np.asarray(begin[numbers])

    def transaction_ids(self, numbers: Array) -> pa.Array:
        """Ids of rows by number."""
        return self.evidence.transaction_ids.take(pa.array(self.evidence.rows.place[numbers])).combine_chunks()

    def stream_ids(self, places: Array) -> pa.Array:
        """Ids of streams by place."""
        return self.evidence.texts.stream_id.take(pa.array(places))

    def account_ids(self, places: Array) -> pa.Array:
        """Ids of accounts by place."""
        return self.evidence.held.account_id.take(pa.array(places))


def pairs_of(rows: pd.DataFrame | dict[str, Array]) -> Array:
    """Customer and payee of each row as one number, in their order; one key costs a merge half of what two do."""
    user, payee = (np.asarray(rows[name], "i8") for name in ("user", "payee"))
    return np.asarray(user << 32 | payee + 1)


def frame_of(columns: Columns) -> pd.DataFrame:
    """Names of columns are objects: of Arrow's, pandas' own choice, the many small frames made of it cost a third
    more."""
    frame = pd.DataFrame(columns)
    frame.columns = pd.Index(list(columns), dtype=object)
    return frame


def columns_of(frame: pd.DataFrame) -> Columns:
    """The columns of a frame by name."""
    return {str(name): column for name, column in frame.items()}


class View(NamedTuple):
    """Rows that count, by customer and day: their number, day, account, and kind and class of the account as one
    ``sort``; their places ``by_sort``, and how many there are of each sort and each customer."""

    number: Array
    day: Array
    account: Array
    sort: Array
    by_sort: Array
    of_sort: Array
    of_user: Array

    @classmethod
    def over(cls, number: Array, day: Array, account: Array, sort: Array, of_user: Array) -> "View":
        """The view of rows of which each user has so many."""
        by_sort = np.argsort(sort, kind="stable")
        of_sort = np.diff(np.searchsorted(sort, np.arange(len(SORTS) + 1), sorter=by_sort))
        return cls(number.astype("i4"), day.astype("i4"), account.astype("i4"), sort, by_sort, of_sort, of_user)

    def of(self, sorts: Array, users: Array | None, since: int) -> Array:
        """Places of the rows of sorts (flags) and customers after a day, in order. Few are picked, many sifted."""
        few, chosen = len(self.sort) // SIFTED, np.flatnonzero(sorts & (self.of_sort > 0))
        if users is not None and self.of_user[users].sum() < few:
            _, at = runs((np.cumsum(self.of_user) - self.of_user)[users], self.of_user[users])
            return at[sorts[self.sort[at]] & (self.day[at] > since)]
        if self.of_sort[chosen].sum() < few:
            _, places = runs((np.cumsum(self.of_sort) - self.of_sort)[chosen], self.of_sort[chosen])
            at = np.sort(self.by_sort[places])
            at = at[self.day[at] > since]
        else:
            at = np.flatnonzero((self.day > since) & sorts.take(self.sort))
        if users is None:
            return at
        mine = np.zeros(len(self.of_user), bool)
        mine[users] = True
        return np.asarray(at[np.repeat(mine, self.of_user)[at]])


FEATURES = (
    *("history_days", "data_age_days", "explained_share", "unlinked_cards", "unlinked_card_payments", "monthly_bills"),
    *("avg_monthly_expenses", "total_spend", "net_savings_inflow", "savings_balance", "savings_growth_rate"),
    *("emergency_fund_months", "interest_charges", "fees_180d", "service_fees_180d", "pay_frequency"),
    *("median_pay_gap_days", "income_variability", "avg_monthly_income", "regular_income", "cash_flow_buffer_months"),
    *("currency",),
)
NUMBERS = tuple(name for name in FEATURES if name not in ("pay_frequency", "currency"))


def lists_of(frame: pd.DataFrame, column: str) -> pd.Series:
    """By customer the values of a column, in the order of the rows."""
    order = np.argsort(frame["user"].to_numpy(), kind="stable")
    users, begins = np.unique(frame["user"].to_numpy()[order], return_index=True)
    values, ends = frame[column].to_numpy()[order].tolist(), [*begins[1:].tolist(), len(order)]
    parts = [values[begin:end] for begin, end in zip(begins.tolist(), ends, strict=True)] if len(users) else []
    return pd.Series(parts, users, dtype="object")
