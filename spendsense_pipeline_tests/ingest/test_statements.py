"""Banks' statement files become batches: whole, with the bank's texts and codes, or not at all with the place."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spendsense_pipeline.ingest import statements
from spendsense_pipeline.ingest.files import BatchRefused
from spendsense_pipeline.ingest.statements.statement import joined
from spendsense_pipeline_tests.ingest.conftest import Row, Zone

SAMPLES = Path(__file__).with_name("statements")
US_BANK, US_CARD = "us-bank.qfx", "us-card.ofx"
GIRO, DUTCH_MT940 = "german-giro.sta", "dutch-current.940"
DUTCH, UK = "dutch-current.xml", "uk-current.xml"
FORMAT = {US_BANK: "ofx", US_CARD: "ofx", GIRO: "mt940", DUTCH_MT940: "mt940", DUTCH: "camt053", UK: "camt053"}


def text_of(sample: str) -> str:
    return (SAMPLES / sample).read_text(encoding="utf-8")


def folder(root: Path, **files: str | bytes) -> Path:
    """A folder of files; ``mia/january_ofx`` names january.ofx in the folder mia."""
    for name, content in files.items():
        path = root / re.sub(r"_(?=[^_]*$)", ".", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def tables(source: Path, kind: str, user: str | None = "mia") -> dict[str, list[Row]]:
    with statements.converted(source, kind, user) as batch:
        found = {}
        for path in sorted(batch.iterdir()):
            found[path.name.partition(".")[0]] = [json.loads(line) for line in path.read_text().splitlines()]
        return found


def landed(zone: Zone, sample: str, user: str = "mia") -> Zone:
    """The sample's batch in the landing zone."""
    source = folder(zone.root.parent / "source" / sample)
    source.mkdir(parents=True, exist_ok=True)
    (source / sample).write_bytes((SAMPLES / sample).read_bytes())
    with statements.converted(source, FORMAT[sample], user) as batch:
        zone.arrive(sample.replace(".", "-"), **{p.name.replace(".", "_"): p.read_text() for p in batch.iterdir()})
    return zone


@pytest.mark.parametrize("sample", FORMAT)
def test_every_row_of_a_sample_is_accepted_and_once_where_statements_overlap(
    zone: Zone, sample: str, tmp_path: Path
) -> None:
    landed(zone, sample)
    assert zone.quarantine() == []
    assert [row["user_id"] for row in zone.accepted("users")] == ["mia"]
    (account,) = zone.accepted("accounts")
    accepted = zone.accepted("transactions")
    assert {row["account_id"] for row in accepted} == {account["account_id"]}
    name, suffix = sample.rsplit(".", 1)
    both = {f"{name}_{suffix}": text_of(sample), f"again_{suffix}": text_of(sample)}
    with statements.converted(folder(tmp_path / "in", **both), FORMAT[sample], "mia") as batch:
        zone.arrive("b2", **{path.name.replace(".", "_"): path.read_text() for path in batch.iterdir()})
    assert len(zone.accepted("transactions")) == len(accepted)
    assert zone.quarantine() == []


def moved(zone: Zone, *fields: str) -> list[tuple[Any, ...]]:
    found = sorted(zone.accepted("transactions"), key=lambda row: (row["date"], row["transaction_id"]))
    return [(row["date"].day, row["amount"], *(row[field] for field in fields)) for row in found]


def test_a_us_banks_download(zone: Zone) -> None:
    landed(zone, US_BANK)
    assert moved(zone, "merchant_name", "description_raw", "transaction_code") == [
        (30, 2150, "HARBOR LOGISTICS PAYROLL", "HARBOR LOGISTICS PAYROLL PPD ID: 9111111103", "DIRECTDEP"),
        (2, -15.49, "NETFLIX.COM", "NETFLIX.COM LOS GATOS CA 02/01", "DEBIT"),
        (3, -900, None, "CHECK 1042", "CHECK"),
        (4, -62.1, "AT&T MOBILITY", "AT&T MOBILITY", "DEBIT"),
    ]
    (account,) = zone.accepted("accounts")
    assert (account["account_id"], account["type"], account["subtype"]) == (
        "021000089-4410027731",
        "depository",
        "checking",
    )
    assert (account["balance_current"], account["balance_available"], str(account["balance_date"])) == (
        1322.41,
        1300,
        "2026-02-14",
    )
    assert all(row["transaction_id"].startswith("021000089-4410027731:") for row in zone.accepted("transactions"))


def test_a_us_cards_download(zone: Zone) -> None:
    landed(zone, US_CARD)
    assert moved(zone, "mcc", "counterparty_name", "description_raw") == [
        (5, -43.2, "5411", None, "GREEN GROCER 0231 PORTLAND OR"),
        (6, -18, "0742", "Paws Veterinary Clinic", "Paws Veterinary Clinic"),
        (10, 250, None, None, "ONLINE PAYMENT THANK YOU"),
    ]
    (account,) = zone.accepted("accounts")
    assert (account["balance_current"], account["subtype"]) == (812.34, "credit card"), "what is owed is positive"
    assert account["account_id"].endswith("-1111")
    assert "4111111111111111" not in json.dumps(zone.accepted("transactions") + zone.accepted("accounts"), default=str)


def test_a_german_giro_account(zone: Zone) -> None:
    landed(zone, GIRO)
    texts = moved(zone, "counterparty_name", "description_raw", "transaction_code")
    found = {(day, amount): rest for day, amount, *rest in texts}
    assert found == {
        (5, -29.9): ["FITNESSWERK GMBH BERLIN", "FOLGELASTSCHRIFT Mitgliedsbeitrag Januar 2026", "NDDT+105"],
        (6, 2500): ["HAFENLOGISTIK AG", "LOHN GEHALT LOHN 01/26", "NTRF+153"],
        (7, -3.2): ["KIOSK AM MARKT", "KARTENZAHLUNG KIOSK AM MARKT", "NMSC+106"],
        (8, 29.9): ["FITNESSWERK GMBH BERLIN", "RÜCKLASTSCHRIFT Mitgliedsbeitrag Januar 2026", "NRTI+109"],
    }
    assert len(zone.accepted("transactions")) == 5, "two equal payments on one day are two"
    (account,) = zone.accepted("accounts")
    assert (account["account_id"], account["balance_current"], account["balance_available"]) == (
        "12030000/0000202051",
        3728.16,
        3700,
    )


def test_a_dutch_current_account_in_mt940(zone: Zone) -> None:
    landed(zone, DUTCH_MT940)
    assert moved(zone, "counterparty_name", "description_raw", "transaction_code") == [
        (2, -750, "WONINGCORPORATIE DE KADE", "SEPA PERIODIEKE OVERBOEKING HUUR JANUARI 2026", "N426"),
        (3, 1900.5, "GEMEENTE UTRECHT", "SEPA OVERBOEKING SALARIS JANUARI", "N544+SALA"),
        (4, -4.15, None, "BEA NR:XX1234 04.01.26/12.10 KOFFIEHUIS DE BRUG", "N446"),
    ]
    (account,) = zone.accepted("accounts")
    assert (account["account_id"], account["iso_currency_code"]) == ("NL91ABNA0417164300", "EUR")


def test_a_dutch_current_account_in_camt053(zone: Zone) -> None:
    landed(zone, DUTCH)
    assert moved(zone, "counterparty_name", "description_raw", "transaction_code") == [
        (31, -49.99, "Stroomhuis B.V.", "Energie januari klant 99", "PMNT-RDDT-ESDD"),
        (31, 800, "Bakkerij Zon", "Salaris januari", "PMNT-RCDT-ESCT/SALA"),
    ]
    (account,) = zone.accepted("accounts")
    assert (account["balance_current"], str(account["balance_date"])) == (1250.01, "2026-01-31")


def test_a_uk_savings_account_in_camt053(zone: Zone) -> None:
    landed(zone, UK)
    found = {
        (row["amount"], row["counterparty_name"], row["description_raw"], row["pending"])
        for row in zone.accepted("transactions")
    }
    assert found == {
        (-10, "Oak Nursery", None, False),
        (-20, "River Gym", None, False),
        (-4.8, None, "PRET A MANGER LONDON", True),
        (10, "Oak Nursery", None, False),
    }, "a batch by its payments, a pending card payment, and a returned debit with the other side's name"
    (account,) = zone.accepted("accounts")
    assert (account["subtype"], account["account_name"], account["iso_currency_code"]) == (
        "savings",
        "Rainy Day Saver",
        "GBP",
    )
    assert (account["balance_current"], account["balance_available"]) == (-20.5, 479.5)


# --- Whose, and which ---


def test_a_folder_names_the_customer_and_an_account_in_two_folders_is_shared(zone: Zone, tmp_path: Path) -> None:
    source = folder(tmp_path / "in", **{"mia/jan_sta": text_of(GIRO), "noah/jan_sta": text_of(GIRO)})
    with statements.converted(source, "mt940") as batch:
        zone.arrive(**{path.name.replace(".", "_"): path.read_text() for path in batch.iterdir()})
    assert [(row["user_id"], row["holders"]) for row in zone.accepted("accounts")] == [("mia", 2), ("noah", 2)]
    assert [row["user_id"] for row in zone.accepted("transactions")].count("noah") == 5
    assert zone.quarantine() == []


def test_batch_toml_names_the_customer_and_what_no_statement_says_of_an_account(tmp_path: Path) -> None:
    toml = 'user = "mia"\n[accounts."12030000/0000202051"]\nsubtype = "savings"\naccount_name = "Tagesgeld"\n'
    found = tables(folder(tmp_path / "in", jan_sta=text_of(GIRO), batch_toml=toml), "mt940", user=None)
    (account,) = found["accounts"]
    assert (account["user_id"], account["subtype"], account["account_name"]) == ("mia", "savings", "Tagesgeld")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("usr = 'mia'", "no key 'usr'; did you mean user?"),
        ("dates = 'us'", "no key 'dates'"),
        ("[accounts.1]\nkind = 'x'", "of account 1: no key 'kind'"),
        ("[accounts.1]\ntype = 'x'", "no statement is of account '1'"),
        ("encoding = 'latin-99'", "no encoding is called 'latin-99'"),
        ("user = ", "no TOML"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(BatchRefused, match=r"^batch.toml: ") as caught:
        tables(folder(tmp_path / "in", jan_sta=text_of(GIRO), batch_toml=toml), "mt940")
    assert said in str(caught.value)


def test_a_statement_of_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BatchRefused, match=r"jan\.sta: whose is it"):
        tables(folder(tmp_path / "in", jan_sta=text_of(GIRO)), "mt940", user=None)
    with pytest.raises(BatchRefused, match="no plain id") as caught:
        tables(folder(tmp_path / "named", **{"Ada Example/jan_sta": text_of(GIRO)}), "mt940")
    assert "Ada" not in str(caught.value)


def test_a_folder_without_a_statement_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BatchRefused, match=r"no statement in this folder; its name ends in .ofx, .qfx"):
        tables(folder(tmp_path / "in", jan_sta=text_of(GIRO)), "ofx")


def test_a_pending_entry_that_is_booked_later_stands_once(tmp_path: Path) -> None:
    later = text_of(UK).replace("PDNG", "BOOK").replace("<Dt>2026-02-09</Dt></Dt>", "<Dt>2026-02-10</Dt></Dt>")
    later = later.replace("2026-02-09T23:59:59", "2026-02-10T23:59:59")
    found = tables(folder(tmp_path / "in", b_xml=text_of(UK), a_xml=later), "camt053")["transactions"]
    (card,) = [row for row in found if row["amount"] == "-4.80"]
    assert "pending" not in card


def test_a_correction_replaces_and_a_deletion_removes(tmp_path: Path) -> None:
    corrected = text_of(US_BANK).replace(
        "<NAME>AT&amp;T MOBILITY",
        "<NAME>AT&amp;T MOBILITY\n<CORRECTFITID>202602020001\n<CORRECTACTION>REPLACE",
    )
    many = tables(folder(tmp_path / "in", jan_ofx=corrected), "ofx")["transactions"]
    found = {row["transaction_id"].partition(":")[2]: row for row in many}
    assert found["202602020001"]["removed"] is True
    assert found["202602040001"]["amount"] == "-62.10"


def test_money_abroad_is_in_the_accounts_currency(tmp_path: Path) -> None:
    currency = "<CURRENCY><CURRATE>1.5<CURSYM>EUR</CURRENCY>"
    abroad = text_of(US_BANK).replace("<FITID>202602040001", f"<FITID>202602040001\n{currency}")
    found = tables(folder(tmp_path / "in", jan_ofx=abroad), "ofx")["transactions"]
    assert found[-1]["amount"] == "-93.150"


def test_texts_are_joined_without_saying_anything_twice() -> None:
    assert joined("CARD 12", "card 12 PARIS", None, " ", "PARIS") == "card 12 PARIS"
    assert joined(None, "") is None


# --- What cannot be read ---

ON_A_DAY = "<BookgDt><Dt>2026-01-31</Dt></BookgDt><ValDt><Dt>2026-02-01</Dt></ValDt>"

DAMAGED: list[tuple[str, Callable[[str], str], str]] = [
    (US_BANK, lambda text: text[:900], "is cut off on line 61, within BANKTRANLIST/STMTTRN"),
    (US_BANK, lambda text: "hello", "cannot be read as OFX"),
    (US_BANK, lambda text: "", "cannot be read as OFX"),
    (US_BANK, lambda text: text.replace("-15.49", "fifteen"), "…7731, transaction 2: TRNAMT is 'fifteen'"),
    (US_BANK, lambda text: text.replace("20260202\n", "02/02/2026\n"), "transaction 2: DTPOSTED is '02/02/2026'"),
    (US_BANK, lambda text: text.replace("<FITID>202602020001\n", ""), "transaction 2: has no FITID"),
    (US_BANK, lambda text: text.replace("<SEVERITY>INFO", "<SEVERITY>ERROR"), "answered with the error 0"),
    (US_BANK, lambda text: text.replace("STMTRS>", "OTHER>"), "holds no statement"),
    (US_BANK, lambda text: text.replace("<ACCTID>4410027731\n", ""), "names no account"),
    (US_CARD, lambda text: text[:1200], "is cut off on line"),
    (US_CARD, lambda text: text.replace("</STMTTRN>", "</STMTTRNX>", 1), "damaged on line 12"),
    (GIRO, lambda text: "", "no MT940"),
    (GIRO, lambda text: "Datum;Betrag\n" + text, "line 1: no MT940"),
    (GIRO, lambda text: text[: text.index(":62F:")], "line 1: the statement that begins here has no closing balance"),
    (GIRO, lambda text: text.replace("DR29,90NDDT", "DR29.90NDDT"), "line 5: the field :61: cannot be read"),
    (GIRO, lambda text: text.replace("2601080108RD", "2601330133RD"), "the field :61: cannot be read"),
    (GIRO, lambda text: text.replace(":60F:C251231", ":60F:C251331"), "line 4: the field :60F: has no existing day"),
    (GIRO, lambda text: text.replace("C251231EUR", "X251231EUR"), "line 4: the field :60F: cannot be read"),
    (GIRO, lambda text: text.replace("CR2500,00", "CR2400,00"), "3628.16, and its closing balance on line 19"),
    (DUTCH, lambda text: text[:1500], "cannot be read as XML, damaged on line"),
    (DUTCH, lambda text: "hello", "damaged on line 1, column 1"),
    (DUTCH, lambda text: text.replace("49.99", "much"), "statement 1, entry 1: Amt is 'much'"),
    (DUTCH, lambda text: text.replace(">DBIT</CdtDbtInd><Sts>B", ">OUT</CdtDbtInd><Sts>B"), "entry 1: CdtDbtInd"),
    (DUTCH, lambda text: text.replace(ON_A_DAY, ""), "entry 1: BookgDt/Dt is ''"),
    (DUTCH, lambda text: text.replace("BkToCstmrStmt", "BkToCstmrAcctRpt"), "holds BkToCstmrAcctRpt where"),
    (DUTCH, lambda text: text.replace("<Id><IBAN>NL91ABNA0417164300</IBAN></Id>", ""), "statement 1: names no account"),
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(DAMAGED)), ids=[f"{sample}: {said[:30]}" for sample, _, said in DAMAGED])
def test_a_damaged_file_is_refused_with_its_place(tmp_path: Path, place: int) -> None:
    sample, damage, said = DAMAGED[place]
    broken = damage(text_of(sample))
    assert broken != text_of(sample)
    suffix = sample.rsplit(".", 1)[1]
    source = folder(tmp_path / "in", **{f"a_{suffix}": text_of(sample), f"jan_{suffix}": broken})
    with pytest.raises(BatchRefused) as caught:
        tables(source, FORMAT[sample])
    assert str(caught.value).startswith(f"jan.{suffix}: ")
    assert said in str(caught.value)


def test_entities_are_never_expanded(tmp_path: Path) -> None:
    head, _, rest = text_of(DUTCH).partition("\n")
    lol = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    bomb = f"{head}\n{lol}\n{rest.replace('Stroomhuis', '&b;')}"
    with pytest.raises(BatchRefused, match="declares a document type"):
        tables(folder(tmp_path / "in", jan_xml=bomb), "camt053")
    external = f'{head}\n<!DOCTYPE x SYSTEM "file:///etc/passwd">\n{rest}'
    with pytest.raises(BatchRefused, match="declares a document type"):
        tables(folder(tmp_path / "out", jan_xml=external), "camt053")


def test_another_encoding_is_declared_and_never_guessed(tmp_path: Path) -> None:
    latin = text_of(GIRO).encode("iso-8859-1")
    with pytest.raises(BatchRefused, match=r"jan.sta: byte \d+ is none of utf-8; say e.g. encoding"):
        tables(folder(tmp_path / "in", jan_sta=latin), "mt940")
    found = tables(folder(tmp_path / "in", batch_toml='encoding = "iso-8859-1"\n'), "mt940")
    assert any("RÜCKLASTSCHRIFT" in row["description_raw"] for row in found["transactions"])
    with pytest.raises(BatchRefused, match="says itself which encoding"):
        tables(folder(tmp_path / "ofx", batch_toml='encoding = "utf-8"\n', jan_ofx=text_of(US_BANK)), "ofx")


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mt940", None)
    monkeypatch.delitem(sys.modules, f"{statements.__name__}.mt940", raising=False)
    with pytest.raises(BatchRefused, match=r"needs mt940: pip install 'spendsense-pipeline\[formats\]'"):
        tables(folder(tmp_path / "in", jan_sta=text_of(GIRO)), "mt940")
