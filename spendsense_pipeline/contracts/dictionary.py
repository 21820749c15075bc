"""The data dictionary, written from the contracts: ``python -m spendsense_pipeline.contracts.dictionary``.

What does not belong here: any definition; those stand in the contracts, and the UI shows the same.
"""

import inspect
import sys
from pathlib import Path

from spendsense_pipeline.contracts import CONTRACTS, Contract, columns, key

TARGET = Path("docs") / "data-dictionary.md"
HEAD = """\
# Data dictionary

Every table of the warehouse and what its columns mean, written from the contracts that each run is held to
(`spendsense_pipeline/contracts/`); `python -m spendsense_pipeline.contracts.dictionary` writes it anew. Dagster's UI
shows the same beside each asset. Money is in the customer's currency, positive = money in; rates are fractions; null
is *unknown*, never zero.
"""


def markdown() -> str:
    """The whole dictionary; tables that share a contract stand under one heading."""
    sharing: dict[Contract, list[str]] = {}
    for asset, contract in CONTRACTS.items():
        sharing.setdefault(contract, []).append(asset)
    return "\n".join([HEAD, *(_section(assets, contract) for contract, assets in sharing.items())])


def _section(assets: list[str], contract: Contract) -> str:
    shown = ("type", "unit", "null", "meaning")
    rows = [
        f"| `{column['name']}` | {' | '.join(column[name].replace('|', '/') for name in shown)} |"
        for column in columns(contract)
    ]
    return "\n".join(
        [
            f"## {', '.join(f'`{asset}`' for asset in assets)}",
            "",
            f"{inspect.getdoc(contract)} Key: {', '.join(f'`{name}`' for name in key(contract))}.",
            "",
            "| column | type | unit | null means | definition |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Write the dictionary where the documentation lies, seen from the project's folder."""
    TARGET.write_text(markdown(), encoding="utf-8")
    sys.stdout.write(f"{TARGET} is written\n")


if __name__ == "__main__":
    main()
