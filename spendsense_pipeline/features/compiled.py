"""The compiled kernels, where they are worth their start; else the same functions run as plain Python.

A process has one mode, chosen before the first kernel is imported: workers on large inputs call machine code, a
process that looks at one customer calls Python. What differs between the modes is what holds the data: arrays of
machine numbers when compiled, lists and small objects otherwise, which plain Python reads five times faster. The
machine code is kept in a file and called by its address, so that only who compiles it imports Numba.

What does not belong here: anything about a customer, and how machine code is made (``compilation.py``).
"""

import ctypes
import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])
GENERIC = "generic"  # the processor whose code runs on all of its kind


class Mode(NamedTuple):
    """How the kernels of this process run: compiled where there is a ``cache``, a folder of machine code. ``checked``
    has each index compared with its bounds, which tests do."""

    cache: Path | None = None
    checked: bool = False


_mode = Mode()
_kernels_imported = False


def choose(mode: Mode) -> None:
    """Set the mode of this process; an error where kernels were imported in another one."""
    global _mode
    if _kernels_imported and (mode.cache is None) != (_mode.cache is None):
        raise RuntimeError("the kernels of this process were imported in the other mode; start a process of their own")
    if not _kernels_imported:
        _mode = mode


def is_compiled() -> bool:
    """Whether the kernels of this process are, or will be, compiled."""
    return _mode.cache is not None


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


def ready(cache: Path) -> Path | None:
    """The file of machine code that runs on this processor, where the folder has one of this version."""
    import llvmlite.binding as llvm

    own = place_of(cache, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    return next((file for file in (own, place_of(cache, GENERIC, "")) if file.exists()), None)


def place_of(cache: Path, processor: str, features: str) -> Path:
    """The file for a processor with such features."""
    name = processor if processor == GENERIC else hashlib.sha256(f"{processor} {features}".encode()).hexdigest()[:16]
    return cache / version() / f"{name}.kernels"


@functools.cache
def _is_to_be_made() -> bool:
    """Whether this process is the first to need the machine code; decided with the first kernel."""
    global _kernels_imported
    _kernels_imported = True
    return _mode.cache is not None and ready(_mode.cache) is None


def jit(function: Function) -> Function:
    """Mark a function that only kernels call."""
    if not _is_to_be_made():
        return function
    import numba

    compile_lazily: Callable[..., Any] = numba.njit
    # Without counting who holds an array, which Python does for as long as a kernel runs and which took two fifths of
    # the kernels' time; they make no arrays themselves. And without the wrappers that Python would call it by.
    decorated: Function = compile_lazily(
        function, nogil=True, error_model="numpy", boundscheck=_mode.checked, _nrt=False, no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )  # fmt: skip
    return decorated


def kernel(function: Function) -> Function:
    """Mark the function that Python calls: with whole numbers, arrays and tuples of these; it gives whole numbers."""
    marked: Any = jit(function)
    return marked if _mode.cache is None else _Kernel(marked, _mode.cache)  # type: ignore[return-value]


class Code(NamedTuple):
    """Machine code of a kernel and all that it calls. ``takes`` describes the arguments, ``gives`` is how many numbers
    it gives."""

    symbol: str
    takes: str
    gives: int
    binary: bytes

    def store(self, file: Path) -> None:
        """Write it whole: several processes may do so at the same time."""
        file.parent.mkdir(parents=True, exist_ok=True)
        own = file.with_suffix(f".{os.getpid()}")
        own.write_bytes(json.dumps(self[:-1]).encode() + b"\n" + self.binary)
        own.replace(file)

    @classmethod
    def read(cls, file: Path) -> "Code":
        """As it was stored."""
        head, _, binary = file.read_bytes().partition(b"\n")
        symbol, takes, gives = json.loads(head)
        return cls(symbol, takes, gives, binary)


class _Kernel:
    """Calls machine code, by Numba's own convention for functions among themselves."""

    def __init__(self, function: Callable[..., Any], cache: Path) -> None:
        self._function, self._cache = function, cache
        self._loaded: tuple[Code, Callable[..., int], Any] | None = None

    def __call__(self, *arguments: Any) -> list[int]:
        code, call, _ = self._loaded = self._loaded or self._load(arguments)
        takes = described(arguments)
        if takes != code.takes:
            raise TypeError(f"a kernel was compiled for {code.takes}, not {takes}")
        given, error = (ctypes.c_int64 * code.gives)(), ctypes.c_void_p()
        status = call(ctypes.byref(given), ctypes.byref(error), *_flat(arguments))
        if status:
            raise RuntimeError(f"a kernel ended with status {status}" + ": an index out of bounds" * _mode.checked)
        return list(given)

    def _load(self, arguments: tuple[Any, ...]) -> tuple[Code, Callable[..., int], Any]:
        import llvmlite.binding as llvm

        file = ready(self._cache)
        if file is None:
            from spendsense_pipeline.features.compilation import compile_kernel

            file = compile_kernel(self._function, arguments, self._cache)
        code = Code.read(file)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(codemodel="jitdefault", jit=True)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)  # goes with the code that it holds
        engine.add_object_file(llvm.ObjectFileRef.from_data(code.binary))
        engine.finalize_object()
        numbers = [ctypes.c_int64] * len(list(_flat(arguments)))
        convention = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *numbers)
        return code, convention(engine.get_function_address(code.symbol)), engine


def described(argument: Any) -> str:
    """What machine code has to know of an argument: what it holds, not how much."""
    if isinstance(argument, tuple):
        return f"({', '.join(map(described, argument))})"
    if not isinstance(argument, np.ndarray):
        return type(argument).__name__
    return f"{argument.dtype}" if argument.ndim == 1 and argument.flags.c_contiguous else "another array"


def _flat(argument: Any) -> Iterator[int]:
    """An argument as the numbers that the convention passes; of an array nobody is named who holds it."""
    if isinstance(argument, tuple):
        for one in argument:
            yield from _flat(one)
    elif isinstance(argument, np.ndarray):
        yield from (0, 0, argument.size, argument.itemsize, argument.ctypes.data, argument.size, argument.itemsize)
    else:
        yield int(argument)
