"""Sending webhooks: signed as Standard Webhooks has it, tried again with growing pauses, dead after the last."""

import logging
import threading
from typing import Final

import httpx
from standardwebhooks import Webhook

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import outbox
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.service.context import Service, as_json

LOG: Final = logging.getLogger("spendsense.webhooks")
EVERY: Final = 1.0
"""Seconds between two looks at what is due."""
TIMEOUT: Final = 10.0
"""Seconds that a receiver may take."""


class Sender:
    """Tells each address of ``SPENDSENSE_WEBHOOK_URLS`` what happened. One runs at a time for one database."""

    def __init__(self, service: Service, client: httpx.Client | None = None) -> None:
        secret = service.settings.webhook_secret
        if service.settings.webhooks and secret is None:
            raise SpendSenseError(
                "messages are signed: set SPENDSENSE_WEBHOOK_SECRET, e.g. whsec_ and 32 random bytes in Base64",
                code="invalid_settings",
            )
        self.service = service
        self.signer = Webhook(secret.get_secret_value()) if secret else None
        self.client = client or httpx.Client(timeout=TIMEOUT, follow_redirects=False)

    def run(self, stop: threading.Event) -> None:
        """Send until stopped. What goes wrong with the database is logged and tried again."""
        while not stop.wait(EVERY):
            try:
                self.round()
            except SpendSenseError as error:
                LOG.warning("webhooks wait: %s", error.code)

    def round(self) -> int:
        """Put on its way what is new and send what is due; how many were delivered."""
        sent = 0
        for address in self.service.settings.webhooks:
            outbox.enqueue(self.service.engine, address, self.service.now())
            with reading(self.service.engine) as session:
                messages = outbox.due(session, address, self.service.now())
            for message in messages:
                if message["payload"] is None:  # erased since: there is nothing to tell any more
                    outbox.delivered(self.service.engine, address, message["seq"])
                    continue
                problem = self._send(address, message["id"], as_json(message["payload"]))
                if problem is None:
                    outbox.delivered(self.service.engine, address, message["seq"])
                    sent += 1
                    continue
                state = outbox.failed(
                    self.service.engine, address, message["seq"], message["attempts"], problem, self.service.now()
                )
                LOG.warning("webhook %s: %s, %s", message["id"], problem, state)
        return sent

    def _send(self, address: str, message_id: str, body: str) -> str | None:
        """What went wrong; None where the receiver took it."""
        assert self.signer is not None  # noqa: S101 - where there are addresses there is a secret
        now = self.service.now()
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self.signer.sign(message_id, now, body),
        }
        try:
            response = self.client.post(address, content=body.encode(), headers=headers)
        except httpx.HTTPError as error:
            return type(error).__name__
        return None if response.is_success else f"HTTP {response.status_code}"
