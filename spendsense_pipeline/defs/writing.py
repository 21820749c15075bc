"""Getting a language model's texts for the situations of a day: those kept before, and requests for the rest.

Asking is ``recommendations/generation.py``, keeping is ``governance/generations.py``; this is where the two meet with
the run's clock and log. Nothing that a model or its server does fails the run.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from spendsense_pipeline.defs import plots
from spendsense_pipeline.defs.documentation import tables
from spendsense_pipeline.defs.resources import Clock, Governance, LanguageModel
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import generations
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.recommendations.generation import Generation, Generator, may_be_asked
from spendsense_pipeline.recommendations.library import load_library
from spendsense_pipeline.recommendations.prompts import Prompt, Rejected, Situation, fingerprint, load_prompts, request


@dataclass
class Writing:
    """What a run has to work with: ``usable`` by situation, of which ``kept`` were there before.

    ``asked``: what this run asked about, answered or not; ``stopped``: why it asked no more.
    """

    usable: dict[str, Generation]
    wanted: int
    kept: int = 0
    asked: list[Generation] = field(default_factory=list)
    stopped: str | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> list[Generation]:
        """What this run could not get; the library serves those for which there is nothing older."""
        return [one for one in self.asked if not one.written]

    def metadata(self) -> dict[str, Any]:
        """The sums, and the situations without a new text with the reasons, for the asset in the UI."""
        costs = [one.cost for one in self.asked if one.cost is not None]
        unknown = any(one.cost is None and one.requests for one in self.asked)
        return {
            "situations_asked_for": self.wanted,
            "situations_kept_before": self.kept,
            "situations_written": sum(one.written for one in self.asked),
            "situations_failed": len(self.failed),
            "situations_served_by_library": self.wanted - len(self.usable),
            "requests": sum(one.requests for one in self.asked),
            "tokens_sent": sum(one.sent for one in self.asked),
            "tokens_received": sum(one.received for one in self.asked),
            "cost_usd": "unknown" if unknown else round(sum(costs), 6),
            **({"cost": plots.bars(self._by_persona(), "Cost of generation, by persona")} if self.asked else {}),
            "seconds": round(self.seconds, 2),
            **({"stopped": self.stopped} if self.stopped else {}),
            **tables({"problems": self._problems()}),
        }

    def _by_persona(self) -> list[tuple[str, float, str]]:
        """What was spent on each persona's situations: dollars, or tokens where no price is known."""
        asked: dict[str, list[Generation]] = {}
        for one in self.asked:
            asked.setdefault(one.situation.about, []).append(one)
        priced = all(one.cost is not None for one in self.asked)
        bars = []
        for persona, some in sorted(asked.items()):
            tokens, cost = sum(one.sent + one.received for one in some), sum(one.cost or 0.0 for one in some)
            said = f"{len(some)} situations, {tokens:,} tokens" + (f", ${cost:.4f}" if priced else "")
            bars.append((persona.replace("_", " "), cost if priced else float(tokens), said))
        return bars

    def _problems(self) -> list[dict[str, Any]]:
        return [
            {
                "situation": one.situation.key,
                "outcome": "written" if one.written else "failed",
                "served_by": "openai" if one.situation.key in self.usable else "library",
                "requests": one.requests,
                "problem": problem,
            }
            for one in self.asked
            for problem in one.problems
        ]


def written(
    log: dg.DagsterLogManager,
    situations: Sequence[Situation],
    *,
    model: LanguageModel,
    governance: Governance,
    clock: Clock,
    prompts_dir: Path,
    regenerate: bool,
    run_id: str,
) -> Writing:
    """A text for each situation, from what was kept or from the model; ``regenerate`` asks about all of them.

    What was kept is held to the rules of today. Where asking fails, an older text that still stands is used.
    """
    most = model.max_requests if model.requests_are_set else None
    may_be_asked(model.model, model.prices, most, clock.now().date())
    prompts = load_prompts(prompts_dir)
    wanted = {fingerprint(request(one, prompts[one.about], model.model)): one for one in situations}
    kept = _kept(governance, wanted)
    found = Writing({}, wanted=len(wanted), kept=0 if regenerate else len(kept))
    if regenerate or len(kept) < len(wanted):
        with generations.one_run_asks(governance.engine):
            if not regenerate:  # another run may have asked while this one waited
                kept = _kept(governance, wanted)
                found.kept = len(kept)
            missing = [one for key, one in wanted.items() if regenerate or key not in kept]
            with reading(governance.engine) as session:
                rejected = generations.rejected(session, load_library(prompts_dir))
            keep = partial(_keep, governance, now=clock.now, run_id=run_id)
            _ask(log, missing, found, model, prompts, rejected, keep)
    fresh = {one.fingerprint: one for one in found.asked if one.written}
    found.usable = {one.situation.key: one for one in (kept | fresh).values()}
    return found


def _kept(governance: Governance, wanted: dict[str, Situation]) -> dict[str, Generation]:
    """What was kept for these fingerprints and still stands, piece by piece."""
    with reading(governance.engine) as session:
        return generations.still_standing(session, wanted)


def _keep(governance: Governance, some: Sequence[Generation], now: Callable[[], datetime], run_id: str) -> None:
    with writing(governance.engine) as session:
        generations.keep(session, some, now(), run_id)


def _ask(
    log: dg.DagsterLogManager,
    missing: Sequence[Situation],
    found: Writing,
    model: LanguageModel,
    prompts: dict[str, Prompt],
    rejected: Mapping[str, Sequence[Rejected]],
    keep: Callable[[Sequence[Generation]], None],
) -> None:
    """Ask about the missing situations and put down in ``found`` what came of it."""
    budget = model.budget()

    def progress(done: int, of: int) -> None:
        if done == of or done % max(1, of // 10) == 0:
            log.info(
                "%d of %d situations, %d requests, %d tokens, $%.4f",
                *(done, of, budget.spent_requests, budget.spent_tokens, budget.spent_cost),
            )

    async def ask() -> None:
        async with model.opened() as writer:
            generator = Generator(
                writer=writer,
                prompts=prompts,
                model=model.model,
                budget=budget,
                in_flight=model.in_flight,
                clock=time.monotonic,
                sleep=asyncio.sleep,
                dice=random.random,
                keep=keep,
                progress=progress,
                rejected=rejected,
            )
            found.asked = await generator.write(missing)
            found.stopped = generator.stopped

    started = time.monotonic()
    try:
        asyncio.run(ask())
    except SpendSenseError as error:
        found.stopped = str(error)
    found.seconds = time.monotonic() - started
    if found.stopped:
        log.error("No more requests to the model: %s. The library serves what is not written.", found.stopped)
    for one in found.failed:
        log.warning("%s is not written: %s", one.situation.key, "; ".join(one.problems))
