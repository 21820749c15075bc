"""Whether the service lives, whether it can work, its figures for Prometheus, and its interface as a document."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import queue
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.service.callers import Caller, allow, public
from spendsense_pipeline.service.rendering import page
from spendsense_pipeline.service.state import Here, answer, of

router = APIRouter(tags=["service"])


@router.get("/healthz", dependencies=[Depends(public)])
def healthz() -> Response:
    """The process answers."""
    return answer({"status": "ok"})


@router.get("/readyz", dependencies=[Depends(public)])
def readyz(service: Here) -> Response:
    """The governance database answers and has the schema that this version needs; 503 where not."""
    try:
        with reading(service.engine):
            return answer({"status": "ready"})
    except SpendSenseError as error:
        return answer({"status": "not ready", "code": error.code}, 503)


@router.get("/metrics")
def metrics(request: Request, caller: Annotated[Caller, Depends(allow("read", "feed:read"))]) -> Response:
    """Requests and seconds by route, and the queue, in Prometheus' text format."""
    if caller.user_id is not None:
        raise HTTPException(403, "this token is for one customer, and these are figures of all")
    service = of(request)
    with reading(service.engine) as session:
        waiting = queue.waiting(session, service.now())
    lines = [
        f"# TYPE spendsense_queue_{name} gauge\nspendsense_queue_{name} {waiting[name] or 0}\n"
        for name in ("waiting", "near_expiry", "with_findings", "oldest_hours")
    ]
    body = generate_latest(request.app.state.metrics.registry) + "".join(lines).encode()
    return Response(body, media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json", dependencies=[Depends(public)])
def openapi(request: Request) -> Response:
    """The interface as an OpenAPI document."""
    return answer(request.app.openapi())


@router.get("/docs", include_in_schema=False, dependencies=[Depends(public)])
def docs(request: Request) -> Response:
    """The interface as a page to read."""
    document: dict[str, Any] = request.app.openapi()
    routes = [
        {"path": path, "method": method.upper(), **operation}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return page(request, "docs.html", routes=routes, schemas=document.get("components", {}).get("schemas", {}))
