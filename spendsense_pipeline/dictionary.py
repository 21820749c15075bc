"""The data dictionary, written from contracts and models: ``python -m spendsense_pipeline.dictionary``.

What does not belong here: any definition; those stand with the tables, and the UI shows the same.
"""

import inspect
import sys
from pathlib import Path

from spendsense_pipeline.contracts import CONTRACTS, columns
from spendsense_pipeline.governance.models import (
    Assignment,
    Base,
    ConsentPeriod,
    Decision,
    Recommendation,
    Release,
    UtcTime,
)

TARGET = Path("docs") / "data-dictionary.md"
HEAD = """\
# Data dictionary

Every table and what its columns mean: those of the warehouse, written from the contracts that each run is held to
(`spendsense_pipeline/contracts/`), then the five of the governance database that are assets of the graph
(`governance/models.py`). `python -m spendsense_pipeline.dictionary` writes it anew; Dagster's UI shows the same beside
each asset. Money is in the customer's currency, positive = money in; rates are fractions; null is *unknown*, never
zero.
"""

KEPT: dict[str, type[Base]] = {
    "consent_records": ConsentPeriod,
    "experiment_assignments": Assignment,
    "approval_queue": Recommendation,
    "operator_decisions": Decision,
    "released_recommendations": Release,
}
"""Assets that store no file, and the table of the governance database whose rows they stand for."""


def described(asset: str) -> list[dict[str, str]]:
    """Name, type, unit, meaning and meaning of null of each column of an asset's table; empty where it has none."""
    if asset in CONTRACTS:
        return columns(CONTRACTS[asset])
    return _kept(KEPT[asset]) if asset in KEPT else []


def _kept(model: type[Base]) -> list[dict[str, str]]:
    """The columns of a governance table; meaning and ``null: …`` stand together in a column's ``doc``."""
    found = []
    for column in model.__table__.columns:
        meaning, _, null = (column.doc or "").partition("; null: ")
        found.append(
            {
                "name": column.name,
                "type": "timestamp" if isinstance(column.type, UtcTime) else column.type.python_type.__name__,
                "unit": "",
                "meaning": meaning,
                "null": null if column.nullable else "never null",
            }
        )
    return found


def markdown() -> str:
    """The whole dictionary; tables that share a contract stand under one heading."""
    sharing: dict[str, list[str]] = {}
    for asset, contract in CONTRACTS.items():
        sharing.setdefault(contract.name, []).append(asset)
    sections = [
        *(_section(assets, CONTRACTS[assets[0]].about, list(CONTRACTS[assets[0]].key)) for assets in sharing.values()),
        *(
            # What a model says it is; what follows is for those who write to it.
            _section(
                [asset],
                " ".join((inspect.getdoc(model) or "").partition("\n\n")[0].split()),
                [column.name for column in model.__table__.primary_key],
            )
            for asset, model in KEPT.items()
        ),
    ]
    return "\n".join([HEAD, *sections])


def _section(assets: list[str], about: str, identifying: list[str]) -> str:
    shown = ("type", "unit", "null", "meaning")
    rows = [
        f"| `{column['name']}` | {' | '.join(column[name].replace('|', '/') for name in shown)} |"
        for column in described(assets[0])
    ]
    return "\n".join(
        [
            f"## {', '.join(f'`{asset}`' for asset in assets)}",
            "",
            f"{about} Key: {', '.join(f'`{name}`' for name in identifying)}.",
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
