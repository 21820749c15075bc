"""The gate and the feed as this deployment runs them: its settings, and what its catalogue says at this moment.

For the command line, the demo and the service. What does not belong here: the decision (``governance.release``), and
whom a product suits (``offers.py``).
"""

import datetime as dt
from collections.abc import Container, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Engine

from spendsense_pipeline.governance import release
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.review import Guardrails
from spendsense_pipeline.settings import Settings


def run(settings: Settings, engine: Engine, now: dt.datetime) -> release.Gate:
    """Release what may be released now, and write down what has ended."""
    return release.run_gate(
        engine,
        now,
        consent_days=settings.consent_days,
        withdrawn=partial(withdrawn_products, settings.warehouse_root),
        weekly_cap=settings.weekly_cap,
        release_days=settings.release_days,
        guardrails=reviewed,
    )


def reviewed(draft: Mapping[str, Any], /) -> Sequence[Mapping[str, Any]]:
    """What the guardrails find in a draft."""
    from spendsense_pipeline.recommendations.guardrails import review_draft  # loaded where something may go out

    return _found(review_draft, *(draft[name] for name in JUDGED))


JUDGED = ("title", "content", "rationale", "slots", "content_type")
"""All of a draft that ``review_draft`` looks at."""


@lru_cache(maxsize=10_000)
def _found(rules: Guardrails, *judged: str) -> Sequence[Mapping[str, Any]]:
    """Kept as long as the process has these rules: the sensor asks about what is held back every half minute."""
    return rules(dict(zip(JUDGED, judged, strict=True)))


def feed(settings: Settings, engine: Engine, now: dt.datetime, user_id: str | None = None) -> list[dict[str, Any]]:
    """What customers, or this one, may see now (``release.released``)."""
    with reading(engine) as session:
        rows = release.released(session, now, user_id=user_id, consent_days=settings.consent_days)
    if all(row["product_id"] is None for row in rows):  # then the catalogue need not be opened
        return rows
    gone = withdrawn_products(settings.warehouse_root)
    return [row for row in rows if row["product_id"] is None or row["product_id"] not in gone]


def withdrawn_products(root: str) -> Container[str]:
    """The products that are not offered any more: all that the stored catalogue does not have, or not as active.

    Nothing where no catalogue is stored. ``root`` is the warehouse. Like ``offers.product_matches``, a product that
    does not say it is active is not.
    """
    from spendsense_pipeline import warehouse  # only those who have an offer to judge wait for it

    try:
        rows = warehouse.load(root, "products").select(["product_id", "active"]).to_pylist()
    except warehouse.NotMaterialized:
        return frozenset()
    return release.AllBut(frozenset(row["product_id"] for row in rows if row["active"]))
