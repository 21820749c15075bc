"""Payees that are HTML, a formula or a table are kept as text and act nowhere that a run writes."""

import gzip
import json
from pathlib import Path

import dagster as dg
import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs import launch
from spendsense_pipeline_tests.conftest import DAY, Pipeline

HOSTILE = (
    "<img src=x onerror=alert(1)> {}",
    '=HYPERLINK("http://x.example","{}")',
    "| a | b | {}",
    "`{}` </script><script>alert(1)</script>",
)


@pytest.mark.verify
def test_a_hostile_payee_is_words_in_tables_and_in_no_page_or_metadata(copy: Pipeline, tmp_path: Path) -> None:
    landed = gzip.decompress((copy.settings.landing / "generated" / "transactions.jsonl.gz").read_bytes())
    rows = [json.loads(line) for line in landed.splitlines()]
    payees = sorted({row["merchant_name"] for row in rows if row["merchant_name"]})
    renamed = {payee: HOSTILE[n % len(HOSTILE)].format(payee) for n, payee in enumerate(payees)}
    batch = tmp_path / "hostile"
    batch.mkdir()
    with (batch / "transactions.jsonl").open("w") as stream:
        for row in rows:
            if row["merchant_name"]:
                row["merchant_name"] = renamed[row["merchant_name"]]
            row.pop("merchant_entity_id", None)
            stream.write(json.dumps(row) + "\n")
    with launch.opened_instance(copy.settings) as instance:
        _, ingested = launch.ingest_folder(copy.definitions, instance, copy.settings, batch, "hostile")
    refreshed = copy.refresh()

    kept = warehouse.load(copy.settings.warehouse_root, "transactions", None).column("merchant_name").to_pylist()
    assert set(renamed.values()) <= set(kept)
    streams = warehouse.load(copy.settings.warehouse_root, "recurring_streams", [DAY.isoformat()])
    merchants = " ".join(streams.column("merchant").to_pylist())
    assert not set("<>=|`\"'/&") & set(merchants), "a name that is shown is words"
    page = (copy.settings.reports / f"{DAY}.html").read_text()
    for words in ("Img Src X Onerror", "Script Alert"):
        assert words in merchants
        assert words not in page
    for raw in ("<img", "<script", "=HYPERLINK", "| a | b |", "onerror="):
        assert raw not in page
    with launch.opened_instance(copy.settings) as instance:
        for ran in (ingested, refreshed):
            told = " ".join(dg.serialize_value(entry) for entry in instance.all_logs(ran.run_id)).lower()
            assert "row_count" in told, "the metadata are among it"
            assert not any(word in told for word in ("onerror", "hyperlink", "a | b", "alert(1)", "alert 1"))
