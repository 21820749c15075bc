"""The jobs: what a batch, a date, a review and a release run.

What does not belong here: what starts them (``sensors``, ``schedules``, ``launch``).
"""

import functools
import operator
from collections.abc import Sequence

import dagster as dg

from spendsense_pipeline.defs import feature_assets, ingest, release_assets, review_assets
from spendsense_pipeline.defs.assets import Graph
from spendsense_pipeline.defs.schedules import Job


def ingest_batch(graph: Graph, by_the_clock: dg.AssetSelection) -> Job:
    """One landed batch. Checks ``by_the_clock`` are in no job."""
    return dg.define_asset_job(
        ingest.JOB,
        selection=dg.AssetSelection.assets(*graph.ingested) - by_the_clock,
        partitions_def=ingest.BATCHES,
        tags={"spendsense/merge": "1"},
        description="One landed batch: its rows as they were written, then all tables merged from every batch.",
    )


def daily_refresh(graph: Graph, own: Sequence[dg.AssetChecksDefinition], by_the_clock: dg.AssetSelection) -> Job:
    """One date. Where nothing lands, it begins with the contracts of the tables it finds (``own``) and with the
    consents they bring."""
    found = [dg.AssetSelection.checks(*own), dg.AssetSelection.assets(*graph.ingested)] if own else []
    return dg.define_asset_job(
        feature_assets.JOB,
        selection=functools.reduce(operator.or_, found, dg.AssetSelection.assets(*graph.of_a_day)) - by_the_clock,
        partitions_def=graph.daily,
        description="One date, from features to the approval queue, with its evaluation. May be run again: what was "
        "decided stays, and nothing enters the queue twice.",
    )


def review_recommendations(check: dg.AssetChecksDefinition) -> Job:
    """Decisions from the Launchpad: the check of the queue, with config."""
    return dg.define_asset_job(
        "review_recommendations",
        selection=dg.AssetSelection.checks(check),
        description=f"Record decisions, see what waits; without config it only reports. Example:\n"
        f"```yaml\n{review_assets.EXAMPLE}```",
    )


def release_once(graph: Graph) -> Job:
    """The gate, once."""
    return dg.define_asset_job(
        release_assets.JOB,
        selection=dg.AssetSelection.assets(graph.released),
        description="Run the gate once; the sensor `release_gate` does it whenever something may go out.",
    )
