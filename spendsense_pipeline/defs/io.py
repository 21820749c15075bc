"""How assets become Parquet files and come back: one file per partition, whole or not at all.

What does not belong here: where the files lie (``warehouse.py``) and what a table means (``contracts/``).
"""

import datetime as dt
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import dagster as dg
import fsspec
import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from pydantic import PrivateAttr

from spendsense_pipeline import row_groups, warehouse
from spendsense_pipeline.contracts import CONTRACTS, arrow_schema, is_frame, open_columns
from spendsense_pipeline.defs.lineage import column_lineage
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.row_groups import Parts

PREVIEW_ROWS = 5
PREVIEW_LENGTH = 60  # characters of a text; a whole one pushes the other columns out of sight
Files: TypeAlias = Sequence[str]
"""Parts of one partition, in order: paths or URIs."""
PEOPLE = {"user_id", "file"}  # columns of tables that are about somebody: what we know of them, and rows as landed


class EachPartition(NamedTuple):
    """A table of one or more partitions, computed one after another as each is stored: ``of`` gets the key."""

    of: Callable[[str], pd.DataFrame]


class Noted(NamedTuple):
    """Rows, and a note that is stored with them (``warehouse.note``); of a table that is kept by month the months
    whose rows may have changed, None all."""

    rows: ibis.Table
    note: str
    changed: Collection[str] | None = None


Whole: TypeAlias = ibis.Table | Noted | pd.DataFrame | Files
"""What is stored as one file."""
Storable: TypeAlias = ibis.Table | Noted | pd.DataFrame | Parts | EachPartition


class ParquetWarehouse(dg.ConfigurableIOManager):
    """Stores Ibis tables, pandas frames and parts as Parquet and loads each asset as the type its reader asks for.

    A run over several dates stores ``Parts`` or ``EachPartition``, a file for each date. A reader of several batches
    gets the rows of those that exist in the store, not of those that Dagster lists: a lost instance must not empty the
    tables that are merged from every batch. A reader of a range of dates gets those of them that exist.
    """

    root: str
    scratch: str | None = None
    memory: str | None = None
    keep_days: int = 0
    """How long former months of a large table are kept, 0 until the next merge."""
    _backend: ibis.BaseBackend | None = PrivateAttr(default=None)

    @property
    def backend(self) -> ibis.BaseBackend:
        """The engine on which loaded tables live, opened on first use."""
        if self._backend is None:
            self._backend = warehouse.connect(Path(self.scratch) if self.scratch else None, self.memory, in_order=False)
        return self._backend

    def handle_output(self, context: dg.OutputContext, obj: Storable) -> None:
        """Write each partition to a temporary file, then rename it (or put it in one piece): a reader never sees half
        a table."""
        keys = list(context.asset_partition_keys) if context.has_asset_partitions else [None]
        for key in keys:
            described = self._stored(context, _of_partition(obj, key, keys), key)
            if len(keys) == 1:
                context.add_output_metadata(described)
            else:
                context.step_context.add_asset_metadata(described, context.asset_key, key)

    def _stored(self, context: dg.OutputContext, obj: Whole, key: str | None) -> dict[str, Any]:
        """Store one partition, or the whole of an asset without partitions; returns the metadata that describes it."""
        asset = _name(context.asset_key)
        path = warehouse.path(self.root, asset, key)
        filesystem, target = fsspec.core.url_to_fs(path)
        filesystem.makedirs(filesystem._parent(target), exist_ok=True)
        if isinstance(obj, Noted) and warehouse.is_by_month(obj.rows, self.root, asset):
            # By the clock of the file system, as the times that this is compared with.
            kept_since = dt.datetime.now(dt.UTC) - dt.timedelta(days=self.keep_days)
            scratch = Path(self.scratch or tempfile.gettempdir())
            warehouse.write_by_month(obj.rows, self.root, asset, scratch, obj.note, obj.changed, kept_since)
        elif isinstance(filesystem, LocalFileSystem):
            temporary = Path(f"{target}.{context.run_id}.tmp")
            try:
                self._write(context, obj, temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
        else:
            with tempfile.TemporaryDirectory() as folder:
                temporary = Path(folder) / "table.parquet"
                self._write(context, obj, temporary)
                filesystem.put_file(str(temporary), target)
        described = _described(context.asset_key, warehouse.files(self.root, asset, key), path)
        lineage = column_lineage(context.asset_key)
        return described if lineage is None else described | {"dagster/column_lineage": lineage}

    def _write(self, context: dg.OutputContext, obj: Whole, target: Path) -> None:
        table = context.asset_key.path[-1]
        contract = CONTRACTS.get(table)
        if isinstance(obj, pd.DataFrame):
            schema = arrow_schema(contract) if contract is not None and is_frame(contract) else None
            rows_of_frame = pa.Table.from_pandas(obj, schema=schema, preserve_index=False)
            pq.write_table(rows_of_frame, target, row_group_size=row_groups.GROUP_ROWS)
        elif isinstance(obj, ibis.Table | Noted):
            rows, note = (obj.rows, obj.note) if isinstance(obj, Noted) else (obj, None)
            warehouse.write(rows, table, target, Path(self.scratch) if self.scratch else None, note)
        else:
            row_groups.gather(obj, target, arrow_schema(CONTRACTS[table]))

    def load_input(self, context: dg.InputContext) -> ibis.Table | pd.DataFrame:
        """The upstream table as an Ibis table, or as a frame where the reader's parameter is annotated so: of those
        ``columns`` that the input's metadata names."""
        asset = _name(context.asset_key)
        keys = list(context.asset_partition_keys) if context.has_asset_partitions else None
        if keys is not None and len(keys) != 1:
            there = warehouse.partitions(self.root, asset)
            dated = isinstance(context.asset_partitions_def, dg.TimeWindowPartitionsDefinition)
            keys = [key for key in there if key in set(keys)] if dated else there
        if context.dagster_type.typing_type is pd.DataFrame:
            columns = (context.definition_metadata or {}).get("columns")
            return to_frame(warehouse.load(self.root, asset, keys, columns))
        return warehouse.read(self.backend, self.root, asset, keys)


def _of_partition(obj: Storable, key: str | None, keys: Sequence[str | None]) -> Whole:
    """What is stored under the key."""
    if isinstance(obj, Parts) and key is not None:
        return obj.of[key]
    if isinstance(obj, EachPartition) and key is not None:
        return obj.of(key)
    if len(keys) > 1 or isinstance(obj, Parts | EachPartition):
        raise TypeError(f"{type(obj).__name__} cannot be stored as {len(keys)} partitions")
    return obj


def _name(key: dg.AssetKey) -> str:
    return key.path[-1]  # a prefix keeps apart the keys of a shared Dagster, not the tables of a warehouse


def _described(key: dg.AssetKey, stored: row_groups.Stored, path: str) -> dict[str, Any]:
    """Row count, place and a preview, as materialisation metadata.

    Dagster keeps metadata for ever and no erasure reaches it. So a table about people is shown by its columns, how
    many rows know each and within which bounds; only other tables show rows, without their personal columns.
    """
    footers = [row_groups.metadata(file) for file in stored.files]
    rows = sum(footer.num_rows for footer in footers)
    metadata: dict[str, Any] = {"dagster/row_count": rows, "path": dg.MetadataValue.path(path)}
    contract = CONTRACTS.get(key.path[-1])
    if contract is None or not rows:
        return metadata
    if PEOPLE & {*stored.schema.names}:
        records = _columns(footers, stored.schema)
    else:
        shown = [name for name in open_columns(contract) if name in stored.schema.names]
        records = [
            dg.TableRecord({name: _shown(value) for name, value in row.items()})
            for row in row_groups.head(stored, shown, PREVIEW_ROWS)
        ]
    metadata["preview"] = dg.MetadataValue.table(records)
    return metadata


def _columns(footers: Sequence[pq.FileMetaData], schema: pa.Schema) -> list[dg.TableRecord]:
    """Each column's known rows and, of counts, flags and days, the bounds; read from the files' own statistics."""
    groups = [footer.row_group(number) for footer in footers for number in range(footer.num_row_groups)]
    records = []
    for position, field in enumerate(schema):
        parts = [group.column(position).statistics for group in groups]
        told = [part for part in parts if part is not None and part.has_min_max]
        bounded = pa.types.is_integer(field.type) or pa.types.is_boolean(field.type) or pa.types.is_date(field.type)
        records.append(
            dg.TableRecord(
                {
                    "column": field.name,
                    "known": sum(part.num_values for part in parts if part is not None),
                    "lowest": str(min(part.min for part in told)) if bounded and told else "",
                    "highest": str(max(part.max for part in told)) if bounded and told else "",
                }
            )
        )
    return records


def _shown(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, int | float | bool):
        return value
    text = str(value)
    return text if len(text) <= PREVIEW_LENGTH else f"{text[:PREVIEW_LENGTH]}…"
