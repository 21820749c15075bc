"""What experiments can measure, read from ``metrics.toml``. Does not belong here: measuring it (``outcomes``)."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal


@dataclass(frozen=True)
class Metric:
    """One figure of a customer at a horizon; ``metrics.toml`` says what each field means.

    ``of_texts``: only customers who may see a text of the experiment can have it.
    """

    name: str
    label: str
    unit: Literal["money", "fraction", "months", "streams", "days"]
    how: Literal["sum", "level", "days", "cancelled", "event"]
    better: Literal["lower", "higher"]
    meaning: str
    column: str = ""
    divisor: str = ""
    baseline: str = ""
    of_texts: bool = False


METRICS: Final = {
    name: Metric(name=name, **said)
    for name, said in tomllib.loads(
        (files("spendsense_pipeline.experiments") / "metrics.toml").read_text(encoding="utf-8")
    ).items()
}
"""Metrics by name."""
