"""The operators' page of a day: one HTML file that says what waits, why, and what keeps the rest from release.

Belongs here: what the page shows and how a figure is written on it; its look is
``templates/operator_report.html``. The page loads nothing from anywhere, and no name or e-mail gets on it.
Deciding is not done here: the page says how.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jinja2
import pandas as pd

from spendsense_pipeline.contracts import CONTRACTS, columns
from spendsense_pipeline.personas.rules import RULES

SHOWN_AT_MOST: Final = 50
"""Waiting texts written out on the page; the rest is counted and found with ``spendsense queue``."""

_UNITS: Final = {column["name"]: column["unit"] for column in columns(CONTRACTS["features_30d"])}
_SHARES: Final = frozenset(
    {
        "coverage",
        "explainability",
        "auditability",
        "offer_eligibility_rate",
        "operator_agreement",
        "override_rate",
        "rejection_rate",
    }
)
_SIGNS: Final = {">=": "≥", "<=": "≤", "==": "=", ">": ">", "<": "<"}


def operator_report(
    as_of: dt.date,
    *,
    generated_at: dt.datetime,
    customers: int,
    consent: Mapping[str, int],
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
    queue: Sequence[Mapping[str, Any]],
    statuses: Mapping[str, int],
    released: int,
    recalled: int,
    blocked: Mapping[str, int],
    metrics: pd.DataFrame,
    audit_head: Mapping[str, Any],
    review_config: str,
) -> str:
    """The page as one HTML document, without network, script or personal name.

    - ``consent``: customers with live consent by scope; ``statuses``: recommendations by status, of all days.
    - ``queue``: the waiting texts in the operators' order, or the first of them, each as ``spendsense show --json``
      gives it (``slots``, ``reasons`` and ``findings`` as text or as what they hold). At most ``SHOWN_AT_MOST``
      are written out; how many wait in all is said by ``statuses``.
    - ``released`` and ``recalled``: texts released so far, and those of them taken back; ``blocked``: what
      the gate holds back now, by reason.
    - ``metrics``: contract ``EvaluationMetrics``; ``audit_head``: {count, hash}.
    - ``review_config``: an example of run configuration for the job ``review_recommendations``, as YAML.
    """
    waiting = [_item(row) for row in queue[:SHOWN_AT_MOST]]
    return _PAGE.render(
        as_of=as_of,
        generated_at=generated_at.astimezone(dt.UTC),
        customers=customers,
        consent=consent,
        personas=_personas(personas_30d, personas_180d),
        sizes=(len(personas_30d), len(personas_180d)),
        waiting=waiting,
        waiting_total=statuses.get("pending_approval", 0),
        with_findings=sum(1 for item in waiting if item["findings"]),
        statuses=statuses,
        released=released,
        recalled=recalled,
        blocked=sorted(blocked.items(), key=lambda reason: (-reason[1], reason[0])),
        metrics=[row for row in metrics.to_dict("records") if not str(row["metric"]).startswith("persona_")],
        audit_head=audit_head,
        review_config=review_config.strip(),
    )


def _item(row: Mapping[str, Any]) -> dict[str, Any]:
    """A waiting text with its figures, the criteria that were met, and what the guardrails found."""
    reasons = [
        reason
        for reason in _json(row["reasons"])
        if reason["met"] and str(reason["clause"]).startswith(f"{row['persona']}.")
    ]
    return {**row, "findings": _json(row["findings"]), "slots": _json(row["slots"]), "reasons": reasons}


def _personas(personas_30d: pd.DataFrame, personas_180d: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """Persona → customers in each window, in the order of the rules; fallbacks are a line of their own."""
    counts = []
    for personas in (personas_30d, personas_180d):
        fallback = personas["is_fallback"].astype(bool)
        counts.append(
            {**personas.loc[~fallback, "persona"].value_counts().to_dict(), "no persona matched": int(fallback.sum())}
        )
    names = [*dict.fromkeys(rule.persona for rule in RULES), "no persona matched"]
    return [(name, [int(count.get(name, 0)) for count in counts]) for name in names]


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _words(name: str) -> str:
    """A column's or persona's name for reading."""
    return name.replace("_", " ")


def _figure(value: Any, signal: str = "") -> str:
    """A signal's value in its unit: fractions as per cent, money with two decimals, unknown as a dash."""
    if value is None or (not isinstance(value, str | dict | list) and pd.isna(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    unit = _UNITS.get(signal, "")
    if unit == "fraction":
        return f"{value * 100:.1f} %"
    if unit.startswith("money"):
        return f"{value:,.2f}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _metric(row: Mapping[str, Any]) -> str:
    if pd.isna(row["value"]):
        return "nothing to measure"
    return f"{row['value'] * 100:.1f} %" if row["metric"] in _SHARES else _figure(float(row["value"]))


def _age(hours: float) -> str:
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


def _page() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spendsense_pipeline.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": _words, "figure": _figure, "metric": _metric, "age": _age, "sign": _SIGNS.get}
    return environment.get_template("operator_report.html")


_PAGE: Final = _page()
