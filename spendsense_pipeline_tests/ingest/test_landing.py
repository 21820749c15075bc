"""What is taken, what is refused as a batch, and that rows are read as they were written."""

import datetime as dt
import gzip
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.ingest.fields import FIELDS
from spendsense_pipeline.ingest.files import BatchRefused
from spendsense_pipeline_tests.ingest.conftest import TRANSACTION, Zone, rows

CSV = "transaction_id,account_id,date,amount,merchant_name\n"


def refusal(zone: Zone, **files: Any) -> str:
    """The message with which a batch of these files is refused."""
    folder = zone.folder("refused", **files)
    with pytest.raises(BatchRefused) as caught:
        landing.survey(zone.con, folder)
    assert str(zone.root) not in str(caught.value), "a message names the file, not the machine"
    return str(caught.value)


# --- Which files ---


def test_every_format_is_found_and_other_files_are_named(zone: Zone) -> None:
    folder = zone.folder(
        users_json="[]", accounts_jsonl_gz="{}\n", transactions_csv=CSV, products_csv_gz="product_id\n"
    )
    for name in ("truth.json", "standing_orders.json", "README.md", "_SUCCESS", ".DS_Store"):
        (folder / name).write_text("{}")
    assert [(one.table, one.format) for one in landing.discover(folder)] == [
        ("accounts", "jsonl"),
        ("products", "csv"),
        ("transactions", "csv"),
        ("users", "json"),
    ]
    assert landing.strangers(folder) == ["README.md", "standing_orders.json", "truth.json"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("transaction.json", "transactions"),
        ("tranactions.csv", "transactions"),
        ("Accounts.json", "accounts"),
        ("liability.jsonl", "liabilities"),
    ],
)
def test_a_misspelt_table_is_refused_with_what_was_meant(zone: Zone, name: str, meant: str) -> None:
    folder = zone.folder(users_json="[]")
    (folder / name).write_text("[]")
    with pytest.raises(BatchRefused, match=f"{name}.*did you mean {meant}"):
        landing.discover(folder)


def test_a_format_that_is_not_read_is_refused(zone: Zone) -> None:
    folder = zone.folder()
    (folder / "transactions.xlsx").write_text("")
    with pytest.raises(BatchRefused, match=r"transactions.xlsx.*\.parquet"):
        landing.discover(folder)


def test_a_folder_without_a_table_is_refused(zone: Zone) -> None:
    with pytest.raises(BatchRefused, match="no table"):
        landing.discover(zone.folder(truth_json="{}"))


def test_no_folder_is_refused(zone: Zone) -> None:
    with pytest.raises(BatchRefused, match=r"no such folder in .*spendsense ingest"):
        landing.discover(zone.root / "nowhere")


def test_a_symbolic_link_is_refused(zone: Zone) -> None:
    elsewhere = zone.folder("elsewhere", users_json="[]")
    folder = zone.folder(accounts_json="[]")
    (folder / "users.json").symlink_to(elsewhere / "users.json")
    with pytest.raises(BatchRefused, match=r"users.json.*symbolic link"):
        landing.discover(folder)
    (zone.root / "alias").symlink_to(elsewhere)
    with pytest.raises(BatchRefused, match="symbolic link"):
        landing.discover(zone.root / "alias")


# --- Into the landing zone ---


def test_landing_the_same_twice_changes_nothing(zone: Zone, tmp_path: Path) -> None:
    source = zone.folder("from bank!", users_json="[]", truth_json="{}")
    first = landing.land(source, tmp_path / "in", None)
    assert first.name == f"from-bank-{landing.content_hash(source)[:8]}"
    assert [path.name for path in first.iterdir()] == ["users.json"], "only table files are taken along"
    assert landing.land(source, tmp_path / "in", None) == first
    assert [path.name for path in (tmp_path / "in").iterdir()] == [first.name], "nothing is left lying about"


def test_the_same_id_with_other_content_is_refused(zone: Zone, tmp_path: Path) -> None:
    landing.land(zone.folder("one", users_json="[]"), tmp_path / "in", "march")
    other = zone.folder("two", users_json="[ ]")
    with pytest.raises(BatchRefused, match="other content") as caught:
        landing.land(other, tmp_path / "in", "march")
    assert caught.value.code == "batch_exists"
    assert (tmp_path / "in/march/users.json").read_text() == "[]"


def test_what_lies_in_the_landing_zone_stays_where_it_is(zone: Zone) -> None:
    folder = zone.folder("march", users_json="[]")
    assert landing.land(folder, zone.root, None) == folder


@pytest.mark.parametrize("batch_id", ["", "..", ".hidden", "a/b", "../up", "a..b", "x" * 101, "ä", "a b"])
def test_a_batch_id_that_is_no_plain_name_is_refused(zone: Zone, tmp_path: Path, batch_id: str) -> None:
    source = zone.folder("one", users_json="[]")
    with pytest.raises(BatchRefused) as caught:
        landing.land(source, tmp_path / "in", batch_id)
    assert caught.value.code == "bad_batch_id"
    assert not (tmp_path / "in").exists()


def test_the_hash_tells_names_and_bytes_apart(zone: Zone) -> None:
    folders = [
        zone.folder("a", users_json="[]"),
        zone.folder("b", users_json="[ ]"),
        zone.folder("c", accounts_json="[]"),
    ]
    assert len({landing.content_hash(folder) for folder in folders}) == 3
    assert landing.content_hash(zone.folder("d", users_json="[]")) == landing.content_hash(folders[0])


# --- What cannot be read at all ---


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"transactions_json": b""}, "empty"),
        ({"transactions_json": b" \n"}, "empty"),
        ({"transactions_jsonl_gz": b""}, "empty"),
        ({"transactions_json": b'{"transaction_id": "t1"}'}, "array"),
        ({"transactions_jsonl": b'[{"transaction_id": "t1"}]'}, "an array is .json"),
        ({"transactions_json": b'[{"transaction_id": "t1"}, {"transaction_id": "t2"'}, "damaged at byte"),
        ({"transactions_json": b'[{"transaction_id": "\xff"}]'}, "damaged at byte"),
        ({"transactions_jsonl": b"not json\nat all\n"}, "none of its 2 rows"),
        ({"transactions_jsonl": b'\xef\xbb\xbf{"transaction_id": "t1"}\n'}, "byte-order mark"),
        ({"transactions_json": '[{"transaction_id": "t1"}]'.encode("utf-16")}, "UTF-16"),
        ({"transactions_csv": CSV.encode() + b"t1,a1,2026-02-01,-1,\xff\n"}, "on line 2"),
        ({"transactions_csv": CSV.encode() + b't1,a1,2026-02-01,-1,"open\nt2,a1\n'}, "not closed, probably on row 1"),
        ({"transactions_csv": CSV.replace(",", ";")}, "separated by ';'"),
        ({"transactions_csv": "amount,amount\n1,2\n"}, "names 'amount' twice"),
        ({"transactions_csv": "t1,a1,2026-02-01\n"}, "should be a header"),
        ({"transactions_parquet": b"PAR1 and no more"}, "cannot be read as parquet"),
        ({"transactions_csv_gz": b"\x1f\x8b and no more"}, "not a whole gzip"),
        ({"transactions_csv": "transaction_id,account_id,date,amonut\nt1,a1,2026-02-01,1\n"}, "mean amount"),
        ({"transactions_jsonl": '{"transaction_id": "t1", "Amount": 1}\n'}, "did you mean amount"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_refuses_the_batch(zone: Zone, files: dict[str, Any], said: str) -> None:
    message = refusal(zone, **files)
    assert message.startswith("transactions.")
    assert said in message


def test_a_truncated_gzip_is_refused_and_not_taken_for_a_short_file(zone: Zone) -> None:
    whole = gzip.compress(b"".join(b'{"transaction_id": "t%d"}\n' % i for i in range(20_000)))
    assert "not a whole gzip" in refusal(zone, transactions_jsonl_gz=whole[: len(whole) // 2])


def test_a_refusal_does_not_quote_what_it_stumbled_over(zone: Zone) -> None:
    message = refusal(zone, users_csv='user_id,full_name\nu1,"Ada Example\n')
    assert "Ada" not in message


def test_a_refused_file_refuses_its_reading_too(zone: Zone) -> None:
    zone.arrive(transactions_json="[{]")
    with pytest.raises(BatchRefused):
        zone.raw("transactions")


# --- Rows as written ---


def read(zone: Zone, **files: Any) -> list[dict[str, Any]]:
    zone.arrive(**files)
    raw = zone.raw("transactions").cache()
    assert failures(CONTRACTS["raw_transactions"], raw).empty
    return rows(raw.order_by("file", "row"))


def test_all_formats_tell_the_same(zone: Zone) -> None:
    row = {**TRANSACTION, "pending": False, "merchant_name": 'Café "Zürich", 2\nBern'}
    header = ",".join(row)
    record = 't1,a1,2026-02-01,-12.5,false,"Café ""Zürich"", 2\nBern"'
    parquet = zone.root / "whole.parquet"
    zone.root.mkdir()
    pq.write_table(pa.Table.from_pylist([{**row, "date": dt.date(2026, 2, 1)}]), parquet)
    found = read(
        zone,
        transactions_json=[row],
        transactions_jsonl=[row],
        transactions_jsonl_gz=[row],
        transactions_csv="\ufeff" + f"{header}\r\n{record}\r\n",
        transactions_csv_gz=f"{header}\n{record}\n",
        transactions_parquet=parquet.read_bytes(),
    )
    told = ("transaction_id", "account_id", "user_id", "date", "amount", "merchant_name", "payment_channel", "pending")
    contents = {tuple(one[name] for name in told) for one in found}
    assert len(found) == 6
    assert contents == {("t1", "a1", None, "2026-02-01", "-12.5", row["merchant_name"], None, "false")}


def test_rows_are_numbered_as_they_stand_and_bad_ones_keep_their_place(zone: Zone) -> None:
    found = read(
        zone,
        transactions_jsonl='{"transaction_id": "t1"}\n5\n\n{"transaction_id": "t2"}\n{"transaction_id": "t3',
        transactions_json='[{"transaction_id": "t1"}, null, {"transaction_id": "t2"}]',
        transactions_csv="transaction_id,amount\nt1,1\nt2\nt3,1,234\nt4,4",
    )
    told = {name: [] for name in ("transactions.csv", "transactions.json", "transactions.jsonl")}
    for row in found:
        told[row["file"]].append((row["row"], row["transaction_id"]))
    assert told["transactions.jsonl"] == [(1, "t1"), (2, None), (3, "t2"), (4, None)]
    assert told["transactions.json"] == [(1, "t1"), (2, None), (3, "t2")]
    assert told["transactions.csv"] == [(1, "t1"), (2, None), (3, None), (4, "t4")]


def test_row_numbers_hold_in_a_long_file(zone: Zone) -> None:
    many = [{"transaction_id": f"t{i}"} for i in range(1, 30_001)]
    parquet = zone.root / "long.parquet"
    zone.root.mkdir()
    pq.write_table(pa.Table.from_pylist(many), parquet, row_group_size=5_000)
    zone.arrive(
        transactions_jsonl=many,
        transactions_json=many,
        transactions_csv="transaction_id,amount\n" + "".join(f"t{i},1\n" for i in range(1, 30_001)),
        transactions_parquet=parquet.read_bytes(),
    )
    raw = zone.raw("transactions")
    wrong = raw.filter(raw.transaction_id != "t" + raw.row.cast("string"))
    assert (raw.count().to_pyarrow().as_py(), wrong.count().to_pyarrow().as_py()) == (120_000, 0)


def test_numbers_beyond_a_float_keep_their_text(zone: Zone) -> None:
    (row,) = read(zone, transactions_jsonl='{"transaction_id": 123456789012345678901234, "amount": 1e308}\n')
    assert row["transaction_id"] == "123456789012345678901234"
    assert float(row["amount"]) == 1e308


def test_a_table_without_files_has_its_columns_and_no_rows(zone: Zone) -> None:
    zone.arrive(users_json="[]")
    raw = zone.raw("transactions")
    assert set(landing.names("transactions")) < set(raw.columns)
    assert rows(raw) == []
    assert all(str(raw.schema()[name]) == "string" for name in landing.names("transactions"))


def test_unknown_fields_are_kept_out_and_counted(zone: Zone) -> None:
    folder = zone.folder(
        transactions_jsonl=[{**TRANSACTION, "note": "x"}, {**TRANSACTION, "merchant_nam": "y"}],
        transactions_csv=CSV.strip() + ",colour\nt1,a1,2026-02-01,1,,red\n",
    )
    csv, jsonl = landing.survey(zone.con, folder)
    assert (csv.rows, csv.unknown, csv.meant) == (1, {"colour": 1}, {})
    assert (jsonl.rows, jsonl.unknown) == (2, {"note": 1, "merchant_nam": 1})
    assert jsonl.meant == {"merchant_nam": "merchant_name"}


def test_a_folder_whose_name_is_a_pattern_is_read_as_itself(zone: Zone) -> None:
    folder = zone.folder("b[1]*", transactions_jsonl=[TRANSACTION])
    zone.folder("b1x", transactions_jsonl=[TRANSACTION, TRANSACTION])
    assert [one.rows for one in landing.survey(zone.con, folder)] == [1]


def test_personal_fields_are_known() -> None:
    assert {one.name for fields in FIELDS.values() for one in fields if one.personal} == {
        "full_name",
        "email",
        "birth_year",
    }


# --- What has arrived ---

SETTLED = dt.timedelta(seconds=30)


def arrived(zone: Zone, seconds: float = 60) -> landing.Arrivals:
    """What has arrived as seen so long after everything in the zone last changed."""
    last = max(path.lstat().st_ctime for path in [zone.root, *zone.root.rglob("*")])
    return landing.arrivals(zone.root, dt.datetime.fromtimestamp(last + seconds, dt.UTC), SETTLED)


def moved(zone: Zone, name: str) -> Path:
    """A folder of the zone as if made beside it a while ago and moved into it now."""
    beside = zone.root.parent / f"{name}.beside"
    (zone.root / name).rename(beside)
    os.utime(beside, (0, 0))  # made long ago, not within the same tick of the clock
    beside.rename(zone.root / name)
    return zone.root / name


def test_a_folder_is_complete_once_marked_or_moved_into_place_and_unchanged_for_the_time_given(zone: Zone) -> None:
    for name in ("copied", "marked", "moved"):
        zone.folder(name, users_json="[]")
    (zone.root / "marked" / "_SUCCESS").touch()
    moved(zone, "moved")
    assert arrived(zone, 31) == (["marked", "moved"], ["copied"])
    assert arrived(zone, 29) == (["marked"], ["copied"]), "what still settles waits for no mark"


@pytest.mark.parametrize("how", [["mv"], ["cp", "-a"]])
def test_what_mv_and_cp_with_times_bring_is_complete(zone: Zone, tmp_path: Path, how: list[str]) -> None:
    source = Zone(tmp_path / "beside").folder("b1", users_json="[]")
    (source / "ada").mkdir()
    (source / "ada" / "page_1.json").write_text("{}")
    zone.root.mkdir()
    tick = zone.root / "tick"
    tick.touch()
    while tick.stat().st_ctime_ns <= source.stat().st_ctime_ns:  # the clock of files moves in steps of milliseconds
        tick.touch()
    subprocess.run([*how, source, zone.root], check=True)
    assert arrived(zone) == (["b1"], [])


def test_a_copy_in_slow_pieces_is_never_taken_however_long_it_stalls(zone: Zone, tmp_path: Path) -> None:
    whole = json.dumps([TRANSACTION] * 50).encode()
    copied = zone.root / "b1"
    copied.mkdir(parents=True)
    assert arrived(zone, 3600) == ([], ["b1"]), "nothing in it yet"
    for name in ("accounts.json", "transactions.json"):
        with (copied / name).open("wb") as stream:
            for start in range(0, len(whole), 1000):
                stream.write(whole[start : start + 1000])
                stream.flush()
                assert arrived(zone, 3600) == ([], ["b1"])
    subprocess.run(["cp", "-r", copied, zone.root / "b2"], check=True)
    assert arrived(zone, 3600) == ([], ["b1", "b2"]), "whole by now, and nothing tells"
    (copied / "_SUCCESS").touch()
    assert arrived(zone, 0) == (["b1"], ["b2"])


def test_one_file_that_changes_after_the_move_keeps_its_folder_waiting_however_deep(zone: Zone) -> None:
    within = zone.folder("b1", users_json="[]") / "parts" / "deeper"
    within.mkdir(parents=True)
    (within / "note.txt").touch()
    folder = moved(zone, "b1")
    assert arrived(zone) == (["b1"], [])
    note = folder / "parts" / "deeper" / "note.txt"
    while note.stat().st_ctime_ns <= folder.stat().st_ctime_ns:
        note.write_text("more")
    assert arrived(zone) == ([], ["b1"])


def test_what_a_command_landed_and_never_ran_is_complete(zone: Zone, tmp_path: Path) -> None:
    source = Zone(tmp_path / "beside").folder("b1", users_json="[]")
    landing.land(source, zone.root, "b1")
    assert arrived(zone) == (["b1"], [])


def test_a_link_to_nothing_keeps_its_own_folder_waiting_and_no_other(zone: Zone) -> None:
    (zone.folder("linked", users_json="[]") / "accounts.json").symlink_to(zone.root / "nowhere")
    (zone.root / "linked" / "_SUCCESS").touch()
    zone.folder("whole", users_json="[]")
    moved(zone, "whole")
    (zone.root / "gone").symlink_to(zone.root / "nowhere")
    assert arrived(zone) == (["whole"], [])


def test_a_link_that_leads_back_is_not_followed(zone: Zone) -> None:
    (zone.folder("b1", users_json="[]") / "again").symlink_to(zone.root / "b1")
    moved(zone, "b1")
    (zone.root / "b2").symlink_to(zone.root / "b1")
    assert arrived(zone) == (["b1"], [])


def test_a_file_that_vanishes_during_the_look_keeps_its_own_folder_waiting(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("moving", "whole"):
        zone.folder(name, users_json="[]")
        moved(zone, name)
    listed = os.listdir

    def listed_too_early(path: Path) -> list[str]:
        return [*listed(path), "gone.json"] if path.name == "moving" else listed(path)

    monkeypatch.setattr(landing.os, "listdir", listed_too_early)
    assert arrived(zone) == (["whole"], [])


def test_names_that_are_no_batch_id_and_files_are_passed_over(zone: Zone) -> None:
    for name in (".b1-copying", "two words", "up..down", "x" * 101, "good-1.2_3"):
        zone.folder(name, users_json="[]")
        moved(zone, name)
    (zone.root / "notes").touch()
    assert arrived(zone) == (["good-1.2_3"], [])


def test_nothing_has_arrived_where_there_is_no_landing_zone(zone: Zone) -> None:
    assert landing.arrivals(zone.root, dt.datetime.now(dt.UTC), SETTLED) == ([], [])


@pytest.mark.parametrize("change", ["longer", "rewritten", "another"])
def test_files_that_are_no_longer_as_they_were_seen_refuse_the_batch(zone: Zone, change: str) -> None:
    folder = zone.folder("b1", users_json="[]")
    seen = landing.stamps(folder)
    landing.require_unchanged(folder, seen)
    changed = folder / ("accounts.json" if change == "another" else "users.json")
    changed.write_text("[ ]" if change == "longer" else "[]")
    if change == "rewritten":
        os.utime(changed, (1, 1))
    with pytest.raises(BatchRefused, match=f"{changed.name}: changed while the batch was read; put `_SUCCESS`"):
        landing.require_unchanged(folder, seen)


def test_what_a_killed_copy_left_half_is_no_batch_and_goes_and_a_persons_hidden_folder_stays(tmp_path: Path) -> None:
    for name in (".arriving-x1", ".somebodys"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "users.json").write_text("[{}]")
    now = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    assert landing.arrivals(tmp_path, now, dt.timedelta(0)) == ([], [])
    landing.clear_arriving(tmp_path, dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1))
    assert len(list(tmp_path.iterdir())) == 2, "a copy may be under way"
    landing.clear_arriving(tmp_path, now)
    assert [one.name for one in tmp_path.iterdir()] == [".somebodys"]
