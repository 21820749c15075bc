"""The record of a day: one HTML file with what was measured, decided, released and refused, in figures of groups.

Belongs here: what the page shows and how a figure is written on it. Its look is ``templates/operator_report.*``. The
page loads nothing, runs no script and shows no customer: no id, name, text or figure of one. Reading texts and deciding
on them do not belong here; the desk of ``spendsense serve``, the commands and the job ``review_recommendations`` do.
"""

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from spendsense_pipeline.durations import NEAR_EXPIRY
from spendsense_pipeline.governance.models import OPEN, SCOPES, STATUSES
from spendsense_pipeline.personas.rules import BY_PRIORITY

ONE_A_DAY: Final = "????-??-??.html"
"""How pages are called, by their date."""
HISTORY: Final = 30
"""Earlier dates that the lines of metrics and personas show."""
SMALLEST_GROUP: Final = 5
"""Groups of fewer people or texts get no rate: it would be nearly one person's own, and says nothing of a group."""

SHARES: Final = (
    *("coverage", "explainability", "auditability", "offer_share", "offer_eligibility_rate"),
    *("operator_agreement", "override_rate", "rejection_rate"),
)
"""Metrics that are shares of a whole and are written as per cent."""

NO_MATCH: Final = "no persona matched"


@dataclass(frozen=True)
class ReviewState:
    """Consent, queue, decisions and releases of all days, as they stood when the page was written."""

    consents: pd.DataFrame
    """Live ones (``governance.database_frames.consents``)."""
    waiting: Mapping[str, Any]
    """The queue in figures (``governance.queue.waiting``)."""
    ages: Sequence[tuple[str, int]]
    """How many texts wait in each band of age, youngest first."""
    statuses: Mapping[str, int]
    """Recommendations by status."""
    released: int
    """Releases, ended ones among them."""
    recalls: Mapping[str, int]
    """Releases that ended, by cause."""
    feedback: Mapping[str, int]
    """What came back about releases, by kind (``governance.feedback.counts``)."""
    blocked: Mapping[str, int]
    """What the gate holds back, by reason."""
    decisions: pd.DataFrame
    """By operator (``metrics.decisions_by_operator``)."""
    models: Sequence[Mapping[str, Any]]
    """What each language model took (``governance.generations.spent``)."""
    audit_head: Mapping[str, Any]
    """The end of the audit chain: {count, hash}."""


def operator_report(
    as_of: dt.date,
    generated_at: dt.datetime,
    review: ReviewState,
    *,
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
    matches: pd.DataFrame,
    templates: pd.DataFrame,
    metrics: pd.DataFrame,
    history: pd.DataFrame,
) -> str:
    """The page as one HTML document with nothing to load and no customer on it.

    ``metrics``: contract ``EvaluationMetrics``; ``history``: the same of earlier dates. The other frames are the day's
    tables; each customer of the day has one row in ``personas_30d``.
    """
    lines = _lines(metrics, history)
    pieces = templates.drop_duplicates("template_id")
    wrote = pieces["model"].where(pieces["model"].notna(), pieces["generator"])
    standing = review.released - sum(review.recalls.values())
    customers, live = set(personas_30d["user_id"]), review.consents
    agreed = [customers & set(live.loc[live["scope"] == scope, "user_id"]) for scope in SCOPES]
    return _PAGE.render(
        as_of=as_of,
        generated_at=generated_at.astimezone(dt.UTC),
        waiting=review.waiting,
        near_days=NEAR_EXPIRY.days,
        ages=review.ages,
        standing=standing,
        customers=len(personas_30d),
        consent=[*agreed_to(*agreed), ("nothing", len(customers - set.union(*agreed)))],
        personas=_persona_counts(personas_30d, personas_180d, lines),
        sizes=(len(personas_30d), len(personas_180d)),
        movement=movement(personas_30d, personas_180d),
        funnel=[  # from everything that was ever registered to what customers may see
            ("registered", sum(review.statuses.values())),
            ("waiting", review.statuses.get("pending_approval", 0)),
            ("approved or overridden", sum(review.statuses.get(status, 0) for status in ("approved", "overridden"))),
            ("released", review.released),
            ("released and standing", standing),
        ],
        ended=[(status, review.statuses.get(status, 0)) for status in STATUSES if status not in OPEN],
        recalls=_most_first(review.recalls),
        feedback=list(review.feedback.items()),
        blocked=_most_first(review.blocked),
        refused=refused_offers(matches),
        pieces=[(str(name), int(n)) for name, n in wrote.value_counts().items()],
        models=[_model(model) for model in review.models],
        decisions=review.decisions.to_dict("records"),
        metrics=overall(metrics, lines),
        fairness=fairness_tables(metrics),
        smallest=SMALLEST_GROUP,
        audit_head=review.audit_head,
    )


def agreed_to(education: set[str], offers: set[str]) -> list[tuple[str, int]]:
    """How many customers agreed to what, of those who agreed to education and to offers."""
    return [
        ("education and offers", len(education & offers)),
        ("education only", len(education - offers)),
        ("offers only", len(offers - education)),
    ]


def _labels(personas: pd.DataFrame) -> pd.Series:
    """Each customer's persona as it is counted: a fallback is no persona of theirs."""
    labels = personas["persona"].where(~personas["is_fallback"].astype(bool), NO_MATCH)
    return labels.set_axis(personas["user_id"])


def persona_names() -> list[str]:
    """The personas in the order of the rules, and the label of customers whom none matched."""
    return [*BY_PRIORITY, NO_MATCH]


def _persona_counts(
    personas_30d: pd.DataFrame, personas_180d: pd.DataFrame, lines: Mapping[str, "Line"]
) -> list[tuple[str, list[int], "Line | None"]]:
    """(Persona, customers in each window, line of the 30 days' count), in the order of ``persona_names``."""
    counts = [_labels(personas).value_counts() for personas in (personas_30d, personas_180d)]
    return [
        (
            name,
            [int(count.get(name, 0)) for count in counts],
            lines.get(f"persona_30d_{'fallback' if name == NO_MATCH else name}"),
        )
        for name in persona_names()
    ]


def movement(personas_30d: pd.DataFrame, personas_180d: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """Persona by 180 days → customers by their persona of 30 days, both in the order of ``persona_names``."""
    names = persona_names()
    both = pd.DataFrame({"long": _labels(personas_180d), "short": _labels(personas_30d)}).dropna()
    counted = both.value_counts()
    return [(long, [int(counted.get((long, short), 0)) for short in names]) for long in names]


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def refused_offers(matches: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Why products are not shown: (reason code, products × customers, customers), most frequent first."""
    combination, written = pd.factorize(matches["refused"])
    customer, _ = pd.factorize(matches["user_id"])
    combinations = [json.loads(one) for one in written]  # few occur
    counted = []
    for reason in sorted({reason for reasons in combinations for reason in reasons}):
        rows = np.array([reason in reasons for reasons in combinations])[combination]
        counted.append((reason, int(rows.sum()), len(np.unique(customer[rows]))))
    return sorted(counted, key=lambda one: -one[1])


def _model(spent: Mapping[str, Any]) -> dict[str, Any]:
    """What a model took, with the mean and the 95th percentile of its time."""
    times = pd.Series(spent["latency_ms"], dtype=float)
    return {
        **spent,
        "mean": f"{times.mean():,.0f} ms" if len(times) else "–",
        "p95": f"{times.quantile(0.95):,.0f} ms" if len(times) else "–",
        "cost": "unknown" if spent["cost"] is None else f"${spent['cost']:,.4f}",
    }


class Line(NamedTuple):
    """A metric over its dates as a small line."""

    points: str
    described: str


def _lines(metrics: pd.DataFrame, history: pd.DataFrame) -> dict[str, Line]:
    """Metric → its line over earlier dates and the day; of those with at least two values."""
    measured = pd.concat([history, metrics]).dropna(subset="value").sort_values("as_of", kind="stable")
    return {
        str(metric): _metric_line(str(metric), rows.tail(HISTORY + 1))
        for metric, rows in measured.groupby("metric")
        if len(rows) > 1
    }


def _metric_line(metric: str, rows: pd.DataFrame) -> Line:
    width, height = 96, 20
    values = [float(value) for value in rows["value"]]
    low, high = min(values), max(values)
    step = width / (len(values) - 1)
    points = [
        f"{2 + n * step:.1f},{2 + height * ((high - value) / (high - low) if high > low else 0.5):.1f}"
        for n, value in enumerate(values)
    ]
    ends = f"lowest {metric_figure(metric, low)}, highest {metric_figure(metric, high)}"
    return Line(" ".join(points), f"{len(values)} dates from {rows['as_of'].iloc[0]}, {ends}")


def overall(metrics: pd.DataFrame, lines: Mapping[str, Line]) -> list[dict[Any, Any]]:
    """The metrics of everybody (not by group) as they are shown; personas have a table of their own."""
    rows = metrics[metrics["dimension"].isna() & ~metrics["metric"].str.startswith("persona_")]
    return [
        {**row, "shown": metric_figure(row["metric"], row["value"]), "line": lines.get(row["metric"])}
        for row in rows.to_dict("records")
    ]


class GroupShown(NamedTuple):
    """A group's rate, of how many, and the rate in thousandths; no rate of a group that is too small for one."""

    rate: str
    size: str
    width: int = 0


def fairness_tables(metrics: pd.DataFrame) -> list[tuple[str, list[str], list[tuple[str, list[GroupShown]]]]]:
    """By dimension: (its name, the measures, [(band, a group for each measure)])."""
    grouped = metrics[metrics["dimension"].notna()]
    tables = []
    for dimension, rows in grouped.groupby("dimension", sort=False):
        bands, measures = list(dict.fromkeys(rows["band"])), list(dict.fromkeys(rows["measure"]))
        cells = {(row["band"], row["measure"]): _group_rate(row) for row in rows.to_dict("records")}
        shown = [(band, [cells[band, measure] for measure in measures]) for band in bands]
        tables.append((str(dimension), measures, shown))
    return tables


def _group_rate(row: Mapping[Any, Any]) -> GroupShown:
    if row["denominator"] < SMALLEST_GROUP:
        return GroupShown("", f"fewer than {SMALLEST_GROUP}") if row["denominator"] else GroupShown("–", "")
    return GroupShown(f"{row['value']:.0%}", f"of {number(row['denominator'])}", round(row["value"] * 1000))


def words(name: str) -> str:
    """A column's or persona's name for reading."""
    return name.replace("_", " ")


def number(value: float) -> str:
    """``1,234.5``: at most two decimals, and none that say nothing."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def metric_figure(metric: str, value: float) -> str:
    """A metric's value for reading."""
    if pd.isna(value):
        return "nothing to measure"
    return f"{value * 100:.1f} %" if metric in SHARES else number(value)


def age(hours: float) -> str:
    """``5 h``, from two days on ``3 days``."""
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


def _page() -> jinja2.Template:
    loader = jinja2.PackageLoader("spendsense_pipeline.evaluation")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"words": words, "number": number, "age": age}
    # Our own style by its hash and nothing else: text that got past all escaping could neither run nor load anything.
    style = loader.get_source(environment, "operator_report.css")[0]
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment.globals |= {"style": Markup(style), "style_hash": f"sha256-{hashed}"}  # noqa: S704 - a file of ours
    return environment.get_template("operator_report.html")


_PAGE: Final = _page()
