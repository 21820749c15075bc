"""How assets become Parquet files and come back: one file per partition, whole or not at all.

What does not belong here: where the files lie (``warehouse.py``) and what a table means (``contracts/``).
"""

import tempfile
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import PrivateAttr

from spendsense_pipeline import warehouse
from spendsense_pipeline.contracts import CONTRACTS, FrameContract, arrow_schema, open_columns
from spendsense_pipeline.defs.lineage import column_lineage
from spendsense_pipeline.frames import to_frame

PREVIEW_ROWS = 5
PREVIEW_LENGTH = 60  # characters of a text; a whole one pushes the other columns out of sight
PEOPLE = {"user_id", "file"}  # columns of tables that are about somebody: what we know of them, and rows as landed


class ParquetWarehouse(dg.ConfigurableIOManager):
    """Stores Ibis tables and pandas frames as Parquet and loads each asset as the type its reader asks for.

    A reader of several partitions gets the rows of those that exist in the store, not of those that Dagster
    lists: a lost instance must not empty the tables that are merged from every batch.
    """

    root: str
    scratch: str | None = None
    memory: str | None = None
    spark_master: str | None = None
    _backend: ibis.BaseBackend | None = PrivateAttr(default=None)

    @property
    def backend(self) -> ibis.BaseBackend:
        """The engine on which loaded tables live, opened on first use."""
        if self._backend is None:
            self._backend = self._spark(self.spark_master) if self.spark_master else self._duckdb()
        return self._backend

    def _duckdb(self) -> ibis.BaseBackend:
        return warehouse.connect(Path(self.scratch) if self.scratch else None, self.memory, in_order=False)

    @staticmethod
    def _spark(master: str) -> ibis.BaseBackend:
        from spendsense_pipeline import spark  # an extra that most do without

        return spark.connect(master)

    def handle_output(self, context: dg.OutputContext, obj: ibis.Table | pd.DataFrame) -> None:
        """Write a temporary file, then rename it (or put it in one piece): a reader never sees half a table."""
        partition = context.partition_key if context.has_asset_partitions else None
        path = warehouse.path(self.root, _name(context.asset_key), partition)
        filesystem, target = fsspec.core.url_to_fs(path)
        local = filesystem.protocol == "file" or "file" in filesystem.protocol
        filesystem.makedirs(filesystem._parent(target), exist_ok=True)
        if local:
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
        with filesystem.open(target, "rb") as stored:
            context.add_output_metadata(_described(context.asset_key, pq.ParquetFile(stored), path))
        lineage = column_lineage(context.asset_key)
        if lineage is not None:
            context.add_output_metadata({"dagster/column_lineage": lineage})

    def _write(self, context: dg.OutputContext, obj: ibis.Table | pd.DataFrame, target: Path) -> None:
        if isinstance(obj, pd.DataFrame):
            contract = CONTRACTS.get(context.asset_key.path[-1])
            schema = arrow_schema(contract) if contract is not None and issubclass(contract, FrameContract) else None
            pq.write_table(pa.Table.from_pandas(obj, schema=schema, preserve_index=False), target)
        elif obj.get_backend().name == "pyspark":
            self._gather(obj, f"{_name(context.asset_key)}.{context.run_id}", target)
        else:
            warehouse.write(obj, context.asset_key.path[-1], target, Path(self.scratch) if self.scratch else None)

    def _gather(self, table: ibis.Table, name: str, target: Path) -> None:
        """What the executors wrote, each its parts, as one file: renamed or put in one piece like any other.

        The parts lie in the warehouse while that lasts, which executors on other machines can write to.
        """
        parts = warehouse.path(self.root, f"{name}.parts")
        filesystem, folder = fsspec.core.url_to_fs(parts)
        try:
            table.to_parquet(warehouse.spark_uri(filesystem.unstrip_protocol(folder)))
            warehouse.read(self._duckdb(), self.root, f"{name}.parts").to_parquet(target)
        finally:
            if filesystem.exists(folder):
                filesystem.rm(folder, recursive=True)

    def load_input(self, context: dg.InputContext) -> ibis.Table | pd.DataFrame:
        """The upstream table as an Ibis table, or as a frame where the reader's parameter is annotated so."""
        asset = _name(context.asset_key)
        keys = list(context.asset_partition_keys) if context.has_asset_partitions else None
        if keys is not None and len(keys) != 1:
            keys = warehouse.partitions(self.root, asset)
        if context.dagster_type.typing_type is pd.DataFrame:
            return to_frame(warehouse.load(self.root, asset, keys))
        return warehouse.read(self.backend, self.root, asset, keys)


def _name(key: dg.AssetKey) -> str:
    return key.path[-1]  # a prefix keeps apart the keys of a shared Dagster, not the tables of a warehouse


def _described(key: dg.AssetKey, stored: pq.ParquetFile, path: str) -> dict[str, Any]:
    """Row count, place and a preview, as materialisation metadata.

    Dagster keeps metadata for ever and no erasure reaches it. So a table about people is shown by its columns, how
    many rows know each and within which bounds; only other tables show rows, without their personal columns.
    """
    rows = stored.metadata.num_rows
    metadata: dict[str, Any] = {"dagster/row_count": rows, "path": dg.MetadataValue.path(path)}
    contract = CONTRACTS.get(key.path[-1])
    if contract is None or not rows:
        return metadata
    stored_columns = stored.schema_arrow.names
    if PEOPLE & set(stored_columns):
        records = _columns(stored)
    else:
        shown = [name for name in open_columns(contract) if name in stored_columns]
        head = next(stored.iter_batches(batch_size=PREVIEW_ROWS, columns=shown)).to_pylist()
        records = [dg.TableRecord({name: _shown(value) for name, value in row.items()}) for row in head]
    metadata["preview"] = dg.MetadataValue.table(records)
    return metadata


def _columns(stored: pq.ParquetFile) -> list[dg.TableRecord]:
    """Each column's known rows and, of counts, flags and days, the bounds; read from the file's own statistics."""
    records = []
    for position, field in enumerate(stored.schema_arrow):
        parts = [stored.metadata.row_group(n).column(position).statistics for n in range(stored.num_row_groups)]
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
