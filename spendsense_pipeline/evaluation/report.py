"""The operators' desk for a day: one HTML file to read what waits, decide, and carry the decisions to the pipeline.

Belongs here: what the page shows and how a figure is written on it. Its look and its behaviour are
``templates/operator_report.*``. The page loads nothing from anywhere, and no name or e-mail gets on it. Nothing is
decided by it either: it writes the run config and the commands that decide.
"""

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import jinja2
import pandas as pd
from markupsafe import Markup

from spendsense_pipeline.contracts import CONTRACTS, columns
from spendsense_pipeline.governance.models import SCOPES
from spendsense_pipeline.governance.queue import NEAR_EXPIRY
from spendsense_pipeline.personas.rules import RULES

ITEMS_AT_MOST: Final = 2_000
"""Waiting texts on the page; a browser still moves through them at once. `spendsense queue` knows the others."""
CUSTOMERS_AT_MOST: Final = 1_000
"""Customers on the page, those with something waiting first; `spendsense users` lists all."""
HISTORY: Final = 30
"""Earlier dates that the metrics' history shows."""

SHARES: Final = frozenset(
    {
        "coverage",
        "explainability",
        "auditability",
        "offer_share",
        "offer_eligibility_rate",
        "operator_agreement",
        "override_rate",
        "rejection_rate",
    }
)
"""Metrics that are shares of a whole and are written as per cent."""

NO_MATCH: Final = "no persona matched"

_UNITS: Final = {
    column["name"]: column["unit"]
    for table in ("features_30d", "recurring_streams")
    for column in columns(CONTRACTS[table])
}
_SIGNS: Final = {">=": "≥", "<=": "≤", "==": "=", ">": ">", "<": "<"}
_SIGNALS: Final = [
    column["name"]
    for column in columns(CONTRACTS["features_30d"])
    if column["name"] not in ("user_id", "as_of", "window_days", "currency_factor")
]
_STREAM: Final = ("merchant", "kind", "cadence", "status", "occurrences", "typical_amount", "monthly_cost", "last_date")


def operator_report(
    as_of: dt.date,
    *,
    generated_at: dt.datetime,
    queue: Sequence[Mapping[str, Any]],
    statuses: Mapping[str, int],
    releases: Mapping[str, int],
    blocked: Mapping[str, int],
    consents: pd.DataFrame,
    features_30d: pd.DataFrame,
    features_180d: pd.DataFrame,
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
    streams: pd.DataFrame,
    matches: pd.DataFrame,
    templates: pd.DataFrame,
    spent: Sequence[Mapping[str, Any]],
    decisions: pd.DataFrame,
    metrics: pd.DataFrame,
    history: pd.DataFrame,
    audit_head: Mapping[str, Any],
    operators: Sequence[str],
    review_op: str,
) -> str:
    """The page as one HTML document, with nothing to load and no personal name.

    - ``queue``: the waiting texts in the operators' order (``governance.queue.to_read``), of which ``ITEMS_AT_MOST``
      are shown.
    - ``statuses``: recommendations by status, of all days; ``releases``: {released, recalled}; ``blocked``: what the
      gate holds back now, by reason.
    - ``spent``: what language models took (``governance.generations.spent``).
    - ``consents``: live ones (``governance.frames.consents``); ``decisions``: by operator
      (``metrics.decisions_by_operator``).
    - ``metrics``: contract ``EvaluationMetrics``; ``history``: the same of earlier dates.
    - ``audit_head``: {count, hash}; ``operators``: ids of those who may decide; ``review_op``: the name under which the
      job ``review_recommendations`` takes its config.

    The other frames are the day's tables.
    """
    items = [_item(row, generated_at) for row in queue[:ITEMS_AT_MOST]]
    waiting = statuses.get("pending_approval", 0)
    customers = _customers(
        features_30d, features_180d, personas_30d, personas_180d, streams, consents, {item["user"] for item in items}
    )
    desk = {
        "as_of": as_of.isoformat(),
        "generated_at": generated_at.astimezone(dt.UTC).isoformat(timespec="seconds"),
        "review_op": review_op,
        "items": items,
        "templates": _templates(items),
        "customers": customers,
    }
    return _PAGE.render(
        as_of=as_of,
        generated_at=generated_at.astimezone(dt.UTC),
        desk=_data(desk),
        shown=len(items),
        waiting=waiting,
        critical=sum(item["severity"] == 2 for item in items),
        notable=sum(item["severity"] == 1 for item in items),
        near=sum(item["near"] for item in items),
        new_wordings=len({(item["template"], item["version"]) for item in items if not item["approved"]}),
        operators=operators,
        customers_shown=len(customers),
        customers_total=len(features_30d),
        consent=_consent(consents, features_30d),
        personas=_personas(personas_30d, personas_180d),
        sizes=(len(personas_30d), len(personas_180d)),
        movement=movement(personas_30d, personas_180d),
        funnel=_funnel(statuses, releases),
        ended={name: statuses.get(name, 0) for name in ("rejected", "superseded", "expired", "voided")},
        releases=releases,
        blocked=sorted(blocked.items(), key=lambda reason: (-reason[1], reason[0])),
        refused=refused_offers(matches),
        pieces=_pieces(templates),
        spent=[_spent(one) for one in spent],
        decisions=decisions.to_dict("records"),
        metrics=_metrics(metrics, history),
        fairness=_fairness(metrics),
        audit_head=audit_head,
    )


def _item(row: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    """A waiting text with its figures, the criteria that were met, and what the guardrails found."""
    severities = {str(finding["severity"]) for finding in row["findings"]}
    return {
        "id": row["recommendation_id"],
        "hash": row["content_hash"],
        "user": row["user_id"],
        "as_of": str(row["as_of"]),
        "persona": words(row["persona"]),
        "type": words(row["content_type"]),
        "title": row["title"],
        "content": row["content"],
        "rationale": row["rationale"],
        "template": row["template_id"],
        "version": row["template_hash"][:12],  # other words of the same template are to be read anew
        "approved": bool(row["wording_approved"]),
        "age": age(row["age_hours"]),
        "expires": row["expires_at"].astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M"),
        "near": row["expires_at"] <= now + NEAR_EXPIRY,
        "severity": 2 if "critical" in severities else 1 if severities else 0,
        "findings": [[str(one["severity"]), words(str(one["check"])), str(one["message"])] for one in row["findings"]],
        "slots": [
            {
                "name": words(name),
                "shown": str(slot["shown"]),
                "signal": words(str(slot["signal"])),
                "value": figure(slot["value"], str(slot["signal"])),
                "order": slot["value"] if isinstance(slot["value"], int | float) else None,
            }
            for name, slot in row["slots"].items()
        ],
        "reasons": reasons_met(row["reasons"], row["persona"]),
        "author": row["author"],
        "original": row["original"],
    }


def _templates(items: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Template and version → its figures, each with the lowest and highest that it shows to anybody, and for whom."""
    found = {}

    def wording(item: Mapping[str, Any]) -> str:
        return f"{item['template']} {item['version']}"

    for template, group in groupby(sorted(items, key=wording), wording):
        shown: dict[str, list[tuple[float, str, str]]] = {}
        for item in group:
            for slot in item["slots"]:
                if slot["order"] is not None:
                    shown.setdefault(slot["name"], []).append((float(slot["order"]), slot["shown"], item["id"]))
        found[template] = [{"name": name, "low": min(seen)[1:], "high": max(seen)[1:]} for name, seen in shown.items()]
    return found


def _customers(
    features_30d: pd.DataFrame,
    features_180d: pd.DataFrame,
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
    streams: pd.DataFrame,
    consents: pd.DataFrame,
    waiting: set[str],
) -> list[dict[str, Any]]:
    """Customers by id with consent, personas, signals of both windows and what repeats."""
    ids = sorted(features_30d["user_id"], key=lambda user: (user not in waiting, user))[:CUSTOMERS_AT_MOST]
    chosen = sorted(ids)
    scopes = consents[consents["user_id"].isin(chosen)].groupby("user_id")["scope"].agg(sorted).to_dict()
    windows = [_by_customer(frame, chosen) for frame in (features_30d, features_180d)]
    verdicts = [_by_customer(frame, chosen) for frame in (personas_30d, personas_180d)]
    repeats: dict[str, list[list[str]]] = {}
    for row in streams[streams["user_id"].isin(chosen)].sort_values(["merchant", "stream_id"]).to_dict("records"):
        repeats.setdefault(row["user_id"], []).append([words(figure(row[name], name)) for name in _STREAM])
    return [
        {
            "id": user,
            "consent": [words(scope) for scope in scopes.get(user, [])],
            "personas": [_verdict(found.get(user)) for found in verdicts],
            "reasons": [
                reasons_met(found[user]["reasons"], found[user]["persona"]) if user in found else []
                for found in verdicts
            ],
            "signals": [
                [words(signal), *(figure(found[user][signal], signal) if user in found else "–" for found in windows)]
                for signal in _SIGNALS
            ],
            "streams": repeats.get(user, []),
        }
        for user in chosen
    ]


def _by_customer(frame: pd.DataFrame, chosen: Sequence[str]) -> dict[str, dict[Any, Any]]:
    return {row["user_id"]: row for row in frame[frame["user_id"].isin(chosen)].to_dict("records")}


def _verdict(row: Mapping[Any, Any] | None) -> str:
    if row is None:
        return "–"
    return NO_MATCH if row["is_fallback"] else words(row["persona"])


def reasons_met(reasons: Any, persona: str) -> list[str]:
    """The criteria of a persona that were met, as people read them: ``max utilization 85.3 % (≥ 50.0 %)``."""
    met = [
        reason
        for reason in (json.loads(reasons) if isinstance(reasons, str) else reasons)
        if reason["met"] and str(reason["clause"]).startswith(f"{persona}.")
    ]
    return [
        f"{words(one['signal'])} {figure(one['value'], one['signal'])} "
        f"({_SIGNS[one['operator']]} {figure(one['threshold'], one['signal'])})"
        for one in met
    ]


def _consent(consents: pd.DataFrame, features: pd.DataFrame) -> list[tuple[str, int]]:
    """How many of the day's customers agreed to what."""
    agreed = [set(consents.loc[consents["scope"] == scope, "user_id"]) for scope in SCOPES]
    education, offers = (users & set(features["user_id"]) for users in agreed)
    return [
        ("education and offers", len(education & offers)),
        ("education only", len(education - offers)),
        ("offers only", len(offers - education)),
        ("nothing", len(features) - len(education | offers)),
    ]


def _labels(personas: pd.DataFrame) -> pd.Series:
    """Each customer's persona as it is counted: a fallback is no persona of theirs."""
    labels = personas["persona"].where(~personas["is_fallback"].astype(bool), NO_MATCH)
    return labels.set_axis(personas["user_id"])


def persona_names() -> list[str]:
    """The personas in the order of the rules, and what is said where none matched."""
    return [*dict.fromkeys(rule.persona for rule in RULES), NO_MATCH]


def _personas(personas_30d: pd.DataFrame, personas_180d: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """Persona → customers in each window, in the order of the rules; fallbacks are a line of their own."""
    counts = [_labels(personas).value_counts() for personas in (personas_30d, personas_180d)]
    return [(name, [int(count.get(name, 0)) for count in counts]) for name in persona_names()]


def movement(personas_30d: pd.DataFrame, personas_180d: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """Persona by 180 days → customers by their persona of 30 days, both in the order of ``persona_names``."""
    names = persona_names()
    both = pd.DataFrame({"long": _labels(personas_180d), "short": _labels(personas_30d)}).dropna()
    counted = both.value_counts()
    return [(long, [int(counted.get((long, short), 0)) for short in names]) for long in names]


def _funnel(statuses: Mapping[str, int], releases: Mapping[str, int]) -> list[tuple[str, int]]:
    """From everything that was ever registered to what customers may see."""
    approved = statuses.get("approved", 0) + statuses.get("overridden", 0)
    return [
        ("registered", sum(statuses.values())),
        ("waiting", statuses.get("pending_approval", 0)),
        ("approved or overridden", approved),
        ("released", releases["released"]),
        ("released and standing", releases["released"] - releases["recalled"]),
    ]


def refused_offers(matches: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Why products are not shown: (reason code, products × customers, customers), most frequent first."""
    told = matches[["user_id", "refused"]].assign(reason=matches["refused"].map(json.loads)).explode("reason")
    counted = told.dropna(subset="reason").groupby("reason")["user_id"].agg(["size", "nunique"])
    ordered = counted.sort_values("size", ascending=False, kind="stable")
    return [(str(reason), int(row["size"]), int(row["nunique"])) for reason, row in ordered.iterrows()]


def _pieces(templates: pd.DataFrame) -> list[tuple[str, int]]:
    """Who wrote the day's pieces, and how many."""
    pieces = templates.drop_duplicates("template_id")
    wrote = pieces["model"].where(pieces["model"].notna(), pieces["generator"])
    return [(str(name), int(n)) for name, n in wrote.value_counts().items()]


def _spent(one: Mapping[str, Any]) -> dict[str, Any]:
    """What a model took, with the mean and the 95th percentile of its time."""
    times = pd.Series(one["latency_ms"], dtype=float)
    return {
        **one,
        "avg": f"{times.mean():,.0f} ms" if len(times) else "–",
        "p95": f"{times.quantile(0.95):,.0f} ms" if len(times) else "–",
        "cost": "unknown" if one["cost"] is None else f"${one['cost']:,.4f}",
    }


def _metrics(metrics: pd.DataFrame, history: pd.DataFrame) -> list[dict[Any, Any]]:
    """The metrics of everybody (not by group) with the values of earlier dates, oldest first."""
    overall = metrics[metrics["dimension"].isna() & ~metrics["metric"].str.startswith("persona_")]
    before = {
        name: [(str(row["as_of"]), row["value"]) for row in group.sort_values("as_of").tail(HISTORY).to_dict("records")]
        for name, group in history.dropna(subset="value").groupby("metric")
    }
    rows = []
    for row in overall.to_dict("records"):
        seen = [*before.get(row["metric"], [])]
        if pd.notna(row["value"]):
            seen.append((str(row["as_of"]), row["value"]))
        rows.append({**row, "shown": metric_figure(row), "line": _line([value for _, value in seen]), "seen": seen})
    return rows


def _line(values: Sequence[float], width: float = 96, height: float = 20) -> str:
    """The points of a small line through the values, lowest at the bottom; empty for fewer than two."""
    if len(values) < 2:
        return ""
    low, span = min(values), (max(values) - min(values)) or 1
    step = width / (len(values) - 1)
    return " ".join(
        f"{2 + n * step:.1f},{height + 2 - (value - low) / span * height:.1f}" for n, value in enumerate(values)
    )


def _fairness(metrics: pd.DataFrame) -> list[tuple[str, list[str], list[tuple[str, list[dict[Any, Any]]]]]]:
    """By dimension: (its name, the measures, [(band, a metric's row for each measure)])."""
    grouped = metrics[metrics["dimension"].notna()]
    tables = []
    for dimension, rows in grouped.groupby("dimension", sort=False):
        bands = list(dict.fromkeys(rows["band"]))
        measures = list(dict.fromkeys(rows["measure"]))
        cells = {(row["band"], row["measure"]): row for row in rows.to_dict("records")}
        tables.append((str(dimension), measures, [(band, [cells[band, one] for one in measures]) for band in bands]))
    return tables


def words(name: str) -> str:
    """A column's or persona's name for reading."""
    return name.replace("_", " ")


def figure(value: Any, signal: str = "") -> str:
    """A signal's value in its unit: fractions as per cent, money with two decimals, unknown as a dash."""
    if value is None or (not isinstance(value, str | dict | list) and pd.isna(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
    unit = _UNITS.get(signal, "")
    if unit == "fraction":
        return f"{value * 100:.1f} %"
    if unit.startswith("money"):
        return f"{value:,.2f}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def metric_figure(row: Mapping[Any, Any]) -> str:
    """A metric's value as people read it."""
    if pd.isna(row["value"]):
        return "nothing to measure"
    return f"{row['value'] * 100:.1f} %" if row["metric"] in SHARES else figure(float(row["value"]))


def age(hours: float) -> str:
    """``5 h``, from two days on ``3 days``."""
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


def _data(value: Any) -> Markup:
    """JSON that may stand inside a script element: nothing in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped just above, as JSON allows


def _page() -> jinja2.Template:
    loader = jinja2.PackageLoader("spendsense_pipeline.evaluation")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": words, "figure": figure}
    # Our own style and script, and by their hashes nothing else: text that got past all escaping could still not run.
    for kind in ("css", "js"):
        source = loader.get_source(environment, f"operator_report.{kind}")[0]
        hashed = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        environment.globals[kind] = Markup(source)  # noqa: S704 - a file of ours
        environment.globals[f"{kind}_hash"] = f"sha256-{hashed}"
    return environment.get_template("operator_report.html")


_PAGE: Final = _page()
