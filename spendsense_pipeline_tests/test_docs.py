"""What the docs promise is what the code says, no more and no less."""

import re
import runpy
from pathlib import Path

from spendsense_pipeline.governance import release, review
from spendsense_pipeline.governance.audit import KINDS
from spendsense_pipeline.governance.models import LINKS, STATUSES
from spendsense_pipeline.settings import PROJECT_ROOT

TEXT = Path(PROJECT_ROOT / "docs" / "governance.md").read_text(encoding="utf-8")


def table(heading: str) -> list[str]:
    """The codes in the first column of the table under a header row."""
    rows = TEXT.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [code for row in rows for code in re.findall(r"`(\w+)`", row.split("|")[1])]


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
    assert {"pending", *STATUSES} - {"pending_approval", *release.DECIDED} <= set(table("reason"))


def test_every_kind_of_link_has_its_rows() -> None:
    assert tuple(KINDS) == LINKS
    for kind in KINDS.values():
        assert set(kind.public) <= {column.name for column in kind.model.__table__.columns}


def test_the_picture_of_the_graph_is_of_the_graph() -> None:
    """After a change of the graph: `python docs/graph.py`."""
    drawing = runpy.run_path(str(PROJECT_ROOT / "docs" / "graph.py"))
    assert drawing["real"]() == drawing["PICTURE"].read_text(encoding="utf-8")
