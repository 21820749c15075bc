"""Drafting products for the catalogue with a language model: a file for a person to review, never a catalogue.

What comes back is held to the rules that landed products are held to, and its words to the guardrails that an offer
meets. Every product is drafted inactive, without a link and without a commission: those are a partner's to give. What
does not belong here: matching and ranking products (``offers.py``), landing them (``ingest/``).
"""

import datetime as dt
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ibis.backends.duckdb import Backend
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.ingest import canonical
from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.recommendations.generation import Answer
from spendsense_pipeline.recommendations.guardrails import review_text
from spendsense_pipeline.recommendations.offers import RELEVANCE
from spendsense_pipeline.recommendations.prompts import MOST_TOKENS
from spendsense_pipeline.recommendations.render import product_slots, render_offer
from spendsense_pipeline.recommendations.slots import fill

SCORED: Final = tuple(dict.fromkeys(rule.product_type for rule in RELEVANCE))
"""Product types that relevance knows; a product of any other keeps the starting score."""


class DraftedProduct(BaseModel):
    """One product, in the fields of the landing format that a model may fill."""

    model_config = ConfigDict(extra="forbid")

    product_name: str = Field(description="an invented name, no real company's product")
    product_type: str = Field(description="one of the types in the request, or another in snake_case")
    category: str = Field(description="one word, such as credit, savings, budgeting, investing")
    persona_targets: list[str] = Field(description="of the groups in the request")
    min_income: float | None = Field(description="least monthly income in US dollars, or null")
    max_credit_utilization: float | None = Field(description="highest utilisation as a fraction, or null")
    requires_no_existing_savings: bool
    requires_no_existing_investment: bool
    short_description: str = Field(description="one plain sentence")
    benefits: list[str] = Field(description="two or three short phrases")
    typical_apy_or_fee: str = Field(description="what it usually pays or costs, as an advertisement would state it")
    disclosure: str = Field(
        description="one sentence on what the terms depend on; beside an APY it names the annual percentage yield, "
        "of an investment it says: not FDIC insured"
    )


class DraftedProducts(BaseModel):
    """The products asked for."""

    model_config = ConfigDict(extra="forbid")

    products: list[DraftedProduct]


@dataclass(frozen=True)
class Drafts:
    """Products in the landing format, and those left out: {product_id, product_name, reasons}."""

    products: list[dict[str, Any]]
    refused: list[dict[str, Any]]


def request(count: int, personas: Sequence[str], model: str) -> dict[str, Any]:
    """The body of the request for ``count`` products meant for ``personas``."""
    schema = {"name": "products", "strict": True, "schema": DraftedProducts.model_json_schema()}
    return {
        "model": model,
        "messages": [
            {
                "role": "system",
                "content": "You draft entries for a bank's catalogue of partner products, as placeholders that a "
                "person will check and complete. Plain words. Invent names; use no real company or product. Promise "
                "nothing: no guarantee, no approval, no urgency, no advice.",
            },
            {
                "role": "user",
                "content": f"Draft {count} products for these groups of customers: {', '.join(personas)}. Types that "
                f"the matching knows: {', '.join(SCORED)}.",
            },
        ],
        "response_format": {"type": "json_schema", "json_schema": schema},
        "max_completion_tokens": MOST_TOKENS,
        "store": False,
    }


def drafted(answer: Answer, con: Backend) -> Drafts:
    """The products of an answer by the rules of ingest and of the guardrails. Raises SpendSenseError on no products."""
    if answer.refusal or not answer.text:
        raise SpendSenseError(f"the model wrote no products: {answer.refusal or 'an empty answer'}", code="no_products")
    try:
        products = DraftedProducts.model_validate_json(answer.text).products
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        told = f"the model's answer is no list of products: {where} {fault['msg']}"
        raise SpendSenseError(told, code="no_products") from None
    rows = [_row(place, product) for place, product in enumerate(products, start=1)]
    faults = _faults(rows, con)
    refused = [
        {"product_id": row["product_id"], "product_name": row["product_name"], "reasons": faults[row["product_id"]]}
        for row in rows
        if faults[row["product_id"]]
    ]
    return Drafts([row for row in rows if not faults[row["product_id"]]], refused)


def _row(place: int, product: DraftedProduct) -> dict[str, Any]:
    name = re.sub(r"[^a-z0-9]+", "_", product.product_name.lower()).strip("_")[:40]
    return {
        "product_id": f"draft_{place:02d}_{name}".rstrip("_"),
        **product.model_dump(),
        "min_credit_score": None,
        "partner_link": None,
        "partner_name": None,
        "commission_rate": None,
        "priority": None,
        "active": False,
        "reviewed_on": None,
    }


def _faults(rows: Sequence[dict[str, Any]], con: Backend) -> dict[str, list[str]]:
    """What is wrong with each product: reason codes of ingest, then what the guardrails find in the offer."""
    found: dict[str, list[str]] = {row["product_id"]: [] for row in rows}
    if not rows:
        return found
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "products.json"
        file.write_text(json.dumps(rows), encoding="utf-8")
        judged = canonical.judge_products(canonical.catalogue(file, con)).to_pyarrow().to_pylist()
    for row in rows:
        if strange := sorted(set(row["persona_targets"]) - set(PERSONAS)):
            found[row["product_id"]].append(f"persona_targets: {', '.join(strange)} is no persona")
    for one in judged:
        found[one["product_id"]] += [f"{one['field']}: {canonical.REASONS[code]}" for code in one["reasons"]]
        if one["outcome"] == "accepted":
            slots = {**product_slots(one), **fill(["as_of"], {"as_of": dt.date(2000, 1, 1)})}
            title, content = render_offer("", slots)
            findings = review_text(title, content, "", slots, content_type="partner_offer", eligible=True)
            found[one["product_id"]] += [f"{finding['check']}: {finding['message']}" for finding in findings]
    return found
