"""A landing zone in a temporary folder, and the way from its batches to judged tables."""

import datetime as dt
import gzip
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import ibis
import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.ingest import canonical, landing, plan

ARRIVED_ON = dt.date(2026, 3, 1)
Row = dict[str, Any]

USER: Row = {"user_id": "u1", "full_name": "Ada Example", "email": "ada@example.org", "user_type": "customer"}
ACCOUNT: Row = {"account_id": "a1", "user_id": "u1", "type": "depository", "subtype": "checking"}
TRANSACTION: Row = {"transaction_id": "t1", "account_id": "a1", "date": "2026-02-01", "amount": -12.5}
LIABILITY: Row = {"liability_id": "l1", "account_id": "a1", "liability_type": "credit_card"}
PRODUCT: Row = {
    "product_id": "p1",
    "product_name": "Fund",
    "product_type": "savings_hysa",
    "short_description": "A fund.",
}


class Zone:
    """Batches in the order they arrive, and what becomes of their rows."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.con = warehouse.connect()
        self.batches: list[tuple[str, int, dt.date]] = []
        self._read: dict[str, Any] = {}
        self._judged: dict[Any, ibis.Table] = {}

    def folder(self, name: str = "b1", **files: bytes | str | list[Row]) -> Path:
        """A folder of files; ``transactions_jsonl_gz`` names transactions.jsonl.gz; rows become JSON."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        for key, content in files.items():
            path = folder / key.replace("_", ".")
            if isinstance(content, list):
                lines = "\n".join(json.dumps(row) for row in content)
                content = lines + "\n" if "jsonl" in path.name else json.dumps(content)
            data = content.encode() if isinstance(content, str) else content
            path.write_bytes(gzip.compress(data) if path.suffix == ".gz" and data[:2] != b"\x1f\x8b" else data)
        return folder

    def arrive(self, name: str = "b1", arrived_on: dt.date = ARRIVED_ON, **files: bytes | str | list[Row]) -> "Zone":
        """A further batch arrives."""
        self.folder(name, **files)
        self.batches.append((name, len(self.batches) + 1, arrived_on))
        return self

    def raw(self, table: str) -> ibis.Table:
        parts = self._parts(table)
        return parts[0] if len(parts) == 1 else ibis.union(*parts)

    def _parts(self, table: str) -> list[ibis.Table]:
        return [
            landing.read_raw(self.con, self.root / name, table, batch_id=name, arrival=arrival, arrived_on=arrived_on)
            for name, arrival, arrived_on in self.batches
        ]

    def judged(self, table: str) -> ibis.Table:
        """The judged table, computed once until another batch arrives."""
        self._judge([table])
        return self._judged[table, tuple(self.batches)]

    def _judge(self, tables: Collection[str]) -> None:
        """At once, for they share steps."""
        arrived = tuple(self.batches)
        wanted = [table for table in tables if (table, arrived) not in self._judged]
        if not wanted:
            return
        judging = [f"judged_{table}" for table in wanted]
        needed = plan.reads(judging, plan.steps())
        for one in landing.TABLES:
            if f"raw_{one}" in needed and self._read.get(one) != arrived:
                # Each batch's rows are a query; planning it again would be a fifth of a test's time.
                self._store(f"raw_{one}", " UNION ALL ".join(part.op().query for part in self._parts(one)))
                self._read[one] = arrived
        plan.run(self.con, judging)
        for table in wanted:
            kept = f"judged_{len(self._judged)}"
            self._store(kept, f"FROM judged_{table}")
            self._judged[table, arrived] = self.con.table(kept)

    def standing(self, table: str) -> ibis.Table:
        self.judged(table)
        self._store(table, plan.steps()[f"accepted_{table}"].query)
        return self.con.table(table)

    def _store(self, name: str, query: str) -> None:
        self.con.raw_sql(f"CREATE OR REPLACE TABLE {name} AS {query}")

    def accepted(self, table: str) -> list[Row]:
        kept = self.standing(table)
        assert failures(CONTRACTS[table], kept).empty
        return rows(kept.order_by(*dict.fromkeys([kept.columns[0], *({"user_id"} & set(kept.columns))])))

    def quarantine(self) -> list[Row]:
        landed = {one.file.table for name, *_ in self.batches for one in landing.survey(self.con, self.root / name)}
        self._judge(sorted(landed))
        kept_out = canonical.quarantined({table: self.judged(table) for table in sorted(landed)}).cache()
        assert failures(CONTRACTS["quarantined_rows"], kept_out).empty
        return [
            {**row, "reasons": json.loads(row["reasons"])}
            for row in rows(kept_out.order_by("batch", "table", "file", "row"))
        ]

    def outcomes(self, table: str) -> list[str]:
        judged = self.judged(table).order_by("arrival", "file", "row")
        return [row["outcome"] for row in rows(judged.select("outcome"))]


def rows(table: ibis.Table) -> list[Row]:
    """The rows of a table as dictionaries."""
    found: list[Row] = table.to_pyarrow().to_pylist()
    return found


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone(tmp_path / "landing")
