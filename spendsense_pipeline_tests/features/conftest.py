"""Compiled kernels for the tests that want them; they stay compiled between runs, in pytest's own cache."""

from collections.abc import Iterator

import pytest

from spendsense_pipeline_tests.features.worker import CompiledKernels


@pytest.fixture(scope="session")
def compiled(pytestconfig: pytest.Config) -> Iterator[CompiledKernels]:
    """The signals by compiled kernels."""
    kernels = CompiledKernels(pytestconfig.cache.mkdir("kernels"))
    yield kernels
    kernels.close()


@pytest.fixture(scope="session")
def checked(pytestconfig: pytest.Config) -> Iterator[CompiledKernels]:
    """The signals by compiled kernels that compare each index with its bounds."""
    kernels = CompiledKernels(pytestconfig.cache.mkdir("kernels"), checked=True)
    yield kernels
    kernels.close()
