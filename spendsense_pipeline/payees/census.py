"""The payees of a day over all customers: what each is taken for, how often, and what nobody knows yet.

What comes out can be looked at by anybody who may see the pipeline, so no customer is in it: not by id, and not as the
payee of somebody else either. A name stays out, and is only counted, where it may be a person's or an account's, or
where one customer alone has it (``is_open``). What does not belong here: what a text says (``readings.py``).
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from ibis import udf

from spendsense_pipeline.frames import records
from spendsense_pipeline.payees import known, names, vocabularies, words
from spendsense_pipeline.payees.population import MIN_CUSTOMERS, POPULATION, PRICE_POINTS, population
from spendsense_pipeline.payees.readings import DESCRIPTOR, Reader

SHOWN_FROM: Final = 2
"""Customers at whom a name must have been seen to be stored: what one customer alone has may be about him."""
UNKNOWN_SHOWN: Final = 50
DELIVERED: Final = ("category_primary", "category_detailed", "mcc", "transaction_code")
KEY: Final = ("name", *DELIVERED)

CALENDARS: Final = (*((6, 8), (13, 15), (27, 29), (27, 34), (57, 65), (86, 96), (174, 190), (355, 375)),)
"""Days between two payments, first and last: weekly, biweekly, four-weekly, monthly, two-monthly, quarterly,
semi-annual and annual, with the tolerances of docs/signals.md."""
ON_CALENDAR: Final = 0.75
"""Gaps that must lie on one calendar for a price to be regular: as many as a stream's line must explain."""
HALF_YEAR: Final = 174
"""Days from which on two payments are enough; sooner than that it takes three."""
KINDS_SAID: Final = {
    "own": sum(words.BITS[name] for name in ("card_payment", "own_account", "cash_in", "cash_out")),
    "bank": sum(words.BITS[name] for name in ("penalty", "service_fee", "interest")),
}
"""Whose a row is of which nobody knows more, by words that tell its kind."""

_ACCOUNT_NUMBER = re.compile(r"\d{5,}")

Ask = Callable[[Sequence[str]], Mapping[str, str]]
"""From names to the categories that somebody knows of them."""
ASKED_FROM: Final = 20
"""Customers at whom an unknown name must have been seen for it to be shown to a language model."""


@dataclass(frozen=True)
class Census:
    """The ``payees`` of a day, and what is said of them: shares of rows, counts, and names that nobody knows.

    ``unknown``: name, rows, customers of the most frequent; ``unmapped``: names of categories in no vocabulary, with
    their rows, as far as ``MIN_CUSTOMERS`` have them.
    """

    payees: pd.DataFrame
    rows: int
    explained: int
    names_withheld: int
    rows_withheld: int
    unknown: list[dict[str, Any]]
    unmapped: list[dict[str, Any]]

    @property
    def explained_share(self) -> float | None:
        """Share of the rows of which category or service is known, null without rows."""
        return self.explained / self.rows if self.rows else None


def census(
    transactions: ibis.Table,
    accounts: ibis.Table,
    as_of: dt.date,
    reader: Reader | None = None,
    ask: Ask | None = None,
) -> Census:
    """Read each distinct descriptor of the posted rows up to ``as_of`` once, and count who has it.

    ``ask`` is asked once for the names that are still unknown and seen at ``ASKED_FROM`` customers or more, none of
    which may be a person's.
    """
    rows = _posted(transactions, as_of)
    described = rows.group_by("descriptor").agg(
        rows=rows.count(),
        customers=rows.user.nunique(),
        **{name: rows[name].arbitrary() for name in DESCRIPTOR},
    )
    told = [described[name].fill_null("\x1e") for name in DESCRIPTOR]
    descriptors = described.mutate(text=ibis.literal("\x1f").join(told)).to_pyarrow()
    reader = reader or Reader()
    codes, read = _coded(descriptors, reader(descriptors))
    named = rows.select("user", "account", "date", "amount", "descriptor").inner_join(ibis.memtable(read), "descriptor")
    named = named.filter(named.name.notnull()).cache()
    # Of a customer many rows are of one payee: three counts look at each once.
    paid_by = named.select("name", "category", "key", "user").distinct().cache()
    customers = paid_by.group_by("name").agg(customers=lambda t: t.user.nunique()).to_pyarrow()
    seen_at = dict(zip(codes.names_of(customers["name"]), customers["customers"].to_pylist(), strict=True))
    shown = population(_price_points(named, accounts, codes), _categories(paid_by, codes))
    frame = _read_frame(descriptors, reader(descriptors, shown))
    frame["at"] = frame["name"].map(seen_at).fillna(0).astype("int64")
    if ask is not None:
        shown = _with_answers(shown, ask(_askable(frame)))
        frame = _read_frame(descriptors, reader(descriptors, shown)).assign(at=frame["at"])
    return _of_a_day(frame, shown, _delivered_at(paid_by, codes), as_of)


def is_open(name: str, customers: int, person: bool) -> bool:
    """Whether a name may be stored in clear: seen at two customers or more, and nobody's name or account.

    Of a name seen at fewer than ``MIN_CUSTOMERS`` the careful question decides: two bare words may be a person.
    """
    parts = name.split()
    if customers < SHOWN_FROM or person or _ACCOUNT_NUMBER.search(name):
        return False
    return customers >= MIN_CUSTOMERS or name in _known_keys() or not names.may_be_person(parts)


@cache
def _known_keys() -> frozenset[str]:
    return frozenset(payee.key for payee in known.table())


def _posted(transactions: ibis.Table, as_of: dt.date) -> ibis.Table:
    """The rows that count, with their descriptor as one ``text``; columns that are not there are null.

    Customer, account and descriptor are numbers, the hashes of their texts: counted and joined in a fraction of the
    time. Of ten million texts, two meet in 64 bits once in hundreds of thousands of days.
    """
    rows = transactions.filter(~transactions.pending.fill_null(False) & (transactions.date <= ibis.literal(as_of)))
    missing = {name: ibis.null("string") for name in DESCRIPTOR if name not in rows.columns}
    rows = rows.mutate(**missing)
    rows = rows.mutate(**{name: rows[name].cast("string") for name in DESCRIPTOR})
    descriptor = _hash_of_all(*(rows[name] for name in DESCRIPTOR))
    rows = rows.mutate(user=_hash(rows.user_id), account=_hash(rows.account_id), descriptor=descriptor)
    return rows.select("user", "account", "date", "amount", "descriptor", *DESCRIPTOR)


# The engine's own hashes as it makes them: Ibis's `hash` goes by way of a text of bits, in four times the time.
@udf.scalar.builtin(name="hash", signature=(("string",), "uint64"))  # type: ignore[untyped-decorator]
def _hash(text: Any) -> Any:
    """Of a text."""


@udf.scalar.builtin(name="hash", signature=(("string",) * len(DESCRIPTOR), "uint64"))  # type: ignore[untyped-decorator]
def _hash_of_all(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> Any:
    """Of the columns of ``DESCRIPTOR`` together."""


@dataclass(frozen=True)
class _Codes:
    """What numbers stand for in the tables that are counted: names, delivered categories, keys of payees."""

    names: list[str]
    categories: list[str]
    keys: list[tuple[Any, ...]]

    def names_of(self, numbers: pa.ChunkedArray) -> list[str]:
        return [self.names[number] for number in numbers.to_pylist()]


def _coded(descriptors: pa.Table, read: pa.Table) -> tuple[_Codes, pa.Table]:
    """What each descriptor says as numbers: its name, the category that it was delivered with, its key."""
    names: dict[str, int] = {}
    categories: dict[str, int] = {}
    keys: dict[tuple[Any, ...], int] = {}
    rows: list[tuple[int | None, int | None, int | None]] = []
    columns = [descriptors[each].to_pylist() for each in DELIVERED]
    told = [read[each].to_pylist() for each in ("name", "category", "category_source")]
    for name, category, source, *delivered in zip(*told, *columns, strict=True):
        if name is None:
            rows.append((None, None, None))
            continue
        given = category if source in ("category", "mcc", "code") else None
        rows.append(
            (
                names.setdefault(name, len(names)),
                None if given is None else categories.setdefault(given, len(categories)),
                keys.setdefault((name, *delivered), len(keys)),
            )
        )
    numbers = [pa.array(column, pa.int64()) for column in zip(*rows, strict=True)] or [pa.array([], pa.int64())] * 3
    coded = pa.table([descriptors["descriptor"], *numbers], names=["descriptor", "name", "category", "key"])
    return _Codes(list(names), list(categories), list(keys)), coded


def _categories(named: ibis.Table, codes: _Codes) -> pa.Table:
    """At how many customers rows of a name were delivered with a category."""
    told = named.filter(named.category.notnull()).group_by("name", "category")
    counted = told.agg(customers=lambda t: t.user.nunique()).to_pyarrow()
    categories = [codes.categories[number] for number in counted["category"].to_pylist()]
    return pa.table(
        {
            "name": pa.array(codes.names_of(counted["name"]), pa.string()),
            "category": pa.array(categories, pa.string()),
            "customers": counted["customers"],
        }
    )


def _delivered_at(named: ibis.Table, codes: _Codes) -> pd.DataFrame:
    """At how many customers each combination of name and delivered category and codes was seen."""
    counted = named.group_by("key").agg(customers=lambda t: t.user.nunique()).to_pyarrow()
    keys = list(zip(*(codes.keys[number] for number in counted["key"].to_pylist()), strict=True)) or [()] * len(KEY)
    columns = {name: pa.array(column, pa.string()) for name, column in zip(KEY, keys, strict=True)}
    frame: pd.DataFrame = pa.table({**columns, "customers": counted["customers"]}).to_pandas()
    return frame


def _price_points(named: ibis.Table, accounts: ibis.Table, codes: _Codes) -> pa.Table:
    """``PRICE_POINTS`` of what was paid to names seen at enough customers.

    Of a customer who pays no price of a name on a calendar, one point stays: he counts among those who pay it.
    """
    told = accounts.select(account=_hash(accounts.account_id), iso=accounts.iso_currency_code).distinct(on="account")
    currencies = sorted(told.filter(told.iso.notnull()).iso.as_table().distinct().to_pyarrow()["iso"].to_pylist())
    numbered = ibis.memtable({"iso": currencies, "currency": range(len(currencies))}, schema=_CURRENCIES)
    paid = named.filter(named.amount < 0).left_join(told.inner_join(numbered, "iso"), "account")
    paid = paid.mutate(price=(paid.amount.abs() * 100).round().cast("int64"), currency=paid.currency.fill_null(-1))
    paid = paid.select(*_PRICE, "date")
    prices = paid.group_by(*_PRICE).agg(occurrences=paid.count(), first=paid.date.min(), last=paid.date.max()).cache()
    customers = prices.group_by("name", "user").agg(price=prices.price.min(), currency=prices.currency.min()).cache()
    open_names = customers.group_by("name").agg(customers=customers.count())
    open_names = open_names.filter(open_names.customers >= MIN_CUSTOMERS).select("name")
    # Most prices of a shop are paid once or twice: only those that can be regular have to be put in order.
    apart = prices["last"].delta(prices["first"], unit="day")
    again = prices.filter(((prices.occurrences > 2) & (apart > 0)) | (apart >= HALF_YEAR)).semi_join(open_names, "name")
    lines = again.mutate(line=ibis.row_number()).cache()
    days = paid.inner_join(lines, _PRICE).select("line", "date").distinct()
    before = days.date.lag().over(ibis.window(group_by="line", order_by="date"))
    gaps = days.mutate(gap=days.date.delta(before, unit="day"))
    on = {f"on_{n}": gaps.gap.between(first, last).sum() for n, (first, last) in enumerate(CALENDARS)}
    points = gaps.group_by("line").agg(gaps=gaps.gap.count(), longest=gaps.gap.max(), **on)
    most = ibis.greatest(*(points[name].fill_null(0) for name in on))
    enough = (points.gaps >= 2) | (points.longest >= HALF_YEAR)
    regular = points.filter(enough & (most >= ON_CALENDAR * points.gaps)).inner_join(lines, "line")
    regular = regular.select(*_PRICE, "occurrences", regular=True).cache()
    others = customers.semi_join(open_names, "name").anti_join(regular, ["name", "user"])
    found = regular.union(others.select(*_PRICE, occurrences=ibis.literal(1, "int64"), regular=False))
    found = found.mutate(ordinal=ibis.dense_rank().over(group_by="name", order_by="user"))
    points = found.select(*PRICE_POINTS.names).to_pyarrow()
    for column, texts in (("name", codes.names), ("currency", [*currencies, ""])):  # of -1 the last
        place = points.column_names.index(column)
        places = pc.if_else(pc.less(points[column], 0), len(texts) - 1, points[column])
        points = points.set_column(place, column, pa.array(texts, pa.string()).take(places))
    return points.cast(PRICE_POINTS)


_CURRENCIES = ibis.schema({"iso": "string", "currency": "int64"})
_PRICE = ["name", "user", "currency", "price"]


def _read_frame(descriptors: pa.Table, read: pa.Table) -> pd.DataFrame:
    frame = pd.concat([descriptors.to_pandas(), read.to_pandas()], axis=1)
    typed: pd.DataFrame = frame.astype(dict.fromkeys(("list_priced", "own_priced"), "boolean"))
    # `MOBILE PAYMENT - THANK YOU` names nobody and is no riddle: the customer pays the own card.
    for whose, said in KINDS_SAID.items():
        nobody = _unknown(typed) & (typed["counterparty"] != "person")
        typed["counterparty"] = typed["counterparty"].mask(nobody & (typed["says"] & said != 0), whose)
    return typed


def _unknown(frame: pd.DataFrame) -> pd.Series:
    """Rows of which nobody knows what for: no category, no service, and nobody who tells it by who he is."""
    telling = frame["counterparty"].isin(["own", "employer", "state", "bank"])
    return frame["category"].isna() & frame["service"].isna() & ~telling


def _askable(frame: pd.DataFrame) -> list[str]:
    """Names for a language model: unknown, seen at many customers, and nobody's."""
    asked = frame[
        frame["name"].notna() & _unknown(frame) & (frame["at"] >= ASKED_FROM) & (frame["counterparty"] != "person")
    ]
    return sorted(
        name
        for name in set(asked["name"])
        if not names.may_be_person(name.split()) and not _ACCOUNT_NUMBER.search(name)
    )


def _with_answers(shown: pa.Table, answers: Mapping[str, str]) -> pa.Table:
    """The population with the categories that a model gave."""
    rows = [
        {**row, "category": answers[row["name"]], "category_source": "model"} if row["name"] in answers else row
        for row in shown.to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=POPULATION)


def _of_a_day(frame: pd.DataFrame, shown: pa.Table, delivered_at: pd.DataFrame, as_of: dt.date) -> Census:
    """One row per name and what was delivered with it, without the names that are nobody's business."""
    unknown = _unknown(frame)
    frame = frame.sort_values(["rows", "text"], ascending=[False, True])
    persons = set(frame.loc[frame["counterparty"] == "person", "name"])
    named = frame[frame["name"].notna()]
    opened = {name: is_open(name, at, name in persons) for name, at in zip(named["name"], named["at"], strict=True)}
    payees = named[named["name"].map(opened).astype(bool)]
    # Of readings that share a key, because only their texts differ, the one of most rows stands for all.
    weight = payees.groupby([*KEY, "category", "service", "counterparty"], dropna=False)["rows"].transform("sum")
    payees = payees.assign(weight=weight).sort_values("weight", ascending=False, kind="stable")
    by_key = payees.groupby(list(KEY), dropna=False, sort=False)
    table = by_key.first(skipna=False).reset_index().assign(rows=by_key["rows"].sum().to_numpy())
    table = table.drop(columns=["customers"]).merge(delivered_at, on=list(KEY), how="left")
    told = shown.to_pandas().rename(
        columns={"category": "population_category", "category_source": "population_source"}
    )[["name", "population_category", "population_source"]]
    table = table.merge(told, on="name", how="left").assign(as_of=as_of)
    table = _without_rare_codes(table)
    table["customers"] = table["customers"].where(table["customers"] >= MIN_CUSTOMERS).astype("Int64")
    table["rows"] = table["rows"].astype("Int64")
    return Census(
        payees=table[list(COLUMNS)].sort_values(list(KEY), ignore_index=True),
        rows=int(frame["rows"].sum()),
        explained=int(frame.loc[~unknown.reindex(frame.index), "rows"].sum()),
        names_withheld=sum(not may for may in opened.values()),
        rows_withheld=int(named["rows"].sum() - payees["rows"].sum()),
        unknown=_most_frequent(payees[unknown.reindex(payees.index)]),
        unmapped=_unmapped(frame),
    )


COLUMNS: Final = (
    *("as_of", "name", "display", *DELIVERED, "category", "category_source", "counterparty", "service"),
    *("list_priced", "own_priced", "population_category", "population_source", "rows", "customers"),
)


def _without_rare_codes(table: pd.DataFrame) -> pd.DataFrame:
    """A delivered name or code in no vocabulary may be somebody's own words: kept where several customers have it.

    Rows that then have the same key become one.
    """
    rare = table["customers"] < MIN_CUSTOMERS
    for column in DELIVERED:
        foreign = [value is not None and not _in_vocabulary(column, value) for value in table[column]]
        table[column] = table[column].mask(rare & pd.Series(foreign, index=table.index), None)
    by_key = table.groupby(list(KEY), dropna=False, sort=False)
    merged = by_key.first(skipna=False).reset_index()
    merged["rows"] = by_key["rows"].sum().to_numpy()
    merged["customers"] = by_key["customers"].max().to_numpy()  # of overlapping groups: at least the largest
    return merged


def _in_vocabulary(column: str, value: Any) -> bool:
    if not isinstance(value, str):
        return True  # null
    if column == "mcc":
        return value.strip().isdigit()
    if column == "transaction_code":
        return vocabularies.code_meaning(value) is not None
    return vocabularies.known_name(value)


def listed(payees: pd.DataFrame, limit: int, *, unknown: bool = False) -> list[dict[str, Any]]:
    """A stored day's payees for whoever reads a list, those of most rows first; ``unknown``: those nobody knows."""
    if unknown:
        payees = payees[_unknown(payees)]
    payees = payees.sort_values(["rows", "name"], ascending=[False, True], kind="stable").head(limit)
    shown = payees[["name", "category", "category_source", "counterparty", "service", "rows", "customers"]]
    return records(shown)


def _most_frequent(unknown: pd.DataFrame) -> list[dict[str, Any]]:
    """The unknown names that are seen most, at enough customers to be nobody's."""
    enough = unknown[unknown["at"] >= MIN_CUSTOMERS]
    found = enough.groupby("name").agg(rows=("rows", "sum"), customers=("at", "max")).reset_index()
    found = found.sort_values(["rows", "name"], ascending=[False, True]).head(UNKNOWN_SHOWN)
    return records(found)


def _unmapped(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Delivered category names that no vocabulary has, with their rows, the most frequent first."""
    told = pd.concat(
        [
            frame[[column, "rows", "customers"]].set_axis(["name", "rows", "customers"], axis=1)
            for column in DELIVERED[:2]
        ]
    ).dropna(subset=["name"])
    told = told[~told["name"].map(vocabularies.known_name).astype(bool)]
    found = told.groupby("name").agg(rows=("rows", "sum"), customers=("customers", "max")).reset_index()
    found = found[found["customers"] >= MIN_CUSTOMERS].sort_values(["rows", "name"], ascending=[False, True])
    return records(found[["name", "rows"]].head(UNKNOWN_SHOWN))
