"""The landing format as a table: which fields each landed table has and what each may hold.

Reading (`landing.py`) knows fields by their names, judging (`canonical.py`) by their kinds; a field is described
once in ``fields.toml``, for both. What does not belong here: how a kind is read or judged, and what the accepted
tables look like (``contracts/tables/canonical.toml``).
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NAME_LENGTH = 1_000  # payees and categories; a real one stays under a hundred
LIST_LENGTH = 2_000  # a whole list as written; `longest` bounds each of its texts


@dataclass(frozen=True)
class Field:
    """One field of a landed table.

    ``kind``: ``id`` ``text`` ``choice`` ``email`` ``currency`` ``country`` ``language`` ``mcc`` ``link`` ``list`` (of
    texts) ``number`` ``whole`` ``year`` ``flag`` ``date`` ``moment``. ``required`` fields may not be null. ``default``
    stands in for a null. ``lowest``/``highest`` bound numbers, ``longest`` texts. ``past`` dates and years may not lie
    after the batch's arrival.
    ``rendered`` texts of partners are put into texts to customers, so they may hold nothing that reads as a template.
    """

    name: str
    kind: str = "text"
    required: bool = False
    personal: bool = False
    choices: Sequence[str] = ()
    lowest: float | None = None
    highest: float | None = None
    longest: int = NAME_LENGTH
    past: bool = False
    rendered: bool = False
    default: bool | None = None


FIELDS: dict[str, tuple[Field, ...]] = {
    table: tuple(Field(name, **may) for name, may in fields.items())
    for table, fields in tomllib.loads(Path(__file__).with_name("fields.toml").read_text(encoding="utf-8")).items()
}
TABLES = tuple(FIELDS)
HELD = ("transactions", "liabilities")
"""Tables whose rows belong to an account, and so to each of its holders."""

COUNTRIES = frozenset(Path(__file__).with_name("countries.txt").read_text(encoding="utf-8").split())
"""The country codes of ISO 3166-1 alpha-2."""


def key(table: str) -> tuple[str, ...]:
    """The fields that identify a landed row: an account has a row for each of its holders."""
    return ("account_id", "user_id") if table == "accounts" else (FIELDS[table][0].name,)


def names(table: str) -> list[str]:
    """The known fields of a landed table, in order."""
    return [field.name for field in FIELDS[table]]
