"""Compiles the kernels ahead of use, so that it happens once per version of their sources and not in every worker.

What does not belong here: the compiler's options (``compiled.py``), and when it is worth compiling (``by_range.py``).
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from spendsense_pipeline.features import compiled

DONE = "complete"


def is_ready(cache: Path) -> bool:
    """Whether the kernels of this version are in the cache."""
    return (cache / compiled.version() / DONE).exists()


def make_ready(cache: Path, report: Callable[[str], None] | None = None) -> None:
    """Compile the kernels into the cache, in a process of its own, unless they are there; ``report`` hears how far."""
    if is_ready(cache):
        return
    report = report or (lambda _: None)
    report("compiling the signals' kernels, once per version (about a minute)")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        stages = pool.submit(compile_stage, cache, 0).result()
        for stage in range(1, stages + 1):
            report(f"compiling the signals' kernels: {stage} of {stages}")
            pool.submit(compile_stage, cache, stage).result()
    (cache / compiled.version() / DONE).touch()


def compile_stage(cache: Path, stage: int) -> int:
    """Compile one stage, after those before it; how many there are. Stage 0 compiles nothing."""
    compiled.choose(compiled.Mode(True, cache))
    stages: list[Callable[[], object]] = [_rows, _pay, _streams, _customers]
    if stage:
        stages[stage - 1]()
    return len(stages)


def _compile(function: Any, *arguments: object) -> None:
    from numba import typeof

    function.compile(tuple(map(typeof, arguments)))


def _rows() -> None:
    from spendsense_pipeline.features import arrays, rows, signals

    rooms = signals.rooms_of(2, 1)
    names = rows.Names(*(arrays.numbers(1) for _ in rows.Names._fields))
    _compile(rows.classify, 0, rooms.rows, 0, names, 0, rooms.row_room)


def _pay() -> None:
    from spendsense_pipeline.features import arrays, pay, signals

    rooms = signals.rooms_of(2, 1)
    ruler = signals.ruler_of(0, 1)
    _compile(pay.find_pay_by_pattern, rooms.rows, 0, ruler, rooms.pay_room)
    _compile(pay.find_paydays, rooms.rows, 0, rooms.pay_room)
    pays = arrays.records(1, pay.PAY)
    _compile(pay.pay_on, 0, 0, 0, 0, 0, 0, 0, ruler, pays[0], rooms.pay_room)


def _streams() -> None:
    from spendsense_pipeline.features import arrays, signals, streams

    _compile(streams.streams_of_payee, signals.rooms_of(2, 1).payee_room, 0, True, arrays.records(1, streams.STREAM), 0)


def _customers() -> None:
    from spendsense_pipeline.features import signals

    signals.run_on_nothing()
