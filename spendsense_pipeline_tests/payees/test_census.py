"""The payees of a day: counted over all customers, with none of them in it."""

import datetime as dt
from collections.abc import Mapping, Sequence

import ibis
import pyarrow as pa
import pytest

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.payees.census import ASKED_FROM, Census, census, is_open, listed
from spendsense_pipeline.payees.known import HouseRule
from spendsense_pipeline.payees.population import MIN_CUSTOMERS, of_payees
from spendsense_pipeline.payees.readings import Reader

AS_OF = dt.date(2026, 6, 30)
FIRST = dt.date(2026, 1, 5)
Row = tuple[str, str | None, float, dt.date]


def monthly(user: str, text: str, amount: float, times: int = 6) -> list[Row]:
    return [(user, text, amount, FIRST + dt.timedelta(days=30 * n)) for n in range(times)]


def counted(rows: Sequence[Row], ask=None, house: Sequence[HouseRule] = (), **columns: Sequence[str | None]) -> Census:
    backend = ibis.duckdb.connect()
    users, texts, amounts, dates = zip(*rows, strict=True)
    transactions = backend.create_table(
        "transactions",
        pa.table(
            {
                "user_id": users,
                "account_id": users,
                "merchant_name": pa.array(texts, pa.string()),
                "amount": amounts,
                "date": dates,
                "pending": [False] * len(rows),
                **{name: pa.array(values, pa.string()) for name, values in columns.items()},
            }
        ),
    )
    accounts = backend.create_table(
        "accounts", pa.table({"account_id": sorted(set(users)), "iso_currency_code": ["USD"] * len(set(users))})
    )
    found = census(transactions, accounts, AS_OF, Reader(house), ask)
    assert failures(CONTRACTS["payees"], found.payees).empty
    return found


def customers(count: int) -> list[str]:
    return [f"customer-{n:02}" for n in range(count)]


def test_one_row_per_name_and_what_was_delivered_with_it() -> None:
    rows = [row for user in customers(5) for row in monthly(user, "NETFLIX.COM 1234567", -15.49)]
    codes = ["5815" if n % 2 else None for n in range(len(rows))]
    found = counted(rows, mcc=codes)
    assert found.payees[["name", "mcc", "rows", "customers"]].astype(object).to_dict("records")[0] == {
        "name": "netflix",
        "mcc": "5815",
        "rows": 15,
        "customers": 5,
    }
    assert found.payees["rows"].sum() == 30


@pytest.mark.parametrize(("count", "shown"), [(MIN_CUSTOMERS, MIN_CUSTOMERS), (MIN_CUSTOMERS - 1, None)])
def test_fewer_than_five_customers_are_not_counted_out_loud(count: int, shown: int | None) -> None:
    found = counted([row for user in customers(count) for row in monthly(user, "BLUE DOOR BAKERY", -4)])
    (told,) = listed(found.payees, 10)
    assert told["customers"] == shown


def test_no_person_no_account_and_nothing_of_one_customer_alone_is_stored() -> None:
    rows = [
        *[row for user in customers(6) for row in monthly(user, "Online Transfer to Ana Lima", -900)],
        *[row for user in customers(6) for row in monthly(user, "Household AB/10788429", -50)],
        *[row for user in customers(3) for row in monthly(user, "OAK HARLAN", -50)],
        *monthly("customer-00", "BLUE DOOR BAKERY", -4),
        *[row for user in customers(2) for row in monthly(user, "NETFLIX", -15.49)],
    ]
    found = counted(rows)
    assert list(found.payees["name"]) == ["netflix"]
    assert (found.names_withheld, found.rows_withheld) == (4, 6 * (6 + 6 + 3 + 1))
    kept = f"{found.payees.to_csv()} {found.unknown} {found.unmapped}".lower()
    for personal in ("lima", "10788429", "harlan", "blue door", "customer-"):
        assert personal not in kept


@pytest.mark.parametrize(
    ("name", "seen_at", "person", "opened"),
    [
        ("northwind bakery", 2, False, True),
        ("northwind bakery", 1, False, False),
        ("netflix", 2, False, True),
        ("oak harlan", 4, False, False),
        ("oak harlan", 5, False, True),
        ("ana lima", 50, True, False),
        ("household ab/10788429", 50, False, False),
    ],
)
def test_which_names_are_stored_in_clear(name: str, seen_at: int, person: bool, opened: bool) -> None:
    assert is_open(name, seen_at, person) is opened


def test_the_most_frequent_unknown_names_are_said_and_nobody_s() -> None:
    rows = [
        *[row for user in customers(5) for row in monthly(user, "ZORBLAX QX", -4)],
        *[row for user in customers(4) for row in monthly(user, "FRUMPTIOUS", -4)],
        *[row for user in customers(5) for row in monthly(user, "NETFLIX", -4)],
    ]
    found = counted(rows)
    assert found.unknown == [{"name": "zorblax qx", "rows": 30, "customers": 5}]
    assert found.explained_share == pytest.approx(30 / 84)
    assert [row["name"] for row in listed(found.payees, 10, unknown=True)] == ["zorblax qx", "frumptious"]
    assert [row["name"] for row in listed(found.payees, 1)] == ["netflix"]


@pytest.mark.parametrize(
    ("text", "whose"),
    [("MOBILE PAYMENT - THANK YOU", "own"), ("INTEREST PAYMENT", "bank"), ("ATM CASH DEPOSIT", "own")],
)
def test_what_names_nobody_and_says_what_it_is_is_no_unknown_payee(text: str, whose: str) -> None:
    found = counted([row for user in customers(5) for row in monthly(user, text, 5.0)])
    assert found.payees["counterparty"].tolist() == [whose]
    assert (found.unknown, found.explained_share) == ([], 1.0)
    assert listed(found.payees, 5, unknown=True) == []


def test_unmapped_categories_are_counted_and_rare_ones_are_nobody_s_business() -> None:
    rows = [row for user in customers(6) for row in monthly(user, "BLUE DOOR BAKERY", -4, times=1)]
    own_words = ["Zorblax", "Zorblax", "Zorblax", "Zorblax", "Zorblax", "Mum's rent"]
    found = counted(rows, category_primary=own_words)
    assert found.unmapped == [{"name": "Zorblax", "rows": 5}]
    assert set(found.payees["category_primary"].dropna()) == {"Zorblax"}
    assert found.payees["rows"].sum() == 6


def test_list_prices_and_own_amounts_are_found_in_the_rows() -> None:
    rows = [
        *[row for n, user in enumerate(customers(6)) for row in monthly(user, "ZORBLAX MUSIC", (-9.99, -14.99)[n % 2])],
        *[row for n, user in enumerate(customers(6)) for row in monthly(user, "FRUMP LOANCO", -210.17 - n)],
        *[(user, "CORNER CUP", -3.5, FIRST + dt.timedelta(days=n * n)) for user in customers(6) for n in range(8)],
    ]
    shown = {row["name"]: row for row in of_payees(pa.Table.from_pandas(counted(rows).payees)).to_pylist()}
    assert (shown["zorblax music"]["list_priced"], shown["zorblax music"]["own_priced"]) == (True, False)
    assert (shown["frump loanco"]["list_priced"], shown["frump loanco"]["own_priced"]) == (False, True)
    assert (shown["corner cup"]["list_priced"], shown["corner cup"]["own_priced"]) == (False, False)


def test_a_category_of_some_rows_holds_for_the_others_of_the_name() -> None:
    rows = [row for user in customers(8) for row in monthly(user, "ZORBLAX", -9.99, times=1)]
    told = ["PERSONAL_CARE_GYMS_AND_FITNESS_CENTERS"] * 5 + [None] * 3
    found = counted(rows, category_detailed=told).payees
    by_source = dict(zip(found["category_source"], found["category"], strict=True))
    assert by_source["population"] == by_source["category"] == "PERSONAL_CARE_GYMS_AND_FITNESS_CENTERS"


def test_rows_after_the_day_and_pending_ones_do_not_count() -> None:
    rows = [(user, "NETFLIX", -15.49, AS_OF + dt.timedelta(days=n)) for user in customers(3) for n in (0, 1)]
    assert counted(rows).rows == 3


def test_the_house_s_line_corrects_a_payee() -> None:
    rows = [row for user in customers(3) for row in monthly(user, "BLUE DOOR BAKERY", -4)]
    found = counted(rows, house=(HouseRule("blue door", "MEDICAL"),))
    assert list(found.payees["category"]) == ["MEDICAL"]
    assert list(found.payees["category_source"]) == ["house"]


def test_only_names_that_many_have_and_nobody_bears_are_asked_about() -> None:
    asked: list[str] = []

    def ask(names: Sequence[str]) -> Mapping[str, str]:
        asked.extend(names)
        return {"zorblax": "MEDICAL"}

    rows = [
        *[row for user in customers(ASKED_FROM) for row in monthly(user, "ZORBLAX", -4, times=1)],
        *[row for user in customers(ASKED_FROM - 1) for row in monthly(user, "FRUMPTIOUS", -4, times=1)],
        *[row for user in customers(ASKED_FROM) for row in monthly(user, "Oak Harlan", -4, times=1)],
        *[row for user in customers(ASKED_FROM) for row in monthly(user, "Zelle to Ana Lima", -4, times=1)],
        *[row for user in customers(ASKED_FROM) for row in monthly(user, "NETFLIX", -4, times=1)],
    ]
    found = counted(rows, ask=ask)
    assert asked == ["zorblax"]
    told = found.payees.set_index("name")
    assert (told.loc["zorblax", "category"], told.loc["zorblax", "category_source"]) == ("MEDICAL", "model")
    assert told.loc["zorblax", "population_source"] == "model"
