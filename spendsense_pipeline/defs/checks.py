"""From contract to blocking check: one factory for every table, and the report of what the guardrails found.

What does not belong here: what a column means or may hold (``contracts/``), what a text may say (``guardrails/``).
"""

import datetime as dt
import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import dagster as dg
import ibis
import pandas as pd

from spendsense_pipeline import warehouse
from spendsense_pipeline.contracts import CONTRACTS, Contract
from spendsense_pipeline.contracts.schemas import failures, holds_on_all
from spendsense_pipeline.defs.documentation import tables, unwarned
from spendsense_pipeline.defs.persona_assets import NONE_MATCHED
from spendsense_pipeline.defs.resources import Files, Governance
from spendsense_pipeline.evaluation.drift import DATES, DATES_NEEDED, DEVIATIONS, unusual
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.personas.trust import LEAST_EXPLAINED, REASONS, untrusted
from spendsense_pipeline.recommendations import quality
from spendsense_pipeline.recommendations.facts import explained
from spendsense_pipeline.recommendations.guardrails import release_candidates_clean

Result: TypeAlias = dg.AssetCheckResult
Records: TypeAlias = list[dict[str, Any]]


@unwarned()
def contract_checks(
    name: str, keys: Sequence[dg.AssetKey], partitions: dg.PartitionsDefinition | None = None
) -> list[dg.AssetChecksDefinition]:
    """The blocking checks that hold the tables of one step (each partition that a run stores) to contract.

    ``name`` is the step's: tables that come from one step are checked in one step. What breaks a contract stands in the
    metadata: column, check, one example and the number of rows; in a run over several dates, the date as well.
    """
    checked = {key.path[-1]: key for key in sorted(keys) if key.path[-1] in CONTRACTS}
    if not checked:
        return []

    def check(context: dg.AssetCheckExecutionContext, **stored: ibis.Table) -> Iterator[dg.AssetCheckResult]:
        several = context.has_partition_key_range and len(context.partition_keys) > 1
        for table, rows in stored.items():
            contract = CONTRACTS[table]
            found = _failures_by_date(contract, rows, context.partition_keys) if several else failures(contract, rows)
            yield dg.AssetCheckResult(
                asset_key=checked[table],
                check_name="contract",
                passed=found.empty,
                metadata=tables({"failures": _records(found)}),
            )

    # Dagster reads from the signature which tables to load and as what.
    kinds = dict.fromkeys(checked, ibis.Table)
    parameter = inspect.Parameter.POSITIONAL_OR_KEYWORD
    check.__annotations__.update(kinds)
    check.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # an attribute that inspect documents
        [
            inspect.Parameter(name, parameter, annotation=kind)
            for name, kind in {"context": dg.AssetCheckExecutionContext, **kinds}.items()
        ]
    )
    specs = [
        dg.AssetCheckSpec(
            "contract",
            asset=key,
            blocking=True,
            partitions_def=partitions,  # without them a check would load every partition
            description=f"Each column of `{table}` is what `contracts/` says; if not, nothing after it runs.",
        )
        for table, key in checked.items()
    ]
    ins = {table: dg.AssetIn(key) for table, key in checked.items()}
    return [dg.multi_asset_check(name=f"{name}_contract", specs=specs, ins=ins)(check)]


def _failures_by_date(contract: Contract, rows: ibis.Table, dates: Sequence[str]) -> pd.DataFrame:
    """``failures`` of a table of several dates, each with its date (``as_of``)."""
    if holds_on_all(contract, rows, dates):
        return pd.DataFrame()
    days = {date: dt.date.fromisoformat(date) for date in dates}
    found = [failures(contract, rows.filter(rows.as_of == day)).assign(as_of=date) for date, day in days.items()]
    stray = int(rows.filter(~rows.as_of.isin([*days.values()]).fill_null(False)).count().to_pyarrow().as_py())
    if stray:
        case = {"column": "as_of", "check": "the date of its partition", "failure_case": "another", "failures": stray}
        found.append(pd.DataFrame([case]))
    return pd.concat(found)


@unwarned()
def day_checks(dates: dg.DailyPartitionsDefinition, stale_days: int) -> list[dg.AssetChecksDefinition]:
    """Warnings about a day's drafts, wordings and figures: what is critical in a draft cannot be approved anyway, a
    wording is for a person to mend, and each customer's own row says how far its figures can be trusted."""
    told: dict[Callable[..., Result], tuple[str, str]] = {
        guardrails: (
            "draft_recommendations",
            "No draft has a finding of a guardrail. One with a critical finding can be approved by nobody; mend the "
            "piece in `prompts/library/`, or write an override.",
        ),
        template_quality: (
            "education_templates",
            "Every wording of the day, of the library or a model: 60 to 130 words, grade nine or below, one step and "
            "that last, nothing that its situation does not bear, no two that say the same. Mend the piece in "
            "`prompts/library/`, or reject what a model wrote.",
        ),
        trust: (
            "features_30d",
            f"Warns when more than {MOST_UNTRUSTED:.0%} of the customers are stale (newest transaction older than "
            f"{stale_days} days), unexplained (less than {LEAST_EXPLAINED:.0%} of the rows of 90 days) or without a "
            "known balance: nothing is drafted for any of them. Look at what the last batches brought, and for "
            "unexplained rows at `payees`.",
        ),
    }
    return [
        dg.asset_check(asset=asset, partitions_def=dates, description=description)(check)
        for check, (asset, description) in told.items()
    ]


def _warned(passed: bool, metadata: dict[str, Any], description: str | None = None, **rows: Records) -> Result:
    """A check that warns, with those of the tables that have rows."""
    shown = metadata | tables(rows)
    return Result(passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=shown, description=description)


def guardrails(draft_recommendations: pd.DataFrame) -> Result:
    """What the guardrails found in the day's drafts."""
    found = Counter(
        (finding["check"], finding["severity"])
        for findings in draft_recommendations["findings"]
        for finding in json.loads(findings)
    )
    records = [
        {"check": name, "severity": severity, "findings": count} for (name, severity), count in found.most_common()
    ]
    return _warned(not found, {"critical": len(release_candidates_clean(draft_recommendations))}, findings=records)


def template_quality(education_templates: pd.DataFrame) -> Result:
    """How the day's wordings read."""
    wordings = education_templates.drop_duplicates(["template_id", "template_hash"]).to_dict("records")
    found = quality.template_quality(
        {
            "template_id": row["template_id"],
            "title": row["title"],
            "content": row["content"],
            "facts": json.loads(row["facts"]),
            "slots": json.loads(row["slots"]),
            "holds": {fact["fact"]: fact["band"] for fact in explained(row["situation"])["facts"]},
        }
        for row in wordings
    )
    records = [{"template_id": name, "problem": one} for name, wrong in found.items() for one in wrong]
    return _warned(not found, {"wordings": len(wordings)}, problems=records)


MOST_UNTRUSTED = 0.05
"""Share of the customers of a day that may be stale, unexplained or without balances before the check warns; ours."""


def trust(context: dg.AssetCheckExecutionContext, governance: Governance, features_30d: ibis.Table) -> Result:
    """How far the day's figures can be trusted."""
    days = [dt.date.fromisoformat(key) for key in context.partition_keys]
    known = features_30d.filter(features_30d.as_of.isin(days))
    counted = to_frame(_untrusted(known, governance.stale_days).to_pyarrow()).sort_values("as_of")
    counted["as_of"] = counted["as_of"].astype(str)
    many = (counted[list(REASONS)].max(axis=1) > MOST_UNTRUSTED * counted["customers"]).astype(bool)
    newest = {name: int(value) for row in _records(counted.tail(1)) for name, value in row.items() if name != "as_of"}
    return _warned(not many.any(), newest, dates=_records(counted[many]))


def _records(frame: pd.DataFrame) -> Records:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _untrusted(features: ibis.Table, stale_days: int) -> ibis.Table:
    return features.group_by("as_of").aggregate(
        customers=features.count(),
        **{reason: flag.sum().fill_null(0) for reason, flag in untrusted(features, stale_days).items()},
    )


@unwarned()
def drift_checks(
    daily: dg.DailyPartitionsDefinition, names: Mapping[dg.AssetKey, dg.AssetKey]
) -> list[dg.AssetChecksDefinition]:
    """Warnings where a persona's share or a signal's null rate is not what the dates before let expect.

    ``names``: the key of each asset in this deployment.
    """
    shares = [names[dg.AssetKey(f"persona_assignments_{window}d")] for window in (30, 180)]
    nulls = [names[dg.AssetKey(f"features_{window}d")] for window in (30, 180)]
    return [
        *(_drift_check(daily, asset, "usual_shares", "share of a persona", _shares) for asset in shares),
        *(_drift_check(daily, asset, "usual_nulls", "part of unknown values", _null_rates) for asset in nulls),
    ]


def _drift_check(
    daily: dg.DailyPartitionsDefinition,
    asset: dg.AssetKey,
    name: str,
    watched: str,
    measure: Callable[[ibis.Table], ibis.Table],
) -> dg.AssetChecksDefinition:
    def check(context: dg.AssetCheckExecutionContext, files: Files) -> Result:
        days, table = sorted(context.partition_keys), asset.path[-1]
        keys = warehouse.partitions(files.warehouse, table)
        first = max(sum(key < days[0] for key in keys) - DATES, 0)
        keys = [key for key in keys[first:] if key <= days[-1]]
        if len(keys) - 1 < DATES_NEEDED:
            said = f"{len(keys) - 1} earlier dates are stored; from {DATES_NEEDED} on this is judged"
            return _warned(True, {}, said)
        stored = warehouse.read(warehouse.connect(), files.warehouse, table, keys)
        measured = to_frame(measure(stored).to_pyarrow())
        measured["as_of"] = measured["as_of"].astype(str)
        found = pd.concat([unusual(measured, day).assign(as_of=day) for day in days])
        said = f"{len(found)} unusual beside {len(keys) - 1} earlier dates"
        return _warned(found.empty, {}, said, unusual=_records(found))

    return dg.asset_check(
        asset=asset,
        name=name,
        partitions_def=daily,
        description=f"Warns when the {watched} lies more than {DEVIATIONS} median absolute deviations from the "
        f"last {DATES} dates. Look at what the last batch changed, `quarantined_rows` first.",
    )(check)


def _shares(assigned: ibis.Table) -> ibis.Table:
    label = assigned.is_fallback.ifelse(NONE_MATCHED, assigned.persona)
    counted = assigned.group_by("as_of", name=label).aggregate(customers=assigned.count())
    whole = ibis.window(group_by="as_of")
    return counted.select("as_of", "name", value=counted.customers / counted.customers.sum().over(whole))


def _null_rates(features: ibis.Table) -> ibis.Table:
    known = features.group_by("as_of").aggregate(
        **{name: features[name].isnull().mean() for name in features.columns if name != "as_of"}
    )
    return known.pivot_longer([name for name in known.columns if name != "as_of"], names_to="name", values_to="value")
