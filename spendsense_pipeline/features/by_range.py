"""Signals of all customers, a range of whole customers at a time.

Nothing in a customer's signals depends on another customer, so customers are cut into ranges, and each range is a task.

What does not belong here: what a signal is (``signals.py``), where tables lie (``warehouse.py``), where tasks run
(``runners.py``), and how parts become a stored partition (``defs/io.py``).
"""

import datetime as dt
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline import row_groups, runners
from spendsense_pipeline.features.columns import READ
from spendsense_pipeline.features.compilation import make_ready
from spendsense_pipeline.features.compiled import Mode
from spendsense_pipeline.features.compiled import choose as choose_mode
from spendsense_pipeline.ranges import Range
from spendsense_pipeline.row_groups import CUSTOMER, Parts, Stored
from spendsense_pipeline.runners import Report, Runner

if TYPE_CHECKING:
    from spendsense_pipeline.features.descriptors import Payees

TABLES = ("transactions", "accounts", "liabilities", "users")
STREAMS, CARDS = "recurring_streams", "cards"
LEAST_ROWS, MOST_ROWS = 30_000, 1_500_000
"""Transactions of a range, about. With fewer, starting a process takes longer than computing; with more, memory grows:
two processes with 1.25 million each took 1.4 GB. Insights cost a tenth of a CPU second a range beside its customers."""
COMPILE_FROM = 150_000
"""Transactions from which on loading the compiled kernels is quicker than running their source as it is."""
LEFT_OUT = pa.schema([("as_of", pa.date32()), ("currency", pa.string()), ("accounts", pa.int64())])

Compile = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Request:
    """What is computed, of which ``tables``; ``folder`` is a path or URI that every worker can write its parts to."""

    tables: Mapping[str, Stored]
    as_of_dates: tuple[dt.date, ...]
    windows: tuple[int, ...]
    folder: str
    compiled: bool = False
    cache: str = ""
    """Folder of the compiled kernels."""
    payees: "Payees | None" = None
    beside: "Beside | None" = None
    """What else is computed from the same evidence."""


@dataclass(frozen=True)
class Beside:
    """Further ``tables`` by customer, with ``as_of``, that a function gives of a range's Evidence and Signals.

    It is named (``module:function``): workers load it once they know whether kernels are compiled."""

    tables: tuple[str, ...]
    function: str


@dataclass(frozen=True)
class Task(runners.Task):
    """One range of a `Request`; ``first`` is its first customer with a transaction."""

    @property
    def apart(self) -> bool:
        """Compiled kernels are loaded by processes that end with the request."""
        return self.request.compiled

    def ahead(self, report: Report | None) -> None:
        """Compile the kernels, where they are wanted and not there."""
        if self.request.compiled:
            make_ready(Path(self.request.cache), report)

    def set_up(self) -> None:
        """Kernels in the mode of the request."""
        choose_mode(Mode(Path(self.request.cache) if self.request.compiled else None))

    def compute(self) -> "Done":
        """Compute the range and write its parts, rows sorted by customer and otherwise as ``signals_of`` gives them."""
        return _done(self)


class Done(NamedTuple):
    """A task's outcome beside its parts: ``left_out`` as in ``signals.Signals``."""

    number: int
    left_out: pa.Table


class Computed(NamedTuple):
    """``parts`` by table: ``recurring_streams``, ``cards`` and ``features_<window>d``. ``left_out``: as_of, currency,
    accounts."""

    parts: Mapping[str, Parts]
    left_out: pa.Table


def columns_of(table: str) -> pa.Schema:
    """What signals read of a canonical table, by its contract; all texts but the row's own id are dictionaries."""
    from spendsense_pipeline.contracts import CONTRACTS, arrow_schema  # workers do without

    schema = arrow_schema(CONTRACTS[table])
    fields = [schema.field(name) for name in READ[table]]
    own = {"transaction_id"}
    return pa.schema(
        [
            field.with_type(row_groups.TEXTS) if field.type == pa.string() and field.name not in own else field
            for field in fields
        ]
    )


def choose(setting: Compile, rows: int) -> bool:
    """Whether to compile for so many transactions: ``auto`` does where it is quicker."""
    return setting == "always" or (setting == "auto" and rows >= COMPILE_FROM)


def tasks_of(
    tables: Mapping[str, Stored],
    as_of_dates: Sequence[dt.date],
    windows: Sequence[int],
    folder: str,
    workers: int,
    setting: Compile = "auto",
    cache: str = "",
    payees: "Payees | None" = None,
    beside: Beside | None = None,
) -> list[Task]:
    """The work cut into ranges of whole customers, ascending: one where there is little to do.

    ``tables`` are the four of ``TABLES``, ``transactions`` by customer; ``folder`` is a path or URI for the parts that
    every worker can write to.
    """
    found = row_groups.groups(tables["transactions"]) or []
    rows = sum(group.rows for group in found)
    each = runners.size_of(rows, workers, LEAST_ROWS, MOST_ROWS)
    ranges = row_groups.cut(found, each) if rows >= 2 * LEAST_ROWS else [Range()]
    lowest = found[0].lowest if found else ""
    compiled = choose(setting, rows)
    request = Request(dict(tables), tuple(as_of_dates), tuple(windows), folder, compiled, cache, payees, beside)
    return [Task(request, number, customers, customers.start or lowest) for number, customers in enumerate(ranges)]


def compute(tasks: Sequence[Task], runner: Runner, progress: Callable[[int, int], None] | None = None) -> Computed:
    """Do the tasks of one request (`runners.outcomes`). Whoever gave the folder clears it."""
    request, done = tasks[0].request, runners.outcomes(tasks, runner, progress)
    left_out = pa.concat_tables([one.left_out for one in sorted(done, key=lambda one: one.number)])
    summed = left_out.group_by(["as_of", "currency"]).aggregate([("accounts", "sum")])
    summed = summed.rename_columns(LEFT_OUT.names).sort_by([("as_of", "ascending"), ("currency", "ascending")])
    beside = request.beside.tables if request.beside else ()
    parts = {
        table: Parts(
            {str(date): [_part(request, table, date, task.number) for task in tasks] for date in request.as_of_dates}
        )
        for table in (STREAMS, CARDS, *(_features(window) for window in request.windows), *beside)
    }
    return Computed(parts, summed)


def _done(task: Task) -> Done:
    # These load the kernels.
    from spendsense_pipeline.features.signals import EPOCH, NOBODY, Customers, evidence_of, tables_of

    request = task.request
    customers = Customers(**{name: row_groups.rows_of(request.tables[name], task.customers) for name in TABLES})
    days = [(date - EPOCH).days for date in request.as_of_dates]
    evidence = evidence_of(customers, days, list(request.windows), request.payees or NOBODY)
    signals = tables_of(evidence)
    by_customer = {STREAMS: signals.streams, CARDS: signals.cards}
    if request.beside is not None:
        by_customer |= pkgutil.resolve_name(request.beside.function)(evidence, signals)
    for window in request.windows:
        by_customer[_features(window)] = signals.features.filter(pc.field("window_days") == window)
    for name, table in by_customer.items():
        for date, rows in _by_date(table, request.as_of_dates):
            row_groups.store(_sorted(rows), _part(request, name, date, task.number))
    return Done(task.number, signals.left_out.select(LEFT_OUT.names).cast(LEFT_OUT))


def _by_date(table: pa.Table, dates: Sequence[dt.date]) -> Iterator[tuple[dt.date, pa.Table]]:
    """The rows of each of the ascending dates; the table is in their order."""
    days = table["as_of"].cast(pa.int32()).to_numpy()
    ends = days.searchsorted(np.array(dates, "M8[D]").astype("i4"), side="right")
    for date, begin, end in zip(dates, [0, *ends[:-1]], ends, strict=True):
        yield date, table.slice(begin, end - begin)


def _sorted(table: pa.Table) -> pa.Table:
    ids = table[CUSTOMER].cast(pa.string())
    if pc.all(pc.less_equal(ids.slice(0, len(ids) - 1), ids.slice(1)), min_count=0).as_py():
        return table
    return table.take(pc.sort_indices(ids))  # stable: a customer's rows stay in their order


def _features(window: int) -> str:
    return f"features_{window}d"


def _part(request: Request, table: str, date: dt.date, number: int) -> str:
    return f"{request.folder}/{table}/{date}/{number:06}.arrow"
