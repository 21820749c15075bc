"""What a payee's prices show about it, over all customers who pay it: sold at list prices, or owed by each customer.

Where the same few prices recur at many customers, each on a calendar, something is sold by subscription. Where nearly
every customer pays an amount of his own, time after time, it is an obligation: a loan, a rent, a premium. Shops show
neither. What comes in names no customer: they are numbered anew for every day (``ordinal``), and what goes out holds no
number at all. What does not belong here: which texts are one payee (``names.py``), and a single customer's streams.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

MIN_CUSTOMERS: Final = 5
"""Names seen at fewer customers show nothing: below it a figure could be told to be somebody's (docs/payees.md)."""
LIST_PRICES: Final = 3
"""So many prices make a list: a service has two or three plans, and one more while it raises its price."""
LIST_SHARE: Final = 0.60
"""Customers, of all who pay the payee, whom these prices must cover; the rest have odd plans, taxes, or left early."""
PAY_A_PRICE: Final = 3
"""Customers who must pay a price for it to be on the list; two may pay the same by chance."""
OWN_SHARE: Final = 0.80
"""Customers, of all who pay the payee, who have a fixed amount that hardly anybody else has."""

PRICE_POINTS: Final = pa.schema(
    {
        "name": pa.string(),
        "ordinal": pa.int64(),
        "price": pa.int64(),
        "currency": pa.string(),
        "occurrences": pa.int64(),
        "regular": pa.bool_(),
    }
)
"""One row per name, customer, currency and price in hundredths; ``regular``: its dates lie on one calendar."""

POPULATION: Final = pa.schema(
    {
        "name": pa.string(),
        "list_priced": pa.bool_(),
        "own_priced": pa.bool_(),
        "category": pa.string(),
        "category_source": pa.string(),
    }
)
"""One row per name; ``category_source`` is ``population`` or ``model``, null without a category."""

CATEGORY_SHARE: Final = 0.75
"""Customers whose rows were delivered with a category and must agree on it, for the payee's other rows to have it too;
beside ``MIN_CUSTOMERS`` of them."""


@dataclass(frozen=True, slots=True)
class Price:
    ordinal: int
    price: tuple[str, int]
    occurrences: int
    regular: bool


def population(price_points: pa.Table, categories: pa.Table | None = None) -> pa.Table:
    """What names seen at ``MIN_CUSTOMERS`` or more customers show, as ``POPULATION``, by name.

    ``price_points`` are ``PRICE_POINTS``; ``categories`` (``name``, ``category``, ``customers``) count the customers
    of whom rows of the name were delivered with a category.
    """
    agreed = _agreed(categories)
    rows = []
    for name, prices in _points_by_name(price_points):
        customers = {price.ordinal for price in prices}
        if len(customers) < MIN_CUSTOMERS:
            continue
        category = agreed.get(name)
        rows.append(
            {
                "name": name,
                "list_priced": is_list_priced(prices, len(customers)),
                "own_priced": is_own_priced(prices, len(customers)),
                "category": category,
                "category_source": "population" if category else None,
            }
        )
    return pa.Table.from_pylist(rows, schema=POPULATION)


def is_list_priced(prices: list[Price], customers: int) -> bool:
    """Whether the commonest prices cover most customers, each price at several of them and on a calendar."""
    payers: dict[tuple[str, int], set[int]] = {}
    for price in prices:
        if price.regular:
            payers.setdefault(price.price, set()).add(price.ordinal)
    commonest = sorted(payers.values(), key=len, reverse=True)[:LIST_PRICES]
    covered = set().union(*(payer for payer in commonest if len(payer) >= PAY_A_PRICE))
    return len(covered) >= LIST_SHARE * customers


def is_own_priced(prices: list[Price], customers: int) -> bool:
    """Whether nearly every customer has an amount that recurs on a calendar and is nobody else's."""
    usual: dict[int, Price] = {}
    for price in prices:
        before = usual.get(price.ordinal)
        if price.regular and (before is None or _rank(price) > _rank(before)):
            usual[price.ordinal] = price
    shared = Counter(price.price for price in usual.values())
    return sum(shared[price.price] == 1 for price in usual.values()) >= OWN_SHARE * customers


def _rank(price: Price) -> tuple[int, tuple[str, int]]:
    return price.occurrences, price.price


OF_A_DAY: Final = ("name", "list_priced", "own_priced", "population_category", "population_source")
"""The columns of a stored day of payees that hold its ``POPULATION``."""


def of_payees(payees: pa.Table) -> pa.Table:
    """The ``POPULATION`` that a stored day of payees holds: what the day's features read."""
    shown = payees.select(list(OF_A_DAY))
    rows = {tuple(row.values()) for row in shown.to_pylist() if row["list_priced"] is not None}
    columns = list(zip(*sorted(rows, key=lambda row: row[0]), strict=True)) or [()] * len(POPULATION)
    return pa.table(
        [pa.array(column, each.type) for column, each in zip(columns, POPULATION, strict=True)], schema=POPULATION
    )


def _points_by_name(price_points: pa.Table) -> Iterator[tuple[str, list[Price]]]:
    """The prices of each name, names in order."""
    name: str | None = None
    prices: list[Price] = []
    columns = (price_points.sort_by("name").column(each.name).to_pylist() for each in PRICE_POINTS)
    for each, ordinal, price, currency, occurrences, regular in zip(*columns, strict=True):
        if each != name and name is not None:
            yield name, prices
            prices = []
        name = each
        prices.append(Price(ordinal, (currency or "", price), occurrences, bool(regular)))
    if name is not None:
        yield name, prices


def _agreed(categories: pa.Table | None) -> Mapping[str, str]:
    """The category that most customers' rows of a name were delivered with, where enough of them agree."""
    counted: dict[str, Counter[str]] = {}
    for row in categories.to_pylist() if categories is not None else []:
        counted.setdefault(row["name"], Counter())[row["category"]] += row["customers"]
    agreed: dict[str, str] = {}
    for name, told in counted.items():
        category, customers = max(told.items(), key=lambda each: (each[1], each[0]))
        if customers >= MIN_CUSTOMERS and customers >= CATEGORY_SHARE * told.total():
            agreed[name] = category
    return agreed
