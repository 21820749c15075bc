"""The guide's tables are the code's own; `UPDATE_SNAPSHOT=1 pytest -k guide` writes them."""

import os
import re
from pathlib import Path

import pytest

from spendsense_pipeline.ingest import declaration, statements
from spendsense_pipeline.ingest.canonical import REASONS
from spendsense_pipeline.ingest.fields import FIELDS, Field
from spendsense_pipeline.settings import PROJECT_ROOT

GUIDE = PROJECT_ROOT / "docs" / "ingest.md"


def told(field: Field) -> str:
    """A field as the guide writes it: bold where required, with its choices."""
    name = f"**`{field.name}`**" if field.required else f"`{field.name}`"
    kind = " | ".join(field.choices).replace("|", "\\|") if field.choices else field.kind
    return f"{name} {kind}"


def fields() -> str:
    rows = [f"| {table} | {', '.join(told(one) for one in known)} |" for table, known in FIELDS.items()]
    return "\n".join(["| table | fields, the required ones bold |", "|---|---|", *rows])


def reasons() -> str:
    rows = [f"| `{code}` | {right} |" for code, right in sorted(REASONS.items())]
    return "\n".join(["| reason | what would be right |", "|---|---|", *rows])


@pytest.mark.parametrize(("name", "table"), [("fields", fields()), ("reasons", reasons())])
def test_the_guide_tells_the_fields_and_reasons_that_there_are(name: str, table: str) -> None:
    block = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
    if os.environ.get("UPDATE_SNAPSHOT"):
        GUIDE.write_text(block.sub(lambda _: f"{table}\n", GUIDE.read_text(), count=1))
    found = block.search(GUIDE.read_text())
    assert found is not None
    assert found.group().strip() == table


def test_the_guides_declarations_are_read_as_they_are_meant(tmp_path: Path) -> None:
    of_statements, of_tables = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "batch.toml").write_text(of_tables)
    found = declaration.read(tmp_path)["transactions"]
    assert (found.dates, found.decimal, found.delimiter, found.ids) == ("%d.%m.%Y", ",", ";", "content")
    assert set(re.findall(r"^(\w+) =", of_tables, re.MULTILINE)) >= {*declaration.LAYOUT, *declaration.DEFAULTS, "ids"}
    (tmp_path / "batch.toml").write_text(of_statements)
    sample = Path(__file__).with_name("statements") / "german-giro.sta"
    text = sample.read_text(encoding="utf-8").replace("12030000/0000202051", "DE02120300000000202051")
    (tmp_path / "january.sta").write_text(text, encoding="iso-8859-1")
    with statements.converted(tmp_path, "mt940") as batch:
        assert '"subtype": "savings"' in (batch / "accounts.jsonl").read_text()


@pytest.mark.parametrize(("kind", "suffixes"), statements.FORMATS.items())
def test_the_guide_names_each_format_and_its_files(kind: str, suffixes: tuple[str, ...]) -> None:
    (row,) = re.findall(rf"^\| `{kind}` \| (.*?) \|", GUIDE.read_text(), re.MULTILINE)
    assert set(re.findall(r"`(\.\w+)`", row)) <= set(suffixes)
