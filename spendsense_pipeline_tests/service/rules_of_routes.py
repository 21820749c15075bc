"""Which rules a route has, for the tests that none is without one."""

from typing import Any


def rules_of(route: Any) -> list[Any]:
    """The rules of ``service.callers`` among a route's dependencies."""
    found: list[Any] = []
    pending = list(getattr(getattr(route, "dependant", None), "dependencies", []))
    while pending:
        dependant = pending.pop()
        if hasattr(dependant.call, "permissions"):
            found.append(dependant.call)
        pending += dependant.dependencies
    return found
