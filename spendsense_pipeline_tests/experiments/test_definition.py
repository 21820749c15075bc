"""An experiment's file says everything beforehand, or is refused with what would be right."""

from pathlib import Path

import pytest

from spendsense_pipeline.experiments.definition import InvalidExperiment, experiments_in, of_record, parse
from spendsense_pipeline_tests.experiments.trials import FILE, experiment

TEXT = FILE.format(seed=7)


def test_comments_and_the_order_of_lines_are_no_other_experiment() -> None:
    lines = TEXT.strip().splitlines()
    moved = "\n".join(["# a remark", lines[1], lines[0], *lines[2:]])
    assert parse(moved, "x.toml").hash == parse(TEXT, "x.toml").hash


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("horizon = 90", "horizon = 60"),
        ("seed = 7", "seed = 8"),
        ("minimum_size = 200", "minimum_size = 201"),
        ('"horizon"', '"always_valid"'),
        ("plainer", "shorter"),
    ],
)
def test_whatever_else_changes_is_another_experiment(before: str, after: str) -> None:
    assert before in TEXT
    assert parse(TEXT.replace(before, after, 1), "x.toml").hash != parse(TEXT, "x.toml").hash


def test_what_was_registered_reads_back_as_the_same() -> None:
    of = experiment()
    assert of_record(of.canonical) == of
    assert of_record(of.canonical).hash == of.hash


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("horizon = 90", "horizon = 91", "outcomes are measured at"),
        ('metric = "penalty_fees"', 'metric = "joy"', "there are penalty_fees"),
        ('metric = "penalty_fees"', 'metric = "opened"', "an arm that sees nothing"),
        ('insight = "fees_charged"', 'insight = "past_due"', "withheld from nobody"),
        ('insight = "fees_charged"', 'insight = "fees"', "docs/insights.md lists them"),
        ('control = "nothing"', 'control = "none"', "the arms are text, nothing"),
        ("weight = 1\nwithheld", 'weight = 1\ntemplate = "a"\nwithheld', "shows no template"),
        ("minimum_size = 200", "minimum_size = 29", "minimum_size"),
        ("seed = 7", "seed = 7\ncolour = 1", "colour"),
        ("seed = 7", "seed =", "no TOML"),
    ],
)
def test_a_file_that_cannot_be_run_is_refused_with_its_name(before: str, after: str, complaint: str) -> None:
    assert before in TEXT
    with pytest.raises(InvalidExperiment, match=complaint) as refused:
        parse(TEXT.replace(before, after, 1), "folder/x.toml")
    assert "folder/x.toml" in str(refused.value)


def test_a_folder_holds_each_name_once(tmp_path: Path) -> None:
    assert experiments_in(tmp_path / "nowhere") == []
    (tmp_path / "a.toml").write_text(TEXT)
    assert [one.name for one in experiments_in(tmp_path)] == ["fees-wording"]
    (tmp_path / "b.toml").write_text(TEXT)
    with pytest.raises(InvalidExperiment, match=r"b\.toml"):
        experiments_in(tmp_path)


def test_a_file_that_is_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "b.toml").mkdir()
    for name in ("a.toml", "b.toml"):
        with pytest.raises(InvalidExperiment, match=name):
            experiments_in(tmp_path)
        (tmp_path / "a.toml").unlink(missing_ok=True)
