"""Whether a batch was rejected more, or less, than the ones before it. Why a row is, stands in `canonical.py`."""

from collections.abc import Sequence
from fractions import Fraction
from statistics import median
from typing import NamedTuple

BEFORE = 14  # batches that a rate is compared with
ENOUGH = 7  # with fewer there is no saying what is usual
DEVIATIONS = 3  # median absolute deviations; both numbers are the issue's, a common rule for outliers


class Comparison(NamedTuple):
    """A batch's rate of rejected rows (a fraction), what is usual, and whether it is.

    ``usual`` and ``deviation`` are the median of the rates before it and their median absolute deviation, None where
    there were too few.
    """

    rate: float
    usual: float | None
    deviation: float | None
    unusual: bool


def compared(rates: Sequence[Fraction]) -> Comparison:
    """The last of the rates, in order of arrival, against up to ``BEFORE`` that came before it.

    Rates are exact: a batch on the very edge of what is usual is usual.

    >>> compared([Fraction(1, 100)] * 7 + [Fraction(1, 5)]).unusual
    True
    """
    *earlier, rate = rates
    earlier = earlier[-BEFORE:]
    if len(earlier) < ENOUGH:
        return Comparison(float(rate), None, None, unusual=False)
    usual = median(earlier)
    deviation = median(abs(one - usual) for one in earlier)
    unusual = abs(rate - usual) > DEVIATIONS * deviation
    return Comparison(float(rate), float(usual), float(deviation), unusual)
