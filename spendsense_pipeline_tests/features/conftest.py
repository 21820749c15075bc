"""The engine as the pipeline sets it up, for tables that a test writes by hand."""

from collections.abc import Iterator

import ibis
import pytest

from spendsense_pipeline import warehouse


@pytest.fixture(scope="package", autouse=True)
def engine() -> Iterator[None]:
    """Planning with the pipeline's options takes half the time of the defaults."""
    before = ibis.options.default_backend
    ibis.set_backend(warehouse.connect())
    yield
    ibis.options.default_backend = before
