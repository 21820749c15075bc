"""From contract to blocking check: one factory for every table, and the report of what the guardrails found.

What does not belong here: what a column means or may hold (``contracts/``), what a text may say (``guardrails/``).
"""

import inspect
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg
import ibis
import pandas as pd

from spendsense_pipeline import warehouse
from spendsense_pipeline.contracts import CONTRACTS, FrameContract, failures
from spendsense_pipeline.defs.personas import NONE_MATCHED
from spendsense_pipeline.defs.resources import Files
from spendsense_pipeline.evaluation.drift import DATES, DATES_NEEDED, DEVIATIONS, unusual
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.recommendations.guardrails import release_candidates_clean


def contract_checks(
    name: str, keys: Sequence[dg.AssetKey], partitions: dg.PartitionsDefinition | None = None
) -> list[dg.AssetChecksDefinition]:
    """The blocking checks that hold the tables of one step (one partition each, where they have them) to contract.

    ``name`` is the step's: tables that come from one step are checked in one step. What breaks a contract stands in the
    metadata: column, check, one example and the number of rows.
    """
    tables = {key.path[-1]: key for key in sorted(keys) if key.path[-1] in CONTRACTS}
    if not tables:
        return []

    def check(**stored: ibis.Table | pd.DataFrame) -> Iterator[dg.AssetCheckResult]:
        for table, rows in stored.items():
            found = failures(CONTRACTS[table], rows)
            records = [dg.TableRecord({str(n): value for n, value in row.items()}) for row in found.to_dict("records")]
            yield dg.AssetCheckResult(
                asset_key=tables[table],
                check_name="contract",
                passed=found.empty,
                metadata={"failures": dg.MetadataValue.table(records)} if records else {},
            )

    # Dagster reads from the signature which tables to load and as what.
    kinds = {table: pd.DataFrame if issubclass(CONTRACTS[table], FrameContract) else ibis.Table for table in tables}
    parameter = inspect.Parameter.POSITIONAL_OR_KEYWORD
    check.__annotations__.update(kinds)
    check.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # an attribute that inspect documents
        [inspect.Parameter(table, parameter, annotation=kind) for table, kind in kinds.items()]
    )
    with warnings.catch_warnings():
        # Dagster still calls partitions of a check a preview; without them a check would load every partition.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        specs = [
            dg.AssetCheckSpec(
                "contract",
                asset=key,
                blocking=True,
                partitions_def=partitions,
                description=f"Each column of `{table}` is what `contracts/` says; if not, nothing after it runs.",
            )
            for table, key in tables.items()
        ]
    decorate = dg.multi_asset_check(
        name=f"{name}_contract",
        specs=specs,
        ins={table: dg.AssetIn(key) for table, key in tables.items()},
    )
    return [decorate(check)]


def guardrails_check(daily: dg.DailyPartitionsDefinition) -> dg.AssetChecksDefinition:
    """What the guardrails found in the day's drafts: a warning, since what is critical cannot be approved anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.asset_check(
            asset="draft_recommendations",
            name="guardrails",
            partitions_def=daily,
            description="No draft has a finding of a guardrail. One with a critical finding can be approved by nobody; "
            "mend the piece in `prompts/library/`, or write an override.",
        )(_guardrails)


def _guardrails(draft_recommendations: pd.DataFrame) -> dg.AssetCheckResult:
    found = Counter(
        (finding["check"], finding["severity"])
        for findings in draft_recommendations["findings"]
        for finding in json.loads(findings)
    )
    records = [
        dg.TableRecord({"check": name, "severity": severity, "findings": count})
        for (name, severity), count in found.most_common()
    ]
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "critical": len(release_candidates_clean(draft_recommendations)),
            **({"findings": dg.MetadataValue.table(records)} if records else {}),
        },
    )


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
    def check(context: dg.AssetCheckExecutionContext, files: Files) -> dg.AssetCheckResult:
        day, table = context.op_execution_context.partition_key, asset.path[-1]
        keys = [key for key in warehouse.partitions(files.warehouse, table) if key <= day][-(DATES + 1) :]
        earlier = len(keys) - 1
        if earlier < DATES_NEEDED:
            said = f"{earlier} earlier dates are stored; from {DATES_NEEDED} on this is judged"
            return dg.AssetCheckResult(passed=True, severity=dg.AssetCheckSeverity.WARN, description=said)
        stored = warehouse.read(warehouse.connect(), files.warehouse, table, keys)
        measured = to_frame(measure(stored).to_pyarrow())
        found = unusual(measured.assign(as_of=measured["as_of"].astype(str)), day)
        said = f"{len(found)} unusual beside {earlier} earlier dates"
        records = [dg.TableRecord({str(n): value for n, value in row.items()}) for row in found.to_dict("records")]
        return dg.AssetCheckResult(
            passed=found.empty,
            severity=dg.AssetCheckSeverity.WARN,
            description=said,
            metadata={"unusual": dg.MetadataValue.table(records)} if records else {},
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
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
