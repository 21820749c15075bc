"""A chat-completions server of ours on 127.0.0.1, on real sockets: it writes good pieces, or fails as it is told."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass
class Reply:
    """What the server sends back; ``hang`` sends nothing and keeps the connection, ``drop`` closes it; ``chunks`` sends
    the body so many times, in chunks and without its length."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    drop: bool = False
    chunks: int = 0


Behaviour = Callable[[Body, int], Reply]
"""From a request and how many of the same situation came before it to a reply."""


def completion(text: str | None, *, finish: str = "stop", refusal: str | None = None, **changed: Any) -> Reply:
    """A chat completion as the API documents it."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_780_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": refusal},
                "finish_reason": finish,
                "logprobs": None,
            }
        ],
        "usage": {"prompt_tokens": 1500, "completion_tokens": 600, "total_tokens": 2100},
    } | changed
    return Reply(json.dumps(body).encode())


def failure(status: int, code: str | None = None, message: str = "no", **headers: str) -> Reply:
    """An error as the API documents it."""
    error = {"message": message, "type": "error", "param": None, "code": code}
    return Reply(json.dumps({"error": error}).encode(), status, {k.replace("_", "-"): v for k, v in headers.items()})


def slots_offered(request: Body) -> list[str]:
    """The reader's own slots in a request, in order."""
    listed = re.findall(r"^- \{\{ ([a-z_]+) \}\}:", request["messages"][1]["content"], re.MULTILINE)
    return [name for name in listed if name not in ("window", "as_of")]


def facts_listed(request: Body) -> list[str]:
    """The facts in a request, as name=band."""
    return re.findall(r"^- ([a-z_]+=[^:]+):", request["messages"][1]["content"], re.MULTILINE)


_MIDDLES = {
    "steady": "Small and steady tends to work. A set day takes the thinking out of it.",
    "look": "Seeing a number in writing often makes it feel lighter, and easier to plan with.",
    "ease": "Nothing here has to happen at once. A little room each month can grow by itself.",
}


def good_pieces(request: Body) -> list[dict[str, Any]]:
    """Three pieces that are fit for whatever situation is asked about."""
    slots = slots_offered(request)
    shown = " and ".join(f"{{{{ {name} }}}}" for name in slots[:3]) or "a quiet stretch"
    return [
        {
            "topic": topic,
            "title": f"A calm look, {topic}",
            "content": f"Your own figures in the {{{{ window }}}}: {shown}.\n\n{middle}\n\n"
            "A step to try: pick a quiet moment this week and look at these figures once more.",
            "facts": facts_listed(request)[:1],
        }
        for topic, middle in _MIDDLES.items()
    ]


def good(request: Body, _before: int) -> Reply:
    """Write for the situation."""
    return completion(json.dumps({"pieces": good_pieces(request)}))


class ModelServer:
    """The server's address, what it was asked, and how it behaves from now on."""

    def __init__(self, latency: float = 0.0) -> None:
        self.requests: list[Body] = []
        self.raw: list[str] = []
        self.keys: list[str] = []
        self.behaviour: Behaviour = good
        self.latency = latency
        self.most_at_once = 0
        self.sent = 0  # bytes, in chunks
        self._at_once = 0
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self.url = ""

    def situations(self) -> list[str]:
        """The situation of each request, in the order in which they came."""
        return [request["messages"][1]["content"] for request in self.requests]

    def reply(self, raw: str, key: str) -> Reply:
        """The reply to one request."""
        request = json.loads(raw)
        with self._lock:
            before = self.situations().count(request["messages"][1]["content"])
            self.requests.append(request)
            self.raw.append(raw)
            self.keys.append(key)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.latency:
                time.sleep(self.latency)
            return self.behaviour(request, before)
        finally:
            with self._lock:
                self._at_once -= 1


@contextmanager
def serving(latency: float = 0.0) -> Iterator[ModelServer]:
    """A running server, ended with the block."""
    model = ModelServer(latency)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
            assert self.path == "/v1/chat/completions", self.path
            reply = model.reply(raw, self.headers["Authorization"])
            if reply.hang:
                model.closing.wait(30)
            if reply.hang or reply.drop:
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            length = ("Transfer-Encoding", "chunked") if reply.chunks else ("Content-Length", str(len(reply.body)))
            for name, value in (length, *reply.headers.items()):
                self.send_header(name, value)
            self.end_headers()
            if not reply.chunks:
                self.wfile.write(reply.body)
                return
            for _ in range(reply.chunks):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(reply.body), reply.body))
                model.sent += len(reply.body)
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that gave up is part of the tests."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        model.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        try:
            yield model
        finally:
            model.closing.set()
            server.shutdown()
            thread.join()
