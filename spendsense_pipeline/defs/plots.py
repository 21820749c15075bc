"""Small plots for the metadata of a run: SVG inside Markdown, which Dagster's UI shows beside the figures.

Numbers of groups only, never of one person: Dagster keeps metadata for ever and no erasure reaches it. What does not
belong here: what is worth plotting, which each asset's room decides.
"""

import base64
from collections.abc import Sequence
from html import escape

import dagster as dg
import numpy as np
import pandas as pd

# Read on Dagster's light and dark ground alike.
INK, FILL, MARK = "#7a8288", "#2a8f94", "#d2691e"
ROW, LABEL, BAR = 18, 190, 230


def markdown(svg: str, described: str) -> dg.MarkdownMetadataValue:
    """A picture as metadata, with words for those who cannot see it."""
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{described}](data:image/svg+xml;base64,{encoded})")


def bars(rows: Sequence[tuple[str, float, str]], described: str) -> dg.MarkdownMetadataValue:
    """A bar for each (label, length, words behind it), the longest over the whole width."""
    longest = max((length for _, length, _ in rows), default=0) or 1
    drawn = [
        _text(LABEL - 8, n * ROW + 13, label, "end")
        + f'<rect x="{LABEL}" y="{n * ROW + 3}" width="{max(length / longest * BAR, 1 if length else 0):.1f}" '
        f'height="{ROW - 6}" fill="{FILL}"/>' + _text(LABEL + length / longest * BAR + 6, n * ROW + 13, said)
        for n, (label, length, said) in enumerate(rows)
    ]
    return markdown(_svg(LABEL + BAR + 150, ROW * len(rows) or ROW, drawn), described)


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
        drawn.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="{MARK}" stroke-width="2"/>')
        drawn.append(_text(min(max(x, 30), width - 30), height + 13, said, "middle", MARK))
    return _svg(width, height + 18, drawn)


def _rough(value: float) -> str:
    """Two digits: the ends of an axis are somebody's figure."""
    return f"{float(f'{value:.2g}'):,.6g}"


def _text(x: float, y: float, said: str, anchor: str = "start", colour: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" fill="{colour}" font-size="12" '
        f'font-family="sans-serif">{escape(said)}</text>'
    )


def _svg(width: float, height: float, drawn: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{"".join(drawn)}</svg>'
    )
