"""Customers who react to what they read: fees before and after, by arm, persona and luck, with the effect planted.

For proving that an analysis finds what is there and nothing else. Belongs here: how people behave. Does not belong
here: any estimate of it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEE: Final = 35.0
"""Dollars of one overdraft fee."""
FEES_A_MONTH: Final = (0.05, 0.15, 0.4, 0.8)
"""Mean fees a month by persona; within each, customers differ by a gamma of shape 1.5: most pay none, some pay many."""
LISTENS: Final = (0.2, 0.35, 0.5, 0.65)
"""Share of customers, by persona, whom a text moves to do anything at all."""


@dataclass(frozen=True)
class Crowd:
    """Customers before an experiment: persona (0 to 3), fees a month that they are prone to, dollars of fees in the
    180 days before."""

    persona: NDArray[np.int64]
    rate: NDArray[np.float64]
    before: NDArray[np.float64]


def crowd(rng: np.random.Generator, number: int) -> Crowd:
    """So many customers."""
    persona = rng.integers(0, len(FEES_A_MONTH), number)
    rate: NDArray[np.float64] = np.asarray(FEES_A_MONTH)[persona] * rng.gamma(1.5, 1 / 1.5, number)
    return Crowd(persona, rate, (rng.poisson(rate * 6) * FEE).astype(np.float64))


def fees_after(
    rng: np.random.Generator, people: Crowd, effect: NDArray[np.float64] | float, months: float = 3
) -> NDArray[np.float64]:
    """Dollars of fees in the months after; who listens pays them less often by ``effect``, a fraction of the rate."""
    listens = rng.random(len(people.rate)) < np.asarray(LISTENS)[people.persona]
    return (rng.poisson(people.rate * months * (1 - listens * effect)) * FEE).astype(np.float64)


def planted(effect: float, months: float = 3) -> tuple[float, float]:
    """What the effect changes in all such customers: (dollars, fraction of the fees that they would have paid)."""
    rates, listens = np.asarray(FEES_A_MONTH), np.asarray(LISTENS)
    saved = float((rates * listens).mean() * effect)
    return -saved * months * FEE, -saved / float(rates.mean())
