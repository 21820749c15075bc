"""Who was erased, whose a row is, and what becomes of it.

Who was erased is known by tombstones alone: salted digests of the ids of customers and their accounts. What happened on
an account that the customer shares with others is the others' as well: it stays, and loses the customer's id.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.governance.tombstones import digest
from spendsense_pipeline.ingest.declaration import Declaration
from spendsense_pipeline.ingest.fields import HELD

OWNERS = {"user_id": "user", "account_id": "account"}
"""The columns that say whose a row is, and the kind of tombstone that their ids are looked up under."""

Row = Mapping[str, Any]
STAYS, RELEASED, GOES = range(3)
"""What becomes of a row: nothing, the loss of the customer's id, or everything."""


def holding(user_id: str, account_id: str) -> str:
    """The name under which it is remembered, among accounts, that an erased customer shared this one with others."""
    return f"{user_id.strip()}\n{account_id.strip()}"


class Erased:
    """The erased customers and accounts, by their digests. Ids are digested once each.

    >>> Erased("salt", [digest("salt", "user", "mia")]).fate("users", {"user_id": " mia"}) == GOES
    True
    """

    def __init__(self, salt: str, digests: Iterable[str]) -> None:
        self.salt, self._digests = salt, frozenset(digests)
        self._known: dict[tuple[str, str], bool] = {}

    def __bool__(self) -> bool:
        return bool(self._digests)

    def holds(self, kind: str, name: Any) -> bool:
        """Whether this id was erased."""
        if name is None:
            return False
        key = (kind, name if isinstance(name, str) else json.dumps(name, default=str))
        if key not in self._known:
            self._known[key] = digest(self.salt, *key) in self._digests
        return self._known[key]

    def fate(self, table: str, row: Row) -> int:
        """What becomes of a landed row: it goes where it is an erased customer's, by ``user_id`` or ``account_id``.

        A transaction or a liability of an account that others hold, too, loses the customer's id.
        """
        user_id, account_id = row.get("user_id"), row.get("account_id")
        if self.holds("account", account_id):
            return GOES
        if not self.holds("user", user_id):
            return STAYS
        shared = table in HELD and isinstance(user_id, str) and isinstance(account_id, str)
        return RELEASED if shared and self.holds("account", holding(str(user_id), str(account_id))) else GOES

    def owns(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Which rows of a table made from the files are theirs, by the columns of ``OWNERS`` that it has."""
        theirs = pa.array(np.zeros(batch.num_rows, dtype=bool))
        for column, kind in OWNERS.items():
            if column in batch.schema.names:
                theirs = pc.or_(theirs, self._among(kind, batch.column(column).cast(pa.string())))
        return theirs

    def fates(self, batch: pa.RecordBatch, table: str, declared: Declaration | None = None) -> pa.Int64Array:
        """What becomes of each row of a landed table; its columns are called as they are ``declared``."""
        declared = declared or Declaration(table)
        theirs = pa.array(np.zeros(batch.num_rows, dtype=bool))
        ids = {}
        for name, kind in OWNERS.items():
            column, default = declared.column_of(name), declared.defaults.get(name)
            found = batch.column(column).cast(pa.string()) if column in batch.schema.names else None
            found = found if found is not None else pa.nulls(batch.num_rows, pa.string())
            ids[name] = found if default is None else pc.fill_null(found, default)
            theirs = pc.or_(theirs, self._among(kind, ids[name]))
        fates = np.full(batch.num_rows, STAYS)
        rows = pa.table([*ids.values(), pa.array(np.arange(batch.num_rows))], names=[*ids, "place"])
        for row in rows.filter(theirs).to_pylist():
            fates[row["place"]] = self.fate(table, row)
        return pa.array(fates)

    def released(self, batch: pa.RecordBatch, table: str, declared: Declaration | None = None) -> pa.RecordBatch:
        """The rows of a landed table that stay; those of accounts shared with others, without the customer's id."""
        fates = self.fates(batch, table, declared)
        column = (declared or Declaration(table)).column_of("user_id")
        if column in batch.schema.names:
            place = batch.schema.get_field_index(column)
            nobody = pa.scalar(None, batch.schema.field(place).type)
            kept = pc.if_else(pc.equal(fates, RELEASED), nobody, batch.column(place))
            batch = batch.set_column(place, batch.schema.field(place), kept)
        return batch.filter(pc.not_equal(fates, GOES))

    def _among(self, kind: str, ids: pa.StringArray) -> pa.BooleanArray:
        gone = [name for name in ids.unique().to_pylist() if self.holds(kind, name)]
        return pc.is_in(ids, value_set=pa.array(gone, pa.string()))
