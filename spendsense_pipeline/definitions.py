"""Everything Dagster loads, on one screen. Loading it reads the environment once and touches nothing else."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import dagster as dg

from spendsense_pipeline.defs import evaluation, features, ingest, personas, recommendations, release, review
from spendsense_pipeline.defs.checks import contract_checks, guardrails_check
from spendsense_pipeline.defs.io import ParquetWarehouse
from spendsense_pipeline.defs.resources import Clock, Files, Governance, LanguageModel, sealed
from spendsense_pipeline.settings import Settings


def build_defs(settings: Settings | None = None, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Fresh definitions for the settings given (default: the environment's); ``resources`` replaces parts by key."""
    settings = settings or Settings()
    daily = dg.DailyPartitionsDefinition(start_date=settings.first_date.isoformat(), end_offset=1)

    ingested = [ingest.raw_tables, ingest.canonical_tables, ingest.consent_records]
    of_a_day = [
        *features.feature_assets(daily),
        *personas.persona_assets(daily),
        *recommendations.recommendation_assets(daily),
        review.approval_queue(daily),
        *evaluation.evaluation_assets(daily),
    ]
    assets = [*ingested, *of_a_day, release.released_recommendations]
    checks = [check for asset in assets for check in contract_checks(asset)]

    ingest_batch = dg.define_asset_job(
        ingest.JOB,
        selection=dg.AssetSelection.assets(*ingested),
        partitions_def=ingest.BATCHES,
        tags={"spendsense/merge": "1"},
        description="One landed batch: its rows as they were written, then all tables merged from every batch.",
    )
    daily_refresh = dg.define_asset_job(
        features.JOB,
        selection=dg.AssetSelection.assets(*of_a_day),
        partitions_def=daily,
        description="One date, from features to the approval queue, with its evaluation.",
    )
    review_recommendations = dg.define_asset_job(
        "review_recommendations",
        selection=dg.AssetSelection.checks(review.operator_review),
        description=f"Record decisions, see what waits; without config it only reports. Example:\n"
        f"```yaml\n{review.EXAMPLE}```",
    )
    release_job = dg.define_asset_job(
        release.JOB,
        selection=dg.AssetSelection.assets(release.released_recommendations),
        description="Run the gate once; the sensor `release_gate` does it whenever something may go out.",
    )

    @dg.schedule(
        name="daily_refresh",
        job=daily_refresh,
        cron_schedule="0 6 * * *",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every morning, the day before: the newest one that is complete.",
    )
    def daily_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        yesterday = context.scheduled_execution_time.date() - dt.timedelta(days=1)
        return dg.RunRequest(partition_key=yesterday.isoformat())

    given: dict[str, Any] = {
        "io_manager": ParquetWarehouse(root=settings.warehouse_root, scratch=str(settings.scratch)),
        "governance": Governance(
            url=settings.governance_url, consent_days=settings.consent_days, four_eyes=settings.four_eyes
        ),
        "files": Files(
            warehouse=settings.warehouse_root,
            landing=str(settings.landing),
            scratch=str(settings.scratch),
            exports=str(settings.data / "exports"),
            reports=str(settings.data / "reports"),
            prompts=str(settings.prompts),
            catalogue=str(settings.catalogue),
        ),
        "clock": Clock(),
        "language_model": LanguageModel.of(settings),
        **(resources or {}),
    }
    return dg.Definitions(
        assets=[*assets, review.DECISIONS],
        asset_checks=[*checks, guardrails_check(daily), review.operator_review, release.every_release_had_consent],
        jobs=[ingest_batch, daily_refresh, review_recommendations, review.record_consent, release_job],
        schedules=[daily_schedule],
        sensors=[ingest.landing_sensor, release.release_gate],
        resources={name: sealed(resource) for name, resource in given.items()},
        # A process for each step would cost more than most steps take.
        executor=dg.in_process_executor,
    )


defs = build_defs()
