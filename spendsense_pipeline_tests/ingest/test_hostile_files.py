"""Files as they must not come, each by name: what is refused, what is rejected, and what stands beside it.

What a single value may not be is in `test_canonical.py`, what a file as a whole may not be in `test_landing.py`; here
is what depends on how a format writes it.
"""

import datetime as dt
import itertools
import json
import os
import re
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spendsense_pipeline.ingest import canonical, landing
from spendsense_pipeline.ingest.files import BatchRefused
from spendsense_pipeline_tests.ingest.conftest import ACCOUNT, TRANSACTION, USER, Row, Zone

HEADER = "transaction_id,account_id,date,amount,merchant_name\n"
GOOD = "t1,a1,2026-02-01,-12.5,Cafe\n"
LINE = json.dumps(TRANSACTION)
MANY = "".join(map(chr, range(0x4E00, 0x4E00 + 100)))


PERSON: dict[str, Any] = {"users_json": [USER], "accounts_json": [ACCOUNT]}


def line(**changes: Any) -> str:
    return json.dumps({**TRANSACTION, "transaction_id": "t2", **changes})


HOSTILE: dict[str, tuple[str, str | bytes, list[tuple[int, str | None, str]]]] = {
    "thousands separators and a trailing minus in CSV": (
        "transactions_csv",
        HEADER + GOOD + 't2,a1,2026-02-01,"1,204.50",x\nt3,a1,2026-02-01,12.50-,x\nt4,a1,2026-02-01,(5.00),x\n',
        [(2, "amount", "not_a_number"), (3, "amount", "not_a_number"), (4, "amount", "not_a_number")],
    ),
    "invalid UTF-8 on one line of JSON Lines": (
        "transactions_jsonl",
        f"{LINE}\n".encode() + b'{"transaction_id": "t2", "merchant_name": "\xff\xfe"}\n',
        [(2, None, "unreadable_row")],
    ),
    "a NUL byte on a line of JSON Lines": (
        "transactions_jsonl",
        f"{LINE}\n".encode() + b'{"transaction_id": "t2\x00"}\n',
        [(2, None, "unreadable_row")],
    ),
    "a NUL byte in a CSV value": (
        "transactions_csv",
        f"{HEADER}{GOOD}t2,a1,2026-02-01,1,a\x00b\n",
        [(2, "merchant_name", "control_characters")],
    ),
    "a truncated last line of JSON Lines": (
        "transactions_jsonl",
        f"{LINE}\n{LINE[:40]}",
        [(2, None, "unreadable_row")],
    ),
    "a truncated last line of CSV": ("transactions_csv", f"{HEADER}{GOOD}t2,a1,2026", [(2, None, "unreadable_row")]),
    "a payee of 5 MB in CSV": (
        "transactions_csv",
        f"{HEADER}{GOOD}t2,a1,2026-02-01,1,{'x' * 5_000_000}\n",
        [(2, "merchant_name", "text_too_long")],
    ),
    "an id of 10 kB in CSV": (
        "transactions_csv",
        f"{HEADER}{GOOD}{'i' * 10_000},a1,2026-02-01,1,x\n",
        [(2, "transaction_id", "id_too_long")],
    ),
    "NaN as JSON writers write it": (
        "transactions_jsonl",
        f"{LINE}\n{line(amount=float('nan'))}\n",
        [(2, "amount", "not_finite")],
    ),
    "an id of thousands of brackets": (
        "transactions_jsonl",
        f"{LINE}\n" + '{"transaction_id": ' + "[" * 5_000 + "]" * 5_000 + "}\n",
        [(2, "transaction_id", "id_too_long")],
    ),
    "an array on a line of JSON Lines": ("transactions_jsonl", f"{LINE}\n[1, 2]\n", [(2, None, "unreadable_row")]),
    "text behind the object on a line": (
        "transactions_jsonl",
        f"{LINE}\n{line()} xyz\n",
        [(2, None, "unreadable_row")],
    ),
    "a byte-order mark before a JSON array": ("transactions_json", b"\xef\xbb\xbf" + f"[{LINE}]".encode(), []),
    "a byte-order mark before a CSV header": ("transactions_csv", b"\xef\xbb\xbf" + (HEADER + GOOD).encode(), []),
    "Windows line ends": ("transactions_csv", (HEADER + GOOD).replace("\n", "\r\n"), []),
    "Windows line ends from the middle on": (
        "transactions_csv",
        f"{HEADER}{GOOD}t2,a1,2026-02-01,x,x\r\nt3,a1,2026-02-01,1,y,\nt4,a1,2026-02-01,z,z\r\n",
        [(2, "amount", "not_a_number"), (3, None, "unreadable_row"), (4, "amount", "not_a_number")],
    ),
    "a line end of another kind within quotes, packed": (
        "transactions_csv_gz",
        (HEADER + GOOD).replace("\n", "\r\n").replace("Cafe", '"Cafe\nat the corner"'),
        [],
    ),
    "blank lines": ("transactions_csv", f"{HEADER}\n{GOOD}\n\n", []),
    "a quote within a value": ("transactions_csv", HEADER + GOOD.replace("Cafe", '5" pipe and 6" pipe'), []),
    "a formula and HTML": ("transactions_csv", HEADER + GOOD.replace("Cafe", "=1+1<script>alert(1)</script>"), []),
}


def own(content: str | bytes, number: int) -> bytes:
    """The file with ids that no other has."""
    written = content.encode() if isinstance(content, str) else content
    return re.sub(rb"\bt[1-4]\b", rb"\g<0>-%d" % number, written)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[Row]]:
    """The ids accepted and the rows rejected of all these files, each in a batch of its own."""
    zone = Zone(tmp_path_factory.mktemp("hostile")).arrive("people", **PERSON)
    for number, (file, content, _) in enumerate(HOSTILE.values()):
        zone.arrive(str(number), **{file: own(content, number)})
    return [row["transaction_id"] for row in zone.accepted("transactions")], zone.quarantine()


@pytest.mark.parametrize(("number", "name"), enumerate(HOSTILE), ids=HOSTILE)
def test_the_row_is_rejected_and_its_neighbour_stands(
    hostile: tuple[list[str], list[Row]], number: int, name: str
) -> None:
    accepted, quarantined = hostile
    assert [one for one in accepted if one.endswith(f"-{number}")] == [f"t1-{number}"]
    rejected = [row for row in quarantined if row["batch"] == str(number)]
    assert [(row["row"], row["field"], row["reasons"][0]) for row in rejected] == HOSTILE[name][2]


def test_of_no_other_file_anything_is_accepted_or_rejected(hostile: tuple[list[str], list[Row]]) -> None:
    assert len(hostile[0]) == len(HOSTILE)
    assert len(hostile[1]) == sum(len(rejected) for *_, rejected in HOSTILE.values())


def test_a_header_without_rows_is_a_table_without_rows(zone: Zone) -> None:
    zone.arrive(users_json=[USER], accounts_json=[ACCOUNT], transactions_csv=HEADER)
    assert zone.outcomes("transactions") == []
    assert zone.quarantine() == []


def test_a_quote_that_swallows_the_lines_after_it_is_refused_or_rejected_and_never_accepted(zone: Zone) -> None:
    swallowing = f'{HEADER}t1,a1,2026-02-01,1,"open\n{GOOD.replace("t1", "t2")}t3,a1,2026-02-01,1,"open too\n'
    zone.arrive(users_json=[USER], accounts_json=[ACCOUNT], transactions_csv=swallowing)
    try:
        assert "accepted" not in zone.outcomes("transactions")
    except BatchRefused as refused:
        assert "line" in str(refused)  # noqa: PT017 - either answer is right, and each has its own promise


def test_a_folder_that_may_not_be_read_is_refused() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "b1"
        folder.mkdir()
        (folder / "users.json").write_text("[]")
        Path(made).chmod(0o755)
        folder.chmod(0)
        root = os.geteuid() == 0
        try:
            if root:
                os.seteuid(65534)  # root may read everything; nobody may not
            with pytest.raises(BatchRefused, match="no permission to read this folder"):
                landing.discover(folder)
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


def _parquet(zone: Zone, names: list[str], *columns: Any) -> Zone:
    """A batch whose transactions are one Parquet file."""
    zone.arrive(**PERSON)
    pq.write_table(pa.Table.from_arrays(list(columns), names=names), zone.root / "b1" / "transactions.parquet")
    return zone


ROW = [pa.array(["t1"]), pa.array(["a1"]), pa.array(["2026-02-01"])]
NAMES = ["transaction_id", "account_id", "date"]


def test_decimals_wider_than_the_engine_reads_are_refused(zone: Zone) -> None:
    wide, widest = (pa.array([Decimal("-12.50")], pa.decimal256(digits, 2)) for digits in (39, 38))
    with pytest.raises(BatchRefused, match="'amount' holds decimals of 39 digits"):
        _parquet(zone, [*NAMES, "amount"], *ROW, wide).judged("transactions")
    (row,) = _parquet(Zone(zone.root.parent / "other"), [*NAMES, "amount"], *ROW, widest).accepted("transactions")
    assert row["amount"] == -12.5


def test_a_name_that_stands_twice_is_refused_with_the_file_or_with_the_row(zone: Zone) -> None:
    with pytest.raises(BatchRefused, match="two columns are called 'amount'"):
        _parquet(zone, [*NAMES, "amount", "amount"], *ROW, pa.array([-1.0]), pa.array([-2.0])).judged("transactions")
    capital = Zone(zone.root.parent / "capital")
    with pytest.raises(BatchRefused, match="two columns are called 'amount'"):
        _parquet(capital, [*NAMES, "amount", "Amount"], *ROW, pa.array([-1.0]), pa.array([-2.0])).judged("transactions")
    twice = '{"transaction_id": "t1", "account_id": "a1", "date": "2026-02-01", "amount": -1, "amount": -2}\n'
    once = '{"transaction_id": "t2", "account_id": "a1", "date": "2026-02-01", "amount": -1}\n'
    other = Zone(zone.root.parent / "other").arrive(**PERSON, transactions_jsonl=twice + once)
    assert other.outcomes("transactions") == ["rejected", "accepted"]
    assert other.quarantine()[0]["reasons"] == ["unreadable_row"]


@pytest.mark.parametrize("name", ["file_row_number", "File_Row_Number"])
def test_the_readers_own_name_for_rows_is_refused(zone: Zone, name: str) -> None:
    with pytest.raises(BatchRefused, match="'file_row_number'"):
        _parquet(zone, [*NAMES, "amount", name], *ROW, pa.array([-1.0]), pa.array([9])).judged("transactions")


@pytest.mark.parametrize(
    ("written_in", "day"),
    [("America/New_York", 31), ("-05:00", 31), ("-03:30", 31), ("UTC", 1), ("Z", 1), ("-02:59", 1), ("+05:30", 1)],
)
def test_a_moment_in_a_zone_keeps_the_day_that_its_source_wrote(zone: Zone, written_in: str, day: int) -> None:
    """At three in the morning of the first of February by UTC."""
    moment = pa.array([dt.datetime(2026, 2, 1, 3, tzinfo=dt.UTC)], pa.timestamp("us", written_in))
    (row,) = _parquet(zone, [*NAMES, "amount"], ROW[0], ROW[1], moment, pa.array([-1.0])).accepted("transactions")
    assert row["date"].day == day


def test_a_zone_that_nobody_knows_is_refused(zone: Zone) -> None:
    moment = pa.array([0], pa.timestamp("us", "Mars/Phobos"))
    with pytest.raises(BatchRefused, match="'date' is in the time zone 'Mars/Phobos', which nobody knows"):
        _parquet(zone, [*NAMES, "amount"], ROW[0], ROW[1], moment, pa.array([-1.0])).judged("transactions")


def judged(zone: Zone, *changes: dict[str, str]) -> list[Row]:
    """What becomes of transactions with these changes, in their order."""
    changed = [TRANSACTION | {"transaction_id": f"t{n}"} | change for n, change in enumerate(changes)]
    zone.arrive(**PERSON, transactions_json=changed)
    found: list[Row] = zone.judged("transactions").order_by("row").to_pyarrow().to_pylist()
    return found


def test_no_place_is_further_from_utc_than_fourteen_hours(zone: Zone) -> None:
    places = ["23:30:00-12:00", "08:00:00+14:00", "08:00:00+14:30", "08:00:00-15:00"]
    day, wrong = (dt.date(2026, 2, 1), []), (None, ["not_a_date"])
    found = judged(zone, *({"date": f"2026-02-01T{place}"} for place in places))
    assert [(row["date"], row["reasons"]) for row in found] == [day, day, wrong, wrong]


def test_c1_controls_are_controls(zone: Zone) -> None:
    found = judged(zone, *({"merchant_name": f"a{letter}b"} for letter in "\x80\x85\x9b\x9f"))
    assert [row["reasons"] for row in found] == [["control_characters"]] * 4


def of_two_accounts(zone: Zone, *transactions: dict[str, Any]) -> Zone:
    second = [ACCOUNT | {"account_id": "a2", "user_id": "u2"}, ACCOUNT | {"account_id": "a2", "user_id": "u3"}]
    people = [USER, USER | {"user_id": "u2"}, USER | {"user_id": "u3"}]
    return zone.arrive(
        users_json=people,
        accounts_json=[ACCOUNT, *second],
        transactions_json=[TRANSACTION | one for one in transactions],
    )


def posts(names: list[str]) -> list[dict[str, Any]]:
    """Transactions of which each names the next as pending: ``a``, ``b``, ``c`` and ``a`` are a circle of three."""
    return [{"transaction_id": one, "pending_transaction_id": other} for one, other in itertools.pairwise(names)]


def kept(zone: Zone) -> set[str]:
    return {row["transaction_id"] for row in zone.accepted("transactions")}


def test_a_posting_takes_its_pending_row_of_the_same_account_alone(zone: Zone) -> None:
    of_two_accounts(
        zone,
        {"transaction_id": "pending"},
        {"transaction_id": "posted", "pending_transaction_id": "pending"},
        {"transaction_id": "elsewhere"},
        {"transaction_id": "foreign", "account_id": "a2", "user_id": "u2", "pending_transaction_id": "elsewhere"},
        {"transaction_id": "itself", "pending_transaction_id": "itself"},
    )
    assert kept(zone) == {"posted", "elsewhere", "foreign", "itself"}


CIRCLES = {
    "two": ("aba", "ab"),
    "three": ("abca", "abc"),
    "five": ("abcdea", "abcde"),
    "one that leads into three": ("xabca", "xabc"),
    "no circle": ("abc", "a"),
    "three in a row": ("abcd", "a"),
    "four in a row count as a circle": ("abcde", "ab"),
    "a circle of 100": (MANY + MANY[0], MANY),
}


def test_postings_in_a_circle_take_nothing(zone: Zone) -> None:
    rows = []
    for name, (letters, _) in CIRCLES.items():
        names = [f"{name}: {one}" for one in letters]
        rows += posts(names) + ([{"transaction_id": names[-1]}] if names[-1] not in names[:-1] else [])
    of_two_accounts(zone, *rows)
    assert kept(zone) == {f"{name}: {one}" for name, (_, left) in CIRCLES.items() for one in left}


REMOVALS = [
    ({}, True),
    ({"account_id": "a2"}, True),
    ({"account_id": "a1"}, False),
    ({"account_id": "never seen"}, False),
    ({"user_id": "u3"}, True),
    ({"user_id": "u1"}, False),
    ({"account_id": "a2", "user_id": "u1"}, False),
]


def test_a_removal_takes_a_later_row_of_its_account_alone(zone: Zone) -> None:
    """The rows are of the account a2, which u2 and u3 hold."""

    def removals(batch: str) -> None:
        gone = [{"transaction_id": f"{batch} {one}", "removed": True, **one} for one, _ in REMOVALS]
        zone.arrive(batch, transactions_json=gone)

    removals("before")
    rows = [f"{batch} {one}" for batch in ("before", "after") for one, _ in REMOVALS]
    of_two_accounts(zone, *({"transaction_id": one, "account_id": "a2", "user_id": "u2"} for one in rows))
    removals("after")
    assert kept(zone) == {*rows} - {f"after {one}" for one, goes in REMOVALS if goes}


def test_a_foreign_removal_does_not_hide_an_older_one_of_the_account(zone: Zone) -> None:
    of_two_accounts(zone, {"transaction_id": "t9"}, {"transaction_id": "t8"})
    zone.arrive("b2", transactions_json=[{"transaction_id": "t9", "removed": True}])
    zone.arrive(
        "b3", transactions_json=[{"transaction_id": one, "removed": True, "account_id": "a2"} for one in ("t8", "t9")]
    )
    assert kept(zone) == {"t8"}


def test_what_goes_is_counted_once_under_the_file_that_takes_it(zone: Zone) -> None:
    of_two_accounts(
        zone,
        *({"transaction_id": one} for one in ("p1", "p2", "p3", "gone")),
        {"transaction_id": "q", "account_id": "a2", "user_id": "u2"},
    )
    booked = [{"transaction_id": f"t{n}", "pending_transaction_id": f"p{n}"} for n in (1, 2)]
    again = {"transaction_id": "t1b", "pending_transaction_id": "p1"}
    foreign = {"transaction_id": "t3", "pending_transaction_id": "q"}
    zone.arrive(
        "b2",
        transactions_json=[TRANSACTION | one for one in [*booked, again, foreign]],
        transactions_jsonl=[{"transaction_id": "gone", "removed": True}, {"transaction_id": "never", "removed": True}],
    )
    found = canonical.superseded(zone.judged("transactions")).order_by("file").to_pyarrow().to_pylist()
    assert found == [
        {"batch": "b2", "file": "transactions.json", "superseded": 2},
        {"batch": "b2", "file": "transactions.jsonl", "superseded": 1},
    ]
