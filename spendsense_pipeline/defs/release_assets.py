"""The release room: the gate as an asset, the sensor that starts it, the proof that it kept its promise.

The decision itself is ``governance.release.release_decision``; the sensor asks it to propose, the asset's
transaction asks it again to enforce, so a run launched by hand gets round nothing.
"""

from collections.abc import Mapping

import dagster as dg

from spendsense_pipeline.defs import plots
from spendsense_pipeline.defs.documentation import asset
from spendsense_pipeline.defs.resources import Clock, Files, Governance
from spendsense_pipeline.defs.review_assets import decisions_beside
from spendsense_pipeline.governance import evaluation_records, queue, release
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.models import Decision
from spendsense_pipeline.recommendations.guardrails import review_draft

JOB = "release"


@asset("release", {"sqlalchemy"}, deps=["approval_queue", "consent_records", "operator_decisions"])
def released_recommendations(
    context: dg.AssetExecutionContext, governance: Governance, clock: Clock, files: Files
) -> dg.MaterializeResult[None]:
    """Makes available what is approved, under live consent, unexpired, without critical finding, of a product still
    offered and not released before; all re-read in the releasing transaction. Kept in the governance database:
    `spendsense released` is the feed, `spendsense why ID` the proof. Nothing is released twice, so running it again is
    safe."""
    gate = release.run_gate(
        governance.engine,
        clock.now(),
        **governance.terms(files.warehouse),
        release_days=governance.release_days,
        guardrails=review_draft,
        run_id=context.run_id,
    )
    for reason, names in gate.refused.items():
        context.log.error("decided, and not released: %s: %s", reason.replace("_", " "), ", ".join(names))
    with reading(governance.engine) as session:
        counted = queue.counts(session, clock.now())
        decisions = evaluation_records.rows(session, Decision)
    stand = {name: counted["recommendations"][name] for name in ("approved", "overridden", "rejected")}
    stand["dagster/row_count"] = decisions
    context.log_event(dg.AssetObservation(decisions_beside(context.asset_key), metadata=stand))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": counted["releases"]["released"],
            "funnel": plots.counts(funnel(counted, gate.blocked), "From draft to release, all days"),
            "released": len(gate.released),
            "recalled": len(gate.recalled),
            "ended": gate.ended,
            "blocked": gate.blocked,
            "released_ids": gate.released[:100],
        }
    )


def funnel(counted: Mapping[str, Mapping[str, int]], blocked: Mapping[str, int]) -> dict[str, int]:
    """From everything that was registered to what stands released, then what is held back, by reason."""
    statuses, releases = counted["recommendations"], counted["releases"]
    return {
        "registered": sum(statuses.values()),
        "approved": statuses["approved"] + statuses["overridden"],
        "released": releases["released"],
        "recalled": releases["recalled"],
        **{name: statuses[name] for name in ("rejected", "superseded", "expired", "voided")},
        **{f"held back: {reason.replace('_', ' ')}": number for reason, number in blocked.items()},
    }


@dg.asset_check(
    asset="released_recommendations",
    name="every_release_had_consent",
    description="Recomputes from the append-only rows that every release was made under a live consent of its scope "
    "and a standing decision on its exact text. A failure is an incident: start at `spendsense why` of the ids named.",
)
def every_release_had_consent(governance: Governance) -> dg.AssetCheckResult:
    """`0 of N without`, recomputed and not assumed."""
    with reading(governance.engine) as session:
        proof = release.every_release_had_consent(session)
    return dg.AssetCheckResult(
        passed=not proof.violations,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(proof.violations)} of {proof.total} without",
        metadata={"releases": proof.total, "without": proof.violations[:100]},
    )
