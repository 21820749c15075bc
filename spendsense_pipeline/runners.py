"""Where the ranges of customers of one request are computed: in this process, in a pool of processes, or on Spark.

A task opens the tables itself, computes, and writes its part of every result; what it writes is the same wherever it
runs, byte for byte. Each process needs the memory of one range. What does not belong here: what a task computes.
"""

import atexit
import gc
import multiprocessing
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.ranges import Range

if TYPE_CHECKING:
    from pyspark import SparkContext

Report = Callable[[str], None]


class RangeFailed(SpendSenseError):
    """The customers of a range could not be computed; the message names the first of them and the cause."""

    code = "range_failed"


@dataclass(frozen=True)
class Task:
    """One range of a request; ``first`` is its first customer, empty where there is none."""

    request: Any
    number: int
    customers: Range
    first: str

    @property
    def apart(self) -> bool:
        """Whether it needs a process of its own even where it is the only one."""
        return False

    def ahead(self, report: Report | None) -> None:
        """What has to be done once before any task of the request."""

    def set_up(self) -> None:
        """Make a process that does nothing else ready for it."""

    def compute(self) -> Any:
        """Compute the range and write its parts; the outcome beside them."""
        raise NotImplementedError


def size_of(rows: int, workers: int, least: int, most: int) -> int:
    """How many of so many rows a range has, about, at least what is worth a process and at most what one holds.

    Every worker gets as many ranges as the others, and as few as may be: a range costs something beside its rows.
    """
    rounds = max(-(-rows // (workers * most)), 1)
    return max(-(-rows // (workers * rounds)), least)


Runner = Callable[[Sequence[Any]], Iterable[Any]]
"""Does all tasks of one request, in whatever order; gives their outcomes as they come. Raises ``RangeFailed`` when one
fails, and starts no further one."""


def outcomes(tasks: Sequence[Task], runner: Runner, progress: Callable[[int, int], None] | None = None) -> list[Any]:
    """Do the tasks of one request: their outcomes as they come; ``progress`` is called with how many are done, of how
    many. Raises ``RangeFailed``."""
    done = []
    for finished, one in enumerate(runner(tasks), start=1):
        done.append(one)
        if progress is not None:
            progress(finished, len(tasks))
    return done


def do(task: Task) -> Any:
    """Compute one range. Raises ``RangeFailed``, which names the range's first customer."""
    try:
        return task.compute()
    except Exception as error:
        cause = f"{error}" if isinstance(error, SpendSenseError) else f"{type(error).__name__}: {error}"
        raise RangeFailed(f"customers from {task.first!r} on could not be computed: {cause}") from error


def here(tasks: Sequence[Task]) -> Iterator[Any]:
    """One after another in this process."""
    return map(do, tasks)


def in_processes(workers: int, report: Report | None = None) -> Runner:
    """In so many processes at the same time; a single task, or a single worker, needs none unless it is ``apart``.
    ``report`` is told what is done ahead of the tasks, and how far that is."""

    def run(tasks: Sequence[Task]) -> Iterator[Any]:
        tasks[0].ahead(report)
        if min(workers, len(tasks)) < 2 and not tasks[0].apart:
            yield from here(tasks)
            return
        # Spawned: a fork would inherit the locks of whatever threads run here, and a fork server an old environment.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(
            min(workers, len(tasks)), mp_context=context, initializer=_prepare_whole_process, initargs=(tasks[0],)
        )
        running = {pool.submit(do, task): task for task in tasks}
        try:
            for future in as_completed(running):
                yield future.result()
        except BrokenProcessPool as error:
            raise RangeFailed(_killed(running, workers)) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    return run


def _prepare(task: Task) -> None:
    """Set up a process of its own for the tasks of a request, with one thread."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    task.set_up()


def _prepare_whole_process(task: Task) -> None:
    gc.set_threshold(200_000, 50, 50)  # as in the process that started it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _prepare(task)
    # Whatever a task has to leave behind is written when it returns; taking the interpreter apart takes a third of a
    # second, for which the request would wait.
    atexit.register(os._exit, 0)


def _end_with_parent() -> None:
    """End where the process that hands out tasks was killed: whoever waits for the next one would wait forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do_there(task: Task) -> Any:
    _prepare(task)
    return do(task)


def _killed(running: Mapping[Future[Any], Task], workers: int) -> str:
    unfinished = [task.first for future, task in running.items() if future.cancelled() or future.exception()]
    return (
        f"a worker process was killed, most often because memory ran out; customers from {unfinished[0]!r} on were not "
        f"computed. SPENDSENSE_WORKERS={max(workers // 2, 1)} needs half the memory"
    )


def on_spark(context: "SparkContext", report: Report | None = None) -> Runner:
    """As tasks of Spark, which reads nothing itself and shuffles nothing; it repeats what a lost executor had."""

    def run(tasks: Sequence[Task]) -> Iterator[Any]:
        from py4j.protocol import Py4JJavaError

        tasks[0].ahead(report)
        ranges = context.parallelize(tasks, len(tasks))
        try:
            yield from ranges.map(_do_there).collect()
        except Py4JJavaError as error:
            said = re.search(r"RangeFailed: (.*)", str(error.java_exception))
            if said is None:
                raise
            raise RangeFailed(said[1]) from error

    return run
