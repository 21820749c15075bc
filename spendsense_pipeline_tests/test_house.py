"""The rules of the house, read from the source: who may import whom, who may look at the clock and the environment."""

import ast
import functools
import re
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import spendsense_pipeline

PACKAGE = Path(spendsense_pipeline.__file__).parent
ROOT = PACKAGE.parent

MAY_IMPORT = {
    # Along the lineage, only leftwards: a room may know the ones before it.
    "personas": set(),
    "contracts": {"personas"},
    "ingest": {"contracts"},
    "payees": {"contracts", "ingest"},
    "features": {"contracts", "ingest", "payees", "ranges", "row_groups", "runners"},
    "insights": {"contracts", "features"},
    "recommendations": {"contracts", "ingest", "payees", "features", "insights", "personas"},
    "governance": {"contracts", "ingest", "features", "insights", "personas", "recommendations"},
    "evaluation": {"contracts", "ingest", "features", "personas", "recommendations", "governance", "warehouse"},
    "experiments": {"contracts", "insights", "governance", "evaluation"},
    # Must not share the rules that it is there to judge.
    "synthetic": set(),
    # What everybody stands on.
    "deadlines": set(),
    "durations": set(),
    "errors": set(),
    "frames": set(),
    "ranges": set(),
    "months": set(),
    "once": set(),
    "row_groups": {"months", "ranges"},
    "runners": {"ranges"},
    "frame_ranges": {"ranges", "row_groups", "runners"},
    "warehouse": {"contracts", "months", "ranges", "row_groups"},
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
            "frame_ranges",
            "known_payees",
            "profiles",
            "row_groups",
            "runners",
            "settings",
            "signed_post",
            "spark",
            "warehouse",
        ),
        "gate",
    },
    "definitions": {"contracts", "defs", "settings"},
    "webserver": {"governance", "service", "settings"},
    "service": {
        *("contracts", "defs", "definitions", "evaluation", "governance", "ingest", "insights", "personas"),
        *("experiments", "profiles", "recommendations", "settings", "signed_post", "warehouse", "gate"),
    },
    "cli": {
        *("contracts", "defs", "definitions", "erasure", "evaluation", "experiments", "features", "governance"),
        *("ingest", "payees", "personas", "profiles", "recommendations", "service", "settings", "synthetic"),
        *("warehouse", "gate", "demo"),
    },
    "demo": {
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
"""Every room of the package and the rooms it may import; ``EVERYBODYS`` are everybody's."""

EVERYBODYS = {"deadlines", "durations", "errors", "frames", "once"}
DAGSTER_ROOMS = {"defs", "definitions", "webserver"}
DAGSTERS = ("dg.", "asset(", "daily(")
"""How the decorators begin of what Dagster runs."""
EDGES = {"cli", "demo", "defs", "service"}
CLOCKS = {"now", "today", "utcnow", "time", "time_ns", "localtime", "gmtime"}
CLOCK_OWNERS = {"dt", "datetime", "date", "time", "pd", "Timestamp"}


def modules() -> list[Path]:
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 40
    return found


def room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


@dataclass(frozen=True)
class Source:
    """What the rules look at in a module."""

    imported: frozenset[str]
    """Dotted names, wherever in the module they are imported."""
    clock_reads: tuple[str, ...]
    """``dt.datetime.now`` and its kin; a passed clock's ``clock.now()`` is none."""
    environment_reads: tuple[str, ...]
    docstring: str | None

    @property
    def rooms(self) -> set[str]:
        """The rooms of the package that it imports."""
        names = (name.split(".") for name in self.imported)
        return {name[1] for name in names if name[0] == "spendsense_pipeline" and len(name) > 1}


@functools.cache
def read(source: str) -> Source:
    """One walk through a module for all rules; its tree, of half a million nodes in all, is not kept."""
    tree = ast.parse(source)
    imports: set[str] = set()
    clocks: list[str] = []
    environment: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            imports.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            if ast.unparse(node.func.value).split(".")[-1] in CLOCK_OWNERS:
                clocks.append(ast.unparse(node.func))
        elif isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"):
            environment.append(ast.unparse(node))
    environment += imports & {"os.environ", "os.getenv"}
    return Source(frozenset(imports), tuple(clocks), tuple(environment), ast.get_docstring(tree))


def of_room(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def test_rooms_depend_only_leftwards_along_the_lineage() -> None:
    for module in modules():
        here = room(module)
        assert here == "__init__" or here in MAY_IMPORT, f"a new room {here}: add it to the table"
        beyond = read(module.read_text()).rooms - {here} - EVERYBODYS - MAY_IMPORT.get(here, set())
        assert not beyond, f"{of_room(module)}: {here} may not import {sorted(beyond)}"


def test_no_two_files_have_one_name() -> None:
    for folder, shared in (
        (PACKAGE, {"__init__.py"}),
        (ROOT / "spendsense_pipeline_tests", {"__init__.py", "conftest.py"}),
    ):
        names = Counter(path.name for path in folder.rglob("*.py"))
        assert {name for name, number in names.items() if number > 1} <= shared


def test_dagster_is_imported_in_its_own_room_alone() -> None:
    for module in modules():
        uses = read(module.read_text()).imported
        assert room(module) in DAGSTER_ROOMS or not any(name.startswith("dagster") for name in uses), of_room(module)


def test_only_the_edges_look_at_the_clock() -> None:
    for module in modules():
        assert room(module) in EDGES or not read(module.read_text()).clock_reads, of_room(module)


def test_only_settings_read_the_environment_and_only_the_launcher_sets_it() -> None:
    for module in modules():
        if of_room(module) not in ("settings.py", "defs/launch.py"):
            assert not read(module.read_text()).environment_reads, of_room(module)


def test_a_module_says_what_belongs_in_it_and_leaves_no_notes() -> None:
    for module in modules():
        source = module.read_text()
        assert read(source).docstring or not source.strip(), of_room(module)
        for left in ("/home/", "/root/", "/Users/", "TODO", "FIXME", "XXX"):
            assert left not in source, of_room(module)


def test_no_private_module_or_method_of_a_library_is_used() -> None:
    """Underscored attributes are our own, or documented: of SQLAlchemy's rows, named tuples, fsspec, ``os``."""
    public = {"_mapping", "_asdict", "_exit", "_replace", "_fields", "_parent", "_strip_protocol"}
    trees = {module: ast.parse(module.read_text()) for module in modules()}
    ours = {
        name
        for tree in trees.values()
        for node in ast.walk(tree)
        for name in (
            getattr(node, "name", None),
            node.attr if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) else None,
            node.target.id if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else None,
        )
    }
    for module, tree in trees.items():
        private = {name for name in read(module.read_text()).imported if re.search(r"\._[a-z]", name)}
        assert not private, f"{of_room(module)} imports {private}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
                assert node.attr in ours | public, f"{of_room(module)}:{node.lineno} {ast.unparse(node)}"


def test_what_dagster_runs_fits_on_a_screen() -> None:
    """No body of an asset, check or sensor has more than forty lines, and ``build_defs`` no more than fifty."""
    for module in modules():
        if room(module) not in DAGSTER_ROOMS:
            continue
        for node in ast.walk(ast.parse(module.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            lines = (node.end_lineno or 0) - node.body[1 if ast.get_docstring(node) else 0].lineno + 1
            dagsters = any(ast.unparse(one).startswith(DAGSTERS) for one in node.decorator_list)
            assert not dagsters or lines <= 40, f"{of_room(module)}: {node.name} has {lines} lines"
            assert node.name != "build_defs" or lines <= 50, f"build_defs has {lines} lines"


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
