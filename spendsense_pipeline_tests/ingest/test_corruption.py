"""Whatever becomes of a batch on its way: no crash, every row accounted for, and the clean rows stand as they were.

A few examples in every run of the tests, many in `make verify`.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spendsense_pipeline.ingest import canonical, landing
from spendsense_pipeline.ingest.files import BatchRefused
from spendsense_pipeline_tests.ingest.conftest import ACCOUNT, ARRIVED_ON, TRANSACTION, USER, Row, Zone, rows

PEOPLE = {"users_json": [USER], "accounts_json": [{**ACCOUNT, "balance_date": "2026-02-01"}]}


def clean(number: int) -> Row:
    """A row whose id no damage can turn into another one's."""
    name = hashlib.sha256(str(number).encode()).hexdigest()[:24]
    return {**TRANSACTION, "transaction_id": name, "amount": number + 0.25, "merchant_name": f"Payee {number}"}


def as_jsonl(many: list[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in many)


def as_json(many: list[Row]) -> bytes:
    return json.dumps(many).encode()


def as_csv(many: list[Row]) -> bytes:
    told = io.StringIO()
    writer = csv.DictWriter(told, landing.names("transactions"), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in many)
    return told.getvalue().encode()


def as_parquet(many: list[Row]) -> bytes:
    columns = {name: [_plain(row.get(name)) for row in many] for name in landing.names("transactions")}
    told = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), told)
    return told.getvalue()


def _plain(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


WRITTEN: dict[str, Callable[[list[Row]], bytes]] = {
    "transactions_jsonl": as_jsonl,
    "transactions_json": as_json,
    "transactions_csv": as_csv,
    "transactions_parquet": as_parquet,
    "transactions_jsonl_gz": as_jsonl,
}


def kept_promise(zone: Zone) -> dict[str, Row]:
    """The accepted rows by id; read = accepted + duplicate + rejected in each file, each rejected row in quarantine."""
    tally = rows(canonical.tally(zone.judged("transactions")))
    for file in tally:
        assert file["read"] == file["accepted"] + file["duplicate"] + file["rejected"]
    rejected = [row for row in zone.quarantine() if row["table"] == "transactions"]
    assert len(rejected) == sum(file["rejected"] for file in tally)
    assert all(row["reasons"] and row["row"] >= 1 and row["file"] for row in rejected)
    return {row["transaction_id"]: row for row in zone.accepted("transactions")}


def as_it_was(found: Row, row: Row) -> bool:
    return (found["amount"], found["merchant_name"], str(found["date"])) == (
        row["amount"],
        row["merchant_name"],
        row["date"],
    )


# --- Values, rows, order, splits ---

# JSON and Arrow have no way to write a lone surrogate.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.lists(st.integers(), max_size=2))
DAMAGE = st.dictionaries(st.sampled_from(landing.names("transactions")), ODD, max_size=3)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Row], list[tuple[str, list[Row]]]]:
    """Clean rows, and batches of (format, rows) over which they are split among damaged and repeated ones."""
    sound = [clean(n) for n in range(draw(st.integers(1, 5)))]
    damaged = [{**clean(100 + n), **changes} for n, changes in enumerate(draw(st.lists(DAMAGE, max_size=6)))]
    repeated = draw(st.lists(st.sampled_from(sound), max_size=3))
    mixed = draw(st.permutations([*sound, *damaged, *repeated]))
    cuts = sorted(draw(st.lists(st.integers(0, len(mixed)), max_size=2)))
    parts = [mixed[a:b] for a, b in zip([0, *cuts], [*cuts, len(mixed)], strict=True)]
    return sound, [(draw(st.sampled_from(sorted(WRITTEN))), part) for part in parts if part]


def damaged_rows_take_no_clean_one_with_them(
    zone: Zone, delivered: tuple[list[Row], list[tuple[str, list[Row]]]]
) -> None:
    sound, parts = delivered
    zone.arrive("people", **PEOPLE)
    for number, (name, part) in enumerate(parts):
        zone.arrive(f"b{number}", **{name: WRITTEN[name](part)})
    accepted = kept_promise(zone)
    for row in sound:
        assert as_it_was(accepted[row["transaction_id"]], row)
    zone.batches = zone.batches[::-1]
    assert kept_promise(zone) == accepted, "the order of materialising does not matter"


# --- Bytes ---


@st.composite
def broken_files(draw: st.DrawFn) -> tuple[str, bytes, list[Row]]:
    """A file with some bytes overwritten, and the rows on whose lines none of them lies."""
    name = draw(st.sampled_from(["transactions_jsonl", "transactions_csv"]))
    many = [clean(n) for n in range(draw(st.integers(2, 8)))]
    content = bytearray(WRITTEN[name](many))
    header = content.index(b"\n") + 1 if name == "transactions_csv" else 0
    # Two quotes may enclose whole lines of a CSV file as one text, and nobody could tell.
    byte = st.integers(0, 255).filter(lambda one: name == "transactions_jsonl" or one != ord('"'))
    touched: set[int] = set()
    lines = bytes(content).split(b"\n")
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(header, len(content) - 1))
        line = _line(lines, place)
        touched |= {line, line + 1} if place == sum(len(one) + 1 for one in lines[: line + 1]) - 1 else {line}
        content[place] = draw(byte)
    first = 1 if header else 0
    return name, bytes(content), [row for n, row in enumerate(many) if n + first not in touched]


def _line(lines: list[bytes], place: int) -> int:
    """The line on which a byte lies; a line's end belongs to it."""
    end = 0
    for number, line in enumerate(lines):
        end += len(line) + 1
        if place < end:
            return number
    raise IndexError(place)


def damaged_bytes_take_no_clean_line_with_them(zone: Zone, broken: tuple[str, bytes, list[Row]]) -> None:
    name, content, untouched = broken
    zone.arrive(**PEOPLE, **{name: content})
    try:
        accepted = kept_promise(zone)
    except BatchRefused:
        return  # said with the file and the place; nothing of it was taken
    for row in untouched:
        assert as_it_was(accepted[row["transaction_id"]], row)


def test_a_parquet_file_with_any_damage_is_refused_before_a_row_of_it_is_stored_or_read_whole(zone: Zone) -> None:
    whole, refused = as_parquet([clean(1)]), 0
    places = range(4, len(whole), len(whole) // 60)
    for place in places:
        content = bytearray(whole)
        content[place] ^= 0xFF
        folder = zone.folder(f"b{place}", transactions_parquet=bytes(content))
        try:
            surveyed = landing.survey(zone.con, folder)
        except BatchRefused:
            refused += 1
            continue
        told = {"batch_id": folder.name, "arrival": 1, "arrived_on": ARRIVED_ON}
        found = landing.read_raw(zone.con, folder, "transactions", **told, surveyed=surveyed)
        assert len(rows(found)) == 1, place
    assert refused > len(places) / 2


PROPERTIES = [
    pytest.param(damaged_rows_take_no_clean_one_with_them, deliveries(), id="rows"),
    pytest.param(damaged_bytes_take_no_clean_line_with_them, broken_files(), id="bytes"),
]


@pytest.mark.parametrize(("holds", "inputs"), PROPERTIES)
@pytest.mark.parametrize("examples", [3, pytest.param(300, marks=pytest.mark.verify)])
def test_nothing_good_is_lost_with_something_bad(
    tmp_path_factory: pytest.TempPathFactory, holds: Callable[..., None], inputs: st.SearchStrategy[Any], examples: int
) -> None:
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def run(drawn: Any) -> None:
        holds(Zone(tmp_path_factory.mktemp("zone")), drawn)

    run()
