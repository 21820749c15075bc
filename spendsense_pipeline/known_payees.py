"""What is known of payees on some days: the house's own lines, and the population's evidence as stored.

What does not belong here: how that evidence is found (``payees/census.py``), and what a row says (``payees/``).
"""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from spendsense_pipeline import warehouse
from spendsense_pipeline.features.descriptors import Payees
from spendsense_pipeline.payees.known import house_rules
from spendsense_pipeline.payees.population import OF_A_DAY, of_payees

_EPOCH = dt.date(1970, 1, 1)


def payees_on(root: str, house: str | Path | None, dates: Sequence[dt.date]) -> Payees:
    """What is known on the dates: of each, the newest stored day of ``payees`` that is not after it.

    Raises an error that names file and line where the house's file cannot be read.
    """
    stored = warehouse.partitions(root, "payees")
    newest = {max((key for key in stored if key <= str(date)), default=None) for date in dates}
    populations = {
        (dt.date.fromisoformat(key) - _EPOCH).days: of_payees(warehouse.load(root, "payees", [key], list(OF_A_DAY)))
        for key in sorted(each for each in newest if each is not None)
    }
    return Payees(tuple(house_rules(Path(house))) if house else (), populations)
