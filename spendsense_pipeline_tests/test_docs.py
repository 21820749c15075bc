"""What the docs promise is what the code says, no more and no less."""

import re
import runpy
from pathlib import Path

import pytest

from spendsense_pipeline.contracts import CONTRACTS, columns
from spendsense_pipeline.features.calendars import CALENDARS
from spendsense_pipeline.features.meanings import ACCOUNT_CLASSES, EVIDENCE
from spendsense_pipeline.features.tables import (
    EXPECTED_WITHIN_DAYS,
    KINDS,
    LEAST_HISTORY_DAYS,
    MINIMUM_PAYMENT_SLACK,
    MODEST,
)
from spendsense_pipeline.governance import release, review
from spendsense_pipeline.governance.audit import MODELS
from spendsense_pipeline.governance.lifecycle import DECIDED
from spendsense_pipeline.governance.models import STATUSES
from spendsense_pipeline.personas.rules import RULES
from spendsense_pipeline.settings import PROJECT_ROOT, Settings

TEXT = Path(PROJECT_ROOT / "docs" / "governance.md").read_text(encoding="utf-8")
SIGNALS = Path(PROJECT_ROOT / "docs" / "signals.md").read_text(encoding="utf-8")
SELF_EXPLAINING = {"user_id", "as_of", "window_days", "account_id", "first_date", "last_date", "occurrences"}


def table(heading: str) -> list[str]:
    """The codes in the first column of the table under a header row."""
    rows = TEXT.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [code for row in rows for code in re.findall(r"`(\w+)`", row.split("|")[1])]


@pytest.mark.parametrize("doc", [PROJECT_ROOT / "README.md", *sorted((PROJECT_ROOT / "docs").glob("*.md"))])
def test_the_files_that_a_document_names_are_there(doc: Path) -> None:
    rooms = "spendsense_pipeline|spendsense_pipeline_tests|benchmarks|prompts|deploy|docs"
    named = set(re.findall(rf"`((?:{rooms})/[\w./-]+)`", doc.read_text(encoding="utf-8")))
    assert not {path for path in named if not (PROJECT_ROOT / path).exists()}


def test_the_refusals_are_a_closed_list_documented_whole() -> None:
    assert table("code") == [str(code) for code in review.Refusal]


def test_every_refusal_is_given_somewhere_and_no_other() -> None:
    source = Path(review.__file__).read_text()
    used = set(re.findall(r"Refusal\.([A-Z_]+)", source)) | {"EXPIRED", "VOIDED", "SUPERSEDED"}  # `Refusal(status)`
    assert used == {code.name for code in review.Refusal}


def test_every_refusal_says_what_to_do() -> None:
    for code in review.Refusal:
        assert review.advice(code, "rec_1"), code
    assert "show rec_1" in review.advice("changed", "rec_1")
    assert (review.advice(None, "rec_1"), review.advice("no_code_of_ours", "rec_1")) == ("", "")


def test_the_gate_s_reasons_are_documented_whole() -> None:
    said = re.search(r"Reasons: (.*?)\n    \"\"\"", release.release_decision.__doc__ + '\n    """', re.DOTALL)
    assert said is not None
    assert sorted(table("reason")) == sorted(re.findall(r"``(\w+)``", said[1]))


def test_the_gate_knows_every_status() -> None:
    assert {"pending", *STATUSES} - {"pending_approval", *DECIDED} <= set(table("reason"))


def test_every_kind_of_link_has_its_rows() -> None:
    for model in MODELS.values():
        named = {model.audited.subject, *" ".join(model.audited[2:]).split()}
        assert named <= {column.name for column in model.__table__.columns}


def test_the_glossary_has_twenty_terms_at_most_and_says_where_they_live() -> None:
    rows = (PROJECT_ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").split("|---|---|---|\n")[1].splitlines()
    assert len(rows) <= 20
    for row in rows:
        *_, where, _ = row.split(" | ")[-1].split("`")
        assert (PROJECT_ROOT / "spendsense_pipeline" / where).is_file(), row


def test_the_picture_of_the_graph_is_of_the_graph() -> None:
    """After a change of the graph: `python docs/graph.py`."""
    drawing = runpy.run_path(str(PROJECT_ROOT / "docs" / "graph.py"))
    assert drawing["real"]() == drawing["PICTURE"].read_text(encoding="utf-8")


@pytest.mark.parametrize("table", ["recurring_streams", "features_30d", "cards"])
def test_every_signal_is_defined(table: str) -> None:
    for column in columns(CONTRACTS[table]):
        short = column["name"].replace("utilization_50", "_50").replace("utilization_80", "_80").replace("_flag", "")
        assert f"`{column['name']}`" in SIGNALS or f"`{short}_`" in SIGNALS or column["name"] in SELF_EXPLAINING, column


def test_the_calendars_are_those_of_the_code() -> None:
    rows = SIGNALS.split("| calendar |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    told = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [(row[1], row[2].split(",")[0], row[3]) for row in told] == [
        (str(each.tolerance), str(each.least_hits), str(each.missable + 1)) for each in CALENDARS
    ]
    assert [row[0].replace("-", "_") for row in told] == [each.cadence for each in CALENDARS]


def test_the_kinds_and_their_evidence_are_those_of_the_code() -> None:
    rows = SIGNALS.split("| `evidence` | what says it |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    assert {code for row in rows for code in re.findall(r"`(\w+)`", row.split("|")[1])} == set(EVIDENCE)
    for each in KINDS:
        assert f"`{each}`" in SIGNALS


def test_the_personas_table_is_the_rules() -> None:
    rows = SIGNALS.split("| persona |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    told = {name.strip(" `"): (priority, criteria) for _, name, priority, criteria, _ in (r.split("|") for r in rows)}
    assert list(told) == list(dict.fromkeys(rule.persona for rule in RULES))
    signs = {">=": "≥", "<=": "≤", "==": "=", ">": ">", "<": "<"}
    for rule in RULES:
        priority, criteria = told[rule.persona]
        assert f"{rule.priority:.2f}" in priority, rule
        asked = f"`{rule.signal}`"
        if not isinstance(rule.threshold, bool):
            asked += f" {signs[rule.operator]} {rule.threshold:,.10g}"
        plain = re.sub(r"(\.\d*[1-9])0+\b", r"\1", f"{priority} {criteria}")
        assert asked in plain, rule


def test_the_thresholds_are_those_of_the_code() -> None:
    assert f"as_of + {EXPECTED_WITHIN_DAYS}]" in SIGNALS
    assert f"history is below {LEAST_HISTORY_DAYS} days" in SIGNALS
    assert f"minimum + {MINIMUM_PAYMENT_SLACK:.2f}" in SIGNALS
    assert f"no more than {MODEST:.0f} USD a month" in SIGNALS
    assert f"`SPENDSENSE_STALE_DAYS` ({Settings().stale_days})" in SIGNALS
    for each in ACCOUNT_CLASSES:
        assert f"`{each}`" in SIGNALS


def test_the_tests_that_the_security_document_names_are_there() -> None:
    named = re.findall(
        r"`((?:\w+/)*test_\w+\.py)`", (PROJECT_ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    )
    assert len(named) > 20
    assert [one for one in named if not (Path(__file__).parent / one).is_file()] == []


def test_the_project_cites_only_documents_that_it_ships() -> None:
    sources = [*PROJECT_ROOT.glob("*.md"), *(PROJECT_ROOT / "docs").rglob("*.md")]
    for folder in ("spendsense_pipeline", "spendsense_pipeline_tests", "benchmarks", "docs", "deploy"):
        sources += (PROJECT_ROOT / folder).rglob("*.py")
    for source in sources:
        for cited in re.findall(r"[\w./-]+\.md\b", source.read_text(encoding="utf-8")):
            if re.fullmatch(r"[A-Z]+\.md|docs/.*", cited):
                assert any((place / cited).exists() for place in (PROJECT_ROOT, source.parent)), (source, cited)
