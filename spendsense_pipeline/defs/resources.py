"""What assets are given instead of reaching for it: the clock, the governance database, the folders.

Nothing here opens a file or a connection until an asset asks. What does not belong here: any decision.
"""

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import PrivateAttr
from sqlalchemy import Engine

from spendsense_pipeline.governance import database


def sealed(resource: Any) -> dg.ResourceDefinition:
    """The resource as it was set up, out of the Launchpad's reach.

    Dagster offers a resource's fields as run config: whoever launches a job by hand could set the clock back behind an
    expiry or switch off the four eyes, and the database's URL would stand, password and all, in each run's config.
    """
    kind = dg.IOManagerDefinition if isinstance(resource, dg.IOManager) else dg.ResourceDefinition
    return kind(resource_fn=lambda _: resource, config_schema={}, description=type(resource).__doc__)


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
    """The folders that assets read and write beside their tables, and the root of those."""

    warehouse: str
    landing: str
    scratch: str
    exports: str
    reports: str
    prompts: str
    catalogue: str

    def batch(self, batch_id: str) -> Path:
        """The folder of a landed batch."""
        return Path(self.landing) / batch_id
