"""Messages to other systems: a real receiver on this machine that takes them, refuses them or sleeps."""

import datetime as dt
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from spendsense_pipeline import signed_post
from spendsense_pipeline.erasure import erased_rows
from spendsense_pipeline.governance import endings, outbox
from spendsense_pipeline.service.webhooks import Sender
from spendsense_pipeline.settings import InvalidSettings, Settings
from spendsense_pipeline_tests.governance import town
from spendsense_pipeline_tests.service.conftest import Town

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # a test's own


class Receiver:
    """An address that answers with ``status`` after ``delay`` seconds and keeps what it was sent."""

    def __init__(self) -> None:
        self.status, self.delay = 200, 0.0
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                time.sleep(receiver.delay)
                receiver.got.append((dict(self.headers.items()), body))
                self.send_response(receiver.status)
                self.send_header("location", "https://elsewhere.example")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/hook/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def other() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def telling(folder: Path, *addresses: str) -> tuple[Town, Sender]:
    """A service that tells these addresses, and has told them nothing yet."""
    place = Town(folder, webhook_urls=",".join(addresses), webhook_secret=SecretStr(SECRET))
    place.now = dt.datetime.now(dt.UTC).replace(microsecond=0)  # receivers compare the time with theirs
    sender = Sender(place.service)
    for address in addresses:
        assert sender.tell(address) == 0  # an address hears of what comes after it was first seen
    return place, sender


def test_a_receiver_hears_what_happened_in_its_order_and_can_tell_that_it_is_us(
    tmp_path: Path, receiver: Receiver
) -> None:
    place, sender = telling(tmp_path, receiver.address)
    row = place.released()
    endings.recall(place.engine, "recommendation", row["recommendation_id"], place.now, reason="wrong", actor="root")
    town.revoke(place.engine, "mia", place.now)
    sent = sender.tell(receiver.address)
    kinds = [one["type"] for one in receiver.messages]
    assert kinds == ["consent_changed"] * 2 + ["released", "recalled"] + ["consent_changed"] * 2
    assert sent == len(kinds)
    released = receiver.messages[2]["data"]
    assert released["release_id"] == row["release_id"]
    assert released["user_id"] == "mia"
    assert row["content"] not in str(receiver.messages)
    assert receiver.ids == sorted(receiver.ids, key=lambda one: int(one.removeprefix("msg_")))
    for headers, body in receiver.got:
        assert Webhook(SECRET).verify(body, headers)["type"] in kinds
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body.replace(b"mia", b"eve"), headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body, headers | {"webhook-id": "msg_999"})
    assert sender.tell(receiver.address) == 0  # once


@pytest.mark.parametrize("status", [500, 429, 404, 301])
def test_what_is_not_taken_is_sent_again_with_growing_pauses_then_it_is_dead_until_it_is_replayed(
    tmp_path: Path, receiver: Receiver, status: int
) -> None:
    place, sender = telling(tmp_path, receiver.address)
    town.grant(place.engine, "mia", place.now, scopes=["education"])
    receiver.status = status
    for attempt, pause in enumerate(outbox.PAUSES, 1):
        assert sender.tell(receiver.address) == 0
        assert len(receiver.got) == attempt
        place.now += pause - dt.timedelta(seconds=1)
        assert sender.tell(receiver.address) == 0
        assert len(receiver.got) == attempt  # not before its time
        place.now += dt.timedelta(seconds=1)
    assert outbox.states(place.engine)[receiver.address]["waiting"] == 1
    sender.tell(receiver.address)
    assert outbox.states(place.engine)[receiver.address] == {"waiting": 0, "delivered": 0, "dead": 1}
    place.now += dt.timedelta(days=30)
    receiver.status = 204
    assert sender.tell(receiver.address) == 0
    assert place.person("root").post("/admin/messages/replay").json() == {"replayed": 1}
    assert sender.tell(receiver.address) == 1
    assert len(set(receiver.ids)) == 1
    assert outbox.states(place.engine)[receiver.address]["delivered"] == 1


def test_a_replay_from_a_place_on_sends_the_same_messages_under_the_same_ids(
    tmp_path: Path, receiver: Receiver
) -> None:
    place, sender = telling(tmp_path, receiver.address)
    place.released()
    sender.tell(receiver.address)
    first, sent = receiver.ids, receiver.messages
    client = place.person("root")
    assert client.post("/admin/messages/replay?since=1").json() == {"replayed": len(first)}
    assert sender.tell(receiver.address) == len(first)
    assert (receiver.ids, receiver.messages) == (first * 2, sent * 2)
    for nonsense in (0, -1, 2**63, 10**30):
        assert client.post(f"/admin/messages/replay?since={nonsense}").status_code == 422


def test_nothing_is_sent_about_a_customer_who_was_erased_meanwhile(tmp_path: Path, receiver: Receiver) -> None:
    place, sender = telling(tmp_path, receiver.address)
    place.released("mia")
    place.released("noa")
    receiver.status = 500
    sender.tell(receiver.address)
    erased_rows.begin(place.engine, "mia", [], "ada", "request 7", place.now, known=True)
    erased_rows.finish(place.engine, "mia", "ada", "request 7", place.now)
    place.now += outbox.PAUSES[0]
    receiver.got.clear()
    receiver.status = 200
    sender.tell(receiver.address)
    assert {one["data"]["user_id"] for one in receiver.messages} == {"noa"}
    assert outbox.states(place.engine)[receiver.address]["waiting"] == 0


def test_two_addresses_each_hear_everything_and_one_that_hangs_does_not_hold_up_the_other(
    tmp_path: Path, receiver: Receiver, other: Receiver
) -> None:
    place, sender = telling(tmp_path, receiver.address, other.address)
    receiver.delay = 3.0
    place.released()
    stop = threading.Event()
    running = threading.Thread(target=sender.run, args=(stop,))
    running.start()
    until = time.monotonic() + 10
    while len(other.got) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    heard, slow = len(other.got), len(receiver.got)
    receiver.delay = 0
    stop.set()
    running.join(timeout=15)
    assert not running.is_alive()
    assert (heard, slow < 2) == (3, True)


def test_an_address_that_cannot_be_reached_is_tried_once_a_look_and_not_for_every_message(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, sender = telling(tmp_path, receiver.address)
    receiver.close()
    for n in range(5):
        town.grant(place.engine, f"user_{n}", place.now)
    tries: list[str] = []
    send = signed_post.post
    monkeypatch.setattr(signed_post, "post", lambda *sent: tries.append(sent[3]) or send(*sent))
    assert sender.tell(receiver.address) == 0
    assert len(tries) == 1
    assert outbox.states(place.engine)[receiver.address]["waiting"] == 10


def test_an_address_that_is_gone_leaves_its_messages_waiting(tmp_path: Path, receiver: Receiver) -> None:
    place, sender = telling(tmp_path, receiver.address)
    receiver.close()
    town.grant(place.engine, "mia", place.now)
    assert sender.tell(receiver.address) == 0
    assert outbox.states(place.engine)[receiver.address]["waiting"] == 2


@pytest.mark.parametrize("secret", ["whsec_", "whsec_short", "not base64 at all!", "whsec_bWlh"])
def test_a_secret_that_signs_nothing_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InvalidSettings, match="SPENDSENSE_WEBHOOK_SECRET") as refused:
        Settings(webhook_secret=SecretStr(secret))
    assert secret.removeprefix("whsec_") == "" or secret not in str(refused.value)
    assert Settings(webhook_secret=SecretStr(SECRET)).webhook_secret


@pytest.mark.parametrize("address", ["http://[::1", "https://", "ftp://a.org", "http://a.org:port/"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InvalidSettings, match="SPENDSENSE_WEBHOOK_URLS"):
        Settings(webhook_urls=address)
