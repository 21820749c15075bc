"""Routes that answer with and without a final slash, and what several of them have: parameters, the rule to read."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeVar

from fastapi import APIRouter, Depends, Query

from spendsense_pipeline.governance.models import STATUSES
from spendsense_pipeline.service.callers import Caller, allow

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

Reader = Annotated[Caller, Depends(allow("read"))]
Days = Annotated[int, Query(ge=1, le=365, description="Length of the window, in days.")]
Window = Annotated[int | None, Query(ge=1, le=365, description="A window beside the standard ones, in days.")]
Status = Literal[*STATUSES]  # type: ignore[valid-type]
WINDOWS: Final = (30, 180)


class Routes(APIRouter):
    """A router whose routes are reached with and without a final slash, without a redirect.

    The form that is given stands in the OpenAPI document.

    >>> routes = Routes(tags=["users"])
    >>> @routes.both("GET", "/users/")
    """

    def both(self, method: str, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Register the endpoint under both forms of the path; ``options`` as those of ``add_api_route``."""
        other = path.removesuffix("/") if path.endswith("/") else f"{path}/"

        def decorate(endpoint: Endpoint) -> Endpoint:
            self.add_api_route(path, endpoint, methods=[method], **options)
            self.add_api_route(other, endpoint, methods=[method], include_in_schema=False, **options)
            return endpoint

        return decorate
