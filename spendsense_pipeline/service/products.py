"""The stored catalogue, read again when it changed: what a feed's offers say about their product."""

import threading
from functools import cache
from typing import Any, Final

import fsspec

from spendsense_pipeline.service.state import Service

_LOCK: Final = threading.Lock()
_READ: Final[dict[str, tuple[Any, dict[str, dict[str, Any]]]]] = {}


def products(service: Service) -> dict[str, dict[str, Any]] | None:
    """product_id → product; None where no catalogue is stored."""
    from spendsense_pipeline import warehouse

    root = service.settings.warehouse_root
    filesystem, path = _where(warehouse.path(root, "products"))
    try:
        info = filesystem.info(path)
    except FileNotFoundError:
        return None
    version = info.get("ETag") or (info.get("mtime"), info.get("size"), info.get("ino"))
    with _LOCK:
        if root not in _READ or _READ[root][0] != version:
            rows = warehouse.load(root, "products").to_pylist()
            _READ[root] = version, {row["product_id"]: row for row in rows}
        return _READ[root][1]


@cache
def _where(address: str) -> tuple[Any, str]:
    found: tuple[Any, str] = fsspec.core.url_to_fs(address)
    return found
