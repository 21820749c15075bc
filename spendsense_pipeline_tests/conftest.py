"""One pipeline run that the tests of the whole graph share, and fresh ones for tests that change something."""

import contextvars
import datetime as dt
import functools
import gc
import os
import pickle
import shutil
import signal
import ssl
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import hypothesis
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from filelock import FileLock
from ibis.backends.sql.datatypes import DuckDBType
from xdist.scheduler import LoadScopeScheduling

from spendsense_pipeline import synthetic
from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.defs import launch
from spendsense_pipeline.defs.resources import Clock
from spendsense_pipeline.governance.database import open_or_create
from spendsense_pipeline.ingest import landing, plan
from spendsense_pipeline.settings import Settings

hypothesis.settings.register_profile("on any machine", deadline=None)
hypothesis.settings.load_profile("on any machine")

TOGETHER = (
    *("spark", "compiled", "s3", "object_store"),
    *("browser/test_ui", "defs/test_own_tables", "governance/test_races", "synthetic/test_generate", "test_raw"),
    *("ingest/test_canonical", "test_benchmarks", "test_the_demo_decides", "insights/test_insights"),
    *("defs/test_writing", "ingest/test_hostile_files"),
)
"""In the names of tests that share what starts slowly: Spark, kernels, a webserver, a database, made customers; or
what is computed slowly."""

SLOW = (
    *(
        "test_demo",
        "browser/",
        "compiled",
        "spark",
        "test_erasure.py",
        "test_erased_files",
        "test_erased_rows",
        "test_cli.py",
        "defs/",
        "service/test_seed",
        "test_simulation",
    ),
    *("synthetic/test_raw", "synthetic/test_generate", "ingest/test_canonical", "insights/test_insights"),
    *("test_any_history", "test_not_a_flood", "test_benchmarks", "ingest/test_holders", "ingest/test_corruption"),
    *("governance/test_kills", "governance/test_hostile", "governance/test_races", "features/test_by_range"),
)
"""In the names of tests that take longest, the longest first: started last, one would keep a single worker busy."""

DAY = dt.date(2026, 6, 30)
NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
USERS = 40
BATCH = "generated"


class Together(LoadScopeScheduling):
    """Spreads tests over pytest's workers, but gives those of ``TOGETHER`` to one: what they need starts once."""

    def _split_scope(self, nodeid: str) -> str:
        cases = nodeid.partition("[")[0]  # of one test: thousands of units would cost the scheduler seconds
        return next((word for word in TOGETHER if word in nodeid), cases)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """Marks of the kind ``xdist_group`` do nothing with pytest 9.2 and pytest-xdist 3.8."""
    return Together(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, the others in the order that they have; ``--no-loadscope-reorder`` has workers keep it."""
    items.sort(key=lambda item: next((n for n, word in enumerate(SLOW) if word in item.nodeid), len(SLOW)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and collected tests stay until the end: no search for garbage passes them, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        # As launch does for a run: composing queries makes millions of small objects that live until it is done.
        gc.set_threshold(200_000, 50, 50)
        gc.enable()


def pytest_configure() -> None:
    """A shell starts what it puts in the background with SIGINT ignored. Each run gives SIGTERM the handler of SIGINT
    (Dagster's doing), children inherit that it is ignored, and a run in a thread waits a minute for those that it ends
    by it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure() -> None:
    """Pytest searches once more when all is over. In a heap of a gigabyte that took longer than the five seconds after
    which execnet interrupts a worker, whose last words were a KeyboardInterrupt from wherever the search had come to.
    """
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Each test in context variables of its own: Dagster keeps the instance that was opened last in one, and contexts
    of sensors, which close theirs when they are collected, leave one behind that is no more."""
    function = pyfuncitem.obj
    context = contextvars.copy_context()

    @functools.wraps(function)  # a failure is told by the code of what it wraps
    def in_own_context(*arguments: Any, **named: Any) -> object:
        return context.run(function, *arguments, **named)

    pyfuncitem.obj = in_own_context
    try:
        return (yield)
    finally:
        pyfuncitem.obj = function


@dataclass
class Pipeline:
    """A data folder with its definitions; the clock stands at noon of the day after the figures."""

    settings: Settings
    now: dt.datetime = NOON
    _built: dict[tuple[str, dt.datetime], dg.Definitions] = field(default_factory=dict, repr=False)

    @property
    def definitions(self) -> dg.Definitions:
        """Definitions on this folder: built, and their jobs resolved, once until settings or clock change."""
        key = self.settings.model_dump_json(), self.now
        if key not in self._built:
            self._built[key] = build_defs(self.settings, resources={"clock": Clock(fixed=self.now.isoformat())})
        return self._built[key]

    @property
    def engine(self):
        """The governance database."""
        return open_or_create(self.settings.governance_url)

    def ingest(self, batch: str = BATCH) -> launch.Ran:
        """Run the ingest of a landed batch."""
        with launch.opened_instance(self.settings) as instance:
            return launch.ingest_batch(self.definitions, instance, batch)

    def refresh(self, day: dt.date = DAY) -> launch.Ran:
        """Run one date."""
        with launch.opened_instance(self.settings) as instance:
            return launch.daily_refresh(self.definitions, instance, day)


def shared_by_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder above those of pytest's workers."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own


def unopened(shared: Pipeline) -> Path:
    """The data folder of the shared pipeline as it was when it was made; beside what its run writes to."""
    return shared.settings.data.parent.with_name("unopened")


@pytest.fixture(scope="session")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Generated customers, ingested and refreshed once for all of pytest's workers. Tests that change anything take a
    ``copy``, of a folder that nobody opens: SQLite's files come and go with whoever opens a database."""
    root = shared_by_workers(tmp_path_factory) / "refreshed"
    pipeline = Pipeline(Settings(data=root / "data"))
    with FileLock(f"{root}.lock"):
        done = root.with_name("refreshed.done")
        if not done.exists():
            made = root / "made"
            synthetic.write(synthetic.generate(USERS, as_of=DAY), made)
            landing.land(made, pipeline.settings.landing, BATCH)
            pipeline.ingest()
            pipeline.refresh()
            shutil.copytree(pipeline.settings.data, unopened(pipeline))
            done.touch()
    return pipeline


@pytest.fixture
def copy(refreshed: Pipeline, tmp_path: Path) -> Pipeline:
    """The shared pipeline's folder, to do with as the test likes."""
    shutil.copytree(unopened(refreshed), tmp_path / "data")
    return Pipeline(Settings(data=tmp_path / "data"))


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Each HTTP client reads the machine's certificates, which takes 50 ms, and here nobody speaks TLS."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def types_read_once() -> Iterator[None]:
    """Ibis parses the name of each column's type, whenever a table is looked at: a tenth of an ingest's time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DuckDBType, "from_string", functools.cache(DuckDBType.from_string))
        yield


@pytest.fixture(scope="session", autouse=True)
def migrations_read_once() -> Iterator[None]:
    """Each new instance of Dagster, and each file of a run's events, reads ninety migrations, which takes 0.2 s."""
    read, known = ScriptDirectory.from_config, dict[str | None, ScriptDirectory]()

    def from_config(config: Config) -> ScriptDirectory:
        folder = config.get_main_option("script_location")
        if folder not in known:
            known[folder] = read(config)
        return known[folder]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ScriptDirectory, "from_config", from_config)
        yield


@pytest.fixture(scope="session", autouse=True)
def plan_composed_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """To compose the queries of an ingest takes two seconds: one worker does, when it is first asked to."""
    compose, file = plan._composed, shared_by_workers(tmp_path_factory) / "plan.pickle"

    def composed() -> dict[str, plan.Step]:
        with FileLock(f"{file}.lock"):
            if not file.exists():
                file.write_bytes(pickle.dumps(compose()))
        found: dict[str, plan.Step] = pickle.loads(file.read_bytes())
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plan, "_composed", composed)
        yield


@pytest.fixture(scope="session", autouse=True)
def homes_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Dagster makes the tables of a new home in 0.2 s; here every new home is a copy of one that nobody opens."""
    made = functools.cache(lambda: _home(tmp_path_factory.mktemp("home")))
    with pytest.MonkeyPatch.context() as patched:
        prepare = launch.prepare_home

        def copied(settings: Settings) -> None:
            if not (settings.brings_own_home or settings.home.exists()):
                shutil.copytree(made(), settings.home)
            prepare(settings)

        patched.setattr(launch, "prepare_home", copied)
        yield


def _home(folder: Path) -> Path:
    """A home as the first command leaves it."""
    (folder / "dagster.yaml").write_text(launch.HOME)
    with dg.DagsterInstance.from_config(str(folder)):
        return folder


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have SpendSense configured; the tests must not touch that."""
    for name in [name for name in os.environ if name.startswith(("SPENDSENSE_", "DAGSTER_", "OPENAI_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def spendsense(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Call a command on a pipeline's folder in this process; see ``test_cli``."""
    import contextlib
    import io
    import json
    import sys

    from spendsense_pipeline import cli

    def call(pipeline: Pipeline, *words: str, code: int = 0) -> object:
        monkeypatch.setenv("SPENDSENSE_DATA", str(pipeline.settings.data))
        monkeypatch.setattr(sys, "argv", ["spendsense", *words, "--json"])
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
                left = 0
            except SystemExit as stop:
                left = int(stop.code or 0)
        assert left == code, err.getvalue()
        return json.loads(out.getvalue() or err.getvalue().splitlines()[-1])

    return call
