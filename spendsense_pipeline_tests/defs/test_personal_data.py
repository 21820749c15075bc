"""Names and e-mails lie in the landed files, in `raw_users` and in `users`, and nowhere else that a run writes."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs import launch
from spendsense_pipeline_tests.conftest import Pipeline

ODD = [
    {"user_id": "p1", "full_name": "Zebulon Quisling", "email": "zebulon at quisling"},
    {
        "user_id": "Zebulon Quisling",
        "full_name": "p2",
        "email": "z.quisling@example.org",
        "user_type": "Zebulon Quisling",
    },
    {"user_id": "p3", "full_name": "Zebulon\u0000Quisling", "email": "z.quisling@example.org"},
    {"user_id": "p4", "z.quisling@example.org": "as a field's name", "languag": "en"},
]


def holding(data: Path, people: set[str]) -> set[str]:
    """The files below the folder that hold a name or an e-mail, however the format packs its texts."""
    found = set()
    for path in (one for one in data.rglob("*") if one.is_file()):
        if path.suffix == ".parquet":
            texts = json.dumps(pq.read_table(path).to_pylist(), default=str, ensure_ascii=False)
            found |= {str(path.relative_to(data))} if any(one in texts for one in people) else set()
        else:
            content = path.read_bytes()
            found |= {str(path.relative_to(data))} if any(one.encode() in content for one in people) else set()
    return found


def test_after_a_whole_run_with_rejected_and_refused_batches_names_are_where_they_belong(
    copy: Pipeline, tmp_path: Path
) -> None:
    data = copy.settings.data
    rows = warehouse.load(copy.settings.warehouse_root, "users").select(["full_name", "email"]).to_pylist()
    people = {value for row in rows for value in row.values() if value}
    assert len(people) > 50
    odd, broken = tmp_path / "odd", tmp_path / "broken"
    for folder in (odd, broken):
        folder.mkdir()
    (odd / "users.json").write_text(json.dumps(ODD))
    (broken / "users.csv").write_text('user_id,full_name\nu1,"Zebulon Quisling"x,\nu2,"Zebulon Quisling\n')
    with launch.opened_instance(copy.settings) as instance:
        _, ran = launch.ingest_folder(copy.definitions, instance, copy.settings, odd, "odd")
        assert launch.tallies(ran)["users"] == {
            "read": 4,
            "accepted": 1,
            "duplicate": 0,
            "rejected": 3,
            "superseded": 0,
        }
        assert ran.metadata["raw_users"]["unknown_fields"] == {
            "users.json: names that nobody knows": 1,
            "users.json: languag, perhaps language": 1,
        }
        with pytest.raises(launch.RunFailed) as refused:
            launch.ingest_folder(copy.definitions, instance, copy.settings, broken, "broken")
    people |= {"Zebulon", "Quisling", "quisling"}
    assert not any(name in str(refused.value) for name in people)
    assert holding(data, people) == {
        "landing/generated/users.json",
        "landing/odd/users.json",
        "warehouse/raw_users/generated.parquet",
        "warehouse/raw_users/odd.parquet",
        "warehouse/users.parquet",
    }
