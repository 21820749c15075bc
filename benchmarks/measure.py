"""Running a contender in a process of its own: wall time, processor time and peak memory, medians and spread."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

VERSIONS = ("duckdb", "ibis-framework", "pandas", "pyarrow", "SQLAlchemy", "dagster")


@dataclass(frozen=True)
class Measured:
    """Runs of one contender. ``wall`` seconds of the work alone, imports aside; ``processor`` and ``peak`` (bytes of
    resident memory) of the whole process; ``told`` is what it said of itself."""

    wall: tuple[float, ...]
    processor: tuple[float, ...]
    peak: int
    told: Mapping[str, Any]

    @property
    def median(self) -> float:
        """Median wall time, seconds."""
        return statistics.median(self.wall)

    @property
    def spread(self) -> str:
        """From the fastest run to the slowest, seconds."""
        return f"{min(self.wall):.1f}–{max(self.wall):.1f}" if len(self.wall) > 1 else "one run"


class Failed(Exception):
    """A contender ended without a result; the message is the last line it wrote."""


def measure(contender: str, options: Mapping[str, Any], *, repeats: int) -> Measured:
    """Run ``contender`` (``module:function`` in this package) with ``options`` in fresh processes.

    The function returns what it wants to tell, or a mapping whose ``seconds`` replaces the measured wall time.
    Raises Failed.
    """
    wall, processor, peak, told = [], [], 0, {}
    for _ in range(repeats):
        command = [sys.executable, "-m", "benchmarks.measure", contender, json.dumps(options)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own
        out, err = child.stdout.read(), child.stderr.read()  # the child writes little
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise Failed((err.strip().splitlines() or [f"exit {child.returncode}"])[-1])
        told = json.loads(out.splitlines()[-1])
        wall.append(told.pop("seconds"))
        processor.append(used.ru_utime + used.ru_stime)
        peak = max(peak, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    return Measured(tuple(wall), tuple(processor), peak, told)


def machine() -> str:
    """The machine and the versions, one line."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {pages / 2**30:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, {versions}"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Rows of the same keys as a Markdown table."""
    names = list(rows[0])
    yield "| " + " | ".join(names) + " |"
    yield "|" + "|".join("---" for _ in names) + "|"
    for row in rows:
        yield "| " + " | ".join(str(row[name]) for name in names) + " |"


def _run(contender: str, options: Mapping[str, Any]) -> None:
    import importlib

    module, _, function = contender.partition(":")
    work = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    started = time.perf_counter()
    told = work(**options) or {}
    print(json.dumps({"seconds": time.perf_counter() - started, **told}))


if __name__ == "__main__":
    _run(sys.argv[1], json.loads(sys.argv[2]))
