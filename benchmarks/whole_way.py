"""The whole way from a landed batch to released drafts, by the package's own jobs: seconds by stage.

One process as in ``make demo``, on a data folder and a Dagster home of its own. A Dagster step counts as long as its
own events say; what is left of the process is orchestration: starting Python, importing, loading the definitions,
opening the instance, planning a run, writing events between steps. Commands apart pay for the imports each time.
"""

import datetime as dt
import gc
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import measure

ORCHESTRATION = ("start and imports", "definitions and instance", "around the steps")
CHECKS = ("_contract", "_usual_nulls", "_usual_shares", "_guardrails", "_operator_review", "_had_consent")


class Way:
    """A data folder and what was done on it: ``stages`` holds seconds by stage, in order, ``processor`` those of the
    processors, of a step with what lies between it and the next."""

    def __init__(self, data: Path, **settings: Any) -> None:
        gc.set_threshold(200_000, 50, 50)  # as the command `spendsense` does
        from spendsense_pipeline.settings import Settings

        self.settings = Settings(data=data, **settings)
        self.stages: dict[str, float] = {}
        self.processor: defaultdict[str, float] = defaultdict(float)
        self.metadata: dict[str, dict[str, Any]] = {}

    @contextmanager
    def lap(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        started, used = time.perf_counter(), measure.used()
        yield
        self.stages[stage] = self.stages.get(stage, 0.0) + time.perf_counter() - started
        self.processor[stage] += measure.used() - used

    def run(
        self, batch: Path | None, day: dt.date, *, review: bool = True, before: Mapping[str, Path] | None = None
    ) -> None:
        """Land and ingest a batch, if there is one, run the day, and, with ``review``, approve and release.

        The clock stands at noon of the next day. Batches ``before``, by name, are ingested first, each by judging all
        that is stored.
        """
        now = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(12), dt.UTC)
        with self.lap("start and imports"):
            from spendsense_pipeline.definitions import build_defs
            from spendsense_pipeline.defs import launch
            from spendsense_pipeline.defs.resources import Clock
            from spendsense_pipeline.ingest import landing
        with ExitStack() as ends:
            with self.lap("definitions and instance"):
                definitions = build_defs(self.settings, resources={"clock": Clock(fixed=now.isoformat())})
                instance = ends.enter_context(launch.opened_instance(self.settings))
            for name, source in (before or {}).items():
                self._ran(
                    instance,
                    partial(launch.ingest_folder, definitions, instance, self.settings, source, name, full=True),
                )
            if batch is not None:
                with self.lap("landing"):
                    landed = landing.land(batch, self.settings.landing, f"day-{day}").name
                self._ran(instance, lambda: launch.ingest_batch(definitions, instance, landed))
            self._ran(instance, lambda: launch.daily_refresh(definitions, instance, day))
            if review:
                with self.lap("approving"):
                    self._approve(now)
                self._ran(instance, lambda: launch.release(definitions, instance))

    def _ran(self, instance: Any, run: Callable[[], Any]) -> None:
        """A run's steps as stages, its checks as one, and what the run took beside them."""
        started = time.perf_counter()
        with _steps_noted() as began:
            done = run()
            done = done[1] if isinstance(done, tuple) else done
        rest = time.perf_counter() - started
        for (name, used), (_, next_used) in itertools.pairwise([*began, ("", measure.used())]):
            self.processor["checks" if name.endswith(CHECKS) else name] += next_used - used
        self.metadata |= done.metadata
        for step in sorted(instance.get_run_step_stats(done.run_id), key=lambda step: step.start_time):
            seconds = step.end_time - step.start_time
            name = "checks" if step.step_key.endswith(CHECKS) else step.step_key
            self.stages[name] = self.stages.get(name, 0.0) + seconds
            rest -= seconds
        self.stages["around the steps"] = self.stages.get("around the steps", 0.0) + rest

    def _approve(self, now: dt.datetime) -> None:
        """One draft of each wording opened, then all in that wording approved, as an operator would."""
        from spendsense_pipeline.governance import operators, queue, wordings
        from spendsense_pipeline.governance.database import open_or_create, reading

        engine = open_or_create(self.settings.governance_url)
        with reading(engine) as session:
            operator = next(row["operator_id"] for row in operators.listed(session) if row["active"])
            waiting = wordings.templates(session, now, limit=100_000)["templates"]
        for wording in waiting:
            queue.show(engine, wording["renderings"][0]["recommendation_id"], now, operator_id=operator)
            done = wordings.approve_template(engine, wording["reference"], operator, now)
            refused = {row["refused"] for row in done["results"] if not row["ok"]}
            if refused:
                raise SystemExit(f"{wording['reference']} was not approved: {', '.join(refused)}")
        engine.dispose()


class _Steps(logging.Handler):
    """Notes the steps of a run as they start, each with what the processors had done by then (``measure.used``)."""

    def __init__(self) -> None:
        super().__init__()
        self.began = [("around the steps", measure.used())]

    def emit(self, record: logging.LogRecord) -> None:
        """A line of progress: a bar, the step's place, of how many, its name; or what a step says."""
        if isinstance(record.args, tuple) and len(record.args) == 4:
            self.began.append((str(record.args[-1]), measure.used()))


@contextmanager
def _steps_noted() -> Iterator[list[tuple[str, float]]]:
    from spendsense_pipeline.defs.launch import PROGRESS

    steps = _Steps()
    PROGRESS.addHandler(steps)
    PROGRESS.setLevel(logging.INFO)
    try:
        yield steps.began
    finally:
        PROGRESS.removeHandler(steps)
        PROGRESS.setLevel(logging.NOTSET)


def whole_way(batch: str, out: str, day: str, memory: str | None = None) -> dict[str, Any]:
    """One way, from a fresh folder."""
    way = Way(Path(out) / "data", memory=memory)
    way.run(Path(batch), dt.date.fromisoformat(day))
    return {"stages": way.stages, "counts": counts(way.metadata)}


def unreviewed(batch: str, out: str, day: str, memory: str | None = None) -> None:
    """The way as far as the queue, for others to measure on what it leaves."""
    Way(Path(out), memory=memory).run(Path(batch), dt.date.fromisoformat(day), review=False)


def counts(metadata: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """What a way was about."""
    return {
        "transactions": metadata["transactions"]["dagster/row_count"],
        "drafts": metadata["draft_recommendations"]["dagster/row_count"],
        "released": metadata["released_recommendations"]["released"],
    }
