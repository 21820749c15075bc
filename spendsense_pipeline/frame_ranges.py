"""Tables of a day by ranges of whole customers: a function of frames, asked once for each range.

For stages in which nothing of a customer depends on another one. However many customers there are, a process holds the
frames of one range. What does not belong here: what a stage computes, and where tasks run (``runners.py``).
"""

import pkgutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pyarrow as pa

from spendsense_pipeline import row_groups, runners
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.ranges import Range
from spendsense_pipeline.row_groups import Stored
from spendsense_pipeline.runners import Runner

LEAST_CUSTOMERS: Final = 8_192
"""With fewer, starting a process takes as long as computing."""
MOST_CUSTOMERS: Final = 16_384
WORTH_PROCESSES: Final = 3
"""Ranges from which on processes of their own are started. Each reads vocabularies and a model of languages and judges
wordings that the run has read and judged before: two take as long as one after the other, and twice the CPU seconds."""

Told = Mapping[str, Counter[str]]
"""What a function says of its range beside the rows: counts by name, summed over the ranges."""


@dataclass(frozen=True)
class Request:
    """``function`` (``module:function``) gets the rows of the range of each of ``tables`` as a frame, by name, and
    what is the ``same`` for everybody; it gives the rows of the result, sorted by customer, and ``Told``."""

    function: str
    tables: Mapping[str, Stored]
    same: Mapping[str, Any]
    schema: pa.Schema
    folder: str


class Done(NamedTuple):
    """A task's outcome beside its part."""

    number: int
    part: str
    told: Told


@dataclass(frozen=True)
class Task(runners.Task):
    """One range of a `Request`."""

    def compute(self) -> Done:
        """Compute the range and write its part."""
        request = self.request
        frames = {name: to_frame(row_groups.rows_of(stored, self.customers)) for name, stored in request.tables.items()}
        rows, told = pkgutil.resolve_name(request.function)(**frames, **request.same)
        part = f"{request.folder}/{request.function.rpartition(':')[2]}/{self.number:06}.arrow"
        row_groups.store(pa.Table.from_pandas(rows, schema=request.schema, preserve_index=False), part)
        return Done(self.number, part, told)


def tasks_of(request: Request, customers_of_day: Stored, workers: int) -> list[Task]:
    """The work cut into ranges of whole customers, ascending; ``customers_of_day`` has one row of each."""
    found = row_groups.groups(customers_of_day) or []
    rows = sum(group.rows for group in found)
    ranges = ranges_of(customers_of_day, runners.size_of(rows, workers, LEAST_CUSTOMERS, MOST_CUSTOMERS))
    lowest = found[0].lowest if found else ""
    return [Task(request, number, one, one.start or lowest) for number, one in enumerate(ranges)]


def ranges_of(customers_of_day: Stored, customers: int) -> list[Range]:
    """Ranges of about so many customers, one where there are few; in them is everybody."""
    found = row_groups.groups(customers_of_day) or []
    few = sum(group.rows for group in found) < 2 * LEAST_CUSTOMERS
    return [Range()] if few else row_groups.cut(found, customers)


def compute(
    tasks: Sequence[Task], runner: Runner, progress: Callable[[int, int], None] | None = None
) -> tuple[list[str], dict[str, Counter[str]]]:
    """Do the tasks of one request (`runners.outcomes`): the parts in the order of the customers, and what was told of
    all."""
    done: list[Done] = runners.outcomes(tasks, runner, progress)
    told: dict[str, Counter[str]] = {}
    for one in done:
        for name, counts in one.told.items():
            told.setdefault(name, Counter()).update(counts)
    return [one.part for one in sorted(done)], told
