"""The recommendations room: pieces by situation, offers by criteria, drafts.

The thinking is in ``recommendations/``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from spendsense_pipeline.defs import plots, writing
from spendsense_pipeline.defs.documentation import as_of, daily
from spendsense_pipeline.defs.parts import computed_by_range, room_for_parts
from spendsense_pipeline.defs.resources import Clock, Files, Governance, LanguageModel, Workers
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import database_frames, experiment_records, registration
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.recommendations import library
from spendsense_pipeline.recommendations.generation import with_generated
from spendsense_pipeline.recommendations.prompts import distinct
from spendsense_pipeline.row_groups import Parts

KINDS = {"pandas", "parquet"}
OF_CUSTOMERS = (*("persona_assignments_30d", "persona_assignments_180d", "features_30d", "features_180d", "insights"),)
"""What situations and matches read of each customer."""
ASSIGNED = ("user_id", "as_of", "window_days", "persona", "is_fallback")
DRAFTED_FROM = {
    "situations": (
        *("user_id", "window_days", "persona", "is_fallback", "situation", "slots", "reasons", "insight"),
        *("insight_id", "severity", "excluded_tags", "excluded_purposes"),
    ),
    "product_matches": ("user_id", "product_id", "product_type", "rank", "factors"),
}
"""Columns that drafts are made of."""


class Generation(dg.Config):
    """How texts are got where a language model writes."""

    regenerate: bool = False


@daily("recommendations", KINDS, deps=[*OF_CUSTOMERS, "recurring_streams", "cards"])
def situations(
    context: dg.AssetExecutionContext, files: Files, workers: Workers, governance: Governance
) -> Iterator[dg.Output[Parts]]:
    """What each customer's texts may rest on: the persona that is followed, its facts in bands, and the figures that
    can be shown. Education is written once per situation; if there are many more than a few hundred, look for a fact
    with too many bands. Nothing is drafted for customers who are `stale` (newest transaction older than
    `SPENDSENSE_STALE_DAYS`), `unexplained` (less than half of their rows are understood) or `without_balances`: they
    are left out, and counted by reason and, as `not_drafted`, once each."""
    with room_for_parts(files, workers, context.run_id) as folder:
        tables: dict[str, Sequence[str]] = dict.fromkeys([*OF_CUSTOMERS, "recurring_streams", "cards"], ())
        tables |= dict.fromkeys(("persona_assignments_30d", "persona_assignments_180d"), (*ASSIGNED, "reasons"))
        tables["insights"] = ("user_id", "insight", "insight_id", "severity", "detail", "figures")
        same = {"stale_days": governance.stale_days}
        parts, told = computed_by_range(context, files, workers, "situations", tables, same, folder)
        yield dg.Output(parts, metadata={"situations": len(told["situation"]), **told["kind"]})


@daily(
    "recommendations",
    KINDS,
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
)
def education_templates(
    context: dg.AssetExecutionContext,
    config: Generation,
    files: Files,
    governance: Governance,
    clock: Clock,
    language_model: LanguageModel,
    situations: ibis.Table,
) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
    """The pieces that fit each situation of the day, figures only as slots. One piece serves every customer in the
    situation. With `SPENDSENSE_GENERATOR=openai` a language model writes for the situations of customers with consent,
    each asked about once; the library stands behind it. If a situation has too few, write a piece in
    `prompts/library/`."""
    each = _of_situations(situations)
    known = library.load_library(Path(files.prompts), Path(files.kernels) if files.kernels else None)
    pieces = library.education_templates(each, known, as_of(context))
    said: dict[str, Any] = {}
    outcome = dg.AssetCheckResult(check_name="generation", passed=True, metadata={"generator": "library"})
    if language_model.generator == "openai":
        with reading(governance.engine) as session:
            agreed = governance.consents(session, clock.now())
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


@daily("recommendations", KINDS, deps=OF_CUSTOMERS)
def product_matches(
    context: dg.AssetExecutionContext, files: Files, workers: Workers, governance: Governance, products: pd.DataFrame
) -> Iterator[dg.Output[Parts]]:
    """Every partner product against every customer who may be written to: relevance, eligibility, and for what is not
    shown the reasons by code. Commission is never read. Who gets no offer finds why in `refused`."""
    with room_for_parts(files, workers, context.run_id) as folder:
        same = {"stale_days": governance.stale_days, "products": products}
        tables: dict[str, Sequence[str]] = dict.fromkeys(OF_CUSTOMERS, ())
        tables["insights"] = ("user_id", "insight", "severity")
        tables |= dict.fromkeys(("persona_assignments_30d", "persona_assignments_180d"), ASSIGNED)
        parts, told = computed_by_range(*(context, files, workers, "product_matches", tables, same, folder), light=True)
        yield dg.Output(parts, metadata={"shown": told["shown"]["all"]})


@daily("recommendations", KINDS, deps=["consent_records", "experiment_assignments", "situations", "product_matches"])
def draft_recommendations(
    context: dg.AssetExecutionContext,
    files: Files,
    workers: Workers,
    governance: Governance,
    clock: Clock,
    education_templates: pd.DataFrame,
    products: pd.DataFrame,
) -> Iterator[dg.Output[Parts]]:
    """The day's texts for customers whose consent is live, with the findings of the guardrails. Nothing here is visible
    to anybody before it was registered, approved and released. If a customer has none, look at `spendsense consent
    history USER`, then at what this customer was sent lately."""
    day, now = as_of(context), clock.now()
    with reading(governance.engine) as session:
        tables: dict[str, pd.DataFrame | Sequence[str]] = {
            **DRAFTED_FROM,
            "consents": governance.consents(session, now),
            "history": database_frames.history(session, day, now),
        }
        # Decided since the day was first registered is not known yet: that day, run again, must be the same day.
        same = {
            "education_templates": education_templates, "products": products, "day": day,
            "known_until": registration.first_registered(session, day) or now,
            "wordings": experiment_records.wordings(session, now),
        }  # fmt: skip
    with room_for_parts(files, workers, context.run_id) as folder:
        parts, told = computed_by_range(context, files, workers, "draft_recommendations", tables, same, folder)
        found = dict(told["finding"].most_common()) or {"none": 0}
        pictured = plots.counts(found, "Findings of the guardrails, by kind")
        yield dg.Output(parts, metadata={**told["kind"], "findings": pictured})


def _of_situations(rows: ibis.Table) -> pd.DataFrame:
    """A row of each situation: key, facts and slots, of which the names are those of the situation."""
    return to_frame(rows.select("situation", "facts", "slots").distinct(on="situation", keep="first").to_pyarrow())


def _met_by(rows: ibis.Table, customers: pd.Series) -> pd.Series:
    """The situations that at least one of the customers is in."""
    of_customer = to_frame(rows.select("user_id", "situation").to_pyarrow())
    return of_customer.loc[of_customer["user_id"].isin(customers), "situation"].drop_duplicates()
