"""Products drafted by a model: a file for review by the rules of ingest, and never in anybody's way."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.ingest import canonical
from spendsense_pipeline.settings import Settings
from spendsense_pipeline_tests.conftest import Pipeline
from spendsense_pipeline_tests.recommendations.model_server import ModelServer, Reply, completion, failure, serving

PRODUCT: dict[str, Any] = {
    "product_name": "Quiet Harbor Savings",
    "product_type": "savings_hysa",
    "category": "savings",
    "persona_targets": ["savings_builder"],
    "min_income": None,
    "max_credit_utilization": 0.5,
    "requires_no_existing_savings": True,
    "requires_no_existing_investment": False,
    "short_description": "A savings account that pays a higher rate than most.",
    "benefits": ["No monthly fee", "Open it in a few minutes"],
    "typical_apy_or_fee": "about 4% APY",
    "disclosure": "The annual percentage yield can change.",
}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a limit out of range": ({"max_credit_utilization": 1.5}, "max_credit_utilization: a number in the field's range"),
    "a negative income": ({"min_income": -5}, "min_income: zero or more"),
    "template braces": ({"product_name": "Harbor {{ name }}"}, "product_name: a text without"),
    "an endless sentence": ({"short_description": "so " * 200}, "short_description: a text as long"),
    "no description": ({"short_description": " "}, "short_description: a value"),
    "a group of nobody": ({"persona_targets": ["rich"]}, "persona_targets: rich is no persona"),
    "a guarantee": ({"benefits": ["Guaranteed approval"]}, "advice_boundary: "),
    "urgency": ({"short_description": "Act now, a limited time."}, "tone: "),
    "a link": ({"disclosure": "Annual percentage yield: open javascript:alert(1)."}, "links: "),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        running.behaviour = lambda request, before: products(PRODUCT)
        yield running


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(Settings(data=tmp_path / "data"))


def products(*drafted: dict[str, Any]) -> Reply:
    return completion(json.dumps({"products": drafted}))


def test_products_are_drafted_inactive_and_accepted_by_ingest(
    pipeline: Pipeline, server: ModelServer, spendsense: Callable[..., Any]
) -> None:
    found = spendsense(pipeline, "catalog", "generate", "--count", "1", "--persona", "savings_builder")
    (product,) = found["catalog"]
    assert product["product_id"] == "draft_01_quiet_harbor_savings"
    assert (product["active"], product["partner_link"], product["commission_rate"]) == (False, None, None)
    assert found["refused"] == []
    file = Path(found["path"])
    assert json.loads(file.read_text()) == found["catalog"]
    judged = canonical.judge_products(canonical.catalogue(file, warehouse.connect())).to_pyarrow().to_pylist()
    assert [row["outcome"] for row in judged] == ["accepted"]
    (asked,) = server.requests
    assert asked["store"] is False
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert "Draft 1 products for these groups of customers: savings_builder." in asked["messages"][1]["content"]


def test_a_file_that_is_there_is_replaced_only_when_told_to_and_nothing_is_asked_for_it(
    pipeline: Pipeline, server: ModelServer, spendsense: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "mine.json"
    file.write_text("[]")
    refused = spendsense(pipeline, "catalog", "generate", "--out", str(file), code=1)
    assert refused["error"]["code"] == "file_exists"
    assert (file.read_text(), server.requests) == ("[]", [])
    spendsense(pipeline, "catalog", "generate", "--out", str(file), "--force")
    assert len(json.loads(file.read_text())) == 1


def test_products_that_break_a_rule_are_left_out_with_their_reasons_and_the_good_one_stays(
    pipeline: Pipeline, server: ModelServer, spendsense: Callable[..., Any]
) -> None:
    drafted = [PRODUCT | change for change, _ in FAULTS.values()]
    server.behaviour = lambda request, before: products(*drafted, PRODUCT)
    found = spendsense(pipeline, "catalog", "generate", "--count", str(len(drafted) + 1))
    assert [one["product_id"] for one in found["catalog"]] == [f"draft_{len(drafted) + 1}_quiet_harbor_savings"]
    assert len(found["refused"]) == len(drafted)
    for (name, (_, said)), refused in zip(FAULTS.items(), found["refused"], strict=True):
        assert any(reason.startswith(said) for reason in refused["reasons"]), (name, refused["reasons"])


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (completion('{"products": []}'), "no_products"),
        (completion('{"products": [{}]}'), "no_products"),
        (completion("Sure!"), "no_products"),
        (completion(None, refusal="No."), "no_products"),
        (products(PRODUCT | {"min_income": -1}), "no_products"),
        (failure(500), "model_unanswered"),
        (failure(401), "model_unanswered"),
    ],
    ids=["none", "wrong schema", "no JSON", "refusal", "none fit", "500", "401"],
)
def test_where_there_is_nothing_to_review_there_is_no_file(
    pipeline: Pipeline, server: ModelServer, spendsense: Callable[..., Any], reply: Reply, code: str
) -> None:
    server.behaviour = lambda request, before: reply
    assert spendsense(pipeline, "catalog", "generate", code=1)["error"]["code"] == code
    assert not (pipeline.settings.data / "products-draft.json").exists()


def test_without_a_key_it_says_so(pipeline: Pipeline, spendsense: Callable[..., Any]) -> None:
    assert spendsense(pipeline, "catalog", "generate", code=1)["error"] == {
        "code": "no_key",
        "message": "OPENAI_API_KEY is not set",
    }


def test_catalog_list_shows_the_products_that_stand(refreshed: Pipeline, spendsense: Callable[..., Any]) -> None:
    found = spendsense(refreshed, "catalog", "list")
    assert found["total"] == len(found["catalog"]) > 10
    assert {"product_id", "product_name", "product_type", "persona_targets", "active"} <= set(found["catalog"][0])
    assert any(isinstance(row["persona_targets"], list) for row in found["catalog"])
