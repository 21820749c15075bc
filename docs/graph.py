"""Draws docs/graph.svg from the real definitions: `python docs/graph.py` writes it, a test compares.

Assets stand in layers, each below all it is computed from. An arrow that a longer way already tells is left out.
"""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import dagster as dg

from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.settings import Settings

PICTURE = Path(__file__).with_name("graph.svg")
WIDTH, TOP, ROW, BOX, MARGIN = 860, 66, 54, 26, 14
LETTER, PADDING, GAP = 7.3, 18, 14  # of 12 px monospace; around a name; between boxes
SWEEPS = 24
GROUPS = {
    "ingest": "#dbe9f6",
    "features": "#d5efe6",
    "personas": "#e8e2f6",
    "recommendations": "#fdecc8",
    "review": "#fbdcd0",
    "release": "#f6c9c9",
    "evaluation": "#e6e8ea",
}


def reduced(after: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The parents of each asset that no other parent of it comes after."""
    above: dict[str, set[str]] = {}

    def ancestors(name: str) -> set[str]:
        if name not in above:
            above[name] = after[name].union(*(ancestors(one) for one in after[name]))
        return above[name]

    return {name: parents - set().union(*(ancestors(one) for one in parents)) for name, parents in after.items()}


def layered(after: Mapping[str, set[str]]) -> tuple[list[list[str]], dict[str, set[str]]]:
    """Layers from the top, and each name's parents in the layer above; bends (``a>b:1``) carry the long arrows."""
    depth: dict[str, int] = {}

    def below(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((below(one) for one in after[name]), default=-1)
        return depth[name]

    parents: dict[str, set[str]] = {name: set() for name in after}
    for name in sorted(after, key=lambda one: (below(one), one)):
        for one in sorted(after[name]):
            way = [one, *(f"{one}>{name}:{level}" for level in range(below(one) + 1, below(name))), name]
            for level, (high, low) in enumerate(itertools.pairwise(way), below(one) + 1):
                parents.setdefault(low, set()).add(high)
                depth.setdefault(low, level)
    layers: list[list[str]] = [[] for _ in range(1 + max(depth.values()))]
    for name, level in sorted(depth.items()):
        layers[level].append(name)
    return layers, parents


def room(name: str) -> float:
    """The width of a box; a bend needs little."""
    return 6.0 if ">" in name else len(name) * LETTER + PADDING


def placed(layers: Sequence[Sequence[str]], parents: Mapping[str, set[str]]) -> dict[str, float]:
    """The middle of each name across the page: near its parents and children, none over another."""
    children: dict[str, set[str]] = {name: set() for name in parents}
    for name, above in parents.items():
        for one in above:
            children[one].add(name)
    x = {name: WIDTH * (n + 1) / (len(layer) + 1) for layer in layers for n, name in enumerate(layer)}
    for sweep in range(SWEEPS):
        sides = (parents, children) if sweep % 2 == 0 else (children, parents)
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            for name in layer:
                near = sorted(sides[0][name] or sides[1][name])  # a sum of floats depends on its order
                x[name] = sum(x[one] for one in near) / len(near) if near else x[name]
            _spread(sorted(layer, key=lambda one: (x[one], one)), x)
    aside = (WIDTH - min(x[name] - room(name) / 2 for name in x) - max(x[name] + room(name) / 2 for name in x)) / 2
    return {name: at + aside for name, at in x.items()}


def _spread(layer: Sequence[str], x: dict[str, float]) -> None:
    """Move what overlaps to the right, then what ran over the edge back to the left."""
    edge = float(MARGIN)
    for name in layer:
        x[name] = max(x[name], edge + room(name) / 2)
        edge = x[name] + room(name) / 2 + GAP
    edge = float(WIDTH - MARGIN)
    for name in reversed(layer):
        x[name] = min(x[name], edge - room(name) / 2)
        edge = x[name] - room(name) / 2 - GAP


def drawn(groups: Mapping[str, str], after: Mapping[str, set[str]]) -> str:
    """The graph as SVG on a light ground, with its legend."""
    layers, parents = layered(reduced(after))
    x = placed(layers, parents)
    y = {name: TOP + level * ROW for level, layer in enumerate(layers) for name in layer}
    lines, boxes = [], []
    for name in x:
        for one in sorted(parents[name]):
            start, end = y[one] + BOX / 2 * (">" not in one), y[name] - BOX / 2 * (">" not in name)
            middle = (start + end) / 2
            head = "" if ">" in name else ' marker-end="url(#head)"'
            bend = f"{x[one]:.0f} {middle:.0f} {x[name]:.0f} {middle:.0f}"
            way = f"M{x[one]:.0f} {start:.0f}C{bend} {x[name]:.0f} {end:.0f}"
            lines.append(f'<path d="{way}"{head}/>')
        if ">" not in name:
            boxes.append(_box(name, groups[name], x[name], y[name], room(name)))
    legend, edge = [], (WIDTH - sum(room(group) + 6 for group in GROUPS)) / 2
    for group in GROUPS:
        legend.append(_box(group, group, edge + room(group) / 2, 14, room(group)))
        edge += room(group) + 6
    height = TOP + (len(layers) - 1) * ROW + BOX
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12" role="img" aria-label="'
            'The asset graph, from raw transactions to released recommendations">',
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0L8 4L0 8z" fill="#7a8288" stroke="none"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *legend,
            f'<g fill="none" stroke="#9aa2a8" stroke-width="1.2">{"".join(lines)}</g>',
            *boxes,
            "</svg>\n",
        ]
    )


def _box(name: str, group: str, x: float, y: float, width: float) -> str:
    return (
        f'<rect x="{x - width / 2:.0f}" y="{y - BOX / 2:.0f}" width="{width:.0f}" height="{BOX}" rx="5" '
        f'fill="{GROUPS[group]}" stroke="#8d959b"/>'
        f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle" fill="#1c2226">{escape(name)}</text>'
    )


def real() -> str:
    """The picture of the graph as it is now."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        graph = build_defs(Settings()).resolve_asset_graph()
    nodes: dict[str, dg.AssetKey] = {key.to_user_string(): key for key in graph.get_all_asset_keys()}
    return drawn(
        {name: graph.get(nodes[name]).group_name for name in sorted(nodes)},
        {name: {one.to_user_string() for one in graph.get(nodes[name]).parent_keys} for name in sorted(nodes)},
    )


if __name__ == "__main__":
    PICTURE.write_text(real(), encoding="utf-8")
