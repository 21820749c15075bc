"""Contracts refuse what they say they refuse, document every column, and never repeat a personal value."""

import dataclasses
import datetime as dt
import subprocess
import sys

import ibis
import pandas as pd
import pyarrow as pa
import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.contracts import CONTRACTS, arrow_schema, columns, is_frame, open_columns, schemas
from spendsense_pipeline.contracts.schemas import failures, schema
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.insights.kinds import SEVERITIES
from spendsense_pipeline.recommendations.drafts import DRAFTS

USERS_SQL = """
    SELECT 'u1' AS user_id, NULL::VARCHAR AS full_name, 'ann@example.com' AS email, NULL::TIMESTAMPTZ AS created_at,
           true AS consent_status, NULL::TIMESTAMPTZ AS consent_granted_at, NULL::TIMESTAMPTZ AS consent_revoked_at,
           {user_type} AS user_type, NULL::VARCHAR AS country, NULL::VARCHAR AS language, NULL::BIGINT AS birth_year,
           'b1' AS batch
"""


def persona_row(**changed: object) -> pd.DataFrame:
    row: dict[str, object] = {
        "user_id": "u1",
        "as_of": dt.date(2026, 6, 30),
        "window_days": 30,
        "history_days": 180,
        "persona": "savings_builder",
        "priority": 0.7,
        "confidence": 0.9,
        "is_fallback": False,
        "matched": "[]",
        "reasons": "[]",
        "rules_version": "1",
    }
    frame = pd.DataFrame([row | changed])
    return frame.astype({"window_days": "Int64", "history_days": "Int64", "is_fallback": "boolean", "priority": float})


@pytest.mark.parametrize("asset", sorted(CONTRACTS))
def test_every_column_says_what_it_means(asset: str) -> None:
    undocumented = [column["name"] for column in columns(CONTRACTS[asset]) if not column["meaning"]]
    assert not undocumented


@pytest.mark.parametrize("asset", sorted(CONTRACTS))
def test_every_table_has_a_key_among_its_columns(asset: str) -> None:
    identifying = CONTRACTS[asset].key
    assert identifying
    assert set(identifying) <= {column["name"] for column in columns(CONTRACTS[asset])}


PERSONAS = CONTRACTS["persona_assignments_30d"]


def on_engine(rows: pd.DataFrame) -> ibis.Table:
    return ibis.memtable(pa.Table.from_pandas(rows, schema=arrow_schema(PERSONAS), preserve_index=False))


def test_rows_that_hold_their_contract_have_no_failures() -> None:
    assert failures(PERSONAS, persona_row()).empty
    assert failures(PERSONAS, on_engine(persona_row())).empty


@pytest.mark.parametrize(
    ("changed", "column"),
    [
        ({"persona": "big_spender"}, "persona"),
        ({"confidence": 1.2}, "confidence"),
        ({"confidence": float("nan")}, "confidence"),
        ({"priority": -0.1}, "priority"),
        ({"rules_version": None}, "rules_version"),
    ],
)
def test_rows_that_break_their_contract_name_the_column(changed: dict[str, object], column: str) -> None:
    rows = on_engine(persona_row(**changed))
    found = failures(PERSONAS, to_frame(rows.to_pyarrow()))
    assert column in set(found["column"])
    pd.testing.assert_frame_equal(failures(PERSONAS, rows), found)


def test_not_a_number_is_no_value_on_the_engine_either() -> None:
    rows = on_engine(persona_row()).mutate(confidence=ibis.literal(float("nan")))
    assert failures(PERSONAS, rows)["column"].tolist() == ["confidence"]


def test_a_missing_and_a_surplus_column_are_both_failures() -> None:
    for rows in (persona_row().drop(columns="matched"), persona_row().assign(mood="good")):
        assert not failures(PERSONAS, rows).empty
        assert not failures(PERSONAS, ibis.memtable(rows)).empty


TEXTS = {"recommendation_id": "rec_1", "title": "t" * 200, "content": "c", "rationale": "why"}


@pytest.mark.parametrize(
    ("changed", "cleared"),
    [
        ({}, True),
        ({"recommendation_id": "ins_1"}, False),
        ({"title": "t" * 201}, False),
        ({"title": "\N{PARTY POPPER}" * 200}, True),
        ({"content": ""}, False),
        ({"rationale": ""}, False),
    ],
)
def test_the_engine_alone_clears_the_texts_that_pandera_would(
    changed: dict[str, str], cleared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts = CONTRACTS["draft_recommendations"]
    contract = dataclasses.replace(drafts, key=("title",), columns={name: drafts.columns[name] for name in TEXTS})
    table = pa.Table.from_pylist([TEXTS | changed])
    assert failures(contract, table.to_pandas()).empty == cleared
    monkeypatch.setattr(schemas, "schema", lambda _: pytest.fail("Pandera was asked"))
    if cleared:
        assert failures(contract, ibis.memtable(table)).empty
    else:
        with pytest.raises(pytest.fail.Exception):
            failures(contract, ibis.memtable(table))


def test_a_repeated_key_is_a_failure_in_frames_and_in_engine_tables() -> None:
    twice = pd.concat([persona_row(), persona_row()], ignore_index=True)
    assert not failures(PERSONAS, twice).empty
    pd.testing.assert_frame_equal(failures(PERSONAS, on_engine(twice)), failures(PERSONAS, twice))
    one = USERS_SQL.format(user_type="'customer'")
    table = warehouse.connect().sql(f"{one} UNION ALL {one}")
    found = failures(CONTRACTS["users"], table)
    assert found["column"].tolist() == ["user_id"]
    assert found["failures"].tolist() == [2]


def test_a_failure_never_repeats_a_personal_value() -> None:
    table = warehouse.connect().sql(USERS_SQL.format(user_type="'nobody'").replace("'u1'", "NULL::VARCHAR"))
    found = failures(CONTRACTS["users"], table)
    assert not found.empty
    assert "ann@example.com" not in found.to_json()


def test_a_null_in_an_engine_table_is_reported_under_its_own_column() -> None:
    table = warehouse.connect().sql(USERS_SQL.format(user_type="'customer'").replace("'b1'", "NULL::VARCHAR"))
    assert failures(CONTRACTS["users"], table)["column"].tolist() == ["batch"]


def test_a_repeated_key_shows_the_key_and_nothing_else_of_the_row() -> None:
    one = USERS_SQL.format(user_type="'customer'")
    found = failures(CONTRACTS["users"], warehouse.connect().sql(f"{one} UNION ALL {one}"))
    assert found["failure_case"].tolist() == ["{'user_id': 'u1'}"]


def test_personal_columns_are_not_open() -> None:
    assert {"full_name", "email"}.isdisjoint(open_columns(CONTRACTS["users"]))
    assert {"title", "content", "slots"}.isdisjoint(open_columns(CONTRACTS["draft_recommendations"]))


@pytest.mark.parametrize("asset", sorted(name for name, one in CONTRACTS.items() if is_frame(one)))
def test_every_frame_column_has_an_arrow_type(asset: str) -> None:
    contract = CONTRACTS[asset]
    assert is_frame(contract)
    assert arrow_schema(contract).names == [column["name"] for column in columns(contract)]


@pytest.mark.parametrize("asset", sorted(CONTRACTS))
def test_every_contract_is_a_schema_of_panderas(asset: str) -> None:
    made = schema(CONTRACTS[asset])
    assert [*made.columns] == [*CONTRACTS[asset].columns]
    assert {name for name, column in made.columns.items() if column.nullable} == {
        name for name, column in CONTRACTS[asset].columns.items() if column.null is not None
    }


@pytest.mark.parametrize("asset", ["insights", "situations"])
def test_the_severities_are_those_of_insights(asset: str) -> None:
    assert tuple(CONTRACTS[asset].columns["severity"].checks["isin"]) == SEVERITIES


def test_drafts_are_made_in_the_columns_and_types_of_their_contract() -> None:
    assert arrow_schema(CONTRACTS["draft_recommendations"]) == DRAFTS


@pytest.mark.parametrize("module", ["contracts", "recommendations.stages"])
def test_workers_do_without_the_libraries_that_hold_rows_to_contracts(module: str) -> None:
    """Each process of a pool would load them anew, which takes longer than a thousand customers."""
    code = f"import sys, spendsense_pipeline.{module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandera", "ibis", "dagster"} & {*loaded}
