"""Dagster's pages answer their own requests alone: what another page, another name or a bare POST asks is refused."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from spendsense_pipeline.defs.webserver import OwnPagesOnly

HERE = "http://127.0.0.1:3000"
JSON = {"content-type": "application/json"}


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
