"""Every asset under the key that it is deployed with.

What does not belong here: what an asset does (its own module), nor which job runs it (``jobs``).
"""

from collections.abc import Sequence
from typing import TypeVar

import dagster as dg

from spendsense_pipeline.defs import (
    evaluation_assets,
    experiment_assets,
    feature_assets,
    ingest,
    payee_assets,
    persona_assets,
    recommendation_assets,
    release_assets,
    review_assets,
)
from spendsense_pipeline.settings import Settings

Definition = TypeVar("Definition", bound=dg.AssetsDefinition)

KEPT = frozenset({"experiment_assignments", "experiment_outcomes"})
"""Daily tables that retention leaves alone: an experiment is measured by its assignments, however long ago."""


class Graph:
    """The assets by what runs them, each key with the deployment's prefix.

    ``lands``: batches are ingested; without it the canonical tables are the user's own, ``tables``.
    """

    def __init__(self, settings: Settings, prefix: Sequence[str], *, lands: bool) -> None:
        dates = dg.DailyPartitionsDefinition(start_date=settings.first_date.isoformat(), end_offset=1)
        tables = [] if lands else ingest.own_tables()
        ingested = [*([ingest.raw_tables, ingest.canonical_tables] if lands else []), ingest.consent_records]
        of_a_day = [
            payee_assets.payees(dates),
            feature_assets.features_of(dates, settings.engine),
            *persona_assets.persona_assets(dates),
            *(
                made(dates)
                for made in (
                    recommendation_assets.situations,
                    recommendation_assets.education_templates,
                    recommendation_assets.product_matches,
                    recommendation_assets.draft_recommendations,
                    experiment_assets.experiment_assignments,
                    review_assets.approval_queue,
                    evaluation_assets.evaluation_metrics,
                    evaluation_assets.operator_report,
                    evaluation_assets.analytics_export,
                    experiment_assets.experiment_outcomes,
                    experiment_assets.uplift,
                )
            ),
        ]
        accuracy = evaluation_assets.signal_accuracy(dates)  # in no job: only generated customers come with a truth
        computed = [*ingested, *of_a_day, accuracy, release_assets.released_recommendations]
        specs = [*tables, review_assets.DECISIONS]
        keys = {key for asset in computed for key in asset.keys} | {spec.key for spec in specs}
        self.daily = dates
        self.names = {key: dg.AssetKey([*prefix, *key.path]) for key in keys}
        self.ingested = [self.renamed(asset) for asset in ingested]
        self.of_a_day = [self.renamed(asset) for asset in of_a_day]
        self.released = self.renamed(release_assets.released_recommendations)
        self.computed = [*self.ingested, *self.of_a_day, self.renamed(accuracy), self.released]
        self.tables = [self.key(spec.key.path[-1]) for spec in tables]
        self.specs = [
            spec.replace_attributes(
                key=self.names[spec.key], deps=[self.names[dependency.asset_key] for dependency in spec.deps]
            )
            for spec in specs
        ]

    def key(self, name: str) -> dg.AssetKey:
        """The key of the asset of this name as deployed."""
        return self.names[dg.AssetKey(name)]

    def renamed(self, definition: Definition) -> Definition:
        """Assets or checks as they are written, with the keys as deployed."""
        return definition.with_attributes(asset_key_replacements=self.names)  # type: ignore[return-value] # of its class

    @property
    def daily_keys(self) -> list[dg.AssetKey]:
        """Of all assets that a date computes."""
        return [key for asset in self.of_a_day for key in asset.keys]
