"""What must not matter: the order of rows, the unit of money, other customers, the year, pending and future rows.

Each property is tried on drawn histories, ten customers at a time: sixty in `make test`, thousands in `make verify`;
by kernels in plain Python and by compiled ones.
"""

import datetime as dt
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from spendsense_pipeline import synthetic, warehouse
from spendsense_pipeline.features.signals import Customers, Signals, signals_of
from spendsense_pipeline.ingest import canonical, landing
from spendsense_pipeline.synthetic import Synthetic
from spendsense_pipeline_tests.features.histories import AMOUNTS, PAYEES, Event, dates_on, live, town, towns
from spendsense_pipeline_tests.features.ledger import AS_OF, Ledger, Row

Find = Callable[..., Signals]
Town = list[list[Event]]
SCALE = 4  # a power of two: binary fractions scale without rounding
WINDOWS = (30, 180)

few = settings(max_examples=6, suppress_health_check=list(HealthCheck))
many = settings(few, max_examples=500)


@pytest.fixture(scope="module", params=["plain", "compiled"])
def find(request: pytest.FixtureRequest) -> Find:
    """The signals of customers, by the kernels of either mode."""
    return signals_of if request.param == "plain" else request.getfixturevalue("compiled")


def same(one: Signals, other: Signals) -> None:
    """Say which rows differ; tables alone would say that they do."""
    for first, second in zip(one, other, strict=True):
        if not first.equals(second):
            assert first.to_pylist() == second.to_pylist()
            assert first.schema == second.schema


# --- the properties --------------------------------------------------------------------------------------------------


def order_does_not_matter(find: Find, drawn: Town) -> None:
    ledger, shuffled = town(drawn), town(drawn)
    for rows in shuffled.rows.values():
        random.Random(len(rows)).shuffle(rows)
    same(find(shuffled.customers(), [AS_OF]), find(ledger.customers(), [AS_OF]))


def pending_and_future_rows_do_not_matter(find: Find, drawn: Town) -> None:
    ledger, disturbed = town(drawn), town(drawn)
    rows = ledger.rows["transactions"]
    for row in [row for row in rows if row["date"] > AS_OF]:
        rows.remove(row)
    for row in list(rows[::2]):
        early = row["date"] - dt.timedelta(days=1)
        disturbed.row(row["account_id"], early, row["amount"], row["merchant_name"], pending=True)
    for row in list(rows[::3]):
        future = AS_OF + (AS_OF - row["date"]) + dt.timedelta(days=1)
        disturbed.row(row["account_id"], future, row["amount"], row["merchant_name"])
    for one in (ledger, disturbed):  # of this day: later rows are none that would be rolled back
        for account in one.rows["accounts"]:
            account["balance_date"] = AS_OF
    same(find(disturbed.customers(), [AS_OF]), find(ledger.customers(), [AS_OF]))


def others_do_not_matter(find: Find, drawn: Town) -> None:
    whole = find(town(drawn).customers(), [AS_OF])
    for number in (0, len(drawn) // 2):
        alone = Ledger()
        live(alone, str(number), drawn[number])
        found = find(alone.customers(), [AS_OF])
        for table, of_all in ((found.streams, whole.streams), (found.features, whole.features)):
            assert table.to_pylist() == [row for row in of_all.to_pylist() if row["user_id"] == str(number)]


def how_tables_are_held_does_not_matter(find: Find, drawn: Town) -> None:
    customers = town(drawn).customers()
    same(find(Customers(*map(in_pieces, customers)), [AS_OF]), find(customers, [AS_OF]))


def in_pieces(table: pa.Table) -> pa.Table:
    """The same rows in several chunks, texts in dictionaries."""
    third = len(table) // 3
    pieces = pa.concat_tables([table.slice(0, third), table.slice(third, third), table.slice(2 * third)])
    for place, field in enumerate(table.schema):
        if field.type == pa.string() and field.name in ("merchant_name", "category_detailed", "account_id"):
            pieces = pieces.set_column(place, field.name, pieces.column(place).dictionary_encode())
    return pieces


def dates_at_once_are_dates_one_by_one(find: Find, drawn: Town) -> None:
    customers = town(drawn).customers()
    dates = [AS_OF - dt.timedelta(days=back) for back in (200, 61, 33, 32, 31, 2, 0)]
    alone = [find(customers, [date]) for date in dates]
    together = find(customers, dates)
    for name in Signals._fields:
        rows = [row for one in alone for row in getattr(one, name).to_pylist()]
        assert sorted_rows(getattr(together, name).to_pylist()) == sorted_rows(rows), name


def sorted_rows(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


MONEY = {
    *("total_spend", "avg_monthly_expenses", "net_savings_inflow", "savings_balance", "interest_charges"),
    *("fees_180d", "fees_30d", "avg_monthly_income", "monthly_recurring_spend"),
    *("service_fees_180d", "regular_income", "monthly_bills", "monthly_regular", "unlinked_card_payments"),
    *("typical_amount", "last_amount", "monthly_cost", "price_before"),
}


def the_unit_of_money_does_not_matter(find: Find, drawn: Town) -> None:
    plain, scaled = find(town(drawn).customers(), [AS_OF]), find(town(drawn, SCALE).customers(), [AS_OF])
    # A price is modest up to 75 US dollars: whose price is one for the smaller unit alone is looked at elsewhere.
    modest = {row["user_id"] for row in plain.streams.to_pylist() if row["evidence"] == "card_modest"}
    assert without(modest, stripped(scaled.streams)) == in_units(without(modest, stripped(plain.streams)))
    assert without(modest, scaled.features.to_pylist()) == in_units(without(modest, plain.features.to_pylist()))


def without(users: set[str], rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["user_id"] not in users]


def stripped(streams: pa.Table) -> list[Row]:
    """Without the id, which names the first price, and in an order without it."""
    found = streams.drop_columns(["stream_id"]).to_pylist()
    return sorted(
        found, key=lambda row: [row["user_id"], row["merchant"], str(row["first_date"]), row["typical_amount"]]
    )


def in_units(rows: list[Row]) -> list[Row]:
    """The same with money multiplied, as precise as cents allow: a cent is much of what is small itself."""

    def precision(row: Row) -> float:
        return 1e-3 + 0.01 / (row.get("avg_monthly_expenses") or 1e9)

    return [
        {
            name: pytest.approx(value * (SCALE if name in MONEY else 1), rel=precision(row), abs=0.05)
            if isinstance(value, float)
            else value
            for name, value in row.items()
        }
        for row in rows
    ]


YEARS = 56  # after which months, leap years, weekdays and fortnights are where they were


def the_year_does_not_matter(find: Find, drawn: Town) -> None:
    later = (AS_OF.replace(year=AS_OF.year + YEARS) - AS_OF).days
    assert later % 14 == 0
    now, then = town(drawn), town(drawn, later=later)
    found, after = find(now.customers(), [AS_OF]), find(then.customers(), [then.as_of])
    back = dt.timedelta(days=later)
    for one, other in ((found.streams, after.streams), (found.features, after.features)):
        rows = [
            {name: value - back if isinstance(value, dt.date) else value for name, value in row.items()}
            for row in other.to_pylist()
        ]
        assert [row | {"stream_id": None} for row in rows] == [row | {"stream_id": None} for row in one.to_pylist()]


PROPERTIES = (
    order_does_not_matter,
    pending_and_future_rows_do_not_matter,
    others_do_not_matter,
    how_tables_are_held_does_not_matter,
    dates_at_once_are_dates_one_by_one,
    the_unit_of_money_does_not_matter,
    the_year_does_not_matter,
)


@pytest.mark.parametrize("hold", PROPERTIES)
@few
@given(drawn=towns())
def test_what_must_not_matter_does_not(find: Find, hold: Callable[[Find, Town], None], drawn: Town) -> None:
    hold(find, drawn)


@pytest.mark.verify
@pytest.mark.parametrize("hold", PROPERTIES)
@many
@given(drawn=towns())
def test_what_must_not_matter_does_not_on_thousands(
    find: Find, hold: Callable[[Find, Town], None], drawn: Town
) -> None:
    hold(find, drawn)


def both_modes_find_the_same(compiled: Find, drawn: Town) -> None:
    customers, dates = town(drawn).customers(), [AS_OF - dt.timedelta(days=40), AS_OF]
    same(compiled(customers, dates, (7, 30, 180, 365)), signals_of(customers, dates, (7, 30, 180, 365)))


@few
@given(drawn=towns())
def test_compiled_kernels_find_what_plain_ones_find(compiled: Find, drawn: Town) -> None:
    both_modes_find_the_same(compiled, drawn)


@pytest.mark.verify
@many
@given(drawn=towns())
def test_kernels_with_checked_bounds_find_what_plain_ones_find(checked: Find, drawn: Town) -> None:
    both_modes_find_the_same(checked, drawn)


def test_the_histories_are_worth_a_comparison() -> None:
    chance, drawn = random.Random(20_260_630), []
    for _ in range(60):
        payee, amounts = chance.choice(PAYEES), AMOUNTS[chance.choice(sorted(AMOUNTS))]
        calendar, times = chance.choice(["weekly", "biweekly", "monthly", "quarterly", "semi-monthly"]), 8
        cents = chance.randint(100, 300_000)
        drawn.append(
            [
                Event("checking", date, payee.sign * amounts(cents, turn, times), payee.spellings[0], payee.category)
                for turn, date in enumerate(dates_on(calendar, chance.randint(0, 30), times))
            ]
        )
    found = town(drawn).signals()
    assert set(found.streams["kind"].to_pylist()) == {"subscription", "bill", "regular", "income"}
    assert len(set(found.streams["cadence"].to_pylist())) >= 4
    assert len(set(found.features["pay_frequency"].to_pylist())) >= 4


# --- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.verify
def test_splitting_into_batches_changes_nothing(tmp_path: Path) -> None:
    """Generated customers landed at once, and in three batches of which each repeats rows of the one before."""
    made = synthetic.generate(8, as_of=AS_OF, hard=True)
    whole = tmp_path / "whole"
    synthetic.write(made, whole)
    rows = made.tables["transactions"].sample(frac=1.0, random_state=3)
    parts = []
    for part in range(3):
        parts.append(tmp_path / f"part{part}")
        again = rows.iloc[part - 1 :: 3].head(100) if part else rows.head(0)
        tables = {**made.tables, "transactions": pd.concat([rows.iloc[part::3], again])}
        synthetic.write(Synthetic(tables, made.truth), parts[-1])
    one, several = landed([whole]), landed(parts)
    assert one.streams.num_rows > 25
    same(several, one)
    same(landed([whole]), one)  # the same batches and the same day give the same table


def landed(batches: list[Path]) -> Signals:
    """The signals of batches that arrived in this order."""
    con = warehouse.connect()
    raw = {}
    for table in ("users", "accounts", "transactions", "liabilities"):
        arrived = [
            landing.read_raw(con, batch, table, batch_id=batch.name, arrival=number, arrived_on=AS_OF)
            for number, batch in enumerate(batches, start=1)
        ]
        raw[table] = arrived[0].union(*arrived[1:]) if len(arrived) > 1 else arrived[0]
    accepted = {table: canonical.accepted(rows).to_pyarrow() for table, rows in canonical.judge(raw).items()}
    return signals_of(Customers(**accepted), [AS_OF])
