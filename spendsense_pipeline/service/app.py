"""The application: routes, guard, and how errors read.

``create_app`` takes all that it needs; ``cli/service_commands.py`` starts it. Errors have ``detail``, a string, and
``code`` beside it; only invalid parameters have the list that FastAPI gives.
"""

from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.service import (
    customer_pages,
    desk,
    health,
    login,
    manage,
    me,
    overview,
    seed,
    v1,
)
from spendsense_pipeline.service.callers import NotLoggedIn
from spendsense_pipeline.service.guard import LARGEST_BODY, Guard, Metrics
from spendsense_pipeline.service.rendering import STATIC, page
from spendsense_pipeline.service.state import Service, answer, spelled, wants_page

STATUS: Final = {
    "invalid_credentials": 401,
    "locked": 429,
    "database_locked": 503,
    "database_unreachable": 503,
    "database_not_migrated": 503,
    "unreadable_table": 503,
    "disk_full": 507,
    "not_materialized": 409,
    "too_many": 422,
    "weak_password": 422,
    "no_features": 400,
    "no_persona": 400,
    "not_a_customer": 400,
    "without_consent": 403,
}
"""HTTP status of an error's code; ``unknown_…`` is 404, ``invalid_…`` 422, and any other refusal 409."""


def create_app(service: Service) -> FastAPI:
    """The service as an ASGI application."""
    app = FastAPI(
        title="SpendSense",
        version="2",
        summary="Financial education that customers agreed to get and an operator agreed to send.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.add_exception_handler(SpendSenseError, _refused)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(NotLoggedIn, _to_login)
    app.state.service = service
    app.state.metrics = Metrics()
    for room in (v1, desk, health, login, seed, overview, customer_pages, manage, me):
        app.include_router(room.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=LARGEST_BODY)
    app.add_middleware(
        CORSMiddleware, allow_origins=service.origins, allow_credentials=True, allow_methods=["*"], allow_headers=["*"]
    )
    ancestors = " ".join(("'self'", *service.origins))
    app.add_middleware(Guard, rate=service.settings.rate_limit, metrics=app.state.metrics, ancestors=ancestors)
    return app


def _refused(request: Request, error: Any) -> Response:
    """A refusal of ours, or one of HTTP's, as a page or for programs."""
    if not isinstance(error, SpendSenseError):
        shown, status = {"detail": str(error.detail)}, error.status_code
    else:
        code = error.code
        otherwise = 404 if code.startswith("unknown_") else 422 if code.startswith("invalid_") else 409
        shown, status = {"detail": str(error), "code": code}, STATUS.get(code, otherwise)
    if wants_page(request):
        return page(request, "error.html", status=status, detail=shown["detail"])
    return answer(shown, status, getattr(error, "headers", None))


def _invalid_request(request: Request, error: Any) -> Response:
    if wants_page(request):
        said = "; ".join(f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors())
        return page(request, "error.html", status=422, detail=said)
    faults = [
        {name: spelled(fault[name], most=100) for name in ("type", "loc", "msg", "input", "ctx") if name in fault}
        for fault in error.errors()
    ]
    return answer({"detail": faults}, 422)


def _to_login(request: Request, _error: Exception) -> Response:
    if wants_page(request):
        return RedirectResponse(f"/login?{urlencode({'next': quote(request.scope['path'])})}", 303)
    return answer({"detail": "log in first", "code": "not_logged_in"}, 401)
