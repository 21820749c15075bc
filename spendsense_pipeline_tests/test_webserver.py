"""Dagster's pages answer their own requests alone: what another page, another name or a bare POST asks is refused."""

import datetime as dt
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
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
from spendsense_pipeline.webserver import PARSER, LoggedIn, filters

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
    return TestClient(Starlette(routes=routes, middleware=filters(["dagster.example.org"])), base_url=HERE)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/graphql", JSON),
        ("POST", "/graphql", JSON | {"origin": HERE, "sec-fetch-site": "same-origin"}),
        ("POST", "/graphql", {"content-type": "application/json; charset=utf-8"}),
        ("POST", "/graphql", JSON | {"host": "dagster.example.org", "origin": "https://dagster.example.org"}),
        ("POST", "/graphql", JSON | {"host": "localhost:3000"}),
        ("POST", "/graphql", JSON | {"host": "[::1]:3000"}),
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
        ("POST", "/graphql", JSON | {"host": "x@127.0.0.1", "origin": "http://x@127.0.0.1"}, 403),
        ("POST", "/graphql", JSON | {"host": "127.0.0.1/x"}, 403),
        ("POST", "/graphql", JSON | {"origin": "ftp://127.0.0.1:3000"}, 403),
        ("POST", "/graphql", JSON | {"origin": ""}, 403),
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


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The filter as it is served, before an application that answers everything and counts it in ``REACHED``."""

    async def reached(request: Request) -> PlainTextResponse:
        REACHED.append(f"{request.method} {request.url.path} {(await request.body()).decode()}")
        return PlainTextResponse("reached")

    async def talk(opened: WebSocket) -> None:
        REACHED.append("websocket")
        await opened.accept()
        await opened.close()

    routes = [WebSocketRoute("/graphql", talk), Route("/{rest:path}", reached, methods=["GET", "POST"])]
    app = Starlette(routes=routes, middleware=filters([]))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, http=PARSER, log_level="critical", lifespan="off"))
        running = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        running.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        running.join()


def said(port: int, sent: str, answers: int) -> list[int]:
    """The statuses of the answers to these bytes, of which there should be so many."""
    heard = b""

    def statuses() -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", heard)]

    with socket.create_connection(("127.0.0.1", port), timeout=20) as client, suppress(OSError):
        with suppress(ConnectionError):  # the server may be done before it has read all
            client.sendall(sent.encode())
        while some := client.recv(65_536):
            heard += some
            if len(statuses()) >= answers:
                client.settimeout(0.1)  # for one too many
    return statuses()


REACHED: list[str] = []
NAMED = "Host: 127.0.0.1\r\n"
SENT = "Content-Type: application/json\r\n"
ASKED = "Content-Length: 2\r\n\r\n{}"
OPENED = (
    f"GET /graphql HTTP/1.1\r\n{NAMED}Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
GRAPHQL = f"POST /graphql HTTP/1.1\r\n{NAMED}"


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (f"{GRAPHQL}Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n", [415]),
        (f"{GRAPHQL}{SENT}Content-Length: 0\r\n{ASKED}", [400]),
        (f"{GRAPHQL}Content-Type: text/plain;\r\n application/json\r\n{ASKED}", [415]),
        (f"POST /graphql HTTP/1.1\r\nHost: elsewhere.example\r\n 127.0.0.1\r\n{SENT}{ASKED}", [403]),
        (f"{GRAPHQL}Host: elsewhere.example\r\n{SENT}{ASKED}", [400]),
        (f"{GRAPHQL}Origin: http://127.0.0.1\r\nOrigin: http://elsewhere.example\r\n{SENT}{ASKED}", [400]),
        (f"{GRAPHQL}{SENT}Content-Type: text/plain\r\n{ASKED}", [400]),
        (f"{GRAPHQL}Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n{SENT}{ASKED}", [400]),
        (f"POST http://127.0.0.1/graphql HTTP/1.1\r\nHost: elsewhere.example\r\n{SENT}{ASKED}", [403]),
        (f"GET http://127.0.0.1/graphql?query=x HTTP/1.1\r\n{NAMED}\r\n", [405]),
        (f"POST /graphql HTTP/1.0\r\n{SENT}{ASKED}", [403]),
        (f"GET /%67raphql?query=x HTTP/1.1\r\n{NAMED}\r\n", [405]),
        (f"GET //graphql?query=x HTTP/1.1\r\n{NAMED}\r\n", [405]),
        (f"POST /%72eport_asset_check/x HTTP/1.1\r\n{NAMED}{SENT}{ASKED}", [403]),
        (f"CONNECT /graphql HTTP/1.1\r\n{NAMED}\r\n", [405]),
        (f"{GRAPHQL}Content-Type: text/plain\r\n{ASKED}" * 2, [415, 415]),
        (f"{OPENED}Origin: http://elsewhere.example\r\n\r\n", [403]),
        (f"{OPENED}Origin: null\r\n\r\n", [403]),
        (f"GET /x HTTP/1.1\r\n{NAMED}X: {'a' * 1_000_000}\r\n\r\n", [400]),
        (f"GET /x HTTP/1.1\r\n{NAMED}{''.join(f'X{n}: a{chr(13)}{chr(10)}' for n in range(20_000))}\r\n", [400]),
        (f"{GRAPHQL}{SENT}Content-Length: 99999999\r\n\r\n{{}}", [413]),
        (
            f"{GRAPHQL}{SENT}Transfer-Encoding: chunked\r\n\r\n" + f"100000\r\n{'a' * 2**20}\r\n" * 3 + "0\r\n\r\n",
            [413],
        ),
    ],
)
def test_nothing_gets_through_between_the_lines(port: int, sent: str, statuses: list[int]) -> None:
    REACHED.clear()
    assert said(port, sent, len(statuses)) == statuses
    assert REACHED == []


def test_what_its_own_pages_send_gets_through_one_after_another(port: int) -> None:
    REACHED.clear()
    assert said(port, f"GET /runs HTTP/1.1\r\n{NAMED}\r\n{GRAPHQL}{SENT}{ASKED}", 2) == [200, 200]
    assert said(port, f"{OPENED}Origin: http://127.0.0.1\r\n\r\n", 1) == [101]
    assert REACHED == ["GET /runs ", "POST /graphql {}", "websocket"]


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
            response = begin_session(service, cast("Person", active_person(engine, operator)))
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
