"""What prices show, on both sides of each threshold."""

import pyarrow as pa
import pytest

from spendsense_pipeline.payees.population import POPULATION, PRICE_POINTS, of_payees, population

Point = tuple[int, int, bool]
"""Customer, price, on a calendar."""


def shown(points: list[Point], name: str = "acorn") -> dict | None:
    rows = [
        {"name": name, "ordinal": who, "price": price, "currency": "USD", "occurrences": 6, "regular": regular}
        for who, price, regular in points
    ]
    found = population(pa.Table.from_pylist(rows, schema=PRICE_POINTS)).to_pylist()
    return found[0] if found else None


def listed(points: list[Point]) -> bool:
    found = shown(points)
    assert found is not None
    return found["list_priced"]


def owned(points: list[Point]) -> bool:
    found = shown(points)
    assert found is not None
    return found["own_priced"]


def test_a_name_seen_at_fewer_than_five_customers_shows_nothing() -> None:
    assert shown([(who, 1299, True) for who in range(4)]) is None
    assert shown([(who, 1299, True) for who in range(5)]) is not None


def test_the_same_few_prices_on_a_calendar_are_list_prices() -> None:
    assert listed([(who, 1299 if who % 2 else 1799, True) for who in range(10)])


def test_list_prices_need_a_calendar() -> None:
    """Coffee has one price too, and comes on any day."""
    assert not listed([(who, 350, False) for who in range(20)])


@pytest.mark.parametrize(("covered", "is_list"), [(6, True), (5, False)])
def test_list_prices_cover_three_fifths_of_the_customers(covered: int, is_list: bool) -> None:
    points = [(who, 1299, True) for who in range(covered)] + [(who, 100 + who, True) for who in range(covered, 10)]
    assert listed(points) is is_list


@pytest.mark.parametrize(("payers", "is_list"), [(3, True), (2, False)])
def test_a_list_price_is_paid_by_three_customers(payers: int, is_list: bool) -> None:
    points = [(who, 1000 + who // payers, True) for who in range(3 * payers)]
    assert listed(points) is is_list


def test_no_more_than_three_prices_make_a_list() -> None:
    assert listed([(who, who // 4, True) for who in range(20)])  # the commonest three of five cover 12 of 20
    assert not listed([(who, who // 3, True) for who in range(18)])  # and of six 9 of 18


@pytest.mark.parametrize(("own", "is_own"), [(8, True), (7, False)])
def test_four_fifths_with_an_own_amount_are_an_obligation(own: int, is_own: bool) -> None:
    points = [(who, 90_000 + who, True) for who in range(own)] + [(who, 5_000, False) for who in range(own, 10)]
    assert owned(points) is is_own


def test_an_amount_that_another_pays_too_is_not_own() -> None:
    assert not owned([(who, 1299, True) for who in range(10)])
    assert owned([(who, 90_000 + who, True) for who in range(8)] + [(8, 5_000, True), (9, 5_000, True)])
    assert not owned([(who, 90_000 + who, True) for who in range(7)] + [(who, 5_000, True) for who in range(7, 10)])


def test_a_price_in_another_currency_is_another_price() -> None:
    rows = [
        {"name": "acorn", "ordinal": who, "price": 999, "currency": ("USD", "EUR", "GBP", "CHF", "SEK")[who],
         "occurrences": 6, "regular": True}
        for who in range(5)
    ]  # fmt: skip
    assert not population(pa.Table.from_pylist(rows, schema=PRICE_POINTS)).to_pylist()[0]["list_priced"]


@pytest.mark.parametrize(
    ("told", "category"),
    [
        ({"MEDICAL": 5}, "MEDICAL"),
        ({"MEDICAL": 4}, None),
        ({"MEDICAL": 6, "TRAVEL": 2}, "MEDICAL"),
        ({"MEDICAL": 5, "TRAVEL": 2}, None),
    ],
)
def test_a_category_that_most_rows_came_with_holds_for_the_others(told: dict[str, int], category: str | None) -> None:
    points = pa.Table.from_pylist(
        [
            {"name": "acorn", "ordinal": who, "price": who, "currency": "USD", "occurrences": 1, "regular": False}
            for who in range(9)
        ],
        schema=PRICE_POINTS,
    )
    categories = pa.Table.from_pylist(
        [{"name": "acorn", "category": each, "customers": customers} for each, customers in told.items()]
    )
    found = population(points, categories).to_pylist()[0]
    assert found["category"] == category
    assert found["category_source"] == ("population" if category else None)


def test_a_stored_day_gives_its_population_back() -> None:
    rows = [
        {"name": "b", "list_priced": True, "own_priced": False, "population_category": "MEDICAL",
         "population_source": "model", "rows": rows}
        for rows in (1, 2)
    ] + [{"name": "a", "list_priced": None, "own_priced": None, "population_category": None,
          "population_source": None, "rows": 3}]  # fmt: skip
    found = of_payees(pa.Table.from_pylist(rows))
    assert found.schema == POPULATION
    assert found.to_pylist() == [
        {"name": "b", "list_priced": True, "own_priced": False, "category": "MEDICAL", "category_source": "model"}
    ]
    assert len(of_payees(pa.Table.from_pylist(rows[2:]))) == 0
