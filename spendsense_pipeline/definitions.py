"""Everything Dagster loads, on one screen. Loading it reads the environment once and touches nothing else."""

import functools
import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import dagster as dg

from spendsense_pipeline.defs import (
    evaluation,
    experiments,
    failures,
    features,
    freshness,
    payees,
    personas,
    recommendations,
    release,
    retention,
    review,
)
from spendsense_pipeline.defs import ingest as room
from spendsense_pipeline.defs.alerts import Alerts
from spendsense_pipeline.defs.checks import contract_checks, drift_checks, guardrails_check, trust_check
from spendsense_pipeline.defs.documentation import with_sources
from spendsense_pipeline.defs.io import ParquetWarehouse
from spendsense_pipeline.defs.resources import Clock, Files, Governance, LanguageModel, Workers, sealed
from spendsense_pipeline.settings import Settings

Assets = TypeVar("Assets", bound=dg.AssetsDefinition)

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
    ingest = settings.ingest if ingest is None else ingest
    prefix = [key_prefix] if isinstance(key_prefix, str) else list(key_prefix)
    daily = dg.DailyPartitionsDefinition(start_date=settings.first_date.isoformat(), end_offset=1)

    tables = [] if ingest else room.own_tables()
    ingested = [room.raw_tables, room.canonical_tables, room.consent_records] if ingest else [room.consent_records]
    of_a_day = [
        payees.payees_asset(daily),
        *features.feature_assets(daily, settings.engine),
        *personas.persona_assets(daily),
        *recommendations.recommendation_assets(daily, settings.stale_days),
        experiments.assignment_asset(daily),
        review.approval_queue(daily),
        *evaluation.evaluation_assets(daily),
        *experiments.analysis_assets(daily),
    ]
    released, further = release.released_recommendations, [*tables, review.DECISIONS]
    measured = evaluation.signal_accuracy(daily)  # in no job: only generated customers come with a truth
    keys = {key for asset in (*ingested, *of_a_day, measured, released) for key in asset.keys} | {
        spec.key for spec in further
    }
    names = {key: dg.AssetKey([*prefix, *key.path]) for key in keys}
    ingested, of_a_day = [_renamed(one, names) for one in ingested], [_renamed(one, names) for one in of_a_day]
    measured, released = _renamed(measured, names), _renamed(released, names)
    further = [
        spec.replace_attributes(key=names[spec.key], deps=[names[dep.asset_key] for dep in spec.deps])
        for spec in further
    ]
    assets = [*ingested, *of_a_day, measured, released]
    own = contract_checks("own_tables", [names[spec.key] for spec in tables])
    checks = [
        check
        for one in assets
        for check in contract_checks(
            one.op.name, [*one.keys], one.partitions_def, ranges=one.backfill_policy is not None
        )
    ]
    told = [
        _renamed(one, names)
        for one in (guardrails_check(daily), review.operator_review, trust_check(daily, settings.stale_days))
    ]
    proof = _renamed(release.every_release_had_consent, names)
    timetable = freshness.Timetable(settings.timezone, settings.first_date, settings.late_days)
    late = freshness.freshness_checks(
        [key for one in of_a_day for key in one.keys],
        names[dg.AssetKey("transactions")],
        names[dg.AssetKey("raw_transactions")] if ingest else None,
        timetable,
    )
    by_the_clock = dg.AssetSelection.checks(late)

    ingest_batch = dg.define_asset_job(
        room.JOB,
        selection=dg.AssetSelection.assets(*ingested) - by_the_clock,
        partitions_def=room.BATCHES,
        tags={"spendsense/merge": "1"},
        description="One landed batch: its rows as they were written, then all tables merged from every batch.",
    )
    # Where nothing lands, a date begins with the contracts of the tables it finds and with the consents they bring.
    found = [dg.AssetSelection.checks(*own), dg.AssetSelection.assets(*ingested)] if own else []
    daily_refresh = dg.define_asset_job(
        features.JOB,
        selection=functools.reduce(operator.or_, found, dg.AssetSelection.assets(*of_a_day)) - by_the_clock,
        partitions_def=daily,
        description="One date, from features to the approval queue, with its evaluation. May be run again: what was "
        "decided stays, and nothing enters the queue twice.",
    )
    review_recommendations = dg.define_asset_job(
        "review_recommendations",
        selection=dg.AssetSelection.checks(told[1]),
        description=f"Record decisions, see what waits; without config it only reports. Example:\n"
        f"```yaml\n{review.EXAMPLE}```",
    )
    release_job = dg.define_asset_job(
        release.JOB,
        selection=dg.AssetSelection.assets(released),
        description="Run the gate once; the sensor `release_gate` does it whenever something may go out.",
    )

    jobs: list[freshness.Job] = [
        *([ingest_batch] if ingest else []),
        daily_refresh,
        review_recommendations,
        review.record_consent(names[dg.AssetKey("consent_records")]),
        release_job,
    ]
    names_of_jobs = {job.name for job in jobs}
    # An experiment is measured by its assignments, however long ago.
    old = {key.path[-1] for one in of_a_day for key in one.keys} - {"experiment_assignments", "experiment_outcomes"}
    given: dict[str, Any] = {
        "io_manager": ParquetWarehouse(
            root=settings.warehouse_root, scratch=str(settings.scratch), memory=settings.memory
        ),
        "workers": Workers(
            engine=settings.engine,
            processes=settings.workers,
            spark_master=settings.spark_master,
            compile=settings.compile,
            kernels=str(settings.kernels_folder),
        ),
        "governance": Governance(
            url=settings.governance_url,
            consent_days=settings.consent_days,
            four_eyes=settings.four_eyes,
            weekly_cap=settings.weekly_cap,
            release_days=settings.release_days,
            trust_local=settings.trust_local,
            audit_key=str(settings.audit_key) if settings.audit_key else None,
            warehouse=settings.warehouse_root if settings.ingest else None,
        ),
        "files": Files(
            warehouse=settings.warehouse_root,
            landing=str(settings.landing),
            scratch=str(settings.scratch),
            plans=str(settings.plans),
            memory=settings.memory,
            exports=settings.exports_root,
            reports=str(settings.data / "reports"),
            prompts=str(settings.prompts),
            catalogue=str(settings.catalogue),
            experiments=str(settings.experiments),
            payees=str(settings.payees) if settings.payees else None,
        ),
        "alerts": Alerts.of(settings),
        "clock": Clock(),
        "language_model": LanguageModel.of(settings),
        **(resources or {}),
    }
    return dg.Definitions(
        assets=with_sources([*assets, *further]),
        asset_checks=[*own, *checks, *drift_checks(daily, names), *told, proof, late],
        jobs=jobs,
        schedules=[freshness.daily_schedule(daily_refresh, timetable)],
        sensors=[
            *([room.landing_sensor, freshness.arrival_sensor(daily_refresh, timetable)] if ingest else []),
            release.release_gate,
            failures.failure_alerts(names_of_jobs),
            freshness.lateness_sensor(late, timetable),
            *([retention.retention_sensor(old, names_of_jobs, settings.keep_days)] if settings.keep_days else []),
        ],
        resources={name: sealed(resource) for name, resource in given.items()},
        # A process for each step would cost more than most steps take.
        executor=dg.in_process_executor,
    )


def _renamed(one: Assets, names: Mapping[dg.AssetKey, dg.AssetKey]) -> Assets:
    return one.with_attributes(asset_key_replacements=names)  # type: ignore[return-value]  # it is of the same class


defs = build_defs()
