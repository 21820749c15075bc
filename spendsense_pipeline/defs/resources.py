"""What assets are given instead of reaching for it: the clock, the governance database, the folders.

Nothing here opens a file or a connection until an asset asks. What does not belong here: any decision.
"""

import datetime as dt
from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr
from sqlalchemy import Engine

from spendsense_pipeline.governance import database


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The time of day; ``fixed`` (ISO 8601) holds it still in tests."""

    fixed: str | None = None

    def now(self) -> dt.datetime:
        """The present, UTC."""
        return dt.datetime.fromisoformat(self.fixed) if self.fixed else dt.datetime.now(dt.UTC)


class Governance(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The governance database and the two settings that its promises depend on."""

    url: str
    consent_days: int = 0
    four_eyes: bool = False
    _engine: Engine | None = PrivateAttr(default=None)

    @property
    def engine(self) -> Engine:
        """The migrated database; a new one is created, an older one is refused with the command that helps."""
        if self._engine is None:
            self._engine = database.open_or_create(self.url)
        return self._engine


class Files(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The folders that are not the warehouse."""

    landing: str
    exports: str
    reports: str
    prompts: str
    catalogue: str

    def batch(self, batch_id: str) -> Path:
        """The folder of a landed batch."""
        return Path(self.landing) / batch_id
