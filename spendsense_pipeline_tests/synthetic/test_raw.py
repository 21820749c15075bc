"""What raw customers promise: text as banks print it, a truth that the rows bear out, and names that are nobody's."""

import csv
import datetime as dt
import hashlib
import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import spendsense_pipeline
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.synthetic import Synthetic, generate, generate_raw, write
from spendsense_pipeline.synthetic.raw.country import COUNTRIES, DATA, Country
from spendsense_pipeline.synthetic.schedule import (
    CADENCES,
    Cadence,
    Period,
    occurrences,
)
from spendsense_pipeline_tests.ingest.conftest import Zone

AS_OF = dt.date(2026, 11, 20)
USERS = 90
DAYS_APART = {
    "weekly": 7, "biweekly": 14, "four_weekly": 28, "semi_monthly": 15.2, "monthly": 30.4, "two_monthly": 60.9,
    "quarterly": 91.3, "semi_annual": 182.6, "annual": 365,
}  # fmt: skip
PACKAGE = Path(spendsense_pipeline.__file__).parent


@cache
def customers(country: str) -> Synthetic:
    """Made once, in whatever order the tests run; nobody changes them."""
    return generate_raw(USERS, as_of=AS_OF, days=420, country=country, evidence="mcc")


@pytest.fixture(params=COUNTRIES)
def made(request: pytest.FixtureRequest) -> Synthetic:
    return customers(request.param)


def streams(made: Synthetic) -> pd.DataFrame:
    return pd.DataFrame(
        [{"user_id": user, **stream} for user, truth in made.truth["users"].items() for stream in truth["streams"]]
    )


def delivered(made: Synthetic) -> pd.DataFrame:
    """Posted rows, once for each holder of their account, with the day and the account's type."""
    rows = made.tables["transactions"]
    held = made.tables["accounts"][["account_id", "user_id", "type", "subtype"]]
    rows = rows[~rows["pending"]].drop(columns="user_id").merge(held, on="account_id")
    return rows.assign(day=pd.to_datetime(rows["date"]))


def test_calendars_of_four_weeks_two_months_and_half_a_year() -> None:
    period = Period.ending(AS_OF, 800)
    for cadence, anchor, apart in (
        (Cadence.FOUR_WEEKLY, 3, {28}),
        (Cadence.TWO_MONTHLY, 115, {59, 60, 61, 62}),
        (Cadence.SEMI_ANNUAL, 205, None),
    ):
        at, day, _ = occurrences(np.array([cadence]), np.array([anchor]), period)
        gaps = set(np.diff(np.sort(day)).tolist())
        assert len(day) > 3
        assert gaps <= (apart or set(range(181, 185))), CADENCES[cadence]
        assert set(at.tolist()) == {0}


def by_day(made: Synthetic) -> dict[tuple[str, str], list[tuple[float, str]]]:
    """Amounts and texts, in capitals and from all fields, of each customer's days."""
    rows = delivered(made)
    fields = [rows[name].fillna("") for name in ("description_raw", "merchant_name", "counterparty_name")]
    texts = [" ".join(parts).upper() for parts in zip(*fields, strict=True)]
    found: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for user, day, amount, text in zip(rows["user_id"], rows["date"], rows["amount"], texts, strict=True):
        found.setdefault((user, day), []).append((amount, text))
    return found


def test_every_planted_stream_has_its_rows_on_its_days_at_its_price(made: Synthetic) -> None:
    days, planted = by_day(made), streams(made)
    assert set(planted["kind"]) == {"subscription", "bill", "regular", "income"}
    assert {"annual", "semi_annual", "quarterly", "two_monthly", "four_weekly", "biweekly"} <= set(planted["cadence"])
    for stream in planted.itertuples():
        # A bill follows the weather, a foreign price its currency; whatever is fixed costs the planted amount.
        amounts = [amount for amount, _ in days[stream.user_id, stream.last_date]]
        assert min(abs(amount / stream.amount - 1) for amount in amounts) < 0.6, stream
        assert (stream.user_id, stream.first_date) in days, stream
        length = (dt.date.fromisoformat(stream.last_date) - dt.date.fromisoformat(stream.first_date)).days
        # Council tax has two months off, and an odd day moves a short span.
        assert length / (stream.occurrences - 1) == pytest.approx(DAYS_APART[stream.cadence], rel=0.25), stream
        assert stream.occurrences >= (2 if stream.cadence in ("annual", "semi_annual") else 3)


def test_fixed_prices_are_charged_to_the_cent(made: Synthetic) -> None:
    rows = delivered(made)
    planted = streams(made).query("purpose in ('service', 'gym', 'rent_company', 'person:rent')")
    charged = set(zip(rows["user_id"], rows["date"], rows["amount"], strict=True))
    for stream in planted.itertuples():
        assert (stream.user_id, stream.last_date, stream.amount) in charged, stream


def test_a_planted_payee_is_printed_on_its_rows(made: Synthetic) -> None:
    """At every bank, in whichever field: the name, the text, or the other side's."""
    days = by_day(made)
    seen = [
        any(stream.printed[:10].upper() in text for _, text in days[stream.user_id, stream.last_date])
        for stream in streams(made).itertuples()
    ]
    assert np.mean(seen) > 0.99


def test_money_of_the_truth_is_what_the_rows_add_up_to(made: Synthetic) -> None:
    """Spending by another route: all that left the accounts, less what only moved and what came back."""
    rows = delivered(made)
    recent = rows[rows["day"] > pd.Timestamp(AS_OF) - pd.Timedelta(days=180)]
    out = (
        -recent.loc[(recent["amount"] < 0) & recent["type"].isin(["depository", "credit"]), :]
        .groupby("user_id")["amount"]
        .sum()
    )
    for user, truth in made.truth["users"].items():
        assert 0 < truth["spend_180d"] <= out.get(user, 0.0) + 0.01
        assert truth["spend_30d"] <= truth["spend_180d"]
        assert truth["regular_income"] == pytest.approx(truth["monthly_pay"] + truth["benefits"], abs=0.02)
        assert truth["own_transfers"] >= 0


def test_regular_income_is_that_of_the_planted_income(made: Synthetic) -> None:
    month = {name: 30 / days for name, days in DAYS_APART.items()}
    for user, truth in made.truth["users"].items():
        income = [stream for stream in truth["streams"] if stream["kind"] == "income"]
        if truth["pay_frequency"] == "irregular" or truth["stale"]:
            continue
        paid = [stream for stream in income if stream["last_date"] > str(AS_OF - dt.timedelta(days=35))]
        planned = sum(stream["amount"] * month[stream["cadence"]] for stream in paid)
        assert truth["regular_income"] == pytest.approx(planned, rel=0.03), user


def test_each_persona_lives_as_its_definition_says(made: Synthetic) -> None:
    """A plain reading of the definitions from balances and the truth; no code of the pipeline."""
    accounts = made.tables["accounts"]
    held = accounts.pivot_table(index="user_id", columns="subtype", values="balance_current", aggfunc="sum")
    cards = accounts[accounts["subtype"] == "credit card"]
    used = (cards["balance_current"] / cards["balance_limit"]).groupby(cards["user_id"]).max()
    lately = str(AS_OF - dt.timedelta(days=45))
    fits: dict[str, list[bool]] = {}
    for user, truth in made.truth["users"].items():
        live = [
            -stream["amount"]
            for stream in truth["streams"]
            if (stream["kind"], stream["cadence"]) == ("subscription", "monthly") and stream["last_date"] > lately
        ]
        buffer = held["checking"].get(user, 0.0) / max(truth["spend_180d"] / 6, 1)
        calm = used.get(user, 0.0) < 0.3
        fit = {
            "high_utilization": used.get(user, 0.0) >= 0.5,
            "savings_builder": calm and truth["own_transfers"] >= 1200,
            "wealth_builder": calm and truth["monthly_pay"] > 10_000 and held["savings"].get(user, 0.0) > 25_000
            and truth["penalty_fees"] == 0,
            "variable_income": calm and buffer < 1,
            "subscription_heavy": calm and len(live) >= 3 and sum(live) >= 50,
        }[truth["persona"]]  # fmt: skip
        fits.setdefault(truth["persona"], []).append(bool(fit))
    assert len(fits) == 5
    assert sum(map(sum, fits.values())) / sum(map(len, fits.values())) >= 0.97, {
        persona: np.mean(fit) for persona, fit in fits.items()
    }


def test_pensioners_have_benefits_and_no_payday(made: Synthetic) -> None:
    pensioners = [truth for truth in made.truth["users"].values() if truth["pay_frequency"] is None]
    assert pensioners
    assert all(truth["benefits"] > 0 and truth["monthly_pay"] == 0 for truth in pensioners)


def test_banks_deliver_no_category_no_id_and_a_text_on_every_row(made: Synthetic) -> None:
    rows = made.tables["transactions"]
    for nothing in ("category_primary", "category_detailed", "merchant_entity_id"):
        assert rows[nothing].isna().all()
    assert (rows["description_raw"].notna() | rows["counterparty_name"].notna()).all()
    assert rows["description_raw"].notna().mean() > 0.97
    assert (rows["description_raw"].dropna() != "").all()
    assert not rows["description_raw"].str.contains(r"[{}]|\s\s", regex=True, na=False).any()
    assert rows["transaction_id"].is_unique
    assert rows["mcc"].dropna().str.fullmatch("[0-9]{4}").all()
    assert 0.3 < rows["mcc"].notna().mean() < 0.95


def test_references_change_from_row_to_row_and_styles_from_bank_to_bank(made: Synthetic) -> None:
    rows = made.tables["transactions"]
    assert rows["description_raw"].nunique() > 0.35 * len(rows)
    shape = rows["description_raw"].str.replace(r"[0-9A-F]{2,}", "", regex=True).str.split().str[0]
    assert shape.nunique() > 20


def test_the_evidence_that_was_asked_for_and_no_other() -> None:
    tables = {
        evidence: generate_raw(12, as_of=AS_OF, country="de", evidence=evidence).tables["transactions"]
        for evidence in ("mcc", "codes", "bare")
    }
    shown = {name: rows[["mcc", "transaction_code"]].notna().any().tolist() for name, rows in tables.items()}
    assert shown == {"mcc": [True, False], "codes": [False, True], "bare": [False, False]}
    same = ["transaction_id", "date", "amount", "description_raw"]
    pd.testing.assert_frame_equal(tables["mcc"][same], tables["bare"][same])


def test_joint_accounts_are_delivered_under_both_holders_and_cards_under_one(made: Synthetic) -> None:
    accounts = made.tables["accounts"]
    holders = accounts.groupby("account_id")["user_id"].nunique()
    shared = accounts[accounts["account_id"].map(holders) == 2]
    assert not shared.empty
    assert set(shared["type"]) <= {"depository", "investment"}
    pairs = {user: truth["shared_with"] for user, truth in made.truth["users"].items() if "shared_with" in truth}
    assert set(shared["user_id"]) == set(pairs)
    assert all(pairs[other] == user for user, other in pairs.items())


def test_closed_accounts_end_and_stale_feeds_stop(made: Synthetic) -> None:
    accounts = made.tables["accounts"]
    closed = accounts[accounts["closed_at"].notna()]
    assert not closed.empty
    assert closed["balance_current"].isna().all()
    newest = made.tables["transactions"].groupby("account_id")["date"].max()
    assert (closed["account_id"].map(newest) <= closed["closed_at"]).all()
    stale = {user for user, truth in made.truth["users"].items() if truth["stale"]}
    last = made.tables["transactions"].groupby("user_id")["date"].max()
    assert all((last[user] < str(AS_OF - dt.timedelta(days=8))) == (user in stale) for user in last.index)


def test_the_same_seed_makes_the_same_customers(made: Synthetic) -> None:
    country = {"US": "us", "GB": "uk", "DE": "de"}[made.truth["country"]]
    again = generate_raw(USERS, as_of=AS_OF, days=420, country=country, evidence="mcc")
    for name, table in made.tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name])
    assert json.dumps(made.truth) == json.dumps(again.truth)
    other = generate_raw(USERS, seed=8, as_of=AS_OF, days=420, country=country)
    assert other.truth["users"] != made.truth["users"]


def test_without_raw_customers_are_the_same_to_the_byte_as_before() -> None:
    """Benchmarks compare with former commits: these sums were taken before raw exports were added."""
    known = {
        (False, 180): "8f71529ce14ea21bb14ca3ba19e012ca0cb931b8830230e9dd0c765644b64fa1",
        (True, 180): "deed6c6d13007113a053de91ed5928981b9497da1bd411ddbd5f1b839dedc727",
        (True, 400): "c3207a9ae3d3c3bcc62b2fc55a242e65f31a0f856ab81ef055de76752bf07be7",
    }
    for (hard, days), wanted in known.items():
        plain = generate(60, 3, as_of=dt.date(2026, 6, 30), hard=hard, days=days)
        found = hashlib.sha256()
        for table in plain.tables.values():
            found.update(table.to_csv().encode())
        assert found.hexdigest() == wanted, (hard, days)


def test_only_money_to_a_person_may_be_another_kind_in_the_hard_setting() -> None:
    planted = streams(generate(300, as_of=AS_OF, hard=True))
    to_persons = planted["merchant"].str.startswith("Zelle to ")
    assert to_persons.any()
    assert (planted["also"].notna() == to_persons).all()


@pytest.mark.parametrize(
    ("options", "code"),
    [({"country": "fr"}, "unknown_country"), ({"country": "us", "evidence": "luck"}, "unknown_evidence"),
     ({"country": "us", "users": 1}, "invalid_size")],
)  # fmt: skip
def test_what_cannot_be_made_is_refused(options: dict[str, Any], code: str) -> None:
    with pytest.raises(SpendSenseError) as refused:
        generate_raw(**({"users": 10, "as_of": AS_OF} | options))
    assert refused.value.code == code


def test_ingest_accepts_the_batch_apart_from_fields_and_holders_it_has_no_place_for(
    made: Synthetic, tmp_path: Path
) -> None:
    write(made, tmp_path / "batch")
    zone = Zone(tmp_path).arrive("batch", AS_OF)
    accounts = made.tables["accounts"]
    joint = set(accounts.loc[accounts["account_id"].duplicated(), "account_id"])
    for name in ("users", "accounts", "transactions", "liabilities"):
        rows = zone.judged(name).execute()
        assert len(rows) == len(made.tables[name])
        alone = rows[~rows["account_id"].isin(joint)] if "account_id" in rows else rows
        assert (alone["reasons"].map(len) == 0).all(), name


# ---------------------------------------------------------------- the data files


def invented() -> list[tuple[str, str]]:
    """Country and name of each payee that is nobody's."""
    found = []
    for country in COUNTRIES:
        with (DATA / f"{country}.csv").open(encoding="utf-8", newline="") as file:
            found += [(country, line["name"]) for line in csv.DictReader(file) if line["known"] == "0"]
        said = tomllib.loads((DATA / f"{country}.toml").read_text(encoding="utf-8"))
        found += [(country, name) for name in said["employer_first"]]
    return found


def test_no_invented_name_stands_in_what_the_detectors_read() -> None:
    files = [
        file
        for room in ("features", "payees", "ingest", "personas")
        for file in (PACKAGE / room).rglob("*")
        if file.suffix in (".py", ".toml", ".csv", ".txt", ".json")
    ]
    assert files
    read = {file: file.read_text(encoding="utf-8").lower() for file in files}
    generic = {"expense claim", "reisekosten", "unterhalt"}  # what employers and families call it, no payee
    names = {name.lower() for _, name in invented()} - generic
    assert len(names) > 200
    shared = {
        (name, file.name)
        for name in names
        for file, text in read.items()
        if name in text and re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", text)
    }
    assert not shared


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_bank_can_print_every_way_in_which_its_rows_come(country: str) -> None:
    land = Country(country, 7)
    ways = {payee.channel for payee in land.payees} | {"refund", "returned", "penalty_back", "advance_out"}
    of_cards = {"card_online", "card_store", "refund", "card_received", "interest", "penalty", "service_fee"}
    for bank in land.banks:
        assert ways - {"card_received", "interest"} <= set(bank.text)
    for issuer in land.issuers:
        assert of_cards <= set(issuer.text)
    assert {payee.well_known for payee in land.payees if payee.channel == "debit"} == {True, False}


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_line_of_the_files_is_used_and_priced(country: str) -> None:
    said = tomllib.loads((DATA / f"{country}.toml").read_text(encoding="utf-8"))
    with (DATA / f"{country}.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    used = {line["group"] for line in [*said["arrangement"], *said["habit"]]}
    elsewhere = {"platform", "client", "client_rare", "advance", "tax_refund", "expenses"}
    groups = {line["group"] for line in lines}
    assert groups <= used | elsewhere, groups - used - elsewhere
    unpriced = {line["group"] for line in said["arrangement"] if not {"price", "prices", "of_income"} & set(line)}
    assert all(line["prices"] for line in lines if line["group"] in unpriced)
