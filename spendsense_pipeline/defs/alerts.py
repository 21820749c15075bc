"""How people hear of what failed and what is late: the log, e-mail, webhooks.

What does not belong here: what there is to tell (``failures.py``, ``freshness.py``).
"""

import datetime as dt
import json
import logging
import smtplib
import ssl
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

from spendsense_pipeline.deadlines import within
from spendsense_pipeline.settings import THIS_MACHINE, Settings

LOG: Final = logging.getLogger("spendsense.alerts")
PATIENCE: Final = 5.0
"""Seconds that a mail server or a receiver may take between two bytes, and a fourth of all that a mail takes."""
AT_MOST: Final = 10
"""Notices to one channel in one evaluation; what is beyond is summed up."""
EVALUATION: Final = 30.0
"""Seconds in which one evaluation sends; Dagster ends one after sixty and forgets what it sent."""
LONGEST: Final = 1_000
"""Characters of a text."""


@dataclass(frozen=True)
class Notice:
    """Something to tell. ``key`` is the same whenever it is sent again: it becomes the mail's Message-ID and the
    webhook's id, by which receivers know a second copy. What subject and text quote may hold anything, names of files
    too: they are kept as one line that every channel can carry, or no later notice would be told."""

    key: str
    kind: str
    subject: str
    text: str
    link: str
    happened: dt.datetime

    def __post_init__(self) -> None:
        for name in ("subject", "text"):
            object.__setattr__(self, name, _one_line(getattr(self, name)))


def _one_line(text: str) -> str:
    """The text without line ends and control characters; what is no Unicode is spelled, as in ``\\udcff``."""
    shown = "".join(" " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one for one in text)
    return " ".join(shown.split())[:LONGEST].encode(errors="backslashreplace").decode()


Channel = Callable[[Notice], None]
"""Tells a notice; raises `Undelivered`."""


class Undelivered(Exception):
    """A channel did not take a notice; it is kept for the next evaluation."""


class Alerts(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where notices go besides the log, and the address of the pages that they link to."""

    pages: str = "http://127.0.0.1:3000"
    recipients: list[str] = Field(default=[])
    sender: str = ""
    smtp: str | None = None
    user: str | None = None
    password: str | None = None
    webhooks: list[str] = Field(default=[])
    secret: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Alerts":
        """As the settings say."""
        password, secret = settings.alert_password, settings.webhook_secret
        return cls(
            pages=settings.dagster_url.rstrip("/"),
            recipients=list(settings.alert_to),
            sender=", ".join(settings.alert_from or settings.alert_to[:1]),
            smtp=settings.alert_smtp,
            user=settings.alert_user,
            password=password.get_secret_value() if password else None,
            webhooks=list(settings.alert_webhook_urls),
            secret=secret.get_secret_value() if secret else None,
        )

    def channels(self) -> dict[str, Channel]:
        """Each channel by a name that holds no secret."""
        found: dict[str, Channel] = {"log": _log}
        if self.smtp:
            found["mail"] = self._mail
        for address in self.webhooks:
            found[f"webhook {sha256(address.encode()).hexdigest()[:12]}"] = partial(self._post, address)
        return found

    def _mail(self, notice: Notice) -> None:
        message = EmailMessage()
        message["Subject"] = f"SpendSense: {notice.subject}"
        message["From"], message["To"] = self.sender, ", ".join(self.recipients)
        message["Date"], message["Message-ID"] = format_datetime(notice.happened), f"<{notice.key}@spendsense>"
        message.set_content(f"{notice.text}\n\n{notice.link}\n")

        def sent() -> dict[str, tuple[int, bytes]]:
            with self._mail_server() as server:
                return server.send_message(message)

        try:
            refused = within(4 * PATIENCE, sent)
        except (smtplib.SMTPException, OSError) as error:  # TimeoutError is one
            raise Undelivered(type(error).__name__) from error
        if refused:
            LOG.warning("the mail server refused %d of %d recipients", len(refused), len(self.recipients))

    def _mail_server(self) -> smtplib.SMTP:
        """Logged in; without TLS nothing leaves this machine."""
        parts = urlsplit(self.smtp or "")
        host, trusted = parts.hostname or "", ssl.create_default_context()
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=PATIENCE, context=trusted)
        else:
            server = smtplib.SMTP(host, parts.port or 587, timeout=PATIENCE)
            if host not in THIS_MACHINE:
                server.starttls(context=trusted)
        if self.user is not None:
            server.login(self.user, self.password or "")
        return server

    def _post(self, address: str, notice: Notice) -> None:
        from standardwebhooks import Webhook  # the extra service

        from spendsense_pipeline import signed_post

        payload = {
            "type": notice.kind,
            "timestamp": notice.happened.isoformat(),
            "data": {"subject": notice.subject, "text": notice.text, "link": notice.link},
            "text": f"{notice.subject}: {notice.text} {notice.link}",  # what chat programs show
        }
        signer = Webhook(self.secret) if self.secret else None
        with signed_post.client(PATIENCE) as client:
            outcome = signed_post.post(
                client, signer, address, notice.key, dt.datetime.now(dt.UTC), json.dumps(payload, ensure_ascii=False)
            )
        if outcome.problem:
            raise Undelivered(outcome.problem)


def _log(notice: Notice) -> None:
    LOG.error("%s: %s %s", notice.subject, notice.text, notice.link)


def tell(name: str, channel: Channel, notices: Sequence[Notice], until: float) -> int:
    """Deliver the notices in their order; how many were before one was not taken, or the time (monotonic) was up."""
    for number, notice in enumerate(notices):
        if time.monotonic() > until:
            return number
        try:
            channel(notice)
        except Undelivered as error:
            LOG.warning("%s did not take %s (%s); it is sent again", name, notice.key, error)
            return number
    return len(notices)
