"""The payees of a day: who was paid and what for, to be looked at and corrected. The thinking is in ``payees/``.

Where a language model may be asked about names that nothing else knows, this is where the question meets the model,
the budget and the file of earlier answers. Nothing that a model or its server does fails the run.
"""

import asyncio
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import ibis
import pandas as pd

from spendsense_pipeline.defs.documentation import daily, tables
from spendsense_pipeline.defs.io import EachPartition
from spendsense_pipeline.defs.resources import Files, LanguageModel
from spendsense_pipeline.payees.census import Census, census
from spendsense_pipeline.payees.known import house_rules
from spendsense_pipeline.payees.questions import answered, question
from spendsense_pipeline.payees.readings import Reader
from spendsense_pipeline.recommendations.generation import Unanswered

ANSWERS = "payee_answers.json"
"""In the warehouse: what the model answered about each name, null where it did not know. A name is asked about once."""


@daily("ingest", {"ibis", "duckdb", "parquet"}, backfill_policy=dg.BackfillPolicy.single_run())
def payees(
    context: dg.AssetExecutionContext,
    files: Files,
    language_model: LanguageModel,
    transactions: ibis.Table,
    accounts: ibis.Table,
) -> EachPartition:
    """Who is paid and what for: one row per normalised name and what was delivered with it, over all customers and with
    none in it. Names that may be a person's, or that one customer alone has, are counted and left out. A wrong category
    is corrected by a line in the house's file (docs/payees.md); what nobody knows, the most frequent first, is in the
    metadata and in `spendsense payees --unknown`."""
    reader = Reader(house_rules(Path(files.payees)) if files.payees else ())

    def counted_on(day: str) -> pd.DataFrame:
        asking = Asking(language_model, f"{files.warehouse.rstrip('/')}/{ANSWERS}")
        ask = asking if language_model.asked_about_payees else None
        found = census(transactions, accounts, dt.date.fromisoformat(day), reader, ask)
        described = _metadata(found) | (asking.metadata() if ask else {})
        context.add_asset_metadata(described, partition_key=day)
        return found.payees

    return EachPartition(counted_on)


def _metadata(found: Census) -> dict[str, Any]:
    """What is said of a day's payees; names only that several customers have and that are nobody's."""
    metadata: dict[str, Any] = {
        "rows_read": found.rows,
        "names_withheld": found.names_withheld,
        "rows_withheld": found.rows_withheld,
    }
    if found.explained_share is not None:
        metadata["explained_share"] = found.explained_share
    return metadata | tables({"unknown_names": found.unknown, "unmapped_categories": found.unmapped})


@dataclass
class Asking:
    """Asks a language model about names, each once; earlier answers lie in the file at ``path``.

    ``asked`` counts the names that were asked about now, ``problems`` says what kept a name from its answer: the next
    day asks again about those.
    """

    model: LanguageModel
    path: str
    asked: int = 0
    problems: list[str] = field(default_factory=list)

    def __call__(self, names: Sequence[str]) -> Mapping[str, str]:
        """The categories of those names that the model knows."""
        answers = self._kept()
        missing = [name for name in names if name not in answers]
        if missing:
            answers |= asyncio.run(self._answers(missing))
            self._keep(answers)
        return {name: category for name in names if (category := answers.get(name)) is not None}

    def metadata(self) -> dict[str, Any]:
        """What the asset says about it."""
        problems = {"payee_problems": sorted(set(self.problems))} if self.problems else {}
        return {"payees_asked_about": self.asked, **problems}

    def _kept(self) -> dict[str, str | None]:
        filesystem, path = fsspec.core.url_to_fs(self.path)
        kept: dict[str, str | None] = json.loads(filesystem.cat_file(path)) if filesystem.exists(path) else {}
        return kept

    def _keep(self, answers: Mapping[str, str | None]) -> None:
        filesystem, path = fsspec.core.url_to_fs(self.path)
        filesystem.makedirs(filesystem._parent(path), exist_ok=True)
        filesystem.pipe_file(path, json.dumps(answers, indent=1, sort_keys=True, ensure_ascii=False).encode())

    async def _answers(self, names: Sequence[str]) -> dict[str, str | None]:
        """The answers that came; asking ends with the budget, or with a failure that every other name would share."""
        answers: dict[str, str | None] = {}
        budget, waiting = self.model.budget(), iter(names)

        async with self.model.opened() as write:

            async def work() -> None:
                for name in waiting:
                    body = question(name, self.model.model)
                    if limit := await budget.exhausted_by(body):
                        self.problems.append(limit)
                        return
                    self.asked += 1
                    try:
                        answer = await write(body)
                    except Unanswered as failure:
                        await budget.settle(body, *((None, None) if failure.paid else (0, 0)))
                        self.problems.append(str(failure))
                        if failure.stops or failure.dead:
                            return
                        continue
                    await budget.settle(body, answer.sent, answer.received)
                    try:
                        answers[name] = answered(answer.text)
                    except ValueError as error:
                        self.problems.append(str(error))

            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self.model.in_flight, len(names))):
                    workers.create_task(work())
        return answers
