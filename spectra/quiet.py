"""Libraries that talk too much, kept quiet at the call."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Keep the logger `name` from reporting less than errors.

    Examples
    --------
    >>> with quiet("rsciio"):
    ...     logging.getLogger("rsciio").isEnabledFor(logging.WARNING)
    False
    """
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
