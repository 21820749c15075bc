"""What every reader of landed files shares: the refusal of a batch, a look into folders, names and texts in SQL.

What does not belong here: what a file holds (`landing.py` for the landing format, `plaid.py` for Plaid's).
"""

import difflib
import errno
import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from spendsense_pipeline.errors import SpendSenseError

if TYPE_CHECKING:
    from spendsense_pipeline.ingest.declaration import Declaration

BLOCK = 1 << 20
COMPLETE = "_SUCCESS"
PLAID = "_PLAID"
# "liability" and "Transactions" are near misses, "standing_orders" and "truth" are other people's files.
NEAR = 0.8
# Not about a file's content: these are faults of ours or of the machine and stay what they are.
NOT_THE_FILE = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.InterruptException,
    duckdb.NotImplementedException,
    duckdb.OutOfMemoryException,
    duckdb.ParserException,
)


FAULTS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)
"""Of a disk or a machine, in words that the engine repeats of the operating system."""


class BatchRefused(SpendSenseError):
    """A batch cannot be taken as it lies; the message names the file and what would be right."""

    code = "batch_refused"


@dataclass(frozen=True)
class LandedFile:
    """One file of a batch, or what it holds of one table: ``name`` within the batch, where it lies, its format.

    ``format`` is ``json`` ``jsonl`` ``csv`` ``parquet``, or ``plaid`` for a saved response. ``declared`` is what the
    batch says of it, None of a file that nothing can be said of.
    """

    table: str
    path: Path
    format: str
    name: str
    declared: "Declaration | None" = None

    @property
    def compressed(self) -> bool:
        """Whether the file is gzipped."""
        return self.path.suffix == ".gz"


@dataclass(frozen=True)
class FileSurvey:
    """What a first look at a file found: its rows and the fields that the landing format does not know.

    ``unknown`` counts the rows that carry each unknown field, ``meant`` says which known field it may be a
    misspelling of.
    """

    file: LandedFile
    rows: int
    unknown: dict[str, int] = field(default_factory=dict)
    meant: dict[str, str] = field(default_factory=dict)


def entries(folder: Path) -> list[Path]:
    """What lies in the folder, by name, without hidden names and the marks ``_SUCCESS`` and ``_PLAID``.

    Refused: a folder that is none, cannot be read, or is or holds a symbolic link.
    """
    if folder.is_symlink():
        raise BatchRefused(f"{folder.name}: a symbolic link; name the folder itself")
    try:
        paths = sorted(folder.iterdir())
    except NotADirectoryError:
        raise BatchRefused(f"{folder.name}: not a folder; a batch is a folder of files") from None
    except FileNotFoundError:
        raise BatchRefused(
            f"{folder.name}: there is no such folder in {folder.absolute().parent}; `spendsense ingest PATH` lands one"
        ) from None
    except PermissionError:
        raise BatchRefused(f"{folder.name}: no permission to read this folder") from None
    for path in paths:
        if stat.S_ISLNK(path.lstat().st_mode):
            # A link may point at another customer's files or out of the landing zone.
            raise BatchRefused(f"{path.name}: a symbolic link; put the file itself into the batch")
    return [path for path in paths if not path.name.startswith(".") and path.name not in (COMPLETE, PLAID)]


def erasure_note(batch_dir: Path) -> Path:
    """Where it is noted that a batch lost rows to an erasure: beside the batches, where no delivery can bring one."""
    return batch_dir.absolute().parent / ".erased" / f"{batch_dir.name}.json"


def readable(path: Path, name: str) -> Path:
    """The path of a regular file that may be read; anything else is refused."""
    if not path.is_file():
        raise BatchRefused(f"{name}: not a regular file")
    if not os.access(path, os.R_OK):
        raise BatchRefused(f"{name}: no permission to read it")
    return path


def blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a block at a time."""
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            yield block


def about_the_file(error: Exception) -> bool:
    """Whether an engine's error is about what the file holds, and not one of ours, of a disk or of the machine.

    Arrow calls a damaged file an error of the operating system, which did not count it: it has no number.
    """
    said = str(error)
    if isinstance(error, NOT_THE_FILE) or (isinstance(error, OSError) and error.errno is not None):
        return False
    return not any(os.strerror(fault) in said for fault in FAULTS)


def damage(error: Exception) -> str:
    """Where an engine's error says that a file is damaged; empty where it does not say.

    The engine quotes the line it stumbled over, which may hold a name: only the position is passed on.
    """
    said = str(error)
    found = re.search(r"at byte \d+(?: in (?:line|record/value) \d+)?", said) or re.search(
        r"on Line: \d+", said, re.IGNORECASE
    )
    return ", damaged " + found.group().replace("record/value", "record").replace("Line:", "line") if found else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that this one may be a misspelling of.

    >>> nearest("Acounts", ["users", "accounts"])
    'accounts'
    """
    known = list(known)
    if word.lower() in known:
        return word.lower()
    return next(iter(difflib.get_close_matches(word.lower(), known, n=1, cutoff=NEAR)), None)


def turned(text: str) -> str:
    """SQL for the amount with the other sign; as text, so that what was written stays what it was."""
    return (
        f"CASE WHEN regexp_full_match({text}, '[+-]?[0.]+') THEN ltrim({text}, '+-') "
        f"WHEN {text} LIKE '-%' THEN substr({text}, 2) "
        f"WHEN regexp_matches({text}, '^[+]?[.0-9]') THEN '-' || ltrim({text}, '+') ELSE {text} END"
    )


def literal(text: str) -> str:
    """The text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """The name of a column as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def pattern(path: Path) -> str:
    """The path as SQL text that the engine reads as itself: it would expand * ? [ in a folder's name."""
    return literal(glob.escape(str(path)))
