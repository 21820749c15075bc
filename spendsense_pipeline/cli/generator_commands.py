"""The language model: what it is asked, and drafts of products for review."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from spendsense_pipeline.cli.frame import Folder, app
from spendsense_pipeline.cli.output import Shown, columns
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.settings import Settings

SHOWN = ("product_id", "product_name", "product_type", "persona_targets", "active", "reviewed_on")


@app.command()
@click.argument("situation")
def prompt(situation: str) -> Shown:
    """The exact request that a situation would be asked about with. Sends nothing and needs no key."""
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.recommendations import prompts

    settings = Settings()
    rows = warehouse.newest_frame(settings.warehouse_root, "situations", ["situation", "facts", "slots"])
    stored = {} if rows is None else {one.key: one for one in prompts.distinct(rows)}
    found = stored.get(situation)
    if found is None:
        try:
            found = prompts.situation_of(situation)
        except prompts.UnknownSituation as error:
            hint = f"such as {min(stored)}" if stored else "`spendsense run` finds those of a date"
            raise prompts.UnknownSituation(f"{error}; {hint}") from None
    persona = prompts.load_prompts(settings.prompts)[found.about]
    request = prompts.request(found, persona, settings.openai_model)
    payload = {
        "situation": found.key,
        "persona": found.about,
        "facts": found.facts,
        "slots": list(found.slots),
        "prompt_version": persona.version,
        "fingerprint": prompts.fingerprint(request),
        "request": request,
    }
    return Shown(payload, json.dumps(request, indent=2, ensure_ascii=False).splitlines())


@app.group()
def catalog() -> None:
    """Partner products: those that may be offered, and drafts for review."""


@catalog.command("list")
def list_products() -> Shown:
    """The products that stand, from the batches or the catalogue that ships."""
    from spendsense_pipeline import warehouse

    table = warehouse.read(warehouse.connect(), Settings().warehouse_root, "products")
    rows = table.order_by("product_type", "product_id").to_pyarrow().to_pylist()
    for row in rows:
        for name in ("persona_targets", "benefits"):
            row[name] = json.loads(row[name]) if row[name] else None
    return Shown({"catalog": rows, "total": len(rows)}, columns(rows, SHOWN, "no products"))


@catalog.command("generate")
@click.option("--count", type=click.IntRange(1, 10), default=5, show_default=True)
@click.option("--persona", "personas", type=click.Choice(list(PERSONAS)), multiple=True, help="Default: all.")
@click.option("--out", type=Folder(), help="File to write; default products-draft.json in the data folder.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def generate_products(count: int, personas: tuple[str, ...], out: Path | None, force: bool) -> Shown:
    """Draft products with the language model into a file for review: inactive, without link or commission."""
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.recommendations import catalogue

    settings = Settings()
    file = out or settings.data / "products-draft.json"
    if file.exists() and not force:
        raise SpendSenseError(f"{file} is there already; name another with --out, or use --force", code="file_exists")
    answer = asyncio.run(_asked(settings, catalogue.request(count, personas or list(PERSONAS), settings.openai_model)))
    drafts = catalogue.drafted(answer, warehouse.connect())
    if not drafts.products:
        reasons = "; ".join(f"{one['product_name']}: {', '.join(one['reasons'])}" for one in drafts.refused)
        raise SpendSenseError(f"no product can be used: {reasons or 'the model wrote none'}", code="no_products")
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(drafts.products, indent=1, ensure_ascii=False) + "\n"
    with file.open("w" if force else "x", encoding="utf-8") as stream:
        stream.write(text)
    payload = {"path": str(file), "catalog": drafts.products, "refused": drafts.refused, "model": answer.model}
    return Shown(
        payload,
        [
            *columns(drafts.products, SHOWN),
            *(f"left out: {one['product_name']}: {'; '.join(one['reasons'])}" for one in drafts.refused),
            f"in {file}: review it, set links and `active`, then land it as products.json",
        ],
    )


async def _asked(settings: Settings, request: Mapping[str, Any]) -> Any:
    """The model's answer to one request."""
    from spendsense_pipeline.recommendations import openai
    from spendsense_pipeline.recommendations.generation import Unanswered

    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
    try:
        async with openai.opened(key, settings.openai_base_url, settings.openai_timeout) as writer:
            return await writer(request)
    except Unanswered as failure:
        raise SpendSenseError(f"the model did not answer: {failure}", code="model_unanswered") from failure
