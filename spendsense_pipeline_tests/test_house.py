"""The rules of the house, read from the source: who may import whom, who may look at the clock and the environment."""

import ast
import functools
from collections.abc import Iterator
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import spendsense_pipeline

PACKAGE = Path(spendsense_pipeline.__file__).parent
ROOT = PACKAGE.parent

MAY_IMPORT = {
    # Along the lineage, only leftwards: a room may know the ones before it.
    "contracts": set(),
    "ingest": {"contracts"},
    "payees": {"contracts", "ingest"},
    "features": {"contracts", "ingest", "payees", "ranges", "row_groups"},
    "insights": {"contracts", "features"},
    "personas": {"contracts", "ingest", "features"},
    "recommendations": {"contracts", "ingest", "payees", "features", "insights", "personas"},
    "governance": {"contracts", "ingest", "features", "insights", "personas", "recommendations"},
    "evaluation": {"contracts", "ingest", "features", "personas", "recommendations", "governance"},
    "experiments": {"contracts", "insights", "governance", "evaluation"},
    # Must not share the rules that it is there to judge.
    "synthetic": set(),
    # What everybody stands on.
    "errors": set(),
    "frames": set(),
    "ranges": set(),
    "row_groups": {"ranges"},
    "warehouse": {"contracts", "ranges", "row_groups"},
    "spark": set(),
    "settings": set(),
    "signed_post": set(),
    # Readers and edges.
    "dictionary": {"contracts", "governance"},
    "known_payees": {"features", "payees", "warehouse"},
    "profiles": {"features", "insights", "known_payees", "personas", "warehouse"},
    "gate": {"governance", "recommendations", "settings", "warehouse"},
    "erasure": {"ingest", "governance", "evaluation", "warehouse"},
    "defs": {
        *("contracts", "ingest", "payees", "features", "insights", "personas", "recommendations", "governance"),
        *("evaluation", "experiments"),
        *(
            "dictionary",
            "erasure",
            "known_payees",
            "profiles",
            "row_groups",
            "settings",
            "signed_post",
            "spark",
            "warehouse",
        ),
        "gate",
    },
    "definitions": {"contracts", "defs", "settings"},
    "service": {
        *("contracts", "defs", "definitions", "evaluation", "governance", "ingest", "insights", "personas"),
        *("experiments", "profiles", "recommendations", "settings", "signed_post", "warehouse", "gate"),
    },
    "cli": {
        *("defs", "definitions", "evaluation", "experiments", "features", "governance", "ingest", "payees", "profiles"),
        "recommendations",
        *("service", "settings", "synthetic", "warehouse", "gate"),
    },
    "demo": {
        "cli",
        "defs",
        "definitions",
        "gate",
        "governance",
        "ingest",
        "profiles",
        "settings",
        "synthetic",
        "warehouse",
    },
}
"""Every room of the package and the rooms it may import; ``errors`` and ``frames`` are everybody's."""

EVERYBODYS = {"errors", "frames"}
DAGSTER_ROOMS = {"defs", "definitions"}
EDGES = {"cli", "demo", "defs", "service"}
CLOCKS = {"now", "today", "utcnow", "time", "time_ns", "localtime", "gmtime"}
CLOCK_OWNERS = {"dt", "datetime", "date", "time", "pd", "Timestamp"}


def modules() -> list[Path]:
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 40
    return found


def room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names, wherever in the module they are imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def parsed(source: str) -> ast.Module:
    """The tree of a source, which five rules look at."""
    return ast.parse(source)


def rooms_imported(source: str) -> set[str]:
    names = (name.split(".") for name in imported(parsed(source)))
    return {name[1] for name in names if name[0] == "spendsense_pipeline" and len(name) > 1}


def clock_reads(source: str) -> list[str]:
    """``dt.datetime.now(...)`` and its kin; a passed clock's ``clock.now()`` is none."""
    found = []
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            owner = ast.unparse(node.func.value).split(".")[-1]
            if owner in CLOCK_OWNERS:
                found.append(ast.unparse(node.func))
    return found


def environment_reads(source: str) -> list[str]:
    tree = parsed(source)
    found = [name for name in imported(tree) if name in ("os.environ", "os.getenv")]
    return found + [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    ]


def of_room(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("module", modules(), ids=of_room)
def test_rooms_depend_only_leftwards_along_the_lineage(module: Path) -> None:
    here = room(module)
    assert here == "__init__" or here in MAY_IMPORT, f"a new room {here}: add it to the table"
    beyond = rooms_imported(module.read_text()) - {here} - EVERYBODYS - MAY_IMPORT.get(here, set())
    assert not beyond, f"{here} may not import {sorted(beyond)}"


@pytest.mark.parametrize("module", modules(), ids=of_room)
def test_dagster_is_imported_in_its_own_room_alone(module: Path) -> None:
    uses = {name.split(".")[0] for name in imported(parsed(module.read_text()))}
    assert room(module) in DAGSTER_ROOMS or not any(name.startswith("dagster") for name in uses)


@pytest.mark.parametrize("module", modules(), ids=of_room)
def test_only_the_edges_look_at_the_clock(module: Path) -> None:
    assert room(module) in EDGES or clock_reads(module.read_text()) == []


@pytest.mark.parametrize("module", modules(), ids=of_room)
def test_only_settings_read_the_environment_and_only_the_launcher_sets_it(module: Path) -> None:
    if of_room(module) not in ("settings.py", "defs/launch.py"):
        assert environment_reads(module.read_text()) == []


@pytest.mark.parametrize("module", modules(), ids=of_room)
def test_a_module_says_what_belongs_in_it_and_leaves_no_notes(module: Path) -> None:
    source = module.read_text()
    assert ast.get_docstring(parsed(source)) or not source.strip()
    for left in ("/home/", "/root/", "/Users/", "TODO", "FIXME", "XXX"):
        assert left not in source


def test_the_readers_of_source_see_what_they_look_for() -> None:
    assert rooms_imported("def f():\n    from spendsense_pipeline import governance") == {"governance"}
    assert rooms_imported("from spendsense_pipeline.defs.io import x") == {"defs"}
    assert clock_reads("import datetime as dt\ndt.datetime.now(dt.UTC); dt.date.today(); clock.now()") == [
        "dt.datetime.now",
        "dt.date.today",
    ]
    assert environment_reads("import os\nos.environ['A']") == ["os.environ"]
    assert environment_reads("from os import getenv") == ["os.getenv"]


def test_the_table_has_no_way_back() -> None:
    """What a room may import may, all the way down, never import the room."""

    def below(name: str, seen: frozenset[str]) -> None:
        assert name not in seen, f"{name} leads back to itself"
        for other in MAY_IMPORT[name]:
            below(other, seen | {name})

    for name in MAY_IMPORT:
        below(name, frozenset())


def test_what_runs_is_what_is_pinned() -> None:
    """Every distribution that ours needs, as installed here, stands in the constraints with exactly this version.

    Known weaknesses of those versions are looked up by ``make audit``, which needs the network.
    """
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    left, seen = [Requirement("spendsense-pipeline[service,test]")], set()
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        if (name, extras := frozenset({"", *wanted.extras})) in seen:
            continue
        seen.add((name, extras))
        if name not in ("spendsense-pipeline", "setuptools"):  # which venv brings by itself
            assert pinned.get(name) == version(name), f"{wanted}: {version(name)} is installed and not pinned"
        further = map(Requirement, requires(name) or [])
        left += [one for one in further if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in extras)]
    assert len({name for name, _ in seen}) > 100
