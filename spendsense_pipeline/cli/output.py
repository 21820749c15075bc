"""What commands print: JSON for programs, aligned columns and single lines for people."""

import datetime as dt
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click


class Shown(NamedTuple):
    """What a command found, the lines that people read of it, and whether the process ends with exit code 1."""

    payload: Mapping[str, Any]
    lines: Iterable[str]
    failed: bool = False


def json_form(value: Any) -> Any:
    """Times as ISO 8601 UTC, dates as dates; anything else JSON cannot hold is a defect and raises."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    if hasattr(value, "item"):  # numpy's scalars
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def wants_json() -> bool:
    """Whether the command that runs was given ``--json``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get("json"))


def print_out(shown: Shown, as_json: bool) -> None:
    """The payload as JSON, or the lines."""
    if as_json:
        text = json.dumps(shown.payload, default=json_form, ensure_ascii=False, allow_nan=False)
        try:
            text.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:  # another encoding, or an id whose bytes were no text
            text = json.dumps(shown.payload, default=json_form, allow_nan=False)
        print(text)
    else:
        for line in shown.lines:
            print(one_line(line))


def progress(done: int, of: int, what: str) -> None:
    """How far a command is, on stderr for whoever watches a terminal; nothing where a program reads."""
    if not wants_json() and sys.stderr.isatty():
        bar = "#" * (20 * done // max(of, 1))
        sys.stderr.write(f"[{bar:.<20}] {done:,} of {of:,} {what}\n")


def one_line(text: str) -> str:
    """Text on one line: control characters would let a payee's name rewrite the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str], nothing: str | None = None) -> Iterator[str]:
    """Rows as aligned columns under their names; where there are none, the line ``nothing`` instead."""
    if not rows and nothing is not None:
        yield nothing
        return
    cells = [list(names)] + [[cell(row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line in cells:
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()


def cell(value: Any) -> str:
    """One value as people read it; a list of codes as words."""
    if value is None or value == []:
        return "-"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return one_line(value if isinstance(value, str) else json.dumps(value, default=json_form))
