"""A day's tables by ranges of customers: where parts lie meanwhile, and a stage of frames as a run does it.

What does not belong here: what a stage computes (``recommendations/stages.py``).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import pandas as pd
import pyarrow as pa

from spendsense_pipeline import frame_ranges, row_groups, warehouse
from spendsense_pipeline.contracts import CONTRACTS, arrow_schema
from spendsense_pipeline.defs.resources import Files, Workers
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.recommendations import stages
from spendsense_pipeline.row_groups import Parts

CUSTOMERS = "persona_assignments_30d"
"""The table with one row for each customer of a day."""


@contextmanager
def room_for_parts(files: Files, workers: Workers, run_id: str) -> Iterator[str]:
    """A folder that every worker can write to, cleared at the end: in the scratch space, or in the warehouse itself
    where workers may be on other machines."""
    if workers.engine != "spark":
        with warehouse.aside(Path(files.scratch)) as folder:
            yield str(folder)
        return
    shared = f"{files.warehouse.rstrip('/')}/_parts-{run_id}"
    filesystem, path = fsspec.core.url_to_fs(shared)
    try:
        yield shared
    finally:
        if filesystem.exists(path):
            filesystem.rm(path, recursive=True)


def computed_by_range(
    context: dg.AssetExecutionContext,
    files: Files,
    workers: Workers,
    stage: str,
    tables: Mapping[str, pd.DataFrame | Sequence[str]],
    same: Mapping[str, Any],
    folder: str,
    *,
    light: bool = False,
    day: str | None = None,
    customers: str = CUSTOMERS,
) -> tuple[Parts, dict[str, Counter[str]]]:
    """A stage of ``recommendations/stages.py``, which has the name of its asset, range by range: its parts in
    ``folder``, and what it tells.

    ``tables`` are those it reads by customer: a frame, or columns of the day's table, all where none is named. For
    ``light`` see ``Workers.runner``. ``day`` is the run's own where it has one; ``customers``, the table that is cut,
    has one row of each.
    """
    day = day or context.partition_key
    stored = {
        name: row_groups.keep(pa.Table.from_pandas(rows, preserve_index=False), f"{folder}/{stage}/{name}.parquet")
        if isinstance(rows, pd.DataFrame)
        else _of_day(files, day, name, rows)
        for name, rows in tables.items()
    }
    request = frame_ranges.Request(f"{stages.__name__}:{stage}", stored, same, arrow_schema(CONTRACTS[stage]), folder)
    tasks = frame_ranges.tasks_of(request, _of_day(files, day, customers), workers.number())
    parts, told = frame_ranges.compute(
        tasks,
        workers.runner(context.log.info, light=light or len(tasks) < frame_ranges.WORTH_PROCESSES),
        lambda done, of: context.log.info("%s of %s: range %d of %d", stage, day, done, of),
    )
    return Parts({day: parts}), told


def frames_by_range(files: Files, day: str, tables: Sequence[str]) -> Iterator[list[pd.DataFrame]]:
    """The tables of a day, a range of customers after another."""
    stored = [_of_day(files, day, name) for name in tables]
    for customers in frame_ranges.ranges_of(_of_day(files, day, CUSTOMERS), frame_ranges.MOST_CUSTOMERS):
        yield [to_frame(row_groups.rows_of(one, customers)) for one in stored]


def _of_day(files: Files, day: str, table: str, columns: Sequence[str] = ()) -> row_groups.Stored:
    schema = arrow_schema(CONTRACTS[table])
    wanted = pa.schema([schema.field(name) for name in columns]) if columns else schema
    return warehouse.stored(files.warehouse, table, day, wanted)
