"""Which text a caller was last shown, so that an approval without a hash means that one.

Clients of the first version name a recommendation and nothing else. Kept in memory: after a restart whoever approves a
text that has several versions must have listed it again.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from spendsense_pipeline.service.callers import Caller
from spendsense_pipeline.service.state import Service

REMEMBERED: Final = 100_000
_LOCK: Final = threading.Lock()


def remember(service: Service, caller: Caller, rows: Iterable[Mapping[str, Any]]) -> None:
    """The caller was shown these rows, each with its recommendation_id and content_hash."""
    seen = service.seen_texts
    with _LOCK:
        for row in rows:
            key = caller.name, row["recommendation_id"]
            seen[key] = row["content_hash"]
            seen.move_to_end(key)
        while len(seen) > REMEMBERED:
            seen.popitem(last=False)


def last_seen(service: Service, caller: Caller, recommendation_id: str) -> str | None:
    """The hash of the text that this caller was shown last, if there was one."""
    with _LOCK:
        return service.seen_texts.get((caller.name, recommendation_id))
