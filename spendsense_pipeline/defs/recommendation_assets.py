"""The recommendations room: pieces by situation, offers by criteria, drafts.

The thinking is in ``recommendations/``.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from spendsense_pipeline.defs import plots, writing
from spendsense_pipeline.defs.documentation import as_of, documented
from spendsense_pipeline.defs.resources import Clock, Files, Governance, LanguageModel
from spendsense_pipeline.governance import database_frames, experiment_records
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.recommendations.drafts import draft_recommendations
from spendsense_pipeline.recommendations.generation import with_generated
from spendsense_pipeline.recommendations.library import education_templates, load_library
from spendsense_pipeline.recommendations.offers import product_matches
from spendsense_pipeline.recommendations.prompts import distinct
from spendsense_pipeline.recommendations.situations import fresh, situations

KINDS = {"pandas", "parquet"}


class Generation(dg.Config):
    """How texts are got where a language model writes."""

    regenerate: bool = False


def recommendation_assets(daily: dg.DailyPartitionsDefinition, stale_days: int) -> list[dg.AssetsDefinition]:
    """The assets of one day's drafts; for customers whose newest row is older than ``stale_days`` there are none."""

    @dg.asset(
        name="situations",
        partitions_def=daily,
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
    def found(
        context: dg.AssetExecutionContext,
        persona_assignments_30d: pd.DataFrame,
        persona_assignments_180d: pd.DataFrame,
        features_30d: pd.DataFrame,
        features_180d: pd.DataFrame,
        recurring_streams: pd.DataFrame,
        cards: pd.DataFrame,
        insights: pd.DataFrame,
    ) -> pd.DataFrame:
        current = fresh(persona_assignments_30d, features_30d, stale_days)
        rows = situations(
            current, persona_assignments_180d, features_30d, features_180d, recurring_streams, cards, insights
        )
        context.add_output_metadata(
            {
                "situations": int(rows["situation"].nunique()),
                "customers": int(rows["insight"].isna().sum()),
                "insights": int(rows["insight"].notna().sum()),
                "stale": len(persona_assignments_30d) - len(current),
            }
        )
        return rows

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
        situations: pd.DataFrame,
    ) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
        pieces = education_templates(situations, load_library(Path(files.prompts)), as_of(context))
        said: dict[str, Any] = {}
        outcome = dg.AssetCheckResult(check_name="generation", passed=True, metadata={"generator": "library"})
        if language_model.generator == "openai":
            with reading(governance.engine) as session:
                agreed = database_frames.consents(session, clock.now(), consent_days=governance.consent_days)
            readers = agreed.loc[agreed["scope"] == "education", "user_id"]
            result = writing.written(
                context.log,
                distinct(situations[situations["user_id"].isin(readers)]),
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
        context: dg.AssetExecutionContext,
        persona_assignments_30d: pd.DataFrame,
        persona_assignments_180d: pd.DataFrame,
        features_30d: pd.DataFrame,
        features_180d: pd.DataFrame,
        products: pd.DataFrame,
        insights: pd.DataFrame,
    ) -> pd.DataFrame:
        current = fresh(persona_assignments_30d, features_30d, stale_days)
        matched = product_matches(current, persona_assignments_180d, features_30d, features_180d, products, insights)
        context.add_output_metadata({"shown": int(matched["shown"].sum())})
        return matched

    @dg.asset(
        name="draft_recommendations",
        partitions_def=daily,
        deps=["consent_records", "experiment_assignments"],
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
        governance: Governance,
        clock: Clock,
        situations: pd.DataFrame,
        education_templates: pd.DataFrame,
        product_matches: pd.DataFrame,
        products: pd.DataFrame,
    ) -> pd.DataFrame:
        day = as_of(context)
        with reading(governance.engine) as session:
            consents = database_frames.consents(session, clock.now(), consent_days=governance.consent_days)
            history = database_frames.history(session, day, clock.now())
            wordings = experiment_records.wordings(session, clock.now())
        drafted = draft_recommendations(
            situations,
            education_templates,
            product_matches,
            products,
            consents,
            history,
            day,
            wordings=wordings,
        )
        context.add_output_metadata(
            {
                "customers": int(drafted["user_id"].nunique()),
                "with_findings": int((drafted["findings"] != "[]").sum()),
                "findings": plots.bars(_findings(drafted), "Findings of the guardrails, by kind"),
            }
        )
        return drafted

    return [found, templates, matches, drafts]


def _findings(drafted: pd.DataFrame) -> list[tuple[str, float, str]]:
    """How often each guardrail found something, the most frequent first; one bar of nothing where none did."""
    found = Counter(
        f"{one['check'].replace('_', ' ')}, {one['severity']}" for row in drafted["findings"] for one in json.loads(row)
    )
    return [(name, count, f"{count:,}") for name, count in found.most_common()] or [("none", 0, "0")]
