"""What people said, who may decide, and who is to be forgotten: consent, operator, erase."""

import datetime as dt
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, TextIO

import click

from spendsense_pipeline.cli import runtime
from spendsense_pipeline.cli.frame import ROLES, SCOPES, Day, app, operator_option, shared
from spendsense_pipeline.cli.output import Shown, cell, columns
from spendsense_pipeline.cli.runtime import governance_of
from spendsense_pipeline.settings import Settings


@app.group()
def consent() -> None:
    """Grant, revoke or read a customer's consent."""


TYPED = "on a command line"

consent_options = shared(
    click.argument("user_id"),
    click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Default: both; may be repeated."),
    click.option("--source", default="unstated", show_default=True, help="Where the customer said so."),
    click.option("--channel", default="command line", show_default=True, help="How it reached us: app, branch, phone."),
    click.option("--actor", default="command line", show_default=True, help="Who passes it on."),
)


@consent.command("grant")
@consent_options
@click.option("--text-version", default="unstated", show_default=True, help="Version of the text agreed to.")
def consent_grant(user_id: str, scopes: tuple[str, ...], **said: Any) -> Shown:
    """Open a period of consent, or renew the one that lives."""
    changed = _changed("grant", user_id, scopes, **said)
    lines = [f"{row['scope']}: {row['status']} ({row['consent_id']})" for row in changed]
    return Shown({"user_id": user_id, "consent": changed}, lines)


def _changed(action: str, user_id: str, scopes: tuple[str, ...], **said: Any) -> list[dict[str, Any]]:
    from spendsense_pipeline import profiles
    from spendsense_pipeline.governance import consent as periods

    settings = Settings()
    return periods.change(
        *(governance_of(settings), user_id, action, runtime.now()),
        require_arrived=partial(profiles.require_customer, settings.warehouse_root),
        consent_days=settings.consent_days,
        scopes=scopes or SCOPES,
        **said | {"source": periods.unidentified(said["source"], TYPED)},
    )


@consent.command("import")
@click.option("--reason", required=True, help="Why the files' word counts; kept with each period.")
def consent_import(reason: str) -> Shown:
    """Open first periods by the landed files' word, also of batches that this database never registered.

    For a governance database that was lost: an ingest opens nothing for people of the batches before it, since what
    they said in between is not known. Whoever was asked here in whatever way is left alone.
    """
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.governance import consent as periods

    settings = Settings()
    said = ["user_id", "user_type", "consent_status", "consent_granted_at", "consent_revoked_at"]
    users = warehouse.load(settings.warehouse_root, "users", columns=said).to_pylist()
    customers = [row for row in users if row["user_type"] != "operator"]
    with runtime.writing(settings) as session:
        opened = periods.open_first_periods(session, customers, runtime.now(), source=f"consent import: {reason}")
    return Shown({"periods_opened": opened}, [f"{opened} periods opened"])


@consent.command("text")
@click.argument("version")
@click.argument("file", type=click.File(encoding="utf-8"))
def consent_text(version: str, file: TextIO) -> Shown:
    """Keep the words of a version of the consent, so that --text-version names a text and not a label alone."""
    from spendsense_pipeline.governance import consent

    digest = consent.register_text(governance_of(Settings()), version, file.read(), runtime.now())
    return Shown({"version": version, "digest": digest}, [f"{version} is kept, SHA-256 {digest}"])


@consent.command("revoke")
@consent_options
def consent_revoke(user_id: str, scopes: tuple[str, ...], **said: Any) -> Shown:
    """Close the live period: voids what waits, recalls what was released."""
    changed = _changed("revoke", user_id, scopes, **said)
    lines = [
        f"{row['scope']}: {row['status'].replace('_', ' ')}, {len(row['voided'])} voided, "
        f"{len(row['recalled'])} recalled"
        for row in changed
    ]
    return Shown({"user_id": user_id, "consent": changed}, lines)


@consent.command("history")
@click.argument("user_id")
def consent_history(user_id: str) -> Shown:
    """All that happened to a customer's consent, oldest first, and the periods that it adds up to."""
    from spendsense_pipeline.governance import consent as records

    settings = Settings()
    with runtime.reading(settings) as session:
        events = records.history(session, user_id)
        periods = records.periods(session, user_id, runtime.now(), settings.consent_days)

    def lines() -> Iterable[str]:
        if not events:
            yield "no consent was ever recorded"
            return
        names = ["at", "scope", "action", "granted_at", "text_version", "channel", "source", "actor", "reason"]
        yield from columns(events, names)
        for period in periods:
            until = f", until {cell(period['expires_at'])}" if period["expires_at"] else ""
            state = f"live{until}" if period["live"] else f"ended {cell(period['closed_at'] or period['expires_at'])}"
            yield f"{period['scope']}, period {period['ordinal']} ({period['consent_id']}): {state}"

    return Shown({"user_id": user_id, "history": events, "periods": periods}, lines())


by_option = click.option("--by", help="Operator who does it; whoever was deactivated is brought back by another.")


@app.group()
def operator() -> None:
    """Who may decide."""


@operator.command("add")
@click.argument("operator_id")
@click.option("--role", type=click.Choice(ROLES), help="What they may do; default operator.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Content they decide on; default both."
)
@click.option("--qualified-until", type=Day(), help="Last day on which they may decide.")
@click.option("--password", is_flag=True, help="Ask for a password that they log in with; piped, its first line.")
@click.option("--subject", help="Their name at the identity provider: ISSUER|SUB.")
@by_option
def operator_add(
    operator_id: str,
    scopes: tuple[str, ...],
    qualified_until: dt.datetime | None,
    password: bool,
    by: str | None,
    **named: str | None,
) -> Shown:
    """Register somebody who works here, let one decide again, or change what they may do."""
    from spendsense_pipeline.governance import credentials, operators

    standing = operators.Standing(
        scopes=scopes or None,
        qualified_until=runtime.day_of(qualified_until),
        password_hash=credentials.password_hash(_new_password()) if password else None,
        **named,
    )
    with runtime.writing() as session:
        status = operators.add(session, operator_id, runtime.now(), standing=standing, actor=by)
    return Shown({"operator_id": operator_id, "status": status}, [f"{operator_id}: {status}"])


def _new_password() -> str:
    """A password typed twice, or the first line of what is piped in; never an argument, which others can see."""
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    return sys.stdin.readline().rstrip("\r\n")


@operator.command("deactivate")
@click.argument("operator_id")
@by_option
def operator_deactivate(operator_id: str, by: str | None) -> Shown:
    """Let an operator decide no more; what was decided stands."""
    from spendsense_pipeline.governance import operators

    with runtime.writing() as session:
        status = operators.deactivate(session, operator_id, runtime.now(), actor=by)
    return Shown({"operator_id": operator_id, "status": status}, [f"{operator_id}: {status}"])


@operator.command("list")
def operator_list() -> Shown:
    """All operators."""
    from spendsense_pipeline.governance import operators

    with runtime.reading() as session:
        rows = operators.listed(session)
    names = ["operator_id", "active", "role", "scopes", "qualified_until", "logs_in", "registered_at", "source"]
    shown = [row | {"scopes": " ".join(row["scopes"])} for row in rows]
    return Shown({"operators": rows}, columns(shown, names, "no operator yet"))


@app.command()
@click.argument("user_id")
@operator_option
@click.option("--reason", required=True, help="Stays on record: name the request, not the person.")
def erase(user_id: str, operator_id: str, reason: str) -> Shown:
    """Take a customer's data and texts out of files, tables and database, and keep them out. Cannot be undone."""
    done = _erase(Settings(), user_id, operator_id, reason)
    return Shown(done, _erasure_lines(done))


def _erase(settings: Settings, user_id: str, operator_id: str, reason: str) -> dict[str, Any]:
    from spendsense_pipeline.defs import erase_run
    from spendsense_pipeline.defs.resources import Clock

    with runtime.dagster_instance(settings) as instance:
        return erase_run.erase(settings, instance, user_id, operator_id, reason, Clock())


def _erasure_lines(done: Mapping[str, Any]) -> Iterable[str]:
    yield f"erased {done['user_id']}" + (f" ({done['erasure_id']})" if done["erasure_id"] else ": nothing was left")
    for place, counts in done["erased"].items():
        for name, number in counts.items() if isinstance(counts, dict) else [("", counts)]:
            if number:
                yield f"  {place}{' ' if name else ''}{name}: {cell(number)}"
    yield "what remains, and why"
    yield from (f"  {one['what']}: {one['reason']}" for one in done["remains"])


@app.group()
def holds() -> None:
    """Legal holds: while one stands, nothing of the customer is erased."""


@holds.command("add")
@click.argument("user_id")
@operator_option
@click.option("--reason", required=True, help="The matter; kept on record.")
def holds_add(user_id: str, operator_id: str, reason: str) -> Shown:
    """Put a customer on hold."""
    from spendsense_pipeline import profiles
    from spendsense_pipeline.governance import holds as legal

    settings = Settings()
    profiles.require_customer(settings.warehouse_root, user_id)
    with runtime.writing(settings) as session:
        hold_id = legal.place(session, user_id, operator_id, reason, runtime.now())
    return Shown({"hold_id": hold_id, "user_id": user_id}, [f"{user_id} is on hold ({hold_id})"])


@holds.command("lift")
@click.argument("hold")
@operator_option
@click.option("--reason", required=True, help="Why it ends; kept on record.")
def holds_lift(hold: str, operator_id: str, reason: str) -> Shown:
    """Lift a hold, named by its id or its customer's; an erasure that waited for it is carried out."""
    from spendsense_pipeline.governance import holds as legal

    settings = Settings()
    with runtime.writing(settings) as session:
        lifted = legal.lift(session, hold, operator_id, reason, runtime.now())
    waiting = lifted.pop("waiting")
    erased = waiting and _erase(settings, lifted["user_id"], operator_id, waiting["reason"])

    def lines() -> Iterable[str]:
        yield f"{lifted['hold_id']} is lifted"
        yield from _erasure_lines(erased) if erased else []

    return Shown({**lifted, "erasure": erased}, lines())


@holds.command("list")
def holds_list() -> Shown:
    """All holds, newest first."""
    from spendsense_pipeline.governance import holds as legal

    with runtime.reading() as session:
        rows = legal.listed(session)
    names = ["hold_id", "user_id", "reason", "operator_id", "placed_at", "lifted_at", "erasure_waits"]
    return Shown({"holds": rows}, columns(rows, names, "no hold was ever placed"))
