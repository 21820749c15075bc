"""The guide's tables are the code's own; `UPDATE_SNAPSHOT=1 pytest -k guide` writes them."""

import os
import re

import pytest

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
