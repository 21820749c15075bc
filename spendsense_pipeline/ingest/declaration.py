"""What a folder says about its files, in `batch.toml`: how dates and numbers are written, which column is which field.

Nothing is guessed: a file is read by what is declared, or by the rules of the landing format where nothing is. A
declaration that its file contradicts refuses the batch, with the file, the row and what would be right; a single value
that does not fit is rejected with its row, like any other bad value.

What does not belong here: reading files (`landing.py`), and what a field may hold (`fields.py`).
"""

import codecs
import datetime as dt
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from spendsense_pipeline.ingest.fields import FIELDS, TABLES, names
from spendsense_pipeline.ingest.files import BatchRefused, literal, nearest, quoted, turned

NAME = "batch.toml"
DATES = {"iso": None, "us": "%m/%d/%Y", "european": "%d.%m.%Y"}
"""Date formats with a name of their own; any other is a strptime pattern."""

DEFAULTS = {"user": "user_id", "account": "account_id", "currency": "iso_currency_code"}
"""Keys of a declaration that stand in for a field that a row lacks."""

LAYOUT = ("dates", "decimal", "thousands", "encoding", "delimiter", "skip_lines")
"""Keys that hold for all files of the batch, or within a table's section for that table."""

AMOUNT_PARTS = ("debit", "credit", "direction")
"""Columns that together say what an amount is; no field of the landing format."""

AMOUNTS = ("positive", "negative_debits", "directions")
"""Keys of the section `transactions` alone."""

IDENTITY = ("account_id", "date", "merchant_name", "description_raw", "counterparty_name", "mcc", "transaction_code")
"""What tells one transaction from another beside its amount. A category, or whether the row is pending, may change from
one file to the next; the customer is another for each holder of the account."""

_ALIKE = str.maketrans("\u2019\u00a0\u202f", "'  ")
"""An apostrophe and blanks that look like the plain ones: who declares one means whichever the file has."""
_CURRENCY = "(?:[$€£]|EUR|USD|GBP|CHF)"
_WRITTEN = (
    (rf"^({_CURRENCY}?) ?[(]([^()]*)[)]( ?{_CURRENCY})?$", r"-\1\2\3"),
    (rf"^([+-]?) ?{_CURRENCY} ?([0-9.,+-].*)$", r"\1\2"),
    (rf"^(.*[0-9]) ?{_CURRENCY}$", r"\1"),
    (r"^([0-9][0-9., ']*?) ?-$", r"-\1"),
)
"""What a bank writes around a number, and what is left of it."""

EXAMPLE = dt.date(2026, 1, 31)  # a day that no other order of day, month and year can be read as


@dataclass(frozen=True)
class Declaration:
    """How the files of one table are written.

    ``dates`` is a strptime pattern, None for ISO dates. ``decimal`` ``thousands`` ``encoding`` ``delimiter``
    ``skip_lines`` (lines before the header) are those of CSV files. ``columns``: name in the file -> field.
    ``positive`` is the way of the money that a positive amount stands for, ``directions`` what the words of a
    direction column mean. ``defaults``: field -> what stands in where a row has none.
    """

    table: str
    ids: str | None = None
    dates: str | None = None
    decimal: str = "."
    thousands: str = ""
    encoding: str = "utf-8"
    delimiter: str = ","
    skip_lines: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)
    positive: str = "in"
    negative_debits: bool = False
    directions: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether nothing is declared about the rows of this table beyond how their file is cut into columns."""
        layout = replace(self, encoding="utf-8", delimiter=",", skip_lines=0)
        return layout == Declaration(self.table)

    def column_of(self, name: str) -> str:
        """The name that a field has in the file."""
        return next((column for column, meant in self.columns.items() if meant == name), name)

    def field_of(self, column: str) -> str:
        """The field that a column of the file holds, or the column's own name."""
        return self.columns.get(column, column)


# --- Reading batch.toml ---


def read(folder: Path) -> dict[str, Declaration]:
    """The declarations of a folder by table, without effect where it has no `batch.toml`.

    Refused: what is no TOML, unknown keys, and values that cannot be meant.
    """
    content = content_of(folder)
    require_known(content, ["ids", *DEFAULTS, *LAYOUT, *TABLES], "")
    return {table: _declaration(content, table) for table in TABLES}


def content_of(folder: Path) -> dict[str, Any]:
    """What stands in the folder's `batch.toml`, nothing where there is none."""
    path = folder / NAME
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BatchRefused(f"{NAME}: no TOML in UTF-8: {error}") from None


def with_ids(folder: Path, ids: str) -> bytes:
    """What the folder's `batch.toml` would be if it declared these ids, too."""
    path = folder / NAME
    written = path.read_bytes() if path.is_file() else b""
    declared = read(folder)["transactions"].ids
    if declared not in (None, ids):
        raise BatchRefused(f"{NAME}: declares ids = {declared!r}, and the command says {ids!r}")
    return written if declared else f'ids = "{ids}"\n'.encode() + written


def require_known(content: Mapping[str, Any], known: Collection[str], where: str, others: str = "there are") -> None:
    """Refuse keys that are none of those known, with what may have been meant."""
    for name in content:
        if name not in known:
            meant = nearest(name, known)
            hint = f"did you mean {meant}?" if meant else f"{others} {', '.join(known)}"
            raise BatchRefused(f"{NAME}: {where}no key {name[:100]!r}; {hint}")


def _declaration(content: Mapping[str, Any], table: str) -> Declaration:
    section = content.get(table, {})
    if not isinstance(section, dict):
        raise BatchRefused(f"{NAME}: {table} is a section, [{table}]")
    require_known(
        section, [*LAYOUT, "columns", *(AMOUNTS if table == "transactions" else ())], f"in [{table}] there is "
    )
    found = {name: section.get(name, content.get(name)) for name in LAYOUT}
    said = {name: checked(name, value) for name, value in found.items() if value is not None}
    if said.get("thousands") == said.get("decimal", "."):
        raise BatchRefused(f"{NAME}: decimal and thousands are both {said['thousands']!r}")
    columns = _columns(section.get("columns", {}), table)
    directions = section.get("directions", {})
    for name, choices in (("positive", ("in", "out")), ("negative_debits", (True, False))):
        if name in section and section[name] not in choices:
            raise BatchRefused(f"{NAME}: {name} is one of {', '.join(map(repr, choices))}, not {section[name]!r}")
    if not isinstance(directions, dict) or not set(map(str, directions.values())) <= {"in", "out"}:
        raise BatchRefused(f'{NAME}: directions is e.g. {{ Credit = "in", Debit = "out" }}')
    if bool(directions) != ("direction" in columns.values()):
        raise BatchRefused(
            f'{NAME}: directions = {{ Credit = "in", Debit = "out" }} and a column that is "direction" go together'
        )
    ids = content.get("ids")
    if ids not in (None, "content"):
        raise BatchRefused(f'{NAME}: ids = "content" is all there is to declare, not {ids!r}')
    return Declaration(
        table,
        ids=ids if table == "transactions" else None,
        columns=columns,
        positive=section.get("positive", "in"),
        negative_debits=section.get("negative_debits", False),
        directions=directions,
        defaults={
            name: _text(key, content[key])
            for key, name in DEFAULTS.items()
            if key in content and name in names(table) and table not in ("users", "products")
        },
        **said,
    )


def checked(name: str, value: Any) -> Any:
    """A value of `LAYOUT` as the reader needs it."""
    if name == "skip_lines":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000:
            raise BatchRefused(f"{NAME}: skip_lines counts the lines before the header, not {value!r}")
        return value
    text = _text(name, value)
    if name == "dates":
        return _pattern(text)
    if name == "decimal" and text not in (".", ","):
        raise BatchRefused(f"{NAME}: decimal is '.' or ',', not {text!r}")
    if name == "thousands" and text not in (".", ",", " ", "'", "’", "\u00a0", "\u202f"):
        raise BatchRefused(f"{NAME}: thousands is one of '.', ',', an apostrophe or a blank, not {text!r}")
    if name == "delimiter" and (len(text) != 1 or text in '"\r\n' or text.isalnum()):
        raise BatchRefused(f'{NAME}: delimiter is one character such as ";" or "\\t", not {text!r}')
    if name == "encoding":
        try:
            return codecs.lookup(text).name
        except LookupError:
            raise BatchRefused(
                f"{NAME}: no encoding is called {text!r}; there are e.g. utf-8, utf-16, windows-1252, iso-8859-15"
            ) from None
    return text


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise BatchRefused(f"{NAME}: {name} is a text in quotes, not {value!r}")
    return value


def _pattern(text: str) -> str | None:
    """The strptime pattern, refused where it does not tell one day from another."""
    if text in DATES:
        return DATES[text]
    try:
        ((again,),) = duckdb.execute(
            "SELECT CAST(try_strptime(strftime($1, $2), $2) AS DATE)", [EXAMPLE, text]
        ).fetchall()
    except duckdb.Error:
        again = None
    if again != EXAMPLE:
        raise BatchRefused(
            f"{NAME}: dates = {text!r} is neither iso, us nor european, nor a pattern of day, month and year such as "
            "%d/%m/%Y (31/01/2026) or %d %b %y (31 Jan 26)"
        )
    return text


def _columns(columns: Any, table: str) -> dict[str, str]:
    fields = [*names(table), *(AMOUNT_PARTS if table == "transactions" else ())]
    if not isinstance(columns, dict):
        raise BatchRefused(f'{NAME}: columns is a table of names, e.g. [{table}.columns] with "Booked on" = "date"')
    for column, meant in columns.items():
        if meant not in fields:
            near = nearest(str(meant), fields)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(fields)}"
            raise BatchRefused(f"{NAME}: {table} has no field {str(meant)[:100]!r} for the column {column!r}; {hint}")
    for meant in columns.values():
        if list(columns.values()).count(meant) > 1:
            raise BatchRefused(f"{NAME}: two columns of {table} are the field {meant}; choose one")
    if "amount" in columns.values() and {"debit", "credit"} & set(columns.values()):
        raise BatchRefused(f"{NAME}: either one column is the amount, or one the debit and one the credit")
    if ("debit" in columns.values()) != ("credit" in columns.values()):
        raise BatchRefused(f"{NAME}: debit and credit go together; one column alone is the amount")
    return columns


# --- A table's rows by its declaration, in SQL ---


def parts(declared: Declaration) -> list[str]:
    """The texts that are read of a file: the known fields, and the columns that an amount is made of."""
    return [*names(declared.table), *(one for one in AMOUNT_PARTS if one in declared.columns.values())]


def converted(rows: str, declared: Declaration, *, texts: bool, dates: Collection[str]) -> str:
    """SQL for file, row and the known fields in the landing format, of ``rows`` with the texts of `parts` as written.

    ``texts``: numbers are written as text, so the declared decimal and thousands separators are theirs; ``dates`` are
    the fields that are text, not days of a type. A value that does not fit its declaration is kept and says so, which
    no rule of the landing format accepts. A row of which nothing could be read stays one.
    """
    told = {name: f"nullif(trim({quoted(name)}), '')" for name in parts(declared)}
    values = dict(told)
    for name in dated(declared):
        if name in dates:
            values[name] = _day(told[name], declared, name)
    for name in numbers(declared) if texts else ():
        values[name] = _number(told[name], declared)
    if declared.table == "transactions":
        values["amount"] = _amount(values, declared)
    something = " OR ".join(f"{one} IS NOT NULL" for one in told.values())
    for name, default in declared.defaults.items():
        values[name] = f"coalesce({values[name]}, CASE WHEN {something} THEN {literal(default)} END)"
    shown = ", ".join(f"{values[name]} AS {quoted(name)}" for name in names(declared.table))
    query = f"SELECT file, row, ({something}) AS something, {shown} FROM ({rows})"
    fields = ", ".join(quoted(name) for name in names(declared.table)[1:])
    key = quoted(names(declared.table)[0])
    if declared.ids is None:
        return f"SELECT file, row, {key}, {fields} FROM ({query})"
    # The same day comes whole with each file: equal rows are counted within it, and their order does not matter.
    number = f"row_number() OVER (PARTITION BY {_content()} ORDER BY row)"
    named = f"CASE WHEN something THEN substr(sha256({_content()}), 1, 24) || '-' || {number} END"
    return f"SELECT file, row, coalesce({key}, {named}) AS {key}, {fields} FROM ({query})"


def dated(declared: Declaration) -> list[str]:
    """The fields that are dates or times, where they are declared to be written in another way."""
    kinds = ("date", "moment") if declared.dates is not None else ()
    return [one.name for one in FIELDS[declared.table] if one.kind in kinds]


def numbers(declared: Declaration) -> list[str]:
    """The columns that are numbers, where they are declared to be written in another way."""
    if (declared.decimal, declared.thousands) == (".", ""):
        return []
    fields = [one.name for one in FIELDS[declared.table] if one.kind in ("number", "whole")]
    return [*fields, *(one for one in ("debit", "credit") if one in declared.columns.values())]


def misfits(declared: Declaration, name: str) -> tuple[str, str, str]:
    """SQL conditions on a text: it fits its declaration; it would fit the contrary one. And what would be right."""
    text = f"trim({quoted(name)})"
    if name in dated(declared):
        pattern = str(declared.dates)
        swapped = re.sub("%[dm]", lambda found: "%m" if found.group() == "%d" else "%d", pattern)
        return _is_day(text, pattern), _is_day(text, swapped), f"a date such as {EXAMPLE.strftime(pattern)} ({pattern})"
    other = replace(declared, decimal="," if declared.decimal == "." else ".", thousands=declared.decimal)
    example = f"1{declared.thousands}234{declared.decimal}50"
    written = _bare(text)
    return (
        f"regexp_matches({written}, {literal(_grouped(declared))})",
        f"regexp_matches({written}, {literal(_grouped(other))})",
        f"a number such as {example}",
    )


def _is_day(text: str, pattern: str) -> str:
    return f"(year(try_strptime({text}, {literal(pattern)})) BETWEEN 1900 AND 2999)"


def _day(text: str, declared: Declaration, name: str) -> str:
    pattern = str(declared.dates)
    kind = next(one.kind for one in FIELDS[declared.table] if one.name == name)
    shown = "%Y-%m-%d" if kind == "date" else "%Y-%m-%dT%H:%M:%S"
    written = f"strftime(try_strptime({text}, {literal(pattern)}), {literal(shown)})"
    return f"CASE WHEN {_is_day(text, pattern)} THEN {written} ELSE {_unfit(text, pattern)} END"


def _bare(text: str) -> str:
    """A number without its currency, its minus in front and its blanks plain, as no two numbers are written alike:
    `−12,50 €`, `12,50-`, `-$1,250.00`, `($1,250.00)`."""
    bare = f"translate({text}, '\u2212\u2019\u00a0\u202f', '-''  ')"
    for written, plain in _WRITTEN:
        bare = f"regexp_replace({bare}, {literal(written)}, {literal(plain)})"
    return bare


def _thousands(declared: Declaration) -> str:
    return declared.thousands.translate(_ALIKE)


def _grouped(declared: Declaration) -> str:
    decimal, thousands = re.escape(declared.decimal), re.escape(_thousands(declared))
    whole = rf"([0-9]{{1,3}}({thousands}[0-9]{{3}})+|[0-9]+)" if thousands else "[0-9]+"
    return rf"^[+-]?({whole}({decimal}[0-9]*)?|{decimal}[0-9]+)$"


def _number(text: str, declared: Declaration) -> str:
    bare = _bare(text)
    plain = f"replace({bare}, {literal(_thousands(declared))}, '')" if declared.thousands else bare
    plain = f"replace({plain}, {literal(declared.decimal)}, '.')"
    fits = f"regexp_matches({bare}, {literal(_grouped(declared))})"
    return f"CASE WHEN {fits} THEN {plain} ELSE {_unfit(text, f'decimal {declared.decimal}')} END"


def _unfit(text: str, declared: str) -> str:
    return f"{text} || {literal(f' (declared: {declared})')}"


def _amount(values: Mapping[str, str], declared: Declaration) -> str:
    """The amount, positive = money in, from the columns that are declared to hold it."""
    if "debit" in declared.columns.values():
        return _of_two(values["debit"], values["credit"], negative=declared.negative_debits)
    amount = values["amount"]
    if declared.directions:
        direction = values["direction"]
        ways = " ".join(
            f"WHEN {direction} = {literal(word)} AND {amount} NOT LIKE '-%' THEN "
            f"{amount if way == 'in' else turned(amount)}"
            for word, way in declared.directions.items()
        )
        # A sign beside a direction, or a word that is not declared: nobody can tell which way the money went.
        return f"CASE {ways} ELSE {amount} || ' (' || coalesce({direction}, 'no direction') || ')' END"
    return turned(amount) if declared.positive == "out" else amount


def _of_two(debit: str, credit: str, *, negative: bool) -> str:
    def nothing(text: str) -> str:
        return f"coalesce(try_cast({text} AS DOUBLE), 1 - CAST({text} IS NULL AS INTEGER)) = 0"

    out = debit if negative else turned(debit)
    wrong = f"({debit} {'NOT LIKE' if negative else 'LIKE'} '-%' OR {credit} LIKE '-%')"
    both = f"'debit ' || coalesce({debit}, 'none') || ', credit ' || coalesce({credit}, 'none')"
    return (
        f"CASE WHEN {nothing(debit)} AND {credit} NOT LIKE '-%' THEN {credit} "
        f"WHEN {nothing(debit)} AND {credit} IS NULL THEN {debit} "
        f"WHEN {nothing(credit)} AND NOT coalesce({wrong}, false) THEN {out} ELSE {both} END"
    )


def _content() -> str:
    """What a transaction is, as one text: equal rows have it alike, however a number is written."""
    amount = "coalesce(CAST(try_cast(amount AS DECIMAL(38, 6)) AS VARCHAR), amount, chr(30))"
    fields = ", ".join(f"coalesce({quoted(name)}, chr(30))" for name in IDENTITY)
    return f"concat_ws(chr(31), {amount}, {fields})"
