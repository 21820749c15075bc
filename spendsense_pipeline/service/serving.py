"""Starting the service: uvicorn around the application, the sender of webhooks beside it.

Does not belong here: whether it may start on this address (``cli/service_commands.py``).
"""

import logging
import socket
import sys
import threading

import uvicorn
from sqlalchemy import Engine

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import operators
from spendsense_pipeline.governance.database import reading
from spendsense_pipeline.service.app import create_app
from spendsense_pipeline.service.login import login_link
from spendsense_pipeline.service.seed.generation_routes import warm_up
from spendsense_pipeline.service.state import opened
from spendsense_pipeline.service.webhooks import Sender
from spendsense_pipeline.settings import Settings


def serve(
    settings: Settings,
    engine: Engine,
    host: str,
    port: int,
    *,
    local: bool,
    tls: tuple[str | None, str | None],
    trusted_proxy: str | None,
) -> None:
    """Serve until interrupted. On a trusted machine the first operator's login link is printed."""
    secure = tls[0] is not None or trusted_proxy is not None
    service = opened(settings, engine, local=local, secure=secure)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # its lines hold addresses
    listener = _listening(host, port)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(service),
            access_log=False,
            log_level="warning",
            ssl_certfile=tls[0],
            ssl_keyfile=tls[1],
            proxy_headers=trusted_proxy is not None,
            forwarded_allow_ips=trusted_proxy,
            server_header=False,
            http="h11",  # stops at 64 KB of headers; the other parser keeps any number of bytes
        )
    )
    stop = threading.Event()
    sender = threading.Thread(target=Sender(service).run, args=(stop,), name="webhooks", daemon=True)
    if settings.webhook_urls:
        sender.start()
    threading.Thread(target=warm_up, args=(service,), name="warm-up", daemon=True).start()
    address = f"{'https' if tls[0] else 'http'}://{host}:{listener.getsockname()[1]}"
    sys.stdout.write(f"SpendSense on {address}, desk at {address}/desk, interface at {address}/docs\n")
    if service.trusts_local:
        first: dict[str, str] = {}  # the first active person of each role
        with reading(engine) as session:
            for row in operators.listed(session):
                if row["active"]:
                    first.setdefault(row["role"], row["operator_id"])
        for operator_id in first.values():
            sys.stdout.write(f"Log in as {operator_id}, once: {login_link(service, operator_id, address)}\n")
    sys.stdout.flush()
    try:
        server.run(sockets=[listener])
    finally:
        stop.set()
        if sender.is_alive():
            sender.join(timeout=10)


def _listening(host: str, port: int) -> socket.socket:
    """The open address; a free port where ``port`` is 0. Raises ``address_unavailable``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SpendSenseError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; name another with --port",
            code="address_unavailable",
        ) from None
