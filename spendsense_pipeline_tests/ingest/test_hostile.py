"""Files as they must not come, each by name: what is refused, what is rejected, and what stands beside it.

What a single value may not be is in `test_canonical.py`, what a file as a whole may not be in `test_landing.py`; here
is what depends on how a format writes it.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from spendsense_pipeline.ingest import landing
from spendsense_pipeline.ingest.files import BatchRefused
from spendsense_pipeline_tests.ingest.conftest import ACCOUNT, TRANSACTION, USER, Zone

HEADER = "transaction_id,account_id,date,amount,merchant_name\n"
GOOD = "t1,a1,2026-02-01,-12.5,Cafe\n"
LINE = json.dumps(TRANSACTION)


def line(**changes: Any) -> str:
    return json.dumps({**TRANSACTION, "transaction_id": "t2", **changes})


HOSTILE: dict[str, tuple[str, str | bytes, list[tuple[int, str | None, str]]]] = {
    "thousands separators and a trailing minus in CSV": (
        "transactions_csv",
        HEADER + GOOD + 't2,a1,2026-02-01,"1,204.50",x\nt3,a1,2026-02-01,12.50-,x\nt4,a1,2026-02-01,(5.00),x\n',
        [(2, "amount", "not_a_number"), (3, "amount", "not_a_number"), (4, "amount", "not_a_number")],
    ),
    "invalid UTF-8 on one line of JSON Lines": (
        "transactions_jsonl",
        f"{LINE}\n".encode() + b'{"transaction_id": "t2", "merchant_name": "\xff\xfe"}\n',
        [(2, None, "unreadable_row")],
    ),
    "a NUL byte on a line of JSON Lines": (
        "transactions_jsonl",
        f"{LINE}\n".encode() + b'{"transaction_id": "t2\x00"}\n',
        [(2, None, "unreadable_row")],
    ),
    "a NUL byte in a CSV value": (
        "transactions_csv",
        f"{HEADER}{GOOD}t2,a1,2026-02-01,1,a\x00b\n",
        [(2, "merchant_name", "control_characters")],
    ),
    "a truncated last line of JSON Lines": (
        "transactions_jsonl",
        f"{LINE}\n{LINE[:40]}",
        [(2, None, "unreadable_row")],
    ),
    "a truncated last line of CSV": ("transactions_csv", f"{HEADER}{GOOD}t2,a1,2026", [(2, None, "unreadable_row")]),
    "a payee of 5 MB in CSV": (
        "transactions_csv",
        f"{HEADER}{GOOD}t2,a1,2026-02-01,1,{'x' * 5_000_000}\n",
        [(2, "merchant_name", "text_too_long")],
    ),
    "an id of 10 kB in CSV": (
        "transactions_csv",
        f"{HEADER}{GOOD}{'i' * 10_000},a1,2026-02-01,1,x\n",
        [(2, "transaction_id", "id_too_long")],
    ),
    "NaN as JSON writers write it": (
        "transactions_jsonl",
        f"{LINE}\n{line(amount=float('nan'))}\n",
        [(2, "amount", "not_finite")],
    ),
    "an id of thousands of brackets": (
        "transactions_jsonl",
        f"{LINE}\n" + '{"transaction_id": ' + "[" * 5_000 + "]" * 5_000 + "}\n",
        [(2, "transaction_id", "id_too_long")],
    ),
    "an array on a line of JSON Lines": ("transactions_jsonl", f"{LINE}\n[1, 2]\n", [(2, None, "unreadable_row")]),
    "text behind the object on a line": (
        "transactions_jsonl",
        f"{LINE}\n{line()} xyz\n",
        [(2, None, "unreadable_row")],
    ),
    "a byte-order mark before a JSON array": ("transactions_json", b"\xef\xbb\xbf" + f"[{LINE}]".encode(), []),
    "a byte-order mark before a CSV header": ("transactions_csv", b"\xef\xbb\xbf" + (HEADER + GOOD).encode(), []),
    "Windows line ends": ("transactions_csv", (HEADER + GOOD).replace("\n", "\r\n"), []),
    "blank lines": ("transactions_csv", f"{HEADER}\n{GOOD}\n\n", []),
    "a quote within a value": ("transactions_csv", HEADER + GOOD.replace("Cafe", '5" pipe and 6" pipe'), []),
    "a formula and HTML": ("transactions_csv", HEADER + GOOD.replace("Cafe", "=1+1<script>alert(1)</script>"), []),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_row_is_rejected_and_its_neighbour_stands(zone: Zone, name: str) -> None:
    file, content, rejected = HOSTILE[name]
    zone.arrive(users_json=[USER], accounts_json=[ACCOUNT], **{file: content})
    assert [row["transaction_id"] for row in zone.accepted("transactions")] == ["t1"]
    assert [(row["row"], row["field"], row["reasons"][0]) for row in zone.quarantine()] == rejected


def test_a_header_without_rows_is_a_table_without_rows(zone: Zone) -> None:
    zone.arrive(users_json=[USER], accounts_json=[ACCOUNT], transactions_csv=HEADER)
    assert zone.outcomes("transactions") == []
    assert zone.quarantine() == []


def test_a_quote_that_swallows_the_lines_after_it_is_refused_or_rejected_and_never_accepted(zone: Zone) -> None:
    swallowing = f'{HEADER}t1,a1,2026-02-01,1,"open\n{GOOD.replace("t1", "t2")}t3,a1,2026-02-01,1,"open too\n'
    zone.arrive(users_json=[USER], accounts_json=[ACCOUNT], transactions_csv=swallowing)
    try:
        assert "accepted" not in zone.outcomes("transactions")
    except BatchRefused as refused:
        assert "line" in str(refused)  # noqa: PT017 - either answer is right, and each has its own promise


def test_a_folder_that_may_not_be_read_is_refused() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "b1"
        folder.mkdir()
        (folder / "users.json").write_text("[]")
        Path(made).chmod(0o755)
        folder.chmod(0)
        root = os.geteuid() == 0
        try:
            if root:
                os.seteuid(65534)  # root may read everything; nobody may not
            with pytest.raises(BatchRefused, match="no permission to read this folder"):
                landing.discover(folder)
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)
