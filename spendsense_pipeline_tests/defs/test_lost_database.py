"""A governance database that was lost, or whose name was mistyped: none is made beside stored batches without a word,
and no file grants again what somebody may have taken back."""

import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from spendsense_pipeline.cli import app
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.models import ConsentPeriod
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.settings import Settings
from spendsense_pipeline_tests.conftest import BATCH, Pipeline


@pytest.fixture
def lost(copy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """The shared run's folder without its governance database, and commands on it."""
    for left in copy.settings.data.glob("spendsense.db*"):
        left.unlink()
    monkeypatch.setenv("SPENDSENSE_DATA", str(copy.settings.data))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return copy


def run(*words: str) -> tuple[int, str]:
    """Exit code and what was said, of a command that ends in an error of ours too."""
    done = CliRunner().invoke(app, words)
    said = str(done.exception) if isinstance(done.exception, SpendSenseError) else done.output
    return done.exit_code, said


def consenting(pipeline: Pipeline) -> set[str]:
    with reading(pipeline.engine) as session:
        return set(session.scalars(select(ConsentPeriod.user_id)))


def test_no_command_makes_one_in_silence(lost: Pipeline) -> None:
    for words in (("queue",), ("released",), ("consent", "history", "cus_000001"), ("audit", "verify"), ("dashboard",)):
        code, said = run(*words)
        assert code != 0, words
        assert f"there are 1 batches already ({BATCH}" in said, words
    assert not (lost.settings.data / "spendsense.db").exists()


def test_a_mistyped_name_leaves_no_file(copy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    mistyped = copy.settings.data / "spendsens.db"
    monkeypatch.setenv("SPENDSENSE_DATA", str(copy.settings.data))
    monkeypatch.setenv("SPENDSENSE_DATABASE_URL", f"sqlite:///{mistyped}")
    assert run("queue")[0] != 0
    assert not mistyped.exists()


def test_an_upgrade_makes_it_and_says_so_and_its_record_does_not_pass_for_whole(lost: Pipeline) -> None:
    code, said = run("db", "upgrade")
    assert (code, f"beside 1 batches ({BATCH})" in said) == (0, True)
    code, said = run("audit", "verify")
    assert code != 0
    assert "the chain is empty" in said


def test_the_next_file_grants_nothing_for_people_of_the_batches_before(lost: Pipeline) -> None:
    run("db", "upgrade")
    landing.land(lost.settings.landing / BATCH, lost.settings.landing, "again")
    pipeline = replace(lost, settings=Settings(data=lost.settings.data))
    pipeline.ingest("again")
    assert consenting(pipeline) == set()
    assert run("consent", "import")[0] != 0, "a reason is needed"
    code, said = run("consent", "import", "--reason", "the backup was lost")
    assert (code, said.endswith("periods opened\n")) == (0, True)
    assert len(consenting(pipeline)) > 10


@pytest.mark.parametrize("gone", ["", "landing/.registered", "warehouse"])
def test_the_same_batch_once_more_grants_nothing_either(lost: Pipeline, gone: str) -> None:
    """As whoever brings the tables back would have it; the new database knows the batch from then on. What tells that
    it is a new one are the stored rows, or the note that the landing zone has of the batch."""
    if gone:
        shutil.rmtree(lost.settings.data / gone)
    code, said = run("queue")
    assert (code, f"there are 1 batches already ({BATCH}" in said) == (1, True)
    assert run("db", "upgrade")[0] == 0
    pipeline = replace(lost, settings=Settings(data=lost.settings.data))
    for _ in range(2):
        pipeline.ingest()
        assert consenting(pipeline) == set()
