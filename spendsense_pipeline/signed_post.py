"""A message to somebody's address, signed as Standard Webhooks has it.

What does not belong here: what it says, and whether to send it again.
"""

import datetime as dt
from typing import Final, NamedTuple

import httpx2
from standardwebhooks import Webhook

from spendsense_pipeline.deadlines import within

TIMEOUT: Final = 10.0
"""Seconds that a receiver may take between two bytes."""
LONGEST: Final = 20.0
"""Seconds that it may take for all of them."""


class Outcome(NamedTuple):
    """What went wrong (None where the receiver took the message), and whether the receiver answered."""

    problem: str | None
    reached: bool


def client(timeout: float = TIMEOUT) -> httpx2.Client:
    """A client that follows nobody elsewhere."""
    return httpx2.Client(timeout=timeout, follow_redirects=False)


def post(
    client: httpx2.Client, signer: Webhook | None, address: str, message_id: str, now: dt.datetime, body: str
) -> Outcome:
    """Send JSON. ``message_id`` is the same whenever a message is sent again, so that a receiver may drop it."""
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    if signer is not None:
        headers["webhook-signature"] = signer.sign(message_id, now, body)

    def sent() -> httpx2.Response:
        with client.stream("POST", address, content=body.encode(), headers=headers) as response:
            return response  # its body is nobody's business, however long

    try:
        response = within(LONGEST, sent)
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
        return Outcome(type(error).__name__, reached=False)
    return Outcome(None if response.is_success else f"HTTP {response.status_code}", reached=True)
