"""Ours and its peers in one run, as Markdown tables with the machine, the versions, medians and spread.

python -m benchmarks all                                          # small sizes: some minutes
python -m benchmarks whole-way --customers 75 1000 10000
python -m benchmarks governance --rows 10000 1000000 --write docs/benchmarks.md
"""

import argparse
import dataclasses
import re
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import daily, data, governance, in_pandas, ingest, measure, service
from benchmarks.whole_way import ORCHESTRATION

CONTENDERS = {
    "compiling": "compiling the kernels, once per version",
    "ours": "SpendSense",
    "warm": "SpendSense, in one warm process (CPU of both runs)",
    "warm_threads": "SpendSense, in the threads of one warm process (CPU of both runs)",
    "insights": "SpendSense, with insights and the forecast",
    "many_dates": "SpendSense, thirty dates in one run",
    "spark": "SpendSense on Spark local[2]",
    "bare": "floor: one aggregation by customer and payee",
    "pandas_same": "pandas, the first edition's definitions",
    "pandas": "pandas, simpler definitions",
    "loop": "query and loop per customer (SQLAlchemy, SQLite)",
}
OURS = ("ours", "warm", "warm_threads", "insights", "many_dates", "spark")
FEATURES = """Streams, cards and the features of both windows, Parquet to Parquet, for each size and contender:

  compiling    the kernels into a fresh folder; measured once, and no part of the rows below
  ours         a process for each core
  warm         one process that did the same just before, a range after another
  warm_threads the same in a thread for each core: compiled kernels, Arrow and DuckDB run side by side in one process
  insights     as ours, with insights and the forecast of the balance
  many_dates   thirty dates in one run instead of one
  spark        Spark local[2]; needs the extra `spark` and Java 17
  bare         the floor: one aggregation in DuckDB
  pandas_same  pandas, by the definitions of the first edition; where both are measured, how far they agree
  pandas       pandas, simpler definitions
  loop         a query and a loop for each customer

Then `spendsense profile USER --window 77` in CPU seconds, with --stored customers in the warehouse (0: left out).
The tables are made once per size and kept in --folder, stored as the warehouse stores them.
"""
Lines = Iterable[str]


def features(rows: Sequence[int], only: Sequence[str], stored: int, repeats: int, folder: Path) -> Lines:
    """The features of both windows, and one profile."""
    table, equal = [], []
    with tempfile.TemporaryDirectory(dir=folder) as kernels:
        cache, nothing = {"cache": kernels}, dict.fromkeys(("spread", "CPU s", "peak GB", "customers/s"), "")
        if "compiling" in only or set(only) & set(OURS):
            found = measure.measure("features:compiling", cache, repeats=1)
            row = {"transactions": "any", "contender": CONTENDERS["compiling"]}
            table.append(row | shown(found) | {"customers/s": ""})
        for number in rows:
            tables = data.canonical(folder, number)
            exact = pq.read_metadata(tables / "transactions.parquet").num_rows
            with tempfile.TemporaryDirectory(dir=folder) as results:
                for name in [name for name in CONTENDERS if name in only and name != "compiling"]:
                    (out := Path(results) / name).mkdir()
                    options = {"tables": str(tables), "out": str(out), **(cache if name in OURS else {})}
                    row = {"transactions": f"{exact:,}", "contender": CONTENDERS[name]}
                    try:
                        found = measure.measure(
                            f"features:{name}", options, repeats=1 if name in ("loop", "spark") else repeats
                        )
                    except measure.Failed as failed:
                        table.append(row | {"wall s": f"failed: {failed}"} | nothing)
                        continue
                    customers = found.told.get("customers", 0)
                    table.append(
                        row | shown(found) | {"customers/s": rate(customers, found.median) if customers else ""}
                    )
                ours, theirs = Path(results) / "ours", Path(results) / "pandas_same"
                if any(ours.glob("*180d.parquet")) and any(theirs.glob("*180d.parquet")):
                    shares = [f"{share:.3%} of {what}" for what, share in in_pandas.agreement(ours, theirs).items()]
                    equal.append(
                        f"{exact:,}: {CONTENDERS['ours']} and {CONTENDERS['pandas_same']} are equal in "
                        f"{', '.join(shares)}."
                    )
    yield "Streams, cards and both windows, Parquet to Parquet; the contenders are in `benchmarks/features.py`."
    yield ""
    yield from measure.table(table)
    for line in equal:
        yield ""
        yield line
    if stored:
        tables = data.stored(folder, stored)
        found = repeated("features:profile", {"tables": str(tables)}, repeats, folder)
        used = [one["command"] for one in found.said]
        yield ""
        yield (
            f"`spendsense profile USER --window 77` with {found.told['customers']:,} customers stored: "
            f"{statistics.median(used):.2f} CPU seconds ({min(used):.2f}–{max(used):.2f}), "
            f"{found.median:.2f} s, {found.peak / 1e9:.2f} GB."
        )


def making(customers: Sequence[int], repeats: int, folder: Path, memory: str | None) -> Lines:
    """Generating, and ingesting three formats."""
    made, read = [], []
    for number in customers:
        found = repeated("ingest:generate", {"customers": number}, repeats, folder)
        made.append(
            {"customers": f"{number:,}", "transactions": f"{found.told['rows']:,}"}
            | shown(found)
            | {"of it in memory s": f"{statistics.median(one['making'] for one in found.said):.1f}"}
            | {"transactions/s": rate(found.told["rows"], found.median)}
        )
        formats = ingest.batches(folder, number)
        for kind, (name, _, _) in ingest.FORMATS.items():
            batch = formats / kind
            ours = repeated("ingest:ours", {"batch": str(batch), "memory": memory}, repeats, folder)
            bare = repeated("ingest:bare", {"batch": str(batch), "kind": kind}, repeats, folder)
            for contender, run in (("SpendSense, files to valid tables", ours), ("floor: bare DuckDB read", bare)):
                read.append(
                    {
                        "customers": f"{number:,}",
                        "format": name,
                        "MB": f"{(batch / f'transactions.{kind}').stat().st_size / 1e6:,.1f}",
                        "contender": contender,
                    }
                    | shown(run)
                    | {"transactions/s": rate(found.told["rows"], run.median)}
                    | {"times the floor": f"{run.median / bare.median:.1f}"}
                )
    yield "Generating 180 days, to a batch on disk:"
    yield ""
    yield from measure.table(made)
    yield ""
    yield "The same transactions to valid, sorted tables, beside a bare DuckDB read of the same file to Parquet:"
    yield ""
    yield from measure.table(read)


def drafting(customers: Sequence[int], repeats: int, folder: Path, memory: str | None) -> Lines:
    """Drafts, and requests against customers."""
    largest = max(customers)
    run = folder / f"run-{largest}"
    if not (run / "_SUCCESS").exists():
        if run.exists():
            shutil.rmtree(run)
        batch = data.generated(folder, largest)
        way = {"batch": str(batch), "out": str(run), "day": str(data.AS_OF), "memory": memory}
        measure.measure("whole_way:unreviewed", way, repeats=1)
        (run / "_SUCCESS").touch()
    options = {"run": str(run), "day": str(data.AS_OF)}
    table = []
    for name, told in (
        ("ours", "SpendSense: chosen, filled in, judged"),
        ("bare", "floor: Jinja2, the same education"),
    ):
        found = measure.measure(f"drafts:{name}", options, repeats=repeats)
        table.append(
            {"contender": told, "customers": f"{found.told['customers']:,}", "drafts": f"{found.told['drafts']:,}"}
            | shown(found)
            | {"customers/s": rate(found.told["customers"], found.median)}
        )
    yield f"The drafts of a day of {largest:,} people, those with consent:"
    yield ""
    yield from measure.table(table)
    yield ""
    yield "Requests where nothing was written before, had everybody consent; a request per customer is what a direct"
    yield "use of a model takes:"
    yield ""
    sizes = measure.measure("drafts:requests", options | {"customers": sorted(customers)}, repeats=1).told["sizes"]
    yield from measure.table(
        [
            {
                "customers": f"{one['customers']:,}",
                "requests, one per situation": f"{one['requests']:,}",
                "requests, one per customer": f"{one['customers']:,}",
                "share": f"{one['requests'] / one['customers']:.1%}",
                "situations without a piece in the library": one["unserved"],
            }
            for one in sizes
        ]
    )


def governing(rows: Sequence[int], open_: int, databases: Sequence[str]) -> Lines:
    """The governance database as it fills."""
    yardstick = governance.one_hash()
    yield f"One sha256 of 300 bytes: {yardstick * 1e6:.2f} µs."
    yield ""
    table = [row for number in rows for kind in databases for row in governance.rows_of(kind, number, open_, yardstick)]
    yield from measure.table(table)


def serving(databases: Sequence[str], parts: Sequence[str], sizes: service.Sizes) -> Lines:
    """The service over HTTP."""
    yield from measure.table([row for kind in databases for row in service.rows_of(kind, sizes, parts)])


def whole_way(customers: Sequence[int], repeats: int, folder: Path, memory: str | None) -> Lines:
    """Landing to release, stage by stage."""
    columns, counted = {}, []
    for number in customers:
        way = {"batch": str(data.generated(folder, number)), "day": str(data.AS_OF), "memory": memory}
        found = repeated("whole_way:whole_way", way, repeats, folder)
        for one, elapsed, wall in zip(found.said, found.elapsed, found.wall, strict=True):
            one["stages"]["start and imports"] += elapsed - wall
        stages = {
            stage: statistics.median(one["stages"][stage] for one in found.said) for stage in found.told["stages"]
        }
        columns[f"{number:,}"] = stages
        total = statistics.median(found.elapsed)
        share = sum(stages[name] for name in ORCHESTRATION) / sum(stages.values())
        counted.append(
            {"customers": f"{number:,}"}
            | {name: f"{count:,}" for name, count in found.told["counts"].items()}
            | {"wall s": f"{total:.1f}", "spread": measure.spread(found.elapsed)}
            | {"CPU s": f"{statistics.median(found.processor):.1f}", "peak GB": f"{found.peak / 1e9:.1f}"}
            | {"orchestration": f"{share:.0%}", "customers/s": rate(number, total)}
        )
    yield "From a landed batch to released drafts in one process (`benchmarks/whole_way.py`), Python's start included:"
    yield ""
    yield from measure.table(counted)
    yield ""
    yield f"Seconds by stage for so many customers; orchestration is {', '.join(ORCHESTRATION)}:"
    yield ""
    yield from measure.table(list(beside("stage", columns, "{:.2f}")))


def days(customers: Sequence[int], folder: Path, memory: str | None) -> Lines:
    """A second and a third day beside the first."""
    for number in customers:
        first, second = daily.batches(folder, number)
        options = {"first": str(first), "second": str(second), "day": str(data.AS_OF), "memory": memory}
        found = repeated("daily:three_days", options, 1, folder)
        told = found.told
        yield f"{number:,} people, one run: all history but a day on the first, that day's transactions on the second,"
        yield f"and on the third no batch. At most {found.peak / 1e9:.1f} GB over all processes."
        yield ""
        figures = {f"{name} day": one["figures"] for name, one in told.items()}
        yield from measure.table(list(beside("figure", figures, "{:,}")))
        for kind, title in (("stages", "seconds by stage"), ("processor", "CPU seconds by stage")):
            columns = {f"{name} day": one[kind] | {"all": sum(one[kind].values())} for name, one in told.items()}
            yield ""
            yield from measure.table(list(beside(title, columns, "{:.2f}")))
        yield ""
        again = repeated("daily:recomputed", options, 1, folder).told
        by_days, anew = told["third"]["tables"], again["tables"]
        equal = [table for table in anew if anew[table] == by_days[table]]
        seconds, same = sum(again["stages"].values()), sum(anew[table][0] for table in equal)
        yield f"The third day as from nothing, every row judged anew: {seconds:.0f} s. Equal row for row to what three"
        yield f"days left are {', '.join(equal)}: {same:,} rows."
        for table in [table for table in anew if table not in equal]:
            yield f"**{table} differs**: {by_days[table][0]:,} rows after the days, {anew[table][0]:,} as from nothing."
        yield ""


def repeated(contender: str, options: dict[str, Any], repeats: int, folder: Path) -> measure.Measured:
    """Measure a contender that writes to ``out``: a fresh folder each time."""
    runs = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=folder) as out:
            runs.append(measure.measure(contender, options | {"out": out}, repeats=1))
    return measure.Measured(
        *(tuple(getattr(run, name)[0] for run in runs) for name in ("wall", "elapsed", "processor")),
        max(run.peak for run in runs),
        tuple(run.told for run in runs),
    )


def shown(found: measure.Measured) -> dict[str, str]:
    """The columns that every table has."""
    return {
        "wall s": f"{found.median:.1f}",
        "spread": found.spread,
        "CPU s": f"{statistics.median(found.processor):.1f}",
        "peak GB": f"{found.peak / 1e9:.1f}",
    }


def rate(number: float, seconds: float) -> str:
    """So many a second."""
    return f"{number / seconds:,.0f}"


def beside(key: str, columns: dict[str, dict[str, float]], form: str) -> Iterator[dict[str, str]]:
    """Figures of the same names side by side."""
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        shown = {title: form.format(column[name]) if name in column else "" for title, column in columns.items()}
        yield {key: name, **shown}


def write(document: Path, title: str, lines: Sequence[str]) -> None:
    """Put a section in the place of the one with its title, or at the end."""
    text = document.read_text(encoding="utf-8") if document.exists() else "# Benchmarks\n\n"
    section = f"## {title}\n\n" + "\n".join(lines).strip() + "\n\n"
    found = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    text = found.sub(lambda _: section, text) if found.search(text) else f"{text.rstrip()}\n\n{section}"
    document.write_text(text.rstrip() + "\n", encoding="utf-8")


def _sizes(told: argparse.Namespace) -> dict[str, int]:
    return {field.name: getattr(told, field.name) for field in dataclasses.fields(service.Sizes)}


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--repeats", type=int, default=3)
    common.add_argument(
        "--folder", type=Path, default=Path("data/benchmarks"), help="what is made once and kept; delete after a change"
    )
    common.add_argument("--write", type=Path, help="a document in which the sections measured are replaced")
    commands = parser.add_subparsers(dest="what", required=True)
    sections: dict[str, tuple[str, Callable[[argparse.Namespace], Lines]]] = {
        "features": ("Features", lambda told: features(told.rows, told.only, told.stored, told.repeats, told.folder)),
        "ingest": (
            "Generating and ingesting",
            lambda told: making(told.customers, told.repeats, told.folder, told.memory),
        ),
        "drafts": ("Drafts", lambda told: drafting(told.customers, told.repeats, told.folder, told.memory)),
        "governance": ("Governance", lambda told: governing(told.rows, told.open, told.databases)),
        "service": ("The service", lambda told: serving(told.databases, told.only, service.Sizes(**_sizes(told)))),
        "whole-way": ("The whole way", lambda told: whole_way(told.customers, told.repeats, told.folder, told.memory)),
        "daily": ("A day after another", lambda told: days(told.customers, told.folder, told.memory)),
    }
    every = {
        name: commands.add_parser(
            name,
            parents=[common],
            description=FEATURES if name == "features" else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name in sections
    }
    every["features"].add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    every["features"].add_argument(
        "--only", nargs="+", choices=[*CONTENDERS], default=[name for name in CONTENDERS if name != "spark"]
    )
    every["features"].add_argument("--stored", type=int, default=10_000, help="customers stored beside a profile's")
    every["governance"].add_argument("--rows", type=int, nargs="+", default=[10_000])
    every["governance"].add_argument("--open", type=int, default=10_000, help="how many recommendations are open")
    every["governance"].add_argument(
        "--databases", nargs="+", default=["sqlite", "postgresql"], help="or the URL of an empty database"
    )
    every["service"].add_argument(
        "--databases", nargs="+", default=["sqlite", "postgresql"], help="or the URL of an empty database"
    )
    every["service"].add_argument("--only", nargs="+", choices=service.PARTS, default=list(service.PARTS))
    for field in dataclasses.fields(service.Sizes):
        every["service"].add_argument(f"--{field.name}", type=int, default=field.default)
    for name, sizes in {
        "ingest": [1_000],
        "drafts": [100, 1_000],
        "whole-way": [75, 1_000],
        "daily": [1_000],
    }.items():
        every[name].add_argument("--customers", type=int, nargs="+", default=sizes)
        every[name].add_argument("--memory", help="what the pipeline's engine may take, e.g. 6GB; else its own default")
    commands.add_parser("all", parents=[common], help="every one at its default size")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in sections if given.what == "all" else [given.what]:
        title, section = sections[name]
        told = argparse.Namespace(**(vars(every[name].parse_args([])) | vars(given)))
        print(f"## {title}\n\n{measure.machine()}\n", flush=True)
        lines = [measure.machine(), ""]
        limit = getattr(told, "memory", None)
        for line in [*([f"With `--memory {limit}`.", ""] if limit else []), *section(told)]:
            print(line, flush=True)
            lines.append(line)
        print(flush=True)
        if given.write:
            write(given.write, title, lines)


if __name__ == "__main__":
    main()
