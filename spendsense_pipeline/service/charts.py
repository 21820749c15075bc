"""The geometry of plots: data in, points of a square of 1,000 by 1,000 out; pages draw them as SVG.

Labels stand beside the drawing as text of the page, so that they are as large on a phone as anywhere.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

SIDE: Final = 1_000
"""Width and height of a drawing; the page stretches it."""
STEPS: Final = (1, 2, 2.5, 5, 10)
"""What readers count in, times a power of ten."""


def bars(counts: Mapping[str, float] | Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    """Rows {name, value, width, share}: ``width`` of the longest bar is ``SIDE``, ``share`` of the whole is a fraction.

    >>> bars({"a": 1, "b": 3})[0]
    {'name': 'a', 'value': 1, 'width': 333.3, 'share': 0.25}
    """
    rows = list(counts.items() if isinstance(counts, Mapping) else counts)
    most, whole = max((value for _, value in rows), default=0), sum(value for _, value in rows)
    return [
        {
            "name": name,
            "value": value,
            "width": round(value / most * SIDE, 1) if most else 0,
            "share": value / whole if whole else 0.0,
        }
        for name, value in rows
    ]


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, evenly spaced, the first at or below ``low`` and the last at or above ``high``.

    >>> ticks(-120, 980)
    [-500.0, 0.0, 500.0, 1000.0]
    """
    span = (high - low) or max(abs(high), 1.0)
    power = 10 ** math.floor(math.log10(span / 4))
    step = next(one * power for one in STEPS if one * power * 4 >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(n * step, 6) + 0.0 for n in range(first, max(last, first + 1) + 1)]


def forecast(calendar: Mapping[str, Any]) -> dict[str, Any] | None:
    """The balance of the coming days with its range and what is expected: a customer's ``calendar`` in.

    {line, band (points; none where the history is too short for a range), zero (height of nothing, or None), ticks and
    heights, days (labels), marks [{x, kind}], lowest (row)}; None where there is no forecast. Ticks are top first.
    """
    rows = calendar["forecast"]
    if len(rows) < 2:
        return None
    ranged = rows[0]["low"] is not None
    ends = ("low", "high") if ranged else ("expected", "expected")
    scale = ticks(min(row[ends[0]] for row in rows), max(row[ends[1]] for row in rows))
    begin, days = rows[0]["date"], len(rows) - 1

    def x(day: dt.date) -> float:
        passed: int = (day - begin).days
        return round(passed / days * SIDE, 1)

    def y(value: float) -> float:
        return round((scale[-1] - value) / (scale[-1] - scale[0]) * SIDE, 1)

    def points(name: str, *, back: bool = False) -> list[str]:
        found = [f"{x(row['date'])},{y(row[name])}" for row in rows]
        return found[::-1] if back else found

    lowest = min(rows, key=lambda row: row["expected"])
    labelled = range(0, len(rows), max(1, days // 4))
    return {
        "line": " ".join(points("expected")),
        "band": " ".join([*points("high"), *points("low", back=True)]) if ranged else "",
        "zero": y(0) if scale[0] < 0 < scale[-1] else None,
        "ticks": [f"{value:,.0f}" for value in reversed(scale)],
        "heights": [y(value) for value in scale],
        "days": [rows[place]["date"] for place in labelled],
        "marks": [
            {"x": x(one["date"]), "kind": "in" if one["amount"] > 0 else "bill"}
            for one in calendar["dates"]
            if begin <= one["date"] <= rows[-1]["date"]
        ],
        "lowest": lowest,
    }
