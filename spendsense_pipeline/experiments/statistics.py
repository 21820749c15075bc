"""Differences between two arms and how sure they are: pure functions on arrays.

Belongs here: estimates, intervals, tests and sample sizes. Does not belong here: which customers or metrics are
compared (``uplift``), and any word about the result.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALPHA: Final = 0.05
"""Two-sided error that every interval and test here allows."""
POWER: Final = 0.8
"""Chance to see an effect of the size asked about; Cohen's convention."""
LOST: Final = 0.05
"""Share of customers expected to have no outcome, added to a planned size."""
RATIO_ALARM: Final = 0.001
"""A sample ratio less likely than this is a fault of the assignment, not luck; the field's usual bound."""


@dataclass(frozen=True)
class Difference:
    """Mean of the treated less mean of the control, adjusted for baseline and stratum, in the outcome's unit.

    ``relative`` is the difference as a fraction of the control's mean, nan where that is not surely above 0.
    """

    estimate: float
    error: float
    low: float
    high: float
    p: float
    relative: float
    relative_low: float
    relative_high: float
    mean_control: float


def difference(
    treated: NDArray[np.bool_],
    outcome: Floats,
    baseline: Floats,
    strata: NDArray[np.int64],
    *,
    planned: int | None = None,
) -> Difference | None:
    """The adjusted difference (CUPED within strata) with its interval; None where nothing can be compared.

    The outcome is regressed on arm, baseline, both together and stratum; each arm's mean is what the regression gives
    all customers, and the errors come from each customer's own share in it (influence), so that arms may differ in
    spread, in size and in how the baseline matters. Rows without an outcome are left out; an unknown baseline counts
    as the mean. ``planned`` (customers in both arms) makes the interval always valid: it holds at every look at once
    (asymptotic confidence sequence with a normal mixture, Waudby-Smith and others), narrowest at the planned size.
    Without it, one look: Student's t.
    """
    seen = ~np.isnan(outcome)
    arm, y, x = treated[seen], outcome[seen], baseline[seen]
    number, share = len(y), float(arm.mean()) if len(arm) else 0.0
    if not 0 < share < 1:
        return None
    known = ~np.isnan(x)
    x = np.where(known, x - (x[known].mean() if known.any() else 0.0), 0.0)
    _, cell = np.unique(strata[seen], return_inverse=True)
    d = arm.astype(float)
    columns = [d, x, d * x] if all(x[side].std() > 0 for side in (arm, ~arm)) else [d]
    design = np.column_stack(columns)
    freedom = number - int(cell.max()) - 1 - len(columns)
    within = np.column_stack([_within(column, cell) for column in columns])
    if freedom < 1 or within[:, 0] @ within[:, 0] <= 0:
        return None
    slopes, *_ = np.linalg.lstsq(within, _within(y, cell), rcond=None)
    rest = _within(y - design @ slopes, cell)
    effect = slopes[0] + (slopes[2] * x if len(columns) > 1 else 0.0)
    without = y - rest - d * effect
    means = float((without + effect).mean()), float(without.mean())
    influence = (without + effect - means[0] + d / share * rest, without - means[1] + (1 - d) / (1 - share) * rest)

    def error(values: Floats) -> float:
        return math.sqrt(float(values @ values) / freedom / number)

    spread, estimate = error(influence[0] - influence[1]), means[0] - means[1]
    width, p = _one_look(estimate, spread, freedom) if planned is None else _any_look(estimate, spread, number, planned)
    fraction = miss = math.nan
    if means[1] > width * error(influence[1]):
        fraction = estimate / means[1]
        miss = width * error(influence[0] - (1 + fraction) * influence[1]) / means[1]
    return Difference(
        estimate=estimate,
        error=spread,
        low=estimate - width * spread,
        high=estimate + width * spread,
        p=p,
        relative=fraction,
        relative_low=fraction - miss,
        relative_high=fraction + miss,
        mean_control=means[1],
    )


def _within(values: Floats, cell: NDArray[np.int64]) -> Floats:
    """What is left of each value after its stratum's mean."""
    return values - (np.bincount(cell, values) / np.bincount(cell))[cell]


def _one_look(estimate: float, error: float, freedom: int) -> tuple[float, float]:
    """(Standard errors that the interval reaches, p) by Student's t."""
    if error == 0:
        return 0.0, float(estimate == 0)
    from scipy.special import stdtr, stdtrit  # takes a third of a second: whoever only loads the graph does not wait

    return float(stdtrit(freedom, 1 - ALPHA / 2)), float(2 * stdtr(freedom, -abs(estimate) / error))


def _any_look(estimate: float, error: float, number: int, planned: int) -> tuple[float, float]:
    """The same where the difference may be looked at as often as one likes."""
    bound = -2 * math.log(ALPHA)
    mass = number * (bound + math.log(bound + 1)) / planned
    spread = 2 * (1 + 1 / mass)
    width = math.sqrt(spread * math.log(math.sqrt(mass + 1) / ALPHA))
    if error == 0:
        return width, float(estimate == 0)
    return width, min(1.0, math.sqrt(mass + 1) * math.exp(-((estimate / error) ** 2) / spread))


def holm(p: Sequence[float]) -> list[float]:
    """Each p for a family of comparisons, by Holm: the chance of any false finding stays at or below ALPHA."""
    order = np.argsort(p)
    steps = np.asarray(p, dtype=float)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(value) for value in adjusted]


def likelihood_of_chi_square(freedom: int, chi_square: float) -> float:
    """How likely a chi-square at least as large is where nothing but chance made it."""
    from scipy.special import chdtrc

    return float(chdtrc(freedom, chi_square))


def sample_ratio(counts: Sequence[int], weights: Sequence[int]) -> float:
    """How likely counts at least as far from the arms' weights are, by chi-square; 1 where nobody was counted."""
    seen, planned = np.asarray(counts, dtype=float), np.asarray(weights, dtype=float)
    expected = seen.sum() * planned / planned.sum()
    return likelihood_of_chi_square(len(seen) - 1, ((seen - expected) ** 2 / expected).sum()) if seen.sum() else 1.0


def same_share(first: tuple[int, int], second: tuple[int, int]) -> float:
    """How likely two shares (met, of) differ at least so much where they are the same, by the normal approximation."""
    (a, n), (b, m) = first, second
    pooled = (a + b) / (n + m) if n and m else 0.0
    variance = pooled * (1 - pooled) * (1 / n + 1 / m) if n and m else 0.0
    return 2 * NormalDist().cdf(-abs(a / n - b / m) / math.sqrt(variance)) if variance else 1.0


@dataclass(frozen=True)
class Plan:
    """What an experiment needs: ``measured`` customers an arm with an outcome, ``assigned`` to have so many left."""

    measured: int
    assigned: int


def needed_for_shares(before: float, after: float, **terms: Any) -> Plan:
    """Customers an arm that show a share going from ``before`` to ``after`` (fractions).

    >>> needed_for_shares(0.24, 0.21)
    Plan(measured=3038, assigned=3198)
    """
    return _needed(before * (1 - before) + after * (1 - after), before - after, **terms)


def needed_for_means(change: float, deviation: float, **terms: Any) -> Plan:
    """Customers an arm that show a mean moving by ``change`` where customers differ by ``deviation`` (same unit)."""
    return _needed(2 * deviation**2, change, **terms)


def _needed(
    variance: float,
    change: float,
    *,
    power: float = POWER,
    correlation: float = 0.0,
    comparisons: int = 1,
    lost: float = LOST,
) -> Plan:
    """``variance`` of the difference for one customer an arm, which a baseline of that ``correlation`` lowers; several
    ``comparisons`` share the error as Holm's first step does."""
    normal = NormalDist()
    reach = normal.inv_cdf(1 - ALPHA / comparisons / 2) + normal.inv_cdf(power)
    measured = math.ceil(variance * (1 - correlation**2) * (reach / change) ** 2)
    return Plan(measured, math.ceil(measured / (1 - lost)))
