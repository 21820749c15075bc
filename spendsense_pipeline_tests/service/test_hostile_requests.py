"""What no client of ours sends: text that is no text, numbers that no database holds, headers that are none."""

import json
import logging
import socket
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from spendsense_pipeline.service import v1
from spendsense_pipeline.service.app import create_app
from spendsense_pipeline.service.serving import serve
from spendsense_pipeline.service.state import Service
from spendsense_pipeline_tests.governance.town import NOW
from spendsense_pipeline_tests.service.conftest import ADDRESS, Town

JSON = {"content-type": "application/json"}
HALF = '"\\ud800"'
BODIES = [
    HALF,
    "1e400",
    "Infinity",
    "NaN",
    str(10**40),
    "9" * 5000,
    '{"a":' * 900 + "1" + "}" * 900,
    "[" * 900 + "]" * 900,
    "[" * 100_000,
    '"a\\u0000b"',
    '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"',
    json.dumps("x" * 5_000),
    json.dumps("<script>alert(1)</script>"),
    "null",
    "[null]",
    "{}",
]


def bodies_of(fields: dict[str, Any]) -> list[str]:
    """The body with each field in turn replaced, and each hostile thing alone."""
    found = list(BODIES)
    for name in fields:
        for hostile in BODIES:
            parts = [f"{json.dumps(one)}: {hostile if one == name else json.dumps(fields[one])}" for one in fields]
            found.append("{" + ", ".join(parts) + "}")
    return found


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        (
            "POST",
            "/admin/people",
            {"operator_id": "x", "qualified_until": "2027-01-01", "subject": "s", "password": "p"},
        ),
        ("POST", "/admin/people/deactivate", {"name": "x"}),
        (
            "POST",
            "/admin/tokens",
            {"name": "x", "scopes": ["feed:read"], "user_id": "u", "expires_at": "2027-01-01T00:00Z"},
        ),
        ("POST", "/admin/tokens", {"name": "x", "scopes": ["review"], "operator_id": "u"}),
        ("POST", "/admin/tokens/revoke", {"name": "x"}),
        (
            "POST",
            "/admin/recalls",
            {"target": "operator", "subject": "ada", "reason": "r", "since": "2027-01-01T00:00Z"},
        ),
        ("POST", "/holds/clear", {"reference": "T@abc", "note": "n", "operator_id": "ada"}),
        ("PUT", "/v1/customers/mia/consent", {"scopes": {}, "topics": {}, "text_version": "1", "channel": "app"}),
        ("POST", "/v1/events", {"events": [{"event_id": "e", "release_id": "r", "kind": "seen", "occurred_at": None}]}),
        ("POST", "/consent/", {"user_id": "mia", "action": "revoke"}),
        ("POST", "/recommendations/rec_x/approve", {"operator_id": "ada", "notes": "n", "content_hash": "h"}),
        ("POST", "/recommendations/rec_x/override", {"operator_id": "ada", "new_content": "n", "reason": "h"}),
        ("POST", "/recommendations/bulk-approve", {"operator_id": "ada", "recommendation_ids": ["r"]}),
    ],
)
def test_a_hostile_body_is_refused_in_words_and_breaks_nothing(
    trusting: Town, method: str, path: str, fields: dict[str, Any]
) -> None:
    trusting.released("mia")
    client = trusting.client()
    for body in bodies_of(fields):
        answer = client.request(method, path, content=body.encode(), headers=JSON)
        assert answer.status_code < 500, (answer.status_code, body[:200])
        if answer.status_code >= 400:
            detail = answer.json()["detail"]
            assert isinstance(detail, list if answer.status_code == 422 and "code" not in answer.json() else str | dict)


def test_hostile_events_are_refused_one_by_one(place: Town) -> None:
    row = place.released()
    events = [
        {"event_id": f"e{n}", "release_id": row["release_id"], "kind": "seen"} | odd
        for n, odd in enumerate(
            [
                {"occurred_at": "0001-01-01T00:00:00+14:00"},
                {"occurred_at": "9999-12-31T23:59:59-14:00"},
                {"note": "\0"},
                {"note": "\ud800"},
                {"kind": ["seen"]},
                {"event_id": "\ud800"},
                {"release_id": 2**70},
                {},
            ]
        )
    ]
    answer = place.token("events:write").post(
        "/v1/events", content=json.dumps({"events": events}).encode(), headers=JSON
    )
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    assert len(answer.json()["refused"]) == len(events) - 1


@pytest.mark.parametrize("number", [-1, 2**63, 10**30, "9" * 5000, "NaN"])
@pytest.mark.parametrize(
    "path",
    [
        "/admin/messages/replay?since=",
        "/desk/queue?offset=",
        "/desk/queue?limit=",
        "/desk/changes?since=",
        "/desk/customers?offset=",
        "/v1/customers/mia/feed?offset=",
        "/operator/review?status=",
        "/users/?offset=",
    ],
)
def test_a_number_that_no_database_holds_is_422(place: Town, path: str, number: Any) -> None:
    client = place.person("root")
    method = "POST" if "replay" in path else "GET"
    assert client.request(method, f"{path}{number}").status_code == 422


@pytest.mark.parametrize("host", ["[", "[::1", "]", ":", "", "127.0.0.1:port", "a b", "\xff"])
def test_a_host_that_is_none_is_not_this_machine_and_no_error(trusting: Town, host: str) -> None:
    answer = trusting.client().get("/holds", headers={"host": host.encode("latin-1")})  # type: ignore[dict-item]
    assert answer.status_code == (200 if host == "127.0.0.1:port" else 401)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:80", "[::1]:8000"])
def test_the_names_of_this_machine_are_its_owner(trusting: Town, host: str) -> None:
    assert trusting.client(host=host).get("/holds").status_code == 200


@pytest.mark.parametrize("host", ["localhost.", "127.0.0.1.evil.example", "evil.example@127.0.0.2", "0.0.0.0", "[::]"])
def test_other_names_are_not(trusting: Town, host: str) -> None:
    assert trusting.client(host=host).get("/holds").status_code == 401


@pytest.mark.parametrize(
    "name",
    [
        *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server", "Forwarded", "Via"),
        *("X-Real-IP", "True-Client-IP", "X-Client-IP", "CF-Connecting-IP", "Fastly-Client-IP", "X-Cluster-Client-IP"),
    ],
)
def test_any_trace_of_a_proxy_ends_the_trust(trusting: Town, name: str) -> None:
    assert trusting.client(**{name: "127.0.0.1"}).get("/holds").status_code == 401


def test_what_speaks_http_1_0_is_a_proxy_that_says_nothing(trusting: Town) -> None:
    async def passed_on(scope: Any, receive: Any, send: Any) -> None:
        await trusting.app(scope | {"http_version": "1.0"}, receive, send)

    client = TestClient(passed_on, base_url=ADDRESS, client=("127.0.0.1", 50_000))
    assert client.get("/holds").status_code == 401


class TestDefect:
    """A route that breaks: whoever asked gets an answer, whoever runs it the place, and nobody a customer's name."""

    @pytest.fixture
    def answer(self, trusting: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
        def broken(*_: Any, **__: Any) -> None:
            raise LookupError("_".join(("mia", "the", "customer")))

        monkeypatch.setattr(v1, "consents", broken)
        with caplog.at_level(logging.INFO):
            return trusting.client().get("/v1/customers/mia_the_customer/consent")

    def test_it_is_answered_as_json_with_the_usual_headers(self, answer: Any) -> None:
        assert answer.status_code == 500
        assert isinstance(answer.json()["detail"], str)
        assert "mia" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"

    def test_a_browser_gets_a_page(self, answer: Any, trusting: Town) -> None:
        shown = trusting.client(accept="text/html").get("/v1/customers/mia_the_customer/consent")
        assert (shown.status_code, shown.headers["content-type"]) == (answer.status_code, "text/html; charset=utf-8")
        assert "Something went wrong" in shown.text
        assert "mia" not in shown.text.replace("/v1/customers/mia_the_customer", "")

    def test_the_log_says_where_and_not_about_whom(self, answer: Any, caplog: pytest.LogCaptureFixture) -> None:
        text = "\n".join(
            record.getMessage() for record in caplog.get_records("setup") if record.name.startswith("spendsense")
        )
        assert "LookupError" in text
        assert "test_hostile_requests.py" in text
        assert "mia_the_customer" not in text

    def test_it_is_counted(self, answer: Any, trusting: Town) -> None:
        counted = trusting.client().get("/metrics").text
        assert 'route="/v1/customers/{user_id}/consent",status="500"' in counted


def test_a_database_error_does_not_name_the_values_that_it_was_given(place: Town) -> None:
    with pytest.raises(Exception, match="NOT NULL") as failed, place.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO consent_periods (consent_id, user_id, scope) VALUES (?, ?, ?)", ("c", "mia_the_customer", "x")
        )
    assert "mia_the_customer" not in str(failed.value)


def test_false_tokens_are_counted_for_the_address_that_sends_them(place: Town) -> None:
    place.settings.rate_limit = 2
    app = create_app(Service(place.settings, place.engine, now=lambda: NOW))
    codes = [
        TestClient(app, base_url=ADDRESS, headers={"authorization": f"Bearer sps_{n}"}).get("/holds").status_code
        for n in range(20)
    ]
    assert codes[:4] == [401] * 4
    assert 429 in codes
    assert TestClient(app, base_url=ADDRESS).get("/healthz").status_code == 200


def test_methods_that_nobody_knows_are_one_in_the_metrics(trusting: Town) -> None:
    client = trusting.client()
    for n in range(5):
        client.request(f"MADE-UP-{n}", "/holds")
    counted = client.get("/metrics").text
    assert 'method="other"' in counted
    assert "MADE-UP" not in counted


def test_headers_without_end_are_not_kept(place: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[uvicorn.Server] = []

    class Kept(uvicorn.Server):
        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            started.append(self)

    monkeypatch.setattr(uvicorn, "Server", Kept)
    serving = partial(serve, local=True, tls=(None, None), trusted_proxy=None)
    running = threading.Thread(target=serving, args=(place.settings, place.engine, "127.0.0.1", 0))
    running.start()
    try:
        while not (started and started[0].started):
            assert running.is_alive()
            time.sleep(0.02)
        port = started[0].servers[0].sockets[0].getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
            with suppress(ConnectionError):  # it may be gone before all is sent
                for number in range(200):
                    client.sendall(f"X-{number}: {'x' * 1_000}\r\n".encode())
            heard = b""
            with suppress(ConnectionError):
                heard = client.recv(1_000)
        assert not heard or heard.startswith(b"HTTP/1.1 4"), "answered, or hung up: not waited for more"
    finally:
        started[0].should_exit = True
        running.join()


def test_a_damaged_table_is_named_without_the_folder_that_it_lies_in(trusting: Town) -> None:
    folder = trusting.settings.data / "warehouse"
    folder.mkdir(parents=True)
    for table, route in (("products", "/v1/customers/mia/feed"), ("users", "/users"), ("users", "/operator/dashboard")):
        (folder / f"{table}.parquet").write_text("no parquet")
        answer = trusting.client().get(route)
        assert (answer.status_code, answer.json()["code"]) == (503, "unreadable_table")
        assert f"{table}.parquet" in answer.json()["detail"]
        assert str(folder) not in answer.text
