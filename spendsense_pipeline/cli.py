"""``spendsense …``: parse, call one domain function, print. No rule lives here.

Modules are imported inside the commands that need them: what works on the governance database alone answers in
well under a second, and Dagster is loaded only where a run is started.
"""

import datetime as dt
import gc
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

SCOPES = ("education", "partner_offers")
STATUSES = ("pending_approval", "approved", "overridden", "rejected", "superseded", "expired", "voided")

Command = Callable[..., None]


def _shared(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Options that several commands have in common, as one decorator."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


as_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
as_of_option = click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="Date, YYYY-MM-DD.")
paged = _shared(
    click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True),
    click.option("--offset", type=click.IntRange(min=0), default=0, show_default=True),
)
operator_option = click.option("--operator", "operator_id", required=True, help="Who decides.")


class Folder(click.Path):
    """A path that is not empty: an unset shell variable would name the working directory."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if value == "":
            self.fail("an empty path names no folder", param, ctx)
        return super().convert(value, param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def app() -> None:
    """Bank transactions to consented, approved financial education."""


def main() -> None:
    """Entry point. Exit 0 done, 1 refused or failed, 2 wrong usage; with ``--json`` errors are JSON on stderr."""
    # Planning an expression makes millions of small objects that live as long as the command: at the usual threshold
    # the collector would walk them over and over (a fifth of the time of `profile`).
    gc.set_threshold(200_000, 50, 50)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that is not UTF-8 shows \u2019 and loses nothing
            stream.reconfigure(errors="backslashreplace")
    with told_errors("--json" in sys.argv):
        app(standalone_mode=False)
        sys.stdout.flush()


@contextmanager
def told_errors(wants_json: bool = False) -> Iterator[None]:
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
        told = _machine_fault(error)
        if told is None:
            raise
        _complain(*told, wants_json)
        sys.exit(1)


def _machine_fault(error: Exception) -> tuple[str, str] | None:
    """Code and message of what a disk, a damaged file or a missing package did; None for anything else.

    The libraries are asked for only where they are loaded: what was not loaded has raised nothing.
    """
    if isinstance(error, OSError):
        return "file_system", ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
    if isinstance(error, ModuleNotFoundError) and error.name == "psycopg":
        return "missing_package", "PostgreSQL needs the extra: pip install 'spendsense-pipeline[postgres]'"
    alchemy, duckdb = sys.modules.get("sqlalchemy.exc"), sys.modules.get("duckdb")
    if alchemy is not None and type(error) in (alchemy.DatabaseError, alchemy.OperationalError):
        said = str(error.orig) if isinstance(error, alchemy.DBAPIError) else str(error)
        return "database_error", f"the database cannot be used: {said}"
    if duckdb is not None and isinstance(error, duckdb.IOException | duckdb.InvalidInputException):
        return "unreadable_table", f"a stored table cannot be read: {str(error).splitlines()[0]}"
    return None


def _complain(code: str, message: str, wants_json: bool) -> None:
    text = json.dumps({"error": {"code": code, "message": message}}) if wants_json else f"spendsense: {_line(message)}"
    sys.stderr.write(text + "\n")


def _plain(value: Any) -> Any:
    """Times as ISO 8601 UTC, dates as dates; anything else JSON cannot hold is a defect and raises."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    if hasattr(value, "item"):  # numpy's scalars
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _print(payload: Mapping[str, Any], wants_json: bool, told: Callable[[], Iterable[str]]) -> None:
    if wants_json:
        text = json.dumps(payload, default=_plain, ensure_ascii=False, allow_nan=False)
        try:
            text.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:  # another encoding, or an id whose bytes were no text
            text = json.dumps(payload, default=_plain, allow_nan=False)
        print(text)
    else:
        for line in told():
            print(_line(line))


def _line(text: str) -> str:
    """Text on one line: control characters would let a payee's name rewrite the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Rows as aligned columns under their names."""
    cells = [list(names)] + [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _cell(value: Any) -> str:
    """One value as people read it; a list of codes as words."""
    if value is None or value == []:
        return "-"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return _line(value if isinstance(value, str) else json.dumps(value, default=_plain))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _day(moment: dt.datetime | None) -> dt.date | None:
    return moment.date() if moment else None


def _governance(settings: Settings) -> "Engine":
    from spendsense_pipeline.governance.database import open_or_create

    return open_or_create(settings.governance_url)


def _instance(settings: Settings) -> AbstractContextManager[Any]:
    from spendsense_pipeline.defs import launch

    if settings.brings_own_home and not settings.home.is_dir():
        raise SpendSenseError(
            f"DAGSTER_HOME is '{settings.home}': there is no such folder; create it, or leave the variable unset",
            code="invalid_settings",
        )
    return launch.opened_instance(settings)


def _consents(settings: Settings) -> dict[str, dict[str, bool]]:
    """Live consent of everybody: user -> scope -> whether it lives."""
    from spendsense_pipeline.governance.consent import live_consents
    from spendsense_pipeline.governance.database import reading

    found: dict[str, dict[str, bool]] = {}
    with reading(_governance(settings)) as session:
        for row in live_consents(session, _now(), settings.consent_days):
            found.setdefault(row.user_id, dict.fromkeys(SCOPES, False))[row.scope] = True
    return found


# --- Data in, tables out ---


@app.command()
@click.option("--users", type=click.IntRange(min=1), default=75, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True)
@as_of_option
@click.option("--days", type=click.IntRange(min=1), default=180, show_default=True)
@click.option("--hard", is_flag=True, help="Noise, skips, messy payees, price rises.")
@click.option("--out", type=Folder(), help="Folder to write; default in the data folder.")
@as_json
def generate(
    users: int, seed: int, as_of: dt.datetime | None, days: int, hard: bool, out: Path | None, as_json: bool
) -> None:
    """Synthetic customers as a folder to ingest, with truth.json of what was planted."""
    from spendsense_pipeline import synthetic

    day = _day(as_of) or _now().date()
    folder = out or Settings().data / "generated" / f"{users}-users-seed-{seed}-{day}{'-hard' if hard else ''}"
    batch = synthetic.generate(users, seed, as_of=day, days=days, hard=hard)
    synthetic.write(batch, folder)
    payload: dict[str, Any] = {
        "path": str(folder),
        "seed": seed,
        "as_of": day,
        "rows": {name: len(table) for name, table in batch.tables.items()},
    }
    _print(payload, as_json, lambda: [f"{n:>9,} {name}" for name, n in payload["rows"].items()] + [f"in {folder}"])


@app.command()
@click.argument("path", type=Folder())
@click.option("--format", type=click.Choice(["spendsense"]), default="spendsense", expose_value=False)
@click.option("--batch", "batch_id", help="Batch id; default from the folder's name and content.")
@click.option("--trust-operators", is_flag=True, help="Let the files add operators although there are some.")
@as_json
def ingest(path: Path, batch_id: str | None, trust_operators: bool, as_json: bool) -> None:
    """Land a folder of files as a batch and merge it into the tables."""
    from spendsense_pipeline.definitions import build_defs
    from spendsense_pipeline.defs import launch
    from spendsense_pipeline.ingest import landing

    settings = Settings()
    folder = landing.land(path, settings.landing, batch_id)
    with _instance(settings) as instance:
        ran = launch.ingest_batch(build_defs(settings), instance, folder.name, trust_operators=trust_operators)
    payload: dict[str, Any] = {"batch": folder.name, "run_id": ran.run_id, "tables": launch.tallies(ran)}
    _print(
        payload,
        as_json,
        lambda: [
            f"batch {folder.name}, run {ran.run_id}",
            *_table(
                [{"table": name, **counts} for name, counts in payload["tables"].items()],
                ["table", "read", "accepted", "duplicate", "rejected"],
            ),
        ],
    )


@app.command()
@click.option("--batch", "batch_id", help="Only this batch.")
@as_json
def quarantine(batch_id: str | None, as_json: bool) -> None:
    """Rows that were read and not accepted, with their reasons."""
    from spendsense_pipeline import warehouse

    settings = Settings()
    table = warehouse.read(warehouse.connect(), settings.warehouse_root, "quarantined_rows")
    if batch_id is not None:
        if batch_id not in {folder.name for folder in settings.landing.iterdir()}:
            raise SpendSenseError(f"no batch {batch_id!r} has landed in {settings.landing}", code="unknown_batch")
        table = table.filter(table.batch == batch_id)
    rows = table.order_by("batch", "file", "row").to_pyarrow().to_pylist()
    for row in rows:
        row["reasons"] = json.loads(row["reasons"])
    names = ["batch", "table", "file", "row", "field", "value", "reasons"]
    _print({"quarantine": rows}, as_json, lambda: _table(rows, names) if rows else ["nothing in quarantine"])


@app.command()
@as_of_option
@as_json
def run(as_of: dt.datetime | None, as_json: bool) -> None:
    """Features to approval queue for one date (default: the newest accepted transaction's)."""
    from spendsense_pipeline.definitions import build_defs
    from spendsense_pipeline.defs import launch
    from spendsense_pipeline.profiles import newest_transaction_date

    settings = Settings()
    day = _day(as_of) or newest_transaction_date(settings.warehouse_root)
    with _instance(settings) as instance:
        ran = launch.daily_refresh(build_defs(settings), instance, day)
    queue = ran.metadata["approval_queue"]
    payload = {
        "run_id": ran.run_id,
        "as_of": day,
        "rows": {
            name: metadata["dagster/row_count"]
            for name, metadata in ran.metadata.items()
            if "dagster/row_count" in metadata
        },
        **{name: queue[name] for name in ("registered", "replaced", "unchanged", "suppressed", "refused", "withdrawn")},
    }
    _print(
        payload,
        as_json,
        lambda: [
            f"{day}, run {ran.run_id}",
            *(f"{n:>9,} {name}" for name, n in payload["rows"].items()),
            f"registered {payload['registered']}, replaced {payload['replaced']}, unchanged {payload['unchanged']}, "
            f"suppressed {payload['suppressed']}, refused {payload['refused']}, withdrawn {payload['withdrawn']}",
        ],
    )


# --- Customers ---


@app.command()
@click.option("--type", "user_type", type=click.Choice(["customer", "operator"]))
@click.option("--consent", type=bool, help="true: live consent in any scope.")
@click.option("--persona")
@paged
@as_json
def users(
    user_type: str | None, consent: bool | None, persona: str | None, limit: int, offset: int, as_json: bool
) -> None:
    """List people with their consent and newest personas."""
    from spendsense_pipeline import profiles

    settings = Settings()
    found = profiles.users(
        settings.warehouse_root,
        _consents(settings),
        user_type=user_type,
        consent=consent,
        persona=persona,
        limit=limit,
        offset=offset,
    )
    rows = [
        {
            "user_id": row["user_id"],
            "type": row["user_type"],
            "consent": " ".join(scope for scope, live in row["consent"].items() if live) or "none",
            "30 days": row["personas"]["30"],
            "180 days": row["personas"]["180"],
        }
        for row in found["users"]
    ]
    names = ["user_id", "type", "consent", "30 days", "180 days"]
    _print(found, as_json, lambda: [*_table(rows, names), f"{len(rows)} of {found['total']}"])


@app.command()
@click.argument("user_id")
@as_of_option
@click.option("--window", type=click.IntRange(1, 365), help="Days; default the two standard windows.")
@as_json
def profile(user_id: str, as_of: dt.datetime | None, window: int | None, as_json: bool) -> None:
    """A customer's consent, features and personas."""
    from spendsense_pipeline import profiles

    settings = Settings()
    found = profiles.profile(settings.warehouse_root, user_id, _consents(settings), _day(as_of), window)

    def told() -> Iterable[str]:
        yield f"{user_id} on {found['as_of']}; consent: {_consented(found['consent'])}"
        for days, verdict in found["personas"].items():
            kind = "fallback" if verdict["is_fallback"] else f"confidence {verdict['confidence']:.2f}"
            yield f"{days} days: {verdict['persona']} ({kind})"
            for reason in verdict["reasons"]:
                if reason["met"]:
                    yield (
                        f"    {reason['clause']}: {reason['signal']} = {_cell(reason['value'])} "
                        f"{reason['operator']} {_cell(reason['threshold'])}"
                    )
        windows = found["features"]
        if not windows:
            yield "no figures: on this day the customer was not known yet"
            return
        names = list(next(iter(windows.values())))
        rows = [{"signal": name, **{days: row[name] for days, row in windows.items()}} for name in names]
        yield from _table(rows, ["signal", *windows])

    _print(found, as_json, told)


def _consented(consent: Mapping[str, bool]) -> str:
    return ", ".join(scope for scope, live in consent.items() if live) or "none"


@app.command()
@click.argument("user_id")
@as_of_option
@as_json
def signals(user_id: str, as_of: dt.datetime | None, as_json: bool) -> None:
    """The operator's view: what lies behind each figure, both windows."""
    from spendsense_pipeline import profiles

    found = profiles.signals(Settings().warehouse_root, user_id, _day(as_of))

    def told() -> Iterable[str]:
        yield f"{user_id} on {found['as_of']}"
        if not found["windows"]:
            yield "no figures: on this day the customer was not known yet"
        for days, families in found["windows"].items():
            yield f"last {days} days"
            for family, figures in families.items():
                yield f"  {family}"
                for name, value in figures.items():
                    if isinstance(value, list):
                        yield f"    {name}:" if value else f"    {name}: none"
                        yield from (f"      {', '.join(f'{k} {_cell(v)}' for k, v in row.items())}" for row in value)
                    else:
                        yield f"    {name}: {_cell(value)}"

    _print(found, as_json, told)


# --- Consent and operators ---


@app.group()
def consent() -> None:
    """Grant, revoke or read a customer's consent."""


scope_option = click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Default: both; may be repeated."
)
consent_options = _shared(
    click.argument("user_id"),
    scope_option,
    click.option("--source", default="command line", show_default=True, help="Where the customer said so."),
    click.option("--actor", default="command line", show_default=True, help="Who passes it on."),
)


@consent.command("grant")
@consent_options
@click.option("--text-version", default="unstated", show_default=True, help="Version of the text agreed to.")
@as_json
def consent_grant(
    user_id: str, scopes: tuple[str, ...], source: str, actor: str, text_version: str, as_json: bool
) -> None:
    """Open a period of consent, or renew the one that lives."""
    from spendsense_pipeline.governance import consent as periods
    from spendsense_pipeline.governance.database import writing

    settings = Settings()
    _known_customer(settings, user_id)
    with writing(_governance(settings)) as session:
        changed = periods.grant(
            session,
            user_id,
            _now(),
            scopes=scopes or SCOPES,
            actor=actor,
            source=source,
            channel="command line",
            text_version=text_version,
            consent_days=settings.consent_days,
        )
    payload = {"user_id": user_id, "consent": changed}
    _print(payload, as_json, lambda: [f"{row['scope']}: {row['status']} ({row['consent_id']})" for row in changed])


@consent.command("revoke")
@consent_options
@as_json
def consent_revoke(user_id: str, scopes: tuple[str, ...], source: str, actor: str, as_json: bool) -> None:
    """Close the live period: voids what waits, recalls what was released."""
    from spendsense_pipeline.governance import consent as periods
    from spendsense_pipeline.governance.database import reading, writing

    settings = Settings()
    engine = _governance(settings)
    with reading(engine) as session:
        known = bool(periods.history(session, user_id))
    if not known:  # nobody may believe that a mistyped id was revoked
        _known_customer(settings, user_id)
    with writing(engine) as session:
        changed = periods.revoke(
            session, user_id, _now(), scopes=scopes or SCOPES, actor=actor, source=source, channel="command line"
        )
    payload = {"user_id": user_id, "consent": changed}
    _print(
        payload,
        as_json,
        lambda: [
            f"{row['scope']}: {row['status'].replace('_', ' ')}, {len(row['voided'])} voided, "
            f"{len(row['recalled'])} recalled"
            for row in changed
        ],
    )


@consent.command("history")
@click.argument("user_id")
@as_json
def consent_history(user_id: str, as_json: bool) -> None:
    """All that happened to a customer's consent, oldest first."""
    from spendsense_pipeline.governance import consent as periods
    from spendsense_pipeline.governance.database import reading

    with reading(_governance(Settings())) as session:
        events = periods.history(session, user_id)
    names = ["at", "scope", "action", "granted_at", "text_version", "source", "actor", "reason"]
    payload = {"user_id": user_id, "history": events}
    _print(payload, as_json, lambda: _table(events, names) if events else ["no consent was ever recorded"])


def _known_customer(settings: Settings, user_id: str) -> None:
    """Refuse to open consent for somebody who never arrived: a mistyped id would wait there for its owner."""
    from spendsense_pipeline import profiles, warehouse

    profiles.require_customer(warehouse.connect(), settings.warehouse_root, user_id)


@app.group()
def operator() -> None:
    """Who may decide."""


@operator.command("add")
@click.argument("operator_id")
@as_json
def operator_add(operator_id: str, as_json: bool) -> None:
    """Register an operator, or let one decide again."""
    from spendsense_pipeline.governance import operators
    from spendsense_pipeline.governance.database import writing

    with writing(_governance(Settings())) as session:
        status = operators.add(session, operator_id, _now())
    _print({"operator_id": operator_id, "status": status}, as_json, lambda: [f"{operator_id}: {status}"])


@operator.command("deactivate")
@click.argument("operator_id")
@as_json
def operator_deactivate(operator_id: str, as_json: bool) -> None:
    """Let an operator decide no more; what was decided stands."""
    from spendsense_pipeline.governance import operators
    from spendsense_pipeline.governance.database import writing

    with writing(_governance(Settings())) as session:
        status = operators.deactivate(session, operator_id, _now())
    _print({"operator_id": operator_id, "status": status}, as_json, lambda: [f"{operator_id}: {status}"])


@operator.command("list")
@as_json
def operator_list(as_json: bool) -> None:
    """All operators."""
    from spendsense_pipeline.governance import operators
    from spendsense_pipeline.governance.database import reading

    with reading(_governance(Settings())) as session:
        rows = operators.listed(session)
    names = ["operator_id", "active", "registered_at", "source"]
    _print({"operators": rows}, as_json, lambda: _table(rows, names) if rows else ["no operator yet"])


# --- Review and release ---


@app.command()
@click.option("--status", type=click.Choice(STATUSES), default="pending_approval", show_default=True)
@click.option("--user", "user_id")
@click.option("--persona")
@click.option("--template", "template_id")
@click.option("--by", type=click.Choice(["template"]), help="Grouped into pieces of writing.")
@paged
@as_json
def queue(
    status: str,
    user_id: str | None,
    persona: str | None,
    template_id: str | None,
    by: str | None,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """What waits for an operator, most urgent first; approve an item by the reference in its row."""
    from spendsense_pipeline.governance import queue as desk
    from spendsense_pipeline.governance.database import reading

    if by and (user_id or persona or template_id):
        raise click.UsageError("--by template counts everybody's: leave out --user, --persona and --template.")
    engine = _governance(Settings())
    with reading(engine) as session:
        if by == "template":
            pieces = desk.queue_by_template(session, _now(), status=status)
            shown = pieces[offset : offset + limit]
            payload = {"queue": shown, "total": len(pieces), "limit": limit, "offset": offset}
            _print(payload, as_json, lambda: _table(shown, ["template_id", "content_type", "count", "with_findings"]))
            return
        found = desk.queue(
            session,
            _now(),
            status=status,
            user_id=user_id,
            persona=persona,
            template_id=template_id,
            limit=limit,
            offset=offset,
        )
    rows = [
        {
            **row,
            "reference": f"{row['recommendation_id']}@{row['content_hash'][:12]}",
            "findings": ", ".join(one["check"] for one in row["findings"]) or "none",
        }
        for row in found["queue"]
    ]
    names = ["reference", "user_id", "persona", "title", "findings", "age_hours"]
    _print(found, as_json, lambda: [*_table(rows, names), f"{len(rows)} of {found['total']} {status}"])


@app.command()
@click.argument("recommendation_id")
@click.option("--operator", "operator_id", default="", help="Who looks; an approval without @HASH means this text.")
@as_json
def show(recommendation_id: str, operator_id: str, as_json: bool) -> None:
    """One recommendation in full."""
    from spendsense_pipeline.governance import queue as desk

    found = desk.show(_governance(Settings()), recommendation_id, _now(), operator_id=operator_id)

    def told() -> Iterable[str]:
        yield f"{found['recommendation_id']}@{found['content_hash']}"
        yield f"{found['status']} for {found['user_id']}, {found['persona']}, figures of {found['as_of']}"
        yield ""
        yield found["title"]
        yield from (line for line in found["content"].splitlines())
        yield ""
        yield f"why: {found['rationale']}"
        for name, slot in found["slots"].items():
            yield f"  {name}: {slot['shown']}"
        for one in found["findings"]:
            yield f"finding, {one['severity']}: {one['check']}: {one['message']}"
        for one in found["decisions"]:
            yield f"{_cell(one['decided_at'])} {one['action']} by {one['operator_id']}: {one['reason'] or '-'}"
        consent = found["consent"]
        yield f"consent {consent['consent_id']} ({consent['scope']}), {'closed' if consent['closed_at'] else 'live'}"

    _print(found, as_json, told)


ADVICE = {
    "hash_required": "look at it first with `spendsense show REC`, or name the text you saw: REC@HASH",
    "changed": "its text is another one now; look again with `spendsense show REC`",
    "unknown_operator": "`spendsense operator list` shows who may decide, `operator add` registers somebody",
    "inactive_operator": "`spendsense operator add` lets a deactivated operator decide again",
    "unknown_recommendation": "`spendsense queue` lists those that wait",
    "critical_finding": "`spendsense show REC` names it; `override` puts other words in its place",
}
"""What to do about a refusal, for those who read; programs have the code."""


def _decided(results: list[dict[str, Any]], as_json: bool) -> None:
    """Print what became of each item; exit 1 where any was refused."""

    def told() -> Iterable[str]:
        for row in results:
            refused = row["refused"]
            said = f"refused, {refused.replace('_', ' ')}" if refused else row["status"].replace("_", " ")
            advice = ADVICE.get(refused, "").replace("REC", row["recommendation_id"])
            yield f"{row['recommendation_id']}: {said}{f': {advice}' if advice else ''}"

    _print({"results": results}, as_json, told)
    if not all(row["ok"] for row in results):
        sys.exit(1)


@app.command()
@click.argument("references", nargs=-1, required=True, metavar="REC[@HASH]...")
@operator_option
@click.option("--note")
@as_json
def approve(references: tuple[str, ...], operator_id: str, note: str | None, as_json: bool) -> None:
    """Approve texts, each bound to the hash that was seen."""
    from spendsense_pipeline.governance import review

    settings = Settings()
    engine = _governance(settings)
    results = review.approve(engine, references, operator_id, _now(), note=note, four_eyes=settings.four_eyes)
    _decided(results, as_json)


@app.command()
@click.argument("references", nargs=-1, required=True, metavar="REC[@HASH]...")
@operator_option
@click.option("--reason", required=True)
@as_json
def reject(references: tuple[str, ...], operator_id: str, reason: str, as_json: bool) -> None:
    """Reject texts for good."""
    from spendsense_pipeline.governance import review

    _decided(review.reject(_governance(Settings()), references, operator_id, _now(), reason=reason), as_json)


@app.command()
@click.argument("reference", metavar="REC[@HASH]")
@operator_option
@click.option("--title")
@click.option("--content")
@click.option("--reason", required=True)
@as_json
def override(
    reference: str, operator_id: str, title: str | None, content: str | None, reason: str, as_json: bool
) -> None:
    """Put other words in the place of a waiting text; the original is kept."""
    from spendsense_pipeline.governance import review
    from spendsense_pipeline.recommendations.guardrails import review_draft

    settings = Settings()
    results = review.override(
        _governance(settings),
        reference,
        operator_id,
        _now(),
        guardrails=review_draft,
        reason=reason,
        title=title,
        content=content,
        four_eyes=settings.four_eyes,
    )
    _decided(results, as_json)


@app.command()
@click.argument("references", nargs=-1, required=True, metavar="REC...")
@operator_option
@as_json
def undo(references: tuple[str, ...], operator_id: str, as_json: bool) -> None:
    """Take back an approval or an override that was not released yet."""
    from spendsense_pipeline.governance import review

    _decided(review.undo(_governance(Settings()), references, operator_id, _now()), as_json)


@app.command()
@as_json
def release(as_json: bool) -> None:
    """Run the gate now."""
    from spendsense_pipeline.governance import release as gate

    settings = Settings()
    done = gate.run_gate(_governance(settings), _now(), consent_days=settings.consent_days)
    payload = {"released": done.released, "recalled": done.recalled, "blocked": done.blocked}
    _print(
        payload,
        as_json,
        lambda: [
            f"released {len(done.released)}, recalled {len(done.recalled)}",
            *(f"held back, {reason.replace('_', ' ')}: {n}" for reason, n in done.blocked.items()),
        ],
    )


@app.command()
@click.option("--user", "user_id")
@as_json
def released(user_id: str | None, as_json: bool) -> None:
    """The feed: what a customer may see at this moment."""
    from spendsense_pipeline.governance import release as gate
    from spendsense_pipeline.governance.database import reading

    settings = Settings()
    with reading(_governance(settings)) as session:
        rows = gate.released(session, _now(), user_id=user_id, consent_days=settings.consent_days)
    names = ["released_at", "user_id", "title", "recommendation_id", "consent_id", "decision_id"]
    _print({"released": rows}, as_json, lambda: _table(rows, names) if rows else ["nothing is released"])


@app.command()
@click.argument("recommendation_id")
@as_json
def why(recommendation_id: str, as_json: bool) -> None:
    """Why a customer was told something, from stored rows alone."""
    from spendsense_pipeline.governance.database import reading
    from spendsense_pipeline.governance.why import why as answer

    with reading(_governance(Settings())) as session:
        found = answer(session, recommendation_id, _now())

    def told() -> Iterable[str]:
        yield f"{found['recommendation_id']} for {found['user_id']}: {found['status']}"
        yield f"text {found['content_hash']}: {found['title']}"
        yield f"situation {found['situation']}, piece {found['template_id']} ({found['prompt_version']})"
        yield f"why: {found['rationale']}"
        for reason in found["reasons"]:
            if reason["met"] and reason["clause"].startswith(f"{found['persona']}."):
                held = f"{_cell(reason['value'])} {reason['operator']} {_cell(reason['threshold'])}"
                yield f"  {reason['clause']}: {held}"
        for name, slot in found["slots"].items():
            yield f"  slot {name}: {slot['shown']} (from {slot['signal']})"
        consent = found["consent"]
        yield (
            f"consent {consent['consent_id']}, {consent['scope']}, granted {_cell(consent['granted_at'])}, text "
            f"{consent['text_version']}, through {consent['channel']} ({consent['source']}), closed "
            f"{_cell(consent['closed_at'])}"
        )
        for one in found["decisions"]:
            run_id = f", run {one['run_id']}" if one["run_id"] else ""
            yield f"{one['action']} by {one['operator_id']} at {_cell(one['decided_at'])}, {one['made']}{run_id}"
        if found["release"]:
            yield f"released {_cell(found['release']['released_at'])} as {found['release']['release_id']}"
        if found["recall"]:
            yield f"recalled {_cell(found['recall']['recalled_at'])}: {found['recall']['cause']}"

    _print(found, as_json, told)


# --- The whole ---


@app.command()
@as_json
def dashboard(as_json: bool) -> None:
    """Counts of people, personas and recommendations."""
    from spendsense_pipeline import profiles
    from spendsense_pipeline.governance import queue as desk
    from spendsense_pipeline.governance import records
    from spendsense_pipeline.governance.database import reading

    settings = Settings()
    with reading(_governance(settings)) as session:
        counted = desk.counts(session, _now())
        latency = records.latency(session)
    payload = {**profiles.counts(settings.warehouse_root, _consents(settings)), **counted, "latency_ms": latency}

    def told() -> Iterable[str]:
        for group, numbers in payload.items():
            yield group.replace("_", " ")
            for name, number in numbers.items():
                if isinstance(number, Mapping):
                    yield f"  {name} days: " + ", ".join(f"{one} {n}" for one, n in number.items())
                else:
                    yield f"  {name.replace('_', ' ')}: {_cell(number)}"

    _print(payload, as_json, told)


@app.group()
def audit() -> None:
    """The audit chain."""


@audit.command("verify")
@as_json
def audit_verify(as_json: bool) -> None:
    """Recompute the chain; exit 1 and name the first broken row where it does not hold."""
    from spendsense_pipeline.governance import audit as chain
    from spendsense_pipeline.governance import records
    from spendsense_pipeline.governance.database import reading

    with reading(_governance(Settings())) as session:
        verdict = chain.verify(session, records.known_heads(session))
    payload = {
        "ok": verdict.ok,
        "count": verdict.count,
        "head": verdict.head,
        "first_broken": verdict.first_broken,
    }
    said = f"{verdict.count} rows, " + ("intact" if verdict.ok else f"broken at {verdict.first_broken}")
    _print(payload, as_json, lambda: [said, f"head {verdict.head}"])
    if not verdict.ok:
        sys.exit(1)


@app.group()
def db() -> None:
    """The governance database."""


@db.command("upgrade")
@as_json
def db_upgrade(as_json: bool) -> None:
    """Create it, or bring it to this version's schema."""
    from spendsense_pipeline.governance import database

    engine = database.open_or_create(Settings().governance_url)
    database.upgrade(engine)
    schema = database.current(engine)
    _print({"schema": schema}, as_json, lambda: [f"schema {schema}"])


if __name__ == "__main__":
    main()
