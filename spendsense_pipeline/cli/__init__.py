"""``spendsense …``: parse, call one domain function, print. No rule lives here.

Modules are imported inside the commands that need them: what works on the governance database alone answers in
well under a second, and Dagster is loaded only where a run is started.
"""

from spendsense_pipeline.cli import (  # noqa: F401 - registers commands
    customer_commands,
    experiment_commands,
    generator_commands,
    people_commands,
    record_commands,
    review_commands,
    service_commands,
    table_commands,
)
from spendsense_pipeline.cli.frame import app, main, reported_errors

__all__ = ["app", "main", "reported_errors"]
