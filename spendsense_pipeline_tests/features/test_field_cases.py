"""Troubles that people reported in public about products like this one, each a customer of one ledger.

``field_cases.json`` and ``more_field_cases.json`` hold what is known of each: the note, where it was reported, the rows
and what is expected. A figure is expected exactly, or as a range. Their rows go through as a bank would deliver them:
mostly without category. ``composed_field_cases.json`` holds troubles of the same kinds that nobody reported: households
made up of what banks print, most of which were read wrongly once. A row is date, amount, account, name, then if there
are any: category, detailed category, merchant's id, whether pending; and last a table of further columns.
"""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.personas.assignment import assign_personas
from spendsense_pipeline_tests.features.ledger import Ledger, Row, shared, streams_by_customer

CASES: list[dict[str, Any]] = [
    case
    for name in ("field_cases.json", "more_field_cases.json", "composed_field_cases.json")
    for case in json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
]
AS_OF = dt.date(2026, 6, 30)
Found = tuple[dict[str, list[Row]], dict[tuple[str, int], Row], dict[str, str]]


@pytest.fixture(scope=shared)
def found() -> Found:
    """Streams by customer, features by customer and window, personas of the longer window by customer."""
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
            further = row[-1] if isinstance(row[-1], dict) else {}
            date, amount, account, *said = row[: -1 if further else None]
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
                **further,
            )
    signals = ledger.signals()
    features = {(row["user_id"], row["window_days"]): row for row in signals.features.to_pylist()}
    assigned = assign_personas(to_frame(signals.features))
    longer = assigned[assigned["window_days"] == 180]
    return streams_by_customer(signals), features, dict(zip(longer["user_id"], longer["persona"], strict=True))


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
    if "persona" in wanted:
        assert found[2][case["id"]] == wanted["persona"]
