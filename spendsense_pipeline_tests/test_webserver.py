"""Dagster's pages answer their own requests alone: what another page, another name or a bare POST asks is refused."""

import datetime as dt
from pathlib import Path
from typing import Any, cast

import pytest
from httpx2 import Response
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from spendsense_pipeline.governance import operators
from spendsense_pipeline.governance.credentials import Person, active_person, end_sessions
from spendsense_pipeline.governance.database import connect, upgrade, writing
from spendsense_pipeline.service.callers import COOKIE, begin_session
from spendsense_pipeline.service.state import opened
from spendsense_pipeline.settings import Settings
from spendsense_pipeline.webserver import LoggedIn, OwnPagesOnly

HERE = "http://127.0.0.1:3000"
JSON = {"content-type": "application/json"}
NOW = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)


async def _reached(_: Request) -> PlainTextResponse:
    return PlainTextResponse("reached")


async def _talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("reached")
    await socket.close()


@pytest.fixture(scope="module")
def client() -> TestClient:
    paths = ("/graphql", "/prefix/graphql", "/report_asset_check/{rest:path}", "/report_asset_materialization", "/runs")
    routes: list[Any] = [Route(path, _reached, methods=["GET", "POST"]) for path in paths]
    routes.append(WebSocketRoute("/graphql", _talk))
    hosts = ["dagster.example.org"]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(OwnPagesOnly, hosts=hosts)]), base_url=HERE)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/graphql", JSON),
        ("POST", "/graphql", JSON | {"origin": HERE, "sec-fetch-site": "same-origin"}),
        ("POST", "/graphql", {"content-type": "application/json; charset=utf-8"}),
        ("POST", "/graphql", JSON | {"host": "dagster.example.org", "origin": "https://dagster.example.org"}),
        ("POST", "/graphql", JSON | {"host": "localhost:3000"}),
        ("GET", "/runs", {}),
        ("GET", "/runs", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}),
    ],
)
def test_its_own_pages_and_programs_of_this_machine_are_answered(
    client: TestClient, method: str, path: str, headers: dict[str, str]
) -> None:
    assert client.request(method, path, headers=headers, content="{}" if method == "POST" else None).text == "reached"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/graphql?query=mutation{x}", {}, 405),
        ("GET", "/prefix/graphql?query=mutation{x}", {}, 405),
        ("HEAD", "/graphql?query=mutation{x}", {}, 405),
        ("POST", "/graphql", {"content-type": "application/x-www-form-urlencoded"}, 415),
        ("POST", "/graphql", {"content-type": "text/plain"}, 415),
        ("POST", "/graphql", {"content-type": "application/graphql"}, 415),
        ("POST", "/graphql", {}, 415),
        ("POST", "/graphql", JSON | {"origin": "https://elsewhere.example"}, 403),
        ("POST", "/graphql", JSON | {"origin": "http://127.0.0.1:8000"}, 403),
        ("POST", "/graphql", JSON | {"origin": "null"}, 403),
        ("POST", "/graphql", JSON | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, 403),
        ("GET", "/runs", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ("POST", "/graphql", JSON | {"host": "rebound.example"}, 403),
        ("POST", "/graphql", JSON | {"host": "127.0.0.1.rebound.example"}, 403),
        ("POST", "/graphql", JSON | {"host": "[::1"}, 403),
        ("POST", "/report_asset_check/x", JSON, 403),
        ("POST", "/report_asset_materialization", JSON, 403),
        ("GET", "/report_asset_materialization", {}, 403),
    ],
)
def test_nobody_elses_page_changes_anything(
    client: TestClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = client.request(method, path, headers=headers, content="{}" if method == "POST" else None)
    assert answer.status_code == status


def test_subscriptions_are_its_own_pages_too(client: TestClient) -> None:
    with client.websocket_connect("/graphql", headers={"origin": HERE, "host": "127.0.0.1:3000"}) as socket:
        assert socket.receive_text() == "reached"
    for headers in ({"host": "127.0.0.1:3000", "origin": "https://elsewhere.example"}, {"host": "rebound.example"}):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/graphql", headers=headers):
            pass


def test_where_a_login_is_asked_for_its_pages_are_for_admins_with_a_session(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path}/governance.db")
    upgrade(engine)
    with writing(engine) as session:
        operators.add(session, "ada", NOW, standing=operators.Standing(role="admin"))
        operators.add(session, "ben", NOW)
    settings = Settings(_env_file=None, public_url="https://money.example.org", data=tmp_path)
    service = opened(settings, engine)
    service.now = lambda: NOW
    routes: list[Any] = [Route(path, _reached) for path in ("/runs", "/server_info")]
    app = Starlette(
        routes=[*routes, WebSocketRoute("/graphql", _talk)], middleware=[Middleware(LoggedIn, service=service)]
    )

    def asked(operator: str | None, path: str = "/runs", **headers: str) -> Response:
        browser = TestClient(app, base_url=HERE)
        if operator is not None:
            response = PlainTextResponse()
            begin_session(service, cast("Person", active_person(engine, operator)), response)
            browser.cookies.set(COOKIE, response.headers["set-cookie"].partition("=")[2].partition(";")[0])
        return browser.get(path, headers=headers, follow_redirects=False)

    assert asked("ada").text == "reached"
    assert asked("ben").status_code == 403
    assert asked(None).status_code == 401
    page = asked(None, accept="text/html")
    assert (page.status_code, page.headers["location"]) == (303, "https://money.example.org/login")
    assert asked(None, "/server_info").text == "reached", "a health check has no login"
    with pytest.raises(WebSocketDisconnect), TestClient(app, base_url=HERE).websocket_connect("/graphql"):
        pass
    with writing(engine) as session:
        end_sessions(session, "ada", NOW + dt.timedelta(minutes=1))
    assert asked("ada").status_code == 401, "whose sessions were ended"
