"""Files are read by what their folder declares of them in `batch.toml`, never by guessing."""

import datetime as dt
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spendsense_pipeline.ingest import declaration, landing
from spendsense_pipeline.ingest.files import BatchRefused
from spendsense_pipeline_tests.ingest.conftest import ACCOUNT, TRANSACTION, USER, Row, Zone

HELD: Row = {"users_json": [USER], "accounts_json": [ACCOUNT]}
GERMAN = """\
ids = "content"
user = "u1"
account = "a1"

[transactions]
dates = "european"
decimal = ","
thousands = "."
encoding = "windows-1252"
delimiter = ";"
skip_lines = 2

[transactions.columns]
"Buchungstag" = "date"
"Empfänger" = "counterparty_name"
"Verwendungszweck" = "description_raw"
"Betrag (€)" = "amount"
"""
EXPORT = """\
Konto;DE02120300000000202051
Stand 31.01.2026
Buchungstag;Empfänger;Verwendungszweck;Betrag (€);
05.01.2026;Bäckerei Müller;Frühstück;-1.234,50;
06.01.2026;Arbeit & Söhne;"Lohn; Januar";2.500,00;
06.01.2026;Kiosk;Zeitung;-3;
06.01.2026;Kiosk;Zeitung;-3,00;
"""


def moved(zone: Zone) -> list[tuple[Any, ...]]:
    return [(str(row["date"]), row["amount"]) for row in sorted(zone.accepted("transactions"), key=lambda r: r["date"])]


def declared(zone: Zone, toml: str, **files: Any) -> Zone:
    return zone.arrive(batch_toml=toml, **{**HELD, **files})


def refused(zone: Zone, toml: str, **files: Any) -> str:
    folder = zone.folder(batch_toml=toml, **{**HELD, **files})
    with pytest.raises(BatchRefused) as caught:
        landing.survey(zone.con, folder)
    return str(caught.value)


def csv(*records: str, header: str = "transaction_id,account_id,date,amount") -> str:
    return "\n".join([header, *records]) + "\n"


# --- What a bank's export becomes ---


def test_a_german_banks_export_is_read_as_it_is_declared(zone: Zone) -> None:
    declared(zone, GERMAN, transactions_csv=EXPORT.encode("windows-1252"))
    found = sorted(zone.accepted("transactions"), key=lambda row: (row["date"], row["amount"]))
    assert [(row["date"].day, row["amount"], row["counterparty_name"], row["description_raw"]) for row in found] == [
        (5, -1234.5, "Bäckerei Müller", "Frühstück"),
        (6, -3, "Kiosk", "Zeitung"),
        (6, -3, "Kiosk", "Zeitung"),
        (6, 2500, "Arbeit & Söhne", "Lohn; Januar"),
    ]
    assert {(row["account_id"], row["user_id"]) for row in found} == {("a1", "u1")}
    assert zone.quarantine() == []


DATES = [
    ("iso", "2026-01-31"),
    ("us", "01/31/2026"),
    ("us", "1/31/2026"),
    ("european", "31.01.2026"),
    ("european", "31.1.2026"),
    ("%d/%m/%Y", "31/01/2026"),
    ("%d %b %y", "31 Jan 26"),
    ("%Y%m%d", "20260131"),
    ("%m/%d/%Y %H:%M", "01/31/2026 09:15"),
]


def test_a_date_is_read_as_declared(zone: Zone) -> None:
    zone.arrive("people", **HELD)
    for n, (dates, written) in enumerate(DATES):
        toml = f'[transactions]\ndates = "{dates}"\n'
        zone.arrive(str(n), batch_toml=toml, transactions_csv=csv(f"t{n},a1,{written},-1"))
    assert moved(zone) == [("2026-01-31", -1)] * len(DATES)


def test_dates_of_json_and_parquet_texts_are_declared_as_well_and_typed_ones_are_days(zone: Zone) -> None:
    toml = 'dates = "us"\n'
    declared(zone, toml, transactions_jsonl=[{**TRANSACTION, "date": "01/31/2026"}])
    for name, day in (("text", "02/01/2026"), ("typed", dt.date(2026, 2, 1))):
        folder = zone.folder(name, batch_toml=toml)
        row = {**TRANSACTION, "transaction_id": name, "date": day}
        pq.write_table(pa.Table.from_pylist([row]), folder / "transactions.parquet")
        zone.arrive(name)
    assert moved(zone) == [("2026-01-31", -12.5), ("2026-02-01", -12.5), ("2026-02-01", -12.5)]


NUMBERS = [
    (",", ".", "-1.234,5"),
    (",", " ", "-1 234,50"),
    (",", "", "-1234,5"),
    (".", ",", "-1,234.5"),
    (".", "'", "-1'234.5"),
    (",", ".", "\u22121.234,50 €"),
    (",", ".", "1.234,50-"),
    (",", ".", "-1.234,50 EUR"),
    (",", " ", "-1\u00a0234,50"),
    (",", "\u202f", "-1 234,50"),
    (".", "'", "-1\u2019234.50"),
    (".", ",", "-$1,234.50"),
    (".", ",", "CHF -1,234.50"),
    (".", ",", "(1,234.50)"),
    (".", ",", "($1,234.50)"),
    (".", ",", "$(1,234.50)"),
    (",", ".", "(1.234,50) €"),
]


def test_a_number_is_read_as_declared(zone: Zone) -> None:
    zone.arrive("people", **HELD)
    for n, (decimal, thousands, written) in enumerate(NUMBERS):
        toml = f'[transactions]\ndelimiter = ";"\ndecimal = "{decimal}"\n'
        toml += f'thousands = "{thousands}"\n' if thousands else ""
        text = csv(f"t{n};a1;2026-01-31;{written}", header="transaction_id;account_id;date;amount")
        zone.arrive(str(n), batch_toml=toml, transactions_csv=text)
    assert moved(zone) == [("2026-01-31", -1234.5)] * len(NUMBERS)


@pytest.mark.parametrize(
    ("toml", "header", "records"),
    [
        ('positive = "out"\n', "amount", ["5", "-7", "0"]),
        ('[transactions.columns]\nOut = "debit"\nIn = "credit"\n', "Out,In", ["5,", ",7", ",0"]),
        ('[transactions.columns]\nOut = "debit"\nIn = "credit"\n', "Out,In", ["5,0.00", "0,7", "0,0"]),
        (
            'negative_debits = true\n[transactions.columns]\nOut = "debit"\nIn = "credit"\n',
            "Out,In",
            ["-5,", ",7", "0,"],
        ),
        (
            'directions = { Af = "out", Bij = "in" }\n[transactions.columns]\n"Af Bij" = "direction"\n',
            "amount,Af Bij",
            ["5,Af", "7,Bij", "0,Bij"],
        ),
    ],
    ids=["turned", "two columns", "two filled columns", "negative debits", "direction"],
)
def test_the_way_of_the_money_is_read_as_declared(zone: Zone, toml: str, header: str, records: list[str]) -> None:
    rows = [f"t{n},a1,2026-01-0{n},{one}" for n, one in enumerate(records, 1)]
    declared(
        zone, f"[transactions]\n{toml}", transactions_csv=csv(*rows, header=f"transaction_id,account_id,date,{header}")
    )
    assert [abs(amount) and amount for _, amount in moved(zone)] == [-5, 7, 0]


def test_a_debit_and_credit_that_say_two_things_are_rejected(zone: Zone) -> None:
    records = [f"t{n},a1,2026-01-01,{record}" for n, record in enumerate(["5,7", "-5,", ",-7", "five,"])]
    toml = '[transactions.columns]\nOut = "debit"\nIn = "credit"\n'
    header = "transaction_id,account_id,date,Out,In"
    declared(zone, toml, transactions_csv=csv(*records, "t9,a1,2026-01-02,1,", header=header))
    assert moved(zone) == [("2026-01-02", -1)]
    assert [(one["row"], one["field"], one["reasons"]) for one in zone.quarantine()] == [
        (row, "amount", ["not_a_number"]) for row in range(1, len(records) + 1)
    ]


def test_defaults_stand_in_for_what_rows_lack_and_for_nothing_else(zone: Zone) -> None:
    toml = 'user = "u1"\naccount = "a1"\ncurrency = "EUR"\n'
    held = [{"account_id": "a1", "type": "checking"}, {**ACCOUNT, "account_id": "a2", "iso_currency_code": "USD"}]
    lacking = {"transaction_id": "t1", "date": "2026-02-01", "amount": -1}
    whole = {**TRANSACTION, "transaction_id": "t2", "account_id": "a2"}
    declared(zone, toml, accounts_json=held, transactions_jsonl=[lacking, whole])
    assert [(row["user_id"], row["iso_currency_code"]) for row in zone.accepted("accounts")] == [
        ("u1", "EUR"),
        ("u1", "USD"),
    ]
    assert [row["account_id"] for row in zone.accepted("transactions")] == ["a1", "a2"]


def test_a_row_that_cannot_be_read_is_not_filled_in(zone: Zone) -> None:
    declared(
        zone, 'ids = "content"\naccount = "a1"\n', transactions_csv="date,amount\n2026-01-01,1\n2026-01-02,1,2,3\n"
    )
    assert [one["reasons"] for one in zone.quarantine()] == [["unreadable_row"]]


NAMES = {
    **dict.fromkeys(["windows-1250", "utf-16", "utf-16-le", "utf-8"], "Příbram äß"),
    **dict.fromkeys(["iso-8859-15", "cp850"], "Öl & Käse"),
}


def test_a_file_is_read_in_its_encoding(zone: Zone) -> None:
    zone.arrive("people", **HELD)
    for encoding, name in NAMES.items():
        for packed in (False, True):
            batch = f"{encoding}{' packed' * packed}"
            text = csv(f"{batch},a1,2026-01-01,1,{name}", header="transaction_id,account_id,date,amount,merchant_name")
            data = text.encode(encoding)
            file = {"transactions_csv_gz": gzip.compress(data)} if packed else {"transactions_csv": data}
            zone.arrive(batch, batch_toml=f'[transactions]\nencoding = "{encoding}"\n', **file)
    found = {row["transaction_id"]: row["merchant_name"] for row in zone.accepted("transactions")}
    assert found == NAMES | {f"{encoding} packed": name for encoding, name in NAMES.items()}


# --- What is refused ---


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("dats = 'us'", "no key 'dats'; did you mean dates?"),
        ("[transaction]\ndates = 'us'", "did you mean transactions?"),
        ("[transactions]\ndelimeter = ';'", "in [transactions] there is no key 'delimeter'; did you mean delimiter?"),
        ("[accounts]\npositive = 'out'", "no key 'positive'"),
        ("[transactions.columns]\nDay = 'dat'", "no field 'dat' for the column 'Day'; did you mean date?"),
        ("[transactions.columns]\nA = 'date'\nB = 'date'", "two columns of transactions are the field date"),
        ("[transactions.columns]\nA = 'debit'", "debit and credit go together"),
        ("[transactions.columns]\nA = 'debit'\nB = 'credit'\nC = 'amount'", "either one column is the amount"),
        ("[transactions.columns]\nA = 'direction'", "go together"),
        ("[transactions]\ndirections = { A = 'away' }", "directions is e.g."),
        ("dates = 'DD.MM.YYYY'", "neither iso, us nor european"),
        ("dates = '%d.%m'", "neither iso, us nor european"),
        ("dates = '%Q'", "neither iso, us nor european"),
        ("decimal = ';'", "decimal is '.' or ','"),
        ("decimal = ','\nthousands = ','", "decimal and thousands are both ','"),
        ("thousands = ''", "thousands is a text in quotes"),
        ("encoding = 'latin-99'", "no encoding is called 'latin-99'"),
        ("delimiter = 'tab'", "one character"),
        ("skip_lines = true", "counts the lines"),
        ("ids = 'guess'", 'ids = "content"'),
        ("user = 3", "user is a text in quotes"),
        ("[transactions]\npositive = 'up'", "positive is one of 'in', 'out'"),
        ("transactions = 'us'", "transactions is a section"),
        ("dates = ", "no TOML"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(zone: Zone, toml: str, said: str) -> None:
    message = refused(zone, toml, transactions_jsonl=[TRANSACTION])
    assert message.startswith("batch.toml: ")
    assert said in message


@pytest.mark.parametrize(
    ("toml", "records", "said"),
    [
        ("dates = 'us'", ["t1,a1,03/04/2026,1", "t2,a1,25/04/2026,1"], "row 2, date: '25/04/2026'"),
        ("dates = 'european'", ["t1,a1,2026-01-31,1"], "row 1, date: '2026-01-31' is not what batch.toml declares"),
        ("dates = 'us'", ["t1,a1,1.2.2026,1"], "a date such as 01/31/2026 (%m/%d/%Y)"),
        ("dates = '%m/%d/%Y'", ["t1,a1,1/2/26,1"], "row 1, date: '1/2/26'"),
        ("decimal = ','\nthousands = '.'", ["t1,a1,2026-01-01,5", "t2,a1,2026-01-02,12.5"], "row 2, amount: '12.5'"),
        ("decimal = ','", ["t1,a1,2026-01-01,1234.50"], "a number such as 1234,50"),
        ("thousands = ','", ['t1,a1,2026-01-01,"1.234,50"'], "a number such as 1,234.50"),
        (
            "[transactions.columns]\nBooked = 'date'",
            ["t1,a1,2026-01-01,1"],
            "no column 'Booked', which batch.toml says is",
        ),
        ("delimiter = ';'", ["t1,a1,2026-01-01,1"], "fields are separated by ','"),
        ("encoding = 'utf-16'", ["t1,a1,2026-01-01,1"], "utf-16"),
    ],
)
def test_a_file_that_contradicts_its_declaration_is_refused(
    zone: Zone, toml: str, records: list[str], said: str
) -> None:
    toml = toml if "[" in toml else f"[transactions]\n{toml}\n"
    message = refused(zone, toml, transactions_csv=csv(*records))
    assert message.startswith("transactions.csv: ")
    assert said in message


def test_a_file_that_is_not_utf_8_asks_for_its_encoding(zone: Zone) -> None:
    data = csv(
        "t1,a1,2026-01-01,1,Kiosk",
        "t2,a1,2026-01-02,2,Müller",
        header="transaction_id,account_id,date,amount,merchant_name",
    )
    message = refused(zone, "", transactions_csv=data.encode("windows-1252"))
    assert message.startswith("transactions.csv: cannot be read as csv, damaged on line 3")
    assert "say which encoding it has in batch.toml" in message


def test_a_single_value_that_does_not_fit_is_rejected_with_its_row(zone: Zone) -> None:
    toml = '[transactions]\ndates = "european"\nthousands = "."\ndecimal = ","\n'
    good = [f"t{n},a1,0{n}.02.2026,1" for n in (1, 2, 3)]
    declared(zone, toml, transactions_csv=csv(*good, "t4,a1,31.02.2026,1", "t5,a1,01.02.2026,one"))
    assert len(moved(zone)) == 3
    found = zone.quarantine()
    assert [(one["row"], one["reasons"]) for one in found] == [(4, ["not_a_date"]), (5, ["not_a_number"])]
    assert all(one["value"].endswith(")") for one in found), "the value says what it was declared to be"


def test_an_iso_date_does_not_pass_for_a_declared_one(zone: Zone) -> None:
    good = [f"t{n},a1,0{n}.02.2026,1" for n in (1, 2)]
    declared(zone, '[transactions]\ndates = "european"\n', transactions_csv=csv(*good, "t3,a1,2026-02-03,1"))
    assert [(one["row"], one["reasons"]) for one in zone.quarantine()] == [(3, ["not_a_date"])]


def test_without_a_declaration_nothing_is_guessed(zone: Zone) -> None:
    zone.arrive(**HELD, transactions_csv=csv("t1,a1,31.01.2026,1", ",a1,2026-01-31,1", 't3,a1,2026-01-31,"1,5"'))
    assert [one["reasons"] for one in zone.quarantine()] == [["not_a_date"], ["missing"], ["not_a_number"]]


# --- Ids by content ---

DAYS = {day: [f"2026-01-0{day},-5,Kiosk"] * (2 if day == 2 else 1) for day in (1, 2, 3)}
HEADER = "date,amount,merchant_name"


def ids(zone: Zone) -> list[str]:
    return [row["transaction_id"] for row in zone.accepted("transactions")]


def test_an_overlapping_file_brings_the_same_ids(zone: Zone) -> None:
    toml = 'ids = "content"\naccount = "a1"\n'
    declared(zone, toml, transactions_csv=csv(*DAYS[1], *DAYS[2], header=HEADER))
    before = ids(zone)
    assert len(set(before)) == 3, "two equal payments on one day are two"
    zone.arrive("b2", batch_toml=toml, transactions_csv=csv(*DAYS[3], *DAYS[2], header=HEADER))
    assert set(before) < set(ids(zone))
    assert len(ids(zone)) == 4
    assert zone.outcomes("transactions")[3:].count("duplicate") == 2


def test_an_id_by_content_does_not_hang_on_the_format_the_holder_or_what_banks_change(zone: Zone) -> None:
    toml = 'ids = "content"\n'
    row = {"account_id": "a1", "date": "2026-01-01", "amount": -5, "merchant_name": "Kiosk"}
    declared(
        zone,
        toml,
        users_json=[USER, {**USER, "user_id": "u2"}],
        accounts_json=[ACCOUNT, {**ACCOUNT, "user_id": "u2"}],
        transactions_jsonl=[{**row, "pending": True, "user_id": "u1"}],
    )
    text = "2026-01-01,-5.00,Kiosk,a1,u2,FOOD_AND_DRINK"
    zone.arrive(
        "b2",
        batch_toml=toml,
        transactions_csv=csv(text, header="date,amount,merchant_name,account_id,user_id,category_primary"),
    )
    assert len(set(ids(zone))) == 1
    assert {row["pending"] for row in zone.accepted("transactions")} == {False}


def test_equal_rows_differ_where_anything_that_identifies_them_does(zone: Zone) -> None:
    row: Row = {"account_id": "a1", "date": "2026-01-01", "amount": -5, "merchant_name": "Kiosk"}
    other = [{"amount": 5}, {"date": "2026-01-02"}, {"merchant_name": None}, {"mcc": "5411"}, {"account_id": "a2"}]
    many = [row, *({**row, **change} for change in other)]
    declared(
        zone, 'ids = "content"\n', accounts_json=[ACCOUNT, {**ACCOUNT, "account_id": "a2"}], transactions_jsonl=many
    )
    assert len(set(ids(zone))) == len(many)
    assert all(one.endswith("-1") for one in ids(zone))


def test_a_row_that_has_an_id_keeps_it(zone: Zone) -> None:
    declared(zone, 'ids = "content"\n', transactions_jsonl=[TRANSACTION, {**TRANSACTION, "transaction_id": None}])
    assert "t1" in ids(zone)
    assert len(ids(zone)) == 2


# --- In the landing zone ---


def test_ids_of_the_command_are_declared_in_the_landing_zone(zone: Zone, tmp_path: Path) -> None:
    source = zone.folder("source", **HELD, batch_toml='account = "a1"\n', transactions_csv=csv(*DAYS[1], header=HEADER))
    landed = landing.land(source, tmp_path / "in", None, ids="content")
    assert declaration.read(landed)["transactions"].ids == "content"
    assert declaration.read(landed)["transactions"].defaults == {"account_id": "a1"}
    assert landing.land(source, tmp_path / "in", None, ids="content") == landed
    assert landing.land(source, tmp_path / "in", None) != landed, "another declaration is another content"
    assert landing.strangers(landed) == []


def test_ids_are_not_put_into_a_folder_of_the_landing_zone(zone: Zone) -> None:
    folder = zone.folder("b1", **HELD)
    with pytest.raises(BatchRefused, match=r"say ids = \"content\" in its batch.toml"):
        landing.land(folder, zone.root, None, ids="content")


def test_a_changed_declaration_is_other_content(zone: Zone, tmp_path: Path) -> None:
    source = zone.folder("source", **HELD, transactions_csv=csv("t1,a1,01/02/2026,1"), batch_toml='dates = "us"\n')
    landing.land(source, tmp_path / "in", "b1")
    (source / "batch.toml").write_text('dates = "%d/%m/%Y"\n')
    with pytest.raises(BatchRefused, match="already landed with other content"):
        landing.land(source, tmp_path / "in", "b1")


def test_nothing_is_declared_about_responses(zone: Zone) -> None:
    folder = zone.folder("ada", batch_toml='dates = "us"\n')
    (folder / "accounts.json").write_text('{"accounts": []}')
    with pytest.raises(BatchRefused, match="nothing to declare about Plaid"):
        landing.land(folder, zone.root / "in", None, responses=True)
