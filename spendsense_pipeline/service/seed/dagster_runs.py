"""Runs that a request starts: in this process, on the instance of the data folder, one after another."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.service.state import Service, utc_now

PATIENCE: Final = 120
"""Seconds that a request waits for the runs of others before it is refused."""
_TURN: Final = threading.Lock()


@contextmanager
def turn(service: Service) -> Iterator[tuple[Any, Any]]:
    """Dagster's definitions and instance, for as long as the block lasts. Raises ``busy``."""
    if not _TURN.acquire(timeout=PATIENCE):
        raise SpendSenseError(
            f"runs that others asked for have been under way for {PATIENCE} seconds; nothing was done, try again",
            code="busy",
        )
    thresholds = gc.get_threshold()
    try:
        from spendsense_pipeline.definitions import build_defs
        from spendsense_pipeline.defs import launch
        from spendsense_pipeline.defs.resources import Clock

        clock = {} if service.now is utc_now else {"clock": Clock(fixed=service.now().isoformat())}
        with launch.opened_instance(service.settings) as instance:
            yield build_defs(service.settings, resources=clock), instance
    finally:
        # A command ends with its run and need not clean up; a service goes on.
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        _TURN.release()
