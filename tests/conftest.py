"""Fixtures that every test may use."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fusion.errors import FileReadError
from fusion.isolation.sandbox import limits
from fusion.specimens import measured as registry


@pytest.fixture(scope="session")
def measured() -> Callable[[str], Path]:
    """Return the place of a measured file; without it the test skips, and fails where `CI` is set."""

    def find(name: str) -> Path:
        try:
            return registry.locate(name, download=False)
        except FileReadError as error:
            if os.environ.get("CI"):
                pytest.fail(str(error))
            pytest.skip(str(error))

    return find


@pytest.fixture
def direct() -> Iterator[None]:
    """Read files in this very process, where a test can replace a part of a reader."""
    with limits(direct=True):
        yield
