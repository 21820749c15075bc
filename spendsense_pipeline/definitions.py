"""Everything Dagster loads, on one screen. Loading it reads the environment once and touches nothing else."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from spendsense_pipeline.defs import freshness, jobs, release_assets, review_assets, schedules, sensors
from spendsense_pipeline.defs.alerts import Alerts
from spendsense_pipeline.defs.assets import KEPT, Graph
from spendsense_pipeline.defs.checks import contract_checks, day_checks, drift_checks
from spendsense_pipeline.defs.documentation import with_sources
from spendsense_pipeline.defs.io import ParquetWarehouse
from spendsense_pipeline.defs.resources import Clock, Files, Governance, LanguageModel, Workers, sealed
from spendsense_pipeline.settings import Settings

# Meant: signals and personas of many dates fit one run, the queue takes one date after another, and so does the job.
warnings.filterwarnings("ignore", "Asset job daily_refresh materializes assets with varying BackfillPolicies")


def build_defs(
    settings: Settings | None = None,
    resources: Mapping[str, Any] | None = None,
    *,
    ingest: bool | None = None,
    key_prefix: str | Sequence[str] = (),
) -> dg.Definitions:
    """Fresh definitions for the settings given (default: the environment's); ``resources`` replaces parts by key.

    ``ingest=False`` takes the canonical tables as they lie in the warehouse, where each is Parquet or a query of the
    user's own (``<table>.sql``): external assets, held to the same contracts. ``key_prefix`` goes before every asset
    key, so that a shared Dagster keeps them apart.

    >>> build_defs(ingest=False, key_prefix="spendsense")
    """
    settings = settings or Settings()
    lands = settings.ingest if ingest is None else ingest
    prefix = [key_prefix] if isinstance(key_prefix, str) else list(key_prefix)
    graph = Graph(settings, prefix, lands=lands)
    timetable = schedules.Timetable(settings.timezone, settings.first_date, settings.late_days)

    own = contract_checks("own_tables", graph.tables)
    reviewed = graph.renamed(review_assets.operator_review)
    batches = graph.key("raw_transactions") if lands else None
    late = freshness.freshness_checks(graph.daily_keys, graph.key("transactions"), batches, timetable)
    by_the_clock = dg.AssetSelection.checks(late)

    daily_refresh = jobs.daily_refresh(graph, own, by_the_clock)
    work: list[schedules.Job] = [
        *([jobs.ingest_batch(graph, by_the_clock)] if lands else []),
        daily_refresh,
        jobs.review_recommendations(reviewed),
        review_assets.record_consent(graph.key("consent_records")),
        jobs.release_once(graph),
    ]
    ours = {job.name for job in work}
    old = {key.path[-1] for key in graph.daily_keys} - KEPT
    return dg.Definitions(
        assets=with_sources([*graph.computed, *graph.specs]),
        asset_checks=[*own, *_checks(graph, settings.stale_days), reviewed, late],
        jobs=work,
        schedules=[schedules.daily_schedule(daily_refresh, timetable)],
        sensors=[
            *([sensors.landing_sensor, sensors.arrival_sensor(daily_refresh, timetable)] if lands else []),
            sensors.release_gate,
            sensors.dead_runs_sensor(daily_refresh, ours),
            sensors.failure_alerts(ours),
            sensors.lateness_sensor(late, timetable),
            *([sensors.retention_sensor(old, ours, settings.keep_days)] if settings.keep_days else []),
        ],
        resources={name: sealed(one) for name, one in (_resources(settings) | dict(resources or {})).items()},
        # A process for each step would cost more than most steps take.
        executor=dg.in_process_executor,
    )


def _checks(graph: Graph, stale_days: int) -> list[dg.AssetChecksDefinition]:
    """The contract of every table, and what is looked at in their figures."""
    return [
        *(
            check
            for asset in graph.computed
            for check in contract_checks(asset.op.name, [*asset.keys], asset.partitions_def)
        ),
        *drift_checks(graph.daily, graph.names),
        *map(graph.renamed, day_checks(graph.daily, stale_days)),
        graph.renamed(release_assets.every_release_had_consent),
    ]


def _resources(settings: Settings) -> dict[str, Any]:
    """What assets are given: a field of theirs is the setting of its name, where nothing else is said."""

    def of(kind: type[Any], **said: Any) -> Any:
        named = {name: getattr(settings, name) for name in kind.model_fields if hasattr(settings, name)} | said
        return kind(**{name: str(value) if isinstance(value, Path) else value for name, value in named.items()})

    root = settings.warehouse_root
    return {
        "io_manager": of(ParquetWarehouse, root=root),
        "workers": of(Workers, processes=settings.workers, kernels=settings.kernels_folder),
        "governance": of(Governance, url=settings.governance_url, warehouse=root if settings.ingest else None),
        "files": of(Files, warehouse=root, exports=settings.exports_root, kernels=settings.kernels_folder),
        "alerts": Alerts.of(settings),
        "clock": Clock(),
        "language_model": LanguageModel.of(settings),
    }


defs = build_defs()
