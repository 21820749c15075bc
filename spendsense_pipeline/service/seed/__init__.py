"""The first version of the interface: the paths, parameters and field names that its clients know.

What an older client must find is a name on the wire here; what it must not get is refused by the same functions as
anywhere else. Unknown figures are null, counts and flags that are unknown 0 and false.
"""

from fastapi import APIRouter

from spendsense_pipeline.service.seed import (
    catalogue_routes,
    consent_routes,
    decision_routes,
    evaluation_routes,
    figure_routes,
    generation_routes,
    ingest_routes,
    operator_routes,
    user_routes,
)

router = APIRouter()
for room in (
    *(ingest_routes, figure_routes, user_routes, operator_routes, generation_routes, decision_routes),
    *(consent_routes, catalogue_routes, evaluation_routes),
):
    router.include_router(room.router)
