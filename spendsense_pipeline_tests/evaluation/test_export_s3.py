"""The export on a real S3 protocol server: written whole, read back, opened through links that end."""

import datetime as dt
import hashlib
import io
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pandas as pd
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from spendsense_pipeline.evaluation.export import EXPORTED, ExportRefused, analytics_export, signed_links
from spendsense_pipeline_tests.conftest import DAY as REAL_DAY
from spendsense_pipeline_tests.conftest import Pipeline
from spendsense_pipeline_tests.evaluation.conftest import DAY
from spendsense_pipeline_tests.evaluation.test_export import CONSENTING, HEAD, tables

__all__ = ["tables"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on a server of its own; everything is set as a deployment sets it, in the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    boto3.client("s3").create_bucket(Bucket="analysts")
    yield "s3://analysts/spendsense"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def opened(link: str) -> bytes:
    with urllib.request.urlopen(link) as answer:
        return bytes(answer.read())


def test_links_open_each_file_for_seven_days_and_the_hashes_are_right(tables: dict[str, pd.DataFrame], bucket: str):
    manifest = analytics_export(tables, bucket, DAY, CONSENTING, HEAD)
    links = signed_links(manifest, bucket)
    assert set(links) == {*(f"{name}.parquet" for name in EXPORTED), "manifest.json"}
    assert json.loads(opened(links["manifest.json"])) == manifest
    for table in manifest["tables"].values():
        content = opened(links[table["file"]])
        assert hashlib.sha256(content).hexdigest() == table["sha256"]
        assert len(pd.read_parquet(io.BytesIO(content))) == table["rows"]
    asked = parse_qs(urlsplit(links["manifest.json"]).query)
    if "X-Amz-Expires" in asked:
        assert asked["X-Amz-Expires"] == ["604800"]
    else:  # the older way of signing names the moment
        ends = dt.datetime.fromtimestamp(int(asked["Expires"][0]), dt.UTC)
        assert dt.timedelta(days=6, hours=23) < ends - dt.datetime.now(dt.UTC) <= dt.timedelta(days=7)


def test_a_link_opens_nothing_but_its_own_file(tables: dict[str, pd.DataFrame], bucket: str):
    manifest = analytics_export(tables, bucket, DAY, CONSENTING, HEAD)
    link = signed_links(manifest, bucket)["manifest.json"]
    with pytest.raises(urllib.error.HTTPError):
        opened(re.sub("manifest.json", "nothing.json", link))


def test_the_same_day_again_replaces_it_and_a_refused_one_leaves_it(tables: dict[str, pd.DataFrame], bucket: str):
    first = analytics_export(tables, bucket, DAY, CONSENTING, HEAD)
    second = analytics_export(tables, bucket, DAY, CONSENTING[:1], HEAD)
    assert (first["customers"], second["customers"]) == (3, 1)
    with pytest.raises(ExportRefused):
        analytics_export({}, bucket, DAY, CONSENTING, HEAD)
    assert json.loads(opened(signed_links(second, bucket)["manifest.json"])) == second


def test_a_folder_cannot_sign(tables: dict[str, pd.DataFrame], tmp_path: Any):
    manifest = analytics_export(tables, str(tmp_path), DAY, CONSENTING, HEAD)
    assert signed_links(manifest, str(tmp_path)) == {}


def test_the_command_exports_a_real_day_to_the_bucket(refreshed: Pipeline, bucket: str, spendsense: Any):
    told = spendsense(refreshed, "export", "--to", bucket)
    assert told["to"] == f"{bucket}/{REAL_DAY}"
    assert told["tables"]["draft_recommendations"]["rows"] > 0
    stored = json.loads(opened(told["links"]["manifest.json"]))
    assert stored["tables"] == told["tables"]
    drafts = pd.read_parquet(io.BytesIO(opened(told["links"]["draft_recommendations.parquet"])))
    assert not {"content", "title", "slots", "rationale", "reasons"} & set(drafts)


def test_evaluate_measures_the_date_anew_and_writes_the_page(copy: Pipeline, spendsense: Any):
    page = copy.settings.reports / f"{REAL_DAY}.html"
    page.unlink()
    told = spendsense(copy, "evaluate")
    assert told["as_of"] == str(REAL_DAY)
    assert told["metrics"]["coverage"]["denominator"] > 0
    assert told["metrics"]["latency_ms_avg"]["value"] is None
    assert set(told["audit_head"]) == {"count", "hash"}
    assert page.is_file()
    assert spendsense(copy, "evaluate", "--as-of", "2026-02-02", code=1)["error"]["code"] == "not_materialized"
