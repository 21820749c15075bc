"""A batch in one request: five arrays become files of the landing zone and an ordinary ingest run.

The pipeline judges every row; what it cannot accept is quarantined and counted, and nothing good is lost.
"""

import gc
import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import Depends, HTTPException, Query, Response
from pydantic import ConfigDict, create_model, with_config
from typing_extensions import TypedDict

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.ingest.fields import TABLES
from spendsense_pipeline.service.callers import Caller, allow
from spendsense_pipeline.service.guard import LARGEST_BATCH
from spendsense_pipeline.service.seed.both_forms import Routes
from spendsense_pipeline.service.state import Here, Service, answer, spelled, utc_now

router = Routes(tags=["ingest"])
Writer = Annotated[Caller, Depends(allow("ingest:write", "manage"))]
PATIENCE: Final = 120
"""Seconds that a request waits for the runs of others before it is refused."""
_TURN: Final = threading.Lock()
OPEN: Final = ConfigDict(extra="allow")
REQUIRED: Final = {
    "users": ("UserRow", "user_id full_name email"),
    "accounts": ("AccountRow", "account_id user_id type"),
    "transactions": ("TransactionRow", "transaction_id account_id user_id date amount"),
    "liabilities": ("LiabilityRow", "liability_id account_id user_id liability_type"),
    "products": ("ProductRow", "product_id product_name product_type short_description"),
}
"""What a row of each table is called in the interface, and must have to be read; types are the pipeline's to judge."""


def _rows(name: str, required: str) -> Any:
    """Rows of these fields and any others, none by default."""
    row = with_config(OPEN)(TypedDict(name, dict.fromkeys(required.split(), Any)))  # type: ignore[operator] # made here
    return list[row], []  # type: ignore[valid-type] # as above


Batch = create_model(
    "Batch",
    __doc__="Rows of the five tables; other fields than the known ones are left out and counted.",
    **{table: _rows(*said) for table, said in REQUIRED.items()},
)


@router.both("POST", "/ingest/", max_body_size=LARGEST_BATCH)
def ingest(
    service: Here,
    body: Batch,
    _caller: Writer,
    wait: Annotated[bool, Query(description="false: answer at once; GET /ingest/{batch} says how far it is.")] = True,
) -> Response:
    """Land the rows as a batch named by their content and merge it; the same rows again are the same batch."""
    started = time.perf_counter()
    rows = {table: found for table in TABLES if (found := getattr(body, table))}
    if not rows:
        return answer(_success({}, None, None, started))
    digest = hashlib.sha256()
    for table, found in rows.items():
        digest.update(table.encode() + encoded(found))
    batch = f"http-{digest.hexdigest()[:24]}"
    if not wait:
        _in_background(service, rows, batch)
        return answer({"status": "started", "batch": batch, "run_id": None}, 202)
    run_id, tables = land_and_merge(service, rows, batch)
    return answer(_success(tables, batch, run_id, started))


@router.both("GET", "/ingest/{batch}")
def ingested(service: Here, batch: str, _caller: Writer) -> Response:
    """What became of a batch that somebody did not wait for, since this service started."""
    found = service.batches_started.get(batch)
    if found is None:
        raise HTTPException(404, f"no batch {batch[:80]!r} was started here")
    return answer(found)


def land_and_merge(service: Service, rows: Mapping[str, Any], batch: str) -> tuple[str, dict[str, dict[str, int]]]:
    """Land the rows and run the ingest to its end: the run's id, and what became of the rows by table."""
    from spendsense_pipeline.defs import launch

    with turn(service) as (definitions, instance), _as_files(rows) as folder:
        _, ran = launch.ingest_folder(definitions, instance, service.settings, folder, batch)
    return ran.run_id, launch.tallies(ran)


def _success(
    tables: Mapping[str, Mapping[str, int]], batch: str | None, run_id: str | None, started: float
) -> dict[str, Any]:
    return {
        "status": "success",
        "ingested": {table: tables.get(table, {}).get("accepted", 0) for table in TABLES},
        "duration_ms": round((time.perf_counter() - started) * 1000),
        "batch": batch,
        "run_id": run_id,
        "tables": tables,
    }


@contextmanager
def _as_files(rows: Mapping[str, Any]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        for table, found in rows.items():
            Path(folder, f"{table}.json").write_bytes(encoded(found))
        yield Path(folder)


def encoded(rows: Any) -> bytes:
    """As JSON; dates and numbers that JSON has not are text, for the pipeline to quarantine their row alone."""
    text = json.dumps(spelled(rows), ensure_ascii=False, allow_nan=False)
    return text.encode(errors="replace")


def _in_background(service: Service, rows: Mapping[str, Any], batch: str) -> None:
    """Put the batch into the landing zone before the answer, so that it cannot be lost, and merge it after."""
    from spendsense_pipeline.ingest import landing  # loads an engine, which most requests do without

    with _as_files(rows) as folder:
        landing.land(folder, service.settings.landing, batch)
    state, started = service.batches_started, time.perf_counter()
    state[batch] = {"status": "started", "batch": batch, "run_id": None}

    def merge() -> None:
        from spendsense_pipeline.defs import launch

        try:
            with turn(service) as (definitions, instance):
                ran = launch.ingest_batch(definitions, instance, batch)
            state[batch] = _success(launch.tallies(ran), batch, ran.run_id, started)
        except SpendSenseError as error:
            state[batch] = {"status": "failed", "batch": batch, "detail": str(error), "code": error.code}

    threading.Thread(target=merge, name=f"merge {batch}", daemon=True).start()


@contextmanager
def turn(service: Service) -> Iterator[tuple[Any, Any]]:
    """Dagster's definitions and instance of the data folder, one request after another. Raises ``busy``."""
    if not _TURN.acquire(timeout=PATIENCE):
        raise SpendSenseError(
            f"runs that others asked for have been under way for {PATIENCE} seconds; nothing was done, try again",
            code="busy",
        )
    thresholds = gc.get_threshold()
    try:
        from spendsense_pipeline.definitions import build_defs
        from spendsense_pipeline.defs import launch
        from spendsense_pipeline.defs.resources import Clock

        clock = {} if service.now is utc_now else {"clock": Clock(fixed=service.now().isoformat())}
        with launch.opened_instance(service.settings) as instance:
            yield build_defs(service.settings, resources=clock), instance
    finally:
        # A command ends with its run and need not clean up; a service goes on.
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        _TURN.release()
