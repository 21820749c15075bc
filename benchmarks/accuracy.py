"""How well the detectors do, as one document: generated customers of several seeds, and a bank's own standing orders.

    python -m benchmarks.accuracy --write docs/accuracy.md [--bank FOLDER]

Makes the customers, runs the pipeline's own functions on them in memory and writes what ``evaluation/accuracy.py``
measures. What does not belong here: any measure.
"""

import datetime as dt
import json
import multiprocessing
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import pandas as pd
import pyarrow as pa

from spendsense_pipeline import synthetic, warehouse
from spendsense_pipeline.evaluation import accuracy
from spendsense_pipeline.features.compilation import make_ready
from spendsense_pipeline.features.compiled import Mode, choose
from spendsense_pipeline.features.descriptors import Payees
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.ingest import canonical, landing
from spendsense_pipeline.payees.census import census
from spendsense_pipeline.payees.population import of_payees
from spendsense_pipeline.personas.assignment import assign_personas
from spendsense_pipeline.settings import Settings
from spendsense_pipeline.synthetic.raw import COUNTRIES

AS_OF: Final = dt.date(2026, 6, 30)


@dataclass(frozen=True)
class Setting:
    """One way of making customers: ``countries`` and ``evidence`` are of raw ones."""

    days: int
    hard: bool = False
    countries: tuple[str, ...] = ()
    evidence: str = "bare"


SETTINGS: Final = {
    "normal, 180 days": Setting(180),
    "hard, 180 days": Setting(180, hard=True),
    "hard, 400 days": Setting(400, hard=True),
    "raw with MCC": Setting(400, countries=COUNTRIES, evidence="mcc"),
    "raw bare": Setting(400, countries=COUNTRIES),
}
BY_COUNTRY: Final = {
    f"{name}, {country}": (name, country) for name, setting in SETTINGS.items() for country in setting.countries
}
_PRECISION: Final = (0.99, 0.97, 0.97, 0.95, 0.90)
_RECALL: Final = (0.99, 0.97, 0.97, 0.93, 0.85)
AIMS: Final[dict[tuple[str, str], tuple[float | None, ...]]] = {
    ("stream_precision", "all"): _PRECISION,
    ("stream_recall", "all"): _RECALL,
    ("subscriptions_that_are_none", "all"): (None, None, None, 0.01, 0.01),
    ("pay_frequency", "all"): (0.97, 0.97, 0.97, 0.95, 0.93),
    ("regular_income", "all"): (None, None, None, 0.95, 0.93),
    ("spending", "30 days"): (None, None, None, 0.98, 0.98),
    ("spending", "180 days"): (None, None, None, 0.98, 0.98),
    ("persona", "all"): (0.97, 0.96, 0.96, 0.95, 0.90),
}
"""What each figure must reach in each of the settings, in their order; subscriptions that are none are a ceiling."""

TITLES: Final = {
    "stream_precision": "streams found that are planted, kind and cadence",
    "stream_recall": "streams planted that are found, kind and cadence",
    "subscriptions_that_are_none": "subscriptions that are none, for each customer (at most)",
    "pay_frequency": "pay frequency",
    "regular_income": "regular income within 10 %",
    "spending": "spending within 3 %",
    "persona": "persona",
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
    # The workers of this very module choose how kernels run before they load one.
    from spendsense_pipeline.features.signals import EPOCH, Customers, evidence_of, tables_of

    backend = warehouse.connect()
    surveyed = landing.survey(backend, folder)
    raw = {
        table: landing.read_raw(
            backend, folder, table, batch_id="benchmark", arrival=1, arrived_on=as_of, surveyed=surveyed
        )
        for table in ("users", "accounts", "transactions", "liabilities")
    }
    judged = canonical.judge(raw)
    customers = Customers(**{table: canonical.accepted(judged[table]).to_pyarrow() for table in raw})
    day = (as_of - EPOCH).days
    counted = census(canonical.accepted(judged["transactions"]), canonical.accepted(judged["accounts"]), as_of).payees
    shown = of_payees(pa.Table.from_pandas(counted, preserve_index=False))
    evidence = evidence_of(customers, [day], [30, 180], Payees(populations={day: shown}))
    signals = tables_of(evidence)
    streams, features = to_frame(signals.streams), to_frame(signals.features)
    sides = to_frame(customers.transactions.select(["transaction_id", "merchant_entity_id"]))
    hits = to_frame(counted_rows(evidence, customers.transactions)).merge(sides, on="transaction_id")
    side = hits.dropna().groupby("stream_id")["merchant_entity_id"].agg(lambda ids: ids.mode().iloc[0])
    return Found(streams, streams["stream_id"].map(side), features, assign_personas(features))


def counted_rows(e: Any, transactions: pa.Table) -> pa.Table:
    """The transactions that the streams of the last date of the evidence count: ``stream_id, transaction_id``."""
    from spendsense_pipeline.features import tables
    from spendsense_pipeline.features.signals import streams_on

    last = len(e.dates) - 1
    stand = streams_on(e, last, tables.factors_of(e.held, e.on[last]))
    s, ids = stand.s, e.texts.stream_id.take(pa.array(stand.place))
    hits = [np.arange(first, first + count) for first, count in zip(s["first_hit"], s["occurrences"], strict=True)]
    rows = e.counted["number"][np.concatenate(hits)] if hits else np.empty(0, "i8")
    return pa.table(
        {
            "stream_id": ids.take(pa.array(np.repeat(np.arange(len(s)), s["occurrences"]))),
            "transaction_id": transactions["transaction_id"].take(pa.array(e.rows.place[rows])),
        }
    )


def generated(seed: int, setting: Setting, users: int = USERS) -> dict[str, pd.DataFrame]:
    """``signal_accuracy`` of freshly generated customers, by country; under an empty name where there is none."""
    if not setting.countries:
        return {"": measured(synthetic.generate(users, seed, as_of=AS_OF, days=setting.days, hard=setting.hard))}
    return {
        country: measured(
            synthetic.generate_raw(
                users, seed, as_of=AS_OF, days=setting.days, country=country, evidence=setting.evidence
            )
        )
        for country in setting.countries
    }


def measured(made: synthetic.Synthetic) -> pd.DataFrame:
    """``signal_accuracy`` of what the pipeline makes of generated customers."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "batch"
        synthetic.write(made, folder)
        seen = found(folder, AS_OF)
    features = {window: seen.window(seen.features, window) for window in (30, 180)}
    personas = [seen.window(seen.personas, window) for window in (30, 180)]
    return accuracy.signal_accuracy(made.truth, seen.streams, features[180], *personas, features[30])


def standing_orders(folder: Path, as_of: dt.date = BANKS_LAST_DAY) -> pd.DataFrame:
    """``standing_order_recall`` of a landed batch beside which ``standing_orders.json`` lies."""
    orders = pd.DataFrame(json.loads((folder / "standing_orders.json").read_text(encoding="utf-8")))
    seen = found(folder, as_of)
    return standing_order_recall(seen.streams, seen.other_side, orders)


def standing_order_recall(
    streams: pd.DataFrame, payees: pd.Series, orders: pd.DataFrame, least: int = accuracy.WORTH_LISTING
) -> pd.DataFrame:
    """How many of a bank's own standing orders with ``least`` or more executions are found, and what else is.

    ``orders`` has ``user_id, merchant_entity_id, amount, occurrences``; ``payees`` is the other side's id of each
    stream. Found means a stream of the customer to that payee at that amount (1 %). ``bills_standing``: the bills
    found that are standing orders, by bills found; a customer may also pay regularly without an order.
    """
    wanted = orders[orders["occurrences"] >= least].reset_index(drop=True)
    found = pd.DataFrame(
        {"user_id": streams["user_id"], "merchant_entity_id": payees, "typical": streams["typical_amount"]}
    )
    pairs = wanted.reset_index(names="order").merge(found, on=["user_id", "merchant_entity_id"])
    hit = pairs.loc[(pairs["typical"] / pairs["amount"] - 1).abs() <= 0.01, "order"].unique()
    ordered = set(zip(orders["user_id"], orders["merchant_entity_id"], strict=True))
    bills = found[streams["kind"] == "bill"]
    known = [side in ordered for side in zip(bills["user_id"], bills["merchant_entity_id"], strict=True)]
    rows = [
        accuracy.share_of("standing_orders", "all", wanted.index.isin(hit)),
        accuracy.share_of("bills_standing", "all", known),
    ]
    return pd.DataFrame(rows, columns=accuracy.COLUMNS)


def pooled(measurements: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Several measurements as one: numerators and denominators added up, counts too."""
    every = pd.concat(list(measurements))
    counts = every["denominator"].isna()
    every = every.assign(numerator=every["numerator"].where(~counts, every["value"]))  # a count adds up too
    summed = every.groupby(["measure", "of"], sort=False)[["numerator", "denominator"]].sum(min_count=1).reset_index()
    return summed.assign(value=summed["numerator"] / summed["denominator"])


def document(
    tables: dict[str, pd.DataFrame],
    countries: dict[str, pd.DataFrame],
    bank: pd.DataFrame | None,
    seeds: Iterable[int],
    users: int,
) -> str:
    """The text of ``docs/accuracy.md``."""
    lines = [
        "# How well the detectors do",
        "",
        f"Written by `make accuracy`: `spendsense generate --users {users}` for each of the seeds "
        f"{', '.join(map(str, seeds))} (with `--raw`, for each country), as of {AS_OF}. Each figure is right ones by "
        "all; the measures are defined in `evaluation/accuracy.py`, what the hard setting adds in "
        "`synthetic/trouble.py`, what raw exports look like in `synthetic/data`. A stream counts as right only with "
        "the planted kind *and* cadence. Behind each figure stands its aim; **bold** figures miss it.",
        "",
        "## At a glance",
        "",
        *_table(tables, {f"{TITLES[measure]}{_window(of)}": (measure, of) for measure, of in AIMS}, aims=True),
        "",
        "## Raw exports by country",
        "",
        *_table(countries, {f"{TITLES[measure]}{_window(of)}": (measure, of) for measure, of in AIMS}),
        "",
    ]
    for title, measure in {
        "Streams: of those found, planted (precision)": "stream_precision",
        "Streams: of those planted, found (recall)": "stream_recall",
        "Pay frequency": "pay_frequency",
        "Persona": "persona",
        "Subscriptions found where people shop by habit": "false_subscriptions",
    }.items():
        groups = dict.fromkeys(of for table in tables.values() for of in table.loc[table["measure"] == measure, "of"])
        lines += [f"## {title}", "", *_table(tables, {of: (measure, of) for of in groups}), ""]
    lines += ["## What is mistaken for what", ""]
    for name, table in tables.items():
        for measure, of in (("pay_frequency_confusion", "pay frequency"), ("persona_confusion", "persona")):
            wrong = table[table["measure"] == measure]
            pairs = ", ".join(f"{row.of}: {row.numerator:.0f}" for row in wrong.itertuples())
            lines.append(f"- {name}, {of}: {pairs or 'nothing'}")
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


def _window(of: str) -> str:
    return "" if of == "all" else f", {of}"


def _table(tables: dict[str, pd.DataFrame], rows: dict[str, tuple[str, str]], *, aims: bool = False) -> list[str]:
    lines = [f"| | {' | '.join(tables)} |", f"|---|{'---:|' * len(tables)}"]
    for title, (measure, of) in rows.items():
        wanted = AIMS[measure, of] if aims else (None,) * len(tables)
        cells = [_cell(table, measure, of, aim) for table, aim in zip(tables.values(), wanted, strict=True)]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _cell(table: pd.DataFrame, measure: str, of: str, aim: float | None = None) -> str:
    rows = table[(table["measure"] == measure) & (table["of"] == of)]
    beside = "" if aim is None else f" aim {aim:.2f}"
    if rows.empty:
        return ""
    row = rows.iloc[0]
    if pd.isna(row["numerator"]):
        return f"not there yet{beside}"
    if pd.isna(row["denominator"]):
        return f"{row['numerator']:.0f}"
    missed = aim is not None and (
        row["value"] > aim if measure == "subscriptions_that_are_none" else row["value"] < aim
    )
    figure = f"{row['value']:.4f}"
    return f"{f'**{figure}**' if missed else figure} ({row['numerator']:.0f}/{row['denominator']:.0f}){beside}"


@click.command()
@click.option("--write", "target", type=click.Path(path_type=Path), help="The document to write; printed without.")
@click.option("--bank", type=click.Path(exists=True, path_type=Path), help="A batch with standing_orders.json in it.")
@click.option("--users", default=USERS, show_default=True)
@click.option("--seed", "seeds", multiple=True, type=int, default=SEEDS, show_default=True)
def main(target: Path | None, bank: Path | None, users: int, seeds: tuple[int, ...]) -> None:
    """Measure the detectors on customers whose behaviour is known."""
    kernels = Settings().kernels_folder
    make_ready(kernels, click.echo)
    with ProcessPoolExecutor(
        os.cpu_count(), multiprocessing.get_context("spawn"), initializer=choose, initargs=(Mode(kernels),)
    ) as pool:
        asked = {
            name: [pool.submit(generated, seed, setting, users) for seed in seeds] for name, setting in SETTINGS.items()
        }
        parts = {name: [each.result() for each in waiting] for name, waiting in asked.items()}
    tables = {name: pooled(each for made in found_by for each in made.values()) for name, found_by in parts.items()}
    countries = {title: pooled(made[country] for made in parts[name]) for title, (name, country) in BY_COUNTRY.items()}
    text = document(tables, countries, standing_orders(bank) if bank else None, seeds, users)
    if target:
        target.write_text(text, encoding="utf-8")
    else:
        click.echo(text)


if __name__ == "__main__":
    main()
