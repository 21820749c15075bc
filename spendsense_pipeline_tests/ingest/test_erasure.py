"""Landed files lose the rows of whom was erased, keep all others as written, and remain the batch they were."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spendsense_pipeline.ingest import landing
from spendsense_pipeline.ingest.erasure import Erased, accounts_of, digest, scrub

SALT = "grain"
MIA = Erased(SALT, [digest(SALT, "user", "mia"), digest(SALT, "account", "a1")])

ROWS = [
    {"transaction_id": "t1", "account_id": "a1", "user_id": "mia", "date": "2026-01-01", "amount": -1.5},
    {"transaction_id": "t2", "account_id": "a2", "user_id": "noah", "date": "2026-01-02", "amount": -2.5},
    {"transaction_id": "t3", "account_id": "a1", "user_id": None, "date": "2026-01-03", "amount": -3.5},
    {"transaction_id": "t4", "account_id": "a2", "user_id": None, "date": "2026-01-04", "amount": -4.5},
]


def as_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS, indent=2))


def as_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def as_csv(path: Path) -> None:
    lines = [",".join("" if value is None else str(value) for value in row.values()) for row in ROWS]
    path.write_text("\n".join([",".join(ROWS[0]), *lines]) + "\n")


def as_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), path)


def packed(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def writing(path: Path) -> None:
        write(path)
        path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))

    return writing


def test_plaid_responses_of_the_erased_are_gone_whole_and_others_stay_as_they_came(tmp_path: Path) -> None:
    folder = tmp_path / "pulled"
    (folder / "mia").mkdir(parents=True)
    (folder / "_PLAID").touch()
    account = {"account_id": "a1", "type": "depository", "balances": {}}
    (folder / "mia" / "accounts.json").write_text(json.dumps({"accounts": [account]}))
    (folder / "noah.json").write_text('{"user_id": "noah",  "accounts": []}')
    both = [{"user_id": "noah", "accounts": []}, {"user_id": "mia", "response": {"accounts": [account]}}]
    (folder / "both.json").write_text(json.dumps(both))
    before = landing.content_hash(folder)
    assert accounts_of("mia", [folder]) == ({"a1"}, True)
    assert scrub(folder, MIA) == ({"mia/accounts.json": 1, "both.json": 1}, [])
    assert (folder / "noah.json").read_text() == '{"user_id": "noah",  "accounts": []}'
    assert json.loads((folder / "both.json").read_text()) == both[:1]
    assert "a1" not in "".join(path.read_text() for path in folder.rglob("*.json"))
    assert landing.content_hash(folder) == before, "it remains the batch it was"
    assert {one.file.table for one in landing.survey(ibis.duckdb.connect(), folder)} == {"users"}
    assert scrub(folder, MIA) == ({}, [])


FORMATS = {
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
    "parquet": as_parquet,
    "json.gz": packed(as_json),
    "jsonl.gz": packed(as_jsonl),
    "csv.gz": packed(as_csv),
}


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    folder = tmp_path / "landing" / "b1"
    folder.mkdir(parents=True)
    return folder


def left(path: Path) -> list[str]:
    """The ids of the transactions in a file."""
    if path.suffix == ".parquet":
        return pq.read_table(path)["transaction_id"].to_pylist()
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    if ".jsonl" in path.name:
        return [json.loads(line)["transaction_id"] for line in text.splitlines()]
    if ".json" in path.name:
        return [row["transaction_id"] for row in json.loads(text)]
    return [line.split(",")[0] for line in text.splitlines()[1:]]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_of_any_format_loses_what_is_theirs_by_customer_or_by_account(batch: Path, suffix: str) -> None:
    path = batch / f"transactions.{suffix}"
    FORMATS[suffix](path)
    assert scrub(batch, MIA, "mia") == ({path.name: 2}, [])
    assert left(path) == ["t2", "t4"]
    once = path.read_bytes()
    assert scrub(batch, MIA, "mia") == ({}, [])
    assert path.read_bytes() == once
    assert [one.name for one in batch.iterdir()] == [path.name], "no temporary file is left"


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_batch_remains_the_batch_that_it_arrived_as(batch: Path, tmp_path: Path, suffix: str) -> None:
    path = batch / f"transactions.{suffix}"
    FORMATS[suffix](path)
    source = tmp_path / "source"
    source.mkdir()
    FORMATS[suffix](source / path.name)
    arrived_as = landing.content_hash(batch)
    scrub(batch, MIA, "mia")
    assert landing.content_hash(batch) == arrived_as
    assert landing.land(source, batch.parent, "b1") == batch, "the same files landed again are no other content"
    assert left(path) == ["t2", "t4"], "and bring nothing back"
    both = Erased(SALT, [digest(SALT, "user", "noah"), digest(SALT, "account", "a2"), digest(SALT, "user", "mia")])
    scrub(batch, both)
    assert landing.content_hash(batch) == arrived_as, "a second erasure, the same batch"
    path.write_bytes(path.read_bytes() + b"\n")
    assert landing.content_hash(batch) != arrived_as, "who changes the file afterwards is still found out"


def test_a_run_that_died_between_two_files_may_be_run_again(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_csv(batch / "transactions.csv")
    as_jsonl(batch / "transactions.jsonl")
    arrived_as = landing.content_hash(batch)
    replace, done = Path.replace, []

    def power_cut(self: Path, target: Path) -> Path:
        if self.suffix == ".erasing" and done:
            raise KeyboardInterrupt
        if self.suffix == ".erasing":
            done.append(target)
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", power_cut)
        with pytest.raises(KeyboardInterrupt):
            scrub(batch, MIA, "mia")
    assert landing.content_hash(batch) != arrived_as
    assert scrub(batch, MIA, "mia")[0] == {"transactions.jsonl": 2}
    assert landing.content_hash(batch) == arrived_as


def test_other_rows_stay_byte_for_byte(batch: Path) -> None:
    kept = b'\xef\xbb\xbfuser_id,full_name\r\n"noah", "O""Neil,\n Noah"\r\nzoe,\xff\xfe\r\n\r\n'
    (batch / "users.csv").write_bytes(kept.replace(b"zoe", b"mia, Mia\r\nzoe"))
    scrub(batch, MIA, "mia")
    assert (batch / "users.csv").read_bytes() == kept
    lines = b'{"user_id": "noah",  "full_name": "x"}\nno json\n{"user_id": 7}\n'
    (batch / "users.jsonl").write_bytes(lines + b'{"user_id": " mia "}\n{"user_id": "mia", "full_name"\n')
    assert scrub(batch, MIA, "mia")[0] == {"users.jsonl": 2}, "a broken line goes where it names the customer"
    assert (batch / "users.jsonl").read_bytes() == lines


def test_an_array_larger_than_a_block_is_read_piece_by_piece(batch: Path) -> None:
    rows = [{"user_id": "mia" if number % 3 == 0 else "noah", "n": "x" * 1000} for number in range(3_000)]
    (batch / "users.json").write_text(json.dumps(rows))
    assert scrub(batch, MIA)[0] == {"users.json": 1_000}
    assert json.loads((batch / "users.json").read_text()) == [row for row in rows if row["user_id"] == "noah"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("users.json", b'[{"user_id": "mia"'),
        ("users.json", b'{"user_id": "mia"}'),
        ("users.csv.gz", gzip.compress(b"user_id\nmia\n" * 100, mtime=0)[:-20]),
        ("users.parquet", b"no parquet"),
    ],
)
def test_a_file_whose_rows_cannot_be_told_apart_is_named_and_left(batch: Path, name: str, content: bytes) -> None:
    (batch / name).write_bytes(content)
    assert scrub(batch, MIA, "mia") == ({}, [name])
    assert accounts_of("mia", [batch]) in [(set(), False), (set(), True)]
    assert (batch / name).read_bytes() == content


def test_the_accounts_of_a_customer_are_those_that_any_file_gives_them(batch: Path) -> None:
    (batch / "accounts.csv").write_text("account_id,user_id\na1,mia\na2,noah\n a3 , mia \n")
    as_jsonl(batch / "transactions.jsonl")
    assert accounts_of("mia", [batch]) == ({"a1", "a3"}, True)
    assert accounts_of("zoe", [batch]) == (set(), False)


def test_a_tombstone_tells_nobody_who_it_is_without_the_salt() -> None:
    assert digest("one", "user", "mia") != digest("other", "user", "mia") != digest("other", "account", "mia")
    assert not Erased("other", [digest("one", "user", "mia")]).holds("user", "mia")
    assert not Erased("", [])
