"""What commands are made of: the clock, the governance database, a Dagster instance, who consents."""

import datetime as dt
import logging
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spendsense_pipeline.cli.output import wants_json
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session


def now() -> dt.datetime:
    """This moment, in UTC: the only clock that commands read."""
    return dt.datetime.now(dt.UTC)


def day_of(moment: dt.datetime | None) -> dt.date | None:
    """The date that click parsed as a moment."""
    return moment.date() if moment else None


def governance_of(settings: Settings) -> "Engine":
    """The governance database, made first where there is none and no batch was stored. Raises ``database_missing``."""
    from spendsense_pipeline.governance.database import open_or_create

    engine = open_or_create(settings.governance_url, lambda: batches_of(settings))
    if command := click.get_current_context(silent=True):
        command.call_on_close(engine.dispose)  # SQLite's log goes into its file as the last connection is closed
    return engine


def reading(settings: Settings | None = None) -> "AbstractContextManager[Session]":
    """A session that reads the governance database, as ``database.reading``."""
    from spendsense_pipeline.governance import database

    return database.reading(governance_of(settings or Settings()))


def writing(settings: Settings | None = None) -> "AbstractContextManager[Session]":
    """A session that writes to it, as ``database.writing``."""
    from spendsense_pipeline.governance import database

    return database.writing(governance_of(settings or Settings()))


def batches_of(settings: Settings) -> list[str]:
    """The batches that are stored, or landed and were registered once; none where tables of one's own are read."""
    from spendsense_pipeline.governance.batches import noted

    root = settings.warehouse_root
    if not settings.ingest:
        return []
    if "://" not in root:  # a look at a folder, which commands without tables need no engine for
        stored = [file.stem for file in Path(root, "raw_products").glob("*.parquet")]
    else:
        from spendsense_pipeline import warehouse

        stored = warehouse.partitions(root, "raw_products")
    return sorted({*stored, *noted(settings.landing)})


def decider(settings: Settings, operator_id: str | None) -> "tuple[Engine, str, str]":
    """The governance database, under whose name a command decides, and how that person is known.

    A name or a token is needed, and asked for before anything is opened.
    """
    from spendsense_pipeline.governance import policy
    from spendsense_pipeline.governance.credentials import deciding

    token = settings.token.get_secret_value() if settings.token else None
    if not operator_id and token is None and settings.trust_local:
        raise click.UsageError("Missing option '--operator'.")
    engine = governance_of(settings)
    policy.keep(engine, policy.Rules(four_eyes=settings.four_eyes), now())
    return engine, *deciding(engine, operator_id, token, now(), trust_local=settings.trust_local)


def dagster_instance(settings: Settings) -> AbstractContextManager[Any]:
    """The Dagster instance that runs are recorded in; a terminal is told how far they are, unless a program reads."""
    from spendsense_pipeline.defs import launch

    if not wants_json() and sys.stderr.isatty() and not launch.PROGRESS.handlers:
        launch.PROGRESS.setLevel(logging.INFO)
        launch.PROGRESS.addHandler(logging.StreamHandler(sys.stderr))

    if settings.brings_own_home and not settings.home.is_dir():
        raise SpendSenseError(
            f"DAGSTER_HOME is '{settings.home}': there is no such folder; create it, or leave the variable unset",
            code="invalid_settings",
        )
    return launch.opened_instance(settings)


def live_scopes(settings: Settings, user_id: str | None = None) -> dict[str, dict[str, bool]]:
    """Live consent of everybody, or of one customer: user -> scope -> whether it lives."""
    from spendsense_pipeline.governance import consent

    with reading(settings) as session:
        return consent.live_scopes(session, now(), settings.consent_days, user_id)
