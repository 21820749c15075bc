"""The catalogue of partner products. A change is a landed batch of one product, judged before it lands."""

import datetime as dt
import json
import secrets
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, FiniteFloat, field_validator

from spendsense_pipeline import warehouse
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance.batches import registered_at
from spendsense_pipeline.governance.database import reading, storable
from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.service import products as catalogue
from spendsense_pipeline.service.callers import Caller, allow
from spendsense_pipeline.service.seed.both_forms import Reader, Routes
from spendsense_pipeline.service.seed.ingest_routes import encoded, land_and_merge
from spendsense_pipeline.service.state import Here, Offset, Service, answer

router = Routes(tags=["products"])
Writer = Annotated[Caller, Depends(allow("ingest:write", "manage"))]
Persona = Literal[*PERSONAS]  # type: ignore[valid-type]
LISTS = ("persona_targets", "benefits")
ASKS_NOTHING: Final = {"min_income": 0.0, "max_credit_utilization": 1.0}
"""What clients send and read for a product without this limit; stored as null, for a limit asks that it be known."""

NOT_SAID: Final = {"category": "", "disclosure": "", "partner_name": "", "commission_rate": 0.0, "priority": 1}
"""What clients read where the catalogue says nothing."""


class Product(BaseModel):
    """A product as its partner offers it."""

    product_name: str
    product_type: str
    category: str
    persona_targets: list[Persona]
    short_description: str
    benefits: list[str]
    disclosure: str
    partner_name: str
    min_income: FiniteFloat = Field(default=0, ge=0)
    max_credit_utilization: FiniteFloat = Field(default=1, ge=0, le=1)
    requires_no_existing_savings: bool = False
    requires_no_existing_investment: bool = False
    min_credit_score: int | None = Field(default=None, ge=0, lt=2**31)
    typical_apy_or_fee: str | None = None
    partner_link: str | None = None
    commission_rate: FiniteFloat = 0
    priority: int = Field(default=1, gt=-(2**31), lt=2**31)
    active: bool = True

    @field_validator("*")
    @classmethod
    def _text(cls, value: Any) -> Any:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not storable(text):
                raise ValueError("holds what is no text: a NUL character or half of a surrogate pair")
        return value


@router.both("GET", "/products/")
def products(
    service: Here,
    _caller: Reader,
    active_only: bool = False,
    category: Annotated[str | None, Query(max_length=400)] = None,
    persona_type: Annotated[str | None, Query(max_length=400)] = None,
    skip: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Response:
    """The catalogue in order of ids; without ``persona_targets`` a product is meant for everybody."""
    chosen = [
        row
        for row in _stored(service).values()
        if (row["active"] or not active_only)
        and category in (None, row["category"])
        and (persona_type is None or not row["persona_targets"] or persona_type in row["persona_targets"])
    ]
    shown = [_timed(service, row) for row in chosen[skip : skip + limit]]
    return answer({"products": shown, "total": len(chosen), "skip": skip, "limit": limit})


@router.both("GET", "/products/{product_id}")
def product(service: Here, product_id: str, _caller: Reader) -> Response:
    """One of them."""
    return answer(_timed(service, _one(service, product_id)))


@router.both("POST", "/products/", status_code=201)
def add_product(service: Here, body: Product, _caller: Writer) -> Response:
    """Add a product under an id of its own."""
    product_id = f"prod_{secrets.token_hex(8)}"
    return answer(_put(service, {"product_id": product_id, **body.model_dump()}), 201)


@router.both("PUT", "/products/{product_id}")
def change_product(service: Here, product_id: str, body: Product, _caller: Writer) -> Response:
    """Put this in the place of the product; what the body leaves out gets its default."""
    _one(service, product_id)
    return answer(_put(service, {"product_id": product_id, **body.model_dump()}))


@router.both("DELETE", "/products/{product_id}", status_code=204)
def withdraw_product(service: Here, product_id: str, _caller: Writer) -> Response:
    """Offer it no more; it stays in the catalogue."""
    row = _one(service, product_id)
    if row["active"]:
        _put(service, row | {"active": False})
    return Response(status_code=204)


def _stored(service: Service) -> dict[str, dict[str, Any]]:
    """The catalogue as merged, by id."""
    rows = sorted((catalogue.products(service) or {}).values(), key=lambda row: str(row["product_id"]))
    return {row["product_id"]: row | {name: json.loads(row[name] or "[]") for name in LISTS} for row in rows}


def _one(service: Service, product_id: str) -> dict[str, Any]:
    row = _stored(service).get(product_id)
    if row is None:
        raise SpendSenseError(f"there is no product {product_id[:80]!r}", code="unknown_product")
    return row


def _timed(service: Service, row: dict[str, Any]) -> dict[str, Any]:
    """With the times of the batches that brought it first and last; null for what ships."""
    root, product_id = service.settings.warehouse_root, row["product_id"]
    brought = {row["batch"]}
    for batch in warehouse.partitions(root, "raw_products"):
        ids = warehouse.load(root, "raw_products", [batch], ["product_id"])["product_id"]
        if product_id in ids.to_pylist():
            brought.add(batch)
    with reading(service.engine) as session:
        times = registered_at(session, brought)
    first: dt.datetime | None = min(times.values(), default=None)
    shown = _without_batch(row)
    shown |= {name: value for name, value in (ASKS_NOTHING | NOT_SAID).items() if shown[name] is None}
    return shown | {"created_at": first, "updated_at": times.get(row["batch"])}


def _without_batch(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "batch"}


def _put(service: Service, row: dict[str, Any]) -> dict[str, Any]:
    """Judge the product by the rules of ingest, land it, and read it back."""
    wanted = _without_batch(row)
    wanted |= {name: None for name, limit in ASKS_NOTHING.items() if wanted[name] == limit}
    _require_acceptable(wanted)
    others = [
        _without_batch(one)
        for one in _stored(service).values()
        if one["batch"] == "catalogue" and one["product_id"] != wanted["product_id"]
    ]  # what ships stands only while nothing has landed: it lands with the first change
    land_and_merge(service, {"products": [*others, wanted]}, f"product-{secrets.token_hex(8)}")
    return _timed(service, _one(service, wanted["product_id"]))


def _require_acceptable(row: dict[str, Any]) -> None:
    """Raise what invalid parameters raise, with field and reason, where the pipeline would reject the product."""
    from spendsense_pipeline.ingest import canonical  # loads an engine, which only a change of the catalogue needs

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "products.json"
        file.write_bytes(encoded([row]))
        (judged,) = canonical.judge_products(canonical.catalogue(file, warehouse.connect())).to_pyarrow().to_pylist()
    if judged["outcome"] != "accepted":
        raise RequestValidationError(
            [
                {
                    "type": code,
                    "loc": ("body", judged["field"]),
                    "msg": canonical.REASONS[code],
                    "input": row.get(judged["field"]),
                }
                for code in judged["reasons"]
            ]
        )
