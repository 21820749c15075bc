"""``python -m benchmarks features --rows 1000000``: ours and its peers in one run, as a Markdown table.

``benchmarks/governance.py`` is a command of its own.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import data, measure

CONTENDERS = {
    "ours": "SpendSense on DuckDB",
    "bare": "floor: one aggregation by customer and payee",
    "pandas_same": "pandas, same definitions",
    "pandas": "pandas, simpler definitions",
    "loop": "query and loop per customer (SQLAlchemy, SQLite)",
    "spark": "SpendSense on Spark local[*]",
}


def features(rows: int, contenders: list[str], repeats: int, folder: Path, results: Path) -> None:
    """Measure the features of both windows on about ``rows`` transactions, and print; ``results`` keeps the tables."""
    tables = data.canonical(folder, rows)
    table = []
    for name in contenders:
        out = results / name
        out.mkdir()
        try:
            found = measure.measure(
                f"features:{name}",
                {"tables": str(tables), "out": str(out)},
                repeats=1 if name == "loop" else repeats,
            )
        except measure.Failed as failed:
            table.append(
                {
                    "contender": CONTENDERS[name],
                    "wall s": f"failed: {failed}",
                    "spread": "",
                    "CPU s": "",
                    "peak GB": "",
                    "customers/s": "",
                }
            )
            continue
        customers = found.told.get("customers", 0)
        table.append(
            {
                "contender": CONTENDERS[name],
                "wall s": f"{found.median:.1f}",
                "spread": found.spread,
                "CPU s": f"{sorted(found.processor)[len(found.processor) // 2]:.1f}",
                "peak GB": f"{found.peak / 1e9:.1f}",
                "customers/s": f"{customers / found.median:,.0f}" if customers else "",
            }
        )
    print(f"features on about {rows:,} transactions, both windows, Parquet to Parquet\n{measure.machine()}\n")
    print("\n".join(measure.table(table)))
    ours, theirs = results / "ours", results / "pandas_same"
    if any(ours.glob("*180d.parquet")) and any(theirs.glob("*180d.parquet")):
        from benchmarks import in_pandas

        shares = [f"{share:.3%} of {what}" for what, share in in_pandas.agreement(ours, theirs).items()]
        print(f"\nOurs and {CONTENDERS['pandas_same']}, are equal in {', '.join(shares)}.")


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=["features"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--only", nargs="+", choices=[*CONTENDERS], default=["ours", "pandas_same", "pandas", "bare", "loop"]
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("data/benchmarks"), help="tables made once and kept")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as results:
        features(given.rows, given.only, given.repeats, given.folder, Path(results))


if __name__ == "__main__":
    main()
