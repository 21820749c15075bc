"""Compiled kernels, in a process of their own: a process has one mode, and that of the tests is plain Python.

Nothing here may import a kernel before the worker has chosen its mode.
"""

import datetime as dt
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from spendsense_pipeline.features.signals import Customers, Signals


class CompiledKernels:
    """Answers as ``signals_of`` does; ``checked`` has each index compared with its bounds."""

    def __init__(self, cache: Path, checked: bool = False) -> None:
        self._pool = ProcessPoolExecutor(
            1, get_context("spawn"), initializer=choose_compiled, initargs=(cache, checked)
        )

    def __call__(
        self, customers: "Customers", as_of_dates: Sequence[dt.date], windows: Sequence[int] = (30, 180)
    ) -> "Signals":
        return self._pool.submit(compiled_signals, customers, as_of_dates, windows).result()

    def close(self) -> None:
        self._pool.shutdown()


def choose_compiled(cache: Path, checked: bool) -> None:
    """Choose the mode of this process and compile, or wait until another process has compiled into the cache."""
    from spendsense_pipeline.features.compiled import Mode, choose

    choose(Mode(cache, checked))
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):
        from spendsense_pipeline_tests.features.ledger import Ledger, monthly

        ledger = Ledger()
        (account,) = ledger.customer("ann", "checking")
        for date in monthly(15, 3):
            ledger.row(account, date, -9.99, "Netflix", "ENTERTAINMENT")
        assert ledger.signals().streams.num_rows == 1


def compiled_signals(customers: "Customers", as_of_dates: Sequence[dt.date], windows: Sequence[int]) -> "Signals":
    """Called in the worker."""
    from spendsense_pipeline.features.compiled import is_compiled
    from spendsense_pipeline.features.signals import signals_of

    assert is_compiled()
    return signals_of(customers, as_of_dates, windows)
