"""Every row is accepted, an identical duplicate, or rejected with its reasons; nothing good is lost with it."""

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.ingest import canonical, landing
from spendsense_pipeline.ingest.fields import FIELDS
from spendsense_pipeline_tests.ingest.conftest import (
    ACCOUNT,
    ARRIVED_ON,
    LIABILITY,
    PRODUCT,
    TRANSACTION,
    USER,
    Row,
    Zone,
    rows,
)

UTC = dt.UTC


# --- What is rejected, and why ---

BAD: list[tuple[str, str, Any, str]] = [
    ("users", "user_id", None, "missing"),
    ("users", "user_id", "  ", "missing"),
    ("users", "user_id", "x" * 257, "id_too_long"),
    ("users", "user_id", "u\x00" + "2", "control_characters"),
    ("users", "email", "no address", "not_an_email"),
    ("users", "email", "a@b", "not_an_email"),
    ("users", "email", "a@b.org, c@d.org", "not_an_email"),
    ("users", "full_name", "x" * 1_001, "text_too_long"),
    ("users", "created_at", "yesterday", "not_a_timestamp"),
    ("users", "created_at", "2026-02-30T00:00:00", "not_a_timestamp"),
    ("users", "created_at", "0000-01-01T00:00:00", "not_a_timestamp"),
    ("users", "created_at", "2099-01-01T00:00:00Z", "after_arrival"),
    ("users", "consent_status", "perhaps", "not_a_flag"),
    ("users", "user_type", "admin", "unknown_user_type"),
    ("users", "country", "UK", "not_a_country"),
    ("users", "country", "Germany", "not_a_country"),
    ("users", "country", "de", "not_a_country"),
    ("users", "language", "English", "not_a_language"),
    ("users", "language", "EN", "not_a_language"),
    ("users", "language", "de_CH", "not_a_language"),
    ("users", "birth_year", 1899, "out_of_range"),
    ("users", "birth_year", 2027, "out_of_range"),
    ("users", "birth_year", 1984.5, "not_a_whole_number"),
    ("users", "birth_year", "1984-02-01", "not_a_number"),
    ("accounts", "account_name", "x" * 1_001, "text_too_long"),
    ("accounts", "closed_at", "last year", "not_a_date"),
    ("accounts", "closed_at", "1969-12-31", "before_1970"),
    ("accounts", "user_id", None, "missing"),
    ("accounts", "user_id", "nobody", "unknown_user"),
    ("accounts", "balance_limit", -1, "negative"),
    ("accounts", "balance_current", "a lot", "not_a_number"),
    ("accounts", "iso_currency_code", "euro", "not_a_currency"),
    ("accounts", "balance_date", "2099-01-01", "after_arrival"),
    ("transactions", "transaction_id", "", "missing"),
    ("transactions", "transaction_id", "x" * 10_000, "id_too_long"),
    ("transactions", "account_id", None, "missing"),
    ("transactions", "account_id", "a9", "unknown_account"),
    ("transactions", "user_id", "u9", "account_of_another_user"),
    ("transactions", "amount", None, "missing"),
    ("transactions", "amount", "", "missing"),
    ("transactions", "amount", "ten", "not_a_number"),
    ("transactions", "amount", "1,234.56", "not_a_number"),
    ("transactions", "amount", "12.50-", "not_a_number"),
    ("transactions", "amount", "0x10", "not_a_number"),
    ("transactions", "amount", "1_000", "not_a_number"),
    ("transactions", "amount", True, "not_a_number"),
    ("transactions", "amount", float("nan"), "not_finite"),
    ("transactions", "amount", float("-inf"), "not_finite"),
    ("transactions", "amount", "Infinity", "not_finite"),
    ("transactions", "amount", 1e308, "number_too_large"),
    ("transactions", "amount", "1e999", "number_too_large"),
    ("transactions", "amount", "-1" + "0" * 500, "number_too_large"),
    ("transactions", "date", None, "missing"),
    ("transactions", "date", "2026-02-30", "not_a_date"),
    ("transactions", "date", "2026-25-02", "not_a_date"),
    ("transactions", "date", "02/01/2026", "not_a_date"),
    ("transactions", "date", "2026-2-1", "not_a_date"),
    ("transactions", "date", "2026-02-01T25:00:00Z", "not_a_date"),
    ("transactions", "date", "2026-02-01 or so", "not_a_date"),
    ("transactions", "date", 20260201, "not_a_date"),
    ("transactions", "date", "1969-12-31", "before_1970"),
    ("transactions", "date", "2099-01-01", "after_arrival"),
    ("transactions", "date", "2026-03-03", "after_arrival"),
    ("transactions", "merchant_name", "nul\x00byte", "control_characters"),
    ("transactions", "merchant_name", "x" * 5_000_000, "text_too_long"),
    ("transactions", "pending", "soon", "not_a_flag"),
    ("transactions", "mcc", 742, "not_an_mcc"),
    ("transactions", "mcc", "54111", "not_an_mcc"),
    ("transactions", "mcc", "5411.0", "not_an_mcc"),
    ("transactions", "mcc", "grocery", "not_an_mcc"),
    ("transactions", "description_raw", "x" * 4_001, "text_too_long"),
    ("transactions", "transaction_code", "x" * 1_001, "text_too_long"),
    ("transactions", "counterparty_name", "nul\x00byte", "control_characters"),
    ("liabilities", "account_id", "a9", "unknown_account"),
    ("liabilities", "user_id", "u9", "account_of_another_user"),
    ("liabilities", "liability_type", None, "missing"),
    ("liabilities", "liability_type", "debt", "unknown_liability_type"),
    ("liabilities", "next_payment_due_date", "soon", "not_a_date"),
    ("liabilities", "apr_purchase", "19 %", "not_a_number"),
    ("products", "product_name", None, "missing"),
    ("products", "min_income", -5, "negative"),
    ("products", "max_credit_utilization", 80, "out_of_range"),
    ("products", "min_credit_score", 680.5, "not_a_whole_number"),
    ("products", "partner_link", "javascript:alert(1)", "not_a_link"),
    ("products", "partner_link", "https://a.example/" + "x" * 483, "text_too_long"),
    ("products", "product_name", "x" * 121, "text_too_long"),
    ("products", "partner_name", "x" * 61, "text_too_long"),
    ("products", "short_description", "x" * 301, "text_too_long"),
    ("products", "disclosure", "x" * 2_001, "text_too_long"),
    ("products", "typical_apy_or_fee", "x" * 201, "text_too_long"),
    ("products", "benefits", ["short", "x" * 201], "text_too_long"),
    ("products", "benefits", f"short; {'x' * 201}", "text_too_long"),
    ("products", "benefits", ["x" * 100] * 20, "text_too_long"),
    ("products", "benefits", "[one, two", "not_a_list"),
    ("products", "benefits", [{"one": {"two": 3}}], "not_a_list"),
    ("products", "benefits", ["one", None], "not_a_list"),
    ("products", "benefits", ["one {{ payee }}"], "template_braces"),
    ("products", "benefits", r'["\u007b\u007b one"]', "template_braces"),
    ("products", "benefits", "one; two }}", "template_braces"),
    ("products", "product_name", "Fund {{ payee }}", "template_braces"),
    ("products", "partner_name", "{{", "template_braces"),
    ("products", "short_description", "A fund }}.", "template_braces"),
    ("products", "disclosure", "{{x}}", "template_braces"),
    ("products", "typical_apy_or_fee", "{{x}} %", "template_braces"),
    ("products", "partner_link", "https://a.example/{{id}}", "template_braces"),
]
ADVERTISED: list[tuple[dict[str, str], str | None]] = [
    ({"typical_apy_or_fee": "3.9% APY"}, "apy_without_its_name"),
    ({"typical_apy_or_fee": "3.9% apy, variable", "country": "US"}, "apy_without_its_name"),
    ({"typical_apy_or_fee": "3.9% APY", "disclosure": "APY is the Annual Percentage Yield."}, None),
    ({"typical_apy_or_fee": "3.9% annual percentage yield (APY)"}, None),
    ({"typical_apy_or_fee": "3.9% APY", "country": "GB"}, None),
    ({"typical_apy_or_fee": "$4 a month"}, None),
    ({"category": "Investing", "disclosure": "It can lose value."}, "investment_without_warning"),
    ({"product_type": "robo_advisor"}, "investment_without_warning"),
    ({"product_type": "robo_advisor", "disclosure": "Not FDIC insured. It can lose value."}, None),
    ({"product_type": "robo_advisor", "country": "DE"}, None),
]


GOOD: dict[str, Row] = {
    "users": USER,
    "accounts": ACCOUNT,
    "transactions": TRANSACTION,
    "liabilities": LIABILITY,
    "products": PRODUCT,
}


@pytest.fixture(scope="module")
def quarantined(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Row]:
    """One batch of a good row a table and every bad one behind it; what was rejected by table and row."""
    zone = Zone(tmp_path_factory.mktemp("bad"))
    landed = {table: [good] for table, good in GOOD.items()}
    for place, (table, field, value, _) in enumerate(BAD):
        key = next(iter(GOOD[table]))
        landed[table].append({**GOOD[table], key: f"bad{place}", field: value})
    zone.arrive(**{f"{table}_jsonl": there for table, there in landed.items()})
    for table, there in landed.items():
        assert zone.outcomes(table) == ["accepted"] + ["rejected"] * (len(there) - 1)
    return {(row["table"], row["row"]): row for row in zone.quarantine()}


def rank(place: int) -> int:
    """The row on which the bad value of this place in ``BAD`` stands in its file."""
    return 2 + sum(table == BAD[place][0] for table, *_ in BAD[:place])


@pytest.mark.parametrize("place", range(len(BAD)), ids=[f"{t}-{f}-{r}-{i}" for i, (t, f, _, r) in enumerate(BAD)])
def test_a_bad_value_is_rejected_with_its_field_and_reason(quarantined: dict[tuple[str, int], Row], place: int) -> None:
    table, field, _, reason = BAD[place]
    found = quarantined[table, rank(place)]
    assert (found["file"], found["field"], found["reasons"]) == (f"{table}.jsonl", field, [reason])
    assert len(found["value"] or "") <= 200


def test_every_reason_says_what_would_be_right_and_is_reached_by_a_test() -> None:
    reached = {reason for *_, reason in BAD} | {"unreadable_row", "conflicting_id"}
    reached |= {reason for _, reason in ADVERTISED if reason}
    assert reached == set(canonical.REASONS)


def test_a_rejected_row_names_all_its_reasons(zone: Zone) -> None:
    odd = {**TRANSACTION, "amount": "ten", "date": "2026-02-30", "account_id": "a9"}
    (found,) = zone.arrive(users_json=[USER], accounts_json=[ACCOUNT], transactions_json=[odd]).quarantine()
    assert found["reasons"] == ["not_a_date", "not_a_number", "unknown_account"]
    assert (found["field"], found["value"]) == ("account_id", "a9"), "the first field in the order of the format"


def test_values_of_personal_fields_are_masked(zone: Zone) -> None:
    odd = {**USER, "full_name": "Grace\x00Hopper", "email": "grace at home"}
    (found,) = zone.arrive(users_json=[odd]).quarantine()
    assert (found["field"], found["value"]) == ("full_name", "***")
    assert "race" not in json.dumps(found)


def test_a_value_of_a_shifted_user_shows_no_person_under_another_fields_name(zone: Zone) -> None:
    header = "user_id,full_name,email,consent_status,user_type\n"
    shifted = ["u1,,Ada,ada@mail.com,customer", "u2,Ada,a@mail.com,true,Ada Example", "u3,Ada,a@mail.com,Ada,customer"]
    zone.arrive(users_csv=header + "\n".join(shifted) + "\n")
    found = zone.quarantine()
    assert [one["field"] for one in found] == ["email", "user_type", "consent_status"]
    assert {one["value"] for one in found} == {"***"}


@pytest.mark.parametrize("said", ["ada@mail.com", "Ada Example", "Ada\u00a0Example", "Example,Ada", "Ada\x00Example"])
def test_an_id_that_may_be_a_person_is_masked_wherever_it_is_rejected(zone: Zone, said: str) -> None:
    zone.arrive(
        users_json=[{**USER, "user_id": said}, {**USER, "user_id": said, "email": "other@example.org"}],
        accounts_json=[{**ACCOUNT, "user_id": said}],
    )
    found = zone.quarantine()
    assert [(one["table"], one["field"], one["value"]) for one in found] == [
        ("accounts", "user_id", "***"),
        ("users", "user_id", "***"),
        ("users", "user_id", "***"),
    ]


def test_a_plain_id_of_a_rejected_user_is_shown(zone: Zone) -> None:
    zone.arrive(users_json=[{**USER, "user_id": f"cust_{'0' * 300}"}], accounts_json=[{**ACCOUNT, "user_id": "cust_9"}])
    assert [one["value"] for one in zone.quarantine()] == ["cust_9", "cust_" + "0" * 195]


def test_a_row_that_is_no_record_is_rejected_and_its_neighbours_stand(zone: Zone) -> None:
    good = json.dumps(TRANSACTION)
    zone.arrive(
        users_json=[USER], accounts_json=[ACCOUNT], transactions_jsonl=f'5\n{good}\n{{"transaction_id": "t3", "am'
    )
    assert zone.outcomes("transactions") == ["rejected", "accepted", "rejected"]
    assert [(one["row"], one["reasons"], one["field"]) for one in zone.quarantine()] == [
        (1, ["unreadable_row"], None),
        (3, ["unreadable_row"], None),
    ]


def test_the_account_of_a_rejected_user_is_unknown_and_so_are_its_rows(zone: Zone) -> None:
    zone.arrive(users_json=[{**USER, "email": "none"}], accounts_json=[ACCOUNT], transactions_json=[TRANSACTION])
    assert [(one["table"], one["reasons"]) for one in zone.quarantine()] == [
        ("accounts", ["unknown_user"]),
        ("transactions", ["unknown_account"]),
        ("users", ["not_an_email"]),
    ]


# --- What is accepted, and as what ---


def delivered(zone: Zone, field: str, values: list[Any]) -> list[Any]:
    """What becomes of these values of a transaction's field."""
    many = [{**TRANSACTION, "transaction_id": f"t{i:03}", field: value} for i, value in enumerate(values)]
    zone.arrive(users_json=[USER], accounts_json=[ACCOUNT], transactions_json=many)
    return [row[field] for row in zone.accepted("transactions")]


def test_a_date_is_the_day_as_written(zone: Zone) -> None:
    written = {
        "2026-02-01": dt.date(2026, 2, 1),
        "2026-02-01T23:30:00-08:00": dt.date(2026, 2, 1),
        "2026-02-01 00:15:00+0200": dt.date(2026, 2, 1),
        "2026-02-01T10:00:00.123456789Z": dt.date(2026, 2, 1),
        "2024-02-29": dt.date(2024, 2, 29),
        "1970-01-01": dt.date(1970, 1, 1),
        "2026-03-02": dt.date(2026, 3, 2),
    }
    assert delivered(zone, "date", list(written)) == list(written.values())


def test_a_number_may_be_written_in_any_plain_way(zone: Zone) -> None:
    written = {"-12.50": -12.5, "+3": 3, ".5": 0.5, "5.": 5, "1e3": 1000, " 7 ": 7, 0: 0, -0.01: -0.01}
    assert delivered(zone, "amount", list(written)) == list(written.values())


def test_a_flag_may_be_a_word_a_digit_or_a_boolean(zone: Zone) -> None:
    assert delivered(zone, "pending", [True, "TRUE", 1, "false", 0, None]) == [True] * 3 + [False] * 3


def test_what_is_not_delivered_is_null_and_a_user_and_posting_are_filled_in(zone: Zone) -> None:
    sparse = {**TRANSACTION, "merchant_name": "", "category_primary": None}
    zone.arrive(
        users_json=[{"user_id": "u1"}],
        accounts_json=[ACCOUNT],
        transactions_json=[sparse],
        liabilities_json=[LIABILITY],
    )
    (user,) = zone.accepted("users")
    assert user == {"user_id": "u1", "batch": "b1"} | {
        name: None for name in landing.names("users") if name != "user_id"
    }
    (row,) = zone.accepted("transactions")
    assert (row["user_id"], row["pending"], row["merchant_name"]) == ("u1", False, None)
    (liability,) = zone.accepted("liabilities")
    assert (liability["user_id"], liability["is_overdue"]) == ("u1", None)


def test_what_a_bank_says_besides_is_carried_through(zone: Zone) -> None:
    person = {"country": "GB", "language": "en-GB", "birth_year": 1900}
    held = {"account_name": "Everyday Saver", "closed_at": "2026-02-28"}
    said = {
        "description_raw": "SQ *BLUE BOTTLE 0123",
        "mcc": "0742",
        "transaction_code": "PMNT-CCRD-POSD",
        "counterparty_name": "Blue Bottle",
    }
    zone.arrive(
        users_json=[{**USER, **person}, {**USER, "user_id": "u2", "birth_year": 2026, "language": "de"}],
        accounts_json=[{**ACCOUNT, **held}],
        transactions_json=[{**TRANSACTION, **said}, {**TRANSACTION, "transaction_id": "t2", "mcc": 5411}],
    )
    assert [row["birth_year"] for row in zone.accepted("users")] == [1900, 2026]
    assert zone.accepted("users")[0].items() >= person.items()
    (account,) = zone.accepted("accounts")
    assert (account["account_name"], account["closed_at"]) == ("Everyday Saver", dt.date(2026, 2, 28))
    whole, bare = zone.accepted("transactions")
    assert whole.items() >= said.items()
    assert (bare["mcc"], bare["description_raw"]) == ("5411", None)


def test_times_are_utc_and_offsets_are_kept_account_of(zone: Zone) -> None:
    zone.arrive(users_json=[{**USER, "created_at": "2026-01-31T23:00:00-02:00", "consent_granted_at": "2026-02-01"}])
    (user,) = zone.accepted("users")
    assert user["created_at"] == dt.datetime(2026, 2, 1, 1, tzinfo=UTC)
    assert user["consent_granted_at"] == dt.datetime(2026, 2, 1, tzinfo=UTC)


def test_html_and_formulas_in_payees_are_kept_as_text(zone: Zone) -> None:
    payees = ["<script>alert(1)</script>", '=HYPERLINK("http://x")', "Müller & Söhne 🍞", "O'Neil; DROP TABLE"]
    assert delivered(zone, "merchant_name", payees) == payees


def test_mixed_currencies_are_accepted(zone: Zone) -> None:
    held = [{**ACCOUNT, "account_id": code or "none", "iso_currency_code": code} for code in ("CZK", "USD", None)]
    zone.arrive(users_json=[USER], accounts_json=held)
    assert [row["iso_currency_code"] for row in zone.accepted("accounts")] == ["CZK", "USD", None]


def test_lists_of_products_become_json_whatever_the_format(zone: Zone) -> None:
    header = "product_id,product_name,product_type,short_description,persona_targets,benefits,active"
    zone.arrive(
        products_json=[{**PRODUCT, "persona_targets": ["a", "b"], "benefits": []}],
        products_csv=f"{header}\np2,Fund,savings_hysa,A fund.,a; b,,false\n",
    )
    one, two = zone.accepted("products")
    assert json.loads(one["persona_targets"]) == json.loads(two["persona_targets"]) == ["a", "b"]
    assert (one["benefits"], two["benefits"]) == ("[]", None)
    assert (one["active"], two["active"], one["requires_no_existing_savings"]) == (True, False, False)


@pytest.mark.parametrize(("changes", "reason"), ADVERTISED)
def test_an_advertisement_says_what_the_law_asks_for(zone: Zone, changes: dict[str, str], reason: str | None) -> None:
    zone.arrive(products_json=[{**PRODUCT, "product_type": "savings_hysa", "category": "savings", **changes}])
    refused = [(row["field"], row["reasons"]) for row in zone.quarantine()]
    assert refused == ([("disclosure", [reason])] if reason else [])


def test_a_product_as_long_as_its_texts_may_be_is_accepted(zone: Zone) -> None:
    longest = {field.name: "x" * field.longest for field in FIELDS["products"] if field.kind == "text"}
    braces = {"short_description": "Funds {one} or {two}.", "benefits": ["x" * 200] * 9, "persona_targets": []}
    zone.arrive(products_json=[{**PRODUCT, **longest, **braces, "partner_link": "https://a.example/" + "x" * 482}])
    (kept,) = zone.accepted("products")
    assert (len(kept["product_name"]), len(kept["disclosure"]), len(kept["partner_link"])) == (120, 2_000, 500)


def test_a_balance_without_date_is_of_the_newest_transaction_of_its_batch(zone: Zone) -> None:
    zone.arrive(
        users_json=[USER],
        accounts_json=[ACCOUNT, {**ACCOUNT, "account_id": "a2", "balance_date": "2026-01-15"}],
        liabilities_json=[LIABILITY],
        transactions_json=[
            TRANSACTION,
            {**TRANSACTION, "transaction_id": "t2", "date": "2026-02-11"},
            {**TRANSACTION, "transaction_id": "t3", "date": "2099-01-01"},
        ],
    )
    zone.arrive("b2", accounts_json=[{**ACCOUNT, "account_id": "a3"}])
    dates = [row["balance_date"] for row in zone.accepted("accounts")]
    assert dates == [dt.date(2026, 2, 11), dt.date(2026, 1, 15), ARRIVED_ON]
    assert [row["balance_date"] for row in zone.accepted("liabilities")] == [dt.date(2026, 2, 11)]


# --- Several rows of one id ---


def base(zone: Zone) -> Zone:
    return zone.arrive("b1", users_json=[USER], accounts_json=[ACCOUNT], transactions_json=[TRANSACTION])


def test_the_same_files_twice_change_nothing(zone: Zone) -> None:
    before = base(zone).accepted("transactions")
    zone.arrive("again", users_json=[USER], accounts_json=[ACCOUNT], transactions_json=[TRANSACTION])
    assert zone.accepted("transactions") == before
    assert zone.outcomes("transactions")[-1] == "duplicate"
    assert zone.quarantine() == []


def test_a_later_batch_corrects_a_row_and_an_earlier_content_may_return(zone: Zone) -> None:
    base(zone)
    zone.arrive("b2", transactions_json=[{**TRANSACTION, "amount": -99}])
    assert [row["amount"] for row in zone.accepted("transactions")] == [-99]
    zone.arrive("b3", transactions_json=[TRANSACTION])
    assert [(row["amount"], row["batch"]) for row in zone.accepted("transactions")] == [(-12.5, "b3")]
    assert zone.outcomes("transactions") == ["accepted"] * 3


def test_a_later_bad_row_replaces_nothing(zone: Zone) -> None:
    base(zone).arrive("b2", transactions_json=[{**TRANSACTION, "amount": "ten"}])
    assert [row["batch"] for row in zone.accepted("transactions")] == ["b1"]


def test_one_id_with_two_contents_in_a_batch_is_rejected_whole(zone: Zone) -> None:
    zone.arrive(
        users_json=[USER],
        accounts_json=[ACCOUNT],
        transactions_json=[TRANSACTION, {**TRANSACTION, "amount": 1}, {**TRANSACTION, "transaction_id": "t2"}],
    )
    assert zone.outcomes("transactions") == ["rejected", "rejected", "accepted"]
    assert {(row["field"], row["value"], *row["reasons"]) for row in zone.quarantine()} == {
        ("transaction_id", "t1", "conflicting_id")
    }


def test_one_id_twice_in_a_batch_with_the_same_content_is_a_duplicate_in_any_format(zone: Zone) -> None:
    zone.arrive(
        users_json=[USER],
        accounts_json=[ACCOUNT],
        transactions_csv="transaction_id,account_id,date,amount\nt1,a1,2026-02-01,-12.50\n",
        transactions_json=[TRANSACTION],
    )
    assert zone.outcomes("transactions") == ["accepted", "duplicate"]


def test_a_bad_row_takes_no_good_row_of_its_id_with_it(zone: Zone) -> None:
    zone.arrive(
        users_json=[USER],
        accounts_json=[ACCOUNT],
        transactions_json=[TRANSACTION, {**TRANSACTION, "amount": "NaN"}],
    )
    assert zone.outcomes("transactions") == ["accepted", "rejected"]


def test_the_order_of_materialising_does_not_matter(zone: Zone) -> None:
    base(zone)
    zone.arrive("b2", transactions_json=[{**TRANSACTION, "amount": -99}])
    zone.arrive("b3", accounts_json=[{**ACCOUNT, "subtype": "savings"}])
    stands = zone.accepted("transactions"), zone.accepted("accounts")
    for order in list(itertools.permutations(zone.batches))[3:]:
        zone.batches = list(order)
        assert (zone.accepted("transactions"), zone.accepted("accounts")) == stands


# --- Counts ---


def test_the_tally_counts_each_file_and_each_reason(zone: Zone) -> None:
    zone.arrive(
        users_json=[USER],
        accounts_json=[ACCOUNT],
        transactions_jsonl=[TRANSACTION, TRANSACTION, {**TRANSACTION, "transaction_id": "t2", "amount": "x"}],
        transactions_json=[{**TRANSACTION, "transaction_id": "t3", "amount": "x", "date": "x"}],
    )
    judged = zone.judged("transactions")
    assert rows(canonical.tally(judged).order_by("file")) == [
        {"batch": "b1", "arrival": 1, "file": name, "read": read, "accepted": ok, "duplicate": same, "rejected": bad}
        for name, read, ok, same, bad in [
            ("transactions.json", 1, 0, 0, 1),
            ("transactions.jsonl", 3, 1, 1, 1),
        ]
    ]
    assert rows(canonical.reasons(judged).order_by("reason")) == [
        {"batch": "b1", "reason": "not_a_date", "rejected": 1},
        {"batch": "b1", "reason": "not_a_number", "rejected": 2},
    ]


def test_batches_without_rows_leave_typed_empty_tables_of_the_contract(zone: Zone) -> None:
    zone.arrive(users_json="[]")
    for table, fields in FIELDS.items():
        judged = zone.judged(table)
        assert judged.columns == (*(field.name for field in fields), "batch", *canonical.JUDGEMENT)
        assert zone.accepted(table) == rows(canonical.tally(judged)) == []
    assert zone.quarantine() == []


# --- The catalogue that ships ---


def test_the_catalogue_is_read_as_a_batch_of_its_own(zone: Zone, tmp_path: Path) -> None:
    shipped = tmp_path / "products.json"
    shipped.write_text(json.dumps([{**PRODUCT, "benefits": ["one"], "min_credit_score": 700}]))
    kept = canonical.accepted(canonical.judge_products(canonical.catalogue(shipped, zone.con)))
    assert failures(CONTRACTS["products"], kept.cache()).empty
    (row,) = rows(kept)
    assert (row["batch"], row["min_credit_score"], row["benefits"]) == ("catalogue", 700, '["one"]')


def test_a_bad_product_of_the_catalogue_is_rejected_like_any_other(zone: Zone, tmp_path: Path) -> None:
    shipped = tmp_path / "products.json"
    shipped.write_text(json.dumps([PRODUCT, {**PRODUCT, "product_id": "p2", "min_income": "much"}]))
    judged = canonical.judge_products(canonical.catalogue(shipped, zone.con))
    (bad,) = rows(canonical.quarantined({"products": judged}))
    assert (bad["batch"], bad["row"], bad["field"], bad["reasons"]) == (
        "catalogue",
        2,
        "min_income",
        '["not_a_number"]',
    )
