"""The drafts of a day: customers a second, and how many requests a language model would get for how many customers.

Works on what a run of the pipeline left (``whole_way.unreviewed``). Customer number n is the same person in every
size, so a smaller size is the first customers of a larger one.
"""

import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

FRAMES = ("situations", "education_templates", "product_matches", "products")


def ours(run: str, day: str) -> dict[str, Any]:
    """Choosing, filling in and judging by the guardrails, from frames to frame."""
    from spendsense_pipeline.governance import database_frames
    from spendsense_pipeline.governance.database import open_or_create, reading
    from spendsense_pipeline.recommendations.drafts import draft_recommendations

    as_of = dt.date.fromisoformat(day)
    now = dt.datetime.combine(as_of + dt.timedelta(days=1), dt.time(12), dt.UTC)
    inputs = [stored(run, name, day) for name in FRAMES]
    with reading(open_or_create(f"sqlite:///{run}/spendsense.db")) as session:
        consents, history = database_frames.consents(session, now), database_frames.history(session, as_of, now)
    started = time.perf_counter()
    drafts = draft_recommendations(*inputs, consents, history, as_of, known_until=now)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "customers": int(drafts["user_id"].nunique()), "drafts": len(drafts)}


def bare(run: str, day: str) -> dict[str, Any]:
    """Jinja2 putting the same figures into the same education, title and text: no choice, offer, hash or guardrail."""
    from jinja2 import Environment

    chosen = stored(run, "draft_recommendations", day)
    chosen = chosen[chosen["content_type"] == "education"]
    pieces = stored(run, "education_templates", day).set_index(["situation", "template_id"])[["title", "content"]]
    work = list(zip(chosen["situation"], chosen["template_id"], chosen["slots"], strict=True))
    started = time.perf_counter()
    environment = Environment(autoescape=False)  # noqa: S701 - plain text
    compiled = {key: [environment.from_string(text) for text in row] for key, *row in pieces.itertuples()}
    texts = []
    for situation, template_id, slots in work:
        shown = {name: slot["shown"] for name, slot in json.loads(slots).items()}
        texts.append([template.render(shown) for template in compiled[situation, template_id]])
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "customers": int(chosen["user_id"].nunique()), "drafts": len(texts)}


def requests(run: str, day: str, customers: list[int]) -> dict[str, Any]:
    """For the first so many customers: situations, and requests where nothing was written before.

    ``unserved``: situations for which the library has no piece.
    """
    from spendsense_pipeline.recommendations.prompts import distinct, fingerprint, load_prompts, request
    from spendsense_pipeline.settings import Settings

    found = stored(run, "situations", day).sort_values("user_id")
    served = set(stored(run, "education_templates", day)["situation"])
    prompts = load_prompts(Settings().prompts)
    told = []
    for number in customers:
        wanted = distinct(found.head(number))
        asked = {fingerprint(request(one, prompts[one.persona], "gpt-4o-mini")) for one in wanted}
        unserved = sum(one.key not in served for one in wanted)
        told.append({"customers": min(number, len(found)), "requests": len(asked), "unserved": unserved})
    return {"sizes": told}


def stored(run: str, table: str, day: str) -> Any:
    """A table that the run stored, as a frame."""
    from spendsense_pipeline import warehouse
    from spendsense_pipeline.frames import to_frame

    root = f"{run}/warehouse"
    keys = [day] if (Path(root) / table).is_dir() else None
    return to_frame(warehouse.load(root, table, keys))
