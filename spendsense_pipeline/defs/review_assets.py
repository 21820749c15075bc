"""The review room: the approval queue and the operators' two jobs, one for decisions and one for consent.

Nothing here decides by itself: jobs pass on what a person typed into the Launchpad, and say what became of it. The
thinking is in ``governance/``.
"""

import datetime as dt
import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from spendsense_pipeline.defs import plots
from spendsense_pipeline.defs.documentation import as_of, daily, documented, tables
from spendsense_pipeline.defs.parts import frames_by_range
from spendsense_pipeline.defs.resources import Clock, Files, Governance
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import consent, credentials, queue, registration, review, standing
from spendsense_pipeline.governance import evaluation_records as records
from spendsense_pipeline.governance import wordings as templates
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.database_frames import evidence
from spendsense_pipeline.governance.models import SCOPES, Decision
from spendsense_pipeline.profiles import require_customer
from spendsense_pipeline.recommendations.guardrails import review_draft

KINDS = {"sqlalchemy"}
REGISTERED = ("draft_recommendations", "features_30d", "features_180d", "recurring_streams")
"""Drafts, and what they rest on."""
DECISIONS = dg.AssetSpec(
    "operator_decisions",
    deps=["approval_queue"],
    **documented(
        "operator_decisions",
        "review",
        KINDS,
        "What operators decided: approve, reject, override, undo, each bound to the exact text they saw. "
        "Rows of the governance database, written by the job `review_recommendations` and the command line; observed "
        "by each run that decides or releases. Who decided about one text: `spendsense show REC`.",
        source=__file__,
    ),
)
EXAMPLE = """\
ops:
  approval_queue_operator_review:
    config:
      operator: op_001
      approve: [rec_0123456789abcdef0123@CONTENT_HASH]
      approve_templates: [high_utilization/save-or-pay-down@TEMPLATE_HASH]
      reject:
        - {recommendation: rec_89abcdef0123456789ab, reason: "not for this customer"}
      override:
        - {recommendation: rec_456789abcdef01234567, title: "A new title", reason: "plainer words"}
"""
CONSENT_EXAMPLE = """\
ops:
  change_consent:
    config: {user_id: cus_000001, action: revoke, actor: op_001}
"""


@daily("review", KINDS, deps=REGISTERED)
def approval_queue(
    context: dg.AssetExecutionContext, governance: Governance, clock: Clock, files: Files
) -> dg.MaterializeResult[None]:
    """Registers the day's drafts for review, with their figures and reasons as evidence. A draft that says nothing new
    beside one that waits is suppressed; an older day than a customer's newest is refused. Kept in the governance
    database: look at it with `spendsense queue` or the job `review_recommendations`. Rows are the day's drafts."""
    outcome, drafts = registration.Registration(), 0
    for drafted, *shown in frames_by_range(files, context.partition_key, REGISTERED):
        drafts += len(drafted)
        outcome += registration.register_drafts(
            governance.engine,
            drafted,
            as_of(context),
            clock.now(),
            run_id=context.run_id,
            consent_days=governance.consent_days,
            customers=shown[0]["user_id"].tolist(),
            signals=evidence(*shown),
        )
    approved = standing.apply(governance.engine, clock.now(), four_eyes=governance.four_eyes, run_id=context.run_id)
    with reading(governance.engine) as session:
        waiting = queue.waiting(session, clock.now())
        ages = queue.ages(session, clock.now())
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": drafts,
            **vars(outcome),
            "approved_by_standing_approval": len(approved),
            "waiting": waiting["waiting"],
            "queue_age": plots.counts(dict(by_age(ages)), "What waits, by age"),
        }
    )


def decisions_beside(key: dg.AssetKey) -> dg.AssetKey:
    """The decisions' key where another asset has this one: a deployment may have put a prefix before both."""
    return dg.AssetKey([*key.path[:-1], *DECISIONS.key.path])


AGES = ((0, "today"), (1, "1 to 2 days"), (3, "3 to 6 days"), (7, "7 to 10 days"), (11, "11 days or more"))
"""Bands of the queue's age in days; texts expire after 14, and the last band is when the check turns to an error."""


def by_age(hours: Sequence[float]) -> list[tuple[str, int]]:
    """How many texts wait in each band of age."""
    edges = [*(since for since, _ in AGES), math.inf]
    counts = [sum(low * 24 <= one < high * 24 for one in hours) for low, high in itertools.pairwise(edges)]
    return [(name, count) for (_, name), count in zip(AGES, counts, strict=True)]


class Rejection(dg.Config):
    """One text to reject, and why."""

    recommendation: str = Field(description="ID, or ID@HASH to be sure that it is still the text that was seen")
    reason: str = Field(description="why; keeps this piece away from this customer for 90 days")


class Override(dg.Config):
    """Other words for one text, and why; what is left out stays."""

    recommendation: str = Field(description="ID, or ID@HASH to be sure that it is still the text that was seen")
    reason: str = Field(description="why the words were changed")
    title: str | None = Field(default=None, description="the new title; left out, it stays")
    content: str | None = Field(default=None, description="the new text; left out, it stays")


class Review(dg.Config):
    """What an operator decided. Everything is optional: empty, the run only reports what waits."""

    operator: str | None = Field(default=None, description="who decides: a registered, active operator")
    token: str | None = Field(
        default=None,
        description="their token, where a typed name is not enough (SPENDSENSE_TRUST_LOCAL=false); it stays in the "
        "run's config, so let it expire soon",
    )
    approve: list[str] = Field(
        default=[], description="texts as ID@HASH, as the table `queue` of this check shows them"
    )
    approve_templates: list[str] = Field(
        default=[],
        description="wordings as TEMPLATE@HASH, as the table `templates` of this check shows them; each needs one of "
        "its texts opened before with `spendsense show REC --operator OPERATOR`",
    )
    reject: list[Rejection] = Field(default=[], description="texts to reject for good, each with its reason")
    override: list[Override] = Field(default=[], description="other words, judged by the guardrails before they stand")
    undo: list[str] = Field(default=[], description="IDs whose approval or override is taken back before release")
    note: str | None = Field(default=None, description="a remark kept with the approvals and undos of this run")


@dg.asset_check(
    asset="approval_queue",
    name="operator_review",
    description="What waits for an operator. Passes when nothing waits, warns while something does, fails when "
    "something is about to expire. Launched from the job `review_recommendations` with config, it first records "
    f"decisions; texts are named `ID@HASH` as `spendsense queue` shows them:\n```yaml\n{EXAMPLE}```",
)
def operator_review(
    context: dg.AssetCheckExecutionContext, config: Review, governance: Governance, clock: Clock
) -> dg.AssetCheckResult:
    """Record what the operator decided, then report the queue with ages and findings."""
    now = clock.now()
    results = _decide(context, config, governance, now)
    refused = sum(not row["ok"] for row in results)
    with reading(governance.engine) as session:
        waiting = queue.waiting(session, now)
        listed = queue.queue(session, now, limit=100)["queue"]
        wordings = queue.queue_by_template(session, now)
    refused_first = sorted(results, key=lambda row: bool(row["ok"]))
    metadata: dict[str, Any] = {
        "waiting": waiting["waiting"],
        "near_expiry": waiting["near_expiry"],
        **tables({"queue": map(_queued, listed), "templates": map(_wording, wordings[:100])}),
        **tables({"decisions": map(_outcome, refused_first)}),
        **({"refused": refused} if refused else {}),
    }
    urgent = waiting["near_expiry"] > 0
    return dg.AssetCheckResult(
        passed=not waiting["waiting"] and not refused,
        severity=dg.AssetCheckSeverity.ERROR if urgent else dg.AssetCheckSeverity.WARN,
        metadata=metadata,
        description=f"{waiting['waiting']} waiting, {waiting['near_expiry']} about to expire"
        + (f", {len(results) - refused} decided, {refused} refused" if results else ""),
    )


def _decide(
    context: dg.AssetCheckExecutionContext, config: Review, governance: Governance, now: dt.datetime
) -> list[dict[str, Any]]:
    """Record the decisions of the config and tell of them on the asset of decisions; what became of each."""
    asked = _requests(config)
    results: list[dict[str, Any]] = []
    known_by = "trusted_local"
    if asked or config.approve_templates:
        _, known_by = credentials.deciding(
            governance.engine, _operator(config), config.token, now, trust_local=governance.trust_local
        )
    if asked:
        context.log.info("%d decisions to take, all of them at once", len(asked))
        results = review.decide(
            governance.engine,
            asked,
            now,
            guardrails=review_draft,
            four_eyes=governance.four_eyes,
            run_id=context.run.run_id,
            known_by=known_by,
        )
    for wording in config.approve_templates:
        results += _together(wording, config, governance, now, context.run.run_id, known_by)
    refused = [row for row in results if not row["ok"]]
    for row in refused:
        why = review.advice(row["refused"], row["recommendation_id"], row.get("findings", ()))
        context.log.warning("%s: refused, %s: %s", row["recommendation_id"], row["refused"], why)
    taken = len(results) - len(refused)
    if results:
        context.log.info("%d of %d decisions taken, %d refused", taken, len(results), len(refused))
    if taken:
        with reading(governance.engine) as session:
            decisions = records.rows(session, Decision)
        observed = {"taken": taken, "refused": len(refused), "operator": config.operator}
        (checked,) = context.op_execution_context.selected_asset_check_keys
        key = decisions_beside(checked.asset_key)
        observation = dg.AssetObservation(key, metadata=observed | {"dagster/row_count": decisions})
        context.op_execution_context.log_event(observation)
    return results


def _requests(config: Review) -> list[review.Request]:
    if not (config.approve or config.reject or config.override or config.undo):
        return []
    operator = _operator(config)
    asked = review.requests("approve", config.approve, operator, reason=config.note)
    for action, rows in (("reject", config.reject), ("override", config.override)):
        for row in rows:
            said = row.model_dump(exclude={"recommendation"})
            asked += review.requests(action, [row.recommendation], operator, **said)
    return asked + review.requests("undo", config.undo, operator, reason=config.note)


def _operator(config: Review) -> str:
    if config.operator is None:
        raise SpendSenseError("`operator` is missing: decisions carry the name of who decided", code="operator_missing")
    return config.operator


def _together(
    wording: str, config: Review, governance: Governance, now: dt.datetime, run_id: str, known_by: str
) -> list[dict[str, Any]]:
    """Approve what waits in these words. A wording that nobody knows is one refusal among the others."""
    try:
        done = templates.approve_template(
            governance.engine,
            wording,
            _operator(config),
            now,
            note=config.note,
            four_eyes=governance.four_eyes,
            run_id=run_id,
            known_by=known_by,
        )
    except SpendSenseError as error:
        if error.code not in ("hash_required", "unknown_template"):
            raise
        refusal = {"recommendation_id": wording, "ok": False, "status": None, "refused": error.code}
        return [refusal | {"what_to_do": "`spendsense templates` lists the wordings; name one as TEMPLATE@HASH"}]
    return done["results"]


def _outcome(row: dict[str, Any]) -> dict[str, Any]:
    """What became of one decision and, where it was refused, what to do about it."""
    findings = row.get("findings", ())
    advice = row.get("what_to_do") or review.advice(row["refused"], row["recommendation_id"], findings)
    return {name: row[name] for name in row if name != "findings"} | {"what_to_do": advice}


def _queued(row: dict[str, Any]) -> dict[str, Any]:
    """A waiting item without the text: the metadata of a run is no place for a customer's figures."""
    findings = ", ".join(f"{found['check']} ({found['severity']})" for found in row["findings"])
    return {
        "recommendation": f"{row['recommendation_id']}@{row['content_hash']}",
        "template": row["template_id"],
        "words": "known" if row["wording_approved"] else "new",
        "persona": row["persona"],
        "age_hours": row["age_hours"],
        "findings": findings or "none",
    }


def _wording(row: dict[str, Any]) -> dict[str, Any]:
    """The items that wait with the same words."""
    return {
        "template": f"{row['template_id']}@{row['template_hash']}",
        "words": "known" if row["wording_approved"] else "new",
        "waiting": row["count"],
        "with_findings": row["with_findings"],
    }


class ConsentChange(dg.Config):
    """A customer's word on their consent, passed on by whoever heard it."""

    user_id: str = Field(description="whose consent")
    action: str = Field(description="grant or revoke")
    scopes: list[str] = Field(default=list(SCOPES), description=f"some of {', '.join(SCOPES)}; default all")
    actor: str = Field(description="who passes it on")
    source: str = Field(default="Dagster Launchpad", description="where it was said")
    channel: str = Field(default="operator", description="how it reached us")
    text_version: str = Field(default="unstated", description="of a grant: the wording that was agreed to")


def record_consent(records: dg.AssetKey) -> dg.JobDefinition:
    """The job that passes on one customer's word; ``records`` is the asset on which that is shown."""

    @dg.op(description="Open, renew or close the customer's periods in the named scopes.")
    def change_consent(
        context: dg.OpExecutionContext, config: ConsentChange, governance: Governance, clock: Clock, files: Files
    ) -> None:
        said = config.model_dump(exclude={"user_id", "action"})
        said["source"] = consent.unidentified(config.source, "in Dagster's Launchpad")
        changed = consent.change(
            *(governance.engine, config.user_id, config.action, clock.now()),
            require_arrived=partial(require_customer, files.warehouse),
            consent_days=governance.consent_days,
            **said,
        )
        metadata = {row["scope"]: row["status"] for row in changed}
        context.log_event(dg.AssetObservation(records, metadata=metadata))
        context.log.info("%s: %s", config.action, metadata)

    @dg.job(
        name="record_consent",
        description="Grant or revoke one customer's consent, from the Launchpad. A revocation voids what waits and "
        f"recalls what was released, at once. Example:\n```yaml\n{CONSENT_EXAMPLE}```",
    )
    def job() -> None:
        change_consent()

    return job
