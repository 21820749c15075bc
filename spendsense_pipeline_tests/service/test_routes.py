"""Every route has a rule; each role and each token gets what its rule says and nothing else."""

from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount

from spendsense_pipeline.governance.models import ROLES, TOKEN_SCOPES
from spendsense_pipeline.service.callers import ROLE_PERMISSIONS
from spendsense_pipeline_tests.service.conftest import Town
from spendsense_pipeline_tests.service.rules_of_routes import rules_of

NAMES = {"viewer": "vera", "operator": "ada", "auditor": "otto", "admin": "root"}
OPEN = {"/", "/healthz", "/readyz", "/openapi.json", "/docs", "/login", "/login/link", "/login/issuer"}
OPEN |= {"/login/callback"}


def routes(place: Town) -> list[APIRoute]:
    """All routes of the application, those of its routers too."""
    found: list[APIRoute] = []
    pending: list[Any] = list(place.app.routes)
    while pending:
        one = pending.pop()
        if isinstance(one, APIRoute):
            found.append(one)
        elif not isinstance(one, Mount):
            pending += getattr(one, "routes", None) or getattr(one.original_router, "routes", [])
    return found


def address(route: APIRoute) -> str:
    return route.path.replace("{", "").replace("}", "")


def prefixed(place: Town) -> list[tuple[str, str, Any]]:
    """(method, path, rule) as clients call them, from the interface's document and the routes' own rules."""
    found = []
    for route in routes(place):
        (rule,) = rules_of(route) or [None]
        for method in sorted(route.methods or ()):
            found.append((method, route.path, rule))
    return found


def test_no_route_is_without_a_rule_and_only_the_named_ones_are_open(place: Town) -> None:
    found = prefixed(place)
    assert len(found) > 40
    without = [(method, path) for method, path, rule in found if rule is None]
    assert without == []
    public = {path for _, path, rule in found if rule.permissions == ("public",)}
    assert public == OPEN
    known = {"public", "customer", *TOKEN_SCOPES, *(one for kinds in ROLE_PERMISSIONS.values() for one in kinds)}
    assert {one for _, _, rule in found for one in rule.permissions} <= known


def answer_of(client: Any, method: str, path: str) -> int:
    """What a caller gets at the door; bodies are empty, so whoever is let in is told that they are wrong."""
    target = path.replace("{", "x").replace("}", "")
    status: int = client.request(method, target, json={} if method in ("POST", "PUT") else None).status_code
    return status


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_let_in_where_its_permissions_say(place: Town, role: str) -> None:
    client = place.person(NAMES[role])
    for method, path, rule in prefixed(place):
        if rule.permissions in (("public",), ("customer",)) or path == "/logout":
            continue
        allowed = bool(ROLE_PERMISSIONS[role] & set(rule.permissions))
        assert (answer_of(client, method, path) != 403) is allowed, (method, path, rule.permissions)


@pytest.mark.parametrize("scope", TOKEN_SCOPES)
def test_each_token_is_let_in_where_its_scope_says(place: Town, scope: str) -> None:
    client = place.token(scope, **({"operator_id": "ada"} if scope == "review" else {}))
    permissions = {scope} | (ROLE_PERMISSIONS["operator"] if scope == "review" else set())
    for method, path, rule in prefixed(place):
        if rule.permissions in (("public",), ("customer",)):
            continue
        status = answer_of(client, method, path)
        if getattr(rule, "person", False):  # a page wants a session, whatever the token
            assert status in (303, 401), (method, path)
        else:
            allowed = bool(permissions & set(rule.permissions))
            assert (status != 403) is allowed, (method, path, rule.permissions, status)


def test_nobody_is_let_in_without_a_session_or_a_token(place: Town) -> None:
    for client in (place.client(), place.client(authorization="Bearer sps_wrong"), place.client(cookie="a=b")):
        for method, path, rule in prefixed(place):
            if rule.permissions != ("public",):
                expected = 403 if rule.permissions == ("customer",) else 401
                assert answer_of(client, method, path) == expected, (method, path)
