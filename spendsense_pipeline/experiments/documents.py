"""The documents that a bank asks for, written from what is stored: model cards and the record of consent texts.

Belongs here: Markdown of counted rows (``templates/*.md``). Does not belong here: any claim that no row bears out.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import jinja2
import pandas as pd

from spendsense_pipeline.evaluation.report import SMALLEST_GROUP, words

DECIDED: Final = ["approved", "overridden", "rejected", "released", "held", "complained"]
"""What became of a wording's texts, in the order of the columns."""


def detectors(accuracy: pd.DataFrame | None, metrics: pd.DataFrame | None, thresholds: str, written_on: dt.date) -> str:
    """The model card of the detectors: ``accuracy`` as SignalAccuracy and ``metrics`` as EvaluationMetrics of the
    newest date, None where there are none; ``thresholds`` names the documents that define them."""
    known = [] if accuracy is None else accuracy.to_dict("records")
    groups = [] if metrics is None else metrics[metrics["dimension"].notna()].to_dict("records")
    measured = [
        (row["measure"], row["of"], _share_text(row["value"]), row["numerator"], row["denominator"])
        for row in known
        if not str(row["measure"]).endswith("_confusion")
    ]
    shares = [
        (words(row["measure"]), words(row["dimension"]), row["band"], _share_text(row["value"]), row["denominator"])
        for row in groups
        if row["denominator"] >= SMALLEST_GROUP
    ]
    return _page(
        "detectors", written_on, thresholds=thresholds, accuracy=known, measured=measured, groups=groups, shares=shares
    )


def wordings(texts: pd.DataFrame, sentences: Mapping[str, Sequence[str]], written_on: dt.date) -> str:
    """The model card of the wordings: ``texts`` as ``database_frames.texts``; ``sentences`` of each experiment."""
    by = ["template_id", "template_hash", "generator"]
    counted = texts.assign(released=texts["released_at"].notna(), complained=texts["complaints"] > 0, registered=1)
    counted = counted.assign(**{status: counted["status"] == status for status in DECIDED[:3]})
    counts = ["registered", *DECIDED]
    rows = [
        (row["template_id"], row["template_hash"][:12], row["generator"], *(row[name] for name in counts))
        for row in counted.groupby(by)[counts].sum().reset_index().to_dict("records")
    ]
    return _page("wordings", written_on, rows=rows, names=DECIDED, sentences=sentences)


def consent_texts(record: Iterable[Mapping[str, Any]], written_on: dt.date) -> str:
    """The record of consent texts (rows of ``governance.consent.texts``), each with its words."""
    return _page("consent_texts", written_on, record=record)


def retention(
    tables: Mapping[str, Sequence[str]],
    record: Iterable[Mapping[str, Any]],
    holds: Iterable[Mapping[str, Any]],
    stays: Iterable[tuple[str, str]],
    written_on: dt.date,
) -> str:
    """What is kept and since when, what an erasure leaves, which legal holds stand.

    ``tables`` maps a table to its partitions; ``record`` are rows {what, count, oldest, newest} of the governance
    database; ``holds`` as ``governance.holds.listed``; ``stays`` what an erasure leaves, with the reason.
    """
    return _page(
        "retention",
        written_on,
        tables=[(name, len(keys), keys[0], keys[-1]) for name, keys in tables.items() if keys],
        record=[[row[name] for name in ("what", "count", "oldest", "newest")] for row in record],
        holds=[
            [row[name] for name in ("hold_id", "placed_at", "operator_id", "reason", "erasure_waits")]
            for row in holds
            if row["lifted_at"] is None
        ],
        stays=stays,
    )


def _page(name: str, written_on: dt.date, **shown: Any) -> str:
    return _PAGES.get_template(f"{name}.md").render(written_on=written_on, **shown)


def _share_text(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1%}" if value <= 1 else f"{value:,.2f}"


def _cell_text(value: Any) -> str:
    """Counts with thousands apart, moments as days, a dash for what is not known."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "–"
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d}"
    return ("no", "yes")[value] if isinstance(value, bool) else f"{value:,.0f}"


_PAGES: Final = jinja2.Environment(  # noqa: S701 - Markdown, of our own rows
    loader=jinja2.PackageLoader("spendsense_pipeline.experiments"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters["cell"] = _cell_text
