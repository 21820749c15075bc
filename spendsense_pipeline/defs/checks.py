"""From contract to blocking check: one factory for every table.

What does not belong here: what a column means or may hold (``contracts/``).
"""

import warnings

import dagster as dg
import ibis
import pandas as pd

from spendsense_pipeline.contracts import CONTRACTS, FrameContract, failures


def contract_check(asset: str, partitions: dg.PartitionsDefinition[str] | None) -> dg.AssetChecksDefinition:
    """The blocking check that holds one table (one partition, where it has them) to its contract.

    What breaks it stands in the metadata: column, check, one example and the number of rows.
    """
    contract = CONTRACTS[asset]
    kind = pd.DataFrame if issubclass(contract, FrameContract) else ibis.Table

    def check(table: ibis.Table | pd.DataFrame) -> dg.AssetCheckResult:
        found = failures(contract, table)
        if found.empty:
            return dg.AssetCheckResult(passed=True)
        rows = [dg.TableRecord({str(name): value for name, value in row.items()}) for row in found.to_dict("records")]
        return dg.AssetCheckResult(passed=False, metadata={"failures": dg.MetadataValue.table(rows)})

    check.__annotations__["table"] = kind
    with warnings.catch_warnings():
        # Dagster still calls partitions of a check a preview; without them a check would load every partition.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        decorate = dg.asset_check(
            asset=asset,
            name="contract",
            blocking=True,
            partitions_def=partitions,
            description=f"Each column of `{asset}` is what `contracts/` says; if not, nothing after it runs.",
        )
        return decorate(check)
