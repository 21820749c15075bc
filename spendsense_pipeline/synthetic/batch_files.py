"""Writing generated customers as a landing batch.

What does not belong here: reading batches, which is the business of ``ingest``.
"""

import gzip
import json
import shutil
import uuid
from pathlib import Path

import pandas as pd

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.synthetic.generate import Synthetic

# Text is what a person wants to look into; for very many it is only slow (writing 10,000 users as text took
# three times as long as making them), and transactions become one Parquet file.
MOST_USERS_AS_TEXT = 5_000
_CHUNK = 200_000


def write(synthetic: Synthetic, out: Path) -> None:
    """Write the batch folder ``out``: the four tables and ``truth.json``, all or nothing.

    Users, accounts and liabilities are JSON arrays; transactions are ``transactions.jsonl.gz``, or
    ``transactions.parquet`` above 5,000 users. The same customers give the same bytes.

    Raises SpendSenseError (``target_exists``) where ``out`` is a file or a folder with something in it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SpendSenseError(f"{out} exists and is not empty: name a new folder.", code="target_exists")
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the rename stays on one file system. The name never reaches the batch.
    unfinished = out.parent / f".{out.name}.{uuid.uuid4().hex}"
    unfinished.mkdir()
    try:
        for name in ("users", "accounts", "liabilities"):
            synthetic.tables[name].to_json(unfinished / f"{name}.json", orient="records")
        transactions = synthetic.tables["transactions"]
        if len(synthetic.tables["users"]) > MOST_USERS_AS_TEXT:
            transactions.to_parquet(unfinished / "transactions.parquet", index=False)
        else:
            _write_lines(transactions, unfinished / "transactions.jsonl.gz")
        (unfinished / "truth.json").write_text(json.dumps(synthetic.truth), encoding="utf-8")
        if out.exists():
            out.rmdir()
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_lines(frame: pd.DataFrame, path: Path) -> None:
    """One JSON object a line; neither a time nor a file name in the gzip header."""
    with path.open("wb") as file, gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
        for first in range(0, len(frame), _CHUNK):
            part = frame.iloc[first : first + _CHUNK]
            packed.write(part.to_json(orient="records", lines=True).encode())
