"""How good the newest date is, measured when it is asked for; evaluations on record; files for analysts."""

import datetime as dt
import posixpath
from collections.abc import Sequence
from typing import Annotated, Any, Final

import fsspec
from fastapi import Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from spendsense_pipeline import warehouse
from spendsense_pipeline.durations import EXPORT_LINK
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import evaluation_records, queue
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.service.callers import Caller, allow
from spendsense_pipeline.service.seed import wire
from spendsense_pipeline.service.seed.both_forms import WINDOWS, Routes
from spendsense_pipeline.service.seed.ingest_routes import turn
from spendsense_pipeline.service.state import Here, Service, answer, base_address, of

router = Routes(tags=["evaluation"])
Reader = Annotated[Caller, Depends(allow("read", "audit"))]
DETAILS: Final = ("persona_distribution_30d", "persona_distribution_180d", "recommendation_status_breakdown")
GROUPS: Final = {
    "coverage": "coverage_percentage",
    "explainability": "explainability_percentage",
    "latency": "avg_recommendation_latency_ms",
    "auditability": "auditability_percentage",
}
"""Of each group of figures the one that stands for it in a list."""


FIELDS: Final = {
    "coverage": ("total_users", "users_with_persona", "users_with_behaviors", "coverage_percentage"),
    "explainability": ("explainability_percentage", "recommendations_with_rationale", "total_recommendations"),
    "latency": (
        *("avg_recommendation_latency_ms", "p95_recommendation_latency_ms"),
        "total_recommendations_with_latency",
    ),
    "auditability": ("auditability_percentage", "recommendations_with_traces", "total_recommendations"),
}
"""What a group of figures holds; the last ones are left out where they are not on record."""


def reader_or_link(request: Request) -> None:
    """The rule of a file: a link that we signed for it, or a caller who may read."""
    given = of(request).signed("export", request.query_params.get("link"), EXPORT_LINK)
    if given is None or given.get("path") != request.url.path.rstrip("/"):
        allow("read", "audit")(request)


reader_or_link.permissions = ("read", "audit")  # type: ignore[attr-defined] # the test of all routes reads it


class Wanted(BaseModel):
    """Under which name the evaluation is kept; without one, that of its run."""

    run_id: str | None = Field(default=None, min_length=1, max_length=400)


@router.both("POST", "/evaluate/")
def evaluate(request: Request, _caller: Reader, body: Wanted | None = None) -> Response:
    """Measure the newest date that was run, as `spendsense evaluate` does, and export its tables."""
    from spendsense_pipeline.defs import launch
    from spendsense_pipeline.evaluation.export import export_of_day, signed_links

    service, name = of(request), body.run_id if body else None
    with reading(service.engine) as session:
        if name is not None:
            evaluation_records.require_new_name(session, name)
    day = warehouse.newest_run(service.settings.warehouse_root)
    with turn(service) as (definitions, instance):
        ran = launch.evaluate(definitions, instance, day)
    now = service.now()
    measured = _measured(service, day) | {"run_id": name or ran.run_id, "timestamp": now}
    kept = {group: measured[group] for group in (*GROUPS, *DETAILS)}
    with writing(service.engine) as session:
        evaluation_records.describe_evaluation(session, ran.run_id, name, kept)
    root, exports = service.settings.warehouse_root, service.settings.exports_root
    manifest = export_of_day(service.engine, root, exports, day, now, consent_days=service.settings.consent_days)
    signed = signed_links(manifest, exports)  # the store's own, where it can sign
    names = [table["file"] for table in manifest["tables"].values()]
    files = {f"{day}/{name}": signed.get(name) or _link(request, f"{day}/{name}") for name in names}
    return answer(
        {
            "run_id": name or ran.run_id,
            "metrics": measured,
            "parquet_exports": {key: key for key in files},
            "download_urls": files,
        }
    )


@router.both("GET", "/evaluate/latest")
def latest(service: Here, _caller: Reader) -> Response:
    """The evaluation that was made last."""
    found = _recorded(service, 1)["evaluations"]
    if not found:
        raise HTTPException(404, "nothing was evaluated yet")
    (row,) = found
    groups = {group: row["details"][group] for group in GROUPS}
    return answer(_head(row) | {"details": {name: row["details"][name] for name in DETAILS}} | groups)


@router.both("GET", "/evaluate/history")
def history(service: Here, _caller: Reader, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> Response:
    """The evaluations on record, newest first."""
    found = _recorded(service, limit)
    runs = []
    for row in found["evaluations"]:
        details = row["details"]
        figures = {name: details[group][name] for group, name in GROUPS.items()}
        runs.append(_head(row) | figures | {"details": {name: details[name] for name in DETAILS}})
    return answer({"total": found["total"], "runs": runs})


@router.both("GET", "/evaluate/exports/latest")
def exports(request: Request, _caller: Reader, limit: Annotated[int, Query(ge=1, le=50)] = 10) -> Response:
    """The files for analysts, newest date first."""
    root = of(request).settings.exports_root
    filesystem, folder = fsspec.core.url_to_fs(root)
    found = []
    for day in sorted(_days(root), reverse=True):
        for about in sorted(filesystem.ls(posixpath.join(folder, day), detail=True), key=lambda one: one["name"]):
            file = posixpath.basename(about["name"])
            found.append(
                {
                    "key": f"{day}/{file}",
                    "size": about["size"],
                    "last_modified": _changed(about),
                    "prefix": day,
                    "download_url": _link(request, f"{day}/{file}"),
                }
            )
        if len(found) >= limit:
            break
    return answer({"total": len(found[:limit]), "exports": found[:limit]})


@router.both("GET", "/evaluate/exports/{day}/{file}")
def export_file(service: Here, day: dt.date, file: str, _link: Annotated[None, Depends(reader_or_link)]) -> Response:
    """One of these files, for whoever has the link or may read."""
    root = service.settings.exports_root
    filesystem, folder = fsspec.core.url_to_fs(root)
    place = posixpath.join(folder, day.isoformat())
    names = filesystem.ls(place, detail=False) if filesystem.isdir(place) else []
    there = {posixpath.basename(name): name for name in names}
    if file not in there:
        raise HTTPException(404, f"there is no export {day}/{file[:80]}")
    kind = "application/json" if file.endswith(".json") else "application/vnd.apache.parquet"
    named = {"content-disposition": f'attachment; filename="{day}-{file}"'}
    return Response(filesystem.cat_file(there[file]), media_type=kind, headers=named)


def _days(root: str) -> list[str]:
    """The dates that were exported whole."""
    filesystem, folder = fsspec.core.url_to_fs(root)
    if not filesystem.isdir(folder):
        return []
    names = [posixpath.basename(name.rstrip("/")) for name in filesystem.ls(folder, detail=False)]
    return [name for name in names if filesystem.exists(posixpath.join(folder, name, "manifest.json"))]


def _changed(about: dict[str, Any]) -> Any:
    moment = about.get("mtime", about.get("LastModified"))
    return dt.datetime.fromtimestamp(moment, dt.UTC) if isinstance(moment, int | float) else moment


def _measured(service: Service, day: dt.date) -> dict[str, Any]:
    """The metrics of the date under the names that clients know; percentages are 0 where there is nothing to count."""
    from spendsense_pipeline.evaluation.metrics import SIGNALS, SIGNALS_NEEDED
    from spendsense_pipeline.personas.assignment import followed

    root, key = service.settings.warehouse_root, [day.isoformat()]
    rows = warehouse.load(root, "evaluation_metrics", key).to_pylist()
    stored = {row["metric"]: (row["numerator"] or 0, row["denominator"] or 0) for row in rows}
    personas = {days: to_frame(warehouse.load(root, f"persona_assignments_{days}d", key)) for days in WINDOWS}
    features = to_frame(warehouse.load(root, "features_180d", key))
    with reading(service.engine) as session:
        statuses = queue.counts_by_standing(session, service.now())["standings"]
        latency = evaluation_records.latency(session)
    agreed = set(service.live_scopes())
    mine = followed(*personas.values())
    mine = mine[mine["user_id"].isin(agreed) & ~mine["is_fallback"].astype(bool)]
    seen = features[features["user_id"].isin(agreed) & (features[SIGNALS].notna().sum(axis=1) >= SIGNALS_NEEDED)]

    def part(metric: str) -> tuple[int, int, float]:
        above, below = stored[metric]
        return int(above), int(below), round(100 * above / below, 2) if below else 0.0

    _, customers, covered = part("coverage")
    explained, drafts, explainability = part("explainability")
    traced, releases, auditability = part("auditability")
    _, timed, _ = part("latency_ms_avg")
    return {
        **_grouped(
            coverage=(customers, len(mine), len(seen), covered),
            explainability=(explainability, explained, drafts),
            latency=(latency["avg"] or 0.0, latency["p95"] or 0.0, timed),
            auditability=(auditability, traced, releases),
        ),
        **{
            f"persona_distribution_{days}d": {name: int(n) for name, n in rows["persona"].value_counts().items()}
            for days, rows in personas.items()
        },
        "recommendation_status_breakdown": statuses,
    }


def _grouped(**found: Sequence[float | None]) -> dict[str, Any]:
    """Figures by group under the names of ``FIELDS``."""
    return {group: dict(zip(FIELDS[group], figures, strict=False)) for group, figures in found.items()}


def _recorded(service: Service, limit: int) -> dict[str, Any]:
    with reading(service.engine) as session:
        found = evaluation_records.evaluations(session, limit=limit)
    for row in found["evaluations"]:
        row["details"] = row["details"] or _from_metrics(row["metrics"])
    return found


def _from_metrics(metrics: dict[str, float]) -> dict[str, Any]:
    """What the stored figures of a run that nobody asked for here say; what they do not say is null."""

    def percentage(name: str) -> float:
        return round(100 * metrics.get(name, 0.0), 2)

    customers = int(metrics.get("customers_with_consent", 0))
    covered = round(customers * metrics.get("coverage", 0.0))
    return {
        **_grouped(
            coverage=(customers, covered, covered, percentage("coverage")),
            explainability=(percentage("explainability"), None, None),
            latency=(metrics.get("latency_ms_avg", 0.0), metrics.get("latency_ms_p95", 0.0)),
            auditability=(percentage("auditability"), None),
        ),
        **{
            f"persona_distribution_{days}d": {
                name.removeprefix(f"persona_{days}d_"): int(value)
                for name, value in metrics.items()
                if name.startswith(f"persona_{days}d_") and value
            }
            for days in WINDOWS
        },
        "recommendation_status_breakdown": {},
    }


def _head(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "metric_id": wire.number_of(row["evaluation_id"]),
        "run_id": row["name"] or row["run_id"],
        "timestamp": row["evaluated_at"],
        "as_of": row["as_of"],
    }


def _link(request: Request, key: str) -> str:
    """An address that opens an export for an hour without an account."""
    path = f"/evaluate/exports/{key}"
    return f"{base_address(request)}{path}?link={of(request).sign('export', {'path': path})}"
