"""Compiles the kernels to machine code, so that it happens once per version of their sources and not in every worker.

What does not belong here: how machine code is called (``compiled.py``), and when it is worth compiling
(``by_range.py``).
"""

import gc
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from spendsense_pipeline.features import compiled


def make_ready(cache: Path, report: Callable[[str], None] | None = None) -> None:
    """Compile the kernels into the cache, in a process of its own, unless they are there; ``report`` hears of it."""
    if compiled.ready(cache):
        return
    if report is not None:
        report("compiling the signals' kernels, once per version (about half a minute)")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(run_kernels, cache).result()


def run_kernels(cache: Path) -> None:
    """Call every kernel, which compiles those that are not there."""
    compiled.choose(compiled.Mode(cache))
    from spendsense_pipeline.features import signals

    signals.run_on_nothing()


def compile_kernel(function: Any, arguments: tuple[Any, ...], cache: Path) -> Path:
    """Compile a function of Numba's with all that it calls, for such arguments; the file of its machine code."""
    from numba import typeof
    from numba.core.codegen import AOTCodeLibrary
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.registry import cpu_target

    class Called(AOTCodeLibrary):
        """A function that is optimised and translated with the one that calls it. By itself Numba does so with each,
        and with all that it calls, again and again up to the one on top: half of the time."""

        def _optimize_final_module(self) -> None:
            pass

        def get_pointer_to_function(self, _name: str) -> int:
            return 0

    generator = cpu_target.target_context.codegen()
    ours = {"_library_class": Called, "_add_module": lambda _: None, "set_env": lambda *_: None}
    vars(generator).update(ours)
    gc.disable()  # nothing that is made here goes before the end
    try:
        function.compile(tuple(map(typeof, arguments)))
        (made,) = function.overloads.values()
        with global_compiler_lock:
            made.library.finalize()
            super(Called, made.library)._optimize_final_module()
            binary = made.library.emit_native_object()
    finally:
        gc.enable()
        for name in ours:
            delattr(generator, name)
    _, processor, features = generator.magic_tuple()
    file = compiled.place_of(cache, processor, features)
    gives = len(made.signature.return_type)
    compiled.Code(made.fndesc.llvm_func_name, compiled.described(arguments), gives, binary).store(file)
    return file
