"""What assets are given instead of reaching for it: the clock, the governance database, the model, the folders.

Nothing here opens a file or a connection until an asset asks. What does not belong here: any decision.
"""

import datetime as dt
import os
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
import pandas as pd
from pydantic import PrivateAttr
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from spendsense_pipeline.defs.runs import UNSUCCESSFUL, lease_tags, release_lease, take_lease
from spendsense_pipeline.gate import withdrawn_products
from spendsense_pipeline.governance import database, database_frames, policy, signing
from spendsense_pipeline.governance.batches import noted
from spendsense_pipeline.recommendations.generation import Budget, Writer, known_models
from spendsense_pipeline.runners import Runner, in_processes, on_spark
from spendsense_pipeline.settings import Settings
from spendsense_pipeline.warehouse import partitions

if TYPE_CHECKING:
    from pyspark import SparkContext


def sealed(resource: Any) -> dg.ResourceDefinition:
    """The resource as it was set up, out of the Launchpad's reach.

    Dagster offers a resource's fields as run config: whoever launches a job by hand could set the clock back behind an
    expiry or switch off the four eyes, and the database's URL would stand, password and all, in each run's config.
    Whichever process sets it up for a run takes the run's lease, so that every run has one, however it was launched. A
    run that was so slow to come here that it was given up for dead does nothing: another does its work.
    """

    def set_up(context: dg.InitResourceContext) -> Any:
        run, instance = context.run, context.instance
        if run and instance and instance.has_run(run.run_id) and take_lease(instance, run.run_id):
            if (known := instance.get_run_by_id(run.run_id)) and known.status in UNSUCCESSFUL:
                release_lease(run.run_id)
                raise dg.Failure(f"run {run.run_id} was given up before it began", allow_retries=False)
            instance.add_run_tags(run.run_id, lease_tags())
        return resource

    kind = dg.IOManagerDefinition if isinstance(resource, dg.IOManager) else dg.ResourceDefinition
    return kind(resource_fn=set_up, config_schema={}, description=type(resource).__doc__)


def batches_known(root: str, landing: Path) -> list[str]:
    """The batches that a governance database must know: those stored below ``root``, and those landed and noted."""
    return sorted({*partitions(root, "raw_products"), *noted(landing)})


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The time of day; ``fixed`` (ISO 8601) holds it still in tests."""

    fixed: str | None = None

    def now(self) -> dt.datetime:
        """The present, UTC."""
        return dt.datetime.fromisoformat(self.fixed) if self.fixed else dt.datetime.now(dt.UTC)


class Governance(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The governance database and the settings that its promises depend on."""

    url: str
    consent_days: int = 0
    four_eyes: bool = False
    weekly_cap: int = 0
    release_days: int = 30
    stale_days: int = 7
    trust_local: bool = True
    audit_key: str | None = None
    """File of the key that heads of the audit chain are signed with."""
    warehouse: str | None = None
    """Where batches are stored, beside which no new database is made; None where nothing lands."""
    landing: str = ""
    _engine: Engine | None = PrivateAttr(default=None)

    @property
    def engine(self) -> Engine:
        """The migrated database; a new one is created where no batch is stored yet, an older one is refused with the
        command that helps."""
        if self._engine is None:
            root = self.warehouse
            self._engine = database.open_or_create(
                self.url, tuple if root is None else lambda: batches_known(root, Path(self.landing))
            )
            rules = policy.Rules(self.four_eyes, self.consent_days)
            policy.keep(self._engine, rules, dt.datetime.now(dt.UTC))
            # With the process at the latest: SQLite's log goes into its file as the last connection is closed.
            weakref.finalize(self, self._engine.dispose)
        return self._engine

    def consents(self, session: Session, now: dt.datetime) -> pd.DataFrame:
        """The consents that are live (``database_frames.consents``)."""
        return database_frames.consents(session, now, consent_days=self.consent_days)

    def terms(self, root: str) -> dict[str, Any]:
        """By what the gate decides besides its records (``release.propose``); ``root`` is the warehouse."""
        withdrawn = partial(withdrawn_products, root)
        return {"consent_days": self.consent_days, "withdrawn": withdrawn, "weekly_cap": self.weekly_cap}

    def signed(self, head: dict[str, Any]) -> dict[str, Any]:
        """A head of the audit chain with its signature, where there is a key."""
        if self.audit_key is None:
            return head
        return head | {"signature": signing.sign(head["count"], head["hash"], Path(self.audit_key))}


class LanguageModel(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Who writes education, and what one run may spend on it. Prices are US dollars for a million tokens."""

    generator: str = "library"
    model: str = "gpt-4o-mini"
    api_key: str | None = None
    base_url: str | None = None
    in_flight: int = 16
    timeout: float = 60.0
    max_requests: int = 1_000
    max_tokens: int = 3_000_000
    max_cost: float = 2.0
    price_sent: float | None = None
    price_received: float | None = None
    requests_are_set: bool = False
    """Somebody said how many requests a run may make, so that a model without a known price may be asked."""
    asked_about_payees: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "LanguageModel":
        """As the settings say; a price that they do not set is the list's."""
        listed = known_models().get(settings.openai_model)
        prices = settings.prices or ((listed["sent"], listed["received"]) if listed else None)
        return cls(
            generator=settings.generator,
            model=settings.openai_model,
            api_key=settings.openai_api_key.get_secret_value() if settings.openai_api_key else None,
            base_url=settings.openai_base_url,
            in_flight=settings.openai_in_flight,
            timeout=settings.openai_timeout,
            max_requests=settings.model_budget_requests or settings.openai_max_requests,
            requests_are_set=settings.model_budget_requests is not None,
            max_tokens=settings.openai_max_tokens,
            max_cost=settings.openai_max_cost,
            price_sent=prices[0] if prices else None,
            price_received=prices[1] if prices else None,
            asked_about_payees=settings.payee_model == "openai",
        )

    @property
    def prices(self) -> tuple[float, float] | None:
        """US dollars for a million tokens sent and received, where both are known."""
        known = self.price_sent is not None and self.price_received is not None
        return (self.price_sent or 0.0, self.price_received or 0.0) if known else None

    def budget(self) -> Budget:
        """A fresh budget for one run."""
        return Budget(self.max_requests, self.max_tokens, self.max_cost, self.prices)

    def opened(self) -> AbstractAsyncContextManager[Writer]:
        """A writer, for as long as the block lasts."""
        from spendsense_pipeline.recommendations import openai  # the SDK takes its time to load

        return openai.opened(self.api_key, self.base_url, self.timeout)


class Workers(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Who computes the ranges of customers: so many processes (``processes``, None: one for each core), or Spark."""

    engine: Literal["duckdb", "spark"] = "duckdb"
    processes: int | None = None
    spark_master: str = "local[*]"
    compile: Literal["auto", "always", "never"] = "auto"
    kernels: str = ""
    """Folder in which compiled kernels are kept."""

    def number(self) -> int:
        """How many ranges may be computed at the same time."""
        return self._spark().defaultParallelism if self.engine == "spark" else self._processes()

    def runner(self, report: Callable[[str], None], *, light: bool = False) -> Runner:
        """What does the tasks. ``light`` ones take less than starting a process, and have none of their own."""
        if self.engine == "spark":
            return on_spark(self._spark(), report)
        return in_processes(1 if light else self._processes(), report)

    def _processes(self) -> int:
        return self.processes or os.cpu_count() or 1

    def _spark(self) -> "SparkContext":
        from spendsense_pipeline import spark  # an extra that most do without

        return spark.context(self.spark_master)


class Files(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The folders that assets read and write beside their tables, and the root of those."""

    warehouse: str
    landing: str
    scratch: str
    exports: str
    reports: str
    prompts: str
    catalogue: str
    experiments: str = ""
    kernels: str = ""
    """Folder of what is made once per version: the SQL of merges, whether the library is fit, compiled kernels."""
    payees: str | None = None
    memory: str | None = None

    def batch(self, batch_id: str) -> Path:
        """The folder of a landed batch."""
        return Path(self.landing) / batch_id
