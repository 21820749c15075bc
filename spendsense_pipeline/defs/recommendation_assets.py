"""The recommendations room: pieces by situation, offers by criteria, drafts.

The thinking is in ``recommendations/``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from spendsense_pipeline.defs import plots, writing
from spendsense_pipeline.defs.documentation import as_of, documented
from spendsense_pipeline.defs.parts import computed_by_range, room_for_parts
from spendsense_pipeline.defs.resources import Clock, Files, Governance, LanguageModel, Workers
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import database_frames, experiment_records
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.recommendations.generation import with_generated
from spendsense_pipeline.recommendations.library import education_templates, load_library
from spendsense_pipeline.recommendations.prompts import distinct
from spendsense_pipeline.row_groups import Parts

KINDS = {"pandas", "parquet"}
OF_CUSTOMERS = (*("persona_assignments_30d", "persona_assignments_180d", "features_30d", "features_180d", "insights"),)
"""What situations and matches read of each customer."""


class Generation(dg.Config):
    """How texts are got where a language model writes."""

    regenerate: bool = False


def recommendation_assets(daily: dg.DailyPartitionsDefinition, stale_days: int) -> list[dg.AssetsDefinition]:
    """The assets of one day's drafts; for customers whose newest row is older than ``stale_days`` there are none."""

    @dg.asset(
        name="situations",
        partitions_def=daily,
        deps=[*OF_CUSTOMERS, "recurring_streams", "cards"],
        **documented(
            "situations",
            "recommendations",
            KINDS,
            "What each customer's texts may rest on: the persona that is followed, its facts in bands, and the figures "
            "that can be shown. Education is written once per situation; if there are many more than a few hundred, "
            "look for a fact with too many bands. Customers whose newest transaction is older than "
            "`SPENDSENSE_STALE_DAYS` are left out and counted as `stale`: nothing is drafted for them.",
        ),
    )
    def found(context: dg.AssetExecutionContext, files: Files, workers: Workers) -> Iterator[dg.Output[Parts]]:
        with room_for_parts(files, workers, context.run_id) as folder:
            tables = dict.fromkeys([*OF_CUSTOMERS, "recurring_streams", "cards"])
            parts, told = computed_by_range(
                context, files, workers, "situations", tables, {"stale_days": stale_days}, folder
            )
            yield dg.Output(parts, metadata={"situations": len(told["situation"]), **told["kind"]})

    @dg.asset(
        name="education_templates",
        partitions_def=daily,
        deps=["consent_records"],
        check_specs=[
            dg.AssetCheckSpec(
                "generation",
                asset="education_templates",
                description="Where a language model writes: every situation of a customer with consent has its text. "
                "What failed stands in the asset's metadata with its reason; the library serves it, and the next run "
                "asks again.",
            )
        ],
        **documented(
            "education_templates",
            "recommendations",
            KINDS,
            "The pieces that fit each situation of the day, figures only as slots. One piece serves every customer in "
            "the situation. With `SPENDSENSE_GENERATOR=openai` a language model writes for the situations of customers "
            "with consent, each asked about once; the library stands behind it. If a situation has too few, write a "
            "piece in `prompts/library/`.",
        ),
    )
    def templates(
        context: dg.AssetExecutionContext,
        config: Generation,
        files: Files,
        governance: Governance,
        clock: Clock,
        language_model: LanguageModel,
        situations: ibis.Table,
    ) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
        each = _of_situations(situations)
        pieces = education_templates(each, load_library(Path(files.prompts)), as_of(context))
        said: dict[str, Any] = {}
        outcome = dg.AssetCheckResult(check_name="generation", passed=True, metadata={"generator": "library"})
        if language_model.generator == "openai":
            with reading(governance.engine) as session:
                agreed = database_frames.consents(session, clock.now(), consent_days=governance.consent_days)
            readers = agreed.loc[agreed["scope"] == "education", "user_id"]
            result = writing.written(
                context.log,
                distinct(each[each["situation"].isin(_met_by(situations, readers))]),
                model=language_model,
                governance=governance,
                clock=clock,
                prompts_dir=Path(files.prompts),
                regenerate=config.regenerate,
                run_id=context.run_id,
            )
            pieces = with_generated(pieces, result.usable.values(), as_of(context))
            said |= {"generator": "openai", "model": language_model.model, **result.metadata()}
            told = ("situations_failed", "situations_served_by_library", "stopped", "problems")
            outcome = dg.AssetCheckResult(
                check_name="generation",
                passed=not result.failed and result.stopped is None,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={name: said[name] for name in told if name in said},
            )
        yield dg.Output(pieces, metadata=said)
        yield outcome

    @dg.asset(
        name="product_matches",
        partitions_def=daily,
        deps=OF_CUSTOMERS,
        **documented(
            "product_matches",
            "recommendations",
            KINDS,
            "Every partner product against every customer whose data is not stale: relevance, eligibility, and for "
            "what is not shown the reasons by code. Commission is never read. Who gets no offer finds why in "
            "`refused`.",
        ),
    )
    def matches(
        context: dg.AssetExecutionContext, files: Files, workers: Workers, products: pd.DataFrame
    ) -> Iterator[dg.Output[Parts]]:
        with room_for_parts(files, workers, context.run_id) as folder:
            same = {"stale_days": stale_days, "products": products}
            parts, told = computed_by_range(
                *(context, files, workers, "product_matches", dict.fromkeys(OF_CUSTOMERS), same, folder), light=True
            )
            yield dg.Output(parts, metadata={"shown": told["shown"]["all"]})

    @dg.asset(
        name="draft_recommendations",
        partitions_def=daily,
        deps=["consent_records", "experiment_assignments", "situations", "product_matches"],
        **documented(
            "draft_recommendations",
            "recommendations",
            KINDS,
            "The day's texts for customers whose consent is live, with the findings of the guardrails. Nothing here "
            "is visible to anybody before it was registered, approved and released. If a customer has none, look at "
            "`spendsense consent history USER`, then at what this customer was sent lately.",
        ),
    )
    def drafts(
        context: dg.AssetExecutionContext,
        files: Files,
        workers: Workers,
        governance: Governance,
        clock: Clock,
        education_templates: pd.DataFrame,
        products: pd.DataFrame,
    ) -> Iterator[dg.Output[Parts]]:
        day, now = as_of(context), clock.now()
        with reading(governance.engine) as session:
            tables = {
                "situations": None,
                "product_matches": None,
                "consents": database_frames.consents(session, now, consent_days=governance.consent_days),
                "history": database_frames.history(session, day, now),
            }
            wordings = experiment_records.wordings(session, now)
        same = {
            "education_templates": education_templates, "products": products, "day": day, "wordings": wordings,
        }  # fmt: skip
        with room_for_parts(files, workers, context.run_id) as folder:
            parts, told = computed_by_range(context, files, workers, "draft_recommendations", tables, same, folder)
            found = [(name, count, f"{count:,}") for name, count in told["finding"].most_common()]
            pictured = plots.bars(found or [("none", 0, "0")], "Findings of the guardrails, by kind")
            yield dg.Output(parts, metadata={**told["kind"], "findings": pictured})

    return [found, templates, matches, drafts]


def _of_situations(rows: ibis.Table) -> pd.DataFrame:
    """A row of each situation: key, facts and slots, of which the names are those of the situation."""
    return to_frame(rows.select("situation", "facts", "slots").distinct(on="situation", keep="first").to_pyarrow())


def _met_by(rows: ibis.Table, customers: pd.Series) -> pd.Series:
    """The situations that at least one of the customers is in."""
    of_customer = to_frame(rows.select("user_id", "situation").to_pyarrow())
    return of_customer.loc[of_customer["user_id"].isin(customers), "situation"].drop_duplicates()
