"""A batch's rate of rejected rows is compared with the batches before it, once there are enough of them."""

from fractions import Fraction

import pytest

from spendsense_pipeline.ingest.rejections import compared


def exact(rates: list[float]) -> list[Fraction]:
    return [Fraction(str(rate)) for rate in rates]


@pytest.mark.parametrize(
    ("rates", "unusual"),
    [
        ([0.5], False),
        ([0.01] * 6 + [0.9], False),
        ([0.01] * 7 + [0.01], False),
        ([0.01] * 7 + [0.02], True),
        ([0.01, 0.02, 0.03] * 3 + [0.05], False),
        ([0.01, 0.02, 0.03] * 3 + [0.051], True),
        ([0.11, 0.12, 0.13] * 3 + [0.08], True),
    ],
    ids=["the first", "six before", "as ever", "more than ever", "three deviations", "just above", "far below"],
)
def test_three_median_absolute_deviations_from_seven_batches_on(rates: list[float], unusual: bool) -> None:
    assert compared(exact(rates)).unusual is unusual


def test_only_the_last_fourteen_count() -> None:
    assert not compared(exact([0.9] * 20 + [0.1] * 14 + [0.1])).unusual
    assert compared(exact([0.9] * 20 + [0.1] * 14 + [0.9])).unusual


def test_it_says_what_is_usual() -> None:
    assert compared(exact([0.1, 0.2, 0.3] * 3 + [0.2]))[:3] == (0.2, 0.2, 0.1)
