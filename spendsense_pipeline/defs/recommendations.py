"""The recommendations room: pieces by situation, offers by criteria, drafts.

The thinking is in ``recommendations/``.
"""

from pathlib import Path

import dagster as dg
import ibis
import pandas as pd

from spendsense_pipeline.defs.documentation import as_of, documented
from spendsense_pipeline.defs.resources import Clock, Files, Governance
from spendsense_pipeline.features.credit import cards_at
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import frames
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.recommendations.drafts import draft_recommendations
from spendsense_pipeline.recommendations.library import education_templates, load_library
from spendsense_pipeline.recommendations.offers import product_matches
from spendsense_pipeline.recommendations.situations import situations

KINDS = {"pandas", "parquet"}


def recommendation_assets(daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of one day's drafts."""

    @dg.asset(
        name="situations",
        partitions_def=daily,
        **documented(
            "situations",
            "recommendations",
            KINDS | {"ibis"},
            "What each customer's texts may rest on: the persona that is followed, its facts in bands, and the figures "
            "that can be shown. Education is written once per situation; if there are many more than a few hundred, "
            "look for a fact with too many bands.",
        ),
    )
    def found(
        context: dg.AssetExecutionContext,
        persona_assignments_30d: pd.DataFrame,
        persona_assignments_180d: pd.DataFrame,
        features_30d: pd.DataFrame,
        features_180d: pd.DataFrame,
        recurring_streams: pd.DataFrame,
        transactions: ibis.Table,
        accounts: ibis.Table,
        liabilities: ibis.Table,
        users: ibis.Table,
    ) -> pd.DataFrame:
        cards = to_frame(cards_at(transactions, accounts, liabilities, users, as_of(context)).to_pyarrow())
        rows = situations(
            persona_assignments_30d, persona_assignments_180d, features_30d, features_180d, recurring_streams, cards
        )
        context.add_output_metadata({"situations": int(rows["situation"].nunique()), "customers": len(rows)})
        return rows

    @dg.asset(
        name="education_templates",
        partitions_def=daily,
        **documented(
            "education_templates",
            "recommendations",
            KINDS,
            "The pieces that fit each situation of the day, figures only as slots. One piece serves every customer in "
            "the situation. If a situation has too few, write a piece in `prompts/library/`.",
        ),
    )
    def templates(
        context: dg.AssetExecutionContext,
        files: Files,
        situations: pd.DataFrame,
    ) -> pd.DataFrame:
        return education_templates(situations, load_library(Path(files.prompts)), as_of(context))

    @dg.asset(
        name="product_matches",
        partitions_def=daily,
        **documented(
            "product_matches",
            "recommendations",
            KINDS,
            "Every partner product against every customer: relevance, eligibility, and for what is not shown the "
            "reasons by code. Commission is never read.",
        ),
    )
    def matches(
        context: dg.AssetExecutionContext,
        persona_assignments_30d: pd.DataFrame,
        persona_assignments_180d: pd.DataFrame,
        features_30d: pd.DataFrame,
        features_180d: pd.DataFrame,
        products: pd.DataFrame,
    ) -> pd.DataFrame:
        matched = product_matches(
            persona_assignments_30d, persona_assignments_180d, features_30d, features_180d, products
        )
        context.add_output_metadata({"shown": int(matched["shown"].sum())})
        return matched

    @dg.asset(
        name="draft_recommendations",
        partitions_def=daily,
        deps=["consent_records"],
        **documented(
            "draft_recommendations",
            "recommendations",
            KINDS,
            "The day's texts for customers whose consent is live, with the findings of the guardrails. Nothing here "
            "is visible to anybody before it was registered, approved and released.",
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
            consents = frames.consents(session, clock.now(), consent_days=governance.consent_days)
            history = frames.history(session, day, clock.now())
        drafted = draft_recommendations(
            situations,
            education_templates,
            product_matches,
            products,
            consents,
            history,
            day,
        )
        context.add_output_metadata(
            {"customers": int(drafted["user_id"].nunique()), "with_findings": int((drafted["findings"] != "[]").sum())}
        )
        return drafted

    return [found, templates, matches, drafts]
