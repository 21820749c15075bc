"""The page of experiments: what may be said of each, with sizes and intervals.

Does not belong here: any figure; ``experiments.listing`` puts them together.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from spendsense_pipeline import warehouse
from spendsense_pipeline.service.callers import Caller, person
from spendsense_pipeline.service.rendering import page
from spendsense_pipeline.service.state import of

router = APIRouter(include_in_schema=False)


@router.get("/desk/experiments")
def experiments(request: Request, caller: Annotated[Caller, Depends(person("read"))]) -> Response:
    """Every experiment with its arms and the sentences that its figures allow."""
    from spendsense_pipeline.experiments.definition import experiments_in
    from spendsense_pipeline.experiments.summary import listing
    from spendsense_pipeline.frames import to_frame
    from spendsense_pipeline.governance.database import reading

    service = of(request)
    rows = warehouse.newest(service.settings.warehouse_root, "uplift")
    newest = None if rows is None else to_frame(rows)
    with reading(service.engine) as session:
        found = listing(session, experiments_in(service.settings.experiments), newest)
    for row in found:
        row["compared"] = [one | _drawn(one) for one in row["rows"] if one["family"] == "primary"]
    return page(request, "experiments.html", caller=caller, experiments=found)


def _drawn(row: dict[str, float]) -> dict[str, float | None]:
    """Where interval and estimate stand on a line of 1,000 with zero in its middle; None without figures."""
    reach = max(abs(row["low"]), abs(row["high"]))
    if not reach > 0:  # NaN too
        return {"x_low": None}
    return {f"x_{name}": round(500 + row[name] / reach * 480, 1) for name in ("low", "estimate", "high")}
