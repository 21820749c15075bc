"""Every command that the documents print exists as printed, and those of the README and the tour run."""

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import duckdb
import pytest

from spendsense_pipeline import cli, synthetic, warehouse
from spendsense_pipeline.cli import runtime
from spendsense_pipeline.governance import operators
from spendsense_pipeline.governance.database import writing
from spendsense_pipeline.settings import PROJECT_ROOT
from spendsense_pipeline_tests.conftest import DAY, NOON, Pipeline

DOCUMENTS = [PROJECT_ROOT / "README.md", *sorted((PROJECT_ROOT / "docs").glob("*.md"))]
BIN = ".venv/bin/spendsense"
OWN_DATA = ("ingest", "run", "erase")
"""Commands that take seconds: run by ``make verify``."""
NOT_RUN = {
    "run --from": "thirty dates: `test_ranges_of_dates` runs a range",
    "compile": "minutes, once per version: `test_compiled` compiles",
}


def printed(document: Path) -> Iterator[str]:
    """Commands in code blocks, behind ``$`` or by the path of the program, and those between backticks."""
    blocks, prose = [], []
    for place, part in enumerate(re.split(r"^```.*$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)):
        (blocks if place % 2 else prose).append(part)
    for block in blocks:
        lines = iter(block.splitlines())
        for line in lines:
            command = re.split(r"   #|; ", line.removeprefix("$ "))[0].strip()
            if not (line.startswith("$ ") or command.startswith(BIN)) or command.startswith("gzip"):
                continue
            while command.count('"') % 2:
                command += "\n" + next(lines)
            yield command
    for part in prose:
        yield from re.findall(r"`(spendsense [^`]+)`", part)


def words_of(command: str) -> list[str]:
    """The words behind the program's name."""
    return shlex.split(re.sub(r"[\[\]]", "", command))[1:]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and what is left of them."""
    found: click.Command = cli.app
    left = list(words)
    while isinstance(found, click.Group) and left and left[0] in found.commands:
        found = found.commands[left.pop(0)]
    return found, left


def is_ours(command: str) -> bool:
    return command.startswith((BIN, "spendsense "))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_printed_command_and_option_exists(document: Path) -> None:
    for command in filter(is_ours, printed(document)):
        found, left = command_of(words_of(command))
        assert found is not cli.app, command
        assert not isinstance(found, click.Group) or not left, command
        options = {name for parameter in found.params for name in parameter.opts + parameter.secondary_opts}
        assert {word for word in left if word.startswith("--")} <= options, command


def test_every_printed_target_of_make_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        assert set(re.findall(r"`make (\w+)", document.read_text(encoding="utf-8"))) <= targets, document.name


def run(command: str, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, names: dict[str, str]) -> None:
    """Run a printed command, with names of this pipeline's in the place of the printed ones."""
    for pattern, name in names.items():
        command = re.sub(pattern, name, command)
    words = shlex.split(command)
    if words[0] == "table":
        monkeypatch.chdir(pipeline.settings.data)
        assert duckdb.sql(words[1].replace("\\$", "$")).columns
        return
    monkeypatch.chdir(PROJECT_ROOT)
    monkeypatch.setenv("SPENDSENSE_DATA", str(pipeline.settings.data))
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(runtime, "now", lambda: pipeline.now)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as stop:
            pytest.fail(f"{command}: exit {stop.code}\n{err.getvalue()}")
    assert out.getvalue().strip(), command


def names_here(pipeline: Pipeline) -> dict[str, str]:
    drafts = warehouse.load(pipeline.settings.warehouse_root, "draft_recommendations", [DAY.isoformat()]).to_pylist()
    return {
        r"rec_[0-9a-f]+|\bREC\b": drafts[0]["recommendation_id"],
        r"@[0-9a-f]{12}\b": f"@{drafts[0]['content_hash'][:12]}",
        r"\bUSER\b": drafts[0]["user_id"],
        r"path/to/folder": str(pipeline.settings.data / "folder"),
    }


def commands(*, own_data: bool) -> list[str]:
    found = [*printed(PROJECT_ROOT / "README.md"), *printed(PROJECT_ROOT / "docs" / "tour.md")]
    whole = [one for one in found if not one.startswith("spendsense ") or words_of(one)[1:]]
    left = [one for one in whole if not any(f" {name}" in one for name in NOT_RUN)]
    return [one for one in left if (words_of(one)[0] in OWN_DATA) == own_data or (own_data and "plaid" in one)]


def test_the_commands_of_the_readme_and_the_tour_run(copy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [one for one in commands(own_data=False) if "plaid" not in one]
    assert len(asked) > 15
    names = names_here(copy)
    for command in asked:
        run(command, copy, monkeypatch, names)


@pytest.mark.verify
def test_the_commands_for_data_of_ones_own_run(copy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic.write(synthetic.generate(5, seed=11, as_of=DAY), copy.settings.data / "folder")
    with writing(copy.engine) as session:
        operators.add(session, "you", NOON)
    names = names_here(copy)
    for command in commands(own_data=True):
        run(command, copy, monkeypatch, names)
