"""Whether the spending that a customer's accounts show can stand for what the customer spends.

An account that is hardly used, or a card that is paid and not linked, shows a part of it: "139 months of your usual
spending" is then a figure about the feed and not about the person. What does not belong here: the signals themselves,
which are what the accounts show.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

LEAST_SPENT = 200.0  # US dollars a month: nobody lives on less, our judgement
LEAST_SHARE = 0.2  # of what regularly comes in; who spends less of it spends it elsewhere, our judgement
MOST_ELSEWHERE = 0.2  # payments to cards that are not linked, by the spending that is seen


def spending_in_sight(spent: Any, income: Any, elsewhere: Any, factor: Any) -> npt.NDArray[np.bool_]:
    """Whether spending a month speaks for the customer; unknown spending does not.

    ``spent``, ``income`` and ``elsewhere`` (paid to cards that are not linked) are money a month, NaN where unknown;
    ``factor`` is units of the currency per US dollar.
    """
    spent, income, elsewhere = (np.asarray(each, "f8") for each in (spent, income, elsewhere))
    enough = spent >= LEAST_SPENT * np.asarray(factor, "f8")
    return np.asarray(enough & ~(spent < LEAST_SHARE * income) & ~(elsewhere > MOST_ELSEWHERE * spent))
