"""What a payee's prices show about it, over all customers who pay it: sold at list prices, or owed by each customer.

Where the same few prices recur at many customers, each on a calendar, something is sold by subscription. Where nearly
every customer pays an amount of his own, time after time, it is an obligation: a loan, a rent, a premium. Shops show
neither. What comes in names no customer: they are numbered anew for every day (``ordinal``), and what goes out holds no
number at all. What does not belong here: which texts are one payee (``names.py``), and a single customer's streams.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

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


def population(price_points: pa.Table, categories: pa.Table | None = None) -> pa.Table:
    """What names seen at ``MIN_CUSTOMERS`` or more customers show, as ``POPULATION``, by name.

    ``price_points`` are ``PRICE_POINTS``; ``categories`` (``name``, ``category``, ``customers``) count the customers
    of whom rows of the name were delivered with a category.
    """
    points = price_points.set_column(3, "currency", price_points["currency"].fill_null(""))
    agreed, customers = _agreed(categories), _customers(points)
    regular = points.filter(points["regular"])
    listed, own = _customers(_at_list_prices(regular)), _customers(_at_own_prices(regular))
    rows = [
        {
            "name": name,
            "list_priced": listed.get(name, 0) >= LIST_SHARE * number,
            "own_priced": own.get(name, 0) >= OWN_SHARE * number,
            "category": agreed.get(name),
            "category_source": "population" if name in agreed else None,
        }
        for name, number in sorted(customers.items())
        if number >= MIN_CUSTOMERS
    ]
    return pa.Table.from_pylist(rows, schema=POPULATION)


_PRICE: Final = ["name", "currency", "price"]


def _customers(points: pa.Table) -> dict[str, int]:
    """How many customers the points of each name are of."""
    counted = points.group_by("name").aggregate([("ordinal", "count_distinct")])
    return dict(zip(counted["name"].to_pylist(), counted["ordinal_count_distinct"].to_pylist(), strict=True))


def _at_list_prices(regular: pa.Table) -> pa.Table:
    """The points at the commonest prices of each name, each price paid by several customers on a calendar."""
    payers = regular.group_by(_PRICE).aggregate([("ordinal", "count_distinct")])
    payers = payers.filter(pc.field("ordinal_count_distinct") >= PAY_A_PRICE)
    prices: dict[str, list[tuple[int, str, int]]] = {}
    for name, currency, price, number in zip(*(column.to_pylist() for column in payers.columns), strict=True):
        prices.setdefault(name, []).append((-number, currency, price))
    listed = [(name, *price) for name, told in prices.items() for _, *price in sorted(told)[:LIST_PRICES]]
    schema = pa.schema([PRICE_POINTS.field(name) for name in _PRICE])
    keys = pa.table([list(column) for column in zip(*listed, strict=True)] or [[]] * 3, schema=schema)
    return regular.join(keys, _PRICE, join_type="inner")


def _at_own_prices(regular: pa.Table) -> pa.Table:
    """The usual price of each customer of a name, where it is the usual one of nobody else."""
    order = ("name", "ordinal", "occurrences", "currency", "price")
    ordered = regular.sort_by([(name, "ascending") for name in order])
    usual = ordered.group_by(["name", "ordinal"], use_threads=False).aggregate(
        [("currency", "last"), ("price", "last")]
    )
    usual = usual.rename_columns(["name", "ordinal", "currency", "price"])
    payers = usual.group_by(_PRICE).aggregate([([], "count_all")])
    return usual.join(payers.filter(pc.field("count_all") == 1), _PRICE, join_type="inner")


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
