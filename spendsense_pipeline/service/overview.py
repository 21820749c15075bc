"""How things stand: customers, consent, personas, the queue, decisions, releases, what came back, fairness.

And what may be said of each experiment. Counts of stored rows, and the newest day's tables. Does not belong here: any
metric's definition (``evaluation.metrics``), any figure of an experiment (``experiments``), any customer by name
(``customer_pages``).
"""

import datetime as dt
from collections import Counter
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse

from spendsense_pipeline import profiles, warehouse
from spendsense_pipeline.evaluation.report import ONE_A_DAY, SMALLEST_GROUP, agreed_to, fairness_tables, overall
from spendsense_pipeline.governance import activity, endings, evaluation_records, queue
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.governance.models import SCOPES
from spendsense_pipeline.service import charts
from spendsense_pipeline.service.callers import PageReader
from spendsense_pipeline.service.rendering import page, words
from spendsense_pipeline.service.state import of

router = APIRouter(include_in_schema=False)

DAYS_SHOWN: Final = 31
PAGE_OF_DAY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page of a day may do: it loads nothing, and names the hash of the style that stands in it itself."""


@router.get("/desk/overview")
def overview(request: Request, caller: PageReader) -> Response:
    """The page of figures and plots."""
    service = of(request)
    consents = service.live_scopes()
    agreed = ({user for user, scopes in consents.items() if scopes[scope]} for scope in SCOPES)
    now = service.now()
    with reading(service.engine) as session:
        counts = queue.counts(session, now)
        latency = {
            name: None if ms is None else f"{ms:,.0f} ms" for name, ms in evaluation_records.latency(session).items()
        }
        governed: dict[str, Any] = {
            "statuses": charts.bars({words(name): n for name, n in counts["recommendations"].items()}),
            "waiting": counts["recommendations"]["pending_approval"],
            "releases": counts["releases"],
            "latency": latency,
            "ages": charts.bars(activity.age_bands(session, now)),
            "operators": activity.decisions_by_operator(session),
            "wordings": activity.refused_by_wording(session),
            "ends": charts.bars([(words(cause), n) for cause, n in Counter(endings.causes(session)).most_common()]),
            "feedback": charts.bars({words(kind): n for kind, n in activity.feedback(session).items()}),
        }
    return page(
        request,
        "overview.html",
        caller=caller,
        consent=charts.bars(agreed_to(*agreed)),
        day=_figures_of_day(service.settings.warehouse_root, consents),
        smallest=SMALLEST_GROUP,
        days=[one.stem for one in sorted(service.settings.reports.glob(ONE_A_DAY), reverse=True)[:DAYS_SHOWN]],
        **governed,
    )


@router.get("/desk/days/{day}")
def page_of_day(request: Request, day: dt.date, _caller: PageReader) -> Response:
    """The page that a run wrote for its date."""
    page_file = of(request).settings.reports / f"{day}.html"
    if not page_file.is_file():
        raise HTTPException(404, f"no run wrote a page for {day}")
    return FileResponse(page_file, media_type="text/html", headers={"content-security-policy": PAGE_OF_DAY})


def _figures_of_day(root: str, consents: profiles.Consents) -> dict[str, Any] | None:
    """What the newest day's tables say; None before anything was run."""
    try:
        counts = profiles.counts(root, consents)
    except warehouse.NotMaterialized:
        return None
    metrics = warehouse.newest_frame(root, "evaluation_metrics")
    insights = warehouse.newest(root, "insights", ["insight"])
    counted = Counter([] if insights is None else sorted(insights["insight"].to_pylist()))
    windows = list(counts["personas"].values())
    personas = sorted({name for found in windows for name in found})
    return {
        "users": counts["users"],
        "personas": [
            (words(name), *rows)
            for name, *rows in zip(
                personas,
                *(charts.bars({name: found.get(name, 0) for name in personas}) for found in windows),
                strict=True,
            )
        ],
        "insights": charts.bars([(words(insight), number) for insight, number in counted.most_common()]),
        "as_of": None if metrics is None else metrics["as_of"].iloc[0],
        "metrics": [] if metrics is None else overall(metrics, {}),
        "fairness": [] if metrics is None else fairness_tables(metrics),
    }


@router.get("/desk/experiments")
def experiments(request: Request, caller: PageReader) -> Response:
    """Every experiment with its arms and the sentences that its figures allow."""
    from spendsense_pipeline.experiments.summary import listing

    service = of(request)
    newest = warehouse.newest_frame(service.settings.warehouse_root, "uplift")
    with reading(service.engine) as session:
        found = listing(session, service.settings.experiments, newest)
    for row in found:
        row["compared"] = [one | _drawn(one) for one in row["rows"] if one["family"] == "primary"]
    return page(request, "experiments.html", caller=caller, experiments=found)


def _drawn(row: dict[str, float]) -> dict[str, float | None]:
    """Where interval and estimate stand on a line of 1,000 with zero in its middle; None without figures."""
    reach = max(abs(row["low"]), abs(row["high"]))
    if not reach > 0:  # NaN too
        return {"x_low": None}
    return {f"x_{name}": round(500 + row[name] / reach * 480, 1) for name in ("low", "estimate", "high")}
