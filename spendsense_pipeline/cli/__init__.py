"""``spendsense …``: parse, call one domain function, print. No rule lives here.

Modules are imported inside the commands that need them: what works on the governance database alone answers in
well under a second, and Dagster is loaded only where a run is started.
"""

from spendsense_pipeline.cli import (  # noqa: F401 - registers commands
    customers,
    evaluation,
    experiments,
    generator,
    kernels,
    people,
    records,
    review,
    service,
    tables,
)
from spendsense_pipeline.cli.frame import app, main, told_errors

__all__ = ["app", "main", "told_errors"]
