"""The dictionary in the documentation is what the contracts say today."""

from spendsense_pipeline.contracts import CONTRACTS, columns, dictionary
from spendsense_pipeline.defs.documentation import column_schema
from spendsense_pipeline.settings import PROJECT_ROOT


def test_the_data_dictionary_is_current() -> None:
    stored = (PROJECT_ROOT / dictionary.TARGET).read_text(encoding="utf-8")
    assert stored == dictionary.markdown(), "write it anew: python -m spendsense_pipeline.contracts.dictionary"


def test_every_column_of_every_table_stands_in_it_with_its_definition() -> None:
    text = dictionary.markdown()
    for asset, contract in CONTRACTS.items():
        section = next(part for part in text.split("\n## ") if f"`{asset}`" in part.splitlines()[0])
        for column in columns(contract):
            assert f"| `{column['name']}` | {column['type']} |" in section
            assert column["meaning"] in section


def test_the_ui_shows_the_same_words() -> None:
    for asset, contract in CONTRACTS.items():
        shown = {column.name: column for column in column_schema(asset).columns}
        for column in columns(contract):
            told = shown[column["name"]]
            assert told.description.startswith(column["meaning"])
            assert column["unit"] in told.description
            assert told.constraints.nullable == (column["null"] != "never null")
