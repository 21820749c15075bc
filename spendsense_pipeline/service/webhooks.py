"""Sending webhooks: signed as Standard Webhooks has it, tried again with growing pauses, dead after the last.

Each address has a thread of its own, so that one that is slow or gone does not keep the others waiting.
"""

import logging
import threading
from typing import Final

import httpx2
from sqlalchemy.exc import SQLAlchemyError
from standardwebhooks import Webhook

from spendsense_pipeline import signed_post
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import outbox
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.service.state import Service, as_json

LOG: Final = logging.getLogger("spendsense.webhooks")
EVERY: Final = 1.0
"""Seconds between two looks at what is due."""


class Sender:
    """Tells each address of ``SPENDSENSE_WEBHOOK_URLS`` what happened. One runs at a time for one database."""

    def __init__(self, service: Service, client: httpx2.Client | None = None) -> None:
        secret = service.settings.webhook_secret
        if service.settings.webhook_urls and secret is None:
            raise SpendSenseError(
                "messages are signed: set SPENDSENSE_WEBHOOK_SECRET, e.g. whsec_ and 32 random bytes in Base64",
                code="invalid_settings",
            )
        self.service = service
        self.signer = Webhook(secret.get_secret_value()) if secret else None
        self.client = client or signed_post.client()

    def run(self, stop: threading.Event) -> None:
        """Send until stopped."""
        threads = [
            threading.Thread(target=self._run, args=(address, stop), name=f"webhooks {number}", daemon=True)
            for number, address in enumerate(self.service.settings.webhook_urls, 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run(self, address: str, stop: threading.Event) -> None:
        """Tell one address until stopped. What goes wrong with the database is logged and tried again."""
        while not stop.wait(EVERY):
            try:
                self.tell(address, stop)
            except SpendSenseError as error:
                LOG.warning("webhooks wait: %s", error.code)
            except SQLAlchemyError as error:  # a connection that broke in a way that we have no advice on
                LOG.warning("webhooks wait: %s", type(error).__name__)

    def tell(self, address: str, stop: threading.Event | None = None) -> int:
        """Put on its way what is new and send what is due, in the chain's order; how many were delivered.

        Where the address cannot be reached at all, the others that are due wait for the next look.
        """
        sent = 0
        outbox.enqueue(self.service.engine, address, self.service.now())
        with reading(self.service.engine) as session:
            messages = outbox.due(session, address, self.service.now())
        for message in messages:
            if stop is not None and stop.is_set():
                break
            now, problem, reached = self.service.now(), None, True
            if message["payload"] is not None:  # else erased since: there is nothing to tell any more
                assert self.signer is not None  # noqa: S101 - where there are addresses there is a secret
                problem, reached = signed_post.post(
                    self.client, self.signer, address, message["id"], now, as_json(message["payload"])
                )
                sent += problem is None
            state = outbox.attempted(
                self.service.engine, address, message["seq"], message["attempts"], problem, self.service.now()
            )
            if problem is not None:
                LOG.warning("webhook %s: %s, %s", message["id"], problem, state)
            if not reached:
                break
        return sent
