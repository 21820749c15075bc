"""Landed files lose the rows of whom was erased, keep all others as written, and remain the batch they were."""

import datetime as dt
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.erasure.erased import Erased, holding
from spendsense_pipeline.erasure.erased_files import accounts_of, scrub
from spendsense_pipeline.governance.tombstones import digest
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.ingest.files import PLAID

SALT = "grain"
MIA = Erased(SALT, [digest(SALT, "user", "mia"), digest(SALT, "account", "a1")])

EVERYBODY = Erased(
    SALT,
    [*(digest(SALT, "user", one) for one in ("mia", "noah")), *(digest(SALT, "account", one) for one in ("a1", "a2"))],
)
DAY = dt.date(2026, 2, 1)

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
    lighter = path.read_bytes()
    path.write_bytes(lighter + b"\n")
    assert landing.content_hash(batch) != arrived_as, "who changes the file afterwards is still found out"
    path.write_bytes(lighter)
    assert landing.land(batch, batch.parent, None) == batch
    scrub(batch, EVERYBODY)
    assert landing.content_hash(batch) == arrived_as, "a second erasure leaves it empty and the same batch"
    con = warehouse.connect()
    surveyed = landing.survey(con, batch)
    rows = landing.read_raw(con, batch, "transactions", batch_id="b1", arrival=1, arrived_on=DAY, surveyed=surveyed)
    assert rows.count().to_pyarrow().as_py() == 0


PAGE = {"accounts": [{"account_id": "a1"}], "added": [{"transaction_id": "t1", "account_id": "a1", "amount": 1}]}


def test_of_saved_responses_those_of_the_customer_go_by_folder_and_by_name_beside_them(batch: Path) -> None:
    (batch / PLAID).touch()
    for name, said in {
        "mia/page_1.json": PAGE,
        "noah/page_1.json": PAGE,
        "noah/mixed.json": [{"user_id": "mia", "response": PAGE}, PAGE],
        "zoe/page_1.json": {"user_id": "mia", **PAGE},
    }.items():
        (batch / name).parent.mkdir(exist_ok=True)
        (batch / name).write_text(json.dumps(said))
    arrived_as = landing.content_hash(batch)
    assert accounts_of("mia", [batch])[:2] == ({"a1"}, True)
    mia = Erased(SALT, [digest(SALT, "user", "mia")])
    assert scrub(batch, mia, "mia") == ({"mia/page_1.json": 1, "noah/mixed.json": 1, "zoe/page_1.json": 1}, [])
    assert sorted(str(one.relative_to(batch)) for one in batch.rglob("*.json")) == [
        "noah/mixed.json",
        "noah/page_1.json",
    ]
    assert not (batch / "mia").exists()
    assert json.loads((batch / "noah" / "mixed.json").read_text()) == [PAGE]
    assert landing.content_hash(batch) == arrived_as
    scrub(batch, EVERYBODY)
    assert landing.content_hash(batch) == arrived_as
    assert landing.survey(warehouse.connect(), batch) == []


def test_a_response_that_is_no_json_is_named_and_left(batch: Path) -> None:
    (batch / PLAID).touch()
    (batch / "mia").mkdir()
    (batch / "mia" / "page.json").write_text('{"accounts": [')
    assert scrub(batch, EVERYBODY, "mia") == ({}, ["mia/page.json"])


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
    ids=["an array cut off", "no array", "a packed file cut off", "no Parquet"],
)
def test_a_file_whose_rows_cannot_be_told_apart_is_named_and_left(batch: Path, name: str, content: bytes) -> None:
    (batch / name).write_bytes(content)
    assert scrub(batch, MIA, "mia") == ({}, [name])
    assert accounts_of("mia", [batch])[0] == set()
    assert (batch / name).read_bytes() == content


def test_the_accounts_of_a_customer_are_those_that_any_file_gives_them(batch: Path) -> None:
    (batch / "accounts.csv").write_text("account_id,user_id\na1,mia\na2,noah\n a3 , mia \n")
    as_jsonl(batch / "transactions.jsonl")
    assert accounts_of("mia", [batch]) == ({"a1", "a3"}, True, {"a2"})
    assert accounts_of("zoe", [batch])[:2] == (set(), False)
    assert accounts_of("noah", [batch])[2] == {"a1", "a3"}


def test_a_tombstone_tells_nobody_who_it_is_without_the_salt() -> None:
    assert digest("one", "user", "mia") != digest("other", "user", "mia") != digest("other", "account", "mia")
    assert not Erased("other", [digest("one", "user", "mia")]).holds("user", "mia")
    assert not Erased("", [])


# --- Accounts of several holders ---

SHARED = Erased(SALT, [digest(SALT, "user", "mia"), digest(SALT, "account", holding("mia", "a1"))])
"""Mia was erased, who shared a1 with others."""


def read(batch: Path, table: str = "transactions") -> list[tuple[str, str | None]]:
    con = warehouse.connect()
    rows = landing.read_raw(con, batch, table, batch_id="b1", arrival=1, arrived_on=DAY).to_pyarrow().to_pylist()
    return sorted((row[landing.names(table)[0]], row["user_id"] or None) for row in rows)


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_of_a_shared_account_stay_and_lose_the_customers_id(batch: Path, suffix: str) -> None:
    path = batch / f"transactions.{suffix}"
    FORMATS[suffix](path)
    before = path.read_bytes()
    arrived_as = landing.content_hash(batch)
    assert scrub(batch, SHARED, "mia") == ({path.name: 1}, [])
    assert read(batch) == [("t1", None), ("t2", "noah"), ("t3", None), ("t4", None)]
    assert landing.content_hash(batch) == arrived_as
    assert path.read_bytes() != before
    assert scrub(batch, SHARED, "mia") == ({}, [])


@pytest.mark.parametrize("table", ["accounts", "users"])
def test_a_shared_account_itself_goes_with_the_customer(batch: Path, table: str) -> None:
    rows = [{"account_id": "a1", "user_id": one} for one in ("mia", "noah")]
    (batch / f"{table}.json").write_text(json.dumps(rows))
    assert scrub(batch, SHARED, "mia") == ({f"{table}.json": 1}, [])
    assert [one["user_id"] for one in json.loads((batch / f"{table}.json").read_text())] == ["noah"]


def test_once_the_last_holder_is_erased_the_account_goes(batch: Path) -> None:
    as_csv(batch / "transactions.csv")
    scrub(batch, SHARED, "mia")
    last = Erased(SALT, [digest(SALT, "user", "zoe"), digest(SALT, "account", "a1")])
    scrub(batch, last, "zoe")
    assert read(batch) == [("t2", "noah"), ("t4", None)]


# --- Declared files ---

DECLARED = """\
user = "mia"
account = "a1"
[transactions]
encoding = "windows-1252"
delimiter = ";"
skip_lines = 1
decimal = ","
[transactions.columns]
Nr = "transaction_id"
Kunde = "user_id"
Konto = "account_id"
Tag = "date"
Betrag = "amount"
"Empfänger" = "merchant_name"
"""
EXPORT = """\
Umsätze vom 1. Januar
Nr;Kunde;Konto;Tag;Betrag;Empfänger
t1;mia;a1;2026-01-01;-1,50;"Bäcker; Müller"
t2;noah;a2;2026-01-02;-2,50;Café
t3;;;2026-01-03;-3,50;Kiosk
t4;noah;;2026-01-04;-4,50;Kiosk
"""


def declare(batch: Path) -> None:
    (batch / "batch.toml").write_text(DECLARED, encoding="utf-8")
    (batch / "transactions.csv").write_bytes(EXPORT.encode("windows-1252"))


def test_a_declared_file_loses_what_is_theirs_and_the_declaration_their_ids(batch: Path) -> None:
    declare(batch)
    arrived_as = landing.content_hash(batch)
    assert accounts_of("mia", [batch])[:2] == ({"a1"}, True)
    assert scrub(batch, MIA, "mia") == ({"transactions.csv": 3}, [])
    assert read(batch) == [("t2", "noah")]
    assert "Umsätze" in (batch / "transactions.csv").read_text("windows-1252")
    assert not {"mia", "a1"} & set((batch / "batch.toml").read_text("utf-8").replace('"', " ").split())
    assert landing.content_hash(batch) == arrived_as
    assert scrub(batch, MIA, "mia") == ({}, [])


def test_of_a_declared_file_rows_of_a_shared_account_stay_without_the_customer(batch: Path) -> None:
    declare(batch)
    scrub(batch, SHARED, "mia")
    assert read(batch) == [("t1", None), ("t2", "noah"), ("t3", None), ("t4", "noah")]
    assert b"mia" not in (batch / "transactions.csv").read_bytes() + (batch / "batch.toml").read_bytes()
    assert '"Bäcker; Müller"' in (batch / "transactions.csv").read_text("windows-1252")


def test_a_declaration_that_cannot_be_read_is_named(batch: Path) -> None:
    as_csv(batch / "transactions.csv")
    (batch / "batch.toml").write_text("user = ")
    assert scrub(batch, MIA, "mia") == ({"transactions.csv": 2}, ["batch.toml"])
