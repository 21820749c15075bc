"""Small plots for the metadata of a run: blocks in a table, SVG inside Markdown; Dagster's UI shows both.

Numbers of groups only, never of one person: Dagster keeps metadata for ever and no erasure reaches it. What does not
belong here: what is worth plotting, which each asset's room decides.
"""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

# Read on Dagster's light and dark ground alike.
INK, FILL, MARK = "#7a8288", "#2a8f94", "#d2691e"
WIDTH = 16  # blocks


def picture(svg: str, described: str) -> str:
    """A picture as Markdown, with words for those who cannot see it."""
    encoded = base64.b64encode(svg.encode()).decode()
    return f"![{described}](data:image/svg+xml;base64,{encoded})"


def bars(rows: Sequence[tuple[str, float, str]], described: str) -> dg.MarkdownMetadataValue:
    """A bar of blocks for each (label, length, words behind it), the longest over the whole width.

    A table and no picture: the UI shows up to a thousand characters in place, more only on a click.
    """
    longest = max((length for _, length, _ in rows), default=0) or 1
    lines = [
        f"| {_plain(label)} | {'█' * math.ceil(length / longest * WIDTH)} {_plain(said)} |"
        for label, length, said in rows
    ]
    return dg.MetadataValue.md("\n".join([f"| {described} | |", "|---|---|", *lines]))


def counts(numbers: Mapping[Any, int], described: str) -> dg.MarkdownMetadataValue:
    """A bar for each number, with the number behind it."""
    return bars([(str(label), number, f"{number:,}") for label, number in numbers.items()], described)


def _plain(said: str) -> str:
    """Words that stay in their cell."""
    return re.sub(r"[|<>`\[\]\\\n]", " ", said)


def distribution(values: pd.Series, marks: Sequence[tuple[float, str]]) -> str:
    """A histogram of the known values between the 1st and 99th percentile, as SVG, with thresholds as lines.

    Empty text where fewer than ten values are known: a bar of one or two would show somebody's figure.
    """
    known = values.dropna().astype(float)
    if len(known) < 10:
        return ""
    low, high = np.quantile(known, [0.01, 0.99])
    low, high = min([low, *(at for at, _ in marks)]), max([high, *(at for at, _ in marks)])
    width, height = 360, 54
    span = (high - low) or 1.0
    counts, edges = np.histogram(known.clip(low, high), bins=24, range=(low, low + span))
    top = counts.max()
    drawn = [
        f'<rect x="{(edge - low) / span * width:.1f}" y="{height - count / top * height:.1f}" '
        f'width="{width / 24 - 1:.1f}" height="{count / top * height:.1f}" fill="{FILL}"/>'
        for count, edge in zip(counts, edges, strict=False)
    ]
    drawn.append(_text(0, height + 13, _rough(low)) + _text(width, height + 13, _rough(high), "end"))
    for at, said in marks:
        x = (at - low) / span * width
        drawn.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="-2" y2="{height}" stroke="{MARK}" stroke-width="2"/>')
        drawn.append(_text(min(max(x, 30), width - 30), -5, said, "middle", MARK))
    return _svg(width, height, drawn)


def _rough(value: float) -> str:
    """Two digits: the ends of an axis are somebody's figure."""
    return f"{float(f'{value:.2g}'):,.6g}"


def _text(x: float, y: float, said: str, anchor: str = "start", colour: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" fill="{colour}" font-size="12" '
        f'font-family="sans-serif">{escape(said)}</text>'
    )


def _svg(width: float, height: float, drawn: Sequence[str]) -> str:
    """With room above for the thresholds and below for the axis."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + 36}" '
        f'viewBox="0 -18 {width} {height + 36}">{"".join(drawn)}</svg>'
    )


def intervals(rows: Sequence[tuple[str, float, float, float]], described: str) -> str:
    """(Label, low, estimate, high) as a line with its point, on one scale with zero marked: SVG inside Markdown."""
    low, high = min(0.0, *(row[1] for row in rows)), max(0.0, *(row[3] for row in rows))
    width, step, left = 460, 20, 180
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return left + (value - low) / span * (width - left - 10)

    height = step * len(rows)
    drawn = [f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="-2" y2="{height}" stroke="{MARK}" stroke-width="1"/>']
    for place, (label, least, middle, most) in enumerate(rows):
        y = place * step + 10
        drawn.append(_text(0, y + 4, label))
        drawn.append(
            f'<line x1="{x(least):.1f}" x2="{x(most):.1f}" y1="{y}" y2="{y}" stroke="{FILL}" stroke-width="3"/>'
        )
        drawn.append(f'<circle cx="{x(middle):.1f}" cy="{y}" r="4" fill="{FILL}"/>')
    drawn.append(_text(left, height + 13, _rough(low)) + _text(width, height + 13, _rough(high), "end"))
    return picture(_svg(width, height, drawn), described)
