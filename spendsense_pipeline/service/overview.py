"""How things stand: customers, consent, personas, the queue, decisions, releases, what came back, fairness.

Counts of stored rows, and the newest day's tables. Does not belong here: any metric's definition
(``evaluation.metrics``), any customer by name (``customer_pages``).
"""

import datetime as dt
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy.orm import Session

from spendsense_pipeline import profiles, warehouse
from spendsense_pipeline.evaluation.report import ONE_A_DAY, SHARES
from spendsense_pipeline.governance import activity, endings, evaluation_records, queue
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.service import charts
from spendsense_pipeline.service.callers import Caller, person
from spendsense_pipeline.service.pane import number
from spendsense_pipeline.service.rendering import page, words
from spendsense_pipeline.service.state import of

router = APIRouter(include_in_schema=False)

DAYS_SHOWN: Final = 31
PAGE_OF_DAY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page of a day may do: it loads nothing, and names the hash of the style that stands in it itself."""
CONSENTS: Final = ("education and offers", "education only", "offers only")


@router.get("/desk/overview")
def overview(request: Request, caller: Annotated[Caller, Depends(person("read"))]) -> Response:
    """The page of figures and plots."""
    service = of(request)
    consents = service.live_scopes()
    with reading(service.engine) as session:
        governed = _governed(session, service.now())
    return page(
        request,
        "overview.html",
        caller=caller,
        consent=charts.bars(_consent_bars(consents)),
        day=_figures_of_day(service.settings.warehouse_root, consents),
        days=[one.stem for one in sorted(service.settings.reports.glob(ONE_A_DAY), reverse=True)[:DAYS_SHOWN]],
        **governed,
    )


@router.get("/desk/days/{day}")
def page_of_day(request: Request, day: dt.date, _caller: Annotated[Caller, Depends(person("read"))]) -> Response:
    """The page that a run wrote for its date."""
    page_file = of(request).settings.reports / f"{day}.html"
    if not page_file.is_file():
        raise HTTPException(404, f"no run wrote a page for {day}")
    return FileResponse(page_file, media_type="text/html", headers={"content-security-policy": PAGE_OF_DAY})


def _governed(session: Session, now: dt.datetime) -> dict[str, Any]:
    counts = queue.counts(session, now)
    return {
        "statuses": charts.bars({words(name): n for name, n in counts["recommendations"].items()}),
        "waiting": counts["recommendations"]["pending_approval"],
        "releases": counts["releases"],
        "latency": {
            name: None if ms is None else f"{ms:,.0f} ms" for name, ms in evaluation_records.latency(session).items()
        },
        "ages": charts.bars(activity.age_bands(session, now)),
        "operators": activity.decisions_by_operator(session),
        "wordings": activity.refused_by_wording(session),
        "ends": charts.bars([(words(cause), n) for cause, n in Counter(endings.causes(session)).most_common()]),
        "feedback": charts.bars({words(kind): n for kind, n in activity.feedback(session).items()}),
    }


def _consent_bars(consents: profiles.Consents) -> list[tuple[str, int]]:
    education, offers = (
        {user for user, scopes in consents.items() if scopes[scope]} for scope in ("education", "partner_offers")
    )
    return list(zip(CONSENTS, (len(education & offers), len(education - offers), len(offers - education)), strict=True))


def _figures_of_day(root: str, consents: profiles.Consents) -> dict[str, Any] | None:
    """What the newest day's tables say; None before anything was run."""
    try:
        counts = profiles.counts(root, consents)
    except warehouse.NotMaterialized:
        return None
    metrics = _newest_partition(root, "evaluation_metrics")
    windows = list(counts["personas"].values())
    personas = sorted({name for found in windows for name in found})
    return {
        "users": counts["users"],
        "personas": [
            (words(name), *rows)
            for name, *rows in zip(
                personas,
                *(
                    charts.bars({name: found.get(name, 0) for name in personas})
                    for found in counts["personas"].values()
                ),
                strict=True,
            )
        ],
        "insights": charts.bars(_insight_bars(root)),
        "as_of": metrics[0]["as_of"] if metrics else None,
        "metrics": [
            {"name": words(row["metric"]), "value": _metric_value(row), "definition": row["definition"]}
            for row in metrics
            if row["dimension"] is None and not row["metric"].startswith("persona_")
        ],
        "fairness": _fairness_table([row for row in metrics if row["dimension"] is not None]),
    }


def _persona_bars(personas: Sequence[str], found: Mapping[str, int]) -> list[dict[str, Any]]:
    return charts.bars({name: found.get(name, 0) for name in personas})


def _newest_partition(root: str, asset: str) -> list[dict[str, Any]]:
    table = warehouse.newest(root, asset)
    return [] if table is None else list(table.to_pylist())


def _insight_bars(root: str) -> list[tuple[str, int]]:
    """Insights of the newest day by kind, most frequent first."""
    table = warehouse.newest(root, "insights", ["insight"])
    counted = Counter(sorted(table["insight"].to_pylist()) if table is not None else ())
    return [(words(insight), number) for insight, number in counted.most_common()]


def _metric_value(row: Mapping[str, Any]) -> str:
    value = row["value"]
    if value is None or math.isnan(value):
        return "–"
    return f"{number(value * 100, 1)} %" if row["metric"] in SHARES else number(value, 2)


def _fairness_table(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By dimension: {dimension, bands, measures: [(name, [{share, of, width}])]}."""
    tables = []
    for dimension in dict.fromkeys(row["dimension"] for row in rows):
        cells = {(row["measure"], row["band"]): row for row in rows if row["dimension"] == dimension}
        bands = list(dict.fromkeys(band for _, band in cells))
        measures = list(dict.fromkeys(measure for measure, _ in cells))
        tables.append(
            {
                "dimension": words(dimension),
                "bands": bands,
                "measures": [(words(one), [_cell_rate(cells[one, band]) for band in bands]) for one in measures],
            }
        )
    return tables


def _cell_rate(row: Mapping[str, Any]) -> dict[str, Any]:
    value, below = row["value"], row["denominator"]
    if value is None or math.isnan(value):
        return {"share": "–", "of": "", "width": 0}
    return {"share": f"{value:.0%}", "of": f"{row['numerator']:,.0f} of {below:,.0f}", "width": round(value * 1000)}
