"""Running a contender in a process of its own: wall time, processor time and peak memory, medians and spread."""

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

VERSIONS = ("duckdb", "ibis-framework", "pandas", "pyarrow", "SQLAlchemy", "dagster")
CONFIGURED = ("SPENDSENSE_", "DAGSTER_", "OPENAI_")
"""Whoever measures may have SpendSense configured; a benchmark must not touch that."""


@dataclass(frozen=True)
class Measured:
    """Runs of one contender. ``wall`` seconds of the work alone, imports aside; ``elapsed`` seconds, ``processor`` and
    ``peak`` (bytes of resident memory) of the whole process; ``said`` is what each run told of itself."""

    wall: tuple[float, ...]
    elapsed: tuple[float, ...]
    processor: tuple[float, ...]
    peak: int
    said: tuple[Mapping[str, Any], ...]

    @property
    def told(self) -> Mapping[str, Any]:
        """What the last run told of itself."""
        return self.said[-1]

    @property
    def median(self) -> float:
        """Median wall time, seconds."""
        return statistics.median(self.wall)

    @property
    def spread(self) -> str:
        """From the fastest run to the slowest, seconds."""
        return spread(self.wall)


class Failed(Exception):
    """A contender ended without a result; the message is the last line it wrote."""


def spread(seconds: Sequence[float]) -> str:
    """From the fastest to the slowest."""
    return f"{min(seconds):.1f}–{max(seconds):.1f}" if len(seconds) > 1 else "one run"


def measure(contender: str, options: Mapping[str, Any], *, repeats: int) -> Measured:
    """Run ``contender`` (``module:function`` in this package) with ``options`` in fresh processes.

    The function returns what it wants to tell, or a mapping whose ``seconds`` replaces the measured wall time.
    Raises Failed.
    """
    wall, elapsed, processor, peak, said = [], [], [], 0, []
    environment = {name: value for name, value in os.environ.items() if not name.startswith(CONFIGURED)}
    for _ in range(repeats):
        command = [sys.executable, "-m", "benchmarks.measure", contender, json.dumps(options)]
        with tempfile.TemporaryFile("w+") as complaints:
            started = time.perf_counter()
            child = subprocess.Popen(  # noqa: S603 - our own
                command, stdout=subprocess.PIPE, stderr=complaints, text=True, env=environment
            )
            out = child.stdout.read()
            _, status, used = os.wait4(child.pid, 0)
            elapsed.append(time.perf_counter() - started)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                complaints.seek(0)
                raise Failed((complaints.read().strip().splitlines() or [f"exit {child.returncode}"])[-1])
        told = json.loads(out.splitlines()[-1])
        wall.append(told.pop("seconds"))
        processor.append(used.ru_utime + used.ru_stime)
        peak = max(peak, told.pop("peak"))
        said.append(told)
    return Measured(tuple(wall), tuple(elapsed), tuple(processor), peak, tuple(said))


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
    print(json.dumps({"seconds": time.perf_counter() - started, "peak": _peak(), **told}))


def _peak() -> int:
    """The most resident memory of this process, bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux counts what the parent held when it started us to ``ru_maxrss``
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    _run(sys.argv[1], json.loads(sys.argv[2]))
