"""One customer's figures and personas, computed on the spot by the pipeline's functions, and kept while data stays.

What does not belong here: how they look on the wire (``figure_routes``).
"""

import datetime as dt
import functools
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline import warehouse
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.service.state import Service

PERSON: Final = ("user_id", "full_name", "email", "created_at", "user_type")
READ: Final = ("users", "accounts", "transactions", "liabilities")
KEPT: Final = 1_000
"""Customers whose figures are kept in memory, about 10 kB each."""


@dataclass(frozen=True)
class Figures:
    """By window in days: the feature row, unknown as None, and the persona with its reasons (as PersonaAssignments).

    A customer without any transaction has no persona: nothing is known that one could rest on.
    """

    as_of: dt.date | None
    features: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    personas: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


def person(service: Service, user_id: str) -> dict[str, Any]:
    """The row of somebody who arrived: ``PERSON``. Raises ``unknown_user``."""
    try:
        found = warehouse.rows_of_customer(service.settings.warehouse_root, "users", user_id, PERSON).to_pylist()
    except warehouse.NotMaterialized:
        found = []
    if not found:
        raise SpendSenseError(f"there is no user {user_id[:80]!r}", code="unknown_user")
    row: dict[str, Any] = found[0]
    return row | {"user_type": row["user_type"] or "customer"}


def customer(service: Service, user_id: str) -> dict[str, Any]:
    """The same of a customer. Raises ``not_a_customer`` for an operator, besides."""
    found = person(service, user_id)
    if found["user_type"] == "operator":
        raise SpendSenseError(f"{user_id!r} is an operator, not a customer", code="not_a_customer")
    return found


def people(service: Service, user_ids: list[str], columns: tuple[str, ...] = PERSON) -> dict[str, dict[str, Any]]:
    """The rows of these people, by id."""
    try:
        found = warehouse.load(service.settings.warehouse_root, "users", columns=[*columns])
    except warehouse.NotMaterialized:
        return {}
    chosen = found.filter(pc.is_in(found["user_id"], value_set=pa.array(user_ids, pa.string())))
    return {row["user_id"]: row for row in chosen.to_pylist()}


def newest_day(service: Service) -> dt.date | None:
    """The newest date there is: of a transaction, or that was run. None before any transaction."""
    root = service.settings.warehouse_root
    run = warehouse.partitions(root, "features_30d")[-1:]
    try:
        newest = _newest_transaction(root, _stamp(root))
    except SpendSenseError as error:
        if error.code not in ("not_materialized", "no_transactions"):
            raise
        return dt.date.fromisoformat(run[0]) if run else None
    return max(newest, dt.date.fromisoformat(run[0])) if run else newest


@functools.lru_cache(maxsize=4)
def _newest_transaction(root: str, _stamp: str) -> dt.date:
    from spendsense_pipeline import profiles

    return profiles.newest_transaction_date(root)


def figures(service: Service, user_id: str, *windows: int) -> Figures:
    """The customer's figures on the newest day; empty for an operator and for whom did not exist then."""
    day = newest_day(service)
    if day is None:
        return Figures(None)
    root = service.settings.warehouse_root
    return _figures(root, user_id, day, tuple(dict.fromkeys(windows)), service.settings.payees, _stamp(root))


@functools.lru_cache(maxsize=KEPT)
def _figures(root: str, user_id: str, day: dt.date, windows: tuple[int, ...], house: Any, _stamp: str) -> Figures:
    from spendsense_pipeline import profiles
    from spendsense_pipeline.frames import records
    from spendsense_pipeline.personas.assignment import assign_personas

    try:
        rows = profiles.Customer(root, user_id, day, windows, house).features()
    except SpendSenseError as error:
        if error.code != "not_a_customer":
            raise
        return Figures(day)
    features = {int(row["window_days"]): row for row in records(rows)}
    known = rows[rows["data_age_days"].notna()]
    personas = {int(row["window_days"]): row for row in records(assign_personas(known))} if len(known) else {}
    return Figures(day, features, personas)


def _stamp(root: str) -> str:
    """Changes when a table changes that figures are computed from; always another where that cannot be seen."""
    filesystem, _ = fsspec.core.url_to_fs(root)
    seen: list[Any] = [warehouse.partitions(root, "payees")[-1:]]
    for table in READ:
        path = filesystem._strip_protocol(warehouse.path(root, table))
        if not filesystem.exists(path):
            return secrets.token_hex(8)
        about = filesystem.info(path)
        changed = about.get("mtime") or about.get("LastModified") or about.get("ETag")
        if changed is None or about["type"] == "directory":
            return secrets.token_hex(8)
        seen += [str(changed), about["size"]]
    return json.dumps(seen)


def stored_personas(service: Service) -> dict[str, dict[str, Any]]:
    """30-day personas of the newest day that was run, by customer; those who had no transaction are left out."""
    table = warehouse.newest(service.settings.warehouse_root, "persona_assignments_30d")
    if table is None:
        return {}
    known = pc.or_(pc.greater(table["history_days"], 0), pc.invert(table["is_fallback"]))
    return {row["user_id"]: row for row in table.filter(known).to_pylist()}
