"""What a command's run asks of Dagster's storage."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from spendsense_pipeline.defs import launch
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
    assert before
