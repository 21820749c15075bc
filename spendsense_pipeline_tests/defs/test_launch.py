"""What a command's run asks of Dagster's storage, and how it leaves the governance database."""

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from spendsense_pipeline.defs import launch
from spendsense_pipeline.defs.resources import Governance
from spendsense_pipeline.governance import database
from spendsense_pipeline.settings import Settings


def test_a_file_of_the_event_log_is_opened_once_however_often_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[str] = Counter()
    connect = sqlite3.dbapi2.connect

    def counting(file: str, *further: Any, **named: Any) -> sqlite3.Connection:
        opened[Path(file).name] += 1
        return connect(file, *further, **named)

    monkeypatch.setattr(sqlite3.dbapi2, "connect", counting)
    with launch.opened_instance(Settings(data=tmp_path)) as instance:
        instance.event_log_storage.get_logs_for_run("a-run")
        before = opened["a-run.db"]
        for _ in range(20):
            instance.event_log_storage.get_logs_for_run("a-run")
        assert opened["a-run.db"] == before
        assert instance.event_log_storage.has_table("asset_event_tags")
        before = opened["index.db"]
        for _ in range(20):
            assert instance.event_log_storage.has_table("asset_event_tags")
        assert opened["index.db"] == before
    assert before


def test_sqlites_log_goes_into_the_file_with_the_resource_that_opened_it(tmp_path: Path) -> None:
    governance = Governance(url=f"sqlite:///{tmp_path / 'governance.db'}")
    assert database.current(governance.engine)
    log = tmp_path / "governance.db-wal"
    assert log.exists()
    del governance
    assert not log.exists()


def test_what_make_dev_starts_is_the_webserver_behind_its_filter_and_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    environment: dict[str, str] = {}

    class Ended:
        returncode = 0

        def __init__(self, command: Sequence[str], *, env: dict[str, str], **_: Any) -> None:
            started.append([Path(command[0]).name, *command[1:]])
            environment.update(env)

        def poll(self) -> int:
            return 0

        def terminate(self) -> None:
            """Ended already."""

        def wait(self, _: float) -> None:
            """As above."""

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPENDSENSE_DATA", str(tmp_path))
    monkeypatch.setenv("SPENDSENSE_DATABASE_URL", "sqlite:///governance.db")
    monkeypatch.setenv("SPENDSENSE_WAREHOUSE", "tables")
    monkeypatch.setattr(sys, "argv", ["launch", "-p", "3001"])
    monkeypatch.setattr(subprocess, "Popen", Ended)
    monkeypatch.setattr(launch.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit):
        launch.main()
    webserver, daemon = started
    assert webserver[1:3] == ["-m", "spendsense_pipeline.webserver"]
    assert webserver[-6:] == ["-h", "127.0.0.1", "-p", "3000", "-p", "3001"]
    assert daemon[:2] == ["dagster-daemon", "run"]
    assert environment["SPENDSENSE_DATABASE_URL"] == f"sqlite:///{tmp_path}/governance.db", "wherever these run"
    assert environment["SPENDSENSE_WAREHOUSE"] == str(tmp_path / "tables")
