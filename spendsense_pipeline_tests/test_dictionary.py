"""The dictionary in the documentation is what contracts and models say today."""

from spendsense_pipeline import dictionary
from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.defs.documentation import column_schema
from spendsense_pipeline.settings import PROJECT_ROOT

TABLES = [*CONTRACTS, *dictionary.KEPT]


def test_the_data_dictionary_is_current() -> None:
    stored = (PROJECT_ROOT / dictionary.TARGET).read_text(encoding="utf-8")
    assert stored == dictionary.markdown(), "write it anew: python -m spendsense_pipeline.dictionary"


def test_every_column_of_every_table_stands_in_it_with_its_definition() -> None:
    text = dictionary.markdown()
    for asset in TABLES:
        section = next(part for part in text.split("\n## ") if f"`{asset}`" in part.splitlines()[0])
        for column in dictionary.described(asset):
            assert column["meaning"], (asset, column["name"])
            assert column["null"], (asset, column["name"])
            assert f"| `{column['name']}` | {column['type']} |" in section
            assert column["meaning"] in section


def test_the_ui_shows_the_same_words() -> None:
    for asset in TABLES:
        shown = {column.name: column for column in column_schema(asset).columns}
        for column in dictionary.described(asset):
            told = shown[column["name"]]
            assert told.description.startswith(column["meaning"])
            assert column["unit"] in told.description
            assert told.constraints.nullable == (column["null"] != "never null")


def test_of_rows_as_landed_the_ui_describes_the_fields_too() -> None:
    shown = {column.name: column for column in column_schema("raw_transactions").columns}
    assert shown["amount"].description == "as written: positive = money in"
    assert (shown["amount"].type, shown["amount"].constraints.nullable) == ("str", True)
    assert shown["removed"].description
    assert "batch" in shown
