"""A message to somebody's address, signed as Standard Webhooks has it.

What does not belong here: what it says, and whether to send it again.
"""

import datetime as dt
from typing import Final, NamedTuple

import httpx2
from standardwebhooks import Webhook

TIMEOUT: Final = 10.0
"""Seconds that a receiver may take."""


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
    try:
        with client.stream("POST", address, content=body.encode(), headers=headers) as response:
            taken = response.is_success  # its body is nobody's business, however long
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return Outcome(type(error).__name__, reached=False)
    return Outcome(None if taken else f"HTTP {response.status_code}", reached=True)
