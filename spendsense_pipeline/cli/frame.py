"""The command line's frame: the group, options that commands share, how the process ends when something is wrong."""

import atexit
import gc
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from spendsense_pipeline.cli.output import one_line, print_out
from spendsense_pipeline.errors import SpendSenseError

OF_THE_SERVICE = {
    *("argon2", "authlib", "fastapi", "httpx", "itsdangerous", "multipart", "prometheus_client", "python_multipart"),
    *("standardwebhooks", "uvicorn"),
}
"""Modules that come with the extra ``service``."""
SCOPES = ("education", "partner_offers")
ROLES = ("viewer", "operator", "auditor", "admin")
STATUSES = ("pending_approval", "approved", "overridden", "rejected", "superseded", "expired", "voided")

Command = Callable[..., Any]


def shared(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Options that several commands have in common, as one decorator."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


class Day(click.DateTime):
    """A day; none before 1970, as in landed files: what looks back from it would leave the calendar."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Midnight of it."""
        day = super().convert(value, param, ctx)
        if day.year < 1970:
            self.fail(f"{value!r} is before 1970.", param, ctx)
        return day


class Finite(click.FloatRange):
    """A number within a range; `nan` is within every one of click's."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


MOST = 2**31 - 1
"""Of anything that is counted: what every database holds."""
as_of_option = click.option("--as-of", type=Day(), help="Date, YYYY-MM-DD.")
paged = shared(
    click.option("--limit", type=click.IntRange(0, MOST), default=50, show_default=True),
    click.option("--offset", type=click.IntRange(0, MOST), default=0, show_default=True),
)
operator_option = click.option("--operator", "operator_id", required=True, help="Who decides.")
decider_option = click.option(
    "--operator", "operator_id", help="Who decides; not needed where SPENDSENSE_TOKEN is a token of theirs."
)


class Folder(click.Path):
    """A path that is not empty: an unset shell variable would name the working directory."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if value == "":
            self.fail("an empty path names no folder", param, ctx)
        return super().convert(value, param, ctx)


class Printed(click.Command):
    """A command whose function returns what is ``Shown``; with ``--json`` it is printed for programs."""

    def __init__(self, name: str | None, *, params: list[click.Parameter], **options: Any) -> None:
        as_json = click.Option(["--json"], is_flag=True, help="Machine-readable output.")
        super().__init__(name, params=[*params, as_json], **options)

    def invoke(self, ctx: click.Context) -> None:
        """Run it and print; exit 1 where it failed."""
        ctx.meta["json"] = ctx.params.pop("json")
        shown = super().invoke(ctx)
        print_out(shown, ctx.meta["json"])
        if shown.failed:
            sys.exit(1)


class Group(click.Group):
    """Commands that are ``Printed`` where they do not say otherwise."""

    command_class = Printed
    group_class = type


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def app() -> None:
    """Bank transactions to consented, approved financial education."""


def main() -> None:
    """Entry point. Exit 0 done, 1 refused or failed, 2 wrong usage; with ``--json`` errors are JSON on stderr."""
    # What is imported, and what planning an expression makes, lives as long as the command: at the usual threshold the
    # collector would walk it over and over (a fifth of the time of `profile`).
    gc.set_threshold(1_000_000, 50, 50)
    # Nor does it look at what goes with the process: as the interpreter ends, another fifth.
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that is not UTF-8 shows \u2019 and loses nothing
            stream.reconfigure(errors="backslashreplace")
    with reported_errors("--json" in sys.argv):
        app(standalone_mode=False)
        sys.stdout.flush()


@contextmanager
def reported_errors(wants_json: bool = False) -> Iterator[None]:
    """End the process with one line for whoever must act, exit 1 or 2; a defect of ours keeps its traceback."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(f"{error.format_message()}\n")
        sys.exit(2)
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "spendsense"
        _complain("usage", f"{error.format_message()} See `{command} --help`.", wants_json)
        sys.exit(2)
    except click.Abort:
        _complain("aborted", "aborted", wants_json)
        sys.exit(1)
    except SpendSenseError as error:
        _complain(error.code, str(error), wants_json)
        sys.exit(1)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        lines = _machine_fault(error)
        if lines is None:
            raise
        _complain(*lines, wants_json)
        sys.exit(1)


def _machine_fault(error: Exception) -> tuple[str, str] | None:
    """Code and message of what a disk, a damaged file or a missing package did; None for anything else.

    The libraries are asked for only where they are loaded: what was not loaded has raised nothing.
    """
    if isinstance(error, OSError):
        return "file_system", ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
    if isinstance(error, ModuleNotFoundError) and error.name == "psycopg":
        return "missing_package", "PostgreSQL needs the extra: pip install 'spendsense-pipeline[postgres]'"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in OF_THE_SERVICE:
        return "missing_package", "this needs the extra: pip install 'spendsense-pipeline[service]'"
    alchemy, duckdb = sys.modules.get("sqlalchemy.exc"), sys.modules.get("duckdb")
    if alchemy is not None and type(error) in (alchemy.DatabaseError, alchemy.OperationalError):
        said = str(error.orig) if isinstance(error, alchemy.DBAPIError) else str(error)
        return "database_error", f"the database cannot be used: {said}"
    if duckdb is not None and isinstance(error, duckdb.IOException | duckdb.InvalidInputException):
        return "unreadable_table", f"a stored table cannot be read: {str(error).splitlines()[0]}"
    return None


def _complain(code: str, message: str, wants_json: bool) -> None:
    text = (
        json.dumps({"error": {"code": code, "message": message}}) if wants_json else f"spendsense: {one_line(message)}"
    )
    sys.stderr.write(text + "\n")
