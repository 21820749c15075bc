"""Troubles that people reported in public about products like this one, each a customer of one ledger.

``field_cases.json`` holds what is known of each: the note, where it was reported, the rows and what is expected. A
figure is expected exactly, or as a range. Their rows go through as a bank would deliver them: mostly without category.
"""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from spendsense_pipeline_tests.features.ledger import Ledger, Row, shared, streams_by_customer

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("field_cases.json").read_text(encoding="utf-8"))
AS_OF = dt.date(2026, 6, 30)
Found = tuple[dict[str, list[Row]], dict[tuple[str, int], Row]]


@pytest.fixture(scope=shared)
def found() -> Found:
    """Streams by customer, features by customer and window."""
    ledger = Ledger(AS_OF)
    for case in CASES:
        ledger.customer(case["id"])
        accounts = {
            name: ledger.account(
                case["id"],
                account["type"],
                balance_current=account["balance"],
                balance_limit=account["limit"],
                iso_currency_code=account["currency"],
            )
            for name, account in case["accounts"].items()
        }
        for row in case["rows"]:
            date, amount, account, *said = row
            name, primary, detailed, entity, pending = [*said, *[None] * (5 - len(said))]
            ledger.row(
                accounts[account],
                dt.date.fromisoformat(date),
                float(amount),
                name,
                detailed or "",
                category_primary=primary,
                merchant_entity_id=entity,
                pending=bool(pending),
            )
    signals = ledger.signals()
    features = {(row["user_id"], row["window_days"]): row for row in signals.features.to_pylist()}
    return streams_by_customer(signals), features


def as_expected(value: Any, wanted: Any) -> bool:
    """Whether a figure is the one that is expected, or in its range."""
    if isinstance(wanted, list):
        return value is not None and wanted[0] <= value <= wanted[1]
    return bool(value == wanted)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_reported_trouble_is_none(found: Found, case: dict[str, Any]) -> None:
    wanted, streams = case["expected"], found[0][case["id"]]
    if "recurring" in wanted:
        assert len(streams) == wanted["recurring"]
    if "recurring_between" in wanted:
        assert as_expected(len(streams), wanted["recurring_between"])
    if "monthly_cost_sum" in wanted:
        assert as_expected(sum(each["monthly_cost"] or 0 for each in streams), wanted["monthly_cost_sum"])
    kinds = {each["kind"] for each in streams}
    assert wanted.get("never_kind") not in kinds
    if "only_kind" in wanted:
        assert kinds == {wanted["only_kind"]}
    for like in wanted.get("streams", []):
        assert any(all(as_expected(each[name], value) for name, value in like.items()) for each in streams), like
    for window in (30, 180):
        row = found[1][case["id"], window]
        differing = {
            name: row[name]
            for name, value in wanted.get(f"features_{window}d", {}).items()
            if not as_expected(row[name], value)
        }
        assert not differing
