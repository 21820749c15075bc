"""What holds the numbers that kernels read and write, and how they are sorted.

Compiled kernels work on NumPy arrays and structured records; plain Python on lists and small objects, which it reads
five times faster. A kernel is the same either way: it indexes, compares and assigns.

What does not belong here: anything about a customer.
"""

from typing import Any

import numpy as np

from spendsense_pipeline.features.compiled import is_compiled, jit

COMPILED = is_compiled()
FEW = 24  # numbers up to which insertion alone is fastest; measured on charges of a payee
# Typed: a literal 0 would have each function that it is passed to compiled once more.
ZERO: int = np.int64(0) if COMPILED else 0  # type: ignore[assignment]
ONE: int = np.int64(1) if COMPILED else 1  # type: ignore[assignment]
Numbers = Any
"""Whole numbers or floats by place: a NumPy array when compiled, a list otherwise."""
Records = Any
"""Records by place, their fields as attributes: a structured array when compiled, a list of objects otherwise."""


def numbers(count: int) -> Numbers:
    """Room for so many whole numbers."""
    return np.zeros(count, "i8") if COMPILED else [0] * count


def floats(count: int) -> Numbers:
    """Room for so many floats."""
    return np.zeros(count) if COMPILED else [0.0] * count


def readable(values: Any) -> Numbers:
    """An array as kernels of this mode read it."""
    array = np.ascontiguousarray(values)
    return array if COMPILED else array.tolist()


def records(count: int, dtype: np.dtype[Any]) -> Records:
    """Room for so many records, their fields 0."""
    if COMPILED:
        return np.zeros(count, dtype)
    kind = _record(dtype)
    return [kind() for _ in range(count)]


def structured(held: Records, dtype: np.dtype[Any], count: int | None = None) -> np.ndarray[Any, Any]:
    """The first ``count`` records, or all, as a structured array."""
    number = len(held) if count is None else count
    if COMPILED:
        return np.array(held[:number])
    names = dtype.names or ()
    return np.array([tuple(getattr(one, name) for name in names) for one in held[:number]], dtype)


_classes: dict[Any, type] = {}


def _record(dtype: np.dtype[Any]) -> type:
    names = dtype.names or ()
    if names not in _classes:
        zeros = {name: 0.0 if dtype[name].kind == "f" else 0 for name in names}

        def __init__(self: Any) -> None:  # noqa: N807
            for name, zero in zeros.items():
                setattr(self, name, zero)

        _classes[names] = type("Record", (), {"__slots__": names, "__init__": __init__})
    return _classes[names]


def constant(values: list[Any]) -> Numbers:
    """A table that kernels read: their ``readable`` of it, decided when they are imported."""
    return readable(np.array(values))


if COMPILED:

    @jit
    def sort(values: Numbers, count: int) -> None:
        """Sort the first ``count`` numbers in place."""
        # Shell's sort: most of what is sorted here is a payee's, few and nearly in order, which one pass of insertion
        # puts right; NumPy's own takes longer to compile than all else here together.
        gap = 1
        while gap * FEW < count:
            gap = 3 * gap + 1
        while gap > 0:
            for i in range(gap, count):
                moving, j = values[i], i
                while j >= gap and values[j - gap] > moving:
                    values[j] = values[j - gap]
                    j -= gap
                values[j] = moving
            gap //= 3

    @jit
    def copy_record(to: Records, at: int, source: Records, place: int) -> None:
        """Write a record's fields over those of another."""
        to[at] = source[place]

else:

    def sort(values: Numbers, count: int) -> None:
        """Sort the first ``count`` numbers in place."""
        values[:count] = sorted(values[:count])

    def copy_record(to: Records, at: int, source: Records, place: int) -> None:
        """Write a record's fields over those of another."""
        other = source[place]
        for name in other.__slots__:
            setattr(to[at], name, getattr(other, name))


@jit
def median_of(values: Numbers, count: int) -> float:
    """The median of the first ``count`` numbers, which are sorted in place."""
    sort(values, count)
    half = count // 2
    return float(values[half]) if count % 2 else (values[half - 1] + values[half]) / 2
