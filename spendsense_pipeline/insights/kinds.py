"""The table of insights, ``kinds.toml``, as values: how urgent, in which topic, for which purpose, when each fires.

What does not belong here: finding them (``bills.py`` and its neighbours), and words (``prompts/library``).
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

Severity = Literal["urgent", "notable", "good"]
SEVERITIES: Final = get_args(Severity)
"""The most urgent first."""
TABLES: Final = ("insights", "balance_forecast")
FUNCTION: Final = "spendsense_pipeline.insights.of_range:insights_of"
"""What gives them; named, for it loads the kernels."""


@dataclass(frozen=True)
class Insight:
    """One table of the file; its comments say what each field is for."""

    name: str
    topic: str
    severity: Severity
    purpose: str
    fires: str
    source: str
    wrong_when: str
    excludes: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()


def _read(text: str) -> dict[str, Insight]:
    table = tomllib.loads(text)
    sources = table["sources"]
    return {
        name: Insight(
            name,
            **{field: tuple(value) if isinstance(value, list) else value for field, value in insight.items()}
            | {"source": sources.get(insight["source"], insight["source"])},
        )
        for name, insight in table["insights"].items()
    }


INSIGHTS: Final = _read(Path(__file__).with_name("kinds.toml").read_text(encoding="utf-8"))
IMPORTANCE: Final[dict[str, int]] = {name: place for place, name in enumerate(INSIGHTS)}
