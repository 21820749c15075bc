"""From banks' statement files to a batch of the landing format, before anything lands: whole or not at all.

`FORMATS` are OFX/QFX, camt.053 and MT940; each module reads one file into `Statement`s. The customer is named by the
folder that a file lies in, or for files right in the folder by the command or by its `batch.toml`. What
does not belong here: how a format is written (its own module), and whether a value makes sense (`canonical.py`).
"""

import importlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spendsense_pipeline.ingest.declaration import NAME, checked, content_of, require_known
from spendsense_pipeline.ingest.files import BatchRefused, entries, readable
from spendsense_pipeline.ingest.plaid import PLAIN_NAME
from spendsense_pipeline.ingest.statements.statement import Row, Statement

FORMATS: Mapping[str, tuple[str, ...]] = {
    "ofx": (".ofx", ".qfx"),
    "camt053": (".xml", ".camt", ".camt053"),
    "mt940": (".sta", ".mt940", ".940", ".mta", ".swi", ".txt"),
}
"""The formats, each with the suffixes of its files."""

OF_ACCOUNTS = ("type", "subtype", "account_name", "holder_category", "closed_at", "balance_limit")
"""What a folder's `batch.toml` may say of an account, since no statement says it."""
OTHERS = "of statements it may say"


@dataclass(frozen=True)
class _Said:
    """What `batch.toml` says: the customer, the files' encoding, and fields of accounts by id."""

    user: str | None
    encoding: str | None
    accounts: Mapping[str, Mapping[str, Any]]


@contextmanager
def converted(source: Path, kind: str, user: str | None = None) -> Iterator[Path]:
    """A folder of `users` `accounts` `transactions` (``.jsonl``) made of the statements in ``source``, while it lasts.

    Refused, with the file and the place in it: what cannot be read as the format, and a file of nobody.
    """
    read = _reader(kind)
    said = _said(source)
    statements: list[tuple[str, Statement]] = []
    for path, name, folder in _files(source, FORMATS[kind]):
        whose = folder or user or said.user
        if whose is None:
            raise BatchRefused(
                f"{name}: whose is it? Put it into a folder of the customer's id, name the customer with --user, or by "
                f"user in {NAME}"
            )
        statements += [(whose, found) for found in read(path.read_bytes(), name, said.encoding)]
    _require_accounts(statements, said)
    with tempfile.TemporaryDirectory() as made:
        batch = Path(made)
        for table, rows in _tables(statements, said).items():
            if rows:
                lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                (batch / f"{table}.jsonl").write_text("".join(lines), encoding="utf-8")
        yield batch


def _reader(kind: str) -> Any:
    try:
        return importlib.import_module(f"{__name__}.{kind}").read
    except ModuleNotFoundError as error:
        raise BatchRefused(
            f"the format {kind} needs {error.name}: pip install 'spendsense-pipeline[formats]'", code="extra_missing"
        ) from None


def _files(source: Path, suffixes: Sequence[str]) -> Iterator[tuple[Path, str, str | None]]:
    """Each statement file with its name in the folder and the customer that its own folder names."""
    found = False
    for path in entries(source):
        inside: list[tuple[Path, str, str | None]]
        if path.is_dir():
            if not PLAIN_NAME.fullmatch(path.name):
                raise BatchRefused(f"{source.name}: a folder's name is no plain id; name it by the customer's id")
            inside = [(one, f"{path.name}/{one.name}", path.name) for one in entries(path)]
        else:
            inside = [(path, path.name, None)]
        for one, name, folder in inside:
            if one.suffix.lower() in suffixes:
                found = True
                yield readable(one, name), name, folder
    if not found:
        raise BatchRefused(f"{source.name}: no statement in this folder; its name ends in {', '.join(suffixes)}")


def _said(source: Path) -> _Said:
    """What the folder's `batch.toml` says of statements; refused where it says anything else."""
    content = content_of(source)
    require_known(content, ("user", "encoding", "accounts"), "", OTHERS)
    accounts = content.get("accounts", {})
    for account, fields in accounts.items():
        require_known(fields, OF_ACCOUNTS, f"of account {account}: ", OTHERS)
    if "encoding" in content:
        checked("encoding", content["encoding"])
    return _Said(content.get("user"), content.get("encoding"), accounts)


def _require_accounts(statements: Sequence[tuple[str, Statement]], said: _Said) -> None:
    there = {found.account["account_id"] for _, found in statements}
    for account in said.accounts:
        if account not in there:
            raise BatchRefused(
                f"{NAME}: no statement is of account {account!r}; they are of {', '.join(sorted(there))}"
            )


def _tables(statements: Sequence[tuple[str, Statement]], said: _Said) -> dict[str, list[Row]]:
    """Users, the newest balance of each holder's account, and of each transaction what the newest statement says."""
    users = dict.fromkeys(user for user, _ in statements)
    accounts: dict[tuple[str, str], Row] = {}
    transactions: dict[tuple[str, str], list[Row]] = {}
    for user, found in sorted(statements, key=lambda one: str(one[1].account.get("balance_date") or "")):
        account = found.account["account_id"]
        known = {name: value for name, value in found.account.items() if value is not None}
        stated = {name: str(value) for name, value in said.accounts.get(account, {}).items()}
        accounts[account, user] = accounts.get((account, user), {}) | known | {"user_id": user} | stated
        seen: Counter[str] = Counter()
        for row in found.transactions:
            key = (row["transaction_id"], user)
            # Two of one id in one statement contradict each other, which is for the merge to find.
            if not seen[key[0]] or row.get("removed"):
                transactions[key] = []
            seen[key[0]] += 1
            transactions[key].append({**row, "account_id": account, "user_id": user})
    return {
        "users": [{"user_id": user} for user in users],
        "accounts": list(accounts.values()),
        "transactions": [row for rows in transactions.values() for row in rows],
    }
