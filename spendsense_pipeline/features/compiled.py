"""The compiler of the kernels, where it is worth its start; else the same functions run as plain Python.

A process has one mode, chosen before the first kernel is imported: workers on large inputs compile, a process that
looks at one customer does not import Numba at all. What differs between the modes is what holds the data: arrays of
machine numbers when compiled, lists and small objects otherwise, which plain Python reads five times faster.

What does not belong here: anything about a customer.
"""

import hashlib
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])


class Mode(NamedTuple):
    """How the kernels of this process run. ``checked`` has each index compared with its bounds, which tests do."""

    compiled: bool = False
    cache: Path | None = None
    checked: bool = False


_mode = Mode()
_kernels_imported = False


def choose(mode: Mode) -> None:
    """Set the mode of this process; an error where kernels were imported in another one."""
    global _mode
    if _kernels_imported and mode.compiled != _mode.compiled:
        raise RuntimeError("the kernels of this process were imported in the other mode; start a process of their own")
    if not _kernels_imported:
        _mode = mode


def is_compiled() -> bool:
    """Whether the kernels of this process are, or will be, compiled."""
    return _mode.compiled


def sources() -> list[Path]:
    """The files that hold kernels, and this one."""
    return sorted(Path(__file__).parent.glob("*.py"))


def version() -> str:
    """Identifies sources, compiler and its checks: kernels that are cached under another version are not used."""
    compiler = metadata.version("numba")
    digest = hashlib.sha256(f"{compiler} {np.__version__} {sys.version} {_mode.checked}".encode())
    for file in sources():
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def jit(function: Function) -> Function:
    """Compile a function that only kernels call."""
    # Without the wrapper that Python would call it by: unpacking records and tuples of arrays is most of a compilation.
    return _jit(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def kernel(function: Function) -> Function:
    """Compile a function that Python calls; with all it calls it is kept in the cache."""
    return _jit(function, cache=_mode.cache is not None, no_cfunc_wrapper=True)


def _jit(function: Function, **options: bool) -> Function:
    global _kernels_imported
    first, _kernels_imported = not _kernels_imported, True
    if not _mode.compiled:
        return function
    import numba

    if first and _mode.cache is not None:
        # Numba looks at the file of the one function that it keeps; the folder's name stands for all of them.
        numba.config.CACHE_DIR = str(_mode.cache / version())  # type: ignore[attr-defined]
    compile_lazily: Callable[..., Any] = numba.njit
    # Without counting who holds an array, which Python does for as long as a kernel runs and which took two fifths of
    # the kernels' time; they make no arrays themselves.
    decorated: Function = compile_lazily(
        function, nogil=True, error_model="numpy", boundscheck=_mode.checked, _nrt=False, **options
    )
    return decorated
