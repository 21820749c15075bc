"""Reproducible chance: a draw is a function of the seed, a topic and whole-number keys, and of nothing else.

There is no running generator state, so whole columns are drawn at once, in any order and for any slice of
customers, and a customer's numbers do not depend on how many others there are. Only exact operations
(integers, + - * /) are used: no logarithm or cosine whose last digit differs between machines.

What does not belong here: anything that knows what a customer or a payment is.
"""

import hashlib

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Keys = Ints | int

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def _mixed(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread every input bit over all 64 (the finaliser of SplitMix64)."""
    value = (value ^ (value >> np.uint64(30))) * _FIRST
    value = (value ^ (value >> np.uint64(27))) * _SECOND
    mixed: npt.NDArray[np.uint64] = value ^ (value >> np.uint64(31))
    return mixed


class Rng:
    """Draws for one seed. Keys broadcast against each other and give the shape of the answer.

    >>> rng = Rng(7)
    >>> bool(rng.uniform("height", 3) == Rng(7).uniform("height", 3))
    True
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def _bits(self, topic: str, keys: tuple[Keys, ...]) -> npt.NDArray[np.uint64]:
        named = hashlib.blake2b(f"{self._seed}/{topic}".encode(), digest_size=8).digest()
        # At least one dimension: on scalars numpy would warn about the wrap-around that is wanted here.
        state = np.full(1, int.from_bytes(named, "big"), dtype=np.uint64)
        for key in keys:
            column = np.atleast_1d(np.asarray(key, dtype=np.int64)).astype(np.uint64)
            state = _mixed(state + (column + np.uint64(1)) * _STEP)
        return state

    def uniform(self, topic: str, *keys: Keys) -> Floats:
        """Numbers in [0, 1)."""
        drawn: Floats = (self._bits(topic, keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return drawn

    def between(self, topic: str, low: float | Floats | Ints, high: float | Floats | Ints, *keys: Keys) -> Floats:
        """Numbers in [low, high), all equally likely."""
        drawn: Floats = low + (high - low) * self.uniform(topic, *keys)
        return drawn

    def whole(self, topic: str, low: int | Ints, high: int | Ints, *keys: Keys) -> Ints:
        """Whole numbers from low to high, both included."""
        drawn: Ints = np.floor(self.between(topic, low, np.asarray(high) + 1, *keys)).astype(np.int64)
        return drawn

    def bell(self, topic: str, *keys: Keys) -> Floats:
        """Numbers in (-1, 1), mostly near 0: what people call "about"."""
        parts = [self.uniform(f"{topic}/{n}", *keys) for n in range(3)]
        drawn: Floats = (parts[0] + parts[1] + parts[2]) / 1.5 - 1.0
        return drawn

    def chance(self, topic: str, probability: float | Floats, *keys: Keys) -> Flags:
        """True with the given probability."""
        drawn: Flags = self.uniform(topic, *keys) < probability
        return drawn

    def pick(self, topic: str, weights: list[float], *keys: Keys) -> Ints:
        """Positions in ``weights``, each as likely as its weight says."""
        edges = np.cumsum(np.asarray(weights, dtype=np.float64))
        drawn: Ints = np.searchsorted(edges / edges[-1], self.uniform(topic, *keys), side="right")
        return drawn.astype(np.int64)
