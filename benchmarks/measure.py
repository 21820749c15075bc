"""Running a contender in a process of its own: wall time, processor time and peak memory, medians and spread.

Memory and processor time are those of the process and of all that it starts, workers and a JVM too.
"""

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

VERSIONS = ("duckdb", "ibis-framework", "numba", "numpy", "pandas", "pyarrow", "SQLAlchemy", "dagster")
CONFIGURED = ("SPENDSENSE_", "DAGSTER_", "OPENAI_")
"""Whoever measures may have SpendSense configured; a benchmark must not touch that."""


@dataclass(frozen=True)
class Measured:
    """Runs of one contender. ``wall`` seconds of the work alone, imports aside; ``elapsed`` seconds, ``processor``
    seconds and ``peak`` (bytes) of the process and all that it starts; ``said`` is what each run told of itself."""

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
            with Watched(child.pid) as watched:
                out = child.stdout.read()
                _, status, used = os.wait4(child.pid, 0)
            elapsed.append(time.perf_counter() - started)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                complaints.seek(0)
                raise Failed((complaints.read().strip().splitlines() or [f"exit {child.returncode}"])[-1])
        told = json.loads(out.splitlines()[-1])
        wall.append(told.pop("seconds"))
        # What the child waited for is counted by the kernel; a JVM that outlives it was seen by the watch alone.
        processor.append(max(used.ru_utime + used.ru_stime, watched.processor))
        peak = max(peak, told.pop("peak"), watched.peak)
        said.append(told)
    return Measured(tuple(wall), tuple(elapsed), tuple(processor), peak, tuple(said))


class Watched:
    """Looks at a process and its descendants while the block lasts, where the system has ``/proc``.

    ``peak`` is the most memory of all of them together, bytes; what they share counts once. ``processor`` is the
    seconds that they used, as last seen.
    """

    EVERY = 0.2
    """Seconds. A look walks the page tables of each process, which is not free."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak = pid, 0
        self._used: dict[int, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def processor(self) -> float:
        """Seconds of processor time."""
        return sum(self._used.values())

    def __enter__(self) -> "Watched":
        if Path("/proc/self/smaps_rollup").exists():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self.EVERY):
            self.look()

    def look(self) -> None:
        """Look once."""
        family = _family(self.pid)
        self._used |= {pid: sum(times[:2]) for pid, times in family.items()}
        self.peak = max(self.peak, sum(map(_proportional, family)))


def used() -> float:
    """Processor seconds of this process and of all that it started, whether they ended or not; where the system has no
    ``/proc``, of those that ended."""
    family = _family(os.getpid())
    return sum(map(sum, family.values())) if family else sum(os.times()[:4])


def _family(pid: int) -> dict[int, list[float]]:
    """A process and its descendants, each with its own seconds (user, system) and those of what it waited for."""
    parents, times = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()  # a command's name may hold spaces
        except OSError:  # it ended
            continue
        one = int(stat.parent.name)
        parents[one] = int(fields[1])
        times[one] = [int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in fields[11:15]]
    family = {pid} & set(parents)
    while more := {one for one, parent in parents.items() if parent in family} - family:
        family |= more
    return {one: times[one] for one in family}


def _proportional(pid: int) -> int:
    """A process's memory, bytes; of what it shares with others its part. 0 once it has ended."""
    try:
        return (
            int(re.search(r"^Pss:\s*(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1]) * 1024
        )
    except (OSError, TypeError):
        return 0


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
