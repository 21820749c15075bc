"""How well the detectors do, as one document: generated customers of several seeds, and a bank's own standing orders.

    python -m benchmarks.accuracy --write docs/accuracy.md [--bank FOLDER]

Makes the customers, runs the pipeline's own functions on them in memory and writes what ``evaluation/accuracy.py``
measures. What does not belong here: any measure.
"""

import datetime as dt
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import pandas as pd
from spendsense_pipeline.features.windows import customer_features

from spendsense_pipeline import synthetic, warehouse
from spendsense_pipeline.evaluation import accuracy
from spendsense_pipeline.features.rows import classify
from spendsense_pipeline.features.streams import streams_and_hits
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.ingest import canonical, landing
from spendsense_pipeline.personas.assignment import assign_personas

AS_OF: Final = dt.date(2026, 6, 30)
SETTINGS: Final = {
    "normal, 180 days": (180, False),
    "hard, 180 days": (180, True),
    "hard, 400 days": (400, True),
}
SEEDS: Final = (1, 2, 3)
USERS: Final = 200
BANKS_LAST_DAY: Final = dt.date(1998, 12, 5)
"""The last day of the PKDD'99 bank data ("Berka"), whose standing orders are the only truth that nobody here wrote."""


@dataclass(frozen=True)
class Found:
    """What the pipeline makes of a landed batch on a day."""

    streams: pd.DataFrame
    other_side: pd.Series  # of each stream: the entity id that its hits mostly have
    features: pd.DataFrame
    personas: pd.DataFrame

    def window(self, frame: pd.DataFrame, days: int) -> pd.DataFrame:
        """The rows of one window."""
        return frame[frame["window_days"] == days].reset_index(drop=True)


def found(folder: Path, as_of: dt.date) -> Found:
    """Read a batch as ingest does, and run everything from rows to personas."""
    backend = warehouse.connect()
    surveyed = landing.survey(backend, folder)
    raw = {
        table: landing.read_raw(
            backend, folder, table, batch_id="benchmark", arrival=1, arrived_on=as_of, surveyed=surveyed
        )
        for table in ("users", "accounts", "transactions", "liabilities")
    }
    judged = canonical.judge(raw)
    users, accounts, moved, owed = (canonical.accepted(judged[table]).cache() for table in raw)
    rows = classify(moved, accounts, users, as_of).cache()
    streams, hits = streams_and_hits(rows, as_of)
    features = to_frame(customer_features(rows, moved, accounts, owed, users, streams, as_of, hits=hits).to_pyarrow())
    sides = hits.join(moved.select("transaction_id", "merchant_entity_id"), "transaction_id")
    side = sides.group_by("stream_id").agg(side=sides.merchant_entity_id.mode())
    table = to_frame(streams.left_join(side, "stream_id").drop("stream_id_right").to_pyarrow())
    return Found(table.drop(columns="side"), table["side"], features, assign_personas(features))


def generated(seed: int, days: int, hard: bool, users: int = USERS) -> pd.DataFrame:
    """``signal_accuracy`` of freshly generated customers."""
    made = synthetic.generate(users, seed, as_of=AS_OF, days=days, hard=hard)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "batch"
        synthetic.write(made, folder)
        seen = found(folder, AS_OF)
    personas = [seen.window(seen.personas, window) for window in (30, 180)]
    return accuracy.signal_accuracy(made.truth, seen.streams, seen.window(seen.features, 180), *personas)


def standing_orders(folder: Path, as_of: dt.date = BANKS_LAST_DAY) -> pd.DataFrame:
    """``standing_order_recall`` of a landed batch beside which ``standing_orders.json`` lies."""
    orders = pd.DataFrame(json.loads((folder / "standing_orders.json").read_text(encoding="utf-8")))
    seen = found(folder, as_of)
    return accuracy.standing_order_recall(seen.streams, seen.other_side, orders)


def pooled(measured: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Several measurements as one: numerators and denominators added up, counts too."""
    every = pd.concat(list(measured))
    counts = every["denominator"].isna()
    every = every.assign(numerator=every["numerator"].where(~counts, every["value"]))  # a count adds up too
    summed = every.groupby(["measure", "of"], sort=False)[["numerator", "denominator"]].sum(min_count=1).reset_index()
    return summed.assign(value=summed["numerator"] / summed["denominator"])


def document(tables: dict[str, pd.DataFrame], bank: pd.DataFrame | None, seeds: Iterable[int], users: int) -> str:
    """The text of ``docs/accuracy.md``."""
    lines = [
        "# How well the detectors do",
        "",
        f"Written by `make accuracy`: `spendsense generate --users {users}` for each of the seeds "
        f"{', '.join(map(str, seeds))}, judged on {AS_OF}. Each figure is right ones by all; the measures are defined "
        "in `evaluation/accuracy.py`, what the hard setting adds in `synthetic/trouble.py`. A stream counts as right "
        "only with the planted kind *and* cadence.",
        "",
    ]
    for title, measures in {
        "Streams: of those found, planted (precision)": "stream_precision",
        "Streams: of those planted, found (recall)": "stream_recall",
        "Pay frequency": "pay_frequency",
        "Persona": "persona",
        "Subscriptions found where people shop by habit": "false_subscriptions",
    }.items():
        lines += [f"## {title}", "", f"| | {' | '.join(tables)} |", f"|---|{'---:|' * len(tables)}"]
        kinds = dict.fromkeys(of for table in tables.values() for of in table.loc[table["measure"] == measures, "of"])
        lines += [f"| {of} | {' | '.join(_cell(table, measures, of) for table in tables.values())} |" for of in kinds]
        lines.append("")
    lines += ["## What is taken for what", ""]
    for name, table in tables.items():
        for measure, of in (("pay_frequency_confusion", "pay frequency"), ("persona_confusion", "persona")):
            wrong = table[table["measure"] == measure]
            told = ", ".join(f"{row.of}: {row.numerator:.0f}" for row in wrong.itertuples())
            lines.append(f"- {name}, {of}: {told or 'nothing'}")
    if bank is not None:
        row, bills = bank.iloc[0], bank.iloc[1]
        lines += [
            "",
            "## A real bank's standing orders",
            "",
            f"Of {row['denominator']:.0f} standing orders with three or more executions in the PKDD'99 bank data, "
            f"{row['numerator']:.0f} are found ({row['value']:.4f}); of {bills['denominator']:.0f} bills found, "
            f"{bills['numerator']:.0f} are standing orders.",
        ]
    return "\n".join(lines) + "\n"


def _cell(table: pd.DataFrame, measure: str, of: str) -> str:
    rows = table[(table["measure"] == measure) & (table["of"] == of)]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    if pd.isna(row["denominator"]):
        return f"{row['numerator']:.0f}"
    return f"{row['value']:.4f} ({row['numerator']:.0f}/{row['denominator']:.0f})"


@click.command()
@click.option("--write", "target", type=click.Path(path_type=Path), help="The document to write; printed without.")
@click.option("--bank", type=click.Path(exists=True, path_type=Path), help="A batch with standing_orders.json in it.")
@click.option("--users", default=USERS, show_default=True)
@click.option("--seed", "seeds", multiple=True, type=int, default=SEEDS, show_default=True)
def main(target: Path | None, bank: Path | None, users: int, seeds: tuple[int, ...]) -> None:
    """Measure the detectors on customers whose behaviour is known."""
    tables = {
        name: pooled(generated(seed, days, hard, users) for seed in seeds) for name, (days, hard) in SETTINGS.items()
    }
    text = document(tables, standing_orders(bank) if bank else None, seeds, users)
    if target:
        target.write_text(text, encoding="utf-8")
    else:
        click.echo(text)


if __name__ == "__main__":
    main()
